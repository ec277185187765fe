/* SPDX-License-Identifier: BSD-2-Clause */

/* The inline functions of the headers have addresses too, whatever the compiler. */

#include "harness.h"

#include <ntintsafe.h>
#include <ntstrsafe.h>

static void they_can_be_pointed_at(void **state)
{
	void (*volatile insert)(PLIST_ENTRY, PLIST_ENTRY) = InsertTailList;
	LONG (*volatile increment)(LONG volatile *) = InterlockedIncrement;
	NTSTATUS (*volatile add)(ULONG, ULONG, ULONG *) = RtlULongAdd;
	NTSTATUS (*volatile copy)(CHAR *, size_t, PCSTR) = RtlStringCbCopyA;
	LIST_ENTRY head, entry;
	LONG count = 1;
	ULONG sum;
	CHAR text[4];

	InitializeListHead(&head);
	insert(&head, &entry);
	assert_ptr_equal(RemoveHeadList(&head), &entry);
	assert_int_equal(increment(&count), 2);
	assert_int_equal(add(MAXULONG, 1, &sum), STATUS_INTEGER_OVERFLOW);
	assert_int_equal(copy(text, sizeof(text), "abc"), STATUS_SUCCESS);
	assert_string_equal(text, "abc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_can_be_pointed_at),
	};

	return RUN(tests);
}
