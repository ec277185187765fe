/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi/storvsc.h"
#include "scsi/scsi.h"
#include "scsi/storvsc_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_DEPTH      64u
#define DEFAULT_TIMEOUT_MS 5000u
#define MAX_TRANSFER       (4u << 20)
/* Of a request that the unit did not do: at once, and when it has had some time, 3 s in all. */
#define REPEATS_AGAIN 5u
#define REPEATS_LATER 30u
#define LATER_100NS   1000000ll

#define POOL_TAG 0x63737653u /* "Svsc" */

static const GUID interface_type = STORVSC_INTERFACE_TYPE;

/* A place at the host, and what is there. */
struct slot {
	struct slot *next;
	struct storvsc *controller;
	VMBPACKET packet;
	struct storvsc_io *io;
};

struct io_list {
	struct storvsc_io *first, **last;
};

struct storvsc {
	struct storvsc_options options;
	VMBCHANNEL vmb;
	KEVENT started; /* the negotiation is over: see `status` */
	NTSTATUS status;
	uint16_t version;
	uint32_t packet_size; /* of this version */
	uint32_t max_transfer;
	KSPIN_LOCK lock; /* of all below */
	struct slot *free;
	struct io_list waiting; /* for a slot */
	struct io_list later;   /* for the unit */
	KTIMER timer;
	KDPC retry;
	bool gone;       /* the channel closes or is closed */
	NTSTATUS failed; /* the last request that ended otherwise than with success */
	char failure[128];
	struct slot slots[];
};

/* ---- negotiation ---- */

static NTSTATUS ask(struct storvsc *s, struct storvsc_packet *packet)
{
	LARGE_INTEGER timeout = { .QuadPart = -10000ll * s->options.timeout_ms };
	struct storvsc_packet reply = { 0 };
	UINT32 n = sizeof(reply);
	NTSTATUS status;

	packet->flags = STORVSC_REQUEST_COMPLETION;
	status = VmbChannelSendSynchronousRequest(s->vmb, packet, s->packet_size, NULL,
	                                          VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION,
	                                          &reply, &n, &timeout);
	if (!NT_SUCCESS(status))
		return status;
	if (n < STORVSC_PACKET_SIZE_OLD || reply.operation != STORVSC_COMPLETE_IO)
		return STATUS_DEVICE_PROTOCOL_ERROR;
	*packet = reply;
	/* 0 alone is a yes; what NT_SUCCESS() takes for one beside it makes no sense here. */
	return reply.status && NT_SUCCESS((NTSTATUS)reply.status) ? STATUS_DEVICE_PROTOCOL_ERROR
	                                                          : (NTSTATUS)reply.status;
}

static NTSTATUS agree_on_version(struct storvsc *s)
{
	static const uint16_t versions[] = { STORVSC_VERSION_WIN10, STORVSC_VERSION_WIN8_1,
		                             STORVSC_VERSION_WIN8, STORVSC_VERSION_WIN7,
		                             STORVSC_VERSION_WIN6 };
	NTSTATUS status = STATUS_REVISION_MISMATCH;
	size_t i;

	for (i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		struct storvsc_packet p = { .operation = STORVSC_QUERY_PROTOCOL_VERSION };

		if (s->options.version_max && versions[i] > s->options.version_max)
			continue;
		p.version.major_minor = versions[i];
		status = ask(s, &p);
		if (status == STATUS_REVISION_MISMATCH)
			continue;
		s->version = versions[i];
		break;
	}
	if (NT_SUCCESS(status) && s->version < STORVSC_VERSION_WIN8)
		s->packet_size = STORVSC_PACKET_SIZE_OLD;
	return status;
}

static NTSTATUS learn_properties(struct storvsc *s)
{
	struct storvsc_packet p = { .operation = STORVSC_QUERY_PROPERTIES };
	NTSTATUS status = ask(s, &p);
	uint32_t max = p.properties.max_transfer;

	if (!NT_SUCCESS(status))
		return status;
	if (max < PAGE_SIZE)
		return STATUS_DEVICE_PROTOCOL_ERROR;
	s->max_transfer = (max < MAX_TRANSFER ? max : MAX_TRANSFER) & ~(PAGE_SIZE - 1);
	return STATUS_SUCCESS;
}

