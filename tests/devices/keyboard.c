/* SPDX-License-Identifier: BSD-2-Clause */
/* The keyboard with a guest that reads what is typed, and with others. The argument of this program
 * is a pattern for the URI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "input/keyboard_protocol.h"
#include "input_guest.h"

#include <kmcl/input.h>

#include "../temporary.h"

static const char *uri_pattern = "local:keyboard-%d-%u";

static const GUID type = {
	0xf912ad6d, 0x2b17, 0x48ea, { 0xbd, 0x65, 0xf9, 0x27, 0xa6, 0x1c, 0x76, 0x84 }
};

struct fixture {
	struct input_fixture ends;
	struct kmcl_keyboard *host;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	input_log_begin();
	f->ends.guest.type = type;
	if (!input_fixture_open(&f->ends, uri_pattern) ||
	    kmcl_keyboard_create(kmcl_host_of_handle(f->ends.vmbus), NULL, &f->host))
		return -1;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	input_guest_close(&f->ends.guest);
	kmcl_keyboard_destroy(f->host);
	input_fixture_close(&f->ends);
	input_log_end();
	free(f);
	return 0;
}

static void open_guest(struct fixture *f)
{
	assert_true(input_guest_open(&f->ends.guest, f->ends.bus));
}

static void ask(struct fixture *f, uint32_t version)
{
	uint32_t request[2] = { 1, version };

	input_guest_send(&f->ends.guest, request, sizeof(request));
}

/* The first message that came says so. */
static void assert_answer(struct fixture *f, uint32_t at, uint32_t status)
{
	uint32_t answer[2] = { 2, status };

	WAIT_FOR(f->ends.guest.count > at);
	assert_int_equal(f->ends.guest.messages[at].size, sizeof(answer));
	assert_memory_equal(f->ends.guest.messages[at].bytes, answer, sizeof(answer));
}

static void connect_guest(struct fixture *f)
{
	open_guest(f);
	ask(f, 0x10000);
	assert_answer(f, 0, 1);
}

static struct kmcl_keyboard_info info_of(struct fixture *f)
{
	struct kmcl_keyboard_info info = { .size = sizeof(info) };

	assert_int_equal(kmcl_keyboard_query(f->host, &info), 0);
	return info;
}

static int type_quickly(struct fixture *f, const char *text, size_t *typed)
{
	struct kmcl_keyboard_text own = {
		.size = sizeof(own), .text = text, .interval_ms = 1, .timeout_ms = 20000
	};

	return kmcl_keyboard_type(f->host, &own, typed);
}

/* What Linux's driver makes of a message: bytes of set 1. */
static uint32_t bytes_of(const struct input_guest_message *m, uint8_t bytes[2])
{
	uint32_t info, size = 0;
	uint16_t code;

	assert_int_equal(m->size, 16); /* without a pipe's header sizes are whole 8 bytes */
	assert_int_equal(m->bytes[0], 3);
	memcpy(&code, m->bytes + 4, sizeof(code));
	memcpy(&info, m->bytes + 8, sizeof(info));
	if (info & 4)
		bytes[size++] = 0xe0;
	if (info & 8)
		bytes[size++] = 0xe1;
	bytes[size++] = (uint8_t)(code | (info & 2 ? 0x80 : 0));
	return size;
}

static void assert_bytes(struct fixture *f, uint32_t at, const uint8_t *expected, uint32_t size)
{
	uint8_t bytes[64];
	uint32_t n = 0;

	while (n < size) {
		WAIT_FOR(f->ends.guest.count > at);
		n += bytes_of(&f->ends.guest.messages[at++], bytes + n);
	}
	assert_int_equal(n, size);
	assert_memory_equal(bytes, expected, size);
}

/* ---- a guest as it should be ---- */

static void the_offer_is_a_real_hosts(void **state)
{
	struct fixture *f = *state;
	struct kmcl_channel_info channel;
	static const GUID instance = {
		0xd34b2567, 0xb9b6, 0x42b9, { 0x87, 0x78, 0x0a, 0x4e, 0xc0, 0xb9, 0x55, 0xbf }
	};

	WAIT_FOR(kmcl_guest_channels(f->ends.bus, &channel, 1) == 1);
	assert_memory_equal(&channel.type, &type, sizeof(type));
	assert_memory_equal(&channel.instance, &instance, sizeof(instance));
	assert_int_equal(channel.offer_flags & 0x11, 0x1); /* an interface, and no pipe */
}

