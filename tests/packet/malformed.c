/* SPDX-License-Identifier: BSD-2-Clause */
/* What the other end may put in a ring, and what it is refused for. */
#include "fixture.h"

struct sent {
	uint16_t type;
	uint16_t payload_offset;
	uint64_t words[24]; /* headers, then the payload */
	uint32_t size;      /* of them */
	bool host, pipe;    /* who reads it */
	const char *what;   /* it is refused; NULL: it is not */
	uint64_t expected, actual;
	enum packet_setting setting;
};

#define INBAND   WIRE_PACKET_DATA_INBAND
#define GPA      WIRE_PACKET_DATA_GPA_DIRECT
#define TRANSFER WIRE_PACKET_DATA_TRANSFER_PAGES

#define PAIR(low, high) ((uint64_t)(high) << 32 | (low))

static const struct sent table[] = {
	/* kinds that this end does not take */
	{ GPA, 16, { 0 }, 8, false, false, "packet type", 11, 9, PACKET_SETTING_NONE },
	{ TRANSFER, 16, { 0 }, 8, true, false, "packet type", 11, 7, PACKET_SETTING_NONE },
	{ WIRE_PACKET_CANCEL_REQUEST, 16, { 0 }, 8, true, false, "packet type", 11, 10 },
	{ WIRE_PACKET_DATA_GPADL, 16, { 0 }, 8, true, false, "packet type", 6, 8 },
	/* payloads: 100 bytes at most, and 4 of padding */
	{ INBAND, 16, { 0 }, 104, true, false, NULL },
	{ INBAND, 16, { 0 }, 112, true, false, "packet size", 100, 112, PACKET_SETTING_PAYLOAD },
	/* headers of packets that have none are passed over: they are somebody's extension */
	{ INBAND, 32, { 0 }, 24, true, false, NULL },
	/* pipes: a header that says data, and no more than there is */
	{ INBAND, 16, { PAIR(1, 0) }, 8, true, true, NULL },
	{ INBAND, 16, { PAIR(1, 8) }, 16, true, true, NULL },
	{ INBAND, 16, { PAIR(1, 100) }, 112, true, true, NULL },
	{ INBAND, 16, { 0 }, 0, true, true, "size of a pipe packet", 8, 0, PACKET_SETTING_PIPE },
	{ INBAND,
	  16,
	  { PAIR(2, 0) },
	  8,
	  true,
	  true,
	  "type of a pipe packet",
	  1,
	  2,
	  PACKET_SETTING_PIPE },
	{ INBAND,
	  16,
	  { PAIR(1, 9) },
	  16,
	  true,
	  true,
	  "data size of a pipe packet",
	  8,
	  9,
	  PACKET_SETTING_PIPE },
	{ INBAND,
	  16,
	  { PAIR(1, 101) },
	  112,
	  true,
	  true,
	  "packet size",
	  100,
	  101,
	  PACKET_SETTING_PAYLOAD },
	/* external data: 4 ranges, 13 pages, 5 pages' bytes */
	{ GPA, 16, { 0 }, 8, true, false, "size of the headers", 8, 0, PACKET_SETTING_RANGES },
	{ GPA, 40, { PAIR(0, 1), PAIR(8, 0), 5 }, 24, true, false, NULL },
	{ GPA,
	  40,
	  { PAIR(0, 5), PAIR(8, 0), 5 },
	  24,
	  true,
	  false,
	  "range count",
	  4,
	  5,
	  PACKET_SETTING_RANGES },
	{ GPA,
	  168,
	  { 0 },
	  152,
	  true,
	  false,
	  "external data header size",
	  144,
	  152,
	  PACKET_SETTING_RANGES },
	{ GPA,
	  80,
	  { PAIR(0, 1), PAIR(5 * 4096 + 1, 0), 1, 2, 3, 4, 5, 6 },
	  64,
	  true,
	  false,
	  "bytes of all ranges",
	  5 * 4096,
	  5 * 4096 + 1,
	  PACKET_SETTING_RANGES },
	/* transfer pages: within 8 pages */
	{ TRANSFER, 32, { PAIR(1, 1), PAIR(4096, 7 * 4096) }, 16, false, false, NULL },
	{ TRANSFER,
	  32,
	  { PAIR(1, 1), PAIR(4097, 7 * 4096) },
	  16,
	  false,
	  false,
	  "end of a range",
	  8 * 4096,
	  8 * 4096 + 1,
	  PACKET_SETTING_RANGES },
	{ TRANSFER,
	  64,
	  { 0 },
	  48,
	  false,
	  false,
	  "transfer page header size",
	  40,
	  48,
	  PACKET_SETTING_RANGES },
};

