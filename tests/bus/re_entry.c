/* SPDX-License-Identifier: BSD-2-Clause */

/* Each op calls each function of the machine that called it: all that would change the machine say
 * that they did nothing, and all that only look answer. What an op was in the middle of goes on. */

#include "fixture.h"

#include <stdlib.h>
#include <string.h>

static const struct client_contact contact = { .version_max = WIRE_VERSION_5_3, .message_sint = 2 };
static const struct client_open ring = { .ring_gpadl = 1, .ring_offset = 4 };
static const uint64_t pfn = 7;
static const struct bus_gpa_range range = { 4096, 0, &pfn };
static const struct bus_guid endpoint = { "e" }, service = { "s" };

static size_t blocks;
static struct client *client;
static struct server *server;
static struct server_channel *channel;

/* ---------------- the guest end ---------------- */

enum client_op {
	CLIENT_ALLOCATE,
	CLIENT_RELEASE,
	CLIENT_SEND,
	CLIENT_CONNECTED,
	CLIENT_OFFER,
	CLIENT_OFFERS_DELIVERED,
	CLIENT_RESCIND,
	CLIENT_OPENED,
	CLIENT_GPADL_CREATED,
	CLIENT_GPADL_TORNDOWN,
	CLIENT_MODIFIED,
	CLIENT_TL_RESULT,
	CLIENT_UNLOADED,
	CLIENT_FAULT,
	CLIENT_OPS
};

static unsigned int client_calls[CLIENT_OPS];

static enum bus_result call_message(void)
{
	struct wire_channel_message m = { .header.type = WIRE_RESCIND_CHANNEL_OFFER,
		                          .channel_id = 1 };

	return client_message(client, &m, sizeof(m));
}

static enum bus_result call_reset(void)
{
	return client_reset(client);
}

static enum bus_result call_connect(void)
{
	return client_connect(client, &contact);
}

static enum bus_result call_contact_refused(void)
{
	return client_contact_refused(client);
}

static enum bus_result call_unload(void)
{
	return client_unload(client);
}

static enum bus_result call_open(void)
{
	return client_open(client, 1, &ring);
}

static enum bus_result call_close(void)
{
	return client_close(client, 1);
}

static enum bus_result call_modify(void)
{
	return client_modify(client, 1, 2);
}

static enum bus_result call_modify_give_up(void)
{
	return client_modify_give_up(client, 1);
}

static enum bus_result call_gpadl_create(void)
{
	uint32_t gpadl;

	return client_gpadl_create(client, 1, &range, 1, &gpadl);
}

static enum bus_result call_gpadl_teardown(void)
{
	return client_gpadl_teardown(client, 1, 1);
}

static enum bus_result call_release(void)
{
	return client_release(client, 1);
}

static enum bus_result call_tl_connect(void)
{
	return client_tl_connect(client, &endpoint, &service);
}

static enum bus_result call_set_owner(void)
{
	return client_set_owner(client, 1, NULL);
}

static enum bus_result call_resume(void)
{
	return client_resume(client);
}

static enum bus_result call_destroy(void)
{
	return client_destroy(client);
}

static const struct {
	const char *name;
	enum bus_result (*call)(void);
} client_functions[] = {
	{ "message", call_message },
	{ "reset", call_reset },
	{ "connect", call_connect },
	{ "contact_refused", call_contact_refused },
	{ "unload", call_unload },
	{ "open", call_open },
	{ "close", call_close },
	{ "modify", call_modify },
	{ "modify_give_up", call_modify_give_up },
	{ "gpadl_create", call_gpadl_create },
	{ "gpadl_teardown", call_gpadl_teardown },
	{ "release", call_release },
	{ "tl_connect", call_tl_connect },
	{ "set_owner", call_set_owner },
	{ "resume", call_resume },
	{ "destroy", call_destroy },
};

static void from_client_op(enum client_op op)
{
	struct bus_offer offer = { .dedicated_interrupt = true };

	client_calls[op]++;
	if (!client) /* being made */
		return;
	for (size_t i = 0; i < sizeof(client_functions) / sizeof(client_functions[0]); i++) {
		enum bus_result result = client_functions[i].call();

		if (result != BUS_REENTERED)
			fail_msg("client_%s from op %u: %d", client_functions[i].name, op, result);
	}
	(void)client_version(client);
	(void)client_uses_shared_interrupt(client, &offer);
	(void)client_hears_shared_interrupt(client);
}

static void *take_block(size_t size)
{
	blocks++;
	return calloc(1, size);
}

