/* SPDX-License-Identifier: BSD-2-Clause */

/* How versions and features are agreed, at both ends. */

#include "fixture.h"

#include <stdio.h>
#include <string.h>

/* ---------------- the server ---------------- */

static void each_version_is_answered_in_its_own_form(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < WIRE_VERSION_COUNT; i++) {
		struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
		uint32_t version = wire_versions[i];
		bool page = version < WIRE_VERSION_2_4, newest = version == WIRE_VERSION_6_0;
		char lines[256];

		guest_contact(f, version);
		snprintf(lines, sizeof(lines),
		         "contact %u.%u features=0x0 vp=0 sint=2 vtl=0 int=0x%x mon=0x1000,0x2000 "
		         "id=0\n",
		         version >> 16, version & 0xffff, page ? 0x3000 : 0);
		expect(f, lines);
		assert_int_equal(server_version(f->server), 0);
		server_contact_done(f->server, true);
		snprintf(lines, sizeof(lines),
		         "> VERSION_RESPONSE 1 state=0 value=0x%x features=0x0 size=%u vp=0 "
		         "sint=2\n",
		         version < WIRE_VERSION_5_0 ? version : 4, newest ? 20 : 16);
		expect(f, lines);
		assert_int_equal(server_version(f->server), version);
		fixture_end(f);
	}
}

static void unknown_versions_and_those_above_the_cap_are_refused(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_4_0);
	static const uint32_t refused[] = {
		WIRE_VERSION(7, 0), WIRE_VERSION(5, 4), WIRE_VERSION_6_0,    WIRE_VERSION_5_3,
		WIRE_VERSION_4_1,   WIRE_VERSION(3, 1), WIRE_VERSION(0, 12), 0,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		guest_contact(f, refused[i]);
		expect(f,
		       "> VERSION_RESPONSE 0 state=0 value=0x0 features=0x0 size=16 vp=0 sint=2\n");
		assert_int_equal(server_version(f->server), 0);
	}
	guest_contact(f, WIRE_VERSION_4_0);
	server_contact_done(f->server, true);
	assert_int_equal(server_version(f->server), WIRE_VERSION_4_0);
	fixture_end(f);
}

static void messages_go_where_the_guest_wants_them(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct wire_initiate_contact m = {
		.header.type = WIRE_INITIATE_CONTACT,
		.target_vp = 6,
	};

	(void)state;
	m.version = WIRE_VERSION_2_4; /* VP 0 before 3.0 */
	guest_contact_with(f, &m, 40);
	expect(f, "contact 2.4 features=0x0 vp=0 sint=2 vtl=0 int=0x0 mon=0x0,0x0 id=0\n");
	server_reset(f->server);
	server_contact_done(f->server, false);
	forget(f);
	m.version = WIRE_VERSION_3_0;
	guest_contact_with(f, &m, 40);
	server_contact_done(f->server, true);
	expect(f, "contact 3.0 features=0x0 vp=6 sint=2 vtl=0 int=0x0 mon=0x0,0x0 id=0\n"
	          "> VERSION_RESPONSE 1 state=0 value=0x30000 features=0x0 size=16 vp=6 sint=2\n");
	m.version = WIRE_VERSION_5_0; /* a SINT since 5.0, and no VTL yet */
	m.target_sint = 7;
	m.target_vtl = 1;
	guest_contact_with(f, &m, 40);
	server_contact_done(f->server, true);
	expect(f, "disconnected\n"
	          "contact 5.0 features=0x0 vp=6 sint=7 vtl=0 int=0x0 mon=0x0,0x0 id=0\n"
	          "> VERSION_RESPONSE 1 state=0 value=0x4 features=0x0 size=16 vp=6 sint=7\n");
	m.version = WIRE_VERSION_5_1; /* a VTL that is not here, answered where it asked */
	guest_contact_with(f, &m, 40);
	expect(f, "disconnected\n"
	          "> VERSION_RESPONSE 0 state=0 value=0x0 features=0x0 size=16 vp=6 sint=7\n");
	m.target_vtl = 0;
	m.target_sint = 0; /* mu_msvm */
	guest_contact_with(f, &m, 40);
	expect(f, "contact 5.1 features=0x0 vp=6 sint=2 vtl=0 int=0x0 mon=0x0,0x0 id=0\n");
	fixture_end(f);
}

