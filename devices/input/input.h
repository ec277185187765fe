/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_INPUT_INPUT_H
#define DEVICES_INPUT_INPUT_H

/*
 * What keyboard and mouse share: the offer, a session that says what is to be sent next, and one
 * packet on its way at a time, so that a guest that reads nothing has the session's queue fill up,
 * and nothing else.
 *
 * P: at PASSIVE_LEVEL; D: at DISPATCH_LEVEL or lower. Any thread.
 */

#include "common/bare.h"

#include <kmcl/host.h>
#include <kmcl/kmcl.h>

#define INPUT_MESSAGE_MAX 512u

/* What a device is; all of the functions run under its lock. */
struct input_kind {
	const char *name; /* in logs */
	GUID type, instance;
	bool pipe;           /* it is offered as one, of messages */
	uint32_t packet_max; /* of either direction, <= INPUT_MESSAGE_MAX */
	void (*open)(void *session);
	void (*close)(void *session);
	/* false: it makes no sense. */
	bool (*receive)(void *session, const void *message, uint32_t size,
	                struct machine_fault *fault);
	/* Takes what is to be sent next; its size, 0: nothing. */
	uint32_t (*next)(void *session, void *message);
};

struct input_offer {
	struct kmcl_guid instance; /* all 0: the kind's */
	bool monitored;
};

struct input {
	const struct input_kind *kind;
	void *session;
	VMBCHANNEL vmb;
	KSPIN_LOCK lock; /* of the session, and what follows */
	KDPC pump;       /* goes on when a packet has gone */
	bool complained; /* in this opening */
	uint64_t opens, sent, wrong;
	_Atomic bool sending;
	KEVENT moved; /* something left the queue, or the guest came or went */
};

/* P. Offers it; `session` stays the caller's. 0 or -errno. */
int input_create(struct kmcl_host *host, const struct input_kind *kind,
                 const struct input_offer *offer, void *session, struct input *input);
/* P. No other call is running or follows. */
void input_destroy(struct input *input);

/* D. The session, to look at and to give something to; what is to be sent is, on the way out. */
KIRQL input_lock(struct input *input);
void input_unlock(struct input *input, KIRQL irql);

#endif
