/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_IC_TIMESYNC_H
#define DEVICES_IC_TIMESYNC_H

/*
 * Time synchronisation, host side: tells the guest what time it is. What Hyper-V offers, and
 * Linux's hv_utils sets its clock and its PTP device by.
 *
 * All functions are P (PASSIVE_LEVEL) and may be called from any thread.
 */

#include "ic/ic.h"

struct timesync_options {
	struct ic_options ic;
	uint32_t period_ms; /* of the samples; 0: 5000, as Hyper-V's */
	/* D. The partition's reference counter, in 100 ns: what the guest reads as Hyper-V's
	 * reference time (HV_X64_MSR_TIME_REF_COUNT), from which a guest of version 4.0 computes
	 * how old a sample is. NULL: the time since this was made. */
	uint64_t (*reference_time)(void *context);
	/* D. The time that the guest is told, in 100 ns since 1601-01-01 UTC. NULL: the host's. */
	uint64_t (*system_time)(void *context);
	void *context;
};

struct timesync;

/*
 * Offers it to the guest behind `vmbus` (from kmcl_host_open). A guest that has just opened it is
 * told to set its clock. After that it gets samples, which it may use or not; and it is told to set
 * its clock again when system time and reference time have drifted apart by more than a second
 * since the last sample: the host's clock was set, or the host or the partition has slept.
 */
NTSTATUS timesync_create(HANDLE vmbus, const struct timesync_options *options,
                         struct timesync **timesync);
void timesync_destroy(struct timesync *timesync);

/* Tells the guest now to set its clock: after it was restored or resumed. Returns when that is
 * sent. STATUS_DEVICE_NOT_READY: there is no guest yet, which will be told when it comes;
 * STATUS_DEVICE_BUSY: it has not answered for long. */
NTSTATUS timesync_set(struct timesync *timesync);

struct timesync_info {
	uint64_t sets, samples; /* sent */
	uint64_t skipped;       /* samples that were not sent as the guest had not answered */
	uint64_t round_trip_us; /* of the last answer */
	struct ic_statistics ic;
};

void timesync_info(struct timesync *timesync, struct timesync_info *info);

#endif
