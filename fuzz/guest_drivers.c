/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * An arbitrary host at the drivers of the guest kit, with channels that are this file's: what the
 * kit lets through of packets, in any order, and whatever is written in the memory that is shared.
 * Each request ends once, and what a driver sends keeps to what it has opened its channel with.
 *
 * Input: one byte of which driver, then records of an op byte, a size byte, and so many bytes.
 */

#include "kit/drivers.h"

#include "ic/ic_protocol.h"
#include "input/keyboard_protocol.h"
#include "net/netvsc_protocol.h"
#include "scsi/storvsc_protocol.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(condition) ((condition) ? (void)0 : abort())

#define PAGES    128u
#define REQUESTS 8u
#define FLIGHTS  32u
#define SHARES   4u
#define TRANSFER 8192u

enum op {
	OP_OPENED,
	OP_SHARED,
	OP_COMPLETED, /* the first byte: of which of those that are under way */
	OP_PACKET,    /* its head: what answers, page set, count of ranges, and these */
	OP_WRITE,     /* of the host's, into what it has */
	OP_ASK,       /* the driver, something */
	OP_CLOSE,
	OP_FULL, /* the ring; or not any more */
	OPS
};

static struct vg_channel {
	struct vg_offer offer;
	struct vg_open how;
	bool wanted, opened, closing, over, full;
	void *flights[FLIGHTS];
	uint32_t flight_count;
	struct {
		uint8_t *memory;
		uint32_t pages;
		bool answered;
	} shares[SHARES];
	uint32_t share_count;
} channel;

static uint8_t memory[PAGES * VG_PAGE] __attribute__((aligned(VG_PAGE)));
static uint8_t data_memory[TRANSFER];
static struct vg_disk *disk;
static struct vg_net *net;
static struct vg_ic *ic;
static struct vg_keyboard *keyboard;
static uint32_t asked, ended;

/* ---- the kit ---- */

const struct vg_offer *vg_channel_offer(const struct vg_channel *ch)
{
	return &ch->offer;
}

enum vg_status vg_open(struct vg_channel *ch, const struct vg_open *open)
{
	must((uint8_t *)open->rings >= memory);
	must((uint8_t *)open->rings + (open->out_pages + open->in_pages) * (size_t)VG_PAGE <=
	     memory + sizeof(memory));
	ch->how = *open;
	ch->wanted = true;
	return VG_OK;
}

enum vg_status vg_close(struct vg_channel *ch)
{
	if (ch->closing || !ch->wanted)
		return VG_STATE;
	ch->closing = true;
	return VG_OK;
}

static enum vg_status may_send(const struct vg_channel *ch)
{
	if (!ch->opened || ch->closing)
		return VG_STATE;
	return ch->full ? VG_FULL : VG_OK;
}

static void look_at(const void *bytes, uint32_t size)
{
	volatile uint8_t sink = 0;

	for (uint32_t i = 0; i < size; i++)
		sink = ((const uint8_t *)bytes)[i];
	(void)sink;
}

enum vg_status vg_send(struct vg_channel *ch, const struct vg_send *send)
{
	enum vg_status status = may_send(ch);

	must(send->size <= ch->how.payload_max && send->range_count <= ch->how.ranges_max);
	must(!send->range_count || send->cookie);
	look_at(send->payload, send->size);
	for (uint32_t i = 0; i < send->range_count; i++) {
		must(send->ranges[i].size && send->ranges[i].size <= ch->how.external_max);
		look_at(send->ranges[i].address, send->ranges[i].size);
	}
	if (status != VG_OK || !send->cookie)
		return status;
	if (ch->flight_count == ch->how.requests_max)
		return VG_FULL;
	must(ch->flight_count < FLIGHTS);
	ch->flights[ch->flight_count++] = send->cookie;
	return VG_OK;
}

enum vg_status vg_complete(struct vg_channel *ch, uint64_t id, const void *payload, uint32_t size)
{
	must(size <= ch->how.payload_max);
	look_at(payload, size);
	return may_send(ch);
}

void vg_flush(struct vg_channel *ch)
{
}

enum vg_status vg_share(struct vg_channel *ch, void *pages, uint32_t count, uint32_t *gpadl)
{
	must(ch->opened && (uint8_t *)pages >= memory &&
	     (uint8_t *)pages + count * (size_t)VG_PAGE <= memory + sizeof(memory));
	if (ch->closing)
		return VG_STATE;
	must(ch->share_count < SHARES);
	ch->shares[ch->share_count].memory = pages;
	ch->shares[ch->share_count].pages = count;
	*gpadl = ++ch->share_count;
	return VG_OK;
}

/* ---- the system ---- */

