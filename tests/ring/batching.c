/* SPDX-License-Identifier: BSD-2-Clause */
/* When packets become visible, how a batch is dropped, when the writer publishes by itself. */
#include "fixture.h"

#define SIZE 65536u

static const uint8_t payload[256];

struct ends {
	struct ring_fixture f;
	struct ring_writer w;
	struct ring_reader r;
};

static void open_ends(struct ends *e, uint32_t size)
{
	ring_fixture_open(&e->f, MIRRORED, size);
	ring_fixture_start(&e->f, &e->w, &e->r, 0);
}

static void nothing_is_visible_before_publish(void **state)
{
	struct ends e;

	open_ends(&e, SIZE);
	for (uint64_t i = 0; i < 10; i++) {
		assert_int_equal(ring_fixture_write(&e.w, i, payload, 8), RING_OK);
		assert_int_equal(ring_write_unpublished(&e.w), 32 * (i + 1));
		assert_int_equal(e.f.memory.control->write_index, 0);
		assert_false(ring_read_pending(&e.r));
	}
	assert_true(ring_write_publish(&e.w));
	assert_int_equal(ring_write_unpublished(&e.w), 0);
	assert_int_equal(e.f.memory.control->write_index, 320);
	for (uint64_t i = 0; i < 10; i++)
		ring_fixture_read(&e.r, i);
	assert_false(ring_read_pending(&e.r));
	assert_false(ring_write_publish(&e.w));
	ring_fixture_close(&e.f);
}

static void a_batch_can_be_dropped(void **state)
{
	struct ends e;

	open_ends(&e, 4096);
	/* Over the ring's end, again and again: nothing of the dropped may be left behind. */
	for (uint64_t i = 0; i < 1000; i++) {
		assert_int_equal(ring_fixture_write(&e.w, i, payload, 4), RING_OK);
		ring_write_publish(&e.w);
		for (uint32_t n = 0; n < 5; n++)
			assert_int_equal(ring_fixture_write(&e.w, 9999, payload, 40 * n), RING_OK);
		ring_write_drop(&e.w);
		assert_int_equal(ring_write_unpublished(&e.w), 0);
		assert_false(ring_write_publish(&e.w));
		ring_fixture_read(&e.r, i);
		assert_false(ring_read_pending(&e.r));
		ring_read_publish(&e.r);
	}
	/* All room is there again. */
	for (uint32_t n = 0; n < 4096 / 32 - 1; n++)
		assert_int_equal(ring_fixture_write(&e.w, n, payload, 8), RING_OK);
	assert_int_equal(ring_fixture_write(&e.w, 0, payload, 8), RING_FULL);
	ring_fixture_close(&e.f);
}

/* One signal for the batch, kept until the caller publishes. */
static void a_long_batch_publishes_by_itself(void **state)
{
	struct ends e;
	uint32_t n = 0;

	open_ends(&e, SIZE);
	while (e.f.memory.control->write_index == 0) {
		assert_int_equal(ring_fixture_write(&e.w, n++, payload, 64), RING_OK);
		assert_in_range(n, 1, RING_PUBLISH_MAX / 88 + 1);
	}
	assert_int_equal(n, (RING_PUBLISH_MAX + 87) / 88);
	assert_int_equal(ring_write_unpublished(&e.w), 0);
	/* The reader saw it empty and sleeps. It is signalled at the end of the batch, once. */
	while (e.f.memory.control->write_index < 3 * RING_PUBLISH_MAX)
		assert_int_equal(ring_fixture_write(&e.w, n++, payload, 64), RING_OK);
	assert_true(ring_write_publish(&e.w));
	assert_false(ring_write_publish(&e.w));
	assert_int_equal(ring_fixture_write(&e.w, n, payload, 5), RING_OK);
	assert_false(ring_write_publish(&e.w));
	ring_fixture_close(&e.f);
}

/* A small ring: at a quarter. And a signal kept is not lost by dropping what came later. */
static void a_drop_keeps_the_signal_due(void **state)
{
	struct ends e;
	uint32_t n = 0;

	open_ends(&e, 4096);
	while (e.f.memory.control->write_index == 0)
		assert_int_equal(ring_fixture_write(&e.w, n++, payload, 64), RING_OK);
	assert_int_equal(n, (1024 + 87) / 88);
	assert_int_equal(ring_fixture_write(&e.w, n, payload, 8), RING_OK);
	ring_write_drop(&e.w);
	assert_true(ring_write_publish(&e.w));
	for (uint32_t i = 0; i < n; i++)
		ring_fixture_read(&e.r, i);
	assert_false(ring_read_pending(&e.r));
	ring_fixture_close(&e.f);
}

static void commit_leaves_the_decision_for_publish(void **state)
{
	struct ends e;

	open_ends(&e, SIZE);
	for (uint64_t i = 0; i < 5; i++) {
		assert_int_equal(ring_fixture_write(&e.w, i, payload, 8), RING_OK);
		ring_write_commit(&e.w);
		assert_int_equal(e.f.memory.control->write_index, 32 * (i + 1));
	}
	/* The reader polled two of them and went to sleep where the third commit began. */
	ring_fixture_read(&e.r, 0);
	ring_fixture_read(&e.r, 1);
	ring_read_publish(&e.r);
	assert_true(ring_write_publish(&e.w));
	assert_false(ring_write_publish(&e.w));
	ring_fixture_close(&e.f);
}

/* The reader gives room back at a quarter of the ring, and whatever is left when asked. */
static void the_reader_publishes_by_the_quarter(void **state)
{
	struct ends e;
	uint32_t n;

	open_ends(&e, 4096);
	for (n = 0; n < 40; n++)
		assert_int_equal(ring_fixture_write(&e.w, n, payload, 64), RING_OK);
	ring_write_publish(&e.w);
	for (n = 0; n < 1024 / 88; n++) {
		ring_fixture_read(&e.r, n);
		assert_int_equal(e.f.memory.control->read_index, 0);
	}
	ring_fixture_read(&e.r, n++);
	assert_int_equal(e.f.memory.control->read_index, 88 * n);
	ring_fixture_read(&e.r, n);
	assert_int_equal(e.f.memory.control->read_index, 88 * n);
	assert_false(ring_read_publish(&e.r));
	assert_int_equal(e.f.memory.control->read_index, 88 * (n + 1));
	ring_fixture_close(&e.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_visible_before_publish),
		cmocka_unit_test(a_batch_can_be_dropped),
		cmocka_unit_test(a_long_batch_publishes_by_itself),
		cmocka_unit_test(a_drop_keeps_the_signal_due),
		cmocka_unit_test(commit_leaves_the_decision_for_publish),
		cmocka_unit_test(the_reader_publishes_by_the_quarter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
