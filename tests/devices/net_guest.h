/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_DEVICES_NET_GUEST_H
#define TESTS_DEVICES_NET_GUEST_H

/*
 * A network driver for the tests, on the guest's end: says and checks what Linux's hv_netvsc does,
 * and lets a test say anything else. Waits have a limit; what does not come in time fails the test.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "net/netvsc_protocol.h"
#include <kmcl/kmcl.h>
#include <kmcl/net.h>
#include <kmcl/net_backend.h>
#include "net/rndis.h"

#define NET_GUEST_WAIT_MS  10000u
#define NET_GUEST_TAG      0x74736574u
#define NET_GUEST_SET      0xcafeu /* Linux's NETVSC_RECEIVE_BUFFER_ID */
#define NET_GUEST_MESSAGES 16u

struct net_guest_options {
	uint32_t version;                 /* the newest that it asks for; 0: the latest */
	uint32_t mtu;                     /* in NDIS's config; 0: 1514 */
	uint32_t receive_size, send_size; /* 0: 256 KiB, 64 KiB */
	uint64_t capabilities;            /* in NDIS's config */
};

/* A frame as the driver got it. */
struct net_guest_frame {
	struct net_guest_frame *next;
	uint16_t queue;
	uint32_t length;
	bool has_checksum, has_vlan, has_hash;
	uint32_t checksum, vlan, hash;
	uint8_t data[];
};

struct net_guest_queue {
	struct net_guest *guest;
	VMBCHANNEL vmb;
	uint16_t index;
	KEVENT started;
	_Atomic uint32_t packets, frames;
};

struct net_guest {
	PDEVICE_OBJECT bus;
	GUID instance;
	struct net_guest_options options;
	struct net_guest_queue queues[KMCL_NET_QUEUES];
	uint32_t version;
	uint8_t *receive, *send;
	uint32_t receive_gpadl, send_gpadl;
	struct nvsp_receive_section section; /* as the host answered */
	uint32_t section_size;
	uint32_t next_id;

	pthread_mutex_t lock;
	struct net_guest_frame *frames, **frames_last;
	_Atomic uint32_t frame_count;
	/* Answers and indications that nobody took yet. */
	uint8_t *messages[NET_GUEST_MESSAGES];
	_Atomic uint32_t message_count;
	uint32_t table[NVSP_INDIRECTION_ENTRIES]; /* as told */
	_Atomic uint32_t table_count;
	bool hold; /* packets are not completed */
	VMBPACKETCOMPLETION held[4096];
	uint32_t held_count;
	_Atomic uint32_t completed; /* of what it sent */
	_Atomic uint32_t last_status;
	_Atomic uint32_t wrong; /* Linux would complain */
	char complaint[128];
};

/* Waits until it holds. */
#define net_wait(condition)                                                              \
	do {                                                                             \
		uint32_t tries_;                                                         \
		for (tries_ = 0; !(condition) && tries_ < NET_GUEST_WAIT_MS; tries_++)   \
			KeStallExecutionProcessor(1000);                                 \
		if (!(condition))                                                        \
			fail_msg("%s:%d: timed out waiting for: %s", __FILE__, __LINE__, \
			         #condition);                                            \
	} while (0)

/* Opens the channel, says nothing yet; and closes all of them. */
struct net_guest *net_guest_open(PDEVICE_OBJECT bus, const GUID *instance,
                                 const struct net_guest_options *options);
void net_guest_close(struct net_guest *guest);
/* The channel alone, closed and opened again. */
void net_guest_reopen(struct net_guest *guest, const struct net_guest_options *options);

/* All that Linux does before the interface is there. */
void net_guest_start(struct net_guest *guest);
/* Its steps. */
uint32_t net_guest_init(struct net_guest *guest, uint32_t version); /* the status */
void net_guest_config(struct net_guest *guest);
uint32_t net_guest_give_receive_buffer(struct net_guest *guest); /* the status */
uint32_t net_guest_give_buffers(struct net_guest *guest);        /* of the first that failed */
void net_guest_rndis_init(struct net_guest *guest);
void net_guest_filter(struct net_guest *guest, uint32_t filter);
/* Asks for them and opens them; and sets RSS up over all queues, as Linux does. */
void net_guest_subchannels(struct net_guest *guest, uint32_t count);
void net_guest_rss(struct net_guest *guest, uint32_t queues, uint32_t types);
/* Which queue its table has at an entry: no short pattern. */
uint32_t net_guest_rss_queue(uint32_t entry, uint32_t queues);

/* One NVSP message, answered; returns the size of the answer. Without an answer: `answer` NULL. */
uint32_t net_guest_say(struct net_guest *guest, uint32_t queue, const void *message, uint32_t size,
                       struct nvsp_message *answer);
/* An RNDIS control message from `body` on; its request id is filled in. The answer's body is copied
 * to `answer` and its size returned. */
uint32_t net_guest_ask(struct net_guest *guest, uint32_t type, void *body, uint32_t size,
                       void *answer, uint32_t capacity);
uint32_t net_guest_query(struct net_guest *guest, uint32_t oid, void *data, uint32_t capacity,
                         uint32_t *status);
uint32_t net_guest_set(struct net_guest *guest, uint32_t oid, const void *data, uint32_t size);
/* The next indication; its status. */
uint32_t net_guest_indicated(struct net_guest *guest, uint32_t *value);

/* ---- sending ---- */

/* Builds a data message with what is said about the frame; returns its size, padded to 8. */
struct net_guest_infos {
	bool has_checksum, has_large_send, has_vlan;
	uint32_t checksum, large_send, vlan;
};
uint32_t net_guest_build(uint8_t *message, const struct net_guest_infos *infos, const void *frame,
                         uint32_t length);
/* What the send buffer's section has from `offset` on, and `external`, which comes after it; either
 * may be nothing. Does not wait for the completion. */
void net_guest_send(struct net_guest *guest, uint32_t queue, uint32_t section,
                    uint32_t section_bytes, void *external, uint32_t external_bytes);
uint8_t *net_guest_section(struct net_guest *guest, uint32_t section);
/* A frame by the section, completed with success. */
void net_guest_send_frame(struct net_guest *guest, uint32_t queue,
                          const struct net_guest_infos *infos, const void *frame, uint32_t length);

/* ---- receiving ---- */

/* The next frame; the caller frees it. */
struct net_guest_frame *net_guest_receive(struct net_guest *guest);
void net_guest_hold(struct net_guest *guest, bool hold); /* false: completes what is held */
uint32_t net_guest_held(struct net_guest *guest);

uint8_t *net_pool(size_t size);

#endif
