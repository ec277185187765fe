/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring/reader.h"

#include "ring/fault.h"
#include "ring/signal.h"

static enum ring_status reader_fail(struct ring_reader *r, const char *what, uint64_t expected,
                                    uint64_t actual)
{
	r->fault = (struct ring_fault){ what, expected, actual };
	/* Nothing there: every ring_read_next() comes to ring_read_refresh() and learns why. */
	r->available = 0;
	return RING_MALFORMED;
}

enum ring_status ring_reader_init(struct ring_reader *r, const struct ring_memory *memory)
{
	uint32_t index, written;

	*r = (struct ring_reader){ .memory = *memory };
	if (!ring_memory_check(memory, &r->fault))
		return RING_MALFORMED;
	index = ring_load(&memory->control->read_index);
	if (!ring_index_valid(memory->size, index))
		return reader_fail(r, "read index", memory->size, index);
	written = ring_load(&memory->control->write_index);
	if (!ring_index_valid(memory->size, written))
		return reader_fail(r, "write index", memory->size, written);
	r->next = index;
	r->publish_at = memory->size / 4;
	return RING_OK;
}

/* Whoever polls wants the next packet soon: its two lines may travel along with the index. */
static void reader_expect(const struct ring_reader *r)
{
	if (r->memory.data == NULL)
		return;
	ring_prefetch_read(r->memory.data + r->next);
	ring_prefetch_read(r->memory.data + r->next + RING_LINE);
}

enum ring_status ring_read_refresh(struct ring_reader *r)
{
	uint32_t index;

	if (r->fault.what != NULL)
		return RING_MALFORMED;
	/* Acquire: the packets were written before the index that shows them. */
	index = ring_load_acquire(&r->memory.control->write_index);
	if (index == r->next) {
		reader_expect(r);
		return RING_EMPTY;
	}
	if (!ring_index_valid(r->memory.size, index))
		return reader_fail(r, "write index", r->memory.size, index);
	r->available = ring_index_distance(r->memory.size, r->next, index);
	return RING_OK;
}

void ring_read_refuse(struct ring_reader *r, uint64_t head)
{
	uint32_t type = head & 0xffff;
	uint32_t offset = ((uint32_t)(head >> 16) & 0xffff) * 8;
	uint32_t length = ((uint32_t)(head >> 32) & 0xffff) * 8;
	uint32_t flags = (uint32_t)(head >> 48);

	if (length + WIRE_PACKET_FOOTER_SIZE > r->available)
		reader_fail(r, "packet length with its footer", r->available,
		            length + WIRE_PACKET_FOOTER_SIZE);
	else if (offset < sizeof(struct wire_packet))
		reader_fail(r, "payload offset", sizeof(struct wire_packet), offset);
	else if (offset > length)
		reader_fail(r, "payload offset past the packet", length, offset);
	else if ((flags & ~WIRE_PACKET_FLAG_COMPLETION_REQUESTED) != 0)
		reader_fail(r, "packet flags", WIRE_PACKET_FLAG_COMPLETION_REQUESTED, flags);
	else
		reader_fail(r, "packet type", WIRE_PACKET_DATA_INBAND, type);
}

uint64_t ring_read_word_pages(const struct ring_reader *r, uint32_t offset)
{
	uint64_t word;

	ring_pages_out(&r->memory, r->next + offset, &word, sizeof(word));
	return word;
}

/*
 * After the read index was stored and a full fence: does the writer wait for what it gave back?
 * The loads need no order. If the writer's fence, after it said what it waits for, came before
 * ours, both are as new as its sleep; if it came after, the writer saw our index and needs no
 * signal.
 */
static bool reader_decide(struct ring_reader *r, uint32_t given)
{
	uint32_t size = r->memory.size;
	/* Acquire: the writer filled the ring, then waited. An older write index than that would
	 * make more room than there was. */
	uint32_t pending = ring_load_acquire(&r->memory.control->pending_send_size);
	uint32_t written, after, before;

	if (pending == 0)
		return false;
	written = ring_load(&r->memory.control->write_index);
	if (!ring_index_valid(size, written))
		return false; /* ring_read_next() will say so */
	after = size - ring_index_distance(size, r->next, written);
	before = size -
	         ring_index_distance(size, ring_index_subtract(size, r->next, given), written);
	return ring_signal_writer(pending, before, after);
}

static uint32_t reader_give_back(struct ring_reader *r)
{
	uint32_t given = r->unpublished;

	/* Release: all reads of what is given back are done. */
	ring_store_release(&r->memory.control->read_index, r->next);
	r->unpublished = 0;
	return given;
}

void ring_read_release(struct ring_reader *r)
{
	uint32_t given = reader_give_back(r);

	ring_fence();
	r->signal |= reader_decide(r, given);
}

void ring_read_mask(struct ring_reader *r)
{
	ring_store(&r->memory.control->interrupt_mask, 1);
}

bool ring_read_unmask(struct ring_reader *r, bool *signal)
{
	uint32_t given = 0;

	if (r->unpublished != 0)
		given = reader_give_back(r);
	ring_store(&r->memory.control->interrupt_mask, 0);
	ring_fence();
	if (given != 0)
		r->signal |= reader_decide(r, given);
	*signal = r->signal;
	r->signal = false;
	if (r->fault.what == NULL && !ring_read_pending(r))
		return false;
	ring_read_mask(r);
	return true;
}
