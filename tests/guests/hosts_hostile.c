/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Hosts that say and write what they must not, as both of our guests' ends meet them: libkmcl's and
 * the guest kit. Each line of the table is one thing that a host does, once, beside an answer or
 * instead of it, and what has to come of it. Afterwards it is an honest host, which offers again
 * what it took back; and then everything works, and all memory comes back.
 */

#include "ends.h"
#include "hosts.h"

#include "scsi/storvsc.h"
#include "scsi/storvsc_protocol.h"

#include <stdio.h>

/* What has to come of it. */
enum outcome {
	NOTHING, /* everything works, then and there */
	NO_CONTACT,
	NO_CHANNEL, /* that opens */
	THE_END,    /* of a channel that was open */
	EITHER,     /* the two cross: whichever of these */
};

/* ---- what is said out of turn ---- */

static void say_opened(struct host *h, uint32_t channel, uint32_t open, uint32_t status)
{
	struct wire_open_channel_result m = { .header.type = WIRE_OPEN_CHANNEL_RESULT,
		                              .channel_id = channel,
		                              .open_id = open,
		                              .status = status };

	host_say(h, &m, sizeof(m));
}

static void say_created(struct host *h, uint32_t channel, uint32_t gpadl, uint32_t status)
{
	struct wire_gpadl_created m = { .header.type = WIRE_GPADL_CREATED,
		                        .channel_id = channel,
		                        .gpadl = gpadl,
		                        .status = status };

	host_say(h, &m, sizeof(m));
}

static void say_torndown(struct host *h, uint32_t gpadl)
{
	struct wire_gpadl_torndown m = { .header.type = WIRE_GPADL_TORNDOWN, .gpadl = gpadl };

	host_say(h, &m, sizeof(m));
}

static void say_header(struct host *h, uint32_t type)
{
	struct wire_message_header m = { .type = type };

	host_say(h, &m, sizeof(m));
}

static void say_modified(struct host *h, uint32_t channel)
{
	struct wire_modify_channel_response m = { .header.type = WIRE_MODIFY_CHANNEL_RESPONSE,
		                                  .channel_id = channel };

	host_say(h, &m, sizeof(m));
}

/* Of each kind an answer to what nobody asked, for ids that nobody has. */
static bool answer_nothing(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	static const uint32_t ids[] = { 0, HOSTS_CHANNEL, 99, 2047, 2048, UINT32_MAX };

	for (uint32_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		say_opened(h, ids[i], 0x12345678, 0);
		say_opened(h, ids[i], 0, 0);
		say_created(h, ids[i], 0x12345678, 0);
		say_created(h, ids[i], 0, 0xc0000001);
		say_torndown(h, 0x12345678 + ids[i]);
		say_modified(h, ids[i]);
		if (ids[i] != HOSTS_CHANNEL)
			host_say_rescind(h, ids[i]);
	}
	say_torndown(h, 0);
	say_header(h, WIRE_UNLOAD_COMPLETE);
	return true;
}

/* Each type that there is and some that there are not, too short at each length, and too long. */
static bool say_garbage(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	/* of messages of the host's: so much is too short */
	static const uint8_t least[WIRE_MESSAGE_TYPES] = {
		[WIRE_OFFER_CHANNEL] = 196,      [WIRE_RESCIND_CHANNEL_OFFER] = 12,
		[WIRE_OPEN_CHANNEL_RESULT] = 20, [WIRE_GPADL_CREATED] = 20,
		[WIRE_GPADL_TORNDOWN] = 12,      [WIRE_VERSION_RESPONSE] = 16,
		[WIRE_TL_CONNECT_RESULT] = 44,   [WIRE_MODIFY_CHANNEL_RESPONSE] = 16,
	};
	uint8_t bytes[WIRE_MESSAGE_MAX];

	for (uint32_t type = 0; type < WIRE_MESSAGE_TYPES + 8; type++) {
		bool known = type < WIRE_MESSAGE_TYPES && least[type];
		uint32_t end = known ? least[type] : WIRE_MESSAGE_MAX;

		if (type == WIRE_ALL_OFFERS_DELIVERED || type == WIRE_UNLOAD_COMPLETE)
			continue; /* with nothing but a type they are whole */
		for (uint32_t size = known ? 0 : 8; size < end; size += known ? 1 : 29) {
			memset(bytes, (int)(size * 7), sizeof(bytes));
			memcpy(bytes, &type, sizeof(type));
			host_say(h, bytes, size);
		}
	}
	memset(bytes, 0xff, sizeof(bytes));
	host_say(h, bytes, sizeof(bytes));
	return true;
}