static NTSTATUS negotiate(struct storvsc *s)
{
	struct storvsc_packet begin = { .operation = STORVSC_BEGIN_INITIALIZATION };
	struct storvsc_packet end = { .operation = STORVSC_END_INITIALIZATION };
	NTSTATUS status = ask(s, &begin);

	if (NT_SUCCESS(status))
		status = agree_on_version(s);
	if (NT_SUCCESS(status))
		status = learn_properties(s);
	if (NT_SUCCESS(status))
		status = ask(s, &end);
	return status;
}

static VOID post_started(VMBCHANNEL vmb)
{
	struct storvsc *s = VmbChannelGetPointer(vmb);

	s->status = negotiate(s);
	KeSetEvent(&s->started, 0, FALSE);
}

static VOID pnp_failure(VMBCHANNEL vmb, NTSTATUS status)
{
	struct storvsc *s = VmbChannelGetPointer(vmb);

	s->status = status;
	KeSetEvent(&s->started, 0, FALSE);
}

/* What the host says unasked. */
static VOID process_packet(VMBCHANNEL vmb, VMBPACKETCOMPLETION completion, PVOID buffer,
                           UINT32 length, UINT32 flags)
{
	struct storvsc *s = VmbChannelGetPointer(vmb);
	uint32_t operation = 0;

	if (length >= sizeof(operation))
		memcpy(&operation, buffer, sizeof(operation));
	VmbChannelPacketComplete(completion, NULL, 0);
	if ((operation == STORVSC_ENUMERATE_BUS || operation == STORVSC_REMOVE_DEVICE) &&
	    s->options.bus_changed)
		s->options.bus_changed(s->options.context);
}

/* ---- requests ---- */

static void build(const struct storvsc *s, const struct storvsc_io *io, struct storvsc_packet *p)
{
	struct storvsc_srb *srb = &p->srb;
	static const uint8_t data_in[] = { STORVSC_DATA_UNSPECIFIED, STORVSC_DATA_IN,
		                           STORVSC_DATA_OUT };
	static const uint32_t srb_flags[] = { 0, STORVSC_SRB_DATA_IN, STORVSC_SRB_DATA_OUT };

	memset(p, 0, sizeof(*p));
	p->operation = STORVSC_EXECUTE_SRB;
	p->flags = STORVSC_REQUEST_COMPLETION;
	srb->length = (uint16_t)(s->packet_size - STORVSC_PACKET_HEADER);
	srb->target = io->address.target;
	srb->lun = io->address.lun;
	srb->cdb_length = io->cdb_length;
	srb->sense_length =
		s->version < STORVSC_VERSION_WIN8 ? SCSI_SENSE_SIZE : STORVSC_SENSE_SIZE;
	srb->data_in = data_in[io->direction];
	srb->transfer_length = io->length;
	memcpy(srb->cdb, io->cdb, sizeof(srb->cdb));
	srb->queue_action = STORVSC_SRB_SIMPLE_TAG;
	srb->srb_flags = srb_flags[io->direction] | STORVSC_SRB_QUEUE_ACTION_ENABLE |
	                 STORVSC_SRB_DISABLE_SYNCH_TRANSFER | STORVSC_SRB_NO_QUEUE_FREEZE;
	srb->timeout = 60;
}

static NTSTATUS send(struct slot *slot)
{
	struct storvsc_io *io = slot->io;
	struct storvsc_packet p;

	build(slot->controller, io, &p);
	if (!io->length)
		return VmbPacketSend(slot->packet, &p, slot->controller->packet_size, NULL,
		                     VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION);
	return VmbPacketSendWithExternalMdl(slot->packet, &p, slot->controller->packet_size,
	                                    io->mdl, io->offset, io->length,
	                                    VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION);
}

static void reset_result(struct storvsc_io *io)
{
	io->transferred = 0;
	io->scsi_status = io->srb_status = io->sense_key = 0;
	io->asc = 0;
}

