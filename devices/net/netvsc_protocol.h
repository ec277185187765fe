/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_NET_NETVSC_PROTOCOL_H
#define DEVICES_NET_NETVSC_PROTOCOL_H

/*
 * NVSP: what a Hyper-V network adapter and its driver say to each other in a channel's packets.
 * What they say inside of these is RNDIS, in rndis_protocol.h.
 * Sources: Linux 6.1 drivers/net/hyperv/hyperv_net.h and netvsc.c; OpenVMM
 * vm/devices/net/netvsp/src/protocol.rs and lib.rs; mu_msvm MsvmPkg/NetvscDxe. They agree except
 * where a comment says otherwise.
 */

#include "common/bare.h"

/* f8615163-df3e-46c5-913f-f2d2f965ed0e: the offer of a network adapter. */
#define NETVSC_INTERFACE_TYPE                                          \
	{                                                              \
		0xf8615163, 0xdf3e, 0x46c5,                            \
		{                                                      \
			0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e \
		}                                                      \
	}

#define NVSP_VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))
#define NVSP_VERSION_1             NVSP_VERSION(0, 2)
#define NVSP_VERSION_2             NVSP_VERSION(3, 2)
#define NVSP_VERSION_4             NVSP_VERSION(4, 0)
#define NVSP_VERSION_5             NVSP_VERSION(5, 0)
#define NVSP_VERSION_6             NVSP_VERSION(6, 0)
#define NVSP_VERSION_61            NVSP_VERSION(6, 1)

enum nvsp_type {
	NVSP_INIT = 1,
	NVSP_INIT_COMPLETE = 2,
	/* version 1 */
	NVSP_SEND_NDIS_VERSION = 100,
	NVSP_SEND_RECEIVE_BUFFER = 101,
	NVSP_SEND_RECEIVE_BUFFER_COMPLETE = 102,
	NVSP_REVOKE_RECEIVE_BUFFER = 103,
	NVSP_SEND_SEND_BUFFER = 104,
	NVSP_SEND_SEND_BUFFER_COMPLETE = 105,
	NVSP_REVOKE_SEND_BUFFER = 106,
	NVSP_RNDIS_PACKET = 107, /* from either end */
	NVSP_RNDIS_PACKET_COMPLETE = 108,
	/* version 2; those between are of offloads that no host has any more */
	NVSP_SEND_NDIS_CONFIG = 125,
	/* version 4 */
	NVSP_SEND_VF_ASSOCIATION = 128,
	NVSP_SWITCH_DATA_PATH = 129,
	/* version 5 */
	NVSP_OID_QUERY_EX = 131,
	NVSP_OID_QUERY_EX_COMPLETE = 132,
	NVSP_SUBCHANNEL = 133, /* the request and its answer */
	NVSP_SEND_INDIRECTION_TABLE = 134,
};

enum nvsp_status {
	NVSP_STATUS_NONE = 0,
	NVSP_STATUS_SUCCESS = 1,
	NVSP_STATUS_FAILURE = 2,
	NVSP_STATUS_INVALID_RNDIS_PACKET = 5,
	NVSP_STATUS_BUSY = 6,
};

/* nvsp_init_complete.negotiated_version, which means nothing any more but in version 1 (OpenVMM).
 */
#define NVSP_VERSION_INVALID 0xffffffffu

struct nvsp_init {
	uint32_t version,
		version2; /* once the lowest and the highest; drivers say the same twice */
};

struct nvsp_init_complete {
	uint32_t negotiated_version;
	uint32_t max_mdl_chain; /* MDLs of one packet */
	uint32_t status;
};

struct nvsp_ndis_version {
	uint32_t major, minor;
};
#define NVSP_NDIS_VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))

struct nvsp_buffer { /* the receive buffer or the send buffer */
	uint32_t gpadl;
	uint16_t id;
	uint16_t reserved;
};

struct nvsp_receive_section {
	uint32_t offset;
	uint32_t slot_size;
	uint32_t slot_count;
	uint32_t end_offset;
};

struct nvsp_receive_buffer_complete {
	uint32_t status;
	uint32_t section_count; /* 1: drivers take no other */
	struct nvsp_receive_section section;
};

struct nvsp_revoke {
	uint16_t id;
	uint16_t reserved;
};

struct nvsp_send_buffer_complete {
	uint32_t status;
	uint32_t section_size;
};

#define NVSP_CHANNEL_DATA    0u
#define NVSP_CHANNEL_CONTROL 1u
#define NVSP_NO_SECTION      0xffffffffu

struct nvsp_rndis_packet {
	uint32_t channel_type;
	/* Of the send buffer: where the message begins; what the packet refers to follows it. */
	uint32_t section_index;
	uint32_t section_bytes;
};

struct nvsp_rndis_packet_complete {
	uint32_t status;
};

