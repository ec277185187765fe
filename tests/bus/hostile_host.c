/* SPDX-License-Identifier: BSD-2-Clause */

/* A host that says what it must not, and the end of channels and hosts at the client. */

#include "fixture.h"

#include <stdio.h>

static const struct client_open ring = { .ring_gpadl = 1, .ring_offset = 4 };

static struct fixture *connected(void)
{
	struct fixture *f = client_fixture();

	client_connect_at(f, WIRE_VERSION_5_3);
	host_offer(f, 1);
	forget(f);
	return f;
}

static void open_channel(struct fixture *f)
{
	assert_int_equal(client_open(f->client, 1, &ring), 0);
	host_open_result(f, 1, 1, BUS_STATUS_SUCCESS);
	forget(f);
}

/* ---------------- what answers nothing ---------------- */

static void an_offer_for_an_id_in_use(void **state)
{
	struct fixture *f = connected();

	(void)state;
	host_offer(f, 1);
	expect(f, "fault OFFER_CHANNEL: channel id was not released\n");
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 1);
	forget(f);
	host_offer(f, 1); /* still this end's */
	expect(f, "fault OFFER_CHANNEL: channel id was not released\n");
	client_release(f->client, 1);
	forget(f);
	host_offer(f, 1);
	expect(f, "offer 1 'A' conn=0x2001 dedicated=1 monitor=0/255 sub=0 mmio=0+0 flags=0x0\n");
	fixture_end(f);
}

static void an_offer_with_ids_out_of_range(void **state)
{
	struct wire_offer_channel m = {
		.header.type = WIRE_OFFER_CHANNEL,
		.channel_id = 5,
		.monitor_allocated = 1,
		.monitor_id = 128,
	};
	struct fixture *f = connected();

	(void)state;
	host_message(f, &m, sizeof(m));
	expect(f, "fault OFFER_CHANNEL: monitor id\n");
	host_offer(f, 0);
	host_offer(f, 2048);
	host_offer(f, 0xffffffff);
	expect(f, "fault OFFER_CHANNEL: channel id\nfault OFFER_CHANNEL: channel id\n"
	          "fault OFFER_CHANNEL: channel id\n");
	fixture_end(f);
}

static void an_open_result_for_nothing_open(void **state)
{
	struct fixture *f = connected();

	(void)state;
	host_open_result(f, 1, 0, BUS_STATUS_SUCCESS);
	expect(f, "fault OPEN_CHANNEL_RESULT: answers no open of that channel\n");
	client_open(f->client, 1, &ring);
	forget(f);
	host_open_result(f, 1, 2, BUS_STATUS_SUCCESS); /* another open's */
	host_open_result(f, 2, 1, BUS_STATUS_SUCCESS); /* another channel's */
	expect(f, "fault OPEN_CHANNEL_RESULT: answers no open of that channel\n"
	          "fault OPEN_CHANNEL_RESULT: answers no open of that channel\n");
	host_open_result(f, 1, 1, BUS_STATUS_SUCCESS);
	expect(f, "opened 1 open=1 0x0\n");
	host_open_result(f, 1, 1, BUS_STATUS_SUCCESS); /* twice */
	expect(f, "fault OPEN_CHANNEL_RESULT: answers no open of that channel\n");
	fixture_end(f);
}

static void an_open_that_failed_may_be_tried_again(void **state)
{
	struct fixture *f = connected();

	(void)state;
	client_open(f->client, 1, &ring);
	forget(f);
	host_open_result(f, 1, 1, BUS_STATUS_UNSUCCESSFUL);
	expect(f, "opened 1 open=1 0xc0000001\n");
	assert_int_equal(client_close(f->client, 1), -1);
	assert_int_equal(client_open(f->client, 1, &ring), 0);
	expect(f,
	       "< OPEN_CHANNEL 1 open=2 gpadl=1 vp=0 offset=4 data=0 conn=0x0 flag=0 size=148\n");
	fixture_end(f);
}

