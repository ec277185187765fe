/* SPDX-License-Identifier: BSD-2-Clause */
/* The SCSI driver's pure half alone, at a scripted host: what it says, what it makes of answers,
 * and that no answer, however wrong, does more than end what it answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "scsi/scsi.h"
#include "scsi/storvsc_answer.h"
#include "scsi/storvsc_machine.h"
#include "scsi/storvsc_probe.h"

#define DEPTH 4u

struct fixture {
	struct storvsc_machine machine;
	struct storvsc_slot slots[DEPTH];
	struct storvsc_output out;
};

static void init(struct fixture *f, const struct storvsc_machine_options *options)
{
	static const struct storvsc_machine_options none;

	memset(f, 0, sizeof(*f));
	storvsc_machine_init(&f->machine, options ? options : &none, f->slots, DEPTH);
	assert_false(storvsc_machine_next(&f->machine, &f->out));
	storvsc_machine_open(&f->machine);
}

/* The next packet is this one. */
static void expect(struct fixture *f, uint32_t operation)
{
	assert_true(storvsc_machine_next(&f->machine, &f->out));
	assert_int_equal(f->out.packet.operation, operation);
	assert_int_equal(f->out.packet.flags, STORVSC_REQUEST_COMPLETION);
	assert_int_equal(f->out.packet.status, 0);
}

static void expect_step(struct fixture *f, uint32_t operation)
{
	struct storvsc_output more;

	expect(f, operation);
	assert_null(f->out.request);
	assert_int_equal(f->out.id, DEPTH);
	assert_false(storvsc_machine_next(&f->machine, &more)); /* one at a time */
}

/* Answers a step with its own packet, and this status. */
static bool answer(struct fixture *f, uint32_t status)
{
	struct storvsc_packet p = f->out.packet;

	p.operation = STORVSC_COMPLETE_IO;
	p.status = status;
	return storvsc_machine_completed(&f->machine, f->out.id, &p, sizeof(p));
}

static void answer_properties(struct fixture *f, uint32_t max, uint32_t flags, uint16_t subchannels)
{
	memset(&f->out.packet.properties, 0, sizeof(f->out.packet.properties));
	f->out.packet.properties.max_transfer = max;
	f->out.packet.properties.flags = flags;
	f->out.packet.properties.max_subchannels = subchannels;
	assert_true(answer(f, 0));
}

/* Up to the properties, with this version as the first that the host knows. */
static void agree(struct fixture *f, uint16_t version)
{
	expect_step(f, STORVSC_BEGIN_INITIALIZATION);
	assert_true(answer(f, 0));
	for (;;) {
		expect_step(f, STORVSC_QUERY_PROTOCOL_VERSION);
		if (f->out.packet.version.major_minor == version)
			break;
		assert_true(f->out.packet.version.major_minor > version);
		assert_true(answer(f, STORVSC_STATUS_REVISION_MISMATCH));
	}
	assert_true(answer(f, 0));
	expect_step(f, STORVSC_QUERY_PROPERTIES);
}

static void make_ready(struct fixture *f, const struct storvsc_machine_options *options,
                       uint16_t version)
{
	init(f, options);
	agree(f, version);
	answer_properties(f, 1 << 20, 0, 0);
	expect_step(f, STORVSC_END_INITIALIZATION);
	assert_true(answer(f, 0));
	assert_int_equal(f->machine.state, STORVSC_READY);
}

/* ---- negotiation ---- */

static void the_newest_version_is_agreed_on(void **state)
{
	struct fixture f;

	make_ready(&f, NULL, STORVSC_VERSION_WIN10);
	assert_int_equal(f.machine.version, STORVSC_VERSION_WIN10);
	assert_int_equal(f.machine.max_transfer, 1 << 20);
	assert_int_equal(f.out.size, sizeof(struct storvsc_packet));
	assert_false(storvsc_machine_next(&f.machine, &f.out));
}

static void an_older_one_is_negotiated_down_to(void **state)
{
	static const uint16_t versions[] = { STORVSC_VERSION_WIN10, STORVSC_VERSION_WIN8_1,
		                             STORVSC_VERSION_WIN8, STORVSC_VERSION_WIN7,
		                             STORVSC_VERSION_WIN6 };
	struct storvsc_request r = { .length = 512, .direction = STORVSC_FROM_DISK };
	struct fixture f;
	size_t i;

	for (i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		bool old = versions[i] < STORVSC_VERSION_WIN8;

		make_ready(&f, NULL, versions[i]);
		assert_int_equal(f.machine.version, versions[i]);
		storvsc_machine_submit(&f.machine, &r);
		expect(&f, STORVSC_EXECUTE_SRB);
		assert_int_equal(f.out.size, old ? 0x30 : 0x40);
		assert_int_equal(f.out.packet.srb.length, old ? 0x24 : 0x34);
		assert_int_equal(f.out.packet.srb.sense_length, old ? 18 : 20);
	}
}

