/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_DISK_H
#define KMCL_DISK_H

/*
 * Disks and DVD-ROM drives for a guest, on a synthetic SCSI controller: what Hyper-V offers its
 * guests and Linux's hv_storvsc and Windows's storvsc drive. Disks and discs are raw images, files
 * or block devices; data goes straight between them and the guest's pages.
 *
 *     struct kmcl_scsi_options options = { .size = sizeof(options), .name = "disks" };
 *
 *     kmcl_scsi_create(host, &options, &scsi);
 *     kmcl_scsi_add_disk(scsi, 0, 0, "guest.img", NULL, why, sizeof(why));
 *
 * Any thread may call these functions, several at a time; none of them at a raised IRQL. Where
 * there is a `why`, it gets a sentence for people about what failed; it may be NULL with size 0.
 */

#include <kmcl/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KMCL_SCSI_TARGETS      2u  /* a Linux guest looks at no more */
#define KMCL_SCSI_LUNS         64u /* of each */
#define KMCL_SCSI_SUBCHANNELS  16u
#define KMCL_SCSI_MAX_TRANSFER (4u << 20)

/* A controller that is offered to a guest. */
struct kmcl_scsi;

struct kmcl_scsi_options {
	uint32_t size;    /* sizeof(struct kmcl_scsi_options) */
	const char *name; /* in logs and statistics, copied; NULL: "scsi" */
	/* What tells controllers of a guest apart; all 0: made from the name. */
	struct kmcl_guid instance;
	uint32_t queue_depth; /* requests in flight per channel, a power of two to 4096; 0: 256 */
	uint16_t subchannels; /* how many a guest may ask for, up to KMCL_SCSI_SUBCHANNELS */
	uint16_t version_max; /* the newest protocol version agreed to; 0: the latest */
	bool monitored;       /* its channels are offered with the monitor page: what guests' user
	                         space drivers and OpenBSD need, and slower */
	/* An image lost data that the guest had written: what the guest wants flushed fails from
	 * now on, with that errno, until kmcl_scsi_heal() or until the disk is replaced. Said once.
	 * Any thread, which may not wait and may not call anything here; NULL: to nobody. */
	void (*lost)(void *context, uint8_t target, uint8_t lun, int error);
	void *context;
};

/* Offers a controller. `options` may be NULL. -EINVAL: the options; -E2BIG; -EEXIST: the instance
 * is offered already; -ENOTSUP: the library was built without disks; -ENOMEM. */
KMCL_API int kmcl_scsi_create(struct kmcl_host *host, const struct kmcl_scsi_options *options,
                              struct kmcl_scsi **scsi);
/* Withdraws it; what is in flight is finished first. NULL: nothing. */
KMCL_API void kmcl_scsi_destroy(struct kmcl_scsi *scsi);

/* ---- what is in it ---- */

struct kmcl_disk_options {
	uint32_t size;                /* sizeof(struct kmcl_disk_options) */
	uint32_t block_size;          /* 512 or 4096; 0: 512 */
	uint32_t physical_block_size; /* 0: 4096 */
	bool read_only;
	bool direct; /* past the host's page cache */
	bool force;  /* also where others write to the image: a file system that is mounted */
	/* At most 36 characters, copied; NULL: made from the image's identity. */
	const char *serial;
	/* Also what looks like a qcow2, VHDX, VHD, VMDK or VDI image, or like a compressed one,
	 * which is refused with a `why` that names the tool to convert it. A guest can make its own
	 * disk look like one. */
	bool raw;
};

/*
 * Puts a disk in; a guest that is there is told. `options` may be NULL. -EINVAL: the place, the
 * options, or the image is none, or not a raw one; -EEXIST: there is a unit at that place; -EBUSY:
 * the image is in use; -ENOMEM; or why it could not be opened.
 */
KMCL_API int kmcl_scsi_add_disk(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun,
                                const char *path, const struct kmcl_disk_options *options,
                                char *why, size_t why_size);
/* Puts a DVD-ROM drive in, with the image of a disc, or empty (path NULL). The serial number may be
 * NULL: made from the controller's instance and the place. As kmcl_scsi_add_disk(). */
