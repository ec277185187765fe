/* SPDX-License-Identifier: BSD-2-Clause */

/* The client's channels: offers and their end, open, close, modify, release. */

#include "bus/client_private.h"

/* The bits in which channel ids differ are the first ones of the tree's, which is 11 deep then. */
#define CHANNEL_ID_SHIFT 21
static_assert((uint64_t)WIRE_CHANNEL_ID_MAX << CHANNEL_ID_SHIFT <= UINT32_MAX, "ids fit");

struct client_channel *client_channel_at(const struct client *c, uint32_t id)
{
	struct id_node *node = NULL;

	if (id <= WIRE_CHANNEL_ID_MAX)
		node = id_tree_find(&c->channels, id << CHANNEL_ID_SHIFT);
	return node ? ID_TREE_ENTRY(node, struct client_channel, node) : NULL;
}

static void channel_insert(struct client *c, struct client_channel *channel)
{
	channel->node.id = channel->offer.channel_id << CHANNEL_ID_SHIFT;
	id_tree_insert(&c->channels, &channel->node);
}

struct client_channel *client_find_channel(struct client *c, uint32_t id, bool alive)
{
	struct client_channel *channel = client_channel_at(c, id);

	if (channel && alive && (channel->rescinded || c->state != CLIENT_CONNECTED))
		return NULL;
	return channel && !channel->released ? channel : NULL;
}

static void cancel_dues(struct client *c, struct client_channel *channel)
{
	client_due_cancel(c, &channel->modify_due);
	client_due_cancel(c, &channel->open_due);
	client_due_cancel(c, &channel->end_due);
}

static void channel_remove(struct client *c, struct client_channel *channel)
{
	client_free_gpadls(c, channel);
	cancel_dues(c, channel);
	id_tree_remove(&c->channels, &channel->node);
	client_free(c, channel, sizeof(*channel));
}

void client_free_channels(struct client *c)
{
	while (c->channels.root)
		channel_remove(c, ID_TREE_ENTRY(c->channels.root, struct client_channel, node));
}

/* ---------------- offers ---------------- */

static void offer_parse(struct client *c, const struct wire_offer_channel *message,
                        struct bus_offer *offer)
{
	__builtin_memcpy(&offer->type, message->interface_type, sizeof(offer->type));
	__builtin_memcpy(&offer->instance, message->interface_instance, sizeof(offer->instance));
	__builtin_memcpy(offer->user_defined, message->user_defined, sizeof(offer->user_defined));
	offer->flags = message->flags & wire_offer_flags(c->version);
	offer->mmio_megabytes = message->mmio_megabytes;
	offer->channel_id = message->channel_id;
	offer->monitor_allocated = message->monitor_allocated & 1;
	offer->monitor_id = offer->monitor_allocated ? message->monitor_id : WIRE_MONITOR_ID_NONE;
	offer->connection_id = WIRE_CONNECTION_EVENT;
	if (c->version >= WIRE_VERSION_1_1) {
		offer->dedicated_interrupt = message->dedicated_interrupt & 1;
		offer->connection_id = message->connection_id;
	}
	if (c->version >= WIRE_VERSION_2_4) { /* reserved before (mu_msvm) */
		offer->subchannel_index = message->subchannel_index;
		offer->mmio_megabytes_optional = message->mmio_megabytes_optional;
	}
}

static bool offer_good(struct client *c, const struct wire_offer_channel *message)
{
	uint32_t id = message->channel_id;

	if (id == 0 || id > WIRE_CHANNEL_ID_MAX) {
		client_fault(c, WIRE_OFFER_CHANNEL, "channel id", WIRE_CHANNEL_ID_MAX, id);
		return false;
	}
	if (client_channel_at(c, id)) {
		client_fault(c, WIRE_OFFER_CHANNEL, "channel id was not released", 0, id);
		return false;
	}
	if (message->monitor_allocated & 1 && message->monitor_id >= WIRE_MONITOR_IDS) {
		client_fault(c, WIRE_OFFER_CHANNEL, "monitor id", WIRE_MONITOR_IDS - 1,
		             message->monitor_id);
		return false;
	}
	return true;
}

enum bus_result client_on_offer(struct client *c, const struct wire_offer_channel *message)
{
	struct client_channel *channel;

