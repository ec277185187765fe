/* SPDX-License-Identifier: BSD-2-Clause */

/* The server's GPADLs: putting them together, handing them to the owner, tearing them down. */

#include "bus/server_private.h"

static struct server_gpadl *gpadl_find(const struct id_tree *tree, uint32_t id, size_t offset)
{
	struct id_node *node = id_tree_find(tree, id);

	return node ? (struct server_gpadl *)((char *)node - offset) : NULL;
}

static struct server_gpadl *guest_gpadl(struct server *s, uint32_t id)
{
	return gpadl_find(&s->gpadls, id, offsetof(struct server_gpadl, guest_node));
}

static struct server_gpadl *owner_gpadl(struct server_channel *channel, uint32_t id)
{
	return gpadl_find(&channel->gpadls_of_owner, id, offsetof(struct server_gpadl, owner_node));
}

static void *gpadl_allocate(struct server *s, size_t size)
{
	return s->ops.gpadl_memory.allocate(s->context, size);
}

static void gpadl_release(struct server *s, void *memory, size_t size)
{
	if (memory)
		s->ops.gpadl_memory.release(s->context, memory, size);
}

/* Every range has a header of one word and at least one page, so this is no less than it has. */
static uint32_t pages_charged(const struct server_gpadl *gpadl)
{
	return gpadl->words_wanted - gpadl->range_count;
}

uint32_t gpadl_pages(const struct server_gpadl *gpadl)
{
	return pages_charged(gpadl);
}

/* ---------------- the two ends ---------------- */

static void gpadl_set_guest(struct server *s, struct server_gpadl *gpadl, enum gpadl_guest guest)
{
	if (gpadl->guest == GPADL_GUEST_BUILDING)
		s->gpadls_building--;
	if (guest == GPADL_GUEST_BUILDING)
		s->gpadls_building++;
	if (gpadl->guest != GPADL_GUEST_GONE && guest == GPADL_GUEST_GONE)
		id_tree_remove(&s->gpadls, &gpadl->guest_node);
	if (gpadl->guest == GPADL_GUEST_GONE && guest != GPADL_GUEST_GONE)
		id_tree_insert(&s->gpadls, &gpadl->guest_node);
	gpadl->guest = guest;
}

static void gpadl_set_owner(struct server *s, struct server_gpadl *gpadl, enum gpadl_owner owner)
{
	struct server_channel *channel = gpadl->channel;

	if (gpadl->owner == GPADL_OWNER_NONE && owner != GPADL_OWNER_NONE) {
		id_tree_insert(&channel->gpadls_of_owner, &gpadl->owner_node);
		channel->gpadls_of_owner_count++;
		s->gpadls_of_owners++;
	}
	if (gpadl->owner != GPADL_OWNER_NONE && owner == GPADL_OWNER_NONE) {
		id_tree_remove(&channel->gpadls_of_owner, &gpadl->owner_node);
		channel->gpadls_of_owner_count--;
		s->gpadls_of_owners--;
	}
	gpadl->owner = owner;
}

static void gpadl_free(struct server *s, struct server_gpadl *gpadl)
{
	struct server_channel *channel = gpadl->channel;

	gpadl_set_guest(s, gpadl, GPADL_GUEST_GONE);
	gpadl_set_owner(s, gpadl, GPADL_OWNER_NONE);
	if (gpadl->previous)
		gpadl->previous->next = gpadl->next;
	else
		channel->gpadls = gpadl->next;
	if (gpadl->next)
		gpadl->next->previous = gpadl->previous;
	s->gpadl_count--;
	s->gpadl_pages -= pages_charged(gpadl);
	gpadl_release(s, gpadl->ranges, gpadl->range_count * sizeof(*gpadl->ranges));
	gpadl_release(s, gpadl->buffer, gpadl->words_wanted * sizeof(*gpadl->buffer));
	gpadl_release(s, gpadl, sizeof(*gpadl));
}

void gpadls_free(struct server *s, struct server_channel *channel)
{
	while (channel->gpadls)
		gpadl_free(s, channel->gpadls);
}

