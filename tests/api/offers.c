/* SPDX-License-Identifier: BSD-2-Clause */

/* What a server offers is what the guest sees; who gets which offer. */

#include "pair.h"

#define OFFERS 16u

static struct kmcl_channel_info offers[OFFERS];

/* Waits until the guest knows `count` offers, then lists them. */
static void list(struct pair *pair, uint32_t count)
{
	uint32_t tries = PAIR_WAIT_MS;

	while (kmcl_guest_channels(pair->bus, NULL, 0) != count && tries--)
		KeStallExecutionProcessor(1000);
	assert_int_equal(kmcl_guest_channels(pair->bus, offers, OFFERS), count);
}

/* covers: kmcl_guest_channels, VmbServerChannelInitSetTargetInterfaceId,
 * VmbServerChannelInitSetMmioMegabytes, VmbServerChannelInitSetFlags,
 * kmcl_server_channel_init_set_offer_data, kmcl_channel_init_set_subchannel,
 * kmcl_server_channel_init_set_dedicated_interrupt, VmbChannelEnable, VmbChannelDisable */
static void every_field_arrives(void **state)
{
	struct pair *pair = pair_create();
	VMBCHANNEL ch = pair->server.channel;
	const struct kmcl_channel_info *o = &offers[0];
	uint8_t data[VMBUS_SERVER_CHANNEL_INIT_MAXIMUM_OFFER_DATA + 1];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(200 - i);
	assert_int_equal(kmcl_server_channel_init_set_offer_data(ch, data, sizeof(data)),
	                 STATUS_INVALID_PARAMETER_3);
	assert_int_equal(kmcl_server_channel_init_set_offer_data(ch, NULL, 1),
	                 STATUS_INVALID_PARAMETER_3);
	assert_int_equal(kmcl_server_channel_init_set_offer_data(ch, data, sizeof(data) - 1),
	                 STATUS_SUCCESS);
	assert_int_equal(VmbServerChannelInitSetMmioMegabytes(ch, 8, 120), STATUS_SUCCESS);
	assert_int_equal(kmcl_channel_init_set_subchannel(ch, 3), STATUS_SUCCESS);
	assert_int_equal(VmbServerChannelInitSetFlags(
				 ch, VMBUS_SERVER_CHANNEL_INIT_FLAG_ENUMERATE_DEVICE_INTERFACE |
					     VMBUS_SERVER_CHANNEL_INIT_FLAG_LOOPBACK_OFFER),
	                 STATUS_SUCCESS);
	list(pair, 0);
	assert_int_equal(VmbChannelEnable(ch), STATUS_SUCCESS);
	list(pair, 1);
	assert_memory_equal(&o->type, &pair_type, sizeof(GUID));
	assert_memory_equal(&o->instance, &pair_instance, sizeof(GUID));
	assert_int_equal(o->subchannel, 3);
	assert_int_equal(o->mmio_megabytes, 8);
	assert_int_equal(o->mmio_megabytes_optional, 120);
	/* a guest is not told of loopback (mu_msvm VMBUS_OFFER_FLAGS_WIN10) */
	assert_int_equal(o->offer_flags, 0x1);
	assert_memory_equal(o->offer_data, data, sizeof(data) - 1);
	assert_true(o->dedicated_interrupt);
	assert_false(o->monitored);
	assert_int_equal(o->state, KMCL_CHANNEL_OFFERED);
	assert_in_range(o->channel_id, 1, 2047);
	assert_int_equal(o->connection_id, 0x2000 | o->channel_id);
	assert_string_equal(o->name, "");
	VmbChannelDisable(ch);
	list(pair, 0);

	/* an offer as a pipe says so in its flags and its data */
	assert_int_equal(VmbServerChannelInitSetFlags(
				 ch, VMBUS_SERVER_CHANNEL_INIT_FLAG_OFFER_AS_PIPE |
					     VMBUS_SERVER_CHANNEL_INIT_FLAG_TLNPI_PROVIDER_OFFER),
	                 STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(ch), STATUS_SUCCESS);
	list(pair, 1);
	assert_int_equal(o->offer_flags, 0x2010); /* _NAMED_PIPE_MODE, _TLNPI_PROVIDER_OFFER */
	assert_int_equal(o->offer_data[0], 4);    /* messages */
	assert_int_equal(o->offer_data[1], 0);
	assert_int_equal(o->offer_data[4], data[4]);
	pair_destroy(pair);
}

/* covers: VmbChannelEnable */
static void the_same_offer_twice_collides(void **state)
{
	struct pair *pair = pair_create();
	struct pair_end twin = { 0 };
	GUID other = pair_instance;

	pair_add_server(pair, &twin, &pair_instance);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(twin.channel), STATUS_OBJECT_NAME_COLLISION);
	assert_int_equal(kmcl_channel_init_set_subchannel(twin.channel, 1), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(twin.channel), STATUS_SUCCESS);
	list(pair, 2);
	VmbChannelDisable(twin.channel);
	assert_int_equal(kmcl_channel_init_set_subchannel(twin.channel, 0), STATUS_SUCCESS);
	other.Data4[7]++;
	assert_int_equal(VmbServerChannelInitSetTargetInterfaceId(twin.channel, pair_type, other),
	                 STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(twin.channel), STATUS_SUCCESS);
	list(pair, 2);
	pair_remove(&twin);
	list(pair, 1);
	pair_destroy(pair);
}

