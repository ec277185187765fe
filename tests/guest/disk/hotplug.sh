# SPDX-License-Identifier: BSD-2-Clause
# A disk comes, grows and goes while the guest runs: it appears, has its new size at once, and taken away under load gives errors, no hang.
# seconds: 20

control=control

reader()
{
	while dd if="$1" of=/dev/null bs=64k count=64 iflag=direct 2>/dev/null; do
		echo x >>/tmp/reads
	done
	: >/tmp/ended
}

# has_size LUN SECTORS
has_size()
{
	[ "$(cat "/sys/block/$(basename "$(disk "$1")")/size")" = "$2" ]
}

guest()
{
	tell ready
	hear added
	check 'an added disk appears' within 10 has_disk 1
	equal 'with its size' 32768 "$(cat /sys/block/$(basename "$(disk 1)")/size)"
	equal 'and its content' "$(hear_sum)" "$(sum "$(disk 1)")"
	hot=$(disk 1)
	reader "$hot" &
	check 'it is read from' within 10 [ -s /tmp/reads ]
	tell busy
	hear removed
	check 'when it is removed, the reading ends' within 30 [ -e /tmp/ended ]
	check 'and the device goes' within 10 not has_disk 1
	check 'the root disk is as before' dd if="$(disk 0)" of=/dev/null bs=1M count=4 iflag=direct
	tell again
	hear added
	check 'another disk appears in its place' within 10 has_disk 1
	check 'and is written to' dd if=/dev/zero of="$(disk 1)" bs=1M count=4 oflag=direct
	tell grow
	hear grown
	check 'a disk that grew is as large at once' within 10 has_size 1 49152
	dd if=/dev/urandom of=/tmp/new bs=1M count=8 2>/dev/null
	check 'what was added is written' dd if=/tmp/new of="$(disk 1)" bs=1M seek=16 oflag=direct
	check 'and read' sh -c "dd if=$(disk 1) bs=1M skip=16 iflag=direct 2>/dev/null | cmp - /tmp/new"
	tell "new $(sum /tmp/new)"
	rm -f /tmp/ended /tmp/reads
	reader "$(disk 1)" &
	check 'it is read from' within 10 [ -s /tmp/reads ]
	tell larger
	hear grown
	check 'and grows meanwhile' within 10 has_size 1 65536
	: >/tmp/reads
	check 'its reader goes on' within 10 [ -s /tmp/reads ]
	refused 'and saw no error' [ -e /tmp/ended ]
	tell hold
	hear removed
}

hear_sum()
{
	tell sum
	read -r hear_line </dev/console
	echo "$hear_line"
}

host()
{
	complains='sd [0-9:]*: \[sd|I/O error, dev sd[a-z]|Buffer I/O error|cmd 0x.. status|rejecting I/O|Synchronize Cache'
	image=$(new_image 16M hot)
	dd if=/dev/urandom of="$image" bs=1M count=16 conv=notrunc 2>/dev/null
	start
	await ready
	check 'disk add' ctl disk add "$image"
	refused 'an image cannot be given twice' ctl disk add "$image"
	tell added
	await sum && tell "$(sum "$image")"
	await busy
	place=$(ctl disk list | sed -n 's/ .*hot.*//p')
	check "disk remove, at $place" ctl disk remove "$place"
	refused 'which was all' ctl disk remove "$place"
	tell removed
	await again
	check 'its image is free again' ctl disk add "$image"
	tell added
	await grow
	equal 'disk resize' '25165824 bytes' "$(ctl disk resize "$place" 24M)"
	tell grown
	await larger
	truncate -s 32M "$image"
	equal 'which sees how large a file has become' '33554432 bytes' "$(ctl disk resize "$place")"
	tell grown
	await hold
	dd if="$image" of=new bs=1M skip=16 count=8 2>/dev/null
	equal 'what the guest wrote there is there' "$(told new)" "$(sum new)"
	check 'and taken away for good' ctl disk remove "$place"
	tell removed
	finish
}
