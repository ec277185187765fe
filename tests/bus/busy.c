/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A host that has no room: once, at each message of a guest's whole life; from each of them on, for
 * good; and always. Whatever was asked is said in the end, whole, once and in its order, or is not
 * wanted any more; each question has its answer; nothing is lost.
 */

#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#define PAGES    600u
#define SAID_MAX 256u
#define NEVER    UINT32_MAX

/* What was said: a message's type and its bytes. */
struct said {
	size_t size;
	union wire_message message;
};

static struct host {
	struct memory_count memory; /* first */
	struct client *client;
	struct said said[SAID_MAX];
	uint32_t said_count, answered; /* of them */
	uint32_t tries;
	uint32_t busy_from, busy_to; /* tries that are refused */
	uint64_t words[PAGES + 1];   /* of the GPADL being described */
	uint32_t word_count;
	uint32_t version;
	unsigned int connected, refused, opened, created, torndown, modified, rescinded, unloaded;
	unsigned int failed; /* answers of the machine's own */
	unsigned int offers, faults;
} host;

static void *host_allocate(void *context, size_t size)
{
	return client_fixture_ops()->memory.allocate(context, size);
}

static void host_release(void *context, void *memory, size_t size)
{
	client_fixture_ops()->memory.release(context, memory, size);
}

static bool host_send(void *context, const void *message, size_t size, uint32_t connection_id)
{
	uint32_t try = host.tries++;
	struct said *said = &host.said[host.said_count];

	assert_in_range(size, sizeof(struct wire_message_header), WIRE_MESSAGE_MAX);
	assert_int_equal(connection_id, 1);
	if (try >= host.busy_from && try < host.busy_to)
		return false;
	assert_true(host.said_count < SAID_MAX);
	memset(said, 0, sizeof(*said));
	memcpy(&said->message, message, size);
	said->size = size;
	host.said_count++;
	return true;
}

static void on_connected(void *context, uint32_t version, uint32_t features)
{
	if (version)
		host.connected++;
	else
		host.refused++;
}

static void on_offer(void *context, const struct bus_offer *offer, void **owner)
{
	host.offers++;
}

static void on_rescind(void *context, void *owner, uint32_t channel_id)
{
	host.rescinded++;
}

static void on_opened(void *context, void *owner, uint32_t channel_id, uint32_t open_id,
                      uint32_t status)
{
	host.opened++;
	host.failed += status != 0;
}

static void on_created(void *context, void *owner, uint32_t channel_id, uint32_t gpadl,
                       uint32_t status)
{
	host.created++;
	host.failed += status != 0;
}

static void on_torndown(void *context, void *owner, uint32_t channel_id, uint32_t gpadl)
{
	host.torndown++;
}

static void on_modified(void *context, void *owner, uint32_t channel_id, uint32_t status)
{
	host.modified++;
	host.failed += status != 0;
}

static void on_unloaded(void *context)
{
	host.unloaded++;
}

static void on_fault(void *context, const struct bus_fault *fault)
{
	host.faults++;
}

static const struct client_ops ops = {
	.memory = { host_allocate, host_release },
	.send = host_send,
	.connected = on_connected,
	.offer = on_offer,
	.rescind = on_rescind,
	.opened = on_opened,
	.gpadl_created = on_created,
	.gpadl_torndown = on_torndown,
	.modified = on_modified,
	.unloaded = on_unloaded,
	.fault = on_fault,
};

static void host_begins(uint32_t busy_from, uint32_t busy_to)
{
	memset(&host, 0, sizeof(host));
	host.busy_from = busy_from;
	host.busy_to = busy_to;
	assert_int_equal(client_create(&ops, &host, &host.client), BUS_OK);
}

static void host_ends(void)
{
	assert_int_equal(client_destroy(host.client), BUS_OK);
	assert_int_equal(host.memory.blocks, 0);
}

/* ---------------- the host's answers ---------------- */

static void say(const void *message, size_t size)
{
	assert_int_equal(client_message(host.client, message, size), BUS_OK);
}

static void say_offers(void)
{
	for (uint32_t id = 1; id <= 2; id++) {
		struct wire_offer_channel m = { .header.type = WIRE_OFFER_CHANNEL,
			                        .channel_id = id,
			                        .dedicated_interrupt = 1,
			                        .connection_id = 0x2000 + id };

		say(&m, sizeof(m));
	}
}

