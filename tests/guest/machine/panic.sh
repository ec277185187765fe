# SPDX-License-Identifier: BSD-2-Clause
# A guest that panics is reported, and the process ends with a status of its own.
# seconds: 13

root=none

guest()
{
	check 'hv_vmbus is there' modprobe hv_vmbus
	echo 1 >/proc/sys/kernel/sysrq
	echo c >/proc/sysrq-trigger
}

host()
{
	start
	finish 3
	check 'the host says that it panicked' grep -qi panic "$log.err"
	append=panic=-1
	as='panic=-1'
	start
	finish 3
}
