/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_GUESTS_PERSONA_NET_H
#define TESTS_GUESTS_PERSONA_NET_H

/* A network driver's steps. */

#include "net/netvsc_protocol.h"
#include "persona.h"
#include "net/rndis_protocol.h"

#define PERSONA_FRAME_MAX 2048u

struct persona_net {
	struct persona_channel channel;
	uint32_t version;
	uint64_t transaction; /* the last */
	uint8_t *receive, *send, *external;
	uint32_t receive_gpadl, send_gpadl;
	uint16_t receive_id;
	uint32_t slot_size, slot_count, section_size;
	bool by_section; /* RNDIS goes in the send buffer; else in memory that a packet refers to */
	uint32_t request_id;
	/* What came. */
	uint64_t completed; /* the last transaction */
	uint32_t completion_size;
	struct nvsp_message completion;
	bool answered;
	uint32_t answer_size;
	uint8_t answer[1024];
	uint32_t frames, frame_size;
	uint8_t frame[PERSONA_FRAME_MAX];
	uint32_t indications;
	bool keep; /* packets are not completed by pumping */
	/* How it speaks; 0: as most do. */
	uint32_t message_size;    /* of the NVSP messages that bring RNDIS */
	uint32_t completion_sent; /* bytes of its completions */
	bool split;               /* what a frame has before it is a range of memory of its own */
	/* Looks at each transfer-page packet; NULL: none. */
	void (*look)(struct persona_net *net, const struct persona_packet *packet);
};

/* A message answered by the completion of its packet, in n->completion; its size. */
uint32_t persona_net_say(struct persona_net *n, const void *message, uint32_t size);
/* No completion is asked for. */
void persona_net_tell(struct persona_net *n, const void *message, uint32_t size);

/* A channel with `pages` for each ring, of the offer of `type`; all else is zeros. */
void persona_net_open(struct persona *p, struct persona_net *n, const void *type, uint32_t pages);

/* INIT with each of `versions` (0 ends them) until one is taken. */
void persona_net_init(struct persona_net *n, const uint32_t *versions, uint32_t size);
void persona_net_configure(struct persona_net *n, uint32_t mtu, uint64_t capabilities,
                           uint32_t size);
void persona_net_ndis(struct persona_net *n, uint32_t major, uint32_t minor, uint32_t size);
void persona_net_give_receive(struct persona_net *n, uint32_t bytes, uint16_t id, uint32_t size);
void persona_net_give_send(struct persona_net *n, uint32_t bytes, uint16_t id, uint32_t size);
/* As drivers leave: the buffers revoked and unshared. */
void persona_net_revoke(struct persona_net *n, uint16_t send_id, uint32_t size);

/* What drivers do once the buffers are there: initialize, ask for the address, set the filter. */
void persona_net_begin_rndis(struct persona_net *n, const uint8_t *address);
void persona_net_rndis_init(struct persona_net *n, uint32_t max_transfer);
/* The size of what the object is, in `data`. */
uint32_t persona_net_query(struct persona_net *n, uint32_t oid, void *data, uint32_t capacity);
void persona_net_set(struct persona_net *n, uint32_t oid, const void *data, uint32_t size);
/* A frame for an address of the network's, which comes back from there; compared. */
void persona_net_exchange(struct persona_net *n, uint32_t size);

#endif
