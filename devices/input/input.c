/* SPDX-License-Identifier: BSD-2-Clause */
#include "input/input.h"

#include "common/channel_name.h"
#include "common/monitored.h"

#include <errno.h>
#include <string.h>

/* ---- sending ---- */

static VOID gone(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 length)
{
	struct input *input = VmbPacketGetPointer(packet);

	VmbPacketFree(packet);
	input->sending = false;
	/* Not from here: this may run inside of VmbPacketSend(), under the lock. */
	KeInsertQueueDpc(&input->pump, NULL, NULL);
}

/* Under the lock, so that nothing is sent once the session has ended: it would wait for the next
 * opening and come before that one's negotiation. */
static void send_locked(struct input *input, VMBPACKET packet, void *message, uint32_t size)
{
	VmbPacketSetPointer(packet, input);
	VmbPacketSetCompletionRoutine(packet, gone);
	input->sending = true;
	if (NT_SUCCESS(VmbPacketSend(packet, message, size, NULL, 0))) {
		input->sent++;
		return;
	}
	VmbPacketFree(packet);
	input->sending = false;
}

static void pump_locked(struct input *input)
{
	uint8_t message[INPUT_MESSAGE_MAX];
	VMBPACKET packet;
	uint32_t size;

	while (!input->sending) {
		packet = VmbPacketAllocate(input->vmb);
		if (!packet)
			return;
		size = input->kind->next(input->session, message);
		if (!size) {
			VmbPacketFree(packet);
			return;
		}
		send_locked(input, packet, message, size);
	}
}

KIRQL input_lock(struct input *input)
{
	KIRQL irql;

	KeAcquireSpinLock(&input->lock, &irql);
	return irql;
}

void input_unlock(struct input *input, KIRQL irql)
{
	pump_locked(input);
	KeReleaseSpinLock(&input->lock, irql);
}

static void pump(PRKDPC dpc, PVOID context, PVOID arg1, PVOID arg2)
{
	struct input *input = context;

	input_unlock(input, input_lock(input));
	KeSetEvent(&input->moved, 0, FALSE);
}

/* ---- what the guest sends ---- */

static VOID process_packet(VMBCHANNEL vmb, VMBPACKETCOMPLETION completion, PVOID buffer,
                           UINT32 length, UINT32 flags)
{
	struct input *input = VmbChannelGetPointer(vmb);
	struct machine_fault fault = { 0 };
	bool good, first;
	KIRQL irql = input_lock(input);

	good = input->kind->receive(input->session, buffer, length, &fault);
	first = !good && !input->complained;
	input->complained |= first;
	input->wrong += !good;
	input_unlock(input, irql);
	KeSetEvent(&input->moved, 0, FALSE);
	if (first)
		kmcl_channel_log(vmb, KMCL_LOG_WARNING,
		                 "the guest sent a wrong %s: expected 0x%llx, got 0x%llx",
		                 fault.what, (unsigned long long)fault.expected,
		                 (unsigned long long)fault.actual);
	VmbChannelPacketComplete(completion, NULL, 0);
}

/* ---- the channel ---- */

static VOID started(VMBCHANNEL vmb)
{
	struct input *input = VmbChannelGetPointer(vmb);
	KIRQL irql = input_lock(input);

	input->complained = false;
	input->opens++;
	input->kind->open(input->session);
	input_unlock(input, irql);
}

/* The channel is about to close, or the guest broke it. */
static VOID suspend(VMBCHANNEL vmb)
{
	struct input *input = VmbChannelGetPointer(vmb);
	KIRQL irql = input_lock(input);

	input->kind->close(input->session);
	input_unlock(input, irql);
	KeSetEvent(&input->moved, 0, FALSE);
}

static NTSTATUS offer_as(VMBCHANNEL vmb, bool pipe)
{
	UINT32 pipe_flag = pipe ? VMBUS_SERVER_CHANNEL_INIT_FLAG_OFFER_AS_PIPE : 0;
	NTSTATUS status = VmbServerChannelInitSetFlags(
		vmb, VMBUS_SERVER_CHANNEL_INIT_FLAG_ENUMERATE_DEVICE_INTERFACE | pipe_flag);

	if (NT_SUCCESS(status) && pipe)
		status = VmbChannelInitSetFlags(vmb, VMBUS_CHANNEL_INIT_FLAG_IS_PIPE);
	return status;
}

static NTSTATUS configure_channel(struct input *input, HANDLE vmbus,
                                  const struct input_offer *offer, GUID instance)
{
	const struct input_kind *kind = input->kind;
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;
	NTSTATUS status;

	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelStarted = started;
	callbacks.EvtChannelSuspend = suspend;
	status = VmbServerChannelInitSetVmbusHandle(input->vmb, vmbus);
	if (NT_SUCCESS(status))
		status = VmbServerChannelInitSetTargetInterfaceId(input->vmb, kind->type, instance);
	if (NT_SUCCESS(status))
		status = offer_as(input->vmb, kind->pipe);
	if (NT_SUCCESS(status))
		status = monitored_configure(input->vmb, offer->monitored);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetMaximumPacketSize(input->vmb, kind->packet_max);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetProcessPacketCallbacks(input->vmb, process_packet, NULL);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetStateChangeCallbacks(input->vmb, &callbacks);
	if (NT_SUCCESS(status))
		status = channel_name(input->vmb, kind->name, 0);
	return status;
}

static GUID instance_of(const struct input_kind *kind, const struct input_offer *offer)
{
	static const struct kmcl_guid zeros;

	return memcmp(&offer->instance, &zeros, sizeof(zeros)) ? kmcl_guid_to_nt(offer->instance)
	                                                       : kind->instance;
}

static NTSTATUS make_offer(struct input *input, HANDLE vmbus, const struct input_offer *offer)
{
	NTSTATUS status = VmbChannelAllocate(NULL, TRUE, &input->vmb);

	if (!NT_SUCCESS(status))
		return status;
	VmbChannelSetPointer(input->vmb, input);
	status = configure_channel(input, vmbus, offer, instance_of(input->kind, offer));
	if (NT_SUCCESS(status))
		status = VmbChannelEnable(input->vmb);
	if (NT_SUCCESS(status))
		VmbChannelStart(input->vmb);
	else
		VmbChannelCleanup(input->vmb);
	return status;
}

int input_create(struct kmcl_host *host, const struct input_kind *kind,
                 const struct input_offer *offer, void *session, struct input *input)
{
	HANDLE kernel_handle;
	NTSTATUS status;

	memset(input, 0, sizeof(*input));
	input->kind = kind;
	input->session = session;
	KeInitializeSpinLock(&input->lock);
	KeInitializeDpc(&input->pump, pump, input);
	KeInitializeEvent(&input->moved, NotificationEvent, FALSE);
	status = VmbConvertVmbusHandleToKernelHandle(kmcl_host_handle(host), &kernel_handle);
	if (NT_SUCCESS(status)) {
		status = make_offer(input, kernel_handle, offer);
		ZwClose(kernel_handle); /* the channel has its own reference */
	}
	return kmcl_errno(status);
}

/* The session has ended when the channel is disabled, so what still pumps finds nothing. */
void input_destroy(struct input *input)
{
	VmbChannelDisable(input->vmb);
	KeFlushQueuedDpcs();
	VmbChannelCleanup(input->vmb);
}
