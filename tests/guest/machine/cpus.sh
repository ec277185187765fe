# SPDX-License-Identifier: BSD-2-Clause
# Guests with 1, 2 and 4 processors, each of which uses the disk.
# seconds: 45

guest()
{
	wanted=$(sed -n 's/.*kmcl.cpus=\([0-9]*\).*/\1/p' /proc/cmdline)
	d=$(disk 0)
	equal 'all processors are there' "$wanted" "$(nproc)"
	for cpu in $(seq 0 $((wanted - 1))); do
		check "processor $cpu reads the disk" \
			taskset -c "$cpu" dd if="$d" of=/dev/null bs=256k count=16 skip=$((cpu * 16)) iflag=direct
	done
	check 'all at a time' sh -c "for c in \$(seq 0 $((wanted - 1))); do
		taskset -c \$c dd if=$d of=/tmp/r\$c bs=64k count=128 iflag=direct & done 2>/dev/null; wait
		for c in \$(seq 0 $((wanted - 1))); do cmp /tmp/r0 /tmp/r\$c || exit 1; done"
	check 'every processor takes interrupts of the bus' \
		awk -v n="$wanted" '/^HYP:|Hypervisor callback/ { for (i = 2; i < n + 2; i++) if (!$i) exit 1; seen = 1 }
			END { exit !seen }' /proc/interrupts
}

host()
{
	for cpus in $(rounds '2 4' '1 2 4'); do
		as="$cpus processors"
		append=kmcl.cpus=$cpus
		boot
	done
}
