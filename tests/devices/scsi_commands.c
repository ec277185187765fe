/* SPDX-License-Identifier: BSD-2-Clause */
/* What the disk answers to each command: the bytes that sg3-utils and Linux's sd look at, and the
 * sense for what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scsi/scsi_disk.h"

#define BLOCKS 0x20000u /* 64 MiB */

static struct scsi_disk thin = {
	.blocks = BLOCKS,
	.block_size = 512,
	.physical_block_size = 4096,
	.max_transfer = 1 << 20,
	.thin = true,
	.id = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 },
	.vendor = SCSI_DISK_VENDOR,
	.product = SCSI_DISK_PRODUCT,
	.revision = SCSI_DISK_REVISION,
	.serial = "serial-0",
};

static struct scsi_outcome out;

static void run(struct scsi_disk *disk, const uint8_t *cdb, size_t size, uint32_t data_in,
                uint32_t data_out)
{
	struct scsi_command c = { .data_in = data_in, .data_out = data_out };

	memcpy(c.cdb, cdb, size);
	memset(&out, 0xa5, sizeof(out));
	scsi_disk_execute(disk, &c, &out);
}

#define RUN(disk, in, data, ...)                                                                  \
	run(disk, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), in, \
	    data)

static void assert_sense(enum scsi_sense_key key, enum scsi_asc asc)
{
	assert_int_equal(out.kind, SCSI_DONE);
	assert_int_equal(out.status, SCSI_CHECK_CONDITION);
	assert_int_equal(out.length, 0);
	assert_int_equal(out.sense_length, 18);
	assert_int_equal(out.sense[0], 0x70);
	assert_int_equal(out.sense[2], key);
	assert_int_equal(out.sense[7], 10);
	assert_int_equal(scsi_get16(out.sense + 12), asc);
}

static void assert_data(uint32_t n)
{
	assert_int_equal(out.kind, SCSI_DONE);
	assert_int_equal(out.status, SCSI_GOOD);
	assert_int_equal(out.sense_length, 0);
	assert_int_equal(out.length, n);
}

static void assert_good(void)
{
	assert_data(0);
}

static void assert_operation(enum scsi_outcome_kind kind, uint64_t offset, uint32_t length)
{
	assert_int_equal(out.kind, kind);
	assert_int_equal(out.offset, offset);
	assert_int_equal(out.length, length);
}

static void inquiry_names_a_hyper_v_disk(void **state)
{
	static const uint8_t begin[] = { 0, 0, 5, 2, 99, 0, 0, 2 };

	RUN(&thin, 255, 0, SCSI_INQUIRY, 0, 0, 0, 255, 0);
	assert_data(104);
	assert_memory_equal(out.data, begin, sizeof(begin));
	assert_memory_equal(out.data + 8, "Msft    Virtual Disk    1.0 ", 28);
}

static void inquiry_is_cut_to_what_is_asked_and_offered(void **state)
{
	RUN(&thin, 255, 0, SCSI_INQUIRY, 0, 0, 0, 36, 0);
	assert_data(36);
	RUN(&thin, 5, 0, SCSI_INQUIRY, 0, 0, 0, 36, 0);
	assert_data(5);
	RUN(&thin, 0, 0, SCSI_INQUIRY, 0, 0, 0, 36, 0);
	assert_good();
}

