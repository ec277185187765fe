/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_NET_RNDIS_PROTOCOL_H
#define DEVICES_NET_RNDIS_PROTOCOL_H

/*
 * Remote NDIS as Hyper-V's network adapters speak it, and the NDIS objects in it.
 * Sources: Linux 6.1 drivers/net/hyperv/hyperv_net.h and include/linux/rndis.h; OpenVMM
 * vm/devices/net/netvsp/src/rndisprot.rs; Microsoft's documentation of the OIDs and of
 * NDIS_OFFLOAD, NDIS_OFFLOAD_PARAMETERS, NDIS_RECEIVE_SCALE_PARAMETERS, NDIS_STATISTICS_INFO.
 */

#include "common/bare.h"

enum rndis_type {
	RNDIS_PACKET = 0x1,
	RNDIS_INITIALIZE = 0x2,
	RNDIS_HALT = 0x3,
	RNDIS_QUERY = 0x4,
	RNDIS_SET = 0x5,
	RNDIS_RESET = 0x6,
	RNDIS_INDICATE_STATUS = 0x7,
	RNDIS_KEEPALIVE = 0x8,
};
#define RNDIS_COMPLETE 0x80000000u /* the answer's type */

#define RNDIS_STATUS_SUCCESS          0x00000000u
#define RNDIS_STATUS_MEDIA_CONNECT    0x4001000bu
#define RNDIS_STATUS_MEDIA_DISCONNECT 0x4001000cu
#define RNDIS_STATUS_LINK_SPEED       0x40010013u
#define RNDIS_STATUS_OFFLOAD_CONFIG   0x40020006u /* of the task offloads, as they are now */
#define RNDIS_STATUS_FAILURE          0xc0000001u
#define RNDIS_STATUS_NOT_SUPPORTED    0xc00000bbu
#define RNDIS_STATUS_BAD_VERSION      0xc0010004u
#define RNDIS_STATUS_MULTICAST_FULL   0xc0010009u
#define RNDIS_STATUS_NOT_READY        0xc0010011u /* before INITIALIZE */
#define RNDIS_STATUS_INVALID_LENGTH   0xc0010014u
#define RNDIS_STATUS_INVALID_DATA     0xc0010015u

#define RNDIS_MAJOR_VERSION     1u
#define RNDIS_MINOR_VERSION     0u
#define RNDIS_DF_CONNECTIONLESS 0x1u
#define RNDIS_MEDIUM_802_3      0u

struct rndis_header {
	uint32_t type;
	uint32_t length; /* of the whole message */
};

/* Each of these follows a header. Offsets in them count from where they begin themselves. */

struct rndis_initialize {
	uint32_t request_id;
	uint32_t major, minor;
	uint32_t max_transfer;
};

struct rndis_initialize_complete {
	uint32_t request_id;
	uint32_t status;
	uint32_t major, minor;
	uint32_t device_flags;
	uint32_t medium;
	uint32_t max_packets; /* of one message */
	uint32_t max_transfer;
	uint32_t alignment; /* a power of two */
	uint32_t af_list_offset, af_list_size;
};

struct rndis_query { /* and SET */
	uint32_t request_id;
	uint32_t oid;
	uint32_t length, offset; /* of the OID's data */
	uint32_t vc_handle;
};

struct rndis_query_complete {
	uint32_t request_id;
	uint32_t status;
	uint32_t length, offset;
};

struct rndis_set_complete { /* and KEEPALIVE */
	uint32_t request_id;
	uint32_t status;
};

struct rndis_reset_complete {
	uint32_t status;
	uint32_t addressing_reset; /* not 0: the filter has to be set anew */
};

struct rndis_indicate_status {
	uint32_t status;
	uint32_t length, offset;
};

struct rndis_packet {
	uint32_t data_offset, data_length;
	uint32_t oob_offset, oob_length, oob_count; /* never used */
	uint32_t info_offset, info_length;          /* per-packet information */
	uint32_t vc_handle;
	uint32_t reserved;
};

