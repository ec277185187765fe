# SPDX-License-Identifier: BSD-2-Clause
# A stock cloud kernel boots to a shell on its own initramfs, with the time, and powers off.

root=none

# AMD's DE_CFG, which kernels keep over a sleep and write back: KVM lets it be read and, but for one bit, not written.
DE_CFG=$((0xc0011029))

read_msr()
{
	dd if=/dev/cpu/0/msr bs=8 count=1 iflag=skip_bytes skip="$1" 2>/dev/null
}

keeps_de_cfg()
{
	read_msr $DE_CFG >/tmp/msr && [ "$(stat -c %s /tmp/msr)" = 8 ] &&
		printf '\002\020\000\000\000\000\000\000' >/tmp/new &&
		for value in /tmp/new /tmp/msr; do
			dd if=$value of=/dev/cpu/0/msr bs=8 conv=notrunc oflag=seek_bytes seek=$DE_CFG || return
		done
}

guest()
{
	tell "time $(date +%s)" # of the PC's clock: nothing here knows a better one
	check 'the kernel knows that it is a guest' grep -q hypervisor /proc/cpuinfo
	check 'of Microsoft' sh -c 'dmesg | grep -q "Hypervisor detected: Microsoft Hyper-V"'
	check 'hv_vmbus finds its bus' modprobe hv_vmbus
	equal 'of which it takes the newest version that it knows' "$(version_up_to 6.0)" \
		"$(dmesg | sed -n 's/.*Vmbus version:\([0-9.]*\).*/\1/p')"
	check 'the clock is that of the hypervisor' \
		grep -q hyperv /sys/devices/system/clocksource/clocksource0/current_clocksource
	check 'registers can be looked at' modprobe msr
	check 'one that is read can be written back' keeps_de_cfg
}

between()
{
	[ "$2" -ge "$1" ] && [ "$2" -le "$3" ]
}

host()
{
	complains='^msr: (Write to unrecognized|See )' # whenever a register is written that way
	before=$(date +%s)
	boot
	check "the guest's clock was right before hv_utils ($(told time))" between $((before - 1)) "$(told time)" $(($(date +%s) + 1))
}
