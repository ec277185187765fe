/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Outgoing packet objects: each owns what its send needs. One of the library's has a slot in the
 * transaction table for life; one in the caller's memory, of which nobody says when it is over, has
 * it from its send to its end.
 */

#include "kmcl/channel.h"

#include <stdlib.h>
#include <string.h>

#ifdef KMCL_TSAN
char tsan_rings[256];
#endif

#define PACKETS_KEPT 4096u /* on the lookaside list of a channel */

/* ---- transactions ---- */

static bool transaction_grow(struct channel *ch)
{
	struct packet_slot *chunk = calloc(1u << TRANSACTION_SHIFT, sizeof(*chunk));

	if (!chunk)
		return false;
	if (packet_table_add(&ch->out.table, chunk, 1u << TRANSACTION_SHIFT))
		return true;
	free(chunk);
	return false;
}

bool packet_reserve_slot_locked(struct packet *packet)
{
	struct channel *ch = packet->channel;

	packet->slot = packet_table_reserve(&ch->out.table, packet);
	if (packet->slot == PACKET_NO_SLOT && transaction_grow(ch))
		packet->slot = packet_table_reserve(&ch->out.table, packet);
	return packet->slot != PACKET_NO_SLOT;
}

static void transaction_free_locked(struct packet *packet)
{
	packet_table_free(&packet->channel->out.table, packet->slot);
	packet->slot = PACKET_NO_SLOT;
}

void packet_unreserve_flight_locked(struct packet *packet)
{
	if (packet->callers_memory && packet->slot != PACKET_NO_SLOT)
		transaction_free_locked(packet);
}

/* The sender was done with the packet before the other end could see it; see kmcl/tsan.h. */
static void tsan_after_send(struct channel *ch)
{
#ifdef KMCL_TSAN

	spin_lock(&ch->out.lock);
	spin_unlock(&ch->out.lock);
#endif
}

struct packet *packet_claim(struct channel *ch, uint64_t id)
{
	enum packet_claim claim;
	void *packet = NULL;

	/* a sender holds a lock and will not be long */
	while ((claim = packet_table_claim(&ch->out.table, id, &packet)) == PACKET_CLAIM_WRITING)
		YieldProcessor();
	if (claim != PACKET_CLAIM_OK)
		return NULL;
	tsan_after_send(ch);
	return packet;
}

struct packet *packet_at(struct channel *ch, uint32_t slot)
{
	return packet_table_slot(&ch->out.table, slot)->owner;
}

/* Gives the packet the slot that the id names; who had that, if anybody, gets the packet's. */
static bool transaction_move_locked(struct packet *packet, uint32_t slot)
{
	struct channel *ch = packet->channel;
	struct packet_table *table = &ch->out.table;
	struct packet *there;
	void *other;

	if (packet->slot == slot)
		return true;
	while (slot >= packet_table_count(table))
		if (!transaction_grow(ch))
			return false;
	there = packet_at(ch, slot);
	if (there && there->id_chosen)
		return false;
	if (!packet_table_move(table, packet->slot, slot, &other))
		return false;
	if (there)
		there->slot = packet->slot;
	packet->slot = slot;
	return true;
}

NTSTATUS kmcl_packet_set_transaction_id(VMBPACKET handle, uint32_t id)
{
	struct packet *packet = packet_of(handle);
	struct channel *ch;
	bool moved;

	if (!packet || packet->callers_memory || atomic_load(&packet->state) != PACKET_IDLE)
		return STATUS_INVALID_PARAMETER_1;
	ch = packet->channel;
	if (!packet_table_reaches(&ch->out.table, id))
		return STATUS_INVALID_PARAMETER_2;
	spin_lock(&ch->out.lock);
	moved = transaction_move_locked(packet, packet_id_slot(id));
	packet->id_chosen = packet->id_chosen || moved;
	spin_unlock(&ch->out.lock);
	return moved ? STATUS_SUCCESS : STATUS_DEVICE_BUSY;
}

