/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

static KSEMAPHORE semaphore;
static LONG taken;

static void it_counts(void **state)
{
	KeInitializeSemaphore(&semaphore, 1, 3);
	assert_int_equal(KeReleaseSemaphore(&semaphore, 0, 2, FALSE), 1);
	assert_int_equal(KeReadStateSemaphore(&semaphore), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(poll(&semaphore), STATUS_SUCCESS);
	assert_int_equal(poll(&semaphore), STATUS_TIMEOUT);
}

static void *taker(void *argument)
{
	for (unsigned i = 0; i < 1000; i++) {
		wait_forever(&semaphore);
		InterlockedIncrement(&taken);
	}
	return NULL;
}

static void each_release_lets_one_through(void **state)
{
	pthread_t threads[3];

	KeInitializeSemaphore(&semaphore, 0, MAXLONG);
	taken = 0;
	for (unsigned i = 0; i < 3; i++)
		threads[i] = start(taker, NULL);
	for (unsigned i = 0; i < 1000; i++)
		KeReleaseSemaphore(&semaphore, 0, i % 2 ? 4 : 2, FALSE);
	for (unsigned i = 0; i < 3; i++)
		finish(threads[i]);
	assert_int_equal(taken, 3000);
	assert_int_equal(KeReadStateSemaphore(&semaphore), 0);
}

static void pass_the_limit(void)
{
	KeInitializeSemaphore(&semaphore, 2, 3);
	KeReleaseSemaphore(&semaphore, 0, 2, FALSE);
}

static void release_nothing(void)
{
	KeInitializeSemaphore(&semaphore, 2, 3);
	KeReleaseSemaphore(&semaphore, 0, 0, FALSE);
}

static void misuse_is_told(void **state)
{
	expect_misuse(pass_the_limit, "not pass the limit");
	expect_misuse(release_nothing, "must be > 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_counts),
		cmocka_unit_test(each_release_lets_one_through),
		cmocka_unit_test(misuse_is_told),
	};

	return RUN(tests);
}
