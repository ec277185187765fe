/* SPDX-License-Identifier: BSD-2-Clause */
/* The heartbeat component with a guest that answers, and with others. The argument of this program
 * is a pattern for the URI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include <stdlib.h>
#include <string.h>

#include "ic/ic_session.h"

#include <kmcl/ic.h>
#include "ic_guest.h"

#include "../temporary.h"

static const char *uri_pattern = "local:heartbeat-%d-%u";
static const struct ic_version newest[] = { { 3, 0 }, { 1, 0 }, { 0, 0 } };
static const struct ic_version oldest[] = { { 1, 0 }, { 0, 0 } };
static const struct ic_version unknown[] = { { 7, 1 }, { 0, 0 } };

static const GUID type = {
	0x57164f39, 0x9115, 0x4e78, { 0xab, 0x55, 0x38, 0x2f, 0x3b, 0xd5, 0x42, 0x2d }
};

struct fixture {
	struct ic_fixture ends;
	struct kmcl_heartbeat *host;
	_Atomic uint32_t changes;
	_Atomic enum kmcl_heartbeat_state seen[16];
};

/* What Linux does with a request: one more, and the rest as it came. */
static void beat(struct ic_guest *guest, struct ic_guest_message *m)
{
	uint64_t sequence;

	memcpy(&sequence, m->body, sizeof(sequence));
	sequence++;
	memcpy(m->body, &sequence, sizeof(sequence));
}

static void changed(void *context, enum kmcl_heartbeat_state state)
{
	struct fixture *f = context;
	uint32_t n = f->changes;

	if (n < 16)
		f->seen[n] = state;
	f->changes = n + 1;
}

static bool open_ends(struct fixture *f, const struct kmcl_heartbeat_options *options)
{
	f->ends.guest.type = type;
	f->ends.guest.frameworks = ic_guest_frameworks;
	f->ends.guest.versions = newest;
	f->ends.guest.request = beat;
	f->ends.guest.context = f;
	return ic_fixture_open(&f->ends, uri_pattern) &&
	       !kmcl_heartbeat_create(kmcl_host_of_handle(f->ends.vmbus), options, &f->host);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct kmcl_heartbeat_options options = {
		.ic.size = sizeof(options),
		.interval_ms = 20,
		.missed = 3,
		.changed = changed,
		.context = f,
	};

	*state = f;
	ic_log_begin();
	return open_ends(f, &options) ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ic_guest_close(&f->ends.guest);
	if (f->host)
		kmcl_heartbeat_destroy(f->host);
	ic_fixture_close(&f->ends);
	ic_log_end();
	free(f);
	return 0;
}

static struct kmcl_heartbeat_info info_of(struct fixture *f)
{
	struct kmcl_heartbeat_info info = { .size = sizeof(info) };

	kmcl_heartbeat_query(f->host, &info);
	return info;
}

static struct kmcl_ic_statistics ic_of(struct fixture *f)
{
	struct kmcl_ic_statistics statistics = { .size = sizeof(statistics) };

	kmcl_heartbeat_get_statistics(f->host, &statistics);
	return statistics;
}

static void open_guest(struct fixture *f)
{
	assert_true(ic_guest_open(&f->ends.guest, f->ends.bus));
}

/* ---- a guest as it should be ---- */

static void the_offer_is_a_real_hosts(void **state)
{
	struct fixture *f = *state;
	struct kmcl_channel_info channel;
	static const GUID instance = {
		0xfd149e91, 0x82e0, 0x4a7d, { 0xaf, 0xa6, 0x2a, 0x41, 0x66, 0xcb, 0xd7, 0xc0 }
	};
	uint32_t mode;

	WAIT_FOR(kmcl_guest_channels(f->ends.bus, &channel, 1) == 1);
	assert_memory_equal(&channel.type, &type, sizeof(type));
	assert_memory_equal(&channel.instance, &instance, sizeof(instance));
	assert_int_equal(channel.offer_flags & 0x11, 0x11); /* an interface, and a pipe */
	memcpy(&mode, channel.offer_data, sizeof(mode));
	assert_int_equal(mode, 4); /* of messages */
}

