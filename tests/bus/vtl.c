/* SPDX-License-Identifier: BSD-2-Clause */

/* Virtual trust levels: a guest says which it runs in, and sees what is offered to that one alone.
 */

#include "fixture.h"

static struct server_channel *offer_to(struct fixture *f, const char *name, uint8_t vtl)
{
	struct bus_offer o = offer_named(name);
	struct server_channel *channel = NULL;

	o.vtl = vtl;
	assert_int_equal(server_offer(f->server, &o, (void *)(uintptr_t)name, &channel), 0);
	return channel;
}

static void contact_from(struct fixture *f, uint8_t vtl)
{
	struct wire_initiate_contact m = {
		.header.type = WIRE_INITIATE_CONTACT,
		.version = WIRE_VERSION_5_3,
		.target_sint = 2,
		.target_vtl = vtl,
	};

	guest_contact_with(f, &m, WIRE_INITIATE_CONTACT_SIZE_SHORT);
	server_contact_done(f->server, true);
	forget(f);
	guest_header_only(f, WIRE_REQUEST_OFFERS);
}

static void each_level_sees_its_own(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct server_channel *late;

	(void)state;
	offer_to(f, "A", 0);
	offer_to(f, "B", 2);
	contact_from(f, 2);
	expect(f, "> OFFER_CHANNEL 2 'B' conn=0x2002 dedicated=1 monitor=0/255 flags=0x0 size=196\n"
	          "> ALL_OFFERS_DELIVERED size=8\n");
	offer_to(f, "C", 0);
	expect(f, "");
	late = offer_to(f, "D", 2);
	expect(f,
	       "> OFFER_CHANNEL 4 'D' conn=0x2004 dedicated=1 monitor=0/255 flags=0x0 size=196\n");
	server_revoke(f->server, late);
	expect(f, "> RESCIND 4\nrevoked D\n");
	guest_header_only(f, WIRE_UNLOAD);
	contact_from(f, 0);
	expect(f, "> OFFER_CHANNEL 1 'A' conn=0x2001 dedicated=1 monitor=0/255 flags=0x0 size=196\n"
	          "> OFFER_CHANNEL 3 'C' conn=0x2003 dedicated=1 monitor=0/255 flags=0x0 size=196\n"
	          "> ALL_OFFERS_DELIVERED size=8\n");
	fixture_end(f);
}

/* What was not offered is not there to be opened either. */
static void another_levels_channel_is_unknown(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct server_channel *hidden = offer_to(f, "A", 2);

	(void)state;
	contact_from(f, 0);
	forget(f);
	guest_gpadl(f, 1, 1, 8);
	guest_open(f, 1, 5, 1);
	assert_string_equal(server_channel_state(hidden), "not offered");
	forget(f);
	server_revoke(f->server, hidden);
	expect(f, "revoked A\n");
	fixture_end(f);
}

static struct client_contact contact_at(uint32_t version, uint8_t vtl)
{
	return (struct client_contact){ .version_max = version, .message_sint = 2, .vtl = vtl };
}

static void client_says_where_it_runs(void **state)
{
	struct fixture *f = client_fixture();
	struct client_contact contact = contact_at(WIRE_VERSION_5_1, 2);

	(void)state;
	assert_int_equal(client_connect(f->client, &contact), 0);
	expect(f, "< INITIATE_CONTACT 5.1 vp=0 sint=2 vtl=2 features=0x0 id=0 size=40 to=4\n");
	/* an older host could only take it for VTL 0 */
	host_version(f, false, 0);
	expect(f, "connected 0.0 features=0x0\n");
	fixture_end(f);
}

static void versions_without_levels_are_not_asked(void **state)
{
	struct fixture *f = client_fixture();
	struct client_contact contact = contact_at(WIRE_VERSION_5_0, 2);

	(void)state;
	assert_int_equal(client_connect(f->client, &contact), -1);
	contact.vtl = 0;
	assert_int_equal(client_connect(f->client, &contact), 0);
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_level_sees_its_own),
		cmocka_unit_test(another_levels_channel_is_unknown),
		cmocka_unit_test(client_says_where_it_runs),
		cmocka_unit_test(versions_without_levels_are_not_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
