/* SPDX-License-Identifier: BSD-2-Clause */
/* What the guest was told is on stable storage is there after the power failed, whatever became of
 * the rest: over a bus, on a file that loses what was not written back. A write-back that failed is
 * remembered. The argument of this program is a pattern for the URI; the seed of the random part is
 * KMCL_TEST_SEED, and it is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../temporary.h"
#include "scsi/disk_image.h"
#include "scsi/scsi.h"
#include "scsi/storvsc.h"
#include "scsi/storvsc_protocol.h"
#include <kmcl/disk.h>
#include "volatile_file.h"

#define BLOCK   VOLATILE_BLOCK
#define LANES   8u
#define LANE    32u /* blocks that a lane has for itself */
#define BLOCKS  (LANES * LANE)
#define VALUES  12u /* that a block may have between two flushes */
#define ROUNDS  40u
#define BATCHES 60u
#define TAG     0x72776f70u

/* One command in flight. */
struct lane {
	struct storvsc_io io; /* first */
	struct fixture *fixture;
	uint8_t *memory;
	uint32_t first, count, value; /* blocks, and what is in them then */
	bool durable, reads;
};

/* What a block may read as after a power failure: the first is what was promised. */
struct block {
	uint32_t value[VALUES], count;
};

struct fixture {
	char uri[128], path[TEMPORARY_PATH_MAX];
	HANDLE vmbus;
	PDEVICE_OBJECT bus;
	struct kmcl_scsi *host;
	struct storvsc *guest;
	struct storvsc_disk disk;
	struct lane lanes[LANES + 1]; /* the last one flushes */
	struct block blocks[BLOCKS];
	_Atomic unsigned int in_flight;
	KEVENT idle;
	uint64_t random;
	uint32_t next_value;
	_Atomic unsigned int losses;
	_Atomic int loss_error;
	char why[256];
};

static const char *uri_pattern = "local:power-%d-%u";
static uint64_t seed;

static uint32_t pick(struct fixture *f, uint32_t n)
{
	f->random = f->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(f->random >> 33) % n;
}

static void lost(void *context, uint8_t target, uint8_t lun, int error)
{
	struct fixture *f = context;

	f->losses++;
	f->loss_error = error;
}

static void lane_make(struct fixture *f, struct lane *l)
{
	l->fixture = f;
	l->memory = ExAllocatePoolWithTag(NonPagedPoolNx, LANE * BLOCK, TAG);
	assert_non_null(l->memory);
	l->io.mdl = IoAllocateMdl(l->memory, LANE * BLOCK, FALSE, FALSE, NULL);
	MmBuildMdlForNonPagedPool(l->io.mdl);
}

static int setup(void **state)
{
	static unsigned int number;
	struct fixture *f = calloc(1, sizeof(*f));
	struct kmcl_scsi_options options = {
		.size = sizeof(options), .instance = { 0x11223344 }, .lost = lost, .context = f
	};
	struct storvsc_options guest = { .timeout_ms = 20000 };
	unsigned int i;

	*state = f;
	f->random = seed + number;
	snprintf(f->uri, sizeof(f->uri), uri_pattern, getpid(), number++);
	assert_true(temporary_image(f->path, sizeof(f->path), "kmcl-power-XXXXXX", BLOCKS * BLOCK));
	volatile_file_make(BLOCKS, seed + number);
	KeInitializeEvent(&f->idle, NotificationEvent, FALSE);
	for (i = 0; i < BLOCKS; i++)
		f->blocks[i].count = 1;
	if (!NT_SUCCESS(kmcl_host_open(f->uri, &f->vmbus)) ||
	    kmcl_scsi_create(kmcl_host_of_handle(f->vmbus), &options, &f->host) ||
	    kmcl_scsi_add_disk(f->host, 0, 0, f->path, NULL, f->why, sizeof(f->why)) ||
	    !NT_SUCCESS(kmcl_guest_open(f->uri, &f->bus)) ||
	    !NT_SUCCESS(storvsc_open(f->bus, &guest, &f->guest)) ||
	    !NT_SUCCESS(storvsc_identify(f->guest, (struct storvsc_address){ 0, 0 }, &f->disk)))
		return -1;
	for (i = 0; i <= LANES; i++)
		lane_make(f, &f->lanes[i]);
	return 0;
}

