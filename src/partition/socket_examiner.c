/* SPDX-License-Identifier: BSD-2-Clause */

#include "partition/socket_examiner.h"

#include "partition/socket_descriptor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <time.h>

#define EXAMINERS_MS 200u /* for all of them, at the end */
#define ALIVE_MS     20   /* whether one that says nothing is alive still */

/* From which byte on MSG_PEEK looks, and then goes on; -1: always from the first one. */
static bool look_on_from(int fd, int byte)
{
	return setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &byte, sizeof(byte)) == 0;
}

/* Of the next frame. False: that cannot be told. *last: nothing is to be told of what follows. */
DOOR_QUIET static bool examine_next(int fd, struct socket_verdict *verdict, bool *last)
{
	union door_rights control;
	uint8_t bytes[SOCKET_FRAME_MAX]; /* all of it, or the next look is at the rest of it */
	struct iovec part = { bytes, sizeof(bytes) };
	struct msghdr msg = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	size_t count = 0;

	if (door_call(recvmsg, fd, &msg, MSG_PEEK | MSG_DONTWAIT) <= 0)
		return false;
	if (msg.msg_controllen >= CMSG_LEN(sizeof(int)) &&
	    control.header.cmsg_level == SOL_SOCKET && control.header.cmsg_type == SCM_RIGHTS)
		count = (control.header.cmsg_len - CMSG_LEN(0)) / sizeof(int);
	if (!count && msg.msg_flags & MSG_CTRUNC)
		return false; /* it may have no more */
	if (msg.msg_flags & MSG_CTRUNC)
		count++;
	verdict->descriptors = count < 2 ? (uint8_t)count : 2;
	verdict->port = count == 1 && socket_check_port(*(int *)(void *)CMSG_DATA(&control.header));
	*last = msg.msg_flags & MSG_TRUNC || (count && !verdict->port);
	return true;
}

/* It gets copies of the descriptors, and lets go of those by exiting: if that waits, nobody else's
 * descriptors wait with it. */
DOOR_QUIET static _Noreturn void examiner_run(int connection, int answer, size_t most)
{
	enum { CONNECTION, ANSWER };
	struct socket_verdict verdicts[SOCKET_EXAMINED] = { 0 };
	size_t known = 0;
	bool last = false;

	if (!door_keep(connection, answer)) {
		door_call(write, answer, verdicts, 1L);
		door_exit();
	}
	while (known < most && !last && examine_next(CONNECTION, &verdicts[known], &last))
		known++;
	/* A part of one if there is none. */
	door_call(write, ANSWER, verdicts, known ? known * sizeof(verdicts[0]) : 1);
	door_exit();
}

static bool has_answer(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) > 0;
}

/* What it says, or 0: it was killed. The pipe may have no end then, as others' forks may have it
 * too. */
static long hear(int fd, pid_t *pid, struct socket_verdict *verdicts, size_t size)
{
	while (!has_answer(fd, ALIVE_MS)) {
		if (!waitpid(*pid, NULL, WNOHANG | __WALL))
			continue;
		*pid = 0;
		if (!has_answer(fd, 0))
			return 0;
	}
	return door_call(read, fd, verdicts, size);
}

/*
 * Even to close a copy of a descriptor may wait: a file of FUSE or NFS is asked for what it has to
 * write. So this process has none of its own until another one has looked: at all frames that are
 * there, as a process costs much, and the two may have to wait for a processor each time.
 */
static void examine(int fd, struct socket_examiners *e)
{
	pid_t *pid = &e->pids[e->next++ % SOCKET_EXAMINERS];
	long told = 0;
	size_t most;
	int answer[2];

	e->known = e->used = 0;
	if (*pid > 0)
		door_reap(*pid); /* it has had its time */
	*pid = 0;
	if (pipe2(answer, O_CLOEXEC))
		return;
	most = look_on_from(fd, 0) ? SOCKET_EXAMINED : 1;
	*pid = door_fork(0);
	if (!*pid)
		examiner_run(fd, answer[1], most);
	close(answer[1]);
	if (*pid > 0)
		told = hear(answer[0], pid, e->verdicts, sizeof(e->verdicts));
	close(answer[0]);
	look_on_from(fd, -1);
	e->known = told > 0 ? (unsigned int)((size_t)told / sizeof(e->verdicts[0])) : 0;
}

void socket_examiner_forget(struct socket_examiners *examiners)
{
	examiners->known = examiners->used = 0;
}

void socket_examiner_reap(struct socket_examiners *examiners)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	unsigned int left = 1;

	for (unsigned int ms = 0; left && ms < EXAMINERS_MS; ms++) {
		left = 0;
		for (unsigned int i = 0; i < SOCKET_EXAMINERS; i++) {
			if (examiners->pids[i] > 0 &&
			    waitpid(examiners->pids[i], NULL, WNOHANG | __WALL))
				examiners->pids[i] = 0;
			left += examiners->pids[i] > 0;
		}
		if (left)
			nanosleep(&moment, NULL);
	}
}

const struct socket_verdict *socket_examiner_verdict(int fd, struct socket_examiners *e,
                                                     bool descriptors)
{
	if (e->used == e->known && descriptors)
		examine(fd, e);
	return e->used < e->known ? &e->verdicts[e->used++] : NULL;
}
