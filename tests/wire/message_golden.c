/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Every message, byte for byte, against vectors written by hand from the public definitions (named
 * at each). A vector is compared with the struct filled by field names, and taken apart at the
 * oldest version that has it, at the one before, and one byte short.
 */

#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ZERO4   0, 0, 0, 0
#define ZERO8   ZERO4, ZERO4
#define ZERO16  ZERO8, ZERO8
#define ZERO116 ZERO16, ZERO16, ZERO16, ZERO16, ZERO16, ZERO16, ZERO16, ZERO4
#define A16                                                                                       \
	0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, \
		0xaf
#define B16                                                                                       \
	0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, \
		0xbf
#define C16                                                                                       \
	0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, \
		0xcf
#define TYPE(n) n, 0, 0, 0, ZERO4

struct vector {
	const char *name;
	const uint8_t *bytes;
	size_t size;
	const void *filled; /* a struct of ours, of which `size` bytes travel */
	enum wire_message_sender sender;
	uint32_t since; /* 0: before a version is agreed */
	uint32_t features;
};

#define VECTOR(name, filled, sender, since, features)                                         \
	{                                                                                     \
#name, name##_bytes, sizeof(name##_bytes), &(filled), sender, since, features \
	}

/* ---------------- offers ---------------- */

static const struct wire_offer_channel offer = {
	.header.type = WIRE_OFFER_CHANNEL,
	.interface_type = { A16 },
	.interface_instance = { B16 },
	.flags = 0x2011,
	.mmio_megabytes = 0x1234,
	.user_defined = { 0xd1, 0xd2, 0xd3, 0xd4 },
	.subchannel_index = 0x0102,
	.mmio_megabytes_optional = 0x0304,
	.channel_id = 0x0506,
	.monitor_id = 0x21,
	.monitor_allocated = 1,
	.dedicated_interrupt = 1,
	.connection_id = 0x2506,
};

/* mu_msvm VMBUS_CHANNEL_OFFER_CHANNEL; Linux vmbus_channel_offer_channel. */
static const uint8_t offer_channel_bytes[] = {
	TYPE(1), A16,  B16,  ZERO16,          /* type, instance, reserved */
	0x11,    0x20, 0x34, 0x12,            /* flags, MMIO megabytes */
	0xd1,    0xd2, 0xd3, 0xd4,   ZERO116, /* user defined */
	0x02,    0x01, 0x04, 0x03,            /* subchannel index, optional MMIO */
	0x06,    0x05, 0,    0,               /* channel id */
	0x21,    0x01,                        /* monitor id, allocated */
	0x01,    0,                           /* dedicated interrupt */
	0x06,    0x25, 0,    0,               /* connection id */
};

/* mu_msvm VMBUS_CHANNEL_OFFER_CHANNEL_SIZE_PRE_WIN7. */
static const uint8_t offer_channel_0_13_bytes[] = {
	TYPE(1), A16,  B16,  ZERO16, 0x11, 0x20, 0x34, 0x12, 0xd1, 0xd2, 0xd3, 0xd4,
	ZERO116, 0x02, 0x01, 0x04,   0x03, 0x06, 0x05, 0,    0,    0x21, 0x01,
};

static const struct wire_channel_message rescind = { { WIRE_RESCIND_CHANNEL_OFFER, 0 }, 0x0506 };
/* mu_msvm VMBUS_CHANNEL_RESCIND_OFFER; Linux vmbus_channel_rescind_offer. */
static const uint8_t rescind_bytes[] = { TYPE(2), 0x06, 0x05, 0, 0 };

static const struct wire_message_header request_offers = { WIRE_REQUEST_OFFERS, 0 };
/* mu_msvm, Linux: a header alone, as are ALL_OFFERS_DELIVERED, UNLOAD, UNLOAD_COMPLETE. */
static const uint8_t request_offers_bytes[] = { TYPE(3) };
static const struct wire_message_header all_offers_delivered = { WIRE_ALL_OFFERS_DELIVERED, 0 };
static const uint8_t all_offers_delivered_bytes[] = { TYPE(4) };

