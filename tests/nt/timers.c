/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

static LONG ticks;
static KIRQL tick_irql;

static void tick(PKDPC dpc, PVOID context, PVOID arg1, PVOID arg2)
{
	tick_irql = KeGetCurrentIrql();
	InterlockedIncrement(&ticks);
}

static void it_is_signaled_when_due(void **state)
{
	uint64_t before = now_ms();
	NTSTATUS status;
	KTIMER timer;

	KeInitializeTimer(&timer);
	assert_false(KeReadStateTimer(&timer));
	assert_false(KeSetTimer(&timer, from_now(30), NULL));
	status = poll(&timer);
	if (now_ms() - before < 30)
		assert_int_equal(status, STATUS_TIMEOUT);
	assert_int_equal(wait_forever(&timer), STATUS_SUCCESS);
	assert_in_range(now_ms() - before, 30, 2000);
	assert_true(KeReadStateTimer(&timer));
	assert_int_equal(poll(&timer), STATUS_SUCCESS); /* a notification timer stays so */
	assert_false(KeCancelTimer(&timer));
	KeSetTimer(&timer, from_now(10000), NULL);
	assert_false(KeReadStateTimer(&timer)); /* until it is set again */
	assert_true(KeCancelTimer(&timer));
}

static void a_synchronization_timer_lets_one_through(void **state)
{
	KTIMER timer;

	KeInitializeTimerEx(&timer, SynchronizationTimer);
	KeSetTimer(&timer, from_now(0), NULL);
	assert_int_equal(wait_ms(&timer, 5000), STATUS_SUCCESS);
	assert_int_equal(poll(&timer), STATUS_TIMEOUT);
}

static void it_can_be_due_at_a_system_time(void **state)
{
	uint64_t before = now_ms();
	LARGE_INTEGER due;
	KTIMER timer;

	KeInitializeTimer(&timer);
	KeQuerySystemTime(&due);
	due.QuadPart += 30 * 10000;
	KeSetTimer(&timer, due, NULL);
	assert_int_equal(wait_forever(&timer), STATUS_SUCCESS);
	assert_in_range(now_ms() - before, 29, 2000);
	due.QuadPart = 1;
	KeSetTimer(&timer, due, NULL);
	assert_int_equal(wait_ms(&timer, 5000), STATUS_SUCCESS);
}

static void its_dpc_runs_at_dispatch_level(void **state)
{
	KTIMER timer;
	KDPC dpc;

	ticks = 0;
	KeInitializeDpc(&dpc, tick, NULL);
	KeInitializeTimer(&timer);
	KeSetTimer(&timer, from_now(1), &dpc);
	wait_forever(&timer);
	KeFlushQueuedDpcs();
	assert_int_equal(ReadAcquire(&ticks), 1);
	assert_int_equal(tick_irql, DISPATCH_LEVEL);
}

static void a_periodic_one_goes_on_until_it_is_cancelled(void **state)
{
	uint64_t before = now_ms();
	KTIMER timer;
	KDPC dpc;
	LONG n;

	ticks = 0;
	KeInitializeDpc(&dpc, tick, NULL);
	KeInitializeTimerEx(&timer, SynchronizationTimer);
	KeSetTimerEx(&timer, from_now(5), 5, &dpc);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(wait_ms(&timer, 5000), STATUS_SUCCESS);
	assert_true(now_ms() - before >= 25);
	assert_true(KeCancelTimer(&timer));
	KeFlushQueuedDpcs();
	n = ReadAcquire(&ticks);
	assert_true(n >= 5);
	sleep_ms(30);
	assert_int_equal(ReadAcquire(&ticks), n);
}

static void set_again_it_moves(void **state)
{
	uint64_t before = now_ms();
	KTIMER timer;

	KeInitializeTimer(&timer);
	assert_false(KeSetTimer(&timer, from_now(60000), NULL));
	assert_true(KeSetTimer(&timer, from_now(20), NULL));
	assert_int_equal(wait_ms(&timer, 5000), STATUS_SUCCESS);
	assert_true(now_ms() - before >= 20);
}

#define MANY 200
static KTIMER many[MANY];
static KDPC many_dpcs[MANY];
static unsigned fired[MANY], fired_count;

static void note(PKDPC dpc, PVOID context, PVOID arg1, PVOID arg2)
{
	fired[fired_count++] = (unsigned)(uintptr_t)context;
}

#define APART 2000u /* 0.2 ms */

/* In an order that is none, half of them cancelled; all on one thread, so in order of time. They
 * are set relative to now: if that takes long on a busy machine, neighbours may change places. */
static void many_come_due_in_order(void **state)
{
	LARGE_INTEGER last = from_now(70);
	ULONGLONG begun = KeQueryInterruptTime(), late;
	KTIMER end;

	fired_count = 0;
	for (unsigned i = 0; i < MANY; i++) {
		unsigned j = i * 77 % MANY;

		KeInitializeTimer(&many[j]);
		KeInitializeDpc(&many_dpcs[j], note, (PVOID)(uintptr_t)j);
		KeSetTimer(&many[j], (LARGE_INTEGER){ .QuadPart = MS(20) - (LONGLONG)j * APART },
		           &many_dpcs[j]);
	}
	late = (KeQueryInterruptTime() - begun) / APART;
	for (unsigned j = 0; j < MANY; j += 2)
		KeCancelTimer(&many[j]);
	KeInitializeTimer(&end);
	KeSetTimer(&end, last, NULL);
	wait_forever(&end);
	KeFlushQueuedDpcs();
	for (unsigned i = 1; i < fired_count; i++)
		assert_true(fired[i - 1] < fired[i] + late);
	for (unsigned j = 1; j < MANY; j += 2)
		assert_true(KeReadStateTimer(&many[j]));
	assert_true(fired_count >= MANY / 2);
}

/* After KeCancelTimer and a flush nothing touches the timer any more, whoever was first. */
static void cancelled_and_flushed_it_may_go(void **state)
{
	for (unsigned i = 0; i < 400; i++) {
		KTIMER *timer = malloc(sizeof(*timer));
		KDPC *dpc = malloc(sizeof(*dpc));

		KeInitializeTimer(timer);
		KeInitializeDpc(dpc, tick, NULL);
		KeSetTimer(timer, (LARGE_INTEGER){ .QuadPart = -(LONGLONG)(i % 7) * 200 - 1 }, dpc);
		if (i % 3)
			KeStallExecutionProcessor(i % 150);
		if (!KeCancelTimer(timer))
			KeFlushQueuedDpcs();
		free(timer);
		free(dpc);
	}
}

static void negative_period(void)
{
	KTIMER timer;

	KeInitializeTimer(&timer);
	KeSetTimerEx(&timer, from_now(1), -1, NULL);
}

static void misuse_is_told(void **state)
{
	expect_misuse(negative_period, "a period must not be negative");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_signaled_when_due),
		cmocka_unit_test(a_synchronization_timer_lets_one_through),
		cmocka_unit_test(it_can_be_due_at_a_system_time),
		cmocka_unit_test(its_dpc_runs_at_dispatch_level),
		cmocka_unit_test(a_periodic_one_goes_on_until_it_is_cancelled),
		cmocka_unit_test(set_again_it_moves),
		cmocka_unit_test(many_come_due_in_order),
		cmocka_unit_test(cancelled_and_flushed_it_may_go),
		cmocka_unit_test(misuse_is_told),
	};

	return RUN(tests);
}
