/* SPDX-License-Identifier: BSD-2-Clause */
/* Rounds with a budget, and when which end is owed a signal. */
#include "fixture.h"

static struct direction d;
static uint32_t taken;

static void open_direction(void)
{
	struct packet_limits limits = limits_of(true, false);

	memset(&d, 0, sizeof(d));
	direction_open(&d, MIRRORED, &limits);
	taken = 0;
}

/* True: the reader has to be signalled. */
static bool send(uint32_t count)
{
	static const uint8_t payload[100];

	for (uint32_t i = 0; i < count; i++) {
		struct packet_out out;

		packet_out_begin(&out, WIRE_PACKET_DATA_INBAND, false);
		packet_out_payload(&out, false, payload, sizeof(payload));
		if (packet_out_write(&d.w, &out) != RING_OK)
			break;
	}
	return ring_write_publish(&d.w);
}

static bool take_one(void *context)
{
	struct ring_packet packet = { 0 };
	struct packet_in in;
	uint64_t headers[18];
	uint8_t payload[100];

	if (packet_read_next(&d.r, &packet) != PACKET_DATA)
		return false;
	assert_true(packet_read_take(&d.r, &packet, headers, payload, &in));
	taken++;
	return true;
}

static void a_budget_ends_a_round(void **state)
{
	bool pause;

	open_direction();
	send(10);
	assert_int_equal(packet_read_drain(&d.r, 4, take_one, NULL, &pause), 4);
	assert_false(pause);
	assert_int_equal(packet_read_drain(&d.r, 6, take_one, NULL, &pause), 6);
	assert_true(pause); /* used up, but that was all */
	assert_int_equal(packet_read_drain(&d.r, 6, take_one, NULL, &pause), 0);
	assert_true(pause);
	assert_int_equal(packet_read_drain(&d.r, 0, take_one, NULL, &pause), 0);
	assert_int_equal(taken, 10);
	direction_close(&d);
}

static void who_polls_gets_no_signal(void **state)
{
	bool signal, pause;

	open_direction();
	assert_true(send(1));
	packet_read_poll(&d.r);
	packet_read_drain(&d.r, 16, take_one, NULL, &pause);
	assert_false(send(1));
	/* It looks once more before it sleeps, and goes on polling then. */
	assert_true(packet_read_sleep(&d.r, &signal));
	assert_false(signal);
	assert_false(send(1));
	packet_read_drain(&d.r, 16, take_one, NULL, &pause);
	assert_int_equal(taken, 3);
	assert_false(packet_read_sleep(&d.r, &signal));
	assert_true(send(1));
	direction_close(&d);
}

/* A round beside who polls, or beside nobody. */
static void a_helper_leaves_it_as_it_was(void **state)
{
	bool signal, pause;

	open_direction();
	packet_read_mask(&d.r);
	assert_false(d.r.polling);
	assert_false(send(1));
	packet_read_drain(&d.r, 16, take_one, NULL, &pause);
	assert_false(packet_read_sleep(&d.r, &signal));
	assert_true(send(1));
	packet_read_poll(&d.r);
	packet_read_mask(&d.r);
	packet_read_drain(&d.r, 16, take_one, NULL, &pause);
	assert_true(d.r.polling);
	/* Ended with something else than a signal to come: it stays masked, and is again. */
	packet_read_leave(&d.r);
	assert_false(send(1));
	packet_read_poll(&d.r);
	packet_read_drain(&d.r, 16, take_one, NULL, &pause);
	assert_false(packet_read_sleep(&d.r, &signal));
	assert_true(send(1));
	direction_close(&d);
}

/* The writer waits for a packet's room: it is signalled at the pause that makes it, once. */
static void a_pause_gives_back(void **state)
{
	bool signal, pause;

	open_direction();
	send(UINT32_MAX);
	assert_false(ring_write_wait(&d.w, 128, &signal));
	assert_int_equal(packet_read_drain(&d.r, 1, take_one, NULL, &pause), 1);
	assert_false(pause);
	assert_true(packet_read_pause(&d.r));
	assert_false(packet_read_pause(&d.r));
	assert_false(ring_write_wait(&d.w, 4096, &signal));
	packet_read_drain(&d.r, 1000, take_one, NULL, &pause);
	assert_true(pause);
	assert_false(packet_read_sleep(&d.r, &signal));
	assert_true(signal);
	direction_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_budget_ends_a_round),
		cmocka_unit_test(who_polls_gets_no_signal),
		cmocka_unit_test(a_helper_leaves_it_as_it_was),
		cmocka_unit_test(a_pause_gives_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
