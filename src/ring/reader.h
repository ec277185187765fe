/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING_READER_H
#define RING_READER_H

#include "ring/ring.h"

#include "ring/atomic.h"
#include "ring/copy.h"
#include "ring/index.h"

/* How far ahead of what it reads the reader asks for cache lines. */
#define RING_READ_PREFETCH 1024u

/* The first line is what a packet touches. All of it is private to this end: what it says of the
 * writer's index was checked when it was loaded. */
struct ring_reader {
	struct ring_memory memory;
	uint32_t next;        /* where the next packet begins */
	uint32_t available;   /* bytes from there, by the last write index */
	uint32_t unpublished; /* bytes before `next` that the writer has not been given back */
	uint32_t publish_at;
	bool signal; /* the writer has to be signalled by the next ring_read_publish() */

	struct ring_fault fault __attribute__((aligned(64)));
};

/* There are bytes no more: says why, EMPTY or MALFORMED, or takes new ones from the writer. */
enum ring_status ring_read_refresh(struct ring_reader *r);

/* Out of line: the packet's descriptor broke a limit. */
void ring_read_refuse(struct ring_reader *r, uint64_t head);

/* Gives back what is consumed and decides whether the writer waited for that. */
void ring_read_release(struct ring_reader *r);

/*
 * A packet's first 8 bytes: 16 <= offset <= length, and with its footer it ends within what the
 * writer has published. Types that no public implementation writes to a ring, and flags that none
 * defines, are malformed: so it is in OpenVMM (vmbus_ring parse_packet), for both directions.
 * mu_msvm and Linux drivers log and pass over an unknown type. CANCEL_REQUEST is known to mu_msvm
 * and Linux by name only: it goes to the caller.
 */
static inline bool ring_read_head_valid(uint64_t head, uint32_t available)
{
	uint32_t type = head & 0xffff;
	uint32_t offset = (uint32_t)(head >> 16) & 0xffff;
	uint32_t length = (uint32_t)(head >> 32) & 0xffff;
	uint32_t flags = (uint32_t)(head >> 48);
	const uint32_t known = 1u << WIRE_PACKET_DATA_INBAND |
	                       1u << WIRE_PACKET_DATA_TRANSFER_PAGES |
	                       1u << WIRE_PACKET_DATA_GPA_DIRECT |
	                       1u << WIRE_PACKET_CANCEL_REQUEST | 1u << WIRE_PACKET_COMPLETION;

	return offset >= sizeof(struct wire_packet) / 8 && offset <= length &&
	       length * 8 + WIRE_PACKET_FOOTER_SIZE <= available && type < 32 &&
	       (known >> type & 1) != 0 && (flags & ~WIRE_PACKET_FLAG_COMPLETION_REQUESTED) == 0;
}

/* Not past what is published: those lines the writer is writing. */
static inline void ring_read_prefetch(const struct ring_reader *r, uint32_t total)
{
	if (r->memory.data == NULL || r->available < RING_READ_PREFETCH + total)
		return;
	for (uint32_t done = 0; done < total; done += RING_LINE)
		__builtin_prefetch(r->memory.data + r->next + RING_READ_PREFETCH + done, 0, 3);
}

static inline enum ring_status ring_read_next(struct ring_reader *r, struct ring_packet *packet)
{
	uint64_t head;

	if (r->available == 0) {
		enum ring_status status = ring_read_refresh(r);

		if (status != RING_OK)
			return status;
	}
	head = ring_get64(&r->memory, r->next);
	if (__builtin_expect(!ring_read_head_valid(head, r->available), 0)) {
		ring_read_refuse(r, head);
		return RING_MALFORMED;
	}
	packet->type = (uint16_t)head;
	packet->flags = (uint16_t)(head >> 48);
	packet->transaction_id = ring_get64(&r->memory, r->next + 8);
	packet->payload_offset = ((uint32_t)(head >> 16) & 0xffff) * 8;
	packet->size = ((uint32_t)(head >> 32) & 0xffff) * 8;
	ring_read_prefetch(r, packet->size + WIRE_PACKET_FOOTER_SIZE);
	return RING_OK;
}

static inline void ring_read_copy(const struct ring_reader *r, const struct ring_packet *packet,
                                  uint32_t offset, void *to, uint32_t size)
{
	ring_copy_out(&r->memory, r->next + offset, to, size);
}

static inline void ring_read_advance(struct ring_reader *r, const struct ring_packet *packet)
{
	uint32_t total = packet->size + WIRE_PACKET_FOOTER_SIZE;

	r->next = ring_index_add(r->memory.size, r->next, total);
	r->available -= total;
	r->unpublished += total;
	if (r->unpublished >= r->publish_at)
		ring_read_release(r);
}

static inline bool ring_read_publish(struct ring_reader *r)
{
	bool signal;

	if (r->unpublished != 0)
		ring_read_release(r);
	signal = r->signal;
	r->signal = false;
	return signal;
}

static inline bool ring_read_pending(struct ring_reader *r)
{
	return r->available != 0 || ring_load(&r->memory.control->write_index) != r->next;
}

#endif
