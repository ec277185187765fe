/* SPDX-License-Identifier: BSD-2-Clause */
/* What a bad reader can put before the writer: a read index that makes room that is not there. */
#include "fixture.h"

#define SIZE 4096u

struct ends {
	struct ring_fixture f;
	struct ring_writer w;
};

/* A writer with 512 bytes published from `index` on and nothing read. */
static void open_ends(struct ends *e, uint32_t index)
{
	uint8_t payload[512 - 24] = { 0 };

	ring_fixture_open(&e->f, MIRRORED, SIZE);
	e->f.memory.control->read_index = index;
	e->f.memory.control->write_index = index;
	assert_int_equal(ring_writer_init(&e->w, &e->f.memory), RING_OK);
	assert_int_equal(ring_fixture_write(&e->w, 0, payload, sizeof(payload)), RING_OK);
	assert_true(ring_write_publish(&e->w));
}

static void expect_refused(struct ends *e, const char *what, uint32_t actual)
{
	bool signal = true;

	assert_string_equal(e->w.fault.what, what);
	assert_int_equal(e->w.fault.actual, actual);
	e->f.memory.control->read_index = e->f.memory.control->write_index; /* mended too late */
	assert_int_equal(ring_fixture_write(&e->w, 0, "", 0), RING_MALFORMED);
	assert_int_equal(ring_fixture_write(&e->w, 0, "", SIZE), RING_MALFORMED);
	assert_false(ring_write_publish(&e->w));
	assert_int_equal(ring_write_unpublished(&e->w), 0);
	assert_true(ring_write_wait(&e->w, 8, &signal));
	assert_false(signal);
	assert_int_equal(e->f.memory.control->pending_send_size, 0);
	ring_fixture_close(&e->f);
}

static const uint32_t bad[] = { SIZE, SIZE + 8, 4, 9, UINT32_MAX, UINT32_MAX - 7, 0x80000000 };

static void found_when_full(void **state)
{
	static uint8_t payload[SIZE];
	struct ends e;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		open_ends(&e, SIZE - 256);
		e.f.memory.control->read_index = bad[i];
		assert_int_equal(ring_fixture_write(&e.w, 0, payload, SIZE - 512), RING_MALFORMED);
		expect_refused(&e, "read index", bad[i]);
	}
}

static void found_when_publishing(void **state)
{
	struct ends e;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		open_ends(&e, SIZE - 256);
		e.f.memory.control->read_index = bad[i];
		assert_int_equal(ring_fixture_write(&e.w, 0, "", 0), RING_OK);
		assert_false(ring_write_publish(&e.w));
		expect_refused(&e, "read index", bad[i]);
	}
}

static void found_when_waiting(void **state)
{
	struct ends e;
	bool signal;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		open_ends(&e, 8);
		e.f.memory.control->read_index = bad[i];
		assert_true(ring_write_wait(&e.w, SIZE - 256, &signal));
		assert_false(signal);
		e.f.memory.control->pending_send_size = 0;
		expect_refused(&e, "read index", bad[i]);
	}
}

/* Published is 256 to 768, and 24 more are written. The reader says it is elsewhere. */
static void a_read_index_out_of_turn(void **state)
{
	static const uint32_t elsewhere[] = { 248, 0, 776, 792, 800, 4088 };
	static uint8_t payload[SIZE];
	const char *what = "read index, outside what it could have read";
	struct ends e;

	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
		open_ends(&e, 256);
		assert_int_equal(ring_fixture_write(&e.w, 0, "", 0), RING_OK);
		e.f.memory.control->read_index = elsewhere[i];
		assert_int_equal(ring_fixture_write(&e.w, 0, payload, SIZE - 512), RING_MALFORMED);
		expect_refused(&e, what, elsewhere[i]);
	}
	/* All that is published, read; the unpublished stays and can be dropped. */
	open_ends(&e, 256);
	assert_int_equal(ring_fixture_write(&e.w, 0, "", 0), RING_OK);
	e.f.memory.control->read_index = 768;
	assert_int_equal(ring_write_make_room(&e.w, SIZE - 32), RING_OK);
	ring_write_drop(&e.w);
	assert_int_equal(e.w.room, SIZE);
	ring_fixture_close(&e.f);
}

static void bad_indexes_at_init(void **state)
{
	struct ring_fixture f;
	struct ring_writer w;

	ring_fixture_open(&f, MIRRORED, SIZE);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		f.memory.control->write_index = bad[i];
		f.memory.control->read_index = 0;
		assert_int_equal(ring_writer_init(&w, &f.memory), RING_MALFORMED);
		assert_string_equal(w.fault.what, "write index");
		assert_int_equal(w.fault.expected, SIZE);
		assert_int_equal(w.fault.actual, bad[i]);
		f.memory.control->write_index = 0;
		f.memory.control->read_index = bad[i];
		assert_int_equal(ring_writer_init(&w, &f.memory), RING_MALFORMED);
		assert_string_equal(w.fault.what, "read index");
		assert_int_equal(w.fault.actual, bad[i]);
	}
	ring_fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found_when_full),     cmocka_unit_test(found_when_publishing),
		cmocka_unit_test(found_when_waiting),  cmocka_unit_test(a_read_index_out_of_turn),
		cmocka_unit_test(bad_indexes_at_init),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
