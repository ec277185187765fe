/* SPDX-License-Identifier: BSD-2-Clause */
/* The network driver's pure half alone, at a scripted host: what it says, what it makes of answers
 * and of what comes, and that nothing a host makes up does more than end what it answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "net/netvsc_machine.h"

#define DEPTH   4u
#define STEP    DEPTH
#define CONTROL (DEPTH + 1)
#define SLOT    2048u
#define RECEIVE (8 * SLOT)
#define SECTION 1600u
#define SEND    (8 * SECTION)
#define LONGEST (1514u + 4)

struct fixture {
	struct netvsc_machine machine;
	struct netvsc_slot slots[DEPTH];
	struct netvsc_output out;
	uint8_t *receive, *send, *control;
	uint32_t asked[4]; /* header and id and OID of the last question */
};

static void init(struct fixture *f, const struct netvsc_machine_options *options)
{
	struct netvsc_machine_options o = { .version_max = 0 };

	if (options)
		o = *options;
	memset(f, 0, sizeof(*f));
	o.receive = f->receive = malloc(RECEIVE);
	o.send = f->send = malloc(SEND);
	o.control = f->control = malloc(NETVSC_CONTROL_BYTES);
	memset(f->receive, 0xdd, RECEIVE);
	o.receive_size = RECEIVE;
	o.send_size = SEND;
	netvsc_machine_init(&f->machine, &o, f->slots, DEPTH);
	assert_false(netvsc_machine_next(&f->machine, &f->out));
	netvsc_machine_open(&f->machine, 0xe1e10, 0xe1e11);
}

static void end(struct fixture *f)
{
	free(f->receive);
	free(f->send);
	free(f->control);
}

/* ---- what it says ---- */

static void expect_step(struct fixture *f, uint32_t type, bool completion)
{
	assert_true(netvsc_machine_next(&f->machine, &f->out));
	assert_int_equal(f->out.message.type, type);
	assert_int_equal(f->out.completion, completion);
	assert_int_equal(f->out.id, STEP);
	assert_int_equal(f->out.size, sizeof(struct nvsp_message));
	assert_null(f->out.data);
}

static bool complete(struct fixture *f, uint32_t id, const struct nvsp_message *a, uint32_t size)
{
	uint8_t *exact = malloc(size ? size : 1);
	bool right;

	memcpy(exact, a, size);
	right = netvsc_machine_completed(&f->machine, id, exact, size);
	free(exact);
	return right;
}

static void answer_init(struct fixture *f, uint32_t status)
{
	struct nvsp_message a = { .type = NVSP_INIT_COMPLETE };

	a.init_complete.negotiated_version = NVSP_VERSION_INVALID;
	a.init_complete.status = status;
	assert_true(complete(f, STEP, &a, NVSP_MESSAGE_SIZE_1));
}

static struct nvsp_message receive_complete(uint32_t status)
{
	struct nvsp_message a = { .type = NVSP_SEND_RECEIVE_BUFFER_COMPLETE };

	a.receive_buffer_complete.status = status;
	a.receive_buffer_complete.section_count = 1;
	a.receive_buffer_complete.section.slot_size = SLOT;
	a.receive_buffer_complete.section.slot_count = RECEIVE / SLOT;
	return a;
}

static struct nvsp_message send_complete(uint32_t status, uint32_t section_size)
{
	struct nvsp_message a = { .type = NVSP_SEND_SEND_BUFFER_COMPLETE };

	a.send_buffer_complete.status = status;
	a.send_buffer_complete.section_size = section_size;
	return a;
}

/* Up to where the buffers are given. */
static void agree(struct fixture *f, uint32_t version)
{
	for (;;) {
		expect_step(f, NVSP_INIT, true);
		assert_int_equal(f->out.message.init.version, f->out.message.init.version2);
		assert_true(f->out.message.init.version >= version);
		if (f->out.message.init.version == version)
			break;
		answer_init(f, NVSP_STATUS_FAILURE);
	}
	answer_init(f, NVSP_STATUS_SUCCESS);
	if (version > NVSP_VERSION_1) {
		expect_step(f, NVSP_SEND_NDIS_CONFIG, false);
		assert_int_equal(f->out.message.ndis_config.mtu, 1514);
	}
	expect_step(f, NVSP_SEND_NDIS_VERSION, false);
	assert_int_equal(f->out.message.ndis_version.major, 6);
	assert_int_equal(f->out.message.ndis_version.minor, version <= NVSP_VERSION_4 ? 1 : 30);
	expect_step(f, NVSP_SEND_RECEIVE_BUFFER, true);
	assert_int_equal(f->out.message.buffer.gpadl, 0xe1e10);
	assert_int_equal(f->out.message.buffer.id, NETVSC_RECEIVE_BUFFER_ID);
}

static void give_buffers(struct fixture *f)
{
	struct nvsp_message a = receive_complete(NVSP_STATUS_SUCCESS);

	assert_true(complete(f, STEP, &a, NVSP_MESSAGE_SIZE_1));
	expect_step(f, NVSP_SEND_SEND_BUFFER, true);
	assert_int_equal(f->out.message.buffer.gpadl, 0xe1e11);
	a = send_complete(NVSP_STATUS_SUCCESS, SECTION);
	assert_true(complete(f, STEP, &a, NVSP_MESSAGE_SIZE_1));
}

/* ---- RNDIS ---- */

static void complete_rndis(struct fixture *f, uint32_t id, uint32_t status)
{
	struct nvsp_message a = { .type = NVSP_RNDIS_PACKET_COMPLETE,
		                  .rndis_packet_complete = { status } };

	assert_true(complete(f, id, &a, 8));
}

