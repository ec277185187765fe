/* SPDX-License-Identifier: BSD-2-Clause */

/* The answers of a guest that does not read them: bounded at its host, which takes no more. */

#include "pair.h"

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
		cmocka_unit_test(unread_answers_hold_nobody_up),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("backlog", tests, NULL, NULL);
}
