/* SPDX-License-Identifier: BSD-2-Clause */
/* The signal decisions as tables, against the rules of the sources, and at the ring's edges. */
#include "fixture.h"

#include "ring/signal.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void writer_signals_the_reader(void **state)
{
	static const struct {
		uint32_t mask, unread, fresh, last;
		bool signal;
		const char *why;
	} rows[] = {
		{ 0, 32, 32, 32, true, "empty before: the old write index is the read index" },
		{ 1, 32, 32, 32, false, "the reader polls" },
		{ 0x80000000, 32, 32, 32, false, "any bit of the mask" },
		{ 0, 64, 32, 32, false, "not empty before" },
		{ 0, 24, 32, 32, false, "read into what is new: it is awake" },
		{ 0, 0, 32, 32, false, "has read it all" },
		{ 0, 32, 96, 32, true, "several publishes: asleep where the last began" },
		{ 0, 64, 96, 32, true, "where the second began" },
		{ 0, 96, 96, 32, true, "where the first began" },
		{ 0, 104, 96, 32, false, "before them: awake" },
		{ 0, 24, 96, 32, false, "within the last" },
		{ 0, 0, 0, 0, false, "nothing new, empty" },
		{ 0, 64, 0, 0, false, "nothing new, not empty" },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		if (ring_signal_reader(rows[i].mask, rows[i].unread, rows[i].fresh, rows[i].last) !=
		    rows[i].signal)
			fail_msg("%s", rows[i].why);
}

static void reader_signals_the_writer(void **state)
{
	static const struct {
		uint32_t pending, before, after;
		bool signal;
		const char *why;
	} rows[] = {
		{ 0, 8, 4096, false, "it does not wait" },
		{ 128, 8, 136, true, "it did not fit and does" },
		{ 128, 128, 136, true, "exactly full counts as no room" },
		{ 128, 8, 128, false, "still does not fit: no false hope" },
		{ 128, 136, 256, false, "it fitted before" },
		{ 128, 64, 120, false, "some room, not enough" },
		{ 4095, 8, 4096, true, "size - 1 means all of it (mu_msvm)" },
		{ 4095, 8, 4088, false, "all but 8 is not all of it" },
		{ 4088, 8, 4096, true, "the largest packet" },
		{ UINT32_MAX, 8, 4096, false, "nonsense never comes" },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		if (ring_signal_writer(rows[i].pending, rows[i].before, rows[i].after) !=
		    rows[i].signal)
			fail_msg("%s", rows[i].why);
}

/* The three sources' ways to say it, for every ring state with multiples of 8. */
static void reader_rule_is_that_of_the_sources(void **state)
{
	const uint32_t size = 128;

	for (uint32_t pending = 0; pending <= size - 8; pending += 8)
		for (uint32_t before = 8; before <= size; before += 8)
			for (uint32_t after = before; after <= size; after += 8) {
				bool linux_rule = pending && before <= pending && after > pending;
				bool openvmm =
					pending && before - 8 < pending && after - 8 >= pending;
				bool mu_msvm =
					pending && after - 1 >= pending && before - 1 < pending;
				bool ours = ring_signal_writer(pending, before, after);

				assert_int_equal(ours, linux_rule);
				assert_int_equal(ours, openvmm);
				assert_int_equal(ours, mu_msvm);
			}
}

static const uint8_t payload[256];

struct ends {
	struct ring_fixture f;
	struct ring_writer w;
	struct ring_reader r;
};

static void open_ends(struct ends *e)
{
	ring_fixture_open(&e->f, MIRRORED, 4096);
	ring_fixture_start(&e->f, &e->w, &e->r, 4096 - 48);
}

static bool send(struct ends *e, uint64_t id)
{
	assert_int_equal(ring_fixture_write(&e->w, id, payload, 8), RING_OK);
	return ring_write_publish(&e->w);
}

static void on_the_empty_edge_only(void **state)
{
	struct ends e;

	open_ends(&e);
	assert_true(send(&e, 0));
	assert_false(send(&e, 1));
	assert_false(send(&e, 2));
	/* Read, but not given back: to the writer it is not empty, and the reader is awake. */
	ring_fixture_read(&e.r, 0);
	ring_fixture_read(&e.r, 1);
	ring_fixture_read(&e.r, 2);
	assert_false(send(&e, 3));
	ring_fixture_read(&e.r, 3);
	ring_read_publish(&e.r);
	assert_true(send(&e, 4));
	ring_fixture_close(&e.f);
}

static void not_while_the_reader_polls(void **state)
{
	struct ends e;
	bool signal;

	open_ends(&e);
	ring_read_mask(&e.r);
	assert_false(send(&e, 0));
	ring_fixture_read(&e.r, 0);
	assert_false(ring_read_unmask(&e.r, &signal));
	assert_false(signal);
	assert_true(send(&e, 1));
	ring_fixture_close(&e.f);
}

/* A packet that came between the last look and unmasking is found, and the ring masked again. */
static void unmasking_looks_again(void **state)
{
	struct ends e;
	bool signal;

	open_ends(&e);
	ring_read_mask(&e.r);
	assert_int_equal(ring_read_next(&e.r, &(struct ring_packet){ 0 }), RING_EMPTY);
	assert_false(send(&e, 0));
	assert_true(ring_read_unmask(&e.r, &signal));
	assert_int_equal(e.f.memory.control->interrupt_mask, 1);
	ring_fixture_read(&e.r, 0);
	assert_false(ring_read_unmask(&e.r, &signal));
	ring_fixture_close(&e.f);
}

/* Long unsignalled runs of commits: asked every quarter, so the ring never comes round unasked. */
static void commits_are_decided_within_a_quarter(void **state)
{
	struct ends e;
	uint64_t id = 0;

	open_ends(&e);
	for (uint32_t bytes = 0; bytes < 1024; bytes += 32) {
		assert_int_equal(ring_fixture_write(&e.w, id++, payload, 8), RING_OK);
		ring_write_commit(&e.w);
	}
	assert_int_equal(e.w.undecided, 0);
	assert_true(e.w.signal);
	assert_true(ring_write_publish(&e.w));
	ring_fixture_close(&e.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writer_signals_the_reader),
		cmocka_unit_test(reader_signals_the_writer),
		cmocka_unit_test(reader_rule_is_that_of_the_sources),
		cmocka_unit_test(on_the_empty_edge_only),
		cmocka_unit_test(not_while_the_reader_polls),
		cmocka_unit_test(unmasking_looks_again),
		cmocka_unit_test(commits_are_decided_within_a_quarter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