static void list_init(struct io_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void list_add(struct io_list *list, struct storvsc_io *io)
{
	io->next = NULL;
	*list->last = io;
	list->last = &io->next;
}

static struct storvsc_io *list_take(struct io_list *list)
{
	struct storvsc_io *io = list->first;

	if (io)
		list->first = io->next;
	if (!list->first)
		list_init(list);
	return io;
}

static void end_all(struct storvsc_io *io)
{
	while (io) {
		struct storvsc_io *next = io->next;

		io->done(io);
		io = next;
	}
}

/*
 * Puts the request in the slot and sends it. Under the lock, so that none is sent once the channel
 * is on its way to be closed: it would wait for an opening that may never come.
 */
static bool send_locked(struct slot *slot, struct storvsc_io *io)
{
	NTSTATUS status = STATUS_DEVICE_REMOVED;

	slot->io = io;
	if (!slot->controller->gone)
		status = send(slot);
	if (NT_SUCCESS(status))
		return true; /* it may be done already: no more of it here */
	io->status = status;
	return false;
}

/* The slot takes the next request that waits, or is free. What could not be sent is added to
 * `failed`. */
static void refill_locked(struct storvsc *s, struct slot *slot, struct io_list *failed)
{
	struct storvsc_io *io;

	while ((io = list_take(&s->waiting))) {
		if (send_locked(slot, io))
			return;
		list_add(failed, io);
	}
	slot->next = s->free;
	s->free = slot;
}

/* Says whether it was taken: it is to be sent again. */
static bool repeat_locked(struct storvsc *s, struct storvsc_io *io, enum storvsc_next next)
{
	LARGE_INTEGER due = { .QuadPart = -LATER_100NS };

	if (next == STORVSC_ENDED || io->once || s->gone ||
	    io->repeats >= (next == STORVSC_AGAIN ? REPEATS_AGAIN : REPEATS_LATER))
		return false;
	io->repeats++;
	if (next == STORVSC_AGAIN) {
		reset_result(io);
		list_add(&s->waiting, io);
		return true;
	}
	if (!s->later.first)
		KeSetTimer(&s->timer, due, &s->retry);
	list_add(&s->later, io);
	return true;
}

static void note_failure_locked(struct storvsc *s, const struct storvsc_io *io)
{
	if (NT_SUCCESS(io->status))
		return;
	s->failed = io->status;
	*s->failure = 0;
	if (io->status != STATUS_DEVICE_REMOVED)
		storvsc_describe(io, s->failure, sizeof(s->failure));
}

static VOID completed(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 length)
{
	struct slot *slot = VmbPacketGetPointer(packet);
	struct storvsc *s = slot->controller;
	struct storvsc_io *io = slot->io;
	enum storvsc_next next = STORVSC_ENDED;
	struct io_list failed;
	bool repeated;
	KIRQL irql;

	if (NT_SUCCESS(status))
		next = storvsc_take_answer(io, buffer, length);
	else
		io->status = STATUS_DEVICE_REMOVED;
	list_init(&failed);
	KeAcquireSpinLock(&s->lock, &irql);
	repeated = repeat_locked(s, io, next);
	if (!repeated)
		note_failure_locked(s, io);
	refill_locked(s, slot, &failed);
	KeReleaseSpinLock(&s->lock, irql);
	if (!repeated)
		io->done(io);
	end_all(failed.first);
}

/* Into a slot, or where it waits for one. */
static void begin_locked(struct storvsc *s, struct storvsc_io *io, struct io_list *failed)
{
	struct slot *slot = s->free;

	if (!slot)
		list_add(&s->waiting, io);
	else if (send_locked(slot, io))
		s->free = slot->next;
	else
		list_add(failed, io);
}

/* The units have had some time. */
static VOID retry(PKDPC dpc, PVOID context, PVOID argument1, PVOID argument2)
{
	struct storvsc *s = context;
	struct storvsc_io *io, *next;
	struct io_list failed;
	KIRQL irql;

	list_init(&failed);
	KeAcquireSpinLock(&s->lock, &irql);
	io = s->later.first;
	list_init(&s->later);
	for (; io; io = next) {
		next = io->next;
		reset_result(io);
		begin_locked(s, io, &failed);
	}
	KeReleaseSpinLock(&s->lock, irql);
	end_all(failed.first);
}

void storvsc_submit(struct storvsc *s, struct storvsc_io *io)
{
	struct io_list failed;
	KIRQL irql;

	reset_result(io);
	io->repeats = 0;
	if (io->length > s->max_transfer || (io->length && !io->mdl) || io->cdb_length > 16) {
		io->status = STATUS_INVALID_PARAMETER;
		io->done(io);
		return;
	}
	list_init(&failed);
	KeAcquireSpinLock(&s->lock, &irql);
	begin_locked(s, io, &failed);
	KeReleaseSpinLock(&s->lock, irql);
	end_all(failed.first);
}

static void end_removed(struct storvsc_io *list)
{
	struct storvsc_io *io;

	for (io = list; io; io = io->next)
		io->status = STATUS_DEVICE_REMOVED;
	end_all(list);
}

/* What is at the host is cancelled by the library; what waits here, here. */
static VOID suspended(VMBCHANNEL vmb)
{
	struct storvsc *s = VmbChannelGetPointer(vmb);
	struct storvsc_io *waiting, *later;
	KIRQL irql;

	KeAcquireSpinLock(&s->lock, &irql);
	s->gone = true;
	waiting = s->waiting.first;
	list_init(&s->waiting);
	later = s->later.first;
	list_init(&s->later);
	KeReleaseSpinLock(&s->lock, irql);
	end_removed(waiting);
	end_removed(later);
}

void storvsc_failure(struct storvsc *s, NTSTATUS status, char *text, size_t size)
{
	KIRQL irql;

	KeAcquireSpinLock(&s->lock, &irql);
	snprintf(text, size, "%s", status == s->failed ? s->failure : "");
	KeReleaseSpinLock(&s->lock, irql);
}

/* ---- CDBs ---- */

static void prepare_rw(struct storvsc_io *io, const struct storvsc_disk *disk, uint8_t opcode,
                       uint64_t at, uint32_t length)
{
	io->address = disk->address;
	memset(io->cdb, 0, sizeof(io->cdb));
	io->cdb[0] = opcode;
	scsi_put64(io->cdb + 2, at / disk->block_size);
	scsi_put32(io->cdb + 10, length / disk->block_size);
	io->cdb_length = 16;
	io->length = length;
	io->direction = opcode == SCSI_READ_16 ? STORVSC_FROM_DISK : STORVSC_TO_DISK;
}

void storvsc_prepare_read(struct storvsc_io *io, const struct storvsc_disk *disk, uint64_t at,
                          uint32_t length)
{
	prepare_rw(io, disk, SCSI_READ_16, at, length);
}

void storvsc_prepare_write(struct storvsc_io *io, const struct storvsc_disk *disk, uint64_t at,
                           uint32_t length)
{
	prepare_rw(io, disk, SCSI_WRITE_16, at, length);
}

void storvsc_prepare_flush(struct storvsc_io *io, const struct storvsc_disk *disk)
{
	io->address = disk->address;
	memset(io->cdb, 0, sizeof(io->cdb));
	io->cdb[0] = SCSI_SYNCHRONIZE_CACHE_10;
	io->cdb_length = 10;
	io->length = 0;
	io->direction = STORVSC_NO_DATA;
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

static bool whole_blocks(const struct storvsc_disk *disk, uint64_t at, uint64_t length)
{
	return at <= disk->size && length <= disk->size - at && at % disk->block_size == 0 &&
	       length % disk->block_size == 0;
}

static NTSTATUS transfer(struct storvsc *s, const struct storvsc_disk *disk, uint8_t opcode,
                         uint64_t at, uint8_t *buffer, uint32_t length)
{
	NTSTATUS status = STATUS_SUCCESS;

	if (!whole_blocks(disk, at, length))
		return STATUS_INVALID_PARAMETER;
	while (length && NT_SUCCESS(status)) {
		uint32_t n = length < s->max_transfer ? length : s->max_transfer;
		struct storvsc_io io = { 0 };

		prepare_rw(&io, disk, opcode, at, n);
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
	return transfer(s, disk, SCSI_READ_16, at, buffer, length);
}

NTSTATUS storvsc_write(struct storvsc *s, const struct storvsc_disk *disk, uint64_t at,
                       const void *buffer, uint32_t length)
{
	return transfer(s, disk, SCSI_WRITE_16, at, (uint8_t *)(uintptr_t)buffer, length);
}

NTSTATUS storvsc_flush(struct storvsc *s, const struct storvsc_disk *disk)
{
	struct storvsc_io io = { 0 };

	storvsc_prepare_flush(&io, disk);
	return storvsc_execute(s, &io);
}

/* A data buffer of the pool, for commands that are no reads and writes. */
static NTSTATUS execute_small(struct storvsc *s, struct storvsc_io *io, void *data)
{
	void *buffer = ExAllocatePoolWithTag(NonPagedPoolNx, io->length, POOL_TAG);
	NTSTATUS status;

	if (!buffer)
		return STATUS_INSUFFICIENT_RESOURCES;
	if (io->direction == STORVSC_TO_DISK)
		memcpy(buffer, data, io->length);
	else
		memset(buffer, 0, io->length);
	status = execute_on(s, io, buffer);
	if (io->direction == STORVSC_FROM_DISK)
		memcpy(data, buffer, io->length);
	ExFreePoolWithTag(buffer, POOL_TAG);
	return status;
}

#define UNMAP_BLOCKS (1u << 31)

NTSTATUS storvsc_discard(struct storvsc *s, const struct storvsc_disk *disk, uint64_t at,
                         uint64_t length)
{
	NTSTATUS status = STATUS_SUCCESS;

	if (!whole_blocks(disk, at, length))
		return STATUS_INVALID_PARAMETER;
	while (length && NT_SUCCESS(status)) {
		uint64_t blocks = length / disk->block_size;
		uint32_t n = blocks < UNMAP_BLOCKS ? (uint32_t)blocks : UNMAP_BLOCKS;
		uint8_t list[24] = { 0, 22, 0, 16 };
		struct storvsc_io io = {
			.address = disk->address,
			.cdb = { SCSI_UNMAP, [8] = sizeof(list) },
			.cdb_length = 10,
			.direction = STORVSC_TO_DISK,
			.length = sizeof(list),
		};

		scsi_put64(list + 8, at / disk->block_size);
		scsi_put32(list + 16, n);
		status = execute_small(s, &io, list);
		at += (uint64_t)n * disk->block_size;
		length -= (uint64_t)n * disk->block_size;
	}
	return status;
}

/* ---- what there is ---- */

#define TARGETS   2u
#define LUNS_SIZE 4096u

static NTSTATUS list_target(struct storvsc *s, uint8_t target, uint8_t *data, uint32_t *bytes)
{
	struct storvsc_io io = {
		.address = { target, 0 },
		.cdb = { SCSI_REPORT_LUNS, [8] = LUNS_SIZE >> 8 },
		.cdb_length = 12,
		.direction = STORVSC_FROM_DISK,
		.length = LUNS_SIZE,
	};
	NTSTATUS status = execute_small(s, &io, data);
	uint32_t n = scsi_get32(data);

	*bytes = 0;
	if (NT_SUCCESS(status) && io.transferred > 8)
		*bytes = n < io.transferred - 8 ? n : io.transferred - 8;
	return status == STATUS_NO_SUCH_DEVICE ? STATUS_SUCCESS
	                                       : status; /* nothing at the target */
}

NTSTATUS storvsc_list(struct storvsc *s, struct storvsc_address *list, uint32_t capacity,
                      uint32_t *count)
{
	uint8_t *data = malloc(LUNS_SIZE);
	NTSTATUS status = data ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
	uint8_t target;
	uint32_t bytes, at;

	*count = 0;
	for (target = 0; target < TARGETS && NT_SUCCESS(status); target++) {
		status = list_target(s, target, data, &bytes);
		for (at = 8; NT_SUCCESS(status) && at + 8 <= 8 + bytes; at += 8) {
			if (*count < capacity)
				list[*count] = (struct storvsc_address){ target, data[at + 1] };
			++*count;
		}
	}
	free(data);
	return status;
}

/* A text field without the blanks around it, and without what could upset a terminal. */
static void take_text(char *text, size_t size, const uint8_t *field, uint32_t n)
{
	uint32_t from = 0, i;

	if (n > size - 1)
		n = (uint32_t)size - 1;
	while (n && (field[n - 1] == ' ' || !field[n - 1]))
		n--;
	while (from < n && field[from] == ' ')
		from++;
	for (i = 0; from < n; i++, from++)
		text[i] = field[from] < ' ' || field[from] > '~' ? '?' : (char)field[from];
	text[i] = 0;
}

static NTSTATUS data_command(struct storvsc *s, const struct storvsc_disk *disk, const uint8_t *cdb,
                             uint8_t cdb_length, uint8_t *data, uint32_t *n)
{
	struct storvsc_io io = {
		.address = disk->address,
		.cdb_length = cdb_length,
		.direction = STORVSC_FROM_DISK,
		.length = *n,
	};
	NTSTATUS status;

	memcpy(io.cdb, cdb, cdb_length);
	memset(data, 0, *n);
	status = execute_small(s, &io, data);
	*n = io.transferred;
	return status;
}

static NTSTATUS take_inquiry(struct storvsc *s, struct storvsc_disk *disk)
{
	static const uint8_t inquiry[6] = { SCSI_INQUIRY, 0, 0, 0, 36 };
	static const uint8_t serial[6] = { SCSI_INQUIRY, 1, 0x80, 0, 64 };
	uint8_t data[64];
	uint32_t n = 36, length;
	NTSTATUS status = data_command(s, disk, inquiry, sizeof(inquiry), data, &n);

	if (!NT_SUCCESS(status))
		return status;
	if (n < 36 || data[0] != 0) /* absent, or no disk */
		return STATUS_NO_SUCH_DEVICE;
	take_text(disk->vendor, sizeof(disk->vendor), data + 8, 8);
	take_text(disk->product, sizeof(disk->product), data + 16, 16);
	take_text(disk->revision, sizeof(disk->revision), data + 32, 4);
	n = sizeof(data);
	if (NT_SUCCESS(data_command(s, disk, serial, sizeof(serial), data, &n)) && n > 4) {
		length = scsi_get16(data + 2);
		take_text(disk->serial, sizeof(disk->serial), data + 4,
		          length < n - 4 ? length : n - 4);
	}
	return STATUS_SUCCESS;
}

static NTSTATUS take_capacity(struct storvsc *s, struct storvsc_disk *disk)
{
	static const uint8_t capacity[16] = { SCSI_SERVICE_ACTION_IN_16,
		                              SCSI_ACTION_READ_CAPACITY_16, [13] = 32 };
	uint8_t data[32];
	uint32_t n = sizeof(data);
	uint64_t last;
	NTSTATUS status = data_command(s, disk, capacity, sizeof(capacity), data, &n);

	if (!NT_SUCCESS(status))
		return status;
	last = scsi_get64(data);
	disk->block_size = scsi_get32(data + 8);
	/* What a shorter answer leaves out is 0. */
	if (n < 12 || disk->block_size < 512 || disk->block_size > 65536 ||
	    disk->block_size & (disk->block_size - 1) || last >= UINT64_MAX / disk->block_size)
		return STATUS_DEVICE_PROTOCOL_ERROR;
	disk->size = (last + 1) * disk->block_size;
	disk->physical_block_size = disk->block_size << (data[13] & 0x0f);
	disk->discards = data[14] & 0x80;
	return STATUS_SUCCESS;
}

/* By the unit, if perhaps with a refusal. */
static bool answered(NTSTATUS status)
{
	return status != STATUS_DEVICE_REMOVED && status != STATUS_INSUFFICIENT_RESOURCES &&
	       status != STATUS_NO_SUCH_DEVICE;
}

static NTSTATUS take_protection(struct storvsc *s, struct storvsc_disk *disk)
{
	static const uint8_t sense[6] = { SCSI_MODE_SENSE_6, 0x08, 0x3f, 0, 64 };
	uint8_t data[64];
	uint32_t n = sizeof(data);
	NTSTATUS status = data_command(s, disk, sense, sizeof(sense), data, &n);

	if (NT_SUCCESS(status) && n >= 4)
		disk->read_only = data[2] & 0x80;
	/* Not every disk has mode pages; what cannot be written says so by then. */
	return answered(status) ? STATUS_SUCCESS : status;
}

NTSTATUS storvsc_identify(struct storvsc *s, struct storvsc_address address,
                          struct storvsc_disk *disk)
{
	NTSTATUS status;

	memset(disk, 0, sizeof(*disk));
	disk->address = address;
	status = take_inquiry(s, disk);
	if (NT_SUCCESS(status))
		status = take_capacity(s, disk);
	if (NT_SUCCESS(status))
		status = take_protection(s, disk);
	return status;
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

static NTSTATUS make_slots(struct storvsc *s)
{
	uint32_t i;

	for (i = 0; i < s->options.queue_depth; i++) {
		struct slot *slot = &s->slots[i];

		slot->controller = s;
		slot->packet = VmbPacketAllocate(s->vmb);
		if (!slot->packet)
			return STATUS_INSUFFICIENT_RESOURCES;
		VmbPacketSetPointer(slot->packet, slot);
		VmbPacketSetCompletionRoutine(slot->packet, completed);
		slot->next = s->free;
		s->free = slot;
	}
	return STATUS_SUCCESS;
}

static void free_controller(struct storvsc *s)
{
	uint32_t i;

	KeCancelTimer(&s->timer);
	KeFlushQueuedDpcs(); /* the one that runs perhaps finds nothing to do */
	for (i = 0; i < s->options.queue_depth; i++) {
		if (s->slots[i].packet)
			VmbPacketFree(s->slots[i].packet);
	}
	if (s->vmb)
		VmbChannelCleanup(s->vmb);
	free(s);
}

static NTSTATUS start(struct storvsc *s)
{
	/* The offer may take this long, and each step of the negotiation. */
	LARGE_INTEGER timeout = { .QuadPart = -10000ll * s->options.timeout_ms };
	NTSTATUS status = VmbChannelEnable(s->vmb);

	if (!NT_SUCCESS(status))
		return status;
	status = KeWaitForSingleObject(&s->started, Executive, KernelMode, FALSE, &timeout);
	if (status == STATUS_SUCCESS)
		status = s->status;
	else
		status = STATUS_IO_TIMEOUT;
	if (!NT_SUCCESS(status))
		VmbChannelDisable(s->vmb);
	return status;
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
	s = calloc(1, sizeof(*s) + o.queue_depth * sizeof(struct slot));
	if (!s)
		return STATUS_INSUFFICIENT_RESOURCES;
	s->options = o;
	s->packet_size = sizeof(struct storvsc_packet);
	list_init(&s->waiting);
	list_init(&s->later);
	KeInitializeTimer(&s->timer);
	KeInitializeDpc(&s->retry, retry, s);
	KeInitializeSpinLock(&s->lock);
	KeInitializeEvent(&s->started, NotificationEvent, FALSE);
	status = VmbChannelAllocate(bus, FALSE, &s->vmb);
	if (!NT_SUCCESS(status)) {
		s->vmb = NULL;
		goto free;
	}
	VmbChannelSetPointer(s->vmb, s);
	status = configure(s);
	if (NT_SUCCESS(status))
		status = make_slots(s);
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
	return s->version;
}

uint32_t storvsc_max_transfer(struct storvsc *s)
{
	return s->max_transfer;
}

VMBCHANNEL storvsc_channel(struct storvsc *s)
{
	return s->vmb;
}
