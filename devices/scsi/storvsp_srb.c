/* SPDX-License-Identifier: BSD-2-Clause */
/* The controller's requests: from the SRB in a packet to the answer in its completion. */
#include "scsi/storvsp_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- the guest's memory ---- */

/* How much of it a chain of MDLs describes. */
static uint64_t mdl_bytes(PMDL mdl)
{
	uint64_t n = 0;

	for (; mdl; mdl = mdl->Next)
		n += MmGetMdlByteCount(mdl);
	return n;
}

static uint32_t request_iovec(struct disk_op *op, uint32_t at, uint32_t length, struct iovec *iov,
                              uint32_t capacity)
{
	struct storvsp_request *r = (struct storvsp_request *)op;

	return kmcl_mdl_iovec(r->mdl, at, length, iov, capacity);
}

#define COPY_IOVECS 16u

/* Copies between a buffer here and the beginning of the guest's memory, of which the caller knows
 * that it is long enough. */
static void copy(PMDL mdl, void *buffer, uint32_t n, bool to_guest)
{
	struct iovec iov[COPY_IOVECS];
	uint32_t at = 0;

	while (at < n) {
		uint32_t count = kmcl_mdl_iovec(mdl, at, n - at, iov, COPY_IOVECS), i;

		if (!count)
			return;
		for (i = 0; i < count && i < COPY_IOVECS; i++) {
			uint8_t *here = (uint8_t *)buffer + at;

			if (to_guest)
				memcpy(iov[i].iov_base, here, iov[i].iov_len);
			else
				memcpy(here, iov[i].iov_base, iov[i].iov_len);
			at += (uint32_t)iov[i].iov_len;
		}
	}
}

/* ---- answers ---- */

void storvsp_answer(struct storvsp_request *r, NTSTATUS status)
{
	r->packet.operation = STORVSC_COMPLETE_IO;
	r->packet.status = (uint32_t)status;
	VmbChannelPacketComplete(r->completion, &r->packet, r->size);
}

/* The request's memory is gone when this returns. */
static void answer_srb(struct storvsp_request *r, enum storvsc_srb_status srb_status,
                       NTSTATUS status, const struct scsi_outcome *out, uint32_t transferred)
{
	struct storvsc_srb *srb = &r->packet.srb;
	bool good = srb_status == STORVSC_SRB_SUCCESS;
	uint8_t sense = 0;

	if (r->medium)
		storvsp_medium_put(r->medium);
	if (r->unit)
		storvsp_unit_put(r->unit);
	free(r->owned);
	if (!good)
		atomic_fetch_add_explicit(&r->channel->errors, 1, memory_order_relaxed);

	srb->length = (uint16_t)(r->size - STORVSC_PACKET_HEADER);
	srb->srb_status = (uint8_t)srb_status;
	srb->scsi_status = good || (!out && srb_status == STORVSC_SRB_INVALID_LUN)
	                           ? SCSI_GOOD
	                           : SCSI_CHECK_CONDITION;
	srb->transfer_length = transferred;
	memset(srb->sense, 0, sizeof(srb->sense));
	if (out && out->sense_length) {
		sense = out->sense_length;
		memcpy(srb->sense, out->sense, sense);
		srb->srb_status |= STORVSC_SRB_AUTOSENSE_VALID;
	}
	srb->sense_length = sense;
	storvsp_answer(r, status);
}

/*
 * That of a command which found that the capacity has changed is ABORTED, with sense: from it,
 * Linux repeats the command and reads the capacity; from ERROR, as OpenVMM has it, only what is
 * newer (storvsc_handle_error() in drivers/scsi/storvsc_drv.c, before and after it looks for
 * either; Debian's 5.10 does).
 */
static enum storvsc_srb_status failure_status(const struct scsi_outcome *out)
{
	if (out->sense[2] == SCSI_KEY_UNIT_ATTENTION &&
	    scsi_get16(out->sense + 12) == SCSI_ASC_CAPACITY_CHANGED)
		return STORVSC_SRB_ABORTED;
	return STORVSC_SRB_ERROR;
}

static void answer_outcome(struct storvsp_request *r, const struct scsi_outcome *out)
{
	if (out->status == SCSI_GOOD)
		answer_srb(r, STORVSC_SRB_SUCCESS, STATUS_SUCCESS, NULL, out->length);
	else
		answer_srb(r, failure_status(out), STATUS_IO_DEVICE_ERROR, out, 0);
}

/*
 * With the sense that SPC-4 asks for (incorrect logical unit selection). OpenVMM sends none;
 * Debian's Linux 6.1.176 then repeats a read without end, or until it comes round to removing the
 * device; 6.1.192 does not. Those who look for units with TEST UNIT READY want the status as
 * Hyper-V has it, without the bit for sense and with GOOD beside it (FreeBSD's storvsc_io_done(),
 * checkSCSIDiskPresent() of MacHyperVSupport); Linux takes it from that as well
 * (storvsc_handle_error()).
 */
