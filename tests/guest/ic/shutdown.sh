# SPDX-License-Identifier: BSD-2-Clause
# The host asks for a shutdown and for a restart, and the guest does it in an orderly way.
# seconds: 22

control=control

guest()
{
	check 'hv_utils loads' modprobe hv_utils
	tell ready
	sleep 60
}

ask()
{
	start --no-reboot
	await ready
	check "kmcl ctl $1 is taken" within 10 ctl "$1"
}

host()
{
	as=shutdown
	ask shutdown
	finish
	check 'the guest ran its poweroff' said poweroff
	as=reboot
	ask reboot
	finish 4
	check 'the guest ran its reboot' said reboot
}
