# SPDX-License-Identifier: BSD-2-Clause
# Debian's full kernel, with other drivers built in than the cloud one, has the same devices.
# seconds: 25

kernel=full
limit=90
control=control

guest()
{
	check 'the root is on our disk' grep -q '^over / overlay' /proc/mounts
	check 'the disk reads' dd if="$(disk 0)" of=/dev/null bs=1M count=8 iflag=direct
	check 'a data disk is written' dd if=/dev/zero of="$(disk 1)" bs=1M count=8 oflag=direct
	check 'the integration components load' modprobe hv_utils
	check 'the network comes up' network
	check 'and has an answer' ping -c 2 10.0.2.2
	tell ready
	hear on
}

host()
{
	start --disk "$(new_image 16M data)" --net user
	await ready
	check 'the guest shows signs of life' within 10 heartbeat_is ok
	tell on
	finish
}
