# SPDX-License-Identifier: BSD-2-Clause
# A guest of the kit on two processors with interrupts, tests/guest/kit_guest: one has the bus and a disk, the other a
# channel of its own, and both sleep until the host signals.
# seconds: 10

shows()
{
	tr -d '\r' <"$log" | grep -q "^$*\$"
}

host()
{
	control=control
	image=$(new_image 4M data)
	yes abcdefg | head -c 4194304 >"$image" # 97 + 98 + ... + 103 + 10, in each 8 bytes
	monitor kmcl boot $plain --kernel kit_guest --cpus 2 --memory 64M --disk "$image" --echo --control "$control"
	check 'the second processor begins' within 30 shows 'second processor: 1'
	check 'the first reads the disk' within 30 shows "disk: sum $(((97 + 98 + 99 + 100 + 101 + 102 + 103 + 10) * 524288))"
	check 'the second reads it too, on a channel of its own' within 30 \
		shows "lane: sum $(((97 + 98 + 99 + 100 + 101 + 102 + 103 + 10) * 524288))"
	check 'what the second sends comes back' within 30 shows 'echo: back 2000'
	check 'its heart beats' within 30 heartbeat_is ok
	check 'it is told the time' within 30 shows 'time: 1[0-9]*'
	check 'it is asked to restart' ctl reboot
	check 'and understands' within 30 shows 'restart: 1'
	check 'and powers off all the same' wait "$guest"
	check 'all that came back was right' shows 'echo: wrong 0'
	check 'the second processor slept' shows 'echo: slept 1'
}
