/* SPDX-License-Identifier: BSD-2-Clause */

/* What a guest that panicked left in Hyper-V's crash registers (TLFS, guest crash enlightenment).
 */

#include "machine.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define HV_X64_MSR_CRASH_P0 0x40000100u
#define CRASH_REGISTERS     5u

void panic_describe(struct processor *processor, char *text, size_t size)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[CRASH_REGISTERS];
	} msrs = { .head.nmsrs = CRASH_REGISTERS };
	unsigned long long value[CRASH_REGISTERS];

	for (uint32_t i = 0; i < CRASH_REGISTERS; i++)
		msrs.entries[i].index = HV_X64_MSR_CRASH_P0 + i;
	if (ioctl(processor->fd, KVM_GET_MSRS, &msrs) != (int)CRASH_REGISTERS) {
		snprintf(text, size, "the guest panicked");
		return;
	}
	for (uint32_t i = 0; i < CRASH_REGISTERS; i++)
		value[i] = msrs.entries[i].data;
	snprintf(text, size,
	         "the guest panicked: error %#llx, system %#llx, instruction %#llx, rax %#llx, "
	         "stack %#llx",
	         value[0], value[1], value[2], value[3], value[4]);
}