static void send_created(struct server *s, uint32_t channel_id, uint32_t id, uint32_t status)
{
	struct wire_gpadl_created message = {
		.header.type = WIRE_GPADL_CREATED,
		.channel_id = channel_id,
		.gpadl = id,
		.status = status,
	};

	server_send(s, &message, sizeof(message));
}

static void send_torndown(struct server *s, uint32_t id)
{
	struct wire_gpadl_torndown message = { .header.type = WIRE_GPADL_TORNDOWN, .gpadl = id };

	server_send(s, &message, sizeof(message));
}

/* The guest gets its answer and the GPADL ends; the owner must not have it any more. */
static void gpadl_fail(struct server *s, struct server_gpadl *gpadl, uint32_t status)
{
	send_created(s, gpadl->channel->offer.channel_id, gpadl->guest_node.id, status);
	gpadl_free(s, gpadl);
}

/* ---------------- putting together ---------------- */

static struct server_gpadl *gpadl_new(struct server *s, struct server_channel *channel,
                                      const struct wire_gpadl_header *header)
{
	struct server_gpadl *gpadl = gpadl_allocate(s, sizeof(*gpadl));

	if (!gpadl)
		return NULL;
	gpadl->words_wanted = header->range_bytes / 8u;
	gpadl->buffer = gpadl_allocate(s, gpadl->words_wanted * sizeof(*gpadl->buffer));
	if (!gpadl->buffer) {
		gpadl_release(s, gpadl, sizeof(*gpadl));
		return NULL;
	}
	gpadl->range_count = header->range_count;
	gpadl->guest_node.id = header->gpadl;
	gpadl->owner_node.id = header->gpadl;
	gpadl->channel = channel;
	gpadl->next = channel->gpadls;
	if (gpadl->next)
		gpadl->next->previous = gpadl;
	channel->gpadls = gpadl;
	s->gpadl_count++;
	s->gpadl_pages += pages_charged(gpadl);
	gpadl_set_guest(s, gpadl, GPADL_GUEST_BUILDING);
	return gpadl;
}

/* Takes the range at `word` and returns the word after it, or 0 when it is malformed. */
static uint32_t gpadl_parse_range(struct server *s, const struct server_gpadl *gpadl, uint32_t word,
                                  struct bus_gpa_range *range)
{
	struct wire_gpa_range header;
	uint64_t pages;

	if (word >= gpadl->words_wanted) {
		server_fault(s, WIRE_GPADL_HEADER, "range buffer holds fewer ranges than it says",
		             gpadl->range_count, gpadl->words_wanted);
		return 0;
	}
	__builtin_memcpy(&header, &gpadl->buffer[word++], sizeof(header));
	if (header.byte_count == 0 || header.byte_offset >= WIRE_PAGE_SIZE) {
		server_fault(s, WIRE_GPADL_HEADER,
		             "range of no bytes, or offset past its first page", header.byte_count,
		             header.byte_offset);
		return 0;
	}
	pages = wire_pages_spanned(header.byte_offset, header.byte_count);
	if (pages > gpadl->words_wanted - word) {
		server_fault(s, WIRE_GPADL_HEADER, "range spans more pages than the buffer has",
		             gpadl->words_wanted - word, pages);
		return 0;
	}
	range->byte_count = header.byte_count;
	range->byte_offset = header.byte_offset;
	range->pfns = &gpadl->buffer[word];
	return word + (uint32_t)pages;
}

/* Words after the last range are nobody's (OpenVMM from_range_buffer leaves them, too). */
static uint32_t gpadl_parse(struct server *s, struct server_gpadl *gpadl)
{
	uint32_t word = 0;

	gpadl->ranges = gpadl_allocate(s, gpadl->range_count * sizeof(*gpadl->ranges));
	if (!gpadl->ranges)
		return BUS_STATUS_INSUFFICIENT_RESOURCES;
	for (uint32_t i = 0; i < gpadl->range_count; i++) {
		word = gpadl_parse_range(s, gpadl, word, &gpadl->ranges[i]);
		if (!word)
			return BUS_STATUS_INVALID_PARAMETER;
	}
	return BUS_STATUS_SUCCESS;
}

