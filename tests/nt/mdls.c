/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

#include <sys/mman.h>

#define TAG 0x74736554 /* "Test" */

_Static_assert(sizeof(MDL) == 48, "as on 64-bit Windows, so that drivers' sizes come out the same");

static void an_mdl_counts_its_pages(void **state)
{
	PMDL mdl = IoAllocateMdl((PVOID)0x10000ff8, 0x1010, FALSE, FALSE, NULL);

	assert_non_null(mdl);
	assert_int_equal(MmGetMdlByteCount(mdl), 0x1010);
	assert_int_equal(MmGetMdlByteOffset(mdl), 0xff8);
	assert_ptr_equal(MmGetMdlVirtualAddress(mdl), (PVOID)0x10000ff8);
	assert_ptr_equal(MmGetMdlBaseVa(mdl), (PVOID)0x10000000);
	assert_int_equal(mdl->Size, sizeof(MDL) + 3 * sizeof(PFN_NUMBER));
	assert_int_equal(MmSizeOfMdl((PVOID)0x10000ff8, 0x1010), mdl->Size);
	IoFreeMdl(mdl);
	assert_int_equal(ADDRESS_AND_SIZE_TO_SPAN_PAGES(0xfff, 1), 1);
	assert_int_equal(ADDRESS_AND_SIZE_TO_SPAN_PAGES(0xfff, 2), 2);
	assert_int_equal(ADDRESS_AND_SIZE_TO_SPAN_PAGES(0, 0), 0);
	assert_int_equal(BYTES_TO_PAGES(4097), 2);
	assert_int_equal(ROUND_TO_PAGES(4097), 8192);
}

static void an_mdl_describes_up_to_4_gib(void **state)
{
	const size_t most = ((size_t)4 << 30) - PAGE_SIZE;
	const size_t sizes[] = { 16 << 20, 64 << 20, (size_t)1 << 31, most - 1, most };
	uint8_t *p = mmap(NULL, most + PAGE_SIZE, PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		for (unsigned offset = 0; offset < PAGE_SIZE; offset += PAGE_SIZE - 1) {
			PMDL mdl = IoAllocateMdl(p + offset, (ULONG)sizes[i], FALSE, FALSE, NULL);
			PMDL part = IoAllocateMdl(p + offset, (ULONG)sizes[i], FALSE, FALSE, NULL);
			size_t pages = ADDRESS_AND_SIZE_TO_SPAN_PAGES(p + offset, sizes[i]);

			assert_non_null(mdl);
			assert_non_null(part);
			assert_int_equal(MmGetMdlByteCount(mdl), sizes[i]);
			MmBuildMdlForNonPagedPool(mdl);
			assert_int_equal(MmGetMdlPfnArray(mdl)[pages - 1],
			                 ((uintptr_t)p >> 12) + pages - 1);
			assert_ptr_equal(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority),
			                 p + offset);
			/* all of it, and its last bytes */
			IoBuildPartialMdl(mdl, part, p + offset, 0);
			assert_int_equal(MmGetMdlByteCount(part), sizes[i]);
			assert_int_equal(MmGetMdlPfnArray(part)[pages - 1],
			                 ((uintptr_t)p >> 12) + pages - 1);
			MmPrepareMdlForReuse(part);
			IoBuildPartialMdl(mdl, part, p + offset + sizes[i] - 2, 2);
			assert_int_equal(MmGetMdlByteCount(part), 2);
			assert_int_equal(MmGetMdlPfnArray(part)[0],
			                 (uintptr_t)(p + offset + sizes[i] - 2) >> 12);
			IoFreeMdl(part);
			IoFreeMdl(mdl);
		}
	}
	assert_null(IoAllocateMdl(p, (ULONG)(most + 1), FALSE, FALSE, NULL));
	assert_null(IoAllocateMdl(p, UINT32_MAX, FALSE, FALSE, NULL));
	munmap(p, most + PAGE_SIZE);
}