NTSTATUS packet_restore_flight(struct packet *packet, uint64_t id)
{
	struct channel *ch = packet->channel;
	uint32_t idle = PACKET_IDLE;
	bool moved;

	if (packet_is_unset(packet) ||
	    !atomic_compare_exchange_strong(&packet->state, &idle, PACKET_SENT))
		return STATUS_INVALID_PARAMETER_1;
	spin_lock(&ch->out.lock);
	moved = packet_reserve_flight_locked(packet) &&
	        transaction_move_locked(packet, packet_id_slot(id));
	if (!moved)
		packet_unreserve_flight_locked(packet);
	if (moved) {
		packet->waits = true;
		packet->item.out.wire.transaction_id = id;
		/* external data it has none: it is a host's */
		packet_slot_restore(packet_table_slot(&ch->out.table, packet->slot), id);
	}
	spin_unlock(&ch->out.lock);
	if (!moved)
		atomic_store(&packet->state, PACKET_IDLE);
	return moved ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER_2;
}

bool packet_in_flight(struct channel *ch, uint32_t slot)
{
	struct packet_table *table = &ch->out.table;

	return slot < packet_table_count(table) &&
	       packet_slot_under_way(packet_table_slot(table, slot));
}

bool packet_external_in_flight(struct channel *ch)
{
	struct packet_table *table = &ch->out.table;
	bool found = false;

	spin_lock(&ch->out.lock);
	for (uint32_t slot = 0; slot < packet_table_count(table) && !found; slot++)
		found = packet_table_slot(table, slot)->external && packet_in_flight(ch, slot);
	spin_unlock(&ch->out.lock);
	return found;
}

void packet_cancel_all(struct channel *ch, NTSTATUS status)
{
	/* one that is made meanwhile has not been sent */
	uint32_t count = packet_table_count(&ch->out.table);
	enum packet_claim claim;
	void *packet = NULL;

	for (uint32_t slot = 0; slot < count; slot++) {
		while ((claim = packet_table_claim_slot(&ch->out.table, slot, &packet)) ==
		       PACKET_CLAIM_WRITING)
			YieldProcessor();
		if (claim == PACKET_CLAIM_OK)
			packet_done(packet, status, NULL, 0);
	}
}

/* ---- packet objects ---- */

UINT32 VmbChannelSizeofPacket(VMBCHANNEL Channel)
{
	struct channel *ch = channel_of(Channel);

	if (!ch)
		return 0;
	return (uint32_t)sizeof(struct packet) +
	       (uint32_t)packet_gpa_headers_max(&ch->config.limits) +
	       wire_align8(ch->config.limits.payload_max);
}

void packet_layout(struct packet *packet, struct channel *ch)
{
	memset(packet, 0, sizeof(*packet));
	packet->channel = ch;
	packet->handle = (VMBPACKET)packet;
	packet->slot = PACKET_NO_SLOT;
	packet->header_capacity = (uint32_t)packet_gpa_headers_max(&ch->config.limits);
	packet->payload_capacity = ch->config.limits.payload_max;
	packet->header = (uint8_t *)(packet + 1);
	packet->payload = packet->header + packet->header_capacity;
	atomic_init(&packet->state, PACKET_IDLE);
}

static bool packet_fits_config(const struct packet *packet, const struct channel *ch)
{
	return packet->payload_capacity == ch->config.limits.payload_max &&
	       packet->header_capacity == (uint32_t)packet_gpa_headers_max(&ch->config.limits);
}

static void packet_destroy_locked(struct packet *packet)
{
	if (packet->slot != PACKET_NO_SLOT)
		transaction_free_locked(packet);
	packet->magic = 0;
	if (packet_is_named(packet))
		packet_unname(packet);
	if (!packet->callers_memory || packet_is_named(packet))
		free(packet);
}

/* A kept packet of today's sizes, or NULL; older ones go. */
static struct packet *packet_take_kept_locked(struct channel *ch)
{
	struct outgoing *out = &ch->out;
	struct packet *packet;

