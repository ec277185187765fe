/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * ERESOURCEs. Who gets it next, and when, is as documented for wdm's ExAcquireResource...() and
 * ExConvertExclusiveToSharedLite() in windows-driver-docs-ddi. Who lets go hands it over: whoever
 * was woken owns it already, and need not look again.
 */

#include "private.h"

#define OWNER_TAG 0x776f7352 /* "Rsow" */

struct waiter {
	LIST_ENTRY entry;
	ERESOURCE_THREAD thread;
	struct nt_latch granted;
};

static void lock(PERESOURCE r)
{
	nt_lock_acquire((struct nt_lock *)&r->Lock);
}

static void unlock(PERESOURCE r)
{
	nt_lock_release((struct nt_lock *)&r->Lock);
}

static ERESOURCE_THREAD this_thread(void)
{
	return ExGetCurrentResourceThread();
}

/* ---- who shares it; all with the lock held ---- */

static POWNER_ENTRY find_owner(PERESOURCE r, ERESOURCE_THREAD thread)
{
	for (ULONG i = 0; i < r->Sharing; i++)
		if (r->Owners[i].OwnerThread == thread)
			return &r->Owners[i];
	return NULL;
}

static void add_owner(PERESOURCE r, ERESOURCE_THREAD thread, ULONG count)
{
	POWNER_ENTRY owner = find_owner(r, thread);

	if (owner)
		owner->OwnerCount += count;
	else
		r->Owners[r->Sharing++] = (OWNER_ENTRY){ thread, count };
}

static void free_owners(PERESOURCE r)
{
	if (r->Owners != r->Own)
		ExFreePoolWithTag(r->Owners, OWNER_TAG);
}

/* Room for everybody who shares it or waits to, the caller, and the exclusive owner should it
 * convert. */
static bool reserve(PERESOURCE r)
{
	size_t needed = (size_t)r->Sharing + r->SharedWaiting + 2, capacity = needed * 2;
	POWNER_ENTRY more;

	if (needed <= r->Capacity)
		return true;
	more = nt_apart_allocate(capacity * sizeof(*more), OWNER_TAG);
	if (!more)
		return false;
	memcpy(more, r->Owners, r->Sharing * sizeof(*more));
	free_owners(r);
	r->Owners = more;
	r->Capacity = (ULONG)capacity;
	return true;
}

/* ---- handing over; with the lock held ---- */

static struct waiter *take_waiter(PLIST_ENTRY waiters, PULONG count)
{
	__atomic_store_n(count, *count - 1, __ATOMIC_RELAXED);
	return CONTAINING_RECORD(RemoveHeadList(waiters), struct waiter, entry);
}

static void grant_shared(PERESOURCE r)
{
	while (r->SharedWaiting) {
		struct waiter *w = take_waiter(&r->SharedWaiters, &r->SharedWaiting);

		add_owner(r, w->thread, 1);
		nt_latch_post(&w->granted);
	}
}

static void grant_exclusive(PERESOURCE r)
{
	struct waiter *w = take_waiter(&r->ExclusiveWaiters, &r->ExclusiveWaiting);

	r->Exclusive = w->thread;
	r->Depth = 1;
	nt_latch_post(&w->granted);
}

/* ---- acquiring ---- */

enum access { SHARED, SHARED_FIRST, SHARED_LAST, EXCLUSIVE };

/* May the thread have it now? Its owner is taken note of. */
static bool grant_now(PERESOURCE r, ERESOURCE_THREAD thread, enum access access)
{
	if (r->Exclusive == thread) {
		r->Depth++;
		return true;
	}
	if (r->Exclusive)
		return false;
	if (access == EXCLUSIVE) {
		if (r->Sharing)
			return false;
		r->Exclusive = thread;
		r->Depth = 1;
		return true;
	}
	if (r->ExclusiveWaiting && access != SHARED_FIRST &&
	    (access == SHARED_LAST || !find_owner(r, thread)))
		return false;
	add_owner(r, thread, 1);
	return true;
}

static void wait_for(PERESOURCE r, ERESOURCE_THREAD thread, enum access access)
{
	struct waiter w = { .thread = thread };

	if (access == EXCLUSIVE) {
		InsertTailList(&r->ExclusiveWaiters, &w.entry);
		__atomic_store_n(&r->ExclusiveWaiting, r->ExclusiveWaiting + 1, __ATOMIC_RELAXED);
	} else {
		InsertTailList(&r->SharedWaiters, &w.entry);
		__atomic_store_n(&r->SharedWaiting, r->SharedWaiting + 1, __ATOMIC_RELAXED);
	}
	unlock(r);
	nt_latch_wait(&w.granted);
}

/* Takes the lock once there is room in the table. False: there is none, and the caller does not
 * wait. */
static bool lock_with_room(PERESOURCE r, BOOLEAN wait)
{
	LARGE_INTEGER moment = { .QuadPart = -100000 }; /* 10 ms */

	lock(r);
	while (!reserve(r)) {
		unlock(r);
		if (!wait)
			return false;
		KeDelayExecutionThread(KernelMode, FALSE, &moment);
		lock(r);
	}
	return true;
}

static BOOLEAN acquire(PERESOURCE r, BOOLEAN wait, enum access access, const char *function)
{
	ERESOURCE_THREAD thread = this_thread();
	bool shares;

	if (!nt_irql_at_most(APC_LEVEL, function, NULL) || !lock_with_room(r, wait))
		return FALSE;
	if (grant_now(r, thread, access)) {
		unlock(r);
		return TRUE;
	}
	shares = find_owner(r,
	                    thread); /* else it would have been granted: somebody waits for that */
	if (!wait || shares) {
		unlock(r);
		if (wait)
			nt_misuse(function, NULL,
			          "the caller shares it, and would wait for itself");
		return FALSE;
	}
	wait_for(r, thread, access);
	return TRUE;
}

