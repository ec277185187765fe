/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_INPUT_H
#define KMCL_INPUT_H

/*
 * A keyboard and a mouse for a guest: what Hyper-V offers, and Linux's hyperv-keyboard and
 * hid-hyperv drive.
 *
 * Any thread may call these functions, several at a time; none of them at a raised IRQL. No call
 * may run or follow when a device is destroyed; destroying NULL is nothing. What is pressed or
 * moved waits in a queue of the device's until the guest's ring has room for it. All calls that
 * give a device something to say return, beside what is said with them: -ENOTCONN: the guest's
 * driver is not there; -EPROTONOSUPPORT: it speaks no version that there is.
 */

#include <kmcl/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- keyboard ---- */

struct kmcl_keyboard;

struct kmcl_keyboard_options {
	uint32_t size;             /* sizeof(struct kmcl_keyboard_options) */
	bool monitored;            /* the channel is offered with the monitor page */
	struct kmcl_guid instance; /* all 0: that of a real host */
};

/* Offers a keyboard. `options` may be NULL. -EINVAL, -E2BIG: the options; -EEXIST: the instance is
 * offered already; -ENOMEM. */
KMCL_API int kmcl_keyboard_create(struct kmcl_host *host,
                                  const struct kmcl_keyboard_options *options,
                                  struct kmcl_keyboard **keyboard);
/* Withdraws it; what still waits is lost. NULL: nothing. */
KMCL_API void kmcl_keyboard_destroy(struct kmcl_keyboard *keyboard);

#define KMCL_KEYBOARD_QUEUE 256u /* strokes that wait */

/* A key goes down, or up: its make code of scan code set 1, with a prefix of 0xe0 or 0xe1 in the
 * high byte. Returns at once. -EINVAL: no such code; -EAGAIN: the queue is full, as the guest reads
 * nothing. */
KMCL_API int kmcl_keyboard_key(struct kmcl_keyboard *keyboard, uint16_t code, bool down);

struct kmcl_keyboard_text {
	uint32_t size;        /* sizeof(struct kmcl_keyboard_text) */
	const char *text;     /* what a US keyboard has keys for; also \n, \t, \b and ESC */
	uint32_t interval_ms; /* between two characters; 0: 10. Guests lose some that come faster */
	uint32_t timeout_ms;  /* that each character, or the guest's driver, may take; 0: 5000 */
};

/*
 * Types a text, one caller's after the other's, and returns when the guest's ring has all of it;
 * waits until then, also for a driver that is not there yet. *typed: how many bytes of it are
 * typed. -EILSEQ: there is no key for the one at *typed, and nothing is typed; -ETIMEDOUT: the
 * guest reads nothing, but what is in the queue may still come; -ENODEV: it went away meanwhile;
 * -EBUSY: another text takes too long; -EINVAL: no text.
 */
KMCL_API int kmcl_keyboard_type(struct kmcl_keyboard *keyboard,
                                const struct kmcl_keyboard_text *text, size_t *typed);

struct kmcl_keyboard_info {
	uint32_t size;    /* sizeof(struct kmcl_keyboard_info) */
	uint32_t version; /* major << 16 | minor; 0: no driver has asked for one */
	uint32_t leds;    /* as the guest sets them; no driver that is known does */
	uint32_t waiting; /* strokes */
	uint64_t opens;   /* times that a guest opened the channel */
	uint64_t sent;    /* messages: strokes, and answers */
	uint64_t wrong;   /* messages that made no sense, and versions that there are not */
};

/* How the keyboard is. -EINVAL: the size. */
KMCL_API int kmcl_keyboard_query(struct kmcl_keyboard *keyboard, struct kmcl_keyboard_info *info);

#ifdef __cplusplus
}
#endif

#endif
