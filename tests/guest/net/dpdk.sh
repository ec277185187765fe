# SPDX-License-Identifier: BSD-2-Clause
# DPDK's netvsc driver, by testpmd in the guest: it answers what it is sent, and floods.
# seconds: 70
#
# Its driver asks for the physical addresses of its buffers, which it has of huge pages alone. uio_hv_generic of
# Linux up to 6.12 takes monitored channels only. user/testpmd_starts.c has why testpmd forwards nothing by itself.

memory=512M
limit=420

# Of network adapters: HV_NIC_GUID in linux/hyperv.h.
nic_class=f8615163-df3e-46c5-913f-f2d2f965ed0e

# give_to_uio DEVICE: as driverctl(8) does it
give_to_uio()
{
	modprobe uio_hv_generic && cd /sys/bus/vmbus/drivers && echo "$nic_class" >uio_hv_generic/new_id &&
		echo "$1" >hv_netvsc/unbind && echo "$1" >uio_hv_generic/bind && [ -e "uio_hv_generic/$1" ]
}

huge_pages()
{
	echo 24 >/proc/sys/vm/nr_hugepages
	mkdir -p /dev/hugepages && mount -t hugetlbfs huge /dev/hugepages
	[ "$(cat /proc/sys/vm/nr_hugepages)" -ge 16 ]
}

# pmd COMMAND...: a line for testpmd, and what it says from then on is in /tmp/testpmd
pmd()
{
	: >/tmp/testpmd
	echo "$*" >&6
}

wrote()
{
	grep -q "$*" /tmp/testpmd || ! kill -0 "$testpmd"
}

# await_pmd WORD...: false, with all that it said, if it does not say that
await_pmd()
{
	within 120 wrote "$*" && grep "$*" /tmp/testpmd && return
	cat /tmp/testpmd
	return 1
}

start_testpmd()
{
	mkdir -p /var/run
	mkfifo /tmp/commands
	# What it says comes by lines; one thread takes commands and one forwards, on one processor.
	LD_PRELOAD=/tests/testpmd_starts.so stdbuf -oL dpdk-testpmd --lcores 0@0,1@0 --in-memory --no-pci --no-telemetry \
		-- --no-mlockall -i --total-num-mbufs=4096 --rxd=256 --txd=256 </tmp/commands >>/tmp/testpmd 2>&1 &
	testpmd=$!
	exec 6>/tmp/commands
	await_pmd '^Done'
}

# forward MODE
forward()
{
	pmd set fwd "$1"
	await_pmd "Set $1 packet forwarding mode" && pmd start && await_pmd 'packet forwarding'
}

# total RX|TX: frames, of its last "show port stats"
total()
{
	sed -n "s/^ *$1-packets: *\([0-9]*\) .*/\1/p" /tmp/testpmd
}

totals()
{
	pmd stop
	await_pmd '^Done' && pmd show port stats 0 && await_pmd 'Tx-bps'
}

guest()
{
	modprobe hv_netvsc
	check 'the adapter is there' within 10 has_interface
	check 'uio_hv_generic takes it' \
		give_to_uio "$(basename "$(readlink -f "/sys/class/net/$(interfaces | head -n 1)/device")")"
	check 'there is a /dev/uio0' within 5 [ -c /dev/uio0 ]
	check 'there are huge pages' huge_pages
	check 'testpmd has its port' start_testpmd || return
	check 'it is told to echo' forward icmpecho
	tell echoing
	hear echoed
	check 'it says what it did' totals
	check "and has received ($(total RX)) and sent ($(total TX))" [ "$(total RX)" -ge 20 -a "$(total TX)" -ge 20 ]
	sent=$(total TX)
	check 'it is told to send' forward txonly
	tell flooding
	hear flooded
	check 'it says what it did' totals
	check "and has sent more ($(total TX))" [ "$(total TX)" -gt $((sent + 1000)) ]
	tell "sent $(total TX)"
	pmd quit
	check 'testpmd ends' within 30 not kill -0 "$testpmd"
}

# Frames that came from the guest.
came()
{
	cat /sys/class/net/t0/statistics/rx_packets
}

many_came()
{
	[ "$(came)" -gt $((before + 1000)) ]
}

host()
{
	tap t0 || return
	start --net tap:t0 --monitored
	wait=300 await echoing || return
	check 'it answers small pings' ping -c 10 -W 5 192.168.77.2
	check 'and large ones' ping -c 10 -W 5 -s 1400 192.168.77.2
	before=$(came)
	tell echoed
	wait=120 await flooding || return
	check 'a thousand frames come from it' within 60 many_came
	tell flooded
	finish
	check "none of $(told sent) frames is lost ($(came))" [ "$(came)" -ge "$(told sent)" ]
}
