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
 * Types a text, and returns when the guest's ring has all of it. Waits until then, also for a
 * driver that is not there yet, and for another caller's text. *typed: how many bytes of it are
 * typed. -EILSEQ: there is no key for the one at *typed, and nothing is typed; -ETIMEDOUT: the
 * guest reads nothing, but what is in the queue may still come; -ENODEV: it went away meanwhile,
 * or began anew, and the rest is not for what comes; -EBUSY: another text takes too long;
 * -EINVAL: no text.
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

/* ---- mouse ---- */

struct kmcl_mouse;

struct kmcl_mouse_options {
	uint32_t size;             /* sizeof(struct kmcl_mouse_options) */
	bool monitored;            /* the channel is offered with the monitor page */
	struct kmcl_guid instance; /* all 0: that of a real host */
};

/* Offers a mouse; returns what kmcl_keyboard_create() does. */
KMCL_API int kmcl_mouse_create(struct kmcl_host *host, const struct kmcl_mouse_options *options,
                               struct kmcl_mouse **mouse);
/* Withdraws it; what still waits is lost. NULL: nothing. */
KMCL_API void kmcl_mouse_destroy(struct kmcl_mouse *mouse);

#define KMCL_MOUSE_QUEUE        64u    /* reports that wait */
#define KMCL_MOUSE_POSITION_MAX 32767u /* the right and the lower edge, whatever the resolution */

/* Bits. */
enum kmcl_mouse_button {
	KMCL_MOUSE_LEFT = 1,
	KMCL_MOUSE_RIGHT = 2,
	KMCL_MOUSE_MIDDLE = 4,
	KMCL_MOUSE_SIDE = 8,
	KMCL_MOUSE_EXTRA = 16,
};

struct kmcl_mouse_state {
	uint32_t size;    /* sizeof(struct kmcl_mouse_state) */
	uint32_t x, y;    /* 0 to KMCL_MOUSE_POSITION_MAX, from the left and from above */
	uint32_t buttons; /* that are down: enum kmcl_mouse_button */
	int32_t wheel;    /* steps since the last report, up being positive */
};

/* The mouse is there now, with these buttons down. Returns at once. A report that only moves it
 * takes the place of one that did the same and still waits. -EINVAL: no such place or
 * button; -EAGAIN: the queue is full, as the guest reads nothing. One that lets buttons go and
 * presses none always finds room. */
KMCL_API int kmcl_mouse_report(struct kmcl_mouse *mouse, const struct kmcl_mouse_state *state);

struct kmcl_mouse_info {
	uint32_t size;    /* sizeof(struct kmcl_mouse_info) */
	uint32_t version; /* major << 16 | minor; 0: no driver has come to an end with its questions
	                   */
	uint32_t waiting; /* reports */
	uint64_t opens;   /* times that a guest opened the channel */
	uint64_t sent;    /* messages: reports, answers, what the device is */
	uint64_t wrong;   /* messages that made no sense, and versions that there are not */
};

/* How the mouse is. -EINVAL: the size. */
KMCL_API int kmcl_mouse_query(struct kmcl_mouse *mouse, struct kmcl_mouse_info *info);

#ifdef __cplusplus
}
#endif

#endif