static void nonsense_contacts_are_dropped(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct wire_initiate_contact m = {
		.header.type = WIRE_INITIATE_CONTACT,
		.version = WIRE_VERSION_6_0,
		.target_sint = 16,
	};

	(void)state;
	guest_contact_with(f, &m, 40);
	expect(f, "fault INITIATE_CONTACT: target SINT\n");
	m.target_sint = 2;
	m.feature_flags = WIRE_FEATURE_CLIENT_ID;
	guest_contact_with(f, &m, 55);
	expect(f, "fault INITIATE_CONTACT: too short for its client id\n");
	guest_contact_with(f, &m, 39);
	expect(f, "fault INITIATE_CONTACT: too short\n");
	fixture_end(f);
}

static void one_monitor_page_without_the_other(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct wire_initiate_contact m = {
		.header.type = WIRE_INITIATE_CONTACT,
		.version = WIRE_VERSION_5_3,
		.target_sint = 2,
		.monitor_page_to_host = 0x1000,
	};

	(void)state;
	guest_contact_with(f, &m, 40);
	expect(f, "> VERSION_RESPONSE 1 state=2 value=0x4 features=0x0 size=16 vp=0 sint=2\n");
	m.version = WIRE_VERSION_1_1; /* no way to say so */
	guest_contact_with(f, &m, 40);
	expect(f, "> VERSION_RESPONSE 0 state=0 value=0x0 features=0x0 size=16 vp=0 sint=2\n");
	assert_int_equal(server_version(f->server), 0);
	fixture_end(f);
}

static void the_caller_refuses_contact(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);

	(void)state;
	guest_contact(f, WIRE_VERSION_5_3);
	forget(f);
	server_contact_done(f->server, false);
	expect(f, "> VERSION_RESPONSE 1 state=2 value=0x4 features=0x0 size=16 vp=0 sint=2\n");
	guest_header_only(f, WIRE_REQUEST_OFFERS);
	expect(f, "fault REQUEST_OFFERS: not in the agreed version\n");
	fixture_end(f);
}

static void features_are_those_of_both_ends(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct wire_initiate_contact m = {
		.header.type = WIRE_INITIATE_CONTACT,
		.version = WIRE_VERSION_6_0,
		.target_sint = 2,
		.feature_flags = 0xffffffff,
		.client_id = { 42 },
	};

	(void)state;
	guest_contact_with(f, &m, sizeof(m));
	server_contact_done(f->server, true);
	expect(f, "contact 6.0 features=0xd vp=0 sint=2 vtl=0 int=0x0 mon=0x0,0x0 id=42\n"
	          "> VERSION_RESPONSE 1 state=0 value=0x4 features=0xd size=20 vp=0 sint=2\n");
	m.version = WIRE_VERSION_5_3; /* no features before 6.0 */
	guest_contact_with(f, &m, 40);
	server_contact_done(f->server, true);
	expect(f, "disconnected\n"
	          "contact 5.3 features=0x0 vp=0 sint=2 vtl=0 int=0x0 mon=0x0,0x0 id=0\n"
	          "> VERSION_RESPONSE 1 state=0 value=0x4 features=0x0 size=16 vp=0 sint=2\n");
	fixture_end(f);
}

static void monitor_pages_cannot_be_changed_unless_the_caller_can(void **state)
{
	struct fixture *f = server_fixture_plain(WIRE_VERSION_6_0);
	struct wire_initiate_contact m = {
		.header.type = WIRE_INITIATE_CONTACT,
		.version = WIRE_VERSION_6_0,
		.target_sint = 2,
		.feature_flags = WIRE_FEATURE_MODIFY_CONNECTION,
	};
	struct wire_modify_connection modify = { .header.type = WIRE_MODIFY_CONNECTION };

	(void)state;
	guest_contact_with(f, &m, 40);
	server_contact_done(f->server, true);
	expect(f, "contact 6.0 features=0x0 vp=0 sint=2 vtl=0 int=0x0 mon=0x0,0x0 id=0\n"
	          "> VERSION_RESPONSE 1 state=0 value=0x4 features=0x0 size=20 vp=0 sint=2\n");
	server_message(f->server, &modify, sizeof(modify));
	expect(f, "fault MODIFY_CONNECTION: not in the agreed features\n");
	fixture_end(f);
}

