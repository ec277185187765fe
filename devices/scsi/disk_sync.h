/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_DISK_SYNC_H
#define DEVICES_SCSI_DISK_SYNC_H

/*
 * What became of the calls that promise that data is on stable storage.
 *
 * Linux tells once per open file that it could not write data back, to one call: those that run
 * beside that call and all later ones succeed, and the data is gone (man 2 fsync; errseq_t in the
 * kernel's documentation). So what was told is kept here, and every promise after that is broken
 * too, until somebody heals the image. A promise that seems to have been kept waits for those that
 * run beside it: the kernel may have told one of them what was meant for it.
 */

#include <pthread.h>
#include <stdint.h>

struct disk_op;

struct disk_sync {
	pthread_mutex_t lock;
	int lost; /* the errno that was told; 0: nothing was lost */
	uint64_t begun;
	struct disk_op *running, **last_running; /* in the order in which they began */
	struct disk_op *kept, **last_kept;       /* done, if those beside them say so */
};

/* In an operation; private. */
struct disk_sync_entry {
	struct disk_op *next;
	uint64_t number; /* while it runs: its own; once kept: of the last that runs beside it */
	int lost;        /* before it began, or beside it */
};

void disk_sync_init(struct disk_sync *sync);
void disk_sync_destroy(struct disk_sync *sync);

void disk_sync_begin(struct disk_sync *sync, struct disk_op *op);
/* It came back with op->error. Returns a list, linked by `next`, of those that are done now,
 * perhaps none or others; their `error` says what they came to. */
struct disk_op *disk_sync_end(struct disk_sync *sync, struct disk_op *op);
/* What was lost is forgotten; what runs already still tells of it. */
void disk_sync_heal(struct disk_sync *sync);
int disk_sync_lost(struct disk_sync *sync);

#endif