/* ---------------- open and close ---------------- */

static const struct wire_open_channel open_channel = {
	.header.type = WIRE_OPEN_CHANNEL,
	.channel_id = 0x11,
	.open_id = 0x22232425,
	.ring_gpadl = 0xe1e10,
	.target_vp = 3,
	.ring_offset = 0x20,
	.user_data = { 0xd1, 0xd2, 0xd3, 0xd4 },
	.connection_id = 0x22011,
	.event_flag = 0x7ff,
	.flags = 1,
};

#define OPEN_CHANNEL_BYTES                                                                        \
	TYPE(5), 0x11, 0, 0, 0, 0x25, 0x24, 0x23, 0x22, 0x10, 0x1e, 0x0e, 0, 3, 0, 0, 0, 0x20, 0, \
		0, 0, 0xd1, 0xd2, 0xd3, 0xd4, ZERO116

/* Linux vmbus_channel_open_channel; mu_msvm VMBUS_CHANNEL_OPEN_CHANNEL_MIN_SIZE. */
static const uint8_t open_channel_bytes[] = { OPEN_CHANNEL_BYTES };
/* mu_msvm VMBUS_CHANNEL_OPEN_CHANNEL; OpenVMM OpenChannel2. */
static const uint8_t open_channel_6_0_bytes[] = {
	OPEN_CHANNEL_BYTES, 0x11, 0x20, 0x02, 0, 0xff, 0x07, 0x01, 0,
};

static const struct wire_open_channel_result open_result = {
	{ WIRE_OPEN_CHANNEL_RESULT, 0 }, 0x11, 0x22232425, 0xc000009a
};
/* Linux vmbus_channel_open_result; mu_msvm VMBUS_CHANNEL_OPEN_RESULT. */
static const uint8_t open_result_bytes[] = {
	TYPE(6), 0x11, 0, 0, 0, 0x25, 0x24, 0x23, 0x22, 0x9a, 0, 0, 0xc0,
};

static const struct wire_channel_message close_channel = { { WIRE_CLOSE_CHANNEL, 0 }, 0x11 };
/* Linux vmbus_channel_close_channel. */
static const uint8_t close_channel_bytes[] = { TYPE(7), 0x11, 0, 0, 0 };

/* ---------------- GPADLs ---------------- */

static const struct {
	struct wire_gpadl_header header;
	uint8_t range[16];
} gpadl_header = {
	.header = { { WIRE_GPADL_HEADER, 0 }, 0x11, 0xe1e10, 24, 1 },
	.range = { 0x00, 0x20, 0, 0, 0x0f, 0, 0, 0, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x01 },
};
/* Linux vmbus_channel_gpadl_header with one gpa_range: byte count 0x2000, offset 15, one page. */
static const uint8_t gpadl_header_bytes[] = {
	TYPE(8), 0x11, 0,    0,    0,    0x10, 0x1e, 0x0e,
	0,       24,   0,    1,    0,                   /* channel, GPADL, bytes, ranges */
	0x00,    0x20, 0,    0,    0x0f, 0,    0,    0, /* byte count, byte offset */
	0x77,    0x66, 0x55, 0x44, 0x33, 0x22, 0x01, 0, /* page number */
};

static const struct {
	struct wire_gpadl_body body;
	uint8_t pfn[8];
} gpadl_body = { { { WIRE_GPADL_BODY, 0 }, 0, 0xe1e10 }, { 0x78, 0x66, 0x55, 0x44 } };
/* Linux vmbus_channel_gpadl_body. */
static const uint8_t gpadl_body_bytes[] = {
	TYPE(9), ZERO4, 0x10, 0x1e, 0x0e, 0, 0x78, 0x66, 0x55, 0x44, 0, 0, 0, 0,
};

