/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hash by which received frames are spread over queues. Source: Microsoft, "RSS Hashing
 * Functions" and "RSS Hashing Types" in the Windows driver documentation.
 */
#include "net/net_packet.h"
#include "net/rndis_protocol.h"

#include <string.h>

static_assert(NET_HASH_KEY == NDIS_RSS_KEY_SIZE, "");

uint32_t net_toeplitz(const uint8_t key[NET_HASH_KEY], const uint8_t *input, uint32_t size)
{
	uint64_t window = (uint64_t)net_get32(key) << 32 | net_get32(key + 4);
	uint32_t hash = 0, i, bit;

	/* The upper half of the window is what a set bit adds. */
	for (i = 0; i < size; i++) {
		for (bit = 0x80; bit; bit >>= 1, window <<= 1) {
			if (input[i] & bit)
				hash ^= (uint32_t)(window >> 32);
		}
		window |= i + 8 < NET_HASH_KEY ? key[i + 8] : 0;
	}
	return hash;
}

static uint32_t types_with_ports(const struct net_packet *p)
{
	if (!p->payload)
		return 0;
	if (p->protocol == NET_PROTOCOL_TCP)
		return p->ip6 ? NDIS_HASH_TCP_IP6 : NDIS_HASH_TCP_IP4;
	return p->ip6 ? NDIS_HASH_UDP_IP6 : NDIS_HASH_UDP_IP4;
}

bool net_packet_hash(const struct net_packet *p, const uint8_t *head, uint32_t types,
                     const uint8_t key[NET_HASH_KEY], uint32_t *hash)
{
	uint32_t addresses = p->ip6 ? 32 : 8;
	uint8_t input[32 + 4];

	if (!p->ip)
		return false;
	memcpy(input, head + p->ip + (p->ip6 ? 8 : 12), addresses);
	if (types & types_with_ports(p)) {
		memcpy(input + addresses, head + p->transport, 4);
		addresses += 4;
	} else if (!(types & (p->ip6 ? NDIS_HASH_IP6 : NDIS_HASH_IP4))) {
		return false;
	}
	*hash = net_toeplitz(key, input, addresses);
	return true;
}
