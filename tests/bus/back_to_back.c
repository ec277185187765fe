/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A server and a client wired back to back through queues, and random things done at both ends,
 * answers and deliveries in random order. A model beside them knows what each may say when: nobody
 * is asked out of turn, every question is answered once, no honest end is accused, and in the end
 * nothing is left.
 */

#include "bus/bus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define must(condition)                                                                           \
	do {                                                                                      \
		if (!(condition)) {                                                               \
			print_error("seed %u step %u: %s\n", world.seed, world.step, #condition); \
			_fail(__FILE__, __LINE__);                                                \
		}                                                                                 \
	} while (0)

#define OWNERS       6u
#define GPADLS       8u /* of one channel at once */
#define QUEUE        4096u
#define RING_PAGES   40u /* a header and a body */
#define GUEST_IDS    64u
#define ANSWERS      512u
#define GPADLS_KNOWN 4096u

/* ---------------- the world ---------------- */

struct queue {
	struct {
		uint8_t bytes[WIRE_MESSAGE_MAX];
		size_t size;
	} messages[QUEUE];
	uint32_t first, count;
};

enum owner_state { OWNER_CLOSED, OWNER_OPENING, OWNER_OPEN, OWNER_CLOSING };
enum gpadl_state { GPADL_NONE, GPADL_ASKED, GPADL_HELD, GPADL_LEAVING };

/* A device at the host: what the server has told it. */
struct owner {
	bool used;
	bool revoking;
	struct server_channel *channel;
	enum owner_state state;
	uint32_t ring;
	bool modifying;
	struct {
		uint32_t id;
		enum gpadl_state state;
		const struct bus_gpa_range *ranges;
	} gpadls[GPADLS * 4];
};

enum answer_kind {
	ANSWER_CONTACT,
	ANSWER_OPEN,
	ANSWER_CLOSE,
	ANSWER_MODIFY,
	ANSWER_GPADL,
	ANSWER_TEARDOWN,
	ANSWER_TL,
};

struct answer {
	enum answer_kind kind;
	struct owner *owner;
	uint32_t gpadl;
};

/* A channel as the guest's drivers see it. */
struct seen {
	bool known;
	bool rescinded;
	enum owner_state state;
	bool modifying;
	struct {
		uint32_t id;
		enum gpadl_state state;
	} gpadls[GPADLS];
	uint32_t queued_ring; /* of an open that waits for the one before it to be answered */
};

static struct {
	uint32_t seed, step;
	uint64_t random;
	size_t blocks;
	struct server *server;
	struct client *client;
	struct queue to_host, to_guest;
	/* the host */
	struct owner owners[OWNERS];
	struct answer answers[ANSWERS];
	uint32_t answer_count;
	uint32_t version;
	bool contact; /* the caller of the server holds the guest's pages */
	bool resetting;
	bool line_broke;
	/* the guest */
	struct seen seen[GUEST_IDS];
	bool connecting, connected, unloading;
	struct bus_guid endpoint, service;
	uint32_t opens, rescinds, reconnects, abandoned, unwanted;
} world;

static uint32_t random_below(uint32_t limit)
{
	world.random = world.random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(world.random >> 33) % limit;
}

static void *world_allocate(void *context, size_t size)
{
	(void)context;
	world.blocks++;
	return calloc(1, size);
}

static void world_release(void *context, void *memory, size_t size)
{
	(void)context;
	must(world.blocks > 0);
	world.blocks--;
	memset(memory, 0xa5, size);
	free(memory);
}

static void push(struct queue *queue, const void *message, size_t size)
{
	uint32_t last = (queue->first + queue->count) % QUEUE;

	must(queue->count < QUEUE && size <= WIRE_MESSAGE_MAX);
	memcpy(queue->messages[last].bytes, message, size);
	queue->messages[last].size = size;
	queue->count++;
}

/* ---------------- the host's devices ---------------- */

static void add_answer(enum answer_kind kind, struct owner *owner, uint32_t gpadl)
{
	must(world.answer_count < ANSWERS);
	world.answers[world.answer_count++] = (struct answer){ kind, owner, gpadl };
}

/* What the server waits for of an owner; a close answers the modify before it. */
static void drop_answer(enum answer_kind kind, const struct owner *owner)
{
	for (uint32_t i = 0; i < world.answer_count; i++)
		if (world.answers[i].kind == kind && world.answers[i].owner == owner)
			world.answers[i--] = world.answers[--world.answer_count];
}

static uint32_t owner_gpadl(const struct owner *owner, uint32_t id)
{
	uint32_t i = 0;

	while (i < GPADLS * 4 &&
	       (owner->gpadls[i].state == GPADL_NONE || owner->gpadls[i].id != id))
		i++;
	return i;
}

static uint32_t owner_gpadl_count(const struct owner *owner)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < GPADLS * 4; i++)
		count += owner->gpadls[i].state != GPADL_NONE;
	return count;
}