static const struct wire_gpadl_created gpadl_created = {
	{ WIRE_GPADL_CREATED, 0 }, 0x11, 0xe1e10, 0xc000000d
};
/* Linux vmbus_channel_gpadl_created; mu_msvm VMBUS_CHANNEL_GPADL_CREATED. */
static const uint8_t gpadl_created_bytes[] = {
	TYPE(10), 0x11, 0, 0, 0, 0x10, 0x1e, 0x0e, 0, 0x0d, 0, 0, 0xc0,
};

static const struct wire_gpadl_teardown gpadl_teardown = { { WIRE_GPADL_TEARDOWN, 0 },
	                                                   0x11,
	                                                   0xe1e10 };
/* Linux vmbus_channel_gpadl_teardown. */
static const uint8_t gpadl_teardown_bytes[] = { TYPE(11), 0x11, 0, 0, 0, 0x10, 0x1e, 0x0e, 0 };

static const struct wire_gpadl_torndown gpadl_torndown = { { WIRE_GPADL_TORNDOWN, 0 }, 0xe1e10 };
/* Linux vmbus_channel_gpadl_torndown: no channel id. */
static const uint8_t gpadl_torndown_bytes[] = { TYPE(12), 0x10, 0x1e, 0x0e, 0 };

static const struct wire_channel_message released = { { WIRE_RELID_RELEASED, 0 }, 0x11 };
/* Linux vmbus_channel_relid_released. */
static const uint8_t released_bytes[] = { TYPE(13), 0x11, 0, 0, 0 };

/* ---------------- contact ---------------- */

static const struct wire_initiate_contact contact_4_1 = {
	.header.type = WIRE_INITIATE_CONTACT,
	.version = WIRE_VERSION_4_1,
	.target_vp = 6,
	.interrupt_page = 0x123456000,
	.monitor_page_to_guest = 0x123457000,
	.monitor_page_to_host = 0x123458000,
};
/* Linux vmbus_channel_initiate_contact, interrupt_page. */
static const uint8_t contact_4_1_bytes[] = {
	TYPE(14), 0x01, 0,    0x04, 0,    6, 0, 0, 0, /* version, VP */
	0x00,     0x60, 0x45, 0x23, 0x01, 0, 0, 0,    /* interrupt page */
	0x00,     0x70, 0x45, 0x23, 0x01, 0, 0, 0,    /* parent to child */
	0x00,     0x80, 0x45, 0x23, 0x01, 0, 0, 0,    /* child to parent */
};

static const struct wire_initiate_contact contact_5_1 = {
	.header.type = WIRE_INITIATE_CONTACT,
	.version = WIRE_VERSION_5_1,
	.target_vp = 6,
	.target_sint = 2,
	.target_vtl = 1,
	.monitor_page_to_guest = 0x123457000,
	.monitor_page_to_host = 0x123458000,
};
/* Linux vmbus_channel_initiate_contact, msg_sint and msg_vtl. */
static const uint8_t contact_5_1_bytes[] = {
	TYPE(14), 0x01, 0,    0x05, 0,    6, 0, 0, 0,    2,    1,    0,    0,    ZERO4, /* SINT, VTL
	                                                                                 */
	0x00,     0x70, 0x45, 0x23, 0x01, 0, 0, 0, 0x00, 0x80, 0x45, 0x23, 0x01, 0,     0, 0,
};

static const struct wire_initiate_contact contact_6_0 = {
	.header.type = WIRE_INITIATE_CONTACT,
	.version = WIRE_VERSION_6_0,
	.target_vp = 6,
	.target_sint = 2,
	.feature_flags = 0x8d,
	.client_id = { C16 },
};
/* mu_msvm VMBUS_CHANNEL_INITIATE_CONTACT with ClientId; OpenVMM InitiateContact2, TargetInfo. */
static const uint8_t contact_6_0_bytes[] = {
	TYPE(14), 0,   0, 0x06, 0, 6, 0, 0, 0, 2, 0, 0, 0, 0x8d, 0, 0, 0, /* SINT, feature flags */
	ZERO16,   C16,
};