	while ((packet = out->free_packets) != NULL) {
		out->free_packets = packet->next_free;
		out->free_count--;
		if (packet_fits_config(packet, ch)) {
			packet->completion = NULL;
			packet->pointer = NULL;
			packet->synchronous = false;
			atomic_store_explicit(&packet->caller, PACKET_CALLER_WAITS,
			                      memory_order_relaxed);
			atomic_store_explicit(&packet->state, PACKET_IDLE, memory_order_relaxed);
			return packet;
		}
		packet_destroy_locked(packet);
	}
	return NULL;
}

VMBPACKET VmbPacketAllocate(VMBCHANNEL Channel)
{
	struct channel *ch = channel_of(Channel);
	struct packet *packet;
	bool reserved;

	if (!ch)
		return NULL;
	spin_lock(&ch->out.lock);
	packet = packet_take_kept_locked(ch);
	spin_unlock(&ch->out.lock);
	if (packet)
		return (VMBPACKET)packet;

	packet = malloc(VmbChannelSizeofPacket(Channel));
	if (!packet)
		return NULL;
	packet_layout(packet, ch);
	spin_lock(&ch->out.lock);
	reserved = packet_reserve_slot_locked(packet);
	spin_unlock(&ch->out.lock);
	if (!reserved) {
		free(packet);
		return NULL;
	}
	packet->magic = PACKET_MAGIC;
	return (VMBPACKET)packet;
}

/* What a packet in the caller's memory starts with: using it unset is the caller's fault. */
static VOID packet_completion_unset(VMBPACKET handle, NTSTATUS status, PVOID buffer, UINT32 size)
{
}

NTSTATUS VmbPacketInitialize(VMBCHANNEL Channel, VMBPACKET VmbPacket, UINT32 ByteCount)
{
	struct channel *ch = channel_of(Channel);
	struct packet *packet = (struct packet *)VmbPacket;

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (!packet || (uintptr_t)packet % _Alignof(struct packet) != 0)
		return STATUS_INVALID_PARAMETER_2;
	if (ByteCount < VmbChannelSizeofPacket(Channel))
		return STATUS_INVALID_PARAMETER_3;
	if (nt_is_shared(packet)) {
		bool busy = false;

		packet = packet_name(ch, VmbPacket, &busy);
		if (!packet)
			return busy ? STATUS_INVALID_PARAMETER_2 : STATUS_INSUFFICIENT_RESOURCES;
	} else {
		packet_layout(packet, ch);
	}
	packet->callers_memory = true;
	packet->completion = packet_completion_unset;
	packet->magic = PACKET_MAGIC;
	return STATUS_SUCCESS;
}

void packet_release_locked(struct packet *packet)
{
	struct outgoing *out = &packet->channel->out;

	if (packet->callers_memory || out->free_count >= PACKETS_KEPT) {
		packet_destroy_locked(packet);
		return;
	}
	packet->id_chosen = false;
	atomic_store_explicit(&packet->state, PACKET_FREE, memory_order_relaxed);
	packet->next_free = out->free_packets;
	out->free_packets = packet;
	out->free_count++;
}

static __attribute__((noinline)) void packet_release(struct packet *packet)
{
	struct channel *ch = packet->channel;

	spin_lock(&ch->out.lock);
	packet_release_locked(packet);
	spin_unlock(&ch->out.lock);
}

VOID VmbPacketFree(VMBPACKET VmbPacket)
{
	struct packet *packet = packet_of(VmbPacket);
	struct channel *ch;

	if (!packet)
		return;
	ch = packet->channel;
	if (atomic_load(&packet->state) != PACKET_IDLE) {
		nt_misuse(__func__, channel_name(ch), "the packet is free already, or being sent");
		return;
	}
	packet_release(packet);
}

void packets_free_all(struct channel *ch)
{
	struct outgoing *out = &ch->out;
	struct packet *packet;

	outgoing_close(ch, STATUS_CANCELLED);
	spin_lock(&out->lock);
	while ((packet = out->free_packets) != NULL) {
		out->free_packets = packet->next_free;
		packet_destroy_locked(packet);
	}
	packets_unname_all(ch);
	for (uint32_t i = 0; i < TRANSACTION_CHUNKS; i++) {
		free(out->chunks[i]);
		out->chunks[i] = NULL;
	}
	spin_unlock(&out->lock);
}

