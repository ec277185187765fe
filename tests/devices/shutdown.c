/* SPDX-License-Identifier: BSD-2-Clause */
/* The shutdown component with a guest that does as it is told, and with others. The argument of
 * this program is a pattern for the URI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ic/ic_session.h"
#include "ic_guest.h"

#include <kmcl/ic.h>

#include "../temporary.h"

static const char *uri_pattern = "local:shutdown-%d-%u";

static const GUID type = {
	0x0e0b6031, 0x5213, 0x4934, { 0x81, 0x8b, 0x38, 0xd9, 0x0c, 0xed, 0x39, 0xdb }
};

#define ALL                                     \
	{ 3, 2 }, { 3, 1 }, { 3, 0 }, { 1, 0 }, \
	{                                       \
		0, 0                            \
	}
static const struct ic_version newest[] = { ALL };

struct fixture {
	struct ic_fixture ends;
	struct kmcl_shutdown *host;
	_Atomic uint32_t hibernates; /* whether the guest can */
};

/* As hv_util.c of Linux 6.1. */
static void obey(struct ic_guest *guest, struct ic_guest_message *m)
{
	struct fixture *f = guest->context;
	uint32_t flags;

	memcpy(&flags, m->body + offsetof(struct ic_shutdown, flags), sizeof(flags));
	if (m->size < sizeof(struct ic_shutdown) || flags > 5 || (flags >= 4 && !f->hibernates))
		m->header.status = IC_E_FAIL;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct kmcl_ic_options options = { .size = sizeof(options) };

	*state = f;
	ic_log_begin();
	f->hibernates = 1;
	f->ends.guest.type = type;
	f->ends.guest.frameworks = ic_guest_frameworks;
	f->ends.guest.versions = newest;
	f->ends.guest.request = obey;
	f->ends.guest.context = f;
	if (!ic_fixture_open(&f->ends, uri_pattern) ||
	    kmcl_shutdown_create(kmcl_host_of_handle(f->ends.vmbus), &options, &f->host))
		return -1;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ic_guest_close(&f->ends.guest);
	kmcl_shutdown_destroy(f->host);
	ic_fixture_close(&f->ends);
	ic_log_end();
	free(f);
	return 0;
}

static void open_guest(struct fixture *f)
{
	assert_true(ic_guest_open(&f->ends.guest, f->ends.bus));
}

static int ask(struct fixture *f, enum kmcl_shutdown_action action, uint32_t *guest_status)
{
	struct kmcl_shutdown_request request = { .size = sizeof(request), .action = action };

	return kmcl_shutdown_ask(f->host, &request, 20000, guest_status);
}

static struct ic_shutdown last_request(struct fixture *f)
{
	struct ic_guest_message m;
	struct ic_shutdown message;

	ic_guest_last(&f->ends.guest, &m);
	assert_int_equal(m.header.type, IC_SHUTDOWN);
	assert_int_equal(m.header.size, sizeof(message));
	assert_int_equal(m.size, sizeof(message));
	memcpy(&message, m.body, sizeof(message));
	return message;
}

static struct kmcl_ic_statistics statistics_of(struct fixture *f)
{
	struct kmcl_ic_statistics s = { .size = sizeof(s) };

	kmcl_shutdown_get_statistics(f->host, &s);
	return s;
}

/* ---- a guest as it should be ---- */

