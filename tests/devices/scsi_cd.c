/* SPDX-License-Identifier: BSD-2-Clause */
/* What the CD drive answers to each command: the bytes that Linux's sr and cdrom and udev's
 * cdrom_id look at, and the sense for what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "scsi/scsi_cd.h"

#define BLOCKS 1000u

static struct scsi_cd cd;
static struct scsi_outcome out;

static int setup(void **state)
{
	memset(&cd, 0, sizeof(cd));
	cd.max_transfer = 1 << 20;
	strcpy(cd.serial, "cd-0");
	cd.id[0] = 1;
	scsi_cd_insert(&cd, BLOCKS);
	cd.attention = false;
	cd.event = SCSI_CD_NO_EVENT;
	return 0;
}

static void run(const uint8_t *cdb, size_t size, uint32_t data_in)
{
	struct scsi_command c = { .data_in = data_in };

	memcpy(c.cdb, cdb, size);
	memset(&out, 0xa5, sizeof(out));
	scsi_cd_execute(&cd, &c, &out);
}

#define RUN(in, ...) \
	run((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), in)

static void assert_sense(enum scsi_sense_key key, enum scsi_asc asc)
{
	assert_int_equal(out.kind, SCSI_DONE);
	assert_int_equal(out.status, SCSI_CHECK_CONDITION);
	assert_int_equal(out.length, 0);
	assert_int_equal(out.sense_length, 18);
	assert_int_equal(out.sense[2], key);
	assert_int_equal(scsi_get16(out.sense + 12), asc);
}

static void assert_data(uint32_t n)
{
	assert_int_equal(out.kind, SCSI_DONE);
	assert_int_equal(out.status, SCSI_GOOD);
	assert_int_equal(out.sense_length, 0);
	assert_int_equal(out.length, n);
}

#define BAD_FIELD SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB

static void inquiry_is_of_a_removable_dvd_drive(void **state)
{
	static const uint8_t begin[] = { 5, 0x80, 5, 2, 99, 0, 0, 2 };

	RUN(255, SCSI_INQUIRY, 0, 0, 0, 255, 0);
	assert_data(104);
	assert_memory_equal(out.data, begin, sizeof(begin));
	assert_memory_equal(out.data + 8, "Msft    Virtual DVD-ROM 1.0 ", 28);
	RUN(255, SCSI_INQUIRY, 0, 1, 0, 255, 0);
	assert_sense(BAD_FIELD);
}

static void vpd_lists_its_pages_and_has_each(void **state)
{
	static const uint8_t list[] = { 5, 0, 0, 3, 0x00, 0x80, 0x83 };
	size_t i;

	RUN(255, SCSI_INQUIRY, 1, 0, 0, 255, 0);
	assert_data(sizeof(list));
	assert_memory_equal(out.data, list, sizeof(list));
	for (i = 4; i < sizeof(list); i++) {
		RUN(255, SCSI_INQUIRY, 1, list[i], 0, 255, 0);
		assert_data(4u + scsi_get16(out.data + 2));
		assert_int_equal(out.data[0], 5);
		assert_int_equal(out.data[1], list[i]);
	}
	RUN(255, SCSI_INQUIRY, 1, 0x80, 0, 255, 0);
	assert_memory_equal(out.data + 4, "cd-0", 4);
	RUN(255, SCSI_INQUIRY, 1, 0xb0, 0, 255, 0);
	assert_sense(BAD_FIELD);
}

static void reads_are_of_2048_bytes(void **state)
{
	RUN(1 << 20, SCSI_READ_10, 0, 0, 0, 0, 7, 0, 0, 3);
	assert_int_equal(out.kind, SCSI_DO_READ);
	assert_int_equal(out.offset, 7 * 2048);
	assert_int_equal(out.length, 3 * 2048);
	RUN(1 << 20, SCSI_READ_12, 0, 0, 0, 3, 0xe7, 0, 0, 0, 1);
	assert_int_equal(out.kind, SCSI_DO_READ);
	assert_int_equal(out.offset, 999 * 2048);
	RUN(1 << 20, SCSI_READ_10, 0, 0, 0, 3, 0xe7, 0, 0, 2);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_LBA_OUT_OF_RANGE);
	RUN(1 << 20, SCSI_READ_12, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_LBA_OUT_OF_RANGE);
	RUN(2047, SCSI_READ_10, 0, 0, 0, 0, 0, 0, 0, 1);
	assert_sense(BAD_FIELD);
	RUN(1 << 30, SCSI_READ_10, 0, 0, 0, 0, 0, 0, 2, 1);
	assert_sense(BAD_FIELD);
	RUN(1 << 20, SCSI_READ_10, 0, 0, 0, 3, 0xe8, 0, 0, 0);
	assert_data(0);
	RUN(255, SCSI_READ_CAPACITY_10);
	assert_data(8);
	assert_int_equal(scsi_get32(out.data), BLOCKS - 1);
	assert_int_equal(scsi_get32(out.data + 4), 2048);
}

static void nothing_can_be_written(void **state)
{
	static const uint8_t opcodes[] = { SCSI_WRITE_6,  SCSI_WRITE_10,      SCSI_WRITE_12,
		                           SCSI_WRITE_16, SCSI_WRITE_SAME_16, SCSI_UNMAP,
		                           SCSI_READ_16,  SCSI_REPORT_LUNS,   0xff };
	size_t i;

	for (i = 0; i < sizeof(opcodes); i++) {
		RUN(4096, opcodes[i], 0, 0, 0, 0, 0, 0, 0, 1);
		assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_OPCODE);
	}
}

/* As drivers/cdrom/cdrom.c and sr_vendor.c ask. */
static void the_toc_is_of_one_data_track(void **state)
{
	static const uint8_t both[] = { 0, 18, 1, 1,    0,    0x14, 1, 0, 0, 0,
		                        0, 0,  0, 0x14, 0xaa, 0,    0, 0, 3, 0xe8 };
	static const uint8_t last[] = { 0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 3, 0xe8 };
	static const uint8_t session[] = { 0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0 };

	RUN(255, SCSI_READ_TOC, 0, 0, 0, 0, 0, 0, 0, 255);
	assert_data(sizeof(both));
	assert_memory_equal(out.data, both, sizeof(both));
	RUN(12, SCSI_READ_TOC, 0, 0, 0, 0, 0, 0xaa, 0, 12);
	assert_data(sizeof(last));
	assert_memory_equal(out.data, last, sizeof(last));
	RUN(255, SCSI_READ_TOC, 2, 0, 0, 0, 0, 1, 0, 255); /* minutes, seconds, frames */
	assert_memory_equal(out.data + 8, "\0\0\2\0", 4);
	assert_memory_equal(out.data + 16, "\0\0\x0f\x19", 4); /* 1150 frames */
	RUN(255, SCSI_READ_TOC, 0, 1, 0, 0, 0, 0, 0, 12);
	assert_data(sizeof(session));
	assert_memory_equal(out.data, session, sizeof(session));
	RUN(255, SCSI_READ_TOC, 0, 0, 0, 0, 0, 0, 0, 12, 0x40);
	assert_memory_equal(out.data, session, sizeof(session));
	RUN(255, SCSI_READ_TOC, 0, 0, 0, 0, 0, 0, 0, 4);
	assert_data(4);
	RUN(255, SCSI_READ_TOC, 0, 2, 0, 0, 0, 0, 0, 255);
	assert_sense(BAD_FIELD);
	RUN(255, SCSI_READ_TOC, 0, 0, 0, 0, 0, 2, 0, 255);
	assert_sense(BAD_FIELD);
	cd.blocks = UINT32_MAX;
	RUN(255, SCSI_READ_TOC, 2, 0, 0, 0, 0, 1, 0, 255);
	assert_memory_equal(out.data + 16, "\0\xff\x3b\x4a", 4);
}

