/* SPDX-License-Identifier: BSD-2-Clause */
/* Control messages: what the driver asks about the adapter, and what it wants of it. */
#include "net/netvsc_protocol.h"
#include "net/rndis.h"

#include <string.h>

#define MAX_PACKETS   8u /* data messages in one packet */
#define ALIGNMENT     3u /* to 8 bytes, each of them */
#define MAX_TRANSFER  0xefffffffu
#define BUFFER_SPACE  (256u * 1024) /* as vmswitch says (OpenVMM) */
#define VENDOR        0x00155du     /* the first half of Microsoft's addresses */
#define DRIVER        0x0100u
#define NDIS_6_1      NVSP_NDIS_VERSION(6, 1)
#define NDIS_6_30     NVSP_NDIS_VERSION(6, 30)
#define NAME_MAX_CHAR 64u
#define CONFIG_MAX    255u /* bytes of a name or a value */

/* The data of an OID: of a query what is answered, of a set what came. */
struct data {
	uint8_t *bytes;
	uint32_t size;
};

static void put(struct data *out, const void *bytes, uint32_t size)
{
	memcpy(out->bytes + out->size, bytes, size);
	out->size += size;
}

static uint32_t put32(struct data *out, uint32_t value)
{
	put(out, &value, sizeof(value));
	return RNDIS_STATUS_SUCCESS;
}

/* ---- queries ---- */

static const uint32_t supported[] = {
	OID_GEN_SUPPORTED_LIST,
	OID_GEN_HARDWARE_STATUS,
	OID_GEN_MEDIA_SUPPORTED,
	OID_GEN_MEDIA_IN_USE,
	OID_GEN_MAXIMUM_LOOKAHEAD,
	OID_GEN_MAXIMUM_FRAME_SIZE,
	OID_GEN_LINK_SPEED,
	OID_GEN_TRANSMIT_BUFFER_SPACE,
	OID_GEN_RECEIVE_BUFFER_SPACE,
	OID_GEN_TRANSMIT_BLOCK_SIZE,
	OID_GEN_RECEIVE_BLOCK_SIZE,
	OID_GEN_VENDOR_ID,
	OID_GEN_VENDOR_DESCRIPTION,
	OID_GEN_CURRENT_PACKET_FILTER,
	OID_GEN_CURRENT_LOOKAHEAD,
	OID_GEN_DRIVER_VERSION,
	OID_GEN_MAXIMUM_TOTAL_SIZE,
	OID_GEN_MAC_OPTIONS,
	OID_GEN_MEDIA_CONNECT_STATUS,
	OID_GEN_MAXIMUM_SEND_PACKETS,
	OID_GEN_VENDOR_DRIVER_VERSION,
	OID_GEN_NETWORK_LAYER_ADDRESSES,
	OID_GEN_FRIENDLY_NAME,
	OID_GEN_RNDIS_CONFIG_PARAMETER,
	OID_GEN_XMIT_OK,
	OID_GEN_RCV_OK,
	OID_GEN_XMIT_ERROR,
	OID_GEN_RCV_ERROR,
	OID_GEN_RCV_NO_BUFFER,
	OID_802_3_PERMANENT_ADDRESS,
	OID_802_3_CURRENT_ADDRESS,
	OID_802_3_MULTICAST_LIST,
	OID_802_3_MAXIMUM_LIST_SIZE,
	OID_802_3_RCV_ERROR_ALIGNMENT,
	OID_802_3_XMIT_ONE_COLLISION,
	OID_802_3_XMIT_MORE_COLLISIONS,
	/* NDIS 6 */
	OID_GEN_STATISTICS,
	OID_GEN_LINK_STATE,
	OID_GEN_MAX_LINK_SPEED,
	OID_GEN_BYTES_RCV,
	OID_GEN_BYTES_XMIT,
	OID_GEN_RCV_DISCARDS,
	OID_GEN_XMIT_DISCARDS,
	OID_OFFLOAD_ENCAPSULATION,
	OID_TCP_OFFLOAD_CURRENT_CONFIG,
	OID_TCP_OFFLOAD_PARAMETERS,
	OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES,
	/* NDIS 6.30 */
	OID_GEN_RECEIVE_SCALE_CAPABILITIES,
	OID_GEN_RECEIVE_SCALE_PARAMETERS,
};
#define SUPPORTED    (sizeof(supported) / sizeof(supported[0]))
#define SUPPORTED_61 (SUPPORTED - 2)

