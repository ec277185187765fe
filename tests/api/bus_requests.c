/* SPDX-License-Identifier: BSD-2-Clause */

/* What the ends of the bus arrange beside packets: monitored signals, target processors, open data.
 */

#include "pair.h"

#define WAIT VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION

static struct kmcl_statistics statistics_of(const struct pair_end *end)
{
	struct kmcl_channel_info info;

	kmcl_channel_info(end->channel, &info);
	return info.statistics;
}

/* covers: kmcl_server_channel_init_set_monitored */
static void signals_go_through_the_page(void **state)
{
	struct pair *pair = pair_create();
	struct kmcl_channel_info info;
	uint64_t word = 1;
	KIRQL irql;

	assert_int_equal(kmcl_server_channel_init_set_monitored(pair->server.channel, 0),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(kmcl_server_channel_init_set_monitored(pair->server.channel, 1000),
	                 STATUS_SUCCESS);
	pair_open(pair);
	kmcl_channel_info(pair->client.channel, &info);
	assert_true(info.monitored);
	for (uint32_t i = 0; i < 30; i++) {
		if (i % 10 == 0)
			KeStallExecutionProcessor(10000); /* so that the host sleeps */
		assert_int_equal(pair_send(&pair->client, &word, sizeof(word), WAIT),
		                 STATUS_SUCCESS);
		pair_wait(pair->client.completions == i + 1);
	}
	/* the guest did signal, but no event of the channel's reached the host */
	assert_true(statistics_of(&pair->client).signals_out >= 3);
	assert_int_equal(statistics_of(&pair->server).signals_in, 0);
	/* and a batch that comes while the host looks elsewhere is seen all the same */
	KeRaiseIrql(DISPATCH_LEVEL, &irql);
	for (int i = 0; i < 100; i++)
		assert_int_equal(pair_send(&pair->client, &word, sizeof(word), 0), STATUS_SUCCESS);
	KeLowerIrql(irql);
	pair_wait(pair->server.packets == 130);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: kmcl_server_channel_init_set_monitored */
static void each_has_an_id_of_its_own(void **state)
{
	struct pair *pair = pair_create();
	struct pair_end servers[3] = { 0 }, clients[3] = { 0 };
	struct kmcl_channel_info info[3];
	GUID guid = pair_instance;
	uint64_t word = 1;

	for (int i = 0; i < 3; i++) {
		guid.Data1++;
		pair_add_server(pair, &servers[i], &guid);
		pair_add_client(pair, &clients[i], &guid);
		assert_int_equal(kmcl_server_channel_init_set_monitored(servers[i].channel, 1000),
		                 0);
		assert_int_equal(VmbChannelEnable(servers[i].channel), STATUS_SUCCESS);
		VmbChannelStart(servers[i].channel);
		assert_int_equal(VmbChannelEnable(clients[i].channel), STATUS_SUCCESS);
		pair_wait(pair_traced(&clients[i], "OSP"));
		kmcl_channel_info(clients[i].channel, &info[i]);
		for (int k = 0; k < i; k++)
			assert_int_not_equal(info[i].monitor_id, info[k].monitor_id);
	}
	KeStallExecutionProcessor(10000);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pair_send(&clients[i], &word, sizeof(word), WAIT), STATUS_SUCCESS);
		pair_wait(clients[i].completions == 1);
	}
	for (int i = 0; i < 3; i++) {
		pair_remove(&clients[i]);
		pair_remove(&servers[i]);
	}
	pair_destroy(pair);
}

/* covers: VmbChannelSetInterruptLatency */
static void latency(void **state)
{
	struct pair *pair = pair_create();
	uint16_t old = 0;
	uint64_t word = 1;
	KIRQL irql;

	assert_int_equal(kmcl_server_channel_init_set_monitored(pair->server.channel, 2500), 0);
	assert_int_equal(VmbChannelSetInterruptLatency(NULL, 1, &old), STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbChannelSetInterruptLatency(pair->server.channel, 1, &old),
	                 STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbChannelSetInterruptLatency(pair->client.channel, 1, &old),
	                 STATUS_INVALID_DEVICE_STATE);
	pair_open(pair);
	KeRaiseIrql(DISPATCH_LEVEL, &irql);
	assert_int_equal(VmbChannelSetInterruptLatency(pair->client.channel, 800, &old),
	                 STATUS_SUCCESS);
	KeLowerIrql(irql);
	assert_int_equal(old, 2500);
	assert_int_equal(VmbChannelSetInterruptLatency(pair->client.channel, 0xffff, NULL),
	                 STATUS_SUCCESS);
	/* a latency past all reason does not stop the channel */
	KeStallExecutionProcessor(10000);
	assert_int_equal(pair_send(&pair->client, &word, sizeof(word), WAIT), STATUS_SUCCESS);
	pair_wait(pair->client.completions == 1);
	assert_int_equal(VmbChannelSetInterruptLatency(pair->client.channel, 0, &old),
	                 STATUS_SUCCESS);
	assert_int_equal(old, 0xffff);
	KeStallExecutionProcessor(10000);
	assert_int_equal(pair_send(&pair->client, &word, sizeof(word), WAIT), STATUS_SUCCESS);
	pair_wait(pair->client.completions == 2);
	VmbChannelDisable(pair->client.channel);
	assert_int_equal(VmbChannelSetInterruptLatency(pair->client.channel, 1, &old),
	                 STATUS_INVALID_DEVICE_STATE);
	pair_destroy(pair);

	pair = pair_create();
	pair_open(pair);
	assert_int_equal(VmbChannelSetInterruptLatency(pair->client.channel, 1, &old),
	                 STATUS_NOT_SUPPORTED);
	pair_destroy(pair);
}

