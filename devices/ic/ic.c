/* SPDX-License-Identifier: BSD-2-Clause */
#include "ic/ic.h"

#include "common/channel_name.h"

#include <errno.h>
#include <kmcl/options.h>
#include <stdlib.h>
#include <string.h>

#define MS 10000ull /* in 100 ns */

/* A call that waits for its answer. */
struct ic_call {
	uint8_t transaction;
	bool done;
	NTSTATUS outcome; /* success: answered */
	uint32_t status;
	void *answer;
	uint32_t capacity, size;
	KEVENT over;
};

struct ic {
	const struct ic_kind *kind;
	void *context;
	VMBCHANNEL vmb;
	KMUTEX turn;    /* of the one call */
	KEVENT settled; /* versions are agreed on, or never will be */
	KSPIN_LOCK lock;
	struct ic_session session;
	struct ic_call *call;
	bool complained;
	struct kmcl_ic_statistics statistics;
};

/* ---- time ---- */

struct ic_deadline ic_deadline(uint32_t timeout_ms)
{
	uint64_t ms = timeout_ms ? timeout_ms : IC_DEFAULT_TIMEOUT_MS;

	return (struct ic_deadline){ KeQueryInterruptTime() + ms * MS };
}

static bool wait_until(void *object, struct ic_deadline deadline)
{
	uint64_t now = KeQueryInterruptTime();
	LARGE_INTEGER left = { .QuadPart =
		                       deadline.due > now ? -(LONGLONG)(deadline.due - now) : 0 };

	return KeWaitForSingleObject(object, Executive, KernelMode, FALSE, &left) == STATUS_SUCCESS;
}

/* ---- the log ---- */

static void complain(struct ic *ic, const char *what, uint64_t expected, uint64_t actual)
{
	KIRQL irql;
	bool first;

	KeAcquireSpinLock(&ic->lock, &irql);
	first = !ic->complained;
	ic->complained = true;
	KeReleaseSpinLock(&ic->lock, irql);
	if (first)
		kmcl_channel_log(ic->vmb, KMCL_LOG_WARNING,
		                 "the guest sent a wrong %s: expected 0x%llx, got 0x%llx", what,
		                 (unsigned long long)expected, (unsigned long long)actual);
}

void ic_complain(struct ic *ic, const char *what, uint64_t expected, uint64_t actual)
{
	KIRQL irql;

	KeAcquireSpinLock(&ic->lock, &irql);
	ic->statistics.wrong++;
	KeReleaseSpinLock(&ic->lock, irql);
	complain(ic, what, expected, actual);
}

NTSTATUS ic_status(uint32_t hresult)
{
	switch (hresult) {
	case IC_S_OK:
		return STATUS_SUCCESS;
	case IC_E_NOT_FOUND:
		return STATUS_NOT_FOUND;
	case IC_E_NOT_SUPPORTED:
		return STATUS_NOT_SUPPORTED;
	case IC_E_ALREADY_EXISTS:
		return STATUS_OBJECT_NAME_COLLISION;
	case IC_E_INVALID_ARGUMENT:
		return STATUS_INVALID_PARAMETER;
	case IC_E_DISK_FULL:
		return STATUS_DISK_FULL;
	case IC_E_NO_MORE_ITEMS:
		return STATUS_NO_MORE_ENTRIES;
	case IC_E_DEVICE_NOT_CONNECTED:
		return STATUS_DEVICE_NOT_CONNECTED;
	case IC_E_MACHINE_LOCKED:
		return STATUS_ACCESS_DENIED;
	default:
		return STATUS_UNSUCCESSFUL;
	}
}

/* ---- sending ---- */

/* Under the lock, so that nothing is sent once the session has ended: it would wait for the next
 * opening and come before that one's negotiation. */
static NTSTATUS send_locked(struct ic *ic, void *message, uint32_t size)
{
	VMBPACKET packet = VmbPacketAllocate(ic->vmb);
	NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;

	if (packet)
		status = VmbPacketSend(packet, message, size, NULL, 0);
	if (packet && !NT_SUCCESS(status))
		VmbPacketFree(packet);
	return status;
}

