/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_NET_RNDIS_H
#define DEVICES_NET_RNDIS_H

/*
 * Remote NDIS, the adapter's side: what is in a data message, and the answers to the others. Pure;
 * it knows neither the bus nor NVSP. Messages are in private memory, and all in them is hostile.
 */

#include "net/net_packet.h"
#include "net/rndis_protocol.h"

/* Why a message was refused. */
struct rndis_fault {
	const char *what;
	uint64_t expected, actual;
};

/* ---- data ---- */

/* The most of a data message that stands before its frame. Linux 6.1 has at most 108 bytes. */
#define RNDIS_HEAD_MAX 512u

/* A frame from the driver. */
struct rndis_transmit {
	uint32_t offset, length; /* of the frame in the message */
	bool has_checksum, has_large_send, has_vlan;
	uint32_t checksum, large_send, vlan; /* values of the per-packet information */
};

/* `head` is the first `size` bytes of a message of `length`: all, or RNDIS_HEAD_MAX. */
bool rndis_parse_packet(const uint8_t *head, uint32_t size, uint32_t length,
                        struct rndis_transmit *transmit, struct rndis_fault *fault);

/* A frame to the driver. */
struct rndis_receive {
	uint32_t length;
	bool has_checksum, has_vlan, has_hash;
	uint32_t checksum, vlan, hash;
};
#define RNDIS_RECEIVE_HEADER_MAX 96u

/* Writes what stands before the frame and returns its size, a multiple of 4. */
uint32_t rndis_write_receive(const struct rndis_receive *receive,
                             uint8_t header[RNDIS_RECEIVE_HEADER_MAX]);

/* The tag of IEEE 802.1Q, as in the frame, from the information's value; and back. */
uint16_t rndis_vlan_tag(uint32_t value);
uint32_t rndis_vlan_value(uint16_t tag);

/* ---- control ---- */

#define RNDIS_QUEUES      8u
#define RNDIS_MULTICAST   32u
#define RNDIS_CONTROL_MAX 8192u /* of a message that comes */
#define RNDIS_ANSWER_MAX  1024u /* of one that goes */

/* What a large send may have at most; as vmswitch says (OpenVMM LSO_MAX_OFFLOAD_SIZE). */
#define RNDIS_LSO_MAX 0xf53cu

/* What the driver has turned on; OFFLOADS_ALL can be. */
enum rndis_offload {
	OFFLOAD_TX_IP4 = 1 << 0,
	OFFLOAD_TX_TCP4 = 1 << 1,
	OFFLOAD_TX_UDP4 = 1 << 2,
	OFFLOAD_TX_TCP6 = 1 << 3,
	OFFLOAD_TX_UDP6 = 1 << 4,
	OFFLOAD_RX_IP4 = 1 << 5,
	OFFLOAD_RX_TCP4 = 1 << 6,
	OFFLOAD_RX_UDP4 = 1 << 7,
	OFFLOAD_RX_TCP6 = 1 << 8,
	OFFLOAD_RX_UDP6 = 1 << 9,
	OFFLOAD_LSO4 = 1 << 10,
	OFFLOAD_LSO6 = 1 << 11,
	OFFLOADS_ALL = (1 << 12) - 1,
};

struct rndis_rss {
	bool enabled;
	uint32_t types; /* NDIS_HASH_* */
	uint8_t key[NDIS_RSS_KEY_SIZE];
	uint8_t table[NDIS_RSS_TABLE_ENTRIES]; /* queues */
};

struct rndis_counts { /* by the frame's destination: unicast, multicast, broadcast */
	uint64_t frames[3], bytes[3];
	uint64_t errors, discards;
};

struct rndis_device {
	/* What it is; the adapter's. */
	uint8_t permanent_address[NET_ADDRESS];
	const char *name;
	uint32_t queues; /* at most RNDIS_QUEUES */
	uint64_t speed;  /* bits a second */
	bool link_up;
	uint32_t mtu;          /* frames, with their Ethernet header */
	uint32_t ndis_version; /* NVSP_NDIS_VERSION(); the driver's */
	void (*count)(void *context, struct rndis_counts *rx, struct rndis_counts *tx);
	void *context;
	/* What the driver made of it. */
	bool initialized;
	uint32_t filter;              /* NDIS_PACKET_TYPE_* */
	uint8_t address[NET_ADDRESS]; /* stays when all else is forgotten; see rndis_reset_device()
	                               */
	uint8_t multicast[RNDIS_MULTICAST][NET_ADDRESS];
	uint32_t multicast_count;
	uint32_t offloads;
	bool offloads_changed; /* and the driver has not been told what they are now */
	struct rndis_rss rss;
};

/*
 * As it is before INITIALIZE: what the driver made of it is forgotten, but for its address. Linux
 * sets that once, and opens the channel anew for each change of the MTU or the queues.
 */
void rndis_reset_device(struct rndis_device *device);

/*
 * Any message but data. Returns the size of the answer; 0: there is none to give. Messages that
 * cannot be answered set the fault.
 */
uint32_t rndis_control(struct rndis_device *device, const uint8_t *message, uint32_t size,
                       uint8_t answer[RNDIS_ANSWER_MAX], struct rndis_fault *fault);

/* A message that nobody asked for; `data` of at most RNDIS_ANSWER_MAX / 2 bytes. */
uint32_t rndis_indicate(uint32_t status, const void *data, uint32_t size,
                        uint8_t message[RNDIS_ANSWER_MAX]);
/* What the offloads are now, for RNDIS_STATUS_OFFLOAD_CONFIG. Returns its size. */
uint32_t rndis_offload_config(const struct rndis_device *device, struct ndis_offload *offload);

/* Would the driver see a frame with this destination? Both addresses are its own. */
bool rndis_filter_passes(const struct rndis_device *device, const uint8_t address[NET_ADDRESS]);

#endif
