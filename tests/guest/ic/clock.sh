# SPDX-License-Identifier: BSD-2-Clause
# A clock that is wrong in the guest is put right by the host.

control=control

# The guest's clock is within 2 s of the host's.
right()
{
	seen=$(date +%s)
	[ $((seen - wanted)) -ge -2 ] && [ $((seen - wanted)) -le $((2 + $(cut -d. -f1 /proc/uptime) - since)) ]
}

guest()
{
	modprobe hv_utils
	date -s @1000000000 >/dev/null
	check 'the clock is wrong' [ "$(date +%s)" -lt 1000000100 ]
	tell wrong
	read -r wanted </dev/console
	since=$(cut -d. -f1 /proc/uptime)
	check 'it is put right' within 10 right
}

host()
{
	start
	await wrong
	check 'kmcl ctl clock set' within 10 ctl clock set
	tell "$(date +%s)"
	finish
}
