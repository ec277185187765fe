/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Both ends of a channel, coupled through the bus's own machines: the two lives, the server and the
 * client, and the messages between them, in every order. What host.c and guest.c do between them is
 * played here, a step at a time. In the end both are as they were wanted: an Enable takes an offer
 * or waits for one, and no honest end is accused.
 *
 * A world is a block of memory at its own address, pointers and all: it is tried by copying it away
 * and back.
 */

#include "bus/client_private.h"
#include "bus/server_private.h"
#include "kmcl/life.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define INPUTS     5u
#define ARENA      (48u << 10)
#define QUEUE      10u
#define DEPTH_MAX  400u
#define RING_PAGES 2u
#define OFFERS     4u
#define IDS        16u /* of channels: more are never in use */

#define STATUS_OF_OPENED BUS_STATUS_INSUFFICIENT_RESOURCES /* where it fails at the server */

enum stage { STAGE_CLOSED, STAGE_OPEN, STAGE_STARTED, STAGE_POST, STAGE_ACTIVE };

enum doing {
	DOING_NOTHING,
	DOING_ENABLE,
	DOING_REGISTER,
	DOING_REGISTERED,
	DOING_DISABLE,
	DOING_PAUSE
};

/* One end of the channel, and one thread that calls its functions. */
struct end {
	struct life life;
	enum stage stage;
	enum doing doing;
	struct life_wait wait;
};

/* Where the client's opening or closing is: what it waits for from the host. */
enum talk { TALK_NOTHING, TALK_CREATED, TALK_OPENED, TALK_TORNDOWN, TALK_OVER };

struct offer {
	uint32_t id; /* 0: none */
	bool owned, rescinded, going;
};

struct queue {
	uint32_t sizes[QUEUE];
	uint32_t count;
	_Alignas(8) uint8_t messages[QUEUE][WIRE_MESSAGE_MAX]; /* past `count`: anything */
};

static struct world {
	struct end server, client;
	/* the host */
	struct server *bus_server;
	struct server_channel *channel;
	bool contact_due;
	uint32_t gpadl_due, teardown_due; /* + 1 */
	/* the guest */
	struct client *bus_client;
	struct offer offers[OFFERS];
	struct offer *mine;
	bool waiting;
	enum talk talk;
	uint32_t status; /* the host's answer */
	enum life_result outcome;
	uint32_t ring;
	bool shared, tearing;
	struct queue to_host, to_guest;
	/* Both machines allocate here. What is free is in the order of its addresses, so that
	 * worlds do not differ by who came first. */
	struct free_block {
		struct free_block *next;
		size_t size;
	} * freed;
	uint32_t arena_used;
	_Alignas(32) uint8_t arena[ARENA];
} world;

/* Up to where it differs from nothing. */
static size_t world_size(void)
{
	return offsetof(struct world, arena) + world.arena_used;
}

/* The server's table of channels and the queues are most of the world, and empty but for their
 * beginnings: these parts are all that is looked at. How far some of them go is in an earlier one.
 */
enum { PART_BEGINNING, PART_TO_HOST, PART_BETWEEN, PART_TO_GUEST, PART_SERVER, PART_REST, PARTS };
struct part {
	size_t begin, end;
};
static struct part parts[PARTS];

static struct part part_of(const struct world *w, uint32_t i, size_t size)
{
	struct part part = parts[i];

	if (i == PART_TO_HOST)
		part.end = part.begin + w->to_host.count * sizeof(w->to_host.messages[0]);
	else if (i == PART_TO_GUEST)
		part.end = part.begin + w->to_guest.count * sizeof(w->to_guest.messages[0]);
	else if (i == PART_REST)
		part.end = size;
	return part;
}

static const char *wrong;

static void expect(bool good, const char *what)
{
	if (!good && !wrong)
		wrong = what;
}

/* ---- memory ---- */

