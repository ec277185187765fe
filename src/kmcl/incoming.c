/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Receiving: the only reader of a channel's incoming ring. One thread at a time delivers, mostly
 * the channel's dispatcher; `busy` says that somebody does. Each packet is checked and copied out
 * of shared memory once, into an item that the driver owns until it completes it.
 */

#include "kmcl/channel.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define INCOMING_PASSIVE_BUDGET 64u

/* The channel that this thread delivers for. */
static _Thread_local struct channel *delivering;

static bool incoming_enter(struct channel *ch)
{
	if (atomic_load_explicit(&ch->in.busy, memory_order_relaxed) ||
	    atomic_exchange_explicit(&ch->in.busy, true, memory_order_acquire))
		return false;
	return true;
}

static void incoming_leave(struct channel *ch)
{
	atomic_store_explicit(&ch->in.busy, false, memory_order_release);
}

/* Enters if there is a ring to read; it stays until this leaves. */
static bool incoming_enter_on(struct channel *ch)
{
	if (!atomic_load_explicit(&ch->in.on, memory_order_relaxed) || !incoming_enter(ch))
		return false;
	if (atomic_load(&ch->in.on))
		return true;
	incoming_leave(ch);
	return false;
}

static void incoming_enter_waiting(struct channel *ch)
{
	while (!incoming_enter(ch))
		sched_yield();
}

/* ---- items ---- */

static uint32_t align16(uint32_t n)
{
	return (n + 15u) & ~15u;
}

/* The parts of an item, one after the other. */
struct incoming_layout {
	size_t context, payload, header, mdls, end;
};

static struct incoming_layout incoming_layout(const struct channel *ch)
{
	const struct channel_config *config = &ch->config;
	struct incoming_layout l = { .context = align16(sizeof(struct incoming_packet)) };

	l.payload = l.context + align16(config->context_size);
	l.header = l.payload + align16(config->limits.payload_max);
	l.mdls = l.header + align16((uint32_t)packet_headers_max(&config->limits));
	l.end = l.mdls + (ch->server ? align16(extdata_mdls_max(config)) : 0);
	return l;
}

static struct account *incoming_account(const struct channel *ch)
{
	return ch->server ? host_account(ch->host) : guest_account(ch->guest);
}

static struct incoming_packet *incoming_allocate(struct channel *ch)
{
	struct incoming_layout l = incoming_layout(ch);
	struct incoming_packet *packet = malloc(l.end);
	uint8_t *p = (uint8_t *)packet;

	if (!packet)
		return NULL;
	memset(packet, 0, sizeof(*packet));
	packet->magic = INCOMING_MAGIC;
	packet->size = (uint32_t)l.end;
	packet->channel = ch;
	packet->context = p + l.context;
	packet->payload = p + l.payload;
	packet->header = p + l.header;
	packet->mdls = p + l.mdls;
	ch->in.items++;
	account_add(incoming_account(ch), ACCOUNT_PACKETS, packet->size);
	return packet;
}

/* Is there an item to use, or may one more be made? Items of a guest's channels are in its account;
 * one that has none left waits for a completion of its own. */
static bool incoming_has_item(struct channel *ch)
{
	struct incoming *in = &ch->in;

	if (!in->free_local)
		in->free_local =
			atomic_exchange_explicit(&in->free_remote, NULL, memory_order_acquire);
	return in->free_local || !ch->server || in->items < INCOMING_ITEMS_LEAST ||
	       account_has_room(host_account(ch->host), ACCOUNT_PACKETS, incoming_layout(ch).end);
}

static struct incoming_packet *incoming_take(struct channel *ch)
{
	struct incoming *in = &ch->in;
	struct incoming_packet *packet = in->free_local;

	if (!packet)
		return incoming_allocate(ch);
	in->free_local = packet->next;
	return packet;
}

static void incoming_give_back(struct incoming_packet *packet)
{
	struct incoming *in = &packet->channel->in;

	if (delivering == packet->channel) {
		packet->next = in->free_local;
		in->free_local = packet;
		return;
	}
	packet->next = atomic_load_explicit(&in->free_remote, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&in->free_remote, &packet->next, packet,
	                                              memory_order_release, memory_order_relaxed))
		;
}

void incoming_free(struct incoming_packet *packet)
{
	if (packet->mdl)
		extdata_unmap_packet(packet);
	incoming_give_back(packet);
}

