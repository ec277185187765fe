/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING_WRITER_H
#define RING_WRITER_H

#include "ring/ring.h"

#include "ring/atomic.h"
#include "ring/copy.h"
#include "ring/index.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The longest packet that length8 can say, with its footer. */
#define RING_PACKET_MAX (UINT16_MAX * 8u + WIRE_PACKET_FOOTER_SIZE)

/* Unpublished bytes at which ring_write() publishes by itself; a quarter of a small ring. */
#define RING_PUBLISH_MAX 1536u

/* The first line is what a packet touches. All of it is private to this end: what it says of the
 * reader's index was checked when it was loaded. */
struct ring_writer {
	struct ring_memory memory;
	uint32_t next;        /* where the next packet begins */
	uint32_t room;        /* free bytes from there, by the last read index; 0: malformed */
	uint32_t unpublished; /* bytes before `next` that the reader has not been shown */
	uint32_t undecided;   /* bytes before those that no signal decision has covered */
	uint32_t last;        /* bytes of them in the last publish */
	uint32_t publish_at;
	bool signal; /* the reader has to be signalled by the next ring_write_publish() */

	struct ring_fault fault __attribute__((aligned(64)));
};

/* Takes a new read index and asks again. RING_OK: `total` bytes and 8 more are free. */
enum ring_status ring_write_make_room(struct ring_writer *w, uint64_t total);

/* Covers what is published with a signal decision, into w->signal. */
void ring_write_decide(struct ring_writer *w);

/* Shows the reader what is appended, by one store. Whether it has to be signalled is left for
 * ring_write_publish(), unless a quarter of the ring has gone by: what is undecided must not come
 * round to where it began. */
static inline void ring_write_commit(struct ring_writer *w)
{
	if (w->unpublished == 0)
		return;
	ring_store_release(&w->memory.control->write_index, w->next);
	w->undecided += w->unpublished;
	w->last = w->unpublished;
	w->unpublished = 0;
	if (w->undecided >= w->memory.size / 4)
		ring_write_decide(w);
}

static inline bool ring_write_publish(struct ring_writer *w)
{
	bool signal;

	ring_write_commit(w);
	if (w->undecided != 0)
		ring_write_decide(w);
	signal = w->signal;
	w->signal = false;
	return signal;
}

/* The lines that this packet's successors will need, but none that the reader has yet to read. Line
 * by line as they begin, so that small packets do not ask for one twice. */
static inline void ring_write_prefetch(uint8_t *at, uint32_t total, uint32_t room)
{
	uint32_t first = (uint32_t)(-(uintptr_t)at) % RING_LINE;

	if (RING_SMALL || room < RING_AHEAD + total)
		return;
	for (uint32_t n = first; n < total; n += RING_LINE)
		ring_prefetch_write(at + RING_AHEAD + n);
}

/* The packet's bytes, in mirrored memory. `head`: its first 8. */
static inline void ring_write_fill(uint8_t *at, uint32_t length, uint64_t head, uint64_t id,
                                   const struct ring_span *spans, unsigned count)
{
	uint8_t *to = at + sizeof(struct wire_packet);

	ring_put64(at + length - 8, 0); /* for the padding in it */
	ring_put64(at, head);
	ring_put64(at + 8, id);
	for (unsigned i = 0; i < count; i++) {
		ring_copy(to, (const uint8_t *)spans[i].base, spans[i].size);
		to += spans[i].size;
	}
}

/* The same in a list of pages, with the footer. */
void ring_write_fill_pages(const struct ring_writer *w, uint32_t length, uint64_t head, uint64_t id,
                           const struct ring_span *spans, unsigned count);

static inline enum ring_status ring_write(struct ring_writer *w, struct wire_packet packet,
                                          const struct ring_span *spans, unsigned count)
{
	uint8_t *data = w->memory.data;
	uint64_t wide = sizeof(packet);
	uint32_t total, length, next = w->next;
	uint64_t head;

	for (unsigned i = 0; i < count; i++)
		wide += spans[i].size;
	wide = (wide + 7) / 8 * 8 + WIRE_PACKET_FOOTER_SIZE;
	if (__builtin_expect(wide >= w->room || wide > RING_PACKET_MAX, 0)) {
		enum ring_status status = ring_write_make_room(w, wide);

		if (status != RING_OK)
			return status;
	}
	total = (uint32_t)wide;
	length = total - WIRE_PACKET_FOOTER_SIZE;
	head = packet.type | (uint64_t)packet.offset8 << 16 | (uint64_t)(length / 8) << 32 |
	       (uint64_t)packet.flags << 48;
	if (__builtin_expect(data != NULL, 1)) {
		ring_write_prefetch(data + next, total, w->room);
		ring_write_fill(data + next, length, head, packet.transaction_id, spans, count);
		ring_put64(data + next + length, (uint64_t)next << 32);
	} else {
		ring_write_fill_pages(w, length, head, packet.transaction_id, spans, count);
	}

	w->next = ring_index_add(w->memory.size, next, total);
	w->room -= total;
	w->unpublished += total;
	if (w->unpublished >= w->publish_at)
		ring_write_commit(w);
	return RING_OK;
}

static inline uint32_t ring_write_unpublished(const struct ring_writer *w)
{
	return w->unpublished;
}

#ifdef __cplusplus
}
#endif

#endif