/* cdrom_get_last_written(): the disc's last track, and where that ends. */
static void disc_and_track_are_described(void **state)
{
	RUN(255, SCSI_READ_DISC_INFORMATION, 0, 0, 0, 0, 0, 0, 0, 255);
	assert_data(34);
	assert_int_equal(scsi_get16(out.data), 32);
	assert_int_equal(out.data[2], 0x0e);
	assert_int_equal(out.data[6], 1);
	RUN(255, SCSI_READ_DISC_INFORMATION, 0, 0, 0, 0, 0, 0, 0, 2);
	assert_data(2);
	RUN(255, SCSI_READ_DISC_INFORMATION, 1, 0, 0, 0, 0, 0, 0, 255);
	assert_sense(BAD_FIELD);
	RUN(255, SCSI_READ_TRACK_INFORMATION, 1, 0, 0, 0, 1, 0, 0, 255);
	assert_data(48);
	assert_int_equal(scsi_get16(out.data), 46);
	assert_int_equal(scsi_get32(out.data + 8), 0);
	assert_int_equal(scsi_get32(out.data + 24), BLOCKS);
	RUN(255, SCSI_READ_TRACK_INFORMATION, 0, 0, 0, 3, 0xe7, 0, 0, 255);
	assert_data(48);
	RUN(255, SCSI_READ_TRACK_INFORMATION, 0, 0, 0, 3, 0xe8, 0, 0, 255);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_LBA_OUT_OF_RANGE);
	RUN(255, SCSI_READ_TRACK_INFORMATION, 1, 0, 0, 0, 2, 0, 0, 255);
	assert_sense(BAD_FIELD);
	RUN(255, SCSI_READ_TRACK_INFORMATION, 3, 0, 0, 0, 1, 0, 0, 255);
	assert_sense(BAD_FIELD);
	RUN(255, SCSI_READ_DISC_STRUCTURE, 0, 0, 0, 0, 0, 0, 0, 0, 255);
	assert_data(21);
	assert_int_equal(scsi_get32(out.data + 8), 0x30000);
	assert_int_equal(scsi_get32(out.data + 12), 0x30000 + BLOCKS - 1);
	RUN(255, SCSI_READ_DISC_STRUCTURE, 0, 0, 0, 0, 0, 0, 1, 0, 255);
	assert_data(8);
	RUN(255, SCSI_READ_DISC_STRUCTURE, 0, 0, 0, 0, 0, 0, 2, 0, 255);
	assert_sense(BAD_FIELD);
}

