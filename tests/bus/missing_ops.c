/* SPDX-License-Identifier: BSD-2-Clause */

/* Ops that are not there: a machine is not made without one that it needs, and has its whole life
 * without each of those that are optional. */

#include "fixture.h"

#include <stdlib.h>
#include <string.h>

struct op {
	const char *name;
	size_t offset;
	bool optional;
};

#define CLIENT_OP(name, optional)                                  \
	{                                                          \
#name, offsetof(struct client_ops, name), optional \
	}
#define SERVER_OP(name, optional)                                  \
	{                                                          \
#name, offsetof(struct server_ops, name), optional \
	}

static const struct op client_ops[] = {
	CLIENT_OP(memory.allocate, false),
	CLIENT_OP(memory.release, false),
	CLIENT_OP(send, false),
	CLIENT_OP(connected, false),
	CLIENT_OP(offer, false),
	CLIENT_OP(offers_delivered, true),
	CLIENT_OP(rescind, false),
	CLIENT_OP(opened, false),
	CLIENT_OP(gpadl_created, false),
	CLIENT_OP(gpadl_torndown, false),
	CLIENT_OP(modified, true),
	CLIENT_OP(tl_result, true),
	CLIENT_OP(unloaded, false),
	CLIENT_OP(fault, true),
};

static const struct op server_ops[] = {
	SERVER_OP(memory.allocate, false),
	SERVER_OP(memory.release, false),
	SERVER_OP(send, false),
	SERVER_OP(contact, false),
	SERVER_OP(disconnected, false),
	SERVER_OP(open, false),
	SERVER_OP(close, false),
	SERVER_OP(modify, false),
	SERVER_OP(gpadl, false),
	SERVER_OP(gpadl_teardown, false),
	SERVER_OP(revoked, false),
	SERVER_OP(tl_connect, true),
	SERVER_OP(monitor_pages, true),
	SERVER_OP(fault, true),
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define POINTER      sizeof(void (*)(void))

/* Each pointer of the structure has a row in the table. */
static void every_op_has_a_row(void **state)
{
	(void)state;
	assert_int_equal(COUNT(client_ops) * POINTER, sizeof(struct client_ops));
	/* Beside those of gpadl_memory, which are optional together. */
	assert_int_equal((COUNT(server_ops) + 2) * POINTER, sizeof(struct server_ops));
}

static void client_lives(struct fixture *f)
{
	static const struct client_open ring = { .ring_gpadl = 1, .ring_offset = 4 };
	const struct bus_guid endpoint = { "e" }, service = { "s" };
	struct wire_tl_connect_result result = { .header.type = WIRE_TL_CONNECT_RESULT };

	assert_int_equal(client_tl_connect(f->client, &endpoint, &service), BUS_OK);
	client_connect_at(f, WIRE_VERSION_5_3);
	host_offer(f, 1);
	host_header_only(f, WIRE_ALL_OFFERS_DELIVERED);
	host_header_only(f, WIRE_ALL_OFFERS_DELIVERED); /* a fault */
	host_message(f, &result, sizeof(result));
	client_gpadl_of(f, 1, 8);
	client_open(f->client, 1, &ring);
	host_open_result(f, 1, 1, BUS_STATUS_SUCCESS);
	client_modify(f->client, 1, 2);
	host_modify_response(f, 1, BUS_STATUS_SUCCESS);
	client_modify(f->client, 1, 2);
	client_close(f->client, 1);
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 1);
	assert_int_equal(client_release(f->client, 1), BUS_OK);
	assert_int_equal(client_unload(f->client), BUS_OK);
	host_header_only(f, WIRE_UNLOAD_COMPLETE);
}

static void a_client_without(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(client_ops); i++) {
		const struct op *op = &client_ops[i];
		struct fixture *f = client_fixture();
		struct client_ops ops = *client_fixture_ops();
		enum bus_result result;

		assert_int_equal(client_destroy(f->client), BUS_OK);
		memset((char *)&ops + op->offset, 0, POINTER);
		result = client_create(&ops, f, &f->client);
		if (result != (op->optional ? BUS_OK : BUS_NO_OP) || !f->client == op->optional)
			fail_msg("without %s: %d", op->name, result);
		if (op->optional)
			client_lives(f);
		fixture_end(f);
	}
}

static void server_lives(struct fixture *f)
{
	struct wire_tl_connect_request tl = { .header.type = WIRE_TL_CONNECT_REQUEST };
	struct server_channel *channel = offer(f, "A");

	connect_at(f, WIRE_VERSION_5_3);
	guest_header_only(f, WIRE_REQUEST_OFFERS); /* a fault */
	server_message(f->server, &tl, sizeof(tl));
	guest_gpadl(f, 1, 1, 8);
	server_gpadl_done(f->server, channel, 1, BUS_STATUS_SUCCESS);
	guest_open(f, 1, 5, 1);
	server_open_done(f->server, channel, BUS_STATUS_SUCCESS);
	guest_modify(f, 1, 2);
	server_modify_done(f->server, channel, BUS_STATUS_SUCCESS);
	server_revoke(f->server, channel);
	server_close_done(f->server, channel);
	server_gpadl_teardown_done(f->server, channel, 1);
	guest_header_only(f, WIRE_UNLOAD);
	assert_int_equal(server_version(f->server), 0);
}

static enum bus_result server_without(struct fixture *f, const struct server_ops *ops)
{
	assert_int_equal(server_destroy(f->server), BUS_OK);
	return server_create(ops, f, &server_limits_default, WIRE_VERSION_6_0, &f->server);
}

static void a_server_without(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(server_ops); i++) {
		const struct op *op = &server_ops[i];
		struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
		struct server_ops ops = *server_fixture_ops();
		enum bus_result result;

		memset((char *)&ops + op->offset, 0, POINTER);
		result = server_without(f, &ops);
		if (result != (op->optional ? BUS_OK : BUS_NO_OP) || !f->server == op->optional)
			fail_msg("without %s: %d", op->name, result);
		if (op->optional)
			server_lives(f);
		fixture_end(f);
	}
}

/* Memory for GPADLs comes and goes by the same hands. */
static void half_of_a_pair(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct server_ops ops = *server_fixture_ops();

	(void)state;
	ops.gpadl_memory.allocate = ops.memory.allocate;
	assert_int_equal(server_without(f, &ops), BUS_NO_OP);
	ops.gpadl_memory.allocate = NULL;
	ops.gpadl_memory.release = ops.memory.release;
	assert_int_equal(server_without(f, &ops), BUS_NO_OP);
	ops.gpadl_memory.allocate = ops.memory.allocate;
	assert_int_equal(server_without(f, &ops), BUS_OK);
	server_lives(f);
	fixture_end(f);
}

/* Who has no op for it refuses them all. */
static void tl_connects_are_refused(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct wire_tl_connect_request tl = { .header.type = WIRE_TL_CONNECT_REQUEST,
		                              .endpoint_id = "e",
		                              .service_id = "s" };
	struct server_ops ops = *server_fixture_ops();

	(void)state;
	ops.tl_connect = NULL;
	assert_int_equal(server_without(f, &ops), BUS_OK);
	connect_at(f, WIRE_VERSION_5_3);
	server_message(f->server, &tl, sizeof(tl));
	expect(f, "> TL_RESULT e s 0xc0000236\n");
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_op_has_a_row),      cmocka_unit_test(a_client_without),
		cmocka_unit_test(a_server_without),        cmocka_unit_test(half_of_a_pair),
		cmocka_unit_test(tl_connects_are_refused),
	};

	return cmocka_run_group_tests_name("missing_ops", tests, NULL, NULL);
}
