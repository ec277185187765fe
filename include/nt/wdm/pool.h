/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_POOL_H
#define NT_WDM_POOL_H

#include "list.h"

EXTERN_C_START

/*
 * Pool. There is no paging; pool types and flags only say which rules the caller wants checked.
 * Blocks are aligned to 16 bytes; from PAGE_SIZE on to a page; smaller ones do not cross a page
 * boundary. Sizes in bytes.
 *
 * What ExAllocatePool...() and MmAllocatePagesForMdlEx() give is shared memory: it can be shown to
 * the other end as it is. And the other end, another process, has all of it mapped and may write it
 * at any time. So a driver of a guest keeps buffers there, and what it follows, sizes or calls
 * (pointers, lists, lengths, events, routines) elsewhere: in a device extension, in a lookaside
 * list's blocks, or in memory of its own (malloc). What NT itself makes is never in shared memory:
 * device objects and their extensions, MDLs, work items, strings, and the blocks of lookaside lists
 * that use the pool. Such memory, shown as external data, is copied; a GPADL cannot be made of it.
 */
#define PAGE_SHIFT 12
#define PAGE_SIZE  0x1000

typedef ULONG64 POOL_FLAGS;
#define POOL_FLAG_USE_QUOTA         UINT64_C(0x0000000000000001)
#define POOL_FLAG_UNINITIALIZED     UINT64_C(0x0000000000000002)
#define POOL_FLAG_SESSION           UINT64_C(0x0000000000000004)
#define POOL_FLAG_CACHE_ALIGNED     UINT64_C(0x0000000000000008)
#define POOL_FLAG_RAISE_ON_FAILURE  UINT64_C(0x0000000000000020)
#define POOL_FLAG_NON_PAGED         UINT64_C(0x0000000000000040)
#define POOL_FLAG_NON_PAGED_EXECUTE UINT64_C(0x0000000000000080)
#define POOL_FLAG_PAGED             UINT64_C(0x0000000000000100)

typedef enum _POOL_TYPE {
	NonPagedPool = 0,
	NonPagedPoolExecute = NonPagedPool,
	PagedPool = 1,
	NonPagedPoolMustSucceed = 2,
	NonPagedPoolCacheAligned = 4,
	PagedPoolCacheAligned = 5,
	NonPagedPoolNx = 512,
	NonPagedPoolNxCacheAligned = 516
} POOL_TYPE;
#define POOL_NX_ALLOCATION               512
#define POOL_COLD_ALLOCATION             256
#define POOL_RAISE_IF_ALLOCATION_FAILURE 16
#define POOL_ZERO_ALLOCATION             1024
/* In a tag: free only with the tag. */
#define PROTECTED_POOL 0x80000000

typedef enum _EX_POOL_PRIORITY {
	LowPoolPriority = 0,
	NormalPoolPriority = 16,
	HighPoolPriority = 32
} EX_POOL_PRIORITY;

/*
 * Zeroed unless POOL_FLAG_UNINITIALIZED. NULL: no memory, or flags without exactly one of PAGED,
 * NON_PAGED, NON_PAGED_EXECUTE, or with unknown required ones. A tag of 0 is misuse.
 * POOL_FLAG_RAISE_ON_FAILURE stops the process instead. IRQL <= DISPATCH_LEVEL, PAGED <= APC_LEVEL.
 */
NTKERNELAPI PVOID ExAllocatePool2(_In_ POOL_FLAGS flags, _In_ SIZE_T size, _In_ ULONG tag);
/* Not zeroed; NULL: no memory. IRQL as above. */
NTKERNELAPI PVOID ExAllocatePoolWithTag(_In_ POOL_TYPE type, _In_ SIZE_T size, _In_ ULONG tag);
#define ExAllocatePoolUninitialized(type, size, tag) ExAllocatePoolWithTag(type, size, tag)
#define ExAllocatePoolWithTagPriority(type, size, tag, priority) \
	ExAllocatePoolWithTag(type, size, tag)
#define ExAllocatePool(type, size) ExAllocatePoolWithTag(type, size, 0x206b6444) /* "Ddk " */
/* Zeroed; NULL: no memory. */
NTKERNELAPI PVOID ExAllocatePoolZero(_In_ POOL_TYPE type, _In_ SIZE_T size, _In_ ULONG tag);
/* Frees a block. What is not one, or no longer, is misuse. IRQL <= DISPATCH_LEVEL. */
NTKERNELAPI void ExFreePool(_In_ PVOID p);
/* The same; a tag other than the block's is misuse. 0 is any. */
NTKERNELAPI void ExFreePoolWithTag(_In_ PVOID p, _In_ ULONG tag);

/* DriverEntry's wish for no-execute pool: all pool is. */
#define DrvRtPoolNxOptIn                 0x00000001
#define ExInitializeDriverRuntime(flags) ((void)(flags))

/* ---- lookaside lists: blocks of one size ---- */

typedef PVOID ALLOCATE_FUNCTION(_In_ POOL_TYPE type, _In_ SIZE_T size, _In_ ULONG tag);
typedef ALLOCATE_FUNCTION *PALLOCATE_FUNCTION;
typedef void FREE_FUNCTION(_In_ PVOID p);
typedef FREE_FUNCTION *PFREE_FUNCTION;

