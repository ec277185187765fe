/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_MESSAGES_H
#define KMCL_MESSAGES_H

/* Messages that the partition could not take yet, in order. The bus's lock guards them. */

#include "kmcl/account.h"
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

struct message {
	struct message *next;
	struct partition_address to;
	size_t size;
	uint8_t payload[];
};

struct messages {
	struct message *first;
	struct message **last;
	struct account *account;
};

/* What is kept is charged to the account. */
void messages_init(struct messages *m, struct account *account);
/* Posts it, or keeps it for messages_flush(). -ENOMEM; -ENOBUFS: the account is full. It is lost
 * then, and so the other end is as good as gone. */
int messages_post(struct messages *m, struct partition *p, struct partition_address to,
                  const void *payload, size_t size);
void messages_flush(struct messages *m, struct partition *p);
void messages_drop(struct messages *m);

#endif
