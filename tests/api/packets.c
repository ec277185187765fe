/* SPDX-License-Identifier: BSD-2-Clause */

/* Packet objects: made, sent, sent again, freed; and the order in which they arrive. */

#include "../sanitized.h"
#include "pair.h"

#include <stdlib.h>

#define WAIT  VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION
#define PAGED VMBUS_CHANNEL_FORMAT_FLAG_PAGED_BUFFER

/* covers: VmbPacketAllocate, VmbPacketFree, VmbPacketSetPointer, VmbPacketGetPointer,
 * VmbPacketGetChannel */
static void allocated_packets(void **state)
{
	struct pair *pair = pair_create();
	enum { COUNT = 1000 };
	VMBPACKET packets[COUNT];
	KIRQL irql;

	assert_null(VmbPacketAllocate(NULL));
	KeRaiseIrql(DISPATCH_LEVEL, &irql);
	for (int i = 0; i < COUNT; i++) {
		packets[i] = VmbPacketAllocate(pair->client.channel);
		assert_non_null(packets[i]);
		assert_null(VmbPacketGetPointer(packets[i]));
		VmbPacketSetPointer(packets[i], &packets[i]);
	}
	for (int i = 0; i < COUNT; i++) {
		assert_ptr_equal(VmbPacketGetPointer(packets[i]), &packets[i]);
		assert_ptr_equal(VmbPacketGetChannel(packets[i]), pair->client.channel);
	}
	for (int i = 0; i < COUNT; i++)
		VmbPacketFree(packets[i]);
	KeLowerIrql(irql);
	/* from the lookaside list, as good as new */
	packets[0] = VmbPacketAllocate(pair->client.channel);
	assert_null(VmbPacketGetPointer(packets[0]));
	VmbPacketFree(packets[0]);
	pair_destroy(pair);
}

static uint32_t initialized_done;

static VOID initialized_completed(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	pair_lock();
	initialized_done += status == STATUS_SUCCESS;
	pair_unlock();
	pair_changed();
}

/* covers: VmbPacketInitialize, VmbChannelSizeofPacket, VmbPacketSetCompletionRoutine */
static void packets_in_the_callers_memory(void **state)
{
	struct pair *pair = pair_create();
	uint32_t size = VmbChannelSizeofPacket(pair->client.channel);
	uint8_t *memory = calloc(1, size + 64);
	VMBPACKET packet = (VMBPACKET)memory;
	uint64_t word = 5;

	memset(memory + size, 0x5a, 64);
	assert_int_equal(VmbPacketInitialize(NULL, packet, size), STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbPacketInitialize(pair->client.channel, NULL, size),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbPacketInitialize(pair->client.channel, (VMBPACKET)(memory + 4), size),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbPacketInitialize(pair->client.channel, packet, size - 1),
	                 STATUS_INVALID_PARAMETER_3);
	assert_int_equal(VmbPacketInitialize(pair->client.channel, packet, size), STATUS_SUCCESS);
	assert_ptr_equal(VmbPacketGetChannel(packet), pair->client.channel);
	pair_open(pair);
	assert_int_equal(VmbPacketSend(packet, &word, sizeof(word), NULL, WAIT),
	                 STATUS_INVALID_PARAMETER_1);
	VmbPacketSetCompletionRoutine(packet, initialized_completed);
	initialized_done = 0;
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(VmbPacketSend(packet, &word, sizeof(word), NULL, i % 2 ? WAIT : 0),
		                 STATUS_SUCCESS);
		pair_wait(initialized_done == i + 1);
	}
	VmbPacketFree(packet);
	for (int i = 0; i < 64; i++)
		assert_int_equal(memory[size + i], 0x5a);
	/* the memory may become another packet, of the other end even */
	assert_int_equal(VmbPacketInitialize(pair->server.channel, packet, size + 64),
	                 STATUS_SUCCESS);
	VmbPacketFree(packet);
	pair_destroy(pair);
	free(memory);
}

