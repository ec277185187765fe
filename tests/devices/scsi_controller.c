/* SPDX-License-Identifier: BSD-2-Clause */
/* The SCSI service and its driver over a bus: the argument of this program is a pattern for its
 * URI, so that each test has one of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scsi/scsi.h"
#include "scsi/storvsc.h"
#include "scsi/storvsc_protocol.h"
#include <kmcl/disk.h>

#include "../temporary.h"

#define SIZE (8u << 20)
#define TAG  0x74736574u

/* A guest that says what it likes. */
struct raw {
	VMBCHANNEL vmb;
	KEVENT started;
	struct storvsc_packet reply;
	uint32_t reply_size;
	struct storvsc_packet told; /* by a packet of the host's own */
	uint32_t told_size;
	_Atomic uint32_t told_count;
};

struct fixture {
	struct raw raw[2];
	char uri[128], path[TEMPORARY_PATH_MAX], second_path[TEMPORARY_PATH_MAX];
	HANDLE vmbus;
	PDEVICE_OBJECT bus;
	struct kmcl_scsi *host;
	struct storvsc *guest;
	struct storvsc_disk disk;
	KEVENT changed;
};

static const char *uri_pattern = "local:scsi-%d-%u";

static const struct storvsc_address first = { 0, 0 };

static int add_disk(struct fixture *f, uint8_t lun, const char *path, bool read_only)
{
	struct kmcl_disk_options options = { .size = sizeof(options),
		                             .read_only = read_only,
		                             .serial = "test" };
	char why[256];

	return kmcl_scsi_add_disk(f->host, 0, lun, path, &options, why, sizeof(why));
}

static void bus_changed(void *context)
{
	struct fixture *f = context;

	KeSetEvent(&f->changed, 0, FALSE);
}

static NTSTATUS open_guest(struct fixture *f, uint16_t version)
{
	struct storvsc_options options = {
		.version_max = version,
		.queue_depth = 16,
		.timeout_ms = 20000,
		.bus_changed = bus_changed,
		.context = f,
	};

	return storvsc_open(f->bus, &options, &f->guest);
}

static int setup_host(void **state)
{
	static unsigned int number;
	struct kmcl_scsi_options options = { .size = sizeof(options),
		                             .instance = { 0x11223344 },
		                             .subchannels = 2 };
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	KeInitializeEvent(&f->changed, NotificationEvent, FALSE);
	snprintf(f->uri, sizeof(f->uri), uri_pattern, getpid(), number++);
	assert_true(temporary_image(f->path, TEMPORARY_PATH_MAX, "kmcl-scsi-XXXXXX", SIZE));
	assert_true(temporary_image(f->second_path, TEMPORARY_PATH_MAX, "kmcl-scsi-XXXXXX", SIZE));
	if (!NT_SUCCESS(kmcl_host_open(f->uri, &f->vmbus)) ||
	    kmcl_scsi_create(kmcl_host_of_handle(f->vmbus), &options, &f->host) ||
	    add_disk(f, 0, f->path, false) || !NT_SUCCESS(kmcl_guest_open(f->uri, &f->bus)))
		return -1;
	return 0;
}

static int setup(void **state)
{
	struct fixture *f;

	if (setup_host(state))
		return -1;
	f = *state;
	if (!NT_SUCCESS(open_guest(f, 0)) ||
	    !NT_SUCCESS(storvsc_identify(f->guest, first, &f->disk)))
		return -1;
	return 0;
}

static void raw_close(struct raw *r)
{
	VmbChannelDisable(r->vmb);
	VmbChannelCleanup(r->vmb);
	r->vmb = NULL;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	size_t i;

	for (i = 2; i-- > 0;) {
		if (f->raw[i].vmb)
			raw_close(&f->raw[i]);
	}
	if (f->guest)
		storvsc_close(f->guest);
	if (f->host)
		kmcl_scsi_destroy(f->host);
	kmcl_guest_close(f->bus);
	ZwClose(f->vmbus);
	unlink(f->path);
	unlink(f->second_path);
	free(f);
	return 0;
}

static uint8_t *pool(size_t n)
{
	uint8_t *p = ExAllocatePoolWithTag(NonPagedPoolNx, n, TAG);

	assert_non_null(p);
	return p;
}

static void release(void *p)
{
	ExFreePoolWithTag(p, TAG);
}

static void fill_with(uint8_t *p, size_t n, uint32_t seed)
{
	size_t i;

	for (i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (uint8_t)(seed >> 24);
	}
}

static void assert_file(const char *path, off_t at, const uint8_t *expected, size_t n)
{
	uint8_t *data = malloc(n);
	FILE *file = fopen(path, "rb");

	assert_non_null(file);
	assert_int_equal(fseeko(file, at, SEEK_SET), 0);
	assert_int_equal(fread(data, 1, n, file), n);
	assert_memory_equal(data, expected, n);
	fclose(file);
	free(data);
}