static void *arena_allocate(void *context, size_t size)
{
	struct free_block **p = &world.freed;
	void *memory;

	size = (size + 31) / 32 * 32;
	while (*p && (*p)->size != size)
		p = &(*p)->next;
	if (*p) {
		memory = *p;
		*p = (*p)->next;
	} else {
		if (world.arena_used + size > ARENA)
			return NULL;
		memory = world.arena + world.arena_used;
		world.arena_used += (uint32_t)size;
	}
	return memset(memory, 0, size);
}

static void arena_release(void *context, void *memory, size_t size)
{
	struct free_block *block = memory, **p = &world.freed;

	size = (size + 31) / 32 * 32;
	memset(memory, 0, size);
	block->size = size;
	while (*p && *p < block)
		p = &(*p)->next;
	block->next = *p;
	*p = block;
}

/* ---- messages ---- */

static void queue_add(struct queue *q, const void *message, size_t size)
{
	if (q->count == QUEUE) {
		expect(false, "messages pile up");
		return;
	}
	memset(q->messages[q->count], 0, sizeof(q->messages[0]));
	memcpy(q->messages[q->count], message, size);
	q->sizes[q->count++] = (uint32_t)size;
}

static bool queue_take(struct queue *q, uint8_t *message, size_t *size)
{
	if (!q->count)
		return false;
	*size = q->sizes[0];
	memcpy(message, q->messages[0], sizeof(q->messages[0]));
	q->count--;
	memmove(q->messages, q->messages[1], q->count * sizeof(q->messages[0]));
	memmove(q->sizes, q->sizes + 1, q->count * sizeof(q->sizes[0]));
	q->sizes[q->count] = 0;
	return true;
}

/* ---- the host's end of the bus, as host.c has it ---- */

static void host_send(void *context, const void *message, size_t size, uint32_t vp, uint8_t sint)
{
	queue_add(&world.to_guest, message, size);
}

static void host_contact(void *context, const struct server_contact *contact)
{
	world.contact_due = true;
}

static void host_disconnected(void *context)
{
}

static void host_open(void *context, void *owner, const struct server_open *open)
{
	life_open(&world.server.life);
}

static void host_close(void *context, void *owner)
{
	life_close(&world.server.life);
}

static void host_modify(void *context, void *owner, uint32_t target_vp)
{
	expect(false, "nobody asked for another processor");
}

static void host_gpadl(void *context, void *owner, uint32_t gpadl,
                       const struct bus_gpa_range *ranges, uint32_t count)
{
	world.gpadl_due = gpadl + 1;
}

static void host_teardown(void *context, void *owner, uint32_t gpadl)
{
	expect(!world.teardown_due, "two teardowns at once");
	world.teardown_due = gpadl + 1;
}

static void host_revoked(void *context, void *owner)
{
	world.channel = NULL;
	life_revoked(&world.server.life);
}

static void host_tl_connect(void *context, const struct bus_guid *endpoint,
                            const struct bus_guid *service, const struct bus_guid *silo)
{
}

static void bus_fault(void *context, const struct bus_fault *fault)
{
	expect(false, "an honest end is accused");
}

static const struct server_ops server_ops = {
	.memory = { arena_allocate, arena_release },
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
	.fault = bus_fault,
};

/* What the machine is owed when a call into it is over. `channel` may go with it. */
static void host_leave(struct server_channel *channel)
{
	while (world.contact_due || world.gpadl_due || world.teardown_due) {
		uint32_t gpadl = world.gpadl_due, teardown = world.teardown_due;

		if (world.contact_due) {
			world.contact_due = false;
			server_contact_done(world.bus_server, true);
		} else if (gpadl) {
			world.gpadl_due = 0;
			server_gpadl_done(world.bus_server, channel, gpadl - 1, BUS_STATUS_SUCCESS);
		} else {
			world.teardown_due = 0;
			server_gpadl_teardown_done(world.bus_server, channel, teardown - 1);
		}
	}
}

/* ---- the guest's end of the bus, as guest.c has it ---- */

static bool guest_send(void *context, const void *message, size_t size, uint32_t connection_id)
{
	queue_add(&world.to_host, message, size);
	return true;
}

