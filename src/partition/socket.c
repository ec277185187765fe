/* SPDX-License-Identifier: BSD-2-Clause */

/* unix:PATH, host and guest in two processes: opening, closing, the thread. */

#include "partition/socket.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 16

struct socket_end *socket_end_of(const struct partition *p)
{
	return (struct socket_end *)(uintptr_t)p;
}

uint64_t socket_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int socket_watch(struct socket_end *end, int operation, int fd, uint32_t events,
                 enum socket_source source, uint32_t which)
{
	struct epoll_event event = {
		.events = events,
		.data.u64 = (uint64_t)source << 32 | which,
	};

	return epoll_ctl(end->epoll_fd, operation, fd, &event) ? -errno : 0;
}

void socket_wake(struct socket_end *end)
{
	uint64_t one = 1;

	if (write(end->wake_fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN); /* it is awake */
}

void socket_log(struct socket_end *end, enum partition_log level, const char *format, ...)
{
	const struct partition_settings *settings = &end->head.settings;
	char text[512];
	va_list arguments;
	int length;

	if (!settings->upcalls.log || atomic_load(&end->closing))
		return;
	length = snprintf(text, sizeof(text), "%s: ", end->head.uri);
	va_start(arguments, format);
	vsnprintf(text + length, sizeof(text) - (size_t)length, format, arguments);
	va_end(arguments);
	settings->upcalls.log(settings->context, (int)level, text);
}

void socket_discard(struct socket_end *end, int fd)
{
	socket_discard_later(end, fd);
	if (!socket_is_host(end))
		end->guest.bury_now = true;
}

void socket_discard_later(struct socket_end *end, int fd)
{
	struct socket_door *door = socket_is_host(end) ? &end->host.door : &end->guest.door;

	if (socket_is_host(end) && !door->board) {
		close(fd);
		return;
	}
	/* Else epoll would go on taking references to it, any of which could be the last. */
	epoll_ctl(end->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	door_dispose(door, fd);
	socket_wake(end);
}

void socket_discard_received(struct socket_end *end, struct socket_received *received)
{
	pthread_mutex_lock(&end->lock);
	if (received->fd >= 0)
		socket_discard(end, received->fd);
	pthread_mutex_unlock(&end->lock);
	received->fd = -1;
}

/* ---- the thread ---- */

static void on_event(struct socket_end *end, const struct epoll_event *event)
{
	uint32_t which = (uint32_t)event->data.u64;
	uint64_t count;

	switch ((enum socket_source)(event->data.u64 >> 32)) {
	case SOCKET_WAKE:
		if (read(end->wake_fd, &count, sizeof(count)) < 0)
			assert(errno == EAGAIN);
		break;
	case SOCKET_DOOR:
		socket_host_door(end);
		break;
	case SOCKET_RELAY:
		socket_session_relayed(end, event->events);
		break;
	case SOCKET_GREETING:
		socket_guest_answer(end);
		break;
	case SOCKET_PEER:
		socket_session_events(end, event->events);
		break;
	case SOCKET_WAY:
		pthread_mutex_lock(&end->lock);
		socket_way_hangup(end, which);
		pthread_mutex_unlock(&end->lock);
		break;
	}
}

/* What epoll_wait() should wait: forever, unless something has a deadline. */
static int time_to_deadline(struct socket_end *end)
{
	uint64_t first = socket_is_host(end) ? socket_host_deadline(end) : end->guest.deadline;
	uint64_t now;

	pthread_mutex_lock(&end->lock);
	if (end->announce_again && (!first || end->announce_again < first))
		first = end->announce_again;
	pthread_mutex_unlock(&end->lock);
	if (!first)
		return -1;
	now = socket_now();
	return first <= now ? 0 : (int)(first - now);
}

/* Ports that could not be announced are tried again; that this is so is said once. */
static void announce_tick(struct socket_end *end, uint64_t now)
{
	unsigned int waiting;
	bool complain;

	pthread_mutex_lock(&end->lock);
	if (end->announce_again && end->announce_again <= now) {
		socket_ports_announce(end);
		socket_session_arm(end);
	}
	complain = end->announce_again && !end->short_of_resources;
	waiting = end->unannounced;
	end->short_of_resources = end->announce_again;
	pthread_mutex_unlock(&end->lock);
	if (complain)
		socket_log(end, PARTITION_LOG_ERROR,
		           "out of descriptors or memory: %u events cannot arrive until there are",
		           waiting);
}

static void tick(struct socket_end *end)
{
	uint64_t now = socket_now();

	if (atomic_exchange(&end->misused, false) && end->fd >= 0)
		socket_session_hang_up(end, SOCKET_REASON_PROTOCOL,
		                       "signal: no descriptors were expected, and some came");
	if (socket_is_host(end))
		socket_host_tick(end, now);
	else
		socket_guest_tick(end, now);
	announce_tick(end, now);
}

static void *socket_thread(void *argument)
{
	struct socket_end *end = argument;
	struct epoll_event events[EVENTS_MAX];

	while (!atomic_load(&end->closing)) {
		int count = epoll_wait(end->epoll_fd, events, EVENTS_MAX, time_to_deadline(end));

		for (int i = 0; i < count && !atomic_load(&end->closing); i++)
			on_event(end, &events[i]);
		if (!atomic_load(&end->closing))
			tick(end);
	}
	socket_session_end(end);
	return NULL;
}

/* ---- opening and closing ---- */

void socket_end_release(struct socket_end *end)
{
	if (atomic_fetch_sub(&end->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&end->lock);
	partition_fini(&end->head);
	free(end->path);
	free(end);
}

static int end_prepare(struct socket_end *end)
{
	end->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	end->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (end->epoll_fd < 0 || end->wake_fd < 0)
		return -errno;
	return socket_watch(end, EPOLL_CTL_ADD, end->wake_fd, EPOLLIN, SOCKET_WAKE, 0);
}

/* Closes what only the thread used; it has ended or never ran. */
static void end_stop(struct socket_end *end)
{
	if (socket_is_host(end))
		socket_host_close(end);
	else
		socket_guest_close(end);
}

static void end_close_descriptors(struct socket_end *end)
{
	if (end->epoll_fd >= 0)
		close(end->epoll_fd);
	if (end->wake_fd >= 0)
		close(end->wake_fd);
}

static void end_join(struct socket_end *end)
{
	atomic_store(&end->closing, true);
	socket_wake(end);
	pthread_join(end->thread, NULL);
}

static int end_open(struct socket_end *end, char *why, size_t why_size)
{
	int error = end_prepare(end);

	if (error)
		return error;
	error = socket_is_host(end) ? socket_host_open(end, why, why_size)
	                            : socket_guest_open(end, why, why_size);
	if (error)
		return error;
	error = partition_start_thread(&end->thread, "kmcl-unix", socket_thread, end);
	if (error)
		snprintf(why, why_size, "%s: no thread: %s", end->head.uri, strerror(-error));
	if (!error && !socket_is_host(end)) {
		error = socket_guest_outcome(end, why, why_size);
		if (error)
			end_join(end);
	}
	if (error)
		end_stop(end);
	return error;
}

static struct socket_end *end_new(const char *path, const struct partition_settings *settings)
{
	struct socket_end *end = calloc(1, sizeof(*end));

	if (!end)
		return NULL;
	end->path = strdup(path);
	if (!end->path || partition_init(&end->head, &socket_partition, path, settings)) {
		free(end->path);
		free(end);
		return NULL;
	}
	atomic_store(&end->refs, 1);
	pthread_mutex_init(&end->lock, NULL);
	end->fd = end->relay = end->epoll_fd = end->wake_fd = -1;
	return end;
}

static int socket_open(const char *rest, const struct partition_settings *settings,
                       struct partition **partition, char *why, size_t why_size)
{
	struct socket_end *end;
	int error = -ENOMEM;

	if (strlen(rest) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
		snprintf(why, why_size, "unix:%s: the path of a socket has at most %zu bytes", rest,
		         sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
		return -ENAMETOOLONG;
	}
	end = end_new(rest, settings);
	if (why_size)
		why[0] = 0;
	if (end) {
		*partition = &end->head;
		error = end_open(end, why, why_size);
		if (!error)
			return 0;
		end_close_descriptors(end);
		socket_end_release(end);
	}
	if (why_size && !why[0])
		snprintf(why, why_size, "unix:%s: %s", rest, strerror(-error));
	return error;
}

static void socket_close(struct partition *p)
{
	struct socket_end *end = socket_end_of(p);

	assert(!pthread_equal(pthread_self(), end->thread)); /* not from an upcall */
	end_join(end);
	end_stop(end);
	end_close_descriptors(end);
	socket_end_release(end);
}

static pid_t socket_other_process(const struct partition *p)
{
	return atomic_load(&socket_end_of(p)->other);
}

static struct partition_visitors socket_visitors(struct partition *p)
{
	struct socket_end *end = socket_end_of(p);
	struct partition_visitors visitors = { 0 };
	const struct door_board *board;

	if (!socket_is_host(end))
		return visitors;
	pthread_mutex_lock(&end->lock);
	board = end->host.door.board;
	if (board) {
		visitors.came = atomic_load(&board->visitors);
		visitors.refused = atomic_load(&board->refused);
		visitors.stuck = door_stuck(board);
	}
	pthread_mutex_unlock(&end->lock);
	return visitors;
}

const struct partition_ops socket_partition = {
	.scheme = "unix",
	.open = socket_open,
	.close = socket_close,
	.post = socket_post,
	.listen = socket_listen,
	.unlisten = socket_unlisten,
	.port_clear = socket_port_clear,
	.connect = socket_connect,
	.disconnect = socket_disconnect,
	.signal = socket_signal,
	.pin = socket_pin,
	.unpin = socket_unpin,
	.page = socket_page,
	.pin_memory = socket_pin_memory,
	.gpn = socket_gpn,
	.other_process = socket_other_process,
	.visitors = socket_visitors,
};