/* covers: kmcl_heartbeat_query, kmcl_heartbeat_get_statistics */
static void a_guest_that_answers_is_well(void **state)
{
	struct fixture *f = *state;
	struct ic_guest_message last;
	struct kmcl_heartbeat_info info = info_of(f);

	assert_int_equal(info.state, KMCL_HEARTBEAT_NO_CONTACT);
	assert_true(info.last_ms == UINT64_MAX);
	open_guest(f);
	WAIT_FOR(f->changes == 1);
	WAIT_FOR(f->ends.guest.requests >= 5);
	info = info_of(f);
	assert_int_equal(f->seen[0], KMCL_HEARTBEAT_OK);
	assert_int_equal(info.state, KMCL_HEARTBEAT_OK);
	assert_int_equal(ic_of(f).version, IC_VERSION(3, 0));
	assert_int_equal(ic_of(f).framework, IC_VERSION(3, 0));
	assert_int_equal(ic_of(f).wrong, 0);
	assert_true(info.last_ms < 20000);
	ic_guest_last(&f->ends.guest, &last);
	assert_int_equal(last.header.type, IC_HEARTBEAT);
	assert_int_equal(last.header.flags, IC_TRANSACTION | IC_REQUEST);
	assert_int_equal(last.header.message.major, 3);
	assert_int_equal(last.header.size, sizeof(struct ic_heartbeat));
	assert_int_equal(f->changes, 1);
	assert_int_equal(ic_log_count(""), 0);
}

static void old_guests_are_spoken_to_in_their_version(void **state)
{
	struct fixture *f = *state;

	f->ends.guest.frameworks = ic_guest_old_frameworks;
	f->ends.guest.versions = oldest;
	open_guest(f);
	WAIT_FOR(info_of(f).state == KMCL_HEARTBEAT_OK);
	assert_int_equal(ic_of(f).version, IC_VERSION(1, 0));
	assert_int_equal(ic_of(f).framework, IC_VERSION(1, 0));
}

static void say_critical(struct ic_guest *guest, struct ic_guest_message *m)
{
	uint32_t health = KMCL_HEARTBEAT_CRITICAL;

	beat(guest, m);
	memcpy(m->body + 8, &health, sizeof(health));
}

static void what_the_guest_says_of_itself_is_told(void **state)
{
	struct fixture *f = *state;

	f->ends.guest.request = say_critical;
	open_guest(f);
	WAIT_FOR(info_of(f).health == KMCL_HEARTBEAT_CRITICAL);
}

/* Lost when it stops, seen again when it goes on; and no more is sent to it than it may owe. */
static void a_stopped_guest_is_lost_and_seen_again(void **state)
{
	struct fixture *f = *state;
	uint32_t round;

	open_guest(f);
	WAIT_FOR(f->changes == 1);
	for (round = 0; round < 3; round++) {
		f->ends.guest.mute = true;
		WAIT_FOR(info_of(f).state == KMCL_HEARTBEAT_LOST);
		assert_true(info_of(f).missed >= 3);
		assert_int_equal(info_of(f).lost, round + 1);
		WAIT_FOR(ic_of(f).unsent > 0 || round < 2);
		WAIT_FOR(f->changes == 2 + 2 * round);
		assert_int_equal(f->seen[1 + 2 * round], KMCL_HEARTBEAT_LOST);
		assert_true(f->ends.guest.held_count <= IC_OWED_MAX);
		ic_guest_unmute(&f->ends.guest);
		WAIT_FOR(f->changes == 3 + 2 * round);
		assert_int_equal(f->seen[2 + 2 * round], KMCL_HEARTBEAT_OK);
	}
	assert_int_equal(ic_of(f).wrong, 0);
}

static void a_guest_that_goes_is_no_contact(void **state)
{
	struct fixture *f = *state;
	uint32_t round;

	for (round = 0; round < 5; round++) {
		open_guest(f);
		WAIT_FOR(f->changes == 1 + 2 * round);
		ic_guest_close(&f->ends.guest);
		WAIT_FOR(f->changes == 2 + 2 * round);
		assert_int_equal(f->seen[1 + 2 * round], KMCL_HEARTBEAT_NO_CONTACT);
		assert_true(info_of(f).last_ms == UINT64_MAX);
	}
	assert_int_equal(ic_of(f).opens, 5);
	assert_int_equal(info_of(f).lost, 0);
}

