/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ring's own source, in all orders that a weak memory model allows: no wake-up is lost, nothing
 * is read before it is written or written before it was read, and packets arrive in order. And each
 * fence, acquire and release in it is needed: without it the checker finds what goes wrong.
 */
#include "checker.h"
#include "ring/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define RING      4096u
#define TO_READER 0u
#define TO_WRITER 1u

/* What the threads do. */
struct scenario {
	const char *name;
	uint32_t start;     /* both indexes at first */
	uint32_t size;      /* of a packet in the ring: the ring is full after RING / size - 1 */
	uint32_t before;    /* packets in the ring when it starts */
	uint32_t packets;   /* that are written while it runs */
	uint32_t publish;   /* after so many */
	bool commit;        /* each packet, besides */
	bool mask;          /* the reader masks while it reads */
	uint32_t give_back; /* the reader publishes after so many; 0: when it must */
};

struct private
{
	struct ring_writer writer;
	struct ring_reader reader;
	uint32_t written;
	uint32_t read;
};

static struct scenario scenario;
static struct wire_ring_control control;
static uint8_t data[2 * RING];
static bool sleeps_unasked; /* a spoilt reader: it does not look again */

static struct private *mine(void)
{
	return checker_private();
}

static enum ring_status write_one(struct private *p)
{
	static const uint8_t payload[RING];
	struct wire_packet packet = { .type = WIRE_PACKET_DATA_INBAND,
		                      .offset8 = 2,
		                      .transaction_id = p->written };
	struct ring_span span = { payload, scenario.size - 24 };

	return ring_write(&p->writer, packet, &span, 1);
}

static void writer_signal(bool signal)
{
	if (signal)
		checker_event_set(TO_READER);
}

static void writer_wait(struct private *p)
{
	bool signal, fits = ring_write_wait(&p->writer, scenario.size - 8, &signal);

	writer_signal(signal);
	if (fits)
		return;
	checker_event_wait(TO_WRITER);
	ring_write_wait_end(&p->writer);
}

static void writer_thread(void)
{
	struct private *p = mine();
	uint32_t end = scenario.before + scenario.packets;

	while (p->written < end) {
		checker_here(&p->writer, sizeof(p->writer), p->written);
		switch (write_one(p)) {
		case RING_OK:
			p->written++;
			if (scenario.commit)
				ring_write_commit(&p->writer);
			if (p->written % scenario.publish == 0)
				writer_signal(ring_write_publish(&p->writer));
			break;
		case RING_FULL:
			writer_wait(p);
			break;
		default:
			checker_fail("the writer was refused");
			return;
		}
	}
	writer_signal(ring_write_publish(&p->writer));
}

static void read_one(struct private *p, const struct ring_packet *packet)
{
	uint8_t byte;

	if (packet->transaction_id != p->read || packet->size != scenario.size - 8)
		checker_fail("another packet than the next");
	ring_read_copy(&p->reader, packet, packet->payload_offset, &byte, 1);
	ring_read_advance(&p->reader, packet);
	p->read++;
	if (scenario.give_back != 0 && p->read % scenario.give_back == 0 &&
	    ring_read_publish(&p->reader))
		checker_event_set(TO_WRITER);
}

static void reader_wait(struct private *p)
{
	bool signal, more = ring_read_unmask(&p->reader, &signal);

	if (signal)
		checker_event_set(TO_WRITER);
	if ((more && !sleeps_unasked) || p->read == scenario.before + scenario.packets)
		return;
	checker_event_wait(TO_READER);
	if (scenario.mask)
		ring_read_mask(&p->reader);
}

static void reader_thread(void)
{
	struct private *p = mine();
	uint32_t end = scenario.before + scenario.packets;

	while (p->read < end) {
		struct ring_packet packet;

		checker_here(&p->reader, sizeof(p->reader), p->read);
		switch (ring_read_next(&p->reader, &packet)) {
		case RING_OK:
			read_one(p, &packet);
			break;
		case RING_EMPTY:
			reader_wait(p);
			break;
		default:
			checker_fail("the reader refused a packet");
			return;
		}
	}
	reader_wait(p);
}

