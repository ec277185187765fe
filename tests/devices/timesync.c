/* SPDX-License-Identifier: BSD-2-Clause */
/* The time component with a guest that takes the time, and with others. The argument of this
 * program is a pattern for the URI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include <stdlib.h>
#include <string.h>

#include "ic_guest.h"
#include "ic/ic_session.h"

#include <kmcl/ic.h>

#include "../temporary.h"

#define SECOND 10000000ull /* in 100 ns */

static const char *uri_pattern = "local:timesync-%d-%u";

static const GUID type = {
	0x9527e630, 0xd0ae, 0x497b, { 0xad, 0xce, 0xe8, 0x0a, 0xb0, 0x17, 0x5c, 0xaf }
};
static const struct ic_version all[] = { { 4, 0 }, { 3, 0 }, { 1, 0 }, { 0, 0 } };

struct fixture {
	struct ic_fixture ends;
	struct kmcl_timesync *host;
	struct kmcl_timesync_options options;
	_Atomic uint64_t system, reference; /* the clocks of some tests */
	_Atomic uint32_t sets, samples;     /* that came */
	_Atomic uint64_t told, told_reference, round_trip;
	_Atomic uint32_t size;
};

/* As hv_util.c of Linux 6.1: 4.0 has its own layout. */
static void take(struct ic_guest *guest, struct ic_guest_message *m)
{
	struct fixture *f = guest->context;
	struct ic_timesync message;
	struct ic_timesync_old old;
	uint8_t flags;

	memcpy(&message, m->body, sizeof(message));
	memcpy(&old, m->body, sizeof(old));
	flags = m->header.message.major >= 4 ? message.flags : old.flags;
	f->size = m->size;
	f->told = message.host;
	f->told_reference = m->header.message.major >= 4 ? message.reference : 0;
	f->round_trip = m->header.message.major >= 4 ? 0 : old.round_trip;
	if (flags == IC_TIME_SYNC)
		f->sets++;
	else if (flags == IC_TIME_SAMPLE)
		f->samples++;
}

static uint64_t system_of(void *context)
{
	return ((struct fixture *)context)->system;
}

static uint64_t reference_of(void *context)
{
	return ((struct fixture *)context)->reference;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	ic_log_begin();
	f->options.ic.size = sizeof(f->options);
	f->options.period_ms = 10;
	f->options.context = f;
	f->ends.guest.type = type;
	f->ends.guest.frameworks = ic_guest_frameworks;
	f->ends.guest.versions = all;
	f->ends.guest.request = take;
	f->ends.guest.context = f;
	return ic_fixture_open(&f->ends, uri_pattern) ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ic_guest_close(&f->ends.guest);
	if (f->host)
		kmcl_timesync_destroy(f->host);
	ic_fixture_close(&f->ends);
	ic_log_end();
	free(f);
	return 0;
}

static void begin(struct fixture *f)
{
	assert_int_equal(
		kmcl_timesync_create(kmcl_host_of_handle(f->ends.vmbus), &f->options, &f->host), 0);
	assert_true(ic_guest_open(&f->ends.guest, f->ends.bus));
}

static struct kmcl_timesync_info info_of(struct fixture *f)
{
	struct kmcl_timesync_info info = { .size = sizeof(info) };

	kmcl_timesync_query(f->host, &info);
	return info;
}

static struct kmcl_ic_statistics ic_of(struct fixture *f)
{
	struct kmcl_ic_statistics statistics = { .size = sizeof(statistics) };

	kmcl_timesync_get_statistics(f->host, &statistics);
	return statistics;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec / 100 + 116444736000000000ull;
}

/* ---- a guest as it should be ---- */

/* covers: kmcl_timesync_query, kmcl_timesync_get_statistics */
static void a_guest_is_set_once_and_then_gets_samples(void **state)
{
	struct fixture *f = *state;
	uint64_t before = now();

	begin(f);
	WAIT_FOR(f->samples >= 5);
	assert_int_equal(f->sets, 1);
	assert_true(f->told >= before && f->told <= now());
	assert_true(f->told_reference > 0 && f->told_reference < 60 * SECOND);
	assert_int_equal(f->size, sizeof(struct ic_timesync));
	assert_int_equal(ic_of(f).version, IC_VERSION(4, 0));
	assert_int_equal(info_of(f).sets, 1);
	assert_int_equal(ic_log_count(""), 0);
}

static void old_guests_get_the_old_layout(void **state)
{
	struct fixture *f = *state;
	uint32_t i;

	f->options.system_time = system_of;
	f->system = 1234567890;
	f->options.reference_time = reference_of;
	begin(f);
	for (i = 1; i < 3; i++) {
		ic_guest_close(&f->ends.guest);
		f->ends.guest.versions = all + i;
		f->ends.guest.frameworks = ic_guest_old_frameworks;
		f->sets = f->samples = 0;
		f->told = 0;
		assert_true(ic_guest_open(&f->ends.guest, f->ends.bus));
		WAIT_FOR(f->samples >= 3);
		assert_int_equal(f->sets, 1);
		assert_int_equal(f->told, 1234567890);
		assert_int_equal(f->size, sizeof(struct ic_timesync_old));
		assert_int_equal(ic_of(f).version, ic_version_number(all[i]));
		/* What the first answer took is told with the next message. */
		assert_true(f->round_trip > 0 && f->round_trip < 20 * SECOND);
	}
}