/* ---- guests as they should not be ---- */

static void a_guest_that_never_negotiates_is_no_contact(void **state)
{
	struct fixture *f = *state;

	f->ends.guest.mute = true;
	open_guest(f);
	WAIT_FOR(f->ends.guest.negotiations == 1);
	assert_int_equal(info_of(f).state, KMCL_HEARTBEAT_NO_CONTACT);
	assert_int_equal(ic_of(f).requests, 0);
	ic_guest_unmute(&f->ends.guest);
	WAIT_FOR(info_of(f).state == KMCL_HEARTBEAT_OK);
}

static void a_guest_without_a_common_version_is_no_contact(void **state)
{
	struct fixture *f = *state;

	f->ends.guest.versions = unknown;
	open_guest(f);
	WAIT_FOR(ic_log_count("count of framework versions chosen") == 1);
	assert_int_equal(info_of(f).state, KMCL_HEARTBEAT_NO_CONTACT);
	assert_int_equal(ic_of(f).requests, 0);
	ic_guest_close(&f->ends.guest);
	f->ends.guest.versions = newest;
	open_guest(f);
	WAIT_FOR(info_of(f).state == KMCL_HEARTBEAT_OK);
}

static bool spoil_sequence(struct ic_guest *guest, struct ic_guest_message *m)
{
	if (m->header.type == IC_HEARTBEAT)
		m->body[3] ^= 1;
	return true;
}

static bool spoil_status(struct ic_guest *guest, struct ic_guest_message *m)
{
	if (m->header.type == IC_HEARTBEAT)
		m->header.status = IC_E_FAIL;
	return true;
}

static bool spoil_size(struct ic_guest *guest, struct ic_guest_message *m)
{
	if (m->header.type == IC_HEARTBEAT)
		m->header.size = 7;
	return true;
}

static bool spoil_transaction(struct ic_guest *guest, struct ic_guest_message *m)
{
	if (m->header.type == IC_HEARTBEAT)
		m->header.transaction ^= 0x80;
	return true;
}

static bool spoil_flags(struct ic_guest *guest, struct ic_guest_message *m)
{
	if (m->header.type == IC_HEARTBEAT)
		m->header.flags = IC_TRANSACTION | IC_REQUEST;
	return true;
}

static bool spoil_type(struct ic_guest *guest, struct ic_guest_message *m)
{
	if (m->header.type == IC_HEARTBEAT)
		m->header.type = IC_SHUTDOWN;
	return true;
}

static bool spoil_length(struct ic_guest *guest, struct ic_guest_message *m)
{
	if (m->header.type != IC_HEARTBEAT)
		return true;
	ic_guest_send(guest, m, 19);
	return false;
}

/* Said once, counted each time, and such a guest is not well. */
static void answers_that_are_wrong_do_not_count(void **state)
{
	static const struct {
		bool (*spoil)(struct ic_guest *guest, struct ic_guest_message *m);
		const char *said;
	} ways[] = {
		{ spoil_sequence, "sequence number of a heartbeat: expected" },
		{ spoil_status, "status of a heartbeat: expected 0x0, got 0x80004005" },
		{ spoil_size, "size of a heartbeat: expected 0x8, got 0x7" },
		{ spoil_transaction, "transaction of an answer that is not owed" },
		{ spoil_flags, "flags of an answer: expected 0x5, got 0x3" },
		{ spoil_type, "type of an answer: expected 0x1, got 0x3" },
		{ spoil_length, "bytes of an answer: expected 0x14, got 0x13" },
	};
	struct fixture *f = *state;
	uint64_t before;
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		before = ic_of(f).wrong;
		f->ends.guest.spoil = ways[i].spoil;
		open_guest(f);
		WAIT_FOR(ic_of(f).wrong >= before + 3);
		WAIT_FOR(info_of(f).state == KMCL_HEARTBEAT_LOST);
		assert_int_equal(ic_log_count(ways[i].said), 1);
		assert_int_equal(ic_log_count(""), i + 1);
		ic_guest_close(&f->ends.guest);
		WAIT_FOR(info_of(f).state == KMCL_HEARTBEAT_NO_CONTACT);
	}
}