/* The next packet asks this. */
static void expect_question(struct fixture *f, uint32_t type, uint32_t oid)
{
	assert_true(netvsc_machine_next(&f->machine, &f->out));
	assert_int_equal(f->out.message.type, NVSP_RNDIS_PACKET);
	assert_int_equal(f->out.message.rndis_packet.channel_type, NVSP_CHANNEL_CONTROL);
	assert_int_equal(f->out.message.rndis_packet.section_index, NVSP_NO_SECTION);
	assert_int_equal(f->out.id, CONTROL);
	assert_true(f->out.completion);
	assert_ptr_equal(f->out.data, f->control);
	assert_true(f->out.data_length >= 12 && f->out.data_length <= NETVSC_CONTROL_BYTES);
	memset(f->asked, 0, sizeof(f->asked));
	memcpy(f->asked, f->control, f->out.data_length < 16 ? f->out.data_length : 16);
	assert_int_equal(f->asked[0], type);
	assert_int_equal(f->asked[1], f->out.data_length);
	if (oid)
		assert_int_equal(f->asked[3], oid);
}

/* Puts `words` into the receive buffer, in memory past whose end nothing is. */
static bool deliver(struct fixture *f, const void *message, uint32_t size,
                    struct rndis_client_frame *frame)
{
	static const struct nvsp_message packet = { .type = NVSP_RNDIS_PACKET };
	struct netvsc_range range = { size, RECEIVE - size };
	struct rndis_client_frame other;
	struct netvsc_incoming in;
	bool is_frame;

	memcpy(f->receive + RECEIVE - size, message, size);
	assert_true(netvsc_machine_received(&f->machine, &in, NETVSC_RECEIVE_BUFFER_ID, &range, 1,
	                                    &packet, 8));
	is_frame = netvsc_machine_frame(&f->machine, &in, frame ? frame : &other);
	assert_false(netvsc_machine_frame(&f->machine, &in, &other));
	return is_frame;
}

/* Answers the last question: its type, this status, and data. */
static void reply(struct fixture *f, uint32_t status, const void *data, uint32_t size)
{
	uint32_t words[64] = {
		f->asked[0] | RNDIS_COMPLETE, 24 + size, f->asked[2], status, size, 16
	};

	if (f->asked[0] == RNDIS_INITIALIZE)
		words[1] = 52;
	if (f->asked[0] == RNDIS_SET)
		words[1] = 16;
	if (size)
		memcpy(words + 6, data, size);
	assert_false(deliver(f, words, words[1], NULL));
}

static const uint8_t address[6] = { 0x00, 0x15, 0x5d, 1, 2, 3 };

static void initialize_rndis(struct fixture *f)
{
	const uint32_t mtu = 1400, connected = 0;

	expect_question(f, RNDIS_INITIALIZE, 0);
	complete_rndis(f, CONTROL, NVSP_STATUS_SUCCESS);
	assert_false(netvsc_machine_next(&f->machine, &f->out));
	reply(f, RNDIS_STATUS_SUCCESS, NULL, 0);
	expect_question(f, RNDIS_QUERY, OID_802_3_CURRENT_ADDRESS);
	reply(f, RNDIS_STATUS_SUCCESS, address, 6); /* before its packet is completed */
	assert_false(netvsc_machine_next(&f->machine, &f->out));
	complete_rndis(f, CONTROL, NVSP_STATUS_SUCCESS);
	expect_question(f, RNDIS_QUERY, OID_GEN_MAXIMUM_FRAME_SIZE);
	complete_rndis(f, CONTROL, NVSP_STATUS_SUCCESS);
	reply(f, RNDIS_STATUS_SUCCESS, &mtu, 4);
	expect_question(f, RNDIS_QUERY, OID_GEN_MEDIA_CONNECT_STATUS);
	complete_rndis(f, CONTROL, NVSP_STATUS_SUCCESS);
	reply(f, RNDIS_STATUS_SUCCESS, &connected, 4);
	expect_question(f, RNDIS_SET, OID_GEN_CURRENT_PACKET_FILTER);
	complete_rndis(f, CONTROL, NVSP_STATUS_SUCCESS);
	reply(f, RNDIS_STATUS_SUCCESS, NULL, 0);
	assert_int_equal(f->machine.state, NETVSC_READY);
}

static void make_ready(struct fixture *f, uint32_t version)
{
	init(f, NULL);
	agree(f, version);
	give_buffers(f);
	initialize_rndis(f);
}

/* ---- negotiation ---- */

static void it_is_ready_with_each_version(void **state)
{
	static const uint32_t versions[] = { NVSP_VERSION_61, NVSP_VERSION_6, NVSP_VERSION_5,
		                             NVSP_VERSION_4,  NVSP_VERSION_2, NVSP_VERSION_1 };
	struct fixture f;
	size_t i;

	for (i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		make_ready(&f, versions[i]);
		assert_int_equal(f.machine.version, versions[i]);
		assert_memory_equal(f.machine.address, address, 6);
		assert_int_equal(f.machine.mtu, 1400);
		assert_true(f.machine.link_up);
		assert_false(netvsc_machine_next(&f.machine, &f.out));
		end(&f);
	}
}

static void without_a_version_in_common_it_fails(void **state)
{
	const struct netvsc_machine_options old = { .version_max = NVSP_VERSION_4 };
	struct fixture f;
	int asked = 0;

	init(&f, &old);
	while (netvsc_machine_next(&f.machine, &f.out)) {
		assert_true(f.out.message.init.version <= NVSP_VERSION_4);
		answer_init(&f, NVSP_STATUS_FAILURE);
		asked++;
	}
	assert_int_equal(asked, 3);
	assert_int_equal(f.machine.state, NETVSC_FAILED);
	assert_int_equal(f.machine.failure, NETVSC_NO_VERSION);
	end(&f);
}

