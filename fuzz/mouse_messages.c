/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest may say to its mouse: arbitrary messages in arbitrary order, between reports and
 * reopenings. What the guest is told then is well formed, and no more of it than was owed or put
 * in.
 *
 * Input: steps: one byte of what to do, one of length, and a message.
 */
#include "input/mouse_session.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

static void receive(struct mouse_session *s, const uint8_t *data, uint32_t size)
{
	struct mouse_session before = *s;
	uint8_t *message =
		malloc(size ? size : 1); /* of its size, so that a read past it is seen */
	struct machine_fault fault = { 0 };

	CHECK(message);
	memcpy(message, data, size);
	if (!mouse_session_receive(s, message, size, &fault))
		CHECK(fault.what && (s->state == before.state || s->state == MOUSE_REFUSED));
	CHECK((before.state == MOUSE_CLOSED) == (s->state == MOUSE_CLOSED));
	CHECK(s->state != MOUSE_READY || before.state == MOUSE_READY ||
	      (before.state == MOUSE_DESCRIBED && !before.owes_device));
	CHECK(s->count <= before.count);
	free(message);
}

static void check_report(const struct mouse_session *before, const uint8_t *message)
{
	const struct mouse_input *input = &before->queue[before->head];
	struct mouse_report report;

	memcpy(&report, message, sizeof(report));
	CHECK(before->state == MOUSE_READY && report.header.type == MOUSE_REPORT);
	CHECK(report.x == input->x && report.y == input->y && report.wheel == input->wheel);
	CHECK(report.buttons == input->buttons);
}

static void send(struct mouse_session *s)
{
	struct mouse_session before = *s;
	uint8_t message[MOUSE_MESSAGE_MAX];
	uint32_t size = mouse_session_next(s, message);

	CHECK(s->state == before.state && !s->owes_answer);
	if (before.owes_answer) {
		CHECK(size == sizeof(struct mouse_response) && s->count == before.count);
		CHECK(message[0] == MOUSE_RESPONSE && message[12] == (s->state != MOUSE_REFUSED));
	} else if (before.owes_device) {
		CHECK(size == sizeof(struct mouse_device_info) && s->state == MOUSE_DESCRIBED);
		CHECK(message[0] == MOUSE_DEVICE_INFO && !s->owes_device);
	} else if (before.count) {
		CHECK(size == sizeof(struct mouse_report) && s->count == before.count - 1);
		check_report(&before, message);
	} else {
		CHECK(!size);
	}
}

/* Each byte a report; that it is there last. */
static void put(struct mouse_session *s, const uint8_t *data, uint32_t size)
{
	struct mouse_input input = { 0 };
	const struct mouse_input *last;
	uint32_t i;

	for (i = 0; i < size && s->state == MOUSE_READY; i++) {
		input.x = (uint16_t)(data[i] << 3 | i % 8);
		input.buttons = data[i] % 3;
		input.wheel = data[i] % 5 ? 0 : data[i];
		if (!mouse_session_report(s, &input)) {
			CHECK(s->count + (input.buttons != 0) >= MOUSE_QUEUE);
			CHECK(input.buttons || !s->buttons);
			continue;
		}
		last = &s->queue[(s->head + s->count - 1) % MOUSE_QUEUE];
		CHECK(s->count && s->count <= MOUSE_QUEUE && last->x == input.x);
		CHECK(last->buttons == input.buttons && last->wheel == input.wheel);
	}
}

static void step(struct mouse_session *s, uint8_t what, const uint8_t *data, uint32_t size)
{
	switch (what % 8) {
	case 0:
		mouse_session_close(s);
		break;
	case 1:
		mouse_session_open(s);
		break;
	case 2:
		put(s, data, size);
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
	struct mouse_session s = { 0 };

	mouse_session_open(&s);
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