/* ---- contact ---- */

static bool answer_contact_with(struct host *h, uint8_t supported, uint8_t state, uint32_t id,
                                size_t size)
{
	struct wire_version_response m = { .header.type = WIRE_VERSION_RESPONSE,
		                           .version_supported = supported,
		                           .connection_state = state,
		                           .message_connection_id = id };

	host_say(h, &m, size);
	return false;
}

static bool know_no_version(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	return answer_contact_with(h, 0, 0, 0, WIRE_VERSION_RESPONSE_SIZE);
}

static bool fail_to_connect(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	return answer_contact_with(h, 1, (uint8_t)t->value, 4, WIRE_VERSION_RESPONSE_SIZE);
}

static bool name_a_connection(struct host *h, const struct host_trick *t,
                              const union wire_message *m)
{
	return answer_contact_with(h, 1, 0, (uint32_t)t->value, WIRE_VERSION_RESPONSE_SIZE);
}

static bool answer_contact_shortly(struct host *h, const struct host_trick *t,
                                   const union wire_message *m)
{
	answer_contact_with(h, 1, 0, 4, 12);
	return true;
}

static bool answer_contact_too(struct host *h, const struct host_trick *t,
                               const union wire_message *m)
{
	answer_contact_with(h, 1, 0, 4, WIRE_VERSION_RESPONSE_SIZE);
	answer_contact_with(h, 0, 0, 4, WIRE_VERSION_RESPONSE_SIZE);
	return true;
}

static bool offer_too(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	host_say_offer(h, (uint32_t)t->value);
	return true;
}

/* ---- offers ---- */

static bool offer_what_cannot_be(struct host *h, const struct host_trick *t,
                                 const union wire_message *m)
{
	struct wire_offer_channel offer = { .header.type = WIRE_OFFER_CHANNEL,
		                            .channel_id = 5,
		                            .monitor_allocated = 1,
		                            .monitor_id = 128 };

	host_say(h, &offer, sizeof(offer));
	host_say_offer(h, 0);
	host_say_offer(h, 2048);
	host_say_offer(h, UINT32_MAX);
	return true;
}

/* More than a small guest has memory for; each is taken back, and again. The good one comes first.
 */
static bool offer_without_end(struct host *h, const struct host_trick *t,
                              const union wire_message *m)
{
	struct wire_offer_channel offer = { .header.type = WIRE_OFFER_CHANNEL,
		                            .dedicated_interrupt = 1,
		                            .interface_type = "nobody's" };

	if (m && m->header.type == WIRE_REQUEST_OFFERS)
		host_say_offer(h, HOSTS_CHANNEL);
	for (int round = 0; round < 2; round++) {
		for (offer.channel_id = 100; offer.channel_id < 700; offer.channel_id++) {
			memcpy(offer.interface_instance, &offer.channel_id, 4);
			host_say(h, &offer, sizeof(offer));
		}
		for (uint32_t id = 100; id < 700; id++)
			host_say_rescind(h, id);
	}
	if (!m || m->header.type != WIRE_REQUEST_OFFERS)
		return true;
	say_header(h, WIRE_ALL_OFFERS_DELIVERED);
	return false;
}

static bool offer_and_take_back(struct host *h, const struct host_trick *t,
                                const union wire_message *m)
{
	host_say_offer(h, HOSTS_CHANNEL);
	host_say_rescind(h, HOSTS_CHANNEL);
	host_say_rescind(h, HOSTS_CHANNEL);
	say_header(h, WIRE_ALL_OFFERS_DELIVERED);
	say_header(h, WIRE_ALL_OFFERS_DELIVERED);
	return false; /* it comes when it is released */
}

/* ---- rings described ---- */

static bool create_others(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	uint32_t gpadl = m->gpadl_header.gpadl;

	say_created(h, HOSTS_CHANNEL, gpadl + 1, 0);
	say_created(h, HOSTS_CHANNEL + 1, gpadl, 0);
	say_torndown(h, gpadl);
	say_opened(h, HOSTS_CHANNEL, 1, 0);
	return true;
}

