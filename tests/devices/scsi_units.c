/* SPDX-License-Identifier: BSD-2-Clause */
/* What is in the SCSI controller, over a bus: CD drives and their discs, injected faults, units
 * that come and go under I/O, resets. The argument of this program is a pattern for the URI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "scsi/scsi.h"
#include "scsi/storvsc.h"
#include "scsi/storvsc_protocol.h"
#include <kmcl/disk.h>

#include "../temporary.h"

#define SIZE (8u << 20)
#define DISC (1u << 20)
#define TAG  0x74736574u

struct fixture {
	char uri[128], disk[TEMPORARY_PATH_MAX], discs[2][TEMPORARY_PATH_MAX];
	HANDLE vmbus;
	PDEVICE_OBJECT bus;
	struct kmcl_scsi *host;
	struct storvsc *guest;
	struct storvsc_disk described;
	_Atomic uint32_t changes;
	char why[256];
};

static const char *uri_pattern = "local:units-%d-%u";

static const struct storvsc_address disk_at = { 0, 0 }, cd_at = { 0, 1 };

/* Each block's bytes say which block it is, and of what. */
static void make_image(char *path, uint32_t size, uint8_t mark)
{
	uint8_t *image = malloc(size);
	uint32_t i;
	int fd;

	assert_non_null(image);
	temporary_path(path, TEMPORARY_PATH_MAX, "kmcl-units-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	memset(image, mark, size);
	for (i = 0; i < size / 512; i++)
		memcpy(image + i * 512u, &i, sizeof(i));
	assert_int_equal(write(fd, image, size), size);
	close(fd);
	free(image);
}

static void bus_changed(void *context)
{
	struct fixture *f = context;

	f->changes++;
}

static int setup(void **state)
{
	static unsigned int number;
	struct kmcl_scsi_options options = { .size = sizeof(options),
		                             .instance = { 0x11223344 },
		                             .subchannels = 0 };
	struct fixture *f = calloc(1, sizeof(*f));
	struct storvsc_options guest = {
		.timeout_ms = 20000, .queue_depth = 32, .bus_changed = bus_changed, .context = f
	};

	*state = f;
	snprintf(f->uri, sizeof(f->uri), uri_pattern, getpid(), number++);
	make_image(f->disk, SIZE, 0xdd);
	make_image(f->discs[0], DISC, 0xc0);
	make_image(f->discs[1], 2 * DISC, 0xc1);
	if (!NT_SUCCESS(kmcl_host_open(f->uri, &f->vmbus)) ||
	    kmcl_scsi_create(kmcl_host_of_handle(f->vmbus), &options, &f->host) ||
	    kmcl_scsi_add_disk(f->host, 0, 0, f->disk, NULL, f->why, sizeof(f->why)) ||
	    kmcl_scsi_add_cd(f->host, 0, 1, f->discs[0], NULL, f->why, sizeof(f->why)) ||
	    !NT_SUCCESS(kmcl_guest_open(f->uri, &f->bus)) ||
	    !NT_SUCCESS(storvsc_open(f->bus, &guest, &f->guest)) ||
	    !NT_SUCCESS(storvsc_identify(f->guest, disk_at, &f->described)))
		return -1;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->guest)
		storvsc_close(f->guest);
	kmcl_scsi_destroy(f->host);
	kmcl_guest_close(f->bus);
	ZwClose(f->vmbus);
	unlink(f->disk);
	unlink(f->discs[0]);
	unlink(f->discs[1]);
	free(f);
	return 0;
}

#define WAIT_FOR(condition)                                                \
	do {                                                               \
		int wait_tries = 4000;                                     \
		bool wait_done;                                            \
		while (!(wait_done = (condition)) && wait_tries-- > 0)     \
			nanosleep(&(struct timespec){ 0, 5000000 }, NULL); \
		assert_true(wait_done);                                    \
	} while (0)

/* A command with `length` bytes of data from the unit. */
static struct storvsc_io command(struct fixture *f, struct storvsc_address at, const uint8_t *cdb,
                                 uint8_t size, void *memory, uint32_t length)
{
	struct storvsc_io io = {
		.address = at, .cdb_length = size, .length = length, .once = true
	};

	memcpy(io.cdb, cdb, size);
	if (length) {
		io.direction = STORVSC_FROM_DISK;
		io.mdl = IoAllocateMdl(memory, length, FALSE, FALSE, NULL);
		MmBuildMdlForNonPagedPool(io.mdl);
	}
	storvsc_execute(f->guest, &io);
	if (io.mdl)
		IoFreeMdl(io.mdl);
	return io;
}

