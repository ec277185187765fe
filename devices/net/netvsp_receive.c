/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * To the guest: frames of the back end and RNDIS's answers. Each goes into a slot of the receive
 * buffer, which is the guest's until it has completed the packet that names it.
 */
#include "net/netvsp_private.h"

#include <stdlib.h>
#include <string.h>

/*
 * ---- slots ----
 *
 * The first of a packet's is its transaction id: DPDK keeps what it knows of a packet in an array
 * by that, which has an entry a slot, and takes no packet with a larger one
 * (drivers/net/netvsc/hn_rxtx.c, hn_nvs_handle_rxbuf). No packet has id 0, so slot 0 is never used.
 */

static uint32_t slots_take(struct netvsp_slots *s, bool control)
{
	uint32_t slot = NETVSP_NO_SLOT;

	pthread_mutex_lock(&s->lock);
	if (s->free_count > (control ? 0 : s->kept)) {
		slot = s->free_first;
		s->free_first = s->next[slot];
		s->next[slot] = NETVSP_NO_SLOT;
		s->free_count--;
	} else if (!control) {
		s->blocked = true;
	}
	pthread_mutex_unlock(&s->lock);
	return slot;
}

/* A chain of them comes back. */
static void slots_give(struct kmcl_net *adapter, uint32_t first)
{
	struct netvsp_slots *s = &adapter->slots;
	uint32_t last = first, count = 1;
	bool resume;

	pthread_mutex_lock(&s->lock);
	for (; s->next[last] != NETVSP_NO_SLOT; last = s->next[last])
		count++;
	s->next[last] = s->free_first;
	s->free_first = first;
	s->free_count += count;
	resume = s->blocked && s->free_count >= s->resume_at;
	if (resume)
		s->blocked = false;
	pthread_mutex_unlock(&s->lock);
	if (resume)
		adapter->backend->ops->resume(adapter->backend);
}

static bool slots_begin(struct netvsp_slots *s, uint32_t count)
{
	uint32_t *next = malloc(count * sizeof(*next)), i;

	if (!next)
		return false;
	for (i = 0; i < count; i++)
		next[i] = i + 1 < count ? i + 1 : NETVSP_NO_SLOT;
	pthread_mutex_lock(&s->lock);
	free(s->next);
	s->next = next;
	s->count = count;
	s->free_first = 1;
	s->free_count = count - 1;
	s->kept =
		s->free_count / 2 < NETVSP_CONTROL_SLOTS ? s->free_count / 2 : NETVSP_CONTROL_SLOTS;
	s->resume_at = s->kept + 1 + (s->free_count - s->kept) / 8;
	s->blocked = false;
	pthread_mutex_unlock(&s->lock);
	return true;
}

/* ---- packets ---- */

static void send_pending(struct kmcl_net *s);

static void check_completion(struct netvsp_channel *c, const void *buffer, uint32_t size)
{
	struct nvsp_message message = { 0 };

	if (size >= 4 + sizeof(message.rndis_packet_complete)) {
		memcpy(&message, buffer, 4 + sizeof(message.rndis_packet_complete));
		if (message.type == NVSP_RNDIS_PACKET_COMPLETE)
			return;
	}
	netvsp_refuse(c->adapter, c->index, "type of a completion", NVSP_RNDIS_PACKET_COMPLETE,
	              message.type);
}

/* The guest is done with the packet's slots, or will never be: they are free. */
static VOID packet_completed(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	struct netvsp_channel *c = VmbChannelGetPointer(VmbPacketGetChannel(packet));
	struct kmcl_net *s = c->adapter;
	uint32_t first = (uint32_t)(uintptr_t)VmbPacketGetPointer(packet);

	VmbPacketFree(packet);
	if (NT_SUCCESS(status))
		check_completion(c, buffer, size);
	slots_give(s, first);
	if (atomic_load_explicit(&s->rx.has_pending, memory_order_acquire))
		send_pending(s);
}

/* Caller holds rx.lock. Whatever happens, the slots come back. */
static void send_slots_locked(struct netvsp_channel *c, uint32_t channel_type, uint32_t first,
                              const struct kmcl_transfer_range *ranges, uint32_t count)
{
	struct kmcl_net *s = c->adapter;
	struct nvsp_message message = {
		.type = NVSP_RNDIS_PACKET,
		.rndis_packet = { channel_type, NVSP_NO_SECTION, 0 },
	};
	VMBPACKET packet = VmbPacketAllocate(c->vmb);
	NTSTATUS status;

	if (!packet) {
		slots_give(s, first);
		return;
	}
	VmbPacketSetPointer(packet, (void *)(uintptr_t)first);
	VmbPacketSetCompletionRoutine(packet, packet_completed);
	status = kmcl_packet_set_transaction_id(packet, first);
	if (NT_SUCCESS(status))
		status = kmcl_packet_send_transfer_pages(
			packet, &message, s->message_size, s->rx.buffer.id, ranges, count,
			VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION);
	if (NT_SUCCESS(status))
		return;
	VmbPacketFree(packet);
	slots_give(s, first);
}