static void take_words(const struct said *said, size_t at)
{
	uint32_t count = (uint32_t)(said->size - at) / 8;

	assert_int_equal((said->size - at) % 8, 0);
	assert_true(host.word_count + count <= PAGES + 1);
	memcpy(host.words + host.word_count, said->message.bytes + at, count * 8);
	host.word_count += count;
}

static void check_words(void)
{
	assert_int_equal(host.words[0], range_word(PAGES * 4096, 0));
	for (uint32_t i = 0; i < PAGES; i++)
		assert_int_equal(host.words[i + 1], 1000 + i);
}

static void answer_gpadl(const struct said *said, uint32_t channel_id, uint32_t gpadl)
{
	struct wire_gpadl_created m = { .header.type = WIRE_GPADL_CREATED,
		                        .channel_id = channel_id,
		                        .gpadl = gpadl };

	if (host.word_count < PAGES + 1)
		return;
	check_words();
	host.word_count = 0;
	say(&m, sizeof(m));
}

static void answer(const struct said *said)
{
	const union wire_message *m = &said->message;
	static uint32_t describing;

	switch (m->header.type) {
	case WIRE_INITIATE_CONTACT: {
		struct wire_version_response r = { .header.type = WIRE_VERSION_RESPONSE,
			                           .version_supported = 1,
			                           .selected_version = host.version };

		say(&r, WIRE_VERSION_RESPONSE_SIZE);
		break;
	}
	case WIRE_REQUEST_OFFERS:
		say_offers();
		break;
	case WIRE_GPADL_HEADER:
		describing = m->gpadl_header.channel_id;
		take_words(said, sizeof(m->gpadl_header));
		answer_gpadl(said, describing, m->gpadl_header.gpadl);
		break;
	case WIRE_GPADL_BODY:
		take_words(said, sizeof(m->gpadl_body));
		answer_gpadl(said, describing, m->gpadl_body.gpadl);
		break;
	case WIRE_GPADL_TEARDOWN: {
		struct wire_gpadl_torndown r = { .header.type = WIRE_GPADL_TORNDOWN,
			                         .gpadl = m->gpadl_teardown.gpadl };

		say(&r, sizeof(r));
		break;
	}
	case WIRE_OPEN_CHANNEL: {
		struct wire_open_channel_result r = { .header.type = WIRE_OPEN_CHANNEL_RESULT,
			                              .channel_id = m->open_channel.channel_id,
			                              .open_id = m->open_channel.open_id };

		say(&r, sizeof(r));
		break;
	}
	case WIRE_UNLOAD: {
		struct wire_message_header r = { .type = WIRE_UNLOAD_COMPLETE };

		say(&r, sizeof(r));
		break;
	}
	default:
		break;
	}
}

/* Answers what was said, and asks again while there is something to say. */
static void pump(void)
{
	for (unsigned int i = 0; i < 3; i++) {
		while (host.answered < host.said_count)
			answer(&host.said[host.answered++]);
		client_resume(host.client);
	}
}

/* ---------------- a guest's life ---------------- */

static uint64_t pfns[PAGES];
static const struct bus_gpa_range range = { PAGES * 4096, 0, pfns };

static void life(uint32_t version, void (*between)(void))
{
	struct client_contact contact = { .version_max = version, .message_sint = 2 };
	const struct bus_guid endpoint = { "e" }, service = { "s" };
	struct wire_channel_message rescind = { .header.type = WIRE_RESCIND_CHANNEL_OFFER,
		                                .channel_id = 1 };
	struct client_open open = { .ring_offset = 4 };
	uint32_t gpadl = 0;

	for (uint32_t i = 0; i < PAGES; i++)
		pfns[i] = 1000 + i;
	host.version = version;
	client_connect(host.client, &contact);
	between();
	for (uint32_t id = 1; id <= 2; id++) {
		client_gpadl_create(host.client, id, &range, 1, &gpadl);
		between();
		open.ring_gpadl = gpadl;
		client_open(host.client, id, &open);
		between();
		client_modify(host.client, id, 1);
		client_tl_connect(host.client, &endpoint, &service);
		between();
		client_close(host.client, id);
		client_open(host.client, id, &open);
		client_close(host.client, id);
		client_gpadl_teardown(host.client, id, gpadl);
		between();
	}
	client_gpadl_create(host.client, 1, &range, 1, &gpadl);
	say(&rescind, sizeof(rescind));
	client_release(host.client, 1);
	between();
	client_unload(host.client);
	between();
}

