/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_SPIN_H
#define KMCL_SPIN_H

/*
 * A lock for a few dozen instructions on the data path, in which nothing of the driver's runs: one
 * atomic exchange to take it, a plain store to leave it. Unlike KSPIN_LOCK it leaves the IRQL
 * alone. Who finds it taken spins for a while and then gives the processor away.
 */

#include <ntddk.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#define SPIN_BEFORE_YIELD 128

struct spin {
	_Atomic(bool) taken;
};

static inline void spin_wait(struct spin *spin)
{
	for (unsigned i = 1; atomic_load_explicit(&spin->taken, memory_order_relaxed); i++)
		if (i % SPIN_BEFORE_YIELD == 0)
			sched_yield();
		else
			YieldProcessor();
}

static inline void spin_lock(struct spin *spin)
{
	while (__builtin_expect(atomic_exchange_explicit(&spin->taken, true, memory_order_acquire),
	                        0))
		spin_wait(spin);
}

static inline void spin_unlock(struct spin *spin)
{
	atomic_store_explicit(&spin->taken, false, memory_order_release);
}

#endif