/* Walks the descriptors; `code`: the one to find. */
static const uint8_t *find_feature(uint16_t code, uint32_t *count)
{
	const uint8_t *found = NULL;
	uint32_t at = 8;

	*count = 0;
	assert_int_equal(scsi_get32(out.data), out.length - 4);
	while (at < out.length) {
		if (scsi_get16(out.data + at) == code)
			found = out.data + at;
		at += 4u + out.data[at + 3];
		++*count;
	}
	assert_int_equal(at, out.length);
	return found;
}

static void configuration_depends_on_the_disc(void **state)
{
	const uint8_t *feature;
	uint32_t all, current, one;

	RUN(4096, SCSI_GET_CONFIGURATION, 0, 0, 0, 0, 0, 0, 16, 0);
	assert_int_equal(scsi_get16(out.data + 6), 0x10); /* DVD-ROM */
	feature = find_feature(0x0010, &all);
	assert_non_null(feature);
	assert_int_equal(feature[2] & 1, 1);
	assert_int_equal(scsi_get32(feature + 4), 2048);
	assert_int_equal(find_feature(0, &all)[6], 1); /* of the profile list: it is current */
	RUN(4096, SCSI_GET_CONFIGURATION, 1, 0, 0, 0, 0, 0, 16, 0);
	find_feature(0, &current);
	assert_true(current < all);
	/* cdrom_is_mrw() asks for one that is not there. */
	RUN(16, SCSI_GET_CONFIGURATION, 2, 0, 0x28, 0, 0, 0, 0, 16);
	assert_data(8);
	RUN(4096, SCSI_GET_CONFIGURATION, 2, 0, 3, 0, 0, 0, 16, 0);
	assert_non_null(find_feature(3, &one));
	assert_int_equal(one, 1);
	RUN(4096, SCSI_GET_CONFIGURATION, 0, 1, 0, 0, 0, 0, 16, 0);
	assert_non_null(find_feature(0x0105, &one));
	assert_int_equal(one, 2);
	RUN(4096, SCSI_GET_CONFIGURATION, 3, 0, 0, 0, 0, 0, 16, 0);
	assert_sense(BAD_FIELD);
	scsi_cd_eject(&cd);
	RUN(4096, SCSI_GET_CONFIGURATION, 0, 0, 0, 0, 0, 0, 16, 0);
	assert_int_equal(scsi_get16(out.data + 6), 0);
	assert_int_equal(find_feature(0x0010, &one)[2] & 1, 0);
	assert_int_equal(find_feature(0, &one)[6], 0);
}