static void without_a_version_in_common_it_fails(void **state)
{
	const struct storvsc_machine_options old = { .version_max = STORVSC_VERSION_WIN7 };
	struct fixture f;
	int asked = 0;

	init(&f, &old);
	expect_step(&f, STORVSC_BEGIN_INITIALIZATION);
	assert_true(answer(&f, 0));
	while (storvsc_machine_next(&f.machine, &f.out)) {
		assert_true(f.out.packet.version.major_minor <= STORVSC_VERSION_WIN7);
		assert_true(answer(&f, STORVSC_STATUS_REVISION_MISMATCH));
		asked++;
	}
	assert_int_equal(asked, 2);
	assert_int_equal(f.machine.state, STORVSC_FAILED);
	assert_int_equal(f.machine.failure, STORVSC_RESULT_NO_VERSION);
}

static void subchannels_are_as_many_as_both_have(void **state)
{
	static const struct {
		uint16_t version, own, flag, hosts, asked;
	} ways[] = {
		{ STORVSC_VERSION_WIN10, 3, STORVSC_MULTI_CHANNEL, 8, 3 },
		{ STORVSC_VERSION_WIN8, 8, STORVSC_MULTI_CHANNEL, 2, 2 },
		{ STORVSC_VERSION_WIN10, 0, STORVSC_MULTI_CHANNEL, 2, 0 },
		{ STORVSC_VERSION_WIN10, 4, 0, 2, 0 },
		{ STORVSC_VERSION_WIN7, 4, STORVSC_MULTI_CHANNEL, 2, 0 },
		{ STORVSC_VERSION_WIN10, 4, STORVSC_MULTI_CHANNEL, 0, 0 },
	};
	struct fixture f;
	size_t i;
	int refuse;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		for (refuse = 0; refuse < 2; refuse++) {
			const struct storvsc_machine_options o = { .subchannels = ways[i].own };

			init(&f, &o);
			agree(&f, ways[i].version);
			answer_properties(&f, 65536, ways[i].flag, ways[i].hosts);
			expect_step(&f, STORVSC_END_INITIALIZATION);
			assert_true(answer(&f, 0));
			if (ways[i].asked) {
				expect_step(&f, STORVSC_CREATE_SUB_CHANNELS);
				assert_int_equal(f.out.packet.subchannels, ways[i].asked);
				assert_true(answer(&f, refuse ? 0xc0000001 : 0));
			}
			assert_int_equal(f.machine.state, STORVSC_READY);
			assert_int_equal(f.machine.subchannels, refuse ? 0 : ways[i].asked);
		}
	}
}

/* Takes the negotiation to its `step`-th packet; false: there are fewer. */
static bool go_to_step(struct fixture *f, int step)
{
	const struct storvsc_machine_options o = { .subchannels = 1 };
	int i;

	init(f, &o);
	for (i = 0; storvsc_machine_next(&f->machine, &f->out); i++) {
		if (i == step)
			return true;
		if (f->out.packet.operation == STORVSC_QUERY_PROPERTIES)
			answer_properties(f, 65536, STORVSC_MULTI_CHANNEL, 1);
		else
			assert_true(answer(f, 0));
	}
	return false;
}

static void an_answer_that_is_none_ends_the_negotiation(void **state)
{
	static const struct storvsc_packet good = { .operation = STORVSC_COMPLETE_IO };
	struct storvsc_packet wrong = { .operation = STORVSC_EXECUTE_SRB };
	struct storvsc_packet pending = { .operation = STORVSC_COMPLETE_IO, .status = 0x103 };
	struct fixture f;
	int step;

	for (step = 0; go_to_step(&f, step); step++) {
		assert_false(storvsc_machine_completed(&f.machine, DEPTH, &good,
		                                       STORVSC_PACKET_SIZE_OLD - 1));
		assert_int_equal(f.machine.state, STORVSC_FAILED);
		assert_int_equal(f.machine.failure, STORVSC_RESULT_NONSENSE);
		assert_int_equal(f.machine.fault.expected, STORVSC_PACKET_SIZE_OLD);
		assert_int_equal(f.machine.fault.actual, STORVSC_PACKET_SIZE_OLD - 1);
		assert_false(storvsc_machine_next(&f.machine, &f.out));

		go_to_step(&f, step);
		assert_false(storvsc_machine_completed(&f.machine, DEPTH, NULL, 0));
		go_to_step(&f, step);
		assert_false(storvsc_machine_completed(&f.machine, DEPTH, &wrong, sizeof(wrong)));
		assert_int_equal(f.machine.fault.actual, STORVSC_EXECUTE_SRB);
		assert_int_equal(f.machine.failure, STORVSC_RESULT_NONSENSE);

		go_to_step(&f, step);
		storvsc_machine_completed(&f.machine, DEPTH, &pending, sizeof(pending));
		assert_int_equal(f.machine.state, step == 4 ? STORVSC_READY : STORVSC_FAILED);
	}
	assert_int_equal(step, 5);
}

