/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PACKET_IN_H
#define PACKET_IN_H

#include "ring/ring.h"

#include "packet/limits.h"

/* One direction of a channel, read. */
struct packet_reader {
	struct ring_reader ring;
	struct packet_limits limits;
	bool polling; /* the ring is masked, by packet_read_poll() */
	/* Why PACKET_MALFORMED, or false; the first stays. */
	struct wire_packet_fault fault;
	enum packet_setting setting;
};

/* What is next in the ring. */
enum packet_kind {
	PACKET_NOTHING,
	PACKET_DATA,
	PACKET_COMPLETION,
	PACKET_MALFORMED, /* the channel is of no use any more */
};

/* A packet of data, in private memory: headers and payload where the caller wanted them. */
struct packet_in {
	uint64_t id;
	uint16_t type; /* WIRE_PACKET_DATA_INBAND, or what its headers are */
	bool answer;   /* the sender waits for a completion packet with this id */
	uint32_t headers_size;
	uint32_t payload_size; /* without a pipe's header and padding, as far as that shows */
	struct wire_gpa_ranges ranges; /* WIRE_PACKET_DATA_GPA_DIRECT: in its headers, checked */
	struct wire_transfer transfer; /* WIRE_PACKET_DATA_TRANSFER_PAGES; else range_count is 0 */
};

/* As ring_reader_init(). The limits are copied. */
enum ring_status packet_reader_init(struct packet_reader *r, const struct ring_memory *memory,
                                    const struct packet_limits *limits);

/* Out of line, what few packets need. False: malformed. */
enum packet_kind packet_read_none(struct packet_reader *r, enum ring_status status);
enum packet_kind packet_read_refuse_type(struct packet_reader *r, uint16_t type);
bool packet_read_headers(struct packet_reader *r, const struct ring_packet *packet, void *headers,
                         struct packet_in *in);
bool packet_read_pipe(struct packet_reader *r, const struct ring_packet *packet, uint32_t *offset,
                      uint32_t *size);
bool packet_read_trim(struct packet_reader *r, uint32_t *size);

/* Looks at what is next, and leaves it there. */
static inline enum packet_kind packet_read_next(struct packet_reader *r, struct ring_packet *packet)
{
	enum ring_status status = ring_read_next(&r->ring, packet);

	if (status != RING_OK)
		return packet_read_none(r, status);
	if (packet->type == WIRE_PACKET_COMPLETION)
		return PACKET_COMPLETION;
	if (packet->type == WIRE_PACKET_DATA_INBAND || packet->type == r->limits.refers)
		return PACKET_DATA;
	return packet_read_refuse_type(r, packet->type);
}

/*
 * Takes the packet of data that packet_read_next() showed: headers, up to packet_headers_max(), and
 * payload, up to payload_max, are copied out of the ring once, and checked there. False: malformed,
 * and it stays.
 */
static inline bool packet_read_take(struct packet_reader *r, const struct ring_packet *packet,
                                    void *headers, void *payload, struct packet_in *in)
{
	uint32_t offset = packet->payload_offset, size = packet->size - offset;

	in->headers_size = 0;
	in->transfer.range_count = 0;
	if (packet->type != WIRE_PACKET_DATA_INBAND && !packet_read_headers(r, packet, headers, in))
		return false;
	if (r->limits.pipe && !packet_read_pipe(r, packet, &offset, &size))
		return false;
	if (size > r->limits.payload_max && !packet_read_trim(r, &size))
		return false;
	ring_read_copy(&r->ring, packet, offset, payload, size);
	in->id = packet->transaction_id;
	in->type = packet->type;
	in->answer = packet->flags & WIRE_PACKET_FLAG_COMPLETION_REQUESTED;
	in->payload_size = size;
	ring_read_advance(&r->ring, packet);
	return true;
}

/* The size of the completion that packet_read_next() showed, with up to 7 bytes of padding: no
 * limit holds for it. */
static inline uint32_t packet_read_answer_size(const struct ring_packet *packet)
{
	return packet->size - packet->payload_offset;
}

/* Takes it, `size` bytes of it. */
static inline void packet_read_take_answer(struct packet_reader *r,
                                           const struct ring_packet *packet, void *answer,
                                           uint32_t size)
{
	ring_read_copy(&r->ring, packet, packet->payload_offset, answer, size);
	ring_read_advance(&r->ring, packet);
}

/* ---- polling ---- */

/* "I poll, do not signal me": before each round; what it was when that begins makes no difference.
 */
static inline void packet_read_poll(struct packet_reader *r)
{
	if (r->polling)
		return;
	ring_read_mask(&r->ring);
	r->polling = true;
}

/* Likewise for a single round beside who polls. Afterwards, if nobody does, packet_read_sleep(). */
static inline void packet_read_mask(struct packet_reader *r)
{
	ring_read_mask(&r->ring);
}

/* Ends polling and leaves the ring masked: something else than a signal will begin it again. */
static inline void packet_read_leave(struct packet_reader *r)
{
	r->polling = false;
}

/*
 * One round: up to `budget` times one(), which says false when nothing was taken, for whatever
 * reason. *pause: for now this was all there is; a budget that is used up is a pause, too, if there
 * was no more than that.
 */
static inline uint32_t packet_read_drain(struct packet_reader *r, uint32_t budget,
                                         bool (*one)(void *context), void *context, bool *pause)
{
	uint32_t count = 0;

	while (count < budget && one(context))
		count++;
	*pause = count < budget || !ring_read_pending(&r->ring);
	return count;
}

/* At a pause the writer gets its room back. True: it is owed a signal. */
static inline bool packet_read_pause(struct packet_reader *r)
{
	return ring_read_publish(&r->ring);
}

/* Before sleeping: "signal me", and looks once more. True: there is something after all, do not
 * sleep. *signal: the writer is owed one. */
static inline bool packet_read_sleep(struct packet_reader *r, bool *signal)
{
	r->polling = ring_read_unmask(&r->ring, signal);
	return r->polling;
}

#endif
