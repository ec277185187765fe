/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each kind of packet, built and sent by one end, classified and taken by the other: over the
 * ring's end, in mirrored memory and in a list of pages.
 */
#include "fixture.h"

static uint8_t payload[100];

static const struct wire_transfer_range transfer_ranges[] = { { 100, 0 }, { 4096, 28672 } };

static uint64_t page_number(void *context, uint64_t index)
{
	return *(const uint64_t *)context + index;
}

/* Two ranges: 5 pages from 100 on, with offsets; one page, 900. */
static uint32_t gpa_headers(void *headers, uint32_t room)
{
	struct wire_gpa_writer w;
	uint64_t first = 100, second = 900;

	assert_true(wire_gpa_write_begin(&w, headers, room));
	assert_int_equal(packet_gpa_add(&w, 4000, 3 * 4096 + 200, page_number, &first),
	                 PACKET_GPA_OK);
	assert_int_equal(packet_gpa_add(&w, 0, 4096, page_number, &second), PACKET_GPA_OK);
	return wire_gpa_write_end(&w);
}

struct taken {
	struct packet_in in;
	uint64_t headers[64];
	uint8_t payload[104];
};

static void take(struct direction *d, struct taken *taken)
{
	struct ring_packet packet = { 0 };

	assert_int_equal(packet_read_next(&d->r, &packet), PACKET_DATA);
	assert_in_range(packet.payload_offset - 16, 0, sizeof(taken->headers));
	assert_true(packet_read_take(&d->r, &packet, taken->headers, taken->payload, &taken->in));
	packet_read_pause(&d->r);
}

static void send(struct direction *d, struct packet_out *out)
{
	assert_int_equal(packet_out_write(&d->w, out), RING_OK);
	ring_write_publish(&d->w);
	/* What has to be known to wait for room is what it took. */
	assert_int_equal(ring_read_next(&d->r.ring, &(struct ring_packet){ 0 }), RING_OK);
	assert_int_equal(d->r.ring.available, packet_out_size(out) + WIRE_PACKET_FOOTER_SIZE);
}

static void each_size_in_band(bool host, bool pipe, enum ring_mode mode)
{
	struct packet_limits limits = limits_of(host, pipe);
	struct direction d;

	direction_open(&d, mode, &limits);
	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t size = i % (sizeof(payload) + 1);
		bool answer = i % 2;
		struct packet_out out;
		struct taken taken;

		payload[0] = (uint8_t)i;
		packet_out_begin(&out, WIRE_PACKET_DATA_INBAND, answer);
		packet_out_payload(&out, pipe, payload, size);
		out.wire.transaction_id = i;
		send(&d, &out);
		take(&d, &taken);
		assert_int_equal(taken.in.type, WIRE_PACKET_DATA_INBAND);
		assert_int_equal(taken.in.id, i);
		assert_int_equal(taken.in.answer, answer);
		assert_int_equal(taken.in.headers_size, 0);
		assert_int_equal(taken.in.transfer.range_count, 0);
		/* Without a pipe the padding cannot be told from the payload, but at the limit. */
		assert_int_equal(taken.in.payload_size,
		                 pipe || size > 96 ? pipe ? size : 100 : wire_align8(size));
		assert_memory_equal(taken.payload, payload, size);
	}
	direction_close(&d);
}

static void in_band(void **state)
{
	for (int host = 0; host < 2; host++)
		for (int pipe = 0; pipe < 2; pipe++)
			for (int mode = MIRRORED; mode <= PAGE_LIST; mode++)
				each_size_in_band(host, pipe, mode);
}

static void gpa_direct(void **state)
{
	for (int mode = MIRRORED; mode <= PAGE_LIST; mode++) {
		struct packet_limits limits = limits_of(true, true);
		struct direction d;

		direction_open(&d, mode, &limits);
		for (uint32_t i = 0; i < 500; i++) {
			struct wire_gpa_extent e;
			uint64_t headers[16];
			struct packet_out out;
			struct taken taken;

			packet_out_begin(&out, WIRE_PACKET_DATA_GPA_DIRECT, true);
			packet_out_headers(&out, headers, gpa_headers(headers, sizeof(headers)));
			packet_out_payload(&out, true, payload, i % 101);
			send(&d, &out);
			take(&d, &taken);
			assert_int_equal(taken.in.type, WIRE_PACKET_DATA_GPA_DIRECT);
			assert_true(taken.in.answer);
			assert_int_equal(taken.in.payload_size, i % 101);
			assert_int_equal(taken.in.ranges.page_count, 6);
			assert_true(wire_gpa_ranges_next(&taken.in.ranges, &e));
			assert_int_equal(e.byte_offset, 4000);
			assert_int_equal(e.byte_count, 3 * 4096 + 200);
			assert_int_equal(e.pfn_count, 5);
			assert_int_equal(e.pfns[4], 104);
			assert_true(wire_gpa_ranges_next(&taken.in.ranges, &e));
			assert_int_equal(e.pfns[0], 900);
			assert_false(wire_gpa_ranges_next(&taken.in.ranges, &e));
		}
		direction_close(&d);
	}
}