static const struct wire_version_response response_4_1 = {
	.header.type = WIRE_VERSION_RESPONSE,
	.version_supported = 1,
	.selected_version = WIRE_VERSION_4_1,
};
/* mu_msvm VMBUS_CHANNEL_VERSION_RESPONSE, SelectedVersion. */
static const uint8_t response_4_1_bytes[] = { TYPE(15), 1, 0, 0, 0, 0x01, 0, 0x04, 0 };

static const struct wire_version_response response_5_0 = {
	.header.type = WIRE_VERSION_RESPONSE,
	.version_supported = 1,
	.connection_state = WIRE_CONNECTION_STATE_UNKNOWN_FAILURE,
	.message_connection_id = 0x800074,
};
/* Linux vmbus_channel_version_response, msg_conn_id. */
static const uint8_t response_5_0_bytes[] = { TYPE(15), 1, 2, 0, 0, 0x74, 0, 0x80, 0 };

static const struct wire_version_response response_6_0 = {
	.header.type = WIRE_VERSION_RESPONSE,
	.version_supported = 1,
	.message_connection_id = 4,
	.feature_flags = 0x0d,
};
/* mu_msvm VMBUS_CHANNEL_VERSION_RESPONSE, SupportedFeatures; OpenVMM VersionResponse2. */
static const uint8_t response_6_0_bytes[] = { TYPE(15), 1, 0, 0, 0, 4, 0, 0, 0, 0x0d, 0, 0, 0 };

static const struct wire_version_response response_pages = {
	.header.type = WIRE_VERSION_RESPONSE,
	.version_supported = 1,
	.message_connection_id = 4,
	.feature_flags = 0x40,
	.monitor_page_to_guest = 0x123457000,
	.monitor_page_to_host = 0x123458000,
};
/* OpenVMM VersionResponse3. */
static const uint8_t response_pages_bytes[] = {
	TYPE(15), 1,    0,    0,    0, 4, 0, 0,    0,    0x40, 0,    0,    0, ZERO4, 0x00,
	0x70,     0x45, 0x23, 0x01, 0, 0, 0, 0x00, 0x80, 0x45, 0x23, 0x01, 0, 0,     0,
};

static const struct wire_message_header unload = { WIRE_UNLOAD, 0 };
static const uint8_t unload_bytes[] = { TYPE(16) };
static const struct wire_message_header unload_complete = { WIRE_UNLOAD_COMPLETE, 0 };
static const uint8_t unload_complete_bytes[] = { TYPE(17) };

/* ---------------- the rest ---------------- */

static const struct wire_open_reserved_channel open_reserved = {
	{ WIRE_OPEN_RESERVED_CHANNEL, 0 }, 0x11, 6, 4, 0xe1e10, 0x20
};
/* mu_msvm VMBUS_CHANNEL_OPEN_RESERVED_CHANNEL; OpenVMM OpenReservedChannel. */
static const uint8_t open_reserved_bytes[] = {
	TYPE(18), 0x11, 0, 0, 0, 6, 0, 0, 0, 4, 0, 0, 0, 0x10, 0x1e, 0x0e, 0, 0x20, 0, 0, 0,
};

static const struct wire_close_reserved_channel close_reserved = {
	{ WIRE_CLOSE_RESERVED_CHANNEL, 0 }, 0x11, 6, 4
};
/* mu_msvm VMBUS_CHANNEL_CLOSE_RESERVED_CHANNEL. */
static const uint8_t close_reserved_bytes[] = { TYPE(19), 0x11, 0, 0, 0, 6, 0, 0, 0, 4, 0, 0, 0 };

static const struct wire_channel_message close_reserved_response = {
	{ WIRE_CLOSE_RESERVED_RESPONSE, 0 }, 0x11
};
/* mu_msvm VMBUS_CHANNEL_CLOSE_RESERVED_RESPONSE. */
static const uint8_t close_reserved_response_bytes[] = { TYPE(20), 0x11, 0, 0, 0 };

