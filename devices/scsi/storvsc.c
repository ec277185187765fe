/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi/storvsc.h"
#include "common/opening.h"
#include "scsi/scsi.h"
#include "scsi/storvsc_machine.h"
#include "scsi/storvsc_probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_DEPTH      64u
#define DEFAULT_TIMEOUT_MS 5000u
#define MAX_TRANSFER       (4u << 20)

#define POOL_TAG 0x63737653u /* "Svsc" */

static const GUID interface_type = STORVSC_INTERFACE_TYPE;

/* A place at the host has a packet. */
struct place {
	struct storvsc *controller;
	VMBPACKET packet;
	uint32_t id;
};

struct storvsc {
	struct storvsc_options options;
	VMBCHANNEL vmb;
	struct opening opening; /* started: the negotiation is over */
	KSPIN_LOCK lock;        /* of all below */
	struct storvsc_machine machine;
	KTIMER timer;
	KDPC retry;
	bool timing;
	NTSTATUS failed; /* the last request that ended otherwise than with success */
	char failure[128];
	struct storvsc_slot *slots;
	struct place places[];
};

static const NTSTATUS statuses[STORVSC_RESULTS] = {
	[STORVSC_RESULT_DONE] = STATUS_SUCCESS,
	[STORVSC_RESULT_BAD_REQUEST] = STATUS_INVALID_PARAMETER,
	[STORVSC_RESULT_NOT_SENT] = STATUS_INSUFFICIENT_RESOURCES,
	[STORVSC_RESULT_REMOVED] = STATUS_DEVICE_REMOVED,
	[STORVSC_RESULT_NONSENSE] = STATUS_DEVICE_PROTOCOL_ERROR,
	[STORVSC_RESULT_FAILED] = STATUS_IO_DEVICE_ERROR,
	[STORVSC_RESULT_REFUSED] = STATUS_INVALID_DEVICE_REQUEST,
	[STORVSC_RESULT_NO_DEVICE] = STATUS_NO_SUCH_DEVICE,
	[STORVSC_RESULT_NOT_READY] = STATUS_DEVICE_NOT_READY,
	[STORVSC_RESULT_DATA_ERROR] = STATUS_DEVICE_DATA_ERROR,
	[STORVSC_RESULT_WRITE_PROTECTED] = STATUS_MEDIA_WRITE_PROTECTED,
	[STORVSC_RESULT_FULL] = STATUS_DISK_FULL,
	[STORVSC_RESULT_RESERVED] = STATUS_SHARING_VIOLATION,
	[STORVSC_RESULT_TIMEOUT] = STATUS_IO_TIMEOUT,
	[STORVSC_RESULT_BUSY] = STATUS_DEVICE_BUSY,
	[STORVSC_RESULT_ABORTED] = STATUS_REQUEST_ABORTED,
	[STORVSC_RESULT_ATTENTION] = STATUS_VERIFY_REQUIRED,
	[STORVSC_RESULT_NO_VERSION] = STATUS_REVISION_MISMATCH,
};

/* ---- negotiation ---- */

static NTSTATUS ask(struct storvsc *s, struct storvsc_output *out)
{
	LARGE_INTEGER timeout = { .QuadPart = -10000ll * s->options.timeout_ms };
	struct storvsc_packet reply;
	UINT32 n = sizeof(reply);
	NTSTATUS status;
	KIRQL irql;

	status = VmbChannelSendSynchronousRequest(s->vmb, &out->packet, out->size, NULL,
	                                          VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION,
	                                          &reply, &n, &timeout);
	if (!NT_SUCCESS(status))
		return status;
	KeAcquireSpinLock(&s->lock, &irql);
	storvsc_machine_completed(&s->machine, out->id, &reply, n);
	KeReleaseSpinLock(&s->lock, irql);
	return STATUS_SUCCESS;
}

static bool next_step(struct storvsc *s, struct storvsc_output *out)
{
	bool is_one;
	KIRQL irql;

	KeAcquireSpinLock(&s->lock, &irql);
	is_one = storvsc_machine_negotiates(&s->machine) && storvsc_machine_next(&s->machine, out);
	KeReleaseSpinLock(&s->lock, irql);
	return is_one;
}

