/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Dispatchers: threads that poll open channels at DISPATCH_LEVEL. A channel belongs to one. Woken
 * by a channel's event, a dispatcher polls that channel, its ring masked, until it has been quiet
 * for the spin time; then it unmasks the ring, looks once more, and waits for the next event. With
 * nothing to poll it sleeps without a time limit.
 */

#include "kmcl/channel.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define DISPATCHERS_MAX  64u
#define DISPATCH_BUDGET  256u
#define DISPATCH_EVENTS  64
#define SPIN_DEFAULT_US  50u
#define SPIN_LEAST_NS    2000u
#define QUIET_CHECK_MASK 15u /* the clock is read every 16 empty rounds */
#define EVENT_CHECK_MASK 63u /* events of the other channels are looked for every 64 rounds */

struct dispatcher {
	pthread_t thread;
	int epoll;
	int wake; /* eventfd */
	/* Held while channels are polled; released for sleeping and for those who wait for it. */
	pthread_mutex_t round;
	_Atomic(uint32_t) waiters;
	_Atomic(bool) sleeping;
	_Atomic(bool) any_kicked;
	struct dispatcher_entry **entries;
	uint32_t entry_count;
	uint32_t entry_capacity;
	uint32_t serial;
	uint32_t attached_count;
	uint32_t polling_count;
	uint64_t spin_ns; /* adapts between SPIN_LEAST_NS and the setting */
	uint64_t slept_at;
};

static struct dispatchers {
	pthread_mutex_t lock;
	bool started;
	uint32_t count;
	uint32_t next;             /* round robin */
	_Atomic(uint64_t) spin_ns; /* also read by threads that wait before there is a dispatcher */
	bool spin_set;
	bool embedded;
	struct dispatcher *list[DISPATCHERS_MAX];
} dispatchers = { .lock = PTHREAD_MUTEX_INITIALIZER };

uint64_t dispatcher_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t spin_limit(void)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		return 0;
	return dispatchers.spin_set ? dispatchers.spin_ns : SPIN_DEFAULT_US * 1000u;
}

uint64_t dispatcher_spin_ns(void)
{
	return dispatchers.spin_ns;
}

/* ---- one round ---- */

static void dispatcher_set_polling(struct dispatcher *d, struct dispatcher_entry *e, bool polling)
{
	if (e->polling == polling)
		return;
	e->polling = polling;
	d->polling_count += polling ? 1 : -1;
}

static void dispatcher_take_kicks(struct dispatcher *d)
{
	if (!atomic_load_explicit(&d->any_kicked, memory_order_relaxed) ||
	    !atomic_exchange(&d->any_kicked, false))
		return;
	for (uint32_t i = 0; i < d->entry_count; i++) {
		struct dispatcher_entry *e = d->entries[i];

		if (e && atomic_exchange(&e->kicked, false)) {
			dispatcher_set_polling(d, e, true);
			e->busy_at = dispatcher_now();
		}
	}
}

/* Polls each channel once; true: some had something. */
static bool dispatcher_poll(struct dispatcher *d, uint32_t *delivered)
{
	uint64_t now = 0;
	bool busy = false;

	for (uint32_t i = 0; i < d->entry_count; i++) {
		struct dispatcher_entry *e = d->entries[i];
		uint32_t count;

		if (!e || !e->polling)
			continue;
		count = incoming_poll(e->channel, DISPATCH_BUDGET);
		if (!count)
			continue;
		*delivered += count;
		busy = true;
		now = now ? now : dispatcher_now();
		e->busy_at = now;
	}
	nt_run_deferred();
	return busy;
}

/* Lets channels that have been quiet for a while wait for their event. */
static void dispatcher_retire_quiet(struct dispatcher *d)
{
	uint64_t now = dispatcher_now();

	for (uint32_t i = 0; i < d->entry_count; i++) {
		struct dispatcher_entry *e = d->entries[i];

		if (!e || !e->polling || now - e->busy_at < d->spin_ns)
			continue;
		if (incoming_sleep(e->channel))
			e->busy_at = now;
		else
			dispatcher_set_polling(d, e, false);
	}
	nt_run_deferred();
}