/* Of the disk's image, if it lost data. */
static int lost_error(struct fixture *f)
{
	struct kmcl_scsi_unit unit = { .size = sizeof(unit) };

	assert_int_equal(kmcl_scsi_query(f->host, 0, 0, &unit), 0);
	return unit.lost;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	storvsc_close(f->guest);
	for (i = 0; i <= LANES; i++) {
		IoFreeMdl(f->lanes[i].io.mdl);
		ExFreePoolWithTag(f->lanes[i].memory, TAG);
	}
	kmcl_scsi_destroy(f->host);
	kmcl_guest_close(f->bus);
	ZwClose(f->vmbus);
	volatile_file_free();
	unlink(f->path);
	free(f);
	return 0;
}

/* ---- commands ---- */

static void put_range(struct lane *l, uint8_t opcode)
{
	l->io.cdb[0] = opcode;
	scsi_put64(l->io.cdb + 2, l->first);
	scsi_put32(l->io.cdb + 10, l->count);
	l->io.cdb_length = 16;
	l->io.direction = STORVSC_TO_DISK;
}

static void fill(struct lane *l, uint32_t blocks)
{
	uint32_t i;

	for (i = 0; i < blocks * BLOCK / 4; i++)
		memcpy(l->memory + 4 * (size_t)i, &l->value, 4);
	l->io.length = blocks * BLOCK;
}

/* From the medium (FUA), or from wherever it is found. */
static void prepare_read(struct lane *l, bool durable)
{
	put_range(l, SCSI_READ_16);
	l->io.cdb[1] = durable ? 0x08 : 0;
	l->io.direction = STORVSC_FROM_DISK;
	l->io.length = l->count * BLOCK;
	memset(l->memory, 0xee, l->io.length);
	l->durable = durable;
	l->reads = true;
}

static void prepare_write(struct lane *l, bool durable)
{
	put_range(l, SCSI_WRITE_16);
	l->io.cdb[1] = durable ? 0x08 : 0;
	fill(l, l->count);
	l->durable = durable;
}

static void prepare_same(struct lane *l, bool zeroes)
{
	put_range(l, SCSI_WRITE_SAME_16);
	if (zeroes)
		l->value = 0;
	fill(l, 1);
}

static void prepare_unmap(struct lane *l)
{
	l->value = 0;
	put_range(l, SCSI_UNMAP);
	memset(l->io.cdb + 1, 0, 15);
	l->io.cdb[8] = 24;
	l->io.cdb_length = 10;
	memset(l->memory, 0, 24);
	l->memory[1] = 22;
	l->memory[3] = 16;
	scsi_put64(l->memory + 8, l->first);
	scsi_put32(l->memory + 16, l->count);
	l->io.length = 24;
}

static void prepare_flush(struct lane *l)
{
	memset(&l->io.cdb, 0, sizeof(l->io.cdb));
	l->io.cdb[0] = SCSI_SYNCHRONIZE_CACHE_10;
	l->io.cdb_length = 10;
	l->io.direction = STORVSC_NO_DATA;
	l->io.length = 0;
}

/* Of any block: it is all or nothing. */
static void prepare_verify(struct lane *l)
{
	prepare_flush(l);
	l->io.cdb[0] = SCSI_VERIFY_10;
	l->io.cdb[8] = 1;
}

static void prepare_power(struct lane *l, bool start)
{
	prepare_flush(l);
	l->io.cdb[0] = SCSI_START_STOP_UNIT;
	l->io.cdb[4] = start;
	l->io.cdb_length = 6;
}

static void lane_done(struct storvsc_io *io)
{
	struct lane *l = (struct lane *)io;

	if (atomic_fetch_sub(&l->fixture->in_flight, 1) == 1)
		KeSetEvent(&l->fixture->idle, 0, FALSE);
}

/* All of those whose CDB is set, at once. */
static void run(struct fixture *f, struct lane *const *lanes, unsigned int count)
{
	LARGE_INTEGER timeout = { .QuadPart = -600000000ll };
	unsigned int i;

	f->in_flight = count;
	KeClearEvent(&f->idle);
	for (i = 0; i < count; i++) {
		lanes[i]->io.done = lane_done;
		storvsc_submit(f->guest, &lanes[i]->io);
	}
	assert_int_equal(KeWaitForSingleObject(&f->idle, Executive, KernelMode, FALSE, &timeout),
	                 STATUS_SUCCESS);
}

static const struct storvsc_io *run_one(struct fixture *f, struct lane *l)
{
	run(f, (struct lane *const[]){ l }, 1);
	return &l->io;
}

static const struct storvsc_io *flush(struct fixture *f)
{
	prepare_flush(&f->lanes[LANES]);
	return run_one(f, &f->lanes[LANES]);
}

