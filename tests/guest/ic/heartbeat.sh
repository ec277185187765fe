# SPDX-License-Identifier: BSD-2-Clause
# The heartbeat of a guest that stands still is lost, and found again when it goes on.
# seconds: 28

control=control

guest()
{
	tell before
	hear load
	modprobe hv_utils
	tell ready
	hear bye
}

host()
{
	start
	await before
	equal 'before its driver, there is no contact' 'no contact' "$(ctl heartbeat)"
	tell load
	await ready
	check 'then the heart beats' within 10 heartbeat_is ok
	check 'the guest is stopped' ctl pause
	check 'its heartbeat is lost' within 30 heartbeat_is lost
	check 'it goes on' ctl resume
	check 'and is there again' within 10 heartbeat_is ok
	tell bye
	finish
}