static void an_answer_that_is_none_ends_the_negotiation(void **state)
{
	struct nvsp_message a;
	struct fixture f;
	uint32_t step, size, least;

	for (step = 0; step < 3; step++) {
		least = step == 0 ? 16 : step == 1 ? 28 : 12;
		for (size = 0; size <= least; size++) {
			init(&f, NULL);
			if (step)
				agree(&f, NVSP_VERSION_61);
			else
				expect_step(&f, NVSP_INIT, true);
			if (step == 2) {
				a = receive_complete(NVSP_STATUS_SUCCESS);
				assert_true(complete(&f, STEP, &a, 28));
				expect_step(&f, NVSP_SEND_SEND_BUFFER, true);
			}
			/* At the full size, of a type that is none. */
			a = step == 1 ? receive_complete(NVSP_STATUS_SUCCESS)
			              : send_complete(NVSP_STATUS_SUCCESS, SECTION);
			if (step == 0)
				a.type = NVSP_INIT_COMPLETE;
			if (size == least)
				a.type = NVSP_RNDIS_PACKET_COMPLETE;
			assert_false(complete(&f, STEP, &a, size));
			assert_int_equal(f.machine.state, NETVSC_FAILED);
			assert_int_equal(f.machine.failure, NETVSC_NONSENSE);
			assert_non_null(f.machine.fault.what);
			assert_false(netvsc_machine_next(&f.machine, &f.out));
			end(&f);
		}
	}
}

static void sections_that_do_not_fit_are_refused(void **state)
{
	static const struct {
		uint32_t count, offset, size, slots;
		bool good;
	} ways[] = {
		{ 1, 0, SLOT, 8, true },
		{ 1, 0, 68, 1, true },
		{ 1, 0, RECEIVE, 1, true },
		{ 0, 0, SLOT, 8, false },
		{ 2, 0, SLOT, 8, false },
		{ 1, 4, SLOT, 4, false },
		{ 1, 0, 67, 1, false },
		{ 1, 0, 0, 8, false },
		{ 1, 0, SLOT, 0, false },
		{ 1, 0, SLOT, 9, false },
		{ 1, 0, RECEIVE + 1, 1, false },
		{ 1, 0, 0x10000, 0x10000, false },
		{ 1, 0, 0xffffffff, 0xffffffff, false },
	};
	static const uint32_t sections[] = { 67, 0, SEND + 1, 0xffffffff };
	struct nvsp_message a;
	struct fixture f;
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		init(&f, NULL);
		agree(&f, NVSP_VERSION_61);
		a = receive_complete(NVSP_STATUS_SUCCESS);
		a.receive_buffer_complete.section_count = ways[i].count;
		a.receive_buffer_complete.section.offset = ways[i].offset;
		a.receive_buffer_complete.section.slot_size = ways[i].size;
		a.receive_buffer_complete.section.slot_count = ways[i].slots;
		assert_int_equal(complete(&f, STEP, &a, sizeof(a)), ways[i].good);
		assert_int_equal(f.machine.state == NETVSC_FAILED, !ways[i].good);
		end(&f);
	}
	for (i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		init(&f, NULL);
		agree(&f, NVSP_VERSION_61);
		a = receive_complete(NVSP_STATUS_SUCCESS);
		assert_true(complete(&f, STEP, &a, sizeof(a)));
		expect_step(&f, NVSP_SEND_SEND_BUFFER, true);
		a = send_complete(NVSP_STATUS_SUCCESS, sections[i]);
		assert_false(complete(&f, STEP, &a, sizeof(a)));
		assert_int_equal(f.machine.failure, NETVSC_NONSENSE);
		end(&f);
	}
	init(&f, NULL);
	agree(&f, NVSP_VERSION_61);
	a = receive_complete(NVSP_STATUS_FAILURE);
	assert_true(complete(&f, STEP, &a, sizeof(a)));
	assert_int_equal(f.machine.failure, NETVSC_REFUSED);
	assert_int_equal(f.machine.host_status, NVSP_STATUS_FAILURE);
	end(&f);
}

static void what_it_must_know_it_must(void **state)
{
	struct fixture f;
	int refused, step;

	for (refused = 0; refused < 5; refused++) {
		init(&f, NULL);
		agree(&f, NVSP_VERSION_61);
		give_buffers(&f);
		for (step = 0; step <= refused; step++) {
			assert_true(netvsc_machine_next(&f.machine, &f.out));
			memcpy(f.asked, f.control, sizeof(f.asked));
			complete_rndis(&f, CONTROL, NVSP_STATUS_SUCCESS);
			reply(&f, step == refused ? RNDIS_STATUS_NOT_SUPPORTED : 0, address, 6);
		}
		if (refused == 2 || refused == 3) { /* the MTU, and whether there is a link */
			assert_true(netvsc_machine_next(&f.machine, &f.out));
		} else {
			assert_int_equal(f.machine.state, NETVSC_FAILED);
			assert_int_equal(f.machine.failure, NETVSC_REFUSED);
			assert_int_equal(f.machine.host_status, RNDIS_STATUS_NOT_SUPPORTED);
		}
		if (refused == 2)
			assert_int_equal(f.machine.mtu, 1500);
		if (refused == 3)
			assert_true(f.machine.link_up);
		end(&f);
	}
	init(&f, NULL); /* an address that is too short */
	agree(&f, NVSP_VERSION_61);
	give_buffers(&f);
	expect_question(&f, RNDIS_INITIALIZE, 0);
	complete_rndis(&f, CONTROL, NVSP_STATUS_SUCCESS);
	reply(&f, RNDIS_STATUS_SUCCESS, NULL, 0);
	expect_question(&f, RNDIS_QUERY, OID_802_3_CURRENT_ADDRESS);
	reply(&f, RNDIS_STATUS_SUCCESS, address, 5);
	assert_int_equal(f.machine.failure, NETVSC_NONSENSE);
	assert_int_equal(f.machine.fault.actual, 5);
	end(&f);
	init(&f, NULL); /* and a message that the host does not take */
	agree(&f, NVSP_VERSION_61);
	give_buffers(&f);
	expect_question(&f, RNDIS_INITIALIZE, 0);
	complete_rndis(&f, CONTROL, NVSP_STATUS_FAILURE);
	assert_int_equal(f.machine.failure, NETVSC_REFUSED);
	end(&f);
}

