/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_STORVSP_H
#define DEVICES_SCSI_STORVSP_H

/*
 * A synthetic SCSI controller, host side: what Hyper-V offers its guests and Linux's hv_storvsc and
 * Windows's storvsc drive. Disks and discs are raw images; their data goes straight between the
 * image and the guest's pages.
 *
 * All functions are P (PASSIVE_LEVEL) and may be called from any thread.
 */

#include <kmcl/kmcl.h>

#define STORVSP_TARGETS      2u  /* a Linux guest looks at no more */
#define STORVSP_LUNS         64u /* of each */
#define STORVSP_SUBCHANNELS  16u
#define STORVSP_MAX_TRANSFER (4u << 20)

struct storvsp;

struct storvsp_options {
	GUID instance;
	const char *name;     /* in logs and statistics; NULL: "scsi" */
	uint16_t subchannels; /* how many a guest may ask for, up to STORVSP_SUBCHANNELS */
	uint32_t queue_depth; /* requests in flight per channel; 0: 256; a power of two */
	bool monitored;       /* its channels are offered with the monitor page: what guests' user
	                         space drivers and OpenBSD need, and slower */
	uint16_t version_max; /* the newest protocol version agreed to; 0: the latest */
	/* An image lost data that the guest had written: what the guest wants flushed fails from
	 * now on, with that errno, until storvsp_heal() or until the disk is replaced. Said once.
	 * Any thread, up to D; NULL: to nobody. */
	void (*lost)(void *context, uint8_t target, uint8_t lun, int error);
	void *context;
};

/* Offers the controller to the guest behind `vmbus` (from kmcl_host_open). */
NTSTATUS storvsp_create(HANDLE vmbus, const struct storvsp_options *options,
                        struct storvsp **controller);
/* Withdraws it; what is in flight is finished first. */
void storvsp_destroy(struct storvsp *controller);

struct storvsp_disk_options {
	bool read_only;
	bool direct; /* past the host's page cache */
	bool force;  /* also where others write to the image: a file system that is mounted */
	uint32_t block_size;          /* 0: 512 */
	uint32_t physical_block_size; /* 0: 4096 */
	const char *serial; /* at most 36 characters; NULL: made from the image's identity */
};

/*
 * Puts a disk in; a guest that is there is told. STATUS_OBJECT_NAME_COLLISION: there is one
 * already; STATUS_SHARING_VIOLATION: the image is in use; STATUS_INVALID_PARAMETER_2, _3, _5 (the
 * options); STATUS_UNSUCCESSFUL; each with a sentence in `why`.
 */
NTSTATUS storvsp_add_disk(struct storvsp *controller, uint8_t target, uint8_t lun, const char *path,
                          const struct storvsp_disk_options *options, char *why, size_t why_size);
/* Takes out a disk or a CD drive; a guest that is there is told, and later requests are answered
 * with INVALID LUN. Those in flight are finished; the last of them closes the image.
 * STATUS_NOT_FOUND. */
NTSTATUS storvsp_remove_unit(struct storvsp *controller, uint8_t target, uint8_t lun);

/* ---- CD drives ---- */

/*
 * Puts a DVD-ROM drive in, with the image of a disc, or empty (path NULL). The serial number may be
 * NULL: made from the controller's instance and the place. As storvsp_add_disk().
 */
NTSTATUS storvsp_add_cd(struct storvsp *controller, uint8_t target, uint8_t lun, const char *path,
                        const char *serial, char *why, size_t why_size);
/* STATUS_NOT_FOUND: there is no drive; STATUS_OBJECT_NAME_COLLISION: there is a disc in it; and as
 * above. A tray that is open closes. */
NTSTATUS storvsp_cd_insert(struct storvsp *controller, uint8_t target, uint8_t lun,
                           const char *path, char *why, size_t why_size);
/* STATUS_DEVICE_BUSY: the guest uses the disc, and is asked to let go of it; with `force` it is not
 * asked. What is being read is read to its end. */
NTSTATUS storvsp_cd_eject(struct storvsp *controller, uint8_t target, uint8_t lun, bool force);

struct storvsp_cd_info {
	bool inserted;
	bool tray_open;
	bool locked; /* by the guest */
};

/* STATUS_NOT_FOUND. */
NTSTATUS storvsp_cd_info(struct storvsp *controller, uint8_t target, uint8_t lun,
                         struct storvsp_cd_info *info);

/* ---- faults: injected ones for tests, and real ones ---- */

#define STORVSP_FAULTS 16u /* in a unit at a time */

struct storvsp_fault {
	uint64_t lba, count; /* blocks; of 2048 bytes on a CD */
	bool reads, writes; /* which to fail, with MEDIUM ERROR; discards and the like are writes */
	uint32_t times;     /* how often; 0: always */
};

/* From now on. STATUS_NOT_FOUND: no such unit; STATUS_INVALID_PARAMETER_4: no blocks, or neither
 * reads nor writes; STATUS_QUOTA_EXCEEDED. */
NTSTATUS storvsp_inject(struct storvsp *controller, uint8_t target, uint8_t lun,
                        const struct storvsp_fault *fault);
/* None any more; and data that the image lost is forgotten: the operator has seen to it.
 * STATUS_NOT_FOUND. */
NTSTATUS storvsp_heal(struct storvsp *controller, uint8_t target, uint8_t lun);
/* *error: the errno with which the image lost data; 0: it did not. STATUS_NOT_FOUND. */
NTSTATUS storvsp_lost(struct storvsp *controller, uint8_t target, uint8_t lun, int *error);

struct storvsp_statistics {
	uint64_t requests; /* SRBs */
	uint64_t reads, writes, read_bytes, written_bytes;
	uint64_t other;       /* commands that moved no blocks */
	uint64_t errors;      /* answered with anything but success */
	uint64_t refused;     /* packets that make no sense */
	uint64_t submits;     /* system calls that began I/O */
	uint64_t losses;      /* times that an image lost data */
	uint16_t failed;      /* units whose flushes fail until they are healed */
	uint16_t version;     /* agreed with the guest; 0: not yet */
	uint16_t subchannels; /* offered */
};

void storvsp_statistics(struct storvsp *controller, struct storvsp_statistics *statistics);

#endif