/* Members are private. */
typedef struct _GENERAL_LOOKASIDE {
	SLIST_HEADER ListHead;
	USHORT Depth;
	POOL_TYPE Type;
	ULONG Tag;
	ULONG Flags;
	SIZE_T Size;
	PALLOCATE_FUNCTION Allocate;
	PFREE_FUNCTION Free;
	PVOID AllocateEx;
	PVOID FreeEx;
} GENERAL_LOOKASIDE, *PGENERAL_LOOKASIDE;

typedef struct _NPAGED_LOOKASIDE_LIST {
	GENERAL_LOOKASIDE L;
} NPAGED_LOOKASIDE_LIST, *PNPAGED_LOOKASIDE_LIST;
typedef struct _PAGED_LOOKASIDE_LIST {
	GENERAL_LOOKASIDE L;
} PAGED_LOOKASIDE_LIST, *PPAGED_LOOKASIDE_LIST;

/* allocate and free may be NULL: memory that the other end cannot see (see above), and the last few
 * blocks freed are kept; with routines of the driver's own none is. `flags` 0 or
 * POOL_NX_ALLOCATION; `depth` is unused: the library decides. IRQL <= DISPATCH_LEVEL, paged <=
 * APC_LEVEL; so for all below. */
NTKERNELAPI void ExInitializeNPagedLookasideList(_Out_ PNPAGED_LOOKASIDE_LIST list,
                                                 _In_opt_ PALLOCATE_FUNCTION allocate,
                                                 _In_opt_ PFREE_FUNCTION free, _In_ ULONG flags,
                                                 _In_ SIZE_T size, _In_ ULONG tag,
                                                 _In_ USHORT depth);
/* Frees what it keeps. All blocks must have been given back. */
NTKERNELAPI void ExDeleteNPagedLookasideList(_Inout_ PNPAGED_LOOKASIDE_LIST list);
/* Contents undefined; NULL: no memory. */
NTKERNELAPI PVOID ExAllocateFromNPagedLookasideList(_Inout_ PNPAGED_LOOKASIDE_LIST list);
NTKERNELAPI void ExFreeToNPagedLookasideList(_Inout_ PNPAGED_LOOKASIDE_LIST list, _In_ PVOID p);

NTKERNELAPI void ExInitializePagedLookasideList(_Out_ PPAGED_LOOKASIDE_LIST list,
                                                _In_opt_ PALLOCATE_FUNCTION allocate,
                                                _In_opt_ PFREE_FUNCTION free, _In_ ULONG flags,
                                                _In_ SIZE_T size, _In_ ULONG tag,
                                                _In_ USHORT depth);
NTKERNELAPI void ExDeletePagedLookasideList(_Inout_ PPAGED_LOOKASIDE_LIST list);
NTKERNELAPI PVOID ExAllocateFromPagedLookasideList(_Inout_ PPAGED_LOOKASIDE_LIST list);
NTKERNELAPI void ExFreeToPagedLookasideList(_Inout_ PPAGED_LOOKASIDE_LIST list, _In_ PVOID p);

typedef struct _LOOKASIDE_LIST_EX {
	GENERAL_LOOKASIDE L;
} LOOKASIDE_LIST_EX, *PLOOKASIDE_LIST_EX;
typedef PVOID ALLOCATE_FUNCTION_EX(_In_ POOL_TYPE type, _In_ SIZE_T size, _In_ ULONG tag,
                                   _Inout_ PLOOKASIDE_LIST_EX list);
typedef ALLOCATE_FUNCTION_EX *PALLOCATE_FUNCTION_EX;
typedef void FREE_FUNCTION_EX(_In_ PVOID p, _Inout_ PLOOKASIDE_LIST_EX list);
typedef FREE_FUNCTION_EX *PFREE_FUNCTION_EX;
#define EX_LOOKASIDE_LIST_EX_FLAGS_RAISE_ON_FAIL 1
#define EX_LOOKASIDE_LIST_EX_FLAGS_FAIL_NO_RAISE 2

/* STATUS_SUCCESS; STATUS_INVALID_PARAMETER_5: unknown flags. */
NTKERNELAPI NTSTATUS ExInitializeLookasideListEx(_Out_ PLOOKASIDE_LIST_EX list,
                                                 _In_opt_ PALLOCATE_FUNCTION_EX allocate,
                                                 _In_opt_ PFREE_FUNCTION_EX free,
                                                 _In_ POOL_TYPE type, _In_ ULONG flags,
                                                 _In_ SIZE_T size, _In_ ULONG tag,
                                                 _In_ USHORT depth);
NTKERNELAPI void ExDeleteLookasideListEx(_Inout_ PLOOKASIDE_LIST_EX list);
NTKERNELAPI PVOID ExAllocateFromLookasideListEx(_Inout_ PLOOKASIDE_LIST_EX list);
NTKERNELAPI void ExFreeToLookasideListEx(_Inout_ PLOOKASIDE_LIST_EX list, _In_ PVOID p);
/* Frees what it keeps; the list stays usable. */
NTKERNELAPI void ExFlushLookasideListEx(_Inout_ PLOOKASIDE_LIST_EX list);

EXTERN_C_END

#endif
