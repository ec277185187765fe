/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING_ATOMIC_H
#define RING_ATOMIC_H

/*
 * Every access to memory that the other end sees goes through these few functions and through
 * copy.h, so that tests/ring/model can put its own in their place and run this very code against
 * all that a weak memory model allows.
 */

#include "wire/bare.h"

static inline uint32_t ring_load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline uint32_t ring_load_acquire(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void ring_store(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static inline void ring_store_release(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* Orders earlier stores before later loads, which nothing weaker does. */
static inline void ring_fence(void)
{
#if defined(__x86_64__)
	/* Cheaper than mfence, and the same to ordinary memory. The thread sanitizer, which knows
	 * no fences, is content with it too: all it has to see are the acquires and releases. */
	__asm__ volatile("lock; orl $0, (%%rsp)" ::: "memory", "cc");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

#endif
