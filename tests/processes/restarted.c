/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The other end goes of its own will, in the middle of traffic: it closes everything, it calls
 * exit() with its threads running, or _exit(). All three are good ends, and the next process takes
 * its place.
 */

#include "survivor.h"

#include <unistd.h>

#define RESTARTS ROUNDS(12u)

static void leave(struct survivor *s, struct process *other, unsigned round)
{
	static const enum process_order orders[] = { PROCESS_QUIT, PROCESS_EXIT, PROCESS_LEAVE };
	bool warm = round >= 3;

	survivor_expect_progress(s);
	process_order(other, orders[round % 3]);
	process_wait(other);
	survivor_expect_settled(s, warm);
	if (!warm)
		s->usage = process_usage();
}

static void host_restarts(void **state)
{
	struct survivor s;
	struct process host = survivor_open(&s, "host");

	for (unsigned i = 0; i < RESTARTS; i++) {
		leave(&s, &host, i);
		host = process_start(s.victim, s.uri);
		traffic_enable(s.t);
	}
	survivor_expect_progress(&s);
	process_order(&host, PROCESS_QUIT);
	traffic_close(s.t);
	process_wait(&host);
}

static void guest_restarts(void **state)
{
	struct survivor s;

	survivor_open(&s, "guest");
	for (unsigned i = 0; i < RESTARTS; i++) {
		struct process guest = process_start(s.victim, s.uri);

		leave(&s, &guest, i);
	}
	traffic_close(s.t);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_restarts),
		cmocka_unit_test(guest_restarts),
	};

	process_main(argc, argv);
	return cmocka_run_group_tests_name("restarted", tests, NULL, NULL);
}
