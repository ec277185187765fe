/* SPDX-License-Identifier: BSD-2-Clause */
/* A keyboard's guest: at our own host's state, and at hosts that say what they should not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "input/keyboard_client.h"
#include "input/keyboard_session.h"

struct ends {
	struct keyboard_session host;
	struct keyboard_client guest;
	struct keyboard_client_key key;
};

/* A packet of that size exactly, so that a read past it is seen by who looks for that. */
static enum keyboard_client_event say(struct ends *e, const void *message, uint32_t size)
{
	void *packet = malloc(size ? size : 1);
	enum keyboard_client_event event;

	memcpy(packet, message, size);
	e->guest.fault.what = NULL;
	event = keyboard_client_receive(&e->guest, packet, size, &e->key);
	assert_int_equal(event == KEYBOARD_CLIENT_WRONG, e->guest.fault.what != NULL);
	free(packet);
	return event;
}

/* What the host has to say next. */
static enum keyboard_client_event next(struct ends *e)
{
	uint8_t message[KEYBOARD_MESSAGE_MAX];
	uint32_t size = keyboard_session_next(&e->host, message);

	assert_true(size);
	return say(e, message, size);
}

static void open_ends(struct ends *e)
{
	struct keyboard_request request;
	struct machine_fault fault;

	memset(e, 0, sizeof(*e));
	keyboard_session_open(&e->host);
	keyboard_client_open(&e->guest, &request);
	assert_true(keyboard_session_receive(&e->host, &request, sizeof(request), &fault));
	assert_int_equal(next(e), KEYBOARD_CLIENT_AGREED);
}

static void each_key_arrives_as_it_was_pressed(void **state)
{
	static const uint16_t prefixes[] = { 0, 0xe000, 0xe100 };
	struct ends e;
	uint32_t i, code;
	uint8_t bytes[2];

	open_ends(&e);
	for (i = 0; i < 3; i++) {
		for (code = 1; code < 0x80; code++) {
			struct keyboard_stroke stroke = { (uint16_t)(prefixes[i] | code),
				                          code & 1 };
			uint32_t count = i ? 2 : 1;

			assert_true(keyboard_session_press(&e.host, &stroke, 1));
			assert_int_equal(next(&e), KEYBOARD_CLIENT_KEY);
			assert_int_equal(e.key.code, stroke.code);
			assert_int_equal(e.key.up, stroke.up);
			assert_int_equal(keyboard_client_bytes(e.key, bytes), count);
			assert_int_equal(bytes[0], i ? prefixes[i] >> 8 : code | (code & 1) << 7);
			assert_int_equal(bytes[count - 1], code | (code & 1) << 7);
		}
	}
}

static void the_host_is_told_of_lights(void **state)
{
	struct ends e;
	struct keyboard_leds leds;
	struct machine_fault fault;

	open_ends(&e);
	keyboard_client_leds(5, &leds);
	assert_true(keyboard_session_receive(&e.host, &leds, sizeof(leds), &fault));
	assert_int_equal(e.host.leds, 5);
}

static void a_refusal_ends_it_until_it_is_opened_again(void **state)
{
	static const struct keyboard_response no = { KEYBOARD_RESPONSE, 0xfffffffe };
	static const struct keyboard_response yes = { KEYBOARD_RESPONSE, 0xffffffff };
	static const struct keyboard_event key = { KEYBOARD_EVENT, 0x1e, 0, 0 };
	struct keyboard_request request;
	struct ends e = { 0 };

	keyboard_client_open(&e.guest, &request);
	assert_int_equal(say(&e, &no, sizeof(no)), KEYBOARD_CLIENT_NO);
	assert_int_equal(e.guest.state, KEYBOARD_CLIENT_REFUSED);
	assert_int_equal(say(&e, &yes, sizeof(yes)), KEYBOARD_CLIENT_WRONG);
	assert_int_equal(say(&e, &key, sizeof(key)), KEYBOARD_CLIENT_WRONG);
	keyboard_client_open(&e.guest, &request);
	assert_int_equal(say(&e, &yes, sizeof(yes)), KEYBOARD_CLIENT_AGREED);
	assert_int_equal(say(&e, &key, sizeof(key)), KEYBOARD_CLIENT_KEY);
	keyboard_client_close(&e.guest);
	assert_int_equal(say(&e, &key, sizeof(key)), KEYBOARD_CLIENT_WRONG);
}

/* A packet without a pipe's header is whole 8 bytes. */
static void what_fills_a_packet_up_is_not_looked_at(void **state)
{
	static const uint32_t key[4] = { KEYBOARD_EVENT, 0x1e, KEYBOARD_IS_BREAK, 0xffffffff };
	struct ends e;

	open_ends(&e);
	assert_int_equal(say(&e, key, sizeof(key)), KEYBOARD_CLIENT_KEY);
	assert_int_equal(e.key.code, 0x1e);
	assert_true(e.key.up);
}

static void characters_are_told_apart_from_keys(void **state)
{
	static const struct keyboard_event euro = { KEYBOARD_EVENT, 0x20ac, 0,
		                                    KEYBOARD_IS_UNICODE };
	struct ends e;

	open_ends(&e);
	assert_int_equal(say(&e, &euro, sizeof(euro)), KEYBOARD_CLIENT_CHARACTER);
	assert_int_equal(e.key.code, 0x20ac);
}

static void what_makes_no_sense_is_nothing(void **state)
{
	static const struct {
		uint32_t words[3], size;
	} ways[] = {
		{ { 0 }, 0 },
		{ { KEYBOARD_EVENT }, 3 },
		{ { KEYBOARD_EVENT, 0x1e, 0 }, 11 },
		{ { KEYBOARD_EVENT, 0, 0 }, 12 },
		{ { KEYBOARD_EVENT, 0x80, 0 }, 12 },
		{ { KEYBOARD_EVENT, 0xe01e, KEYBOARD_IS_E0 }, 12 },
		{ { KEYBOARD_RESPONSE, 1 }, 8 }, /* once more */
		{ { KEYBOARD_REQUEST, KEYBOARD_VERSION }, 8 },
		{ { KEYBOARD_LEDS, 1 }, 8 },
		{ { 0xffffffff }, 12 },
	};
	struct ends e;
	size_t i;

	open_ends(&e);
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		assert_int_equal(say(&e, ways[i].words, ways[i].size), KEYBOARD_CLIENT_WRONG);
		assert_int_equal(e.guest.state, KEYBOARD_CLIENT_READY);
	}
}

/* An answer of 7 bytes is none; a whole one may still come. */
static void half_an_answer_is_none(void **state)
{
	static const struct keyboard_response yes = { KEYBOARD_RESPONSE, KEYBOARD_ACCEPTED };
	struct keyboard_request request;
	struct ends e = { 0 };

	keyboard_client_open(&e.guest, &request);
	assert_int_equal(say(&e, &yes, 7), KEYBOARD_CLIENT_WRONG);
	assert_int_equal(e.guest.state, KEYBOARD_CLIENT_ASKED);
	assert_int_equal(say(&e, &yes, 8), KEYBOARD_CLIENT_AGREED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_key_arrives_as_it_was_pressed),
		cmocka_unit_test(the_host_is_told_of_lights),
		cmocka_unit_test(a_refusal_ends_it_until_it_is_opened_again),
		cmocka_unit_test(what_fills_a_packet_up_is_not_looked_at),
		cmocka_unit_test(characters_are_told_apart_from_keys),
		cmocka_unit_test(what_makes_no_sense_is_nothing),
		cmocka_unit_test(half_an_answer_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
