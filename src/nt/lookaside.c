/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

/*
 * The link of a block that is kept is in the block, so only blocks of the heap apart are kept: what
 * a driver's own routine allocates may be memory that the other end writes. With ASan nothing is
 * kept: a block given back must be seen to be free.
 */
#define DEPTH (NT_ASAN ? 0 : 64)

static bool is_drivers_own(const GENERAL_LOOKASIDE *l)
{
	return l->Allocate || l->AllocateEx || l->Free || l->FreeEx;
}

static void init(PGENERAL_LOOKASIDE l, POOL_TYPE type, ULONG flags, SIZE_T size, ULONG tag)
{
	memset(l, 0, sizeof(*l));
	InitializeSListHead(&l->ListHead);
	l->Depth = DEPTH;
	l->Type = type;
	l->Tag = tag;
	l->Flags = flags;
	l->Size = size < sizeof(SLIST_ENTRY) ? sizeof(SLIST_ENTRY) : size;
}

static PVOID make(PGENERAL_LOOKASIDE l)
{
	PALLOCATE_FUNCTION_EX allocate_ex = (PALLOCATE_FUNCTION_EX)l->AllocateEx;

	if (allocate_ex)
		return allocate_ex(l->Type, l->Size, l->Tag,
		                   CONTAINING_RECORD(l, LOOKASIDE_LIST_EX, L));
	if (l->Allocate)
		return l->Allocate(l->Type, l->Size, l->Tag);
	return nt_apart_allocate_typed("ExAllocateFromLookasideList", l->Type, l->Size, l->Tag);
}

static void destroy(PGENERAL_LOOKASIDE l, PVOID p)
{
	PFREE_FUNCTION_EX free_ex = (PFREE_FUNCTION_EX)l->FreeEx;

	if (free_ex)
		free_ex(p, CONTAINING_RECORD(l, LOOKASIDE_LIST_EX, L));
	else if (l->Free)
		l->Free(p);
	else
		ExFreePoolWithTag(p, l->Tag);
}

static PVOID take(PGENERAL_LOOKASIDE l)
{
	PSLIST_ENTRY entry = InterlockedPopEntrySList(&l->ListHead);
	PVOID p = entry ? entry : make(l);

	if (!p && (l->Flags & EX_LOOKASIDE_LIST_EX_FLAGS_RAISE_ON_FAIL))
		nt_die("a lookaside list has no memory for %zu bytes, and was asked to raise",
		       l->Size);
	return p;
}

static void give_back(PGENERAL_LOOKASIDE l, PVOID p)
{
	if (!is_drivers_own(l) && ExQueryDepthSList(&l->ListHead) < l->Depth)
		InterlockedPushEntrySList(&l->ListHead, p);
	else
		destroy(l, p);
}

static void flush(PGENERAL_LOOKASIDE l)
{
	PSLIST_ENTRY entry = InterlockedFlushSList(&l->ListHead);

	while (entry) {
		PSLIST_ENTRY next = entry->Next;

		destroy(l, entry);
		entry = next;
	}
}

void ExInitializeNPagedLookasideList(PNPAGED_LOOKASIDE_LIST list, PALLOCATE_FUNCTION allocate,
                                     PFREE_FUNCTION free, ULONG flags, SIZE_T size, ULONG tag,
                                     USHORT depth)
{
	init(&list->L, NonPagedPoolNx, 0, size, tag);
	list->L.Allocate = allocate;
	list->L.Free = free;
}

void ExDeleteNPagedLookasideList(PNPAGED_LOOKASIDE_LIST list)
{
	flush(&list->L);
}

PVOID ExAllocateFromNPagedLookasideList(PNPAGED_LOOKASIDE_LIST list)
{
	return take(&list->L);
}

void ExFreeToNPagedLookasideList(PNPAGED_LOOKASIDE_LIST list, PVOID p)
{
	give_back(&list->L, p);
}

void ExInitializePagedLookasideList(PPAGED_LOOKASIDE_LIST list, PALLOCATE_FUNCTION allocate,
                                    PFREE_FUNCTION free, ULONG flags, SIZE_T size, ULONG tag,
                                    USHORT depth)
{
	init(&list->L, PagedPool, 0, size, tag);
	list->L.Allocate = allocate;
	list->L.Free = free;
}

void ExDeletePagedLookasideList(PPAGED_LOOKASIDE_LIST list)
{
	flush(&list->L);
}

PVOID ExAllocateFromPagedLookasideList(PPAGED_LOOKASIDE_LIST list)
{
	return nt_irql_at_most(APC_LEVEL, __func__, NULL) ? take(&list->L) : NULL;
}

void ExFreeToPagedLookasideList(PPAGED_LOOKASIDE_LIST list, PVOID p)
{
	if (nt_irql_at_most(APC_LEVEL, __func__, NULL))
		give_back(&list->L, p);
}

NTSTATUS ExInitializeLookasideListEx(PLOOKASIDE_LIST_EX list, PALLOCATE_FUNCTION_EX allocate,
                                     PFREE_FUNCTION_EX free, POOL_TYPE type, ULONG flags,
                                     SIZE_T size, ULONG tag, USHORT depth)
{
	if (flags & ~(ULONG)(EX_LOOKASIDE_LIST_EX_FLAGS_RAISE_ON_FAIL |
	                     EX_LOOKASIDE_LIST_EX_FLAGS_FAIL_NO_RAISE))
		return STATUS_INVALID_PARAMETER_5;
	init(&list->L, type, flags, size, tag);
	list->L.AllocateEx = (PVOID)allocate;
	list->L.FreeEx = (PVOID)free;
	return STATUS_SUCCESS;
}

void ExDeleteLookasideListEx(PLOOKASIDE_LIST_EX list)
{
	flush(&list->L);
}

PVOID ExAllocateFromLookasideListEx(PLOOKASIDE_LIST_EX list)
{
	return take(&list->L);
}

void ExFreeToLookasideListEx(PLOOKASIDE_LIST_EX list, PVOID p)
{
	give_back(&list->L, p);
}

void ExFlushLookasideListEx(PLOOKASIDE_LIST_EX list)
{
	flush(&list->L);
}
