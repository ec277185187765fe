/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_GUESTS_PERSONA_IC_H
#define TESTS_GUESTS_PERSONA_IC_H

/* An integration component's steps. */

#include "ic/ic_protocol.h"
#include "persona.h"

/* A message as it stands in the ring: a pipe header, the component's header, and a body. */
struct persona_ic {
	struct persona_channel channel;
	uint64_t transaction; /* of the packet that brought it */
	uint16_t packet_flags;
	uint32_t size; /* with the pipe header, as the packet says */
	uint8_t message[PERSONA_PACKET] __attribute__((aligned(8)));
};

void persona_ic_receive(struct persona_ic *ic);
/* Whether one comes within `ms`. */
bool persona_ic_try_receive(struct persona_ic *ic, int ms);
/* The component's header of the message, and the body after it. */
struct ic_header *persona_ic_header(struct persona_ic *ic);
uint8_t *persona_ic_body(struct persona_ic *ic);
/* A heartbeat's answer: the number at the body's begin is one more. */
void persona_ic_count(struct persona_ic *ic);
/* The next message is a heartbeat: counted and answered. */
void persona_ic_beat(struct persona_ic *ic);
/* Answers with the message as it is now, by its packet's transaction, in-band, `size` bytes. */
void persona_ic_answer(struct persona_ic *ic, uint32_t size);

/* The versions that the host lists, in its order; they are framework_count and message_count. */
struct persona_ic_lists {
	uint16_t framework_count, message_count;
	struct ic_version versions[32];
};
/* The next message is the host's lists. */
void persona_ic_lists(struct persona_ic *ic, struct persona_ic_lists *lists);
/* Answers them; `body_size` is what the header says. */
void persona_ic_choose(struct persona_ic *ic, struct ic_version framework,
                       struct ic_version message, uint16_t body_size);
/* As Linux since 4.11 and those made after it do: the newest of `frameworks` and of `versions`
 * (newest first, 0.0 ends them) that the host lists; 16 bytes of a body. The version. */
struct ic_version persona_ic_negotiate(struct persona_ic *ic, const struct ic_version *frameworks,
                                       const struct ic_version *versions);
/* 3.0 and 1.0: what most of them know, of both. */
extern const struct ic_version persona_ic_versions[];
/* As FreeBSD and those made after it do (vmbus_ic_negomsg): of each list the newest that is not
 * newer than the driver's own. The version. */
struct ic_version persona_ic_negotiate_up_to(struct persona_ic *ic, struct ic_version framework,
                                             struct ic_version message);

/* Opens the component's channel, which is not monitored. */
void persona_ic_open(struct persona *p, struct persona_ic *ic, const void *type, uint32_t pages);

#endif
