/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_IC_IC_CLIENT_H
#define DEVICES_IC_IC_CLIENT_H

/*
 * An integration component as its guest has it: the choice of versions, heartbeats, requests to
 * shut down, and times. Of key-value pairs it chooses no version, so the host asks for none. Pure
 * and freestanding: no threads, no clock, no memory but the caller's, no calls out.
 *
 * A message is turned into its answer where it lies; then the caller does what was asked, in this
 * order, as Linux's hv_util does: a machine that is off answers nobody. Messages are those of the
 * pipe, without its header, in memory that the host cannot reach.
 *
 * Sources: Linux 6.1 drivers/hv/hv_util.c (heartbeat_onchannelcallback, shutdown_onchannelcallback,
 * timesync_onchannelcallback, adj_guesttime) and channel_mgmt.c (vmbus_prep_negotiate_resp).
 */

#include "ic/ic_protocol.h"

/* What a guest can do when it is asked to; bits. */
#define IC_CLIENT_CAN_POWER_OFF 0x1u
#define IC_CLIENT_CAN_RESTART   0x2u
#define IC_CLIENT_CAN_HIBERNATE 0x4u

struct ic_client {
	uint16_t type; /* enum ic_message_type */
	/* To be set, and changed at any time: what it says of itself, and can do. */
	uint32_t health; /* enum ic_heartbeat_health */
	uint32_t can;    /* IC_CLIENT_CAN_* */
	/* To be read. */
	struct ic_version framework, agreed; /* 0.0: not yet */
	struct machine_fault fault;          /* the last of what made no sense */
};

enum ic_client_event {
	IC_CLIENT_WRONG,    /* it makes no sense: see `fault` */
	IC_CLIENT_AGREED,   /* on versions; also anew */
	IC_CLIENT_REFUSED,  /* no versions in common; the host may try again */
	IC_CLIENT_BEAT,     /* a heartbeat: nothing to do */
	IC_CLIENT_SHUTDOWN, /* do what `shutdown` says, after the answer was sent */
	IC_CLIENT_DECLINED, /* likewise, which it cannot do: so the answer says */
	IC_CLIENT_TIME,     /* `time` */
};

/* IC_CLIENT_CAN_*: one of those that it can. */
struct ic_client_shutdown {
	uint32_t action;
	bool force; /* without asking anybody */
	uint32_t reason, timeout_seconds;
};

/* A moment, in two clocks; 100 ns. */
struct ic_client_time {
	uint64_t host;      /* since 1601-01-01 UTC */
	uint64_t reference; /* the partition's reference counter */
	bool set;           /* the guest's clock shall be set to it; else it is a sample */
};

struct ic_client_request {
	enum ic_client_event event;
	uint32_t answer_size; /* of the message as it is now; 0: no answer is to be sent */
	struct ic_client_shutdown shutdown;
	struct ic_client_time time;
};

/* Can do nothing yet, and is healthy. */
void ic_client_init(struct ic_client *client, enum ic_message_type type);

/* The channel was opened: also a second time. */
void ic_client_open(struct ic_client *client);

/* `reference`: the reference counter now, for times of hosts before 4.0, which have none in them.
 */
void ic_client_receive(struct ic_client *client, uint8_t *message, uint32_t size,
                       uint64_t reference, struct ic_client_request *request);

/* The host's time when the reference counter has this value; 100 ns since 1601-01-01 UTC. */
static inline uint64_t ic_client_time_at(const struct ic_client_time *time, uint64_t reference)
{
	return time->host + (reference - time->reference);
}

#define IC_CLIENT_UNIX_EPOCH (11644473600ull * 10000000u) /* 1970-01-01 UTC */

/* ns since 1970-01-01 UTC. false: a time that does not fit: before 1970, or from 2554 on. */
bool ic_client_unix_time(uint64_t host, uint64_t *ns);

#endif
