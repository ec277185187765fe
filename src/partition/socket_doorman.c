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
#define HELD_MAX           8u  /* porters that wait for the word */
#define LOOK_MS            100 /* at those that should end soon */
#define SIGNALFD_MASK_SIZE 8L  /* the kernel's sigset_t */

uint32_t door_children_max = DOOR_CHILDREN_MAX;

struct doorman {
	struct door_board *board;
	struct {
		pid_t pid;
		int leash;
		int connection; /* of a porter that waits for the word; or -1 */
		bool killed;
	} children[DOOR_CHILDREN_MAX];
	/* Accepted, and as far as is known they have said nothing; the first was first. */
	struct {
		int fd;
		uint64_t since;
	} silent[DOOR_VISITORS_MAX + 1];
	uint32_t silent_count;
	int connection; /* that is to have a porter, or -1 */
	int rubbish[4 * DOOR_RIGHTS_MAX];
	size_t rubbish_count;
	bool rubbish_due;                            /* the host has closed its own */
	int shown_out[DOOR_VISITORS_MAX + HELD_MAX]; /* rubbish of the doorman's own */
	uint32_t shown_out_count;
	uint32_t held;   /* porters that wait for the word */
	uint64_t paused; /* until when nothing is begun, for want of something */
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

static _Noreturn void undertaker_run(int leash, pid_t doorman)
{
	char byte;

	door_follow(doorman);
	door_call(close_range, 0L, 2L, 0L); /* the doorman's; it has them still */
	door_call(read, leash, &byte, 1L);
	door_exit();
}

/* With a connection: a porter; without, an undertaker. Which, or DOOR_CHILDREN_MAX: it cannot be
 * had now. */
static uint32_t begin(struct doorman *d, int connection)
{
	uint32_t i = free_child(d);
	pid_t self = getpid(), pid;
	int leash[2];

	if (i == DOOR_CHILDREN_MAX) {
		pause_for(d, "the processes that close what visitors sent do not end");
		return i;
	}
	if (door_call(pipe2, leash, 0L)) {
		pause_for(d, strerror(errno));
		return DOOR_CHILDREN_MAX;
	}
	set_state(d, i, connection >= 0 ? DOOR_STARTING : DOOR_ENDING);
	pid = door_fork(SIGCHLD);
	if (!pid && connection >= 0)
		porter_run(d->board, i, connection, leash[0], self);
	if (!pid)
		undertaker_run(leash[0], self);
	door_call(close, leash[0]);
	if (pid < 0) {
		pause_for(d, errno == EAGAIN ? "there is no process to be had" : strerror(errno));
		door_call(close, leash[1]);
		set_state(d, i, DOOR_FREE);
		return DOOR_CHILDREN_MAX;
	}
	d->children[i].pid = pid;
	d->children[i].leash = leash[1];
	d->children[i].killed = false;
	d->children[i].connection = -1;
	return i;
}

static void begin_porter(struct doorman *d)
{
	uint32_t i = begin(d, d->connection);

	if (i == DOOR_CHILDREN_MAX)
		return;
	d->children[i].connection = d->connection;
	d->connection = -1;
	d->held++;
	d->complained = false;
}

/* A porter that has not let go of its copies yet: until then nobody else may have the last of any
 * of them. */
static bool one_is_starting(const struct doorman *d)
{
	uint32_t i = 0;

	while (i < DOOR_CHILDREN_MAX && (!d->children[i].pid || state_of(d, i) != DOOR_STARTING))
		i++;
	return i < DOOR_CHILDREN_MAX;
}

/* Gives the word to those who wait for it; each has the last of its connection then. */
static void give_the_word(struct doorman *d)
{
	for (uint32_t i = 0; d->held && i < DOOR_CHILDREN_MAX; i++) {
		if (!d->children[i].pid || d->children[i].connection < 0)
			continue;
		door_call(close, d->children[i].connection);
		d->children[i].connection = -1;
		d->held--;
		door_call(write, d->children[i].leash, "g", 1L);
	}
}

static void begin_undertaker(struct doorman *d)
{
	uint32_t i = begin(d, -1);

	if (i == DOOR_CHILDREN_MAX)
		return;
	while (d->rubbish_due && d->rubbish_count)
		door_call(close, d->rubbish[--d->rubbish_count]);
	while (d->shown_out_count)
		door_call(close, d->shown_out[--d->shown_out_count]);
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
			if (d->children[i].connection >= 0) {
				d->shown_out[d->shown_out_count++] = d->children[i].connection;
				d->held--;
			}
			d->children[i].pid = 0;
			set_state(d, i, DOOR_FREE);
		}
	}
}

/* ---- those who say nothing ---- */

static int take_silent(struct doorman *d, uint32_t i)
{
	int fd = d->silent[i].fd;

	d->silent_count--;
	for (; i < d->silent_count; i++)
		d->silent[i] = d->silent[i + 1];
	return fd;
}

/* Not closed here: it may have said something by now. */
static void show_out(struct doorman *d, uint32_t i, enum socket_reason reason, const char *text)
{
	int fd = take_silent(d, i);

	door_refuse(d->board, DOOR, fd, reason, text);
	d->shown_out[d->shown_out_count++] = fd;
}

static void look_at_silent(const struct doorman *d, struct pollfd *fds)
{
	for (uint32_t i = 0; i < d->silent_count; i++)
		fds[i] = (struct pollfd){ .fd = d->silent[i].fd, .events = POLLIN };
}

