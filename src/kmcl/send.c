/* SPDX-License-Identifier: BSD-2-Clause */

/* VmbPacketSend and its kin: checks what the driver gave, and makes an item of it that can be sent.
 */

#include "kmcl/channel.h"

#include <string.h>

static NTSTATUS send_check(const struct packet *packet, const void *buffer, uint32_t size,
                           uint32_t flags, NTSTATUS flags_status)
{
	if (!packet)
		return STATUS_INVALID_PARAMETER_1;
	if (size && !buffer)
		return STATUS_INVALID_PARAMETER_2;
	if (size > packet->payload_capacity)
		return STATUS_INVALID_PARAMETER_3;
	if (flags & ~VMBUS_CHANNEL_FORMAT_FLAGS)
		return flags_status;
	return STATUS_SUCCESS;
}

static void send_format(struct packet *packet, const void *buffer, uint32_t size)
{
	struct packet_out *out = &packet->item.out;

	packet_out_begin(out, (uint16_t)packet->type, packet->waits);
	if (packet->header_size)
		packet_out_headers(out, packet->header, packet->header_size);
	packet->payload_size = size;
	packet_out_payload(out, packet->channel->config.limits.pipe,
	                   size ? buffer : packet->payload, size);
}

/* The driver owns an idle packet; this makes it the library's until its completion routine runs.
 * Two sends of one packet at a time are a fault that is seen as a rule, not at any cost. */
static bool send_take(struct packet *packet)
{
	if (atomic_load_explicit(&packet->state, memory_order_relaxed) != PACKET_IDLE ||
	    packet_is_unset(packet))
		return false;
	atomic_store_explicit(&packet->state, PACKET_SENT, memory_order_relaxed);
	return true;
}

/* What a packet refers to; at most one of them. */
struct send_reference {
	const struct extdata_source *external;
	const struct wire_transfer *transfer;
};

/* The ranges fit: there are no more than the channel's chain has links. */
static void send_transfer_header(struct packet *packet, const struct wire_transfer *transfer)
{
	packet->type = WIRE_PACKET_DATA_TRANSFER_PAGES;
	packet->header_size =
		wire_transfer_encode(packet->header, packet->header_capacity, transfer);
	for (uint32_t i = 0; i < transfer->range_count; i++)
		packet->external_size += transfer->ranges[i].byte_count;
}

static NTSTATUS send_header(struct packet *packet, const struct send_reference *reference)
{
	packet->type = WIRE_PACKET_DATA_INBAND;
	packet->header_size = 0;
	packet->external_size = 0;
	if (reference->transfer)
		send_transfer_header(packet, reference->transfer);
	if (!reference->external)
		return STATUS_SUCCESS;
	packet->type = WIRE_PACKET_DATA_GPA_DIRECT;
	return extdata_build(packet, reference->external);
}

static NTSTATUS send_packet(struct packet *packet, const void *buffer, uint32_t size,
                            struct send_reference reference, uint32_t flags, bool now_only)
{
	struct channel *ch = packet->channel;
	NTSTATUS status;

	if (!send_take(packet))
		return STATUS_INVALID_PARAMETER_1;
	packet->waits = flags & VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION;
	status = send_header(packet, &reference);
	if (NT_SUCCESS(status)) {
		if ((flags & VMBUS_CHANNEL_FORMAT_FLAG_PAGED_BUFFER) && size)
			buffer = memcpy(packet->payload, buffer, size);
		send_format(packet, buffer, size);
		status = outgoing_send(ch, packet, now_only);
		if (NT_SUCCESS(status))
			return status;
		extdata_abandon(packet);
	}
	atomic_store(&packet->state, PACKET_IDLE);
	return status;
}

/* External data starts in the guest, and its memory is the host's until the packet is completed. */
static NTSTATUS send_check_external(const struct packet *packet, uint32_t flags,
                                    NTSTATUS flags_status)
{
	if (packet->channel->server)
		return STATUS_INVALID_PARAMETER;
	if (!(flags & VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION))
		return flags_status;
	return STATUS_SUCCESS;
}

static __attribute__((noinline)) NTSTATUS send_mdl(struct packet *packet, const void *buffer,
                                                   uint32_t size, PMDL mdl, uint32_t flags,
                                                   bool now_only)
{
	struct extdata_source source = {
		.mdl = mdl,
		.force_length = flags & VMBUS_CHANNEL_FORMAT_FLAG_FORCE_MDL_LENGTH,
	};
	NTSTATUS status = send_check_external(packet, flags, STATUS_INVALID_PARAMETER_5);

	if (!NT_SUCCESS(status))
		return status;
	return send_packet(packet, buffer, size, (struct send_reference){ .external = &source },
	                   flags, now_only);
}

NTSTATUS send_request(struct packet *packet, const void *buffer, uint32_t size, PMDL mdl,
                      uint32_t flags, bool now_only)
{
	NTSTATUS status = send_check(packet, buffer, size, flags, STATUS_INVALID_PARAMETER_5);

	if (!NT_SUCCESS(status))
		return status;
	if (mdl)
		return send_mdl(packet, buffer, size, mdl, flags, now_only);
	return send_packet(packet, buffer, size, (struct send_reference){ 0 }, flags, now_only);
}