VOID VmbPacketSetPointer(VMBPACKET PacketObject, PVOID Pointer)
{
	struct packet *packet = packet_of(PacketObject);

	if (packet)
		packet->pointer = Pointer;
}

PVOID VmbPacketGetPointer(VMBPACKET PacketObject)
{
	struct packet *packet = packet_of(PacketObject);

	return packet ? packet->pointer : NULL;
}

VMBCHANNEL VmbPacketGetChannel(VMBPACKET PacketObject)
{
	struct packet *packet = packet_of(PacketObject);

	return packet ? channel_handle(packet->channel) : NULL;
}

VOID VmbPacketSetCompletionRoutine(VMBPACKET PacketObject,
                                   PFN_VMB_PACKET_COMPLETION_ROUTINE CompletionRoutine)
{
	struct packet *packet = packet_of(PacketObject);

	if (!packet)
		return;
	if (atomic_load(&packet->state) != PACKET_IDLE) {
		nt_misuse(__func__, channel_name(packet->channel), "the packet is being sent");
		return;
	}
	packet->completion = CompletionRoutine;
}

/* ---- the end of a send ---- */

bool packet_is_unset(const struct packet *packet)
{
	return packet->completion == packet_completion_unset;
}

bool packet_abandon(struct packet *packet)
{
	uint32_t waits = PACKET_CALLER_WAITS;

	return atomic_compare_exchange_strong(&packet->caller, &waits, PACKET_CALLER_GONE);
}

bool packet_caller_is_gone(const struct packet *packet)
{
	return atomic_load(&packet->caller) == PACKET_CALLER_GONE;
}

/* The caller's memory may be written only while it waits. */
static bool packet_serve_caller(struct packet *packet)
{
	uint32_t waits = PACKET_CALLER_WAITS;

	return !packet->synchronous ||
	       atomic_compare_exchange_strong(&packet->caller, &waits, PACKET_CALLER_SERVED);
}

/* Out of line: few packets are in their caller's memory. */
static __attribute__((noinline)) void packet_unreserve_flight(struct packet *packet)
{
	struct channel *ch = packet->channel;

	spin_lock(&ch->out.lock);
	packet_unreserve_flight_locked(packet);
	spin_unlock(&ch->out.lock);
}

static void packet_finish(struct packet *packet, void *buffer, uint32_t size)
{
	PFN_VMB_PACKET_COMPLETION_ROUTINE completion;
	VMBPACKET handle;
	NTSTATUS status;

	extdata_finish(packet, packet_serve_caller(packet));
	if (packet->callers_memory)
		packet_unreserve_flight(packet);
	completion = packet->completion;
	if (!completion) {
		packet_release(packet);
		return;
	}
	handle = packet->handle;
	status = packet->status;
	atomic_store_explicit(&packet->state, PACKET_IDLE, memory_order_release);
	completion(handle, status, buffer, size);
}

/*
 * Completion routines send again, and a send without WAIT completes at once: without care that is a
 * recursion as deep as the ring is long. So one that comes up inside another waits for it to
 * return.
 */
static _Thread_local struct packet_endings {
	bool running;
	struct packet *first;
	struct packet **last;
} endings;

static void packet_run_endings(void)
{
	struct packet *packet;

	while ((packet = endings.first) != NULL) {
		endings.first = packet->next_free;
		if (!endings.first)
			endings.last = &endings.first;
		packet_finish(packet, NULL, 0);
	}
}

void packet_done(struct packet *packet, NTSTATUS status, void *buffer, uint32_t size)
{
	KIRQL irql;

	packet->status = status;
	if (endings.running && !buffer) {
		packet->next_free = NULL;
		*endings.last = packet;
		endings.last = &packet->next_free;
		return;
	}
	if (endings.running) {
		packet_finish(packet, buffer, size);
		return;
	}
	KeRaiseIrql(DISPATCH_LEVEL, &irql);
	endings.running = true;
	endings.last = &endings.first;
	packet_finish(packet, buffer, size);
	packet_run_endings();
	endings.running = false;
	KeLowerIrql(irql);
}
