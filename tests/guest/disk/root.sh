# SPDX-License-Identifier: BSD-2-Clause
# The root file system on our disk: 100 MB written, read back by checksum, and there on the host afterwards.
# seconds: 25

root=rw
limit=120

guest()
{
	check 'the root is on the SCSI disk' grep -q '^/dev/sda / ext4 rw' /proc/mounts
	check '100 MB are written and synced' sh -c 'head -c 100000000 /dev/urandom >/big && sync'
	tell sum "$(sha256sum </big | cut -d" " -f1)"
	echo 3 >/proc/sys/vm/drop_caches
	equal 'and read back from the disk as they were' "$(sha256sum </big | cut -d" " -f1)" \
		"$(dd if=/big iflag=direct bs=1M 2>/dev/null | sha256sum | cut -d" " -f1)"
}

host()
{
	boot
	check 'e2fsck finds nothing to say about the image' e2fsck -f -n root-rw
	check 'the file is taken out of the image' debugfs -R 'dump /big scratch/big' root-rw
	equal 'and is what the guest wrote' "$(told sum)" "$(sum scratch/big)"
}
