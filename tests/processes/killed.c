/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Either end is killed at a random moment, again and again: while it starts, while the channel
 * opens, in the middle of all kinds of traffic. The survivor sees the channel close in order,
 * within a second, has every packet back, keeps nothing, and works on with the next one.
 */

#include "survivor.h"

#include <unistd.h>

#define WARM_UP       6u /* rounds after which nothing more may be kept */
#define MOMENT_US     30000u
#define RESIDENT_MORE (16u << 20)

static void one_round(struct survivor *s, unsigned number)
{
	struct process victim = process_start(s->victim, s->uri);

	traffic_enable(s->t);
	switch (process_random(6)) {
	case 0: /* in the middle of connecting */
		usleep(process_random(MOMENT_US));
		break;
	case 1: /* in the middle of starting */
		while (!traffic_has_come_to(s->t, 'S'))
			usleep(100);
		break;
	default:
		survivor_expect_progress(s);
		usleep(process_random(MOMENT_US));
	}
	process_kill(&victim);
	survivor_expect_settled(s, number > WARM_UP);
	if (number == WARM_UP)
		s->usage = process_usage();
}

static void rounds(struct survivor *s)
{
	unsigned count = process_rounds(100);
	struct traffic_counts counts;
	uint64_t resident;

	for (unsigned i = 1; i <= count; i++)
		one_round(s, i);
	resident = process_usage().resident;
	if (count > WARM_UP && !SANITIZED)
		assert_true(resident < s->usage.resident + RESIDENT_MORE);
	counts = traffic_counts(s->t);
	print_message("# %u rounds, %u with an open channel, the slowest end took %llu ms; "
	              "%llu packets sent, %llu of them cancelled, %llu received\n",
	              count, s->opened, (unsigned long long)s->slowest,
	              (unsigned long long)counts.sent, (unsigned long long)counts.cancelled,
	              (unsigned long long)counts.received);
	traffic_close(s->t);
}

static void guest_is_killed(void **state)
{
	struct survivor s;

	process_seed();
	survivor_open(&s, "guest");
	rounds(&s);
}

static void host_is_killed(void **state)
{
	struct survivor s;
	struct process first;

	process_seed();
	first = survivor_open(&s, "host");
	survivor_expect_progress(&s);
	process_kill(&first);
	survivor_expect_settled(&s, false);
	rounds(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guest_is_killed),
		cmocka_unit_test(host_is_killed),
	};

	process_main(argc, argv);
	if (argc == 2)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("killed", tests, NULL, NULL);
}
