/* SPDX-License-Identifier: BSD-2-Clause */

/* The host's side of its door: making the doorman, and giving away what a stranger could have put
 * something into. */

#include "partition/socket_door.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define REAP_MS 200u /* for a process that is about to end, if nothing it has makes it wait */

/* ---- what all of them use ---- */

uint64_t door_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int door_send(int fd, const struct iovec *parts, size_t count, const int *descriptors,
              size_t descriptor_count, int flags)
{
	union door_rights control = { 0 };
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = count };
	long sent;

	if (descriptor_count) {
		control.header.cmsg_len = CMSG_LEN(descriptor_count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&control.header), descriptors, descriptor_count * sizeof(int));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_LEN(descriptor_count * sizeof(int));
	}
	do {
		sent = door_call(sendmsg, fd, &msg, flags | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

static size_t take_rights(struct msghdr *msg, int *descriptors)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(msg);
	size_t count;

	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
		return 0;
	count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(descriptors, CMSG_DATA(header), count * sizeof(int));
	return count;
}

ssize_t door_receive(int fd, void *bytes, size_t size, int *descriptors, size_t *descriptor_count,
                     bool *lost, int flags)
{
	union door_rights control;
	struct iovec part = { bytes, size };
	struct msghdr msg = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	long got;

	/* With MSG_TRUNC the kernel returns the size that was sent. An ECONNRESET says that the
	 * other end closed without reading all it was sent; what it sent itself still comes. */
	do {
		got = door_call(recvmsg, fd, &msg, flags | MSG_TRUNC | MSG_CMSG_CLOEXEC);
	} while (got < 0 && (errno == EINTR || errno == ECONNRESET));
	if (got < 0)
		return -errno;
	*descriptor_count = take_rights(&msg, descriptors);
	*lost = msg.msg_flags & MSG_CTRUNC;
	return got;
}

int door_visitor(int connection)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) ? 0 : peer.pid;
}

static void send_refusal(int connection, enum socket_reason reason, const char *text)
{
	struct socket_frame frame = { .type = SOCKET_REFUSE, .reason = reason };
	uint8_t bytes[SOCKET_FRAME_MAX];
	struct iovec part = { bytes, 0 };

	snprintf(frame.text, sizeof(frame.text), "%s", text);
	part.iov_len = socket_frame_encode(&frame, bytes);
	door_send(connection, &part, 1, NULL, 0, MSG_DONTWAIT);
}

void door_refuse(struct door_board *board, int door, int connection, enum socket_reason reason,
                 const char *text)
{
	struct door_message note = { .kind = DOOR_NOTE, .process = door_visitor(connection) };
	const struct iovec part = { &note, sizeof(note) };

	snprintf(note.text, sizeof(note.text), "%s", text);
	door_send(door, &part, 1, NULL, 0, MSG_DONTWAIT);
	atomic_fetch_add(&board->refused, 1);
	send_refusal(connection, reason, text);
}

pid_t door_fork(int signal)
{
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = (pid_t)door_call(clone, (long)signal, 0L, 0L, 0L, 0L);
	if (pid) {
		int error = errno;

		sigprocmask(SIG_SETMASK, &before, NULL);
		errno = error;
	}
	return pid;
}

bool door_keep(int first, int second)
{
	long a = fcntl(first, F_DUPFD, 3), b = fcntl(second, F_DUPFD, 3);

	if (a < 0 || b < 0 || door_call(dup3, a, 0L, 0L) < 0 || door_call(dup3, b, 1L, 0L) < 0)
		return false;
	door_call(close_range, 2L, ~0u, 0L);
	return true;
}

void door_exit(void)
{
	for (;;)
		door_call(exit_group, 0);
}

void door_follow(pid_t parent)
{
	door_call(prctl, PR_SET_PDEATHSIG, (long)SIGKILL, 0L, 0L, 0L);
	if (door_call(getppid, 0L) != parent)
		door_exit(); /* it was dead by then */
}

void door_follow_no_more(void)
{
	door_call(prctl, PR_SET_PDEATHSIG, 0L, 0L, 0L, 0L);
}

uint64_t door_age(const struct door_board *board, uint32_t child)
{
	uint64_t since = atomic_load(&board->children[child].since), now = door_now();

	return now > since ? now - since : 0;
}

