/* SPDX-License-Identifier: BSD-2-Clause */

/* GPADLs put together by the server, taken apart by the client, and how many there may be. */

#include "bus/client_private.h" /* nobody makes four thousand million GPADLs */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

static struct fixture *connected_with(const struct server_limits *limits)
{
	struct fixture *f = server_fixture(limits, WIRE_VERSION_6_0);

	connect_at(f, WIRE_VERSION_5_3);
	offer(f, "A");
	forget(f);
	return f;
}

/* ---------------- putting together ---------------- */

static void sizes_around_the_message_boundaries(void **state)
{
	/* Header 26 pages, then 28 a body. */
	static const uint32_t pages[] = { 1, 25, 26, 27, 53, 54, 55, 82, 83, 8190 };
	struct fixture *f = connected_with(NULL);

	(void)state;
	for (uint32_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		char line[100];

		guest_gpadl(f, 1, i, pages[i]);
		snprintf(line, sizeof(line), "gpadl A %u %u@0:100-%u\n", i, pages[i] * 4096,
		         99 + pages[i]);
		expect(f, line);
	}
	fixture_end(f);
}

static void several_ranges_across_messages(void **state)
{
	struct fixture *f = connected_with(NULL);
	uint64_t words[] = {
		range_word(4096, 0),
		1,
		range_word(4096, 1),
		2,
		3,
		range_word(1, 4095),
		4,
		range_word(8192, 4095),
		5,
		6,
		7,
	};

	(void)state;
	guest_gpadl_header(f, 1, 1, sizeof(words), 4, words, 3);
	guest_gpadl_body(f, 1, words + 3, 1);
	guest_gpadl_body(f, 1, words + 4, 2);
	expect(f, "");
	guest_gpadl_body(f, 1, words + 6, 5);
	expect(f, "gpadl A 1 4096@0:1-1 4096@1:2-3 1@4095:4-4 8192@4095:5-7\n");
	fixture_end(f);
}

static void long_ranges_across_messages(void **state)
{
	static uint64_t pfns[100];
	struct fixture *f = connected_with(NULL);
	struct bus_gpa_range ranges[3] = {
		{ 40 * 4096, 0, pfns },
		{ 100, 4090, pfns + 40 },
		{ 50 * 4096 - 17, 17, pfns + 42 },
	};
	uint64_t words[100 + 3];
	uint32_t count = 0;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		pfns[i] = 1000 + i;
	for (uint32_t r = 0; r < 3; r++) {
		uint64_t pages = wire_pages_spanned(ranges[r].byte_offset, ranges[r].byte_count);

		words[count++] = range_word(ranges[r].byte_count, ranges[r].byte_offset);
		for (uint64_t i = 0; i < pages; i++)
			words[count++] = ranges[r].pfns[i];
	}
	assert_int_equal(count, 3 + 40 + 2 + 50);
	guest_gpadl_header(f, 1, 9, (uint16_t)(count * 8), 3, words, 27);
	guest_gpadl_body(f, 9, words + 27, 28);
	guest_gpadl_body(f, 9, words + 55, 28);
	guest_gpadl_body(f, 9, words + 83, count - 83);
	expect(f, "gpadl A 9 163840@0:1000-1039 100@4090:1040-1041 204783@17:1042-1091\n");
	fixture_end(f);
}

static void the_header_may_bring_no_words(void **state)
{
	struct fixture *f = connected_with(NULL);
	uint64_t words[] = { range_word(4096, 0), 1 };

	(void)state;
	guest_gpadl_header(f, 1, 1, 16, 1, words, 0);
	guest_gpadl_body(f, 1, words, 2);
	expect(f, "gpadl A 1 4096@0:1-1\n");
	fixture_end(f);
}

static void messages_of_full_length_are_read_as_far_as_needed(void **state)
{
	struct fixture *f = connected_with(NULL);
	uint64_t words[28] = { range_word(4096, 0), 1, 99, 99 };

	(void)state;
	guest_gpadl_header(f, 1, 1, 16, 1, words, 27);
	expect(f, "gpadl A 1 4096@0:1-1\n");
	guest_gpadl_header(f, 1, 2, 16, 1, words, 1);
	guest_gpadl_body(f, 2, words + 1, 27);
	expect(f, "gpadl A 2 4096@0:1-1\n");
	fixture_end(f);
}

