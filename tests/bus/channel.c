/* SPDX-License-Identifier: BSD-2-Clause */

/* A channel's ordinary life at the server: offered, given memory, opened, closed, taken back. */

#include "fixture.h"

static void life_of_a_channel(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct server_channel *channel = offer(f, "A");

	(void)state;
	assert_string_equal(server_channel_state(channel), "not offered");
	guest_contact(f, WIRE_VERSION_5_3);
	expect(f, "contact 5.3 features=0x0 vp=0 sint=2 vtl=0 int=0x0 mon=0x1000,0x2000 id=0\n");
	server_contact_done(f->server, true);
	expect(f, "> VERSION_RESPONSE 1 state=0 value=0x4 features=0x0 size=16 vp=0 sint=2\n");
	guest_header_only(f, WIRE_REQUEST_OFFERS);
	expect(f, "> OFFER_CHANNEL 1 'A' conn=0x2001 dedicated=1 monitor=0/255 flags=0x0 size=196\n"
	          "> ALL_OFFERS_DELIVERED size=8\n");
	assert_string_equal(server_channel_state(channel), "offered");

	guest_gpadl(f, 1, 1, 8);
	expect(f, "gpadl A 1 32768@0:100-107\n");
	server_gpadl_done(f->server, channel, 1, BUS_STATUS_SUCCESS);
	expect(f, "> CREATED 1 gpadl=1 0x0\n");

	guest_open(f, 1, 5, 1);
	expect(f, "open A open=5 gpadl=1 offset=4 vp=3 conn=0x2001 flag=1 data=9\n");
	assert_string_equal(server_channel_state(channel), "opening");
	server_open_done(f->server, channel, BUS_STATUS_SUCCESS);
	expect(f, "> OPEN_RESULT 1 open=5 0x0\n");
	assert_string_equal(server_channel_state(channel), "open");

	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	expect(f, "close A\n");
	assert_string_equal(server_channel_state(channel), "closing");
	server_close_done(f->server, channel);
	expect(f, "");
	assert_string_equal(server_channel_state(channel), "offered");

	guest_teardown(f, 1, 1);
	expect(f, "teardown A 1\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "> TORNDOWN 1\n");

	server_revoke(f->server, channel);
	expect(f, "> RESCIND 1\nrevoked A\n");
	guest_channel_message(f, WIRE_RELID_RELEASED, 1);
	expect(f, "");
	fixture_end(f);
}

static void owner_refuses_to_open(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct server_channel *channel;

	(void)state;
	connect_at(f, WIRE_VERSION_5_3);
	channel = offer_with_gpadl(f, "A");
	guest_open(f, 1, 5, 1);
	forget(f);
	server_open_done(f->server, channel, BUS_STATUS_INSUFFICIENT_RESOURCES);
	expect(f, "> OPEN_RESULT 1 open=5 0xc000009a\n");
	assert_string_equal(server_channel_state(channel), "offered");
	guest_open(f, 1, 6, 1);
	expect(f, "open A open=6 gpadl=1 offset=4 vp=3 conn=0x2001 flag=1 data=9\n");
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(life_of_a_channel),
		cmocka_unit_test(owner_refuses_to_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