static NTSTATUS negotiation_status(const struct storvsc_machine *m)
{
	if (m->state == STORVSC_READY)
		return STATUS_SUCCESS;
	if (m->state != STORVSC_FAILED)
		return STATUS_DEVICE_REMOVED;
	return m->failure == STORVSC_RESULT_REFUSED ? (NTSTATUS)m->host_status
	                                            : statuses[m->failure];
}

static NTSTATUS negotiate(struct storvsc *s)
{
	NTSTATUS status = STATUS_SUCCESS;
	struct storvsc_output out;
	KIRQL irql;

	KeAcquireSpinLock(&s->lock, &irql);
	storvsc_machine_open(&s->machine);
	KeReleaseSpinLock(&s->lock, irql);
	while (NT_SUCCESS(status) && next_step(s, &out))
		status = ask(s, &out);
	return NT_SUCCESS(status) ? negotiation_status(&s->machine) : status;
}

static VOID post_started(VMBCHANNEL vmb)
{
	struct storvsc *s = VmbChannelGetPointer(vmb);

	opening_started(&s->opening, negotiate(s));
}

static VOID closed(VMBCHANNEL vmb)
{
	struct storvsc *s = VmbChannelGetPointer(vmb);

	opening_closed(&s->opening);
}

static VOID pnp_failure(VMBCHANNEL vmb, NTSTATUS status)
{
	struct storvsc *s = VmbChannelGetPointer(vmb);

	opening_started(&s->opening, status);
}

static VOID process_packet(VMBCHANNEL vmb, VMBPACKETCOMPLETION completion, PVOID buffer,
                           UINT32 length, UINT32 flags)
{
	struct storvsc *s = VmbChannelGetPointer(vmb);
	bool changed = storvsc_machine_said(buffer, length);

	VmbChannelPacketComplete(completion, NULL, 0);
	if (changed && s->options.bus_changed)
		s->options.bus_changed(s->options.context);
}

/* ---- requests ---- */

static struct storvsc_io *io_of(struct storvsc_request *r)
{
	return CONTAINING_RECORD(r, struct storvsc_io, request);
}

/* What is asked for is in the caller's part of it, ... */
static void say(struct storvsc_io *io)
{
	struct storvsc_request *r = &io->request;

	r->address = io->address;
	memcpy(r->cdb, io->cdb, sizeof(r->cdb));
	r->cdb_length = io->cdb_length;
	r->direction = io->direction;
	r->length = io->length;
	r->once = io->once;
}

/* ... also what the machine filled in; */
static void prepared(struct storvsc_io *io)
{
	const struct storvsc_request *r = &io->request;

	io->address = r->address;
	memcpy(io->cdb, r->cdb, sizeof(io->cdb));
	io->cdb_length = r->cdb_length;
	io->direction = r->direction;
	io->length = r->length;
}

/* and what came of it. */
static void hear(struct storvsc_io *io)
{
	const struct storvsc_request *r = &io->request;

	if (r->result != STORVSC_RESULT_NOT_SENT)
		io->status = statuses[r->result];
	io->transferred = r->transferred;
	io->scsi_status = r->scsi_status;
	io->srb_status = r->srb_status;
	io->sense_key = r->sense_key;
	io->asc = r->asc;
}

static NTSTATUS send(struct storvsc *s, struct storvsc_output *out)
{
	VMBPACKET packet = s->places[out->id].packet;
	struct storvsc_io *io;

	if (!out->request)
		return VmbPacketSend(packet, &out->packet, out->size, NULL,
		                     VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION);
	io = io_of(out->request);
	return VmbPacketSendWithExternalMdl(packet, &out->packet, out->size, io->mdl, io->offset,
	                                    io->length,
	                                    VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION);
}

/* Under the lock, so that none is sent once the channel is on its way to be closed: it would wait
 * for an opening that may never come. */
static void send_locked(struct storvsc *s)
{
	struct storvsc_output out;
	NTSTATUS status;

	while (storvsc_machine_next(&s->machine, &out)) {
		struct storvsc_request *r = s->slots[out.id].request;

		status = send(s, &out);
		if (NT_SUCCESS(status))
			continue; /* it may be done already: no more of it here */
		io_of(r)->status = status;
		storvsc_machine_not_sent(&s->machine, out.id);
	}
}

