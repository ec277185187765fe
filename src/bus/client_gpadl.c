/* SPDX-License-Identifier: BSD-2-Clause */

/* The client's GPADLs: describing memory to the host, and taking it back. */

#include "bus/client_private.h"

static struct client_gpadl *find_gpadl(const struct client *c, uint32_t id)
{
	struct id_node *node = id_tree_find(&c->gpadls, id);

	return node ? (struct client_gpadl *)((char *)node - offsetof(struct client_gpadl, node))
	            : NULL;
}

static uint32_t new_id(struct client *c)
{
	do {
		c->last_gpadl++;
	} while (c->last_gpadl == 0 || find_gpadl(c, c->last_gpadl));
	return c->last_gpadl;
}

static struct client_gpadl *gpadl_new(struct client *c, struct client_channel *channel)
{
	struct client_gpadl *gpadl = client_allocate(c, sizeof(*gpadl));

	if (!gpadl)
		return NULL;
	gpadl->node.id = new_id(c);
	id_tree_insert(&c->gpadls, &gpadl->node);
	gpadl->channel = channel;
	gpadl->next = channel->gpadls;
	if (gpadl->next)
		gpadl->next->previous = gpadl;
	channel->gpadls = gpadl;
	return gpadl;
}

static void gpadl_remove(struct client *c, struct client_gpadl *gpadl)
{
	if (gpadl->previous)
		gpadl->previous->next = gpadl->next;
	else
		gpadl->channel->gpadls = gpadl->next;
	if (gpadl->next)
		gpadl->next->previous = gpadl->previous;
	id_tree_remove(&c->gpadls, &gpadl->node);
	client_due_cancel(c, &gpadl->due);
	client_free(c, gpadl, sizeof(*gpadl));
}

void client_free_gpadls(struct client *c, struct client_channel *channel)
{
	while (channel->gpadls) {
		if (channel->gpadls->state == CLIENT_GPADL_VOID)
			c->gpadl_answers_late++;
		gpadl_remove(c, channel->gpadls);
	}
}

/* Whether an answer of that GPADL may be one that the rescind or the release of its channel
 * overtook: hosts answer GPADLs of rescinded channels, too. */
static bool gpadl_answer_late(struct client *c, const struct client_gpadl *gpadl)
{
	if (gpadl || !c->gpadl_answers_late)
		return gpadl && gpadl->state == CLIENT_GPADL_VOID;
	c->gpadl_answers_late--;
	return true;
}

void client_void_gpadls(struct client *c, struct client_channel *channel)
{
	uint32_t channel_id = channel->offer.channel_id;

	for (struct client_gpadl *gpadl = channel->gpadls; gpadl; gpadl = gpadl->next) {
		enum client_gpadl_state state = gpadl->state;

		if (state == CLIENT_GPADL_HELD)
			continue;
		gpadl->state = CLIENT_GPADL_VOID;
		client_due_cancel(c, &gpadl->due);
		if (state == CLIENT_GPADL_ASKED)
			c->ops.gpadl_created(c->context, channel->owner, channel_id, gpadl->node.id,
			                     BUS_STATUS_UNSUCCESSFUL);
		else if (state != CLIENT_GPADL_VOID)
			c->ops.gpadl_torndown(c->context, channel->owner, channel_id,
			                      gpadl->node.id);
	}
}

/* ---------------- creating ---------------- */

/* The next word of the range buffer: a range's header, and then each of its pages' numbers. */
static void put_word(struct client_gpadl *gpadl, void *to)
{
	const struct bus_gpa_range *range = &gpadl->ranges[gpadl->put_range];

	if (!gpadl->put_page) {
		struct wire_gpa_range header = { range->byte_count, range->byte_offset };

		__builtin_memcpy(to, &header, sizeof(header));
	} else {
		__builtin_memcpy(to, &range->pfns[gpadl->put_page - 1], sizeof(range->pfns[0]));
	}
	if (gpadl->put_page++ == wire_pages_spanned(range->byte_offset, range->byte_count)) {
		gpadl->put_page = 0;
		gpadl->put_range++;
	}
}

/* Where the message began that the host had no room for, or the next one does. */
static void put_from(struct client_gpadl *gpadl, uint32_t said)
{
	while (gpadl->put > said) {
		if (!gpadl->put_page) {
			const struct bus_gpa_range *range = &gpadl->ranges[--gpadl->put_range];

			gpadl->put_page =
				(uint32_t)wire_pages_spanned(range->byte_offset, range->byte_count);
		} else {
			gpadl->put_page--;
		}
		gpadl->put--;
	}
}

