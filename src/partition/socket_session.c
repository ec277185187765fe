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

static bool is_leaving(const struct socket_end *end)
{
	return socket_is_host(end) && end->host.leave;
}

static void arm(struct socket_end *end, int fd, uint32_t *armed, uint32_t events,
                enum socket_source source)
{
	if (events != *armed)
		socket_watch(end, EPOLL_CTL_MOD, fd, events, source, 0);
	*armed = events;
}

/* A guest that does not read gets no further hearing, nor one that has more closed than can be
 * disposed of. Only the host does this: if both did, each could wait for the other. */
static bool hears(const struct socket_end *end)
{
	return !socket_is_host(end) || is_leaving(end) ||
	       (!end->wants_writable && end->host.door.rubbish_count < SOCKET_RUBBISH_MAX);
}

void socket_session_arm(struct socket_end *end)
{
	bool wants_out = end->wants_writable || (end->unannounced && !end->announce_again);
	uint32_t out = EPOLLRDHUP | (wants_out ? EPOLLOUT : 0u), in = EPOLLRDHUP;

	if (end->fd < 0)
		return;
	if (hears(end))
		in |= EPOLLIN;
	if (!socket_is_host(end)) {
		arm(end, end->fd, &end->armed, in | out, SOCKET_PEER);
		return;
	}
	arm(end, end->relay, &end->relay_armed, in, SOCKET_RELAY);
	if (!is_leaving(end))
		arm(end, end->fd, &end->armed, out, SOCKET_PEER);
}

/* To be asked, as an event may have been about the guest before. */
static bool hung_up(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLRDHUP };

	return poll(&poll_fd, 1, 0) == 1;
}

/* The guest hung up. Its last words come, and then the relay's end, unless its porter is held up by
 * what it sent. */
static void take_leave(struct socket_end *end)
{
	if (end->host.leave)
		return;
	pthread_mutex_lock(&end->lock);
	end->host.leave = socket_now() + SOCKET_LEAVE_MS;
	epoll_ctl(end->epoll_fd, EPOLL_CTL_DEL, end->fd, NULL);
	socket_session_arm(end);
	pthread_mutex_unlock(&end->lock);
}

static void say_presence(struct socket_end *end, enum partition_presence what)
{
	if (!atomic_load(&end->closing))
		end->head.settings.upcalls.presence(end->head.settings.context, what);
}

void socket_session_begin(struct socket_end *end, int fd, int relay, struct socket_ram *ram)
{
	pthread_mutex_lock(&end->lock);
	end->fd = fd;
	end->relay = relay;
	end->ram = ram;
	end->armed = end->relay_armed = 0;
	atomic_store(&end->misused, false);
	atomic_store(&end->other, socket_peer_process(fd));
	atomic_store(&end->present, true);
	socket_ports_announce(end);
	socket_session_arm(end);
	pthread_mutex_unlock(&end->lock);
	say_presence(end, PARTITION_CAME);
}

/* Until its relay is shut, a porter has the same connection: this is not the last of it. And as it
 * may be gone right after that, what lies in the relay could be the last. */
static void close_connection(struct socket_end *end)
{
	shutdown(end->fd, SHUT_RDWR);
	epoll_ctl(end->epoll_fd, EPOLL_CTL_DEL, end->fd, NULL); /* it has references of its own */
	if (!socket_is_host(end)) {
		socket_discard(end, end->fd); /* with what the host sent and nobody read */
	} else {
		close(end->fd);
		shutdown(end->relay, SHUT_RDWR);
		socket_discard(end, end->relay);
		door_send_off(&end->host.door, end->host.child, end->host.porter);
		end->host.leave = 0;
	}
	end->fd = end->relay = -1;
}

