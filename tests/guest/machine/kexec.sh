# SPDX-License-Identifier: BSD-2-Clause
# A guest starts its kernel anew with kexec: it lets go of the bus, and the new one finds everything again.
# seconds: 30

limit=90

guest()
{
	if grep -q kmcl.second /proc/cmdline; then
		check 'the second kernel has its root on the disk' dd if="$(disk 0)" of=/dev/null bs=1M count=4 iflag=direct
		check 'and the network' network
		check 'with an answer' ping -c 2 10.0.2.2
		return
	fi
	check 'the network is in use' network
	dd if="$(disk 1)" of=/tmp/kernel bs=1M 2>/dev/null
	dd if="$(disk 2)" of=/tmp/initrd bs=1M 2>/dev/null
	check 'kexec takes the kernel' kexec -c -l /tmp/kernel --initrd=/tmp/initrd \
		--command-line="$(cat /proc/cmdline) kmcl.second"
	sync
	kexec -e
}

host()
{
	cp "vmlinuz-$kernel" scratch/kernel
	cp "guest-$kernel.cpio.gz" scratch/initrd
	for file in scratch/kernel scratch/initrd; do
		truncate -s $((($(stat -c %s $file) + 4095) / 4096 * 4096)) $file
	done
	memory=512M
	boot --disk scratch/kernel,ro --disk scratch/initrd,ro --net user
	check 'there was a second kernel' grep -q 'ok the second kernel' "$log"
}