#pragma pack(push, 4) /* what tcc knows, too */
struct nvsp_ndis_config {
	uint32_t mtu; /* with the Ethernet header */
	uint32_t reserved;
	uint64_t capabilities;
};
#pragma pack(pop)

#define NVSP_CAPABILITY_VLAN    (1u << 3)
#define NVSP_CAPABILITY_TEAMING (1u << 5)
#define NVSP_CAPABILITY_RSC     (1u << 7)

struct nvsp_switch_data_path {
	uint32_t path; /* 0: this adapter; 1: a virtual function of another */
};

struct nvsp_oid_query_ex {
	uint32_t header;
	uint32_t oid;
};

struct nvsp_oid_query_ex_complete {
	uint32_t status; /* an RNDIS status */
	uint32_t bytes;
};

#define NVSP_SUBCHANNEL_ALLOCATE 1u

struct nvsp_subchannel_request {
	uint32_t operation;
	uint32_t count;
};

struct nvsp_subchannel_complete {
	uint32_t status;
	uint32_t count;
};

/* Which channel the driver shall send a flow on. Linux takes tables of this size alone. */
#define NVSP_INDIRECTION_ENTRIES 16u

struct nvsp_indirection_table {
	uint32_t count;
	uint32_t offset; /* from the beginning of the message */
};

struct nvsp_message {
	uint32_t type;
	union {
		struct nvsp_init init;
		struct nvsp_init_complete init_complete;
		struct nvsp_ndis_version ndis_version;
		struct nvsp_buffer buffer;
		struct nvsp_receive_buffer_complete receive_buffer_complete;
		struct nvsp_revoke revoke;
		struct nvsp_send_buffer_complete send_buffer_complete;
		struct nvsp_rndis_packet rndis_packet;
		struct nvsp_rndis_packet_complete rndis_packet_complete;
		struct nvsp_ndis_config ndis_config;
		struct nvsp_switch_data_path switch_data_path;
		struct nvsp_oid_query_ex oid_query_ex;
		struct nvsp_oid_query_ex_complete oid_query_ex_complete;
		struct nvsp_subchannel_request subchannel_request;
		struct nvsp_subchannel_complete subchannel_complete;
		struct nvsp_indirection_table indirection_table;
		uint8_t bytes[36];
	};
};

/*
 * A message has one size, whatever is in it: with version 6.1 it grew (OpenVMM PACKET_SIZE_V1,
 * PACKET_SIZE_V61). Linux looks at the size of each answer as if it were the largest.
 */
#define NVSP_MESSAGE_SIZE_1  28u
#define NVSP_MESSAGE_SIZE_61 40u

static_assert(sizeof(struct nvsp_message) == NVSP_MESSAGE_SIZE_61, "");
static_assert(offsetof(struct nvsp_message, bytes) == 4, "");
static_assert(sizeof(struct nvsp_init) == 8, "");
static_assert(sizeof(struct nvsp_init_complete) == 12, "");
static_assert(offsetof(struct nvsp_init_complete, status) == 8, "");
static_assert(sizeof(struct nvsp_ndis_version) == 8, "");
static_assert(sizeof(struct nvsp_buffer) == 8, "");
static_assert(offsetof(struct nvsp_buffer, id) == 4, "");
static_assert(sizeof(struct nvsp_receive_section) == 16, "");
static_assert(offsetof(struct nvsp_receive_section, slot_size) == 4, "");
static_assert(offsetof(struct nvsp_receive_section, slot_count) == 8, "");
static_assert(sizeof(struct nvsp_receive_buffer_complete) == 24, "");
static_assert(offsetof(struct nvsp_receive_buffer_complete, section) == 8, "");
static_assert(4 + sizeof(struct nvsp_receive_buffer_complete) == NVSP_MESSAGE_SIZE_1,
              "the largest");
static_assert(sizeof(struct nvsp_revoke) == 4, "");
static_assert(sizeof(struct nvsp_send_buffer_complete) == 8, "");
static_assert(sizeof(struct nvsp_rndis_packet) == 12, "");
static_assert(offsetof(struct nvsp_rndis_packet, section_bytes) == 8, "");
static_assert(sizeof(struct nvsp_rndis_packet_complete) == 4, "");
static_assert(sizeof(struct nvsp_ndis_config) == 16, "");
static_assert(offsetof(struct nvsp_ndis_config, capabilities) == 8, "");
static_assert(sizeof(struct nvsp_switch_data_path) == 4, "");
static_assert(sizeof(struct nvsp_oid_query_ex) == 8, "");
static_assert(sizeof(struct nvsp_oid_query_ex_complete) == 8, "");
static_assert(sizeof(struct nvsp_subchannel_request) == 8, "");
static_assert(sizeof(struct nvsp_subchannel_complete) == 8, "");
static_assert(sizeof(struct nvsp_indirection_table) == 8, "");

#endif
