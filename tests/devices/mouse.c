/* SPDX-License-Identifier: BSD-2-Clause */
/* The mouse with a guest that reads what moves, and with others. The argument of this program is a
 * pattern for the URI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include <stdlib.h>
#include <string.h>

#include "input_guest.h"

#include <kmcl/input.h>

#include "../temporary.h"

static const char *uri_pattern = "local:mouse-%d-%u";

static const GUID type = {
	0xcfa8b69e, 0x5b4a, 0x4cc0, { 0xb9, 0x8b, 0x8b, 0xa1, 0xa1, 0xf3, 0xf9, 0x5a }
};

struct fixture {
	struct input_fixture ends;
	struct kmcl_mouse *host;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	input_log_begin();
	f->ends.guest.type = type;
	f->ends.guest.pipe = true;
	if (!input_fixture_open(&f->ends, uri_pattern) ||
	    kmcl_mouse_create(kmcl_host_of_handle(f->ends.vmbus), NULL, &f->host))
		return -1;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	input_guest_close(&f->ends.guest);
	kmcl_mouse_destroy(f->host);
	input_fixture_close(&f->ends);
	input_log_end();
	free(f);
	return 0;
}

/* As Linux says it: the size is that of what follows. */
static void ask(struct fixture *f, uint32_t version)
{
	uint32_t request[3] = { 0, 4, version };

	input_guest_send(&f->ends.guest, request, sizeof(request));
}

static void acknowledge(struct fixture *f)
{
	uint32_t ack[3] = { 3, 1, 0 };

	input_guest_send(&f->ends.guest, ack, 9);
}

static const uint8_t *message_at(struct fixture *f, uint32_t at, uint32_t kind, uint32_t size)
{
	const struct input_guest_message *m = &f->ends.guest.messages[at];
	uint32_t header[2];

	WAIT_FOR(f->ends.guest.count > at);
	assert_int_equal(m->size, size);
	memcpy(header, m->bytes, sizeof(header));
	assert_int_equal(header[0], kind);
	return m->bytes;
}

static void assert_answer(struct fixture *f, uint32_t at, uint32_t version, uint8_t accepted)
{
	const uint8_t *bytes = message_at(f, at, 1, 13);

	assert_memory_equal(bytes + 8, &version, sizeof(version));
	assert_int_equal(bytes[12], accepted);
}

static struct kmcl_mouse_info info_of(struct fixture *f)
{
	struct kmcl_mouse_info info = { .size = sizeof(info) };

	assert_int_equal(kmcl_mouse_query(f->host, &info), 0);
	return info;
}

static void open_guest(struct fixture *f)
{
	assert_true(input_guest_open(&f->ends.guest, f->ends.bus));
}

static void connect_guest(struct fixture *f)
{
	open_guest(f);
	ask(f, 0x20000);
	assert_answer(f, 0, 0x20000, 1);
	message_at(f, 1, 2, 177);
	acknowledge(f);
	WAIT_FOR(info_of(f).version);
}

static int put(struct fixture *f, uint32_t x, uint32_t y, uint32_t buttons, int32_t wheel)
{
	struct kmcl_mouse_state state = {
		.size = sizeof(state), .x = x, .y = y, .buttons = buttons, .wheel = wheel
	};

	return kmcl_mouse_report(f->host, &state);
}

static void assert_report(struct fixture *f, uint32_t at, uint8_t buttons, uint16_t x, uint16_t y,
                          int16_t wheel)
{
	const uint8_t *bytes = message_at(f, at, 4, 15);
	uint16_t seen[3];

	assert_int_equal(bytes[4], 7);
	memcpy(seen, bytes + 9, sizeof(seen));
	assert_int_equal(bytes[8], buttons);
	assert_int_equal(seen[0], x);
	assert_int_equal(seen[1], y);
	assert_int_equal((int16_t)seen[2], wheel);
}

/* ---- a guest as it should be ---- */

static void the_offer_is_a_real_hosts(void **state)
{
	struct fixture *f = *state;
	struct kmcl_channel_info channel;
	uint32_t mode;
	static const GUID instance = {
		0x58f75a6d, 0xd949, 0x4320, { 0x99, 0xe1, 0xa2, 0xa2, 0x57, 0x6d, 0x58, 0x1c }
	};

	WAIT_FOR(kmcl_guest_channels(f->ends.bus, &channel, 1) == 1);
	assert_memory_equal(&channel.type, &type, sizeof(type));
	assert_memory_equal(&channel.instance, &instance, sizeof(instance));
	assert_int_equal(channel.offer_flags & 0x11, 0x11); /* an interface, and a pipe */
	memcpy(&mode, channel.offer_data, sizeof(mode));
	assert_int_equal(mode, 4); /* of messages */
}

/* What Linux's driver copies out: sizes inside of the message, and no byte 14 that it would change.
 */