/* covers: kmcl_keyboard_create, kmcl_keyboard_query */
static void the_version_that_there_is_is_taken(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(info_of(f).version, 0);
	connect_guest(f);
	assert_int_equal(info_of(f).version, 0x10000);
	assert_int_equal(info_of(f).opens, 1);
	assert_int_equal(info_of(f).wrong, 0);
	assert_int_equal(input_log_count(""), 0);
}

static void others_are_refused_and_it_may_ask_again(void **state)
{
	static const uint32_t others[] = { 0, 0x0001, 0x10001, 0x20000, 0xffffffff };
	struct fixture *f = *state;
	uint32_t i;
	size_t typed;

	open_guest(f);
	for (i = 0; i < 5; i++) {
		ask(f, others[i]);
		assert_answer(f, i, 0);
		assert_int_equal(kmcl_keyboard_key(f->host, 0x1e, true), -EPROTONOSUPPORT);
		assert_int_equal(type_quickly(f, "a", &typed), -EPROTONOSUPPORT);
	}
	assert_int_equal(input_log_count("wrong version: expected 0x10000, got 0x0"), 1);
	assert_int_equal(info_of(f).wrong, 5);
	ask(f, 0x10000);
	assert_answer(f, 5, 1);
	assert_int_equal(kmcl_keyboard_key(f->host, 0x1e, true), 0);
}

/* covers: kmcl_keyboard_key */
static void keys_come_as_linux_reads_them(void **state)
{
	static const uint8_t expected[] = { 0x1e, 0x9e, 0xe0, 0x53, 0xe0, 0xd3,
		                            0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5 };
	struct fixture *f = *state;

	connect_guest(f);
	assert_int_equal(kmcl_keyboard_key(f->host, 0x1e, true), 0);
	assert_int_equal(kmcl_keyboard_key(f->host, 0x1e, false), 0);
	assert_int_equal(kmcl_keyboard_key(f->host, 0xe053, true), 0);
	assert_int_equal(kmcl_keyboard_key(f->host, 0xe053, false), 0);
	assert_int_equal(kmcl_keyboard_key(f->host, 0xe11d, true), 0);
	assert_int_equal(kmcl_keyboard_key(f->host, 0x45, true), 0);
	assert_int_equal(kmcl_keyboard_key(f->host, 0xe11d, false), 0);
	assert_int_equal(kmcl_keyboard_key(f->host, 0x45, false), 0);
	assert_bytes(f, 1, expected, sizeof(expected));
}

/* covers: kmcl_keyboard_key */
static void what_is_no_key_is_refused(void **state)
{
	static const uint16_t wrong[] = { 0, 0x80, 0xff, 0xe000, 0xe080, 0xe2 << 8 | 0x1e, 0x11e };
	struct fixture *f = *state;
	uint32_t i;

	connect_guest(f);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(kmcl_keyboard_key(f->host, wrong[i], true), -EINVAL);
	assert_int_equal(info_of(f).sent, 1); /* the answer */
}

/* covers: kmcl_keyboard_type */
static void a_text_is_typed_on_a_us_keyboard(void **state)
{
	/* H, i, !, Enter, Tab, ~, space */
	static const uint8_t expected[] = { 0x2a, 0x23, 0xa3, 0xaa, 0x17, 0x97, 0x2a,
		                            0x02, 0x82, 0xaa, 0x1c, 0x9c, 0x0f, 0x8f,
		                            0x2a, 0x29, 0xa9, 0xaa, 0x39, 0xb9 };
	struct fixture *f = *state;
	size_t typed;

	connect_guest(f);
	assert_int_equal(type_quickly(f, "Hi!\n\t~ ", &typed), 0);
	assert_int_equal(typed, 7);
	assert_bytes(f, 1, expected, sizeof(expected));
	assert_int_equal(type_quickly(f, "", &typed), 0);
	assert_int_equal(typed, 0);
}