/* ---- through the driver ---- */

static void the_disk_is_found_and_described(void **state)
{
	struct fixture *f = *state;
	struct storvsc_address list[4];
	uint32_t count;

	assert_int_equal(storvsc_list(f->guest, list, 4, &count), STATUS_SUCCESS);
	assert_int_equal(count, 1);
	assert_int_equal(list[0].target, 0);
	assert_int_equal(list[0].lun, 0);
	assert_int_equal(storvsc_version(f->guest), STORVSC_VERSION_WIN10);
	assert_int_equal(f->disk.size, SIZE);
	assert_int_equal(f->disk.block_size, 512);
	assert_int_equal(f->disk.physical_block_size, 4096);
	assert_false(f->disk.read_only);
	assert_string_equal(f->disk.vendor, "Msft");
	assert_string_equal(f->disk.product, "Virtual Disk");
	assert_string_equal(f->disk.serial, "test");
}

static void what_is_written_is_in_the_image_and_read_back(void **state)
{
	struct fixture *f = *state;
	uint8_t *memory = pool(5 << 20), *other = pool(5 << 20);

	fill_with(memory, 5 << 20, 1);
	/* More than one request's worth, from and to places inside pages. */
	assert_int_equal(storvsc_write(f->guest, &f->disk, 512, memory + 40, (4 << 20) + 1536),
	                 STATUS_SUCCESS);
	assert_int_equal(storvsc_flush(f->guest, &f->disk), STATUS_SUCCESS);
	assert_file(f->path, 512, memory + 40, (4 << 20) + 1536);
	assert_int_equal(storvsc_read(f->guest, &f->disk, 1024, other + 8, 4 << 20),
	                 STATUS_SUCCESS);
	assert_memory_equal(other + 8, memory + 40 + 512, 4 << 20);
	release(memory);
	release(other);
}

struct many {
	struct storvsc_io io;
	uint8_t *memory;
	_Atomic unsigned int *left;
	KEVENT *done;
};

static void one_done(struct storvsc_io *io)
{
	struct many *m = (struct many *)io;

	if (atomic_fetch_sub(m->left, 1) == 1)
		KeSetEvent(m->done, 0, FALSE);
}

/* 128 at once with room for 16 at the host: the others wait in the driver. */
static void more_requests_than_the_queue_holds(void **state)
{
	struct fixture *f = *state;
	struct many *all = calloc(128, sizeof(*all));
	_Atomic unsigned int left;
	KEVENT done;
	unsigned int i, round;

	KeInitializeEvent(&done, NotificationEvent, FALSE);
	for (i = 0; i < 128; i++) {
		all[i].memory = pool(16384);
		all[i].left = &left;
		all[i].done = &done;
		all[i].io.done = one_done;
		all[i].io.mdl = IoAllocateMdl(all[i].memory, 16384, FALSE, FALSE, NULL);
		MmBuildMdlForNonPagedPool(all[i].io.mdl);
		fill_with(all[i].memory, 16384, i);
	}
	for (round = 0; round < 2; round++) {
		left = 128;
		KeClearEvent(&done);
		for (i = 0; i < 128; i++) {
			if (round == 0)
				storvsc_prepare_write(&all[i].io, &f->disk, i * 16384ull, 16384);
			else
				storvsc_prepare_read(&all[i].io, &f->disk, i * 16384ull, 16384);
			storvsc_submit(f->guest, &all[i].io);
		}
		KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
		for (i = 0; i < 128; i++) {
			uint8_t expected[16384];

			assert_int_equal(all[i].io.status, STATUS_SUCCESS);
			assert_int_equal(all[i].io.transferred, 16384);
			fill_with(expected, sizeof(expected), i);
			assert_memory_equal(all[i].memory, expected, sizeof(expected));
			if (round == 0)
				memset(all[i].memory, 0, 16384);
		}
	}
	for (i = 0; i < 128; i++) {
		IoFreeMdl(all[i].io.mdl);
		release(all[i].memory);
	}
	free(all);
}

static void discarded_ranges_read_as_zeroes(void **state)
{
	struct fixture *f = *state;
	uint8_t *memory = pool(65536);
	size_t i;

	if (!f->disk.discards)
		skip();
	fill_with(memory, 65536, 3);
	assert_int_equal(storvsc_write(f->guest, &f->disk, 0, memory, 65536), STATUS_SUCCESS);
	assert_int_equal(storvsc_discard(f->guest, &f->disk, 4096, 32768), STATUS_SUCCESS);
	memset(memory + 4096, 0, 32768);
	assert_file(f->path, 0, memory, 65536);
	assert_int_equal(storvsc_read(f->guest, &f->disk, 4096, memory, 32768), STATUS_SUCCESS);
	for (i = 0; i < 32768; i++)
		assert_int_equal(memory[i], 0);
	release(memory);
}

