/* SPDX-License-Identifier: BSD-2-Clause */
#include "ic/ic.h"

#include <errno.h>
#include <kmcl/options.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_INTERVAL_MS 2000u
#define DEFAULT_MISSED      5u

static const struct ic_version versions[] = { { 1, 0 }, { 3, 0 } };

struct kmcl_heartbeat {
	struct ic *ic;
	struct kmcl_heartbeat_options options;
	KTIMER timer;
	KDPC tick;
	KSPIN_LOCK lock;
	bool present, ending;
	uint32_t version;
	bool heard; /* since the last tick */
	uint64_t sequence;
	struct {
		uint64_t sequence, sent;
	} asked[256];  /* by transaction */
	uint64_t last; /* answer; 0: none */
	struct kmcl_heartbeat_info info;
	/* The callback. */
	WORK_QUEUE_ITEM report;
	bool reporting;
	enum kmcl_heartbeat_state told;
	EX_RUNDOWN_REF reports; /* held by the one that is queued or runs */
};

/* ---- the callback ---- */

static void report(PVOID context)
{
	struct kmcl_heartbeat *h = context;
	enum kmcl_heartbeat_state state;
	KIRQL irql;

	for (;;) {
		KeAcquireSpinLock(&h->lock, &irql);
		state = h->info.state;
		if (h->ending || state == h->told)
			break;
		h->told = state;
		KeReleaseSpinLock(&h->lock, irql);
		h->options.changed(h->options.context, state);
	}
	h->reporting = false;
	KeReleaseSpinLock(&h->lock, irql);
	ExReleaseRundownProtection(&h->reports);
}

static void enter_locked(struct kmcl_heartbeat *h, enum kmcl_heartbeat_state state)
{
	if (state == KMCL_HEARTBEAT_LOST && h->info.state != KMCL_HEARTBEAT_LOST)
		h->info.lost++;
	h->info.state = state;
	if (!h->options.changed || h->ending || h->reporting || state == h->told ||
	    !ExAcquireRundownProtection(&h->reports))
		return;
	h->reporting = true;
	ExQueueWorkItem(&h->report, DelayedWorkQueue);
}

/* ---- asking ---- */

static void ask(struct kmcl_heartbeat *h)
{
	struct ic_heartbeat body = { 0 };
	uint8_t transaction;
	KIRQL irql;

	KeAcquireSpinLock(&h->lock, &irql);
	body.sequence = h->sequence;
	/* Under the lock, so that the answer finds what was asked. */
	if (h->present &&
	    NT_SUCCESS(ic_send(h->ic, h->version, &body, sizeof(body), &transaction))) {
		h->asked[transaction].sequence = h->sequence++;
		h->asked[transaction].sent = KeQueryInterruptTime();
	}
	KeReleaseSpinLock(&h->lock, irql);
}

static void tick(PRKDPC dpc, PVOID context, PVOID arg1, PVOID arg2)
{
	struct kmcl_heartbeat *h = context;
	KIRQL irql;

	KeAcquireSpinLock(&h->lock, &irql);
	if (h->present && !h->heard && ++h->info.missed >= h->options.missed)
		enter_locked(h, KMCL_HEARTBEAT_LOST);
	h->heard = false;
	KeReleaseSpinLock(&h->lock, irql);
	ask(h);
}

/* ---- the guest ---- */

static void ready(void *context, uint32_t version)
{
	struct kmcl_heartbeat *h = context;
	LARGE_INTEGER due = { .QuadPart = -10000ll * h->options.interval_ms };
	KIRQL irql;

	KeAcquireSpinLock(&h->lock, &irql);
	h->present = !h->ending;
	h->version = version;
	h->heard = false;
	h->info.missed = 0;
	if (h->present)
		KeSetTimerEx(&h->timer, due, (LONG)h->options.interval_ms, &h->tick);
	KeReleaseSpinLock(&h->lock, irql);
	ask(h);
}

static void closed(void *context)
{
	struct kmcl_heartbeat *h = context;
	KIRQL irql;

	KeAcquireSpinLock(&h->lock, &irql);
	KeCancelTimer(&h->timer);
	h->present = false;
	h->last = 0;
	h->info.health = KMCL_HEARTBEAT_UNKNOWN;
	h->info.missed = 0;
	enter_locked(h, KMCL_HEARTBEAT_NO_CONTACT);
	KeReleaseSpinLock(&h->lock, irql);
}

