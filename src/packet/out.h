/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PACKET_OUT_H
#define PACKET_OUT_H

#include "ring/ring.h"

#include "packet/table.h"

/* A packet to be sent. Its parts stay where they are until it is in the ring. */
struct packet_out {
	struct wire_packet wire;
	struct wire_pipe_header pipe;
	struct ring_span spans[3]; /* of headers, pipe header, payload: those that are there */
	unsigned span_count;
};

static inline void packet_out_add(struct packet_out *out, const void *base, uint32_t size)
{
	out->spans[out->span_count].base = base;
	out->spans[out->span_count].size = size;
	out->span_count++;
}

/* First. `type`: WIRE_PACKET_DATA_INBAND, or what its headers are; `answer`: a completion packet is
 * requested, for which it needs a transaction id. */
static inline void packet_out_begin(struct packet_out *out, uint16_t type, bool answer)
{
	out->wire.type = type;
	out->wire.offset8 = sizeof(struct wire_packet) / 8;
	out->wire.length8 = 0; /* ring_write() knows it */
	out->wire.flags = answer ? WIRE_PACKET_FLAG_COMPLETION_REQUESTED : 0;
	out->wire.transaction_id = 0;
	out->span_count = 0;
}

/* Then what it refers to, as wire_gpa_write_...() or wire_transfer_encode() made it: a multiple of
 * 8, 8 to 256 KiB. */
static inline void packet_out_headers(struct packet_out *out, const void *headers, uint32_t size)
{
	out->wire.offset8 = (uint16_t)((sizeof(struct wire_packet) + size) / 8);
	packet_out_add(out, headers, size);
}

/* Last, whether there are bytes or not. */
static inline void packet_out_payload(struct packet_out *out, bool pipe, const void *payload,
                                      uint32_t size)
{
	if (pipe) {
		out->pipe.type = WIRE_PIPE_DATA;
		out->pipe.data_size = size;
		packet_out_add(out, &out->pipe, sizeof(out->pipe));
	}
	packet_out_add(out, payload, size);
}

/* All of it: the answer to a packet that requested one and came under that id. */
static inline void packet_out_completion(struct packet_out *out, uint64_t id, const void *payload,
                                         uint32_t size)
{
	packet_out_begin(out, WIRE_PACKET_COMPLETION, false);
	out->wire.transaction_id = id;
	packet_out_add(out, payload, size);
}

/* Where its payload is, which its owner may move. */
static inline struct ring_span *packet_out_payload_span(struct packet_out *out)
{
	return &out->spans[out->span_count - 1];
}

/* What ring_write_wait() wants to know. */
static inline uint32_t packet_out_size(const struct packet_out *out)
{
	uint32_t size = sizeof(struct wire_packet);

	for (unsigned i = 0; i < out->span_count; i++)
		size += out->spans[i].size;
	return wire_align8(size);
}

/* Appends it; ring_write() says what that means. */
static inline enum ring_status packet_out_write(struct ring_writer *w, const struct packet_out *out)
{
	return ring_write(w, out->wire, out->spans, out->span_count);
}

/*
 * Likewise a packet that requests an answer, under an id for the slot that its sender has reserved
 * in the table. RING_OK: it is under way; the other end may have answered by now, and then it is
 * whose who claimed it. Otherwise it is not.
 */
static inline enum ring_status packet_out_write_transaction(struct ring_writer *w,
                                                            struct packet_table *table,
                                                            uint32_t slot, bool bare_id,
                                                            struct packet_out *out)
{
	struct packet_slot *s = packet_table_slot(table, slot);
	enum ring_status status;
	uint32_t flight;

	s->external = out->wire.type != WIRE_PACKET_DATA_INBAND;
	out->wire.transaction_id = packet_slot_take(s, slot, bare_id, &flight);
	status = packet_out_write(w, out);
	packet_slot_written(s, flight, status == RING_OK);
	return status;
}

/* Memory outside the ring, page by page: the number by which the host knows the one at `index`;
 * PACKET_NO_PAGE: it does not. */
#define PACKET_NO_PAGE UINT64_MAX
typedef uint64_t packet_page_number(void *context, uint64_t index);

enum packet_gpa {
	PACKET_GPA_OK,
	PACKET_GPA_NO_ROOM, /* for one more range of that size */
	PACKET_GPA_NO_PAGE,
};

/* One more range of a GPA direct packet: byte_count bytes from byte_offset in its first page on. */
static inline enum packet_gpa packet_gpa_add(struct wire_gpa_writer *w, uint32_t byte_offset,
                                             uint32_t byte_count, packet_page_number *number,
                                             void *context)
{
	uint64_t pages = wire_pages_spanned(byte_offset, byte_count);
	uint64_t *pfns = wire_gpa_write_range(w, byte_offset, byte_count);

	if (pfns == NULL)
		return PACKET_GPA_NO_ROOM;
	for (uint64_t i = 0; i < pages; i++) {
		uint64_t pfn = number(context, i);

		if (pfn == PACKET_NO_PAGE)
			return PACKET_GPA_NO_PAGE;
		pfns[i] = pfn;
	}
	return PACKET_GPA_OK;
}

#endif
