/* SPDX-License-Identifier: BSD-2-Clause */
/* Transaction ids: which are given, which are claimed, by whom, and how often. */
#include "fixture.h"

#include <pthread.h>
#include <sched.h>

#define SHIFT 3u
#define CHUNK (1u << SHIFT)

struct ids {
	struct packet_table table;
	struct packet_slot *chunks[3];
	struct packet_slot slots[3][CHUNK];
	char owners[3 * CHUNK];
};

static struct ids ids;

static void ids_open(void)
{
	memset(&ids, 0, sizeof(ids));
	packet_table_init(&ids.table, ids.chunks, 3, SHIFT);
}

static uint64_t send_at(uint32_t slot, bool bare)
{
	struct packet_slot *s = packet_table_slot(&ids.table, slot);
	uint32_t flight;
	uint64_t id = packet_slot_take(s, slot, bare, &flight);

	packet_slot_written(s, flight, true);
	return id;
}

static bool claims(uint64_t id)
{
	void *owner = NULL;

	return packet_table_claim(&ids.table, id, &owner) == PACKET_CLAIM_OK;
}

static void it_grows_by_chunks(void **state)
{
	ids_open();
	assert_int_equal(packet_table_reserve(&ids.table, &ids), PACKET_NO_SLOT);
	assert_true(packet_table_add(&ids.table, ids.slots[0], CHUNK));
	assert_false(packet_table_add(&ids.table, ids.slots[1], CHUNK + 1));
	assert_true(packet_table_add(&ids.table, ids.slots[1], CHUNK));
	assert_true(packet_table_add(&ids.table, ids.slots[2], 3));
	/* after one that was not whole, none */
	assert_false(packet_table_add(&ids.table, ids.slots[2] + 3, 1));
	assert_int_equal(packet_table_count(&ids.table), 2 * CHUNK + 3);
	for (uint32_t i = 0; i < 2 * CHUNK + 3; i++)
		assert_int_not_equal(packet_table_reserve(&ids.table, &ids.owners[i]),
		                     PACKET_NO_SLOT);
	assert_int_equal(packet_table_reserve(&ids.table, &ids), PACKET_NO_SLOT);
	packet_table_free(&ids.table, 5);
	assert_int_equal(packet_table_reserve(&ids.table, &ids), 5);
	assert_true(packet_table_reaches(&ids.table, 3 * CHUNK));
	assert_false(packet_table_reaches(&ids.table, 3 * CHUNK + 1));
	assert_false(packet_table_reaches(&ids.table, 0));
}

/* Each send from a slot has an id of its own: what answers an earlier one is nobody's. */
static void an_id_is_good_once(void **state)
{
	uint64_t before = 0;
	uint32_t slot;

	ids_open();
	packet_table_add(&ids.table, ids.slots[0], CHUNK);
	slot = packet_table_reserve(&ids.table, &ids.owners[0]);
	for (uint32_t i = 0; i < 100; i++) {
		uint64_t id = send_at(slot, false);

		assert_int_not_equal(id, before);
		assert_false(claims(before));
		assert_false(claims(id & UINT32_MAX));
		assert_false(claims(id + 1));
		assert_false(claims(id | 0x80000000));
		assert_false(claims(id ^ 1ull << 63));
		assert_false(claims(0));
		assert_false(claims(UINT64_MAX));
		assert_true(claims(id));
		assert_false(claims(id));
		before = id;
	}
}

/* The bits of the number that are beside the state are not all of it. */
static void numbers_go_round(void **state)
{
	struct packet_slot *s = &ids.slots[0][0];
	uint64_t id;

	ids_open();
	packet_table_add(&ids.table, ids.slots[0], CHUNK);
	for (uint32_t i = 1; i < 4; i++) {
		s->sends = (i << 30) - 2;
		id = send_at(0, false);
		assert_int_equal(id >> 32, (i << 30) - 1);
		assert_true(claims(id));
		id = send_at(0, false);
		assert_false(claims(1)); /* the same low bits */
		assert_false(claims(id ^ 3ull << 62));
		assert_true(claims(id));
	}
	s->sends = UINT32_MAX;
	id = send_at(0, false);
	assert_true(claims(id));
}

/* As DPDK's ids: the slot's index alone, counted from 1. */
static void bare_ids(void **state)
{
	ids_open();
	packet_table_add(&ids.table, ids.slots[0], CHUNK);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(send_at(4, true), 5);
		assert_false(claims(5 | 1ull << 32));
		assert_true(claims(5));
		assert_false(claims(5));
	}
	assert_int_equal(send_at(4, false), 5 | 1ull << 32);
	assert_false(claims(5));
	assert_true(claims(5 | 1ull << 32));
}

/* Nobody ends what is still being written: its sender reads it. */
static void what_is_being_written_is_not_claimed(void **state)
{
	struct packet_slot *s = &ids.slots[0][2];
	uint32_t flight;
	void *owner;
	uint64_t id;

	ids_open();
	packet_table_add(&ids.table, ids.slots[0], CHUNK);
	id = packet_slot_take(s, 2, false, &flight);
	assert_true(packet_slot_under_way(s));
	assert_int_equal(packet_table_claim(&ids.table, id, &owner), PACKET_CLAIM_WRITING);
	assert_int_equal(packet_table_claim_slot(&ids.table, 2, &owner), PACKET_CLAIM_WRITING);
	/* another id is not worth waiting for */
	assert_int_equal(packet_table_claim(&ids.table, id + (1ull << 32), &owner),
	                 PACKET_CLAIM_NONE);
	packet_slot_written(s, flight, false);
	assert_int_equal(packet_table_claim(&ids.table, id, &owner), PACKET_CLAIM_NONE);
	assert_int_equal(packet_table_claim_slot(&ids.table, 2, &owner), PACKET_CLAIM_NONE);
	assert_false(packet_slot_under_way(s));
}