/* ---- questions ---- */

static void an_oid_is_asked_and_set(void **state)
{
	struct rndis_client_request q = { .type = RNDIS_QUERY, .oid = OID_GEN_LINK_SPEED };
	struct rndis_client_request s = { .type = RNDIS_SET,
		                          .oid = OID_GEN_CURRENT_PACKET_FILTER,
		                          .length = 4,
		                          .data = { 0x20 } };
	const uint32_t speed = 100000;
	struct fixture f;
	uint32_t value;

	make_ready(&f, NVSP_VERSION_61);
	netvsc_machine_ask(&f.machine, &q);
	netvsc_machine_ask(&f.machine, &s);
	expect_question(&f, RNDIS_QUERY, OID_GEN_LINK_SPEED);
	assert_false(netvsc_machine_next(&f.machine, &f.out)); /* one at a time */
	complete_rndis(&f, CONTROL, NVSP_STATUS_SUCCESS);
	assert_false(netvsc_machine_next(&f.machine, &f.out));
	reply(&f, RNDIS_STATUS_SUCCESS, &speed, 4);
	assert_ptr_equal(netvsc_machine_answered(&f.machine), &q);
	assert_null(netvsc_machine_answered(&f.machine));
	assert_true(rndis_client_succeeded(&q));
	assert_int_equal(q.length, 4);
	memcpy(&value, q.data, 4);
	assert_int_equal(value, speed);
	expect_question(&f, RNDIS_SET, OID_GEN_CURRENT_PACKET_FILTER);
	memcpy(&value, f.control + 28, 4);
	assert_int_equal(value, 0x20);
	complete_rndis(&f, CONTROL, NVSP_STATUS_SUCCESS);
	reply(&f, RNDIS_STATUS_INVALID_DATA, NULL, 0);
	assert_ptr_equal(netvsc_machine_answered(&f.machine), &s);
	assert_false(rndis_client_succeeded(&s));
	assert_int_equal(s.result, RNDIS_CLIENT_DONE);
	assert_int_equal(s.status, RNDIS_STATUS_INVALID_DATA);
	end(&f);
}

/* Words of an answer to a query. */
struct answer {
	uint32_t type, length, id, status, data_length, data_offset, data[4];
};

static void answers_are_inside_of_their_messages(void **state)
{
	static const struct {
		uint32_t length, offset, taken;
		enum rndis_client_result result;
	} ways[] = {
		{ 4, 16, 4, RNDIS_CLIENT_DONE },
		{ 16, 16, 16, RNDIS_CLIENT_DONE },
		{ 0, 32, 0, RNDIS_CLIENT_DONE },
		{ 32, 0, 32, RNDIS_CLIENT_DONE },
		{ 17, 16, 0, RNDIS_CLIENT_NONSENSE },
		{ 1, 32, 0, RNDIS_CLIENT_NONSENSE },
		{ 0, 33, 0, RNDIS_CLIENT_NONSENSE },
		{ 0xffffffff, 16, 0, RNDIS_CLIENT_NONSENSE },
		{ 16, 0xffffffff, 0, RNDIS_CLIENT_NONSENSE },
		{ 0xfffffff0, 0x20, 0, RNDIS_CLIENT_NONSENSE },
	};
	struct rndis_client_request q;
	struct fixture f;
	size_t i;

	make_ready(&f, NVSP_VERSION_61);
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct answer a = { RNDIS_QUERY | RNDIS_COMPLETE, sizeof(a), 0, 0 };

		q = (struct rndis_client_request){ .type = RNDIS_QUERY, .oid = OID_GEN_LINK_SPEED };
		netvsc_machine_ask(&f.machine, &q);
		expect_question(&f, RNDIS_QUERY, OID_GEN_LINK_SPEED);
		complete_rndis(&f, CONTROL, NVSP_STATUS_SUCCESS);
		a.id = f.asked[2];
		a.data_length = ways[i].length;
		a.data_offset = ways[i].offset;
		assert_false(deliver(&f, &a, sizeof(a), NULL));
		assert_ptr_equal(netvsc_machine_answered(&f.machine), &q);
		assert_int_equal(q.result, ways[i].result);
		assert_int_equal(q.length, ways[i].taken);
	}
	end(&f);
}

static void what_answers_nothing_does_nothing(void **state)
{
	struct answer a = { RNDIS_QUERY | RNDIS_COMPLETE, sizeof(a), 0, 0, 0, 16 };
	struct rndis_client_request q = { .type = RNDIS_QUERY, .oid = OID_GEN_LINK_SPEED };
	struct fixture f;
	uint32_t id, size;

	make_ready(&f, NVSP_VERSION_61);
	assert_false(deliver(&f, &a, sizeof(a), NULL)); /* nobody asked */
	netvsc_machine_ask(&f.machine, &q);
	expect_question(&f, RNDIS_QUERY, OID_GEN_LINK_SPEED);
	complete_rndis(&f, CONTROL, NVSP_STATUS_SUCCESS);
	id = f.asked[2];
	a.id = id - 1; /* the one before */
	assert_false(deliver(&f, &a, sizeof(a), NULL));
	assert_int_equal(f.machine.fault.actual, id - 1);
	a.id = id;
	a.type = RNDIS_SET | RNDIS_COMPLETE;
	assert_false(deliver(&f, &a, sizeof(a), NULL));
	a.type = RNDIS_QUERY | RNDIS_COMPLETE;
	for (size = 0; size < 16; size++) { /* too short to say what it answers */
		a.length = size;
		assert_false(deliver(&f, &a, size, NULL));
	}
	assert_null(netvsc_machine_answered(&f.machine));
	a.length = sizeof(a);
	assert_false(deliver(&f, &a, sizeof(a), NULL));
	assert_ptr_equal(netvsc_machine_answered(&f.machine), &q);
	assert_false(deliver(&f, &a, sizeof(a), NULL)); /* twice */
	assert_null(netvsc_machine_answered(&f.machine));
	end(&f);
}

