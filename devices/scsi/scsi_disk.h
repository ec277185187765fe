/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_SCSI_DISK_H
#define DEVICES_SCSI_SCSI_DISK_H

/*
 * A SCSI disk without the disk: a command goes in; out comes what to answer, or what is to be done
 * to the image before the answer. Pure: no I/O, no allocation, and no state but what the caller
 * keeps, which several threads may use at a time. Everything in a command is the guest's word and
 * is checked here.
 */

#include "scsi/scsi_answer.h"

#include <stdatomic.h>

/* What the disk is. Strings are ASCII, padded and cut to their fields. */
struct scsi_disk {
	_Atomic uint64_t blocks;      /* logical ones, at least 1; it may grow at any time */
	uint32_t block_size;          /* logical: 512 or 4096 */
	uint32_t physical_block_size; /* a power of two times block_size */
	uint32_t max_transfer;        /* bytes of one READ or WRITE */
	bool read_only;
	bool thin;            /* can discard, and discarded blocks read as zeroes */
	_Atomic bool stopped; /* by START STOP UNIT */
	_Atomic bool grown;   /* and the initiator was not told yet: UNIT ATTENTION */
	uint8_t id[16];       /* unique: goes into the device identification page */
	char vendor[9], product[17], revision[5];
	char serial[37];
};

/* vendor, product and revision as Hyper-V's disks have them. */
#define SCSI_DISK_VENDOR   "Msft"
#define SCSI_DISK_PRODUCT  "Virtual Disk"
#define SCSI_DISK_REVISION "1.0"

/* It has that many blocks from now on, more than before; the next command hears of it. */
void scsi_disk_grow(struct scsi_disk *disk, uint64_t blocks);
/* Reads a command for this disk. Only the fields that the kind calls for are set. */
void scsi_disk_execute(struct scsi_disk *disk, const struct scsi_command *command,
                       struct scsi_outcome *out);
/* After SCSI_PARAMETERS: `list` is this side's own copy of the `n` bytes asked for. */
void scsi_disk_parameters(const struct scsi_disk *disk, const struct scsi_command *command,
                          const uint8_t *list, uint32_t n, struct scsi_outcome *out);

#endif