static void guest_connected(void *context, uint32_t version, uint32_t features)
{
	expect(version, "no version agreed on");
}

static bool offer_is_free(const struct offer *offer)
{
	return offer->id && !offer->owned && !offer->rescinded && !offer->going;
}

/* To the channel that waits, if it does. */
static void guest_match(void)
{
	for (uint32_t i = 0; i < OFFERS && world.waiting; i++) {
		if (!offer_is_free(&world.offers[i]))
			continue;
		world.offers[i].owned = true;
		world.mine = &world.offers[i];
		world.waiting = false;
		life_offer(&world.client.life);
	}
}

static void guest_offer(void *context, const struct bus_offer *offer, void **owner)
{
	for (uint32_t i = 0; i < OFFERS; i++) {
		if (world.offers[i].id)
			continue;
		world.offers[i].id = offer->channel_id;
		guest_match();
		return;
	}
	expect(false, "offers pile up");
}

static void guest_delivered(void *context)
{
}

static struct offer *guest_find(uint32_t id)
{
	for (uint32_t i = 0; i < OFFERS; i++)
		if (world.offers[i].id == id)
			return &world.offers[i];
	expect(false, "a channel that was never offered");
	return &world.offers[0];
}

static void guest_rescind(void *context, void *owner, uint32_t id)
{
	struct offer *offer = guest_find(id);

	offer->rescinded = true;
	if (offer->owned)
		life_close(&world.client.life);
}

static void guest_answer(enum talk talk, uint32_t status)
{
	if (world.talk != talk)
		return;
	world.talk = TALK_OVER;
	world.status = status;
}

static void guest_opened(void *context, void *owner, uint32_t id, uint32_t open_id, uint32_t status)
{
	guest_answer(TALK_OPENED, status);
}

static void guest_created(void *context, void *owner, uint32_t id, uint32_t gpadl, uint32_t status)
{
	guest_answer(TALK_CREATED, status);
}

/* How an opening goes, after an answer. */
static enum life_result guest_outcome(void)
{
	if (world.status == BUS_STATUS_SUCCESS)
		return LIFE_DONE;
	if (world.status == BUS_STATUS_DEVICE_REMOVED)
		world.mine->going = true;
	if (world.mine->going || world.mine->rescinded)
		return LIFE_LOST;
	expect(world.status == STATUS_OF_OPENED, "an offer that is taken back fails an Enable");
	return LIFE_FAILED;
}

static void guest_torndown(void *context, void *owner, uint32_t id, uint32_t gpadl)
{
	if (world.talk == TALK_TORNDOWN)
		world.talk = TALK_OVER;
}

static void guest_modified(void *context, void *owner, uint32_t id, uint32_t status)
{
}

static void guest_tl_result(void *context, const struct bus_guid *endpoint,
                            const struct bus_guid *service, uint32_t status)
{
}

static void guest_unloaded(void *context)
{
}

static const struct client_ops client_ops = {
	.memory = { arena_allocate, arena_release },
	.send = guest_send,
	.connected = guest_connected,
	.offer = guest_offer,
	.offers_delivered = guest_delivered,
	.rescind = guest_rescind,
	.opened = guest_opened,
	.gpadl_created = guest_created,
	.gpadl_torndown = guest_torndown,
	.modified = guest_modified,
	.tl_result = guest_tl_result,
	.unloaded = guest_unloaded,
	.fault = bus_fault,
};

/* Offers that nobody has and the host wants back. */
static void guest_leave(void)
{
	for (uint32_t i = 0; i < OFFERS; i++) {
		struct offer *offer = &world.offers[i];

		if (!offer->id || !offer->rescinded || offer->owned)
			continue;
		client_release(world.bus_client, offer->id);
		memset(offer, 0, sizeof(*offer));
	}
}

static void guest_release(void)
{
	world.mine->owned = false;
	world.mine = NULL;
	guest_match();
	guest_leave();
}

static void guest_wait(void)
{
	world.waiting = true;
	guest_match();
}

