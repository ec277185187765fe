/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest that has as many requests under way as it gets, of a kind that takes memory of the
 * host's, on a disk that finishes none of them: over a bus, and a file whose results wait. The
 * argument of this program is a pattern for the URI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../temporary.h"
#include "scsi/scsi.h"
#include "scsi/storvsc.h"
#include "volatile_file.h"
#include <kmcl/disk.h>

#define BLOCKS   256u
#define DEPTH    64u  /* of the host's queue */
#define REQUESTS 256u /* that the guest sends at once */
#define DATA     4096u
#define BESIDE   (128u << 10)
#define TAG      0x646c6666u

struct request {
	struct storvsc_io io; /* first */
	struct fixture *fixture;
};

struct fixture {
	char uri[128], path[TEMPORARY_PATH_MAX], why[256];
	HANDLE vmbus;
	PDEVICE_OBJECT bus;
	struct kmcl_scsi *host;
	struct storvsc *guest;
	struct storvsc_disk disk;
	uint8_t *memory; /* of all requests */
	PMDL mdl;
	struct request requests[REQUESTS];
	_Atomic unsigned int in_flight, failed;
};

static const char *uri_pattern = "local:scsi-flood-%d-%u";

static int setup(void **state)
{
	static unsigned int number;
	struct fixture *f = calloc(1, sizeof(*f));
	struct kmcl_scsi_options options = { .size = sizeof(options),
		                             .instance = { 0x11223344 },
		                             .queue_depth = DEPTH };
	struct storvsc_options guest = { .timeout_ms = 20000, .queue_depth = REQUESTS };

	*state = f;
	snprintf(f->uri, sizeof(f->uri), uri_pattern, getpid(), number++);
	assert_true(temporary_image(f->path, sizeof(f->path), "kmcl-flood-XXXXXX",
	                            BLOCKS * VOLATILE_BLOCK));
	volatile_file_make(BLOCKS, 1);
	if (!NT_SUCCESS(kmcl_host_open(f->uri, &f->vmbus)) ||
	    kmcl_scsi_create(kmcl_host_of_handle(f->vmbus), &options, &f->host) ||
	    kmcl_scsi_add_disk(f->host, 0, 0, f->path, NULL, f->why, sizeof(f->why)) ||
	    !NT_SUCCESS(kmcl_guest_open(f->uri, &f->bus)) ||
	    !NT_SUCCESS(storvsc_open(f->bus, &guest, &f->guest)) ||
	    !NT_SUCCESS(storvsc_identify(f->guest, (struct storvsc_address){ 0, 0 }, &f->disk)))
		return -1;
	f->memory = ExAllocatePoolWithTag(NonPagedPoolNx, DATA, TAG);
	f->mdl = IoAllocateMdl(f->memory, DATA, FALSE, FALSE, NULL);
	MmBuildMdlForNonPagedPool(f->mdl);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	storvsc_close(f->guest);
	IoFreeMdl(f->mdl);
	ExFreePoolWithTag(f->memory, TAG);
	kmcl_scsi_destroy(f->host);
	kmcl_guest_close(f->bus);
	ZwClose(f->vmbus);
	volatile_file_free();
	unlink(f->path);
	free(f);
	return 0;
}

/* ---- the flood ---- */

static uint64_t allocated(void)
{
	struct mallinfo2 info = mallinfo2(); /* 0 under a sanitizer */

	return info.uordblks + info.hblkhd;
}

static uint64_t grown_since(uint64_t before)
{
	uint64_t now = allocated();

	return now > before ? now - before : 0;
}

static void one_done(struct storvsc_io *io)
{
	struct fixture *f = ((struct request *)io)->fixture;

	if (!NT_SUCCESS(io->status))
		f->failed++;
	f->in_flight--;
}

static void await(const char *what, unsigned int (*now)(struct fixture *f), struct fixture *f,
                  unsigned int wanted)
{
	const struct timespec moment = { .tv_nsec = 200000 };

	for (unsigned int i = 0; now(f) != wanted; i++) {
		if (i > 150000)
			fail_msg("%s: %u, expected %u", what, now(f), wanted);
		nanosleep(&moment, NULL);
	}
}

