/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_MESSAGES_H
#define KMCL_MESSAGES_H

/* Messages that the partition could not take yet, in order. The bus's lock guards them. */

#include "partition/partition.h"

/*
 * kmcl's own message between two ends that are both kmcl's: VMBus has no way to say that a GPADL is
 * read-only, so the guest says it here, right before the GPADL's header. On a hypervisor there is
 * no such connection, and nobody posts to it.
 */
#define MESSAGES_KMCL_CONNECTION 0x6b6d63u
struct message_read_only {
	uint32_t channel_id;
	uint32_t gpadl;
};

/* What is kept for an end that does not read, in bytes: 16 MiB, or less in tests. The largest burst
 * that makes sense, GPADLs of 2^20 pages, is some 11 MiB. */
extern _Atomic(size_t) messages_max;

struct message {
	struct message *next;
	struct partition_address to;
	size_t size;
	uint8_t payload[];
};

struct messages {
	struct message *first;
	struct message **last;
	size_t bytes; /* that they take */
};

void messages_init(struct messages *m);
/* Posts it, or keeps it for messages_flush(). -ENOMEM; -ENOBUFS: messages_max. It is lost then, and
 * so the other end is as good as gone. */
int messages_post(struct messages *m, struct partition *p, struct partition_address to,
                  const void *payload, size_t size);
void messages_flush(struct messages *m, struct partition *p);
void messages_drop(struct messages *m);

#endif
