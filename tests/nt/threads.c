/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

static KEVENT go;
static PKTHREAD self_seen;

static void routine(PVOID context)
{
	self_seen = KeGetCurrentThread();
	*(HANDLE *)context = PsGetCurrentThreadId();
	wait_forever(&go);
}

static PKTHREAD object_of(HANDLE handle)
{
	PVOID object = NULL;

	assert_int_equal(ObReferenceObjectByHandle(handle, THREAD_ALL_ACCESS, *PsThreadType,
	                                           KernelMode, &object, NULL),
	                 STATUS_SUCCESS);
	return object;
}

static void a_thread_is_waited_for(void **state)
{
	OBJECT_ATTRIBUTES attributes;
	HANDLE handle, id = NULL;
	PKTHREAD thread;
	CLIENT_ID client;

	InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
	KeInitializeEvent(&go, NotificationEvent, FALSE);
	assert_int_equal(PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, &attributes, NULL,
	                                      &client, routine, &id),
	                 STATUS_SUCCESS);
	thread = object_of(handle);
	assert_int_equal(ZwClose(handle), STATUS_SUCCESS); /* the thread goes on */
	assert_int_equal(wait_ms(thread, 20), STATUS_TIMEOUT);
	assert_int_equal(PsGetThreadExitStatus(thread), STATUS_PENDING);
	KeSetEvent(&go, 0, FALSE);
	assert_int_equal(wait_forever(thread), STATUS_SUCCESS);
	assert_int_equal(poll(thread), STATUS_SUCCESS); /* and stays so */
	assert_int_equal(PsGetThreadExitStatus(thread), STATUS_SUCCESS);
	assert_ptr_equal(self_seen, thread);
	assert_ptr_equal(client.UniqueThread, id);
	assert_ptr_not_equal(id, PsGetCurrentThreadId());
	ObDereferenceObject(thread);
}

static void leave_early(PVOID context)
{
	PsTerminateSystemThread(STATUS_DEVICE_REMOVED);
	*(bool *)context = true;
}

static void a_thread_can_end_itself(void **state)
{
	bool came_back = false;
	PKTHREAD thread;
	HANDLE handle;

	assert_int_equal(
		PsCreateSystemThread(&handle, 0, NULL, NULL, NULL, leave_early, &came_back),
		STATUS_SUCCESS);
	thread = object_of(handle);
	ZwClose(handle);
	assert_int_equal(wait_forever(thread), STATUS_SUCCESS);
	assert_false(came_back);
	assert_int_equal(PsGetThreadExitStatus(thread), STATUS_DEVICE_REMOVED);
	ObDereferenceObject(thread);
	assert_int_equal(PsTerminateSystemThread(STATUS_SUCCESS), STATUS_INVALID_PARAMETER);
}

static void nothing(PVOID context)
{
}

/* Ended, waited for, released, in every order: the object must not go under anyone. */
static void many_come_and_go(void **state)
{
	for (unsigned i = 0; i < 100; i++) {
		PKTHREAD thread;
		HANDLE handle;

		assert_int_equal(PsCreateSystemThread(&handle, 0, NULL, NULL, NULL, nothing, NULL),
		                 STATUS_SUCCESS);
		if (i % 3 == 0) {
			ZwClose(handle);
			continue;
		}
		thread = object_of(handle);
		ZwClose(handle);
		wait_forever(thread);
		ObDereferenceObject(thread);
	}
}

static void any_thread_is_one(void **state)
{
	assert_non_null(KeGetCurrentThread());
	assert_ptr_equal(KeGetCurrentThread(), PsGetCurrentThread());
	assert_ptr_equal(PsGetCurrentProcessId(), (HANDLE)(uintptr_t)getpid());
}

static void bad_calls_are_refused(void **state)
{
	HANDLE handle;

	assert_int_equal(PsCreateSystemThread(&handle, 0, NULL, (HANDLE)1, NULL, nothing, NULL),
	                 STATUS_INVALID_PARAMETER);
	assert_int_equal(PsCreateSystemThread(&handle, 0, NULL, NULL, NULL, NULL, NULL),
	                 STATUS_INVALID_PARAMETER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_is_waited_for), cmocka_unit_test(a_thread_can_end_itself),
		cmocka_unit_test(many_come_and_go),       cmocka_unit_test(any_thread_is_one),
		cmocka_unit_test(bad_calls_are_refused),
	};

	return RUN(tests);
}
