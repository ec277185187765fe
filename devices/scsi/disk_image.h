/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_DISK_IMAGE_H
#define DEVICES_SCSI_DISK_IMAGE_H

/*
 * A raw disk image, and queues (one io_uring each) of operations on it. Data goes between the file
 * and whatever memory the operation's iovec names: nothing is copied or allocated on the way, but
 * where the image is direct and its device cannot use that memory.
 */

#include "scsi/disk_claim.h"
#include "scsi/disk_sync.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct disk_image_options {
	bool read_only;
	bool direct; /* past the page cache */
	bool force;  /* also when others write to it, such as a file system that is mounted */
	bool raw;    /* also when it looks like an image of another format */
};

struct disk_image {
	int fd;
	uint64_t size; /* bytes; no operation looks at it */
	bool read_only;
	bool discards; /* can punch holes, which read as zeroes */
	bool zeroes;   /* can zero a range without writing it */
	/* Of a direct one, else 0: what operations must be multiples of, and what memory may be
	 * used as it is, begin and length. */
	uint32_t direct_block, direct_memory;
	struct disk_claim claim;
	struct disk_sync sync;
};

/*
 * Opens a regular file or block device and claims it: see disk_claim.h. 0, or -errno with a
 * sentence in `why` (-EBUSY: it is in use; -EINVAL: no disk).
 */
int disk_image_open(const char *path, const struct disk_image_options *options,
                    struct disk_image *image, char *why, size_t why_size);
void disk_image_close(struct disk_image *image);
/*
 * Makes a file that large, if it is smaller, and only sees how large the file or device is by now
 * if `size` is 0. It never becomes smaller than it was. One thread at a time. 0, or -errno with a
 * sentence in `why`, and the image has the size that it had.
 */
int disk_image_resize(struct disk_image *image, uint64_t size, char *why, size_t why_size);
/* An errno: data was lost that had been written, and flushes and durable writes fail; 0: it was
 * not.
 */
int disk_image_lost(struct disk_image *image);
/* They may succeed again. */
void disk_image_heal(struct disk_image *image);

/* ---- operations ---- */

enum disk_op_kind {
	DISK_READ,
	DISK_WRITE,
	DISK_FLUSH,
	DISK_DISCARD,
	DISK_ZERO,
	DISK_FILL,
};

struct disk_extent {
	uint64_t offset, length;
};

/* What a durable read is at, and others are from the beginning at the last of it. */
enum disk_step {
	DISK_STEP_SYNC, /* what was written before goes to stable storage */
	DISK_STEP_DROP, /* and out of the page cache */
	DISK_STEP_DO,
};

/* The caller's memory from disk_queue_push() until it comes back done. */
struct disk_op {
	struct disk_op *next; /* in the list of done ones */
	struct disk_image *image;
	enum disk_op_kind kind;
	bool durable;    /* DISK_WRITE: done when on stable storage; DISK_READ: from there */
	uint64_t offset; /* READ, WRITE, ZERO, FILL */
	uint64_t length;
	/* READ, WRITE: where `length` bytes from `at` on are in memory. Fills up to `capacity`
	 * entries and returns how many it takes. */
	uint32_t (*iovec)(struct disk_op *op, uint32_t at, uint32_t length, struct iovec *iov,
	                  uint32_t capacity);
	const struct disk_extent *extents; /* DISCARD: these instead of offset and length */
	uint32_t extent_count;
	struct iovec fill; /* FILL: this memory over and over */

	int error; /* done: 0 or an errno */
	bool lost; /* done: with the error for which the image is lost */

	uint64_t done; /* private: bytes so far, of the extent for DISCARD */
	enum disk_step step;
	uint32_t extent;
	struct disk_queue *queue;
	uint8_t *bounce; /* what its piece is moved by; NULL: its own memory */
	struct disk_sync_entry sync;
};

struct disk_queue;

/* Takes the ones that are done, linked by `next`: on the thread that flushes, the queue's own, or
 * those of another queue of the same image. No lock is held. */
typedef void disk_queue_done_fn(void *context, struct disk_op *list);

struct disk_queue_counters {
	uint64_t submits;    /* system calls */
	uint64_t operations; /* that came back: whole ones or pieces */
	uint64_t bounced;    /* bytes that were copied, as their memory is not aligned */
};

/* What a queue takes for that, from the first such operation on; what finds no room in it waits. */
#define DISK_BOUNCE_BYTES (1u << 20)

/* 0 or -errno. depth: the most operations in flight, a power of two up to 4096. */
int disk_queue_create(uint32_t depth, disk_queue_done_fn *done, void *context,
                      struct disk_queue **queue);
/* All operations are done. */
void disk_queue_destroy(struct disk_queue *queue);

/* Queues it, to begin at the latest with the flush that must follow. Any thread. */
void disk_queue_push(struct disk_queue *queue, struct disk_op *op);
/* Begins what was queued and hands back what is done by then. */
void disk_queue_flush(struct disk_queue *queue);
void disk_queue_counters(struct disk_queue *queue, struct disk_queue_counters *counters);

#endif
