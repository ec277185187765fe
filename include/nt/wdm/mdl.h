/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_MDL_H
#define NT_WDM_MDL_H

#include "pool.h"
#include "wait.h"

EXTERN_C_START

/*
 * Memory descriptor lists. A page frame number is the address of the page in this process >> 12; on
 * the host end that is where the guest's page is mapped. An MDL describes ByteCount bytes from
 * ByteOffset in its first page on; a chain continues with Next. All at IRQL <= DISPATCH_LEVEL.
 */
typedef ULONG64 PFN_NUMBER, *PPFN_NUMBER;
typedef PFN_NUMBER PFN_COUNT;

struct _IRP;
struct _EPROCESS;
typedef struct _MDL {
	struct _MDL *Next;
	CSHORT Size; /* bytes, with the page frame numbers that follow; the low half */
	CSHORT MdlFlags;
	USHORT AllocationProcessorNumber; /* unused */
	USHORT Reserved;                  /* private: the high half of the size */
	struct _EPROCESS *Process;
	PVOID MappedSystemVa; /* of the first byte */
	PVOID StartVa;        /* page-aligned; NULL: the pages have no address of their own */
	ULONG ByteCount;
	ULONG ByteOffset;
} MDL, *PMDL, *PMDLX;

#define MDL_MAPPED_TO_SYSTEM_VA     0x0001
#define MDL_PAGES_LOCKED            0x0002
#define MDL_SOURCE_IS_NONPAGED_POOL 0x0004
#define MDL_ALLOCATED_FIXED_SIZE    0x0008
#define MDL_PARTIAL                 0x0010
#define MDL_PARTIAL_HAS_BEEN_MAPPED 0x0020
#define MDL_IO_PAGE_READ            0x0040
#define MDL_WRITE_OPERATION         0x0080
#define MDL_LOCKED_PAGE_TABLES      0x0100
#define MDL_FREE_EXTRA_PTES         0x0200
#define MDL_DESCRIBES_AWE           0x0400
#define MDL_IO_SPACE                0x0800
#define MDL_NETWORK_HEADER          0x1000
#define MDL_MAPPING_CAN_FAIL        0x2000
#define MDL_PAGE_CONTENTS_INVARIANT 0x4000
#define MDL_INTERNAL                0x8000

typedef enum _LOCK_OPERATION { IoReadAccess, IoWriteAccess, IoModifyAccess } LOCK_OPERATION;
typedef enum _MEMORY_CACHING_TYPE {
	MmNonCached = 0,
	MmCached = 1,
	MmWriteCombined = 2
} MEMORY_CACHING_TYPE;
typedef enum _MM_PAGE_PRIORITY {
	LowPagePriority = 0,
	NormalPagePriority = 16,
	HighPagePriority = 32
} MM_PAGE_PRIORITY;
#define MdlMappingNoWrite   0x80000000
#define MdlMappingNoExecute 0x40000000

#define PAGE_ALIGN(va)            ((PVOID)((ULONG_PTR)(va) & ~(ULONG_PTR)(PAGE_SIZE - 1)))
#define BYTE_OFFSET(va)           ((ULONG)((ULONG_PTR)(va) & (PAGE_SIZE - 1)))
#define ROUND_TO_PAGES(size)      (((ULONG_PTR)(size) + PAGE_SIZE - 1) & ~(ULONG_PTR)(PAGE_SIZE - 1))
#define ROUND_TO_SIZE(length, to) (((ULONG_PTR)(length) + (to)-1) & ~((ULONG_PTR)(to)-1))
#define BYTES_TO_PAGES(size)      (((size) >> PAGE_SHIFT) + (((size) & (PAGE_SIZE - 1)) != 0))
#define ADDRESS_AND_SIZE_TO_SPAN_PAGES(va, size) \
	((ULONG)((((ULONG_PTR)BYTE_OFFSET(va)) + (size) + PAGE_SIZE - 1) >> PAGE_SHIFT))
#define COMPUTE_PAGES_SPANNED(va, size) ADDRESS_AND_SIZE_TO_SPAN_PAGES(va, size)

#define MmGetMdlByteCount(mdl)      ((mdl)->ByteCount)
#define MmGetMdlByteOffset(mdl)     ((mdl)->ByteOffset)
#define MmGetMdlBaseVa(mdl)         ((mdl)->StartVa)
#define MmGetMdlVirtualAddress(mdl) ((PVOID)((ULONG_PTR)(mdl)->StartVa + (mdl)->ByteOffset))
#define MmGetMdlPfnArray(mdl)       ((PPFN_NUMBER)((mdl) + 1))

