/* SPDX-License-Identifier: BSD-2-Clause */

/* ProcessingComplete comes each time the incoming ring has gone empty, after the last ProcessPacket
 * of the batch, however packets were delivered and however many there were. */

#include "pair.h"

#include <stdlib.h>

#define WAIT VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION

#define MOST 200u /* packets of a batch */

static uint32_t batched; /* by the batches before */

/* All packets of the batch were delivered, in `calls` calls, and then its end was said. */
static void batch_check(struct pair_end *end, uint32_t count, uint32_t calls)
{
	batched += count;
	pair_wait(end->packets >= calls && end->batched >= batched && end->batch_ended);
	pair_lock();
	assert_int_equal(end->packets, calls);
	assert_int_equal(end->batched, batched);
	end->packets = 0;
	end->batch_ended = false;
	pair_unlock();
}

/* They lie in the ring when delivery starts. */
static void batch_send(struct pair *pair, uint32_t count)
{
	VmbChannelPause(pair->server.channel);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(pair_send(&pair->client, &i, sizeof(i), 0), 0);
	VmbChannelStart(pair->server.channel);
}

static struct pair *batch_open(void)
{
	struct pair *pair = pair_create();

	batched = 0;
	pair_open(pair);
	return pair;
}

/* covers: VmbChannelInitSetProcessPacketCallbacks */
static void batches_at_dispatch_level(void **state)
{
	struct pair *pair = batch_open();

	for (uint32_t count = 1; count <= MOST; count++) {
		batch_send(pair, count);
		batch_check(&pair->server, count, count);
	}
	batch_send(pair, 256); /* what a dispatcher takes in a round */
	batch_check(&pair->server, 256, 256);
	pair_destroy(pair);
}

/* covers: VmbChannelSetIncomingProcessingAtPassive */
static void batches_at_passive_level(void **state)
{
	struct pair *pair = batch_open();

	VmbChannelSetIncomingProcessingAtPassive(pair->server.channel, TRUE);
	for (uint32_t count = 1; count <= MOST; count++) {
		batch_send(pair, count);
		batch_check(&pair->server, count, count);
	}
	assert_int_equal(pair->server.batches_at_dispatch, 0);
	pair_destroy(pair);
}

static void become_passive(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer,
                           uint32_t size, uint32_t flags)
{
	VmbChannelSetIncomingProcessingAtPassive(end->channel, TRUE);
	VmbChannelPacketComplete(packet, NULL, 0);
}

/* The driver wants PASSIVE_LEVEL from its last packet on; so is the batch's end.
 * covers: VmbChannelSetIncomingProcessingAtPassive */
/* covers: EVT_VMB_CHANNEL_PROCESSING_COMPLETE */
static void batches_that_become_passive(void **state)
{
	struct pair *pair = batch_open();

	pair->server.process = become_passive;
	for (uint32_t count = 1; count <= MOST; count++) {
		VmbChannelSetIncomingProcessingAtPassive(pair->server.channel, FALSE);
		batch_send(pair, count);
		batch_check(&pair->server, count, count);
	}
	assert_int_equal(pair->server.batches_at_dispatch, 0);
	pair_destroy(pair);
}

static struct deferring {
	uint32_t from, step; /* of the packets of a batch */
} deferring;

static void defer_some(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer,
                       uint32_t size, uint32_t flags)
{
	uint32_t number;

	memcpy(&number, buffer, sizeof(number));
	if (KeGetCurrentIrql() == DISPATCH_LEVEL && number >= deferring.from &&
	    (number - deferring.from) % deferring.step == 0)
		VmbChannelPacketDeferToPassive(packet);
	else
		VmbChannelPacketComplete(packet, NULL, 0);
}

/* covers: VmbChannelPacketDeferToPassive */
static void batches_with_deferred_packets(void **state)
{
	struct pair *pair = batch_open();

	pair->server.process = defer_some;
	for (uint32_t count = 1; count <= MOST; count++) {
		/* the last; some, the first and the last among them; all */
		deferring = (struct deferring){ count - 1, 1 };
		batch_send(pair, count);
		batch_check(&pair->server, count, count + 1);
		deferring = (struct deferring){ 0, count > 1 ? count - 1 : 1 };
		batch_send(pair, count);
		batch_check(&pair->server, count, count > 1 ? count + 2 : 2);
		deferring = (struct deferring){ 0, 1 };
		batch_send(pair, count);
		batch_check(&pair->server, count, 2 * count);
	}
	pair_destroy(pair);
}

static VMBPACKETCOMPLETION _Atomic kept[MOST];
static _Atomic(uint32_t) kept_count;

static void keep(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                 uint32_t flags)
{
	kept[kept_count] = packet;
	kept_count++;
}

/* The quota stops delivery, which is a pause, and a completion starts it again.
 * covers: VmbChannelSetTransactionQuota */
/* covers: EVT_VMB_CHANNEL_PROCESSING_COMPLETE */
static void batches_under_a_quota(void **state)
{
	struct pair *pair = batch_open();

	pair->server.process = keep;
	VmbChannelSetTransactionQuota(pair->server.channel, 7);
	for (uint32_t count = 1; count <= MOST; count++) {
		kept_count = 0;
		VmbChannelPause(pair->server.channel);
		for (uint32_t i = 0; i < count; i++)
			assert_int_equal(pair_send(&pair->client, &i, sizeof(i), 0), 0);
		VmbChannelStart(pair->server.channel);
		for (uint32_t i = 0; i < count; i++) {
			pair_wait(pair->server.packets > i);
			while (kept_count <= i)
				YieldProcessor();
			VmbChannelPacketComplete(kept[i], NULL, 0);
		}
		batch_check(&pair->server, count, count);
	}
	pair_destroy(pair);
}

/* Sends as many packets as it is asked for, then answers. */
static void answer_after_packets(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer,
                                 uint32_t size, uint32_t flags)
{
	uint32_t count;

	memcpy(&count, buffer, sizeof(count));
	for (uint32_t i = 0; i < count; i++)
		pair_send(end, &i, sizeof(i), 0);
	VmbChannelPacketComplete(packet, NULL, 0);
}

/* Who waits for an answer delivers in the dispatcher's place.
 * covers: VmbChannelSendSynchronousRequest */
/* covers: EVT_VMB_CHANNEL_PROCESSING_COMPLETE */
static void batches_beside_a_synchronous_request(void **state)
{
	struct pair *pair = batch_open();

	pair->server.process = answer_after_packets;
	for (uint32_t i = 0; i < 3 * MOST; i++) {
		uint32_t count = i % MOST + 1;

		assert_int_equal(VmbChannelSendSynchronousRequest(pair->client.channel, &count,
		                                                  sizeof(count), NULL, WAIT, NULL,
		                                                  NULL, NULL),
		                 0);
		batch_check(&pair->client, count, count);
	}
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batches_at_dispatch_level),
		cmocka_unit_test(batches_at_passive_level),
		cmocka_unit_test(batches_that_become_passive),
		cmocka_unit_test(batches_with_deferred_packets),
		cmocka_unit_test(batches_under_a_quota),
		cmocka_unit_test(batches_beside_a_synchronous_request),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("batches", tests, NULL, NULL);
}