static void guest_share_rings(void)
{
	static const uint64_t pages[RING_PAGES] = { 16, 17 };
	struct bus_gpa_range range = { RING_PAGES * WIRE_PAGE_SIZE, 0, pages };

	world.talk = TALK_CREATED;
	if (client_gpadl_create(world.bus_client, world.mine->id, &range, 1, &world.ring) != 0) {
		world.talk = TALK_OVER;
		world.status = BUS_STATUS_DEVICE_REMOVED;
	}
}

static void guest_unshare_rings(void)
{
	world.shared = false;
	world.tearing = true;
	world.talk = TALK_TORNDOWN;
	if (client_gpadl_teardown(world.bus_client, world.mine->id, world.ring) != 0)
		world.talk = TALK_OVER;
}

static void guest_open(void)
{
	struct client_open open = { .ring_gpadl = world.ring, .ring_offset = 1 };

	world.shared = true;
	world.talk = TALK_OPENED;
	if (client_open(world.bus_client, world.mine->id, &open) != 0) {
		world.talk = TALK_OVER;
		world.status = BUS_STATUS_DEVICE_REMOVED;
	}
}

/* ---- actions ---- */

static void action_began(struct end *e)
{
	switch (e->life.action) {
	case LIFE_OPEN:
		expect(e->stage == STAGE_CLOSED, "Opened out of order");
		if (e == &world.client)
			guest_share_rings();
		break;
	case LIFE_START:
		expect(e->stage == STAGE_OPEN, "Started out of order");
		break;
	case LIFE_POST_START:
		expect(e->stage == STAGE_STARTED, "PostStarted out of order");
		e->stage = STAGE_POST;
		break;
	case LIFE_SUSPEND:
		expect(e->stage == STAGE_ACTIVE, "Suspend out of order");
		break;
	case LIFE_RELEASE_POST:
	case LIFE_CLOSE:
		expect(e->life.action == LIFE_RELEASE_POST || e->stage == STAGE_OPEN,
		       "Closed out of order");
		if (e == &world.client && !e->life.bus_closed) {
			client_close(world.bus_client, world.mine->id);
			guest_unshare_rings();
		}
		break;
	default:
		break;
	}
}

/* The client talks with the host before its action is over; false: it is not over yet. */
static bool client_talks(void)
{
	enum talk talk = world.talk;

	if (talk == TALK_NOTHING)
		return true;
	if (talk != TALK_OVER)
		return false;
	world.talk = TALK_NOTHING;
	if (world.client.life.action != LIFE_OPEN)
		return true;
	if (!world.tearing)
		world.outcome = guest_outcome();
	world.tearing = false;
	if (world.outcome == LIFE_DONE && !world.shared) {
		guest_open();
		return false;
	}
	if (world.outcome != LIFE_DONE && world.shared) {
		guest_unshare_rings();
		return false;
	}
	return true;
}

static enum life_result server_acts(struct end *e, bool good)
{
	struct server_channel *channel = world.channel;

	switch (e->life.action) {
	case LIFE_REVOKE:
		server_revoke(world.bus_server, channel);
		break;
	case LIFE_OPEN:
		if (good)
			e->stage = STAGE_OPEN;
		return good ? LIFE_DONE : LIFE_FAILED;
	case LIFE_ANSWER_OPEN:
		server_open_done(world.bus_server, channel,
		                 e->life.opened ? BUS_STATUS_SUCCESS : STATUS_OF_OPENED);
		break;
	case LIFE_REFUSE_OPEN:
		server_open_done(world.bus_server, channel, BUS_STATUS_DEVICE_REMOVED);
		break;
	case LIFE_CLOSE:
		e->stage = STAGE_CLOSED;
		break;
	case LIFE_ANSWER_CLOSE:
		server_close_done(world.bus_server, channel);
		break;
	case LIFE_FORGET:
		expect(!channel, "forgotten before it was revoked");
		break;
	default:
		break;
	}
	host_leave(channel);
	return LIFE_DONE;
}

