/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arbitrary SCSI commands against a disk in memory, or a CD drive. What the engine asks to be done
 * must be inside the image and inside what the initiator offered, whatever the command says; then
 * it is done, under the address sanitizer.
 *
 * Input: one byte of options, then requests: 16 bytes of CDB, 2 of data-in, 2 of data-out, and as
 * many bytes of parameter data as the engine asks for.
 */
#include "scsi/scsi_cd.h"
#include "scsi/scsi_disk.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS 64u

static uint8_t image[2 * BLOCKS * 4096]; /* what it may grow to */

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

static void check_range(const struct scsi_disk *disk, uint64_t offset, uint64_t length)
{
	uint64_t size = disk->blocks * disk->block_size;

	CHECK(length > 0 && offset < size && length <= size - offset);
	CHECK(offset % disk->block_size == 0 && length % disk->block_size == 0);
}

static void perform(struct scsi_disk *disk, const struct scsi_command *c,
                    const struct scsi_outcome *out)
{
	uint8_t *memory;
	uint32_t i;

	if (out->kind == SCSI_DO_READ || out->kind == SCSI_DO_WRITE || out->kind == SCSI_DO_ZERO ||
	    out->kind == SCSI_DO_FILL || out->kind == SCSI_DO_DISCARD)
		CHECK(!disk->stopped);
	switch (out->kind) {
	case SCSI_DONE:
		CHECK(out->length <= c->data_in && out->length <= SCSI_DATA_MAX);
		CHECK((out->status == SCSI_GOOD) == (out->sense_length == 0));
		CHECK(out->sense_length == 0 || out->length == 0);
		break;
	case SCSI_DO_READ:
	case SCSI_DO_WRITE:
		check_range(disk, out->offset, out->length);
		CHECK(out->length <= (out->kind == SCSI_DO_READ ? c->data_in : c->data_out));
		CHECK(out->length <= disk->max_transfer);
		CHECK(out->kind == SCSI_DO_READ || !disk->read_only);
		memory = malloc(out->length);
		CHECK(memory);
		memset(memory, c->cdb[9], out->length);
		if (out->kind == SCSI_DO_READ)
			memcpy(memory, image + out->offset, out->length);
		else
			memcpy(image + out->offset, memory, out->length);
		free(memory);
		break;
	case SCSI_DO_ZERO:
	case SCSI_DO_FILL:
		CHECK(!disk->read_only);
		check_range(disk, out->offset, out->length);
		for (i = 0; i < out->length; i++)
			image[out->offset + i] =
				out->kind == SCSI_DO_FILL ? out->data[i % disk->block_size] : 0;
		break;
	case SCSI_DO_DISCARD:
		CHECK(!disk->read_only && disk->thin);
		CHECK(out->extents > 0 && out->extents <= SCSI_UNMAP_MAX);
		for (i = 0; i < out->extents; i++) {
			check_range(disk, out->extent[i].offset, out->extent[i].length);
			memset(image + out->extent[i].offset, 0, out->extent[i].length);
		}
		break;
	case SCSI_DO_FLUSH:
		CHECK(!disk->read_only);
		break;
	case SCSI_DO_START:
	case SCSI_DO_STOP:
		disk->stopped = out->kind == SCSI_DO_STOP;
		break;
	default:
		abort();
	}
}

/* Opcode 0xff changes the disc, as it makes a disk larger. */
static void run_cd(const uint8_t *data, size_t size, struct scsi_outcome *out)
{
	struct scsi_cd cd = { .max_transfer = 65536,
		              .serial = "0123456789abcdef0123456789abcdef0123" };

	for (; size >= 20; data += 20, size -= 20) {
		struct scsi_command c;

		memcpy(c.cdb, data, sizeof(c.cdb));
		c.data_in = scsi_get16(data + 16) * 2u;
		c.data_out = scsi_get16(data + 18) * 2u;
		if (c.cdb[0] == 0xff && c.cdb[1] & 1)
			scsi_cd_insert(&cd, 1 + scsi_get64(c.cdb + 2));
		else if (c.cdb[0] == 0xff)
			scsi_cd_eject(&cd);
		scsi_cd_execute(&cd, &c, out);
		if (out->kind == SCSI_DO_READ) {
			CHECK(out->length > 0 && out->length <= c.data_in && out->length <= 65536);
			CHECK(out->offset % SCSI_CD_BLOCK == 0 && out->length % SCSI_CD_BLOCK == 0);
			CHECK((out->offset + out->length) / SCSI_CD_BLOCK <= cd.blocks);
			continue;
		}
		CHECK(out->kind == SCSI_DONE);
		CHECK(out->length <= c.data_in && out->length <= SCSI_DATA_MAX);
		CHECK((out->status == SCSI_GOOD) == (out->sense_length == 0));
		CHECK(out->sense_length == 0 || out->length == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scsi_disk disk = {
		.blocks = BLOCKS,
		.physical_block_size = 4096,
		.max_transfer = 65536,
		.vendor = SCSI_DISK_VENDOR,
		.product = SCSI_DISK_PRODUCT,
		.revision = SCSI_DISK_REVISION,
		.serial = "0123456789abcdef0123456789abcdef0123",
	};
	struct scsi_outcome *out = malloc(sizeof(*out));

	if (!size || !out) {
		free(out);
		return 0;
	}
	if (data[0] & 8) {
		run_cd(data + 1, size - 1, out);
		free(out);
		return 0;
	}
	disk.read_only = data[0] & 1;
	disk.thin = data[0] & 2;
	disk.block_size = data[0] & 4 ? 4096 : 512;
	data++;
	size--;
	while (size >= 20) {
		struct scsi_command c;
		uint32_t n;

		memcpy(c.cdb, data, sizeof(c.cdb));
		c.data_in = scsi_get16(data + 16) * 2u;
		c.data_out = scsi_get16(data + 18) * 2u;
		data += 20;
		size -= 20;
		if (c.cdb[0] == 0xff && disk.blocks < 2 * BLOCKS)
			scsi_disk_grow(&disk, disk.blocks + 1);
		scsi_disk_execute(&disk, &c, out);
		if (out->kind == SCSI_PARAMETERS) {
			uint8_t *list;

			n = out->length;
			CHECK(n > 0 && n <= SCSI_DATA_MAX && n <= c.data_out);
			list = calloc(1, n); /* of its size, so that a read past it is seen */
			CHECK(list);
			memcpy(list, data, n < size ? n : size);
			data += n < size ? n : size;
			size -= n < size ? n : size;
			scsi_disk_parameters(&disk, &c, list, n, out);
			CHECK(out->kind != SCSI_PARAMETERS);
			free(list);
		}
		perform(&disk, &c, out);
	}
	free(out);
	return 0;
}
