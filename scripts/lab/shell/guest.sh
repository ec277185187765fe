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

# disk N: the Nth SCSI or virtio disk's device, from 0
disk()
{
	for disk_name in "/dev/sd$(echo "$1" | tr 0-9 a-j)" "/dev/vd$(echo "$1" | tr 0-9 a-j)"; do
		[ ! -b "$disk_name" ] || echo "$disk_name"
	done
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

# Warnings and errors, that is levels 0 to 4 of the kernel.
complaints()
{
	dmesg -r | sed -n 's/^<[0-4]>\[[^]]*\] //p'
}
