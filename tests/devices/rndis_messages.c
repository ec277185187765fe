/* SPDX-License-Identifier: BSD-2-Clause */
/* RNDIS messages: what is in them, and the answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "net/netvsc_protocol.h"
#include "net/rndis.h"

/* ---- data ---- */

struct message {
	struct rndis_header header;
	struct rndis_packet packet;
	struct {
		struct rndis_packet_info info;
		uint32_t value;
	} infos[4];
	uint8_t data[100];
};

/* As Linux lays it out: header, packet, information, frame. */
static void make_message(struct message *m, uint32_t infos)
{
	uint32_t i;

	memset(m, 0, sizeof(*m));
	m->header.type = RNDIS_PACKET;
	m->header.length = sizeof(*m);
	m->packet.data_offset = offsetof(struct message, data) - sizeof(m->header);
	m->packet.data_length = sizeof(m->data);
	m->packet.info_offset = sizeof(m->packet);
	m->packet.info_length = infos * 16;
	for (i = 0; i < infos; i++) {
		m->infos[i].info.size = 16;
		m->infos[i].info.value_offset = 12;
	}
}

static bool parse(const struct message *m, uint32_t size, struct rndis_transmit *t)
{
	struct rndis_fault fault = { 0 };
	uint8_t *copy = malloc(size ? size : 1);
	bool good;

	memcpy(copy, m, size);
	good = rndis_parse_packet(copy, size, m->header.length, t, &fault);
	assert_true(good == !fault.what);
	free(copy);
	return good;
}

static void a_frame_and_what_is_said_of_it(void **state)
{
	struct rndis_transmit t;
	struct message m;

	make_message(&m, 4);
	m.infos[0].info.type = RNDIS_INFO_HASH;
	m.infos[0].value = 1;
	m.infos[1].info.type = RNDIS_INFO_LARGE_SEND;
	m.infos[1].value = 1448 | RNDIS_LSO_V2;
	m.infos[2].info.type = RNDIS_INFO_VLAN;
	m.infos[2].value = 0x50;
	m.infos[3].info.type = RNDIS_INFO_CHECKSUM;
	m.infos[3].value = RNDIS_TX_IPV4 | RNDIS_TX_TCP_CHECKSUM;
	assert_true(parse(&m, sizeof(m), &t));
	assert_int_equal(t.offset, offsetof(struct message, data));
	assert_int_equal(t.length, sizeof(m.data));
	assert_true(t.has_checksum && t.has_large_send && t.has_vlan);
	assert_int_equal(t.checksum, RNDIS_TX_IPV4 | RNDIS_TX_TCP_CHECKSUM);
	assert_int_equal(t.large_send & RNDIS_LSO_MSS_MASK, 1448);
	assert_int_equal(t.vlan, 0x50);
	/* of RNDIS's own types none is known */
	m.infos[3].info.type = RNDIS_INFO_CHECKSUM | 0x80000000u;
	assert_true(parse(&m, sizeof(m), &t));
	assert_false(t.has_checksum);
	make_message(&m, 0);
	assert_true(parse(&m, sizeof(m), &t));
	assert_false(t.has_checksum || t.has_large_send || t.has_vlan);
}

static void expect_refused(const struct message *m)
{
	struct rndis_transmit t;

	assert_false(parse(m, sizeof(*m), &t));
}

static void what_lies_outside_is_refused(void **state)
{
	struct rndis_transmit t;
	struct message m;
	uint32_t n;

	for (n = 0; n < offsetof(struct message, infos); n++) {
		make_message(&m, 2);
		assert_false(parse(&m, n, &t));
	}
	make_message(&m, 2);
	m.packet.data_offset = sizeof(m);
	expect_refused(&m);
	make_message(&m, 2);
	m.packet.data_offset = 0xfffffff0u;
	m.packet.data_length = 0x20;
	expect_refused(&m);
	make_message(&m, 2);
	m.packet.data_length++;
	expect_refused(&m);
	make_message(&m, 2);
	m.packet.info_offset = sizeof(m) - sizeof(m.header);
	expect_refused(&m);
	make_message(&m, 2);
	m.packet.info_offset = 0xffffffffu;
	expect_refused(&m);
	make_message(&m, 2);
	m.packet.info_length = 0xffffffffu;
	expect_refused(&m);
	make_message(&m, 2);
	m.packet.oob_count = 1;
	m.packet.oob_length = 1;
	expect_refused(&m);
	make_message(&m, 2);
	m.packet.vc_handle = 1;
	expect_refused(&m);
}