/* covers: kmcl_shutdown_ask */
static void each_action_has_its_flags(void **state)
{
	static const struct {
		enum kmcl_shutdown_action action;
		bool force;
		uint32_t flags;
	} ways[] = {
		{ KMCL_SHUTDOWN_POWER_OFF, false, 0 }, { KMCL_SHUTDOWN_POWER_OFF, true, 1 },
		{ KMCL_SHUTDOWN_RESTART, false, 2 },   { KMCL_SHUTDOWN_RESTART, true, 3 },
		{ KMCL_SHUTDOWN_HIBERNATE, false, 4 }, { KMCL_SHUTDOWN_HIBERNATE, true, 5 },
	};
	struct fixture *f = *state;
	size_t i;

	open_guest(f);
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct kmcl_shutdown_request request = { .size = sizeof(request),
			                                 .action = ways[i].action,
			                                 .force = ways[i].force };
		uint32_t status = 1;

		assert_int_equal(kmcl_shutdown_ask(f->host, &request, 20000, &status), 0);
		assert_int_equal(status, IC_S_OK);
		assert_int_equal(last_request(f).flags, ways[i].flags);
		assert_int_equal(last_request(f).reason, 0x80000000u);
	}
	assert_int_equal(ic_log_count(""), 0);
}

static void reason_time_and_text_go_along(void **state)
{
	struct fixture *f = *state;
	struct kmcl_shutdown_request request = { .size = sizeof(request),
		                                 .reason = 0x80020003,
		                                 .timeout_seconds = 77,
		                                 .text = "gr\xc3\xbc\xc3\x9f dich" };
	static const uint16_t expected[] = { 'g', 'r', 0xfc, 0xdf, ' ', 'd', 'i', 'c', 'h', 0 };
	struct ic_shutdown message;

	open_guest(f);
	assert_int_equal(kmcl_shutdown_ask(f->host, &request, 20000, NULL), 0);
	message = last_request(f);
	assert_int_equal(message.reason, 0x80020003);
	assert_int_equal(message.timeout_seconds, 77);
	assert_memory_equal(message.text, expected, sizeof(expected));
}

static void a_guest_that_will_not_says_why(void **state)
{
	struct fixture *f = *state;
	uint32_t status = 0;

	f->hibernates = 0;
	open_guest(f);
	assert_int_equal(ask(f, KMCL_SHUTDOWN_HIBERNATE, &status), -EIO);
	assert_int_equal(status, IC_E_FAIL);
	assert_int_equal(ask(f, KMCL_SHUTDOWN_POWER_OFF, &status), 0);
	assert_int_equal(status, IC_S_OK);
}

static void old_guests_are_not_asked_what_they_do_not_know(void **state)
{
	static const struct ic_version all[] = { ALL };
	struct fixture *f = *state;
	uint32_t i, before;

	for (i = 0; i < 4; i++) {
		f->ends.guest.versions = all + i;
		open_guest(f);
		assert_int_equal(ask(f, KMCL_SHUTDOWN_POWER_OFF, NULL), 0);
		assert_int_equal(statistics_of(f).version, ic_version_number(all[i]));
		before = f->ends.guest.requests;
		assert_int_equal(ask(f, KMCL_SHUTDOWN_RESTART, NULL), i <= 1 ? 0 : -ENOTSUP);
		assert_int_equal(ask(f, KMCL_SHUTDOWN_HIBERNATE, NULL), i <= 0 ? 0 : -ENOTSUP);
		assert_int_equal(f->ends.guest.requests - before, i == 0 ? 2 : i == 1 ? 1 : 0);
		ic_guest_close(&f->ends.guest);
		WAIT_FOR(statistics_of(f).version == 0);
	}
}

/* covers: kmcl_shutdown_ask */
static void what_cannot_be_said_is_refused(void **state)
{
	struct fixture *f = *state;
	struct kmcl_shutdown_request request = { .size = sizeof(request), .text = "\xff" };
	char longest[1025];

	open_guest(f);
	assert_int_equal(kmcl_shutdown_ask(f->host, &request, 20000, NULL), -EINVAL);
	memset(longest, 'x', sizeof(longest));
	longest[1024] = '\0';
	request.text = longest;
	assert_int_equal(kmcl_shutdown_ask(f->host, &request, 20000, NULL), -EINVAL);
	longest[1023] = '\0';
	assert_int_equal(kmcl_shutdown_ask(f->host, &request, 20000, NULL), 0);
	request.action = (enum kmcl_shutdown_action)3;
	assert_int_equal(kmcl_shutdown_ask(f->host, &request, 20000, NULL), -EINVAL);
	assert_int_equal(f->ends.guest.requests, 1);
}

