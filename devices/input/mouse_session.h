/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_INPUT_MOUSE_SESSION_H
#define DEVICES_INPUT_MOUSE_SESSION_H

/*
 * A mouse as its host has it: what the guest has asked for, and the reports that wait for it. All
 * of its state, and pure: no bus, no memory but the caller's, no clock; the caller serialises.
 */

#include "input/mouse_protocol.h"

#define MOUSE_QUEUE 64u /* reports; a power of two */

enum mouse_state {
	MOUSE_CLOSED,
	MOUSE_OPENED,    /* the guest has to ask for a version */
	MOUSE_REFUSED,   /* and may ask again */
	MOUSE_DESCRIBED, /* it has to acknowledge the device */
	MOUSE_READY,
};

struct mouse_input {
	uint16_t x, y;
	uint8_t buttons; /* that are down */
	int16_t wheel;   /* since the last one */
	bool moves;      /* that, and nothing else */
};

struct mouse_session {
	enum mouse_state state;
	bool owes_answer, owes_device; /* the guest */
	uint32_t asked;                /* version */
	uint8_t buttons;               /* of the last report */
	uint32_t head, count;          /* of the queue */
	struct mouse_input queue[MOUSE_QUEUE];
};

void mouse_session_open(struct mouse_session *s);
/* What waits is dropped. */
void mouse_session_close(struct mouse_session *s);

/* A message from the guest. A request that comes before the last one was answered is answered with
 * it, once. false: it makes no sense. */
bool mouse_session_receive(struct mouse_session *s, const void *message, uint32_t size,
                           struct machine_fault *fault);

/* Takes what is to be sent next; its size, 0: there is nothing. */
uint32_t mouse_session_next(struct mouse_session *s, void *message);

/* MOUSE_READY only; `moves` is not looked at. One that only moves on from one that only moved takes
 * its place if that still waits. false: there is no room; for one that does nothing but let a
 * button go there always is. */
bool mouse_session_report(struct mouse_session *s, const struct mouse_input *input);

#endif
