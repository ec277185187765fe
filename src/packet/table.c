/* SPDX-License-Identifier: BSD-2-Clause */
#include "packet/table.h"

void packet_table_init(struct packet_table *table, struct packet_slot **chunks, uint32_t chunk_max,
                       uint32_t shift)
{
	table->chunks = chunks;
	table->chunk_max = chunk_max;
	table->shift = shift;
	table->count = 0;
	table->free = 0;
}

/* Who claims a slot may read it, and finds then that he was too late. */
static void packet_slot_set_owner(struct packet_slot *slot, void *owner)
{
	__atomic_store_n(&slot->owner, owner, __ATOMIC_RELAXED);
}

bool packet_table_add(struct packet_table *table, struct packet_slot *chunk, uint32_t count)
{
	uint32_t first = table->count, size = 1u << table->shift;

	if (count > size || first % size != 0 || first / size >= table->chunk_max)
		return false;
	for (uint32_t i = count; i-- > 0;) {
		chunk[i].next_free = table->free;
		table->free = first + i + 1;
	}
	table->chunks[first / size] = chunk;
	__atomic_store_n(&table->count, first + count, __ATOMIC_RELEASE);
	return true;
}

uint32_t packet_table_reserve(struct packet_table *table, void *owner)
{
	uint32_t slot = table->free - 1;
	struct packet_slot *s;

	if (table->free == 0)
		return PACKET_NO_SLOT;
	s = packet_table_slot(table, slot);
	table->free = s->next_free;
	packet_slot_set_owner(s, owner);
	return slot;
}

void packet_table_free(struct packet_table *table, uint32_t slot)
{
	struct packet_slot *s = packet_table_slot(table, slot);

	packet_slot_set_owner(s, NULL);
	s->next_free = table->free;
	table->free = slot + 1;
}

uint32_t packet_table_take_idle(struct packet_table *table, uint32_t *next, void *owner)
{
	for (uint32_t i = 0; i < table->count; i++) {
		uint32_t slot = *next < table->count ? *next : 0;
		struct packet_slot *s = packet_table_slot(table, slot);

		*next = slot + 1;
		if (packet_slot_under_way(s))
			continue;
		packet_slot_set_owner(s, owner);
		return slot;
	}
	return PACKET_NO_SLOT;
}

/* Out of the list of free slots, which it is in. */
static void packet_table_unlink(struct packet_table *table, uint32_t slot)
{
	uint32_t *p = &table->free;

	while (*p != slot + 1)
		p = &packet_table_slot(table, *p - 1)->next_free;
	*p = packet_table_slot(table, slot)->next_free;
}

bool packet_table_move(struct packet_table *table, uint32_t from, uint32_t to, void **other)
{
	struct packet_slot *f = packet_table_slot(table, from), *t = packet_table_slot(table, to);
	void *owner = f->owner;

	if (packet_slot_under_way(t))
		return false;
	*other = t->owner;
	if (*other == NULL) {
		packet_table_unlink(table, to);
		packet_table_free(table, from);
	}
	packet_slot_set_owner(f, *other);
	packet_slot_set_owner(t, owner);
	return true;
}

void packet_slot_restore(struct packet_slot *slot, uint64_t id)
{
	uint32_t number = (uint32_t)(id >> 32);

	slot->sends = number;
	__atomic_store_n(&slot->number, number, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->flight, packet_flight_of(number, PACKET_FLIGHT_ON),
	                 __ATOMIC_RELEASE);
}

enum packet_claim packet_table_claim_slot(const struct packet_table *table, uint32_t slot,
                                          void **owner)
{
	struct packet_slot *s = packet_table_slot(table, slot);
	uint32_t flight = __atomic_load_n(&s->flight, __ATOMIC_ACQUIRE);

	if ((flight & PACKET_FLIGHT_MASK) == PACKET_FLIGHT_NONE)
		return PACKET_CLAIM_NONE;
	if ((flight & PACKET_FLIGHT_MASK) == PACKET_FLIGHT_WRITING)
		return PACKET_CLAIM_WRITING;
	return packet_slot_end(s, flight, owner);
}