static void a_step_that_is_refused_says_with_what(void **state)
{
	struct fixture f;
	int step;

	for (step = 0; step < 4; step++) {
		assert_true(go_to_step(&f, step));
		assert_true(answer(&f, 0xc00000bb));
		assert_int_equal(f.machine.failure, STORVSC_RESULT_REFUSED);
		assert_int_equal(f.machine.host_status, 0xc00000bb);
	}
}

static void the_largest_transfer_is_checked(void **state)
{
	const struct storvsc_machine_options own = { .max_transfer = 65536 };
	static const uint32_t told[] = { 4096, 8191, 65536, 0xffffffff };
	static const uint32_t taken[] = { 4096, 4096, 65536, 65536 };
	struct fixture f;
	size_t i;

	for (i = 0; i < 4; i++) {
		init(&f, &own);
		agree(&f, STORVSC_VERSION_WIN10);
		answer_properties(&f, told[i], 0, 0);
		assert_int_equal(f.machine.max_transfer, taken[i]);
	}
	init(&f, &own);
	agree(&f, STORVSC_VERSION_WIN10);
	answer_properties(&f, 4095, 0, 0);
	assert_int_equal(f.machine.state, STORVSC_FAILED);
	assert_int_equal(f.machine.fault.actual, 4095);
}

/* ---- requests ---- */

static const struct storvsc_disk disk = {
	.address = { 1, 5 }, .size = 1ull << 40, .block_size = 512, .block_shift = 9
};

static void submit_read(struct fixture *f, struct storvsc_request *r, uint64_t at)
{
	memset(r, 0, sizeof(*r));
	storvsc_request_read(r, &disk, at, 4096);
	storvsc_machine_submit(&f->machine, r);
}

/* What has ended is this one alone. */
static void expect_ended(struct fixture *f, struct storvsc_request *r, enum storvsc_result result)
{
	struct storvsc_request *ended = storvsc_machine_ended(&f->machine);

	assert_ptr_equal(ended, r);
	assert_null(ended->next);
	assert_int_equal(r->result, result);
	assert_null(storvsc_machine_ended(&f->machine));
}

static void answer_srb(struct fixture *f, uint32_t id, uint8_t srb, uint8_t scsi, uint32_t n)
{
	struct storvsc_packet p = { .operation = STORVSC_COMPLETE_IO };

	p.srb.srb_status = srb;
	p.srb.scsi_status = scsi;
	p.srb.transfer_length = n;
	assert_true(storvsc_machine_completed(&f->machine, id, &p, sizeof(p)));
}

static void a_request_is_a_packet(void **state)
{
	struct storvsc_request r;
	const struct storvsc_srb *srb;
	struct fixture f;

	make_ready(&f, NULL, STORVSC_VERSION_WIN10);
	submit_read(&f, &r, 0x1234567000);
	expect(&f, STORVSC_EXECUTE_SRB);
	srb = &f.out.packet.srb;
	assert_ptr_equal(f.out.request, &r);
	assert_int_equal(srb->target, 1);
	assert_int_equal(srb->lun, 5);
	assert_int_equal(srb->cdb_length, 16);
	assert_int_equal(srb->cdb[0], SCSI_READ_16);
	assert_int_equal(scsi_get64(srb->cdb + 2), 0x1234567000 / 512);
	assert_int_equal(scsi_get32(srb->cdb + 10), 8);
	assert_int_equal(srb->data_in, STORVSC_DATA_IN);
	assert_int_equal(srb->transfer_length, 4096);
	answer_srb(&f, f.out.id, STORVSC_SRB_SUCCESS, SCSI_GOOD, 4096);
	expect_ended(&f, &r, STORVSC_RESULT_DONE);
	assert_int_equal(r.transferred, 4096);

	memset(&r, 0, sizeof(r));
	storvsc_request_flush(&r, &disk);
	storvsc_machine_submit(&f.machine, &r);
	expect(&f, STORVSC_EXECUTE_SRB);
	assert_null(f.out.request); /* no memory goes along */
	assert_int_equal(f.out.packet.srb.data_in, STORVSC_DATA_UNSPECIFIED);
	answer_srb(&f, f.out.id, STORVSC_SRB_SUCCESS, SCSI_GOOD, 0);
	expect_ended(&f, &r, STORVSC_RESULT_DONE);
}

/* Nothing is negotiated there. */
static void a_subchannel_goes_by_what_was_agreed_on(void **state)
{
	static const struct {
		uint16_t version;
		uint32_t own, transfer, size;
	} ways[] = {
		{ STORVSC_VERSION_WIN10, 0, 1 << 20, sizeof(struct storvsc_packet) },
		{ STORVSC_VERSION_WIN10, 65536, 65536, sizeof(struct storvsc_packet) },
		{ STORVSC_VERSION_WIN7, 1 << 22, 1 << 20, STORVSC_PACKET_SIZE_OLD },
	};
	struct fixture first, f;
	struct storvsc_request r;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		const struct storvsc_machine_options o = { .max_transfer = ways[i].own };

		make_ready(&first, NULL, ways[i].version);
		memset(&f, 0, sizeof(f));
		storvsc_machine_init(&f.machine, &o, f.slots, DEPTH);
		storvsc_machine_join(&f.machine, &first.machine);
		assert_int_equal(f.machine.max_transfer, ways[i].transfer);
		submit_read(&f, &r, 0);
		expect_ended(&f, &r, STORVSC_RESULT_REMOVED); /* it is not open yet */
		storvsc_machine_joined(&f.machine);
		submit_read(&f, &r, 0);
		expect(&f, STORVSC_EXECUTE_SRB);
		assert_int_equal(f.out.size, ways[i].size);
		answer_srb(&f, f.out.id, STORVSC_SRB_SUCCESS, SCSI_GOOD, 4096);
		expect_ended(&f, &r, STORVSC_RESULT_DONE);
	}
}

