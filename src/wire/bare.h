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

#endif
