/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PACKET_TABLE_H
#define PACKET_TABLE_H

/*
 * The ids of transactions. Who sends reserves a slot, once or for each send, and each send from it
 * gets an id of its own: the slot's index + 1, and in the high half how many it has been. So the
 * answer to an earlier send is not taken for that to a later one. Some senders want ids that are
 * small and always the same, as DPDK's do: a bare id is the low half alone.
 *
 * An id that the other end completes may be anything. packet_slot_claim() makes one caller the
 * owner of what is under way under it, once; no id that is not under way is anybody's.
 *
 * The memory is the caller's, in chunks that stay where they are: one, or as many as it takes.
 */

#include "wire/bare.h"

/* The low bits of packet_slot.flight; above them are as many bits of the send's number. */
enum packet_flight {
	PACKET_FLIGHT_NONE = 0,
	/* Somebody puts it in the ring. Who answers by now has guessed the id, or was quick: the
	 * ring shows its packets when it is time. */
	PACKET_FLIGHT_WRITING = 1,
	PACKET_FLIGHT_ON = 2,
	PACKET_FLIGHT_MASK = 3,
};

struct packet_slot {
	uint32_t flight;    /* whoever takes it from ON to NONE owns the transaction's end */
	uint32_t number;    /* the id's high half */
	uint32_t sends;     /* that had a number */
	uint32_t next_free; /* index + 1; 0: none */
	bool external;      /* of the last send: it refers to memory outside the ring */
	void *owner;        /* NULL: free */
};

struct packet_table {
	struct packet_slot **chunks; /* room for chunk_max of them */
	uint32_t chunk_max;
	uint32_t shift; /* a chunk is 1 << shift slots; the last may have less */
	uint32_t count; /* slots that are there */
	uint32_t free;  /* index + 1 */
};

#define PACKET_NO_SLOT UINT32_MAX

/* All of these by one thread at a time: senders, who have a lock if they are many. */

void packet_table_init(struct packet_table *table, struct packet_slot **chunks, uint32_t chunk_max,
                       uint32_t shift);
/* `count` zeroed slots more, at most 1 << shift. False: there is no room for a chunk, or the last
 * one was not whole. */
bool packet_table_add(struct packet_table *table, struct packet_slot *chunk, uint32_t count);
/* PACKET_NO_SLOT: all are taken. */
uint32_t packet_table_reserve(struct packet_table *table, void *owner);
/* It is not under way. */
void packet_table_free(struct packet_table *table, uint32_t slot);
/* For who reserves a slot for each send alone, and frees none: one that is not under way, from
 * *next on. Whoever claims what is under way in it has given it back. Not with the two above. */
uint32_t packet_table_take_idle(struct packet_table *table, uint32_t *next, void *owner);
/* Gives the owner of `from` slot `to` instead, which exists; who had that, if anybody, gets `from`
 * and is in *other. Neither is under way; false: `to` is. */
bool packet_table_move(struct packet_table *table, uint32_t from, uint32_t to, void **other);
/* A slot that is not under way is, under an id that was given before; that of its index. */
void packet_slot_restore(struct packet_slot *slot, uint64_t id);

/* By anyone: */

static inline uint32_t packet_id_slot(uint64_t id)
{
	return (uint32_t)id - 1;
}

/* Could the table, grown to its limit, have given this id? */
static inline bool packet_table_reaches(const struct packet_table *table, uint64_t id)
{
	return packet_id_slot(id) >> table->shift < table->chunk_max;
}

static inline uint32_t packet_table_count(const struct packet_table *table)
{
	/* Acquire: a chunk was there before it counted. */
	return __atomic_load_n(&table->count, __ATOMIC_ACQUIRE);
}

/* Of an index that is below the count. */
static inline struct packet_slot *packet_table_slot(const struct packet_table *table, uint32_t slot)
{
	return &table->chunks[slot >> table->shift][slot & ((1u << table->shift) - 1)];
}

static inline bool packet_slot_under_way(const struct packet_slot *slot)
{
	return __atomic_load_n(&slot->flight, __ATOMIC_ACQUIRE) != PACKET_FLIGHT_NONE;
}

static inline uint32_t packet_flight_of(uint32_t number, enum packet_flight flight)
{
	return number << 2 | flight;
}

/* By who sends, in this order; see packet_out_write_transaction(). */

static inline uint64_t packet_slot_take(struct packet_slot *slot, uint32_t index, bool bare_id,
                                        uint32_t *flight)
{
	uint32_t number = bare_id ? 0 : ++slot->sends;

	*flight = packet_flight_of(number, PACKET_FLIGHT_WRITING);
	__atomic_store_n(&slot->number, number, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->flight, *flight, __ATOMIC_RELAXED);
	return (uint64_t)number << 32 | (index + 1);
}

static inline void packet_slot_written(struct packet_slot *slot, uint32_t flight, bool written)
{
	flight = written ? flight ^ PACKET_FLIGHT_WRITING ^ PACKET_FLIGHT_ON : 0;
	/* Release: whoever claims it finds all that its sender did. */
	__atomic_store_n(&slot->flight, flight, __ATOMIC_RELEASE);
}

enum packet_claim {
	PACKET_CLAIM_NONE,    /* not an id that is under way */
	PACKET_CLAIM_WRITING, /* ask again: its sender is not through, which will not take long */
	PACKET_CLAIM_OK,
};

/* What was under way as `flight` is over. */
static inline enum packet_claim packet_slot_end(struct packet_slot *slot, uint32_t flight,
                                                void **owner)
{
	/* afterwards the slot may be another's */
	*owner = __atomic_load_n(&slot->owner, __ATOMIC_RELAXED);
	return __atomic_compare_exchange_n(&slot->flight, &flight, PACKET_FLIGHT_NONE, false,
	                                   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)
	               ? PACKET_CLAIM_OK
	               : PACKET_CLAIM_NONE;
}

/* By anyone. Of several who claim one id one gets it. *owner is who had reserved the slot. */
static inline enum packet_claim packet_table_claim(const struct packet_table *table, uint64_t id,
                                                   void **owner)
{
	uint32_t index = packet_id_slot(id), number = (uint32_t)(id >> 32), flight;
	struct packet_slot *slot;

	if (index >= packet_table_count(table))
		return PACKET_CLAIM_NONE;
	slot = packet_table_slot(table, index);
	flight = __atomic_load_n(&slot->flight, __ATOMIC_ACQUIRE);
	if (flight == packet_flight_of(number, PACKET_FLIGHT_WRITING))
		return PACKET_CLAIM_WRITING;
	if (flight != packet_flight_of(number, PACKET_FLIGHT_ON) ||
	    __atomic_load_n(&slot->number, __ATOMIC_RELAXED) != number)
		return PACKET_CLAIM_NONE;
	return packet_slot_end(slot, flight, owner);
}

/* Likewise whatever is under way in a slot: for who ends all of them. */
enum packet_claim packet_table_claim_slot(const struct packet_table *table, uint32_t slot,
                                          void **owner);

#endif