static void gpadl_complete(struct server *s, struct server_gpadl *gpadl)
{
	struct server_channel *channel = gpadl->channel;
	uint32_t status = gpadl_parse(s, gpadl);

	if (status != BUS_STATUS_SUCCESS) {
		gpadl_fail(s, gpadl, status);
		return;
	}
	if (channel->revoked) {
		/* Nobody will look at it, but the guest may name and tear it down (OpenVMM
		 * gpadl_completed). */
		gpadl_set_guest(s, gpadl, GPADL_GUEST_HELD);
		send_created(s, channel->offer.channel_id, gpadl->guest_node.id,
		             BUS_STATUS_SUCCESS);
		return;
	}
	gpadl_set_guest(s, gpadl, GPADL_GUEST_ASKED);
	gpadl_set_owner(s, gpadl, GPADL_OWNER_ASKED);
	s->ops.gpadl(s->context, channel->owner, gpadl->owner_node.id, gpadl->ranges,
	             gpadl->range_count);
}

/*
 * Adds what a message brought. Bytes past what is missing are nobody's: some guests always send
 * messages of full length (OpenVMM Gpadl::append, of UEFI).
 */
static void gpadl_append(struct server *s, struct server_gpadl *gpadl, const uint8_t *bytes,
                         size_t size)
{
	uint32_t words = (uint32_t)(size / 8);
	uint32_t missing = gpadl->words_wanted - gpadl->words;

	if (words > missing)
		words = missing;
	__builtin_memcpy(&gpadl->buffer[gpadl->words], bytes, words * sizeof(*gpadl->buffer));
	gpadl->words += words;
	if (gpadl->words == gpadl->words_wanted)
		gpadl_complete(s, gpadl);
}

static uint32_t header_check(struct server *s, const struct wire_gpadl_header *header)
{
	uint32_t words = header->range_bytes / 8u;
	uint32_t ranges = header->range_count;

	if (ranges == 0 || words < 2 * ranges) {
		server_fault(s, WIRE_GPADL_HEADER, "range buffer too small for its ranges",
		             2 * (uint64_t)ranges * 8, header->range_bytes);
		return BUS_STATUS_INVALID_PARAMETER;
	}
	if (guest_gpadl(s, header->gpadl)) {
		server_fault(s, WIRE_GPADL_HEADER, "id is in use", 0, header->gpadl);
		return BUS_STATUS_INVALID_PARAMETER;
	}
	return BUS_STATUS_SUCCESS;
}

static uint32_t quota_check(struct server *s, const struct wire_gpadl_header *header)
{
	uint32_t pages = header->range_bytes / 8u - header->range_count;

	if (s->gpadl_count >= s->limits.gpadls) {
		server_fault(s, WIRE_GPADL_HEADER, "too many GPADLs", s->limits.gpadls,
		             s->gpadl_count);
		return BUS_STATUS_INSUFFICIENT_RESOURCES;
	}
	if (s->gpadls_building >= s->limits.gpadls_building) {
		server_fault(s, WIRE_GPADL_HEADER, "too many unfinished GPADLs",
		             s->limits.gpadls_building, s->gpadls_building);
		return BUS_STATUS_INSUFFICIENT_RESOURCES;
	}
	if (pages > s->limits.gpadl_pages || s->gpadl_pages > s->limits.gpadl_pages - pages) {
		server_fault(s, WIRE_GPADL_HEADER, "too many pages in GPADLs",
		             s->limits.gpadl_pages, (uint64_t)s->gpadl_pages + pages);
		return BUS_STATUS_INSUFFICIENT_RESOURCES;
	}
	return BUS_STATUS_SUCCESS;
}

