/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

/*
 * The channel protocol's messages as bytes. All numbers are little-endian; a message starts with
 * its type and has no length of its own (the hypervisor's message carries it).
 *
 * Sources: mu_msvm MsvmPkg/VmbusDxe/ChannelMessages.h; Linux include/linux/hyperv.h (struct
 * vmbus_channel_*); OpenVMM vmbus_core/src/protocol.rs (which message and field since which
 * version). Where they disagree, the comment at the field says so.
 */

#include "wire/bare.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WIRE_MESSAGE_MAX 240u /* the payload of a hypervisor message */

/* Connection ids and the like that both ends know beforehand. */
#define WIRE_CONNECTION_MESSAGE     1u /* guest to host messages before 5.0 */
#define WIRE_CONNECTION_EVENT       2u /* signals for channels without an interrupt of their own */
#define WIRE_CONNECTION_MULTICLIENT 4u /* INITIATE_CONTACT from 5.0 on */
#define WIRE_CONNECTION_ID_MAX      0xffffffu
#define WIRE_SINT_DEFAULT           2u
#define WIRE_SINT_MAX               15u
#define WIRE_CHANNEL_ID_MAX         2047u /* event flag 0 stands for the interrupt page */
#define WIRE_EVENT_FLAG_MAX         2047u
#define WIRE_MONITOR_IDS            128u /* four groups of 32 bits */
#define WIRE_MONITOR_ID_NONE        0xffu
#define WIRE_VP_NO_INTERRUPT        0xffffffffu

#define WIRE_VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))
#define WIRE_VERSION_0_13          WIRE_VERSION(0, 13) /* Windows Server 2008 */
#define WIRE_VERSION_1_1           WIRE_VERSION(1, 1)  /* Windows 7 */
#define WIRE_VERSION_2_4           WIRE_VERSION(2, 4) /* Windows 8: interrupts of their own, subchannels */
#define WIRE_VERSION_3_0           WIRE_VERSION(3, 0) /* Windows 8.1: the guest says where messages go */
#define WIRE_VERSION_4_0           WIRE_VERSION(4, 0) /* Windows 10: TL connect */
#define WIRE_VERSION_4_1           WIRE_VERSION(4, 1) /* MODIFY_CHANNEL, TL connect results */
#define WIRE_VERSION_5_0           WIRE_VERSION(5, 0) /* target SINT, message connection ids */
#define WIRE_VERSION_5_1           WIRE_VERSION(5, 1) /* target VTL */
#define WIRE_VERSION_5_2           WIRE_VERSION(5, 2) /* silo ids in TL connect */
#define WIRE_VERSION_5_3           WIRE_VERSION(5, 3) /* MODIFY_CHANNEL is answered */
#define WIRE_VERSION_6_0           WIRE_VERSION(6, 0) /* feature flags */

#define WIRE_VERSION_COUNT 11u
extern const uint32_t wire_versions[WIRE_VERSION_COUNT]; /* newest first */
bool wire_version_known(uint32_t version);
/* The newest known version below `version`, or 0. */
uint32_t wire_version_below(uint32_t version);

#define WIRE_FEATURE_SIGNAL_PARAMETERS     0x01u /* event flag and connection id in OPEN_CHANNEL */
#define WIRE_FEATURE_INTERRUPT_REDIRECTION 0x02u
#define WIRE_FEATURE_MODIFY_CONNECTION     0x04u
#define WIRE_FEATURE_CLIENT_ID             0x08u
#define WIRE_FEATURE_CONFIDENTIAL          0x10u
#define WIRE_FEATURE_PAUSE_RESUME          0x20u
#define WIRE_FEATURE_SERVER_MONITOR_PAGES  0x40u
#define WIRE_FEATURE_PINNED_MEMORY         0x80u