static NTSTATUS request_locked(struct ic *ic, uint32_t version, const void *body, uint32_t size,
                               uint8_t *transaction)
{
	uint8_t message[sizeof(struct ic_header) + IC_KVP_IP_BYTES];
	struct ic_header header;

	if (ic->session.state != IC_READY || ic_version_number(ic->session.agreed) != version)
		return STATUS_DEVICE_NOT_READY;
	if (!ic_session_request(&ic->session, (uint16_t)size, &header)) {
		ic->statistics.unsent++;
		return STATUS_DEVICE_BUSY;
	}
	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), body, size);
	*transaction = header.transaction;
	ic->statistics.requests++;
	return send_locked(ic, message, (uint32_t)sizeof(header) + size);
}

NTSTATUS ic_send(struct ic *ic, uint32_t version, const void *body, uint32_t size,
                 uint8_t *transaction)
{
	NTSTATUS status;
	KIRQL irql;

	KeAcquireSpinLock(&ic->lock, &irql);
	status = request_locked(ic, version, body, size, transaction);
	KeReleaseSpinLock(&ic->lock, irql);
	return status;
}

/* ---- calls ---- */

NTSTATUS ic_wait_ready(struct ic *ic, struct ic_deadline deadline, uint32_t *version)
{
	enum ic_state state;
	KIRQL irql;

	wait_until(&ic->settled, deadline);
	KeAcquireSpinLock(&ic->lock, &irql);
	state = ic->session.state;
	*version = ic_version_number(ic->session.agreed);
	KeReleaseSpinLock(&ic->lock, irql);
	if (state == IC_REFUSED)
		return STATUS_REVISION_MISMATCH;
	return state == IC_READY ? STATUS_SUCCESS : STATUS_DEVICE_NOT_READY;
}

static NTSTATUS call_begin(struct ic *ic, uint32_t version, const void *body, uint32_t size,
                           struct ic_call *call)
{
	NTSTATUS status;
	KIRQL irql;

	KeAcquireSpinLock(&ic->lock, &irql);
	status = request_locked(ic, version, body, size, &call->transaction);
	if (NT_SUCCESS(status))
		ic->call = call;
	KeReleaseSpinLock(&ic->lock, irql);
	return status;
}

static NTSTATUS call_end(struct ic *ic, struct ic_call *call)
{
	KIRQL irql;

	KeAcquireSpinLock(&ic->lock, &irql);
	ic->call = NULL;
	KeReleaseSpinLock(&ic->lock, irql);
	return call->done ? call->outcome : STATUS_IO_TIMEOUT;
}

NTSTATUS ic_call(struct ic *ic, uint32_t version, struct ic_deadline deadline, const void *body,
                 uint32_t size, void *answer, uint32_t capacity, uint32_t *answer_size,
                 uint32_t *status)
{
	struct ic_call call = { .answer = answer, .capacity = capacity };
	NTSTATUS outcome;

	*answer_size = *status = 0;
	if (!wait_until(&ic->turn, deadline))
		return STATUS_DEVICE_BUSY;
	KeInitializeEvent(&call.over, NotificationEvent, FALSE);
	outcome = call_begin(ic, version, body, size, &call);
	if (NT_SUCCESS(outcome)) {
		wait_until(&call.over, deadline);
		outcome = call_end(ic, &call);
	}
	KeReleaseMutex(&ic->turn, FALSE);
	if (!NT_SUCCESS(outcome))
		return outcome;
	*answer_size = call.size;
	*status = call.status;
	return ic_status(call.status);
}

static void call_done_locked(struct ic *ic, NTSTATUS outcome, const struct ic_answer *answer)
{
	struct ic_call *call = ic->call;

	if (answer) {
		call->status = answer->status;
		call->size = answer->size < call->capacity ? answer->size : call->capacity;
		if (call->size)
			memcpy(call->answer, answer->body, call->size);
	}
	call->outcome = outcome;
	call->done = true;
	ic->call = NULL;
	KeSetEvent(&call->over, 0, FALSE);
}