static enum life_result client_acts(struct end *e, bool good)
{
	switch (e->life.action) {
	case LIFE_OPEN:
		if (world.outcome == LIFE_DONE && good) {
			e->stage = STAGE_OPEN;
			return LIFE_DONE;
		}
		if (world.outcome == LIFE_LOST)
			return LIFE_LOST;
		guest_release();
		return LIFE_FAILED;
	case LIFE_CLOSE:
		e->stage = STAGE_CLOSED;
		guest_release();
		break;
	case LIFE_WAIT_AGAIN:
		guest_release();
		guest_wait();
		break;
	case LIFE_FORGET:
		if (world.waiting)
			world.waiting = false;
		else
			guest_release();
		break;
	default:
		break;
	}
	return LIFE_DONE;
}

static bool end_action(struct end *e, bool good)
{
	enum life_action action = e->life.action;
	enum life_result result;

	if (action == LIFE_NOTHING || (!good && action != LIFE_OPEN))
		return false;
	if (e == &world.client) {
		bool was_over = world.talk == TALK_OVER;

		if (!client_talks())
			return was_over && good;
		/* Opened fails after the host has opened: it is closed again first. */
		if (action == LIFE_OPEN && !good && world.outcome == LIFE_DONE && world.shared) {
			client_close(world.bus_client, world.mine->id);
			world.outcome = LIFE_FAILED;
			guest_unshare_rings();
			return true;
		}
	}
	result = e == &world.server ? server_acts(e, good) : client_acts(e, good);
	if (action == LIFE_START)
		e->stage = STAGE_STARTED;
	if (action == LIFE_SUSPEND)
		e->stage = STAGE_OPEN;
	if (action == LIFE_OPEN || action == LIFE_CLOSE)
		world.shared = e == &world.client ? result == LIFE_DONE && action == LIFE_OPEN
		                                  : world.shared;
	life_end(&e->life, result);
	return true;
}

static bool begin_action(struct end *e)
{
	struct life before = e->life;

	if (life_begin(&e->life) != LIFE_NOTHING)
		action_began(e);
	return memcmp(&before, &e->life, sizeof(before)) != 0;
}

static bool post_returns(struct end *e)
{
	if (e->stage != STAGE_POST)
		return false;
	e->stage = STAGE_ACTIVE;
	life_post_returned(&e->life);
	return true;
}

/* ---- callers ---- */

static bool call(struct end *e, enum doing doing)
{
	if (e->doing != DOING_NOTHING)
		return false;
	e->doing = doing;
	if (doing == DOING_ENABLE)
		life_enter(&e->life);
	else if (doing == DOING_DISABLE)
		life_disable(&e->life, &e->wait);
	else
		life_pause(&e->life, &e->wait);
	return true;
}

static void call_over(struct end *e)
{
	e->doing = DOING_NOTHING;
	memset(&e->wait, 0, sizeof(e->wait));
}

static void make_known(struct end *e)
{
	struct bus_offer offer = { .type = { { 1 } },
		                   .instance = { { 2 } },
		                   .dedicated_interrupt = true };

	if (e == &world.client) {
		guest_wait();
		return;
	}
	expect(server_offer(world.bus_server, &offer, e, &world.channel) == 0, "no room to offer");
	expect(world.channel->offer.channel_id < IDS, "a channel's id is out of what is looked at");
	host_leave(world.channel);
}

static bool call_goes_on(struct end *e)
{
	enum life_answer answer;

	switch (e->doing) {
	case DOING_ENABLE:
		answer = life_enable(&e->life, false);
		if (answer == LIFE_WAIT)
			return false;
		life_leave(&e->life);
		call_over(e);
		if (answer == LIFE_GO)
			e->doing = DOING_REGISTER;
		return true;
	case DOING_REGISTER:
		make_known(e);
		e->doing = DOING_REGISTERED;
		return true;
	case DOING_REGISTERED:
		life_enabled(&e->life, true);
		call_over(e);
		return true;
	case DOING_DISABLE:
		if (!life_disable_over(&e->life, &e->wait))
			return false;
		life_disable_end(&e->life);
		call_over(e);
		return true;
	case DOING_PAUSE:
		if (!life_pause_over(&e->life, &e->wait))
			return false;
		life_leave(&e->life);
		call_over(e);
		return true;
	case DOING_NOTHING:
		break;
	}
	return false;
}

