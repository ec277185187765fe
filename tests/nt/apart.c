/* SPDX-License-Identifier: BSD-2-Clause */

/* What NT follows, sizes or calls is not in the memory that the other end maps: somebody writes
 * over all of that, again and again, while everything that NT hands out is made, used and freed. */

#include "harness.h"

#include <ntstrsafe.h>
#include <sys/mman.h>

#define TAG 0x74736554 /* "Test" */

static DRIVER_OBJECT driver;
static bool stop;
static unsigned rounds;

/* As the other end does: by a mapping of its own, for ever. */
static void *write_over_all(void *unused)
{
	const struct nt_ram *ram = nt_ram();
	uint8_t *mapped = mmap(NULL, ram->size, PROT_READ | PROT_WRITE, MAP_SHARED, ram->fd, 0);
	unsigned char value = 0;

	assert_true(mapped != MAP_FAILED);
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		memset(mapped, value += 0x5b, ram->size);
		__atomic_add_fetch(&rounds, 1, __ATOMIC_RELEASE);
	}
	munmap(mapped, ram->size);
	return NULL;
}

/* Until all has been written over since the call. */
static void wait_until_written_over(void)
{
	unsigned before = __atomic_load_n(&rounds, __ATOMIC_ACQUIRE);

	while (__atomic_load_n(&rounds, __ATOMIC_ACQUIRE) < before + 2)
		YieldProcessor();
}

static void mdls(void)
{
	PHYSICAL_ADDRESS zero = { .QuadPart = 0 }, most = { .QuadPart = INT64_MAX };
	void *buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, 3 * PAGE_SIZE, TAG);
	PMDL mdl = IoAllocateMdl(buffer, 3 * PAGE_SIZE, FALSE, FALSE, NULL);
	PMDL part = IoAllocateMdl(buffer, PAGE_SIZE, FALSE, FALSE, NULL);
	PMDL pages = MmAllocatePagesForMdlEx(zero, most, zero, 2 * PAGE_SIZE, MmCached, 0);
	void *mapped;

	assert_non_null(pages);
	assert_true(nt_is_apart(mdl) && nt_is_apart(part) && nt_is_apart(pages));
	assert_false(nt_is_apart(buffer));
	MmBuildMdlForNonPagedPool(mdl);
	mdl->Next = part;
	IoBuildPartialMdl(mdl, part, (uint8_t *)buffer + PAGE_SIZE, 100);
	mapped = MmMapLockedPagesSpecifyCache(pages, KernelMode, MmCached, NULL, FALSE, 0);
	wait_until_written_over();
	assert_ptr_equal(mdl->Next, part);
	assert_ptr_equal(MmGetSystemAddressForMdlSafe(mdl, 0), buffer);
	assert_ptr_equal(MmGetSystemAddressForMdlSafe(part, 0), (uint8_t *)buffer + PAGE_SIZE);
	assert_ptr_equal(MmGetSystemAddressForMdlSafe(pages, 0), mapped);
	assert_int_equal(MmGetMdlPfnArray(mdl)[2], ((uintptr_t)buffer >> PAGE_SHIFT) + 2);
	IoFreeMdl(part);
	IoFreeMdl(mdl);
	MmFreePagesFromMdl(pages);
	ExFreePool(pages);
	ExFreePoolWithTag(buffer, TAG);
}

static void run(PDEVICE_OBJECT device, PVOID context)
{
	KeSetEvent(context, 0, FALSE);
}

/* The extension is the driver's memory for what it follows. */
static void devices_and_work(void)
{
	UNICODE_STRING name;
	PDEVICE_OBJECT device;
	PIO_WORKITEM item;
	PRKEVENT event;

	RtlInitUnicodeString(&name, u"\\Device\\Apart");
	assert_int_equal(IoCreateDevice(&driver, sizeof(KEVENT), &name, FILE_DEVICE_UNKNOWN, 0,
	                                FALSE, &device),
	                 STATUS_SUCCESS);
	item = IoAllocateWorkItem(device);
	assert_true(nt_is_apart(device) && nt_is_apart(device->DeviceExtension));
	assert_true(nt_is_apart(item));
	event = device->DeviceExtension;
	KeInitializeEvent(event, NotificationEvent, FALSE);
	wait_until_written_over();
	ObReferenceObject(device);
	IoQueueWorkItem(item, run, DelayedWorkQueue, event);
	assert_int_equal(KeWaitForSingleObject(event, Executive, KernelMode, FALSE, NULL),
	                 STATUS_SUCCESS);
	IoFreeWorkItem(item);
	ObDereferenceObject(device);
	IoDeleteDevice(device);
}

