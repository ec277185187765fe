/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_NET_NETVSP_PRIVATE_H
#define DEVICES_NET_NETVSP_PRIVATE_H

/*
 * Between netvsp.c (the adapter, its channels and the negotiation), netvsp_buffer.c (the guest's
 * two buffers), netvsp_transmit.c (what the guest sends) and netvsp_receive.c (what it gets).
 *
 * Locks, taken in this order: control_lock, rx.lock, slots.lock.
 */

#include "net/netvsc_protocol.h"
#include "net/rndis.h"

#include <kmcl/kmcl.h>
#include <kmcl/net.h>
#include <kmcl/net_backend.h>
#include <pthread.h>
#include <stdatomic.h>

/* A slot has room for a frame, its RNDIS header and 36 bytes that some Windows drivers overwrite
 * (OpenVMM netvsp/src/buffers.rs: sub_allocation_size_for_mtu). */
#define NETVSP_SLOT_EXTRA    (256u + 36u)
#define NETVSP_SECTION_SIZE  6144u       /* of the send buffer; the one that hosts give */
#define NETVSP_RECEIVE_MAX   (32u << 20) /* Linux: hosts allow 31 MiB */
#define NETVSP_SEND_MAX      (16u << 20) /* 15 MiB */
#define NETVSP_CONTROL_SLOTS 16u         /* kept back for answers */
#define NETVSP_EXTERNAL_MAX  (128u << 10)
#define NETVSP_CHAIN_MAX     64u
#define NETVSP_BATCH         32u /* frames in one packet to the guest */
#define NETVSP_PENDING_MAX   64u /* answers that wait for a slot */
#define NETVSP_MTU_MIN       NET_MTU_FRAME
#define NETVSP_MTU_MAX       9216u
#define NETVSP_MDL_CHAIN     34u
#define NETVSP_NO_SLOT       UINT32_MAX
#define NETVSP_COMPLAINTS    32u /* lines in the log for each time the guest opens it */

static_assert(NETVSP_BATCH <= NETVSP_CHAIN_MAX, "as many ranges");
static_assert(NETVSP_SLOT_EXTRA >= RNDIS_RECEIVE_HEADER_MAX, "");
static_assert(NETVSP_MTU_MIN + NETVSP_SLOT_EXTRA >= RNDIS_ANSWER_MAX, "an answer has one slot");
static_assert(NETVSP_EXTERNAL_MAX >= NET_FRAME_MAX + RNDIS_HEAD_MAX, "a large send");
static_assert(KMCL_NET_QUEUES == RNDIS_QUEUES, "");

/* Memory that the guest has shown, a page at a time: it need not lie in a row. */
struct netvsp_buffer {
	uint32_t gpadl; /* 0: none */
	uint16_t id;
	uint32_t size;
	uint8_t **pages;
};

/* Written by one thread at a time, read by any. */
struct counter {
	_Atomic uint64_t value;
};

static inline void counter_add(struct counter *c, uint64_t n)
{
	uint64_t v = atomic_load_explicit(&c->value, memory_order_relaxed);

	atomic_store_explicit(&c->value, v + n, memory_order_relaxed);
}

static inline uint64_t counter_get(const struct counter *c)
{
	return atomic_load_explicit(&c->value, memory_order_relaxed);
}

/* By destination: unicast, multicast, broadcast. */
struct traffic {
	struct counter frames[3], bytes[3];
};

/* What a queue has done, whichever channel object it had at the time. */
struct netvsp_queue {
	struct traffic tx, rx;
	struct counter tx_checksums, tx_large_sends, tx_segments, rx_packets;
};

/* Frames in slots of the receive buffer, to go in one packet. */
struct netvsp_batch {
	uint32_t first, last, count, bytes;
	struct kmcl_transfer_range ranges[NETVSP_BATCH];
};

struct netvsp_channel {
	struct kmcl_net *adapter;
	VMBCHANNEL vmb;
	uint16_t index;
	bool active; /* what is sent goes to the guest; rx.lock */
	struct netvsp_batch batch;
	struct netvsp_queue *queue;
	uint8_t control[RNDIS_CONTROL_MAX]; /* the message being processed: one at a time */
};

/* A packet from the guest, in its client context while the channel has it. */
struct netvsp_request {
	struct kmcl_net *adapter;
	VMBPACKETCOMPLETION completion;
	atomic_uint pending; /* frames that the back end has, and who hands them to it */
	uint32_t status;     /* NVSP_STATUS_*; in the answer */
};

/* An answer or an indication that waits for a slot. */
struct netvsp_message {
	struct netvsp_message *next;
	uint32_t size;
	uint8_t bytes[];
};

