/* SPDX-License-Identifier: BSD-2-Clause */

/* The answers of a guest that does not read them: bounded at its host, which takes no more. */

#include "pair.h"

#include "kmcl/channel.h"

#define WAIT VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION

#define FLOOD     12000u
#define RING      65536u
#define ANSWER    32u /* descriptor, 8 bytes, footer */
#define IN_A_RING (RING / ANSWER)

static uint64_t quota_stops(struct pair_end *end)
{
	struct kmcl_channel_info info;

	kmcl_channel_info(end->channel, &info);
	return info.statistics.quota_stops;
}

/* `from` floods `to` and reads nothing; `to` stops after `most` packets. Then `from` reads, and all
 * of it goes through. */
static void flood(struct pair_end *from, struct pair_end *to, uint32_t least, uint32_t most)
{
	uint64_t stops = quota_stops(to);
	uint32_t done = from->completions, packets;

	pair_lock();
	to->packets = 0;
	pair_unlock();
	VmbChannelPause(from->channel);
	for (uint64_t i = 0; i < FLOOD; i++)
		assert_int_equal(pair_send(from, &i, sizeof(i), WAIT), STATUS_SUCCESS);
	for (int i = 0; quota_stops(to) == stops && i < 1000; i++)
		KeStallExecutionProcessor(10000);
	assert_true(quota_stops(to) > stops);
	KeStallExecutionProcessor(50000); /* it stays there */
	pair_lock();
	packets = to->packets;
	pair_unlock();
	assert_in_range(packets, least, most);
	assert_int_equal(from->completions, done);
	VmbChannelStart(from->channel);
	pair_wait(from->completions == done + FLOOD);
	assert_int_equal(to->packets, FLOOD);
}

/* covers: VmbChannelPacketComplete, VmbChannelSetTransactionQuota */
static void unread_answers_count_against_the_quota(void **state)
{
	struct pair *pair = pair_create();

	pair_open(pair);
	VmbChannelSetTransactionQuota(pair->server.channel, 10);
	flood(&pair->client, &pair->server, IN_A_RING / 2, IN_A_RING + 10);
	pair_destroy(pair);
}

/* covers: VmbChannelPacketComplete */
static void unread_answers_are_bounded_without_a_quota(void **state)
{
	struct pair *pair = pair_create();

	pair_open(pair);
	flood(&pair->client, &pair->server, IN_A_RING, FLOOD / 2);
	pair_destroy(pair);
}

/* A guest reads on, so that two ends that send more than they can answer never wait for each
 * other. */
/* covers: VmbPacketSend, VmbChannelSetTransactionQuota */
static void both_ends_flood(void **state)
{
	struct pair *pair = pair_create();

	pair_open(pair);
	VmbChannelSetTransactionQuota(pair->server.channel, 10);
	VmbChannelSetTransactionQuota(pair->client.channel, 10);
	for (uint64_t i = 0; i < FLOOD; i++) {
		assert_int_equal(pair_send(&pair->client, &i, sizeof(i), WAIT), STATUS_SUCCESS);
		assert_int_equal(pair_send(&pair->server, &i, sizeof(i), WAIT), STATUS_SUCCESS);
	}
	pair_wait(pair->client.completions == FLOOD && pair->server.completions == FLOOD);
	pair_destroy(pair);
}

#define CHANNELS 4u
#define EACH     3000u

static VMBPACKETCOMPLETION held[CHANNELS * EACH];
static uint32_t held_count;
static bool holding;

static void hold(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                 uint32_t flags)
{
	bool keep;

	pair_lock();
	keep = holding;
	if (keep)
		held[held_count++] = packet;
	pair_unlock();
	if (!keep)
		VmbChannelPacketComplete(packet, NULL, 0);
}

static uint32_t arrived(const struct pair_end *servers)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < CHANNELS; i++)
		sum += servers[i].packets;
	return sum;
}

/* Whatever the driver holds, of all channels of a guest together.
 * covers: EVT_VMB_CHANNEL_PROCESS_PACKET, VmbChannelPacketComplete */
