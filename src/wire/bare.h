/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WIRE_BARE_H
#define WIRE_BARE_H

/*
 * What wire/, ring/, packet/ and bus/ ask of a compiler and its machine; all they include beside
 * each other is stdbool.h, stddef.h and stdint.h, which each compiler brings along. Of a C library
 * they need memcpy, memmove, memset and memcmp, which compilers call of their own accord, too.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Everything is little-endian and read in place: messages, packets, indexes. */
#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "VMBus is read in place: little-endian machines only"
#endif

/* C11's assert.h has this, and is a hosted header. */
#if !defined(__cplusplus) && !defined(static_assert)
#define static_assert _Static_assert
#endif

/*
 * tcc (0.9.27) has no atomics, and neither needs nor knows the rest: it moves no access to memory,
 * keeps nothing in registers between statements, and on x86-64, all that it is used for here, loads
 * acquire and stores release.
 */
#if defined(__TINYC__)
#if !defined(__x86_64__)
#error "with tcc for x86-64 alone"
#endif
#define __ATOMIC_RELAXED                     0
#define __ATOMIC_ACQUIRE                     2
#define __ATOMIC_RELEASE                     3
#define __ATOMIC_ACQ_REL                     4
#define __ATOMIC_SEQ_CST                     5
#define __atomic_load_n(p, order)            (*(volatile __typeof__(*(p)) *)(p))
#define __atomic_store_n(p, value, order)    ((void)(*(volatile __typeof__(*(p)) *)(p) = (value)))
#define __atomic_exchange_n(p, value, order) bare_exchange(p, value)
#define __atomic_compare_exchange_n(p, expected, value, weak, yes, no) \
	bare_compare_exchange(p, expected, value)
#define __atomic_thread_fence(order) __asm__ volatile("mfence" ::: "memory")
#define __builtin_prefetch(...)      ((void)0)

static inline uint32_t bare_exchange(uint32_t *p, uint32_t value)
{
	__asm__ volatile("xchgl %0, %1" : "+r"(value), "+m"(*p) : : "memory");
	return value;
}

static inline bool bare_compare_exchange(uint32_t *p, uint32_t *expected, uint32_t value)
{
	uint32_t was = *expected;

	__asm__ volatile("lock; cmpxchgl %2, %1"
	                 : "+a"(was), "+m"(*p)
	                 : "r"(value)
	                 : "memory", "cc");
	if (was == *expected)
		return true;
	*expected = was;
	return false;
}
#endif

#endif
