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
	start --panic-wait 3
	finish 3
	check 'the host says that it panicked' grep -q 'the guest panicked: error' "$log.err"
	check 'the guest has had time to print it all' grep -q 'end Kernel panic - not syncing' "$log"
	append=panic=-1
	as='panic=-1'
	start --panic-wait 3600
	finish 3
	check 'the host says that it panicked' grep -q 'the guest panicked: error' "$log.err"
}