static bool refuse_rings(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	say_created(h, HOSTS_CHANNEL, m->gpadl_header.gpadl, (uint32_t)t->value);
	return false;
}

static bool rescind(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	host_say_rescind(h, HOSTS_CHANNEL);
	return false;
}

/* And answers after all, which is not wrong: the two may cross. */
static bool rescind_and_create(struct host *h, const struct host_trick *t,
                               const union wire_message *m)
{
	host_say_rescind(h, HOSTS_CHANNEL);
	say_created(h, HOSTS_CHANNEL, m->gpadl_header.gpadl, (uint32_t)t->value);
	say_created(h, HOSTS_CHANNEL, m->gpadl_header.gpadl, (uint32_t)t->value);
	say_torndown(h, m->gpadl_header.gpadl);
	return false;
}

/* ---- opened ---- */

static bool open_others(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	const struct wire_open_channel *open = &m->open_channel;

	say_opened(h, HOSTS_CHANNEL, open->open_id + 1, 0);
	say_opened(h, HOSTS_CHANNEL + 1, open->open_id, 0);
	say_created(h, HOSTS_CHANNEL, open->ring_gpadl, 0);
	say_torndown(h, open->ring_gpadl);
	return true;
}

static bool refuse_open(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	say_opened(h, HOSTS_CHANNEL, m->open_channel.open_id, (uint32_t)t->value);
	return false;
}

static bool refuse_open_twice(struct host *h, const struct host_trick *t,
                              const union wire_message *m)
{
	refuse_open(h, t, m);
	say_opened(h, HOSTS_CHANNEL, m->open_channel.open_id, 0);
	return false;
}

static bool open_and_rescind(struct host *h, const struct host_trick *t,
                             const union wire_message *m)
{
	say_opened(h, HOSTS_CHANNEL, m->open_channel.open_id, 0);
	host_say_rescind(h, HOSTS_CHANNEL);
	return false;
}

static bool rescind_and_open(struct host *h, const struct host_trick *t,
                             const union wire_message *m)
{
	host_say_rescind(h, HOSTS_CHANNEL);
	say_opened(h, HOSTS_CHANNEL, m->open_channel.open_id, 0);
	say_torndown(h, m->open_channel.ring_gpadl);
	return false;
}

/* ---- closing ---- */

static bool tear_down_others(struct host *h, const struct host_trick *t,
                             const union wire_message *m)
{
	say_torndown(h, m->gpadl_teardown.gpadl + 1);
	say_created(h, HOSTS_CHANNEL, m->gpadl_teardown.gpadl, 0);
	say_torndown(h, 0);
	return true;
}

static bool tear_down_twice(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	say_torndown(h, m->gpadl_teardown.gpadl);
	return true;
}

static bool unload_otherwise(struct host *h, const struct host_trick *t,
                             const union wire_message *m)
{
	host_say_offer(h, 9);
	host_say_rescind(h, 9);
	host_say_rescind(h, HOSTS_CHANNEL);
	answer_nothing(h, t, m);
	say_header(h, WIRE_UNLOAD_COMPLETE);
	return true;
}

/* ---- in the rings ---- */

static bool offer_again(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	host_say_offer(h, HOSTS_CHANNEL);
	say_header(h, WIRE_ALL_OFFERS_DELIVERED);
	return true;
}

/* The value: what is added to the id that is under way. */
static bool complete_another(struct host *h, const struct host_trick *t,
                             const union wire_message *m)
{
	host_complete(h, host_rings(h)->id + t->value);
	return false;
}

static bool complete_as_told(struct host *h, const struct host_trick *t,
                             const union wire_message *m)
{
	host_complete(h, t->value);
	return false;
}

static bool complete_twice(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	host_complete(h, host_rings(h)->id);
	return true;
}

/* The value: a packet's first 8 bytes; 16 come, and 8 of a footer. */
static bool write_head(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	struct host_rings *r = host_rings(h);
	uint32_t at = r->writer.next; /* which is in the first page yet */
	struct wire_packet packet = { .type = WIRE_PACKET_DATA_INBAND, .offset8 = 2 };

	host_write(h, packet, r->payload, 8);
	memcpy((uint8_t *)r->writer.memory.pages[at / WIRE_PAGE_SIZE] + at % WIRE_PAGE_SIZE,
	       &t->value, sizeof(t->value));
	return false;
}

