/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a host may say to the guest's end of a keyboard: arbitrary packets in arbitrary order. A key
 * comes only when a version was accepted, and is one.
 *
 * Input: steps: one byte of what to do, one of length, and a packet.
 */
#include "input/keyboard_client.h"
#include "input/keyboard_session.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

static void receive(struct keyboard_client *c, const uint8_t *data, uint32_t size)
{
	enum keyboard_client_state before = c->state;
	uint8_t *packet = malloc(size ? size : 1); /* of its size, so that a read past it is seen */
	struct keyboard_client_key key;
	uint8_t bytes[2];

	CHECK(packet);
	memcpy(packet, data, size);
	c->fault.what = NULL;
	switch (keyboard_client_receive(c, packet, size, &key)) {
	case KEYBOARD_CLIENT_WRONG:
		CHECK(c->fault.what && c->state == before);
		break;
	case KEYBOARD_CLIENT_AGREED:
		CHECK(before == KEYBOARD_CLIENT_ASKED && c->state == KEYBOARD_CLIENT_READY);
		break;
	case KEYBOARD_CLIENT_NO:
		CHECK(before == KEYBOARD_CLIENT_ASKED && c->state == KEYBOARD_CLIENT_REFUSED);
		break;
	case KEYBOARD_CLIENT_KEY:
		CHECK(before == KEYBOARD_CLIENT_READY && keyboard_code_valid(key.code));
		CHECK(keyboard_client_bytes(key, bytes) == 1u + (key.code > 0xff));
		break;
	case KEYBOARD_CLIENT_CHARACTER:
		CHECK(before == KEYBOARD_CLIENT_READY);
		break;
	}
	free(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct keyboard_request request;
	struct keyboard_client c = { 0 };

	keyboard_client_open(&c, &request);
	while (size >= 2) {
		uint8_t what = data[0];
		uint32_t length = data[1];

		data += 2;
		size -= 2;
		if (length > size)
			length = (uint32_t)size;
		if (what == 0)
			keyboard_client_close(&c);
		else if (what == 1)
			keyboard_client_open(&c, &request);
		else
			receive(&c, data, length);
		data += length;
		size -= length;
	}
	return 0;
}
