/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

static EX_PUSH_LOCK lock;
static ULONG a, b;
static LONG inside;

static void one_or_many(void **state)
{
	lock = 1;
	ExInitializePushLock(&lock);
	ExAcquirePushLockExclusive(&lock);
	assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
	assert_false(ExTryAcquirePushLockSharedEx(&lock, EX_DEFAULT_PUSH_LOCK_FLAGS));
	assert_false(ExTryAcquirePushLockExclusiveEx(&lock, EX_DEFAULT_PUSH_LOCK_FLAGS));
	ExReleasePushLockExclusive(&lock);
	ExAcquirePushLockShared(&lock);
	assert_true(ExTryAcquirePushLockSharedEx(&lock, EX_PUSH_LOCK_ENABLE_AUTO_BOOST));
	assert_false(ExTryAcquirePushLockExclusiveEx(&lock, EX_PUSH_LOCK_ENABLE_AUTO_BOOST));
	ExReleasePushLockShared(&lock);
	ExReleasePushLockShared(&lock);
	assert_true(lock == 0);
}

static void *read_with_others(void *argument)
{
	ExAcquirePushLockShared(&lock);
	InterlockedIncrement(&inside);
	while (ReadAcquire(&inside) < 2) /* both are in at the same time */
		sched_yield();
	ExReleasePushLockShared(&lock);
	return NULL;
}

static void readers_share_it(void **state)
{
	pthread_t x = start(read_with_others, NULL), y = start(read_with_others, NULL);

	finish(x);
	finish(y);
	assert_true(lock == 0);
}

static void *change(void *argument)
{
	for (unsigned i = 0; i < 2000; i++) {
		if (i % 2) {
			ExAcquirePushLockShared(&lock);
			assert_int_equal(a, b);
			ExReleasePushLockShared(&lock);
		} else {
			ExAcquirePushLockExclusive(&lock);
			a++;
			b++;
			ExReleasePushLockExclusive(&lock);
		}
	}
	return NULL;
}

static void threads_take_turns(void **state)
{
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++)
		threads[i] = start(change, NULL);
	for (unsigned i = 0; i < 4; i++)
		finish(threads[i]);
	assert_int_equal(a, 4000);
	assert_int_equal(b, a);
	assert_true(lock == 0);
}

static void release_the_other_way(void)
{
	ExAcquirePushLockExclusive(&lock);
	ExReleasePushLockShared(&lock);
	ExReleasePushLockExclusive(&lock);
}

static void acquire_at_dispatch(void)
{
	KIRQL irql = KeRaiseIrqlToDpcLevel();

	ExAcquirePushLockExclusive(&lock);
	KeLowerIrql(irql);
}

static void misuse(void **state)
{
	expect_misuse(release_the_other_way, "not held that way");
	expect_misuse(acquire_at_dispatch, "ExAcquirePushLockExclusive");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_or_many),
		cmocka_unit_test(readers_share_it),
		cmocka_unit_test(threads_take_turns),
		cmocka_unit_test(misuse),
	};

	return RUN(tests);
}
