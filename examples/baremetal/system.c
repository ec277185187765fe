/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A system that is nothing but drivers of Hyper-V's devices, by the guest kit. It reads all of its
 * first disk and writes the sum of its bytes into its last page; pings the gateway of its network;
 * and goes when the host asks it to.
 */

#include "machine.h"

#define DEPTH    8u
#define TRANSFER 65536u

static struct vg *vg;

/* ---- the disk ---- */

static struct vg_disk *disk;
static uint64_t disk_size, disk_next, disk_read, disk_sum; /* bytes, but for the last */

static void read_next(void *buffer)
{
	if (disk_next < disk_size &&
	    vg_disk_read(disk, 0, disk_next, buffer, TRANSFER, buffer) == VG_OK)
		disk_next += TRANSFER;
}

static void found(void *context, struct vg_disk *d, uint32_t number,
                  const struct vg_disk_unit *unit)
{
	machine_print("disk: found\n");
	if (number != 0 || disk_size)
		return;
	disk_size = unit->size & ~(uint64_t)(TRANSFER - 1);
	for (uint32_t i = 0; i < DEPTH; i++)
		read_next(machine_pages(TRANSFER / VG_PAGE));
}

/* The sum does not depend on the order in which the pieces come. */
static void add(uint8_t *buffer)
{
	for (uint32_t i = 0; i < TRANSFER; i++)
		disk_sum += buffer[i];
	disk_read += TRANSFER;
	read_next(buffer);
	if (disk_read < disk_size)
		return;
	machine_print("disk: read\n");
	__builtin_memcpy(buffer, &disk_sum, sizeof(disk_sum));
	vg_disk_write(disk, 0, disk_size - VG_PAGE, buffer, VG_PAGE, &disk_sum);
}

/* The cookie of a read is its buffer. */
static void done(void *context, struct vg_disk *d, void *cookie, enum vg_status status)
{
	if (status != VG_OK)
		machine_print("disk: failed\n");
	else if (cookie == &disk_sum)
		vg_disk_flush(d, 0, &disk);
	else if (cookie == &disk)
		machine_print("disk: written\n");
	else
		add(cookie);
}

/* ---- the network ---- */

/* 10.0.2.15 asks all who 10.0.2.2 is, and then for an echo. */
static uint8_t arp[60] = { 255, 255, 255, 255, 255,       255, [12] = 8, 6,  0,         1, 8, 0,
	                   6,   4,   0,   1,   [28] = 10, 0,   2,        15, [38] = 10, 0, 2, 2 };
static uint8_t ping[60] = { [12] = 8, 0, 0x45, 0,  0, 28, [22] = 64, 1, 0x62, 0xd1, 10,
	                    0,        2, 15,   10, 0, 2,  2,         8, 0,    0xf7, 0xff };

static void ready(void *context, struct vg_net *net, const uint8_t address[6], uint32_t mtu)
{
	machine_print("network: ready\n");
	__builtin_memcpy(arp + 6, address, 6);
	__builtin_memcpy(arp + 22, address, 6);
	__builtin_memcpy(ping + 6, address, 6);
	vg_net_send(net, arp, sizeof(arp), NULL);
}

static void frame(void *context, struct vg_net *net, const void *data, uint32_t size)
{
	const uint8_t *at = data;

	if (size >= 42 && at[13] == arp[13] && at[21] == 2) { /* an answer to the first */
		__builtin_memcpy(ping, at + 6, 6);
		vg_net_send(net, ping, sizeof(ping), NULL);
	} else if (size >= 42 && at[13] == ping[13] && at[23] == 1 && at[34] == 0) {
		machine_print("network: the gateway answers\n");
	}
}

/* ---- the bus ---- */

static void shutdown(void *context, struct vg_ic *ic, bool restart, bool force)
{
	machine_print("powering off\n");
	vg_unload(vg);
}

static void offered(void *context, struct vg_channel *channel, const struct vg_offer *offer)
{
	struct vg_disk_open for_disk = { { .found = found, .done = done }, NULL, DEPTH, TRANSFER };
	struct vg_net_open for_net = { { .ready = ready, .frame = frame }, NULL, 4, 64 };
	struct vg_ic_events for_ic = { .shutdown = shutdown };
	enum vg_device device = vg_device(offer);
	static struct vg_net *net;
	struct vg_ic *ic;

	if (device == VG_DEVICE_DISK && !disk) {
		for_disk.memory = machine_pages(vg_disk_pages(DEPTH, TRANSFER));
		vg_disk_open(&disk, channel, &for_disk);
	} else if (device == VG_DEVICE_NET && !net) {
		for_net.memory = machine_pages(vg_net_pages(4, 64));
		vg_net_open(&net, channel, &for_net);
	} else if (device >= VG_DEVICE_HEARTBEAT) {
		vg_ic_open(&ic, channel, &for_ic, machine_pages(VG_IC_PAGES));
	}
}

void system_main(void)
{
	static uint8_t memory[65536] __attribute__((aligned(16)));
	struct vg_events events = { .offered = offered, .unloaded = machine_end };
	struct vg_contact contact = { .message_sint = 2 };

	vg_init(&vg, &machine_platform, &events, memory, sizeof(memory));
	vg_connect(vg, &contact);
	for (uint32_t i = 1;; i++) {
		machine_feed(vg);
		vg_poll(vg, 16);
		if (disk && i % 65536 == 0) /* time enough for a unit that is busy */
			vg_disk_later(disk);
	}
}