static_assert(sizeof(struct rndis_header) == 8, "");
static_assert(sizeof(struct rndis_initialize) == 16, "");
static_assert(sizeof(struct rndis_initialize_complete) == 44, "");
static_assert(offsetof(struct rndis_initialize_complete, max_packets) == 24, "");
static_assert(offsetof(struct rndis_initialize_complete, alignment) == 32, "");
static_assert(sizeof(struct rndis_query) == 20, "");
static_assert(offsetof(struct rndis_query, length) == 8, "");
static_assert(sizeof(struct rndis_query_complete) == 16, "");
static_assert(sizeof(struct rndis_set_complete) == 8, "");
static_assert(sizeof(struct rndis_reset_complete) == 8, "");
static_assert(sizeof(struct rndis_indicate_status) == 12, "");
static_assert(sizeof(struct rndis_packet) == 36, "");
static_assert(offsetof(struct rndis_packet, info_offset) == 20, "");

/* ---- per-packet information ---- */

struct rndis_packet_info {
	uint32_t size; /* of this and the value */
	uint32_t type; /* RNDIS_INFO_*; the top bit: of RNDIS's own types, not NDIS's */
	uint32_t value_offset;
};
static_assert(sizeof(struct rndis_packet_info) == 12, "");

#define RNDIS_INFO_CHECKSUM   0u
#define RNDIS_INFO_LARGE_SEND 2u
#define RNDIS_INFO_VLAN       6u
#define RNDIS_INFO_HASH       8u /* the place of the packet cancel id in older NDIS */

/* The value of RNDIS_INFO_CHECKSUM on its way out ... */
#define RNDIS_TX_IPV4             (1u << 0)
#define RNDIS_TX_IPV6             (1u << 1)
#define RNDIS_TX_TCP_CHECKSUM     (1u << 2)
#define RNDIS_TX_UDP_CHECKSUM     (1u << 3)
#define RNDIS_TX_IP_CHECKSUM      (1u << 4)
#define RNDIS_TX_TCP_OFFSET_SHIFT 16u /* 10 bits */

/* ... and in. */
#define RNDIS_RX_TCP_FAILED (1u << 0)
#define RNDIS_RX_UDP_FAILED (1u << 1)
#define RNDIS_RX_IP_FAILED  (1u << 2)
#define RNDIS_RX_TCP_GOOD   (1u << 3)
#define RNDIS_RX_UDP_GOOD   (1u << 4)
#define RNDIS_RX_IP_GOOD    (1u << 5)

/* The value of RNDIS_INFO_LARGE_SEND, version 2. */
#define RNDIS_LSO_MSS_MASK         0xfffffu
#define RNDIS_LSO_TCP_OFFSET_SHIFT 20u /* 10 bits */
#define RNDIS_LSO_V2               (1u << 30)
#define RNDIS_LSO_IPV6             (1u << 31)

/* The value of RNDIS_INFO_VLAN. */
#define RNDIS_VLAN_PRIORITY_MASK 0x7u
#define RNDIS_VLAN_DEI           (1u << 3)
#define RNDIS_VLAN_ID_SHIFT      4u /* 12 bits */

/* ---- OIDs ---- */