enum wire_message_type {
	WIRE_OFFER_CHANNEL = 1,
	WIRE_RESCIND_CHANNEL_OFFER = 2,
	WIRE_REQUEST_OFFERS = 3,
	WIRE_ALL_OFFERS_DELIVERED = 4,
	WIRE_OPEN_CHANNEL = 5,
	WIRE_OPEN_CHANNEL_RESULT = 6,
	WIRE_CLOSE_CHANNEL = 7,
	WIRE_GPADL_HEADER = 8,
	WIRE_GPADL_BODY = 9,
	WIRE_GPADL_CREATED = 10,
	WIRE_GPADL_TEARDOWN = 11,
	WIRE_GPADL_TORNDOWN = 12,
	WIRE_RELID_RELEASED = 13,
	WIRE_INITIATE_CONTACT = 14,
	WIRE_VERSION_RESPONSE = 15,
	WIRE_UNLOAD = 16,
	WIRE_UNLOAD_COMPLETE = 17,
	WIRE_OPEN_RESERVED_CHANNEL = 18,
	WIRE_CLOSE_RESERVED_CHANNEL = 19,
	WIRE_CLOSE_RESERVED_RESPONSE = 20,
	WIRE_TL_CONNECT_REQUEST = 21,
	WIRE_MODIFY_CHANNEL = 22,
	WIRE_TL_CONNECT_RESULT = 23,
	WIRE_MODIFY_CHANNEL_RESPONSE = 24,
	WIRE_MODIFY_CONNECTION = 25,
	WIRE_MODIFY_CONNECTION_RESPONSE = 26,
	WIRE_PAUSE = 27,
	WIRE_PAUSE_RESPONSE = 28,
	WIRE_RESUME = 29,
	WIRE_MESSAGE_TYPES
};

struct wire_message_header {
	uint32_t type; /* enum wire_message_type */
	uint32_t padding;
};
static_assert(sizeof(struct wire_message_header) == 8, "ABI");

/* REQUEST_OFFERS, ALL_OFFERS_DELIVERED, UNLOAD, UNLOAD_COMPLETE, PAUSE, PAUSE_RESPONSE and RESUME
 * are a header and nothing else. */

struct wire_offer_channel {
	struct wire_message_header header;
	uint8_t interface_type[16];
	uint8_t interface_instance[16];
	uint32_t reserved[4];
	uint16_t flags; /* WIRE_OFFER_FLAG_* */
	uint16_t mmio_megabytes;
	uint8_t user_defined[120];
	uint16_t subchannel_index; /* since 2.4 */
	uint16_t mmio_megabytes_optional;
	uint32_t channel_id;
	uint8_t monitor_id;
	uint8_t monitor_allocated;    /* bit 0 */
	uint16_t dedicated_interrupt; /* bit 0; this and the next since 1.1 */
	uint32_t connection_id;
};
#define WIRE_OFFER_CHANNEL_SIZE_0_13 190u
#define WIRE_OFFER_CHANNEL_SIZE      196u
static_assert(offsetof(struct wire_offer_channel, interface_instance) == 24, "ABI");
static_assert(offsetof(struct wire_offer_channel, flags) == 56, "ABI");
static_assert(offsetof(struct wire_offer_channel, user_defined) == 60, "ABI");
static_assert(offsetof(struct wire_offer_channel, subchannel_index) == 180, "ABI");
static_assert(offsetof(struct wire_offer_channel, channel_id) == 184, "ABI");
static_assert(offsetof(struct wire_offer_channel, monitor_id) == 188, "ABI");
static_assert(offsetof(struct wire_offer_channel, dedicated_interrupt) ==
                      WIRE_OFFER_CHANNEL_SIZE_0_13,
              "ABI");
static_assert(offsetof(struct wire_offer_channel, connection_id) == 192, "ABI");
static_assert(sizeof(struct wire_offer_channel) == WIRE_OFFER_CHANNEL_SIZE, "ABI");

/* Bits 1 and 2 had other meanings once (Linux: SUPPORTS_TRANSFER_PAGES, SUPPORTS_GPADLS); with
 * 6.0 they are the confidential flags (mu_msvm). kmcl sends neither. */
