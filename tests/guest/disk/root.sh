# SPDX-License-Identifier: BSD-2-Clause
# The root file system on our disk: 100 MB written, read back by checksum, there on the host after a shutdown.
# seconds: 38

root=rw
limit=120
control=control

guest()
{
	check 'the root is on the SCSI disk' grep -q "^$(disk 0) / ext4 rw" /proc/mounts
	check '100 MB are written and synced' sh -c 'head -c 100000000 /dev/urandom >/big && sync'
	tell sum "$(sha256sum </big | cut -d" " -f1)"
	echo 3 >/proc/sys/vm/drop_caches
	equal 'and read back from the disk as they were' "$(sha256sum </big | cut -d" " -f1)" \
		"$(dd if=/big iflag=direct bs=1M 2>/dev/null | sha256sum | cut -d" " -f1)"
	check 'hv_utils loads' modprobe hv_utils
	tell written
	sleep 60
}

host()
{
	start
	wait=60 await written
	check 'the host asks for a shutdown' within 10 ctl shutdown
	finish
	check 'which the guest did itself' said poweroff
	check 'e2fsck finds nothing to say about the image' e2fsck -f -n root-rw
	check 'the file is taken out of the image' debugfs -R 'dump /big scratch/big' root-rw
	equal 'and is what the guest wrote' "$(told sum)" "$(sum scratch/big)"
}