/* The value: where the host says that it has written up to. */
static bool write_index(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	__atomic_store_n(&host_rings(h)->to_guest->write_index, (uint32_t)t->value,
	                 __ATOMIC_RELEASE);
	return false;
}

/* What a writer may write as it likes: how much room it waits for. */
static bool write_hint(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	__atomic_store_n(&host_rings(h)->to_guest->pending_send_size, (uint32_t)t->value,
	                 __ATOMIC_RELAXED);
	return true;
}

/* The value: a packet's type, with a header of ranges, which is not what it says. */
static bool write_ranges(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	uint64_t header[8] = { (uint64_t)(uint32_t)(t->value >> 32) << 32, UINT64_MAX, UINT64_MAX };
	struct wire_packet packet = { .type = (uint16_t)t->value,
		                      .offset8 = 2 + 8,
		                      .flags = WIRE_PACKET_FLAG_COMPLETION_REQUESTED };

	host_write(h, packet, header, sizeof(header));
	return false;
}

/* As many as there is room for, of which the guest answers each, or none. */
static bool write_many(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	struct wire_packet packet = { .type = WIRE_PACKET_DATA_INBAND,
		                      .offset8 = 2,
		                      .flags = (uint16_t)t->value };
	struct ring_span span = { host_rings(h)->payload, 8 };

	for (int i = 0; i < 1000; i++, packet.transaction_id++)
		ring_write(&host_rings(h)->writer, packet, &span, 1);
	return true;
}

/* Larger than any that the guest has room for: half of the ring. */
static bool write_large(struct host *h, const struct host_trick *t, const union wire_message *m)
{
	static uint8_t large[256 << 10];
	struct wire_packet packet = { .type = WIRE_PACKET_DATA_INBAND, .offset8 = 2 };

	host_write(h, packet, large, host_rings(h)->writer.memory.size / 2);
	return false;
}

/* ---- the table ---- */

#define HEAD(type, offset8, length8, flags)                                         \
	((uint64_t)(type) | (uint64_t)(offset8) << 16 | (uint64_t)(length8) << 32 | \
	 (uint64_t)(flags) << 48)

