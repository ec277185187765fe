/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_INPUT_KEYBOARD_PROTOCOL_H
#define DEVICES_INPUT_KEYBOARD_PROTOCOL_H

/*
 * What a host and the driver of its synthetic keyboard say to each other, in packets without a pipe
 * header. The guest asks for the one version that there is; when it has been accepted, the host
 * sends keystrokes.
 *
 * Sources: Linux 6.1 drivers/input/serio/hyperv-keyboard.c; OpenVMM vm/devices/uidevices
 * (keyboard); FreeBSD sys/dev/hyperv/input/hv_kbdc.c. They agree.
 */

#include "common/bare.h"

/* f912ad6d-2b17-48ea-bd65-f927a61c7684 */
#define KEYBOARD_INTERFACE_TYPE                                        \
	{                                                              \
		0xf912ad6d, 0x2b17, 0x48ea,                            \
		{                                                      \
			0xbd, 0x65, 0xf9, 0x27, 0xa6, 0x1c, 0x76, 0x84 \
		}                                                      \
	}
/* d34b2567-b9b6-42b9-8778-0a4ec0b955bf: OpenVMM; what lsvmbus shows on Hyper-V. */
#define KEYBOARD_INSTANCE                                              \
	{                                                              \
		0xd34b2567, 0xb9b6, 0x42b9,                            \
		{                                                      \
			0x87, 0x78, 0x0a, 0x4e, 0xc0, 0xb9, 0x55, 0xbf \
		}                                                      \
	}

#define KEYBOARD_VERSION 0x10000u /* 1.0 */

#define KEYBOARD_MESSAGE_MAX 256u /* of either direction: Linux's HK_MAXIMUM_MESSAGE_SIZE */

enum keyboard_message_type {
	KEYBOARD_REQUEST = 1,
	KEYBOARD_RESPONSE = 2,
	KEYBOARD_EVENT = 3,
	KEYBOARD_LEDS = 4,
};

struct keyboard_request {
	uint32_t type;
	uint32_t version;
};

#define KEYBOARD_ACCEPTED 0x1u

struct keyboard_response {
	uint32_t type;
	uint32_t status;
};

/* From the guest. None of the three sends it. */
struct keyboard_leds {
	uint32_t type;
	uint16_t leds;
	uint16_t reserved;
};

#define KEYBOARD_IS_UNICODE 0x1u /* the code is a character; FreeBSD and Linux cannot take it */
#define KEYBOARD_IS_BREAK   0x2u
#define KEYBOARD_IS_E0      0x4u
#define KEYBOARD_IS_E1      0x8u

/* A key of set 1 that goes down, or up. */
struct keyboard_event {
	uint32_t type;
	uint16_t code; /* without the bit of a break code */
	uint16_t reserved;
	uint32_t flags;
};

static_assert(sizeof(struct keyboard_request) == 8, "");
static_assert(offsetof(struct keyboard_request, version) == 4, "");
static_assert(sizeof(struct keyboard_response) == 8, "");
static_assert(offsetof(struct keyboard_response, status) == 4, "");
static_assert(sizeof(struct keyboard_leds) == 8, "");
static_assert(offsetof(struct keyboard_leds, leds) == 4, "");
static_assert(sizeof(struct keyboard_event) == 12, "");
static_assert(offsetof(struct keyboard_event, code) == 4, "");
static_assert(offsetof(struct keyboard_event, flags) == 8, "");

#endif
