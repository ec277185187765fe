/* SPDX-License-Identifier: BSD-2-Clause */

/* The server's channels: offer, open, close, modify, release, revoke. */

#include "bus/server_private.h"

/* OpenVMM vmbus_core ConnectionId::new(): channel id, SINT in bits 12 to 15, VTL from bit 16 on. */
static uint32_t connection_id_of(uint32_t channel_id)
{
	return channel_id | WIRE_SINT_DEFAULT << 12;
}

/*
 * From 2.4 on all channels have an interrupt of their own. At 1.1 one may share the interrupt
 * page, at 0.13 all do (OpenVMM handle_initiate_contact, send_offer; Linux vmbus_set_event).
 */
static bool is_dedicated(const struct server_channel *channel, uint32_t version)
{
	if (version >= WIRE_VERSION_2_4)
		return true;
	return version >= WIRE_VERSION_1_1 && channel->offer.dedicated_interrupt;
}

static uint32_t signal_connection_id(const struct server_channel *channel, uint32_t version)
{
	if (is_dedicated(channel, version))
		return connection_id_of(channel->offer.channel_id);
	return WIRE_CONNECTION_EVENT;
}

/* ---------------- ids ---------------- */

static uint32_t free_channel_id(const struct server *s)
{
	for (uint32_t id = 1; id <= WIRE_CHANNEL_ID_MAX; id++)
		if (!s->by_id[id])
			return id;
	return 0;
}

static bool assign_monitor(struct server *s, struct bus_offer *offer)
{
	for (uint32_t id = 0; id < WIRE_MONITOR_IDS; id++) {
		if (s->monitors_used[id / 32] & 1u << id % 32)
			continue;
		s->monitors_used[id / 32] |= 1u << id % 32;
		offer->monitor_id = (uint8_t)id;
		return true;
	}
	return false;
}

static void release_monitor(struct server *s, const struct bus_offer *offer)
{
	if (offer->monitor_allocated)
		s->monitors_used[offer->monitor_id / 32] &= ~(1u << offer->monitor_id % 32);
}

static void assign_ids(struct server *s, struct server_channel *channel, uint32_t id)
{
	struct bus_offer *offer = &channel->offer;

	offer->channel_id = id;
	offer->connection_id =
		offer->dedicated_interrupt ? connection_id_of(id) : WIRE_CONNECTION_EVENT;
	if (offer->monitor_allocated)
		offer->monitor_allocated = assign_monitor(s, offer);
	if (!offer->monitor_allocated)
		offer->monitor_id = WIRE_MONITOR_ID_NONE;
	s->by_id[id] = channel;
}

/* ---------------- the list ---------------- */

static void list_append(struct server *s, struct server_channel *channel)
{
	channel->previous = s->last;
	if (s->last)
		s->last->next = channel;
	else
		s->first = channel;
	s->last = channel;
	s->channel_count++;
}

static void list_remove(struct server *s, struct server_channel *channel)
{
	if (channel->previous)
		channel->previous->next = channel->next;
	else
		s->first = channel->next;
	if (channel->next)
		channel->next->previous = channel->previous;
	else
		s->last = channel->previous;
	s->channel_count--;
}

static bool same_key(const struct bus_offer *a, const struct bus_offer *b)
{
	return a->subchannel_index == b->subchannel_index &&
	       __builtin_memcmp(&a->type, &b->type, sizeof(a->type)) == 0 &&
	       __builtin_memcmp(&a->instance, &b->instance, sizeof(a->instance)) == 0;
}

static struct server_channel *find_offer(struct server *s, const struct bus_offer *offer)
{
	for (struct server_channel *channel = s->first; channel; channel = channel->next)
		if (!channel->revoked && same_key(&channel->offer, offer))
			return channel;
	return NULL;
}

