/* SPDX-License-Identifier: BSD-2-Clause */

/* The races that specify the server: each by the name it has in the design. */

#include "fixture.h"

#include <stdio.h>

static struct fixture *connected(void)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);

	connect_at(f, WIRE_VERSION_5_3);
	return f;
}

/* ---------------- revoke ---------------- */

static void revoke_while_offered(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer(f, "A");

	(void)state;
	forget(f);
	server_revoke(f->server, channel);
	expect(f, "> RESCIND 1\nrevoked A\n");
	fixture_end(f);
}

static void revoke_before_any_guest_came(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct server_channel *channel = offer(f, "A");

	(void)state;
	server_revoke(f->server, channel);
	expect(f, "revoked A\n");
	offer(f, "A");
	fixture_end(f);
}

static void revoke_while_opening(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_with_gpadl(f, "A");

	(void)state;
	guest_open(f, 1, 5, 1);
	forget(f);
	server_revoke(f->server, channel);
	expect(f, "");
	assert_string_equal(server_channel_state(channel), "opening");
	/* The owner's yes comes too late, and what it opened is closed again. */
	server_open_done(f->server, channel, BUS_STATUS_SUCCESS);
	expect(f, "> OPEN_RESULT 1 open=5 0xc00002b6\nclose A\n");
	server_close_done(f->server, channel);
	expect(f, "teardown A 1\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "> RESCIND 1\nrevoked A\n");
	fixture_end(f);
}

static void revoke_while_opening_fails(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_with_gpadl(f, "A");

	(void)state;
	guest_open(f, 1, 5, 1);
	server_revoke(f->server, channel);
	forget(f);
	server_open_done(f->server, channel, BUS_STATUS_INSUFFICIENT_RESOURCES);
	expect(f, "> OPEN_RESULT 1 open=5 0xc00002b6\nteardown A 1\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "> RESCIND 1\nrevoked A\n");
	fixture_end(f);
}

static void revoke_while_open(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	server_revoke(f->server, channel);
	expect(f, "close A\n");
	server_close_done(f->server, channel);
	expect(f, "teardown A 1\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "> RESCIND 1\nrevoked A\n");
	fixture_end(f);
}

static void revoke_while_closing(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	forget(f);
	server_revoke(f->server, channel);
	expect(f, "");
	server_close_done(f->server, channel);
	expect(f, "teardown A 1\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "> RESCIND 1\nrevoked A\n");
	fixture_end(f);
}

static void revoke_while_closing_to_reopen(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	guest_open(f, 1, 6, 1);
	forget(f);
	server_revoke(f->server, channel);
	expect(f, "> OPEN_RESULT 1 open=6 0xc00002b6\n");
	server_close_done(f->server, channel);
	expect(f, "teardown A 1\n");
	fixture_end(f);
}

static void revoke_with_gpadls_pending(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_with_gpadl(f, "A");

	(void)state;
	guest_gpadl(f, 1, 2, 1); /* asked */
	guest_gpadl(f, 1, 3, 1); /* leaving */
	server_gpadl_done(f->server, channel, 3, BUS_STATUS_SUCCESS);
	guest_teardown(f, 1, 3);
	forget(f);

	/* 1 is held by both: the owner lets go, the guest's end stays. */
	server_revoke(f->server, channel);
	expect(f, "teardown A 1\n");
	/* 2 was taken too late: it is given back before the guest hears no. */
	server_gpadl_done(f->server, channel, 2, BUS_STATUS_SUCCESS);
	expect(f, "teardown A 2\n");
	server_gpadl_teardown_done(f->server, channel, 2);
	expect(f, "> CREATED 1 gpadl=2 0xc00002b6\n");
	server_gpadl_teardown_done(f->server, channel, 3);
	expect(f, "> TORNDOWN 3\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "> RESCIND 1\nrevoked A\n");

	/* The guest may still tear down what it has, and only once. */
	guest_teardown(f, 1, 1);
	expect(f, "> TORNDOWN 1\n");
	guest_teardown(f, 1, 1);
	expect(f, "fault GPADL_TEARDOWN: the channel has no GPADL of that id\n");
	fixture_end(f);
}

static void revoke_with_a_gpadl_half_built(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer(f, "A");
	uint64_t words[] = { range_word(8192, 0), 5, 6 };

	(void)state;
	guest_gpadl_header(f, 1, 7, 24, 1, words, 2);
	forget(f);
	server_revoke(f->server, channel);
	expect(f, "> RESCIND 1\nrevoked A\n");
	guest_gpadl_body(f, 7, words + 2, 1);
	expect(f, "> CREATED 1 gpadl=7 0x0\n");
	guest_channel_message(f, WIRE_RELID_RELEASED, 1);
	expect(f, "");
	fixture_end(f);
}

static void a_gpadl_on_a_revoked_channel_does_not_reach_the_owner(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer(f, "A");

	(void)state;
	server_revoke(f->server, channel);
	forget(f);
	guest_gpadl(f, 1, 7, 40);
	expect(f, "> CREATED 1 gpadl=7 0x0\n");
	guest_teardown(f, 1, 7);
	expect(f, "> TORNDOWN 7\n");
	fixture_end(f);
}

static void open_on_a_revoked_channel(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_with_gpadl(f, "A");

	(void)state;
	server_revoke(f->server, channel);
	forget(f);
	/* Before the rescind the guest is told no; after it, it knows. */
	guest_open(f, 1, 5, 1);
	expect(f, "> OPEN_RESULT 1 open=5 0xc00002b6\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "> RESCIND 1\nrevoked A\n");
	guest_open(f, 1, 6, 1);
	expect(f, "");
	fixture_end(f);
}

static void close_on_a_revoked_channel(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	server_revoke(f->server, channel);
	expect(f, "close A\n");
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	expect(f, "");
	server_close_done(f->server, channel);
	server_gpadl_teardown_done(f->server, channel, 1);
	forget(f);
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	expect(f, "");
	fixture_end(f);
}

static void modify_on_a_revoked_channel(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	server_revoke(f->server, channel);
	forget(f);
	/* Before the rescind the guest is told no; after it, it knows. */
	guest_modify(f, 1, 2);
	expect(f, "> MODIFY_RESPONSE 1 0xc0000001\n");
	server_close_done(f->server, channel);
	server_gpadl_teardown_done(f->server, channel, 1);
	forget(f);
	guest_modify(f, 1, 2);
	expect(f, "");
	fixture_end(f);
}

/* ---------------- close, open ---------------- */

static void close_then_open_before_the_close_was_answered(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	expect(f, "close A\n");
	/* What a Linux guest does: the rings' memory back, new rings, open. */
	guest_teardown(f, 1, 1);
	expect(f, "");
	guest_gpadl(f, 1, 2, 8);
	expect(f, "gpadl A 2 32768@0:100-107\n");
	server_gpadl_done(f->server, channel, 2, BUS_STATUS_SUCCESS);
	expect(f, "> CREATED 1 gpadl=2 0x0\n");
	guest_open(f, 1, 6, 2);
	expect(f, "");
	assert_string_equal(server_channel_state(channel), "closing to reopen");
	guest_open(f, 1, 7, 2);
	expect(f, "fault OPEN_CHANNEL: the channel is not closed\n");
	server_close_done(f->server, channel);
	expect(f, "teardown A 1\n"
	          "open A open=6 gpadl=2 offset=4 vp=3 conn=0x2001 flag=1 data=9\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "> TORNDOWN 1\n");
	server_open_done(f->server, channel, BUS_STATUS_SUCCESS);
	expect(f, "> OPEN_RESULT 1 open=6 0x0\n");
	fixture_end(f);
}

static void the_rings_are_torn_down_before_the_reopen(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	guest_open(f, 1, 6, 1);
	guest_teardown(f, 1, 1);
	forget(f);
	server_close_done(f->server, channel);
	expect(f, "teardown A 1\n"
	          "fault OPEN_CHANNEL: the channel has no such GPADL for its rings\n"
	          "> OPEN_RESULT 1 open=6 0xc000000d\n");
	assert_string_equal(server_channel_state(channel), "offered");
	fixture_end(f);
}

static void the_rings_are_torn_down_while_open(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	guest_gpadl(f, 1, 2, 1);
	server_gpadl_done(f->server, channel, 2, BUS_STATUS_SUCCESS);
	forget(f);
	guest_teardown(f, 1, 1);
	expect(f, ""); /* not while it is in use */
	guest_teardown(f, 1, 2);
	expect(f, "teardown A 2\n");
	guest_teardown(f, 1, 1);
	expect(f, "fault GPADL_TEARDOWN: that GPADL was not created yet, or is going\n");
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	expect(f, "close A\n");
	server_close_done(f->server, channel);
	expect(f, "teardown A 1\n");
	fixture_end(f);
}

static void the_rings_are_torn_down_while_opening(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_with_gpadl(f, "A");

	(void)state;
	guest_open(f, 1, 5, 1);
	forget(f);
	guest_teardown(f, 1, 1);
	expect(f, "");
	server_open_done(f->server, channel, BUS_STATUS_UNSUCCESSFUL);
	expect(f, "> OPEN_RESULT 1 open=5 0xc0000001\nteardown A 1\n");
	fixture_end(f);
}

static void open_or_close_in_the_wrong_state(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_with_gpadl(f, "A");

	(void)state;
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	expect(f, "fault CLOSE_CHANNEL: the channel is not open\n");
	guest_open(f, 1, 5, 1);
	forget(f);
	guest_open(f, 1, 6, 1);
	expect(f, "fault OPEN_CHANNEL: the channel is not closed\n");
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	expect(f, "fault CLOSE_CHANNEL: the channel is not open\n");
	server_open_done(f->server, channel, BUS_STATUS_SUCCESS);
	forget(f);
	guest_open(f, 1, 6, 1);
	expect(f, "fault OPEN_CHANNEL: the channel is not closed\n");
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	forget(f);
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	expect(f, "fault CLOSE_CHANNEL: the channel is not open\n");
	guest_open(f, 77, 6, 1);
	expect(f, "fault OPEN_CHANNEL: no channel of that id\n");
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 0xffffffff);
	expect(f, "fault CLOSE_CHANNEL: no channel of that id\n");
	fixture_end(f);
}

/* ---------------- release in every state ---------------- */

static void release_while_offered(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_with_gpadl(f, "A");

	(void)state;
	guest_channel_message(f, WIRE_RELID_RELEASED, 1);
	expect(f, "teardown A 1\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, ""); /* the guest does not want to hear of it */
	assert_string_equal(server_channel_state(channel), "not offered");
	guest_channel_message(f, WIRE_RELID_RELEASED, 1);
	expect(f, "fault RELID_RELEASED: no channel of that id\n");
	server_revoke(f->server, channel);
	expect(f, "revoked A\n");
	fixture_end(f);
}

static void release_while_opening(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_with_gpadl(f, "A");

	(void)state;
	guest_open(f, 1, 5, 1);
	forget(f);
	guest_channel_message(f, WIRE_RELID_RELEASED, 1);
	expect(f, "fault RELID_RELEASED: the channel is in use\n");
	server_open_done(f->server, channel, BUS_STATUS_SUCCESS);
	expect(f, "> OPEN_RESULT 1 open=5 0x0\n");
	fixture_end(f);
}

static void release_while_open(void **state)
{
	struct fixture *f = connected();

	(void)state;
	offer_open(f, "A");
	guest_channel_message(f, WIRE_RELID_RELEASED, 1);
	expect(f, "fault RELID_RELEASED: the channel is in use\n");
	fixture_end(f);
}

static void release_while_closing(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	forget(f);
	guest_channel_message(f, WIRE_RELID_RELEASED, 1);
	expect(f, "");
	assert_string_equal(server_channel_state(channel), "closing, released");
	guest_open(f, 1, 6, 1);
	expect(f, "fault OPEN_CHANNEL: no channel of that id\n");
	server_close_done(f->server, channel);
	expect(f, "teardown A 1\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "");
	fixture_end(f);
}

static void release_while_closing_to_reopen(void **state)
{
	struct fixture *f = connected();

	(void)state;
	offer_open(f, "A");
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	guest_open(f, 1, 6, 1);
	forget(f);
	guest_channel_message(f, WIRE_RELID_RELEASED, 1);
	expect(f, "fault RELID_RELEASED: the channel is in use\n");
	fixture_end(f);
}

static void release_while_revoked(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer(f, "A");

	(void)state;
	server_revoke(f->server, channel);
	expect(f, "> OFFER_CHANNEL 1 'A' conn=0x2001 dedicated=1 monitor=0/255 flags=0x0 size=196\n"
	          "> RESCIND 1\nrevoked A\n");
	/* The id stays taken until the release. */
	offer(f, "B");
	expect(f,
	       "> OFFER_CHANNEL 2 'B' conn=0x2002 dedicated=1 monitor=0/255 flags=0x0 size=196\n");
	guest_channel_message(f, WIRE_RELID_RELEASED, 1);
	offer(f, "C");
	expect(f,
	       "> OFFER_CHANNEL 1 'C' conn=0x2001 dedicated=1 monitor=0/255 flags=0x0 size=196\n");
	fixture_end(f);
}

static void release_while_revoked_and_opening(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_with_gpadl(f, "A");

	(void)state;
	guest_open(f, 1, 5, 1);
	server_revoke(f->server, channel);
	forget(f);
	guest_channel_message(f, WIRE_RELID_RELEASED, 1);
	expect(f, "");
	assert_string_equal(server_channel_state(channel), "opening, released");
	server_open_done(f->server, channel, BUS_STATUS_SUCCESS);
	expect(f, "close A\n");
	server_close_done(f->server, channel);
	expect(f, "teardown A 1\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "revoked A\n");
	fixture_end(f);
}

static void release_while_revoked_and_closing(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	server_revoke(f->server, channel);
	guest_channel_message(f, WIRE_RELID_RELEASED, 1);
	expect(f, "close A\n");
	server_close_done(f->server, channel);
	expect(f, "teardown A 1\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "revoked A\n");
	fixture_end(f);
}

static void release_while_reoffered(void **state)
{
	struct fixture *f = connected();
	struct server_channel *old = offer(f, "A"), *channel;

	(void)state;
	server_revoke(f->server, old);
	forget(f);
	/* The guest still knows an A: it must not hear of another before it let go of that. */
	channel = offer(f, "A");
	expect(f, "");
	assert_string_equal(server_channel_state(channel), "reoffered");
	guest_channel_message(f, WIRE_RELID_RELEASED, 1);
	expect(f,
	       "> OFFER_CHANNEL 2 'A' conn=0x2002 dedicated=1 monitor=0/255 flags=0x0 size=196\n");
	assert_string_equal(server_channel_state(channel), "offered");
	fixture_end(f);
}

static void revoke_while_reoffered(void **state)
{
	struct fixture *f = connected();
	struct server_channel *old = offer(f, "A"), *channel;

	(void)state;
	server_revoke(f->server, old);
	channel = offer(f, "A");
	forget(f);
	server_revoke(f->server, channel);
	expect(f, "revoked A\n");
	channel = offer(f, "A");
	assert_string_equal(server_channel_state(channel), "reoffered");
	guest_channel_message(f, WIRE_RELID_RELEASED, 1);
	expect(f,
	       "> OFFER_CHANNEL 2 'A' conn=0x2002 dedicated=1 monitor=0/255 flags=0x0 size=196\n");
	fixture_end(f);
}

static void reconnect_while_reoffered(void **state)
{
	struct fixture *f = connected();
	struct server_channel *old = offer(f, "A");

	(void)state;
	server_revoke(f->server, old);
	offer(f, "A");
	forget(f);
	guest_contact(f, WIRE_VERSION_5_3);
	server_contact_done(f->server, true);
	forget(f);
	guest_header_only(f, WIRE_REQUEST_OFFERS);
	expect(f, "> OFFER_CHANNEL 2 'A' conn=0x2002 dedicated=1 monitor=0/255 flags=0x0 size=196\n"
	          "> ALL_OFFERS_DELIVERED size=8\n");
	fixture_end(f);
}

/* ---------------- unload, reconnect, reset ---------------- */

static void unload_while_channels_drain(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	guest_header_only(f, WIRE_UNLOAD);
	expect(f, "close A\n");
	assert_int_equal(server_version(f->server), 0);
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	expect(f, "fault CLOSE_CHANNEL: not in the agreed version\n");
	server_close_done(f->server, channel);
	expect(f, "teardown A 1\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "disconnected\n> UNLOAD_COMPLETE size=8\n");
	assert_string_equal(server_channel_state(channel), "not offered");
	fixture_end(f);
}

static void unload_while_opening(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_with_gpadl(f, "A");

	(void)state;
	guest_open(f, 1, 5, 1);
	forget(f);
	guest_header_only(f, WIRE_UNLOAD);
	expect(f, "");
	assert_string_equal(server_channel_state(channel), "opening, released");
	server_open_done(f->server, channel, BUS_STATUS_SUCCESS);
	expect(f, "close A\n");
	server_close_done(f->server, channel);
	expect(f, "teardown A 1\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "disconnected\n> UNLOAD_COMPLETE size=8\n");
	fixture_end(f);
}

static void reconnect_while_channels_drain(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	guest_contact(f, WIRE_VERSION_4_1);
	expect(f, "close A\n");
	server_close_done(f->server, channel);
	expect(f, "teardown A 1\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "disconnected\n"
	          "contact 4.1 features=0x0 vp=0 sint=2 vtl=0 int=0x0 mon=0x1000,0x2000 id=0\n");
	server_contact_done(f->server, true);
	expect(f, "> VERSION_RESPONSE 1 state=0 value=0x40001 features=0x0 size=16 vp=0 sint=2\n");
	guest_header_only(f, WIRE_REQUEST_OFFERS);
	expect(f, "> OFFER_CHANNEL 1 'A' conn=0x2001 dedicated=1 monitor=0/255 flags=0x0 size=196\n"
	          "> ALL_OFFERS_DELIVERED size=8\n");
	fixture_end(f);
}

static void unload_then_reconnect_while_channels_drain(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	guest_header_only(f, WIRE_UNLOAD);
	guest_contact(f, WIRE_VERSION_4_0);
	guest_contact(f, WIRE_VERSION_4_1); /* the last one counts */
	expect(f, "close A\n");
	server_close_done(f->server, channel);
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "teardown A 1\ndisconnected\n"
	          "contact 4.1 features=0x0 vp=0 sint=2 vtl=0 int=0x0 mon=0x1000,0x2000 id=0\n");
	fixture_end(f);
}

static void reconnect_then_unload_while_channels_drain(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	guest_contact(f, WIRE_VERSION_4_1);
	guest_header_only(f, WIRE_UNLOAD);
	server_close_done(f->server, channel);
	forget(f);
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "disconnected\n> UNLOAD_COMPLETE size=8\n");
	fixture_end(f);
}

static void reset_while_channels_drain(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	guest_header_only(f, WIRE_UNLOAD);
	server_reset(f->server);
	server_close_done(f->server, channel);
	forget(f);
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "disconnected\n");
	server_reset(f->server); /* nothing there: answered all the same */
	expect(f, "disconnected\n");
	fixture_end(f);
}

static void contact_after_reset_while_channels_drain(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	server_reset(f->server);
	expect(f, "close A\n");
	guest_contact(f, WIRE_VERSION_5_3);
	expect(f, "");
	server_close_done(f->server, channel);
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "teardown A 1\ndisconnected\n"
	          "contact 5.3 features=0x0 vp=0 sint=2 vtl=0 int=0x0 mon=0x1000,0x2000 id=0\n");
	fixture_end(f);
}

static void contact_while_connecting(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);

	(void)state;
	guest_contact(f, WIRE_VERSION_5_3);
	guest_contact(f, WIRE_VERSION_5_0);
	expect(f, "contact 5.3 features=0x0 vp=0 sint=2 vtl=0 int=0x0 mon=0x1000,0x2000 id=0\n");
	/* The first is not answered: whoever asked it may be gone, and would mistake the answer. */
	server_contact_done(f->server, true);
	expect(f, "disconnected\n"
	          "contact 5.0 features=0x0 vp=0 sint=2 vtl=0 int=0x0 mon=0x1000,0x2000 id=0\n");
	guest_contact(f, WIRE_VERSION_4_0);
	server_contact_done(f->server, false);
	expect(f, "contact 4.0 features=0x0 vp=0 sint=2 vtl=0 int=0x0 mon=0x1000,0x2000 id=0\n");
	guest_header_only(f, WIRE_UNLOAD);
	server_contact_done(f->server, true);
	expect(f, "disconnected\n> UNLOAD_COMPLETE size=8\n");
	fixture_end(f);
}

static void reset_while_connecting(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);

	(void)state;
	guest_contact(f, WIRE_VERSION_5_3);
	forget(f);
	server_reset(f->server);
	expect(f, "");
	server_contact_done(f->server, false);
	expect(f, "disconnected\n");
	guest_contact(f, WIRE_VERSION_5_3);
	forget(f);
	server_reset(f->server);
	server_contact_done(f->server, true);
	expect(f, "disconnected\n");
	fixture_end(f);
}

static void revoke_while_disconnecting(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	guest_header_only(f, WIRE_UNLOAD);
	server_revoke(f->server, channel);
	expect(f, "close A\n");
	server_close_done(f->server, channel);
	expect(f, "teardown A 1\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "revoked A\ndisconnected\n> UNLOAD_COMPLETE size=8\n");
	fixture_end(f);
}

static void disconnect_while_a_revoke_drains(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	offer(f, "B");
	forget(f);
	server_revoke(f->server, channel);
	server_reset(f->server);
	expect(f, "close A\n");
	server_close_done(f->server, channel);
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "teardown A 1\nrevoked A\ndisconnected\n");
	fixture_end(f);
}

static void disconnect_with_everything_pending(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_with_gpadl(f, "A");
	uint64_t words[] = { range_word(8192, 0), 5, 6 };

	(void)state;
	guest_gpadl(f, 1, 2, 1);                      /* asked */
	guest_gpadl_header(f, 1, 3, 24, 1, words, 2); /* half built */
	guest_gpadl(f, 1, 4, 1);                      /* asked, to be refused */
	guest_open(f, 1, 5, 1);                       /* opening */
	forget(f);
	guest_header_only(f, WIRE_UNLOAD);
	expect(f, "");
	server_gpadl_done(f->server, channel, 2, BUS_STATUS_SUCCESS);
	server_gpadl_done(f->server, channel, 4, BUS_STATUS_UNSUCCESSFUL);
	expect(f, "");
	server_open_done(f->server, channel, BUS_STATUS_UNSUCCESSFUL);
	expect(f, "teardown A 2\nteardown A 1\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	expect(f, "");
	server_gpadl_teardown_done(f->server, channel, 2);
	expect(f, "disconnected\n> UNLOAD_COMPLETE size=8\n");
	assert_int_equal(f->memory.blocks, 2); /* the server, the channel */
	fixture_end(f);
}

/* ---------------- GPADLs ---------------- */

static void a_gpadl_id_used_again(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_with_gpadl(f, "A");
	uint64_t words[] = { range_word(8192, 0), 5, 6 };

	(void)state;
	guest_gpadl(f, 1, 1, 1);
	expect(f, "fault GPADL_HEADER: id is in use\n> CREATED 1 gpadl=1 0xc000000d\n");
	/* Also of one that is half built, which is not disturbed. */
	guest_gpadl_header(f, 1, 2, 24, 1, words, 2);
	guest_gpadl_header(f, 1, 2, 24, 1, words, 3);
	expect(f, "fault GPADL_HEADER: id is in use\n> CREATED 1 gpadl=2 0xc000000d\n");
	guest_gpadl_body(f, 2, words + 2, 1);
	expect(f, "gpadl A 2 8192@0:5-6\n");
	/* And of one on its way out; after that the id is free. */
	guest_teardown(f, 1, 1);
	guest_gpadl(f, 1, 1, 1);
	expect(f,
	       "teardown A 1\nfault GPADL_HEADER: id is in use\n> CREATED 1 gpadl=1 0xc000000d\n");
	server_gpadl_teardown_done(f->server, channel, 1);
	guest_gpadl(f, 1, 1, 1);
	expect(f, "> TORNDOWN 1\ngpadl A 1 4096@0:100-100\n");
	fixture_end(f);
}

static void a_gpadl_id_used_again_while_its_channel_drains(void **state)
{
	struct fixture *f = connected();
	struct server_channel *a = offer_open(f, "A"), *b = offer(f, "B");

	(void)state;
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	guest_channel_message(f, WIRE_RELID_RELEASED, 1);
	forget(f);
	/* For the guest the id went with the channel. */
	guest_gpadl(f, 2, 1, 1);
	expect(f, "gpadl B 1 4096@0:100-100\n");
	server_close_done(f->server, a);
	expect(f, "teardown A 1\n");
	server_gpadl_done(f->server, b, 1, BUS_STATUS_SUCCESS);
	expect(f, "> CREATED 2 gpadl=1 0x0\n");
	server_gpadl_teardown_done(f->server, a, 1);
	expect(f, "");
	guest_teardown(f, 2, 1);
	expect(f, "teardown B 1\n");
	fixture_end(f);
}

static void a_body_without_a_header(void **state)
{
	struct fixture *f = connected();
	uint64_t word = 5;

	(void)state;
	offer(f, "A");
	forget(f);
	guest_gpadl_body(f, 1, &word, 1);
	expect(f, "fault GPADL_BODY: no GPADL of that id\n");
	fixture_end(f);
}

static void one_body_too_many(void **state)
{
	struct fixture *f = connected();
	uint64_t words[] = { range_word(8192, 0), 5, 6 };

	(void)state;
	offer(f, "A");
	guest_gpadl_header(f, 1, 1, 24, 1, words, 2);
	forget(f);
	guest_gpadl_body(f, 1, words + 2, 1);
	expect(f, "gpadl A 1 8192@0:5-6\n");
	guest_gpadl_body(f, 1, words + 2, 1);
	expect(f, "fault GPADL_BODY: that GPADL is complete\n");
	fixture_end(f);
}

static void a_body_of_another_id(void **state)
{
	struct fixture *f = connected();
	uint64_t words[] = { range_word(8192, 0), 5, 6, 7 };

	(void)state;
	offer(f, "A");
	guest_gpadl_header(f, 1, 1, 24, 1, words, 2);
	guest_gpadl_header(f, 1, 2, 24, 1, words, 2);
	forget(f);
	guest_gpadl_body(f, 3, words + 3, 1);
	expect(f, "fault GPADL_BODY: no GPADL of that id\n");
	/* Two being built at once keep apart. */
	guest_gpadl_body(f, 2, words + 3, 1);
	expect(f, "gpadl A 2 8192@0:5-7\n");
	guest_gpadl_body(f, 1, words + 2, 1);
	expect(f, "gpadl A 1 8192@0:5-6\n");
	fixture_end(f);
}

static void teardown_before_created(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer(f, "A");

	(void)state;
	guest_gpadl(f, 1, 1, 1);
	forget(f);
	guest_teardown(f, 1, 1);
	expect(f, "fault GPADL_TEARDOWN: that GPADL was not created yet, or is going\n");
	server_gpadl_done(f->server, channel, 1, BUS_STATUS_SUCCESS);
	expect(f, "> CREATED 1 gpadl=1 0x0\n");
	fixture_end(f);
}

static void teardown_by_another_channel(void **state)
{
	struct fixture *f = connected();

	(void)state;
	offer_with_gpadl(f, "A");
	offer(f, "B");
	forget(f);
	guest_teardown(f, 2, 1);
	expect(f, "fault GPADL_TEARDOWN: the channel has no GPADL of that id\n");
	guest_open(f, 2, 5, 1);
	expect(f, "fault OPEN_CHANNEL: the channel has no such GPADL for its rings\n"
	          "> OPEN_RESULT 2 open=5 0xc000000d\n");
	fixture_end(f);
}

/* ---------------- modify ---------------- */

static void a_second_modify_before_the_first_was_answered(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	guest_modify(f, 1, 1);
	expect(f, "modify A 1\n");
	guest_modify(f, 1, 2);
	expect(f, "fault MODIFY_CHANNEL: the last one was not answered yet\n");
	server_modify_done(f->server, channel, BUS_STATUS_SUCCESS);
	expect(f, "> MODIFY_RESPONSE 1 0x0\n");
	fixture_end(f);
}

static void a_second_modify_where_none_is_answered(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct server_channel *channel;

	(void)state;
	connect_at(f, WIRE_VERSION_5_2);
	channel = offer_open(f, "A");
	guest_modify(f, 1, 1);
	guest_modify(f, 1, 2);
	guest_modify(f, 1, 3);
	expect(f, "modify A 1\n");
	server_modify_done(f->server, channel, BUS_STATUS_SUCCESS);
	expect(f, "modify A 3\n"); /* the newest */
	server_modify_done(f->server, channel, BUS_STATUS_SUCCESS);
	expect(f, "");
	fixture_end(f);
}

static void close_while_modifying(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	guest_modify(f, 1, 1);
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	expect(f, "modify A 1\nclose A\n");
	server_modify_done(f->server, channel, BUS_STATUS_SUCCESS);
	expect(f, "> MODIFY_RESPONSE 1 0x0\n"); /* the guest may be waiting */
	server_close_done(f->server, channel);
	expect(f, "");
	fixture_end(f);
}

static void close_is_done_while_modifying(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_open(f, "A");

	(void)state;
	guest_modify(f, 1, 1);
	guest_channel_message(f, WIRE_CLOSE_CHANNEL, 1);
	forget(f);
	server_close_done(f->server, channel);
	expect(f, "> MODIFY_RESPONSE 1 0xc0000001\n");
	guest_open(f, 1, 6, 1);
	server_open_done(f->server, channel, BUS_STATUS_SUCCESS);
	forget(f);
	/* Nothing is left of the old one. */
	server_modify_done(f->server, channel, BUS_STATUS_SUCCESS);
	expect(f, "");
	guest_modify(f, 1, 2);
	expect(f, "modify A 2\n");
	fixture_end(f);
}

/* ---------------- directions ---------------- */

static void a_clients_message_at_the_client_and_the_reverse(void **state)
{
	static const uint32_t of_hosts[] = {
		WIRE_OFFER_CHANNEL,           WIRE_RESCIND_CHANNEL_OFFER,
		WIRE_ALL_OFFERS_DELIVERED,    WIRE_OPEN_CHANNEL_RESULT,
		WIRE_GPADL_CREATED,           WIRE_GPADL_TORNDOWN,
		WIRE_VERSION_RESPONSE,        WIRE_UNLOAD_COMPLETE,
		WIRE_CLOSE_RESERVED_RESPONSE, WIRE_TL_CONNECT_RESULT,
		WIRE_MODIFY_CHANNEL_RESPONSE, WIRE_MODIFY_CONNECTION_RESPONSE,
		WIRE_PAUSE_RESPONSE,
	};
	struct fixture *server = connected();
	struct fixture *client = client_fixture();
	uint8_t bytes[WIRE_MESSAGE_MAX] = { 0 };

	(void)state;
	client_connect_at(client, WIRE_VERSION_5_3);
	for (uint32_t type = 1; type < WIRE_MESSAGE_TYPES; type++) {
		bool of_host = false;
		char line[100];

		for (size_t i = 0; i < sizeof(of_hosts) / sizeof(of_hosts[0]); i++)
			of_host |= of_hosts[i] == type;
		bytes[0] = (uint8_t)type;
		snprintf(line, sizeof(line), "fault %s: a message only this end sends\n",
		         wire_message_name(type));
		if (of_host) {
			server_message(server->server, bytes, sizeof(bytes));
			expect(server, line);
		} else {
			host_message(client, bytes, sizeof(bytes));
			expect(client, line);
		}
	}
	fixture_end(server);
	fixture_end(client);
}

static void answers_nobody_waits_for(void **state)
{
	struct fixture *f = connected();
	struct server_channel *channel = offer_with_gpadl(f, "A");

	(void)state;
	server_contact_done(f->server, true);
	server_open_done(f->server, channel, BUS_STATUS_SUCCESS);
	server_close_done(f->server, channel);
	server_modify_done(f->server, channel, BUS_STATUS_SUCCESS);
	server_gpadl_done(f->server, channel, 1, BUS_STATUS_SUCCESS);
	server_gpadl_done(f->server, channel, 2, BUS_STATUS_SUCCESS);
	server_gpadl_teardown_done(f->server, channel, 1);
	server_gpadl_teardown_done(f->server, channel, 2);
	server_monitor_pages_done(f->server, true);
	expect(f, "");
	assert_string_equal(server_channel_state(channel), "offered");
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(revoke_while_offered),
		cmocka_unit_test(revoke_before_any_guest_came),
		cmocka_unit_test(revoke_while_opening),
		cmocka_unit_test(revoke_while_opening_fails),
		cmocka_unit_test(revoke_while_open),
		cmocka_unit_test(revoke_while_closing),
		cmocka_unit_test(revoke_while_closing_to_reopen),
		cmocka_unit_test(revoke_with_gpadls_pending),
		cmocka_unit_test(revoke_with_a_gpadl_half_built),
		cmocka_unit_test(a_gpadl_on_a_revoked_channel_does_not_reach_the_owner),
		cmocka_unit_test(open_on_a_revoked_channel),
		cmocka_unit_test(close_on_a_revoked_channel),
		cmocka_unit_test(modify_on_a_revoked_channel),
		cmocka_unit_test(close_then_open_before_the_close_was_answered),
		cmocka_unit_test(the_rings_are_torn_down_before_the_reopen),
		cmocka_unit_test(the_rings_are_torn_down_while_open),
		cmocka_unit_test(the_rings_are_torn_down_while_opening),
		cmocka_unit_test(open_or_close_in_the_wrong_state),
		cmocka_unit_test(release_while_offered),
		cmocka_unit_test(release_while_opening),
		cmocka_unit_test(release_while_open),
		cmocka_unit_test(release_while_closing),
		cmocka_unit_test(release_while_closing_to_reopen),
		cmocka_unit_test(release_while_revoked),
		cmocka_unit_test(release_while_revoked_and_opening),
		cmocka_unit_test(release_while_revoked_and_closing),
		cmocka_unit_test(release_while_reoffered),
		cmocka_unit_test(revoke_while_reoffered),
		cmocka_unit_test(reconnect_while_reoffered),
		cmocka_unit_test(unload_while_channels_drain),
		cmocka_unit_test(unload_while_opening),
		cmocka_unit_test(reconnect_while_channels_drain),
		cmocka_unit_test(unload_then_reconnect_while_channels_drain),
		cmocka_unit_test(reconnect_then_unload_while_channels_drain),
		cmocka_unit_test(reset_while_channels_drain),
		cmocka_unit_test(contact_after_reset_while_channels_drain),
		cmocka_unit_test(contact_while_connecting),
		cmocka_unit_test(reset_while_connecting),
		cmocka_unit_test(revoke_while_disconnecting),
		cmocka_unit_test(disconnect_while_a_revoke_drains),
		cmocka_unit_test(disconnect_with_everything_pending),
		cmocka_unit_test(a_gpadl_id_used_again),
		cmocka_unit_test(a_gpadl_id_used_again_while_its_channel_drains),
		cmocka_unit_test(a_body_without_a_header),
		cmocka_unit_test(one_body_too_many),
		cmocka_unit_test(a_body_of_another_id),
		cmocka_unit_test(teardown_before_created),
		cmocka_unit_test(teardown_by_another_channel),
		cmocka_unit_test(a_second_modify_before_the_first_was_answered),
		cmocka_unit_test(a_second_modify_where_none_is_answered),
		cmocka_unit_test(close_while_modifying),
		cmocka_unit_test(close_is_done_while_modifying),
		cmocka_unit_test(a_clients_message_at_the_client_and_the_reverse),
		cmocka_unit_test(answers_nobody_waits_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
