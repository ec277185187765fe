/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi/storvsc_answer.h"
#include "scsi/scsi.h"

static uint8_t storvsc_srb_status_of(const struct storvsc_request *r)
{
	return r->srb_status & STORVSC_SRB_STATUS_MASK;
}

static enum storvsc_next storvsc_end(struct storvsc_request *r, enum storvsc_result result)
{
	r->result = result;
	return STORVSC_ENDED;
}

static enum storvsc_next storvsc_repeat(struct storvsc_request *r, enum storvsc_result result,
                                        enum storvsc_next next)
{
	r->result = result;
	return next;
}

/* ---- sense data ---- */

/* Fixed or descriptor format (SPC-4 4.5); false: there is none that can be read. */
static bool storvsc_take_sense(struct storvsc_request *r, const struct storvsc_srb *srb)
{
	uint32_t n =
		srb->sense_length < STORVSC_SENSE_SIZE ? srb->sense_length : STORVSC_SENSE_SIZE;
	const uint8_t *sense = srb->sense;

	if (!(srb->srb_status & STORVSC_SRB_AUTOSENSE_VALID) || n < 4)
		return false;
	switch (sense[0] & 0x7f) {
	case 0x70:
	case 0x71:
		r->sense_key = sense[2] & 0x0f;
		r->asc = n >= 14 ? scsi_get16(sense + 12) : 0;
		return true;
	case 0x72:
	case 0x73:
		r->sense_key = sense[1] & 0x0f;
		r->asc = scsi_get16(sense + 2);
		return true;
	default:
		return false;
	}
}

static enum storvsc_next storvsc_judge_not_ready(struct storvsc_request *r)
{
	return storvsc_repeat(r, STORVSC_RESULT_NOT_READY,
	                      r->asc == SCSI_ASC_BECOMING_READY ? STORVSC_LATER : STORVSC_ENDED);
}

static enum storvsc_next storvsc_judge_illegal(struct storvsc_request *r)
{
	return storvsc_end(r, r->asc == SCSI_ASC_LUN_NOT_SUPPORTED ? STORVSC_RESULT_NO_DEVICE
	                                                           : STORVSC_RESULT_REFUSED);
}

static enum storvsc_next storvsc_judge_sense(struct storvsc_request *r, uint32_t transferred)
{
	if (r->asc == SCSI_ASC_SPACE_ALLOCATION_FAILED)
		return storvsc_end(r, STORVSC_RESULT_FULL);
	switch (r->sense_key) {
	case SCSI_KEY_RECOVERED_ERROR:
		r->transferred = transferred;
		return storvsc_end(r, STORVSC_RESULT_DONE);
	case SCSI_KEY_NOT_READY:
		return storvsc_judge_not_ready(r);
	case SCSI_KEY_MEDIUM_ERROR:
	case SCSI_KEY_HARDWARE_ERROR:
		return storvsc_end(r, STORVSC_RESULT_DATA_ERROR);
	case SCSI_KEY_ILLEGAL_REQUEST:
		return storvsc_judge_illegal(r);
	case SCSI_KEY_UNIT_ATTENTION:
		return storvsc_repeat(r, STORVSC_RESULT_ATTENTION, STORVSC_AGAIN);
	case SCSI_KEY_DATA_PROTECT:
		return storvsc_end(r, STORVSC_RESULT_WRITE_PROTECTED);
	case SCSI_KEY_ABORTED_COMMAND:
		return storvsc_repeat(r, STORVSC_RESULT_ABORTED, STORVSC_AGAIN);
	default:
		return storvsc_end(r, STORVSC_RESULT_FAILED);
	}
}

/* ---- the SRB's status ---- */

