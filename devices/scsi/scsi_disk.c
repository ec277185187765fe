/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi/scsi_disk.h"

#include <string.h>

static uint32_t min32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* ---- INQUIRY ---- */

#define PERIPHERAL_DISK 0x00u

static uint32_t vpd_supported(uint8_t *d)
{
	static const uint8_t pages[] = { 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2 };

	memcpy(d, pages, sizeof(pages));
	return sizeof(pages);
}

static uint32_t vpd_serial(const struct scsi_disk *disk, uint8_t *d)
{
	size_t n = strnlen(disk->serial, sizeof(disk->serial));

	memcpy(d, disk->serial, n);
	return (uint32_t)n;
}

static uint32_t vpd_block_limits(const struct scsi_disk *disk, uint8_t *d)
{
	uint32_t physical = disk->physical_block_size / disk->block_size;

	d[0] = 0x01; /* WRITE SAME of 0 blocks is not "to the end" (byte 4, WSNZ) */
	scsi_put16(d + 2, (uint16_t)physical);                    /* granularity */
	scsi_put32(d + 4, disk->max_transfer / disk->block_size); /* maximum transfer */
	scsi_put64(d + 32, SCSI_WRITE_SAME_MAX / disk->block_size);
	if (disk->thin) {
		scsi_put32(d + 16, UINT32_MAX); /* blocks of an UNMAP */
		scsi_put32(d + 20, SCSI_UNMAP_MAX);
		scsi_put32(d + 24, physical);    /* its granularity */
		scsi_put32(d + 28, 0x80000000u); /* from block 0 on */
	}
	return 0x3c;
}

static uint32_t vpd_characteristics(uint8_t *d)
{
	scsi_put16(d, 1); /* does not rotate */
	return 0x3c;
}

static uint32_t vpd_provisioning(const struct scsi_disk *disk, uint8_t *d)
{
	if (disk->thin) {
		d[1] = 0x80 | 0x40 | 0x20 | 0x04; /* UNMAP, WRITE SAME 16 and 10; reads as zeroes */
		d[2] = 0x02;                      /* thin */
	}
	return 4;
}

static void inquiry_vpd(const struct scsi_disk *disk, const struct scsi_command *c,
                        struct scsi_outcome *out)
{
	uint8_t *page = out->data;
	uint32_t n;

	memset(page, 0, 256);
	switch (c->cdb[2]) {
	case 0x00:
		n = vpd_supported(page + 4);
		break;
	case 0x80:
		n = vpd_serial(disk, page + 4);
		break;
	case 0x83:
		n = scsi_put_designators(page + 4, disk->vendor, disk->serial, disk->id);
		break;
	case 0xb0:
		n = vpd_block_limits(disk, page + 4);
		break;
	case 0xb1:
		n = vpd_characteristics(page + 4);
		break;
	case 0xb2:
		n = vpd_provisioning(disk, page + 4);
		break;
	default:
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	page[0] = PERIPHERAL_DISK;
	page[1] = c->cdb[2];
	scsi_put16(page + 2, (uint16_t)n);
	scsi_answer(c, 4 + n, scsi_get16(c->cdb + 3), out);
}

static void inquiry(const struct scsi_disk *disk, const struct scsi_command *c,
                    struct scsi_outcome *out)
{
	if (c->cdb[1] & 0x01) {
		inquiry_vpd(disk, c, out);
		return;
	}
	/* A page without EVPD, or the obsolete CMDDT. */
	if (c->cdb[2] || c->cdb[1] & 0x02) {
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	scsi_standard_inquiry(out->data, PERIPHERAL_DISK, false,
	                      (const char *const[]){ disk->vendor, disk->product, disk->revision });
	scsi_answer(c, SCSI_INQUIRY_SIZE, scsi_get16(c->cdb + 3), out);
}

/* ---- what the disk says of itself ---- */

static void test_unit_ready(const struct scsi_disk *disk, const struct scsi_command *c,
                            struct scsi_outcome *out)
{
	scsi_good(out);
}

static void request_sense(const struct scsi_disk *disk, const struct scsi_command *c,
                          struct scsi_outcome *out)
{
	scsi_request_sense(c, SCSI_KEY_NO_SENSE, SCSI_ASC_NONE, out);
}

#define POWER_ACTIVE 1u

static void start_stop_unit(const struct scsi_disk *disk, const struct scsi_command *c,
                            struct scsi_outcome *out)
{
	bool load_eject = c->cdb[4] & 0x02, start = c->cdb[4] & 0x01;
	uint8_t condition = c->cdb[4] >> 4; /* not 0: instead of START */