#define COMMAND(f, at, memory, length, ...)                                                        \
	command(f, at, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), \
	        memory, length)

static struct storvsc_io test_ready(struct fixture *f, struct storvsc_address at)
{
	return COMMAND(f, at, NULL, 0, SCSI_TEST_UNIT_READY, 0, 0, 0, 0, 0);
}

static void assert_sense(const struct storvsc_io *io, enum scsi_sense_key key, enum scsi_asc asc)
{
	assert_int_equal(io->scsi_status, SCSI_CHECK_CONDITION);
	assert_int_equal(io->sense_key, key);
	assert_int_equal(io->asc, asc);
}

static void *pool(size_t n)
{
	void *p = ExAllocatePoolWithTag(NonPagedPoolNx, n, TAG);

	assert_non_null(p);
	return p;
}

/* ---- CD drives ---- */

static void assert_disc(struct fixture *f, uint8_t mark, uint32_t blocks)
{
	uint8_t *memory = pool(8192);
	struct storvsc_io io;

	io = COMMAND(f, cd_at, memory, 8, SCSI_READ_CAPACITY_10, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_int_equal(io.status, STATUS_SUCCESS);
	assert_int_equal(scsi_get32(memory), blocks - 1);
	assert_int_equal(scsi_get32(memory + 4), 2048);
	io = COMMAND(f, cd_at, memory, 8192, SCSI_READ_10, 0, 0, 0, 0, 100, 0, 0, 4, 0);
	assert_int_equal(io.status, STATUS_SUCCESS);
	assert_int_equal(io.transferred, 8192);
	assert_int_equal(memory[0] | memory[1] << 8, 400);
	assert_int_equal(memory[8191], mark);
	ExFreePoolWithTag(memory, TAG);
}

static void a_disc_is_read(void **state)
{
	struct fixture *f = *state;
	struct storvsc_address list[4];
	struct kmcl_scsi_unit info = { .size = sizeof(info) };
	uint32_t count;

	assert_int_equal(storvsc_list(f->guest, list, 4, &count), STATUS_SUCCESS);
	assert_int_equal(count, 2);
	assert_int_equal(test_ready(f, cd_at).status, STATUS_SUCCESS); /* nothing has changed */
	assert_disc(f, 0xc0, DISC / 2048);
	assert_int_equal(kmcl_scsi_query(f->host, 0, 1, &info), 0);
	assert_true(info.inserted);
	assert_false(info.tray_open);
	assert_false(info.locked);
}

/* covers: kmcl_scsi_insert, kmcl_scsi_eject, kmcl_scsi_query */
static void discs_are_changed_from_the_host(void **state)
{
	struct fixture *f = *state;
	struct kmcl_scsi_unit info = { .size = sizeof(info) };
	struct storvsc_io io;
	int fd;

	assert_int_equal(kmcl_scsi_insert(f->host, 0, 1, f->discs[1], f->why, sizeof(f->why)),
	                 -EEXIST);
	assert_int_equal(kmcl_scsi_eject(f->host, 0, 1, false), 0);
	assert_int_equal(kmcl_scsi_query(f->host, 0, 1, &info), 0);
	assert_true(!info.inserted && info.tray_open);
	io = test_ready(f, cd_at);
	assert_sense(&io, SCSI_KEY_NOT_READY, SCSI_ASC_NO_MEDIUM_TRAY_OPEN);
	/* Nobody has the image any more: it can be locked. */
	fd = open(f->discs[0], O_RDWR);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &(struct flock){ .l_type = F_WRLCK }), 0);
	close(fd);
	assert_int_equal(kmcl_scsi_insert(f->host, 0, 1, f->discs[1], f->why, sizeof(f->why)), 0);
	io = test_ready(f, cd_at);
	assert_sense(&io, SCSI_KEY_UNIT_ATTENTION, SCSI_ASC_MEDIUM_MAY_HAVE_CHANGED);
	assert_disc(f, 0xc1, 2 * DISC / 2048);
}

static uint8_t media_event(struct fixture *f)
{
	uint8_t *memory = pool(8), event;
	struct storvsc_io io =
		COMMAND(f, cd_at, memory, 8, SCSI_GET_EVENT_STATUS, 1, 0, 0, 1 << 4, 0, 0, 0, 8, 0);

	assert_int_equal(io.status, STATUS_SUCCESS);
	event = memory[4];
	ExFreePoolWithTag(memory, TAG);
	return event;
}

