/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A synchronous request is answered, and before its caller comes to look, other packets are queued
 * and the channel begins to close. The caller takes back what was not sent of its own, and nobody
 * else's packet: that would be lost out of the middle of what was sent.
 */

#include "pair.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define WAIT      VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION
#define SPIN_US   500000u /* the caller polls for so long, and thus waits for who delivers */
#define CLOSING   100000u /* us that a channel takes at most to know that it closes */
#define FILL_SIZE 4096u

static struct pair *pair;
static VMBPACKETCOMPLETION held;
static _Atomic(bool) released;
static pthread_t closer;
static VMBPACKET *fillers;
static uint32_t filler_count;
static uint32_t fillers_ended, ended_before_last;

/* Keeps the first, answers the second and the first at once, and then reads no more. */
static void answer_both(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer,
                        uint32_t size, uint32_t flags)
{
	static uint32_t number;

	number++;
	if (number == 1) {
		held = packet;
		pair_trace(end, 'h');
		return;
	}
	while (number > 2 && !atomic_load(&released))
		sched_yield();
	VmbChannelPacketComplete(packet, buffer, size);
	if (number == 2)
		VmbChannelPacketComplete(held, NULL, 0);
}

static VOID filler_ended(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	fillers_ended++;
}

static VOID last_ended(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	ended_before_last = fillers_ended;
	VmbPacketFree(packet);
}

static void *closer_main(void *context)
{
	VmbChannelDisable(pair->client.channel);
	return NULL;
}

/* The request has been answered, its caller does not know yet. */
static VOID first_ended(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	uint8_t block[FILL_SIZE] = { 0 };
	VMBPACKET last;

	for (uint32_t i = 0; i < filler_count; i++)
		VmbPacketSend(fillers[i], block, sizeof(block), NULL, 0);
	last = VmbPacketAllocate(pair->client.channel);
	VmbPacketSetCompletionRoutine(last, last_ended);
	VmbPacketSend(last, block, 8, NULL, 0);
	pthread_create(&closer, NULL, closer_main, NULL);
	KeStallExecutionProcessor(CLOSING);
}

static void prepare_fillers(void)
{
	struct kmcl_channel_info info;

	kmcl_channel_info(pair->client.channel, &info);
	filler_count = info.ring_out_bytes / FILL_SIZE + 1;
	fillers = calloc(filler_count, sizeof(*fillers));
	for (uint32_t i = 0; i < filler_count; i++) {
		fillers[i] = VmbPacketAllocate(pair->client.channel);
		VmbPacketSetCompletionRoutine(fillers[i], filler_ended);
	}
}

/* covers: VmbChannelSendSynchronousRequest */
static void others_packets_stay_queued(void **state)
{
	uint64_t word = 7, answer = 0;
	uint32_t size = sizeof(answer);
	VMBPACKET first;

	pair = pair_create();
	pair->server.process = answer_both;
	pair_open(pair);
	prepare_fillers();
	first = VmbPacketAllocate(pair->client.channel);
	VmbPacketSetCompletionRoutine(first, first_ended);
	assert_int_equal(VmbPacketSend(first, &word, sizeof(word), NULL, WAIT), STATUS_SUCCESS);
	pair_wait(strchr(pair->server.trace, 'h'));
	assert_int_equal(VmbChannelSendSynchronousRequest(pair->client.channel, &word, sizeof(word),
	                                                  NULL, WAIT, &answer, &size, NULL),
	                 STATUS_SUCCESS);
	assert_int_equal(answer, 7);
	atomic_store(&released, true);
	pthread_join(closer, NULL);
	assert_int_equal(fillers_ended, filler_count);
	assert_int_equal(ended_before_last, filler_count);
	VmbPacketFree(first);
	for (uint32_t i = 0; i < filler_count; i++)
		VmbPacketFree(fillers[i]);
	free(fillers);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

int main(int argc, char **argv)
{
	struct kmcl_dispatch_settings settings = {
		.size = sizeof(settings),
		.dispatchers = 2,
		.spin_us = SPIN_US,
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(others_packets_stay_queued),
	};

	pair_main(argc, argv);
	kmcl_dispatch_configure(&settings);
	return cmocka_run_group_tests_name("request closing", tests, NULL, NULL);
}
