/* SPDX-License-Identifier: BSD-2-Clause */
/* A mouse's state by itself: each message in each state, whatever its size, and the queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "input/mouse_session.h"

static uint8_t message[MOUSE_MESSAGE_MAX];

static bool say(struct mouse_session *s, uint32_t type, uint32_t word, uint32_t size)
{
	uint32_t words[4] = { type, 4, word };
	struct machine_fault fault = { 0 };
	bool good = mouse_session_receive(s, words, size, &fault);

	assert_int_equal(!good, fault.what != NULL);
	return good;
}

static void make_ready(struct mouse_session *s)
{
	mouse_session_open(s);
	assert_true(say(s, MOUSE_REQUEST, MOUSE_VERSION, 12));
	assert_int_equal(mouse_session_next(s, message), 13);
	assert_int_equal(mouse_session_next(s, message), 177);
	assert_true(say(s, MOUSE_DEVICE_INFO_ACK, 0, 9));
	assert_int_equal(s->state, MOUSE_READY);
}

static void messages_that_are_too_short_change_nothing(void **state)
{
	struct mouse_session s, before;
	uint32_t size;

	mouse_session_open(&s);
	for (size = 0; size < 12; size++) {
		before = s;
		assert_false(say(&s, MOUSE_REQUEST, MOUSE_VERSION, size));
		assert_memory_equal(&s, &before, sizeof(s));
	}
	assert_true(say(&s, MOUSE_REQUEST, MOUSE_VERSION, 12));
	mouse_session_next(&s, message);
	mouse_session_next(&s, message);
	for (size = 0; size < 9; size++)
		assert_false(say(&s, MOUSE_DEVICE_INFO_ACK, 0, size));
	assert_int_equal(s.state, MOUSE_DESCRIBED);
	assert_true(say(&s, MOUSE_DEVICE_INFO_ACK, 0, 9));
}

static void each_state_takes_what_it_can(void **state)
{
	struct mouse_session s = { 0 };

	assert_false(say(&s, MOUSE_REQUEST, MOUSE_VERSION, 12)); /* closed */
	mouse_session_open(&s);
	assert_false(say(&s, MOUSE_DEVICE_INFO_ACK, 0, 9));
	assert_false(say(&s, MOUSE_REQUEST, 0x10000, 12));
	assert_int_equal(mouse_session_next(&s, message), 13);
	assert_int_equal(message[12], 0);
	assert_int_equal(mouse_session_next(&s, message), 0);
	assert_false(say(&s, MOUSE_DEVICE_INFO_ACK, 0, 9));
	assert_true(say(&s, MOUSE_REQUEST, MOUSE_VERSION, 12));
	/* Before it could know what it acknowledges. */
	assert_false(say(&s, MOUSE_DEVICE_INFO_ACK, 0, 9));
	assert_int_equal(mouse_session_next(&s, message), 13);
	assert_int_equal(message[12], 1);
	assert_false(say(&s, MOUSE_DEVICE_INFO_ACK, 0, 9));
	assert_int_equal(mouse_session_next(&s, message), 177);
	assert_true(say(&s, MOUSE_DEVICE_INFO_ACK, 0, 9));
	assert_false(say(&s, MOUSE_DEVICE_INFO_ACK, 0, 9));
	assert_int_equal(s.state, MOUSE_READY);
	mouse_session_close(&s);
	assert_int_equal(mouse_session_next(&s, message), 0);
}

static bool put(struct mouse_session *s, uint16_t x, uint8_t buttons, int16_t wheel)
{
	struct mouse_input input = { .x = x, .y = 1, .buttons = buttons, .wheel = wheel };

	return mouse_session_report(s, &input);
}

static void assert_next(struct mouse_session *s, uint16_t x, uint8_t buttons, int16_t wheel)
{
	struct mouse_report report;

	assert_int_equal(mouse_session_next(s, message), sizeof(report));
	memcpy(&report, message, sizeof(report));
	assert_int_equal(report.x, x);
	assert_int_equal(report.y, 1);
	assert_int_equal(report.buttons, buttons);
	assert_int_equal(report.wheel, wheel);
}

/* Moves become one; what is pressed, let go and scrolled stays, and where that was. */
static void moves_that_wait_become_one(void **state)
{
	struct mouse_session s;
	uint16_t i;

	make_ready(&s);
	for (i = 0; i < 1000; i++)
		assert_true(put(&s, i, 0, 0));
	assert_int_equal(s.count, 1);
	assert_true(put(&s, 1000, 1, 0));
	assert_true(put(&s, 1001, 1, 0));
	assert_true(put(&s, 1002, 1, 0));
	assert_true(put(&s, 1003, 0, 0));
	assert_true(put(&s, 1003, 0, -2));
	assert_true(put(&s, 1003, 0, -2));
	assert_true(put(&s, 1004, 0, 0));
	assert_next(&s, 999, 0, 0);
	assert_next(&s, 1000, 1, 0);
	assert_next(&s, 1002, 1, 0);
	assert_next(&s, 1003, 0, 0);
	assert_next(&s, 1003, 0, -2);
	assert_next(&s, 1003, 0, -2);
	assert_next(&s, 1004, 0, 0);
	assert_int_equal(mouse_session_next(&s, message), 0);
}

static void the_queue_keeps_all_in_order(void **state)
{
	struct mouse_session s;
	uint16_t round, i;

	make_ready(&s);
	for (round = 0; round < 100; round++) {
		for (i = 0; i < MOUSE_QUEUE; i++)
			assert_true(put(&s, i, !(i & 1), 0));
		assert_false(put(&s, i, 1, 0));
		assert_false(put(&s, i, 0, 0)); /* the last one lets go, and is no move */
		for (i = 0; i < MOUSE_QUEUE; i++)
			assert_next(&s, i, !(i & 1), 0);
		assert_true(put(&s, 7, 0, 0)); /* so that the next round begins elsewhere */
		assert_next(&s, 7, 0, 0);
	}
}

/* Whatever has filled the queue since it was pressed: no button stays down. */
static void what_is_pressed_can_be_let_go(void **state)
{
	struct mouse_session s;
	uint16_t i = 0;

	make_ready(&s);
	assert_true(put(&s, 0, 3, 0));
	while (put(&s, i, 3, 1))
		i++;
	assert_int_equal(s.count, MOUSE_QUEUE - 2);
	assert_false(put(&s, 7, 7, 0));
	assert_true(put(&s, 8, 1, 0));
	assert_false(put(&s, 8, 1, 1));
	assert_true(put(&s, 9, 0, 0));
	assert_false(put(&s, 9, 1, 0));
	assert_int_equal(s.count, MOUSE_QUEUE);
	while (s.count > 2)
		mouse_session_next(&s, message);
	assert_next(&s, 8, 1, 0);
	assert_next(&s, 9, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_that_are_too_short_change_nothing),
		cmocka_unit_test(each_state_takes_what_it_can),
		cmocka_unit_test(moves_that_wait_become_one),
		cmocka_unit_test(the_queue_keeps_all_in_order),
		cmocka_unit_test(what_is_pressed_can_be_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
