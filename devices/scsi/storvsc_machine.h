/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_STORVSC_MACHINE_H
#define DEVICES_SCSI_STORVSC_MACHINE_H

/*
 * The driver of a synthetic SCSI controller as a machine: negotiation, requests in flight, what the
 * host's answers come to, and what is sent once more. Pure and freestanding: no threads, no clock,
 * no memory but the caller's, and no calls out. Whoever drives it serialises, feeds it what came,
 * and takes from it what to send and what has ended:
 *
 *     storvsc_machine_init(...)            once
 *     storvsc_machine_open(...)            the channel is open: the negotiation begins
 *     storvsc_machine_completed(...)       an answer came
 *     storvsc_machine_submit(...)
 *     after each of these:
 *         while (storvsc_machine_next(...))    send a packet
 *         storvsc_machine_ended(...)           tell whoever asked
 *
 * Sources of the order of things: Linux drivers/scsi/storvsc_drv.c (storvsc_channel_init,
 * handle_multichannel_storage), mu_msvm MsvmPkg/StorvscDxe.
 */

#include "scsi/storvsc_protocol.h"
#include "scsi/storvsc_request.h"

/* How often something is sent once more that the unit did not do: at once, and when it has had some
 * time, which with STORVSC_LATER_MS makes 3 s in all. */
#define STORVSC_REPEATS_AGAIN 5u
#define STORVSC_REPEATS_LATER 30u
#define STORVSC_LATER_MS      100u

#define STORVSC_MIN_TRANSFER 4096u

struct storvsc_machine_options {
	uint32_t max_transfer; /* bytes of one request, at least STORVSC_MIN_TRANSFER; 0: no limit
	                          but the host's */
	uint16_t version_max;  /* the newest protocol version asked for; 0: the latest */
	uint16_t subchannels;  /* that the caller would open; the host may have fewer, or none */
};

enum storvsc_state {
	STORVSC_CLOSED,
	STORVSC_BEGINS, /* the negotiation's steps, in their order */
	STORVSC_ASKS_VERSION,
	STORVSC_ASKS_PROPERTIES,
	STORVSC_ENDS,
	STORVSC_ASKS_SUBCHANNELS,
	STORVSC_READY,
	STORVSC_FAILED, /* the negotiation: see `failure` */
};

/* A place at the host; the caller's array of them is private. */
struct storvsc_slot {
	struct storvsc_slot *next;
	struct storvsc_request *request; /* NULL: none is at the host */
};

struct storvsc_queue {
	struct storvsc_request *first, *last;
};

struct storvsc_machine {
	/* To be read. */
	enum storvsc_state state;
	uint16_t version;      /* from STORVSC_READY on, as the next two */
	uint16_t subchannels;  /* that the host offers now */
	uint32_t max_transfer; /* bytes of one request, whole pages */
	enum storvsc_result failure;
	uint32_t host_status;       /* an NTSTATUS: what a host answered that refused a step */
	struct machine_fault fault; /* the last of what the host did that makes no sense */

	/* Private. */
	struct storvsc_machine_options options;
	uint32_t packet_size;
	uint32_t versions; /* that were asked for */
	bool asked;        /* the step's packet is at the host */
	struct storvsc_slot *slots, *free;
	uint32_t slot_count;
	struct storvsc_queue waiting; /* for a slot */
	struct storvsc_queue later;   /* for the unit */
	struct storvsc_queue over;
};

/* A packet to send: in-band, with a completion wanted. */
struct storvsc_output {
	uint32_t id; /* for the completion; < depth, or depth for a step of the negotiation */
	uint32_t size;
	struct storvsc_packet packet;
	/* Whose memory of `request->length` bytes goes along, from page to page; NULL: none. */
	struct storvsc_request *request;
};

/* `slots`: `depth` of them, which is how many requests may be at the host at a time. */
void storvsc_machine_init(struct storvsc_machine *machine,
                          const struct storvsc_machine_options *options, struct storvsc_slot *slots,
                          uint32_t depth);

/* The channel is open: also a second time. */
void storvsc_machine_open(struct storvsc_machine *machine);

/* For a subchannel, on which nothing is negotiated: it goes by what `first`, which is ready, has
 * agreed on with the host; and its channel is open, which makes it ready. */
void storvsc_machine_join(struct storvsc_machine *machine, const struct storvsc_machine *first);
void storvsc_machine_joined(struct storvsc_machine *machine);

/* It closes. What waits ends; what is at the host ends as the channel gives it back, with
 * storvsc_machine_lost(). No memory that the host may still write to ends before that. */
void storvsc_machine_close(struct storvsc_machine *machine);

/* Before STORVSC_READY it waits; while closed, or after a negotiation that failed, it ends. */
void storvsc_machine_submit(struct storvsc_machine *machine, struct storvsc_request *request);

/* The next packet to send; false: there is none now. */
bool storvsc_machine_next(struct storvsc_machine *machine, struct storvsc_output *output);
/* The last of them could not be sent. It is what storvsc_machine_next() returns next. */
void storvsc_machine_put_back(struct storvsc_machine *machine, uint32_t id);
/* Likewise, and never will: it ends with STORVSC_RESULT_NOT_SENT. */
void storvsc_machine_not_sent(struct storvsc_machine *machine, uint32_t id);

/* A completion packet and its payload. false: it answers nothing; see `fault`. */
bool storvsc_machine_completed(struct storvsc_machine *machine, uint64_t id, const void *payload,
                               uint32_t size);
/* There will be none: the channel has closed. false: nothing was there with this id. */
bool storvsc_machine_lost(struct storvsc_machine *machine, uint64_t id);

/* What the host says unasked, in-band. true: units came or went. */
bool storvsc_machine_said(const void *payload, uint32_t size);

/* Does something wait for time to pass? Then call storvsc_machine_later() in STORVSC_LATER_MS. */
bool storvsc_machine_waits(const struct storvsc_machine *machine);
void storvsc_machine_later(struct storvsc_machine *machine);

/* Those that have ended since the last call, in a list; NULL: none. */
struct storvsc_request *storvsc_machine_ended(struct storvsc_machine *machine);

static inline bool storvsc_machine_negotiates(const struct storvsc_machine *machine)
{
	return machine->state > STORVSC_CLOSED && machine->state < STORVSC_READY;
}

#endif