static void host_send(void *context, const void *message, size_t size, uint32_t vp, uint8_t sint)
{
	(void)context;
	must(vp == 0 && sint == 2);
	push(&world.to_guest, message, size);
}

static void host_contact(void *context, const struct server_contact *contact)
{
	(void)context;
	must(!world.contact);
	must(wire_version_known(contact->version));
	world.contact = true;
	world.version = contact->version;
	add_answer(ANSWER_CONTACT, NULL, 0);
}

static void host_disconnected(void *context)
{
	(void)context;
	must(world.contact || world.resetting);
	world.contact = false;
	world.resetting = false;
	for (uint32_t i = 0; i < OWNERS; i++)
		must(!world.owners[i].used || (world.owners[i].state == OWNER_CLOSED &&
		                               owner_gpadl_count(&world.owners[i]) == 0));
}

static void host_open(void *context, void *context_owner, const struct server_open *open)
{
	struct owner *owner = context_owner;
	uint32_t i = owner_gpadl(owner, open->ring_gpadl);

	(void)context;
	must(owner->used && !owner->revoking && owner->state == OWNER_CLOSED);
	must(i < GPADLS * 4 && owner->gpadls[i].state == GPADL_HELD);
	must(open->event_flag != 0 && open->connection_id != 0);
	owner->state = OWNER_OPENING;
	owner->ring = open->ring_gpadl;
	world.opens++;
	add_answer(ANSWER_OPEN, owner, 0);
}

static void host_close(void *context, void *context_owner)
{
	struct owner *owner = context_owner;

	(void)context;
	must(owner->used && owner->state == OWNER_OPEN);
	owner->state = OWNER_CLOSING;
	add_answer(ANSWER_CLOSE, owner, 0);
}

static void host_modify(void *context, void *context_owner, uint32_t vp)
{
	struct owner *owner = context_owner;

	(void)context;
	(void)vp;
	must(owner->used && owner->state == OWNER_OPEN && !owner->modifying);
	owner->modifying = true;
	add_answer(ANSWER_MODIFY, owner, 0);
}

static void host_gpadl(void *context, void *context_owner, uint32_t id,
                       const struct bus_gpa_range *ranges, uint32_t count)
{
	struct owner *owner = context_owner;
	uint32_t i = 0;

	(void)context;
	must(owner->used && !owner->revoking);
	must(owner_gpadl(owner, id) == GPADLS * 4);
	while (i < GPADLS * 4 && owner->gpadls[i].state != GPADL_NONE)
		i++;
	must(i < GPADLS * 4 && count == 1);
	must(ranges[0].pfns[0] == 1000 && ranges[0].pfns[RING_PAGES - 1] == 1000 + RING_PAGES - 1);
	owner->gpadls[i].id = id;
	owner->gpadls[i].state = GPADL_ASKED;
	owner->gpadls[i].ranges = ranges;
	add_answer(ANSWER_GPADL, owner, id);
}

