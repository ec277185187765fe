/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_RING_FIXTURE_H
#define TESTS_RING_FIXTURE_H

/* A ring in memory, mirrored or as a list of pages in no order, and helpers to use it. */

#include "ring/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum ring_mode { MIRRORED, PAGE_LIST };

struct ring_fixture {
	struct ring_memory memory;
	int fd;
	uint8_t *mapped; /* the control page, then the data, twice if mirrored */
	size_t mapped_size;
	uint8_t **pages;
};

/* Another mapping of the same memory: what the other process has. */
static inline uint8_t *ring_fixture_map(const struct ring_fixture *f, bool twice)
{
	size_t size = f->memory.size;
	uint8_t *at = mmap(NULL, WIRE_PAGE_SIZE + size * (twice ? 2 : 1), PROT_READ | PROT_WRITE,
	                   twice ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, twice ? -1 : f->fd, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	if (!twice)
		return at;
	assert_ptr_not_equal(mmap(at, WIRE_PAGE_SIZE + size, PROT_READ | PROT_WRITE,
	                          MAP_SHARED | MAP_FIXED, f->fd, 0),
	                     MAP_FAILED);
	assert_ptr_not_equal(mmap(at + WIRE_PAGE_SIZE + size, size, PROT_READ | PROT_WRITE,
	                          MAP_SHARED | MAP_FIXED, f->fd, WIRE_PAGE_SIZE),
	                     MAP_FAILED);
	return at;
}

static inline void ring_fixture_open(struct ring_fixture *f, enum ring_mode mode, uint32_t size)
{
	bool mirrored = mode == MIRRORED;
	uint32_t count = size / WIRE_PAGE_SIZE;

	memset(f, 0, sizeof(*f));
	f->memory.size = size;
	f->fd = memfd_create("ring", MFD_CLOEXEC);
	assert_true(f->fd >= 0);
	assert_int_equal(ftruncate(f->fd, WIRE_PAGE_SIZE + size), 0);
	f->mapped = ring_fixture_map(f, mirrored);
	f->mapped_size = WIRE_PAGE_SIZE + (size_t)size * (mirrored ? 2 : 1);
	f->memory.control = (void *)f->mapped;
	if (mirrored) {
		f->memory.data = f->mapped + WIRE_PAGE_SIZE;
		return;
	}
	f->pages = calloc(count, sizeof(*f->pages));
	assert_non_null(f->pages);
	/* A step that shares no factor with the power of two goes through all of them. */
	for (uint32_t i = 0; i < count; i++)
		f->pages[i] = f->mapped + WIRE_PAGE_SIZE * (1 + (size_t)(i * 5 + 3) % count);
	f->memory.pages = f->pages;
}

static inline void ring_fixture_close(struct ring_fixture *f)
{
	munmap(f->mapped, f->mapped_size);
	free(f->pages);
	close(f->fd);
}

static inline uint8_t *ring_fixture_at(const struct ring_fixture *f, uint32_t offset)
{
	offset %= f->memory.size;
	if (f->memory.data != NULL)
		return f->memory.data + offset;
	return f->pages[offset / WIRE_PAGE_SIZE] + offset % WIRE_PAGE_SIZE;
}

/* Both ends at `index`, nothing between them. */
static inline void ring_fixture_start(struct ring_fixture *f, struct ring_writer *w,
                                      struct ring_reader *r, uint32_t index)
{
	f->memory.control->write_index = index;
	f->memory.control->read_index = index;
	assert_int_equal(ring_writer_init(w, &f->memory), RING_OK);
	assert_int_equal(ring_reader_init(r, &f->memory), RING_OK);
}

/* An in-band packet of one span. */
static inline enum ring_status ring_fixture_write(struct ring_writer *w, uint64_t id,
                                                  const void *payload, uint32_t size)
{
	struct wire_packet packet = {
		.type = WIRE_PACKET_DATA_INBAND,
		.offset8 = sizeof(packet) / 8,
		.transaction_id = id,
	};
	struct ring_span span = { payload, size };

	return ring_write(w, packet, &span, 1);
}

/* How many bytes of the ring an in-band packet takes. */
static inline uint32_t ring_fixture_total(uint32_t payload)
{
	return (uint32_t)sizeof(struct wire_packet) + wire_align8(payload) +
	       WIRE_PACKET_FOOTER_SIZE;
}

/* Consumes one, which has that id. */
static inline void ring_fixture_read(struct ring_reader *r, uint64_t id)
{
	struct ring_packet packet = { 0 };

	assert_int_equal(ring_read_next(r, &packet), RING_OK);
	assert_int_equal(packet.transaction_id, id);
	ring_read_advance(r, &packet);
}

#endif
