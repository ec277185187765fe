/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_TIME_H
#define NT_WDM_TIME_H

#include "../ntdef.h"

EXTERN_C_START

/* Times are in units of 100 ns. Any IRQL. */

/* Now, since 1601-01-01 UTC. */
NTKERNELAPI void KeQuerySystemTimePrecise(_Out_ PLARGE_INTEGER now);
#define KeQuerySystemTime(now) KeQuerySystemTimePrecise(now)
/* Since the machine started; never goes back. */
NTKERNELAPI ULONGLONG KeQueryInterruptTime(void);
/* The same; *qpc, if given, gets the performance counter. */
NTKERNELAPI ULONGLONG KeQueryInterruptTimePrecise(_Out_opt_ PULONG64 qpc);
#define KeQueryUnbiasedInterruptTime() KeQueryInterruptTime()
/* A counter of 10 million a second, which *frequency, if given, says. */
NTKERNELAPI LARGE_INTEGER KeQueryPerformanceCounter(_Out_opt_ PLARGE_INTEGER frequency);
/* The length of a tick. */
NTKERNELAPI ULONG KeQueryTimeIncrement(void);
/* Ticks since the machine started. */
NTKERNELAPI void KeQueryTickCount(_Out_ PLARGE_INTEGER ticks);
/* Keeps the processor busy for so many microseconds. For a few at most. */
NTKERNELAPI void KeStallExecutionProcessor(_In_ ULONG microseconds);

/* ---- processors ---- */

typedef struct _PROCESSOR_NUMBER {
	USHORT Group;
	UCHAR Number;
	UCHAR Reserved;
} PROCESSOR_NUMBER, *PPROCESSOR_NUMBER;
#define ALL_PROCESSOR_GROUPS 0xffff

/* How many processors this process may use; *mask, if given, gets the first 64 of them. */
NTKERNELAPI ULONG KeQueryActiveProcessorCount(_Out_opt_ PKAFFINITY mask);
/* The same for a group: there is one, 0; ALL_PROCESSOR_GROUPS is it too. Others have 0. */
NTKERNELAPI ULONG KeQueryActiveProcessorCountEx(_In_ USHORT group);
/* How many there could be. */
NTKERNELAPI ULONG KeQueryMaximumProcessorCount(void);
NTKERNELAPI ULONG KeQueryMaximumProcessorCountEx(_In_ USHORT group);
/* The processor the caller ran on a moment ago. */
NTKERNELAPI ULONG KeGetCurrentProcessorNumberEx(_Out_opt_ PPROCESSOR_NUMBER number);
#define KeGetCurrentProcessorNumber() KeGetCurrentProcessorNumberEx(NULL)
#define KeGetCurrentProcessorIndex()  KeGetCurrentProcessorNumberEx(NULL)

EXTERN_C_END

#endif