static void host_teardown(void *context, void *context_owner, uint32_t id)
{
	struct owner *owner = context_owner;
	uint32_t i = owner_gpadl(owner, id);

	(void)context;
	must(owner->used && i < GPADLS * 4 && owner->gpadls[i].state == GPADL_HELD);
	must(owner->state == OWNER_CLOSED || (owner->state != OWNER_CLOSING && owner->ring != id));
	/* The memory was this owner's to read until now. */
	must(owner->gpadls[i].ranges[0].pfns[0] == 1000);
	owner->gpadls[i].state = GPADL_LEAVING;
	add_answer(ANSWER_TEARDOWN, owner, id);
}

static void host_revoked(void *context, void *context_owner)
{
	struct owner *owner = context_owner;

	(void)context;
	must(owner->used && owner->revoking && owner->state == OWNER_CLOSED);
	must(owner_gpadl_count(owner) == 0);
	memset(owner, 0, sizeof(*owner));
}

static void host_tl_connect(void *context, const struct bus_guid *endpoint,
                            const struct bus_guid *service, const struct bus_guid *silo)
{
	(void)context;
	(void)silo;
	world.endpoint = *endpoint;
	world.service = *service;
	add_answer(ANSWER_TL, NULL, 0);
}

static void host_fault(void *context, const struct bus_fault *fault)
{
	(void)context;
	print_error("the host accuses: %s: %s (%llx, %llx)\n", fault->message, fault->what,
	            (unsigned long long)fault->expected, (unsigned long long)fault->actual);
	must(!"an honest guest is accused");
}

static const struct server_ops host_ops = {
	.memory = { world_allocate, world_release },
	.send = host_send,
	.contact = host_contact,
	.disconnected = host_disconnected,
	.open = host_open,
	.close = host_close,
	.modify = host_modify,
	.gpadl = host_gpadl,
	.gpadl_teardown = host_teardown,
	.revoked = host_revoked,
	.tl_connect = host_tl_connect,
	.fault = host_fault,
};

static void answer_one(void)
{
	static const uint32_t statuses[] = { BUS_STATUS_SUCCESS, BUS_STATUS_SUCCESS,
		                             BUS_STATUS_SUCCESS, BUS_STATUS_UNSUCCESSFUL };
	uint32_t status = statuses[random_below(4)];
	uint32_t which, i;
	struct answer a;

	if (!world.answer_count)
		return;
	which = random_below(world.answer_count);
	a = world.answers[which];
	world.answers[which] = world.answers[--world.answer_count];
	switch (a.kind) {
	case ANSWER_CONTACT:
		/* At 1.1 a no would look like one to the version, and end at 0.13. */
		world.contact = status == BUS_STATUS_SUCCESS || world.version < WIRE_VERSION_2_4;
		server_contact_done(world.server, world.contact);
		break;
	case ANSWER_OPEN:
		a.owner->state = status == BUS_STATUS_SUCCESS ? OWNER_OPEN : OWNER_CLOSED;
		server_open_done(world.server, a.owner->channel, status);
		break;
	case ANSWER_CLOSE:
		a.owner->state = OWNER_CLOSED;
		a.owner->modifying = false;
		drop_answer(ANSWER_MODIFY, a.owner);
		server_close_done(world.server, a.owner->channel);
		break;
	case ANSWER_MODIFY:
		a.owner->modifying = false;
		server_modify_done(world.server, a.owner->channel, status);
		break;
	case ANSWER_GPADL:
		i = owner_gpadl(a.owner, a.gpadl);
		must(i < GPADLS * 4 && a.owner->gpadls[i].state == GPADL_ASKED);
		a.owner->gpadls[i].state = status == BUS_STATUS_SUCCESS ? GPADL_HELD : GPADL_NONE;
		server_gpadl_done(world.server, a.owner->channel, a.gpadl, status);
		break;
	case ANSWER_TEARDOWN:
		i = owner_gpadl(a.owner, a.gpadl);
		must(i < GPADLS * 4 && a.owner->gpadls[i].state == GPADL_LEAVING);
		a.owner->gpadls[i].state = GPADL_NONE;
		server_gpadl_teardown_done(world.server, a.owner->channel, a.gpadl);
		break;
	case ANSWER_TL:
		server_tl_result(world.server, &world.endpoint, &world.service,
		                 BUS_STATUS_CONNECTION_REFUSED);
		break;
	}
}

