/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

#include <dirent.h>

struct item {
	struct nt_work work;
	KEVENT *done;
	KIRQL irql;
	LONG runs;
};

static void note(void *context)
{
	struct item *item = context;

	item->irql = KeGetCurrentIrql();
	item->runs++;
	KeSetEvent(item->done, 0, FALSE);
}

static void it_runs_once_at_passive_level(void **state)
{
	KEVENT done;
	struct item item = { .work = { .routine = note, .context = &item },
		             .done = &done,
		             .irql = HIGH_LEVEL };
	KIRQL irql;

	KeInitializeEvent(&done, SynchronizationEvent, FALSE);
	irql = KeRaiseIrqlToDpcLevel();
	nt_work_queue(&item.work);
	KeLowerIrql(irql);
	wait_forever(&done);
	assert_int_equal(item.irql, PASSIVE_LEVEL);
	assert_int_equal(item.runs, 1);
}

#define MANY 12
static KEVENT go;
static LONG blocked;

static void block(void *context)
{
	InterlockedIncrement(&blocked);
	wait_forever(&go);
	InterlockedDecrement(&blocked);
}

static unsigned threads_named(const char *name)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned n = 0;

	while ((entry = readdir(dir)) != NULL) {
		char path[300], comm[32] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		if (fgets(comm, sizeof(comm), f))
			comm[strcspn(comm, "\n")] = '\0';
		fclose(f);
		n += strcmp(comm, name) == 0;
	}
	closedir(dir);
	return n;
}

/* Each may wait without holding up the others; afterwards few threads stay. */
static void routines_may_wait(void **state)
{
	struct nt_work work[MANY];

	KeInitializeEvent(&go, NotificationEvent, FALSE);
	for (unsigned i = 0; i < MANY; i++) {
		work[i].routine = block;
		nt_work_queue(&work[i]);
	}
	while (ReadAcquire(&blocked) < MANY)
		sleep_ms(1);
	/* at most one more: the last test's may not have been idle yet */
	assert_in_range(threads_named("nt-work"), MANY, MANY + 1);
	KeSetEvent(&go, 0, FALSE);
	for (unsigned i = 0; i < 2000 && threads_named("nt-work") > 4; i++)
		sleep_ms(1);
	assert_int_equal(threads_named("nt-work"), 4);
}

static LONG chained;
static KEVENT chain_done;

static void queue_again(void *context)
{
	struct nt_work *work = context;

	if (InterlockedIncrement(&chained) == 2000)
		KeSetEvent(&chain_done, 0, FALSE);
	else
		nt_work_queue(work);
}

static void it_may_queue_itself_again(void **state)
{
	struct nt_work work = { .routine = queue_again, .context = &work };

	KeInitializeEvent(&chain_done, NotificationEvent, FALSE);
	nt_work_queue(&work);
	wait_forever(&chain_done);
	assert_int_equal(chained, 2000);
}

struct freed {
	WORK_QUEUE_ITEM item;
	LONG *count;
};

static void free_itself(PVOID context)
{
	struct freed *f = context;
	LONG *count = f->count;

	ExFreePool(f);
	InterlockedIncrement(count);
}

static void its_memory_may_go_in_the_routine(void **state)
{
	LONG count = 0;

	for (unsigned i = 0; i < 500; i++) {
		struct freed *f = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof(*f), 'meti');

		f->count = &count;
		ExInitializeWorkItem(&f->item, free_itself, f);
		ExQueueWorkItem(&f->item, DelayedWorkQueue);
	}
	while (ReadAcquire(&count) < 500)
		sleep_ms(1);
}

static DRIVER_OBJECT driver;
static KEVENT io_done;
static PDEVICE_OBJECT seen_device;

static void io_routine(PDEVICE_OBJECT device, PVOID context)
{
	seen_device = device;
	IoFreeWorkItem(context);
	KeSetEvent(&io_done, 0, FALSE);
}

static void io_routine_ex(PVOID object, PVOID context, PIO_WORKITEM item)
{
	assert_ptr_equal(object, seen_device);
	assert_ptr_equal(context, &io_done);
	IoFreeWorkItem(item);
	KeSetEvent(&io_done, 0, FALSE);
}

static void a_device_stays_until_its_items_have_run(void **state)
{
	uint64_t before = nt_pool_outstanding(NULL, 0, NULL);
	PIO_WORKITEM item;
	PDEVICE_OBJECT device;

	KeInitializeEvent(&io_done, SynchronizationEvent, FALSE);
	assert_int_equal(IoCreateDevice(&driver, 16, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &device),
	                 STATUS_SUCCESS);
	item = IoAllocateWorkItem(device);
	IoQueueWorkItem(item, io_routine, DelayedWorkQueue, item);
	wait_forever(&io_done);
	assert_ptr_equal(seen_device, device);
	item = IoAllocateWorkItem(device);
	IoQueueWorkItemEx(item, io_routine_ex, DelayedWorkQueue, &io_done);
	IoDeleteDevice(device);
	wait_forever(&io_done);
	for (unsigned i = 0; i < 2000 && nt_pool_outstanding(NULL, 0, NULL) != before; i++)
		sleep_ms(1);
	assert_int_equal(nt_pool_outstanding(NULL, 0, NULL), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_runs_once_at_passive_level),
		cmocka_unit_test(routines_may_wait),
		cmocka_unit_test(it_may_queue_itself_again),
		cmocka_unit_test(its_memory_may_go_in_the_routine),
		cmocka_unit_test(a_device_stays_until_its_items_have_run),
	};

	return RUN(tests);
}
