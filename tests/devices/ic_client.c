/* SPDX-License-Identifier: BSD-2-Clause */
/* The integration components' pure half of the guest: against the host's pure half and against
 * bytes, also those that no host should send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "ic/ic_client.h"
#include "ic/ic_session.h"

#define NOW 5000u

static const struct ic_version versions[] = { { 1, 0 }, { 3, 0 }, { 3, 1 }, { 3, 2 }, { 4, 0 } };

/* Both ends; a message in memory of its size. */
struct pair {
	struct ic_session host;
	struct ic_client guest;
	struct ic_client_request request; /* the last one, as the guest has it */
	uint8_t *answer;
	struct ic_answer host_view;
};

static enum ic_event deliver(struct pair *p, const void *message, uint32_t size)
{
	free(p->answer);
	p->answer = malloc(size ? size : 1);
	memcpy(p->answer, message, size);
	ic_client_receive(&p->guest, p->answer, size, NOW, &p->request);
	assert_true(p->request.answer_size <= size);
	if (!p->request.answer_size)
		return IC_EVENT_WRONG;
	return ic_session_receive(&p->host, p->answer, p->request.answer_size, &p->host_view);
}

static enum ic_event negotiate(struct pair *p, enum ic_message_type type, uint32_t from,
                               uint32_t count)
{
	uint8_t message[IC_NEGOTIATION_MAX];
	uint32_t size;

	memset(p, 0, sizeof(*p));
	ic_client_init(&p->guest, type);
	ic_client_open(&p->guest);
	p->host.type = (uint16_t)type;
	p->host.versions = versions + from;
	p->host.version_count = count;
	size = ic_session_begin(&p->host, message);
	return deliver(p, message, size);
}

static enum ic_event ask(struct pair *p, const void *body, uint32_t size)
{
	uint8_t *message = malloc(sizeof(struct ic_header) + size);
	struct ic_header header;
	enum ic_event event;

	assert_true(ic_session_request(&p->host, (uint16_t)size, &header));
	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), body, size);
	event = deliver(p, message, (uint32_t)sizeof(header) + size);
	free(message);
	return event;
}

static void end(struct pair *p)
{
	free(p->answer);
	p->answer = NULL;
}

/* ---- versions ---- */

static void the_newest_in_common_is_chosen(void **state)
{
	static const struct {
		enum ic_message_type type;
		uint32_t from, count;
		struct ic_version chosen;
	} ways[] = {
		{ IC_HEARTBEAT, 0, 5, { 3, 0 } }, { IC_HEARTBEAT, 0, 1, { 1, 0 } },
		{ IC_SHUTDOWN, 0, 5, { 3, 2 } },  { IC_SHUTDOWN, 0, 3, { 3, 1 } },
		{ IC_SHUTDOWN, 1, 1, { 3, 0 } },  { IC_TIMESYNC, 0, 5, { 4, 0 } },
		{ IC_TIMESYNC, 0, 4, { 3, 0 } },  { IC_TIMESYNC, 4, 1, { 4, 0 } },
	};
	struct pair p;
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		assert_int_equal(negotiate(&p, ways[i].type, ways[i].from, ways[i].count),
		                 IC_EVENT_READY);
		assert_int_equal(p.request.event, IC_CLIENT_AGREED);
		assert_int_equal(ic_version_number(p.host.agreed),
		                 ic_version_number(ways[i].chosen));
		assert_int_equal(ic_version_number(p.guest.agreed),
		                 ic_version_number(ways[i].chosen));
		assert_int_equal(ic_version_number(p.guest.framework), IC_VERSION(3, 0));
		ic_client_open(&p.guest); /* another opening knows none */
		assert_int_equal(ic_version_number(p.guest.agreed), 0);
		end(&p);
	}
}

static void without_one_in_common_it_says_so(void **state)
{
	struct ic_header header;
	struct pair p;

	assert_int_equal(negotiate(&p, IC_HEARTBEAT, 2, 2), IC_EVENT_REFUSED);
	assert_int_equal(p.request.event, IC_CLIENT_REFUSED);
	assert_int_equal(ic_version_number(p.guest.agreed), 0);
	end(&p);
	assert_int_equal(negotiate(&p, IC_KVP, 0, 5), IC_EVENT_REFUSED); /* which it has not */
	memcpy(&header, p.answer, sizeof(header));
	assert_int_equal(header.status, IC_S_OK);
	assert_int_equal(header.size, 16);
	end(&p);
}

