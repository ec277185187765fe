/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Model-specific registers that KVM refuses to write. Linux keeps some registers over a sleep,
 * those that it could read before (arch/x86/power/cpu.c, pm_save_spec_msr), and complains
 * where it cannot write one back what was in it. KVM of several versions lets AMD's DE_CFG be read
 * and not be written, but for one bit (arch/x86/kvm/svm/svm.c, svm_set_msr).
 *
 * Where KVM can ask, it asks here about what it would answer with a fault
 * (KVM_CAP_X86_USER_SPACE_MSR, Documentation/virt/kvm/api.rst); where it cannot, all is as it was.
 */

#include "machine.h"

#include <sys/ioctl.h>

#define MSR_AMD64_DE_CFG 0xc0011029u

void msrs_ask_for(int vm)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR };

	cap.args[0] = KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN;
	ioctl(vm, KVM_ENABLE_CAP, &cap);
}

/* What is written is forgotten: it concerns what the processor speculates about, which is the
 * host's to say. */
void msrs_answer(struct kvm_run *run)
{
	bool known = run->msr.index == MSR_AMD64_DE_CFG;

	run->msr.error = !known;
	if (run->exit_reason == KVM_EXIT_X86_RDMSR)
		run->msr.data = 0;
}