static size_t put_words(struct client *c, struct client_gpadl *gpadl, size_t at, uint32_t most)
{
	for (uint32_t i = 0; i < most && gpadl->put < gpadl->words; i++, at += 8, gpadl->put++)
		put_word(gpadl, c->outgoing.bytes + at);
	return at;
}

size_t client_put_gpadl(struct client *c, struct client_gpadl *gpadl)
{
	struct wire_gpadl_header *header = &c->outgoing.gpadl_header;

	put_from(gpadl, gpadl->said);
	if (gpadl->said) {
		client_put_header(c, WIRE_GPADL_BODY);
		c->outgoing.gpadl_body.gpadl = gpadl->node.id;
		return put_words(c, gpadl, sizeof(c->outgoing.gpadl_body), WIRE_GPADL_BODY_WORDS);
	}
	client_put_header(c, WIRE_GPADL_HEADER);
	header->channel_id = gpadl->channel->offer.channel_id;
	header->gpadl = gpadl->node.id;
	header->range_bytes = (uint16_t)(gpadl->words * 8);
	header->range_count = (uint16_t)gpadl->range_count;
	return put_words(c, gpadl, sizeof(*header), WIRE_GPADL_HEADER_WORDS);
}

bool client_gpadl_goes_on(struct client_gpadl *gpadl)
{
	gpadl->said = gpadl->put;
	return gpadl->said < gpadl->words;
}

/* How many words describe the ranges; 0 when they cannot be described. */
static uint32_t ranges_words(const struct bus_gpa_range *ranges, uint32_t count)
{
	uint64_t words = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (ranges[i].byte_count == 0 || ranges[i].byte_offset >= WIRE_PAGE_SIZE)
			return 0;
		words += 1 + wire_pages_spanned(ranges[i].byte_offset, ranges[i].byte_count);
		if (words > WIRE_GPADL_WORDS_MAX)
			return 0;
	}
	return (uint32_t)words;
}

static enum bus_result gpadl_create(struct client *c, uint32_t channel_id,
                                    const struct bus_gpa_range *ranges, uint32_t count,
                                    uint32_t *id)
{
	struct client_channel *channel = client_find_channel(c, channel_id, true);
	uint32_t words = ranges_words(ranges, count);
	struct client_gpadl *gpadl;

	if (!channel || !words)
		return BUS_REFUSED;
	gpadl = gpadl_new(c, channel);
	if (!gpadl)
		return BUS_REFUSED;
	gpadl->ranges = ranges;
	gpadl->range_count = count;
	gpadl->words = words;
	*id = gpadl->node.id;
	client_due(c, &gpadl->due, CLIENT_DUE_GPADL);
	return BUS_OK;
}

enum bus_result client_gpadl_create(struct client *c, uint32_t channel_id,
                                    const struct bus_gpa_range *ranges, uint32_t count,
                                    uint32_t *gpadl)
{
	if (!client_enter(c))
		return BUS_REENTERED;
	return client_leave(c, gpadl_create(c, channel_id, ranges, count, gpadl));
}

bool client_gpadl_is_said(const struct client *c, uint32_t id)
{
	const struct client_gpadl *gpadl = find_gpadl(c, id);

	return !gpadl || gpadl->due.kind != CLIENT_DUE_GPADL;
}

size_t client_put_teardown(struct client *c, const struct client_gpadl *gpadl)
{
	client_put_header(c, WIRE_GPADL_TEARDOWN);
	c->outgoing.gpadl_teardown.channel_id = gpadl->channel->offer.channel_id;
	c->outgoing.gpadl_teardown.gpadl = gpadl->node.id;
	return sizeof(c->outgoing.gpadl_teardown);
}

static void send_teardown(struct client *c, struct client_gpadl *gpadl)
{
	gpadl->state = CLIENT_GPADL_LEAVING;
	if (c->state == CLIENT_CONNECTED) /* else the end of the connection answers it */
		client_due(c, &gpadl->due, CLIENT_DUE_TEARDOWN);
}

static void gpadl_torn_down(struct client *c, struct client_gpadl *gpadl)
{
	const struct client_channel *channel = gpadl->channel;
	uint32_t id = gpadl->node.id;

	gpadl_remove(c, gpadl);
	c->ops.gpadl_torndown(c->context, channel->owner, channel->offer.channel_id, id);
}