/* covers: VmbPacketInitialize */
static void memory_is_initialized_any_number_of_times(void **state)
{
	struct pair *pair = pair_create();
	enum { TIMES = 70000, ATONCE = 250 };
	uint32_t size = (VmbChannelSizeofPacket(pair->client.channel) + 63) / 64 * 64;
	uint8_t *memory = aligned_alloc(64, (size_t)size * ATONCE);
	uint64_t word = 5;
	VMBPACKET packet;

	for (uint32_t i = 0; i < TIMES; i++)
		assert_int_equal(VmbPacketInitialize(pair->client.channel, (VMBPACKET)memory, size),
		                 0);
	packet = VmbPacketAllocate(pair->client.channel);
	assert_non_null(packet);
	VmbPacketFree(packet);
	/* and sent each time, without a word that its use is over */
	pair_open(pair);
	initialized_done = 0;
	for (uint32_t i = 0; i < TIMES; i += ATONCE) {
		for (uint32_t k = 0; k < ATONCE; k++) {
			packet = (VMBPACKET)(memory + (size_t)k * size);
			assert_int_equal(VmbPacketInitialize(pair->client.channel, packet, size),
			                 0);
			VmbPacketSetCompletionRoutine(packet, initialized_completed);
			assert_int_equal(
				VmbPacketSend(packet, &word, sizeof(word), NULL, k % 8 ? WAIT : 0),
				0);
		}
		pair_wait(initialized_done == i + ATONCE);
	}
	pair_destroy(pair);
	free(memory);
}

/* ---- in memory that the other end can write ---- */

#define TAG 0x74736554 /* "Test" */

static VMBPACKETCOMPLETION kept_packet;
static VMBPACKET named_completed;

static void keep_packet(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer,
                        uint32_t size, uint32_t flags)
{
	pair_lock();
	kept_packet = packet;
	pair_unlock();
	pair_changed();
}

static VOID named_packet_completed(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	pair_lock();
	named_completed = status == STATUS_SUCCESS ? packet : NULL;
	initialized_done++;
	pair_unlock();
	pair_changed();
}

/* The pool's memory is the other end's to write over, at any time. */
/* covers: VmbPacketInitialize, VmbPacketGetPointer, VmbPacketGetChannel */
static void packets_in_the_pool_are_names(void **state)
{
	struct pair *pair = pair_create();
	uint32_t size = VmbChannelSizeofPacket(pair->client.channel);
	uint8_t *memory = ExAllocatePoolWithTag(NonPagedPoolNx, size, TAG);
	VMBPACKET packet = (VMBPACKET)memory;
	uint64_t word = 5;

	assert_int_equal(VmbPacketInitialize(pair->client.channel, packet, size), STATUS_SUCCESS);
	memset(memory, 0xff, size);
	VmbPacketSetCompletionRoutine(packet, named_packet_completed);
	VmbPacketSetPointer(packet, pair);
	memset(memory, 0x41, size);
	assert_ptr_equal(VmbPacketGetPointer(packet), pair);
	assert_ptr_equal(VmbPacketGetChannel(packet), pair->client.channel);
	pair_open(pair);
	pair->server.process = keep_packet;
	initialized_done = 0;
	for (uint32_t i = 0; i < 20; i++) {
		VMBPACKETCOMPLETION kept;

		memset(memory, 0, size);
		assert_int_equal(VmbPacketSend(packet, &word, sizeof(word), NULL, WAIT),
		                 STATUS_SUCCESS);
		memset(memory, 0x41 + (int)i, size);
		pair_wait(kept_packet != NULL);
		/* it is under way */
		assert_int_equal(VmbPacketInitialize(pair->client.channel, packet, size),
		                 STATUS_INVALID_PARAMETER_2);
		kept = kept_packet;
		kept_packet = NULL;
		VmbChannelPacketComplete(kept, NULL, 0);
		pair_wait(initialized_done == i + 1);
		assert_ptr_equal(named_completed, packet);
		if (i % 2)
			continue;
		assert_int_equal(VmbPacketInitialize(pair->client.channel, packet, size),
		                 STATUS_SUCCESS);
		VmbPacketSetCompletionRoutine(packet, named_packet_completed);
	}
	VmbPacketFree(packet);
	assert_null(VmbPacketGetChannel(packet));
	assert_int_equal(VmbPacketInitialize(pair->client.channel, packet, size), STATUS_SUCCESS);
	ExFreePoolWithTag(memory, TAG); /* and with it the name */
	assert_null(VmbPacketGetChannel(packet));
	memory = ExAllocatePoolWithTag(NonPagedPoolNx, size, TAG);
	packet = (VMBPACKET)memory;
	assert_int_equal(VmbPacketInitialize(pair->client.channel, packet, size), STATUS_SUCCESS);
	pair_destroy(pair);
	assert_null(VmbPacketGetChannel(packet)); /* the channel's are gone, too */
	ExFreePoolWithTag(memory, TAG);
}

