/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

static void it_goes_up_and_down(void **state)
{
	KIRQL old, older;

	assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
	KeRaiseIrql(APC_LEVEL, &older);
	assert_int_equal(older, PASSIVE_LEVEL);
	old = KeRaiseIrqlToDpcLevel();
	assert_int_equal(old, APC_LEVEL);
	assert_int_equal(KeGetCurrentIrql(), DISPATCH_LEVEL);
	assert_int_equal(KfRaiseIrql(HIGH_LEVEL), DISPATCH_LEVEL);
	KeLowerIrql(old);
	assert_int_equal(KeGetCurrentIrql(), APC_LEVEL);
	KeLowerIrql(older);
	assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

static void *other_thread(void *argument)
{
	*(KIRQL *)argument = KeGetCurrentIrql();
	return NULL;
}

static void it_is_the_threads_own(void **state)
{
	KIRQL other = HIGH_LEVEL, irql = KeRaiseIrqlToDpcLevel();

	finish(start(other_thread, &other));
	assert_int_equal(other, PASSIVE_LEVEL);
	KeLowerIrql(irql);
}

struct deferred {
	struct nt_deferred d;
	unsigned runs;
	KIRQL irql;
	unsigned order;
	struct deferred *queue; /* queued by the routine */
};

static unsigned order;

static void note(struct nt_deferred *self)
{
	struct deferred *d = CONTAINING_RECORD(self, struct deferred, d);

	d->runs++;
	d->irql = KeGetCurrentIrql();
	d->order = ++order;
	if (d->queue)
		nt_defer(&d->queue->d);
}

static void what_is_deferred_runs_before_the_irql_drops(void **state)
{
	struct deferred a = { .d.routine = note }, b = { .d.routine = note };
	KIRQL irql;

	order = 0;
	irql = KeRaiseIrqlToDpcLevel();
	nt_defer(&a.d);
	nt_defer(&b.d);
	nt_defer(&a.d); /* once is enough */
	assert_int_equal(a.runs, 0);
	KeLowerIrql(DISPATCH_LEVEL); /* not below: not yet */
	assert_int_equal(a.runs, 0);
	KeLowerIrql(irql);
	assert_int_equal(a.runs, 1);
	assert_int_equal(b.runs, 1);
	assert_int_equal(a.order, 1);
	assert_int_equal(b.order, 2);
	assert_int_equal(a.irql, DISPATCH_LEVEL);
	assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

static void a_spin_lock_released_last_runs_it(void **state)
{
	struct deferred a = { .d.routine = note };
	KSPIN_LOCK outer = 0, inner = 0;
	KIRQL o, i;

	KeAcquireSpinLock(&outer, &o);
	KeAcquireSpinLock(&inner, &i);
	nt_defer(&a.d);
	KeReleaseSpinLock(&inner, i);
	assert_int_equal(a.runs, 0);
	KeReleaseSpinLock(&outer, o);
	assert_int_equal(a.runs, 1);
}

static void what_it_defers_runs_too(void **state)
{
	struct deferred b = { .d.routine = note }, a = { .d.routine = note, .queue = &b };
	KIRQL irql = KeRaiseIrqlToDpcLevel();

	nt_defer(&a.d);
	KeLowerIrql(irql);
	assert_int_equal(b.runs, 1);
}

static void below_dispatch_level_it_runs_at_once(void **state)
{
	struct deferred a = { .d.routine = note };

	nt_defer(&a.d);
	assert_int_equal(a.runs, 1);
	assert_int_equal(a.irql, DISPATCH_LEVEL);
	nt_defer(&a.d);
	assert_int_equal(a.runs, 2);
}

static void a_dispatcher_can_run_it_without_lowering(void **state)
{
	struct deferred a = { .d.routine = note };
	KIRQL irql = KeRaiseIrqlToDpcLevel();

	nt_defer(&a.d);
	nt_run_deferred();
	assert_int_equal(a.runs, 1);
	assert_int_equal(KeGetCurrentIrql(), DISPATCH_LEVEL);
	KeLowerIrql(irql);
	assert_int_equal(a.runs, 1);
}

static void raise_down(void)
{
	KIRQL irql = KeRaiseIrqlToDpcLevel(), old;

	KeRaiseIrql(APC_LEVEL, &old);
	KeLowerIrql(irql);
}

static void lower_up(void)
{
	KeLowerIrql(DISPATCH_LEVEL);
}

static void paged_code_at_dispatch(void)
{
	KeRaiseIrqlToDpcLevel();
	PAGED_CODE();
	abort(); /* in a release build, which does not look */
}

static void close_at_dispatch(void)
{
	KIRQL irql = KeRaiseIrqlToDpcLevel();

	ZwClose(NULL);
	KeLowerIrql(irql);
}

static void misuse_is_told(void **state)
{
	expect_misuse(raise_down, "must not be below the current one");
	expect_misuse(lower_up, "must not be above the current one");
	expect_misuse(close_at_dispatch, "ZwClose: needs PASSIVE_LEVEL");
	expect_death(paged_code_at_dispatch, DBG ? "assertion failed: KeGetCurrentIrql()" : "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_goes_up_and_down),
		cmocka_unit_test(it_is_the_threads_own),
		cmocka_unit_test(what_is_deferred_runs_before_the_irql_drops),
		cmocka_unit_test(a_spin_lock_released_last_runs_it),
		cmocka_unit_test(what_it_defers_runs_too),
		cmocka_unit_test(below_dispatch_level_it_runs_at_once),
		cmocka_unit_test(a_dispatcher_can_run_it_without_lowering),
		cmocka_unit_test(misuse_is_told),
	};

	return RUN(tests);
}
