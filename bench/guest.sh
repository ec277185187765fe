# SPDX-License-Identifier: BSD-2-Clause
# Measures the second disk and the network of a guest, on one VMM after the other, with monitored channels, and by the
# guest kit.

limit=200
memory=512M
seconds=4

# fio_figure NAME FIELD UNIT DIVISOR OPTION...: a field of fio's terse output (version 3): 7 read KiB/s,
# 8 read IOPS, 48 write KiB/s, 49 write IOPS
fio_figure()
{
	figure=$1 field=$2 unit=$3 divisor=$4
	shift 4
	value=$(fio --name=x --filename="$data" --direct=1 --ioengine=libaio --time_based --runtime=$seconds \
		--ramp_time=1 --output-format=terse --terse-version=3 "$@" | tail -n 1 | cut -d';' -f"$field")
	tell "figure $figure $(echo "$value $divisor" | awk '{ print $1 / $2 }') $unit"
}

iperf_figure()
{
	figure=$1
	shift
	value=$(iperf3 -c "$server" -t $seconds -O 1 -f m "$@" | sed -n 's/.* \([0-9.]*\) Mbits.*receiver.*/\1/p')
	[ -n "$value" ] || return
	tell "figure $figure $value Mbit/s"
}

guest()
{
	data=$(disk 1)
	tell "note clocksource $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource), $data"
	fio_figure disk-4k-randread-depth1 8 IOPS 1 --rw=randread --bs=4k --iodepth=1
	fio_figure disk-4k-randread-depth32 8 IOPS 1 --rw=randread --bs=4k --iodepth=32
	fio_figure disk-4k-read-depth32 8 IOPS 1 --rw=read --bs=4k --iodepth=32
	fio_figure disk-4k-randwrite-depth32 49 IOPS 1 --rw=randwrite --bs=4k --iodepth=32
	fio_figure disk-128k-read-depth8 7 MiB/s 1024 --rw=read --bs=128k --iodepth=8
	fio_figure disk-128k-write-depth8 48 MiB/s 1024 --rw=write --bs=128k --iodepth=8
	network >/dev/null 2>&1 || return
	server=10.0.2.2
	iperf_figure "net-user-send"
	iperf_figure "net-user-receive" -R
}

start_qemu()
{
	guests=$((guests + 1))
	log=$PWD/out/$name.$guests
	rm -f tty
	mkfifo tty
	exec 4<>tty
	# What --plain-cpu leaves out is left out here as well.
	timeout -s KILL "$limit" qemu-system-x86_64 -L firmware -accel kvm -cpu "host${plain:+,xsave=off}" -M q35 \
		-m "$memory" -smp "$cpus" -nodefaults -no-user-config -nographic -no-reboot -serial stdio \
		-kernel "vmlinuz-$kernel" -initrd "guest-$kernel.cpio.gz" \
		-append "console=ttyS0 quiet kmcl.test=$test kmcl.root=$root" \
		-blockdev "driver=raw,node-name=r,read-only=on,file.driver=${root_driver},file.filename=root" \
		-device virtio-blk-pci,drive=r \
		-blockdev driver=raw,node-name=d,file.driver=file,file.filename="$1",file.aio=io_uring \
		-device virtio-blk-pci,drive=d \
		-netdev user,id=n -device virtio-net-pci,netdev=n,romfile= \
		<&4 >"$log" 2>"$log.err" 3>&- &
	guest=$!
}

measure()
{
	as=$1
	shift
	"$@"
	complains=.
	finish
	tr -d '\r' <"$log" | sed -n "s/^:: says figure /figure $as /p; s/^:: says note /# $as: /p" >figures
	while read -r line; do report "$line"; done <figures
}

host()
{
	daemon iperf3 -s
	root_driver=host_device
	[ -b root ] || root_driver=file
	image=$(new_image 256M data)
	dd if=/dev/urandom of="$image" bs=1M count=256 2>/dev/null
	for _ in $(seq "$(cat rounds)"); do
		net='--net user'
		kmcl boot --help | grep -q -- --net || net=
		# shellcheck disable=SC2086
		measure kmcl start --disk "$image" $net
		# shellcheck disable=SC2086
		[ ! -e bench-guest-kit ] || measure kit monitor kmcl boot $plain --kernel bench-guest-kit --memory 64M --disk "$image"
		measure qemu start_qemu "$image"
		# shellcheck disable=SC2086
		measure monitored start --disk "$image" $net --monitored
	done
}