static void dispatcher_take_event(struct dispatcher *d, uint64_t data)
{
	uint32_t index = (uint32_t)data, serial = (uint32_t)(data >> 32);
	struct dispatcher_entry *e = index < d->entry_count ? d->entries[index] : NULL;

	if (!e || e->serial != serial)
		return;
	partition_port_clear(e->channel->port);
	counter_add(&e->channel->statistics.signals_in, 1);
	dispatcher_set_polling(d, e, true);
	e->busy_at = dispatcher_now();
}

#define WAKE_DATA UINT64_MAX

static void dispatcher_take_events(struct dispatcher *d, const struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++) {
		uint64_t count;

		if (events[i].data.u64 != WAKE_DATA)
			dispatcher_take_event(d, events[i].data.u64);
		else if (read(d->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
			nt_log(NT_LOG_ERROR, "dispatcher", "reading its eventfd: %s",
			       strerror(errno));
	}
}

/* While some channels keep it busy the others' events count too. */
static void dispatcher_look_for_events(struct dispatcher *d)
{
	struct epoll_event events[DISPATCH_EVENTS];

	if (d->polling_count < d->attached_count)
		dispatcher_take_events(d, events, epoll_wait(d->epoll, events, DISPATCH_EVENTS, 0));
}

/* Those who wait for the round's end get it. */
static void dispatcher_yield(struct dispatcher *d)
{
	if (!atomic_load_explicit(&d->waiters, memory_order_relaxed))
		return;
	pthread_mutex_unlock(&d->round);
	while (atomic_load(&d->waiters))
		sched_yield();
	pthread_mutex_lock(&d->round);
}

/* Polls until every channel is quiet. Caller holds `round` and is at DISPATCH_LEVEL. */
static uint32_t dispatcher_run(struct dispatcher *d)
{
	uint32_t delivered = 0, quiet = 0, rounds = 0;

	for (;;) {
		dispatcher_take_kicks(d);
		if ((++rounds & EVENT_CHECK_MASK) == 0)
			dispatcher_look_for_events(d);
		if (!d->polling_count)
			return delivered;
		if (dispatcher_poll(d, &delivered)) {
			quiet = 0;
		} else {
			YieldProcessor();
			if ((++quiet & QUIET_CHECK_MASK) == 0 || d->spin_ns == 0)
				dispatcher_retire_quiet(d);
		}
		dispatcher_yield(d);
	}
}

/* ---- sleeping ---- */

/* A wake-up soon after falling asleep says: spin longer. A late one: it was in vain. */
static void dispatcher_adapt(struct dispatcher *d)
{
	uint64_t slept = dispatcher_now() - d->slept_at;

	if (dispatchers.spin_ns == 0)
		return;
	if (slept < dispatchers.spin_ns)
		d->spin_ns =
			d->spin_ns * 4 < dispatchers.spin_ns ? d->spin_ns * 4 : dispatchers.spin_ns;
	else if (d->spin_ns > SPIN_LEAST_NS)
		d->spin_ns /= 2;
}

/* Caller does not hold `round`. `timeout` as epoll_wait takes it. */
static int dispatcher_sleep(struct dispatcher *d, struct epoll_event *events, int timeout)
{
	int n;

	atomic_store(&d->sleeping, true);
	if (atomic_load(&d->any_kicked))
		timeout = 0;
	d->slept_at = dispatcher_now();
	n = epoll_wait(d->epoll, events, DISPATCH_EVENTS, timeout);
	atomic_store(&d->sleeping, false);
	return n;
}

static uint32_t dispatcher_turn(struct dispatcher *d, int timeout)
{
	struct epoll_event events[DISPATCH_EVENTS];
	int n = dispatcher_sleep(d, events, timeout);
	uint32_t delivered;
	KIRQL irql;

	pthread_mutex_lock(&d->round);
	dispatcher_adapt(d);
	dispatcher_take_events(d, events, n);
	KeRaiseIrql(DISPATCH_LEVEL, &irql);
	delivered = dispatcher_run(d);
	KeLowerIrql(irql);
	pthread_mutex_unlock(&d->round);
	return delivered;
}

static void *dispatcher_main(void *context)
{
	struct dispatcher *d = context;

	for (;;)
		dispatcher_turn(d, -1);
	return NULL;
}

/* ---- making them ---- */

static struct nt_log_account dispatchers_log;

static struct dispatcher *dispatcher_create(void)
{
	struct dispatcher *d = calloc(1, sizeof(*d));
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = WAKE_DATA };

	if (!d)
		return NULL;
	d->epoll = epoll_create1(EPOLL_CLOEXEC);
	d->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->spin_ns = dispatchers.spin_ns;
	pthread_mutex_init(&d->round, NULL);
	if (d->epoll < 0 || d->wake < 0 ||
	    epoll_ctl(d->epoll, EPOLL_CTL_ADD, d->wake, &event) < 0) {
		nt_log_limited(&dispatchers_log, NT_LOG_OPERATOR, NT_LOG_ERROR, "dispatcher",
		               "cannot be made: %s", strerror(errno));
		close(d->epoll);
		close(d->wake);
		free(d);
		return NULL;
	}
	return d;
}

