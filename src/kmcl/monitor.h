/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_MONITOR_H
#define KMCL_MONITOR_H

/*
 * The monitor page: a bit a monitored channel, which the guest sets instead of a signal and the
 * host looks at from time to time. As long as nothing moves the host does not look: a guard on the
 * page tells it of the guest's next write.
 *
 * Sources: Linux drivers/hv/hyperv_vmbus.h (struct hv_monitor_page), channel.c (vmbus_setevent: the
 * second of the two pages, and nothing but the bit); TLFS, Hyper-V monitored notification facility;
 * OpenVMM vmbus_server/src/monitor.rs, whose partition takes a guest's writes to that page as
 * exits.
 */

#include "partition/partition.h"
#include "wire/wire.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>

struct monitor_page {
	uint32_t trigger_state;
	uint32_t reserved1;
	struct {
		_Atomic(uint32_t) pending;
		uint32_t armed;
	} trigger[4];
	uint64_t reserved2[3];
	int32_t next_check_time[4][32];
	_Atomic(uint16_t) latency[4][32]; /* 100 ns */
	uint64_t reserved3[32];
	struct {
		uint32_t connection_id;
		uint16_t flag;
		uint16_t reserved;
	} parameter[4][32];
	uint8_t reserved4[1984];
};
static_assert(offsetof(struct monitor_page, trigger) == 8, "ABI");
static_assert(offsetof(struct monitor_page, next_check_time) == 64, "ABI");
static_assert(offsetof(struct monitor_page, latency) == 576, "ABI");
static_assert(offsetof(struct monitor_page, parameter) == 1088, "ABI");
static_assert(sizeof(struct monitor_page) == WIRE_PAGE_SIZE, "ABI");

struct monitor_calls {
	/* The channel of that monitor id was signalled. */
	void (*raised)(void *context, uint32_t monitor_id);
	/* From now on it looks also while nothing moves, less often: why the page has no guard, or
	 * NULL where this kind of partition never has one. At most once. */
	void (*unguarded)(void *context, const char *why);
};

/*
 * A thread that looks at a page, as often as the shortest of the latencies in it says as long as
 * something moves. The calls come from that thread. `pin` keeps the page until monitor_close().
 */
struct monitor;
struct monitor *monitor_open(struct monitor_page *page, const struct partition_pin *pin,
                             const struct monitor_calls *calls, void *context);
void monitor_close(struct monitor *m);
/* Which ids it looks at. With none it sleeps. */
void monitor_watch(struct monitor *m, uint32_t monitor_id, uint16_t latency_100ns);
void monitor_unwatch(struct monitor *m, uint32_t monitor_id);

#endif
