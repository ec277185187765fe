/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_IC_IC_PROTOCOL_H
#define DEVICES_IC_IC_PROTOCOL_H

/*
 * What a host and the integration components of its guest say to each other. Each component is a
 * channel of its own, a pipe in message mode; each message begins with struct ic_header. The host
 * asks and the guest answers, first about versions.
 *
 * Sources: Linux 6.1 include/linux/hyperv.h, include/uapi/linux/hyperv.h, drivers/hv/hv_util.c,
 * hv_kvp.c, channel_mgmt.c (vmbus_prep_negotiate_resp); OpenVMM vm/devices/hyperv_ic_protocol;
 * FreeBSD sys/dev/hyperv/include/vmbus_icreg.h. They agree except where a comment says otherwise.
 */

#include "common/bare.h"

/* What each component is offered as, and the one instance that a guest has of it: Linux's hyperv.h,
 * OpenVMM; what lsvmbus shows on Hyper-V. */

/* 57164f39-9115-4e78-ab55-382f3bd5422d, fd149e91-82e0-4a7d-afa6-2a4166cbd7c0 */
#define IC_HEARTBEAT_INTERFACE_TYPE                                    \
	{                                                              \
		0x57164f39, 0x9115, 0x4e78,                            \
		{                                                      \
			0xab, 0x55, 0x38, 0x2f, 0x3b, 0xd5, 0x42, 0x2d \
		}                                                      \
	}
#define IC_HEARTBEAT_INSTANCE                                          \
	{                                                              \
		0xfd149e91, 0x82e0, 0x4a7d,                            \
		{                                                      \
			0xaf, 0xa6, 0x2a, 0x41, 0x66, 0xcb, 0xd7, 0xc0 \
		}                                                      \
	}

/* 0e0b6031-5213-4934-818b-38d90ced39db, b6650ff7-33bc-4840-8048-e0676786f393 */
#define IC_SHUTDOWN_INTERFACE_TYPE                                     \
	{                                                              \
		0x0e0b6031, 0x5213, 0x4934,                            \
		{                                                      \
			0x81, 0x8b, 0x38, 0xd9, 0x0c, 0xed, 0x39, 0xdb \
		}                                                      \
	}
#define IC_SHUTDOWN_INSTANCE                                           \
	{                                                              \
		0xb6650ff7, 0x33bc, 0x4840,                            \
		{                                                      \
			0x80, 0x48, 0xe0, 0x67, 0x67, 0x86, 0xf3, 0x93 \
		}                                                      \
	}

/* 9527e630-d0ae-497b-adce-e80ab0175caf, 2dd1ce17-079e-403c-b352-a1921ee207ee */
#define IC_TIMESYNC_INTERFACE_TYPE                                     \
	{                                                              \
		0x9527e630, 0xd0ae, 0x497b,                            \
		{                                                      \
			0xad, 0xce, 0xe8, 0x0a, 0xb0, 0x17, 0x5c, 0xaf \
		}                                                      \
	}
#define IC_TIMESYNC_INSTANCE                                           \
	{                                                              \
		0x2dd1ce17, 0x079e, 0x403c,                            \
		{                                                      \
			0xb3, 0x52, 0xa1, 0x92, 0x1e, 0xe2, 0x07, 0xee \
		}                                                      \
	}

/* a9a0f4e7-5a45-4d96-b827-8a841e8c03e6, 242ff919-07db-4180-9c2e-b86cb68c8c55 */
#define IC_KVP_INTERFACE_TYPE                                          \
	{                                                              \
		0xa9a0f4e7, 0x5a45, 0x4d96,                            \
		{                                                      \
			0xb8, 0x27, 0x8a, 0x84, 0x1e, 0x8c, 0x03, 0xe6 \
		}                                                      \
	}
#define IC_KVP_INSTANCE                                                \
	{                                                              \
		0x242ff919, 0x07db, 0x4180,                            \
		{                                                      \
			0x9c, 0x2e, 0xb8, 0x6c, 0xb6, 0x8c, 0x8c, 0x55 \
		}                                                      \
	}