KMCL_API int kmcl_scsi_add_cd(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun, const char *path,
                              const char *serial, char *why, size_t why_size);
/* Takes a disk or a drive out; a guest that is there is told, and later requests are answered with
 * INVALID LUN. Those in flight are finished; the last of them closes the image. -ENOENT. */
KMCL_API int kmcl_scsi_remove(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun);

/* Puts a disc into a drive; a tray that is open closes. -ENOENT: there is no drive; -EEXIST: there
 * is a disc in it; and as kmcl_scsi_add_disk(). */
KMCL_API int kmcl_scsi_insert(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun, const char *path,
                              char *why, size_t why_size);
/* Takes the disc out. -ENOENT: there is no drive; -EBUSY: the guest uses the disc, and is asked to
 * let go of it; with `force` it is not asked. What is being read is read to its end. */
KMCL_API int kmcl_scsi_eject(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun, bool force);

/*
 * A disk became larger: a file is made `size` bytes long; with size 0 the file or block device is
 * that already, and what it has is seen. The guest is told, and may use what was added from now on:
 * its next command is answered with UNIT ATTENTION, CAPACITY DATA HAS CHANGED. -ENOENT: there is no
 * disk; -EINVAL: it would be smaller than before, or the size is no multiple of the disk's blocks,
 * or the image is read-only, a block device of another size, or gone; or why the file could not be
 * made larger. The disk is as it was then.
 */
KMCL_API int kmcl_scsi_resize(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun, uint64_t size,
                              char *why, size_t why_size);

struct kmcl_scsi_unit {
	uint32_t size; /* sizeof(struct kmcl_scsi_unit) */
	/* The errno with which a disk's image lost data, until it is healed; 0: it did not. */
	int lost;
	/* A drive, and its disc. */
	bool is_cd, inserted, tray_open, locked;
	uint64_t bytes; /* of the disk or disc, as the guest sees it; 0: no disc is in */
};

/* What is at a place. -ENOENT: nothing; -EINVAL: its size. */
KMCL_API int kmcl_scsi_query(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun,
                             struct kmcl_scsi_unit *unit);

/* ---- faults: injected ones for tests, and real ones ---- */

#define KMCL_SCSI_FAULTS 16u /* in a unit at a time */

struct kmcl_scsi_fault {
	uint32_t size;       /* sizeof(struct kmcl_scsi_fault) */
	uint32_t times;      /* how often; 0: always */
	uint64_t lba, count; /* blocks; of 2048 bytes on a CD */
	bool reads, writes; /* which to fail, with MEDIUM ERROR; discards and the like are writes */
};

/* From now on. -ENOENT: no such unit; -EINVAL: no blocks, or neither reads nor writes; -ENOSPC:
 * there are KMCL_SCSI_FAULTS already. */
KMCL_API int kmcl_scsi_inject(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun,
                              const struct kmcl_scsi_fault *fault);
/* None any more; and data that the image lost is forgotten: the operator has seen to it. -ENOENT.
 */
KMCL_API int kmcl_scsi_heal(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun);

struct kmcl_scsi_statistics {
	uint32_t size;        /* sizeof(struct kmcl_scsi_statistics) */
	uint16_t version;     /* agreed with the guest; 0: not yet */
	uint16_t subchannels; /* offered */
	uint64_t requests;    /* SRBs */
	uint64_t reads, writes, read_bytes, written_bytes;
	uint64_t other;   /* commands that moved no blocks */
	uint64_t errors;  /* answered with anything but success */
	uint64_t refused; /* packets that make no sense */
	uint64_t submits; /* system calls that began I/O */
	uint64_t losses;  /* times that an image lost data */
	uint16_t failed;  /* units whose flushes fail until they are healed */
};

/* What it did so far. -EINVAL: the size. */
KMCL_API int kmcl_scsi_get_statistics(struct kmcl_scsi *scsi,
                                      struct kmcl_scsi_statistics *statistics);

#ifdef __cplusplus
}
#endif

#endif