static void bytes_that_make_no_word_do_not_count(void **state)
{
	struct fixture *f = connected_with(NULL);
	uint64_t words[] = { range_word(4096, 0), 1 };
	union wire_message m = {
		.gpadl_body = { .header.type = WIRE_GPADL_BODY, .gpadl = 1 },
	};

	(void)state;
	guest_gpadl_header(f, 1, 1, 16, 1, words, 1);
	for (size_t size = 16; size < 24; size++) {
		server_message(f->server, &m, size);
		expect(f, "fault GPADL_BODY: no page numbers\n");
	}
	memcpy(m.bytes + 16, words + 1, 8);
	server_message(f->server, &m, 31);
	expect(f, "gpadl A 1 4096@0:1-1\n");
	fixture_end(f);
}

static void malformed_ranges_are_refused(void **state)
{
	static const struct {
		uint16_t bytes, ranges;
		uint64_t words[6];
		const char *fault;
	} cases[] = {
		{ 16, 0, { 0 }, "range buffer too small for its ranges" },
		{ 0, 0, { 0 }, "range buffer too small for its ranges" },
		{ 0, 1, { 0 }, "range buffer too small for its ranges" },
		{ 15, 1, { 4096, 1 }, "range buffer too small for its ranges" },
		{ 24, 2, { 4096, 1, 4096 }, "range buffer too small for its ranges" },
		{ 48, 65535, { 4096, 1 }, "range buffer too small for its ranges" },
		{ 16, 1, { 0, 1 }, "range of no bytes, or offset past its first page" },
		{ 16,
		  1,
		  { 1 | 4096ull << 32, 1 },
		  "range of no bytes, or offset past its first page" },
		{ 16,
		  1,
		  { 1 | 0xffffffffull << 32, 1 },
		  "range of no bytes, or offset past its first page" },
		{ 16, 1, { 4097, 1 }, "range spans more pages than the buffer has" },
		{ 16, 1, { 4096 | 1ull << 32, 1 }, "range spans more pages than the buffer has" },
		{ 24, 1, { 0xffffffff, 1, 2 }, "range spans more pages than the buffer has" },
		{ 24,
		  1,
		  { 0xffffffff | 4095ull << 32, 1, 2 },
		  "range spans more pages than the buffer has" },
		{ 32, 2, { 8192, 1, 2, 4096 }, "range spans more pages than the buffer has" },
		{ 32, 2, { 12288, 1, 2, 3 }, "range buffer holds fewer ranges than it says" },
	};

	(void)state;
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = connected_with(NULL);
		char lines[200];

		guest_gpadl_header(f, 1, 7, cases[i].bytes, cases[i].ranges, cases[i].words, 6);
		snprintf(lines, sizeof(lines),
		         "fault GPADL_HEADER: %s\n> CREATED 1 gpadl=7 0xc000000d\n",
		         cases[i].fault);
		expect(f, lines);
		guest_gpadl(f, 1, 7, 1); /* nothing is left of it */
		expect(f, "gpadl A 7 4096@0:100-100\n");
		fixture_end(f);
	}
}

static void words_after_the_last_range_are_left(void **state)
{
	struct fixture *f = connected_with(NULL);
	uint64_t words[] = { range_word(4096, 0), 1, 2, 3 };

	(void)state;
	guest_gpadl_header(f, 1, 7, 37, 1, words, 4);
	expect(f, "gpadl A 7 4096@0:1-1\n");
	fixture_end(f);
}

static void no_channel_no_gpadl(void **state)
{
	struct fixture *f = connected_with(NULL);

	(void)state;
	guest_gpadl(f, 2, 7, 1);
	expect(f, "fault GPADL_HEADER: no channel of that id\n> CREATED 2 gpadl=7 0xc0000001\n");
	guest_gpadl(f, 0, 7, 1);
	expect(f, "fault GPADL_HEADER: no channel of that id\n> CREATED 0 gpadl=7 0xc0000001\n");
	guest_gpadl(f, 0xffffffff, 7, 1);
	expect(f, "fault GPADL_HEADER: no channel of that id\n"
	          "> CREATED 4294967295 gpadl=7 0xc0000001\n");
	fixture_end(f);
}

static void the_owner_refuses_a_gpadl(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	struct server_channel *channel;
	size_t blocks;

	(void)state;
	connect_at(f, WIRE_VERSION_5_3);
	channel = offer(f, "A");
	blocks = f->memory.blocks;
	guest_gpadl(f, 1, 7, 1);
	forget(f);
	server_gpadl_done(f->server, channel, 7, BUS_STATUS_INSUFFICIENT_RESOURCES);
	expect(f, "> CREATED 1 gpadl=7 0xc000009a\n");
	assert_int_equal(f->memory.blocks, blocks);
	guest_teardown(f, 1, 7);
	expect(f, "fault GPADL_TEARDOWN: the channel has no GPADL of that id\n");
	fixture_end(f);
}

