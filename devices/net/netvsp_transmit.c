/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the guest: RNDIS messages, in a section of the send buffer, in memory that the packet refers
 * to, or begun in the one and continued in the other. Several may come in one packet. The memory is
 * the guest's, who may change it at any time: headers are copied before they are looked at.
 */
#include "net/netvsp_private.h"

#include <string.h>

#define SEGMENTS_MAX 1536u /* Linux sends none of less than 48 bytes, so 64 KiB make 1366 */

/* What a packet brings, in the order of its bytes. */
struct stream {
	struct iovec iov[KMCL_NET_FRAME_PIECES];
	uint32_t count, size;
};

/* ---- pieces of memory ---- */

static void copy_out(const struct iovec *iov, uint32_t count, uint32_t offset, void *to,
                     uint32_t size)
{
	uint8_t *at = to;
	uint32_t i;

	for (i = 0; i < count && size; i++) {
		uint32_t n = (uint32_t)iov[i].iov_len;

		if (offset >= n) {
			offset -= n;
			continue;
		}
		n = n - offset < size ? n - offset : size;
		memcpy(at, (const uint8_t *)iov[i].iov_base + offset, n);
		at += n;
		size -= n;
		offset = 0;
	}
}

/* Returns how many pieces that takes; there are never more than there were. */
static uint32_t slice(const struct iovec *iov, uint32_t count, uint32_t offset, uint32_t size,
                      struct iovec *out)
{
	uint32_t i, pieces = 0;

	for (i = 0; i < count && size; i++) {
		uint32_t n = (uint32_t)iov[i].iov_len;

		if (offset >= n) {
			offset -= n;
			continue;
		}
		n = n - offset < size ? n - offset : size;
		out[pieces++] = (struct iovec){ (uint8_t *)iov[i].iov_base + offset, n };
		size -= n;
		offset = 0;
	}
	return pieces;
}

/* ---- one frame ---- */

struct outgoing {
	struct netvsp_channel *channel;
	struct netvsp_request *request;
	const struct rndis_transmit *rndis;
	struct net_packet packet;
	uint8_t head[NET_HEADERS_MAX + NET_VLAN_TAG];
	uint32_t head_size, length;
	struct iovec iov[1 + KMCL_NET_FRAME_PIECES]; /* the head, and what follows it */
	uint32_t count;
};

static void hand_over(struct outgoing *o, const struct kmcl_net_frame *frame)
{
	struct kmcl_net *s = o->channel->adapter;

	atomic_fetch_add_explicit(&o->request->pending, 1, memory_order_relaxed);
	switch (s->backend->ops->send(s->backend, frame, o->request)) {
	case KMCL_NET_LATER:
		return;
	case KMCL_NET_DROPPED:
		atomic_fetch_add_explicit(&s->tx_dropped, 1, memory_order_relaxed);
		break;
	case KMCL_NET_DONE:
		break;
	}
	netvsp_request_done(o->request);
}

static void count_error(struct outgoing *o)
{
	atomic_fetch_add_explicit(&o->channel->adapter->tx_errors, 1, memory_order_relaxed);
}

static void insert_tag(struct outgoing *o)
{
	memmove(o->head + NET_ADDRESS * 2 + NET_VLAN_TAG, o->head + NET_ADDRESS * 2,
	        o->head_size - NET_ADDRESS * 2);
	net_put16(o->head + NET_ADDRESS * 2, NET_ETHERTYPE_VLAN);
	net_put16(o->head + NET_ADDRESS * 2 + 2, rndis_vlan_tag(o->rndis->vlan));
	o->head_size += NET_VLAN_TAG;
	o->length += NET_VLAN_TAG;
}

static void put_pseudo_sum(struct outgoing *o)
{
	uint64_t sum = net_pseudo_sum(&o->packet, o->head, o->packet.end - o->packet.transport);

	net_put16(o->head + net_checksum_at(&o->packet), net_sum_fold(sum));
}

/* ---- checksums ---- */

static bool checksum_fits(const struct outgoing *o)
{
	uint32_t wanted = o->rndis->checksum;

	if (!o->packet.payload)
		return false;
	return o->packet.protocol == NET_PROTOCOL_TCP ? wanted & RNDIS_TX_TCP_CHECKSUM
	                                              : wanted & RNDIS_TX_UDP_CHECKSUM;
}

