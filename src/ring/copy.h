/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING_COPY_H
#define RING_COPY_H

/*
 * Between the data pages and private memory. An offset may run up to a packet past the ring's end:
 * mirrored memory is mapped twice, page-list memory is folded here. offset + size <= 2 * ring size.
 */

#include "ring/memory.h"

#define RING_LINE 64u

/* Page-list memory, in pages.c. */
void ring_pages_in(const struct ring_memory *memory, uint32_t offset, const void *from,
                   uint32_t size);
void ring_pages_out(const struct ring_memory *memory, uint32_t offset, void *to, uint32_t size);

/* The address of 8 bytes, which never straddle pages. */
static inline uint8_t *ring_at(const struct ring_memory *memory, uint32_t offset)
{
	if (__builtin_expect(memory->data != NULL, 1))
		return memory->data + offset;
	if (offset >= memory->size)
		offset -= memory->size;
	return memory->pages[offset / WIRE_PAGE_SIZE] + offset % WIRE_PAGE_SIZE;
}

static inline void ring_copy_in(const struct ring_memory *memory, uint32_t offset, const void *from,
                                uint32_t size)
{
	if (__builtin_expect(memory->data != NULL, 1))
		__builtin_memcpy(memory->data + offset, from, size);
	else
		ring_pages_in(memory, offset, from, size);
}

static inline void ring_copy_out(const struct ring_memory *memory, uint32_t offset, void *to,
                                 uint32_t size)
{
	if (__builtin_expect(memory->data != NULL, 1))
		__builtin_memcpy(to, memory->data + offset, size);
	else
		ring_pages_out(memory, offset, to, size);
}

/* 8 bytes in one access, so that what is checked is what is used. */
static inline void ring_put64(const struct ring_memory *memory, uint32_t offset, uint64_t value)
{
	*(volatile uint64_t *)(void *)ring_at(memory, offset) = value;
}

static inline uint64_t ring_get64(const struct ring_memory *memory, uint32_t offset)
{
	return *(const volatile uint64_t *)(const void *)ring_at(memory, offset);
}

#endif
