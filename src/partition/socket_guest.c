/* SPDX-License-Identifier: BSD-2-Clause */

/* The guest end: finds the host, and finds it again when it is gone. The first attempt decides
 * whether partition_open() succeeds; later ones go on for as long as the end is open. */

#include "partition/socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int socket_guest_open(struct socket_end *end, char *why, size_t why_size)
{
	struct socket_guest *guest = &end->guest;
	char text[160];
	int error = socket_ram_seal(&end->head.settings.ram, text, sizeof(text));

	if (error) {
		snprintf(why, why_size, "%s: %s", end->head.uri, text);
		return error;
	}
	guest->greeting_fd = -1;
	guest->door.fd = -1;
	guest->backoff = SOCKET_RECONNECT_MIN_MS;
	guest->deadline = 1; /* at once */
	guest->patience = socket_now() + (end->head.settings.patience_ms ?: SOCKET_WELCOME_MS);
	pthread_cond_init(&guest->decided, NULL);
	return 0;
}

static void drop_greeting(struct socket_end *end)
{
	struct socket_guest *guest = &end->guest;

	pthread_mutex_lock(&end->lock);
	if (guest->greeting_fd >= 0)
		socket_discard(end, guest->greeting_fd);
	guest->greeting_fd = -1;
	pthread_mutex_unlock(&end->lock);
}

/* What the host sent, and what it could send descriptors to, may wait in its last close: a process
 * of its own exits with it (socket_door.h). It is made without the lock, which drivers wait for. */
static bool bury(struct socket_end *end)
{
	struct socket_door *door = &end->guest.door, mine;

	pthread_mutex_lock(&end->lock);
	mine = *door;
	if (door->rubbish_count >= SOCKET_RUBBISH_MAX || end->guest.bury_now || end->fd < 0)
		door->rubbish_count = 0;
	else
		mine.rubbish_count = 0;
	end->guest.bury_now = false;
	pthread_mutex_unlock(&end->lock);
	if (!mine.rubbish_count || door_undertake(&mine))
		return true;
	pthread_mutex_lock(&end->lock); /* there is none to be had: later, with what comes then */
	while (mine.rubbish_count)
		door_dispose(door, mine.rubbish[--mine.rubbish_count]);
	pthread_mutex_unlock(&end->lock);
	return false;
}

void socket_guest_close(struct socket_end *end)
{
	struct socket_door *door = &end->guest.door;

	drop_greeting(end);
	if (!bury(end)) /* what is left is to wait for whatever there is */
		while (door->rubbish_count)
			close(door->rubbish[--door->rubbish_count]);
	socket_examiner_reap(&end->guest.examiners);
	pthread_cond_destroy(&end->guest.decided);
}

int socket_guest_outcome(struct socket_end *end, char *why, size_t why_size)
{
	struct socket_guest *guest = &end->guest;
	int error;

	pthread_mutex_lock(&end->lock);
	while (guest->outcome == SOCKET_UNDECIDED)
		pthread_cond_wait(&guest->decided, &end->lock);
	error = guest->outcome == SOCKET_FAILED ? guest->error : 0;
	if (error)
		snprintf(why, why_size, "%s", guest->why);
	pthread_mutex_unlock(&end->lock);
	return error;
}

/* Settles the first attempt. False: it was settled long ago. */
static bool decide(struct socket_end *end, enum socket_outcome outcome, int error, const char *why)
{
	struct socket_guest *guest = &end->guest;
	bool first;

	pthread_mutex_lock(&end->lock);
	first = guest->outcome == SOCKET_UNDECIDED;
	if (first) {
		guest->outcome = outcome;
		guest->error = error;
		snprintf(guest->why, sizeof(guest->why), "%s: %s", end->head.uri, why);
		pthread_cond_signal(&guest->decided);
	}
	pthread_mutex_unlock(&end->lock);
	return first;
}

static void attempt_later(struct socket_guest *guest)
{
	guest->deadline = socket_now() + guest->backoff;
	guest->backoff *= 2;
	if (guest->backoff > SOCKET_RECONNECT_MAX_MS)
		guest->backoff = SOCKET_RECONNECT_MAX_MS;
}

static void attempt_failed(struct socket_end *end, int error, const char *why)
{
	struct socket_guest *guest = &end->guest;

	drop_greeting(end);
	if (decide(end, SOCKET_FAILED, error, why)) {
		guest->deadline = 0;
		return;
	}
	/* That the host is away is said by its absence; anything else is news, once. */
	if (error != -ENOENT && error != -ENOTDIR && error != -ECONNREFUSED &&
	    strcmp(guest->complaint, why)) {
		snprintf(guest->complaint, sizeof(guest->complaint), "%s", why);
		socket_log(end, PARTITION_LOG_WARNING, "cannot reconnect: %s", why);
	}
	attempt_later(guest);
}

/* This host was dying, or busy with others. The next one may listen already, or soon: it is looked
 * for as long as the first attempt may take. */
static void attempt_in_vain(struct socket_end *end, int error, const char *why)
{
	struct socket_guest *guest = &end->guest;

	guest->expected = true;
	if (socket_now() >= guest->patience) {
		attempt_failed(end, error, why);
		return;
	}
	drop_greeting(end);
	attempt_later(guest);
}

