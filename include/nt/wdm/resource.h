/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_RESOURCE_H
#define NT_WDM_RESOURCE_H

#include "../ntstatus.h"
#include "irql.h"

EXTERN_C_START

/*
 * Reader/writer locks that a thread waits for. IRQL <= APC_LEVEL. The kernel wants a critical
 * region around them; here nothing depends on it.
 */

/* ---- resources: owned by threads, which may take them again ---- */

typedef ULONG_PTR ERESOURCE_THREAD, *PERESOURCE_THREAD;

typedef struct _OWNER_ENTRY {
	ERESOURCE_THREAD OwnerThread;
	ULONG OwnerCount;
} OWNER_ENTRY, *POWNER_ENTRY;

/* Members are private. */
typedef struct _ERESOURCE {
	ULONG Lock;
	ULONG Depth;                /* of the exclusive owner */
	ERESOURCE_THREAD Exclusive; /* 0: nobody */
	POWNER_ENTRY Owners;        /* who shares it */
	ULONG Sharing, Capacity;
	OWNER_ENTRY Own[4]; /* what Owners points at, until it has to be more */
	LIST_ENTRY SharedWaiters, ExclusiveWaiters;
	ULONG SharedWaiting, ExclusiveWaiting;
} ERESOURCE, *PERESOURCE;

/* STATUS_SUCCESS. It must not be moved. Delete it: it may have memory of its own. */
NTKERNELAPI NTSTATUS ExInitializeResourceLite(_Out_ PERESOURCE resource);
/* STATUS_SUCCESS; misuse where somebody has it or waits: STATUS_UNSUCCESSFUL, and it is as it was.
 */
NTKERNELAPI NTSTATUS ExDeleteResourceLite(_Inout_ PERESOURCE resource);
NTKERNELAPI NTSTATUS ExReinitializeResourceLite(_Inout_ PERESOURCE resource);

/*
 * TRUE: acquired. FALSE: it could not be had at once, and `wait` is FALSE. The exclusive owner may
 * take it any number of times, either way. Who shares it and waits for exclusive access, or behind
 * somebody who does, waits for himself: misuse (FALSE).
 *
 * Shared: behind those who wait for exclusive access, unless the caller shares it already;
 * StarveExclusive: in front of them; WaitForExclusive: behind them in any case. When the exclusive
 * owner lets go all who wait to share it get it, when the last of those does, who waits longest for
 * exclusive access.
 */
NTKERNELAPI BOOLEAN ExAcquireResourceExclusiveLite(_Inout_ PERESOURCE resource, _In_ BOOLEAN wait);
NTKERNELAPI BOOLEAN ExAcquireResourceSharedLite(_Inout_ PERESOURCE resource, _In_ BOOLEAN wait);
NTKERNELAPI BOOLEAN ExAcquireSharedStarveExclusive(_Inout_ PERESOURCE resource, _In_ BOOLEAN wait);
NTKERNELAPI BOOLEAN ExAcquireSharedWaitForExclusive(_Inout_ PERESOURCE resource, _In_ BOOLEAN wait);
#define ExTryToAcquireResourceExclusiveLite(resource) \
	ExAcquireResourceExclusiveLite((resource), FALSE)

/* Once less; misuse where the owner has it not. IRQL <= DISPATCH_LEVEL. */
NTKERNELAPI void ExReleaseResourceLite(_Inout_ PERESOURCE resource);
NTKERNELAPI void ExReleaseResourceForThreadLite(_Inout_ PERESOURCE resource,
                                                _In_ ERESOURCE_THREAD owner);
/* The calling thread's share or exclusive access is from now on that of `owner`, an address with
 * its two low bits set; ExReleaseResourceForThreadLite() gives it back, on any thread. */
NTKERNELAPI void ExSetResourceOwnerPointer(_Inout_ PERESOURCE resource, _In_ PVOID owner);
/* The exclusive owner shares it from now on, with all who wait to. Another's: misuse. */
NTKERNELAPI void ExConvertExclusiveToSharedLite(_Inout_ PERESOURCE resource);