static void an_old_disk_gets_short_commands(void **state)
{
	struct storvsc_disk old = disk;
	struct storvsc_request r = { .result = STORVSC_RESULT_DONE };

	old.old = true;
	storvsc_request_write(&r, &old, 0x12345600, 65536);
	assert_int_equal(r.cdb[0], SCSI_WRITE_10);
	assert_int_equal(r.cdb_length, 10);
	assert_int_equal(scsi_get32(r.cdb + 2), 0x12345600 / 512);
	assert_int_equal(scsi_get16(r.cdb + 7), 128);
	assert_int_equal(r.direction, STORVSC_TO_DISK);
}

static void many_are_in_flight_and_the_others_wait(void **state)
{
	struct storvsc_request r[10];
	struct fixture f;
	uint32_t ids[DEPTH], i, sent = 0, ended = 0;

	make_ready(&f, NULL, STORVSC_VERSION_WIN10);
	for (i = 0; i < 10; i++)
		submit_read(&f, &r[i], i * 4096);
	while (storvsc_machine_next(&f.machine, &f.out)) {
		assert_ptr_equal(f.out.request, &r[sent]);
		ids[sent++] = f.out.id;
	}
	assert_int_equal(sent, DEPTH);
	/* Answered newest first, and each place is used again. */
	for (; ended < 10; ended++) {
		uint32_t newest = sent < 10 ? DEPTH - 1 : 9 - ended;
		struct storvsc_request *r_newest = f.slots[ids[newest]].request;

		answer_srb(&f, ids[newest], STORVSC_SRB_SUCCESS, SCSI_GOOD, 4096);
		expect_ended(&f, r_newest, STORVSC_RESULT_DONE);
		if (!storvsc_machine_next(&f.machine, &f.out)) {
			assert_int_equal(sent, 10);
			continue;
		}
		assert_int_equal(f.out.id, ids[newest]);
		assert_ptr_equal(f.out.request, &r[sent++]);
	}
}

static void what_answers_nothing_does_nothing(void **state)
{
	static const uint64_t ids[] = { 1,         2,          DEPTH - 1,  DEPTH,
		                        DEPTH + 1, UINT32_MAX, 1ull << 32, UINT64_MAX };
	struct storvsc_packet p = { .operation = STORVSC_COMPLETE_IO };
	struct storvsc_request r;
	struct fixture f;
	uint32_t id;
	size_t i;

	make_ready(&f, NULL, STORVSC_VERSION_WIN10);
	submit_read(&f, &r, 0);
	expect(&f, STORVSC_EXECUTE_SRB);
	id = f.out.id;
	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		if (ids[i] == id)
			continue;
		f.machine.fault.what = NULL;
		assert_false(storvsc_machine_completed(&f.machine, ids[i], &p, sizeof(p)));
		assert_non_null(f.machine.fault.what);
		assert_int_equal(f.machine.fault.actual, ids[i]);
		assert_false(storvsc_machine_lost(&f.machine, ids[i]));
		assert_null(storvsc_machine_ended(&f.machine));
	}
	assert_false(storvsc_machine_completed(&f.machine, 1ull << 32 | id, &p, sizeof(p)));
	assert_null(storvsc_machine_ended(&f.machine));
	answer_srb(&f, id, STORVSC_SRB_SUCCESS, SCSI_GOOD, 4096);
	expect_ended(&f, &r, STORVSC_RESULT_DONE);
	assert_false(storvsc_machine_completed(&f.machine, id, &p, sizeof(p))); /* twice */
	assert_null(storvsc_machine_ended(&f.machine));
	assert_int_equal(f.machine.state, STORVSC_READY);
}

static void lengths_of_an_answer_are_checked(void **state)
{
	struct storvsc_packet p = { .operation = STORVSC_COMPLETE_IO };
	struct storvsc_request r;
	struct fixture f;
	uint32_t size;

	make_ready(&f, NULL, STORVSC_VERSION_WIN10);
	p.srb.srb_status = STORVSC_SRB_SUCCESS;
	p.srb.transfer_length = 4096;
	for (size = 0; size <= sizeof(p); size++) {
		bool enough = size >= STORVSC_PACKET_SIZE_OLD;
		uint8_t *exact = malloc(size ? size : 1);

		memcpy(exact, &p, size);
		submit_read(&f, &r, 0);
		expect(&f, STORVSC_EXECUTE_SRB);
		assert_true(storvsc_machine_completed(&f.machine, f.out.id, exact, size));
		expect_ended(&f, &r, enough ? STORVSC_RESULT_DONE : STORVSC_RESULT_NONSENSE);
		free(exact);
	}
	submit_read(&f, &r, 0);
	expect(&f, STORVSC_EXECUTE_SRB);
	answer_srb(&f, f.out.id, STORVSC_SRB_SUCCESS, SCSI_GOOD, 4097); /* more than was asked */
	expect_ended(&f, &r, STORVSC_RESULT_NONSENSE);
	assert_int_equal(r.transferred, 0);
}

