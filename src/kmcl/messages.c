/* SPDX-License-Identifier: BSD-2-Clause */

#include "kmcl/messages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Atomic(size_t) messages_max = (size_t)16 << 20;

void messages_init(struct messages *m)
{
	m->first = NULL;
	m->last = &m->first;
	m->bytes = 0;
}

/* With what malloc adds. */
static size_t message_cost(size_t size)
{
	return sizeof(struct message) + size + 16;
}

static int messages_keep(struct messages *m, struct partition_address to, const void *payload,
                         size_t size)
{
	struct message *message;

	if (m->bytes + message_cost(size) > messages_max)
		return -ENOBUFS;
	message = malloc(sizeof(*message) + size);
	if (!message)
		return -ENOMEM;
	m->bytes += message_cost(size);
	message->next = NULL;
	message->to = to;
	message->size = size;
	memcpy(message->payload, payload, size);
	*m->last = message;
	m->last = &message->next;
	return 0;
}

int messages_post(struct messages *m, struct partition *p, struct partition_address to,
                  const void *payload, size_t size)
{
	int rc = m->first ? -EAGAIN : partition_post(p, to, payload, size);

	return rc == -EAGAIN ? messages_keep(m, to, payload, size) : 0;
}

static void messages_remove_first(struct messages *m)
{
	struct message *message = m->first;

	m->bytes -= message_cost(message->size);
	m->first = message->next;
	if (!m->first)
		m->last = &m->first;
	free(message);
}

void messages_flush(struct messages *m, struct partition *p)
{
	while (m->first &&
	       partition_post(p, m->first->to, m->first->payload, m->first->size) != -EAGAIN)
		messages_remove_first(m);
}

void messages_drop(struct messages *m)
{
	while (m->first)
		messages_remove_first(m);
}
