/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_GUESTKIT_MACHINE_H
#define TESTS_GUESTKIT_MACHINE_H

/* The machine that a guest made of the kit runs on: a partition, hosted. */

#include "vmbus_guest.h"

#include "partition/partition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define MACHINE_RAM     (16u << 20)
#define MACHINE_MEMORY  (256u << 10) /* the kit's */
#define MACHINE_WAIT_MS 25000

#define MACHINE_MESSAGES 256u

struct machine_message {
	uint32_t size;
	uint8_t bytes[PARTITION_MESSAGE_MAX];
};

struct machine {
	struct partition *partition;
	struct partition_ram ram;
	size_t used; /* bytes of it */
	bool maps_rings;
	struct vg *vg;
	struct vg_platform platform;
	struct vg_events events;
	size_t memory_size;
	void *memory;
	int faults;
	char last_fault[256];

	/* by the partition's thread */
	pthread_mutex_t lock;
	struct machine_message messages[MACHINE_MESSAGES];
	uint32_t written, read;
	bool there, gone, stopping;
	int wake; /* an eventfd */

	/* the ways to the host, by connection id; under the lock, too */
	uint64_t signals;
	struct partition_link *links[64];
	uint32_t link_count;
};

/* Its `events` and settings are set; the rest is made here, with the host there. */
void machine_start(struct machine *m, const char *uri);
void machine_stop(struct machine *m);
/* Whole pages of its memory, zeroed. */
void *machine_pages(struct machine *m, size_t count);
/* Hands over the messages that came, and the host's end. */
void machine_feed(struct machine *m);
/* Feeds and polls until `*what` is not 0; fails the test after MACHINE_WAIT_MS. */
void machine_run(struct machine *m, const uint32_t *what);
uint64_t machine_ms(void);

#endif
