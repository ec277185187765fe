# SPDX-License-Identifier: BSD-2-Clause
# The guest's and the host's side of scripts/demo-linux.

root=rw
limit=200
memory=512M
control=control

show()
{
	while read -r shown_line; do say "# show $shown_line"; done
}

# As lsvmbus does, which Debian does not package.
list_bus()
{
	echo
	echo "devices on VMBus $(dmesg | sed -n 's/.*Vmbus version:/(version /p')):"
	for d in /sys/bus/vmbus/devices/*; do
		driver=$(readlink "$d/driver")
		printf '. %-22s %s  channels %s\n' "${driver##*/}" "$(cat "$d/class_id")" \
			"$(find "$d/channels" -mindepth 1 -maxdepth 1 | wc -l)"
	done
}

disk_figures()
{
	fio --name=x --filename="$(disk 1)" --direct=1 --ioengine=libaio --time_based --runtime=4 --ramp_time=1 \
		--output-format=terse --terse-version=3 "$@" | tail -n 1 |
		awk -F';' '{ printf "%.0f IOPS, %.1f MiB/s\n", $8 + $49, ($7 + $48) / 1024 }'
}

network_figures()
{
	iperf3 -c 10.0.2.2 -t 4 -O 1 -f m "$@" | sed -n 's/.* \([0-9.]*\) Mbits.*receiver.*/\1 Mbit\/s/p'
}

guest()
{
	check 'the drivers of the bus are loaded' modprobe -a hv_utils hv_netvsc hv_balloon
	check 'the network has an address' network
	tell up
	{
		echo
		uname -srv
		echo "root:    $(grep ' / ' /proc/mounts)"
		echo "network: $nic $(ip -4 -o address show "$nic" | sed 's/.*inet \([^ ]*\).*/\1/')"
		list_bus
		echo
		echo 'from dmesg:'
		dmesg | grep -i 'hyper-v\|hv_\|vmbus\|storvsc\|netvsc' | sed 's/^/. /' | cut -c1-110
	} | show
	tell 'measuring the disk'
	{
		echo
		echo "disk, 4 KiB random reads, 32 deep:  $(disk_figures --rw=randread --bs=4k --iodepth=32)"
		echo "disk, 128 KiB sequential writes:    $(disk_figures --rw=write --bs=128k --iodepth=8)"
	} | show
	tell 'measuring the network'
	{
		echo "network, user mode, from the guest: $(network_figures)"
		echo "network, user mode, to the guest:   $(network_figures -R)"
	} | show
	tell finished
	sleep 60
}

host()
{
	report "# the kernel of the guest is Debian's, unmodified; its root is a disk of ours"
	daemon iperf3 -s
	image=$(new_image 256M data)
	dd if=/dev/urandom of="$image" bs=1M count=256 2>/dev/null
	start --disk "$image" --net user
	wait=60
	await up && report "# the guest is up"
	await 'measuring the disk' && report "# it measures the disk"
	await 'measuring the network' && report "# it measures the network"
	await finished
	check 'the host asks the guest to power off, which it does' ctl shutdown
	finish
	check 'its file system is in order' e2fsck -f -n root-rw
}