/* covers: kmcl_mouse_create, kmcl_mouse_query */
static void the_device_describes_itself(void **state)
{
	struct fixture *f = *state;
	const uint8_t *bytes;
	uint16_t size;

	assert_int_equal(info_of(f).version, 0);
	connect_guest(f);
	bytes = f->ends.guest.messages[1].bytes;
	assert_int_equal(bytes[8], 32);
	assert_int_equal(bytes[40], 9); /* bLength */
	memcpy(&size, bytes + 47, sizeof(size));
	assert_int_equal(size, 67);
	assert_int_equal(bytes[4], 32 + 9 + 67);
	assert_int_equal(bytes[49 + 14], 0x29);
	assert_int_equal(bytes[49], 0x05);
	assert_int_equal(bytes[49 + 66], 0xc0);
	assert_int_equal(info_of(f).version, 0x20000);
	assert_int_equal(info_of(f).wrong, 0);
	assert_int_equal(input_log_count(""), 0);
}

static void others_are_refused_and_it_may_ask_again(void **state)
{
	static const uint32_t others[] = { 0, 0x10000, 0x20001, 0x30000, 0xffffffff };
	struct fixture *f = *state;
	uint32_t i;

	open_guest(f);
	for (i = 0; i < 5; i++) {
		ask(f, others[i]);
		assert_answer(f, i, others[i], 0);
		assert_int_equal(put(f, 1, 1, 0, 0), -EPROTONOSUPPORT);
	}
	assert_int_equal(input_log_count("wrong version: expected 0x20000, got 0x0"), 1);
	assert_int_equal(info_of(f).wrong, 5);
	ask(f, 0x20000);
	assert_answer(f, 5, 0x20000, 1);
	message_at(f, 6, 2, 177);
	assert_int_equal(put(f, 1, 1, 0, 0), -ENOTCONN);
	acknowledge(f);
	WAIT_FOR(!put(f, 1, 1, 0, 0));
}

/* covers: kmcl_mouse_report */
static void reports_come_as_they_are(void **state)
{
	struct fixture *f = *state;

	connect_guest(f);
	assert_int_equal(put(f, 32767, 0, KMCL_MOUSE_LEFT, 0), 0);
	assert_report(f, 2, 1, 32767, 0, 0);
	assert_int_equal(put(f, 32767, 0, 0, 0), 0);
	assert_report(f, 3, 0, 32767, 0, 0);
	assert_int_equal(put(f, 0, 32767, KMCL_MOUSE_RIGHT | KMCL_MOUSE_EXTRA, -32767), 0);
	assert_report(f, 4, 18, 0, 32767, -32767);
	assert_int_equal(put(f, 258, 772, KMCL_MOUSE_MIDDLE | KMCL_MOUSE_SIDE, 1), 0);
	assert_report(f, 5, 12, 258, 772, 1);
}

/* covers: kmcl_mouse_report */
static void what_is_nowhere_is_refused(void **state)
{
	struct fixture *f = *state;

	connect_guest(f);
	assert_int_equal(put(f, 32768, 0, 0, 0), -EINVAL);
	assert_int_equal(put(f, 0, 32768, 0, 0), -EINVAL);
	assert_int_equal(put(f, UINT32_MAX, 0, 0, 0), -EINVAL);
	assert_int_equal(put(f, 0, 0, 32, 0), -EINVAL);
	assert_int_equal(put(f, 0, 0, 0, 32768), -EINVAL);
	assert_int_equal(put(f, 0, 0, 0, -32768), -EINVAL);
	assert_int_equal(info_of(f).sent, 2);
}

/* ---- others ---- */

/* covers: kmcl_mouse_report */
static void without_a_driver_nothing_is_kept(void **state)
{
	struct fixture *f = *state;
	uint32_t round;

	assert_int_equal(put(f, 1, 1, 0, 0), -ENOTCONN);
	for (round = 0; round < 4; round++) {
		connect_guest(f);
		f->ends.guest.deaf = true;
		while (!put(f, 1, 1, 1, 0) && !put(f, 1, 1, 0, 0))
			;
		input_guest_close(&f->ends.guest);
		WAIT_FOR(info_of(f).version == 0);
		assert_int_equal(info_of(f).waiting, 0);
	}
	connect_guest(f);
	assert_int_equal(put(f, 5, 6, 0, 0), 0);
	assert_report(f, 2, 0, 5, 6, 0);
}

