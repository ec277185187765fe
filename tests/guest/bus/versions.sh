# SPDX-License-Identifier: BSD-2-Clause
# Versions of VMBus that Linux 6.1 speaks (drivers/hv/connection.c; --long: each), where the host goes no further. An older
# kernel goes no further itself; a newer one (7.3) may not speak the oldest any more, and says so.
# seconds: 40

root=none
complains='host does not support VMBus|host may be an older version|Unable to connect to host'

guest()
{
	modprobe hv_vmbus
	version=$(sed -n 's/.*kmcl.version=\([0-9.]*\).*/\1/p' /proc/cmdline)
	if ! version_spoken "$version"; then
		check 'is too old for this kernel' sh -c 'dmesg | grep "host does not support VMBus version 4.0 or higher"'
		refused 'with which it does not connect' sh -c 'dmesg | grep "Vmbus version:"'
		return
	fi
	equal 'is what is agreed on' "$(version_up_to "$version")" \
		"$(dmesg | sed -n 's/.*Vmbus version:\([0-9.]*\).*/\1/p')"
	modprobe -a hv_storvsc sd_mod hv_utils
	check 'the disk is there' within 10 has_disk 0
	check 'and is written and read' sh -c 'dd if=/dev/urandom of=/tmp/x bs=1M count=4 2>/dev/null &&
		dd if=/tmp/x of=/dev/sda bs=1M oflag=direct && echo 3 >/proc/sys/vm/drop_caches && head -c 4194304 /dev/sda | cmp - /tmp/x'
	check 'and the network' network
	check 'with an answer' ping -c 1 10.0.2.2
}

host()
{
	image=$(new_image 16M disk)
	for version in $(rounds '5.1 4.0 2.4' '5.3 5.2 5.1 5.0 4.1 4.0 3.0 2.4'); do
		as="version $version"
		append=kmcl.version=$version
		boot --version-max "$version" --disk "$image" --net user
	done
}