void server_on_gpadl_header(struct server *s, const union wire_message *message, size_t size)
{
	const struct wire_gpadl_header *header = &message->gpadl_header;
	struct server_channel *channel;
	struct server_gpadl *gpadl;
	uint32_t status;

	channel = server_find_channel(s, WIRE_GPADL_HEADER, header->channel_id);
	status = channel ? header_check(s, header) : BUS_STATUS_UNSUCCESSFUL;
	if (status == BUS_STATUS_SUCCESS)
		status = quota_check(s, header);
	if (status != BUS_STATUS_SUCCESS) {
		send_created(s, header->channel_id, header->gpadl, status);
		return;
	}
	gpadl = gpadl_new(s, channel, header);
	if (!gpadl) {
		send_created(s, header->channel_id, header->gpadl,
		             BUS_STATUS_INSUFFICIENT_RESOURCES);
		return;
	}
	gpadl_append(s, gpadl, message->bytes + sizeof(*header), size - sizeof(*header));
}

/* There is nobody to answer to when it is wrong: a body does not name its channel. */
void server_on_gpadl_body(struct server *s, const union wire_message *message, size_t size)
{
	const struct wire_gpadl_body *body = &message->gpadl_body;
	struct server_gpadl *gpadl = guest_gpadl(s, body->gpadl);

	if (!gpadl || gpadl->guest != GPADL_GUEST_BUILDING) {
		server_fault(s, WIRE_GPADL_BODY,
		             gpadl ? "that GPADL is complete" : "no GPADL of that id", 0,
		             body->gpadl);
		return;
	}
	if (size < sizeof(*body) + 8) {
		server_fault(s, WIRE_GPADL_BODY, "no page numbers", sizeof(*body) + 8, size);
		return;
	}
	gpadl_append(s, gpadl, message->bytes + sizeof(*body), size - sizeof(*body));
}

/* ---------------- using and tearing down ---------------- */

struct server_gpadl *gpadl_usable(struct server *s, struct server_channel *channel, uint32_t id)
{
	struct server_gpadl *gpadl = guest_gpadl(s, id);

	if (!gpadl || gpadl->channel != channel || gpadl->guest != GPADL_GUEST_HELD ||
	    gpadl->owner != GPADL_OWNER_HELD)
		return NULL;
	return gpadl;
}

static bool teardown_wanted(const struct server_gpadl *gpadl)
{
	return gpadl->owner == GPADL_OWNER_HELD &&
	       (gpadl->channel->revoked || gpadl->guest == GPADL_GUEST_GONE ||
	        gpadl->guest == GPADL_GUEST_LEAVING);
}

/*
 * Never under an open channel's feet: not its rings, and when the channel is going, nothing of it
 * before the owner has closed.
 */
static bool teardown_allowed(const struct server_gpadl *gpadl)
{
	const struct server_channel *channel = gpadl->channel;

	if (channel->state == CHANNEL_CLOSED)
		return true;
	if (channel->state == CHANNEL_CLOSING || channel->revoked || !channel->known)
		return false;
	return gpadl->owner_node.id != channel->open.ring_gpadl;
}

static void gpadl_advance(struct server *s, struct server_gpadl *gpadl)
{
	if (!teardown_wanted(gpadl) || !teardown_allowed(gpadl))
		return;
	gpadl_set_owner(s, gpadl, GPADL_OWNER_LEAVING);
	s->ops.gpadl_teardown(s->context, gpadl->channel->owner, gpadl->owner_node.id);
}

void gpadls_advance(struct server *s, struct server_channel *channel)
{
	for (struct server_gpadl *gpadl = channel->gpadls; gpadl; gpadl = gpadl->next)
		gpadl_advance(s, gpadl);
}

void gpadls_forget(struct server *s, struct server_channel *channel)
{
	struct server_gpadl *next;

	for (struct server_gpadl *gpadl = channel->gpadls; gpadl; gpadl = next) {
		next = gpadl->next;
		gpadl_set_guest(s, gpadl, GPADL_GUEST_GONE);
		if (gpadl->owner == GPADL_OWNER_NONE)
			gpadl_free(s, gpadl);
		else
			gpadl_advance(s, gpadl);
	}
}

