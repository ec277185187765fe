/* SPDX-License-Identifier: BSD-2-Clause */

#include "kmcl/interrupts.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

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
	    partition_start_thread(&i->thread, "kmcl-interrupts", interrupts_main, i) != 0) {
		interrupts_free(i);
		return NULL;
	}
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
