/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The guest kit: transactions there and back with the same other end as the API's, which is a
 * process of its own. A guest that polls, as docs/guest.md has it: it looks at the message's slot
 * and polls, on a core of its own.
 */

#include "rows.h"

#include "partition/partition.h"
#include "vmbus_guest.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KIT_RAM_PAGES  128u
#define KIT_RING_PAGES 33u /* one of them for the indices */

/* channel.c's */
static const uint8_t kit_echo_type[16] = { 0x6c, 0x63, 0x6d, 0x6b, 0xbe, 0, 1 };

static struct kit {
	struct partition *partition;
	struct partition_link *link;
	uint8_t *ram;
	uint32_t there; /* the host */
	struct vg *vg;
	struct vg_channel *channel;
	bool opened;
	uint64_t left, done;
	uint32_t size;
	/* what the host has said: its thread fills it, and waits until it is free again */
	uint32_t slot_full;
	uint32_t slot_size;
	uint8_t slot[PARTITION_MESSAGE_MAX];
} kit;

static void kit_check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "bench: the guest kit: %s\n", what);
	exit(1);
}

/* ---- the machine ---- */

static void kit_on_message(void *context, uint32_t id, const void *payload, size_t size)
{
	while (__atomic_load_n(&kit.slot_full, __ATOMIC_ACQUIRE))
		sched_yield();
	memcpy(kit.slot, payload, size);
	kit.slot_size = (uint32_t)size;
	__atomic_store_n(&kit.slot_full, 1, __ATOMIC_RELEASE);
}

static void kit_on_presence(void *context, enum partition_presence what)
{
	__atomic_store_n(&kit.there, what == PARTITION_CAME, __ATOMIC_RELEASE);
}

static void kit_on_writable(void *context)
{
}

static uint64_t kit_page_number(void *context, const void *address)
{
	return partition_gpn(kit.partition, (const void *)((uintptr_t)address & ~4095ull));
}

static bool kit_post(void *context, uint32_t connection_id, const void *message, uint32_t size)
{
	struct partition_address to = { .id = connection_id };

	return partition_post(kit.partition, to, message, size) == 0;
}

static void kit_signal(void *context, uint32_t connection_id)
{
	struct partition_address to = { .id = connection_id };

	if (!kit.link)
		kit_check(partition_connect(kit.partition, to, &kit.link) == 0, "a signal");
	partition_signal(kit.link);
}

static const struct vg_platform kit_platform = {
	.page_number = kit_page_number,
	.post = kit_post,
	.signal = kit_signal,
};

static void kit_poll(void)
{
	if (__atomic_load_n(&kit.slot_full, __ATOMIC_ACQUIRE)) {
		vg_message(kit.vg, kit.slot, kit.slot_size);
		__atomic_store_n(&kit.slot_full, 0, __ATOMIC_RELEASE);
	}
	vg_poll(kit.vg, 16);
}

/* ---- the guest ---- */

static void kit_send(void)
{
	struct vg_send send = { .payload = bench_source, .size = kit.size, .cookie = &kit };

	kit_check(vg_send(kit.channel, &send) == VG_OK, "sending");
}

static void kit_opened(void *context, struct vg_channel *channel, enum vg_status status)
{
	kit_check(status == VG_OK, "opening");
	kit.opened = true;
}

static void kit_packet(void *context, struct vg_channel *channel, const struct vg_packet *packet)
{
}

static void kit_completed(void *context, struct vg_channel *channel, void *cookie,
                          enum vg_status status, const void *answer, uint32_t size)
{
	kit_check(status == VG_OK && size == kit.size, "an answer");
	bench_use(answer);
	if (++kit.done < kit.left)
		kit_send();
}

static void kit_closed(void *context, struct vg_channel *channel, enum vg_status why)
{
	kit_check(false, "closed");
}

static void kit_offered(void *context, struct vg_channel *channel, const struct vg_offer *offer)
{
	struct vg_open open = {
		.events = { .opened = kit_opened,
		            .packet = kit_packet,
		            .completed = kit_completed,
		            .closed = kit_closed },
		.rings = kit.ram + VG_PAGE,
		.out_pages = KIT_RING_PAGES,
		.in_pages = KIT_RING_PAGES,
		.payload_max = BENCH_PAYLOAD,
		.requests_max = 1,
	};

	if (memcmp(offer->type.bytes, kit_echo_type, sizeof(offer->type.bytes)) != 0)
		return;
	kit.channel = channel;
	kit_check(vg_open(channel, &open) == VG_OK, "opening");
}

static void kit_open_partition(const char *uri)
{
	struct partition_settings settings = { .end = PARTITION_GUEST,
		                               .upcalls = { .message = kit_on_message,
		                                            .presence = kit_on_presence,
		                                            .writable = kit_on_writable } };
	char why[256];

	settings.ram.size = KIT_RAM_PAGES * (uint64_t)VG_PAGE;
	settings.ram.fd = memfd_create("bench-kit", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	kit_check(ftruncate(settings.ram.fd, (off_t)settings.ram.size) == 0, "memory");
	kit.ram = mmap(NULL, settings.ram.size, PROT_READ | PROT_WRITE, MAP_SHARED, settings.ram.fd,
	               0);
	kit_check(kit.ram != MAP_FAILED, "memory");
	settings.ram.base = kit.ram;
	kit_check(partition_open(uri, &settings, &kit.partition, why, sizeof(why)) == 0, why);
	while (!__atomic_load_n(&kit.there, __ATOMIC_ACQUIRE))
		sched_yield();
}

static void kit_start(void)
{
	static uint8_t memory[128 << 10] __attribute__((aligned(64)));
	static const struct vg_events events = { .offered = kit_offered };
	static const struct vg_contact contact = { .message_sint = 2 };
	char uri[64];

	snprintf(uri, sizeof(uri), "unix:/tmp/kmcl-bench-kit-%d", (int)getpid());
	channel_start_other_end(uri);
	kit_open_partition(uri);
	kit_check(vg_init(&kit.vg, &kit_platform, &events, memory, sizeof(memory)) == VG_OK &&
	                  vg_connect(kit.vg, &contact) == VG_OK,
	          "contact");
	while (!kit.opened)
		kit_poll();
}

/* ---- the row ---- */

static void *kit_run(void *context)
{
	double *seconds = context;
	double began;

	kit.done = 0;
	began = bench_now();
	kit_send();
	while (kit.done < kit.left) {
		kit_poll();
		bench_pause();
	}
	*seconds = bench_now() - began;
	return NULL;
}

/* The other end is on core 1. */
double kit_unix_echo(uint64_t count, uint32_t size)
{
	pthread_attr_t where;
	pthread_t thread;
	double seconds = 0;
	cpu_set_t set;

	if (!kit.vg)
		kit_start();
	kit.left = count;
	kit.size = size;
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	pthread_attr_init(&where);
	pthread_attr_setaffinity_np(&where, sizeof(set), &set);
	kit_check(pthread_create(&thread, &where, kit_run, &seconds) == 0, "a thread");
	pthread_join(thread, NULL);
	pthread_attr_destroy(&where);
	return seconds;
}
