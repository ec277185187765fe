# SPDX-License-Identifier: BSD-2-Clause
# The example of a monitor, which has nothing but what is installed, boots a stock kernel on our disk and network.
# seconds: 15

root=none
limit=150
wait=100

guest()
{
	mkdir -p /sbin
	ln -s /tests/asked /sbin/poweroff
	modprobe -a hv_storvsc sd_mod hv_utils
	check 'the disk is there' within 10 has_disk 0
	d=$(disk 0)
	tell "read $(sum "$d")"
	check 'it is written' sh -c "echo written | dd of=$d bs=512 seek=8 conv=sync oflag=direct"
	check 'the network has an address' network
	check 'and an answer' ping -c 1 10.0.2.2
	check 'a file comes' wget -O /tmp/file http://10.0.2.2:8080/file
	tell "got $(sum /tmp/file)"
	check 'no line of an interrupt is VMBus'"'s" not grep -i vmbus /proc/interrupts
	tell ready
	sleep 120
}

host()
{
	serve_files
	head -c 100000 /dev/urandom >scratch/www/file
	image=$(new_image 4M data)
	head -c 4194304 /dev/urandom >"$image"
	before=$(sum "$image")
	monitor boot_linux "vmlinuz-$kernel" "guest-$kernel.cpio.gz" "$image" \
		"console=ttyS0 quiet kmcl.test=$test kmcl.root=none ${plain:+noxsave}"
	await ready
	check 'asked to end' kill -TERM "$guest"
	finish
	check 'the guest ran its poweroff' said poweroff
	equal 'the guest read what is on the disk' "$before" "$(told read)"
	equal 'what the guest wrote is there' written "$(dd if="$image" bs=512 skip=8 count=1 2>/dev/null | head -n 1)"
	equal 'what came is what was sent' "$(sum scratch/www/file)" "$(told got)"
}
