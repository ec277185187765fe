/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Packets in the caller's memory, where the other end can write that: a driver's pool is shared
 * memory. Nothing is kept there, so nothing can be changed there: the memory's address is a name,
 * and this is where names are looked up.
 */

#include "kmcl/channel.h"

#include <stdlib.h>

#define BUCKETS 1024u

static struct bucket {
	struct spin lock; /* after a channel's out.lock */
	struct packet *first;
} buckets[BUCKETS];
static _Atomic(uint32_t) named;

/* Those of a page are in one bucket, so that a block's can be found. */
static struct bucket *bucket_of(uintptr_t page)
{
	return &buckets[page * 0x9e3779b1u % BUCKETS];
}

static uintptr_t page_of(const void *address)
{
	return (uintptr_t)address / WIRE_PAGE_SIZE;
}

static struct packet *find_locked(struct bucket *b, VMBPACKET name)
{
	struct packet *packet = b->first;

	while (packet && packet->handle != name)
		packet = packet->next_named;
	return packet;
}

struct packet *packet_find_named(VMBPACKET name)
{
	struct bucket *b = bucket_of(page_of(name));
	struct packet *packet;

	spin_lock(&b->lock);
	packet = find_locked(b, name);
	spin_unlock(&b->lock);
	return packet;
}

static void remove_locked(struct bucket *b, struct packet *packet)
{
	struct packet **link = &b->first;

	while (*link != packet)
		link = &(*link)->next_named;
	*link = packet->next_named;
	atomic_fetch_sub(&named, 1);
}

void packet_unname(struct packet *packet)
{
	struct bucket *b = bucket_of(page_of(packet->handle));

	spin_lock(&b->lock);
	remove_locked(b, packet);
	spin_unlock(&b->lock);
}

static bool is_idle(struct packet *packet)
{
	return atomic_load(&packet->state) == PACKET_IDLE;
}

/* The names in [begin, end), or all of the channel's, that are not being sent are nobody's any
 * more. */
static void drop(struct bucket *b, uintptr_t begin, uintptr_t end, const struct channel *ch)
{
	struct packet **link = &b->first, *packet;

	spin_lock(&b->lock);
	while ((packet = *link) != NULL) {
		uintptr_t at = (uintptr_t)packet->handle;

		if (at < begin || at >= end || (ch && packet->channel != ch) || !is_idle(packet)) {
			link = &packet->next_named;
			continue;
		}
		*link = packet->next_named;
		atomic_fetch_sub(&named, 1);
		packet->magic = 0;
		free(packet);
	}
	spin_unlock(&b->lock);
}

static void on_free(void *p, size_t size)
{
	uintptr_t begin = (uintptr_t)p, end = begin + size;

	if (!atomic_load(&named))
		return;
	if ((end - begin) / WIRE_PAGE_SIZE >= BUCKETS) {
		for (uint32_t i = 0; i < BUCKETS; i++)
			drop(&buckets[i], begin, end, NULL);
		return;
	}
	for (uintptr_t page = begin / WIRE_PAGE_SIZE; page * WIRE_PAGE_SIZE < end; page++)
		drop(bucket_of(page), begin, end, NULL);
}

void packets_unname_all(struct channel *ch)
{
	if (!atomic_load(&named))
		return;
	for (uint32_t i = 0; i < BUCKETS; i++)
		drop(&buckets[i], 0, UINTPTR_MAX, ch);
}

/* The one that had the name before goes. False: it is being sent. */
static bool forget(VMBPACKET name)
{
	struct bucket *b = bucket_of(page_of(name));
	struct packet *old;
	bool idle = true;

	spin_lock(&b->lock);
	old = find_locked(b, name);
	if (old) {
		idle = is_idle(old);
		if (idle)
			remove_locked(b, old);
	}
	spin_unlock(&b->lock);
	if (idle)
		free(old);
	return idle;
}

struct packet *packet_name(struct channel *ch, VMBPACKET name, bool *busy)
{
	struct bucket *b = bucket_of(page_of(name));
	struct packet *packet;

	*busy = !forget(name);
	if (*busy)
		return NULL;
	packet = malloc(VmbChannelSizeofPacket(channel_handle(ch)));
	if (!packet)
		return NULL;
	packet_layout(packet, ch);
	packet->handle = name;
	nt_pool_on_free(on_free);
	spin_lock(&b->lock);
	packet->next_named = b->first;
	b->first = packet;
	atomic_fetch_add(&named, 1);
	spin_unlock(&b->lock);
	return packet;
}