static const char *scsi_status_name(uint8_t status)
{
	switch (status) {
	case SCSI_GOOD:
		return "GOOD";
	case SCSI_CHECK_CONDITION:
		return "CHECK CONDITION";
	case SCSI_CONDITION_MET:
		return "CONDITION MET";
	case SCSI_BUSY:
		return "BUSY";
	case SCSI_RESERVATION_CONFLICT:
		return "RESERVATION CONFLICT";
	case SCSI_TASK_SET_FULL:
		return "TASK SET FULL";
	case SCSI_ACA_ACTIVE:
		return "ACA ACTIVE";
	case SCSI_TASK_ABORTED:
		return "TASK ABORTED";
	default:
		return "unknown";
	}
}

/* "command 0x88 of 0:0: SCSI status CHECK CONDITION, SRB status 0x84, sense 03/1100". */
static void describe(const struct storvsc_request *r, char *text, size_t size)
{
	int n = snprintf(text, size, "command 0x%02x of %u:%u: SCSI status %s, SRB status 0x%02x",
	                 r->cdb[0], r->address.target, r->address.lun,
	                 scsi_status_name(r->scsi_status), r->srb_status);

	if ((r->sense_key || r->asc) && n > 0 && (size_t)n < size)
		snprintf(text + n, size - (size_t)n, ", sense %02x/%04x", r->sense_key, r->asc);
}

static void note_failure_locked(struct storvsc *s, const struct storvsc_request *r)
{
	if (r->result <= STORVSC_RESULT_NOT_SENT)
		return;
	s->failed = statuses[r->result];
	*s->failure = 0;
	if (r->result != STORVSC_RESULT_REMOVED)
		describe(r, s->failure, sizeof(s->failure));
}

/* Sends what can be sent, and returns what has ended, for end_all() without the lock. */
static struct storvsc_request *go_on_locked(struct storvsc *s)
{
	LARGE_INTEGER due = { .QuadPart = -10000ll * STORVSC_LATER_MS };
	struct storvsc_request *ended, *r;

	send_locked(s);
	if (storvsc_machine_waits(&s->machine) && !s->timing) {
		s->timing = true;
		KeSetTimer(&s->timer, due, &s->retry);
	}
	ended = storvsc_machine_ended(&s->machine);
	for (r = ended; r; r = r->next)
		note_failure_locked(s, r);
	return ended;
}

static void end_all(struct storvsc_request *r)
{
	while (r) {
		struct storvsc_request *next = r->next;

		hear(io_of(r));
		io_of(r)->done(io_of(r));
		r = next;
	}
}

static VOID completed(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 length)
{
	struct place *place = VmbPacketGetPointer(packet);
	struct storvsc *s = place->controller;
	struct storvsc_request *ended;
	KIRQL irql;

	KeAcquireSpinLock(&s->lock, &irql);
	if (NT_SUCCESS(status))
		storvsc_machine_completed(&s->machine, place->id, buffer, length);
	else
		storvsc_machine_lost(&s->machine, place->id);
	ended = go_on_locked(s);
	KeReleaseSpinLock(&s->lock, irql);
	end_all(ended);
}

/* The units have had some time. */
static VOID retry(PKDPC dpc, PVOID context, PVOID argument1, PVOID argument2)
{
	struct storvsc *s = context;
	struct storvsc_request *ended;
	KIRQL irql;

	KeAcquireSpinLock(&s->lock, &irql);
	s->timing = false;
	storvsc_machine_later(&s->machine);
	ended = go_on_locked(s);
	KeReleaseSpinLock(&s->lock, irql);
	end_all(ended);
}

void storvsc_submit(struct storvsc *s, struct storvsc_io *io)
{
	struct storvsc_request *ended;
	KIRQL irql;

	say(io);
	if (io->length && !io->mdl) {
		io->status = STATUS_INVALID_PARAMETER;
		io->done(io);
		return;
	}
	KeAcquireSpinLock(&s->lock, &irql);
	storvsc_machine_submit(&s->machine, &io->request);
	ended = go_on_locked(s);
	KeReleaseSpinLock(&s->lock, irql);
	end_all(ended);
}

/* What is at the host is cancelled by the library; what waits here, here. */
static VOID suspended(VMBCHANNEL vmb)
{
	struct storvsc *s = VmbChannelGetPointer(vmb);
	struct storvsc_request *ended;
	KIRQL irql;

	KeAcquireSpinLock(&s->lock, &irql);
	storvsc_machine_close(&s->machine);
	ended = go_on_locked(s);
	KeReleaseSpinLock(&s->lock, irql);
	end_all(ended);
}

