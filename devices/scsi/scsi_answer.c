/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi/scsi_answer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static_assert(8 + 16 * SCSI_UNMAP_MAX <= SCSI_DATA_MAX, "an UNMAP list fits in the data area");

void scsi_fail(struct scsi_outcome *out, enum scsi_sense_key key, enum scsi_asc asc)
{
	out->kind = SCSI_DONE;
	out->status = SCSI_CHECK_CONDITION;
	out->length = 0;
	out->sense_length = SCSI_SENSE_SIZE;
	memset(out->sense, 0, sizeof(out->sense));
	out->sense[0] = 0x70; /* current, fixed format */
	out->sense[2] = (uint8_t)key;
	out->sense[7] = SCSI_SENSE_SIZE - 8;
	scsi_put16(out->sense + 12, (uint16_t)asc);
}

void scsi_fail_io(struct scsi_outcome *out, enum scsi_outcome_kind kind, int error)
{
	if (kind == SCSI_DO_READ)
		scsi_fail(out, SCSI_KEY_MEDIUM_ERROR, SCSI_ASC_UNRECOVERED_READ_ERROR);
	else if (error == ENOSPC || error == EDQUOT)
		scsi_fail(out, SCSI_KEY_DATA_PROTECT, SCSI_ASC_SPACE_ALLOCATION_FAILED);
	else if (error == EROFS || error == EPERM || error == EBADF)
		scsi_fail(out, SCSI_KEY_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED);
	else if (kind == SCSI_DO_FLUSH || kind == SCSI_DO_STOP)
		/* Linux repeats what ended with MEDIUM ERROR (scsi_check_sense in
		 * drivers/scsi/scsi_error.c), which is of no use here, but not this. */
		scsi_fail(out, SCSI_KEY_HARDWARE_ERROR, SCSI_ASC_INTERNAL_FAILURE);
	else
		scsi_fail(out, SCSI_KEY_MEDIUM_ERROR, SCSI_ASC_WRITE_ERROR);
}

void scsi_illegal(struct scsi_outcome *out, enum scsi_asc asc)
{
	scsi_fail(out, SCSI_KEY_ILLEGAL_REQUEST, asc);
}

void scsi_good(struct scsi_outcome *out)
{
	out->kind = SCSI_DONE;
	out->status = SCSI_GOOD;
	out->length = 0;
	out->sense_length = 0;
}

static uint32_t min32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

void scsi_answer(const struct scsi_command *c, uint32_t n, uint32_t allocation,
                 struct scsi_outcome *out)
{
	scsi_good(out);
	out->length = min32(min32(n, allocation), c->data_in);
}

/* ---- what units say of themselves ---- */

void scsi_put_text(uint8_t *field, size_t size, const char *text)
{
	size_t n = strnlen(text, size);

	memset(field, ' ', size);
	memcpy(field, text, n);
}

void scsi_standard_inquiry(uint8_t *d, uint8_t peripheral, bool removable,
                           const char *const text[3])
{
	memset(d, 0, SCSI_INQUIRY_SIZE);
	d[0] = peripheral;
	d[1] = removable ? 0x80 : 0;
	d[2] = 0x05; /* SPC-3 */
	d[3] = 0x02; /* response data format */
	d[4] = SCSI_INQUIRY_SIZE - 5;
	d[7] = 0x02; /* command queuing */
	scsi_put_text(d + 8, 8, text[0]);
	scsi_put_text(d + 16, 16, text[1]);
	scsi_put_text(d + 32, 4, text[2]);
}

uint32_t scsi_put_designators(uint8_t *d, const char *vendor, const char *serial,
                              const uint8_t id[16])
{
	size_t length = strlen(serial);
	uint8_t *naa;

	d[0] = 0x02; /* ASCII */
	d[1] = 0x01; /* T10 vendor ID, of the logical unit */
	d[3] = (uint8_t)(8 + length);
	scsi_put_text(d + 4, 8, vendor);
	memcpy(d + 12, serial, length);

	naa = d + 12 + length;
	naa[0] = 0x01; /* binary */
	naa[1] = 0x03; /* NAA */
	naa[3] = 16;
	/* IEEE registered extended, 00-22-48: what Hyper-V's disks say. The rest is the id's. */
	naa[4] = 0x60;
	naa[5] = 0x02;
	naa[6] = 0x24;
	naa[7] = 0x80;
	memcpy(naa + 8, id, 6);
	memcpy(naa + 14, id + 10, 6);
	return (uint32_t)(12 + length + 20);
}

void scsi_request_sense(const struct scsi_command *c, enum scsi_sense_key key, enum scsi_asc asc,
                        struct scsi_outcome *out)
{
	bool descriptor = c->cdb[1] & 0x01;
	uint32_t n = descriptor ? 8 : SCSI_SENSE_SIZE;

	memset(out->data, 0, n);
	out->data[0] = descriptor ? 0x72 : 0x70;
	out->data[descriptor ? 1 : 2] = (uint8_t)key;
	scsi_put16(out->data + (descriptor ? 2 : 12), (uint16_t)asc);
	if (!descriptor)
		out->data[7] = SCSI_SENSE_SIZE - 8;
	scsi_answer(c, n, c->cdb[4], out);
}

/* ---- the target ---- */

#define PERIPHERAL_ABSENT 0x7fu /* qualifier 3, type 1Fh: no device can be here */

void scsi_inquiry_absent(const struct scsi_command *c, struct scsi_outcome *out)
{
	if (c->cdb[1] & 0x03 || c->cdb[2]) {
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	scsi_standard_inquiry(out->data, PERIPHERAL_ABSENT, false,
	                      (const char *const[]){ "", "", "" });
	scsi_answer(c, SCSI_INQUIRY_SIZE, scsi_get16(c->cdb + 3), out);
}

void scsi_report_luns(const struct scsi_command *c, const uint8_t *luns, uint32_t count,
                      struct scsi_outcome *out)
{
	uint32_t allocation = scsi_get32(c->cdb + 6), i;
	uint32_t n = min32(count, (SCSI_DATA_MAX - 8) / 8);

	/* Hyper-V's UEFI leaves it 0 and brings memory (mu_msvm, StorChannelInitReportLunsRequest):
	 * its hosts go by that. */
	if (!allocation)
		allocation = c->data_in;
	/* 0: all but well known; 1: well known only, of which there are none; 2: all. */
	if (c->cdb[2] > 2 || allocation < 16) {
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	if (c->cdb[2] == 1)
		n = 0;
	memset(out->data, 0, 8 + 8 * (size_t)n);
	scsi_put32(out->data, 8 * n);
	for (i = 0; i < n; i++)
		out->data[8 + 8 * i + 1] = luns[i]; /* peripheral device addressing, bus 0 */
	scsi_answer(c, 8 + 8 * n, allocation, out);
}