static void guest_changes_monitor_pages(struct fixture *f, uint64_t to_guest, uint64_t to_host)
{
	struct wire_modify_connection modify = {
		.header.type = WIRE_MODIFY_CONNECTION,
		.monitor_page_to_guest = to_guest,
		.monitor_page_to_host = to_host,
	};

	server_message(f->server, &modify, sizeof(modify));
}

static void monitor_pages_are_changed(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct wire_initiate_contact m = {
		.header.type = WIRE_INITIATE_CONTACT,
		.version = WIRE_VERSION_6_0,
		.target_sint = 2,
		.feature_flags = WIRE_FEATURE_MODIFY_CONNECTION,
	};

	(void)state;
	guest_contact_with(f, &m, 40);
	server_contact_done(f->server, true);
	forget(f);
	guest_changes_monitor_pages(f, 0x5000, 0);
	expect(f, "fault MODIFY_CONNECTION: one monitor page without the other\n"
	          "> MODIFY_CONNECTION_RESPONSE 2 size=9\n");
	guest_changes_monitor_pages(f, 0x5000, 0x6000);
	guest_changes_monitor_pages(f, 0x7000, 0x8000);
	expect(f, "monitor_pages 0x5000 0x6000\n"
	          "fault MODIFY_CONNECTION: the last one was not answered yet\n");
	server_monitor_pages_done(f->server, true);
	expect(f, "> MODIFY_CONNECTION_RESPONSE 0 size=9\n");
	guest_changes_monitor_pages(f, 0, 0);
	server_monitor_pages_done(f->server, false);
	expect(f, "monitor_pages 0x0 0x0\n> MODIFY_CONNECTION_RESPONSE 2 size=9\n");
	/* The connection does not end under the caller's hands. */
	guest_changes_monitor_pages(f, 0, 0);
	guest_header_only(f, WIRE_UNLOAD);
	expect(f, "monitor_pages 0x0 0x0\n");
	server_monitor_pages_done(f->server, true);
	expect(f, "disconnected\n> UNLOAD_COMPLETE size=8\n");
	fixture_end(f);
}

static void a_goodbye_is_answered_at_each_version(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);

	(void)state;
	for (uint32_t i = 0; i < WIRE_VERSION_COUNT; i++) {
		connect_at(f, wire_versions[i]);
		guest_header_only(f, WIRE_UNLOAD);
		expect(f, "disconnected\n> UNLOAD_COMPLETE size=8\n");
	}
	guest_header_only(f, WIRE_UNLOAD);
	expect(f, "fault UNLOAD: not in the agreed version\n");
	fixture_end(f);
}

/* ---------------- the client ---------------- */

static const struct client_contact all_of_it = {
	.version_max = WIRE_VERSION_6_0,
	.feature_flags = 0xffffffff,
	.message_vp = 6,
	.message_sint = 2,
	.interrupt_page = 0x3000,
	.monitor_pages = { 0x1000, 0x2000 },
	.client_id = { { 42 } },
};

static void the_client_walks_down_from_its_newest(void **state)
{
	static const char *const asked[] = {
		"< INITIATE_CONTACT 6.0 vp=6 sint=2 vtl=0 features=0x9 id=42 size=56 to=4\n",
		"< INITIATE_CONTACT 5.3 vp=6 sint=2 vtl=0 features=0x0 id=0 size=40 to=4\n",
		"< INITIATE_CONTACT 5.2 vp=6 sint=2 vtl=0 features=0x0 id=0 size=40 to=4\n",
		"< INITIATE_CONTACT 5.1 vp=6 sint=2 vtl=0 features=0x0 id=0 size=40 to=4\n",
		"< INITIATE_CONTACT 5.0 vp=6 sint=2 vtl=0 features=0x0 id=0 size=40 to=4\n",
		"< INITIATE_CONTACT 4.1 vp=6 int=0x3000 mon=0x1000,0x2000 size=40 to=1\n",
		"< INITIATE_CONTACT 4.0 vp=6 int=0x3000 mon=0x1000,0x2000 size=40 to=1\n",
		"< INITIATE_CONTACT 3.0 vp=6 int=0x3000 mon=0x1000,0x2000 size=40 to=1\n",
		"< INITIATE_CONTACT 2.4 vp=0 int=0x3000 mon=0x1000,0x2000 size=40 to=1\n",
		"< INITIATE_CONTACT 1.1 vp=0 int=0x3000 mon=0x1000,0x2000 size=40 to=1\n",
		"< INITIATE_CONTACT 0.13 vp=0 int=0x3000 mon=0x1000,0x2000 size=40 to=1\n",
	};
	struct fixture *f = client_fixture();

	(void)state;
	assert_int_equal(client_connect(f->client, &all_of_it), 0);
	assert_int_equal(client_connect(f->client, &all_of_it), -1);
	for (unsigned int i = 0; i < WIRE_VERSION_COUNT; i++) {
		expect(f, asked[i]);
		if (i % 2)
			host_version(f, false, 0);
		else
			client_contact_refused(f->client); /* as when nobody is at connection 4 */
	}
	expect(f, "connected 0.0 features=0x0\n");
	client_contact_refused(f->client);
	expect(f, "");
	assert_int_equal(client_connect(f->client, &all_of_it), 0);
	fixture_end(f);
}

