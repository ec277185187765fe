/* SPDX-License-Identifier: BSD-2-Clause */

/* What an offer says at each version, its ids, and how signals for it travel. */

#include "fixture.h"

#include <string.h>

static struct bus_offer full_offer(void)
{
	struct bus_offer o = offer_named("A");

	o.flags = 0xffff;
	o.mmio_megabytes = 8;
	o.mmio_megabytes_optional = 16;
	o.subchannel_index = 3;
	o.monitor_allocated = true;
	o.user_defined[0] = 1;
	o.user_defined[119] = 2;
	return o;
}

static char owner[] = "A";

static void ids_are_known_at_once(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct bus_offer o = full_offer();
	struct server_channel *channel;

	(void)state;
	assert_int_equal(server_offer(f->server, &o, owner, &channel), 0);
	assert_int_equal(o.channel_id, 1);
	assert_int_equal(o.connection_id, 0x2001);
	assert_true(o.monitor_allocated);
	assert_int_equal(o.monitor_id, 0);
	expect(f, "");
	fixture_end(f);
}

static void flags_and_size_follow_the_version(void **state)
{
	static const struct {
		uint32_t version;
		const char *line;
	} cases[] = {
		{ WIRE_VERSION_0_13,
		  "> OFFER_CHANNEL 1 'A' conn=0x0 dedicated=0 monitor=1/0 flags=0x11 size=190\n" },
		{ WIRE_VERSION_1_1, "> OFFER_CHANNEL 1 'A' conn=0x2001 dedicated=1 monitor=1/0 "
		                    "flags=0x11 size=196\n" },
		{ WIRE_VERSION_3_0, "> OFFER_CHANNEL 1 'A' conn=0x2001 dedicated=1 monitor=1/0 "
		                    "flags=0x11 size=196\n" },
		{ WIRE_VERSION_4_0, "> OFFER_CHANNEL 1 'A' conn=0x2001 dedicated=1 monitor=1/0 "
		                    "flags=0x2011 size=196\n" },
		{ WIRE_VERSION_6_0, "> OFFER_CHANNEL 1 'A' conn=0x2001 dedicated=1 monitor=1/0 "
		                    "flags=0x2011 size=196\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
		struct bus_offer o = full_offer();
		struct server_channel *channel;

		connect_at(f, cases[i].version);
		server_offer(f->server, &o, owner, &channel);
		expect(f, cases[i].line);
		fixture_end(f);
	}
}

static void shared_interrupts_end_with_2_4(void **state)
{
	static const struct {
		uint32_t version;
		const char *line, *open;
	} cases[] = {
		{ WIRE_VERSION_0_13,
		  "> OFFER_CHANNEL 1 'A' conn=0x0 dedicated=0 monitor=0/255 flags=0x0 size=190\n",
		  "open A open=5 gpadl=1 offset=4 vp=0 conn=0x2 flag=1 data=9\n" },
		{ WIRE_VERSION_1_1,
		  "> OFFER_CHANNEL 1 'A' conn=0x2 dedicated=0 monitor=0/255 flags=0x0 size=196\n",
		  "open A open=5 gpadl=1 offset=4 vp=0 conn=0x2 flag=1 data=9\n" },
		{ WIRE_VERSION_2_4,
		  "> OFFER_CHANNEL 1 'A' conn=0x2001 dedicated=1 monitor=0/255 flags=0x0 "
		  "size=196\n",
		  "open A open=5 gpadl=1 offset=4 vp=3 conn=0x2001 flag=1 data=9\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
		struct bus_offer o = offer_named("A");
		struct server_channel *channel;

		connect_at(f, cases[i].version);
		o.dedicated_interrupt = false;
		server_offer(f->server, &o, owner, &channel);
		assert_int_equal(o.connection_id, 2);
		expect(f, cases[i].line);
		guest_gpadl(f, 1, 1, 8);
		server_gpadl_done(f->server, channel, 1, BUS_STATUS_SUCCESS);
		forget(f);
		guest_open(f, 1, 5, 1);
		expect(f, cases[i].open);
		fixture_end(f);
	}
}

static void the_client_knows_how_signals_travel(void **state)
{
	static const struct {
		uint32_t version;
		bool shared, shared_if_dedicated, hears_shared;
	} cases[] = {
		{ WIRE_VERSION_0_13, true, true, true },
		{ WIRE_VERSION_1_1, true, false, true },
		{ WIRE_VERSION_2_4, true, false, false },
		{ WIRE_VERSION_4_1, true, false, false },
		{ WIRE_VERSION_5_0, false, false, false },
		{ WIRE_VERSION_6_0, false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = client_fixture();
		struct bus_offer o = { .dedicated_interrupt = false };

		client_connect_at(f, cases[i].version);
		assert_int_equal(client_uses_shared_interrupt(f->client, &o), cases[i].shared);
		o.dedicated_interrupt = true;
		assert_int_equal(client_uses_shared_interrupt(f->client, &o),
		                 cases[i].shared_if_dedicated);
		assert_int_equal(client_hears_shared_interrupt(f->client), cases[i].hears_shared);
		fixture_end(f);
	}
}

static void the_client_reads_what_the_version_has(void **state)
{
	struct wire_offer_channel m = {
		.header.type = WIRE_OFFER_CHANNEL,
		.interface_instance = "A",
		.flags = 0xffff,
		.mmio_megabytes = 8,
		.subchannel_index = 3,
		.mmio_megabytes_optional = 16,
		.channel_id = 2047,
		.monitor_id = 127,
		.monitor_allocated = 0xff,
		.dedicated_interrupt = 0xffff,
		.connection_id = 0x27ff,
	};
	static const struct {
		uint32_t version;
		size_t size;
		const char *lines;
	} cases[] = {
		{ WIRE_VERSION_0_13, 190,
		  "offer 2047 'A' conn=0x2 dedicated=0 monitor=1/127 sub=0 mmio=8+0 flags=0x11\n" },
		{ WIRE_VERSION_1_1, 196,
		  "offer 2047 'A' conn=0x27ff dedicated=1 monitor=1/127 sub=0 mmio=8+0 "
		  "flags=0x11\n" },
		{ WIRE_VERSION_2_4, 196,
		  "offer 2047 'A' conn=0x27ff dedicated=1 monitor=1/127 sub=3 mmio=8+16 "
		  "flags=0x11\n" },
		{ WIRE_VERSION_5_3, 196,
		  "offer 2047 'A' conn=0x27ff dedicated=1 monitor=1/127 sub=3 mmio=8+16 "
		  "flags=0x2011\n" },
		{ WIRE_VERSION_5_3, 195, "fault OFFER_CHANNEL: too short\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = client_fixture();

		client_connect_at(f, cases[i].version);
		host_message(f, &m, cases[i].size);
		expect(f, cases[i].lines);
		fixture_end(f);
	}
}

static void monitors_need_the_guests_pages(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct wire_initiate_contact m = {
		.header.type = WIRE_INITIATE_CONTACT,
		.version = WIRE_VERSION_5_3,
		.target_sint = 2,
	};
	struct bus_offer o = full_offer();
	struct server_channel *channel;

	(void)state;
	o.flags = 0;
	server_offer(f->server, &o, owner, &channel);
	guest_contact_with(f, &m, 40);
	server_contact_done(f->server, true);
	forget(f);
	guest_header_only(f, WIRE_REQUEST_OFFERS);
	expect(f, "> OFFER_CHANNEL 1 'A' conn=0x2001 dedicated=1 monitor=0/255 flags=0x0 size=196\n"
	          "> ALL_OFFERS_DELIVERED size=8\n");
	fixture_end(f);
}

static void monitor_ids_run_out_and_come_back(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct server_channel *channels[WIRE_MONITOR_IDS + 1];
	struct bus_offer o;

	(void)state;
	for (uint32_t i = 0; i <= WIRE_MONITOR_IDS; i++) {
		o = full_offer();
		o.subchannel_index = (uint16_t)i;
		assert_int_equal(server_offer(f->server, &o, owner, &channels[i]), 0);
		assert_int_equal(o.monitor_allocated, i < WIRE_MONITOR_IDS);
		assert_int_equal(o.monitor_id, i < WIRE_MONITOR_IDS ? i : WIRE_MONITOR_ID_NONE);
	}
	server_revoke(f->server, channels[77]);
	o = full_offer();
	o.subchannel_index = 1000;
	assert_int_equal(server_offer(f->server, &o, owner, &channels[77]), 0);
	assert_int_equal(o.monitor_id, 77);
	assert_int_equal(o.channel_id, 78);
	fixture_end(f);
}

static void an_offer_is_made_once(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct bus_offer o = offer_named("A");
	struct server_channel *channel;

	(void)state;
	assert_int_equal(server_offer(f->server, &o, owner, &channel), 0);
	assert_int_equal(server_offer(f->server, &o, owner, &channel), -2);
	o.subchannel_index = 1;
	assert_int_equal(server_offer(f->server, &o, owner, &channel), 0);
	assert_int_equal(o.channel_id, 2);
	fixture_end(f);
}

static void offers_are_requested_once(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);

	(void)state;
	connect_at(f, WIRE_VERSION_5_3);
	guest_header_only(f, WIRE_REQUEST_OFFERS);
	expect(f, "fault REQUEST_OFFERS: offers were requested already\n");
	fixture_end(f);
}

static void offers_wait_until_they_are_requested(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);

	(void)state;
	guest_contact(f, WIRE_VERSION_5_3);
	server_contact_done(f->server, true);
	forget(f);
	offer(f, "B");
	offer(f, "A");
	expect(f, "");
	guest_open(f, 1, 5, 1);
	expect(f, "fault OPEN_CHANNEL: no channel of that id\n");
	guest_header_only(f, WIRE_REQUEST_OFFERS);
	expect(f, "> OFFER_CHANNEL 1 'B' conn=0x2001 dedicated=1 monitor=0/255 flags=0x0 size=196\n"
	          "> OFFER_CHANNEL 2 'A' conn=0x2002 dedicated=1 monitor=0/255 flags=0x0 size=196\n"
	          "> ALL_OFFERS_DELIVERED size=8\n");
	fixture_end(f);
}

static void all_channel_ids_are_used(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct server_channel *channel, *some = NULL;
	struct bus_offer o = offer_named("A");

	(void)state;
	for (uint32_t i = 1; i <= WIRE_CHANNEL_ID_MAX; i++) {
		o.subchannel_index = (uint16_t)i;
		assert_int_equal(server_offer(f->server, &o, owner, &channel), 0);
		assert_int_equal(o.channel_id, i);
		if (i == 1234)
			some = channel;
	}
	o.subchannel_index = 0;
	assert_int_equal(server_offer(f->server, &o, owner, &channel), -1);
	server_revoke(f->server, some);
	assert_int_equal(server_offer(f->server, &o, owner, &channel), 0);
	assert_int_equal(o.channel_id, 1234);
	fixture_end(f);
}

/* ---------------- 6.0: the guest says how it signals ---------------- */

static struct fixture *connected_with_signal_parameters(void)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct wire_initiate_contact m = {
		.header.type = WIRE_INITIATE_CONTACT,
		.version = WIRE_VERSION_6_0,
		.target_sint = 2,
		.feature_flags = WIRE_FEATURE_SIGNAL_PARAMETERS,
	};

	guest_contact_with(f, &m, 40);
	server_contact_done(f->server, true);
	guest_header_only(f, WIRE_REQUEST_OFFERS);
	forget(f);
	return f;
}

static void open_with(struct fixture *f, uint32_t channel_id, uint32_t connection_id,
                      uint16_t event_flag, size_t size)
{
	struct wire_open_channel m = {
		.header.type = WIRE_OPEN_CHANNEL,
		.channel_id = channel_id,
		.open_id = 5,
		.ring_gpadl = 1,
		.ring_offset = 4,
		.connection_id = connection_id,
		.event_flag = event_flag,
	};

	server_message(f->server, &m, size);
}

static void signal_parameters_are_taken(void **state)
{
	struct fixture *f = connected_with_signal_parameters();
	struct server_channel *channel = offer_with_gpadl(f, "A");

	(void)state;
	open_with(f, 1, 0x22001, 2047, 156);
	expect(f, "open A open=5 gpadl=1 offset=4 vp=0 conn=0x22001 flag=2047 data=0\n");
	server_open_done(f->server, channel, BUS_STATUS_UNSUCCESSFUL);
	forget(f);
	open_with(f, 1, 0x2001, 1, 156); /* its own */
	expect(f, "open A open=5 gpadl=1 offset=4 vp=0 conn=0x2001 flag=1 data=0\n");
	fixture_end(f);
}

static void bad_signal_parameters_are_refused(void **state)
{
	struct fixture *f = connected_with_signal_parameters();
	static const uint32_t taken[] = { 0, 1, 2, 4, 0x2002, 0x1000000, 0xffffffff };

	(void)state;
	offer_with_gpadl(f, "A");
	offer(f, "B");
	forget(f);
	open_with(f, 1, 0x2001, 1, 148);
	expect(f, "fault OPEN_CHANNEL: too short\n");
	open_with(f, 1, 0x2001, 2048, 156);
	expect(f, "fault OPEN_CHANNEL: event flag\n> OPEN_RESULT 1 open=5 0xc000000d\n");
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		open_with(f, 1, taken[i], 1, 156);
		expect(f, "fault OPEN_CHANNEL: connection id is taken or out of range\n"
		          "> OPEN_RESULT 1 open=5 0xc000000d\n");
	}
	fixture_end(f);
}

