/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING_COPY_H
#define RING_COPY_H

/* Stands in for src/ring/copy.h: the data is touched in cells, and the checker watches for races.
 */

#include "checker.h"
#include "ring/memory.h"

#define RING_LINE 64u

static inline void ring_copy_in(const struct ring_memory *memory, uint32_t offset, const void *from,
                                uint32_t size)
{
	if (size != 0)
		checker_data_write(offset % memory->size);
}

static inline void ring_copy_out(const struct ring_memory *memory, uint32_t offset, void *to,
                                 uint32_t size)
{
	if (size != 0)
		checker_data_read(offset % memory->size);
}

static inline void ring_put64(const struct ring_memory *memory, uint32_t offset, uint64_t value)
{
	*checker_data_write(offset % memory->size) = value;
}

static inline uint64_t ring_get64(const struct ring_memory *memory, uint32_t offset)
{
	return *checker_data_read(offset % memory->size);
}

#endif
