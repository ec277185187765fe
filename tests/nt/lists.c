/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

struct item {
	unsigned value;
	LIST_ENTRY entry;
	SINGLE_LIST_ENTRY single;
	SLIST_ENTRY sequenced;
};

static unsigned value_of(LIST_ENTRY *entry)
{
	return CONTAINING_RECORD(entry, struct item, entry)->value;
}

static void a_list_keeps_its_order(void **state)
{
	struct item a = { 1 }, b = { 2 }, c = { 3 };
	LIST_ENTRY head;

	InitializeListHead(&head);
	assert_true(IsListEmpty(&head));
	assert_ptr_equal(RemoveHeadList(&head), &head);
	InsertTailList(&head, &b.entry);
	InsertTailList(&head, &c.entry);
	InsertHeadList(&head, &a.entry);
	assert_false(IsListEmpty(&head));
	assert_false(RemoveEntryList(&b.entry));
	assert_int_equal(value_of(RemoveHeadList(&head)), 1);
	assert_int_equal(value_of(RemoveTailList(&head)), 3);
	assert_true(IsListEmpty(&head));
	InsertTailList(&head, &b.entry);
	assert_true(RemoveEntryList(&b.entry));
}

static void lists_are_joined(void **state)
{
	struct item a = { 1 }, b = { 2 }, c = { 3 };
	LIST_ENTRY head, *entries = &b.entry;

	InitializeListHead(&head);
	InsertTailList(&head, &a.entry);
	InitializeListHead(&b.entry);
	InsertTailList(&b.entry, &c.entry);
	AppendTailList(&head, entries);
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(value_of(RemoveHeadList(&head)), i);
	assert_true(IsListEmpty(&head));
}

static void a_single_list_is_a_stack(void **state)
{
	struct item a = { 1 }, b = { 2 };
	SINGLE_LIST_ENTRY head = { NULL };

	assert_null(PopEntryList(&head));
	PushEntryList(&head, &a.single);
	PushEntryList(&head, &b.single);
	assert_ptr_equal(PopEntryList(&head), &b.single);
	assert_ptr_equal(PopEntryList(&head), &a.single);
	assert_null(PopEntryList(&head));
}

static void the_interlocked_ones_say_what_was_there(void **state)
{
	struct item a = { 1 }, b = { 2 }, c = { 3 };
	SINGLE_LIST_ENTRY single = { NULL };
	KSPIN_LOCK lock = 0;
	LIST_ENTRY head;

	InitializeListHead(&head);
	assert_null(ExInterlockedInsertTailList(&head, &b.entry, &lock));
	assert_ptr_equal(ExInterlockedInsertHeadList(&head, &a.entry, &lock), &b.entry);
	assert_ptr_equal(ExInterlockedInsertTailList(&head, &c.entry, &lock), &b.entry);
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(value_of(ExInterlockedRemoveHeadList(&head, &lock)), i);
	assert_null(ExInterlockedRemoveHeadList(&head, &lock));
	assert_null(ExInterlockedPushEntryList(&single, &a.single, &lock));
	assert_ptr_equal(ExInterlockedPushEntryList(&single, &b.single, &lock), &a.single);
	assert_ptr_equal(ExInterlockedPopEntryList(&single, &lock), &b.single);
}

static SLIST_HEADER stack;
static struct item items[64];
static LONG popped;

static void *churn(void *argument)
{
	for (unsigned i = 0; i < 5000; i++) {
		SLIST_ENTRY *e = InterlockedPopEntrySList(&stack);

		if (!e)
			continue;
		InterlockedIncrement(&popped);
		CONTAINING_RECORD(e, struct item, sequenced)->value++;
		InterlockedPushEntrySList(&stack, e);
	}
	return NULL;
}

static void a_sequenced_list_serves_many_threads(void **state)
{
	pthread_t threads[4];
	unsigned sum = 0, n = 0;
	SLIST_ENTRY *e;

	InitializeSListHead(&stack);
	assert_null(InterlockedPopEntrySList(&stack));
	for (unsigned i = 0; i < 64; i++)
		assert_ptr_equal(InterlockedPushEntrySList(&stack, &items[i].sequenced),
		                 i ? &items[i - 1].sequenced : NULL);
	assert_int_equal(ExQueryDepthSList(&stack), 64);
	for (unsigned i = 0; i < 4; i++)
		threads[i] = start(churn, NULL);
	for (unsigned i = 0; i < 4; i++)
		finish(threads[i]);
	assert_int_equal(ExQueryDepthSList(&stack), 64);
	for (e = InterlockedFlushSList(&stack); e; e = e->Next, n++)
		sum += CONTAINING_RECORD(e, struct item, sequenced)->value;
	assert_int_equal(n, 64);
	assert_int_equal(sum, popped);
	assert_int_equal(ExQueryDepthSList(&stack), 0);
}

static void remove_twice(void)
{
	struct item a, b;
	LIST_ENTRY head;

	InitializeListHead(&head);
	InsertTailList(&head, &a.entry);
	InsertTailList(&head, &b.entry);
	RemoveEntryList(&a.entry);
	RemoveEntryList(&a.entry);
}

static void a_broken_list_stops(void **state)
{
	expect_death(remove_twice, "assertion failed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_keeps_its_order),
		cmocka_unit_test(lists_are_joined),
		cmocka_unit_test(a_single_list_is_a_stack),
		cmocka_unit_test(the_interlocked_ones_say_what_was_there),
		cmocka_unit_test(a_sequenced_list_serves_many_threads),
		cmocka_unit_test(a_broken_list_stops),
	};

	return RUN(tests);
}
