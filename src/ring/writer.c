/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring/writer.h"

#include "ring/fault.h"
#include "ring/signal.h"

static void writer_fail(struct ring_writer *w, const char *what, uint64_t expected, uint64_t actual)
{
	w->fault = (struct ring_fault){ what, expected, actual };
	/* No room: every ring_write() comes to ring_write_make_room() and learns why. */
	w->room = 0;
	w->unpublished = 0;
	w->undecided = 0;
	w->signal = false;
}

/*
 * Loads and checks the reader's index: it is between where it was and what has been published.
 * A step back or a leap past that would make room that is not there. Acquire, so that nothing is
 * written to what the reader gave up before it gave it up.
 */
static bool writer_take_read_index(struct ring_writer *w)
{
	uint32_t size = w->memory.size;
	uint32_t index = ring_load_acquire(&w->memory.control->read_index);
	uint32_t used;

	if (!ring_index_valid(size, index)) {
		writer_fail(w, "read index", size, index);
		return false;
	}
	used = ring_index_distance(size, index, w->next);
	if (used < w->unpublished || used > size - w->room) {
		writer_fail(w, "read index, outside what it could have read",
		            ring_index_subtract(size, w->next, w->unpublished), index);
		return false;
	}
	w->room = size - used;
	return true;
}

enum ring_status ring_writer_init(struct ring_writer *w, const struct ring_memory *memory)
{
	uint32_t index, read;

	*w = (struct ring_writer){ .memory = *memory };
	if (!ring_memory_check(memory, &w->fault))
		return RING_MALFORMED;
	index = ring_load(&memory->control->write_index);
	if (!ring_index_valid(memory->size, index)) {
		writer_fail(w, "write index", memory->size, index);
		return RING_MALFORMED;
	}
	read = ring_load_acquire(&memory->control->read_index);
	if (!ring_index_valid(memory->size, read)) {
		writer_fail(w, "read index", memory->size, read);
		return RING_MALFORMED;
	}
	w->next = index;
	w->room = memory->size - ring_index_distance(memory->size, read, index);
	w->publish_at = memory->size / 4 < RING_PUBLISH_MAX ? memory->size / 4 : RING_PUBLISH_MAX;

	ring_store(&memory->control->pending_send_size, 0);
	ring_store(&memory->control->feature_bits, WIRE_RING_FEATURE_PENDING_SEND_SIZE);
	return RING_OK;
}

enum ring_status ring_write_make_room(struct ring_writer *w, uint64_t total)
{
	if (w->fault.what != NULL)
		return RING_MALFORMED;
	/* A ring filled to the brim would look empty. */
	if (total > RING_PACKET_MAX || total >= w->memory.size)
		return RING_TOO_BIG;
	if (!writer_take_read_index(w))
		return RING_MALFORMED;
	return total < w->room ? RING_OK : RING_FULL;
}

void ring_write_decide(struct ring_writer *w)
{
	uint32_t mask, unread;

	ring_fence();
	mask = ring_load(&w->memory.control->interrupt_mask);
	if (mask == 0) {
		if (!writer_take_read_index(w))
			return;
		unread = w->memory.size - w->room - w->unpublished;
		w->signal |= ring_signal_reader(mask, unread, w->undecided, w->last);
	}
	w->undecided = 0;
	w->last = 0;
}

void ring_write_drop(struct ring_writer *w)
{
	w->next = ring_index_subtract(w->memory.size, w->next, w->unpublished);
	w->room += w->unpublished;
	w->unpublished = 0;
}

bool ring_write_wait(struct ring_writer *w, uint32_t size, bool *signal)
{
	uint64_t total = ((uint64_t)size + 7) / 8 * 8 + WIRE_PACKET_FOOTER_SIZE;
	uint32_t pending;

	*signal = ring_write_publish(w);
	if (w->fault.what != NULL)
		return true;
	/* One that never fits waits for the whole ring, to be told RING_TOO_BIG. */
	pending = total < w->memory.size ? (uint32_t)total : w->memory.size - 8;

	ring_store(&w->memory.control->pending_send_size, pending);
	ring_fence();
	if (!writer_take_read_index(w))
		return true;
	if (w->room <= pending)
		return false;
	ring_write_wait_end(w);
	return true;
}

void ring_write_wait_end(struct ring_writer *w)
{
	ring_store(&w->memory.control->pending_send_size, 0);
}

void ring_write_fill_pages(const struct ring_writer *w, uint32_t length, uint64_t head, uint64_t id,
                           const struct ring_span *spans, unsigned count)
{
	uint64_t words[] = { head, id }, footer[] = { 0, (uint64_t)w->next << 32 };
	uint32_t at = w->next;

	/* The last 8 bytes, for the padding in them, and the footer. */
	ring_pages_in(&w->memory, at + length - 8, footer, sizeof(footer));
	ring_pages_in(&w->memory, at, words, sizeof(words));
	at += sizeof(words);
	for (unsigned i = 0; i < count; i++) {
		ring_pages_in(&w->memory, at, spans[i].base, spans[i].size);
		at += spans[i].size;
	}
}