static const struct storvsc_io *write_blocks(struct fixture *f, uint32_t first, uint32_t count,
                                             bool durable)
{
	struct lane *l = &f->lanes[0];

	l->first = first;
	l->count = count;
	l->value = ++f->next_value;
	prepare_write(l, durable);
	return run_one(f, l);
}

static const struct storvsc_io *read_blocks(struct fixture *f, uint32_t first, uint32_t count,
                                            bool durable)
{
	struct lane *l = &f->lanes[0];

	l->first = first;
	l->count = count;
	prepare_read(l, durable);
	run_one(f, l);
	l->reads = false;
	return &l->io;
}

static uint32_t value_read(const struct fixture *f, uint32_t block)
{
	uint32_t value;

	memcpy(&value, f->lanes[0].memory + block * BLOCK, 4);
	return value;
}

static void assert_good(const struct storvsc_io *io)
{
	assert_int_equal(io->status, STATUS_SUCCESS);
	assert_int_equal(io->scsi_status, SCSI_GOOD);
}

static void assert_lost(const struct storvsc_io *io)
{
	assert_int_equal(io->scsi_status, SCSI_CHECK_CONDITION);
	assert_int_equal(io->sense_key, SCSI_KEY_HARDWARE_ERROR);
	assert_int_equal(io->asc, SCSI_ASC_INTERNAL_FAILURE);
}

/* ---- a write-back that failed ---- */

/* covers: kmcl_scsi_heal */
static void a_failed_write_back_is_remembered_until_it_is_healed(void **state)
{
	struct fixture *f = *state;
	struct lane *power = &f->lanes[LANES];
	struct kmcl_scsi_statistics st = { .size = sizeof(st) };

	assert_good(write_blocks(f, 0, 8, false));
	assert_good(flush(f));
	assert_int_equal(lost_error(f), 0);
	volatile_file_set_bad(8, 1, true);
	assert_good(write_blocks(f, 8, 1, false));
	assert_lost(flush(f));
	volatile_file_set_bad(0, 0, false);
	for (int i = 0; i < 3; i++) {
		assert_lost(flush(f));
		assert_lost(write_blocks(f, 16, 1, true));
		prepare_power(power, false);
		assert_lost(run_one(f, power));
	}
	assert_good(write_blocks(f, 17, 1, false)); /* promises nothing; and the disk runs still */
	assert_int_equal(f->losses, 1);
	assert_int_equal(f->loss_error, EIO);
	assert_int_equal(lost_error(f), EIO);
	kmcl_scsi_get_statistics(f->host, &st);
	assert_int_equal(st.losses, 1);
	assert_int_equal(st.failed, 1);

	assert_int_equal(kmcl_scsi_heal(f->host, 0, 0), 0);
	assert_good(flush(f));
	assert_good(write_blocks(f, 16, 1, true));
	kmcl_scsi_get_statistics(f->host, &st);
	assert_int_equal(st.failed, 0);
	volatile_file_set_bad(8, 1, true);
	assert_lost(write_blocks(f, 8, 1, true));
	assert_lost(flush(f));
	assert_int_equal(f->losses, 2);
}

static void a_disk_put_in_anew_has_lost_nothing(void **state)
{
	struct fixture *f = *state;

	volatile_file_set_bad(8, 1, true);
	assert_good(write_blocks(f, 8, 1, false));
	assert_lost(flush(f));
	volatile_file_set_bad(0, 0, false);
	assert_int_equal(kmcl_scsi_remove(f->host, 0, 0), 0);
	assert_int_equal(kmcl_scsi_add_disk(f->host, 0, 0, f->path, NULL, f->why, sizeof(f->why)),
	                 0);
	assert_good(flush(f));
}

/* ---- reads that must come from the medium ---- */

static uint32_t value_on_medium(uint32_t block);

static void a_read_with_fua_is_of_what_is_on_the_medium(void **state)
{
	struct fixture *f = *state;

	assert_good(write_blocks(f, 4, 8, false));
	assert_good(read_blocks(f, 4, 8, false));
	assert_int_equal(value_read(f, 7), f->next_value);
	assert_good(read_blocks(f, 4, 8, true));
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(value_read(f, i), f->next_value);
		assert_int_equal(value_on_medium(4 + i), f->next_value);
	}
	volatile_file_lose_power();
	assert_good(read_blocks(f, 4, 8, true));
	assert_int_equal(value_read(f, 0), f->next_value);
	assert_int_equal(value_read(f, 7), f->next_value);
}

