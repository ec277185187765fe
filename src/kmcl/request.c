/* SPDX-License-Identifier: BSD-2-Clause */

/* VmbChannelSendSynchronousRequest: a send, and a wait for its end. */

#include "kmcl/channel.h"

#include <stdlib.h>
#include <string.h>

#define REQUEST_POLL_BUDGET 16u

/* With its packet it is the caller's until that one has the answer or gives up; then, until the
 * packet is done, the packet's own. */
struct request {
	_Atomic(bool) answered;
	KEVENT event;
	NTSTATUS status;
	uint32_t size;     /* of the answer */
	uint32_t capacity; /* of what is kept of it */
	uint8_t answer[];
};

static void request_free(struct request *request, VMBPACKET handle)
{
	VmbPacketFree(handle);
	free(request);
}

static VOID request_completed(VMBPACKET handle, NTSTATUS status, PVOID buffer, UINT32 size)
{
	struct packet *packet = (struct packet *)handle; /* made here */
	struct request *request = packet->pointer;

	if (packet_caller_is_gone(packet)) {
		request_free(request, handle);
		return;
	}
	request->status = status;
	request->size = size;
	if (size)
		memcpy(request->answer, buffer,
		       size < request->capacity ? size : request->capacity);
	atomic_store(&request->answered, true);
	KeSetEvent(&request->event, 0, FALSE);
}

static NTSTATUS request_check(struct channel *ch, const void *buffer, uint32_t size, uint32_t flags,
                              const void *answer, const uint32_t *answer_size,
                              const LARGE_INTEGER *timeout)
{
	bool now_only = timeout && timeout->QuadPart == 0;
	bool waits = flags & VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION;

	if (!ch || (ch->server && (waits || !now_only)))
		return STATUS_INVALID_PARAMETER_1;
	if (size && !buffer)
		return STATUS_INVALID_PARAMETER_2;
	if (size > ch->config.limits.payload_max)
		return STATUS_INVALID_PARAMETER_3;
	if (flags & ~VMBUS_CHANNEL_FORMAT_FLAGS)
		return STATUS_INVALID_PARAMETER_5;
	if (answer && !answer_size)
		return STATUS_INVALID_PARAMETER_7;
	if (answer_size && *answer_size % 8 != 0)
		return STATUS_INVALID_PARAMETER_7;
	if (!nt_irql_at_most(now_only && !waits ? DISPATCH_LEVEL : PASSIVE_LEVEL,
	                     "VmbChannelSendSynchronousRequest", channel_name(ch)))
		return STATUS_INVALID_DEVICE_STATE;
	return STATUS_SUCCESS;
}

/* The answer often comes sooner than a sleep takes: poll in the dispatcher's place for a while. */
static void request_poll(struct channel *ch, struct request *request)
{
	uint64_t spin = dispatcher_spin_ns(), until = dispatcher_now() + spin;
	KIRQL irql;

	if (spin == 0)
		return;
	do {
		KeRaiseIrql(DISPATCH_LEVEL, &irql);
		incoming_help(ch, REQUEST_POLL_BUDGET);
		KeLowerIrql(irql);
		if (atomic_load(&request->answered))
			break;
		YieldProcessor();
	} while (dispatcher_now() < until);
	incoming_help_end(ch);
}

/* A packet that the other end has not seen comes back. */
static bool request_take_back(struct packet *packet)
{
	if (!outgoing_remove(packet->channel, packet))
		return false;
	packet_done(packet, STATUS_CANCELLED, NULL, 0);
	return true;
}

/*
 * Its time is up. One that the other end may be working on stays in flight without its caller, with
 * the memory it was given where the library owns that.
 */
static NTSTATUS request_cancel(struct packet *packet, struct request *request)
{
	bool back = request_take_back(packet);

	if (!back && packet_abandon(packet))
		return STATUS_PENDING;
	KeWaitForSingleObject(&request->event, Executive, KernelMode, FALSE, NULL);
	return back ? STATUS_CANCELLED : STATUS_SUCCESS;
}

static NTSTATUS request_take_answer(struct request *request, void *answer, uint32_t *answer_size)
{
	NTSTATUS status = request->status;
	uint32_t size = request->size;

	if (status == STATUS_CANCELLED)
		return STATUS_DEVICE_REMOVED;
	if (!NT_SUCCESS(status) || !answer_size)
		return status;
	if (!answer) {
		*answer_size = 0;
		return status;
	}
	if (size > *answer_size) {
		size = *answer_size;
		status = STATUS_BUFFER_OVERFLOW;
	}
	memcpy(answer, request->answer, size);
	*answer_size = size;
	return status;
}