/* covers: kmcl_scsi_eject */
static void a_locked_disc_is_asked_for_or_forced_out(void **state)
{
	struct fixture *f = *state;
	struct kmcl_scsi_unit info = { .size = sizeof(info) };
	struct storvsc_io io;

	assert_int_equal(COMMAND(f, cd_at, NULL, 0, SCSI_PREVENT_ALLOW, 0, 0, 0, 1, 0).status,
	                 STATUS_SUCCESS);
	assert_int_equal(kmcl_scsi_query(f->host, 0, 1, &info), 0);
	assert_true(info.locked);
	assert_int_equal(kmcl_scsi_eject(f->host, 0, 1, false), -EBUSY);
	assert_int_equal(media_event(f), 1); /* an eject request */
	assert_int_equal(media_event(f), 0);
	io = COMMAND(f, cd_at, NULL, 0, SCSI_START_STOP_UNIT, 0, 0, 0, 2, 0);
	assert_sense(&io, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_REMOVAL_PREVENTED);
	assert_disc(f, 0xc0, DISC / 2048);
	assert_int_equal(kmcl_scsi_eject(f->host, 0, 1, true), 0);
	assert_int_equal(media_event(f), 3); /* removed */
	io = test_ready(f, cd_at);
	assert_sense(&io, SCSI_KEY_NOT_READY, SCSI_ASC_NO_MEDIUM_TRAY_OPEN);
}

static void the_guest_ejects(void **state)
{
	struct fixture *f = *state;
	struct kmcl_scsi_unit info = { .size = sizeof(info) };
	struct storvsc_io io;

	assert_int_equal(COMMAND(f, cd_at, NULL, 0, SCSI_START_STOP_UNIT, 0, 0, 0, 2, 0).status,
	                 STATUS_SUCCESS);
	assert_int_equal(kmcl_scsi_query(f->host, 0, 1, &info), 0);
	assert_true(!info.inserted && info.tray_open);
	io = test_ready(f, cd_at);
	assert_sense(&io, SCSI_KEY_NOT_READY, SCSI_ASC_NO_MEDIUM_TRAY_OPEN);
	assert_int_equal(kmcl_scsi_insert(f->host, 0, 1, f->discs[1], f->why, sizeof(f->why)), 0);
	test_ready(f, cd_at);
	assert_disc(f, 0xc1, 2 * DISC / 2048);
}

/* covers: kmcl_scsi_add_cd, kmcl_scsi_insert, kmcl_scsi_remove */
static void drives_that_cannot_be_are_refused(void **state)
{
	struct fixture *f = *state;
	struct kmcl_scsi_unit info = { .size = sizeof(info) };

	assert_int_equal(kmcl_scsi_add_cd(f->host, 0, 1, NULL, NULL, f->why, sizeof(f->why)),
	                 -EEXIST);
	assert_int_equal(kmcl_scsi_add_cd(f->host, 2, 0, NULL, NULL, f->why, sizeof(f->why)),
	                 -EINVAL);
	assert_int_equal(kmcl_scsi_add_cd(f->host, 0, 64, NULL, NULL, f->why, sizeof(f->why)),
	                 -EINVAL);
	assert_int_equal(kmcl_scsi_add_cd(f->host, 1, 0, "/nowhere", NULL, f->why, sizeof(f->why)),
	                 -ENOENT);
	assert_int_equal(kmcl_scsi_query(f->host, 0, 0, &info), 0);
	assert_false(info.is_cd);
	assert_int_equal(kmcl_scsi_query(f->host, 0, 5, &info), -ENOENT);
	assert_int_equal(kmcl_scsi_eject(f->host, 0, 5, false), -ENOENT);
	assert_int_equal(kmcl_scsi_insert(f->host, 0, 0, f->discs[1], f->why, sizeof(f->why)),
	                 -ENOENT);
	assert_int_equal(truncate(f->discs[1], 512), 0);
	assert_int_equal(kmcl_scsi_add_cd(f->host, 1, 0, f->discs[1], NULL, f->why, sizeof(f->why)),
	                 -EINVAL);
	assert_non_null(strstr(f->why, "shorter than the 2048 bytes"));
	assert_int_equal(kmcl_scsi_add_cd(f->host, 1, 0, NULL, NULL, f->why, sizeof(f->why)), 0);
	assert_int_equal(kmcl_scsi_remove(f->host, 1, 0), 0);
}

/* ---- faults ---- */

