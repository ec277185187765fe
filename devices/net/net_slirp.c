/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * User networking by libslirp, on a thread of its own: what the guest sends waits in a queue for
 * it, as libslirp is used by one thread at a time.
 */

#include "common/thread.h"
#include "net/slirp_bounds.h"

#include <kmcl/kmcl.h>
#include <kmcl/net.h>
#include <kmcl/net_backend.h>
#include <kmcl/options.h>

#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_BYTES  (16u << 20) /* from the guest, waiting; of this process's memory */
#define ROUND_FRAMES 1024u       /* of them, before all else has its turn */
#define HELD_FRAMES  1024u       /* for the guest, while it has no room */
#define POLL_MOST_MS 60000u
#define POLL_KEPT_MS 100u /* while visitors are kept out */

/* A frame that waits, either way. */
struct waiting {
	struct waiting *next;
	void *request; /* of the adapter's; NULL: it is for the guest */
	uint32_t length;
	uint8_t data[];
};

struct waiting_list {
	struct waiting *first, **last;
};

struct timer {
	struct timer *next;
	struct net_slirp *owner;
	SlirpTimerId id;
	void *opaque;
	int64_t expires_ms; /* -1: it does not run */
};

/* Lines about one guest's nonsense, as of every other kind (README, limits). */
#define SAID_MAX 16u
#define SAID_NS  10000000000ll

struct net_slirp {
	struct kmcl_net_backend backend;
	struct kmcl_net_port *port;
	pthread_t thread;
	bool started;
	atomic_bool stop;
	int wake; /* an eventfd */

	pthread_mutex_t lock; /* of libslirp, but while its thread sleeps */
	Slirp *slirp;
	struct timer *timers;
	struct pollfd *fds;
	uint32_t fd_count, fd_room;
	bool kept_out; /* somebody from outside waits, and nothing will tell when no longer */
	struct waiting_list
		held; /* for the guest; while there are any, nothing is asked of libslirp */
	uint32_t held_count;
	int64_t said_since; /* what the guest had it say, in these seconds: so many lines */
	uint32_t said, unsaid;
	struct slirp_bounds bounds;
	struct in_addr guest; /* by default */

	pthread_mutex_t queue_lock;
	struct waiting_list queue; /* from the guest */
	size_t queue_bytes;
};

static struct net_slirp *slirp_of(struct kmcl_net_backend *backend)
{
	return CONTAINING_RECORD(backend, struct net_slirp, backend);
}