	if (!offer_good(c, message))
		return BUS_OK;
	channel = client_allocate(c, sizeof(*channel));
	if (!channel) {
		client_fault(c, WIRE_OFFER_CHANNEL, "no memory for the offer", sizeof(*channel), 0);
		return BUS_NO_MEMORY;
	}
	offer_parse(c, message, &channel->offer);
	channel_insert(c, channel);
	c->ops.offer(c->context, &channel->offer, &channel->owner);
	return BUS_OK;
}

const struct bus_offer *client_offer(const struct client *c, uint32_t channel_id)
{
	const struct client_channel *channel = client_channel_at(c, channel_id);

	return channel && !channel->rescinded ? &channel->offer : NULL;
}

enum bus_result client_set_owner(struct client *c, uint32_t channel_id, void *owner)
{
	struct client_channel *channel = client_find_channel(c, channel_id, false);

	if (c->entered)
		return BUS_REENTERED;
	if (!channel)
		return BUS_REFUSED;
	channel->owner = owner;
	return BUS_OK;
}

void client_on_offers_delivered(struct client *c)
{
	if (c->offers_delivered) {
		client_fault(c, WIRE_ALL_OFFERS_DELIVERED, "said before", 0, 1);
		return;
	}
	c->offers_delivered = true;
	if (c->ops.offers_delivered)
		c->ops.offers_delivered(c->context);
}

/* A host answers nothing of a rescinded channel any more (Linux vmbus_rescind_cleanup). */
static void channel_rescind(struct client *c, struct client_channel *channel)
{
	uint32_t id = channel->offer.channel_id;
	bool opening = channel->state == CLIENT_CHANNEL_OPENING || channel->reopen_wanted;
	bool modifying = channel->modifying;

	cancel_dues(c, channel);
	channel->rescinded = true;
	channel->modifying = false;
	channel->reopen_wanted = false;
	if (channel->state != CLIENT_CHANNEL_OPEN)
		channel->state = CLIENT_CHANNEL_OFFERED;
	if (opening)
		c->ops.opened(c->context, channel->owner, id, channel->open_id,
		              BUS_STATUS_UNSUCCESSFUL);
	if (modifying)
		client_say_modified(c, channel, BUS_STATUS_UNSUCCESSFUL);
	client_void_gpadls(c, channel);
	c->ops.rescind(c->context, channel->owner, id);
}

void client_on_rescind(struct client *c, const struct wire_channel_message *message)
{
	struct client_channel *channel = client_find_channel(c, message->channel_id, false);

	if (!channel || channel->rescinded) {
		client_fault(c, WIRE_RESCIND_CHANNEL_OFFER,
		             channel ? "rescinded before" : "no channel of that id",
		             WIRE_CHANNEL_ID_MAX, message->channel_id);
		return;
	}
	channel_rescind(c, channel);
}

void client_drop_channels(struct client *c)
{
	for (uint32_t id = 1; id <= WIRE_CHANNEL_ID_MAX; id++) {
		struct client_channel *channel = client_channel_at(c, id);

		if (!channel)
			continue;
		if (!channel->rescinded)
			channel_rescind(c, channel);
		channel_remove(c, channel);
	}
}

size_t client_put_channel(struct client *c, uint32_t type, const struct client_channel *channel)
{
	client_put_header(c, type);
	c->outgoing.channel.channel_id = channel->offer.channel_id;
	return sizeof(c->outgoing.channel);
}

/* Only now may the host offer something else by that id. */
void client_release_said(struct client *c, struct client_channel *channel)
{
	channel_remove(c, channel);
}

static enum bus_result channel_release(struct client *c, uint32_t channel_id)
{
	struct client_channel *channel = client_find_channel(c, channel_id, false);

	if (!channel || !channel->rescinded || channel->state != CLIENT_CHANNEL_OFFERED)
		return BUS_REFUSED;
	channel->released = true;
	client_free_gpadls(c, channel);
	if (c->state == CLIENT_CONNECTED)
		client_due(c, &channel->end_due, CLIENT_DUE_RELEASE);
	else
		channel_remove(c, channel);
	return BUS_OK;
}