/* covers: kmcl_client_channel_set_target_vp */
static void the_target_processor(void **state)
{
	struct pair *pair = pair_create();
	struct kmcl_channel_info info;
	uint64_t word = 1;

	assert_int_equal(kmcl_client_channel_set_target_vp(NULL, 0), STATUS_INVALID_PARAMETER_1);
	assert_int_equal(kmcl_client_channel_set_target_vp(pair->server.channel, 0),
	                 STATUS_INVALID_PARAMETER_1);
	assert_int_equal(kmcl_client_channel_set_target_vp(pair->client.channel, 2),
	                 STATUS_SUCCESS);
	pair_open(pair);
	kmcl_channel_info(pair->server.channel, &info);
	assert_int_equal(info.target_vp, 2);
	/* open: the host is asked, and answers */
	assert_int_equal(kmcl_client_channel_set_target_vp(pair->client.channel, 1),
	                 STATUS_SUCCESS);
	kmcl_channel_info(pair->server.channel, &info);
	assert_int_equal(info.target_vp, 1);
	kmcl_channel_info(pair->client.channel, &info);
	assert_int_equal(info.target_vp, 1);
	KeStallExecutionProcessor(10000);
	assert_int_equal(pair_send(&pair->server, &word, sizeof(word), WAIT), STATUS_SUCCESS);
	pair_wait(pair->server.completions == 1);
	pair_destroy(pair);
	/* hosts before 4.1 cannot be asked */
	pair = pair_create_versions(KMCL_BUS_VERSION(4, 0), 0);
	pair_open(pair);
	assert_int_equal(kmcl_client_channel_set_target_vp(pair->client.channel, 1),
	                 STATUS_NOT_SUPPORTED);
	pair_destroy(pair);
}

static uint8_t open_data[VMBUS_SERVER_CHANNEL_INIT_MAXIMUM_OFFER_DATA];

static NTSTATUS take_open_data(struct pair_end *end)
{
	return kmcl_server_channel_get_open_data(end->channel, open_data, sizeof(open_data));
}

/* covers: kmcl_client_channel_init_set_open_data, kmcl_server_channel_get_open_data */
static void bytes_with_the_open_request(void **state)
{
	struct pair *pair = pair_create();
	uint8_t data[121];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i + 1);
	assert_int_equal(kmcl_client_channel_init_set_open_data(pair->client.channel, data, 121),
	                 STATUS_INVALID_PARAMETER_3);
	assert_int_equal(kmcl_client_channel_init_set_open_data(pair->client.channel, NULL, 1),
	                 STATUS_INVALID_PARAMETER_3);
	assert_int_equal(kmcl_client_channel_init_set_open_data(pair->client.channel, data, 120),
	                 STATUS_SUCCESS);
	pair->server.on_opened = take_open_data;
	pair_open(pair);
	assert_memory_equal(open_data, data, 120);
	assert_int_equal(kmcl_server_channel_get_open_data(NULL, data, 1),
	                 STATUS_INVALID_PARAMETER_1);
	assert_int_equal(kmcl_server_channel_get_open_data(pair->client.channel, data, 1),
	                 STATUS_INVALID_PARAMETER_1);
	assert_int_equal(kmcl_server_channel_get_open_data(pair->server.channel, data, 121),
	                 STATUS_INVALID_PARAMETER_3);
	pair_destroy(pair);
}

/* covers: kmcl_guest_tl_connect */
static void nobody_listens_on_the_transport_layer(void **state)
{
	struct pair *pair = pair_create();

	assert_int_equal(kmcl_guest_tl_connect(NULL, &pair_type, &pair_instance),
	                 STATUS_INVALID_PARAMETER_1);
	assert_int_equal(kmcl_guest_tl_connect(pair->bus, NULL, &pair_instance),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(kmcl_guest_tl_connect(pair->bus, &pair_type, NULL),
	                 STATUS_INVALID_PARAMETER_3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(kmcl_guest_tl_connect(pair->bus, &pair_type, &pair_instance),
		                 STATUS_CONNECTION_REFUSED);
	pair_destroy(pair);
	pair = pair_create_versions(KMCL_BUS_VERSION(4, 0), 0);
	assert_int_equal(kmcl_guest_tl_connect(pair->bus, &pair_type, &pair_instance),
	                 STATUS_NOT_SUPPORTED);
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signals_go_through_the_page),
		cmocka_unit_test(each_has_an_id_of_its_own),
		cmocka_unit_test(latency),
		cmocka_unit_test(the_target_processor),
		cmocka_unit_test(bytes_with_the_open_request),
		cmocka_unit_test(nobody_listens_on_the_transport_layer),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("bus_requests", tests, NULL, NULL);
}