static void incoming_free_list(struct incoming_packet *packet)
{
	while (packet) {
		struct incoming_packet *next = packet->next;

		packet->magic = 0;
		account_free(incoming_account(packet->channel), ACCOUNT_PACKETS, packet,
		             packet->size);
		packet = next;
	}
}

NTSTATUS incoming_prepare(struct channel *ch)
{
	struct incoming *in = &ch->in;

	in->scratch = malloc(align16(ch->config.limits.payload_max));
	if (!in->scratch)
		return STATUS_INSUFFICIENT_RESOURCES;
	/* Somebody may still be on his way out of polling the rings before. */
	incoming_enter_waiting(ch);
	in->batch = 0;
	incoming_leave(ch);
	in->unsent_max = (uint32_t)(INCOMING_UNSENT_BYTES / incoming_layout(ch).end);
	if (in->unsent_max < INCOMING_UNSENT_LEAST)
		in->unsent_max = INCOMING_UNSENT_LEAST;
	atomic_store(&in->owed, 0);
	return STATUS_SUCCESS;
}

enum ring_status incoming_attach(struct channel *ch, const struct ring_memory *memory)
{
	enum ring_status status;

	incoming_enter_waiting(ch);
	status = packet_reader_init(&ch->in.reader, memory, &ch->config.limits);
	incoming_leave(ch);
	return status;
}

void incoming_release(struct channel *ch)
{
	struct incoming *in = &ch->in;

	incoming_free_list(in->deferred);
	incoming_free_list(in->free_local);
	incoming_free_list(atomic_exchange(&in->free_remote, NULL));
	in->deferred = NULL;
	in->free_local = NULL;
	in->items = 0;
	free(in->scratch);
	in->scratch = NULL;
}

/* ---- one packet ---- */

static void incoming_fault_setting(struct channel *ch, const char *what, uint64_t expected,
                                   uint64_t actual, enum packet_setting setting)
{
	atomic_store(&ch->in.on, false);
	channel_fault_setting(ch, what, expected, actual, setting);
}

/* Out of line: what came is malformed. */
static __attribute__((noinline)) void incoming_malformed(struct channel *ch)
{
	const struct packet_reader *reader = &ch->in.reader;

	incoming_fault_setting(ch, reader->fault.what, reader->fault.expected, reader->fault.actual,
	                       reader->setting);
}

/* A transaction counts until its answer is in the ring: an other end that does not read its answers
 * is not asked for more. */
static bool incoming_quota_reached(const struct incoming *in, uint64_t owed)
{
	uint64_t unsent = owed / INCOMING_UNSENT_ONE;

	return (owed & INCOMING_OWED_COUNT) + unsent >=
	               atomic_load_explicit(&in->quota, memory_order_relaxed) ||
	       unsent >= in->unsent_max;
}

/* May one more packet be delivered? If not, a completion will start the queue again. */
static bool incoming_within_quota(struct channel *ch)
{
	struct incoming *in = &ch->in;
	uint64_t owed = atomic_load_explicit(&in->owed, memory_order_relaxed);

	/* As a rule nobody waits for anything, and that is a small number. */
	if (in->free_local && owed < atomic_load_explicit(&in->quota, memory_order_relaxed))
		return true;
	while (incoming_quota_reached(in, owed) || !incoming_has_item(ch)) {
		if (!atomic_compare_exchange_weak(&in->owed, &owed, owed | INCOMING_OWED_BLOCKED))
			continue;
		counter_add(&ch->statistics.quota_stops, 1);
		return false;
	}
	return true;
}

/* `owed` as it was left by a completion. */
static void incoming_unblock(struct channel *ch, uint64_t owed)
{
	if (!(owed & INCOMING_OWED_BLOCKED) || incoming_quota_reached(&ch->in, owed))
		return;
	atomic_fetch_and(&ch->in.owed, ~INCOMING_OWED_BLOCKED);
	dispatcher_kick(ch);
}

void incoming_unsent_locked(struct incoming_packet *packet)
{
	atomic_fetch_add(&packet->channel->in.owed, INCOMING_UNSENT_ONE);
}