static void gpadl_answers_for_unknown_ids(void **state)
{
	static const uint64_t pfn = 7;
	struct bus_gpa_range range = { 4096, 0, &pfn };
	struct fixture *f = connected();
	uint32_t gpadl;

	(void)state;
	host_offer(f, 2);
	client_gpadl_create(f->client, 1, &range, 1, &gpadl);
	forget(f);
	host_gpadl_created(f, 1, 99, BUS_STATUS_SUCCESS);
	host_gpadl_created(f, 2, gpadl, BUS_STATUS_SUCCESS); /* another channel's */
	expect(f, "fault GPADL_CREATED: that GPADL was not asked for\n"
	          "fault GPADL_CREATED: that GPADL was not asked for\n");
	host_gpadl_torndown(f, gpadl); /* before it was created */
	expect(f, "fault GPADL_TORNDOWN: that GPADL was not being torn down\n");
	host_gpadl_created(f, 1, gpadl, BUS_STATUS_SUCCESS);
	expect(f, "gpadl_created 1 gpadl=1 0x0\n");
	host_gpadl_created(f, 1, gpadl, BUS_STATUS_SUCCESS);
	expect(f, "fault GPADL_CREATED: that GPADL was not asked for\n");
	fixture_end(f);
}

static void a_gpadl_torn_down_twice(void **state)
{
	struct fixture *f = connected();
	uint32_t gpadl = client_gpadl_of(f, 1, 1);

	(void)state;
	host_gpadl_torndown(f, gpadl);
	expect(f, "fault GPADL_TORNDOWN: that GPADL was not being torn down\n");
	assert_int_equal(client_gpadl_teardown(f->client, 1, gpadl), 0);
	assert_int_equal(client_gpadl_teardown(f->client, 1, gpadl), -1);
	host_gpadl_torndown(f, gpadl);
	expect(f, "< GPADL_TEARDOWN 1 gpadl=1\ngpadl_torndown 1 gpadl=1\n");
	host_gpadl_torndown(f, gpadl);
	expect(f, "fault GPADL_TORNDOWN: that GPADL was not being torn down\n");
	fixture_end(f);
}

static void a_gpadl_that_failed_is_gone(void **state)
{
	static const uint64_t pfn = 7;
	struct bus_gpa_range range = { 4096, 0, &pfn };
	struct fixture *f = connected();
	uint32_t gpadl;

	(void)state;
	client_gpadl_create(f->client, 1, &range, 1, &gpadl);
	forget(f);
	host_gpadl_created(f, 1, gpadl, BUS_STATUS_INSUFFICIENT_RESOURCES);
	expect(f, "gpadl_created 1 gpadl=1 0xc000009a\n");
	assert_int_equal(client_gpadl_teardown(f->client, 1, gpadl), -1);
	fixture_end(f);
}

static void answers_to_nothing_asked(void **state)
{
	struct fixture *f = connected();

	(void)state;
	host_version(f, true, 4);
	expect(f, "fault VERSION_RESPONSE: no contact was being made\n");
	host_header_only(f, WIRE_UNLOAD_COMPLETE);
	expect(f, "fault UNLOAD_COMPLETE: there was no UNLOAD\n");
	host_modify_response(f, 1, BUS_STATUS_SUCCESS);
	host_modify_response(f, 9, BUS_STATUS_SUCCESS);
	expect(f, "fault MODIFY_CHANNEL_RESPONSE: answers no request\n"
	          "fault MODIFY_CHANNEL_RESPONSE: answers no request\n");
	host_channel_message(f, WIRE_CLOSE_RESERVED_RESPONSE, 1);
	expect(f, "fault CLOSE_RESERVED_RESPONSE: answers nothing that was asked\n");
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 9);
	expect(f, "fault RESCIND_CHANNEL_OFFER: no channel of that id\n");
	host_header_only(f, WIRE_ALL_OFFERS_DELIVERED);
	host_header_only(f, WIRE_ALL_OFFERS_DELIVERED);
	expect(f, "offers_delivered\nfault ALL_OFFERS_DELIVERED: said before\n");
	fixture_end(f);
}