/* As long as it goes on; returns how many answers the host gave. */
static int answer_all(struct fixture *f, uint8_t srb, uint8_t scsi, int *laters)
{
	int answers = 0;

	*laters = 0;
	for (;;) {
		if (!storvsc_machine_next(&f->machine, &f->out)) {
			if (!storvsc_machine_waits(&f->machine))
				return answers;
			storvsc_machine_later(&f->machine);
			++*laters;
			continue;
		}
		answer_srb(f, f->out.id, srb, scsi, 0);
		answers++;
	}
}

static void what_was_not_done_is_sent_again_but_not_for_ever(void **state)
{
	struct storvsc_request r;
	struct fixture f;
	int laters;

	make_ready(&f, NULL, STORVSC_VERSION_WIN10);
	submit_read(&f, &r, 0);
	assert_int_equal(answer_all(&f, STORVSC_SRB_ABORTED, SCSI_GOOD, &laters), 6);
	assert_int_equal(laters, 0);
	expect_ended(&f, &r, STORVSC_RESULT_ABORTED);
	submit_read(&f, &r, 0);
	assert_int_equal(answer_all(&f, STORVSC_SRB_SUCCESS, SCSI_BUSY, &laters), 31);
	assert_int_equal(laters, 30);
	expect_ended(&f, &r, STORVSC_RESULT_BUSY);
	memset(&r, 0, sizeof(r));
	storvsc_request_read(&r, &disk, 0, 4096);
	r.once = true;
	storvsc_machine_submit(&f.machine, &r);
	assert_int_equal(answer_all(&f, STORVSC_SRB_BUSY, SCSI_GOOD, &laters), 1);
	expect_ended(&f, &r, STORVSC_RESULT_BUSY);
}

static void what_could_not_be_sent_goes_first_or_ends(void **state)
{
	struct storvsc_request r[2];
	struct fixture f;

	init(&f, NULL);
	expect_step(&f, STORVSC_BEGIN_INITIALIZATION);
	storvsc_machine_put_back(&f.machine, f.out.id);
	expect_step(&f, STORVSC_BEGIN_INITIALIZATION);

	make_ready(&f, NULL, STORVSC_VERSION_WIN10);
	submit_read(&f, &r[0], 0);
	submit_read(&f, &r[1], 4096);
	expect(&f, STORVSC_EXECUTE_SRB);
	storvsc_machine_put_back(&f.machine, f.out.id);
	expect(&f, STORVSC_EXECUTE_SRB);
	assert_ptr_equal(f.out.request, &r[0]);
	storvsc_machine_not_sent(&f.machine, f.out.id);
	expect_ended(&f, &r[0], STORVSC_RESULT_NOT_SENT);
	expect(&f, STORVSC_EXECUTE_SRB);
	assert_ptr_equal(f.out.request, &r[1]);
	answer_srb(&f, f.out.id, STORVSC_SRB_SUCCESS, SCSI_GOOD, 4096);
	expect_ended(&f, &r[1], STORVSC_RESULT_DONE);
	storvsc_machine_put_back(&f.machine, f.out.id); /* too late: nothing is there */
	assert_false(storvsc_machine_next(&f.machine, &f.out));
}

static uint32_t count(struct storvsc_request *r, enum storvsc_result result)
{
	uint32_t n = 0;

	for (; r; r = r->next, n++)
		assert_int_equal(r->result, result);
	return n;
}