static void give_block(void *memory, size_t size)
{
	blocks--;
	memset(memory, 0xa5, size);
	free(memory);
}

static void *client_allocates(void *context, size_t size)
{
	from_client_op(CLIENT_ALLOCATE);
	return take_block(size);
}

static void client_frees(void *context, void *memory, size_t size)
{
	if (memory != client)
		from_client_op(CLIENT_RELEASE);
	give_block(memory, size);
}

static bool client_sends(void *context, const void *message, size_t size, uint32_t connection_id)
{
	from_client_op(CLIENT_SEND);
	return true;
}

static void client_is_connected(void *context, uint32_t version, uint32_t feature_flags)
{
	from_client_op(CLIENT_CONNECTED);
}

static void client_is_offered(void *context, const struct bus_offer *offer, void **owner)
{
	from_client_op(CLIENT_OFFER);
}

static void client_has_offers(void *context)
{
	from_client_op(CLIENT_OFFERS_DELIVERED);
}

static void client_is_rescinded(void *context, void *owner, uint32_t channel_id)
{
	from_client_op(CLIENT_RESCIND);
}

static void client_is_opened(void *context, void *owner, uint32_t channel_id, uint32_t open_id,
                             uint32_t status)
{
	from_client_op(CLIENT_OPENED);
}

static void client_gpadl_is_created(void *context, void *owner, uint32_t channel_id, uint32_t gpadl,
                                    uint32_t status)
{
	from_client_op(CLIENT_GPADL_CREATED);
}

static void client_gpadl_is_torndown(void *context, void *owner, uint32_t channel_id,
                                     uint32_t gpadl)
{
	from_client_op(CLIENT_GPADL_TORNDOWN);
}

static void client_is_modified(void *context, void *owner, uint32_t channel_id, uint32_t status)
{
	from_client_op(CLIENT_MODIFIED);
}

static void client_has_tl_result(void *context, const struct bus_guid *e, const struct bus_guid *s,
                                 uint32_t status)
{
	from_client_op(CLIENT_TL_RESULT);
}

static void client_is_unloaded(void *context)
{
	from_client_op(CLIENT_UNLOADED);
}

static void client_has_fault(void *context, const struct bus_fault *fault)
{
	from_client_op(CLIENT_FAULT);
}

static const struct client_ops client_ops = {
	.memory = { client_allocates, client_frees },
	.send = client_sends,
	.connected = client_is_connected,
	.offer = client_is_offered,
	.offers_delivered = client_has_offers,
	.rescind = client_is_rescinded,
	.opened = client_is_opened,
	.gpadl_created = client_gpadl_is_created,
	.gpadl_torndown = client_gpadl_is_torndown,
	.modified = client_is_modified,
	.tl_result = client_has_tl_result,
	.unloaded = client_is_unloaded,
	.fault = client_has_fault,
};

static void client_has_a_life(struct fixture *f, uint32_t open_id)
{
	uint32_t gpadl;

	f->client = client;
	client_connect_at(f, WIRE_VERSION_5_3);
	host_offer(f, 1);
	host_offer(f, 2);
	host_header_only(f, WIRE_ALL_OFFERS_DELIVERED);
	gpadl = client_gpadl_of(f, 1, 40);
	assert_int_equal(client_open(client, 1, &ring), BUS_OK);
	host_open_result(f, 1, open_id, BUS_STATUS_SUCCESS);
	assert_int_equal(client_modify(client, 1, 3), BUS_OK);
	host_modify_response(f, 1, BUS_STATUS_SUCCESS);
	host_modify_response(f, 1, BUS_STATUS_SUCCESS); /* a fault */
	assert_int_equal(client_close(client, 1), BUS_OK);
	assert_int_equal(client_gpadl_teardown(client, 1, gpadl), BUS_OK);
	host_gpadl_torndown(f, gpadl);
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 1);
	assert_int_equal(client_release(client, 1), BUS_OK);
	client_gpadl_of(f, 2, 1);
}

static void each_op_of_a_client(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	(void)state;
	assert_int_equal(client_create(&client_ops, NULL, &client), BUS_OK);
	client_has_a_life(f, 1);
	assert_int_equal(client_reset(client), BUS_OK);
	client_has_a_life(f, 2);
	assert_int_equal(client_unload(client), BUS_OK);
	host_header_only(f, WIRE_UNLOAD_COMPLETE);
	/* Nobody to ask: the machine itself refuses. */
	assert_int_equal(client_tl_connect(client, &endpoint, &service), BUS_OK);
	for (enum client_op op = 0; op < CLIENT_OPS; op++)
		if (!client_calls[op])
			fail_msg("op %u was not called", op);
	assert_int_equal(client_destroy(client), BUS_OK);
	assert_int_equal(blocks, 0);
	client = NULL;
	free(f);
}

