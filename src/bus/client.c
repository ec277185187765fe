/* SPDX-License-Identifier: BSD-2-Clause */
#include "bus/client_private.h"

void *client_allocate(struct client *c, size_t size)
{
	return c->ops.memory.allocate(c->context, size);
}

void client_free(struct client *c, void *memory, size_t size)
{
	c->ops.memory.release(c->context, memory, size);
}

size_t client_put_header(struct client *c, uint32_t type)
{
	__builtin_memset(&c->outgoing, 0, sizeof(c->outgoing));
	c->outgoing.header.type = type;
	return sizeof(c->outgoing.header);
}

void client_fault(struct client *c, uint32_t type, const char *what, uint64_t expected,
                  uint64_t actual)
{
	struct bus_fault fault = {
		.message = wire_message_name(type),
		.what = what,
		.expected = expected,
		.actual = actual,
	};

	if (c->ops.fault)
		c->ops.fault(c->context, &fault);
}

void client_say_modified(struct client *c, const struct client_channel *channel, uint32_t status)
{
	if (c->ops.modified)
		c->ops.modified(c->context, channel->owner, channel->offer.channel_id, status);
}

static void say_tl_result(struct client *c, const struct bus_guid *endpoint,
                          const struct bus_guid *service, uint32_t status)
{
	if (c->ops.tl_result)
		c->ops.tl_result(c->context, endpoint, service, status);
}

static bool ops_are_there(const struct client_ops *ops)
{
	return ops->memory.allocate && ops->memory.release && ops->send && ops->connected &&
	       ops->offer && ops->rescind && ops->opened && ops->gpadl_created &&
	       ops->gpadl_torndown && ops->unloaded;
}

enum bus_result client_create(const struct client_ops *ops, void *context, struct client **client)
{
	struct client *c;

	*client = NULL;
	if (!ops_are_there(ops))
		return BUS_NO_OP;
	c = ops->memory.allocate(context, sizeof(*c));
	if (!c)
		return BUS_NO_MEMORY;
	c->ops = *ops;
	c->context = context;
	*client = c;
	return BUS_OK;
}

enum bus_result client_destroy(struct client *c)
{
	if (!c)
		return BUS_OK;
	if (!client_enter(c))
		return BUS_REENTERED;
	client_free_channels(c);
	client_free(c, c, sizeof(*c));
	return BUS_OK;
}

uint32_t client_version(const struct client *c)
{
	return c->state == CLIENT_CONNECTED ? c->version : 0;
}

/* Linux vmbus_set_event: at 0.13 everything goes through the page, later what is not dedicated. At
 * 5.0 and up the host was not told of a page. */
bool client_uses_shared_interrupt(const struct client *c, const struct bus_offer *offer)
{
	uint32_t version = client_version(c);

	if (version < WIRE_VERSION_1_1)
		return true;
	return version < WIRE_VERSION_5_0 && !offer->dedicated_interrupt;
}

/* OpenVMM handle_initiate_contact: dedicated at 1.1 is from guest to host alone. */
bool client_hears_shared_interrupt(const struct client *c)
{
	return client_version(c) < WIRE_VERSION_2_4;
}

size_t client_put_tl_connect(struct client *c)
{
	struct wire_tl_connect_request *message = &c->outgoing.tl_connect_request;

	client_put_header(c, WIRE_TL_CONNECT_REQUEST);
	__builtin_memcpy(message->endpoint_id, &c->tl_endpoint, sizeof(message->endpoint_id));
	__builtin_memcpy(message->service_id, &c->tl_service, sizeof(message->service_id));
	return wire_tl_connect_request_size(c->version);
}

static enum bus_result tl_connect(struct client *c, const struct bus_guid *endpoint,
                                  const struct bus_guid *service)
{
	if (client_version(c) < WIRE_VERSION_4_0) {
		say_tl_result(c, endpoint, service, BUS_STATUS_CONNECTION_REFUSED);
		return BUS_OK;
	}
	if (client_is_due(&c->tl_due))
		return BUS_BUSY;
	c->tl_endpoint = *endpoint;
	c->tl_service = *service;
	client_due(c, &c->tl_due, CLIENT_DUE_TL_CONNECT);
	return BUS_OK;
}