static const struct wire_tl_connect_request tl_connect = {
	{ WIRE_TL_CONNECT_REQUEST, 0 }, { A16 }, { B16 }, { C16 }
};
/* Linux vmbus_channel_tl_connect_request; mu_msvm ..._TL_CONNECT_REQUEST_PRE_RS5_SIZE. */
static const uint8_t tl_connect_bytes[] = { TYPE(21), A16, B16 };
/* mu_msvm VMBUS_CHANNEL_TL_CONNECT_REQUEST; OpenVMM TlConnectRequest2. */
static const uint8_t tl_connect_5_2_bytes[] = { TYPE(21), A16, B16, C16 };

static const struct wire_modify_channel modify = { { WIRE_MODIFY_CHANNEL, 0 }, 0x11, 6 };
/* Linux vmbus_channel_modifychannel. */
static const uint8_t modify_bytes[] = { TYPE(22), 0x11, 0, 0, 0, 6, 0, 0, 0 };

static const struct wire_tl_connect_result tl_result = {
	{ WIRE_TL_CONNECT_RESULT, 0 }, { A16 }, { B16 }, 0xc0000236
};
/* mu_msvm VMBUS_CHANNEL_TL_CONNECT_RESULT. */
static const uint8_t tl_result_bytes[] = { TYPE(23), A16, B16, 0x36, 0x02, 0, 0xc0 };

static const struct wire_modify_channel_response modify_response = {
	{ WIRE_MODIFY_CHANNEL_RESPONSE, 0 }, 0x11, 0xc0000001
};
/* Linux vmbus_channel_modifychannel_response. */
static const uint8_t modify_response_bytes[] = { TYPE(24), 0x11, 0, 0, 0, 0x01, 0, 0, 0xc0 };

static const struct wire_modify_connection modify_connection = { { WIRE_MODIFY_CONNECTION, 0 },
	                                                         0x123457000,
	                                                         0x123458000 };
/* mu_msvm VMBUS_CHANNEL_MODIFY_CONNECTION. */
static const uint8_t modify_connection_bytes[] = {
	TYPE(25), 0x00, 0x70, 0x45, 0x23, 0x01, 0, 0, 0, 0x00, 0x80, 0x45, 0x23, 0x01, 0, 0, 0,
};

static const struct wire_modify_connection_response modify_connection_response = {
	{ WIRE_MODIFY_CONNECTION_RESPONSE, 0 }, 2
};
/* mu_msvm VMBUS_CHANNEL_MODIFY_CONNECTION_RESPONSE (packed: 9 bytes). */
static const uint8_t modify_connection_response_bytes[] = { TYPE(26), 2 };

/* OpenVMM Pause, PauseResponse, Resume: empty. */
static const struct wire_message_header pause_messages[] = { { WIRE_PAUSE, 0 },
	                                                     { WIRE_PAUSE_RESPONSE, 0 },
	                                                     { WIRE_RESUME, 0 } };
static const uint8_t pause_bytes[] = { TYPE(27) };
static const uint8_t pause_response_bytes[] = { TYPE(28) };
static const uint8_t resume_bytes[] = { TYPE(29) };

#define V(minor_version)                     WIRE_VERSION_##minor_version
#define SIGNAL                               WIRE_FEATURE_SIGNAL_PARAMETERS
#define MODIFY                               WIRE_FEATURE_MODIFY_CONNECTION
#define PAUSE                                WIRE_FEATURE_PAUSE_RESUME
#define HOST(name, filled, since, features)  VECTOR(name, filled, WIRE_FROM_HOST, since, features)
#define GUEST(name, filled, since, features) VECTOR(name, filled, WIRE_FROM_GUEST, since, features)

