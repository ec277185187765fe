/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Save and restore of a server's channel: the packets that it has sent and that are not done. What
 * is written is described in docs/save-format.md: chunks, each with its length, its number and a
 * checksum, the channel first and an end last; all numbers little-endian.
 */

#include "kmcl/channel.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define SAVE_MAGIC        0x53434d4bu /* "KMCS" */
#define SAVE_PACKET_MAGIC 0x50434d4bu /* "KMCP" */
#define SAVE_VERSION      1u
#define SAVE_DRIVER_MAX   (64u << 20)

enum save_chunk_type {
	SAVE_CHUNK_CHANNEL = 1,
	SAVE_CHUNK_PACKET = 2,
	SAVE_CHUNK_END = 3,
};

struct save_chunk {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t number; /* 0, 1, ... */
	uint32_t size;   /* of what follows, without padding to 8 */
	uint32_t checksum;
	uint32_t reserved;
};
static_assert(sizeof(struct save_chunk) == 24, "format");

struct save_channel {
	uint8_t type[16];
	uint8_t instance[16];
	uint32_t subchannel;
	uint32_t flags;
	uint32_t packet_max;
	uint32_t packet_count;
};
static_assert(sizeof(struct save_channel) == 48, "format");

struct save_packet {
	uint32_t library_size;
	uint32_t driver_size;
	/* the library's bytes, padded to 8; the driver's */
};

/* What VmbPacketRestore gets. */
struct save_library {
	uint32_t magic;
	uint16_t version;
	uint16_t state; /* enum save_packet_state */
	uint32_t waits;
	uint32_t payload_size;
	uint64_t transaction_id;
	uint32_t checksum;
	uint32_t transfer_size; /* of the transfer page header, a multiple of 8; 0: none */
				/* transfer page header, payload */
};
static_assert(sizeof(struct save_library) == 32, "format");

enum save_packet_state {
	SAVE_PACKET_QUEUED = 1,
	SAVE_PACKET_IN_FLIGHT = 2, /* in the ring or beyond it */
	SAVE_PACKET_TRANSFER = 3,  /* queued, with transfer pages */
};

struct save_end {
	uint32_t chunks; /* this one included */
	uint32_t reserved;
};

/* Between SaveBegin and SaveEnd. */
struct save {
	struct packet **packets;
	uint32_t count;
	uint32_t chunk; /* the next to write */
	/* the next chunk, where it did not fit */
	uint8_t *ready;
	uint32_t ready_size;
};

static uint32_t save_crc(const void *bytes, size_t size)
{
	return (uint32_t)crc32_z(crc32(0, NULL, 0), bytes, size);
}

/* Over the chunk with its checksum 0. */
static void save_seal(struct save_chunk *chunk)
{
	chunk->checksum = 0;
	chunk->checksum = save_crc(chunk, sizeof(*chunk) + chunk->size);
}

static struct save_chunk *save_new_chunk(struct save *save, uint16_t type, uint32_t size)
{
	uint32_t total = sizeof(struct save_chunk) + wire_align8(size);
	struct save_chunk *chunk = calloc(1, total);

	if (!chunk)
		return NULL;
	chunk->magic = SAVE_MAGIC;
	chunk->version = SAVE_VERSION;
	chunk->type = type;
	chunk->number = save->chunk;
	chunk->size = size;
	save->ready = (uint8_t *)chunk;
	save->ready_size = total;
	return chunk;
}

static NTSTATUS save_make_channel(struct channel *ch, struct save *save)
{
	struct save_chunk *chunk =
		save_new_chunk(save, SAVE_CHUNK_CHANNEL, sizeof(struct save_channel));
	struct save_channel *c;

	if (!chunk)
		return STATUS_INSUFFICIENT_RESOURCES;
	c = (struct save_channel *)(chunk + 1);
	memcpy(c->type, &ch->config.type, sizeof(c->type));
	memcpy(c->instance, &ch->config.instance, sizeof(c->instance));
	c->subchannel = ch->config.subchannel;
	c->flags = ch->config.flags;
	c->packet_max = ch->config.limits.payload_max;
	c->packet_count = save->count;
	save_seal(chunk);
	return STATUS_SUCCESS;
}

