/* SPDX-License-Identifier: BSD-2-Clause */

/* What a guest must not say, and requests apart from channels: sizes, versions, TL connect. */

#include "fixture.h"

#include <stdio.h>

static void messages_cut_short(void **state)
{
	static const struct {
		uint32_t type;
		size_t size;
	} cases[] = {
		{ WIRE_OPEN_CHANNEL, 148 },          { WIRE_CLOSE_CHANNEL, 12 },
		{ WIRE_GPADL_HEADER, 20 },           { WIRE_GPADL_BODY, 16 },
		{ WIRE_GPADL_TEARDOWN, 16 },         { WIRE_RELID_RELEASED, 12 },
		{ WIRE_INITIATE_CONTACT, 40 },       { WIRE_OPEN_RESERVED_CHANNEL, 28 },
		{ WIRE_CLOSE_RESERVED_CHANNEL, 20 }, { WIRE_TL_CONNECT_REQUEST, 40 },
		{ WIRE_MODIFY_CHANNEL, 16 },
	};
	uint8_t bytes[WIRE_MESSAGE_MAX + 1] = { 0 };
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	char line[100];

	(void)state;
	connect_at(f, WIRE_VERSION_5_3);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bytes[0] = (uint8_t)cases[i].type;
		snprintf(line, sizeof(line), "fault %s: too short\n",
		         wire_message_name(cases[i].type));
		for (size_t size = 8; size < cases[i].size; size++) {
			server_message(f->server, bytes, size);
			expect(f, line);
		}
	}
	for (size_t size = 0; size < 8; size++) {
		server_message(f->server, bytes, size);
		expect(f, "fault unknown: too short\n");
	}
	server_message(f->server, bytes, sizeof(bytes));
	expect(f, "fault unknown: too long\n");
	fixture_end(f);
}

static void unknown_types(void **state)
{
	static const uint32_t types[] = { 0, 30, 255, 0xffffffff };
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);

	(void)state;
	connect_at(f, WIRE_VERSION_6_0);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		guest_header_only(f, types[i]);
		expect(f, "fault unknown: unknown type\n");
	}
	fixture_end(f);
}

static void nothing_passes_before_contact(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	uint8_t bytes[WIRE_MESSAGE_MAX] = { 0 };
	char line[100];

	(void)state;
	for (uint32_t type = 1; type < WIRE_MESSAGE_TYPES; type++) {
		static const uint32_t gated[] = {
			WIRE_REQUEST_OFFERS,
			WIRE_OPEN_CHANNEL,
			WIRE_CLOSE_CHANNEL,
			WIRE_GPADL_HEADER,
			WIRE_GPADL_BODY,
			WIRE_GPADL_TEARDOWN,
			WIRE_RELID_RELEASED,
			WIRE_UNLOAD,
			WIRE_OPEN_RESERVED_CHANNEL,
			WIRE_TL_CONNECT_REQUEST,
			WIRE_MODIFY_CHANNEL,
			WIRE_MODIFY_CONNECTION,
			WIRE_PAUSE,
			WIRE_RESUME,
		};

		for (size_t i = 0; i < sizeof(gated) / sizeof(gated[0]); i++) {
			if (gated[i] != type)
				continue;
			bytes[0] = (uint8_t)type;
			server_message(f->server, bytes, sizeof(bytes));
			snprintf(line, sizeof(line), "fault %s: not in the agreed version\n",
			         wire_message_name(type));
			expect(f, line);
		}
	}
	fixture_end(f);
}

static void messages_the_version_does_not_have(void **state)
{
	static const struct {
		uint32_t type, version;
	} cases[] = {
		{ WIRE_OPEN_RESERVED_CHANNEL, WIRE_VERSION_3_0 },
		{ WIRE_TL_CONNECT_REQUEST, WIRE_VERSION_3_0 },
		{ WIRE_MODIFY_CHANNEL, WIRE_VERSION_4_0 },
		{ WIRE_MODIFY_CONNECTION, WIRE_VERSION_5_3 },
		{ WIRE_PAUSE, WIRE_VERSION_5_3 },
		{ WIRE_RESUME, WIRE_VERSION_5_3 },
	};
	uint8_t bytes[WIRE_MESSAGE_MAX] = { 0 };
	char line[100];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);

		connect_at(f, cases[i].version);
		bytes[0] = (uint8_t)cases[i].type;
		server_message(f->server, bytes, sizeof(bytes));
		snprintf(line, sizeof(line), "fault %s: not in the agreed version\n",
		         wire_message_name(cases[i].type));
		expect(f, line);
		fixture_end(f);
	}
}

static void pausing_is_not_offered(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);

	(void)state;
	connect_at(f, WIRE_VERSION_6_0);
	guest_header_only(f, WIRE_PAUSE);
	guest_header_only(f, WIRE_RESUME);
	expect(f, "fault PAUSE: not in the agreed features\n"
	          "fault RESUME: not in the agreed features\n");
	fixture_end(f);
}

