/* SPDX-License-Identifier: BSD-2-Clause */
/* What a bad writer can put before the reader: each is named, and the ring stays refused. */
#include "fixture.h"

#define SIZE 4096u

static const uint8_t payload[256];

struct ends {
	struct ring_fixture f;
	struct ring_reader r;
};

static void open_ends(struct ends *e, enum ring_mode mode, uint32_t index)
{
	ring_fixture_open(&e->f, mode, SIZE);
	e->f.memory.control->read_index = index;
	e->f.memory.control->write_index = index;
	assert_int_equal(ring_reader_init(&e->r, &e->f.memory), RING_OK);
}

static void expect_refused(struct ends *e, const char *what, uint64_t expected, uint64_t actual)
{
	struct ring_packet packet = { 0 };
	bool signal;

	for (int i = 0; i < 3; i++)
		assert_int_equal(ring_read_next(&e->r, &packet), RING_MALFORMED);
	assert_string_equal(e->r.fault.what, what);
	assert_int_equal(e->r.fault.expected, expected);
	assert_int_equal(e->r.fault.actual, actual);
	/* Who goes to sleep on it is told not to, and learns why. */
	assert_true(ring_read_unmask(&e->r, &signal));
	/* Mended too late. */
	e->f.memory.control->write_index = e->f.memory.control->read_index;
	assert_int_equal(ring_read_next(&e->r, &packet), RING_MALFORMED);
	ring_fixture_close(&e->f);
}

static void bad_write_index(void **state)
{
	static const uint32_t bad[] = { SIZE,        SIZE + 8,   4,          1,
		                        100 * 8 + 7, UINT32_MAX, 0x80000000, UINT32_MAX - 7 };
	struct ends e;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		open_ends(&e, i % 2, 64);
		e.f.memory.control->write_index = bad[i];
		assert_true(ring_read_pending(&e.r));
		expect_refused(&e, "write index", SIZE, bad[i]);
	}
}

static void bad_indexes_at_init(void **state)
{
	static const struct {
		uint32_t read, write;
		const char *what;
		uint32_t actual;
	} rows[] = {
		{ SIZE, 0, "read index", SIZE },
		{ 4, 0, "read index", 4 },
		{ UINT32_MAX, 0, "read index", UINT32_MAX },
		{ 0, SIZE, "write index", SIZE },
		{ 0, 12, "write index", 12 },
	};
	struct ring_fixture f;
	struct ring_reader r;

	ring_fixture_open(&f, MIRRORED, SIZE);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		f.memory.control->read_index = rows[i].read;
		f.memory.control->write_index = rows[i].write;
		assert_int_equal(ring_reader_init(&r, &f.memory), RING_MALFORMED);
		assert_string_equal(r.fault.what, rows[i].what);
		assert_int_equal(r.fault.actual, rows[i].actual);
		assert_int_equal(ring_read_next(&r, &(struct ring_packet){ 0 }), RING_MALFORMED);
	}
	ring_fixture_close(&f);
}

static void bad_size_at_init(void **state)
{
	static const uint32_t bad[] = { 0, 8, 4095, 4097, RING_SIZE_MAX + 4096, UINT32_MAX };
	struct ring_fixture f;
	struct ring_reader r;
	struct ring_writer w;

	ring_fixture_open(&f, MIRRORED, SIZE);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		f.memory.size = bad[i];
		assert_int_equal(ring_reader_init(&r, &f.memory), RING_MALFORMED);
		assert_string_equal(r.fault.what, "ring size");
		assert_int_equal(ring_writer_init(&w, &f.memory), RING_MALFORMED);
		assert_string_equal(w.fault.what, "ring size");
		assert_int_equal(ring_fixture_write(&w, 0, "", 0), RING_MALFORMED);
	}
	f.memory.size = SIZE;
	ring_fixture_close(&f);
}

/* Puts a descriptor at `index` and shows `shown` bytes from there. */
static void plant(struct ends *e, uint32_t index, struct wire_packet head, uint32_t shown)
{
	memcpy(ring_fixture_at(&e->f, index), &head, 8);
	memcpy(ring_fixture_at(&e->f, index + 8), (uint8_t *)&head + 8, 8);
	e->f.memory.control->write_index = (index + shown) % SIZE;
}

