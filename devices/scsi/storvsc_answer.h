/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_STORVSC_ANSWER_H
#define DEVICES_SCSI_STORVSC_ANSWER_H

/*
 * What a host's answer to an SRB comes to. It has three statuses, the packet's, the SRB's and the
 * SCSI one, and perhaps sense data; only where none of them tells of a failure has the command
 * succeeded. Pure. Sources: Linux drivers/scsi/storvsc_drv.c and scsi_error.c, Windows's srb.h,
 * SAM-5, SPC-4.
 */

#include "scsi/storvsc.h"
#include "scsi/storvsc_protocol.h"

enum storvsc_next {
	STORVSC_ENDED, /* with io->status */
	STORVSC_AGAIN, /* it was not done, and may be sent again at once */
	STORVSC_LATER, /* likewise, when the unit has had some time */
};

/* Fills in what `io` has from its answer, also where it is to be sent again: should it not be, that
 * is what it ended with. */
enum storvsc_next storvsc_take_answer(struct storvsc_io *io, const void *answer, uint32_t length);

/* "command 0x88 of 0:0: SCSI status CHECK CONDITION, SRB status 0x84, sense 03/1100". */
void storvsc_describe(const struct storvsc_io *io, char *text, size_t size);

#endif