static void lookaside_lists(void)
{
	NPAGED_LOOKASIDE_LIST list;
	void *p[8];

	ExInitializeNPagedLookasideList(&list, NULL, NULL, 0, 200, TAG, 0);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 8; i++) {
			p[i] = ExAllocateFromNPagedLookasideList(&list);
			assert_true(nt_is_apart(p[i]));
		}
		for (unsigned i = 0; i < 8; i++)
			ExFreeToNPagedLookasideList(&list, p[i]);
		wait_until_written_over();
	}
	ExDeleteNPagedLookasideList(&list);
}

static PVOID from_the_pool(POOL_TYPE type, SIZE_T size, ULONG tag)
{
	return ExAllocatePoolWithTag(type, size, tag);
}

static void to_the_pool(PVOID p)
{
	ExFreePool(p);
}

/* A list of the driver's own blocks may be one of shared blocks: none of them is linked. */
static void lookaside_lists_of_the_drivers(void)
{
	NPAGED_LOOKASIDE_LIST list;
	void *p[4];

	ExInitializeNPagedLookasideList(&list, from_the_pool, to_the_pool, 0, 200, TAG, 0);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 4; i++) {
			p[i] = ExAllocateFromNPagedLookasideList(&list);
			assert_non_null(p[i]);
		}
		for (unsigned i = 0; i < 4; i++)
			ExFreeToNPagedLookasideList(&list, p[i]);
		wait_until_written_over();
	}
	ExDeleteNPagedLookasideList(&list);
}

static void strings(void)
{
	GUID guid = { 0x12345678 };
	UNICODE_STRING text, copy;
	ANSI_STRING ansi;

	RtlInitAnsiString(&ansi, "text");
	assert_int_equal(RtlStringFromGUID(&guid, &text), STATUS_SUCCESS);
	assert_int_equal(RtlAnsiStringToUnicodeString(&copy, &ansi, TRUE), STATUS_SUCCESS);
	assert_true(nt_is_apart(text.Buffer) && nt_is_apart(copy.Buffer));
	wait_until_written_over();
	assert_int_equal(text.Buffer[38], 0);
	assert_int_equal(copy.Buffer[4], 0);
	RtlFreeUnicodeString(&text);
	RtlFreeUnicodeString(&copy);
}

/* The pool's own books are elsewhere, too. */
static void blocks(void)
{
	void *p[40];

	for (unsigned i = 0; i < 40; i++) {
		p[i] = ExAllocatePoolWithTag(NonPagedPoolNx, 40 + i * 300, TAG);
		assert_non_null(p[i]);
		assert_false(nt_is_apart(p[i]));
	}
	wait_until_written_over();
	for (unsigned i = 0; i < 40; i++)
		ExFreePoolWithTag(p[i], TAG);
}

static void nothing_that_nt_follows_is_shared(void **state)
{
	static void (*const parts[])(void) = {
		mdls,  devices_and_work, lookaside_lists, lookaside_lists_of_the_drivers, strings,
		blocks
	};
	uint64_t before = nt_pool_outstanding(NULL, 0, NULL);
	pthread_t writer;

	assert_int_equal(pthread_create(&writer, NULL, write_over_all, NULL), 0);
	for (unsigned i = 0; i < 3 * sizeof(parts) / sizeof(parts[0]); i++)
		parts[i % (sizeof(parts) / sizeof(parts[0]))]();
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	pthread_join(writer, NULL);
	assert_int_equal(nt_pool_outstanding(NULL, 0, NULL), before);
}

/* Either heap can be used up without the other. */
static void heaps_do_not_share_their_room(void **state)
{
	static void *blocks[64];
	size_t n = 0;
	PMDL mdl;

	while (n < 64 && (blocks[n] = ExAllocatePool2(POOL_FLAG_NON_PAGED, 1 << 20, TAG)) != NULL)
		n++;
	assert_true(n > 0 && n < 64);
	assert_null(nt_pages_allocate(1 << 8));
	mdl = IoAllocateMdl(blocks[0], 1 << 20, FALSE, FALSE, NULL);
	assert_non_null(mdl);
	IoFreeMdl(mdl);
	while (n--)
		ExFreePoolWithTag(blocks[n], TAG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_that_nt_follows_is_shared),
		cmocka_unit_test(heaps_do_not_share_their_room),
	};

	setenv("KMCL_RAM_MB", "16", 1); /* little to write over */
	return RUN(tests);
}