static void the_client_begins_at_a_version_there_is(void **state)
{
	struct fixture *f = client_fixture();
	struct client_contact contact = all_of_it;

	(void)state;
	contact.version_max = WIRE_VERSION(4, 7);
	assert_int_equal(client_connect(f->client, &contact), 0);
	expect(f, "< INITIATE_CONTACT 4.1 vp=6 int=0x3000 mon=0x1000,0x2000 size=40 to=1\n");
	client_reset(f->client);
	expect(f, "connected 0.0 features=0x0\n");
	contact.version_max = WIRE_VERSION(0, 12);
	assert_int_equal(client_connect(f->client, &contact), -1);
	fixture_end(f);
}

static void messages_go_to_the_connection_id_the_host_gave(void **state)
{
	struct fixture *f = client_fixture();
	struct client_contact contact = all_of_it;

	(void)state;
	contact.version_max = WIRE_VERSION_5_0;
	client_connect(f->client, &contact);
	forget(f);
	host_version(f, true, 0x800074);
	expect(f, "connected 5.0 features=0x0\n< REQUEST_OFFERS size=8 to=8388724\n");
	client_unload(f->client);
	expect(f, "< UNLOAD size=8 to=8388724\n");
	host_header_only(f, WIRE_UNLOAD_COMPLETE);
	expect(f, "unloaded\n");
	/* Contact is made on 4 anew, and before 5.0 all goes to 1. */
	client_connect(f->client, &contact);
	expect(f, "< INITIATE_CONTACT 5.0 vp=6 sint=2 vtl=0 features=0x0 id=0 size=40 to=4\n");
	host_version(f, false, 0);
	forget(f);
	host_version(f, true, 77);
	expect(f, "connected 4.1 features=0x0\n< REQUEST_OFFERS size=8 to=1\n");
	fixture_end(f);
}

static void a_host_gives_no_usable_connection_id(void **state)
{
	static const uint32_t ids[] = { 0, WIRE_CONNECTION_ID_MAX + 1, 0xffffffff };

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct fixture *f = client_fixture();

		client_connect(f->client, &all_of_it);
		forget(f);
		host_version(f, true, ids[i]);
		expect(f, "fault VERSION_RESPONSE: message connection id\n"
		          "connected 0.0 features=0x0\n");
		fixture_end(f);
	}
}

static void features_are_no_more_than_was_asked(void **state)
{
	struct wire_version_response m = {
		.header.type = WIRE_VERSION_RESPONSE,
		.version_supported = 1,
		.message_connection_id = 4,
		.feature_flags = 0xffffffff,
	};
	struct client_contact contact = all_of_it;
	struct fixture *f = client_fixture();

	(void)state;
	contact.feature_flags = WIRE_FEATURE_SIGNAL_PARAMETERS | WIRE_FEATURE_PAUSE_RESUME;
	client_connect(f->client, &contact);
	expect(f, "< INITIATE_CONTACT 6.0 vp=6 sint=2 vtl=0 features=0x1 id=0 size=40 to=4\n");
	host_message(f, &m, sizeof(m));
	expect(f, "connected 6.0 features=0x1\n< REQUEST_OFFERS size=8 to=4\n");
	client_reset(f->client);
	client_connect(f->client, &contact);
	forget(f);
	host_message(f, &m, WIRE_VERSION_RESPONSE_SIZE); /* an answer in the old form: none */
	expect(f, "connected 6.0 features=0x0\n< REQUEST_OFFERS size=8 to=4\n");
	fixture_end(f);
}

