/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

/* These may be called above DISPATCH_LEVEL too; KeAcquireSpinLockRaiseToDpc never lowers. */

PLIST_ENTRY ExInterlockedInsertHeadList(PLIST_ENTRY head, PLIST_ENTRY entry, PKSPIN_LOCK lock)
{
	KIRQL irql = KeAcquireSpinLockRaiseToDpc(lock);
	PLIST_ENTRY first = head->Flink;

	InsertHeadList(head, entry);
	KeReleaseSpinLock(lock, irql);
	return first == head ? NULL : first;
}

PLIST_ENTRY ExInterlockedInsertTailList(PLIST_ENTRY head, PLIST_ENTRY entry, PKSPIN_LOCK lock)
{
	KIRQL irql = KeAcquireSpinLockRaiseToDpc(lock);
	PLIST_ENTRY last = head->Blink;

	InsertTailList(head, entry);
	KeReleaseSpinLock(lock, irql);
	return last == head ? NULL : last;
}

PLIST_ENTRY ExInterlockedRemoveHeadList(PLIST_ENTRY head, PKSPIN_LOCK lock)
{
	KIRQL irql = KeAcquireSpinLockRaiseToDpc(lock);
	PLIST_ENTRY entry = IsListEmpty(head) ? NULL : RemoveHeadList(head);

	KeReleaseSpinLock(lock, irql);
	return entry;
}

PSINGLE_LIST_ENTRY ExInterlockedPopEntryList(PSINGLE_LIST_ENTRY head, PKSPIN_LOCK lock)
{
	KIRQL irql = KeAcquireSpinLockRaiseToDpc(lock);
	PSINGLE_LIST_ENTRY entry = PopEntryList(head);

	KeReleaseSpinLock(lock, irql);
	return entry;
}

PSINGLE_LIST_ENTRY ExInterlockedPushEntryList(PSINGLE_LIST_ENTRY head, PSINGLE_LIST_ENTRY entry,
                                              PKSPIN_LOCK lock)
{
	KIRQL irql = KeAcquireSpinLockRaiseToDpc(lock);
	PSINGLE_LIST_ENTRY first = head->Next;

	PushEntryList(head, entry);
	KeReleaseSpinLock(lock, irql);
	return first;
}

/* An SLIST_HEADER has a lock of our own kind inside. */
static struct nt_lock *slist_lock(PSLIST_HEADER head)
{
	return (struct nt_lock *)&head->Lock;
}

PSLIST_ENTRY ExpInterlockedPushEntrySList(PSLIST_HEADER head, PSLIST_ENTRY entry)
{
	PSLIST_ENTRY first;

	nt_lock_acquire(slist_lock(head));
	first = head->First;
	entry->Next = first;
	head->First = entry;
	__atomic_store_n(&head->Depth, (USHORT)(head->Depth + 1), __ATOMIC_RELAXED);
	nt_lock_release(slist_lock(head));
	return first;
}

PSLIST_ENTRY ExpInterlockedPopEntrySList(PSLIST_HEADER head)
{
	PSLIST_ENTRY first;

	nt_lock_acquire(slist_lock(head));
	first = head->First;
	if (first) {
		head->First = first->Next;
		__atomic_store_n(&head->Depth, (USHORT)(head->Depth - 1), __ATOMIC_RELAXED);
	}
	nt_lock_release(slist_lock(head));
	return first;
}

PSLIST_ENTRY ExpInterlockedFlushSList(PSLIST_HEADER head)
{
	PSLIST_ENTRY first;

	nt_lock_acquire(slist_lock(head));
	first = head->First;
	head->First = NULL;
	__atomic_store_n(&head->Depth, 0, __ATOMIC_RELAXED);
	nt_lock_release(slist_lock(head));
	return first;
}

USHORT ExQueryDepthSList(PSLIST_HEADER head)
{
	return __atomic_load_n(&head->Depth, __ATOMIC_RELAXED);
}