/* An earlier offer of the same key that the guest still knows and no other offer waits for. */
static struct server_channel *find_predecessor(struct server *s, const struct bus_offer *offer)
{
	for (struct server_channel *channel = s->first; channel; channel = channel->next)
		if (channel->revoked && channel->known && !channel->successor &&
		    same_key(&channel->offer, offer))
			return channel;
	return NULL;
}

static void channel_free(struct server *s, struct server_channel *channel)
{
	list_remove(s, channel);
	s->by_id[channel->offer.channel_id] = NULL;
	release_monitor(s, &channel->offer);
	server_release(s, channel, sizeof(*channel));
}

static void channel_set_state(struct server *s, struct server_channel *channel,
                              enum channel_state state)
{
	if (channel->state == CHANNEL_CLOSED && state != CHANNEL_CLOSED)
		s->channels_not_closed++;
	if (channel->state != CHANNEL_CLOSED && state == CHANNEL_CLOSED)
		s->channels_not_closed--;
	channel->state = state;
}

/* ---------------- offering ---------------- */

static void send_offer(struct server *s, struct server_channel *channel)
{
	uint32_t version = s->contact.version;
	const struct bus_offer *offer = &channel->offer;
	bool monitored = offer->monitor_allocated && s->contact.monitor_pages[0];
	struct wire_offer_channel *message = &s->outgoing.offer_channel;

	__builtin_memset(message, 0, sizeof(*message));
	message->header.type = WIRE_OFFER_CHANNEL;
	message->flags = offer->flags & wire_offer_flags(version);
	message->mmio_megabytes = offer->mmio_megabytes;
	message->subchannel_index = offer->subchannel_index;
	message->mmio_megabytes_optional = offer->mmio_megabytes_optional;
	message->channel_id = offer->channel_id;
	message->monitor_id = monitored ? offer->monitor_id : WIRE_MONITOR_ID_NONE;
	message->monitor_allocated = monitored;
	message->dedicated_interrupt = is_dedicated(channel, version);
	message->connection_id = signal_connection_id(channel, version);
	__builtin_memcpy(message->interface_type, &offer->type, sizeof(message->interface_type));
	__builtin_memcpy(message->interface_instance, &offer->instance,
	                 sizeof(message->interface_instance));
	__builtin_memcpy(message->user_defined, offer->user_defined, sizeof(message->user_defined));
	channel->known = true;
	server_send(s, message, wire_offer_channel_size(version));
}

static bool may_be_offered(const struct server *s, const struct server_channel *channel)
{
	return s->state == CONNECTION_CONNECTED && s->offers_requested && !channel->known &&
	       !channel->revoked && !channel->predecessor && channel->offer.vtl == s->contact.vtl;
}

void server_on_request_offers(struct server *s)
{
	struct wire_message_header message = { .type = WIRE_ALL_OFFERS_DELIVERED };

	if (s->offers_requested) {
		server_fault(s, WIRE_REQUEST_OFFERS, "offers were requested already", 0, 1);
		return;
	}
	s->offers_requested = true;
	for (struct server_channel *channel = s->first; channel; channel = channel->next)
		if (may_be_offered(s, channel))
			send_offer(s, channel);
	server_send(s, &message, sizeof(message));
}

static enum bus_result offer_channel(struct server *s, struct bus_offer *offer, void *owner,
                                     struct server_channel **result)
{
	struct server_channel *channel;
	uint32_t id = free_channel_id(s);

	if (find_offer(s, offer))
		return BUS_OFFERED;
	if (!id || s->channel_count >= s->limits.channels)
		return BUS_REFUSED;
	channel = server_allocate(s, sizeof(*channel));
	if (!channel)
		return BUS_REFUSED;
	channel->server = s;
	channel->offer = *offer;
	channel->owner = owner;
	assign_ids(s, channel, id);
	list_append(s, channel);
	channel->predecessor = find_predecessor(s, offer);
	if (channel->predecessor)
		channel->predecessor->successor = channel;
	*offer = channel->offer;
	*result = channel;
	if (may_be_offered(s, channel))
		send_offer(s, channel);
	return BUS_OK;
}

