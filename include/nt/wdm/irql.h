/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_IRQL_H
#define NT_WDM_IRQL_H

#include "../ntdef.h"

EXTERN_C_START

/*
 * An IRQL is a property of the calling thread. At DISPATCH_LEVEL and above a thread must not wait;
 * it can still be preempted by the operating system underneath.
 */
#define PASSIVE_LEVEL  0
#define LOW_LEVEL      0
#define APC_LEVEL      1
#define DISPATCH_LEVEL 2
#define CLOCK_LEVEL    13
#define IPI_LEVEL      14
#define POWER_LEVEL    14
#define PROFILE_LEVEL  15
#define HIGH_LEVEL     15

/* The caller's IRQL. */
NTKERNELAPI KIRQL KeGetCurrentIrql(void);
/* Raises to `new_irql`, not below the current one; `*old_irql` is for KeLowerIrql. */
NTKERNELAPI void KeRaiseIrql(_In_ KIRQL new_irql, _Out_ PKIRQL old_irql);
/* Raises to `new_irql` and returns what it was. */
FORCEINLINE KIRQL KfRaiseIrql(_In_ KIRQL new_irql)
{
	KIRQL old_irql;

	KeRaiseIrql(new_irql, &old_irql);
	return old_irql;
}
/* Raises to DISPATCH_LEVEL and returns what it was. */
NTKERNELAPI KIRQL KeRaiseIrqlToDpcLevel(void);
/* Back to `new_irql`, not above the current one. Below DISPATCH_LEVEL this thread's DPCs run first.
 */
NTKERNELAPI void KeLowerIrql(_In_ KIRQL new_irql);

/* There are no APCs to hold off, so a critical or guarded region is only its brackets. */
FORCEINLINE void KeEnterCriticalRegion(void)
{
}
FORCEINLINE void KeLeaveCriticalRegion(void)
{
}
FORCEINLINE void KeEnterGuardedRegion(void)
{
}
FORCEINLINE void KeLeaveGuardedRegion(void)
{
}
FORCEINLINE BOOLEAN KeAreApcsDisabled(void)
{
	return FALSE;
}
FORCEINLINE BOOLEAN KeAreAllApcsDisabled(void)
{
	return FALSE;
}

/* ---- assertions and stops ---- */

#ifndef DBG
#ifdef NDEBUG
#define DBG 0
#else
#define DBG 1
#endif
#endif

/* Prints what failed and where, and aborts the process. */
NTSYSAPI DECLSPEC_NORETURN void RtlAssert(_In_ const void *failed, _In_ const void *file,
                                          _In_ ULONG line, _In_opt_ PCSTR message);
/* Prints the code and its parameters and aborts the process. Any IRQL. */
NTKERNELAPI DECLSPEC_NORETURN void KeBugCheckEx(_In_ ULONG code, _In_ ULONG_PTR p1,
                                                _In_ ULONG_PTR p2, _In_ ULONG_PTR p3,
                                                _In_ ULONG_PTR p4);
/* KeBugCheckEx without parameters. */
NTKERNELAPI DECLSPEC_NORETURN void KeBugCheck(_In_ ULONG code);

#if DBG
#define NT_VERIFY(e)             ((e) ? TRUE : (RtlAssert(#e, __FILE__, __LINE__, NULL), FALSE))
#define NT_ASSERT(e)             ((e) ? (void)0 : RtlAssert(#e, __FILE__, __LINE__, NULL))
#define NT_ASSERTMSG(message, e) ((e) ? (void)0 : RtlAssert(#e, __FILE__, __LINE__, (message)))
#define ASSERTMSG(message, e)    NT_ASSERTMSG(message, e)
#else
#define NT_VERIFY(e)             ((e) ? TRUE : FALSE)
#define NT_ASSERT(e)             ((void)sizeof(!(e)))
#define NT_ASSERTMSG(message, e) ((void)sizeof(!(e)))
#define ASSERTMSG(message, e)    ((void)sizeof(!(e)))
#endif
#define NT_FRE_ASSERT(e)      ((e) ? (void)0 : RtlAssert(#e, __FILE__, __LINE__, NULL))
#define NT_ANALYSIS_ASSUME(e) ((void)0)
#ifndef ASSERT
#define ASSERT(e) NT_ASSERT(e)
#endif

/* This code may wait and touch pageable memory. A block, as some write no semicolon behind it. */
#define PAGED_CODE()                                        \
	{                                                   \
		NT_ASSERT(KeGetCurrentIrql() <= APC_LEVEL); \
	}
#define PAGED_CODE_LOCKED() ((void)0)

EXTERN_C_END

#endif
