/* SPDX-License-Identifier: BSD-2-Clause */

/* The host end: owns the path, and welcomes one guest at a time. Until a connection has said HELLO
 * it is a visitor: of those there may be several, none of which can keep another out. */

#include "partition/socket.h"

#include <errno.h>
#include <fcntl.h>
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

/* Removes the socket of a dead host. 0; -EADDRINUSE: somebody lives there; -EEXIST: that is no
 * socket. */
static int remove_stale_socket(const char *path)
{
	struct sockaddr_un address = address_of(path);
	struct stat st;
	int error = 0;
	int fd;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)) || errno != ECONNREFUSED)
		error = -EADDRINUSE;
	close(fd);
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
	if (listen(host->listen_fd, SOCKET_VISITORS_MAX) || lstat(end->path, &st)) {
		int error = -errno;

		unlink(end->path);
		return error;
	}
	host->device = st.st_dev;
	host->inode = st.st_ino;
	return 0;
}

int socket_host_open(struct socket_end *end, char *why, size_t why_size)
{
	struct socket_host *host = &end->host;
	int error;

	host->lock_fd = host->listen_fd = -1;
	for (unsigned int i = 0; i < SOCKET_VISITORS_MAX; i++)
		host->visitors[i].fd = -1;
	if (asprintf(&host->lock_path, "%s.lock", end->path) < 0) {
		host->lock_path = NULL;
		return -ENOMEM;
	}
	error = take_lock(host);
	if (!error)
		error = remove_stale_socket(end->path);
	if (!error)
		error = listen_at(end);
	if (!error &&
	    socket_watch(end, EPOLL_CTL_ADD, host->listen_fd, EPOLLIN, SOCKET_LISTENER, 0))
		error = -errno;
	if (!error)
		return 0;
	if (error == -EADDRINUSE)
		snprintf(why, why_size, "%s: it has a host already", end->head.uri);
	else if (error == -EEXIST)
		snprintf(why, why_size, "%s: there is a file of that name that is no socket",
		         end->head.uri);
	else
		snprintf(why, why_size, "%s: cannot be listened on: %s", end->head.uri,
		         strerror(-error));
	socket_host_close(end);
	return error;
}

static void visitor_drop(struct socket_visitor *visitor)
{
	close(visitor->fd);
	visitor->fd = -1;
}

void socket_host_close(struct socket_end *end)
{
	struct socket_host *host = &end->host;
	struct stat st;

	for (unsigned int i = 0; i < SOCKET_VISITORS_MAX; i++)
		if (host->visitors[i].fd >= 0)
			visitor_drop(&host->visitors[i]);
	if (host->listen_fd >= 0) {
		/* Before it closes, so that no one finds a socket without a host; and only if the
		 * name still leads to it. */
		if (!lstat(end->path, &st) && st.st_dev == host->device && st.st_ino == host->inode)
			unlink(end->path);
		close(host->listen_fd);
	}
	host->listen_fd = -1;
	drop_lock(host);
	free(host->lock_path);
	host->lock_path = NULL;
}

/* ---- visitors ---- */

static void visitor_refuse(struct socket_end *end, struct socket_visitor *visitor,
                           enum socket_reason reason, const char *text)
{
	/* One that is only early may come often. */
	socket_log(end, reason == SOCKET_REASON_BUSY ? PARTITION_LOG_INFO : PARTITION_LOG_WARNING,
	           "process %d refused: %s", (int)socket_peer_process(visitor->fd), text);
	socket_send_refusal(visitor->fd, reason, text);
	visitor_drop(visitor);
}

/* Takes `descriptor`. */
static void on_hello(struct socket_end *end, struct socket_visitor *visitor,
                     const struct socket_frame *hello, int descriptor)
{
	const struct socket_frame welcome = {
		.type = SOCKET_WELCOME,
		.version = SOCKET_PROTOCOL_VERSION,
	};
	struct socket_ram *ram;
	char text[SOCKET_TEXT_MAX + 1];
	int fd = visitor->fd;

	/* The last guest may have died a moment ago. */
	if (!socket_session_is_over(end)) {
		if (descriptor >= 0)
			socket_close_foreign(descriptor);
		snprintf(text, sizeof(text), "busy: process %d is the guest",
		         (int)atomic_load(&end->other));
		visitor_refuse(end, visitor, SOCKET_REASON_BUSY, text);
		return;
	}
	ram = socket_ram_new(end, descriptor, hello->ram_size, text, sizeof(text));
	if (!ram) {
		visitor_refuse(end, visitor, SOCKET_REASON_MEMORY, text);
		return;
	}
	if (socket_send(fd, &welcome, -1) ||
	    socket_watch(end, EPOLL_CTL_MOD, fd, 0, SOCKET_PEER, 0)) {
		visitor_drop(visitor);
		socket_ram_release(ram);
		return;
	}
	visitor->fd = -1;
	socket_session_begin(end, fd, ram);
}

