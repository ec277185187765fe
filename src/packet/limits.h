/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PACKET_LIMITS_H
#define PACKET_LIMITS_H

#include "ring/ring.h"

/* What a channel's packets may be; both ends of it had better say the same. */
struct packet_limits {
	uint32_t payload_max;  /* without a pipe's header */
	uint32_t ranges_max;   /* of a packet that refers to memory outside the ring */
	uint32_t external_max; /* bytes of all its ranges */
	/* Of the memory that transfer ranges lie in; UINT32_MAX: the caller checks them. */
	uint32_t shared_size;
	/* What incoming packets may refer to: WIRE_PACKET_DATA_GPA_DIRECT at a host,
	 * WIRE_PACKET_DATA_TRANSFER_PAGES at a guest. */
	uint16_t refers;
	bool pipe; /* each payload has a pipe header */
};

/* What a fault may be due to, where the two ends were set up differently. */
enum packet_setting {
	PACKET_SETTING_NONE,
	PACKET_SETTING_PAYLOAD, /* payload_max */
	PACKET_SETTING_RANGES,  /* ranges_max, external_max */
	PACKET_SETTING_PIPE,
};

/* A range touches at most two pages more than its bytes fill. */
static inline uint32_t packet_gpa_pages_max(const struct packet_limits *limits)
{
	return limits->external_max / WIRE_PAGE_SIZE + 2 * limits->ranges_max;
}

/* The most bytes between descriptor and payload: of a GPA direct packet, */
static inline uint64_t packet_gpa_headers_max(const struct packet_limits *limits)
{
	return wire_gpa_direct_size(limits->ranges_max, packet_gpa_pages_max(limits));
}

/* one of transfer pages, */
static inline uint64_t packet_transfer_headers_max(const struct packet_limits *limits)
{
	return sizeof(struct wire_transfer_pages) - sizeof(struct wire_packet) +
	       limits->ranges_max * (uint64_t)sizeof(struct wire_transfer_range);
}

/* and those that come in. */
static inline uint64_t packet_headers_max(const struct packet_limits *limits)
{
	return limits->refers == WIRE_PACKET_DATA_GPA_DIRECT ? packet_gpa_headers_max(limits)
	                                                     : packet_transfer_headers_max(limits);
}

/* Bytes of data that a ring needs for the largest packet. 8 stay free, and a writer that waits for
 * a whole packet must not wait for ever. */
static inline uint64_t packet_ring_least(const struct packet_limits *limits)
{
	return sizeof(struct wire_packet) + packet_gpa_headers_max(limits) +
	       sizeof(struct wire_pipe_header) + wire_align8(limits->payload_max) +
	       WIRE_PACKET_FOOTER_SIZE + 8;
}

#endif