static bool storvsc_nobody_there(const struct storvsc_request *r)
{
	switch (storvsc_srb_status_of(r)) {
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
static bool storvsc_allows_overrun(uint32_t status)
{
	return status == STORVSC_STATUS_SUCCESS || status == STORVSC_STATUS_BUFFER_OVERFLOW ||
	       status == STORVSC_STATUS_DATA_OVERRUN;
}

/* Where the SCSI status is GOOD. */
static enum storvsc_next storvsc_judge_srb(struct storvsc_request *r, uint32_t packet,
                                           uint32_t transferred)
{
	switch (storvsc_srb_status_of(r)) {
	case STORVSC_SRB_SUCCESS:
		if (packet != STORVSC_STATUS_SUCCESS)
			return storvsc_end(r, STORVSC_RESULT_FAILED);
		r->transferred = transferred;
		return storvsc_end(r, STORVSC_RESULT_DONE);
	case STORVSC_SRB_DATA_OVERRUN: /* Hyper-V's word for fewer bytes, too */
		if (!storvsc_allows_overrun(packet))
			return storvsc_end(r, STORVSC_RESULT_FAILED);
		r->transferred = transferred;
		return storvsc_end(r, STORVSC_RESULT_DONE);
	case STORVSC_SRB_BUSY:
		return storvsc_repeat(r, STORVSC_RESULT_BUSY, STORVSC_LATER);
	case STORVSC_SRB_ABORTED:
	case STORVSC_SRB_BUS_RESET:
	case STORVSC_SRB_REQUEST_FLUSHED:
		return storvsc_repeat(r, STORVSC_RESULT_ABORTED, STORVSC_AGAIN);
	case STORVSC_SRB_TIMEOUT:
	case STORVSC_SRB_COMMAND_TIMEOUT:
		return storvsc_end(r, STORVSC_RESULT_TIMEOUT);
	case STORVSC_SRB_INVALID_REQUEST:
	case STORVSC_SRB_BAD_FUNCTION:
		return storvsc_end(r, STORVSC_RESULT_REFUSED);
	default:
		return storvsc_end(r, STORVSC_RESULT_FAILED);
	}
}

/* ---- all together ---- */

static enum storvsc_next storvsc_judge(struct storvsc_request *r, const struct storvsc_packet *p)
{
	bool sense = storvsc_take_sense(r, &p->srb);

	if (storvsc_nobody_there(r))
		return storvsc_end(r, STORVSC_RESULT_NO_DEVICE);
	switch (r->scsi_status) {
	case SCSI_GOOD:
	case SCSI_CONDITION_MET:
		if (sense && storvsc_srb_status_of(r) == STORVSC_SRB_ERROR)
			return storvsc_judge_sense(r, p->srb.transfer_length);
		return storvsc_judge_srb(r, p->status, p->srb.transfer_length);
	case SCSI_CHECK_CONDITION:
		return sense ? storvsc_judge_sense(r, p->srb.transfer_length)
		             : storvsc_end(r, STORVSC_RESULT_FAILED);
	case SCSI_BUSY:
	case SCSI_TASK_SET_FULL:
	case SCSI_ACA_ACTIVE:
		return storvsc_repeat(r, STORVSC_RESULT_BUSY, STORVSC_LATER);
	case SCSI_RESERVATION_CONFLICT:
		return storvsc_end(r, STORVSC_RESULT_RESERVED);
	case SCSI_TASK_ABORTED:
		return storvsc_repeat(r, STORVSC_RESULT_ABORTED, STORVSC_AGAIN);
	default:
		return storvsc_end(r, STORVSC_RESULT_NONSENSE);
	}
}

enum storvsc_next storvsc_take_answer(struct storvsc_request *r, const void *answer,
                                      uint32_t length)
{
	struct storvsc_packet p;

	if (length < STORVSC_PACKET_SIZE_OLD)
		return storvsc_end(r, STORVSC_RESULT_NONSENSE);
	__builtin_memset(&p, 0, sizeof(p));
	__builtin_memcpy(&p, answer, length < sizeof(p) ? length : sizeof(p));
	if (p.operation != STORVSC_COMPLETE_IO || p.srb.transfer_length > r->length)
		return storvsc_end(r, STORVSC_RESULT_NONSENSE);
	r->srb_status = p.srb.srb_status;
	r->scsi_status = p.srb.scsi_status;
	return storvsc_judge(r, &p);
}
