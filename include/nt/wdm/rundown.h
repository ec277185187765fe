/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_RUNDOWN_H
#define NT_WDM_RUNDOWN_H

#include "../ntstatus.h"
#include "irql.h"

EXTERN_C_START

/* ---- run-down protection: use of an object until it is to go. All zeroes: may be used ---- */

typedef struct _EX_RUNDOWN_REF {
	ULONG_PTR Count; /* private: twice the users, bit 0: no more */
} EX_RUNDOWN_REF, *PEX_RUNDOWN_REF;

/* Any IRQL. */
FORCEINLINE void ExInitializeRundownProtection(_Out_ PEX_RUNDOWN_REF ref)
{
	ref->Count = 0;
}
/* One user more; FALSE: it is to go. IRQL <= DISPATCH_LEVEL. */
NTKERNELAPI BOOLEAN ExAcquireRundownProtection(_Inout_ PEX_RUNDOWN_REF ref);
NTKERNELAPI BOOLEAN ExAcquireRundownProtectionEx(_Inout_ PEX_RUNDOWN_REF ref, _In_ ULONG count);
/* One user less. IRQL <= DISPATCH_LEVEL. */
NTKERNELAPI void ExReleaseRundownProtection(_Inout_ PEX_RUNDOWN_REF ref);
NTKERNELAPI void ExReleaseRundownProtectionEx(_Inout_ PEX_RUNDOWN_REF ref, _In_ ULONG count);
/* Lets nobody in any more and waits until the last user is out. IRQL <= APC_LEVEL. */
NTKERNELAPI void ExWaitForRundownProtectionRelease(_Inout_ PEX_RUNDOWN_REF ref);
/* After the wait: may be used again. */
NTKERNELAPI void ExReInitializeRundownProtection(_Inout_ PEX_RUNDOWN_REF ref);
/* Marks it as gone without a wait: there is no user. */
NTKERNELAPI void ExRundownCompleted(_Out_ PEX_RUNDOWN_REF ref);

/* ---- remove locks: the same for devices. Tags and limits are not tracked ---- */

typedef struct _IO_REMOVE_LOCK {
	EX_RUNDOWN_REF Ref; /* private */
} IO_REMOVE_LOCK, *PIO_REMOVE_LOCK;

#define IoInitializeRemoveLock(lock, tag, minutes, high_water) \
	ExInitializeRundownProtection(&(lock)->Ref)
/* STATUS_SUCCESS; STATUS_DELETE_PENDING: the device is to go. IRQL <= DISPATCH_LEVEL. */
FORCEINLINE NTSTATUS IoAcquireRemoveLock(_Inout_ PIO_REMOVE_LOCK lock, _In_opt_ PVOID tag)
{
	(void)tag;
	return ExAcquireRundownProtection(&lock->Ref) ? STATUS_SUCCESS : STATUS_DELETE_PENDING;
}
/* IRQL <= DISPATCH_LEVEL. */
FORCEINLINE void IoReleaseRemoveLock(_Inout_ PIO_REMOVE_LOCK lock, _In_opt_ PVOID tag)
{
	(void)tag;
	ExReleaseRundownProtection(&lock->Ref);
}
/* Gives back the caller's own and waits until all others are. IRQL <= APC_LEVEL. */
FORCEINLINE void IoReleaseRemoveLockAndWait(_Inout_ PIO_REMOVE_LOCK lock, _In_opt_ PVOID tag)
{
	IoReleaseRemoveLock(lock, tag);
	ExWaitForRundownProtectionRelease(&lock->Ref);
}

EXTERN_C_END

#endif
