/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_INPUT_KEYBOARD_SESSION_H
#define DEVICES_INPUT_KEYBOARD_SESSION_H

/*
 * A keyboard as its host has it: what the guest has asked for, and the strokes that wait for it.
 * All of its state, and pure: no bus, no memory but the caller's, no clock; the caller serialises.
 */

#include "input/keyboard_protocol.h"

#define KEYBOARD_QUEUE 256u /* strokes; a power of two */

enum keyboard_state {
	KEYBOARD_CLOSED,
	KEYBOARD_OPENED,  /* the guest has to ask for a version */
	KEYBOARD_REFUSED, /* and may ask again */
	KEYBOARD_READY,
};

/* A key of set 1, its prefix 0xe0 or 0xe1 in the high byte, that goes down or up. */
struct keyboard_stroke {
	uint16_t code;
	bool up;
};

struct keyboard_session {
	enum keyboard_state state;
	uint32_t era; /* what was pressed in another one is gone */
	bool owes;    /* the guest an answer */
	uint16_t leds;
	uint32_t head, count; /* of the queue */
	struct keyboard_stroke queue[KEYBOARD_QUEUE];
};

void keyboard_session_open(struct keyboard_session *s);
/* What waits is dropped: nobody waits for a key that was pressed before the system was there. */
void keyboard_session_close(struct keyboard_session *s);

/* A message from the guest. A request that comes before the last one was answered is answered with
 * it, once. false: it makes no sense. */
bool keyboard_session_receive(struct keyboard_session *s, const void *message, uint32_t size,
                              struct machine_fault *fault);

/* Takes what is to be sent next; its size, 0: there is nothing. */
uint32_t keyboard_session_next(struct keyboard_session *s, void *message);

/* Whether that can be a key of set 1. */
bool keyboard_code_valid(uint16_t code);

/* All of these, or none. KEYBOARD_READY only; false: there is no room. */
bool keyboard_session_press(struct keyboard_session *s, const struct keyboard_stroke *strokes,
                            uint32_t count);

#endif
