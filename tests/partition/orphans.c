/* SPDX-License-Identifier: BSD-2-Clause */
/* Of the processes that meet strangers one is killed, without a word, at the moment that hurts; and
 * a fork that is none of theirs has the pipe over which it would have said it. Who waited for it
 * ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "partition/socket_descriptor.h"

#include "raw.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define PATIENCE_MS 10000

/* What all of the processes see. */
static struct {
	_Atomic pid_t bystander; /* the fork that has the pipe */
	atomic_bool waits;       /* the undertaker is about to */
} * scene;

static pid_t test_process;
static bool want_bystander;
/* Before each system call of theirs, in whichever process makes it. */
static void (*before_call)(long number, const long *arguments);

static long real_call(long number, const long *a)
{
	static long (*real)(long number, ...);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void die(void)
{
	const long a[6] = { getpid(), SIGKILL };

	real_call(SYS_kill, a);
}

/* It has these two descriptors and no others. */
static void make_bystander(const int ends[2])
{
	const long fork_like[6] = { SIGCHLD }, none[6] = { 0 };
	int low = ends[0] < ends[1] ? ends[0] : ends[1], high = ends[0] + ends[1] - low;
	pid_t pid;

	if (!want_bystander)
		return;
	want_bystander = false;
	pid = (pid_t)real_call(SYS_clone, fork_like);
	if (pid) {
		scene->bystander = pid;
		return;
	}
	if (low)
		close_range(0, (unsigned int)low - 1, 0);
	if (low + 1 < high)
		close_range((unsigned int)low + 1, (unsigned int)high - 1, 0);
	close_range((unsigned int)high + 1, ~0u, 0);
	for (;;)
		real_call(SYS_pause, none);
}

/* Take libc's place. */
int pipe2(int ends[2], int flags)
{
	const long a[6] = { (long)(intptr_t)ends, flags };
	int error = (int)real_call(SYS_pipe2, a);

	if (!error)
		make_bystander(ends);
	return error;
}

/* More words are read than there may be, as libc does it: nothing of a sanitizer's sees that. */
DOOR_QUIET long syscall(long number, ...)
{
	va_list ap;
	long a[6], result;

	va_start(ap, number);
	for (size_t i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (before_call)
		before_call(number, a);
	result = real_call(number, a);
	if (number == SYS_pipe2 && !result)
		make_bystander((const int *)(intptr_t)a[0]);
	return result;
}

static bool is_child_of_the_test(void)
{
	return getppid() == test_process;
}

static void expect_end(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;

	if (poll(&p, 1, PATIENCE_MS) != 1)
		fail_msg("somebody still has the other end");
	if (recv(fd, &byte, 1, MSG_DONTWAIT)) /* what it had not read may have been for it */
		assert_int_equal(errno, ECONNRESET);
	close(fd);
}

static int begin(void **state)
{
	scene->bystander = 0;
	scene->waits = false;
	want_bystander = true;
	return 0;
}

static void kill_children(void)
{
	char path[64], pids[256] = "", *next = pids;
	ssize_t size;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)test_process);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	size = read(fd, pids, sizeof(pids) - 1);
	assert_true(size >= 0);
	close(fd);
	for (pid_t pid; (pid = (pid_t)strtol(next, &next, 10)) > 0;)
		kill(pid, SIGKILL);
}

/* All that was forked is this process's in the end. */
static int end(void **state)
{
	before_call = NULL;
	want_bystander = false;
	assert_int_not_equal(scene->bystander, 0);
	kill_children();
	while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR)
		;
	return 0;
}

/* ---- an undertaker, of a parent that is no doorman ---- */

static pid_t parent;

/* The parent dies before the undertaker could ask to be told of it. */
static void die_early(long number, const long *a)
{
	if (getpid() != parent && number == SYS_prctl)
		while (getppid() == parent)
			;
}

static void die_late(long number, const long *a)
{
	if (getpid() != parent && number == SYS_read)
		scene->waits = true;
}

/* Is called by the parent between the fork and the word. */
int close(int fd)
{
	const long a[6] = { fd };

	if (before_call == die_late && getpid() == parent) {
		while (!scene->waits)
			;
		die();
	}
	if (before_call == die_early && getpid() == parent)
		die();
	return (int)real_call(SYS_close, a);
}

static void undertake(int fd)
{
	struct socket_door door = { .fd = -1, .rubbish = { fd }, .rubbish_count = 1 };

	parent = getpid();
	door_undertake(&door);
	_exit(1);
}

static void undertaker_ends(void (*how)(long number, const long *a))
{
	int pair[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	before_call = how;
	pid = fork();
	if (!pid)
		undertake(pair[1]);
	close(pair[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	expect_end(pair[0]);
}

static void undertaker_whose_parent_is_dead_already(void **state)
{
	undertaker_ends(die_early);
}

static void undertaker_whose_parent_dies(void **state)
{
	undertaker_ends(die_late);
}

/* ---- what the doorman made ---- */

/* Instead of giving the word. */
static void doorman_dies(long number, const long *a)
{
	if (number == SYS_write && is_child_of_the_test())
		die();
}

static void doormans_undertaker(void **state)
{
	struct socket_door door = { .fd = -1 };
	int pair[2], listener[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, listener), 0);
	assert_int_equal(door_open(&door, 0), 0);
	before_call = doorman_dies;
	assert_int_equal(door_man(&door, listener[1]), 0);
	door_dispose(&door, pair[1]);
	while (!door_flush(&door))
		poll(NULL, 0, 1);
	expect_end(pair[0]);
	before_call = NULL;
	door_close(&door);
	close(listener[0]);
	close(listener[1]);
}

static void doormans_porter(void **state)
{
	const char *uri = end_new_uri();
	int listener = raw_listen(uri), visitor = raw_connect(uri);
	struct socket_door door = { .fd = -1 };

	assert_int_equal(door_open(&door, 0), 0);
	raw_send(visitor, "rubbish!", 8, NULL, 0);
	before_call = doorman_dies;
	assert_int_equal(door_man(&door, listener), 0);
	expect_end(visitor);
	before_call = NULL;
	door_close(&door);
	close(listener);
	end_forget_uris();
}

/* ---- a guest's examiner ---- */

static void examiner_dies(long number, const long *a)
{
	if (number == SYS_recvmsg && is_child_of_the_test())
		die();
}

static void give_up(int signal)
{
	static const char text[] = "# the guest waits for an examiner that is dead\n";

	write(STDOUT_FILENO, text, sizeof(text) - 1);
	kill_children();
	_exit(1);
}

static void examiner_is_killed(void **state)
{
	static struct socket_examiners examiners;
	struct socket_received received;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	raw_send(pair[0], "a frame!", 8, &pair[0], 1);
	before_call = examiner_dies;
	signal(SIGALRM, give_up);
	alarm(PATIENCE_MS / 1000);
	assert_int_equal(socket_receive(pair[1], &examiners, &received), 1);
	alarm(0);
	assert_int_equal(received.fd, -1);
	assert_true(received.lost_descriptor);
	before_call = NULL;
	socket_examiner_reap(&examiners);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(undertaker_whose_parent_is_dead_already, begin,
		                                end),
		cmocka_unit_test_setup_teardown(undertaker_whose_parent_dies, begin, end),
		cmocka_unit_test_setup_teardown(doormans_undertaker, begin, end),
		cmocka_unit_test_setup_teardown(doormans_porter, begin, end),
		cmocka_unit_test_setup_teardown(examiner_is_killed, begin, end),
	};

	end_scheme = "unix";
	test_process = getpid();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	scene = mmap(NULL, sizeof(*scene), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	             0);
	if (scene == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