/* Has the calling thread exclusive access? How often has it any? Any IRQL <= DISPATCH_LEVEL. */
NTKERNELAPI BOOLEAN ExIsResourceAcquiredExclusiveLite(_In_ PERESOURCE resource);
NTKERNELAPI ULONG ExIsResourceAcquiredSharedLite(_In_ PERESOURCE resource);
#define ExIsResourceAcquiredLite(resource) ExIsResourceAcquiredSharedLite(resource)
NTKERNELAPI ULONG ExGetExclusiveWaiterCount(_In_ PERESOURCE resource);
NTKERNELAPI ULONG ExGetSharedWaiterCount(_In_ PERESOURCE resource);

#define ExGetCurrentResourceThread()         ((ERESOURCE_THREAD)PsGetCurrentThread())
#define ExDisableResourceBoostLite(resource) ((void)(resource))

/* The same with the critical region. The pointer that they return is of no use to drivers: NULL. */
FORCEINLINE PVOID ExEnterCriticalRegionAndAcquireResourceExclusive(_Inout_ PERESOURCE resource)
{
	KeEnterCriticalRegion();
	ExAcquireResourceExclusiveLite(resource, TRUE);
	return NULL;
}
FORCEINLINE PVOID ExEnterCriticalRegionAndAcquireResourceShared(_Inout_ PERESOURCE resource)
{
	KeEnterCriticalRegion();
	ExAcquireResourceSharedLite(resource, TRUE);
	return NULL;
}
FORCEINLINE void ExReleaseResourceAndLeaveCriticalRegion(_Inout_ PERESOURCE resource)
{
	ExReleaseResourceLite(resource);
	KeLeaveCriticalRegion();
}

/* ---- push locks: a word, without owners; nobody may take one twice. 0 is a free one ---- */

typedef ULONG_PTR EX_PUSH_LOCK, *PEX_PUSH_LOCK;
#define EX_DEFAULT_PUSH_LOCK_FLAGS     0
#define EX_PUSH_LOCK_ENABLE_AUTO_BOOST 1

FORCEINLINE void ExInitializePushLock(_Out_ PEX_PUSH_LOCK lock)
{
	*lock = 0;
}
/* Many at a time shared, or one exclusive; who waits for that keeps new ones out. `flags` change
 * nothing. */
NTKERNELAPI void ExAcquirePushLockExclusiveEx(_Inout_ PEX_PUSH_LOCK lock, _In_ ULONG flags);
NTKERNELAPI void ExAcquirePushLockSharedEx(_Inout_ PEX_PUSH_LOCK lock, _In_ ULONG flags);
/* TRUE: acquired. */
NTKERNELAPI BOOLEAN ExTryAcquirePushLockExclusiveEx(_Inout_ PEX_PUSH_LOCK lock, _In_ ULONG flags);
NTKERNELAPI BOOLEAN ExTryAcquirePushLockSharedEx(_Inout_ PEX_PUSH_LOCK lock, _In_ ULONG flags);
/* Misuse where it is not held that way. */
NTKERNELAPI void ExReleasePushLockExclusiveEx(_Inout_ PEX_PUSH_LOCK lock, _In_ ULONG flags);
NTKERNELAPI void ExReleasePushLockSharedEx(_Inout_ PEX_PUSH_LOCK lock, _In_ ULONG flags);
#define ExAcquirePushLockExclusive(lock) ExAcquirePushLockExclusiveEx((lock), 0)
#define ExAcquirePushLockShared(lock)    ExAcquirePushLockSharedEx((lock), 0)
#define ExReleasePushLockExclusive(lock) ExReleasePushLockExclusiveEx((lock), 0)
#define ExReleasePushLockShared(lock)    ExReleasePushLockSharedEx((lock), 0)

EXTERN_C_END

#endif
