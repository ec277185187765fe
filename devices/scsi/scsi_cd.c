/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi/scsi_cd.h"

#include <string.h>

#define PERIPHERAL_CD 0x05u

#define PROFILE_CD_ROM  0x0008u
#define PROFILE_DVD_ROM 0x0010u

#define LEAD_OUT 0xaau

void scsi_cd_insert(struct scsi_cd *cd, uint64_t blocks)
{
	cd->blocks = blocks;
	cd->tray_open = false;
	cd->attention = true;
	cd->event = SCSI_CD_NEW_MEDIUM;
}

void scsi_cd_eject(struct scsi_cd *cd)
{
	if (cd->blocks)
		cd->event = SCSI_CD_MEDIUM_REMOVED;
	cd->blocks = 0;
	cd->tray_open = true;
	cd->attention = false; /* that there is none is told by itself */
}

/* Whether there is a disc that the guest knows of; else the sense is in `out`. */
static bool ready(struct scsi_cd *cd, struct scsi_outcome *out)
{
	if (!cd->blocks) {
		scsi_fail(out, SCSI_KEY_NOT_READY,
		          cd->tray_open ? SCSI_ASC_NO_MEDIUM_TRAY_OPEN
		                        : SCSI_ASC_NO_MEDIUM_TRAY_CLOSED);
		return false;
	}
	if (cd->attention) {
		cd->attention = false;
		scsi_fail(out, SCSI_KEY_UNIT_ATTENTION, SCSI_ASC_MEDIUM_MAY_HAVE_CHANGED);
		return false;
	}
	return true;
}

/* READ CAPACITY and the TOC have 32 bits. */
static uint32_t blocks32(const struct scsi_cd *cd)
{
	return cd->blocks < UINT32_MAX ? (uint32_t)cd->blocks : UINT32_MAX;
}

/* ---- INQUIRY ---- */

static void inquiry_vpd(const struct scsi_cd *cd, const struct scsi_command *c,
                        struct scsi_outcome *out)
{
	static const uint8_t pages[] = { 0x00, 0x80, 0x83 };
	uint8_t *page = out->data;
	uint32_t n;