static void messages_before_a_version_is_agreed(void **state)
{
	struct fixture *f = client_fixture();
	struct client_contact contact = { .version_max = WIRE_VERSION_5_3 };

	(void)state;
	host_offer(f, 1);
	expect(f, "fault OFFER_CHANNEL: not in the agreed version\n");
	client_connect(f->client, &contact);
	forget(f);
	host_offer(f, 1);
	host_header_only(f, WIRE_UNLOAD_COMPLETE);
	expect(f, "fault OFFER_CHANNEL: not in the agreed version\n"
	          "fault UNLOAD_COMPLETE: not in the agreed version\n");
	fixture_end(f);
}

static void messages_cut_short(void **state)
{
	static const struct {
		uint32_t type;
		size_t size;
	} cases[] = {
		{ WIRE_OFFER_CHANNEL, 196 },      { WIRE_RESCIND_CHANNEL_OFFER, 12 },
		{ WIRE_OPEN_CHANNEL_RESULT, 20 }, { WIRE_GPADL_CREATED, 20 },
		{ WIRE_GPADL_TORNDOWN, 12 },      { WIRE_VERSION_RESPONSE, 16 },
		{ WIRE_TL_CONNECT_RESULT, 44 },   { WIRE_MODIFY_CHANNEL_RESPONSE, 16 },
	};
	uint8_t bytes[WIRE_MESSAGE_MAX + 1] = { 0 };
	struct fixture *f = connected();
	char line[100];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bytes[0] = (uint8_t)cases[i].type;
		snprintf(line, sizeof(line), "fault %s: too short\n",
		         wire_message_name(cases[i].type));
		for (size_t size = 8; size < cases[i].size; size++) {
			host_message(f, bytes, size);
			expect(f, line);
		}
	}
	for (size_t size = 0; size < 8; size++) {
		host_message(f, bytes, size);
		expect(f, "fault unknown: too short\n");
	}
	client_message(f->client, bytes, sizeof(bytes));
	expect(f, "fault unknown: too long\n");
	fixture_end(f);
}

/* ---------------- modify, TL connect ---------------- */

static void modify_is_answered_from_5_3_on(void **state)
{
	struct fixture *f = connected();

	(void)state;
	assert_int_equal(client_modify(f->client, 1, 2), -1);
	open_channel(f);
	assert_int_equal(client_modify(f->client, 1, 2), 0);
	assert_int_equal(client_modify(f->client, 1, 3), -1); /* one at a time */
	expect(f, "< MODIFY_CHANNEL 1 vp=2\n");
	host_modify_response(f, 1, BUS_STATUS_SUCCESS);
	expect(f, "modified 1 0x0\n");
	fixture_end(f);
}

static void modify_before_5_3(void **state)
{
	static const uint32_t versions[] = { WIRE_VERSION_5_2, WIRE_VERSION_4_0 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct fixture *f = client_fixture();

		client_connect_at(f, versions[i]);
		host_offer(f, 1);
		open_channel(f);
		assert_int_equal(client_modify(f->client, 1, 2), i == 0 ? 0 : -1);
		expect(f, i == 0 ? "< MODIFY_CHANNEL 1 vp=2\nmodified 1 0x0\n" : "");
		fixture_end(f);
	}
}

static void close_before_modify_was_answered(void **state)
{
	struct fixture *f = connected();

	(void)state;
	open_channel(f);
	for (uint32_t open_id = 2; open_id < 4; open_id++) {
		client_modify(f->client, 1, 2);
		forget(f);
		assert_int_equal(client_close(f->client, 1), 0);
		expect(f, "< CLOSE_CHANNEL 1\nmodified 1 0xc0000001\n");
		client_open(f->client, 1, &ring);
		if (open_id == 2) /* this host answers late, another one does not */
			host_modify_response(f, 1, BUS_STATUS_SUCCESS);
		host_open_result(f, 1, open_id, BUS_STATUS_SUCCESS);
		forget(f);
		host_modify_response(f, 1, BUS_STATUS_SUCCESS);
		expect(f, "fault MODIFY_CHANNEL_RESPONSE: answers no request\n");
	}
	fixture_end(f);
}

