/* SPDX-License-Identifier: BSD-2-Clause */
#include "bus/server_private.h"

const struct server_limits server_limits_default = {
	.channels = WIRE_CHANNEL_ID_MAX,
	.gpadls = 8192,
	.gpadl_pages = 1u << 20, /* 8 MiB of page numbers, for 4 GiB of guest memory */
	.gpadls_building = 256,
};

void *server_allocate(struct server *s, size_t size)
{
	return s->ops.memory.allocate(s->context, size);
}

void server_release(struct server *s, void *memory, size_t size)
{
	if (memory)
		s->ops.memory.release(s->context, memory, size);
}

void server_send(struct server *s, const void *message, size_t size)
{
	s->ops.send(s->context, message, size, s->message_vp, s->message_sint);
}

void server_fault(struct server *s, uint32_t type, const char *what, uint64_t expected,
                  uint64_t actual)
{
	struct bus_fault fault = {
		.message = wire_message_name(type),
		.what = what,
		.expected = expected,
		.actual = actual,
	};

	if (s->ops.fault)
		s->ops.fault(s->context, &fault);
}

static bool ops_are_there(const struct server_ops *ops)
{
	return ops->memory.allocate && ops->memory.release &&
	       !ops->gpadl_memory.allocate == !ops->gpadl_memory.release && ops->send &&
	       ops->contact && ops->disconnected && ops->open && ops->close && ops->modify &&
	       ops->gpadl && ops->gpadl_teardown && ops->revoked;
}

enum bus_result server_create(const struct server_ops *ops, void *context,
                              const struct server_limits *limits, uint32_t version_max,
                              struct server **server)
{
	struct server *s;

	*server = NULL;
	if (!ops_are_there(ops))
		return BUS_NO_OP;
	s = ops->memory.allocate(context, sizeof(*s));
	if (!s)
		return BUS_NO_MEMORY;
	s->ops = *ops;
	if (!s->ops.gpadl_memory.allocate)
		s->ops.gpadl_memory = s->ops.memory;
	s->context = context;
	s->limits = *limits;
	if (s->limits.channels > WIRE_CHANNEL_ID_MAX)
		s->limits.channels = WIRE_CHANNEL_ID_MAX;
	s->version_max = version_max;
	s->message_sint = WIRE_SINT_DEFAULT;
	*server = s;
	return BUS_OK;
}

enum bus_result server_destroy(struct server *s)
{
	struct server_channel *next;

	if (!s)
		return BUS_OK;
	if (!server_enter(s))
		return BUS_REENTERED;
	for (struct server_channel *channel = s->first; channel; channel = next) {
		next = channel->next;
		gpadls_free(s, channel);
		server_release(s, channel, sizeof(*channel));
	}
	server_release(s, s, sizeof(*s));
	return BUS_OK;
}

uint32_t server_version(const struct server *s)
{
	return s->state == CONNECTION_CONNECTED ? s->contact.version : 0;
}

/* A connection that came to be is announced by its offer; only a failure is said, since 4.1
 * (OpenVMM send_tl_connect_result). */
static void tl_result(struct server *s, const struct bus_guid *endpoint,
                      const struct bus_guid *service, uint32_t status)
{
	struct wire_tl_connect_result message = { .header.type = WIRE_TL_CONNECT_RESULT };

	if (status == BUS_STATUS_SUCCESS || server_version(s) < WIRE_VERSION_4_1)
		return;
	__builtin_memcpy(message.endpoint_id, endpoint, sizeof(message.endpoint_id));
	__builtin_memcpy(message.service_id, service, sizeof(message.service_id));
	message.status = status;
	server_send(s, &message, sizeof(message));
}

enum bus_result server_tl_result(struct server *s, const struct bus_guid *endpoint,
                                 const struct bus_guid *service, uint32_t status)
{
	if (!server_enter(s))
		return BUS_REENTERED;
	tl_result(s, endpoint, service, status);
	return server_leave(s, BUS_OK);
}

static void server_on_tl_connect(struct server *s, const struct wire_tl_connect_request *message)
{
	struct bus_guid endpoint, service, silo = { { 0 } };

	__builtin_memcpy(&endpoint, message->endpoint_id, sizeof(endpoint));
	__builtin_memcpy(&service, message->service_id, sizeof(service));
	if (s->contact.version >= WIRE_VERSION_5_2)
		__builtin_memcpy(&silo, message->silo_id, sizeof(silo));
	if (s->ops.tl_connect)
		s->ops.tl_connect(s->context, &endpoint, &service, &silo);
	else
		tl_result(s, &endpoint, &service, BUS_STATUS_CONNECTION_REFUSED);
}

static void server_dispatch(struct server *s, const union wire_message *message, size_t size)
{
	switch (message->header.type) {
	case WIRE_INITIATE_CONTACT:
		server_on_initiate_contact(s, &message->initiate_contact, size);
		break;
	case WIRE_UNLOAD:
		server_on_unload(s);
		break;
	case WIRE_REQUEST_OFFERS:
		server_on_request_offers(s);
		break;
	case WIRE_GPADL_HEADER:
		server_on_gpadl_header(s, message, size);
		break;
	case WIRE_GPADL_BODY:
		server_on_gpadl_body(s, message, size);
		break;
	case WIRE_GPADL_TEARDOWN:
		server_on_gpadl_teardown(s, &message->gpadl_teardown);
		break;
	case WIRE_OPEN_CHANNEL:
		server_on_open(s, &message->open_channel);
		break;
	case WIRE_CLOSE_CHANNEL:
		server_on_close(s, &message->channel);
		break;
	case WIRE_MODIFY_CHANNEL:
		server_on_modify(s, &message->modify_channel);
		break;
	case WIRE_RELID_RELEASED:
		server_on_released(s, &message->channel);
		break;
	case WIRE_TL_CONNECT_REQUEST:
		server_on_tl_connect(s, &message->tl_connect_request);
		break;
	case WIRE_MODIFY_CONNECTION:
		server_on_modify_connection(s, &message->modify_connection);
		break;
	default: /* OPEN_RESERVED_CHANNEL, CLOSE_RESERVED_CHANNEL */
		server_fault(s, message->header.type, "no channel is reserved here", 0,
		             message->channel.channel_id);
		break;
	}
}

/* UNLOAD may come while an earlier goodbye or contact is still being worked off. */
static bool server_unload_allowed(const struct server *s, const struct wire_message_error *error,
                                  uint32_t type)
{
	return type == WIRE_UNLOAD && error->problem == WIRE_MESSAGE_NOT_IN_VERSION &&
	       s->state != CONNECTION_DISCONNECTED;
}

static void take_message(struct server *s, const void *bytes, size_t size)
{
	union wire_message *message = &s->incoming;
	uint32_t features = server_version(s) ? s->contact.feature_flags : 0;
	struct wire_message_error error = wire_message_decode(message, bytes, size, WIRE_FROM_GUEST,
	                                                      server_version(s), features);

	if (error.problem != WIRE_MESSAGE_OK &&
	    !server_unload_allowed(s, &error, message->header.type)) {
		server_fault(s, message->header.type, wire_message_problem(error.problem),
		             error.expected, error.actual);
		return;
	}
	server_dispatch(s, message, size);
}

enum bus_result server_message(struct server *s, const void *bytes, size_t size)
{
	if (!server_enter(s))
		return BUS_REENTERED;
	take_message(s, bytes, size);
	return server_leave(s, BUS_OK);
}