/* ---- moves ---- */

enum move {
	/* inner steps, of either end */
	MOVE_BEGIN,
	MOVE_END,
	MOVE_POST_RETURNS,
	MOVE_CALL_GOES_ON,
	MOVE_MESSAGE, /* it gets the next one */
	/* inputs */
	MOVE_FAIL,
	MOVE_ENABLE,
	MOVE_DISABLE,
	MOVE_PAUSE,
	MOVE_START,
	MOVES
};

static const char *const move_names[MOVES] = {
	"takes a step",
	"is through with it",
	"PostStarted returns",
	"its call goes on",
	"gets a message",
	"Opened fails",
	"Enable",
	"Disable",
	"Pause",
	"Start",
};

static bool gets_message(struct end *e)
{
	uint8_t message[WIRE_MESSAGE_MAX];
	size_t size;

	if (!queue_take(e == &world.server ? &world.to_host : &world.to_guest, message, &size))
		return false;
	if (e == &world.server) {
		server_message(world.bus_server, message, size);
		host_leave(world.channel);
	} else {
		client_message(world.bus_client, message, size);
		guest_leave();
	}
	return true;
}

static bool make_move(struct end *e, enum move move)
{
	switch (move) {
	case MOVE_BEGIN:
		return begin_action(e);
	case MOVE_END:
		return end_action(e, true);
	case MOVE_POST_RETURNS:
		return post_returns(e);
	case MOVE_CALL_GOES_ON:
		return call_goes_on(e);
	case MOVE_MESSAGE:
		return gets_message(e);
	case MOVE_FAIL:
		return end_action(e, false);
	case MOVE_ENABLE:
		return call(e, DOING_ENABLE);
	case MOVE_DISABLE:
		return call(e, DOING_DISABLE);
	case MOVE_PAUSE:
		return call(e, DOING_PAUSE);
	case MOVE_START:
		if (e->life.running)
			return false;
		life_start(&e->life);
		return e->life.running;
	case MOVES:
		break;
	}
	return false;
}

/* Nothing goes on: no call waits, and what both want is so. */
static const char *rest(void)
{
	const struct end *s = &world.server, *c = &world.client;

	if (s->doing != DOING_NOTHING || c->doing != DOING_NOTHING)
		return "a call never returns";
	if (s->life.action != LIFE_NOTHING || c->life.action != LIFE_NOTHING)
		return "the other end never answers";
	if (!s->life.enabled && s->life.phase != LIFE_DISABLED)
		return "the server never gets disabled";
	if (!c->life.enabled && c->life.phase != LIFE_DISABLED)
		return "the client never gets disabled";
	if (!s->life.enabled || !c->life.enabled)
		return s->stage || c->stage ? "one end is open, the other is not" : NULL;
	if (s->stage == STAGE_CLOSED || c->stage == STAGE_CLOSED)
		return "both are enabled, and it is not open";
	if ((s->stage == STAGE_ACTIVE) != s->life.running ||
	    (c->stage == STAGE_ACTIVE) != c->life.running)
		return "started, and it does not run; or the reverse";
	return NULL;
}

/* ---- the walk ---- */

struct seen {
	uint64_t hash;
	uint8_t inputs; /* used to get there, + 1; 0: empty */
};

static struct {
	struct seen *table;
	uint64_t size, count, moves, rests;
	uint32_t inputs;
	struct world *saved; /* of each depth */
	uint8_t way[DEPTH_MAX];
} walk;

/* What is not looked at before it is set again. Ids that nobody remembers may be given again: so a
 * walk comes back to where it was. */