/* Which version has what: OpenVMM vmbus_core/src/protocol.rs, vmbus_messages!. */
static const struct vector vectors[] = {
	HOST(offer_channel_0_13, offer, V(0_13), 0),
	HOST(offer_channel, offer, V(1_1), 0),
	HOST(rescind, rescind, V(0_13), 0),
	GUEST(request_offers, request_offers, V(0_13), 0),
	HOST(all_offers_delivered, all_offers_delivered, V(0_13), 0),
	GUEST(open_channel, open_channel, V(0_13), 0),
	GUEST(open_channel_6_0, open_channel, V(6_0), SIGNAL),
	HOST(open_result, open_result, V(0_13), 0),
	GUEST(close_channel, close_channel, V(0_13), 0),
	GUEST(gpadl_header, gpadl_header, V(0_13), 0),
	GUEST(gpadl_body, gpadl_body, V(0_13), 0),
	HOST(gpadl_created, gpadl_created, V(0_13), 0),
	GUEST(gpadl_teardown, gpadl_teardown, V(0_13), 0),
	HOST(gpadl_torndown, gpadl_torndown, V(0_13), 0),
	GUEST(released, released, V(0_13), 0),
	GUEST(contact_4_1, contact_4_1, 0, 0),
	GUEST(contact_5_1, contact_5_1, 0, 0),
	GUEST(contact_6_0, contact_6_0, 0, 0),
	HOST(response_4_1, response_4_1, 0, 0),
	HOST(response_5_0, response_5_0, 0, 0),
	HOST(response_6_0, response_6_0, 0, 0),
	HOST(response_pages, response_pages, 0, 0),
	GUEST(unload, unload, V(0_13), 0),
	HOST(unload_complete, unload_complete, V(0_13), 0),
	GUEST(open_reserved, open_reserved, V(4_0), 0),
	GUEST(close_reserved, close_reserved, 0, 0),
	HOST(close_reserved_response, close_reserved_response, V(4_0), 0),
	GUEST(tl_connect, tl_connect, V(4_0), 0),
	GUEST(tl_connect_5_2, tl_connect, V(5_2), 0),
	GUEST(modify, modify, V(4_1), 0),
	HOST(tl_result, tl_result, V(4_1), 0),
	HOST(modify_response, modify_response, V(5_3), 0),
	GUEST(modify_connection, modify_connection, V(6_0), MODIFY),
	HOST(modify_connection_response, modify_connection_response, V(6_0), MODIFY),
	GUEST(pause, pause_messages[0], V(6_0), PAUSE),
	HOST(pause_response, pause_messages[1], V(6_0), PAUSE),
	GUEST(resume, pause_messages[2], V(6_0), PAUSE),
};

#define VECTORS (sizeof(vectors) / sizeof(vectors[0]))

static enum wire_message_problem decode(const struct vector *v, size_t size,
                                        enum wire_message_sender sender, uint32_t version,
                                        uint32_t features, union wire_message *message)
{
	uint8_t *copy = malloc(size ? size : 1); /* of that size: a sanitizer sees a read past it */
	struct wire_message_error error;

	assert_non_null(copy);
	memcpy(copy, v->bytes, size);
	error = wire_message_decode(message, copy, size, sender, version, features);
	free(copy);
	return error.problem;
}

static void every_type_has_a_vector(void **state)
{
	bool seen[WIRE_MESSAGE_TYPES] = { false };

	(void)state;
	for (size_t i = 0; i < VECTORS; i++)
		seen[vectors[i].bytes[0]] = true;
	for (uint32_t type = 1; type < WIRE_MESSAGE_TYPES; type++)
		assert_true(seen[type]);
}

static void structs_are_those_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		if (memcmp(vectors[i].filled, vectors[i].bytes, vectors[i].size) != 0)
			print_error("%s\n", vectors[i].name);
		assert_memory_equal(vectors[i].filled, vectors[i].bytes, vectors[i].size);
	}
}

