/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_COMMON_BARE_H
#define DEVICES_COMMON_BARE_H

/*
 * What the drivers' pure halves, and the protocols that they speak, ask of a compiler and its
 * machine; all they include beside each other is stdbool.h, stddef.h and stdint.h, which each
 * compiler brings along. Of a C library they need memcpy, memmove, memset and memcmp, which
 * compilers call of their own accord, too. As wire/bare.h in src/, which devices do not know.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All of these protocols are little-endian, and their structures are read as they came. */
#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "VMBus is read in place: little-endian machines only"
#endif

/* C11's assert.h has this, and is a hosted header. */
#if !defined(__cplusplus) && !defined(static_assert)
#define static_assert _Static_assert
#endif

/* Copies what the other end may write to meanwhile. What is checked afterwards is the copy: without
 * the barrier a compiler may read the memory once more instead of it. */
static inline void machine_copy(void *to, const void *from, size_t size)
{
	__builtin_memcpy(to, from, size);
	__asm__ volatile("" : : "r"(to) : "memory");
}

/* What the other end said or did that makes no sense; `what` is NULL where nothing was. In the
 * guest kit, which tells what comes of it and not what it was, nothing is noted down. */
struct machine_fault {
	const char *what;
	uint64_t expected, actual;
};

static inline bool machine_fault(struct machine_fault *fault, const char *what, uint64_t expected,
                                 uint64_t actual)
{
#ifndef KMCL_GUEST_ALONE
	fault->what = what;
	fault->expected = expected;
	fault->actual = actual;
#endif
	return false;
}

#endif