static const struct line {
	struct host_trick trick;
	enum outcome outcome;
} lines[] = {
	{ { "answers to nothing", WIRE_INITIATE_CONTACT, answer_nothing }, NOTHING },
	{ { "answers to nothing", WIRE_REQUEST_OFFERS, answer_nothing }, NOTHING },
	{ { "answers to nothing", WIRE_GPADL_HEADER, answer_nothing }, NOTHING },
	{ { "answers to nothing", WIRE_OPEN_CHANNEL, answer_nothing }, NOTHING },
	{ { "answers to nothing", HOSTS_REQUEST, answer_nothing }, NOTHING },
	{ { "answers to nothing", WIRE_CLOSE_CHANNEL, answer_nothing }, NOTHING },
	{ { "answers to nothing", WIRE_GPADL_TEARDOWN, answer_nothing }, NOTHING },
	{ { "garbage", WIRE_INITIATE_CONTACT, say_garbage }, NOTHING },
	{ { "garbage", WIRE_REQUEST_OFFERS, say_garbage }, NOTHING },
	{ { "garbage", WIRE_GPADL_HEADER, say_garbage }, NOTHING },
	{ { "garbage", WIRE_OPEN_CHANNEL, say_garbage }, NOTHING },
	{ { "garbage", HOSTS_REQUEST, say_garbage }, NOTHING },
	{ { "garbage", WIRE_GPADL_TEARDOWN, say_garbage }, NOTHING },
	{ { "garbage", WIRE_UNLOAD, say_garbage }, NOTHING },

	{ { "no version", WIRE_INITIATE_CONTACT, know_no_version, 0, true }, NO_CONTACT },
	{ { "a failure", WIRE_INITIATE_CONTACT, fail_to_connect, 1 }, NO_CONTACT },
	{ { "a failure", WIRE_INITIATE_CONTACT, fail_to_connect, 255 }, NO_CONTACT },
	{ { "connection 0", WIRE_INITIATE_CONTACT, name_a_connection, 0 }, NO_CONTACT },
	{ { "connection 2^24", WIRE_INITIATE_CONTACT, name_a_connection, 1 << 24 }, NO_CONTACT },
	{ { "a short version", WIRE_INITIATE_CONTACT, answer_contact_shortly }, NOTHING },
	{ { "more versions", WIRE_REQUEST_OFFERS, answer_contact_too }, NOTHING },
	{ { "an early offer", WIRE_INITIATE_CONTACT, offer_too, HOSTS_CHANNEL }, NOTHING },

	{ { "bad offers", WIRE_REQUEST_OFFERS, offer_what_cannot_be }, NOTHING },
	{ { "an offer twice", WIRE_REQUEST_OFFERS, offer_too, HOSTS_CHANNEL }, NOTHING },
	{ { "offers without end", WIRE_REQUEST_OFFERS, offer_without_end }, NOTHING },
	{ { "offers without end", WIRE_GPADL_HEADER, offer_without_end }, NOTHING },
	{ { "offers without end", HOSTS_REQUEST, offer_without_end }, NOTHING },
	{ { "offers taken back", WIRE_REQUEST_OFFERS, offer_and_take_back }, EITHER },

	{ { "others created", WIRE_GPADL_HEADER, create_others }, NOTHING },
	{ { "rings refused", WIRE_GPADL_HEADER, refuse_rings, 1 }, NO_CHANNEL },
	{ { "rings refused", WIRE_GPADL_HEADER, refuse_rings, 0x103 }, NO_CHANNEL },
	{ { "rings refused", WIRE_GPADL_HEADER, refuse_rings, 0xc000009a }, NO_CHANNEL },
	{ { "a rescind", WIRE_GPADL_HEADER, rescind }, EITHER },
	{ { "a rescind, created", WIRE_GPADL_HEADER, rescind_and_create, 0 }, EITHER },
	{ { "a rescind, refused", WIRE_GPADL_HEADER, rescind_and_create, 0xc0000001 }, EITHER },
	{ { "a rescind", WIRE_GPADL_BODY, rescind }, EITHER },

	{ { "others opened", WIRE_OPEN_CHANNEL, open_others }, NOTHING },
	{ { "an open refused", WIRE_OPEN_CHANNEL, refuse_open, 1 }, NO_CHANNEL },
	{ { "an open refused", WIRE_OPEN_CHANNEL, refuse_open, 0x103 }, NO_CHANNEL },
	{ { "an open refused", WIRE_OPEN_CHANNEL, refuse_open, 0xc0000001 }, NO_CHANNEL },
	{ { "refused, opened", WIRE_OPEN_CHANNEL, refuse_open_twice, 0xc0000001 }, NO_CHANNEL },
	{ { "a rescind", WIRE_OPEN_CHANNEL, rescind }, EITHER },
	{ { "opened, rescinded", WIRE_OPEN_CHANNEL, open_and_rescind }, EITHER },
	{ { "rescinded, opened", WIRE_OPEN_CHANNEL, rescind_and_open }, EITHER },

	{ { "a rescind", HOSTS_REQUEST, rescind }, THE_END },
	{ { "an offer again", HOSTS_REQUEST, offer_again }, NOTHING },
	{ { "id 0", HOSTS_REQUEST, complete_as_told, 0 }, THE_END },
	{ { "id -1", HOSTS_REQUEST, complete_as_told, UINT64_MAX }, THE_END },
	{ { "the id before", HOSTS_REQUEST, complete_another, (uint64_t)-1 }, THE_END },
	{ { "the id after", HOSTS_REQUEST, complete_another, 1 }, THE_END },
	{ { "the next send's id", HOSTS_REQUEST, complete_another, 1ull << 32 }, THE_END },
	{ { "an id twice", HOSTS_REQUEST, complete_twice }, THE_END },

	{ { "no type", HOSTS_REQUEST, write_head, HEAD(0, 2, 3, 0) }, THE_END },
	{ { "a type beyond", HOSTS_REQUEST, write_head, HEAD(0xffff, 2, 3, 0) }, THE_END },
	{ { "unknown flags", HOSTS_REQUEST, write_head,
	    HEAD(WIRE_PACKET_DATA_INBAND, 2, 3, 0xfffe) },
	  THE_END },
	{ { "no length", HOSTS_REQUEST, write_head, HEAD(WIRE_PACKET_DATA_INBAND, 2, 0, 0) },
	  THE_END },
	{ { "length before offset", HOSTS_REQUEST, write_head,
	    HEAD(WIRE_PACKET_DATA_INBAND, 3, 2, 0) },
	  THE_END },
	{ { "offset 0", HOSTS_REQUEST, write_head, HEAD(WIRE_PACKET_DATA_INBAND, 0, 3, 0) },
	  THE_END },
	{ { "offset 1", HOSTS_REQUEST, write_head, HEAD(WIRE_PACKET_DATA_INBAND, 1, 3, 0) },
	  THE_END },
	{ { "offset beyond", HOSTS_REQUEST, write_head,
	    HEAD(WIRE_PACKET_DATA_INBAND, 0xffff, 3, 0) },
	  THE_END },
	{ { "longer than written", HOSTS_REQUEST, write_head,
	    HEAD(WIRE_PACKET_DATA_INBAND, 2, 4, 0) },
	  THE_END },
	{ { "the longest", HOSTS_REQUEST, write_head, HEAD(WIRE_PACKET_DATA_INBAND, 2, 0xffff, 0) },
	  THE_END },
	{ { "a completion", HOSTS_REQUEST, write_head, HEAD(WIRE_PACKET_COMPLETION, 2, 3, 0) },
	  THE_END },

	{ { "write index -8", HOSTS_REQUEST, write_index, 0xfffffff8 }, THE_END },
	{ { "write index 1", HOSTS_REQUEST, write_index, 1 }, THE_END },
	{ { "write index 2^30", HOSTS_REQUEST, write_index, 1 << 30 }, THE_END },
	{ { "write index 8", HOSTS_REQUEST, write_index, 8 }, THE_END },
	{ { "a hint", HOSTS_REQUEST, write_hint, UINT32_MAX }, NOTHING },
	{ { "a hint", HOSTS_REQUEST, write_hint, 8 }, NOTHING },

	{ { "transfer pages", HOSTS_REQUEST, write_ranges,
	    WIRE_PACKET_DATA_TRANSFER_PAGES | 1ull << 32 },
	  THE_END },
	{ { "transfer pages", HOSTS_REQUEST, write_ranges,
	    WIRE_PACKET_DATA_TRANSFER_PAGES | 0xffffffffull << 32 },
	  THE_END },
	{ { "GPA direct", HOSTS_REQUEST, write_ranges, WIRE_PACKET_DATA_GPA_DIRECT | 1ull << 32 },
	  THE_END },
	{ { "GPA direct", HOSTS_REQUEST, write_ranges,
	    WIRE_PACKET_DATA_GPA_DIRECT | 0x80000000ull << 32 },
	  THE_END },
	{ { "many packets", HOSTS_REQUEST, write_many, 0 }, NOTHING },
	{ { "many questions", HOSTS_REQUEST, write_many, 1 }, NOTHING },
	{ { "a large packet", HOSTS_REQUEST, write_large }, THE_END },

	{ { "others torn down", WIRE_GPADL_TEARDOWN, tear_down_others }, NOTHING },
	{ { "torn down twice", WIRE_GPADL_TEARDOWN, tear_down_twice }, NOTHING },
	{ { "a rescind", WIRE_GPADL_TEARDOWN, rescind }, NOTHING },
	{ { "a rescind", WIRE_CLOSE_CHANNEL, rescind }, NOTHING },
	{ { "farewells", WIRE_UNLOAD, unload_otherwise }, NOTHING },
};

