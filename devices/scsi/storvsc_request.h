/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_STORVSC_REQUEST_H
#define DEVICES_SCSI_STORVSC_REQUEST_H

/*
 * One SCSI command for a synthetic controller: what is asked for, and what came of it. Pure and
 * freestanding, as all of the driver's half: see storvsc_machine.h.
 */

#include "common/bare.h"

struct storvsc_address {
	uint8_t target, lun;
};

enum storvsc_direction { STORVSC_NO_DATA, STORVSC_FROM_DISK, STORVSC_TO_DISK };

enum storvsc_result {
	STORVSC_RESULT_DONE,
	STORVSC_RESULT_BAD_REQUEST,     /* more bytes than the controller takes, no such CDB */
	STORVSC_RESULT_NOT_SENT,        /* storvsc_machine_not_sent() */
	STORVSC_RESULT_REMOVED,         /* the channel closed */
	STORVSC_RESULT_NONSENSE,        /* an answer that is none */
	STORVSC_RESULT_FAILED,          /* and why was not said */
	STORVSC_RESULT_REFUSED,         /* no such command, no such field */
	STORVSC_RESULT_NO_DEVICE,       /* nobody is at that address */
	STORVSC_RESULT_NOT_READY,       /* no medium, or stopped */
	STORVSC_RESULT_DATA_ERROR,      /* the medium, or what is under it */
	STORVSC_RESULT_WRITE_PROTECTED, /* it can only be read */
	STORVSC_RESULT_FULL,            /* a thin disk that cannot grow */
	STORVSC_RESULT_RESERVED,        /* for somebody else */
	STORVSC_RESULT_TIMEOUT,         /* so the host says */
	STORVSC_RESULT_BUSY,            /* again and again, as the next two */
	STORVSC_RESULT_ABORTED,
	STORVSC_RESULT_ATTENTION,
	STORVSC_RESULT_NO_VERSION, /* of a negotiation */
	STORVSC_RESULTS,
};

/* The caller's memory until it came back from storvsc_machine_ended(). */
struct storvsc_request {
	struct storvsc_address address;
	uint8_t cdb_length;
	bool once; /* not sent again, whatever the unit has to say */
	uint8_t cdb[16];
	enum storvsc_direction direction;
	uint32_t length; /* of the memory that goes along; the caller says with its packet which */

	enum storvsc_result result;
	uint32_t transferred; /* bytes, at most `length` */
	uint8_t scsi_status, srb_status, sense_key;
	uint16_t asc; /* additional sense: code in the high byte, qualifier in the low one */

	struct storvsc_request *next; /* in what storvsc_machine_ended() returns; else private */
	uint8_t repeats;              /* private */
};

/* A disk as storvsc_exam_*() find it. */
struct storvsc_disk {
	struct storvsc_address address;
	uint64_t size; /* bytes */
	uint32_t block_size, physical_block_size;
	uint8_t block_shift; /* block_size is 1 << block_shift */
	bool old;            /* takes 10-byte commands alone */
	bool read_only, discards;
	char vendor[9], product[17], revision[5], serial[65];
};

/* Are these whole blocks inside the disk? */
bool storvsc_disk_has(const struct storvsc_disk *disk, uint64_t at, uint64_t length);

/* Fill in address, CDB, direction and length, for bytes `at` to `at + length`: whole blocks. */
void storvsc_request_read(struct storvsc_request *request, const struct storvsc_disk *disk,
                          uint64_t at, uint32_t length);
void storvsc_request_write(struct storvsc_request *request, const struct storvsc_disk *disk,
                           uint64_t at, uint32_t length);
void storvsc_request_flush(struct storvsc_request *request, const struct storvsc_disk *disk);

#define STORVSC_DISCARD_BYTES 24u

/* The request's memory is `list`. Returns how many bytes of them it discards: the rest is for
 * another. */
uint64_t storvsc_request_discard(struct storvsc_request *request, const struct storvsc_disk *disk,
                                 uint64_t at, uint64_t length, uint8_t list[STORVSC_DISCARD_BYTES]);

#endif