static void inquiry_refuses_a_page_without_evpd(void **state)
{
	RUN(&thin, 255, 0, SCSI_INQUIRY, 0, 0x80, 0, 255, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
	RUN(&thin, 255, 0, SCSI_INQUIRY, 1, 0x8f, 0, 255, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
}

static void vpd_lists_its_pages_and_has_each(void **state)
{
	static const uint8_t list[] = { 0, 0, 0, 6, 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2 };
	uint8_t pages[6];
	size_t i;

	RUN(&thin, 255, 0, SCSI_INQUIRY, 1, 0, 0, 255, 0);
	assert_data(sizeof(list));
	assert_memory_equal(out.data, list, sizeof(list));
	memcpy(pages, out.data + 4, sizeof(pages));
	for (i = 0; i < sizeof(pages); i++) {
		RUN(&thin, 255, 0, SCSI_INQUIRY, 1, pages[i], 0, 255, 0);
		assert_data(4u + scsi_get16(out.data + 2));
		assert_int_equal(out.data[1], pages[i]);
	}
}

static void vpd_identifies_the_unit(void **state)
{
	static const uint8_t naa[] = { 0x01, 0x03, 0, 16, 0x60, 0x02, 0x24, 0x80, 1,  2,
		                       3,    4,    5, 6,  11,   12,   13,   14,   15, 16 };

	RUN(&thin, 255, 0, SCSI_INQUIRY, 1, 0x80, 0, 255, 0);
	assert_memory_equal(out.data + 4, "serial-0", 8);
	RUN(&thin, 255, 0, SCSI_INQUIRY, 1, 0x83, 0, 255, 0);
	assert_memory_equal(out.data + 4, "\x02\x01\x00\x10Msft    serial-0", 20);
	assert_memory_equal(out.data + 24, naa, sizeof(naa));
	assert_data(44);
}

static void vpd_gives_the_limits(void **state)
{
	struct scsi_disk thick = thin;

	RUN(&thin, 255, 0, SCSI_INQUIRY, 1, 0xb0, 0, 255, 0);
	assert_data(64);
	assert_int_equal(out.data[4], 1);
	assert_int_equal(scsi_get16(out.data + 6), 8);
	assert_int_equal(scsi_get32(out.data + 8), 2048);
	assert_int_equal(scsi_get32(out.data + 20), UINT32_MAX);
	assert_int_equal(scsi_get32(out.data + 24), 255);
	assert_int_equal(scsi_get32(out.data + 28), 8);
	assert_int_equal(scsi_get64(out.data + 36), (64 << 20) / 512);
	RUN(&thin, 255, 0, SCSI_INQUIRY, 1, 0xb2, 0, 255, 0);
	assert_memory_equal(out.data, "\0\xb2\0\4\0\xe4\2\0", 8);
	RUN(&thin, 255, 0, SCSI_INQUIRY, 1, 0xb1, 0, 255, 0);
	assert_int_equal(scsi_get16(out.data + 4), 1);

	thick.thin = false;
	RUN(&thick, 255, 0, SCSI_INQUIRY, 1, 0xb0, 0, 255, 0);
	assert_int_equal(scsi_get32(out.data + 20), 0);
	RUN(&thick, 255, 0, SCSI_INQUIRY, 1, 0xb2, 0, 255, 0);
	assert_memory_equal(out.data, "\0\xb2\0\4\0\0\0\0", 8);
}

static void inquiry_of_nothing_says_so(void **state)
{
	struct scsi_command c = { .cdb = { SCSI_INQUIRY, 0, 0, 0, 36 }, .data_in = 36 };

	scsi_inquiry_absent(&c, &out);
	assert_data(36);
	assert_int_equal(out.data[0], 0x7f);
	c.cdb[1] = 1;
	scsi_inquiry_absent(&c, &out);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
}

static void report_luns_lists_them(void **state)
{
	static const uint8_t luns[] = { 0, 1, 63 };
	struct scsi_command c = { .cdb = { SCSI_REPORT_LUNS, 0, 0, 0, 0, 0, 0, 0, 0x10 },
		                  .data_in = 4096 };

	scsi_report_luns(&c, luns, 3, &out);
	assert_data(32);
	assert_int_equal(scsi_get32(out.data), 24);
	assert_int_equal(scsi_get64(out.data + 16), 1ull << 48);
	assert_int_equal(scsi_get64(out.data + 24), 63ull << 48);
	c.data_in = 16;
	scsi_report_luns(&c, luns, 3, &out);
	assert_data(16);
	/* As Hyper-V's UEFI asks. */
	c.cdb[8] = 0;
	c.data_in = 520;
	scsi_report_luns(&c, luns, 3, &out);
	assert_data(32);
	scsi_report_luns(&c, luns, 0, &out);
	assert_data(8);
	assert_int_equal(scsi_get32(out.data), 0);
	c.cdb[9] = 15; /* asked for less than there can be */
	scsi_report_luns(&c, luns, 3, &out);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
	c.cdb[9] = 0;
	c.cdb[8] = 0x10;
	c.cdb[2] = 1; /* well known ones */
	scsi_report_luns(&c, luns, 3, &out);
	assert_data(8);
	c.cdb[2] = 3;
	scsi_report_luns(&c, luns, 3, &out);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
}

static void capacity_is_the_last_block(void **state)
{
	struct scsi_disk huge = thin;

	RUN(&thin, 8, 0, SCSI_READ_CAPACITY_10, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_data(8);
	assert_memory_equal(out.data, "\x00\x01\xff\xff\x00\x00\x02\x00", 8);
	RUN(&thin, 32, 0, SCSI_SERVICE_ACTION_IN_16, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0,
	    0);
	assert_data(32);
	assert_int_equal(scsi_get64(out.data), BLOCKS - 1);
	assert_int_equal(scsi_get32(out.data + 8), 512);
	assert_int_equal(out.data[13], 3);
	assert_int_equal(out.data[14], 0xc0);

	huge.blocks = 1ull << 33;
	RUN(&huge, 8, 0, SCSI_READ_CAPACITY_10, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_int_equal(scsi_get32(out.data), UINT32_MAX);
	RUN(&thin, 8, 0, SCSI_READ_CAPACITY_10, 0, 0, 0, 0, 1, 0, 0, 0, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
}

static void mode_sense_tells_cache_and_protection(void **state)
{
	struct scsi_disk read_only = thin;

	read_only.read_only = true;
	RUN(&thin, 255, 0, SCSI_MODE_SENSE_6, 8, 8, 0, 255, 0);
	assert_data(24);
	assert_memory_equal(out.data, "\x17\x00\x10\x00\x08\x12\x04\x00", 8);
	RUN(&read_only, 255, 0, SCSI_MODE_SENSE_6, 0, 0x3f, 0, 255, 0);
	assert_data(4 + 8 + 12 + 20 + 12);
	assert_memory_equal(out.data, "\x37\x00\x90\x08", 4);
	assert_memory_equal(out.data + 4, "\x00\x02\x00\x00\x00\x00\x02\x00", 8);
	RUN(&thin, 255, 0, SCSI_MODE_SENSE_10, 0x10, 0x3f, 0xff, 0, 0, 0, 0, 255, 0);
	assert_data(8 + 16 + 12 + 20 + 12);
	assert_memory_equal(out.data, "\x00\x42\x00\x10\x01\x00\x00\x10", 8);
	assert_int_equal(scsi_get64(out.data + 8), BLOCKS);
	assert_int_equal(scsi_get32(out.data + 20), 512);
	/* Changeable values: none. */
	RUN(&thin, 255, 0, SCSI_MODE_SENSE_6, 8, 0x48, 0, 255, 0);
	assert_memory_equal(out.data + 4, "\x08\x12\x00\x00", 4);
}

static void mode_sense_refuses_saved_and_unknown_pages(void **state)
{
	RUN(&thin, 255, 0, SCSI_MODE_SENSE_6, 0, 0xc8, 0, 255, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_SAVING_NOT_SUPPORTED);
	RUN(&thin, 255, 0, SCSI_MODE_SENSE_6, 0, 0x1c, 0, 255, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
	RUN(&thin, 255, 0, SCSI_MODE_SENSE_6, 0, 0x08, 1, 255, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
}

static void reads_and_writes_of_every_length_group(void **state)
{
	RUN(&thin, 4096, 0, SCSI_READ_6, 0x01, 0x02, 0x03, 8, 0);
	assert_operation(SCSI_DO_READ, 0x10203 * 512ull, 4096);
	RUN(&thin, 1 << 20, 0, SCSI_READ_6, 0, 0, 0, 0, 0);
	assert_operation(SCSI_DO_READ, 0, 256 * 512);
	RUN(&thin, 4096, 0, SCSI_READ_10, 0, 0, 1, 2, 3, 0, 0, 8, 0);
	assert_operation(SCSI_DO_READ, 0x10203 * 512ull, 4096);
	RUN(&thin, 4096, 0, SCSI_READ_12, 0, 0, 1, 2, 3, 0, 0, 0, 8, 0, 0);
	assert_operation(SCSI_DO_READ, 0x10203 * 512ull, 4096);
	RUN(&thin, 4096, 0, SCSI_READ_16, 0, 0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 8, 0, 0);
	assert_operation(SCSI_DO_READ, 0x10203 * 512ull, 4096);
	RUN(&thin, 0, 4096, SCSI_WRITE_6, 0x01, 0x02, 0x03, 8, 0);
	assert_operation(SCSI_DO_WRITE, 0x10203 * 512ull, 4096);
	assert_false(out.durable);
	RUN(&thin, 0, 4096, SCSI_WRITE_10, 0x08, 0, 1, 2, 3, 0, 0, 8, 0);
	assert_operation(SCSI_DO_WRITE, 0x10203 * 512ull, 4096);
	assert_true(out.durable);
	RUN(&thin, 0, 4096, SCSI_WRITE_12, 0, 0, 1, 2, 3, 0, 0, 0, 8, 0, 0);
	assert_operation(SCSI_DO_WRITE, 0x10203 * 512ull, 4096);
	RUN(&thin, 0, 4096, SCSI_WRITE_16, 0, 0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 8, 0, 0);
	assert_operation(SCSI_DO_WRITE, 0x10203 * 512ull, 4096);
}

static void no_blocks_are_no_error(void **state)
{
	RUN(&thin, 0, 0, SCSI_READ_10, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_good();
	RUN(&thin, 0, 0, SCSI_WRITE_16, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_good(); /* right behind the last block */
}

static void blocks_past_the_end_are_refused(void **state)
{
	RUN(&thin, 4096, 0, SCSI_READ_10, 0, 0, 1, 0xff, 0xff, 0, 0, 2, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_LBA_OUT_OF_RANGE);
	RUN(&thin, 0, 0, SCSI_READ_10, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_LBA_OUT_OF_RANGE);
	/* A sum that wraps around 2^64, and a product that would. */
	RUN(&thin, 4096, 0, SCSI_READ_16, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0,
	    0, 8, 0, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_LBA_OUT_OF_RANGE);
	RUN(&thin, 4096, 0, SCSI_READ_16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_LBA_OUT_OF_RANGE);
}

static void transfers_larger_than_the_memory_or_the_limit_are_refused(void **state)
{
	RUN(&thin, 4095, 0, SCSI_READ_10, 0, 0, 0, 0, 0, 0, 0, 8, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
	RUN(&thin, 0, 4096, SCSI_READ_10, 0, 0, 0, 0, 0, 0, 0, 8, 0); /* the wrong way */
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
	RUN(&thin, 4096, 0, SCSI_WRITE_10, 0, 0, 0, 0, 0, 0, 0, 8, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
	RUN(&thin, UINT32_MAX, 0, SCSI_READ_10, 0, 0, 0, 0, 0, 0, 8, 1, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
}

static void protection_information_is_refused(void **state)
{
	RUN(&thin, 4096, 0, SCSI_READ_10, 0x20, 0, 0, 0, 0, 0, 0, 8, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
}

static void a_read_only_disk_refuses_every_change(void **state)
{
	struct scsi_disk disk = thin;

	disk.read_only = true;
	RUN(&disk, 0, 4096, SCSI_WRITE_10, 0, 0, 0, 0, 0, 0, 0, 8, 0);
	assert_sense(SCSI_KEY_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED);
	RUN(&disk, 0, 24, SCSI_UNMAP, 0, 0, 0, 0, 0, 0, 0, 24, 0);
	assert_sense(SCSI_KEY_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED);
	RUN(&disk, 0, 512, SCSI_WRITE_SAME_10, 0, 0, 0, 0, 0, 0, 0, 8, 0);
	assert_sense(SCSI_KEY_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED);
	RUN(&disk, 0, 0, SCSI_SYNCHRONIZE_CACHE_10, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_good();
}

static void stops_and_starts(void **state)
{
	struct scsi_disk read_only = thin;

	read_only.read_only = true;
	RUN(&thin, 0, 0, SCSI_START_STOP_UNIT, 0, 0, 0, 0, 0);
	assert_int_equal(out.kind, SCSI_DO_STOP);
	assert_true(out.durable);
	RUN(&thin, 0, 0, SCSI_START_STOP_UNIT, 0, 0, 0, 4, 0); /* NO_FLUSH */
	assert_int_equal(out.kind, SCSI_DO_STOP);
	assert_false(out.durable);
	RUN(&read_only, 0, 0, SCSI_START_STOP_UNIT, 0, 0, 0, 0, 0);
	assert_int_equal(out.kind, SCSI_DO_STOP);
	assert_false(out.durable);
	RUN(&thin, 0, 0, SCSI_START_STOP_UNIT, 0, 0, 0, 1, 0);
	assert_int_equal(out.kind, SCSI_DO_START);
	RUN(&thin, 0, 0, SCSI_START_STOP_UNIT, 0, 0, 0, 2, 0); /* to eject it */
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
	/* A power condition instead: active, standby. */
	RUN(&thin, 0, 0, SCSI_START_STOP_UNIT, 0, 0, 0, 0x10, 0);
	assert_good();
	RUN(&thin, 0, 0, SCSI_START_STOP_UNIT, 0, 0, 0, 0x30, 0);
	assert_int_equal(out.kind, SCSI_DO_FLUSH);
}

static void a_stopped_disk_does_not_touch_its_medium(void **state)
{
	struct scsi_disk disk = thin;

	disk.stopped = true;
	RUN(&disk, 0, 0, SCSI_TEST_UNIT_READY, 0, 0, 0, 0, 0);
	assert_sense(SCSI_KEY_NOT_READY, SCSI_ASC_NEEDS_START);
	RUN(&disk, 512, 0, SCSI_READ_10, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	assert_sense(SCSI_KEY_NOT_READY, SCSI_ASC_NEEDS_START);
	RUN(&disk, 0, 512, SCSI_WRITE_10, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	assert_sense(SCSI_KEY_NOT_READY, SCSI_ASC_NEEDS_START);
	RUN(&disk, 0, 0, SCSI_VERIFY_10, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	assert_sense(SCSI_KEY_NOT_READY, SCSI_ASC_NEEDS_START);
	RUN(&disk, 0, 512, SCSI_WRITE_SAME_10, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	assert_sense(SCSI_KEY_NOT_READY, SCSI_ASC_NEEDS_START);
	RUN(&disk, 0, 24, SCSI_UNMAP, 0, 0, 0, 0, 0, 0, 0, 24, 0);
	assert_sense(SCSI_KEY_NOT_READY, SCSI_ASC_NEEDS_START);
	RUN(&disk, 255, 0, SCSI_INQUIRY, 0, 0, 0, 255, 0);
	assert_int_equal(out.status, SCSI_GOOD);
	RUN(&disk, 255, 0, SCSI_REQUEST_SENSE, 0, 0, 0, 255, 0);
	assert_int_equal(out.status, SCSI_GOOD);
	RUN(&disk, 0, 0, SCSI_SYNCHRONIZE_CACHE_10, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_int_equal(out.kind, SCSI_DO_FLUSH);
	RUN(&disk, 0, 0, SCSI_START_STOP_UNIT, 0, 0, 0, 1, 0);
	assert_int_equal(out.kind, SCSI_DO_START);
}

static void flushes(void **state)
{
	RUN(&thin, 0, 0, SCSI_SYNCHRONIZE_CACHE_10, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_int_equal(out.kind, SCSI_DO_FLUSH);
	RUN(&thin, 0, 0, SCSI_SYNCHRONIZE_CACHE_16, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0);
	assert_int_equal(out.kind, SCSI_DO_FLUSH);
	RUN(&thin, 0, 0, SCSI_SYNCHRONIZE_CACHE_10, 0, 0, 1, 0, 0, 0, 0, 1, 0);
	assert_int_equal(out.kind, SCSI_DO_FLUSH);
	RUN(&thin, 0, 0, SCSI_SYNCHRONIZE_CACHE_10, 0, 0, 2, 0, 0, 0, 0, 1, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_LBA_OUT_OF_RANGE);
}

/* An UNMAP whose list is exactly `n` bytes, in memory that ends there. */
static void unmap(const uint8_t *list, uint32_t n)
{
	struct scsi_command c = { .cdb = { SCSI_UNMAP }, .data_out = n };
	uint8_t *copy = malloc(n);

	memcpy(copy, list, n);
	scsi_put16(c.cdb + 7, (uint16_t)n);
	scsi_disk_execute(&thin, &c, &out);
	assert_int_equal(out.kind, SCSI_PARAMETERS);
	assert_int_equal(out.length, n);
	scsi_disk_parameters(&thin, &c, copy, n, &out);
	free(copy);
}

static void unmap_takes_a_list(void **state)
{
	uint8_t list[8 + 48] = { 0, 54, 0, 48 };

	scsi_put64(list + 8, 16);
	scsi_put32(list + 16, 8);
	scsi_put64(list + 24, 32); /* none: left out */
	scsi_put64(list + 40, BLOCKS - 1);
	scsi_put32(list + 48, 1);
	unmap(list, sizeof(list));
	assert_int_equal(out.kind, SCSI_DO_DISCARD);
	assert_int_equal(out.extents, 2);
	assert_int_equal(out.extent[0].offset, 8192);
	assert_int_equal(out.extent[0].length, 4096);
	assert_int_equal(out.extent[1].offset, (BLOCKS - 1) * 512ull);
	assert_int_equal(out.extent[1].length, 512);
}

static void unmap_trusts_no_length_in_the_list(void **state)
{
	uint8_t list[8 + 20] = { 0xff, 0xff, 0xff, 0xff };

	scsi_put32(list + 16, 8);
	unmap(list, sizeof(list)); /* one descriptor and a cut one are there */
	assert_int_equal(out.kind, SCSI_DO_DISCARD);
	assert_int_equal(out.extents, 1);
	unmap(list, 8);
	assert_good();
}

static void unmap_does_nothing_if_any_of_it_is_wrong(void **state)
{
	uint8_t list[8 + 32] = { 0, 38, 0, 32 };

	scsi_put32(list + 16, 8);
	scsi_put64(list + 24, BLOCKS);
	scsi_put32(list + 32, 1);
	unmap(list, sizeof(list));
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_LBA_OUT_OF_RANGE);
}

static void unmap_refuses_bad_lists(void **state)
{
	struct scsi_disk thick = thin;

	RUN(&thin, 0, 24, SCSI_UNMAP, 0, 0, 0, 0, 0, 0, 0, 7, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_PARAMETER_LIST_LENGTH);
	RUN(&thin, 0, 23, SCSI_UNMAP, 0, 0, 0, 0, 0, 0, 0, 24, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_PARAMETER_LIST_LENGTH);
	RUN(&thin, 0, 65535, SCSI_UNMAP, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_PARAMETER_LIST_LENGTH);
	RUN(&thin, 0, 0, SCSI_UNMAP, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_good();
	RUN(&thin, 0, 24, SCSI_UNMAP, 1, 0, 0, 0, 0, 0, 0, 24, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
	thick.thin = false;
	RUN(&thick, 0, 24, SCSI_UNMAP, 0, 0, 0, 0, 0, 0, 0, 24, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_OPCODE);
}

static void write_same(struct scsi_disk *disk, uint8_t flags, uint8_t value)
{
	struct scsi_command c = { .cdb = { SCSI_WRITE_SAME_16, flags }, .data_out = 512 };
	uint8_t block[512] = { 0 };

	scsi_put64(c.cdb + 2, 64);
	scsi_put32(c.cdb + 10, 128);
	block[511] = value;
	scsi_disk_execute(disk, &c, &out);
	assert_operation(SCSI_PARAMETERS, out.offset, 512);
	scsi_disk_parameters(disk, &c, block, 512, &out);
}

static void write_same_discards_zeroes_or_fills(void **state)
{
	write_same(&thin, 0x08, 0);
	assert_int_equal(out.kind, SCSI_DO_DISCARD);
	assert_int_equal(out.extents, 1);
	assert_int_equal(out.extent[0].offset, 64 * 512);
	assert_int_equal(out.extent[0].length, 128 * 512);
	write_same(&thin, 0, 0);
	assert_operation(SCSI_DO_ZERO, 64 * 512, 128 * 512);
	write_same(&thin, 0x08, 7);
	assert_operation(SCSI_DO_FILL, 64 * 512, 128 * 512);
	assert_int_equal(out.data[510], 0);
	assert_int_equal(out.data[511], 7);
	/* NDOB: zeroes without a block of them */
	RUN(&thin, 0, 0, SCSI_WRITE_SAME_16, 1, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 128, 0, 0);
	assert_operation(SCSI_DO_ZERO, 64 * 512, 128 * 512);
}

static void write_same_refuses(void **state)
{
	struct scsi_disk thick = thin;

	thick.thin = false;
	RUN(&thick, 0, 512, SCSI_WRITE_SAME_16, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
	RUN(&thin, 0, 512, SCSI_WRITE_SAME_10, 0, 0, 0, 0, 0, 0, 0, 0, 0); /* WSNZ */
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
	RUN(&thin, 0, 511, SCSI_WRITE_SAME_10, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
	RUN(&thin, 0, 512, SCSI_WRITE_SAME_10, 0, 0, 2, 0, 0, 0, 0, 1, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_LBA_OUT_OF_RANGE);
	thick.blocks = 1ull << 32;
	RUN(&thick, 0, 512, SCSI_WRITE_SAME_16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
}

static void verify_checks_the_range(void **state)
{
	struct scsi_disk read_only = thin;

	read_only.read_only = true;
	RUN(&thin, 0, 0, SCSI_VERIFY_10, 0, 0, 1, 0xff, 0xff, 0, 0, 1, 0);
	assert_int_equal(out.kind, SCSI_DO_FLUSH);
	RUN(&read_only, 0, 0, SCSI_VERIFY_10, 0, 0, 1, 0xff, 0xff, 0, 0, 1, 0);
	assert_good();
	RUN(&thin, 0, 0, SCSI_VERIFY_10, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0); /* no blocks */
	assert_good();
	RUN(&thin, 0, 0, SCSI_VERIFY_16, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1, 0, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_LBA_OUT_OF_RANGE);
	RUN(&thin, 0, 512, SCSI_VERIFY_10, 2, 0, 0, 0, 0, 0, 0, 1, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
}

static void small_commands(void **state)
{
	RUN(&thin, 0, 0, SCSI_TEST_UNIT_READY, 0, 0, 0, 0, 0);
	assert_good();
	RUN(&thin, 255, 0, SCSI_REQUEST_SENSE, 0, 0, 0, 252, 0);
	assert_data(18);
	assert_int_equal(out.data[0], 0x70);
	assert_int_equal(out.data[2], 0);
	RUN(&thin, 255, 0, SCSI_REQUEST_SENSE, 1, 0, 0, 252, 0);
	assert_data(8);
	assert_int_equal(out.data[0], 0x72);
}

static void unknown_commands_have_the_right_sense(void **state)
{
	static const uint8_t unknown[] = { 0x04, 0x15, 0x1e, 0x2e, 0x5e, 0x85, 0xa1, 0xc0, 0xff };
	size_t i;

	for (i = 0; i < sizeof(unknown); i++) {
		RUN(&thin, 4096, 4096, unknown[i], 0, 0, 0, 0, 0, 0, 0, 8, 0);
		assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_OPCODE);
	}
	RUN(&thin, 32, 0, SCSI_SERVICE_ACTION_IN_16, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
}

static void operation_codes_are_reported(void **state)
{
	struct scsi_disk thick = thin;
	uint32_t all;

	RUN(&thin, 4096, 0, SCSI_MAINTENANCE_IN, 0x0c, 1, SCSI_WRITE_SAME_16, 0, 0, 0, 0, 2, 0);
	assert_data(20);
	assert_memory_equal(out.data, "\0\3\0\x10\x93\x09\xff", 7);
	RUN(&thin, 4096, 0, SCSI_MAINTENANCE_IN, 0x0c, 0x82, SCSI_SERVICE_ACTION_IN_16, 0, 0x10, 0,
	    0, 2, 0);
	assert_data(32);
	assert_memory_equal(out.data, "\0\x83\0\x10\x9e\x10", 6);
	RUN(&thin, 4096, 0, SCSI_MAINTENANCE_IN, 0x0c, 1, 0x85, 0, 0, 0, 0, 2, 0);
	assert_data(4);
	assert_int_equal(out.data[1], 1);
	/* An opcode with service actions asked for without one. */
	RUN(&thin, 4096, 0, SCSI_MAINTENANCE_IN, 0x0c, 1, SCSI_MAINTENANCE_IN, 0, 0, 0, 0, 2, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
	RUN(&thin, 4096, 0, SCSI_MAINTENANCE_IN, 0x0c, 4, 0, 0, 0, 0, 0, 2, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);

	RUN(&thin, 4096, 0, SCSI_MAINTENANCE_IN, 0x0c, 0, 0, 0, 0, 0, 0, 0x10, 0);
	all = out.length;
	assert_int_equal(scsi_get32(out.data), all - 4);
	assert_int_equal((all - 4) % 8, 0);
	thick.thin = false;
	RUN(&thick, 4096, 0, SCSI_MAINTENANCE_IN, 0x0c, 0, 0, 0, 0, 0, 0, 0x10, 0);
	assert_int_equal(out.length, all - 8); /* without UNMAP */
}

static void growth_is_told_once(void **state)
{
	struct scsi_disk disk = thin;

	RUN(&disk, 512, 0, SCSI_READ_10, 0, 0, 2, 0, 0, 0, 0, 1, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_LBA_OUT_OF_RANGE);
	scsi_disk_grow(&disk, 2ull * BLOCKS);
	/* Not with what Linux's driver takes for a success, nor with what is no command. */
	RUN(&disk, 255, 0, SCSI_INQUIRY, 0, 0, 0, 255, 0);
	assert_int_equal(out.status, SCSI_GOOD);
	RUN(&disk, 255, 0, SCSI_MODE_SENSE_6, 0, 0x3f, 0, 255, 0);
	assert_int_equal(out.status, SCSI_GOOD);
	assert_int_equal(scsi_get32(out.data + 4), 2 * BLOCKS);
	RUN(&disk, 0, 0, 0xff, 0, 0, 0, 0, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_OPCODE);
	RUN(&disk, 512, 0, SCSI_READ_10, 0, 0, 2, 0, 0, 0, 0, 1, 0);
	assert_sense(SCSI_KEY_UNIT_ATTENTION, SCSI_ASC_CAPACITY_CHANGED);
	RUN(&disk, 512, 0, SCSI_READ_10, 0, 0, 2, 0, 0, 0, 0, 1, 0);
	assert_int_equal(out.kind, SCSI_DO_READ);
	assert_int_equal(out.offset, BLOCKS * 512ull);
	RUN(&disk, 8, 0, SCSI_READ_CAPACITY_10, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_data(8);
	assert_int_equal(scsi_get32(out.data), 2 * BLOCKS - 1);
	RUN(&disk, 512, 0, SCSI_READ_10, 0, 0, 4, 0, 0, 0, 0, 1, 0);
	assert_sense(SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_LBA_OUT_OF_RANGE);
}

/* Who asks gets the news as data, in either format, and then they are none. */
static void growth_is_told_to_who_asks(void **state)
{
	struct scsi_disk disk = thin;

	scsi_disk_grow(&disk, 2ull * BLOCKS);
	RUN(&disk, 255, 0, SCSI_REQUEST_SENSE, 0, 0, 0, 252, 0);
	assert_data(18);
	assert_memory_equal(out.data, "\x70\0\x06\0\0\0\0\x0a\0\0\0\0\x2a\x09", 14);
	RUN(&disk, 0, 0, SCSI_TEST_UNIT_READY, 0, 0, 0, 0, 0);
	assert_good();
	scsi_disk_grow(&disk, 3ull * BLOCKS);
	RUN(&disk, 255, 0, SCSI_REQUEST_SENSE, 1, 0, 0, 252, 0);
	assert_data(8);
	assert_memory_equal(out.data, "\x72\x06\x2a\x09", 4);
	RUN(&disk, 255, 0, SCSI_REQUEST_SENSE, 0, 0, 0, 252, 0);
	assert_int_equal(out.data[2], 0);
}

static void io_errors_become_sense(void **state)
{
	scsi_fail_io(&out, SCSI_DO_READ, EIO);
	assert_sense(SCSI_KEY_MEDIUM_ERROR, SCSI_ASC_UNRECOVERED_READ_ERROR);
	scsi_fail_io(&out, SCSI_DO_WRITE, EIO);
	assert_sense(SCSI_KEY_MEDIUM_ERROR, SCSI_ASC_WRITE_ERROR);
	scsi_fail_io(&out, SCSI_DO_WRITE, ENOSPC);
	assert_sense(SCSI_KEY_DATA_PROTECT, SCSI_ASC_SPACE_ALLOCATION_FAILED);
	scsi_fail_io(&out, SCSI_DO_FLUSH, EIO);
	assert_sense(SCSI_KEY_HARDWARE_ERROR, SCSI_ASC_INTERNAL_FAILURE);
	scsi_fail_io(&out, SCSI_DO_DISCARD, EROFS);
	assert_sense(SCSI_KEY_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inquiry_names_a_hyper_v_disk),
		cmocka_unit_test(inquiry_is_cut_to_what_is_asked_and_offered),
		cmocka_unit_test(inquiry_refuses_a_page_without_evpd),
		cmocka_unit_test(vpd_lists_its_pages_and_has_each),
		cmocka_unit_test(vpd_identifies_the_unit),
		cmocka_unit_test(vpd_gives_the_limits),
		cmocka_unit_test(inquiry_of_nothing_says_so),
		cmocka_unit_test(report_luns_lists_them),
		cmocka_unit_test(capacity_is_the_last_block),
		cmocka_unit_test(mode_sense_tells_cache_and_protection),
		cmocka_unit_test(mode_sense_refuses_saved_and_unknown_pages),
		cmocka_unit_test(reads_and_writes_of_every_length_group),
		cmocka_unit_test(no_blocks_are_no_error),
		cmocka_unit_test(blocks_past_the_end_are_refused),
		cmocka_unit_test(transfers_larger_than_the_memory_or_the_limit_are_refused),
		cmocka_unit_test(protection_information_is_refused),
		cmocka_unit_test(a_read_only_disk_refuses_every_change),
		cmocka_unit_test(stops_and_starts),
		cmocka_unit_test(a_stopped_disk_does_not_touch_its_medium),
		cmocka_unit_test(flushes),
		cmocka_unit_test(unmap_takes_a_list),
		cmocka_unit_test(unmap_trusts_no_length_in_the_list),
		cmocka_unit_test(unmap_does_nothing_if_any_of_it_is_wrong),
		cmocka_unit_test(unmap_refuses_bad_lists),
		cmocka_unit_test(write_same_discards_zeroes_or_fills),
		cmocka_unit_test(write_same_refuses),
		cmocka_unit_test(verify_checks_the_range),
		cmocka_unit_test(small_commands),
		cmocka_unit_test(unknown_commands_have_the_right_sense),
		cmocka_unit_test(operation_codes_are_reported),
		cmocka_unit_test(growth_is_told_once),
		cmocka_unit_test(growth_is_told_to_who_asks),
		cmocka_unit_test(io_errors_become_sense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