enum bus_result client_release(struct client *c, uint32_t channel_id)
{
	if (!client_enter(c))
		return BUS_REENTERED;
	return client_leave(c, channel_release(c, channel_id));
}

/* ---------------- open, close, modify ---------------- */

size_t client_put_open(struct client *c, struct client_channel *channel)
{
	const struct client_open *open = &channel->wanted;
	struct wire_open_channel *message = &c->outgoing.open_channel;

	client_put_header(c, WIRE_OPEN_CHANNEL);
	message->channel_id = channel->offer.channel_id;
	message->open_id = channel->open_id;
	message->ring_gpadl = open->ring_gpadl;
	message->target_vp = open->target_vp;
	message->ring_offset = open->ring_offset;
	message->connection_id = channel->offer.connection_id;
	message->event_flag = (uint16_t)channel->offer.channel_id;
	__builtin_memcpy(message->user_data, open->user_data, sizeof(message->user_data));
	return wire_open_channel_size(c->features);
}

/* What is wanted. */
static void send_open(struct client *c, struct client_channel *channel)
{
	channel->open_id = ++c->last_open_id;
	channel->ring_gpadl = channel->wanted.ring_gpadl;
	channel->state = CLIENT_CHANNEL_OPENING;
	client_due(c, &channel->open_due, CLIENT_DUE_OPEN);
}

static enum bus_result channel_open(struct client *c, uint32_t channel_id,
                                    const struct client_open *open)
{
	struct client_channel *channel = client_find_channel(c, channel_id, true);

	if (channel && channel->state == CLIENT_CHANNEL_OFFERED) {
		channel->wanted = *open;
		send_open(c, channel);
		return BUS_OK;
	}
	if (channel && channel->state == CLIENT_CHANNEL_ABANDONED && !channel->reopen_wanted) {
		channel->wanted = *open;
		channel->reopen_wanted = true;
		return BUS_OK;
	}
	return BUS_REFUSED;
}

enum bus_result client_open(struct client *c, uint32_t channel_id, const struct client_open *open)
{
	if (!client_enter(c))
		return BUS_REENTERED;
	return client_leave(c, channel_open(c, channel_id, open));
}

static void send_close(struct client *c, struct client_channel *channel)
{
	if (!channel->rescinded && c->state == CLIENT_CONNECTED)
		client_due(c, &channel->end_due, CLIENT_DUE_CLOSE);
}

/* Of the open that nobody waits for. */
static void abandoned_answered(struct client *c, struct client_channel *channel, uint32_t status)
{
	channel->state = CLIENT_CHANNEL_OFFERED;
	if (status == BUS_STATUS_SUCCESS)
		send_close(c, channel);
	client_unkeep_gpadls(c, channel);
	if (channel->reopen_wanted) {
		channel->reopen_wanted = false;
		send_open(c, channel);
	}
}

void client_on_open_result(struct client *c, const struct wire_open_channel_result *message)
{
	struct client_channel *channel = client_find_channel(c, message->channel_id, false);
	uint32_t status = bus_status_from_wire(message->status);

	if (channel && channel->rescinded)
		return; /* answered by the rescind */
	if (!channel || channel->open_id != message->open_id || client_is_due(&channel->open_due) ||
	    (channel->state != CLIENT_CHANNEL_OPENING &&
	     channel->state != CLIENT_CHANNEL_ABANDONED)) {
		client_fault(c, WIRE_OPEN_CHANNEL_RESULT, "answers no open of that channel",
		             channel ? channel->open_id : 0, message->open_id);
		return;
	}
	if (channel->state == CLIENT_CHANNEL_ABANDONED) {
		abandoned_answered(c, channel, status);
		return;
	}
	channel->state =
		status == BUS_STATUS_SUCCESS ? CLIENT_CHANNEL_OPEN : CLIENT_CHANNEL_OFFERED;
	channel->modifies_late = 0;
	c->ops.opened(c->context, channel->owner, message->channel_id, message->open_id, status);
}

/* Before the open was answered. On the way out the host answers nothing more. */
static enum bus_result channel_abandon(struct client *c, struct client_channel *channel)
{
	bool heard = !client_is_due(&channel->open_due);

