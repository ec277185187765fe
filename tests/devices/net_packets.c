/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames: where their headers are, checksums, the hash, segments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "net/net_packet.h"
#include "net/rndis_protocol.h"

/* The key and the results of Microsoft's "Verifying the RSS Hash Calculation". */
static const uint8_t ms_key[NET_HASH_KEY] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

struct flow {
	bool ip6;
	uint8_t source[16], destination[16];
	uint16_t source_port, destination_port;
	uint32_t with_ports, without;
};

static const struct flow flows[] = {
	{ false, { 66, 9, 149, 187 }, { 161, 142, 100, 80 }, 2794, 1766, 0x51ccc178, 0x323e8fc2 },
	{ false, { 199, 92, 111, 2 }, { 65, 69, 140, 83 }, 14230, 4739, 0xc626b0ea, 0xd718262a },
	{ false, { 24, 19, 198, 95 }, { 12, 22, 207, 184 }, 12898, 38024, 0x5c2b394a, 0xd2d0a5de },
	{ true,
	  { 0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 7 },
	  { 0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x00, 0x03, 0, 0, 0, 0, 0, 0, 0, 1 },
	  2794,
	  1766,
	  0x40207d3d,
	  0x2cc18cd5 },
};

/* What a frame is made of. */
struct recipe {
	bool ip6, vlan, udp;
	uint32_t ip_options, tcp_options, payload, padding;
};

/* Returns the frame's length; all lengths in it are right, all checksums 0. */
static uint32_t make_frame(const struct recipe *r, const struct flow *flow, uint8_t *frame)
{
	uint32_t transport_size = r->udp ? 8 : 20 + r->tcp_options;
	uint32_t ip_header = r->ip6 ? 40 : 20 + r->ip_options, at = 12, ip, i;

	memset(frame, 0, 12 + 4 + 2 + ip_header + transport_size);
	frame[5] = 2;
	frame[11] = 1;
	if (r->vlan) {
		net_put16(frame + at, NET_ETHERTYPE_VLAN);
		net_put16(frame + at + 2, 0x2005);
		at += 4;
	}
	net_put16(frame + at, r->ip6 ? NET_ETHERTYPE_IP6 : NET_ETHERTYPE_IP4);
	ip = at + 2;
	if (r->ip6) {
		frame[ip] = 0x60;
		net_put16(frame + ip + 4, transport_size + r->payload);
		frame[ip + 6] = r->udp ? 17 : 6;
		memcpy(frame + ip + 8, flow->source, 16);
		memcpy(frame + ip + 24, flow->destination, 16);
	} else {
		frame[ip] = (uint8_t)(0x40 | ip_header / 4);
		net_put16(frame + ip + 2, ip_header + transport_size + r->payload);
		net_put16(frame + ip + 4, 0xfffe);
		frame[ip + 9] = r->udp ? 17 : 6;
		memcpy(frame + ip + 12, flow->source, 4);
		memcpy(frame + ip + 16, flow->destination, 4);
	}
	at = ip + ip_header;
	net_put16(frame + at, flow->source_port);
	net_put16(frame + at + 2, flow->destination_port);
	if (r->udp) {
		net_put16(frame + at + 4, 8 + r->payload);
	} else {
		net_put32(frame + at + 4, 0xffffff00);
		frame[at + 12] = (uint8_t)(transport_size / 4 << 4);
		frame[at + 13] = 0x99; /* CWR, ACK, PSH, FIN */
	}
	at += transport_size;
	for (i = 0; i < r->payload + r->padding; i++)
		frame[at + i] = (uint8_t)(i * 7 + i / 251);
	return at + r->payload + r->padding;
}

