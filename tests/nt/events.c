/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

static void a_notification_event_stays_signaled(void **state)
{
	KEVENT event;

	KeInitializeEvent(&event, NotificationEvent, FALSE);
	assert_int_equal(KeReadStateEvent(&event), 0);
	assert_int_equal(poll(&event), STATUS_TIMEOUT);
	assert_int_equal(KeSetEvent(&event, IO_NO_INCREMENT, FALSE), 0);
	assert_int_equal(KeSetEvent(&event, IO_NO_INCREMENT, FALSE), 1);
	assert_int_equal(wait_forever(&event), STATUS_SUCCESS);
	assert_int_equal(poll(&event), STATUS_SUCCESS);
	assert_int_not_equal(KeReadStateEvent(&event), 0);
	assert_int_equal(KeResetEvent(&event), 1);
	assert_int_equal(KeResetEvent(&event), 0);
	assert_int_equal(poll(&event), STATUS_TIMEOUT);
	KeSetEvent(&event, IO_NO_INCREMENT, FALSE);
	KeClearEvent(&event);
	assert_int_equal(KeReadStateEvent(&event), 0);
}

static void a_synchronization_event_lets_one_through(void **state)
{
	KEVENT event;

	KeInitializeEvent(&event, SynchronizationEvent, TRUE);
	assert_int_equal(wait_forever(&event), STATUS_SUCCESS);
	assert_int_equal(poll(&event), STATUS_TIMEOUT);
	KeSetEvent(&event, IO_NO_INCREMENT, FALSE);
	KeSetEvent(&event, IO_NO_INCREMENT, FALSE);
	assert_int_equal(poll(&event), STATUS_SUCCESS);
	assert_int_equal(poll(&event), STATUS_TIMEOUT);
}

struct crowd {
	KEVENT event;
	LONG through;
};

static void *one_of_the_crowd(void *argument)
{
	struct crowd *crowd = argument;

	assert_int_equal(wait_forever(&crowd->event), STATUS_SUCCESS);
	InterlockedIncrement(&crowd->through);
	return NULL;
}

static void gather(struct crowd *crowd, pthread_t *threads, unsigned n, EVENT_TYPE type)
{
	KeInitializeEvent(&crowd->event, type, FALSE);
	crowd->through = 0;
	for (unsigned i = 0; i < n; i++)
		threads[i] = start(one_of_the_crowd, crowd);
	while (__atomic_load_n(&crowd->event.Header.Word, __ATOMIC_RELAXED) >> 32 != n)
		sleep_ms(1);
}

static void wait_until_through(struct crowd *crowd, LONG n)
{
	while (ReadAcquire(&crowd->through) < n)
		sleep_ms(1);
	sleep_ms(5);
	assert_int_equal(ReadAcquire(&crowd->through), n);
}

static void a_notification_event_releases_all_who_wait(void **state)
{
	struct crowd crowd;
	pthread_t threads[5];

	gather(&crowd, threads, 5, NotificationEvent);
	assert_int_equal(KeSetEvent(&crowd.event, EVENT_INCREMENT, FALSE), 0);
	for (unsigned i = 0; i < 5; i++)
		finish(threads[i]);
	assert_int_equal(crowd.through, 5);
	assert_int_equal(KeReadStateEvent(&crowd.event), 1);
}

static void a_synchronization_event_releases_one_each_time(void **state)
{
	struct crowd crowd;
	pthread_t threads[3];

	gather(&crowd, threads, 3, SynchronizationEvent);
	for (LONG i = 1; i <= 3; i++) {
		KeSetEvent(&crowd.event, EVENT_INCREMENT, FALSE);
		wait_until_through(&crowd, i);
		assert_int_equal(KeReadStateEvent(&crowd.event), 0);
	}
	for (unsigned i = 0; i < 3; i++)
		finish(threads[i]);
}

