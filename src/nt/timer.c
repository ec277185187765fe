/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

#include <sys/prctl.h>

/*
 * One thread, made with the first timer, sleeps until the next is due. The timers hang in a pairing
 * heap made of their own members, under the dispatcher lock: a timer that comes due is taken off,
 * signaled and its DPC queued in one step, so KeCancelTimer sees either all of it or nothing.
 */

static PKTIMER heap;
static uint32_t changed; /* the thread sleeps on it: counts when the first timer got earlier */
static bool thread_runs;

/* ---- the heap ---- */

static PKTIMER merge(PKTIMER a, PKTIMER b)
{
	PKTIMER t;

	if (!a || !b)
		return a ? a : b;
	if (b->DueTime < a->DueTime) {
		t = a;
		a = b;
		b = t;
	}
	b->Previous = a;
	b->Sibling = a->Child;
	if (a->Child)
		a->Child->Previous = b;
	a->Child = b;
	return a;
}

/* Merges a list of siblings in pairs, then the pairs. */
static PKTIMER merge_siblings(PKTIMER first)
{
	PKTIMER pairs = NULL, result = NULL;

	while (first) {
		PKTIMER a = first, b = a->Sibling, pair;

		first = b ? b->Sibling : NULL;
		a->Sibling = NULL;
		a->Previous = NULL;
		if (b) {
			b->Sibling = NULL;
			b->Previous = NULL;
		}
		pair = merge(a, b);
		pair->Sibling = pairs;
		pairs = pair;
	}
	while (pairs) {
		PKTIMER next = pairs->Sibling;

		pairs->Sibling = NULL;
		result = merge(result, pairs);
		pairs = next;
	}
	return result;
}

static void heap_insert(PKTIMER timer)
{
	timer->Child = timer->Sibling = timer->Previous = NULL;
	timer->Header.Inserted = TRUE;
	heap = merge(heap, timer);
}

static void heap_remove(PKTIMER timer)
{
	PKTIMER children = merge_siblings(timer->Child);

	if (timer == heap) {
		heap = children;
	} else {
		if (timer->Previous->Child == timer)
			timer->Previous->Child = timer->Sibling;
		else
			timer->Previous->Sibling = timer->Sibling;
		if (timer->Sibling)
			timer->Sibling->Previous = timer->Previous;
		heap = merge(heap, children);
	}
	timer->Header.Inserted = FALSE;
}

/* ---- the thread ---- */

static void rearm(PKTIMER timer, uint64_t now)
{
	uint64_t period = (uint64_t)timer->Period * 1000000;
	uint64_t due = timer->DueTime + period;

	/* Times that passed while the machine was busy are not made up for. */
	if (due <= now)
		due += (now - due) / period * period + period;
	timer->DueTime = due;
	heap_insert(timer);
}

/* The timer may be gone as soon as it is signaled, unless it is periodic. */
static void expire(PKTIMER timer, uint64_t now, struct nt_waiter **woken)
{
	PKDPC dpc = timer->Dpc;

	heap_remove(timer);
	if (timer->Period)
		rearm(timer, now);
	if (dpc)
		nt_dpc_queue(dpc, NULL, NULL);
	nt_header_signal(&timer->Header, 1, woken);
}

/* Runs what is due; returns when the next is. */
static uint64_t run_due(void)
{
	struct nt_waiter *woken = NULL;
	uint64_t next = NT_FOREVER;
	KIRQL irql = KeRaiseIrqlToDpcLevel();
	uint64_t now = nt_clock_now(NT_CLOCK_MONOTONIC);

	nt_lock_acquire(&nt_dispatcher_lock);
	while (heap && heap->DueTime <= now)
		expire(heap, now, &woken);
	if (heap)
		next = heap->DueTime;
	nt_lock_release(&nt_dispatcher_lock);
	nt_waiters_wake(woken);
	KeLowerIrql(irql); /* the DPCs */
	return next;
}

