/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING_INDEX_H
#define RING_INDEX_H

/* Arithmetic on offsets into a ring of `size` bytes; every index is below size and 8-aligned. */

#include "wire/bare.h"

/* What an index that came from outside must be. */
static inline bool ring_index_valid(uint32_t size, uint32_t index)
{
	return index < size && (index & 7) == 0;
}

/* `bytes` <= size further on. */
static inline uint32_t ring_index_add(uint32_t size, uint32_t index, uint32_t bytes)
{
	index += bytes; /* no overflow: RING_SIZE_MAX */
	return index < size ? index : index - size;
}

static inline uint32_t ring_index_subtract(uint32_t size, uint32_t index, uint32_t bytes)
{
	return index >= bytes ? index - bytes : index + size - bytes;
}

/* From one index forward to another, 0 to size - 8. */
static inline uint32_t ring_index_distance(uint32_t size, uint32_t from, uint32_t to)
{
	return to >= from ? to - from : size - (from - to);
}

#endif