/* A size of 0 would never come to an end. */
static void bad_information_is_refused(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 11, 17, 33, 0x80000000u, 0xffffffffu };
	struct rndis_transmit t;
	struct message m;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		make_message(&m, 1);
		m.infos[0].info.size = sizes[i];
		expect_refused(&m);
	}
	make_message(&m, 1);
	m.infos[0].info.size = 0;
	m.infos[0].info.value_offset = 0;
	expect_refused(&m);
	make_message(&m, 1);
	m.infos[0].info.value_offset = 17;
	expect_refused(&m);
	make_message(&m, 1);
	m.packet.info_length = 20; /* four bytes that are nothing */
	expect_refused(&m);
	/* known, but without room for its value: passed over */
	make_message(&m, 1);
	m.infos[0].info.type = RNDIS_INFO_CHECKSUM;
	m.infos[0].info.value_offset = 13;
	assert_true(parse(&m, sizeof(m), &t));
	assert_false(t.has_checksum);
}

/* What Linux's rndis_filter_receive_data and rndis_get_ppi check. */
static void received_frames_are_what_linux_takes(void **state)
{
	uint8_t header[RNDIS_RECEIVE_HEADER_MAX];
	struct rndis_packet_info info;
	struct rndis_packet packet;
	struct rndis_header head;
	uint32_t bits, size, at, count;

	for (bits = 0; bits < 8; bits++) {
		const struct rndis_receive r = { .length = 60,
			                         .has_checksum = bits & 1,
			                         .checksum = RNDIS_RX_TCP_GOOD,
			                         .has_vlan = bits & 2,
			                         .vlan = 0x123,
			                         .has_hash = bits & 4,
			                         .hash = 0xabcd };

		memset(header, 0xee, sizeof(header));
		size = rndis_write_receive(&r, header);
		assert_true(size <= sizeof(header) && size % 4 == 0);
		memcpy(&head, header, sizeof(head));
		memcpy(&packet, header + sizeof(head), sizeof(packet));
		assert_int_equal(head.type, 1);
		assert_int_equal(head.length, size + 60);
		assert_int_equal(packet.data_offset + sizeof(head), size);
		assert_int_equal(packet.data_length, 60);
		count = (bits & 1) + (bits >> 1 & 1) + (bits >> 2);
		assert_int_equal(packet.info_length, 16 * count);
		assert_int_equal(packet.info_offset, count ? 36 : 0);
		for (at = 44; at < 44 + packet.info_length; at += info.size) {
			memcpy(&info, header + at, sizeof(info));
			assert_int_equal(info.size, 16);
			assert_int_equal(info.value_offset, 12);
			assert_true(info.type == 0 || info.type == 6 || info.type == 8);
		}
	}
}

static void tags_there_and_back(void **state)
{
	uint32_t tag;

	for (tag = 0; tag < 0x10000; tag++)
		assert_int_equal(rndis_vlan_tag(rndis_vlan_value((uint16_t)tag)), tag);
	/* Linux's ndis_pkt_8021q_info: 3 bits of priority, 1 of CFI, 12 of the id */
	assert_int_equal(rndis_vlan_value(0xa005), 5 | 5 << 4);
	assert_int_equal(rndis_vlan_value(0x1fff), 8 | 0xfff << 4);
}

/* ---- control ---- */

static void no_counts(void *context, struct rndis_counts *rx, struct rndis_counts *tx)
{
	rx->frames[0] = 1;
	rx->frames[1] = 2;
	rx->frames[2] = 3;
	rx->bytes[0] = 100;
	rx->discards = 7;
	tx->frames[1] = 40;
	tx->errors = 9;
}

static void init_device(struct rndis_device *d)
{
	static const uint8_t address[NET_ADDRESS] = { 0x00, 0x15, 0x5d, 1, 2, 3 };

	memset(d, 0, sizeof(*d));
	memcpy(d->permanent_address, address, NET_ADDRESS);
	memcpy(d->address, address, NET_ADDRESS);
	d->name = "Network Adapter";
	d->queues = 4;
	d->speed = 10000000000u;
	d->link_up = true;
	d->mtu = NET_MTU_FRAME;
	d->ndis_version = NVSP_NDIS_VERSION(6, 30);
	d->count = no_counts;
	rndis_reset_device(d);
}

/* A message with a body, answered: returns the answer's size. The message is as long as its memory.
 */