	if (load_eject) { /* the medium stays in */
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	scsi_good(out);
	/* Leaving the active condition implies that the cache is written, unless NO_FLUSH. */
	out->durable = !(c->cdb[4] & 0x04) && !disk->read_only;
	if (condition) {
		if (condition != POWER_ACTIVE && out->durable)
			out->kind = SCSI_DO_FLUSH;
		return;
	}
	out->kind = start ? SCSI_DO_START : SCSI_DO_STOP;
}

static void read_capacity_10(const struct scsi_disk *disk, const struct scsi_command *c,
                             struct scsi_outcome *out)
{
	uint64_t last = disk->blocks - 1;

	if (!(c->cdb[8] & 0x01) && scsi_get32(c->cdb + 2)) { /* a block without PMI */
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	scsi_put32(out->data, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
	scsi_put32(out->data + 4, disk->block_size);
	scsi_answer(c, 8, 8, out);
}

static void read_capacity_16(const struct scsi_disk *disk, const struct scsi_command *c,
                             struct scsi_outcome *out)
{
	uint8_t *d = out->data;
	uint32_t ratio = disk->physical_block_size / disk->block_size;

	memset(d, 0, 32);
	scsi_put64(d, disk->blocks - 1);
	scsi_put32(d + 8, disk->block_size);
	while (ratio > 1) {
		d[13]++;
		ratio >>= 1;
	}
	if (disk->thin)
		d[14] = 0x80 | 0x40; /* provisioning managed; discarded blocks read as zeroes */
	scsi_answer(c, 32, scsi_get32(c->cdb + 10), out);
}

/* ---- MODE SENSE ---- */

struct mode_page {
	uint8_t code, size; /* size without the two bytes of header */
	uint8_t byte2;      /* the only one that is not 0 */
};

static const struct mode_page mode_pages[] = {
	{ 0x01, 0x0a, 0x80 }, /* error recovery: bad blocks are reallocated on write */
	{ 0x08, 0x12, 0x04 }, /* caching: a write-back cache */
	{ 0x0a, 0x0a, 0x02 }, /* control: no log exceptions; fixed sense, restricted reordering */
};

#define MODE_ALL_PAGES 0x3fu

static uint32_t put_mode_pages(uint8_t *d, uint8_t code, bool changeable)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < sizeof(mode_pages) / sizeof(mode_pages[0]); i++) {
		const struct mode_page *p = &mode_pages[i];

		if (code != MODE_ALL_PAGES && code != p->code)
			continue;
		memset(d + n, 0, 2u + p->size);
		d[n] = p->code;
		d[n + 1] = p->size;
		if (!changeable) /* nothing can be changed: all zeroes */
			d[n + 2] = p->byte2;
		n += 2u + p->size;
	}
	return n;
}

static uint32_t put_block_descriptor(const struct scsi_disk *disk, uint8_t *d, bool longer)
{
	uint32_t n = longer ? 16 : 8;
	uint64_t blocks = disk->blocks;

	memset(d, 0, n);
	if (longer) {
		scsi_put64(d, blocks);
		scsi_put32(d + 12, disk->block_size);
	} else {
		scsi_put32(d, blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)blocks);
		scsi_put32(d + 4, disk->block_size); /* 24 bits, under the density code 0 */
	}
	return n;
}

static void mode_sense(const struct scsi_disk *disk, const struct scsi_command *c,
                       struct scsi_outcome *out)
{
	bool ten = c->cdb[0] == SCSI_MODE_SENSE_10;
	uint8_t code = c->cdb[2] & 0x3f, control = c->cdb[2] >> 6, subpage = c->cdb[3];
	bool no_descriptor = c->cdb[1] & 0x08, longer = ten && c->cdb[1] & 0x10;
	uint8_t specific = (disk->read_only ? 0x80 : 0) | 0x10; /* WP, DPOFUA */
	uint32_t header = ten ? 8 : 4, n = header, pages, descriptor = 0;
	uint8_t *d = out->data;