void server_on_gpadl_teardown(struct server *s, const struct wire_gpadl_teardown *message)
{
	struct server_channel *channel =
		server_find_channel(s, WIRE_GPADL_TEARDOWN, message->channel_id);
	struct server_gpadl *gpadl = channel ? guest_gpadl(s, message->gpadl) : NULL;

	if (!channel)
		return;
	if (!gpadl || gpadl->channel != channel) {
		server_fault(s, WIRE_GPADL_TEARDOWN, "the channel has no GPADL of that id", 0,
		             message->gpadl);
		return;
	}
	if (gpadl->guest != GPADL_GUEST_HELD) {
		server_fault(s, WIRE_GPADL_TEARDOWN, "that GPADL was not created yet, or is going",
		             GPADL_GUEST_HELD, gpadl->guest);
		return;
	}
	if (gpadl->owner == GPADL_OWNER_NONE) {
		send_torndown(s, message->gpadl);
		gpadl_free(s, gpadl);
		return;
	}
	gpadl_set_guest(s, gpadl, GPADL_GUEST_LEAVING);
	gpadl_advance(s, gpadl);
}

/* ---------------- what the owner answers ---------------- */

static void gpadl_refused(struct server *s, struct server_gpadl *gpadl, uint32_t status)
{
	struct server_channel *channel = gpadl->channel;

	gpadl_set_owner(s, gpadl, GPADL_OWNER_NONE);
	if (gpadl->guest == GPADL_GUEST_ASKED)
		gpadl_fail(s, gpadl, status);
	else
		gpadl_free(s, gpadl);
	channel_settle(s, channel);
}

static void gpadl_done(struct server *s, struct server_channel *channel, uint32_t id,
                       uint32_t status)
{
	struct server_gpadl *gpadl = owner_gpadl(channel, id);

	if (!gpadl || gpadl->owner != GPADL_OWNER_ASKED)
		return;
	if (status != BUS_STATUS_SUCCESS) {
		gpadl_refused(s, gpadl, status);
		return;
	}
	gpadl_set_owner(s, gpadl, GPADL_OWNER_HELD);
	if (gpadl->guest == GPADL_GUEST_ASKED && !channel->revoked) {
		gpadl_set_guest(s, gpadl, GPADL_GUEST_HELD);
		send_created(s, channel->offer.channel_id, id, BUS_STATUS_SUCCESS);
	}
	gpadl_advance(s, gpadl);
}

enum bus_result server_gpadl_done(struct server *s, struct server_channel *channel, uint32_t id,
                                  uint32_t status)
{
	if (!server_enter(s))
		return BUS_REENTERED;
	gpadl_done(s, channel, id, status);
	return server_leave(s, BUS_OK);
}

static void gpadl_teardown_done(struct server *s, struct server_channel *channel, uint32_t id)
{
	struct server_gpadl *gpadl = owner_gpadl(channel, id);

	if (!gpadl || gpadl->owner != GPADL_OWNER_LEAVING)
		return;
	gpadl_set_owner(s, gpadl, GPADL_OWNER_NONE);
	switch (gpadl->guest) {
	case GPADL_GUEST_LEAVING:
		send_torndown(s, id);
		gpadl_free(s, gpadl);
		break;
	case GPADL_GUEST_ASKED: /* revoked meanwhile */
		gpadl_fail(s, gpadl, BUS_STATUS_DEVICE_REMOVED);
		break;
	case GPADL_GUEST_GONE:
		gpadl_free(s, gpadl);
		break;
	case GPADL_GUEST_HELD: /* revoked; the guest's end stays until it tears it down */
	case GPADL_GUEST_BUILDING:
		break;
	}
	channel_settle(s, channel);
}

enum bus_result server_gpadl_teardown_done(struct server *s, struct server_channel *channel,
                                           uint32_t id)
{
	if (!server_enter(s))
		return BUS_REENTERED;
	gpadl_teardown_done(s, channel, id);
	return server_leave(s, BUS_OK);
}
