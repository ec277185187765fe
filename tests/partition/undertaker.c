/* SPDX-License-Identifier: BSD-2-Clause */
/* A process that is made to exit with what strangers sent ends, whoever else was forked meanwhile:
 * another thread's fork has all that this process has at that moment, and may live on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "partition/socket_door.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#define THREADS 4u
#define ROUNDS  25u

static int rubbish = -1; /* what the other fork does not have: it was not of interest to it */
static pid_t other;

/* Takes libc's place: right behind a pipe that is made, somebody forks. */
int pipe2(int ends[2], int flags)
{
	int error = (int)syscall(SYS_pipe2, ends, flags);

	if (error || rubbish < 0)
		return error;
	other = (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
	if (!other) {
		syscall(SYS_close, rubbish);
		for (;;)
			syscall(SYS_pause);
	}
	rubbish = -1;
	return 0;
}

static void expect_closed(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;

	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
	close(fd);
}

static void it_ends_though_another_fork_lives(void **state)
{
	struct socket_door door = { .fd = -1 };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	door.rubbish[door.rubbish_count++] = rubbish = pair[1];
	assert_true(door_undertake(&door));
	assert_int_equal(door.rubbish_count, 0);
	expect_closed(pair[0]);
	kill(other, SIGKILL);
	assert_int_equal(waitpid(other, NULL, 0), other);
}

static void *undertake(void *context)
{
	int *peers = context;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct socket_door door = { .fd = -1 };
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
			break;
		door.rubbish[door.rubbish_count++] = pair[1];
		peers[i] = pair[0];
		if (!door_undertake(&door))
			close(pair[1]);
	}
	return NULL;
}

static void many_at_a_time_end(void **state)
{
	static int peers[THREADS][ROUNDS];
	pthread_t threads[THREADS];

	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, undertake, peers[i]), 0);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned int i = 0; i < THREADS; i++)
		for (unsigned int k = 0; k < ROUNDS; k++)
			expect_closed(peers[i][k]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_ends_though_another_fork_lives),
		cmocka_unit_test(many_at_a_time_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