/* Twice as many answers as requests, and some before there was any. */
static void answers_that_nobody_asked_for_are_dropped(void **state)
{
	struct fixture *f = *state;
	struct ic_guest_message m = { .header = { .type = IC_HEARTBEAT, .transaction = 200 } };

	m.header.flags = IC_TRANSACTION | IC_RESPONSE;
	m.header.size = sizeof(struct ic_heartbeat);
	m.size = sizeof(struct ic_heartbeat);
	f->ends.guest.mute = true;
	open_guest(f);
	ic_guest_answer(&f->ends.guest, &m);
	WAIT_FOR(ic_of(f).wrong == 1);
	ic_guest_unmute(&f->ends.guest);
	WAIT_FOR(info_of(f).state == KMCL_HEARTBEAT_OK);
	ic_guest_answer(&f->ends.guest, &m);
	WAIT_FOR(ic_of(f).wrong == 2);
	WAIT_FOR(f->ends.guest.requests > 3);
	assert_int_equal(info_of(f).state, KMCL_HEARTBEAT_OK);
	assert_int_equal(ic_log_count(""), 1);
}

/* ---- the host ---- */

static void versions_can_be_held_back(void **state)
{
	struct fixture *f = *state;
	struct kmcl_heartbeat_options options = { .ic.size = sizeof(options),
		                                  .ic.version_max = IC_VERSION(1, 0) };

	kmcl_heartbeat_destroy(f->host);
	f->host = NULL;
	assert_int_equal(
		kmcl_heartbeat_create(kmcl_host_of_handle(f->ends.vmbus), &options, &f->host), 0);
	open_guest(f);
	WAIT_FOR(info_of(f).state == KMCL_HEARTBEAT_OK);
	assert_int_equal(ic_of(f).version, IC_VERSION(1, 0));
	kmcl_heartbeat_destroy(f->host);
	f->host = NULL;
	options.ic.version_max = IC_VERSION(0, 9);
	assert_int_equal(
		kmcl_heartbeat_create(kmcl_host_of_handle(f->ends.vmbus), &options, &f->host),
		-EINVAL);
}

/* With a guest in each state; nothing is reported once it has begun. */
/* covers: kmcl_heartbeat_create, kmcl_heartbeat_destroy */
static void it_can_end_at_any_time(void **state)
{
	struct fixture *f = *state;
	struct kmcl_heartbeat_options options = { .ic.size = sizeof(options),
		                                  .interval_ms = 1,
		                                  .missed = 1,
		                                  .changed = changed,
		                                  .context = f };
	uint32_t round, before;

	for (round = 0; round < 20; round++) {
		f->ends.guest.mute = round % 2;
		f->ends.guest.negotiations = 0;
		open_guest(f);
		if (round % 4 < 2)
			WAIT_FOR(f->ends.guest.negotiations == 1);
		kmcl_heartbeat_destroy(f->host);
		f->host = NULL;
		before = f->changes;
		ic_guest_close(&f->ends.guest);
		assert_int_equal(kmcl_heartbeat_create(kmcl_host_of_handle(f->ends.vmbus), &options,
		                                       &f->host),
		                 0);
		assert_int_equal(f->changes, before);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(the_offer_is_a_real_hosts),
		TEST(a_guest_that_answers_is_well),
		TEST(old_guests_are_spoken_to_in_their_version),
		TEST(what_the_guest_says_of_itself_is_told),
		TEST(a_stopped_guest_is_lost_and_seen_again),
		TEST(a_guest_that_goes_is_no_contact),
		TEST(a_guest_that_never_negotiates_is_no_contact),
		TEST(a_guest_without_a_common_version_is_no_contact),
		TEST(answers_that_are_wrong_do_not_count),
		TEST(answers_that_nobody_asked_for_are_dropped),
		TEST(versions_can_be_held_back),
		TEST(it_can_end_at_any_time),
	};

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
