/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

#include <sys/mman.h>

#define MDL_TAG       0x206c644d /* "Mdl " */
#define MDL_BYTES_MAX ((SIZE_T)UINT32_MAX + 1 - PAGE_SIZE)

static uint32_t page_count(const MDL *mdl)
{
	return ADDRESS_AND_SIZE_TO_SPAN_PAGES((uintptr_t)mdl->ByteOffset, mdl->ByteCount);
}

static uint32_t page_room(const MDL *mdl)
{
	uint32_t size = (uint32_t)mdl->Reserved << 16 | (USHORT)mdl->Size;

	return (size - (uint32_t)sizeof(MDL)) / sizeof(PFN_NUMBER);
}

SIZE_T MmSizeOfMdl(PVOID va, SIZE_T size)
{
	return sizeof(MDL) +
	       sizeof(PFN_NUMBER) * ((BYTE_OFFSET(va) + size + PAGE_SIZE - 1) >> PAGE_SHIFT);
}

static void append_to_irp(PIRP irp, PMDL mdl, BOOLEAN secondary)
{
	PMDL last = irp->MdlAddress;

	if (!secondary || !last) {
		irp->MdlAddress = mdl;
		return;
	}
	while (last->Next)
		last = last->Next;
	last->Next = mdl;
}

PMDL IoAllocateMdl(PVOID va, ULONG size, BOOLEAN secondary, BOOLEAN charge_quota, PIRP irp)
{
	SIZE_T bytes = MmSizeOfMdl(va, size);
	PMDL mdl;

	if (size > MDL_BYTES_MAX)
		return NULL;
	mdl = nt_apart_allocate(bytes, MDL_TAG);
	if (!mdl)
		return NULL;
	MmInitializeMdl(mdl, va, size);
	if (irp)
		append_to_irp(irp, mdl, secondary);
	return mdl;
}

/* Pages in a row need no mapping; then the address is that of the first one. */
static bool is_second_mapping(PMDL mdl)
{
	return (uintptr_t)PAGE_ALIGN(mdl->MappedSystemVa) >> PAGE_SHIFT != MmGetMdlPfnArray(mdl)[0];
}

static void unmap(PMDL mdl)
{
	if (is_second_mapping(mdl))
		nt_unmap_pages(PAGE_ALIGN(mdl->MappedSystemVa), page_count(mdl), NT_NO_MIRROR);
	mdl->MappedSystemVa = NULL;
	mdl->MdlFlags &= ~(MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL_HAS_BEEN_MAPPED);
}

/* A partial MDL's mapping is its source's unless it was mapped on its own. */
void MmPrepareMdlForReuse(PMDL mdl)
{
	if (mdl->MdlFlags & MDL_PARTIAL_HAS_BEEN_MAPPED)
		unmap(mdl);
}

void IoFreeMdl(PMDL mdl)
{
	if (!nt_irql_at_most(DISPATCH_LEVEL, __func__, NULL))
		return;
	MmPrepareMdlForReuse(mdl);
	ExFreePoolWithTag(mdl, MDL_TAG);
}

void IoBuildPartialMdl(PMDL source, PMDL target, PVOID va, ULONG size)
{
	const CSHORT inherited = MDL_SOURCE_IS_NONPAGED_POOL | MDL_MAPPED_TO_SYSTEM_VA |
	                         MDL_PAGES_LOCKED | MDL_IO_SPACE;
	uint64_t offset = (uintptr_t)va - (uintptr_t)MmGetMdlVirtualAddress(source);
	uint32_t first;

	if (offset > source->ByteCount || size > source->ByteCount - offset) {
		nt_misuse(__func__, NULL, "the range must lie within the source MDL");
		return;
	}
	if (size == 0)
		size = source->ByteCount - (uint32_t)offset;
	if (ADDRESS_AND_SIZE_TO_SPAN_PAGES(va, size) > page_room(target)) {
		nt_misuse(__func__, NULL, "the target MDL has too few pages for the range");
		return;
	}
	first = (uint32_t)((source->ByteOffset + offset) >> PAGE_SHIFT);
	target->Process = source->Process;
	target->StartVa = PAGE_ALIGN(va);
	target->ByteOffset = BYTE_OFFSET(va);
	target->ByteCount = size;
	target->MdlFlags &= MDL_ALLOCATED_FIXED_SIZE;
	target->MdlFlags |= MDL_PARTIAL | (source->MdlFlags & inherited);
	target->MappedSystemVa = NULL;
	if (source->MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL))
		target->MappedSystemVa = (PUCHAR)source->MappedSystemVa + offset;
	memcpy(MmGetMdlPfnArray(target), MmGetMdlPfnArray(source) + first,
	       page_count(target) * sizeof(PFN_NUMBER));
}

static void fill_pages(PMDL mdl)
{
	PFN_NUMBER first = (uintptr_t)mdl->StartVa >> PAGE_SHIFT;
	uint32_t i, count = page_count(mdl);

	for (i = 0; i < count; i++)
		MmGetMdlPfnArray(mdl)[i] = first + i;
}