enum bus_result server_offer(struct server *s, struct bus_offer *offer, void *owner,
                             struct server_channel **channel)
{
	if (!server_enter(s))
		return BUS_REENTERED;
	return server_leave(s, offer_channel(s, offer, owner, channel));
}

/* ---------------- what the guest asks ---------------- */

struct server_channel *server_find_channel(struct server *s, uint32_t type, uint32_t id)
{
	struct server_channel *channel = NULL;

	if (id <= WIRE_CHANNEL_ID_MAX)
		channel = s->by_id[id];
	if (!channel || !channel->known) {
		server_fault(s, type, "no channel of that id", WIRE_CHANNEL_ID_MAX, id);
		return NULL;
	}
	return channel;
}

static void send_open_result(struct server *s, const struct server_channel *channel,
                             uint32_t open_id, uint32_t status)
{
	struct wire_open_channel_result message = {
		.header.type = WIRE_OPEN_CHANNEL_RESULT,
		.channel_id = channel->offer.channel_id,
		.open_id = open_id,
		.status = status,
	};

	server_send(s, &message, sizeof(message));
}

/* Whether signals on that connection already mean something else. */
static bool connection_id_taken(const struct server *s, const struct server_channel *self,
                                uint32_t connection_id)
{
	if (connection_id <= WIRE_CONNECTION_MULTICLIENT || connection_id > WIRE_CONNECTION_ID_MAX)
		return true;
	for (const struct server_channel *other = s->first; other; other = other->next) {
		if (other == self)
			continue;
		if (connection_id_of(other->offer.channel_id) == connection_id)
			return true;
		if (other->state != CHANNEL_CLOSED && other->open.connection_id == connection_id)
			return true;
		if (other->reopen_wanted && other->reopen.connection_id == connection_id)
			return true;
	}
	return false;
}

static bool signal_parameters_good(struct server *s, const struct server_channel *channel,
                                   const struct server_open *open)
{
	if (!(s->contact.feature_flags & WIRE_FEATURE_SIGNAL_PARAMETERS))
		return true; /* they are this end's own */
	if (open->event_flag > WIRE_EVENT_FLAG_MAX) {
		server_fault(s, WIRE_OPEN_CHANNEL, "event flag", WIRE_EVENT_FLAG_MAX,
		             open->event_flag);
		return false;
	}
	if (connection_id_taken(s, channel, open->connection_id)) {
		server_fault(s, WIRE_OPEN_CHANNEL, "connection id is taken or out of range",
		             signal_connection_id(channel, s->contact.version),
		             open->connection_id);
		return false;
	}
	return true;
}

static void open_parse(struct server *s, const struct server_channel *channel,
                       const struct wire_open_channel *message, struct server_open *open)
{
	__builtin_memset(open, 0, sizeof(*open));
	open->open_id = message->open_id;
	open->ring_gpadl = message->ring_gpadl;
	open->ring_offset = message->ring_offset;
	if (s->contact.version >= WIRE_VERSION_2_4)
		open->target_vp = message->target_vp;
	open->connection_id = signal_connection_id(channel, s->contact.version);
	open->event_flag = (uint16_t)channel->offer.channel_id;
	if (s->contact.feature_flags & WIRE_FEATURE_SIGNAL_PARAMETERS) {
		open->connection_id = message->connection_id;
		open->event_flag = message->event_flag;
	}
	__builtin_memcpy(open->user_data, message->user_data, sizeof(open->user_data));
}

static bool ring_good(struct server *s, struct server_channel *channel,
                      const struct server_open *open)
{
	const struct server_gpadl *gpadl = gpadl_usable(s, channel, open->ring_gpadl);

	if (!gpadl) {
		server_fault(s, WIRE_OPEN_CHANNEL, "the channel has no such GPADL for its rings", 0,
		             open->ring_gpadl);
		return false;
	}
	if (open->ring_offset == 0 || open->ring_offset >= gpadl_pages(gpadl)) {
		server_fault(s, WIRE_OPEN_CHANNEL, "ring offset past its GPADL's pages",
		             gpadl_pages(gpadl), open->ring_offset);
		return false;
	}
	return true;
}