static void the_link_is_as_the_host_says(void **state)
{
	const uint32_t down[] = { RNDIS_INDICATE_STATUS, 20, RNDIS_STATUS_MEDIA_DISCONNECT, 0, 0 };
	const uint32_t up[] = { RNDIS_INDICATE_STATUS, 20, RNDIS_STATUS_MEDIA_CONNECT, 0, 0 };
	const uint32_t speed[] = { RNDIS_INDICATE_STATUS, 20, RNDIS_STATUS_LINK_SPEED, 0, 0 };
	struct fixture f;

	make_ready(&f, NVSP_VERSION_61);
	assert_false(deliver(&f, down, sizeof(down), NULL));
	assert_false(f.machine.link_up);
	assert_int_equal(f.machine.link_changes, 1);
	assert_false(deliver(&f, speed, sizeof(speed), NULL));
	assert_false(deliver(&f, up, 19, NULL)); /* cut */
	assert_false(f.machine.link_up);
	assert_false(deliver(&f, up, sizeof(up), NULL));
	assert_true(f.machine.link_up);
	assert_int_equal(f.machine.link_changes, 2);
	end(&f);
}

/* ---- frames out ---- */

static uint8_t bytes[LONGEST + 1];

static void expect_frame(struct fixture *f, const struct netvsc_frame *frame)
{
	const struct nvsp_rndis_packet *p = &f->out.message.rndis_packet;
	struct rndis_header header;
	struct rndis_packet packet;
	const uint8_t *at;

	assert_true(netvsc_machine_next(&f->machine, &f->out));
	assert_int_equal(f->out.message.type, NVSP_RNDIS_PACKET);
	assert_int_equal(p->channel_type, NVSP_CHANNEL_DATA);
	assert_int_equal(p->section_index, f->out.id);
	assert_true(f->out.id < DEPTH && f->out.completion);
	at = f->send + p->section_index * SECTION;
	memcpy(&header, at, sizeof(header));
	memcpy(&packet, at + sizeof(header), sizeof(packet));
	assert_int_equal(header.type, RNDIS_PACKET);
	assert_int_equal(header.length, 44 + frame->length);
	assert_int_equal(packet.data_length, frame->length);
	assert_int_equal(packet.data_offset, 36);
	if (frame->by_reference) {
		assert_int_equal(p->section_bytes, 44);
		assert_ptr_equal(f->out.data, frame->data);
		assert_int_equal(f->out.data_length, frame->length);
		return;
	}
	assert_int_equal(p->section_bytes, header.length);
	assert_null(f->out.data);
	assert_memory_equal(at + 44, frame->data, frame->length);
}

static void frames_go_by_sections_and_by_reference(void **state)
{
	struct netvsc_frame frames[10];
	struct fixture f;
	uint32_t ids[10], i;

	make_ready(&f, NVSP_VERSION_61);
	memset(bytes, 0x5a, sizeof(bytes));
	for (i = 0; i < 10; i++) {
		frames[i] = (struct netvsc_frame){ .data = bytes,
			                           .length = 60 + 100 * i,
			                           .by_reference = i & 1 };
		netvsc_machine_send(&f.machine, &frames[i]);
	}
	for (i = 0; i < DEPTH; i++) {
		expect_frame(&f, &frames[i]);
		ids[i] = f.out.id;
	}
	assert_false(netvsc_machine_next(&f.machine, &f.out));
	for (i = 0; i < 10; i++) {
		complete_rndis(&f, ids[i], i == 2 ? NVSP_STATUS_FAILURE : NVSP_STATUS_SUCCESS);
		assert_ptr_equal(netvsc_machine_sent(&f.machine), &frames[i]);
		assert_null(netvsc_machine_sent(&f.machine));
		assert_int_equal(frames[i].result, i == 2 ? NETVSC_REFUSED : NETVSC_DONE);
		if (i + DEPTH >= 10)
			continue;
		expect_frame(&f, &frames[i + DEPTH]);
		ids[i + DEPTH] = f.out.id;
	}
	end(&f);
}

static void lengths_of_frames_are_checked(void **state)
{
	static const struct {
		uint32_t length;
		bool good;
	} ways[] = {
		{ 0, false },    { 13, false },    { 14, true },
		{ 1414, true },  { 1418, true }, /* with a VLAN's tag */
		{ 1419, false }, { 65535, false }, { 0xffffffff, false },
	};
	struct fixture f;
	size_t i;

	make_ready(&f, NVSP_VERSION_61); /* whose MTU is 1400 */
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct netvsc_frame frame = { .data = bytes, .length = ways[i].length };

		netvsc_machine_send(&f.machine, &frame);
		if (ways[i].good) {
			expect_frame(&f, &frame);
			complete_rndis(&f, f.out.id, NVSP_STATUS_SUCCESS);
		}
		assert_ptr_equal(netvsc_machine_sent(&f.machine), &frame);
		assert_int_equal(frame.result, ways[i].good ? NETVSC_DONE : NETVSC_BAD_FRAME);
	}
	end(&f);
}

