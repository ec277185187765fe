/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring/copy.h"

static uint8_t *page_at(const struct ring_memory *memory, uint32_t offset)
{
	if (offset >= memory->size)
		offset -= memory->size;
	return memory->pages[offset / WIRE_PAGE_SIZE] + offset % WIRE_PAGE_SIZE;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

void ring_pages_in(const struct ring_memory *memory, uint32_t offset, const void *from,
                   uint32_t size)
{
	const uint8_t *source = from;

	while (size != 0) {
		uint32_t part = min_u32(size, WIRE_PAGE_SIZE - offset % WIRE_PAGE_SIZE);

		__builtin_memcpy(page_at(memory, offset), source, part);
		source += part;
		offset += part;
		size -= part;
	}
}

void ring_pages_out(const struct ring_memory *memory, uint32_t offset, void *to, uint32_t size)
{
	uint8_t *target = to;

	while (size != 0) {
		uint32_t part = min_u32(size, WIRE_PAGE_SIZE - offset % WIRE_PAGE_SIZE);

		__builtin_memcpy(target, page_at(memory, offset), part);
		target += part;
		offset += part;
		size -= part;
	}
}