/* Some channels come and go under the same key, so that they are reoffered. */
static void host_offer_one(void)
{
	struct bus_offer offer = { .dedicated_interrupt = true };
	uint32_t i = random_below(OWNERS);
	struct owner *owner = &world.owners[i];
	struct server_channel *channel;
	int rc;

	if (owner->used)
		return;
	offer.instance.bytes[0] = (uint8_t)(i / 2);
	rc = server_offer(world.server, &offer, owner, &channel);
	if (rc == -2)
		return;
	must(rc == 0);
	owner->used = true;
	owner->channel = channel;
}

static void host_revoke(struct owner *owner)
{
	if (!owner->used || owner->revoking)
		return;
	owner->revoking = true;
	server_revoke(world.server, owner->channel);
}

/* ---------------- the guest's drivers ---------------- */

static struct seen *seen_of(uint32_t id)
{
	must(id > 0 && id < GUEST_IDS);
	return &world.seen[id];
}

static uint32_t seen_gpadl(const struct seen *seen, uint32_t id)
{
	uint32_t i = 0;

	while (i < GPADLS && (seen->gpadls[i].state == GPADL_NONE || seen->gpadls[i].id != id))
		i++;
	return i;
}

static bool guest_send(void *context, const void *message, size_t size, uint32_t connection_id)
{
	(void)context;
	must(connection_id == 1 || connection_id == 4);
	push(&world.to_host, message, size);
	return true;
}

static void guest_connected(void *context, uint32_t version, uint32_t features)
{
	(void)context;
	(void)features;
	must(world.connecting);
	world.connecting = false;
	world.connected = version != 0;
	world.reconnects += world.connected;
}

static void guest_offer(void *context, const struct bus_offer *offer, void **owner)
{
	struct seen *seen = seen_of(offer->channel_id);

	(void)context;
	must(world.connected && !seen->known);
	memset(seen, 0, sizeof(*seen));
	seen->known = true;
}

static void guest_offers_delivered(void *context)
{
	(void)context;
	must(world.connected);
}

/* The guest may now use that memory for something else. */
static bool nobody_has(uint32_t gpadl)
{
	for (uint32_t o = 0; o < OWNERS; o++)
		if (owner_gpadl(&world.owners[o], gpadl) < GPADLS * 4)
			return false;
	return true;
}

static void guest_rescind(void *context, void *owner, uint32_t id)
{
	struct seen *seen = seen_of(id);

	(void)context;
	must(seen->known && !seen->rescinded);
	must(seen->state != OWNER_OPENING && !seen->modifying);
	for (uint32_t i = 0; i < GPADLS; i++)
		must(seen->gpadls[i].state == GPADL_NONE || seen->gpadls[i].state == GPADL_HELD);
	for (uint32_t i = 0; i < GPADLS && !world.line_broke; i++)
		must(seen->gpadls[i].state == GPADL_NONE || nobody_has(seen->gpadls[i].id));
	seen->rescinded = true;
	if (seen->state == OWNER_CLOSING) /* given up: nobody waits */
		seen->state = OWNER_CLOSED;
	world.rescinds++;
}

static void guest_opened(void *context, void *owner, uint32_t id, uint32_t open_id, uint32_t status)
{
	struct seen *seen = seen_of(id);

	(void)context;
	(void)open_id;
	must(seen->known && !seen->rescinded && seen->state == OWNER_OPENING);
	seen->state = status == BUS_STATUS_SUCCESS ? OWNER_OPEN : OWNER_CLOSED;
	seen->queued_ring = 0;
}

static void guest_gpadl_created(void *context, void *owner, uint32_t id, uint32_t gpadl,
                                uint32_t status)
{
	struct seen *seen = seen_of(id);
	uint32_t i = seen_gpadl(seen, gpadl);

	(void)context;
	must(seen->known && !seen->rescinded && i < GPADLS);
	must(seen->gpadls[i].state == GPADL_ASKED);
	seen->gpadls[i].state = status == BUS_STATUS_SUCCESS ? GPADL_HELD : GPADL_NONE;
}