static bool fill_checksum(struct outgoing *o, struct kmcl_net_frame *frame)
{
	struct kmcl_net *s = o->channel->adapter;
	uint32_t wanted = o->rndis->has_checksum ? o->rndis->checksum : 0;

	if (wanted & RNDIS_TX_IP_CHECKSUM) {
		if (!o->packet.ip || o->packet.ip6)
			return false;
		net_ip4_checksum(&o->packet, o->head);
	}
	if (!(wanted & (RNDIS_TX_TCP_CHECKSUM | RNDIS_TX_UDP_CHECKSUM)))
		return true;
	if (!checksum_fits(o))
		return false;
	counter_add(&o->channel->queue->tx_checksums, 1);
	if (!(s->backend->ops->offloads & KMCL_NET_OFFLOAD_CHECKSUM)) {
		net_transport_checksum(&o->packet, o->head, o->head_size, o->iov + 1, o->count - 1);
		return true;
	}
	put_pseudo_sum(o);
	frame->checksum_start = o->packet.transport;
	frame->checksum_offset = (uint16_t)(net_checksum_at(&o->packet) - o->packet.transport);
	return true;
}

static void send_whole(struct outgoing *o)
{
	struct kmcl_net_frame frame = { .iov = o->iov, .count = o->count, .length = o->length };

	net_packet_parse(&o->packet, o->head, o->head_size, o->length, false);
	if (o->length > o->channel->adapter->mtu + NET_VLAN_TAG || !fill_checksum(o, &frame))
		count_error(o);
	else
		hand_over(o, &frame);
}

/* ---- large sends ---- */

/* The driver left the IP header's length 0, and its checksum; the wire has both. */
static void complete_headers(struct outgoing *o)
{
	uint8_t *ip = o->head + o->packet.ip;

	if (o->packet.ip6) {
		net_put16(ip + 4, o->packet.end - o->packet.ip - 40);
	} else {
		net_put16(ip + 2, o->packet.end - o->packet.ip);
		net_ip4_checksum(&o->packet, o->head);
	}
	put_pseudo_sum(o);
}

static void send_for_segmentation(struct outgoing *o, const struct net_segments *segments)
{
	struct kmcl_net_frame frame = {
		.iov = o->iov,
		.count = o->count,
		.length = o->length,
		.checksum_start = o->packet.transport,
		.checksum_offset = NET_CHECKSUM_TCP,
		.segment = (uint16_t)segments->mss,
		.header_size = (uint16_t)segments->header_size,
		.ip6 = o->packet.ip6,
	};

	complete_headers(o);
	hand_over(o, &frame);
}

static void send_segments(struct outgoing *o, struct net_segments *segments)
{
	uint8_t header[NET_HEADERS_MAX + NET_VLAN_TAG];
	struct iovec iov[1 + KMCL_NET_FRAME_PIECES + 1];
	struct kmcl_net_frame frame = { .iov = iov };
	uint32_t size, offset, payload;

	while ((size = net_segments_next(segments, header, &offset)) != 0) {
		payload = size - segments->header_size;
		iov[0] = (struct iovec){ header, segments->header_size };
		frame.count = 1 + slice(o->iov, o->count, segments->header_size + offset, payload,
		                        iov + 1);
		frame.length = size;
		net_segment_seal(segments, header, size,
		                 net_sum_iov(iov + 1, frame.count - 1, 0, payload, 0));
		counter_add(&o->channel->queue->tx_segments, 1);
		hand_over(o, &frame);
	}
}

static void send_large(struct outgoing *o)
{
	struct kmcl_net *s = o->channel->adapter;
	uint32_t mss = o->rndis->large_send & RNDIS_LSO_MSS_MASK;
	struct net_segments segments;

	net_packet_parse(&o->packet, o->head, o->head_size, o->length, true);
	if (!net_segments_begin(&segments, &o->packet, o->head, o->head_size, o->length, mss) ||
	    segments.header_size + mss > s->mtu + NET_VLAN_TAG ||
	    segments.payload_size / mss > SEGMENTS_MAX || o->packet.end - o->packet.ip > 0xffff) {
		count_error(o);
		return;
	}
	counter_add(&o->channel->queue->tx_large_sends, 1);
	if ((s->backend->ops->offloads & KMCL_NET_OFFLOAD_SEGMENT) && segments.payload_size > mss)
		send_for_segmentation(o, &segments);
	else
		send_segments(o, &segments);
}