	memset(page, 0, 256);
	switch (c->cdb[2]) {
	case 0x00:
		n = sizeof(pages);
		memcpy(page + 4, pages, n);
		break;
	case 0x80:
		n = (uint32_t)strlen(cd->serial);
		memcpy(page + 4, cd->serial, n);
		break;
	case 0x83:
		n = scsi_put_designators(page + 4, SCSI_CD_VENDOR, cd->serial, cd->id);
		break;
	default:
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	page[0] = PERIPHERAL_CD;
	page[1] = c->cdb[2];
	scsi_put16(page + 2, (uint16_t)n);
	scsi_answer(c, 4 + n, scsi_get16(c->cdb + 3), out);
}

static void inquiry(struct scsi_cd *cd, const struct scsi_command *c, struct scsi_outcome *out)
{
	static const char *const text[3] = { SCSI_CD_VENDOR, SCSI_CD_PRODUCT, SCSI_CD_REVISION };

	if (c->cdb[1] & 0x01) {
		inquiry_vpd(cd, c, out);
		return;
	}
	if (c->cdb[2] || c->cdb[1] & 0x02) {
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	scsi_standard_inquiry(out->data, PERIPHERAL_CD, true, text);
	scsi_answer(c, SCSI_INQUIRY_SIZE, scsi_get16(c->cdb + 3), out);
}

/* ---- the drive ---- */

static void test_unit_ready(struct scsi_cd *cd, const struct scsi_command *c,
                            struct scsi_outcome *out)
{
	if (ready(cd, out))
		scsi_good(out);
}

static void request_sense(struct scsi_cd *cd, const struct scsi_command *c,
                          struct scsi_outcome *out)
{
	scsi_request_sense(c, SCSI_KEY_NO_SENSE, SCSI_ASC_NONE, out);
}

static void eject_by_guest(struct scsi_cd *cd, struct scsi_outcome *out)
{
	if (cd->locked) {
		scsi_fail(out, cd->blocks ? SCSI_KEY_ILLEGAL_REQUEST : SCSI_KEY_NOT_READY,
		          SCSI_ASC_REMOVAL_PREVENTED);
		return;
	}
	scsi_cd_eject(cd);
	scsi_good(out);
}

/* Ejected by the guest, a disc does not come back by closing the tray, as on Hyper-V. */
static void start_stop_unit(struct scsi_cd *cd, const struct scsi_command *c,
                            struct scsi_outcome *out)
{
	bool load_eject = c->cdb[4] & 0x02, start = c->cdb[4] & 0x01;

	if (c->cdb[4] & 0xf0) { /* a power condition: spun up or down, it is all one */
		scsi_good(out);
		return;
	}
	if (load_eject && !start) {
		eject_by_guest(cd, out);
		return;
	}
	if (load_eject)
		cd->tray_open = false;
	scsi_good(out);
}

static void prevent_allow(struct scsi_cd *cd, const struct scsi_command *c,
                          struct scsi_outcome *out)
{
	cd->locked = c->cdb[4] & 0x01;
	scsi_good(out);
}

static void set_speed(struct scsi_cd *cd, const struct scsi_command *c, struct scsi_outcome *out)
{
	scsi_good(out);
}

static void mechanism_status(struct scsi_cd *cd, const struct scsi_command *c,
                             struct scsi_outcome *out)
{
	memset(out->data, 0, 8);
	out->data[1] = cd->tray_open ? 0x10 : 0;
	scsi_answer(c, 8, scsi_get16(c->cdb + 8), out);
}

#define EVENT_CLASS_MEDIA 4u

static void get_event_status(struct scsi_cd *cd, const struct scsi_command *c,
                             struct scsi_outcome *out)
{
	uint16_t allocation = scsi_get16(c->cdb + 7);
	uint8_t *d = out->data;

	if (!(c->cdb[1] & 0x01)) { /* asynchronous: polled is all there is */
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	memset(d, 0, 8);
	d[3] = 1u << EVENT_CLASS_MEDIA; /* what there can be events of */
	if (!(c->cdb[4] & 1u << EVENT_CLASS_MEDIA)) {
		scsi_put16(d, 2);
		d[2] = 0x80; /* nothing of what was asked for */
		scsi_answer(c, 4, allocation, out);
		return;
	}
	scsi_put16(d, 6);
	d[2] = EVENT_CLASS_MEDIA;
	d[4] = (uint8_t)cd->event;
	d[5] = (uint8_t)((cd->blocks ? 0x02 : 0) | (cd->tray_open ? 0x01 : 0));
	scsi_answer(c, 8, allocation, out);
	if (out->length > 4) /* only what was sent was told */
		cd->event = SCSI_CD_NO_EVENT;
}

/* ---- GET CONFIGURATION ---- */

/* A feature's descriptor, of which the disc decides whether it is current. */
struct feature {
	uint16_t code;
	uint8_t version;
	bool persistent, needs_disc;
	uint8_t size, data[8];
};

/* What a DVD-ROM drive has to have; MMC-6 5.4.6, and OpenVMM's values. */
static const struct feature features[] = {
	{ 0x0000, 0, true, false, 8, { 0x00, PROFILE_DVD_ROM, 0, 0, 0x00, PROFILE_CD_ROM } },
	{ 0x0001, 2, true, false, 8, { 0, 0, 0, 1 } }, /* core: SCSI */
	{ 0x0002, 1, true, false, 4, { 0 } },          /* morphing: by polling */
	{ 0x0003, 1, true, false, 4, { 0x29 } },       /* removable: tray, ejects, can be locked */
	{ 0x0010, 0, false, true, 8, { 0, 0, SCSI_CD_BLOCK >> 8, 0, 0, 16, 0x01 } }, /* readable */
	{ 0x001e, 2, false, false, 4, { 0 } }, /* CD read; there is never one in */
	{ 0x001f, 1, false, true, 4, { 0 } },  /* DVD read */
	{ 0x0100, 0, true, false, 0, { 0 } },  /* power management */
	{ 0x0105, 1, true, false, 4, { 0 } },  /* timeouts */
};

#define FEATURES    (sizeof(features) / sizeof(features[0]))
#define FEATURE_CD  0x001eu
#define FEATURE_ALL 0u /* the requested types; 3 is reserved */
#define FEATURE_NOW 1u
#define FEATURE_ONE 2u

static bool is_current(const struct scsi_cd *cd, const struct feature *f)
{
	return f->code != FEATURE_CD && (!f->needs_disc || cd->blocks);
}

static uint32_t put_feature(const struct scsi_cd *cd, const struct feature *f, uint8_t *d)
{
	scsi_put16(d, f->code);
	d[2] = (uint8_t)(f->version << 2 | (f->persistent ? 0x02 : 0) |
	                 (is_current(cd, f) ? 0x01 : 0));
	d[3] = f->size;
	memcpy(d + 4, f->data, f->size);
	if (!f->code) /* of the profiles, too, the disc says which is current */
		d[6] = cd->blocks ? 0x01 : 0;
	return 4u + f->size;
}

static void get_configuration(struct scsi_cd *cd, const struct scsi_command *c,
                              struct scsi_outcome *out)
{
	uint8_t type = c->cdb[1] & 0x03;
	uint16_t from = scsi_get16(c->cdb + 2);
	uint32_t n = 8;
	size_t i;

	if (type > FEATURE_ONE) {
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	memset(out->data, 0, n);
	for (i = 0; i < FEATURES; i++) {
		const struct feature *f = &features[i];

		if (f->code < from || (type == FEATURE_ONE && f->code != from) ||
		    (type == FEATURE_NOW && !is_current(cd, f)))
			continue;
		n += put_feature(cd, f, out->data + n);
	}
	scsi_put32(out->data, n - 4);
	scsi_put16(out->data + 6, cd->blocks ? PROFILE_DVD_ROM : 0);
	scsi_answer(c, n, scsi_get16(c->cdb + 7), out);
}

/* ---- MODE SENSE ---- */

/* Read error recovery: no limits of its own. Capabilities: reads CD-R, CD-RW, DVD-ROM and DVD-R; a
 * tray that can be locked and opens, multi-session; 50x of 176 KB/s. */
static const uint8_t recovery_page[] = { 0x01, 0x0a, 0, 0x05 };
static const uint8_t capabilities_page[] = { 0x2a, 0x14, 0x1b, 0x00, 0x70, 0x00, 0x29, 0x00,
	                                     0x22, 0x60, 0x00, 0x00, 0x02, 0x00, 0x22, 0x60 };

static const struct {
	const uint8_t *begin;
	uint8_t used, size;
} mode_pages[] = {
	{ recovery_page, sizeof(recovery_page), 12 },
	{ capabilities_page, sizeof(capabilities_page), 22 },
};

#define CAPABILITIES      0x2au
#define CAPABILITY_LOCKED 0x02u /* in byte 6: it is so now */
#define MODE_ALL_PAGES    0x3fu

static uint32_t put_mode_page(const struct scsi_cd *cd, size_t i, bool changeable, uint8_t *d)
{
	memset(d, 0, mode_pages[i].size);
	memcpy(d, mode_pages[i].begin, changeable ? 2 : mode_pages[i].used);
	if (d[0] == CAPABILITIES && !changeable && cd->locked)
		d[6] |= CAPABILITY_LOCKED;
	return mode_pages[i].size;
}

static void mode_sense(struct scsi_cd *cd, const struct scsi_command *c, struct scsi_outcome *out)
{
	bool ten = c->cdb[0] == SCSI_MODE_SENSE_10;
	uint8_t code = c->cdb[2] & 0x3f, control = c->cdb[2] >> 6, subpage = c->cdb[3];
	uint32_t header = ten ? 8 : 4, n = header;
	size_t i;

	if (control == 3) {
		scsi_illegal(out, SCSI_ASC_SAVING_NOT_SUPPORTED);
		return;
	}
	memset(out->data, 0, header); /* drives of this type have no block descriptors */
	for (i = 0; i < sizeof(mode_pages) / sizeof(mode_pages[0]); i++) {
		if (code == MODE_ALL_PAGES || code == mode_pages[i].begin[0])
			n += put_mode_page(cd, i, control == 1, out->data + n);
	}
	if (n == header || (subpage != 0 && subpage != 0xff)) {
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	if (ten)
		scsi_put16(out->data, (uint16_t)(n - 2));
	else
		out->data[0] = (uint8_t)(n - 1);
	scsi_answer(c, n, ten ? scsi_get16(c->cdb + 7) : c->cdb[4], out);
}

/* ---- what is on the disc: one track of data ---- */

/* As minutes, seconds and frames; a disc longer than a CD can be has no such address. */
static void put_address(uint8_t *d, uint32_t lba, bool msf)
{
	uint64_t frames = (uint64_t)lba + 150, most = 256 * 60 * 75 - 1;

	if (!msf) {
		scsi_put32(d, lba);
		return;
	}
	if (frames > most)
		frames = most;
	d[0] = 0;
	d[1] = (uint8_t)(frames / 75 / 60);
	d[2] = (uint8_t)(frames / 75 % 60);
	d[3] = (uint8_t)(frames % 75);
}

static uint32_t put_toc_entry(uint8_t *d, uint8_t track, uint32_t lba, bool msf)
{
	d[0] = 0;
	d[1] = 0x14; /* data, uninterrupted */
	d[2] = track;
	d[3] = 0;
	put_address(d + 4, lba, msf);
	return 8;
}

static void read_toc(struct scsi_cd *cd, const struct scsi_command *c, struct scsi_outcome *out)
{
	/* Where drives before MMC had the format (SFF-8020i), and Linux's sr still asks. */
	uint8_t format = c->cdb[2] & 0x0f ? c->cdb[2] & 0x0f : c->cdb[9] >> 6;
	bool msf = c->cdb[1] & 0x02;
	uint8_t first = c->cdb[6];
	uint32_t n = 4;

	if (!ready(cd, out))
		return;
	if (format > 1 || (!format && first > 1 && first != LEAD_OUT)) {
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	if (format == 1 || first <= 1)
		n += put_toc_entry(out->data + n, 1, 0, msf);
	if (format == 0)
		n += put_toc_entry(out->data + n, LEAD_OUT, blocks32(cd), msf);
	scsi_put16(out->data, (uint16_t)(n - 2));
	out->data[2] = out->data[3] = 1; /* the first and the last: track, or session */
	scsi_answer(c, n, scsi_get16(c->cdb + 7), out);
}

#define DISC_INFORMATION 34u

static void read_disc_information(struct scsi_cd *cd, const struct scsi_command *c,
                                  struct scsi_outcome *out)
{
	uint8_t *d = out->data;

	if (!ready(cd, out))
		return;
	if (c->cdb[1] & 0x07) { /* of other things than the disc */
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	memset(d, 0, DISC_INFORMATION);
	scsi_put16(d, DISC_INFORMATION - 2);
	d[2] = 0x0e;                    /* complete, and so is its last session */
	d[3] = 1;                       /* first track */
	d[4] = 1;                       /* sessions */
	d[5] = d[6] = 1;                /* first and last track of the last one */
	d[7] = 0x20;                    /* unrestricted use */
	scsi_put32(d + 16, UINT32_MAX); /* no further session: its lead-in, */
	scsi_put32(d + 20, UINT32_MAX); /* and the last possible lead-out */
	scsi_answer(c, DISC_INFORMATION, scsi_get16(c->cdb + 7), out);
}

#define TRACK_INFORMATION 48u

static void read_track_information(struct scsi_cd *cd, const struct scsi_command *c,
                                   struct scsi_outcome *out)
{
	uint8_t by = c->cdb[1] & 0x03;
	uint32_t number = scsi_get32(c->cdb + 2);
	uint8_t *d = out->data;

	if (!ready(cd, out))
		return;
	if (by == 0 && number >= cd->blocks) {
		scsi_illegal(out, SCSI_ASC_LBA_OUT_OF_RANGE);
		return;
	}
	/* 0: the track of a block; 1: a track; 2: a session's first; only complete ones. */
	if (by == 3 || (by && number != 1) || c->cdb[1] & 0x04) {
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	memset(d, 0, TRACK_INFORMATION);
	scsi_put16(d, TRACK_INFORMATION - 2);
	d[2] = d[3] = 1; /* track, session */
	d[5] = 0x04;     /* data */
	d[6] = 0x01;     /* mode 1 */
	scsi_put32(d + 24, blocks32(cd));
	scsi_answer(c, TRACK_INFORMATION, scsi_get16(c->cdb + 7), out);
}

#define STRUCTURE_PHYSICAL  0x00u
#define STRUCTURE_COPYRIGHT 0x01u

/* The first block of the data area of a DVD-ROM, as its physical description counts. */
#define DVD_FIRST_BLOCK 0x30000u

static void read_disc_structure(struct scsi_cd *cd, const struct scsi_command *c,
                                struct scsi_outcome *out)
{
	uint8_t format = c->cdb[7], *d = out->data;
	uint32_t n = format == STRUCTURE_PHYSICAL ? 21 : 8;

	if (!ready(cd, out))
		return;
	if (c->cdb[1] & 0x0f || c->cdb[6] || format > STRUCTURE_COPYRIGHT) {
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	memset(d, 0, n);
	scsi_put16(d, (uint16_t)(n - 2));
	if (format == STRUCTURE_PHYSICAL) {
		d[4] = 0x01; /* DVD-ROM, version 1 */
		d[5] = 0x0f; /* 120 mm, no maximum rate */
		d[6] = 0x01; /* one layer, of pits */
		scsi_put32(d + 8, DVD_FIRST_BLOCK);
		scsi_put32(d + 12, DVD_FIRST_BLOCK + blocks32(cd) - 1);
	}
	scsi_answer(c, n, scsi_get16(c->cdb + 8), out);
}

static void read_capacity(struct scsi_cd *cd, const struct scsi_command *c,
                          struct scsi_outcome *out)
{
	if (!ready(cd, out))
		return;
	scsi_put32(out->data, blocks32(cd) - 1);
	scsi_put32(out->data + 4, SCSI_CD_BLOCK);
	scsi_answer(c, 8, 8, out);
}

static void read_blocks(struct scsi_cd *cd, const struct scsi_command *c, struct scsi_outcome *out)
{
	uint64_t lba = scsi_get32(c->cdb + 2), bytes;
	uint32_t count =
		c->cdb[0] == SCSI_READ_12 ? scsi_get32(c->cdb + 6) : scsi_get16(c->cdb + 7);

	if (!ready(cd, out))
		return;
	if (lba > cd->blocks || count > cd->blocks - lba) {
		scsi_illegal(out, SCSI_ASC_LBA_OUT_OF_RANGE);
		return;
	}
	bytes = (uint64_t)count * SCSI_CD_BLOCK;
	if (c->cdb[1] & 0xe0 || bytes > cd->max_transfer || bytes > c->data_in) {
		scsi_illegal(out, SCSI_ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	scsi_good(out);
	if (!bytes)
		return;
	out->kind = SCSI_DO_READ;
	out->offset = lba * SCSI_CD_BLOCK;
	out->length = (uint32_t)bytes;
	out->durable = false;
}

/* ---- which command is which ---- */

static const struct {
	uint8_t opcode;
	void (*execute)(struct scsi_cd *cd, const struct scsi_command *c, struct scsi_outcome *out);
} commands[] = {
	{ SCSI_TEST_UNIT_READY, test_unit_ready },
	{ SCSI_REQUEST_SENSE, request_sense },
	{ SCSI_INQUIRY, inquiry },
	{ SCSI_MODE_SENSE_6, mode_sense },
	{ SCSI_START_STOP_UNIT, start_stop_unit },
	{ SCSI_PREVENT_ALLOW, prevent_allow },
	{ SCSI_READ_CAPACITY_10, read_capacity },
	{ SCSI_READ_10, read_blocks },
	{ SCSI_READ_TOC, read_toc },
	{ SCSI_GET_CONFIGURATION, get_configuration },
	{ SCSI_GET_EVENT_STATUS, get_event_status },
	{ SCSI_READ_DISC_INFORMATION, read_disc_information },
	{ SCSI_READ_TRACK_INFORMATION, read_track_information },
	{ SCSI_MODE_SENSE_10, mode_sense },
	{ SCSI_READ_12, read_blocks },
	{ SCSI_READ_DISC_STRUCTURE, read_disc_structure },
	{ SCSI_SET_CD_SPEED, set_speed },
	{ SCSI_MECHANISM_STATUS, mechanism_status },
};

void scsi_cd_execute(struct scsi_cd *cd, const struct scsi_command *c, struct scsi_outcome *out)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (commands[i].opcode == c->cdb[0]) {
			commands[i].execute(cd, c, out);
			return;
		}
	}
	scsi_illegal(out, SCSI_ASC_INVALID_OPCODE);
}
