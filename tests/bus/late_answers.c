/* SPDX-License-Identifier: BSD-2-Clause */

/* Answers that come when the client has given up on them: what the host has by then is taken back,
 * in each order of what happens. */

#include "fixture.h"

static const struct client_open ring = { .ring_gpadl = 1, .ring_offset = 4 };
static const struct client_open ring_again = { .ring_gpadl = 2, .ring_offset = 4 };

#define OPEN_1 "< OPEN_CHANNEL 1 open=1 gpadl=1 vp=0 offset=4 data=0 conn=0x0 flag=0 size=148\n"
#define OPEN_2 "< OPEN_CHANNEL 1 open=2 gpadl=2 vp=0 offset=4 data=0 conn=0x0 flag=0 size=148\n"

static struct fixture *connected(void)
{
	struct fixture *f = client_fixture();

	client_connect_at(f, WIRE_VERSION_5_3);
	host_offer(f, 1);
	forget(f);
	return f;
}

/* Opened, not answered, and given up: GPADL 1 has the rings. */
static struct fixture *abandoned(void)
{
	struct fixture *f = connected();

	assert_int_equal(client_gpadl_of(f, 1, 4), 1);
	assert_int_equal(client_open(f->client, 1, &ring), 0);
	expect(f, OPEN_1);
	assert_int_equal(client_close(f->client, 1), 0);
	expect(f, "");
	return f;
}

static uint32_t asked_gpadl(struct fixture *f)
{
	static const uint64_t pfn = 7;
	struct bus_gpa_range range = { 4096, 0, &pfn };
	uint32_t gpadl;

	assert_int_equal(client_gpadl_create(f->client, 1, &range, 1, &gpadl), 0);
	forget(f);
	return gpadl;
}

/* ---------------- an open ---------------- */

static void opened_late_is_closed(void **state)
{
	struct fixture *f = abandoned();

	(void)state;
	host_open_result(f, 1, 1, BUS_STATUS_SUCCESS);
	expect(f, "< CLOSE_CHANNEL 1\n");
	assert_int_equal(client_gpadl_teardown(f->client, 1, 1), 0);
	expect(f, "< GPADL_TEARDOWN 1 gpadl=1\n");
	host_gpadl_torndown(f, 1);
	expect(f, "gpadl_torndown 1 gpadl=1\n");
	host_open_result(f, 1, 1, BUS_STATUS_SUCCESS); /* once is enough */
	expect(f, "fault OPEN_CHANNEL_RESULT: answers no open of that channel\n");
	fixture_end(f);
}

static void refused_late_needs_no_close(void **state)
{
	struct fixture *f = abandoned();

	(void)state;
	host_open_result(f, 1, 1, 0x103); /* not 0, so not open */
	expect(f, "");
	assert_int_equal(client_close(f->client, 1), -1);
	fixture_end(f);
}

/* The host may yet take the rings up: they are torn down once it has said, and not before. */
static void rings_stay_until_the_open_is_answered(void **state)
{
	static const uint32_t statuses[] = { BUS_STATUS_SUCCESS, BUS_STATUS_UNSUCCESSFUL };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct fixture *f = abandoned();

		assert_int_equal(client_gpadl_teardown(f->client, 1, 1), 0);
		assert_int_equal(client_gpadl_teardown(f->client, 1, 1), -1);
		expect(f, "");
		host_gpadl_torndown(f, 1); /* nobody said so yet */
		expect(f, "fault GPADL_TORNDOWN: that GPADL was not being torn down\n");
		host_open_result(f, 1, 1, statuses[i]);
		expect(f, i == 0 ? "< CLOSE_CHANNEL 1\n< GPADL_TEARDOWN 1 gpadl=1\n"
		                 : "< GPADL_TEARDOWN 1 gpadl=1\n");
		host_gpadl_torndown(f, 1);
		expect(f, "gpadl_torndown 1 gpadl=1\n");
		fixture_end(f);
	}
}

static void other_gpadls_do_not_wait(void **state)
{
	struct fixture *f = abandoned();
	uint32_t other = client_gpadl_of(f, 1, 1);

	(void)state;
	assert_int_equal(client_gpadl_teardown(f->client, 1, other), 0);
	expect(f, "< GPADL_TEARDOWN 1 gpadl=2\n");
	fixture_end(f);
}