static uint32_t one_slot_cancelled;

static VOID one_slot_completed(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	pair_lock();
	initialized_done += status == STATUS_SUCCESS;
	one_slot_cancelled += status == STATUS_CANCELLED;
	pair_unlock();
	pair_changed();
}

/* With one transaction left, whoever does not give it back is found out.
 * covers: VmbPacketInitialize, VmbPacketAllocate */
/* covers: VmbPacketInitialize, VmbPacketSend */
static void each_end_of_a_send_gives_its_transaction_back(void **state)
{
	struct pair *pair = pair_create();
	enum { ALL = 65536 };
	VMBPACKET *taken = calloc(ALL, sizeof(*taken));
	VMBPACKET mine, other;
	uint32_t size;
	uint64_t word = 5;

	assert_int_equal(VmbChannelInitSetMaximumPacketSize(pair->client.channel, 8), 0);
	assert_int_equal(VmbChannelInitSetMaximumExternalData(pair->client.channel, 4096, 1), 0);
	size = VmbChannelSizeofPacket(pair->client.channel);
	mine = malloc(size);
	other = malloc(size);
	for (uint32_t i = 0; i < ALL - 1; i++)
		assert_non_null(taken[i] = VmbPacketAllocate(pair->client.channel));
	assert_int_equal(VmbPacketInitialize(pair->client.channel, mine, size), 0);
	assert_int_equal(VmbPacketInitialize(pair->client.channel, other, size), 0);
	VmbPacketSetCompletionRoutine(mine, one_slot_completed);
	VmbPacketSetCompletionRoutine(other, one_slot_completed);
	initialized_done = one_slot_cancelled = 0;
	for (uint32_t round = 0; round < 3; round++) {
		/* it waits for the channel; another has to wait for it, unless it needs no answer
		 */
		assert_int_equal(VmbPacketSend(mine, &word, sizeof(word), NULL, WAIT), 0);
		assert_int_equal(VmbPacketSend(other, &word, sizeof(word), NULL, WAIT),
		                 STATUS_INSUFFICIENT_RESOURCES);
		assert_int_equal(VmbPacketSend(other, &word, sizeof(word), NULL, 0), 0);
		if (round == 0)
			assert_null(VmbPacketAllocate(pair->client.channel));
		if (round == 0)
			pair_open(pair);
		else
			assert_int_equal(VmbChannelEnable(pair->client.channel), 0);
		pair_wait(initialized_done == 3 * round + 2);
		/* answered, so it is the other's turn */
		assert_int_equal(VmbPacketSend(other, &word, sizeof(word), NULL, WAIT), 0);
		pair_wait(initialized_done == 3 * round + 3);
		/* a refused one takes none */
		assert_int_equal(VmbPacketSend(mine, &word, 9, NULL, WAIT),
		                 STATUS_INVALID_PARAMETER_3);
		VmbChannelDisable(pair->client.channel);
	}
	/* and those that are cancelled */
	for (uint32_t round = 0; round < 3; round++) {
		VmbChannelPause(pair->server.channel);
		pair_wait(pair_traced(&pair->client, "C"));
		assert_int_equal(VmbChannelEnable(pair->client.channel), 0);
		pair_wait(pair_traced(&pair->client, "OSP"));
		assert_int_equal(VmbPacketSend(mine, &word, sizeof(word), NULL, WAIT), 0);
		VmbChannelDisable(pair->client.channel);
		pair_wait(one_slot_cancelled == round + 1);
	}
	assert_non_null(taken[ALL - 1] = VmbPacketAllocate(pair->client.channel));
	assert_null(VmbPacketAllocate(pair->client.channel));
	assert_int_equal(VmbPacketSend(mine, &word, sizeof(word), NULL, WAIT),
	                 STATUS_INSUFFICIENT_RESOURCES);
	for (uint32_t i = 0; i < ALL; i++)
		VmbPacketFree(taken[i]);
	pair_destroy(pair);
	free(other);
	free(mine);
	free(taken);
}

