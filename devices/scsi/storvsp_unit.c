/* SPDX-License-Identifier: BSD-2-Clause */
/* What is in the controller: disks, CD drives and their discs, and the faults injected into them.
 */
#include "scsi/storvsp_private.h"

#include <errno.h>
#include <kmcl/options.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the table ---- */

struct unit *storvsp_unit_get(struct kmcl_scsi *s, uint8_t target, uint8_t lun)
{
	struct unit *unit = NULL;

	if (target >= KMCL_SCSI_TARGETS || lun >= KMCL_SCSI_LUNS)
		return NULL;
	pthread_mutex_lock(&s->lock);
	unit = s->units[target][lun];
	if (unit)
		atomic_fetch_add_explicit(&unit->references, 1, memory_order_relaxed);
	pthread_mutex_unlock(&s->lock);
	return unit;
}

void storvsp_medium_put(struct medium *medium)
{
	if (atomic_fetch_sub_explicit(&medium->references, 1, memory_order_acq_rel) > 1)
		return;
	disk_image_close(&medium->image);
	free(medium);
}

void storvsp_unit_put(struct unit *unit)
{
	if (atomic_fetch_sub_explicit(&unit->references, 1, memory_order_acq_rel) > 1)
		return;
	if (unit->medium)
		storvsp_medium_put(unit->medium);
	pthread_mutex_destroy(&unit->lock);
	pthread_mutex_destroy(&unit->resizing);
	free(unit);
}