static void closing_ends_what_waits_and_gives_back_the_rest(void **state)
{
	struct storvsc_request r[8];
	struct fixture f;
	uint32_t i;

	make_ready(&f, NULL, STORVSC_VERSION_WIN10);
	for (i = 0; i < 8; i++)
		submit_read(&f, &r[i], i * 4096);
	expect(&f, STORVSC_EXECUTE_SRB);
	answer_srb(&f, f.out.id, STORVSC_SRB_BUSY, SCSI_GOOD, 0); /* it waits for time */
	for (i = 0; storvsc_machine_next(&f.machine, &f.out); i++)
		;
	assert_int_equal(i, DEPTH);
	storvsc_machine_close(&f.machine);
	assert_int_equal(count(storvsc_machine_ended(&f.machine), STORVSC_RESULT_REMOVED), 4);
	assert_false(storvsc_machine_next(&f.machine, &f.out));
	assert_false(storvsc_machine_waits(&f.machine));
	/* One is still answered, and not repeated; the others are not. */
	answer_srb(&f, 0, STORVSC_SRB_BUSY, SCSI_GOOD, 0);
	assert_int_equal(count(storvsc_machine_ended(&f.machine), STORVSC_RESULT_BUSY), 1);
	for (i = 0; i <= DEPTH; i++)
		storvsc_machine_lost(&f.machine, i);
	assert_int_equal(count(storvsc_machine_ended(&f.machine), STORVSC_RESULT_REMOVED), 3);
	submit_read(&f, &r[0], 0);
	expect_ended(&f, &r[0], STORVSC_RESULT_REMOVED);
	/* And it opens once more. */
	storvsc_machine_open(&f.machine);
	agree(&f, STORVSC_VERSION_WIN7);
	answer_properties(&f, 65536, 0, 0);
	expect_step(&f, STORVSC_END_INITIALIZATION);
	assert_true(answer(&f, 0));
	submit_read(&f, &r[0], 0);
	expect(&f, STORVSC_EXECUTE_SRB);
}

static void what_comes_early_waits_for_the_negotiation(void **state)
{
	struct storvsc_request early, large = { .length = 1 << 16, .direction = STORVSC_TO_DISK };
	struct fixture f;

	init(&f, NULL);
	submit_read(&f, &early, 0);
	storvsc_machine_submit(&f.machine, &large);
	agree(&f, STORVSC_VERSION_WIN10);
	answer_properties(&f, 4096, 0, 0);
	expect_step(&f, STORVSC_END_INITIALIZATION);
	assert_true(answer(&f, 0));
	expect(&f, STORVSC_EXECUTE_SRB);
	assert_ptr_equal(f.out.request, &early);
	assert_false(storvsc_machine_next(&f.machine, &f.out));
	expect_ended(&f, &large, STORVSC_RESULT_BAD_REQUEST);
	storvsc_machine_submit(&f.machine, &large);
	expect_ended(&f, &large, STORVSC_RESULT_BAD_REQUEST);
	large.length = 4096;
	large.cdb_length = 17;
	storvsc_machine_submit(&f.machine, &large);
	expect_ended(&f, &large, STORVSC_RESULT_BAD_REQUEST);

	init(&f, NULL); /* one that fails */
	submit_read(&f, &early, 0);
	expect_step(&f, STORVSC_BEGIN_INITIALIZATION);
	assert_true(answer(&f, 0xc0000001));
	expect_ended(&f, &early, STORVSC_RESULT_REMOVED);
}

static void the_host_says_that_units_came_or_went(void **state)
{
	struct storvsc_packet p = { .operation = STORVSC_ENUMERATE_BUS };

	assert_true(storvsc_machine_said(&p, sizeof(p)));
	assert_true(storvsc_machine_said(&p, 4));
	assert_false(storvsc_machine_said(&p, 3));
	assert_false(storvsc_machine_said(NULL, 0));
	p.operation = STORVSC_REMOVE_DEVICE;
	assert_true(storvsc_machine_said(&p, sizeof(p)));
	p.operation = STORVSC_EXECUTE_SRB;
	assert_false(storvsc_machine_said(&p, sizeof(p)));
}

/* ---- all statuses there are ---- */

/* No combination is a success unless all of it says so, whatever a host makes up. */
static void only_success_is_success(void **state)
{
	static const uint32_t packets[] = { 0,          1,          0x103,     0x40000000,
		                            0x80000005, 0xc0000001, 0xffffffff };
	unsigned int scsi, srb, i;

	for (scsi = 0; scsi < 256; scsi++) {
		for (srb = 0; srb < 256; srb++) {
			for (i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
				struct storvsc_packet p = { .operation = STORVSC_COMPLETE_IO,
					                    .status = packets[i] };
				struct storvsc_request r = { .length = 4096 };
				bool good = scsi == SCSI_GOOD || scsi == SCSI_CONDITION_MET;
				bool overrun_told = (srb & 0x3f) == STORVSC_SRB_DATA_OVERRUN &&
				                    packets[i] == 0x80000005;

				p.srb.scsi_status = (uint8_t)scsi;
				p.srb.srb_status = (uint8_t)srb;
				p.srb.transfer_length = 4096;
				storvsc_take_answer(&r, &p, sizeof(p));
				if (r.result != STORVSC_RESULT_DONE) {
					assert_int_equal(r.transferred, 0);
					continue;
				}
				assert_true(good);
				assert_true((srb & 0x3f) == STORVSC_SRB_SUCCESS ||
				            (srb & 0x3f) == STORVSC_SRB_DATA_OVERRUN);
				assert_true(!packets[i] || overrun_told);
			}
		}
	}
}

/* ---- what there is ---- */

static void done(struct storvsc_request *r, uint32_t transferred)
{
	r->result = STORVSC_RESULT_DONE;
	r->transferred = transferred;
}

