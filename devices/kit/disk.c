/* SPDX-License-Identifier: BSD-2-Clause */

/* A SCSI controller and its disks: scsi/storvsc_machine on a channel of the kit. */

#include "kit/drivers.h"
#include "scsi/storvsc_machine.h"
#include "scsi/storvsc_probe.h"

#define DISK_IN_PAGES 5u
#define DISK_REQUESTS 4096u /* at most */
#define DISK_TRANSFERS                                                             \
	(4u << 20) /* likewise, bytes of one: a packet has 64 KiB for page numbers \
	            */

struct disk_request {
	struct storvsc_request scsi; /* first, so that it is found by it */
	const void *memory;
	void *cookie;
	struct disk_request *next; /* while it is free */
};

/* What the driver is looking for by itself, with one request at a time. */
enum disk_look { DISK_LOOKS_FOR_NOTHING, DISK_LOOKS_FOR_UNITS, DISK_LOOKS_AT_A_UNIT };

struct vg_disk {
	struct vg_disk_events events;
	struct vg_channel *channel;
	struct storvsc_machine machine;
	struct storvsc_output output; /* off the stack, as the next two */
	struct vg_disk_unit told;
	struct vg_open how;
	struct storvsc_slot *slots;
	struct disk_request *requests, *free;
	uint8_t *probe; /* a page that the host writes to */
	bool pumping;

	enum disk_look look;
	bool look_again; /* units came or went meanwhile */
	bool examining;
	uint32_t looked_at;
	struct disk_request own;
	struct storvsc_search search;
	struct storvsc_exam exam;
	struct storvsc_disk found;
	struct storvsc_address addresses[VG_DISK_UNITS];

	uint32_t unit_count;
	struct storvsc_disk units[VG_DISK_UNITS];
};

static enum vg_status disk_status(enum storvsc_result result)
{
	switch (result) {
	case STORVSC_RESULT_DONE:
		return VG_OK;
	case STORVSC_RESULT_BAD_REQUEST:
		return VG_INVALID;
	case STORVSC_RESULT_NOT_SENT:
		return VG_UNSEEN;
	case STORVSC_RESULT_REMOVED:
	case STORVSC_RESULT_NO_DEVICE:
		return VG_GONE;
	case STORVSC_RESULT_NONSENSE:
		return VG_MALFORMED;
	case STORVSC_RESULT_REFUSED:
	case STORVSC_RESULT_WRITE_PROTECTED:
	case STORVSC_RESULT_RESERVED:
	case STORVSC_RESULT_NO_VERSION:
		return VG_REFUSED;
	default:
		return VG_FAILED;
	}
}

/* ---- which units there are ---- */

/* The number that a unit has, or gets. */
static uint32_t disk_number_of(const struct vg_disk *d, struct storvsc_address address)
{
	uint32_t i = 0;

	while (i < d->unit_count && (d->units[i].address.target != address.target ||
	                             d->units[i].address.lun != address.lun))
		i++;
	return i;
}

static void disk_tell_found(struct vg_disk *d, uint32_t number)
{
	const struct storvsc_disk *unit = &d->units[number];
	struct vg_disk_unit *told = &d->told;

	told->target = unit->address.target;
	told->lun = unit->address.lun;
	told->read_only = unit->read_only;
	told->block_size = unit->block_size;
	told->size = unit->size;
	__builtin_memcpy(told->vendor, unit->vendor, sizeof(told->vendor));
	__builtin_memcpy(told->product, unit->product, sizeof(told->product));
	__builtin_memcpy(told->serial, unit->serial, sizeof(told->serial));
	d->events.found(d->events.context, d, number, told);
}

/* What is as it was is not told of again. */
static void disk_examined(struct vg_disk *d)
{
	uint32_t number = disk_number_of(d, d->found.address);

	d->examining = false;
	d->looked_at++;
	if (d->exam.result != STORVSC_RESULT_DONE || number == VG_DISK_UNITS)
		return;
	if (number == d->unit_count)
		d->unit_count++;
	else if (__builtin_memcmp(&d->units[number], &d->found, sizeof(d->found)) == 0)
		return;
	d->units[number] = d->found;
	disk_tell_found(d, number);
}

/* The next request about the units that were listed; false: there is none. */
static bool disk_examine(struct vg_disk *d)
{
	while (d->looked_at < d->search.count && d->looked_at < VG_DISK_UNITS) {
		if (!d->examining)
			storvsc_exam_begin(&d->exam, d->probe, d->addresses[d->looked_at],
			                   &d->found);
		d->examining = true;
		if (storvsc_exam_next(&d->exam, &d->own.scsi))
			return true;
		disk_examined(d);
	}
	return false;
}

