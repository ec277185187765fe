# SPDX-License-Identifier: BSD-2-Clause
# Floods of the smallest and the largest frames, both ways, after which all is well.
# seconds: 25

limit=120

flood()
{
	iperf3 -c 192.168.77.1 -u -b 0 -t 1 "$@" | tail -n 4 | sed -n 's/.* \([0-9]*\)\/\([0-9]*\) .*receiver.*/\1 of \2 lost/p'
}

sent()
{
	case $2 in
	*' of '*) report "ok $1"; report "# $2" ;;
	*) report "not ok $1" ;;
	esac
}

guest()
{
	check 'the network is up' static_network
	sent 'the smallest frames from the guest' "$(flood -l 16)"
	sent 'the smallest frames to it' "$(flood -l 16 -R)"
	sent 'the largest frames from the guest' "$(flood -l 1472)"
	sent 'the largest frames to it' "$(flood -l 1472 -R)"
	check 'the network answers as before' within 10 ping -c 2 -W 2 192.168.77.1
	check 'a flood of pings' ping -q -f -c 2000 192.168.77.1
	check 'TCP from the guest' iperf3 -c 192.168.77.1 -t 2
	check 'TCP to it' iperf3 -c 192.168.77.1 -t 2 -R
}

host()
{
	tap t0 || return
	daemon iperf3 -s
	boot --net tap:t0
}