/* ---- batches of frames; caller holds rx.lock ---- */

static void batch_send_locked(struct netvsp_channel *c)
{
	struct netvsp_batch *b = &c->batch;

	if (!b->count)
		return;
	counter_add(&c->queue->rx_packets, 1);
	send_slots_locked(c, NVSP_CHANNEL_DATA, b->first, b->ranges, b->count);
	b->count = 0;
	b->bytes = 0;
}

static void batch_add_locked(struct netvsp_channel *c, uint32_t slot, uint32_t size)
{
	struct kmcl_net *s = c->adapter;
	struct netvsp_batch *b = &c->batch;

	if (b->bytes + size > NETVSP_EXTERNAL_MAX)
		batch_send_locked(c);
	if (b->count)
		s->slots.next[b->last] = slot; /* nobody else knows these */
	else
		b->first = slot;
	b->last = slot;
	b->ranges[b->count++] = (struct kmcl_transfer_range){ size, slot * s->rx.slot_size };
	b->bytes += size;
	if (b->count == NETVSP_BATCH)
		batch_send_locked(c);
}

/* ---- frames ---- */

/* A frame on its way into a slot. */
struct incoming {
	const struct kmcl_net_received *frame;
	struct net_packet packet;
	struct rndis_receive rndis;
	uint32_t cut;      /* bytes of a VLAN tag that travels beside the frame */
	uint16_t checksum; /* to be written at checksum_at, from the frame's beginning */
	uint32_t checksum_at;
};

static bool checksum_place_valid(const struct kmcl_net_received *f)
{
	return f->checksum_start >= NET_ETHERNET_HEADER &&
	       (uint32_t)f->checksum_start + f->checksum_offset + 2 <= f->length;
}

/* The outside left it to be done: the place has the pseudo header's sum. */
static void compute_checksum(struct incoming *in)
{
	const struct kmcl_net_received *f = in->frame;
	uint32_t start = f->checksum_start;

	in->checksum_at = start + f->checksum_offset;
	in->checksum = (uint16_t)~net_sum_fold(net_sum(f->data + start, f->length - start, 0));
	if (!in->checksum && in->packet.protocol == NET_PROTOCOL_UDP)
		in->checksum = 0xffff;
}

static uint32_t checksum_info(const struct rndis_device *rules, const struct net_packet *p)
{
	bool tcp = p->protocol == NET_PROTOCOL_TCP;
	uint32_t wanted = tcp ? (p->ip6 ? OFFLOAD_RX_TCP6 : OFFLOAD_RX_TCP4)
	                      : (p->ip6 ? OFFLOAD_RX_UDP6 : OFFLOAD_RX_UDP4);

	if (!p->payload || !(rules->offloads & wanted))
		return 0;
	return tcp ? RNDIS_RX_TCP_GOOD : RNDIS_RX_UDP_GOOD;
}

static void describe_locked(struct kmcl_net *s, struct incoming *in)
{
	const struct kmcl_net_received *f = in->frame;

	net_packet_parse(&in->packet, f->data, f->length, f->length, false);
	if (f->checksum_start)
		compute_checksum(in);
	if (f->checksum_valid || f->checksum_start) {
		in->rndis.checksum = checksum_info(&s->rx.rules, &in->packet);
		in->rndis.has_checksum = in->rndis.checksum != 0;
	}
	if (s->rx.vlan_info && net_get16(f->data + 12) == NET_ETHERTYPE_VLAN &&
	    f->length >= NET_ETHERNET_HEADER + NET_VLAN_TAG) {
		in->cut = NET_VLAN_TAG;
		in->rndis.has_vlan = true;
		in->rndis.vlan = rndis_vlan_value(net_get16(f->data + 14));
	}
	in->rndis.length = f->length - in->cut;
}

/* The guest's own table says where a flow goes; all else goes to the first queue. */
static struct netvsp_channel *steer_locked(struct kmcl_net *s, struct incoming *in)
{
	const struct rndis_rss *rss = &s->rx.rules.rss;
	struct netvsp_channel *c = NULL;