static void disk_search(struct vg_disk *d)
{
	d->look = DISK_LOOKS_FOR_UNITS;
	d->look_again = false;
	d->looked_at = 0;
	storvsc_search_begin(&d->search, d->probe, d->addresses, VG_DISK_UNITS);
}

static enum vg_status disk_search_status(const struct vg_disk *d)
{
	return disk_status(d->machine.state == STORVSC_FAILED ? d->machine.failure
	                                                      : d->search.result);
}

static bool disk_look_next(struct vg_disk *d)
{
	if (d->look == DISK_LOOKS_FOR_UNITS) {
		if (storvsc_search_next(&d->search, &d->own.scsi))
			return true;
		d->look = DISK_LOOKS_AT_A_UNIT;
	}
	if (disk_examine(d))
		return true;
	d->look = DISK_LOOKS_FOR_NOTHING;
	if (d->events.searched)
		d->events.searched(d->events.context, d, disk_search_status(d));
	return false;
}

/* Until something is asked of the host, or there is nothing left to ask. */
static void disk_look(struct vg_disk *d)
{
	while (d->look != DISK_LOOKS_FOR_NOTHING) {
		if (disk_look_next(d)) {
			storvsc_machine_submit(&d->machine, &d->own.scsi);
			return;
		}
		if (d->look_again && d->machine.state == STORVSC_READY)
			disk_search(d);
	}
}

static void disk_looked(struct vg_disk *d)
{
	if (d->look == DISK_LOOKS_FOR_UNITS)
		storvsc_search_take(&d->search, &d->own.scsi);
	else
		storvsc_exam_take(&d->exam, &d->own.scsi);
	disk_look(d);
}

/* ---- requests ---- */

static void disk_end(struct vg_disk *d, struct disk_request *r)
{
	enum vg_status status = disk_status(r->scsi.result);
	void *cookie = r->cookie;

	if (status == VG_OK && r->scsi.transferred != r->scsi.length)
		status = VG_FAILED;
	r->next = d->free;
	d->free = r;
	d->events.done(d->events.context, d, cookie, status);
}

/* True: there was one. */
static bool disk_end_all(struct vg_disk *d)
{
	struct storvsc_request *scsi = storvsc_machine_ended(&d->machine);
	bool any = scsi != NULL;

	while (scsi) {
		struct disk_request *r = (struct disk_request *)(void *)scsi;

		scsi = scsi->next;
		if (r == &d->own)
			disk_looked(d);
		else
			disk_end(d, r);
	}
	return any;
}

static __attribute__((noinline)) enum vg_status disk_send_one(struct vg_disk *d)
{
	const struct disk_request *r = (const struct disk_request *)(void *)d->output.request;
	struct vg_range range = { r ? r->memory : NULL, r ? r->scsi.length : 0 };
	struct vg_send send = {
		.payload = &d->output.packet,
		.size = d->output.size,
		.ranges = &range,
		.range_count = r != NULL,
		.cookie = (void *)((uintptr_t)d->output.id + 1),
		.more = true,
	};

	return vg_send(d->channel, &send);
}

/* What finds no room goes when an answer has come. */
static void disk_send_all(struct vg_disk *d)
{
	enum vg_status status = VG_OK;

	while (status != VG_FULL && storvsc_machine_next(&d->machine, &d->output)) {
		status = disk_send_one(d);
		if (status == VG_FULL)
			storvsc_machine_put_back(&d->machine, d->output.id);
		else if (status != VG_OK)
			storvsc_machine_not_sent(&d->machine, d->output.id);
	}
	vg_flush(d->channel);
}

/* Whoever is told of an end may ask for more: that is done here, not there. */
static void disk_pump(struct vg_disk *d)
{
	if (d->pumping)
		return;
	d->pumping = true;
	do
		disk_send_all(d);
	while (disk_end_all(d));
	d->pumping = false;
}

/* ---- what the channel says ---- */

/* From now on another processor may have it: nothing follows. */
static void disk_tell_opened(struct vg_disk *d)
{
	if (d->events.opened)
		d->events.opened(d->events.context, d);
}

static void disk_opened(void *context, struct vg_channel *channel, enum vg_status status)
{
	struct vg_disk *d = context;

	if (status != VG_OK)
		return;
	storvsc_machine_open(&d->machine);
	disk_search(d);
	disk_look(d);
	disk_pump(d);
	disk_tell_opened(d);
}

static void disk_packet(void *context, struct vg_channel *channel, const struct vg_packet *packet)
{
	struct vg_disk *d = context;

	if (packet->answer)
		vg_complete(channel, packet->id, NULL, 0);
	if (!storvsc_machine_said(packet->payload, packet->size))
		return;
	d->look_again = d->look != DISK_LOOKS_FOR_NOTHING;
	if (d->look_again)
		return;
	disk_search(d);
	disk_look(d);
	disk_pump(d);
}

