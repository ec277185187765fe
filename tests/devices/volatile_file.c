/* SPDX-License-Identifier: BSD-2-Clause */
#include "volatile_file.h"

#include <errno.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define HELD_MAX 256u

struct held {
	struct io_uring *ring;
	uint64_t user_data;
	int result;
};

static struct {
	pthread_mutex_t lock;
	uint32_t blocks;
	uint64_t random;
	uint8_t (*cache)[VOLATILE_BLOCK], (*medium)[VOLATILE_BLOCK];
	bool *dirty, *bad;
	bool untold; /* a write-back failed */
	unsigned int to_hold, held_count;
	struct held held[HELD_MAX];
} file = { .lock = PTHREAD_MUTEX_INITIALIZER };

static uint64_t next_random(void)
{
	file.random ^= file.random << 13; /* xorshift64 */
	file.random ^= file.random >> 7;
	file.random ^= file.random << 17;
	return file.random;
}

void volatile_file_make(uint32_t blocks, uint64_t seed)
{
	file.blocks = blocks;
	file.random = seed * 2654435761u + 88172645463325252u;
	file.cache = calloc(blocks, VOLATILE_BLOCK);
	file.medium = calloc(blocks, VOLATILE_BLOCK);
	file.dirty = calloc(blocks, 1);
	file.bad = calloc(blocks, 1);
	file.untold = false;
	file.to_hold = file.held_count = 0;
}

void volatile_file_free(void)
{
	free(file.cache);
	free(file.medium);
	free(file.dirty);
	free(file.bad);
}

/* ---- the file ---- */

static void write_back_one(uint32_t block)
{
	if (!file.dirty[block])
		return;
	file.dirty[block] = false;
	if (file.bad[block])
		file.untold = true;
	else
		memcpy(file.medium[block], file.cache[block], VOLATILE_BLOCK);
}

static void write_back(uint32_t first, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		write_back_one(first + i);
}

static void write_back_some(void)
{
	uint32_t first = (uint32_t)(next_random() % file.blocks), count = 1 + next_random() % 32;

	if (next_random() % 4 == 0)
		write_back(first, count < file.blocks - first ? count : file.blocks - first);
}

/* Out of the page cache, what is clean: the medium has it, or it is lost. */
static int drop(uint64_t offset, uint64_t length)
{
	uint64_t block = offset / VOLATILE_BLOCK, end = (offset + length) / VOLATILE_BLOCK;

	for (; block < end && block < file.blocks; block++)
		if (!file.dirty[block])
			memcpy(file.cache[block], file.medium[block], VOLATILE_BLOCK);
	return 0;
}

static int tell(void)
{
	bool untold = file.untold;

	file.untold = false;
	return untold ? -EIO : 0;
}

static void move(bool writing, uint64_t offset, uint8_t *memory, size_t n)
{
	uint8_t *place = (uint8_t *)file.cache + offset; /* of more than one block */

	if (writing)
		memcpy(place, memory, n);
	else
		memcpy(memory, place, n);
}

static int transfer(const struct io_uring_sqe *sqe, bool writing, const struct iovec *iov,
                    unsigned int count)
{
	uint32_t first = (uint32_t)(sqe->off / VOLATILE_BLOCK), blocks;
	uint64_t done = 0;
	int error = 0;

	for (unsigned int i = 0; i < count; i++) {
		if (sqe->off + done + iov[i].iov_len > (uint64_t)file.blocks * VOLATILE_BLOCK)
			return -EINVAL;
		move(writing, sqe->off + done, iov[i].iov_base, iov[i].iov_len);
		done += iov[i].iov_len;
	}
	blocks = (uint32_t)(done / VOLATILE_BLOCK);
	if (writing)
		memset(file.dirty + first, true, blocks);
	if (writing && sqe->rw_flags & RWF_DSYNC) {
		write_back(first, blocks);
		error = tell();
	}
	return error ? error : (int)done;
}

/* A hole and a range of zeroes: the file system's metadata is as volatile as data. */
static int zero(uint64_t offset, uint64_t length)
{
	memset((uint8_t *)file.cache + offset, 0, length);
	memset(file.dirty + offset / VOLATILE_BLOCK, true, length / VOLATILE_BLOCK);
	return 0;
}

static int execute(const struct io_uring_sqe *sqe)
{
	void *address = (void *)(uintptr_t)sqe->addr;
	struct iovec one = { address, sqe->len };

	write_back_some();
	switch (sqe->opcode) {
	case IORING_OP_READ:
		return transfer(sqe, false, &one, 1);
	case IORING_OP_READV:
		return transfer(sqe, false, address, sqe->len);
	case IORING_OP_WRITE:
		return transfer(sqe, true, &one, 1);
	case IORING_OP_WRITEV:
		return transfer(sqe, true, address, sqe->len);
	case IORING_OP_FALLOCATE:
		return zero(sqe->off, sqe->addr);
	case IORING_OP_FADVISE:
		return drop(sqe->off, sqe->len);
	case IORING_OP_FSYNC:
		write_back(0, file.blocks);
		return tell();
	default:
		return -EOPNOTSUPP;
	}
}