/* ---------------- the host end ---------------- */

enum server_op {
	SERVER_ALLOCATE,
	SERVER_RELEASE,
	SERVER_SEND,
	SERVER_CONTACT,
	SERVER_DISCONNECTED,
	SERVER_OPEN,
	SERVER_CLOSE,
	SERVER_MODIFY,
	SERVER_GPADL,
	SERVER_GPADL_TEARDOWN,
	SERVER_REVOKED,
	SERVER_TL_CONNECT,
	SERVER_MONITOR_PAGES,
	SERVER_FAULT,
	SERVER_OPS
};

static unsigned int server_calls[SERVER_OPS];

static enum bus_result call_server_message(void)
{
	struct wire_message_header m = { .type = WIRE_UNLOAD };

	return server_message(server, &m, sizeof(m));
}

static enum bus_result call_server_reset(void)
{
	return server_reset(server);
}

static enum bus_result call_server_offer(void)
{
	struct bus_offer offer = { .subchannel_index = 9 };
	struct server_channel *other;

	return server_offer(server, &offer, NULL, &other);
}

static enum bus_result call_server_revoke(void)
{
	return server_revoke(server, channel);
}

static enum bus_result call_server_contact_done(void)
{
	return server_contact_done(server, true);
}

static enum bus_result call_server_monitor_pages_done(void)
{
	return server_monitor_pages_done(server, true);
}

static enum bus_result call_server_open_done(void)
{
	return server_open_done(server, channel, BUS_STATUS_SUCCESS);
}

static enum bus_result call_server_close_done(void)
{
	return server_close_done(server, channel);
}

static enum bus_result call_server_modify_done(void)
{
	return server_modify_done(server, channel, BUS_STATUS_SUCCESS);
}

static enum bus_result call_server_gpadl_done(void)
{
	return server_gpadl_done(server, channel, 1, BUS_STATUS_SUCCESS);
}

static enum bus_result call_server_gpadl_teardown_done(void)
{
	return server_gpadl_teardown_done(server, channel, 1);
}

static enum bus_result call_server_tl_result(void)
{
	return server_tl_result(server, &endpoint, &service, BUS_STATUS_CONNECTION_REFUSED);
}

static enum bus_result call_server_destroy(void)
{
	return server_destroy(server);
}

static const struct {
	const char *name;
	enum bus_result (*call)(void);
} server_functions[] = {
	{ "message", call_server_message },
	{ "reset", call_server_reset },
	{ "offer", call_server_offer },
	{ "revoke", call_server_revoke },
	{ "contact_done", call_server_contact_done },
	{ "monitor_pages_done", call_server_monitor_pages_done },
	{ "open_done", call_server_open_done },
	{ "close_done", call_server_close_done },
	{ "modify_done", call_server_modify_done },
	{ "gpadl_done", call_server_gpadl_done },
	{ "gpadl_teardown_done", call_server_gpadl_teardown_done },
	{ "tl_result", call_server_tl_result },
	{ "destroy", call_server_destroy },
};

static void from_server_op(enum server_op op)
{
	server_calls[op]++;
	if (!server)
		return;
	for (size_t i = 0; i < sizeof(server_functions) / sizeof(server_functions[0]); i++) {
		enum bus_result result = server_functions[i].call();

		if (result != BUS_REENTERED)
			fail_msg("server_%s from op %u: %d", server_functions[i].name, op, result);
	}
	(void)server_version(server);
}

static void *server_allocates(void *context, size_t size)
{
	from_server_op(SERVER_ALLOCATE);
	return take_block(size);
}

static void server_frees(void *context, void *memory, size_t size)
{
	if (memory != server)
		from_server_op(SERVER_RELEASE);
	give_block(memory, size);
}

static void server_sends(void *context, const void *message, size_t size, uint32_t vp, uint8_t sint)
{
	from_server_op(SERVER_SEND);
}

static void server_is_contacted(void *context, const struct server_contact *c)
{
	from_server_op(SERVER_CONTACT);
}

static void server_is_disconnected(void *context)
{
	from_server_op(SERVER_DISCONNECTED);
}

static void server_opens(void *context, void *owner, const struct server_open *open)
{
	(void)server_channel_state(channel);
	from_server_op(SERVER_OPEN);
}

