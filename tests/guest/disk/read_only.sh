# SPDX-License-Identifier: BSD-2-Clause
# A read-only image stays as it is, whatever the guest tries.

guest()
{
	d=$(disk 1)
	equal 'the guest sees that it is read-only' 1 "$(cat "/sys/block/${d#/dev/}/ro")"
	refused 'dd does not write to it' dd if=/dev/zero of="$d" bs=4k count=1 oflag=direct
	echo 0 >"/sys/block/${d#/dev/}/ro" 2>/dev/null
	blockdev --setrw "$d"
	refused 'nor when the guest ignores that' dd if=/dev/zero of="$d" bs=4k count=1 oflag=direct
	refused 'nor does a SCSI command' sg_dd if=/dev/zero of="$d" bs=512 count=8
	refused 'nor sg_unmap' sg_unmap --lba=0 --num=8 --force "$d"
	refused 'nor sg_write_same' sg_write_same --in=/dev/zero --xferlen=512 --lba=0 --num=8 "$d"
	check 'it still reads' dd if="$d" of=/dev/null bs=1M iflag=direct
}

host()
{
	complains='critical (target|medium) error|protect|I/O error, dev sd[a-z]'
	image=$(new_image 16M disk)
	dd if=/dev/urandom of="$image" bs=1M count=16 conv=notrunc 2>/dev/null
	before=$(sum "$image")
	boot --disk "$image,ro"
	equal 'the image is as it was' "$before" "$(sum "$image")"
}