/* Makes an MDL in the caller's storage of MmSizeOfMdl(va, size) bytes; no pages yet. */
FORCEINLINE void MmInitializeMdl(_Out_ PMDL mdl, _In_opt_ PVOID va, _In_ SIZE_T size)
{
	ULONG bytes = (ULONG)(sizeof(MDL) +
	                      sizeof(PFN_NUMBER) * ADDRESS_AND_SIZE_TO_SPAN_PAGES(va, size));

	mdl->Next = NULL;
	mdl->Size = (CSHORT)bytes;
	mdl->MdlFlags = 0;
	mdl->AllocationProcessorNumber = 0;
	mdl->Reserved = (USHORT)(bytes >> 16);
	mdl->Process = NULL;
	mdl->MappedSystemVa = NULL;
	mdl->StartVa = PAGE_ALIGN(va);
	mdl->ByteOffset = BYTE_OFFSET(va);
	mdl->ByteCount = (ULONG)size;
}

/* The bytes an MDL for that many bytes at `va` takes. */
NTKERNELAPI SIZE_T MmSizeOfMdl(_In_opt_ PVOID va, _In_ SIZE_T size);
/*
 * An MDL for `size` bytes at `va`, without pages yet. NULL: no memory, or more than an MDL may
 * describe, which is 4 GiB less a page. With an IRP it becomes its MdlAddress, or, `secondary`, the
 * last of that chain. `charge_quota` is unused.
 */
NTKERNELAPI PMDL IoAllocateMdl(_In_opt_ PVOID va, _In_ ULONG size, _In_ BOOLEAN secondary,
                               _In_ BOOLEAN charge_quota, _Inout_opt_ struct _IRP *irp);
/* Frees one MDL (not its chain). Its pages must be unlocked first, if it locked them. */
NTKERNELAPI void IoFreeMdl(_In_ PMDL mdl);
/* Makes `target` describe `size` bytes at `va` of what `source` does, 0: to its end. `target` needs
 * room for as many pages, `va` counts from MmGetMdlVirtualAddress(source); else misuse. */
NTKERNELAPI void IoBuildPartialMdl(_In_ PMDL source, _Inout_ PMDL target, _In_ PVOID va,
                                   _In_ ULONG size);
/* Undoes the mapping a partial MDL got, so that it can be built again. */
NTKERNELAPI void MmPrepareMdlForReuse(_Inout_ PMDL mdl);
/* Fills in the pages of an MDL over pool (or any memory that stays). */
NTKERNELAPI void MmBuildMdlForNonPagedPool(_Inout_ PMDL mdl);
/* The same for any memory of the process; memory that is not mapped is misuse, as there is no
 * exception to raise. MmUnlockPages is due. */
NTKERNELAPI void MmProbeAndLockPages(_Inout_ PMDL mdl, _In_ KPROCESSOR_MODE mode,
                                     _In_ LOCK_OPERATION operation);
/* Undoes MmProbeAndLockPages and a mapping. */
NTKERNELAPI void MmUnlockPages(_Inout_ PMDL mdl);
/* The address of the first byte, all pages in a row: as they are if they are so already, else
 * mapped a second time. NULL: a page cannot be mapped, or no address space. KernelMode, MmCached,
 * no address asked for, `bug_check` FALSE; priority is unused. */
NTKERNELAPI PVOID MmMapLockedPagesSpecifyCache(_Inout_ PMDL mdl, _In_ KPROCESSOR_MODE mode,
                                               _In_ MEMORY_CACHING_TYPE cache,
                                               _In_opt_ PVOID address, _In_ ULONG bug_check,
                                               _In_ ULONG priority);
/* Undoes it. */
NTKERNELAPI void MmUnmapLockedPages(_In_ PVOID address, _Inout_ PMDL mdl);
/* New zeroed pages, unmapped, up to `size` bytes: an MDL to free with MmFreePagesFromMdl and
 * ExFreePool. The limits and `skip` on physical addresses mean nothing here. NULL: none. */
NTKERNELAPI PMDL MmAllocatePagesForMdlEx(_In_ PHYSICAL_ADDRESS low, _In_ PHYSICAL_ADDRESS high,
                                         _In_ PHYSICAL_ADDRESS skip, _In_ SIZE_T size,
                                         _In_ MEMORY_CACHING_TYPE cache, _In_ ULONG flags);
#define MmAllocatePagesForMdl(low, high, skip, size) \
	MmAllocatePagesForMdlEx(low, high, skip, size, MmCached, 0)
NTKERNELAPI void MmFreePagesFromMdl(_Inout_ PMDL mdl);
#define MM_ALLOCATE_FULLY_REQUIRED 0x00000004
/* The page frame number's address plus the offset: what MDLs call physical. */
FORCEINLINE PHYSICAL_ADDRESS MmGetPhysicalAddress(_In_ PVOID va)
{
	PHYSICAL_ADDRESS pa;

	pa.QuadPart = (LONGLONG)(ULONG_PTR)va;
	return pa;
}

/* The address of the first byte, mapped now if it was not; NULL: it cannot be. */
FORCEINLINE PVOID MmGetSystemAddressForMdlSafe(_Inout_ PMDL mdl, _In_ ULONG priority)
{
	if (mdl->MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL))
		return mdl->MappedSystemVa;
	return MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, NULL, FALSE, priority);
}

EXTERN_C_END

#endif
