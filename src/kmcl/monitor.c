/* SPDX-License-Identifier: BSD-2-Clause */

#include "kmcl/monitor.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define MONITOR_LATENCY_MIN 500u   /* 50 us: below that a thread only burns a processor */
#define MONITOR_LATENCY_MAX 10000u /* 1 ms: what Hyper-V's own guests ask for at most is less */
#define MONITOR_LOOKS_MIN   4u     /* in vain, until it rests */
#define MONITOR_LOOKS_MAX   64u
#define MONITOR_REST_NS     4000000ll
#define MONITOR_FOREVER     (-1ll)

/* Looking, or resting behind an armed guard; what was set before that was armed has been seen after
 * one more look. */
enum monitor_state {
	MONITOR_LOOKING,
	MONITOR_ARMED,
	MONITOR_RESTING,
};

struct monitor {
	pthread_t thread;
	struct monitor_page *page;
	const struct partition_pin *pin;
	struct monitor_calls calls;
	void *context;
	int wake; /* eventfd: something below was changed */
	pthread_mutex_t lock;
	bool stop;
	uint32_t watched[4]; /* a bit an id */
	struct partition_guard *guard;
	bool guard_tried;
	/* That the guard sees what the guest writes is known when a bit was found after it said so:
	 * the memory that a monitor names need not be where its guest's writes go. */
	bool guard_proven;
	bool tripped; /* and nothing was found since */
	enum monitor_state state;
	uint32_t quiet; /* looks in vain */
	/* How many of them until it rests. The guard trips before the write: who rests again before
	 * a processor without time of its own has come to that would keep it from it. */
	uint32_t patience;
};

/* The shortest of the latencies that the guest may have changed; it is not trusted with the range.
 */
static uint32_t monitor_latency(const struct monitor *m)
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

static bool monitor_idle(const struct monitor *m)
{
	return !(m->watched[0] | m->watched[1] | m->watched[2] | m->watched[3]);
}

static uint32_t monitor_pending(const struct monitor *m, uint32_t group)
{
	return atomic_load_explicit(&m->page->trigger[group].pending, memory_order_relaxed) &
	       m->watched[group];
}

/* ---- the guard ---- */

static void monitor_lose_guard(struct monitor *m, const char *why)
{
	if (m->guard)
		partition_unguard(m->guard);
	m->guard = NULL;
	m->state = MONITOR_LOOKING;
	m->calls.unguarded(m->context, why);
}

static void monitor_lose_guard_error(struct monitor *m, int error)
{
	char why[100];

	snprintf(why, sizeof(why), "userfaultfd: %s", strerror(-error));
	monitor_lose_guard(m, error == -ENOTSUP ? NULL : why);
}

/* False: there is none. */
static bool monitor_arm(struct monitor *m)
{
	int error = 0;

	if (!m->guard_tried) {
		m->guard_tried = true;
		error = partition_guard(m->pin, m->page, &m->guard);
	}
	if (m->tripped && m->patience < MONITOR_LOOKS_MAX)
		m->patience *= 2;
	if (!error && m->guard)
		error = partition_guard_arm(m->guard);
	if (error)
		monitor_lose_guard_error(m, error);
	m->tripped = false;
	return m->guard;
}

/* It is told of by what has been written, or by who is about to write. */
static void monitor_resume(struct monitor *m)
{
	if (m->guard)
		partition_guard_disarm(m->guard);
	m->state = MONITOR_LOOKING;
	m->quiet = 0;
}

/* A bit was found: what does that say of the guard? */
static void monitor_judge_guard(struct monitor *m)
{
	if (m->state == MONITOR_RESTING && partition_guard_armed(m->guard))
		monitor_lose_guard(m, "the guest's writes do not go through the monitor's mapping");
	else if (m->tripped || m->state == MONITOR_RESTING)
		m->guard_proven = true;
	m->tripped = false;
	m->patience = MONITOR_LOOKS_MIN;
}

/* ---- the thread ---- */

static void monitor_take(struct monitor *m)
{
	for (uint32_t group = 0; group < 4; group++) {
		uint32_t set = monitor_pending(m, group);

		if (set)
			set &= atomic_fetch_and(&m->page->trigger[group].pending, ~set);
		for (; set; set &= set - 1)
			m->calls.raised(m->context, group * 32 + (uint32_t)__builtin_ctz(set));
	}
}

