/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_DPC_H
#define NT_WDM_DPC_H

#include "wait.h"

EXTERN_C_START

/* ---- deferred procedure calls ---- */

struct _KDPC;
typedef void KDEFERRED_ROUTINE(_In_ struct _KDPC *dpc, _In_opt_ PVOID context, _In_opt_ PVOID arg1,
                               _In_opt_ PVOID arg2);
typedef KDEFERRED_ROUTINE *PKDEFERRED_ROUTINE;

/* Members are private. */
typedef struct _KDPC {
	UCHAR Type;
	UCHAR Importance;
	BOOLEAN Queued;
	UCHAR Epoch;
	PVOID Owner;
	LIST_ENTRY DpcListEntry;
	PKDEFERRED_ROUTINE DeferredRoutine;
	PVOID DeferredContext;
	PVOID SystemArgument1;
	PVOID SystemArgument2;
} KDPC, *PKDPC, *PRKDPC;

typedef enum _KDPC_IMPORTANCE {
	LowImportance,
	MediumImportance,
	HighImportance,
	MediumHighImportance
} KDPC_IMPORTANCE;

/* Any IRQL. */
NTKERNELAPI void KeInitializeDpc(_Out_ PRKDPC dpc, _In_ PKDEFERRED_ROUTINE routine,
                                 _In_opt_ PVOID context);
/*
 * Runs the routine once at DISPATCH_LEVEL on the calling thread: before this returns, or, when the
 * caller is at DISPATCH_LEVEL, before it drops below. Its storage may be queued again or freed from
 * the routine on. FALSE: it is queued already, the arguments are dropped. Any IRQL.
 */
NTKERNELAPI BOOLEAN KeInsertQueueDpc(_Inout_ PRKDPC dpc, _In_opt_ PVOID arg1, _In_opt_ PVOID arg2);
/* TRUE: it was queued and will not run. FALSE: it was not, but may be running. Any IRQL. */
NTKERNELAPI BOOLEAN KeRemoveQueueDpc(_Inout_ PRKDPC dpc);
/* HighImportance goes to the front of the queue. Any IRQL. */
NTKERNELAPI void KeSetImportanceDpc(_Inout_ PRKDPC dpc, _In_ KDPC_IMPORTANCE importance);
/* Waits until every DPC queued before, on any thread, has run. PASSIVE_LEVEL. */
NTKERNELAPI void KeFlushQueuedDpcs(void);

/* ---- timers ---- */

/* Signaled when due; a NotificationTimer until it is set again, a SynchronizationTimer lets one
 * wait through. Members are private. */
typedef struct _KTIMER {
	DISPATCHER_HEADER Header;
	ULONGLONG DueTime;
	struct _KTIMER *Child;
	struct _KTIMER *Sibling;
	struct _KTIMER *Previous;
	PKDPC Dpc;
	LONG Period;
} KTIMER, *PKTIMER, *PRKTIMER;

/* A NotificationTimer. Any IRQL. */
NTKERNELAPI void KeInitializeTimer(_Out_ PKTIMER timer);
NTKERNELAPI void KeInitializeTimerEx(_Out_ PKTIMER timer, _In_ TIMER_TYPE type);
/*
 * Due at `due`, in 100 ns: negative from now, positive a system time (as the clock stands now: a
 * later change of the clock does not move it). Then it is signaled and `dpc`, if given, queued.
 * TRUE: it was set before, and is moved. IRQL <= DISPATCH_LEVEL.
 */
NTKERNELAPI BOOLEAN KeSetTimer(_Inout_ PKTIMER timer, _In_ LARGE_INTEGER due, _In_opt_ PKDPC dpc);
/* And again every `period` ms, if not 0. */
NTKERNELAPI BOOLEAN KeSetTimerEx(_Inout_ PKTIMER timer, _In_ LARGE_INTEGER due, _In_ LONG period,
                                 _In_opt_ PKDPC dpc);
/* KeSetTimerEx; the process's own wake-ups are not merged, so `tolerable_delay` (ms) is unused. */
NTKERNELAPI BOOLEAN KeSetCoalescableTimer(_Inout_ PKTIMER timer, _In_ LARGE_INTEGER due,
                                          _In_ ULONG period, _In_ ULONG tolerable_delay,
                                          _In_opt_ PKDPC dpc);
/* TRUE: it was set. FALSE: it was not; its DPC may be queued or running. IRQL <= DISPATCH_LEVEL. */
NTKERNELAPI BOOLEAN KeCancelTimer(_Inout_ PKTIMER timer);
/* Has it come due? Any IRQL. */
NTKERNELAPI BOOLEAN KeReadStateTimer(_In_ PKTIMER timer);

EXTERN_C_END

#endif
