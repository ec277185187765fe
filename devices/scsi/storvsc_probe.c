/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi/storvsc_probe.h"
#include "scsi/scsi.h"

static void storvsc_probe_ask(struct storvsc_request *r, struct storvsc_address address,
                              const uint8_t *cdb, uint8_t cdb_length, uint32_t length)
{
	r->address = address;
	__builtin_memset(r->cdb, 0, sizeof(r->cdb));
	__builtin_memcpy(r->cdb, cdb, cdb_length);
	r->cdb_length = cdb_length;
	r->direction = STORVSC_FROM_DISK;
	r->length = length;
}

/* ---- which units there are ---- */

void storvsc_search_begin(struct storvsc_search *s, const uint8_t data[STORVSC_SEARCH_BYTES],
                          struct storvsc_address *list, uint32_t capacity)
{
	__builtin_memset(s, 0, sizeof(*s));
	s->data = data;
	s->list = list;
	s->capacity = capacity;
}

bool storvsc_search_next(struct storvsc_search *s, struct storvsc_request *r)
{
	static const uint8_t cdb[12] = { SCSI_REPORT_LUNS, [8] = STORVSC_SEARCH_BYTES >> 8 };
	struct storvsc_address address = { s->target, 0 };

	if (s->over)
		return false;
	storvsc_probe_ask(r, address, cdb, sizeof(cdb), STORVSC_SEARCH_BYTES);
	return true;
}

static void storvsc_search_add(struct storvsc_search *s, uint8_t lun)
{
	if (s->count < s->capacity) {
		s->list[s->count].target = s->target;
		s->list[s->count].lun = lun;
	}
	s->count++;
}

static void storvsc_search_take_luns(struct storvsc_search *s, uint32_t transferred)
{
	uint8_t head[8];
	uint32_t bytes, at;

	__builtin_memcpy(head, s->data, sizeof(head));
	bytes = scsi_get32(head);
	if (transferred > STORVSC_SEARCH_BYTES)
		transferred = STORVSC_SEARCH_BYTES;
	if (transferred < sizeof(head))
		return;
	if (bytes > transferred - sizeof(head))
		bytes = transferred - (uint32_t)sizeof(head);
	for (at = 0; bytes - at >= 8; at += 8)
		storvsc_search_add(s, s->data[sizeof(head) + at + 1]);
}

void storvsc_search_take(struct storvsc_search *s, const struct storvsc_request *r)
{
	if (r->result == STORVSC_RESULT_DONE)
		storvsc_search_take_luns(s, r->transferred);
	else if (r->result != STORVSC_RESULT_NO_DEVICE) /* nothing at the target */
		s->result = r->result;
	s->over = s->result != STORVSC_RESULT_DONE || ++s->target == STORVSC_TARGETS;
}

/* ---- what one is ---- */

void storvsc_exam_begin(struct storvsc_exam *e, uint8_t data[STORVSC_EXAM_BYTES],
                        struct storvsc_address address, struct storvsc_disk *disk)
{
	__builtin_memset(e, 0, sizeof(*e));
	__builtin_memset(disk, 0, sizeof(*disk));
	disk->address = address;
	e->disk = disk;
	e->data = data;
}

bool storvsc_exam_next(struct storvsc_exam *e, struct storvsc_request *r)
{
	static const struct {
		uint8_t length, cdb_length, cdb[16];
	} commands[STORVSC_EXAM_OVER] = {
		[STORVSC_EXAM_INQUIRY] = { 36, 6, { SCSI_INQUIRY, [4] = 36 } },
		[STORVSC_EXAM_SERIAL] = { 64, 6, { SCSI_INQUIRY, 1, 0x80, 0, 64 } },
		[STORVSC_EXAM_CAPACITY] = { 32,
		                            16,
		                            { SCSI_SERVICE_ACTION_IN_16,
		                              SCSI_ACTION_READ_CAPACITY_16, [13] = 32 } },
		[STORVSC_EXAM_CAPACITY_OLD] = { 8, 10, { SCSI_READ_CAPACITY_10 } },
		[STORVSC_EXAM_PROTECTION] = { 64, 6, { SCSI_MODE_SENSE_6, 0x08, 0x3f, 0, 64 } },
	};

	if (e->step == STORVSC_EXAM_OVER)
		return false;
	/* What a shorter answer leaves out is 0. */
	__builtin_memset(e->data, 0, STORVSC_EXAM_BYTES);
	storvsc_probe_ask(r, e->disk->address, commands[e->step].cdb, commands[e->step].cdb_length,
	                  commands[e->step].length);
	return true;
}

static void storvsc_exam_end(struct storvsc_exam *e, enum storvsc_result result)
{
	e->result = result;
	e->step = STORVSC_EXAM_OVER;
}

/* A text field without the blanks around it, and without what could upset a terminal. Three of it
 * inlined would be a frame too large for a small stack. */
static __attribute__((noinline)) void storvsc_exam_text(char *text, size_t size,
                                                        const uint8_t *field, uint32_t n)
{
	uint32_t from = 0, i;

	if (n > size - 1)
		n = (uint32_t)size - 1;
	while (n && (field[n - 1] == ' ' || !field[n - 1]))
		n--;
	while (from < n && field[from] == ' ')
		from++;
	for (i = 0; from < n; i++, from++)
		text[i] = field[from] < ' ' || field[from] > '~' ? '?' : (char)field[from];
	text[i] = 0;
}