/* It may have ended when the call returns: it counts from before that. */
static void ask(uint32_t what)
{
	enum vg_status status = VG_STATE;
	uint64_t at = what / 8 * 512u;

	asked++;
	if (disk && what % 4 == 0)
		status = vg_disk_read(disk, what / 4 % 2, at, data_memory, TRANSFER, NULL);
	else if (disk && what % 4 == 1)
		status = vg_disk_write(disk, 0, at, data_memory, 512, NULL);
	else if (disk && what % 4 == 2)
		status = vg_disk_flush(disk, 0, NULL);
	else if (disk)
		vg_disk_later(disk);
	else if (net)
		status = vg_net_send(net, data_memory, what, NULL);
	asked -= status != VG_OK;
}

static void on_found(void *context, struct vg_disk *d, uint32_t number,
                     const struct vg_disk_unit *unit)
{
	must(number < VG_DISK_UNITS && unit->block_size && strlen(unit->serial) < 65);
}

static void on_done(void *context, struct vg_disk *d, void *cookie, enum vg_status status)
{
	must(++ended <= asked);
	if (status == VG_OK && asked < 1000) /* from where it is told */
		ask(0);
}

static void on_ready(void *context, struct vg_net *n, const uint8_t address[6], uint32_t mtu)
{
	must(mtu <= VG_NET_FRAME);
}

static void on_frame(void *context, struct vg_net *n, const void *frame, uint32_t size)
{
	look_at(frame, size);
	ask(60);
}

static void on_sent(void *context, struct vg_net *n, void *cookie, enum vg_status status)
{
	must(++ended <= asked);
}

static void on_shutdown(void *context, struct vg_ic *i, bool restart, bool force)
{
}

static void on_time(void *context, struct vg_ic *i, const struct vg_time *time)
{
}

static void on_key(void *context, struct vg_keyboard *k, uint16_t code, bool up)
{
	must(code & 0x7f);
}

static void on_character(void *context, struct vg_keyboard *k, uint16_t character, bool up)
{
}

static void open_driver(uint32_t which)
{
	struct vg_disk_open for_disk = { .events = { .found = on_found, .done = on_done },
		                         .memory = memory,
		                         .requests_max = REQUESTS,
		                         .transfer_max = TRANSFER };
	struct vg_net_open for_net = {
		.events = { .ready = on_ready, .frame = on_frame, .sent = on_sent },
		.memory = memory,
		.frames_max = REQUESTS,
		.receive_pages = 16
	};
	struct vg_ic_events for_ic = { .shutdown = on_shutdown, .time = on_time };
	struct vg_keyboard_events for_keyboard = { .key = on_key, .character = on_character };
	static const struct {
		uint32_t data1;
		uint16_t data2, data3;
		uint8_t data4[8];
	} types[] = {
		[VG_DEVICE_DISK] = STORVSC_INTERFACE_TYPE,
		[VG_DEVICE_NET] = NETVSC_INTERFACE_TYPE,
		[VG_DEVICE_KEYBOARD] = KEYBOARD_INTERFACE_TYPE,
		[VG_DEVICE_HEARTBEAT] = IC_HEARTBEAT_INTERFACE_TYPE,
		[VG_DEVICE_SHUTDOWN] = IC_SHUTDOWN_INTERFACE_TYPE,
		[VG_DEVICE_TIME] = IC_TIMESYNC_INTERFACE_TYPE,
	};

	disk = NULL;
	net = NULL;
	ic = NULL;
	keyboard = NULL;
	memcpy(&channel.offer.type, &types[which], sizeof(channel.offer.type));
	must(vg_device(&channel.offer) == which);
	if (which == VG_DEVICE_DISK)
		must(vg_disk_open(&disk, &channel, &for_disk) == VG_OK);
	else if (which == VG_DEVICE_NET)
		must(vg_net_open(&net, &channel, &for_net) == VG_OK);
	else if (which == VG_DEVICE_KEYBOARD)
		must(vg_keyboard_open(&keyboard, &channel, &for_keyboard, memory) == VG_OK);
	else
		must(vg_ic_open(&ic, &channel, &for_ic, memory) == VG_OK);
}

/* ---- the host ---- */

static void complete(const uint8_t *bytes, uint32_t size)
{
	const struct vg_channel_events *events = &channel.how.events;
	uint32_t which = size ? bytes[0] : 0;
	void *cookie;

	if (!channel.flight_count)
		return;
	which %= channel.flight_count;
	cookie = channel.flights[which];
	channel.flights[which] = channel.flights[--channel.flight_count];
	if (size)
		bytes++, size--;
	if (size > channel.how.payload_max)
		size = channel.how.payload_max;
	events->completed(events->context, &channel, cookie, VG_OK, bytes, size);
}