static uint32_t ask(struct rndis_device *d, uint32_t type, const void *body, uint32_t size,
                    uint8_t answer[RNDIS_ANSWER_MAX])
{
	uint8_t *message = malloc(8 + size);
	struct rndis_header header = { type, 8 + size };
	struct rndis_fault fault = { 0 };
	uint32_t length;

	memcpy(message, &header, 8);
	memcpy(message + 8, body, size);
	memset(answer, 0xee, RNDIS_ANSWER_MAX);
	length = rndis_control(d, message, 8 + size, answer, &fault);
	assert_true(length <= RNDIS_ANSWER_MAX);
	if (length) {
		assert_null(fault.what);
		memcpy(&header, answer, 8);
		assert_int_equal(header.length, length);
		assert_int_equal(header.type, type | RNDIS_COMPLETE);
	}
	free(message);
	return length;
}

static void initialize(struct rndis_device *d)
{
	const struct rndis_initialize request = { 1, 1, 0, 0x4000 };
	struct rndis_initialize_complete complete;
	uint8_t answer[RNDIS_ANSWER_MAX];

	assert_int_equal(ask(d, RNDIS_INITIALIZE, &request, sizeof(request), answer), 52);
	memcpy(&complete, answer + 8, sizeof(complete));
	assert_int_equal(complete.request_id, 1);
	assert_int_equal(complete.status, RNDIS_STATUS_SUCCESS);
	assert_int_equal(complete.medium, 0);
	assert_int_equal(complete.max_packets, 8);
	assert_int_equal(complete.alignment, 3);
	assert_true(d->initialized);
}

/* Returns the status; the data goes to `data`. */
static uint32_t query(struct rndis_device *d, uint32_t oid, void *data, uint32_t *size)
{
	const struct rndis_query request = { 77, oid, 0, sizeof(request), 0 };
	struct rndis_query_complete complete;
	uint8_t answer[RNDIS_ANSWER_MAX];
	uint32_t length = ask(d, RNDIS_QUERY, &request, sizeof(request), answer);

	assert_true(length >= 24);
	memcpy(&complete, answer + 8, sizeof(complete));
	assert_int_equal(complete.request_id, 77);
	assert_int_equal(complete.offset, 16); /* Linux takes no less, even of nothing */
	assert_int_equal(complete.length, length - 24);
	*size = complete.length;
	memcpy(data, answer + 24, complete.length);
	return complete.status;
}

static uint32_t set(struct rndis_device *d, uint32_t oid, const void *data, uint32_t size)
{
	struct rndis_query request = { 78, oid, size, sizeof(request), 0 };
	uint8_t body[RNDIS_CONTROL_MAX], answer[RNDIS_ANSWER_MAX];
	struct rndis_set_complete complete;

	memcpy(body, &request, sizeof(request));
	memcpy(body + sizeof(request), data, size);
	assert_int_equal(ask(d, RNDIS_SET, body, (uint32_t)sizeof(request) + size, answer), 16);
	memcpy(&complete, answer + 8, sizeof(complete));
	assert_int_equal(complete.request_id, 78);
	return complete.status;
}

static uint32_t query32(struct rndis_device *d, uint32_t oid)
{
	uint32_t value[256], size;

	assert_int_equal(query(d, oid, value, &size), RNDIS_STATUS_SUCCESS);
	assert_int_equal(size, 4);
	return value[0];
}

