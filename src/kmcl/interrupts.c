/* SPDX-License-Identifier: BSD-2-Clause */

#include "kmcl/interrupts.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define MONITOR_LATENCY_MIN 500u   /* 50 us: below that a thread only burns a processor */
#define MONITOR_LATENCY_MAX 10000u /* 1 ms: what Hyper-V's own guests ask for at most is less */

/* ---- the interrupt page ---- */

struct interrupts {
	pthread_t thread;
	struct partition_port *port;
	int stop; /* eventfd */
	_Atomic(uint64_t) *bits;
	interrupts_raised *raised;
	void *context;
};

static void interrupts_scan(struct interrupts *i)
{
	for (uint32_t word = 0; word < INTERRUPT_PAGE_WORDS; word++) {
		uint64_t set = atomic_load_explicit(&i->bits[word], memory_order_relaxed);

		if (set)
			set = atomic_exchange(&i->bits[word], 0);
		for (; set; set &= set - 1)
			i->raised(i->context, word * 64 + (uint32_t)__builtin_ctzll(set));
	}
}

static void *interrupts_main(void *context)
{
	struct interrupts *i = context;
	struct pollfd fds[] = {
		{ .fd = partition_port_fd(i->port), .events = POLLIN },
		{ .fd = i->stop, .events = POLLIN },
	};

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			break;
		partition_port_clear(i->port);
		interrupts_scan(i);
	}
	return NULL;
}

static void interrupts_free(struct interrupts *i)
{
	if (i->port)
		partition_unlisten(i->port);
	if (i->stop >= 0)
		close(i->stop);
	free(i);
}

struct interrupts *interrupts_open(struct partition *p, uint32_t id, _Atomic(uint64_t) *bits,
                                   interrupts_raised *raised, void *context)
{
	struct interrupts *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->bits = bits;
	i->raised = raised;
	i->context = context;
	i->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (i->stop < 0 || partition_listen(p, id, &i->port) != 0 ||
	    pthread_create(&i->thread, NULL, interrupts_main, i) != 0) {
		interrupts_free(i);
		return NULL;
	}
	pthread_setname_np(i->thread, "kmcl-interrupts");
	return i;
}

void interrupts_close(struct interrupts *i)
{
	if (!i)
		return;
	eventfd_write(i->stop, 1);
	pthread_join(i->thread, NULL);
	interrupts_free(i);
}

/* ---- the monitor page ---- */

struct monitor {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop;
	uint32_t watched[4]; /* a bit an id */
	struct monitor_page *page;
	interrupts_raised *raised;
	void *context;
};

/* The shortest of the latencies that the guest may have changed; it is not trusted with the range.
 */
static uint32_t monitor_latency(struct monitor *m)
{
	uint32_t least = MONITOR_LATENCY_MAX;

	for (uint32_t group = 0; group < 4; group++)
		for (uint32_t set = m->watched[group]; set; set &= set - 1) {
			uint32_t bit = (uint32_t)__builtin_ctz(set);
			uint32_t latency = atomic_load_explicit(&m->page->latency[group][bit],
			                                        memory_order_relaxed);

			if (latency < least)
				least = latency;
		}
	return least < MONITOR_LATENCY_MIN ? MONITOR_LATENCY_MIN : least;
}

static void monitor_look(struct monitor *m)
{
	for (uint32_t group = 0; group < 4; group++) {
		uint32_t set = atomic_load_explicit(&m->page->trigger[group].pending,
		                                    memory_order_relaxed) &
		               m->watched[group];

		if (set)
			set &= atomic_fetch_and(&m->page->trigger[group].pending, ~set);
		for (; set; set &= set - 1)
			m->raised(m->context, group * 32 + (uint32_t)__builtin_ctz(set));
	}
}

static bool monitor_idle(const struct monitor *m)
{
	return !(m->watched[0] | m->watched[1] | m->watched[2] | m->watched[3]);
}

static void *monitor_main(void *context)
{
	struct monitor *m = context;

	pthread_mutex_lock(&m->lock);
	while (!m->stop) {
		struct timespec ts = { 0 };

		if (monitor_idle(m)) {
			pthread_cond_wait(&m->changed, &m->lock);
			continue;
		}
		ts.tv_nsec = (long)monitor_latency(m) * 100;
		pthread_mutex_unlock(&m->lock);
		nanosleep(&ts, NULL);
		pthread_mutex_lock(&m->lock);
		monitor_look(m);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

struct monitor *monitor_open(struct monitor_page *page, interrupts_raised *raised, void *context)
{
	struct monitor *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->page = page;
	m->raised = raised;
	m->context = context;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->changed, NULL);
	if (pthread_create(&m->thread, NULL, monitor_main, m) != 0) {
		free(m);
		return NULL;
	}
	pthread_setname_np(m->thread, "kmcl-monitor");
	return m;
}

void monitor_close(struct monitor *m)
{
	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	m->stop = true;
	pthread_cond_signal(&m->changed);
	pthread_mutex_unlock(&m->lock);
	pthread_join(m->thread, NULL);
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

void monitor_watch(struct monitor *m, uint32_t monitor_id, uint16_t latency_100ns)
{
	pthread_mutex_lock(&m->lock);
	atomic_store(&m->page->latency[monitor_id / 32 % 4][monitor_id % 32], latency_100ns);
	m->watched[monitor_id / 32 % 4] |= 1u << monitor_id % 32;
	pthread_cond_signal(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

void monitor_unwatch(struct monitor *m, uint32_t monitor_id)
{
	pthread_mutex_lock(&m->lock);
	m->watched[monitor_id / 32 % 4] &= ~(1u << monitor_id % 32);
	pthread_mutex_unlock(&m->lock);
}