enum bus_result client_tl_connect(struct client *c, const struct bus_guid *endpoint,
                                  const struct bus_guid *service)
{
	if (!client_enter(c))
		return BUS_REENTERED;
	return client_leave(c, tl_connect(c, endpoint, service));
}

void client_on_tl_result(struct client *c, const struct wire_tl_connect_result *message)
{
	struct bus_guid endpoint, service;

	__builtin_memcpy(&endpoint, message->endpoint_id, sizeof(endpoint));
	__builtin_memcpy(&service, message->service_id, sizeof(service));
	say_tl_result(c, &endpoint, &service, bus_status_from_wire(message->status));
}

static enum bus_result client_dispatch(struct client *c, const union wire_message *message)
{
	switch (message->header.type) {
	case WIRE_VERSION_RESPONSE:
		client_on_version_response(c, &message->version_response);
		break;
	case WIRE_OFFER_CHANNEL:
		return client_on_offer(c, &message->offer_channel);
	case WIRE_RESCIND_CHANNEL_OFFER:
		client_on_rescind(c, &message->channel);
		break;
	case WIRE_ALL_OFFERS_DELIVERED:
		client_on_offers_delivered(c);
		break;
	case WIRE_OPEN_CHANNEL_RESULT:
		client_on_open_result(c, &message->open_channel_result);
		break;
	case WIRE_GPADL_CREATED:
		client_on_gpadl_created(c, &message->gpadl_created);
		break;
	case WIRE_GPADL_TORNDOWN:
		client_on_gpadl_torndown(c, &message->gpadl_torndown);
		break;
	case WIRE_UNLOAD_COMPLETE:
		client_on_unload_complete(c);
		break;
#ifndef KMCL_GUEST_ALONE
	case WIRE_MODIFY_CHANNEL_RESPONSE:
		client_on_modify_response(c, &message->modify_channel_response);
		break;
	case WIRE_TL_CONNECT_RESULT:
		client_on_tl_result(c, &message->tl_connect_result);
		break;
#endif
	default: /* CLOSE_RESERVED_RESPONSE */
		client_fault(c, message->header.type, "answers nothing that was asked", 0, 0);
		break;
	}
	return BUS_OK;
}

/* On its way out a client hears nothing but the goodbye. */
static bool client_hears(const struct client *c, uint32_t type)
{
	return c->state != CLIENT_UNLOADING || type == WIRE_UNLOAD_COMPLETE;
}

static enum bus_result take_message(struct client *c, const void *bytes, size_t size)
{
	bool agreed = c->state == CLIENT_CONNECTED || c->state == CLIENT_UNLOADING;
	union wire_message *message = &c->incoming;
	struct wire_message_error error;

	if (c->left && c->state == CLIENT_DISCONNECTED)
		return BUS_OK; /* it crossed the goodbye, or is the answer to one at 0.13 */
	error = wire_message_decode(message, bytes, size, WIRE_FROM_HOST, agreed ? c->version : 0,
	                            agreed ? c->features : 0);
	if (error.problem != WIRE_MESSAGE_OK) {
		client_fault(c, message->header.type, wire_message_problem(error.problem),
		             error.expected, error.actual);
		return BUS_OK;
	}
	return client_hears(c, message->header.type) ? client_dispatch(c, message) : BUS_OK;
}

enum bus_result client_message(struct client *c, const void *bytes, size_t size)
{
	if (!client_enter(c))
		return BUS_REENTERED;
	return client_leave(c, take_message(c, bytes, size));
}

static void connection_reset(struct client *c)
{
	bool connecting = c->state == CLIENT_CONNECTING && !c->unload_wanted;
	bool unloading = c->state == CLIENT_UNLOADING || c->unload_wanted;

	c->state = CLIENT_DISCONNECTED;
	c->unload_wanted = false;
	client_due_cancel_all(c);
	client_drop_channels(c);
	if (connecting)
		c->ops.connected(c->context, 0, 0);
	if (unloading)
		c->ops.unloaded(c->context);
}

enum bus_result client_reset(struct client *c)
{
	if (!client_enter(c))
		return BUS_REENTERED;
	connection_reset(c);
	return client_leave(c, BUS_OK);
}