/* ---- messages ---- */

static void send_frame(struct netvsp_channel *c, struct netvsp_request *r,
                       const struct stream *stream, uint32_t at, const struct rndis_transmit *t)
{
	struct outgoing o; /* no initializer: it would write 5 KiB for each frame */
	uint32_t rest;

	if (!atomic_load_explicit(&c->adapter->link_up, memory_order_relaxed)) {
		atomic_fetch_add_explicit(&c->adapter->tx_dropped, 1, memory_order_relaxed);
		return;
	}
	o.channel = c;
	o.request = r;
	o.rndis = t;
	o.length = t->length;
	if (t->length < NET_FRAME_MIN || t->length > NET_FRAME_MAX) {
		count_error(&o);
		return;
	}
	o.head_size = t->length < NET_HEADERS_MAX ? t->length : NET_HEADERS_MAX;
	copy_out(stream->iov, stream->count, at + t->offset, o.head, o.head_size);
	rest = t->length - o.head_size;
	o.count = 1 +
	          slice(stream->iov, stream->count, at + t->offset + o.head_size, rest, o.iov + 1);
	netvsp_count_traffic(&c->queue->tx, o.head, t->length);
	if (t->has_vlan)
		insert_tag(&o);
	o.iov[0] = (struct iovec){ o.head, o.head_size };
	if (t->has_large_send && (t->large_send & RNDIS_LSO_MSS_MASK))
		send_large(&o);
	else
		send_whole(&o);
}

static uint32_t refuse(struct netvsp_channel *c, const struct rndis_fault *fault)
{
	netvsp_refuse(c->adapter, c->index, fault->what, fault->expected, fault->actual);
	return NVSP_STATUS_INVALID_RNDIS_PACKET;
}

static uint32_t transmit_packet(struct netvsp_channel *c, struct netvsp_request *r,
                                const struct stream *stream, uint32_t at, uint32_t length)
{
	uint8_t head[RNDIS_HEAD_MAX];
	uint32_t size = length < sizeof(head) ? length : sizeof(head);
	struct rndis_transmit transmit;
	struct rndis_fault fault;

	copy_out(stream->iov, stream->count, at, head, size);
	if (!rndis_parse_packet(head, size, length, &transmit, &fault))
		return refuse(c, &fault);
	send_frame(c, r, stream, at, &transmit);
	return NVSP_STATUS_SUCCESS;
}

/* The offloads as they are now: a driver that changed them is told (so does vmswitch). */
static void indicate_offloads(struct kmcl_net *s)
{
	uint8_t message[RNDIS_ANSWER_MAX];
	struct ndis_offload offload;
	uint32_t size = rndis_offload_config(&s->device, &offload);

	s->device.offloads_changed = false;
	netvsp_send_control(s, message,
	                    rndis_indicate(RNDIS_STATUS_OFFLOAD_CONFIG, &offload, size, message));
}

static uint32_t control(struct netvsp_channel *c, const struct stream *stream, uint32_t length)
{
	struct kmcl_net *s = c->adapter;
	struct rndis_fault fault = { 0 };
	uint8_t answer[RNDIS_ANSWER_MAX];
	uint32_t size;

	if (c->index)
		return refuse(c, &(struct rndis_fault){ "control on a subchannel", 0, c->index });
	if (length > sizeof(c->control))
		return refuse(c, &(struct rndis_fault){ "length of a control message",
		                                        sizeof(c->control), length });
	copy_out(stream->iov, stream->count, 0, c->control, length);
	pthread_mutex_lock(&s->control_lock);
	size = rndis_control(&s->device, c->control, length, answer, &fault);
	if (!fault.what) {
		netvsp_rules_changed(s);
		if (size)
			netvsp_send_control(s, answer, size);
		if (s->device.offloads_changed)
			indicate_offloads(s);
	}
	pthread_mutex_unlock(&s->control_lock);
	return fault.what ? refuse(c, &fault) : NVSP_STATUS_SUCCESS;
}

