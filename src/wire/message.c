/* SPDX-License-Identifier: BSD-2-Clause */
#include "wire/message.h"

const uint32_t wire_versions[WIRE_VERSION_COUNT] = {
	WIRE_VERSION_6_0, WIRE_VERSION_5_3, WIRE_VERSION_5_2,  WIRE_VERSION_5_1,
	WIRE_VERSION_5_0, WIRE_VERSION_4_1, WIRE_VERSION_4_0,  WIRE_VERSION_3_0,
	WIRE_VERSION_2_4, WIRE_VERSION_1_1, WIRE_VERSION_0_13,
};

bool wire_version_known(uint32_t version)
{
	for (unsigned int i = 0; i < WIRE_VERSION_COUNT; i++)
		if (wire_versions[i] == version)
			return true;
	return false;
}

uint32_t wire_version_below(uint32_t version)
{
	for (unsigned int i = 0; i < WIRE_VERSION_COUNT; i++)
		if (wire_versions[i] < version)
			return wire_versions[i];
	return 0;
}

/*
 * One row a message. The first version that has it and the feature it needs are those of OpenVMM
 * vmbus_core/src/protocol.rs; version 0 means that it comes before a version is agreed.
 */
struct message_kind {
	const char *name;
	uint32_t version;
	uint16_t size;   /* of its shortest form at any version */
	uint8_t sender;  /* enum wire_message_sender */
	uint8_t feature; /* the ones that messages need are all low */
};
static_assert(WIRE_FROM_GUEST == 0, "what has no row is not the host's to say");

