/* SPDX-License-Identifier: BSD-2-Clause */

/* Packets that name ranges of memory which the guest showed before: from the host, to the guest. */

#include "pair.h"

#include <stdlib.h>

#define WAIT  VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION
#define CHAIN 32u /* the default */

static struct seen {
	NTSTATUS status;
	uint16_t page_set;
	uint32_t count;
	struct kmcl_transfer_range ranges[CHAIN];
	NTSTATUS external;
	NTSTATUS arguments[4];
} seen;

static void look(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                 uint32_t flags)
{
	const struct kmcl_transfer_range *ranges = NULL;
	uint16_t set = 0;
	uint32_t count = 0;
	PMDL mdl;

	seen.status = kmcl_packet_get_transfer_pages(packet, &set, &ranges, &count);
	seen.page_set = set;
	seen.count = count;
	if (ranges && count <= CHAIN)
		memcpy(seen.ranges, ranges, count * sizeof(*ranges));
	seen.external = VmbChannelPacketGetExternalData(packet, 0, &mdl);
	seen.arguments[0] = kmcl_packet_get_transfer_pages(NULL, &set, &ranges, &count);
	seen.arguments[1] = kmcl_packet_get_transfer_pages(packet, NULL, &ranges, &count);
	seen.arguments[2] = kmcl_packet_get_transfer_pages(packet, &set, NULL, &count);
	seen.arguments[3] = kmcl_packet_get_transfer_pages(packet, &set, &ranges, NULL);
	VmbChannelPacketComplete(packet, buffer, size);
}

static struct pair *open_pair(void)
{
	struct pair *pair = pair_create();

	memset(&seen, 0, sizeof(seen));
	pair->client.process = look;
	pair_open(pair);
	return pair;
}

static NTSTATUS send_ranges(struct pair_end *end, uint16_t set,
                            const struct kmcl_transfer_range *ranges, uint32_t count)
{
	VMBPACKET packet = VmbPacketAllocate(end->channel);
	uint64_t words[3] = { 11, 22, 33 };
	NTSTATUS status;

	VmbPacketSetCompletionRoutine(packet, pair_completed);
	status = kmcl_packet_send_transfer_pages(packet, words, sizeof(words), set, ranges, count,
	                                         WAIT);
	if (!NT_SUCCESS(status))
		VmbPacketFree(packet);
	return status;
}