static void bytes_are_taken_apart_whole(void **state)
{
	static const uint8_t zero[WIRE_MESSAGE_MAX];

	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		const struct vector *v = &vectors[i];
		union wire_message m;

		memset(&m, 0xee, sizeof(m));
		assert_int_equal(decode(v, v->size, v->sender, v->since, v->features, &m),
		                 WIRE_MESSAGE_OK);
		assert_memory_equal(m.bytes, v->bytes, v->size);
		assert_memory_equal(m.bytes + v->size, zero, WIRE_MESSAGE_MAX - v->size);
	}
}

static void the_version_before_does_not_have_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		const struct vector *v = &vectors[i];
		uint32_t before = wire_version_below(v->since);
		union wire_message m;

		if (v->since == 0 || v->bytes == offer_channel_bytes ||
		    v->bytes == open_channel_6_0_bytes || v->bytes == tl_connect_5_2_bytes)
			continue; /* longer forms of what was there before */
		assert_int_equal(decode(v, v->size, v->sender, before, v->features, &m),
		                 WIRE_MESSAGE_NOT_IN_VERSION);
	}
}

static void without_the_feature_it_is_refused(void **state)
{
	unsigned int refused = 0;

	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		const struct vector *v = &vectors[i];
		union wire_message m;

		if (!v->features || v->features == SIGNAL)
			continue;
		assert_int_equal(decode(v, v->size, v->sender, v->since, ~v->features, &m),
		                 WIRE_MESSAGE_NOT_IN_FEATURES);
		refused++;
	}
	assert_int_equal(refused, 5);
}

static void one_byte_short_is_too_short(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		const struct vector *v = &vectors[i];
		union wire_message m;
		size_t short_of = v->size - 1;

		/* These have a shorter form, which the longer one cut short still is. */
		if (v->bytes == contact_6_0_bytes)
			short_of = 39;
		if (v->bytes == response_6_0_bytes || v->bytes == response_pages_bytes)
			short_of = 15;
		if (v->bytes == tl_connect_5_2_bytes)
			short_of = 39;
		if (v->bytes == gpadl_header_bytes)
			short_of = 19;
		if (v->bytes == gpadl_body_bytes)
			short_of = 15;
		assert_int_equal(decode(v, short_of, v->sender, v->since, v->features, &m),
		                 WIRE_MESSAGE_TOO_SHORT);
	}
}

static void the_other_end_does_not_send_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		const struct vector *v = &vectors[i];
		enum wire_message_sender other =
			v->sender == WIRE_FROM_HOST ? WIRE_FROM_GUEST : WIRE_FROM_HOST;
		union wire_message m;

		assert_int_equal(decode(v, v->size, other, v->since, v->features, &m),
		                 WIRE_MESSAGE_WRONG_WAY);
	}
}

static void longer_than_needed_is_fine(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		const struct vector *v = &vectors[i];
		uint8_t bytes[WIRE_MESSAGE_MAX + 1];
		struct wire_message_error error;
		union wire_message m;

		memset(bytes, 0x5a, sizeof(bytes));
		memcpy(bytes, v->bytes, v->size);
		error = wire_message_decode(&m, bytes, WIRE_MESSAGE_MAX, v->sender, v->since,
		                            v->features);
		assert_int_equal(error.problem, WIRE_MESSAGE_OK);
		error = wire_message_decode(&m, bytes, WIRE_MESSAGE_MAX + 1, v->sender, v->since,
		                            v->features);
		assert_int_equal(error.problem, WIRE_MESSAGE_TOO_LONG);
		assert_int_equal(error.expected, WIRE_MESSAGE_MAX);
		assert_int_equal(error.actual, WIRE_MESSAGE_MAX + 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_has_a_vector),
		cmocka_unit_test(structs_are_those_bytes),
		cmocka_unit_test(bytes_are_taken_apart_whole),
		cmocka_unit_test(the_version_before_does_not_have_it),
		cmocka_unit_test(without_the_feature_it_is_refused),
		cmocka_unit_test(one_byte_short_is_too_short),
		cmocka_unit_test(the_other_end_does_not_send_it),
		cmocka_unit_test(longer_than_needed_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
