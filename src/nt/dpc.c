/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

/*
 * A DPC queued by a thread runs on that thread when its IRQL is about to drop below DISPATCH_LEVEL;
 * queued from below, at once. Each belongs to an epoch: a flush starts a new one and waits until
 * the old one has none left that is queued or running.
 */

static struct nt_lock lock; /* the queues and the epochs */
static unsigned epoch;
static uint32_t epoch_count[2];
static struct nt_latch *flusher;
static struct nt_lock one_flush_at_a_time;

void KeInitializeDpc(PRKDPC dpc, PKDEFERRED_ROUTINE routine, PVOID context)
{
	memset(dpc, 0, sizeof(*dpc));
	dpc->Importance = MediumImportance;
	dpc->DeferredRoutine = routine;
	dpc->DeferredContext = context;
}

void KeSetImportanceDpc(PRKDPC dpc, KDPC_IMPORTANCE importance)
{
	dpc->Importance = (UCHAR)importance;
}

bool nt_dpc_queue(PRKDPC dpc, PVOID arg1, PVOID arg2)
{
	bool queued;

	nt_lock_acquire(&lock);
	queued = !dpc->Queued;
	if (queued) {
		if (!nt_self.dpcs.Flink)
			InitializeListHead(&nt_self.dpcs);
		dpc->Queued = TRUE;
		dpc->SystemArgument1 = arg1;
		dpc->SystemArgument2 = arg2;
		dpc->Owner = &nt_self.dpc_count;
		dpc->Epoch = (UCHAR)epoch;
		epoch_count[epoch]++;
		if (dpc->Importance == HighImportance)
			InsertHeadList(&nt_self.dpcs, &dpc->DpcListEntry);
		else
			InsertTailList(&nt_self.dpcs, &dpc->DpcListEntry);
		__atomic_add_fetch(&nt_self.dpc_count, 1, __ATOMIC_RELAXED);
	}
	nt_lock_release(&lock);
	return queued;
}

static void take_off(PRKDPC dpc)
{
	RemoveEntryList(&dpc->DpcListEntry);
	dpc->Queued = FALSE;
	__atomic_sub_fetch((uint32_t *)dpc->Owner, 1, __ATOMIC_RELAXED);
}

/* One DPC of that epoch less. With the lock held; returns who waits for the last one. */
static struct nt_latch *finish(unsigned its_epoch)
{
	struct nt_latch *waiting = NULL;

	if (--epoch_count[its_epoch] == 0 && its_epoch != epoch) {
		waiting = flusher;
		flusher = NULL;
	}
	return waiting;
}

/* With the lock held, and without it in between. */
static void run_first(void)
{
	PRKDPC dpc = CONTAINING_RECORD(nt_self.dpcs.Flink, KDPC, DpcListEntry);
	KDPC copy = *dpc; /* the routine may queue or free it */
	struct nt_latch *waiting;

	take_off(dpc);
	nt_lock_release(&lock);
	copy.DeferredRoutine(dpc, copy.DeferredContext, copy.SystemArgument1, copy.SystemArgument2);
	if (unlikely(nt_self.irql != DISPATCH_LEVEL))
		nt_die("a DPC routine returned at IRQL %u", nt_self.irql);
	nt_lock_acquire(&lock);
	waiting = finish(copy.Epoch);
	if (unlikely(waiting)) {
		nt_lock_release(&lock);
		nt_latch_post(waiting);
		nt_lock_acquire(&lock);
	}
}

void nt_dpc_run(void)
{
	if (__atomic_load_n(&nt_self.dpc_count, __ATOMIC_RELAXED) == 0)
		return;
	nt_lock_acquire(&lock);
	while (!IsListEmpty(&nt_self.dpcs))
		run_first();
	nt_lock_release(&lock);
}

BOOLEAN KeInsertQueueDpc(PRKDPC dpc, PVOID arg1, PVOID arg2)
{
	KIRQL old = KeRaiseIrqlToDpcLevel();
	bool queued = nt_dpc_queue(dpc, arg1, arg2);

	KeLowerIrql(old);
	return queued;
}

BOOLEAN KeRemoveQueueDpc(PRKDPC dpc)
{
	struct nt_latch *waiting = NULL;
	bool removed;

	nt_lock_acquire(&lock);
	removed = dpc->Queued;
	if (removed) {
		take_off(dpc);
		waiting = finish(dpc->Epoch);
	}
	nt_lock_release(&lock);
	if (waiting)
		nt_latch_post(waiting);
	return removed;
}

void KeFlushQueuedDpcs(void)
{
	struct nt_latch latch = { 0 };
	bool wait;

	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, NULL))
		return;
	nt_lock_acquire(&one_flush_at_a_time);
	nt_lock_acquire(&lock);
	wait = epoch_count[epoch] != 0;
	if (wait) {
		epoch ^= 1;
		flusher = &latch;
	}
	nt_lock_release(&lock);
	if (wait)
		nt_latch_wait(&latch);
	nt_lock_release(&one_flush_at_a_time);
}