static void a_read_only_disk_refuses_writes(void **state)
{
	struct fixture *f = *state;
	struct storvsc_disk disk;
	uint8_t *memory = pool(4096);

	assert_int_equal(add_disk(f, 5, f->second_path, true), 0);
	assert_int_equal(storvsc_identify(f->guest, (struct storvsc_address){ 0, 5 }, &disk),
	                 STATUS_SUCCESS);
	assert_true(disk.read_only);
	assert_int_equal(storvsc_read(f->guest, &disk, 0, memory, 4096), STATUS_SUCCESS);
	assert_int_equal(storvsc_write(f->guest, &disk, 0, memory, 4096),
	                 STATUS_MEDIA_WRITE_PROTECTED);
	release(memory);
}

/* From any place in its pages, which the device behind the image cannot use. */
static void a_direct_disk_takes_any_memory(void **state)
{
	static const uint32_t offsets[] = { 256, 4, 1, 4095 };
	struct kmcl_disk_options options = { .size = sizeof(options), .direct = true };
	struct fixture *f = *state;
	struct storvsc_disk disk;
	uint8_t *memory = pool((1 << 20) + 4096), *other = pool((1 << 20) + 4096);
	char why[256];
	size_t i;

	if (kmcl_scsi_add_disk(f->host, 0, 6, f->second_path, &options, why, sizeof(why))) {
		print_message("# skipped: O_DIRECT: %s\n", why);
		skip();
	}
	assert_int_equal(storvsc_identify(f->guest, (struct storvsc_address){ 0, 6 }, &disk),
	                 STATUS_SUCCESS);
	for (i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		uint8_t *a = memory + offsets[i], *b = other + offsets[i];

		fill_with(a, 1 << 20, offsets[i]);
		assert_int_equal(storvsc_write(f->guest, &disk, 8192, a, 1 << 20), STATUS_SUCCESS);
		assert_int_equal(storvsc_read(f->guest, &disk, 8192, b, 1 << 20), STATUS_SUCCESS);
		assert_memory_equal(a, b, 1 << 20);
		assert_int_equal(storvsc_read(f->guest, &disk, 8704, b, 512), STATUS_SUCCESS);
		assert_memory_equal(a + 512, b, 512);
	}
	release(memory);
	release(other);
}

static void the_end_of_the_disk_is_the_end(void **state)
{
	struct fixture *f = *state;
	struct storvsc_io io = { 0 };
	uint8_t *memory = pool(4096);

	assert_int_equal(storvsc_read(f->guest, &f->disk, SIZE, memory, 512),
	                 STATUS_INVALID_PARAMETER);
	/* And where the driver does not look, the host does. */
	io.mdl = IoAllocateMdl(memory, 4096, FALSE, FALSE, NULL);
	MmBuildMdlForNonPagedPool(io.mdl);
	storvsc_prepare_read(&io, &f->disk, SIZE - 512, 4096);
	assert_int_equal(storvsc_execute(f->guest, &io), STATUS_INVALID_DEVICE_REQUEST);
	assert_int_equal(io.sense_key, SCSI_KEY_ILLEGAL_REQUEST);
	assert_int_equal(io.asc, SCSI_ASC_LBA_OUT_OF_RANGE);
	IoFreeMdl(io.mdl);
	release(memory);
}

static void an_image_that_shrinks_gives_medium_errors(void **state)
{
	struct fixture *f = *state;
	uint8_t *memory = pool(4096);

	assert_int_equal(truncate(f->path, 4096), 0);
	assert_int_equal(storvsc_read(f->guest, &f->disk, 8192, memory, 4096),
	                 STATUS_DEVICE_DATA_ERROR);
	assert_int_equal(storvsc_read(f->guest, &f->disk, 0, memory, 4096), STATUS_SUCCESS);
	release(memory);
}

static void absent_disks_are_absent(void **state)
{
	struct fixture *f = *state;
	struct storvsc_disk disk;
	struct storvsc_io io = { .address = { 1, 3 }, .cdb_length = 6 }; /* TEST UNIT READY */

	assert_int_equal(storvsc_identify(f->guest, (struct storvsc_address){ 0, 1 }, &disk),
	                 STATUS_NO_SUCH_DEVICE);
	assert_int_equal(storvsc_identify(f->guest, (struct storvsc_address){ 9, 200 }, &disk),
	                 STATUS_NO_SUCH_DEVICE);
	/* macOS and FreeBSD look for units with it, Linux 6.1.176 needs the sense of a read. */
	assert_int_equal(storvsc_execute(f->guest, &io), STATUS_NO_SUCH_DEVICE);
	assert_int_equal(io.srb_status, STORVSC_SRB_INVALID_LUN);
	assert_int_equal(io.scsi_status, SCSI_GOOD);
	io.cdb[0] = SCSI_READ_10;
	io.cdb_length = 10;
	assert_int_equal(storvsc_execute(f->guest, &io), STATUS_NO_SUCH_DEVICE);
	assert_int_equal(io.srb_status, STORVSC_SRB_INVALID_LUN | STORVSC_SRB_AUTOSENSE_VALID);
	assert_int_equal(io.scsi_status, SCSI_CHECK_CONDITION);
	assert_int_equal(io.sense_key, SCSI_KEY_ILLEGAL_REQUEST);
	assert_int_equal(io.asc, SCSI_ASC_LUN_NOT_SUPPORTED);
}