static void nothing(void)
{
}

static uint32_t count_said(uint32_t type)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < host.said_count; i++)
		count += host.said[i].message.header.type == type;
	return count;
}

/* Each message of it is refused once, and comes again; the host hears the same. */
static void busy_once_at_each_message(void **state)
{
	static struct said calm[SAID_MAX];
	uint32_t count, last_gpadl;

	(void)state;
	host_begins(NEVER, NEVER);
	life(WIRE_VERSION_4_1, pump);
	count = host.said_count;
	memcpy(calm, host.said, sizeof(calm));
	assert_in_range(count, 60, SAID_MAX - 1);
	assert_int_equal(host.unloaded, 1);
	assert_int_equal(host.offers, 2);
	host_ends();
	last_gpadl = 0;
	for (uint32_t n = 0; n < count; n++) {
		host_begins(n, n + 1);
		life(WIRE_VERSION_4_1, pump);
		assert_int_equal(host.tries >= host.said_count, true);
		assert_int_equal(host.unloaded, 1);
		assert_int_equal(host.offers, 2);
		assert_int_equal(host.connected, 1);
		assert_int_equal(host.rescinded, 2);
		assert_int_equal(host.faults, 0);
		assert_int_equal(count_said(WIRE_UNLOAD), 1);
		assert_int_equal(count_said(WIRE_RELID_RELEASED), 1);
		last_gpadl += host.said_count == count;
		if (host.said_count == count)
			assert_memory_equal(host.said, calm, sizeof(calm));
		host_ends();
	}
	/* But where what was refused was taken back before it could be said. */
	assert_in_range(last_gpadl, count - 40, count - 1);
}

/* From some message on there is no room any more: every question is answered by the goodbye of the
 * connection, and all memory comes back. */
static void busy_from_each_message_on(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < 100; n++) {
		host_begins(n, NEVER);
		life(WIRE_VERSION_4_1, pump);
		client_reset(host.client);
		assert_int_equal(host.unloaded, 1);
		assert_int_equal(host.said_count <= n, true);
		host_ends();
	}
}

/* All of a life is asked for before the host takes anything, and then what is left of it. */
static void asked_while_busy(void **state)
{
	(void)state;
	host_begins(0, NEVER);
	life(WIRE_VERSION_4_1, nothing);
	assert_int_equal(host.tries, 1);
	assert_int_equal(host.refused, 1);
	assert_int_equal(host.unloaded, 1);
	assert_int_equal(client_resume(host.client), BUS_OK);
	assert_int_equal(host.said_count, 0);
	host_ends();
}

static void connected_and_busy(void)
{
	struct client_contact contact = { .version_max = WIRE_VERSION_4_1, .message_sint = 2 };

	for (uint32_t i = 0; i < PAGES; i++)
		pfns[i] = 1000 + i;
	host_begins(NEVER, NEVER);
	host.version = WIRE_VERSION_4_1;
	client_connect(host.client, &contact);
	pump();
	host.busy_from = host.tries;
}

static void room_again(void)
{
	host.busy_from = NEVER;
	assert_int_equal(client_resume(host.client), BUS_OK);
}

/* What is taken back before it was said never is. */
static void taken_back(void **state)
{
	struct client_open open = { .ring_gpadl = 1, .ring_offset = 4 };
	uint32_t gpadl, before;

	(void)state;
	connected_and_busy();
	before = host.said_count;
	assert_int_equal(client_gpadl_create(host.client, 1, &range, 1, &gpadl), BUS_OK);
	assert_int_equal(client_open(host.client, 2, &open), BUS_OK);
	assert_int_equal(client_resume(host.client), BUS_BUSY);
	assert_int_equal(client_close(host.client, 2), BUS_OK);
	assert_int_equal(client_gpadl_teardown(host.client, 1, gpadl), BUS_OK);
	assert_int_equal(host.torndown, 1);
	room_again();
	assert_int_equal(host.said_count, before);
	assert_int_equal(host.opened, 0);
	assert_int_equal(host.created, 0);
	host_ends();
}

