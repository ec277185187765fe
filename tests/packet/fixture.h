/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_PACKET_FIXTURE_H
#define TESTS_PACKET_FIXTURE_H

/* One direction of a channel, with a writer and a reader of packets. */

#include "../ring/fixture.h"
#include "packet/packet.h"

#define SIZE 16384u

struct direction {
	struct ring_fixture f;
	struct ring_writer w;
	struct packet_reader r;
};

/* What a host, or a guest, takes. */
static inline struct packet_limits limits_of(bool host, bool pipe)
{
	return (struct packet_limits){
		.payload_max = 100,
		.ranges_max = 4,
		.external_max = 5 * WIRE_PAGE_SIZE,
		.shared_size = 8 * WIRE_PAGE_SIZE,
		.refers = host ? WIRE_PACKET_DATA_GPA_DIRECT : WIRE_PACKET_DATA_TRANSFER_PAGES,
		.pipe = pipe,
	};
}

/* From the beginning, with what lay in the ring. */
static inline void direction_start(struct direction *d, const struct packet_limits *limits)
{
	memset(d->f.memory.control, 0, WIRE_PAGE_SIZE);
	assert_int_equal(ring_writer_init(&d->w, &d->f.memory), RING_OK);
	assert_int_equal(packet_reader_init(&d->r, &d->f.memory, limits), RING_OK);
}

static inline void direction_open(struct direction *d, enum ring_mode mode,
                                  const struct packet_limits *limits)
{
	ring_fixture_open(&d->f, mode, SIZE);
	direction_start(d, limits);
}

static inline void direction_close(struct direction *d)
{
	ring_fixture_close(&d->f);
}

#endif
