/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

#include <stdlib.h>

/*
 * A pool of threads that is as big as there are routines running at a time. An idle thread sleeps
 * on its own word and is handed an item directly, the last one to become idle first; a new one is
 * made when none is idle. Beyond MAX_IDLE a thread that finds nothing to do ends.
 */

#define MAX_IDLE 4
#define WORK_TAG 0x6b726f57 /* "Work" */

struct worker {
	struct worker *next;
	struct nt_work *given;
	uint32_t wake;
};

static struct {
	struct nt_lock lock;
	struct worker *idle;
	unsigned idle_count;
	unsigned threads;
	/* Only when the system had no thread left for it. */
	struct nt_work *waiting_first, **waiting_last;
} pool = { .waiting_last = &pool.waiting_first };

/* The next item for a thread that has none; NULL: end. */
static struct nt_work *next_item(struct worker *self)
{
	struct nt_work *item;

	nt_lock_acquire(&pool.lock);
	item = pool.waiting_first;
	if (item) {
		pool.waiting_first = item->next;
		if (!pool.waiting_first)
			pool.waiting_last = &pool.waiting_first;
	} else if (pool.idle_count < MAX_IDLE) {
		self->given = NULL;
		self->wake = 0;
		self->next = pool.idle;
		pool.idle = self;
		pool.idle_count++;
	} else {
		pool.threads--;
		nt_lock_release(&pool.lock);
		return NULL;
	}
	nt_lock_release(&pool.lock);
	if (item)
		return item;
	while (__atomic_load_n(&self->wake, __ATOMIC_ACQUIRE) == 0)
		nt_futex_wait(&self->wake, 0, NT_CLOCK_MONOTONIC, NT_FOREVER);
	return self->given;
}

static void run(struct nt_work *item)
{
	void (*routine)(void *context) = item->routine;
	void *context = item->context;

	/* From here on the item is its owner's again. */
	routine(context);
	if (unlikely(nt_self.irql != PASSIVE_LEVEL))
		nt_die("a work routine returned at IRQL %u", nt_self.irql);
}

static void worker_main(void *context)
{
	struct nt_work *item = context;
	struct worker self = { 0 };

	while (item) {
		run(item);
		item = next_item(&self);
	}
}

static void make_thread(struct nt_work *item)
{
	static struct nt_log_account account;

	if (nt_thread_start("nt-work", worker_main, item))
		return;
	nt_lock_acquire(&pool.lock);
	pool.threads--;
	item->next = NULL;
	*pool.waiting_last = item;
	pool.waiting_last = &item->next;
	nt_lock_release(&pool.lock);
	nt_log_limited(&account, NT_LOG_OPERATOR, NT_LOG_WARNING, NULL,
	               "no thread for a work item: it waits for one that is free");
}

static void nothing(void *context)
{
}

bool nt_work_prepare(void)
{
	static struct nt_work first = { .routine = nothing };
	bool needed;

	nt_lock_acquire(&pool.lock);
	needed = pool.threads == 0;
	pool.threads += needed;
	nt_lock_release(&pool.lock);
	if (!needed || nt_thread_start("nt-work", worker_main, &first))
		return true;
	nt_lock_acquire(&pool.lock);
	pool.threads--;
	nt_lock_release(&pool.lock);
	return false;
}

void nt_work_queue(struct nt_work *item)
{
	struct worker *w;

	nt_lock_acquire(&pool.lock);
	w = pool.idle;
	if (w) {
		pool.idle = w->next;
		pool.idle_count--;
		w->given = item;
	} else {
		pool.threads++;
	}
	nt_lock_release(&pool.lock);
	if (!w) {
		make_thread(item);
		return;
	}
	__atomic_store_n(&w->wake, 1, __ATOMIC_RELEASE);
	nt_futex_wake(&w->wake, 1);
}

/* ---- the documented faces of it ---- */

/* A WORK_QUEUE_ITEM from its second word on is a struct nt_work. */
_Static_assert(offsetof(WORK_QUEUE_ITEM, WorkerRoutine) - offsetof(WORK_QUEUE_ITEM, List.Blink) ==
                       offsetof(struct nt_work, routine) - offsetof(struct nt_work, next),
               "routine");
_Static_assert(offsetof(WORK_QUEUE_ITEM, Parameter) - offsetof(WORK_QUEUE_ITEM, List.Blink) ==
                       offsetof(struct nt_work, context) - offsetof(struct nt_work, next),
               "context");

void ExQueueWorkItem(PWORK_QUEUE_ITEM item, WORK_QUEUE_TYPE type)
{
	if (nt_irql_at_most(DISPATCH_LEVEL, __func__, NULL))
		nt_work_queue((struct nt_work *)&item->List.Blink);
}

struct _IO_WORKITEM {
	struct nt_work work;
	PDEVICE_OBJECT device;
	PIO_WORKITEM_ROUTINE routine;
	PIO_WORKITEM_ROUTINE_EX routine_ex;
	PVOID context;
	uint32_t queued;
};

PIO_WORKITEM IoAllocateWorkItem(PDEVICE_OBJECT device)
{
	PIO_WORKITEM item = nt_apart_allocate(sizeof(*item), WORK_TAG);

	if (item)
		item->device = device;
	return item;
}

void IoFreeWorkItem(PIO_WORKITEM item)
{
	if (__atomic_load_n(&item->queued, __ATOMIC_ACQUIRE)) {
		nt_misuse(__func__, NULL, "the item is queued");
		return;
	}
	ExFreePoolWithTag(item, WORK_TAG);
}

static void io_work_run(void *context)
{
	PIO_WORKITEM item = context;
	struct _IO_WORKITEM copy = *item; /* its routine may free it */

	__atomic_store_n(&item->queued, 0, __ATOMIC_RELEASE);
	if (copy.routine_ex)
		copy.routine_ex(copy.device, copy.context, item);
	else
		copy.routine(copy.device, copy.context);
	if (copy.device)
		ObDereferenceObject(copy.device);
}

static void io_work_queue(PIO_WORKITEM item, PIO_WORKITEM_ROUTINE routine,
                          PIO_WORKITEM_ROUTINE_EX routine_ex, PVOID context)
{
	if (!nt_irql_at_most(DISPATCH_LEVEL, "IoQueueWorkItem", NULL))
		return;
	if (__atomic_exchange_n(&item->queued, 1, __ATOMIC_ACQUIRE)) {
		nt_misuse("IoQueueWorkItem", NULL, "the item is queued already");
		return;
	}
	item->routine = routine;
	item->routine_ex = routine_ex;
	item->context = context;
	item->work.routine = io_work_run;
	item->work.context = item;
	if (item->device)
		ObReferenceObject(item->device);
	nt_work_queue(&item->work);
}

void IoQueueWorkItem(PIO_WORKITEM item, PIO_WORKITEM_ROUTINE routine, WORK_QUEUE_TYPE type,
                     PVOID context)
{
	io_work_queue(item, routine, NULL, context);
}

void IoQueueWorkItemEx(PIO_WORKITEM item, PIO_WORKITEM_ROUTINE_EX routine, WORK_QUEUE_TYPE type,
                       PVOID context)
{
	io_work_queue(item, NULL, routine, context);
}
