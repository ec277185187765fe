/* SPDX-License-Identifier: BSD-2-Clause */

/* A host that floods: whatever it says and however often, the client holds no more than its
 * channels, of which there are 2047, and what this end asked for. */

#include "bus/client_private.h"
#include "fixture.h"

#include <string.h>

#define TIMES 20000u

static uint64_t random_state = 1;

static uint32_t random32(void)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 32);
}

static void flood_offers(struct fixture *f, uint32_t i)
{
	host_offer(f, i);
}

static void flood_offers_of_any_id(struct fixture *f, uint32_t i)
{
	host_offer(f, random32());
}

static void flood_rescinds(struct fixture *f, uint32_t i)
{
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, i % 4096);
}

/* Each is released at once, as a guest does that has no driver for it. */
static void flood_offers_and_rescinds(struct fixture *f, uint32_t i)
{
	uint32_t id = 1 + i % 2047;

	host_offer(f, id);
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, id);
	client_release(f->client, id);
}

static void flood_open_results(struct fixture *f, uint32_t i)
{
	host_open_result(f, i % 4, i % 7, i % 3);
}

static void flood_gpadls_created(struct fixture *f, uint32_t i)
{
	host_gpadl_created(f, i % 4, i, 0);
}

static void flood_gpadls_torndown(struct fixture *f, uint32_t i)
{
	host_gpadl_torndown(f, i);
}

static void flood_modify_responses(struct fixture *f, uint32_t i)
{
	host_modify_response(f, i % 4, 0);
}

static void flood_version_responses(struct fixture *f, uint32_t i)
{
	host_version(f, i & 1, i);
}

static void flood_headers(struct fixture *f, uint32_t i)
{
	static const uint32_t types[] = { WIRE_ALL_OFFERS_DELIVERED, WIRE_CLOSE_RESERVED_RESPONSE };

	host_header_only(f, types[i % 2]);
}

static void flood_tl_results(struct fixture *f, uint32_t i)
{
	struct wire_tl_connect_result m = { .header.type = WIRE_TL_CONNECT_RESULT, .status = i };

	memcpy(m.endpoint_id, &i, sizeof(i));
	host_message(f, &m, sizeof(m));
}

static void flood_garbage(struct fixture *f, uint32_t i)
{
	uint8_t bytes[WIRE_MESSAGE_MAX];

	for (size_t k = 0; k < sizeof(bytes); k++)
		bytes[k] = (uint8_t)random32();
	host_message(f, bytes, random32() % sizeof(bytes));
}

/* Opens that this end gives up, each answered late: nothing is left of them. */
static void flood_late_answers(struct fixture *f, uint32_t i)
{
	static const uint64_t pfn = 7;
	struct bus_gpa_range range = { 4096, 0, &pfn };
	struct client_open open = { 0 };
	uint32_t gpadl;

	if (i == 0)
		host_offer(f, 1);
	assert_int_equal(client_gpadl_create(f->client, 1, &range, 1, &gpadl), 0);
	if (i % 2) {
		host_gpadl_created(f, 1, gpadl, 0);
		open.ring_gpadl = gpadl;
		assert_int_equal(client_open(f->client, 1, &open), 0);
		assert_int_equal(client_close(f->client, 1), 0);
		assert_int_equal(client_gpadl_teardown(f->client, 1, gpadl), 0);
		host_open_result(f, 1, i / 2 + 1, i % 3);
	} else {
		assert_int_equal(client_gpadl_teardown(f->client, 1, gpadl), 0);
		host_gpadl_created(f, 1, gpadl, 0);
	}
	host_gpadl_torndown(f, gpadl);
}

static void memory_is_bounded(void **state)
{
	static void (*const floods[])(struct fixture * f, uint32_t i) = {
		flood_offers,           flood_offers_of_any_id,  flood_rescinds,
		flood_open_results,     flood_gpadls_created,    flood_gpadls_torndown,
		flood_modify_responses, flood_version_responses, flood_headers,
		flood_tl_results,       flood_garbage,           flood_offers_and_rescinds,
		flood_late_answers,
	};
	const size_t most = sizeof(struct client) + 2047 * sizeof(struct client_channel) +
	                    sizeof(struct client_gpadl);

	(void)state;
	for (size_t k = 0; k < sizeof(floods) / sizeof(floods[0]); k++) {
		struct fixture *f = client_fixture();

		client_connect_at(f, WIRE_VERSION_5_3);
		for (uint32_t i = 0; i < TIMES; i++) {
			floods[k](f, i);
			forget(f);
			assert_true(f->memory.bytes <= most);
		}
		if (floods[k] == flood_late_answers) /* but the channel itself */
			assert_int_equal(f->memory.blocks, 2);
		fixture_end(f);
	}
}

#define SMALL_OFFERS 6u
#define SMALL_MOST   (12u << 10)

static void note_peak(const struct fixture *f, size_t *peak)
{
	if (f->memory.bytes > *peak)
		*peak = f->memory.bytes;
}

/* What a small guest has of it: all the machine's memory, itself too, with each channel opened and
 * one more GPADL of each. */
static void six_offers_take_little(void **state)
{
	static const uint64_t pfn = 7;
	struct bus_gpa_range range = { 4096, 0, &pfn };
	struct fixture *f = client_fixture();
	size_t peak = 0;

	client_connect_at(f, WIRE_VERSION_5_3);
	for (uint32_t id = 1; id <= SMALL_OFFERS; id++)
		host_offer(f, id);
	for (uint32_t id = 1; id <= SMALL_OFFERS; id++) {
		struct client_open open = { 0 };
		uint32_t more;

		assert_int_equal(client_gpadl_create(f->client, id, &range, 1, &open.ring_gpadl),
		                 0);
		host_gpadl_created(f, id, open.ring_gpadl, 0);
		assert_int_equal(client_open(f->client, id, &open), 0);
		host_open_result(f, id, id, 0);
		assert_int_equal(client_gpadl_create(f->client, id, &range, 1, &more), 0);
		host_gpadl_created(f, id, more, 0);
		note_peak(f, &peak);
	}
	assert_int_equal(f->memory.blocks, 1 + 3 * SMALL_OFFERS);
	print_message("# the bus with %u offers: %zu bytes at most\n", SMALL_OFFERS, peak);
	assert_in_range(peak, sizeof(struct client), SMALL_MOST);
	forget(f);
	fixture_end(f);
}

/* Hosts choose ids: no choice of them makes looking for one long. */
static void channels_are_found_in_few_steps(void **state)
{
	struct fixture *f = client_fixture();
	unsigned int deepest = 0;

	client_connect_at(f, WIRE_VERSION_5_3);
	for (uint32_t id = 1; id <= WIRE_CHANNEL_ID_MAX; id++) {
		host_offer(f, id);
		forget(f);
	}
	for (uint32_t id = 1; id <= WIRE_CHANNEL_ID_MAX; id++) {
		const struct id_node *node = f->client->channels.root;
		uint32_t wanted = id << 21;
		unsigned int depth = 1;

		for (; node && node->id != wanted; depth++)
			node = node->child[wanted >> (32 - depth) & 1];
		assert_non_null(node);
		deepest = depth > deepest ? depth : deepest;
	}
	assert_in_range(deepest, 11, 12);
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(six_offers_take_little),
		cmocka_unit_test(channels_are_found_in_few_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
