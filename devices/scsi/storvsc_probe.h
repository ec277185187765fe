/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_STORVSC_PROBE_H
#define DEVICES_SCSI_STORVSC_PROBE_H

/*
 * What units a controller has, and what each of them is, as sequences of requests: while ..._next()
 * makes one, it is executed on the caller's buffer and its outcome given to ..._take(). Pure and
 * freestanding. The buffer may be the host's to write all the time: what is in it is copied once,
 * and checked.
 */

#include "scsi/storvsc_request.h"

#define STORVSC_TARGETS 2u /* that are looked at; Hyper-V's controllers have units at the first */

/* ---- which units there are ---- */

#define STORVSC_SEARCH_BYTES 4096u /* of the buffer: 511 units of a target */

struct storvsc_search {
	const uint8_t *data;
	struct storvsc_address *list;
	uint32_t capacity;
	uint32_t count; /* that there are, also past `capacity` */
	enum storvsc_result result;
	uint8_t target;
	bool over;
};

void storvsc_search_begin(struct storvsc_search *search, const uint8_t data[STORVSC_SEARCH_BYTES],
                          struct storvsc_address *list, uint32_t capacity);
/* false: it is over, with `result`. */
bool storvsc_search_next(struct storvsc_search *search, struct storvsc_request *request);
void storvsc_search_take(struct storvsc_search *search, const struct storvsc_request *request);

/* ---- what one is ---- */

#define STORVSC_EXAM_BYTES 64u

enum storvsc_exam_step {
	STORVSC_EXAM_INQUIRY,
	STORVSC_EXAM_SERIAL,
	STORVSC_EXAM_CAPACITY,
	STORVSC_EXAM_CAPACITY_OLD, /* of a unit that does not know the other */
	STORVSC_EXAM_PROTECTION,
	STORVSC_EXAM_OVER,
};

struct storvsc_exam {
	struct storvsc_disk *disk;
	uint8_t *data;
	uint8_t copy[STORVSC_EXAM_BYTES];
	enum storvsc_result result;
	enum storvsc_exam_step step;
};

/* STORVSC_RESULT_NO_DEVICE: there is no disk at that address. */
void storvsc_exam_begin(struct storvsc_exam *exam, uint8_t data[STORVSC_EXAM_BYTES],
                        struct storvsc_address address, struct storvsc_disk *disk);
bool storvsc_exam_next(struct storvsc_exam *exam, struct storvsc_request *request);
void storvsc_exam_take(struct storvsc_exam *exam, const struct storvsc_request *request);

#endif
