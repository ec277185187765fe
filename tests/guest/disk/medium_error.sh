# SPDX-License-Identifier: BSD-2-Clause
# Sectors that the host cannot read or write are EIO in the guest, and nothing else.
# What the host lost from its cache it does not forget until the operator says so.
# seconds: 20

control=control

# The device mapper makes 8 sectors fail: those from 2048.
bad_disk()
{
	image=$(new_image 16M disk)
	loop=$(losetup -f)
	losetup "$loop" "$image" || return
	dmsetup create bad <<-T
	0 2048 linear $loop 0
	2048 8 error
	2056 30712 linear $loop 2056
	T
	dmsetup mknodes
	[ -b /dev/mapper/bad ]
}

disk_is_lost()
{
	ctl disk list | grep -q '^0:1 .* lost data'
}

# fails_with TEXT COMMAND...
fails_with()
{
	fails_text=$1
	shift
	"$@" >/tmp/fails 2>&1 && return 1
	cat /tmp/fails
	grep -q "$fails_text" /tmp/fails
}

guest()
{
	d=$(disk 1)
	if grep -q kmcl.cached /proc/cmdline; then
		check 'what the host cannot write fails when it is flushed' \
			fails_with 'Remote I/O error\|Input/output error' \
			dd if=/dev/zero of="$d" bs=4k count=1 seek=256 oflag=direct conv=fsync
		check 'and so does what is flushed after it' \
			fails_with 'Remote I/O error\|Input/output error' \
			dd if=/dev/zero of="$d" bs=4k count=1 seek=300 oflag=direct conv=fsync
		tell lost
		hear healed
		check 'until the disk is healed: other sectors are written and flushed' \
			dd if=/dev/zero of="$d" bs=4k count=1 seek=300 oflag=direct conv=fsync
		return
	fi
	check 'a good sector reads' dd if="$d" of=/dev/null bs=4k count=1 skip=255 iflag=direct
	dd if="$d" of=/dev/null bs=4k count=1 skip=256 2>/tmp/error
	check 'a bad one is EIO' grep -q 'Input/output error' /tmp/error
	check 'and past the cache what Linux makes of a medium error, ENODATA' \
		fails_with 'No data available' dd if="$d" of=/dev/null bs=4k count=1 skip=256 iflag=direct
	check 'in writing, EIO' \
		fails_with 'Input/output error' dd if=/dev/zero of="$d" bs=4k count=1 seek=256 oflag=direct
	check 'the sense data name the medium' \
		fails_with 'Medium Error\|medium error' sg_raw -r 512 "$d" 28 00 00 00 08 00 00 00 01 00
	check 'so is a large read across it' fails_with 'No data available' \
		dd if="$d" of=/dev/null bs=1M count=4 iflag=direct
	check 'the sectors after it read' dd if="$d" of=/dev/null bs=4k count=1 skip=257 iflag=direct
	check 'and are written' dd if=/dev/zero of="$d" bs=4k count=1 seek=257 oflag=direct
	check 'the disk is still running' grep -q running "/sys/block/${d#/dev/}/device/state"
}

host()
{
	complains='I/O error, dev sd[a-z]|critical (medium|target) error, dev sd[a-z]|hv_storvsc .* cmd 0x(28|2a|35|88|8a) status: scsi 0x2|sd [0-9:]* .*(FAILED|Sense|Medium Error|Add. Sense|CDB|tag#)|Buffer I/O error on dev sd[a-z]'
	if ! [ -d /sys/class/misc/device-mapper ] || ! [ -w /dev/mapper/control ]; then
		skip 'bad sectors' 'no device mapper on this machine'
		return
	fi
	check 'a disk with bad sectors is made' bad_disk || return
	as='past the cache'
	boot --disk /dev/mapper/bad,direct
	as=cached
	append=kmcl.cached
	start --disk /dev/mapper/bad
	await lost
	check 'disk list tells of it' disk_is_lost
	check 'disk heal' ctl disk heal 1
	refused 'after which it does not' disk_is_lost
	tell healed
	finish
	dmsetup remove bad
	losetup -d "$loop"
}