enum rndis_oid {
	OID_GEN_SUPPORTED_LIST = 0x00010101,
	OID_GEN_HARDWARE_STATUS = 0x00010102,
	OID_GEN_MEDIA_SUPPORTED = 0x00010103,
	OID_GEN_MEDIA_IN_USE = 0x00010104,
	OID_GEN_MAXIMUM_LOOKAHEAD = 0x00010105,
	OID_GEN_MAXIMUM_FRAME_SIZE = 0x00010106,
	OID_GEN_LINK_SPEED = 0x00010107,
	OID_GEN_TRANSMIT_BUFFER_SPACE = 0x00010108,
	OID_GEN_RECEIVE_BUFFER_SPACE = 0x00010109,
	OID_GEN_TRANSMIT_BLOCK_SIZE = 0x0001010a,
	OID_GEN_RECEIVE_BLOCK_SIZE = 0x0001010b,
	OID_GEN_VENDOR_ID = 0x0001010c,
	OID_GEN_VENDOR_DESCRIPTION = 0x0001010d,
	OID_GEN_CURRENT_PACKET_FILTER = 0x0001010e,
	OID_GEN_CURRENT_LOOKAHEAD = 0x0001010f,
	OID_GEN_DRIVER_VERSION = 0x00010110,
	OID_GEN_MAXIMUM_TOTAL_SIZE = 0x00010111,
	OID_GEN_MAC_OPTIONS = 0x00010113,
	OID_GEN_MEDIA_CONNECT_STATUS = 0x00010114,
	OID_GEN_MAXIMUM_SEND_PACKETS = 0x00010115,
	OID_GEN_VENDOR_DRIVER_VERSION = 0x00010116,
	OID_GEN_NETWORK_LAYER_ADDRESSES = 0x00010118,
	OID_GEN_RECEIVE_SCALE_CAPABILITIES = 0x00010203,
	OID_GEN_RECEIVE_SCALE_PARAMETERS = 0x00010204,
	OID_GEN_MAX_LINK_SPEED = 0x00010206,
	OID_GEN_LINK_STATE = 0x00010207,
	OID_GEN_RNDIS_CONFIG_PARAMETER = 0x0001021b,
	OID_GEN_XMIT_OK = 0x00020101,
	OID_GEN_RCV_OK = 0x00020102,
	OID_GEN_XMIT_ERROR = 0x00020103,
	OID_GEN_RCV_ERROR = 0x00020104,
	OID_GEN_RCV_NO_BUFFER = 0x00020105,
	OID_GEN_STATISTICS = 0x00020106,
	OID_GEN_FRIENDLY_NAME = 0x00020216,
	OID_GEN_BYTES_RCV = 0x00020219,
	OID_GEN_BYTES_XMIT = 0x0002021a,
	OID_GEN_RCV_DISCARDS = 0x0002021b,
	OID_GEN_XMIT_DISCARDS = 0x0002021c,
	OID_802_3_PERMANENT_ADDRESS = 0x01010101,
	OID_802_3_CURRENT_ADDRESS = 0x01010102,
	OID_802_3_MULTICAST_LIST = 0x01010103,
	OID_802_3_MAXIMUM_LIST_SIZE = 0x01010104,
	OID_OFFLOAD_ENCAPSULATION = 0x0101010a,
	OID_802_3_RCV_ERROR_ALIGNMENT = 0x01020101,
	OID_802_3_XMIT_ONE_COLLISION = 0x01020102,
	OID_802_3_XMIT_MORE_COLLISIONS = 0x01020103,
};
/* Past what an enum of ISO C holds. */
#define OID_TCP_OFFLOAD_CURRENT_CONFIG        0xfc01020bu
#define OID_TCP_OFFLOAD_PARAMETERS            0xfc01020cu
#define OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES 0xfc01020du

/* OID_GEN_CURRENT_PACKET_FILTER */
#define NDIS_PACKET_TYPE_DIRECTED      0x01u
#define NDIS_PACKET_TYPE_MULTICAST     0x02u
#define NDIS_PACKET_TYPE_ALL_MULTICAST 0x04u
#define NDIS_PACKET_TYPE_BROADCAST     0x08u
#define NDIS_PACKET_TYPE_PROMISCUOUS   0x20u

/* OID_GEN_MAC_OPTIONS */
#define NDIS_MAC_OPTION_COPY_LOOKAHEAD     0x001u
#define NDIS_MAC_OPTION_TRANSFERS_NOT_PEND 0x004u
#define NDIS_MAC_OPTION_NO_LOOPBACK        0x008u
#define NDIS_MAC_OPTION_8021P              0x040u
#define NDIS_MAC_OPTION_8021Q              0x200u

#define NDIS_FRIENDLY_NAME_SIZE 512u /* UTF-16, with its 0 */

/* ---- NDIS objects ---- */

struct ndis_header {
	uint8_t type, revision;
	uint16_t size;
};

#define NDIS_OBJECT_DEFAULT          0x80u
#define NDIS_OBJECT_RSS_CAPABILITIES 0x88u
#define NDIS_OBJECT_RSS_PARAMETERS   0x89u
#define NDIS_OBJECT_OFFLOAD          0xa7u
#define NDIS_OBJECT_ENCAPSULATION    0xa8u

#define NDIS_ENCAPSULATION_802_3 0x2u

#define NDIS_CHECKSUM_IP4_OPTIONS 0x001u
#define NDIS_CHECKSUM_TCP_OPTIONS 0x004u
#define NDIS_CHECKSUM_TCP         0x010u
#define NDIS_CHECKSUM_UDP         0x040u
#define NDIS_CHECKSUM_IP4         0x100u
#define NDIS_CHECKSUM_IP6_EXT     0x001u

