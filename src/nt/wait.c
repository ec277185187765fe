/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

#include <sched.h>

/*
 * A dispatcher object's word holds its state (low half) and how many wait blocks hang on it (high
 * half). While nobody waits, the state changes by one compare-and-swap of the word and the object
 * is not touched after it: whoever sees the new state may free it. While somebody waits, the state
 * changes under the dispatcher lock only, which makes WaitAll atomic and lets the signaler pick
 * whom it releases. A waiter takes itself off only under that lock.
 */

#define ONE_WAITER (INT64_C(1) << 32)

struct nt_waiter {
	uint32_t released; /* futex; set last, without the lock */
	bool satisfied;    /* under the lock: somebody released us */
	bool all;
	NTSTATUS status;
	uint32_t count;
	uint32_t thread;
	KWAIT_BLOCK *blocks;
	struct nt_waiter *next_woken;
};

struct nt_lock nt_dispatcher_lock;

static inline LONG state_of(LONG64 word)
{
	return (LONG)(uint32_t)word;
}

static inline LONG64 with_state(LONG64 word, LONG state)
{
	return (LONG64)(((uint64_t)word & ~UINT64_C(0xffffffff)) | (uint32_t)state);
}

static inline bool has_waiters(LONG64 word)
{
	return (uint64_t)word >> 32 != 0;
}

static inline LONG64 load_word(const DISPATCHER_HEADER *h)
{
	return __atomic_load_n(&h->Word, __ATOMIC_ACQUIRE);
}

static inline bool swap_word(DISPATCHER_HEADER *h, LONG64 *old, LONG64 new)
{
	return __atomic_compare_exchange_n(&h->Word, old, new, false, __ATOMIC_ACQ_REL,
	                                   __ATOMIC_ACQUIRE);
}

void nt_header_init(DISPATCHER_HEADER *h, enum nt_object_type type, LONG state)
{
	memset(h, 0, sizeof(*h));
	h->Type = (UCHAR)type;
	h->SignalState = state;
	InitializeListHead(&h->WaitListHead);
}

LONG nt_header_state(const DISPATCHER_HEADER *h)
{
	return state_of(load_word(h));
}

bool nt_header_set_quick(DISPATCHER_HEADER *h, LONG state, LONG *old)
{
	LONG64 word = __atomic_load_n(&h->Word, __ATOMIC_RELAXED);

	do {
		if (has_waiters(word))
			return false;
	} while (!swap_word(h, &word, with_state(word, state)));
	*old = state_of(word);
	return true;
}

LONG nt_header_set(DISPATCHER_HEADER *h, LONG state)
{
	LONG64 word = __atomic_load_n(&h->Word, __ATOMIC_RELAXED);

	while (!swap_word(h, &word, with_state(word, state)))
		;
	return state_of(word);
}

/* ---- what a state means to a thread ---- */

static bool owned_by(const DISPATCHER_HEADER *h, uint32_t thread)
{
	const KMUTEX *mutex = CONTAINING_RECORD(h, const KMUTEX, Header);

	return h->Type == NT_MUTEX &&
	       (uintptr_t)__atomic_load_n(&mutex->OwnerThread, __ATOMIC_RELAXED) == thread;
}

static bool is_signaled(const DISPATCHER_HEADER *h, LONG state, uint32_t thread)
{
	return state > 0 || owned_by(h, thread);
}

/* The state after one wait on it succeeded. */
static LONG consumed(const DISPATCHER_HEADER *h, LONG state)
{
	switch (h->Type) {
	case NT_SYNCHRONIZATION_EVENT:
	case NT_SYNCHRONIZATION_TIMER:
		return 0;
	case NT_SEMAPHORE:
	case NT_MUTEX:
		return state - 1;
	default:
		return state;
	}
}

static void note_owner(DISPATCHER_HEADER *h, uint32_t thread)
{
	if (h->Type == NT_MUTEX)
		__atomic_store_n(&CONTAINING_RECORD(h, KMUTEX, Header)->OwnerThread,
		                 (PVOID)(uintptr_t)thread, __ATOMIC_RELAXED);
}

/* Takes it without the lock, if that is possible. */
static bool try_take(DISPATCHER_HEADER *h, uint32_t thread)
{
	LONG64 word = load_word(h);

	for (;;) {
		LONG state = state_of(word);
		LONG next;

		if (!is_signaled(h, state, thread))
			return false;
		next = consumed(h, state);
		if (next == state) /* it stays as it is: seeing it is taking it */
			return true;
		if (has_waiters(word))
			return false;
		if (swap_word(h, &word, with_state(word, next))) {
			note_owner(h, thread);
			return true;
		}
	}
}

/* ---- under the dispatcher lock ---- */

