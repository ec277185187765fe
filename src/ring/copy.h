/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING_COPY_H
#define RING_COPY_H

/*
 * Between the data pages and private memory. In mirrored memory a packet is one span, wherever it
 * begins. In a list of pages it is folded, out of line; offset + size <= 2 * ring size there.
 */

#include "ring/memory.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RING_LINE 64u

/* How far ahead of what they copy both ends ask for cache lines. The reader has the lines that it
 * read last, and the writer those that it wrote: fetched when they are needed, they cost more than
 * all the rest. */
#define RING_AHEAD 1024u

/* With -Os, neither copies in place nor lines that are asked for early are worth their bytes. */
#ifdef __OPTIMIZE_SIZE__
#define RING_SMALL true
#else
#define RING_SMALL false
#endif

/* Page-list memory, in pages.c. */
void ring_pages_in(const struct ring_memory *memory, uint32_t offset, const void *from,
                   uint32_t size);
void ring_pages_out(const struct ring_memory *memory, uint32_t offset, void *to, uint32_t size);

/* Packed: at any address. (aligned(1) alone does not lower what its members need.) */
struct ring_two_words {
	uint64_t words[2];
} __attribute__((packed, may_alias));

static inline void ring_copy16(uint8_t *to, const uint8_t *from)
{
	*(struct ring_two_words *)(void *)to = *(const struct ring_two_words *)(const void *)from;
}

/* A call of memcpy takes longer than copying two lines in place. */
static inline void ring_copy(uint8_t *to, const uint8_t *from, uint32_t size)
{
	if (RING_SMALL || size < 16 || size > 128) {
		if (size != 0) /* an empty span may have no address */
			__builtin_memcpy(to, from, size);
		return;
	}
	/* From both ends towards the middle, where they may meet or overlap. */
	if (size > 64) {
		ring_copy16(to + 32, from + 32);
		ring_copy16(to + 48, from + 48);
		ring_copy16(to + size - 64, from + size - 64);
		ring_copy16(to + size - 48, from + size - 48);
	}
	if (size > 32) {
		ring_copy16(to + 16, from + 16);
		ring_copy16(to + size - 32, from + size - 32);
	}
	ring_copy16(to, from);
	ring_copy16(to + size - 16, from + size - 16);
}

/* Without -mprfchw compilers make a prefetch for reading of it, which is of no use here: the line
 * would come shared and have to be asked for again. Processors without it take it for a nop. */
static inline void ring_prefetch_write(const uint8_t *line)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" ::"m"(*line));
#else
	__builtin_prefetch(line, 1, 3);
#endif
}

static inline void ring_prefetch_read(const uint8_t *line)
{
	__builtin_prefetch(line, 0, 3);
}

/* 8 bytes in one access: what is checked is what is used. */
typedef uint64_t __attribute__((may_alias)) ring_word;

static inline uint64_t ring_get64(const uint8_t *at)
{
	return *(const volatile ring_word *)(const void *)at;
}

static inline void ring_put64(uint8_t *at, uint64_t value)
{
	*(volatile ring_word *)(void *)at = value;
}

#ifdef __cplusplus
}
#endif

#endif
