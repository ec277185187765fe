/* SPDX-License-Identifier: BSD-2-Clause */

/* A process that has used everything and now does nothing costs nothing. */

#include "../sanitized.h"
#include "harness.h"

#include <dirent.h>

/* ThreadSanitizer has a thread of its own, which does not. */
#define OTHERS_AWAKE (SANITIZED_THREAD ? 100 : 0)

static LONG count;

static void tick(PKDPC dpc, PVOID context, PVOID arg1, PVOID arg2)
{
	InterlockedIncrement(&count);
}

static void work(void *context)
{
	sleep_ms(5);
	InterlockedIncrement(&count);
}

static void use_everything(void)
{
	struct nt_work items[6];
	struct nt_strand strand;
	struct nt_strand_item item = { .routine = work };
	KTIMER timer;
	KDPC dpc;

	KeInitializeDpc(&dpc, tick, NULL);
	KeInitializeTimerEx(&timer, SynchronizationTimer);
	KeSetTimerEx(&timer, from_now(1), 1, &dpc);
	for (unsigned i = 0; i < 6; i++) {
		items[i].routine = work;
		nt_work_queue(&items[i]);
	}
	nt_strand_init(&strand);
	nt_strand_queue(&strand, &item);
	nt_strand_drain(&strand);
	while (ReadAcquire(&count) < 15)
		wait_ms(&timer, 1000);
	KeCancelTimer(&timer);
	/* one that is set, but not soon */
	KeInitializeTimer(&timer);
	KeSetTimer(&timer, from_now(100000), NULL);
	sleep_ms(50);
	KeCancelTimer(&timer);
}

/* How often threads other than this one went to sleep or were preempted, ever. */
static unsigned long switches_of_others(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned long sum = 0;

	while ((entry = readdir(dir)) != NULL) {
		char path[300], line[128];
		unsigned long n;
		FILE *f;

		if (entry->d_name[0] == '.' || atoi(entry->d_name) == (int)getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
		f = fopen(path, "r");
		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1)
				sum += n;
		if (f)
			fclose(f);
	}
	closedir(dir);
	return sum;
}

static void an_idle_process_sleeps(void **state)
{
	unsigned long before, after;

	use_everything();
	sleep_ms(100);
	before = switches_of_others();
	assert_true(before > 0);
	sleep_ms(400);
	after = switches_of_others();
	assert_in_range(after - before, 0, OTHERS_AWAKE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_process_sleeps),
	};

	return RUN(tests);
}
