/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

/*
 * An EX_SPIN_LOCK or EX_PUSH_LOCK: how many readers, whether there is a writer, whether one waits
 * (which keeps new readers out), and whether anybody sleeps on it. Who frees it clears the last two
 * and wakes all.
 */
#define WRITER   0x80000000u
#define SLEEPERS 0x40000000u
#define WANTED   0x20000000u
#define READERS  0x1fffffffu

static uint32_t *word_of(PEX_SPIN_LOCK lock)
{
	return (uint32_t *)lock;
}

static bool try_shared(uint32_t *word)
{
	uint32_t now = __atomic_load_n(word, __ATOMIC_RELAXED);

	while (!(now & (WRITER | WANTED)))
		if (__atomic_compare_exchange_n(word, &now, now + 1, true, __ATOMIC_ACQUIRE,
		                                __ATOMIC_RELAXED))
			return true;
	return false;
}

static bool try_exclusive(uint32_t *word)
{
	uint32_t now = __atomic_load_n(word, __ATOMIC_RELAXED);

	while (!(now & (WRITER | READERS)))
		if (__atomic_compare_exchange_n(word, &now, now | WRITER, true, __ATOMIC_ACQUIRE,
		                                __ATOMIC_RELAXED))
			return true;
	return false;
}

/* Sleeps while somebody has it; `marks` says what is to be noted first. */
static void sleep_on(uint32_t *word, uint32_t marks)
{
	uint32_t now = __atomic_load_n(word, __ATOMIC_RELAXED);

	if (!(now & (WRITER | READERS)))
		return;
	if ((now & marks) == marks ||
	    __atomic_compare_exchange_n(word, &now, now | marks, false, __ATOMIC_RELAXED,
	                                __ATOMIC_RELAXED))
		nt_futex_wait(word, now | marks, NT_CLOCK_MONOTONIC, NT_FOREVER);
}

static void acquire(uint32_t *word, bool (*try_it)(uint32_t *word), uint32_t marks)
{
	unsigned i;

	for (i = 0; i < nt_spin_limit; i++) {
		if (try_it(word))
			return;
		YieldProcessor();
	}
	while (!try_it(word))
		sleep_on(word, marks);
}

static void release(uint32_t *word, uint32_t part, const char *function)
{
	uint32_t now = __atomic_load_n(word, __ATOMIC_RELAXED), next;

	do {
		if (part == WRITER ? !(now & WRITER) : !(now & READERS)) {
			nt_misuse(function, NULL, "the lock is not held that way");
			return;
		}
		next = now - part;
		if (!(next & READERS))
			next = 0;
	} while (!__atomic_compare_exchange_n(word, &now, next, false, __ATOMIC_RELEASE,
	                                      __ATOMIC_RELAXED));
	if (next == 0 && (now & SLEEPERS))
		nt_futex_wake(word, INT_MAX);
}

KIRQL ExAcquireSpinLockShared(PEX_SPIN_LOCK lock)
{
	KIRQL old = KeRaiseIrqlToDpcLevel();

	acquire(word_of(lock), try_shared, SLEEPERS);
	return old;
}

void ExReleaseSpinLockShared(PEX_SPIN_LOCK lock, KIRQL old_irql)
{
	release(word_of(lock), 1, __func__);
	KeLowerIrql(old_irql);
}

void ExAcquireSpinLockSharedAtDpcLevel(PEX_SPIN_LOCK lock)
{
	acquire(word_of(lock), try_shared, SLEEPERS);
}

void ExReleaseSpinLockSharedFromDpcLevel(PEX_SPIN_LOCK lock)
{
	release(word_of(lock), 1, __func__);
}

KIRQL ExAcquireSpinLockExclusive(PEX_SPIN_LOCK lock)
{
	KIRQL old = KeRaiseIrqlToDpcLevel();

	acquire(word_of(lock), try_exclusive, SLEEPERS | WANTED);
	return old;
}

void ExReleaseSpinLockExclusive(PEX_SPIN_LOCK lock, KIRQL old_irql)
{
	release(word_of(lock), WRITER, __func__);
	KeLowerIrql(old_irql);
}

void ExAcquireSpinLockExclusiveAtDpcLevel(PEX_SPIN_LOCK lock)
{
	acquire(word_of(lock), try_exclusive, SLEEPERS | WANTED);
}

void ExReleaseSpinLockExclusiveFromDpcLevel(PEX_SPIN_LOCK lock)
{
	release(word_of(lock), WRITER, __func__);
}

LOGICAL ExTryConvertSharedSpinLockExclusive(PEX_SPIN_LOCK lock)
{
	uint32_t *word = word_of(lock);
	uint32_t now = __atomic_load_n(word, __ATOMIC_RELAXED);

	while ((now & (READERS | WRITER)) == 1)
		if (__atomic_compare_exchange_n(word, &now, (now - 1) | WRITER, false,
		                                __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return TRUE;
	return FALSE;
}

/* ---- push locks: the same in the low half of a word, without the IRQL ---- */

static uint32_t *low_half(PEX_PUSH_LOCK lock)
{
	return (uint32_t *)lock + (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : 1);
}

void ExAcquirePushLockExclusiveEx(PEX_PUSH_LOCK lock, ULONG flags)
{
	if (nt_irql_at_most(APC_LEVEL, __func__, NULL))
		acquire(low_half(lock), try_exclusive, SLEEPERS | WANTED);
}

void ExAcquirePushLockSharedEx(PEX_PUSH_LOCK lock, ULONG flags)
{
	if (nt_irql_at_most(APC_LEVEL, __func__, NULL))
		acquire(low_half(lock), try_shared, SLEEPERS);
}

BOOLEAN ExTryAcquirePushLockExclusiveEx(PEX_PUSH_LOCK lock, ULONG flags)
{
	return nt_irql_at_most(APC_LEVEL, __func__, NULL) && try_exclusive(low_half(lock));
}

BOOLEAN ExTryAcquirePushLockSharedEx(PEX_PUSH_LOCK lock, ULONG flags)
{
	return nt_irql_at_most(APC_LEVEL, __func__, NULL) && try_shared(low_half(lock));
}

void ExReleasePushLockExclusiveEx(PEX_PUSH_LOCK lock, ULONG flags)
{
	release(low_half(lock), WRITER, __func__);
}

void ExReleasePushLockSharedEx(PEX_PUSH_LOCK lock, ULONG flags)
{
	release(low_half(lock), 1, __func__);
}
