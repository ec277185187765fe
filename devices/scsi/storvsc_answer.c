/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi/storvsc_answer.h"
#include "scsi/scsi.h"

#include <stdio.h>
#include <string.h>

static uint8_t srb_status_of(const struct storvsc_io *io)
{
	return io->srb_status & STORVSC_SRB_STATUS_MASK;
}

static enum storvsc_next end(struct storvsc_io *io, NTSTATUS status)
{
	io->status = status;
	return STORVSC_ENDED;
}

static enum storvsc_next repeat(struct storvsc_io *io, NTSTATUS status, enum storvsc_next next)
{
	io->status = status;
	return next;
}

/* ---- sense data ---- */

/* Fixed or descriptor format (SPC-4 4.5); false: there is none that can be read. */
static bool take_sense(struct storvsc_io *io, const struct storvsc_srb *srb)
{
	uint32_t n =
		srb->sense_length < STORVSC_SENSE_SIZE ? srb->sense_length : STORVSC_SENSE_SIZE;
	const uint8_t *sense = srb->sense;

	if (!(srb->srb_status & STORVSC_SRB_AUTOSENSE_VALID) || n < 4)
		return false;
	switch (sense[0] & 0x7f) {
	case 0x70:
	case 0x71:
		io->sense_key = sense[2] & 0x0f;
		io->asc = n >= 14 ? scsi_get16(sense + 12) : 0;
		return true;
	case 0x72:
	case 0x73:
		io->sense_key = sense[1] & 0x0f;
		io->asc = scsi_get16(sense + 2);
		return true;
	default:
		return false;
	}
}

static enum storvsc_next judge_not_ready(struct storvsc_io *io)
{
	return repeat(io, STATUS_DEVICE_NOT_READY,
	              io->asc == SCSI_ASC_BECOMING_READY ? STORVSC_LATER : STORVSC_ENDED);
}

static enum storvsc_next judge_illegal(struct storvsc_io *io)
{
	return end(io, io->asc == SCSI_ASC_LUN_NOT_SUPPORTED ? STATUS_NO_SUCH_DEVICE
	                                                     : STATUS_INVALID_DEVICE_REQUEST);
}

static enum storvsc_next judge_sense(struct storvsc_io *io, uint32_t transferred)
{
	if (io->asc == SCSI_ASC_SPACE_ALLOCATION_FAILED)
		return end(io, STATUS_DISK_FULL);
	switch (io->sense_key) {
	case SCSI_KEY_RECOVERED_ERROR:
		io->transferred = transferred;
		return end(io, STATUS_SUCCESS);
	case SCSI_KEY_NOT_READY:
		return judge_not_ready(io);
	case SCSI_KEY_MEDIUM_ERROR:
	case SCSI_KEY_HARDWARE_ERROR:
		return end(io, STATUS_DEVICE_DATA_ERROR);
	case SCSI_KEY_ILLEGAL_REQUEST:
		return judge_illegal(io);
	case SCSI_KEY_UNIT_ATTENTION:
		return repeat(io, STATUS_VERIFY_REQUIRED, STORVSC_AGAIN);
	case SCSI_KEY_DATA_PROTECT:
		return end(io, STATUS_MEDIA_WRITE_PROTECTED);
	case SCSI_KEY_ABORTED_COMMAND:
		return repeat(io, STATUS_REQUEST_ABORTED, STORVSC_AGAIN);
	default:
		return end(io, STATUS_IO_DEVICE_ERROR);
	}
}

/* ---- the SRB's status ---- */

static bool nobody_there(const struct storvsc_io *io)
{
	switch (srb_status_of(io)) {
	case STORVSC_SRB_INVALID_PATH:
	case STORVSC_SRB_NO_DEVICE:
	case STORVSC_SRB_SELECTION_TIMEOUT:
	case STORVSC_SRB_NO_HBA:
	case STORVSC_SRB_INVALID_LUN:
	case STORVSC_SRB_INVALID_TARGET:
		return true;
	default:
		return false;
	}
}

/* The packet's status repeats in other words what the SRB's says of an overrun. */
static bool packet_allows_overrun(NTSTATUS status)
{
	return status == STATUS_SUCCESS || status == STATUS_BUFFER_OVERFLOW ||
	       status == STATUS_DATA_OVERRUN;
}

