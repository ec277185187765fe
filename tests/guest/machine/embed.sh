# SPDX-License-Identifier: BSD-2-Clause
# Another monitor, at its smallest, gives its machine a bus: examples/embed_kvm.c.
# seconds: 2

host()
{
	check 'its guest sees a hypervisor of Microsoft' embed_kvm
}