static void wait_for_change(struct fixture *f)
{
	LARGE_INTEGER timeout = { .QuadPart = -200000000ll };

	assert_int_equal(KeWaitForSingleObject(&f->changed, Executive, KernelMode, FALSE, &timeout),
	                 STATUS_SUCCESS);
	KeClearEvent(&f->changed);
}

static void disks_come_and_go(void **state)
{
	struct fixture *f = *state;
	struct storvsc_address list[4];
	struct storvsc_disk disk;
	uint8_t *memory = pool(4096);
	uint32_t count;

	assert_int_equal(add_disk(f, 7, f->second_path, false), 0);
	wait_for_change(f);
	assert_int_equal(storvsc_list(f->guest, list, 4, &count), STATUS_SUCCESS);
	assert_int_equal(count, 2);
	assert_int_equal(list[1].lun, 7);
	assert_int_equal(storvsc_identify(f->guest, list[1], &disk), STATUS_SUCCESS);
	assert_int_equal(add_disk(f, 8, f->second_path, false), -EBUSY);
	assert_int_equal(kmcl_scsi_remove(f->host, 0, 7), 0);
	wait_for_change(f);
	assert_int_equal(storvsc_read(f->guest, &disk, 0, memory, 4096), STATUS_NO_SUCH_DEVICE);
	assert_int_equal(kmcl_scsi_remove(f->host, 0, 7), -ENOENT);
	assert_int_equal(add_disk(f, 0, f->second_path, false), -EEXIST);
	assert_int_equal(add_disk(f, 7, f->second_path, false), 0); /* it was freed */
	release(memory);
}

static void every_version_works(void **state)
{
	static const uint16_t versions[] = { STORVSC_VERSION_WIN6, STORVSC_VERSION_WIN7,
		                             STORVSC_VERSION_WIN8, STORVSC_VERSION_WIN8_1,
		                             STORVSC_VERSION_WIN10 };
	struct fixture *f = *state;
	uint8_t *memory = pool(4096);
	struct storvsc_io io = { 0 };
	size_t i;

	for (i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		storvsc_close(f->guest);
		f->guest = NULL;
		assert_int_equal(open_guest(f, versions[i]), STATUS_SUCCESS);
		assert_int_equal(storvsc_version(f->guest), versions[i]);
		fill_with(memory, 4096, versions[i]);
		assert_int_equal(storvsc_write(f->guest, &f->disk, 0, memory, 4096),
		                 STATUS_SUCCESS);
		assert_file(f->path, 0, memory, 4096);
		/* The sense data has its place in the short packet too. */
		storvsc_prepare_flush(&io, &f->disk);
		io.cdb[0] = 0xff;
		assert_int_equal(storvsc_execute(f->guest, &io), STATUS_INVALID_DEVICE_REQUEST);
		assert_int_equal(io.asc, SCSI_ASC_INVALID_OPCODE);
	}
	release(memory);
}

/* covers: kmcl_scsi_destroy */
static void requests_end_when_the_controller_goes(void **state)
{
	struct fixture *f = *state;
	uint8_t *memory = pool(4096);

	assert_int_equal(storvsc_read(f->guest, &f->disk, 0, memory, 4096), STATUS_SUCCESS);
	kmcl_scsi_destroy(f->host);
	f->host = NULL;
	/* It closes by and by; until then a request may wait, after that it is refused. */
	assert_false(NT_SUCCESS(storvsc_flush(f->guest, &f->disk)));
	release(memory);
}

/* covers: kmcl_scsi_get_statistics */
static void the_statistics_add_up(void **state)
{
	struct fixture *f = *state;
	struct kmcl_scsi_statistics before = { .size = sizeof(before) };
	struct kmcl_scsi_statistics after = { .size = sizeof(after) };
	uint8_t *memory = pool(65536);

	kmcl_scsi_get_statistics(f->host, &before);
	assert_int_equal(before.version, STORVSC_VERSION_WIN10);
	assert_int_equal(storvsc_write(f->guest, &f->disk, 0, memory, 65536), STATUS_SUCCESS);
	assert_int_equal(storvsc_read(f->guest, &f->disk, 0, memory, 4096), STATUS_SUCCESS);
	kmcl_scsi_get_statistics(f->host, &after);
	assert_int_equal(after.requests - before.requests, 2);
	assert_int_equal(after.writes - before.writes, 1);
	assert_int_equal(after.written_bytes - before.written_bytes, 65536);
	assert_int_equal(after.read_bytes - before.read_bytes, 4096);
	assert_int_equal(after.refused, 0);
	release(memory);
}