static void sections_that_are_few_or_small_do(void **state)
{
	struct netvsc_frame frames[3];
	struct nvsp_message a = receive_complete(NVSP_STATUS_SUCCESS);
	struct fixture f;
	uint32_t i;

	init(&f, NULL);
	agree(&f, NVSP_VERSION_61);
	assert_true(complete(&f, STEP, &a, sizeof(a)));
	expect_step(&f, NVSP_SEND_SEND_BUFFER, true);
	a = send_complete(NVSP_STATUS_SUCCESS, SEND / 2 - 1); /* two sections */
	assert_true(complete(&f, STEP, &a, sizeof(a)));
	initialize_rndis(&f);
	for (i = 0; i < 3; i++) {
		frames[i] = (struct netvsc_frame){ .data = bytes, .length = 60 };
		netvsc_machine_send(&f.machine, &frames[i]);
	}
	assert_true(netvsc_machine_next(&f.machine, &f.out));
	assert_true(netvsc_machine_next(&f.machine, &f.out));
	assert_int_equal(f.out.id, 1);
	assert_false(netvsc_machine_next(&f.machine, &f.out));
	end(&f);

	init(&f, NULL);
	agree(&f, NVSP_VERSION_61);
	a = receive_complete(NVSP_STATUS_SUCCESS);
	assert_true(complete(&f, STEP, &a, sizeof(a)));
	expect_step(&f, NVSP_SEND_SEND_BUFFER, true);
	a = send_complete(NVSP_STATUS_SUCCESS, 68);
	assert_true(complete(&f, STEP, &a, sizeof(a)));
	initialize_rndis(&f);
	frames[0] = (struct netvsc_frame){ .data = bytes, .length = 60 };
	netvsc_machine_send(&f.machine, &frames[0]);
	assert_true(netvsc_machine_next(&f.machine, &f.out));
	assert_ptr_equal(f.out.data, bytes); /* no room for it: by reference after all */
	assert_int_equal(f.out.message.rndis_packet.section_bytes, 44);
	end(&f);
}

static void completions_are_checked(void **state)
{
	static const uint64_t ids[] = { 1,          DEPTH,      DEPTH + 1, DEPTH + 2,
		                        UINT32_MAX, 1ull << 32, UINT64_MAX };
	struct netvsc_frame frame = { .data = bytes, .length = 60 };
	struct nvsp_message a = { .type = NVSP_RNDIS_PACKET_COMPLETE };
	struct fixture f;
	uint32_t id, size;
	size_t i;

	make_ready(&f, NVSP_VERSION_61);
	netvsc_machine_send(&f.machine, &frame);
	expect_frame(&f, &frame);
	id = f.out.id;
	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		f.machine.fault.what = NULL;
		assert_false(netvsc_machine_completed(&f.machine, ids[i], &a, sizeof(a)));
		assert_non_null(f.machine.fault.what);
		assert_null(netvsc_machine_sent(&f.machine));
	}
	complete_rndis(&f, id, NVSP_STATUS_SUCCESS);
	assert_ptr_equal(netvsc_machine_sent(&f.machine), &frame);
	assert_false(complete(&f, id, &a, sizeof(a))); /* twice */
	assert_null(netvsc_machine_sent(&f.machine));
	for (size = 0; size < 8; size++) {
		netvsc_machine_send(&f.machine, &frame);
		expect_frame(&f, &frame);
		assert_true(complete(&f, f.out.id, &a, size));
		assert_ptr_equal(netvsc_machine_sent(&f.machine), &frame);
		assert_int_equal(frame.result, NETVSC_NONSENSE);
	}
	end(&f);
}

static void what_could_not_be_sent_goes_first_or_ends(void **state)
{
	struct rndis_client_request q = { .type = RNDIS_QUERY, .oid = OID_GEN_LINK_SPEED };
	struct netvsc_frame frames[2] = { { .data = bytes, .length = 60 },
		                          { .data = bytes, .length = 61 } };
	struct fixture f;

	init(&f, NULL);
	expect_step(&f, NVSP_INIT, true);
	netvsc_machine_put_back(&f.machine, f.out.id);
	expect_step(&f, NVSP_INIT, true);
	answer_init(&f, NVSP_STATUS_SUCCESS);
	expect_step(&f, NVSP_SEND_NDIS_CONFIG, false);
	netvsc_machine_put_back(&f.machine, f.out.id);
	expect_step(&f, NVSP_SEND_NDIS_CONFIG, false);
	end(&f);

	init(&f, NULL);
	agree(&f, NVSP_VERSION_61);
	give_buffers(&f);
	expect_question(&f, RNDIS_INITIALIZE, 0);
	netvsc_machine_put_back(&f.machine, f.out.id);
	initialize_rndis(&f);
	netvsc_machine_ask(&f.machine, &q);
	expect_question(&f, RNDIS_QUERY, OID_GEN_LINK_SPEED);
	netvsc_machine_put_back(&f.machine, f.out.id);
	expect_question(&f, RNDIS_QUERY, OID_GEN_LINK_SPEED);
	netvsc_machine_not_sent(&f.machine, f.out.id);
	assert_ptr_equal(netvsc_machine_answered(&f.machine), &q);
	assert_int_equal(q.result, RNDIS_CLIENT_NOT_SENT);
	netvsc_machine_send(&f.machine, &frames[0]);
	netvsc_machine_send(&f.machine, &frames[1]);
	expect_frame(&f, &frames[0]);
	netvsc_machine_put_back(&f.machine, f.out.id);
	expect_frame(&f, &frames[0]);
	netvsc_machine_not_sent(&f.machine, f.out.id);
	assert_ptr_equal(netvsc_machine_sent(&f.machine), &frames[0]);
	assert_int_equal(frames[0].result, NETVSC_NOT_SENT);
	expect_frame(&f, &frames[1]);
	end(&f);
}

/* ---- frames in ---- */

struct data_message {
	struct rndis_header header;
	struct rndis_packet packet;
	struct {
		struct rndis_packet_info info;
		uint32_t value;
	} infos[2];
	uint8_t frame[64];
};

static struct data_message data_message(void)
{
	struct data_message d = { .header = { RNDIS_PACKET, sizeof(d) } };

	d.packet.data_offset = offsetof(struct data_message, frame) - 8;
	d.packet.data_length = sizeof(d.frame);
	d.packet.info_offset = offsetof(struct data_message, infos) - 8;
	d.packet.info_length = sizeof(d.infos);
	d.infos[0].info = (struct rndis_packet_info){ 16, RNDIS_INFO_CHECKSUM, 12 };
	d.infos[0].value = RNDIS_RX_TCP_GOOD;
	d.infos[1].info = (struct rndis_packet_info){ 16, RNDIS_INFO_VLAN, 12 };
	d.infos[1].value = 5u << RNDIS_VLAN_ID_SHIFT;
	memset(d.frame, 0xa5, sizeof(d.frame));
	return d;
}

