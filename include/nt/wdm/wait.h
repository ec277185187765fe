/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_WAIT_H
#define NT_WDM_WAIT_H

#include "irql.h"

EXTERN_C_START

/*
 * Objects a thread can wait on. Their storage is the caller's, their members are private. The
 * storage may go away as soon as a wait on it has succeeded, even while KeSetEvent on another
 * thread has not returned yet.
 */
typedef struct _DISPATCHER_HEADER {
	UCHAR Type;
	UCHAR Inserted;
	USHORT Reserved;
	ULONG Reserved2;
	__extension__ union {
		__extension__ struct {
			LONG SignalState;
			ULONG Waiters;
		};
		LONG64 Word;
	};
	LIST_ENTRY WaitListHead;
} DISPATCHER_HEADER, *PDISPATCHER_HEADER;

typedef struct _KEVENT {
	DISPATCHER_HEADER Header;
} KEVENT, *PKEVENT, *PRKEVENT;

typedef struct _KSEMAPHORE {
	DISPATCHER_HEADER Header;
	LONG Limit;
} KSEMAPHORE, *PKSEMAPHORE, *PRKSEMAPHORE;

struct _KTHREAD;
typedef struct _KMUTANT {
	DISPATCHER_HEADER Header;
	PVOID OwnerThread;
} KMUTANT, *PKMUTANT, *PRKMUTANT, KMUTEX, *PKMUTEX, *PRKMUTEX;

typedef struct _KWAIT_BLOCK {
	LIST_ENTRY WaitListEntry;
	PDISPATCHER_HEADER Object;
	PVOID Waiter;
} KWAIT_BLOCK, *PKWAIT_BLOCK, *PRKWAIT_BLOCK;

typedef enum _KWAIT_REASON {
	Executive,
	FreePage,
	PageIn,
	PoolAllocation,
	DelayExecution,
	Suspended,
	UserRequest,
	WrExecutive
} KWAIT_REASON;
typedef enum _MODE { KernelMode, UserMode, MaximumMode } MODE;

#define THREAD_WAIT_OBJECTS  3
#define MAXIMUM_WAIT_OBJECTS 64

#define IO_NO_INCREMENT     0
#define EVENT_INCREMENT     1
#define SEMAPHORE_INCREMENT 1
#define MUTEX_INCREMENT     1

/*
 * Waits until the object is signaled: STATUS_SUCCESS, or STATUS_TIMEOUT. `timeout` is in 100 ns:
 * NULL: for ever; 0: only a look; negative: so long from now; positive: until that system time.
 * `reason`, `mode` and `alertable` change nothing. IRQL <= APC_LEVEL; with timeout 0 also
 * DISPATCH_LEVEL.
 */
NTKERNELAPI NTSTATUS KeWaitForSingleObject(_In_ PVOID object, _In_ KWAIT_REASON reason,
                                           _In_ KPROCESSOR_MODE mode, _In_ BOOLEAN alertable,
                                           _In_opt_ PLARGE_INTEGER timeout);
#define KeWaitForMutexObject KeWaitForSingleObject
/*
 * The same for 1 to MAXIMUM_WAIT_OBJECTS objects: WaitAny returns STATUS_WAIT_0 + the index of the
 * lowest one taken, WaitAll STATUS_SUCCESS once all are signaled at the same time, none taken
 * before. `blocks` is needed above THREAD_WAIT_OBJECTS; its contents are private.
 */
NTKERNELAPI NTSTATUS KeWaitForMultipleObjects(_In_ ULONG count, _In_reads_(count) PVOID objects[],
                                              _In_ WAIT_TYPE type, _In_ KWAIT_REASON reason,
                                              _In_ KPROCESSOR_MODE mode, _In_ BOOLEAN alertable,
                                              _In_opt_ PLARGE_INTEGER timeout,
                                              _Out_opt_ PKWAIT_BLOCK blocks);
/* Sleeps; `interval` as a timeout above, 0 yields. STATUS_SUCCESS. IRQL <= APC_LEVEL. */
NTKERNELAPI NTSTATUS KeDelayExecutionThread(_In_ KPROCESSOR_MODE mode, _In_ BOOLEAN alertable,
                                            _In_ PLARGE_INTEGER interval);

/* ---- events. `increment` and `wait` change nothing; IRQL <= DISPATCH_LEVEL ---- */

/* NotificationEvent: stays signaled and lets all through. SynchronizationEvent: lets one through.
 */