static void channels_of_a_guest_share_an_account(void **state)
{
	static struct pair_end servers[CHANNELS], clients[CHANNELS];
	struct pair *pair = pair_create();
	uint64_t before = account_max[ACCOUNT_PACKETS];

	account_max[ACCOUNT_PACKETS] = 8u << 20;
	holding = true;
	for (uint32_t i = 0; i < CHANNELS; i++) {
		GUID instance = { .Data1 = i + 1 };

		pair_add_server(pair, &servers[i], &instance);
		pair_add_client(pair, &clients[i], &instance);
		servers[i].process = hold;
		assert_int_equal(VmbChannelEnable(servers[i].channel), STATUS_SUCCESS);
		VmbChannelStart(servers[i].channel);
		assert_int_equal(VmbChannelEnable(clients[i].channel), STATUS_SUCCESS);
		pair_wait(pair_traced(&clients[i], "OSP") && pair_traced(&servers[i], "OSP"));
	}
	for (uint64_t n = 0; n < EACH; n++)
		for (uint32_t i = 0; i < CHANNELS; i++)
			assert_int_equal(pair_send(&clients[i], &n, sizeof(n), 0), STATUS_SUCCESS);
	for (uint32_t i = 0; i < CHANNELS; i++)
		for (int wait = 0; quota_stops(&servers[i]) == 0 && wait < 1000; wait++)
			KeStallExecutionProcessor(10000);
	KeStallExecutionProcessor(50000);
	pair_lock();
	assert_in_range(arrived(servers), CHANNELS * INCOMING_ITEMS_LEAST,
	                account_max[ACCOUNT_PACKETS] / 4096 +
	                        CHANNELS * (INCOMING_ITEMS_LEAST + 1));
	holding = false;
	pair_unlock();
	for (uint32_t i = 0; i < held_count; i++)
		VmbChannelPacketComplete(held[i], NULL, 0);
	pair_wait(arrived(servers) == CHANNELS * EACH);
	for (uint32_t i = 0; i < CHANNELS; i++) {
		pair_remove(&clients[i]);
		pair_remove(&servers[i]);
	}
	account_max[ACCOUNT_PACKETS] = before;
	pair_destroy(pair);
}

/* And they do not keep a channel from being paused or closed. */
/* covers: VmbChannelPause, VmbChannelDisable */
static void unread_answers_hold_nobody_up(void **state)
{
	struct pair *pair = pair_create();

	pair_open(pair);
	VmbChannelSetTransactionQuota(pair->server.channel, 10);
	for (int round = 0; round < 3; round++) {
		uint64_t stops = quota_stops(&pair->server);

		VmbChannelPause(pair->client.channel);
		for (uint64_t i = 0; i < FLOOD / 2; i++)
			assert_int_equal(pair_send(&pair->client, &i, sizeof(i), WAIT),
			                 STATUS_SUCCESS);
		for (int i = 0; quota_stops(&pair->server) == stops && i < 1000; i++)
			KeStallExecutionProcessor(10000);
		VmbChannelPause(pair->server.channel);
		if (round == 2)
			VmbChannelDisable(pair->server.channel);
		else
			VmbChannelDisable(pair->client.channel);
		pair_wait(pair_traced(&pair->client, "C"));
		pair_wait(pair->client.completions == (uint32_t)(round + 1) * FLOOD / 2);
		if (round == 2)
			break;
		pair_wait(pair_traced(&pair->server, "C"));
		VmbChannelStart(pair->server.channel);
		VmbChannelStart(pair->client.channel);
		assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
		pair_wait(pair_traced(&pair->server, "OSP"));
		pair_wait(pair_traced(&pair->client, "OSP"));
	}
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unread_answers_count_against_the_quota),
		cmocka_unit_test(unread_answers_are_bounded_without_a_quota),
		cmocka_unit_test(both_ends_flood),
		cmocka_unit_test(channels_of_a_guest_share_an_account),
		cmocka_unit_test(unread_answers_hold_nobody_up),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("backlog", tests, NULL, NULL);
}