/* Before the threads start there is one thread and no checker: prepared by hand. */
static void prepare(struct private *p, uint64_t headers[][2])
{
	static const struct ring_memory memory = { &control, data, NULL, RING };
	uint32_t used = scenario.before * scenario.size;
	uint32_t next = ring_index_add(RING, scenario.start, used);

	memset(p, 0, sizeof(*p));
	memset(&control, 0, sizeof(control));
	control.read_index = scenario.start;
	control.write_index = next;
	p->writer.memory = memory;
	p->writer.next = next;
	p->writer.room = RING - used;
	p->writer.publish_at = RING / 4;
	p->reader.memory = memory;
	p->reader.next = scenario.start;
	p->reader.publish_at = RING / 4;
	p->written = scenario.before;
	/* The writer's work so far is known to the reader: it was there when the channel opened. */
	for (uint32_t i = 0; i < scenario.before; i++) {
		uint32_t at = ring_index_add(RING, scenario.start, i * scenario.size);
		struct wire_packet packet = { WIRE_PACKET_DATA_INBAND, 2,
			                      (uint16_t)((scenario.size - 8) / 8), 0, i };

		memcpy(headers[at / scenario.size], &packet, sizeof(packet));
	}
}

static struct checker_result run(const struct scenario *what, const char *without_fence,
                                 const char *without_order)
{
	static struct private private;
	static uint64_t headers[16][2];
	struct checker_setup setup = {
		.words = &control.write_index,
		.data = data,
		.data_size = RING,
		.cell_size = what->size,
		.cells = (const uint64_t(*)[2])headers,
		.state = &private,
		.state_size = sizeof(private),
		.threads = { writer_thread, reader_thread },
		.without_fence = without_fence,
		.without_order = without_order,
	};

	scenario = *what;
	prepare(&private, headers);
	return checker_run(&setup);
}

/* The first is the one that finds the most, soonest. */
static const struct scenario scenarios[] = {
	{ "full, small packets in batches", 2048, 512, 6, 3, 3, false, true, 0 },
	{ "each packet published, the reader never masks", 0, 512, 0, 3, 1, false, false, 0 },
	{ "each packet published, the reader masks", 3584, 512, 0, 3, 1, false, true, 0 },
	{ "committed each, published in pairs", 0, 512, 0, 4, 2, true, true, 0 },
	{ "committed each, published at the end, no mask", 512, 512, 0, 4, 9, true, false, 1 },
	{ "batches without commit", 0, 512, 0, 5, 3, false, true, 0 },
	{ "full at once, room by the quarter", 1024, 1024, 3, 2, 1, false, true, 0 },
	{ "full at once, room by the packet", 0, 1024, 3, 2, 1, false, false, 1 },
	{ "full, commits, room by the packet", 512, 512, 6, 2, 4, true, true, 1 },
	{ "full, room when the reader sleeps", 1024, 1024, 2, 3, 2, false, false, 0 },
	{ "packets of almost half the ring", 0, 2048, 1, 2, 1, false, true, 1 },
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static void no_wake_up_is_lost(void **state)
{
	uint64_t states = 0;

	for (size_t i = 0; i < SCENARIOS; i++) {
		struct checker_result r = run(&scenarios[i], NULL, NULL);

		print_message("# %s: %llu states\n", scenarios[i].name,
		              (unsigned long long)r.states);
		states += r.states;
		if (r.failure != NULL)
			fail_msg("%s: %s\n%s", scenarios[i].name, r.failure, r.trace);
	}
	assert_true(states > 10000); /* it has looked */
}

/* Some scenario fails without it. */
static void expect_needed(const char *without_fence, const char *without_order)
{
	const char *which = without_fence != NULL ? without_fence : without_order;

	for (size_t i = 0; i < SCENARIOS; i++) {
		struct checker_result r = run(&scenarios[i], without_fence, without_order);

		if (r.failure != NULL) {
			print_message("# %s of %s: %s (%s)\n",
			              without_fence != NULL ? "without the fence"
			                                    : "without the order",
			              which, r.failure, scenarios[i].name);
			return;
		}
	}
	fail_msg("nothing goes wrong without the %s of %s",
	         without_fence != NULL ? "fence" : "order", which);
}

static void each_fence_is_needed(void **state)
{
	expect_needed("ring_write_decide", NULL);
	expect_needed("ring_write_wait", NULL);
	expect_needed("ring_read_release", NULL);
	expect_needed("ring_read_unmask", NULL);
}

static void each_release_and_acquire_is_needed(void **state)
{
	expect_needed(NULL, "ring_write_commit");
	expect_needed(NULL, "reader_give_back");
	expect_needed(NULL, "ring_read_refresh");
	expect_needed(NULL, "writer_take_read_index");
}

static void looking_again_is_needed(void **state)
{
	const char *failure = NULL;

	sleeps_unasked = true;
	for (size_t i = 0; i < SCENARIOS && failure == NULL; i++)
		failure = run(&scenarios[i], NULL, NULL).failure;
	sleeps_unasked = false;
	assert_non_null(failure);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_wake_up_is_lost),
		cmocka_unit_test(each_fence_is_needed),
		cmocka_unit_test(each_release_and_acquire_is_needed),
		cmocka_unit_test(looking_again_is_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