static void answer_absent(struct storvsp_request *r, struct scsi_outcome *out)
{
	bool ready = r->packet.srb.cdb[0] == SCSI_TEST_UNIT_READY;

	scsi_fail(out, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_LUN_NOT_SUPPORTED);
	answer_srb(r, STORVSC_SRB_INVALID_LUN, STATUS_DEVICE_DOES_NOT_EXIST, ready ? NULL : out, 0);
}

/* An SRB that no disk ever sees. */
static void refuse(struct storvsp_request *r)
{
	atomic_fetch_add_explicit(&r->channel->refused, 1, memory_order_relaxed);
	answer_srb(r, STORVSC_SRB_INVALID_REQUEST, STATUS_INVALID_DEVICE_REQUEST, NULL, 0);
}

static void finish(struct storvsp_request *r)
{
	struct scsi_outcome failed;
	uint32_t transferred = 0;

	if (r->op.error) {
		if (r->op.lost)
			storvsp_unit_lost(r->channel->controller, r->unit, r->op.error);
		scsi_fail_io(&failed, r->op.lost ? SCSI_DO_FLUSH : r->kind, r->op.error);
		answer_outcome(r, &failed);
		return;
	}
	if (r->kind == SCSI_DO_STOP)
		r->unit->disk.stopped = true;
	if (r->kind == SCSI_DO_READ || r->kind == SCSI_DO_WRITE)
		transferred = (uint32_t)r->op.length;
	answer_srb(r, STORVSC_SRB_SUCCESS, STATUS_SUCCESS, NULL, transferred);
}

void storvsp_operations_done(void *context, struct disk_op *list)
{
	KIRQL irql;

	KeRaiseIrql(DISPATCH_LEVEL, &irql); /* the answers go out as one batch */
	while (list) {
		struct disk_op *op = list;

		list = op->next;
		finish((struct storvsp_request *)op);
	}
	KeLowerIrql(irql);
}

/* ---- what the disk wants done ---- */

static void push(struct storvsp_request *r, enum disk_op_kind kind)
{
	r->op.kind = kind;
	r->op.image = r->medium ? &r->medium->image : &r->unit->medium->image;
	r->op.iovec = request_iovec;
	disk_queue_push(r->channel->queue, &r->op);
}

static void push_transfer(struct storvsp_request *r, const struct scsi_outcome *out)
{
	bool reading = out->kind == SCSI_DO_READ;

	counter_add(reading ? &r->channel->reads : &r->channel->writes, 1);
	counter_add(reading ? &r->channel->read_bytes : &r->channel->written_bytes, out->length);
	r->op.offset = out->offset;
	r->op.length = out->length;
	r->op.durable = out->durable;
	push(r, reading ? DISK_READ : DISK_WRITE);
}

static bool push_discard(struct storvsp_request *r, const struct scsi_outcome *out)
{
	struct disk_extent *extents = calloc(out->extents, sizeof(*extents));
	uint32_t i;

	if (!extents)
		return false;
	for (i = 0; i < out->extents; i++) {
		extents[i].offset = out->extent[i].offset;
		extents[i].length = out->extent[i].length;
	}
	r->owned = extents;
	r->op.extents = extents;
	r->op.extent_count = out->extents;
	push(r, DISK_DISCARD);
	return true;
}

#define FILL_SIZE 65536u

static bool push_fill(struct storvsp_request *r, const struct scsi_outcome *out)
{
	uint32_t block = r->unit->disk.block_size, at;
	uint8_t *fill = aligned_alloc(4096, FILL_SIZE);

	if (!fill)
		return false;
	for (at = 0; at < FILL_SIZE; at += block)
		memcpy(fill + at, out->data, block);
	r->owned = fill;
	r->op.fill = (struct iovec){ fill, FILL_SIZE };
	r->op.offset = out->offset;
	r->op.length = out->length;
	push(r, DISK_FILL);
	return true;
}

static void start_or_stop(struct storvsp_request *r, const struct scsi_outcome *out)
{
	if (out->kind == SCSI_DO_STOP && out->durable) {
		push(r, DISK_FLUSH);
		return;
	}
	r->unit->disk.stopped = out->kind == SCSI_DO_STOP;
	answer_srb(r, STORVSC_SRB_SUCCESS, STATUS_SUCCESS, NULL, 0);
}

