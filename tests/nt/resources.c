/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

static ERESOURCE resource;

static void is_free(void)
{
	assert_true(ExAcquireResourceExclusiveLite(&resource, FALSE));
	ExReleaseResourceLite(&resource);
	assert_int_equal(ExIsResourceAcquiredLite(&resource), 0);
}

static int make(void **state)
{
	assert_int_equal(ExInitializeResourceLite(&resource), STATUS_SUCCESS);
	return 0;
}

static int drop(void **state)
{
	is_free();
	assert_int_equal(ExDeleteResourceLite(&resource), STATUS_SUCCESS);
	return 0;
}

static void its_owner_may_take_it_again(void **state)
{
	assert_true(ExAcquireResourceExclusiveLite(&resource, TRUE));
	assert_true(ExAcquireResourceExclusiveLite(&resource, FALSE));
	assert_true(ExAcquireResourceSharedLite(&resource, FALSE));
	assert_true(ExIsResourceAcquiredExclusiveLite(&resource));
	assert_int_equal(ExIsResourceAcquiredSharedLite(&resource), 3);
	for (int i = 0; i < 3; i++)
		ExReleaseResourceLite(&resource);
	assert_false(ExIsResourceAcquiredExclusiveLite(&resource));
	assert_true(ExAcquireResourceSharedLite(&resource, TRUE));
	assert_true(ExAcquireSharedWaitForExclusive(&resource, TRUE));
	assert_int_equal(ExIsResourceAcquiredSharedLite(&resource), 2);
	assert_false(ExIsResourceAcquiredExclusiveLite(&resource));
	assert_false(ExAcquireResourceExclusiveLite(&resource, FALSE));
	ExReleaseResourceLite(&resource);
	ExReleaseResourceLite(&resource);
}

/* ---- another thread, that does one thing at a time ---- */

struct other {
	pthread_t thread;
	KEVENT go, done;
	void (*what)(struct other *self);
	BOOLEAN result;
	LONG *order, place;
};

static void *other_main(void *argument)
{
	struct other *o = argument;

	for (;;) {
		wait_forever(&o->go);
		if (!o->what)
			return NULL;
		o->what(o);
		KeSetEvent(&o->done, 0, FALSE);
	}
}

static void other_start(struct other *o)
{
	*o = (struct other){ 0 };
	KeInitializeEvent(&o->go, SynchronizationEvent, FALSE);
	KeInitializeEvent(&o->done, SynchronizationEvent, FALSE);
	o->thread = start(other_main, o);
}

static void other_begins(struct other *o, void (*what)(struct other *self))
{
	o->what = what;
	KeSetEvent(&o->go, 0, FALSE);
}

static void other_does(struct other *o, void (*what)(struct other *self))
{
	other_begins(o, what);
	wait_forever(&o->done);
}

static void other_ends(struct other *o)
{
	other_begins(o, NULL);
	finish(o->thread);
}

static void note(struct other *o)
{
	if (o->order)
		o->place = InterlockedIncrement(o->order);
}

static void take_exclusive(struct other *o)
{
	o->result = ExAcquireResourceExclusiveLite(&resource, TRUE);
	note(o);
}

static void take_shared(struct other *o)
{
	o->result = ExAcquireResourceSharedLite(&resource, TRUE);
	note(o);
}

static void try_exclusive(struct other *o)
{
	o->result = ExTryToAcquireResourceExclusiveLite(&resource);
}

static void try_shared(struct other *o)
{
	o->result = ExAcquireResourceSharedLite(&resource, FALSE);
}

static void try_shared_first(struct other *o)
{
	o->result = ExAcquireSharedStarveExclusive(&resource, FALSE);
}

static void try_shared_last(struct other *o)
{
	o->result = ExAcquireSharedWaitForExclusive(&resource, FALSE);
}

static void let_go(struct other *o)
{
	ExReleaseResourceLite(&resource);
}

static void until(ULONG (*count)(PERESOURCE), ULONG n)
{
	for (unsigned i = 0; count(&resource) != n; i++) {
		assert_true(i < 10000);
		sleep_ms(1);
	}
}