/* As RFC 1071 says it, 16 bits at a time. */
static uint16_t plain_sum(const uint8_t *p, uint32_t n, uint32_t sum)
{
	uint32_t i;

	for (i = 0; i + 1 < n; i += 2)
		sum += net_get16(p + i);
	if (n & 1)
		sum += (uint32_t)p[n - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint32_t plain_pseudo(const uint8_t *ip, bool ip6, uint32_t protocol, uint32_t size)
{
	return ip6 ? plain_sum(ip + 8, 32, protocol + size)
	           : plain_sum(ip + 12, 8, protocol + size);
}

static void assert_transport_sum(const uint8_t *frame, const struct net_packet *p)
{
	uint32_t size = p->end - p->transport;

	assert_int_equal(plain_sum(frame + p->transport, size,
	                           plain_pseudo(frame + p->ip, p->ip6, p->protocol, size)),
	                 0xffff);
}

static void hashes_are_microsofts(void **state)
{
	const uint32_t all = NDIS_HASH_IP4 | NDIS_HASH_IP6 | NDIS_HASH_TCP_IP4 | NDIS_HASH_TCP_IP6;
	uint8_t frame[256];
	struct net_packet p;
	uint32_t hash, length;
	size_t i;

	for (i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
		struct recipe r = { .ip6 = flows[i].ip6, .vlan = i % 2, .payload = 10 };

		length = make_frame(&r, &flows[i], frame);
		assert_true(net_packet_parse(&p, frame, length, length, false));
		assert_true(net_packet_hash(&p, frame, all, ms_key, &hash));
		assert_int_equal(hash, flows[i].with_ports);
		assert_true(
			net_packet_hash(&p, frame, NDIS_HASH_IP4 | NDIS_HASH_IP6, ms_key, &hash));
		assert_int_equal(hash, flows[i].without);
		assert_false(net_packet_hash(&p, frame, 0, ms_key, &hash));
		/* ports of UDP count only where that was asked for */
		r.udp = true;
		length = make_frame(&r, &flows[i], frame);
		assert_true(net_packet_parse(&p, frame, length, length, false));
		assert_true(net_packet_hash(&p, frame, all, ms_key, &hash));
		assert_int_equal(hash, flows[i].without);
		assert_true(net_packet_hash(&p, frame, all | NDIS_HASH_UDP_IP4 | NDIS_HASH_UDP_IP6,
		                            ms_key, &hash));
		assert_int_equal(hash, flows[i].with_ports);
	}
}

static void headers_are_found(void **state)
{
	uint8_t frame[2048];
	struct net_packet p;
	uint32_t bits;

	for (bits = 0; bits < 32; bits++) {
		struct recipe r = { .ip6 = bits & 1,
			            .vlan = bits & 2,
			            .udp = bits & 4,
			            .ip_options = bits & 8 && !(bits & 1) ? 8 : 0,
			            .tcp_options = bits & 16 && !(bits & 4) ? 12 : 0,
			            .payload = 100,
			            .padding = bits };
		uint32_t length = make_frame(&r, &flows[bits & 1 ? 3 : 0], frame);
		uint32_t ip = 14 + (r.vlan ? 4 : 0);
		uint32_t transport = ip + (r.ip6 ? 40 : 20 + r.ip_options);

		assert_true(net_packet_parse(&p, frame, length, length, false));
		assert_int_equal(p.ip, ip);
		assert_int_equal(p.ip6, r.ip6);
		assert_int_equal(p.transport, transport);
		assert_int_equal(p.protocol, r.udp ? 17 : 6);
		assert_int_equal(p.payload, transport + (r.udp ? 8 : 20 + r.tcp_options));
		assert_int_equal(p.end, length - r.padding);
		assert_int_equal(net_checksum_at(&p), transport + (r.udp ? 6 : 16));
	}
}

/* Whatever is missing or wrong, nothing past the end is looked at: the memory is as long as what is
 * there, so that AddressSanitizer sees it. */
static void truncated_frames_are_no_more_than_they_are(void **state)
{
	uint32_t bits, n, byte;

	for (bits = 0; bits < 8; bits++) {
		struct recipe r = {
			.ip6 = bits & 1, .vlan = bits & 2, .udp = bits & 4, .payload = 20
		};
		uint8_t whole[256], *part;
		uint32_t length = make_frame(&r, &flows[bits & 1 ? 3 : 0], whole), hash;
		struct net_packet p;

		for (n = 0; n <= length; n++) {
			part = malloc(n ? n : 1);
			memcpy(part, whole, n);
			assert_int_equal(net_packet_parse(&p, part, n, length, false),
			                 n >= NET_FRAME_MIN);
			if (n >= NET_FRAME_MIN) {
				assert_true(p.payload <= n && p.transport <= n);
				net_packet_hash(&p, part, ~0u, ms_key, &hash);
				/* the frame itself is that short */
				net_packet_parse(&p, part, n, n, false);
				assert_true(p.end <= n);
				if (n < length)
					assert_false(p.ip && !r.ip6 && p.end > n);
			}
			free(part);
		}
		/* every byte of the headers, wrong in every bit */
		for (byte = 12; byte < length - 20; byte++) {
			for (n = 0; n < 8; n++) {
				part = malloc(length);
				memcpy(part, whole, length);
				part[byte] ^= (uint8_t)(1u << n);
				net_packet_parse(&p, part, length, length, n & 1);
				assert_true(p.end <= length && p.payload <= length);
				if (p.payload)
					net_transport_checksum(&p, part, length, NULL, 0);
				free(part);
			}
		}
	}
}

static void fragments_have_no_transport(void **state)
{
	struct recipe r = { .payload = 8 };
	uint8_t frame[256];
	struct net_packet p;
	uint32_t length = make_frame(&r, &flows[0], frame), hash;

	frame[14 + 6] = 0x20; /* more to come */
	assert_true(net_packet_parse(&p, frame, length, length, false));
	assert_true(p.fragment);
	assert_int_equal(p.payload, 0);
	assert_true(net_packet_hash(&p, frame, NDIS_HASH_IP4 | NDIS_HASH_TCP_IP4, ms_key, &hash));
	assert_int_equal(hash, flows[0].without);
}

static void extension_headers_are_skipped(void **state)
{
	struct recipe r = { .ip6 = true, .payload = 8 };
	uint8_t frame[256], tail[64];
	struct net_packet p;
	uint32_t length = make_frame(&r, &flows[3], frame);

	memcpy(tail, frame + 54, length - 54);
	memcpy(frame + 54 + 16, tail, length - 54);
	memset(frame + 54, 0, 16);
	frame[20] = 60; /* destination options, 16 bytes, then TCP */
	frame[54] = 6;
	frame[55] = 1;
	net_put16(frame + 18, 16 + 28);
	length += 16;
	assert_true(net_packet_parse(&p, frame, length, length, false));
	assert_int_equal(p.transport, 70);
	assert_int_equal(p.payload, 90);
	frame[20] = 44; /* a fragment */
	assert_true(net_packet_parse(&p, frame, length, length, false));
	assert_true(p.fragment);
	assert_int_equal(p.transport, 0);
	/* a chain that says it goes past the end */
	frame[20] = 60;
	frame[55] = 255;
	assert_true(net_packet_parse(&p, frame, length, length, false));
	assert_int_equal(p.transport, 0);
}

static void sums_do_not_depend_on_the_pieces(void **state)
{
	uint8_t bytes[301];
	uint32_t i, a, b;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 73 + 5);
	for (a = 0; a < 40; a++) {
		for (b = a; b < sizeof(bytes); b += 13) {
			const struct iovec iov[] = { { bytes, a },
				                     { bytes + a, b - a },
				                     { bytes + b, 0 },
				                     { bytes + b, sizeof(bytes) - b } };

			assert_int_equal(net_sum_fold(net_sum_iov(iov, 4, 0, sizeof(bytes), 0)),
			                 plain_sum(bytes, sizeof(bytes), 0));
			assert_int_equal(net_sum_fold(net_sum_iov(iov, 4, 3, 200, 0)),
			                 plain_sum(bytes + 3, 200, 0));
		}
	}
}

static void checksums_are_right(void **state)
{
	uint8_t frame[4096], rest[4096];
	struct net_packet p;
	uint32_t bits, head;

	for (bits = 0; bits < 8; bits++) {
		struct recipe r = { .ip6 = bits & 1,
			            .vlan = bits & 2,
			            .udp = bits & 4,
			            .payload = 1001,
			            .padding = 3 };
		uint32_t length = make_frame(&r, &flows[bits & 1 ? 3 : 0], frame);

		assert_true(net_packet_parse(&p, frame, length, length, false));
		for (head = p.payload; head < p.payload + 5u; head++) {
			struct iovec iov[2] = { { rest, 500 },
				                { rest + 500, length - head - 500 } };

			memcpy(rest, frame + head, length - head);
			net_put16(frame + net_checksum_at(&p), 0x1234); /* whatever was there */
			net_transport_checksum(&p, frame, head, iov, 2);
			assert_transport_sum(frame, &p);
		}
		net_transport_checksum(&p, frame, length, NULL, 0);
		assert_transport_sum(frame, &p);
		if (!r.ip6) {
			net_put16(frame + p.ip + 10, 0x9999);
			net_ip4_checksum(&p, frame);
			assert_int_equal(plain_sum(frame + p.ip, 20, 0), 0xffff);
		}
	}
}

/* A sum of 0 would say that there is none. */
static void udp_never_says_zero(void **state)
{
	struct recipe r = { .udp = true, .payload = 2 };
	uint8_t frame[256];
	struct net_packet p;
	uint32_t length = make_frame(&r, &flows[0], frame);
	uint16_t sum;

	net_put16(frame + length - 2, 0);
	assert_true(net_packet_parse(&p, frame, length, length, false));
	sum = plain_sum(frame + p.transport, 10, plain_pseudo(frame + p.ip, false, 17, 10));
	net_put16(frame + length - 2, (uint16_t)~sum);
	net_transport_checksum(&p, frame, length, NULL, 0);
	assert_int_equal(net_get16(frame + net_checksum_at(&p)), 0xffff);
}

static void check_segment(const uint8_t *whole, const uint8_t *piece, uint32_t size,
                          uint32_t offset, bool first, bool last, uint32_t count)
{
	struct net_packet a, b;

	assert_true(net_packet_parse(&b, piece, size, size, false));
	assert_true(net_packet_parse(&a, whole, 256, 65536 + 256, true));
	assert_int_equal(a.payload, b.payload);
	assert_int_equal(b.end, size); /* its IP header says how long it is */
	assert_int_equal(net_get32(piece + b.transport + 4),
	                 net_get32(whole + a.transport + 4) + offset);
	assert_int_equal(piece[b.transport + 13] & 0x80, first ? 0x80 : 0);
	assert_int_equal(piece[b.transport + 13] & 0x09, last ? 0x09 : 0);
	assert_int_equal(piece[b.transport + 13] & 0x10, 0x10);
	assert_transport_sum(piece, &b);
	if (b.ip6)
		return;
	assert_int_equal(plain_sum(piece + b.ip, (piece[b.ip] & 15u) * 4, 0), 0xffff);
	assert_int_equal(net_get16(piece + b.ip + 4), (uint16_t)(0xfffe + count));
}

static void segments_are_whole(void **state)
{
	uint8_t *frame = malloc(70000), *piece = malloc(70000);
	uint32_t bits, size, offset = 0, total, count, length;
	static const uint32_t payloads[] = { 1, 1448, 1449, 5000, 60000 };
	struct net_segments s;
	struct net_packet p;

	for (bits = 0; bits < 4 * 5; bits++) {
		struct recipe r = { .ip6 = bits & 1,
			            .vlan = bits & 2,
			            .tcp_options = 12,
			            .payload = payloads[bits / 4] };

		length = make_frame(&r, &flows[bits & 1 ? 3 : 0], frame);
		/* as Linux sends it: the IP header has no length yet */
		net_put16(frame + 14 + (r.vlan ? 4 : 0) + (r.ip6 ? 4 : 2), 0);
		assert_true(net_packet_parse(&p, frame, NET_HEADERS_MAX, length, true));
		assert_true(net_segments_begin(&s, &p, frame, NET_HEADERS_MAX, length, 1448));
		total = 0;
		count = 0;
		while ((size = net_segments_next(&s, piece, &offset)) != 0) {
			uint32_t payload = size - s.header_size;

			assert_int_equal(offset, total);
			assert_true(payload <= 1448);
			memcpy(piece + s.header_size, frame + s.header_size + offset, payload);
			net_segment_seal(&s, piece, size,
			                 net_sum(piece + s.header_size, payload, 0));
			total += payload;
			check_segment(frame, piece, size, offset, !count, total == r.payload,
			              count);
			count++;
		}
		assert_int_equal(total, r.payload);
		assert_int_equal(count, (r.payload + 1447) / 1448);
	}
	free(piece);
	free(frame);
}

static void what_is_no_tcp_is_not_segmented(void **state)
{
	struct recipe r = { .udp = true, .payload = 100 };
	uint8_t frame[256];
	struct net_segments s;
	struct net_packet p;
	uint32_t length = make_frame(&r, &flows[0], frame);

	assert_true(net_packet_parse(&p, frame, length, length, true));
	assert_false(net_segments_begin(&s, &p, frame, length, length, 50));
	r.udp = false;
	length = make_frame(&r, &flows[0], frame);
	assert_true(net_packet_parse(&p, frame, length, length, true));
	assert_false(net_segments_begin(&s, &p, frame, length, length, 0));
	assert_true(net_segments_begin(&s, &p, frame, length, length, 50));
	/* its header is not all there */
	frame[14 + 20 + 12] = 0xf0;
	assert_true(net_packet_parse(&p, frame, 14 + 20 + 20, length, true));
	assert_false(net_segments_begin(&s, &p, frame, 14 + 20 + 20, length, 50));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_are_microsofts),
		cmocka_unit_test(headers_are_found),
		cmocka_unit_test(truncated_frames_are_no_more_than_they_are),
		cmocka_unit_test(fragments_have_no_transport),
		cmocka_unit_test(extension_headers_are_skipped),
		cmocka_unit_test(sums_do_not_depend_on_the_pieces),
		cmocka_unit_test(checksums_are_right),
		cmocka_unit_test(udp_never_says_zero),
		cmocka_unit_test(segments_are_whole),
		cmocka_unit_test(what_is_no_tcp_is_not_segmented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