static __attribute__((noinline)) NTSTATUS send_named(VMBPACKET name, void *buffer, uint32_t size,
                                                     PMDL mdl, uint32_t flags)
{
	return send_request(packet_of(name), buffer, size, mdl, flags, false);
}

NTSTATUS VmbPacketSend(VMBPACKET PacketObject, PVOID Buffer, UINT32 BufferLength,
                       PMDL ExternalDataMdl, UINT32 Flags)
{
	/* apart, so that the others need not keep their arguments across a call */
	if (nt_is_shared(PacketObject))
		return send_named(PacketObject, Buffer, BufferLength, ExternalDataMdl, Flags);
	return send_request(packet_check((struct packet *)PacketObject), Buffer, BufferLength,
	                    ExternalDataMdl, Flags, false);
}

NTSTATUS VmbPacketSendWithExternalMdl(VMBPACKET PacketObject, PVOID Buffer, UINT32 BufferLength,
                                      PMDL ExternalDataMdl, UINT32 MdlOffset, UINT32 MdlLength,
                                      UINT32 Flags)
{
	struct packet *packet = packet_of(PacketObject);
	struct extdata_source source = {
		.mdl = ExternalDataMdl,
		.offset = MdlOffset,
		.length = MdlLength,
		.force_length = Flags & VMBUS_CHANNEL_FORMAT_FLAG_FORCE_MDL_LENGTH,
	};
	NTSTATUS status =
		send_check(packet, Buffer, BufferLength, Flags, STATUS_INVALID_PARAMETER_7);

	if (!NT_SUCCESS(status))
		return status;
	if (!ExternalDataMdl)
		return STATUS_INVALID_PARAMETER_4;
	status = send_check_external(packet, Flags, STATUS_INVALID_PARAMETER_7);
	if (!NT_SUCCESS(status))
		return status;
	return send_packet(packet, Buffer, BufferLength,
	                   (struct send_reference){ .external = &source }, Flags, false);
}

NTSTATUS VmbPacketSendWithExternalPfns(VMBPACKET PacketObject, PVOID Buffer, UINT32 BufferLength,
                                       PPFN_NUMBER ExternalDataPfns, UINT32 PfnLength, UINT32 Flags)
{
	struct packet *packet = packet_of(PacketObject);
	struct extdata_source source = { .pfns = ExternalDataPfns, .pfn_count = PfnLength };
	NTSTATUS status =
		send_check(packet, Buffer, BufferLength, Flags, STATUS_INVALID_PARAMETER_6);

	if (!NT_SUCCESS(status))
		return status;
	if (!ExternalDataPfns)
		return STATUS_INVALID_PARAMETER_4;
	status = send_check_external(packet, Flags, STATUS_INVALID_PARAMETER_6);
	if (!NT_SUCCESS(status))
		return status;
	return send_packet(packet, Buffer, BufferLength,
	                   (struct send_reference){ .external = &source }, Flags, false);
}

static NTSTATUS send_check_transfer(const struct packet *packet,
                                    const struct wire_transfer *transfer)
{
	const struct channel_config *config = &packet->channel->config;
	uint64_t bytes = 0;

	if (!transfer->ranges)
		return STATUS_INVALID_PARAMETER_5;
	if (transfer->range_count == 0)
		return STATUS_INVALID_PARAMETER_6;
	if (transfer->range_count > config->limits.ranges_max)
		return STATUS_INVALID_BUFFER_SIZE;
	for (uint32_t i = 0; i < transfer->range_count; i++)
		bytes += transfer->ranges[i].byte_count;
	return bytes > config->limits.external_max ? STATUS_INVALID_BUFFER_SIZE : STATUS_SUCCESS;
}

NTSTATUS send_transfer(struct packet *packet, const void *buffer, uint32_t size,
                       const struct wire_transfer *transfer, uint32_t flags)
{
	NTSTATUS status = send_check(packet, buffer, size, flags, STATUS_INVALID_PARAMETER_7);

	if (!NT_SUCCESS(status))
		return status;
	if (!packet->channel->server)
		return STATUS_INVALID_PARAMETER;
	if (!(flags & VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION))
		return STATUS_INVALID_PARAMETER_7;
	status = send_check_transfer(packet, transfer);
	if (!NT_SUCCESS(status))
		return status;
	return send_packet(packet, buffer, size, (struct send_reference){ .transfer = transfer },
	                   flags, false);
}

static_assert(sizeof(struct kmcl_transfer_range) == sizeof(struct wire_transfer_range), "same");
static_assert(offsetof(struct kmcl_transfer_range, byte_offset) ==
                      offsetof(struct wire_transfer_range, byte_offset),
              "same");

NTSTATUS kmcl_packet_send_transfer_pages(VMBPACKET packet, void *buffer, uint32_t size,
                                         uint16_t page_set,
                                         const struct kmcl_transfer_range *ranges, uint32_t count,
                                         uint32_t flags)
{
	const struct wire_transfer transfer = {
		.pageset_id = page_set,
		.range_count = count,
		.ranges = (const struct wire_transfer_range *)ranges,
	};

	return send_transfer(packet_of(packet), buffer, size, &transfer, flags);
}
