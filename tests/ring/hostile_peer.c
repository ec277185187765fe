/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other end scribbles over indexes, lengths and all data, from its own mapping of the same
 * memory, while this end reads and writes. This end gets garbage or RING_MALFORMED, and never
 * leaves its memory: what lies around the ring is not mapped, and copies are checked.
 */
#include "fixture.h"

#include <pthread.h>
#include <time.h>

#define SIZE    4096u
#define ROUNDS  3000 /* at least; more if the attacker came late to the processor */
#define REFUSED 100
#define LIMIT   20 /* seconds */

struct attack {
	struct ring_fixture f;
	struct wire_ring_control *control; /* through the attacker's mapping */
	uint64_t *data;
	int stop;
	time_t deadline;
};

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Mostly plausible, so that it gets past the first check. */
static uint64_t evil_head(uint32_t *random)
{
	uint32_t a = next_random(random), b = next_random(random);
	uint64_t length = a % 8 == 0 ? b & 0xffff : 2 + b % 16;

	return (a % 16 == 1 ? a >> 16 : 6) | 2ull << 16 | length << 32 |
	       (uint64_t)(a % 32 == 2) << 50;
}

static void *scribble(void *arg)
{
	struct attack *attack = arg;
	uint32_t random = 12345;

	while (!__atomic_load_n(&attack->stop, __ATOMIC_RELAXED)) {
		uint32_t what = next_random(&random), value = next_random(&random);
		uint32_t index = what % 64 == 1 ? value : value % SIZE / 8 * 8;

		__atomic_store_n(&attack->data[value / 8 % (SIZE / 8)], evil_head(&random),
		                 __ATOMIC_RELAXED);
		if (what % 4 == 0)
			__atomic_store_n(&attack->control->write_index, index, __ATOMIC_RELAXED);
		if (what % 4 == 1)
			__atomic_store_n(&attack->control->read_index, index, __ATOMIC_RELAXED);
		if (what % 4 == 2)
			__atomic_store_n(&attack->control->pending_send_size, index,
			                 __ATOMIC_RELAXED);
		if (what % 4 == 3)
			__atomic_store_n(&attack->control->interrupt_mask, value & 1,
			                 __ATOMIC_RELAXED);
	}
	return NULL;
}

static void attack_start(struct attack *attack, pthread_t *thread, enum ring_mode mode)
{
	memset(attack, 0, sizeof(*attack));
	ring_fixture_open(&attack->f, mode, SIZE);
	attack->control = (void *)ring_fixture_map(&attack->f, false);
	attack->data = (void *)((uint8_t *)attack->control + WIRE_PAGE_SIZE);
	attack->deadline = time(NULL) + LIMIT;
	assert_int_equal(pthread_create(thread, NULL, scribble, attack), 0);
}

static bool go_on(const struct attack *attack, unsigned round, unsigned refused)
{
	return round < ROUNDS || (refused < REFUSED && time(NULL) < attack->deadline);
}

static void attack_stop(struct attack *attack, pthread_t thread)
{
	__atomic_store_n(&attack->stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	munmap(attack->control, WIRE_PAGE_SIZE + SIZE);
	ring_fixture_close(&attack->f);
}

/* Until it is malformed, or for long enough. True: it was. */
static bool read_until_refused(struct ring_reader *r)
{
	for (int n = 0; n < 200; n++) {
		struct ring_packet packet = { 0 };
		uint8_t *copy;
		bool signal;

		switch (ring_read_next(r, &packet)) {
		case RING_OK:
			assert_in_range(packet.size, 16, SIZE - 16);
			assert_in_range(packet.payload_offset, 16, packet.size);
			copy = malloc(packet.size);
			assert_non_null(copy);
			ring_read_copy(r, &packet, 0, copy, packet.size);
			free(copy);
			ring_read_advance(r, &packet);
			break;
		case RING_EMPTY:
			ring_read_unmask(r, &signal);
			break;
		default:
			assert_non_null(r->fault.what);
			return true;
		}
	}
	return false;
}

static void reader_survives(void **state)
{
	for (int mode = MIRRORED; mode <= PAGE_LIST; mode++) {
		struct attack attack;
		pthread_t thread;
		unsigned refused = 0;

		attack_start(&attack, &thread, mode);
		for (unsigned round = 0; go_on(&attack, round, refused); round++) {
			struct ring_reader r;

			if (ring_reader_init(&r, &attack.f.memory) != RING_OK ||
			    read_until_refused(&r))
				refused++;
		}
		attack_stop(&attack, thread);
		assert_true(refused >= REFUSED);
	}
}

static bool write_until_refused(struct ring_writer *w)
{
	uint8_t payload[256] = { 0 };

	for (uint32_t n = 0; n < 200; n++) {
		enum ring_status status = ring_fixture_write(w, n, payload, n);
		bool signal;

		if (status == RING_MALFORMED)
			return true;
		assert_in_range(w->room, 0, SIZE);
		assert_in_range(w->next, 0, SIZE - 8);
		if (status == RING_FULL)
			ring_write_wait(w, 300, &signal);
		else if (n % 5 == 0)
			ring_write_publish(w);
		else if (n % 5 == 1)
			ring_write_drop(w);
	}
	return false;
}

static void writer_survives(void **state)
{
	for (int mode = MIRRORED; mode <= PAGE_LIST; mode++) {
		struct attack attack;
		pthread_t thread;
		unsigned refused = 0;

		attack_start(&attack, &thread, mode);
		for (unsigned round = 0; go_on(&attack, round, refused); round++) {
			struct ring_writer w;

			if (ring_writer_init(&w, &attack.f.memory) != RING_OK ||
			    write_until_refused(&w))
				refused++;
		}
		attack_stop(&attack, thread);
		assert_true(refused >= REFUSED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reader_survives),
		cmocka_unit_test(writer_survives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
