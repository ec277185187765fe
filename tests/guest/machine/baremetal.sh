# SPDX-License-Identifier: BSD-2-Clause
# A guest of the kit alone, examples/baremetal, by each compiler: it has its disk and network, and goes when asked to.
# seconds: 15

shows()
{
	tr -d '\r' <"$log" | grep -q "^$*\$"
}

# system PROGRAM
system()
{
	as=$1
	image=$(new_image 4M "$1.img")
	printf abc | dd of="$image" conv=notrunc 2>/dev/null # 97 + 98 + 99
	monitor kmcl boot $plain --kernel "$1" --memory 64M --disk "$image" --net user --control "$control"
	check 'it finds its disk' within 30 shows 'disk: found'
	check 'and reads all of it' within 30 shows 'disk: read'
	check 'what it writes is done' within 30 shows 'disk: written'
	check 'its network is there' within 30 shows 'network: ready'
	check 'and the gateway answers a ping' within 30 shows 'network: the gateway answers'
	check 'its heart beats' within 30 heartbeat_is ok
	check 'it is asked to power off' ctl shutdown
	check 'and does' wait "$guest"
	check 'having said so' shows 'powering off'
	printf '\046\001\0\0\0\0\0\0' >scratch/sum
	dd if="$image" bs=512 skip=8184 2>/dev/null | head -c 8 >scratch/written
	check 'the sum is in the last page' cmp scratch/sum scratch/written
	as=
}

host()
{
	control=control
	for compiler in gcc clang; do
		if [ ! -e "baremetal_${compiler}_O2" ]; then
			skip "a system by $compiler" 'no such compiler where this was built'
			continue
		fi
		system "baremetal_${compiler}_O2"
		system "baremetal_${compiler}_Os"
	done
}