struct ic_version {
	uint16_t major, minor;
};

#define IC_VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))

static inline uint32_t ic_version_number(struct ic_version v)
{
	return IC_VERSION(v.major, v.minor);
}

enum ic_message_type {
	IC_NEGOTIATE = 0,
	IC_HEARTBEAT = 1,
	IC_KVP = 2,
	IC_SHUTDOWN = 3,
	IC_TIMESYNC = 4,
};

/* ic_header.flags */
#define IC_TRANSACTION \
	0x1u /* an answer is wanted; Windows ignores time samples without (OpenVMM) */
#define IC_REQUEST  0x2u
#define IC_RESPONSE 0x4u

/* ic_header.status: HRESULTs. 0x80070000 and up are Win32 errors. */
#define IC_S_OK                   0x00000000u
#define IC_E_FAIL                 0x80004005u
#define IC_E_NOT_FOUND            0x80041002u /* no such network adapter */
#define IC_E_NOT_SUPPORTED        0x80070032u
#define IC_E_ALREADY_EXISTS       0x80070050u
#define IC_E_INVALID_ARGUMENT     0x80070057u
#define IC_E_DISK_FULL            0x80070070u
#define IC_E_NO_MORE_ITEMS        0x80070103u
#define IC_E_DEVICE_NOT_CONNECTED 0x8007048Fu
#define IC_E_MACHINE_LOCKED       0x800704F7u

struct ic_header {
	struct ic_version framework; /* both versions are 0 while they are negotiated */
	uint16_t type;               /* enum ic_message_type */
	struct ic_version message;
	uint16_t size; /* of what follows */
	uint32_t status;
	uint8_t transaction;
	uint8_t flags;
	uint8_t reserved[2];
};

static_assert(sizeof(struct ic_version) == 4, "");
static_assert(sizeof(struct ic_header) == 20, "");
static_assert(offsetof(struct ic_header, type) == 4, "");
static_assert(offsetof(struct ic_header, message) == 6, "");
static_assert(offsetof(struct ic_header, size) == 10, "");
static_assert(offsetof(struct ic_header, status) == 12, "");
static_assert(offsetof(struct ic_header, transaction) == 16, "");
static_assert(offsetof(struct ic_header, flags) == 17, "");

/*
 * The host lists framework versions, then message versions, oldest first: Linux 2.6.37
 * (prep_negotiate_resp) and FreeBSD's first drivers look for framework 3 in the second place. The
 * guest answers with one of each, or with counts of 0 when it shares none (Linux).
 */
struct ic_negotiation {
	uint16_t framework_count, message_count;
	uint32_t reserved;
	/* struct ic_version of all of them follow */
};

static_assert(sizeof(struct ic_negotiation) == 8, "");

/* ---- heartbeat ---- */

/* What the guest says of itself; OpenVMM. Linux leaves what the host sent: unknown. */
enum ic_heartbeat_health {
	IC_HEALTH_UNKNOWN = 0,
	IC_HEALTH_HEALTHY = 1,
	IC_HEALTH_CRITICAL = 2,
	IC_HEALTH_STOPPED = 3,
};

/* OpenVMM knows the first 16 bytes; Linux and FreeBSD 40, of which they require 8. */
struct ic_heartbeat {
	uint64_t sequence; /* the guest answers with one more */
	uint32_t health;
	uint32_t reserved[7];
};

static_assert(sizeof(struct ic_heartbeat) == 40, "");
static_assert(offsetof(struct ic_heartbeat, health) == 8, "");

/* ---- shutdown ---- */

/* ic_shutdown.flags: without RESTART or HIBERNATE, power off. Linux takes RESTART from 3.1 on and
 * HIBERNATE from 3.2 on: what it added with these versions. */
#define IC_SHUTDOWN_FORCE     0x1u
#define IC_SHUTDOWN_RESTART   0x2u
#define IC_SHUTDOWN_HIBERNATE 0x4u

#define IC_SHUTDOWN_REASON_PLANNED 0x80000000u /* SHTDN_REASON_FLAG_PLANNED */
#define IC_SHUTDOWN_TEXT           1024u

