/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Sending: the only writer of a channel's outgoing ring. Packets and completion packets go through
 * the same queue, so their order is the order of the calls. What is written is published at once,
 * or, at DISPATCH_LEVEL, when the IRQL drops: that is what makes a burst of sends one batch.
 */

#include "kmcl/channel.h"

#include <sched.h>
#include <string.h>

static void outgoing_flush(struct nt_deferred *deferred);
static void packet_item_done(struct outgoing_item *item, NTSTATUS status);

void outgoing_init(struct channel *ch)
{
	struct outgoing *out = &ch->out;

	out->tail = &out->head;
	out->flush.routine = outgoing_flush;
	packet_table_init(&out->table, out->chunks, TRANSACTION_CHUNKS, TRANSACTION_SHIFT);
}

/*
 * What has to be done without the lock, but while the opening that it is about lasts: `leaving`
 * counts those who are at it, and closing waits for them. They call nobody who could wait for the
 * close.
 */
static void outgoing_leave_locked(struct outgoing *out)
{
	atomic_fetch_add_explicit(&out->leaving, 1, memory_order_relaxed);
}

/* Afterwards the channel may be gone, if nothing else keeps it. */
static void outgoing_left(struct outgoing *out)
{
	atomic_fetch_sub_explicit(&out->leaving, 1, memory_order_release);
}

void outgoing_wait_left(struct channel *ch)
{
	while (atomic_load_explicit(&ch->out.leaving, memory_order_acquire))
		sched_yield();
}

/*
 * A signal is a system call, and the other end may have answered before it returns: it is sent
 * without the lock, to where the lock's holder saw that it goes.
 */
struct signal_target {
	struct partition_link *link;
	_Atomic(uint64_t) *interrupt_bits;
	_Atomic(uint32_t) *monitor_pending;
	bool wanted;
};

static struct signal_target outgoing_signal_begin_locked(struct outgoing *out)
{
	outgoing_leave_locked(out);
	return (struct signal_target){ out->link, out->interrupt_bits, out->monitor_pending, true };
}

static void outgoing_signal_end(struct channel *ch, const struct signal_target *target)
{
	uint32_t id;

	if (!target->wanted)
		return;
	id = ch->bus_offer.channel_id;
	counter_add_shared(&ch->statistics.signals_out, 1);
	if (target->interrupt_bits)
		atomic_fetch_or(&target->interrupt_bits[id / 64], 1ull << id % 64);
	if (target->monitor_pending)
		atomic_fetch_or(target->monitor_pending, 1u << ch->bus_offer.monitor_id % 32);
	else if (target->link)
		partition_signal(target->link);
	outgoing_left(&ch->out);
}

void outgoing_signal(struct channel *ch)
{
	struct signal_target target;

	spin_lock(&ch->out.lock);
	target = outgoing_signal_begin_locked(&ch->out);
	spin_unlock(&ch->out.lock);
	outgoing_signal_end(ch, &target);
}

static void outgoing_publish_locked(struct channel *ch, struct signal_target *target)
{
	if (ring_write_publish(&ch->out.ring) && !target->wanted)
		*target = outgoing_signal_begin_locked(&ch->out);
}

/* At the end of a batch. */
static void outgoing_flush(struct nt_deferred *deferred)
{
	struct channel *ch = CONTAINING_RECORD(deferred, struct channel, out.flush);
	struct signal_target target = { 0 };

	spin_lock(&ch->out.lock);
	if (ch->out.open)
		outgoing_publish_locked(ch, &target);
	atomic_store(&ch->out.flush_queued, false);
	spin_unlock(&ch->out.lock);
	outgoing_signal_end(ch, &target);
}

static void outgoing_commit_locked(struct channel *ch, struct signal_target *target)
{
	if (KeGetCurrentIrql() < DISPATCH_LEVEL) {
		outgoing_publish_locked(ch, target);
	} else if (!atomic_load_explicit(&ch->out.flush_queued, memory_order_relaxed)) {
		atomic_store_explicit(&ch->out.flush_queued, true, memory_order_relaxed);
		nt_defer(&ch->out.flush);
	}
}

static bool outgoing_may_write_locked(const struct outgoing *out)
{
	return out->open && !out->frozen;
}

static bool outgoing_is_packet(const struct outgoing_item *item)
{
	return item->done == packet_item_done;
}

