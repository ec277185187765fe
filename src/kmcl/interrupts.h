/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_INTERRUPTS_H
#define KMCL_INTERRUPTS_H

/*
 * The interrupt page, through which guests before 2.4 signal: a bit a channel in each direction
 * (host to guest in its first half). Source: Linux drivers/hv/connection.c (vmbus_connect,
 * vmbus_set_event).
 */

#include "bus/bus.h"
#include "partition/partition.h"

#include <assert.h>
#include <stdatomic.h>

#define INTERRUPT_PAGE_WORDS (WIRE_PAGE_SIZE / 2 / 8)

struct interrupt_page {
	_Atomic(uint64_t) to_guest[INTERRUPT_PAGE_WORDS];
	_Atomic(uint64_t) to_host[INTERRUPT_PAGE_WORDS];
};
static_assert(sizeof(struct interrupt_page) == WIRE_PAGE_SIZE, "ABI");

/*
 * A thread that waits for signals on `id` and calls `raised` for each channel whose bit is set.
 * Signals that come after interrupts_close() has returned are not reported.
 */
struct interrupts;
typedef void interrupts_raised(void *context, uint32_t channel_id);
struct interrupts *interrupts_open(struct partition *p, uint32_t id, _Atomic(uint64_t) *bits,
                                   interrupts_raised *raised, void *context);
void interrupts_close(struct interrupts *i);

#endif
