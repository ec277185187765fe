# SPDX-License-Identifier: BSD-2-Clause
# A driver in the guest's user space, by uio_hv_generic, which up to Linux 6.12 takes monitored channels only.
# seconds: 12

root=none

# ECHO_INTERFACE_TYPE of devices/echo.
echo_class=6b6d636c-0010-4000-8065-63686f000001

guest()
{
	modprobe -a hv_vmbus uio_hv_generic
	check 'the driver takes a class that it is told' \
		sh -c "echo $echo_class >/sys/bus/vmbus/drivers/uio_hv_generic/new_id"
	check 'and has the device' within 5 [ -c /dev/uio0 ]
	check 'a thousand packets go there and back, an interrupt each' /tests/uio_echo uio0 1000
	say "# $(tail -n 1 /tmp/check)"
	check 'closed and opened again, as many' /tests/uio_echo uio0 1000
	check 'the driver lets go of it' sh -c 'basename "$(readlink -f /sys/class/uio/uio0/device)" \
		>/sys/bus/vmbus/drivers/uio_hv_generic/unbind'
	refused 'and its device is gone' [ -c /dev/uio0 ]
}

host()
{
	boot --echo --monitored
}
