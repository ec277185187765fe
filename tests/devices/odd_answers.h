/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_DEVICES_ODD_ANSWERS_H
#define TESTS_DEVICES_ODD_ANSWERS_H

/* SCSI answers that are no success, whatever else they say; for each of our drivers. */

#include "scsi/storvsc_protocol.h"

#include <kmcl/kmcl.h>

struct odd_answer {
	void (*make)(struct storvsc_packet *answer); /* of one that is a success */
	NTSTATUS status;                             /* what it comes to */
};

#define ODD_ANSWERS 14u
extern const struct odd_answer odd_answers[ODD_ANSWERS];

/* Some of them; the last says that nothing was moved. */
void odd_check_condition(struct storvsc_packet *answer);
void odd_reservation_conflict(struct storvsc_packet *answer);
void odd_attention(struct storvsc_packet *answer);
void odd_srb_aborted(struct storvsc_packet *answer);
void odd_task_aborted(struct storvsc_packet *answer);
void odd_no_data(struct storvsc_packet *answer);

#endif
