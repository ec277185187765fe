/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

static unsigned closed;
static void *closed_object;

static void close_it(void *object)
{
	closed++;
	closed_object = object;
}

static HANDLE make(void *object)
{
	HANDLE handle = NULL;

	assert_int_equal(nt_handle_create("thing", object, close_it, &handle), STATUS_SUCCESS);
	assert_non_null(handle);
	return handle;
}

static void the_last_close_closes_the_object(void **state)
{
	HANDLE a = make(state), b;

	closed = 0;
	assert_int_equal(nt_handle_duplicate(a, "thing", &b), STATUS_SUCCESS);
	assert_ptr_not_equal(a, b);
	assert_int_equal(ZwClose(a), STATUS_SUCCESS);
	assert_int_equal(closed, 0);
	assert_int_equal(ZwClose(b), STATUS_SUCCESS);
	assert_int_equal(closed, 1);
	assert_ptr_equal(closed_object, state);
}

static void a_reference_outlives_the_handle(void **state)
{
	void *object, *reference;
	HANDLE a = make(state);

	closed = 0;
	assert_int_equal(nt_handle_reference(a, "thing", &object, &reference), STATUS_SUCCESS);
	assert_ptr_equal(object, state);
	ZwClose(a);
	assert_int_equal(closed, 0);
	nt_object_release(reference);
	assert_int_equal(closed, 1);
}

static void another_kind_is_refused(void **state)
{
	HANDLE a = make(state), b;
	void *object, *reference;

	assert_int_equal(nt_handle_duplicate(a, "other", &b), STATUS_OBJECT_TYPE_MISMATCH);
	assert_int_equal(nt_handle_reference(a, "other", &object, &reference),
	                 STATUS_OBJECT_TYPE_MISMATCH);
	assert_int_equal(ObReferenceObjectByHandle(a, 0, *PsThreadType, KernelMode, &object, NULL),
	                 STATUS_OBJECT_TYPE_MISMATCH);
	assert_int_equal(ObReferenceObjectByHandle(a, 0, NULL, KernelMode, &object, NULL),
	                 STATUS_OBJECT_TYPE_MISMATCH);
	ZwClose(a);
}

static void a_closed_handle_stays_invalid(void **state)
{
	HANDLE old = make(state), next;
	void *object, *reference;

	ZwClose(old);
	next = make(state); /* in the same place */
	assert_ptr_not_equal(old, next);
	assert_int_equal(ZwClose(old), STATUS_INVALID_HANDLE);
	assert_int_equal(nt_handle_reference(old, "thing", &object, &reference),
	                 STATUS_INVALID_HANDLE);
	ZwClose(next);
}

static void garbage_is_invalid(void **state)
{
	static const uintptr_t garbage[] = {
		0, 1, 3, 4, 0xfffffffc, UINTPTR_MAX, 0x7fffffff00000004
	};

	for (unsigned i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++)
		assert_int_equal(ZwClose((HANDLE)garbage[i]), STATUS_INVALID_HANDLE);
}

static void there_may_be_many(void **state)
{
	enum { N = 1000 };
	static HANDLE handles[N];

	closed = 0;
	for (unsigned i = 0; i < N; i++)
		handles[i] = make(&handles[i]);
	for (unsigned i = 0; i < N; i++) {
		void *object, *reference;

		assert_int_equal(nt_handle_reference(handles[i], "thing", &object, &reference),
		                 STATUS_SUCCESS);
		assert_ptr_equal(object, &handles[i]);
		nt_object_release(reference);
	}
	for (unsigned i = 0; i < N; i++)
		ZwClose(handles[i * 7 % N]);
	assert_int_equal(closed, N);
}

static void deref_garbage(void)
{
	static uint64_t memory[32];

	ObDereferenceObject(&memory[16]);
}

static void misuse_is_told(void **state)
{
	expect_misuse(deref_garbage, "not a thread or device object");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_close_closes_the_object),
		cmocka_unit_test(a_reference_outlives_the_handle),
		cmocka_unit_test(another_kind_is_refused),
		cmocka_unit_test(a_closed_handle_stays_invalid),
		cmocka_unit_test(garbage_is_invalid),
		cmocka_unit_test(there_may_be_many),
		cmocka_unit_test(misuse_is_told),
	};

	return RUN(tests);
}
