/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A guest of the kit on two processors that sleep whenever they can: the first has the bus, a disk,
 * heartbeat, shutdown and time; the second two channels of its own, of the echo service and a
 * subchannel of the disk's, on which it reads all of it, too. Written by
 * docs/guest.md, of which it is the test; what wakes it is nothing but what the host signals.
 */

#include "machine.h"

#define DEPTH    16u
#define TRANSFER 4096u
#define BUDGET   8u

static struct vg *vg;

/* ---- the second processor's channel ---- */

#define ECHOES     2000u
#define ECHO_DEPTH 4u

static const uint8_t echo_type[16] = { 0x6c, 0x63, 0x6d, 0x6b, 0x10, 0x00, 0x00, 0x40,
	                               0x80, 0x65, 0x63, 0x68, 0x6f, 0x00, 0x00, 0x01 };

enum echo_state { ECHO_NONE, ECHO_OPEN, ECHO_STOP, ECHO_LEFT, ECHO_CLOSED };

static struct {
	struct vg_channel *channel;
	uint32_t state;
	uint32_t sent, back, wrong, sleeps; /* the second processor's */
	uint32_t cookies[ECHO_DEPTH];       /* what each request under way said */
} echo;

static uint32_t echo_state(void)
{
	return __atomic_load_n(&echo.state, __ATOMIC_ACQUIRE);
}

static void echo_becomes(enum echo_state state)
{
	__atomic_store_n(&echo.state, state, __ATOMIC_RELEASE);
}

static void echo_send(uint32_t *cookie)
{
	uint32_t payload[2] = { 1, echo.sent };
	struct vg_send send = { .payload = payload, .size = sizeof(payload), .cookie = cookie };

	if (echo.sent == ECHOES)
		return;
	*cookie = echo.sent;
	if (vg_send(echo.channel, &send) == VG_OK)
		echo.sent++;
	else
		echo.wrong++;
}

static void echo_completed(void *context, struct vg_channel *channel, void *cookie,
                           enum vg_status status, const void *answer, uint32_t size)
{
	uint32_t payload[2];

	if (status != VG_OK)
		return;
	if (size == sizeof(payload))
		__builtin_memcpy(payload, answer, sizeof(payload));
	if (size != sizeof(payload) || payload[1] != *(uint32_t *)cookie)
		echo.wrong++;
	if (++echo.back == ECHOES)
		machine_print("echo: back ", echo.back);
	echo_send(cookie);
}

static void echo_packet(void *context, struct vg_channel *channel, const struct vg_packet *packet)
{
	echo.wrong++;
}

/* From vg_poll(), at the first processor. */
static void echo_opened(void *context, struct vg_channel *channel, enum vg_status status)
{
	if (status != VG_OK)
		return;
	echo_becomes(ECHO_OPEN);
	machine_wake(1);
}

static void echo_stop(void)
{
	if (echo_state() != ECHO_OPEN)
		return;
	echo_becomes(ECHO_STOP);
	machine_wake(1);
	while (echo_state() != ECHO_LEFT)
		__asm__ volatile("pause");
}

static void echo_ended(void *context, struct vg_channel *channel, enum vg_status why)
{
	echo_stop();
	vg_close(channel);
}

static void echo_closed(void *context, struct vg_channel *channel, enum vg_status why)
{
	echo_becomes(ECHO_CLOSED);
	machine_print("echo: wrong ", echo.wrong);
	machine_print("echo: slept ", echo.sleeps > 0);
	vg_unload(vg);
}

static void echo_open(struct vg_channel *channel)
{
	struct vg_open open = {
		.events = { .opened = echo_opened,
		            .packet = echo_packet,
		            .completed = echo_completed,
		            .ended = echo_ended,
		            .closed = echo_closed },
		.rings = machine_pages(4),
		.out_pages = 2,
		.in_pages = 2,
		.target_vp = 1,
		.payload_max = 64,
		.requests_max = ECHO_DEPTH,
		.apart = true,
	};

	echo.channel = channel;
	vg_open(channel, &open);
}

/* ---- its channel of the disk ---- */

static struct {
	struct vg_channel *channel;
	struct vg_disk *disk;
	uint32_t open; /* said by the first processor */
	/* the second's */
	bool begun;
	uint8_t *buffers;
	uint64_t size, next, read, sum;
} lane;

static void lane_read_next(void *buffer)
{
	if (lane.next < lane.size &&
	    vg_disk_read(lane.disk, 0, lane.next, buffer, TRANSFER, buffer) == VG_OK)
		lane.next += TRANSFER;
}

static void lane_done(void *context, struct vg_disk *d, void *cookie, enum vg_status status)
{
	const uint8_t *at = cookie;

	if (status != VG_OK)
		return;
	for (uint32_t i = 0; i < TRANSFER; i++)
		lane.sum += at[i];
	lane.read += TRANSFER;
	if (lane.read == lane.size)
		machine_print("lane: sum ", lane.sum);
	lane_read_next(cookie);
}

/* True: it may sleep. */
static bool lane_works(void)
{
	if (!__atomic_load_n(&lane.open, __ATOMIC_ACQUIRE))
		return true;
	for (uint32_t i = 0; i < DEPTH && !lane.begun; i++)
		lane_read_next(lane.buffers + i * (size_t)TRANSFER);
	lane.begun = true;
	vg_channel_poll(lane.channel, BUDGET);
	return vg_channel_sleep(lane.channel);
}