static void list_init(struct waiting_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void list_add(struct waiting_list *list, struct waiting *w)
{
	w->next = NULL;
	*list->last = w;
	list->last = &w->next;
}

static struct waiting *list_take(struct waiting_list *list)
{
	struct waiting *w = list->first;

	if (!w)
		return NULL;
	list->first = w->next;
	if (!list->first)
		list->last = &list->first;
	return w;
}

static void wake(struct net_slirp *n)
{
	eventfd_write(n->wake, 1); /* fails only when it is awake a long time */
}

/* ---- from the guest ---- */

/* What malloc() takes for it. */
static size_t cost_of(const struct waiting *w)
{
	return sizeof(*w) + w->length + 16;
}

static enum kmcl_net_result slirp_send(struct kmcl_net_backend *backend,
                                       const struct kmcl_net_frame *frame, void *request)
{
	struct net_slirp *n = slirp_of(backend);
	struct waiting *w = malloc(sizeof(*w) + frame->length);
	uint8_t *at = w ? w->data : NULL;
	bool first = false, room;
	uint32_t i;

	if (!w)
		return KMCL_NET_DROPPED;
	w->request = request;
	w->length = frame->length;
	for (i = 0; i < frame->count; i++) {
		memcpy(at, frame->iov[i].iov_base, frame->iov[i].iov_len);
		at += frame->iov[i].iov_len;
	}
	pthread_mutex_lock(&n->queue_lock);
	room = n->queue_bytes + cost_of(w) <= QUEUE_BYTES;
	if (room) {
		first = !n->queue.first;
		n->queue_bytes += cost_of(w);
		list_add(&n->queue, w);
	}
	pthread_mutex_unlock(&n->queue_lock);
	if (first)
		wake(n);
	if (!room)
		free(w);
	return room ? KMCL_NET_LATER : KMCL_NET_DROPPED;
}

static struct waiting *queue_take(struct net_slirp *n)
{
	struct waiting *w;

	pthread_mutex_lock(&n->queue_lock);
	w = list_take(&n->queue);
	if (w)
		n->queue_bytes -= cost_of(w);
	pthread_mutex_unlock(&n->queue_lock);
	return w;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* What is dropped, the guest sends again, as on any wire. */
static void give_back(struct net_slirp *n, struct waiting *w, bool use)
{
	if (use && slirp_bounds_take(&n->bounds, w->data, w->length)) {
		slirp_input(n->slirp, w->data, (int)w->length);
		slirp_bounds_used(&n->bounds);
	}
	n->port->ops->sent(n->port, w->request);
	free(w);
}

/* Some, so that a guest that sends without end does not keep the thread from all else. */
static void use_queue(struct net_slirp *n)
{
	struct waiting *w;
	uint32_t i = 0;

	slirp_bounds_look(&n->bounds);
	while (i++ < ROUND_FRAMES && (w = queue_take(n)))
		give_back(n, w, true);
	if (i > ROUND_FRAMES)
		wake(n); /* who adds to a queue that is not empty does not */
}

static void drop_queue(struct net_slirp *n)
{
	struct waiting *w;

	while ((w = queue_take(n)))
		give_back(n, w, false);
}

/* ---- for the guest ---- */

static bool offer(struct net_slirp *n, const uint8_t *data, uint32_t length)
{
	/* libslirp makes every packet itself, and its checksums. */
	const struct kmcl_net_received frame = {
		.data = data,
		.length = length,
		.checksum_valid = true,
	};

	return n->port->ops->receive(n->port, &frame) != KMCL_NET_LATER;
}

static void hold(struct net_slirp *n, const void *data, uint32_t length)
{
	struct waiting *w = NULL;

	if (n->held_count < HELD_FRAMES)
		w = malloc(sizeof(*w) + length);
	if (!w)
		return; /* as on any wire; libslirp sends again what has to come through */
	w->request = NULL;
	w->length = length;
	memcpy(w->data, data, length);
	list_add(&n->held, w);
	n->held_count++;
}

static ssize_t send_packet(const void *data, size_t length, void *opaque)
{
	struct net_slirp *n = opaque;

	slirp_bounds_sent(&n->bounds, data, (uint32_t)length);
	if (n->held.first || !offer(n, data, (uint32_t)length))
		hold(n, data, (uint32_t)length);
	return (ssize_t)length;
}

static void offer_held(struct net_slirp *n)
{
	while (n->held.first && offer(n, n->held.first->data, n->held.first->length)) {
		free(list_take(&n->held));
		n->held_count--;
	}
}

/* ---- what libslirp asks for ---- */

static int64_t clock_get_ns(void *opaque)
{
	return now_ns();
}

/* The guest can have it say that as often as it likes. libslirp's lock is held. */
static void guest_error(const char *message, void *opaque)
{
	struct net_slirp *n = opaque;
	int64_t now = now_ns();

	if (!n->said_since || now - n->said_since >= SAID_NS) {
		if (n->unsaid)
			DbgPrintEx(DPFLTR_IHVNETWORK_ID, DPFLTR_INFO_LEVEL,
			           "slirp: %u more such lines", n->unsaid);
		n->said_since = now;
		n->said = n->unsaid = 0;
	}
	if (n->said++ < SAID_MAX)
		DbgPrintEx(DPFLTR_IHVNETWORK_ID, DPFLTR_INFO_LEVEL, "slirp: %s", message);
	else
		n->unsaid++;
}

static void *timer_new(SlirpTimerId id, void *timer_opaque, void *opaque)
{
	struct net_slirp *n = opaque;
	struct timer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->owner = n;
	t->id = id;
	t->opaque = timer_opaque;
	t->expires_ms = -1;
	t->next = n->timers;
	n->timers = t;
	return t;
}

static void timer_free(void *timer, void *opaque)
{
	struct net_slirp *n = opaque;
	struct timer **p;

	for (p = &n->timers; *p; p = &(*p)->next) {
		if (*p == timer) {
			*p = (*p)->next;
			break;
		}
	}
	free(timer);
}

static void timer_mod(void *timer, int64_t expires_ms, void *opaque)
{
	struct timer *t = timer;

	if (t)
		t->expires_ms = expires_ms;
}

static void socket_opened(int fd, void *opaque)
{
	struct net_slirp *n = opaque;

	slirp_bounds_opened(&n->bounds, fd);
}

static void socket_closed(int fd, void *opaque)
{
	struct net_slirp *n = opaque;

	slirp_bounds_closed(&n->bounds, fd);
}

static void notify(void *opaque)
{
	wake(opaque);
}

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = clock_get_ns,
	.timer_new_opaque = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = socket_opened,
	.unregister_poll_fd = socket_closed,
	.notify = notify,
};

static void run_timers(struct net_slirp *n)
{
	int64_t now = now_ns() / 1000000;
	struct timer *t;

	for (t = n->timers; t; t = t->next) {
		if (t->expires_ms < 0 || t->expires_ms > now)
			continue;
		t->expires_ms = -1;
		slirp_handle_timer(n->slirp, t->id, t->opaque);
	}
}

static uint32_t until_timer(const struct net_slirp *n, uint32_t timeout)
{
	int64_t now = now_ns() / 1000000;
	const struct timer *t;

	for (t = n->timers; t; t = t->next) {
		if (t->expires_ms >= 0 && t->expires_ms - now < timeout)
			timeout = t->expires_ms > now ? (uint32_t)(t->expires_ms - now) : 0;
	}
	return timeout;
}

/* ---- the thread ---- */

static int add_poll(int fd, int events, void *opaque)
{
	struct net_slirp *n = opaque;
	short wanted = 0;

	if (n->fd_count == n->fd_room) {
		uint32_t room = n->fd_room * 2;
		struct pollfd *fds = realloc(n->fds, room * sizeof(*fds));

		if (!fds)
			return -1;
		n->fds = fds;
		n->fd_room = room;
	}
	if (!slirp_bounds_lets_in(&n->bounds, fd)) {
		n->kept_out = true;
		fd = -1;
	}
	wanted |= events & SLIRP_POLL_IN ? POLLIN : 0;
	wanted |= events & SLIRP_POLL_OUT ? POLLOUT : 0;
	wanted |= events & SLIRP_POLL_PRI ? POLLPRI : 0;
	wanted |= events & SLIRP_POLL_ERR ? POLLERR : 0;
	wanted |= events & SLIRP_POLL_HUP ? POLLHUP : 0;
	n->fds[n->fd_count] = (struct pollfd){ .fd = fd, .events = wanted };
	return (int)n->fd_count++;
}

static int get_revents(int index, void *opaque)
{
	struct net_slirp *n = opaque;
	short got = index >= 0 && (uint32_t)index < n->fd_count ? n->fds[index].revents : 0;

	return (got & POLLIN ? SLIRP_POLL_IN : 0) | (got & POLLOUT ? SLIRP_POLL_OUT : 0) |
	       (got & POLLPRI ? SLIRP_POLL_PRI : 0) | (got & POLLERR ? SLIRP_POLL_ERR : 0) |
	       (got & POLLHUP ? SLIRP_POLL_HUP : 0);
}

/* Sleeps without the lock. False: poll() failed. */
static bool sleep_until_something(struct net_slirp *n, uint32_t timeout)
{
	eventfd_t value;
	int ready;

	pthread_mutex_unlock(&n->lock);
	ready = poll(n->fds, n->fd_count, (int)timeout);
	if (n->fds[0].revents)
		eventfd_read(n->wake, &value);
	pthread_mutex_lock(&n->lock);
	return ready >= 0 || errno == EINTR;
}

/* While the guest has no room nothing is taken from it or from the host's sockets either. */
static void run_once(struct net_slirp *n)
{
	uint32_t timeout = POLL_MOST_MS;
	bool blocked, good;

	n->fd_count = 0;
	n->kept_out = false;
	add_poll(n->wake, SLIRP_POLL_IN, n);
	blocked = n->held.first != NULL;
	if (!blocked) {
		slirp_pollfds_fill(n->slirp, &timeout, add_poll, n);
		timeout = until_timer(n, timeout < POLL_MOST_MS ? timeout : POLL_MOST_MS);
		if (n->kept_out && timeout > POLL_KEPT_MS)
			timeout = POLL_KEPT_MS;
	}
	good = sleep_until_something(n, timeout);
	offer_held(n);
	if (!n->held.first)
		use_queue(n);
	if (!blocked)
		slirp_pollfds_poll(n->slirp, !good, get_revents, n);
	run_timers(n);
	n->port->ops->flush(n->port);
}

static void *slirp_thread(void *context)
{
	struct net_slirp *n = context;

	pthread_mutex_lock(&n->lock);
	while (!atomic_load(&n->stop))
		run_once(n);
	pthread_mutex_unlock(&n->lock);
	return NULL;
}

static bool slirp_start(struct kmcl_net_backend *backend, struct kmcl_net_port *port)
{
	struct net_slirp *n = slirp_of(backend);
	int error;

	n->port = port;
	error = thread_start(&n->thread, "net-slirp", slirp_thread, n);
	n->started = !error;
	if (error)
		DbgPrintEx(DPFLTR_IHVNETWORK_ID, DPFLTR_ERROR_LEVEL, "slirp: no thread: %s",
		           strerror(error));
	return n->started;
}

static void slirp_resume(struct kmcl_net_backend *backend)
{
	wake(slirp_of(backend));
}

static void slirp_destroy(struct kmcl_net_backend *backend)
{
	struct net_slirp *n = slirp_of(backend);

	atomic_store(&n->stop, true);
	wake(n);
	if (n->started) {
		pthread_join(n->thread, NULL);
		drop_queue(n);
	}
	while (n->held.first)
		free(list_take(&n->held));
	if (n->slirp)
		slirp_cleanup(n->slirp);
	pthread_mutex_destroy(&n->queue_lock);
	pthread_mutex_destroy(&n->lock);
	slirp_bounds_destroy(&n->bounds);
	close(n->wake);
	free(n->fds);
	free(n);
}

static const struct kmcl_net_backend_ops slirp_ops = {
	.name = "user",
	.start = slirp_start,
	.send = slirp_send,
	.resume = slirp_resume,
	.destroy = slirp_destroy,
};

/* ---- making one ---- */

/* The addresses that QEMU's user networking has too. */
static void configure(const struct kmcl_net_user_options *options, SlirpConfig *config)
{
	config->version = 4;
	config->restricted = options->restricted;
	config->in_enabled = true;
	inet_pton(AF_INET, "10.0.2.0", &config->vnetwork);
	inet_pton(AF_INET, "255.255.255.0", &config->vnetmask);
	inet_pton(AF_INET, "10.0.2.2", &config->vhost);
	inet_pton(AF_INET, "10.0.2.15", &config->vdhcp_start);
	inet_pton(AF_INET, "10.0.2.3", &config->vnameserver);
	config->in6_enabled = true;
	inet_pton(AF_INET6, "fec0::", &config->vprefix_addr6);
	config->vprefix_len = 64;
	inet_pton(AF_INET6, "fec0::2", &config->vhost6);
	inet_pton(AF_INET6, "fec0::3", &config->vnameserver6);
	config->vhostname = options->hostname ? options->hostname : "guest";
}

int kmcl_net_user_create(const struct kmcl_net_user_options *options,
                         struct kmcl_net_backend **backend, char *why, size_t why_size)
{
	struct kmcl_net_user_options own;
	SlirpConfig config = { 0 };
	struct net_slirp *n;
	int error = kmcl_options_take(&own, sizeof(own), options);

	if (error) {
		snprintf(why, why_size, "the options are of a newer library, or have no size");
		return error;
	}
	n = calloc(1, sizeof(*n));
	if (!n) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	n->backend.ops = &slirp_ops;
	list_init(&n->held);
	list_init(&n->queue);
	pthread_mutex_init(&n->lock, NULL);
	pthread_mutex_init(&n->queue_lock, NULL);
	n->fd_room = 64;
	n->fds = calloc(n->fd_room, sizeof(*n->fds));
	n->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	configure(&own, &config);
	n->guest = config.vdhcp_start;
	slirp_bounds_init(&n->bounds, config.vhost, now_ns);
	if (n->fds && n->wake >= 0)
		n->slirp = slirp_new(&config, &callbacks, n);
	if (!n->slirp) {
		snprintf(why, why_size, "libslirp %s did not start", slirp_version_string());
		slirp_destroy(&n->backend);
		return -ENOMEM;
	}
	*backend = &n->backend;
	return 0;
}

/* ---- forwards ---- */

struct forward {
	bool udp;
	struct in_addr host, guest;
	int host_port, guest_port;
};

/* "[ADDRESS]:PORT" up to `end`. */
static bool parse_end(const char *text, const char *end, struct in_addr *address, int *port)
{
	char copy[32], *colon, *rest;
	long number;

	if ((size_t)(end - text) >= sizeof(copy))
		return false;
	memcpy(copy, text, (size_t)(end - text));
	copy[end - text] = 0;
	colon = strrchr(copy, ':');
	if (!colon || colon[1] < '0' || colon[1] > '9')
		return false;
	number = strtol(colon + 1, &rest, 10);
	if (*rest || number < 1 || number > 65535)
		return false;
	*port = (int)number;
	*colon = 0;
	return !copy[0] || inet_pton(AF_INET, copy, address) == 1;
}

static bool parse_forward(const char *text, struct forward *f)
{
	const char *dash;

	memset(f, 0, sizeof(*f));
	f->udp = !strncmp(text, "udp:", 4);
	if (!f->udp && strncmp(text, "tcp:", 4))
		return false;
	text += 4;
	dash = strchr(text, '-');
	return dash && parse_end(text, dash, &f->host, &f->host_port) &&
	       parse_end(dash + 1, dash + strlen(dash), &f->guest, &f->guest_port);
}

static int forward_stream(struct net_slirp *n, const struct forward *f)
{
	struct slirp_forward *known = malloc(sizeof(*known));

	if (!known)
		return -ENOMEM;
	if (slirp_add_hostfwd(n->slirp, false, f->host, f->host_port, f->guest, f->guest_port)) {
		free(known);
		return errno ? -errno : -EADDRINUSE;
	}
	known->host = f->host;
	known->host_port = (uint16_t)f->host_port;
	known->guest = slirp_bounds_ip4(f->guest.s_addr ? f->guest : n->guest);
	known->guest_port = (uint16_t)f->guest_port;
	slirp_bounds_forward(&n->bounds, known);
	return 0;
}

static int forward_datagrams(struct net_slirp *n, const struct forward *f)
{
	if (slirp_add_hostfwd(n->slirp, true, f->host, f->host_port, f->guest, f->guest_port))
		return errno ? -errno : -EADDRINUSE;
	return 0;
}

int kmcl_net_user_forward(struct kmcl_net_backend *backend, const char *text, char *why,
                          size_t why_size)
{
	struct net_slirp *n = slirp_of(backend);
	struct forward f;
	int error;

	if (!parse_forward(text, &f)) {
		snprintf(why, why_size,
		         "%s: expected tcp:[ADDRESS]:PORT-[ADDRESS]:PORT, or udp:", text);
		return -EINVAL;
	}
	pthread_mutex_lock(&n->lock);
	errno = 0;
	error = f.udp ? forward_datagrams(n, &f) : forward_stream(n, &f);
	pthread_mutex_unlock(&n->lock);
	wake(n);
	if (error)
		snprintf(why, why_size, "%s: the host's port cannot be had: %s", text,
		         strerror(-error));
	return error;
}
