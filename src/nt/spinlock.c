/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

/*
 * A KSPIN_LOCK's low half is what its waiters sleep on: bit 0 held, bit 1 somebody sleeps. The high
 * half is the owner's id, so that taking it twice and releasing another's are found out.
 */
#define HELD     UINT64_C(1)
#define SLEEPERS UINT64_C(2)

_Static_assert(sizeof(KSPIN_LOCK) == sizeof(uint64_t), "an owner and a futex");

static uint64_t owner_word(void)
{
	return (uint64_t)nt_self_id() << 32 | HELD;
}

static const uint32_t *futex_of(const KSPIN_LOCK *lock)
{
	const uint32_t *half = (const uint32_t *)lock;

	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? half : half + 1;
}

static bool try_acquire(PKSPIN_LOCK lock, uint64_t mine)
{
	uint64_t free = 0;

	return __atomic_compare_exchange_n(lock, &free, mine, false, __ATOMIC_ACQUIRE,
	                                   __ATOMIC_RELAXED);
}

static bool is_mine(const KSPIN_LOCK *lock)
{
	return __atomic_load_n(lock, __ATOMIC_RELAXED) >> 32 == nt_self_id();
}

/* Sleeps until it is free. A sleeper that gets it must assume it was not the only one. */
static void acquire_sleeping(PKSPIN_LOCK lock, uint64_t mine)
{
	while (!try_acquire(lock, mine | SLEEPERS)) {
		uint64_t now = __atomic_load_n(lock, __ATOMIC_RELAXED);

		if (now == 0)
			continue;
		if ((now & SLEEPERS) ||
		    __atomic_compare_exchange_n(lock, &now, now | SLEEPERS, false, __ATOMIC_RELAXED,
		                                __ATOMIC_RELAXED))
			nt_futex_wait(futex_of(lock), (uint32_t)(HELD | SLEEPERS),
			              NT_CLOCK_MONOTONIC, NT_FOREVER);
	}
}

static __attribute__((noinline)) void acquire_slow(PKSPIN_LOCK lock, uint64_t mine)
{
	unsigned i;

	if (is_mine(lock)) {
		/* Going on would wait for ever, and a release build must not either. */
		nt_die("misuse of KeAcquireSpinLock: the caller holds the lock already");
	}
	for (i = 0; i < nt_spin_limit; i++) {
		if (__atomic_load_n(lock, __ATOMIC_RELAXED) == 0 && try_acquire(lock, mine))
			return;
		YieldProcessor();
	}
	acquire_sleeping(lock, mine);
}

static inline void acquire(PKSPIN_LOCK lock)
{
	uint64_t mine = owner_word();

	if (unlikely(!try_acquire(lock, mine)))
		acquire_slow(lock, mine);
}

static inline void release(PKSPIN_LOCK lock, const char *function)
{
	if (unlikely(!is_mine(lock))) {
		nt_misuse(function, NULL, "the caller does not hold the lock");
		return;
	}
	if (unlikely(__atomic_exchange_n(lock, 0, __ATOMIC_RELEASE) & SLEEPERS))
		nt_futex_wake(futex_of(lock), 1);
}

static inline bool at_dispatch(const char *function)
{
	if (likely(nt_self.irql >= DISPATCH_LEVEL))
		return true;
	nt_misuse(function, NULL, "needs DISPATCH_LEVEL");
	return false;
}

KIRQL KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK lock)
{
	KIRQL old = nt_self.irql;

	if (old < DISPATCH_LEVEL)
		nt_self.irql = DISPATCH_LEVEL;
	acquire(lock);
	return old;
}

void KeReleaseSpinLock(PKSPIN_LOCK lock, KIRQL old_irql)
{
	release(lock, __func__);
	KeLowerIrql(old_irql);
}

void KeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK lock)
{
	at_dispatch(__func__);
	acquire(lock);
}

void KeReleaseSpinLockFromDpcLevel(PKSPIN_LOCK lock)
{
	release(lock, __func__);
}

BOOLEAN KeTryToAcquireSpinLockAtDpcLevel(PKSPIN_LOCK lock)
{
	return at_dispatch(__func__) && try_acquire(lock, owner_word());
}

BOOLEAN KeTestSpinLock(PKSPIN_LOCK lock)
{
	return __atomic_load_n(lock, __ATOMIC_ACQUIRE) == 0;
}
