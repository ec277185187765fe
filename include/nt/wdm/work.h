/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_WORK_H
#define NT_WDM_WORK_H

#include "device.h"
#include "object.h"

EXTERN_C_START

/*
 * Work items: routines that run once at PASSIVE_LEVEL on a thread of the library's. One may wait
 * without holding up others; they run in no particular order. Queueing: IRQL <= DISPATCH_LEVEL.
 */
typedef enum _WORK_QUEUE_TYPE {
	CriticalWorkQueue,
	DelayedWorkQueue,
	HyperCriticalWorkQueue,
	NormalWorkQueue,
	BackgroundWorkQueue,
	RealTimeWorkQueue,
	SuperCriticalWorkQueue,
	MaximumWorkQueue,
	CustomPriorityWorkQueue = 32
} WORK_QUEUE_TYPE;

typedef void WORKER_THREAD_ROUTINE(_In_opt_ PVOID parameter);
typedef WORKER_THREAD_ROUTINE *PWORKER_THREAD_ROUTINE;

typedef struct _WORK_QUEUE_ITEM {
	LIST_ENTRY List;
	PWORKER_THREAD_ROUTINE WorkerRoutine;
	PVOID Parameter;
} WORK_QUEUE_ITEM, *PWORK_QUEUE_ITEM;

FORCEINLINE void ExInitializeWorkItem(_Out_ PWORK_QUEUE_ITEM item,
                                      _In_ PWORKER_THREAD_ROUTINE routine, _In_opt_ PVOID parameter)
{
	item->List.Flink = NULL;
	item->List.Blink = NULL;
	item->WorkerRoutine = routine;
	item->Parameter = parameter;
}
/* Not while it is queued. Its storage may be queued again or freed from the routine on; `type` is
 * unused. */
NTKERNELAPI void ExQueueWorkItem(_Inout_ PWORK_QUEUE_ITEM item, _In_ WORK_QUEUE_TYPE type);

typedef struct _IO_WORKITEM *PIO_WORKITEM;
typedef void IO_WORKITEM_ROUTINE(_In_ PDEVICE_OBJECT device, _In_opt_ PVOID context);
typedef IO_WORKITEM_ROUTINE *PIO_WORKITEM_ROUTINE;
typedef void IO_WORKITEM_ROUTINE_EX(_In_ PVOID object, _In_opt_ PVOID context,
                                    _In_ PIO_WORKITEM item);
typedef IO_WORKITEM_ROUTINE_EX *PIO_WORKITEM_ROUTINE_EX;

/* NULL: no memory. IRQL <= DISPATCH_LEVEL. */
NTKERNELAPI PIO_WORKITEM IoAllocateWorkItem(_In_ PDEVICE_OBJECT device);
/* Not while it is queued; in its routine it may be. IRQL <= DISPATCH_LEVEL. */
NTKERNELAPI void IoFreeWorkItem(_In_ PIO_WORKITEM item);
/* Not while it is queued. The device stays until the routine has returned. */
NTKERNELAPI void IoQueueWorkItem(_Inout_ PIO_WORKITEM item, _In_ PIO_WORKITEM_ROUTINE routine,
                                 _In_ WORK_QUEUE_TYPE type, _In_opt_ PVOID context);
NTKERNELAPI void IoQueueWorkItemEx(_Inout_ PIO_WORKITEM item, _In_ PIO_WORKITEM_ROUTINE_EX routine,
                                   _In_ WORK_QUEUE_TYPE type, _In_opt_ PVOID context);

/* ---- threads ---- */

typedef void KSTART_ROUTINE(_In_opt_ PVOID context);
typedef KSTART_ROUTINE *PKSTART_ROUTINE;

/* Waited on, a thread is signaled once it has ended. Members are private. */
typedef struct _KTHREAD {
	DISPATCHER_HEADER Header;
	NTSTATUS ExitStatus;
	ULONG Id;
	PKSTART_ROUTINE StartRoutine;
	PVOID StartContext;
} KTHREAD, *PKTHREAD, *PRKTHREAD, ETHREAD, *PETHREAD;

/*
 * A thread at PASSIVE_LEVEL that runs `routine`. Only OBJ_KERNEL_HANDLE counts in `attributes`;
 * `process` must be NULL. The handle keeps the thread object, not the thread: ZwClose it.
 * STATUS_SUCCESS, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER. PASSIVE_LEVEL.
 */
NTKERNELAPI NTSTATUS PsCreateSystemThread(_Out_ PHANDLE thread, _In_ ULONG access,
                                          _In_opt_ POBJECT_ATTRIBUTES attributes,
                                          _In_opt_ HANDLE process, _Out_opt_ PCLIENT_ID id,
                                          _In_ PKSTART_ROUTINE routine, _In_opt_ PVOID context);
/* Ends the calling system thread, as returning from its routine does. On another thread:
 * STATUS_INVALID_PARAMETER. PASSIVE_LEVEL. */
NTKERNELAPI NTSTATUS PsTerminateSystemThread(_In_ NTSTATUS status);
/* The calling thread; whatever made it, it has one. Any IRQL. */
NTKERNELAPI PKTHREAD KeGetCurrentThread(void);
#define PsGetCurrentThread() KeGetCurrentThread()
/* Numbers the operating system underneath uses. Any IRQL. */
NTKERNELAPI HANDLE PsGetCurrentThreadId(void);
NTKERNELAPI HANDLE PsGetCurrentProcessId(void);
/* STATUS_PENDING while it runs. */
NTKERNELAPI NTSTATUS PsGetThreadExitStatus(_In_ PETHREAD thread);

EXTERN_C_END

#endif
