/* SPDX-License-Identifier: BSD-2-Clause */
/* The keyboard's face; kmcl/input.h. */
#include "input/input.h"
#include "input/keyboard_session.h"
#include "input/keys.h"

#include <errno.h>
#include <kmcl/input.h>
#include <kmcl/options.h>
#include <stdlib.h>

#define DEFAULT_INTERVAL_MS 10u
#define DEFAULT_TIMEOUT_MS  5000u
#define MS                  10000ull /* in 100 ns */

static_assert(KMCL_KEYBOARD_QUEUE == KEYBOARD_QUEUE, "");

struct kmcl_keyboard {
	struct input input;
	struct keyboard_session session;
	KMUTEX turn; /* to type a text */
};

/* ---- what the shell asks of the session ---- */

static void open_session(void *session)
{
	keyboard_session_open(session);
}

static void close_session(void *session)
{
	keyboard_session_close(session);
}

static bool receive(void *session, const void *message, uint32_t size, struct machine_fault *fault)
{
	return keyboard_session_receive(session, message, size, fault);
}

static uint32_t next(void *session, void *message)
{
	return keyboard_session_next(session, message);
}

static const struct input_kind kind = {
	.name = "keyboard",
	.type = KEYBOARD_INTERFACE_TYPE,
	.instance = KEYBOARD_INSTANCE,
	.packet_max = KEYBOARD_MESSAGE_MAX,
	.open = open_session,
	.close = close_session,
	.receive = receive,
	.next = next,
};

/* ---- making it ---- */

int kmcl_keyboard_create(struct kmcl_host *host, const struct kmcl_keyboard_options *options,
                         struct kmcl_keyboard **keyboard)
{
	struct kmcl_keyboard *k = calloc(1, sizeof(*k));
	struct kmcl_keyboard_options own;
	int error = k ? kmcl_options_take(&own, sizeof(own), options) : -ENOMEM;

	if (!error) {
		struct input_offer offer = { own.instance, own.monitored };

		KeInitializeMutex(&k->turn, 0);
		error = input_create(host, &kind, &offer, &k->session, &k->input);
	}
	if (error)
		free(k);
	else
		*keyboard = k;
	return error;
}

void kmcl_keyboard_destroy(struct kmcl_keyboard *k)
{
	if (!k)
		return;
	input_destroy(&k->input);
	free(k);
}

/* ---- pressing ---- */

static int ready_locked(const struct kmcl_keyboard *k)
{
	if (k->session.state == KEYBOARD_REFUSED)
		return -EPROTONOSUPPORT;
	return k->session.state == KEYBOARD_READY ? 0 : -ENOTCONN;
}

/* What was pressed since then is with the guest, or waits. */
static int same_locked(const struct kmcl_keyboard *k, uint32_t era)
{
	return k->session.era == era ? ready_locked(k) : -ENODEV;
}

/* `era`: in which the driver has to be the one that it was; NULL: in any. */
static int press(struct kmcl_keyboard *k, const uint32_t *era,
                 const struct keyboard_stroke *strokes, uint32_t count)
{
	KIRQL irql = input_lock(&k->input);
	int error = era ? same_locked(k, *era) : ready_locked(k);

	if (!error && !keyboard_session_press(&k->session, strokes, count))
		error = -EAGAIN;
	input_unlock(&k->input, irql);
	return error;
}

int kmcl_keyboard_key(struct kmcl_keyboard *k, uint16_t code, bool down)
{
	struct keyboard_stroke stroke = { code, !down };

	return keyboard_code_valid(code) ? press(k, NULL, &stroke, 1) : -EINVAL;
}

/* ---- typing ---- */

static bool wait_until(void *object, uint64_t due)
{
	uint64_t now = KeQueryInterruptTime();
	LARGE_INTEGER left = { .QuadPart = due > now ? -(LONGLONG)(due - now) : 0 };

	return KeWaitForSingleObject(object, Executive, KernelMode, FALSE, &left) == STATUS_SUCCESS;
}

/* Asks again whenever something has moved. */
static int press_until(struct kmcl_keyboard *k, uint32_t era, const struct keyboard_stroke *strokes,
                       uint32_t count, uint64_t due)
{
	int error;

	for (;;) {
		KeClearEvent(&k->input.moved);
		error = press(k, &era, strokes, count);
		if (error != -EAGAIN)
			return error;
		if (!wait_until(&k->input.moved, due))
			return -ETIMEDOUT;
	}
}

