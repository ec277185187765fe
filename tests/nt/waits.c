/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

static KWAIT_BLOCK blocks[MAXIMUM_WAIT_OBJECTS];

static NTSTATUS wait_many(WAIT_TYPE type, ULONG n, PVOID *objects, int64_t ms)
{
	LARGE_INTEGER timeout = from_now(ms);

	return KeWaitForMultipleObjects(n, objects, type, Executive, KernelMode, FALSE, &timeout,
	                                blocks);
}

static void a_relative_timeout_lasts_that_long(void **state)
{
	uint64_t before = now_ms();
	KEVENT event;

	KeInitializeEvent(&event, NotificationEvent, FALSE);
	assert_int_equal(wait_ms(&event, 40), STATUS_TIMEOUT);
	assert_in_range(now_ms() - before, 40, 2000);
}

static void an_absolute_timeout_is_a_system_time(void **state)
{
	uint64_t before = now_ms();
	LARGE_INTEGER until;
	KEVENT event;

	KeInitializeEvent(&event, NotificationEvent, FALSE);
	KeQuerySystemTime(&until);
	until.QuadPart += 40 * 10000;
	assert_int_equal(KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, &until),
	                 STATUS_TIMEOUT);
	assert_in_range(now_ms() - before, 39, 2000);
	until.QuadPart = 1; /* 1601: long past */
	assert_int_equal(KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, &until),
	                 STATUS_TIMEOUT);
}

static void a_delay_lasts_that_long(void **state)
{
	uint64_t before = now_ms();
	LARGE_INTEGER interval = from_now(30);

	assert_int_equal(KeDelayExecutionThread(KernelMode, FALSE, &interval), STATUS_SUCCESS);
	assert_in_range(now_ms() - before, 30, 2000);
	interval.QuadPart = 0;
	assert_int_equal(KeDelayExecutionThread(KernelMode, FALSE, &interval), STATUS_SUCCESS);
}

static void any_takes_the_lowest_that_is_signaled(void **state)
{
	KEVENT e[5];
	PVOID objects[5];

	for (unsigned i = 0; i < 5; i++) {
		KeInitializeEvent(&e[i], SynchronizationEvent, i >= 3);
		objects[i] = &e[i];
	}
	assert_int_equal(wait_many(WaitAny, 5, objects, 0), STATUS_WAIT_0 + 3);
	assert_int_equal(wait_many(WaitAny, 5, objects, 0), STATUS_WAIT_0 + 4);
	assert_int_equal(wait_many(WaitAny, 5, objects, 0), STATUS_TIMEOUT);
	assert_int_equal(wait_many(WaitAny, 5, objects, 20), STATUS_TIMEOUT);
	KeSetEvent(&e[0], 0, FALSE);
	KeSetEvent(&e[2], 0, FALSE);
	assert_int_equal(wait_many(WaitAny, 5, objects, 20), STATUS_WAIT_0);
	assert_int_equal(KeReadStateEvent(&e[2]), 1);
}

static void all_takes_nothing_until_it_can_take_all(void **state)
{
	KEVENT a;
	KSEMAPHORE b;
	PVOID objects[] = { &a, &b };

	KeInitializeEvent(&a, SynchronizationEvent, TRUE);
	KeInitializeSemaphore(&b, 0, 2);
	assert_int_equal(wait_many(WaitAll, 2, objects, 10), STATUS_TIMEOUT);
	assert_int_equal(KeReadStateEvent(&a), 1);
	KeReleaseSemaphore(&b, 0, 2, FALSE);
	assert_int_equal(wait_many(WaitAll, 2, objects, 10), STATUS_SUCCESS);
	assert_int_equal(KeReadStateEvent(&a), 0);
	assert_int_equal(KeReadStateSemaphore(&b), 1);
}

struct pair {
	KEVENT a, b;
	WAIT_TYPE type;
	NTSTATUS status;
};

static void *wait_for_pair(void *argument)
{
	struct pair *pair = argument;
	PVOID objects[] = { &pair->a, &pair->b };

	pair->status = KeWaitForMultipleObjects(2, objects, pair->type, Executive, KernelMode,
	                                        FALSE, NULL, NULL);
	return NULL;
}

static pthread_t wait_for_pair_started(struct pair *pair, WAIT_TYPE type)
{
	pthread_t thread;

	KeInitializeEvent(&pair->a, SynchronizationEvent, FALSE);
	KeInitializeEvent(&pair->b, SynchronizationEvent, FALSE);
	pair->type = type;
	thread = start(wait_for_pair, pair);
	while (__atomic_load_n(&pair->b.Header.Word, __ATOMIC_RELAXED) >> 32 != 1)
		sleep_ms(1);
	return thread;
}

