/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct start {
	char name[16];
	void (*routine)(void *context);
	void *context;
};

static void *thread_main(void *argument)
{
	struct start start = *(struct start *)argument;

	free(argument);
	pthread_setname_np(pthread_self(), start.name);
	start.routine(start.context);
	return NULL;
}

/* Signals are the application's: none is delivered to a thread of ours. */
static int create_without_signals(struct start *start)
{
	pthread_attr_t attributes;
	sigset_t all, old;
	pthread_t thread;
	int error;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&thread, &attributes, thread_main, start);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	return error;
}

bool nt_thread_start(const char *name, void (*routine)(void *context), void *context)
{
	struct start *start = calloc(1, sizeof(*start));
	size_t length = strlen(name);

	if (!start)
		return false;
	memcpy(start->name, name, length < 15 ? length : 15);
	start->routine = routine;
	start->context = context;
	if (create_without_signals(start) != 0) {
		free(start);
		return false;
	}
	return true;
}

/* ---- system threads ---- */

struct system_thread {
	struct nt_object object;
	KTHREAD thread; /* the object's body: right after its header */
	struct nt_latch started;
};

_Static_assert(offsetof(struct system_thread, thread) == sizeof(struct nt_object),
               "ObDereferenceObject finds the header there");

/* For threads the system did not make here: nobody can wait for one. */
static __thread KTHREAD foreign_thread;

static void system_thread_free(void *body)
{
	free(CONTAINING_RECORD(body, struct system_thread, thread));
}

static void system_thread_ended(void *argument)
{
	KTHREAD *thread = argument;
	struct nt_waiter *woken = NULL;

	nt_self.thread = NULL;
	nt_lock_acquire(&nt_dispatcher_lock);
	nt_header_signal(&thread->Header, 1, &woken);
	nt_lock_release(&nt_dispatcher_lock);
	nt_waiters_wake(woken);
	ObDereferenceObject(thread);
}

static void system_thread_main(void *context)
{
	struct system_thread *t = context;
	KTHREAD *thread = &t->thread;

	thread->Id = nt_self_id();
	nt_self.thread = thread;
	nt_latch_post(&t->started);
	/* PsTerminateSystemThread leaves through pthread_exit(). */
	pthread_cleanup_push(system_thread_ended, thread);
	thread->StartRoutine(thread->StartContext);
	nt_irql_at_most(PASSIVE_LEVEL, "a system thread's routine", "its return");
	__atomic_store_n(&thread->ExitStatus, STATUS_SUCCESS, __ATOMIC_RELEASE);
	pthread_cleanup_pop(1);
}

static struct system_thread *system_thread_new(PKSTART_ROUTINE routine, PVOID context)
{
	struct system_thread *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	nt_object_init(&t->object, "thread", &t->thread, system_thread_free);
	nt_header_init(&t->thread.Header, NT_THREAD, 0);
	t->thread.ExitStatus = STATUS_PENDING;
	t->thread.StartRoutine = routine;
	t->thread.StartContext = context;
	return t;
}

NTSTATUS PsCreateSystemThread(PHANDLE thread, ULONG access, POBJECT_ATTRIBUTES attributes,
                              HANDLE process, PCLIENT_ID id, PKSTART_ROUTINE routine, PVOID context)
{
	struct system_thread *t;
	NTSTATUS status;

	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, NULL))
		return STATUS_UNSUCCESSFUL;
	if (process || !routine)
		return STATUS_INVALID_PARAMETER;
	t = system_thread_new(routine, context);
	if (!t)
		return STATUS_INSUFFICIENT_RESOURCES;
	status = nt_object_open(&t->object, thread);
	if (!NT_SUCCESS(status)) {
		free(t);
		return status;
	}
	nt_object_reference(&t->object); /* the thread's own */
	if (!nt_thread_start("nt-system", system_thread_main, t)) {
		ZwClose(*thread);
		nt_object_release(&t->object);
		nt_object_release(&t->object);
		return STATUS_INSUFFICIENT_RESOURCES;
	}
	nt_latch_wait(&t->started);
	if (id) {
		id->UniqueProcess = PsGetCurrentProcessId();
		id->UniqueThread = (HANDLE)(uintptr_t)t->thread.Id;
	}
	nt_object_release(&t->object);
	return STATUS_SUCCESS;
}

NTSTATUS PsTerminateSystemThread(NTSTATUS status)
{
	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, NULL))
		return STATUS_UNSUCCESSFUL;
	if (!nt_self.thread || nt_self.thread == &foreign_thread)
		return STATUS_INVALID_PARAMETER;
	__atomic_store_n(&nt_self.thread->ExitStatus, status, __ATOMIC_RELEASE);
	pthread_exit(NULL);
}

NTSTATUS PsGetThreadExitStatus(PETHREAD thread)
{
	return __atomic_load_n(&thread->ExitStatus, __ATOMIC_ACQUIRE);
}

PKTHREAD KeGetCurrentThread(void)
{
	if (!nt_self.thread) {
		nt_header_init(&foreign_thread.Header, NT_THREAD, 0);
		foreign_thread.Id = nt_self_id();
		foreign_thread.ExitStatus = STATUS_PENDING;
		nt_self.thread = &foreign_thread;
	}
	return nt_self.thread;
}

HANDLE PsGetCurrentThreadId(void)
{
	return (HANDLE)(uintptr_t)nt_self_id();
}

HANDLE PsGetCurrentProcessId(void)
{
	return (HANDLE)(uintptr_t)getpid();
}
