/* SPDX-License-Identifier: BSD-2-Clause */
#include "input/keyboard_client.h"

void keyboard_client_open(struct keyboard_client *c, struct keyboard_request *request)
{
	c->state = KEYBOARD_CLIENT_ASKED;
	request->type = KEYBOARD_REQUEST;
	request->version = KEYBOARD_VERSION;
}

void keyboard_client_close(struct keyboard_client *c)
{
	c->state = KEYBOARD_CLIENT_CLOSED;
}

static bool keyboard_client_expect(struct keyboard_client *c, enum keyboard_client_state state,
                                   uint32_t least, uint32_t size)
{
	if (c->state != state)
		return machine_fault(&c->fault, "state when a message came", state, c->state);
	return size >= least || machine_fault(&c->fault, "bytes of a message", least, size);
}

static enum keyboard_client_event keyboard_client_answer(struct keyboard_client *c,
                                                         const void *packet, uint32_t size)
{
	struct keyboard_response response;

	if (!keyboard_client_expect(c, KEYBOARD_CLIENT_ASKED, sizeof(response), size))
		return KEYBOARD_CLIENT_WRONG;
	machine_copy(&response, packet, sizeof(response));
	if (!(response.status & KEYBOARD_ACCEPTED)) {
		c->state = KEYBOARD_CLIENT_REFUSED;
		return KEYBOARD_CLIENT_NO;
	}
	c->state = KEYBOARD_CLIENT_READY;
	return KEYBOARD_CLIENT_AGREED;
}

static enum keyboard_client_event keyboard_client_key(struct keyboard_client *c, const void *packet,
                                                      uint32_t size,
                                                      struct keyboard_client_key *key)
{
	struct keyboard_event event;

	if (!keyboard_client_expect(c, KEYBOARD_CLIENT_READY, sizeof(event), size))
		return KEYBOARD_CLIENT_WRONG;
	machine_copy(&event, packet, sizeof(event));
	key->code = event.code;
	key->up = event.flags & KEYBOARD_IS_BREAK;
	if (event.flags & KEYBOARD_IS_UNICODE)
		return KEYBOARD_CLIENT_CHARACTER;
	if (!event.code || event.code > 0x7f) {
		machine_fault(&c->fault, "code of a key", 0x7f, event.code);
		return KEYBOARD_CLIENT_WRONG;
	}
	if (event.flags & KEYBOARD_IS_E0)
		key->code |= 0xe000;
	else if (event.flags & KEYBOARD_IS_E1)
		key->code |= 0xe100;
	return KEYBOARD_CLIENT_KEY;
}

enum keyboard_client_event keyboard_client_receive(struct keyboard_client *c, const void *packet,
                                                   uint32_t size, struct keyboard_client_key *key)
{
	uint32_t type;

	key->code = 0;
	key->up = false;
	if (size < sizeof(type)) {
		machine_fault(&c->fault, "bytes of a message", sizeof(type), size);
		return KEYBOARD_CLIENT_WRONG;
	}
	machine_copy(&type, packet, sizeof(type));
	switch (type) {
	case KEYBOARD_RESPONSE:
		return keyboard_client_answer(c, packet, size);
	case KEYBOARD_EVENT:
		return keyboard_client_key(c, packet, size, key);
	default:
		machine_fault(&c->fault, "type of a message", KEYBOARD_EVENT, type);
		return KEYBOARD_CLIENT_WRONG;
	}
}

uint32_t keyboard_client_bytes(struct keyboard_client_key key, uint8_t bytes[2])
{
	uint32_t count = 0;

	if (key.code >> 8)
		bytes[count++] = (uint8_t)(key.code >> 8);
	bytes[count++] = (uint8_t)((key.code & 0x7f) | (key.up ? 0x80 : 0));
	return count;
}

void keyboard_client_leds(uint16_t leds, struct keyboard_leds *message)
{
	message->type = KEYBOARD_LEDS;
	message->leds = leds;
	message->reserved = 0;
}
