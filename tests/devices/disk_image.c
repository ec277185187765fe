/* SPDX-License-Identifier: BSD-2-Clause */
/* The image and its queue, on a file of a few MiB: the bytes end up where they should, from and to
 * scattered memory, in pieces where needed; errors come back as errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "scsi/disk_image.h"

#include "../temporary.h"

#define SIZE (8u << 20)

struct fixture {
	char path[TEMPORARY_PATH_MAX];
	struct disk_image image;
	struct disk_queue *queue;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int done;
};

/* An operation on plain memory, cut into pieces of `piece` bytes. */
struct memory_op {
	struct disk_op op;
	uint8_t *memory;
	uint32_t piece;
};

static uint32_t memory_iovec(struct disk_op *op, uint32_t at, uint32_t length, struct iovec *iov,
                             uint32_t capacity)
{
	struct memory_op *m = (struct memory_op *)op;
	uint32_t count = 0;

	while (length) {
		uint32_t n = m->piece - at % m->piece;

		if (n > length)
			n = length;
		if (count < capacity)
			iov[count] = (struct iovec){ m->memory + at, n };
		count++;
		at += n;
		length -= n;
	}
	return count;
}

static void done(void *context, struct disk_op *list)
{
	struct fixture *f = context;

	pthread_mutex_lock(&f->lock);
	for (; list; list = list->next)
		f->done++;
	pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static void wait_for(struct fixture *f, unsigned int count)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&f->lock);
	while (f->done < count)
		assert_int_equal(pthread_cond_timedwait(&f->changed, &f->lock, &until), 0);
	assert_int_equal(f->done, count);
	f->done = 0;
	pthread_mutex_unlock(&f->lock);
}

static int execute(struct fixture *f, struct disk_op *op)
{
	op->image = &f->image;
	disk_queue_push(f->queue, op);
	disk_queue_flush(f->queue);
	wait_for(f, 1);
	return op->error;
}

static int transfer(struct fixture *f, enum disk_op_kind kind, uint64_t offset, uint8_t *memory,
                    uint32_t length, uint32_t piece)
{
	struct memory_op m = {
		.op = { .kind = kind, .offset = offset, .length = length, .iovec = memory_iovec },
		.memory = memory,
		.piece = piece,
	};

	return execute(f, &m.op);
}

static void fill_with(uint8_t *p, size_t n, uint32_t seed)
{
	size_t i;

	for (i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (uint8_t)(seed >> 24);
	}
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct disk_image_options options = { 0 };
	char why[256];

	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	*state = f;
	if (!temporary_image(f->path, sizeof(f->path), "kmcl-disk-image-XXXXXX", SIZE) ||
	    disk_image_open(f->path, &options, &f->image, why, sizeof(why)))
		return -1;
	return disk_queue_create(64, done, f, &f->queue);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	disk_queue_destroy(f->queue);
	disk_image_close(&f->image);
	unlink(f->path);
	free(f);
	return 0;
}

static void what_is_written_is_read(void **state)
{
	struct fixture *f = *state;
	uint8_t *a = malloc(1 << 20), *b = malloc(1 << 20);

	assert_int_equal(f->image.size, SIZE);
	fill_with(a, 1 << 20, 1);
	assert_int_equal(transfer(f, DISK_WRITE, 12288, a, 1 << 20, 4096), 0);
	assert_int_equal(transfer(f, DISK_READ, 12288, b, 1 << 20, 65536), 0);
	assert_memory_equal(a, b, 1 << 20);
	assert_int_equal(transfer(f, DISK_READ, 12288 + 512, b, 1024, 512), 0);
	assert_memory_equal(a + 512, b, 1024);
	free(a);
	free(b);
}

/* 2 MiB in pieces of 512 bytes are 4096 iovecs: four times what one system call takes. */
static void more_pieces_than_an_iovec_holds(void **state)
{
	struct fixture *f = *state;
	uint8_t *a = malloc(2 << 20), *b = calloc(1, 2 << 20);

	fill_with(a, 2 << 20, 2);
	assert_int_equal(transfer(f, DISK_WRITE, 0, a, 2 << 20, 512), 0);
	assert_int_equal(transfer(f, DISK_READ, 0, b, 2 << 20, 512), 0);
	assert_memory_equal(a, b, 2 << 20);
	free(a);
	free(b);
}

