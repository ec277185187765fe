/* SPDX-License-Identifier: BSD-2-Clause */
/* Our SCSI driver at hosts that say other things than ours: what is no success is none, what was
 * not done is tried again, though not for ever, and Hyper-V's habits do no harm. The argument of
 * this program is a pattern for the URI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../temporary.h"
#include "odd_answers.h"
#include "odd_host.h"
#include "scsi/scsi.h"
#include "scsi/storvsc.h"

#define TAG 0x74736574u

struct fixture {
	struct odd_host *host;
	PDEVICE_OBJECT bus;
	struct storvsc *guest;
	struct storvsc_disk disk;
	/* What the host does to answers to commands with `opcode`, `times` of them. */
	void (*answer)(struct storvsc_packet *answer);
	uint8_t opcode;
	_Atomic int times;
	_Atomic int asked;
};

static const char *uri_pattern = "local:driver-%d-%u";
static const struct storvsc_address first = { 0, 0 };

static bool answer_as_told(void *context, const struct storvsc_packet *request,
                           struct storvsc_packet *answer)
{
	struct fixture *f = context;

	if (request->operation != STORVSC_EXECUTE_SRB || request->srb.cdb[0] != f->opcode)
		return true;
	f->asked++;
	if (atomic_load(&f->times) <= 0)
		return true;
	f->times--;
	f->answer(answer);
	return true;
}

static int setup(void **state)
{
	static unsigned int number;
	struct storvsc_options options = { .timeout_ms = 20000 };
	struct fixture *f = calloc(1, sizeof(*f));
	char uri[128];

	*state = f;
	f->opcode = 0xff;
	snprintf(uri, sizeof(uri), uri_pattern, getpid(), number++);
	f->host = odd_host_open(uri, answer_as_told, f, false);
	if (!f->host || !NT_SUCCESS(kmcl_guest_open(uri, &f->bus)) ||
	    !NT_SUCCESS(storvsc_open(f->bus, &options, &f->guest)) ||
	    !NT_SUCCESS(storvsc_identify(f->guest, first, &f->disk)))
		return -1;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	storvsc_close(f->guest);
	kmcl_guest_close(f->bus);
	odd_host_close(f->host);
	free(f);
	return 0;
}

static void tell(struct fixture *f, uint8_t opcode, int times,
                 void (*answer)(struct storvsc_packet *answer))
{
	f->answer = answer;
	f->opcode = opcode;
	f->times = times;
	f->asked = 0;
}

static NTSTATUS read_some(struct fixture *f)
{
	uint8_t *memory = ExAllocatePoolWithTag(NonPagedPoolNx, 4096, TAG);
	NTSTATUS status;

	memset(memory, 0, 4096);
	status = storvsc_read(f->guest, &f->disk, 0, memory, 4096);
	if (NT_SUCCESS(status))
		assert_int_equal(memory[4095], ODD_DISK_BYTE);
	ExFreePoolWithTag(memory, TAG);
	return status;
}

static NTSTATUS write_some(struct fixture *f)
{
	uint8_t *memory = ExAllocatePoolWithTag(NonPagedPoolNx, 4096, TAG);
	NTSTATUS status;

	memset(memory, 0, 4096);
	status = storvsc_write(f->guest, &f->disk, 0, memory, 4096);
	ExFreePoolWithTag(memory, TAG);
	return status;
}

/* ---- answers that are no success ---- */

static void what_is_no_success_is_none(void **state)
{
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < ODD_ANSWERS; i++) {
		tell(f, SCSI_READ_16, 1000, odd_answers[i].make);
		assert_int_equal(read_some(f), odd_answers[i].status);
		tell(f, SCSI_WRITE_16, 1000, odd_answers[i].make);
		assert_int_equal(write_some(f), odd_answers[i].status);
		tell(f, SCSI_SYNCHRONIZE_CACHE_10, 1000, odd_answers[i].make);
		assert_int_equal(storvsc_flush(f->guest, &f->disk), odd_answers[i].status);
		tell(f, SCSI_UNMAP, 1000, odd_answers[i].make);
		assert_int_equal(storvsc_discard(f->guest, &f->disk, 0, 4096),
		                 odd_answers[i].status);
	}
	tell(f, SCSI_READ_16, 1000, odd_no_data); /* a read that moved nothing has read nothing */
	assert_int_equal(read_some(f), STATUS_DEVICE_DATA_ERROR);
	tell(f, SCSI_READ_16, 0, odd_no_data);
	assert_int_equal(read_some(f), STATUS_SUCCESS);
}

/* ---- trying again ---- */