/* covers: kmcl_channel_init_set_subchannel */
static void subchannels_find_each_other(void **state)
{
	struct pair *pair = pair_create();
	struct pair_end servers[3] = { 0 }, clients[3] = { 0 };

	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	VmbChannelStart(pair->server.channel);
	for (uint16_t i = 0; i < 3; i++) {
		pair_add_server(pair, &servers[i], &pair_instance);
		assert_int_equal(kmcl_channel_init_set_subchannel(servers[i].channel, i + 1), 0);
		assert_int_equal(VmbChannelEnable(servers[i].channel), STATUS_SUCCESS);
		VmbChannelStart(servers[i].channel);
	}
	/* the other way round */
	for (uint16_t i = 3; i-- > 0;) {
		uint64_t word = i;

		pair_add_client(pair, &clients[i], &pair_instance);
		assert_int_equal(kmcl_channel_init_set_subchannel(clients[i].channel, i + 1), 0);
		assert_int_equal(VmbChannelEnable(clients[i].channel), STATUS_SUCCESS);
		pair_wait(pair_traced(&clients[i], "OSP"));
		assert_int_equal(pair_send(&clients[i], &word, sizeof(word), 1), STATUS_SUCCESS);
		pair_wait(servers[i].packets == 1 && clients[i].completions == 1);
		assert_int_equal(*(uint64_t *)servers[i].last, i);
	}
	assert_string_equal(pair->server.trace, "");
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "OSP"));
	for (int i = 0; i < 3; i++) {
		pair_remove(&clients[i]);
		pair_remove(&servers[i]);
	}
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: VmbClientChannelInitSetTargetPnp, VmbChannelGetInterfaceInstance */
static void any_instance_takes_one_that_is_free(void **state)
{
	struct pair *pair = pair_create();
	struct pair_end second = { 0 }, client = { 0 };
	GUID other = pair_instance, got[2], unrelated = pair_type;

	other.Data1 ^= 0xff;
	unrelated.Data1 ^= 0xff;
	pair_add_server(pair, &second, &other);
	pair_add_client(pair, &client, &pair_instance);
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			VmbClientChannelInitSetTargetPnp(i ? client.channel : pair->client.channel,
		                                         &pair_type, NULL, NULL),
			STATUS_SUCCESS);
	/* one waits before the offers come, the other comes after them */
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(second.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "OSP"));
	assert_int_equal(VmbChannelEnable(client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&client, "OSP"));
	VmbChannelGetInterfaceInstance(pair->client.channel, &got[0]);
	VmbChannelGetInterfaceInstance(client.channel, &got[1]);
	assert_memory_not_equal(&got[0], &got[1], sizeof(GUID));
	for (int i = 0; i < 2; i++)
		assert_true(IsEqualGUID(&got[i], &pair_instance) || IsEqualGUID(&got[i], &other));
	/* what is given back goes to who waits for it; another type goes to nobody */
	pair_remove(&client);
	pair_add_client(pair, &client, &got[1]);
	assert_int_equal(VmbChannelEnable(client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&client, "OSPUCOSP"));
	VmbChannelDisable(client.channel);
	assert_int_equal(VmbClientChannelInitSetTargetPnp(client.channel, &unrelated, NULL, NULL),
	                 0);
	assert_int_equal(VmbChannelEnable(client.channel), STATUS_SUCCESS);
	KeStallExecutionProcessor(20000);
	assert_true(pair_traced(&client, "OSPUCOSPUC"));
	pair_remove(&client);
	pair_remove(&second);
	pair_destroy(pair);
}

/* covers: kmcl_server_channel_init_set_dedicated_interrupt */
static void a_channel_without_an_interrupt_of_its_own(void **state)
{
	static const uint32_t versions[] = { KMCL_BUS_VERSION(1, 1), 0 };

	for (int i = 0; i < 2; i++) {
		struct pair *pair = pair_create_versions(versions[i], 0);
		uint64_t word = 9;

		assert_int_equal(kmcl_server_channel_init_set_dedicated_interrupt(
					 pair->server.channel, FALSE),
		                 STATUS_SUCCESS);
		pair_open(pair);
		list(pair, 1);
		/* hosts since 2.4 have none that share (OpenVMM vmbus_server, send_offer) */
		assert_int_equal(offers[0].dedicated_interrupt, versions[i] == 0);
		for (uint32_t k = 0; k < 20; k++) {
			assert_int_equal(pair_send(&pair->client, &word, sizeof(word), 1), 0);
			assert_int_equal(pair_send(&pair->server, &word, sizeof(word), 1), 0);
			pair_wait(pair->client.completions == k + 1);
			pair_wait(pair->server.completions == k + 1);
		}
		pair_destroy(pair);
	}
}