/* Where the SCSI status is GOOD. */
static enum storvsc_next judge_srb(struct storvsc_io *io, NTSTATUS packet, uint32_t transferred)
{
	switch (srb_status_of(io)) {
	case STORVSC_SRB_SUCCESS:
		if (packet != STATUS_SUCCESS)
			return end(io, STATUS_IO_DEVICE_ERROR);
		io->transferred = transferred;
		return end(io, STATUS_SUCCESS);
	case STORVSC_SRB_DATA_OVERRUN: /* Hyper-V's word for fewer bytes, too */
		if (!packet_allows_overrun(packet))
			return end(io, STATUS_IO_DEVICE_ERROR);
		io->transferred = transferred;
		return end(io, STATUS_SUCCESS);
	case STORVSC_SRB_BUSY:
		return repeat(io, STATUS_DEVICE_BUSY, STORVSC_LATER);
	case STORVSC_SRB_ABORTED:
	case STORVSC_SRB_BUS_RESET:
	case STORVSC_SRB_REQUEST_FLUSHED:
		return repeat(io, STATUS_REQUEST_ABORTED, STORVSC_AGAIN);
	case STORVSC_SRB_TIMEOUT:
	case STORVSC_SRB_COMMAND_TIMEOUT:
		return end(io, STATUS_IO_TIMEOUT);
	case STORVSC_SRB_INVALID_REQUEST:
	case STORVSC_SRB_BAD_FUNCTION:
		return end(io, STATUS_INVALID_DEVICE_REQUEST);
	default:
		return end(io, STATUS_IO_DEVICE_ERROR);
	}
}

/* ---- all together ---- */

static enum storvsc_next judge(struct storvsc_io *io, const struct storvsc_packet *p)
{
	bool sense = take_sense(io, &p->srb);

	if (nobody_there(io))
		return end(io, STATUS_NO_SUCH_DEVICE);
	switch (io->scsi_status) {
	case SCSI_GOOD:
	case SCSI_CONDITION_MET:
		if (sense && srb_status_of(io) == STORVSC_SRB_ERROR)
			return judge_sense(io, p->srb.transfer_length);
		return judge_srb(io, (NTSTATUS)p->status, p->srb.transfer_length);
	case SCSI_CHECK_CONDITION:
		return sense ? judge_sense(io, p->srb.transfer_length)
		             : end(io, STATUS_IO_DEVICE_ERROR);
	case SCSI_BUSY:
	case SCSI_TASK_SET_FULL:
	case SCSI_ACA_ACTIVE:
		return repeat(io, STATUS_DEVICE_BUSY, STORVSC_LATER);
	case SCSI_RESERVATION_CONFLICT:
		return end(io, STATUS_SHARING_VIOLATION);
	case SCSI_TASK_ABORTED:
		return repeat(io, STATUS_REQUEST_ABORTED, STORVSC_AGAIN);
	default:
		return end(io, STATUS_DEVICE_PROTOCOL_ERROR);
	}
}

enum storvsc_next storvsc_take_answer(struct storvsc_io *io, const void *answer, uint32_t length)
{
	struct storvsc_packet p = { 0 };

	if (length < STORVSC_PACKET_SIZE_OLD)
		return end(io, STATUS_DEVICE_PROTOCOL_ERROR);
	memcpy(&p, answer, length < sizeof(p) ? length : sizeof(p));
	if (p.operation != STORVSC_COMPLETE_IO || p.srb.transfer_length > io->length)
		return end(io, STATUS_DEVICE_PROTOCOL_ERROR);
	io->srb_status = p.srb.srb_status;
	io->scsi_status = p.srb.scsi_status;
	return judge(io, &p);
}

/* ---- in words ---- */

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

void storvsc_describe(const struct storvsc_io *io, char *text, size_t size)
{
	int n = snprintf(text, size, "command 0x%02x of %u:%u: SCSI status %s, SRB status 0x%02x",
	                 io->cdb[0], io->address.target, io->address.lun,
	                 scsi_status_name(io->scsi_status), io->srb_status);

	if ((io->sense_key || io->asc) && n > 0 && (size_t)n < size)
		snprintf(text + n, size - (size_t)n, ", sense %02x/%04x", io->sense_key, io->asc);
}