/* More than the ring holds, and more iovecs than its scratch: 256 operations of 64 pieces. */
static void more_operations_than_the_ring_holds(void **state)
{
	struct fixture *f = *state;
	struct memory_op *ops = calloc(256, sizeof(*ops));
	uint8_t *a = malloc(SIZE), *b = calloc(1, SIZE);
	unsigned int i;

	fill_with(a, SIZE, 3);
	assert_int_equal(transfer(f, DISK_WRITE, 0, a, SIZE, SIZE), 0);
	for (i = 0; i < 256; i++) {
		ops[i].op = (struct disk_op){
			.image = &f->image,
			.kind = DISK_READ,
			.offset = i * 32768ull,
			.length = 32768,
			.iovec = memory_iovec,
		};
		ops[i].memory = b + i * 32768ull;
		ops[i].piece = 512;
		disk_queue_push(f->queue, &ops[i].op);
	}
	disk_queue_flush(f->queue);
	wait_for(f, 256);
	for (i = 0; i < 256; i++)
		assert_int_equal(ops[i].op.error, 0);
	assert_memory_equal(a, b, SIZE);
	free(ops);
	free(a);
	free(b);
}

static off_t allocated(const struct fixture *f)
{
	struct stat st;

	assert_int_equal(fstat(f->image.fd, &st), 0);
	return (off_t)st.st_blocks * 512;
}

static void discarded_blocks_are_given_back_and_read_as_zeroes(void **state)
{
	struct fixture *f = *state;
	struct disk_extent extents[] = { { 0, 1 << 20 }, { 2 << 20, 1 << 20 }, { 4096000, 512 } };
	struct disk_op op = { .kind = DISK_DISCARD, .extents = extents, .extent_count = 3 };
	static uint8_t a[5 << 20], b[5 << 20];
	off_t before;
	size_t i;

	if (!f->image.discards)
		skip();
	fill_with(a, sizeof(a), 4);
	assert_int_equal(transfer(f, DISK_WRITE, 0, a, sizeof(a), 1 << 20), 0);
	before = allocated(f);
	assert_int_equal(execute(f, &op), 0);
	assert_true(allocated(f) <= before - (2 << 20));
	for (i = 0; i < 3; i++)
		memset(a + extents[i].offset, 0, extents[i].length);
	assert_int_equal(transfer(f, DISK_READ, 0, b, sizeof(b), 1 << 20), 0);
	assert_memory_equal(a, b, sizeof(a));
}

static void check_zeroes(struct fixture *f)
{
	struct disk_op op = { .kind = DISK_ZERO, .offset = 65536 + 512, .length = 262144 + 512 };
	static uint8_t a[1 << 20], b[1 << 20];

	fill_with(a, sizeof(a), 5);
	assert_int_equal(transfer(f, DISK_WRITE, 0, a, sizeof(a), 1 << 20), 0);
	assert_int_equal(execute(f, &op), 0);
	memset(a + 65536 + 512, 0, 262144 + 512);
	assert_int_equal(transfer(f, DISK_READ, 0, b, sizeof(b), 1 << 20), 0);
	assert_memory_equal(a, b, sizeof(a));
}

static void zeroed_ranges_read_as_zeroes(void **state)
{
	struct fixture *f = *state;

	check_zeroes(f);
	f->image.zeroes = false; /* as where the filesystem cannot */
	check_zeroes(f);
}

static void a_block_fills_a_range(void **state)
{
	struct fixture *f = *state;
	static uint8_t block[512], a[2 << 20];
	struct disk_op op = { .kind = DISK_FILL,
		              .offset = 512,
		              .length = sizeof(a) - 512,
		              .fill = { block, sizeof(block) } };
	size_t i;

	fill_with(block, sizeof(block), 6);
	assert_int_equal(execute(f, &op), 0);
	assert_int_equal(transfer(f, DISK_READ, 0, a, sizeof(a), 4096), 0);
	for (i = 512; i < sizeof(a); i += 512)
		assert_memory_equal(a + i, block, 512);
	for (i = 0; i < 512; i++)
		assert_int_equal(a[i], 0);
}

/* ---- past the page cache ---- */

/* The image anew, past the page cache; false: the file system has no such thing. */
static bool open_direct(struct fixture *f)
{
	struct disk_image_options options = { .direct = true };
	char why[256];
	int error;

	disk_image_close(&f->image);
	error = disk_image_open(f->path, &options, &f->image, why, sizeof(why));
	if (error)
		print_message("# skipped: O_DIRECT: %s\n", why);
	return !error;
}