/* ---- what the guest sends ---- */

/* Returns whether it is the component's to see. */
static bool answered_locked(struct ic *ic, const struct ic_answer *answer)
{
	ic->statistics.answers++;
	if (ic->call && ic->call->transaction == answer->transaction) {
		call_done_locked(ic, STATUS_SUCCESS, answer);
		return false;
	}
	if (!ic->kind->answer)
		ic->statistics.late++;
	return ic->kind->answer;
}

static void settle(struct ic *ic, enum ic_event event, const struct ic_answer *answer)
{
	KeSetEvent(&ic->settled, 0, FALSE);
	if (event == IC_EVENT_REFUSED)
		complain(ic, answer->what, answer->expected, answer->actual);
	else if (ic->kind->ready)
		ic->kind->ready(ic->context, ic_version_number(ic->session.agreed));
}

static void receive(struct ic *ic, const void *message, uint32_t size)
{
	struct ic_answer answer;
	enum ic_event event;
	bool pass = false;
	KIRQL irql;

	KeAcquireSpinLock(&ic->lock, &irql);
	event = ic_session_receive(&ic->session, message, size, &answer);
	if (event == IC_EVENT_ANSWER)
		pass = answered_locked(ic, &answer);
	KeReleaseSpinLock(&ic->lock, irql);
	if (event == IC_EVENT_WRONG)
		ic_complain(ic, answer.what, answer.expected, answer.actual);
	else if (event != IC_EVENT_ANSWER)
		settle(ic, event, &answer);
	else if (pass)
		ic->kind->answer(ic->context, &answer);
}

static VOID process_packet(VMBCHANNEL vmb, VMBPACKETCOMPLETION completion, PVOID buffer,
                           UINT32 length, UINT32 flags)
{
	receive(VmbChannelGetPointer(vmb), buffer, length);
	VmbChannelPacketComplete(completion, NULL, 0);
}

/* ---- the channel ---- */

static VOID started(VMBCHANNEL vmb)
{
	struct ic *ic = VmbChannelGetPointer(vmb);
	uint8_t message[IC_NEGOTIATION_MAX];
	KIRQL irql;

	KeAcquireSpinLock(&ic->lock, &irql);
	ic->complained = false;
	ic->statistics.opens++;
	send_locked(ic, message, ic_session_begin(&ic->session, message));
	KeReleaseSpinLock(&ic->lock, irql);
}

/* The channel is about to close, or the guest broke it. */
static VOID suspend(VMBCHANNEL vmb)
{
	struct ic *ic = VmbChannelGetPointer(vmb);
	bool was_ready;
	KIRQL irql;

	KeClearEvent(&ic->settled);
	KeAcquireSpinLock(&ic->lock, &irql);
	was_ready = ic->session.state == IC_READY;
	ic_session_end(&ic->session);
	if (ic->call)
		call_done_locked(ic, STATUS_DEVICE_REMOVED, NULL);
	KeReleaseSpinLock(&ic->lock, irql);
	if (was_ready && ic->kind->closed)
		ic->kind->closed(ic->context);
}

static NTSTATUS configure_channel(struct ic *ic, HANDLE vmbus, const GUID *instance)
{
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;
	NTSTATUS status;

	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelStarted = started;
	callbacks.EvtChannelSuspend = suspend;
	status = VmbServerChannelInitSetVmbusHandle(ic->vmb, vmbus);
	if (NT_SUCCESS(status))
		status = VmbServerChannelInitSetTargetInterfaceId(ic->vmb, ic->kind->type,
		                                                  *instance);
	if (NT_SUCCESS(status))
		status = VmbServerChannelInitSetFlags(
			ic->vmb, VMBUS_SERVER_CHANNEL_INIT_FLAG_ENUMERATE_DEVICE_INTERFACE |
					 VMBUS_SERVER_CHANNEL_INIT_FLAG_OFFER_AS_PIPE);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetFlags(ic->vmb, VMBUS_CHANNEL_INIT_FLAG_IS_PIPE);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetMaximumPacketSize(ic->vmb, ic->kind->packet_max);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetProcessPacketCallbacks(ic->vmb, process_packet, NULL);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetStateChangeCallbacks(ic->vmb, &callbacks);
	if (NT_SUCCESS(status))
		status = channel_name(ic->vmb, ic->kind->name, 0);
	return status;
}

