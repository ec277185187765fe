/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_NET_NETVSC_MACHINE_H
#define DEVICES_NET_NETVSC_MACHINE_H

/*
 * The driver of a network adapter as a machine: NVSP's versions and buffers, RNDIS in it, frames
 * out by sections of the send buffer or by reference, and frames in by ranges of the receive
 * buffer. Pure and freestanding: no threads, no clock, no memory but the caller's, and no calls
 * out. Whoever drives it serialises, feeds it what came, and takes from it what to send and what
 * has ended:
 *
 *     netvsc_machine_init(...)          once
 *     netvsc_machine_open(...)          the channel is open, its buffers shared
 *     netvsc_machine_completed(...)     a completion came
 *     netvsc_machine_received(...)      a packet with transfer pages came; then, for its frames,
 *         while (netvsc_machine_frame(...))    take it; and complete the packet
 *     netvsc_machine_send(...), netvsc_machine_ask(...)
 *     after each of these:
 *         while (netvsc_machine_next(...))     send a packet
 *         netvsc_machine_sent(...), netvsc_machine_answered(...)
 *
 * One channel, no offloads: what else there is, a driver that says nothing of it does without.
 *
 * Sources of the order of things: Linux 6.1 drivers/net/hyperv/netvsc.c (netvsc_connect_vsp,
 * netvsc_init_buf, netvsc_receive, netvsc_revoke_recv_buf) and rndis_filter.c
 * (rndis_filter_device_add, rndis_filter_halt_device); mu_msvm MsvmPkg/NetvscDxe.
 */

#include "net/netvsc_protocol.h"
#include "net/rndis_client.h"

#define NETVSC_ADDRESS       6u
#define NETVSC_ETHERNET      14u   /* header */
#define NETVSC_DEFAULT_FRAME 1514u /* with that header */
#define NETVSC_VLAN_TAG      4u
#define NETVSC_SLOT_MIN      68u /* of either buffer; Linux takes no less (netvsc_init_buf) */

/* The ids by which a host completes received packets' buffers; Linux's. */
#define NETVSC_RECEIVE_BUFFER_ID 0xcafeu
#define NETVSC_SEND_BUFFER_ID    0u

/* Of memory for control messages, in one page. */
#define NETVSC_CONTROL_BYTES RNDIS_CLIENT_MESSAGE

enum netvsc_result {
	NETVSC_DONE,
	NETVSC_BAD_FRAME, /* empty, or longer than the adapter takes */
	NETVSC_NOT_SENT,  /* netvsc_machine_not_sent() */
	NETVSC_REMOVED,   /* the channel closed, or the driver stops */
	NETVSC_REFUSED,   /* by the host */
	NETVSC_NONSENSE,  /* an answer that is none */
	NETVSC_NO_VERSION,
};

/* A frame to send; the caller's memory until netvsc_machine_sent() returned it. */
struct netvsc_frame {
	struct netvsc_frame *next; /* private */
	const uint8_t *data;
	uint32_t length;
	/* Its bytes go along by reference; else they are copied, if a section has room for them. */
	bool by_reference;
	enum netvsc_result result;
};

enum netvsc_state {
	NETVSC_CLOSED,
	NETVSC_ASKS_VERSION, /* NVSP's steps, in their order */
	NETVSC_TELLS_CONFIG,
	NETVSC_TELLS_NDIS,
	NETVSC_GIVES_RECEIVE,
	NETVSC_GIVES_SEND,
	NETVSC_INITIALIZES, /* RNDIS's */
	NETVSC_ASKS_ADDRESS,
	NETVSC_ASKS_MTU,
	NETVSC_ASKS_LINK,
	NETVSC_SETS_FILTER,
	NETVSC_READY,
	NETVSC_HALTS, /* netvsc_machine_stop() */
	NETVSC_REVOKES_RECEIVE,
	NETVSC_REVOKES_SEND,
	NETVSC_STOPPED,
	NETVSC_FAILED, /* see `failure` */
};

struct netvsc_machine_options {
	/* Both are shared with the host, by a GPADL each. */
	uint8_t *receive, *send;
	uint32_t receive_size, send_size;
	/* NETVSC_CONTROL_BYTES that the host may read; in one page. */
	uint8_t *control;
	uint32_t version_max; /* the newest NVSP_VERSION_* asked for; 0: the latest */
	uint32_t frame_max;   /* with its Ethernet header; 0: NETVSC_DEFAULT_FRAME */
	uint32_t filter;      /* NDIS_PACKET_TYPE_*; 0: its own, broadcast and multicast ones */
};

/* A section of the send buffer; the caller's array of them is private. */
struct netvsc_slot {
	struct netvsc_slot *next;
	struct netvsc_frame *frame; /* NULL: none is at the host */
};

struct netvsc_frames {
	struct netvsc_frame *first, *last;
};

struct netvsc_requests {
	struct rndis_client_request *first, *last;
};

