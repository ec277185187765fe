/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A driver of the echo service in a guest's user space, by Linux's uio_hv_generic: the rings are
 * memory of /dev/uioN, an interrupt is a number read from it, and the host is signalled by a bit of
 * the monitor page. Source: Linux 6.1 Documentation/driver-api/uio-howto.rst ("Generic Hyper-V UIO
 * driver") and drivers/uio/uio_hv_generic.c.
 *
 * uio_echo DEVICE ROUNDS: each round sends a packet, sleeps until the interrupt, and compares.
 */

#include "ring/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WAIT_MS     20000
#define RING_MAP    0
#define MONITOR_MAP 2
#define PAYLOAD     1000u
#define ECHO_ECHO   1u /* devices/echo/echo.h */

struct uio {
	int fd;
	uint8_t *monitor_page;
	uint32_t monitor_id;
	struct ring_writer out;
	struct ring_reader in;
	uint32_t interrupts; /* as the kernel counts them */
};

static __attribute__((noreturn, format(printf, 1, 2))) void give_up(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
	exit(1);
}

/* The number, in any base, that a file of sysfs has. */
static unsigned long number_in(const char *format, const char *name, int index)
{
	char path[256], text[64];
	FILE *f;

	snprintf(path, sizeof(path), format, name, index);
	f = fopen(path, "r");
	if (!f || !fgets(text, sizeof(text), f))
		give_up("%s: %s", path, strerror(errno));
	fclose(f);
	return strtoul(text, NULL, 0);
}

static void *map(struct uio *u, const char *name, int index, unsigned long *size)
{
	void *memory;

	*size = number_in("/sys/class/uio/%s/maps/map%d/size", name, index);
	memory = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, u->fd,
	              (off_t)index * WIRE_PAGE_SIZE);
	if (memory == MAP_FAILED)
		give_up("map %d of %lu bytes: %s", index, *size, strerror(errno));
	return memory;
}

/* A control page and data, which here are not mapped twice in a row. */
static struct ring_memory half(uint8_t *memory, unsigned long size)
{
	uint32_t pages = (uint32_t)(size / WIRE_PAGE_SIZE) - 1;
	uint8_t **list = calloc(pages, sizeof(*list));

	if (!list)
		give_up("no memory");
	for (uint32_t i = 0; i < pages; i++)
		list[i] = memory + (i + 1) * WIRE_PAGE_SIZE;
	return (struct ring_memory){ .control = (struct wire_ring_control *)memory,
		                     .pages = list,
		                     .size = pages * WIRE_PAGE_SIZE };
}

static void attach(struct uio *u, const char *device)
{
	struct ring_memory out, in;
	unsigned long size;
	char path[64];
	uint8_t *rings;

	snprintf(path, sizeof(path), "/dev/%s", device);
	u->fd = open(path, O_RDWR | O_CLOEXEC); /* which opens the channel */
	if (u->fd < 0)
		give_up("%s: %s", path, strerror(errno));
	rings = map(u, device, RING_MAP, &size);
	if (size < 4ul * WIRE_PAGE_SIZE || size % (2ul * WIRE_PAGE_SIZE))
		give_up("rings of %lu bytes", size);
	out = half(rings, size / 2);
	in = half(rings + size / 2, size / 2);
	if (ring_writer_init(&u->out, &out) != RING_OK || ring_reader_init(&u->in, &in) != RING_OK)
		give_up("malformed rings");
	u->monitor_page = map(u, device, MONITOR_MAP, &size);
	u->monitor_id = (uint32_t)number_in("/sys/class/uio/%s/device/monitor_id", device, 0);
	if (u->monitor_id >= 128)
		give_up("monitor id %u", u->monitor_id);
}

static void signal_host(const struct uio *u)
{
	_Atomic(uint32_t) *groups = (_Atomic(uint32_t) *)(u->monitor_page + 8);

	atomic_fetch_or(groups + u->monitor_id / 32 * 2, 1u << u->monitor_id % 32);
}

static void send_packet(struct uio *u, const void *payload, uint32_t size, uint64_t id)
{
	const struct ring_span span = { payload, size };
	const struct wire_packet packet = { .type = WIRE_PACKET_DATA_INBAND,
		                            .offset8 = sizeof(packet) / 8,
		                            .flags = WIRE_PACKET_FLAG_COMPLETION_REQUESTED,
		                            .transaction_id = id };
	enum ring_status status = ring_write(&u->out, packet, &span, 1);

	if (status != RING_OK)
		give_up("ring_write: %d", status);
	if (ring_write_publish(&u->out))
		signal_host(u);
}

/* The kernel masks the ring as it counts an interrupt; 1 is "unmask". */
static void enable_interrupt(struct uio *u)
{
	const uint32_t one = 1;

	if (write(u->fd, &one, sizeof(one)) != sizeof(one))
		give_up("unmask: %s", strerror(errno));
}

static void await_interrupt(struct uio *u)
{
	struct pollfd wait = { .fd = u->fd, .events = POLLIN };
	uint32_t count;

	if (poll(&wait, 1, WAIT_MS) != 1)
		give_up("no interrupt in %d ms, after %u", WAIT_MS, u->interrupts);
	if (read(u->fd, &count, sizeof(count)) != sizeof(count))
		give_up("read: %s", strerror(errno));
	if (count == u->interrupts)
		give_up("woken without an interrupt, after %u", count);
	u->interrupts = count;
}

/* What came must be the completion of `id` with the payload that was sent. */
static void compare(struct uio *u, const uint8_t *payload, uint64_t id)
{
	uint8_t came[PAYLOAD];
	struct ring_packet packet;
	enum ring_status status = ring_read_next(&u->in, &packet);

	if (status != RING_OK)
		give_up("ring_read_next: %d", status);
	if (packet.type != WIRE_PACKET_COMPLETION || packet.transaction_id != id ||
	    packet.size - packet.payload_offset < PAYLOAD)
		give_up("a packet of type %u, transaction %llu, %u bytes", packet.type,
		        (unsigned long long)packet.transaction_id, packet.size);
	ring_read_copy(&u->in, &packet, packet.payload_offset, came, PAYLOAD);
	if (memcmp(came, payload, PAYLOAD))
		give_up("other bytes than were sent");
	ring_read_advance(&u->in, &packet);
	if (ring_read_publish(&u->in))
		signal_host(u);
}

int main(int argc, char **argv)
{
	uint8_t payload[PAYLOAD] = { ECHO_ECHO };
	unsigned long rounds;
	struct uio u = { 0 };

	if (argc != 3)
		give_up("uio_echo DEVICE ROUNDS");
	rounds = strtoul(argv[2], NULL, 0);
	attach(&u, argv[1]);
	for (unsigned long i = 1; i <= rounds; i++) {
		memset(payload + 8, (int)i, PAYLOAD - 8);
		enable_interrupt(&u);
		send_packet(&u, payload, PAYLOAD, i);
		await_interrupt(&u);
		compare(&u, payload, i);
	}
	printf("rounds %lu interrupts %u\n", rounds, u.interrupts);
	return 0;
}