/* The channel is closed; the guest gets an answer now or when the owner has given one. */
static void channel_open(struct server *s, struct server_channel *channel,
                         const struct server_open *open)
{
	if (!ring_good(s, channel, open)) {
		send_open_result(s, channel, open->open_id, BUS_STATUS_INVALID_PARAMETER);
		return;
	}
	channel->open = *open;
	channel_set_state(s, channel, CHANNEL_OPENING);
	s->ops.open(s->context, channel->owner, &channel->open);
}

static void channel_close(struct server *s, struct server_channel *channel)
{
	channel_set_state(s, channel, CHANNEL_CLOSING);
	channel->modify_again = false;
	s->ops.close(s->context, channel->owner);
}

/* While the owner lets go the guest is told no; once it was told so by RESCIND, nothing more. */
static void open_revoked(struct server *s, struct server_channel *channel, uint32_t open_id)
{
	if (!channel->revoked_said)
		send_open_result(s, channel, open_id, BUS_STATUS_DEVICE_REMOVED);
}

void server_on_open(struct server *s, const struct wire_open_channel *message)
{
	struct server_channel *channel =
		server_find_channel(s, WIRE_OPEN_CHANNEL, message->channel_id);
	struct server_open *open;

	if (!channel)
		return;
	if (channel->revoked) {
		open_revoked(s, channel, message->open_id);
		return;
	}
	if (channel->state == CHANNEL_OPENING || channel->state == CHANNEL_OPEN ||
	    channel->reopen_wanted) {
		server_fault(s, WIRE_OPEN_CHANNEL, "the channel is not closed", CHANNEL_CLOSED,
		             channel->state);
		return;
	}
	open = &channel->reopen; /* free: none is wanted */
	open_parse(s, channel, message, open);
	if (!signal_parameters_good(s, channel, open)) {
		send_open_result(s, channel, open->open_id, BUS_STATUS_INVALID_PARAMETER);
		return;
	}
	if (channel->state == CHANNEL_CLOSING) {
		/* Nobody tells the guest when a close is done, so it cannot wait for it. */
		channel->reopen_wanted = true;
		return;
	}
	channel_open(s, channel, open);
}

void server_on_close(struct server *s, const struct wire_channel_message *message)
{
	struct server_channel *channel =
		server_find_channel(s, WIRE_CLOSE_CHANNEL, message->channel_id);

	if (!channel || channel->revoked)
		return;
	if (channel->state != CHANNEL_OPEN) {
		server_fault(s, WIRE_CLOSE_CHANNEL, "the channel is not open", CHANNEL_OPEN,
		             channel->state);
		return;
	}
	channel_close(s, channel);
}

static void send_modify_response(struct server *s, const struct server_channel *channel,
                                 uint32_t status)
{
	struct wire_modify_channel_response message = {
		.header.type = WIRE_MODIFY_CHANNEL_RESPONSE,
		.channel_id = channel->offer.channel_id,
		.status = status,
	};

	if (server_version(s) >= WIRE_VERSION_5_3)
		server_send(s, &message, sizeof(message));
}

static void channel_modify(struct server *s, struct server_channel *channel, uint32_t target_vp)
{
	channel->modifying = true;
	channel->open.target_vp = target_vp;
	s->ops.modify(s->context, channel->owner, target_vp);
}

/* The guest may not turn interrupts off or on this way (OpenVMM modify_channel). */
static bool modify_allowed(struct server *s, const struct server_channel *channel,
                           uint32_t target_vp)
{
	const char *what = NULL;

	if (channel->state != CHANNEL_OPEN)
		what = "the channel is not open";
	else if (channel->open.target_vp == WIRE_VP_NO_INTERRUPT)
		what = "the channel has no interrupt";
	else if (target_vp == WIRE_VP_NO_INTERRUPT)
		what = "no target VP";
	if (what)
		server_fault(s, WIRE_MODIFY_CHANNEL, what, CHANNEL_OPEN, channel->state);
	return !what;
}