static void server_closes(void *context, void *owner)
{
	from_server_op(SERVER_CLOSE);
}

static void server_modifies(void *context, void *owner, uint32_t vp)
{
	from_server_op(SERVER_MODIFY);
}

static void server_has_gpadl(void *context, void *owner, uint32_t gpadl,
                             const struct bus_gpa_range *ranges, uint32_t count)
{
	from_server_op(SERVER_GPADL);
}

static void server_loses_gpadl(void *context, void *owner, uint32_t gpadl)
{
	from_server_op(SERVER_GPADL_TEARDOWN);
}

static void server_has_revoked(void *context, void *owner)
{
	from_server_op(SERVER_REVOKED);
}

static void server_is_asked(void *context, const struct bus_guid *e, const struct bus_guid *s,
                            const struct bus_guid *silo)
{
	from_server_op(SERVER_TL_CONNECT);
}

static void server_has_monitor_pages(void *context, const uint64_t pages[2])
{
	from_server_op(SERVER_MONITOR_PAGES);
}

static void server_has_fault(void *context, const struct bus_fault *fault)
{
	from_server_op(SERVER_FAULT);
}

static const struct server_ops server_ops = {
	.memory = { server_allocates, server_frees },
	.send = server_sends,
	.contact = server_is_contacted,
	.disconnected = server_is_disconnected,
	.open = server_opens,
	.close = server_closes,
	.modify = server_modifies,
	.gpadl = server_has_gpadl,
	.gpadl_teardown = server_loses_gpadl,
	.revoked = server_has_revoked,
	.tl_connect = server_is_asked,
	.monitor_pages = server_has_monitor_pages,
	.fault = server_has_fault,
};

static void guest_has_a_life(struct fixture *f)
{
	struct wire_initiate_contact c = { .header.type = WIRE_INITIATE_CONTACT,
		                           .version = WIRE_VERSION_6_0,
		                           .target_sint = 2,
		                           .feature_flags = WIRE_FEATURE_MODIFY_CONNECTION };
	struct wire_modify_connection pages = { .header.type = WIRE_MODIFY_CONNECTION };
	struct wire_tl_connect_request tl = { .header.type = WIRE_TL_CONNECT_REQUEST };

	guest_contact_with(f, &c, WIRE_INITIATE_CONTACT_SIZE_SHORT);
	assert_int_equal(server_contact_done(server, true), BUS_OK);
	guest_header_only(f, WIRE_REQUEST_OFFERS);
	guest_header_only(f, WIRE_REQUEST_OFFERS); /* a fault */
	server_message(server, &pages, sizeof(pages));
	assert_int_equal(server_monitor_pages_done(server, true), BUS_OK);
	server_message(server, &tl, sizeof(tl));
	assert_int_equal(
		server_tl_result(server, &endpoint, &service, BUS_STATUS_CONNECTION_REFUSED),
		BUS_OK);
	guest_gpadl(f, 1, 1, 8);
	assert_int_equal(server_gpadl_done(server, channel, 1, BUS_STATUS_SUCCESS), BUS_OK);
	guest_open(f, 1, 5, 1);
	assert_int_equal(server_open_done(server, channel, BUS_STATUS_SUCCESS), BUS_OK);
	guest_modify(f, 1, 2);
	assert_int_equal(server_modify_done(server, channel, BUS_STATUS_SUCCESS), BUS_OK);
}

static void each_op_of_a_server(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	(void)state;
	assert_int_equal(
		server_create(&server_ops, NULL, &server_limits_default, WIRE_VERSION_6_0, &server),
		BUS_OK);
	f->server = server;
	channel = offer(f, "A");
	guest_has_a_life(f);
	assert_int_equal(server_revoke(server, channel), BUS_OK);
	assert_int_equal(server_close_done(server, channel), BUS_OK);
	assert_int_equal(server_gpadl_teardown_done(server, channel, 1), BUS_OK);
	guest_channel_message(f, WIRE_RELID_RELEASED, 1);
	assert_int_equal(server_reset(server), BUS_OK);
	for (enum server_op op = 0; op < SERVER_OPS; op++)
		if (!server_calls[op])
			fail_msg("op %u was not called", op);
	assert_int_equal(server_destroy(server), BUS_OK);
	assert_int_equal(blocks, 0);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_op_of_a_client),
		cmocka_unit_test(each_op_of_a_server),
	};

	return cmocka_run_group_tests_name("re_entry", tests, NULL, NULL);
}
