/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every kind of packet as the bytes it is in a ring. The vectors are written out by hand from the
 * structures of the sources named with each, not made by this code.
 */
#include "fixture.h"

#define SIZE  4096u
#define START 0x40u /* where the packet begins: the footer says so */

struct golden {
	const uint8_t *bytes;
	uint32_t size; /* with the footer */
	struct ring_packet packet;
};

/* The headers for some ranges. */
static uint32_t encode(void *headers, uint32_t room, const struct wire_gpa_extent *extents,
                       uint32_t count)
{
	struct wire_gpa_writer w;

	if (!wire_gpa_write_begin(&w, headers, room))
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t *pfns =
			wire_gpa_write_range(&w, extents[i].byte_offset, extents[i].byte_count);

		if (!pfns)
			return 0;
		memcpy(pfns, extents[i].pfns, extents[i].pfn_count * sizeof(*pfns));
	}
	return wire_gpa_write_end(&w);
}

/* Written by this code, the ring holds the vector; read from the vector, this code sees it. */
static void expect(const struct golden *g, struct wire_packet head, const struct ring_span *spans,
                   unsigned count)
{
	for (int mode = MIRRORED; mode <= PAGE_LIST; mode++) {
		struct ring_fixture f;
		struct ring_writer w;
		struct ring_reader r;
		struct ring_packet got = { 0 };

		ring_fixture_open(&f, mode, SIZE);
		ring_fixture_start(&f, &w, &r, START);
		assert_int_equal(ring_write(&w, head, spans, count), RING_OK);
		assert_memory_equal(ring_fixture_at(&f, START), g->bytes, g->size);

		memcpy(ring_fixture_at(&f, START), g->bytes, g->size);
		f.memory.control->write_index = START + g->size;
		assert_int_equal(ring_read_next(&r, &got), RING_OK);
		assert_int_equal(got.type, g->packet.type);
		assert_int_equal(got.flags, g->packet.flags);
		assert_int_equal(got.transaction_id, g->packet.transaction_id);
		assert_int_equal(got.payload_offset, g->packet.payload_offset);
		assert_int_equal(got.size, g->packet.size);
		ring_read_advance(&r, &got);
		ring_read_publish(&r);
		assert_int_equal(f.memory.control->read_index, START + g->size);
		ring_fixture_close(&f);
	}
}

/* Linux include/linux/hyperv.h struct vmpacket_descriptor, VM_PKT_DATA_INBAND; the footer is
 * mu_msvm's PREVIOUS_PACKET_OFFSET (VmbusPacketFormat.h). */
static void in_band(void **state)
{
	_Alignas(8) static const uint8_t bytes[] = {
		0x06, 0x00, 0x02, 0x00, 0x04, 0x00, 0x01, 0x00, /* type, offset8, length8, flags */
		0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, /* transaction id */
		0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x2c, 0x20, 0x77, /* payload */
		0x6f, 0x72, 0x6c, 0x64, 0x00, 0x00, 0x00, 0x00, /* and its padding */
		0x00, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, /* footer */
	};
	const struct golden g = { bytes, sizeof(bytes), { 6, 1, 0x0123456789abcdef, 16, 32 } };
	const struct ring_span span = { "hello, world", 12 };

	expect(&g, (struct wire_packet){ 6, 2, 0, 1, 0x0123456789abcdef }, &span, 1);
}

/* Linux VM_PKT_COMP; OpenVMM vmbus_ring PACKET_TYPE_COMPLETION: the request's transaction id, no
 * flags. Here without payload. */
static void completion(void **state)
{
	_Alignas(8) static const uint8_t bytes[] = {
		0x0b, 0x00, 0x02, 0x00, 0x02, 0x00, 0x00, 0x00, /* 11 */
		0x2a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, /* transaction id */
		0x00, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, /* footer */
	};
	const struct golden g = { bytes, sizeof(bytes), { 11, 0, 0x800000000000002a, 16, 16 } };

	expect(&g, (struct wire_packet){ 11, 2, 0, 0, 0x800000000000002a }, NULL, 0);
}

/* Linux struct vmdata_gpa_direct with hv_multipage_buffer ranges (vmbus_sendpacket_mpb_desc);
 * mu_msvm VMDATA_GPA_DIRECT, GPA_RANGE (EmclpInitializeGpaRanges). */
static void gpa_direct(void **state)
{
	_Alignas(8) static const uint8_t bytes[] = {
		0x09, 0x00, 0x0a, 0x00, 0x0b, 0x00, 0x01, 0x00, /* payload at 80, 88 in all */
		0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* transaction id */
		0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, /* reserved, two ranges */
		0x00, 0x20, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, /* 8192 bytes from 512 on */
		0x34, 0x12, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* in three pages */
		0x78, 0x56, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xbc, 0x9a, 0x00, 0x00, 0x01, 0x00,
		0x00, 0x00,                                     /* one above 32 bits */
		0x10, 0x00, 0x00, 0x00, 0xf0, 0x0f, 0x00, 0x00, /* 16 bytes from 4080 on */
		0x99, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* in one page */
		/* offset8 counts from the descriptor: 16 + 8 + 8 + 24 + 8 + 8 is 72 */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* slack that offset8 steps over */
		0x70, 0x61, 0x79, 0x6c, 0x6f, 0x61, 0x64, 0x00, /* payload */
		0x00, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, /* footer */
	};
	static const uint64_t pfns[] = { 0x1234, 0x5678, 0x100009abc }, pfn = 0x99;
	const struct wire_gpa_extent extents[] = { { 8192, 512, 3, pfns }, { 16, 4080, 1, &pfn } };
	const struct wire_gpa_limits limits = { 2, 4, 8208 };
	const struct golden g = { bytes, sizeof(bytes), { 9, 1, 1, 80, 88 } };
	uint64_t headers[8] = { 0 };
	const struct ring_span spans[] = { { headers, 64 }, { "payload", 7 } };
	struct wire_gpa_ranges ranges;
	struct wire_packet_fault fault;

	assert_int_equal(encode(headers, sizeof(headers), extents, 2), 56);
	expect(&g, (struct wire_packet){ 9, 10, 0, 1, 1 }, spans, 2);
	assert_true(wire_gpa_ranges_check(&ranges, bytes + 16, 64, &limits, &fault));
	assert_int_equal(ranges.page_count, 4);
}