/* The count of transactions rises while a channel closes and looks through all of them.
 * covers: VmbPacketAllocate, VmbChannelDisable */
static _Atomic(bool) making;

static void *make_packets(void *context)
{
	enum { MOST = 60000 };
	VMBPACKET *packets = calloc(MOST, sizeof(*packets));
	uint32_t count = 0;

	for (; making && count < MOST; count++)
		packets[count] = VmbPacketAllocate(context);
	while (count > 0)
		VmbPacketFree(packets[--count]);
	free(packets);
	return NULL;
}

/* covers: VmbPacketAllocate */
static void packets_are_made_while_the_channel_closes(void **state)
{
	for (int round = 0; round < ROUNDS(15); round++) {
		struct pair *pair = pair_create();
		VMBCHANNEL channel = pair->client.channel;
		pthread_t thread;

		assert_int_equal(VmbChannelInitSetMaximumPacketSize(channel, 8), 0);
		assert_int_equal(VmbChannelInitSetMaximumExternalData(channel, 4096, 1), 0);
		pair_open(pair);
		making = true;
		assert_int_equal(pthread_create(&thread, NULL, make_packets, channel), 0);
		VmbChannelDisable(channel);
		making = false;
		assert_int_equal(pthread_join(thread, NULL), 0);
		pair_destroy(pair);
	}
}

/* What waits for a client's channel that is not open waits until that is opened or disabled.
 * covers: VmbChannelDisable, VmbPacketSend */
/* covers: VmbChannelDisable, VmbPacketSend */
static void disabling_a_client_ends_what_waits(void **state)
{
	struct pair *pair = pair_create();
	struct pair_end *client = &pair->client;
	uint64_t word = 1;

	for (uint32_t round = 0; round < 3; round++) {
		/* disabled; enabled, and nobody at the other end; disabled after it was open */
		assert_int_equal(pair_send(client, &word, sizeof(word), WAIT), 0);
		VmbChannelDisable(client->channel);
		assert_int_equal(client->cancelled, 3 * round + 1);
		assert_int_equal(pair_send(client, &word, sizeof(word), 0), 0);
		assert_int_equal(VmbChannelEnable(client->channel), 0);
		assert_int_equal(pair_send(client, &word, sizeof(word), WAIT), 0);
		VmbChannelDisable(client->channel);
		assert_int_equal(client->cancelled, 3 * round + 3);
		pair_open(pair);
		VmbChannelDisable(client->channel);
		VmbChannelDisable(pair->server.channel);
	}
	pair_destroy(pair);
}

static void wait_for_all(struct pair *pair)
{
	struct kmcl_channel_info info;
	uint32_t tries = PAIR_WAIT_MS;

	do {
		KeStallExecutionProcessor(100);
		kmcl_channel_info(pair->client.channel, &info);
	} while (info.outstanding_out && tries--);
	assert_int_equal(info.outstanding_out, 0);
}

/* covers: VmbPacketSetCompletionRoutine, VmbPacketSend */
static void without_a_routine_packets_free_themselves(void **state)
{
	struct pair *pair = pair_create();
	enum { COUNT = 2000, KNOWN = 256 };
	VMBPACKET known[KNOWN] = { 0 };
	uint32_t kinds = 0;
	uint64_t word = 1;

	pair_open(pair);
	for (uint32_t i = 0; i < COUNT; i++) {
		VMBPACKET packet = VmbPacketAllocate(pair->client.channel);
		uint32_t k = 0;

		if (i % 3 == 0) {
			VmbPacketSetCompletionRoutine(packet, pair_completed);
			VmbPacketSetCompletionRoutine(packet, NULL);
		}
		while (k < kinds && known[k] != packet)
			k++;
		if (k == kinds && kinds < KNOWN)
			known[kinds++] = packet;
		assert_int_equal(VmbPacketSend(packet, &word, sizeof(word), NULL, i % 2 ? WAIT : 0),
		                 STATUS_SUCCESS);
		if (i % 16 == 15)
			wait_for_all(pair);
	}
	pair_wait(pair->server.packets == COUNT);
	/* the same few over and over */
	assert_in_range(kinds, 1, 64);
	pair_destroy(pair);
}

