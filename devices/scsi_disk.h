/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_DISK_H
#define DEVICES_SCSI_DISK_H

/*
 * A SCSI disk without the disk: a command goes in; out comes what to answer, or what is to be done
 * to the image before the answer. Pure: no I/O, no state, no allocation. Everything in a command is
 * the guest's word and is checked here.
 */

#include "scsi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the disk is. Strings are ASCII, padded and cut to their fields. */
struct scsi_disk {
	uint64_t blocks;              /* logical ones, at least 1 */
	uint32_t block_size;          /* logical: 512 or 4096 */
	uint32_t physical_block_size; /* a power of two times block_size */
	uint32_t max_transfer;        /* bytes of one READ or WRITE */
	bool read_only;
	bool thin;      /* can discard, and discarded blocks read as zeroes */
	uint8_t id[16]; /* unique: goes into the device identification page */
	char vendor[9], product[17], revision[5];
	char serial[37];
};

/* vendor, product and revision as Hyper-V's disks have them. */
#define SCSI_DISK_VENDOR   "Msft"
#define SCSI_DISK_PRODUCT  "Virtual Disk"
#define SCSI_DISK_REVISION "1.0"

struct scsi_command {
	uint8_t cdb[SCSI_CDB_MAX];
	uint32_t data_in;  /* bytes the initiator will take */
	uint32_t data_out; /* bytes the initiator offers */
};

enum scsi_outcome_kind {
	SCSI_DONE,       /* answer with status, and data or sense */
	SCSI_PARAMETERS, /* hand `length` bytes of the data-out to scsi_disk_parameters() */
	SCSI_DO_READ,    /* `length` bytes at `offset` to the initiator */
	SCSI_DO_WRITE,   /* the other way; durable: done when on stable storage */
	SCSI_DO_FLUSH,   /* all completed writes to stable storage */
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
	uint32_t length; /* SCSI_DONE: bytes in data[] to send; else see the kind */
	uint64_t offset; /* bytes */
	bool durable;
	uint32_t extents;     /* SCSI_DO_DISCARD: entries in extent[] */
	uint8_t sense_length; /* 0: none */
	uint8_t sense[SCSI_SENSE_SIZE];
	union {
		uint8_t data[SCSI_DATA_MAX];
		struct scsi_extent extent[SCSI_UNMAP_MAX];
	};
};

/* Reads a command for this disk. Only the fields that the kind calls for are set. */
void scsi_disk_execute(const struct scsi_disk *disk, const struct scsi_command *command,
                       struct scsi_outcome *out);
/* After SCSI_PARAMETERS: `list` is this side's own copy of the `n` bytes asked for. */
void scsi_disk_parameters(const struct scsi_disk *disk, const struct scsi_command *command,
                          const uint8_t *list, uint32_t n, struct scsi_outcome *out);

/* Answers for the target, not one disk: which LUNs there are (ascending), and INQUIRY of none. */
void scsi_report_luns(const struct scsi_command *command, const uint8_t *luns, uint32_t count,
                      struct scsi_outcome *out);
void scsi_inquiry_absent(const struct scsi_command *command, struct scsi_outcome *out);

/* CHECK CONDITION with that sense. */
void scsi_fail(struct scsi_outcome *out, enum scsi_sense_key key, enum scsi_asc asc);
/* The sense for an operation that the image failed with `error` (an errno). */
void scsi_fail_io(struct scsi_outcome *out, enum scsi_outcome_kind kind, int error);

#endif