static void timer_thread(void *context)
{
	prctl(PR_SET_TIMERSLACK, 1UL);
	for (;;) {
		uint32_t seen = __atomic_load_n(&changed, __ATOMIC_ACQUIRE);
		uint64_t next = run_due();

		if (next > nt_clock_now(NT_CLOCK_MONOTONIC))
			nt_futex_wait(&changed, seen, NT_CLOCK_MONOTONIC, next);
	}
}

/* ---- the documented face ---- */

void KeInitializeTimer(PKTIMER timer)
{
	KeInitializeTimerEx(timer, NotificationTimer);
}

void KeInitializeTimerEx(PKTIMER timer, TIMER_TYPE type)
{
	memset(timer, 0, sizeof(*timer));
	nt_header_init(&timer->Header,
	               type == NotificationTimer ? NT_NOTIFICATION_TIMER : NT_SYNCHRONIZATION_TIMER,
	               0);
}

/* When it is due on the monotonic clock. */
static uint64_t due_time(LARGE_INTEGER due)
{
	enum nt_clock clock;
	uint64_t deadline = nt_deadline(&due, &clock);
	uint64_t now, here;

	if (clock == NT_CLOCK_MONOTONIC || deadline == NT_FOREVER)
		return deadline;
	now = nt_clock_now(NT_CLOCK_REALTIME);
	here = nt_clock_now(NT_CLOCK_MONOTONIC);
	return deadline > now ? here + (deadline - now) : here;
}

/* The timer stays where it is; the next one that is set tries again. */
static void no_thread(void)
{
	static struct nt_log_account account;

	nt_lock_acquire(&nt_dispatcher_lock);
	thread_runs = false;
	nt_lock_release(&nt_dispatcher_lock);
	nt_log_limited(&account, NT_LOG_OPERATOR, NT_LOG_ERROR, NULL,
	               "no thread for timers: none of them ends until there is");
}

static void wake_thread(bool start)
{
	__atomic_add_fetch(&changed, 1, __ATOMIC_RELEASE);
	if (!start)
		nt_futex_wake(&changed, 1);
	else if (!nt_thread_start("nt-timer", timer_thread, NULL))
		no_thread();
}

BOOLEAN KeSetTimerEx(PKTIMER timer, LARGE_INTEGER due, LONG period, PKDPC dpc)
{
	uint64_t at = due_time(due);
	bool was_set, earliest, start = false;

	if (!nt_irql_at_most(DISPATCH_LEVEL, __func__, NULL))
		return FALSE;
	if (period < 0) {
		nt_misuse(__func__, NULL, "a period must not be negative");
		return FALSE;
	}
	nt_lock_acquire(&nt_dispatcher_lock);
	was_set = timer->Header.Inserted;
	if (was_set)
		heap_remove(timer);
	nt_header_set(&timer->Header, 0);
	timer->DueTime = at;
	timer->Period = period;
	timer->Dpc = dpc;
	heap_insert(timer);
	earliest = heap == timer;
	if (!thread_runs)
		start = thread_runs = true;
	nt_lock_release(&nt_dispatcher_lock);
	if (earliest || start)
		wake_thread(start);
	return was_set;
}

BOOLEAN KeSetTimer(PKTIMER timer, LARGE_INTEGER due, PKDPC dpc)
{
	return KeSetTimerEx(timer, due, 0, dpc);
}

BOOLEAN KeSetCoalescableTimer(PKTIMER timer, LARGE_INTEGER due, ULONG period, ULONG tolerable_delay,
                              PKDPC dpc)
{
	return KeSetTimerEx(timer, due, (LONG)period, dpc);
}

BOOLEAN KeCancelTimer(PKTIMER timer)
{
	bool was_set;

	if (!nt_irql_at_most(DISPATCH_LEVEL, __func__, NULL))
		return FALSE;
	nt_lock_acquire(&nt_dispatcher_lock);
	was_set = timer->Header.Inserted;
	if (was_set)
		heap_remove(timer);
	nt_lock_release(&nt_dispatcher_lock);
	return was_set;
}

BOOLEAN KeReadStateTimer(PKTIMER timer)
{
	return nt_header_state(&timer->Header) > 0;
}
