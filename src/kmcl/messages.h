/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_MESSAGES_H
#define KMCL_MESSAGES_H

/* Messages that the partition could not take yet, in order. The bus's lock guards them. */

#include "partition/partition.h"

struct message {
	struct message *next;
	struct partition_address to;
	size_t size;
	uint8_t payload[PARTITION_MESSAGE_MAX];
};

struct messages {
	struct message *first;
	struct message **last;
};

void messages_init(struct messages *m);
/* Posts it, or keeps it for messages_flush(). -ENOMEM: it is lost. */
int messages_post(struct messages *m, struct partition *p, struct partition_address to,
		  const void *payload, size_t size);
void messages_flush(struct messages *m, struct partition *p);
void messages_drop(struct messages *m);

#endif