/* ---- meeting it ---- */

static struct {
	struct host *host;
	char uri[128];
	bool meets;
} the;

struct meeting {
	const struct end_ops *ops;
	const struct line *line;
	char name[100];
};

/* The host is honest when this returns, if nothing came of it. */
static struct end *contact(const struct meeting *m, struct host *h, const char *uri)
{
	struct end *end = m->ops->connect(uri, WIRE_VERSION_5_3);

	if (m->line->outcome != NO_CONTACT) {
		assert_non_null(end);
		return end;
	}
	assert_null(end);
	host_be_honest(h);
	return m->ops->connect(uri, WIRE_VERSION_5_3);
}

static void open_channel(const struct meeting *m, struct end *end)
{
	enum outcome outcome = m->line->outcome;
	bool opened = m->ops->open(end);

	if (outcome != EITHER)
		assert_true(opened == (outcome != NO_CHANNEL));
	if (!opened)
		assert_true(m->ops->open(end));
}

/* The channel comes to its end, or not, as it should; it is open afterwards. */
static void use_channel(const struct meeting *m, struct end *end)
{
	enum outcome outcome = m->line->outcome;
	int i = 0;

	while (i < 3 && m->ops->echo(end))
		i++;
	if (outcome != EITHER)
		assert_true((i < 3) == (outcome == THE_END));
	if (i == 3)
		return;
	m->ops->close(end);
	assert_true(m->ops->open(end));
}

