/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING_READER_H
#define RING_READER_H

#include "ring/ring.h"

#include "ring/atomic.h"
#include "ring/copy.h"
#include "ring/index.h"

#ifdef __cplusplus
extern "C" {
#endif

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
	const uint64_t known = 1ull << WIRE_PACKET_DATA_INBAND |
	                       1ull << WIRE_PACKET_DATA_TRANSFER_PAGES |
	                       1ull << WIRE_PACKET_DATA_GPA_DIRECT |
	                       1ull << WIRE_PACKET_CANCEL_REQUEST | 1ull << WIRE_PACKET_COMPLETION;
	const uint64_t never =
		(uint64_t)(uint16_t)~WIRE_PACKET_FLAG_COMPLETION_REQUESTED << 48 | 0xffe0;
	uint32_t offset8 = (uint32_t)(head >> 16) & 0xffff;
	uint32_t length8 = (uint32_t)(head >> 32) & 0xffff;

	return (head & never) == 0 && (known >> (head & 31) & 1) != 0 &&
	       offset8 >= sizeof(struct wire_packet) / 8 && offset8 <= length8 &&
	       length8 * 8 + WIRE_PACKET_FOOTER_SIZE <= available;
}

/* As ring_write_prefetch(), and not past what is published: those lines are being written. */
static inline void ring_read_prefetch(const uint8_t *at, uint32_t total, uint32_t available)
{
	uint32_t first = (uint32_t)(-(uintptr_t)at) % RING_LINE;

	if (RING_SMALL || available < RING_AHEAD + total)
		return;
	for (uint32_t n = first; n < total; n += RING_LINE)
		ring_prefetch_read(at + RING_AHEAD + n);
}

/* A word of the next packet in a list of pages, read once. */
uint64_t ring_read_word_pages(const struct ring_reader *r, uint32_t offset);

static inline enum ring_status ring_read_next(struct ring_reader *r, struct ring_packet *packet)
{
	const uint8_t *data = r->memory.data;
	uint64_t head, id;

	if (r->available == 0) {
		enum ring_status status = ring_read_refresh(r);

		if (status != RING_OK)
			return status;
	}
	if (__builtin_expect(data != NULL, 1)) {
		head = ring_get64(data + r->next);
		id = ring_get64(data + r->next + 8);
	} else {
		head = ring_read_word_pages(r, 0);
		id = ring_read_word_pages(r, 8);
	}
	if (__builtin_expect(!ring_read_head_valid(head, r->available), 0)) {
		ring_read_refuse(r, head);
		return RING_MALFORMED;
	}
	packet->type = (uint16_t)head;
	packet->flags = (uint16_t)(head >> 48);
	packet->transaction_id = id;
	packet->payload_offset = ((uint32_t)(head >> 16) & 0xffff) * 8;
	packet->size = ((uint32_t)(head >> 32) & 0xffff) * 8;
	if (__builtin_expect(data != NULL, 1))
		ring_read_prefetch(data + r->next, packet->size + WIRE_PACKET_FOOTER_SIZE,
		                   r->available);
	return RING_OK;
}

static inline void ring_read_copy(const struct ring_reader *r, const struct ring_packet *packet,
                                  uint32_t offset, void *to, uint32_t size)
{
	if (__builtin_expect(r->memory.data != NULL, 1))
		ring_copy((uint8_t *)to, r->memory.data + r->next + offset, size);
	else
		ring_pages_out(&r->memory, r->next + offset, to, size);
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

#ifdef __cplusplus
}
#endif

#endif
