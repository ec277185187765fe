/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_COMMON_THREAD_H
#define DEVICES_COMMON_THREAD_H

#include <pthread.h>
#include <signal.h>

/* Starts a thread with all signals blocked: they are the application's. 0, or an errno. */
static inline int thread_start(pthread_t *thread, const char *name, void *(*routine)(void *),
                               void *argument)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(thread, NULL, routine, argument);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!error)
		pthread_setname_np(*thread, name);
	return error;
}

#endif