static void unwanted_answered(struct client *c, struct client_gpadl *gpadl, uint32_t status)
{
	if (status == BUS_STATUS_SUCCESS)
		send_teardown(c, gpadl);
	else
		gpadl_torn_down(c, gpadl);
}

/* Whether the host may have that to say yet: no after the first message, yes after the last. */
static bool described(const struct client_gpadl *gpadl, uint32_t status)
{
	return !client_is_due(&gpadl->due) || (gpadl->said && status != BUS_STATUS_SUCCESS);
}

void client_on_gpadl_created(struct client *c, const struct wire_gpadl_created *message)
{
	struct client_gpadl *gpadl = find_gpadl(c, message->gpadl);
	uint32_t status = bus_status_from_wire(message->status);
	const struct client_channel *channel;

	if (gpadl_answer_late(c, gpadl))
		return;
	if (!gpadl || gpadl->channel->offer.channel_id != message->channel_id ||
	    !described(gpadl, status) ||
	    (gpadl->state != CLIENT_GPADL_ASKED && gpadl->state != CLIENT_GPADL_UNWANTED)) {
		client_fault(c, WIRE_GPADL_CREATED, "that GPADL was not asked for",
		             gpadl ? gpadl->channel->offer.channel_id : 0, message->gpadl);
		return;
	}
	client_due_cancel(c, &gpadl->due);
	if (gpadl->state == CLIENT_GPADL_UNWANTED) {
		unwanted_answered(c, gpadl, status);
		return;
	}
	channel = gpadl->channel;
	if (status == BUS_STATUS_SUCCESS)
		gpadl->state = CLIENT_GPADL_HELD;
	else
		gpadl_remove(c, gpadl);
	c->ops.gpadl_created(c->context, channel->owner, message->channel_id, message->gpadl,
	                     status);
}

/* ---------------- tearing down ---------------- */

static bool in_abandoned_rings(const struct client_gpadl *gpadl)
{
	const struct client_channel *channel = gpadl->channel;

	return channel->state == CLIENT_CHANNEL_ABANDONED && channel->ring_gpadl == gpadl->node.id;
}

static enum bus_result gpadl_tear_down(struct client *c, uint32_t channel_id, uint32_t id)
{
	struct client_channel *channel = client_find_channel(c, channel_id, false);
	struct client_gpadl *gpadl = find_gpadl(c, id);

	if (!channel || !gpadl || gpadl->channel != channel)
		return BUS_REFUSED;
	if (gpadl->state == CLIENT_GPADL_ASKED && client_is_due(&gpadl->due) && !gpadl->said) {
		gpadl_torn_down(c, gpadl); /* the host has never heard of it */
		return BUS_OK;
	}
	if (gpadl->state == CLIENT_GPADL_ASKED) {
		gpadl->state = CLIENT_GPADL_UNWANTED;
		return BUS_OK;
	}
	if (gpadl->state != CLIENT_GPADL_HELD)
		return BUS_REFUSED;
	if (channel->rescinded) /* the host let go of it before it said so */
		gpadl_torn_down(c, gpadl);
	else if (in_abandoned_rings(gpadl))
		gpadl->state = CLIENT_GPADL_KEPT;
	else
		send_teardown(c, gpadl);
	return BUS_OK;
}

enum bus_result client_gpadl_teardown(struct client *c, uint32_t channel_id, uint32_t gpadl)
{
	if (!client_enter(c))
		return BUS_REENTERED;
	return client_leave(c, gpadl_tear_down(c, channel_id, gpadl));
}

void client_unkeep_gpadls(struct client *c, struct client_channel *channel)
{
	for (struct client_gpadl *gpadl = channel->gpadls; gpadl; gpadl = gpadl->next)
		if (gpadl->state == CLIENT_GPADL_KEPT)
			send_teardown(c, gpadl);
}

void client_on_gpadl_torndown(struct client *c, const struct wire_gpadl_torndown *message)
{
	struct client_gpadl *gpadl = find_gpadl(c, message->gpadl);

	if (gpadl_answer_late(c, gpadl))
		return;
	if (!gpadl || gpadl->state != CLIENT_GPADL_LEAVING || client_is_due(&gpadl->due)) {
		client_fault(c, WIRE_GPADL_TORNDOWN, "that GPADL was not being torn down",
		             CLIENT_GPADL_LEAVING, message->gpadl);
		return;
	}
	gpadl_torn_down(c, gpadl);
}