	if (control == 3) {
		scsi_illegal(out, SCSI_ASC_SAVING_NOT_SUPPORTED);
		return;
	}
	if (!no_descriptor)
		descriptor = put_block_descriptor(disk, d + n, longer);
	n += descriptor;
	pages = put_mode_pages(d + n, code, control == 1);
	if (!pages || (subpage != 0 && subpage != 0xff)) {
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	n += pages;
	memset(d, 0, header);
	if (ten) {
		scsi_put16(d, (uint16_t)(n - 2));
		d[3] = specific;
		d[4] = longer && descriptor ? 0x01 : 0;
		scsi_put16(d + 6, (uint16_t)descriptor);
	} else {
		d[0] = (uint8_t)(n - 1);
		d[2] = specific;
		d[3] = (uint8_t)descriptor;
	}
	scsi_answer(c, n, ten ? scsi_get16(c->cdb + 7) : c->cdb[4], out);
}

/* ---- blocks ---- */

struct block_range {
	uint64_t lba;
	uint32_t count;
};

/* Where the length group of the opcode (SPC-4 4.2.5.1) keeps the block and the count. */
static struct block_range range_of(const uint8_t *cdb)
{
	switch (cdb[0] >> 5) {
	case 0: /* 6 bytes: 21 bits, and no blocks are 256 */
		return (struct block_range){ scsi_get32(cdb) & 0x1fffff, cdb[4] ? cdb[4] : 256 };
	case 1:
	case 2:
		return (struct block_range){ scsi_get32(cdb + 2), scsi_get16(cdb + 7) };
	case 5:
		return (struct block_range){ scsi_get32(cdb + 2), scsi_get32(cdb + 6) };
	default:
		return (struct block_range){ scsi_get64(cdb + 2), scsi_get32(cdb + 10) };
	}
}

/* Against one size, taken once: the disk may grow meanwhile. */
static bool in_range(const struct scsi_disk *disk, uint64_t lba, uint64_t count)
{
	uint64_t blocks = disk->blocks;

	return lba <= blocks && count <= blocks - lba;
}

/* The checks that every command with a range has in common; says whether it may go on. */
static bool check_range(const struct scsi_disk *disk, const struct block_range *r,
                        struct scsi_outcome *out)
{
	if (in_range(disk, r->lba, r->count))
		return true;
	scsi_illegal(out, SCSI_ASC_LBA_OUT_OF_RANGE);
	return false;
}

static bool check_writable(const struct scsi_disk *disk, struct scsi_outcome *out)
{
	if (!disk->read_only)
		return true;
	scsi_fail(out, SCSI_KEY_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED);
	return false;
}

static void transfer(const struct scsi_disk *disk, const struct scsi_command *c,
                     enum scsi_outcome_kind kind, struct scsi_outcome *out)
{
	struct block_range r = range_of(c->cdb);
	uint64_t bytes = (uint64_t)r.count * disk->block_size;
	bool six = c->cdb[0] >> 5 == 0;
	uint32_t offered = kind == SCSI_DO_READ ? c->data_in : c->data_out;

