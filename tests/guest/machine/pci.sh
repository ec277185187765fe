# SPDX-License-Identifier: BSD-2-Clause
# A monitor with PCI and a DSDT of its own adds VMBus's table: its devices and ours get on with one another.
# seconds: 25

root=none
limit=150

# Where the second serial port's driver is: the port that has a PCI device above it; right above it up to Linux 6.4.
second()
{
	basename "$(find /sys/bus/pci/devices/0000:00:01.0/ -name 'ttyS*')"
}

# Line 5 came, and is level-triggered. (The number that the kernel gives it is another.)
interrupted()
{
	grep -q ': *[1-9][0-9]* .*IO-APIC *5-fasteoi *ttyS' /proc/interrupts
}

guest()
{
	if grep -q kmcl.exclusive /proc/cmdline; then
		refused 'what is on the line of an interrupt of VMBus gets no driver' [ -e /sys/bus/pci/devices/0000:00:01.0/driver ]
		check 'as the kernel says' sh -c 'dmesg | grep "0000:00:01.0: PCI INT A: failed to register GSI"'
		return
	fi
	check 'the bus is there' modprobe -a hv_vmbus hv_storvsc sd_mod hv_netvsc
	check 'with its disk' within 10 has_disk 0
	check 'the disk reads' dd if="$(disk 0)" of=/dev/null bs=64k count=16 iflag=direct
	check 'the window of PCI is as its table says' grep -q '^c0000000-dfffffff : PCI Bus 0000:00' /proc/iomem
	check 'the network comes up' network
	tty=$(second)
	check 'the device on PCI has its driver' [ -c "/dev/$tty" ]
	exec 5>"/dev/$tty"
	echo ':: says through PCI' >&5
	check 'it sends' timeout 5 stty -F "/dev/$tty" -echo # which waits until all is sent
	check 'by interrupts of line 5' interrupted
	exec 5>&-
}

pci()
{
	monitor pci_machine pci.aml "$1" "vmlinuz-$kernel" "guest-$kernel.cpio.gz" "$image" \
		"console=ttyS0 quiet kmcl.test=$test kmcl.root=none ${plain:+noxsave} $append"
	finish
}

host()
{
	[ -e pci.aml ] || { skip 'a monitor with PCI' 'its DSDT was not compiled: iasl is not installed (acpica-tools)'; return; }
	image=$(new_image 4M data)
	pci 0
	check 'what was sent through PCI arrived' said through PCI
	as='with an IRQ 5'
	append=kmcl.exclusive
	complains="$complains|failed to register GSI|can't find IRQ|ttyS"
	pci 5
}