static void rings_must_be_in_a_gpadl_that_holds_them(void **state)
{
	struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
	static const uint32_t bad[] = { 0, 8, 9, 0xffffffff };
	struct wire_open_channel m = {
		.header.type = WIRE_OPEN_CHANNEL,
		.channel_id = 1,
		.open_id = 5,
		.ring_gpadl = 1,
	};

	(void)state;
	connect_at(f, WIRE_VERSION_5_3);
	offer_with_gpadl(f, "A");
	for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		m.ring_offset = bad[i];
		server_message(f->server, &m, 148);
		expect(f, "fault OPEN_CHANNEL: ring offset past its GPADL's pages\n"
		          "> OPEN_RESULT 1 open=5 0xc000000d\n");
	}
	guest_open(f, 1, 5, 2);
	expect(f, "fault OPEN_CHANNEL: the channel has no such GPADL for its rings\n"
	          "> OPEN_RESULT 1 open=5 0xc000000d\n");
	guest_gpadl(f, 1, 2, 8); /* not taken by the owner yet */
	forget(f);
	guest_open(f, 1, 5, 2);
	expect(f, "fault OPEN_CHANNEL: the channel has no such GPADL for its rings\n"
	          "> OPEN_RESULT 1 open=5 0xc000000d\n");
	fixture_end(f);
}

/* ---------------- quotas ---------------- */

static void as_many_gpadls_as_allowed(void **state)
{
	const struct server_limits limits = { 10, 3, 1000, 10 };
	struct fixture *f = server_fixture(&limits, WIRE_VERSION_6_0);
	struct server_channel *channel;

	(void)state;
	connect_at(f, WIRE_VERSION_5_3);
	channel = offer(f, "A");
	for (uint32_t i = 1; i <= 3; i++)
		guest_gpadl(f, 1, i, 1);
	forget(f);
	guest_gpadl(f, 1, 4, 1);
	expect(f, "fault GPADL_HEADER: too many GPADLs\n> CREATED 1 gpadl=4 0xc000009a\n");
	server_gpadl_done(f->server, channel, 2, BUS_STATUS_UNSUCCESSFUL);
	forget(f);
	guest_gpadl(f, 1, 4, 1);
	expect(f, "gpadl A 4 4096@0:100-100\n");
	fixture_end(f);
}

static void as_many_pages_as_allowed(void **state)
{
	const struct server_limits limits = { 10, 100, 10, 10 };
	struct fixture *f = server_fixture(&limits, WIRE_VERSION_6_0);
	struct server_channel *channel;

	(void)state;
	connect_at(f, WIRE_VERSION_5_3);
	channel = offer(f, "A");
	forget(f);
	guest_gpadl_header(f, 1, 1, 12 * 8, 1, NULL, 0);
	expect(f, "fault GPADL_HEADER: too many pages in GPADLs\n> CREATED 1 gpadl=1 0xc000009a\n");
	guest_gpadl(f, 1, 1, 4);
	guest_gpadl(f, 1, 2, 6);
	expect(f, "gpadl A 1 16384@0:100-103\ngpadl A 2 24576@0:100-105\n");
	guest_gpadl(f, 1, 3, 1);
	expect(f, "fault GPADL_HEADER: too many pages in GPADLs\n> CREATED 1 gpadl=3 0xc000009a\n");
	server_gpadl_done(f->server, channel, 1, BUS_STATUS_SUCCESS);
	guest_teardown(f, 1, 1);
	server_gpadl_teardown_done(f->server, channel, 1);
	forget(f);
	guest_gpadl(f, 1, 3, 4);
	expect(f, "gpadl A 3 16384@0:100-103\n");
	fixture_end(f);
}

static void as_many_half_built_as_allowed(void **state)
{
	const struct server_limits limits = { 10, 100, 1000, 2 };
	struct fixture *f = connected_with(&limits);
	uint64_t words[] = { range_word(4096, 0), 1 };

	(void)state;
	guest_gpadl_header(f, 1, 1, 16, 1, words, 1);
	guest_gpadl_header(f, 1, 2, 16, 1, words, 1);
	expect(f, "");
	guest_gpadl_header(f, 1, 3, 16, 1, words, 2);
	expect(f,
	       "fault GPADL_HEADER: too many unfinished GPADLs\n> CREATED 1 gpadl=3 0xc000009a\n");
	guest_gpadl_body(f, 1, words + 1, 1);
	guest_gpadl_header(f, 1, 3, 16, 1, words, 2);
	expect(f, "gpadl A 1 4096@0:1-1\ngpadl A 3 4096@0:1-1\n");
	fixture_end(f);
}