static void what_linux_asks(void **state)
{
	struct ndis_rss_capabilities rss = { 0 };
	struct ndis_offload offload;
	struct rndis_device d;
	uint8_t data[1024];
	uint32_t size;

	init_device(&d);
	/* nothing before INITIALIZE */
	assert_int_equal(query(&d, OID_GEN_LINK_SPEED, data, &size), RNDIS_STATUS_NOT_READY);
	initialize(&d);
	assert_int_equal(query32(&d, OID_GEN_MAXIMUM_FRAME_SIZE), 1500);
	assert_int_equal(query32(&d, OID_GEN_MEDIA_CONNECT_STATUS), 0);
	assert_int_equal(query32(&d, OID_GEN_LINK_SPEED), 100000000); /* 10000 Mbit/s of them */
	assert_int_equal(query(&d, OID_802_3_PERMANENT_ADDRESS, data, &size), 0);
	assert_int_equal(size, 6);
	assert_memory_equal(data, d.permanent_address, 6);
	assert_int_equal(query(&d, OID_GEN_FRIENDLY_NAME, data, &size), 0);
	assert_int_equal(size, 512);
	assert_memory_equal(data, "N\0e\0t\0w\0o\0r\0k\0 \0A\0d\0a\0p\0t\0e\0r\0\0\0", 32);
	assert_int_equal(query(&d, OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES, &offload, &size), 0);
	assert_int_equal(size, 156);
	assert_int_equal(offload.header.type, 0xa7);
	assert_int_equal(offload.header.revision, 3);
	assert_int_equal(offload.header.size, 156);
	assert_int_equal(offload.checksum.ip4_tx & 0x14, 0x14); /* NDIS_TXCSUM_ALL_TCP4 */
	assert_int_equal(offload.checksum.ip6_tx & 0x15, 0x15); /* NDIS_TXCSUM_ALL_TCP6 */
	assert_true(offload.checksum.ip4_tx & offload.checksum.ip6_tx & 0x40);
	assert_int_equal(offload.lso_v2.ip4_encapsulation, 2);
	assert_int_equal(offload.lso_v2.ip6_options & 5, 5);
	assert_int_equal(offload.lso_v2.ip4_max_size, 0xf53c);
	assert_int_equal(query(&d, OID_GEN_RECEIVE_SCALE_CAPABILITIES, &rss, &size), 0);
	assert_int_equal(size, 18); /* Linux has room for no more */
	assert_int_equal(rss.receive_queues, 4);
	assert_int_equal(rss.table_entries, 128);
	/* older ones know a shorter object */
	d.ndis_version = NVSP_NDIS_VERSION(6, 1);
	assert_int_equal(query(&d, OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES, &offload, &size), 0);
	assert_int_equal(size, 144);
	assert_int_equal(offload.header.revision, 2);
	d.ndis_version = NVSP_NDIS_VERSION(6, 0);
	assert_int_equal(query(&d, OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES, &offload, &size), 0);
	assert_int_equal(size, 112);
	d.link_up = false;
	assert_int_equal(query32(&d, OID_GEN_MEDIA_CONNECT_STATUS), 1);
}

/* What the list names is answered, or is there to be set. */
static void what_is_supported_is_answered(void **state)
{
	uint32_t list[256], data[256], size, count, i, status;
	struct rndis_device d;

	init_device(&d);
	initialize(&d);
	assert_int_equal(query(&d, OID_GEN_SUPPORTED_LIST, list, &size), 0);
	count = size / 4;
	assert_true(count > 30);
	for (i = 0; i < count; i++) {
		status = query(&d, list[i], data, &size);
		if (list[i] == OID_GEN_RNDIS_CONFIG_PARAMETER ||
		    list[i] == OID_TCP_OFFLOAD_PARAMETERS ||
		    list[i] == OID_GEN_RECEIVE_SCALE_PARAMETERS ||
		    list[i] == OID_GEN_NETWORK_LAYER_ADDRESSES)
			assert_int_equal(status, RNDIS_STATUS_NOT_SUPPORTED);
		else
			assert_int_equal(status, RNDIS_STATUS_SUCCESS);
	}
	assert_int_equal(query(&d, 0x12345678, data, &size), RNDIS_STATUS_NOT_SUPPORTED);
	assert_int_equal(size, 0);
	assert_int_equal(set(&d, 0x12345678, data, 4), RNDIS_STATUS_NOT_SUPPORTED);
}

static void statistics_are_the_adapters(void **state)
{
	struct ndis_statistics s;
	struct rndis_device d;
	uint8_t data[1024];
	uint64_t value;
	uint32_t size;

	init_device(&d);
	initialize(&d);
	assert_int_equal(query(&d, OID_GEN_STATISTICS, data, &size), 0);
	assert_int_equal(size, 152);
	memcpy(&s, data, sizeof(s));
	assert_int_equal(s.header.size, 152);
	assert_int_equal(s.rx_unicast, 1);
	assert_int_equal(s.rx_broadcast, 3);
	assert_int_equal(s.rx_bytes, 100);
	assert_int_equal(s.rx_discards, 7);
	assert_int_equal(s.tx_multicast, 40);
	assert_int_equal(s.tx_errors, 9);
	assert_int_equal(query(&d, OID_GEN_RCV_OK, data, &size), 0);
	memcpy(&value, data, sizeof(value));
	assert_int_equal(value, 6);
}