#define ROW(kind, from, bytes, since, needs) \
	[WIRE_##kind] = { #kind, since, bytes, WIRE_FROM_##from, needs }

static const struct message_kind message_kinds[WIRE_MESSAGE_TYPES] = {
	ROW(OFFER_CHANNEL, HOST, WIRE_OFFER_CHANNEL_SIZE_0_13, WIRE_VERSION_0_13, 0),
	ROW(RESCIND_CHANNEL_OFFER, HOST, 12, WIRE_VERSION_0_13, 0),
	ROW(ALL_OFFERS_DELIVERED, HOST, 8, WIRE_VERSION_0_13, 0),
	ROW(OPEN_CHANNEL_RESULT, HOST, 20, WIRE_VERSION_0_13, 0),
	ROW(GPADL_CREATED, HOST, 20, WIRE_VERSION_0_13, 0),
	ROW(GPADL_TORNDOWN, HOST, 12, WIRE_VERSION_0_13, 0),
	ROW(VERSION_RESPONSE, HOST, WIRE_VERSION_RESPONSE_SIZE, 0, 0),
	ROW(UNLOAD_COMPLETE, HOST, 8, WIRE_VERSION_0_13, 0),
	ROW(CLOSE_RESERVED_RESPONSE, HOST, 12, WIRE_VERSION_4_0, 0),
	ROW(TL_CONNECT_RESULT, HOST, 44, WIRE_VERSION_4_1, 0),
	ROW(MODIFY_CHANNEL_RESPONSE, HOST, 16, WIRE_VERSION_5_3, 0),
	ROW(MODIFY_CONNECTION_RESPONSE, HOST, 9, WIRE_VERSION_6_0, WIRE_FEATURE_MODIFY_CONNECTION),
	ROW(PAUSE_RESPONSE, HOST, 8, WIRE_VERSION_6_0, WIRE_FEATURE_PAUSE_RESUME),
#ifndef KMCL_GUEST_ALONE
	ROW(REQUEST_OFFERS, GUEST, 8, WIRE_VERSION_0_13, 0),
	ROW(OPEN_CHANNEL, GUEST, WIRE_OPEN_CHANNEL_SIZE_SHORT, WIRE_VERSION_0_13, 0),
	ROW(CLOSE_CHANNEL, GUEST, 12, WIRE_VERSION_0_13, 0),
	ROW(GPADL_HEADER, GUEST, 20, WIRE_VERSION_0_13, 0),
	ROW(GPADL_BODY, GUEST, 16, WIRE_VERSION_0_13, 0),
	ROW(GPADL_TEARDOWN, GUEST, 16, WIRE_VERSION_0_13, 0),
	ROW(RELID_RELEASED, GUEST, 12, WIRE_VERSION_0_13, 0),
	ROW(INITIATE_CONTACT, GUEST, WIRE_INITIATE_CONTACT_SIZE_SHORT, 0, 0),
	ROW(UNLOAD, GUEST, 8, WIRE_VERSION_0_13, 0),
	ROW(OPEN_RESERVED_CHANNEL, GUEST, 28, WIRE_VERSION_4_0, 0),
	ROW(CLOSE_RESERVED_CHANNEL, GUEST, 20, 0, 0),
	ROW(TL_CONNECT_REQUEST, GUEST, WIRE_TL_CONNECT_REQUEST_SIZE_SHORT, WIRE_VERSION_4_0, 0),
	ROW(MODIFY_CHANNEL, GUEST, 16, WIRE_VERSION_4_1, 0),
	ROW(MODIFY_CONNECTION, GUEST, 24, WIRE_VERSION_6_0, WIRE_FEATURE_MODIFY_CONNECTION),
	ROW(PAUSE, GUEST, 8, WIRE_VERSION_6_0, WIRE_FEATURE_PAUSE_RESUME),
	ROW(RESUME, GUEST, 8, WIRE_VERSION_6_0, WIRE_FEATURE_PAUSE_RESUME),
#endif
};

/* The least a message of that type must bring at that version with those features. */
static size_t message_size_min(uint32_t type, uint32_t version, uint32_t features)
{
	switch (type) {
	case WIRE_OFFER_CHANNEL:
		return wire_offer_channel_size(version);
	case WIRE_OPEN_CHANNEL:
		return wire_open_channel_size(features);
	default:
		return message_kinds[type].size;
	}
}

static struct wire_message_error message_check(uint32_t type, size_t size,
                                               enum wire_message_sender sender, uint32_t version,
                                               uint32_t features)
{
	const struct message_kind *kind;
	size_t size_min;

	if (type == 0 || type >= WIRE_MESSAGE_TYPES)
		return (struct wire_message_error){ WIRE_MESSAGE_UNKNOWN_TYPE,
			                            WIRE_MESSAGE_TYPES - 1, type };
	kind = &message_kinds[type];
	if (kind->sender != sender)
		return (struct wire_message_error){ WIRE_MESSAGE_WRONG_WAY, kind->sender, sender };
	if (version < kind->version)
		return (struct wire_message_error){ WIRE_MESSAGE_NOT_IN_VERSION, kind->version,
			                            version };
	if ((features & kind->feature) != kind->feature)
		return (struct wire_message_error){ WIRE_MESSAGE_NOT_IN_FEATURES, kind->feature,
			                            features };
	size_min = message_size_min(type, version, features);
	if (size < size_min)
		return (struct wire_message_error){ WIRE_MESSAGE_TOO_SHORT, size_min, size };
	return (struct wire_message_error){ WIRE_MESSAGE_OK, 0, 0 };
}

struct wire_message_error wire_message_decode(union wire_message *message, const void *bytes,
                                              size_t size, enum wire_message_sender sender,
                                              uint32_t version, uint32_t features)
{
	__builtin_memset(message, 0, sizeof(*message));
	if (size > WIRE_MESSAGE_MAX)
		return (struct wire_message_error){ WIRE_MESSAGE_TOO_LONG, WIRE_MESSAGE_MAX, size };
	if (size < sizeof(struct wire_message_header))
		return (struct wire_message_error){ WIRE_MESSAGE_TOO_SHORT,
			                            sizeof(struct wire_message_header), size };
	__builtin_memcpy(message, bytes, size);
	return message_check(message->header.type, size, sender, version, features);
}

const char *wire_message_name(uint32_t type)
{
	const char *name = type < WIRE_MESSAGE_TYPES ? message_kinds[type].name : NULL;

	return name ? name : "unknown";
}

const char *wire_message_problem(enum wire_message_problem problem)
{
	switch (problem) {
	case WIRE_MESSAGE_OK:
		return "no problem";
	case WIRE_MESSAGE_TOO_SHORT:
		return "too short";
	case WIRE_MESSAGE_TOO_LONG:
		return "too long";
	case WIRE_MESSAGE_UNKNOWN_TYPE:
		return "unknown type";
	case WIRE_MESSAGE_WRONG_WAY:
		return "a message only this end sends";
	case WIRE_MESSAGE_NOT_IN_VERSION:
		return "not in the agreed version";
	case WIRE_MESSAGE_NOT_IN_FEATURES:
		return "not in the agreed features";
	}
	return "unknown problem";
}

/* Before 1.1 an offer ends before dedicated_interrupt (mu_msvm ..._SIZE_PRE_WIN7). OpenVMM sends
 * the long form to everyone; a guest of that version reads neither field. */
size_t wire_offer_channel_size(uint32_t version)
{
	return version < WIRE_VERSION_1_1 ? WIRE_OFFER_CHANNEL_SIZE_0_13 : WIRE_OFFER_CHANNEL_SIZE;
}

size_t wire_open_channel_size(uint32_t features)
{
	if (features & (WIRE_FEATURE_SIGNAL_PARAMETERS | WIRE_FEATURE_INTERRUPT_REDIRECTION))
		return sizeof(struct wire_open_channel);
	return WIRE_OPEN_CHANNEL_SIZE_SHORT;
}

size_t wire_initiate_contact_size(uint32_t features)
{
	if (features & WIRE_FEATURE_CLIENT_ID)
		return sizeof(struct wire_initiate_contact);
	return WIRE_INITIATE_CONTACT_SIZE_SHORT;
}

size_t wire_version_response_size(uint32_t version)
{
	return version < WIRE_VERSION_6_0 ? WIRE_VERSION_RESPONSE_SIZE
	                                  : WIRE_VERSION_RESPONSE_SIZE_6_0;
}

size_t wire_tl_connect_request_size(uint32_t version)
{
	if (version < WIRE_VERSION_5_2)
		return WIRE_TL_CONNECT_REQUEST_SIZE_SHORT;
	return sizeof(struct wire_tl_connect_request);
}

/* mu_msvm VMBUS_OFFER_FLAGS_WIN6 and _WIN10: a host masks out what a version does not define. */
uint16_t wire_offer_flags(uint32_t version)
{
	uint16_t flags =
		WIRE_OFFER_FLAG_ENUMERATE_DEVICE_INTERFACE | WIRE_OFFER_FLAG_NAMED_PIPE_MODE;

	if (version >= WIRE_VERSION_4_0)
		flags |= WIRE_OFFER_FLAG_TLNPI_PROVIDER;
	return flags;
}
