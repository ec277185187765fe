/* SPDX-License-Identifier: BSD-2-Clause */

/* The client's connection: negotiating a version, asking for offers, saying goodbye. */

#include "bus/client_private.h"

/* What this machine can make use of. */
#define CLIENT_FEATURES (WIRE_FEATURE_SIGNAL_PARAMETERS | WIRE_FEATURE_CLIENT_ID)

size_t client_put_contact(struct client *c)
{
	const struct client_contact *contact = &c->contact;
	struct wire_initiate_contact *message = &c->outgoing.initiate_contact;

	client_put_header(c, WIRE_INITIATE_CONTACT);
	message->version = c->version;
	message->monitor_page_to_guest = contact->monitor_pages[0];
	message->monitor_page_to_host = contact->monitor_pages[1];
	c->features = 0;
	c->connection_id = WIRE_CONNECTION_MESSAGE;
	if (c->version >= WIRE_VERSION_3_0)
		message->target_vp = contact->message_vp;
	if (c->version < WIRE_VERSION_5_0) {
		message->interrupt_page = contact->interrupt_page;
	} else {
		message->target_sint = contact->message_sint;
		c->connection_id = WIRE_CONNECTION_MULTICLIENT;
	}
	if (c->version >= WIRE_VERSION_5_1)
		message->target_vtl = contact->vtl;
	if (c->version >= WIRE_VERSION_6_0) {
		c->features = contact->feature_flags & CLIENT_FEATURES;
		message->feature_flags = c->features;
	}
	if (c->features & WIRE_FEATURE_CLIENT_ID)
		__builtin_memcpy(message->client_id, &contact->client_id,
		                 sizeof(message->client_id));
	return wire_initiate_contact_size(c->features);
}

/* It is put into words when it is said: for the version that is asked for then. */
static void send_contact(struct client *c)
{
	if (!client_is_due(&c->connection_due))
		client_due(c, &c->connection_due, CLIENT_DUE_CONTACT);
}

static enum bus_result contact_begin(struct client *c, const struct client_contact *contact)
{
	uint32_t version = contact->version_max;

	if (!wire_version_known(version))
		version = wire_version_below(version);
	if (c->state != CLIENT_DISCONNECTED || !version ||
	    (contact->vtl && version < WIRE_VERSION_5_1))
		return BUS_REFUSED;
	c->contact = *contact;
	c->version = version;
	c->state = CLIENT_CONNECTING;
	c->left = false;
	c->offers_delivered = false;
	c->gpadl_answers_late = 0;
	send_contact(c);
	return BUS_OK;
}

enum bus_result client_connect(struct client *c, const struct client_contact *contact)
{
	if (!client_enter(c))
		return BUS_REENTERED;
	return client_leave(c, contact_begin(c, contact));
}

static void contact_failed(struct client *c)
{
	bool unloading = c->unload_wanted;

	c->state = CLIENT_DISCONNECTED;
	c->unload_wanted = false;
	if (unloading)
		c->ops.unloaded(c->context);
	else
		c->ops.connected(c->context, 0, 0);
}

/* A host that is not told the VTL takes the guest for one in VTL 0. */
static uint32_t next_version(const struct client *c)
{
	uint32_t version = wire_version_below(c->version);

	return c->contact.vtl && version < WIRE_VERSION_5_1 ? 0 : version;
}

static void contact_refused(struct client *c)
{
	uint32_t version = next_version(c);

	if (!version || c->unload_wanted) {
		contact_failed(c);
		return;
	}
	c->version = version;
	send_contact(c);
}

enum bus_result client_contact_refused(struct client *c)
{
	if (!client_enter(c))
		return BUS_REENTERED;
	if (c->state == CLIENT_CONNECTING)
		contact_refused(c);
	return client_leave(c, BUS_OK);
}

static void start_unload(struct client *c)
{
	bool busy = c->busy;

	c->unload_wanted = false;
	c->state = CLIENT_UNLOADING;
	client_due_cancel_all(c);
	c->busy = busy;
	client_due(c, &c->connection_due, CLIENT_DUE_UNLOAD);
}

void client_unload_said(struct client *c)
{
	if (c->version < WIRE_VERSION_1_1) /* not every host answers */
		client_on_unload_complete(c);
}

/* From 5.0 on the host says which connection its messages are to go to. */
static bool take_connection_id(struct client *c, const struct wire_version_response *message)
{
	uint32_t id = message->message_connection_id;

	if (c->version < WIRE_VERSION_5_0)
		return true;
	if (id == 0 || id > WIRE_CONNECTION_ID_MAX) {
		client_fault(c, WIRE_VERSION_RESPONSE, "message connection id",
		             WIRE_CONNECTION_ID_MAX, id);
		return false;
	}
	c->connection_id = id;
	return true;
}

static void contact_accepted(struct client *c, const struct wire_version_response *message)
{
	if (!take_connection_id(c, message)) {
		contact_failed(c);
		return;
	}
	c->features &= c->version >= WIRE_VERSION_6_0 ? message->feature_flags : 0;
	if (c->unload_wanted) {
		start_unload(c);
		return;
	}
	c->state = CLIENT_CONNECTED;
	c->ops.connected(c->context, c->version, c->features);
	client_due(c, &c->connection_due, CLIENT_DUE_REQUEST_OFFERS);
}

void client_on_version_response(struct client *c, const struct wire_version_response *message)
{
	if (c->state != CLIENT_CONNECTING || client_is_due(&c->connection_due)) {
		client_fault(c, WIRE_VERSION_RESPONSE, "no contact was being made",
		             CLIENT_CONNECTING, c->state);
		return;
	}
	if (!message->version_supported) {
		contact_refused(c);
	} else if (c->version >= WIRE_VERSION_2_4 && message->connection_state) {
		/* The version would do; a lower one would fail the same way. */
		client_fault(c, WIRE_VERSION_RESPONSE, "the host failed to connect", 0,
		             message->connection_state);
		contact_failed(c);
	} else {
		contact_accepted(c, message);
	}
}

static void contact_unload(struct client *c)
{
	switch (c->state) {
	case CLIENT_DISCONNECTED:
		c->ops.unloaded(c->context);
		break;
	case CLIENT_CONNECTING:
		if (c->unload_wanted)
			break;
		c->unload_wanted = true;
		c->ops.connected(c->context, 0, 0);
		if (client_is_due(&c->connection_due)) { /* the host has never heard of it */
			client_due_cancel_all(c);
			contact_failed(c);
		}
		break;
	case CLIENT_CONNECTED:
		start_unload(c);
		break;
	case CLIENT_UNLOADING:
		break;
	}
}

enum bus_result client_unload(struct client *c)
{
	if (!client_enter(c))
		return BUS_REENTERED;
	contact_unload(c);
	return client_leave(c, BUS_OK);
}

void client_on_unload_complete(struct client *c)
{
	if (c->state != CLIENT_UNLOADING || client_is_due(&c->connection_due)) {
		client_fault(c, WIRE_UNLOAD_COMPLETE, "there was no UNLOAD", CLIENT_UNLOADING,
		             c->state);
		return;
	}
	c->state = CLIENT_DISCONNECTED;
	c->left = true;
	client_drop_channels(c);
	c->ops.unloaded(c->context);
}