static void check_direct(struct fixture *f, uint8_t *a, uint8_t *b, uint32_t offset, uint32_t piece)
{
	fill_with(a + offset, 1 << 20, offset + piece);
	memset(b, 0, (1 << 20) + 8192);
	assert_int_equal(transfer(f, DISK_WRITE, 12288, a + offset, 1 << 20, piece), 0);
	assert_int_equal(transfer(f, DISK_READ, 12288, b + offset, 1 << 20, piece), 0);
	assert_memory_equal(a + offset, b + offset, 1 << 20);
	assert_int_equal(b[offset - 1], 0);
	assert_int_equal(b[offset + (1 << 20)], 0);
}

/* As guests have it: from anywhere in a page, in pieces that are pages but for the first and last.
 */
static void memory_need_not_be_aligned_for_direct_images(void **state)
{
	static const uint32_t offsets[] = { 256, 4, 1, 4095, 512, 2048 };
	static const uint32_t pieces[] = { 4096, 1 << 21, 4095, 100 };
	struct fixture *f = *state;
	uint8_t *a = aligned_alloc(4096, (1 << 20) + 8192);
	uint8_t *b = aligned_alloc(4096, (1 << 20) + 8192);
	struct disk_queue_counters counters;
	size_t i, k;

	if (!open_direct(f))
		skip();
	memset(a, 0, (1 << 20) + 8192);
	for (i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		for (k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++)
			check_direct(f, a, b, offsets[i], pieces[k]);
	}
	disk_queue_counters(f->queue, &counters);
	assert_true(counters.bounced > 0);
	/* What is aligned is not copied. */
	assert_int_equal(transfer(f, DISK_READ, 0, a, 1 << 20, 4096), 0);
	disk_queue_counters(f->queue, &counters);
	i = counters.bounced;
	assert_int_equal(transfer(f, DISK_WRITE, 0, a, 1 << 20, 4096), 0);
	disk_queue_counters(f->queue, &counters);
	assert_int_equal(counters.bounced, i);
	free(a);
	free(b);
}

static void write_and_read_on(struct fixture *f)
{
	struct memory_op ops[48];
	uint8_t *memory = malloc(48 * 66000);
	unsigned int i, round;

	memset(memory, 0x11, 48 * 66000);
	for (round = 0; round < 8; round++) {
		for (i = 0; i < 48; i++) {
			ops[i] = (struct memory_op){
				.op = { .image = &f->image,
				        .kind = i & 1 ? DISK_READ : DISK_WRITE,
				        .offset = i * 65536ull,
				        .length = 65536,
				        .durable = i % 8 == 0,
				        .iovec = memory_iovec },
				.memory = memory + i * 66000 + i % 3, /* every third is aligned */
				.piece = 65536,
			};
			disk_queue_push(f->queue, &ops[i].op);
		}
		disk_queue_flush(f->queue);
		wait_for(f, 48);
		for (i = 0; i < 48; i++)
			assert_int_equal(ops[i].op.error, 0);
	}
	free(memory);
}

/* More at a time than there are buffers: the others wait for them, and all come back. */
static void operations_wait_for_buffers(void **state)
{
	struct fixture *f = *state;
	struct disk_queue_counters counters;

	if (!open_direct(f))
		skip();
	write_and_read_on(f);
	disk_queue_counters(f->queue, &counters);
	assert_true(counters.bounced >= 8ull * 32 * 65536);
}

static void flushing_and_durable_writes_succeed(void **state)
{
	struct fixture *f = *state;
	uint8_t a[4096] = { 1 }, b[4096];
	struct disk_op flush = { .kind = DISK_FLUSH };
	struct memory_op m = {
		.op = { .kind = DISK_WRITE,
		        .length = 4096,
		        .iovec = memory_iovec,
		        .durable = true },
		.memory = a,
		.piece = 4096,
	};

	assert_int_equal(execute(f, &m.op), 0);
	assert_int_equal(execute(f, &flush), 0);
	assert_int_equal(transfer(f, DISK_READ, 0, b, 4096, 4096), 0);
	assert_memory_equal(a, b, 4096);
}

/* Somebody truncates the image under us: the reads past its new end fail, and nothing else. */
static void a_short_read_is_an_error(void **state)
{
	struct fixture *f = *state;
	uint8_t a[8192];

	assert_int_equal(truncate(f->path, 4096), 0);
	assert_int_equal(transfer(f, DISK_READ, 0, a, 8192, 4096), EIO);
	assert_int_equal(transfer(f, DISK_READ, 65536, a, 4096, 4096), EIO);
	assert_int_equal(transfer(f, DISK_READ, 0, a, 4096, 4096), 0);
}

