/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What the client has to say, in the order in which it came up, while the host has no room. Each is
 * part of what it is about and is put into words when it is said, so the queue takes no memory of
 * its own, and what is not wanted any more is taken out of it.
 */

#include "bus/client_private.h"

#define DUE_OF(due, type, member) ((type *)(void *)((char *)(due)-offsetof(type, member)))

static void due_append(struct client *c, struct client_due *due)
{
	due->next = NULL;
	due->previous = c->last_due;
	if (c->last_due)
		c->last_due->next = due;
	else
		c->first_due = due;
	c->last_due = due;
}

void client_due_cancel(struct client *c, struct client_due *due)
{
	if (!client_is_due(due))
		return;
	due->kind = CLIENT_DUE_NOTHING;
	if (due->previous)
		due->previous->next = due->next;
	else
		c->first_due = due->next;
	if (due->next)
		due->next->previous = due->previous;
	else
		c->last_due = due->previous;
}

void client_due_cancel_all(struct client *c)
{
	while (c->first_due)
		client_due_cancel(c, c->first_due);
	c->busy = false;
}

/* Into c->outgoing; its size. */
static size_t due_put(struct client *c, struct client_due *due)
{
	switch (due->kind) {
	case CLIENT_DUE_NOTHING:
		break;
	case CLIENT_DUE_CONTACT:
		return client_put_contact(c);
	case CLIENT_DUE_REQUEST_OFFERS:
		return client_put_header(c, WIRE_REQUEST_OFFERS);
	case CLIENT_DUE_UNLOAD:
		return client_put_header(c, WIRE_UNLOAD);
	case CLIENT_DUE_OPEN:
		return client_put_open(c, DUE_OF(due, struct client_channel, open_due));
	case CLIENT_DUE_CLOSE:
		return client_put_channel(c, WIRE_CLOSE_CHANNEL,
		                          DUE_OF(due, struct client_channel, end_due));
	case CLIENT_DUE_RELEASE:
		return client_put_channel(c, WIRE_RELID_RELEASED,
		                          DUE_OF(due, struct client_channel, end_due));
	case CLIENT_DUE_GPADL:
		return client_put_gpadl(c, DUE_OF(due, struct client_gpadl, due));
	case CLIENT_DUE_TEARDOWN:
		return client_put_teardown(c, DUE_OF(due, struct client_gpadl, due));
#ifdef KMCL_GUEST_ALONE
	case CLIENT_DUE_TL_CONNECT:
	case CLIENT_DUE_MODIFY:
		break;
#else
	case CLIENT_DUE_TL_CONNECT:
		return client_put_tl_connect(c);
	case CLIENT_DUE_MODIFY:
		return client_put_modify(c, DUE_OF(due, struct client_channel, modify_due));
#endif
	}
	return 0;
}

/* What follows from having said it. */
static void due_said(struct client *c, struct client_due *due, enum client_due_kind kind)
{
	if (kind == CLIENT_DUE_UNLOAD)
		client_unload_said(c);
	else if (kind == CLIENT_DUE_RELEASE)
		client_release_said(c, DUE_OF(due, struct client_channel, end_due));
#ifndef KMCL_GUEST_ALONE
	else if (kind == CLIENT_DUE_MODIFY)
		client_modify_said(c, DUE_OF(due, struct client_channel, modify_due));
#endif
}

/* A GPADL takes more than one message. */
static bool due_goes_on(struct client_due *due)
{
	return due->kind == CLIENT_DUE_GPADL &&
	       client_gpadl_goes_on(DUE_OF(due, struct client_gpadl, due));
}

static void due_say(struct client *c)
{
	struct client_due *due;

	while (!c->busy && (due = c->first_due) != NULL) {
		enum client_due_kind kind = due->kind;
		size_t size = due_put(c, due);

		c->busy = !c->ops.send(c->context, &c->outgoing, size, c->connection_id);
		if (c->busy || due_goes_on(due))
			continue;
		client_due_cancel(c, due);
		due_said(c, due, kind);
	}
}

void client_due(struct client *c, struct client_due *due, enum client_due_kind kind)
{
	due->kind = kind;
	due_append(c, due);
	due_say(c);
}

enum bus_result client_resume(struct client *c)
{
	if (!client_enter(c))
		return BUS_REENTERED;
	c->busy = false;
	due_say(c);
	return client_leave(c, c->busy ? BUS_BUSY : BUS_OK);
}