/* Asks how much the driver has to say about a packet, then for it. */
static NTSTATUS save_ask_driver(struct channel *ch, struct packet *packet, void **bytes,
                                uint32_t *size)
{
	PFN_VMB_CHANNEL_SAVE_PACKET callback = ch->config.save_packet;
	UINT32 needed = 0;
	NTSTATUS status;

	*bytes = NULL;
	*size = 0;
	if (!callback)
		return STATUS_SUCCESS;
	status = callback(channel_handle(ch), packet->handle, NULL, 0, &needed);
	if (NT_SUCCESS(status))
		return STATUS_SUCCESS;
	if (needed == 0 || needed > SAVE_DRIVER_MAX)
		return status;
	*bytes = calloc(1, needed);
	if (!*bytes)
		return STATUS_INSUFFICIENT_RESOURCES;
	*size = needed;
	status = callback(channel_handle(ch), packet->handle, *bytes, needed, &needed);
	if (!NT_SUCCESS(status)) {
		free(*bytes);
		*bytes = NULL;
	}
	return status;
}

static enum save_packet_state save_state_of(const struct packet *packet)
{
	if (packet_in_flight(packet->channel, packet->slot))
		return SAVE_PACKET_IN_FLIGHT;
	return packet->header_size ? SAVE_PACKET_TRANSFER : SAVE_PACKET_QUEUED;
}

/* Of a packet in flight only its id matters. */
static uint32_t save_library_size(const struct packet *packet)
{
	if (save_state_of(packet) == SAVE_PACKET_IN_FLIGHT)
		return sizeof(struct save_library);
	return (uint32_t)sizeof(struct save_library) + packet->header_size + packet->payload_size;
}

static void save_fill_library(const struct packet *packet, struct save_library *library)
{
	uint8_t *bytes = (uint8_t *)(library + 1);

	library->magic = SAVE_PACKET_MAGIC;
	library->version = SAVE_VERSION;
	library->state = (uint16_t)save_state_of(packet);
	library->waits = packet->waits;
	if (library->state == SAVE_PACKET_IN_FLIGHT) {
		library->transaction_id = packet->item.out.wire.transaction_id;
	} else {
		library->payload_size = packet->payload_size;
		library->transfer_size = packet->header_size;
		memcpy(bytes, packet->header, packet->header_size);
		memcpy(bytes + packet->header_size, packet->payload, packet->payload_size);
	}
	library->checksum = 0;
	library->checksum = save_crc(library, save_library_size(packet));
}

static NTSTATUS save_make_packet(struct channel *ch, struct save *save, struct packet *packet)
{
	struct save_packet head = { .library_size = save_library_size(packet) };
	void *driver;
	NTSTATUS status = save_ask_driver(ch, packet, &driver, &head.driver_size);
	struct save_chunk *chunk;
	uint8_t *p;

	if (!NT_SUCCESS(status))
		return status;
	chunk = save_new_chunk(save, SAVE_CHUNK_PACKET,
	                       sizeof(head) + wire_align8(head.library_size) + head.driver_size);
	if (!chunk) {
		free(driver);
		return STATUS_INSUFFICIENT_RESOURCES;
	}
	p = (uint8_t *)(chunk + 1);
	memcpy(p, &head, sizeof(head));
	p += sizeof(head);
	save_fill_library(packet, (struct save_library *)p);
	p += wire_align8(head.library_size);
	if (driver)
		memcpy(p, driver, head.driver_size);
	free(driver);
	save_seal(chunk);
	return STATUS_SUCCESS;
}

static NTSTATUS save_make_end(struct save *save)
{
	struct save_chunk *chunk = save_new_chunk(save, SAVE_CHUNK_END, sizeof(struct save_end));

	if (!chunk)
		return STATUS_INSUFFICIENT_RESOURCES;
	((struct save_end *)(chunk + 1))->chunks = save->chunk + 1;
	save_seal(chunk);
	return STATUS_SUCCESS;
}

