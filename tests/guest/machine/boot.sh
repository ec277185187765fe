# SPDX-License-Identifier: BSD-2-Clause
# A stock cloud kernel boots to a shell on its own initramfs, and powers off.

root=none

guest()
{
	check 'the kernel knows that it is a guest' grep -q hypervisor /proc/cpuinfo
	check 'of Microsoft' sh -c 'dmesg | grep -q "Hypervisor detected: Microsoft Hyper-V"'
	check 'hv_vmbus finds its bus' modprobe hv_vmbus
	# 5.3 is the newest that 6.1 knows.
	check 'whose newest version it agrees on' sh -c 'dmesg | grep -q "Vmbus version:\(5.3\|6.0\)"'
	say "# $(dmesg | grep -o 'Vmbus version.*')"
	check 'the clock is that of the hypervisor' \
		grep -q hyperv /sys/devices/system/clocksource/clocksource0/current_clocksource
}

host()
{
	boot
}
