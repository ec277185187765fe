/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_STORVSC_ANSWER_H
#define DEVICES_SCSI_STORVSC_ANSWER_H

/*
 * What a host's answer to an SRB comes to. It has three statuses, the packet's, the SRB's and the
 * SCSI one, and perhaps sense data; only where none of them tells of a failure has the command
 * succeeded. Pure and freestanding. Sources: Linux drivers/scsi/storvsc_drv.c and scsi_error.c,
 * Windows's srb.h, SAM-5, SPC-4.
 */

#include "scsi/storvsc_protocol.h"
#include "scsi/storvsc_request.h"

enum storvsc_next {
	STORVSC_ENDED, /* with request->result */
	STORVSC_AGAIN, /* it was not done, and may be sent again at once */
	STORVSC_LATER, /* likewise, when the unit has had some time */
};

/* Fills in what `request` has from its answer, also where it is to be sent again: should it not be,
 * that is what it ended with. */
enum storvsc_next storvsc_take_answer(struct storvsc_request *request, const void *answer,
                                      uint32_t length);

#endif