#define WIRE_OFFER_FLAG_ENUMERATE_DEVICE_INTERFACE 0x0001u
#define WIRE_OFFER_FLAG_CONFIDENTIAL_RING          0x0002u
#define WIRE_OFFER_FLAG_CONFIDENTIAL_MEMORY        0x0004u
#define WIRE_OFFER_FLAG_NAMED_PIPE_MODE            0x0010u
#define WIRE_OFFER_FLAG_LOOPBACK_OFFER             0x0100u
#define WIRE_OFFER_FLAG_TLNPI_PROVIDER             0x2000u /* since 4.0 */

/* RESCIND_CHANNEL_OFFER, CLOSE_CHANNEL, RELID_RELEASED, CLOSE_RESERVED_RESPONSE. */
struct wire_channel_message {
	struct wire_message_header header;
	uint32_t channel_id;
};
static_assert(sizeof(struct wire_channel_message) == 12, "ABI");

struct wire_open_channel {
	struct wire_message_header header;
	uint32_t channel_id;
	uint32_t open_id;
	uint32_t ring_gpadl;
	uint32_t target_vp; /* since 2.4; WIRE_VP_NO_INTERRUPT */
	uint32_t ring_offset;
	uint8_t user_data[120];
	uint32_t connection_id; /* with WIRE_FEATURE_SIGNAL_PARAMETERS, as the next */
	uint16_t event_flag;
	uint16_t flags; /* with WIRE_FEATURE_INTERRUPT_REDIRECTION */
};
#define WIRE_OPEN_CHANNEL_SIZE_SHORT 148u
static_assert(offsetof(struct wire_open_channel, ring_gpadl) == 16, "ABI");
static_assert(offsetof(struct wire_open_channel, user_data) == 28, "ABI");
static_assert(offsetof(struct wire_open_channel, connection_id) == WIRE_OPEN_CHANNEL_SIZE_SHORT,
              "ABI");
static_assert(sizeof(struct wire_open_channel) == 156, "ABI");

struct wire_open_channel_result {
	struct wire_message_header header;
	uint32_t channel_id;
	uint32_t open_id;
	uint32_t status;
};
static_assert(sizeof(struct wire_open_channel_result) == 20, "ABI");

/* Followed by as much of the range buffer as the message holds. Each range in that buffer is a
 * struct wire_gpa_range and its page numbers; the buffer begins on a 4-byte boundary only. */
struct wire_gpadl_header {
	struct wire_message_header header;
	uint32_t channel_id;
	uint32_t gpadl;
	uint16_t range_bytes; /* of the whole range buffer, bodies included */
	uint16_t range_count;
};
#define WIRE_GPADL_HEADER_WORDS 27u /* that fit: 20 + 27 * 8 == 236 */
static_assert(sizeof(struct wire_gpadl_header) == 20, "ABI");

/* Followed by more of the range buffer. */
struct wire_gpadl_body {
	struct wire_message_header header;
	uint32_t message_number; /* Linux and OpenVMM send 0, and nobody reads it */
	uint32_t gpadl;
};
#define WIRE_GPADL_BODY_WORDS 28u /* that fit: 16 + 28 * 8 == 240 */
static_assert(sizeof(struct wire_gpadl_body) == 16, "ABI");

#define WIRE_GPADL_WORDS_MAX (UINT16_MAX / 8u) /* range_bytes is all there is to say it with */

struct wire_gpadl_created {
	struct wire_message_header header;
	uint32_t channel_id;
	uint32_t gpadl;
	uint32_t status;
};
static_assert(sizeof(struct wire_gpadl_created) == 20, "ABI");

struct wire_gpadl_teardown {
	struct wire_message_header header;
	uint32_t channel_id;
	uint32_t gpadl;
};
static_assert(sizeof(struct wire_gpadl_teardown) == 16, "ABI");

struct wire_gpadl_torndown {
	struct wire_message_header header;
	uint32_t gpadl;
};
static_assert(sizeof(struct wire_gpadl_torndown) == 12, "ABI");

