/* SPDX-License-Identifier: BSD-2-Clause */

/* The doorman of a host: makes a porter for each connection, undertakers for what the host has done
 * with, and sees to it that they end. It holds a connection only until the porter has it. */

#include "partition/socket_door.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define DOOR               0 /* the descriptors it has, and no others that last */
#define LISTENER           1
#define CHILDREN           2   /* a signal when one ends */
#define LOOK_MS            100 /* at those that should end soon */
#define SIGNALFD_MASK_SIZE 8L  /* the kernel's sigset_t */

uint32_t door_children_max = DOOR_CHILDREN_MAX;

struct doorman {
	struct door_board *board;
	struct {
		pid_t pid;
		int leash;
		bool shown_out; /* a visitor that has to make room */
		bool killed;
	} children[DOOR_CHILDREN_MAX];
	int connection; /* accepted; has no porter yet. Or -1 */
	int rubbish[4 * DOOR_RIGHTS_MAX];
	size_t rubbish_count;
	bool rubbish_due; /* the host has closed its own */
	uint64_t paused;  /* until when nothing is begun, for want of something */
	bool complained;
};

static void say(struct doorman *d, const char *format, const char *what)
{
	struct door_message message = { .kind = DOOR_TROUBLE };
	const struct iovec part = { &message, sizeof(message) };

	snprintf(message.text, sizeof(message.text), format, what);
	if (!d->complained)
		d->complained = !door_send(DOOR, &part, 1, NULL, 0, MSG_DONTWAIT);
}

static void pause_for(struct doorman *d, const char *what)
{
	say(d, "no guest can be let in: %s", what);
	d->paused = door_now() + DOOR_AGAIN_MS;
}

static enum door_state state_of(const struct doorman *d, uint32_t i)
{
	return atomic_load(&d->board->children[i].state);
}

static void set_state(struct doorman *d, uint32_t i, enum door_state state)
{
	atomic_store(&d->board->children[i].since, door_now());
	atomic_store(&d->board->children[i].state, state);
}

/* ---- making them ---- */

static uint32_t free_child(const struct doorman *d)
{
	uint32_t i = 0;

	while (i < door_children_max && d->children[i].pid)
		i++;
	return i < door_children_max ? i : DOOR_CHILDREN_MAX;
}

static _Noreturn void undertaker_run(int leash)
{
	char byte;

	door_call(close_range, 0L, 2L, 0L); /* the doorman's; it has them still */
	door_call(read, leash, &byte, 1L);
	door_exit();
}

/* With a connection: a porter; without, an undertaker. Which, or DOOR_CHILDREN_MAX: it cannot be
 * had now. */
static uint32_t begin(struct doorman *d, int connection)
{
	uint32_t i = free_child(d);
	int leash[2];
	pid_t pid;

	if (i == DOOR_CHILDREN_MAX) {
		pause_for(d, "the processes that close what visitors sent do not end");
		return i;
	}
	if (door_call(pipe2, leash, 0L)) {
		pause_for(d, strerror(errno));
		return DOOR_CHILDREN_MAX;
	}
	set_state(d, i, connection >= 0 ? DOOR_VISITING : DOOR_ENDING);
	pid = door_fork(SIGCHLD);
	if (!pid && connection >= 0)
		porter_run(d->board, i, connection, leash[0]);
	if (!pid)
		undertaker_run(leash[0]);
	door_call(close, leash[0]);
	if (pid < 0) {
		pause_for(d, errno == EAGAIN ? "there is no process to be had" : strerror(errno));
		door_call(close, leash[1]);
		set_state(d, i, DOOR_FREE);
		return DOOR_CHILDREN_MAX;
	}
	d->children[i].pid = pid;
	d->children[i].leash = leash[1];
	d->children[i].killed = d->children[i].shown_out = false;
	return i;
}

static void begin_porter(struct doorman *d)
{
	uint32_t i = begin(d, d->connection);

	if (i == DOOR_CHILDREN_MAX)
		return;
	door_call(close, d->connection); /* not the last of it: the porter waits for the word */
	d->connection = -1;
	door_call(write, d->children[i].leash, "g", 1L);
	atomic_fetch_add(&d->board->visitors, 1);
	d->complained = false;
}

static void begin_undertaker(struct doorman *d)
{
	uint32_t i = begin(d, -1);

	if (i == DOOR_CHILDREN_MAX)
		return;
	while (d->rubbish_count)
		door_call(close, d->rubbish[--d->rubbish_count]);
	d->rubbish_due = false;
	door_call(write, d->children[i].leash, "g", 1L);
}

/* ---- seeing to it that they end ---- */

static void reap(struct doorman *d)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	door_call(read, CHILDREN, &info, sizeof(info));
	while ((pid = (pid_t)door_call(wait4, -1L, &status, (long)WNOHANG, 0L)) > 0) {
		for (uint32_t i = 0; i < DOOR_CHILDREN_MAX; i++) {
			if (d->children[i].pid != pid)
				continue;
			door_call(close, d->children[i].leash);
			d->children[i].pid = 0;
			set_state(d, i, DOOR_FREE);
		}
	}
}

/* So many may be silent; whoever was first goes. */
static void make_room(struct doorman *d)
{
	uint32_t visiting = 0, oldest = DOOR_CHILDREN_MAX;

	for (uint32_t i = 0; i < DOOR_CHILDREN_MAX; i++) {
		if (!d->children[i].pid || d->children[i].shown_out ||
		    state_of(d, i) != DOOR_VISITING)
			continue;
		visiting++;
		if (oldest == DOOR_CHILDREN_MAX ||
		    atomic_load(&d->board->children[i].since) <
		            atomic_load(&d->board->children[oldest].since))
			oldest = i;
	}
	if (visiting <= DOOR_VISITORS_MAX)
		return;
	d->children[oldest].shown_out = true;
	door_call(write, d->children[oldest].leash, "x", 1L);
}