/* One after the other, each as long as it says. */
static uint32_t transmit_stream(struct netvsp_channel *c, struct netvsp_request *r,
                                const struct stream *stream)
{
	uint32_t at = 0, status = NVSP_STATUS_SUCCESS;

	while (at < stream->size && status == NVSP_STATUS_SUCCESS) {
		struct rndis_header header = { 0 };
		uint32_t left = stream->size - at;

		copy_out(stream->iov, stream->count, at, &header, sizeof(header));
		if (left < sizeof(header) || header.length < sizeof(header) || header.length > left)
			return refuse(c, &(struct rndis_fault){ "length of a message", left,
			                                        header.length });
		if (header.type == RNDIS_PACKET)
			status = transmit_packet(c, r, stream, at, header.length);
		else if (at == 0)
			return control(c, stream, header.length);
		else
			return refuse(c, &(struct rndis_fault){ "type of a message behind data",
			                                        RNDIS_PACKET, header.type });
		at += header.length;
	}
	return status;
}

/* ---- where the bytes are ---- */

static bool add_section(struct netvsp_channel *c, const struct nvsp_rndis_packet *packet,
                        struct stream *stream)
{
	struct netvsp_buffer *b = &c->adapter->send_buffer;
	uint64_t start = (uint64_t)packet->section_index * NETVSP_SECTION_SIZE;

	if (packet->section_index >= b->size / NETVSP_SECTION_SIZE) {
		netvsp_refuse(c->adapter, c->index, "section of the send buffer",
		              b->size / NETVSP_SECTION_SIZE, packet->section_index);
		return false;
	}
	if (packet->section_bytes > NETVSP_SECTION_SIZE) {
		netvsp_refuse(c->adapter, c->index, "bytes in a section", NETVSP_SECTION_SIZE,
		              packet->section_bytes);
		return false;
	}
	stream->count = netvsp_buffer_iovec(b, (uint32_t)start, packet->section_bytes, stream->iov,
	                                    KMCL_NET_FRAME_PIECES);
	stream->size = packet->section_bytes;
	return true;
}

static bool add_external(struct netvsp_channel *c, PMDL mdl, struct stream *stream)
{
	uint32_t room = KMCL_NET_FRAME_PIECES - stream->count, length = 0, count;
	PMDL m;

	for (m = mdl; m; m = m->Next)
		length += MmGetMdlByteCount(m);
	count = kmcl_mdl_iovec(mdl, 0, length, stream->iov + stream->count, room);
	if (!count || count > room) {
		netvsp_refuse(c->adapter, c->index, "pieces of a packet", room, count);
		return false;
	}
	stream->count += count;
	stream->size += length;
	return true;
}

static uint32_t transmit(struct netvsp_channel *c, struct netvsp_request *r,
                         const struct nvsp_rndis_packet *packet, PMDL mdl)
{
	struct stream stream;

	stream.count = 0;
	stream.size = 0;
	if (packet->section_index != NVSP_NO_SECTION && !add_section(c, packet, &stream))
		return NVSP_STATUS_FAILURE;
	if (mdl && !add_external(c, mdl, &stream))
		return NVSP_STATUS_FAILURE;
	if (!stream.size)
		return refuse(c, &(struct rndis_fault){ "size of a message",
		                                        sizeof(struct rndis_header), 0 });
	return transmit_stream(c, r, &stream);
}

void netvsp_transmit(struct netvsp_channel *c, struct netvsp_request *r,
                     const struct nvsp_rndis_packet *packet, PMDL mdl)
{
	struct kmcl_net *s = c->adapter;
	bool section = packet->section_index != NVSP_NO_SECTION;

	if (section && !ExAcquireRundownProtection(&s->send_users)) {
		netvsp_refuse(s, c->index, "a section without a send buffer", NVSP_NO_SECTION,
		              packet->section_index);
		r->status = NVSP_STATUS_FAILURE;
	} else {
		r->status = transmit(c, r, packet, mdl);
		if (section)
			ExReleaseRundownProtection(&s->send_users);
	}
	netvsp_request_done(r);
}
