/* SPDX-License-Identifier: BSD-2-Clause */

/* The host end: owns the path, and welcomes one guest at a time. Who comes is met by the doorman
 * and its porters (socket_door.h); of a visitor that is no guest this process never hears more than
 * a line for the log. */

#include "partition/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- the path ---- */

/*
 * The lock says who is the host, for as long as it lives: whoever has it may remove a socket that a
 * dead host left. Without it, of two that find the same dead socket, the slower one would remove
 * the living socket of the faster. 0, -errno.
 */
static int take_lock(struct socket_host *host)
{
	for (;;) {
		struct stat mine, named;
		int fd = open(host->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			int error = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;

			close(fd);
			return error;
		}
		/* The one who had it before may have removed the name meanwhile. */
		if (!fstat(fd, &mine) && !lstat(host->lock_path, &named) &&
		    mine.st_dev == named.st_dev && mine.st_ino == named.st_ino) {
			host->lock_fd = fd;
			return 0;
		}
		close(fd);
	}
}

static void drop_lock(struct socket_host *host)
{
	if (host->lock_fd < 0)
		return;
	unlink(host->lock_path);
	close(host->lock_fd);
	host->lock_fd = -1;
}

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	return address;
}

/* 0: nobody listens there any more; -EADDRINUSE: somebody does, and does not hang up. */
static int knock(const char *path, int patience)
{
	struct sockaddr_un address = address_of(path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd answer = { .fd = fd };
	int error = -EADDRINUSE;

	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		error = poll(&answer, 1, patience) == 1 ? -EAGAIN : -EADDRINUSE;
	else if (errno == ECONNREFUSED)
		error = 0;
	close(fd);
	return error;
}

/* Removes the socket of a dead host, whose doorman may take a moment longer to die. 0; -EADDRINUSE:
 * somebody lives there; -EEXIST: that is no socket. */
static int remove_stale_socket(const char *path)
{
	uint64_t now = socket_now(), deadline = now + SOCKET_STALE_MS;
	struct stat st;
	int error;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	do {
		error = knock(path, (int)(deadline - now));
		now = socket_now();
	} while (error == -EAGAIN && now < deadline);
	if (error == -EAGAIN)
		error = -EADDRINUSE;
	if (!error && unlink(path) && errno != ENOENT)
		error = -errno;
	return error;
}

static int listen_at(struct socket_end *end)
{
	struct sockaddr_un address = address_of(end->path);
	struct socket_host *host = &end->host;
	struct stat st;

	host->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (host->listen_fd < 0)
		return -errno;
	/* bind() makes the file with the socket's own mode, so it never is wider than this. */
	if (fchmod(host->listen_fd, 0600) ||
	    bind(host->listen_fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	if (listen(host->listen_fd, SOCKET_BACKLOG) || lstat(end->path, &st)) {
		int error = -errno;

		unlink(end->path);
		return error;
	}
	host->device = st.st_dev;
	host->inode = st.st_ino;
	return 0;
}

static int take_path(struct socket_end *end)
{
	struct socket_host *host = &end->host;
	int error;

	if (asprintf(&host->lock_path, "%s.lock", end->path) < 0) {
		host->lock_path = NULL;
		return -ENOMEM;
	}
	error = take_lock(host);
	if (!error)
		error = remove_stale_socket(end->path);
	return error ? error : listen_at(end);
}

static int man_door(struct socket_end *end)
{
	struct socket_host *host = &end->host;
	int error;

	pthread_mutex_lock(&end->lock);
	error = door_man(&host->door, host->listen_fd);
	pthread_mutex_unlock(&end->lock);
	if (!error)
		error = socket_watch(end, EPOLL_CTL_ADD, host->door.fd, EPOLLIN, SOCKET_DOOR, 0);
	return error;
}

static void say_why(const struct socket_end *end, int error, char *why, size_t why_size)
{
	const char *uri = end->head.uri;

	if (error == -EADDRINUSE)
		snprintf(why, why_size, "%s: it has a host already", uri);
	else if (error == -EEXIST)
		snprintf(why, why_size, "%s: there is a file of that name that is no socket", uri);
	else if (error == -ENOTDIR)
		snprintf(why, why_size, "%s: there is no such directory", uri);
	else
		snprintf(why, why_size, "%s: cannot be listened on: %s", uri, strerror(-error));
}

int socket_host_open(struct socket_end *end, char *why, size_t why_size)
{
	uint64_t memory_max = end->head.settings.memory_max;
	struct socket_host *host = &end->host;
	int error;

	host->lock_fd = host->listen_fd = -1;
	error = door_open(&host->door, memory_max ? memory_max : PARTITION_MEMORY_MAX);
	if (!error)
		error = take_path(end);
	if (error) {
		if (error == -ENOENT)
			error = -ENOTDIR;
		say_why(end, error, why, why_size);
	} else {
		error = man_door(end);
		if (error)
			snprintf(why, why_size, "%s: no process can be made to receive guests: %s",
			         end->head.uri, strerror(-error));
	}
	if (error)
		socket_host_close(end);
	return error;
}

/* ---- guests ---- */

static void say_byte(int relay)
{
	door_send(relay, &(const struct iovec){ (char[]){ 0 }, 1 }, 1, NULL, 0, MSG_DONTWAIT);
}

/* Until its relay is closed the porter has the same descriptors: these are not the last of them. */
static void arrival_close(struct socket_end *end, const struct socket_arrival *arrival)
{
	shutdown(arrival->fd, SHUT_RDWR);
	close(arrival->fd);
	if (arrival->memory >= 0)
		close(arrival->memory);
	close(arrival->relay);
	door_send_off(&end->host.door, arrival->child, arrival->porter);
}

static void arrival_refuse(struct socket_end *end, const struct socket_arrival *arrival,
                           enum socket_reason reason, const char *text)
{
	/* One that is only early may come often. */
	socket_log(end, reason == SOCKET_REASON_BUSY ? PARTITION_LOG_INFO : PARTITION_LOG_WARNING,
	           "process %d refused: %s", (int)arrival->process, text);
	atomic_fetch_add(&end->host.door.board->refused, 1);
	socket_send_refusal(arrival->fd, reason, text);
	say_byte(arrival->relay);
	arrival_close(end, arrival);
}

static bool arrival_welcome(struct socket_end *end, const struct socket_arrival *arrival)
{
	const struct socket_frame welcome = {
		.type = SOCKET_WELCOME,
		.version = SOCKET_PROTOCOL_VERSION,
	};

	say_byte(arrival->relay);
	return !socket_send(arrival->fd, &welcome, -1) &&
	       !socket_watch(end, EPOLL_CTL_ADD, arrival->fd, 0, SOCKET_PEER, 0) &&
	       !socket_watch(end, EPOLL_CTL_ADD, arrival->relay, 0, SOCKET_RELAY, 0);
}

static void let_in(struct socket_end *end, struct socket_arrival *arrival)
{
	char text[SOCKET_TEXT_MAX + 1];
	struct socket_ram *ram =
		socket_ram_new(end, arrival->memory, arrival->ram_size, text, sizeof(text));

	arrival->memory = -1;
	if (!ram) {
		arrival_refuse(end, arrival, SOCKET_REASON_MEMORY, text);
		return;
	}
	if (!arrival_welcome(end, arrival)) {
		arrival_close(end, arrival);
		socket_ram_release(ram);
		return;
	}
	end->host.child = arrival->child;
	end->host.porter = arrival->porter;
	end->host.leave = 0;
	socket_session_begin(end, arrival->fd, arrival->relay, ram);
}

static void on_arrival(struct socket_end *end, struct socket_arrival *arrival)
{
	struct socket_host *host = &end->host;
	char text[SOCKET_TEXT_MAX + 1];

	/* The last guest may have died a moment ago. */
	if (socket_session_is_over(end)) {
		let_in(end, arrival);
	} else if (host->leave && !host->next_waits) {
		host->next_waits = true;
		host->next = *arrival;
	} else {
		snprintf(text, sizeof(text), "busy: process %d is the guest",
		         (int)atomic_load(&end->other));
		arrival_refuse(end, arrival, SOCKET_REASON_BUSY, text);
	}
}

static void on_comes(struct socket_end *end, const struct door_message *message,
                     const int *descriptors, size_t count)
{
	struct socket_arrival arrival = {
		.ram_size = message->ram_size,
		.child = message->child,
		.porter = message->porter,
		.process = message->process,
		.memory = -1,
	};

	if (count != (message->ram_size ? 3 : 2)) {
		/* The porter, which has them all, tries again, and says so if that does not help.
		 */
		if (!end->host.short_of_descriptors)
			socket_log(end, PARTITION_LOG_OPERATOR, "no guest can be let in: %s",
			           strerror(EMFILE));
		end->host.short_of_descriptors = true;
		while (count)
			close(descriptors[--count]);
		return;
	}
	end->host.short_of_descriptors = false;
	arrival.fd = descriptors[0];
	arrival.relay = descriptors[1];
	if (count == 3)
		arrival.memory = descriptors[2];
	on_arrival(end, &arrival);
}

static void on_doorman_gone(struct socket_end *end)
{
	socket_log(end, PARTITION_LOG_OPERATOR,
	           "the process that receives guests is gone; there will be another");
	pthread_mutex_lock(&end->lock);
	door_unman(&end->host.door);
	pthread_mutex_unlock(&end->lock);
	end->host.door.again = socket_now() + SOCKET_RESOURCE_RETRY_MS;
}

void socket_host_door(struct socket_end *end)
{
	int descriptors[DOOR_RIGHTS_MAX];
	struct door_message message;
	size_t count;
	bool lost;

	if (end->host.door.fd < 0)
		return;
	switch (door_receive(end->host.door.fd, &message, sizeof(message), descriptors, &count,
	                     &lost, MSG_DONTWAIT)) {
	case -EAGAIN:
		return;
	case sizeof(message):
		break;
	default:
		on_doorman_gone(end);
		return;
	}
	if (message.kind == DOOR_COMES)
		on_comes(end, &message, descriptors, count);
	else if (message.kind == DOOR_NOTE)
		socket_log(end, PARTITION_LOG_WARNING, "process %d refused: %s", message.process,
		           message.text);
	else
		socket_log(end, PARTITION_LOG_OPERATOR, "%s", message.text);
}

/* ---- the end, and what has its time ---- */

void socket_host_close(struct socket_end *end)
{
	struct socket_host *host = &end->host;
	struct stat st;

	if (host->next_waits)
		arrival_close(end, &host->next);
	host->next_waits = false;
	pthread_mutex_lock(&end->lock);
	if (host->listen_fd >= 0) {
		/* Before it closes, so that no one finds a socket without a host; and only if the
		 * name still leads to it. */
		if (!lstat(end->path, &st) && st.st_dev == host->device && st.st_ino == host->inode)
			unlink(end->path);
		if (host->door.fd >= 0)
			close(host->listen_fd); /* the doorman has it still */
		else
			door_dispose(&host->door, host->listen_fd);
	}
	host->listen_fd = -1;
	door_close(&host->door);
	pthread_mutex_unlock(&end->lock);
	drop_lock(host);
	free(host->lock_path);
	host->lock_path = NULL;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

uint64_t socket_host_deadline(const struct socket_end *end)
{
	const struct socket_host *host = &end->host;

	return earlier(earlier(host->door.again, host->leave), host->dispose_again);
}

static void let_next_in(struct socket_end *end)
{
	struct socket_arrival next = end->host.next;

	end->host.next_waits = false;
	let_in(end, &next);
}

void socket_host_tick(struct socket_end *end, uint64_t now)
{
	struct socket_host *host = &end->host;

	if (host->leave && host->leave <= now)
		socket_session_end(end);
	if (host->next_waits && end->fd < 0)
		let_next_in(end);
	if (host->door.again && host->door.again <= now && man_door(end))
		host->door.again = now + SOCKET_RESOURCE_RETRY_MS;
	pthread_mutex_lock(&end->lock);
	host->dispose_again = door_flush(&host->door) ? 0 : now + SOCKET_DISPOSE_RETRY_MS;
	socket_session_arm(end);
	pthread_mutex_unlock(&end->lock);
}
