/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_NET_RNDIS_CLIENT_H
#define DEVICES_NET_RNDIS_CLIENT_H

/*
 * Remote NDIS, the driver's side: what it asks and what it is answered, what stands before a frame
 * on its way out, and where the frame is in a message that came. Pure and freestanding.
 *
 * Messages that come lie in memory that the host can write to all the time: each field is read
 * once, checked, and used as it was read.
 *
 * Sources: Linux 6.1 drivers/net/hyperv/rndis_filter.c; mu_msvm MsvmPkg/NetvscDxe.
 */

#include "net/rndis_protocol.h"

#define RNDIS_CLIENT_DATA 64u /* of a request or its answer; what is longer is cut */

/* The most bytes of a control message: header, query, data. */
#define RNDIS_CLIENT_MESSAGE 96u

enum rndis_client_result {
	RNDIS_CLIENT_DONE,    /* answered: see `status` */
	RNDIS_CLIENT_REMOVED, /* the channel closed */
	RNDIS_CLIENT_NOT_SENT,
	RNDIS_CLIENT_REFUSED,  /* the host has not taken the message */
	RNDIS_CLIENT_NONSENSE, /* an answer that is none */
};

/* One question; the caller's memory until netvsc_machine_answered() returned it. */
struct rndis_client_request {
	struct rndis_client_request *next; /* private */
	uint32_t type;                     /* RNDIS_INITIALIZE, RNDIS_QUERY, RNDIS_SET */
	uint32_t oid;
	uint32_t length;                 /* of what is set; then of what was answered */
	uint8_t data[RNDIS_CLIENT_DATA]; /* likewise */
	enum rndis_client_result result;
	uint32_t status; /* RNDIS_STATUS_*: what became of it */
};

static inline bool rndis_client_succeeded(const struct rndis_client_request *request)
{
	return request->result == RNDIS_CLIENT_DONE && request->status == RNDIS_STATUS_SUCCESS;
}

/* Writes the message and returns its size. RNDIS_HALT has no answer. */
uint32_t rndis_client_write(const struct rndis_client_request *request, uint32_t id,
                            uint8_t message[RNDIS_CLIENT_MESSAGE]);

/*
 * The answer to it: `size` bytes of a message, of which the header was read. false: it answers
 * something else, and `fault` says what. Makes of one that is cut short RNDIS_CLIENT_NONSENSE.
 */
bool rndis_client_take(struct rndis_client_request *request, uint32_t id, uint32_t type,
                       const uint8_t *message, uint32_t size, struct machine_fault *fault);

/* What stands before a frame of `length` bytes. */
#define RNDIS_CLIENT_FRAME_HEADER (sizeof(struct rndis_header) + sizeof(struct rndis_packet))
void rndis_client_write_frame(uint32_t length, uint8_t header[RNDIS_CLIENT_FRAME_HEADER]);

/* A frame in a message of `size` bytes. */
struct rndis_client_frame {
	const uint8_t *data; /* in the message */
	uint32_t length;
	/* Values of the per-packet information, RNDIS_RX_* and RNDIS_VLAN_*. */
	bool has_checksum, has_vlan;
	uint32_t checksum, vlan;
};
bool rndis_client_read_frame(const uint8_t *message, uint32_t size,
                             struct rndis_client_frame *frame, struct machine_fault *fault);

/* The status of an indication of `size` bytes; false: it is too short. */
bool rndis_client_read_indication(const uint8_t *message, uint32_t size, uint32_t *status,
                                  struct machine_fault *fault);

#endif
