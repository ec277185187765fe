/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WIRE_PACKET_H
#define WIRE_PACKET_H

/*
 * What stands in a ring: the control page, the packet descriptor, the headers of
 * packets that refer to memory outside the ring, the footer, the pipe header.
 *
 * Sources: Linux include/linux/hyperv.h (struct hv_ring_buffer, vmpacket_descriptor,
 * vmdata_gpa_direct, vmtransfer_page_packet_header); mu_msvm VmbusPacketFormat.h;
 * OpenVMM vmbus_ring/src/lib.rs (protocol module). All numbers are little-endian.
 */

#include "wire/bare.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WIRE_PAGE_SIZE 4096u

/* The first page of each ring. Written by both ends, so read each field once. */
struct wire_ring_control {
	uint32_t write_index;       /* byte offset into the data pages, 8-aligned; writer's */
	uint32_t read_index;        /* likewise; reader's */
	uint32_t interrupt_mask;    /* reader's: not 0 means it polls and wants no signal */
	uint32_t pending_send_size; /* writer's: bytes it waits for; 0 means it does not wait */
	uint32_t reserved[12];
	uint32_t feature_bits; /* WIRE_RING_FEATURE_* */
};
#define WIRE_RING_FEATURE_PENDING_SEND_SIZE 1u /* the writer sets pending_send_size */

static_assert(offsetof(struct wire_ring_control, interrupt_mask) == 8, "ABI");
static_assert(offsetof(struct wire_ring_control, pending_send_size) == 12, "ABI");
static_assert(offsetof(struct wire_ring_control, feature_bits) == 64, "ABI");

/* The first 16 bytes of each packet. */
struct wire_packet {
	uint16_t type;    /* enum wire_packet_type */
	uint16_t offset8; /* where the payload starts, in 8-byte units from this header */
	uint16_t length8; /* header and payload with padding, without the footer, likewise */
	uint16_t flags;   /* WIRE_PACKET_FLAG_* */
	uint64_t transaction_id;
};
static_assert(sizeof(struct wire_packet) == 16, "ABI");

enum wire_packet_type {
	WIRE_PACKET_ESTABLISH_GPADL =
		0x3, /* types 1 to 5 and 10: reserved by the protocol, never seen */
	WIRE_PACKET_DATA_INBAND = 0x6,
	WIRE_PACKET_DATA_TRANSFER_PAGES = 0x7,
	WIRE_PACKET_DATA_GPADL = 0x8,
	WIRE_PACKET_DATA_GPA_DIRECT = 0x9,
	WIRE_PACKET_CANCEL_REQUEST = 0xa,
	WIRE_PACKET_COMPLETION = 0xb,
	WIRE_PACKET_DATA_ADDITIONAL = 0xc,
	WIRE_PACKET_ADDITIONAL_DATA = 0xd,
};

#define WIRE_PACKET_FLAG_COMPLETION_REQUESTED 1u

/* Follows each packet: the offset at which it began, in the high half. */
#define WIRE_PACKET_FOOTER_SIZE 8u

/* GPA direct: the descriptor, this, then range_count ranges one after the other. */
struct wire_gpa_direct {
	struct wire_packet packet;
	uint32_t reserved;
	uint32_t range_count;
};
static_assert(sizeof(struct wire_gpa_direct) == 24, "ABI");

/* One range: byte_count bytes from byte_offset in the first of its pages on. */
struct wire_gpa_range {
	uint32_t byte_count;
	uint32_t byte_offset;
	/* uint64_t pfn[]: as many as byte_offset + byte_count spans */
};
static_assert(sizeof(struct wire_gpa_range) == 8, "ABI");

/* Transfer pages: the descriptor, this, then range_count ranges within a shared buffer. */
struct wire_transfer_pages {
	struct wire_packet packet;
	uint16_t transfer_pageset_id;
	uint8_t sender_owns_set;
	uint8_t reserved;
	uint32_t range_count;
};
static_assert(sizeof(struct wire_transfer_pages) == 24, "ABI");

struct wire_transfer_range {
	uint32_t byte_count;
	uint32_t byte_offset;
};
static_assert(sizeof(struct wire_transfer_range) == 8, "ABI");

/* Starts the payload of an in-band packet on a pipe channel. */
struct wire_pipe_header {
	uint32_t type; /* WIRE_PIPE_* */
	uint32_t data_size;
};
#define WIRE_PIPE_DATA    1u
#define WIRE_PIPE_PARTIAL 2u
static_assert(sizeof(struct wire_pipe_header) == 8, "ABI");