struct ndis_checksum_offload {
	uint32_t ip4_tx_encapsulation, ip4_tx;
	uint32_t ip4_rx_encapsulation, ip4_rx;
	uint32_t ip6_tx_encapsulation, ip6_tx;
	uint32_t ip6_rx_encapsulation, ip6_rx;
};

#define NDIS_LSO_IP6_EXT     0x1u
#define NDIS_LSO_TCP_OPTIONS 0x4u

struct ndis_lso_v2 {
	uint32_t ip4_encapsulation, ip4_max_size, ip4_min_segments;
	uint32_t ip6_encapsulation, ip6_max_size, ip6_min_segments;
	uint32_t ip6_options;
};

struct ndis_offload {
	struct ndis_header header;
	struct ndis_checksum_offload checksum;
	uint32_t lso_v1[4];
	uint32_t ipsec_v1[7];
	struct ndis_lso_v2 lso_v2;
	uint32_t flags;
	/* revision 2 */
	uint32_t ipsec_v2[8];
	/* revision 3 */
	uint8_t rsc_ip4, rsc_ip6;
	uint8_t reserved[2];
	uint32_t encapsulated[2];
};

#define NDIS_OFFLOAD_SIZE_1 offsetof(struct ndis_offload, ipsec_v2)
#define NDIS_OFFLOAD_SIZE_2 offsetof(struct ndis_offload, rsc_ip4)
#define NDIS_OFFLOAD_SIZE_3 sizeof(struct ndis_offload)

static_assert(sizeof(struct ndis_header) == 4, "");
static_assert(sizeof(struct ndis_checksum_offload) == 32, "");
static_assert(sizeof(struct ndis_lso_v2) == 28, "");
static_assert(offsetof(struct ndis_offload, checksum) == 4, "");
static_assert(offsetof(struct ndis_offload, lso_v2) == 80, "");
static_assert(NDIS_OFFLOAD_SIZE_1 == 112, "");
static_assert(NDIS_OFFLOAD_SIZE_2 == 144, "");
static_assert(NDIS_OFFLOAD_SIZE_3 == 156, "");

/* ndis_offload_parameters: 0 means no change. */
#define NDIS_CHECKSUM_OFF   1u
#define NDIS_CHECKSUM_TX    2u
#define NDIS_CHECKSUM_RX    3u
#define NDIS_CHECKSUM_TX_RX 4u
#define NDIS_OFFLOAD_OFF    1u
#define NDIS_OFFLOAD_ON     2u

struct ndis_offload_parameters {
	struct ndis_header header;
	uint8_t ip4_checksum, tcp4_checksum, udp4_checksum, tcp6_checksum, udp6_checksum;
	uint8_t lso_v1, ipsec_v1;
	uint8_t lso_v2_ip4, lso_v2_ip6;
	uint8_t tcp_connection_ip4, tcp_connection_ip6;
	uint8_t reserved;
	uint32_t flags;
	/* Linux sends 22 bytes to version 4 of the protocol, and 28 later */
	uint8_t ipsec_v2, ipsec_v2_ip4;
	uint8_t rsc_ip4, rsc_ip6;
	uint8_t encapsulated, encapsulated_types;
	uint8_t reserved2[2];
};
#define NDIS_OFFLOAD_PARAMETERS_SIZE_1 offsetof(struct ndis_offload_parameters, ipsec_v2)

static_assert(NDIS_OFFLOAD_PARAMETERS_SIZE_1 == 20, "");
static_assert(offsetof(struct ndis_offload_parameters, lso_v2_ip4) == 11, "");
static_assert(offsetof(struct ndis_offload_parameters, rsc_ip4) == 22, "");
static_assert(sizeof(struct ndis_offload_parameters) == 28, "");

struct ndis_encapsulation {
	struct ndis_header header;
	uint32_t ip4_enabled, ip4_type, ip4_header_size;
	uint32_t ip6_enabled, ip6_type, ip6_header_size;
};
#define NDIS_ENCAPSULATION_ON 1u
static_assert(sizeof(struct ndis_encapsulation) == 28, "");

