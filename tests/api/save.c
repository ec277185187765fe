/* SPDX-License-Identifier: BSD-2-Clause */

/* A server's channel is saved while paused, chunk by chunk, and restored into another one's. */

#include "pair.h"

#include "kmcl/channel.h"

#include <stdio.h>
#include <stdlib.h>

#define WAIT       VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION
#define DRIVER_MAX 64u
#define MOST       64u

/* What the driver under test keeps with a packet: its pointer is a serial number, saved as 4 bytes.
 */
static struct driver {
	uint32_t asked; /* save callbacks with size 0 */
	uint32_t saved; /* ... with enough */
	uint32_t restored;
	uint32_t serials[MOST];
	uint32_t done;
	NTSTATUS last;
	uint32_t completed[MOST];
	NTSTATUS refuse; /* the callbacks answer with this */
	bool nothing;    /* there is nothing to save */
} driver;

static VOID driver_completed(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	uint32_t serial = (uint32_t)(uintptr_t)VmbPacketGetPointer(packet);

	VmbPacketFree(packet);
	pair_lock();
	driver.completed[driver.done++ % MOST] = serial;
	driver.last = status;
	pair_unlock();
	pair_changed();
}

static NTSTATUS driver_save(VMBCHANNEL channel, VMBPACKET packet, PVOID buffer, UINT32 size,
                            PUINT32 needed)
{
	uint32_t serial = (uint32_t)(uintptr_t)VmbPacketGetPointer(packet);

	if (KeGetCurrentIrql() != PASSIVE_LEVEL || VmbPacketGetChannel(packet) != channel)
		abort();
	if (driver.refuse)
		return driver.refuse;
	if (driver.nothing)
		return STATUS_SUCCESS;
	*needed = sizeof(serial);
	if (size < sizeof(serial)) {
		driver.asked++;
		return STATUS_BUFFER_TOO_SMALL;
	}
	memcpy(buffer, &serial, sizeof(serial));
	driver.saved++;
	return STATUS_SUCCESS;
}

static NTSTATUS driver_restore(VMBCHANNEL channel, PVOID library, UINT32 library_size, PVOID save,
                               UINT32 save_size)
{
	VMBPACKET packet;
	uint32_t serial = 0;
	NTSTATUS status;

	if (KeGetCurrentIrql() != PASSIVE_LEVEL)
		abort();
	if (driver.refuse)
		return driver.refuse;
	if (save_size == sizeof(serial))
		memcpy(&serial, save, sizeof(serial));
	else if (save_size || !driver.nothing)
		return STATUS_DATA_ERROR;
	packet = VmbPacketAllocate(channel);
	VmbPacketSetPointer(packet, (void *)(uintptr_t)serial);
	VmbPacketSetCompletionRoutine(packet, driver_completed);
	status = VmbPacketRestore(packet, library, library_size);
	if (!NT_SUCCESS(status)) {
		VmbPacketFree(packet);
		return status;
	}
	driver.serials[driver.restored++ % MOST] = serial;
	return STATUS_SUCCESS;
}

static struct pair *create(void)
{
	struct pair *pair = pair_create();

	assert_int_equal(VmbServerChannelInitSetSaveRestorePacketCallbacks(
				 pair->server.channel, driver_save, driver_restore),
	                 STATUS_SUCCESS);
	return pair;
}

static void send_serial(struct pair *pair, uint32_t serial, uint32_t flags)
{
	VMBPACKET packet = VmbPacketAllocate(pair->server.channel);
	uint64_t words[2] = { serial, 0x0123456789abcdef };

	VmbPacketSetPointer(packet, (void *)(uintptr_t)serial);
	VmbPacketSetCompletionRoutine(packet, driver_completed);
	assert_int_equal(VmbPacketSend(packet, words, sizeof(words), NULL, flags), STATUS_SUCCESS);
}

