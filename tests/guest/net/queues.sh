# SPDX-License-Identifier: BSD-2-Clause
# Four queues on four processors: offered, used, turned down to two and up again.
# seconds: 55

cpus=4
limit=120

combined()
{
	ethtool -l "$nic" | sed -n '/Current/,$s/^Combined:[^0-9]*//p'
}

# How many queues received anything.
used()
{
	ethtool -S "$nic" | awk '/^ *rx_queue_[0-9]*_packets:/ && $2 > 0 { n++ } END { print n + 0 }'
}

streams()
{
	iperf3 -c 192.168.77.1 -t 2 -P 16 -R && iperf3 -c 192.168.77.1 -t 2 -P 16
}

guest()
{
	check 'the network is up' static_network
	equal 'four queues are in use' 4 "$(combined)"
	check 'the indirection table knows all four' \
		[ "$(ethtool -x "$nic" | sed -n 's/^ *[0-9]*: *//p' | tr -s ' ' '\n' | sort -un | paste -sd ' ')" = '0 1 2 3' ]
	check 'sixteen streams each way' streams
	check "more than one queue has received ($(used))" [ "$(used)" -gt 1 ]
	check 'two queues' ethtool -L "$nic" combined 2
	equal 'are in use' 2 "$(combined)"
	static_network
	check 'and answer' within 10 ping -c 1 -W 1 192.168.77.1
	check 'four again' ethtool -L "$nic" combined 4
	static_network
	check 'and answer' within 10 ping -c 1 -W 1 192.168.77.1
	check 'streams as before' streams
}

host()
{
	tap t0 || return
	daemon iperf3 -s
	boot --net tap:t0,queues=4
}
