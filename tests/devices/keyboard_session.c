/* SPDX-License-Identifier: BSD-2-Clause */
/* A keyboard's state by itself: each message in each state, whatever its size, and the queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "input/keyboard_session.h"

static uint8_t message[KEYBOARD_MESSAGE_MAX];

static bool say(struct keyboard_session *s, uint32_t type, uint32_t word, uint32_t size)
{
	uint32_t words[2] = { type, word };
	struct machine_fault fault = { 0 };
	bool good = keyboard_session_receive(s, words, size, &fault);

	assert_int_equal(!good, fault.what != NULL);
	return good;
}

static void make_ready(struct keyboard_session *s)
{
	keyboard_session_open(s);
	assert_true(say(s, KEYBOARD_REQUEST, KEYBOARD_VERSION, 8));
	assert_int_equal(keyboard_session_next(s, message), 8);
	assert_int_equal(s->state, KEYBOARD_READY);
}

static void messages_that_are_too_short_change_nothing(void **state)
{
	static const uint32_t types[] = { KEYBOARD_REQUEST, KEYBOARD_LEDS };
	struct keyboard_session s, before;
	uint32_t size, i;

	make_ready(&s);
	for (i = 0; i < 2; i++) {
		before = s;
		for (size = 0; size < 8; size++) {
			assert_false(say(&s, types[i], KEYBOARD_VERSION, size));
			assert_memory_equal(&s, &before, sizeof(s));
		}
		assert_true(say(&s, types[i], KEYBOARD_VERSION, 8));
	}
}

static void each_state_takes_what_it_can(void **state)
{
	struct keyboard_session s = { 0 };

	assert_false(say(&s, KEYBOARD_REQUEST, KEYBOARD_VERSION, 8)); /* closed */
	keyboard_session_open(&s);
	assert_false(say(&s, KEYBOARD_LEDS, 7, 8));
	assert_int_equal(keyboard_session_next(&s, message), 0);
	assert_false(say(&s, KEYBOARD_REQUEST, KEYBOARD_VERSION + 1, 8));
	assert_int_equal(s.state, KEYBOARD_REFUSED);
	assert_int_equal(keyboard_session_next(&s, message), 8);
	assert_false(say(&s, KEYBOARD_LEDS, 7, 8));
	assert_true(say(&s, KEYBOARD_REQUEST, KEYBOARD_VERSION, 8));
	assert_true(say(&s, KEYBOARD_LEDS, 7, 8));
	assert_int_equal(s.leds, 7);
	keyboard_session_close(&s);
	assert_int_equal(keyboard_session_next(&s, message), 0);
}

/* An answer goes before what is typed, and who asks anew has what was typed before taken back. */
static void an_answer_is_first(void **state)
{
	static const struct keyboard_stroke stroke = { 0x1e, false };
	struct keyboard_session s;
	uint32_t type;

	make_ready(&s);
	assert_true(keyboard_session_press(&s, &stroke, 1));
	assert_true(say(&s, KEYBOARD_REQUEST, KEYBOARD_VERSION, 8));
	assert_true(keyboard_session_press(&s, &stroke, 1));
	keyboard_session_next(&s, message);
	memcpy(&type, message, sizeof(type));
	assert_int_equal(type, KEYBOARD_RESPONSE);
	assert_int_equal(keyboard_session_next(&s, message), 12);
	assert_int_equal(keyboard_session_next(&s, message), 0);
}

/* From each place in it, full, and of several strokes all or none. */
static void the_queue_keeps_all_in_order(void **state)
{
	struct keyboard_stroke strokes[4];
	struct keyboard_session s;
	struct keyboard_event event;
	uint32_t round, i;

	make_ready(&s);
	for (round = 0; round < 300; round++) {
		for (i = 0; i < KEYBOARD_QUEUE; i += 4) {
			for (uint32_t j = 0; j < 4; j++)
				strokes[j] =
					(struct keyboard_stroke){ (uint16_t)(1 + (i + j) % 127),
					                          j & 1 };
			assert_true(keyboard_session_press(&s, strokes, i ? 4 : 3));
		}
		assert_false(keyboard_session_press(&s, strokes, 2));
		assert_true(keyboard_session_press(&s, strokes, 1));
		assert_false(keyboard_session_press(&s, strokes, 1));
		for (i = 0; keyboard_session_next(&s, message); i++) {
			memcpy(&event, message, sizeof(event));
			if (i < 3)
				assert_int_equal(event.code, 1 + i);
			else if (i < KEYBOARD_QUEUE - 1)
				assert_int_equal(event.code, 1 + (i + 1) % 127);
		}
		assert_int_equal(i, KEYBOARD_QUEUE);
		assert_true(keyboard_session_press(&s, strokes, round % 4));
		while (keyboard_session_next(&s, message))
			;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_that_are_too_short_change_nothing),
		cmocka_unit_test(each_state_takes_what_it_can),
		cmocka_unit_test(an_answer_is_first),
		cmocka_unit_test(the_queue_keeps_all_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