static uint32_t query_supported(const struct rndis_device *d, struct data *out)
{
	size_t count = d->ndis_version >= NDIS_6_30 ? SUPPORTED : SUPPORTED_61;

	put(out, supported, (uint32_t)(count * sizeof(supported[0])));
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t query_name(const struct rndis_device *d, struct data *out)
{
	uint8_t name[NDIS_FRIENDLY_NAME_SIZE] = { 0 };
	size_t i;

	for (i = 0; i < NAME_MAX_CHAR && d->name[i]; i++)
		name[2 * i] = (uint8_t)d->name[i];
	put(out, name, sizeof(name));
	return RNDIS_STATUS_SUCCESS;
}

static void fill_checksum(struct ndis_checksum_offload *c, uint32_t offloads)
{
	const uint32_t tcp4 =
		NDIS_CHECKSUM_TCP | NDIS_CHECKSUM_TCP_OPTIONS | NDIS_CHECKSUM_IP4_OPTIONS;
	const uint32_t tcp6 = NDIS_CHECKSUM_TCP | NDIS_CHECKSUM_TCP_OPTIONS | NDIS_CHECKSUM_IP6_EXT;
	const uint32_t udp4 = NDIS_CHECKSUM_UDP | NDIS_CHECKSUM_IP4_OPTIONS;
	const uint32_t udp6 = NDIS_CHECKSUM_UDP | NDIS_CHECKSUM_IP6_EXT;
	const uint32_t ip4 = NDIS_CHECKSUM_IP4 | NDIS_CHECKSUM_IP4_OPTIONS;

	c->ip4_tx_encapsulation = NDIS_ENCAPSULATION_802_3;
	c->ip4_rx_encapsulation = NDIS_ENCAPSULATION_802_3;
	c->ip6_tx_encapsulation = NDIS_ENCAPSULATION_802_3;
	c->ip6_rx_encapsulation = NDIS_ENCAPSULATION_802_3;
	c->ip4_tx = (offloads & OFFLOAD_TX_IP4 ? ip4 : 0) |
	            (offloads & OFFLOAD_TX_TCP4 ? tcp4 : 0) |
	            (offloads & OFFLOAD_TX_UDP4 ? udp4 : 0);
	c->ip4_rx = (offloads & OFFLOAD_RX_IP4 ? ip4 : 0) |
	            (offloads & OFFLOAD_RX_TCP4 ? tcp4 : 0) |
	            (offloads & OFFLOAD_RX_UDP4 ? udp4 : 0);
	c->ip6_tx =
		(offloads & OFFLOAD_TX_TCP6 ? tcp6 : 0) | (offloads & OFFLOAD_TX_UDP6 ? udp6 : 0);
	c->ip6_rx =
		(offloads & OFFLOAD_RX_TCP6 ? tcp6 : 0) | (offloads & OFFLOAD_RX_UDP6 ? udp6 : 0);
}

static void fill_lso(struct ndis_lso_v2 *lso, uint32_t offloads)
{
	if (offloads & OFFLOAD_LSO4) {
		lso->ip4_encapsulation = NDIS_ENCAPSULATION_802_3;
		lso->ip4_max_size = RNDIS_LSO_MAX;
		lso->ip4_min_segments = 2;
	}
	if (offloads & OFFLOAD_LSO6) {
		lso->ip6_encapsulation = NDIS_ENCAPSULATION_802_3;
		lso->ip6_max_size = RNDIS_LSO_MAX;
		lso->ip6_min_segments = 2;
		lso->ip6_options = NDIS_LSO_IP6_EXT | NDIS_LSO_TCP_OPTIONS;
	}
}

/* Linux takes no more than the newest it knows, which is what it said its NDIS version is. */
static uint32_t fill_offload(const struct rndis_device *d, uint32_t offloads,
                             struct ndis_offload *o)
{
	memset(o, 0, sizeof(*o));
	o->header.type = NDIS_OBJECT_OFFLOAD;
	o->header.revision = 1;
	o->header.size = NDIS_OFFLOAD_SIZE_1;
	if (d->ndis_version >= NDIS_6_30) {
		o->header.revision = 3;
		o->header.size = NDIS_OFFLOAD_SIZE_3;
	} else if (d->ndis_version >= NDIS_6_1) {
		o->header.revision = 2;
		o->header.size = NDIS_OFFLOAD_SIZE_2;
	}
	fill_checksum(&o->checksum, offloads);
	fill_lso(&o->lso_v2, offloads);
	return o->header.size;
}

uint32_t rndis_offload_config(const struct rndis_device *d, struct ndis_offload *offload)
{
	return fill_offload(d, d->offloads, offload);
}

static uint32_t query_offload(const struct rndis_device *d, uint32_t offloads, struct data *out)
{
	struct ndis_offload offload;
	uint32_t size = fill_offload(d, offloads, &offload);

	put(out, &offload, size);
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t query_encapsulation(struct data *out)
{
	const struct ndis_encapsulation e = {
		.header = { NDIS_OBJECT_ENCAPSULATION, 1, sizeof(e) },
		.ip4_enabled = NDIS_ENCAPSULATION_ON,
		.ip4_type = NDIS_ENCAPSULATION_802_3,
		.ip4_header_size = NET_ETHERNET_HEADER,
		.ip6_enabled = NDIS_ENCAPSULATION_ON,
		.ip6_type = NDIS_ENCAPSULATION_802_3,
		.ip6_header_size = NET_ETHERNET_HEADER,
	};

	put(out, &e, sizeof(e));
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t query_rss(const struct rndis_device *d, struct data *out)
{
	const struct ndis_rss_capabilities caps = {
		.header = { NDIS_OBJECT_RSS_CAPABILITIES, 2, NDIS_RSS_CAPABILITIES_SIZE },
		.flags = NDIS_RSS_CAPS_TCP_IP4 | NDIS_RSS_CAPS_TCP_IP6 | NDIS_HASH_TOEPLITZ,
		.interrupt_messages = 1,
		.receive_queues = d->queues,
		.table_entries = NDIS_RSS_TABLE_ENTRIES,
	};

	put(out, &caps, NDIS_RSS_CAPABILITIES_SIZE);
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t query_link_state(const struct rndis_device *d, struct data *out)
{
	const struct ndis_link_state state = {
		.header = { NDIS_OBJECT_DEFAULT, 1, sizeof(state) },
		.connect_state = d->link_up ? 1 : 2,
		.tx_speed = d->speed,
		.rx_speed = d->speed,
	};

	put(out, &state, sizeof(state));
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t query_max_speed(const struct rndis_device *d, struct data *out)
{
	put(out, &d->speed, sizeof(d->speed));
	put(out, &d->speed, sizeof(d->speed));
	return RNDIS_STATUS_SUCCESS;
}

static uint64_t total(const uint64_t parts[3])
{
	return parts[0] + parts[1] + parts[2];
}

static uint32_t query_statistics(const struct rndis_counts *rx, const struct rndis_counts *tx,
                                 struct data *out)
{
	const struct ndis_statistics s = {
		.header = { NDIS_OBJECT_DEFAULT, 1, sizeof(s) },
		.supported = NDIS_STATISTICS_ALL,
		.rx_discards = rx->discards,
		.rx_errors = rx->errors,
		.rx_bytes = total(rx->bytes),
		.rx_unicast = rx->frames[0],
		.rx_multicast = rx->frames[1],
		.rx_broadcast = rx->frames[2],
		.tx_bytes = total(tx->bytes),
		.tx_unicast = tx->frames[0],
		.tx_multicast = tx->frames[1],
		.tx_broadcast = tx->frames[2],
		.tx_errors = tx->errors,
		.tx_discards = tx->discards,
		.rx_unicast_bytes = rx->bytes[0],
		.rx_multicast_bytes = rx->bytes[1],
		.rx_broadcast_bytes = rx->bytes[2],
		.tx_unicast_bytes = tx->bytes[0],
		.tx_multicast_bytes = tx->bytes[1],
		.tx_broadcast_bytes = tx->bytes[2],
	};

	put(out, &s, sizeof(s));
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t put64(struct data *out, uint64_t value)
{
	put(out, &value, sizeof(value));
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t query_counter(const struct rndis_device *d, uint32_t oid, struct data *out)
{
	struct rndis_counts rx = { 0 }, tx = { 0 };

	d->count(d->context, &rx, &tx);
	switch (oid) {
	case OID_GEN_STATISTICS:
		return query_statistics(&rx, &tx, out);
	case OID_GEN_XMIT_OK:
		return put64(out, total(tx.frames));
	case OID_GEN_RCV_OK:
		return put64(out, total(rx.frames));
	case OID_GEN_XMIT_ERROR:
		return put64(out, tx.errors);
	case OID_GEN_RCV_ERROR:
		return put64(out, rx.errors);
	case OID_GEN_BYTES_XMIT:
		return put64(out, total(tx.bytes));
	case OID_GEN_BYTES_RCV:
		return put64(out, total(rx.bytes));
	case OID_GEN_XMIT_DISCARDS:
		return put64(out, tx.discards);
	default: /* OID_GEN_RCV_NO_BUFFER, OID_GEN_RCV_DISCARDS */
		return put64(out, rx.discards);
	}
}

static uint32_t query_constant(const struct rndis_device *d, uint32_t oid, struct data *out)
{
	switch (oid) {
	case OID_GEN_HARDWARE_STATUS: /* ready */
	case OID_802_3_RCV_ERROR_ALIGNMENT:
	case OID_802_3_XMIT_ONE_COLLISION:
	case OID_802_3_XMIT_MORE_COLLISIONS:
		return put32(out, 0);
	case OID_GEN_MEDIA_SUPPORTED:
	case OID_GEN_MEDIA_IN_USE:
		return put32(out, RNDIS_MEDIUM_802_3);
	case OID_GEN_TRANSMIT_BUFFER_SPACE:
	case OID_GEN_RECEIVE_BUFFER_SPACE:
		return put32(out, BUFFER_SPACE);
	case OID_GEN_VENDOR_ID:
		return put32(out, VENDOR);
	case OID_GEN_VENDOR_DESCRIPTION:
		put(out, "Microsoft Corporation", 22);
		return RNDIS_STATUS_SUCCESS;
	case OID_GEN_DRIVER_VERSION:
	case OID_GEN_VENDOR_DRIVER_VERSION:
		put(out, &(uint16_t){ DRIVER }, sizeof(uint16_t));
		return RNDIS_STATUS_SUCCESS;
	case OID_GEN_MAC_OPTIONS:
		return put32(out, NDIS_MAC_OPTION_COPY_LOOKAHEAD |
		                          NDIS_MAC_OPTION_TRANSFERS_NOT_PEND |
		                          NDIS_MAC_OPTION_NO_LOOPBACK | NDIS_MAC_OPTION_8021P |
		                          NDIS_MAC_OPTION_8021Q);
	case OID_GEN_MAXIMUM_SEND_PACKETS:
		return put32(out, UINT32_MAX);
	case OID_802_3_MAXIMUM_LIST_SIZE:
		return put32(out, RNDIS_MULTICAST);
	default:
		return RNDIS_STATUS_NOT_SUPPORTED;
	}
}

/* In units of 100 bit/s; more than 32 bits of them is as fast as it gets. */
static uint32_t link_speed(const struct rndis_device *d)
{
	uint64_t units = d->speed / 100;

	return units < UINT32_MAX ? (uint32_t)units : UINT32_MAX;
}

static uint32_t query(const struct rndis_device *d, uint32_t oid, struct data *out)
{
	switch (oid) {
	case OID_GEN_SUPPORTED_LIST:
		return query_supported(d, out);
	case OID_GEN_MAXIMUM_LOOKAHEAD:
	case OID_GEN_CURRENT_LOOKAHEAD:
	case OID_GEN_MAXIMUM_FRAME_SIZE:
		return put32(out, d->mtu - NET_ETHERNET_HEADER);
	case OID_GEN_MAXIMUM_TOTAL_SIZE:
	case OID_GEN_TRANSMIT_BLOCK_SIZE:
	case OID_GEN_RECEIVE_BLOCK_SIZE:
		return put32(out, d->mtu);
	case OID_GEN_LINK_SPEED:
		return put32(out, link_speed(d));
	case OID_GEN_CURRENT_PACKET_FILTER:
		return put32(out, d->filter);
	case OID_GEN_MEDIA_CONNECT_STATUS:
		return put32(out, d->link_up ? 0 : 1);
	case OID_GEN_FRIENDLY_NAME:
		return query_name(d, out);
	case OID_802_3_PERMANENT_ADDRESS:
		put(out, d->permanent_address, NET_ADDRESS);
		return RNDIS_STATUS_SUCCESS;
	case OID_802_3_CURRENT_ADDRESS:
		put(out, d->address, NET_ADDRESS);
		return RNDIS_STATUS_SUCCESS;
	case OID_802_3_MULTICAST_LIST:
		put(out, d->multicast, d->multicast_count * NET_ADDRESS);
		return RNDIS_STATUS_SUCCESS;
	case OID_GEN_LINK_STATE:
		return query_link_state(d, out);
	case OID_GEN_MAX_LINK_SPEED:
		return query_max_speed(d, out);
	case OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES:
		return query_offload(d, OFFLOADS_ALL, out);
	case OID_TCP_OFFLOAD_CURRENT_CONFIG:
		return query_offload(d, d->offloads, out);
	case OID_OFFLOAD_ENCAPSULATION:
		return query_encapsulation(out);
	case OID_GEN_RECEIVE_SCALE_CAPABILITIES:
		return query_rss(d, out);
	case OID_GEN_STATISTICS:
	case OID_GEN_XMIT_OK:
	case OID_GEN_RCV_OK:
	case OID_GEN_XMIT_ERROR:
	case OID_GEN_RCV_ERROR:
	case OID_GEN_RCV_NO_BUFFER:
	case OID_GEN_BYTES_RCV:
	case OID_GEN_BYTES_XMIT:
	case OID_GEN_RCV_DISCARDS:
	case OID_GEN_XMIT_DISCARDS:
		return query_counter(d, oid, out);
	default:
		return query_constant(d, oid, out);
	}
}

static_assert(sizeof(struct rndis_header) + sizeof(struct rndis_query_complete) +
                              NDIS_FRIENDLY_NAME_SIZE <=
                      RNDIS_ANSWER_MAX,
              "the longest answer");
static_assert(sizeof(supported) <= NDIS_FRIENDLY_NAME_SIZE, "");
static_assert(RNDIS_MULTICAST * NET_ADDRESS <= NDIS_FRIENDLY_NAME_SIZE, "");

/* ---- sets ---- */

static uint32_t set_filter(struct rndis_device *d, const struct data *in)
{
	if (in->size < sizeof(d->filter))
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(&d->filter, in->bytes, sizeof(d->filter));
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t set_multicast(struct rndis_device *d, const struct data *in)
{
	if (in->size % NET_ADDRESS)
		return RNDIS_STATUS_INVALID_LENGTH;
	if (in->size > sizeof(d->multicast))
		return RNDIS_STATUS_MULTICAST_FULL;
	memcpy(d->multicast, in->bytes, in->size);
	d->multicast_count = in->size / NET_ADDRESS;
	return RNDIS_STATUS_SUCCESS;
}

/* Both directions of a kind of checksum; 0 and what is not defined change nothing. */
static void set_checksum(struct rndis_device *d, uint8_t value, uint32_t tx, uint32_t rx)
{
	if (value < NDIS_CHECKSUM_OFF || value > NDIS_CHECKSUM_TX_RX)
		return;
	d->offloads &= ~(tx | rx);
	if (value == NDIS_CHECKSUM_TX || value == NDIS_CHECKSUM_TX_RX)
		d->offloads |= tx;
	if (value == NDIS_CHECKSUM_RX || value == NDIS_CHECKSUM_TX_RX)
		d->offloads |= rx;
}

static void set_simple(struct rndis_device *d, uint8_t value, uint32_t offload)
{
	if (value == NDIS_OFFLOAD_OFF)
		d->offloads &= ~offload;
	else if (value == NDIS_OFFLOAD_ON)
		d->offloads |= offload;
}

static bool header_valid(const struct ndis_header *header, uint32_t size, uint8_t type,
                         uint32_t least)
{
	return header->type == type && header->revision >= 1 && header->size >= least &&
	       header->size <= size;
}

static uint32_t set_offloads(struct rndis_device *d, const struct data *in)
{
	struct ndis_offload_parameters p = { 0 };

	memcpy(&p, in->bytes, in->size < sizeof(p) ? in->size : sizeof(p));
	if (!header_valid(&p.header, in->size, NDIS_OBJECT_DEFAULT, NDIS_OFFLOAD_PARAMETERS_SIZE_1))
		return RNDIS_STATUS_INVALID_DATA;
	if (p.lso_v1 == NDIS_OFFLOAD_ON)
		return RNDIS_STATUS_NOT_SUPPORTED;
	set_checksum(d, p.ip4_checksum, OFFLOAD_TX_IP4, OFFLOAD_RX_IP4);
	set_checksum(d, p.tcp4_checksum, OFFLOAD_TX_TCP4, OFFLOAD_RX_TCP4);
	set_checksum(d, p.udp4_checksum, OFFLOAD_TX_UDP4, OFFLOAD_RX_UDP4);
	set_checksum(d, p.tcp6_checksum, OFFLOAD_TX_TCP6, OFFLOAD_RX_TCP6);
	set_checksum(d, p.udp6_checksum, OFFLOAD_TX_UDP6, OFFLOAD_RX_UDP6);
	set_simple(d, p.lso_v2_ip4, OFFLOAD_LSO4);
	set_simple(d, p.lso_v2_ip6, OFFLOAD_LSO6);
	d->offloads_changed = true;
	return RNDIS_STATUS_SUCCESS;
}

static bool encapsulation_known(uint32_t enabled, uint32_t type, uint32_t header)
{
	return enabled != NDIS_ENCAPSULATION_ON ||
	       (type == NDIS_ENCAPSULATION_802_3 && header == NET_ETHERNET_HEADER);
}

static uint32_t set_encapsulation(const struct data *in)
{
	struct ndis_encapsulation e = { 0 };

	memcpy(&e, in->bytes, in->size < sizeof(e) ? in->size : sizeof(e));
	if (!header_valid(&e.header, in->size, NDIS_OBJECT_ENCAPSULATION, sizeof(e)))
		return RNDIS_STATUS_INVALID_DATA;
	if (!encapsulation_known(e.ip4_enabled, e.ip4_type, e.ip4_header_size) ||
	    !encapsulation_known(e.ip6_enabled, e.ip6_type, e.ip6_header_size))
		return RNDIS_STATUS_NOT_SUPPORTED;
	return RNDIS_STATUS_SUCCESS;
}

static bool inside(const struct data *in, uint32_t offset, uint32_t size)
{
	return offset <= in->size && size <= in->size - offset;
}

/* A shorter table is repeated, so that each hash finds an entry (OpenVMM does so too). */
static bool take_table(const struct rndis_device *d, const struct data *in,
                       const struct ndis_rss_parameters *p, uint8_t *table)
{
	uint32_t count = p->table_size / 4, i, queue;

	if (!count || p->table_size % 4 || !inside(in, p->table_offset, p->table_size))
		return false;
	if (count > NDIS_RSS_TABLE_ENTRIES)
		count = NDIS_RSS_TABLE_ENTRIES;
	for (i = 0; i < NDIS_RSS_TABLE_ENTRIES; i++) {
		memcpy(&queue, in->bytes + p->table_offset + i % count * 4, sizeof(queue));
		if (queue >= d->queues)
			return false;
		table[i] = (uint8_t)queue;
	}
	return true;
}

static bool take_key(const struct data *in, const struct ndis_rss_parameters *p, uint8_t *key)
{
	if (p->key_size != NDIS_RSS_KEY_SIZE || !inside(in, p->key_offset, NDIS_RSS_KEY_SIZE))
		return false;
	memcpy(key, in->bytes + p->key_offset, NDIS_RSS_KEY_SIZE);
	return true;
}

/* The header is not looked at: vmswitch does not either (OpenVMM). */
static uint32_t set_rss(struct rndis_device *d, const struct data *in)
{
	struct ndis_rss_parameters p = { 0 };
	struct rndis_rss rss = d->rss;

	if (in->size < NDIS_RSS_PARAMETERS_SIZE_1)
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(&p, in->bytes, in->size < sizeof(p) ? in->size : sizeof(p));
	if (!(p.flags & NDIS_RSS_HASH_INFO_UNCHANGED))
		rss.types = p.hash;
	rss.enabled = !(p.flags & NDIS_RSS_DISABLE) &&
	              (rss.types & NDIS_HASH_FUNCTION) == NDIS_HASH_TOEPLITZ;
	if (!rss.enabled) {
		d->rss.enabled = false;
		return RNDIS_STATUS_SUCCESS;
	}
	if (!(p.flags & NDIS_RSS_TABLE_UNCHANGED) && !take_table(d, in, &p, rss.table))
		return RNDIS_STATUS_INVALID_DATA;
	if (!(p.flags & NDIS_RSS_KEY_UNCHANGED) && !take_key(in, &p, rss.key))
		return RNDIS_STATUS_INVALID_DATA;
	d->rss = rss;
	return RNDIS_STATUS_SUCCESS;
}

/* UTF-16 to ASCII; what is neither becomes '?'. */
static bool take_text(const struct data *in, uint32_t offset, uint32_t length, char *text)
{
	uint32_t i;

	if (length > CONFIG_MAX || !inside(in, offset, length))
		return false;
	for (i = 0; i < length / 2; i++) {
		const uint8_t *c = in->bytes + offset + 2 * i;

		text[i] = c[0] && c[0] < 0x80 && !c[1] ? (char)c[0] : '?';
	}
	text[i] = 0;
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Six bytes in twelve digits; a group address is nobody's. */
static bool take_address(const char *text, uint8_t address[NET_ADDRESS])
{
	uint32_t i;

	if (strlen(text) != 2 * NET_ADDRESS)
		return false;
	for (i = 0; i < NET_ADDRESS; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		address[i] = (uint8_t)(high << 4 | low);
	}
	return !(address[0] & 1);
}

/* The checksum keywords of NDIS: bit 0 for sending, bit 1 for receiving. */
static void set_keyword(struct rndis_device *d, const char *name, uint32_t value)
{
	static const struct {
		const char *name;
		uint32_t tx, rx;
	} keywords[] = {
		{ "*IPChecksumOffloadIPv4", OFFLOAD_TX_IP4, OFFLOAD_RX_IP4 },
		{ "*TCPChecksumOffloadIPv4", OFFLOAD_TX_TCP4, OFFLOAD_RX_TCP4 },
		{ "*TCPChecksumOffloadIPv6", OFFLOAD_TX_TCP6, OFFLOAD_RX_TCP6 },
		{ "*UDPChecksumOffloadIPv4", OFFLOAD_TX_UDP4, OFFLOAD_RX_UDP4 },
		{ "*UDPChecksumOffloadIPv6", OFFLOAD_TX_UDP6, OFFLOAD_RX_UDP6 },
		{ "*LsoV2IPv4", OFFLOAD_LSO4, 0 },
		{ "*LsoV2IPv6", OFFLOAD_LSO6, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
		if (strcmp(name, keywords[i].name))
			continue;
		d->offloads &= ~(keywords[i].tx | keywords[i].rx);
		d->offloads |= (value & 1 ? keywords[i].tx : 0) | (value & 2 ? keywords[i].rx : 0);
	}
}

static uint32_t set_config(struct rndis_device *d, const struct data *in)
{
	char name[CONFIG_MAX / 2 + 1], value[CONFIG_MAX / 2 + 1];
	struct rndis_config_parameter p;
	uint8_t address[NET_ADDRESS];

	if (in->size < sizeof(p))
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(&p, in->bytes, sizeof(p));
	if (!take_text(in, p.name_offset, p.name_length, name) ||
	    !take_text(in, p.value_offset, p.value_length, value))
		return RNDIS_STATUS_INVALID_DATA;
	if (p.type != RNDIS_CONFIG_STRING)
		return RNDIS_STATUS_SUCCESS; /* there is no number among those that are known */
	if (!strcmp(name, "NetworkAddress")) {
		if (!take_address(value, address))
			return RNDIS_STATUS_INVALID_DATA;
		memcpy(d->address, address, NET_ADDRESS);
	} else if (value[0] >= '0' && value[0] <= '9') {
		set_keyword(d, name, (uint32_t)(value[0] - '0'));
	}
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t set(struct rndis_device *d, uint32_t oid, const struct data *in)
{
	switch (oid) {
	case OID_GEN_CURRENT_PACKET_FILTER:
		return set_filter(d, in);
	case OID_802_3_MULTICAST_LIST:
		return set_multicast(d, in);
	case OID_TCP_OFFLOAD_PARAMETERS:
		return set_offloads(d, in);
	case OID_OFFLOAD_ENCAPSULATION:
		return set_encapsulation(in);
	case OID_GEN_RECEIVE_SCALE_PARAMETERS:
		return set_rss(d, in);
	case OID_GEN_RNDIS_CONFIG_PARAMETER:
		return set_config(d, in);
	case OID_GEN_CURRENT_LOOKAHEAD:
	case OID_GEN_NETWORK_LAYER_ADDRESSES: /* for who would answer ARP in the guest's place */
		return RNDIS_STATUS_SUCCESS;
	default:
		return RNDIS_STATUS_NOT_SUPPORTED;
	}
}

/* ---- messages ---- */

static uint32_t refuse(struct rndis_fault *fault, const char *what, uint64_t expected,
                       uint64_t actual)
{
	*fault = (struct rndis_fault){ what, expected, actual };
	return 0;
}

static uint32_t write_message(uint8_t *out, uint32_t type, const void *body, uint32_t size,
                              uint32_t more)
{
	struct rndis_header header = { type, (uint32_t)sizeof(header) + size + more };

	memcpy(out, &header, sizeof(header));
	memcpy(out + sizeof(header), body, size);
	return header.length;
}

static uint32_t on_initialize(struct rndis_device *d, const uint8_t *body, uint8_t *answer)
{
	struct rndis_initialize request;
	struct rndis_initialize_complete complete = {
		.major = RNDIS_MAJOR_VERSION,
		.minor = RNDIS_MINOR_VERSION,
		.device_flags = RNDIS_DF_CONNECTIONLESS,
		.medium = RNDIS_MEDIUM_802_3,
		.max_packets = MAX_PACKETS,
		.max_transfer = MAX_TRANSFER,
		.alignment = ALIGNMENT,
	};

	memcpy(&request, body, sizeof(request));
	complete.request_id = request.request_id;
	if (request.major != RNDIS_MAJOR_VERSION)
		complete.status = RNDIS_STATUS_BAD_VERSION;
	else
		d->initialized = true;
	return write_message(answer, RNDIS_INITIALIZE | RNDIS_COMPLETE, &complete, sizeof(complete),
	                     0);
}

static uint32_t on_query(struct rndis_device *d, const uint8_t *body, uint8_t *answer)
{
	struct data out = {
		answer + sizeof(struct rndis_header) + sizeof(struct rndis_query_complete), 0
	};
	struct rndis_query_complete complete = { .offset = sizeof(complete) };
	struct rndis_query request;

	memcpy(&request, body, sizeof(request));
	complete.request_id = request.request_id;
	complete.status = RNDIS_STATUS_NOT_READY;
	if (d->initialized)
		complete.status = query(d, request.oid, &out);
	complete.length = out.size;
	return write_message(answer, RNDIS_QUERY | RNDIS_COMPLETE, &complete, sizeof(complete),
	                     out.size);
}

static uint32_t set_status(struct rndis_device *d, const struct rndis_query *request, uint8_t *body,
                           uint32_t size)
{
	struct data in = { body + request->offset, request->length };

	if (!d->initialized)
		return RNDIS_STATUS_NOT_READY;
	if (request->offset > size || request->length > size - request->offset)
		return RNDIS_STATUS_INVALID_LENGTH;
	return set(d, request->oid, &in);
}

static uint32_t on_set(struct rndis_device *d, uint8_t *body, uint32_t size, uint8_t *answer)
{
	struct rndis_set_complete complete;
	struct rndis_query request;

	memcpy(&request, body, sizeof(request));
	complete.request_id = request.request_id;
	complete.status = set_status(d, &request, body, size);
	return write_message(answer, RNDIS_SET | RNDIS_COMPLETE, &complete, sizeof(complete), 0);
}

static uint32_t on_keepalive(const uint8_t *body, uint8_t *answer)
{
	struct rndis_set_complete complete = { .status = RNDIS_STATUS_SUCCESS };

	memcpy(&complete.request_id, body, sizeof(complete.request_id));
	return write_message(answer, RNDIS_KEEPALIVE | RNDIS_COMPLETE, &complete, sizeof(complete),
	                     0);
}

/* Nothing is lost but what the driver set, which it is told to set anew. */
static uint32_t on_reset(struct rndis_device *d, uint8_t *answer)
{
	const struct rndis_reset_complete complete = { RNDIS_STATUS_SUCCESS, 1 };

	rndis_reset_device(d);
	d->initialized = true;
	return write_message(answer, RNDIS_RESET | RNDIS_COMPLETE, &complete, sizeof(complete), 0);
}

static uint32_t least_body(uint32_t type)
{
	switch (type) {
	case RNDIS_INITIALIZE:
		return sizeof(struct rndis_initialize);
	case RNDIS_QUERY:
	case RNDIS_SET:
		return sizeof(struct rndis_query);
	default: /* a request id, or something reserved */
		return 4;
	}
}

uint32_t rndis_control(struct rndis_device *d, const uint8_t *message, uint32_t size,
                       uint8_t answer[RNDIS_ANSWER_MAX], struct rndis_fault *fault)
{
	uint8_t body[RNDIS_CONTROL_MAX] = { 0 };
	struct rndis_header header;

	if (size < sizeof(header))
		return refuse(fault, "size of a message", sizeof(header), size);
	memcpy(&header, message, sizeof(header));
	if (header.length < sizeof(header) || header.length > size)
		return refuse(fault, "length of a message", size, header.length);
	size = header.length - (uint32_t)sizeof(header);
	if (size < least_body(header.type) || size > sizeof(body))
		return refuse(fault, "length of a control message", least_body(header.type), size);
	memcpy(body, message + sizeof(header), size);
	switch (header.type) {
	case RNDIS_INITIALIZE:
		return on_initialize(d, body, answer);
	case RNDIS_QUERY:
		return on_query(d, body, answer);
	case RNDIS_SET:
		return on_set(d, body, size, answer);
	case RNDIS_RESET:
		return on_reset(d, answer);
	case RNDIS_KEEPALIVE:
		return on_keepalive(body, answer);
	case RNDIS_HALT: /* drivers wait for no answer */
		rndis_reset_device(d);
		return 0;
	default:
		return refuse(fault, "type of a message", RNDIS_KEEPALIVE, header.type);
	}
}

uint32_t rndis_indicate(uint32_t status, const void *data, uint32_t size,
                        uint8_t message[RNDIS_ANSWER_MAX])
{
	const struct rndis_indicate_status indicate = { status, size, size ? sizeof(indicate) : 0 };
	uint32_t length =
		write_message(message, RNDIS_INDICATE_STATUS, &indicate, sizeof(indicate), size);

	if (size)
		memcpy(message + length - size, data, size);
	return length;
}

void rndis_reset_device(struct rndis_device *d)
{
	d->initialized = false;
	d->filter = 0;
	d->multicast_count = 0;
	d->offloads = OFFLOADS_ALL;
	d->offloads_changed = false;
	memset(&d->rss, 0, sizeof(d->rss));
}

/* ---- the filter ---- */

static bool in_multicast_list(const struct rndis_device *d, const uint8_t *address)
{
	uint32_t i;

	for (i = 0; i < d->multicast_count; i++) {
		if (!memcmp(d->multicast[i], address, NET_ADDRESS))
			return true;
	}
	return false;
}

bool rndis_filter_passes(const struct rndis_device *d, const uint8_t address[NET_ADDRESS])
{
	static const uint8_t broadcast[NET_ADDRESS] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	if (d->filter & NDIS_PACKET_TYPE_PROMISCUOUS)
		return true;
	if (!memcmp(address, broadcast, NET_ADDRESS))
		return d->filter & NDIS_PACKET_TYPE_BROADCAST;
	if (!(address[0] & 1))
		return d->filter & NDIS_PACKET_TYPE_DIRECTED &&
		       (!memcmp(address, d->address, NET_ADDRESS) ||
		        !memcmp(address, d->permanent_address, NET_ADDRESS));
	if (d->filter & NDIS_PACKET_TYPE_ALL_MULTICAST)
		return true;
	return d->filter & NDIS_PACKET_TYPE_MULTICAST && in_multicast_list(d, address);
}