static void tl_connect_by_version(void **state)
{
	static const struct {
		uint32_t version;
		const char *line;
	} cases[] = {
		{ WIRE_VERSION_3_0, "tl_result e s 0xc0000236\n" },
		{ WIRE_VERSION_4_0, "< TL_CONNECT_REQUEST size=40 to=1\n" },
		{ WIRE_VERSION_5_1, "< TL_CONNECT_REQUEST size=40 to=68\n" },
		{ WIRE_VERSION_5_2, "< TL_CONNECT_REQUEST size=56 to=68\n" },
	};
	const struct bus_guid endpoint = { "e" }, service = { "s" };
	struct wire_tl_connect_result m = {
		.header.type = WIRE_TL_CONNECT_RESULT,
		.endpoint_id = "e",
		.service_id = "s",
		.status = BUS_STATUS_CONNECTION_REFUSED,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = client_fixture();

		client_connect_at(f, cases[i].version);
		client_tl_connect(f->client, &endpoint, &service);
		expect(f, cases[i].line);
		host_message(f, &m, sizeof(m));
		expect(f, cases[i].version < WIRE_VERSION_4_1
		                  ? "fault TL_CONNECT_RESULT: not in the agreed version\n"
		                  : "tl_result e s 0xc0000236\n");
		fixture_end(f);
	}
}

/* ---------------- the end of a channel, and of the host ---------------- */

static void a_rescind_answers_what_is_pending(void **state)
{
	static const uint64_t pfn = 7;
	struct bus_gpa_range range = { 4096, 0, &pfn };
	struct fixture *f = connected();
	uint32_t held = client_gpadl_of(f, 1, 1), leaving = client_gpadl_of(f, 1, 1), asked;

	(void)state;
	client_gpadl_teardown(f->client, 1, leaving);
	client_gpadl_create(f->client, 1, &range, 1, &asked);
	client_open(f->client, 1, &ring);
	forget(f);
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 1);
	expect(f, "opened 1 open=1 0xc0000001\n"
	          "gpadl_created 1 gpadl=3 0xc0000001\n"
	          "gpadl_torndown 1 gpadl=2\n"
	          "rescind 1\n");
	/* What the host says late is not wrong, and not heard. */
	host_open_result(f, 1, 1, BUS_STATUS_SUCCESS);
	host_gpadl_created(f, 1, asked, BUS_STATUS_SUCCESS);
	host_gpadl_torndown(f, leaving);
	host_modify_response(f, 1, BUS_STATUS_SUCCESS);
	expect(f, "");
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 1);
	expect(f, "fault RESCIND_CHANNEL_OFFER: rescinded before\n");
	/* This end closes down without the host. */
	assert_int_equal(client_open(f->client, 1, &ring), -1);
	assert_int_equal(client_gpadl_create(f->client, 1, &range, 1, &asked), -1);
	assert_int_equal(client_gpadl_teardown(f->client, 1, held), 0);
	expect(f, "gpadl_torndown 1 gpadl=1\n");
	assert_int_equal(client_release(f->client, 1), 0);
	assert_int_equal(client_release(f->client, 1), -1);
	expect(f, "< RELID_RELEASED 1\n");
	fixture_end(f);
}

static void late_answers_after_the_release(void **state)
{
	static const uint64_t pfn = 7;
	struct bus_gpa_range range = { 4096, 0, &pfn };
	struct fixture *f = connected();
	uint32_t gpadl;

	(void)state;
	client_gpadl_create(f->client, 1, &range, 1, &gpadl);
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 1);
	client_release(f->client, 1);
	forget(f);
	host_gpadl_created(f, 1, gpadl, BUS_STATUS_SUCCESS);
	expect(f, ""); /* the two crossed */
	host_gpadl_created(f, 1, gpadl, BUS_STATUS_SUCCESS);
	expect(f, "fault GPADL_CREATED: that GPADL was not asked for\n");
	fixture_end(f);
}

static void a_rescind_while_open(void **state)
{
	struct fixture *f = connected();

	(void)state;
	assert_int_equal(client_release(f->client, 1), -1); /* not rescinded */
	open_channel(f);
	client_modify(f->client, 1, 2);
	forget(f);
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 1);
	expect(f, "modified 1 0xc0000001\nrescind 1\n");
	assert_int_equal(client_release(f->client, 1), -1); /* still open here */
	assert_int_equal(client_close(f->client, 1), 0);
	assert_int_equal(client_close(f->client, 1), -1);
	expect(f, "");
	assert_int_equal(client_release(f->client, 1), 0);
	expect(f, "< RELID_RELEASED 1\n");
	fixture_end(f);
}

