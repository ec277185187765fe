/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

static EX_RUNDOWN_REF ref;
static LONG users, gone;

static void after_the_wait_nobody_gets_in(void **state)
{
	ExInitializeRundownProtection(&ref);
	assert_true(ExAcquireRundownProtection(&ref));
	assert_true(ExAcquireRundownProtectionEx(&ref, 2));
	ExReleaseRundownProtectionEx(&ref, 2);
	ExReleaseRundownProtection(&ref);
	ExWaitForRundownProtectionRelease(&ref);
	assert_false(ExAcquireRundownProtection(&ref));
	ExWaitForRundownProtectionRelease(&ref);
	ExReInitializeRundownProtection(&ref);
	assert_true(ExAcquireRundownProtection(&ref));
	ExReleaseRundownProtection(&ref);
	ExRundownCompleted(&ref);
	assert_false(ExAcquireRundownProtection(&ref));
}

static void *use(void *argument)
{
	while (ExAcquireRundownProtection(&ref)) {
		InterlockedIncrement(&users);
		assert_int_equal(ReadAcquire(&gone), 0);
		InterlockedDecrement(&users);
		ExReleaseRundownProtection(&ref);
	}
	return NULL;
}

static void it_waits_for_all_who_are_in(void **state)
{
	for (unsigned i = 0; i < 30; i++) {
		pthread_t threads[3];

		WriteRelease(&gone, 0);
		ExInitializeRundownProtection(&ref);
		for (unsigned t = 0; t < 3; t++)
			threads[t] = start(use, NULL);
		if (i % 2)
			sleep_ms(1);
		ExWaitForRundownProtectionRelease(&ref);
		assert_int_equal(ReadAcquire(&users), 0);
		WriteRelease(&gone, 1);
		for (unsigned t = 0; t < 3; t++)
			finish(threads[t]);
	}
}

static IO_REMOVE_LOCK lock;

static void *hold_for_a_while(void *argument)
{
	sleep_ms(30);
	WriteRelease(&users, 0);
	IoReleaseRemoveLock(&lock, NULL);
	return NULL;
}

static void a_remove_lock_waits_for_the_others(void **state)
{
	pthread_t thread;

	IoInitializeRemoveLock(&lock, 0, 0, 0);
	assert_int_equal(IoAcquireRemoveLock(&lock, NULL), STATUS_SUCCESS);
	assert_int_equal(IoAcquireRemoveLock(&lock, NULL), STATUS_SUCCESS);
	WriteRelease(&users, 1);
	thread = start(hold_for_a_while, NULL);
	IoReleaseRemoveLockAndWait(&lock, NULL);
	assert_int_equal(ReadAcquire(&users), 0);
	assert_int_equal(IoAcquireRemoveLock(&lock, NULL), STATUS_DELETE_PENDING);
	finish(thread);
}

static void release_without_acquire(void)
{
	ExInitializeRundownProtection(&ref);
	ExReleaseRundownProtection(&ref);
}

static void misuse_is_told(void **state)
{
	expect_misuse(release_without_acquire, "it was not acquired");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(after_the_wait_nobody_gets_in),
		cmocka_unit_test(it_waits_for_all_who_are_in),
		cmocka_unit_test(a_remove_lock_waits_for_the_others),
		cmocka_unit_test(misuse_is_told),
	};

	return RUN(tests);
}