static void as_many_channels_as_allowed(void **state)
{
	const struct server_limits limits = { 2, 100, 1000, 2 };
	struct fixture *f = server_fixture(&limits, WIRE_VERSION_6_0);
	struct bus_offer o = offer_named("C");
	struct server_channel *a, *channel;
	char owner[] = "C";

	(void)state;
	connect_at(f, WIRE_VERSION_5_3);
	a = offer(f, "A");
	offer(f, "B");
	assert_int_equal(server_offer(f->server, &o, owner, &channel), -1);
	/* A revoked one counts until the guest has released it. */
	server_revoke(f->server, a);
	assert_int_equal(server_offer(f->server, &o, owner, &channel), -1);
	guest_channel_message(f, WIRE_RELID_RELEASED, 1);
	assert_int_equal(server_offer(f->server, &o, owner, &channel), 0);
	fixture_end(f);
}

static void quotas_start_afresh_with_a_connection(void **state)
{
	const struct server_limits limits = { 10, 2, 10, 1 };
	struct fixture *f = connected_with(&limits);
	uint64_t words[] = { range_word(4096, 0), 1 };

	(void)state;
	for (int i = 0; i < 5; i++) {
		guest_gpadl_header(f, 1, 1, 16, 1, words, 1);
		expect(f, "");
		guest_header_only(f, WIRE_UNLOAD);
		connect_at(f, WIRE_VERSION_5_3);
	}
	fixture_end(f);
}

/* ---------------- many ids ---------------- */

static uint32_t id_of(uint32_t i, int shape)
{
	static const uint32_t odd[] = { 0, 0xffffffff, 0x80000000, 0x7fffffff, 1 };

	switch (shape) {
	case 0:
		return i;
	case 1:
		return i << 20;
	case 2: /* one long branch: all bits but the last ones alike */
		return i < 32 ? 1u << i : 0xdead0000 + i;
	default:
		return i < 5 ? odd[i] : i * 2654435761u;
	}
}

static void ids_of_any_shape_are_found(void **state)
{
	enum { COUNT = 300 };

	(void)state;
	for (int shape = 0; shape < 4; shape++) {
		struct fixture *f = server_fixture(NULL, WIRE_VERSION_6_0);
		struct server_channel *channel;
		size_t blocks;

		connect_at(f, WIRE_VERSION_5_3);
		channel = offer(f, "A");
		blocks = f->memory.blocks;
		for (uint32_t i = 0; i < COUNT; i++) {
			guest_gpadl(f, 1, id_of(i, shape), 1);
			server_gpadl_done(f->server, channel, id_of(i, shape), 0);
			forget(f);
		}
		for (uint32_t k = 0; k < COUNT; k++) {
			uint32_t id = id_of(k * 7 % COUNT, shape);
			char line[64];

			guest_teardown(f, 1, id);
			snprintf(line, sizeof(line), "teardown A %u\n", id);
			expect(f, line);
			server_gpadl_teardown_done(f->server, channel, id);
			snprintf(line, sizeof(line), "> TORNDOWN %u\n", id);
			expect(f, line);
			guest_teardown(f, 1, id);
			expect(f, "fault GPADL_TEARDOWN: the channel has no GPADL of that id\n");
		}
		assert_int_equal(f->memory.blocks, blocks);
		fixture_end(f);
	}
}

/* ---------------- the client takes apart ---------------- */

