/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Events. For each session, each port makes a socketpair and sends one side of it to the other end:
 * a signal is a byte sent there. Nothing the other end can do with its side makes this one wait:
 * the inner side's flags are ours alone, and what is in its queue is bounded by the sender's
 * buffer. (A shared eventfd has its O_NONBLOCK flag and its counter in the other end's hands.)
 *
 * A port's descriptor is an epoll set with the inner side in it, so it stays the same one from
 * session to session, and a hang-up by the other end can be taken out of it.
 *
 * A way is what is known about an id of the other end in this session: where to signal, and a
 * signal that waits for that. Closing the inner side withdraws a port: the way sees its hang-up.
 */

#include "partition/socket.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLEAR_BATCH  8 /* signals taken at once */
#define CLEAR_ROUNDS 4 /* after that the port just stays readable */

struct socket_port {
	struct partition_port head;
	struct id_node node;
	pthread_mutex_t lock; /* after the end's */
	int inner;            /* or -1 */
	bool rightless;       /* nobody can send descriptors to it */
	unsigned int pairs;   /* there were so far */
	/* under the end's lock */
	int outer; /* until it is sent, or -1 */
	bool announced;
};

struct socket_way {
	struct id_node node;
	pthread_mutex_t lock; /* after the end's */
	int fd;               /* where to signal, or -1 */
	bool pending;         /* signalled while there was nowhere to */
	bool dead;            /* its session is over */
	unsigned int links;   /* under the end's lock */
};

struct socket_link {
	struct partition_link head;
	struct socket_way *way;
};

static struct socket_port *port_of_node(struct id_node *node)
{
	return (struct socket_port *)((char *)node - offsetof(struct socket_port, node));
}

static struct socket_way *way_of_node(struct id_node *node)
{
	static_assert(offsetof(struct socket_way, node) == 0, "a node is its way");
	return (struct socket_way *)node;
}

/* ---- ports ---- */

/* A fresh socketpair for this session. 0, -errno. */
static int port_make_pair(struct socket_port *port)
{
	struct epoll_event event = { .events = EPOLLIN };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return -errno;
	if (epoll_ctl(port->head.fd, EPOLL_CTL_ADD, pair[0], &event)) {
		int error = -errno;

		close(pair[0]);
		close(pair[1]);
		return error;
	}
	pthread_mutex_lock(&port->lock);
	port->inner = pair[0];
	port->pairs++;
	port->rightless = socket_take_no_rights(pair[0]);
	pthread_mutex_unlock(&port->lock);
	port->outer = pair[1];
	return 0;
}

/* Takes the inner side out of the epoll set and away. Under the port's lock. */
static void port_drop_inner(struct socket_end *end, struct socket_port *port)
{
	if (port->inner < 0)
		return;
	if (port->announced && !port->rightless) {
		epoll_ctl(port->head.fd, EPOLL_CTL_DEL, port->inner, NULL);
		socket_discard(end, port->inner);
	} else {
		close(port->inner);
	}
	port->inner = -1;
}

static void port_drop_pair(struct socket_end *end, struct socket_port *port)
{
	pthread_mutex_lock(&port->lock);
	port_drop_inner(end, port);
	pthread_mutex_unlock(&port->lock);
	if (port->outer >= 0)
		close(port->outer);
	port->outer = -1;
}

static int port_announce(struct socket_end *end, struct socket_port *port)
{
	struct socket_frame frame = { .type = SOCKET_PORT, .id = port->node.id };
	int error = port->outer >= 0 ? 0 : port_make_pair(port);

	if (!error)
		error = socket_send(end->fd, &frame, port->outer);
	if (error)
		return error;
	close(port->outer);
	port->outer = -1;
	port->announced = true;
	end->unannounced--;
	return 0;
}

struct announcing {
	struct socket_end *end;
	int error;
};

static void announce_node(struct id_node *node, void *context)
{
	struct announcing *a = context;
	struct socket_port *port = port_of_node(node);

	if (!a->error && !port->announced)
		a->error = port_announce(a->end, port);
}

void socket_ports_announce(struct socket_end *end)
{
	struct announcing a = { .end = end };

	end->announce_again = 0;
	if (!end->unannounced || end->fd < 0)
		return;
	id_table_each(&end->ports, announce_node, &a);
	/* A full socket says when it is writable, and a broken one that it is. What else can fail
	 * here is a lack of descriptors or memory, of which nobody tells when it is over. */
	if (a.error && a.error != -EAGAIN && a.error != -EPIPE && a.error != -ECONNRESET)
		end->announce_again = socket_now() + SOCKET_RESOURCE_RETRY_MS;
}

static void retire_port_node(struct id_node *node, void *context)
{
	struct socket_end *end = context;
	struct socket_port *port = port_of_node(node);

	port_drop_pair(end, port);
	if (port->announced)
		end->unannounced++;
	port->announced = false;
}

void socket_ports_retire(struct socket_end *end)
{
	end->announce_again = 0;
	id_table_each(&end->ports, retire_port_node, end);
}

/* Its pair is gone. */
static void port_free(struct socket_port *port)
{
	close(port->head.fd);
	pthread_mutex_destroy(&port->lock);
	free(port);
}

static int socket_error_kind(int error)
{
	return error == -EMFILE || error == -ENFILE ? -EMFILE : -ENOMEM;
}

int socket_listen(struct partition *p, uint32_t id, struct partition_port **port)
{
	struct socket_end *end = socket_end_of(p);
	struct socket_port *new = calloc(1, sizeof(*new));
	bool taken;
	int error;

	if (!new)
		return -ENOMEM;
	pthread_mutex_init(&new->lock, NULL);
	new->inner = new->outer = -1;
	new->node.id = id;
	new->head = (struct partition_port){ .partition = p, .id = id };
	new->head.fd = epoll_create1(EPOLL_CLOEXEC);
	error = new->head.fd < 0 ? -errno : port_make_pair(new);
	if (error) {
		if (new->head.fd >= 0)
			close(new->head.fd);
		free(new);
		return socket_error_kind(error);
	}
	pthread_mutex_lock(&end->lock);
	taken = id_table_find(&end->ports, id);
	if (!taken) {
		id_table_insert(&end->ports, &new->node);
		end->unannounced++;
		socket_ports_announce(end);
		socket_session_arm(end);
		if (end->announce_again)
			socket_wake(end);
	}
	pthread_mutex_unlock(&end->lock);
	if (taken) {
		port_drop_pair(end, new);
		port_free(new);
		return -EEXIST;
	}
	atomic_fetch_add(&end->refs, 1);
	*port = &new->head;
	return 0;
}

void socket_unlisten(struct partition_port *port)
{
	struct socket_port *p = (struct socket_port *)port;
	struct socket_end *end = socket_end_of(port->partition);

	pthread_mutex_lock(&end->lock);
	id_table_remove(&end->ports, &p->node);
	if (!p->announced)
		end->unannounced--;
	port_drop_pair(end, p);
	pthread_mutex_unlock(&end->lock);
	port_free(p);
	socket_end_release(end);
}

enum taken {
	TAKEN_ALL,
	TAKEN_LAST,   /* the other end closed its side, and no more can come */
	TAKEN_RIGHTS, /* descriptors are next; whoever took them would close them */
};

/* Where descriptors may come with a signal, it has to be looked at first: taking a copy of it
 * counts as no close, since the queue has it still. */
static enum taken take_signals_looking(int inner)
{
	for (int i = 0; i < CLEAR_BATCH * CLEAR_ROUNDS; i++) {
		struct msghdr look = { 0 };
		ssize_t size = recvmsg(inner, &look, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC);

		if (size < 0 && (errno == EAGAIN || errno == EINTR))
			return TAKEN_ALL;
		if (size > 0 && look.msg_flags & MSG_CTRUNC)
			return TAKEN_RIGHTS;
		if (size <= 0 || recv(inner, NULL, 0, MSG_DONTWAIT) < 0)
			return TAKEN_LAST;
	}
	return TAKEN_ALL;
}

static enum taken take_signals(int inner)
{
	struct mmsghdr messages[CLEAR_BATCH] = { 0 }; /* with no room: the bytes mean nothing */
	int count = CLEAR_BATCH;

	for (int round = 0; round < CLEAR_ROUNDS && count == CLEAR_BATCH; round++) {
		count = recvmmsg(inner, messages, CLEAR_BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
		if (count < 0)
			return errno == EAGAIN || errno == EINTR ? TAKEN_ALL : TAKEN_LAST;
		/* With MSG_TRUNC the size is the one sent: 0 is the end. */
		for (int i = 0; i < count; i++)
			if (!messages[i].msg_len)
				return TAKEN_LAST;
	}
	return TAKEN_ALL;
}

/* No more signals come. Descriptors with one are against the rules, and end the session. */
static void port_end(struct socket_end *end, struct socket_port *port, unsigned int pair,
                     bool misused)
{
	pthread_mutex_lock(&end->lock);
	pthread_mutex_lock(&port->lock);
	if (port->pairs == pair)
		port_drop_inner(end, port);
	pthread_mutex_unlock(&port->lock);
	if (misused && end->fd >= 0) {
		atomic_store(&end->misused, true);
		socket_wake(end);
	}
	pthread_mutex_unlock(&end->lock);
}

void socket_port_clear(struct partition_port *port)
{
	struct socket_port *p = (struct socket_port *)port;
	enum taken taken = TAKEN_ALL;
	unsigned int pair;

	pthread_mutex_lock(&p->lock);
	pair = p->pairs;
	if (p->inner >= 0)
		taken = p->rightless ? take_signals(p->inner) : take_signals_looking(p->inner);
	pthread_mutex_unlock(&p->lock);
	if (taken != TAKEN_ALL)
		port_end(socket_end_of(port->partition), p, pair, taken == TAKEN_RIGHTS);
}

/* ---- ways and links ---- */

static struct socket_way *way_get(struct socket_end *end, uint32_t id)
{
	struct id_node *node = id_table_find(&end->ways, id);
	struct socket_way *way;

	if (node)
		return way_of_node(node);
	if (end->ways.count >= SOCKET_WAYS_MAX)
		return NULL;
	way = calloc(1, sizeof(*way));
	if (!way)
		return NULL;
	pthread_mutex_init(&way->lock, NULL);
	way->node.id = id;
	way->fd = -1;
	id_table_insert(&end->ways, &way->node);
	return way;
}

static void way_free(struct socket_way *way)
{
	pthread_mutex_destroy(&way->lock);
	free(way);
}

/* Frees a way that has nothing to remember. */
static void way_free_if_unused(struct socket_end *end, struct socket_way *way)
{
	bool used;

	pthread_mutex_lock(&way->lock);
	used = way->links || (!way->dead && (way->fd >= 0 || way->pending));
	pthread_mutex_unlock(&way->lock);
	if (used)
		return;
	if (!way->dead)
		id_table_remove(&end->ways, &way->node);
	way_free(way);
}

/* Sends a signal. False: the other end no longer listens there. A full buffer (EAGAIN) means that a
 * signal is on its way already: the kernel makes room before the reader's recv() returns, so the
 * reader has yet to look for what it is signalled. */
static bool send_signal(int fd)
{
	ssize_t sent;

	do {
		sent = send(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent >= 0 || (errno != EPIPE && errno != ECONNRESET && errno != ECONNREFUSED);
}

/* Closes what the other end withdrew. A signal it did not take before it did is kept. */
static void way_close(struct socket_end *end, struct socket_way *way)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (way->fd < 0)
		return;
	/* The kernel notes ECONNRESET when a queue is closed that was not empty. */
	if (!getsockopt(way->fd, SOL_SOCKET, SO_ERROR, &error, &size) && error)
		way->pending = true;
	socket_discard_later(end, way->fd); /* the other end may have sent descriptors there */
	way->fd = -1;
	end->way_descriptors--;
}

/* How many ports the other end may open, so that it cannot take all descriptors of this process. */
static unsigned int ports_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur / 4 >= SOCKET_PORTS_MAX)
		return SOCKET_PORTS_MAX;
	return (unsigned int)(limit.rlim_cur / 4);
}

int socket_way_open(struct socket_end *end, uint32_t id, int fd)
{
	struct socket_way *way = way_get(end, id);
	int error = 0;

	if (!way) {
		socket_discard(end, fd);
		return end->ways.count >= SOCKET_WAYS_MAX ? -E2BIG : -ENOMEM;
	}
	pthread_mutex_lock(&way->lock);
	way_close(end, way);
	if (end->way_descriptors >= ports_limit())
		error = -E2BIG;
	else if (socket_watch(end, EPOLL_CTL_ADD, fd, 0, SOCKET_WAY, id))
		error = -ENOMEM;
	if (error) {
		socket_discard(end, fd);
	} else {
		int least = 1; /* the kernel makes it its minimum: a few signals */

		/* Signals that are not taken hold this end's memory. */
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
		socket_take_no_rights(fd);
		way->fd = fd;
		end->way_descriptors++;
		if (way->pending)
			send_signal(fd);
		way->pending = false;
	}
	pthread_mutex_unlock(&way->lock);
	way_free_if_unused(end, way);
	return error;
}

static bool hung_up(int fd)
{
	struct pollfd poll_fd = { .fd = fd };

	return poll(&poll_fd, 1, 0) == 1;
}

void socket_way_hangup(struct socket_end *end, uint32_t id)
{
	struct id_node *node = id_table_find(&end->ways, id);
	struct socket_way *way = node ? way_of_node(node) : NULL;

	if (!way)
		return;
	pthread_mutex_lock(&way->lock);
	/* The event may have been about the one before. */
	if (way->fd >= 0 && hung_up(way->fd))
		way_close(end, way);
	pthread_mutex_unlock(&way->lock);
	way_free_if_unused(end, way);
}

static void retire_way_node(struct id_node *node, void *context)
{
	struct socket_end *end = context;
	struct socket_way *way = way_of_node(node);

	id_table_remove(&end->ways, node);
	pthread_mutex_lock(&way->lock);
	way_close(end, way);
	way->dead = true;
	pthread_mutex_unlock(&way->lock);
	way_free_if_unused(end, way);
}

void socket_ways_retire(struct socket_end *end)
{
	id_table_each(&end->ways, retire_way_node, end);
}

int socket_connect(struct partition *p, struct partition_address to, struct partition_link **link)
{
	struct socket_end *end = socket_end_of(p);
	struct socket_link *new = calloc(1, sizeof(*new));

	if (!new)
		return -ENOMEM;
	pthread_mutex_lock(&end->lock);
	new->way = way_get(end, to.id);
	if (new->way)
		new->way->links++;
	pthread_mutex_unlock(&end->lock);
	if (!new->way) {
		free(new);
		return -ENOMEM;
	}
	atomic_fetch_add(&end->refs, 1);
	new->head = (struct partition_link){ .partition = p, .to = to };
	*link = &new->head;
	return 0;
}

void socket_disconnect(struct partition_link *link)
{
	struct socket_end *end = socket_end_of(link->partition);
	struct socket_way *way = ((struct socket_link *)link)->way;

	pthread_mutex_lock(&end->lock);
	way->links--;
	way_free_if_unused(end, way);
	pthread_mutex_unlock(&end->lock);
	free(link);
	socket_end_release(end);
}

void socket_signal(struct partition_link *link)
{
	struct socket_way *way = ((struct socket_link *)link)->way;

	if (!atomic_load(&socket_end_of(link->partition)->present))
		return;
	pthread_mutex_lock(&way->lock);
	if (!way->dead && (way->fd < 0 || !send_signal(way->fd)))
		way->pending = true;
	pthread_mutex_unlock(&way->lock);
}