static void many_pages_can_be_had_without_an_address(void **state)
{
	PHYSICAL_ADDRESS any = { .QuadPart = 0 };
	PMDL mdl = MmAllocatePagesForMdl(any, any, any, 48 << 20);

	assert_non_null(mdl);
	assert_int_equal(MmGetMdlByteCount(mdl), 48 << 20);
	assert_non_null(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority));
	MmFreePagesFromMdl(mdl);
	ExFreePool(mdl);
	assert_null(MmAllocatePagesForMdl(any, any, any, (SIZE_T)4 << 30));
}

static void pool_is_described_as_it_is(void **state)
{
	uint8_t *p = ExAllocatePool2(POOL_FLAG_NON_PAGED, 3 * PAGE_SIZE, TAG);
	PMDL mdl = IoAllocateMdl(p + 100, 2 * PAGE_SIZE, FALSE, FALSE, NULL);

	MmBuildMdlForNonPagedPool(mdl);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(MmGetMdlPfnArray(mdl)[i], ((uintptr_t)p >> 12) + i);
	assert_ptr_equal(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority), p + 100);
	IoFreeMdl(mdl);
	ExFreePool(p);
}

static void any_memory_can_be_locked(void **state)
{
	static uint8_t buffer[3 * PAGE_SIZE];
	PMDL mdl = IoAllocateMdl(buffer + 7, PAGE_SIZE, FALSE, FALSE, NULL);

	MmProbeAndLockPages(mdl, KernelMode, IoWriteAccess);
	assert_true(mdl->MdlFlags & MDL_PAGES_LOCKED);
	assert_int_equal(MmGetMdlPfnArray(mdl)[0], (uintptr_t)(buffer + 7) >> 12);
	/* in a row, so there is nothing to map */
	assert_ptr_equal(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority), buffer + 7);
	MmUnlockPages(mdl);
	assert_false(mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA));
	IoFreeMdl(mdl);
}

static void a_partial_mdl_is_a_part(void **state)
{
	uint8_t *p = ExAllocatePool2(POOL_FLAG_NON_PAGED, 4 * PAGE_SIZE, TAG);
	PMDL whole = IoAllocateMdl(p + 10, 3 * PAGE_SIZE, FALSE, FALSE, NULL);
	PMDL part = IoAllocateMdl(p + 10, 3 * PAGE_SIZE, FALSE, FALSE, NULL);

	MmBuildMdlForNonPagedPool(whole);
	IoBuildPartialMdl(whole, part, p + 10 + 5000, 100);
	assert_int_equal(MmGetMdlByteCount(part), 100);
	assert_int_equal(MmGetMdlByteOffset(part), (10 + 5000) % PAGE_SIZE);
	assert_int_equal(MmGetMdlPfnArray(part)[0], ((uintptr_t)p >> 12) + 1);
	assert_ptr_equal(MmGetSystemAddressForMdlSafe(part, 0), p + 10 + 5000);
	MmPrepareMdlForReuse(part);
	IoBuildPartialMdl(whole, part, p + 10 + 5000, 0); /* to the end */
	assert_int_equal(MmGetMdlByteCount(part), 3 * PAGE_SIZE - 5000);
	IoFreeMdl(part);
	IoFreeMdl(whole);
	ExFreePool(p);
}

/* As the library makes one over a guest's pages: in any order, no address of its own. */
static PMDL scattered(uint8_t *pages, uint32_t offset, uint32_t size, const unsigned *order)
{
	PMDL mdl = IoAllocateMdl((PVOID)(uintptr_t)offset, size, FALSE, FALSE, NULL);

	for (unsigned i = 0; i < ADDRESS_AND_SIZE_TO_SPAN_PAGES((uintptr_t)offset, size); i++)
		MmGetMdlPfnArray(mdl)[i] = (uintptr_t)(pages + order[i] * PAGE_SIZE) >> 12;
	mdl->MdlFlags |= MDL_PAGES_LOCKED;
	return mdl;
}

static void fill(uint8_t *pages, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		memset(pages + i * PAGE_SIZE, (int)i + 1, PAGE_SIZE);
}

