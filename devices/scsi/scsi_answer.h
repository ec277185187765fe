/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_SCSI_ANSWER_H
#define DEVICES_SCSI_SCSI_ANSWER_H

/*
 * A command and what comes of it: what units of each type share. Pure: no I/O, no allocation.
 */

#include "scsi/scsi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scsi_command {
	uint8_t cdb[SCSI_CDB_MAX];
	uint32_t data_in;  /* bytes the initiator will take */
	uint32_t data_out; /* bytes the initiator offers */
};

enum scsi_outcome_kind {
	SCSI_DONE,       /* answer with status, and data or sense */
	SCSI_PARAMETERS, /* hand `length` bytes of the data-out to the unit */
	SCSI_DO_READ,    /* `length` bytes at `offset` to the initiator */
	SCSI_DO_WRITE,   /* the other way; durable: done when on stable storage */
	SCSI_DO_FLUSH,   /* all completed writes to stable storage */
	SCSI_DO_STOP,    /* likewise, if `durable`; then the unit has stopped */
	SCSI_DO_START,
	SCSI_DO_DISCARD, /* each of the extents */
	SCSI_DO_ZERO,    /* `length` bytes at `offset` */
	SCSI_DO_FILL,    /* likewise, with the block in data[] repeated */
};

#define SCSI_DATA_MAX       4096u
#define SCSI_UNMAP_MAX      255u /* descriptors in an UNMAP list: they fit in SCSI_DATA_MAX */
#define SCSI_WRITE_SAME_MAX (64u << 20) /* bytes */

struct scsi_extent {
	uint64_t offset, length; /* bytes */
};

struct scsi_outcome {
	enum scsi_outcome_kind kind;
	enum scsi_status status;
	uint32_t length;      /* SCSI_DONE: bytes in data[] to send; else see the kind */
	uint64_t offset;      /* bytes */
	bool durable;         /* see the kind */
	uint32_t extents;     /* SCSI_DO_DISCARD: entries in extent[] */
	uint8_t sense_length; /* 0: none */
	uint8_t sense[SCSI_SENSE_SIZE];
	union {
		uint8_t data[SCSI_DATA_MAX];
		struct scsi_extent extent[SCSI_UNMAP_MAX];
	};
};

/* CHECK CONDITION with that sense. */
void scsi_fail(struct scsi_outcome *out, enum scsi_sense_key key, enum scsi_asc asc);
/* The sense for an operation that the image failed with `error` (an errno). For a write to stable
 * storage that is not to be had any more, whatever the kind, it is SCSI_DO_FLUSH's. */
void scsi_fail_io(struct scsi_outcome *out, enum scsi_outcome_kind kind, int error);
void scsi_illegal(struct scsi_outcome *out, enum scsi_asc asc);
/* GOOD, without data. */
void scsi_good(struct scsi_outcome *out);
/* GOOD, with the `n` bytes in out->data: cut to what the command allows and the initiator takes. */
void scsi_answer(const struct scsi_command *c, uint32_t n, uint32_t allocation,
                 struct scsi_outcome *out);

/* ---- what units say of themselves ---- */

/* The length of a standard INQUIRY of Hyper-V's disks (OpenVMM scsidisk/inquiry.rs). */
#define SCSI_INQUIRY_SIZE 104u

/* Writes a standard INQUIRY to `d`. `text`: vendor, product and revision. */
void scsi_standard_inquiry(uint8_t *d, uint8_t peripheral, bool removable,
                           const char *const text[3]);
/* ASCII into a field padded with blanks. */
void scsi_put_text(uint8_t *field, size_t size, const char *text);
/* The designators of page 83h: the vendor's with the serial number, and an NAA one made of the
 * unique id. Returns their length. */
uint32_t scsi_put_designators(uint8_t *d, const char *vendor, const char *serial,
                              const uint8_t id[16]);
/* What there is to tell, as the data of the answer. */
void scsi_request_sense(const struct scsi_command *c, enum scsi_sense_key key, enum scsi_asc asc,
                        struct scsi_outcome *out);

/* Answers for the target, not one disk: which LUNs there are (ascending), and INQUIRY of none. */
void scsi_report_luns(const struct scsi_command *command, const uint8_t *luns, uint32_t count,
                      struct scsi_outcome *out);
void scsi_inquiry_absent(const struct scsi_command *command, struct scsi_outcome *out);

#endif
