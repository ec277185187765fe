/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING_MEMORY_H
#define RING_MEMORY_H

#include "wire/packet.h"

/*
 * Where the ring's pages are. All pointers stay valid as long as the ring is used. Each is to the
 * beginning of a page, so that indexes and descriptors are read and written whole: by 4 and by 8
 * bytes, aligned to that, and by more only through memcpy() and what may alias anything. So strict
 * aliasing holds, and machines without unaligned access will do. Spans of the caller's, and where
 * it has packets copied to, may be anywhere.
 */
struct ring_memory {
	struct wire_ring_control *control;
	/* Mirrored: size bytes of data mapped twice in a row at `data`, a packet is one span.
	 * Otherwise data is NULL and `pages` holds size / WIRE_PAGE_SIZE page addresses. */
	uint8_t *data;
	uint8_t *const *pages;
	uint32_t size; /* of the data, a multiple of the page size, at most RING_SIZE_MAX */
};
#define RING_SIZE_MAX (1u << 30)

#endif