void socket_session_end(struct socket_end *end)
{
	struct socket_ram *ram;

	if (end->fd < 0)
		return;
	pthread_mutex_lock(&end->lock);
	atomic_store(&end->present, false);
	atomic_store(&end->other, 0);
	close_connection(end);
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
void socket_session_hang_up(struct socket_end *end, enum socket_reason reason, const char *text)
{
	socket_log(end, PARTITION_LOG_WARNING, "process %d: %s: disconnected",
	           (int)atomic_load(&end->other), text);
	socket_send_refusal(end->fd, reason, text);
	socket_session_end(end);
}

static bool is_good_port(struct socket_end *end, struct socket_received *received)
{
	if (!received->bad_port)
		return true;
	socket_session_hang_up(end, SOCKET_REASON_PROTOCOL, SOCKET_BAD_PORT);
	return false;
}

static void on_port(struct socket_end *end, uint32_t id, int fd)
{
	int error;

	pthread_mutex_lock(&end->lock);
	error = socket_way_open(end, id, fd);
	pthread_mutex_unlock(&end->lock);
	if (error == -E2BIG)
		socket_session_hang_up(
			end, SOCKET_REASON_LIMIT,
			"more ports than this process lets the other end have (RLIMIT_NOFILE / 4)");
	else if (error)
		socket_session_hang_up(end, SOCKET_REASON_LIMIT, "out of memory for a port");
}

static void on_frame(struct socket_end *end, const struct socket_frame *frame,
                     struct socket_received *received)
{
	const struct partition_upcalls *up = &end->head.settings.upcalls;

	switch (frame->type) {
	case SOCKET_MESSAGE:
		up->message(end->head.settings.context, frame->id, frame->payload, frame->size);
		break;
	case SOCKET_PORT:
		if (is_good_port(end, received)) {
			on_port(end, frame->id, received->fd);
			received->fd = -1;
		}
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
		socket_session_hang_up(end, SOCKET_REASON_LIMIT,
		                       "out of descriptors or processes for a port");
		return false;
	}
	if (socket_frame_decode(SOCKET_STAGE_SESSION, received->bytes, received->size,
	                        received->descriptors, &frame, &fault)) {
		on_frame(end, &frame, received);
		/* Hang-ups of earlier ports come first, so that they do not count as open. */
		return frame.type != SOCKET_PORT;
	}
	socket_describe_fault(&fault, text, sizeof(text));
	socket_session_hang_up(end, SOCKET_REASON_PROTOCOL, text);
	return false;
}

static bool may_read(struct socket_end *end)
{
	bool may;

	pthread_mutex_lock(&end->lock);
	may = hears(end);
	if (!may)
		socket_session_arm(end);
	pthread_mutex_unlock(&end->lock);
	return may;
}

/* What a porter passed on: it has looked at the descriptors, and the frame is still to be. */
static int receive_relayed(struct socket_end *end, struct socket_received *received)
{
	struct relay_head head;
	uint8_t bytes[sizeof(head) + SOCKET_FRAME_MAX];
	int descriptors[DOOR_RIGHTS_MAX];
	size_t count;
	ssize_t got = door_receive(end->relay, bytes, sizeof(bytes), descriptors, &count,
	                           &received->lost_descriptor, MSG_DONTWAIT);

	received->fd = -1;
	if (got < (ssize_t)sizeof(head))
		return got < 0 ? (int)got : 0;
	memcpy(&head, bytes, sizeof(head));
	memcpy(received->bytes, bytes + sizeof(head), (size_t)got - sizeof(head));
	received->size = head.size;
	received->descriptors = head.descriptors;
	received->bad_port = head.bad_port;
	received->lost_descriptor |= head.lost;
	received->fd = count ? descriptors[0] : -1;
	if (count)
		door_send(end->relay, &(const struct iovec){ &head, 1 }, 1, NULL, 0, MSG_DONTWAIT);
	return 1;
}

/* Reads some frames. With `last_words`, the other end has closed and will never read again what
 * this one waits to send. False: there is nothing to read. */
static bool read_frames(struct socket_end *end, bool last_words)
{
	struct socket_received received;
	bool more = true;

	for (unsigned int i = 0; more && i < SOCKET_ROUND_MAX && end->fd >= 0; i++) {
		int got;

		if (atomic_load(&end->closing) || (!last_words && !may_read(end)))
			return true;
		got = socket_is_host(end)
		              ? receive_relayed(end, &received)
		              : socket_receive(end->fd, &end->guest.examiners, &received);
		if (got == -EAGAIN)
			return false;
		if (got > 0)
			more = on_received(end, &received);
		else
			socket_session_end(end);
		if (got >= 0)
			socket_discard_received(end, &received); /* what nobody took */
	}
	return true;
}

void socket_session_relayed(struct socket_end *end, uint32_t events)
{
	if (end->fd >= 0)
		read_frames(end, events & HANGUP_EVENTS);
}

void socket_session_events(struct socket_end *end, uint32_t events)
{
	bool over = events & HANGUP_EVENTS;

	if (end->fd < 0)
		return;
	if (socket_is_host(end) && over && hung_up(end->fd))
		take_leave(end);
	else if (!socket_is_host(end) && (over || events & EPOLLIN))
		read_frames(end, over);
	if (end->fd >= 0 && !over && events & EPOLLOUT)
		on_writable(end);
}

bool socket_session_is_over(struct socket_end *end)
{
	if (end->fd >= 0 && (end->host.leave || hung_up(end->fd))) {
		take_leave(end);
		while (end->fd >= 0 && !atomic_load(&end->closing) && read_frames(end, true))
			;
	}
	return end->fd < 0;
}