/* ---- no guest, or one as it should not be ---- */

static void without_a_guest_it_is_not_ready(void **state)
{
	struct fixture *f = *state;
	struct kmcl_shutdown_request request = { .size = sizeof(request) };
	static const struct ic_version unknown[] = { { 9, 9 }, { 0, 0 } };

	assert_int_equal(kmcl_shutdown_ask(f->host, &request, 10, NULL), -ENOTCONN);
	f->ends.guest.versions = unknown;
	open_guest(f);
	assert_int_equal(kmcl_shutdown_ask(f->host, &request, 20000, NULL), -EPROTONOSUPPORT);
	assert_int_equal(f->ends.guest.requests, 0);
}

static void *late_guest(void *context)
{
	struct fixture *f = context;

	nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
	return ic_guest_open(&f->ends.guest, f->ends.bus) ? f : NULL;
}

static void a_guest_that_comes_in_time_is_waited_for(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;
	void *opened;

	pthread_create(&thread, NULL, late_guest, f);
	assert_int_equal(ask(f, KMCL_SHUTDOWN_POWER_OFF, NULL), 0);
	pthread_join(thread, &opened);
	assert_non_null(opened);
}

/* The late answer belongs to nobody, least of all to the next request. */
static void a_silent_guest_times_out_and_its_late_answer_is_dropped(void **state)
{
	struct fixture *f = *state;
	struct kmcl_shutdown_request request = { .size = sizeof(request),
		                                 .action = KMCL_SHUTDOWN_RESTART };
	uint32_t i;

	open_guest(f);
	assert_int_equal(ask(f, KMCL_SHUTDOWN_POWER_OFF, NULL), 0);
	f->ends.guest.mute = true;
	f->hibernates = 0;
	request.action = KMCL_SHUTDOWN_HIBERNATE; /* the guest will refuse it, late */
	assert_int_equal(kmcl_shutdown_ask(f->host, &request, 20, NULL), -ETIMEDOUT);
	WAIT_FOR(f->ends.guest.held_count == 1);
	ic_guest_unmute(&f->ends.guest);
	assert_int_equal(ask(f, KMCL_SHUTDOWN_POWER_OFF, NULL), 0);
	assert_int_equal(statistics_of(f).late, 1);
	assert_int_equal(statistics_of(f).wrong, 0);
	/* It is not asked for ever. */
	f->ends.guest.mute = true;
	for (i = 0; i < IC_OWED_MAX; i++)
		assert_int_equal(kmcl_shutdown_ask(f->host, &request, 1, NULL), -ETIMEDOUT);
	assert_int_equal(kmcl_shutdown_ask(f->host, &request, 20000, NULL), -EBUSY);
	WAIT_FOR(f->ends.guest.held_count == IC_OWED_MAX);
	ic_guest_unmute(&f->ends.guest);
	WAIT_FOR(statistics_of(f).late == 1 + IC_OWED_MAX);
	assert_int_equal(ask(f, KMCL_SHUTDOWN_POWER_OFF, NULL), 0);
}

static void *ask_and_wait(void *context)
{
	struct fixture *f = context;

	return (void *)(intptr_t)ask(f, KMCL_SHUTDOWN_POWER_OFF, NULL);
}

static void a_guest_that_goes_ends_the_call(void **state)
{
	struct fixture *f = *state;
	uint32_t round;

	for (round = 0; round < 5; round++) {
		pthread_t thread;
		void *status;

		f->ends.guest.mute = false;
		open_guest(f);
		assert_int_equal(ask(f, KMCL_SHUTDOWN_POWER_OFF, NULL), 0);
		f->ends.guest.mute = true;
		pthread_create(&thread, NULL, ask_and_wait, f);
		WAIT_FOR(f->ends.guest.held_count == 1);
		ic_guest_close(&f->ends.guest);
		pthread_join(thread, &status);
		assert_int_equal((int)(intptr_t)status, -ENODEV);
	}
}