static void a_connection_id_of_an_open_channel_is_taken(void **state)
{
	struct fixture *f = connected_with_signal_parameters();

	(void)state;
	offer_with_gpadl(f, "A");
	open_with(f, 1, 0x5555, 1, 156);
	offer(f, "B");
	forget(f);
	open_with(f, 2, 0x5555, 1, 156);
	expect(f, "fault OPEN_CHANNEL: connection id is taken or out of range\n"
	          "> OPEN_RESULT 2 open=5 0xc000000d\n");
	fixture_end(f);
}

static void the_client_says_what_the_offer_said(void **state)
{
	struct wire_version_response m = {
		.header.type = WIRE_VERSION_RESPONSE,
		.version_supported = 1,
		.message_connection_id = 4,
		.feature_flags = WIRE_FEATURE_SIGNAL_PARAMETERS,
	};
	struct client_contact contact = {
		.version_max = WIRE_VERSION_6_0,
		.feature_flags = WIRE_FEATURE_SIGNAL_PARAMETERS,
	};
	struct client_open open = { .ring_gpadl = 9, .ring_offset = 4 };
	struct fixture *f = client_fixture();

	(void)state;
	client_connect(f->client, &contact);
	host_message(f, &m, WIRE_VERSION_RESPONSE_SIZE_6_0);
	host_offer(f, 7);
	forget(f);
	assert_int_equal(client_open(f->client, 7, &open), 0);
	expect(f, "< OPEN_CHANNEL 7 open=1 gpadl=9 vp=0 offset=4 data=0 conn=0x2007 flag=7 "
	          "size=156\n");
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_known_at_once),
		cmocka_unit_test(flags_and_size_follow_the_version),
		cmocka_unit_test(shared_interrupts_end_with_2_4),
		cmocka_unit_test(the_client_knows_how_signals_travel),
		cmocka_unit_test(the_client_reads_what_the_version_has),
		cmocka_unit_test(monitors_need_the_guests_pages),
		cmocka_unit_test(monitor_ids_run_out_and_come_back),
		cmocka_unit_test(an_offer_is_made_once),
		cmocka_unit_test(offers_are_requested_once),
		cmocka_unit_test(offers_wait_until_they_are_requested),
		cmocka_unit_test(all_channel_ids_are_used),
		cmocka_unit_test(signal_parameters_are_taken),
		cmocka_unit_test(bad_signal_parameters_are_refused),
		cmocka_unit_test(a_connection_id_of_an_open_channel_is_taken),
		cmocka_unit_test(the_client_says_what_the_offer_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
