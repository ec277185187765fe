# SPDX-License-Identifier: BSD-2-Clause
# A disc in a CD drive is read by Linux's sr, and not written.

guest()
{
	check 'sr loads' modprobe sr_mod
	check 'the drive is there' within 10 [ -b /dev/sr0 ]
	check 'it is a CD drive' sh -c "sg_inq /dev/sr0 | grep -q 'PDT=5\|cd/dvd'"
	tell "disc $(dd if=/dev/sr0 bs=64k 2>/dev/null | sha256sum | cut -d' ' -f1)"
	equal 'its blocks are those of a CD' 2048 "$(cat /sys/block/sr0/queue/logical_block_size)"
	refused 'it is not written' dd if=/dev/zero of=/dev/sr0 bs=2048 count=1 oflag=direct
	check 'a file system on it is mounted' mount -t ext4 -o ro,noload /dev/sr0 /mnt
	check 'and holds its file' grep -q 'from the disc' /mnt/file
	umount /mnt
}

host()
{
	image=$(new_image 8M disc)
	echo 'from the disc' >scratch/file
	# Not busybox's own, which knows ext2 alone.
	check "a disc is made" ./mke2fs -q -F -t ext4 -b 2048 "$image"
	debugfs -w -R 'write scratch/file file' "$image" 2>/dev/null
	before=$(sum "$image")
	boot --disk "$image,cd"
	equal 'the guest reads the disc whole' "$before" "$(told disc)"
	equal 'which is as it was' "$before" "$(sum "$image")"
}