struct negotiation {
	struct ic_header header;
	struct ic_negotiation counts;
	struct ic_version list[4];
};

static struct negotiation offer(uint16_t frameworks, uint16_t messages)
{
	struct negotiation n = { .counts = { frameworks, messages, 0 },
		                 .list = { { 1, 0 }, { 3, 0 }, { 1, 0 }, { 3, 0 } } };

	n.header.type = IC_NEGOTIATE;
	n.header.size = sizeof(n) - sizeof(n.header);
	n.header.flags = IC_TRANSACTION | IC_REQUEST;
	return n;
}

static void lists_longer_than_the_message_are_refused(void **state)
{
	static const struct {
		uint16_t frameworks, messages;
		bool good;
	} ways[] = {
		{ 2, 2, true },
		{ 1, 3, true },
		{ 3, 1, true },
		{ 0, 2, false },
		{ 2, 0, false },
		{ 0, 0, false },
		{ 3, 2, false },
		{ 2, 3, false },
		{ 0xffff, 1, false },
		{ 1, 0xffff, false },
		{ 0xffff, 0xffff, false },
		{ 0x8000, 0x8000, false },
	};
	struct pair p = { .answer = NULL };
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct negotiation n = offer(ways[i].frameworks, ways[i].messages);

		ic_client_init(&p.guest, IC_HEARTBEAT);
		deliver(&p, &n, sizeof(n));
		assert_int_equal(p.request.event != IC_CLIENT_WRONG, ways[i].good);
		assert_int_equal(p.guest.fault.what != NULL, !ways[i].good);
		if (!ways[i].good)
			assert_int_equal(ic_version_number(p.guest.agreed), 0);
	}
	end(&p);
}

static void each_length_of_a_negotiation_is_taken_as_it_is(void **state)
{
	struct negotiation n = offer(2, 2);
	struct pair p = { .answer = NULL };
	uint32_t size;

	for (size = 0; size <= sizeof(n); size++) {
		bool good = size == sizeof(n);

		ic_client_init(&p.guest, IC_HEARTBEAT);
		deliver(&p, &n, size);
		assert_int_equal(p.request.event, good ? IC_CLIENT_AGREED : IC_CLIENT_WRONG);
		assert_int_equal(p.request.answer_size, size < sizeof(n.header) ? 0 : size);
		if (!good)
			assert_non_null(p.guest.fault.what);
	}
	/* And what the header says of it. */
	n.header.size = 16;
	ic_client_init(&p.guest, IC_HEARTBEAT);
	deliver(&p, &n, sizeof(n));
	assert_int_equal(p.request.event, IC_CLIENT_WRONG);
	end(&p);
}

static void before_versions_nothing_is_done(void **state)
{
	struct ic_header header = { .type = IC_SHUTDOWN, .size = 12 };
	struct ic_shutdown body = { .flags = 0 };
	uint8_t message[sizeof(header) + 12];
	struct pair p = { .answer = NULL };

	ic_client_init(&p.guest, IC_SHUTDOWN);
	p.guest.can = IC_CLIENT_CAN_POWER_OFF;
	header.flags = IC_TRANSACTION | IC_REQUEST;
	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), &body, 12);
	deliver(&p, message, sizeof(message));
	assert_int_equal(p.request.event, IC_CLIENT_WRONG);
	memcpy(&header, p.answer, sizeof(header));
	assert_int_equal(header.status, IC_E_FAIL);
	end(&p);
}

/* ---- messages ---- */