static void disk_completed(void *context, struct vg_channel *channel, void *cookie,
                           enum vg_status status, const void *answer, uint32_t size)
{
	struct vg_disk *d = context;
	uint64_t id = (uintptr_t)cookie - 1;

	if (status == VG_OK) {
		storvsc_machine_completed(&d->machine, id, answer, size);
	} else {
		storvsc_machine_close(&d->machine);
		storvsc_machine_lost(&d->machine, id);
	}
	disk_pump(d);
}

static void disk_ended(void *context, struct vg_channel *channel, enum vg_status why)
{
	struct vg_disk *d = context;

	d->events.ended(d->events.context, d, why);
}

static void disk_closed(void *context, struct vg_channel *channel, enum vg_status why)
{
	struct vg_disk *d = context;

	storvsc_machine_close(&d->machine);
	disk_pump(d);
	if (d->events.closed)
		d->events.closed(d->events.context, d, why);
}

/* ---- the caller's ---- */

static uint32_t disk_whole_pages(uint64_t bytes)
{
	return (uint32_t)((bytes + VG_PAGE - 1) / VG_PAGE);
}

static uint32_t disk_own_pages(uint32_t requests)
{
	return disk_whole_pages(
		sizeof(struct vg_disk) +
		(uint64_t)requests * (sizeof(struct storvsc_slot) + sizeof(struct disk_request)));
}

/* A control page, and room for a quarter of the requests, or four: the host reads meanwhile. */
static uint32_t disk_out_pages(uint32_t requests, uint32_t transfer)
{
	uint32_t packet = 128 + (uint32_t)sizeof(struct storvsc_packet) +
	                  (transfer / VG_PAGE + 1) * (uint32_t)sizeof(uint64_t);

	return 1 + disk_whole_pages((uint64_t)packet * (requests / 4 + 4));
}

static bool disk_can_be(uint32_t requests, uint32_t transfer)
{
	return requests && requests <= DISK_REQUESTS && transfer >= VG_PAGE &&
	       transfer <= DISK_TRANSFERS;
}

uint32_t vg_disk_pages(uint32_t requests, uint32_t transfer)
{
	if (!disk_can_be(requests, transfer))
		return 0;
	return disk_own_pages(requests) + 1 + disk_out_pages(requests, transfer) + DISK_IN_PAGES;
}

static void disk_init(struct vg_disk *d, const struct vg_disk_open *open)
{
	struct storvsc_machine_options options = { .max_transfer = open->transfer_max,
		                                   .subchannels = open->subchannels };

	d->events = open->events;
	d->requests = (struct disk_request *)(void *)(d + 1);
	d->slots = (struct storvsc_slot *)(void *)(d->requests + open->requests_max);
	for (uint32_t i = open->requests_max; i--;) {
		d->requests[i].next = d->free;
		d->free = &d->requests[i];
	}
	d->own.memory = d->probe;
	storvsc_machine_init(&d->machine, &options, d->slots, open->requests_max);
}

static enum vg_status disk_open_channel(struct vg_disk *d, const struct vg_disk_open *open)
{
	struct vg_open *how = &d->how;

	how->events.context = d;
	how->events.completed = disk_completed;
	how->events.ended = open->apart ? disk_ended : NULL;
	how->events.closed = disk_closed;
	how->apart = open->apart;
	how->rings = d->probe + VG_PAGE;
	how->out_pages = disk_out_pages(open->requests_max, open->transfer_max);
	how->in_pages = DISK_IN_PAGES;
	how->target_vp = open->target_vp;
	how->payload_max = sizeof(struct storvsc_packet);
	how->requests_max = open->requests_max + 1; /* a step of the negotiation */
	how->ranges_max = 1;
	how->external_max = open->transfer_max;
	return vg_open(d->channel, how);
}

/* NULL: not with these. */
static struct vg_disk *disk_new(struct vg_channel *channel, const struct vg_disk_open *open)
{
	struct vg_disk *d = open->memory;

	if (!d || (uintptr_t)d % VG_PAGE || !open->events.done ||
	    (open->apart && !open->events.ended) ||
	    !disk_can_be(open->requests_max, open->transfer_max))
		return NULL;
	__builtin_memset(d, 0,
	                 (size_t)vg_disk_pages(open->requests_max, open->transfer_max) * VG_PAGE);
	d->channel = channel;
	d->probe = (uint8_t *)open->memory + disk_own_pages(open->requests_max) * (size_t)VG_PAGE;
	disk_init(d, open);
	return d;
}

enum vg_status vg_disk_open(struct vg_disk **out, struct vg_channel *channel,
                            const struct vg_disk_open *open)
{
	struct vg_disk *d = open->events.found ? disk_new(channel, open) : NULL;

	*out = d;
	if (!d)
		return VG_INVALID;
	d->how.events.opened = disk_opened;
	d->how.events.packet = disk_packet;
	return disk_open_channel(d, open);
}