void incoming_sent(struct incoming_packet *packet)
{
	struct channel *ch = packet->channel;

	incoming_free(packet);
	if (!ch->server) /* see outgoing_check_answers() */
		return;
	incoming_unblock(ch,
	                 atomic_fetch_sub(&ch->in.owed, INCOMING_UNSENT_ONE) - INCOMING_UNSENT_ONE);
}

/* What the driver gets or gives is at most the channel's maximum. The two ends may have other
 * limits, and what a driver answers may follow from what it was sent: that is cut, and said once.
 */
static __attribute__((noinline)) uint32_t incoming_cut_longer(struct channel *ch, const char *whose,
                                                              uint32_t size, uint32_t padding)
{
	uint32_t limit = ch->config.limits.payload_max;

	if (size > limit + padding && !atomic_exchange(&ch->in.cut, true))
		nt_log_limited(
			bus_log_account(ch), NT_LOG_PACKETS, NT_LOG_WARNING, channel_name(ch),
			"%s completion is cut: expected at most %u bytes, as "
			"VmbChannelInitSetMaximumPacketSize has it here, got %u; not said again",
			whose, limit, size);
	return limit;
}

static uint32_t incoming_cut(struct channel *ch, const char *whose, uint32_t size, uint32_t padding)
{
	return size <= ch->config.limits.payload_max
	               ? size
	               : incoming_cut_longer(ch, whose, size, padding);
}

static bool incoming_completion(struct channel *ch, const struct ring_packet *ring)
{
	struct incoming *in = &ch->in;
	uint32_t size = incoming_cut(ch, ch->server ? "the guest's" : "the host's",
	                             packet_read_answer_size(ring), 7);
	struct packet *packet;

	packet_read_take_answer(&in->reader, ring, in->scratch, size);
	packet = packet_claim(ch, ring->transaction_id);
	if (!packet && !outgoing_is_open(ch))
		return true; /* it was cancelled as the channel closed */
	if (!packet) {
		incoming_fault_setting(ch, "transaction id of a completion",
		                       packet_table_count(&ch->out.table), ring->transaction_id,
		                       PACKET_SETTING_NONE);
		return false;
	}
	counter_add(&ch->statistics.completions_in, 1);
	packet_done(packet, STATUS_SUCCESS, in->scratch, size);
	return true;
}

/* Fills an item from the ring; on failure the channel is stopped and the item goes back. */
static bool incoming_fill(struct channel *ch, const struct ring_packet *ring,
                          struct incoming_packet *packet)
{
	if (!packet_read_take(&ch->in.reader, ring, packet->header, packet->payload, &packet->in)) {
		incoming_malformed(ch);
		return false;
	}
	packet->flags = packet->in.type == WIRE_PACKET_DATA_GPA_DIRECT
	                        ? VMBUS_CHANNEL_PROCESS_PACKET_FLAG_EXTERNAL_DATA
	                        : 0;
	packet->deferred = false;
	packet->mdl = NULL;
	if (ch->config.context_size)
		memset(packet->context, 0, ch->config.context_size);
	return true;
}

/* Hands it to the driver; afterwards it may be gone. */
static void incoming_call(struct channel *ch, struct incoming_packet *packet)
{
	atomic_fetch_add_explicit(&ch->in.owed, 1, memory_order_relaxed);
	atomic_store_explicit(&packet->delivered, true, memory_order_relaxed);
	ch->config.process(channel_handle(ch), (VMBPACKETCOMPLETION)packet, packet->payload,
	                   packet->in.payload_size, packet->flags);
}

static bool incoming_data(struct channel *ch, const struct ring_packet *ring)
{
	struct incoming *in = &ch->in;
	struct incoming_packet *packet;

	if (!incoming_within_quota(ch))
		return false;
	packet = incoming_take(ch);
	if (!packet) {
		nt_log_limited(bus_log_account(ch), NT_LOG_PACKETS, NT_LOG_ERROR, channel_name(ch),
		               "no memory for an incoming packet");
		atomic_store(&in->on, false);
		channel_stop(ch);
		return false;
	}
	if (!incoming_fill(ch, ring, packet)) {
		incoming_free(packet);
		return false;
	}
	counter_add(&ch->statistics.packets_in, 1);
	counter_add(&ch->statistics.bytes_in, packet->in.payload_size);
	in->batch++;
	incoming_call(ch, packet);
	return true;
}

/* May the next packet be delivered at this IRQL? The driver may change its mind at any time; asked
 * once the packet is there, so that what is sent after the change is delivered accordingly. */
