/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest may say to its keyboard: arbitrary messages in arbitrary order, between strokes and
 * reopenings. What the guest is told then is well formed, and no more of it than was owed or
 * pressed.
 *
 * Input: steps: one byte of what to do, one of length, and a message.
 */
#include "input/keyboard_session.h"
#include "input/keys.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

static void receive(struct keyboard_session *s, const uint8_t *data, uint32_t size)
{
	struct keyboard_session before = *s;
	uint8_t *message =
		malloc(size ? size : 1); /* of its size, so that a read past it is seen */
	struct machine_fault fault = { 0 };

	CHECK(message);
	memcpy(message, data, size);
	if (!keyboard_session_receive(s, message, size, &fault))
		CHECK(fault.what && (s->state == before.state || s->state == KEYBOARD_REFUSED));
	CHECK((before.state == KEYBOARD_CLOSED) == (s->state == KEYBOARD_CLOSED));
	CHECK(s->count <= before.count);
	free(message);
}

static void send(struct keyboard_session *s)
{
	struct keyboard_session before = *s;
	uint8_t message[KEYBOARD_MESSAGE_MAX];
	struct keyboard_event event;
	uint32_t size = keyboard_session_next(s, message);

	CHECK(s->state == before.state && !s->owes);
	if (before.owes) {
		CHECK(size == sizeof(struct keyboard_response) && s->count == before.count);
		CHECK(message[0] == KEYBOARD_RESPONSE);
		CHECK((message[4] & KEYBOARD_ACCEPTED) == (s->state == KEYBOARD_READY));
		return;
	}
	CHECK(size == (before.count ? sizeof(event) : 0));
	if (!size)
		return;
	memcpy(&event, message, sizeof(event));
	CHECK(s->state == KEYBOARD_READY && s->count == before.count - 1);
	CHECK(event.type == KEYBOARD_EVENT && event.code && event.code < 0x80);
	CHECK(!event.reserved && !(event.flags & ~0xeu));
}

static void press(struct keyboard_session *s, char character, uint32_t times)
{
	struct keyboard_stroke strokes[KEYS_STROKES_MAX];
	uint32_t count = keys_of_character(character, strokes), before, i;

	for (i = 0; i < count; i++)
		CHECK(keyboard_code_valid(strokes[i].code));
	for (i = 0; i < times && s->state == KEYBOARD_READY; i++) {
		before = s->count;
		if (keyboard_session_press(s, strokes, count))
			CHECK(s->count == before + count && s->count <= KEYBOARD_QUEUE);
		else
			CHECK(s->count == before && before + count > KEYBOARD_QUEUE);
	}
}

static void step(struct keyboard_session *s, uint8_t what, const uint8_t *data, uint32_t size)
{
	switch (what % 8) {
	case 0:
		keyboard_session_close(s);
		break;
	case 1:
		keyboard_session_open(s);
		break;
	case 2:
		press(s, (char)what, size);
		break;
	case 3:
	case 4:
		send(s);
		break;
	default:
		receive(s, data, size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct keyboard_session s = { 0 };

	keyboard_session_open(&s);
	while (size >= 2) {
		uint8_t what = data[0];
		uint32_t length = data[1];

		data += 2;
		size -= 2;
		if (length > size)
			length = (uint32_t)size;
		step(&s, what, data, length);
		data += length;
		size -= length;
	}
	return 0;
}