/* The host has done with some. What it says is on the board, where it cannot get lost. */
static void send_off(struct doorman *d, uint32_t i)
{
	struct door_child *child = &d->board->children[i];
	pid_t pid = atomic_load(&child->sent_off);

	if (!pid)
		return;
	atomic_store(&child->sent_off, 0);
	if (d->children[i].pid == pid)
		set_state(d, i, DOOR_ENDING);
}

/* Kills what should have ended; that ends all waiting that can be ended. Is there anything to look
 * at again soon? */
static bool look_after(struct doorman *d)
{
	bool again = false;

	for (uint32_t i = 0; i < DOOR_CHILDREN_MAX; i++) {
		enum door_state state;
		uint64_t age;

		send_off(d, i);
		state = state_of(d, i);
		age = door_age(d->board, i);
		if (!d->children[i].pid || d->children[i].killed || state == DOOR_GUEST)
			continue;
		again = true;
		if (age < DOOR_GRACE_MS + (state == DOOR_VISITING ? DOOR_HELLO_MS : 0))
			continue;
		if (state == DOOR_VISITING)
			set_state(d, i, DOOR_ENDING);
		d->children[i].killed = true;
		door_call(kill, (long)d->children[i].pid, (long)SIGKILL);
	}
	return again;
}

/* ---- what comes ---- */

static _Noreturn void close_door(struct doorman *d)
{
	for (uint32_t i = 0; i < DOOR_CHILDREN_MAX; i++)
		if (d->children[i].pid && state_of(d, i) != DOOR_GUEST)
			door_call(kill, (long)d->children[i].pid, (long)SIGKILL);
	door_exit();
}

/* False: there is nothing more. */
static bool on_message(struct doorman *d)
{
	struct door_message message;
	bool lost;
	int taken[DOOR_RIGHTS_MAX];
	size_t count = 0;
	ssize_t got =
		door_receive(DOOR, &message, sizeof(message), taken, &count, &lost, MSG_DONTWAIT);

	if (got == -EAGAIN)
		return false;
	if (got <= 0)
		close_door(d);
	if (message.kind == DOOR_TAKE) {
		memcpy(d->rubbish + d->rubbish_count, taken, count * sizeof(*taken));
		d->rubbish_count += count;
		d->rubbish_due = false;
	} else if (message.kind == DOOR_DISPOSE) {
		d->rubbish_due = true;
	}
	return true;
}

/* For what the next message may bring. After DOOR_TAKE that is nothing: DOOR_DISPOSE comes first.
 */
static bool has_room(const struct doorman *d)
{
	const size_t room = sizeof(d->rubbish) / sizeof(d->rubbish[0]) - d->rubbish_count;

	return room >= DOOR_RIGHTS_MAX || !d->rubbish_due;
}

/* All there is, so that one undertaker has much of it. */
static void on_door(struct doorman *d)
{
	while (has_room(d) && on_message(d))
		;
}

static void on_listener(struct doorman *d)
{
	long fd = door_call(accept4, LISTENER, 0L, 0L, 0L);

	if (fd >= 0)
		d->connection = (int)fd;
	else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
		pause_for(d, strerror(errno));
}

static void wait_and_hear(struct doorman *d, bool look)
{
	bool paused = d->paused > door_now();
	struct pollfd fds[] = {
		{ .fd = DOOR, .events = has_room(d) ? POLLIN : 0 },
		{ .fd = CHILDREN, .events = POLLIN },
		{ .fd = LISTENER, .events = d->connection < 0 && !paused ? POLLIN : 0 },
	};
	const struct timespec soon = { .tv_nsec = LOOK_MS * 1000000L };

	if (door_call(ppoll, fds, 3L, look || paused ? &soon : NULL, 0L, 0L) <= 0)
		return;
	if (fds[1].revents)
		reap(d);
	if (fds[0].revents)
		on_door(d);
	if (fds[2].revents & POLLIN)
		on_listener(d);
}

/* Away with all descriptors of the host's but two. */
static void arrange(int door, int listener)
{
	uint64_t child = 1ull << (SIGCHLD - 1);
	long a = fcntl(door, F_DUPFD, 3), b = fcntl(listener, F_DUPFD, 3);

	if (a < 0 || b < 0 || door_call(dup3, a, (long)DOOR, 0L) < 0 ||
	    door_call(dup3, b, (long)LISTENER, 0L) < 0)
		door_exit();
	door_call(close_range, 2L, ~0u, 0L);
	if (door_call(signalfd4, -1L, &child, SIGNALFD_MASK_SIZE, (long)SFD_NONBLOCK) != CHILDREN)
		door_exit();
}

void doorman_run(struct door_board *board, int door, int listener)
{
	struct doorman d = { .board = board, .connection = -1 };

	prctl(PR_SET_NAME, "kmcl-doorman");
	arrange(door, listener);
	memset(board->children, 0, sizeof(board->children)); /* the last doorman's */
	for (;;) {
		bool look = look_after(&d);

		if (d.paused <= door_now()) {
			if (d.rubbish_due)
				begin_undertaker(&d);
			/* Not while there is rubbish: a porter would get copies, and close them. */
			if (d.connection >= 0 && !d.rubbish_count)
				begin_porter(&d);
		}
		make_room(&d);
		wait_and_hear(&d, look);
	}
}
