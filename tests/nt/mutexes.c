/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

#include <time.h>

static KMUTEX mutex;
static FAST_MUTEX fast;
static unsigned counter;

static void a_mutex_is_recursive(void **state)
{
	KeInitializeMutex(&mutex, 0);
	assert_int_equal(KeReadStateMutex(&mutex), 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(wait_forever(&mutex), STATUS_SUCCESS);
	assert_true(KeReadStateMutex(&mutex) <= 0);
	assert_int_not_equal(KeReleaseMutex(&mutex, FALSE), 0);
	assert_int_not_equal(KeReleaseMutex(&mutex, FALSE), 0);
	assert_int_equal(KeReleaseMutex(&mutex, FALSE), 0);
	assert_int_equal(KeReadStateMutex(&mutex), 1);
}

static void *try_mutex(void *argument)
{
	*(NTSTATUS *)argument = poll(&mutex);
	return NULL;
}

static void another_thread_cannot_have_it(void **state)
{
	NTSTATUS status = STATUS_SUCCESS;

	KeInitializeMutex(&mutex, 0);
	wait_forever(&mutex);
	finish(start(try_mutex, &status));
	assert_int_equal(status, STATUS_TIMEOUT);
	KeReleaseMutex(&mutex, FALSE);
}

static void *count_under_mutex(void *argument)
{
	for (unsigned i = 0; i < 5000; i++) {
		wait_forever(&mutex);
		wait_forever(&mutex);
		counter++;
		KeReleaseMutex(&mutex, FALSE);
		KeReleaseMutex(&mutex, FALSE);
	}
	return NULL;
}

static void it_excludes(void **state)
{
	pthread_t threads[3];

	KeInitializeMutex(&mutex, 0);
	counter = 0;
	for (unsigned i = 0; i < 3; i++)
		threads[i] = start(count_under_mutex, NULL);
	for (unsigned i = 0; i < 3; i++)
		finish(threads[i]);
	assert_int_equal(counter, 15000);
}

static void *count_under_fast(void *argument)
{
	for (unsigned i = 0; i < 20000; i++) {
		ExAcquireFastMutex(&fast);
		counter++;
		ExReleaseFastMutex(&fast);
	}
	return NULL;
}

static void a_fast_mutex_excludes(void **state)
{
	pthread_t a, b;

	ExInitializeFastMutex(&fast);
	counter = 0;
	a = start(count_under_fast, NULL);
	b = start(count_under_fast, NULL);
	finish(a);
	finish(b);
	assert_int_equal(counter, 40000);
}

static void *take_fast(void *argument)
{
	ExAcquireFastMutex(&fast);
	counter++;
	ExReleaseFastMutex(&fast);
	return NULL;
}

static uint64_t process_cpu_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Each release wakes the next of those who sleep, not only the first; and sleep they do. */
static void all_who_sleep_on_a_fast_mutex_get_it(void **state)
{
	pthread_t threads[3];
	uint64_t before;

	ExInitializeFastMutex(&fast);
	counter = 0;
	ExAcquireFastMutex(&fast);
	for (unsigned i = 0; i < 3; i++)
		threads[i] = start(take_fast, NULL);
	before = process_cpu_ms();
	sleep_ms(100);
	assert_in_range(process_cpu_ms() - before, 0, 40);
	ExReleaseFastMutex(&fast);
	for (unsigned i = 0; i < 3; i++)
		finish(threads[i]);
	assert_int_equal(counter, 3);
}

static void *try_fast(void *argument)
{
	*(BOOLEAN *)argument = ExTryToAcquireFastMutex(&fast);
	return NULL;
}

static void a_fast_mutex_raises_to_apc_level(void **state)
{
	BOOLEAN got = TRUE;

	ExInitializeFastMutex(&fast);
	ExAcquireFastMutex(&fast);
	assert_int_equal(KeGetCurrentIrql(), APC_LEVEL);
	finish(start(try_fast, &got));
	assert_false(got);
	ExReleaseFastMutex(&fast);
	assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
	assert_true(ExTryToAcquireFastMutex(&fast));
	ExReleaseFastMutex(&fast);
	KeAcquireGuardedMutex(&fast);
	assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
	KeReleaseGuardedMutex(&fast);
}

static void release_unowned(void)
{
	KeInitializeMutex(&mutex, 0);
	KeReleaseMutex(&mutex, FALSE);
}

static void release_unowned_fast(void)
{
	ExInitializeFastMutex(&fast);
	ExReleaseFastMutex(&fast);
}

static void acquire_fast_twice(void)
{
	ExInitializeFastMutex(&fast);
	ExAcquireFastMutex(&fast);
	ExAcquireFastMutex(&fast);
}

static void misuse_is_told(void **state)
{
	expect_misuse(release_unowned, "only the thread that owns it");
	expect_misuse(release_unowned_fast, "does not hold the mutex");
	expect_death(acquire_fast_twice, "holds the mutex already");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mutex_is_recursive),
		cmocka_unit_test(another_thread_cannot_have_it),
		cmocka_unit_test(it_excludes),
		cmocka_unit_test(a_fast_mutex_excludes),
		cmocka_unit_test(all_who_sleep_on_a_fast_mutex_get_it),
		cmocka_unit_test(a_fast_mutex_raises_to_apc_level),
		cmocka_unit_test(misuse_is_told),
	};

	return RUN(tests);
}
