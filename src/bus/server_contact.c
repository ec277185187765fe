/* SPDX-License-Identifier: BSD-2-Clause */

/* The server's connection: contact, unload, reset, and what waits behind them. */

#include "bus/server_private.h"

/* Redirected interrupts, confidential channels, pausing, monitor pages of the host's and pinned
 * memory are known and not offered. */
static uint32_t server_features(const struct server *s)
{
	uint32_t features = WIRE_FEATURE_SIGNAL_PARAMETERS | WIRE_FEATURE_CLIENT_ID;

	if (s->ops.monitor_pages)
		features |= WIRE_FEATURE_MODIFY_CONNECTION;
	return features;
}

/*
 * Which field counts since when: OpenVMM vmbus_server/src/channels.rs, handle_initiate_contact.
 * mu_msvm asks for 6.0 through connection id 1 and leaves the SINT 0; there OpenVMM takes 2.
 */
static void contact_parse(struct contact_request *request,
                          const struct wire_initiate_contact *message)
{
	struct server_contact *contact = &request->contact;
	uint32_t version = message->version;

	__builtin_memset(request, 0, sizeof(*request));
	contact->version = version;
	contact->message_sint = WIRE_SINT_DEFAULT;
	if (version >= WIRE_VERSION_3_0)
		contact->message_vp = message->target_vp;
	if (version < WIRE_VERSION_2_4)
		contact->interrupt_page = message->interrupt_page;
	if (version >= WIRE_VERSION_5_0 && message->target_sint)
		contact->message_sint = message->target_sint;
	if (version >= WIRE_VERSION_5_1)
		contact->vtl = message->target_vtl;
	if (version >= WIRE_VERSION_6_0)
		contact->feature_flags = message->feature_flags;
	if (contact->feature_flags & WIRE_FEATURE_CLIENT_ID)
		__builtin_memcpy(&contact->client_id, message->client_id,
		                 sizeof(contact->client_id));
	contact->monitor_pages[0] = message->monitor_page_to_guest;
	contact->monitor_pages[1] = message->monitor_page_to_host;
	request->monitor_pages_bad = !contact->monitor_pages[0] != !contact->monitor_pages[1];
}

/* `state` other than successful: the version would do, but something else failed. */
static void send_version_response(struct server *s, uint32_t version, uint8_t state)
{
	struct wire_version_response message = { .header.type = WIRE_VERSION_RESPONSE };

	/* Before 2.4 there is no connection_state: all a guest can be told is "unsupported". */
	if (state != WIRE_CONNECTION_STATE_SUCCESSFUL && version < WIRE_VERSION_2_4)
		version = 0;
	if (version) {
		message.version_supported = 1;
		message.connection_state = state;
		message.selected_version = version;
		if (version >= WIRE_VERSION_5_0)
			message.message_connection_id = WIRE_CONNECTION_MULTICLIENT;
		if (version >= WIRE_VERSION_6_0)
			message.feature_flags = s->contact.feature_flags;
	}
	server_send(s, &message, wire_version_response_size(version));
}

/* Clients run in VTL 0 and, in a paravisor, 2 (OpenVMM has a server for each, and one hands
 * contacts for the other on; this one has the offers of both). */
static bool contact_vtl_good(const struct server_contact *contact)
{
	return contact->vtl == 0 || contact->vtl == 2;
}

static void contact_begin(struct server *s, const struct contact_request *request)
{
	const struct server_contact *contact = &request->contact;

	s->message_vp = contact->message_vp;
	s->message_sint = contact->message_sint;
	if (!wire_version_known(contact->version) || contact->version > s->version_max ||
	    !contact_vtl_good(contact)) {
		send_version_response(s, 0, 0);
		return;
	}
	s->contact = *contact;
	s->contact.feature_flags &= server_features(s);
	if (request->monitor_pages_bad) {
		send_version_response(s, contact->version, WIRE_CONNECTION_STATE_UNKNOWN_FAILURE);
		return;
	}
	s->state = CONNECTION_CONNECTING;
	s->next = NEXT_NOTHING;
	s->ops.contact(s->context, &s->contact);
}

/* At 0.13 as well: iPXE, which comes back at that version so that what it boots finds the bus in
 * its oldest form, ends with an UNLOAD and waits for this one (src/interface/hyperv/vmbus.c,
 * vmbus_unload). Drivers that expect none have left by then. */
static void send_unload_complete(struct server *s)
{
	struct wire_message_header message = { .type = WIRE_UNLOAD_COMPLETE };

	server_send(s, &message, sizeof(message));
}

static void connection_go_on(struct server *s)
{
	enum connection_next next = s->next;

	s->next = NEXT_NOTHING;
	switch (next) {
	case NEXT_NOTHING:
	case NEXT_RESET:
		break;
	case NEXT_UNLOAD:
		send_unload_complete(s);
		break;
	case NEXT_CONTACT:
		contact_begin(s, &s->next_contact);
		break;
	}
}

static void disconnected(struct server *s)
{
	s->state = CONNECTION_DISCONNECTED;
	s->ops.disconnected(s->context);
	connection_go_on(s);
}