static void opened_again_after_the_answer(void **state)
{
	struct fixture *f = abandoned();

	(void)state;
	client_gpadl_teardown(f->client, 1, 1);
	assert_int_equal(client_gpadl_of(f, 1, 4), 2);
	assert_int_equal(client_open(f->client, 1, &ring_again), 0);
	assert_int_equal(client_open(f->client, 1, &ring_again), -1); /* one at a time */
	expect(f, "");
	host_open_result(f, 1, 1, BUS_STATUS_SUCCESS);
	expect(f, "< CLOSE_CHANNEL 1\n< GPADL_TEARDOWN 1 gpadl=1\n" OPEN_2);
	host_open_result(f, 1, 2, BUS_STATUS_SUCCESS);
	expect(f, "opened 1 open=2 0x0\n");
	assert_int_equal(client_close(f->client, 1), 0);
	expect(f, "< CLOSE_CHANNEL 1\n");
	fixture_end(f);
}

static void opened_again_and_given_up_again(void **state)
{
	struct fixture *f = abandoned();

	(void)state;
	assert_int_equal(client_gpadl_of(f, 1, 4), 2);
	client_open(f->client, 1, &ring_again);
	assert_int_equal(client_close(f->client, 1), 0);
	assert_int_equal(client_close(f->client, 1), -1);
	/* What it never was opened with goes at once. */
	assert_int_equal(client_gpadl_teardown(f->client, 1, 2), 0);
	expect(f, "< GPADL_TEARDOWN 1 gpadl=2\n");
	host_open_result(f, 1, 1, BUS_STATUS_SUCCESS);
	expect(f, "< CLOSE_CHANNEL 1\n");
	fixture_end(f);
}

static void answered_after_it_was_opened_again_and_refused(void **state)
{
	struct fixture *f = abandoned();

	(void)state;
	client_open(f->client, 1, &ring_again);
	host_open_result(f, 1, 2, BUS_STATUS_SUCCESS); /* not even sent */
	expect(f, "fault OPEN_CHANNEL_RESULT: answers no open of that channel\n");
	host_open_result(f, 1, 1, BUS_STATUS_UNSUCCESSFUL);
	expect(f, OPEN_2);
	host_open_result(f, 1, 2, BUS_STATUS_UNSUCCESSFUL);
	expect(f, "opened 1 open=2 0xc0000001\n");
	fixture_end(f);
}

static void rescinded_before_it_was_answered(void **state)
{
	struct fixture *f = abandoned();

	(void)state;
	client_gpadl_teardown(f->client, 1, 1);
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 1);
	expect(f, "gpadl_torndown 1 gpadl=1\nrescind 1\n");
	host_open_result(f, 1, 1, BUS_STATUS_SUCCESS);
	expect(f, "");
	assert_int_equal(client_release(f->client, 1), 0);
	expect(f, "< RELID_RELEASED 1\n");
	fixture_end(f);
}

static void rescinded_while_it_is_to_be_opened_again(void **state)
{
	struct fixture *f = abandoned();

	(void)state;
	client_open(f->client, 1, &ring_again);
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 1);
	expect(f, "opened 1 open=1 0xc0000001\nrescind 1\n");
	assert_int_equal(client_close(f->client, 1), -1);
	assert_int_equal(client_release(f->client, 1), 0);
	forget(f);
	fixture_end(f);
}

static void the_host_is_gone_before_it_answered(void **state)
{
	struct fixture *f = abandoned();

	(void)state;
	client_gpadl_teardown(f->client, 1, 1);
	client_reset(f->client);
	expect(f, "gpadl_torndown 1 gpadl=1\nrescind 1\n");
	assert_int_equal(f->memory.blocks, 1);
	fixture_end(f);
}

static void goodbye_before_it_was_answered(void **state)
{
	struct fixture *f = connected();

	(void)state;
	client_gpadl_of(f, 1, 4);
	client_open(f->client, 1, &ring);
	client_unload(f->client);
	forget(f);
	assert_int_equal(client_close(f->client, 1), 0);
	assert_int_equal(client_gpadl_teardown(f->client, 1, 1), 0);
	host_open_result(f, 1, 1, BUS_STATUS_SUCCESS); /* not heard any more */
	expect(f, "");
	host_header_only(f, WIRE_UNLOAD_COMPLETE);
	expect(f, "gpadl_torndown 1 gpadl=1\nrescind 1\nunloaded\n");
	fixture_end(f);
}

/* ---------------- a GPADL ---------------- */