static GUID instance_of(const struct ic_kind *kind, const struct kmcl_ic_options *options)
{
	static const struct kmcl_guid zeros;

	return memcmp(&options->instance, &zeros, sizeof(zeros))
	               ? kmcl_guid_to_nt(options->instance)
	               : kind->instance;
}

static NTSTATUS offer(struct ic *ic, HANDLE vmbus, const struct kmcl_ic_options *options)
{
	GUID instance = instance_of(ic->kind, options);
	NTSTATUS status = VmbChannelAllocate(NULL, TRUE, &ic->vmb);

	if (!NT_SUCCESS(status))
		return status;
	VmbChannelSetPointer(ic->vmb, ic);
	status = configure_channel(ic, vmbus, &instance);
	if (NT_SUCCESS(status))
		status = VmbChannelEnable(ic->vmb);
	if (NT_SUCCESS(status))
		VmbChannelStart(ic->vmb);
	else
		VmbChannelCleanup(ic->vmb);
	return status;
}

/* The versions up to the newest one wanted. */
static uint32_t count_versions(const struct ic_kind *kind, uint32_t max)
{
	uint32_t n = 0;

	while (n < kind->version_count && (!max || ic_version_number(kind->versions[n]) <= max))
		n++;
	return n;
}

static struct ic *allocate(const struct ic_kind *kind, uint32_t versions, void *context)
{
	struct ic *ic = calloc(1, sizeof(*ic));

	if (!ic)
		return NULL;
	ic->kind = kind;
	ic->context = context;
	ic->session.type = kind->message;
	ic->session.versions = kind->versions;
	ic->session.version_count = versions;
	KeInitializeMutex(&ic->turn, 0);
	KeInitializeEvent(&ic->settled, NotificationEvent, FALSE);
	KeInitializeSpinLock(&ic->lock);
	return ic;
}

int ic_create(struct kmcl_host *host, const struct ic_kind *kind,
              const struct kmcl_ic_options *options, void *context, struct ic **out)
{
	uint32_t versions = count_versions(kind, options->version_max);
	HANDLE kernel_handle;
	struct ic *ic;
	NTSTATUS status;

	if (!versions)
		return -EINVAL;
	ic = allocate(kind, versions, context);
	if (!ic)
		return -ENOMEM;
	*out = ic; /* the component's callbacks may run before this returns */
	status = VmbConvertVmbusHandleToKernelHandle(kmcl_host_handle(host), &kernel_handle);
	if (NT_SUCCESS(status)) {
		status = offer(ic, kernel_handle, options);
		ZwClose(kernel_handle); /* the channel has its own reference */
	}
	if (!NT_SUCCESS(status))
		free(ic);
	return kmcl_errno(status);
}

void ic_destroy(struct ic *ic)
{
	VmbChannelDisable(ic->vmb);
	VmbChannelCleanup(ic->vmb);
	free(ic);
}

int ic_statistics(struct ic *ic, struct kmcl_ic_statistics *statistics)
{
	struct kmcl_ic_statistics all;
	KIRQL irql;

	KeAcquireSpinLock(&ic->lock, &irql);
	all = ic->statistics;
	all.framework = ic_version_number(ic->session.framework);
	all.version = ic_version_number(ic->session.agreed);
	KeReleaseSpinLock(&ic->lock, irql);
	return kmcl_options_give(statistics, &all, sizeof(all));
}
