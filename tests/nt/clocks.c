/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

#include <time.h>

static void system_time_counts_from_1601(void **state)
{
	LARGE_INTEGER now;
	time_t unix_time = time(NULL);

	KeQuerySystemTime(&now);
	assert_in_range(now.QuadPart / 10000000 - 11644473600, unix_time - 1, unix_time + 2);
}

static void interrupt_time_and_the_counter_go_on(void **state)
{
	LARGE_INTEGER frequency, a = KeQueryPerformanceCounter(&frequency), b, ticks, later;
	uint64_t before = KeQueryInterruptTime(), qpc;

	KeQueryTickCount(&ticks);
	sleep_ms(40);
	b = KeQueryPerformanceCounter(NULL);
	KeQueryTickCount(&later);
	assert_int_equal(frequency.QuadPart, 10000000);
	assert_in_range(b.QuadPart - a.QuadPart, 400000, 20000000);
	assert_in_range(KeQueryInterruptTimePrecise(&qpc) - before, 400000, 20000000);
	assert_true(qpc >= (uint64_t)b.QuadPart);
	assert_in_range((later.QuadPart - ticks.QuadPart) * KeQueryTimeIncrement(), 200000,
	                20000000);
}

static void a_stall_keeps_the_processor(void **state)
{
	uint64_t before = KeQueryInterruptTime();
	KIRQL irql = KeRaiseIrqlToDpcLevel();

	KeStallExecutionProcessor(300);
	KeLowerIrql(irql);
	assert_in_range(KeQueryInterruptTime() - before, 3000, 10000000);
}

static void processors_are_counted(void **state)
{
	PROCESSOR_NUMBER number;
	KAFFINITY mask;
	ULONG n = KeQueryActiveProcessorCount(&mask);

	assert_in_range(n, 1, KeQueryMaximumProcessorCount());
	if (n <= 64 && KeQueryMaximumProcessorCount() <= 64)
		assert_int_equal(__builtin_popcountll(mask), n);
	assert_int_equal(KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS), n);
	assert_int_equal(KeQueryActiveProcessorCountEx(0), n);
	assert_int_equal(KeQueryActiveProcessorCountEx(1), 0);
	assert_int_equal(KeQueryMaximumProcessorCountEx(1), 0);
	assert_in_range(KeGetCurrentProcessorNumberEx(&number), 0, 65535);
	assert_int_equal(number.Group, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(system_time_counts_from_1601),
		cmocka_unit_test(interrupt_time_and_the_counter_go_on),
		cmocka_unit_test(a_stall_keeps_the_processor),
		cmocka_unit_test(processors_are_counted),
	};

	return RUN(tests);
}
