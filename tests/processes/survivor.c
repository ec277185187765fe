/* SPDX-License-Identifier: BSD-2-Clause */

#include "survivor.h"

#include <string.h>
#include <unistd.h>

#define THREADS_MORE 4u /* that nt's work pool keeps for the next item */

struct process survivor_open(struct survivor *s, const char *victim)
{
	struct process host = { 0 };
	unsigned tries = 0;

	*s = (struct survivor){ .victim = victim, .uri = process_new_uri() };
	s->is_host = strcmp(victim, "guest") == 0;
	if (!s->is_host) {
		host = process_start(victim, s->uri);
		while (access(s->uri + strlen("unix:"), F_OK) && tries++ < PROCESS_WAIT_MS)
			usleep(1000);
	}
	s->t = traffic_open(s->is_host, s->uri);
	return host;
}

/* (O(SPU)?C)?, or F: all that a channel may have gone through. */
static bool trace_is_in_order(const char *trace)
{
	static const char *const orders[] = { "", "OC", "OSPUC", "F" };

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		if (strcmp(trace, orders[i]) == 0)
			return true;
	return false;
}

/* Works as before: every kind of traffic comes through. */
void survivor_expect_progress(struct survivor *s)
{
	uint64_t until = process_now_ms() + PROCESS_WAIT_MS;
	struct traffic_counts before = traffic_counts(s->t), now;

	do {
		if (process_now_ms() > until) {
			traffic_describe(s->t);
			fail_msg("nothing comes through");
		}
		usleep(500);
		now = traffic_counts(s->t);
	} while (!traffic_is_active(s->t) || now.answered < before.answered + 20 ||
	         now.received < before.received + 20 ||
	         (!s->is_host && (now.external == before.external || now.gpadls == before.gpadls ||
	                          now.requests == before.requests)));
}

/* Or less: when it was taken, something of the round before may still have been going. What leaks
 * does so each round. */
static bool usage_is_back(const struct survivor *s)
{
	struct process_usage now = process_usage();

	return now.descriptors <= s->usage.descriptors && now.maps <= s->usage.maps &&
	       now.pool <= s->usage.pool && now.threads <= s->usage.threads + THREADS_MORE;
}

static void fail_over_usage(const struct survivor *s)
{
	struct process_usage now = process_usage();

	process_list_descriptors();
	fail_msg("then and now: %u and %u descriptors, %u and %u mappings, %llu and %llu bytes of "
	         "the pool, %u and %u threads",
	         s->usage.descriptors, now.descriptors, s->usage.maps, now.maps,
	         (unsigned long long)s->usage.pool, (unsigned long long)now.pool, s->usage.threads,
	         now.threads);
}

void survivor_expect_settled(struct survivor *s, bool warm)
{
	uint64_t killed = process_now_ms(), late = killed + PROCESS_SOON_MS;
	char trace[64];

	while (!traffic_is_settled(s->t)) {
		if (process_now_ms() > late) {
			traffic_describe(s->t);
			fail_msg("not settled %u ms after the kill", PROCESS_SOON_MS);
		}
		usleep(500);
	}
	if (process_now_ms() - killed > s->slowest)
		s->slowest = process_now_ms() - killed;
	while (warm && !usage_is_back(s)) {
		if (process_now_ms() > late)
			fail_over_usage(s);
		usleep(500);
	}
	traffic_take_trace(s->t, trace);
	if (!trace_is_in_order(trace))
		fail_msg("callbacks came as %s", trace);
	s->opened += trace[0] == 'O';
}