static void a_heartbeat_is_answered_with_the_next_number(void **state)
{
	struct ic_heartbeat beat = { .sequence = UINT64_MAX - 1 }, answer;
	struct pair p;
	uint32_t size;

	negotiate(&p, IC_HEARTBEAT, 0, 2);
	assert_int_equal(ask(&p, &beat, sizeof(beat)), IC_EVENT_ANSWER);
	assert_int_equal(p.request.event, IC_CLIENT_BEAT);
	assert_int_equal(p.host_view.status, IC_S_OK);
	assert_int_equal(p.host_view.size, sizeof(beat));
	memcpy(&answer, p.host_view.body, sizeof(answer));
	assert_int_equal(answer.sequence, UINT64_MAX);
	assert_int_equal(answer.health, IC_HEALTH_HEALTHY);
	p.guest.health = IC_HEALTH_CRITICAL;
	assert_int_equal(ask(&p, &beat, sizeof(beat)), IC_EVENT_ANSWER);
	memcpy(&answer, p.host_view.body, sizeof(answer));
	assert_int_equal(answer.health, IC_HEALTH_CRITICAL);
	for (size = 0; size < sizeof(beat); size++) {
		assert_int_equal(ask(&p, &beat, size), IC_EVENT_ANSWER);
		assert_int_equal(p.request.event, size < 8 ? IC_CLIENT_WRONG : IC_CLIENT_BEAT);
		assert_int_equal(p.host_view.status, size < 8 ? IC_E_FAIL : IC_S_OK);
	}
	end(&p);
}

static void a_shutdown_is_what_the_guest_can(void **state)
{
	static const struct {
		uint32_t flags, action;
		bool force;
	} ways[] = {
		{ 0, IC_CLIENT_CAN_POWER_OFF, false },
		{ 1, IC_CLIENT_CAN_POWER_OFF, true },
		{ 2, IC_CLIENT_CAN_RESTART, false },
		{ 3, IC_CLIENT_CAN_RESTART, true },
		{ 4, IC_CLIENT_CAN_HIBERNATE, false },
		{ 5, IC_CLIENT_CAN_HIBERNATE, true },
		{ 6, 0, false },
		{ 8, 0, false },
		{ 0x80000000, 0, false },
		{ UINT32_MAX, 0, true },
	};
	struct ic_shutdown *body = calloc(1, sizeof(*body));
	struct pair p;
	uint32_t can, i;

	negotiate(&p, IC_SHUTDOWN, 0, 4);
	body->reason = 0x80020000;
	body->timeout_seconds = 30;
	for (can = 0; can < 8; can++) {
		p.guest.can = can;
		for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
			bool does = ways[i].action & can;

			body->flags = ways[i].flags;
			assert_int_equal(ask(&p, body, sizeof(*body)), IC_EVENT_ANSWER);
			assert_int_equal(p.request.event,
			                 does ? IC_CLIENT_SHUTDOWN : IC_CLIENT_DECLINED);
			assert_int_equal(p.host_view.status, does ? IC_S_OK : IC_E_FAIL);
			assert_int_equal(p.request.shutdown.action, ways[i].action);
			assert_int_equal(p.request.shutdown.force, ways[i].force);
			assert_int_equal(p.request.shutdown.timeout_seconds, 30);
			assert_int_equal(p.request.shutdown.reason, 0x80020000);
		}
	}
	for (i = 0; i <= 12; i++) {
		body->flags = 0;
		assert_int_equal(ask(&p, body, i), IC_EVENT_ANSWER);
		assert_int_equal(p.request.event, i < 12 ? IC_CLIENT_WRONG : IC_CLIENT_SHUTDOWN);
	}
	free(body);
	end(&p);
}

