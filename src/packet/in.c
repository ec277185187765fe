/* SPDX-License-Identifier: BSD-2-Clause */
#include "packet/in.h"

enum ring_status packet_reader_init(struct packet_reader *r, const struct ring_memory *memory,
                                    const struct packet_limits *limits)
{
	r->limits = *limits;
	r->polling = false;
	r->fault.what = NULL;
	r->setting = PACKET_SETTING_NONE;
	return ring_reader_init(&r->ring, memory);
}

static bool packet_read_fault(struct packet_reader *r, const struct wire_packet_fault *fault,
                              enum packet_setting setting)
{
	if (r->fault.what != NULL)
		return false;
	r->fault = *fault;
	r->setting = setting;
	return false;
}

static bool packet_read_refuse(struct packet_reader *r, const char *what, uint64_t expected,
                               uint64_t actual, enum packet_setting setting)
{
	struct wire_packet_fault fault = { what, expected, actual };

	return packet_read_fault(r, &fault, setting);
}

enum packet_kind packet_read_none(struct packet_reader *r, enum ring_status status)
{
	const struct ring_fault *fault = &r->ring.fault;

	if (status == RING_EMPTY)
		return PACKET_NOTHING;
	packet_read_refuse(r, fault->what, fault->expected, fault->actual, PACKET_SETTING_NONE);
	return PACKET_MALFORMED;
}

enum packet_kind packet_read_refuse_type(struct packet_reader *r, uint16_t type)
{
	packet_read_refuse(r, "packet type", WIRE_PACKET_COMPLETION, type, PACKET_SETTING_NONE);
	return PACKET_MALFORMED;
}

static bool packet_read_transfer(struct packet_reader *r, const void *headers, struct packet_in *in,
                                 struct wire_packet_fault *fault)
{
	return wire_transfer_check(&in->transfer, headers, in->headers_size, r->limits.ranges_max,
	                           r->limits.shared_size, fault);
}

/* Of the kind that this end takes, which packet_read_next() has seen to. */
#ifdef KMCL_GUEST_ALONE
#define packet_read_ranges packet_read_transfer
#else
static bool packet_read_ranges(struct packet_reader *r, const void *headers, struct packet_in *in,
                               struct wire_packet_fault *fault)
{
	const struct packet_limits *l = &r->limits;
	const struct wire_gpa_limits limits = {
		.ranges = l->ranges_max,
		.pages = packet_gpa_pages_max(l),
		.bytes = l->external_max,
	};

	if (l->refers == WIRE_PACKET_DATA_TRANSFER_PAGES)
		return packet_read_transfer(r, headers, in, fault);
	return wire_gpa_ranges_check(&in->ranges, headers, in->headers_size, &limits, fault);
}
#endif

bool packet_read_headers(struct packet_reader *r, const struct ring_packet *packet, void *headers,
                         struct packet_in *in)
{
	uint32_t size = packet->payload_offset - (uint32_t)sizeof(struct wire_packet);
	uint64_t limit = packet_headers_max(&r->limits);
	struct wire_packet_fault fault;

	if (size > limit)
		return packet_read_refuse(r,
		                          r->limits.refers == WIRE_PACKET_DATA_TRANSFER_PAGES
		                                  ? "transfer page header size"
		                                  : "external data header size",
		                          limit, size, PACKET_SETTING_RANGES);
	ring_read_copy(&r->ring, packet, sizeof(struct wire_packet), headers, size);
	in->headers_size = size;
	if (packet_read_ranges(r, headers, in, &fault))
		return true;
	return packet_read_fault(r, &fault, PACKET_SETTING_RANGES);
}

bool packet_read_pipe(struct packet_reader *r, const struct ring_packet *packet, uint32_t *offset,
                      uint32_t *size)
{
	struct wire_pipe_header pipe = { 0, 0 };
	struct wire_packet_fault fault;
	uint32_t head = *size < sizeof(pipe) ? *size : (uint32_t)sizeof(pipe);

	ring_read_copy(&r->ring, packet, *offset, &pipe, head);
	if (!wire_pipe_check(&pipe, *size, size, &fault))
		return packet_read_fault(r, &fault, PACKET_SETTING_PIPE);
	*offset += (uint32_t)sizeof(pipe);
	return true;
}

/* A pipe says its payload's size; else up to 7 bytes are padding. */
bool packet_read_trim(struct packet_reader *r, uint32_t *size)
{
	uint32_t limit = r->limits.payload_max;

	if (r->limits.pipe || *size > wire_align8(limit))
		return packet_read_refuse(r, "packet size", limit, *size, PACKET_SETTING_PAYLOAD);
	*size = limit;
	return true;
}
