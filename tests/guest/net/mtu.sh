# SPDX-License-Identifier: BSD-2-Clause
# The guest changes its MTU, which makes its driver open the channel anew; frames of that size go through.
# seconds: 38

guest()
{
	check 'the network is up' static_network
	for mtu in 1400 1500 576 1500; do
		check "MTU $mtu is set" ip link set "$nic" mtu $mtu
		check "frames of that size go through" within 10 ping -c 2 -W 1 -s $((mtu - 28)) -M do 192.168.77.1
		refused "larger ones do not" ping -c 1 -W 1 -s $((mtu - 27)) -M do 192.168.77.1
	done
	# 9216 bytes of a frame are the most that the host takes: the kernel asks it what it got.
	check 'MTU 9202 is set' ip link set "$nic" mtu 9202
	check 'frames of that size go through' within 10 ping -c 2 -W 1 -s $((9202 - 28)) -M do 192.168.77.1
	ip link set "$nic" mtu 1500
	ip link set "$nic" mtu 9203
	equal 'MTU 9203 is the nearest possible' 9202 "$(cat "/sys/class/net/$nic/mtu")"
	check 'of which frames go through' within 10 ping -c 2 -W 1 -s $((9202 - 28)) -M do 192.168.77.1
	check 'MTU 1500 is set again' ip link set "$nic" mtu 1500
	check 'the adapter goes down and up' sh -c "ip link set $nic down && ip link set $nic up"
	ip route replace 192.168.77.0/24 dev "$nic"
	check 'and answers' within 10 ping -c 1 -W 1 192.168.77.1
}

host()
{
	tap t0 || return
	ip link set t0 mtu 9202
	boot --net tap:t0
}
