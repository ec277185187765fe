/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arbitrary RNDIS messages and frames, without a bus. What is found in a message lies inside it,
 * what is answered fits its place, and what is cut into segments is all of the frame, under the
 * address sanitizer: each input's memory is as long as it says.
 *
 * Input: records of one byte of kind, two of length and so many bytes. Kinds: a control message, a
 * data message, a frame.
 */
#include "net/netvsc_protocol.h"
#include "net/rndis.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(void *context, struct rndis_counts *rx, struct rndis_counts *tx)
{
	rx->frames[0]++;
	tx->bytes[2]++;
}

static void init_device(struct rndis_device *d)
{
	memset(d, 0, sizeof(*d));
	d->name = "Network Adapter";
	d->queues = 4;
	d->speed = 10000000000u;
	d->link_up = true;
	d->mtu = NET_MTU_FRAME;
	d->ndis_version = NVSP_NDIS_VERSION(6, 30);
	d->count = count;
	rndis_reset_device(d);
}

static void check_device(const struct rndis_device *d)
{
	uint32_t i;

	CHECK(d->multicast_count <= RNDIS_MULTICAST);
	CHECK(!(d->offloads & ~(uint32_t)OFFLOADS_ALL));
	CHECK(!(d->address[0] & 1));
	for (i = 0; i < NDIS_RSS_TABLE_ENTRIES; i++)
		CHECK(d->rss.table[i] < d->queues);
}

static void control(struct rndis_device *d, const uint8_t *bytes, uint32_t size)
{
	uint8_t *answer = malloc(RNDIS_ANSWER_MAX);
	struct rndis_fault fault = { 0 };
	struct rndis_header header;
	uint32_t length = rndis_control(d, bytes, size, answer, &fault);

	CHECK(length <= RNDIS_ANSWER_MAX && !(length && fault.what));
	if (length) {
		memcpy(&header, answer, sizeof(header));
		CHECK(header.length == length && header.type & RNDIS_COMPLETE);
	}
	check_device(d);
	free(answer);
}

static void segments(const struct net_packet *p, const uint8_t *bytes, uint32_t head, uint32_t size,
                     uint32_t mss)
{
	uint8_t header[NET_HEADERS_MAX];
	uint32_t length, offset = 0, total = 0;
	struct net_segments s;

	if (!net_segments_begin(&s, p, bytes, head, size, mss))
		return;
	CHECK(s.header_size <= NET_HEADERS_MAX);
	while ((length = net_segments_next(&s, header, &offset)) != 0) {
		CHECK(offset == total && length >= s.header_size);
		total += length - s.header_size;
		CHECK(s.header_size + total <= size && length - s.header_size <= mss);
		net_segment_seal(
			&s, header, length,
			net_sum(bytes + s.header_size + offset, length - s.header_size, 0));
	}
	CHECK(total == s.payload_size);
}

static void frame(const struct rndis_device *d, uint8_t *bytes, uint32_t size)
{
	uint32_t head = size < NET_HEADERS_MAX ? size : NET_HEADERS_MAX, hash;
	struct iovec rest = { bytes + head, size - head };
	struct net_packet p;
	uint32_t large;

	for (large = 0; large < 2; large++) {
		if (!net_packet_parse(&p, bytes, head, size, large))
			continue;
		CHECK(p.end <= size && p.payload <= head && p.transport <= head);
		CHECK(!p.payload || (p.transport && p.payload <= p.end));
		net_packet_hash(&p, bytes, d->rss.types | NDIS_HASH_IP4 | NDIS_HASH_UDP_IP6,
		                d->rss.key, &hash);
		rndis_filter_passes(d, bytes);
		if (large)
			segments(&p, bytes, head, size, 1 + bytes[size - 1]);
		if (p.payload)
			net_transport_checksum(&p, bytes, head, &rest, 1);
		if (p.ip && !p.ip6)
			net_ip4_checksum(&p, bytes);
	}
}

static void message(const struct rndis_device *d, const uint8_t *bytes, uint32_t size)
{
	uint32_t head = size < RNDIS_HEAD_MAX ? size : RNDIS_HEAD_MAX;
	struct rndis_fault fault = { 0 };
	struct rndis_transmit t;
	uint8_t *copy;

	if (!rndis_parse_packet(bytes, head, size, &t, &fault)) {
		CHECK(fault.what);
		return;
	}
	CHECK(t.offset <= size && t.length <= size - t.offset);
	copy = malloc(t.length ? t.length : 1);
	memcpy(copy, bytes + t.offset, t.length);
	frame(d, copy, t.length);
	CHECK(rndis_vlan_tag(rndis_vlan_value(rndis_vlan_tag(t.vlan))) == rndis_vlan_tag(t.vlan));
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rndis_device d;

	init_device(&d);
	while (size >= 3) {
		uint32_t length = data[1] | (uint32_t)data[2] << 8;
		uint8_t kind = data[0] % 3, *copy;

		data += 3;
		size -= 3;
		if (length > size)
			length = (uint32_t)size;
		copy = malloc(length ? length : 1);
		memcpy(copy, data, length);
		if (kind == 0)
			control(&d, copy, length);
		else if (kind == 1)
			message(&d, copy, length);
		else
			frame(&d, copy, length);
		free(copy);
		data += length;
		size -= length;
	}
	return 0;
}