static NTSTATUS save_make_chunk(struct channel *ch, struct save *save)
{
	if (save->chunk == 0)
		return save_make_channel(ch, save);
	if (save->chunk <= save->count)
		return save_make_packet(ch, save, save->packets[save->chunk - 1]);
	return save_make_end(save);
}

/* Packets that are queued or in flight; those of synchronous requests are the library's own. */
static NTSTATUS save_collect(struct channel *ch, struct save *save)
{
	struct outgoing *out = &ch->out;
	uint32_t most = 0;

	spin_lock(&out->lock);
	for (struct outgoing_item *item = out->head; item; item = item->next)
		most++;
	most += packet_table_count(&out->table);
	save->packets = calloc(most ? most : 1, sizeof(struct packet *));
	for (uint32_t slot = 0; save->packets && slot < packet_table_count(&out->table); slot++)
		if (packet_in_flight(ch, slot))
			save->packets[save->count++] = packet_at(ch, slot);
	for (struct outgoing_item *item = out->head; save->packets && item; item = item->next) {
		struct packet *packet = outgoing_item_packet(item);

		if (packet && !packet->synchronous)
			save->packets[save->count++] = packet;
	}
	spin_unlock(&out->lock);
	return save->packets ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

NTSTATUS VmbChannelSaveBegin(VMBCHANNEL Channel)
{
	struct channel *ch = channel_of(Channel);
	struct save *save;
	NTSTATUS status;

	if (!ch || !ch->server)
		return STATUS_INVALID_PARAMETER_1;
	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, channel_name(ch)))
		return STATUS_INVALID_DEVICE_STATE;
	if (!channel_may_hold(ch, __func__))
		return STATUS_INVALID_DEVICE_STATE;
	save = calloc(1, sizeof(*save));
	if (!save)
		return STATUS_INSUFFICIENT_RESOURCES;
	if (!channel_save_begin(ch, save)) {
		free(save);
		return STATUS_INVALID_DEVICE_STATE;
	}
	outgoing_freeze(ch, true);
	status = save_collect(ch, save);
	if (!NT_SUCCESS(status))
		VmbChannelSaveEnd(Channel);
	return status;
}

static NTSTATUS save_continue(struct channel *ch, struct save *save, uint8_t *buffer, uint32_t size,
                              PULONG filled, PULONG required)
{
	while (save->chunk < save->count + 2) {
		NTSTATUS status = save->ready ? STATUS_SUCCESS : save_make_chunk(ch, save);

		if (!NT_SUCCESS(status))
			return status;
		if (save->ready_size > size - *filled) {
			*required = save->ready_size;
			return *filled ? STATUS_BUFFER_OVERFLOW : STATUS_BUFFER_TOO_SMALL;
		}
		memcpy(buffer + *filled, save->ready, save->ready_size);
		*filled += save->ready_size;
		free(save->ready);
		save->ready = NULL;
		save->chunk++;
	}
	return STATUS_SUCCESS;
}

NTSTATUS VmbChannelSaveContinue(VMBCHANNEL Channel, PVOID SaveBuffer, ULONG SaveBufferSize,
                                PULONG BytesFilled, PULONG BytesRequired)
{
	struct channel *ch = channel_of(Channel);
	struct channel_held held;
	NTSTATUS status;

	if (!ch || !ch->server)
		return STATUS_INVALID_PARAMETER_1;
	if (!SaveBuffer && SaveBufferSize)
		return STATUS_INVALID_PARAMETER_2;
	if (!BytesFilled || !BytesRequired)
		return !BytesFilled ? STATUS_INVALID_PARAMETER_4 : STATUS_INVALID_PARAMETER_5;
	*BytesFilled = 0;
	*BytesRequired = 0;
	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, channel_name(ch)))
		return STATUS_INVALID_DEVICE_STATE;
	if (!channel_may_hold(ch, __func__) || !channel_hold(ch, true, &held))
		return STATUS_INVALID_DEVICE_STATE;
	status =
		save_continue(ch, ch->save, SaveBuffer, SaveBufferSize, BytesFilled, BytesRequired);
	channel_unhold(&held);
	return status;
}

