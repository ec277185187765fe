/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_IC_IC_SESSION_H
#define DEVICES_IC_IC_SESSION_H

/*
 * One opening of an integration component's channel as the host has it: negotiation, which requests
 * the guest owes an answer to, and the check of whatever the guest sends. Knows no bus, no memory,
 * no clock; the caller serialises.
 */

#include "ic/ic_protocol.h"

#include <stdbool.h>

/* Requests that a guest may leave unanswered before no more are sent to it: its ring does not fill,
 * and an id is not used again while its answer may still come. */
#define IC_OWED_MAX 8u

#define IC_VERSIONS_MAX 8u
#define IC_NEGOTIATION_MAX                                          \
	(sizeof(struct ic_header) + sizeof(struct ic_negotiation) + \
	 2 * IC_VERSIONS_MAX * sizeof(struct ic_version))

enum ic_state {
	IC_CLOSED,
	IC_NEGOTIATING,
	IC_READY,
	IC_REFUSED, /* the guest shares no version */
};

struct ic_session {
	enum ic_state state;
	uint16_t type;                       /* enum ic_message_type of its requests */
	const struct ic_version *versions;   /* oldest first */
	uint32_t version_count;              /* <= IC_VERSIONS_MAX */
	struct ic_version framework, agreed; /* from IC_READY on */
	uint8_t next;
	uint32_t owed_count;
	bool owed[256];
};

/* The channel opened: writes the negotiation and returns its size. */
uint32_t ic_session_begin(struct ic_session *s, uint8_t message[IC_NEGOTIATION_MAX]);
/* It closed. */
void ic_session_end(struct ic_session *s);

/* The header of a request with `size` bytes after it. false: too many are owed. IC_READY only. */
bool ic_session_request(struct ic_session *s, uint16_t size, struct ic_header *header);

enum ic_event {
	IC_EVENT_WRONG,   /* cannot be understood: `what`, `expected`, `actual` */
	IC_EVENT_READY,   /* versions are agreed on */
	IC_EVENT_REFUSED, /* and never will be: `what`, `expected`, `actual` */
	IC_EVENT_ANSWER,  /* to the request `transaction`: `status`, `body`, `size` */
};

struct ic_answer {
	uint8_t transaction;
	uint32_t status;
	const uint8_t *body; /* in what was received */
	uint32_t size;
	const char *what;
	uint64_t expected, actual;
};

/* A message from the guest, without its pipe header. */
enum ic_event ic_session_receive(struct ic_session *s, const uint8_t *message, uint32_t size,
                                 struct ic_answer *answer);

#endif