void storvsc_failure(struct storvsc *s, NTSTATUS status, char *text, size_t size)
{
	KIRQL irql;

	KeAcquireSpinLock(&s->lock, &irql);
	snprintf(text, size, "%s", status == s->failed ? s->failure : "");
	KeReleaseSpinLock(&s->lock, irql);
}

void storvsc_prepare_read(struct storvsc_io *io, const struct storvsc_disk *disk, uint64_t at,
                          uint32_t length)
{
	storvsc_request_read(&io->request, disk, at, length);
	prepared(io);
}

void storvsc_prepare_write(struct storvsc_io *io, const struct storvsc_disk *disk, uint64_t at,
                           uint32_t length)
{
	storvsc_request_write(&io->request, disk, at, length);
	prepared(io);
}

void storvsc_prepare_flush(struct storvsc_io *io, const struct storvsc_disk *disk)
{
	storvsc_request_flush(&io->request, disk);
	prepared(io);
}

/* ---- with waiting ---- */

struct waiter {
	KEVENT event;
	void (*done)(struct storvsc_io *io);
	void *context;
};

static void wake(struct storvsc_io *io)
{
	struct waiter *w = io->context;

	KeSetEvent(&w->event, 0, FALSE);
}

NTSTATUS storvsc_execute(struct storvsc *s, struct storvsc_io *io)
{
	struct waiter w = { .done = io->done, .context = io->context };

	KeInitializeEvent(&w.event, NotificationEvent, FALSE);
	io->done = wake;
	io->context = &w;
	storvsc_submit(s, io);
	KeWaitForSingleObject(&w.event, Executive, KernelMode, FALSE, NULL);
	io->done = w.done;
	io->context = w.context;
	return io->status;
}

static NTSTATUS execute_on(struct storvsc *s, struct storvsc_io *io, void *buffer)
{
	NTSTATUS status;

	io->mdl = IoAllocateMdl(buffer, io->length, FALSE, FALSE, NULL);
	if (!io->mdl)
		return STATUS_INSUFFICIENT_RESOURCES;
	MmBuildMdlForNonPagedPool(io->mdl);
	io->offset = 0;
	status = storvsc_execute(s, io);
	IoFreeMdl(io->mdl);
	return status;
}

static NTSTATUS transfer(struct storvsc *s, const struct storvsc_disk *disk,
                         enum storvsc_direction direction, uint64_t at, uint8_t *buffer,
                         uint32_t length)
{
	uint32_t most = storvsc_max_transfer(s);
	NTSTATUS status = STATUS_SUCCESS;

	if (!storvsc_disk_has(disk, at, length))
		return STATUS_INVALID_PARAMETER;
	while (length && NT_SUCCESS(status)) {
		uint32_t n = length < most ? length : most;
		struct storvsc_io io = { 0 };

		if (direction == STORVSC_FROM_DISK)
			storvsc_prepare_read(&io, disk, at, n);
		else
			storvsc_prepare_write(&io, disk, at, n);
		status = execute_on(s, &io, buffer);
		if (NT_SUCCESS(status) && io.transferred != n)
			status = STATUS_DEVICE_DATA_ERROR;
		at += n;
		buffer += n;
		length -= n;
	}
	return status;
}

NTSTATUS storvsc_read(struct storvsc *s, const struct storvsc_disk *disk, uint64_t at, void *buffer,
                      uint32_t length)
{
	return transfer(s, disk, STORVSC_FROM_DISK, at, buffer, length);
}

NTSTATUS storvsc_write(struct storvsc *s, const struct storvsc_disk *disk, uint64_t at,
                       const void *buffer, uint32_t length)
{
	return transfer(s, disk, STORVSC_TO_DISK, at, (uint8_t *)(uintptr_t)buffer, length);
}

NTSTATUS storvsc_flush(struct storvsc *s, const struct storvsc_disk *disk)
{
	struct storvsc_io io = { 0 };

	storvsc_prepare_flush(&io, disk);
	return storvsc_execute(s, &io);
}