struct wire_initiate_contact {
	struct wire_message_header header;
	uint32_t version;
	uint32_t target_vp; /* for messages; since 3.0 */
	union {
		uint64_t interrupt_page; /* before 5.0 */
		struct {
			uint8_t target_sint; /* since 5.0 */
			uint8_t target_vtl;  /* since 5.1 */
			uint8_t reserved[2];
			uint32_t feature_flags; /* since 6.0 */
		};
	};
	uint64_t monitor_page_to_guest;
	uint64_t monitor_page_to_host;
	uint8_t client_id[16]; /* with WIRE_FEATURE_CLIENT_ID */
};
#define WIRE_INITIATE_CONTACT_SIZE_SHORT 40u
static_assert(offsetof(struct wire_initiate_contact, interrupt_page) == 16, "ABI");
static_assert(offsetof(struct wire_initiate_contact, feature_flags) == 20, "ABI");
static_assert(offsetof(struct wire_initiate_contact, client_id) == WIRE_INITIATE_CONTACT_SIZE_SHORT,
              "ABI");
static_assert(sizeof(struct wire_initiate_contact) == 56, "ABI");

struct wire_version_response {
	struct wire_message_header header;
	uint8_t version_supported;
	uint8_t connection_state; /* WIRE_CONNECTION_STATE_*; since 2.4 */
	uint16_t padding;
	union {
		uint32_t selected_version;
		uint32_t message_connection_id; /* since 5.0 */
	};
	uint32_t feature_flags; /* since 6.0 */
	uint32_t padding2;      /* with WIRE_FEATURE_SERVER_MONITOR_PAGES, as the next two */
	uint64_t monitor_page_to_guest;
	uint64_t monitor_page_to_host;
};
#define WIRE_VERSION_RESPONSE_SIZE     16u
#define WIRE_VERSION_RESPONSE_SIZE_6_0 20u
static_assert(offsetof(struct wire_version_response, selected_version) == 12, "ABI");
static_assert(offsetof(struct wire_version_response, feature_flags) == WIRE_VERSION_RESPONSE_SIZE,
              "ABI");
static_assert(offsetof(struct wire_version_response, padding2) == WIRE_VERSION_RESPONSE_SIZE_6_0,
              "ABI");
static_assert(sizeof(struct wire_version_response) == 40, "ABI");

#define WIRE_CONNECTION_STATE_SUCCESSFUL      0u
#define WIRE_CONNECTION_STATE_LOW_RESOURCES   1u
#define WIRE_CONNECTION_STATE_UNKNOWN_FAILURE 2u

struct wire_open_reserved_channel {
	struct wire_message_header header;
	uint32_t channel_id;
	uint32_t target_vp;
	uint32_t target_sint;
	uint32_t ring_gpadl;
	uint32_t ring_offset;
};
static_assert(sizeof(struct wire_open_reserved_channel) == 28, "ABI");

struct wire_close_reserved_channel {
	struct wire_message_header header;
	uint32_t channel_id;
	uint32_t target_vp;
	uint32_t target_sint;
};
static_assert(sizeof(struct wire_close_reserved_channel) == 20, "ABI");

struct wire_tl_connect_request {
	struct wire_message_header header;
	uint8_t endpoint_id[16];
	uint8_t service_id[16];
	uint8_t silo_id[16]; /* since 5.2, and not by all who speak it (Linux) */
};
#define WIRE_TL_CONNECT_REQUEST_SIZE_SHORT 40u
static_assert(offsetof(struct wire_tl_connect_request, silo_id) ==
                      WIRE_TL_CONNECT_REQUEST_SIZE_SHORT,
              "ABI");
static_assert(sizeof(struct wire_tl_connect_request) == 56, "ABI");

struct wire_tl_connect_result {
	struct wire_message_header header;
	uint8_t endpoint_id[16];
	uint8_t service_id[16];
	uint32_t status;
};
static_assert(sizeof(struct wire_tl_connect_result) == 44, "ABI");

struct wire_modify_channel {
	struct wire_message_header header;
	uint32_t channel_id;
	uint32_t target_vp;
};
static_assert(sizeof(struct wire_modify_channel) == 16, "ABI");

