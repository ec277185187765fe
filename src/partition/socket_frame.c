/* SPDX-License-Identifier: BSD-2-Clause */

#include "partition/socket_frame.h"

#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>

#define HEADER_SIZE  8u  /* type, size, id */
#define HELLO_SIZE   32u /* header, magic, version, reserved, size of the memory */
#define WELCOME_SIZE 24u /* header, magic, version, reserved */
#define MESSAGE_SIZE 16u /* header, vp, sint, reserved; then the payload */

static const char magic[8] = "kmclpart";

static_assert(HEADER_SIZE + SOCKET_TEXT_MAX <= SOCKET_FRAME_MAX, "a refusal fits");

static uint16_t get16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return le16toh(value);
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static uint64_t get64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

static void put16(uint8_t *at, uint16_t value)
{
	value = htole16(value);
	memcpy(at, &value, sizeof(value));
}

static void put32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static void put64(uint8_t *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
}

void socket_describe_fault(const struct socket_fault *fault, char *text, size_t size)
{
	snprintf(text, size, "%s: expected %#llx, came %#llx", fault->what,
	         (unsigned long long)fault->expected, (unsigned long long)fault->actual);
}

static bool wrong(struct socket_fault *fault, const char *what, uint64_t expected, uint64_t actual)
{
	*fault = (struct socket_fault){ what, expected, actual };
	return false;
}

static bool equal(struct socket_fault *fault, const char *what, uint64_t expected, uint64_t actual)
{
	return expected == actual || wrong(fault, what, expected, actual);
}

static bool at_most(struct socket_fault *fault, const char *what, uint64_t limit, uint64_t actual)
{
	return actual <= limit || wrong(fault, what, limit, actual);
}

static bool at_least(struct socket_fault *fault, const char *what, uint64_t limit, uint64_t actual)
{
	return actual >= limit || wrong(fault, what, limit, actual);
}

static bool has_magic(const uint8_t *bytes, struct socket_fault *fault)
{
	return !memcmp(bytes + 8, magic, sizeof(magic)) ||
	       wrong(fault, "magic", get64((const uint8_t *)magic), get64(bytes + 8));
}

static bool decode_hello(const uint8_t *bytes, size_t size, unsigned int descriptors,
                         struct socket_frame *frame, struct socket_fault *fault)
{
	if (!at_least(fault, "least size of HELLO", HEADER_SIZE + 12, size) ||
	    !has_magic(bytes, fault) || !equal(fault, "id of HELLO", 0, get32(bytes + 4)))
		return false;
	frame->version = get32(bytes + 16);
	if (frame->version != SOCKET_PROTOCOL_VERSION)
		return true; /* the caller refuses it; what follows is not ours to judge */
	if (!equal(fault, "size of HELLO", HELLO_SIZE, size) ||
	    !equal(fault, "reserved field of HELLO", 0, get32(bytes + 20)))
		return false;
	frame->ram_size = get64(bytes + 24);
	return at_most(fault, "most memory", SOCKET_RAM_MAX, frame->ram_size) &&
	       equal(fault, "part of a page in the size of memory", 0, frame->ram_size % 4096) &&
	       equal(fault, "descriptors with HELLO", frame->ram_size ? 1 : 0, descriptors);
}

static bool decode_welcome(const uint8_t *bytes, size_t size, unsigned int descriptors,
                           struct socket_frame *frame, struct socket_fault *fault)
{
	if (!equal(fault, "size of WELCOME", WELCOME_SIZE, size) || !has_magic(bytes, fault))
		return false;
	frame->version = get32(bytes + 16);
	return equal(fault, "id of WELCOME", 0, get32(bytes + 4)) &&
	       equal(fault, "version in WELCOME", SOCKET_PROTOCOL_VERSION, frame->version) &&
	       equal(fault, "reserved field of WELCOME", 0, get32(bytes + 20)) &&
	       equal(fault, "descriptors with WELCOME", 0, descriptors);
}

static bool decode_refuse(const uint8_t *bytes, size_t size, unsigned int descriptors,
                          struct socket_frame *frame, struct socket_fault *fault)
{
	size_t length = size - HEADER_SIZE;

	if (!at_most(fault, "most text in REFUSE", SOCKET_TEXT_MAX, length) ||
	    !equal(fault, "descriptors with REFUSE", 0, descriptors))
		return false;
	frame->reason = get32(bytes + 4);
	/* It goes to a log or a terminal. */
	for (size_t i = 0; i < length; i++) {
		uint8_t c = bytes[HEADER_SIZE + i];

		frame->text[i] = c < 0x20 || c > 0x7e ? '?' : (char)c;
	}
	frame->text[length] = 0;
	return true;
}

