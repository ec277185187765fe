/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_INPUT_KEYBOARD_CLIENT_H
#define DEVICES_INPUT_KEYBOARD_CLIENT_H

/*
 * A keyboard as its guest has it: the version asked for, and keys. Pure and freestanding: no
 * threads, no clock, no memory but the caller's, no calls out.
 *
 * The caller opens the channel, sends what keyboard_client_open() made, and feeds what comes: whole
 * packets without a pipe's header, which may be longer than their message by what makes them whole
 * 8 bytes. Messages are read where the host may write: once.
 *
 * Sources: Linux 6.1 drivers/input/serio/hyperv-keyboard.c (hv_kbd_on_receive), FreeBSD
 * sys/dev/hyperv/input/hv_kbd.c (hvkbd_read_char_locked).
 */

#include "input/keyboard_protocol.h"

enum keyboard_client_state {
	KEYBOARD_CLIENT_CLOSED,
	KEYBOARD_CLIENT_ASKED,
	KEYBOARD_CLIENT_READY,
	KEYBOARD_CLIENT_REFUSED, /* the host has no keyboard that this is for */
};

struct keyboard_client {
	enum keyboard_client_state state;
	struct machine_fault fault; /* the last of what made no sense */
};

enum keyboard_client_event {
	KEYBOARD_CLIENT_WRONG,     /* it makes no sense: see `fault` */
	KEYBOARD_CLIENT_AGREED,    /* keys may come */
	KEYBOARD_CLIENT_NO,        /* none will */
	KEYBOARD_CLIENT_KEY,       /* a key went down, or up */
	KEYBOARD_CLIENT_CHARACTER, /* one that the host has as such: Hyper-V's "type clipboard text"
	                            */
};

struct keyboard_client_key {
	uint16_t code; /* of set 1, with a prefix of 0xe0 or 0xe1 in the high byte; or UTF-16 */
	bool up;
};

/* The channel was opened: also a second time. The request that is to be sent. */
void keyboard_client_open(struct keyboard_client *client, struct keyboard_request *request);
void keyboard_client_close(struct keyboard_client *client);

enum keyboard_client_event keyboard_client_receive(struct keyboard_client *client,
                                                   const void *packet, uint32_t size,
                                                   struct keyboard_client_key *key);

/* A key as the bytes that a PS/2 keyboard says; how many. */
uint32_t keyboard_client_bytes(struct keyboard_client_key key, uint8_t bytes[2]);

/* Which lights are on, for the host to show; KEYBOARD_CLIENT_READY only. */
void keyboard_client_leds(uint16_t leds, struct keyboard_leds *message);

#endif