	if (rss->enabled &&
	    net_packet_hash(&in->packet, in->frame->data, rss->types, rss->key, &in->rndis.hash)) {
		c = s->rx.channels[rss->table[in->rndis.hash % NDIS_RSS_TABLE_ENTRIES]];
		in->rndis.has_hash = in->packet.payload != 0; /* drivers take it for one of ports */
	}
	return c && c->active ? c : s->rx.channels[0];
}

static uint32_t write_slot_locked(struct kmcl_net *s, uint32_t slot, const struct incoming *in)
{
	const struct kmcl_net_received *f = in->frame;
	uint32_t at = slot * s->rx.slot_size, size, rest = NET_ADDRESS * 2 + in->cut;
	uint8_t header[RNDIS_RECEIVE_HEADER_MAX], checksum[2];

	size = rndis_write_receive(&in->rndis, header);
	netvsp_buffer_write(&s->rx.buffer, at, header, size);
	at += size;
	netvsp_buffer_write(&s->rx.buffer, at, f->data, NET_ADDRESS * 2);
	netvsp_buffer_write(&s->rx.buffer, at + NET_ADDRESS * 2, f->data + rest, f->length - rest);
	if (in->checksum_at) {
		net_put16(checksum, in->checksum);
		netvsp_buffer_write(&s->rx.buffer, at + in->checksum_at - in->cut, checksum, 2);
	}
	return size + in->rndis.length;
}

static bool wanted_locked(struct kmcl_net *s, const struct kmcl_net_received *f)
{
	return s->rx.channels[0] && s->rx.channels[0]->active && s->rx.buffer.gpadl &&
	       s->rx.rules.initialized && s->rx.rules.link_up && f->length >= NET_FRAME_MIN &&
	       rndis_filter_passes(&s->rx.rules, f->data) &&
	       (!f->checksum_start || checksum_place_valid(f));
}

static enum kmcl_net_result receive_locked(struct kmcl_net *s, const struct kmcl_net_received *f)
{
	struct incoming in = { .frame = f };
	struct netvsp_channel *c;
	uint32_t slot;

	if (!wanted_locked(s, f)) {
		counter_add(&s->rx.filtered, 1);
		return KMCL_NET_DONE;
	}
	describe_locked(s, &in);
	if (in.rndis.length > s->mtu) {
		counter_add(&s->rx.too_long, 1);
		return KMCL_NET_DONE;
	}
	slot = slots_take(&s->slots, false);
	if (slot == NETVSP_NO_SLOT) {
		counter_add(&s->rx.waits, 1);
		return KMCL_NET_LATER;
	}
	c = steer_locked(s, &in);
	netvsp_count_traffic(&c->queue->rx, f->data, in.rndis.length);
	batch_add_locked(c, slot, write_slot_locked(s, slot, &in));
	return KMCL_NET_DONE;
}

static enum kmcl_net_result port_receive(struct kmcl_net_port *port,
                                         const struct kmcl_net_received *frame)
{
	struct kmcl_net *s = CONTAINING_RECORD(port, struct kmcl_net, port);
	enum kmcl_net_result result;

	pthread_mutex_lock(&s->rx.lock);
	result = receive_locked(s, frame);
	pthread_mutex_unlock(&s->rx.lock);
	return result;
}

static void port_flush(struct kmcl_net_port *port)
{
	struct kmcl_net *s = CONTAINING_RECORD(port, struct kmcl_net, port);
	uint32_t i;

	pthread_mutex_lock(&s->rx.lock);
	for (i = 0; i < KMCL_NET_QUEUES; i++) {
		if (s->rx.channels[i])
			batch_send_locked(s->rx.channels[i]);
	}
	pthread_mutex_unlock(&s->rx.lock);
}

static void port_sent(struct kmcl_net_port *port, void *request)
{
	netvsp_request_done(request);
}

const struct kmcl_net_port_ops netvsp_port_ops = {
	.receive = port_receive,
	.flush = port_flush,
	.sent = port_sent,
};

/* ---- control messages ---- */

/* False: no slot is free. */
static bool send_message_locked(struct kmcl_net *s, const uint8_t *message, uint32_t size)
{
	struct kmcl_transfer_range range = { .byte_count = size };
	uint32_t slot;

	if (!s->rx.buffer.gpadl || !s->rx.channels[0] || !s->rx.channels[0]->active)
		return true; /* nobody is there to see it */
	slot = slots_take(&s->slots, true);
	if (slot == NETVSP_NO_SLOT)
		return false;
	range.byte_offset = slot * s->rx.slot_size;
	netvsp_buffer_write(&s->rx.buffer, range.byte_offset, message, size);
	send_slots_locked(s->rx.channels[0], NVSP_CHANNEL_CONTROL, slot, &range, 1);
	return true;
}