/* covers: kmcl_scsi_inject, kmcl_scsi_heal */
static void blocks_fail_where_they_were_told_to(void **state)
{
	struct fixture *f = *state;
	struct kmcl_scsi_fault fault = {
		.size = sizeof(fault), .lba = 100, .count = 8, .reads = true
	};
	uint8_t *memory = pool(65536);

	assert_int_equal(kmcl_scsi_inject(f->host, 0, 0, &fault), 0);
	assert_int_equal(storvsc_read(f->guest, &f->described, 0, memory, 100 * 512),
	                 STATUS_SUCCESS);
	assert_int_equal(storvsc_read(f->guest, &f->described, 0, memory, 101 * 512),
	                 STATUS_DEVICE_DATA_ERROR);
	assert_int_equal(storvsc_read(f->guest, &f->described, 107 * 512, memory, 512),
	                 STATUS_DEVICE_DATA_ERROR);
	assert_int_equal(storvsc_read(f->guest, &f->described, 108 * 512, memory, 512),
	                 STATUS_SUCCESS);
	assert_int_equal(storvsc_write(f->guest, &f->described, 100 * 512, memory, 4096),
	                 STATUS_SUCCESS);
	fault = (struct kmcl_scsi_fault){
		.size = sizeof(struct kmcl_scsi_fault), .lba = 200, .count = 1, .writes = true
	};
	assert_int_equal(kmcl_scsi_inject(f->host, 0, 0, &fault), 0);
	assert_int_equal(storvsc_read(f->guest, &f->described, 200 * 512, memory, 512),
	                 STATUS_SUCCESS);
	assert_int_equal(storvsc_write(f->guest, &f->described, 200 * 512, memory, 512),
	                 STATUS_DEVICE_DATA_ERROR);
	assert_int_equal(storvsc_discard(f->guest, &f->described, 196 * 512, 4096),
	                 STATUS_DEVICE_DATA_ERROR);
	assert_int_equal(storvsc_flush(f->guest, &f->described), STATUS_SUCCESS);
	assert_int_equal(kmcl_scsi_heal(f->host, 0, 0), 0);
	assert_int_equal(storvsc_read(f->guest, &f->described, 100 * 512, memory, 512),
	                 STATUS_SUCCESS);
	assert_int_equal(storvsc_write(f->guest, &f->described, 200 * 512, memory, 512),
	                 STATUS_SUCCESS);
	ExFreePoolWithTag(memory, TAG);
}

static void a_fault_says_what_and_where(void **state)
{
	struct fixture *f = *state;
	struct kmcl_scsi_fault fault = {
		.size = sizeof(fault), .lba = 5, .count = 1, .reads = true, .writes = true
	};
	uint8_t *memory = pool(8192);
	struct storvsc_io io;

	assert_int_equal(kmcl_scsi_inject(f->host, 0, 0, &fault), 0);
	io = COMMAND(f, disk_at, memory, 4096, SCSI_READ_10, 0, 0, 0, 0, 2, 0, 0, 8, 0);
	assert_sense(&io, SCSI_KEY_MEDIUM_ERROR, SCSI_ASC_UNRECOVERED_READ_ERROR);
	assert_int_equal(io.transferred, 0);
	assert_int_equal(kmcl_scsi_inject(f->host, 0, 1, &fault), 0); /* on the CD */
	io = COMMAND(f, cd_at, memory, 2048, SCSI_READ_10, 0, 0, 0, 0, 5, 0, 0, 1, 0);
	assert_sense(&io, SCSI_KEY_MEDIUM_ERROR, SCSI_ASC_UNRECOVERED_READ_ERROR);
	io = COMMAND(f, cd_at, memory, 2048, SCSI_READ_10, 0, 0, 0, 0, 6, 0, 0, 1, 0);
	assert_int_equal(io.status, STATUS_SUCCESS);
	ExFreePoolWithTag(memory, TAG);
}

static void faults_can_be_counted(void **state)
{
	struct fixture *f = *state;
	struct kmcl_scsi_fault fault = {
		.size = sizeof(fault), .lba = 1, .count = 1, .reads = true, .times = 2
	};
	uint8_t *memory = pool(4096);
	uint32_t i;

	for (i = 0; i < KMCL_SCSI_FAULTS; i++) {
		fault.lba = i;
		assert_int_equal(kmcl_scsi_inject(f->host, 0, 0, &fault), 0);
	}
	assert_int_equal(kmcl_scsi_inject(f->host, 0, 0, &fault), -ENOSPC);
	for (i = 0; i < 3; i++)
		assert_int_equal(storvsc_read(f->guest, &f->described, 512, memory, 512),
		                 i < 2 ? STATUS_DEVICE_DATA_ERROR : STATUS_SUCCESS);
	assert_int_equal(kmcl_scsi_inject(f->host, 0, 0, &fault), 0);
	fault.count = 0;
	assert_int_equal(kmcl_scsi_inject(f->host, 0, 0, &fault), -EINVAL);
	fault.count = 1;
	fault.reads = false;
	assert_int_equal(kmcl_scsi_inject(f->host, 0, 0, &fault), -EINVAL);
	fault.reads = true;
	assert_int_equal(kmcl_scsi_inject(f->host, 1, 0, &fault), -ENOENT);
	assert_int_equal(kmcl_scsi_heal(f->host, 1, 0), -ENOENT);
	ExFreePoolWithTag(memory, TAG);
}