/* The sources have 2048 bytes of text; Windows' strings are UTF-16, so here they are. */
struct ic_shutdown {
	uint32_t reason;
	uint32_t timeout_seconds;
	uint32_t flags;
	uint16_t text[IC_SHUTDOWN_TEXT];
};

static_assert(sizeof(struct ic_shutdown) == 2060, "");
static_assert(offsetof(struct ic_shutdown, flags) == 8, "");
static_assert(offsetof(struct ic_shutdown, text) == 12, "");

/* ---- time ---- */

#define IC_TIME_SYNC   0x1u /* set your clock to this */
#define IC_TIME_SAMPLE 0x2u

/* Times are in 100 ns; `host` since 1601-01-01 UTC. Packed: OpenVMM has 28 bytes, Linux and FreeBSD
 * read the first 25. */
#pragma pack(push, 1) /* what tcc knows, too */
struct ic_timesync_old {
	uint64_t host;
	uint64_t guest; /* unused */
	uint64_t round_trip;
	uint8_t flags;
	uint8_t reserved[3];
};
#pragma pack(pop)

/* From 4.0 on. OpenVMM has 24 bytes, Linux and FreeBSD read the first 22. */
struct ic_timesync {
	uint64_t host;
	uint64_t reference; /* the partition's reference counter at that moment */
	uint8_t flags;
	uint8_t leap; /* as NTP has them */
	uint8_t stratum;
	uint8_t reserved[5];
};

static_assert(sizeof(struct ic_timesync_old) == 28, "");
static_assert(offsetof(struct ic_timesync_old, round_trip) == 16, "");
static_assert(offsetof(struct ic_timesync_old, flags) == 24, "");
static_assert(sizeof(struct ic_timesync) == 24, "");
static_assert(offsetof(struct ic_timesync, reference) == 8, "");
static_assert(offsetof(struct ic_timesync, flags) == 16, "");
static_assert(offsetof(struct ic_timesync, stratum) == 18, "");

/* ---- key-value pairs ---- */

enum ic_kvp_operation {
	IC_KVP_GET = 0,
	IC_KVP_SET = 1,
	IC_KVP_DELETE = 2,
	IC_KVP_ENUMERATE = 3,
	IC_KVP_GET_IP = 4,
	IC_KVP_SET_IP = 5,
};

/* As in the registry. Linux's header has 8 for the last and never sends it; OpenVMM and the
 * registry have 11. */
enum ic_kvp_type {
	IC_KVP_STRING = 1,
	IC_KVP_EXPAND_STRING = 2,
	IC_KVP_U32 = 4,
	IC_KVP_U64 = 11,
};

#define IC_KVP_KEY_BYTES   512u /* of UTF-16, with the NUL */
#define IC_KVP_VALUE_BYTES 2048u

struct ic_kvp_value {
	uint32_t type;       /* enum ic_kvp_type */
	uint32_t key_size;   /* in bytes, with the NUL */
	uint32_t value_size; /* likewise where it is a string */
	uint16_t key[IC_KVP_KEY_BYTES / 2];
	union {
		uint16_t text[IC_KVP_VALUE_BYTES / 2];
		uint8_t bytes[IC_KVP_VALUE_BYTES];
	};
};

struct ic_kvp_delete {
	uint32_t key_size;
	uint16_t key[IC_KVP_KEY_BYTES / 2];
};

struct ic_kvp_enumerate {
	uint32_t index;
	struct ic_kvp_value value;
};

struct ic_kvp {
	uint8_t operation; /* enum ic_kvp_operation */
	uint8_t pool;
	uint16_t reserved;
	union {
		struct ic_kvp_value value; /* GET, SET */
		struct ic_kvp_delete del;
		struct ic_kvp_enumerate enumerate;
	};
};