/* get_capabilities() of sr.c. */
static void capabilities_are_on_page_2a(void **state)
{
	const uint8_t *p = out.data + 8;

	RUN(128, SCSI_MODE_SENSE_10, 0, 0x2a, 0, 0, 0, 0, 0, 128);
	assert_data(8 + 22);
	assert_int_equal(scsi_get16(out.data), 28);
	assert_int_equal(scsi_get16(out.data + 6), 0); /* no block descriptor */
	assert_int_equal(p[0], 0x2a);
	assert_int_equal(p[1], 20);
	assert_int_equal(p[2] & 0x08, 0x08); /* DVD-ROM */
	assert_int_equal(p[3], 0);           /* writes nothing */
	assert_int_equal(p[6] >> 5, 1);      /* a tray */
	assert_int_equal(p[6] & 0x0b, 0x09); /* ejects, locks, is not locked */
	assert_int_equal(scsi_get16(p + 8) / 176, 50);
	RUN(128, SCSI_PREVENT_ALLOW, 0, 0, 0, 1, 0);
	RUN(128, SCSI_MODE_SENSE_6, 0, 0x2a, 0, 128, 0);
	assert_data(4 + 22);
	assert_int_equal(out.data[0], 25);
	assert_int_equal(out.data[4 + 6] & 0x02, 0x02);
	RUN(128, SCSI_MODE_SENSE_6, 0, 0x40 | 0x2a, 0, 128, 0); /* what can be changed */
	assert_int_equal(out.data[4 + 2] | out.data[4 + 6] | out.data[4 + 8], 0);
	RUN(128, SCSI_MODE_SENSE_6, 0, 0x3f, 0, 128, 0);
	assert_data(4 + 12 + 22);
	RUN(128, SCSI_MODE_SENSE_6, 0, 0x0e, 0, 128, 0);
	assert_sense(BAD_FIELD);
	RUN(128, SCSI_MODE_SENSE_6, 0, 0xc0 | 0x2a, 0, 128, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_SAVING_NOT_SUPPORTED);
}

static uint8_t event(uint8_t status)
{
	RUN(8, SCSI_GET_EVENT_STATUS, 1, 0, 0, 1 << 4, 0, 0, 0, 8);
	assert_data(8);
	assert_int_equal(scsi_get16(out.data), 6);
	assert_int_equal(out.data[2], 4);
	assert_int_equal(out.data[3], 1 << 4);
	assert_int_equal(out.data[5], status);
	return out.data[4];
}

static void events_are_told_once(void **state)
{
	assert_int_equal(event(2), SCSI_CD_NO_EVENT);
	scsi_cd_eject(&cd);
	assert_int_equal(event(1), SCSI_CD_MEDIUM_REMOVED);
	assert_int_equal(event(1), SCSI_CD_NO_EVENT);
	scsi_cd_eject(&cd); /* again: nothing is removed */
	assert_int_equal(event(1), SCSI_CD_NO_EVENT);
	scsi_cd_insert(&cd, BLOCKS);
	RUN(8, SCSI_GET_EVENT_STATUS, 1, 0, 0, 1 << 4, 0, 0, 0, 4); /* no room to tell it */
	assert_data(4);
	assert_int_equal(event(2), SCSI_CD_NEW_MEDIUM);
	assert_int_equal(event(2), SCSI_CD_NO_EVENT);
	RUN(8, SCSI_GET_EVENT_STATUS, 1, 0, 0, 1 << 1, 0, 0, 0, 8); /* other events */
	assert_data(4);
	assert_int_equal(out.data[2], 0x80);
	RUN(8, SCSI_GET_EVENT_STATUS, 0, 0, 0, 1 << 4, 0, 0, 0, 8);
	assert_sense(BAD_FIELD);
}

