/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_STORVSC_H
#define DEVICES_SCSI_STORVSC_H

/*
 * The driver of a synthetic SCSI controller, guest side, with a small block API on top: KMCL around
 * storvsc_machine.h.
 *
 * Functions are P (PASSIVE_LEVEL) unless a comment says otherwise. Memory for data comes from the
 * pool; it is read and written by the host in place.
 */

#include "scsi/storvsc_request.h"

#include <kmcl/kmcl.h>

#define STORVSC_INSTANCE_ANY NULL

struct storvsc;

struct storvsc_options {
	LPCGUID instance;     /* NULL: the first controller that nobody else has */
	uint32_t queue_depth; /* requests at the host at a time; 0: 64; more wait here */
	uint32_t timeout_ms;  /* for the offer and the negotiation; 0: 5000 */
	uint16_t version_max; /* the newest protocol version asked for; 0: the latest */
	/* Disks came or went. D. May be NULL. */
	void (*bus_changed)(void *context);
	void *context;
};

/* STATUS_IO_TIMEOUT: no such controller, or no answer; STATUS_REVISION_MISMATCH: no version in
 * common; STATUS_INSUFFICIENT_RESOURCES; or what the host answered. `options` may be NULL. */
NTSTATUS storvsc_open(PDEVICE_OBJECT bus, const struct storvsc_options *options,
                      struct storvsc **controller);
/* No request is outstanding or submitted any more. */
void storvsc_close(struct storvsc *controller);

uint16_t storvsc_version(struct storvsc *controller);
uint32_t storvsc_max_transfer(struct storvsc *controller); /* bytes of one request */
VMBCHANNEL storvsc_channel(struct storvsc *controller);

/* Fills up to `capacity` entries; *count: how many there are. */
NTSTATUS storvsc_list(struct storvsc *controller, struct storvsc_address *list, uint32_t capacity,
                      uint32_t *count);

/* STATUS_NO_SUCH_DEVICE: there is none at that address. */
NTSTATUS storvsc_identify(struct storvsc *controller, struct storvsc_address address,
                          struct storvsc_disk *disk);

/* ---- requests ---- */

/* One SCSI command: the caller's memory until `done` ran. */
struct storvsc_io {
	struct storvsc_address address;
	uint8_t cdb[16];
	uint8_t cdb_length;
	enum storvsc_direction direction;
	PMDL mdl; /* `length` bytes from `offset` on of what it describes */
	uint32_t offset, length;
	bool once; /* not sent again, whatever the unit has to say */
	/* D. May submit again, this one or others. */
	void (*done)(struct storvsc_io *io);
	void *context;

	NTSTATUS status;      /* as the block API's functions return it */
	uint32_t transferred; /* bytes */
	uint8_t scsi_status, srb_status;
	uint8_t sense_key;
	uint16_t asc; /* additional sense: code in the high byte, qualifier in the low one */

	struct storvsc_request request; /* private */
};

/* Fill in CDB, direction and length for bytes `at` to `at + length`, whole blocks. Any IRQL. */
void storvsc_prepare_read(struct storvsc_io *io, const struct storvsc_disk *disk, uint64_t at,
                          uint32_t length);
void storvsc_prepare_write(struct storvsc_io *io, const struct storvsc_disk *disk, uint64_t at,
                           uint32_t length);
void storvsc_prepare_flush(struct storvsc_io *io, const struct storvsc_disk *disk);

/* D. `done` always runs, perhaps before this returns. What the unit did not do, as it was busy, or
 * had something else to say first (UNIT ATTENTION), is sent again a few times, for some seconds. */
void storvsc_submit(struct storvsc *controller, struct storvsc_io *io);

/*
 * The same with waiting. `buffer` is from the pool; ranges are whole blocks inside the disk, else
 * STATUS_INVALID_PARAMETER. STATUS_MEDIA_WRITE_PROTECTED, STATUS_DISK_FULL;
 * STATUS_DEVICE_DATA_ERROR: the image could not be read or written; STATUS_NO_SUCH_DEVICE;
 * STATUS_DEVICE_NOT_READY; STATUS_DEVICE_BUSY, STATUS_REQUEST_ABORTED, STATUS_VERIFY_REQUIRED (UNIT
 * ATTENTION): again and again; STATUS_SHARING_VIOLATION: reserved for somebody else;
 * STATUS_IO_TIMEOUT: so the host says; STATUS_DEVICE_REMOVED: the channel closed;
 * STATUS_INVALID_DEVICE_REQUEST: refused; STATUS_IO_DEVICE_ERROR: failed, and why was not said;
 * STATUS_DEVICE_PROTOCOL_ERROR: an answer that makes no sense; STATUS_INSUFFICIENT_RESOURCES.
 */
NTSTATUS storvsc_execute(struct storvsc *controller, struct storvsc_io *io);
NTSTATUS storvsc_read(struct storvsc *controller, const struct storvsc_disk *disk, uint64_t at,
                      void *buffer, uint32_t length);
NTSTATUS storvsc_write(struct storvsc *controller, const struct storvsc_disk *disk, uint64_t at,
                       const void *buffer, uint32_t length);
NTSTATUS storvsc_flush(struct storvsc *controller, const struct storvsc_disk *disk);
NTSTATUS storvsc_discard(struct storvsc *controller, const struct storvsc_disk *disk, uint64_t at,
                         uint64_t length);

/* What the host last answered to a request that ended with that status, for people; "": nothing
 * did.
 */
void storvsc_failure(struct storvsc *controller, NTSTATUS status, char *text, size_t size);

#endif