uint32_t vg_disk_transfer(const struct vg_disk *d)
{
	return d->machine.max_transfer;
}

static enum vg_status disk_check(const struct vg_disk *d, uint32_t number, uint64_t at,
                                 uint32_t size)
{
	if (d->machine.state != STORVSC_READY)
		return VG_STATE;
	if (number >= d->unit_count || !storvsc_disk_has(&d->units[number], at, size))
		return VG_INVALID;
	if (size > d->machine.max_transfer)
		return VG_TOO_BIG;
	return d->free ? VG_OK : VG_FULL;
}

static struct disk_request *disk_take(struct vg_disk *d, const void *memory, void *cookie)
{
	struct disk_request *r = d->free;

	d->free = r->next;
	__builtin_memset(r, 0, sizeof(*r));
	r->memory = memory;
	r->cookie = cookie;
	return r;
}

static enum vg_status disk_submit(struct vg_disk *d, struct disk_request *r)
{
	storvsc_machine_submit(&d->machine, &r->scsi);
	disk_pump(d);
	return VG_OK;
}

typedef void disk_build_fn(struct storvsc_request *request, const struct storvsc_disk *disk,
                           uint64_t at, uint32_t size);

static enum vg_status disk_move(struct vg_disk *d, uint32_t number, uint64_t at, const void *memory,
                                uint32_t size, void *cookie, disk_build_fn *build)
{
	enum vg_status status = size ? disk_check(d, number, at, size) : VG_INVALID;
	struct disk_request *r;

	if (status != VG_OK)
		return status;
	r = disk_take(d, memory, cookie);
	build(&r->scsi, &d->units[number], at, size);
	return disk_submit(d, r);
}

enum vg_status vg_disk_read(struct vg_disk *d, uint32_t number, uint64_t at, void *memory,
                            uint32_t size, void *cookie)
{
	return disk_move(d, number, at, memory, size, cookie, storvsc_request_read);
}

enum vg_status vg_disk_write(struct vg_disk *d, uint32_t number, uint64_t at, const void *memory,
                             uint32_t size, void *cookie)
{
	return disk_move(d, number, at, memory, size, cookie, storvsc_request_write);
}

enum vg_status vg_disk_flush(struct vg_disk *d, uint32_t number, void *cookie)
{
	enum vg_status status = disk_check(d, number, 0, 0);
	struct disk_request *r;

	if (status != VG_OK)
		return status;
	r = disk_take(d, NULL, cookie);
	storvsc_request_flush(&r->scsi, &d->units[number]);
	return disk_submit(d, r);
}

void vg_disk_later(struct vg_disk *d)
{
	storvsc_machine_later(&d->machine);
	disk_pump(d);
}

enum vg_status vg_disk_close(struct vg_disk *d)
{
	return vg_close(d->channel);
}

/* ---- more channels ---- */

bool vg_disk_has(const struct vg_disk *d, const struct vg_offer *offer)
{
	const struct vg_offer *own = vg_channel_offer(d->channel);

	return offer->subchannel &&
	       __builtin_memcmp(&offer->type, &own->type, sizeof(own->type)) == 0 &&
	       __builtin_memcmp(&offer->instance, &own->instance, sizeof(own->instance)) == 0;
}

void vg_disk_update(struct vg_disk *lane, const struct vg_disk *d)
{
	lane->unit_count = d->unit_count;
	__builtin_memcpy(lane->units, d->units, sizeof(d->units));
}

static void disk_lane_opened(void *context, struct vg_channel *channel, enum vg_status status)
{
	struct vg_disk *d = context;

	if (status != VG_OK)
		return;
	storvsc_machine_joined(&d->machine);
	disk_tell_opened(d);
}

/* A host has nothing to say here. */
static void disk_lane_packet(void *context, struct vg_channel *channel,
                             const struct vg_packet *packet)
{
	if (packet->answer)
		vg_complete(channel, packet->id, NULL, 0);
}

enum vg_status vg_disk_join(struct vg_disk **out, const struct vg_disk *first,
                            struct vg_channel *channel, const struct vg_disk_open *open)
{
	struct vg_disk *d;

	*out = NULL;
	if (first->machine.state != STORVSC_READY)
		return VG_STATE;
	d = vg_disk_has(first, vg_channel_offer(channel)) ? disk_new(channel, open) : NULL;
	*out = d;
	if (!d)
		return VG_INVALID;
	storvsc_machine_join(&d->machine, &first->machine);
	vg_disk_update(d, first);
	d->how.events.opened = disk_lane_opened;
	d->how.events.packet = disk_lane_packet;
	return disk_open_channel(d, open);
}
