/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

#define TAG 0x6b6f6f4c /* "Look" */

static unsigned made, freed;

static PVOID make(POOL_TYPE type, SIZE_T size, ULONG tag)
{
	made++;
	return ExAllocatePoolWithTag(type, size, tag);
}

static void destroy(PVOID p)
{
	freed++;
	ExFreePool(p);
}

static void blocks_come_from_the_pool_and_go_back(void **state)
{
	uint64_t before = nt_pool_outstanding(NULL, 0, NULL);
	NPAGED_LOOKASIDE_LIST list;
	void *p[200];

	ExInitializeNPagedLookasideList(&list, NULL, NULL, 0, 100, TAG, 0);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 200; i++) {
			p[i] = ExAllocateFromNPagedLookasideList(&list);
			assert_non_null(p[i]);
			memset(p[i], (int)i, 100);
		}
		for (unsigned i = 0; i < 200; i++) {
			assert_int_equal(((uint8_t *)p[i])[99], i);
			ExFreeToNPagedLookasideList(&list, p[i]);
		}
	}
	ExDeleteNPagedLookasideList(&list);
	assert_int_equal(nt_pool_outstanding(NULL, 0, NULL), before);
}

static void the_drivers_own_routines_are_used(void **state)
{
	PAGED_LOOKASIDE_LIST list;
	void *a, *b;

	made = freed = 0;
	ExInitializePagedLookasideList(&list, make, destroy, 0, 4, TAG, 0);
	a = ExAllocateFromPagedLookasideList(&list);
	b = ExAllocateFromPagedLookasideList(&list);
	assert_int_equal(made, 2);
	ExFreeToPagedLookasideList(&list, a);
	ExFreeToPagedLookasideList(&list, b);
	ExDeletePagedLookasideList(&list);
	assert_int_equal(freed, 2);
}

struct counted {
	LOOKASIDE_LIST_EX list;
	int alive;
};

static PVOID make_ex(POOL_TYPE type, SIZE_T size, ULONG tag, PLOOKASIDE_LIST_EX list)
{
	CONTAINING_RECORD(list, struct counted, list)->alive++;
	return ExAllocatePoolWithTag(type, size, tag);
}

static void destroy_ex(PVOID p, PLOOKASIDE_LIST_EX list)
{
	CONTAINING_RECORD(list, struct counted, list)->alive--;
	ExFreePool(p);
}

static void the_extended_ones_get_the_list(void **state)
{
	struct counted c = { .alive = 0 };
	void *p;

	assert_int_equal(ExInitializeLookasideListEx(&c.list, make_ex, destroy_ex, NonPagedPoolNx,
	                                             0x80, 64, TAG, 0),
	                 STATUS_INVALID_PARAMETER_5);
	assert_int_equal(ExInitializeLookasideListEx(&c.list, make_ex, destroy_ex, NonPagedPoolNx,
	                                             0, 64, TAG, 0),
	                 STATUS_SUCCESS);
	p = ExAllocateFromLookasideListEx(&c.list);
	assert_int_equal(c.alive, 1);
	ExFreeToLookasideListEx(&c.list, p);
	ExFlushLookasideListEx(&c.list);
	assert_int_equal(c.alive, 0);
	p = ExAllocateFromLookasideListEx(&c.list);
	ExFreeToLookasideListEx(&c.list, p);
	ExDeleteLookasideListEx(&c.list);
	assert_int_equal(c.alive, 0);
}

static void no_memory_is_null(void **state)
{
	NPAGED_LOOKASIDE_LIST list;

	ExInitializeNPagedLookasideList(&list, NULL, NULL, 0, 100, TAG, 0);
	nt_pool_fail_after(1);
	assert_null(ExAllocateFromNPagedLookasideList(&list));
	ExDeleteNPagedLookasideList(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_come_from_the_pool_and_go_back),
		cmocka_unit_test(the_drivers_own_routines_are_used),
		cmocka_unit_test(the_extended_ones_get_the_list),
		cmocka_unit_test(no_memory_is_null),
	};

	return RUN(tests);
}