static void units_are_listed(void **state)
{
	uint8_t *data = calloc(1, STORVSC_SEARCH_BYTES);
	struct storvsc_address list[3] = { { 9, 9 }, { 9, 9 }, { 9, 9 } };
	struct storvsc_request r = { .once = false };
	struct storvsc_search s;

	storvsc_search_begin(&s, data, list, 2);
	assert_true(storvsc_search_next(&s, &r));
	assert_int_equal(r.cdb[0], SCSI_REPORT_LUNS);
	assert_int_equal(r.length, STORVSC_SEARCH_BYTES);
	assert_int_equal(r.address.target, 0);
	scsi_put32(data, 16);
	data[8 + 1] = 3;
	data[16 + 1] = 7;
	done(&r, 24);
	storvsc_search_take(&s, &r);
	assert_true(storvsc_search_next(&s, &r));
	assert_int_equal(r.address.target, 1);
	storvsc_search_take(&s, &r);
	assert_false(storvsc_search_next(&s, &r));
	assert_int_equal(s.result, STORVSC_RESULT_DONE);
	assert_int_equal(s.count, 4);
	assert_int_equal(list[0].lun, 3);
	assert_int_equal(list[1].lun, 7);
	assert_int_equal(list[2].lun, 9); /* past the capacity */
	free(data);
}

static void lists_that_lie_are_as_long_as_what_came(void **state)
{
	static const struct {
		uint32_t said, came, units;
	} ways[] = {
		{ 0xffffffff, 24, 2 },
		{ 0xffffffff, STORVSC_SEARCH_BYTES, 511 },
		{ 0xffffffff, 1u << 30, 511 },
		{ 0xfffffff8, 8, 0 },
		{ 16, 7, 0 },
		{ 16, 0, 0 },
		{ 15, 24, 1 },
		{ 7, 24, 0 },
		{ 16, 23, 1 },
	};
	uint8_t *data = calloc(1, STORVSC_SEARCH_BYTES);
	struct storvsc_request r = { .once = false };
	struct storvsc_address list[1];
	struct storvsc_search s;
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		storvsc_search_begin(&s, data, list, 1);
		assert_true(storvsc_search_next(&s, &r));
		scsi_put32(data, ways[i].said);
		done(&r, ways[i].came);
		storvsc_search_take(&s, &r);
		assert_int_equal(s.count, ways[i].units);
		r.result = STORVSC_RESULT_NO_DEVICE; /* at the other target: none */
		storvsc_search_take(&s, &r);
		assert_false(storvsc_search_next(&s, &r));
		assert_int_equal(s.result, STORVSC_RESULT_DONE);
	}
	storvsc_search_begin(&s, data, list, 1);
	r.result = STORVSC_RESULT_TIMEOUT;
	storvsc_search_take(&s, &r);
	assert_false(storvsc_search_next(&s, &r));
	assert_int_equal(s.result, STORVSC_RESULT_TIMEOUT);
	free(data);
}

/* A disk that answers one command otherwise than told. */
struct unit {
	uint8_t odd; /* opcode; 0xff: none */
	enum storvsc_result result;
	uint32_t transferred;
	uint64_t last;
	uint32_t block_size;
	uint32_t asked;
};

static void unit_answer(struct unit *u, struct storvsc_request *r, uint8_t *data)
{
	u->asked++;
	assert_true(r->length <= STORVSC_EXAM_BYTES);
	done(r, r->length);
	switch (r->cdb[0]) {
	case SCSI_INQUIRY:
		if (r->cdb[1]) {
			data[3] = 200; /* longer than what there is */
			memset(data + 4, 'S', 60);
		} else {
			memcpy(data + 8,
			       "Msft    Virtual\x1b"
			       "Disk    1.0 ",
			       28);
		}
		break;
	case SCSI_SERVICE_ACTION_IN_16:
		scsi_put64(data, u->last);
		scsi_put32(data + 8, u->block_size);
		data[13] = 3;
		data[14] = 0x80;
		break;
	case SCSI_READ_CAPACITY_10:
		scsi_put32(data, (uint32_t)u->last);
		scsi_put32(data + 4, u->block_size);
		break;
	case SCSI_MODE_SENSE_6:
		data[2] = 0x80;
		break;
	}
	if (r->cdb[0] == u->odd) {
		r->result = u->result;
		r->transferred = u->transferred;
	}
}

static enum storvsc_result examine(struct unit *u, struct storvsc_disk *d)
{
	uint8_t *data = malloc(STORVSC_EXAM_BYTES);
	struct storvsc_request r = { .once = false };
	struct storvsc_exam e;

	memset(data, 0xee, STORVSC_EXAM_BYTES);
	u->asked = 0;
	storvsc_exam_begin(&e, data, (struct storvsc_address){ 0, 2 }, d);
	while (storvsc_exam_next(&e, &r)) {
		assert_int_equal(r.address.lun, 2);
		unit_answer(u, &r, data);
		storvsc_exam_take(&e, &r);
		assert_true(u->asked < 10);
	}
	free(data);
	return e.result;
}