static bool waiter_can_go(const struct nt_waiter *w)
{
	uint32_t i;

	for (i = 0; i < w->count; i++) {
		const DISPATCHER_HEADER *h = w->blocks[i].Object;

		if (!is_signaled(h, nt_header_state(h), w->thread))
			return false;
	}
	return true;
}

static void take(DISPATCHER_HEADER *h, uint32_t thread)
{
	nt_header_set(h, consumed(h, nt_header_state(h)));
	note_owner(h, thread);
}

static void waiter_attach(struct nt_waiter *w)
{
	uint32_t i;

	for (i = 0; i < w->count; i++) {
		KWAIT_BLOCK *b = &w->blocks[i];

		b->Waiter = w;
		InsertTailList(&b->Object->WaitListHead, &b->WaitListEntry);
		__atomic_fetch_add(&b->Object->Word, ONE_WAITER, __ATOMIC_ACQ_REL);
	}
}

static void waiter_detach(struct nt_waiter *w)
{
	uint32_t i;

	for (i = 0; i < w->count; i++) {
		KWAIT_BLOCK *b = &w->blocks[i];

		RemoveEntryList(&b->WaitListEntry);
		__atomic_fetch_sub(&b->Object->Word, ONE_WAITER, __ATOMIC_ACQ_REL);
	}
}

/* Takes what the waiter waits for, if it can be had. */
static bool waiter_satisfy(struct nt_waiter *w)
{
	uint32_t i;

	if (w->all) {
		if (!waiter_can_go(w))
			return false;
		for (i = 0; i < w->count; i++)
			take(w->blocks[i].Object, w->thread);
		w->status = STATUS_SUCCESS;
		return true;
	}
	for (i = 0; i < w->count; i++) {
		DISPATCHER_HEADER *h = w->blocks[i].Object;

		if (is_signaled(h, nt_header_state(h), w->thread)) {
			take(h, w->thread);
			w->status = STATUS_WAIT_0 + (NTSTATUS)i;
			return true;
		}
	}
	return false;
}

/* The first waiter on the object that can go, in the order they came. */
static struct nt_waiter *next_to_go(DISPATCHER_HEADER *h)
{
	LIST_ENTRY *e;

	for (e = h->WaitListHead.Flink; e != &h->WaitListHead; e = e->Flink) {
		struct nt_waiter *w = CONTAINING_RECORD(e, KWAIT_BLOCK, WaitListEntry)->Waiter;

		if (waiter_satisfy(w))
			return w;
	}
	return NULL;
}

static void release_waiters(DISPATCHER_HEADER *h, struct nt_waiter **woken)
{
	struct nt_waiter *w;

	while (nt_header_state(h) > 0 && (w = next_to_go(h)) != NULL) {
		waiter_detach(w);
		w->satisfied = true;
		w->next_woken = *woken;
		*woken = w;
	}
}

LONG nt_header_signal(DISPATCHER_HEADER *h, LONG state, struct nt_waiter **woken)
{
	LONG old;

	/* Those who waited may have left since; then the object is not touched after the swap. A
	 * waiter that is still there keeps it alive: it cannot leave without the lock. */
	if (nt_header_set_quick(h, state, &old))
		return old;
	old = nt_header_set(h, state);
	release_waiters(h, woken);
	return old;
}

bool nt_header_add(DISPATCHER_HEADER *h, LONG n, LONG limit, LONG *old, struct nt_waiter **woken)
{
	LONG64 word = load_word(h);

	do {
		*old = state_of(word);
		if (n < 1 || *old > limit - n)
			return false;
	} while (!swap_word(h, &word, with_state(word, *old + n)));
	if (has_waiters(word))
		release_waiters(h, woken);
	return true;
}

void nt_waiters_wake(struct nt_waiter *woken)
{
	while (woken) {
		struct nt_waiter *next = woken->next_woken;

		/* From the store on the waiter's stack is its own again; a wake that comes late
		 * hits an address only. */
		__atomic_store_n(&woken->released, 1, __ATOMIC_RELEASE);
		nt_futex_wake(&woken->released, 1);
		woken = next;
	}
}

/* ---- waiting ---- */

uint64_t nt_deadline(const LARGE_INTEGER *timeout, enum nt_clock *clock)
{
	uint64_t now, ns;

	*clock = NT_CLOCK_MONOTONIC;
	if (timeout == NULL)
		return NT_FOREVER;
	if (timeout->QuadPart > 0) {
		*clock = NT_CLOCK_REALTIME;
		if (timeout->QuadPart <= NT_EPOCH_100NS)
			return 0;
		ns = (uint64_t)(timeout->QuadPart - NT_EPOCH_100NS);
		return ns > INT64_MAX / 100 ? NT_FOREVER : ns * 100;
	}
	now = nt_clock_now(NT_CLOCK_MONOTONIC);
	ns = 0 - (uint64_t)timeout->QuadPart;
	return ns > (INT64_MAX - now) / 100 ? NT_FOREVER : now + ns * 100;
}

