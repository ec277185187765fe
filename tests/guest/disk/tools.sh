# SPDX-License-Identifier: BSD-2-Clause
# The disk as sg3-utils see it.
# seconds: 15

guest()
{
	d=$(disk 1)
	check 'sg_inq' sg_inq "$d"
	check 'names a disk of ours' sh -c "sg_inq $d | grep -q 'Vendor identification: .*[A-Za-z]'"
	check 'with its serial number' sh -c "sg_inq --page=sn $d | grep -q LAB1"
	check 'sg_vpd lists pages' sg_vpd "$d"
	for page in sn di bl bdc lbpv; do
		check "sg_vpd page $page" sg_vpd --page=$page "$d"
	done
	check 'logical block provisioning is told' sh -c "sg_vpd --page=lbpv $d | grep -q 'LBPU.*: *1'"
	check 'sg_readcap 10' sh -c "sg_readcap $d | grep -q 'Number of logical blocks=131072'"
	check 'sg_readcap 16' sh -c "sg_readcap --16 $d | grep -q 'Number of logical blocks=131072'"
	check 'sg_luns' sg_luns "$d"
	check 'sg_turs' sg_turs "$d"
	check 'sg_modes' sg_modes "$d"
	refused 'a command that no disk knows' sg_raw "$d" df 00 00 00 00 00
	refused 'a read past the end' sg_raw -r 512 "$d" 28 00 00 02 00 00 00 00 01 00
	dd if=/dev/urandom of=/tmp/block bs=64k count=1 2>/dev/null
	dd if=/tmp/block of="$d" bs=64k oflag=direct 2>/dev/null
	check 'sg_dd reads it' sg_dd if="$d" of=/tmp/back bs=512 count=128
	check 'as it was written' cmp /tmp/block /tmp/back
	check 'sg_sync' sg_sync "$d"
	check 'sg_unmap' sg_unmap --lba=0 --num=128 --force "$d"
	check 'and what was unmapped reads as zeros' sh -c "head -c 65536 /dev/zero | cmp - $d -n 65536"
	check 'sg_write_same' sg_write_same --in=/tmp/block --xferlen=512 --lba=256 --num=8 "$d"
	check 'sg_start stops it' sg_start --stop "$d"
	refused 'stopped, it does not read' sg_raw -r 512 "$d" 28 00 00 00 00 00 00 00 01 00
	check 'sg_start starts it' sg_start --start "$d"
	check 'and it reads again' sg_raw -r 512 "$d" 28 00 00 00 00 00 00 00 01 00
	check 'sg_logs is answered, well or with a sense code' sh -c "sg_logs $d 2>&1 | grep -qi 'page\|not supported\|illegal'"
}

host()
{
	# The driver tells of each command that fails: df, 28, and 4d of sg_logs.
	complains='hv_storvsc .* cmd 0x(df|28|4d) status: scsi 0x2'
	boot --disk "$(new_image 64M disk),serial=LAB1"
}