NTKERNELAPI void KeInitializeEvent(_Out_ PRKEVENT event, _In_ EVENT_TYPE type, _In_ BOOLEAN state);
/* Signals it; returns the previous state. */
NTKERNELAPI LONG KeSetEvent(_Inout_ PRKEVENT event, _In_ KPRIORITY increment, _In_ BOOLEAN wait);
/* Not signaled from now on. */
NTKERNELAPI void KeClearEvent(_Inout_ PRKEVENT event);
/* Likewise; returns the previous state. */
NTKERNELAPI LONG KeResetEvent(_Inout_ PRKEVENT event);
/* Releases who waits now, then not signaled; returns the previous state. */
NTKERNELAPI LONG KePulseEvent(_Inout_ PRKEVENT event, _In_ KPRIORITY increment, _In_ BOOLEAN wait);
/* Nonzero: signaled. Any IRQL. */
NTKERNELAPI LONG KeReadStateEvent(_In_ PRKEVENT event);

/* ---- semaphores ---- */

/* `count` now, at most `limit`. Any IRQL. */
NTKERNELAPI void KeInitializeSemaphore(_Out_ PRKSEMAPHORE semaphore, _In_ LONG count,
                                       _In_ LONG limit);
/* Adds `adjustment`, which must be > 0 and not pass the limit (misuse); returns the previous count.
 * IRQL <= DISPATCH_LEVEL. */
NTKERNELAPI LONG KeReleaseSemaphore(_Inout_ PRKSEMAPHORE semaphore, _In_ KPRIORITY increment,
                                    _In_ LONG adjustment, _In_ BOOLEAN wait);
/* The count. Any IRQL. */
NTKERNELAPI LONG KeReadStateSemaphore(_In_ PRKSEMAPHORE semaphore);

/* ---- mutexes: owned by a thread, may be taken again by it ---- */

/* Free; `level` is ignored. Any IRQL. */
NTKERNELAPI void KeInitializeMutex(_Out_ PRKMUTEX mutex, _In_ ULONG level);
/* The owner lets go once; returns 0 when that freed it. Another thread's: misuse. IRQL <=
 * DISPATCH_LEVEL. */
NTKERNELAPI LONG KeReleaseMutex(_Inout_ PRKMUTEX mutex, _In_ BOOLEAN wait);
/* 1: free. Any IRQL. */
NTKERNELAPI LONG KeReadStateMutex(_In_ PRKMUTEX mutex);

/* ---- fast and guarded mutexes: not recursive. IRQL <= APC_LEVEL ---- */

typedef struct _FAST_MUTEX {
	PVOID Owner;   /* private */
	ULONG Lock;    /* private */
	ULONG OldIrql; /* private */
} FAST_MUTEX, *PFAST_MUTEX, KGUARDED_MUTEX, *PKGUARDED_MUTEX;

/* Any IRQL. */
NTKERNELAPI void ExInitializeFastMutex(_Out_ PFAST_MUTEX mutex);
/* Waits for it and raises to APC_LEVEL. Taking it twice is misuse. */
NTKERNELAPI void ExAcquireFastMutex(_Inout_ PFAST_MUTEX mutex);
/* TRUE: acquired. */
NTKERNELAPI BOOLEAN ExTryToAcquireFastMutex(_Inout_ PFAST_MUTEX mutex);
/* Back to the IRQL before. Only by the thread that acquired it. */
NTKERNELAPI void ExReleaseFastMutex(_Inout_ PFAST_MUTEX mutex);
/* The same without a change of IRQL. */
NTKERNELAPI void ExAcquireFastMutexUnsafe(_Inout_ PFAST_MUTEX mutex);
NTKERNELAPI void ExReleaseFastMutexUnsafe(_Inout_ PFAST_MUTEX mutex);

#define KeInitializeGuardedMutex(mutex)    ExInitializeFastMutex(mutex)
#define KeAcquireGuardedMutex(mutex)       ExAcquireFastMutexUnsafe(mutex)
#define KeAcquireGuardedMutexUnsafe(mutex) ExAcquireFastMutexUnsafe(mutex)
#define KeReleaseGuardedMutex(mutex)       ExReleaseFastMutexUnsafe(mutex)
#define KeReleaseGuardedMutexUnsafe(mutex) ExReleaseFastMutexUnsafe(mutex)

EXTERN_C_END

#endif
