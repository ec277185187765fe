/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi/disk_image.h"
#include "scsi/image_format.h"

#include "common/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- the image ---- */

static int fail(char *why, size_t size, int error, const char *path, const char *what)
{
	snprintf(why, size, "%s: %s", path, what);
	return -error;
}

/* Tried past the end, where it changes nothing. */
static bool can_fallocate(int fd, int mode, uint64_t size)
{
	return !fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)size, 4096);
}

#define SECTOR 512u

/* What its device can move straight. Where the kernel does not tell, or calls it something other
 * than a power of two, what disks have had until there were larger blocks. */
static void learn_alignment(struct disk_image *image)
{
	struct statx st;

	image->direct_block = image->direct_memory = SECTOR;
	if (statx(image->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) ||
	    !(st.stx_mask & STATX_DIOALIGN) || !st.stx_dio_offset_align ||
	    st.stx_dio_offset_align & (st.stx_dio_offset_align - 1) ||
	    st.stx_dio_mem_align & (st.stx_dio_mem_align - 1))
		return;
	image->direct_block = st.stx_dio_offset_align;
	image->direct_memory = st.stx_dio_mem_align ? st.stx_dio_mem_align : 1;
}

/* 0, or -1 with errno. */
static int measure(int fd, const struct stat *st, uint64_t *size)
{
	if (S_ISBLK(st->st_mode))
		return ioctl(fd, BLKGETSIZE64, size);
	*size = (uint64_t)st->st_size;
	return 0;
}

static int learn(struct disk_image *image, const char *path, char *why, size_t why_size)
{
	struct stat st;

	if (fstat(image->fd, &st))
		return fail(why, why_size, errno, path, strerror(errno));
	if (measure(image->fd, &st, &image->size))
		return fail(why, why_size, errno, path, strerror(errno));
	if (S_ISREG(st.st_mode)) {
		image->discards = !image->read_only &&
		                  can_fallocate(image->fd, FALLOC_FL_PUNCH_HOLE, image->size);
		image->zeroes = !image->read_only &&
		                can_fallocate(image->fd, FALLOC_FL_ZERO_RANGE, image->size);
	} else if (!S_ISBLK(st.st_mode)) {
		return fail(why, why_size, EINVAL, path, "neither a file nor a block device");
	}
	if (!image->size)
		return fail(why, why_size, EINVAL, path,
		            "it is empty: 'truncate -s SIZE' gives a file its size");
	return 0;
}

/* That it is raw, or at least is not seen to be something else. */
static int check_format(struct disk_image *image, const char *path, bool raw, char *why,
                        size_t why_size)
{
	const struct image_format *format = NULL;
	int error = raw ? 0 : image_format_look(image->fd, image->size, &format);

	if (error)
		return fail(why, why_size, -error, path, strerror(-error));
	if (format) {
		snprintf(why, why_size,
		         "%s: it is %s, and only raw images are served. '%s %s%s' makes one of it; "
		         "format=raw serves it as it is",
		         path, format->name, format->tool, path, format->rest);
		return -EINVAL;
	}
	if (image->size % 512)
		return fail(why, why_size, EINVAL, path,
		            "its size is not a multiple of 512 bytes, so it is no raw disk image");
	return 0;
}