void server_check_disconnected(struct server *s)
{
	if (s->state == CONNECTION_DISCONNECTING && !s->channels_not_closed &&
	    !s->gpadls_of_owners && !s->modifying_connection)
		disconnected(s);
}

static void forget_channels(struct server *s)
{
	struct server_channel *next;

	for (struct server_channel *channel = s->first; channel; channel = next) {
		next = channel->next;
		channel_forget(s, channel);
	}
}

/* The guest is finished with this connection; `next` follows once everything has been let go. */
static void disconnect(struct server *s, enum connection_next next)
{
	s->next = next;
	switch (s->state) {
	case CONNECTION_DISCONNECTED:
		connection_go_on(s);
		break;
	case CONNECTION_CONNECTING: /* server_contact_done() goes on */
	case CONNECTION_DISCONNECTING:
		break;
	case CONNECTION_CONNECTED:
		s->offers_requested = false;
		forget_channels(s);
		s->state = CONNECTION_DISCONNECTING;
		server_check_disconnected(s);
		break;
	}
}

void server_on_initiate_contact(struct server *s, const struct wire_initiate_contact *message,
                                size_t size)
{
	struct contact_request request;

	contact_parse(&request, message);
	if (request.contact.message_sint > WIRE_SINT_MAX) {
		server_fault(s, WIRE_INITIATE_CONTACT, "target SINT", WIRE_SINT_MAX,
		             request.contact.message_sint);
		return;
	}
	if (size < wire_initiate_contact_size(request.contact.feature_flags)) {
		server_fault(s, WIRE_INITIATE_CONTACT, "too short for its client id",
		             wire_initiate_contact_size(request.contact.feature_flags), size);
		return;
	}
	s->next_contact = request;
	disconnect(s, NEXT_CONTACT);
}

void server_on_unload(struct server *s)
{
	disconnect(s, NEXT_UNLOAD);
}

static void connection_reset(struct server *s)
{
	if (s->state == CONNECTION_DISCONNECTED)
		s->ops.disconnected(s->context);
	else
		disconnect(s, NEXT_RESET);
}

enum bus_result server_reset(struct server *s)
{
	if (!server_enter(s))
		return BUS_REENTERED;
	connection_reset(s);
	return server_leave(s, BUS_OK);
}

static void contact_done(struct server *s, bool accepted)
{
	if (s->state != CONNECTION_CONNECTING)
		return;
	if (s->next != NEXT_NOTHING) {
		/* Nobody waits for that answer any more. */
		if (accepted || s->next == NEXT_RESET) {
			disconnected(s);
		} else {
			s->state = CONNECTION_DISCONNECTED;
			connection_go_on(s);
		}
		return;
	}
	s->state = accepted ? CONNECTION_CONNECTED : CONNECTION_DISCONNECTED;
	send_version_response(s, s->contact.version,
	                      accepted ? WIRE_CONNECTION_STATE_SUCCESSFUL
	                               : WIRE_CONNECTION_STATE_UNKNOWN_FAILURE);
}

enum bus_result server_contact_done(struct server *s, bool accepted)
{
	if (!server_enter(s))
		return BUS_REENTERED;
	contact_done(s, accepted);
	return server_leave(s, BUS_OK);
}

static void send_modify_connection_response(struct server *s, uint8_t state)
{
	struct wire_modify_connection_response message = {
		.header.type = WIRE_MODIFY_CONNECTION_RESPONSE,
		.connection_state = state,
	};

	server_send(s, &message, sizeof(message));
}

void server_on_modify_connection(struct server *s, const struct wire_modify_connection *message)
{
	uint64_t pages[2] = { message->monitor_page_to_guest, message->monitor_page_to_host };

	if (s->modifying_connection) {
		server_fault(s, WIRE_MODIFY_CONNECTION, "the last one was not answered yet", 0, 1);
		return;
	}
	if (!pages[0] != !pages[1]) {
		server_fault(s, WIRE_MODIFY_CONNECTION, "one monitor page without the other",
		             pages[0], pages[1]);
		send_modify_connection_response(s, WIRE_CONNECTION_STATE_UNKNOWN_FAILURE);
		return;
	}
	s->modifying_connection = true;
	s->monitor_pages_asked[0] = pages[0];
	s->monitor_pages_asked[1] = pages[1];
	s->ops.monitor_pages(s->context, pages);
}

static void monitor_pages_done(struct server *s, bool accepted)
{
	if (!s->modifying_connection)
		return;
	s->modifying_connection = false;
	if (s->state != CONNECTION_CONNECTED) {
		server_check_disconnected(s);
		return;
	}
	if (accepted) {
		s->contact.monitor_pages[0] = s->monitor_pages_asked[0];
		s->contact.monitor_pages[1] = s->monitor_pages_asked[1];
	}
	send_modify_connection_response(s, accepted ? WIRE_CONNECTION_STATE_SUCCESSFUL
	                                            : WIRE_CONNECTION_STATE_UNKNOWN_FAILURE);
}

enum bus_result server_monitor_pages_done(struct server *s, bool accepted)
{
	if (!server_enter(s))
		return BUS_REENTERED;
	monitor_pages_done(s, accepted);
	return server_leave(s, BUS_OK);
}