static bool incoming_irql_good(struct channel *ch)
{
	return !atomic_load_explicit(&ch->in.passive, memory_order_relaxed) ||
	       KeGetCurrentIrql() == PASSIVE_LEVEL;
}

/* Delivers what is next in the ring; false: nothing was delivered, for whatever reason. */
static bool incoming_next(struct channel *ch)
{
	struct ring_packet packet;
	enum packet_kind kind = packet_read_next(&ch->in.reader, &packet);

	if (kind == PACKET_NOTHING)
		return false;
	if (kind == PACKET_MALFORMED) {
		incoming_malformed(ch);
		return false;
	}
	if (!incoming_irql_good(ch))
		return false;
	tsan_after_read(ch->rings.in_gpn);
	return kind == PACKET_DATA ? incoming_data(ch, &packet) : incoming_completion(ch, &packet);
}

/* ---- delivery ---- */

/* The writer learns of the room, the driver of the pause; at PASSIVE_LEVEL, if it wants that by
 * now: then the batch stays open until somebody is there. */
static void incoming_pause(struct channel *ch)
{
	struct incoming *in = &ch->in;
	uint32_t batch = in->batch;

	if (packet_read_pause(&in->reader))
		outgoing_signal(ch);
	if (!batch || !incoming_irql_good(ch))
		return;
	in->batch = 0;
	if (ch->config.processing_complete)
		ch->config.processing_complete(channel_handle(ch), batch);
}

static bool incoming_one(void *context)
{
	struct channel *ch = context;
	const struct incoming *in = &ch->in;

	return !in->deferred && atomic_load_explicit(&in->on, memory_order_relaxed) &&
	       incoming_next(ch);
}

/* Caller has entered. */
static uint32_t incoming_deliver(struct channel *ch, uint32_t budget)
{
	struct channel *before = delivering;
	uint32_t count;
	bool pause;

	delivering = ch;
	count = packet_read_drain(&ch->in.reader, budget, incoming_one, ch, &pause);
	if (pause)
		incoming_pause(ch);
	delivering = before;
	return count;
}

/* What the driver deferred is delivered again, first. At PASSIVE_LEVEL, caller has entered. */
static void incoming_deliver_deferred(struct channel *ch)
{
	struct incoming *in = &ch->in;
	struct incoming_packet *packet = in->deferred;

	if (!packet || !atomic_load(&in->on))
		return;
	in->deferred = NULL;
	packet->deferred = false;
	delivering = ch;
	in->batch++;
	incoming_call(ch, packet);
	if (!in->deferred && !ring_read_pending(&in->reader.ring))
		incoming_pause(ch);
	delivering = NULL;
}

static void incoming_deliver_passive(void *context)
{
	struct channel *ch = context;

	incoming_enter_waiting(ch);
	incoming_deliver_deferred(ch);
	if (atomic_load(&ch->in.passive))
		incoming_deliver(ch, INCOMING_PASSIVE_BUDGET);
	atomic_store(&ch->in.passive_queued, false);
	incoming_leave(ch);
	dispatcher_kick(ch);
}

static bool incoming_needs_passive(struct channel *ch)
{
	return ch->in.deferred || atomic_load_explicit(&ch->in.passive, memory_order_relaxed);
}

/* Caller has entered. */
static void incoming_queue_passive(struct channel *ch)
{
	if (!atomic_load(&ch->in.on) || atomic_exchange(&ch->in.passive_queued, true))
		return;
	ch->delivery.routine = incoming_deliver_passive;
	ch->delivery.context = ch;
	nt_strand_queue(&ch->delivery_strand, &ch->delivery);
}

/* Caller has entered. Delivers here, or, where it has to be PASSIVE, elsewhere. */
static uint32_t incoming_deliver_or_queue(struct channel *ch, uint32_t budget)
{
	uint32_t count = 0;

	if (!incoming_needs_passive(ch))
		count = incoming_deliver(ch, budget);
	if (incoming_needs_passive(ch) &&
	    (ch->in.deferred || ch->in.batch || ring_read_pending(&ch->in.reader.ring)))
		incoming_queue_passive(ch);
	return count;
}

