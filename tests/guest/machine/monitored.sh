# SPDX-License-Identifier: BSD-2-Clause
# Monitored channels: a stock guest signals through the monitor page, and nobody looks there while nothing moves.
# seconds: 40

limit=200
control=control

# Linux shows what a channel's monitor bit is, if it has one.
monitored()
{
	for d in /sys/bus/vmbus/devices/*; do
		[ "$(basename "$(readlink "$d/driver")")" = "$1" ] && [ -e "$d/monitor_id" ] && return
	done
	return 1
}

guest()
{
	check 'the network has an address' network
	modprobe hv_utils
	check 'the disk is monitored' monitored hv_storvsc
	check 'the network is monitored' monitored hv_netvsc
	check 'the integration components are not' not monitored hv_utils
	d=$(disk 1)
	head -c 8000000 /dev/urandom >/tmp/data
	check 'a disk is written' dd if=/tmp/data of="$d" bs=1M oflag=direct,sync iflag=fullblock count=7
	check 'and read' sh -c "dd if=$d bs=64k count=112 iflag=direct | cmp -n 7340032 - /tmp/data"
	check 'in small pieces' dd if="$d" of=/dev/null bs=4k count=256 iflag=direct
	check 'frames come and go' curl -sS -f -o /tmp/file http://10.0.2.2:8080/file
	tell "got $(sum /tmp/file)"
	for pause in 1 0.3 0.1 0.03 0.01 0.003; do
		sleep $pause
		check "the first signal after $pause s is seen" dd if="$d" of=/dev/null bs=4k count=1 iflag=direct
	done
	ip link set "$nic" down
	tell rests
	hear on
	check 'the first signal after a long rest is seen' dd if="$d" of=/dev/null bs=4k count=1 iflag=direct
}

# Of the threads that look at the page: how often they were switched to.
switches()
{
	for t in "/proc/$pid/task/"*; do
		case $(cat "$t/comm") in
		kmcl-monitor | kmcl-guard) sed -n 's/^\(non\)\?voluntary_ctxt_switches:[^0-9]*//p' "$t/status" ;;
		esac
	done | awk '{ sum += $1 } END { print sum + 0 }'
}

# Of all that carry signals: their time of a processor.
hundredths()
{
	for t in "/proc/$pid/task/"*; do
		case $(cat "$t/comm") in
		kmcl-*) cut -d' ' -f14,15 "$t/stat" ;;
		esac
	done | awk '{ sum += $1 + $2 } END { print sum + 0 }'
}

rests()
{
	before=$(switches)
	sleep 1
	after=$(switches)
	[ "$before" -gt 0 ] && [ "$after" -ge "$before" ] && [ $((after - before)) -lt 20 ]
}

host()
{
	serve_files
	head -c 1000000 /dev/urandom >scratch/www/file
	start --disk "$(new_image 16M data)" --net user --monitored
	wait=90
	await rests || return
	pid=$(pidof kmcl)
	equal 'what came is what was sent' "$(sum scratch/www/file)" "$(told got)"
	check 'the host has guards' not grep 'cost looks' "$log.err"
	check 'it comes to rest' within 2 rests
	before=$(switches) began=$(hundredths)
	sleep 5
	check 'the guest is still there' [ -d "/proc/$pid/task" ]
	count=$(($(switches) - before)) time=$(($(hundredths) - began))
	report "# in 5 s: $count times woken, $time hundredths of a second of processor time"
	check 'nobody looks while nothing moves' [ "$count" -lt 100 ]
	check 'and it takes no time of a processor' [ "$time" -le 2 ]
	tell on
	finish
}
