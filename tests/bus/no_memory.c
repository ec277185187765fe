/* SPDX-License-Identifier: BSD-2-Clause */

/* Each allocation fails once: the answer is defined, nothing leaks, and it works the next time. */

#include "fixture.h"

static void no_memory_for_a_machine(void **state)
{
	struct memory_count memory = { .fail_in = 1 };
	struct server *server;
	struct client *client;

	(void)state;
	assert_int_equal(server_create(server_fixture_ops(), &memory, &server_limits_default,
	                               WIRE_VERSION_6_0, &server),
	                 BUS_NO_MEMORY);
	assert_null(server);
	memory.fail_in = 1;
	assert_int_equal(client_create(client_fixture_ops(), &memory, &client), BUS_NO_MEMORY);
	assert_null(client);
	assert_int_equal(server_destroy(NULL), BUS_OK);
	assert_int_equal(client_destroy(NULL), BUS_OK);
}

static void no_memory_for_an_offer(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct bus_offer o = offer_named("A");
	struct server_channel *channel;
	char owner[] = "A";

	(void)state;
	f->memory.fail_in = 1;
	assert_int_equal(server_offer(f->server, &o, owner, &channel), -1);
	assert_int_equal(server_offer(f->server, &o, owner, &channel), 0);
	assert_int_equal(o.channel_id, 1);
	fixture_end(f);
}

static void no_memory_for_a_gpadl(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	uint64_t words[] = { range_word(4096, 0), 1 };
	size_t blocks;

	(void)state;
	connect_at(f, WIRE_VERSION_5_3);
	offer(f, "A");
	forget(f);
	blocks = f->memory.blocks;
	for (size_t fail = 1; fail <= 3; fail++) { /* itself, its words, its ranges */
		f->memory.fail_in = fail;
		guest_gpadl(f, 1, 7, 1);
		expect(f, "> CREATED 1 gpadl=7 0xc000009a\n");
		assert_int_equal(f->memory.blocks, blocks);
		assert_int_equal(f->memory.fail_in, 0);
	}
	guest_gpadl_header(f, 1, 7, 16, 1, words, 1);
	f->memory.fail_in = 1; /* the ranges, when a body completes it */
	guest_gpadl_body(f, 7, words + 1, 1);
	expect(f, "> CREATED 1 gpadl=7 0xc000009a\n");
	assert_int_equal(f->memory.blocks, blocks);
	guest_gpadl(f, 1, 7, 1);
	expect(f, "gpadl A 7 4096@0:100-100\n");
	fixture_end(f);
}

static void no_memory_at_the_client(void **state)
{
	struct fixture *f = client_fixture();
	static const uint64_t pfn = 7;
	struct bus_gpa_range range = { 4096, 0, &pfn };
	uint32_t gpadl;

	(void)state;
	client_connect_at(f, WIRE_VERSION_5_3);
	f->memory.fail_in = 1;
	host_offer(f, 1);
	expect(f, "fault OFFER_CHANNEL: no memory for the offer\n");
	assert_null(client_offer(f->client, 1));
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 1);
	expect(f, "fault RESCIND_CHANNEL_OFFER: no channel of that id\n");
	host_offer(f, 1);
	f->memory.fail_in = 1;
	assert_int_equal(client_gpadl_create(f->client, 1, &range, 1, &gpadl), -1);
	forget(f);
	assert_int_equal(client_gpadl_create(f->client, 1, &range, 1, &gpadl), 0);
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_memory_for_a_machine),
		cmocka_unit_test(no_memory_for_an_offer),
		cmocka_unit_test(no_memory_for_a_gpadl),
		cmocka_unit_test(no_memory_at_the_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