/* One for all meetings, unless one of them ended where it should not. */
static struct host *the_host(const struct host_manner *manner, const char **uri)
{
	if (the.host && !the.meets) {
		host_begin_anew(the.host, manner);
	} else {
		snprintf(the.uri, sizeof(the.uri), "%s", persona_uri());
		the.host = host_open(the.uri, manner);
	}
	the.meets = true;
	*uri = the.uri;
	return the.host;
}

static int close_the_host(void **state)
{
	if (the.host)
		host_close(the.host);
	return 0;
}

static void meet(void **state)
{
	const struct meeting *m = *state;
	struct host_manner manner = {
		.version_max = WIRE_VERSION_5_3,
		.no_monitor = WIRE_MONITOR_ID_NONE,
		.trick = &m->line->trick,
	};
	const char *uri;
	struct host *h = the_host(&manner, &uri);
	struct end *end = contact(m, h, uri);

	open_channel(m, end);
	use_channel(m, end);
	assert_true(m->ops->echo(end));
	m->ops->close(end);
	assert_true(m->ops->open(end));
	assert_true(m->ops->echo(end));
	m->ops->close(end);
	m->ops->disconnect(end);
	assert_true(host_tricked(h) > 0);
	the.meets = false;
}

/* Nobody is told that it started, and whoever opened it does not wait until his time is over. */
static void a_disk_is_taken_back(void **state)
{
	static const GUID type = STORVSC_INTERFACE_TYPE;
	static const struct host_trick trick = { "opened, rescinded", WIRE_OPEN_CHANNEL,
		                                 open_and_rescind };
	const struct host_manner manner = {
		.version_max = WIRE_VERSION_5_3,
		.no_monitor = WIRE_MONITOR_ID_NONE,
		.type = &type,
		.trick = &trick,
	};
	struct storvsc_options options = { .timeout_ms = PERSONA_WAIT_MS };
	const char *uri = persona_uri();
	struct host *h = host_open(uri, &manner);
	struct storvsc *disk;
	PDEVICE_OBJECT bus;

	assert_int_equal(kmcl_guest_open(uri, &bus), STATUS_SUCCESS);
	assert_int_equal(storvsc_open(bus, &options, &disk), STATUS_DEVICE_REMOVED);
	kmcl_guest_close(bus);
	host_close(h);
}

#define LINES (sizeof(lines) / sizeof(lines[0]))

int main(int argc, char **argv)
{
	static struct meeting meetings[ENDS_COUNT * LINES];
	static struct CMUnitTest tests[ENDS_COUNT * LINES + 1] = {
		[ENDS_COUNT * LINES] = cmocka_unit_test(a_disk_is_taken_back),
	};

	for (uint32_t i = 0; i < ENDS_COUNT * LINES; i++) {
		struct meeting *m = &meetings[i];
		uint32_t upon;

		m->ops = ends[i % ENDS_COUNT];
		m->line = &lines[i / ENDS_COUNT];
		upon = m->line->trick.upon;
		snprintf(m->name, sizeof(m->name), "%s: %s upon %s", m->ops->name,
		         m->line->trick.name,
		         upon == HOSTS_REQUEST ? "a request" : wire_message_name(upon));
		tests[i] = (struct CMUnitTest){ .name = m->name,
			                        .test_func = meet,
			                        .initial_state = m };
	}
	if (argc > 1)
		persona_pattern = temporary_uri(argv[1]);
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests(tests, NULL, close_the_host);
}
