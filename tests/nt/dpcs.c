/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

struct call {
	KDPC dpc;
	unsigned runs;
	KIRQL irql;
	PVOID arg1, arg2;
	pthread_t thread;
	unsigned order;
	struct call *next;
	unsigned again; /* how often it queues itself */
};

static unsigned order;

static void routine(PKDPC dpc, PVOID context, PVOID arg1, PVOID arg2)
{
	struct call *call = context;

	assert_ptr_equal(dpc, &call->dpc);
	call->runs++;
	call->irql = KeGetCurrentIrql();
	call->arg1 = arg1;
	call->arg2 = arg2;
	call->thread = pthread_self();
	call->order = ++order;
	if (call->next)
		KeInsertQueueDpc(&call->next->dpc, NULL, NULL);
	if (call->again) {
		call->again--;
		assert_true(KeInsertQueueDpc(&call->dpc, NULL, NULL));
	}
}

static void call_init(struct call *call)
{
	memset(call, 0, sizeof(*call));
	KeInitializeDpc(&call->dpc, routine, call);
}

static void from_below_it_runs_at_once(void **state)
{
	struct call call;

	call_init(&call);
	assert_true(KeInsertQueueDpc(&call.dpc, &call, state));
	assert_int_equal(call.runs, 1);
	assert_int_equal(call.irql, DISPATCH_LEVEL);
	assert_ptr_equal(call.arg1, &call);
	assert_ptr_equal(call.arg2, state);
	assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

static void from_dispatch_level_it_runs_before_the_irql_drops(void **state)
{
	struct call a, b, c;
	KIRQL irql;

	call_init(&a);
	call_init(&b);
	call_init(&c);
	KeSetImportanceDpc(&c.dpc, HighImportance);
	order = 0;
	irql = KeRaiseIrqlToDpcLevel();
	assert_true(KeInsertQueueDpc(&a.dpc, NULL, NULL));
	assert_true(KeInsertQueueDpc(&b.dpc, NULL, NULL));
	assert_true(KeInsertQueueDpc(&c.dpc, NULL, NULL));
	assert_false(KeInsertQueueDpc(&a.dpc, &a, NULL));
	assert_int_equal(a.runs, 0);
	KeLowerIrql(irql);
	assert_int_equal(c.order, 1);
	assert_int_equal(a.order, 2);
	assert_int_equal(b.order, 3);
	assert_int_equal(a.runs, 1);
	assert_null(a.arg1);
	assert_true(pthread_equal(a.thread, pthread_self()));
}

static void it_may_queue_others_and_itself(void **state)
{
	struct call a, b;

	call_init(&a);
	call_init(&b);
	a.next = &b;
	a.again = 3;
	KeInsertQueueDpc(&a.dpc, NULL, NULL);
	assert_int_equal(a.runs, 4);
	assert_true(b.runs >= 1);
}

static void removed_it_does_not_run(void **state)
{
	struct call a;
	KIRQL irql;

	call_init(&a);
	assert_false(KeRemoveQueueDpc(&a.dpc));
	irql = KeRaiseIrqlToDpcLevel();
	KeInsertQueueDpc(&a.dpc, NULL, NULL);
	assert_true(KeRemoveQueueDpc(&a.dpc));
	assert_false(KeRemoveQueueDpc(&a.dpc));
	KeLowerIrql(irql);
	assert_int_equal(a.runs, 0);
	KeFlushQueuedDpcs();
}

static struct call slow;
static LONG slow_state; /* 1: queued; 2: in the routine; 3: done */

static void slow_routine(PKDPC dpc, PVOID context, PVOID arg1, PVOID arg2)
{
	WriteRelease(&slow_state, 2);
	sleep_ms(50);
	WriteRelease(&slow_state, 3);
}

static void *slow_thread(void *argument)
{
	KIRQL irql = KeRaiseIrqlToDpcLevel();

	KeInitializeDpc(&slow.dpc, slow_routine, NULL);
	KeInsertQueueDpc(&slow.dpc, NULL, NULL);
	WriteRelease(&slow_state, 1);
	sleep_ms(50);
	KeLowerIrql(irql);
	return NULL;
}

static void flush_after(LONG reached)
{
	pthread_t thread;

	WriteRelease(&slow_state, 0);
	thread = start(slow_thread, NULL);
	while (ReadAcquire(&slow_state) < reached)
		sleep_ms(1);
	KeFlushQueuedDpcs();
	assert_int_equal(ReadAcquire(&slow_state), 3);
	finish(thread);
}

static void a_flush_waits_for_what_is_queued(void **state)
{
	flush_after(1);
}

static void a_flush_waits_for_what_is_running(void **state)
{
	flush_after(2);
}

static KDPC shared;
static LONG queued_count, ran_count, removed_count;
static LONG stop;

static void count_routine(PKDPC dpc, PVOID context, PVOID arg1, PVOID arg2)
{
	InterlockedIncrement(&ran_count);
}

static void *remover(void *argument)
{
	while (!ReadAcquire(&stop))
		if (KeRemoveQueueDpc(&shared))
			InterlockedIncrement(&removed_count);
	return NULL;
}

static void *inserter(void *argument)
{
	for (unsigned i = 0; i < 5000; i++) {
		KIRQL irql = KeRaiseIrqlToDpcLevel();

		if (KeInsertQueueDpc(&shared, NULL, NULL))
			InterlockedIncrement(&queued_count);
		KeLowerIrql(irql);
	}
	return NULL;
}

static void each_is_run_or_removed_once(void **state)
{
	pthread_t a, b, r;

	KeInitializeDpc(&shared, count_routine, NULL);
	r = start(remover, NULL);
	a = start(inserter, NULL);
	b = start(inserter, NULL);
	finish(a);
	finish(b);
	WriteRelease(&stop, 1);
	finish(r);
	KeFlushQueuedDpcs();
	assert_int_equal(queued_count, ran_count + removed_count);
}

static void flush_at_dispatch(void)
{
	KIRQL irql = KeRaiseIrqlToDpcLevel();

	KeFlushQueuedDpcs();
	KeLowerIrql(irql);
}

static void misuse_is_told(void **state)
{
	expect_misuse(flush_at_dispatch, "KeFlushQueuedDpcs: needs PASSIVE_LEVEL");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_below_it_runs_at_once),
		cmocka_unit_test(from_dispatch_level_it_runs_before_the_irql_drops),
		cmocka_unit_test(it_may_queue_others_and_itself),
		cmocka_unit_test(removed_it_does_not_run),
		cmocka_unit_test(a_flush_waits_for_what_is_queued),
		cmocka_unit_test(a_flush_waits_for_what_is_running),
		cmocka_unit_test(each_is_run_or_removed_once),
		cmocka_unit_test(misuse_is_told),
	};

	return RUN(tests);
}
