/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING_COPY_H
#define RING_COPY_H

/* Stands in for src/ring/copy.h: the data is touched in cells, and the checker watches for races.
 */

#include "checker.h"
#include "ring/memory.h"

#define RING_LINE  64u
#define RING_AHEAD 1024u
#define RING_SMALL false

static inline void ring_copy(uint8_t *to, const uint8_t *from, uint32_t size)
{
	if (size == 0)
		return;
	if (checker_is_data(to))
		checker_data_write(to);
	else
		checker_data_read(from);
}

static inline void ring_put64(uint8_t *at, uint64_t value)
{
	*checker_data_write(at) = value;
}

static inline uint64_t ring_get64(const uint8_t *at)
{
	return *checker_data_read(at);
}

static inline void ring_prefetch_write(const uint8_t *line)
{
}

static inline void ring_prefetch_read(const uint8_t *line)
{
}

/* Not in a list of pages: how the data is found makes no difference to the protocol. */
static inline void ring_pages_in(const struct ring_memory *memory, uint32_t offset,
                                 const void *from, uint32_t size)
{
	__builtin_trap();
}

static inline void ring_pages_out(const struct ring_memory *memory, uint32_t offset, void *to,
                                  uint32_t size)
{
	__builtin_trap();
}

#endif
