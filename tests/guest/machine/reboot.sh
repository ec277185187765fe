# SPDX-License-Identifier: BSD-2-Clause
# A guest that restarts comes back in the same process; where it shall not, that is told.
# seconds: 27

root=none

guest()
{
	modprobe -a hv_storvsc sd_mod
	check 'the disk is there' within 10 [ -b /dev/sda ]
	if [ "$(head -c 5 /dev/sda)" = again ]; then
		check 'it is the second time' true
		return
	fi
	printf again | dd of=/dev/sda bs=512 count=1 conv=sync oflag=direct 2>/dev/null
	check 'it is the first time' [ "$(head -c 5 /dev/sda)" = again ]
	reboot -f
}

host()
{
	image=$(new_image 1M mark)
	boot --disk "$image"
	check 'it came up twice' [ "$(grep -c 'ok the disk is there' "$log")" = 2 ]
	dd if=/dev/zero of="$image" bs=1M count=1 conv=notrunc 2>/dev/null
	as='no reboot'
	start --disk "$image" --no-reboot
	finish 4
}