/* All of it at once; returns its size. */
static uint32_t save(struct pair *pair, uint8_t *buffer, uint32_t capacity)
{
	ULONG filled = 0, required = 0;

	assert_int_equal(VmbChannelSaveBegin(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(
		VmbChannelSaveContinue(pair->server.channel, buffer, capacity, &filled, &required),
		STATUS_SUCCESS);
	VmbChannelSaveEnd(pair->server.channel);
	assert_in_range(filled, 1, capacity);
	return filled;
}

/* Offers a channel that nobody opens, with `count` packets queued, and saves it. */
static uint32_t save_queued(uint32_t count, uint8_t *buffer, uint32_t capacity)
{
	struct pair *pair = create();
	uint32_t size;

	for (uint32_t i = 1; i <= count; i++)
		send_serial(pair, i, i % 2 ? WAIT : 0);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	size = save(pair, buffer, capacity);
	pair_destroy(pair);
	return size;
}

/* Where chunk `n` begins: 24 bytes of header, the size at 12, padded to 8 (docs/save-format.md). */
static uint32_t chunk_at(const uint8_t *bytes, uint32_t n)
{
	uint32_t at = 0, size;

	while (n-- > 0) {
		memcpy(&size, bytes + at + 12, sizeof(size));
		at += 24 + (size + 7) / 8 * 8;
	}
	return at;
}

/* covers: VmbChannelSaveBegin, VmbChannelSaveContinue, VmbChannelSaveEnd,
 * EVT_VMB_CHANNEL_SAVE_PACKET */
static void saving_goes_by_whole_chunks(void **state)
{
	struct pair *pair = create();
	uint8_t whole[4096], pieces[4096];
	ULONG filled, required;
	uint32_t size, at = 0, too_small = 0, overflow = 0;
	NTSTATUS status;

	driver = (struct driver){ 0 };
	for (uint32_t i = 1; i <= 5; i++)
		send_serial(pair, i, WAIT);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	size = save(pair, whole, sizeof(whole));
	assert_int_equal(driver.asked, 5);
	assert_int_equal(driver.saved, 5);

	assert_int_equal(VmbChannelSaveBegin(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(
		VmbChannelSaveContinue(pair->server.channel, pieces, 0, &filled, &required),
		STATUS_BUFFER_TOO_SMALL);
	assert_int_equal(filled, 0);
	assert_int_equal(required, 72); /* header and channel */
	do {
		status = VmbChannelSaveContinue(pair->server.channel, pieces + at, 200, &filled,
		                                &required);
		if (status == STATUS_BUFFER_TOO_SMALL) {
			too_small++;
			break;
		}
		overflow += status == STATUS_BUFFER_OVERFLOW;
		assert_in_range(filled, 1, 200);
		at += filled;
	} while (status != STATUS_SUCCESS);
	VmbChannelSaveEnd(pair->server.channel);
	assert_int_equal(too_small, 0);
	assert_in_range(overflow, 2, 6);
	assert_int_equal(at, size);
	assert_memory_equal(pieces, whole, size);

	/* asked with what is said to be needed, it goes on chunk by chunk */
	assert_int_equal(VmbChannelSaveBegin(pair->server.channel), STATUS_SUCCESS);
	at = 0;
	for (;;) {
		status = VmbChannelSaveContinue(pair->server.channel, pieces + at, 1, &filled,
		                                &required);
		assert_int_equal(status, STATUS_BUFFER_TOO_SMALL);
		assert_int_equal(filled, 0);
		status = VmbChannelSaveContinue(pair->server.channel, pieces + at, required,
		                                &filled, &required);
		at += filled;
		if (status == STATUS_SUCCESS)
			break;
		assert_int_equal(status, STATUS_BUFFER_OVERFLOW);
	}
	VmbChannelSaveEnd(pair->server.channel);
	assert_int_equal(at, size);
	assert_memory_equal(pieces, whole, size);
	/* given up in the middle, and nothing has happened to the packets */
	assert_int_equal(VmbChannelSaveBegin(pair->server.channel), STATUS_SUCCESS);
	VmbChannelSaveContinue(pair->server.channel, pieces, 100, &filled, &required);
	VmbChannelSaveEnd(pair->server.channel);
	VmbChannelSaveEnd(pair->server.channel);
	assert_int_equal(driver.done, 0);
	VmbChannelStart(pair->server.channel);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair->client.packets == 5 && driver.done == 5);
	pair_destroy(pair);
}

/* covers: VmbChannelSaveBegin, VmbChannelSaveContinue, VmbChannelSaveEnd, VmbChannelStart */
static void when_saving_is_allowed(void **state)
{
	struct pair *pair = create();
	uint8_t bytes[4096];
	ULONG filled, required;
	VMBCHANNEL ch = pair->server.channel;

	driver = (struct driver){ 0 };
	assert_int_equal(VmbChannelSaveBegin(NULL), STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbChannelSaveBegin(pair->client.channel), STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbChannelSaveBegin(ch), STATUS_INVALID_DEVICE_STATE); /* disabled */
	pair_open(pair);
	assert_int_equal(VmbChannelSaveBegin(ch), STATUS_INVALID_DEVICE_STATE); /* active */
	assert_int_equal(VmbChannelSaveContinue(ch, bytes, sizeof(bytes), &filled, &required),
	                 STATUS_INVALID_DEVICE_STATE);
	VmbChannelPause(ch);
	assert_int_equal(VmbChannelSaveBegin(ch), STATUS_SUCCESS);
	assert_int_equal(VmbChannelSaveBegin(ch), STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(VmbChannelSaveContinue(pair->client.channel, bytes, 1, &filled, &required),
	                 STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbChannelSaveContinue(ch, NULL, 100, &filled, &required),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbChannelSaveContinue(ch, bytes, 100, NULL, &required),
	                 STATUS_INVALID_PARAMETER_4);
	assert_int_equal(VmbChannelSaveContinue(ch, bytes, 100, &filled, NULL),
	                 STATUS_INVALID_PARAMETER_5);
	/* what is sent now is not in the save, and waits for its end */
	send_serial(pair, 9, 0);
	VmbChannelStart(ch); /* without effect while it is being saved */
	KeStallExecutionProcessor(20000);
	assert_int_equal(driver.done, 0);
	assert_int_equal(pair->client.packets, 0);
	assert_true(pair_traced(&pair->server, "OSPU"));
	VmbChannelSaveEnd(ch);
	pair_wait(driver.done == 1);
	VmbChannelStart(ch);
	pair_wait(pair_traced(&pair->server, "OSPUSP"));
	pair_wait(pair->client.packets == 1);
	pair_destroy(pair);
}

/* covers: VmbChannelSaveContinue, EVT_VMB_CHANNEL_SAVE_PACKET,
 * VmbServerChannelInitSetSaveRestorePacketCallbacks */
static void the_drivers_answers_count(void **state)
{
	struct pair *pair = create();
	uint8_t bytes[4096], again[4096];
	ULONG filled, required;
	uint32_t size;

	driver = (struct driver){ .refuse = STATUS_DEVICE_NOT_READY };
	send_serial(pair, 1, WAIT);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(VmbChannelSaveBegin(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(VmbChannelSaveContinue(pair->server.channel, bytes, sizeof(bytes), &filled,
	                                        &required),
	                 STATUS_DEVICE_NOT_READY);
	VmbChannelSaveEnd(pair->server.channel);
	/* success at once: there is nothing to save; the same as no callback at all */
	driver = (struct driver){ .nothing = true };
	size = save(pair, bytes, sizeof(bytes));
	VmbChannelDisable(pair->server.channel);
	assert_int_equal(driver.done, 0); /* it was never open: the packet is still queued */
	assert_int_equal(VmbServerChannelInitSetSaveRestorePacketCallbacks(pair->server.channel,
	                                                                   NULL, driver_restore),
	                 STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(save(pair, again, sizeof(again)), size);
	assert_memory_equal(again, bytes, size);
	pair_destroy(pair);

	pair = create();
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(VmbChannelRestoreFromBuffer(pair->server.channel, bytes, size),
	                 STATUS_SUCCESS);
	assert_int_equal(driver.restored, 1);
	pair_destroy(pair);
}

/* covers: VmbChannelRestoreFromBuffer, VmbPacketRestore, EVT_VMB_CHANNEL_RESTORE_PACKET */
static void queued_packets_are_sent_after_all(void **state)
{
	struct pair *pair;
	uint8_t bytes[4096], again[4096];
	uint32_t size, at, next;

	driver = (struct driver){ 0 };
	size = save_queued(6, bytes, sizeof(bytes));
	pair = create();
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	driver = (struct driver){ 0 };
	/* a chunk or two at a time */
	for (at = 0; at < size; at = next) {
		next = chunk_at(bytes, at ? 3 : 1);
		if (next <= at)
			next = size;
		assert_int_equal(
			VmbChannelRestoreFromBuffer(pair->server.channel, bytes + at, next - at),
			next < size ? STATUS_MORE_PROCESSING_REQUIRED : STATUS_SUCCESS);
	}
	assert_int_equal(driver.restored, 6);
	/* saved again it is the same */
	assert_int_equal(save(pair, again, sizeof(again)), size);
	assert_memory_equal(again, bytes, size);

	VmbChannelStart(pair->server.channel);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair->client.packets == 6 && driver.done == 6);
	assert_int_equal(driver.last, STATUS_SUCCESS);
	assert_int_equal(pair->client.last_size, 16);
	assert_int_equal(*(uint64_t *)pair->client.last, 6);
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(driver.serials[i], i + 1);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

static VMBPACKETCOMPLETION held[MOST];
static uint32_t held_count;

/* covers: VmbServerChannelInitSetFlags, VmbChannelRestoreFromBuffer */
static void a_forced_new_channel_abandons_the_old(void **state)
{
	uint8_t bytes[4096];
	uint32_t size, damaged;
	struct pair *pair;

	driver = (struct driver){ 0 };
	size = save_queued(6, bytes, sizeof(bytes));
	pair = create();
	assert_int_equal(
		VmbServerChannelInitSetFlags(pair->server.channel,
	                                     VMBUS_SERVER_CHANNEL_INIT_FLAG_FORCE_NEW_CHANNEL),
		STATUS_SUCCESS);
	driver = (struct driver){ 0 };
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	/* the bytes are checked all the same, and have to be all of them */
	damaged = chunk_at(bytes, 2) + 30;
	bytes[damaged] ^= 1;
	assert_int_equal(VmbChannelRestoreFromBuffer(pair->server.channel, bytes, size),
	                 STATUS_CRC_ERROR);
	bytes[damaged] ^= 1;
	assert_int_equal(
		VmbChannelRestoreFromBuffer(pair->server.channel, bytes, chunk_at(bytes, 3)),
		STATUS_MORE_PROCESSING_REQUIRED);
	assert_int_equal(VmbChannelRestoreFromBuffer(pair->server.channel,
	                                             bytes + chunk_at(bytes, 3),
	                                             size - chunk_at(bytes, 3)),
	                 STATUS_SUCCESS);
	assert_int_equal(driver.restored, 0);
	/* the new channel carries what is sent on it, and nothing of before */
	VmbChannelStart(pair->server.channel);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "OSP"));
	send_serial(pair, 77, WAIT);
	pair_wait(pair->client.packets > 0);
	assert_int_equal(pair->client.last[0], 77);
	assert_int_equal(pair->client.packets, 1);
	pair_destroy(pair);
}

static void hold(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                 uint32_t flags)
{
	pair_lock();
	held[held_count++ % MOST] = packet;
	pair_unlock();
	pair_trace(end, 'h');
}

static void release_held(void)
{
	uint32_t count;

	pair_lock();
	count = held_count;
	held_count = 0;
	pair_unlock();
	while (count)
		VmbChannelPacketComplete(held[--count], NULL, 0);
}

/* Sends `count` packets that the client holds, and saves. */
static uint32_t save_in_flight(uint32_t count, uint8_t *buffer, uint32_t capacity)
{
	struct pair *pair = create();
	uint32_t size;

	pair->client.process = hold;
	held_count = 0;
	pair_open(pair);
	for (uint32_t i = 1; i <= count; i++)
		send_serial(pair, i, WAIT);
	pair_wait(held_count == count);
	VmbChannelPause(pair->server.channel);
	size = save(pair, buffer, capacity);
	assert_int_equal(driver.done, 0);
	VmbChannelStart(pair->server.channel);
	release_held();
	pair_wait(driver.done == count);
	pair_destroy(pair);
	return size;
}

/*
 * The guest that goes on with the channel answers under the transaction ids of the run before. The
 * API has no way to be such a guest, so this one gets the id put under its hands.
 */
/* covers: VmbChannelRestoreFromBuffer, VmbPacketRestore */
static void packets_in_flight_wait_for_their_completion(void **state)
{
	struct pair *pair;
	struct kmcl_channel_info info;
	struct incoming_packet *answer;
	uint8_t bytes[4096], again[4096];
	uint32_t size;
	uint64_t id;

	driver = (struct driver){ 0 };
	size = save_in_flight(3, bytes, sizeof(bytes));
	/* the id of the second packet: behind the chunk's, the packet's and half the library's
	 * header */
	memcpy(&id, bytes + chunk_at(bytes, 2) + 24 + 8 + 16, sizeof(id));

	pair = create();
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	driver = (struct driver){ 0 };
	assert_int_equal(VmbChannelRestoreFromBuffer(pair->server.channel, bytes, size),
	                 STATUS_SUCCESS);
	assert_int_equal(driver.restored, 3);
	kmcl_channel_info(pair->server.channel, &info);
	assert_int_equal(info.outstanding_out, 3);
	assert_int_equal(save(pair, again, sizeof(again)), size);
	assert_memory_equal(again, bytes, size);
	/* those transactions are taken now; and however often it is tried, nothing changes */
	for (int i = 0; i < 3; i++)
		assert_int_equal(VmbChannelRestoreFromBuffer(pair->server.channel, bytes, size),
		                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(save(pair, again, sizeof(again)), size);
	assert_memory_equal(again, bytes, size);

	pair->client.process = hold;
	held_count = 0;
	VmbChannelStart(pair->server.channel);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "OSP"));
	pair_wait(pair_traced(&pair->server, "OSP"));
	assert_int_equal(pair->client.packets, 0);
	send_serial(pair, 7, WAIT);
	pair_wait(held_count == 1);
	answer = (struct incoming_packet *)held[0];
	answer->in.id = id;
	release_held();
	pair_wait(driver.done == 1);
	assert_int_equal(driver.completed[0], 2);
	assert_int_equal(driver.last, STATUS_SUCCESS);
	/* the others, and number 7, end with the channel */
	VmbChannelDisable(pair->server.channel);
	assert_int_equal(driver.done, 4);
	assert_int_equal(driver.last, STATUS_CANCELLED);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* ---- bytes that are not what a save wrote ---- */

/* Refused with `status`, or any failure (0); then the channel takes the true bytes. */
static void expect_refused(struct pair *pair, const uint8_t *bytes, uint32_t size, NTSTATUS status,
                           const char *what)
{
	NTSTATUS got =
		VmbChannelRestoreFromBuffer(pair->server.channel, (void *)(uintptr_t)bytes, size);

	if (NT_SUCCESS(got) || got == STATUS_MORE_PROCESSING_REQUIRED || (status && got != status))
		fail_msg("%s: %#x instead of %#x", what, got, status);
	assert_int_equal(driver.restored, 0);
}

/* covers: VmbChannelRestoreFromBuffer */
static void every_damaged_byte_is_noticed(void **state)
{
	struct pair *pair;
	uint8_t bytes[4096], bad[4096];
	uint32_t size;
	char what[64];

	driver = (struct driver){ 0 };
	size = save_queued(2, bytes, sizeof(bytes));
	pair = create();
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	driver = (struct driver){ 0 };
	for (uint32_t at = 0; at < size; at++)
		for (uint32_t bit = 0; bit < 8; bit++) {
			uint32_t last = chunk_at(bytes, 2);
			uint32_t driver_end = chunk_at(bytes, 1) + 24 + 8 + 48 + 4;

			/* the padding to 8 behind the driver's 4 bytes says nothing */
			if ((at >= driver_end && at < last) ||
			    (at >= driver_end + last - chunk_at(bytes, 1) &&
			     at < chunk_at(bytes, 3)))
				continue;
			memcpy(bad, bytes, size);
			bad[at] ^= (uint8_t)(1u << bit);
			snprintf(what, sizeof(what), "bit %u of byte %u flipped", bit, at);
			expect_refused(pair, bad, size, 0, what);
		}
	assert_int_equal(VmbChannelRestoreFromBuffer(pair->server.channel, bytes, size),
	                 STATUS_SUCCESS);
	assert_int_equal(driver.restored, 2);
	VmbChannelStart(pair->server.channel);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair->client.packets == 2);
	pair_destroy(pair);
}

/* covers: VmbChannelRestoreFromBuffer */
static void truncated_bytes_are_refused(void **state)
{
	struct pair *pair;
	uint8_t bytes[4096];
	uint32_t size;

	driver = (struct driver){ 0 };
	size = save_queued(2, bytes, sizeof(bytes));
	pair = create();
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	driver = (struct driver){ 0 };
	for (uint32_t n = 0; n < size; n++) {
		/* exactly that much on the heap: reading on would be noticed */
		uint8_t *cut = malloc(n ? n : 1);

		memcpy(cut, bytes, n);
		if (n == 0 ||
		    (n != chunk_at(bytes, 1) && n != chunk_at(bytes, 2) && n != chunk_at(bytes, 3)))
			expect_refused(pair, cut, n, STATUS_INVALID_PARAMETER_3, "truncated");
		free(cut);
	}
	assert_int_equal(VmbChannelRestoreFromBuffer(pair->server.channel, bytes, size),
	                 STATUS_SUCCESS);
	pair_destroy(pair);
}

static void patch(uint8_t *bytes, uint32_t at, uint64_t value, uint32_t size)
{
	memcpy(bytes + at, &value, size);
}

/* covers: VmbChannelRestoreFromBuffer, VmbPacketRestore */
static void foreign_bytes_are_refused(void **state)
{
	struct pair *pair;
	uint8_t bytes[4096], bad[4096];
	uint32_t size, first, second, end;
	struct pair_end other = { 0 };
	GUID another = pair_instance;

	driver = (struct driver){ 0 };
	size = save_queued(2, bytes, sizeof(bytes));
	first = chunk_at(bytes, 1);
	second = chunk_at(bytes, 2);
	end = chunk_at(bytes, 3);
	driver = (struct driver){ 0 };
	pair = create();
	assert_int_equal(VmbChannelRestoreFromBuffer(NULL, bytes, size),
	                 STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbChannelRestoreFromBuffer(pair->client.channel, bytes, size),
	                 STATUS_INVALID_PARAMETER_1);
	expect_refused(pair, bytes, size, STATUS_INVALID_DEVICE_STATE, "disabled");
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	expect_refused(pair, NULL, size, STATUS_INVALID_PARAMETER_2, "no buffer");
	expect_refused(pair, bytes, 0, STATUS_INVALID_PARAMETER_3, "no bytes");
	memset(bad, 0, sizeof(bad));
	expect_refused(pair, bad, size, STATUS_INVALID_PARAMETER_2, "zeroes");
	memset(bad, 0xff, sizeof(bad));
	expect_refused(pair, bad, size, STATUS_INVALID_PARAMETER_2, "ones");
	memcpy(bad, bytes, size);
	patch(bad, 4, 2, 2);
	expect_refused(pair, bad, size, STATUS_REVISION_MISMATCH, "a later version");
	memcpy(bad, bytes, size);
	patch(bad, first + 30, 1, 1);
	expect_refused(pair, bad, size, STATUS_CRC_ERROR, "a changed size");
	patch(bad, first + 12, 0xfffffff8, 4);
	expect_refused(pair, bad, size, STATUS_INVALID_PARAMETER_3, "an endless chunk");

	/* whole chunks, in another order */
	expect_refused(pair, bytes + first, size - first, STATUS_INVALID_PARAMETER_2,
	               "without the first chunk");
	memcpy(bad, bytes, first);
	memcpy(bad + first, bytes + second, size - second);
	expect_refused(pair, bad, size - (second - first), STATUS_INVALID_PARAMETER_2,
	               "without the second chunk");
	memcpy(bad, bytes, first);
	memcpy(bad + first, bytes + second, end - second);
	memcpy(bad + first + (end - second), bytes + first, second - first);
	memcpy(bad + end, bytes + end, size - end);
	expect_refused(pair, bad, size, STATUS_INVALID_PARAMETER_2, "exchanged chunks");
	memcpy(bad, bytes, size);
	memcpy(bad + size, bytes + end, size - end);
	expect_refused(pair, bad, 2 * size - end, STATUS_INVALID_PARAMETER_2, "two ends");

	/* another channel's */
	another.Data1++;
	pair_add_server(pair, &other, &another);
	assert_int_equal(VmbChannelEnable(other.channel), STATUS_SUCCESS);
	assert_int_equal(VmbChannelRestoreFromBuffer(other.channel, bytes, size),
	                 STATUS_OBJECT_TYPE_MISMATCH);
	pair_remove(&other);
	/* nobody here to take packets back */
	VmbChannelDisable(pair->server.channel);
	assert_int_equal(VmbServerChannelInitSetSaveRestorePacketCallbacks(pair->server.channel,
	                                                                   driver_save, NULL),
	                 STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	expect_refused(pair, bytes, size, STATUS_INVALID_DEVICE_STATE, "no restore callback");
	pair_destroy(pair);
}

/* A restore that stopped half-way is forgotten with the channel's next life. */
/* covers: VmbChannelRestoreFromBuffer */
static void a_restore_may_begin_anew(void **state)
{
	struct pair *pair;
	uint8_t bytes[4096];
	uint32_t size;

	driver = (struct driver){ 0 };
	size = save_queued(2, bytes, sizeof(bytes));
	pair = create();
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(
		VmbChannelRestoreFromBuffer(pair->server.channel, bytes, chunk_at(bytes, 1)),
		STATUS_MORE_PROCESSING_REQUIRED);
	driver = (struct driver){ .refuse = STATUS_DEVICE_NOT_READY };
	assert_int_equal(VmbChannelRestoreFromBuffer(pair->server.channel,
	                                             bytes + chunk_at(bytes, 1),
	                                             size - chunk_at(bytes, 1)),
	                 STATUS_DEVICE_NOT_READY);
	VmbChannelDisable(pair->server.channel);
	driver = (struct driver){ 0 };
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(VmbChannelRestoreFromBuffer(pair->server.channel, bytes, size),
	                 STATUS_SUCCESS);
	assert_int_equal(driver.restored, 2);
	pair_destroy(pair);
}

static uint8_t library_bytes[256];
static uint32_t library_size;

static NTSTATUS keep_library(VMBCHANNEL channel, PVOID library, UINT32 size, PVOID saved,
                             UINT32 saved_size)
{
	library_size = size;
	memcpy(library_bytes, library, size);
	return STATUS_SUCCESS;
}

/* covers: VmbPacketRestore */
static void a_packets_own_bytes_are_checked(void **state)
{
	struct pair *pair;
	uint8_t bytes[4096], bad[256];
	uint32_t size;
	VMBPACKET packet, of_client;

	driver = (struct driver){ 0 };
	size = save_queued(1, bytes, sizeof(bytes));
	pair = pair_create();
	assert_int_equal(VmbServerChannelInitSetSaveRestorePacketCallbacks(pair->server.channel,
	                                                                   NULL, keep_library),
	                 STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(VmbChannelRestoreFromBuffer(pair->server.channel, bytes, size),
	                 STATUS_SUCCESS);
	assert_int_equal(library_size, 32 + 16);
	packet = VmbPacketAllocate(pair->server.channel);
	of_client = VmbPacketAllocate(pair->client.channel);
	VmbPacketSetCompletionRoutine(packet, driver_completed);
	assert_int_equal(VmbPacketRestore(NULL, library_bytes, library_size),
	                 STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbPacketRestore(of_client, library_bytes, library_size),
	                 STATUS_INVALID_PARAMETER_1);
	VmbPacketFree(of_client);
	assert_int_equal(VmbPacketRestore(packet, NULL, library_size), STATUS_INVALID_PARAMETER_2);
	for (uint32_t n = 0; n < library_size; n++)
		assert_int_equal(VmbPacketRestore(packet, library_bytes, n),
		                 STATUS_INVALID_PARAMETER_3);
	memcpy(bad, library_bytes, library_size);
	patch(bad, 0, 0, 4);
	assert_int_equal(VmbPacketRestore(packet, bad, library_size), STATUS_INVALID_PARAMETER_2);
	memcpy(bad, library_bytes, library_size);
	patch(bad, 4, 9, 2);
	assert_int_equal(VmbPacketRestore(packet, bad, library_size), STATUS_REVISION_MISMATCH);
	memcpy(bad, library_bytes, library_size);
	patch(bad, 40, 1, 1);
	assert_int_equal(VmbPacketRestore(packet, bad, library_size), STATUS_CRC_ERROR);
	/* and the packet is none the worse for it */
	assert_int_equal(VmbPacketRestore(packet, library_bytes, library_size), STATUS_SUCCESS);
	assert_int_equal(VmbPacketRestore(packet, library_bytes, library_size),
	                 STATUS_INVALID_PARAMETER_1);
	VmbChannelStart(pair->server.channel);
	driver.done = 0;
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair->client.packets == 1 && driver.done == 1);
	pair_destroy(pair);
}

/* The format is a promise to later versions: these are its bytes. */
/* covers: VmbChannelSaveContinue, VmbChannelRestoreFromBuffer */
static void the_formats_bytes(void **state)
{
	static const uint8_t golden[] = {
		0x4b, 0x4d, 0x43, 0x53, 0x01, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x30, 0x00,
		0x00, 0x00, 0x0c, 0xf3, 0x71, 0x5d, 0x00, 0x00, 0x00, 0x00, 0x6c, 0x63, 0x6d, 0x6b,
		0x65, 0x74, 0x74, 0x73, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x6c, 0x63,
		0x6d, 0x6b, 0x65, 0x74, 0x74, 0x73, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x01, 0x00,
		0x00, 0x00, 0x4b, 0x4d, 0x43, 0x53, 0x01, 0x00, 0x02, 0x00, 0x01, 0x00, 0x00, 0x00,
		0x3c, 0x00, 0x00, 0x00, 0xa0, 0x9a, 0xc3, 0x24, 0x00, 0x00, 0x00, 0x00, 0x30, 0x00,
		0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x4b, 0x4d, 0x43, 0x50, 0x01, 0x00, 0x01, 0x00,
		0x01, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0xaf, 0xde, 0x52, 0xbc, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 0x01, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x4b, 0x4d, 0x43, 0x53, 0x01, 0x00, 0x03, 0x00,
		0x02, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x69, 0xe1, 0xa7, 0x3b, 0x00, 0x00,
		0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	};
	uint8_t bytes[4096];
	struct pair *pair;
	uint32_t size;

	driver = (struct driver){ 0 };
	size = save_queued(1, bytes, sizeof(bytes));
	if (getenv("KMCL_TEST_PRINT"))
		for (uint32_t i = 0; i < size; i++)
			fprintf(stderr, "0x%02x,%s", bytes[i], i % 16 == 15 ? "\n" : " ");
	assert_int_equal(size, sizeof(golden));
	assert_memory_equal(bytes, golden, size);
	pair = create();
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	driver = (struct driver){ 0 };
	memcpy(bytes, golden, sizeof(golden));
	assert_int_equal(VmbChannelRestoreFromBuffer(pair->server.channel, bytes, sizeof(golden)),
	                 STATUS_SUCCESS);
	assert_int_equal(driver.restored, 1);
	assert_int_equal(driver.serials[0], 1);
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(saving_goes_by_whole_chunks),
		cmocka_unit_test(when_saving_is_allowed),
		cmocka_unit_test(the_drivers_answers_count),
		cmocka_unit_test(queued_packets_are_sent_after_all),
		cmocka_unit_test(a_forced_new_channel_abandons_the_old),
		cmocka_unit_test(packets_in_flight_wait_for_their_completion),
		cmocka_unit_test(every_damaged_byte_is_noticed),
		cmocka_unit_test(truncated_bytes_are_refused),
		cmocka_unit_test(foreign_bytes_are_refused),
		cmocka_unit_test(a_restore_may_begin_anew),
		cmocka_unit_test(a_packets_own_bytes_are_checked),
		cmocka_unit_test(the_formats_bytes),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("save", tests, NULL, NULL);
}
