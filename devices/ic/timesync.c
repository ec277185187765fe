/* SPDX-License-Identifier: BSD-2-Clause */
#include "ic/ic.h"

#include <errno.h>
#include <kmcl/options.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_PERIOD_MS 5000u
#define UNITS             10000000ll    /* of 100 ns a second */
#define EPOCH             11644473600ll /* 1601 to 1970, in seconds */
#define STEP              UNITS /* clocks that drift further than that in a period were set */

static const struct ic_version versions[] = { { 1, 0 }, { 3, 0 }, { 4, 0 } };

struct kmcl_timesync {
	struct ic *ic;
	struct kmcl_timesync_options options;
	uint64_t began;
	KTIMER timer;
	KDPC tick;
	KSPIN_LOCK lock;
	bool present, ending;
	uint32_t version;
	uint32_t owed;      /* answers */
	int64_t offset;     /* of system time to reference time, when last told */
	uint64_t sent[256]; /* when, by transaction */
	uint64_t round_trip;
	struct kmcl_timesync_info info;
};

/* ---- clocks ---- */

static uint64_t clock_units(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * UNITS + (uint64_t)t.tv_nsec / 100;
}

static uint64_t system_time(const struct kmcl_timesync *t)
{
	return t->options.system_time ? t->options.system_time(t->options.context)
	                              : clock_units(CLOCK_REALTIME) + EPOCH * UNITS;
}

static uint64_t reference_time(const struct kmcl_timesync *t)
{
	return t->options.reference_time ? t->options.reference_time(t->options.context)
	                                 : clock_units(CLOCK_MONOTONIC) - t->began;
}

/* ---- telling ---- */

struct moment {
	uint64_t system, reference;
};

static struct moment now(const struct kmcl_timesync *t)
{
	struct moment m = { .reference = reference_time(t) };

	m.system = system_time(t);
	return m;
}

static NTSTATUS tell_locked(struct kmcl_timesync *t, struct moment m, uint8_t flags)
{
	struct ic_timesync_old old = { m.system, 0, t->round_trip, flags, { 0 } };
	struct ic_timesync message = { .host = m.system, .reference = m.reference, .flags = flags };
	bool is_old = t->version < IC_VERSION(4, 0);
	uint8_t transaction;
	NTSTATUS status;

	if (!t->present)
		return STATUS_DEVICE_NOT_READY;
	status = ic_send(t->ic, t->version, is_old ? (void *)&old : &message,
	                 is_old ? sizeof(old) : sizeof(message), &transaction);
	if (!NT_SUCCESS(status))
		return status;
	t->sent[transaction] = KeQueryInterruptTime();
	t->owed++;
	t->offset = (int64_t)(m.system - m.reference);
	if (flags & IC_TIME_SYNC)
		t->info.sets++;
	else
		t->info.samples++;
	return status;
}

static bool was_set(const struct kmcl_timesync *t, struct moment m)
{
	int64_t drift = (int64_t)(m.system - m.reference) - t->offset;

	return drift > STEP || drift < -STEP;
}

/* A sample is of no use to a guest that has not taken the one before. */
static void tick(PRKDPC dpc, PVOID context, PVOID arg1, PVOID arg2)
{
	struct kmcl_timesync *t = context;
	struct moment m = now(t);
	KIRQL irql;

	KeAcquireSpinLock(&t->lock, &irql);
	if (was_set(t, m))
		tell_locked(t, m, IC_TIME_SYNC);
	else if (t->owed)
		t->info.skipped++;
	else
		tell_locked(t, m, IC_TIME_SAMPLE);
	KeReleaseSpinLock(&t->lock, irql);
}

int kmcl_timesync_set(struct kmcl_timesync *t)
{
	struct moment m = now(t);
	NTSTATUS status;
	KIRQL irql;

	KeAcquireSpinLock(&t->lock, &irql);
	status = tell_locked(t, m, IC_TIME_SYNC);
	KeReleaseSpinLock(&t->lock, irql);
	return kmcl_errno(status);
}