uint32_t storvsp_luns(struct kmcl_scsi *s, uint8_t target, uint8_t luns[KMCL_SCSI_LUNS])
{
	uint32_t n = 0, lun;

	if (target >= KMCL_SCSI_TARGETS)
		return 0;
	pthread_mutex_lock(&s->lock);
	for (lun = 0; lun < KMCL_SCSI_LUNS; lun++) {
		if (s->units[target][lun])
			luns[n++] = (uint8_t)lun;
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

static int check_place(uint8_t target, uint8_t lun, char *why, size_t why_size)
{
	if (target < KMCL_SCSI_TARGETS && lun < KMCL_SCSI_LUNS)
		return 0;
	snprintf(why, why_size, "there are targets 0 to %u with LUNs 0 to %u",
	         KMCL_SCSI_TARGETS - 1, KMCL_SCSI_LUNS - 1);
	return -EINVAL;
}

/* Takes over the caller's reference, whatever comes of it. */
static int put_in(struct kmcl_scsi *s, uint8_t target, uint8_t lun, struct unit *unit, char *why,
                  size_t why_size)
{
	bool is_free;

	unit->target = target;
	unit->lun = lun;
	pthread_mutex_lock(&s->lock);
	is_free = !s->units[target][lun];
	if (is_free)
		s->units[target][lun] = unit;
	pthread_mutex_unlock(&s->lock);
	if (!is_free) {
		storvsp_unit_put(unit);
		snprintf(why, why_size, "target %u LUN %u is taken already", target, lun);
		return -EEXIST;
	}
	storvsp_tell_guest(s);
	return 0;
}

int kmcl_scsi_remove(struct kmcl_scsi *s, uint8_t target, uint8_t lun)
{
	struct unit *unit = NULL;

	if (target >= KMCL_SCSI_TARGETS || lun >= KMCL_SCSI_LUNS)
		return -ENOENT;
	pthread_mutex_lock(&s->lock);
	unit = s->units[target][lun];
	s->units[target][lun] = NULL;
	pthread_mutex_unlock(&s->lock);
	if (!unit)
		return -ENOENT;
	storvsp_unit_put(unit);
	storvsp_tell_guest(s);
	return 0;
}

/* A reset starts disks, and lets go of discs that the guest held (SPC-4, PREVENT ALLOW MEDIUM
 * REMOVAL; SBC-3, power conditions). */
static void reset_unit(struct unit *unit)
{
	if (!unit)
		return;
	unit->disk.stopped = false;
	pthread_mutex_lock(&unit->lock);
	unit->cd.locked = false;
	pthread_mutex_unlock(&unit->lock);
}

void storvsp_units_reset(struct kmcl_scsi *s, uint8_t target, uint8_t lun)
{
	uint32_t t, l;

	for (t = 0; t < KMCL_SCSI_TARGETS; t++) {
		for (l = 0; l < KMCL_SCSI_LUNS; l++) {
			struct unit *unit;

			if (target < KMCL_SCSI_TARGETS && (t != target || l != lun))
				continue;
			unit = storvsp_unit_get(s, (uint8_t)t, (uint8_t)l);
			reset_unit(unit);
			if (unit)
				storvsp_unit_put(unit);
		}
	}
}

void storvsp_units_start(struct kmcl_scsi *s)
{
	uint32_t target, lun;

	pthread_mutex_lock(&s->lock);
	for (target = 0; target < KMCL_SCSI_TARGETS; target++) {
		for (lun = 0; lun < KMCL_SCSI_LUNS; lun++) {
			struct unit *unit = s->units[target][lun];

			if (!unit)
				continue;
			unit->disk.stopped = false;
			unit->disk.grown = false; /* it knows of no size yet */
		}
	}
	pthread_mutex_unlock(&s->lock);
}

void storvsp_units_free(struct kmcl_scsi *s)
{
	uint32_t target, lun;

	for (target = 0; target < KMCL_SCSI_TARGETS; target++) {
		for (lun = 0; lun < KMCL_SCSI_LUNS; lun++) {
			if (s->units[target][lun])
				storvsp_unit_put(s->units[target][lun]);
		}
	}
}

/* ---- what they are made of ---- */

static int open_medium(const char *path, const struct disk_image_options *options,
                       struct medium **out, char *why, size_t why_size)
{
	struct medium *medium = calloc(1, sizeof(*medium));
	int error;

	if (!medium) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	atomic_init(&medium->references, 1);
	error = disk_image_open(path, options, &medium->image, why, why_size);
	if (error) {
		free(medium);
		return error;
	}
	*out = medium;
	return 0;
}

static int make_unit(struct unit **out, char *why, size_t why_size)
{
	struct unit *unit = calloc(1, sizeof(*unit));

	if (!unit) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	atomic_init(&unit->references, 1);
	pthread_mutex_init(&unit->lock, NULL);
	pthread_mutex_init(&unit->resizing, NULL);
	*out = unit;
	return 0;
}

/* The unique id that goes with a serial number. */
static void hash_serial(const char *serial, uint8_t id[16])
{
	uint64_t hash[2] = { 0xcbf29ce484222325u, 0x84222325cbf29ce4u }; /* FNV-1a, two seeds */
	size_t i;

	for (; *serial; serial++) {
		for (i = 0; i < 2; i++)
			hash[i] = (hash[i] ^ (uint8_t)*serial) * 0x100000001b3u;
	}
	memcpy(id, hash, 16);
}

/* ---- disks ---- */

/* The same image keeps its name from one run to the next. */
static void name_disk(struct unit *unit, const char *serial)
{
	struct stat st = { 0 };

	if (serial) {
		snprintf(unit->disk.serial, sizeof(unit->disk.serial), "%s", serial);
	} else {
		fstat(unit->medium->image.fd, &st);
		snprintf(unit->disk.serial, sizeof(unit->disk.serial), "%08lx%016lx",
		         (unsigned long)st.st_dev & 0xffffffff, (unsigned long)st.st_ino);
	}
	hash_serial(unit->disk.serial, unit->disk.id);
	strcpy(unit->disk.vendor, SCSI_DISK_VENDOR);
	strcpy(unit->disk.product, SCSI_DISK_PRODUCT);
	strcpy(unit->disk.revision, SCSI_DISK_REVISION);
}

static bool describe_disk(struct unit *unit, const struct kmcl_disk_options *options)
{
	uint32_t block = options->block_size ? options->block_size : 512;
	uint32_t physical = options->physical_block_size ? options->physical_block_size : 4096;
	const struct disk_image *image = &unit->medium->image;

	if ((block != 512 && block != 4096) || physical < block || physical & (physical - 1) ||
	    physical > 65536 || image->size < block)
		return false;
	unit->disk.blocks = image->size / block;
	unit->disk.block_size = block;
	unit->disk.physical_block_size = physical;
	unit->disk.max_transfer = KMCL_SCSI_MAX_TRANSFER;
	unit->disk.read_only = options->read_only;
	unit->disk.thin = image->discards;
	name_disk(unit, options->serial);
	return true;
}

static int take_options(struct kmcl_disk_options *own, const struct kmcl_disk_options *options,
                        char *why, size_t why_size)
{
	int error = kmcl_options_take(own, sizeof(*own), options);

	if (error)
		snprintf(why, why_size, "the options are of a newer library, or have no size");
	else if (own->serial && strlen(own->serial) > 36)
		error = -EINVAL,
		snprintf(why, why_size, "serial numbers have 36 characters at most");
	return error;
}

static int make_disk(const char *path, const struct kmcl_disk_options *options, struct unit **out,
                     char *why, size_t why_size)
{
	struct disk_image_options image = { options->read_only, options->direct, options->force,
		                            options->raw };
	int error = make_unit(out, why, why_size);

	if (error)
		return error;
	error = open_medium(path, &image, &(*out)->medium, why, why_size);
	if (!error && !describe_disk(*out, options)) {
		snprintf(why, why_size,
		         "%s: blocks are 512 or 4096 bytes, physical ones a power of two of them",
		         path);
		error = -EINVAL;
	}
	if (!error && (*out)->medium->image.direct_block > (*out)->disk.block_size) {
		snprintf(
			why, why_size,
			"%s: past the page cache it has blocks of %u bytes, and the guest would be "
			"told that they have %u",
			path, (*out)->medium->image.direct_block, (*out)->disk.block_size);
		error = -EINVAL;
	}
	if (error)
		storvsp_unit_put(*out);
	return error;
}

int kmcl_scsi_add_disk(struct kmcl_scsi *s, uint8_t target, uint8_t lun, const char *path,
                       const struct kmcl_disk_options *options, char *why, size_t why_size)
{
	struct kmcl_disk_options own;
	struct unit *unit;
	int error = check_place(target, lun, why, why_size);

	if (!error)
		error = take_options(&own, options, why, why_size);
	if (!error)
		error = make_disk(path, &own, &unit, why, why_size);
	if (!error)
		error = put_in(s, target, lun, unit, why, why_size);
	return error;
}

static int resize(struct unit *unit, uint64_t size, char *why, size_t why_size)
{
	struct disk_image *image = &unit->medium->image;
	uint32_t block = unit->disk.block_size;
	int error;

	if (size % block) {
		snprintf(why, why_size, "the disk's size is a multiple of its blocks of %u bytes",
		         block);
		return -EINVAL;
	}
	error = disk_image_resize(image, size, why, why_size);
	if (!error && image->size / block > unit->disk.blocks)
		scsi_disk_grow(&unit->disk, image->size / block);
	return error;
}

/*
 * A guest that is told of units looks at each: Linux's driver with TEST UNIT READY, and it reads
 * the capacity anew when the answer is that it has changed (storvsc_host_scan() and
 * storvsc_handle_error() in drivers/scsi/storvsc_drv.c). Others hear of it with what they do next,
 * as from OpenVMM's disks.
 */
int kmcl_scsi_resize(struct kmcl_scsi *s, uint8_t target, uint8_t lun, uint64_t size, char *why,
                     size_t why_size)
{
	struct unit *unit = storvsp_unit_get(s, target, lun);
	uint64_t before;
	bool grown = false;
	int error = -ENOENT;

	if (unit && !unit->is_cd) {
		/* not its lock: a file system may take its time, and a guest's reset wants that */
		pthread_mutex_lock(&unit->resizing);
		before = unit->disk.blocks;
		error = resize(unit, size, why, why_size);
		grown = unit->disk.blocks > before;
		pthread_mutex_unlock(&unit->resizing);
	} else {
		snprintf(why, why_size, "there is no disk at target %u LUN %u", target, lun);
	}
	if (unit)
		storvsp_unit_put(unit);
	if (grown)
		storvsp_tell_guest(s);
	return error;
}

/* ---- CD drives ---- */

static int open_disc(const char *path, struct medium **out, char *why, size_t why_size)
{
	struct disk_image_options options = { .read_only = true };
	int error = open_medium(path, &options, out, why, why_size);

	if (!error && (*out)->image.size < SCSI_CD_BLOCK) {
		snprintf(why, why_size, "%s: shorter than the %u bytes of a block", path,
		         SCSI_CD_BLOCK);
		storvsp_medium_put(*out);
		error = -EINVAL;
	}
	return error;
}

static void insert(struct unit *unit, struct medium *medium)
{
	unit->medium = medium;
	scsi_cd_insert(&unit->cd, medium->image.size / SCSI_CD_BLOCK);
}

static int make_cd(const char *path, const char *serial, struct unit **out, char *why,
                   size_t why_size)
{
	struct medium *medium;
	int error = make_unit(out, why, why_size);

	if (error)
		return error;
	(*out)->is_cd = true;
	(*out)->cd.max_transfer = KMCL_SCSI_MAX_TRANSFER;
	snprintf((*out)->cd.serial, sizeof((*out)->cd.serial), "%s", serial);
	hash_serial((*out)->cd.serial, (*out)->cd.id);
	if (path)
		error = open_disc(path, &medium, why, why_size);
	if (error)
		storvsp_unit_put(*out);
	else if (path)
		insert(*out, medium);
	return error;
}

int kmcl_scsi_add_cd(struct kmcl_scsi *s, uint8_t target, uint8_t lun, const char *path,
                     const char *serial, char *why, size_t why_size)
{
	char made[37];
	struct unit *unit;
	int error = check_place(target, lun, why, why_size);

	snprintf(made, sizeof(made), "%08x%02x%02x", s->options.instance.data1, target, lun);
	if (!error)
		error = make_cd(path, serial ? serial : made, &unit, why, why_size);
	if (error)
		return error;
	/* The guest has not seen it: what is in it has not changed. */
	unit->cd.attention = false;
	unit->cd.event = SCSI_CD_NO_EVENT;
	return put_in(s, target, lun, unit, why, why_size);
}

/* The drive, with a reference, or NULL. */
static struct unit *get_cd(struct kmcl_scsi *s, uint8_t target, uint8_t lun)
{
	struct unit *unit = storvsp_unit_get(s, target, lun);

	if (unit && !unit->is_cd) {
		storvsp_unit_put(unit);
		return NULL;
	}
	return unit;
}

int kmcl_scsi_insert(struct kmcl_scsi *s, uint8_t target, uint8_t lun, const char *path, char *why,
                     size_t why_size)
{
	struct unit *unit = get_cd(s, target, lun);
	struct medium *medium;
	int error;

	if (!unit) {
		snprintf(why, why_size, "there is no CD drive at target %u LUN %u", target, lun);
		return -ENOENT;
	}
	error = open_disc(path, &medium, why, why_size);
	if (error)
		goto put;
	pthread_mutex_lock(&unit->lock);
	if (unit->medium)
		error = -EEXIST;
	else
		insert(unit, medium);
	pthread_mutex_unlock(&unit->lock);
	if (error) {
		storvsp_medium_put(medium);
		snprintf(why, why_size, "there is a disc in the drive");
	}
put:
	storvsp_unit_put(unit);
	return error;
}

/* Takes the disc that is out of the drive; the caller lets go of it. */
static struct medium *take_disc(struct unit *unit)
{
	struct medium *medium = unit->medium;

	unit->medium = NULL;
	return medium;
}

int kmcl_scsi_eject(struct kmcl_scsi *s, uint8_t target, uint8_t lun, bool force)
{
	struct unit *unit = get_cd(s, target, lun);
	struct medium *medium = NULL;
	int error = 0;

	if (!unit)
		return -ENOENT;
	pthread_mutex_lock(&unit->lock);
	if (unit->cd.locked && !force) {
		unit->cd.event = SCSI_CD_EJECT_REQUEST;
		error = -EBUSY;
	} else {
		scsi_cd_eject(&unit->cd);
		medium = take_disc(unit);
	}
	pthread_mutex_unlock(&unit->lock);
	if (medium)
		storvsp_medium_put(medium);
	storvsp_unit_put(unit);
	return error;
}

void storvsp_cd_execute(struct unit *unit, const struct scsi_command *command,
                        struct scsi_outcome *out, struct medium **medium)
{
	struct medium *ejected = NULL;

	pthread_mutex_lock(&unit->lock);
	scsi_cd_execute(&unit->cd, command, out);
	if (!unit->cd.blocks)
		ejected = take_disc(unit);
	if (out->kind == SCSI_DO_READ) {
		*medium = unit->medium;
		atomic_fetch_add_explicit(&unit->medium->references, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&unit->lock);
	if (ejected)
		storvsp_medium_put(ejected);
}

/* ---- faults ---- */

int kmcl_scsi_inject(struct kmcl_scsi *s, uint8_t target, uint8_t lun,
                     const struct kmcl_scsi_fault *fault)
{
	struct kmcl_scsi_fault own;
	struct unit *unit;
	int error = kmcl_options_take(&own, sizeof(own), fault);

	if (error)
		return error;
	if (!own.count || (!own.reads && !own.writes))
		return -EINVAL;
	unit = storvsp_unit_get(s, target, lun);
	if (!unit)
		return -ENOENT;
	pthread_mutex_lock(&unit->lock);
	if (unit->fault_count == KMCL_SCSI_FAULTS)
		error = -ENOSPC;
	else
		unit->faults[unit->fault_count++] = own;
	pthread_mutex_unlock(&unit->lock);
	storvsp_unit_put(unit);
	return error;
}

int kmcl_scsi_heal(struct kmcl_scsi *s, uint8_t target, uint8_t lun)
{
	struct unit *unit = storvsp_unit_get(s, target, lun);

	if (!unit)
		return -ENOENT;
	pthread_mutex_lock(&unit->lock);
	unit->fault_count = 0;
	unit->lost_told = false;
	if (!unit->is_cd)
		disk_image_heal(&unit->medium->image);
	pthread_mutex_unlock(&unit->lock);
	storvsp_unit_put(unit);
	return 0;
}

static int unit_lost(struct unit *unit)
{
	return unit->is_cd ? 0 : disk_image_lost(&unit->medium->image);
}

int kmcl_scsi_query(struct kmcl_scsi *s, uint8_t target, uint8_t lun, struct kmcl_scsi_unit *what)
{
	struct unit *unit = storvsp_unit_get(s, target, lun);
	struct kmcl_scsi_unit all = { .size = sizeof(all) };

	if (!unit)
		return -ENOENT;
	pthread_mutex_lock(&unit->lock);
	all.lost = unit_lost(unit);
	all.bytes = unit->is_cd ? unit->cd.blocks * SCSI_CD_BLOCK
	                        : unit->disk.blocks * unit->disk.block_size;
	all.is_cd = unit->is_cd;
	all.inserted = unit->is_cd && unit->medium;
	all.tray_open = unit->cd.tray_open;
	all.locked = unit->cd.locked;
	pthread_mutex_unlock(&unit->lock);
	storvsp_unit_put(unit);
	return kmcl_options_give(what, &all, sizeof(all));
}

uint16_t storvsp_units_failed(struct kmcl_scsi *s)
{
	uint32_t target, lun;
	uint16_t n = 0;

	pthread_mutex_lock(&s->lock);
	for (target = 0; target < KMCL_SCSI_TARGETS; target++) {
		for (lun = 0; lun < KMCL_SCSI_LUNS; lun++) {
			struct unit *unit = s->units[target][lun];

			if (unit && unit_lost(unit))
				n++;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

void storvsp_unit_lost(struct kmcl_scsi *s, struct unit *unit, int error)
{
	bool news;

	pthread_mutex_lock(&unit->lock);
	news = !unit->lost_told && unit_lost(unit); /* it may be healed by now */
	if (news)
		unit->lost_told = true;
	pthread_mutex_unlock(&unit->lock);
	if (!news)
		return;
	s->losses++;
	if (s->options.lost)
		s->options.lost(s->options.context, unit->target, unit->lun, error);
}

/* The first block of the fault that is in the extent; UINT64_MAX: none. */
static uint64_t first_hit(const struct kmcl_scsi_fault *f, uint32_t block,
                          const struct scsi_extent *e)
{
	uint64_t first = e->offset / block, end = first + e->length / block;

	if (f->lba >= end || (f->lba < first && first - f->lba >= f->count))
		return UINT64_MAX;
	return f->lba > first ? f->lba : first;
}

static uint64_t find_hit(const struct kmcl_scsi_fault *f, uint32_t block,
                         const struct scsi_outcome *out)
{
	struct scsi_extent range = { out->offset, out->length };
	uint64_t hit = UINT64_MAX;
	uint32_t i;

	if (out->kind != SCSI_DO_DISCARD)
		return first_hit(f, block, &range);
	for (i = 0; i < out->extents && hit == UINT64_MAX; i++)
		hit = first_hit(f, block, &out->extent[i]);
	return hit;
}

static void fail_at(struct scsi_outcome *out, bool reading, uint64_t lba)
{
	scsi_fail(out, SCSI_KEY_MEDIUM_ERROR,
	          reading ? SCSI_ASC_UNRECOVERED_READ_ERROR : SCSI_ASC_WRITE_ERROR);
	if (lba > UINT32_MAX)
		return;
	out->sense[0] |= 0x80; /* where it was is valid */
	scsi_put32(out->sense + 3, (uint32_t)lba);
}

/* One that has been there often enough makes room. */
static void count_fault(struct unit *unit, uint32_t i)
{
	struct kmcl_scsi_fault *f = &unit->faults[i];

	if (!f->times || --f->times)
		return;
	*f = unit->faults[unit->fault_count - 1];
	unit->fault_count--;
}

void storvsp_unit_fault(struct unit *unit, struct scsi_outcome *out)
{
	uint32_t block = unit->is_cd ? SCSI_CD_BLOCK : unit->disk.block_size, i;
	bool reading = out->kind == SCSI_DO_READ;
	uint64_t hit = UINT64_MAX;

	if (out->kind == SCSI_DONE || out->kind == SCSI_DO_FLUSH || out->kind == SCSI_DO_STOP ||
	    out->kind == SCSI_DO_START)
		return;
	pthread_mutex_lock(&unit->lock);
	for (i = 0; i < unit->fault_count && hit == UINT64_MAX; i++) {
		const struct kmcl_scsi_fault *f = &unit->faults[i];

		if (!(reading ? f->reads : f->writes))
			continue;
		hit = find_hit(f, block, out);
		if (hit != UINT64_MAX)
			count_fault(unit, i);
	}
	pthread_mutex_unlock(&unit->lock);
	if (hit != UINT64_MAX)
		fail_at(out, reading, hit);
}