static unsigned int begun(struct fixture *f)
{
	return volatile_file_held();
}

static unsigned int unanswered(struct fixture *f)
{
	return f->in_flight;
}

/* The first `hold` are held; when one is let go, one more begins: never more are under way than the
 * queue holds. */
static uint64_t flood_once(struct fixture *f,
                           void (*prepare)(struct fixture *f, struct storvsc_io *io), uint32_t hold,
                           uint64_t *left)
{
	uint64_t before, most;

	volatile_file_hold(hold);
	for (uint32_t i = 0; i < REQUESTS; i++) {
		struct request *r = &f->requests[i];

		r->fixture = f;
		r->io.mdl = f->mdl;
		r->io.done = one_done;
		prepare(f, &r->io);
	}
	before = allocated();
	f->in_flight = REQUESTS;
	for (uint32_t i = 0; i < REQUESTS; i++)
		storvsc_submit(f->guest, &f->requests[i].io);
	await("requests begun", begun, f, DEPTH);
	most = grown_since(before);
	assert_int_equal(f->in_flight, REQUESTS);
	for (uint32_t i = 0; i < hold; i++) {
		volatile_file_release(i);
		await("requests begun", begun, f, i + 1 + DEPTH < hold ? i + 1 + DEPTH : hold);
		if (grown_since(before) > most)
			most = grown_since(before);
	}
	await("requests unanswered", unanswered, f, 0);
	assert_int_equal(f->failed, 0);
	*left = grown_since(before);
	return most;
}

/* Once before, as the packets that it takes stay for the next ones. */
static void flood(struct fixture *f, void (*prepare)(struct fixture *f, struct storvsc_io *io),
                  uint64_t bytes, uint32_t hold)
{
	uint64_t most, left;

	flood_once(f, prepare, hold, &left);
	most = flood_once(f, prepare, hold, &left);
	print_message("# allocated: %llu KiB at most, %llu KiB after it\n",
	              (unsigned long long)most / 1024, (unsigned long long)left / 1024);
	if (allocated())
		assert_in_range(most, DEPTH * bytes, DEPTH * (bytes + bytes / 8) + BESIDE);
	assert_in_range(left, 0, BESIDE);
}

static void prepare_write_same(struct fixture *f, struct storvsc_io *io)
{
	io->cdb[0] = SCSI_WRITE_SAME_16;
	scsi_put32(io->cdb + 10, 1);
	io->cdb_length = 16;
	io->direction = STORVSC_TO_DISK;
	io->length = VOLATILE_BLOCK;
	memset(f->memory, 0x5a, VOLATILE_BLOCK);
}

static void a_flood_of_write_sames(void **state)
{
	flood(*state, prepare_write_same, 64 << 10, REQUESTS);
}

/* Of as many ranges as one may have. */
static void prepare_unmap(struct fixture *f, struct storvsc_io *io)
{
	enum { RANGES = 255, HEAD = 8, RANGE = 16 };

	io->cdb[0] = SCSI_UNMAP;
	io->cdb[7] = (HEAD + RANGES * RANGE) >> 8;
	io->cdb[8] = (HEAD + RANGES * RANGE) & 0xff;
	io->cdb_length = 10;
	io->direction = STORVSC_TO_DISK;
	io->length = HEAD + RANGES * RANGE;
	memset(f->memory, 0, DATA);
	f->memory[0] = (io->length - 2) >> 8;
	f->memory[1] = (io->length - 2) & 0xff;
	f->memory[2] = (RANGES * RANGE) >> 8;
	f->memory[3] = (RANGES * RANGE) & 0xff;
	for (uint32_t i = 0; i < RANGES; i++)
		scsi_put32(f->memory + HEAD + i * RANGE + 8, 1);
}

static void a_flood_of_unmaps(void **state)
{
	flood(*state, prepare_unmap, 4080, DEPTH);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_flood_of_write_sames),
		TEST(a_flood_of_unmaps),
	};

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
