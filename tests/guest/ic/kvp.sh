# SPDX-License-Identifier: BSD-2-Clause
# Key-value pairs between the host and Debian's hv_kvp_daemon.
# seconds: 15

control=control

# Pools are files of records: a key of 512 bytes, a value of 2048, filled with zeros.
record()
{
	{ printf '%s' "$1"; head -c 512 /dev/zero; } | head -c 512
	{ printf '%s' "$2"; head -c 2048 /dev/zero; } | head -c 2048
}

# "KEY VALUE" of the first record of a pool; what follows the ends of strings means nothing.
first()
{
	file=/var/lib/hyperv/.kvp_pool_$1
	[ -s "$file" ] || return
	echo "$(head -c 512 "$file" | tr '\0' '\n' | head -n 1)" "$(tail -c +513 "$file" | tr '\0' '\n' | head -n 1)"
}

guest()
{
	mkdir -p /var/lib/hyperv
	modprobe hv_utils
	check 'the daemon has its device' within 10 [ -c /dev/vmbus/hv_kvp ]
	check 'hv_kvp_daemon starts' hv_kvp_daemon
	tell ready
	hear set
	equal 'what the host set is in the pool' 'color blue' "$(first 0)"
	record answer 42 >>/var/lib/hyperv/.kvp_pool_1
	tell answered
	hear changed
	equal 'what it changed, too' 'color grün' "$(first 0)"
	tell seen
	hear deleted
	equal 'and what it deleted is gone' none "$(first 0 | grep . || echo none)"
	check 'the network is up' network
	tell online
	hear bye
}

host()
{
	start --net user
	await ready
	check 'kvp set' within 10 ctl kvp set color blue
	tell set
	await answered
	equal 'kvp get sees what the guest says' 42 "$(ctl kvp get answer)"
	refused 'an unknown key is not found' ctl kvp get nothing
	check 'kvp list' sh -c 'kmcl ctl --control control kvp list guest | grep -q answer'
	check 'the guest tells of its system' sh -c 'kmcl ctl --control control kvp list auto | grep -q OSName'
	check 'a value may have other letters' ctl kvp set color 'grün'
	tell changed
	await seen
	check 'kvp delete' ctl kvp delete color
	tell deleted
	await online
	tell bye
	finish
}