NTSTATUS storvsc_discard(struct storvsc *s, const struct storvsc_disk *disk, uint64_t at,
                         uint64_t length)
{
	NTSTATUS status = STATUS_SUCCESS;
	uint8_t *list;

	if (!storvsc_disk_has(disk, at, length))
		return STATUS_INVALID_PARAMETER;
	list = ExAllocatePoolWithTag(NonPagedPoolNx, STORVSC_DISCARD_BYTES, POOL_TAG);
	if (!list)
		return STATUS_INSUFFICIENT_RESOURCES;
	while (length && NT_SUCCESS(status)) {
		struct storvsc_io io = { 0 };
		uint64_t n = storvsc_request_discard(&io.request, disk, at, length, list);

		prepared(&io);
		status = execute_on(s, &io, list);
		at += n;
		length -= n;
	}
	ExFreePoolWithTag(list, POOL_TAG);
	return status;
}

/* ---- what there is ---- */

/* What could not even begin ends the whole sequence. */
static NTSTATUS execute_step(struct storvsc *s, struct storvsc_io *io, void *data)
{
	NTSTATUS status;

	prepared(io);
	io->request.result = STORVSC_RESULT_NOT_SENT;
	status = execute_on(s, io, data);
	return io->request.result == STORVSC_RESULT_NOT_SENT ? status : STATUS_SUCCESS;
}

NTSTATUS storvsc_list(struct storvsc *s, struct storvsc_address *list, uint32_t capacity,
                      uint32_t *count)
{
	uint8_t *data = ExAllocatePoolWithTag(NonPagedPoolNx, STORVSC_SEARCH_BYTES, POOL_TAG);
	NTSTATUS status = data ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
	struct storvsc_search search;
	struct storvsc_io io = { 0 };

	*count = 0;
	if (!data)
		return status;
	memset(data, 0, STORVSC_SEARCH_BYTES);
	storvsc_search_begin(&search, data, list, capacity);
	while (NT_SUCCESS(status) && storvsc_search_next(&search, &io.request)) {
		status = execute_step(s, &io, data);
		storvsc_search_take(&search, &io.request);
	}
	*count = search.count;
	ExFreePoolWithTag(data, POOL_TAG);
	return NT_SUCCESS(status) ? statuses[search.result] : status;
}

NTSTATUS storvsc_identify(struct storvsc *s, struct storvsc_address address,
                          struct storvsc_disk *disk)
{
	uint8_t *data = ExAllocatePoolWithTag(NonPagedPoolNx, STORVSC_EXAM_BYTES, POOL_TAG);
	NTSTATUS status = STATUS_SUCCESS;
	struct storvsc_exam exam;
	struct storvsc_io io = { 0 };

	if (!data)
		return STATUS_INSUFFICIENT_RESOURCES;
	storvsc_exam_begin(&exam, data, address, disk);
	while (NT_SUCCESS(status) && storvsc_exam_next(&exam, &io.request)) {
		status = execute_step(s, &io, data);
		storvsc_exam_take(&exam, &io.request);
	}
	ExFreePoolWithTag(data, POOL_TAG);
	return NT_SUCCESS(status) ? statuses[exam.result] : status;
}

/* ---- opening and closing ---- */

/* The most bytes of a request's packet: descriptor, one range of MAX_TRANSFER, SRB, footer. */
#define REQUEST_BYTES (16 + 8 + 16 + 8 * (MAX_TRANSFER / PAGE_SIZE + 1) + 64 + 8)

static uint32_t outgoing_pages(uint32_t depth)
{
	uint32_t n = (depth * 2304 + REQUEST_BYTES) / PAGE_SIZE + 1; /* of 1 MiB each */

	return n > 256 ? 256 : n;
}

static NTSTATUS configure(struct storvsc *s)
{
	static const WCHAR text[] = L"storvsc";
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;
	UNICODE_STRING name;
	NTSTATUS status;

	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelSuspend = suspended;
	callbacks.EvtChannelPostStarted = post_started;
	callbacks.EvtChannelClosed = closed;
	RtlInitUnicodeString(&name, text);
	status = VmbChannelInitSetMaximumPacketSize(s->vmb, 256);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetMaximumExternalData(s->vmb, MAX_TRANSFER, 1);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetProcessPacketCallbacks(s->vmb, process_packet, NULL);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetStateChangeCallbacks(s->vmb, &callbacks);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetFriendlyName(s->vmb, &name);
	if (NT_SUCCESS(status))
		status = VmbClientChannelInitSetTargetPnp(s->vmb, &interface_type,
		                                          s->options.instance, pnp_failure);
	if (NT_SUCCESS(status))
		status = VmbClientChannelInitSetRingBufferPageCount(
			s->vmb, 16, outgoing_pages(s->options.queue_depth));
	return status;
}