/* ---- the guest ---- */

static void ready(void *context, uint32_t version)
{
	struct kmcl_timesync *t = context;
	LARGE_INTEGER due = { .QuadPart = -10000ll * t->options.period_ms };
	struct moment m = now(t);
	KIRQL irql;

	KeAcquireSpinLock(&t->lock, &irql);
	t->present = !t->ending;
	t->version = version;
	t->owed = 0;
	t->round_trip = 0;
	tell_locked(t, m, IC_TIME_SYNC);
	if (t->present)
		KeSetTimerEx(&t->timer, due, (LONG)t->options.period_ms, &t->tick);
	KeReleaseSpinLock(&t->lock, irql);
}

/* Whatever it says: only that it has taken the message counts. */
static void answer(void *context, const struct ic_answer *a)
{
	struct kmcl_timesync *t = context;
	KIRQL irql;

	if (a->status != IC_S_OK)
		ic_complain(t->ic, "status of a time sample", IC_S_OK, a->status);
	KeAcquireSpinLock(&t->lock, &irql);
	t->owed--;
	t->round_trip = KeQueryInterruptTime() - t->sent[a->transaction];
	KeReleaseSpinLock(&t->lock, irql);
}

static void closed(void *context)
{
	struct kmcl_timesync *t = context;
	KIRQL irql;

	KeAcquireSpinLock(&t->lock, &irql);
	KeCancelTimer(&t->timer);
	t->present = false;
	KeReleaseSpinLock(&t->lock, irql);
}

static const struct ic_kind kind = {
	.name = "timesync",
	.type = IC_TIMESYNC_INTERFACE_TYPE,
	.instance = IC_TIMESYNC_INSTANCE,
	.message = IC_TIMESYNC,
	.packet_max = 4096,
	.versions = versions,
	.version_count = sizeof(versions) / sizeof(versions[0]),
	.ready = ready,
	.answer = answer,
	.closed = closed,
};

int kmcl_timesync_create(struct kmcl_host *host, const struct kmcl_timesync_options *options,
                         struct kmcl_timesync **timesync)
{
	struct kmcl_timesync *t = calloc(1, sizeof(*t));
	int error;

	if (!t)
		return -ENOMEM;
	error = kmcl_options_take(&t->options, sizeof(t->options), options);
	if (error) {
		free(t);
		return error;
	}
	if (!t->options.period_ms)
		t->options.period_ms = DEFAULT_PERIOD_MS;
	t->began = clock_units(CLOCK_MONOTONIC);
	KeInitializeSpinLock(&t->lock);
	KeInitializeTimer(&t->timer);
	KeInitializeDpc(&t->tick, tick, t);
	error = ic_create(host, &kind, &t->options.ic, t, &t->ic);
	if (error)
		free(t);
	else
		*timesync = t;
	return error;
}

void kmcl_timesync_destroy(struct kmcl_timesync *t)
{
	KIRQL irql;

	if (!t)
		return;
	KeAcquireSpinLock(&t->lock, &irql);
	t->ending = true;
	t->present = false;
	KeCancelTimer(&t->timer);
	KeReleaseSpinLock(&t->lock, irql);
	KeFlushQueuedDpcs();
	ic_destroy(t->ic);
	free(t);
}

int kmcl_timesync_query(struct kmcl_timesync *t, struct kmcl_timesync_info *info)
{
	struct kmcl_timesync_info all;
	KIRQL irql;

	KeAcquireSpinLock(&t->lock, &irql);
	all = t->info;
	all.round_trip_us = t->round_trip / 10;
	KeReleaseSpinLock(&t->lock, irql);
	return kmcl_options_give(info, &all, sizeof(all));
}

int kmcl_timesync_get_statistics(struct kmcl_timesync *t, struct kmcl_ic_statistics *statistics)
{
	return ic_statistics(t->ic, statistics);
}