static void guest_gpadl_torndown(void *context, void *owner, uint32_t id, uint32_t gpadl)
{
	struct seen *seen = seen_of(id);
	uint32_t i = seen_gpadl(seen, gpadl);

	(void)context;
	must(seen->known && i < GPADLS && seen->gpadls[i].state == GPADL_LEAVING);
	seen->gpadls[i].state = GPADL_NONE;
	if (!world.line_broke) /* else it cannot know what the host still does with it */
		must(nobody_has(gpadl));
}

static void guest_modified(void *context, void *owner, uint32_t id, uint32_t status)
{
	struct seen *seen = seen_of(id);

	(void)context;
	(void)status;
	must(seen->known && seen->modifying);
	seen->modifying = false;
}

static void guest_tl_result(void *context, const struct bus_guid *endpoint,
                            const struct bus_guid *service, uint32_t status)
{
	(void)context;
	(void)endpoint;
	(void)service;
	must(status == BUS_STATUS_CONNECTION_REFUSED);
}

static void guest_unloaded(void *context)
{
	(void)context;
	must(world.unloading);
	world.unloading = false;
	world.connected = false;
	memset(world.seen, 0, sizeof(world.seen));
}

static void guest_fault(void *context, const struct bus_fault *fault)
{
	(void)context;
	/* Not an accusation: the host's owner said no. */
	if (strcmp(fault->what, "the host failed to connect") == 0)
		return;
	print_error("the guest accuses: %s: %s (%llx, %llx)\n", fault->message, fault->what,
	            (unsigned long long)fault->expected, (unsigned long long)fault->actual);
	must(!"an honest host is accused");
}

static const struct client_ops guest_ops = {
	.memory = { world_allocate, world_release },
	.send = guest_send,
	.connected = guest_connected,
	.offer = guest_offer,
	.offers_delivered = guest_offers_delivered,
	.rescind = guest_rescind,
	.opened = guest_opened,
	.gpadl_created = guest_gpadl_created,
	.gpadl_torndown = guest_gpadl_torndown,
	.modified = guest_modified,
	.tl_result = guest_tl_result,
	.unloaded = guest_unloaded,
	.fault = guest_fault,
};

static void guest_creates_gpadl(uint32_t id, struct seen *seen)
{
	uint64_t pfns[RING_PAGES];
	struct bus_gpa_range range = { RING_PAGES * 4096, 0, pfns };
	uint32_t i = 0;

	for (uint32_t page = 0; page < RING_PAGES; page++)
		pfns[page] = 1000 + page;
	while (i < GPADLS && seen->gpadls[i].state != GPADL_NONE)
		i++;
	if (i == GPADLS)
		return;
	if (client_gpadl_create(world.client, id, &range, 1, &seen->gpadls[i].id) == 0)
		seen->gpadls[i].state = GPADL_ASKED;
	else
		must(seen->rescinded || !world.connected || world.unloading);
}

static void guest_tears_down(uint32_t id, struct seen *seen, uint32_t i)
{
	if (seen->gpadls[i].state != GPADL_HELD && seen->gpadls[i].state != GPADL_ASKED)
		return;
	if (seen->queued_ring == seen->gpadls[i].id)
		return;
	world.unwanted += seen->gpadls[i].state == GPADL_ASKED;
	seen->gpadls[i].state = GPADL_LEAVING; /* the answer may come at once */
	must(client_gpadl_teardown(world.client, id, seen->gpadls[i].id) == 0);
}

static void guest_opens(uint32_t id, struct seen *seen)
{
	struct client_open open = { .ring_offset = RING_PAGES / 2 };
	uint32_t i = 0;

	while (i < GPADLS && seen->gpadls[i].state != GPADL_HELD)
		i++;
	if ((seen->state != OWNER_CLOSED && seen->state != OWNER_CLOSING) || i == GPADLS)
		return;
	open.ring_gpadl = seen->gpadls[i].id;
	if (client_open(world.client, id, &open) == 0) {
		seen->queued_ring = seen->state == OWNER_CLOSING ? open.ring_gpadl : 0;
		seen->state = OWNER_OPENING;
	} else {
		must(seen->rescinded || !world.connected || world.unloading);
	}
}

