# SPDX-License-Identifier: BSD-2-Clause
# The guest's end of a test. What the host shall see goes over the serial port, in lines that begin "::".
# The host's words come the same way.

. /tests/both.sh

say()
{
	echo ":: $*" >/dev/console
}

report()
{
	say "$@"
}

# tell WORD...: for the host's await
tell()
{
	say "says $*"
}

# hear WORD...: waits until the host has said that
hear()
{
	while read -r hear_line </dev/console; do
		[ "$hear_line" != "$*" ] || return 0
	done
}

# The newest version of VMBus that this kernel speaks (its drivers/hv/connection.c), and no newer than $1.
version_up_to()
{
	case $(uname -r) in
	5.10.*) newest=5.2 ;;
	5.* | 6.1.* | 6.12.*) newest=5.3 ;;
	*) newest=6.0 ;;
	esac
	printf '%s\n' "$1" "$newest" | sort -t . -k 1,1n -k 2,2n | head -n 1
}

# Whether version $1 of VMBus is one that this kernel still speaks.
version_spoken()
{
	case $(uname -r) in
	5.* | 6.1.* | 6.12.*) oldest=0.13 ;;
	*) oldest=4.0 ;;
	esac
	[ "$(printf '%s\n' "$1" "$oldest" | sort -t . -k 1,1n -k 2,2n | head -n 1)" = "$oldest" ]
}

# disk N: the device of the disk at LUN N, or virtio's Nth. Letters are given in the order of probing.
disk()
{
	for disk_path in "/sys/bus/scsi/devices/"*":0:0:$1/block/"* "/sys/block/vd$(echo "$1" | tr 0-9 a-j)"; do
		[ ! -e "$disk_path" ] || echo "/dev/${disk_path##*/}"
	done
}

has_disk()
{
	[ -b "$(disk "$1")" ]
}

interfaces()
{
	ls /sys/class/net | grep -v '^lo$'
}

has_interface()
{
	[ "$(interfaces | wc -l)" -ge "${1:-1}" ]
}

# The script of udhcpc(8), which calls it with the lease in its environment.
lease()
{
	cat >/run/lease <<-'L'
	#!/bin/sh
	case $1 in
	deconfig) ip address flush dev "$interface"; ip link set "$interface" up ;;
	bound | renew)
		ip address add "$ip/$mask" dev "$interface" 2>/dev/null
		ip route replace default via "${router%% *}" dev "$interface"
		for server in $dns; do echo "nameserver $server"; done >/run/resolv.conf ;;
	esac
	L
	chmod +x /run/lease
	busybox udhcpc -i "$1" -s /run/lease -n -q -t 5 -T 2 -f
}

# network: loads the drivers, waits for the first interface and gets it a lease
network()
{
	modprobe hv_netvsc 2>/dev/null || modprobe virtio_net || return
	within 10 has_interface || return
	nic=$(interfaces | head -n 1)
	ip link set "$nic" up
	lease "$nic"
}

# static_network: the same on a network of tap() in host.sh
static_network()
{
	modprobe hv_netvsc 2>/dev/null || modprobe virtio_net || return
	within 10 has_interface || return
	nic=$(interfaces | head -n 1)
	ip link set "$nic" up
	ip address replace 192.168.77.2/24 dev "$nic"
	within 10 ping -c 1 -W 1 192.168.77.1
}

# Warnings and errors, that is levels 0 to 4 of the kernel.
complaints()
{
	dmesg -r | sed -n 's/^<[0-4]>\[[^]]*\] //p'
}

# leave poweroff|reboot: the kernel's warnings go to the host before
leave()
{
	complaints | while read -r line; do say "dmesg $line"; done
	say "end"
	sync
	mount -o remount,ro / 2>/dev/null
	exec busybox "$1" -f
}