static void the_filter_decides(void **state)
{
	static const uint8_t own[6] = { 0x00, 0x15, 0x5d, 1, 2, 3 },
			     other[6] = { 2, 2, 2, 2, 2, 2 };
	static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };
	static const uint8_t group[6] = { 1, 0, 0x5e, 0, 0, 1 },
			     second[6] = { 0x33, 0x33, 0, 0, 0, 1 };
	uint32_t filter = NDIS_PACKET_TYPE_DIRECTED | NDIS_PACKET_TYPE_BROADCAST;
	struct rndis_device d;

	init_device(&d);
	initialize(&d);
	assert_false(rndis_filter_passes(&d, own));
	assert_int_equal(set(&d, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
	assert_true(rndis_filter_passes(&d, own));
	assert_true(rndis_filter_passes(&d, all));
	assert_false(rndis_filter_passes(&d, other));
	assert_false(rndis_filter_passes(&d, group));
	filter = NDIS_PACKET_TYPE_MULTICAST;
	assert_int_equal(set(&d, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
	assert_false(rndis_filter_passes(&d, group));
	assert_int_equal(set(&d, OID_802_3_MULTICAST_LIST, group, 6), 0);
	assert_true(rndis_filter_passes(&d, group));
	assert_false(rndis_filter_passes(&d, second));
	filter = NDIS_PACKET_TYPE_ALL_MULTICAST;
	assert_int_equal(set(&d, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
	assert_true(rndis_filter_passes(&d, second));
	assert_false(rndis_filter_passes(&d, all));
	filter = NDIS_PACKET_TYPE_PROMISCUOUS;
	assert_int_equal(set(&d, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
	assert_true(rndis_filter_passes(&d, other) && rndis_filter_passes(&d, all));
	assert_int_equal(set(&d, OID_GEN_CURRENT_PACKET_FILTER, &filter, 3),
	                 RNDIS_STATUS_INVALID_LENGTH);
	assert_int_equal(set(&d, OID_802_3_MULTICAST_LIST, group, 5), RNDIS_STATUS_INVALID_LENGTH);
}

static void too_many_groups(void **state)
{
	uint8_t list[(RNDIS_MULTICAST + 1) * 6] = { 0 };
	struct rndis_device d;

	init_device(&d);
	initialize(&d);
	assert_int_equal(set(&d, OID_802_3_MULTICAST_LIST, list, RNDIS_MULTICAST * 6), 0);
	assert_int_equal(set(&d, OID_802_3_MULTICAST_LIST, list, sizeof(list)),
	                 RNDIS_STATUS_MULTICAST_FULL);
	assert_int_equal(d.multicast_count, RNDIS_MULTICAST);
}

/* As rndis_set_rss_param_msg of Linux sends it. */
struct rss {
	struct ndis_rss_parameters p;
	uint32_t table[128];
	uint8_t key[40];
};

static void make_rss(struct rss *r, uint32_t queues)
{
	uint32_t i;

	memset(r, 0, sizeof(*r));
	r->p.header = (struct ndis_header){ 0x89, 2, sizeof(r->p) };
	r->p.hash = NDIS_HASH_TOEPLITZ | NDIS_HASH_IP4 | NDIS_HASH_TCP_IP4;
	r->p.table_size = sizeof(r->table);
	r->p.table_offset = offsetof(struct rss, table);
	r->p.key_size = sizeof(r->key);
	r->p.key_offset = offsetof(struct rss, key);
	for (i = 0; i < 128; i++)
		r->table[i] = i % queues;
	for (i = 0; i < 40; i++)
		r->key[i] = (uint8_t)(i + 1);
}

static void receive_side_scaling_is_set(void **state)
{
	struct rndis_device d;
	struct rss r;

	init_device(&d);
	initialize(&d);
	make_rss(&r, 4);
	assert_int_equal(set(&d, OID_GEN_RECEIVE_SCALE_PARAMETERS, &r, sizeof(r)), 0);
	assert_true(d.rss.enabled);
	assert_int_equal(d.rss.table[127], 3);
	assert_int_equal(d.rss.key[39], 40);
	/* only what is not said to be unchanged */
	r.p.flags = NDIS_RSS_KEY_UNCHANGED | NDIS_RSS_HASH_INFO_UNCHANGED;
	r.key[0] = 99;
	r.p.hash = 0;
	r.table[0] = 2;
	assert_int_equal(set(&d, OID_GEN_RECEIVE_SCALE_PARAMETERS, &r, sizeof(r)), 0);
	assert_int_equal(d.rss.key[0], 1);
	assert_int_equal(d.rss.table[0], 2);
	assert_true(d.rss.enabled);
	/* a short table is repeated */
	make_rss(&r, 4);
	r.p.table_size = 3 * 4;
	assert_int_equal(set(&d, OID_GEN_RECEIVE_SCALE_PARAMETERS, &r, sizeof(r)), 0);
	assert_int_equal(d.rss.table[3], 0);
	assert_int_equal(d.rss.table[127], 127 % 3);
	r.p.flags = NDIS_RSS_DISABLE;
	assert_int_equal(set(&d, OID_GEN_RECEIVE_SCALE_PARAMETERS, &r, sizeof(r)), 0);
	assert_false(d.rss.enabled);
}

static void bad_scaling_changes_nothing(void **state)
{
	static const uint32_t bad[] = { 1000, 0xfffffffcu, 0xffffffffu };
	struct rndis_device d;
	struct rss r;
	uint32_t i, n;

	init_device(&d);
	initialize(&d);
	make_rss(&r, 4);
	r.table[100] = 4;
	assert_int_equal(set(&d, OID_GEN_RECEIVE_SCALE_PARAMETERS, &r, sizeof(r)),
	                 RNDIS_STATUS_INVALID_DATA);
	for (i = 0; i < 3; i++) {
		make_rss(&r, 4);
		r.p.table_offset = bad[i];
		assert_int_equal(set(&d, OID_GEN_RECEIVE_SCALE_PARAMETERS, &r, sizeof(r)),
		                 RNDIS_STATUS_INVALID_DATA);
		make_rss(&r, 4);
		r.p.key_offset = bad[i];
		assert_int_equal(set(&d, OID_GEN_RECEIVE_SCALE_PARAMETERS, &r, sizeof(r)),
		                 RNDIS_STATUS_INVALID_DATA);
	}
	make_rss(&r, 4);
	r.p.table_size = 6;
	assert_int_equal(set(&d, OID_GEN_RECEIVE_SCALE_PARAMETERS, &r, sizeof(r)),
	                 RNDIS_STATUS_INVALID_DATA);
	make_rss(&r, 4);
	r.p.table_size = 0;
	assert_int_equal(set(&d, OID_GEN_RECEIVE_SCALE_PARAMETERS, &r, sizeof(r)),
	                 RNDIS_STATUS_INVALID_DATA);
	make_rss(&r, 4);
	r.p.key_size = 39;
	assert_int_equal(set(&d, OID_GEN_RECEIVE_SCALE_PARAMETERS, &r, sizeof(r)),
	                 RNDIS_STATUS_INVALID_DATA);
	make_rss(&r, 4);
	for (n = 0; n < sizeof(r); n++)
		assert_int_not_equal(set(&d, OID_GEN_RECEIVE_SCALE_PARAMETERS, &r, n), 0);
	assert_false(d.rss.enabled);
}

static void offloads_are_set(void **state)
{
	struct ndis_offload_parameters p = {
		.header = { NDIS_OBJECT_DEFAULT, 3, sizeof(p) },
		.ip4_checksum = 1,
		.tcp4_checksum = NDIS_CHECKSUM_RX,
		.udp4_checksum = NDIS_CHECKSUM_TX,
		.lso_v2_ip4 = NDIS_OFFLOAD_OFF,
	};
	struct ndis_offload offload;
	struct rndis_device d;
	uint32_t size;

	init_device(&d);
	initialize(&d);
	assert_int_equal(d.offloads, OFFLOADS_ALL);
	assert_int_equal(set(&d, OID_TCP_OFFLOAD_PARAMETERS, &p, sizeof(p)), 0);
	assert_true(d.offloads_changed);
	assert_int_equal(d.offloads,
	                 OFFLOADS_ALL & ~(OFFLOAD_TX_IP4 | OFFLOAD_RX_IP4 | OFFLOAD_TX_TCP4 |
	                                  OFFLOAD_RX_UDP4 | OFFLOAD_LSO4));
	assert_int_equal(query(&d, OID_TCP_OFFLOAD_CURRENT_CONFIG, &offload, &size), 0);
	assert_int_equal(offload.lso_v2.ip4_encapsulation, 0);
	assert_int_equal(offload.lso_v2.ip6_encapsulation, 2);
	assert_int_equal(offload.checksum.ip4_tx & NDIS_CHECKSUM_TCP, 0);
	assert_int_equal(rndis_offload_config(&d, &offload), 156);
	/* what the hardware can do is another question */
	assert_int_equal(query(&d, OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES, &offload, &size), 0);
	assert_int_equal(offload.lso_v2.ip4_encapsulation, 2);
	/* Linux to an older host: 22 bytes */
	p.header.size = 22;
	assert_int_equal(set(&d, OID_TCP_OFFLOAD_PARAMETERS, &p, 22), 0);
	p.header.size = 23;
	assert_int_equal(set(&d, OID_TCP_OFFLOAD_PARAMETERS, &p, 22), RNDIS_STATUS_INVALID_DATA);
	p.header.size = 19;
	assert_int_equal(set(&d, OID_TCP_OFFLOAD_PARAMETERS, &p, 22), RNDIS_STATUS_INVALID_DATA);
	p.header.size = 22;
	p.header.type = 1;
	assert_int_equal(set(&d, OID_TCP_OFFLOAD_PARAMETERS, &p, 22), RNDIS_STATUS_INVALID_DATA);
	assert_int_equal(set(&d, OID_TCP_OFFLOAD_PARAMETERS, &p, 2), RNDIS_STATUS_INVALID_DATA);
}

/* A name and a value in UTF-16, as rndis_filter_set_device_mac of Linux sends them. */
static uint32_t set_config(struct rndis_device *d, const char *name, const char *value)
{
	struct rndis_config_parameter p = { .type = RNDIS_CONFIG_STRING };
	uint8_t data[600] = { 0 };
	size_t i;

	p.name_offset = sizeof(p);
	p.name_length = 2 * (uint32_t)strlen(name);
	p.value_offset = p.name_offset + p.name_length;
	p.value_length = 2 * (uint32_t)strlen(value);
	memcpy(data, &p, sizeof(p));
	for (i = 0; name[i]; i++)
		data[p.name_offset + 2 * i] = (uint8_t)name[i];
	for (i = 0; value[i]; i++)
		data[p.value_offset + 2 * i] = (uint8_t)value[i];
	return set(d, OID_GEN_RNDIS_CONFIG_PARAMETER, data, p.value_offset + p.value_length);
}

static void the_address_is_the_drivers_to_choose(void **state)
{
	static const uint8_t chosen[6] = { 0x02, 0xab, 0xcd, 0xef, 0x00, 0x01 };
	struct rndis_config_parameter p = { 0xfffffff0u, 28, 2, 0, 24 };
	uint8_t data[1024];
	struct rndis_device d;
	uint32_t size, filter = NDIS_PACKET_TYPE_DIRECTED;

	init_device(&d);
	initialize(&d);
	assert_int_equal(set_config(&d, "NetworkAddress", "02abCDef0001"), 0);
	assert_memory_equal(d.address, chosen, 6);
	assert_int_equal(query(&d, OID_802_3_CURRENT_ADDRESS, data, &size), 0);
	assert_memory_equal(data, chosen, 6);
	assert_int_equal(query(&d, OID_802_3_PERMANENT_ADDRESS, data, &size), 0);
	assert_int_equal(data[1], 0x15);
	/* it outlives the driver's reopening, and does not shut the other out */
	rndis_reset_device(&d);
	initialize(&d);
	assert_int_equal(set(&d, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
	assert_true(rndis_filter_passes(&d, chosen));
	assert_true(rndis_filter_passes(&d, d.permanent_address));
	assert_int_equal(set_config(&d, "NetworkAddress", "03abcdef0001"),
	                 RNDIS_STATUS_INVALID_DATA);
	assert_int_equal(set_config(&d, "NetworkAddress", "02abcdef000"),
	                 RNDIS_STATUS_INVALID_DATA);
	assert_int_equal(set_config(&d, "NetworkAddress", "02abcdef00g1"),
	                 RNDIS_STATUS_INVALID_DATA);
	assert_memory_equal(d.address, chosen, 6);
	assert_int_equal(set(&d, OID_GEN_RNDIS_CONFIG_PARAMETER, &p, sizeof(p)),
	                 RNDIS_STATUS_INVALID_DATA);
	assert_int_equal(set(&d, OID_GEN_RNDIS_CONFIG_PARAMETER, &p, 19),
	                 RNDIS_STATUS_INVALID_LENGTH);
	assert_int_equal(set_config(&d, "*TCPChecksumOffloadIPv4", "1"), 0);
	assert_true(d.offloads & OFFLOAD_TX_TCP4);
	assert_false(d.offloads & OFFLOAD_RX_TCP4);
	assert_int_equal(set_config(&d, "unheard of", "1"), 0);
}

static void reset_halt_and_keepalive(void **state)
{
	const uint32_t id = 5, filter = NDIS_PACKET_TYPE_DIRECTED;
	uint8_t answer[RNDIS_ANSWER_MAX];
	struct rndis_set_complete alive;
	struct rndis_device d;

	init_device(&d);
	initialize(&d);
	assert_int_equal(set(&d, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
	assert_int_equal(ask(&d, RNDIS_KEEPALIVE, &id, 4, answer), 16);
	memcpy(&alive, answer + 8, sizeof(alive));
	assert_int_equal(alive.request_id, 5);
	assert_int_equal(alive.status, 0);
	assert_int_equal(ask(&d, RNDIS_RESET, &id, 4, answer), 16);
	assert_true(d.initialized);
	assert_int_equal(d.filter, 0);
	assert_int_equal(ask(&d, RNDIS_HALT, &id, 4, answer), 0);
	assert_false(d.initialized);
}

static void malformed_messages_are_refused(void **state)
{
	static const uint32_t types[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x80000002u, 0xffffffffu };
	uint8_t answer[RNDIS_ANSWER_MAX], *message;
	struct rndis_fault fault;
	struct rndis_device d;
	uint32_t size, i, length;

	init_device(&d);
	initialize(&d);
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		for (size = 0; size < 40; size++) {
			struct rndis_header header = { types[i], size };

			message = calloc(1, size ? size : 1);
			memcpy(message, &header, size < 8 ? size : 8);
			fault = (struct rndis_fault){ 0 };
			length = rndis_control(&d, message, size, answer, &fault);
			assert_true(length <= RNDIS_ANSWER_MAX);
			if (size < 12)
				assert_non_null(fault.what);
			/* a length that is a lie */
			header.length = size + 1;
			memcpy(message, &header, size < 8 ? size : 8);
			fault = (struct rndis_fault){ 0 };
			assert_int_equal(rndis_control(&d, message, size, answer, &fault), 0);
			assert_non_null(fault.what);
			free(message);
		}
	}
}

static void sets_stay_inside_their_message(void **state)
{
	static const struct {
		uint32_t length, offset;
	} bad[] = { { 5, 20 },           { 4, 21 },          { 1, 24 },
		    { 0xffffffffu, 20 }, { 4, 0xfffffffcu }, { 0xfffffff0u, 0x20 } };
	uint8_t answer[RNDIS_ANSWER_MAX];
	struct rndis_set_complete complete;
	struct rndis_device d;
	size_t i;

	init_device(&d);
	initialize(&d);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint32_t body[6] = {
			1, OID_GEN_CURRENT_PACKET_FILTER, bad[i].length, bad[i].offset, 0, 0xffff
		};

		assert_int_equal(ask(&d, RNDIS_SET, body, sizeof(body), answer), 16);
		memcpy(&complete, answer + 8, sizeof(complete));
		assert_int_equal(complete.status, RNDIS_STATUS_INVALID_LENGTH);
		assert_int_equal(d.filter, 0);
	}
}

static void indications(void **state)
{
	struct rndis_indicate_status status;
	uint8_t message[RNDIS_ANSWER_MAX];
	uint32_t speed = 10000000;

	assert_int_equal(rndis_indicate(RNDIS_STATUS_MEDIA_CONNECT, NULL, 0, message), 20);
	assert_int_equal(rndis_indicate(RNDIS_STATUS_LINK_SPEED, &speed, 4, message), 24);
	memcpy(&status, message + 8, sizeof(status));
	assert_int_equal(status.status, 0x40010013);
	assert_int_equal(status.length, 4);
	assert_int_equal(status.offset, 12);
	assert_memory_equal(message + 20, &speed, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_and_what_is_said_of_it),
		cmocka_unit_test(what_lies_outside_is_refused),
		cmocka_unit_test(bad_information_is_refused),
		cmocka_unit_test(received_frames_are_what_linux_takes),
		cmocka_unit_test(tags_there_and_back),
		cmocka_unit_test(what_linux_asks),
		cmocka_unit_test(what_is_supported_is_answered),
		cmocka_unit_test(statistics_are_the_adapters),
		cmocka_unit_test(the_filter_decides),
		cmocka_unit_test(too_many_groups),
		cmocka_unit_test(receive_side_scaling_is_set),
		cmocka_unit_test(bad_scaling_changes_nothing),
		cmocka_unit_test(offloads_are_set),
		cmocka_unit_test(the_address_is_the_drivers_to_choose),
		cmocka_unit_test(reset_halt_and_keepalive),
		cmocka_unit_test(malformed_messages_are_refused),
		cmocka_unit_test(sets_stay_inside_their_message),
		cmocka_unit_test(indications),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