static void world_normalise(void)
{
	struct client_channel *channel;

	if (world.talk == TALK_NOTHING) {
		world.outcome = LIFE_DONE;
		world.status = 0;
		world.tearing = false;
	}
	for (struct server_channel *c = world.bus_server->first; c; c = c->next) {
		if (c->state == CHANNEL_CLOSED)
			memset(&c->open, 0, sizeof(c->open));
		if (!c->reopen_wanted)
			memset(&c->reopen, 0, sizeof(c->reopen));
	}
	for (uint32_t i = 0; i < OFFERS; i++) {
		channel = client_channel_at(world.bus_client, world.offers[i].id);
		if (channel && channel->state == CLIENT_CHANNEL_OFFERED)
			channel->open_id = 0;
	}
	if (world.to_host.count || world.to_guest.count || world.bus_client->gpadls.root ||
	    world.bus_server->gpadls.root)
		return;
	world.bus_client->last_open_id = 0;
	world.bus_client->last_gpadl = 0;
	world.ring = 0;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* In two lanes that do not wait for each other. */
static uint64_t part_hash(uint64_t h, const uint64_t *words, size_t count)
{
	uint64_t other = ~h;

	for (; count > 3; words += 4, count -= 4) {
		h = mix(h ^ words[0], 0xff51afd7ed558ccdu ^ words[1]);
		other = mix(other ^ words[2], 0x9fb21c651e98df25u ^ words[3]);
	}
	h = mix(h, other);
	for (; count; words++, count--)
		h = mix(h ^ words[0], 0xc4ceb9fe1a85ec53u);
	return h;
}

static uint64_t world_hash(void)
{
	const uint64_t *words = (const uint64_t *)&world;
	uint64_t h = 0x9e3779b97f4a7c15u;

	for (uint32_t p = 0; p < PARTS; p++) {
		struct part part = part_of(&world, p, world_size());

		h = part_hash(h, words + part.begin / sizeof(*words),
		              (part.end - part.begin) / sizeof(*words));
	}
	return h;
}

static void table_grow(void)
{
	struct seen *old = walk.table;
	uint64_t size = walk.size;

	walk.size = size ? 4 * size : 1u << 18;
	walk.table = mmap(NULL, walk.size * sizeof(*walk.table), PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(walk.table != MAP_FAILED);
	/* It is looked at all over: most of the time would go into finding its pages. */
	madvise(walk.table, walk.size * sizeof(*walk.table), MADV_HUGEPAGE);
	for (uint64_t i = 0; i < size; i++) {
		uint64_t at = old[i].hash & (walk.size - 1);

		if (!old[i].inputs)
			continue;
		while (walk.table[at].inputs)
			at = (at + 1) & (walk.size - 1);
		walk.table[at] = old[i];
	}
	if (old)
		munmap(old, size * sizeof(*old));
}

/* New, or reached with fewer inputs than before. */
static bool world_is_new(uint32_t inputs)
{
	uint64_t hash, at;

	world_normalise();
	hash = world_hash();
	if (2 * walk.count >= walk.size)
		table_grow();
	at = hash & (walk.size - 1);
	while (walk.table[at].inputs && walk.table[at].hash != hash)
		at = (at + 1) & (walk.size - 1);
	if (walk.table[at].inputs && walk.table[at].inputs <= inputs + 1)
		return false;
	walk.count += !walk.table[at].inputs;
	walk.table[at] = (struct seen){ hash, (uint8_t)(inputs + 1) };
	return true;
}

static bool violation(uint32_t depth, const char *what)
{
	fprintf(stderr, "# after\n");
	for (uint32_t i = 0; i < depth; i++)
		fprintf(stderr, "#   %s: %s\n", walk.way[i] / MOVES ? "client" : "server",
		        move_names[walk.way[i] % MOVES]);
	fprintf(stderr, "# %s\n", what);
	return false;
}

static void parts_copy(struct world *to, const struct world *from, size_t size)
{
	for (uint32_t p = 0; p < PARTS; p++) {
		struct part part = part_of(from, p, size);

		memcpy((uint8_t *)to + part.begin, (const uint8_t *)from + part.begin,
		       part.end - part.begin);
	}
}

static bool world_is(const struct world *other)
{
	for (uint32_t p = 0; p < PARTS; p++) {
		struct part part = part_of(&world, p, world_size());

		if (memcmp((uint8_t *)&world + part.begin, (const uint8_t *)other + part.begin,
		           part.end - part.begin))
			return false;
	}
	return true;
}

/* What was allocated since then is nothing again. */
static void world_restore(uint32_t depth, size_t size)
{
	if (world_size() > size)
		memset((uint8_t *)&world + size, 0, world_size() - size);
	parts_copy(&world, &walk.saved[depth], size);
}

static bool go_on(uint32_t depth, uint32_t inputs)
{
	size_t size = world_size();
	bool rests = true;

	if (depth == DEPTH_MAX)
		return violation(depth, "goes on for ever");
	parts_copy(&walk.saved[depth], &world, size);
	for (uint8_t m = 0; m < 2 * MOVES; m++) {
		enum move move = (enum move)(m % MOVES);
		bool input = move >= MOVE_FAIL;

		if (input && inputs == walk.inputs)
			continue;
		if (!make_move(m / MOVES ? &world.client : &world.server, move)) {
			if (!world_is(&walk.saved[depth]))
				world_restore(depth, size);
			continue;
		}
		rests = rests && input;
		walk.moves++;
		walk.way[depth] = m;
		if (wrong)
			return violation(depth + 1, wrong);
		if (world_is_new(inputs + input) && !go_on(depth + 1, inputs + input))
			return false;
		world_restore(depth, size);
	}
	if (!rests)
		return true;
	walk.rests++;
	return rest() ? violation(depth, rest()) : true;
}

static size_t offset_of(const void *p)
{
	return (size_t)((const uint8_t *)p - (const uint8_t *)&world);
}

static void parts_set(void)
{
	struct server *s = world.bus_server;

	parts[PART_BEGINNING].end = offset_of(world.to_host.messages);
	parts[PART_TO_HOST].begin = offset_of(world.to_host.messages);
	parts[PART_BETWEEN] =
		(struct part){ offset_of(&world.to_guest), offset_of(world.to_guest.messages) };
	parts[PART_TO_GUEST].begin = offset_of(world.to_guest.messages);
	parts[PART_SERVER] = (struct part){ offset_of(&world.freed), offset_of(s->by_id + IDS) };
	parts[PART_REST].begin = offset_of(s->by_id + WIRE_CHANNEL_ID_MAX + 1);
}

/* Both are connected before anybody wants anything. */
static void world_begin(void)
{
	struct client_contact contact = { .version_max = WIRE_VERSION_5_3,
		                          .message_sint = WIRE_SINT_DEFAULT };

	memset(&world, 0, sizeof(world));
	life_init(&world.server.life, true);
	life_init(&world.client.life, false);
	assert_int_equal(server_create(&server_ops, NULL, &server_limits_default, WIRE_VERSION_5_3,
	                               &world.bus_server),
	                 BUS_OK);
	assert_int_equal(client_create(&client_ops, NULL, &world.bus_client), BUS_OK);
	parts_set();
	client_connect(world.bus_client, &contact);
	while (gets_message(&world.server) || gets_message(&world.client))
		;
}

static void every_order_at_both_ends(void **state)
{
	const char *inputs = getenv("LIFE_INPUTS");
	bool good;

	walk.inputs = inputs ? (uint32_t)atoi(inputs) : INPUTS;
	walk.saved = calloc(DEPTH_MAX, sizeof(*walk.saved));
	assert_non_null(walk.saved);
	world_begin();
	world_is_new(0);
	good = go_on(0, 0);
	print_message("# both ends, %u inputs: %llu states, %llu moves, %llu at rest\n",
	              walk.inputs, (unsigned long long)walk.count, (unsigned long long)walk.moves,
	              (unsigned long long)walk.rests);
	free(walk.saved);
	munmap(walk.table, walk.size * sizeof(*walk.table));
	assert_true(good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_order_at_both_ends),
	};

	return cmocka_run_group_tests_name("two_ends", tests, NULL, NULL);
}
