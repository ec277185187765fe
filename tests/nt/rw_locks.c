/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

static EX_SPIN_LOCK lock;
static unsigned a, b;
static LONG stop, inside;

static void it_raises_and_lowers(void **state)
{
	KIRQL irql = ExAcquireSpinLockShared(&lock);

	assert_int_equal(KeGetCurrentIrql(), DISPATCH_LEVEL);
	ExReleaseSpinLockShared(&lock, irql);
	assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
	irql = ExAcquireSpinLockExclusive(&lock);
	ExReleaseSpinLockExclusive(&lock, irql);
	assert_int_equal(lock, 0);
}

static void *read_with_others(void *argument)
{
	KIRQL irql = ExAcquireSpinLockShared(&lock);

	InterlockedIncrement(&inside);
	while (ReadAcquire(&inside) < 2) /* both are in at the same time */
		sched_yield();
	ExReleaseSpinLockShared(&lock, irql);
	return NULL;
}

static void readers_share_it(void **state)
{
	pthread_t x = start(read_with_others, NULL), y = start(read_with_others, NULL);

	finish(x);
	finish(y);
	assert_int_equal(lock, 0);
}

static void *reader(void *argument)
{
	while (!ReadAcquire(&stop)) {
		KIRQL irql = ExAcquireSpinLockShared(&lock);

		assert_int_equal(a, b);
		ExReleaseSpinLockShared(&lock, irql);
	}
	return NULL;
}

static void *writer(void *argument)
{
	for (unsigned i = 0; i < 5000; i++) {
		KIRQL irql = ExAcquireSpinLockExclusive(&lock);

		a++;
		b++;
		ExReleaseSpinLockExclusive(&lock, irql);
	}
	return NULL;
}

/* Also: readers that never stop do not keep writers out. */
static void writers_have_it_alone(void **state)
{
	pthread_t r[2] = { start(reader, NULL), start(reader, NULL) };
	pthread_t w[2] = { start(writer, NULL), start(writer, NULL) };

	finish(w[0]);
	finish(w[1]);
	WriteRelease(&stop, 1);
	finish(r[0]);
	finish(r[1]);
	assert_int_equal(a, 10000);
	assert_int_equal(lock, 0);
}

static LONG order, writer_was, reader_was;

static void *late_writer(void *argument)
{
	KIRQL irql = ExAcquireSpinLockExclusive(&lock);

	writer_was = ++order;
	ExReleaseSpinLockExclusive(&lock, irql);
	return NULL;
}

static void *later_reader(void *argument)
{
	KIRQL irql = ExAcquireSpinLockShared(&lock);

	reader_was = InterlockedIncrement(&order);
	ExReleaseSpinLockShared(&lock, irql);
	return NULL;
}

static void a_writer_that_waits_keeps_new_readers_out(void **state)
{
	KIRQL irql = ExAcquireSpinLockShared(&lock);
	pthread_t w = start(late_writer, NULL), r;

	while (ReadNoFence(&lock) == 1) /* until the writer has said so */
		sleep_ms(1);
	r = start(later_reader, NULL);
	sleep_ms(30);
	assert_int_equal(ReadAcquire(&order), 0);
	ExReleaseSpinLockShared(&lock, irql);
	finish(w);
	finish(r);
	assert_int_equal(writer_was + reader_was, 3);
}

static void the_only_reader_can_become_the_writer(void **state)
{
	KIRQL irql = ExAcquireSpinLockShared(&lock);

	ExAcquireSpinLockSharedAtDpcLevel(&lock);
	assert_false(ExTryConvertSharedSpinLockExclusive(&lock));
	ExReleaseSpinLockSharedFromDpcLevel(&lock);
	assert_true(ExTryConvertSharedSpinLockExclusive(&lock));
	ExReleaseSpinLockExclusive(&lock, irql);
	assert_int_equal(lock, 0);
}

static void release_the_other_way(void)
{
	ExAcquireSpinLockExclusive(&lock);
	ExReleaseSpinLockSharedFromDpcLevel(&lock);
	ExReleaseSpinLockExclusive(&lock, PASSIVE_LEVEL);
}

static void misuse_is_told(void **state)
{
	expect_misuse(release_the_other_way, "not held that way");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_raises_and_lowers),
		cmocka_unit_test(readers_share_it),
		cmocka_unit_test(writers_have_it_alone),
		cmocka_unit_test(a_writer_that_waits_keeps_new_readers_out),
		cmocka_unit_test(the_only_reader_can_become_the_writer),
		cmocka_unit_test(misuse_is_told),
	};

	return RUN(tests);
}