/* It does not wait for the answer any longer. */
static void guest_gives_up(uint32_t id, struct seen *seen)
{
	if (seen->modifying) {
		client_modify_give_up(world.client, id);
		seen->modifying = false;
	}
	if (seen->state != OWNER_OPENING)
		return;
	must(client_close(world.client, id) == 0);
	seen->state = seen->rescinded ? OWNER_CLOSED : OWNER_CLOSING;
	seen->queued_ring = 0;
	world.abandoned++;
}

static void guest_closes(uint32_t id, struct seen *seen)
{
	if (seen->state != OWNER_OPEN)
		return;
	must(client_close(world.client, id) == 0);
	seen->state = OWNER_CLOSED;
	must(!seen->modifying);
}

static void guest_modifies(uint32_t id, struct seen *seen)
{
	if (seen->state != OWNER_OPEN || seen->modifying || seen->rescinded)
		return;
	seen->modifying = true; /* the answer may come at once */
	if (client_modify(world.client, id, random_below(4)) != 0)
		seen->modifying = false;
}

static void guest_releases(uint32_t id, struct seen *seen)
{
	if (!seen->rescinded || seen->state != OWNER_CLOSED)
		return;
	must(client_release(world.client, id) == 0);
	memset(seen, 0, sizeof(*seen));
}

static void guest_uses_a_channel(void)
{
	uint32_t id = 1 + random_below(OWNERS * 2);
	struct seen *seen = seen_of(id);
	uint32_t i = random_below(GPADLS);

	if (!seen->known)
		return;
	switch (random_below(8)) {
	case 0:
		guest_creates_gpadl(id, seen);
		break;
	case 1:
		guest_tears_down(id, seen, i);
		break;
	case 2:
	case 3:
		guest_opens(id, seen);
		break;
	case 4:
		guest_closes(id, seen);
		break;
	case 5:
		guest_modifies(id, seen);
		break;
	case 6:
		guest_releases(id, seen);
		break;
	case 7:
		guest_gives_up(id, seen);
		break;
	}
}

static void guest_connects(void)
{
	struct client_contact contact = { .message_sint = 2, .feature_flags = 0xffffffff };

	if (world.connected || world.connecting || world.unloading)
		return;
	/* Not 0.13: there a goodbye has no answer, and what was under way comes after it. */
	contact.version_max = wire_versions[random_below(WIRE_VERSION_COUNT - 1)];
	world.connecting = true;
	must(client_connect(world.client, &contact) == 0);
}

static void guest_says_goodbye(void)
{
	if (!world.connected && !world.connecting)
		return;
	if (world.unloading)
		return;
	world.unloading = true;
	client_unload(world.client);
}

/* The guest crashed, or the line broke: nothing that was under way arrives. */
static void both_ends_are_reset(void)
{
	world.to_host.count = 0;
	world.to_guest.count = 0;
	world.line_broke = true;
	client_reset(world.client);
	world.line_broke = false;
	must(!world.connecting && !world.unloading);
	world.connected = false;
	memset(world.seen, 0, sizeof(world.seen));
	world.resetting = true;
	server_reset(world.server);
}

static void deliver(struct queue *queue, bool to_host)
{
	uint8_t bytes[WIRE_MESSAGE_MAX];
	size_t size;

	if (!queue->count)
		return;
	size = queue->messages[queue->first].size;
	memcpy(bytes, queue->messages[queue->first].bytes, size);
	queue->first = (queue->first + 1) % QUEUE;
	queue->count--;
	if (to_host)
		server_message(world.server, bytes, size);
	else
		client_message(world.client, bytes, size);
}

/* ---------------- running ---------------- */