void server_on_modify(struct server *s, const struct wire_modify_channel *message)
{
	struct server_channel *channel =
		server_find_channel(s, WIRE_MODIFY_CHANNEL, message->channel_id);

	if (!channel)
		return;
	if (channel->revoked) {
		if (!channel->revoked_said)
			send_modify_response(s, channel, BUS_STATUS_UNSUCCESSFUL);
		return;
	}
	if (!modify_allowed(s, channel, message->target_vp)) {
		send_modify_response(s, channel, BUS_STATUS_UNSUCCESSFUL);
	} else if (!channel->modifying) {
		channel_modify(s, channel, message->target_vp);
	} else if (s->contact.version < WIRE_VERSION_5_3) {
		/* The guest cannot know that the last one is not done; the newest counts. */
		channel->modify_again = true;
		channel->modify_vp = message->target_vp;
	} else {
		server_fault(s, WIRE_MODIFY_CHANNEL, "the last one was not answered yet", 0, 1);
	}
}

/*
 * A guest releases what is closed, or closing as far as it knows (OpenVMM handle_rel_id_released).
 * A revoked channel it may release at any time.
 */
static bool release_allowed(const struct server_channel *channel)
{
	if (channel->revoked)
		return true;
	return channel->state == CHANNEL_CLOSED ||
	       (channel->state == CHANNEL_CLOSING && !channel->reopen_wanted);
}

void server_on_released(struct server *s, const struct wire_channel_message *message)
{
	struct server_channel *channel =
		server_find_channel(s, WIRE_RELID_RELEASED, message->channel_id);
	struct server_channel *successor;

	if (!channel)
		return;
	if (!release_allowed(channel)) {
		server_fault(s, WIRE_RELID_RELEASED, "the channel is in use", CHANNEL_CLOSED,
		             channel->state);
		return;
	}
	successor = channel->successor;
	channel_forget(s, channel);
	if (successor && may_be_offered(s, successor))
		send_offer(s, successor);
}

/* ---------------- letting go ---------------- */

static void unlink_successor(struct server_channel *channel)
{
	if (channel->successor)
		channel->successor->predecessor = NULL;
	channel->successor = NULL;
	if (channel->predecessor)
		channel->predecessor->successor = NULL;
	channel->predecessor = NULL;
}

void channel_forget(struct server *s, struct server_channel *channel)
{
	if (!channel->known)
		return;
	channel->known = false;
	channel->reopen_wanted = false;
	unlink_successor(channel);
	gpadls_forget(s, channel);
	if (channel->state == CHANNEL_OPEN)
		channel_close(s, channel);
	channel_settle(s, channel);
}

static void send_rescind(struct server *s, const struct server_channel *channel)
{
	struct wire_channel_message message = {
		.header.type = WIRE_RESCIND_CHANNEL_OFFER,
		.channel_id = channel->offer.channel_id,
	};

	server_send(s, &message, sizeof(message));
}

/* The owner of a revoked channel has nothing of the guest's left in its hands. */
static void channel_revoked(struct server *s, struct server_channel *channel)
{
	channel->revoked_said = true;
	if (channel->known)
		send_rescind(s, channel);
	s->ops.revoked(s->context, channel->owner);
}

void channel_settle(struct server *s, struct server_channel *channel)
{
	if (channel->revoked && channel->state == CHANNEL_CLOSED &&
	    !channel->gpadls_of_owner_count) {
		if (!channel->revoked_said)
			channel_revoked(s, channel);
		if (!channel->known)
			channel_free(s, channel);
	}
	server_check_disconnected(s);
}

