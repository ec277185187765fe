/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_STORVSC_PROTOCOL_H
#define DEVICES_SCSI_STORVSC_PROTOCOL_H

/*
 * What a Hyper-V SCSI controller and its driver say to each other in a channel's packets.
 * Sources: Linux drivers/scsi/storvsc_drv.c; OpenVMM storvsp_protocol/src/lib.rs; mu_msvm
 * MsvmPkg/StorvscDxe/VstorageProtocol.h. They agree except where a comment says otherwise.
 */

#include "common/bare.h"

/* ba6163d9-04a1-4d29-b605-72e2ffb1dc7f: the offer of a SCSI controller. */
#define STORVSC_INTERFACE_TYPE                                         \
	{                                                              \
		0xba6163d9, 0x04a1, 0x4d29,                            \
		{                                                      \
			0xb6, 0x05, 0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f \
		}                                                      \
	}

enum storvsc_operation {
	STORVSC_COMPLETE_IO = 1,
	STORVSC_REMOVE_DEVICE = 2,
	STORVSC_EXECUTE_SRB = 3,
	STORVSC_RESET_LUN = 4,
	STORVSC_RESET_ADAPTER = 5,
	STORVSC_RESET_BUS = 6,
	STORVSC_BEGIN_INITIALIZATION = 7,
	STORVSC_END_INITIALIZATION = 8,
	STORVSC_QUERY_PROTOCOL_VERSION = 9,
	STORVSC_QUERY_PROPERTIES = 10,
	STORVSC_ENUMERATE_BUS = 11,
	STORVSC_FCHBA_DATA = 12,
	STORVSC_CREATE_SUB_CHANNELS = 13,
	STORVSC_EVENT_NOTIFICATION = 14,
};

#define STORVSC_VERSION(major, minor) ((uint16_t)((major) << 8 | (minor)))
#define STORVSC_VERSION_WIN6          STORVSC_VERSION(2, 0)
#define STORVSC_VERSION_WIN7          STORVSC_VERSION(4, 2)
#define STORVSC_VERSION_WIN8          STORVSC_VERSION(5, 1)
#define STORVSC_VERSION_WIN8_1        STORVSC_VERSION(6, 0)
#define STORVSC_VERSION_WIN10         STORVSC_VERSION(6, 2)

/* storvsc_packet.status: NTSTATUSes; those that a driver must know. */
#define STORVSC_STATUS_SUCCESS           0x00000000u
#define STORVSC_STATUS_BUFFER_OVERFLOW   0x80000005u
#define STORVSC_STATUS_DATA_OVERRUN      0xc000003cu
#define STORVSC_STATUS_REVISION_MISMATCH 0xc0000059u

/* storvsc_packet.flags: a completion is wanted. */
#define STORVSC_REQUEST_COMPLETION 0x1u

/* storvsc_srb.data_in (SCSI_IOCTL_DATA_* of ntddscsi.h) */
#define STORVSC_DATA_OUT         0u
#define STORVSC_DATA_IN          1u
#define STORVSC_DATA_UNSPECIFIED 2u

/* storvsc_srb.srb_status (srb.h); the top bits are flags: sense data is there, the queue
 * stands still */
enum storvsc_srb_status {
	STORVSC_SRB_PENDING = 0x00,
	STORVSC_SRB_SUCCESS = 0x01,
	STORVSC_SRB_ABORTED = 0x02,
	STORVSC_SRB_ERROR = 0x04,
	STORVSC_SRB_BUSY = 0x05,
	STORVSC_SRB_INVALID_REQUEST = 0x06,
	STORVSC_SRB_INVALID_PATH = 0x07,
	STORVSC_SRB_NO_DEVICE = 0x08,
	STORVSC_SRB_TIMEOUT = 0x09,
	STORVSC_SRB_SELECTION_TIMEOUT = 0x0a,
	STORVSC_SRB_COMMAND_TIMEOUT = 0x0b,
	STORVSC_SRB_BUS_RESET = 0x0e,
	STORVSC_SRB_NO_HBA = 0x11,
	STORVSC_SRB_DATA_OVERRUN = 0x12,
	STORVSC_SRB_REQUEST_FLUSHED = 0x16,
	STORVSC_SRB_INVALID_LUN = 0x20,
	STORVSC_SRB_INVALID_TARGET = 0x21,
	STORVSC_SRB_BAD_FUNCTION = 0x22,
	STORVSC_SRB_QUEUE_FROZEN = 0x40,
	STORVSC_SRB_AUTOSENSE_VALID = 0x80,
};