static uint32_t offers_seen_at(struct pair *pair, uint8_t vtl)
{
	struct kmcl_guest_options options = { .size = sizeof(options), .vtl = vtl };
	uint32_t count;

	assert_int_equal(kmcl_guest_open_ex(pair->uri, &options, &pair->bus), STATUS_SUCCESS);
	count = kmcl_guest_channels(pair->bus, offers, OFFERS);
	kmcl_guest_close(pair->bus);
	pair->bus = NULL;
	return count;
}

/* covers: VmbServerChannelInitSetTargetVtl, kmcl_guest_open_ex */
static void offers_are_for_one_trust_level(void **state)
{
	struct pair *pair = pair_create();
	struct pair_end secure = { 0 };
	GUID other = pair_instance;

	other.Data1++;
	pair_add_server(pair, &secure, &other);
	assert_int_equal(VmbServerChannelInitSetTargetVtl(secure.channel, 2), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(secure.channel), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	/* offered while the guest is there */
	list(pair, 1);
	assert_memory_equal(&offers[0].instance, &pair_instance, sizeof(GUID));
	VmbChannelCleanup(pair->client.channel);
	pair->client.channel = NULL;
	kmcl_guest_close(pair->bus);
	/* and before it comes */
	assert_int_equal(offers_seen_at(pair, 2), 1);
	assert_memory_equal(&offers[0].instance, &other, sizeof(GUID));
	assert_int_equal(offers_seen_at(pair, 0), 1);
	assert_memory_equal(&offers[0].instance, &pair_instance, sizeof(GUID));
	pair_remove(&secure);
	pair_destroy(pair);
}

static uint64_t mmio_address, mmio_size;

static NTSTATUS ask_for_mmio(struct pair_end *end)
{
	VmbChannelGetMmioSpace(end->channel, &mmio_address, &mmio_size);
	return STATUS_SUCCESS;
}

/* covers: VmbChannelGetMmioSpace */
static void the_guest_reserves_mmio_space(void **state)
{
	struct pair *pair = pair_create();
	uint64_t address, size;

	assert_int_equal(VmbServerChannelInitSetMmioMegabytes(pair->server.channel, 8, 0), 0);
	pair->client.on_opened = ask_for_mmio;
	VmbChannelGetMmioSpace(pair->client.channel, &address, &size);
	assert_int_equal(address, 0);
	assert_int_equal(size, 0);
	pair_open(pair);
	assert_int_equal(mmio_size, 8 << 20); /* from Opened on */
	assert_true(mmio_address && mmio_address % (1 << 20) == 0);
	VmbChannelGetMmioSpace(pair->client.channel, &address, &size);
	assert_int_equal(address, mmio_address);
	assert_int_equal(size, mmio_size);
	/* the guest does not tell the host where */
	VmbChannelGetMmioSpace(pair->server.channel, &address, &size);
	assert_int_equal(address, 0);
	assert_int_equal(size, 0);
	VmbChannelDisable(pair->client.channel);
	VmbChannelGetMmioSpace(pair->client.channel, &address, &size);
	assert_int_equal(address, 0);
	pair_destroy(pair);
}

static uint64_t mmio_of(struct pair_end *end)
{
	uint64_t address, size;

	VmbChannelGetMmioSpace(end->channel, &address, &size);
	return address;
}

/* covers: VmbChannelGetMmioSpace */
static void mmio_spaces_do_not_overlap(void **state)
{
	struct pair *pair = pair_create();
	struct pair_end server = { 0 }, client = { 0 };
	GUID other = pair_instance;

	other.Data1++;
	pair_add_server(pair, &server, &other);
	pair_add_client(pair, &client, &other);
	assert_int_equal(VmbServerChannelInitSetMmioMegabytes(pair->server.channel, 65535, 0), 0);
	assert_int_equal(VmbServerChannelInitSetMmioMegabytes(server.channel, 65535, 0), 0);
	pair_open(pair);
	assert_int_equal(VmbChannelEnable(server.channel), 0);
	assert_int_equal(VmbChannelEnable(client.channel), 0);
	pair_wait(pair_traced(&client, "OSP"));
	assert_true(mmio_of(&client) >= mmio_of(&pair->client) + (65535ull << 20) ||
	            mmio_of(&pair->client) >= mmio_of(&client) + (65535ull << 20));
	pair_remove(&client);
	pair_remove(&server);
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_arrives),
		cmocka_unit_test(the_same_offer_twice_collides),
		cmocka_unit_test(subchannels_find_each_other),
		cmocka_unit_test(any_instance_takes_one_that_is_free),
		cmocka_unit_test(a_channel_without_an_interrupt_of_its_own),
		cmocka_unit_test(offers_are_for_one_trust_level),
		cmocka_unit_test(the_guest_reserves_mmio_space),
		cmocka_unit_test(mmio_spaces_do_not_overlap),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("offers", tests, NULL, NULL);
}