	if (!six && c->cdb[1] & 0xe0) { /* protection information: there is none */
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	if (kind == SCSI_DO_WRITE && !check_writable(disk, out))
		return;
	if (!check_range(disk, &r, out))
		return;
	/* More than the disk moves at once, or than the initiator has memory for. */
	if (bytes > disk->max_transfer || bytes > offered) {
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	scsi_good(out);
	if (!bytes)
		return;
	out->kind = kind;
	out->offset = r.lba * disk->block_size;
	out->length = (uint32_t)bytes;
	out->durable = !six && c->cdb[1] & 0x08; /* FUA */
}

static void read_blocks(const struct scsi_disk *disk, const struct scsi_command *c,
                        struct scsi_outcome *out)
{
	transfer(disk, c, SCSI_DO_READ, out);
}

static void write_blocks(const struct scsi_disk *disk, const struct scsi_command *c,
                         struct scsi_outcome *out)
{
	transfer(disk, c, SCSI_DO_WRITE, out);
}

static void verify(const struct scsi_disk *disk, const struct scsi_command *c,
                   struct scsi_outcome *out)
{
	struct block_range r = range_of(c->cdb);

	if (c->cdb[1] & 0xe6) { /* protection, or comparing with data (BYTCHK) */
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	if (!check_range(disk, &r, out))
		return;
	scsi_good(out);
	/* What is verified is the medium: what was written before has to be on it (SBC-3, VERIFY).
	 */
	if (!disk->read_only && r.count)
		out->kind = SCSI_DO_FLUSH;
}

static void synchronize_cache(const struct scsi_disk *disk, const struct scsi_command *c,
                              struct scsi_outcome *out)
{
	struct block_range r = range_of(c->cdb);

	if (!check_range(disk, &r, out))
		return;
	scsi_good(out);
	if (!disk->read_only)
		out->kind = SCSI_DO_FLUSH;
}

static void unmap(const struct scsi_disk *disk, const struct scsi_command *c,
                  struct scsi_outcome *out)
{
	uint32_t n = scsi_get16(c->cdb + 7);

	if (!disk->thin) {
		scsi_illegal(out, SCSI_ASC_INVALID_OPCODE);
		return;
	}
	if (c->cdb[1] & 0x01) { /* anchored blocks: there are none */
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	if (!check_writable(disk, out))
		return;
	scsi_good(out);
	if (!n)
		return;
	if (n < 8 || n > SCSI_DATA_MAX || n > c->data_out) {
		scsi_illegal(out, SCSI_ASC_PARAMETER_LIST_LENGTH);
		return;
	}
	out->kind = SCSI_PARAMETERS;
	out->length = n;
}

static void unmap_list(const struct scsi_disk *disk, const uint8_t *list, uint32_t n,
                       struct scsi_outcome *out)
{
	/* What there is of the descriptors; a cut one at the end is ignored (SBC-3 5.28). */
	uint32_t count = min32(scsi_get16(list + 2), n - 8) / 16, i;

	if (count > SCSI_UNMAP_MAX) {
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_PARAMETERS);
		return;
	}
	out->extents = 0;
	for (i = 0; i < count; i++) {
		const uint8_t *d = list + 8 + 16 * (size_t)i;
		uint64_t lba = scsi_get64(d);
		uint32_t blocks = scsi_get32(d + 8);

		if (!in_range(disk, lba, blocks)) {
			scsi_illegal(out, SCSI_ASC_LBA_OUT_OF_RANGE);
			return;
		}
		if (!blocks)
			continue;
		out->extent[out->extents++] =
			(struct scsi_extent){ lba * disk->block_size,
			                      (uint64_t)blocks * disk->block_size };
	}
	scsi_good(out);
	if (out->extents)
		out->kind = SCSI_DO_DISCARD;
}

/* Discarded blocks read as zeroes, so a WRITE SAME of zeroes that allows it is a discard. */
static void same_zeroes(const struct scsi_disk *disk, const struct scsi_command *c,
                        struct scsi_outcome *out)
{
	struct block_range r = range_of(c->cdb);
	uint64_t offset = r.lba * disk->block_size, bytes = (uint64_t)r.count * disk->block_size;

	scsi_good(out);
	if (c->cdb[1] & 0x08 && disk->thin) {
		out->kind = SCSI_DO_DISCARD;
		out->extents = 1;
		out->extent[0] = (struct scsi_extent){ offset, bytes };
		return;
	}
	out->kind = SCSI_DO_ZERO;
	out->offset = offset;
	out->length = (uint32_t)bytes;
}

static void write_same(const struct scsi_disk *disk, const struct scsi_command *c,
                       struct scsi_outcome *out)
{
	struct block_range r = range_of(c->cdb);
	bool no_data = c->cdb[0] == SCSI_WRITE_SAME_16 && c->cdb[1] & 0x01;
	bool unmapping = c->cdb[1] & 0x08;

	/* Protection, anchoring, the obsolete block numbers in the data; UNMAP on a thick disk. */
	if (c->cdb[1] & 0xf6 || (unmapping && !disk->thin)) {
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	if (!check_writable(disk, out) || !check_range(disk, &r, out))
		return;
	if (!r.count || r.count > SCSI_WRITE_SAME_MAX / disk->block_size) {
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	if (no_data) {
		same_zeroes(disk, c, out);
		return;
	}
	if (c->data_out < disk->block_size) {
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	scsi_good(out);
	out->kind = SCSI_PARAMETERS;
	out->length = disk->block_size;
}

static void write_same_block(const struct scsi_disk *disk, const struct scsi_command *c,
                             const uint8_t *block, uint32_t n, struct scsi_outcome *out)
{
	struct block_range r = range_of(c->cdb);
	uint32_t i;

	for (i = 0; i < n && !block[i]; i++)
		;
	if (i == n) {
		same_zeroes(disk, c, out);
		return;
	}
	scsi_good(out);
	out->kind = SCSI_DO_FILL;
	out->offset = r.lba * disk->block_size;
	out->length = r.count * disk->block_size;
	memmove(out->data, block, n);
}

/* ---- which command is which ---- */

static void report_opcodes(const struct scsi_disk *disk, const struct scsi_command *c,
                           struct scsi_outcome *out);

#define NO_ACTION 0xffu

struct command {
	uint8_t opcode, action; /* action: of a service action command, else NO_ACTION */
	void (*execute)(const struct scsi_disk *disk, const struct scsi_command *c,
	                struct scsi_outcome *out);
	uint8_t usage[SCSI_CDB_MAX]; /* the CDB's bits that count, as REPORT SUPPORTED
	                              * OPERATION CODES gives them; [0] and the action added */
};

#define LBA32  0xff, 0xff, 0xff, 0xff
#define LBA64  LBA32, LBA32
#define COUNT  0xff, 0xff
#define COUNT4 COUNT, COUNT

static const struct command commands[] = {
	{ SCSI_TEST_UNIT_READY, NO_ACTION, test_unit_ready, { 0 } },
	{ SCSI_REQUEST_SENSE, NO_ACTION, request_sense, { 0, 1, 0, 0, 0xff } },
	{ SCSI_READ_6, NO_ACTION, read_blocks, { 0, 0x1f, 0xff, 0xff, 0xff } },
	{ SCSI_WRITE_6, NO_ACTION, write_blocks, { 0, 0x1f, 0xff, 0xff, 0xff } },
	{ SCSI_INQUIRY, NO_ACTION, inquiry, { 0, 1, 0xff, COUNT } },
	{ SCSI_MODE_SENSE_6, NO_ACTION, mode_sense, { 0, 0x08, 0xff, 0xff, 0xff } },
	{ SCSI_START_STOP_UNIT, NO_ACTION, start_stop_unit, { 0, 0x01, 0, 0, 0xf7 } },
	{ SCSI_READ_CAPACITY_10, NO_ACTION, read_capacity_10, { 0, 0, LBA32, 0, 0, 1 } },
	{ SCSI_READ_10, NO_ACTION, read_blocks, { 0, 0x18, LBA32, 0, COUNT } },
	{ SCSI_WRITE_10, NO_ACTION, write_blocks, { 0, 0x18, LBA32, 0, COUNT } },
	{ SCSI_VERIFY_10, NO_ACTION, verify, { 0, 0x10, LBA32, 0, COUNT } },
	{ SCSI_SYNCHRONIZE_CACHE_10, NO_ACTION, synchronize_cache, { 0, 2, LBA32, 0, COUNT } },
	{ SCSI_WRITE_SAME_10, NO_ACTION, write_same, { 0, 0x08, LBA32, 0, COUNT } },
	{ SCSI_UNMAP, NO_ACTION, unmap, { 0, 0, 0, 0, 0, 0, 0, COUNT } },
	{ SCSI_MODE_SENSE_10, NO_ACTION, mode_sense, { 0, 0x18, 0xff, 0xff, 0, 0, 0, COUNT } },
	{ SCSI_READ_16, NO_ACTION, read_blocks, { 0, 0x18, LBA64, COUNT4 } },
	{ SCSI_WRITE_16, NO_ACTION, write_blocks, { 0, 0x18, LBA64, COUNT4 } },
	{ SCSI_VERIFY_16, NO_ACTION, verify, { 0, 0x10, LBA64, COUNT4 } },
	{ SCSI_SYNCHRONIZE_CACHE_16, NO_ACTION, synchronize_cache, { 0, 2, LBA64, COUNT4 } },
	{ SCSI_WRITE_SAME_16, NO_ACTION, write_same, { 0, 0x09, LBA64, COUNT4 } },
	{ SCSI_SERVICE_ACTION_IN_16,
	  SCSI_ACTION_READ_CAPACITY_16,
	  read_capacity_16,
	  { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, COUNT4 } },
	{ SCSI_MAINTENANCE_IN,
	  SCSI_ACTION_REPORT_OPCODES,
	  report_opcodes,
	  { 0, 0, 0x87, 0xff, COUNT, COUNT4 } },
	{ SCSI_READ_12, NO_ACTION, read_blocks, { 0, 0x18, LBA32, COUNT4 } },
	{ SCSI_WRITE_12, NO_ACTION, write_blocks, { 0, 0x18, LBA32, COUNT4 } },
	{ SCSI_VERIFY_12, NO_ACTION, verify, { 0, 0x10, LBA32, COUNT4 } },
	/* Answered by the target with scsi_report_luns(); here for the report of operation codes.
	 */
	{ SCSI_REPORT_LUNS, NO_ACTION, NULL, { 0, 0, 0xff, 0, 0, 0, COUNT4 } },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static bool has_action(const struct command *e)
{
	return e->action != NO_ACTION;
}

static uint8_t cdb_size(uint8_t opcode)
{
	static const uint8_t sizes[8] = { 6, 10, 10, 0, 16, 12, 0, 0 };

	return sizes[opcode >> 5];
}

/* *known: the opcode is there, if perhaps not with that action. */
static const struct command *find(uint8_t opcode, uint8_t action, bool *known)
{
	size_t i;

	*known = false;
	for (i = 0; i < COMMANDS; i++) {
		const struct command *e = &commands[i];

		if (e->opcode != opcode)
			continue;
		*known = true;
		if (!has_action(e) || e->action == action)
			return e;
	}
	return NULL;
}

static bool offers(const struct scsi_disk *disk, const struct command *e)
{
	return e->opcode != SCSI_UNMAP || disk->thin;
}

static uint32_t put_all_opcodes(const struct scsi_disk *disk, uint8_t *d, bool timeouts)
{
	uint32_t n = 4;
	size_t i;

	for (i = 0; i < COMMANDS; i++) {
		const struct command *e = &commands[i];
		uint32_t size = timeouts ? 20 : 8;

		if (!offers(disk, e))
			continue;
		memset(d + n, 0, size);
		d[n] = e->opcode;
		d[n + 3] = has_action(e) ? e->action : 0;
		d[n + 5] = (uint8_t)((timeouts ? 2 : 0) | (has_action(e) ? 1 : 0));
		scsi_put16(d + n + 6, cdb_size(e->opcode));
		if (timeouts)
			scsi_put16(d + n + 8, 10); /* an empty timeouts descriptor */
		n += size;
	}
	scsi_put32(d, n - 4);
	return n;
}

static uint32_t put_one_opcode(const struct scsi_disk *disk, uint8_t *d, const struct command *e,
                               bool timeouts)
{
	uint32_t n = 4;

	memset(d, 0, 4);
	if (!e || !offers(disk, e)) {
		d[1] = 1; /* not supported */
		return n;
	}
	d[1] = 3; /* supported as the standard says */
	scsi_put16(d + 2, cdb_size(e->opcode));
	memcpy(d + 4, e->usage, cdb_size(e->opcode));
	d[4] = e->opcode;
	if (has_action(e))
		d[5] |= e->action;
	n += cdb_size(e->opcode);
	if (timeouts) {
		d[1] |= 0x80;
		memset(d + n, 0, 12);
		scsi_put16(d + n, 10);
		n += 12;
	}
	return n;
}

static void report_opcodes(const struct scsi_disk *disk, const struct scsi_command *c,
                           struct scsi_outcome *out)
{
	uint8_t options = c->cdb[2] & 0x07, opcode = c->cdb[3];
	uint16_t action = scsi_get16(c->cdb + 4);
	bool timeouts = c->cdb[2] & 0x80, known, wants_action = options == 2;
	const struct command *e;
	uint32_t n;

	if (options == 0) {
		n = put_all_opcodes(disk, out->data, timeouts);
	} else {
		e = action < NO_ACTION ? find(opcode, (uint8_t)action, &known) : NULL;
		if (options == 1)
			e = find(opcode, NO_ACTION, &known);
		/* 1: an opcode without service actions; 2: one with; 3: either. */
		if (options > 3 || (options == 1 && !e && known) ||
		    (wants_action && e && !has_action(e))) {
			scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
			return;
		}
		n = put_one_opcode(disk, out->data, e, timeouts);
	}
	scsi_answer(c, n, scsi_get32(c->cdb + 6), out);
}

/* What a stopped disk does not do (SBC-3, the stopped power condition). SYNCHRONIZE CACHE is not
 * among it: there is nothing left to write, and systems that shut down send it at any time. */
static bool uses_medium(const struct command *e)
{
	return e->execute == test_unit_ready || e->execute == read_blocks ||
	       e->execute == write_blocks || e->execute == verify || e->execute == unmap ||
	       e->execute == write_same;
}

void scsi_disk_grow(struct scsi_disk *disk, uint64_t blocks)
{
	disk->blocks = blocks;
	disk->grown = true; /* second: who hears of it finds the new size */
}

/*
 * Takes the news for a command that brings them: no INQUIRY and no REPORT LUNS (SPC-4, unit
 * attention condition), and no MODE SENSE, for which Linux's driver takes any answer for a success
 * (storvsc_on_io_completion() in drivers/scsi/storvsc_drv.c), so that they would be lost.
 */
static bool take_news(struct scsi_disk *disk, const struct command *e)
{
	if (!disk->grown || e->execute == inquiry || e->execute == mode_sense || !e->execute)
		return false;
	return atomic_exchange(&disk->grown, false);
}

static void tell_news(const struct command *e, const struct scsi_command *c,
                      struct scsi_outcome *out)
{
	if (e->execute == request_sense)
		scsi_request_sense(c, SCSI_KEY_UNIT_ATTENTION, SCSI_ASC_CAPACITY_CHANGED, out);
	else
		scsi_fail(out, SCSI_KEY_UNIT_ATTENTION, SCSI_ASC_CAPACITY_CHANGED);
}

void scsi_disk_execute(struct scsi_disk *disk, const struct scsi_command *c,
                       struct scsi_outcome *out)
{
	bool known;
	const struct command *e = find(c->cdb[0], c->cdb[1] & 0x1f, &known);

	if (e && take_news(disk, e))
		tell_news(e, c, out);
	else if (e && disk->stopped && uses_medium(e))
		scsi_fail(out, SCSI_KEY_NOT_READY, SCSI_ASC_NEEDS_START);
	else if (e && e->execute)
		e->execute(disk, c, out);
	else
		scsi_illegal(out,
		             known && !e ? SCSI_ASC_INVALID_FIELD_IN_CDB : SCSI_ASC_INVALID_OPCODE);
}

void scsi_disk_parameters(const struct scsi_disk *disk, const struct scsi_command *c,
                          const uint8_t *list, uint32_t n, struct scsi_outcome *out)
{
	if (c->cdb[0] == SCSI_UNMAP)
		unmap_list(disk, list, n, out);
	else
		write_same_block(disk, c, list, n, out);
}