static_assert(sizeof(struct ic_kvp_value) == 2572, "");
static_assert(offsetof(struct ic_kvp_value, key) == 12, "");
static_assert(offsetof(struct ic_kvp_value, text) == 524, "");
static_assert(sizeof(struct ic_kvp_delete) == 516, "");
static_assert(sizeof(struct ic_kvp_enumerate) == 2576, "");
static_assert(offsetof(struct ic_kvp, value) == 4, "");
static_assert(sizeof(struct ic_kvp) == 2580, "");

/* The address family of the IP messages. */
#define IC_KVP_IPV4 0x1u
#define IC_KVP_IPV6 0x2u

#define IC_KVP_ADAPTER  128u
#define IC_KVP_IP_TEXT  1024u
#define IC_KVP_GATEWAYS 512u

/* GET_IP and SET_IP before 5.0: strings, lists separated by ';'. No padding after the operation and
 * the pool: Linux's struct hv_kvp_ip_msg. */
struct ic_kvp_ip_text {
	uint8_t operation;
	uint8_t pool;
	uint16_t adapter[IC_KVP_ADAPTER];
	uint8_t family;
	uint8_t dhcp;
	uint16_t addresses[IC_KVP_IP_TEXT];
	uint16_t subnets[IC_KVP_IP_TEXT];
	uint16_t gateways[IC_KVP_GATEWAYS];
	uint16_t dns[IC_KVP_IP_TEXT];
};

static_assert(offsetof(struct ic_kvp_ip_text, adapter) == 2, "");
static_assert(offsetof(struct ic_kvp_ip_text, family) == 258, "");
static_assert(offsetof(struct ic_kvp_ip_text, addresses) == 260, "");
static_assert(offsetof(struct ic_kvp_ip_text, gateways) == 4356, "");
static_assert(sizeof(struct ic_kvp_ip_text) == 7428, "");

#define IC_KVP_IP_ADDRESSES 64u
#define IC_KVP_IP_GATEWAYS  5u

/* ic_kvp_ip_binary.origins */
#define IC_KVP_ORIGIN_UNKNOWN 0u
#define IC_KVP_ORIGIN_OTHER   1u
#define IC_KVP_ORIGIN_STATIC  2u

/* From 5.0 on, in a message of the same 7428 bytes (OpenVMM, the only source). */
struct ic_kvp_ip_binary {
	uint8_t operation;
	uint8_t pool;
	uint16_t reserved;
	uint32_t address_count[2]; /* IPv4, IPv6 */
	uint32_t gateway_count[2];
	uint32_t dns_count[2];
	uint16_t adapter[IC_KVP_ADAPTER];
	uint8_t family;
	uint8_t dhcp;
	uint16_t reserved2;
	uint8_t addresses4[IC_KVP_IP_ADDRESSES][4];
	uint8_t addresses6[IC_KVP_IP_ADDRESSES][16];
	uint8_t subnets4[IC_KVP_IP_ADDRESSES][4];
	uint32_t prefixes6[IC_KVP_IP_ADDRESSES];
	uint8_t gateways4[IC_KVP_IP_GATEWAYS][4];
	uint8_t gateways6[IC_KVP_IP_GATEWAYS][16];
	uint8_t dns4[IC_KVP_IP_ADDRESSES][4];
	uint8_t dns6[IC_KVP_IP_ADDRESSES][16];
	uint16_t origins[2 * IC_KVP_IP_ADDRESSES]; /* of the IPv4, then of the IPv6 addresses */
};

static_assert(offsetof(struct ic_kvp_ip_binary, address_count) == 4, "");
static_assert(offsetof(struct ic_kvp_ip_binary, adapter) == 28, "");
static_assert(offsetof(struct ic_kvp_ip_binary, family) == 284, "");
static_assert(offsetof(struct ic_kvp_ip_binary, addresses4) == 288, "");
static_assert(offsetof(struct ic_kvp_ip_binary, gateways4) == 2080, "");
static_assert(offsetof(struct ic_kvp_ip_binary, origins) == 3460, "");
static_assert(sizeof(struct ic_kvp_ip_binary) == 3716, "");

#define IC_KVP_IP_BYTES sizeof(struct ic_kvp_ip_text) /* of either */

#endif