VOID VmbChannelSaveEnd(VMBCHANNEL Channel)
{
	struct channel *ch = channel_of(Channel);
	struct save *save;

	if (!ch || !nt_irql_at_most(PASSIVE_LEVEL, __func__, channel_name(ch)) ||
	    !channel_may_hold(ch, __func__))
		return;
	save = channel_save_end(ch);
	if (!save)
		return;
	outgoing_freeze(ch, false);
	free(save->ready);
	free(save->packets);
	free(save);
}

/* ---- restore ---- */

static NTSTATUS restore_check_chunk(const uint8_t *bytes, size_t left, uint32_t number,
                                    size_t *total)
{
	struct save_chunk head;
	uint32_t checksum;

	if (left < sizeof(head))
		return STATUS_INVALID_PARAMETER_3;
	memcpy(&head, bytes, sizeof(head));
	if (head.magic != SAVE_MAGIC)
		return STATUS_INVALID_PARAMETER_2;
	if (head.version != SAVE_VERSION)
		return STATUS_REVISION_MISMATCH;
	if (head.size > left - sizeof(head) || wire_align8(head.size) > left - sizeof(head))
		return STATUS_INVALID_PARAMETER_3;
	checksum = head.checksum;
	head.checksum = 0;
	head.checksum =
		(uint32_t)crc32_z(save_crc(&head, sizeof(head)), bytes + sizeof(head), head.size);
	if (head.checksum != checksum)
		return STATUS_CRC_ERROR;
	if (head.number != number)
		return STATUS_INVALID_PARAMETER_2;
	*total = sizeof(head) + wire_align8(head.size);
	return STATUS_SUCCESS;
}

static NTSTATUS restore_check_channel(const struct channel *ch, const struct save_chunk *chunk)
{
	struct save_channel c;

	if (chunk->size != sizeof(c))
		return STATUS_INVALID_PARAMETER_2;
	memcpy(&c, chunk + 1, sizeof(c));
	if (memcmp(c.type, &ch->config.type, sizeof(c.type)) != 0 ||
	    memcmp(c.instance, &ch->config.instance, sizeof(c.instance)) != 0 ||
	    c.subchannel != ch->config.subchannel || c.flags != ch->config.flags ||
	    c.packet_max != ch->config.limits.payload_max)
		return STATUS_OBJECT_TYPE_MISMATCH;
	return STATUS_SUCCESS;
}

static bool restore_check_transfer(const struct channel *ch, const void *header, uint32_t size,
                                   struct wire_transfer *transfer)
{
	struct wire_packet_fault fault;

	return size % 8 == 0 &&
	       wire_transfer_check(transfer, header, size, ch->config.limits.ranges_max, UINT32_MAX,
	                           &fault);
}

static bool restore_state_valid(const struct channel *ch, const struct save_library *head,
                                const void *bytes)
{
	struct wire_transfer transfer;

	switch (head->state) {
	case SAVE_PACKET_QUEUED:
		return head->transfer_size == 0;
	case SAVE_PACKET_IN_FLIGHT:
		return head->waits && !head->payload_size && !head->transfer_size &&
		       packet_table_reaches(&ch->out.table, head->transaction_id);
	case SAVE_PACKET_TRANSFER:
		return head->waits &&
		       restore_check_transfer(ch, bytes, head->transfer_size, &transfer);
	}
	return false;
}