static void a_bad_pointer_is_an_error(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(transfer(f, DISK_READ, 0, (uint8_t *)8, 4096, 4096), EFAULT);
}

/* Cold pages: what the submitting call does not finish comes back through the reaper. */
static void reads_that_wait_for_the_device_come_back_too(void **state)
{
	struct fixture *f = *state;
	struct memory_op *ops = calloc(64, sizeof(*ops));
	uint8_t *a = malloc(SIZE), *b = calloc(1, SIZE);
	struct disk_op flush = { .kind = DISK_FLUSH };
	unsigned int i, round;

	fill_with(a, SIZE, 7);
	assert_int_equal(transfer(f, DISK_WRITE, 0, a, SIZE, SIZE), 0);
	assert_int_equal(execute(f, &flush), 0);
	for (round = 0; round < 8; round++) {
		posix_fadvise(f->image.fd, 0, 0, POSIX_FADV_DONTNEED);
		for (i = 0; i < 64; i++) {
			ops[i].op = (struct disk_op){
				.image = &f->image,
				.kind = DISK_READ,
				.offset = (i * 37 % 64) * 131072ull,
				.length = 4096,
				.iovec = memory_iovec,
			};
			ops[i].memory = b + ops[i].op.offset;
			ops[i].piece = 4096;
			disk_queue_push(f->queue, &ops[i].op);
			disk_queue_flush(f->queue);
		}
		wait_for(f, 64);
		for (i = 0; i < 64; i++)
			assert_memory_equal(a + i * 131072, b + i * 131072, 4096);
	}
	free(ops);
	free(a);
	free(b);
}

static void an_idle_queue_costs_no_cpu(void **state)
{
	struct rusage before, after;
	long us;

	getrusage(RUSAGE_SELF, &before);
	nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
	getrusage(RUSAGE_SELF, &after);
	us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec -
	      before.ru_stime.tv_sec) *
	             1000000 +
	     after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
	     before.ru_stime.tv_usec;
	assert_true(us < 5000);
}

static void an_image_has_one_writer(void **state)
{
	struct fixture *f = *state;
	struct disk_image_options write = { 0 }, read = { .read_only = true };
	struct disk_image image, second;
	char why[256];

	assert_int_equal(disk_image_open(f->path, &write, &image, why, sizeof(why)), -EBUSY);
	assert_non_null(strstr(why, f->path));
	assert_int_equal(disk_image_open(f->path, &read, &image, why, sizeof(why)), -EBUSY);
	disk_image_close(&f->image);
	assert_int_equal(disk_image_open(f->path, &read, &image, why, sizeof(why)), 0);
	assert_int_equal(disk_image_open(f->path, &read, &second, why, sizeof(why)), 0);
	assert_false(image.discards);
	assert_int_equal(disk_image_open(f->path, &write, &f->image, why, sizeof(why)), -EBUSY);
	disk_image_close(&image);
	disk_image_close(&second);
}

static void what_is_no_disk_is_refused(void **state)
{
	struct fixture *f = *state;
	struct disk_image_options options = { 0 };
	struct disk_image image;
	char why[256];

	assert_int_equal(disk_image_open("/tmp", &options, &image, why, sizeof(why)), -EISDIR);
	assert_int_equal(disk_image_open("/dev/null", &options, &image, why, sizeof(why)), -EINVAL);
	assert_int_equal(disk_image_open("/no/such", &options, &image, why, sizeof(why)), -ENOENT);
	disk_image_close(&f->image);
	assert_int_equal(truncate(f->path, 1000), 0);
	assert_int_equal(disk_image_open(f->path, &options, &image, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "512"));
	assert_int_equal(truncate(f->path, 0), 0);
	assert_int_equal(disk_image_open(f->path, &options, &image, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "empty"));
}