static void a_read_with_fua_fails_where_write_back_did(void **state)
{
	struct fixture *f = *state;

	assert_good(write_blocks(f, 8, 1, true));
	volatile_file_set_bad(8, 1, true);
	assert_good(write_blocks(f, 8, 1, false));
	assert_lost(read_blocks(f, 8, 1, true));
	assert_lost(read_blocks(f, 8, 1, true));
	assert_good(read_blocks(f, 8, 1, false));
	assert_int_equal(value_read(f, 0), f->next_value); /* the cache has it still */
	assert_int_equal(f->losses, 1);
	assert_lost(flush(f));
	assert_int_equal(kmcl_scsi_heal(f->host, 0, 0), 0);
	assert_good(read_blocks(f, 8, 1, true));
	assert_int_equal(value_read(f, 0), f->next_value - 1); /* the medium does not */
}

/* ---- two promises at a time ---- */

struct two {
	struct disk_image image;
	struct disk_queue *queues[2];
	struct disk_op ops[2];
	_Atomic unsigned int done[2];
};

static void one_of_two_done(void *context, struct disk_op *list)
{
	struct two *t = context;

	for (; list; list = list->next)
		t->done[list - t->ops]++;
}

#define WAIT_FOR(condition)                                                \
	do {                                                               \
		int wait_tries = 4000;                                     \
		bool wait_done;                                            \
		while (!(wait_done = (condition)) && wait_tries-- > 0)     \
			nanosleep(&(struct timespec){ 0, 5000000 }, NULL); \
		assert_true(wait_done);                                    \
	} while (0)

/* The kernel tells one of them of the loss; the other one came back first, and with success. */
static void what_runs_beside_a_failed_flush_fails_too(void **state)
{
	struct fixture *f = *state;
	struct disk_image_options options = { 0 };
	struct two t = { 0 };
	unsigned int i;

	assert_good(write_blocks(f, 3, 1, false));
	kmcl_scsi_remove(f->host, 0, 0); /* the image is ours from here on */
	assert_int_equal(disk_image_open(f->path, &options, &t.image, f->why, sizeof(f->why)), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(disk_queue_create(8, one_of_two_done, &t, &t.queues[i]), 0);
		t.ops[i] = (struct disk_op){ .image = &t.image, .kind = DISK_FLUSH };
	}
	volatile_file_set_bad(3, 1, true);
	volatile_file_hold(2);
	for (i = 0; i < 2; i++) {
		disk_queue_push(t.queues[i], &t.ops[i]);
		disk_queue_flush(t.queues[i]);
	}
	assert_int_equal(volatile_file_held(), 2);
	volatile_file_release(1); /* the second was told nothing */
	nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
	assert_int_equal(t.done[1], 0);
	volatile_file_release(0);
	WAIT_FOR(t.done[0] == 1 && t.done[1] == 1);
	assert_int_equal(t.ops[0].error, EIO);
	assert_int_equal(t.ops[1].error, EIO);
	assert_int_equal(disk_image_lost(&t.image), EIO);
	for (i = 0; i < 2; i++)
		disk_queue_destroy(t.queues[i]);
	disk_image_close(&t.image);
}

/* ---- power failures ---- */

static void may_be(struct block *b, uint32_t value)
{
	assert_true(b->count < VALUES);
	b->value[b->count++] = value;
}

static void is_promised(struct block *b)
{
	b->value[0] = b->value[b->count - 1];
	b->count = 1;
}

static bool has_room(const struct fixture *f)
{
	uint32_t i;

	for (i = 0; i < BLOCKS; i++) {
		if (f->blocks[i].count == VALUES)
			return false;
	}
	return true;
}

static void prepare_any(struct fixture *f, struct lane *l, uint32_t number)
{
	l->first = pick(f, LANE);
	l->count = 1 + pick(f, LANE - l->first);
	l->first += number * LANE;
	l->value = ++f->next_value;
	l->durable = l->reads = false;
	switch (pick(f, 9)) {
	case 0:
	case 1:
		prepare_write(l, true);
		break;
	case 2:
		prepare_same(l, false);
		break;
	case 3:
		prepare_same(l, true);
		break;
	case 4:
		if (f->disk.discards) {
			prepare_unmap(l);
			break;
		}
		prepare_write(l, false);
		break;
	case 5:
		prepare_read(l, true);
		break;
	default:
		prepare_write(l, false);
	}
}

