/* SPDX-License-Identifier: BSD-2-Clause */

/* While both ends are there: frames in and out. The same for host and guest. */

#include "partition/socket.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HANGUP_EVENTS ((uint32_t)(EPOLLHUP | EPOLLRDHUP | EPOLLERR))

pid_t socket_peer_process(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) ? 0 : peer.pid;
}

void socket_session_arm(struct socket_end *end)
{
	uint32_t events = EPOLLRDHUP;

	if (end->fd < 0)
		return;
	/* A guest that does not read gets no further hearing. Only the host does this: if both did,
	 * each could wait for the other. */
	if (!socket_is_host(end) || !end->wants_writable)
		events |= EPOLLIN;
	if (end->wants_writable || (end->unannounced && !end->announce_again))
		events |= EPOLLOUT;
	if (events == end->armed)
		return;
	end->armed = events;
	socket_watch(end, EPOLL_CTL_MOD, end->fd, events, SOCKET_PEER, 0);
}

static void say_presence(struct socket_end *end, enum partition_presence what)
{
	if (!atomic_load(&end->closing))
		end->head.settings.upcalls.presence(end->head.settings.context, what);
}

void socket_session_begin(struct socket_end *end, int fd, struct socket_ram *ram)
{
	pthread_mutex_lock(&end->lock);
	end->fd = fd;
	end->ram = ram;
	end->armed = 0;
	atomic_store(&end->other, socket_peer_process(fd));
	atomic_store(&end->present, true);
	socket_ports_announce(end);
	socket_session_arm(end);
	pthread_mutex_unlock(&end->lock);
	say_presence(end, PARTITION_CAME);
}

void socket_session_end(struct socket_end *end)
{
	struct socket_ram *ram;

	if (end->fd < 0)
		return;
	pthread_mutex_lock(&end->lock);
	atomic_store(&end->present, false);
	atomic_store(&end->other, 0);
	close(end->fd);
	end->fd = -1;
	end->wants_writable = false;
	ram = end->ram;
	end->ram = NULL;
	socket_ports_retire(end);
	socket_ways_retire(end);
	pthread_mutex_unlock(&end->lock);
	if (ram)
		socket_ram_release(ram);
	say_presence(end, PARTITION_GONE);
	if (!socket_is_host(end))
		socket_guest_lost(end);
}

/* ---- out ---- */

int socket_post(struct partition *p, struct partition_address to, const void *payload, size_t size)
{
	struct socket_end *end = socket_end_of(p);
	struct socket_frame frame = {
		.type = SOCKET_MESSAGE,
		.id = to.id,
		.vp = to.vp,
		.sint = to.sint,
		.payload = payload,
		.size = size,
	};
	int error = -ENOTCONN;

	pthread_mutex_lock(&end->lock);
	if (end->fd >= 0)
		error = socket_send(end->fd, &frame, -1);
	if (error == -EAGAIN || error == -ENOBUFS || error == -ENOMEM) {
		error = -EAGAIN;
		end->wants_writable = true;
		socket_session_arm(end);
	}
	pthread_mutex_unlock(&end->lock);
	/* Closed by the other end, which this thread is about to hear of. */
	return error && error != -EAGAIN ? -ENOTCONN : error;
}

