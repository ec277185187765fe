/* SPDX-License-Identifier: BSD-2-Clause */

/* What KVM asks about is a fault of the guest's, but for the registers that Linux writes back. */

#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct kvm_run exit_of(uint32_t reason, uint32_t index, uint64_t data)
{
	struct kvm_run run = { .exit_reason = reason };

	run.msr.index = index;
	run.msr.data = data;
	run.msr.error = 2;
	msrs_answer(&run);
	return run;
}

static void what_linux_writes_back_is_taken(void **state)
{
	struct kvm_run run = exit_of(KVM_EXIT_X86_WRMSR, 0xc0011029, 0x1002);

	assert_int_equal(run.msr.error, 0);
	run = exit_of(KVM_EXIT_X86_RDMSR, 0xc0011029, 7);
	assert_int_equal(run.msr.error, 0);
	assert_int_equal(run.msr.data, 0);
}

static void others_fault(void **state)
{
	static const uint32_t indexes[] = {
		0, 0x10, 0xc0011028, 0xc001102a, 0x40000000, 0xffffffff
	};

	for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
		assert_int_equal(exit_of(KVM_EXIT_X86_WRMSR, indexes[i], 1).msr.error, 1);
		assert_int_equal(exit_of(KVM_EXIT_X86_RDMSR, indexes[i], 1).msr.error, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_linux_writes_back_is_taken),
		cmocka_unit_test(others_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
