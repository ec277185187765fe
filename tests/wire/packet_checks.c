/* SPDX-License-Identifier: BSD-2-Clause */
/* Headers of packets from the other end: what passes, what is refused and why. */
#include "wire/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct wire_gpa_limits generous = { 16, 1024, UINT32_MAX };

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

/* A copy that ends where it ends, for the sanitizers to watch. */
static void *exactly(const void *bytes, uint32_t size)
{
	void *copy = malloc(size != 0 ? size : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, size);
	return copy;
}

static uint64_t pair(uint32_t low, uint32_t high)
{
	return (uint64_t)high << 32 | low;
}

static void expect_gpa(const uint64_t *words, uint32_t size, const struct wire_gpa_limits *limits,
                       const char *what, uint64_t expected, uint64_t actual)
{
	struct wire_packet_fault fault = { 0 };
	struct wire_gpa_ranges ranges;
	void *headers = exactly(words, size);

	assert_int_equal(wire_gpa_ranges_check(&ranges, headers, size, limits, &fault),
	                 what == NULL);
	if (what != NULL) {
		assert_string_equal(fault.what, what);
		assert_int_equal(fault.expected, expected);
		assert_int_equal(fault.actual, actual);
	}
	free(headers);
}

static void ranges_one_by_one(void **state)
{
	const uint64_t words[] = { pair(0xdeadbeef, 3),
		                   pair(4096, 0),
		                   11,
		                   pair(2, 4095),
		                   21,
		                   22,
		                   pair(8193, 1),
		                   31,
		                   32,
		                   33,
		                   0x5151 /* left over */ };
	struct wire_gpa_ranges ranges;
	struct wire_gpa_extent extent;
	struct wire_packet_fault fault;

	assert_true(wire_gpa_ranges_check(&ranges, words, sizeof(words), &generous, &fault));
	assert_int_equal(ranges.page_count, 6);
	assert_int_equal(ranges.byte_count, 4096 + 2 + 8193);
	assert_true(wire_gpa_ranges_next(&ranges, &extent));
	assert_int_equal(extent.byte_count, 4096);
	assert_int_equal(extent.byte_offset, 0);
	assert_int_equal(extent.pfn_count, 1);
	assert_int_equal(extent.pfns[0], 11);
	assert_true(wire_gpa_ranges_next(&ranges, &extent));
	assert_int_equal(extent.byte_offset, 4095);
	assert_int_equal(extent.pfn_count, 2);
	assert_int_equal(extent.pfns[1], 22);
	assert_true(wire_gpa_ranges_next(&ranges, &extent));
	assert_int_equal(extent.pfn_count, 3);
	assert_int_equal(extent.pfns[2], 33);
	assert_false(wire_gpa_ranges_next(&ranges, &extent));
}

static void gpa_headers_refused(void **state)
{
	const uint64_t none[] = { pair(0, 0), pair(1, 0), 1 };
	const uint64_t empty[] = { pair(0, 1), pair(0, 0), 1 };
	const uint64_t offset[] = { pair(0, 1), pair(1, 4096), 1, 2 };
	const uint64_t far[] = { pair(0, 1), pair(UINT32_MAX, 4095), 1, 2 };
	const uint64_t wrap[] = { pair(0, 1), pair(UINT32_MAX, UINT32_MAX), 1, 2 };
	const uint64_t shy[] = { pair(0, 1), pair(2, 4095), 1 };
	const uint64_t two[] = { pair(0, 2), pair(1, 0), 1, pair(1, 0), 2 };
	const uint64_t many[] = { pair(0, UINT32_MAX), pair(1, 0), 1 };

	expect_gpa(none, 0, &generous, "size of the headers", 8, 0);
	expect_gpa(none, 7, &generous, "size of the headers", 8, 7);
	expect_gpa(none, sizeof(none), &generous, "range count", 1, 0);
	expect_gpa(two, 8, &generous, "range count", 0, 2);
	expect_gpa(two, 15, &generous, "range count", 0, 2);
	expect_gpa(two, 24, &generous, "range count", 1, 2);
	expect_gpa(two, 32, &generous, "pages of a range", 0, 1);
	expect_gpa(two, sizeof(two), &generous, NULL, 0, 0);
	expect_gpa(many, sizeof(many), &generous, "range count", 16, UINT32_MAX);
	expect_gpa(empty, sizeof(empty), &generous, "byte count of a range", 1, 0);
	expect_gpa(offset, sizeof(offset), &generous, "byte offset of a range", 4095, 4096);
	expect_gpa(wrap, sizeof(wrap), &generous, "byte offset of a range", 4095, UINT32_MAX);
	expect_gpa(far, sizeof(far), &generous, "pages of a range", 2, 1048577);
	expect_gpa(shy, sizeof(shy), &generous, "pages of a range", 1, 2);
}