static void a_frame_is_found_in_its_message(void **state)
{
	struct data_message d = data_message();
	struct rndis_client_frame frame;
	struct fixture f;

	make_ready(&f, NVSP_VERSION_61);
	assert_true(deliver(&f, &d, sizeof(d), &frame));
	assert_int_equal(frame.length, sizeof(d.frame));
	assert_memory_equal(frame.data, d.frame, sizeof(d.frame));
	assert_true(frame.has_checksum && frame.checksum == RNDIS_RX_TCP_GOOD);
	assert_true(frame.has_vlan && frame.vlan == 5u << RNDIS_VLAN_ID_SHIFT);
	d.packet.info_length = 0;
	d.packet.info_offset = 0;
	assert_true(deliver(&f, &d, sizeof(d), &frame));
	assert_false(frame.has_checksum || frame.has_vlan);
	end(&f);
}

/* Each field with each of these; nothing that is found may lie outside of the message. */
static void fields_that_lie_find_nothing_outside(void **state)
{
	static const uint32_t values[] = { 0,          1,          11,         12,        15,
		                           16,         17,         36,         63,        64,
		                           65,         100,        131,        132,       133,
		                           0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff };
	struct rndis_client_frame frame;
	struct fixture f;
	size_t word, other, i, j;
	uint32_t found = 0;

	make_ready(&f, NVSP_VERSION_61);
	for (word = 1; word < offsetof(struct data_message, frame) / 4; word++) {
		for (other = word; other < word + 2; other++) {
			for (i = 0; i < sizeof(values) / 4; i++) {
				for (j = 0; j < sizeof(values) / 4; j++) {
					struct data_message d = data_message();
					const uint8_t *begin = f.receive + RECEIVE - sizeof(d);

					memcpy((uint8_t *)&d + word * 4, &values[i], 4);
					if (other < offsetof(struct data_message, frame) / 4)
						memcpy((uint8_t *)&d + other * 4, &values[j], 4);
					if (!deliver(&f, &d, sizeof(d), &frame))
						continue;
					found++;
					assert_true(frame.data >= begin &&
					            frame.data <= f.receive + RECEIVE);
					assert_true(frame.length <=
					            (size_t)(f.receive + RECEIVE - frame.data));
				}
			}
		}
	}
	assert_true(found > 100);
	end(&f);
}

static void ranges_are_inside_of_the_receive_buffer(void **state)
{
	static const struct nvsp_message packet = { .type = NVSP_RNDIS_PACKET };
	struct data_message d = data_message();
	struct netvsc_range ranges[] = {
		{ sizeof(d), 0 },
		{ sizeof(d), RECEIVE - sizeof(d) + 1 },
		{ sizeof(d), RECEIVE },
		{ sizeof(d), RECEIVE + 1 },
		{ sizeof(d), 0xffffffff },
		{ 0xffffffff, 4 },
		{ 0xfffffffc, 4 },
		{ 0, 0 },
		{ 7, 0 },
		{ sizeof(d) - 1, 0 },
		{ 8, RECEIVE - 8 },
		{ sizeof(d), SLOT },
	};
	const uint32_t count = sizeof(ranges) / sizeof(ranges[0]);
	struct netvsc_range *exact = malloc(sizeof(ranges));
	struct rndis_client_frame frame;
	struct netvsc_incoming in;
	struct nvsp_message other = { .type = NVSP_INIT_COMPLETE };
	struct fixture f;

	make_ready(&f, NVSP_VERSION_61);
	memcpy(exact, ranges, sizeof(ranges));
	memcpy(f.receive, &d, sizeof(d));
	memcpy(f.receive + SLOT, &d, sizeof(d));
	assert_true(netvsc_machine_received(&f.machine, &in, NETVSC_RECEIVE_BUFFER_ID, exact, count,
	                                    &packet, 8));
	assert_true(netvsc_machine_frame(&f.machine, &in, &frame));
	assert_in_range(frame.data - f.receive, 0, SLOT - 1);
	assert_true(netvsc_machine_frame(&f.machine, &in, &frame)); /* the last one */
	assert_in_range(frame.data - f.receive, SLOT, 2 * SLOT);
	assert_false(netvsc_machine_frame(&f.machine, &in, &frame));
	/* Packets that are something else. */
	assert_false(netvsc_machine_received(&f.machine, &in, 7, exact, count, &packet, 8));
	assert_false(netvsc_machine_frame(&f.machine, &in, &frame));
	assert_false(netvsc_machine_received(&f.machine, &in, NETVSC_RECEIVE_BUFFER_ID, exact,
	                                     count, &packet, 3));
	assert_false(netvsc_machine_received(&f.machine, &in, NETVSC_RECEIVE_BUFFER_ID, exact,
	                                     count, &other, 8));
	netvsc_machine_close(&f.machine); /* no buffer is the host's any more */
	assert_false(netvsc_machine_received(&f.machine, &in, NETVSC_RECEIVE_BUFFER_ID, exact,
	                                     count, &packet, 8));
	assert_false(netvsc_machine_frame(&f.machine, &in, &frame));
	free(exact);
	end(&f);
}

static void what_it_need_not_know_is_let_pass(void **state)
{
	static const uint32_t known[] = { NVSP_SEND_INDIRECTION_TABLE, NVSP_SEND_VF_ASSOCIATION };
	const uint32_t unknown = NVSP_SEND_RECEIVE_BUFFER;
	uint8_t completion[NETVSC_COMPLETION_BYTES];
	struct nvsp_message m = { .type = 0 };
	struct fixture f;

	make_ready(&f, NVSP_VERSION_61);
	assert_true(netvsc_machine_said(&f.machine, &known[0], 4));
	assert_true(netvsc_machine_said(&f.machine, &known[1], 4));
	assert_false(netvsc_machine_said(&f.machine, &known[0], 3));
	assert_false(netvsc_machine_said(&f.machine, &unknown, 4));
	netvsc_machine_completion(completion);
	memcpy(&m, completion, sizeof(completion));
	assert_int_equal(m.type, NVSP_RNDIS_PACKET_COMPLETE);
	assert_int_equal(m.rndis_packet_complete.status, NVSP_STATUS_SUCCESS);
	end(&f);
}

