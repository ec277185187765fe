/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

static void they_return_what_they_should(void **state)
{
	LONG n = 5;
	LONG64 w = 5;
	SHORT s = 5;

	assert_int_equal(InterlockedIncrement(&n), 6);
	assert_int_equal(InterlockedDecrement(&n), 5);
	assert_int_equal(InterlockedAdd(&n, 3), 8);
	assert_int_equal(InterlockedExchangeAdd(&n, 2), 8);
	assert_int_equal(InterlockedExchange(&n, 0x0f), 10);
	assert_int_equal(InterlockedAnd(&n, 0x3c), 0x0f);
	assert_int_equal(InterlockedOr(&n, 0x01), 0x0c);
	assert_int_equal(InterlockedXor(&n, 0x0f), 0x0d);
	assert_int_equal(n, 0x02);
	assert_int_equal(InterlockedCompareExchange(&n, 9, 1), 2);
	assert_int_equal(n, 2);
	assert_int_equal(InterlockedCompareExchange(&n, 9, 2), 2);
	assert_int_equal(n, 9);
	assert_int_equal(InterlockedIncrement64(&w), 6);
	assert_int_equal(InterlockedExchangeAdd64(&w, INT64_C(1) << 40), 6);
	assert_true(InterlockedCompareExchange64(&w, 1, (INT64_C(1) << 40) + 6) > INT32_MAX);
	assert_int_equal(w, 1);
	assert_int_equal(InterlockedDecrement16(&s), 4);
	assert_int_equal(InterlockedIncrementNoFence(&n), 10);
	assert_int_equal(InterlockedCompareExchangeRelease(&n, 1, 10), 10);
	assert_int_equal(InterlockedExchangeAcquire(&n, 3), 1);
}

static void pointers_too(void **state)
{
	PVOID p = state, mine = &p;

	assert_ptr_equal(InterlockedExchangePointer(&p, mine), state);
	assert_ptr_equal(InterlockedCompareExchangePointer(&p, NULL, state), mine);
	assert_ptr_equal(InterlockedCompareExchangePointer(&p, NULL, mine), mine);
	assert_null(p);
	WritePointerRelease(&p, mine);
	assert_ptr_equal(ReadPointerAcquire(&p), mine);
}

static void bits_too(void **state)
{
	LONG bits[2] = { 0, 0 };

	assert_false(InterlockedBitTestAndSet(bits, 33));
	assert_true(InterlockedBitTestAndSet(bits, 33));
	assert_int_equal(bits[1], 2);
	assert_true(InterlockedBitTestAndReset(bits, 33));
	assert_int_equal(bits[1], 0);
}

static LONG shared;
static LONG64 wide;

static void *add(void *argument)
{
	for (unsigned i = 0; i < 20000; i++) {
		InterlockedIncrement(&shared);
		InterlockedAdd64(&wide, INT64_C(1) << 32);
	}
	return NULL;
}

static void none_is_lost_between_threads(void **state)
{
	pthread_t a = start(add, NULL), b = start(add, NULL);

	finish(a);
	finish(b);
	assert_int_equal(shared, 40000);
	assert_true(wide == INT64_C(40000) << 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_return_what_they_should),
		cmocka_unit_test(pointers_too),
		cmocka_unit_test(bits_too),
		cmocka_unit_test(none_is_lost_between_threads),
	};

	return RUN(tests);
}