/* Of the blocks that were read with FUA: what was written last is there, and on the medium. */
static void take_read(struct fixture *f, const struct lane *l)
{
	uint32_t i, value;

	if (!NT_SUCCESS(l->io.status))
		return;
	for (i = l->first; i < l->first + l->count; i++) {
		is_promised(&f->blocks[i]);
		memcpy(&value, l->memory + (i - l->first) * BLOCK, 4);
		assert_int_equal(value, f->blocks[i].value[0]);
	}
}

/* What the answer to a write means for its blocks. */
static void take_write(struct fixture *f, const struct lane *l)
{
	uint32_t i;

	for (i = l->first; i < l->first + l->count; i++) {
		may_be(&f->blocks[i], l->value);
		if (l->durable && NT_SUCCESS(l->io.status))
			is_promised(&f->blocks[i]);
	}
}

static void take_flush(struct fixture *f)
{
	uint32_t i;

	for (i = 0; i < BLOCKS; i++)
		is_promised(&f->blocks[i]);
}

/* The lanes write, perhaps while it is flushed: that promises what was answered before. */
static void run_batch(struct fixture *f)
{
	struct lane *lanes[LANES + 1], *flush_lane = &f->lanes[LANES];
	unsigned int count = 0, writers, i;

	if (!has_room(f)) {
		if (NT_SUCCESS(flush(f)->status))
			take_flush(f);
		return;
	}
	for (i = 0; i < LANES; i++) {
		if (!pick(f, 3))
			continue;
		prepare_any(f, &f->lanes[i], i);
		lanes[count++] = &f->lanes[i];
	}
	writers = count;
	if (!count || !pick(f, 5)) {
		if (pick(f, 4))
			prepare_flush(flush_lane);
		else
			prepare_verify(flush_lane);
		lanes[count++] = flush_lane;
	}
	run(f, lanes, count);
	if (count > writers && NT_SUCCESS(flush_lane->io.status))
		take_flush(f);
	for (i = 0; i < writers; i++) {
		if (lanes[i]->reads)
			take_read(f, lanes[i]);
		else
			take_write(f, lanes[i]);
	}
}

static void stop_and_start(struct fixture *f)
{
	struct lane *power = &f->lanes[LANES];

	prepare_power(power, false);
	if (NT_SUCCESS(run_one(f, power)->status))
		take_flush(f);
	prepare_power(power, true);
	assert_good(run_one(f, power));
}

static uint32_t value_on_medium(uint32_t block)
{
	const uint8_t *p = volatile_file_medium(block);
	uint32_t value;

	memcpy(&value, p, 4);
	for (uint32_t i = 4; i < BLOCK; i += 4)
		assert_memory_equal(p, p + i, 4);
	return value;
}

static void check_medium(struct fixture *f)
{
	uint32_t i, k;

	for (i = 0; i < BLOCKS; i++) {
		struct block *b = &f->blocks[i];
		uint32_t value = value_on_medium(i);

		for (k = 0; k < b->count && b->value[k] != value; k++)
			;
		if (k == b->count)
			fail_msg("block %u is %u; promised was %u, written after it %u times", i,
			         value, b->value[0], b->count - 1);
		*b = (struct block){ .value = { value }, .count = 1 };
	}
}

static void what_was_promised_survives_power_failures(void **state)
{
	struct fixture *f = *state;
	unsigned int round, batch, broken = 0;

	for (round = 0; round < ROUNDS; round++) {
		if (round % 3 == 2)
			volatile_file_set_bad(pick(f, BLOCKS - 4), 4, true);
		for (batch = 0; batch < BATCHES; batch++) {
			run_batch(f);
			if (!pick(f, 40))
				stop_and_start(f);
		}
		volatile_file_lose_power();
		check_medium(f);
		broken += lost_error(f) != 0;
		/* The operator has looked, and the guest begins anew. */
		volatile_file_set_bad(0, 0, false);
		kmcl_scsi_heal(f->host, 0, 0);
		assert_good(flush(f));
	}
	assert_true(broken >= ROUNDS / 6); /* else the rounds with bad blocks test nothing */
	assert_true(broken <= ROUNDS / 3); /* and no others are broken */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_failed_write_back_is_remembered_until_it_is_healed),
		TEST(a_disk_put_in_anew_has_lost_nothing),
		TEST(a_read_with_fua_is_of_what_is_on_the_medium),
		TEST(a_read_with_fua_fails_where_write_back_did),
		TEST(what_runs_beside_a_failed_flush_fails_too),
		TEST(what_was_promised_survives_power_failures),
	};
	const char *given = getenv("KMCL_TEST_SEED");

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	printf("# KMCL_TEST_SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
