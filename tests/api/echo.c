/* SPDX-License-Identifier: BSD-2-Clause */

/* The main road: VmbPacketSend at one end, ProcessPacket and its answer at the other. */

#include "pair.h"

/* covers: VmbPacketAllocate, VmbPacketSend, VmbChannelPacketComplete,
 * EVT_VMB_CHANNEL_PROCESS_PACKET, EVT_VMB_PACKET_COMPLETION_ROUTINE */
static void client_asks_server_answers(void **state)
{
	struct pair *pair = pair_create();
	uint8_t question[64];

	for (size_t i = 0; i < sizeof(question); i++)
		question[i] = (uint8_t)i;
	pair_open(pair);
	assert_int_equal(pair_send(&pair->client, question, sizeof(question),
	                           VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION),
	                 STATUS_SUCCESS);
	pair_wait(pair->client.completions == 1);
	assert_int_equal(pair->client.last_status, STATUS_SUCCESS);
	assert_int_equal(pair->client.answer_size, sizeof(question));
	assert_memory_equal(pair->client.answer, question, sizeof(question));
	assert_int_equal(pair->server.packets, 1);
	assert_memory_equal(pair->server.last, question, sizeof(question));
	assert_int_equal(pair->server.last_flags, 0);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: VmbPacketSend, VmbChannelPacketComplete, EVT_VMB_CHANNEL_PROCESS_PACKET */
static void server_asks_client_answers(void **state)
{
	struct pair *pair = pair_create();
	uint64_t question = 0x0123456789abcdef;

	pair_open(pair);
	assert_int_equal(pair_send(&pair->server, &question, sizeof(question),
	                           VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION),
	                 STATUS_SUCCESS);
	pair_wait(pair->server.completions == 1);
	assert_memory_equal(pair->server.answer, &question, sizeof(question));
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: VmbPacketSend, EVT_VMB_CHANNEL_PROCESS_PACKET, EVT_VMB_CHANNEL_PROCESSING_COMPLETE */
static void many_arrive_in_order_through_a_small_ring(void **state)
{
	struct pair *pair = pair_create();
	enum { COUNT = 20000 };

	pair_open(pair);
	for (uint64_t i = 0; i < COUNT; i++)
		assert_int_equal(pair_send(&pair->client, &i, sizeof(i), 0), STATUS_SUCCESS);
	pair_wait(pair->server.packets == COUNT);
	pair_wait(pair->client.completions == COUNT);
	assert_int_equal(*(uint64_t *)pair->server.last, COUNT - 1);
	assert_int_equal(pair->server.bytes, COUNT * sizeof(uint64_t));
	pair_wait(pair->server.batched == COUNT);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(client_asks_server_answers),
		cmocka_unit_test(server_asks_client_answers),
		cmocka_unit_test(many_arrive_in_order_through_a_small_ring),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("echo", tests, NULL, NULL);
}