static struct again {
	uint32_t left;
	uintptr_t lowest, highest; /* stack addresses */
	uint32_t flags;
	bool done;
} again;

static VOID send_again(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	volatile uint64_t here = again.left;

	if ((uintptr_t)&here < again.lowest)
		again.lowest = (uintptr_t)&here;
	if ((uintptr_t)&here > again.highest)
		again.highest = (uintptr_t)&here;
	if (status == STATUS_SUCCESS && again.left-- > 0) {
		uint64_t word = here;

		if (VmbPacketSend(packet, &word, sizeof(word), NULL, again.flags) != STATUS_SUCCESS)
			abort();
		return;
	}
	VmbPacketFree(packet);
	pair_lock();
	again.done = true;
	pair_unlock();
	pair_changed();
}

/* The stack may be another thread's in between: a span is only taken within one megabyte. */
static void send_again_and_again(struct pair *pair, uint32_t count, uint32_t flags)
{
	VMBPACKET packet = VmbPacketAllocate(pair->client.channel);
	uint64_t word = 0;

	again = (struct again){ .left = count, .lowest = UINTPTR_MAX, .flags = flags };
	VmbPacketSetCompletionRoutine(packet, send_again);
	assert_int_equal(VmbPacketSend(packet, &word, sizeof(word), NULL, flags), STATUS_SUCCESS);
	pair_wait(again.done);
	pair_wait(pair->server.packets == count + 1);
}