static bool dispatcher_start(struct dispatcher *d, uint32_t number)
{
	char name[16];
	int error;

	snprintf(name, sizeof(name), "kmcl-dpc/%u", number % DISPATCHERS_MAX);
	error = -partition_start_thread(&d->thread, name, dispatcher_main, d);
	if (error) {
		nt_log_limited(&dispatchers_log, NT_LOG_OPERATOR, NT_LOG_ERROR, "dispatcher",
		               "no thread for dispatcher %u: %s", number, strerror(error));
		return false;
	}
	return true;
}

static uint32_t dispatchers_default_count(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (dispatchers.embedded || processors < 1)
		return 1;
	return processors < (long)DISPATCHERS_MAX ? (uint32_t)processors : DISPATCHERS_MAX;
}

/* As many as there can be. */
static uint32_t dispatchers_start_some(void)
{
	uint32_t started = 0;

	while (started < dispatchers.count && dispatcher_start(dispatchers.list[started], started))
		started++;
	return started;
}

/* They are made with the first channel and last as long as the process. */
static bool dispatchers_start_locked(void)
{
	if (dispatchers.started)
		return true;
	dispatchers.spin_ns = spin_limit();
	if (!dispatchers.count)
		dispatchers.count = dispatchers_default_count();
	for (uint32_t i = 0; i < dispatchers.count; i++) {
		if (!dispatchers.list[i])
			dispatchers.list[i] = dispatcher_create();
		if (!dispatchers.list[i])
			return false;
	}
	if (!dispatchers.embedded)
		dispatchers.count = dispatchers_start_some();
	dispatchers.started = dispatchers.count;
	return dispatchers.started;
}

static struct dispatcher *dispatchers_choose(void)
{
	struct dispatcher *d = NULL;

	pthread_mutex_lock(&dispatchers.lock);
	if (dispatchers_start_locked())
		d = dispatchers.list[dispatchers.next++ % dispatchers.count];
	pthread_mutex_unlock(&dispatchers.lock);
	return d;
}

NTSTATUS kmcl_dispatch_configure(const struct kmcl_dispatch_settings *settings)
{
	NTSTATUS status = STATUS_SUCCESS;

	if (!settings || settings->size != sizeof(*settings) ||
	    settings->dispatchers > DISPATCHERS_MAX)
		return STATUS_INVALID_PARAMETER;
	pthread_mutex_lock(&dispatchers.lock);
	if (dispatchers.started) {
		status = STATUS_INVALID_DEVICE_STATE;
	} else {
		dispatchers.count = settings->embedded ? 1 : settings->dispatchers;
		dispatchers.spin_ns = settings->spin_us * 1000ull;
		dispatchers.spin_set = true;
		dispatchers.embedded = settings->embedded;
	}
	pthread_mutex_unlock(&dispatchers.lock);
	return status;
}

