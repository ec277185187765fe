/* SPDX-License-Identifier: BSD-2-Clause */
/* A host that does not answer: what is waited for is said, and the command ends when the time is
 * over. A thread looks after it, so that every wait is under it, whatever it waits on. */
#include "cli.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOTICE_NS  2000000000u
#define DEFAULT_MS 60000u

static struct {
	pthread_mutex_t lock; /* of all but `since_ns` */
	pthread_cond_t changed;
	pthread_t thread;
	bool begun, stopping, waiting;
	char what[PATIENCE_WHAT_SIZE];
	bool limited, told;
	uint64_t limit_ns;
	_Atomic uint64_t since_ns;
} patience = { .lock = PTHREAD_MUTEX_INITIALIZER };

/*
 * Ends the process with the host's requests where they are: nothing here may free the memory that
 * the host may still write to. What was printed so far is shown, unless somebody is at it.
 */
static void give_up(void)
{
	cli_error("no answer in %.1f s: %s", (double)patience.limit_ns / 1e9, patience.what);
	if (!ftrylockfile(stdout)) {
		fflush(stdout);
		funlockfile(stdout);
	}
	_exit(EXIT_FAILED);
}

static void say_what(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr); /* where the progress is */
	if (patience.limited)
		cli_error("waiting for the host, at most %.0f s: %s",
		          (double)patience.limit_ns / 1e9, patience.what);
	else
		cli_error("waiting for the host: %s", patience.what);
}

/* With the lock held. When to look again; 0: when something has changed. */
static uint64_t look(uint64_t now)
{
	uint64_t since = atomic_load(&patience.since_ns), notice = since + NOTICE_NS;
	uint64_t end = since + patience.limit_ns;

	if (!patience.waiting)
		return 0;
	if (patience.limited && now >= end)
		give_up();
	if (!patience.told && now >= notice) {
		patience.told = true;
		say_what();
	}
	if (!patience.told && (!patience.limited || notice < end))
		return notice;
	return patience.limited ? end : 0;
}

static void *patience_main(void *unused)
{
	pthread_mutex_lock(&patience.lock);
	while (!patience.stopping) {
		uint64_t next = look(cli_now_ns());
		struct timespec until = { .tv_sec = (time_t)(next / 1000000000u),
			                  .tv_nsec = (long)(next % 1000000000u) };

		if (next)
			pthread_cond_timedwait(&patience.changed, &patience.lock, &until);
		else
			pthread_cond_wait(&patience.changed, &patience.lock);
	}
	pthread_mutex_unlock(&patience.lock);
	return NULL;
}

void patience_begin(uint32_t timeout_ms)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&patience.changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	patience.limit_ns = (timeout_ms ? timeout_ms : DEFAULT_MS) * 1000000ull;
	patience.begun = !pthread_create(&patience.thread, NULL, patience_main, NULL);
	if (!patience.begun)
		cli_error("no thread: a host that does not answer is waited for without a word");
}

static void wait_for(const char *what, bool limited)
{
	if (!patience.begun)
		return;
	pthread_mutex_lock(&patience.lock);
	/* The same again is said once. */
	if (strncmp(patience.what, what, sizeof(patience.what) - 1) != 0 ||
	    patience.limited != limited)
		patience.told = false;
	snprintf(patience.what, sizeof(patience.what), "%s", what);
	patience.waiting = true;
	patience.limited = limited;
	atomic_store(&patience.since_ns, cli_now_ns());
	pthread_cond_signal(&patience.changed);
	pthread_mutex_unlock(&patience.lock);
}

void patience_wait(const char *what)
{
	wait_for(what, true);
}

void patience_say(const char *what)
{
	wait_for(what, false);
}

void patience_idle(void)
{
	if (!patience.begun)
		return;
	pthread_mutex_lock(&patience.lock);
	patience.waiting = false;
	pthread_mutex_unlock(&patience.lock);
}

void patience_answered(void)
{
	if (patience.begun)
		atomic_store_explicit(&patience.since_ns, cli_now_ns(), memory_order_relaxed);
}

bool patience_what(char what[PATIENCE_WHAT_SIZE])
{
	bool waiting;

	if (pthread_mutex_trylock(&patience.lock))
		return false;
	waiting = patience.waiting;
	memcpy(what, patience.what, sizeof(patience.what));
	pthread_mutex_unlock(&patience.lock);
	return waiting;
}

void patience_end(void)
{
	if (!patience.begun)
		return;
	pthread_mutex_lock(&patience.lock);
	patience.stopping = true;
	pthread_cond_signal(&patience.changed);
	pthread_mutex_unlock(&patience.lock);
	pthread_join(patience.thread, NULL);
	pthread_cond_destroy(&patience.changed);
	patience.begun = false;
}
