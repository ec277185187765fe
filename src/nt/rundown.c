/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

#define GOING ((ULONG_PTR)1)

static const uint32_t *futex_of(const EX_RUNDOWN_REF *ref)
{
	const uint32_t *half = (const uint32_t *)&ref->Count;

	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? half : half + 1;
}

BOOLEAN ExAcquireRundownProtectionEx(PEX_RUNDOWN_REF ref, ULONG count)
{
	ULONG_PTR now = __atomic_load_n(&ref->Count, __ATOMIC_RELAXED);

	do {
		if (now & GOING)
			return FALSE;
	} while (!__atomic_compare_exchange_n(&ref->Count, &now, now + 2 * (ULONG_PTR)count, true,
	                                      __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
	return TRUE;
}

BOOLEAN ExAcquireRundownProtection(PEX_RUNDOWN_REF ref)
{
	return ExAcquireRundownProtectionEx(ref, 1);
}

void ExReleaseRundownProtectionEx(PEX_RUNDOWN_REF ref, ULONG count)
{
	ULONG_PTR drop = 2 * (ULONG_PTR)count;
	ULONG_PTR now = __atomic_load_n(&ref->Count, __ATOMIC_RELAXED);

	do {
		if (now < drop) {
			nt_misuse("ExReleaseRundownProtection", NULL, "it was not acquired");
			return;
		}
	} while (!__atomic_compare_exchange_n(&ref->Count, &now, now - drop, true, __ATOMIC_RELEASE,
	                                      __ATOMIC_RELAXED));
	/* Who waits may free it now: only its address is used. */
	if (now - drop == GOING)
		nt_futex_wake(futex_of(ref), INT_MAX);
}

void ExReleaseRundownProtection(PEX_RUNDOWN_REF ref)
{
	ExReleaseRundownProtectionEx(ref, 1);
}

void ExWaitForRundownProtectionRelease(PEX_RUNDOWN_REF ref)
{
	ULONG_PTR now;

	if (!nt_irql_at_most(APC_LEVEL, __func__, NULL))
		return;
	now = __atomic_or_fetch(&ref->Count, GOING, __ATOMIC_ACQ_REL);
	while (now != GOING) {
		nt_futex_wait(futex_of(ref), (uint32_t)now, NT_CLOCK_MONOTONIC, NT_FOREVER);
		now = __atomic_load_n(&ref->Count, __ATOMIC_ACQUIRE);
	}
}

void ExReInitializeRundownProtection(PEX_RUNDOWN_REF ref)
{
	__atomic_store_n(&ref->Count, 0, __ATOMIC_RELEASE);
}

void ExRundownCompleted(PEX_RUNDOWN_REF ref)
{
	__atomic_store_n(&ref->Count, GOING, __ATOMIC_RELEASE);
}