static void what_was_not_done_is_tried_again(void **state)
{
	static void (*const ways[])(struct storvsc_packet *
	                            answer) = { odd_attention, odd_srb_aborted, odd_task_aborted };
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		tell(f, SCSI_READ_16, 3, ways[i]);
		assert_int_equal(read_some(f), STATUS_SUCCESS);
		assert_int_equal(f->asked, 4);
		tell(f, SCSI_READ_16, 1000, ways[i]); /* a host that goes on like that */
		assert_false(NT_SUCCESS(read_some(f)));
		assert_int_equal(f->asked, 6);
	}
}

static void busy(struct storvsc_packet *a)
{
	a->srb.scsi_status = SCSI_BUSY;
}

static void task_set_full(struct storvsc_packet *a)
{
	a->srb.scsi_status = SCSI_TASK_SET_FULL;
}

static void srb_busy(struct storvsc_packet *a)
{
	a->srb.srb_status = STORVSC_SRB_BUSY;
}

static void becoming_ready(struct storvsc_packet *a)
{
	odd_host_fail(a, SCSI_KEY_NOT_READY, SCSI_ASC_BECOMING_READY);
}

static void who_is_busy_is_given_time(void **state)
{
	static void (*const ways[])(struct storvsc_packet * answer) = { busy, task_set_full,
		                                                        srb_busy, becoming_ready };
	struct fixture *f = *state;
	uint64_t begin, passed_ms;
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		tell(f, SCSI_READ_16, 2, ways[i]);
		begin = KeQueryInterruptTime();
		assert_int_equal(read_some(f), STATUS_SUCCESS);
		passed_ms = (KeQueryInterruptTime() - begin) / 10000;
		assert_int_equal(f->asked, 3);
		assert_true(passed_ms >= 150); /* the timer's two periods, or nearly */
	}
	tell(f, SCSI_READ_16, 1000, busy);
	assert_int_equal(read_some(f), STATUS_DEVICE_BUSY);
	assert_int_equal(f->asked, 31);
}

struct one {
	struct storvsc_io io; /* first */
	KEVENT done;
};

static void one_done(struct storvsc_io *io)
{
	struct one *one = (struct one *)io;

	KeSetEvent(&one->done, 0, FALSE);
}

/* The controller is closed while requests wait to be tried again. */
static void what_waits_ends_with_the_channel(void **state)
{
	struct fixture *f = *state;
	struct one ones[8];
	LARGE_INTEGER timeout = { .QuadPart = -200000000ll };
	int i, tries = 4000;

	tell(f, SCSI_SYNCHRONIZE_CACHE_10, 1000, busy);
	memset(ones, 0, sizeof(ones));
	for (i = 0; i < 8; i++) {
		KeInitializeEvent(&ones[i].done, NotificationEvent, FALSE);
		storvsc_prepare_flush(&ones[i].io, &f->disk);
		ones[i].io.done = one_done;
		storvsc_submit(f->guest, &ones[i].io);
	}
	while (f->asked < 8 && tries-- > 0)
		usleep(5000);
	assert_true(f->asked >= 8);
	storvsc_close(f->guest);
	f->guest = NULL;
	for (i = 0; i < 8; i++) {
		assert_int_equal(KeWaitForSingleObject(&ones[i].done, Executive, KernelMode, FALSE,
		                                       &timeout),
		                 STATUS_SUCCESS);
		assert_int_equal(ones[i].io.status, STATUS_DEVICE_REMOVED);
	}
	assert_int_equal(storvsc_open(f->bus, NULL, &f->guest), STATUS_SUCCESS);
}

/* ---- Hyper-V's habits ---- */

static void overrun(struct storvsc_packet *a)
{
	a->srb.srb_status = STORVSC_SRB_DATA_OVERRUN;
	a->srb.transfer_length = a->srb.transfer_length / 2;
}

static void overrun_with_warning(struct storvsc_packet *a)
{
	overrun(a);
	a->status = (uint32_t)STATUS_BUFFER_OVERFLOW;
}

static void overrun_with_error(struct storvsc_packet *a)
{
	overrun(a);
	a->status = (uint32_t)STATUS_IO_DEVICE_ERROR;
}