/* ---- the end ---- */

static void it_says_farewell(void **state)
{
	struct rndis_client_request q = { .type = RNDIS_QUERY, .oid = OID_GEN_LINK_SPEED };
	struct netvsc_frame frames[2] = { { .data = bytes, .length = 60 },
		                          { .data = bytes, .length = 60 } };
	struct fixture f;
	uint32_t id;

	make_ready(&f, NVSP_VERSION_61);
	netvsc_machine_send(&f.machine, &frames[0]);
	expect_frame(&f, &frames[0]);
	id = f.out.id;
	netvsc_machine_ask(&f.machine, &q);
	expect_question(&f, RNDIS_QUERY, OID_GEN_LINK_SPEED);
	netvsc_machine_send(&f.machine, &frames[1]);
	netvsc_machine_stop(&f.machine);
	assert_ptr_equal(netvsc_machine_sent(&f.machine), &frames[1]);
	assert_int_equal(frames[1].result, NETVSC_REMOVED);
	assert_ptr_equal(netvsc_machine_answered(&f.machine), &q);
	assert_int_equal(q.result, RNDIS_CLIENT_REMOVED);
	/* The question's memory is still the host's. */
	assert_false(netvsc_machine_next(&f.machine, &f.out));
	complete_rndis(&f, CONTROL, NVSP_STATUS_SUCCESS);
	expect_question(&f, RNDIS_HALT, 0);
	complete_rndis(&f, id, NVSP_STATUS_SUCCESS); /* a frame on its way is over as ever */
	assert_ptr_equal(netvsc_machine_sent(&f.machine), &frames[0]);
	assert_int_equal(frames[0].result, NETVSC_DONE);
	assert_false(netvsc_machine_next(&f.machine, &f.out));
	complete_rndis(&f, CONTROL, NVSP_STATUS_SUCCESS);
	expect_step(&f, NVSP_REVOKE_RECEIVE_BUFFER, false);
	assert_int_equal(f.out.message.revoke.id, NETVSC_RECEIVE_BUFFER_ID);
	expect_step(&f, NVSP_REVOKE_SEND_BUFFER, false);
	assert_false(netvsc_machine_next(&f.machine, &f.out));
	assert_int_equal(f.machine.state, NETVSC_STOPPED);
	netvsc_machine_send(&f.machine, &frames[0]);
	assert_int_equal(netvsc_machine_sent(&f.machine)->result, NETVSC_REMOVED);
	netvsc_machine_close(&f.machine);
	end(&f);
}

static void closing_ends_what_waits_and_gives_back_the_rest(void **state)
{
	struct rndis_client_request q[2] = { { .type = RNDIS_QUERY }, { .type = RNDIS_QUERY } };
	struct netvsc_frame frames[6];
	struct netvsc_frame *sent;
	struct fixture f;
	uint32_t i, ended = 0;

	make_ready(&f, NVSP_VERSION_61);
	for (i = 0; i < 6; i++) {
		frames[i] = (struct netvsc_frame){ .data = bytes, .length = 60 };
		netvsc_machine_send(&f.machine, &frames[i]);
	}
	netvsc_machine_ask(&f.machine, &q[0]);
	netvsc_machine_ask(&f.machine, &q[1]);
	while (netvsc_machine_next(&f.machine, &f.out))
		;
	netvsc_machine_close(&f.machine);
	while ((sent = netvsc_machine_sent(&f.machine)))
		ended++;
	assert_int_equal(ended, 2);
	assert_non_null(netvsc_machine_answered(&f.machine));
	assert_non_null(netvsc_machine_answered(&f.machine));
	for (i = 0; i < DEPTH + 2; i++)
		assert_int_equal(netvsc_machine_lost(&f.machine, i), i < DEPTH);
	while ((sent = netvsc_machine_sent(&f.machine))) {
		assert_int_equal(sent->result, NETVSC_REMOVED);
		ended++;
	}
	assert_int_equal(ended, 6);
	/* And it opens once more. */
	netvsc_machine_open(&f.machine, 0xe1e10, 0xe1e11);
	agree(&f, NVSP_VERSION_5);
	give_buffers(&f);
	initialize_rndis(&f);
	netvsc_machine_send(&f.machine, &frames[0]);
	expect_frame(&f, &frames[0]);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_ready_with_each_version),
		cmocka_unit_test(without_a_version_in_common_it_fails),
		cmocka_unit_test(an_answer_that_is_none_ends_the_negotiation),
		cmocka_unit_test(sections_that_do_not_fit_are_refused),
		cmocka_unit_test(what_it_must_know_it_must),
		cmocka_unit_test(an_oid_is_asked_and_set),
		cmocka_unit_test(answers_are_inside_of_their_messages),
		cmocka_unit_test(what_answers_nothing_does_nothing),
		cmocka_unit_test(the_link_is_as_the_host_says),
		cmocka_unit_test(frames_go_by_sections_and_by_reference),
		cmocka_unit_test(lengths_of_frames_are_checked),
		cmocka_unit_test(sections_that_are_few_or_small_do),
		cmocka_unit_test(completions_are_checked),
		cmocka_unit_test(what_could_not_be_sent_goes_first_or_ends),
		cmocka_unit_test(a_frame_is_found_in_its_message),
		cmocka_unit_test(fields_that_lie_find_nothing_outside),
		cmocka_unit_test(ranges_are_inside_of_the_receive_buffer),
		cmocka_unit_test(what_it_need_not_know_is_let_pass),
		cmocka_unit_test(it_says_farewell),
		cmocka_unit_test(closing_ends_what_waits_and_gives_back_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
