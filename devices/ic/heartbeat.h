/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_IC_HEARTBEAT_H
#define DEVICES_IC_HEARTBEAT_H

/*
 * Heartbeat, host side: asks the guest at an interval whether it is alive. What Hyper-V offers and
 * Linux's hv_utils answers.
 *
 * All functions are P (PASSIVE_LEVEL) and may be called from any thread.
 */

#include "ic/ic.h"

enum heartbeat_state {
	HEARTBEAT_NO_CONTACT, /* no driver in the guest has ever answered since it last went away */
	HEARTBEAT_OK,
	HEARTBEAT_LOST, /* the driver is there, and does not answer any more */
};

struct heartbeat_options {
	struct ic_options ic;
	uint32_t interval_ms; /* 0: 2000, as Linux says Hyper-V does */
	uint32_t missed;      /* lost after so many intervals without an answer; 0: 5 */
	/* P. The state changed; one call at a time, and the last one tells the present state: short
	 * changes in between may be left out. Not for the first, HEARTBEAT_NO_CONTACT, and not
	 * once heartbeat_destroy() has begun. NULL: none. */
	void (*changed)(void *context, enum heartbeat_state state);
	void *context;
};

struct heartbeat;

/* Offers it to the guest behind `vmbus` (from kmcl_host_open). */
NTSTATUS heartbeat_create(HANDLE vmbus, const struct heartbeat_options *options,
                          struct heartbeat **heartbeat);
void heartbeat_destroy(struct heartbeat *heartbeat);

struct heartbeat_info {
	enum heartbeat_state state;
	enum ic_heartbeat_health health; /* what the guest last said */
	uint64_t last_ms;                /* since the last answer; UINT64_MAX: there was none */
	uint32_t missed;                 /* intervals without an answer, at present */
	uint64_t lost;                   /* times that it was lost */
	uint64_t round_trip_us;          /* of the last answer */
	struct ic_statistics ic;
};

void heartbeat_info(struct heartbeat *heartbeat, struct heartbeat_info *info);

#endif