/* As the kit has checked it, and no more. */
static void say(const uint8_t *bytes, uint32_t size)
{
	const struct vg_channel_events *events = &channel.how.events;
	struct vg_transfer_range ranges[15];
	struct vg_packet packet = { .id = 7 };

	if (size < 3)
		return;
	packet.answer = bytes[0] & 1;
	packet.page_set = (uint16_t)(bytes[1] & 1 ? 0xcafe : bytes[1]);
	packet.range_count = bytes[2] & 15 && channel.how.transfers_max ? bytes[2] & 15u : 0;
	bytes += 3;
	size -= 3;
	if (size < packet.range_count * sizeof(ranges[0]))
		return;
	memcpy(ranges, bytes, packet.range_count * sizeof(ranges[0]));
	bytes += packet.range_count * sizeof(ranges[0]);
	size -= packet.range_count * (uint32_t)sizeof(ranges[0]);
	for (uint32_t i = 0; i < packet.range_count; i++) {
		ranges[i].offset %= channel.how.transfer_size;
		ranges[i].size %= channel.how.transfer_size - ranges[i].offset + 1;
	}
	packet.ranges = ranges;
	packet.payload = bytes;
	packet.size = size < channel.how.payload_max ? size : channel.how.payload_max;
	events->packet(events->context, &channel, &packet);
}

/* Where units are looked for, before the rings; and what is shared, at an offset. */
static void scribble(const uint8_t *bytes, uint32_t size)
{
	uint8_t *at = disk ? (uint8_t *)channel.how.rings - VG_PAGE : NULL;
	uint32_t room = VG_PAGE, offset;

	if (size < 2)
		return;
	if (channel.share_count) {
		at = channel.shares[0].memory;
		room = channel.shares[0].pages * VG_PAGE;
	}
	offset = (bytes[0] | bytes[1] << 8u) % VG_PAGE;
	if (at && size - 2 <= room - offset)
		memcpy(at + offset, bytes + 2, size - 2);
}

static void answer_share(const uint8_t *bytes, uint32_t size)
{
	const struct vg_channel_events *events = &channel.how.events;

	for (uint32_t i = 0; i < channel.share_count && events->shared; i++) {
		if (channel.shares[i].answered)
			continue;
		channel.shares[i].answered = true;
		events->shared(events->context, &channel, i + 1,
		               size && bytes[0] == 1 ? VG_REFUSED : VG_OK);
		return;
	}
}

static void step(enum op op, const uint8_t *bytes, uint32_t size)
{
	const struct vg_channel_events *events = &channel.how.events;

	if (op == OP_OPENED && !channel.opened) {
		channel.opened = true;
		events->opened(events->context, &channel, VG_OK);
	} else if (op == OP_SHARED) {
		answer_share(bytes, size);
	} else if (op == OP_COMPLETED) {
		complete(bytes, size);
	} else if (op == OP_PACKET && channel.opened) {
		say(bytes, size);
	} else if (op == OP_WRITE) {
		scribble(bytes, size);
	} else if (op == OP_ASK) {
		ask(size > 1 ? bytes[0] | bytes[1] << 8u : 64);
	} else if (op == OP_FULL) {
		channel.full = !channel.full;
	} else if (op == OP_CLOSE && disk) {
		vg_disk_close(disk);
	} else if (op == OP_CLOSE && net) {
		vg_net_close(net);
	} else if (op == OP_CLOSE && keyboard) {
		vg_keyboard_close(keyboard);
	} else if (op == OP_CLOSE) {
		vg_ic_close(ic);
	}
}

/* Whoever closes it: what is under way ends first. */
static void finish(void)
{
	const struct vg_channel_events *events = &channel.how.events;

	channel.closing = true;
	while (channel.flight_count)
		events->completed(events->context, &channel,
		                  channel.flights[--channel.flight_count], VG_GONE, NULL, 0);
	events->closed(events->context, &channel, VG_GONE);
	must(asked == ended);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* in the order in which the corpus has them */
	static const enum vg_device drivers[] = { VG_DEVICE_DISK,      VG_DEVICE_NET,
		                                  VG_DEVICE_HEARTBEAT, VG_DEVICE_SHUTDOWN,
		                                  VG_DEVICE_TIME,      VG_DEVICE_KEYBOARD };

	if (size == 0)
		return 0;
	memset(&channel, 0, sizeof(channel));
	asked = ended = 0;
	open_driver(drivers[data[0] % (sizeof(drivers) / sizeof(drivers[0]))]);
	data++;
	size--;
	while (size >= 2 && !channel.closing) {
		size_t length = data[1] < size - 2 ? data[1] : size - 2;
		/* a copy, so that its end is one */
		uint8_t *bytes = malloc(length ? length : 1);

		memcpy(bytes, data + 2, length);
		step((enum op)(data[0] % OPS), bytes, (uint32_t)length);
		free(bytes);
		data += 2 + length;
		size -= 2 + length;
	}
	finish();
	return 0;
}