static void a_disk_is_examined(void **state)
{
	struct unit u = { .odd = 0xff, .last = (1ull << 33) - 1, .block_size = 4096 };
	struct storvsc_disk d;

	assert_int_equal(examine(&u, &d), STORVSC_RESULT_DONE);
	assert_int_equal(u.asked, 4);
	assert_int_equal(d.size, 1ull << 45);
	assert_int_equal(d.block_size, 4096);
	assert_int_equal(d.physical_block_size, 32768);
	assert_true(d.read_only && d.discards && !d.old);
	assert_string_equal(d.vendor, "Msft");
	assert_string_equal(d.product, "Virtual?Disk");
	assert_string_equal(d.revision, "1.0");
	assert_int_equal(strlen(d.serial), 60);
	assert_true(storvsc_disk_has(&d, d.size - 4096, 4096));
	assert_false(storvsc_disk_has(&d, d.size, 4096));
	assert_false(storvsc_disk_has(&d, 4096, UINT64_MAX - 4095));
	assert_false(storvsc_disk_has(&d, 512, 4096));
	assert_false(storvsc_disk_has(&d, 4096, 512));
}

static void what_a_disk_need_not_know_it_need_not(void **state)
{
	struct unit u = { .last = 2047, .block_size = 512, .result = STORVSC_RESULT_REFUSED };
	struct storvsc_disk d;

	u.odd = SCSI_MODE_SENSE_6;
	assert_int_equal(examine(&u, &d), STORVSC_RESULT_DONE);
	assert_false(d.read_only);
	u.odd = SCSI_SERVICE_ACTION_IN_16;
	assert_int_equal(examine(&u, &d), STORVSC_RESULT_DONE);
	assert_int_equal(u.asked, 5);
	assert_true(d.old);
	assert_int_equal(d.size, 1 << 20);
	u.odd = SCSI_INQUIRY; /* this it must */
	assert_int_equal(examine(&u, &d), STORVSC_RESULT_REFUSED);
}

static void a_disk_that_makes_no_sense_is_none(void **state)
{
	static const struct {
		uint64_t last;
		uint32_t block_size;
	} sizes[] = {
		{ 1, 0 },
		{ 1, 1 },
		{ 1, 511 },
		{ 1, 513 },
		{ 1, 1 << 17 },
		{ 1, 0x80000000 },
		{ 1, 1536 },
		{ UINT64_MAX, 512 },
		{ (UINT64_MAX >> 9), 512 },
		{ UINT64_MAX >> 16, 65536 },
	};
	struct unit u = { .odd = 0xff, .last = 1, .block_size = 512 };
	struct storvsc_disk d;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		u.last = sizes[i].last;
		u.block_size = sizes[i].block_size;
		assert_int_equal(examine(&u, &d), STORVSC_RESULT_NONSENSE);
	}
	u.last = (UINT64_MAX >> 9) - 1; /* the largest there is */
	u.block_size = 512;
	assert_int_equal(examine(&u, &d), STORVSC_RESULT_DONE);
	u.odd = SCSI_SERVICE_ACTION_IN_16;
	u.transferred = 11;
	assert_int_equal(examine(&u, &d), STORVSC_RESULT_NONSENSE);
	u.transferred = UINT32_MAX; /* it says so */
	assert_int_equal(examine(&u, &d), STORVSC_RESULT_DONE);
	u.odd = SCSI_INQUIRY;
	u.transferred = 35;
	assert_int_equal(examine(&u, &d), STORVSC_RESULT_NO_DEVICE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_version_is_agreed_on),
		cmocka_unit_test(an_older_one_is_negotiated_down_to),
		cmocka_unit_test(without_a_version_in_common_it_fails),
		cmocka_unit_test(subchannels_are_as_many_as_both_have),
		cmocka_unit_test(an_answer_that_is_none_ends_the_negotiation),
		cmocka_unit_test(a_step_that_is_refused_says_with_what),
		cmocka_unit_test(the_largest_transfer_is_checked),
		cmocka_unit_test(a_request_is_a_packet),
		cmocka_unit_test(a_subchannel_goes_by_what_was_agreed_on),
		cmocka_unit_test(an_old_disk_gets_short_commands),
		cmocka_unit_test(many_are_in_flight_and_the_others_wait),
		cmocka_unit_test(what_answers_nothing_does_nothing),
		cmocka_unit_test(lengths_of_an_answer_are_checked),
		cmocka_unit_test(what_was_not_done_is_sent_again_but_not_for_ever),
		cmocka_unit_test(what_could_not_be_sent_goes_first_or_ends),
		cmocka_unit_test(closing_ends_what_waits_and_gives_back_the_rest),
		cmocka_unit_test(what_comes_early_waits_for_the_negotiation),
		cmocka_unit_test(the_host_says_that_units_came_or_went),
		cmocka_unit_test(only_success_is_success),
		cmocka_unit_test(units_are_listed),
		cmocka_unit_test(lists_that_lie_are_as_long_as_what_came),
		cmocka_unit_test(a_disk_is_examined),
		cmocka_unit_test(what_a_disk_need_not_know_it_need_not),
		cmocka_unit_test(a_disk_that_makes_no_sense_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