enum netvsp_state {
	NETVSP_CLOSED,
	NETVSP_OPEN,      /* INIT is next */
	NETVSP_VERSIONED, /* its buffers, and what it says of NDIS */
};

/* The free slots of the receive buffer, and the chains that are with the guest. */
struct netvsp_slots {
	pthread_mutex_t lock;
	uint32_t *next;
	uint32_t count, free_first, free_count;
	uint32_t kept;      /* for answers */
	uint32_t resume_at; /* enough for the back end to go on */
	bool blocked;       /* it waits */
};

struct netvsp_rx {
	pthread_mutex_t lock;
	struct netvsp_buffer buffer;
	uint32_t slot_size;
	struct rndis_device rules; /* as the device was when the driver last changed it */
	bool vlan_info;            /* tags travel beside the frame */
	struct netvsp_channel *channels[KMCL_NET_QUEUES];
	struct netvsp_message *pending, **pending_last;
	uint32_t pending_count;
	_Atomic bool has_pending;
	struct counter filtered, too_long, waits;
};

struct kmcl_net {
	struct kmcl_net_options options;
	char name[64];
	HANDLE vmbus;
	struct kmcl_net_port port;
	struct kmcl_net_backend *backend;

	/* The primary channel's callbacks alone change these. */
	enum netvsp_state state;
	bool has_config;
	struct netvsp_channel *channels[KMCL_NET_QUEUES];
	/* ... and others read these. */
	_Atomic uint16_t subchannels; /* offered */
	_Atomic uint32_t version, mtu, message_size;
	_Atomic bool ready; /* the guest has a receive buffer: RNDIS may begin */
	_Atomic uint64_t capabilities;

	pthread_mutex_t control_lock; /* of the device, and the order of what is said about it */
	struct rndis_device device;
	_Atomic bool link_up;

	EX_RUNDOWN_REF send_users; /* of the send buffer; run down while there is none */
	struct netvsp_buffer send_buffer;
	struct netvsp_rx rx;
	struct netvsp_slots slots;

	struct netvsp_queue queues[KMCL_NET_QUEUES];
	_Atomic uint64_t refused, tx_dropped, tx_errors;
	atomic_uint complaints;
};

/* netvsp.c */

/* Something from the guest makes no sense: counts it, and says so in the log, a few times. */
void netvsp_refuse(struct kmcl_net *adapter, uint16_t channel, const char *what, uint64_t expected,
                   uint64_t actual);
void netvsp_count_traffic(struct traffic *traffic, const uint8_t *destination, uint32_t length);
/* Done with a share of a request; the last one answers it. */
void netvsp_request_done(struct netvsp_request *request);

/* netvsp_buffer.c; P */

NTSTATUS netvsp_buffer_map(struct netvsp_buffer *buffer, VMBCHANNEL vmb,
                           const struct nvsp_buffer *message, uint32_t size_max);
void netvsp_buffer_unmap(struct netvsp_buffer *buffer, VMBCHANNEL vmb);
/* The range lies in the buffer; callers have checked. */
void netvsp_buffer_write(const struct netvsp_buffer *buffer, uint32_t offset, const void *bytes,
                         uint32_t size);
uint32_t netvsp_buffer_iovec(const struct netvsp_buffer *buffer, uint32_t offset, uint32_t size,
                             struct iovec *iov, uint32_t capacity);

/* netvsp_transmit.c */

/* `mdl`: the memory that the packet refers to; NULL: none. */
void netvsp_transmit(struct netvsp_channel *channel, struct netvsp_request *request,
                     const struct nvsp_rndis_packet *packet, PMDL mdl);

/* netvsp_receive.c */

extern const struct kmcl_net_port_ops netvsp_port_ops;

/* The guest has shown a receive buffer, mapped; false: no memory. And it takes it back. */
bool netvsp_receive_begin(struct kmcl_net *adapter, const struct netvsp_buffer *buffer,
                          uint32_t slot_size, uint32_t slot_count);
void netvsp_receive_revoke(struct kmcl_net *adapter, struct netvsp_buffer *buffer);
/* All channels are closed. */
void netvsp_receive_end(struct kmcl_net *adapter);
/* From now on the channel may be sent on, or not. */
void netvsp_channel_activate(struct netvsp_channel *channel, bool active);
/* The device changed; caller holds control_lock. */
void netvsp_rules_changed(struct kmcl_net *adapter);
/* An RNDIS message that is not data; when a slot is free. Caller holds control_lock. */
void netvsp_send_control(struct kmcl_net *adapter, const uint8_t *message, uint32_t size);

#endif