static void bad_descriptors(void **state)
{
	const char *too_long = "packet length with its footer";
	const struct {
		uint16_t type, offset8, length8, flags;
		uint32_t shown;
		const char *what;
		uint64_t expected, actual;
	} rows[] = {
		{ 6, 2, 3, 0, 24, too_long, 24, 32 }, /* the footer does not fit */
		{ 6, 2, 2, 0, 16, too_long, 16, 24 },
		{ 6, 2, 2, 0, 8, too_long, 8, 24 },
		{ 6, 2, 65535, 0, 4088, too_long, 4088, 524288 },
		{ 6, 2, 511, 0, 4088, too_long, 4088, 4096 },
		{ 6, 0, 0, 0, 8, "payload offset", 16, 0 }, /* 0 would never get on */
		{ 6, 0, 0, 0, 24, "payload offset", 16, 0 },
		{ 6, 1, 3, 0, 32, "payload offset", 16, 8 },
		{ 6, 2, 1, 0, 32, "payload offset past the packet", 8, 16 },
		{ 6, 4, 3, 0, 32, "payload offset past the packet", 24, 32 },
		{ 6, 65535, 3, 0, 32, "payload offset past the packet", 24, 524280 },
		{ 6, 2, 3, 2, 32, "packet flags", 1, 2 },
		{ 6, 2, 3, 0x8001, 32, "packet flags", 1, 0x8001 },
		{ 0, 2, 3, 0, 32, "packet type", 6, 0 },
		{ 5, 2, 3, 0, 32, "packet type", 6, 5 },
		{ 8, 2, 3, 0, 32, "packet type", 6, 8 },
		{ 12, 2, 3, 0, 32, "packet type", 6, 12 },
		{ 38, 2, 3, 0, 32, "packet type", 6, 38 }, /* 32 + 6 */
		{ 65535, 2, 3, 0, 32, "packet type", 6, 65535 },
	};
	struct ends e;

	for (uint32_t index = 0; index < SIZE; index += 584) /* and over the end */
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			for (int mode = MIRRORED; mode <= PAGE_LIST; mode++) {
				struct wire_packet head = { rows[i].type, rows[i].offset8,
					                    rows[i].length8, rows[i].flags, 1 };

				open_ends(&e, mode, index);
				plant(&e, index, head, rows[i].shown);
				expect_refused(&e, rows[i].what, rows[i].expected, rows[i].actual);
			}
}

static void every_known_type_passes(void **state)
{
	static const uint16_t known[] = { 6, 7, 9, 10, 11 };
	struct ends e;
	struct ring_packet packet = { 0 };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		open_ends(&e, MIRRORED, SIZE - 8);
		plant(&e, SIZE - 8, (struct wire_packet){ known[i], 2, 2, 1, 0xfeed }, 24);
		assert_int_equal(ring_read_next(&e.r, &packet), RING_OK);
		assert_int_equal(packet.type, known[i]);
		assert_int_equal(packet.flags, 1);
		assert_int_equal(packet.transaction_id, 0xfeed);
		assert_int_equal(packet.payload_offset, 16);
		assert_int_equal(packet.size, 16);
		ring_fixture_close(&e.f);
	}
}

/* The good packets before a bad one are delivered. */
static void good_ones_before_it_are_read(void **state)
{
	struct ends e;
	struct ring_writer w;

	open_ends(&e, MIRRORED, 0);
	assert_int_equal(ring_writer_init(&w, &e.f.memory), RING_OK);
	assert_int_equal(ring_fixture_write(&w, 1, payload, 8), RING_OK);
	assert_int_equal(ring_fixture_write(&w, 2, payload, 8), RING_OK);
	ring_write_publish(&w);
	memcpy(ring_fixture_at(&e.f, 32), &(struct wire_packet){ 6, 2, 4, 0, 2 }, 16);
	ring_fixture_read(&e.r, 1);
	expect_refused(&e, "packet length with its footer", 32, 40);
}

/* What the reader checked is a copy: changing the ring afterwards changes nothing it believes. */
static void a_packet_changed_after_the_check(void **state)
{
	struct ends e;
	struct ring_packet packet = { 0 };

	open_ends(&e, MIRRORED, 0);
	plant(&e, 0, (struct wire_packet){ 6, 2, 4, 0, 7 }, 40);
	assert_int_equal(ring_read_next(&e.r, &packet), RING_OK);
	plant(&e, 0, (struct wire_packet){ 6, 9999, 65535, 0xffff, 8 }, 40);
	assert_int_equal(packet.size, 32);
	assert_int_equal(packet.payload_offset, 16);
	assert_int_equal(packet.transaction_id, 7);
	ring_read_advance(&e.r, &packet);
	assert_int_equal(ring_read_next(&e.r, &packet), RING_EMPTY);
	ring_fixture_close(&e.f);
}

/* A bad write index while the reader decides about a waiting writer: no signal, no harm. */
static void a_bad_index_at_the_signal_decision(void **state)
{
	struct ends e;

	open_ends(&e, MIRRORED, 0);
	plant(&e, 0, (struct wire_packet){ 6, 2, 2, 0, 0 }, 24);
	ring_fixture_read(&e.r, 0);
	e.f.memory.control->pending_send_size = 4095;
	e.f.memory.control->write_index = UINT32_MAX;
	assert_false(ring_read_publish(&e.r));
	expect_refused(&e, "write index", SIZE, UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_write_index),
		cmocka_unit_test(bad_indexes_at_init),
		cmocka_unit_test(bad_size_at_init),
		cmocka_unit_test(bad_descriptors),
		cmocka_unit_test(every_known_type_passes),
		cmocka_unit_test(good_ones_before_it_are_read),
		cmocka_unit_test(a_packet_changed_after_the_check),
		cmocka_unit_test(a_bad_index_at_the_signal_decision),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