/* The first that is silent still and has to go, if there is one. */
static uint32_t find_silent(const struct doorman *d, bool crowd)
{
	struct pollfd fds[DOOR_VISITORS_MAX + 1];
	const struct timespec now = { 0 };
	uint32_t i = 0;

	look_at_silent(d, fds);
	door_call(ppoll, fds, (long)d->silent_count, &now, 0L, 0L);
	while (i < d->silent_count &&
	       (fds[i].revents || (!crowd && door_now() - d->silent[i].since < DOOR_HELLO_MS)))
		i++;
	return i;
}

/* So many may be silent, and for so long; whoever was first goes. */
static void thin_out(struct doorman *d)
{
	bool crowd = d->silent_count > DOOR_VISITORS_MAX;
	uint32_t i;

	if (d->shown_out_count >= DOOR_VISITORS_MAX || !d->silent_count ||
	    (!crowd && door_now() - d->silent[0].since < DOOR_HELLO_MS))
		return;
	i = find_silent(d, crowd);
	if (i == d->silent_count)
		return;
	if (crowd)
		show_out(d, i, SOCKET_REASON_LIMIT,
		         "too many connections that have not said HELLO");
	else
		show_out(d, i, SOCKET_REASON_PROTOCOL, "no HELLO within 2 seconds");
}

/* Looking takes a copy of what is there, and lets go of that: it is not the last. */
static bool has_said_something(int fd)
{
	struct msghdr look = { 0 };

	return door_call(recvmsg, fd, &look, (long)(MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT)) > 0;
}

/* The first that has said something gets the next porter; one that has hung up needs none. */
static void find_talker(struct doorman *d, const struct pollfd *events, uint32_t seen)
{
	uint32_t i = 0;

	while (i < seen && !events[i].revents)
		i++;
	if (i == seen)
		return;
	if (has_said_something(d->silent[i].fd))
		d->connection = take_silent(d, i);
	else if (d->shown_out_count < DOOR_VISITORS_MAX)
		d->shown_out[d->shown_out_count++] = take_silent(d, i);
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
		if (age < DOOR_GRACE_MS)
			continue;
		if (state != DOOR_ENDING)
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

	if (fd >= 0) {
		d->silent[d->silent_count].fd = (int)fd;
		d->silent[d->silent_count++].since = door_now();
		atomic_fetch_add(&d->board->visitors, 1);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
		pause_for(d, strerror(errno));
	}
}

enum { AT_DOOR, AT_CHILDREN, AT_LISTENER, AT_SILENT };

static bool may_begin(const struct doorman *d)
{
	return d->held < HELD_MAX && d->shown_out_count <= DOOR_VISITORS_MAX;
}

/* How long until something is to be looked at without being told. */
static const struct timespec *patience(const struct doorman *d, bool look, bool starting)
{
	static const struct timespec moment = { .tv_nsec = 1000000 },
				     soon = { .tv_nsec = LOOK_MS * 1000000L };

	if (starting || d->held || d->shown_out_count || d->silent_count > DOOR_VISITORS_MAX)
		return &moment;
	return look || d->silent_count || d->paused > door_now() ? &soon : NULL;
}

/* False: nothing has come. */
static bool wait_and_hear(struct doorman *d, bool look)
{
	bool starting = one_is_starting(d), paused = d->paused > door_now();
	bool full = d->silent_count > DOOR_VISITORS_MAX;
	/* Before it can have a porter it is no news that somebody has spoken. */
	uint32_t heard = may_begin(d) && d->connection < 0 && !paused ? d->silent_count : 0;
	struct pollfd fds[AT_SILENT + DOOR_VISITORS_MAX + 1] = {
		[AT_DOOR] = { .fd = DOOR, .events = has_room(d) ? POLLIN : 0 },
		[AT_CHILDREN] = { .fd = CHILDREN, .events = POLLIN },
		[AT_LISTENER] = { .fd = LISTENER, .events = full || paused ? 0 : POLLIN },
	};

	look_at_silent(d, fds + AT_SILENT);
	if (door_call(ppoll, fds, (long)(AT_SILENT + heard), patience(d, look, starting), 0L, 0L) <=
	    0)
		return false;
	if (fds[AT_CHILDREN].revents)
		reap(d);
	if (fds[AT_DOOR].revents)
		on_door(d);
	find_talker(d, fds + AT_SILENT, heard);
	if (fds[AT_LISTENER].revents & POLLIN)
		on_listener(d);
	return true;
}

/* Away with all descriptors of the host's but two. */
static void arrange(int door, int listener)
{
	uint64_t child = 1ull << (SIGCHLD - 1);

	if (!door_keep(door, listener))
		door_exit();
	if (door_call(signalfd4, -1L, &child, SIGNALFD_MASK_SIZE, (long)SFD_NONBLOCK) != CHILDREN)
		door_exit();
}

void doorman_run(struct door_board *board, int door, int listener)
{
	struct doorman d = { .board = board, .connection = -1 };
	bool idle = false;

	prctl(PR_SET_NAME, "kmcl-doorman");
	arrange(door, listener);
	memset(board->children, 0, sizeof(board->children)); /* the last doorman's */
	for (;;) {
		bool look = look_after(&d);
		bool starting = one_is_starting(&d), paused = d.paused > door_now();

		if (!starting)
			give_the_word(&d);
		/* Many at a time of those that were shown out. */
		if (!starting && !paused &&
		    (d.rubbish_due || d.shown_out_count >= DOOR_VISITORS_MAX ||
		     (d.shown_out_count && idle)))
			begin_undertaker(&d);
		if (!paused && d.connection >= 0 && may_begin(&d))
			begin_porter(&d);
		idle = !wait_and_hear(&d, look);
		thin_out(&d);
	}
}
