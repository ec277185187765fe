/* SPDX-License-Identifier: BSD-2-Clause */

/* Hyper-V's processor leaves. Sources: TLFS 2.4; Linux arch/x86/kvm/hyperv.c, kvm_get_hv_cpuid. */

#include <kmcl/kvm.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define FEATURES                1u
#define FEATURES_ECX_HYPERVISOR (1u << 31)

#define HYPERVISOR_FIRST 0x40000000u
#define HYPERVISOR_LAST  0x4fffffffu
#define HV_FEATURES      0x40000003u
#define HV_LIMITS                                                               \
	0x40000005u /* the last: those after it are a nested hypervisor's, or a \
	             * debugger's, and neither is there */
#define LEAVES_MAX 32u

#define HV_FEATURES_EBX_DEBUG (1u << 11)
#define HV_FEATURES_EDX_DEBUG (1u << 1 | 1u << 11)

static struct kvm_cpuid2 *supported(int vcpu, int *error)
{
	struct kvm_cpuid2 *leaves =
		calloc(1, sizeof(*leaves) + LEAVES_MAX * sizeof(leaves->entries[0]));

	*error = -ENOMEM;
	if (!leaves)
		return NULL;
	leaves->nent = LEAVES_MAX;
	if (ioctl(vcpu, KVM_GET_SUPPORTED_HV_CPUID, leaves) == 0)
		return leaves;
	*error = -errno;
	free(leaves);
	return NULL;
}

static void remove_others(struct kvm_cpuid2 *cpuid)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		uint32_t leaf = cpuid->entries[i].function;

		if (leaf < HYPERVISOR_FIRST || leaf > HYPERVISOR_LAST)
			cpuid->entries[kept++] = cpuid->entries[i];
	}
	cpuid->nent = kept;
}

/* KVM_GET_SUPPORTED_CPUID leaves this to the monitor, and without it no guest looks further. */
static void tell_of_hypervisor(struct kvm_cpuid2 *cpuid)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == FEATURES)
			cpuid->entries[i].ecx |= FEATURES_ECX_HYPERVISOR;
}

/* "Microsoft Hv": guests look for this name. */
static void name_leaf(struct kvm_cpuid_entry2 *leaf)
{
	leaf->eax = HV_LIMITS;
	leaf->ebx = 0x7263694d;
	leaf->ecx = 0x666f736f;
	leaf->edx = 0x76482074;
}

int kmcl_kvm_cpuid(int vcpu, struct kvm_cpuid2 *cpuid, uint32_t capacity)
{
	struct kvm_cpuid2 *leaves;
	int error;

	if (!cpuid || cpuid->nent > capacity)
		return -EINVAL;
	leaves = supported(vcpu, &error);
	if (!leaves)
		return error;
	error = 0;
	remove_others(cpuid);
	tell_of_hypervisor(cpuid);
	for (uint32_t i = 0; i < leaves->nent && !error; i++) {
		struct kvm_cpuid_entry2 *leaf = &leaves->entries[i];

		if (leaf->function > HV_LIMITS)
			continue;
		if (leaf->function == HYPERVISOR_FIRST)
			name_leaf(leaf);
		if (leaf->function == HV_FEATURES) {
			leaf->ebx &= ~HV_FEATURES_EBX_DEBUG;
			leaf->edx &= ~HV_FEATURES_EDX_DEBUG;
		}
		if (cpuid->nent == capacity)
			error = -E2BIG;
		else
			cpuid->entries[cpuid->nent++] = *leaf;
	}
	free(leaves);
	return error;
}
