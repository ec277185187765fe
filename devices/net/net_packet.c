/* SPDX-License-Identifier: BSD-2-Clause */
/* Headers of a frame, and their checksums. */
#include "net/net_packet.h"

#include <assert.h>
#include <string.h>

#define IP4_HEADER    20u
#define IP6_HEADER    40u
#define TCP_HEADER    20u
#define UDP_HEADER    8u
#define IP4_FRAGMENT  0x3fffu /* more fragments, or an offset */
#define IP6_HOP       0u
#define IP6_ROUTING   43u
#define IP6_FRAGMENT  44u
#define IP6_OPTIONS   60u
#define IP6_EXTENSION 8u /* the least of each */
#define IP6_CHAIN     8u /* extension headers that are followed */

struct head {
	const uint8_t *bytes;
	uint32_t size;
};

static const uint8_t *head_at(const struct head *head, uint32_t offset, uint32_t size)
{
	return offset <= head->size && size <= head->size - offset ? head->bytes + offset : NULL;
}

/* Sets `payload` if TCP's or UDP's header is there as a whole. */
static void parse_transport(struct net_packet *p, const struct head *head)
{
	const uint8_t *h;
	uint32_t size = 0;

	if (p->protocol == NET_PROTOCOL_TCP) {
		h = head_at(head, p->transport, TCP_HEADER);
		size = h ? (h[12] >> 4) * 4u : 0;
		if (size < TCP_HEADER)
			size = 0;
	} else if (p->protocol == NET_PROTOCOL_UDP) {
		size = UDP_HEADER;
	}
	if (size && head_at(head, p->transport, size) && p->transport + size <= p->end)
		p->payload = (uint16_t)(p->transport + size);
}

static void parse_ip4(struct net_packet *p, const struct head *head, uint32_t at, uint32_t length,
                      bool large)
{
	const uint8_t *h = head_at(head, at, IP4_HEADER);
	uint32_t size, total;

	if (!h || h[0] >> 4 != 4)
		return;
	size = (h[0] & 15u) * 4;
	total = large ? length - at : net_get16(h + 2);
	if (size < IP4_HEADER || total < size || total > length - at || !head_at(head, at, size))
		return;
	p->ip = (uint16_t)at;
	p->end = at + total;
	p->protocol = h[9];
	p->fragment = (net_get16(h + 6) & IP4_FRAGMENT) != 0;
	if (p->fragment)
		return;
	p->transport = (uint16_t)(at + size);
	parse_transport(p, head);
}

/* Past the extension headers that may stand before the transport. */
static bool skip_ip6_extensions(struct net_packet *p, const struct head *head, uint8_t next,
                                uint32_t at)
{
	uint32_t i;

	for (i = 0; i < IP6_CHAIN; i++) {
		const uint8_t *h;

		if (next == IP6_FRAGMENT) {
			p->fragment = true;
			return false;
		}
		if (next != IP6_HOP && next != IP6_ROUTING && next != IP6_OPTIONS) {
			p->protocol = next;
			p->transport = (uint16_t)at;
			return true;
		}
		h = head_at(head, at, IP6_EXTENSION);
		if (!h)
			return false;
		next = h[0];
		at += (h[1] + 1u) * 8;
		if (at > p->end || at > head->size)
			return false;
	}
	return false;
}

static void parse_ip6(struct net_packet *p, const struct head *head, uint32_t at, uint32_t length,
                      bool large)
{
	const uint8_t *h = head_at(head, at, IP6_HEADER);
	uint32_t total;

	if (!h || h[0] >> 4 != 6)
		return;
	total = large ? length - at : IP6_HEADER + net_get16(h + 4);
	if (total > length - at)
		return;
	p->ip = (uint16_t)at;
	p->ip6 = true;
	p->end = at + total;
	if (skip_ip6_extensions(p, head, h[6], at + IP6_HEADER))
		parse_transport(p, head);
}

