/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest that is told to end: at once, whatever it waits for, and not without a word. A thread
 * looks after it, as a handler could not say anything. */
#include "cli.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Those that are not ignored, as nohup has SIGHUP ignored. */
void cli_end_signals(sigset_t *signals)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action;

	sigemptyset(signals);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (!sigaction(numbers[i], NULL, &action) && action.sa_handler != SIG_IGN)
			sigaddset(signals, numbers[i]);
}

/* Unless that would wait for somebody. */
static void say(int number)
{
	struct pollfd error = { .fd = STDERR_FILENO, .events = POLLOUT };
	char what[PATIENCE_WHAT_SIZE];

	if (poll(&error, 1, 0) != 1 || ftrylockfile(stderr))
		return;
	if (patience_what(what))
		cli_error("ended by SIG%s; it waited for %s", sigabbrev_np(number), what);
	else
		cli_error("ended by SIG%s", sigabbrev_np(number));
	funlockfile(stderr);
}

/* As the signal does it, so that whoever waits for this process knows. The host's requests stay
 * where they are: nothing may free the memory that the host may still write to. */
static _Noreturn void end_by(int number)
{
	sigset_t signals;

	signal(number, SIG_DFL);
	sigemptyset(&signals);
	sigaddset(&signals, number);
	pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
	raise(number);
	_exit(EXIT_FAILED); /* the first process of a container has no such default */
}

static void *farewell_main(void *argument)
{
	sigset_t *signals = argument;
	int number = SIGTERM;

	sigwait(signals, &number);
	say(number);
	end_by(number);
}

void farewell_begin(void)
{
	static sigset_t signals;
	pthread_t thread;

	cli_end_signals(&signals);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); /* in all threads that there will be */
	if (pthread_create(&thread, NULL, farewell_main, &signals))
		pthread_sigmask(SIG_UNBLOCK, &signals, NULL); /* then it ends without a word */
	else
		pthread_detach(thread);
}
