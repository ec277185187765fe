/* SPDX-License-Identifier: BSD-2-Clause */

/* The client's GPADLs: describing memory to the host, and taking it back. */

#include "bus/client_private.h"

#include <string.h>

static struct client_gpadl *find_gpadl(struct client *c, uint32_t id)
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
		if (state == CLIENT_GPADL_ASKED)
			c->ops.gpadl_created(c->context, channel->owner, channel_id, gpadl->node.id,
			                     BUS_STATUS_UNSUCCESSFUL);
		else if (state != CLIENT_GPADL_VOID)
			c->ops.gpadl_torndown(c->context, channel->owner, channel_id,
			                      gpadl->node.id);
	}
}

/* ---------------- creating ---------------- */

/* The message being filled with words of the range buffer: first the header, then bodies. */
struct gpadl_writer {
	struct client *c;
	uint32_t gpadl;
	union wire_message message;
	size_t size;
	size_t size_max;
};

static void writer_flush(struct gpadl_writer *writer)
{
	struct wire_gpadl_body body = {
		.header.type = WIRE_GPADL_BODY,
		.gpadl = writer->gpadl,
	};

	client_send(writer->c, &writer->message, writer->size);
	writer->message.gpadl_body = body;
	writer->size = sizeof(body);
	writer->size_max = sizeof(body) + WIRE_GPADL_BODY_WORDS * 8;
}

static void writer_add(struct gpadl_writer *writer, const void *word)
{
	if (writer->size == writer->size_max)
		writer_flush(writer);
	memcpy(writer->message.bytes + writer->size, word, 8);
	writer->size += 8;
}

static void send_gpadl(struct client *c, const struct wire_gpadl_header *header,
                       const struct bus_gpa_range *ranges)
{
	struct gpadl_writer writer = {
		.c = c,
		.gpadl = header->gpadl,
		.message.gpadl_header = *header,
		.size = sizeof(*header),
		.size_max = sizeof(*header) + WIRE_GPADL_HEADER_WORDS * 8,
	};

	for (uint32_t i = 0; i < header->range_count; i++) {
		struct wire_gpa_range range = { ranges[i].byte_count, ranges[i].byte_offset };
		uint64_t pages = wire_pages_spanned(range.byte_offset, range.byte_count);

		writer_add(&writer, &range);
		for (uint64_t page = 0; page < pages; page++)
			writer_add(&writer, &ranges[i].pfns[page]);
	}
	client_send(c, &writer.message, writer.size);
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
	struct wire_gpadl_header header = {
		.header.type = WIRE_GPADL_HEADER,
		.channel_id = channel_id,
		.range_bytes = (uint16_t)(words * 8),
		.range_count = (uint16_t)count,
	};
	struct client_gpadl *gpadl;

	if (!channel || !words)
		return BUS_REFUSED;
	gpadl = gpadl_new(c, channel);
	if (!gpadl)
		return BUS_REFUSED;
	header.gpadl = gpadl->node.id;
	*id = gpadl->node.id;
	send_gpadl(c, &header, ranges);
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

static void send_teardown(struct client *c, struct client_gpadl *gpadl)
{
	struct wire_gpadl_teardown message = {
		.header.type = WIRE_GPADL_TEARDOWN,
		.channel_id = gpadl->channel->offer.channel_id,
		.gpadl = gpadl->node.id,
	};

	gpadl->state = CLIENT_GPADL_LEAVING;
	if (c->state == CLIENT_CONNECTED) /* else the end of the connection answers it */
		client_send(c, &message, sizeof(message));
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

void client_on_gpadl_created(struct client *c, const struct wire_gpadl_created *message)
{
	struct client_gpadl *gpadl = find_gpadl(c, message->gpadl);
	uint32_t status = bus_status_from_wire(message->status);
	const struct client_channel *channel;

	if (gpadl_answer_late(c, gpadl))
		return;
	if (!gpadl || gpadl->channel->offer.channel_id != message->channel_id ||
	    (gpadl->state != CLIENT_GPADL_ASKED && gpadl->state != CLIENT_GPADL_UNWANTED)) {
		client_fault(c, WIRE_GPADL_CREATED, "that GPADL was not asked for",
		             gpadl ? gpadl->channel->offer.channel_id : 0, message->gpadl);
		return;
	}
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
	if (!gpadl || gpadl->state != CLIENT_GPADL_LEAVING) {
		client_fault(c, WIRE_GPADL_TORNDOWN, "that GPADL was not being torn down",
		             CLIENT_GPADL_LEAVING, message->gpadl);
		return;
	}
	gpadl_torn_down(c, gpadl);
}