static void queue_message_locked(struct kmcl_net *s, const uint8_t *message, uint32_t size)
{
	struct netvsp_message *m = NULL;

	if (s->rx.pending_count < NETVSP_PENDING_MAX)
		m = malloc(sizeof(*m) + size);
	if (!m) {
		netvsp_refuse(s, 0, "answers that wait for a slot", NETVSP_PENDING_MAX,
		              s->rx.pending_count);
		return;
	}
	m->next = NULL;
	m->size = size;
	memcpy(m->bytes, message, size);
	*s->rx.pending_last = m;
	s->rx.pending_last = &m->next;
	s->rx.pending_count++;
	atomic_store_explicit(&s->rx.has_pending, true, memory_order_release);
}

static void send_pending_locked(struct kmcl_net *s)
{
	struct netvsp_message *m;

	while ((m = s->rx.pending) && send_message_locked(s, m->bytes, m->size)) {
		s->rx.pending = m->next;
		s->rx.pending_count--;
		free(m);
	}
	if (m)
		return;
	s->rx.pending_last = &s->rx.pending;
	atomic_store_explicit(&s->rx.has_pending, false, memory_order_relaxed);
}

static void send_pending(struct kmcl_net *s)
{
	pthread_mutex_lock(&s->rx.lock);
	send_pending_locked(s);
	pthread_mutex_unlock(&s->rx.lock);
}

void netvsp_send_control(struct kmcl_net *s, const uint8_t *message, uint32_t size)
{
	pthread_mutex_lock(&s->rx.lock);
	if (s->rx.pending || !send_message_locked(s, message, size)) {
		queue_message_locked(s, message, size);
		/* A slot that came back meanwhile has nobody else to see that it is waited for. */
		send_pending_locked(s);
	}
	pthread_mutex_unlock(&s->rx.lock);
}

void netvsp_rules_changed(struct kmcl_net *s)
{
	pthread_mutex_lock(&s->rx.lock);
	s->rx.rules = s->device;
	pthread_mutex_unlock(&s->rx.lock);
}

/* ---- begin and end ---- */

bool netvsp_receive_begin(struct kmcl_net *s, const struct netvsp_buffer *buffer,
                          uint32_t slot_size, uint32_t slot_count)
{
	if (!slots_begin(&s->slots, slot_count))
		return false;
	pthread_mutex_lock(&s->rx.lock);
	s->rx.slot_size = slot_size;
	s->rx.buffer = *buffer;
	s->rx.vlan_info = s->capabilities & NVSP_CAPABILITY_VLAN;
	pthread_mutex_unlock(&s->rx.lock);
	return true;
}

static void drop_pending_locked(struct kmcl_net *s)
{
	while (s->rx.pending) {
		struct netvsp_message *m = s->rx.pending;

		s->rx.pending = m->next;
		free(m);
	}
	s->rx.pending_last = &s->rx.pending;
	s->rx.pending_count = 0;
	atomic_store(&s->rx.has_pending, false);
}

/* Frames that were not sent yet are lost. */
static void drop_batch_locked(struct netvsp_channel *c)
{
	if (c->batch.count)
		slots_give(c->adapter, c->batch.first);
	c->batch.count = 0;
	c->batch.bytes = 0;
}

void netvsp_receive_revoke(struct kmcl_net *s, struct netvsp_buffer *buffer)
{
	uint32_t i;

	pthread_mutex_lock(&s->rx.lock);
	*buffer = s->rx.buffer;
	memset(&s->rx.buffer, 0, sizeof(s->rx.buffer));
	for (i = 0; i < KMCL_NET_QUEUES; i++) {
		if (s->rx.channels[i])
			drop_batch_locked(s->rx.channels[i]);
	}
	drop_pending_locked(s);
	pthread_mutex_unlock(&s->rx.lock);
	s->backend->ops->resume(s->backend); /* what it offers is not wanted any more */
}

void netvsp_receive_end(struct kmcl_net *s)
{
	pthread_mutex_lock(&s->slots.lock);
	free(s->slots.next);
	s->slots.next = NULL;
	s->slots.count = 0;
	s->slots.free_count = 0;
	s->slots.blocked = false;
	pthread_mutex_unlock(&s->slots.lock);
}

void netvsp_channel_activate(struct netvsp_channel *c, bool active)
{
	struct kmcl_net *s = c->adapter;

	pthread_mutex_lock(&s->rx.lock);
	if (!active)
		drop_batch_locked(c);
	c->active = active;
	pthread_mutex_unlock(&s->rx.lock);
	if (!active)
		s->backend->ops->resume(s->backend);
}
