# SPDX-License-Identifier: BSD-2-Clause
# A discard in the guest punches holes into the image.
# seconds: 12

guest()
{
	d=$(disk 1)
	check 'the guest knows that the disk can discard' \
		[ "$(cat "/sys/block/${d#/dev/}/queue/discard_max_bytes")" -gt 0 ]
	check '32 MiB are written' dd if=/dev/urandom of="$d" bs=1M count=32 oflag=direct
	tell full
	hear seen
	check 'and the middle of them discarded' blkdiscard -o 8M -l 16M "$d"
	check 'which reads as zeros' sh -c "head -c 16777216 /dev/zero | cmp -i 0:8388608 -n 16777216 - $d"
	tell punched
	hear seen
	check 'a file system is made' mke2fs -q -F -t ext4 "$d"
	mount "$d" /mnt
	dd if=/dev/urandom of=/mnt/file bs=1M count=16 2>/dev/null
	sync
	rm /mnt/file
	sync # what is removed is free when the journal has it
	check 'fstrim' fstrim /mnt
	umount /mnt
}

host()
{
	image=$(new_image 64M disk)
	start --disk "$image"
	await full && before=$(blocks "$image") && tell seen
	await punched && after=$(blocks "$image") && tell seen
	finish
	check "the image has shrunk by 16 MiB (blocks: $before, then $after)" [ $((before - after)) -ge 32768 ]
	# The 16 MiB of the file are gone; the journal's 4 MiB may be there or not.
	check "and is small in the end ($(blocks "$image"))" [ "$(blocks "$image")" -lt 24576 ]
}
