/* SPDX-License-Identifier: BSD-2-Clause */
#include "input/keyboard_session.h"

static void keyboard_forget(struct keyboard_session *s, enum keyboard_state state)
{
	s->state = state;
	s->era++;
	s->owes = false;
	s->leds = 0;
	s->head = s->count = 0;
}

void keyboard_session_open(struct keyboard_session *s)
{
	keyboard_forget(s, KEYBOARD_OPENED);
}

void keyboard_session_close(struct keyboard_session *s)
{
	keyboard_forget(s, KEYBOARD_CLOSED);
}

/* ---- what the guest says ---- */

static bool keyboard_take_request(struct keyboard_session *s, const void *message, uint32_t size,
                                  struct machine_fault *fault)
{
	struct keyboard_request request;

	if (size < sizeof(request))
		return machine_fault(fault, "size of a request", sizeof(request), size);
	machine_copy(&request, message, sizeof(request));
	keyboard_forget(s, request.version == KEYBOARD_VERSION ? KEYBOARD_READY : KEYBOARD_REFUSED);
	s->owes = true;
	if (s->state == KEYBOARD_REFUSED)
		return machine_fault(fault, "version", KEYBOARD_VERSION, request.version);
	return true;
}

static bool keyboard_take_leds(struct keyboard_session *s, const void *message, uint32_t size,
                               struct machine_fault *fault)
{
	struct keyboard_leds leds;

	if (size < sizeof(leds))
		return machine_fault(fault, "size of an LED message", sizeof(leds), size);
	if (s->state != KEYBOARD_READY)
		return machine_fault(fault, "message before a version", KEYBOARD_REQUEST,
		                     KEYBOARD_LEDS);
	machine_copy(&leds, message, sizeof(leds));
	s->leds = leds.leds;
	return true;
}

bool keyboard_session_receive(struct keyboard_session *s, const void *message, uint32_t size,
                              struct machine_fault *fault)
{
	uint32_t type;

	if (s->state == KEYBOARD_CLOSED)
		return machine_fault(fault, "message of a closed keyboard", 0, size);
	if (size < sizeof(type))
		return machine_fault(fault, "size of a message", sizeof(type), size);
	machine_copy(&type, message, sizeof(type));
	switch (type) {
	case KEYBOARD_REQUEST:
		return keyboard_take_request(s, message, size, fault);
	case KEYBOARD_LEDS:
		return keyboard_take_leds(s, message, size, fault);
	default:
		return machine_fault(fault, "type of a message", KEYBOARD_REQUEST, type);
	}
}

/* ---- what it is told ---- */

static uint32_t keyboard_answer(struct keyboard_session *s, void *message)
{
	struct keyboard_response response = { .type = KEYBOARD_RESPONSE };

	s->owes = false;
	response.status = s->state == KEYBOARD_READY ? KEYBOARD_ACCEPTED : 0;
	__builtin_memcpy(message, &response, sizeof(response));
	return sizeof(response);
}

static uint32_t keyboard_flags(struct keyboard_stroke stroke)
{
	uint32_t flags = stroke.up ? KEYBOARD_IS_BREAK : 0;

	if (stroke.code >> 8 == 0xe0)
		flags |= KEYBOARD_IS_E0;
	if (stroke.code >> 8 == 0xe1)
		flags |= KEYBOARD_IS_E1;
	return flags;
}

uint32_t keyboard_session_next(struct keyboard_session *s, void *message)
{
	struct keyboard_event event = { .type = KEYBOARD_EVENT };
	struct keyboard_stroke stroke;

	if (s->owes)
		return keyboard_answer(s, message);
	if (!s->count)
		return 0;
	stroke = s->queue[s->head];
	s->head = (s->head + 1) % KEYBOARD_QUEUE;
	s->count--;
	event.code = stroke.code & 0x7f;
	event.flags = keyboard_flags(stroke);
	__builtin_memcpy(message, &event, sizeof(event));
	return sizeof(event);
}

bool keyboard_code_valid(uint16_t code)
{
	uint16_t prefix = code >> 8, key = code & 0xff;

	return key && key < 0x80 && (!prefix || prefix == 0xe0 || prefix == 0xe1);
}

bool keyboard_session_press(struct keyboard_session *s, const struct keyboard_stroke *strokes,
                            uint32_t count)
{
	uint32_t i;

	if (count > KEYBOARD_QUEUE - s->count)
		return false;
	for (i = 0; i < count; i++)
		s->queue[(s->head + s->count++) % KEYBOARD_QUEUE] = strokes[i];
	return true;
}