static void release_with_gpadls_left(void **state)
{
	struct fixture *f = connected();
	uint32_t gpadl = client_gpadl_of(f, 1, 1);

	(void)state;
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 1);
	forget(f);
	assert_int_equal(client_release(f->client, 1), 0);
	expect(f, "< RELID_RELEASED 1\n");
	assert_int_equal(client_gpadl_teardown(f->client, 1, gpadl), -1);
	fixture_end(f);
}

static void the_host_is_gone(void **state)
{
	static const uint64_t pfn = 7;
	struct bus_gpa_range range = { 4096, 0, &pfn };
	struct fixture *f = connected();
	uint32_t gpadl;

	(void)state;
	host_offer(f, 2);
	host_offer(f, 3);
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 3);
	client_gpadl_create(f->client, 2, &range, 1, &gpadl);
	open_channel(f);
	client_reset(f->client);
	expect(f, "rescind 1\ngpadl_created 2 gpadl=1 0xc0000001\nrescind 2\n");
	assert_int_equal(client_version(f->client), 0);
	for (uint32_t id = 1; id <= 3; id++)
		assert_int_equal(client_release(f->client, id), -1);
	assert_int_equal(f->memory.blocks, 1);
	client_connect_at(f, WIRE_VERSION_5_3);
	/* Ids are not used again soon. */
	host_offer(f, 1);
	assert_int_equal(client_gpadl_of(f, 1, 1), 2);
	fixture_end(f);
}

static void the_host_is_gone_while_saying_goodbye(void **state)
{
	struct fixture *f = connected();
	uint32_t gpadl = client_gpadl_of(f, 1, 1);

	(void)state;
	client_unload(f->client);
	forget(f);
	assert_int_equal(client_open(f->client, 1, &ring), -1);
	assert_int_equal(client_gpadl_teardown(f->client, 1, gpadl), 0);
	client_reset(f->client);
	expect(f, "gpadl_torndown 1 gpadl=1\nrescind 1\nunloaded\n");
	client_reset(f->client);
	expect(f, "");
	fixture_end(f);
}

static void goodbye_ends_all_channels(void **state)
{
	struct fixture *f = connected();

	(void)state;
	open_channel(f);
	client_modify(f->client, 1, 2);
	client_unload(f->client);
	forget(f);
	assert_int_equal(client_close(f->client, 1), 0); /* not said any more */
	expect(f, "modified 1 0xc0000001\n");
	host_header_only(f, WIRE_UNLOAD_COMPLETE);
	expect(f, "rescind 1\nunloaded\n");
	assert_int_equal(f->memory.blocks, 1);
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_offer_for_an_id_in_use),
		cmocka_unit_test(an_offer_with_ids_out_of_range),
		cmocka_unit_test(an_open_result_for_nothing_open),
		cmocka_unit_test(an_open_that_failed_may_be_tried_again),
		cmocka_unit_test(gpadl_answers_for_unknown_ids),
		cmocka_unit_test(a_gpadl_torn_down_twice),
		cmocka_unit_test(a_gpadl_that_failed_is_gone),
		cmocka_unit_test(answers_to_nothing_asked),
		cmocka_unit_test(messages_before_a_version_is_agreed),
		cmocka_unit_test(messages_cut_short),
		cmocka_unit_test(modify_is_answered_from_5_3_on),
		cmocka_unit_test(modify_before_5_3),
		cmocka_unit_test(close_before_modify_was_answered),
		cmocka_unit_test(tl_connect_by_version),
		cmocka_unit_test(a_rescind_answers_what_is_pending),
		cmocka_unit_test(late_answers_after_the_release),
		cmocka_unit_test(a_rescind_while_open),
		cmocka_unit_test(release_with_gpadls_left),
		cmocka_unit_test(the_host_is_gone),
		cmocka_unit_test(the_host_is_gone_while_saying_goodbye),
		cmocka_unit_test(goodbye_ends_all_channels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
