/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi/storvsc_request.h"
#include "scsi/scsi.h"

#define DISCARD_BLOCKS (1u << 31) /* of one command */

static void storvsc_request_begin(struct storvsc_request *r, const struct storvsc_disk *disk,
                                  uint8_t opcode, uint8_t cdb_length)
{
	r->address = disk->address;
	__builtin_memset(r->cdb, 0, sizeof(r->cdb));
	r->cdb[0] = opcode;
	r->cdb_length = cdb_length;
	r->direction = STORVSC_NO_DATA;
	r->length = 0;
}

bool storvsc_disk_has(const struct storvsc_disk *disk, uint64_t at, uint64_t length)
{
	uint64_t in_block = disk->block_size - 1;

	return at <= disk->size && length <= disk->size - at && !((at | length) & in_block);
}

static void storvsc_request_transfer(struct storvsc_request *r, const struct storvsc_disk *disk,
                                     enum storvsc_direction direction, uint64_t at, uint32_t length)
{
	bool in = direction == STORVSC_FROM_DISK;

	if (disk->old) {
		storvsc_request_begin(r, disk, in ? SCSI_READ_10 : SCSI_WRITE_10, 10);
		scsi_put32(r->cdb + 2, (uint32_t)(at >> disk->block_shift));
		scsi_put16(r->cdb + 7, (uint16_t)(length >> disk->block_shift));
	} else {
		storvsc_request_begin(r, disk, in ? SCSI_READ_16 : SCSI_WRITE_16, 16);
		scsi_put64(r->cdb + 2, at >> disk->block_shift);
		scsi_put32(r->cdb + 10, length >> disk->block_shift);
	}
	r->direction = direction;
	r->length = length;
}

void storvsc_request_read(struct storvsc_request *r, const struct storvsc_disk *disk, uint64_t at,
                          uint32_t length)
{
	storvsc_request_transfer(r, disk, STORVSC_FROM_DISK, at, length);
}

void storvsc_request_write(struct storvsc_request *r, const struct storvsc_disk *disk, uint64_t at,
                           uint32_t length)
{
	storvsc_request_transfer(r, disk, STORVSC_TO_DISK, at, length);
}

void storvsc_request_flush(struct storvsc_request *r, const struct storvsc_disk *disk)
{
	storvsc_request_begin(r, disk, SCSI_SYNCHRONIZE_CACHE_10, 10);
}

uint64_t storvsc_request_discard(struct storvsc_request *r, const struct storvsc_disk *disk,
                                 uint64_t at, uint64_t length, uint8_t list[STORVSC_DISCARD_BYTES])
{
	uint64_t blocks = length >> disk->block_shift;

	if (blocks > DISCARD_BLOCKS)
		blocks = DISCARD_BLOCKS;
	storvsc_request_begin(r, disk, SCSI_UNMAP, 10);
	r->cdb[8] = STORVSC_DISCARD_BYTES;
	r->direction = STORVSC_TO_DISK;
	r->length = STORVSC_DISCARD_BYTES;
	__builtin_memset(list, 0, STORVSC_DISCARD_BYTES);
	scsi_put16(list, STORVSC_DISCARD_BYTES - 2);
	scsi_put16(list + 2, STORVSC_DISCARD_BYTES - 8);
	scsi_put64(list + 8, at >> disk->block_shift);
	scsi_put32(list + 16, (uint32_t)blocks);
	return blocks << disk->block_shift;
}