/* A packet that is only put in the ring needs no one to wait. External data it keeps until it is
 * answered, and then nobody is there to copy back to. */
static NTSTATUS request_send_now(struct channel *ch, const void *buffer, uint32_t size, PMDL mdl,
                                 uint32_t flags, uint32_t *answer_size)
{
	VMBPACKET handle = VmbPacketAllocate(channel_handle(ch));
	NTSTATUS status;

	if (!handle)
		return STATUS_INSUFFICIENT_RESOURCES;
	packet_of(handle)->synchronous = true;
	packet_abandon(packet_of(handle));
	status = send_request(packet_of(handle), buffer, size, mdl, flags, true);
	if (!NT_SUCCESS(status))
		VmbPacketFree(handle);
	else if (answer_size)
		*answer_size = 0;
	return status;
}

/* STATUS_SUCCESS: the request has its status; STATUS_CANCELLED: it was taken back in time;
 * STATUS_PENDING: it stays with the packet. */
static NTSTATUS request_wait(struct packet *packet, struct request *request, PLARGE_INTEGER timeout)
{
	if (!timeout || timeout->QuadPart != 0)
		request_poll(packet->channel, request);
	/* If the channel closes it may be queued too late to be cancelled with the others. */
	if (channel_is_closing(packet->channel) && request_take_back(packet))
		timeout = NULL;
	if (KeWaitForSingleObject(&request->event, Executive, KernelMode, FALSE, timeout) ==
	    STATUS_SUCCESS)
		return STATUS_SUCCESS;
	return request_cancel(packet, request);
}

static struct request *request_create(struct channel *ch, uint32_t capacity, VMBPACKET *packet)
{
	struct request *request = calloc(1, sizeof(*request) + capacity);

	*packet = request ? VmbPacketAllocate(channel_handle(ch)) : NULL;
	if (!*packet) {
		free(request);
		return NULL;
	}
	request->capacity = capacity;
	KeInitializeEvent(&request->event, NotificationEvent, FALSE);
	VmbPacketSetPointer(*packet, request);
	VmbPacketSetCompletionRoutine(*packet, request_completed);
	packet_of(*packet)->synchronous = true;
	return request;
}

static NTSTATUS request_send_and_wait(struct channel *ch, const void *buffer, uint32_t size,
                                      PMDL mdl, uint32_t flags, void *answer, uint32_t *answer_size,
                                      PLARGE_INTEGER timeout)
{
	struct request *request;
	VMBPACKET handle;
	NTSTATUS status;

	if (channel_is_closing(ch))
		return STATUS_DEVICE_REMOVED;
	request = request_create(ch, answer ? *answer_size : 0, &handle);
	if (!request)
		return STATUS_INSUFFICIENT_RESOURCES;
	status = send_request(packet_of(handle), buffer, size, mdl, flags,
	                      timeout && timeout->QuadPart == 0);
	if (!NT_SUCCESS(status)) {
		request_free(request, handle);
		return status;
	}
	status = request_wait(packet_of(handle), request, timeout);
	if (status == STATUS_PENDING)
		return channel_is_closing(ch) ? STATUS_DEVICE_REMOVED : STATUS_CANCELLED;
	if (status == STATUS_CANCELLED && channel_is_closing(ch))
		status = STATUS_DEVICE_REMOVED;
	if (NT_SUCCESS(status))
		status = request_take_answer(request, answer, answer_size);
	request_free(request, handle);
	return status;
}

NTSTATUS VmbChannelSendSynchronousRequest(VMBCHANNEL Channel, PVOID Buffer, UINT32 BufferSize,
                                          PMDL ExternalDataMdl, UINT32 Flags,
                                          PVOID CompletionBuffer, PUINT32 CompletionBufferSize,
                                          PLARGE_INTEGER Timeout)
{
	struct channel *ch = channel_of(Channel);
	bool in_ring_only = Timeout && Timeout->QuadPart == 0 &&
	                    !(Flags & VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION);
	NTSTATUS status = request_check(ch, Buffer, BufferSize, Flags, CompletionBuffer,
	                                CompletionBufferSize, Timeout);

	if (!NT_SUCCESS(status))
		return status;
	if (ExternalDataMdl && !ch->server) /* it is the host's until that has completed it */
		Flags |= VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION;
	if (in_ring_only)
		return request_send_now(ch, Buffer, BufferSize, ExternalDataMdl, Flags,
		                        CompletionBufferSize);
	return request_send_and_wait(ch, Buffer, BufferSize, ExternalDataMdl, Flags,
	                             CompletionBuffer, CompletionBufferSize, Timeout);
}