/* Where no host was seen, none is waited for. */
static void attempt_absent(struct socket_end *end, int error, const char *why)
{
	if (end->guest.expected)
		attempt_in_vain(end, error, why);
	else
		attempt_failed(end, error, why);
}

static bool has_directory(const char *path)
{
	const char *name = strrchr(path, '/');
	char directory[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct stat st;

	if (!name || name == path)
		return true;
	snprintf(directory, sizeof(directory), "%.*s", (int)(name - path), path);
	return !stat(directory, &st);
}

static void connect_failed(struct socket_end *end, int error)
{
	switch (error) {
	case ENOENT:
		if (has_directory(end->path))
			attempt_absent(end, -ENOENT, "no host: there is no such socket");
		else
			attempt_failed(end, -ENOTDIR, "there is no such directory");
		break;
	case ECONNREFUSED:
		attempt_absent(end, -ECONNREFUSED, "no host: nobody listens on this socket");
		break;
	case EPROTOTYPE:
		attempt_failed(end, -EPROTO, "whoever listens on this socket is no kmcl host");
		break;
	case EAGAIN:
		attempt_in_vain(end, -ECONNREFUSED, "the host has too many connections waiting");
		break;
	default:
		attempt_failed(end, -error, strerror(error));
		break;
	}
}

static uint64_t greeting_deadline(const struct socket_guest *guest)
{
	uint64_t usual = socket_now() + SOCKET_WELCOME_MS;

	if (guest->outcome == SOCKET_UNDECIDED && guest->patience < usual)
		return guest->patience;
	return usual;
}

static void attempt(struct socket_end *end)
{
	const struct partition_ram *ram = &end->head.settings.ram;
	const struct socket_frame hello = {
		.type = SOCKET_HELLO,
		.version = SOCKET_PROTOCOL_VERSION,
		.ram_size = ram->size,
	};
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct socket_guest *guest = &end->guest;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0) {
		attempt_failed(end, -errno, strerror(errno));
		return;
	}
	strncpy(address.sun_path, end->path, sizeof(address.sun_path) - 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		error = errno;
		close(fd);
		connect_failed(end, error);
		return;
	}
	guest->greeting_fd = fd;
	socket_examiner_forget(&guest->examiners);
	error = socket_send(fd, &hello, ram->size ? ram->fd : -1);
	if (!error)
		error = socket_watch(end, EPOLL_CTL_ADD, fd, EPOLLIN, SOCKET_GREETING, 0);
	if (error == -EPIPE || error == -ECONNRESET)
		attempt_in_vain(end, -ECONNREFUSED, "the host closed without an answer");
	else if (error)
		attempt_failed(end, error, strerror(-error));
	else
		guest->deadline = greeting_deadline(guest);
}

static void on_welcome(struct socket_end *end)
{
	struct socket_guest *guest = &end->guest;
	int fd = guest->greeting_fd;
	int error = socket_watch(end, EPOLL_CTL_MOD, fd, 0, SOCKET_PEER, 0);

	if (error) {
		attempt_failed(end, error, strerror(-error));
		return;
	}
	guest->greeting_fd = -1;
	guest->deadline = 0;
	guest->backoff = SOCKET_RECONNECT_MIN_MS;
	guest->complaint[0] = 0;
	decide(end, SOCKET_OPEN, 0, "");
	socket_session_begin(end, fd, fd, NULL);
}

static void on_refusal(struct socket_end *end, const struct socket_frame *frame)
{
	attempt_failed(end,
	               frame->reason == SOCKET_REASON_BUSY     ? -EADDRINUSE
	               : frame->reason == SOCKET_REASON_MEMORY ? -EINVAL
	                                                       : -EPROTO,
	               frame->text);
}

void socket_guest_answer(struct socket_end *end)
{
	struct socket_received received;
	struct socket_frame frame;
	struct socket_fault fault;
	char text[160];
	int got;

	if (end->guest.greeting_fd < 0)
		return;
	got = socket_receive(end->guest.greeting_fd, &end->guest.examiners, &received);
	if (got == -EAGAIN)
		return;
	if (got >= 0)
		socket_discard_received(end, &received); /* none belong there */
	if (got <= 0) {
		attempt_in_vain(end, -ECONNREFUSED, "the host closed without an answer");
		return;
	}
	if (socket_frame_decode(SOCKET_STAGE_WELCOME, received.bytes, received.size,
	                        received.descriptors, &frame, &fault)) {
		if (frame.type == SOCKET_WELCOME)
			on_welcome(end);
		else
			on_refusal(end, &frame);
		return;
	}
	socket_describe_fault(&fault, text, sizeof(text));
	attempt_failed(end, -EPROTO, text);
}

void socket_guest_lost(struct socket_end *end)
{
	end->guest.deadline = socket_now() + end->guest.backoff;
}

void socket_guest_tick(struct socket_end *end, uint64_t now)
{
	struct socket_guest *guest = &end->guest;

	bury(end);
	if (!guest->deadline || guest->deadline > now)
		return;
	if (guest->greeting_fd < 0)
		attempt(end);
	else if (guest->outcome == SOCKET_UNDECIDED && guest->expected)
		attempt_failed(end, -ECONNREFUSED,
		               "hosts closed without an answer until the time was over");
	else
		attempt_failed(end, -ETIMEDOUT, "the host does not answer");
}