static void one_step(void)
{
	uint32_t what = random_below(1000);

	if (what < 250)
		deliver(&world.to_host, true);
	else if (what < 500)
		deliver(&world.to_guest, false);
	else if (what < 700)
		answer_one();
	else if (what < 900)
		guest_uses_a_channel();
	else if (what < 950)
		host_offer_one();
	else if (what < 955)
		host_revoke(&world.owners[random_below(OWNERS)]);
	else if (what < 985)
		guest_connects();
	else if (what < 988)
		guest_says_goodbye();
	else if (what < 990)
		both_ends_are_reset();
	else if (world.connected)
		client_tl_connect(world.client, &(struct bus_guid){ { 1 } },
		                  &(struct bus_guid){ { 2 } });
}

/* Everything under way arrives and is answered. */
static void settle(void)
{
	while (world.to_host.count || world.to_guest.count || world.answer_count) {
		deliver(&world.to_host, true);
		deliver(&world.to_guest, false);
		answer_one();
	}
	must(!world.connecting);
	for (uint32_t id = 1; id < GUEST_IDS; id++) {
		const struct seen *seen = &world.seen[id];

		must(!seen->known || (seen->state != OWNER_OPENING && !seen->modifying));
		for (uint32_t i = 0; i < GPADLS; i++)
			must(!seen->known || seen->gpadls[i].state == GPADL_NONE ||
			     seen->gpadls[i].state == GPADL_HELD);
	}
}

/* A teardown of the rings of an open channel is not answered before it is closed. */
static void guest_closes_all(void)
{
	for (uint32_t id = 1; id < GUEST_IDS; id++)
		if (world.seen[id].known)
			guest_closes(id, &world.seen[id]);
}

static void wind_up(void)
{
	/* Opens under way end; then everything can be closed, and then settle. */
	for (uint32_t i = 0;
	     i < 20000 && (world.to_host.count || world.to_guest.count || world.answer_count);
	     i++) {
		deliver(&world.to_host, true);
		deliver(&world.to_guest, false);
		answer_one();
	}
	guest_closes_all();
	settle();
	guest_says_goodbye();
	settle();
	must(!world.connected && !world.unloading);
	must(!world.contact);
	for (uint32_t i = 0; i < OWNERS; i++)
		host_revoke(&world.owners[i]);
	for (uint32_t i = 0; i < OWNERS; i++)
		must(!world.owners[i].used);
	must(world.blocks == 2); /* the two machines */
}

static void make_machines(void)
{
	must(server_create(&host_ops, NULL, &server_limits_default, WIRE_VERSION_6_0,
	                   &world.server) == BUS_OK);
	must(client_create(&guest_ops, NULL, &world.client) == BUS_OK);
}

static void run(uint32_t seed, uint32_t steps)
{
	memset(&world, 0, sizeof(world));
	world.seed = seed;
	world.random = seed * 0x9e3779b97f4a7c15u + 1;
	make_machines();
	for (world.step = 0; world.step < steps; world.step++)
		one_step();
	wind_up();
	server_destroy(world.server);
	client_destroy(world.client);
	must(world.blocks == 0);
}

static void random_runs(void **state)
{
	uint32_t opens = 0, rescinds = 0, reconnects = 0, abandoned = 0, unwanted = 0;

	(void)state;
	for (uint32_t seed = 1; seed <= 200; seed++) {
		run(seed, 20000);
		opens += world.opens;
		rescinds += world.rescinds;
		reconnects += world.reconnects;
		abandoned += world.abandoned;
		unwanted += world.unwanted;
	}
	/* It was not all refused. */
	assert_true(opens > 500);
	assert_true(rescinds > 500);
	assert_true(reconnects > 500);
	assert_true(abandoned > 50);
	assert_true(unwanted > 50);
}

/* The machines are destroyed in the middle of whatever they are in. */
static void destroyed_at_any_time(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 300; seed++) {
		memset(&world, 0, sizeof(world));
		world.seed = seed;
		world.random = seed;
		make_machines();
		for (world.step = 0; world.step < 50 + seed * 5; world.step++)
			one_step();
		server_destroy(world.server);
		client_destroy(world.client);
		must(world.blocks == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_runs),
		cmocka_unit_test(destroyed_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
