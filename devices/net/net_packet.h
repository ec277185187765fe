/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_NET_NET_PACKET_H
#define DEVICES_NET_NET_PACKET_H

/*
 * What is in an Ethernet frame, as far as a network adapter has to know: where its headers are, its
 * checksums, its hash for receive side scaling, its pieces when it was larger than the wire takes.
 * Everything in a frame is hostile. Pure functions; they know no bus.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define NET_ETHERNET_HEADER 14u
#define NET_VLAN_TAG        4u
#define NET_ADDRESS         6u
#define NET_FRAME_MIN       NET_ETHERNET_HEADER
#define NET_FRAME_MAX       (65536u + 256u) /* before it is segmented */
#define NET_MTU_FRAME       (1500u + NET_ETHERNET_HEADER)
#define NET_ETHERTYPE_IP4   0x0800u
#define NET_ETHERTYPE_IP6   0x86ddu
#define NET_ETHERTYPE_VLAN  0x8100u
#define NET_PROTOCOL_TCP    6u
#define NET_PROTOCOL_UDP    17u
#define NET_CHECKSUM_TCP    16u /* where it is in the header */
#define NET_CHECKSUM_UDP    6u
#define NET_CHECKSUM_IP4    10u

/* The most of a frame that is looked at: Ethernet, a tag, IP with options, TCP with options. */
#define NET_HEADERS_MAX 256u

struct net_packet {
	uint16_t ethertype; /* behind a VLAN tag, if there is one */
	uint16_t ip;        /* where the IP header begins; 0: it is no IP */
	uint16_t transport; /* what comes after the IP headers; 0: a fragment, or malformed */
	uint16_t payload;   /* after TCP's or UDP's header; 0: neither, or malformed */
	uint8_t protocol;   /* of the transport */
	bool ip6;
	bool fragment;
	uint32_t end; /* where the IP packet ends; the frame may be padded */
};

static inline uint16_t net_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void net_put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t net_get32(const uint8_t *p)
{
	return (uint32_t)net_get16(p) << 16 | net_get16(p + 2);
}

static inline void net_put32(uint8_t *p, uint32_t v)
{
	net_put16(p, v >> 16);
	net_put16(p + 2, v);
}

/*
 * `head` is the first `head_size` bytes of a frame of `length`. False: it is not even Ethernet.
 * `large`: the sender left the IP length to be filled in, as for large sends; all of it counts.
 */
bool net_packet_parse(struct net_packet *packet, const uint8_t *head, uint32_t head_size,
                      uint32_t length, bool large);

/* ---- checksums ---- */

/* A sum that goes on where an even number of bytes ended. */
uint64_t net_sum(const void *bytes, size_t size, uint64_t sum);
/* Likewise of `size` bytes from `offset` on of what is described; at an odd border as at any. */
uint64_t net_sum_iov(const struct iovec *iov, unsigned int count, uint32_t offset, uint32_t size,
                     uint64_t sum);
uint16_t net_sum_fold(uint64_t sum); /* not inverted */

/* Of the addresses, the protocol and the length that the transport's checksum covers. */
uint64_t net_pseudo_sum(const struct net_packet *packet, const uint8_t *head, uint32_t size);
void net_ip4_checksum(const struct net_packet *packet, uint8_t *head);
/* Where in the frame TCP's or UDP's checksum is; 0: it has neither. */
uint16_t net_checksum_at(const struct net_packet *packet);
/* Writes the transport's checksum into `head`; `rest` is what of the frame comes after it. */
void net_transport_checksum(const struct net_packet *packet, uint8_t *head, uint32_t head_size,
                            const struct iovec *rest, unsigned int rest_count);

/* ---- the hash of receive side scaling ---- */

#define NET_HASH_KEY 40u

/* As in NDIS, rndis_protocol.h. */
uint32_t net_toeplitz(const uint8_t key[NET_HASH_KEY], const uint8_t *input, uint32_t size);
/* Of a packet, over what `types` (NDIS_HASH_*) allow. False: over nothing. */
bool net_packet_hash(const struct net_packet *packet, const uint8_t *head, uint32_t types,
                     const uint8_t key[NET_HASH_KEY], uint32_t *hash);

/* ---- segmentation ---- */

/* TCP over IP that was to be sent in pieces of `mss` bytes of payload. */
struct net_segments {
	struct net_packet packet;
	const uint8_t *head; /* the frame's headers, private */
	uint32_t header_size, payload_size;
	uint32_t mss;
	uint32_t next; /* into the payload */
	uint32_t count;
};

/* False: no TCP, or headers that are not all there. */
bool net_segments_begin(struct net_segments *s, const struct net_packet *packet,
                        const uint8_t *head, uint32_t head_size, uint32_t length, uint32_t mss);
/*
 * The next piece: writes its headers to `header`, header_size bytes, checksums but for the
 * payload's share, which is `sum` over the piece: see net_segment_seal(). Returns the piece's size;
 * 0 and nothing: there is none left. `offset`: into the payload.
 */
uint32_t net_segments_next(struct net_segments *s, uint8_t *header, uint32_t *offset);
/* The payload's sum is known: completes the TCP checksum. */
void net_segment_seal(const struct net_segments *s, uint8_t *header, uint32_t size,
                      uint64_t payload_sum);

#endif