int disk_image_open(const char *path, const struct disk_image_options *options,
                    struct disk_image *image, char *why, size_t why_size)
{
	int flags = (options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	struct disk_claim_options claim = { options->read_only, options->force, NULL, NULL };
	int error;

	memset(image, 0, sizeof(*image));
	image->read_only = options->read_only;
	image->fd = open(path, flags | (options->direct ? O_DIRECT : 0));
	if (image->fd < 0)
		return fail(why, why_size, errno, path,
		            errno == EBUSY
		                    ? "this kernel lets nobody write to it while it is mounted"
		                    : strerror(errno));
	error = learn(image, path, why, why_size);
	if (!error)
		error = check_format(image, path, options->raw, why, why_size);
	if (error)
		goto close;
	error = disk_claim_take(&image->claim, &image->fd, path, &claim, why, why_size);
	if (error)
		goto close;
	/* O_NONBLOCK was for the open alone: a FIFO in the image's place must not hang it. */
	if (fcntl(image->fd, F_SETFL, options->direct ? O_DIRECT : 0) < 0) {
		error = fail(why, why_size, errno, path, strerror(errno));
		disk_claim_drop(&image->claim);
		goto close;
	}
	if (options->direct)
		learn_alignment(image);
	disk_sync_init(&image->sync);
	return 0;
close:
	close(image->fd);
	image->fd = -1;
	return error;
}

void disk_image_close(struct disk_image *image)
{
	if (image->fd < 0)
		return;
	disk_sync_destroy(&image->sync);
	disk_claim_drop(&image->claim);
	close(image->fd);
	image->fd = -1;
}

/* ---- another size ---- */

/* Can it have that size? The file or device has `now` bytes. A sentence, or NULL: it can. */
static const char *check_size(const struct disk_image *image, const struct stat *st, uint64_t now,
                              uint64_t size)
{
	if (S_ISREG(st->st_mode) && !st->st_nlink)
		return "the image was deleted or replaced, and the guest has the one that was";
	if (size % SECTOR)
		return "a disk's size is a multiple of 512 bytes";
	if (size < image->size)
		return "a disk that the guest has does not shrink: it may use what would be gone";
	if (size < now)
		return "the image is larger than that already";
	if (size == now)
		return NULL;
	if (S_ISBLK(st->st_mode))
		return "a block device is made larger with the tool that made it, not here";
	return image->read_only ? "the image is read-only" : NULL;
}

/* 0 or an errno. */
static int make_larger(int fd, uint64_t size)
{
	struct rlimit limit;

	/* Past it, the call would end the process with SIGXFSZ. */
	if (size > INT64_MAX || (!getrlimit(RLIMIT_FSIZE, &limit) && size > limit.rlim_cur))
		return EFBIG;
	return ftruncate(fd, (off_t)size) ? errno : 0;
}

int disk_image_resize(struct disk_image *image, uint64_t size, char *why, size_t why_size)
{
	const char *wrong;
	int error = 0;
	uint64_t now;
	struct stat st;

	if (fstat(image->fd, &st) || measure(image->fd, &st, &now)) {
		error = errno;
		goto failed;
	}
	wrong = check_size(image, &st, now, size ? size : now);
	if (wrong) {
		snprintf(why, why_size, "%s", wrong);
		return -EINVAL;
	}
	if (size > now)
		error = make_larger(image->fd, size);
	if (error)
		goto failed;
	image->size = size ? size : now;
	return 0;
failed:
	snprintf(why, why_size, "%s", strerror(error));
	return -error;
}

int disk_image_lost(struct disk_image *image)
{
	return disk_sync_lost(&image->sync);
}

void disk_image_heal(struct disk_image *image)
{
	disk_sync_heal(&image->sync);
}

/* ---- the queue ---- */

/* iovecs for what is queued and not yet submitted: the kernel copies them when it takes the
 * entry (IORING_FEAT_SUBMIT_STABLE). An operation that needs more goes in pieces. */
#define SCRATCH_IOVECS 2048u
#define MOST_IOVECS    1024u /* IOV_MAX */

#define BOUNCES     4u /* operations that can be bounced at a time, the rest waits */
#define BOUNCE_SIZE (DISK_BOUNCE_BYTES / BOUNCES)

/* One piece of an operation. Files need no more, and an int must hold it. */
#define MOST_BYTES (1u << 30)

struct op_list {
	struct disk_op *first, **last;
};

static void list_init(struct op_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void list_add(struct op_list *list, struct disk_op *op)
{
	op->next = NULL;
	*list->last = op;
	list->last = &op->next;
}

struct disk_queue {
	pthread_mutex_t lock; /* of all that follows, but not the thread */
	struct io_uring ring;
	struct op_list waiting; /* for room in the ring, or to go on */
	uint32_t scratch_used;
	uint32_t unsubmitted;
	bool stuck;       /* the kernel would not take entries: the reaper tries again */
	uint8_t *bounces; /* BOUNCES of BOUNCE_SIZE, or NULL: none was needed yet */
	bool bounce_used[BOUNCES];
	bool starved; /* what is first in `waiting` needs one, and they are all in use */
	bool stopping;
	struct disk_queue_counters counters;
	int event; /* readable when completions came that no submitter will see */
	pthread_t reaper;
	disk_queue_done_fn *done;
	void *context;
	struct iovec scratch[SCRATCH_IOVECS];
};

static void try_again_later(struct disk_queue *q)
{
	if (q->stuck)
		return;
	q->stuck = true;
	eventfd_write(q->event, 1);
}

/*
 * Completions that are there when the submitting call returns are taken by that thread, so their
 * event is switched off meanwhile. (IORING_REGISTER_EVENTFD_ASYNC will not do: it keeps quiet about
 * buffered reads that had to wait for the page too, for those end in the submitter's task work.)
 * One that slips in from elsewhere meanwhile is seen by the reap that follows the submit: the fence
 * pairs with the kernel's between publishing a completion and looking whether the event is wanted.
 */
static void submit(struct disk_queue *q)
{
	int n;

	if (!q->unsubmitted)
		return;
	io_uring_cq_eventfd_toggle(&q->ring, false);
	do {
		n = io_uring_submit(&q->ring);
		q->counters.submits++;
		if (n > 0)
			q->unsubmitted -= (uint32_t)n;
	} while (q->unsubmitted && (n > 0 || n == -EINTR));
	io_uring_cq_eventfd_toggle(&q->ring, true);
	atomic_thread_fence(memory_order_seq_cst);
	if (!q->unsubmitted) {
		q->scratch_used = 0;
		return;
	}
	/* Out of memory or of room for completions: what is queued stays so. */
	try_again_later(q);
}

/* ---- memory that a device cannot use ---- */

static uint8_t *take_bounce(struct disk_queue *q)
{
	if (!q->bounces)
		q->bounces = aligned_alloc(4096, DISK_BOUNCE_BYTES);
	if (!q->bounces) {
		try_again_later(q);
		return NULL;
	}
	for (uint32_t i = 0; i < BOUNCES; i++) {
		if (q->bounce_used[i])
			continue;
		q->bounce_used[i] = true;
		return q->bounces + (size_t)i * BOUNCE_SIZE;
	}
	q->starved = true;
	return NULL;
}

static void give_bounce(struct disk_queue *q, struct disk_op *op)
{
	q->bounce_used[(op->bounce - q->bounces) / BOUNCE_SIZE] = false;
	q->starved = false;
	op->bounce = NULL;
}

/* Between the buffer and the operation's own memory, from where it is on. */
static void copy_bounce(struct disk_queue *q, struct disk_op *op, uint32_t n, bool back)
{
	struct iovec iov[64];
	uint32_t at = 0, count, i;

	while (at < n && (count = op->iovec(op, (uint32_t)op->done + at, n - at, iov, 64))) {
		for (i = 0; i < count && i < 64; i++) {
			if (back)
				memcpy(iov[i].iov_base, op->bounce + at, iov[i].iov_len);
			else
				memcpy(op->bounce + at, iov[i].iov_base, iov[i].iov_len);
			at += (uint32_t)iov[i].iov_len;
		}
	}
	q->counters.bounced += n;
}

/* A piece of an operation, in the scratch or a buffer. */
struct piece {
	struct iovec *iov;
	uint32_t count;
};

static bool is_aligned(const struct disk_image *image, const struct piece *p)
{
	for (uint32_t i = 0; i < p->count; i++) {
		if ((uintptr_t)p->iov[i].iov_base & (image->direct_memory - 1) ||
		    p->iov[i].iov_len & (image->direct_block - 1))
			return false;
	}
	return true;
}

/* Has a buffer take the memory's place; false: there is none just now. */
static bool bounce(struct disk_queue *q, struct disk_op *op, struct piece *p)
{
	uint64_t left = op->length - op->done;
	uint32_t n = left < BOUNCE_SIZE ? (uint32_t)left : BOUNCE_SIZE;

	op->bounce = take_bounce(q);
	if (!op->bounce)
		return false;
	if (op->kind == DISK_WRITE)
		copy_bounce(q, op, n, false);
	*p->iov = (struct iovec){ op->bounce, n };
	p->count = 1;
	return true;
}

static bool next_piece(struct disk_queue *q, struct disk_op *op, struct piece *p)
{
	uint64_t left = op->length - op->done;
	uint32_t n = left > MOST_BYTES ? MOST_BYTES : (uint32_t)left;

	p->iov = q->scratch + q->scratch_used;
	p->count = op->iovec(op, (uint32_t)op->done, n, p->iov, MOST_IOVECS);
	if (p->count > MOST_IOVECS)
		p->count = MOST_IOVECS; /* the rest follows when this is done */
	return !op->image->direct_block || is_aligned(op->image, p) || bounce(q, op, p);
}

/* ---- entries ---- */

static void prepare_rw(struct disk_queue *q, struct disk_op *op, const struct piece *p,
                       struct io_uring_sqe *sqe)
{
	uint64_t offset = op->offset + op->done;
	struct iovec *iov = p->iov;
	uint32_t count = p->count;

	/* The kernel has nothing to copy in when it is given one piece by itself. */
	if (op->kind == DISK_READ && count == 1)
		io_uring_prep_read(sqe, op->image->fd, iov->iov_base, (unsigned int)iov->iov_len,
		                   offset);
	else if (op->kind == DISK_READ)
		io_uring_prep_readv(sqe, op->image->fd, iov, count, offset);
	else if (count == 1)
		io_uring_prep_write(sqe, op->image->fd, iov->iov_base, (unsigned int)iov->iov_len,
		                    offset);
	else
		io_uring_prep_writev(sqe, op->image->fd, iov, count, offset);
	if (op->kind == DISK_WRITE && op->durable)
		sqe->rw_flags = RWF_DSYNC;
	if (count > 1)
		q->scratch_used += count;
}

static void prepare_fill(struct disk_queue *q, struct disk_op *op, struct io_uring_sqe *sqe)
{
	struct iovec *iov = q->scratch + q->scratch_used;
	uint64_t left = op->length - op->done;
	size_t skip = op->done % op->fill.iov_len;
	uint32_t count = 0;

	while (left && count < MOST_IOVECS) {
		size_t n = op->fill.iov_len - skip;

		if (n > left)
			n = left;
		iov[count++] = (struct iovec){ (uint8_t *)op->fill.iov_base + skip, n };
		left -= n;
		skip = 0;
	}
	q->scratch_used += count;
	io_uring_prep_writev(sqe, op->image->fd, iov, count, op->offset + op->done);
}

static void prepare_fallocate(struct disk_op *op, struct io_uring_sqe *sqe)
{
	int mode = FALLOC_FL_ZERO_RANGE;
	struct disk_extent e = { op->offset, op->length };

	if (op->kind == DISK_DISCARD) {
		mode = FALLOC_FL_PUNCH_HOLE;
		e = op->extents[op->extent];
	}
	io_uring_prep_fallocate(sqe, op->image->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)e.offset,
	                        (off_t)e.length);
}

static void prepare_kind(struct disk_queue *q, struct disk_op *op, const struct piece *piece,
                         struct io_uring_sqe *sqe)
{
	switch (op->kind) {
	case DISK_READ:
	case DISK_WRITE:
		prepare_rw(q, op, piece, sqe);
		break;
	case DISK_FILL:
		prepare_fill(q, op, sqe);
		break;
	case DISK_DISCARD:
	case DISK_ZERO:
		prepare_fallocate(op, sqe);
		break;
	case DISK_FLUSH:
		io_uring_prep_fsync(sqe, op->image->fd, IORING_FSYNC_DATASYNC);
		break;
	}
}

/*
 * A READ with FUA is one of the medium: what the cache has of the blocks is written there before
 * (SBC-3, READ (10); so do QEMU's disks, hw/scsi/scsi-disk.c). Pages that could not be written back
 * are clean and not what the medium has, so they have to go.
 */
static void prepare_step(struct disk_op *op, struct io_uring_sqe *sqe)
{
	if (op->step == DISK_STEP_SYNC)
		io_uring_prep_fsync(sqe, op->image->fd, IORING_FSYNC_DATASYNC);
	else
		io_uring_prep_fadvise(sqe, op->image->fd, op->offset, (uint32_t)op->length,
		                      POSIX_FADV_DONTNEED);
}

/* Says whether there was room for it. */
static bool prepare(struct disk_queue *q, struct disk_op *op)
{
	bool moves = op->step == DISK_STEP_DO && (op->kind == DISK_READ || op->kind == DISK_WRITE);
	struct io_uring_sqe *sqe;
	struct piece piece = { 0 };

	if (q->scratch_used + MOST_IOVECS > SCRATCH_IOVECS || !io_uring_sq_space_left(&q->ring))
		return false;
	if (moves && !next_piece(q, op, &piece))
		return false;
	sqe = io_uring_get_sqe(&q->ring);
	if (op->step == DISK_STEP_DO)
		prepare_kind(q, op, &piece, sqe);
	else
		prepare_step(op, sqe);
	io_uring_sqe_set_data(sqe, op);
	q->unsubmitted++;
	return true;
}

static void begin(struct disk_queue *q, struct disk_op *op)
{
	if (!q->waiting.first) {
		if (prepare(q, op))
			return;
		submit(q);
		if (prepare(q, op))
			return;
	}
	list_add(&q->waiting, op);
}

static void begin_waiting(struct disk_queue *q)
{
	while (q->waiting.first) {
		struct disk_op *op = q->waiting.first;

		if (!prepare(q, op)) {
			submit(q);
			if (!prepare(q, op))
				return;
		}
		q->waiting.first = op->next;
		if (!op->next)
			list_init(&q->waiting);
	}
}

/* ---- what came back ---- */

static _Alignas(4096) uint8_t zeroes[64 << 10];

/* A filesystem that cannot zero a range gets zeroes written. */
static void fall_back_to_writing(struct disk_op *op)
{
	op->kind = DISK_FILL;
	op->fill = (struct iovec){ zeroes, sizeof(zeroes) };
}

/* Takes in the result of one piece; says whether the operation is done. */
static bool advance(struct disk_op *op, int result)
{
	op->error = 0;
	if (result == -EINTR)
		return false;
	if (op->step == DISK_STEP_DROP) { /* which is advice, and may be ignored */
		op->step = DISK_STEP_DO;
		return false;
	}
	if (result == -EOPNOTSUPP && op->kind == DISK_ZERO) {
		fall_back_to_writing(op);
		return false;
	}
	if (result < 0) {
		op->error = -result;
		return true;
	}
	if (op->step == DISK_STEP_SYNC)
		return true;
	switch (op->kind) {
	case DISK_READ:
	case DISK_WRITE:
	case DISK_FILL:
		op->done += (uint32_t)result;
		if (!result) /* the file got shorter under us */
			op->error = EIO;
		return !result || op->done >= op->length;
	case DISK_DISCARD:
		return ++op->extent == op->extent_count;
	default:
		return true;
	}
}

/* Its completion says that data is on stable storage. */
static bool promises(const struct disk_op *op)
{
	return op->kind == DISK_FLUSH || op->step == DISK_STEP_SYNC ||
	       (op->kind == DISK_WRITE && op->durable);
}

static void end(struct disk_op *op, struct op_list *done)
{
	struct disk_op *next;

	if (!promises(op)) {
		list_add(done, op);
		return;
	}
	for (op = disk_sync_end(&op->image->sync, op); op; op = next) {
		next = op->next;
		list_add(done, op);
	}
}

/* It has a step after the one that is done. */
static bool goes_on(const struct disk_op *op)
{
	return op->step == DISK_STEP_SYNC && !op->error;
}

static void go_on(struct disk_op *op)
{
	struct disk_queue *q = op->queue;

	op->step = op->image->direct_block ? DISK_STEP_DO : DISK_STEP_DROP;
	pthread_mutex_lock(&q->lock);
	list_add(&q->waiting, op);
	pthread_mutex_unlock(&q->lock);
	eventfd_write(q->event, 1);
}

/* Each to its queue: what ran beside an operation of this one may be another's. The last one of a
 * queue may be the last that this queue is there for. */
static void hand_back(struct disk_op *list)
{
	while (list) {
		struct disk_op *first = list, *last = list;
		struct disk_queue *q = first->queue;

		if (goes_on(first)) {
			list = first->next;
			go_on(first);
			continue;
		}
		while (last->next && last->next->queue == q && !goes_on(last->next))
			last = last->next;
		list = last->next;
		last->next = NULL;
		q->done(q->context, first);
	}
}

static void take_back_bounce(struct disk_queue *q, struct disk_op *op, int result)
{
	if (!op->bounce)
		return;
	if (op->kind == DISK_READ && result > 0)
		copy_bounce(q, op, (uint32_t)result, true);
	give_bounce(q, op);
}

#define REAP_BATCH 32u

static void reap(struct disk_queue *q, struct op_list *done)
{
	struct io_uring_cqe *cqes[REAP_BATCH];
	unsigned int n, i;

	while ((n = io_uring_peek_batch_cqe(&q->ring, cqes, REAP_BATCH))) {
		for (i = 0; i < n; i++) {
			struct disk_op *op = io_uring_cqe_get_data(cqes[i]);

			take_back_bounce(q, op, cqes[i]->res);
			if (advance(op, cqes[i]->res))
				end(op, done);
			else
				list_add(&q->waiting, op);
		}
		q->counters.operations += n;
		io_uring_cq_advance(&q->ring, n);
	}
}

/* Submits and reaps until nothing is left that could begin now. */
static void run(struct disk_queue *q, struct op_list *done)
{
	do {
		begin_waiting(q);
		submit(q);
		reap(q, done);
	} while (q->waiting.first && !q->stuck && !q->starved);
}

static void *reaper(void *argument)
{
	struct disk_queue *q = argument;
	eventfd_t count;

	while (!eventfd_read(q->event, &count) || errno == EINTR) {
		struct op_list done;
		bool stopping, stuck;

		list_init(&done);
		pthread_mutex_lock(&q->lock);
		stuck = q->stuck;
		q->stuck = false;
		stopping = q->stopping;
		run(q, &done);
		pthread_mutex_unlock(&q->lock);
		hand_back(done.first);
		if (stopping)
			break;
		if (stuck) /* give the kernel time to find memory */
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return NULL;
}

/* ---- making and using one ---- */

static int open_ring(struct disk_queue *q, uint32_t depth)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
		.cq_entries = 2 * depth,
	};
	int error = io_uring_queue_init_params(depth, &q->ring, &p);

