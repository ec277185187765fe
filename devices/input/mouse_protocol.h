/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_INPUT_MOUSE_PROTOCOL_H
#define DEVICES_INPUT_MOUSE_PROTOCOL_H

/*
 * What a host and the driver of its synthetic mouse say to each other, in a pipe of messages: the
 * guest asks for the one version that there is; the host accepts it and says, unasked, which HID
 * device it is; the guest acknowledges that; the host sends input reports of that device.
 *
 * Sources: Linux 6.1 drivers/hid/hid-hyperv.c; OpenVMM vm/devices/uidevices (mouse); FreeBSD
 * sys/dev/hyperv/input/hv_hid.c. They differ in what a header's size counts: the version request's
 * of the guests says the bytes after it, and so do OpenVMM's messages; it is said here so, and not
 * looked at.
 */

#include "common/bare.h"

/* cfa8b69e-5b4a-4cc0-b98b-8ba1a1f3f95a */
#define MOUSE_INTERFACE_TYPE                                           \
	{                                                              \
		0xcfa8b69e, 0x5b4a, 0x4cc0,                            \
		{                                                      \
			0xb9, 0x8b, 0x8b, 0xa1, 0xa1, 0xf3, 0xf9, 0x5a \
		}                                                      \
	}
/* 58f75a6d-d949-4320-99e1-a2a2576d581c: OpenVMM; what lsvmbus shows on Hyper-V. */
#define MOUSE_INSTANCE                                                 \
	{                                                              \
		0x58f75a6d, 0xd949, 0x4320,                            \
		{                                                      \
			0x99, 0xe1, 0xa2, 0xa2, 0x57, 0x6d, 0x58, 0x1c \
		}                                                      \
	}

#define MOUSE_VERSION 0x20000u /* 2.0; 1.0 was before Windows Server 2008 (Linux) */

#define MOUSE_MESSAGE_MAX 512u /* OpenVMM's MAX_HID_MESSAGE_SIZE */

enum mouse_message_type {
	MOUSE_REQUEST = 0,
	MOUSE_RESPONSE = 1,
	MOUSE_DEVICE_INFO = 2,
	MOUSE_DEVICE_INFO_ACK = 3,
	MOUSE_REPORT = 4,
};

struct mouse_header {
	uint32_t type;
	uint32_t size; /* of what follows */
};

struct mouse_request {
	struct mouse_header header;
	uint32_t version;
};

struct mouse_response {
	struct mouse_header header;
	uint32_t version; /* the one that was asked for */
	uint8_t accepted;
} __attribute__((packed));

/* Of the device: OpenVMM's numbers. */
#define MOUSE_VENDOR         0x045eu
#define MOUSE_PRODUCT        0x0621u
#define MOUSE_DEVICE_VERSION 0x0001u

struct mouse_attributes {
	uint32_t size; /* sizeof(struct mouse_attributes) */
	uint16_t vendor, product, version;
	uint16_t reserved[11];
};

#define MOUSE_HID_DESCRIPTOR    0x21u /* HID 1.11, 7.1: GET_DESCRIPTOR */
#define MOUSE_REPORT_DESCRIPTOR 0x22u
#define MOUSE_HID_RELEASE       0x0101u

/* HID 1.11, 6.2.1. */
struct mouse_hid {
	uint8_t size; /* sizeof(struct mouse_hid); the report descriptor follows */
	uint8_t type;
	uint16_t release;
	uint8_t country;
	uint8_t descriptor_count;
	uint8_t report_type;
	uint16_t report_size;
} __attribute__((packed));

#define MOUSE_REPORT_DESCRIPTOR_SIZE 67u

/* OpenVMM sends 128 bytes of report descriptor, and counts those that it has. */
struct mouse_device_info {
	struct mouse_header header;
	struct mouse_attributes attributes;
	struct mouse_hid hid;
	uint8_t report_descriptor[128];
} __attribute__((packed));

struct mouse_device_info_ack {
	struct mouse_header header;
	uint8_t acknowledged; /* Linux and FreeBSD: 0 */
} __attribute__((packed));

#define MOUSE_POSITION_MAX 0x7fffu /* of both axes, and of the wheel's steps in each direction */
#define MOUSE_BUTTONS      0x1fu

/* What the report descriptor describes: five buttons, a position, and a wheel. */
struct mouse_report {
	struct mouse_header header;
	uint8_t buttons;
	uint16_t x, y;
	int16_t wheel;
} __attribute__((packed));

static_assert(sizeof(struct mouse_header) == 8, "");
static_assert(sizeof(struct mouse_request) == 12, "");
static_assert(sizeof(struct mouse_response) == 13, "");
static_assert(offsetof(struct mouse_response, accepted) == 12, "");
static_assert(sizeof(struct mouse_attributes) == 32, "");
static_assert(offsetof(struct mouse_attributes, vendor) == 4, "");
static_assert(sizeof(struct mouse_hid) == 9, "");
static_assert(offsetof(struct mouse_hid, report_size) == 7, "");
static_assert(sizeof(struct mouse_device_info) == 8 + 169, "");
static_assert(offsetof(struct mouse_device_info, hid) == 40, "");
static_assert(offsetof(struct mouse_device_info, report_descriptor) == 49, "");
static_assert(sizeof(struct mouse_device_info_ack) == 9, "");
static_assert(sizeof(struct mouse_report) == 15, "");
static_assert(offsetof(struct mouse_report, x) == 9, "");
static_assert(offsetof(struct mouse_report, wheel) == 13, "");

#endif
