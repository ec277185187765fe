/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_LOCK_H
#define NT_WDM_LOCK_H

#include "irql.h"

EXTERN_C_START

/*
 * Spin locks. All zeroes is a free lock. A waiter spins for a moment and then sleeps until the
 * owner lets go. Acquiring a lock the caller holds is misuse, as is releasing one it does not.
 */
typedef ULONG_PTR KSPIN_LOCK, *PKSPIN_LOCK;

typedef struct _KLOCK_QUEUE_HANDLE {
	PKSPIN_LOCK Lock;
	KIRQL OldIrql;
} KLOCK_QUEUE_HANDLE, *PKLOCK_QUEUE_HANDLE;

/* Any IRQL. */
FORCEINLINE void KeInitializeSpinLock(_Out_ PKSPIN_LOCK lock)
{
	*lock = 0;
}
/* IRQL <= DISPATCH_LEVEL; raises to it and returns what it was. */
NTKERNELAPI KIRQL KeAcquireSpinLockRaiseToDpc(_Inout_ PKSPIN_LOCK lock);
#define KeAcquireSpinLock(lock, old_irql) (*(old_irql) = KeAcquireSpinLockRaiseToDpc(lock))
/* From DISPATCH_LEVEL, back to `old_irql`. */
NTKERNELAPI void KeReleaseSpinLock(_Inout_ PKSPIN_LOCK lock, _In_ KIRQL old_irql);
/* At DISPATCH_LEVEL; the IRQL stays. */
NTKERNELAPI void KeAcquireSpinLockAtDpcLevel(_Inout_ PKSPIN_LOCK lock);
/* The counterpart of KeAcquireSpinLockAtDpcLevel. */
NTKERNELAPI void KeReleaseSpinLockFromDpcLevel(_Inout_ PKSPIN_LOCK lock);
/* At DISPATCH_LEVEL. TRUE: acquired. FALSE: another has it. */
NTKERNELAPI BOOLEAN KeTryToAcquireSpinLockAtDpcLevel(_Inout_ PKSPIN_LOCK lock);
/* Is it free right now? Any IRQL. */
NTKERNELAPI BOOLEAN KeTestSpinLock(_In_ PKSPIN_LOCK lock);
/* In a DPC or elsewhere: raises only if the caller is below DISPATCH_LEVEL. */
#define KeAcquireSpinLockForDpc(lock)           KeAcquireSpinLockRaiseToDpc(lock)
#define KeReleaseSpinLockForDpc(lock, old_irql) KeReleaseSpinLock(lock, old_irql)

/* Queued spin locks, on the same locks: `handle` is the caller's until the release. */
FORCEINLINE void KeAcquireInStackQueuedSpinLock(_Inout_ PKSPIN_LOCK lock,
                                                _Out_ PKLOCK_QUEUE_HANDLE handle)
{
	handle->Lock = lock;
	handle->OldIrql = KeAcquireSpinLockRaiseToDpc(lock);
}
FORCEINLINE void KeReleaseInStackQueuedSpinLock(_In_ PKLOCK_QUEUE_HANDLE handle)
{
	KeReleaseSpinLock(handle->Lock, handle->OldIrql);
}
FORCEINLINE void KeAcquireInStackQueuedSpinLockAtDpcLevel(_Inout_ PKSPIN_LOCK lock,
                                                          _Out_ PKLOCK_QUEUE_HANDLE handle)
{
	handle->Lock = lock;
	handle->OldIrql = DISPATCH_LEVEL;
	KeAcquireSpinLockAtDpcLevel(lock);
}
FORCEINLINE void KeReleaseInStackQueuedSpinLockFromDpcLevel(_In_ PKLOCK_QUEUE_HANDLE handle)
{
	KeReleaseSpinLockFromDpcLevel(handle->Lock);
}

/*
 * Reader/writer spin locks: many at a time shared, or one exclusive. 0 is a free lock. A writer
 * that waits keeps new readers out, so a reader must not take it twice. IRQL as for spin locks.
 */
typedef LONG EX_SPIN_LOCK, *PEX_SPIN_LOCK;

NTKERNELAPI KIRQL ExAcquireSpinLockShared(_Inout_ PEX_SPIN_LOCK lock);
NTKERNELAPI void ExReleaseSpinLockShared(_Inout_ PEX_SPIN_LOCK lock, _In_ KIRQL old_irql);
NTKERNELAPI void ExAcquireSpinLockSharedAtDpcLevel(_Inout_ PEX_SPIN_LOCK lock);
NTKERNELAPI void ExReleaseSpinLockSharedFromDpcLevel(_Inout_ PEX_SPIN_LOCK lock);
NTKERNELAPI KIRQL ExAcquireSpinLockExclusive(_Inout_ PEX_SPIN_LOCK lock);
NTKERNELAPI void ExReleaseSpinLockExclusive(_Inout_ PEX_SPIN_LOCK lock, _In_ KIRQL old_irql);
NTKERNELAPI void ExAcquireSpinLockExclusiveAtDpcLevel(_Inout_ PEX_SPIN_LOCK lock);
NTKERNELAPI void ExReleaseSpinLockExclusiveFromDpcLevel(_Inout_ PEX_SPIN_LOCK lock);
/* From shared to exclusive if the caller is the only reader: nonzero. Else still shared: 0. */
NTKERNELAPI LOGICAL ExTryConvertSharedSpinLockExclusive(_Inout_ PEX_SPIN_LOCK lock);

EXTERN_C_END

#endif
