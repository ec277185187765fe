/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING_WRITER_H
#define RING_WRITER_H

#include "ring/ring.h"

#include "ring/atomic.h"
#include "ring/copy.h"
#include "ring/index.h"

/* The longest packet that length8 can say, with its footer. */
#define RING_PACKET_MAX (UINT16_MAX * 8u + WIRE_PACKET_FOOTER_SIZE)

/* Unpublished bytes at which ring_write() publishes by itself; a quarter of a small ring. */
#define RING_PUBLISH_MAX 4096u

/* How far ahead of what it writes the writer asks for cache lines. */
#define RING_PREFETCH 1024u

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

/* The reader has the lines that it read; fetch them before they are needed. Not those that it has
 * yet to read. */
static inline void ring_write_prefetch(const struct ring_writer *w, uint32_t total)
{
	uint32_t from = w->next + RING_PREFETCH;

	if (w->memory.data == NULL || w->room < RING_PREFETCH + total)
		return;
	if (from >= w->memory.size)
		from -= w->memory.size;
	for (uint32_t done = 0; done < total; done += RING_LINE)
		__builtin_prefetch(w->memory.data + from + done, 1, 3);
}

static inline enum ring_status ring_write(struct ring_writer *w, struct wire_packet packet,
                                          const struct ring_span *spans, unsigned count)
{
	const struct ring_memory *memory = &w->memory;
	uint64_t wide = sizeof(packet);
	uint32_t at = w->next;
	uint32_t size, total, length;
	uint64_t head;

	for (unsigned i = 0; i < count; i++)
		wide += spans[i].size;
	wide = (wide + 7) / 8 * 8 + WIRE_PACKET_FOOTER_SIZE;
	if (wide >= w->room || wide > RING_PACKET_MAX) {
		enum ring_status status = ring_write_make_room(w, wide);

		if (status != RING_OK)
			return status;
	}
	total = (uint32_t)wide;
	length = total - WIRE_PACKET_FOOTER_SIZE;
	ring_write_prefetch(w, total);

	packet.length8 = (uint16_t)(length / 8);
	__builtin_memcpy(&head, &packet, sizeof(head));
	/* The padding is in the last 8 bytes; what of them is not padding comes after. */
	ring_put64(memory, at + length - 8, 0);
	ring_put64(memory, at, head);
	ring_put64(memory, at + 8, packet.transaction_id);
	size = sizeof(packet);
	for (unsigned i = 0; i < count; i++) {
		ring_copy_in(memory, at + size, spans[i].base, spans[i].size);
		size += spans[i].size;
	}
	ring_put64(memory, at + length, (uint64_t)at << 32);

	w->next = ring_index_add(memory->size, at, total);
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

#endif
