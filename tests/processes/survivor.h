/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_PROCESSES_SURVIVOR_H
#define TESTS_PROCESSES_SURVIVOR_H

/* The test's own end, which has to survive what happens to the other one's process. */

#include "process.h"
#include "traffic.h"

struct survivor {
	struct traffic *t;
	bool is_host;
	const char *victim; /* the other end's role */
	const char *uri;
	struct process_usage usage; /* what it comes back to */
	uint64_t slowest;           /* ms from a death to the end of it */
	unsigned opened;            /* deaths of an open channel */
};

/* Opens the end that `victim` is not. Of a guest the host is started first and returned; a host is
 * alone: pid 0. */
struct process survivor_open(struct survivor *s, const char *victim);
/* Every kind of traffic comes through. */
void survivor_expect_progress(struct survivor *s);
/* The other end has just gone: within PROCESS_SOON_MS the channel closes in order, every packet is
 * back, and, with `usage`, so is everything else. */
void survivor_expect_settled(struct survivor *s, bool usage);

#endif