/* An image of `size` bytes that has the mark `at` there. */
static void mark(struct fixture *f, off_t size, off_t at, const void *bytes, size_t n)
{
	int fd = open(f->path, O_WRONLY | O_TRUNC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
	assert_int_equal(close(fd), 0);
}

static void refused(struct fixture *f, bool direct, const char *name, const char *tool)
{
	struct disk_image_options options = { .read_only = true, .direct = direct };
	struct disk_image image;
	char why[512] = "";

	assert_int_equal(disk_image_open(f->path, &options, &image, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, name));
	assert_non_null(strstr(why, tool));
	assert_non_null(strstr(why, f->path));
	assert_non_null(strstr(why, "format=raw"));
}

static void served(struct fixture *f, bool raw, bool direct)
{
	struct disk_image_options options = { .raw = raw, .direct = direct };
	struct disk_image image;
	char why[512] = "";

	assert_int_equal(disk_image_open(f->path, &options, &image, why, sizeof(why)), 0);
	disk_image_close(&image);
}

static void what_is_not_raw_is_refused_unless_told_so(void **state)
{
	static const struct {
		off_t at; /* negative: from the end */
		const char *bytes;
		size_t n;
		const char *name, *tool;
	} kinds[] = {
		{ 0, "QFI\xfb\0\0\0\3", 8, "qcow2", "qemu-img convert -f qcow2 -O raw" },
		{ 0, "QED\0", 4, "QED", "-f qed" },
		{ 0, "vhdxfile", 8, "VHDX", "-f vhdx" },
		{ 0, "conectix", 8, "VHD", "-f vpc" },
		{ -512, "conectix", 8, "VHD", "-f vpc" },
		{ 0, "KDMV\1\0\0\0", 8, "VMDK", "-f vmdk" },
		{ 0, "COWD", 4, "VMDK", "-f vmdk" },
		{ 0, "# Disk DescriptorFile\nversion=1\n", 32, "VMDK", "-f vmdk" },
		{ 64, "\x7f\x10\xda\xbe", 4, "VDI", "-f vdi" },
		{ 0, "\x1f\x8b\x08\0", 4, "gzip", "gzip -dc" },
		{ 0, "\xfd\x37zXZ\0", 6, "xz", "xz -dc" },
		{ 0, "\x28\xb5\x2f\xfd", 4, "zstd", "zstd -dc" },
		{ 0, "BZh31AY&SY", 10, "bzip2", "bzip2 -dc" },
	};
	struct fixture *f = *state;

	disk_image_close(&f->image);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		/* A last page that is whole, one that is not, and one page alone. */
		static const off_t sizes[] = { 1 << 20, (1 << 20) + 512, 1024 };

		for (size_t j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
			off_t at = kinds[i].at < 0 ? sizes[j] + kinds[i].at : kinds[i].at;

			mark(f, sizes[j], at, kinds[i].bytes, kinds[i].n);
			refused(f, false, kinds[i].name, kinds[i].tool);
			served(f, true, false);
		}
		/* What is compressed has any size, which is not what is wrong with it. */
		if (kinds[i].at >= 0) {
			mark(f, 777, kinds[i].at, kinds[i].bytes, kinds[i].n);
			refused(f, false, kinds[i].name, kinds[i].tool);
		}
		/* Elsewhere it is data. */
		mark(f, 1 << 20, 8192 + (kinds[i].at < 0 ? 0 : kinds[i].at), kinds[i].bytes,
		     kinds[i].n);
		served(f, false, false);
	}
}

static void a_footer_is_found_past_the_page_cache(void **state)
{
	struct fixture *f = *state;

	if (!open_direct(f))
		skip();
	disk_image_close(&f->image);
	mark(f, (1 << 20) + 512, 1 << 20, "conectix", 8);
	refused(f, true, "VHD", "-f vpc");
	served(f, true, true);
}

static void half_a_mark_is_none(void **state)
{
	struct fixture *f = *state;
	struct disk_image_options options = { 0 };
	struct disk_image image;
	char why[256];

	disk_image_close(&f->image);
	mark(f, 512, 0, "QFI", 3);
	served(f, false, false);
	mark(f, 3, 0, "QFI", 3);
	assert_int_equal(disk_image_open(f->path, &options, &image, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "512"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_is_read),
		TEST(more_pieces_than_an_iovec_holds),
		TEST(more_operations_than_the_ring_holds),
		TEST(discarded_blocks_are_given_back_and_read_as_zeroes),
		TEST(zeroed_ranges_read_as_zeroes),
		TEST(a_block_fills_a_range),
		TEST(memory_need_not_be_aligned_for_direct_images),
		TEST(operations_wait_for_buffers),
		TEST(flushing_and_durable_writes_succeed),
		TEST(a_short_read_is_an_error),
		TEST(a_bad_pointer_is_an_error),
		TEST(reads_that_wait_for_the_device_come_back_too),
		TEST(an_idle_queue_costs_no_cpu),
		TEST(an_image_has_one_writer),
		TEST(what_is_no_disk_is_refused),
		TEST(what_is_not_raw_is_refused_unless_told_so),
		TEST(a_footer_is_found_past_the_page_cache),
		TEST(half_a_mark_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