static void created_late_is_torn_down(void **state)
{
	struct fixture *f = connected();
	uint32_t gpadl = asked_gpadl(f);

	(void)state;
	assert_int_equal(client_gpadl_teardown(f->client, 1, gpadl), 0);
	assert_int_equal(client_gpadl_teardown(f->client, 1, gpadl), -1);
	expect(f, "");
	host_gpadl_torndown(f, gpadl);
	expect(f, "fault GPADL_TORNDOWN: that GPADL was not being torn down\n");
	host_gpadl_created(f, 1, gpadl, BUS_STATUS_SUCCESS);
	expect(f, "< GPADL_TEARDOWN 1 gpadl=1\n");
	host_gpadl_torndown(f, gpadl);
	expect(f, "gpadl_torndown 1 gpadl=1\n");
	fixture_end(f);
}

static void refused_late_is_gone(void **state)
{
	struct fixture *f = connected();
	uint32_t gpadl = asked_gpadl(f);

	(void)state;
	client_gpadl_teardown(f->client, 1, gpadl);
	host_gpadl_created(f, 1, gpadl, 0x40000000); /* not 0, so refused */
	expect(f, "gpadl_torndown 1 gpadl=1\n");
	host_gpadl_created(f, 1, gpadl, BUS_STATUS_SUCCESS);
	expect(f, "fault GPADL_CREATED: that GPADL was not asked for\n");
	fixture_end(f);
}

static void unwanted_and_rescinded(void **state)
{
	struct fixture *f = connected();
	uint32_t gpadl = asked_gpadl(f);

	(void)state;
	client_gpadl_teardown(f->client, 1, gpadl);
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 1);
	expect(f, "gpadl_torndown 1 gpadl=1\nrescind 1\n");
	host_gpadl_created(f, 1, gpadl, BUS_STATUS_SUCCESS);
	expect(f, "");
	fixture_end(f);
}

/* ---------------- a modify ---------------- */

static struct fixture *opened(void)
{
	struct fixture *f = connected();

	client_open(f->client, 1, &ring);
	host_open_result(f, 1, 1, BUS_STATUS_SUCCESS);
	client_modify(f->client, 1, 2);
	forget(f);
	return f;
}

static void modified_late_is_not_heard(void **state)
{
	struct fixture *f = opened();

	(void)state;
	client_modify_give_up(f->client, 1);
	client_modify_give_up(f->client, 1); /* nothing to give up */
	host_modify_response(f, 1, BUS_STATUS_SUCCESS);
	expect(f, "");
	host_modify_response(f, 1, BUS_STATUS_SUCCESS);
	expect(f, "fault MODIFY_CHANNEL_RESPONSE: answers no request\n");
	fixture_end(f);
}

/* The host has lost one, or answers both late: the next one works either way. */
static void modified_again(void **state)
{
	(void)state;
	for (int late = 0; late < 2; late++) {
		struct fixture *f = opened();

		client_modify_give_up(f->client, 1);
		assert_int_equal(client_modify(f->client, 1, 3), 0);
		assert_int_equal(client_modify(f->client, 1, 3), -1);
		expect(f, "< MODIFY_CHANNEL 1 vp=3\n");
		host_modify_response(f, 1, BUS_STATUS_SUCCESS);
		expect(f, "modified 1 0x0\n");
		if (late)
			host_modify_response(f, 1, BUS_STATUS_SUCCESS);
		expect(f, "");
		assert_int_equal(client_modify(f->client, 1, 4), 0);
		host_modify_response(f, 1, 1);
		expect(f, "< MODIFY_CHANNEL 1 vp=4\nmodified 1 0xc0000001\n");
		fixture_end(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opened_late_is_closed),
		cmocka_unit_test(refused_late_needs_no_close),
		cmocka_unit_test(rings_stay_until_the_open_is_answered),
		cmocka_unit_test(other_gpadls_do_not_wait),
		cmocka_unit_test(opened_again_after_the_answer),
		cmocka_unit_test(opened_again_and_given_up_again),
		cmocka_unit_test(answered_after_it_was_opened_again_and_refused),
		cmocka_unit_test(rescinded_before_it_was_answered),
		cmocka_unit_test(rescinded_while_it_is_to_be_opened_again),
		cmocka_unit_test(the_host_is_gone_before_it_answered),
		cmocka_unit_test(goodbye_before_it_was_answered),
		cmocka_unit_test(created_late_is_torn_down),
		cmocka_unit_test(refused_late_is_gone),
		cmocka_unit_test(unwanted_and_rescinded),
		cmocka_unit_test(modified_late_is_not_heard),
		cmocka_unit_test(modified_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
