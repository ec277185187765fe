# SPDX-License-Identifier: BSD-2-Clause
# The link goes down and comes up again, and the guest notices.
# seconds: 15

control=control

carrier()
{
	[ "$(cat "/sys/class/net/$nic/carrier")" = "$1" ]
}

guest()
{
	check 'the network is up' network
	check 'and answers' ping -c 1 10.0.2.2
	check 'it has a carrier' within 5 carrier 1
	tell up
	hear down
	check 'which is lost' within 10 carrier 0
	refused 'nothing answers' ping -c 1 -W 1 10.0.2.2
	tell noticed
	hear up
	check 'and comes back' within 10 carrier 1
	check 'with the answers' within 10 ping -c 1 -W 1 10.0.2.2
}

host()
{
	start --net user
	await up
	check 'link down' ctl link down
	tell down
	await noticed
	check 'link up' ctl link up
	tell up
	finish
}