static void many_share_it_or_one_has_it(void **state)
{
	struct other o;

	other_start(&o);
	assert_true(ExAcquireResourceSharedLite(&resource, TRUE));
	other_does(&o, try_exclusive);
	assert_false(o.result);
	other_does(&o, try_shared);
	assert_true(o.result);
	assert_int_equal(ExIsResourceAcquiredSharedLite(&resource), 1); /* its own */
	other_does(&o, let_go);
	ExReleaseResourceLite(&resource);
	assert_true(ExAcquireResourceExclusiveLite(&resource, TRUE));
	other_does(&o, try_shared);
	assert_false(o.result);
	other_does(&o, try_shared_first);
	assert_false(o.result);
	ExReleaseResourceLite(&resource);
	other_does(&o, try_exclusive);
	assert_true(o.result);
	assert_false(ExIsResourceAcquiredExclusiveLite(&resource));
	other_does(&o, let_go);
	other_ends(&o);
}

/* While one waits for exclusive access: who shares already may again, others by starving it only.
 */
static void who_waits_goes_first(void **state)
{
	struct other writer, o;

	other_start(&writer);
	other_start(&o);
	assert_true(ExAcquireResourceSharedLite(&resource, TRUE));
	other_begins(&writer, take_exclusive);
	until(ExGetExclusiveWaiterCount, 1);
	other_does(&o, try_shared);
	assert_false(o.result);
	other_does(&o, try_shared_last);
	assert_false(o.result);
	other_does(&o, try_shared_first);
	assert_true(o.result);
	other_does(&o, try_shared);
	assert_true(o.result);
	other_does(&o, let_go);
	other_does(&o, let_go);
	assert_true(ExAcquireResourceSharedLite(&resource, FALSE));
	assert_false(ExAcquireSharedWaitForExclusive(&resource, FALSE));
	ExReleaseResourceLite(&resource);
	assert_int_equal(ExGetExclusiveWaiterCount(&resource), 1);
	ExReleaseResourceLite(&resource);
	wait_forever(&writer.done);
	assert_int_equal(ExGetExclusiveWaiterCount(&resource), 0);
	assert_false(ExAcquireResourceSharedLite(&resource, FALSE));
	other_does(&writer, let_go);
	other_ends(&writer);
	other_ends(&o);
}

/* The exclusive owner lets go: first all who wait to share it, then who waits for it alone. */
static void it_is_handed_over(void **state)
{
	enum { READERS = 7 }; /* more than the table begins with */
	struct other writer, readers[READERS];
	LONG order = 0;

	assert_true(ExAcquireResourceExclusiveLite(&resource, TRUE));
	other_start(&writer);
	writer.order = &order;
	other_begins(&writer, take_exclusive);
	until(ExGetExclusiveWaiterCount, 1);
	for (unsigned i = 0; i < READERS; i++) {
		other_start(&readers[i]);
		readers[i].order = &order;
		other_begins(&readers[i], take_shared);
	}
	until(ExGetSharedWaiterCount, READERS);
	ExReleaseResourceLite(&resource);
	for (unsigned i = 0; i < READERS; i++)
		wait_forever(&readers[i].done);
	assert_int_equal(ExGetSharedWaiterCount(&resource), 0);
	assert_int_equal(ExGetExclusiveWaiterCount(&resource), 1);
	for (unsigned i = 0; i < READERS; i++)
		other_does(&readers[i], let_go);
	wait_forever(&writer.done);
	assert_int_equal(writer.place, READERS + 1);
	other_does(&writer, let_go);
	for (unsigned i = 0; i < READERS; i++)
		other_ends(&readers[i]);
	other_ends(&writer);
}

static void an_owner_can_let_others_in(void **state)
{
	struct other o;

	other_start(&o);
	assert_true(ExAcquireResourceExclusiveLite(&resource, TRUE));
	assert_true(ExAcquireResourceExclusiveLite(&resource, TRUE));
	other_begins(&o, take_shared);
	until(ExGetSharedWaiterCount, 1);
	ExConvertExclusiveToSharedLite(&resource);
	wait_forever(&o.done);
	assert_false(ExIsResourceAcquiredExclusiveLite(&resource));
	assert_int_equal(ExIsResourceAcquiredSharedLite(&resource), 2);
	ExReleaseResourceLite(&resource);
	ExReleaseResourceLite(&resource);
	other_does(&o, let_go);
	other_ends(&o);
}

static void let_go_for_pointer(struct other *o)
{
	ExReleaseResourceForThreadLite(&resource, (ERESOURCE_THREAD)o | 3);
}