/* Linux struct vmtransfer_page_packet_header, as netvsc receives it: NETVSC_RECEIVE_BUFFER_ID is
 * 0xcafe (drivers/net/hyperv/hyperv_net.h). */
static void transfer_pages(void **state)
{
	_Alignas(8) static const uint8_t bytes[] = {
		0x07, 0x00, 0x05, 0x00,
		0x06, 0x00, 0x01, 0x00, /* payload at 40 */
		0x07, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, /* transaction id */
		0xfe, 0xca, 0x01, 0x00,
		0x02, 0x00, 0x00, 0x00, /* set id, sender owns, two ranges */
		0xea, 0x05, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, /* 1514 bytes from 0 on */
		0x3c, 0x00, 0x00, 0x00,
		0xa8, 0x06, 0x00, 0x00, /* 60 bytes from 1704 on */
		0x6b, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, /* payload: NVSP message 107 */
		0x00, 0x00, 0x00, 0x00,
		0x40, 0x00, 0x00, 0x00, /* footer */
	};
	static const struct wire_transfer_range list[] = { { 1514, 0 }, { 60, 1704 } };
	const struct wire_transfer transfer = { 0xcafe, true, 2, list };
	const struct golden g = { bytes, sizeof(bytes), { 7, 1, 7, 40, 48 } };
	const uint32_t message = 107;
	uint64_t headers[3];
	const struct ring_span spans[] = { { headers, 24 }, { &message, 4 } };
	struct wire_transfer got;
	struct wire_packet_fault fault;

	assert_int_equal(wire_transfer_encode(headers, sizeof(headers), &transfer), 24);
	expect(&g, (struct wire_packet){ 7, 5, 0, 1, 7 }, spans, 2);
	assert_true(wire_transfer_check(&got, bytes + 16, 24, 2, 4096, &fault));
	assert_int_equal(got.ranges[1].byte_offset, 1704);
}

/* mu_msvm VMPIPE_PROTOCOL_HEADER; Linux struct vmpipe_proto_header (hv_sock): the size that counts
 * is in the header, so that it need not be a multiple of 8. */
static void pipe_data(void **state)
{
	_Alignas(8) static const uint8_t bytes[] = {
		0x06, 0x00, 0x02, 0x00, 0x04, 0x00, 0x00, 0x00, /* in-band, no completion */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* transaction id */
		0x01, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, /* data, five bytes */
		0x61, 0x62, 0x63, 0x64, 0x65, 0x00, 0x00, 0x00, /* and padding */
		0x00, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, /* footer */
	};
	const struct golden g = { bytes, sizeof(bytes), { 6, 0, 0, 16, 32 } };
	const struct wire_pipe_header header = { WIRE_PIPE_DATA, 5 };
	const struct ring_span spans[] = { { &header, 8 }, { "abcde", 5 } };
	struct wire_packet_fault fault;
	uint32_t size;

	expect(&g, (struct wire_packet){ 6, 2, 0, 0, 0 }, spans, 2);
	assert_true(wire_pipe_check(bytes + 16, 16, &size, &fault));
	assert_int_equal(size, 5);
}

/* The control page: Linux struct hv_ring_buffer, mu_msvm VMRCB, OpenVMM protocol::Control. */
static void control_page(void **state)
{
	struct ring_fixture f;
	struct ring_writer w;
	struct ring_reader r;
	bool signal;

	ring_fixture_open(&f, MIRRORED, SIZE);
	ring_fixture_start(&f, &w, &r, 0);
	assert_int_equal(ring_fixture_write(&w, 0, "", 0), RING_OK);
	ring_write_publish(&w);
	ring_fixture_read(&r, 0);
	ring_read_publish(&r);
	assert_int_equal(ring_fixture_write(&w, 0, "12345678", 8), RING_OK);
	ring_write_publish(&w);
	ring_read_mask(&r);
	assert_false(ring_write_wait(&w, SIZE - 16 - 8, &signal));

	assert_int_equal(f.mapped[0], 0x38);  /* write index */
	assert_int_equal(f.mapped[4], 0x18);  /* read index */
	assert_int_equal(f.mapped[8], 1);     /* interrupt mask */
	assert_int_equal(f.mapped[12], 0xf0); /* pending send size 0xff0 */
	assert_int_equal(f.mapped[13], 0x0f);
	assert_int_equal(f.mapped[64], 1); /* feature bits */
	ring_fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_band),    cmocka_unit_test(completion),
		cmocka_unit_test(gpa_direct), cmocka_unit_test(transfer_pages),
		cmocka_unit_test(pipe_data),  cmocka_unit_test(control_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