static void transfer_pages(void **state)
{
	struct wire_transfer transfer = { 0xcafe, false, 2, transfer_ranges };
	struct packet_limits limits = limits_of(false, false);
	struct direction d;

	direction_open(&d, MIRRORED, &limits);
	for (uint32_t i = 0; i < 500; i++) {
		uint64_t headers[8];
		struct packet_out out;
		struct taken taken;
		uint32_t size = wire_transfer_encode(headers, sizeof(headers), &transfer);

		packet_out_begin(&out, WIRE_PACKET_DATA_TRANSFER_PAGES, true);
		packet_out_headers(&out, headers, size);
		packet_out_payload(&out, false, payload, 8);
		send(&d, &out);
		take(&d, &taken);
		assert_int_equal(taken.in.type, WIRE_PACKET_DATA_TRANSFER_PAGES);
		assert_int_equal(taken.in.headers_size, size);
		assert_int_equal(taken.in.transfer.pageset_id, 0xcafe);
		assert_int_equal(taken.in.transfer.range_count, 2);
		assert_memory_equal(taken.in.transfer.ranges, transfer_ranges,
		                    sizeof(transfer_ranges));
	}
	direction_close(&d);
}

static void completions(void **state)
{
	struct packet_limits limits = limits_of(true, true);
	struct direction d;

	direction_open(&d, PAGE_LIST, &limits);
	for (uint32_t size = 0; size <= sizeof(payload); size++) {
		struct ring_packet packet = { 0 };
		struct packet_out out;
		uint8_t answer[104];

		/* A pipe's header is not in a completion: Linux and OpenVMM write none. */
		packet_out_completion(&out, 0x1234567890ull, payload, size);
		send(&d, &out);
		assert_int_equal(packet_read_next(&d.r, &packet), PACKET_COMPLETION);
		assert_int_equal(packet.transaction_id, 0x1234567890ull);
		assert_int_equal(packet_read_answer_size(&packet), wire_align8(size));
		packet_read_take_answer(&d.r, &packet, answer, size);
		assert_memory_equal(answer, payload, size);
		packet_read_pause(&d.r);
	}
	direction_close(&d);
}

/* One who waits for its answer has an id that the answer finds, and finds once; one that did not
 * get into the ring has none. */
static void transactions(void **state)
{
	struct packet_limits limits = limits_of(true, false);
	struct packet_slot slots[4] = { 0 }, *chunks[1];
	struct packet_table table;
	struct packet_out out;
	struct direction d;
	uint32_t slot, owner, sent = 0;
	void *found;

	packet_table_init(&table, chunks, 1, 2);
	assert_true(packet_table_add(&table, slots, 4));
	slot = packet_table_reserve(&table, &owner);
	direction_open(&d, MIRRORED, &limits);
	packet_out_begin(&out, WIRE_PACKET_DATA_INBAND, true);
	packet_out_payload(&out, false, payload, 100);
	while (packet_out_write_transaction(&d.w, &table, slot, false, &out) == RING_OK) {
		uint64_t id = out.wire.transaction_id;
		struct taken taken;

		assert_true(packet_slot_under_way(&slots[slot]));
		if (sent++ == 0) {
			ring_write_publish(&d.w);
			take(&d, &taken);
			assert_int_equal(taken.in.id, id);
			assert_true(taken.in.answer);
		}
		assert_int_equal(packet_table_claim(&table, id, &found), PACKET_CLAIM_OK);
		assert_ptr_equal(found, &owner);
		assert_int_equal(packet_table_claim(&table, id, &found), PACKET_CLAIM_NONE);
	}
	assert_in_range(sent, SIZE / 128, SIZE / 112);
	assert_false(packet_slot_under_way(&slots[slot]));
	assert_int_equal(packet_table_claim(&table, out.wire.transaction_id, &found),
	                 PACKET_CLAIM_NONE);
	direction_close(&d);
}

/* What is not there leaves no half of a range behind that could be sent. */
static uint64_t no_third_page(void *context, uint64_t index)
{
	return index == 2 ? PACKET_NO_PAGE : index;
}

static void memory_that_is_not_there(void **state)
{
	uint64_t headers[4];
	struct wire_gpa_writer w;

	assert_true(wire_gpa_write_begin(&w, headers, sizeof(headers)));
	assert_int_equal(packet_gpa_add(&w, 0, 3 * 4096, no_third_page, NULL), PACKET_GPA_NO_ROOM);
	assert_int_equal(packet_gpa_add(&w, 1, 2 * 4096, no_third_page, NULL), PACKET_GPA_NO_ROOM);
	assert_int_equal(packet_gpa_add(&w, 0, 2 * 4096, no_third_page, NULL), PACKET_GPA_OK);

	uint64_t more[5];

	assert_true(wire_gpa_write_begin(&w, more, sizeof(more)));
	assert_int_equal(packet_gpa_add(&w, 0, 3 * 4096, no_third_page, NULL), PACKET_GPA_NO_PAGE);
}

/* The limits' arithmetic, by hand: 4 ranges of 5 pages' bytes in all. */
static void sizes(void **state)
{
	struct packet_limits host = limits_of(true, false), guest = limits_of(false, false);

	assert_int_equal(packet_gpa_pages_max(&host), 13);
	assert_int_equal(packet_headers_max(&host), 8 + 4 * 8 + 13 * 8);
	assert_int_equal(packet_headers_max(&guest), 8 + 4 * 8);
	assert_int_equal(packet_ring_least(&host), 16 + 144 + 8 + 104 + 8 + 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_band),        cmocka_unit_test(gpa_direct),
		cmocka_unit_test(transfer_pages), cmocka_unit_test(completions),
		cmocka_unit_test(transactions),   cmocka_unit_test(memory_that_is_not_there),
		cmocka_unit_test(sizes),
	};

	for (uint32_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 37 + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
