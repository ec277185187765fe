/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Random messages, half sensible, at each machine, with answers in between. Whatever came, the
 * quotas hold, a new connection works, and nothing is left in the end. Fixed seeds.
 */

#include "fixture.h"

#include <stdio.h>
#include <string.h>

static uint64_t random_state;

static uint32_t random_below(uint32_t limit)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % limit;
}

/* Small numbers mostly, so that ids meet; sometimes what is at an edge. */
static uint32_t random_word(void)
{
	static const uint32_t edges[] = { 0, 1, 2047, 2048, 4095, 4096, 0x7fffffff, 0xffffffff };

	switch (random_below(8)) {
	case 0:
		return edges[random_below(8)];
	case 1:
		return random_below(0xffffffff);
	default:
		return random_below(6);
	}
}

static size_t random_message(uint8_t bytes[WIRE_MESSAGE_MAX])
{
	uint32_t words[WIRE_MESSAGE_MAX / 4];

	for (size_t i = 0; i < WIRE_MESSAGE_MAX / 4; i++)
		words[i] = random_word();
	words[0] = random_below(WIRE_MESSAGE_TYPES + 1);
	if (words[0] == WIRE_INITIATE_CONTACT) {
		words[2] = wire_versions[random_below(WIRE_VERSION_COUNT)];
		words[6] = words[7] = words[8] = words[9] = random_below(2);
	}
	if (words[0] == WIRE_GPADL_HEADER)
		words[4] = random_below(10) * 8 | (1 + random_below(2)) << 16;
	memcpy(bytes, words, sizeof(words));
	return random_below(4) ? WIRE_MESSAGE_MAX : random_below(WIRE_MESSAGE_MAX + 1);
}

#define CHANNELS 4

static void random_answer(struct fixture *f, struct server_channel *channel)
{
	uint32_t status = random_below(4) ? BUS_STATUS_SUCCESS : BUS_STATUS_UNSUCCESSFUL;

	switch (random_below(7)) {
	case 0:
		server_contact_done(f->server, status == BUS_STATUS_SUCCESS);
		break;
	case 1:
		server_open_done(f->server, channel, status);
		break;
	case 2:
		server_close_done(f->server, channel);
		break;
	case 3:
		server_modify_done(f->server, channel, status);
		break;
	case 4:
		server_gpadl_done(f->server, channel, random_word(), status);
		break;
	case 5:
		server_gpadl_teardown_done(f->server, channel, random_word());
		break;
	case 6:
		server_monitor_pages_done(f->server, status == BUS_STATUS_SUCCESS);
		break;
	}
	forget(f);
}

/* The owners answer whatever may have been asked, until the connection is over. */
static void answer_everything(struct fixture *f, struct server_channel *channels[CHANNELS])
{
	server_monitor_pages_done(f->server, true);
	server_contact_done(f->server, false);
	for (int c = 0; c < CHANNELS; c++) {
		server_open_done(f->server, channels[c], BUS_STATUS_UNSUCCESSFUL);
		server_close_done(f->server, channels[c]);
	}
}

static void finish_gpadls(struct fixture *f, struct server_channel *channels[CHANNELS],
                          const uint32_t *ids, size_t count)
{
	for (int c = 0; c < CHANNELS; c++) {
		for (size_t i = 0; i < count; i++) {
			server_gpadl_done(f->server, channels[c], ids[i], BUS_STATUS_SUCCESS);
			server_gpadl_teardown_done(f->server, channels[c], ids[i]);
		}
	}
	forget(f);
}

static void garbage_at_the_server(void **state)
{
	static char name[CHANNELS][2] = { "A", "B", "C", "D" };
	static const struct server_limits limits = { 10, 6, 40, 3 };
	static uint32_t ids[40000];

	(void)state;
	for (uint32_t seed = 1; seed <= 40; seed++) {
		struct fixture *f = server_fixture(&limits, WIRE_VERSION_6_0);
		struct server_channel *channels[CHANNELS];
		size_t most = 0, count = 0;

		random_state = seed;
		for (int c = 0; c < CHANNELS; c++)
			channels[c] = offer(f, name[c]);
		for (int step = 0; step < 10000; step++) {
			uint8_t bytes[WIRE_MESSAGE_MAX];
			size_t size = random_message(bytes);

			if (bytes[0] == WIRE_GPADL_HEADER)
				memcpy(&ids[count++], bytes + 12, 4);
			server_message(f->server, bytes, size);
			forget(f);
			random_answer(f, channels[random_below(CHANNELS)]);
			if (f->memory.bytes > most)
				most = f->memory.bytes;
		}
		/* The server, its channels, and GPADLs within their limits. */
		assert_true(most < 32768 + 6 * 400 + 40 * 40);
		server_reset(f->server);
		answer_everything(f, channels);
		finish_gpadls(f, channels, ids, count);
		assert_int_equal(f->memory.blocks, 1 + CHANNELS);
		connect_at(f, WIRE_VERSION_5_3);
		guest_gpadl(f, 1, 1, 8);
		expect(f, "gpadl A 1 32768@0:100-107\n");
		fixture_end(f);
	}
}

static void garbage_at_the_client(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 40; seed++) {
		struct fixture *f = client_fixture();
		struct client_contact contact = { .message_sint = 2, .feature_flags = 0xffffffff };
		struct client_open open = { .ring_gpadl = 1 };
		static const uint64_t pfns[4];
		struct bus_gpa_range range = { 16384, 0, pfns };
		uint32_t gpadl;

		random_state = seed;
		for (int step = 0; step < 10000; step++) {
			uint8_t bytes[WIRE_MESSAGE_MAX];
			size_t size = random_message(bytes);
			uint32_t id = random_below(8);

			client_message(f->client, bytes, size);
			switch (random_below(40)) {
			case 0:
				contact.version_max = wire_versions[random_below(11)];
				client_connect(f->client, &contact);
				break;
			case 1:
				if (random_below(20) == 0)
					client_unload(f->client);
				break;
			case 2:
				if (random_below(20) == 0)
					client_reset(f->client);
				break;
			case 3:
			case 4:
				client_open(f->client, id, &open);
				break;
			case 5:
				client_close(f->client, id);
				break;
			case 6:
				client_modify(f->client, id, 1);
				break;
			case 7:
			case 8:
				client_gpadl_create(f->client, id, &range, 1, &gpadl);
				break;
			case 9:
				client_gpadl_teardown(f->client, id, random_below(8));
				break;
			case 10:
			case 11:
				client_release(f->client, id);
				break;
			case 12:
				client_contact_refused(f->client);
				break;
			}
			forget(f);
		}
		client_reset(f->client);
		assert_int_equal(f->memory.blocks, 1);
		forget(f);
		client_connect_at(f, WIRE_VERSION_5_3);
		host_offer(f, 1);
		expect(f, "offer 1 'A' conn=0x2001 dedicated=1 monitor=0/255 sub=0 mmio=0+0 "
		          "flags=0x0\n");
		fixture_end(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(garbage_at_the_server),
		cmocka_unit_test(garbage_at_the_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