/* Where it is in the end arrives, and each click. */
static void a_guest_that_reads_nothing_has_the_queue_fill_up(void **state)
{
	struct fixture *f = *state;
	uint32_t clicks = 1, i, down = 0;

	connect_guest(f);
	f->ends.guest.deaf = true;
	assert_int_equal(put(f, 0, 1, 1, 0), 0);
	WAIT_FOR(f->ends.guest.count == 3); /* the last one that it reads */
	while (!put(f, clicks, 1, !(clicks & 1), 0))
		clicks++;
	/* It is a press that finds no room, and needs some more to let go. */
	assert_in_range(info_of(f).waiting, KMCL_MOUSE_QUEUE - 1, KMCL_MOUSE_QUEUE);
	assert_in_range(clicks, KMCL_MOUSE_QUEUE,
	                KMCL_MOUSE_QUEUE + INPUT_GUEST_PAGES * 4096 / 40 + 2);
	assert_int_equal(put(f, 3, 1, !(clicks & 1), 0), -EAGAIN);
	input_guest_hear(&f->ends.guest);
	WAIT_FOR(f->ends.guest.count == 2 + clicks);
	for (i = 0; i < clicks; i++)
		down += f->ends.guest.messages[2 + i].bytes[8];
	assert_int_equal(down, (clicks + 1) / 2);
	f->ends.guest.deaf = true;
	for (i = 0; i < 10000; i++)
		assert_int_equal(put(f, i, 2, clicks & 1, 0), 0);
	input_guest_hear(&f->ends.guest);
	WAIT_FOR(info_of(f).waiting == 0 && f->ends.guest.count == info_of(f).sent);
	assert_report(f, f->ends.guest.count - 1, clicks & 1, 9999, 2, 0);
}

/* Said once of each opening, counted each time; and the mouse goes on. */
static void messages_that_make_no_sense_are_dropped(void **state)
{
	static const struct {
		uint32_t words[3], size;
		const char *said;
	} ways[] = {
		{ { 0 }, 0, "size of a message: expected 0x8, got 0x0" },
		{ { 0, 4 }, 7, "size of a message: expected 0x8, got 0x7" },
		{ { 0, 4, 0x20000 }, 11, "size of a request: expected 0xc, got 0xb" },
		{ { 3, 1 }, 8, "size of an acknowledgement: expected 0x9, got 0x8" },
		{ { 3, 1 }, 9, "device that was not described: expected 0x0, got 0x3" },
		{ { 4, 7 }, 12, "type of a message: expected 0x0, got 0x4" },
		{ { 0xffffffff }, 12, "type of a message: expected 0x0, got 0xffffffff" },
	};
	struct fixture *f = *state;
	uint32_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		open_guest(f);
		input_guest_send(&f->ends.guest, ways[i].words, ways[i].size);
		input_guest_send(&f->ends.guest, ways[i].words, ways[i].size);
		WAIT_FOR(info_of(f).wrong == 2 * (i + 1));
		assert_int_equal(input_log_count(ways[i].said), 1);
		assert_int_equal(input_log_count(""), i + 1);
		ask(f, 0x20000);
		assert_answer(f, 0, 0x20000, 1);
		input_guest_close(&f->ends.guest);
	}
}

#define FLOOD 20000u

/* As with the keyboard: of what was asked for, one answer and one description wait. */
static void a_flood_of_requests_is_answered_once(void **state)
{
	struct fixture *f = *state;
	uint32_t i;

	open_guest(f);
	f->ends.guest.deaf = true;
	for (i = 0; i < FLOOD; i++)
		ask(f, i % 2 ? 0x20000 : 0x10000);
	WAIT_FOR(info_of(f).wrong == FLOOD / 2);
	assert_in_range(info_of(f).sent, 1, INPUT_GUEST_PAGES * 4096 / 40 + 2);
	input_guest_hear(&f->ends.guest);
	WAIT_FOR(f->ends.guest.count == info_of(f).sent);
	/* Before the last one is answered this makes no sense, and is dropped. */
	WAIT_FOR((acknowledge(f), !put(f, 1, 1, 0, 0)));
}

/* It goes under a guest that reads nothing and has much to say. */
/* covers: kmcl_mouse_destroy */
static void it_is_withdrawn_under_a_guest_that_reads_nothing(void **state)
{
	struct fixture *f = *state;
	uint32_t i;

	connect_guest(f);
	f->ends.guest.deaf = true;
	while (!put(f, 1, 1, 1, 0) && !put(f, 1, 1, 0, 0))
		;
	for (i = 0; i < 100; i++)
		ask(f, 0x20000);
	kmcl_mouse_destroy(f->host);
	f->host = NULL;
	kmcl_mouse_destroy(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(the_offer_is_a_real_hosts),
		TEST(the_device_describes_itself),
		TEST(others_are_refused_and_it_may_ask_again),
		TEST(reports_come_as_they_are),
		TEST(what_is_nowhere_is_refused),
		TEST(without_a_driver_nothing_is_kept),
		TEST(a_guest_that_reads_nothing_has_the_queue_fill_up),
		TEST(messages_that_make_no_sense_are_dropped),
		TEST(a_flood_of_requests_is_answered_once),
		TEST(it_is_withdrawn_under_a_guest_that_reads_nothing),
	};

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