/* covers: kmcl_packet_send_transfer_pages, kmcl_packet_get_transfer_pages */
static void ranges_arrive_as_they_were_sent(void **state)
{
	struct pair *pair = open_pair();
	struct kmcl_transfer_range ranges[CHAIN];
	struct kmcl_channel_info info;
	uint32_t bytes = 0;

	for (uint32_t count = 1; count <= CHAIN; count++) {
		bytes = 0;
		for (uint32_t i = 0; i < count; i++) {
			ranges[i] = (struct kmcl_transfer_range){ 100 + i, i * 0x1000 + count };
			bytes += ranges[i].byte_count;
		}
		assert_int_equal(
			send_ranges(&pair->server, (uint16_t)(0xcaf0 + count), ranges, count),
			STATUS_SUCCESS);
		pair_wait(pair->server.completions == count);
		assert_int_equal(seen.status, STATUS_SUCCESS);
		assert_int_equal(seen.page_set, 0xcaf0 + count);
		assert_int_equal(seen.count, count);
		assert_memory_equal(seen.ranges, ranges, count * sizeof(*ranges));
	}
	/* the payload came with it, and there and back again in the answer */
	assert_int_equal(pair->client.last_size, 24);
	assert_int_equal(((uint64_t *)pair->client.last)[2], 33);
	assert_int_equal(pair->server.answer_size, 24);
	assert_int_equal(((uint64_t *)pair->server.answer)[1], 22);
	/* it is no external data: that is the guest's to send */
	assert_int_equal(pair->client.last_flags, 0);
	assert_int_equal(seen.external, STATUS_NOT_FOUND);
	kmcl_channel_info(pair->server.channel, &info);
	assert_true(info.statistics.external_bytes >= bytes);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: kmcl_packet_get_transfer_pages */
static void other_packets_have_none(void **state)
{
	struct pair *pair = open_pair();
	struct kmcl_transfer_range range = { 1, 2 };
	uint64_t word = 1;

	assert_int_equal(send_ranges(&pair->server, 1, &range, 1), STATUS_SUCCESS);
	pair_wait(pair->server.completions == 1);
	assert_int_equal(seen.status, STATUS_SUCCESS);
	assert_int_equal(seen.arguments[0], STATUS_INVALID_PARAMETER_1);
	assert_int_equal(seen.arguments[1], STATUS_INVALID_PARAMETER_2);
	assert_int_equal(seen.arguments[2], STATUS_INVALID_PARAMETER_3);
	assert_int_equal(seen.arguments[3], STATUS_INVALID_PARAMETER_4);
	/* the item that held it is used again */
	assert_int_equal(pair_send(&pair->server, &word, sizeof(word), WAIT), STATUS_SUCCESS);
	pair_wait(pair->server.completions == 2);
	assert_int_equal(seen.status, STATUS_NOT_FOUND);
	pair_destroy(pair);
}

/* covers: kmcl_packet_send_transfer_pages */
static void refusals(void **state)
{
	struct pair *pair = open_pair();
	VMBPACKET packet = VmbPacketAllocate(pair->server.channel);
	struct kmcl_transfer_range ranges[CHAIN + 1] = { { 8, 0 } };
	struct kmcl_transfer_range large = { (1u << 20) + 1, 0 };
	uint8_t bytes[4097] = { 0 };

	VmbPacketSetCompletionRoutine(packet, pair_completed);
	assert_int_equal(kmcl_packet_send_transfer_pages(NULL, bytes, 8, 1, ranges, 1, WAIT),
	                 STATUS_INVALID_PARAMETER_1);
	assert_int_equal(kmcl_packet_send_transfer_pages(packet, NULL, 8, 1, ranges, 1, WAIT),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(kmcl_packet_send_transfer_pages(packet, bytes, 4097, 1, ranges, 1, WAIT),
	                 STATUS_INVALID_PARAMETER_3);
	assert_int_equal(kmcl_packet_send_transfer_pages(packet, bytes, 8, 1, NULL, 1, WAIT),
	                 STATUS_INVALID_PARAMETER_5);
	assert_int_equal(kmcl_packet_send_transfer_pages(packet, bytes, 8, 1, ranges, 0, WAIT),
	                 STATUS_INVALID_PARAMETER_6);
	assert_int_equal(kmcl_packet_send_transfer_pages(packet, bytes, 8, 1, ranges, 1, 0),
	                 STATUS_INVALID_PARAMETER_7);
	assert_int_equal(kmcl_packet_send_transfer_pages(packet, bytes, 8, 1, ranges, 1, WAIT | 8),
	                 STATUS_INVALID_PARAMETER_7);
	assert_int_equal(
		kmcl_packet_send_transfer_pages(packet, bytes, 8, 1, ranges, CHAIN + 1, WAIT),
		STATUS_INVALID_BUFFER_SIZE);
	assert_int_equal(kmcl_packet_send_transfer_pages(packet, bytes, 8, 1, &large, 1, WAIT),
	                 STATUS_INVALID_BUFFER_SIZE);
	assert_int_equal(send_ranges(&pair->client, 1, ranges, 1), STATUS_INVALID_PARAMETER);
	/* a refused packet can still be sent */
	assert_int_equal(kmcl_packet_send_transfer_pages(packet, bytes, 8, 1, ranges, 1, WAIT),
	                 STATUS_SUCCESS);
	pair_wait(pair->server.completions == 1);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

static VMBPACKETCOMPLETION held[64];
static uint32_t held_count;

static void hold(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                 uint32_t flags)
{
	pair_lock();
	held[held_count++ % 64] = packet;
	pair_unlock();
	pair_trace(end, 'h');
}

/* Ranges are the guest's until it is done with them, or gone. */
/* covers: kmcl_packet_send_transfer_pages */
static void ended_by_the_completion_or_the_close(void **state)
{
	struct pair *pair = open_pair();
	struct kmcl_transfer_range range = { 64, 128 };

	held_count = 0;
	pair->client.process = hold;
	for (int i = 0; i < 3; i++)
		assert_int_equal(send_ranges(&pair->server, 7, &range, 1), STATUS_SUCCESS);
	pair_wait(held_count == 3);
	assert_int_equal(pair->server.completions, 0);
	VmbChannelPacketComplete(held[0], NULL, 0);
	pair_wait(pair->server.completions == 1);
	assert_int_equal(pair->server.cancelled, 0);
	VmbChannelPacketComplete(held[1], NULL, 0);
	VmbChannelPacketComplete(held[2], NULL, 0);
	pair_wait(pair->server.completions == 3);
	pair->client.process = look;
	/* nobody will ever complete this one */
	VmbChannelDisable(pair->client.channel);
	VmbChannelPause(pair->client.channel);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->server, "COSP"));
	assert_int_equal(send_ranges(&pair->server, 7, &range, 1), STATUS_SUCCESS);
	VmbChannelDisable(pair->client.channel);
	pair_wait(pair->server.cancelled == 1);
	assert_int_equal(pair->server.last_status, STATUS_CANCELLED);
	pair_destroy(pair);
}

/* covers: kmcl_packet_send_transfer_pages */
static void wait_for_the_channel_and_its_ring(void **state)
{
	struct pair *pair = pair_create();
	enum { COUNT = 3000 };
	struct kmcl_transfer_range ranges[CHAIN];

	memset(&seen, 0, sizeof(seen));
	pair->client.process = look;
	for (uint32_t i = 0; i < CHAIN; i++)
		ranges[i] = (struct kmcl_transfer_range){ i + 1, i * 64 };
	assert_int_equal(send_ranges(&pair->server, 3, ranges, CHAIN), STATUS_SUCCESS);
	pair_open(pair);
	pair_wait(pair->server.completions == 1);
	assert_memory_equal(seen.ranges, ranges, sizeof(ranges));
	/* more than the ring holds */
	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal(send_ranges(&pair->server, 3, ranges, 1 + i % CHAIN),
		                 STATUS_SUCCESS);
	pair_wait(pair->server.completions == COUNT + 1);
	assert_int_equal(seen.count, 1 + (COUNT - 1) % CHAIN);
	assert_memory_equal(seen.ranges, ranges, seen.count * sizeof(*ranges));
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* ---- saved while they wait ---- */

static uint32_t restored;

static NTSTATUS restore(VMBCHANNEL channel, PVOID library, UINT32 library_size, PVOID save,
                        UINT32 save_size)
{
	VMBPACKET packet = VmbPacketAllocate(channel);

	VmbPacketSetCompletionRoutine(packet, pair_completed);
	restored++;
	return VmbPacketRestore(packet, library, library_size);
}

static struct pair *create_saving(void)
{
	struct pair *pair = pair_create();

	assert_int_equal(VmbServerChannelInitSetSaveRestorePacketCallbacks(pair->server.channel,
	                                                                   NULL, restore),
	                 STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	return pair;
}

static uint32_t save_queued(const struct kmcl_transfer_range *ranges, uint32_t count,
                            uint8_t *bytes, uint32_t capacity)
{
	struct pair *pair = create_saving();
	ULONG filled, required;

	assert_int_equal(send_ranges(&pair->server, 0xcafe, ranges, count), STATUS_SUCCESS);
	assert_int_equal(VmbChannelSaveBegin(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(
		VmbChannelSaveContinue(pair->server.channel, bytes, capacity, &filled, &required),
		STATUS_SUCCESS);
	VmbChannelSaveEnd(pair->server.channel);
	pair_destroy(pair);
	return filled;
}

/* covers: kmcl_packet_send_transfer_pages, VmbChannelRestoreFromBuffer, VmbPacketRestore */
static void queued_ones_survive_a_save(void **state)
{
	const struct kmcl_transfer_range ranges[3] = { { 10, 20 }, { 30, 40 }, { 50, 60 } };
	_Alignas(8) uint8_t bytes[1024];
	uint32_t size = save_queued(ranges, 3, bytes, sizeof(bytes));
	struct pair *pair = create_saving();

	restored = 0;
	assert_int_equal(VmbChannelRestoreFromBuffer(pair->server.channel, bytes, size),
	                 STATUS_SUCCESS);
	assert_int_equal(restored, 1);
	memset(&seen, 0, sizeof(seen));
	pair->client.process = look;
	VmbChannelStart(pair->server.channel);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair->server.completions == 1);
	assert_int_equal(seen.page_set, 0xcafe);
	assert_int_equal(seen.count, 3);
	assert_memory_equal(seen.ranges, ranges, sizeof(ranges));
	assert_int_equal(((uint64_t *)pair->client.last)[0], 11);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

static VMBPACKET chosen(struct pair_end *end, uint32_t id, NTSTATUS expected)
{
	VMBPACKET packet = VmbPacketAllocate(end->channel);

	VmbPacketSetCompletionRoutine(packet, pair_completed);
	assert_int_equal(kmcl_packet_set_transaction_id(packet, id), expected);
	return packet;
}

/* One of the library's own packets may be under way with it. */
static VMBPACKET chosen_in_time(struct pair_end *end, uint32_t id)
{
	VMBPACKET packet = VmbPacketAllocate(end->channel);
	NTSTATUS status;
	uint32_t tries = PAIR_WAIT_MS;

	VmbPacketSetCompletionRoutine(packet, pair_completed);
	while ((status = kmcl_packet_set_transaction_id(packet, id)) == STATUS_DEVICE_BUSY &&
	       tries--)
		KeStallExecutionProcessor(1000);
	assert_int_equal(status, STATUS_SUCCESS);
	return packet;
}

/* covers: kmcl_packet_set_transaction_id */
static void a_sender_chooses_its_ids(void **state)
{
	struct kmcl_transfer_range range = { 1, 2 };
	struct pair *pair = pair_create();
	struct pair_end *end = &pair->server;
	uint64_t word = 7;
	VMBPACKET packet;

	pair->client.process = look;
	VmbPacketFree(chosen(end, 0, STATUS_INVALID_PARAMETER_2));
	VmbPacketFree(chosen(end, 65537, STATUS_INVALID_PARAMETER_2));
	assert_int_equal(kmcl_packet_set_transaction_id(NULL, 1), STATUS_INVALID_PARAMETER_1);
	VmbPacketFree(chosen(end, 65536, STATUS_SUCCESS));
	/* One that waits for the channel has its id, and so has one that is not sent yet. */
	packet = chosen(end, 5, STATUS_SUCCESS);
	VmbPacketFree(chosen(end, 5, STATUS_DEVICE_BUSY));
	assert_int_equal(kmcl_packet_send_transfer_pages(packet, &word, 8, 1, &range, 1, WAIT),
	                 STATUS_SUCCESS);
	VmbPacketFree(chosen(end, 5, STATUS_DEVICE_BUSY));
	pair_open(pair);
	pair_wait(end->completions == 1);
	/* Each of them in some order, and others among them. */
	for (uint32_t i = 0; i < 600; i++) {
		uint32_t id = 1 + i * 37 % 600;

		packet = chosen_in_time(end, id);
		assert_int_equal(pair_send(end, &word, sizeof(word), WAIT), STATUS_SUCCESS);
		assert_int_equal(
			kmcl_packet_send_transfer_pages(packet, &word, 8, 1, &range, 1, WAIT),
			STATUS_SUCCESS);
	}
	pair_wait(end->completions == 1201);
	assert_int_equal(end->cancelled, 0);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_arrive_as_they_were_sent),
		cmocka_unit_test(other_packets_have_none),
		cmocka_unit_test(refusals),
		cmocka_unit_test(ended_by_the_completion_or_the_close),
		cmocka_unit_test(wait_for_the_channel_and_its_ring),
		cmocka_unit_test(queued_ones_survive_a_save),
		cmocka_unit_test(a_sender_chooses_its_ids),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("transfer_pages", tests, NULL, NULL);
}