/* sr_check_events(): TEST UNIT READY says the same as the events. */
static void a_new_disc_is_announced_once(void **state)
{
	scsi_cd_eject(&cd);
	RUN(0, SCSI_TEST_UNIT_READY);
	assert_sense(SCSI_KEY_NOT_READY, SCSI_ASC_NO_MEDIUM_TRAY_OPEN);
	scsi_cd_insert(&cd, 2 * BLOCKS);
	RUN(255, SCSI_INQUIRY, 0, 0, 0, 255, 0); /* these do not take it away */
	assert_data(104);
	RUN(4096, SCSI_GET_CONFIGURATION, 0, 0, 0, 0, 0, 0, 16, 0);
	assert_int_equal(out.status, SCSI_GOOD);
	RUN(0, SCSI_TEST_UNIT_READY);
	assert_sense(SCSI_KEY_UNIT_ATTENTION, SCSI_ASC_MEDIUM_MAY_HAVE_CHANGED);
	RUN(0, SCSI_TEST_UNIT_READY);
	assert_data(0);
	RUN(255, SCSI_READ_CAPACITY_10);
	assert_int_equal(scsi_get32(out.data), 2 * BLOCKS - 1);
}

static void an_empty_drive_has_nothing_to_read(void **state)
{
	static const uint8_t opcodes[] = { SCSI_TEST_UNIT_READY,
		                           SCSI_READ_CAPACITY_10,
		                           SCSI_READ_10,
		                           SCSI_READ_12,
		                           SCSI_READ_TOC,
		                           SCSI_READ_DISC_INFORMATION,
		                           SCSI_READ_TRACK_INFORMATION,
		                           SCSI_READ_DISC_STRUCTURE };
	size_t i;

	scsi_cd_eject(&cd);
	RUN(0, SCSI_START_STOP_UNIT, 0, 0, 0, 3, 0); /* close the tray: it stays empty */
	assert_data(0);
	for (i = 0; i < sizeof(opcodes); i++) {
		RUN(4096, opcodes[i], 0, 0, 0, 0, 0, 0, 0, 1);
		assert_sense(SCSI_KEY_NOT_READY, SCSI_ASC_NO_MEDIUM_TRAY_CLOSED);
	}
	RUN(8, SCSI_MECHANISM_STATUS, 0, 0, 0, 0, 0, 0, 0, 0, 8);
	assert_data(8);
	assert_int_equal(out.data[1], 0);
}

static void the_guest_ejects_what_it_has_not_locked(void **state)
{
	RUN(0, SCSI_PREVENT_ALLOW, 0, 0, 0, 1, 0);
	assert_data(0);
	RUN(0, SCSI_START_STOP_UNIT, 0, 0, 0, 2, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_REMOVAL_PREVENTED);
	assert_int_equal(cd.blocks, BLOCKS);
	RUN(0, SCSI_START_STOP_UNIT, 0, 0, 0, 0, 0); /* stop, start: nothing to do */
	assert_data(0);
	RUN(0, SCSI_START_STOP_UNIT, 0, 0, 0, 1, 0);
	assert_data(0);
	RUN(0, SCSI_PREVENT_ALLOW, 0, 0, 0, 0, 0);
	RUN(0, SCSI_START_STOP_UNIT, 0, 0, 0, 2, 0);
	assert_data(0);
	assert_int_equal(cd.blocks, 0);
	RUN(8, SCSI_MECHANISM_STATUS, 0, 0, 0, 0, 0, 0, 0, 0, 8);
	assert_int_equal(out.data[1], 0x10);
	RUN(0, SCSI_PREVENT_ALLOW, 0, 0, 0, 1, 0);
	RUN(0, SCSI_START_STOP_UNIT, 0, 0, 0, 2, 0);
	assert_sense(SCSI_KEY_NOT_READY, SCSI_ASC_REMOVAL_PREVENTED);
}

static void small_commands(void **state)
{
	RUN(255, SCSI_REQUEST_SENSE, 0, 0, 0, 252, 0);
	assert_data(18);
	assert_int_equal(out.data[0], 0x70);
	RUN(0, SCSI_SET_CD_SPEED, 0, 0xff, 0xff);
	assert_data(0);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(inquiry_is_of_a_removable_dvd_drive),
		TEST(vpd_lists_its_pages_and_has_each),
		TEST(reads_are_of_2048_bytes),
		TEST(nothing_can_be_written),
		TEST(the_toc_is_of_one_data_track),
		TEST(disc_and_track_are_described),
		TEST(configuration_depends_on_the_disc),
		TEST(capabilities_are_on_page_2a),
		TEST(events_are_told_once),
		TEST(a_new_disc_is_announced_once),
		TEST(an_empty_drive_has_nothing_to_read),
		TEST(the_guest_ejects_what_it_has_not_locked),
		TEST(small_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