/* Without reservations: a slot is free again as soon as somebody has claimed what was in it. */
static void idle_slots_go_round(void **state)
{
	uint64_t sent[5];
	uint32_t next = 0;
	void *owner;

	ids_open();
	packet_table_add(&ids.table, ids.slots[0], 5);
	for (uint32_t i = 0; i < 5; i++) {
		uint32_t slot = packet_table_take_idle(&ids.table, &next, &ids.owners[i]);

		assert_int_equal(slot, i);
		sent[i] = send_at(slot, false);
	}
	assert_int_equal(packet_table_take_idle(&ids.table, &next, &ids), PACKET_NO_SLOT);
	for (uint32_t round = 0; round < 20; round++) {
		uint32_t i = round * 3 % 5;

		assert_int_equal(packet_table_claim(&ids.table, sent[i], &owner), PACKET_CLAIM_OK);
		assert_ptr_equal(owner, &ids.owners[i]);
		assert_int_equal(packet_table_take_idle(&ids.table, &next, &ids.owners[i]), i);
		assert_false(claims(sent[i]));
		sent[i] = send_at(i, false);
	}
	ids_open();
	assert_int_equal(packet_table_take_idle(&ids.table, &next, &ids), PACKET_NO_SLOT);
}

static void owner_is(uint32_t slot, void *owner)
{
	assert_ptr_equal(packet_table_slot(&ids.table, slot)->owner, owner);
}

static void slots_change_hands(void **state)
{
	void *other;

	ids_open();
	packet_table_add(&ids.table, ids.slots[0], CHUNK);
	assert_int_equal(packet_table_reserve(&ids.table, &ids.owners[0]), 0);
	assert_int_equal(packet_table_reserve(&ids.table, &ids.owners[1]), 1);
	/* with one who has it */
	assert_true(packet_table_move(&ids.table, 0, 1, &other));
	assert_ptr_equal(other, &ids.owners[1]);
	owner_is(0, &ids.owners[1]);
	owner_is(1, &ids.owners[0]);
	/* with nobody: the free list has the other one instead */
	assert_true(packet_table_move(&ids.table, 1, 6, &other));
	assert_null(other);
	owner_is(1, NULL);
	owner_is(6, &ids.owners[0]);
	for (uint32_t i = 0; i < CHUNK - 2; i++)
		assert_int_not_equal(packet_table_reserve(&ids.table, &ids), 6);
	assert_int_equal(packet_table_reserve(&ids.table, &ids), PACKET_NO_SLOT);
	/* not with what is under way */
	send_at(6, false);
	assert_false(packet_table_move(&ids.table, 0, 6, &other));
	/* and an earlier run's id is as good as one of this */
	packet_slot_restore(packet_table_slot(&ids.table, 3), 4 | 0xdeadbeefull << 32);
	assert_false(claims(4 | 0x1eadbeefull << 32));
	assert_true(claims(4 | 0xdeadbeefull << 32));
	assert_int_equal(send_at(3, false), 4 | 0xdeadbef0ull << 32);
}

/* ---- one sends, two claim everything that there could be ---- */

#define SENDS 20000u

static _Atomic uint32_t claimed[SENDS + 1];
static _Atomic bool over;

static void *claim_all(void *context)
{
	const bool *by_slot = context;

	while (!over) {
		uint64_t number = __atomic_load_n(&ids.slots[0][0].number, __ATOMIC_RELAXED);
		enum packet_claim claim;
		void *owner;

		if (*by_slot)
			claim = packet_table_claim_slot(&ids.table, 0, &owner);
		else
			claim = packet_table_claim(&ids.table, number << 32 | 1, &owner);
		if (claim != PACKET_CLAIM_OK) {
			sched_yield();
			continue;
		}
		/* The sender sends again once this is counted. */
		assert_ptr_equal(owner, &ids.owners[0]);
		number = __atomic_load_n(&ids.slots[0][0].number, __ATOMIC_RELAXED);
		claimed[number]++;
	}
	return NULL;
}

static void one_of_several_gets_it(void **state)
{
	bool by_slot[] = { false, true };
	pthread_t threads[2];

	ids_open();
	packet_table_add(&ids.table, ids.slots[0], 1);
	packet_table_reserve(&ids.table, &ids.owners[0]);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, claim_all, &by_slot[i]), 0);
	for (uint32_t n = 1; n <= SENDS; n++) {
		send_at(0, false);
		while (!claimed[n])
			sched_yield();
	}
	over = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (uint32_t n = 1; n <= SENDS; n++)
		assert_int_equal(claimed[n], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_grows_by_chunks),
		cmocka_unit_test(an_id_is_good_once),
		cmocka_unit_test(numbers_go_round),
		cmocka_unit_test(bare_ids),
		cmocka_unit_test(what_is_being_written_is_not_claimed),
		cmocka_unit_test(idle_slots_go_round),
		cmocka_unit_test(slots_change_hands),
		cmocka_unit_test(one_of_several_gets_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