BOOLEAN ExAcquireResourceExclusiveLite(PERESOURCE resource, BOOLEAN wait)
{
	return acquire(resource, wait, EXCLUSIVE, __func__);
}

BOOLEAN ExAcquireResourceSharedLite(PERESOURCE resource, BOOLEAN wait)
{
	return acquire(resource, wait, SHARED, __func__);
}

BOOLEAN ExAcquireSharedStarveExclusive(PERESOURCE resource, BOOLEAN wait)
{
	return acquire(resource, wait, SHARED_FIRST, __func__);
}

BOOLEAN ExAcquireSharedWaitForExclusive(PERESOURCE resource, BOOLEAN wait)
{
	return acquire(resource, wait, SHARED_LAST, __func__);
}

/* ---- letting go ---- */

static void release_exclusive(PERESOURCE r)
{
	if (--r->Depth)
		return;
	r->Exclusive = 0;
	if (r->SharedWaiting)
		grant_shared(r);
	else if (r->ExclusiveWaiting)
		grant_exclusive(r);
}

static void release_shared(PERESOURCE r, POWNER_ENTRY owner)
{
	if (--owner->OwnerCount)
		return;
	*owner = r->Owners[--r->Sharing];
	if (r->Sharing)
		return;
	if (r->ExclusiveWaiting)
		grant_exclusive(r);
	else
		grant_shared(r);
}

static void release(PERESOURCE r, ERESOURCE_THREAD thread, const char *function)
{
	POWNER_ENTRY owner = NULL;
	bool owned;

	lock(r);
	owned = r->Exclusive == thread || (owner = find_owner(r, thread));
	if (owner)
		release_shared(r, owner);
	else if (owned)
		release_exclusive(r);
	unlock(r);
	if (!owned)
		nt_misuse(function, NULL, "it is not its owner's");
}

void ExReleaseResourceLite(PERESOURCE resource)
{
	release(resource, this_thread(), __func__);
}

void ExReleaseResourceForThreadLite(PERESOURCE resource, ERESOURCE_THREAD owner)
{
	release(resource, owner, __func__);
}

void ExSetResourceOwnerPointer(PERESOURCE resource, PVOID owner)
{
	ERESOURCE_THREAD thread = this_thread(), pointer = (ERESOURCE_THREAD)owner;
	POWNER_ENTRY entry = NULL;
	bool owned;

	if ((pointer & 3) != 3) {
		nt_misuse(__func__, NULL, "the two low bits of the pointer are set");
		return;
	}
	lock(resource);
	owned = resource->Exclusive == thread || (entry = find_owner(resource, thread));
	if (entry) {
		ULONG count = entry->OwnerCount;

		*entry = resource->Owners[--resource->Sharing];
		add_owner(resource, pointer, count);
	} else if (owned) {
		resource->Exclusive = pointer;
	}
	unlock(resource);
	if (!owned)
		nt_misuse(__func__, NULL, "the caller does not own it");
}

void ExConvertExclusiveToSharedLite(PERESOURCE resource)
{
	ERESOURCE_THREAD thread = this_thread();
	bool owned;

	lock(resource);
	owned = resource->Exclusive == thread;
	if (owned) {
		add_owner(resource, thread, resource->Depth);
		resource->Exclusive = 0;
		resource->Depth = 0;
		grant_shared(resource);
	}
	unlock(resource);
	if (!owned)
		nt_misuse(__func__, NULL, "the caller has no exclusive access");
}

/* ---- its life, and what it tells ---- */

NTSTATUS ExInitializeResourceLite(PERESOURCE resource)
{
	*resource =
		(ERESOURCE){ .Owners = resource->Own, .Capacity = RTL_NUMBER_OF(resource->Own) };
	InitializeListHead(&resource->SharedWaiters);
	InitializeListHead(&resource->ExclusiveWaiters);
	return STATUS_SUCCESS;
}

NTSTATUS ExDeleteResourceLite(PERESOURCE resource)
{
	bool used;

	lock(resource);
	used = resource->Exclusive || resource->Sharing || resource->SharedWaiting ||
	       resource->ExclusiveWaiting;
	if (!used) {
		free_owners(resource);
		resource->Owners = NULL;
		resource->Capacity = 0;
	}
	unlock(resource);
	if (!used)
		return STATUS_SUCCESS;
	nt_misuse(__func__, NULL, "somebody has it, or waits for it");
	return STATUS_UNSUCCESSFUL;
}

NTSTATUS ExReinitializeResourceLite(PERESOURCE resource)
{
	NTSTATUS status = ExDeleteResourceLite(resource);

	return NT_SUCCESS(status) ? ExInitializeResourceLite(resource) : status;
}

BOOLEAN ExIsResourceAcquiredExclusiveLite(PERESOURCE resource)
{
	BOOLEAN yes;

	lock(resource);
	yes = resource->Exclusive == this_thread();
	unlock(resource);
	return yes;
}

ULONG ExIsResourceAcquiredSharedLite(PERESOURCE resource)
{
	ERESOURCE_THREAD thread = this_thread();
	POWNER_ENTRY owner;
	ULONG count;

	lock(resource);
	owner = find_owner(resource, thread);
	count = resource->Exclusive == thread ? resource->Depth : owner ? owner->OwnerCount : 0;
	unlock(resource);
	return count;
}

ULONG ExGetExclusiveWaiterCount(PERESOURCE resource)
{
	return __atomic_load_n(&resource->ExclusiveWaiting, __ATOMIC_RELAXED);
}

ULONG ExGetSharedWaiterCount(PERESOURCE resource)
{
	return __atomic_load_n(&resource->SharedWaiting, __ATOMIC_RELAXED);
}