/* ---- coming and going under I/O ---- */

struct reader {
	struct fixture *f;
	_Atomic bool stop;
	_Atomic uint32_t good, gone, other;
};

static void *read_on(void *context)
{
	struct reader *r = context;
	uint8_t *memory = pool(65536);
	uint32_t at = 0;

	while (!r->stop) {
		NTSTATUS status = storvsc_read(r->f->guest, &r->f->described, (at++ % 64) * 65536,
		                               memory, 65536);

		if (status == STATUS_SUCCESS)
			r->good++;
		else if (status == STATUS_NO_SUCH_DEVICE)
			r->gone++;
		else
			r->other++;
	}
	ExFreePoolWithTag(memory, TAG);
	return NULL;
}

/* Each request ends, with the data or with INVALID LUN; the guest is told each time. */
/* covers: kmcl_scsi_add_disk, kmcl_scsi_remove */
static void a_disk_is_removed_under_io(void **state)
{
	struct fixture *f = *state;
	struct reader r = { .f = f };
	struct storvsc_address list[4];
	pthread_t threads[4];
	uint32_t i, round, count, before;

	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, read_on, &r);
	for (round = 0; round < 20; round++) {
		before = r.good;
		WAIT_FOR(r.good > before);
		assert_int_equal(kmcl_scsi_remove(f->host, 0, 0), 0);
		before = r.gone;
		WAIT_FOR(r.gone > before);
		assert_int_equal(storvsc_list(f->guest, list, 4, &count), STATUS_SUCCESS);
		assert_int_equal(count, 1);
		WAIT_FOR(f->changes == 2 * round + 1);
		/* The last request closes the image, and with it the lock. */
		WAIT_FOR(!kmcl_scsi_add_disk(f->host, 0, 0, f->disk, NULL, f->why, sizeof(f->why)));
		WAIT_FOR(f->changes == 2 * round + 2);
	}
	r.stop = true;
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(r.other, 0);
}

static void a_removed_unit_is_an_invalid_lun(void **state)
{
	struct fixture *f = *state;
	struct storvsc_io io;

	assert_int_equal(kmcl_scsi_remove(f->host, 0, 1), 0);
	io = test_ready(f, cd_at);
	assert_int_equal(io.status, STATUS_NO_SUCH_DEVICE);
	assert_int_equal(io.srb_status, STORVSC_SRB_INVALID_LUN);
	io = COMMAND(f, cd_at, NULL, 0, SCSI_READ_10, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_int_equal(io.status, STATUS_NO_SUCH_DEVICE);
	assert_int_equal(io.srb_status, STORVSC_SRB_INVALID_LUN | STORVSC_SRB_AUTOSENSE_VALID);
	assert_int_equal(io.sense_key, SCSI_KEY_ILLEGAL_REQUEST);
	assert_int_equal(io.asc, SCSI_ASC_LUN_NOT_SUPPORTED);
	assert_int_equal(kmcl_scsi_remove(f->host, 0, 1), -ENOENT);
}

static void *read_disc_on(void *context)
{
	struct reader *r = context;
	uint8_t *memory = pool(65536);

	while (!r->stop) {
		struct storvsc_io io = COMMAND(r->f, cd_at, memory, 65536, SCSI_READ_10, 0, 0, 0, 0,
		                               64, 0, 0, 32, 0);

		if (io.status == STATUS_SUCCESS && memory[65535] == 0xc0)
			r->good++;
		else if (io.sense_key == SCSI_KEY_NOT_READY)
			r->gone++;
		else if (io.sense_key != SCSI_KEY_UNIT_ATTENTION)
			r->other++;
	}
	ExFreePoolWithTag(memory, TAG);
	return NULL;
}

/* A disc that is ejected under its readers: what was begun is finished, the rest is not ready. */
static void a_disc_is_ejected_under_io(void **state)
{
	struct fixture *f = *state;
	struct reader r = { .f = f };
	pthread_t threads[4];
	uint32_t i, round, before;

	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, read_disc_on, &r);
	for (round = 0; round < 20; round++) {
		before = r.good;
		WAIT_FOR(r.good > before);
		assert_int_equal(kmcl_scsi_eject(f->host, 0, 1, false), 0);
		before = r.gone;
		WAIT_FOR(r.gone > before);
		assert_int_equal(
			kmcl_scsi_insert(f->host, 0, 1, f->discs[0], f->why, sizeof(f->why)), 0);
	}
	r.stop = true;
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(r.other, 0);
}

