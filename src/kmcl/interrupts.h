/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_INTERRUPTS_H
#define KMCL_INTERRUPTS_H

/*
 * Shared pages through which interrupts travel. The interrupt page has a bit a channel in each
 * direction (host to guest in its first half); the monitor page has a bit a monitored channel,
 * which the host looks at from time to time.
 *
 * Sources: Linux drivers/hv/connection.c (vmbus_connect, vmbus_set_event), hyperv_vmbus.h (struct
 * hv_monitor_page); TLFS, Hyper-V monitored notification facility; OpenVMM
 * vmbus_server/src/monitor.rs.
 */

#include "bus/bus.h"
#include "partition/partition.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>

#define INTERRUPT_PAGE_WORDS (WIRE_PAGE_SIZE / 2 / 8)

struct interrupt_page {
	_Atomic(uint64_t) to_guest[INTERRUPT_PAGE_WORDS];
	_Atomic(uint64_t) to_host[INTERRUPT_PAGE_WORDS];
};
static_assert(sizeof(struct interrupt_page) == WIRE_PAGE_SIZE, "ABI");

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

/*
 * A thread that waits for signals on `id` and calls `raised` for each channel whose bit is set.
 * Signals that come after interrupts_close() has returned are not reported.
 */
struct interrupts;
typedef void interrupts_raised(void *context, uint32_t channel_id);
struct interrupts *interrupts_open(struct partition *p, uint32_t id, _Atomic(uint64_t) *bits,
                                   interrupts_raised *raised, void *context);
void interrupts_close(struct interrupts *i);

/*
 * A thread that looks at a monitor page, each channel as often as its latency says, and calls
 * `raised` with the monitor id of those that are pending.
 */
struct monitor;
struct monitor *monitor_open(struct monitor_page *page, interrupts_raised *raised, void *context);
void monitor_close(struct monitor *m);
/* Which ids it looks at. With none it sleeps. */
void monitor_watch(struct monitor *m, uint32_t monitor_id, uint16_t latency_100ns);
void monitor_unwatch(struct monitor *m, uint32_t monitor_id);

#endif