/* What a queued completion keeps: the incoming packet that it answers. */
static uint32_t outgoing_answer_size(struct outgoing_item *item)
{
	return outgoing_is_packet(item)
	               ? 0
	               : CONTAINING_RECORD(item, struct incoming_packet, item)->size;
}

static void outgoing_charge(struct channel *ch, struct outgoing_item *item)
{
	uint32_t size = outgoing_answer_size(item);

	if (size && !ch->server)
		account_add(guest_account(ch->guest), ACCOUNT_ANSWERS, size);
}

static void outgoing_refund(struct channel *ch, uint32_t size)
{
	if (size && !ch->server)
		account_subtract(guest_account(ch->guest), ACCOUNT_ANSWERS, size);
}

/*
 * A guest reads always, as a host stops when its own answers wait (or each end could wait for the
 * other's reading): so a host that sends requests and reads no answers makes it queue them. There
 * is an end to that.
 */
static void outgoing_check_answers(struct channel *ch)
{
	uint64_t answers;

	if (ch->server || atomic_load(&ch->in.failed))
		return;
	answers = atomic_load(&guest_account(ch->guest)->held[ACCOUNT_ANSWERS]);
	if (answers <= account_max[ACCOUNT_ANSWERS])
		return;
	atomic_store(&ch->in.on, false);
	channel_fault(ch, "unread answers (bytes)", account_max[ACCOUNT_ANSWERS], answers);
}

static void outgoing_append_locked(struct channel *ch, struct outgoing_item *item)
{
	outgoing_charge(ch, item);
	item->next = NULL;
	*ch->out.tail = item;
	ch->out.tail = &item->next;
	atomic_store(&ch->out.waiting, true);
	counter_add(&ch->statistics.sends_queued, 1);
}

/* The first is gone; `next` came after it. */
static void outgoing_pop_locked(struct channel *ch, struct outgoing_item *next)
{
	ch->out.head = next;
	if (next)
		return;
	ch->out.tail = &ch->out.head;
	atomic_store(&ch->out.waiting, false);
}

static struct packet *outgoing_packet(struct outgoing_item *item)
{
	return CONTAINING_RECORD(item, struct packet, item);
}

struct packet *outgoing_item_packet(struct outgoing_item *item)
{
	return outgoing_is_packet(item) ? outgoing_packet(item) : NULL;
}

/* Is there nothing more to wait for once it is in the ring? */
static bool outgoing_item_ends(struct outgoing_item *item)
{
	return !outgoing_is_packet(item) || !outgoing_packet(item)->waits;
}

static void outgoing_count_locked(struct channel *ch, const struct packet *packet, uint32_t payload,
                                  uint32_t external)
{
	if (!packet) {
		counter_add(&ch->statistics.completions_out, 1);
		return;
	}
	counter_add(&ch->statistics.packets_out, 1);
	counter_add(&ch->statistics.bytes_out, payload);
	counter_add(&ch->statistics.external_bytes, external);
}

/* A packet that waits may be completed, and be somebody else's, as soon as it is in the ring: then
 * nothing of it is touched any more. */
static enum ring_status outgoing_write_locked(struct channel *ch, struct outgoing_item *item)
{
	struct packet *packet = outgoing_item_packet(item);
	uint32_t payload = packet ? packet->payload_size : 0;
	uint32_t external = packet ? packet->external_size : 0;
	enum ring_status status;

	tsan_before_write(ch->rings.out_gpn);
	if (packet && packet->waits)
		status = packet_out_write_transaction(&ch->out.ring, &ch->out.table, packet->slot,
		                                      packet->id_chosen, &item->out);
	else
		status = packet_out_write(&ch->out.ring, &item->out);
	if (status == RING_OK)
		outgoing_count_locked(ch, packet, payload, external);
	return status;
}

/* Without the lock, after outgoing_leave_locked(): the ring was malformed then, and stays so. */
static __attribute__((noinline)) void outgoing_fault(struct channel *ch)
{
	struct ring_fault fault;

	spin_lock(&ch->out.lock);
	fault = ch->out.ring.fault;
	spin_unlock(&ch->out.lock);
	channel_fault(ch, fault.what, fault.expected, fault.actual);
	outgoing_left(&ch->out);
}

/* ---- sending ---- */

/* The payload moves from the caller's memory to the packet's own: the call is about to return. */
static void packet_keep_payload(struct packet *packet)
{
	struct ring_span *span = packet_out_payload_span(&packet->item.out);

	if (span->base != packet->payload)
		memcpy(packet->payload, span->base, span->size);
	span->base = packet->payload;
}

