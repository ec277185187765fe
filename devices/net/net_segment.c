/* SPDX-License-Identifier: BSD-2-Clause */
/* A large send, cut into frames that the wire takes. */
#include "net/net_packet.h"

#include <string.h>

#define TCP_SEQUENCE 4u
#define TCP_FLAGS    13u
#define TCP_FIN      0x01u
#define TCP_PSH      0x08u
#define TCP_CWR      0x80u

bool net_segments_begin(struct net_segments *s, const struct net_packet *packet,
                        const uint8_t *head, uint32_t head_size, uint32_t length, uint32_t mss)
{
	memset(s, 0, sizeof(*s));
	if (!packet->payload || packet->protocol != NET_PROTOCOL_TCP || !mss ||
	    packet->payload > head_size || packet->payload > packet->end || packet->end > length)
		return false;
	s->packet = *packet;
	s->head = head;
	s->header_size = packet->payload;
	s->payload_size = packet->end - packet->payload;
	s->mss = mss;
	return true;
}

static void fill_ip(const struct net_segments *s, uint8_t *header, uint32_t size)
{
	const struct net_packet *p = &s->packet;
	uint8_t *ip = header + p->ip;

	if (p->ip6) {
		net_put16(ip + 4, s->header_size - p->ip - 40 + size);
		return;
	}
	net_put16(ip + 2, s->header_size - p->ip + size);
	net_put16(ip + 4, net_get16(ip + 4) + s->count);
	net_ip4_checksum(p, header);
}

/* Only the first says that the window was reduced, only the last that there is no more. */
static void fill_tcp(const struct net_segments *s, uint8_t *header, bool last)
{
	uint8_t *tcp = header + s->packet.transport;

	net_put32(tcp + TCP_SEQUENCE, net_get32(tcp + TCP_SEQUENCE) + s->next);
	if (s->count)
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
	if (!last)
		tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
}

uint32_t net_segments_next(struct net_segments *s, uint8_t *header, uint32_t *offset)
{
	uint32_t left = s->payload_size - s->next;
	uint32_t size = left < s->mss ? left : s->mss;

	if (s->count && !left)
		return 0;
	memcpy(header, s->head, s->header_size);
	fill_ip(s, header, size);
	fill_tcp(s, header, size == left);
	*offset = s->next;
	s->next += size;
	s->count++;
	return s->header_size + size;
}

void net_segment_seal(const struct net_segments *s, uint8_t *header, uint32_t size,
                      uint64_t payload_sum)
{
	const struct net_packet *p = &s->packet;
	uint32_t transport = s->header_size - p->transport;
	uint8_t *at = header + p->transport + NET_CHECKSUM_TCP;

	net_put16(at, 0);
	payload_sum += net_sum(header + p->transport, transport, 0);
	payload_sum += net_pseudo_sum(p, header, size - p->transport);
	net_put16(at, (uint16_t)~net_sum_fold(payload_sum));
}