/* ---- disks that are stopped ---- */

static NTSTATUS read_disk(struct fixture *f)
{
	uint8_t *memory = pool(4096);
	NTSTATUS status = storvsc_read(f->guest, &f->described, 0, memory, 4096);

	ExFreePoolWithTag(memory, TAG);
	return status;
}

static void stop_disk(struct fixture *f)
{
	struct storvsc_io io = COMMAND(f, disk_at, NULL, 0, SCSI_START_STOP_UNIT, 0, 0, 0, 0, 0);

	assert_int_equal(io.status, STATUS_SUCCESS);
	io = test_ready(f, disk_at);
	assert_sense(&io, SCSI_KEY_NOT_READY, SCSI_ASC_NEEDS_START);
	assert_int_equal(read_disk(f), STATUS_DEVICE_NOT_READY);
}

/* Until it is started, or reset, or until the guest's driver begins anew, as after a reboot. */
static void a_stopped_disk_is_not_ready(void **state)
{
	struct fixture *f = *state;
	struct storvsc_io io;

	assert_int_equal(read_disk(f), STATUS_SUCCESS);
	stop_disk(f);
	io = COMMAND(f, disk_at, NULL, 0, SCSI_START_STOP_UNIT, 0, 0, 0, 1, 0);
	assert_int_equal(io.status, STATUS_SUCCESS);
	assert_int_equal(read_disk(f), STATUS_SUCCESS);
	stop_disk(f);
	storvsc_close(f->guest);
	f->guest = NULL;
	assert_int_equal(storvsc_open(f->bus, NULL, &f->guest), STATUS_SUCCESS);
	assert_int_equal(read_disk(f), STATUS_SUCCESS);
}

/* ---- disks that grow ---- */

static int resize_disk(struct fixture *f, uint64_t size)
{
	return kmcl_scsi_resize(f->host, 0, 0, size, f->why, sizeof(f->why));
}

