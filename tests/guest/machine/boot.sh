# SPDX-License-Identifier: BSD-2-Clause
# A stock cloud kernel boots to a shell on its own initramfs, and powers off.

root=none

guest()
{
	check 'the kernel knows that it is a guest' grep -q hypervisor /proc/cpuinfo
	check 'of Microsoft' sh -c 'dmesg | grep -q "Hypervisor detected: Microsoft Hyper-V"'
	check 'hv_vmbus finds its bus' modprobe hv_vmbus
	equal 'of which it takes the newest version that it knows' "$(version_up_to 6.0)" \
		"$(dmesg | sed -n 's/.*Vmbus version:\([0-9.]*\).*/\1/p')"
	check 'the clock is that of the hypervisor' \
		grep -q hyperv /sys/devices/system/clocksource/clocksource0/current_clocksource
}

host()
{
	boot
}