static void a_shorter_answer_is_an_answer(void **state)
{
	struct fixture *f = *state;
	uint8_t *memory = ExAllocatePoolWithTag(NonPagedPoolNx, 64, TAG);
	struct storvsc_io io = { .cdb = { SCSI_INQUIRY, 0, 0, 0, 36 },
		                 .cdb_length = 6,
		                 .length = 36 };

	io.direction = STORVSC_FROM_DISK;
	io.mdl = IoAllocateMdl(memory, 36, FALSE, FALSE, NULL);
	MmBuildMdlForNonPagedPool(io.mdl);
	tell(f, SCSI_INQUIRY, 1000, overrun);
	assert_int_equal(storvsc_execute(f->guest, &io), STATUS_SUCCESS);
	assert_int_equal(io.transferred, 18);
	assert_int_equal(io.srb_status, STORVSC_SRB_DATA_OVERRUN);
	tell(f, SCSI_INQUIRY, 1000, overrun_with_warning);
	assert_int_equal(storvsc_execute(f->guest, &io), STATUS_SUCCESS);
	tell(f, SCSI_INQUIRY, 1000, overrun_with_error);
	assert_int_equal(storvsc_execute(f->guest, &io), STATUS_IO_DEVICE_ERROR);
	/* Size and block are in the first half of a capacity's 32 bytes. */
	tell(f, SCSI_SERVICE_ACTION_IN_16, 1000, overrun);
	assert_int_equal(storvsc_identify(f->guest, first, &f->disk), STATUS_SUCCESS);
	assert_int_equal(f->disk.size, ODD_DISK_SIZE);
	tell(f, SCSI_READ_16, 1000, overrun); /* half of a read is not what was asked for */
	assert_int_equal(read_some(f), STATUS_DEVICE_DATA_ERROR);
	IoFreeMdl(io.mdl);
	ExFreePoolWithTag(memory, TAG);
}

static void refused(struct storvsc_packet *a)
{
	odd_host_fail(a, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_OPCODE);
}

static void srb_invalid(struct storvsc_packet *a)
{
	a->srb.srb_status = STORVSC_SRB_INVALID_REQUEST;
	a->srb.scsi_status = SCSI_GOOD;
}

static void a_disk_without_mode_pages_is_one(void **state)
{
	struct fixture *f = *state;
	struct storvsc_disk disk;

	tell(f, SCSI_MODE_SENSE_6, 1000, refused);
	assert_int_equal(storvsc_identify(f->guest, first, &disk), STATUS_SUCCESS);
	assert_int_equal(disk.size, ODD_DISK_SIZE);
	assert_false(disk.read_only);
	tell(f, SCSI_MODE_SENSE_6, 1000, srb_invalid);
	assert_int_equal(storvsc_identify(f->guest, first, &disk), STATUS_SUCCESS);
	/* Each command of it may be the first one after the power came. */
	tell(f, SCSI_INQUIRY, 1, odd_attention);
	assert_int_equal(storvsc_identify(f->guest, first, &disk), STATUS_SUCCESS);
	tell(f, SCSI_SERVICE_ACTION_IN_16, 1, odd_attention);
	assert_int_equal(storvsc_identify(f->guest, first, &disk), STATUS_SUCCESS);
	tell(f, SCSI_SERVICE_ACTION_IN_16, 1000, refused); /* but without a size it is no disk */
	assert_int_equal(storvsc_identify(f->guest, first, &disk), STATUS_INVALID_DEVICE_REQUEST);
}

static void invalid_lun(struct storvsc_packet *a)
{
	a->srb.srb_status = STORVSC_SRB_INVALID_LUN;
	a->srb.scsi_status = SCSI_GOOD;
	a->srb.transfer_length = 0;
}

static void a_target_that_is_not_there_has_no_units(void **state)
{
	struct fixture *f = *state;
	struct storvsc_address list[4];
	uint32_t count;

	tell(f, SCSI_REPORT_LUNS, 1, invalid_lun); /* target 0 is not there; target 1 has one */
	assert_int_equal(storvsc_list(f->guest, list, 4, &count), STATUS_SUCCESS);
	assert_int_equal(count, 1);
	assert_int_equal(list[0].target, 1);
}

static void a_failure_is_put_in_words(void **state)
{
	struct fixture *f = *state;
	char text[128];

	tell(f, SCSI_READ_16, 1000, odd_reservation_conflict);
	assert_int_equal(read_some(f), STATUS_SHARING_VIOLATION);
	storvsc_failure(f->guest, STATUS_SHARING_VIOLATION, text, sizeof(text));
	assert_string_equal(text, "command 0x88 of 0:0: SCSI status RESERVATION CONFLICT, SRB "
	                          "status 0x01");
	storvsc_failure(f->guest, STATUS_DEVICE_REMOVED, text, sizeof(text));
	assert_string_equal(text, "");
	tell(f, SCSI_READ_16, 1000, odd_check_condition);
	assert_int_equal(read_some(f), STATUS_DEVICE_DATA_ERROR);
	storvsc_failure(f->guest, STATUS_DEVICE_DATA_ERROR, text, sizeof(text));
	assert_string_equal(text, "command 0x88 of 0:0: SCSI status CHECK CONDITION, SRB status "
	                          "0x81, sense 03/1100");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_no_success_is_none),
		TEST(what_was_not_done_is_tried_again),
		TEST(who_is_busy_is_given_time),
		TEST(what_waits_ends_with_the_channel),
		TEST(a_shorter_answer_is_an_answer),
		TEST(a_disk_without_mode_pages_is_one),
		TEST(a_target_that_is_not_there_has_no_units),
		TEST(a_failure_is_put_in_words),
	};

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
