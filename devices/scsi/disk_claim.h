/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_DISK_CLAIM_H
#define DEVICES_SCSI_DISK_CLAIM_H

/*
 * The right to an image: one writer, or any number of readers, in all processes that ask for it in
 * this way; and nobody but us writes to a block device, or to what lies under or over it, as a
 * mounted file system would.
 */

#include <stdbool.h>
#include <stddef.h>

#define DISK_CLAIM_FILES 16u

struct disk_claim {
	/* Locked with it: the files behind loop devices. */
	int files[DISK_CLAIM_FILES];
	unsigned int count;
};

struct disk_claim_options {
	bool read_only;
	bool force;            /* also where others write to it; the locks are taken all the same */
	const char *sysfs;     /* NULL: /sys; these are for tests */
	const char *mountinfo; /* NULL: /proc/self/mountinfo */
};

/* Of what *fd has open; a block device is opened anew. 0, or -errno (-EBUSY: it is used) with a
 * sentence in `why`, and nothing is claimed. */
int disk_claim_take(struct disk_claim *claim, int *fd, const char *path,
                    const struct disk_claim_options *options, char *why, size_t why_size);
/* Not the lock on *fd, which goes with it. */
void disk_claim_drop(struct disk_claim *claim);

/* ---- its parts ---- */

/* Locks the files that the block device lies on. */
int disk_claim_below(struct disk_claim *claim, unsigned int major, unsigned int minor,
                     const char *path, const struct disk_claim_options *options, char *why,
                     size_t why_size);
/* Where the block device is mounted; false: nowhere. */
bool disk_claim_mounted(unsigned int major, unsigned int minor,
                        const struct disk_claim_options *options, char *where, size_t size);
/* Is the file behind a loop device that is in use? Its name. */
bool disk_claim_above(int fd, const struct disk_claim_options *options, char *loop, size_t size);

#endif