static void the_client_splits_at_240_bytes(void **state)
{
	static uint64_t pfns[WIRE_GPADL_WORDS_MAX];
	struct fixture *f = client_fixture();
	struct bus_gpa_range range = { 26 * 4096, 0, pfns };
	uint32_t gpadl;

	(void)state;
	client_connect_at(f, WIRE_VERSION_5_3);
	host_offer(f, 1);
	forget(f);
	assert_int_equal(client_gpadl_create(f->client, 1, &range, 1, &gpadl), 0);
	expect(f, "< GPADL_HEADER 1 gpadl=1 ranges=1 bytes=216 size=236\n");
	range.byte_count += 1; /* one page more */
	assert_int_equal(client_gpadl_create(f->client, 1, &range, 1, &gpadl), 0);
	expect(f, "< GPADL_HEADER 1 gpadl=2 ranges=1 bytes=224 size=236\n"
	          "< GPADL_BODY gpadl=2 size=24\n");
	range.byte_count = (26 + 28) * 4096;
	assert_int_equal(client_gpadl_create(f->client, 1, &range, 1, &gpadl), 0);
	expect(f, "< GPADL_HEADER 1 gpadl=3 ranges=1 bytes=440 size=236\n"
	          "< GPADL_BODY gpadl=3 size=240\n");
	range.byte_count += 4096;
	assert_int_equal(client_gpadl_create(f->client, 1, &range, 1, &gpadl), 0);
	expect(f, "< GPADL_HEADER 1 gpadl=4 ranges=1 bytes=448 size=236\n"
	          "< GPADL_BODY gpadl=4 size=240\n"
	          "< GPADL_BODY gpadl=4 size=24\n");
	fixture_end(f);
}

static void ids_wrap_around_past_those_in_use(void **state)
{
	struct fixture *f = client_fixture();

	(void)state;
	client_connect_at(f, WIRE_VERSION_5_3);
	host_offer(f, 1);
	assert_int_equal(client_gpadl_of(f, 1, 1), 1);
	f->client->last_gpadl = UINT32_MAX - 1;
	assert_int_equal(client_gpadl_of(f, 1, 1), UINT32_MAX);
	assert_int_equal(client_gpadl_of(f, 1, 1), 2); /* not 0, and 1 is in use */
	fixture_end(f);
}

static void the_client_refuses_what_cannot_be_described(void **state)
{
	static uint64_t pfns[WIRE_GPADL_WORDS_MAX];
	struct fixture *f = client_fixture();
	struct bus_gpa_range ranges[2] = { { 4096, 0, pfns }, { 4096, 0, pfns } };
	uint32_t gpadl = 0;

	(void)state;
	client_connect_at(f, WIRE_VERSION_5_3);
	host_offer(f, 1);
	forget(f);
	assert_int_equal(client_gpadl_create(f->client, 2, ranges, 1, &gpadl), -1);
	assert_int_equal(client_gpadl_create(f->client, 1, ranges, 0, &gpadl), -1);
	ranges[1].byte_count = 0;
	assert_int_equal(client_gpadl_create(f->client, 1, ranges, 2, &gpadl), -1);
	ranges[1].byte_count = 1;
	ranges[1].byte_offset = 4096;
	assert_int_equal(client_gpadl_create(f->client, 1, ranges, 2, &gpadl), -1);
	ranges[0].byte_count = 8191 * 4096; /* 8190 pages is what 16 bits can say */
	assert_int_equal(client_gpadl_create(f->client, 1, ranges, 1, &gpadl), -1);
	ranges[0].byte_count = 0xffffffff;
	ranges[0].byte_offset = 4095;
	assert_int_equal(client_gpadl_create(f->client, 1, ranges, 1, &gpadl), -1);
	assert_int_equal(gpadl, 0);
	expect(f, "");
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_around_the_message_boundaries),
		cmocka_unit_test(several_ranges_across_messages),
		cmocka_unit_test(long_ranges_across_messages),
		cmocka_unit_test(the_header_may_bring_no_words),
		cmocka_unit_test(messages_of_full_length_are_read_as_far_as_needed),
		cmocka_unit_test(bytes_that_make_no_word_do_not_count),
		cmocka_unit_test(malformed_ranges_are_refused),
		cmocka_unit_test(words_after_the_last_range_are_left),
		cmocka_unit_test(no_channel_no_gpadl),
		cmocka_unit_test(the_owner_refuses_a_gpadl),
		cmocka_unit_test(rings_must_be_in_a_gpadl_that_holds_them),
		cmocka_unit_test(as_many_gpadls_as_allowed),
		cmocka_unit_test(as_many_pages_as_allowed),
		cmocka_unit_test(as_many_half_built_as_allowed),
		cmocka_unit_test(as_many_channels_as_allowed),
		cmocka_unit_test(quotas_start_afresh_with_a_connection),
		cmocka_unit_test(ids_of_any_shape_are_found),
		cmocka_unit_test(the_client_splits_at_240_bytes),
		cmocka_unit_test(ids_wrap_around_past_those_in_use),
		cmocka_unit_test(the_client_refuses_what_cannot_be_described),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
