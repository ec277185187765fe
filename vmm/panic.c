/* SPDX-License-Identifier: BSD-2-Clause */

/* What a guest that panicked left in Hyper-V's crash registers (TLFS, guest crash enlightenment).
 */

#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define HV_X64_MSR_CRASH_P0 0x40000100u
#define CRASH_REGISTERS     5u

static bool read_registers(struct processor *processor, unsigned long long *value)
{
	struct kvm_msrs *msrs =
		calloc(1, sizeof(*msrs) + CRASH_REGISTERS * sizeof(msrs->entries[0]));
	bool good;

	if (!msrs)
		return false;
	msrs->nmsrs = CRASH_REGISTERS;
	for (uint32_t i = 0; i < CRASH_REGISTERS; i++)
		msrs->entries[i].index = HV_X64_MSR_CRASH_P0 + i;
	good = ioctl(processor->fd, KVM_GET_MSRS, msrs) == (int)CRASH_REGISTERS;
	for (uint32_t i = 0; i < CRASH_REGISTERS && good; i++)
		value[i] = msrs->entries[i].data;
	free(msrs);
	return good;
}

void panic_describe(struct processor *processor, char *text, size_t size)
{
	unsigned long long value[CRASH_REGISTERS];

	if (!read_registers(processor, value)) {
		snprintf(text, size, "the guest panicked");
		return;
	}
	snprintf(text, size,
	         "the guest panicked: error %#llx, system %#llx, instruction %#llx, rax %#llx, "
	         "stack %#llx",
	         value[0], value[1], value[2], value[3], value[4]);
}