/* covers: VmbPacketSend, EVT_VMB_PACKET_COMPLETION_ROUTINE */
static void sent_again_from_its_completion_routine(void **state)
{
	struct pair *pair = pair_create();

	pair_open(pair);
	send_again_and_again(pair, 20000, WAIT);
	/* all on the dispatcher's stack, but for the first which may be on the sender's */
	pair->server.packets = 0;
	send_again_and_again(pair, 50000, 0);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

static VOID measure_depth(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	send_again(packet, status, buffer, size);
}

/* A send that is done at once runs its routine inside the send: that must not pile up. */
/* covers: EVT_VMB_PACKET_COMPLETION_ROUTINE */
static void completion_routines_do_not_nest(void **state)
{
	struct pair *pair = pair_create();
	VMBPACKET packet = VmbPacketAllocate(pair->client.channel);
	uint64_t word = 0;

	/* nothing reads: all of them are done here, on this stack */
	assert_int_equal(VmbClientChannelInitSetRingBufferPageCount(pair->client.channel, 16, 256),
	                 0);
	VmbPacketFree(packet);
	pair_open(pair);
	VmbChannelPause(pair->server.channel);
	packet = VmbPacketAllocate(pair->client.channel);
	again = (struct again){ .left = 20000, .lowest = UINTPTR_MAX };
	VmbPacketSetCompletionRoutine(packet, measure_depth);
	assert_int_equal(VmbPacketSend(packet, &word, sizeof(word), NULL, 0), STATUS_SUCCESS);
	assert_true(again.done);
	assert_in_range(again.highest - again.lowest, 0, 8192);
	VmbChannelStart(pair->server.channel);
	pair_wait(pair->server.packets == 20001);
	pair_destroy(pair);
}

/* covers: VmbPacketSend */
static void a_paged_buffer_is_copied_first(void **state)
{
	struct pair *pair = pair_create();
	uint8_t buffer[1000];

	memset(buffer, 0x77, sizeof(buffer));
	pair_open(pair);
	assert_int_equal(pair_send(&pair->client, buffer, sizeof(buffer), PAGED), STATUS_SUCCESS);
	memset(buffer, 0, sizeof(buffer));
	pair_wait(pair->server.packets == 1);
	memset(buffer, 0x77, sizeof(buffer));
	assert_memory_equal(pair->server.last, buffer, sizeof(buffer));
	pair_destroy(pair);
}

static struct ordered {
	uint64_t next;
	uint64_t wrong;
} ordered;

static void check_order(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer,
                        uint32_t size, uint32_t flags)
{
	uint64_t word;

	memcpy(&word, buffer, sizeof(word));
	ordered.wrong += word != ordered.next++;
	VmbChannelPacketComplete(packet, NULL, 0);
}

/* The buffers are overwritten after each send: what waits has been copied. */
/* covers: VmbPacketSend, VmbPacketSetCompletionRoutine */
static void what_a_full_ring_holds_up_stays_in_order(void **state)
{
	struct pair *pair = pair_create();
	struct kmcl_channel_info info;
	uint64_t buffer[16];
	enum { COUNT = 5000 };

	ordered = (struct ordered){ 0 };
	pair->server.process = check_order;
	pair_open(pair);
	VmbChannelPause(pair->server.channel);
	for (uint64_t i = 0; i < COUNT; i++) {
		for (int k = 0; k < 16; k++)
			buffer[k] = i;
		assert_int_equal(pair_send(&pair->client, buffer, 8 + i % 15 * 8, i % 7 ? 0 : WAIT),
		                 STATUS_SUCCESS);
	}
	memset(buffer, 0xff, sizeof(buffer));
	kmcl_channel_info(pair->client.channel, &info);
	assert_in_range(info.statistics.sends_queued, 100, COUNT);
	/* not done: waiting for room, or for an answer */
	assert_in_range(pair->client.completions, 1, COUNT - 100);
	VmbChannelStart(pair->server.channel);
	pair_wait(pair->server.packets == COUNT && pair->client.completions == COUNT);
	assert_int_equal(ordered.wrong, 0);
	kmcl_channel_info(pair->client.channel, &info);
	assert_int_equal(info.outstanding_out, 0);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

static uint32_t bytes_sent;

/* What is past the bytes that were sent is padding. */
static void check_bytes(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer,
                        uint32_t size, uint32_t flags)
{
	const uint8_t *p = buffer;

	ordered.wrong += size < bytes_sent;
	for (uint32_t i = 0; i < bytes_sent && i < size; i++)
		ordered.wrong += p[i] != (uint8_t)(i * 7 + i / 256);
	VmbChannelPacketComplete(packet, buffer, size);
}

/* covers: VmbPacketSend, VmbChannelInitSetMaximumPacketSize */
static void packets_of_all_sizes(void **state)
{
	static const uint32_t sizes[] = { 0,    1,     7,     8,      9,      63,     4095,  4096,
		                          4097, 16384, 65536, 131071, 262136, 262144, 100000 };
	enum { COUNT = sizeof(sizes) / sizeof(sizes[0]), MAX = 262144 };
	struct pair *pair = pair_create();
	uint8_t *buffer = malloc(MAX);

	for (uint32_t i = 0; i < MAX; i++)
		buffer[i] = (uint8_t)(i * 7 + i / 256);
	ordered = (struct ordered){ 0 };
	pair->server.process = check_bytes;
	assert_int_equal(VmbChannelInitSetMaximumPacketSize(pair->client.channel, MAX), 0);
	assert_int_equal(VmbChannelInitSetMaximumPacketSize(pair->server.channel, MAX), 0);
	pair_open(pair);
	for (uint32_t i = 0; i < COUNT; i++) {
		uint64_t before = pair->server.bytes;

		bytes_sent = sizes[i];
		assert_int_equal(pair_send(&pair->client, buffer, sizes[i], WAIT), STATUS_SUCCESS);
		pair_wait(pair->client.completions == i + 1);
		assert_int_equal(pair->client.last_status, STATUS_SUCCESS);
		/* rings carry multiples of 8 */
		assert_int_equal(pair->server.bytes - before, (sizes[i] + 7) / 8 * 8);
	}
	assert_int_equal(ordered.wrong, 0);
	pair_destroy(pair);
	free(buffer);
	assert_int_equal(pair_logged_errors(), 0);
}

static VMBPACKETCOMPLETION held;

static void hold(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                 uint32_t flags)
{
	held = packet;
	pair_trace(end, 'h');
}

static VOID count_and_keep(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	struct pair_end *end = VmbChannelGetPointer(VmbPacketGetChannel(packet));

	pair_trace(end, 'c');
}

/* covers: VmbPacketSend */
static void refusals(void **state)
{
	struct pair *pair = pair_create();
	VMBPACKET packet = VmbPacketAllocate(pair->client.channel);
	VMBPACKET of_server = VmbPacketAllocate(pair->server.channel);
	uint64_t word = 1, *pool = ExAllocatePoolWithTag(NonPagedPoolNx, 4096, 'tset');
	uint8_t large[4097] = { 0 };
	PMDL mdl = IoAllocateMdl(pool, 4096, FALSE, FALSE, NULL);

	MmBuildMdlForNonPagedPool(mdl);
	VmbPacketSetCompletionRoutine(packet, count_and_keep);
	assert_int_equal(VmbPacketSend(NULL, &word, 8, NULL, 0), STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbPacketSend(packet, NULL, 8, NULL, 0), STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbPacketSend(packet, large, 4097, NULL, 0), STATUS_INVALID_PARAMETER_3);
	for (uint32_t bit = 8; bit; bit <<= 1)
		assert_int_equal(VmbPacketSend(packet, &word, 8, NULL, bit),
		                 STATUS_INVALID_PARAMETER_5);
	assert_int_equal(VmbPacketSend(of_server, &word, 8, mdl, WAIT), STATUS_INVALID_PARAMETER);
	assert_int_equal(VmbPacketSend(packet, &word, 8, mdl, 0), STATUS_INVALID_PARAMETER_5);
	VmbPacketFree(of_server);

	pair->server.process = hold;
	pair_open(pair);
	/* a refused packet is as it was: it can be sent, but not twice at a time */
	assert_int_equal(VmbPacketSend(packet, &word, 8, NULL, WAIT), STATUS_SUCCESS);
	assert_int_equal(VmbPacketSend(packet, &word, 8, NULL, WAIT), STATUS_INVALID_PARAMETER_1);
	pair_wait(strchr(pair->server.trace, 'h'));
	VmbChannelPacketComplete(held, NULL, 0);
	pair_wait(pair_traced(&pair->client, "c"));
	assert_int_equal(pair->server.packets, 1);
	VmbPacketFree(packet);
	IoFreeMdl(mdl);
	ExFreePoolWithTag(pool, 'tset');
	pair_destroy(pair);
}

/* covers: VmbPacketSend, kmcl_channel_info */
static void sends_at_dispatch_level_are_one_batch(void **state)
{
	struct pair *pair = pair_create();
	struct kmcl_channel_info before, after;
	uint64_t word = 1;
	uint32_t arrived;
	KIRQL irql;

	pair_open(pair);
	KeStallExecutionProcessor(20000); /* the server's dispatcher sleeps */
	kmcl_channel_info(pair->client.channel, &before);
	KeRaiseIrql(DISPATCH_LEVEL, &irql);
	for (int i = 0; i < 10; i++)
		assert_int_equal(pair_send(&pair->client, &word, sizeof(word), 0), STATUS_SUCCESS);
	KeStallExecutionProcessor(20000);
	pair_lock();
	arrived = pair->server.packets;
	pair_unlock();
	assert_int_equal(arrived, 0); /* not visible yet */
	KeLowerIrql(irql);
	pair_wait(pair->server.packets == 10);
	kmcl_channel_info(pair->client.channel, &after);
	assert_int_equal(after.statistics.signals_out - before.statistics.signals_out, 1);
	assert_int_equal(after.statistics.packets_out - before.statistics.packets_out, 10);
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocated_packets),
		cmocka_unit_test(packets_in_the_callers_memory),
		cmocka_unit_test(memory_is_initialized_any_number_of_times),
		cmocka_unit_test(packets_in_the_pool_are_names),
		cmocka_unit_test(each_end_of_a_send_gives_its_transaction_back),
		cmocka_unit_test(packets_are_made_while_the_channel_closes),
		cmocka_unit_test(disabling_a_client_ends_what_waits),
		cmocka_unit_test(without_a_routine_packets_free_themselves),
		cmocka_unit_test(sent_again_from_its_completion_routine),
		cmocka_unit_test(completion_routines_do_not_nest),
		cmocka_unit_test(a_paged_buffer_is_copied_first),
		cmocka_unit_test(what_a_full_ring_holds_up_stays_in_order),
		cmocka_unit_test(packets_of_all_sizes),
		cmocka_unit_test(refusals),
		cmocka_unit_test(sends_at_dispatch_level_are_one_batch),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("packets", tests, NULL, NULL);
}