bool net_packet_parse(struct net_packet *p, const uint8_t *bytes, uint32_t size, uint32_t length,
                      bool large)
{
	struct head head = { bytes, size < length ? size : length };
	uint32_t at = NET_ETHERNET_HEADER;

	memset(p, 0, sizeof(*p));
	if (head.size < NET_ETHERNET_HEADER)
		return false;
	p->ethertype = net_get16(bytes + 12);
	p->end = length;
	if (p->ethertype == NET_ETHERTYPE_VLAN && head_at(&head, at, NET_VLAN_TAG)) {
		p->ethertype = net_get16(bytes + at + 2);
		at += NET_VLAN_TAG;
	}
	if (p->ethertype == NET_ETHERTYPE_IP4)
		parse_ip4(p, &head, at, length, large);
	else if (p->ethertype == NET_ETHERTYPE_IP6)
		parse_ip6(p, &head, at, length, large);
	return true;
}

/* ---- checksums ---- */

uint64_t net_sum(const void *bytes, size_t size, uint64_t sum)
{
	const uint8_t *p = bytes;

	/* As words of this machine's order: the sum is the same but for the order of its bytes. */
	for (; size >= 4; size -= 4, p += 4) {
		uint32_t word;

		memcpy(&word, p, sizeof(word));
		sum += word;
	}
	if (size) {
		uint32_t word = 0;

		memcpy(&word, p, size);
		sum += word;
	}
	return sum;
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "net_sum adds words of this order");

uint16_t net_sum_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return __builtin_bswap16((uint16_t)sum);
}

/* What was summed up from an odd place on has its bytes the other way round. */
static uint64_t sum_odd(const void *bytes, size_t size)
{
	return net_sum_fold(net_sum(bytes, size, 0));
}

uint64_t net_sum_iov(const struct iovec *iov, unsigned int count, uint32_t offset, uint32_t size,
                     uint64_t sum)
{
	bool odd = false;
	unsigned int i;

	for (i = 0; i < count && size; i++) {
		const uint8_t *base = iov[i].iov_base;
		size_t n = iov[i].iov_len;

		if (offset >= n) {
			offset -= (uint32_t)n;
			continue;
		}
		n -= offset;
		if (n > size)
			n = size;
		sum += odd ? sum_odd(base + offset, n) : net_sum(base + offset, n, 0);
		odd ^= n & 1;
		size -= (uint32_t)n;
		offset = 0;
	}
	return sum;
}

/* A number as if it stood in the packet. */
static uint64_t sum_of(uint32_t value)
{
	uint8_t bytes[4];

	net_put32(bytes, value);
	return net_sum(bytes, sizeof(bytes), 0);
}

uint64_t net_pseudo_sum(const struct net_packet *p, const uint8_t *head, uint32_t size)
{
	const uint8_t *ip = head + p->ip;
	uint64_t sum = p->ip6 ? net_sum(ip + 8, 32, 0) : net_sum(ip + 12, 8, 0);

	return sum + sum_of(p->protocol) + sum_of(size);
}

void net_ip4_checksum(const struct net_packet *p, uint8_t *head)
{
	uint8_t *ip = head + p->ip;

	net_put16(ip + NET_CHECKSUM_IP4, 0);
	net_put16(ip + NET_CHECKSUM_IP4,
	          (uint16_t)~net_sum_fold(net_sum(ip, (ip[0] & 15u) * 4, 0)));
}

uint16_t net_checksum_at(const struct net_packet *p)
{
	if (!p->payload)
		return 0;
	return (uint16_t)(p->transport +
	                  (p->protocol == NET_PROTOCOL_TCP ? NET_CHECKSUM_TCP : NET_CHECKSUM_UDP));
}

/* In UDP 0 means that there is none; ~0 is as good. */
static void put_checksum(const struct net_packet *p, uint8_t *at, uint64_t sum)
{
	uint16_t checksum = (uint16_t)~net_sum_fold(sum);

	if (!checksum && p->protocol == NET_PROTOCOL_UDP)
		checksum = 0xffff;
	net_put16(at, checksum);
}

void net_transport_checksum(const struct net_packet *p, uint8_t *head, uint32_t head_size,
                            const struct iovec *rest, unsigned int rest_count)
{
	uint8_t *at = head + net_checksum_at(p);
	uint32_t size = p->end - p->transport;
	uint32_t here = head_size < p->end ? head_size - p->transport : size;
	uint64_t sum;

	net_put16(at, 0);
	sum = net_sum_iov(rest, rest_count, 0, size - here, 0);
	if (here & 1)
		sum = net_sum_fold(sum);
	sum += net_sum(head + p->transport, here, 0) + net_pseudo_sum(p, head, size);
	put_checksum(p, at, sum);
}
