/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The other end's process is stopped: it is there, and answers nothing. Closing has a limit then,
 * and when the other end wakes up the two work on.
 */

#include "survivor.h"

#include <unistd.h>

/* What a guest waits for its host: 10 s to get its rings back, 5 s for the goodbye. */
#define RINGS_LIMIT_MS   10000u
#define GOODBYE_LIMIT_MS 5000u
#define MORE_MS          PROCESS_SOON_MS

static void disable_within(struct survivor *s, uint64_t limit)
{
	uint64_t begun = process_now_ms();

	VmbChannelDisable(traffic_channel(s->t));
	if (process_now_ms() - begun > limit)
		fail_msg("VmbChannelDisable took %llu ms",
		         (unsigned long long)(process_now_ms() - begun));
}

static void close_within(struct survivor *s, uint64_t limit)
{
	uint64_t begun = process_now_ms();

	traffic_close(s->t);
	if (process_now_ms() - begun > limit)
		fail_msg("closing took %llu ms", (unsigned long long)(process_now_ms() - begun));
}

static void expect_closed(struct survivor *s)
{
	char trace[64];

	traffic_take_trace(s->t, trace);
	assert_string_equal(trace, "OSPUC");
}

/* With nothing of the driver's in the host's hands, it can do without an answer. */
static void guest_closes_on_stopped_host(void **state)
{
	struct survivor s;
	struct process host = survivor_open(&s, "host");

	survivor_expect_progress(&s);
	traffic_hold(s.t, TRAFFIC_DATA);
	process_stop(&host);
	disable_within(&s, RINGS_LIMIT_MS + MORE_MS);
	expect_closed(&s);
	process_continue(&host);
	traffic_hold(s.t, 0);
	traffic_enable(s.t);
	survivor_expect_progress(&s);
	process_kill(&host);
	traffic_close(s.t);
}

static void *disable(void *channel)
{
	VmbChannelDisable(channel);
	return NULL;
}

/* However long that takes: a host that wakes up may write to the memory that those packets name. */
static void external_data_is_not_given_back_before_the_host_says_so(void **state)
{
	struct survivor s;
	struct process host = survivor_open(&s, "host");
	pthread_t thread;

	traffic_hold(s.t, TRAFFIC_STREAMS); /* then the data is in the ring, and not in the queue */
	survivor_expect_progress(&s);
	process_stop(&host);
	assert_int_equal(pthread_create(&thread, NULL, disable, traffic_channel(s.t)), 0);
	usleep((RINGS_LIMIT_MS + MORE_MS) * 1000);
	assert_true(traffic_has_come_to(s.t, 'U'));
	assert_false(traffic_has_come_to(s.t, 'C'));
	traffic_hold(s.t, 0);
	process_continue(&host);
	pthread_join(thread, NULL);
	expect_closed(&s);
	traffic_enable(s.t);
	survivor_expect_progress(&s);
	process_kill(&host);
	traffic_close(s.t);
}

/* Nor does a close hang for ever: a host that is gone writes nothing more. */
static void external_data_is_given_back_when_the_host_dies(void **state)
{
	struct survivor s;
	struct process host = survivor_open(&s, "host");
	pthread_t thread;

	traffic_hold(s.t, TRAFFIC_STREAMS);
	survivor_expect_progress(&s);
	process_stop(&host);
	assert_int_equal(pthread_create(&thread, NULL, disable, traffic_channel(s.t)), 0);
	usleep(2000000); /* it has complained */
	assert_false(traffic_has_come_to(s.t, 'C'));
	process_kill(&host);
	survivor_expect_settled(&s, false);
	pthread_join(thread, NULL);
	traffic_close(s.t);
}

struct deletion {
	VMBCHANNEL channel;
	uint32_t gpadl;
	_Atomic(bool) done;
};

static void *delete_gpadl(void *context)
{
	struct deletion *deletion = context;

	VmbChannelDeleteGpadl(deletion->channel, deletion->gpadl);
	atomic_store(&deletion->done, true);
	return NULL;
}

/* However long that takes: the host may write to that memory until it has said that it does not. */
static void gpadl_is_not_deleted_before_the_host_says_so(void **state)
{
	struct survivor s;
	struct process host = survivor_open(&s, "host");
	struct deletion deletion = { .channel = traffic_channel(s.t) };
	void *memory = ExAllocatePool2(POOL_FLAG_NON_PAGED, 8192, 'tset');
	pthread_t thread;

	survivor_expect_progress(&s);
	assert_int_equal(
		VmbChannelCreateGpadlFromBuffer(deletion.channel, 0, memory, 8192, &deletion.gpadl),
		STATUS_SUCCESS);
	process_stop(&host);
	assert_int_equal(pthread_create(&thread, NULL, delete_gpadl, &deletion), 0);
	usleep(3500000); /* it has complained twice */
	assert_false(atomic_load(&deletion.done));
	process_continue(&host);
	pthread_join(thread, NULL);
	survivor_expect_progress(&s);
	ExFreePoolWithTag(memory, 'tset');
	process_kill(&host);
	traffic_close(s.t);
}

static void guest_leaves_stopped_host(void **state)
{
	struct survivor s;
	struct process host = survivor_open(&s, "host");

	survivor_expect_progress(&s);
	disable_within(&s, MORE_MS);
	while (!traffic_is_idle(s.t)) /* of a GPADL's deletion, which has no limit */
		usleep(500);
	process_stop(&host);
	close_within(&s, GOODBYE_LIMIT_MS + MORE_MS);
	process_kill(&host);
}

/* What a stopped guest holds up is nobody's but its own. */
static void host_revokes_from_stopped_guest(void **state)
{
	struct survivor s;
	struct process guest;

	survivor_open(&s, "guest");
	guest = process_start("guest", s.uri);
	survivor_expect_progress(&s);
	process_stop(&guest);
	disable_within(&s, MORE_MS);
	expect_closed(&s);
	assert_int_equal(VmbChannelEnable(traffic_channel(s.t)), STATUS_SUCCESS);
	VmbChannelStart(traffic_channel(s.t));
	process_continue(&guest);
	survivor_expect_progress(&s);
	process_kill(&guest);
	traffic_close(s.t);
}

static void host_leaves_stopped_guest(void **state)
{
	struct survivor s;
	struct process guest;

	survivor_open(&s, "guest");
	guest = process_start("guest", s.uri);
	survivor_expect_progress(&s);
	process_stop(&guest);
	close_within(&s, MORE_MS);
	process_kill(&guest);
}

/* Stopped for longer than anything takes, and killed without waking up. */
static void stopped_guest_is_killed(void **state)
{
	struct survivor s;
	struct process guest;

	survivor_open(&s, "guest");
	guest = process_start("guest", s.uri);
	survivor_expect_progress(&s);
	process_stop(&guest);
	usleep(300000);
	process_kill(&guest);
	survivor_expect_settled(&s, false);
	traffic_close(s.t);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guest_closes_on_stopped_host),
		cmocka_unit_test(external_data_is_not_given_back_before_the_host_says_so),
		cmocka_unit_test(external_data_is_given_back_when_the_host_dies),
		cmocka_unit_test(gpadl_is_not_deleted_before_the_host_says_so),
		cmocka_unit_test(guest_leaves_stopped_host),
		cmocka_unit_test(host_revokes_from_stopped_guest),
		cmocka_unit_test(host_leaves_stopped_guest),
		cmocka_unit_test(stopped_guest_is_killed),
	};

	process_main(argc, argv);
	return cmocka_run_group_tests_name("stopped", tests, NULL, NULL);
}