static void scattered_pages_are_mapped_in_a_row(void **state)
{
	static const unsigned order[] = { 3, 0, 1, 2 };
	uint64_t before = nt_pool_outstanding(NULL, 0, NULL);
	uint8_t *pages = nt_pages_allocate(4), *va;
	PMDL mdl = scattered(pages, 0x800, 3 * PAGE_SIZE, order);

	fill(pages, 4);
	assert_null(mdl->StartVa);
	va = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
	assert_non_null(va);
	assert_int_equal(BYTE_OFFSET(va), 0x800);
	assert_int_equal(va[0], 4);
	assert_int_equal(va[0x800], 1);
	assert_int_equal(va[0x1800], 2);
	assert_int_equal(va[3 * PAGE_SIZE - 1], 3);
	va[0x800] = 0x77; /* the same memory */
	assert_int_equal(pages[0], 0x77);
	assert_ptr_equal(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority), va);
	MmUnmapLockedPages(va, mdl);
	assert_int_equal(msync(PAGE_ALIGN(va), PAGE_SIZE, MS_ASYNC), -1);
	/* and once more; this time unlocking does it */
	va = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
	assert_int_equal(va[0x800], 0x77);
	MmUnlockPages(mdl);
	assert_int_equal(msync(PAGE_ALIGN(va), PAGE_SIZE, MS_ASYNC), -1);
	IoFreeMdl(mdl);
	nt_pages_free(pages, 4);
	assert_int_equal(nt_pool_outstanding(NULL, 0, NULL), before);
}

static void a_part_of_scattered_pages_is_mapped_on_its_own(void **state)
{
	static const unsigned order[] = { 3, 0, 2 };
	uint8_t *pages = nt_pages_allocate(4), *va;
	PMDL whole = scattered(pages, 16, 3 * PAGE_SIZE - 16, order);
	PMDL part = IoAllocateMdl(NULL, 3 * PAGE_SIZE, FALSE, FALSE, NULL);

	fill(pages, 4);
	IoBuildPartialMdl(whole, part, (PUCHAR)MmGetMdlVirtualAddress(whole) + PAGE_SIZE,
	                  2 * PAGE_SIZE - 32);
	va = MmGetSystemAddressForMdlSafe(part, NormalPagePriority);
	assert_non_null(va);
	assert_int_equal(BYTE_OFFSET(va), 16);
	assert_int_equal(va[0], 1);
	assert_int_equal(va[PAGE_SIZE], 3);
	assert_false(whole->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA);
	MmPrepareMdlForReuse(part);
	assert_int_equal(msync(PAGE_ALIGN(va), PAGE_SIZE, MS_ASYNC), -1);
	/* freed as it is, it takes its mapping along */
	IoBuildPartialMdl(whole, part, (PUCHAR)MmGetMdlVirtualAddress(whole), PAGE_SIZE);
	va = MmGetSystemAddressForMdlSafe(part, NormalPagePriority);
	assert_int_equal(va[0], 4);
	IoFreeMdl(part);
	assert_int_equal(msync(PAGE_ALIGN(va), PAGE_SIZE, MS_ASYNC), -1);
	part = IoAllocateMdl(NULL, 3 * PAGE_SIZE, FALSE, FALSE, NULL);
	IoBuildPartialMdl(whole, part, (PUCHAR)MmGetMdlVirtualAddress(whole) + 2 * PAGE_SIZE, 8);
	va = MmGetSystemAddressForMdlSafe(part, NormalPagePriority);
	assert_ptr_equal(va, pages + 2 * PAGE_SIZE + 16); /* one page is a row */
	IoFreeMdl(part);
	IoFreeMdl(whole);
	nt_pages_free(pages, 4);
}

static void pages_nobody_can_map_are_null(void **state)
{
	uint8_t *p = mmap(NULL, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                  -1, 0);
	static const unsigned order[] = { 2, 0 };
	PMDL mdl = scattered(p, 0, 2 * PAGE_SIZE, order);

	assert_null(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority));
	assert_false(mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA);
	IoFreeMdl(mdl);
	munmap(p, 3 * PAGE_SIZE);
}