void MmBuildMdlForNonPagedPool(PMDL mdl)
{
	fill_pages(mdl);
	mdl->MappedSystemVa = MmGetMdlVirtualAddress(mdl);
	mdl->MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
}

static bool pages_exist(PMDL mdl)
{
	unsigned char resident[256];
	uint8_t *page = mdl->StartVa;
	uint32_t left = page_count(mdl);

	while (left) {
		uint32_t n = left < sizeof(resident) ? left : sizeof(resident);

		if (mincore(page, (size_t)n * PAGE_SIZE, resident) != 0 && errno == ENOMEM)
			return false;
		page += (size_t)n * PAGE_SIZE;
		left -= n;
	}
	return true;
}

void MmProbeAndLockPages(PMDL mdl, KPROCESSOR_MODE mode, LOCK_OPERATION operation)
{
	if (!nt_irql_at_most(DISPATCH_LEVEL, __func__, NULL))
		return;
	if (mdl->MdlFlags & MDL_PAGES_LOCKED) {
		nt_misuse(__func__, NULL, "the MDL's pages are locked already");
		return;
	}
	if (!pages_exist(mdl)) {
		nt_misuse(__func__, NULL, "the MDL describes memory that is not mapped");
		return;
	}
	fill_pages(mdl);
	mdl->MdlFlags |= MDL_PAGES_LOCKED;
	if (operation != IoReadAccess)
		mdl->MdlFlags |= MDL_WRITE_OPERATION;
}

void MmUnlockPages(PMDL mdl)
{
	if (!(mdl->MdlFlags & MDL_PAGES_LOCKED)) {
		nt_misuse(__func__, NULL, "the MDL's pages are not locked");
		return;
	}
	if (mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA)
		unmap(mdl);
	mdl->MdlFlags &= ~(MDL_PAGES_LOCKED | MDL_WRITE_OPERATION);
}

static bool in_a_row(const PFN_NUMBER *pfns, uint32_t count)
{
	uint32_t i;

	for (i = 1; i < count; i++)
		if (pfns[i] != pfns[0] + i)
			return false;
	return true;
}

PVOID MmMapLockedPagesSpecifyCache(PMDL mdl, KPROCESSOR_MODE mode, MEMORY_CACHING_TYPE cache,
                                   PVOID address, ULONG bug_check, ULONG priority)
{
	PFN_NUMBER *pfns = MmGetMdlPfnArray(mdl);
	uint32_t count = page_count(mdl);
	uint8_t *at;

	if (!(mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_PARTIAL)) || count == 0 ||
	    (mdl->MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL))) {
		nt_misuse(__func__, NULL, "the MDL's pages must be locked and not mapped yet");
		return NULL;
	}
	if (in_a_row(pfns, count))
		at = (uint8_t *)(uintptr_t)(pfns[0] << PAGE_SHIFT);
	else
		at = nt_map_pages(pfns, count, NT_NO_MIRROR);
	if (!at)
		return NULL;
	mdl->MappedSystemVa = at + mdl->ByteOffset;
	mdl->MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA;
	if (mdl->MdlFlags & MDL_PARTIAL)
		mdl->MdlFlags |= MDL_PARTIAL_HAS_BEEN_MAPPED;
	return mdl->MappedSystemVa;
}

void MmUnmapLockedPages(PVOID address, PMDL mdl)
{
	if (!(mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) || mdl->MappedSystemVa != address) {
		nt_misuse(__func__, NULL, "the MDL is not mapped at that address");
		return;
	}
	unmap(mdl);
}

PMDL MmAllocatePagesForMdlEx(PHYSICAL_ADDRESS low, PHYSICAL_ADDRESS high, PHYSICAL_ADDRESS skip,
                             SIZE_T size, MEMORY_CACHING_TYPE cache, ULONG flags)
{
	SIZE_T pages = ROUND_TO_PAGES(size) >> PAGE_SHIFT;
	PMDL mdl;
	void *memory;

	if (size == 0 || size > MDL_BYTES_MAX)
		return NULL;
	mdl = nt_apart_allocate(MmSizeOfMdl(NULL, size), MDL_TAG);
	if (!mdl)
		return NULL;
	memory = nt_pages_allocate(pages);
	if (!memory) {
		ExFreePoolWithTag(mdl, MDL_TAG);
		return NULL;
	}
	MmInitializeMdl(mdl, memory, size);
	fill_pages(mdl);
	mdl->StartVa = NULL;
	mdl->MdlFlags |= MDL_PAGES_LOCKED;
	return mdl;
}

void MmFreePagesFromMdl(PMDL mdl)
{
	if (mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA)
		unmap(mdl);
	nt_pages_free((void *)(uintptr_t)(MmGetMdlPfnArray(mdl)[0] << PAGE_SHIFT), page_count(mdl));
	mdl->MdlFlags &= ~MDL_PAGES_LOCKED;
}
