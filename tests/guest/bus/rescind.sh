# SPDX-License-Identifier: BSD-2-Clause
# The disk and the network taken back and offered again under load, 20 times (--long: 100).
# seconds: 45

root=none
control=control
limit=240

# Reads whatever disk there is until it is told to stop; each success is a line.
load()
{
	while ! [ -e /tmp/stop ]; do
		for d in /dev/sd?; do
			dd if="$d" of=/dev/null bs=64k count=8 iflag=direct 2>/dev/null && echo x >>/tmp/reads
		done
		ping -c 1 -W 1 -q 10.0.2.2 >/dev/null 2>&1
	done
	: >/tmp/stopped
}

disk_reads()
{
	for d in /dev/sd?; do
		dd if="$d" of=/dev/null bs=64k count=8 iflag=direct && return
	done
	return 1
}

guest()
{
	modprobe -a hv_vmbus hv_storvsc sd_mod hv_utils
	network >/dev/null 2>&1
	load &
	check 'the load runs' within 10 [ -s /tmp/reads ]
	tell ready
	hear done
	: >/tmp/stop
	check 'the load ends' within 30 [ -e /tmp/stopped ]
	check 'the disk reads in the end' within 20 disk_reads
	check 'the network answers in the end' eval 'network && ping -c 1 10.0.2.2'
	check 'much was read meanwhile' [ "$(wc -l </tmp/reads)" -gt 10 ]
}

host()
{
	complains='callbacks suppressed|sd[a-z]|sd [0-9:]*: |I/O error|cmd 0x.. status|rejecting I/O|Synchronize Cache|hv_netvsc'
	start --disk "$(new_image 16M disk)" --net user
	await ready || return
	failures=0
	for round in $(seq "$(rounds 20 100)"); do
		service=disk
		[ $((round % 3)) != 0 ] || service=net
		ctl rescind $service || failures=$((failures + 1))
		# Sometimes at once, sometimes when the guest has got used to it.
		[ $((round % 5)) != 0 ] || sleep 0.3
		ctl offer $service || failures=$((failures + 1))
		[ $((round % 4)) != 0 ] || sleep 0.5
	done
	equal 'commands that failed' 0 "$failures"
	tell done
	finish
}