static void packet_item_done(struct outgoing_item *item, NTSTATUS status)
{
	packet_done(outgoing_packet(item), status, NULL, 0);
}

NTSTATUS outgoing_send(struct channel *ch, struct packet *packet, bool now_only)
{
	struct outgoing *out = &ch->out;
	enum ring_status ring = RING_FULL;
	bool waits = packet->waits, done = false, open;
	struct signal_target target = { 0 };

	packet->item.done = packet_item_done;
	spin_lock(&out->lock);
	if (waits && !packet_reserve_flight_locked(packet)) {
		spin_unlock(&out->lock);
		return STATUS_INSUFFICIENT_RESOURCES;
	}
	open = out->open;
	if (outgoing_may_write_locked(out) && !out->head)
		ring = outgoing_write_locked(ch, &packet->item);
	if (ring == RING_OK) {
		outgoing_commit_locked(ch, &target);
		done = !waits;
		if (done && !packet->completion && !packet->bounce.pages) {
			packet_release_locked(packet);
			done = false;
		}
	} else if (!now_only && ring != RING_TOO_BIG) {
		packet_keep_payload(packet);
		outgoing_append_locked(ch, &packet->item);
	} else {
		packet_unreserve_flight_locked(packet);
	}
	if (ring == RING_MALFORMED)
		outgoing_leave_locked(out);
	spin_unlock(&out->lock);
	outgoing_signal_end(ch, &target);

	if (ring == RING_OK) {
		if (done)
			packet_done(packet, STATUS_SUCCESS, NULL, 0);
		return STATUS_SUCCESS;
	}
	if (ring == RING_MALFORMED)
		outgoing_fault(ch);
	if (ring == RING_TOO_BIG)
		return STATUS_INVALID_BUFFER_SIZE;
	if (now_only)
		return open && ring == RING_FULL ? STATUS_BUFFER_OVERFLOW : STATUS_DEVICE_REMOVED;
	if (atomic_load(&out->waiting))
		outgoing_drain(ch); /* asks the reader for a signal, or finds room after all */
	return STATUS_SUCCESS;
}

static void outgoing_answer_done(struct outgoing_item *item, NTSTATUS status)
{
	incoming_sent(CONTAINING_RECORD(item, struct incoming_packet, item));
}

void outgoing_answer(struct incoming_packet *packet, const void *buffer, uint32_t size)
{
	struct channel *ch = packet->channel;
	struct outgoing *out = &ch->out;
	struct outgoing_item *item = &packet->item;
	enum ring_status ring = RING_FULL;
	struct signal_target target = { 0 };
	bool queued = false;

	item->done = outgoing_answer_done;
	packet_out_completion(&item->out, packet->in.id, size ? buffer : packet->payload, size);
	spin_lock(&out->lock);
	if (outgoing_may_write_locked(out) && !out->head)
		ring = outgoing_write_locked(ch, item);
	if (ring == RING_OK) {
		outgoing_commit_locked(ch, &target);
	} else if (ring == RING_FULL && out->open) {
		if (size)
			memmove(packet->payload, buffer, size);
		packet_out_payload_span(&item->out)->base = packet->payload;
		if (ch->server)
			incoming_unsent_locked(packet);
		outgoing_append_locked(ch, item);
		outgoing_leave_locked(out);
		queued = true;
	} else if (ring == RING_MALFORMED) {
		outgoing_leave_locked(out);
	}
	spin_unlock(&out->lock);
	outgoing_signal_end(ch, &target);
	if (ring == RING_MALFORMED)
		outgoing_fault(ch);
	if (!queued) {
		incoming_free(packet);
		return;
	}
	outgoing_check_answers(ch);
	outgoing_left(out);
	outgoing_drain(ch);
}

struct outgoing_list {
	struct outgoing_item *first;
	struct outgoing_item **last;
};

static void outgoing_list_add(struct outgoing_list *list, struct outgoing_item *item)
{
	item->next = NULL;
	*list->last = item;
	list->last = &item->next;
}

void outgoing_end_queued(struct outgoing_item *item, NTSTATUS status)
{
	while (item) {
		struct outgoing_item *next = item->next;

		item->done(item, status);
		item = next;
	}
}

