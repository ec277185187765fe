/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A system that is nothing but drivers of Hyper-V's devices, by the guest kit. It reads all of its
 * first disk and writes the sum of its bytes into the last block; asks for the gateway of its
 * network; and goes when the host asks it to.
 */

#include "machine.h"

#define DEPTH    8u
#define TRANSFER 65536u

static struct vg *vg;

static void print(const char *text, uint64_t number)
{
	char digits[24], *at = digits + sizeof(digits);

	*--at = 0;
	*--at = '\n';
	do
		*--at = (char)('0' + number % 10);
	while (number /= 10);
	machine_print(text);
	machine_print(at);
}

/* ---- the disk ---- */

static struct {
	uint64_t size, next, read, sum; /* bytes, but for the last */
	uint32_t block;
	enum { READS, WRITES, FLUSHES } step;
} disk;

static void disk_read_next(struct vg_disk *d, void *buffer)
{
	if (disk.next < disk.size &&
	    vg_disk_read(d, 0, disk.next, buffer, TRANSFER, buffer) == VG_OK)
		disk.next += TRANSFER;
}

static void disk_found(void *context, struct vg_disk *d, uint32_t number,
                       const struct vg_disk_unit *unit)
{
	print("disk: MiB ", unit->size >> 20);
	if (number != 0 || disk.size)
		return;
	disk.size = unit->size & ~(uint64_t)(TRANSFER - 1);
	disk.block = unit->block_size;
	for (uint32_t i = 0; i < DEPTH; i++)
		disk_read_next(d, machine_pages(TRANSFER / VG_PAGE));
}

/* The sum does not depend on the order in which the pieces come. */
static void disk_add(struct vg_disk *d, uint8_t *buffer)
{
	for (uint32_t i = 0; i < TRANSFER; i++)
		disk.sum += buffer[i];
	disk.read += TRANSFER;
	disk_read_next(d, buffer);
	if (disk.read < disk.size)
		return;
	print("disk: sum ", disk.sum);
	__builtin_memcpy(buffer, &disk.sum, sizeof(disk.sum));
	disk.step = WRITES;
	vg_disk_write(d, 0, disk.size - disk.block, buffer, disk.block, NULL);
}

static void disk_done(void *context, struct vg_disk *d, void *cookie, enum vg_status status)
{
	if (status != VG_OK) {
		print("disk: failed, ", (uint64_t) - (int64_t)status);
	} else if (disk.step == READS) {
		disk_add(d, cookie);
	} else if (disk.step == WRITES) {
		disk.step = FLUSHES;
		vg_disk_flush(d, 0, NULL);
	} else {
		machine_print("disk: written\n");
	}
}

/* ---- the network ---- */

/* 10.0.2.15 asks all who 10.0.2.2 is: an Ethernet frame of ARP. */
static uint8_t question[60] = { 255, 255, 255,       255, 255, 255, [12] = 8,  6, 0, 1, 8, 0, 6, 4,
	                        0,   1,   [28] = 10, 0,   2,   15,  [38] = 10, 0, 2, 2 };

static void net_ready(void *context, struct vg_net *net, const uint8_t address[6], uint32_t mtu)
{
	print("network: MTU ", mtu);
	__builtin_memcpy(question + 6, address, 6);
	__builtin_memcpy(question + 22, address, 6);
	vg_net_send(net, question, sizeof(question), NULL);
}

static void net_frame(void *context, struct vg_net *net, const void *data, uint32_t size)
{
	const uint8_t *frame = data;

	if (size >= 42 && frame[12] == 8 && frame[13] == 6 && frame[21] == 2 &&
	    __builtin_memcmp(frame + 28, question + 38, 4) == 0)
		machine_print("network: the gateway answers\n");
}

/* ---- the bus ---- */

static void shutdown(void *context, struct vg_ic *ic, bool restart, bool force)
{
	machine_print("powering off\n");
	vg_unload(vg);
}

static void offered(void *context, struct vg_channel *channel, const struct vg_offer *offer)
{
	struct vg_disk_open for_disk = { .events = { .found = disk_found, .done = disk_done },
		                         .requests_max = DEPTH,
		                         .transfer_max = TRANSFER };
	struct vg_net_open for_net = { .events = { .ready = net_ready, .frame = net_frame },
		                       .frames_max = 4,
		                       .receive_pages = 64 };
	struct vg_ic_events for_ic = { .shutdown = shutdown };
	enum vg_device device = vg_device(offer);
	static struct vg_disk *a_disk;
	static struct vg_net *a_net;
	struct vg_ic *an_ic;

	if (device == VG_DEVICE_DISK && !a_disk) {
		for_disk.memory = machine_pages(vg_disk_pages(DEPTH, TRANSFER));
		vg_disk_open(&a_disk, channel, &for_disk);
	} else if (device == VG_DEVICE_NET && !a_net) {
		for_net.memory = machine_pages(vg_net_pages(4, 64));
		vg_net_open(&a_net, channel, &for_net);
	} else if (device >= VG_DEVICE_HEARTBEAT) {
		vg_ic_open(&an_ic, channel, &for_ic, machine_pages(VG_IC_PAGES));
	}
}

static void unloaded(void *context)
{
	machine_end();
}

void system_main(void)
{
	static uint8_t memory[65536] __attribute__((aligned(16)));
	struct vg_events events = { .offered = offered, .unloaded = unloaded };
	struct vg_contact contact = { .message_sint = 2 };

	vg_init(&vg, &machine_platform, &events, memory, sizeof(memory));
	vg_connect(vg, &contact);
	for (;;) {
		machine_feed(vg);
		vg_poll(vg, 16);
	}
}
