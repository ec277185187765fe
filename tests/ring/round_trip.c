/* SPDX-License-Identifier: BSD-2-Clause */
/* What is written is read: every size, at every place in the ring, in both kinds of memory. */
#include "fixture.h"

#define SIZE 8192u

static void fill(uint8_t *bytes, uint32_t size, uint32_t seed)
{
	for (uint32_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(seed * 31 + i * 7 + i / 256);
}

static void expect_packet(struct ring_reader *r, uint64_t id, const uint8_t *payload, uint32_t size)
{
	static uint8_t got[SIZE];
	struct ring_packet packet = { 0 };

	assert_true(ring_read_pending(r));
	assert_int_equal(ring_read_next(r, &packet), RING_OK);
	assert_int_equal(packet.type, WIRE_PACKET_DATA_INBAND);
	assert_int_equal(packet.flags, 0);
	assert_int_equal(packet.transaction_id, id);
	assert_int_equal(packet.payload_offset, 16);
	assert_int_equal(packet.size, 16 + wire_align8(size));
	ring_read_copy(r, &packet, packet.payload_offset, got, packet.size - 16);
	assert_memory_equal(got, payload, size);
	for (uint32_t i = size; i < packet.size - 16; i++)
		assert_int_equal(got[i], 0); /* nothing old leaks in the padding */
	ring_read_advance(r, &packet);
}

static void one(struct ring_fixture *f, uint32_t start, uint32_t size)
{
	struct ring_writer w;
	struct ring_reader r;
	static uint8_t payload[SIZE];

	fill(payload, size, start + size);
	ring_fixture_start(f, &w, &r, start);
	assert_false(ring_read_pending(&r));
	assert_int_equal(ring_fixture_write(&w, 0x1122334455667788 + size, payload, size), RING_OK);
	ring_write_publish(&w);
	expect_packet(&r, 0x1122334455667788 + size, payload, size);
	assert_int_equal(ring_read_next(&r, &(struct ring_packet){ 0 }), RING_EMPTY);
	ring_read_publish(&r);
	assert_int_equal(f->memory.control->read_index, f->memory.control->write_index);
	assert_int_equal(f->memory.control->read_index, (start + ring_fixture_total(size)) % SIZE);
}

static void every_size(enum ring_mode mode)
{
	struct ring_fixture f;

	ring_fixture_open(&f, mode, SIZE);
	for (uint32_t size = 0; size <= SIZE - 8 - 24; size++)
		one(&f, (size * 104) % SIZE / 8 * 8, size);
	ring_fixture_close(&f);
}

static void every_place(enum ring_mode mode)
{
	struct ring_fixture f;

	ring_fixture_open(&f, mode, SIZE);
	for (uint32_t start = 0; start < SIZE; start += 8) {
		one(&f, start, 0);
		one(&f, start, 1);
		one(&f, start, 37);
		one(&f, start, 4096);
		one(&f, start, SIZE - 32);
	}
	ring_fixture_close(&f);
}

static void every_size_mirrored(void **state)
{
	every_size(MIRRORED);
}

static void every_size_page_list(void **state)
{
	every_size(PAGE_LIST);
}

static void every_place_mirrored(void **state)
{
	every_place(MIRRORED);
}

static void every_place_page_list(void **state)
{
	every_place(PAGE_LIST);
}

/* Many packets under way, several passes of the ring, sizes from a fixed random sequence. */
static void stream(enum ring_mode mode)
{
	static uint8_t payload[SIZE];
	struct ring_fixture f;
	struct ring_writer w;
	struct ring_reader r;
	uint32_t random = 1, size = 0;
	uint64_t written = 0, read = 0;
	uint32_t sizes[1024];

	ring_fixture_open(&f, mode, SIZE);
	ring_fixture_start(&f, &w, &r, 0);
	while (read < 20000) {
		size = (random = random * 1664525 + 1013904223) >> 23;
		fill(payload, size, (uint32_t)written);
		if (ring_fixture_write(&w, written, payload, size) == RING_OK) {
			sizes[written++ % 1024] = size;
			continue;
		}
		ring_write_publish(&w);
		for (unsigned n = random % 16; read < written && n != 0; n--, read++) {
			fill(payload, sizes[read % 1024], (uint32_t)read);
			expect_packet(&r, read, payload, sizes[read % 1024]);
		}
		ring_read_publish(&r);
	}
	ring_fixture_close(&f);
}

static void stream_mirrored(void **state)
{
	stream(MIRRORED);
}

static void stream_page_list(void **state)
{
	stream(PAGE_LIST);
}

/* Headers and payload come from several spans, none a multiple of 8, some empty. */
static void gathers_spans(void **state)
{
	for (int mode = MIRRORED; mode <= PAGE_LIST; mode++) {
		struct wire_packet head = { .type = WIRE_PACKET_DATA_GPA_DIRECT,
			                    .offset8 = 5,
			                    .flags = WIRE_PACKET_FLAG_COMPLETION_REQUESTED };
		struct ring_span spans[] = {
			{ "abcdefghijklm", 13 }, { "nopqrstuvwxy", 12 }, { NULL, 0 }, { "z", 1 }
		};
		struct ring_fixture f;
		struct ring_writer w;
		struct ring_reader r;
		struct ring_packet packet = { 0 };
		char got[26];

		ring_fixture_open(&f, mode, SIZE);
		ring_fixture_start(&f, &w, &r, SIZE - 24);
		assert_int_equal(ring_write(&w, head, spans, 4), RING_OK);
		ring_write_publish(&w);
		assert_int_equal(ring_read_next(&r, &packet), RING_OK);
		assert_int_equal(packet.type, WIRE_PACKET_DATA_GPA_DIRECT);
		assert_int_equal(packet.flags, WIRE_PACKET_FLAG_COMPLETION_REQUESTED);
		assert_int_equal(packet.payload_offset, 40);
		assert_int_equal(packet.size, 16 + 32);
		ring_read_copy(&r, &packet, 16, got, 26);
		assert_memory_equal(got, "abcdefghijklmnopqrstuvwxyz", 26);
		ring_fixture_close(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size_mirrored),  cmocka_unit_test(every_size_page_list),
		cmocka_unit_test(every_place_mirrored), cmocka_unit_test(every_place_page_list),
		cmocka_unit_test(stream_mirrored),      cmocka_unit_test(stream_page_list),
		cmocka_unit_test(gathers_spans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