static NTSTATUS restore_check_library(const struct channel *ch, const void *bytes, uint32_t size)
{
	const uint8_t *body = (const uint8_t *)bytes + sizeof(struct save_library);
	struct save_library head;
	uint32_t checksum;

	if (size < sizeof(head))
		return STATUS_INVALID_PARAMETER_3;
	memcpy(&head, bytes, sizeof(head));
	if (head.magic != SAVE_PACKET_MAGIC)
		return STATUS_INVALID_PARAMETER_2;
	if (head.version != SAVE_VERSION)
		return STATUS_REVISION_MISMATCH;
	size -= (uint32_t)sizeof(head);
	if (head.payload_size > size || head.transfer_size != size - head.payload_size ||
	    head.payload_size > ch->config.limits.payload_max)
		return STATUS_INVALID_PARAMETER_3;
	checksum = head.checksum;
	head.checksum = 0;
	if ((uint32_t)crc32_z(save_crc(&head, sizeof(head)), body, size) != checksum)
		return STATUS_CRC_ERROR;
	return restore_state_valid(ch, &head, body) ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER_2;
}

static NTSTATUS restore_split_packet(const struct save_chunk *chunk, struct save_packet *head)
{
	uint64_t size;

	if (chunk->size < sizeof(*head))
		return STATUS_INVALID_PARAMETER_2;
	memcpy(head, chunk + 1, sizeof(*head));
	size = sizeof(*head) + ((uint64_t)head->library_size + 7) / 8 * 8 + head->driver_size;
	return size == chunk->size ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER_2;
}

/* The guest gets a new channel, and what was sent on the old one ends with that. */
static bool restore_abandons(const struct channel *ch)
{
	return ch->config.server_flags & VMBUS_SERVER_CHANNEL_INIT_FLAG_FORCE_NEW_CHANNEL;
}

static NTSTATUS restore_check_packet(const struct channel *ch, const struct save_chunk *chunk)
{
	struct save_packet head;
	NTSTATUS status = restore_split_packet(chunk, &head);

	if (!NT_SUCCESS(status))
		return status;
	if (!ch->config.restore_packet && !restore_abandons(ch))
		return STATUS_INVALID_DEVICE_STATE;
	return restore_check_library(ch, (const uint8_t *)(chunk + 1) + sizeof(head),
	                             head.library_size);
}

static NTSTATUS restore_check_body(const struct channel *ch, const struct save_chunk *chunk)
{
	switch (chunk->type) {
	case SAVE_CHUNK_CHANNEL:
		return chunk->number == 0 ? restore_check_channel(ch, chunk)
		                          : STATUS_INVALID_PARAMETER_2;
	case SAVE_CHUNK_PACKET:
		return chunk->number > 0 ? restore_check_packet(ch, chunk)
		                         : STATUS_INVALID_PARAMETER_2;
	case SAVE_CHUNK_END:
		if (chunk->size != sizeof(struct save_end) || chunk->number == 0 ||
		    ((const struct save_end *)(chunk + 1))->chunks != chunk->number + 1)
			return STATUS_INVALID_PARAMETER_2;
		return STATUS_SUCCESS;
	}
	return STATUS_INVALID_PARAMETER_2;
}

/* All of the buffer, before any of it takes effect. `ended`: it holds the last chunk. */
static NTSTATUS restore_check(const struct channel *ch, const uint8_t *bytes, size_t size,
                              bool *ended)
{
	uint32_t number = ch->restored_chunks;
	size_t at = 0, total;

	*ended = false;
	if (size == 0)
		return STATUS_INVALID_PARAMETER_3;
	while (at < size) {
		NTSTATUS status = restore_check_chunk(bytes + at, size - at, number, &total);
		const struct save_chunk *chunk = (const struct save_chunk *)(bytes + at);

		if (NT_SUCCESS(status))
			status = restore_check_body(ch, chunk);
		if (!NT_SUCCESS(status))
			return status;
		if (*ended) /* nothing may follow the end */
			return STATUS_INVALID_PARAMETER_2;
		*ended = chunk->type == SAVE_CHUNK_END;
		at += total;
		number++;
	}
	return STATUS_SUCCESS;
}

