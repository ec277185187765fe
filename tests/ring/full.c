/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring is full: what fits, what never fits, waiting for room and being told of it. */
#include "fixture.h"

struct ends {
	struct ring_fixture f;
	struct ring_writer w;
	struct ring_reader r;
};

static uint8_t big[1u << 20];

static void open_ends(struct ends *e, uint32_t size, uint32_t start)
{
	ring_fixture_open(&e->f, MIRRORED, size);
	ring_fixture_start(&e->f, &e->w, &e->r, start);
}

/* Free bytes as the shared indexes say: as Linux counts them. */
static uint32_t free_bytes(const struct ends *e)
{
	return e->f.memory.size - ring_index_distance(e->f.memory.size,
	                                              e->f.memory.control->read_index,
	                                              e->f.memory.control->write_index);
}

static void never_filled_to_the_brim(void **state)
{
	struct ends e;

	for (uint32_t start = 0; start < 4096; start += 1000) {
		open_ends(&e, 4096, start);
		for (uint32_t i = 0; i < 4096 / 32 - 1; i++)
			assert_int_equal(ring_fixture_write(&e.w, i, big, 8), RING_OK);
		/* 32 bytes are left and a packet of 32 does not fit, for the ring would look empty.
		 */
		assert_int_equal(ring_fixture_write(&e.w, 0, big, 8), RING_FULL);
		/* One of 24 does. */
		assert_int_equal(ring_fixture_write(&e.w, 127, big, 0), RING_OK);
		ring_write_publish(&e.w);
		assert_int_equal(free_bytes(&e), 8);
		assert_int_equal(ring_fixture_write(&e.w, 0, big, 0), RING_FULL);
		for (uint32_t i = 0; i < 128; i++)
			ring_fixture_read(&e.r, i);
		assert_int_equal(ring_read_next(&e.r, &(struct ring_packet){ 0 }), RING_EMPTY);
		ring_fixture_close(&e.f);
	}
}

static void too_big_is_said_at_once(void **state)
{
	struct ends e;

	open_ends(&e, 4096, 0);
	assert_int_equal(ring_fixture_write(&e.w, 0, big, 4096 - 24 - 7), RING_TOO_BIG);
	assert_int_equal(ring_fixture_write(&e.w, 0, big, 4096 - 24 - 8), RING_OK);
	assert_int_equal(ring_fixture_write(&e.w, 0, big, 4096), RING_TOO_BIG);
	assert_int_equal(ring_fixture_write(&e.w, 0, big, 1), RING_FULL);
	ring_fixture_close(&e.f);

	/* What length8 can say: 16 bits. */
	open_ends(&e, sizeof(big), 0);
	assert_int_equal(ring_fixture_write(&e.w, 0, big, 65535 * 8 - 16 + 1), RING_TOO_BIG);
	assert_int_equal(ring_fixture_write(&e.w, 0, big, 65535 * 8 - 16), RING_OK);
	ring_write_publish(&e.w);
	ring_fixture_read(&e.r, 0);
	/* Spans that add up to more than 32 bits. */
	struct ring_span spans[] = { { big, 0xfffffff8 }, { big, 0xfffffff8 }, { big, 0x10 } };

	assert_int_equal(
		ring_write(&e.w, (struct wire_packet){ .type = 6, .offset8 = 2 }, spans, 3),
		RING_TOO_BIG);
	ring_fixture_close(&e.f);
}

static void init_says_that_it_waits_with_pending_send_size(void **state)
{
	struct ends e;

	ring_fixture_open(&e.f, MIRRORED, 4096);
	e.f.memory.control->pending_send_size = 77;
	ring_fixture_start(&e.f, &e.w, &e.r, 0);
	assert_int_equal(e.f.memory.control->feature_bits, 1);
	assert_int_equal(e.f.memory.control->pending_send_size, 0);
	ring_fixture_close(&e.f);
}

static void fill(struct ends *e, uint32_t payload)
{
	uint64_t id = 0;

	while (ring_fixture_write(&e->w, id, big, payload) == RING_OK)
		id++;
}

static void waits_and_is_signalled_once(void **state)
{
	struct ends e;
	bool signal;

	open_ends(&e, 4096, 0);
	fill(&e, 104);
	/* 32 packets of 128 would fill it to the brim: there are 31. */
	assert_false(ring_write_wait(&e.w, 16 + 200, &signal));
	assert_true(signal); /* it published, and the reader had seen it empty */
	assert_int_equal(e.f.memory.control->write_index, 31 * 128);
	assert_int_equal(e.f.memory.control->pending_send_size, 16 + 200 + 8);

	/* 224 wanted, 128 free. One packet makes it 256. */
	ring_fixture_read(&e.r, 0);
	assert_true(ring_read_publish(&e.r));
	assert_false(ring_read_publish(&e.r));
	ring_fixture_read(&e.r, 1);
	assert_false(ring_read_publish(&e.r)); /* it had room before */
	assert_int_equal(ring_fixture_write(&e.w, 0, big, 200), RING_OK);
	ring_write_wait_end(&e.w);
	assert_int_equal(e.f.memory.control->pending_send_size, 0);
	ring_fixture_read(&e.r, 2);
	assert_false(ring_read_publish(&e.r));
	ring_fixture_close(&e.f);
}