static void a_time_is_one_by_both_clocks(void **state)
{
	struct ic_timesync t = { .host = 1000000, .reference = 4000, .flags = IC_TIME_SYNC };
	struct ic_timesync_old old = { .host = 1000000, .flags = IC_TIME_SAMPLE };
	struct pair p;
	uint32_t size;

	negotiate(&p, IC_TIMESYNC, 0, 5);
	assert_int_equal(ask(&p, &t, sizeof(t)), IC_EVENT_ANSWER);
	assert_int_equal(p.request.event, IC_CLIENT_TIME);
	assert_int_equal(p.host_view.status, IC_S_OK);
	assert_true(p.request.time.set);
	/* It was sent 1000 ago. */
	assert_int_equal(ic_client_time_at(&p.request.time, NOW), 1001000);
	for (size = 0; size <= sizeof(t); size++) {
		assert_int_equal(ask(&p, &t, size), IC_EVENT_ANSWER);
		assert_int_equal(p.request.event, size < 17 ? IC_CLIENT_WRONG : IC_CLIENT_TIME);
	}
	t.flags = 4;
	ask(&p, &t, sizeof(t));
	assert_int_equal(p.request.event, IC_CLIENT_WRONG);
	end(&p);

	negotiate(&p, IC_TIMESYNC, 0, 2); /* an older host does not say when it was sent */
	assert_int_equal(ask(&p, &old, sizeof(old)), IC_EVENT_ANSWER);
	assert_false(p.request.time.set);
	assert_int_equal(ic_client_time_at(&p.request.time, NOW + 500), 1000500);
	for (size = 0; size <= sizeof(old); size++) {
		assert_int_equal(ask(&p, &old, size), IC_EVENT_ANSWER);
		assert_int_equal(p.request.event, size < 25 ? IC_CLIENT_WRONG : IC_CLIENT_TIME);
	}
	end(&p);
}

static void times_are_those_of_1970_if_they_fit(void **state)
{
	const uint64_t last = UINT64_MAX / 100;
	uint64_t ns = 7;

	assert_true(ic_client_unix_time(IC_CLIENT_UNIX_EPOCH, &ns));
	assert_int_equal(ns, 0);
	/* 2026-11-28 00:00:00 UTC; seconds from `date -d`. */
	assert_true(ic_client_unix_time((11644473600ull + 1795824000ull) * 10000000u + 1, &ns));
	assert_int_equal(ns, 1795824000000000100ull);
	assert_true(ic_client_unix_time(IC_CLIENT_UNIX_EPOCH + last, &ns));
	assert_false(ic_client_unix_time(IC_CLIENT_UNIX_EPOCH + last + 1, &ns));
	assert_false(ic_client_unix_time(IC_CLIENT_UNIX_EPOCH - 1, &ns));
	assert_false(ic_client_unix_time(0, &ns));
	assert_false(ic_client_unix_time(UINT64_MAX, &ns));
}

static void what_no_host_should_say_does_nothing(void **state)
{
	struct ic_header header = { .type = IC_HEARTBEAT, .size = 0xffff };
	uint8_t message[sizeof(header) + 8] = { 0 };
	struct pair p;

	negotiate(&p, IC_HEARTBEAT, 0, 2);
	header.flags = IC_TRANSACTION | IC_RESPONSE; /* an answer is not answered */
	memcpy(message, &header, sizeof(header));
	assert_int_equal(deliver(&p, message, sizeof(message)), IC_EVENT_WRONG);
	assert_int_equal(p.request.answer_size, 0);
	assert_int_equal(p.request.event, IC_CLIENT_WRONG);
	header.flags = IC_TRANSACTION | IC_REQUEST;
	header.type = IC_TIMESYNC; /* another component's */
	memcpy(message, &header, sizeof(header));
	deliver(&p, message, sizeof(message));
	assert_int_equal(p.request.event, IC_CLIENT_WRONG);
	assert_int_equal(p.guest.fault.actual, IC_TIMESYNC);
	header.type = IC_HEARTBEAT; /* a size longer than what came is what came */
	memcpy(message, &header, sizeof(header));
	deliver(&p, message, sizeof(message));
	assert_int_equal(p.request.event, IC_CLIENT_BEAT);
	end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_in_common_is_chosen),
		cmocka_unit_test(without_one_in_common_it_says_so),
		cmocka_unit_test(lists_longer_than_the_message_are_refused),
		cmocka_unit_test(each_length_of_a_negotiation_is_taken_as_it_is),
		cmocka_unit_test(before_versions_nothing_is_done),
		cmocka_unit_test(a_heartbeat_is_answered_with_the_next_number),
		cmocka_unit_test(a_shutdown_is_what_the_guest_can),
		cmocka_unit_test(a_time_is_one_by_both_clocks),
		cmocka_unit_test(times_are_those_of_1970_if_they_fit),
		cmocka_unit_test(what_no_host_should_say_does_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