static NTSTATUS restore_packet(struct channel *ch, struct save_chunk *chunk)
{
	uint8_t *p = (uint8_t *)(chunk + 1);
	struct save_packet head;

	memcpy(&head, p, sizeof(head));
	p += sizeof(head);
	return ch->config.restore_packet(channel_handle(ch), p, head.library_size,
	                                 p + wire_align8(head.library_size), head.driver_size);
}

static NTSTATUS restore_apply(struct channel *ch, uint8_t *bytes, size_t size)
{
	uint32_t before = ch->restored_chunks;

	for (size_t at = 0; at < size;) {
		struct save_chunk *chunk = (struct save_chunk *)(bytes + at);
		NTSTATUS status = STATUS_SUCCESS;

		if (chunk->type == SAVE_CHUNK_PACKET && !restore_abandons(ch))
			status = restore_packet(ch, chunk);
		if (!NT_SUCCESS(status)) {
			ch->restored_chunks = before;
			return status;
		}
		ch->restored_chunks++;
		at += sizeof(*chunk) + wire_align8(chunk->size);
	}
	return STATUS_SUCCESS;
}

NTSTATUS VmbChannelRestoreFromBuffer(VMBCHANNEL Channel, PVOID Buffer, ULONG BufferSize)
{
	struct channel *ch = channel_of(Channel);
	struct channel_held held;
	uint8_t *copy;
	NTSTATUS status;
	bool ended;

	if (!ch || !ch->server)
		return STATUS_INVALID_PARAMETER_1;
	if (!Buffer)
		return STATUS_INVALID_PARAMETER_2;
	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, channel_name(ch)))
		return STATUS_INVALID_DEVICE_STATE;
	if (!channel_may_hold(ch, __func__))
		return STATUS_INVALID_DEVICE_STATE;
	copy = malloc(BufferSize ? BufferSize : 1); /* aligned, and out of reach while it is used */
	if (!copy)
		return STATUS_INSUFFICIENT_RESOURCES;
	memcpy(copy, Buffer, BufferSize);
	if (!channel_hold(ch, false, &held)) {
		free(copy);
		return STATUS_INVALID_DEVICE_STATE;
	}
	status = restore_check(ch, copy, BufferSize, &ended);
	if (NT_SUCCESS(status))
		status = restore_apply(ch, copy, BufferSize);
	channel_unhold(&held);
	free(copy);
	if (!NT_SUCCESS(status))
		return status;
	if (!ended)
		return STATUS_MORE_PROCESSING_REQUIRED;
	ch->restored_chunks = 0;
	return STATUS_SUCCESS;
}

static NTSTATUS restore_queued(struct packet *packet, const struct save_library *library)
{
	const uint8_t *payload = (const uint8_t *)(library + 1) + library->transfer_size;
	uint32_t flags = VMBUS_CHANNEL_FORMAT_FLAG_PAGED_BUFFER;
	struct wire_transfer transfer;

	if (library->waits)
		flags |= VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION;
	if (library->state == SAVE_PACKET_QUEUED)
		return send_request(packet, payload, library->payload_size, NULL, flags, false);
	restore_check_transfer(packet->channel, library + 1, library->transfer_size, &transfer);
	return send_transfer(packet, payload, library->payload_size, &transfer, flags);
}

NTSTATUS VmbPacketRestore(VMBPACKET PacketObject, PVOID Buffer, ULONG BufferSize)
{
	struct packet *packet = packet_of(PacketObject);
	const struct save_library *library = Buffer;
	NTSTATUS status;

	if (!packet || !packet->channel->server)
		return STATUS_INVALID_PARAMETER_1;
	if (!Buffer)
		return STATUS_INVALID_PARAMETER_2;
	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, channel_name(packet->channel)))
		return STATUS_INVALID_DEVICE_STATE;
	status = restore_check_library(packet->channel, Buffer, BufferSize);
	if (!NT_SUCCESS(status))
		return status;
	if (library->state == SAVE_PACKET_IN_FLIGHT)
		return packet_restore_flight(packet, library->transaction_id);
	return restore_queued(packet, library);
}