/* Each on a key of its own, alone or with Shift: all 95, and two characters never the same. */
static void every_printable_character_has_its_key(void **state)
{
	struct fixture *f = *state;
	char text[96] = "";
	uint8_t seen[2][128] = { { 0 } }, byte[2];
	uint32_t i, count, shift = 0, held = 0;
	size_t typed;

	for (i = 0; i < 95; i++)
		text[i] = (char)(' ' + i);
	connect_guest(f);
	assert_int_equal(type_quickly(f, text, &typed), 0);
	count = 1 + 95 * 2 + 47 * 2; /* 47 of them with Shift */
	WAIT_FOR(f->ends.guest.count == count);
	for (i = 1; i < count; i++) {
		assert_int_equal(bytes_of(&f->ends.guest.messages[i], byte), 1);
		if ((byte[0] & 0x7f) == 0x2a) {
			shift = byte[0] == 0x2a;
		} else if (byte[0] & 0x80) {
			assert_int_equal(held, byte[0] & 0x7f);
		} else {
			held = byte[0];
			assert_int_equal(seen[shift][held]++, 0);
		}
	}
	assert_int_equal(shift, 0);
}

/* covers: kmcl_keyboard_type */
static void what_cannot_be_typed_is_refused_before_all(void **state)
{
	struct fixture *f = *state;
	struct kmcl_keyboard_text none = { .size = sizeof(none) };
	size_t typed;

	connect_guest(f);
	assert_int_equal(type_quickly(f, "gr\xc3\xbc\xc3\x9f", &typed), -EILSEQ);
	assert_int_equal(typed, 2);
	assert_int_equal(type_quickly(f, "\x7f", &typed), -EILSEQ);
	assert_int_equal(typed, 0);
	assert_int_equal(kmcl_keyboard_type(f->host, &none, &typed), -EINVAL);
	assert_int_equal(info_of(f).sent, 1);
}

static void leds_are_what_the_guest_says(void **state)
{
	static const uint16_t leds[] = { 4, 0, 5, 0 };
	struct fixture *f = *state;

	connect_guest(f);
	input_guest_send(&f->ends.guest, leds, sizeof(leds));
	WAIT_FOR(info_of(f).leds == 5);
	assert_int_equal(info_of(f).wrong, 0);
}

static void *type_in_thread(void *context)
{
	size_t typed;

	return (void *)(intptr_t)type_quickly(context, "aaaaaaaaaa", &typed);
}

static void texts_wait_their_turn(void **state)
{
	struct fixture *f = *state;
	uint8_t byte[2];
	pthread_t thread;
	uint32_t i, changes = 0;
	size_t typed;
	void *error;

	connect_guest(f);
	pthread_create(&thread, NULL, type_in_thread, f);
	assert_int_equal(type_quickly(f, "bbbbbbbbbb", &typed), 0);
	pthread_join(thread, &error);
	assert_int_equal((int)(intptr_t)error, 0);
	WAIT_FOR(f->ends.guest.count == 41);
	for (i = 3; i < 41; i += 2) {
		uint8_t before[2];

		bytes_of(&f->ends.guest.messages[i - 2], before);
		bytes_of(&f->ends.guest.messages[i], byte);
		changes += before[0] != byte[0];
	}
	assert_int_equal(changes, 1);
}

/* ---- no guest ---- */

/* covers: kmcl_keyboard_type, kmcl_keyboard_key */
static void without_a_driver_nothing_is_kept(void **state)
{
	struct fixture *f = *state;
	struct kmcl_keyboard_text text = { .size = sizeof(text), .text = "x", .timeout_ms = 5 };
	size_t typed;

	assert_int_equal(kmcl_keyboard_key(f->host, 0x1e, true), -ENOTCONN);
	assert_int_equal(kmcl_keyboard_type(f->host, &text, &typed), -ENOTCONN);
	open_guest(f);
	assert_int_equal(kmcl_keyboard_key(f->host, 0x1e, true), -ENOTCONN);
	ask(f, 0x10000);
	assert_answer(f, 0, 1);
	text.timeout_ms = 20000;
	assert_int_equal(kmcl_keyboard_type(f->host, &text, &typed), 0);
	WAIT_FOR(f->ends.guest.count == 3);
}

