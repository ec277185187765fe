/* SPDX-License-Identifier: BSD-2-Clause */
#include "odd_answers.h"

#include "odd_host.h"
#include "scsi/scsi.h"

#include <string.h>

void odd_check_condition(struct storvsc_packet *a)
{
	odd_host_fail(a, SCSI_KEY_MEDIUM_ERROR, SCSI_ASC_UNRECOVERED_READ_ERROR);
	a->srb.srb_status = STORVSC_SRB_SUCCESS | STORVSC_SRB_AUTOSENSE_VALID;
}

static void odd_check_without_sense(struct storvsc_packet *a)
{
	a->srb.scsi_status = SCSI_CHECK_CONDITION;
}

void odd_reservation_conflict(struct storvsc_packet *a)
{
	a->srb.scsi_status = SCSI_RESERVATION_CONFLICT;
}

void odd_task_aborted(struct storvsc_packet *a)
{
	a->srb.scsi_status = SCSI_TASK_ABORTED;
}

static void odd_unknown_status(struct storvsc_packet *a)
{
	a->srb.scsi_status = 0x7f;
}

static void odd_packet_failed(struct storvsc_packet *a)
{
	a->status = (uint32_t)STATUS_IO_DEVICE_ERROR;
}

static void odd_packet_pending(struct storvsc_packet *a)
{
	a->status = 0x103;
}

static void odd_srb_error(struct storvsc_packet *a)
{
	a->srb.srb_status = STORVSC_SRB_ERROR;
}

static void odd_srb_pending(struct storvsc_packet *a)
{
	a->srb.srb_status = STORVSC_SRB_PENDING;
}

static void odd_srb_timeout(struct storvsc_packet *a)
{
	a->srb.srb_status = STORVSC_SRB_TIMEOUT;
}

void odd_srb_aborted(struct storvsc_packet *a)
{
	a->srb.srb_status = STORVSC_SRB_ABORTED;
}

static void odd_srb_no_device(struct storvsc_packet *a)
{
	a->srb.srb_status = STORVSC_SRB_NO_DEVICE;
}

static void odd_descriptor_sense(struct storvsc_packet *a)
{
	static const uint8_t sense[8] = { 0x72, SCSI_KEY_DATA_PROTECT, 0x27, 0x00 };

	odd_host_fail(a, 0, 0);
	memcpy(a->srb.sense, sense, sizeof(sense));
	a->srb.sense_length = sizeof(sense);
}

void odd_attention(struct storvsc_packet *a)
{
	odd_host_fail(a, SCSI_KEY_UNIT_ATTENTION, 0x3f02);
}

void odd_no_data(struct storvsc_packet *a)
{
	a->srb.transfer_length = 0;
}

const struct odd_answer odd_answers[ODD_ANSWERS] = {
	{ odd_check_condition, STATUS_DEVICE_DATA_ERROR },
	{ odd_check_without_sense, STATUS_IO_DEVICE_ERROR },
	{ odd_reservation_conflict, STATUS_SHARING_VIOLATION },
	{ odd_task_aborted, STATUS_REQUEST_ABORTED },
	{ odd_unknown_status, STATUS_DEVICE_PROTOCOL_ERROR },
	{ odd_packet_failed, STATUS_IO_DEVICE_ERROR },
	{ odd_packet_pending, STATUS_IO_DEVICE_ERROR },
	{ odd_srb_error, STATUS_IO_DEVICE_ERROR },
	{ odd_srb_pending, STATUS_IO_DEVICE_ERROR },
	{ odd_srb_timeout, STATUS_IO_TIMEOUT },
	{ odd_srb_aborted, STATUS_REQUEST_ABORTED },
	{ odd_srb_no_device, STATUS_NO_SUCH_DEVICE },
	{ odd_descriptor_sense, STATUS_MEDIA_WRITE_PROTECTED },
	{ odd_attention, STATUS_VERIFY_REQUIRED },
};
