/* SPDX-License-Identifier: BSD-2-Clause */

#include "kmcl/messages.h"

#include <errno.h>
#include <string.h>

void messages_init(struct messages *m, struct account *account)
{
	m->first = NULL;
	m->last = &m->first;
	m->account = account;
}

static int messages_keep(struct messages *m, struct partition_address to, const void *payload,
                         size_t size)
{
	size_t whole = sizeof(struct message) + size;
	struct message *message;

	if (!account_has_room(m->account, ACCOUNT_MESSAGES, whole))
		return -ENOBUFS;
	message = account_allocate(m->account, ACCOUNT_MESSAGES, whole);
	if (!message)
		return -ENOMEM;
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

	m->first = message->next;
	if (!m->first)
		m->last = &m->first;
	account_free(m->account, ACCOUNT_MESSAGES, message, sizeof(*message) + message->size);
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