static void second_works(void)
{
	for (uint32_t i = 0; i < ECHO_DEPTH; i++)
		echo_send(&echo.cookies[i]);
	while (echo_state() == ECHO_OPEN) {
		bool sleep;

		machine_events(1);
		vg_channel_poll(echo.channel, BUDGET);
		sleep = lane_works();
		if (!vg_channel_sleep(echo.channel) || !sleep || echo_state() != ECHO_OPEN)
			continue;
		echo.sleeps++;
		machine_wait();
	}
	echo_becomes(ECHO_LEFT);
}

void guest_second(void)
{
	machine_print("second processor: ", 1);
	for (;;) {
		if (echo_state() == ECHO_OPEN)
			second_works();
		machine_wait();
	}
}

/* ---- the disk ---- */

static struct vg_disk *disk;
static uint64_t disk_size, disk_next, disk_read, disk_sum;

static void disk_read_next(void *buffer)
{
	if (disk_next < disk_size &&
	    vg_disk_read(disk, 0, disk_next, buffer, TRANSFER, buffer) == VG_OK)
		disk_next += TRANSFER;
}

static void disk_found(void *context, struct vg_disk *d, uint32_t number,
                       const struct vg_disk_unit *unit)
{
	disk_size = unit->size;
	for (uint32_t i = 0; i < DEPTH; i++)
		disk_read_next(machine_pages(1));
}

static void disk_done(void *context, struct vg_disk *d, void *cookie, enum vg_status status)
{
	const uint8_t *at = cookie;

	if (status != VG_OK) {
		machine_print("disk: failed, ", (uint64_t) - (int64_t)status);
		return;
	}
	for (uint32_t i = 0; i < TRANSFER; i++)
		disk_sum += at[i];
	disk_read += TRANSFER;
	if (disk_read == disk_size)
		machine_print("disk: sum ", disk_sum);
	disk_read_next(cookie);
}

static void lane_opened(void *context, struct vg_disk *d)
{
	__atomic_store_n(&lane.open, 1, __ATOMIC_RELEASE);
	machine_wake(1);
}

/* The host took it back. */
static void lane_ended(void *context, struct vg_disk *d, enum vg_status why)
{
	echo_stop();
	vg_close(lane.channel);
}

/* All units are known, and their subchannel is offered. */
static void disk_join(void)
{
	struct vg_disk_open open = {
		.events = { .done = lane_done, .opened = lane_opened, .ended = lane_ended },
		.requests_max = DEPTH,
		.transfer_max = TRANSFER,
		.target_vp = 1,
		.apart = true
	};

	if (!lane.channel || !disk_size || lane.disk)
		return;
	open.memory = machine_pages(vg_disk_pages(DEPTH, TRANSFER));
	lane.buffers = machine_pages(DEPTH);
	lane.size = disk_size;
	vg_disk_join(&lane.disk, disk, lane.channel, &open);
}

static void disk_searched(void *context, struct vg_disk *d, enum vg_status status)
{
	disk_join();
}

/* ---- the bus ---- */

static void shutdown(void *context, struct vg_ic *ic, bool restart, bool force)
{
	machine_print("restart: ", restart);
	echo_stop();
	if (lane.open)
		vg_disk_close(lane.disk);
	vg_close(echo.channel);
}

static void time_said(void *context, struct vg_ic *ic, const struct vg_time *time)
{
	uint64_t now = time->unix_ns + (machine_reference() - time->reference) * 100;

	if (time->set)
		machine_print("time: ", now / 1000000000);
}

static uint64_t reference(void *context)
{
	return machine_reference();
}

static void offered(void *context, struct vg_channel *channel, const struct vg_offer *offer)
{
	struct vg_disk_open for_disk = {
		.events = { .found = disk_found, .searched = disk_searched, .done = disk_done },
		.requests_max = DEPTH,
		.transfer_max = TRANSFER,
		.subchannels = 1
	};
	struct vg_ic_events for_ic = { .shutdown = shutdown,
		                       .time = time_said,
		                       .reference = reference };
	enum vg_device device = vg_device(offer);
	struct vg_ic *ic;

	if (__builtin_memcmp(offer->type.bytes, echo_type, sizeof(echo_type)) == 0) {
		echo_open(channel);
	} else if (device == VG_DEVICE_DISK && !disk) {
		for_disk.memory = machine_pages(vg_disk_pages(DEPTH, TRANSFER));
		vg_disk_open(&disk, channel, &for_disk);
	} else if (disk && vg_disk_has(disk, offer)) {
		lane.channel = channel;
		disk_join();
	} else if (device >= VG_DEVICE_HEARTBEAT) {
		vg_ic_open(&ic, channel, &for_ic, machine_pages(VG_IC_PAGES));
	}
}

static void unloaded(void *context)
{
	machine_end();
}

void guest_first(void)
{
	static uint8_t memory[32768] __attribute__((aligned(16)));
	struct vg_events events = { .offered = offered, .unloaded = unloaded };
	struct vg_contact contact = { .message_sint = 2 };

	vg_init(&vg, &machine_platform, &events, memory, sizeof(memory));
	vg_connect(vg, &contact);
	for (;;) {
		machine_messages(vg);
		machine_events(0);
		vg_poll(vg, BUDGET);
		if (vg_sleep(vg))
			machine_wait();
	}
}