static bool decode_message(const uint8_t *bytes, size_t size, unsigned int descriptors,
                           struct socket_frame *frame, struct socket_fault *fault)
{
	if (!at_least(fault, "least size of MESSAGE", MESSAGE_SIZE, size) ||
	    !equal(fault, "reserved field of MESSAGE", 0, get32(bytes + 12) >> 8) ||
	    !equal(fault, "descriptors with MESSAGE", 0, descriptors))
		return false;
	frame->id = get32(bytes + 4);
	frame->vp = get32(bytes + 8);
	frame->sint = bytes[12];
	frame->payload = bytes + MESSAGE_SIZE;
	frame->size = size - MESSAGE_SIZE;
	return true;
}

static bool decode_port(const uint8_t *bytes, size_t size, unsigned int descriptors,
                        struct socket_frame *frame, struct socket_fault *fault)
{
	frame->id = get32(bytes + 4);
	return equal(fault, "size of PORT", HEADER_SIZE, size) &&
	       equal(fault, "descriptors with PORT", 1, descriptors);
}

bool socket_frame_decode(enum socket_stage stage, const uint8_t *bytes, size_t size,
                         unsigned int descriptors, struct socket_frame *frame,
                         struct socket_fault *fault)
{
	bool (*decode)(const uint8_t *, size_t, unsigned int, struct socket_frame *,
	               struct socket_fault *) = NULL;

	memset(frame, 0, sizeof(*frame));
	if (!at_least(fault, "least size of a frame", HEADER_SIZE, size) ||
	    !at_most(fault, "most size of a frame", SOCKET_FRAME_MAX, size) ||
	    !equal(fault, "size in the header", size, get16(bytes + 2)))
		return false;
	switch (get16(bytes)) {
	case SOCKET_HELLO:
		decode = stage == SOCKET_STAGE_HELLO ? decode_hello : NULL;
		break;
	case SOCKET_WELCOME:
		decode = stage == SOCKET_STAGE_WELCOME ? decode_welcome : NULL;
		break;
	case SOCKET_REFUSE:
		decode = decode_refuse;
		break;
	case SOCKET_MESSAGE:
		decode = stage == SOCKET_STAGE_SESSION ? decode_message : NULL;
		break;
	case SOCKET_PORT:
		decode = stage == SOCKET_STAGE_SESSION ? decode_port : NULL;
		break;
	}
	if (!decode)
		return wrong(fault, "type of frame",
		             stage == SOCKET_STAGE_HELLO     ? SOCKET_HELLO
		             : stage == SOCKET_STAGE_WELCOME ? SOCKET_WELCOME
		                                             : SOCKET_MESSAGE,
		             get16(bytes));
	frame->type = get16(bytes);
	return decode(bytes, size, descriptors, frame, fault);
}

size_t socket_frame_encode(const struct socket_frame *frame, uint8_t bytes[SOCKET_FRAME_MAX])
{
	uint32_t id = frame->type == SOCKET_REFUSE ? frame->reason : frame->id;
	size_t size = HEADER_SIZE;

	switch (frame->type) {
	case SOCKET_HELLO:
	case SOCKET_WELCOME:
		memcpy(bytes + 8, magic, sizeof(magic));
		put32(bytes + 16, frame->version);
		put32(bytes + 20, 0);
		size = WELCOME_SIZE;
		if (frame->type == SOCKET_HELLO) {
			put64(bytes + 24, frame->ram_size);
			size = HELLO_SIZE;
		}
		break;
	case SOCKET_REFUSE:
		size += strnlen(frame->text, SOCKET_TEXT_MAX);
		memcpy(bytes + HEADER_SIZE, frame->text, size - HEADER_SIZE);
		break;
	case SOCKET_MESSAGE:
		put32(bytes + 8, frame->vp);
		put32(bytes + 12, frame->sint);
		size = MESSAGE_SIZE + frame->size;
		if (frame->size)
			memcpy(bytes + MESSAGE_SIZE, frame->payload, frame->size);
		break;
	case SOCKET_PORT:
		break;
	}
	put16(bytes, (uint16_t)frame->type);
	put16(bytes + 2, (uint16_t)size);
	put32(bytes + 4, id);
	return size;
}