static void a_chain_goes_on_with_next(void **state)
{
	uint8_t *p = ExAllocatePool2(POOL_FLAG_NON_PAGED, 3 * PAGE_SIZE, TAG);
	IO_STACK_LOCATION location = { .MajorFunction = IRP_MJ_READ };
	IRP irp = { .Tail.Overlay.CurrentStackLocation = &location };
	PMDL a = IoAllocateMdl(p, 10, FALSE, FALSE, &irp);
	PMDL b = IoAllocateMdl(p + PAGE_SIZE, 20, TRUE, FALSE, &irp);
	PMDL c = IoAllocateMdl(p + 2 * PAGE_SIZE, 30, TRUE, FALSE, &irp);
	ULONG sum = 0;

	for (PMDL mdl = irp.MdlAddress; mdl; mdl = mdl->Next)
		sum += MmGetMdlByteCount(mdl);
	assert_int_equal(sum, 60);
	assert_ptr_equal(a->Next, b);
	IoFreeMdl(a);
	IoFreeMdl(b);
	IoFreeMdl(c);
	ExFreePool(p);
}

static void pages_can_be_had_without_an_address(void **state)
{
	PHYSICAL_ADDRESS none = { .QuadPart = 0 }, all = { .QuadPart = -1 };
	uint64_t before = nt_pool_outstanding(NULL, 0, NULL);
	PMDL mdl = MmAllocatePagesForMdl(none, all, none, 5000);
	uint8_t *va = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);

	assert_int_equal(MmGetMdlByteCount(mdl), 5000);
	assert_int_equal(va[4999], 0);
	va[4999] = 1;
	MmFreePagesFromMdl(mdl);
	ExFreePool(mdl);
	assert_int_equal(nt_pool_outstanding(NULL, 0, NULL), before);
}

static void lock_nothing(void)
{
	uint8_t *p = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	PMDL mdl;

	munmap(p, PAGE_SIZE);
	mdl = IoAllocateMdl(p, 10, FALSE, FALSE, NULL);
	MmProbeAndLockPages(mdl, KernelMode, IoReadAccess);
}

static void part_of_more(void)
{
	static uint8_t buffer[PAGE_SIZE];
	PMDL whole = IoAllocateMdl(buffer, 100, FALSE, FALSE, NULL);
	PMDL part = IoAllocateMdl(buffer, 100, FALSE, FALSE, NULL);

	IoBuildPartialMdl(whole, part, buffer + 50, 51);
}

static void part_too_big_for_target(void)
{
	static uint8_t buffer[4 * PAGE_SIZE];
	PMDL whole = IoAllocateMdl(buffer, 3 * PAGE_SIZE, FALSE, FALSE, NULL);
	PMDL part = IoAllocateMdl(buffer, 1, FALSE, FALSE, NULL);

	IoBuildPartialMdl(whole, part, buffer, 3 * PAGE_SIZE);
}

static void map_unlocked(void)
{
	static uint8_t buffer[PAGE_SIZE];
	PMDL mdl = IoAllocateMdl(buffer, 100, FALSE, FALSE, NULL);

	assert_null(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority));
}

static void unlock_unlocked(void)
{
	static uint8_t buffer[PAGE_SIZE];

	MmUnlockPages(IoAllocateMdl(buffer, 100, FALSE, FALSE, NULL));
}

static void misuse_is_told(void **state)
{
	expect_misuse(lock_nothing, "memory that is not mapped");
	expect_misuse(part_of_more, "must lie within the source");
	expect_misuse(part_too_big_for_target, "too few pages");
	expect_misuse(map_unlocked, "must be locked");
	expect_misuse(unlock_unlocked, "not locked");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_mdl_counts_its_pages),
		cmocka_unit_test(an_mdl_describes_up_to_4_gib),
		cmocka_unit_test(many_pages_can_be_had_without_an_address),
		cmocka_unit_test(pool_is_described_as_it_is),
		cmocka_unit_test(any_memory_can_be_locked),
		cmocka_unit_test(a_partial_mdl_is_a_part),
		cmocka_unit_test(scattered_pages_are_mapped_in_a_row),
		cmocka_unit_test(a_part_of_scattered_pages_is_mapped_on_its_own),
		cmocka_unit_test(pages_nobody_can_map_are_null),
		cmocka_unit_test(a_chain_goes_on_with_next),
		cmocka_unit_test(pages_can_be_had_without_an_address),
		cmocka_unit_test(misuse_is_told),
	};

	return RUN(tests);
}
