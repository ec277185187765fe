#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The kmcl command's host on block devices: one whose writes are lost under the page cache, as what lies
# behind it is full, and one that is mounted. Needs root, loop devices, and a tmpfs to mount.
# Usage: block_devices.sh KMCL. Output: TAP.
kmcl=$1
loop=''
. "$(dirname "$0")/tap.sh"

clean()
{
	umount "$dir/mount" 2>/dev/null
	[ -n "$loop" ] && losetup -d "$loop"
	umount "$dir/small" 2>/dev/null
}

skip_all()
{
	echo "1..0 # SKIP $1"
	exit 0
}

guest()
{
	timeout 60 "$kmcl" guest --connect "unix:$dir/bus" "$@"
}

ctl()
{
	"$kmcl" ctl --control "$dir/control" "$@"
}

# serve OPTION...: a host, when it listens; false: it does not
serve()
{
	start "$kmcl" host --listen "unix:$dir/bus" --control "$dir/control" "$@"
}

# refused NAME IMAGE: by a host of its own
refused()
{
	check "$1" 1 timeout 20 "$kmcl" host --listen "unix:$dir/other" --disk "$2"
}

PATH=$PATH:/sbin:/usr/sbin
[ "$(id -u)" -eq 0 ] || skip_all 'root is needed'
mkdir "$dir/small" "$dir/mount"
mount -t tmpfs -o size=12M none "$dir/small" || skip_all 'a tmpfs cannot be mounted'
truncate -s 32M "$dir/small/image"
loop=$(losetup -f --show "$dir/small/image") || skip_all 'there is no loop device'

serve --disk "$loop"
head -c 24M /dev/urandom >"$dir/data"
head -c 4k /dev/urandom >"$dir/little"
check 'writing fits' 0 guest disk write "$dir/little"
check 'the disk is well' 0 ctl disk list
look 'and listed so' sh -c "! grep -q lost $dir/out"
check 'more than there is room for does not' 1 guest disk write "$dir/data"
look 'as the flush says' grep -q 'cannot flush: .*SCSI status CHECK CONDITION.*sense 04/4400' "$dir/err"
check 'it is not forgotten' 1 guest disk write "$dir/little"
check 'nor the second time' 1 guest disk write "$dir/little"
look 'the host says it once' sh -c "[ \$(grep -c 'disk 0:0: .*stable storage' $dir/host.err) = 1 ]"
check 'the disk is listed' 0 ctl disk list
look 'with what happened' grep -q 'lost data' "$dir/out"
check 'and counted' 0 ctl info
look 'as one to heal' grep -q 'data lost 1 times, 1 disks to heal' "$dir/out"
check 'the operator heals it' 0 ctl disk heal 0
check 'and what fits is written' 0 guest disk write "$dir/little"
check 'a block device grows where it is made' 1 ctl disk resize 0 48M
look 'as the host says' grep -q 'with the tool that made it' "$dir/err"
truncate -s 48M "$dir/small/image"
check 'the device grows' 0 losetup -c "$loop"
check 'and the host sees it' 0 ctl disk resize 0
look 'and how large it is' grep -q '^50331648 bytes' "$dir/out"
check 'the guest too' 0 guest disk info
look 'as much' grep -q '48' "$dir/out"
refused 'a second host has no place on the device' "$loop"
refused 'nor on the file behind it' "$dir/small/image"
end_host

losetup -d "$loop"
rm "$dir/small/image"
truncate -s 8M "$dir/small/image"
loop=$(losetup -f --show "$dir/small/image")
if ! mke2fs -q -t ext4 -F "$loop" || ! mount "$loop" "$dir/mount"; then
	bail_out 'a file system of ext4 cannot be made or mounted'
fi
refused 'a mounted device is not served' "$loop"
look 'and why is said' grep -q "mounted on $dir/mount" "$dir/err"
refused 'nor the image behind it' "$dir/small/image"
serve --disk "$loop,ro"
report 'read-only it is' 0 $? "$dir/host.err"
end_host
serve --disk "$loop,force"
report 'and by force' 0 $? "$dir/host.err"

echo "1..$count"