static void no_channel_is_reserved(void **state)
{
	struct wire_open_reserved_channel open = {
		.header.type = WIRE_OPEN_RESERVED_CHANNEL,
		.channel_id = 1,
	};
	struct wire_close_reserved_channel close = {
		.header.type = WIRE_CLOSE_RESERVED_CHANNEL,
		.channel_id = 1,
	};
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);

	(void)state;
	server_message(f->server, &close, sizeof(close)); /* may come before contact */
	expect(f, "fault CLOSE_RESERVED_CHANNEL: no channel is reserved here\n");
	connect_at(f, WIRE_VERSION_5_3);
	offer(f, "A");
	forget(f);
	server_message(f->server, &open, sizeof(open));
	server_message(f->server, &close, sizeof(close));
	expect(f, "fault OPEN_RESERVED_CHANNEL: no channel is reserved here\n"
	          "fault CLOSE_RESERVED_CHANNEL: no channel is reserved here\n");
	fixture_end(f);
}

static void modify_in_the_wrong_state(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct server_channel *channel;
	struct wire_open_channel m = {
		.header.type = WIRE_OPEN_CHANNEL,
		.channel_id = 1,
		.ring_gpadl = 1,
		.ring_offset = 4,
		.target_vp = WIRE_VP_NO_INTERRUPT,
	};

	(void)state;
	connect_at(f, WIRE_VERSION_5_3);
	channel = offer_with_gpadl(f, "A");
	guest_modify(f, 9, 1);
	expect(f, "fault MODIFY_CHANNEL: no channel of that id\n");
	guest_modify(f, 1, 1);
	expect(f,
	       "fault MODIFY_CHANNEL: the channel is not open\n> MODIFY_RESPONSE 1 0xc0000001\n");
	server_message(f->server, &m, 148);
	server_open_done(f->server, channel, BUS_STATUS_SUCCESS);
	forget(f);
	guest_modify(f, 1, 1);
	expect(f, "fault MODIFY_CHANNEL: the channel has no interrupt\n> MODIFY_RESPONSE 1 "
	          "0xc0000001\n");
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	server_close_done(f->server, channel);
	guest_open(f, 1, 5, 1);
	server_open_done(f->server, channel, BUS_STATUS_SUCCESS);
	forget(f);
	guest_modify(f, 1, WIRE_VP_NO_INTERRUPT);
	expect(f, "fault MODIFY_CHANNEL: no target VP\n> MODIFY_RESPONSE 1 0xc0000001\n");
	fixture_end(f);
}

/* ---------------- TL connect ---------------- */

static void guest_tl_connect(struct fixture *f, size_t size)
{
	struct wire_tl_connect_request m = {
		.header.type = WIRE_TL_CONNECT_REQUEST,
		.endpoint_id = "e",
		.service_id = "s",
		.silo_id = { 3 },
	};

	server_message(f->server, &m, size);
}

static void tl_connect_by_version(void **state)
{
	static const struct {
		uint32_t version;
		size_t size;
		const char *asked, *answered;
	} cases[] = {
		{ WIRE_VERSION_4_0, 40, "tl_connect e s 0\n", "" },
		{ WIRE_VERSION_4_1, 40, "tl_connect e s 0\n", "> TL_RESULT e s 0xc0000236\n" },
		{ WIRE_VERSION_5_1, 56, "tl_connect e s 0\n", "> TL_RESULT e s 0xc0000236\n" },
		{ WIRE_VERSION_5_2, 56, "tl_connect e s 3\n", "> TL_RESULT e s 0xc0000236\n" },
		/* Linux sends the short form at every version. */
		{ WIRE_VERSION_5_3, 40, "tl_connect e s 0\n", "> TL_RESULT e s 0xc0000236\n" },
	};
	const struct bus_guid endpoint = { "e" }, service = { "s" };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);

		connect_at(f, cases[i].version);
		guest_tl_connect(f, cases[i].size);
		expect(f, cases[i].asked);
		server_tl_result(f->server, &endpoint, &service, BUS_STATUS_SUCCESS);
		expect(f, ""); /* the offer says it */
		server_tl_result(f->server, &endpoint, &service, BUS_STATUS_CONNECTION_REFUSED);
		expect(f, cases[i].answered);
		server_reset(f->server);
		forget(f);
		server_tl_result(f->server, &endpoint, &service, BUS_STATUS_CONNECTION_REFUSED);
		expect(f, ""); /* nobody is there */
		fixture_end(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_cut_short),
		cmocka_unit_test(unknown_types),
		cmocka_unit_test(nothing_passes_before_contact),
		cmocka_unit_test(messages_the_version_does_not_have),
		cmocka_unit_test(pausing_is_not_offered),
		cmocka_unit_test(no_channel_is_reserved),
		cmocka_unit_test(modify_in_the_wrong_state),
		cmocka_unit_test(tl_connect_by_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