void volatile_file_lose_power(void)
{
	uint32_t i;

	pthread_mutex_lock(&file.lock);
	for (i = 0; i < file.blocks; i++) {
		if (file.dirty[i] && next_random() & 1)
			memcpy(file.medium[i], file.cache[i], VOLATILE_BLOCK);
		file.dirty[i] = false;
		memcpy(file.cache[i], file.medium[i], VOLATILE_BLOCK);
	}
	file.untold = false;
	pthread_mutex_unlock(&file.lock);
}

const uint8_t *volatile_file_medium(uint32_t block)
{
	return file.medium[block];
}

void volatile_file_set_bad(uint32_t first, uint32_t count, bool bad)
{
	pthread_mutex_lock(&file.lock);
	if (!count)
		memset(file.bad, bad, file.blocks);
	else
		memset(file.bad + first, bad, count);
	pthread_mutex_unlock(&file.lock);
}

/* ---- its rings, in liburing's place ---- */

/* What struct io_uring points into. */
struct ring {
	unsigned int sq_head, cq_head, cq_tail, cq_flags;
	int event;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

int io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
                               struct io_uring_params *p)
{
	struct ring *r = calloc(1, sizeof(*r));

	memset(ring, 0, sizeof(*ring));
	r->event = -1;
	r->sqes = calloc(entries, sizeof(*r->sqes));
	r->cqes = calloc(p->cq_entries, sizeof(*r->cqes));
	ring->sq = (struct io_uring_sq){ .khead = &r->sq_head,
		                         .sqes = r->sqes,
		                         .ring_ptr = r,
		                         .ring_mask = entries - 1,
		                         .ring_entries = entries };
	ring->cq = (struct io_uring_cq){ .khead = &r->cq_head,
		                         .ktail = &r->cq_tail,
		                         .kflags = &r->cq_flags,
		                         .cqes = r->cqes,
		                         .ring_mask = p->cq_entries - 1,
		                         .ring_entries = p->cq_entries };
	p->features = IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_NODROP;
	return 0;
}

void io_uring_queue_exit(struct io_uring *ring)
{
	struct ring *r = ring->sq.ring_ptr;

	free(r->sqes);
	free(r->cqes);
	free(r);
}

int io_uring_register_eventfd(struct io_uring *ring, int fd)
{
	struct ring *r = ring->sq.ring_ptr;

	r->event = fd;
	return 0;
}

static void post(struct io_uring *ring, uint64_t user_data, int result)
{
	struct ring *r = ring->sq.ring_ptr;
	struct io_uring_cqe *cqe = &r->cqes[r->cq_tail & ring->cq.ring_mask];

	cqe->user_data = user_data;
	cqe->res = result;
	cqe->flags = 0;
	r->cq_tail++;
	if (r->event >= 0) /* one too many wakes the reaper for nothing, which it bears */
		eventfd_write(r->event, 1);
}

static void finish(struct io_uring *ring, uint64_t user_data, int result)
{
	if (file.to_hold) {
		file.to_hold--;
		file.held[file.held_count++] = (struct held){ ring, user_data, result };
	} else {
		post(ring, user_data, result);
	}
}

int io_uring_submit(struct io_uring *ring)
{
	struct io_uring_sq *sq = &ring->sq;
	int n = 0;

	pthread_mutex_lock(&file.lock);
	while (*sq->khead != sq->sqe_tail) {
		const struct io_uring_sqe *sqe = &sq->sqes[*sq->khead & sq->ring_mask];

		finish(ring, sqe->user_data, execute(sqe));
		++*sq->khead;
		n++;
	}
	pthread_mutex_unlock(&file.lock);
	return n;
}

unsigned int io_uring_peek_batch_cqe(struct io_uring *ring, struct io_uring_cqe **cqes,
                                     unsigned int count)
{
	struct ring *r = ring->sq.ring_ptr;
	unsigned int n = 0;

	pthread_mutex_lock(&file.lock);
	while (n < count && r->cq_head + n != r->cq_tail) {
		cqes[n] = &r->cqes[(r->cq_head + n) & ring->cq.ring_mask];
		n++;
	}
	pthread_mutex_unlock(&file.lock);
	return n;
}

/* ---- holding ---- */

void volatile_file_hold(unsigned int count)
{
	pthread_mutex_lock(&file.lock);
	file.to_hold = count;
	file.held_count = 0;
	pthread_mutex_unlock(&file.lock);
}

void volatile_file_release(unsigned int index)
{
	struct held *h = &file.held[index];

	pthread_mutex_lock(&file.lock);
	post(h->ring, h->user_data, h->result);
	pthread_mutex_unlock(&file.lock);
}

unsigned int volatile_file_held(void)
{
	unsigned int n;

	pthread_mutex_lock(&file.lock);
	n = file.held_count;
	pthread_mutex_unlock(&file.lock);
	return n;
}