/* Requests from many threads are made one after the other. */
static void calls_wait_their_turn(void **state)
{
	struct fixture *f = *state;
	struct kmcl_shutdown_request request = { .size = sizeof(request) };
	pthread_t threads[4];
	void *status;
	size_t i;

	open_guest(f);
	assert_int_equal(ask(f, KMCL_SHUTDOWN_POWER_OFF, NULL), 0);
	f->ends.guest.mute = true;
	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, ask_and_wait, f);
	WAIT_FOR(f->ends.guest.held_count == 1);
	assert_int_equal(kmcl_shutdown_ask(f->host, &request, 20, NULL), -EBUSY);
	assert_int_equal(f->ends.guest.requests, 2);
	ic_guest_unmute(&f->ends.guest);
	for (i = 0; i < 4; i++) {
		pthread_join(threads[i], &status);
		assert_int_equal((int)(intptr_t)status, 0);
	}
	assert_int_equal(f->ends.guest.requests, 5);
}

static bool spoil_transaction(struct ic_guest *guest, struct ic_guest_message *m)
{
	if (m->header.type == IC_SHUTDOWN)
		m->header.transaction += 7;
	return true;
}

static bool answer_twice(struct ic_guest *guest, struct ic_guest_message *m)
{
	if (m->header.type == IC_SHUTDOWN)
		ic_guest_answer(guest, m);
	return true;
}

/* covers: kmcl_shutdown_get_statistics */
static void wrong_answers_are_no_answers(void **state)
{
	struct fixture *f = *state;
	struct kmcl_shutdown_request request = { .size = sizeof(request) };

	open_guest(f);
	assert_int_equal(ask(f, KMCL_SHUTDOWN_POWER_OFF, NULL), 0);
	f->ends.guest.spoil = spoil_transaction;
	assert_int_equal(kmcl_shutdown_ask(f->host, &request, 50, NULL), -ETIMEDOUT);
	WAIT_FOR(statistics_of(f).wrong == 1);
	f->ends.guest.spoil = answer_twice;
	assert_int_equal(ask(f, KMCL_SHUTDOWN_POWER_OFF, NULL), 0);
	WAIT_FOR(statistics_of(f).wrong == 2);
	assert_int_equal(ic_log_count("transaction of an answer that is not owed"), 1);
}

/* An answer may be no more than a header: OpenVMM's guest does so. */
static bool answer_short(struct ic_guest *guest, struct ic_guest_message *m)
{
	if (m->header.type == IC_SHUTDOWN)
		m->header.size = 0;
	if (m->header.type == IC_SHUTDOWN)
		m->size = 0;
	return true;
}

static void a_bare_header_is_an_answer(void **state)
{
	struct fixture *f = *state;

	f->ends.guest.spoil = answer_short;
	open_guest(f);
	assert_int_equal(ask(f, KMCL_SHUTDOWN_POWER_OFF, NULL), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(each_action_has_its_flags),
		TEST(reason_time_and_text_go_along),
		TEST(a_guest_that_will_not_says_why),
		TEST(old_guests_are_not_asked_what_they_do_not_know),
		TEST(what_cannot_be_said_is_refused),
		TEST(without_a_guest_it_is_not_ready),
		TEST(a_guest_that_comes_in_time_is_waited_for),
		TEST(a_silent_guest_times_out_and_its_late_answer_is_dropped),
		TEST(a_guest_that_goes_ends_the_call),
		TEST(calls_wait_their_turn),
		TEST(wrong_answers_are_no_answers),
		TEST(a_bare_header_is_an_answer),
	};

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