static inline uint32_t wire_align8(uint32_t n)
{
	return (n + 7u) & ~7u;
}

/* How many pages byte_count bytes from byte_offset on touch. */
static inline uint64_t wire_pages_spanned(uint32_t byte_offset, uint32_t byte_count)
{
	return ((uint64_t)byte_offset + byte_count + WIRE_PAGE_SIZE - 1) / WIRE_PAGE_SIZE;
}

/*
 * Checks of headers that came from the other end. They look at a copy in private memory, never at
 * the ring itself: `headers` is what stands between the descriptor and the payload, 8-aligned,
 * `size` bytes of it (payload offset - 16). False: malformed, and why is in *fault.
 */
struct wire_packet_fault {
	const char *what;
	uint64_t expected; /* the limit it broke */
	uint64_t actual;
};

/* A range of a GPA direct packet, read or to be written. */
struct wire_gpa_extent {
	uint32_t byte_count;  /* > 0 */
	uint32_t byte_offset; /* into the first page, < WIRE_PAGE_SIZE */
	uint32_t pfn_count;   /* wire_pages_spanned(byte_offset, byte_count) */
	const uint64_t *pfns;
};

struct wire_gpa_limits {
	uint32_t ranges; /* at most so many; at least one is there */
	uint32_t pages;  /* of all ranges together */
	uint64_t bytes;  /* likewise */
};

/* The ranges of one packet: checked as a whole, then taken one by one. */
struct wire_gpa_ranges {
	const uint8_t *next;
	uint32_t left;       /* ranges from `next` on */
	uint32_t page_count; /* of all of them */
	uint64_t byte_count; /* likewise */
};

/*
 * OpenVMM (vmbus_ring parse_packet, gparange.rs) refuses no range, an empty range, an offset past
 * the first page and pages that are not there; room after the last range is let pass. So here.
 */
bool wire_gpa_ranges_check(struct wire_gpa_ranges *ranges, const void *headers, uint32_t size,
                           const struct wire_gpa_limits *limits, struct wire_packet_fault *fault);

/* The next of them, in order. False: there is none. */
bool wire_gpa_ranges_next(struct wire_gpa_ranges *ranges, struct wire_gpa_extent *extent);

/* The size of the headers for `count` ranges with `pages` page numbers in all: a multiple of 8. */
static inline uint64_t wire_gpa_direct_size(uint32_t count, uint32_t pages)
{
	return sizeof(struct wire_gpa_direct) - sizeof(struct wire_packet) +
	       count * (uint64_t)sizeof(struct wire_gpa_range) + pages * (uint64_t)sizeof(uint64_t);
}

/* Writes them, a range at a time. */
struct wire_gpa_writer {
	uint8_t *start, *at, *end;
	uint32_t ranges;
};

/* False: less room than a header without ranges takes. */
bool wire_gpa_write_begin(struct wire_gpa_writer *w, void *headers, uint32_t room);
/* One more range. Its page numbers go where this returns, 8-aligned if `headers` is;
 * wire_pages_spanned(byte_offset, byte_count) of them. NULL: no room. */
uint64_t *wire_gpa_write_range(struct wire_gpa_writer *w, uint32_t byte_offset,
                               uint32_t byte_count);
/* How many bytes it took. */
uint32_t wire_gpa_write_end(struct wire_gpa_writer *w);

struct wire_transfer {
	uint16_t pageset_id;
	bool sender_owns_set;
	uint32_t range_count;
	const struct wire_transfer_range *ranges;
};

/* Each range has to lie within the shared buffer's `buffer_size` bytes. */
bool wire_transfer_check(struct wire_transfer *transfer, const void *headers, uint32_t size,
                         uint32_t range_limit, uint32_t buffer_size,
                         struct wire_packet_fault *fault);

/* How many bytes, or 0: more than `room`. */
uint32_t wire_transfer_encode(void *headers, uint32_t room, const struct wire_transfer *transfer);

/* The pipe header that starts `payload`, of which `size` bytes are there. Only DATA travels;
 * PARTIAL is what a reader makes of a packet it has half read (OpenVMM vmbus_ring). */
bool wire_pipe_check(const void *payload, uint32_t size, uint32_t *data_size,
                     struct wire_packet_fault *fault);

#ifdef __cplusplus
}
#endif

#endif