static uint64_t file_size(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

static void assert_capacity(struct fixture *f, uint64_t size)
{
	uint8_t *memory = pool(32);
	struct kmcl_scsi_unit info = { .size = sizeof(info) };
	struct storvsc_io io;

	io = COMMAND(f, disk_at, memory, 8, SCSI_READ_CAPACITY_10, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_int_equal(io.status, STATUS_SUCCESS);
	assert_int_equal(scsi_get32(memory), size / 512 - 1);
	io = COMMAND(f, disk_at, memory, 32, SCSI_SERVICE_ACTION_IN_16,
	             SCSI_ACTION_READ_CAPACITY_16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0);
	assert_int_equal(io.status, STATUS_SUCCESS);
	assert_int_equal(scsi_get64(memory), size / 512 - 1);
	assert_int_equal(kmcl_scsi_query(f->host, 0, 0, &info), 0);
	assert_int_equal(info.bytes, size);
	ExFreePoolWithTag(memory, TAG);
}

/* As Hyper-V's, which Linux of any age takes for the news that it is. */
static void assert_news(struct fixture *f)
{
	struct storvsc_io io = test_ready(f, disk_at);

	assert_sense(&io, SCSI_KEY_UNIT_ATTENTION, SCSI_ASC_CAPACITY_CHANGED);
	assert_int_equal(io.srb_status, STORVSC_SRB_ABORTED | STORVSC_SRB_AUTOSENSE_VALID);
	assert_int_equal(test_ready(f, disk_at).status, STATUS_SUCCESS);
}

/* covers: kmcl_scsi_resize, kmcl_scsi_query */
static void a_disk_grows(void **state)
{
	struct fixture *f = *state;
	struct storvsc_io io;

	io = COMMAND(f, disk_at, NULL, 0, SCSI_VERIFY_10, 0, 0, 0, SIZE >> 17, 0, 0, 0, 1, 0);
	assert_int_equal(io.status, STATUS_INVALID_DEVICE_REQUEST);
	assert_int_equal(resize_disk(f, 2 * SIZE), 0);
	assert_int_equal(file_size(f->disk), 2 * SIZE);
	WAIT_FOR(f->changes == 1);
	assert_news(f);
	assert_capacity(f, 2 * SIZE);
	/* What it has already is no news. */
	assert_int_equal(resize_disk(f, 2 * SIZE), 0);
	assert_int_equal(resize_disk(f, 0), 0);
	assert_int_equal(test_ready(f, disk_at).status, STATUS_SUCCESS);
	/* Who made it larger may have been somebody else. */
	assert_int_equal(truncate(f->disk, 3 * SIZE), 0);
	assert_int_equal(test_ready(f, disk_at).status, STATUS_SUCCESS);
	assert_int_equal(resize_disk(f, 0), 0);
	WAIT_FOR(f->changes == 2);
	assert_news(f);
	assert_capacity(f, 3 * SIZE);
}

/* The driver sends again what was answered with the news, and finds the new size if it looks. */
static void the_driver_uses_what_was_added(void **state)
{
	struct fixture *f = *state;
	uint8_t *memory = pool(4096);

	assert_int_equal(resize_disk(f, 2 * SIZE), 0);
	assert_int_equal(storvsc_read(f->guest, &f->described, SIZE - 4096, memory, 4096),
	                 STATUS_SUCCESS);
	assert_int_equal(storvsc_read(f->guest, &f->described, SIZE, memory, 4096),
	                 STATUS_INVALID_PARAMETER);
	assert_int_equal(resize_disk(f, 3 * SIZE), 0);
	assert_int_equal(storvsc_identify(f->guest, disk_at, &f->described), STATUS_SUCCESS);
	assert_int_equal(f->described.size, 3 * SIZE);
	memset(memory, 0x3c, 4096);
	assert_int_equal(storvsc_write(f->guest, &f->described, 3 * SIZE - 4096, memory, 4096),
	                 STATUS_SUCCESS);
	assert_int_equal(storvsc_read(f->guest, &f->described, 3 * SIZE - 8192, memory, 4096),
	                 STATUS_SUCCESS);
	assert_int_equal(memory[0] | memory[4095], 0);
	assert_int_equal(storvsc_read(f->guest, &f->described, 3 * SIZE - 4096, memory, 4096),
	                 STATUS_SUCCESS);
	assert_int_equal(memory[4095], 0x3c);
	/* A guest that begins anew has heard of no size. */
	assert_int_equal(resize_disk(f, 4 * SIZE), 0);
	storvsc_close(f->guest);
	f->guest = NULL;
	assert_int_equal(storvsc_open(f->bus, NULL, &f->guest), STATUS_SUCCESS);
	assert_int_equal(test_ready(f, disk_at).status, STATUS_SUCCESS);
	ExFreePoolWithTag(memory, TAG);
}

static void assert_no_size(struct fixture *f, uint64_t size, int error, const char *why)
{
	*f->why = 0;
	assert_int_equal(resize_disk(f, size), error);
	assert_non_null(strstr(f->why, why));
	assert_int_equal(test_ready(f, disk_at).status, STATUS_SUCCESS);
}

/* covers: kmcl_scsi_resize */
static void sizes_that_cannot_be_are_refused(void **state)
{
	struct fixture *f = *state;
	struct rlimit limit;

	assert_no_size(f, SIZE - 512, -EINVAL, "does not shrink");
	assert_no_size(f, SIZE + 100, -EINVAL, "blocks of 512 bytes");
	assert_no_size(f, 1ull << 63, -EFBIG, strerror(EFBIG));
	/* What this process may not make is refused, and does not end it. */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = 2 * SIZE;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_no_size(f, 2 * SIZE + 512, -EFBIG, strerror(EFBIG));
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(file_size(f->disk), SIZE);
	assert_int_equal(truncate(f->disk, SIZE - 512), 0);
	assert_no_size(f, 0, -EINVAL, "does not shrink");
	assert_int_equal(truncate(f->disk, 0), 0);
	assert_no_size(f, 0, -EINVAL, "does not shrink");
	assert_int_equal(truncate(f->disk, SIZE + 100), 0);
	assert_no_size(f, 0, -EINVAL, "multiple of 512 bytes");
	/* What somebody may have written past what the guest has is not cut off. */
	assert_int_equal(truncate(f->disk, 3 * SIZE), 0);
	assert_no_size(f, 2 * SIZE, -EINVAL, "larger than that already");
	assert_int_equal(file_size(f->disk), 3 * SIZE);
	assert_capacity(f, SIZE);
	assert_int_equal(unlink(f->disk), 0);
	assert_no_size(f, 0, -EINVAL, "deleted or replaced");
	assert_no_size(f, 4 * SIZE, -EINVAL, "deleted or replaced");
	assert_capacity(f, SIZE);
	assert_int_equal(f->changes, 0);
}

/* covers: kmcl_scsi_resize */
static void not_every_unit_is_made_larger(void **state)
{
	struct fixture *f = *state;
	struct kmcl_disk_options options = { .size = sizeof(options), .read_only = true };
	struct kmcl_scsi_unit info = { .size = sizeof(info) };

	assert_int_equal(kmcl_scsi_resize(f->host, 0, 1, 2 * DISC, f->why, sizeof(f->why)),
	                 -ENOENT);
	assert_non_null(strstr(f->why, "no disk at target 0 LUN 1"));
	assert_int_equal(kmcl_scsi_resize(f->host, 1, 1, 0, NULL, 0), -ENOENT);
	assert_int_equal(kmcl_scsi_resize(f->host, 2, 0, 0, NULL, 0), -ENOENT);
	/* One that is read-only may be made larger by others. */
	assert_int_equal(
		kmcl_scsi_add_disk(f->host, 1, 0, f->discs[1], &options, f->why, sizeof(f->why)),
		0);
	assert_int_equal(kmcl_scsi_resize(f->host, 1, 0, 4 * DISC, f->why, sizeof(f->why)),
	                 -EINVAL);
	assert_non_null(strstr(f->why, "read-only"));
	assert_int_equal(truncate(f->discs[1], 4 * DISC), 0);
	assert_int_equal(kmcl_scsi_resize(f->host, 1, 0, 0, f->why, sizeof(f->why)), 0);
	assert_int_equal(kmcl_scsi_query(f->host, 1, 0, &info), 0);
	assert_int_equal(info.bytes, 4 * DISC);
	assert_int_equal(kmcl_scsi_remove(f->host, 1, 0), 0);
	/* Blocks of 4096 bytes: what is too little for one more is none. */
	options = (struct kmcl_disk_options){ .size = sizeof(options), .block_size = 4096 };
	WAIT_FOR(!kmcl_scsi_add_disk(f->host, 1, 0, f->discs[1], &options, f->why, sizeof(f->why)));
	assert_int_equal(kmcl_scsi_resize(f->host, 1, 0, 4 * DISC + 512, f->why, sizeof(f->why)),
	                 -EINVAL);
	assert_non_null(strstr(f->why, "blocks of 4096 bytes"));
	assert_int_equal(truncate(f->discs[1], 4 * DISC + 512), 0);
	assert_int_equal(kmcl_scsi_resize(f->host, 1, 0, 0, f->why, sizeof(f->why)), 0);
	assert_int_equal(kmcl_scsi_query(f->host, 1, 0, &info), 0);
	assert_int_equal(info.bytes, 4 * DISC);
}

#define GROWTHS 16u

/* Reads of the last block that there will be. */
static void *read_end_on(void *context)
{
	struct reader *r = context;
	uint8_t *memory = pool(512);

	while (!r->stop) {
		struct storvsc_io io = COMMAND(r->f, disk_at, memory, 512, SCSI_READ_10, 0, 0, 0,
		                               SIZE >> 17, GROWTHS - 1, 0, 0, 1, 0);

		if (io.status == STATUS_SUCCESS)
			r->good++;
		else if (io.asc == SCSI_ASC_LBA_OUT_OF_RANGE)
			r->gone++;
		else if (io.sense_key != SCSI_KEY_UNIT_ATTENTION ||
		         io.asc != SCSI_ASC_CAPACITY_CHANGED)
			r->other++;
	}
	ExFreePoolWithTag(memory, TAG);
	return NULL;
}

/* Each request is inside or outside, never half of it; the data is there once it is inside. */
static void a_disk_grows_under_io(void **state)
{
	struct fixture *f = *state;
	struct reader r = { .f = f };
	pthread_t threads[2];
	uint32_t i, before;

	for (i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, read_end_on, &r);
	for (i = 1; i <= GROWTHS; i++) {
		before = r.gone;
		WAIT_FOR(r.gone > before);
		assert_int_equal(r.good, 0);
		assert_int_equal(resize_disk(f, SIZE + i * 512ull), 0);
		WAIT_FOR(f->changes == i);
	}
	WAIT_FOR(r.good > 0);
	r.stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(r.other, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_disc_is_read),
		TEST(discs_are_changed_from_the_host),
		TEST(a_locked_disc_is_asked_for_or_forced_out),
		TEST(the_guest_ejects),
		TEST(drives_that_cannot_be_are_refused),
		TEST(blocks_fail_where_they_were_told_to),
		TEST(a_fault_says_what_and_where),
		TEST(faults_can_be_counted),
		TEST(a_disk_is_removed_under_io),
		TEST(a_removed_unit_is_an_invalid_lun),
		TEST(a_disc_is_ejected_under_io),
		TEST(a_stopped_disk_is_not_ready),
		TEST(a_disk_grows),
		TEST(the_driver_uses_what_was_added),
		TEST(sizes_that_cannot_be_are_refused),
		TEST(not_every_unit_is_made_larger),
		TEST(a_disk_grows_under_io),
	};

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