/* The order of the calls is the order of the messages. */
static void order_is_kept(void **state)
{
	static const uint32_t types[] = { WIRE_CLOSE_CHANNEL, WIRE_GPADL_TEARDOWN,
		                          WIRE_OPEN_CHANNEL, WIRE_TL_CONNECT_REQUEST };
	const struct bus_guid endpoint = { "e" }, service = { "s" };
	struct client_open open = { .ring_offset = 4 };
	uint32_t gpadl, before;

	(void)state;
	connected_and_busy();
	room_again();
	client_gpadl_create(host.client, 1, &range, 1, &gpadl);
	pump();
	open.ring_gpadl = gpadl;
	client_open(host.client, 1, &open);
	pump();
	assert_int_equal(host.opened, 1);
	host.busy_from = host.tries;
	before = host.said_count;
	assert_int_equal(client_close(host.client, 1), BUS_OK);
	assert_int_equal(client_gpadl_teardown(host.client, 1, gpadl), BUS_OK);
	assert_int_equal(client_open(host.client, 1, &open), BUS_OK);
	assert_int_equal(client_tl_connect(host.client, &endpoint, &service), BUS_OK);
	assert_int_equal(client_tl_connect(host.client, &endpoint, &service), BUS_BUSY);
	room_again();
	assert_int_equal(host.said_count, before + 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(host.said[before + i].message.header.type, types[i]);
	host_ends();
}

/* A host that answers what it was not asked yet is wrong; but it may refuse half a GPADL. */
static void answers_before_the_question(void **state)
{
	struct wire_gpadl_created created = { .header.type = WIRE_GPADL_CREATED, .channel_id = 1 };
	struct wire_open_channel_result result = { .header.type = WIRE_OPEN_CHANNEL_RESULT,
		                                   .channel_id = 2,
		                                   .open_id = 1 };
	struct client_open open = { .ring_gpadl = 1, .ring_offset = 4 };

	(void)state;
	connected_and_busy();
	host.busy_from += 3; /* messages of the GPADL are said */
	assert_int_equal(client_gpadl_create(host.client, 1, &range, 1, &created.gpadl), BUS_OK);
	assert_int_equal(client_open(host.client, 2, &open), BUS_OK);
	say(&result, sizeof(result));
	assert_int_equal(host.faults, 1);
	say(&created, sizeof(created));
	assert_int_equal(host.faults, 2);
	assert_int_equal(host.opened + host.created, 0);
	created.status = BUS_STATUS_INSUFFICIENT_RESOURCES;
	say(&created, sizeof(created));
	assert_int_equal(host.faults, 2);
	assert_int_equal(host.created, 1);
	host.answered = host.said_count;
	room_again();
	assert_int_equal(host.said_count, host.answered + 1);
	assert_int_equal(host.said[host.answered].message.header.type, WIRE_OPEN_CHANNEL);
	host_ends();
}

/* The id is the host's again only when it has been told so. */
static void released_while_busy(void **state)
{
	struct wire_channel_message rescind = { .header.type = WIRE_RESCIND_CHANNEL_OFFER,
		                                .channel_id = 1 };

	(void)state;
	connected_and_busy();
	say(&rescind, sizeof(rescind));
	assert_int_equal(client_release(host.client, 1), BUS_OK);
	assert_int_equal(client_release(host.client, 1), BUS_REFUSED);
	say(&rescind, sizeof(rescind));
	assert_int_equal(host.faults, 1);
	for (unsigned int i = 0; i < 1000; i++) /* and it takes no memory to be told so */
		say_offers();
	assert_int_equal(host.offers, 2);
	assert_int_equal(host.memory.blocks, 3);
	room_again();
	assert_int_equal(count_said(WIRE_RELID_RELEASED), 1);
	assert_int_equal(host.memory.blocks, 2);
	say_offers();
	assert_int_equal(host.offers, 3);
	host_ends();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(busy_once_at_each_message),
		cmocka_unit_test(busy_from_each_message_on),
		cmocka_unit_test(asked_while_busy),
		cmocka_unit_test(taken_back),
		cmocka_unit_test(order_is_kept),
		cmocka_unit_test(answers_before_the_question),
		cmocka_unit_test(released_while_busy),
	};

	return cmocka_run_group_tests_name("busy", tests, NULL, NULL);
}