static void a_sleeping_wait_for_any_gets_the_right_one(void **state)
{
	struct pair pair;
	pthread_t thread = wait_for_pair_started(&pair, WaitAny);

	KeSetEvent(&pair.b, 0, FALSE);
	finish(thread);
	assert_int_equal(pair.status, STATUS_WAIT_1);
	assert_int_equal(KeReadStateEvent(&pair.b), 0);
	/* it is off the list of the other too */
	assert_int_equal(KeSetEvent(&pair.a, 0, FALSE), 0);
	assert_int_equal(KeReadStateEvent(&pair.a), 1);
}

static void a_sleeping_wait_for_all_leaves_the_first_to_others(void **state)
{
	struct pair pair;
	pthread_t thread = wait_for_pair_started(&pair, WaitAll);

	KeSetEvent(&pair.a, 0, FALSE);
	/* nobody has it yet: another may take it */
	assert_int_equal(poll(&pair.a), STATUS_SUCCESS);
	KeSetEvent(&pair.b, 0, FALSE);
	assert_int_equal(KeReadStateEvent(&pair.b), 1);
	KeSetEvent(&pair.a, 0, FALSE);
	finish(thread);
	assert_int_equal(pair.status, STATUS_SUCCESS);
	assert_int_equal(KeReadStateEvent(&pair.a), 0);
	assert_int_equal(KeReadStateEvent(&pair.b), 0);
}

/* Two who each want both of two forks, in opposite order: WaitAll cannot deadlock. */
static KEVENT forks[2];
static LONG eating;

static void *diner(void *argument)
{
	bool swap = argument != NULL;
	PVOID objects[] = { &forks[swap], &forks[!swap] };

	for (unsigned i = 0; i < 3000; i++) {
		assert_int_equal(KeWaitForMultipleObjects(2, objects, WaitAll, Executive,
		                                          KernelMode, FALSE, NULL, NULL),
		                 STATUS_SUCCESS);
		assert_int_equal(InterlockedIncrement(&eating), 1);
		InterlockedDecrement(&eating);
		KeSetEvent(objects[0], 0, FALSE);
		KeSetEvent(objects[1], 0, FALSE);
	}
	return NULL;
}

static void all_is_atomic(void **state)
{
	pthread_t a, b;

	KeInitializeEvent(&forks[0], SynchronizationEvent, TRUE);
	KeInitializeEvent(&forks[1], SynchronizationEvent, TRUE);
	a = start(diner, NULL);
	b = start(diner, &forks);
	finish(a);
	finish(b);
}

/* A signal and a deadline at the same moment: one of them wins, none is lost. */
static KEVENT ping, pong;

static void *answer(void *argument)
{
	unsigned n = 0;

	while (n < 3000) {
		if (wait_ms(&ping, 1) == STATUS_SUCCESS) {
			n++;
			KeSetEvent(&pong, 0, FALSE);
		}
	}
	return NULL;
}

static void no_signal_is_lost_at_a_deadline(void **state)
{
	pthread_t thread;

	KeInitializeEvent(&ping, SynchronizationEvent, FALSE);
	KeInitializeEvent(&pong, SynchronizationEvent, FALSE);
	thread = start(answer, NULL);
	for (unsigned i = 0; i < 3000; i++) {
		KeSetEvent(&ping, 0, FALSE);
		while (wait_ms(&pong, 1) != STATUS_SUCCESS)
			;
	}
	finish(thread);
	assert_int_equal(KeReadStateEvent(&ping), 0);
	assert_int_equal(KeReadStateEvent(&pong), 0);
}

static void too_many_without_blocks(void)
{
	KEVENT e;
	PVOID objects[4] = { &e, &e, &e, &e };

	KeInitializeEvent(&e, NotificationEvent, TRUE);
	assert_int_equal(KeWaitForMultipleObjects(4, objects, WaitAny, Executive, KernelMode, FALSE,
	                                          NULL, NULL),
	                 STATUS_INVALID_PARAMETER);
}

static void delay_at_dispatch(void)
{
	LARGE_INTEGER interval = from_now(1);
	KIRQL irql = KeRaiseIrqlToDpcLevel();

	KeDelayExecutionThread(KernelMode, FALSE, &interval);
	KeLowerIrql(irql);
}

static void misuse_is_told(void **state)
{
	expect_misuse(too_many_without_blocks, "more than 3 need an array of wait blocks");
	expect_misuse(delay_at_dispatch, "KeDelayExecutionThread");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_relative_timeout_lasts_that_long),
		cmocka_unit_test(an_absolute_timeout_is_a_system_time),
		cmocka_unit_test(a_delay_lasts_that_long),
		cmocka_unit_test(any_takes_the_lowest_that_is_signaled),
		cmocka_unit_test(all_takes_nothing_until_it_can_take_all),
		cmocka_unit_test(a_sleeping_wait_for_any_gets_the_right_one),
		cmocka_unit_test(a_sleeping_wait_for_all_leaves_the_first_to_others),
		cmocka_unit_test(all_is_atomic),
		cmocka_unit_test(no_signal_is_lost_at_a_deadline),
		cmocka_unit_test(misuse_is_told),
	};

	return RUN(tests);
}