uint32_t outgoing_drain(struct channel *ch)
{
	struct outgoing *out = &ch->out;
	struct outgoing_list done = { .last = &done.first }, refused = { .last = &refused.first };
	struct outgoing_list answers = { .last = &answers.first };
	struct outgoing_item *item, *next;
	struct signal_target target = { 0 };
	enum ring_status ring = RING_OK;
	uint32_t count = 0;
	bool signal = false, ends;
	uint32_t answer;

	spin_lock(&out->lock);
	while (outgoing_may_write_locked(out) && out->head) {
		item = out->head;
		next = item->next;
		ends = outgoing_item_ends(item);
		answer = outgoing_answer_size(item);
		ring = outgoing_write_locked(ch, item);
		if (ring == RING_FULL) {
			if (ring_write_wait(&out->ring, packet_out_size(&item->out), &signal))
				continue;
			break;
		}
		if (ring == RING_MALFORMED)
			break;
		outgoing_pop_locked(ch, next);
		outgoing_refund(ch, answer);
		count++;
		if (answer)
			outgoing_list_add(&answers, item);
		else if (ring == RING_TOO_BIG)
			outgoing_list_add(&refused, item);
		else if (ends)
			outgoing_list_add(&done, item);
	}
	if (out->open && !out->head)
		ring_write_wait_end(&out->ring);
	if (count)
		outgoing_commit_locked(ch, &target);
	if (signal && !target.wanted)
		target = outgoing_signal_begin_locked(out);
	if (answers.first)
		outgoing_leave_locked(out);
	if (ring == RING_MALFORMED)
		outgoing_leave_locked(out);
	spin_unlock(&out->lock);
	outgoing_signal_end(ch, &target);

	if (answers.first) {
		outgoing_end_queued(answers.first, STATUS_SUCCESS);
		outgoing_left(out);
	}
	if (ring == RING_MALFORMED)
		outgoing_fault(ch);
	outgoing_end_queued(done.first, STATUS_SUCCESS);
	outgoing_end_queued(refused.first, STATUS_INVALID_BUFFER_SIZE);
	return count;
}

bool outgoing_remove(struct channel *ch, struct packet *packet)
{
	struct outgoing *out = &ch->out;
	bool found = false;

	spin_lock(&out->lock);
	for (struct outgoing_item **p = &out->head; *p; p = &(*p)->next) {
		if (*p != &packet->item)
			continue;
		*p = packet->item.next;
		if (!*p)
			out->tail = p;
		found = true;
		break;
	}
	if (!out->head) {
		out->tail = &out->head;
		atomic_store(&out->waiting, false);
	}
	spin_unlock(&out->lock);
	return found;
}

/* ---- opening and closing ---- */

void outgoing_open(struct channel *ch)
{
	spin_lock(&ch->out.lock);
	ch->out.open = true;
	spin_unlock(&ch->out.lock);
	outgoing_drain(ch);
}

bool outgoing_is_open(struct channel *ch)
{
	bool open;

	spin_lock(&ch->out.lock);
	open = ch->out.open;
	spin_unlock(&ch->out.lock);
	return open;
}

void outgoing_freeze(struct channel *ch, bool frozen)
{
	spin_lock(&ch->out.lock);
	ch->out.frozen = frozen;
	spin_unlock(&ch->out.lock);
	if (!frozen)
		outgoing_drain(ch);
}

/* A thread at DISPATCH_LEVEL may still have the flush on its list; it will not be long. */
static void outgoing_wait_flushed(struct channel *ch)
{
	nt_run_deferred();
	while (atomic_load(&ch->out.flush_queued))
		sched_yield();
}

void outgoing_stop(struct channel *ch)
{
	struct outgoing *out = &ch->out;
	struct signal_target target = { 0 };

	spin_lock(&out->lock);
	if (out->open)
		outgoing_publish_locked(ch, &target);
	out->open = false;
	spin_unlock(&out->lock);
	outgoing_signal_end(ch, &target);
}

struct outgoing_item *outgoing_take_queued(struct channel *ch)
{
	struct outgoing *out = &ch->out;
	struct outgoing_item *list;

	spin_lock(&out->lock);
	list = out->head;
	out->head = NULL;
	out->tail = &out->head;
	atomic_store(&out->waiting, false);
	spin_unlock(&out->lock);
	for (struct outgoing_item *item = list; item; item = item->next)
		outgoing_refund(ch, outgoing_answer_size(item));
	return list;
}

void outgoing_close(struct channel *ch, NTSTATUS status)
{
	struct outgoing_item *list;

	outgoing_stop(ch);
	list = outgoing_take_queued(ch);
	outgoing_wait_flushed(ch);
	outgoing_end_queued(list, status);
	packet_cancel_all(ch, status);
}