struct wire_modify_channel_response {
	struct wire_message_header header;
	uint32_t channel_id;
	uint32_t status;
};
static_assert(sizeof(struct wire_modify_channel_response) == 16, "ABI");

struct wire_modify_connection {
	struct wire_message_header header;
	uint64_t monitor_page_to_guest;
	uint64_t monitor_page_to_host;
};
static_assert(sizeof(struct wire_modify_connection) == 24, "ABI");

#pragma pack(push, 1) /* what tcc knows, too */
struct wire_modify_connection_response {
	struct wire_message_header header;
	uint8_t connection_state;
};
#pragma pack(pop)
static_assert(sizeof(struct wire_modify_connection_response) == 9, "ABI");

/* A message taken apart: what it did not bring is zero. */
union wire_message {
	struct wire_message_header header;
	struct wire_offer_channel offer_channel;
	struct wire_channel_message channel;
	struct wire_open_channel open_channel;
	struct wire_open_channel_result open_channel_result;
	struct wire_gpadl_header gpadl_header;
	struct wire_gpadl_body gpadl_body;
	struct wire_gpadl_created gpadl_created;
	struct wire_gpadl_teardown gpadl_teardown;
	struct wire_gpadl_torndown gpadl_torndown;
	struct wire_initiate_contact initiate_contact;
	struct wire_version_response version_response;
	struct wire_open_reserved_channel open_reserved_channel;
	struct wire_close_reserved_channel close_reserved_channel;
	struct wire_tl_connect_request tl_connect_request;
	struct wire_tl_connect_result tl_connect_result;
	struct wire_modify_channel modify_channel;
	struct wire_modify_channel_response modify_channel_response;
	struct wire_modify_connection modify_connection;
	struct wire_modify_connection_response modify_connection_response;
	uint8_t bytes[WIRE_MESSAGE_MAX];
};
static_assert(sizeof(union wire_message) == WIRE_MESSAGE_MAX, "ABI");

enum wire_message_sender { WIRE_FROM_GUEST, WIRE_FROM_HOST };

enum wire_message_problem {
	WIRE_MESSAGE_OK,
	WIRE_MESSAGE_TOO_SHORT,       /* expected, actual: bytes */
	WIRE_MESSAGE_TOO_LONG,        /* likewise */
	WIRE_MESSAGE_UNKNOWN_TYPE,    /* expected: the last known type; actual */
	WIRE_MESSAGE_WRONG_WAY,       /* only the other end sends it */
	WIRE_MESSAGE_NOT_IN_VERSION,  /* expected: the first version that has it; actual */
	WIRE_MESSAGE_NOT_IN_FEATURES, /* expected: the feature flag; actual: those agreed */
};

struct wire_message_error {
	enum wire_message_problem problem;
	uint64_t expected;
	uint64_t actual;
};

/*
 * Takes `size` bytes from `sender` apart, as the agreed version and features have it. Before
 * anything is agreed, version is 0: then only INITIATE_CONTACT, VERSION_RESPONSE and
 * CLOSE_RESERVED_CHANNEL pass.
 * `message` is whole even when there is a problem, so long as the type was there to read.
 */
struct wire_message_error wire_message_decode(union wire_message *message, const void *bytes,
                                              size_t size, enum wire_message_sender sender,
                                              uint32_t version, uint32_t features);

/* "OPEN_CHANNEL"; "unknown". */
const char *wire_message_name(uint32_t type);
const char *wire_message_problem(enum wire_message_problem problem);

/* How many bytes of these messages travel. */
size_t wire_offer_channel_size(uint32_t version);
size_t wire_open_channel_size(uint32_t features);
size_t wire_initiate_contact_size(uint32_t features);
size_t wire_version_response_size(uint32_t version);
size_t wire_tl_connect_request_size(uint32_t version);
/* Which of an offer's flags a guest at that version understands. */
uint16_t wire_offer_flags(uint32_t version);

#ifdef __cplusplus
}
#endif

#endif
