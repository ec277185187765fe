/* SPDX-License-Identifier: BSD-2-Clause */

/* Success is 0 and nothing else, in every answer and at both ends. What comes out of the client is
 * 0 or a failure by NT_SUCCESS()'s measure, whatever the host says. */

#include "fixture.h"

#include <stdio.h>

static const struct {
	uint32_t wire;
	uint32_t taken;
} statuses[] = {
	{ 0, 0 },
	{ 0x1, BUS_STATUS_UNSUCCESSFUL },
	{ 0x103, BUS_STATUS_UNSUCCESSFUL }, /* STATUS_PENDING */
	{ 0x7fffffff, BUS_STATUS_UNSUCCESSFUL },
	{ 0x40000000, BUS_STATUS_UNSUCCESSFUL }, /* informational */
	{ 0x80000005, 0x80000005 },              /* a warning */
	{ 0xc0000001, 0xc0000001 },
	{ 0xc00000b5, 0xc00000b5 },
	{ 0xffffffff, 0xffffffff },
};

#define STATUSES (sizeof(statuses) / sizeof(statuses[0]))

static const struct client_open ring = { .ring_gpadl = 1, .ring_offset = 4 };

static struct fixture *connected(void)
{
	struct fixture *f = client_fixture();

	client_connect_at(f, WIRE_VERSION_5_3);
	host_offer(f, 1);
	forget(f);
	return f;
}

static void expect_status(struct fixture *f, const char *what, uint32_t status)
{
	char line[100];

	snprintf(line, sizeof(line), "%s 0x%x\n", what, status);
	expect(f, line);
}

static void open_results(void **state)
{
	(void)state;
	for (size_t i = 0; i < STATUSES; i++) {
		struct fixture *f = connected();

		client_open(f->client, 1, &ring);
		forget(f);
		host_open_result(f, 1, 1, statuses[i].wire);
		expect_status(f, "opened 1 open=1", statuses[i].taken);
		/* Open, and to be closed, or not. */
		assert_int_equal(client_close(f->client, 1), statuses[i].wire ? -1 : 0);
		fixture_end(f);
	}
}

static void gpadls_created(void **state)
{
	static const uint64_t pfn = 7;
	struct bus_gpa_range range = { 4096, 0, &pfn };
	uint32_t gpadl;

	(void)state;
	for (size_t i = 0; i < STATUSES; i++) {
		struct fixture *f = connected();

		client_gpadl_create(f->client, 1, &range, 1, &gpadl);
		forget(f);
		host_gpadl_created(f, 1, gpadl, statuses[i].wire);
		expect_status(f, "gpadl_created 1 gpadl=1", statuses[i].taken);
		assert_int_equal(client_gpadl_teardown(f->client, 1, gpadl),
		                 statuses[i].wire ? -1 : 0);
		fixture_end(f);
	}
}

static void modify_responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < STATUSES; i++) {
		struct fixture *f = connected();

		client_open(f->client, 1, &ring);
		host_open_result(f, 1, 1, BUS_STATUS_SUCCESS);
		client_modify(f->client, 1, 3);
		forget(f);
		host_modify_response(f, 1, statuses[i].wire);
		expect_status(f, "modified 1", statuses[i].taken);
		fixture_end(f);
	}
}

static void tl_connect_results(void **state)
{
	const struct bus_guid endpoint = { "e" }, service = { "s" };

	(void)state;
	for (size_t i = 0; i < STATUSES; i++) {
		struct wire_tl_connect_result m = { .header.type = WIRE_TL_CONNECT_RESULT,
			                            .endpoint_id = "e",
			                            .service_id = "s",
			                            .status = statuses[i].wire };
		struct fixture *f = connected();

		client_tl_connect(f->client, &endpoint, &service);
		forget(f);
		host_message(f, &m, sizeof(m));
		expect_status(f, "tl_result e s", statuses[i].taken);
		fixture_end(f);
	}
}

/* The version would do, and the host could not connect: any state but 0 says so. */
static void connection_states(void **state)
{
	struct client_contact contact = { .version_max = WIRE_VERSION_5_3 };

	(void)state;
	for (unsigned value = 1; value < 256; value += 127) {
		struct wire_version_response m = { .header.type = WIRE_VERSION_RESPONSE,
			                           .version_supported = 1,
			                           .connection_state = (uint8_t)value,
			                           .selected_version = 4 };
		struct fixture *f = client_fixture();

		client_connect(f->client, &contact);
		forget(f);
		host_message(f, &m, WIRE_VERSION_RESPONSE_SIZE);
		expect(f, "fault VERSION_RESPONSE: the host failed to connect\n"
		          "connected 0.0 features=0x0\n");
		fixture_end(f);
	}
}

/* What the host's own side says: a guest that is told anything but 0 holds the channel for closed.
 */
static void the_server_agrees_with_what_it_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < STATUSES; i++) {
		struct fixture *f = server_fixture(NULL, WIRE_VERSION_5_3);
		struct server_channel *channel;
		char lines[200];

		connect_at(f, WIRE_VERSION_5_3);
		channel = offer_with_gpadl(f, "A");
		guest_open(f, 1, 5, 1);
		forget(f);
		server_open_done(f->server, channel, statuses[i].wire);
		snprintf(lines, sizeof(lines), "> OPEN_RESULT 1 open=5 0x%x\n", statuses[i].wire);
		expect(f, lines);
		assert_string_equal(server_channel_state(channel),
		                    statuses[i].wire ? "offered" : "open");
		fixture_end(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_results),
		cmocka_unit_test(gpadls_created),
		cmocka_unit_test(modify_responses),
		cmocka_unit_test(tl_connect_results),
		cmocka_unit_test(connection_states),
		cmocka_unit_test(the_server_agrees_with_what_it_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