static void a_driver_that_comes_in_time_is_waited_for(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;
	void *error;

	pthread_create(&thread, NULL, type_in_thread, f);
	nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	connect_guest(f);
	pthread_join(thread, &error);
	assert_int_equal((int)(intptr_t)error, 0);
	WAIT_FOR(f->ends.guest.count == 21);
}

/* Seconds of it. */
static void *type_long_in_thread(void *context)
{
	static char text[4096];
	size_t typed;

	memset(text, 'a', sizeof(text) - 1);
	return (void *)(intptr_t)type_quickly(context, text, &typed);
}

/* A guest that reads no more, and has left room for a character. */
static void leave_room_for_one(struct fixture *f)
{
	connect_guest(f);
	f->ends.guest.deaf = true;
	assert_int_equal(kmcl_keyboard_key(f->host, 0x1e, true), 0);
	WAIT_FOR(f->ends.guest.count == 2); /* the last one that it reads */
	while (info_of(f).waiting < KMCL_KEYBOARD_QUEUE - 2)
		assert_int_equal(kmcl_keyboard_key(f->host, 0x1e, true), 0);
}

/* What it had not read is not for the next one. */
static void a_guest_that_goes_takes_its_keys_along(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;
	void *error;
	uint32_t round;

	for (round = 0; round < 4; round++) {
		leave_room_for_one(f);
		pthread_create(&thread, NULL, type_long_in_thread, f);
		WAIT_FOR(info_of(f).waiting >= KMCL_KEYBOARD_QUEUE - 1);
		input_guest_close(&f->ends.guest);
		pthread_join(thread, &error);
		assert_int_equal((int)(intptr_t)error, -ENODEV);
		WAIT_FOR(info_of(f).version == 0);
		assert_int_equal(info_of(f).waiting, 0);
	}
	connect_guest(f);
	assert_int_equal(kmcl_keyboard_key(f->host, 0x1f, true), 0);
	assert_bytes(f, 1, (const uint8_t[]){ 0x1f }, 1);
}

static bool last_is_key(struct fixture *f, uint8_t code)
{
	uint32_t count = f->ends.guest.count;
	const uint8_t *last = f->ends.guest.messages[count ? count - 1 : 0].bytes;

	return count && last[0] == 3 && last[4] == code;
}

/* So does one that begins anew: who types to it is told, and the rest is not for what comes. */
static void a_guest_that_asks_again_has_keys_taken_back(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;
	uint32_t seen;
	void *error;

	connect_guest(f);
	pthread_create(&thread, NULL, type_long_in_thread, f);
	WAIT_FOR(f->ends.guest.count > 3);
	ask(f, 0x10000);
	pthread_join(thread, &error);
	assert_int_equal((int)(intptr_t)error, -ENODEV);
	assert_int_equal(kmcl_keyboard_key(f->host, 0x1f, true), 0);
	WAIT_FOR(last_is_key(f, 0x1f));
	seen = f->ends.guest.count;
	assert_answer(f, seen - 2, 1);
	assert_bytes(f, seen - 1, (const uint8_t[]){ 0x1f }, 1);
}

/* ---- guests as they should not be ---- */

/* covers: kmcl_keyboard_type, kmcl_keyboard_key */
static void a_guest_that_reads_nothing_has_the_queue_fill_up(void **state)
{
	struct fixture *f = *state;
	struct kmcl_keyboard_text text = { .size = sizeof(text), .text = "x", .timeout_ms = 5 };
	uint32_t pressed = 1, i;
	uint8_t byte[2];
	size_t typed;

	connect_guest(f);
	f->ends.guest.deaf = true;
	assert_int_equal(kmcl_keyboard_key(f->host, 1, true), 0);
	WAIT_FOR(f->ends.guest.count == 2); /* the last one that it reads */
	while (!kmcl_keyboard_key(f->host, (uint16_t)(1 + pressed % 127), true))
		pressed++;
	assert_int_equal(info_of(f).waiting, KMCL_KEYBOARD_QUEUE);
	assert_in_range(pressed, KMCL_KEYBOARD_QUEUE,
	                KMCL_KEYBOARD_QUEUE + INPUT_GUEST_PAGES * 4096 / 40 + 2);
	assert_int_equal(kmcl_keyboard_key(f->host, 0x1e, true), -EAGAIN);
	assert_int_equal(kmcl_keyboard_type(f->host, &text, &typed), -ETIMEDOUT);
	assert_int_equal(typed, 0);
	input_guest_hear(&f->ends.guest);
	WAIT_FOR(f->ends.guest.count == 1 + pressed);
	for (i = 0; i < pressed; i++) {
		bytes_of(&f->ends.guest.messages[1 + i], byte);
		assert_int_equal(byte[0], 1 + i % 127);
	}
	assert_int_equal(info_of(f).waiting, 0);
}