static NTSTATUS make_places(struct storvsc *s)
{
	uint32_t i;

	for (i = 0; i < s->options.queue_depth; i++) {
		struct place *place = &s->places[i];

		place->controller = s;
		place->id = i;
		place->packet = VmbPacketAllocate(s->vmb);
		if (!place->packet)
			return STATUS_INSUFFICIENT_RESOURCES;
		VmbPacketSetPointer(place->packet, place);
		VmbPacketSetCompletionRoutine(place->packet, completed);
	}
	return STATUS_SUCCESS;
}

static void free_controller(struct storvsc *s)
{
	uint32_t i;

	KeCancelTimer(&s->timer);
	KeFlushQueuedDpcs(); /* the one that runs perhaps finds nothing to do */
	for (i = 0; i < s->options.queue_depth; i++) {
		if (s->places[i].packet)
			VmbPacketFree(s->places[i].packet);
	}
	if (s->vmb)
		VmbChannelCleanup(s->vmb);
	free(s->slots);
	free(s);
}

static NTSTATUS start(struct storvsc *s)
{
	NTSTATUS status = VmbChannelEnable(s->vmb);

	if (!NT_SUCCESS(status))
		return status;
	/* The offer may take this long, and each step of the negotiation. */
	status = opening_wait(&s->opening, s->options.timeout_ms);
	if (!NT_SUCCESS(status))
		VmbChannelDisable(s->vmb);
	return status;
}

static struct storvsc *make_controller(const struct storvsc_options *o)
{
	const struct storvsc_machine_options options = { .max_transfer = MAX_TRANSFER,
		                                         .version_max = o->version_max };
	struct storvsc *s = calloc(1, sizeof(*s) + o->queue_depth * sizeof(struct place));

	if (!s)
		return NULL;
	s->slots = calloc(o->queue_depth, sizeof(*s->slots));
	if (!s->slots) {
		free(s);
		return NULL;
	}
	s->options = *o;
	storvsc_machine_init(&s->machine, &options, s->slots, o->queue_depth);
	KeInitializeTimer(&s->timer);
	KeInitializeDpc(&s->retry, retry, s);
	KeInitializeSpinLock(&s->lock);
	opening_init(&s->opening);
	return s;
}

NTSTATUS storvsc_open(PDEVICE_OBJECT bus, const struct storvsc_options *options,
                      struct storvsc **controller)
{
	struct storvsc_options o = { 0 };
	struct storvsc *s;
	NTSTATUS status;

	if (options)
		o = *options;
	if (!o.queue_depth)
		o.queue_depth = DEFAULT_DEPTH;
	if (!o.timeout_ms)
		o.timeout_ms = DEFAULT_TIMEOUT_MS;
	if (o.queue_depth > 4096)
		return STATUS_INVALID_PARAMETER_2;
	s = make_controller(&o);
	if (!s)
		return STATUS_INSUFFICIENT_RESOURCES;
	status = VmbChannelAllocate(bus, FALSE, &s->vmb);
	if (!NT_SUCCESS(status)) {
		s->vmb = NULL;
		goto free;
	}
	VmbChannelSetPointer(s->vmb, s);
	status = configure(s);
	if (NT_SUCCESS(status))
		status = make_places(s);
	if (NT_SUCCESS(status))
		status = start(s);
	if (!NT_SUCCESS(status))
		goto free;
	*controller = s;
	return STATUS_SUCCESS;
free:
	free_controller(s);
	return status;
}

void storvsc_close(struct storvsc *s)
{
	VmbChannelDisable(s->vmb);
	free_controller(s);
}

uint16_t storvsc_version(struct storvsc *s)
{
	return s->machine.version;
}

uint32_t storvsc_max_transfer(struct storvsc *s)
{
	return s->machine.max_transfer;
}

VMBCHANNEL storvsc_channel(struct storvsc *s)
{
	return s->vmb;
}
