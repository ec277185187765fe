/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

#include <sys/resource.h>
#include <time.h>

static KSPIN_LOCK lock;
static unsigned counter;

static void it_raises_to_dispatch_level_and_back(void **state)
{
	KLOCK_QUEUE_HANDLE handle;
	KIRQL irql;

	KeInitializeSpinLock(&lock);
	assert_true(KeTestSpinLock(&lock));
	KeAcquireSpinLock(&lock, &irql);
	assert_int_equal(irql, PASSIVE_LEVEL);
	assert_int_equal(KeGetCurrentIrql(), DISPATCH_LEVEL);
	assert_false(KeTestSpinLock(&lock));
	KeReleaseSpinLock(&lock, irql);
	assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
	KeAcquireInStackQueuedSpinLock(&lock, &handle);
	assert_int_equal(KeGetCurrentIrql(), DISPATCH_LEVEL);
	KeReleaseInStackQueuedSpinLock(&handle);
	assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
	assert_true(KeTestSpinLock(&lock));
}

static void *count(void *argument)
{
	for (unsigned i = 0; i < 20000; i++) {
		KIRQL irql;

		KeAcquireSpinLock(&lock, &irql);
		counter++;
		KeReleaseSpinLock(&lock, irql);
	}
	return NULL;
}

static void it_excludes(void **state)
{
	pthread_t threads[4];

	KeInitializeSpinLock(&lock);
	counter = 0;
	for (unsigned i = 0; i < 4; i++)
		threads[i] = start(count, NULL);
	for (unsigned i = 0; i < 4; i++)
		finish(threads[i]);
	assert_int_equal(counter, 80000);
	assert_true(KeTestSpinLock(&lock));
}

static void *try(void *argument)
{
	KIRQL irql = KeRaiseIrqlToDpcLevel();

	*(BOOLEAN *)argument = KeTryToAcquireSpinLockAtDpcLevel(&lock);
	if (*(BOOLEAN *)argument)
		KeReleaseSpinLockFromDpcLevel(&lock);
	KeLowerIrql(irql);
	return NULL;
}

static void trying_does_not_wait(void **state)
{
	BOOLEAN got = TRUE;
	KIRQL irql;

	KeInitializeSpinLock(&lock);
	KeAcquireSpinLock(&lock, &irql);
	finish(start(try, &got));
	assert_false(got);
	KeReleaseSpinLock(&lock, irql);
	finish(start(try, &got));
	assert_true(got);
}

static uint64_t thread_cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void *wait_for_it(void *argument)
{
	KIRQL irql;

	KeAcquireSpinLock(&lock, &irql);
	KeReleaseSpinLock(&lock, irql);
	*(uint64_t *)argument = thread_cpu_us();
	return NULL;
}

/* The owner may have been preempted for long. */
static void a_long_wait_costs_no_processor_time(void **state)
{
	uint64_t cost = 0;
	pthread_t thread;
	KIRQL irql;

	KeInitializeSpinLock(&lock);
	KeAcquireSpinLock(&lock, &irql);
	thread = start(wait_for_it, &cost);
	sleep_ms(200);
	KeReleaseSpinLock(&lock, irql);
	finish(thread);
	assert_in_range(cost, 0, 50000);
}

static void acquire_twice(void)
{
	KIRQL irql;

	KeAcquireSpinLock(&lock, &irql);
	KeAcquireSpinLock(&lock, &irql);
}

static void release_free(void)
{
	KIRQL irql = KeRaiseIrqlToDpcLevel();

	KeInitializeSpinLock(&lock);
	KeReleaseSpinLockFromDpcLevel(&lock);
	KeLowerIrql(irql);
}

static void acquire_below(void)
{
	KeInitializeSpinLock(&lock);
	KeAcquireSpinLockAtDpcLevel(&lock);
	KeReleaseSpinLockFromDpcLevel(&lock);
}

static void misuse_is_told(void **state)
{
	KeInitializeSpinLock(&lock);
	expect_death(acquire_twice, "holds the lock already");
	expect_misuse(release_free, "does not hold the lock");
	expect_misuse(acquire_below, "needs DISPATCH_LEVEL");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_raises_to_dispatch_level_and_back),
		cmocka_unit_test(it_excludes),
		cmocka_unit_test(trying_does_not_wait),
		cmocka_unit_test(a_long_wait_costs_no_processor_time),
		cmocka_unit_test(misuse_is_told),
	};

	return RUN(tests);
}