#define NDIS_RSS_CAPS_TCP_IP4  0x00000100u
#define NDIS_RSS_CAPS_TCP_IP6  0x00000200u
#define NDIS_HASH_TOEPLITZ     0x00000001u
#define NDIS_HASH_FUNCTION     0x000000ffu
#define NDIS_HASH_IP4          0x00000100u
#define NDIS_HASH_TCP_IP4      0x00000200u
#define NDIS_HASH_IP6          0x00000400u
#define NDIS_HASH_TCP_IP6      0x00001000u
#define NDIS_HASH_UDP_IP4      0x00004000u
#define NDIS_HASH_UDP_IP6      0x00008000u
#define NDIS_RSS_KEY_SIZE      40u
#define NDIS_RSS_TABLE_ENTRIES 128u

struct ndis_rss_capabilities {
	struct ndis_header header;
	uint32_t flags;
	uint32_t interrupt_messages;
	uint32_t receive_queues;
	uint16_t table_entries;
	uint16_t reserved;
};
/* Without the padding: Linux has no room for it. */
#define NDIS_RSS_CAPABILITIES_SIZE offsetof(struct ndis_rss_capabilities, reserved)
static_assert(NDIS_RSS_CAPABILITIES_SIZE == 18, "");

#define NDIS_RSS_HASH_INFO_UNCHANGED 0x0002u
#define NDIS_RSS_TABLE_UNCHANGED     0x0004u
#define NDIS_RSS_KEY_UNCHANGED       0x0008u
#define NDIS_RSS_DISABLE             0x0010u

struct ndis_rss_parameters {
	struct ndis_header header;
	uint16_t flags;
	uint16_t base_cpu;
	uint32_t hash;
	uint16_t table_size; /* bytes, 4 an entry */
	uint16_t reserved;
	uint32_t table_offset;
	uint16_t key_size;
	uint16_t reserved2;
	uint32_t key_offset;
	/* revision 2 */
	uint32_t masks_offset, mask_count, mask_size;
};
#define NDIS_RSS_PARAMETERS_SIZE_1 offsetof(struct ndis_rss_parameters, masks_offset)

static_assert(NDIS_RSS_PARAMETERS_SIZE_1 == 28, "");
static_assert(sizeof(struct ndis_rss_parameters) == 40, "");
static_assert(offsetof(struct ndis_rss_parameters, table_size) == 12, "");
static_assert(offsetof(struct ndis_rss_parameters, table_offset) == 16, "");
static_assert(offsetof(struct ndis_rss_parameters, key_offset) == 24, "");

/* OID_GEN_RNDIS_CONFIG_PARAMETER: a name and a value, both UTF-16. */
struct rndis_config_parameter {
	uint32_t name_offset, name_length;
	uint32_t type;
	uint32_t value_offset, value_length;
};
#define RNDIS_CONFIG_STRING 2u
static_assert(sizeof(struct rndis_config_parameter) == 20, "");

struct ndis_link_state {
	struct ndis_header header;
	uint32_t connect_state; /* 1: connected, 2: not */
	uint32_t duplex_state;
	uint32_t padding;
	uint64_t tx_speed, rx_speed; /* bits a second */
	uint32_t pause, auto_negotiation;
};
static_assert(offsetof(struct ndis_link_state, tx_speed) == 16, "");
static_assert(sizeof(struct ndis_link_state) == 40, "");

struct ndis_statistics {
	struct ndis_header header;
	uint32_t supported;
	uint64_t rx_discards, rx_errors;
	uint64_t rx_bytes, rx_unicast, rx_multicast, rx_broadcast;
	uint64_t tx_bytes, tx_unicast, tx_multicast, tx_broadcast;
	uint64_t tx_errors, tx_discards;
	uint64_t rx_unicast_bytes, rx_multicast_bytes, rx_broadcast_bytes;
	uint64_t tx_unicast_bytes, tx_multicast_bytes, tx_broadcast_bytes;
};
#define NDIS_STATISTICS_ALL 0x003f87ffu /* each NDIS_STATISTICS_FLAGS_VALID_* there is */
static_assert(sizeof(struct ndis_statistics) == 152, "");
static_assert(offsetof(struct ndis_statistics, tx_bytes) == 56, "");

#endif
