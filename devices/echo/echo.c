/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver. */
#include "echo/echo.h"

#include "common/channel_name.h"
#include "common/opening.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_TIMEOUT_MS 5000u
#define MAX_DEPTH          1024u
#define RING_PAGES         64u
#define CHECK_BYTES        64u /* of an answer that echo_run() compares: it measures the channel */

static const GUID interface_type = ECHO_INTERFACE_TYPE;

struct slot {
	struct echo *echo;
	VMBPACKET packet;
	uint64_t sent_ns;
};

struct echo {
	VMBCHANNEL vmb;
	struct opening opening;
	/* echo_run() */
	struct echo_run *run;
	uint8_t *payload;
	_Atomic uint64_t to_send, done, mismatches;
	_Atomic uint32_t active; /* slots in flight */
	_Atomic NTSTATUS failure;
	KEVENT idle;
	struct slot slots[MAX_DEPTH];
};

static VOID post_started(VMBCHANNEL vmb)
{
	struct echo *e = VmbChannelGetPointer(vmb);

	opening_started(&e->opening, STATUS_SUCCESS);
}

static VOID closed(VMBCHANNEL vmb)
{
	struct echo *e = VmbChannelGetPointer(vmb);

	opening_closed(&e->opening);
}

static VOID pnp_failure(VMBCHANNEL vmb, NTSTATUS status)
{
	struct echo *e = VmbChannelGetPointer(vmb);

	opening_started(&e->opening, status);
}

static VOID ignore(VMBCHANNEL vmb, VMBPACKETCOMPLETION completion, PVOID buffer, UINT32 length,
                   UINT32 flags)
{
	VmbChannelPacketComplete(completion, NULL, 0);
}

static NTSTATUS configure_client(struct echo *e, LPCGUID instance)
{
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;
	NTSTATUS status = echo_set_sizes(e->vmb);

	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelPostStarted = post_started;
	callbacks.EvtChannelClosed = closed;
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetProcessPacketCallbacks(e->vmb, ignore, NULL);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetStateChangeCallbacks(e->vmb, &callbacks);
	if (NT_SUCCESS(status))
		status = channel_name(e->vmb, "echo", 0);
	if (NT_SUCCESS(status))
		status = VmbClientChannelInitSetTargetPnp(e->vmb, &interface_type, instance,
		                                          pnp_failure);
	if (NT_SUCCESS(status))
		status = VmbClientChannelInitSetRingBufferPageCount(e->vmb, RING_PAGES, RING_PAGES);
	return status;
}

NTSTATUS echo_open(PDEVICE_OBJECT bus, LPCGUID instance, uint32_t timeout_ms, struct echo **echo)
{
	struct echo *e = calloc(1, sizeof(*e));
	NTSTATUS status;

	if (!e)
		return STATUS_INSUFFICIENT_RESOURCES;
	opening_init(&e->opening);
	KeInitializeEvent(&e->idle, NotificationEvent, FALSE);
	status = VmbChannelAllocate(bus, FALSE, &e->vmb);
	if (!NT_SUCCESS(status))
		goto free;
	VmbChannelSetPointer(e->vmb, e);
	status = configure_client(e, instance);
	if (NT_SUCCESS(status))
		status = VmbChannelEnable(e->vmb);
	if (!NT_SUCCESS(status))
		goto cleanup;
	status = opening_wait(&e->opening, timeout_ms ? timeout_ms : DEFAULT_TIMEOUT_MS);
	if (!NT_SUCCESS(status))
		goto disable;
	*echo = e;
	return STATUS_SUCCESS;
disable:
	VmbChannelDisable(e->vmb);
cleanup:
	VmbChannelCleanup(e->vmb);
free:
	free(e);
	return status;
}

void echo_close(struct echo *e)
{
	VmbChannelDisable(e->vmb);
	VmbChannelCleanup(e->vmb);
	free(e);
}

VMBCHANNEL echo_channel(struct echo *e)
{
	return e->vmb;
}

/* A header and `n` bytes, zeroes if there are none to copy. */
static uint8_t *make_payload(enum echo_operation operation, const void *bytes, uint32_t n)
{
	struct echo_header header = { .operation = operation };
	uint8_t *p = calloc(1, sizeof(header) + n);

	if (!p)
		return NULL;
	memcpy(p, &header, sizeof(header));
	if (bytes && n)
		memcpy(p + sizeof(header), bytes, n);
	return p;
}

NTSTATUS echo_check(struct echo *e, const void *payload, uint32_t n)
{
	uint32_t size = n + sizeof(struct echo_header);
	UINT32 back = (size + 7) & ~7u;
	uint8_t *there, *here;
	NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;

	if (n > ECHO_MAX_PAYLOAD - sizeof(struct echo_header))
		return STATUS_INVALID_PARAMETER_3;
	there = make_payload(ECHO_ECHO, payload, n);
	here = calloc(1, back);
	if (there && here) {
		status = VmbChannelSendSynchronousRequest(
			e->vmb, there, size, NULL, VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION,
			here, &back, NULL);
		if (NT_SUCCESS(status) && (back < size || memcmp(there, here, size)))
			status = STATUS_DATA_ERROR;
	}
	free(there);
	free(here);
	return status;
}