static void write_raw(struct direction *d, const struct sent *sent)
{
	struct wire_packet head = {
		.type = sent->type,
		.offset8 = sent->payload_offset / 8,
	};
	struct ring_span span = { sent->words, sent->size };

	assert_int_equal(ring_write(&d->w, head, &span, 1), RING_OK);
	ring_write_publish(&d->w);
}

/* Copies that end where they end, for the sanitizers to watch. */
static bool read_one(struct direction *d)
{
	void *headers = malloc(packet_headers_max(&d->r.limits));
	void *payload = malloc(d->r.limits.payload_max);
	struct ring_packet packet = { 0 };
	struct packet_in in;
	bool good = packet_read_next(&d->r, &packet) == PACKET_DATA &&
	            packet_read_take(&d->r, &packet, headers, payload, &in);

	assert_in_range(good ? in.payload_size : 0, 0, d->r.limits.payload_max);
	free(headers);
	free(payload);
	return good;
}

static void each_is_refused_with_its_reason(void **state)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		const struct sent *sent = &table[i];
		struct packet_limits limits = limits_of(sent->host, sent->pipe);
		struct direction d;

		direction_open(&d, MIRRORED, &limits);
		write_raw(&d, sent);
		assert_int_equal(read_one(&d), sent->what == NULL);
		if (sent->what == NULL) {
			assert_null(d.r.fault.what);
		} else {
			assert_string_equal(d.r.fault.what, sent->what);
			assert_int_equal(d.r.fault.expected, sent->expected);
			assert_int_equal(d.r.fault.actual, sent->actual);
			assert_int_equal(d.r.setting, sent->setting);
			/* It stays refused, with the first reason. */
			assert_false(read_one(&d));
			assert_string_equal(d.r.fault.what, sent->what);
		}
		direction_close(&d);
	}
}

/* Whatever the words say: no byte past the limits is touched, and what passes is within them. */
static void any_words(void **state)
{
	struct direction mirrored, listed;
	uint32_t seed = 1;

	ring_fixture_open(&mirrored.f, MIRRORED, SIZE);
	ring_fixture_open(&listed.f, PAGE_LIST, SIZE);
	for (uint32_t i = 0; i < 20000; i++) {
		bool host = i & 1, pipe = i & 2;
		struct packet_limits limits = limits_of(host, pipe);
		struct sent sent = {
			.type = i & 4 ? limits.refers : INBAND,
			.payload_offset = 16 + i / 8 % 20 * 8,
			.size = i / 160 % 24 * 8,
		};
		struct direction *d = i & 8 ? &mirrored : &listed;

		for (uint32_t n = 0; n < 24; n++) {
			seed = seed * 1664525 + 1013904223;
			sent.words[n] = seed >> (seed & 15 ? 28 : 16);
			sent.words[n] |= (uint64_t)(seed >> 8 & 3) << 32;
		}
		if (sent.payload_offset - 16u > sent.size)
			continue;
		direction_start(d, &limits);
		write_raw(d, &sent);
		read_one(d);
	}
	direction_close(&mirrored);
	direction_close(&listed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_refused_with_its_reason),
		cmocka_unit_test(any_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
