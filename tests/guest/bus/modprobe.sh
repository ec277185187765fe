# SPDX-License-Identifier: BSD-2-Clause
# Each driver unloaded and loaded 20 times, while the others work.
# seconds: 22
#
# The bus itself stays: hv_vmbus stops the timer of its processors when it goes (hv_stimer_global_cleanup in
# Linux's hyperv_timer.c), and after that nothing sleeps in the guest. machine/kexec.sh has the bus let go of
# and found again.

root=none
control=control
limit=150

answers()
{
	ping -c 1 -W 2 10.0.2.2
}

cycle()
{
	for _ in $(seq 20); do
		# It is in use for as long as its disks are looked at.
		within 10 rmmod "$1" && modprobe "$1" || return
	done
}

disk_reads()
{
	within 10 [ -b /dev/sda ] && dd if=/dev/sda of=/dev/null bs=64k count=16 iflag=direct
}

guest()
{
	modprobe -a hv_vmbus hv_storvsc sd_mod hv_utils
	check 'the disk reads' disk_reads
	check 'the network answers' eval 'network && answers'
	for driver in hv_storvsc hv_netvsc hv_utils; do
		check "$driver, 20 times" cycle $driver
	done
	check 'the disk reads again' disk_reads
	check 'the network answers again' eval 'network && answers'
	tell alive
	hear on
}

host()
{
	start --disk "$(new_image 16M disk)" --net user
	wait=120 await alive
	check 'the heartbeat is back' within 10 heartbeat_is ok
	tell on
	finish
}