static void perform(struct storvsp_request *r, struct scsi_outcome *out)
{
	bool begun = true;

	r->kind = out->kind;
	if (out->kind == SCSI_DO_READ || out->kind == SCSI_DO_WRITE) {
		push_transfer(r, out);
		return;
	}
	counter_add(&r->channel->other, 1);
	switch (out->kind) {
	case SCSI_DO_FLUSH:
		push(r, DISK_FLUSH);
		break;
	case SCSI_DO_START:
	case SCSI_DO_STOP:
		start_or_stop(r, out);
		break;
	case SCSI_DO_DISCARD:
		begun = push_discard(r, out);
		break;
	case SCSI_DO_FILL:
		begun = push_fill(r, out);
		break;
	case SCSI_DO_ZERO:
		r->op.offset = out->offset;
		r->op.length = out->length;
		push(r, DISK_ZERO);
		break;
	default:
		if (out->length)
			copy(r->mdl, out->data, out->length, true);
		answer_outcome(r, out);
		return;
	}
	if (!begun) {
		scsi_fail(out, SCSI_KEY_HARDWARE_ERROR, SCSI_ASC_INTERNAL_FAILURE);
		answer_outcome(r, out);
	}
}

/* ---- what the guest wants ---- */

/* Commands that the target answers, whether there is a disk or not. */
static bool execute_at_target(struct storvsp_request *r, const struct scsi_command *command,
                              struct scsi_outcome *out)
{
	const struct storvsc_srb *srb = &r->packet.srb;
	uint8_t luns[KMCL_SCSI_LUNS];

	if (command->cdb[0] == SCSI_REPORT_LUNS) {
		uint32_t n = storvsp_luns(r->channel->controller, srb->target, luns);

		scsi_report_luns(command, luns, srb->path ? 0 : n, out);
		return true;
	}
	/* Hyper-V answers for absent disks too; Linux takes any answer to INQUIRY for a success,
	 * so it must be one that says there is nothing. */
	if (command->cdb[0] == SCSI_INQUIRY && !r->unit) {
		scsi_inquiry_absent(command, out);
		return true;
	}
	return false;
}

static void execute_at_disk(struct storvsp_request *r, const struct scsi_command *command,
                            struct scsi_outcome *out)
{
	struct scsi_disk *disk = &r->unit->disk;
	uint8_t *list = r->channel->parameters;

	scsi_disk_execute(disk, command, out);
	if (out->kind != SCSI_PARAMETERS)
		return;
	/* Once: what is checked is what is used, whatever the guest does to its memory. */
	copy(r->mdl, list, out->length, false);
	scsi_disk_parameters(disk, command, list, out->length, out);
}

static void execute_at_unit(struct storvsp_request *r, const struct scsi_command *command,
                            struct scsi_outcome *out)
{
	if (r->unit->is_cd)
		storvsp_cd_execute(r->unit, command, out, &r->medium);
	else
		execute_at_disk(r, command, out);
	if (atomic_load_explicit(&r->unit->fault_count, memory_order_relaxed))
		storvsp_unit_fault(r->unit, out);
}

/* What the SRB says of its data, held against the memory that came with it; false: a lie. */
static bool data_of(const struct storvsp_request *r, struct scsi_command *command)
{
	const struct storvsc_srb *srb = &r->packet.srb;
	uint32_t n = srb->transfer_length;

	if (!r->mdl)
		n = 0; /* guests leave the length of an earlier request in it */
	else if (n > mdl_bytes(r->mdl))
		return false;
	command->data_in = srb->data_in != STORVSC_DATA_OUT ? n : 0;
	command->data_out = srb->data_in != STORVSC_DATA_IN ? n : 0;
	return true;
}

/* The guest's memory; STATUS_PENDING: the packet comes again. */
static NTSTATUS take_memory(struct storvsp_request *r, UINT32 flags)
{
	UINT32 access = 0;

	r->mdl = NULL;
	if (!(flags & VMBUS_CHANNEL_PROCESS_PACKET_FLAG_EXTERNAL_DATA))
		return STATUS_SUCCESS;
	if (r->packet.srb.data_in == STORVSC_DATA_OUT)
		access = VMBUS_CHANNEL_PACKET_EXTERNAL_DATA_FLAG_READ_ONLY;
	return VmbChannelPacketGetExternalData(r->completion, access, &r->mdl);
}

void storvsp_execute_srb(struct storvsp_request *r, UINT32 flags)
{
	struct storvsc_srb *srb = &r->packet.srb;
	struct scsi_outcome *out = &r->channel->outcome;
	struct scsi_command command = { 0 };
	NTSTATUS status = take_memory(r, flags);

	if (status == STATUS_PENDING)
		return;
	counter_add(&r->channel->requests, 1);
	r->unit = NULL;
	r->medium = NULL;
	r->owned = NULL;
	if (!NT_SUCCESS(status) || srb->cdb_length == 0 || srb->cdb_length > STORVSC_CDB_SIZE ||
	    srb->data_in > STORVSC_DATA_UNSPECIFIED || !data_of(r, &command)) {
		refuse(r);
		return;
	}
	memcpy(command.cdb, srb->cdb, srb->cdb_length);
	if (!srb->path)
		r->unit = storvsp_unit_get(r->channel->controller, srb->target, srb->lun);
	if (!execute_at_target(r, &command, out)) {
		if (!r->unit) {
			answer_absent(r, out);
			return;
		}
		execute_at_unit(r, &command, out);
	}
	perform(r, out);
}