static void on_first_frame(struct socket_end *end, struct socket_visitor *visitor,
                           struct socket_received *received)
{
	struct socket_frame frame;
	struct socket_fault fault;
	char text[160];

	if (received->lost_descriptor) {
		visitor_refuse(end, visitor, SOCKET_REASON_LIMIT,
		               "out of descriptors for the guest's memory");
		return;
	}
	if (socket_frame_decode(SOCKET_STAGE_HELLO, received->bytes, received->size,
	                        received->descriptors, &frame, &fault)) {
		if (frame.type == SOCKET_HELLO && frame.version == SOCKET_PROTOCOL_VERSION) {
			on_hello(end, visitor, &frame, received->fd);
			return;
		}
		snprintf(text, sizeof(text), "version %u of the protocol was expected, and %u came",
		         SOCKET_PROTOCOL_VERSION, frame.version);
	} else {
		socket_describe_fault(&fault, text, sizeof(text));
		frame.type = 0;
	}
	if (received->fd >= 0)
		socket_close_foreign(received->fd);
	if (frame.type == SOCKET_REFUSE)
		visitor_drop(visitor); /* it changed its mind */
	else
		visitor_refuse(end, visitor,
		               frame.type ? SOCKET_REASON_VERSION : SOCKET_REASON_PROTOCOL, text);
}

void socket_host_visitor(struct socket_end *end, uint32_t which)
{
	struct socket_visitor *visitor = &end->host.visitors[which];
	struct socket_received received;
	int got;

	if (visitor->fd < 0)
		return;
	got = socket_receive(visitor->fd, &received);
	if (got == -EAGAIN)
		return;
	if (got <= 0)
		visitor_drop(visitor);
	else
		on_first_frame(end, visitor, &received);
}

/* A place for a visitor: a free one, or that of who has been silent longest. */
static uint32_t visitor_place(struct socket_end *end)
{
	struct socket_visitor *visitors = end->host.visitors;
	uint32_t oldest = 0;

	for (uint32_t i = 0; i < SOCKET_VISITORS_MAX; i++) {
		if (visitors[i].fd < 0)
			return i;
		if (visitors[i].number < visitors[oldest].number)
			oldest = i;
	}
	visitor_refuse(end, &visitors[oldest], SOCKET_REASON_LIMIT,
	               "too many connections that have not said HELLO");
	return oldest;
}

static void pause_accepting(struct socket_end *end, const char *what)
{
	socket_log(end, PARTITION_LOG_ERROR, "no guest can be let in: %s", what);
	socket_watch(end, EPOLL_CTL_MOD, end->host.listen_fd, 0, SOCKET_LISTENER, 0);
	end->host.accept_again = socket_now() + SOCKET_RESOURCE_RETRY_MS;
}

void socket_host_accept(struct socket_end *end)
{
	uint32_t place;
	int fd;

	if (socket_foreign_stuck()) {
		pause_accepting(end, "descriptors that guests sent do not close");
		return;
	}
	fd = accept4(end->host.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			pause_accepting(end, strerror(errno));
		return;
	}
	place = visitor_place(end);
	if (socket_watch(end, EPOLL_CTL_ADD, fd, EPOLLIN, SOCKET_VISITOR, place)) {
		close(fd);
		return;
	}
	end->host.visitors[place] = (struct socket_visitor){
		.fd = fd,
		.number = end->host.arrivals++,
		.deadline = socket_now() + SOCKET_HELLO_MS,
	};
	socket_host_visitor(end, place); /* most have said HELLO by now */
}

uint64_t socket_host_deadline(const struct socket_end *end)
{
	uint64_t first = end->host.accept_again;

	for (unsigned int i = 0; i < SOCKET_VISITORS_MAX; i++) {
		const struct socket_visitor *visitor = &end->host.visitors[i];

		if (visitor->fd >= 0 && (!first || visitor->deadline < first))
			first = visitor->deadline;
	}
	return first;
}

void socket_host_tick(struct socket_end *end, uint64_t now)
{
	for (unsigned int i = 0; i < SOCKET_VISITORS_MAX; i++) {
		struct socket_visitor *visitor = &end->host.visitors[i];

		if (visitor->fd >= 0 && visitor->deadline <= now)
			visitor_refuse(end, visitor, SOCKET_REASON_PROTOCOL,
			               "no HELLO within 2 seconds");
	}
	if (end->host.accept_again && end->host.accept_again <= now) {
		end->host.accept_again = 0;
		socket_watch(end, EPOLL_CTL_MOD, end->host.listen_fd, EPOLLIN, SOCKET_LISTENER, 0);
	}
}