static void storvsc_exam_inquiry(struct storvsc_exam *e, const uint8_t *data, uint32_t n)
{
	struct storvsc_disk *d = e->disk;

	if (n < 36 || data[0] != 0) { /* absent, or no disk */
		storvsc_exam_end(e, STORVSC_RESULT_NO_DEVICE);
		return;
	}
	storvsc_exam_text(d->vendor, sizeof(d->vendor), data + 8, 8);
	storvsc_exam_text(d->product, sizeof(d->product), data + 16, 16);
	storvsc_exam_text(d->revision, sizeof(d->revision), data + 32, 4);
	e->step = STORVSC_EXAM_SERIAL;
}

static void storvsc_exam_serial(struct storvsc_exam *e, const uint8_t *data, uint32_t n)
{
	uint32_t length = scsi_get16(data + 2);

	if (n > 4)
		storvsc_exam_text(e->disk->serial, sizeof(e->disk->serial), data + 4,
		                  length < n - 4 ? length : n - 4);
	e->step = STORVSC_EXAM_CAPACITY;
}

/* `last` is the last block's number. */
static bool storvsc_exam_size(struct storvsc_disk *d, uint64_t last, uint32_t block_size)
{
	uint8_t shift = 9;

	while (shift <= 16 && block_size != 1u << shift)
		shift++;
	if (shift > 16 || last >= UINT64_MAX >> shift)
		return false;
	d->block_size = block_size;
	d->block_shift = shift;
	d->size = (last + 1) << shift;
	d->physical_block_size = block_size;
	return true;
}

static void storvsc_exam_capacity(struct storvsc_exam *e, const uint8_t *data, uint32_t n)
{
	struct storvsc_disk *d = e->disk;

	if (n < 12 || !storvsc_exam_size(d, scsi_get64(data), scsi_get32(data + 8))) {
		storvsc_exam_end(e, STORVSC_RESULT_NONSENSE);
		return;
	}
	d->physical_block_size = d->block_size << (data[13] & 0x0f);
	d->discards = data[14] & 0x80;
	e->step = STORVSC_EXAM_PROTECTION;
}

static void storvsc_exam_capacity_old(struct storvsc_exam *e, const uint8_t *data, uint32_t n)
{
	if (n < 8 || !storvsc_exam_size(e->disk, scsi_get32(data), scsi_get32(data + 4))) {
		storvsc_exam_end(e, STORVSC_RESULT_REFUSED); /* what its first answer was */
		return;
	}
	e->disk->old = true;
	e->step = STORVSC_EXAM_PROTECTION;
}

static void storvsc_exam_protection(struct storvsc_exam *e, const uint8_t *data, uint32_t n)
{
	if (n >= 4)
		e->disk->read_only = data[2] & 0x80;
	storvsc_exam_end(e, STORVSC_RESULT_DONE);
}

/* By the unit, if perhaps with a refusal. */
static bool storvsc_exam_answered(enum storvsc_result result)
{
	return result != STORVSC_RESULT_REMOVED && result != STORVSC_RESULT_NOT_SENT &&
	       result != STORVSC_RESULT_BAD_REQUEST && result != STORVSC_RESULT_NO_DEVICE;
}

/* Not every disk has a serial number or mode pages (what cannot be written says so by then), and
 * old ones do not know READ CAPACITY (16). */
static void storvsc_exam_failed(struct storvsc_exam *e, enum storvsc_result result)
{
	if (!storvsc_exam_answered(result))
		storvsc_exam_end(e, result);
	else if (e->step == STORVSC_EXAM_SERIAL)
		e->step = STORVSC_EXAM_CAPACITY;
	else if (e->step == STORVSC_EXAM_CAPACITY && result == STORVSC_RESULT_REFUSED)
		e->step = STORVSC_EXAM_CAPACITY_OLD;
	else if (e->step == STORVSC_EXAM_CAPACITY_OLD)
		storvsc_exam_end(e, STORVSC_RESULT_REFUSED);
	else
		storvsc_exam_end(e,
		                 e->step == STORVSC_EXAM_PROTECTION ? STORVSC_RESULT_DONE : result);
}

void storvsc_exam_take(struct storvsc_exam *e, const struct storvsc_request *r)
{
	uint32_t n = r->transferred < STORVSC_EXAM_BYTES ? r->transferred : STORVSC_EXAM_BYTES;
	const uint8_t *data = e->copy;

	if (r->result != STORVSC_RESULT_DONE) {
		storvsc_exam_failed(e, r->result);
		return;
	}
	__builtin_memcpy(e->copy, e->data, sizeof(e->copy));
	switch (e->step) {
	case STORVSC_EXAM_INQUIRY:
		storvsc_exam_inquiry(e, data, n);
		break;
	case STORVSC_EXAM_SERIAL:
		storvsc_exam_serial(e, data, n);
		break;
	case STORVSC_EXAM_CAPACITY:
		storvsc_exam_capacity(e, data, n);
		break;
	case STORVSC_EXAM_CAPACITY_OLD:
		storvsc_exam_capacity_old(e, data, n);
		break;
	case STORVSC_EXAM_PROTECTION:
		storvsc_exam_protection(e, data, n);
		break;
	case STORVSC_EXAM_OVER:
		break;
	}
}