static void a_pulse_releases_only_who_waits(void **state)
{
	struct crowd crowd;
	pthread_t threads[2];

	gather(&crowd, threads, 2, NotificationEvent);
	assert_int_equal(KePulseEvent(&crowd.event, 0, FALSE), 0);
	finish(threads[0]);
	finish(threads[1]);
	assert_int_equal(poll(&crowd.event), STATUS_TIMEOUT);
	KeSetEvent(&crowd.event, 0, FALSE);
	assert_int_equal(KePulseEvent(&crowd.event, 0, FALSE), 1);
	assert_int_equal(poll(&crowd.event), STATUS_TIMEOUT);
}

static void it_can_be_set_at_dispatch_level(void **state)
{
	struct crowd crowd;
	pthread_t thread;
	KIRQL irql;

	gather(&crowd, &thread, 1, SynchronizationEvent);
	irql = KeRaiseIrqlToDpcLevel();
	KeSetEvent(&crowd.event, IO_NO_INCREMENT, FALSE);
	assert_int_equal(poll(&crowd.event), STATUS_TIMEOUT);
	KeLowerIrql(irql);
	finish(thread);
}

static void wait_at_dispatch(void)
{
	KEVENT event;
	KIRQL irql = KeRaiseIrqlToDpcLevel();

	KeInitializeEvent(&event, NotificationEvent, TRUE);
	assert_int_equal(wait_forever(&event), STATUS_UNSUCCESSFUL);
	KeLowerIrql(irql);
}

static void wait_on_garbage(void)
{
	KEVENT event;

	memset(&event, 0x55, sizeof(event));
	assert_int_equal(wait_forever(&event), STATUS_UNSUCCESSFUL);
}

static void misuse_is_told(void **state)
{
	expect_misuse(wait_at_dispatch, "KeWaitForSingleObject");
	expect_misuse(wait_at_dispatch, "needs APC_LEVEL or lower");
	expect_misuse(wait_on_garbage, "not an initialized dispatcher object");
}

/*
 * An event may be freed the moment a wait on it is over: the one who sets it must not touch it any
 * more. ASan sees it if it does.
 */
#define ROUNDS 6000

static PKEVENT volatile posted;

static void *setter(void *argument)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		PKEVENT event;

		while ((event = InterlockedExchangePointer(&posted, NULL)) == NULL)
			sched_yield();
		KeSetEvent(event, IO_NO_INCREMENT, FALSE);
	}
	return NULL;
}

static void wait_and_free(unsigned round)
{
	LARGE_INTEGER moment = { .QuadPart = -1 };
	KEVENT *event = malloc(sizeof(*event));

	KeInitializeEvent(event, round & 1 ? NotificationEvent : SynchronizationEvent, FALSE);
	InterlockedExchangePointer(&posted, event);
	switch (round % 4) {
	case 0:
		assert_int_equal(wait_forever(event), STATUS_SUCCESS);
		break;
	case 1: /* without ever being on its list */
		while (KeReadStateEvent(event) == 0)
			sched_yield();
		break;
	default: /* going on and off its list all the time */
		while (KeWaitForSingleObject(event, Executive, KernelMode, FALSE, &moment) !=
		       STATUS_SUCCESS)
			;
		break;
	}
	free(event);
}

static void its_memory_may_go_once_the_wait_is_over(void **state)
{
	pthread_t thread = start(setter, NULL);

	for (unsigned i = 0; i < ROUNDS; i++)
		wait_and_free(i);
	finish(thread);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_notification_event_stays_signaled),
		cmocka_unit_test(a_synchronization_event_lets_one_through),
		cmocka_unit_test(a_notification_event_releases_all_who_wait),
		cmocka_unit_test(a_synchronization_event_releases_one_each_time),
		cmocka_unit_test(a_pulse_releases_only_who_waits),
		cmocka_unit_test(it_can_be_set_at_dispatch_level),
		cmocka_unit_test(misuse_is_told),
		cmocka_unit_test(its_memory_may_go_once_the_wait_is_over),
	};

	return RUN(tests);
}
