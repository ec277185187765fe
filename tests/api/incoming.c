/* SPDX-License-Identifier: BSD-2-Clause */

/* What ProcessPacket may do with a packet, and who gets how many of them at which IRQL. */

#include "pair.h"

#define WAIT     VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION
#define HELD_MAX 256

static VMBPACKETCOMPLETION held[HELD_MAX];
static uint32_t held_count;

static void hold(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                 uint32_t flags)
{
	pair_lock();
	held[held_count++] = packet;
	pair_unlock();
	pair_changed();
}

static struct pair *open_holding(void)
{
	struct pair *pair = pair_create();

	held_count = 0;
	pair->server.process = hold;
	pair_open(pair);
	return pair;
}

static void send_words(struct pair *pair, uint64_t from, uint64_t count, uint32_t flags)
{
	for (uint64_t i = from; i < from + count; i++)
		assert_int_equal(pair_send(&pair->client, &i, sizeof(i), flags), STATUS_SUCCESS);
}

/* covers: VmbChannelSetTransactionQuota */
static void quota_limits_what_is_outstanding(void **state)
{
	struct pair *pair = open_holding();

	VmbChannelSetTransactionQuota(pair->server.channel, 3);
	send_words(pair, 0, 10, 0);
	pair_wait(held_count == 3);
	KeStallExecutionProcessor(20000);
	assert_int_equal(held_count, 3);
	/* raising it does not restart the queue, a completion does */
	VmbChannelSetTransactionQuota(pair->server.channel, 5);
	KeStallExecutionProcessor(20000);
	assert_int_equal(held_count, 3);
	VmbChannelPacketComplete(held[0], NULL, 0);
	pair_wait(held_count == 6); /* two outstanding, and three more */
	KeStallExecutionProcessor(20000);
	assert_int_equal(held_count, 6);
	/* below what is outstanding: nothing new until enough are completed */
	VmbChannelSetTransactionQuota(pair->server.channel, 2);
	VmbChannelPacketComplete(held[1], NULL, 0);
	VmbChannelPacketComplete(held[2], NULL, 0);
	VmbChannelPacketComplete(held[3], NULL, 0);
	KeStallExecutionProcessor(20000);
	assert_int_equal(held_count, 6);
	VmbChannelPacketComplete(held[4], NULL, 0);
	pair_wait(held_count == 7);
	pair->server.process = NULL;
	VmbChannelSetTransactionQuota(pair->server.channel, 100);
	VmbChannelPacketComplete(held[5], NULL, 0);
	VmbChannelPacketComplete(held[6], NULL, 0);
	pair_wait(pair->server.packets == 10);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

static void *complete_backwards(void *context)
{
	for (uint32_t i = held_count; i-- > 0;) {
		uint64_t word = i;

		VmbChannelPacketComplete(held[i], &word, sizeof(word));
	}
	return NULL;
}

/* Completed later, from another thread, in another order: each sender gets its own answer. */
/* covers: VmbChannelPacketComplete */
static void completion_from_any_thread_in_any_order(void **state)
{
	struct pair *pair = open_holding();
	pthread_t thread;

	send_words(pair, 0, 100, WAIT);
	pair_wait(held_count == 100);
	assert_int_equal(pair->client.completions, 0);
	assert_int_equal(pthread_create(&thread, NULL, complete_backwards, NULL), 0);
	pthread_join(thread, NULL);
	pair_wait(pair->client.completions == 100);
	assert_int_equal(*(uint64_t *)pair->client.answer, 0); /* the first sent is answered last */
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: VmbChannelSetIncomingProcessingAtPassive */
static void passive_processing(void **state)
{
	struct pair *pair = pair_create();

	pair_open(pair);
	send_words(pair, 0, 5, 0);
	pair_wait(pair->server.packets == 5);
	assert_int_equal(pair->server.passive_packets, 0);
	VmbChannelSetIncomingProcessingAtPassive(pair->server.channel, TRUE);
	send_words(pair, 5, 500, 0);
	pair_wait(pair->server.packets == 505);
	assert_int_equal(pair->server.passive_packets, 500);
	assert_int_equal(*(uint64_t *)pair->server.last, 504);
	VmbChannelSetIncomingProcessingAtPassive(pair->server.channel, FALSE);
	send_words(pair, 505, 5, 0);
	pair_wait(pair->server.packets == 510); /* at either level */
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

static uint64_t order[16];
static uint32_t ordered;
static bool saw_passive;

/* Odd ones are deferred the first time. */
static void defer_odd(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                      uint32_t flags)
{
	uint64_t word = *(uint64_t *)buffer;
	bool passive = KeGetCurrentIrql() == PASSIVE_LEVEL;

	if (word % 2 && !passive) {
		VmbChannelPacketDeferToPassive(packet);
		return;
	}
	saw_passive |= passive;
	order[ordered++] = word;
	VmbChannelPacketComplete(packet, NULL, 0);
	pair_changed();
}

/* covers: VmbChannelPacketDeferToPassive */
static void deferred_packets_come_again_in_their_place(void **state)
{
	struct pair *pair = pair_create();

	ordered = 0;
	saw_passive = false;
	pair->server.process = defer_odd;
	pair_open(pair);
	send_words(pair, 0, 10, WAIT);
	pair_wait(pair->client.completions == 10);
	assert_true(saw_passive);
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(order[i], i);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

static void fail_it(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                    uint32_t flags)
{
	VmbChannelPacketFail(packet);
}

/* covers: VmbChannelPacketFail */
static void failing_a_packet_stops_the_queue(void **state)
{
	struct pair *pair = pair_create();

	pair->server.process = fail_it;
	pair_open(pair);
	send_words(pair, 0, 5, 0);
	pair_wait(pair->server.packets == 1);
	KeStallExecutionProcessor(20000);
	assert_int_equal(pair->server.packets, 1);
	assert_int_equal(pair_logged_errors(), 1);
	/* until it is closed and opened again */
	VmbChannelDisable(pair->client.channel);
	pair_wait(pair_traced(&pair->server, "UC"));
	pair->server.process = NULL;
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	send_words(pair, 0, 2, WAIT);
	pair_wait(pair->server.packets == 3);
	pair_destroy(pair);
}

static uint32_t context_sum;

static void use_context(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer,
                        uint32_t size, uint32_t flags)
{
	uint8_t *context = VmbChannelPacketGetClientContext(packet);

	for (int i = 0; i < 100; i++)
		context_sum += context[i]; /* zeroed for each packet */
	context_sum += (uintptr_t)context % 16;
	memset(context, 0xff, 100);
	VmbChannelPacketComplete(packet, NULL, 0);
}

/* covers: VmbChannelInitSetClientContextSize, VmbChannelPacketGetClientContext */
static void client_context_is_there_and_zeroed(void **state)
{
	struct pair *pair = pair_create();

	context_sum = 0;
	assert_int_equal(VmbChannelInitSetClientContextSize(pair->server.channel, 100),
	                 STATUS_SUCCESS);
	pair->server.process = use_context;
	pair_open(pair);
	send_words(pair, 0, 50, WAIT);
	pair_wait(pair->client.completions == 50);
	assert_int_equal(context_sum, 0);
	pair_destroy(pair);
}

/* covers: EVT_VMB_CHANNEL_PROCESSING_COMPLETE, VmbChannelInitSetProcessPacketCallbacks */
static void processing_complete_counts_batches(void **state)
{
	struct pair *pair = pair_create();
	KIRQL irql;

	pair_open(pair);
	KeRaiseIrql(DISPATCH_LEVEL, &irql); /* a burst becomes one batch */
	send_words(pair, 0, 20, 0);
	KeLowerIrql(irql);
	pair_wait(pair->server.batched == 20);
	assert_in_range(pair->server.batches, 1, 20);
	pair_destroy(pair);
}

/* covers: EVT_VMB_CHANNEL_PROCESS_PACKET */
static void sizes_of_all_kinds(void **state)
{
	struct pair *pair = pair_create();
	uint8_t block[4096];

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 13);
	pair_open(pair);
	for (uint32_t size = 0; size <= sizeof(block); size = size < 40 ? size + 1 : size * 2) {
		uint32_t before = pair->server.packets;

		assert_int_equal(pair_send(&pair->client, block, size, WAIT), STATUS_SUCCESS);
		pair_wait(pair->server.packets == before + 1);
		/* a ring carries multiples of 8 bytes */
		assert_int_equal(pair->server.last_size, (size + 7) / 8 * 8);
		assert_memory_equal(pair->server.last, block, size);
	}
	pair_destroy(pair);
}

static uint32_t answer_size;
static const void *answer_bytes;

static void answer_as_told(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer,
                           uint32_t size, uint32_t flags)
{
	VmbChannelPacketComplete(packet, (void *)(uintptr_t)answer_bytes, answer_size);
}

/* covers: VmbChannelPacketComplete */
static void no_buffer_means_no_bytes(void **state)
{
	struct pair *pair = pair_create();
	const uint32_t sizes[] = { 0, 1, 16, 4096, 100000 };
	uint64_t word = 1;

	pair->server.process = answer_as_told;
	answer_bytes = NULL;
	pair_open(pair);
	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		answer_size = sizes[i];
		assert_int_equal(pair_send(&pair->client, &word, sizeof(word), WAIT), 0);
		pair_wait(pair->client.completions == i + 1);
		assert_int_equal(pair->client.answer_size, 0);
	}
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

static void maximum_is_the_longest(uint32_t server_max, uint32_t client_max)
{
	static const uint8_t bytes[1024] = { 1, 2, 3 };
	struct pair *pair = pair_create();
	uint32_t sent = 0;

	assert_int_equal(VmbChannelInitSetMaximumPacketSize(pair->server.channel, server_max), 0);
	assert_int_equal(VmbChannelInitSetMaximumPacketSize(pair->client.channel, client_max), 0);
	pair_open(pair);
	pair_logged_errors();
	/* what fits with its padding is cut, and answered with just as much */
	for (uint32_t size = 0; size <= (server_max + 7) / 8 * 8; size++, sent++) {
		assert_int_equal(pair_send(&pair->client, bytes, size, WAIT), 0);
		pair_wait(pair->client.completions == sent + 1);
		assert_int_equal(pair->client.last_status, STATUS_SUCCESS);
		assert_in_range(pair->server.last_size, size < server_max ? size : server_max,
		                server_max);
	}
	assert_int_equal(pair_logged_errors(), 0);
	/* longer answers are cut to what this end may send, and to what that end may take */
	pair->server.process = answer_as_told;
	answer_bytes = bytes;
	for (answer_size = server_max + 1; answer_size < server_max + 300; answer_size += 7) {
		assert_int_equal(pair_send(&pair->client, bytes, 8, WAIT), 0);
		sent++;
		pair_wait(pair->client.completions == sent);
		assert_int_equal(pair->client.last_status, STATUS_SUCCESS);
		assert_in_range(pair->client.answer_size, server_max, (server_max + 7) / 8 * 8);
	}
	assert_int_equal(pair_logged_errors(), 1); /* said once */
	pair_destroy(pair);
}

/* covers: EVT_VMB_CHANNEL_PROCESS_PACKET, VmbChannelPacketComplete,
 * VmbChannelInitSetMaximumPacketSize */
static void the_maximum_is_the_longest(void **state)
{
	for (uint32_t max = 97; max <= 105; max++)
		maximum_is_the_longest(max, 1024);
}

/* The same for the end that is answered.
 * covers: EVT_VMB_PACKET_COMPLETION_ROUTINE */
/* covers: VmbChannelPacketComplete */
static void an_answer_is_at_most_the_maximum(void **state)
{
	static const uint8_t bytes[1024] = { 1, 2, 3 };

	for (uint32_t max = 97; max <= 105; max++) {
		struct pair *pair = pair_create();
		uint32_t sent = 0;

		assert_int_equal(VmbChannelInitSetMaximumPacketSize(pair->client.channel, max), 0);
		pair->server.process = answer_as_told;
		answer_bytes = bytes;
		pair_open(pair);
		pair_logged_errors();
		for (answer_size = max - 9; answer_size <= sizeof(bytes); answer_size += 3) {
			assert_int_equal(pair_send(&pair->client, bytes, 8, WAIT), 0);
			sent++;
			pair_wait(pair->client.completions == sent);
			assert_int_equal(pair->client.last_status, STATUS_SUCCESS);
			assert_in_range(pair->client.answer_size,
			                answer_size < max ? answer_size : max, max);
		}
		assert_int_equal(pair_logged_errors(), 1);
		pair_destroy(pair);
	}
}

/* covers: VmbChannelInitSetFlags */
static void pipes_keep_exact_sizes(void **state)
{
	struct pair *pair = pair_create();
	uint8_t block[100] = "a pipe's packets are as long as they were sent";

	assert_int_equal(
		VmbChannelInitSetFlags(pair->server.channel, VMBUS_CHANNEL_INIT_FLAG_IS_PIPE),
		STATUS_SUCCESS);
	assert_int_equal(
		VmbChannelInitSetFlags(pair->client.channel, VMBUS_CHANNEL_INIT_FLAG_IS_PIPE),
		STATUS_SUCCESS);
	assert_int_equal(VmbServerChannelInitSetFlags(pair->server.channel,
	                                              VMBUS_SERVER_CHANNEL_INIT_FLAG_OFFER_AS_PIPE),
	                 STATUS_SUCCESS);
	pair_open(pair);
	for (uint32_t size = 0; size <= sizeof(block); size++) {
		assert_int_equal(pair_send(&pair->client, block, size, 0), STATUS_SUCCESS);
		pair_wait(pair->server.packets == size + 1);
		assert_int_equal(pair->server.last_size, size);
		assert_memory_equal(pair->server.last, block, size);
	}
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quota_limits_what_is_outstanding),
		cmocka_unit_test(completion_from_any_thread_in_any_order),
		cmocka_unit_test(passive_processing),
		cmocka_unit_test(deferred_packets_come_again_in_their_place),
		cmocka_unit_test(failing_a_packet_stops_the_queue),
		cmocka_unit_test(client_context_is_there_and_zeroed),
		cmocka_unit_test(processing_complete_counts_batches),
		cmocka_unit_test(sizes_of_all_kinds),
		cmocka_unit_test(no_buffer_means_no_bytes),
		cmocka_unit_test(the_maximum_is_the_longest),
		cmocka_unit_test(an_answer_is_at_most_the_maximum),
		cmocka_unit_test(pipes_keep_exact_sizes),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("incoming", tests, NULL, NULL);
}
