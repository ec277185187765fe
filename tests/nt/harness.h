/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_NT_HARNESS_H
#define TESTS_NT_HARNESS_H

/* What the tests of src/nt share. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nt/nt.h>

#define MS(n) (-10000LL * (n)) /* from now, in 100 ns */

static inline LARGE_INTEGER from_now(int64_t ms)
{
	LARGE_INTEGER t = { .QuadPart = MS(ms) };

	return t;
}

static inline void sleep_ms(unsigned ms)
{
	usleep(ms * 1000);
}

static inline uint64_t now_ms(void)
{
	return KeQueryInterruptTime() / 10000;
}

static inline NTSTATUS wait_ms(PVOID object, int64_t ms)
{
	LARGE_INTEGER timeout = from_now(ms);

	return KeWaitForSingleObject(object, Executive, KernelMode, FALSE, &timeout);
}

static inline NTSTATUS wait_forever(PVOID object)
{
	return KeWaitForSingleObject(object, Executive, KernelMode, FALSE, NULL);
}

static inline NTSTATUS poll(PVOID object)
{
	LARGE_INTEGER zero = { .QuadPart = 0 };

	return KeWaitForSingleObject(object, Executive, KernelMode, FALSE, &zero);
}

static inline pthread_t start(void *(*routine)(void *), void *argument)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, routine, argument), 0);
	return thread;
}

static inline void finish(pthread_t thread)
{
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* Runs `body` in a child that must abort and say `text`. */
static inline void expect_death(void (*body)(void), const char *text)
{
	char output[4096];
	size_t used = 0;
	ssize_t n;
	int ends[2], status;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(ends[1], 2);
		signal(SIGABRT, SIG_DFL);
		nt_log_set(NULL, NULL, NT_LOG_WARNING);
		body();
		_exit(0);
	}
	close(ends[1]);
	while ((n = read(ends[0], output + used, sizeof(output) - 1 - used)) > 0)
		used += (size_t)n;
	output[used] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || !strstr(output, text))
		fail_msg("expected an abort that says '%s', got status 0x%x and '%s'", text,
		         (unsigned)status, output);
}

static inline void harness_keep(int level, const char *channel, const char *text, void *context)
{
	snprintf(context, 1024, "%s: %s", channel ? channel : "", text);
}

/* Misuse stops a debug build; a release build says so and refuses the call. */
static inline void expect_misuse(void (*body)(void), const char *text)
{
#ifdef NDEBUG
	char said[1024] = "";

	nt_log_set(harness_keep, said, NT_LOG_ERROR);
	body();
	nt_log_set(NULL, NULL, NT_LOG_WARNING);
	if (!strstr(said, text))
		fail_msg("expected a message that says '%s', got '%s'", text, said);
#else
	expect_death(body, text);
#endif
}

#define RUN(tests) cmocka_run_group_tests(tests, NULL, NULL)

#endif