static void gpa_limits(void **state)
{
	const uint64_t two[] = { pair(0, 2), pair(4096, 1), 1, 2, pair(100, 0), 3 };
	const struct wire_gpa_limits just = { 2, 3, 4196 };
	const struct wire_gpa_limits fewer_ranges = { 1, 3, 4196 };
	const struct wire_gpa_limits fewer_pages = { 2, 2, 4196 };
	const struct wire_gpa_limits fewer_bytes = { 2, 3, 4195 };

	expect_gpa(two, sizeof(two), &just, NULL, 0, 0);
	expect_gpa(two, sizeof(two), &fewer_ranges, "range count", 1, 2);
	expect_gpa(two, sizeof(two), &fewer_pages, "pages of all ranges", 2, 3);
	expect_gpa(two, sizeof(two), &fewer_bytes, "bytes of all ranges", 4195, 4196);
}

static void gpa_encoded_is_read_back(void **state)
{
	const uint64_t pfns[] = { 7, UINT64_MAX, 9 };
	const struct wire_gpa_extent extents[] = { { 5000, 4000, 3, pfns }, { 1, 0, 1, pfns } };
	uint64_t headers[16];
	uint32_t size = (uint32_t)wire_gpa_direct_size(2, 4);
	struct wire_gpa_ranges ranges;
	struct wire_gpa_extent extent;
	struct wire_packet_fault fault;

	memset(headers, 0xff, sizeof(headers));
	assert_int_equal(encode(headers, size - 1, extents, 2), 0);
	assert_int_equal(encode(headers, 7, extents, 0), 0);
	assert_int_equal(encode(headers, size, extents, 2), size);
	assert_int_equal(size, 8 + 8 + 24 + 8 + 8);
	assert_int_equal(headers[size / 8], UINT64_MAX);
	assert_true(wire_gpa_ranges_check(&ranges, headers, size, &generous, &fault));
	assert_true(wire_gpa_ranges_next(&ranges, &extent));
	assert_int_equal(extent.byte_count, 5000);
	assert_memory_equal(extent.pfns, pfns, sizeof(pfns));
	assert_true(wire_gpa_ranges_next(&ranges, &extent));
	assert_int_equal(extent.byte_count, 1);
	assert_false(wire_gpa_ranges_next(&ranges, &extent));
}

static void transfer_pages(void **state)
{
	const struct wire_transfer_range in[] = { { 100, 0 }, { 0, 1000 }, { 1, 999 } };
	const struct wire_transfer sent = { 0xcafe, true, 3, in };
	uint64_t headers[4];
	struct wire_transfer got;
	struct wire_packet_fault fault;

	assert_int_equal(wire_transfer_encode(headers, 31, &sent), 0);
	assert_int_equal(wire_transfer_encode(headers, 32, &sent), 32);
	assert_true(wire_transfer_check(&got, headers, 32, 3, 1000, &fault));
	assert_int_equal(got.pageset_id, 0xcafe);
	assert_true(got.sender_owns_set);
	assert_int_equal(got.range_count, 3);
	assert_memory_equal(got.ranges, in, sizeof(in));

	assert_false(wire_transfer_check(&got, headers, 32, 2, 1000, &fault));
	assert_string_equal(fault.what, "range count");
	assert_false(wire_transfer_check(&got, headers, 31, 3, 1000, &fault));
	assert_string_equal(fault.what, "range count");
	assert_int_equal(fault.expected, 2);
	assert_false(wire_transfer_check(&got, headers, 7, 3, 1000, &fault));
	assert_string_equal(fault.what, "size of the headers");
	assert_false(wire_transfer_check(&got, headers, 32, 3, 999, &fault));
	assert_string_equal(fault.what, "end of a range");
	headers[1] = pair(UINT32_MAX, 2); /* comes round to 1 in 32 bits */
	assert_false(wire_transfer_check(&got, headers, 32, 3, 1000, &fault));
	assert_int_equal(fault.actual, 0x100000001);
	headers[0] = pair(0xcafe, 0);
	assert_false(wire_transfer_check(&got, headers, 32, 3, 1000, &fault));
	assert_int_equal(fault.actual, 0);
}

static void pipe_header(void **state)
{
	struct wire_packet_fault fault;
	struct wire_pipe_header header[2] = { { WIRE_PIPE_DATA, 8 } };
	uint32_t size = 0;

	assert_true(wire_pipe_check(header, 16, &size, &fault));
	assert_int_equal(size, 8);
	header[0].data_size = 0;
	assert_true(wire_pipe_check(header, 8, &size, &fault));
	assert_int_equal(size, 0);
	assert_false(wire_pipe_check(header, 7, &size, &fault));
	assert_string_equal(fault.what, "size of a pipe packet");
	header[0].data_size = 9;
	assert_false(wire_pipe_check(header, 16, &size, &fault));
	assert_string_equal(fault.what, "data size of a pipe packet");
	assert_int_equal(fault.expected, 8);
	header[0].data_size = UINT32_MAX;
	assert_false(wire_pipe_check(header, 16, &size, &fault));
	header[0] = (struct wire_pipe_header){ WIRE_PIPE_PARTIAL, 8 };
	assert_false(wire_pipe_check(header, 16, &size, &fault));
	assert_string_equal(fault.what, "type of a pipe packet");
	assert_int_equal(size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_one_by_one), cmocka_unit_test(gpa_headers_refused),
		cmocka_unit_test(gpa_limits),        cmocka_unit_test(gpa_encoded_is_read_back),
		cmocka_unit_test(transfer_pages),    cmocka_unit_test(pipe_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