static void the_host_has_the_version_but_fails(void **state)
{
	struct wire_version_response m = {
		.header.type = WIRE_VERSION_RESPONSE,
		.version_supported = 1,
		.connection_state = WIRE_CONNECTION_STATE_LOW_RESOURCES,
		.message_connection_id = 4,
	};
	struct client_contact contact = all_of_it;
	struct fixture *f = client_fixture();

	(void)state;
	client_connect(f->client, &contact);
	forget(f);
	host_message(f, &m, WIRE_VERSION_RESPONSE_SIZE_6_0);
	expect(f,
	       "fault VERSION_RESPONSE: the host failed to connect\nconnected 0.0 features=0x0\n");
	/* Before 2.4 that byte says nothing (mu_msvm). */
	contact.version_max = WIRE_VERSION_1_1;
	client_connect(f->client, &contact);
	forget(f);
	host_message(f, &m, WIRE_VERSION_RESPONSE_SIZE);
	expect(f, "connected 1.1 features=0x0\n< REQUEST_OFFERS size=8 to=1\n");
	fixture_end(f);
}

static void goodbye_while_connecting(void **state)
{
	struct fixture *f = client_fixture();
	struct client_contact contact = all_of_it;

	(void)state;
	client_unload(f->client);
	expect(f, "unloaded\n"); /* there is nobody to say it to */
	contact.version_max = WIRE_VERSION_5_3;
	client_connect(f->client, &contact);
	forget(f);
	client_unload(f->client);
	client_unload(f->client);
	expect(f, "connected 0.0 features=0x0\n");
	host_version(f, true, 4);
	expect(f, "< UNLOAD size=8 to=4\n");
	client_unload(f->client);
	expect(f, "");
	host_offer(f, 3); /* not heard any more */
	expect(f, "");
	host_header_only(f, WIRE_UNLOAD_COMPLETE);
	expect(f, "unloaded\n");
	client_connect(f->client, &contact);
	client_unload(f->client);
	forget(f);
	host_version(f, false, 0);
	expect(f, "unloaded\n");
	fixture_end(f);
}

static void goodbye_at_0_13_does_not_wait(void **state)
{
	struct fixture *f = client_fixture();

	(void)state;
	client_connect_at(f, WIRE_VERSION_0_13);
	client_unload(f->client);
	expect(f, "< UNLOAD size=8 to=1\nunloaded\n");
	/* what crossed it is nobody's fault, nor is an answer */
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 1);
	host_header_only(f, WIRE_UNLOAD_COMPLETE);
	expect(f, "");
	client_connect_at(f, WIRE_VERSION_0_13);
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 1);
	expect(f, "fault RESCIND_CHANNEL_OFFER: no channel of that id\n");
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_version_is_answered_in_its_own_form),
		cmocka_unit_test(unknown_versions_and_those_above_the_cap_are_refused),
		cmocka_unit_test(messages_go_where_the_guest_wants_them),
		cmocka_unit_test(nonsense_contacts_are_dropped),
		cmocka_unit_test(one_monitor_page_without_the_other),
		cmocka_unit_test(the_caller_refuses_contact),
		cmocka_unit_test(features_are_those_of_both_ends),
		cmocka_unit_test(monitor_pages_cannot_be_changed_unless_the_caller_can),
		cmocka_unit_test(monitor_pages_are_changed),
		cmocka_unit_test(a_goodbye_is_answered_at_each_version),
		cmocka_unit_test(the_client_walks_down_from_its_newest),
		cmocka_unit_test(the_client_begins_at_a_version_there_is),
		cmocka_unit_test(messages_go_to_the_connection_id_the_host_gave),
		cmocka_unit_test(a_host_gives_no_usable_connection_id),
		cmocka_unit_test(features_are_no_more_than_was_asked),
		cmocka_unit_test(the_host_has_the_version_but_fails),
		cmocka_unit_test(goodbye_while_connecting),
		cmocka_unit_test(goodbye_at_0_13_does_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