/* The end's thread finds the socket shut, and the session over. */
void socket_hang_up(struct partition *p, const char *why)
{
	struct socket_end *end = socket_end_of(p);

	pthread_mutex_lock(&end->lock);
	if (end->fd >= 0) {
		socket_send_refusal(end->fd, SOCKET_REASON_LIMIT, why);
		shutdown(end->fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&end->lock);
}

/* The socket takes frames again. */
static void on_writable(struct socket_end *end)
{
	bool wanted;

	pthread_mutex_lock(&end->lock);
	socket_ports_announce(end);
	wanted = end->wants_writable;
	end->wants_writable = false;
	socket_session_arm(end);
	pthread_mutex_unlock(&end->lock);
	if (wanted && !atomic_load(&end->closing))
		end->head.settings.upcalls.writable(end->head.settings.context);
}

/* ---- in ---- */

/* Tells both the log and the other end why this session is over. */
static void hang_up(struct socket_end *end, enum socket_reason reason, const char *text)
{
	socket_log(end, PARTITION_LOG_WARNING, "process %d: %s: disconnected",
	           (int)atomic_load(&end->other), text);
	socket_send_refusal(end->fd, reason, text);
	socket_session_end(end);
}

static void on_port(struct socket_end *end, uint32_t id, int fd)
{
	char text[128];
	int error;

	if (!socket_check_port(fd, text, sizeof(text))) {
		socket_close_foreign(fd);
		hang_up(end, SOCKET_REASON_PROTOCOL, text);
		return;
	}
	pthread_mutex_lock(&end->lock);
	error = socket_way_open(end, id, fd);
	pthread_mutex_unlock(&end->lock);
	if (error == -E2BIG)
		hang_up(end, SOCKET_REASON_LIMIT,
		        "more ports than this process lets the other end have (RLIMIT_NOFILE / 4)");
	else if (error)
		hang_up(end, SOCKET_REASON_LIMIT, "out of memory for a port");
}

static void on_frame(struct socket_end *end, const struct socket_frame *frame, int fd)
{
	const struct partition_upcalls *up = &end->head.settings.upcalls;

	switch (frame->type) {
	case SOCKET_MESSAGE:
		up->message(end->head.settings.context, frame->id, frame->payload, frame->size);
		break;
	case SOCKET_PORT:
		on_port(end, frame->id, fd);
		break;
	default: /* REFUSE: the decoder lets nothing else through */
		socket_log(end, PARTITION_LOG_WARNING, "process %d hung up: %s",
		           (int)atomic_load(&end->other), frame->text);
		socket_session_end(end);
		break;
	}
}

/* Is there time for more before other events get their turn? */
static bool on_received(struct socket_end *end, struct socket_received *received)
{
	struct socket_frame frame;
	struct socket_fault fault;
	char text[160];

	if (received->lost_descriptor) {
		hang_up(end, SOCKET_REASON_LIMIT, "out of descriptors for a port");
		return false;
	}
	if (socket_frame_decode(SOCKET_STAGE_SESSION, received->bytes, received->size,
	                        received->descriptors, &frame, &fault)) {
		on_frame(end, &frame, received->fd);
		/* Hang-ups of earlier ports come first, so that they do not count as open. */
		return frame.type != SOCKET_PORT;
	}
	if (received->fd >= 0)
		socket_close_foreign(received->fd);
	socket_describe_fault(&fault, text, sizeof(text));
	hang_up(end, SOCKET_REASON_PROTOCOL, text);
	return false;
}

static bool may_read(struct socket_end *end)
{
	bool may;

	if (!socket_is_host(end))
		return true;
	pthread_mutex_lock(&end->lock);
	may = !end->wants_writable;
	pthread_mutex_unlock(&end->lock);
	return may;
}

/* Reads some frames. With `last_words`, the other end has closed and will never read again what
 * this one waits to send. */
static void read_frames(struct socket_end *end, bool last_words)
{
	struct socket_received received;

	for (unsigned int i = 0; i < SOCKET_ROUND_MAX && end->fd >= 0; i++) {
		int got;

		if (atomic_load(&end->closing) || (!last_words && !may_read(end)))
			return;
		got = socket_receive(end->fd, &received);
		if (got == -EAGAIN)
			return;
		if (got <= 0)
			socket_session_end(end);
		else if (!on_received(end, &received))
			return;
	}
}

void socket_session_input(struct socket_end *end, uint32_t events)
{
	bool over = events & HANGUP_EVENTS;

	if (end->fd >= 0 && (over || events & EPOLLIN))
		read_frames(end, over);
	if (end->fd >= 0 && !over && events & EPOLLOUT)
		on_writable(end);
}

bool socket_session_is_over(struct socket_end *end)
{
	while (end->fd >= 0 && !atomic_load(&end->closing)) {
		struct pollfd poll_fd = { .fd = end->fd, .events = POLLRDHUP };

		if (poll(&poll_fd, 1, 0) != 1)
			return false;
		read_frames(end, true);
	}
	return end->fd < 0;
}