static void alive(struct kmcl_heartbeat *h, uint8_t transaction, uint32_t health)
{
	KIRQL irql;

	KeAcquireSpinLock(&h->lock, &irql);
	h->heard = true;
	h->last = KeQueryInterruptTime();
	h->info.missed = 0;
	h->info.round_trip_us = (h->last - h->asked[transaction].sent) / 10;
	h->info.health = health <= KMCL_HEARTBEAT_STOPPED ? (enum kmcl_heartbeat_health)health
	                                                  : KMCL_HEARTBEAT_UNKNOWN;
	enter_locked(h, KMCL_HEARTBEAT_OK);
	KeReleaseSpinLock(&h->lock, irql);
}

static uint64_t expected_sequence(struct kmcl_heartbeat *h, uint8_t transaction)
{
	uint64_t sequence;
	KIRQL irql;

	KeAcquireSpinLock(&h->lock, &irql);
	sequence = h->asked[transaction].sequence + 1;
	KeReleaseSpinLock(&h->lock, irql);
	return sequence;
}

/* A guest that answers anything else than asked is not known to be well. */
static void answer(void *context, const struct ic_answer *a)
{
	struct kmcl_heartbeat *h = context;
	uint64_t expected = expected_sequence(h, a->transaction);
	struct ic_heartbeat body = { 0 };

	memcpy(&body, a->body, a->size < sizeof(body) ? a->size : sizeof(body));
	if (a->status != IC_S_OK)
		ic_complain(h->ic, "status of a heartbeat", IC_S_OK, a->status);
	else if (a->size < sizeof(body.sequence))
		ic_complain(h->ic, "size of a heartbeat", sizeof(body.sequence), a->size);
	else if (body.sequence != expected)
		ic_complain(h->ic, "sequence number of a heartbeat", expected, body.sequence);
	else
		alive(h, a->transaction, body.health);
}

static const struct ic_kind kind = {
	.name = "heartbeat",
	.type = IC_HEARTBEAT_INTERFACE_TYPE,
	.instance = IC_HEARTBEAT_INSTANCE,
	.message = IC_HEARTBEAT,
	.packet_max = 4096,
	.versions = versions,
	.version_count = sizeof(versions) / sizeof(versions[0]),
	.ready = ready,
	.answer = answer,
	.closed = closed,
};

int kmcl_heartbeat_create(struct kmcl_host *host, const struct kmcl_heartbeat_options *options,
                          struct kmcl_heartbeat **heartbeat)
{
	struct kmcl_heartbeat *h = calloc(1, sizeof(*h));
	int error;

	if (!h)
		return -ENOMEM;
	error = kmcl_options_take(&h->options, sizeof(h->options), options);
	if (error) {
		free(h);
		return error;
	}
	if (!h->options.interval_ms)
		h->options.interval_ms = DEFAULT_INTERVAL_MS;
	if (!h->options.missed)
		h->options.missed = DEFAULT_MISSED;
	KeInitializeSpinLock(&h->lock);
	KeInitializeTimer(&h->timer);
	KeInitializeDpc(&h->tick, tick, h);
	ExInitializeRundownProtection(&h->reports);
	ExInitializeWorkItem(&h->report, report, h);
	error = ic_create(host, &kind, &h->options.ic, h, &h->ic);
	if (error)
		free(h);
	else
		*heartbeat = h;
	return error;
}

void kmcl_heartbeat_destroy(struct kmcl_heartbeat *h)
{
	KIRQL irql;

	if (!h)
		return;
	KeAcquireSpinLock(&h->lock, &irql);
	h->ending = true;
	h->present = false;
	KeCancelTimer(&h->timer);
	KeReleaseSpinLock(&h->lock, irql);
	KeFlushQueuedDpcs();
	ic_destroy(h->ic);
	ExWaitForRundownProtectionRelease(&h->reports);
	free(h);
}

int kmcl_heartbeat_query(struct kmcl_heartbeat *h, struct kmcl_heartbeat_info *info)
{
	uint64_t now = KeQueryInterruptTime();
	struct kmcl_heartbeat_info all;
	KIRQL irql;

	KeAcquireSpinLock(&h->lock, &irql);
	all = h->info;
	all.last_ms = !h->last ? UINT64_MAX : now > h->last ? (now - h->last) / 10000 : 0;
	KeReleaseSpinLock(&h->lock, irql);
	return kmcl_options_give(info, &all, sizeof(all));
}

int kmcl_heartbeat_get_statistics(struct kmcl_heartbeat *h, struct kmcl_ic_statistics *statistics)
{
	return ic_statistics(h->ic, statistics);
}