static void the_reference_counter_is_the_partitions(void **state)
{
	struct fixture *f = *state;

	f->options.reference_time = reference_of;
	f->options.system_time = system_of;
	f->reference = 42;
	f->system = 4242;
	begin(f);
	WAIT_FOR(f->samples >= 1);
	assert_int_equal(f->told_reference, 42);
	assert_int_equal(f->told, 4242);
	f->reference += SECOND;
	f->system += SECOND;
	WAIT_FOR(f->told_reference == 42 + SECOND);
	assert_int_equal(f->sets, 1); /* they went on together */
}

/* The host's clock was set, forward or back; the partition's counter stood while the host's did
 * not: each is a step of one against the other. */
static void clocks_that_drift_apart_set_the_guest(void **state)
{
	struct fixture *f = *state;

	f->options.reference_time = reference_of;
	f->options.system_time = system_of;
	f->system = 100 * SECOND;
	begin(f);
	WAIT_FOR(f->samples >= 2);
	assert_int_equal(f->sets, 1);
	f->system += SECOND;
	WAIT_FOR(f->told == f->system);
	assert_int_equal(f->sets, 1); /* a second is let pass */
	f->system += SECOND + 1;
	WAIT_FOR(f->sets == 2);
	f->system -= 50 * SECOND;
	WAIT_FOR(f->sets == 3);
	f->reference += 3 * SECOND;
	WAIT_FOR(f->sets == 4);
	f->samples = 0;
	WAIT_FOR(f->samples >= 3);
	assert_int_equal(f->sets, 4);
}

/* covers: kmcl_timesync_set, kmcl_timesync_create */
static void the_guest_is_set_when_told_so(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		kmcl_timesync_create(kmcl_host_of_handle(f->ends.vmbus), &f->options, &f->host), 0);
	assert_int_equal(kmcl_timesync_set(f->host), -ENOTCONN);
	assert_true(ic_guest_open(&f->ends.guest, f->ends.bus));
	WAIT_FOR(f->sets == 1);
	assert_int_equal(kmcl_timesync_set(f->host), 0);
	WAIT_FOR(f->sets == 2);
	ic_guest_close(&f->ends.guest);
	WAIT_FOR(kmcl_timesync_set(f->host) == -ENOTCONN);
	assert_true(ic_guest_open(&f->ends.guest, f->ends.bus));
	WAIT_FOR(f->sets >= 3);
}

/* ---- guests as they should not be ---- */

/* Samples do not pile up for a guest that sleeps, and do not end the ability to set it. */
static void a_guest_that_does_not_answer_gets_no_more_samples(void **state)
{
	struct fixture *f = *state;
	uint32_t i;

	begin(f);
	WAIT_FOR(f->samples >= 1);
	f->ends.guest.mute = true;
	WAIT_FOR(info_of(f).skipped >= 5);
	assert_true(f->ends.guest.held_count <= 1);
	for (i = 0; i < IC_OWED_MAX - 1; i++)
		assert_int_equal(kmcl_timesync_set(f->host), 0);
	assert_int_equal(kmcl_timesync_set(f->host), -EBUSY);
	WAIT_FOR(f->ends.guest.held_count == IC_OWED_MAX);
	f->samples = 0;
	ic_guest_unmute(&f->ends.guest);
	WAIT_FOR(f->sets == IC_OWED_MAX);
	WAIT_FOR(f->samples >= 3);
}

static bool answer_failed(struct ic_guest *guest, struct ic_guest_message *m)
{
	if (m->header.type == IC_TIMESYNC)
		m->header.status = IC_E_FAIL;
	return true;
}

static bool answer_twice(struct ic_guest *guest, struct ic_guest_message *m)
{
	if (m->header.type == IC_TIMESYNC)
		ic_guest_answer(guest, m);
	return true;
}

static void wrong_answers_are_said_once_and_do_no_harm(void **state)
{
	struct fixture *f = *state;

	f->ends.guest.spoil = answer_failed;
	begin(f);
	WAIT_FOR(f->samples >= 3);
	assert_int_equal(ic_log_count("status of a time sample"), 1);
	assert_true(ic_of(f).wrong >= 2);
	ic_guest_close(&f->ends.guest);
	f->ends.guest.spoil = answer_twice;
	f->samples = 0;
	assert_true(ic_guest_open(&f->ends.guest, f->ends.bus));
	WAIT_FOR(f->samples >= 3);
	WAIT_FOR(ic_log_count("transaction of an answer that is not owed") == 1);
}

/* covers: kmcl_timesync_destroy */
static void it_can_end_at_any_time(void **state)
{
	struct fixture *f = *state;
	uint32_t round;

	f->options.period_ms = 1;
	for (round = 0; round < 20; round++) {
		begin(f);
		if (round % 2)
			WAIT_FOR(f->sets > 0);
		f->sets = 0;
		kmcl_timesync_destroy(f->host);
		f->host = NULL;
		ic_guest_close(&f->ends.guest);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_guest_is_set_once_and_then_gets_samples),
		TEST(old_guests_get_the_old_layout),
		TEST(the_reference_counter_is_the_partitions),
		TEST(clocks_that_drift_apart_set_the_guest),
		TEST(the_guest_is_set_when_told_so),
		TEST(a_guest_that_does_not_answer_gets_no_more_samples),
		TEST(wrong_answers_are_said_once_and_do_no_harm),
		TEST(it_can_end_at_any_time),
	};

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
