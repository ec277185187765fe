/* SPDX-License-Identifier: BSD-2-Clause */

/* A server's channel that this process offers itself, and the clients that find it, whatever their
 * bus. */

#include "pair.h"

static const GUID own_instance = { 0x10c1, 1, 2, { 3 } };

static VOID answer(VMBCHANNEL channel, VMBPACKETCOMPLETION packet, PVOID buffer, UINT32 size,
                   UINT32 flags)
{
	VmbChannelPacketComplete(packet, buffer, size);
}

static VMBCHANNEL own_server(uint32_t flags)
{
	VMBCHANNEL channel;

	assert_int_equal(VmbChannelAllocate(NULL, TRUE, &channel), 0);
	assert_int_equal(VmbChannelInitSetProcessPacketCallbacks(channel, answer, NULL), 0);
	assert_int_equal(VmbServerChannelInitSetTargetInterfaceId(channel, pair_type, own_instance),
	                 0);
	assert_int_equal(VmbServerChannelInitSetFlags(channel, flags), 0);
	return channel;
}

static void end_channel(VMBCHANNEL channel)
{
	VmbChannelDisable(channel);
	VmbChannelCleanup(channel);
}

static void talk(struct pair_end *client)
{
	uint64_t word = 77, back = 0;
	UINT32 size = sizeof(back);

	pair_wait(pair_traced(client, "OSP"));
	assert_int_equal(VmbChannelSendSynchronousRequest(
				 client->channel, &word, sizeof(word), NULL,
				 VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION, &back, &size, NULL),
	                 STATUS_SUCCESS);
	assert_int_equal(back, 77);
}

/* covers: VmbServerChannelInitSetFlags, VmbChannelEnable */
static void without_the_flag_it_needs_a_handle(void **state)
{
	VMBCHANNEL server = own_server(0);

	assert_int_equal(VmbChannelEnable(server), STATUS_INVALID_DEVICE_STATE);
	VmbChannelCleanup(server);
}

/* covers: VmbServerChannelInitSetFlags, VmbChannelEnable, VmbChannelDisable */
static void it_is_offered_to_this_process(void **state)
{
	for (int order = 0; order < 3; order++) {
		VMBCHANNEL server = own_server(VMBUS_SERVER_CHANNEL_INIT_FLAG_LOOPBACK_OFFER);
		struct pair_end client = { 0 };
		struct pair *pair;

		if (order == 0) { /* it waits for a guest */
			assert_int_equal(VmbChannelEnable(server), 0);
			VmbChannelStart(server);
		}
		pair = pair_create();
		if (order == 1) {
			assert_int_equal(VmbChannelEnable(server), 0);
			VmbChannelStart(server);
		}
		pair_add_client(pair, &client, &own_instance);
		assert_int_equal(VmbChannelEnable(client.channel), 0);
		if (order == 2) { /* the client waits for it */
			assert_int_equal(VmbChannelEnable(server), 0);
			VmbChannelStart(server);
		}
		talk(&client);
		/* closed and opened again by either end */
		VmbChannelDisable(client.channel);
		assert_int_equal(VmbChannelEnable(client.channel), 0);
		talk(&client);
		VmbChannelDisable(server);
		pair_wait(pair_traced(&client, "C"));
		assert_int_equal(VmbChannelEnable(client.channel), 0);
		assert_int_equal(VmbChannelEnable(server), 0);
		VmbChannelStart(server);
		talk(&client);
		/* the bus's own channels are as ever, beside it */
		pair_open(pair);
		talk(&pair->client);
		pair_remove(&client);
		end_channel(server);
		pair_destroy(pair);
	}
}

/* A client that waits may give up, and one has it after the other.
 * covers: VmbChannelDisable */
/* covers: VmbServerChannelInitSetFlags, VmbChannelEnable */
static void clients_take_turns(void **state)
{
	VMBCHANNEL server = own_server(VMBUS_SERVER_CHANNEL_INIT_FLAG_LOOPBACK_OFFER);
	struct pair *pair = pair_create(), *other = pair_create();
	struct pair_end one = { 0 }, two = { 0 };

	pair_add_client(pair, &one, &own_instance);
	pair_add_client(other, &two, &own_instance);
	assert_int_equal(VmbChannelEnable(one.channel), 0);
	VmbChannelDisable(one.channel);
	assert_int_equal(VmbChannelEnable(server), 0);
	VmbChannelStart(server);
	assert_int_equal(VmbChannelEnable(one.channel), 0);
	talk(&one);
	assert_int_equal(VmbChannelEnable(two.channel), 0);
	assert_string_equal(two.trace, "");
	VmbChannelDisable(one.channel);
	talk(&two);
	pair_remove(&one);
	pair_remove(&two);
	end_channel(server);
	pair_destroy(other);
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_the_flag_it_needs_a_handle),
		cmocka_unit_test(it_is_offered_to_this_process),
		cmocka_unit_test(clients_take_turns),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("loopback", tests, NULL, NULL);
}