/* ---- a guest that says what it likes ---- */

static VOID raw_started(VMBCHANNEL vmb)
{
	struct raw *r = VmbChannelGetPointer(vmb);

	KeSetEvent(&r->started, 0, FALSE);
}

static VOID raw_packet(VMBCHANNEL vmb, VMBPACKETCOMPLETION completion, PVOID buffer, UINT32 length,
                       UINT32 flags)
{
	struct raw *r = VmbChannelGetPointer(vmb);

	memcpy(&r->told, buffer, length < sizeof(r->told) ? length : sizeof(r->told));
	r->told_size = length;
	r->told_count++;
	VmbChannelPacketComplete(completion, NULL, 0);
}

static void raw_open(struct fixture *f, struct raw *r, uint16_t subchannel)
{
	static const GUID type = STORVSC_INTERFACE_TYPE;
	LARGE_INTEGER timeout = { .QuadPart = -200000000ll };
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;

	memset(r, 0, sizeof(*r));
	KeInitializeEvent(&r->started, NotificationEvent, FALSE);
	assert_int_equal(VmbChannelAllocate(f->bus, FALSE, &r->vmb), STATUS_SUCCESS);
	VmbChannelSetPointer(r->vmb, r);
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelPostStarted = raw_started;
	VmbChannelInitSetStateChangeCallbacks(r->vmb, &callbacks);
	VmbChannelInitSetProcessPacketCallbacks(r->vmb, raw_packet, NULL);
	VmbClientChannelInitSetTargetPnp(r->vmb, &type, NULL, NULL);
	if (subchannel)
		assert_int_equal(kmcl_channel_init_set_subchannel(r->vmb, subchannel),
		                 STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(r->vmb), STATUS_SUCCESS);
	assert_int_equal(KeWaitForSingleObject(&r->started, Executive, KernelMode, FALSE, &timeout),
	                 STATUS_SUCCESS);
}

/* The first `size` bytes of the packet; returns the status in the answer. */
static NTSTATUS raw_send(struct raw *r, const struct storvsc_packet *packet, uint32_t size,
                         PMDL mdl)
{
	struct storvsc_packet copy = *packet;
	UINT32 n = sizeof(r->reply);

	memset(&r->reply, 0, sizeof(r->reply));
	assert_int_equal(
		VmbChannelSendSynchronousRequest(r->vmb, &copy, size, mdl,
	                                         VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION,
	                                         &r->reply, &n, NULL),
		STATUS_SUCCESS);
	r->reply_size = n;
	assert_int_equal(r->reply.operation, STORVSC_COMPLETE_IO);
	return (NTSTATUS)r->reply.status;
}

static NTSTATUS raw_ask(struct raw *r, uint32_t operation)
{
	struct storvsc_packet p = { .operation = operation, .flags = STORVSC_REQUEST_COMPLETION };

	return raw_send(r, &p, sizeof(p), NULL);
}

static NTSTATUS raw_version(struct raw *r, uint16_t version)
{
	struct storvsc_packet p = { .operation = STORVSC_QUERY_PROTOCOL_VERSION };

	p.version.major_minor = version;
	return raw_send(r, &p, sizeof(p), NULL);
}

static void raw_negotiate(struct raw *r, uint16_t version)
{
	assert_int_equal(raw_ask(r, STORVSC_BEGIN_INITIALIZATION), STATUS_SUCCESS);
	assert_int_equal(raw_version(r, version), STATUS_SUCCESS);
	assert_int_equal(raw_ask(r, STORVSC_QUERY_PROPERTIES), STATUS_SUCCESS);
	assert_int_equal(raw_ask(r, STORVSC_END_INITIALIZATION), STATUS_SUCCESS);
}