	if (error)
		return error;
	if (!(p.features & IORING_FEAT_SUBMIT_STABLE) || !(p.features & IORING_FEAT_NODROP)) {
		io_uring_queue_exit(&q->ring);
		return -ENOSYS;
	}
	return 0;
}

int disk_queue_create(uint32_t depth, disk_queue_done_fn *done, void *context,
                      struct disk_queue **queue)
{
	struct disk_queue *q = calloc(1, sizeof(*q));
	int error;

	if (!q)
		return -ENOMEM;
	q->done = done;
	q->context = context;
	list_init(&q->waiting);
	pthread_mutex_init(&q->lock, NULL);
	q->event = eventfd(0, EFD_CLOEXEC);
	if (q->event < 0) {
		error = -errno;
		goto free;
	}
	error = open_ring(q, depth);
	if (error)
		goto close;
	error = io_uring_register_eventfd(&q->ring, q->event);
	if (!error)
		error = -thread_start(&q->reaper, "disk-image", reaper, q);
	if (error)
		goto exit;
	*queue = q;
	return 0;
exit:
	io_uring_queue_exit(&q->ring);
close:
	close(q->event);
free:
	pthread_mutex_destroy(&q->lock);
	free(q);
	return error;
}

void disk_queue_destroy(struct disk_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->stopping = true;
	pthread_mutex_unlock(&q->lock);
	eventfd_write(q->event, 1);
	pthread_join(q->reaper, NULL);
	io_uring_queue_exit(&q->ring);
	close(q->event);
	pthread_mutex_destroy(&q->lock);
	free(q->bounces);
	free(q);
}

void disk_queue_push(struct disk_queue *q, struct disk_op *op)
{
	op->done = 0;
	op->extent = 0;
	op->error = 0;
	op->lost = false;
	op->queue = q;
	op->bounce = NULL;
	op->step = op->kind == DISK_READ && op->durable && !op->image->read_only ? DISK_STEP_SYNC
	                                                                         : DISK_STEP_DO;
	if (promises(op))
		disk_sync_begin(&op->image->sync, op);
	if (op->kind == DISK_ZERO && !op->image->zeroes)
		fall_back_to_writing(op);
	pthread_mutex_lock(&q->lock);
	begin(q, op);
	pthread_mutex_unlock(&q->lock);
}

void disk_queue_flush(struct disk_queue *q)
{
	struct op_list done;

	list_init(&done);
	pthread_mutex_lock(&q->lock);
	run(q, &done);
	pthread_mutex_unlock(&q->lock);
	hand_back(done.first);
}

void disk_queue_counters(struct disk_queue *q, struct disk_queue_counters *counters)
{
	pthread_mutex_lock(&q->lock);
	*counters = q->counters;
	pthread_mutex_unlock(&q->lock);
}
