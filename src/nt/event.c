/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

void KeInitializeEvent(PRKEVENT event, EVENT_TYPE type, BOOLEAN state)
{
	nt_header_init(&event->Header,
	               type == NotificationEvent ? NT_NOTIFICATION_EVENT : NT_SYNCHRONIZATION_EVENT,
	               state != FALSE);
}

LONG KeSetEvent(PRKEVENT event, KPRIORITY increment, BOOLEAN wait)
{
	struct nt_waiter *woken = NULL;
	LONG old;

	if (!nt_irql_at_most(DISPATCH_LEVEL, __func__, NULL))
		return 0;
	if (nt_header_set_quick(&event->Header, 1, &old))
		return old;
	nt_lock_acquire(&nt_dispatcher_lock);
	old = nt_header_signal(&event->Header, 1, &woken);
	nt_lock_release(&nt_dispatcher_lock);
	nt_waiters_wake(woken);
	return old;
}

LONG KeResetEvent(PRKEVENT event)
{
	LONG old;

	if (nt_header_set_quick(&event->Header, 0, &old))
		return old;
	nt_lock_acquire(&nt_dispatcher_lock);
	old = nt_header_set(&event->Header, 0);
	nt_lock_release(&nt_dispatcher_lock);
	return old;
}

void KeClearEvent(PRKEVENT event)
{
	KeResetEvent(event);
}

LONG KePulseEvent(PRKEVENT event, KPRIORITY increment, BOOLEAN wait)
{
	struct nt_waiter *woken = NULL;
	LONG old;

	if (!nt_irql_at_most(DISPATCH_LEVEL, __func__, NULL))
		return 0;
	nt_lock_acquire(&nt_dispatcher_lock);
	if (!nt_header_set_quick(&event->Header, 0, &old)) {
		old = nt_header_signal(&event->Header, 1, &woken);
		nt_header_set(&event->Header, 0);
	}
	nt_lock_release(&nt_dispatcher_lock);
	nt_waiters_wake(woken);
	return old;
}

LONG KeReadStateEvent(PRKEVENT event)
{
	return nt_header_state(&event->Header);
}

void KeInitializeSemaphore(PRKSEMAPHORE semaphore, LONG count, LONG limit)
{
	nt_header_init(&semaphore->Header, NT_SEMAPHORE, count);
	semaphore->Limit = limit;
}

LONG KeReleaseSemaphore(PRKSEMAPHORE semaphore, KPRIORITY increment, LONG adjustment, BOOLEAN wait)
{
	struct nt_waiter *woken = NULL;
	LONG limit = semaphore->Limit;
	LONG old;
	bool fits;

	if (!nt_irql_at_most(DISPATCH_LEVEL, __func__, NULL))
		return 0;
	nt_lock_acquire(&nt_dispatcher_lock);
	fits = nt_header_add(&semaphore->Header, adjustment, limit, &old, &woken);
	nt_lock_release(&nt_dispatcher_lock);
	nt_waiters_wake(woken);
	if (!fits)
		nt_misuse(__func__, NULL, "the adjustment must be > 0 and not pass the limit");
	return old;
}

LONG KeReadStateSemaphore(PRKSEMAPHORE semaphore)
{
	return nt_header_state(&semaphore->Header);
}

void KeInitializeMutex(PRKMUTEX mutex, ULONG level)
{
	nt_header_init(&mutex->Header, NT_MUTEX, 1);
	mutex->OwnerThread = NULL;
}

LONG KeReleaseMutex(PRKMUTEX mutex, BOOLEAN wait)
{
	struct nt_waiter *woken = NULL;
	LONG old = nt_header_state(&mutex->Header);
	LONG unused;

	if (!nt_irql_at_most(DISPATCH_LEVEL, __func__, NULL))
		return old;
	if ((uintptr_t)__atomic_load_n(&mutex->OwnerThread, __ATOMIC_RELAXED) != nt_self_id()) {
		nt_misuse(__func__, NULL, "only the thread that owns it may release it");
		return old;
	}
	if (old == 0) /* the last time */
		__atomic_store_n(&mutex->OwnerThread, NULL, __ATOMIC_RELAXED);
	if (nt_header_set_quick(&mutex->Header, old + 1, &unused))
		return old;
	nt_lock_acquire(&nt_dispatcher_lock);
	nt_header_signal(&mutex->Header, old + 1, &woken);
	nt_lock_release(&nt_dispatcher_lock);
	nt_waiters_wake(woken);
	return old;
}

LONG KeReadStateMutex(PRKMUTEX mutex)
{
	return nt_header_state(&mutex->Header);
}

/* ---- fast mutexes: a futex lock that remembers its owner ---- */

static struct nt_lock *fast_lock(PFAST_MUTEX mutex)
{
	return (struct nt_lock *)&mutex->Lock;
}

static bool is_mine(PFAST_MUTEX mutex)
{
	return (uintptr_t)__atomic_load_n(&mutex->Owner, __ATOMIC_RELAXED) == nt_self_id();
}

static void set_owner(PFAST_MUTEX mutex, uint32_t id)
{
	__atomic_store_n(&mutex->Owner, (PVOID)(uintptr_t)id, __ATOMIC_RELAXED);
}

void ExInitializeFastMutex(PFAST_MUTEX mutex)
{
	memset(mutex, 0, sizeof(*mutex));
}

void ExAcquireFastMutexUnsafe(PFAST_MUTEX mutex)
{
	if (is_mine(mutex))
		nt_die("misuse of ExAcquireFastMutex: the caller holds the mutex already");
	nt_irql_at_most(APC_LEVEL, "ExAcquireFastMutex", NULL);
	nt_lock_acquire(fast_lock(mutex));
	set_owner(mutex, nt_self_id());
}

void ExReleaseFastMutexUnsafe(PFAST_MUTEX mutex)
{
	if (!is_mine(mutex)) {
		nt_misuse("ExReleaseFastMutex", NULL, "the caller does not hold the mutex");
		return;
	}
	set_owner(mutex, 0);
	nt_lock_release(fast_lock(mutex));
}

void ExAcquireFastMutex(PFAST_MUTEX mutex)
{
	KIRQL old = KeGetCurrentIrql();

	ExAcquireFastMutexUnsafe(mutex);
	if (old < APC_LEVEL)
		KfRaiseIrql(APC_LEVEL);
	mutex->OldIrql = old;
}

BOOLEAN ExTryToAcquireFastMutex(PFAST_MUTEX mutex)
{
	uint32_t free = 0;
	KIRQL old = KeGetCurrentIrql();

	if (!nt_irql_at_most(APC_LEVEL, __func__, NULL) ||
	    !__atomic_compare_exchange_n(&mutex->Lock, &free, 1, false, __ATOMIC_ACQUIRE,
	                                 __ATOMIC_RELAXED))
		return FALSE;
	set_owner(mutex, nt_self_id());
	if (old < APC_LEVEL)
		KfRaiseIrql(APC_LEVEL);
	mutex->OldIrql = old;
	return TRUE;
}

void ExReleaseFastMutex(PFAST_MUTEX mutex)
{
	KIRQL old = (KIRQL)mutex->OldIrql;

	ExReleaseFastMutexUnsafe(mutex);
	KeLowerIrql(old);
}