NTSTATUS echo_invert(struct echo *e, void *memory, uint32_t n)
{
	struct echo_header header = { .operation = ECHO_INVERT }, back = { 0 };
	UINT32 size = sizeof(back);
	NTSTATUS status;
	PMDL mdl;

	mdl = IoAllocateMdl(memory, n, FALSE, FALSE, NULL);
	if (!mdl)
		return STATUS_INSUFFICIENT_RESOURCES;
	MmBuildMdlForNonPagedPool(mdl);
	status = VmbChannelSendSynchronousRequest(e->vmb, &header, sizeof(header), mdl,
	                                          VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION,
	                                          &back, &size, NULL);
	IoFreeMdl(mdl);
	if (NT_SUCCESS(status) && (size < sizeof(back) || back.operation != ECHO_INVERT))
		status = STATUS_DATA_ERROR;
	return status;
}

/* ---- measuring ---- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void slot_is_idle(struct echo *e)
{
	if (atomic_fetch_sub(&e->active, 1) == 1)
		KeSetEvent(&e->idle, 0, FALSE);
}

/* Sends the next packet, or lets the slot rest when all are sent. */
static void send_next(struct slot *slot)
{
	struct echo *e = slot->echo;
	struct echo_run *run = e->run;
	uint64_t left = atomic_load(&e->to_send);
	NTSTATUS status;

	do {
		if (!left || !NT_SUCCESS(e->failure)) {
			slot_is_idle(e);
			return;
		}
	} while (!atomic_compare_exchange_weak(&e->to_send, &left, left - 1));
	slot->sent_ns = run->latencies_ns ? now_ns() : 0;
	status = VmbPacketSend(
		slot->packet, e->payload, run->size, NULL,
		run->operation == ECHO_ECHO ? VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION : 0);
	if (!NT_SUCCESS(status)) {
		e->failure = status;
		slot_is_idle(e);
	}
}

static VOID echoed(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 length)
{
	struct slot *slot = VmbPacketGetPointer(packet);
	struct echo *e = slot->echo;
	struct echo_run *run = e->run;
	uint32_t compare = run->size < CHECK_BYTES ? run->size : CHECK_BYTES;
	uint64_t index;

	if (!NT_SUCCESS(status)) {
		e->failure = STATUS_DEVICE_REMOVED;
		slot_is_idle(e);
		return;
	}
	if (run->operation == ECHO_ECHO &&
	    (length < run->size || memcmp(buffer, e->payload, compare)))
		atomic_fetch_add(&e->mismatches, 1);
	index = atomic_fetch_add(&e->done, 1);
	if (run->latencies_ns) {
		uint64_t ns = now_ns() - slot->sent_ns;

		run->latencies_ns[index] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
	}
	send_next(slot);
}

static NTSTATUS make_slots(struct echo *e, uint32_t depth)
{
	uint32_t i;

	for (i = 0; i < depth; i++) {
		e->slots[i].echo = e;
		e->slots[i].packet = VmbPacketAllocate(e->vmb);
		if (!e->slots[i].packet)
			return STATUS_INSUFFICIENT_RESOURCES;
		VmbPacketSetPointer(e->slots[i].packet, &e->slots[i]);
		VmbPacketSetCompletionRoutine(e->slots[i].packet, echoed);
	}
	return STATUS_SUCCESS;
}

static void free_slots(struct echo *e)
{
	uint32_t i;

	for (i = 0; i < MAX_DEPTH && e->slots[i].packet; i++) {
		VmbPacketFree(e->slots[i].packet);
		e->slots[i].packet = NULL;
	}
}

static void begin_run(struct echo *e, struct echo_run *run)
{
	KIRQL irql;
	uint32_t i;

	e->run = run;
	e->to_send = run->count;
	e->done = e->mismatches = 0;
	e->failure = STATUS_SUCCESS;
	e->active = run->depth;
	KeClearEvent(&e->idle);
	KeRaiseIrql(DISPATCH_LEVEL, &irql); /* one batch */
	for (i = 0; i < run->depth; i++)
		send_next(&e->slots[i]);
	KeLowerIrql(irql);
}

/*
 * What is sent after the channel has closed waits for an opening that will not come; disabling ends
 * it.
 */
static void wait_run(struct echo *e, struct echo_run *run)
{
	LARGE_INTEGER tick = { .QuadPart = -1000000 }; /* 100 ms */
	PVOID events[] = { &e->idle, &e->opening.closed };
	NTSTATUS status;

	while ((status = KeWaitForMultipleObjects(2, events, WaitAny, Executive, KernelMode, FALSE,
	                                          &tick, NULL)) == STATUS_TIMEOUT) {
		if (run->progress)
			run->progress(run->context, e->done);
	}
	if (status == STATUS_WAIT_0)
		return;
	e->failure = STATUS_DEVICE_REMOVED;
	VmbChannelDisable(e->vmb);
	KeWaitForSingleObject(&e->idle, Executive, KernelMode, FALSE, NULL);
}

NTSTATUS echo_run(struct echo *e, struct echo_run *run)
{
	NTSTATUS status;
	uint64_t begin;

	if (run->size < sizeof(struct echo_header) || run->size > ECHO_MAX_PAYLOAD || !run->depth ||
	    run->depth > MAX_DEPTH || !run->count)
		return STATUS_INVALID_PARAMETER_2;
	e->payload = make_payload(run->operation, NULL, run->size - sizeof(struct echo_header));
	status = e->payload ? make_slots(e, run->depth) : STATUS_INSUFFICIENT_RESOURCES;
	if (NT_SUCCESS(status)) {
		begin = now_ns();
		begin_run(e, run);
		wait_run(e, run);
		run->elapsed_ns = now_ns() - begin;
		run->mismatches = e->mismatches;
		status = e->failure;
	}
	free_slots(e);
	free(e->payload);
	e->payload = NULL;
	return status;
}