struct netvsc_machine {
	/* To be read. */
	enum netvsc_state state;
	uint32_t version; /* from NETVSC_READY on, as the next three */
	uint32_t mtu;     /* without the Ethernet header */
	uint8_t address[NETVSC_ADDRESS];
	bool link_up;
	uint32_t link_changes; /* that the host told of, so far */
	enum netvsc_result failure;
	uint32_t host_status;       /* an nvsp_status or RNDIS_STATUS_*, of a step that failed */
	struct machine_fault fault; /* the last of what the host did that makes no sense */

	/* Private. */
	struct netvsc_machine_options options;
	uint32_t receive_gpadl, send_gpadl;
	uint32_t versions; /* that were asked for */
	bool asked;        /* the step's message is on its way */
	uint32_t slot_size, section_size;
	struct netvsc_slot *slots, *free;
	uint32_t slot_count;
	struct netvsc_frames waiting, over;
	/* RNDIS: one question at a time. */
	struct rndis_client_request own; /* of the steps */
	struct rndis_client_request *current;
	struct netvsc_requests questions, answers;
	bool control_busy; /* the memory of the last message is the host's */
	uint32_t request_id;
};

/* A packet to send: in-band, with `data` as memory that goes along, if there is any. */
struct netvsc_output {
	uint32_t id;     /* for the completion; <= depth + 1 */
	bool completion; /* is wanted */
	uint32_t size;   /* of the message */
	struct nvsp_message message;
	const uint8_t *data; /* of the control memory, or of a frame; NULL: none */
	uint32_t data_length;
};

/* `slots`: `depth` of them, which is how many frames may be at the host at a time. */
void netvsc_machine_init(struct netvsc_machine *machine,
                         const struct netvsc_machine_options *options, struct netvsc_slot *slots,
                         uint32_t depth);

/* The channel is open: also a second time. */
void netvsc_machine_open(struct netvsc_machine *machine, uint32_t receive_gpadl,
                         uint32_t send_gpadl);

/* Says farewell: the host halts RNDIS and lets go of both buffers. When there is no more to send in
 * NETVSC_STOPPED, the channel may be closed. */
void netvsc_machine_stop(struct netvsc_machine *machine);

/* The channel closes. What waits ends; what is at the host ends as the channel gives it back, with
 * netvsc_machine_lost(). */
void netvsc_machine_close(struct netvsc_machine *machine);

/* Before NETVSC_READY it waits; while closed, stopping or failed it ends. */
void netvsc_machine_send(struct netvsc_machine *machine, struct netvsc_frame *frame);
/* Likewise: asks or sets an OID. */
void netvsc_machine_ask(struct netvsc_machine *machine, struct rndis_client_request *request);

/* The next packet to send; false: there is none now. */
bool netvsc_machine_next(struct netvsc_machine *machine, struct netvsc_output *output);
/* The last of them could not be sent. It is what netvsc_machine_next() returns next. */
void netvsc_machine_put_back(struct netvsc_machine *machine, uint32_t id);
/* Likewise, and never will. */
void netvsc_machine_not_sent(struct netvsc_machine *machine, uint32_t id);

/* A completion packet and its payload. false: it answers nothing; see `fault`. */
bool netvsc_machine_completed(struct netvsc_machine *machine, uint64_t id, const void *payload,
                              uint32_t size);
/* There will be none: the channel has closed. false: no frame was there with this id. */
bool netvsc_machine_lost(struct netvsc_machine *machine, uint64_t id);

/* Frames and questions that have ended, one by one; NULL: no more. */
struct netvsc_frame *netvsc_machine_sent(struct netvsc_machine *machine);
struct rndis_client_request *netvsc_machine_answered(struct netvsc_machine *machine);

/* ---- what comes ---- */

/* As a packet's transfer pages have them. */
struct netvsc_range {
	uint32_t byte_count, byte_offset;
};

/* Where netvsc_machine_frame() is in a packet. */
struct netvsc_incoming {
	const uint8_t *ranges;
	uint32_t count;
};

/* What completes it, whatever was in it. */
#define NETVSC_COMPLETION_BYTES 8u
void netvsc_machine_completion(uint8_t completion[NETVSC_COMPLETION_BYTES]);

/* A packet with transfer pages: its ranges and its payload, both in private memory. false: it makes
 * no sense; it is to be completed all the same. */
bool netvsc_machine_received(struct netvsc_machine *machine, struct netvsc_incoming *incoming,
                             uint16_t pageset_id, const void *ranges, uint32_t count,
                             const void *payload, uint32_t size);
/* The next frame in it; what else is in it is taken on the way. false: no more. The frame is in the
 * receive buffer, which the host may write to all the time: copy it before it is looked at. */
bool netvsc_machine_frame(struct netvsc_machine *machine, struct netvsc_incoming *incoming,
                          struct rndis_client_frame *frame);

/* What the host says in-band, without transfer pages: nothing that this driver needs. false: it
 * makes no sense. */
bool netvsc_machine_said(struct netvsc_machine *machine, const void *payload, uint32_t size);

#endif