/* Said once of each opening, counted each time; and the keyboard goes on. */
static void messages_that_make_no_sense_are_dropped(void **state)
{
	static const struct {
		uint32_t words[3], size;
		const char *said;
	} ways[] = {
		{ { 0 }, 0, "size of a message: expected 0x4, got 0x0" },
		{ { 4, 1 }, 8, "message before a version: expected 0x1, got 0x4" },
		{ { 2, 1 }, 8, "type of a message: expected 0x1, got 0x2" },
		{ { 3, 0x1e, 0 }, 12, "type of a message: expected 0x1, got 0x3" },
		{ { 0xffffffff }, 4, "type of a message: expected 0x1, got 0xffffffff" },
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
		ask(f, 0x10000);
		assert_answer(f, 0, 1);
		input_guest_close(&f->ends.guest);
		WAIT_FOR(info_of(f).version == 0);
	}
}

#define FLOOD 20000u

/* Requests that nobody could answer, as the guest reads nothing: the host keeps one answer, and who
 * types is told that there is no room. */
static void a_flood_of_requests_is_answered_once(void **state)
{
	struct fixture *f = *state;
	uint32_t i;

	open_guest(f);
	f->ends.guest.deaf = true;
	for (i = 0; i < FLOOD; i++)
		ask(f, i % 2 ? 0x10000 : 0x20000);
	WAIT_FOR(info_of(f).wrong == FLOOD / 2);
	/* What fills the ring, the one on its way, and the one that was read. */
	assert_in_range(info_of(f).sent, 1, INPUT_GUEST_PAGES * 4096 / 32 + 2);
	input_guest_hear(&f->ends.guest);
	WAIT_FOR(info_of(f).version); /* the last one is taken; what it is answered may be owed */
	assert_int_equal(kmcl_keyboard_key(f->host, 0x1e, true), 0);
	WAIT_FOR(last_is_key(f, 0x1e));
	assert_int_equal(f->ends.guest.count, info_of(f).sent);
	assert_answer(f, f->ends.guest.count - 2, 1);
}

/* It goes under a guest that reads nothing and has much to say. */
/* covers: kmcl_keyboard_destroy */
static void it_is_withdrawn_under_a_guest_that_reads_nothing(void **state)
{
	struct fixture *f = *state;
	uint32_t i;

	connect_guest(f);
	f->ends.guest.deaf = true;
	while (!kmcl_keyboard_key(f->host, 0x1e, true))
		;
	for (i = 0; i < 100; i++)
		ask(f, 0x10000);
	kmcl_keyboard_destroy(f->host);
	f->host = NULL;
	kmcl_keyboard_destroy(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(the_offer_is_a_real_hosts),
		TEST(the_version_that_there_is_is_taken),
		TEST(others_are_refused_and_it_may_ask_again),
		TEST(keys_come_as_linux_reads_them),
		TEST(what_is_no_key_is_refused),
		TEST(a_text_is_typed_on_a_us_keyboard),
		TEST(every_printable_character_has_its_key),
		TEST(what_cannot_be_typed_is_refused_before_all),
		TEST(leds_are_what_the_guest_says),
		TEST(texts_wait_their_turn),
		TEST(without_a_driver_nothing_is_kept),
		TEST(a_driver_that_comes_in_time_is_waited_for),
		TEST(a_guest_that_goes_takes_its_keys_along),
		TEST(a_guest_that_asks_again_has_keys_taken_back),
		TEST(a_guest_that_reads_nothing_has_the_queue_fill_up),
		TEST(messages_that_make_no_sense_are_dropped),
		TEST(a_flood_of_requests_is_answered_once),
		TEST(it_is_withdrawn_under_a_guest_that_reads_nothing),
	};

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