/* True: released. False: the deadline passed first, and the waiter is off all lists. */
static bool sleep_until_released(struct nt_waiter *w, const LARGE_INTEGER *timeout)
{
	enum nt_clock clock;
	uint64_t deadline = nt_deadline(timeout, &clock);

	while (__atomic_load_n(&w->released, __ATOMIC_ACQUIRE) == 0) {
		bool gone;

		if (nt_futex_wait(&w->released, 0, clock, deadline))
			continue;
		nt_lock_acquire(&nt_dispatcher_lock);
		gone = !w->satisfied;
		if (gone)
			waiter_detach(w);
		nt_lock_release(&nt_dispatcher_lock);
		if (gone)
			return false;
		deadline = NT_FOREVER; /* about to be released */
	}
	return true;
}

static NTSTATUS wait_slow(KWAIT_BLOCK *blocks, uint32_t count, bool all,
                          const LARGE_INTEGER *timeout)
{
	struct nt_waiter w = {
		.blocks = blocks, .count = count, .all = all, .thread = nt_self_id()
	};
	bool poll = timeout && timeout->QuadPart == 0;
	bool done;

	nt_lock_acquire(&nt_dispatcher_lock);
	/* On the lists first: from then on nobody changes a state without the lock. */
	waiter_attach(&w);
	done = waiter_satisfy(&w);
	if (done || poll)
		waiter_detach(&w);
	nt_lock_release(&nt_dispatcher_lock);
	if (done)
		return w.status;
	if (poll || !sleep_until_released(&w, timeout))
		return STATUS_TIMEOUT;
	return w.status;
}

/* Waiting is for threads that may sleep; looking is for all up to DISPATCH_LEVEL. */
static bool may_wait(const char *function, const LARGE_INTEGER *timeout)
{
	if (timeout && timeout->QuadPart == 0)
		return nt_irql_at_most(DISPATCH_LEVEL, function, NULL);
	return nt_irql_at_most(APC_LEVEL, function, "a wait with a timeout other than 0");
}

static bool is_waitable(const void *object, const char *function)
{
	const DISPATCHER_HEADER *h = object;

	if (likely(h && h->Type >= NT_NOTIFICATION_EVENT && h->Type <= NT_SYNCHRONIZATION_TIMER))
		return true;
	nt_misuse(function, NULL, "the object is not an initialized dispatcher object");
	return false;
}

NTSTATUS KeWaitForSingleObject(PVOID object, KWAIT_REASON reason, KPROCESSOR_MODE mode,
                               BOOLEAN alertable, PLARGE_INTEGER timeout)
{
	KWAIT_BLOCK block;

	if (!may_wait(__func__, timeout) || !is_waitable(object, __func__))
		return STATUS_UNSUCCESSFUL;
	if (try_take(object, nt_self_id()))
		return STATUS_SUCCESS;
	block.Object = object;
	return wait_slow(&block, 1, false, timeout);
}

NTSTATUS KeWaitForMultipleObjects(ULONG count, PVOID objects[], WAIT_TYPE type, KWAIT_REASON reason,
                                  KPROCESSOR_MODE mode, BOOLEAN alertable, PLARGE_INTEGER timeout,
                                  PKWAIT_BLOCK blocks)
{
	KWAIT_BLOCK own[MAXIMUM_WAIT_OBJECTS];
	ULONG i;

	if (!may_wait(__func__, timeout))
		return STATUS_UNSUCCESSFUL;
	if (count == 0 || count > MAXIMUM_WAIT_OBJECTS ||
	    (count > THREAD_WAIT_OBJECTS && !blocks)) {
		nt_misuse(__func__, NULL,
		          "1 to 64 objects, and more than 3 need an array of wait blocks");
		return STATUS_INVALID_PARAMETER;
	}
	for (i = 0; i < count; i++) {
		if (!is_waitable(objects[i], __func__))
			return STATUS_INVALID_PARAMETER;
		own[i].Object = objects[i];
	}
	return wait_slow(own, count, type == WaitAll, timeout);
}

NTSTATUS KeDelayExecutionThread(KPROCESSOR_MODE mode, BOOLEAN alertable, PLARGE_INTEGER interval)
{
	uint32_t never = 0;
	enum nt_clock clock;
	uint64_t deadline;

	if (!nt_irql_at_most(APC_LEVEL, __func__, NULL))
		return STATUS_UNSUCCESSFUL;
	if (interval->QuadPart == 0) {
		sched_yield();
		return STATUS_SUCCESS;
	}
	deadline = nt_deadline(interval, &clock);
	while (nt_futex_wait(&never, 0, clock, deadline))
		;
	return STATUS_SUCCESS;
}