static void channel_revoke(struct server *s, struct server_channel *channel)
{
	if (channel->revoked)
		return;
	channel->revoked = true;
	/* One that waited for its predecessor waits no longer, and another one may. */
	if (channel->predecessor)
		unlink_successor(channel);
	if (channel->reopen_wanted) {
		channel->reopen_wanted = false;
		send_open_result(s, channel, channel->reopen.open_id, BUS_STATUS_DEVICE_REMOVED);
	}
	if (channel->state == CHANNEL_OPEN)
		channel_close(s, channel);
	gpadls_advance(s, channel);
	channel_settle(s, channel);
}

enum bus_result server_revoke(struct server *s, struct server_channel *channel)
{
	if (!server_enter(s))
		return BUS_REENTERED;
	channel_revoke(s, channel);
	return server_leave(s, BUS_OK);
}

/* ---------------- what the owner answers ---------------- */

static void open_done(struct server *s, struct server_channel *channel, uint32_t status)
{
	uint32_t answer = channel->revoked ? BUS_STATUS_DEVICE_REMOVED : status;

	if (channel->state != CHANNEL_OPENING)
		return;
	channel_set_state(s, channel, status == BUS_STATUS_SUCCESS ? CHANNEL_OPEN : CHANNEL_CLOSED);
	if (channel->known)
		send_open_result(s, channel, channel->open.open_id, answer);
	if (channel->state == CHANNEL_OPEN && (channel->revoked || !channel->known))
		channel_close(s, channel);
	gpadls_advance(s, channel);
	channel_settle(s, channel);
}

enum bus_result server_open_done(struct server *s, struct server_channel *channel, uint32_t status)
{
	if (!server_enter(s))
		return BUS_REENTERED;
	open_done(s, channel, status);
	return server_leave(s, BUS_OK);
}

/* From 5.3 on a guest waits for the answer, also when it has closed the channel meanwhile. */
static void modify_end(struct server *s, struct server_channel *channel, uint32_t status)
{
	if (channel->modifying && channel->known)
		send_modify_response(s, channel, status);
	channel->modifying = false;
}

static void close_done(struct server *s, struct server_channel *channel)
{
	if (channel->state != CHANNEL_CLOSING)
		return;
	channel_set_state(s, channel, CHANNEL_CLOSED);
	modify_end(s, channel, BUS_STATUS_UNSUCCESSFUL);
	gpadls_advance(s, channel);
	if (channel->reopen_wanted) {
		channel->reopen_wanted = false;
		channel_open(s, channel, &channel->reopen);
	}
	channel_settle(s, channel);
}

enum bus_result server_close_done(struct server *s, struct server_channel *channel)
{
	if (!server_enter(s))
		return BUS_REENTERED;
	close_done(s, channel);
	return server_leave(s, BUS_OK);
}

static void modify_done(struct server *s, struct server_channel *channel, uint32_t status)
{
	modify_end(s, channel, status);
	if (channel->modify_again && channel->state == CHANNEL_OPEN) {
		channel->modify_again = false;
		channel_modify(s, channel, channel->modify_vp);
	}
}

enum bus_result server_modify_done(struct server *s, struct server_channel *channel,
                                   uint32_t status)
{
	if (!server_enter(s))
		return BUS_REENTERED;
	modify_done(s, channel, status);
	return server_leave(s, BUS_OK);
}

const char *server_channel_state(const struct server_channel *channel)
{
	if (channel->revoked && channel->state == CHANNEL_CLOSED)
		return channel->known ? "revoked" : "released";
	switch (channel->state) {
	case CHANNEL_CLOSED:
		if (channel->predecessor)
			return "reoffered";
		return channel->known ? "offered" : "not offered";
	case CHANNEL_OPENING:
		return channel->known ? "opening" : "opening, released";
	case CHANNEL_OPEN:
		return "open";
	case CHANNEL_CLOSING:
		if (channel->reopen_wanted)
			return "closing to reopen";
		return channel->known ? "closing" : "closing, released";
	}
	return "unknown";
}