static void the_negotiation_has_an_order(void **state)
{
	struct fixture *f = *state;
	struct raw *r = &f->raw[0];

	raw_open(f, r, 0);
	assert_int_equal(raw_ask(r, STORVSC_EXECUTE_SRB), STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(raw_ask(r, STORVSC_END_INITIALIZATION), STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(raw_version(r, STORVSC_VERSION_WIN10), STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(raw_ask(r, STORVSC_BEGIN_INITIALIZATION), STATUS_SUCCESS);
	assert_int_equal(raw_ask(r, STORVSC_BEGIN_INITIALIZATION), STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(raw_version(r, STORVSC_VERSION(9, 9)), STATUS_REVISION_MISMATCH);
	assert_int_equal(raw_version(r, STORVSC_VERSION_WIN8), STATUS_SUCCESS);
	assert_int_equal(r->reply.version.major_minor, STORVSC_VERSION_WIN8);
	assert_int_equal(raw_ask(r, STORVSC_QUERY_PROPERTIES), STATUS_SUCCESS);
	assert_int_equal(r->reply.properties.max_transfer, KMCL_SCSI_MAX_TRANSFER);
	assert_int_equal(r->reply.properties.max_subchannels, 2);
	assert_int_equal(r->reply.properties.flags, STORVSC_MULTI_CHANNEL);
	assert_int_equal(raw_ask(r, STORVSC_END_INITIALIZATION), STATUS_SUCCESS);
	assert_int_equal(raw_ask(r, STORVSC_BEGIN_INITIALIZATION), STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(raw_ask(r, STORVSC_RESET_BUS), STATUS_SUCCESS);
	assert_int_equal(raw_ask(r, 99), STATUS_INVALID_PARAMETER);
	assert_int_equal(raw_ask(r, STORVSC_COMPLETE_IO), STATUS_INVALID_PARAMETER);
	raw_close(r);
	/* A new opening begins anew. */
	raw_open(f, r, 0);
	raw_negotiate(r, STORVSC_VERSION_WIN7);
	raw_close(r);
}

/* As Linux 6.1 takes it: a whole packet of the version's size, to which it owes no answer. */
static void changes_are_announced(void **state)
{
	static const struct {
		uint16_t version;
		uint32_t size;
	} ways[] = { { STORVSC_VERSION_WIN10, 64 }, { STORVSC_VERSION_WIN7, 48 } };
	struct storvsc_packet ready = { .operation = STORVSC_EXECUTE_SRB };
	struct fixture *f = *state;
	struct raw *r = &f->raw[0];
	int tries = 4000;
	size_t i;

	ready.srb.cdb_length = 6;
	for (i = 0; i < 2; i++) {
		raw_open(f, r, 0);
		raw_negotiate(r, ways[i].version);
		/* Not yet: it has not begun to look for itself. */
		assert_int_equal(add_disk(f, 8, f->second_path, false), 0);
		assert_int_equal(kmcl_scsi_remove(f->host, 0, 8), 0);
		assert_int_equal(raw_send(r, &ready, sizeof(ready), NULL), STATUS_SUCCESS);
		assert_int_equal(r->told_count, 0);
		assert_int_equal(add_disk(f, 9, f->second_path, false), 0);
		assert_int_equal(kmcl_scsi_remove(f->host, 0, 9), 0);
		while (r->told_count < 2 && tries-- > 0)
			usleep(5000);
		assert_int_equal(r->told_count, 2);
		assert_int_equal(r->told.operation, STORVSC_ENUMERATE_BUS);
		assert_int_equal(r->told.flags, 0);
		assert_int_equal(r->told_size, ways[i].size);
		raw_close(r);
	}
	raw_open(f, r, 0);
	raw_negotiate(r, STORVSC_VERSION_WIN6); /* does not know the word */
	assert_int_equal(raw_send(r, &ready, sizeof(ready), NULL), STATUS_SUCCESS);
	assert_int_equal(add_disk(f, 9, f->second_path, false), 0);
	assert_int_equal(raw_ask(r, STORVSC_RESET_BUS), STATUS_SUCCESS);
	assert_int_equal(r->told_count, 0);
	raw_close(r);
}

static void lock_disc(struct raw *r, bool lock)
{
	struct storvsc_packet p = { .operation = STORVSC_EXECUTE_SRB };

	p.srb.lun = 5;
	p.srb.cdb_length = 6;
	p.srb.cdb[0] = SCSI_PREVENT_ALLOW;
	p.srb.cdb[4] = lock;
	assert_int_equal(raw_send(r, &p, sizeof(p), NULL), STATUS_SUCCESS);
}

static bool disc_is_locked(struct fixture *f)
{
	struct kmcl_scsi_unit info = { .size = sizeof(info) };

	assert_int_equal(kmcl_scsi_query(f->host, 0, 5, &info), 0);
	return info.locked;
}

/* Each is answered; a disc that the guest held is free, if the reset was of its drive. */
static void resets_are_answered_and_let_go_of_discs(void **state)
{
	struct storvsc_packet lun = { .operation = STORVSC_RESET_LUN };
	struct fixture *f = *state;
	struct raw *r = &f->raw[0];
	char why[256];

	assert_int_equal(kmcl_scsi_add_cd(f->host, 0, 5, NULL, NULL, why, sizeof(why)), 0);
	raw_open(f, r, 0);
	assert_int_equal(raw_ask(r, STORVSC_RESET_BUS), STATUS_INVALID_DEVICE_STATE);
	raw_negotiate(r, STORVSC_VERSION_WIN10);
	lock_disc(r, true);
	assert_true(disc_is_locked(f));
	lun.srb.lun = 4;
	assert_int_equal(raw_send(r, &lun, sizeof(lun), NULL), STATUS_SUCCESS);
	lun.srb.lun = 200; /* there is no such place */
	assert_int_equal(raw_send(r, &lun, sizeof(lun), NULL), STATUS_SUCCESS);
	assert_true(disc_is_locked(f));
	lun.srb.lun = 5;
	assert_int_equal(raw_send(r, &lun, sizeof(lun), NULL), STATUS_SUCCESS);
	assert_false(disc_is_locked(f));
	lock_disc(r, true);
	assert_int_equal(raw_ask(r, STORVSC_RESET_BUS), STATUS_SUCCESS);
	assert_false(disc_is_locked(f));
	lock_disc(r, true);
	assert_int_equal(raw_ask(r, STORVSC_RESET_ADAPTER), STATUS_SUCCESS);
	assert_false(disc_is_locked(f));
	raw_close(r);
}

static void short_packets_are_refused(void **state)
{
	struct fixture *f = *state;
	struct storvsc_packet p = { .operation = STORVSC_EXECUTE_SRB };
	struct raw *r = &f->raw[0];
	uint32_t size;

	raw_open(f, r, 0);
	raw_negotiate(r, STORVSC_VERSION_WIN10);
	for (size = 8; size < STORVSC_PACKET_SIZE_OLD; size += 8) /* lengths are multiples of 8 */
		assert_int_equal(raw_send(r, &p, size, NULL), STATUS_INVALID_PARAMETER);
	raw_close(r);
}

static void expect_refused(struct raw *r, const struct storvsc_packet *p, PMDL mdl)
{
	assert_int_equal(raw_send(r, p, sizeof(*p), mdl), STATUS_INVALID_DEVICE_REQUEST);
	assert_int_equal(r->reply.srb.srb_status, STORVSC_SRB_INVALID_REQUEST);
	assert_int_equal(r->reply.srb.transfer_length, 0);
}

static void expect_sense(struct raw *r, const struct storvsc_packet *p, PMDL mdl, uint16_t asc)
{
	assert_int_equal(raw_send(r, p, sizeof(*p), mdl), STATUS_IO_DEVICE_ERROR);
	assert_int_equal(r->reply.srb.srb_status, STORVSC_SRB_ERROR | STORVSC_SRB_AUTOSENSE_VALID);
	assert_int_equal(r->reply.srb.scsi_status, SCSI_CHECK_CONDITION);
	assert_int_equal(r->reply.srb.sense_length, SCSI_SENSE_SIZE);
	assert_int_equal(scsi_get16(r->reply.srb.sense + 12), asc);
}

/* SRBs whose parts contradict each other. The memory must stay as it is. */
static void srbs_that_lie_are_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t *memory = pool(8192);
	PMDL mdl = IoAllocateMdl(memory, 8192, FALSE, FALSE, NULL);
	struct storvsc_packet good = { .operation = STORVSC_EXECUTE_SRB }, p;
	struct raw *r = &f->raw[0];
	size_t i;

	MmBuildMdlForNonPagedPool(mdl);
	memset(memory, 0xee, 8192);
	good.srb.length = sizeof(good.srb);
	good.srb.cdb_length = 10;
	good.srb.data_in = STORVSC_DATA_IN;
	good.srb.transfer_length = 8192;
	good.srb.cdb[0] = SCSI_READ_10;
	good.srb.cdb[8] = 16;
	raw_open(f, r, 0);
	raw_negotiate(r, STORVSC_VERSION_WIN10);

	p = good;
	p.srb.cdb_length = 0;
	expect_refused(r, &p, mdl);
	p.srb.cdb_length = 17;
	expect_refused(r, &p, mdl);
	p = good;
	p.srb.data_in = 7;
	expect_refused(r, &p, mdl);
	p = good;
	p.srb.transfer_length = 8193; /* more than the memory */
	expect_refused(r, &p, mdl);
	p.srb.transfer_length = UINT32_MAX;
	expect_refused(r, &p, mdl);

	expect_sense(r, &good, NULL, SCSI_ASC_INVALID_FIELD_IN_CDB); /* data, but no memory */
	p = good;
	p.srb.data_in = STORVSC_DATA_OUT;
	expect_sense(r, &p, mdl, SCSI_ASC_INVALID_FIELD_IN_CDB);
	p = good;
	p.srb.transfer_length = 8191;
	expect_sense(r, &p, mdl, SCSI_ASC_INVALID_FIELD_IN_CDB);
	p = good;
	p.srb.cdb[0] = SCSI_UNMAP;
	p.srb.data_in = STORVSC_DATA_OUT; /* what is in memory is no list */
	p.srb.cdb[7] = 0x20;
	p.srb.cdb[8] = 0;
	expect_sense(r, &p, mdl, SCSI_ASC_PARAMETER_LIST_LENGTH);
	p = good;
	p.srb.path = 1;
	assert_int_equal(raw_send(r, &p, sizeof(p), mdl), STATUS_DEVICE_DOES_NOT_EXIST);
	for (i = 0; i < 8192; i++)
		assert_int_equal(memory[i], 0xee);

	assert_int_equal(raw_send(r, &good, sizeof(good), mdl), STATUS_SUCCESS);
	assert_int_equal(r->reply.srb.transfer_length, 8192);
	assert_int_equal(memory[8191], 0);
	raw_close(r);
	IoFreeMdl(mdl);
	release(memory);
}

/* Hyper-V's UEFI: no allocation length in the CDB, 520 bytes of memory, each target. */
static void uefi_lists_the_units(void **state)
{
	struct fixture *f = *state;
	struct storvsc_packet p = { .operation = STORVSC_EXECUTE_SRB };
	struct raw *r = &f->raw[0];
	uint8_t *memory = pool(520);
	PMDL mdl = IoAllocateMdl(memory, 520, FALSE, FALSE, NULL);

	MmBuildMdlForNonPagedPool(mdl);
	assert_int_equal(add_disk(f, 7, f->second_path, false), 0);
	raw_open(f, r, 0);
	raw_negotiate(r, STORVSC_VERSION_WIN10);
	p.srb.cdb_length = 12;
	p.srb.cdb[0] = SCSI_REPORT_LUNS;
	p.srb.data_in = STORVSC_DATA_IN;
	p.srb.transfer_length = 520;
	for (p.srb.target = 0; p.srb.target < 4; p.srb.target++) {
		uint32_t units = p.srb.target ? 0 : 2;

		memset(memory, 0xee, 520);
		assert_int_equal(raw_send(r, &p, sizeof(p), mdl), STATUS_SUCCESS);
		assert_int_equal(r->reply.srb.srb_status, STORVSC_SRB_SUCCESS);
		assert_int_equal(r->reply.srb.scsi_status, SCSI_GOOD);
		assert_int_equal(r->reply.srb.transfer_length, 8 + 8 * units);
		assert_int_equal(scsi_get32(memory), 8 * units);
	}
	raw_close(r);
	IoFreeMdl(mdl);
	release(memory);
}

static void subchannels_are_offered_and_carry_srbs(void **state)
{
	struct fixture *f = *state;
	struct storvsc_packet create = { .operation = STORVSC_CREATE_SUB_CHANNELS };
	struct storvsc_packet ready = { .operation = STORVSC_EXECUTE_SRB };
	struct raw *primary = &f->raw[0], *sub = &f->raw[1];

	ready.srb.cdb_length = 6;
	raw_open(f, primary, 0);
	raw_negotiate(primary, STORVSC_VERSION_WIN10);
	create.subchannels = 3;
	assert_int_equal(raw_send(primary, &create, sizeof(create), NULL),
	                 STATUS_INVALID_PARAMETER);
	create.subchannels = 2;
	assert_int_equal(raw_send(primary, &create, sizeof(create), NULL), STATUS_SUCCESS);
	raw_open(f, sub, 2);
	assert_int_equal(raw_send(sub, &ready, sizeof(ready), NULL), STATUS_SUCCESS);
	assert_int_equal(raw_ask(sub, STORVSC_BEGIN_INITIALIZATION), STATUS_INVALID_DEVICE_STATE);
	raw_close(sub);
	raw_close(primary);
	raw_open(f, primary, 0);
	raw_negotiate(primary, STORVSC_VERSION_WIN7); /* too old for them */
	assert_int_equal(raw_send(primary, &create, sizeof(create), NULL),
	                 STATUS_INVALID_PARAMETER);
	raw_close(primary);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define RAW(name)  cmocka_unit_test_setup_teardown(name, setup_host, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(the_disk_is_found_and_described),
		TEST(what_is_written_is_in_the_image_and_read_back),
		TEST(more_requests_than_the_queue_holds),
		TEST(discarded_ranges_read_as_zeroes),
		TEST(a_read_only_disk_refuses_writes),
		TEST(a_direct_disk_takes_any_memory),
		TEST(the_end_of_the_disk_is_the_end),
		TEST(an_image_that_shrinks_gives_medium_errors),
		TEST(absent_disks_are_absent),
		TEST(disks_come_and_go),
		TEST(every_version_works),
		TEST(requests_end_when_the_controller_goes),
		TEST(the_statistics_add_up),
		RAW(the_negotiation_has_an_order),
		RAW(changes_are_announced),
		RAW(resets_are_answered_and_let_go_of_discs),
		RAW(short_packets_are_refused),
		RAW(srbs_that_lie_are_refused),
		RAW(uefi_lists_the_units),
		RAW(subchannels_are_offered_and_carry_srbs),
	};

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
