/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Four threads a side enable, disable, start and pause one channel, as they like and as often as
 * they can. The callbacks come in their order all the same, every call returns, and at the end
 * nothing is left.
 */

#include "../sanitized.h"
#include "pair.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define TURNS   ROUNDS(10000u)
#define THREADS 4u
#define OPENS   ROUNDS(50u)

/* What the callbacks say the channel is. */
enum stage { CLOSED, OPEN, STARTED, POST_STARTED };

struct side {
	struct pair_end *end;
	_Atomic(enum stage) stage;
	_Atomic(uint32_t) rounds;
	_Atomic(uint32_t) out_of_order;
	_Atomic(uint32_t) opens;
};

static void step(struct side *side, enum stage from, enum stage to)
{
	enum stage was = from;

	if (!atomic_compare_exchange_strong(&side->stage, &was, to))
		atomic_fetch_add(&side->out_of_order, 1);
}

static NTSTATUS on_opened(VMBCHANNEL channel)
{
	struct side *side = VmbChannelGetPointer(channel);

	step(side, CLOSED, OPEN);
	atomic_fetch_add(&side->opens, 1);
	return STATUS_SUCCESS;
}

static VOID on_started(VMBCHANNEL channel)
{
	step(VmbChannelGetPointer(channel), OPEN, STARTED);
}

static VOID on_post_started(VMBCHANNEL channel)
{
	step(VmbChannelGetPointer(channel), STARTED, POST_STARTED);
}

static VOID on_suspend(VMBCHANNEL channel)
{
	step(VmbChannelGetPointer(channel), POST_STARTED, OPEN);
}

static VOID on_closed(VMBCHANNEL channel)
{
	step(VmbChannelGetPointer(channel), OPEN, CLOSED);
}

static VOID on_packet(VMBCHANNEL channel, VMBPACKETCOMPLETION packet, PVOID buffer, UINT32 size,
                      UINT32 flags)
{
	struct side *side = VmbChannelGetPointer(channel);
	enum stage stage = side->stage;

	if (stage != STARTED && stage != POST_STARTED)
		atomic_fetch_add(&side->out_of_order, 1);
	VmbChannelPacketComplete(packet, buffer, size);
}

static void configure(struct side *side, struct pair_end *end)
{
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;

	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelOpened = on_opened;
	callbacks.EvtChannelStarted = on_started;
	callbacks.EvtChannelPostStarted = on_post_started;
	callbacks.EvtChannelSuspend = on_suspend;
	callbacks.EvtChannelClosed = on_closed;
	side->end = end;
	VmbChannelSetPointer(end->channel, side);
	assert_int_equal(VmbChannelInitSetStateChangeCallbacks(end->channel, &callbacks), 0);
	assert_int_equal(VmbChannelInitSetProcessPacketCallbacks(end->channel, on_packet, NULL), 0);
}

/* So many at least; and until both sides have come to something, however busy the machine is. */
static bool another_round(struct side *side)
{
	uint32_t done = atomic_fetch_add(&side->rounds, 1);

	return done < TURNS || (side->opens < OPENS && done < 100 * TURNS);
}

static void send_one(VMBCHANNEL channel)
{
	VMBPACKET packet = VmbPacketAllocate(channel);
	uint64_t word = 1;

	if (packet && !NT_SUCCESS(VmbPacketSend(packet, &word, sizeof(word), NULL, 0)))
		VmbPacketFree(packet);
}

static void *run(void *context)
{
	struct side *side = context;
	VMBCHANNEL channel = side->end->channel;
	unsigned seed = (unsigned)(uintptr_t)pthread_self();

	while (another_round(side)) {
		int what = rand_r(&seed) % 16;

		if (what < 5)
			VmbChannelEnable(channel);
		else if (what < 6)
			VmbChannelDisable(channel);
		else if (what < 12)
			VmbChannelStart(channel);
		else
			VmbChannelPause(channel);
		send_one(channel);
		if (rand_r(&seed) % 4 == 0) /* lets the other end come to something */
			usleep((unsigned)rand_r(&seed) % 300);
	}
	return NULL;
}

/* covers: VmbChannelEnable, VmbChannelDisable, VmbChannelStart, VmbChannelPause */
static void four_threads_a_side(void **state)
{
	static struct side sides[2];
	struct pair *pair = pair_create();
	pthread_t threads[2][THREADS];

	configure(&sides[0], &pair->server);
	configure(&sides[1], &pair->client);
	for (int s = 0; s < 2; s++)
		for (unsigned i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[s][i], NULL, run, &sides[s]), 0);
	for (int s = 0; s < 2; s++)
		for (unsigned i = 0; i < THREADS; i++)
			pthread_join(threads[s][i], NULL);
	VmbChannelDisable(pair->client.channel);
	VmbChannelDisable(pair->server.channel);
	if (getenv("KMCL_TEST_LOG"))
		print_message("opened %u and %u times\n", sides[0].opens, sides[1].opens);
	for (int s = 0; s < 2; s++) {
		assert_int_equal(sides[s].stage, CLOSED);
		assert_int_equal(sides[s].out_of_order, 0);
		assert_true(sides[s].rounds >= TURNS);
		assert_true(sides[s].opens >= OPENS);
	}
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_threads_a_side),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("stampede", tests, NULL, NULL);
}