#define STORVSC_SRB_STATUS_MASK 0x3fu

/* storvsc_srb.srb_flags, of version 5.1 on */
#define STORVSC_SRB_QUEUE_ACTION_ENABLE    0x00000002u
#define STORVSC_SRB_DISABLE_SYNCH_TRANSFER 0x00000008u
#define STORVSC_SRB_DATA_IN                0x00000040u
#define STORVSC_SRB_DATA_OUT               0x00000080u
#define STORVSC_SRB_NO_QUEUE_FREEZE        0x00000100u
#define STORVSC_SRB_SIMPLE_TAG             0x20u /* queue_action */

#define STORVSC_CDB_SIZE   16u
#define STORVSC_SENSE_SIZE 20u /* from version 5.1 on; 18 before it */

struct storvsc_srb {
	uint16_t length; /* of this structure, as the version has it */
	uint8_t srb_status, scsi_status;
	uint8_t port, path, target, lun;
	uint8_t cdb_length, sense_length, data_in, properties;
	uint32_t transfer_length;
	union {
		uint8_t cdb[STORVSC_CDB_SIZE];     /* there */
		uint8_t sense[STORVSC_SENSE_SIZE]; /* and back */
	};
	/* From version 5.1 on. */
	uint16_t reserved;
	uint8_t queue_tag, queue_action;
	uint32_t srb_flags;
	uint32_t timeout; /* seconds */
	uint32_t queue_sort_key;
};

#define STORVSC_SRB_SIZE_OLD offsetof(struct storvsc_srb, reserved)

static_assert(STORVSC_SRB_SIZE_OLD == 0x24, "before 5.1");
static_assert(sizeof(struct storvsc_srb) == 0x34, "from 5.1 on");
static_assert(offsetof(struct storvsc_srb, srb_status) == 2, "");
static_assert(offsetof(struct storvsc_srb, path) == 5, "");
static_assert(offsetof(struct storvsc_srb, lun) == 7, "");
static_assert(offsetof(struct storvsc_srb, cdb_length) == 8, "");
static_assert(offsetof(struct storvsc_srb, data_in) == 10, "");
static_assert(offsetof(struct storvsc_srb, transfer_length) == 12, "");
static_assert(offsetof(struct storvsc_srb, cdb) == 16, "");
static_assert(offsetof(struct storvsc_srb, queue_tag) == 38, "");
static_assert(offsetof(struct storvsc_srb, srb_flags) == 40, "");
static_assert(offsetof(struct storvsc_srb, queue_sort_key) == 48, "");

struct storvsc_properties {
	uint32_t reserved;
	uint16_t max_subchannels;
	uint16_t reserved2;
	uint32_t flags;
	uint32_t max_transfer; /* bytes */
	uint32_t reserved3[2];
};

#define STORVSC_MULTI_CHANNEL 0x1u /* storvsc_properties.flags */

static_assert(sizeof(struct storvsc_properties) == 24, "");
static_assert(offsetof(struct storvsc_properties, max_subchannels) == 4, "");
static_assert(offsetof(struct storvsc_properties, flags) == 8, "");
static_assert(offsetof(struct storvsc_properties, max_transfer) == 12, "");

struct storvsc_version {
	uint16_t major_minor;
	uint16_t revision; /* the build; only informs */
};

static_assert(sizeof(struct storvsc_version) == 4, "");

struct storvsc_packet {
	uint32_t operation;
	uint32_t flags;
	uint32_t status; /* an NTSTATUS, in the answer */
	union {
		struct storvsc_srb srb;
		struct storvsc_properties properties;
		struct storvsc_version version;
		uint16_t subchannels;
		uint8_t bytes[sizeof(struct storvsc_srb)];
	};
};

#define STORVSC_PACKET_HEADER   offsetof(struct storvsc_packet, bytes)
#define STORVSC_PACKET_SIZE_OLD (STORVSC_PACKET_HEADER + STORVSC_SRB_SIZE_OLD)

static_assert(STORVSC_PACKET_HEADER == 12, "");
static_assert(STORVSC_PACKET_SIZE_OLD == 0x30, "before 5.1");
static_assert(sizeof(struct storvsc_packet) == 0x40, "from 5.1 on");

#endif