static struct dispatcher *dispatcher_embedded(void)
{
	struct dispatcher *d = NULL;

	pthread_mutex_lock(&dispatchers.lock);
	if (dispatchers.embedded && dispatchers_start_locked())
		d = dispatchers.list[0];
	pthread_mutex_unlock(&dispatchers.lock);
	return d;
}

int kmcl_dispatch_fd(void)
{
	struct dispatcher *d = dispatcher_embedded();

	return d ? d->epoll : -1;
}

uint32_t kmcl_dispatch(uint32_t spin_us)
{
	struct dispatcher *d = dispatcher_embedded();

	if (!d)
		return 0;
	d->spin_ns = spin_us * 1000ull;
	return dispatcher_turn(d, 0);
}

/* ---- channels ---- */

static void dispatcher_lock(struct dispatcher *d)
{
	atomic_fetch_add(&d->waiters, 1);
	pthread_mutex_lock(&d->round);
	atomic_fetch_sub(&d->waiters, 1);
}

static bool dispatcher_insert_locked(struct dispatcher *d, struct dispatcher_entry *e)
{
	for (e->index = 0; e->index < d->entry_count; e->index++)
		if (!d->entries[e->index])
			break;
	if (e->index == d->entry_capacity) {
		uint32_t capacity = d->entry_capacity ? 2 * d->entry_capacity : 16;
		struct dispatcher_entry **entries =
			reallocarray(d->entries, capacity, sizeof(struct dispatcher_entry *));

		if (!entries)
			return false;
		d->entries = entries;
		d->entry_capacity = capacity;
	}
	if (e->index == d->entry_count)
		d->entry_count++;
	d->entries[e->index] = e;
	e->serial = ++d->serial;
	return true;
}

NTSTATUS dispatcher_attach(struct channel *ch)
{
	struct dispatcher *d = dispatchers_choose();
	struct dispatcher_entry *e = &ch->dispatcher;
	struct epoll_event event = { .events = EPOLLIN };
	bool inserted;

	if (!d)
		return STATUS_INSUFFICIENT_RESOURCES;
	e->channel = ch;
	atomic_store(&e->kicked, false);
	dispatcher_lock(d);
	inserted = dispatcher_insert_locked(d, e);
	event.data.u64 = (uint64_t)e->serial << 32 | e->index;
	if (inserted && ch->port &&
	    epoll_ctl(d->epoll, EPOLL_CTL_ADD, partition_port_fd(ch->port), &event) < 0) {
		d->entries[e->index] = NULL;
		inserted = false;
	}
	d->attached_count += inserted;
	pthread_mutex_unlock(&d->round);
	if (!inserted)
		return STATUS_INSUFFICIENT_RESOURCES;
	atomic_store(&e->dispatcher, d);
	return STATUS_SUCCESS;
}

void dispatcher_detach(struct channel *ch)
{
	struct dispatcher_entry *e = &ch->dispatcher;
	struct dispatcher *d = atomic_load(&e->dispatcher);

	if (!d)
		return;
	dispatcher_lock(d);
	if (ch->port)
		epoll_ctl(d->epoll, EPOLL_CTL_DEL, partition_port_fd(ch->port), NULL);
	dispatcher_set_polling(d, e, false);
	d->entries[e->index] = NULL;
	d->attached_count--;
	atomic_store(&e->dispatcher, NULL);
	pthread_mutex_unlock(&d->round);
}

void dispatcher_kick(struct channel *ch)
{
	struct dispatcher_entry *e = &ch->dispatcher;
	struct dispatcher *d = atomic_load(&e->dispatcher);
	uint64_t one = 1;

	if (!d)
		return;
	atomic_store(&e->kicked, true);
	atomic_store(&d->any_kicked, true);
	if (atomic_load(&d->sleeping) && write(d->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
		nt_log(NT_LOG_ERROR, "dispatcher", "waking it: %s", strerror(errno));
}