static void monitor_look(struct monitor *m)
{
	bool found = false;

	for (uint32_t group = 0; group < 4; group++)
		found = found || monitor_pending(m, group);
	if (found) {
		monitor_judge_guard(m);
		monitor_resume(m);
		monitor_take(m);
	} else if (m->quiet < m->patience) {
		m->quiet++;
	}
}

/* How long until the next look, in ns. */
static int64_t monitor_pace(struct monitor *m)
{
	if (monitor_idle(m))
		return MONITOR_FOREVER;
	if (m->quiet < m->patience)
		return monitor_latency(m) * 100ll;
	switch (m->state) {
	case MONITOR_LOOKING:
		if (!monitor_arm(m))
			return MONITOR_REST_NS;
		m->state = MONITOR_ARMED;
		return 0;
	case MONITOR_ARMED:
		m->state = MONITOR_RESTING;
		break;
	case MONITOR_RESTING:
		break;
	}
	return m->guard_proven ? MONITOR_FOREVER : MONITOR_REST_NS;
}

/* True: the guard was tripped. Gives up the lock meanwhile. */
static bool monitor_wait_locked(struct monitor *m, int64_t ns)
{
	struct timespec ts = { .tv_nsec = ns };
	struct pollfd fds[] = {
		{ .fd = m->wake, .events = POLLIN },
		{ .fd = m->state == MONITOR_LOOKING ? -1 : partition_guard_fd(m->guard),
		  .events = POLLIN },
	};
	bool any;

	pthread_mutex_unlock(&m->lock);
	any = ppoll(fds, 2, ns == MONITOR_FOREVER ? NULL : &ts, NULL) > 0;
	if (any && fds[0].revents)
		eventfd_read(m->wake, &(eventfd_t){ 0 });
	pthread_mutex_lock(&m->lock);
	return any && fds[1].revents;
}

static void *monitor_main(void *context)
{
	struct monitor *m = context;

	pthread_mutex_lock(&m->lock);
	while (!m->stop) {
		if (monitor_wait_locked(m, monitor_pace(m))) {
			monitor_resume(m);
			m->tripped = true;
		}
		/* The page may be gone with the guest when nobody watches, or this is to stop. */
		if (!m->stop && !monitor_idle(m))
			monitor_look(m);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

static void monitor_free(struct monitor *m)
{
	if (m->guard)
		partition_unguard(m->guard);
	if (m->wake >= 0)
		close(m->wake);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

struct monitor *monitor_open(struct monitor_page *page, const struct partition_pin *pin,
                             const struct monitor_calls *calls, void *context)
{
	struct monitor *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->page = page;
	m->pin = pin;
	m->calls = *calls;
	m->context = context;
	m->patience = MONITOR_LOOKS_MIN;
	pthread_mutex_init(&m->lock, NULL);
	m->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->wake < 0 || partition_start_thread(&m->thread, "kmcl-monitor", monitor_main, m)) {
		monitor_free(m);
		return NULL;
	}
	return m;
}

void monitor_close(struct monitor *m)
{
	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	m->stop = true;
	eventfd_write(m->wake, 1);
	pthread_mutex_unlock(&m->lock);
	pthread_join(m->thread, NULL);
	monitor_free(m);
}

void monitor_watch(struct monitor *m, uint32_t monitor_id, uint16_t latency_100ns)
{
	pthread_mutex_lock(&m->lock);
	monitor_resume(m); /* this end's own write is not to trip the guard */
	atomic_store(&m->page->latency[monitor_id / 32 % 4][monitor_id % 32], latency_100ns);
	m->watched[monitor_id / 32 % 4] |= 1u << monitor_id % 32;
	eventfd_write(m->wake, 1);
	pthread_mutex_unlock(&m->lock);
}

void monitor_unwatch(struct monitor *m, uint32_t monitor_id)
{
	pthread_mutex_lock(&m->lock);
	m->watched[monitor_id / 32 % 4] &= ~(1u << monitor_id % 32);
	pthread_mutex_unlock(&m->lock);
}
