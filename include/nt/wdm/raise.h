/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_RAISE_H
#define NT_WDM_RAISE_H

#include "../excpt.h"

EXTERN_C_START

/*
 * There are no exceptions (see excpt.h): what raises one says which and stops the process, also in
 * a release build. IRQL <= DISPATCH_LEVEL.
 */
NTKERNELAPI DECLSPEC_NORETURN void ExRaiseStatus(_In_ NTSTATUS status);
NTKERNELAPI DECLSPEC_NORETURN void ExRaiseAccessViolation(void);
NTKERNELAPI DECLSPEC_NORETURN void ExRaiseDatatypeMisalignment(void);

/* Where the memory of programs ends: all of it is one address space here, the driver's too. */
#if defined(__aarch64__)
#define MM_USER_PROBE_ADDRESS UINT64_C(0x0001000000000000)
#else
#define MM_USER_PROBE_ADDRESS UINT64_C(0x00007ffffffff000)
#endif
#define MmUserProbeAddress   ((ULONG_PTR)MM_USER_PROBE_ADDRESS)
#define MmHighestUserAddress ((PVOID)(ULONG_PTR)(MM_USER_PROBE_ADDRESS - 1))

/*
 * Raise STATUS_DATATYPE_MISALIGNMENT where the address is no multiple of `alignment` (1, 2, 4, 8 or
 * 16), STATUS_ACCESS_VIOLATION where the range wraps or passes MM_USER_PROBE_ADDRESS. Length 0 is
 * anywhere. ProbeForWrite writes to each page, what it holds, so that memory that is not there or
 * read-only ends the process as any access to it does. IRQL <= APC_LEVEL.
 */
NTKERNELAPI void ProbeForRead(_In_ const volatile void *address, _In_ SIZE_T length,
                              _In_ ULONG alignment);
NTKERNELAPI void ProbeForWrite(_Inout_ volatile void *address, _In_ SIZE_T length,
                               _In_ ULONG alignment);

EXTERN_C_END

#endif