static void another_thread_can_give_it_back(void **state)
{
	ERESOURCE_THREAD me = ExGetCurrentResourceThread();
	struct other o;

	other_start(&o);
	for (int shared = 0; shared < 2; shared++) {
		if (shared)
			assert_true(ExAcquireResourceSharedLite(&resource, TRUE));
		else
			assert_true(ExAcquireResourceExclusiveLite(&resource, TRUE));
		ExSetResourceOwnerPointer(&resource, (PVOID)((ERESOURCE_THREAD)&o | 3));
		assert_int_equal(ExIsResourceAcquiredLite(&resource), 0);
		assert_false(ExAcquireResourceExclusiveLite(&resource, FALSE));
		other_does(&o, let_go_for_pointer);
		is_free();
	}
	assert_true(ExAcquireResourceExclusiveLite(&resource, TRUE));
	ExReleaseResourceForThreadLite(&resource, me);
	other_ends(&o);
}

static ULONG a, b;

static void *change(void *argument)
{
	for (unsigned i = 0; i < 2000; i++) {
		if (i % 4) {
			ExEnterCriticalRegionAndAcquireResourceShared(&resource);
			assert_int_equal(a, b);
		} else {
			ExEnterCriticalRegionAndAcquireResourceExclusive(&resource);
			a++;
			b++;
		}
		ExReleaseResourceAndLeaveCriticalRegion(&resource);
	}
	return NULL;
}

static void threads_take_turns(void **state)
{
	pthread_t threads[6];

	for (unsigned i = 0; i < 6; i++)
		threads[i] = start(change, NULL);
	for (unsigned i = 0; i < 6; i++)
		finish(threads[i]);
	assert_int_equal(a, 6 * 500);
	assert_int_equal(b, a);
}

static void without_memory_it_waits_for_some(void **state)
{
	struct other o[3];

	for (unsigned i = 0; i < 3; i++) {
		other_start(&o[i]);
		other_does(&o[i], try_shared);
		assert_true(o[i].result);
	}
	nt_pool_fail_after(1);
	assert_false(ExAcquireResourceSharedLite(&resource, FALSE)); /* the fifth place of four */
	nt_pool_fail_after(1);
	assert_true(ExAcquireResourceSharedLite(&resource, TRUE));
	ExReleaseResourceLite(&resource);
	for (unsigned i = 0; i < 3; i++) {
		other_does(&o[i], let_go);
		other_ends(&o[i]);
	}
}

/* ---- misuse ---- */

static void release_what_is_free(void)
{
	ExReleaseResourceLite(&resource);
}

static void wait_for_oneself(void)
{
	ExAcquireResourceSharedLite(&resource, TRUE);
	ExAcquireResourceExclusiveLite(&resource, TRUE);
	ExReleaseResourceLite(&resource);
}

static void acquire_at_dispatch(void)
{
	KIRQL irql = KeRaiseIrqlToDpcLevel();

	ExAcquireResourceSharedLite(&resource, FALSE);
	KeLowerIrql(irql);
}

static void delete_what_is_held(void)
{
	ExAcquireResourceSharedLite(&resource, TRUE);
	ExDeleteResourceLite(&resource);
	ExReleaseResourceLite(&resource);
}

static void convert_a_share(void)
{
	ExAcquireResourceSharedLite(&resource, TRUE);
	ExConvertExclusiveToSharedLite(&resource);
	ExReleaseResourceLite(&resource);
}

static void give_to_a_thread(void)
{
	ExAcquireResourceExclusiveLite(&resource, TRUE);
	ExSetResourceOwnerPointer(&resource, &resource);
	ExReleaseResourceLite(&resource);
}

static void misuse(void **state)
{
	expect_misuse(release_what_is_free, "ExReleaseResourceLite");
	expect_misuse(wait_for_oneself, "would wait for itself");
	expect_misuse(acquire_at_dispatch, "ExAcquireResourceSharedLite");
	expect_misuse(delete_what_is_held, "ExDeleteResourceLite");
	expect_misuse(convert_a_share, "ExConvertExclusiveToSharedLite");
	expect_misuse(give_to_a_thread, "two low bits");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(its_owner_may_take_it_again),
		TEST(many_share_it_or_one_has_it),
		TEST(who_waits_goes_first),
		TEST(it_is_handed_over),
		TEST(an_owner_can_let_others_in),
		TEST(another_thread_can_give_it_back),
		TEST(threads_take_turns),
		TEST(without_memory_it_waits_for_some),
		TEST(misuse),
	};

	return RUN(tests);
}
