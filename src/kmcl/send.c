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

static void send_add_span(struct packet *packet, const void *base, uint32_t size)
{
	packet->item.spans[packet->item.span_count++] = (struct ring_span){ base, size };
}

/* Headers first, the payload last. */
static void send_format(struct packet *packet, const void *buffer, uint32_t size)
{
	uint32_t header = sizeof(struct wire_packet) + packet->header_size;

	packet->item.wire = (struct wire_packet){
		.type = packet->header_size ? WIRE_PACKET_DATA_GPA_DIRECT : WIRE_PACKET_DATA_INBAND,
		.offset8 = (uint16_t)(header / 8),
		.flags = packet->waits ? WIRE_PACKET_FLAG_COMPLETION_REQUESTED : 0,
	};
	packet->item.span_count = 0;
	if (packet->header_size)
		send_add_span(packet, packet->header, packet->header_size);
	if (packet->channel->config.flags & VMBUS_CHANNEL_INIT_FLAG_IS_PIPE) {
		packet->pipe = (struct wire_pipe_header){ WIRE_PIPE_DATA, size };
		send_add_span(packet, &packet->pipe, sizeof(packet->pipe));
	}
	packet->payload_size = size;
	send_add_span(packet, size ? buffer : packet->payload, size);
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

static NTSTATUS send_packet(struct packet *packet, const void *buffer, uint32_t size,
                            const struct extdata_source *source, uint32_t flags, bool now_only)
{
	struct channel *ch = packet->channel;
	NTSTATUS status = STATUS_SUCCESS;

	if (!send_take(packet))
		return STATUS_INVALID_PARAMETER_1;
	packet->waits = flags & VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION;
	packet->header_size = 0;
	packet->external_size = 0;
	if (source)
		status = extdata_build(packet, source);
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

NTSTATUS send_request(struct packet *packet, const void *buffer, uint32_t size, PMDL mdl,
                      uint32_t flags, bool now_only)
{
	struct extdata_source source = { .mdl = mdl };
	NTSTATUS status = send_check(packet, buffer, size, flags, STATUS_INVALID_PARAMETER_5);

	if (NT_SUCCESS(status) && mdl)
		status = send_check_external(packet, flags, STATUS_INVALID_PARAMETER_5);
	if (!NT_SUCCESS(status))
		return status;
	return send_packet(packet, buffer, size, mdl ? &source : NULL, flags, now_only);
}

NTSTATUS VmbPacketSend(VMBPACKET PacketObject, PVOID Buffer, UINT32 BufferLength,
                       PMDL ExternalDataMdl, UINT32 Flags)
{
	return send_request(packet_of(PacketObject), Buffer, BufferLength, ExternalDataMdl, Flags,
	                    false);
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
	return send_packet(packet, Buffer, BufferLength, &source, Flags, false);
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
	return send_packet(packet, Buffer, BufferLength, &source, Flags, false);
}