	client_due_cancel(c, &channel->open_due);
	channel->reopen_wanted = false;
	channel->state = c->state == CLIENT_CONNECTED && heard ? CLIENT_CHANNEL_ABANDONED
	                                                       : CLIENT_CHANNEL_OFFERED;
	return BUS_OK;
}

/* Whether somebody waited for it. Some hosts answer that before they close, some not at all
 * (OpenVMM). */
static bool channel_stop_modifying(struct client *c, struct client_channel *channel)
{
	bool modifying = channel->modifying;

	if (modifying && !client_is_due(&channel->modify_due))
		channel->modifies_late++;
	client_due_cancel(c, &channel->modify_due);
	channel->modifying = false;
	return modifying;
}

static enum bus_result channel_close(struct client *c, uint32_t channel_id)
{
	struct client_channel *channel = client_find_channel(c, channel_id, false);
	bool modifying;

	if (channel && (channel->state == CLIENT_CHANNEL_OPENING || channel->reopen_wanted))
		return channel_abandon(c, channel);
	if (!channel || channel->state != CLIENT_CHANNEL_OPEN)
		return BUS_REFUSED;
	modifying = channel_stop_modifying(c, channel);
	channel->state = CLIENT_CHANNEL_OFFERED;
	send_close(c, channel);
	if (modifying)
		client_say_modified(c, channel, BUS_STATUS_UNSUCCESSFUL);
	return BUS_OK;
}

enum bus_result client_close(struct client *c, uint32_t channel_id)
{
	if (!client_enter(c))
		return BUS_REENTERED;
	return client_leave(c, channel_close(c, channel_id));
}

size_t client_put_modify(struct client *c, struct client_channel *channel)
{
	client_put_header(c, WIRE_MODIFY_CHANNEL);
	c->outgoing.modify_channel.channel_id = channel->offer.channel_id;
	c->outgoing.modify_channel.target_vp = channel->modify_vp;
	return sizeof(c->outgoing.modify_channel);
}

/* Before 5.3 the host does not answer. */
void client_modify_said(struct client *c, struct client_channel *channel)
{
	if (c->version >= WIRE_VERSION_5_3)
		return;
	channel->modifying = false;
	client_say_modified(c, channel, BUS_STATUS_SUCCESS);
}

static enum bus_result channel_modify(struct client *c, uint32_t channel_id, uint32_t target_vp)
{
	struct client_channel *channel = client_find_channel(c, channel_id, true);

	if (!channel || channel->state != CLIENT_CHANNEL_OPEN || channel->modifying ||
	    c->version < WIRE_VERSION_4_1)
		return BUS_REFUSED;
	channel->modifying = true;
	channel->modify_vp = target_vp;
	client_due(c, &channel->modify_due, CLIENT_DUE_MODIFY);
	return BUS_OK;
}

enum bus_result client_modify(struct client *c, uint32_t channel_id, uint32_t target_vp)
{
	if (!client_enter(c))
		return BUS_REENTERED;
	return client_leave(c, channel_modify(c, channel_id, target_vp));
}

static void channel_modify_give_up(struct client *c, uint32_t channel_id)
{
	struct client_channel *channel = client_find_channel(c, channel_id, false);

	if (channel)
		channel_stop_modifying(c, channel);
}

enum bus_result client_modify_give_up(struct client *c, uint32_t channel_id)
{
	if (!client_enter(c))
		return BUS_REENTERED;
	channel_modify_give_up(c, channel_id);
	return client_leave(c, BUS_OK);
}

/*
 * Answers do not say which request they are for. One that comes is taken for the newest, which says
 * what holds now: waiting for those given up first would wait for ever for one that was lost.
 */
void client_on_modify_response(struct client *c, const struct wire_modify_channel_response *message)
{
	struct client_channel *channel = client_find_channel(c, message->channel_id, false);

	if (channel && channel->rescinded)
		return; /* answered by the rescind */
	if (channel && channel->modifying && !client_is_due(&channel->modify_due)) {
		channel->modifying = false;
		client_say_modified(c, channel, bus_status_from_wire(message->status));
	} else if (channel && channel->modifies_late) {
		channel->modifies_late--;
	} else {
		client_fault(c, WIRE_MODIFY_CHANNEL_RESPONSE, "answers no request",
		             WIRE_CHANNEL_ID_MAX, message->channel_id);
	}
}