/* Exactly as much as is waited for is not enough. */
static void no_false_hope(void **state)
{
	struct ends e;
	bool signal;

	open_ends(&e, 4096, 0);
	fill(&e, 104);
	assert_false(ring_write_wait(&e.w, 256 - 8, &signal));
	ring_fixture_read(&e.r, 0);
	assert_false(ring_read_publish(&e.r));
	assert_int_equal(free_bytes(&e), 256);
	assert_int_equal(ring_fixture_write(&e.w, 0, big, 256 - 24), RING_FULL);
	ring_fixture_read(&e.r, 1);
	assert_true(ring_read_publish(&e.r));
	assert_int_equal(ring_fixture_write(&e.w, 0, big, 256 - 24), RING_OK);
	ring_fixture_close(&e.f);
}

static void does_not_wait_for_what_is_there(void **state)
{
	struct ends e;
	bool signal;

	open_ends(&e, 4096, 0);
	fill(&e, 104);
	ring_write_publish(&e.w);
	for (uint64_t i = 0; i < 4; i++)
		ring_fixture_read(&e.r, i);
	ring_read_publish(&e.r);
	/* The writer's own copy still says full. */
	assert_true(ring_write_wait(&e.w, 200, &signal));
	assert_false(signal);
	assert_int_equal(e.f.memory.control->pending_send_size, 0);
	assert_int_equal(ring_fixture_write(&e.w, 0, big, 200 - 16), RING_OK);
	ring_fixture_close(&e.f);
}

/* Whoever waits for what never fits is woken by the empty ring, to be told. */
static void waiting_for_the_impossible_ends(void **state)
{
	struct ends e;
	bool signal;
	uint64_t id = 0;

	open_ends(&e, 4096, 0);
	fill(&e, 104);
	assert_false(ring_write_wait(&e.w, 1u << 30, &signal));
	while (ring_read_next(&e.r, &(struct ring_packet){ 0 }) == RING_OK)
		ring_fixture_read(&e.r, id++);
	assert_true(ring_read_publish(&e.r));
	assert_true(ring_write_wait(&e.w, 1u << 30, &signal));
	assert_int_equal(ring_fixture_write(&e.w, 0, big, 1u << 30), RING_TOO_BIG);
	ring_fixture_close(&e.f);
}

/* The quarter that the reader published by itself freed the room: the signal is kept. */
static void a_signal_due_by_the_quarter_is_kept(void **state)
{
	struct ends e;
	bool signal;

	open_ends(&e, 4096, 0);
	fill(&e, 104);
	assert_false(ring_write_wait(&e.w, 200, &signal));
	for (uint64_t i = 0; i < 9; i++)
		ring_fixture_read(&e.r, i);
	assert_int_equal(e.f.memory.control->read_index, 1024);
	assert_true(ring_read_publish(&e.r));
	ring_fixture_close(&e.f);
}

static void unmasking_gives_room_back_too(void **state)
{
	struct ends e;
	bool signal;
	uint64_t id = 0;

	open_ends(&e, 4096, 0);
	ring_read_mask(&e.r);
	fill(&e, 104);
	assert_false(ring_write_wait(&e.w, 200, &signal));
	assert_false(signal); /* masked */
	ring_fixture_read(&e.r, id++);
	ring_fixture_read(&e.r, id++);
	assert_true(ring_read_unmask(&e.r, &signal)); /* there is more */
	assert_true(signal);
	assert_int_equal(e.f.memory.control->interrupt_mask, 1);
	while (ring_read_next(&e.r, &(struct ring_packet){ 0 }) == RING_OK)
		ring_fixture_read(&e.r, id++);
	assert_false(ring_read_unmask(&e.r, &signal));
	assert_false(signal);
	assert_int_equal(e.f.memory.control->interrupt_mask, 0);
	assert_int_equal(free_bytes(&e), 4096);
	ring_fixture_close(&e.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_filled_to_the_brim),
		cmocka_unit_test(too_big_is_said_at_once),
		cmocka_unit_test(init_says_that_it_waits_with_pending_send_size),
		cmocka_unit_test(waits_and_is_signalled_once),
		cmocka_unit_test(no_false_hope),
		cmocka_unit_test(does_not_wait_for_what_is_there),
		cmocka_unit_test(waiting_for_the_impossible_ends),
		cmocka_unit_test(a_signal_due_by_the_quarter_is_kept),
		cmocka_unit_test(unmasking_gives_room_back_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