uint32_t incoming_poll(struct channel *ch, uint32_t budget)
{
	struct incoming *in = &ch->in;
	uint32_t count = 0;

	if (atomic_load_explicit(&ch->out.waiting, memory_order_relaxed))
		count += outgoing_drain(ch);
	if (!incoming_enter_on(ch))
		return count;
	packet_read_poll(&in->reader);
	count += incoming_deliver_or_queue(ch, budget);
	incoming_leave(ch);
	return count;
}

/* Somebody else will kick: nothing is gained by polling until then. Caller has entered. */
static bool incoming_blocked(struct channel *ch)
{
	struct incoming *in = &ch->in;

	return !atomic_load(&in->on) || atomic_load(&in->passive_queued) ||
	       (atomic_load(&in->owed) & INCOMING_OWED_BLOCKED);
}

/* Caller has entered. */
static bool incoming_unmask(struct channel *ch)
{
	bool signal = false, pending = packet_read_sleep(&ch->in.reader, &signal);

	if (signal)
		outgoing_signal(ch);
	return pending;
}

bool incoming_sleep(struct channel *ch)
{
	bool pending = false;

	if (!incoming_enter(ch)) /* a passive delivery kicks when it is done */
		return !atomic_load(&ch->in.passive_queued);
	if (!incoming_blocked(ch))
		pending = incoming_unmask(ch);
	else
		packet_read_leave(&ch->in.reader);
	incoming_leave(ch);
	return pending;
}

uint32_t incoming_help(struct channel *ch, uint32_t budget)
{
	uint32_t count = 0;

	if (atomic_load_explicit(&ch->out.waiting, memory_order_relaxed))
		count += outgoing_drain(ch);
	if (!incoming_enter_on(ch))
		return count;
	packet_read_mask(&ch->in.reader);
	count += incoming_deliver_or_queue(ch, budget);
	incoming_leave(ch);
	return count;
}

void incoming_help_end(struct channel *ch)
{
	bool pending = false;

	incoming_enter_waiting(ch);
	if (!ch->in.reader.polling && atomic_load(&ch->in.on) && !incoming_blocked(ch))
		pending = incoming_unmask(ch);
	incoming_leave(ch);
	if (pending)
		dispatcher_kick(ch);
}

void incoming_start(struct channel *ch)
{
	atomic_fetch_and(&ch->in.owed, ~(INCOMING_OWED_BLOCKED | INCOMING_OWED_STOPPING));
	atomic_store(&ch->in.on, true);
	dispatcher_kick(ch);
}

void incoming_stop(struct channel *ch)
{
	atomic_store(&ch->in.on, false);
	atomic_fetch_or(&ch->in.owed, INCOMING_OWED_STOPPING);
	incoming_enter_waiting(ch);
	delivering = ch;
	incoming_pause(ch);
	delivering = NULL;
	incoming_leave(ch);
	nt_strand_drain(&ch->delivery_strand);
}

/* ---- the driver's answers ---- */

static struct incoming_packet *incoming_of(VMBPACKETCOMPLETION handle)
{
	struct incoming_packet *packet = (struct incoming_packet *)handle;

	return packet && packet->magic == INCOMING_MAGIC ? packet : NULL;
}

/* The driver is through with it; false: it was already. */
static bool incoming_retire(struct incoming_packet *packet, const char *function)
{
	if (packet && atomic_exchange_explicit(&packet->delivered, false, memory_order_acq_rel))
		return true;
	nt_misuse(function, packet ? channel_name(packet->channel) : "(unknown)",
	          "a packet is completed exactly once");
	return false;
}

/* Somebody waits for completions: the queue for its quota, or the strand for the last one. The lock
 * keeps the channel from being freed before this is through with it. */
static void incoming_one_less_slowly(struct channel *ch)
{
	uint64_t owed;

	pthread_mutex_lock(&ch->lock);
	owed = atomic_fetch_sub(&ch->in.owed, 1) - 1;
	incoming_unblock(ch, owed);
	if ((owed & INCOMING_OWED_STOPPING) && (owed & INCOMING_OWED_COUNT) == 0)
		channel_drained_locked(ch);
	pthread_mutex_unlock(&ch->lock);
}

/* Its last access to the channel: with nothing owed the channel may close and be freed. */
static void incoming_one_less(struct channel *ch)
{
	uint64_t owed = atomic_load_explicit(&ch->in.owed, memory_order_relaxed);

	do {
		if (owed & (INCOMING_OWED_BLOCKED | INCOMING_OWED_STOPPING)) {
			incoming_one_less_slowly(ch);
			return;
		}
	} while (!atomic_compare_exchange_weak(&ch->in.owed, &owed, owed - 1));
}