static int ready(struct kmcl_keyboard *k, uint32_t *era)
{
	KIRQL irql = input_lock(&k->input);
	int error = ready_locked(k);

	*era = k->session.era;
	input_unlock(&k->input, irql);
	return error;
}

/* Where the guest's driver is not there yet it may come; one that was there and goes is gone. */
static int wait_ready(struct kmcl_keyboard *k, uint32_t *era, uint64_t due)
{
	int error;

	for (;;) {
		KeClearEvent(&k->input.moved);
		error = ready(k, era);
		if (error != -ENOTCONN || !wait_until(&k->input.moved, due))
			return error;
	}
}

/* 0: all that was pressed is in the guest's ring; -EAGAIN: not yet. */
static int progress(struct kmcl_keyboard *k, uint32_t era)
{
	KIRQL irql = input_lock(&k->input);
	int error = same_locked(k, era);

	if (!error && (k->session.count || k->input.sending))
		error = -EAGAIN;
	input_unlock(&k->input, irql);
	return error;
}

static int wait_sent(struct kmcl_keyboard *k, uint32_t era, uint64_t due)
{
	int error;

	for (;;) {
		KeClearEvent(&k->input.moved);
		error = progress(k, era);
		if (error != -EAGAIN)
			return error;
		if (!wait_until(&k->input.moved, due))
			return -ETIMEDOUT;
	}
}

static void pause_ms(uint32_t ms)
{
	LARGE_INTEGER time = { .QuadPart = -(LONGLONG)(ms * MS) };

	KeDelayExecutionThread(KernelMode, FALSE, &time);
}

static uint64_t due_in(const struct kmcl_keyboard_text *text)
{
	return KeQueryInterruptTime() + text->timeout_ms * MS;
}

/* In the caller's turn. */
static int type_text(struct kmcl_keyboard *k, const struct kmcl_keyboard_text *text, size_t *typed)
{
	struct keyboard_stroke strokes[KEYS_STROKES_MAX];
	uint32_t era, count;
	int error = wait_ready(k, &era, due_in(text));

	while (!error && text->text[*typed]) {
		count = keys_of_character(text->text[*typed], strokes);
		error = press_until(k, era, strokes, count, due_in(text));
		if (error)
			break;
		++*typed;
		pause_ms(text->interval_ms);
	}
	if (!error)
		error = wait_sent(k, era, due_in(text));
	return error;
}

/* Where the first character is that no key has; or the length. */
static size_t typeable(const char *text)
{
	struct keyboard_stroke strokes[KEYS_STROKES_MAX];
	size_t i = 0;

	while (text[i] && keys_of_character(text[i], strokes))
		i++;
	return i;
}

int kmcl_keyboard_type(struct kmcl_keyboard *k, const struct kmcl_keyboard_text *text,
                       size_t *typed)
{
	struct kmcl_keyboard_text own;
	int error = kmcl_options_take(&own, sizeof(own), text);

	*typed = 0;
	if (error || !own.text)
		return error ? error : -EINVAL;
	if (own.text[typeable(own.text)]) {
		*typed = typeable(own.text);
		return -EILSEQ;
	}
	if (!own.interval_ms)
		own.interval_ms = DEFAULT_INTERVAL_MS;
	if (!own.timeout_ms)
		own.timeout_ms = DEFAULT_TIMEOUT_MS;
	if (!wait_until(&k->turn, due_in(&own)))
		return -EBUSY;
	error = type_text(k, &own, typed);
	KeReleaseMutex(&k->turn, FALSE);
	return error;
}

int kmcl_keyboard_query(struct kmcl_keyboard *k, struct kmcl_keyboard_info *info)
{
	KIRQL irql = input_lock(&k->input);
	struct kmcl_keyboard_info all = {
		.version = k->session.state == KEYBOARD_READY ? KEYBOARD_VERSION : 0,
		.leds = k->session.leds,
		.waiting = k->session.count,
		.opens = k->input.opens,
		.sent = k->input.sent,
		.wrong = k->input.wrong,
	};

	input_unlock(&k->input, irql);
	return kmcl_options_give(info, &all, sizeof(all));
}