unsigned int door_stuck(const struct door_board *board)
{
	unsigned int count = 0;

	for (uint32_t i = 0; i < DOOR_CHILDREN_MAX; i++)
		count += atomic_load(&board->children[i].state) == DOOR_ENDING &&
		         door_age(board, i) > DOOR_GRACE_MS;
	return count;
}

/* ---- the host's ---- */

int door_open(struct socket_door *door, uint64_t memory_max)
{
	struct door_board *board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
	                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	door->fd = -1;
	door->board = NULL;
	if (board == MAP_FAILED)
		return -errno;
	board->memory_max = memory_max;
	door->board = board;
	return 0;
}

int door_man(struct socket_door *door, int listener)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	pid = door_fork(0);
	if (!pid)
		doorman_run(door->board, pair[1], listener);
	close(pair[1]);
	if (pid < 0) {
		int error = -errno;

		close(pair[0]);
		return error;
	}
	door->fd = pair[0];
	door->doorman = pid;
	door->again = 0;
	return 0;
}

void door_reap(pid_t pid)
{
	const struct timespec moment = { .tv_nsec = 1000000 };

	for (unsigned int ms = 0; ms < REAP_MS && !waitpid(pid, NULL, WNOHANG | __WALL); ms++)
		nanosleep(&moment, NULL);
}

void door_unman(struct socket_door *door)
{
	if (door->fd < 0)
		return;
	close(door->fd);
	door->fd = -1;
	door->taken = false;
	door_reap(door->doorman);
}

/* Until its parent says that it has closed what is to go. */
static _Noreturn void undertaker_run(const int leash[2], pid_t parent)
{
	char byte;

	door_follow(parent);
	door_call(close, leash[1]);
	door_call(read, leash[0], &byte, 1L);
	door_exit();
}

/* A process that has what this one is about to close, and exits after it. */
bool door_undertake(struct socket_door *door)
{
	pid_t parent = getpid(), pid;
	int leash[2];

	if (pipe2(leash, O_CLOEXEC))
		return false;
	pid = door_fork(0);
	if (!pid)
		undertaker_run(leash, parent);
	for (unsigned int i = 0; pid > 0 && i < door->rubbish_count; i++)
		close(door->rubbish[i]);
	while (pid > 0 && write(leash[1], "g", 1) < 0 && errno == EINTR)
		;
	close(leash[0]);
	close(leash[1]);
	if (pid < 0)
		return false;
	door->rubbish_count = 0;
	door_reap(pid);
	return true;
}

static int tell(struct socket_door *door, enum door_kind kind, const int *descriptors, size_t count)
{
	struct door_message message = { .kind = kind };
	const struct iovec part = { &message, sizeof(message) };

	if (door->fd < 0)
		return -ENOTCONN;
	return door_send(door->fd, &part, 1, descriptors, count, MSG_DONTWAIT);
}

/* In two steps, so that the doorman still has them when this process closes its own. */
bool door_flush(struct socket_door *door)
{
	if (door->taken && tell(door, DOOR_DISPOSE, NULL, 0))
		return false;
	door->taken = false;
	if (!door->rubbish_count)
		return true;
	if (tell(door, DOOR_TAKE, door->rubbish, door->rubbish_count))
		return false;
	while (door->rubbish_count)
		close(door->rubbish[--door->rubbish_count]);
	door->taken = tell(door, DOOR_DISPOSE, NULL, 0);
	return !door->taken;
}

void door_dispose(struct socket_door *door, int fd)
{
	/* Where neither process can be had, what is left is to wait for whatever there is. */
	if (door->rubbish_count == DOOR_RIGHTS_MAX && !door_flush(door) && !door_undertake(door))
		close(door->rubbish[--door->rubbish_count]);
	door->rubbish[door->rubbish_count++] = fd;
}

void door_send_off(struct socket_door *door, uint32_t child, pid_t porter)
{
	struct door_message message = { .kind = DOOR_LOOK };
	const struct iovec part = { &message, sizeof(message) };

	if (child < DOOR_CHILDREN_MAX)
		atomic_store(&door->board->children[child].sent_off, porter);
	if (door->fd >= 0) /* if there is no room, the doorman has enough that makes it look */
		door_send(door->fd, &part, 1, NULL, 0, MSG_DONTWAIT);
}

void door_close(struct socket_door *door)
{
	if (!door->board)
		return;
	if (!door_flush(door) && !door_undertake(door))
		while (door->rubbish_count)
			close(door->rubbish[--door->rubbish_count]);
	door_unman(door);
	munmap(door->board, sizeof(*door->board));
	door->board = NULL;
}