VOID VmbChannelPacketComplete(VMBPACKETCOMPLETION PacketCompletionContext,
                              PVOID PacketCompletionBuffer, UINT32 BufSize)
{
	struct incoming_packet *packet = incoming_of(PacketCompletionContext);
	struct channel *ch;

	if (!incoming_retire(packet, __func__))
		return;
	ch = packet->channel;
	if (!PacketCompletionBuffer)
		BufSize = 0;
	if (packet->in.answer)
		outgoing_answer(packet, PacketCompletionBuffer,
		                incoming_cut(ch, "the driver's", BufSize, 0));
	else
		incoming_free(packet);
	incoming_one_less(ch);
}

VOID VmbChannelPacketDeferToPassive(VMBPACKETCOMPLETION PacketCompletionContext)
{
	struct incoming_packet *packet = incoming_of(PacketCompletionContext);

	if (packet && delivering != packet->channel) {
		nt_misuse(__func__, channel_name(packet->channel), "inside ProcessPacket only");
		return;
	}
	if (!incoming_retire(packet, __func__))
		return;
	packet->next = NULL;
	packet->channel->in.deferred = packet;
	packet->channel->in.batch--; /* it counts when it comes again */
	incoming_one_less(packet->channel);
}

VOID VmbChannelPacketFail(VMBPACKETCOMPLETION PacketCompletionContext)
{
	struct incoming_packet *packet = incoming_of(PacketCompletionContext);
	struct channel *ch;

	if (!incoming_retire(packet, __func__))
		return;
	ch = packet->channel;
	nt_log_limited(bus_log_account(ch), NT_LOG_PACKETS, NT_LOG_ERROR, channel_name(ch),
	               "the driver failed a packet; channel stopped");
	atomic_store(&ch->in.on, false);
	channel_stop(ch); /* while the packet, which is owed, keeps this opening from ending */
	incoming_free(packet);
	incoming_one_less(ch);
}

NTSTATUS VmbChannelPacketGetExternalData(VMBPACKETCOMPLETION PacketCompletionContext, UINT32 Flags,
                                         PMDL *Mdl)
{
	struct incoming_packet *packet = incoming_of(PacketCompletionContext);
	NTSTATUS status = STATUS_SUCCESS;

	if (!packet || !atomic_load(&packet->delivered))
		return STATUS_INVALID_PARAMETER_1;
	if (Flags & ~VMBUS_CHANNEL_PACKET_EXTERNAL_DATA_FLAGS)
		return STATUS_INVALID_PARAMETER_2;
	if (!Mdl)
		return STATUS_INVALID_PARAMETER_3;
	*Mdl = NULL;
	if (!(packet->flags & VMBUS_CHANNEL_PROCESS_PACKET_FLAG_EXTERNAL_DATA))
		return STATUS_NOT_FOUND;
	if (!packet->mdl)
		status = extdata_map_packet(packet);
	*Mdl = packet->mdl;
	return status;
}

PVOID VmbChannelPacketGetClientContext(VMBPACKETCOMPLETION PacketCompletionContext)
{
	struct incoming_packet *packet = incoming_of(PacketCompletionContext);

	return packet && packet->channel->config.context_size ? packet->context : NULL;
}

NTSTATUS kmcl_packet_get_transfer_pages(VMBPACKETCOMPLETION packet, uint16_t *page_set,
                                        const struct kmcl_transfer_range **ranges, uint32_t *count)
{
	const struct incoming_packet *p = incoming_of(packet);

	if (!p || !atomic_load(&p->delivered))
		return STATUS_INVALID_PARAMETER_1;
	if (!page_set)
		return STATUS_INVALID_PARAMETER_2;
	if (!ranges)
		return STATUS_INVALID_PARAMETER_3;
	if (!count)
		return STATUS_INVALID_PARAMETER_4;
	if (p->in.transfer.range_count == 0)
		return STATUS_NOT_FOUND;
	*page_set = p->in.transfer.pageset_id;
	*ranges = (const struct kmcl_transfer_range *)p->in.transfer.ranges;
	*count = p->in.transfer.range_count;
	return STATUS_SUCCESS;
}
