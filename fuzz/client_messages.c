/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What a host may say to a guest, with what the guest's drivers do in between.
 *
 * Input: records of an op byte, a size byte and that many bytes. Op 0 is a message; the others are
 * something the guest does, of which the bytes say what. Whatever the messages are, the client must
 * answer every question once and only then, and let go of everything in the end.
 */

#include "bus/bus.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(condition) ((condition) ? (void)0 : abort())

#define GPADLS    16u
#define GPADL_TOP 4096u

enum op {
	OP_MESSAGE,
	OP_CONNECT,
	OP_OPEN,
	OP_CLOSE,
	OP_MODIFY,
	OP_GPADL_CREATE,
	OP_GPADL_TEARDOWN,
	OP_RELEASE,
	OP_UNLOAD,
	OP_RESET,
	OP_REFUSED,
	OP_TL_CONNECT,
	OP_GIVE_UP, /* the answer to a modify */
	OP_BUSY,    /* the host has no room, from some message on */
	OP_RESUME,
	OPS
};

/* ABANDONED: closed before the open was answered, which it may have been meanwhile. REOPENING:
 * opened then or while the host had no room, and not said to it yet. */
enum open_state { CLOSED, OPENING, OPEN, ABANDONED, REOPENING };
enum gpadl_state { NONE, ASKED, HELD, LEAVING };

static struct {
	struct client *client;
	size_t blocks;
	bool connecting, connected, unloading;
	uint32_t room; /* messages that the host takes; UINT32_MAX: all */
	bool refused;  /* the last one it did not take: it hears nothing before client_resume() */
	struct {
		bool known, rescinded, modifying;
		enum open_state state;
	} channels[WIRE_CHANNEL_ID_MAX + 1];
	struct {
		uint32_t channel;
		enum gpadl_state state;
	} gpadls[GPADL_TOP];
} guest;

static void *guest_allocate(void *context, size_t size)
{
	(void)context;
	guest.blocks++;
	return calloc(1, size);
}

static void guest_free(void *context, void *memory, size_t size)
{
	(void)context;
	guest.blocks--;
	memset(memory, 0xa5, size);
	free(memory);
}

/* The open of the channel that waited for an answer, or nobody's. */
static void open_was_sent(uint32_t id)
{
	must(id <= WIRE_CHANNEL_ID_MAX);
	must(guest.channels[id].state == CLOSED || guest.channels[id].state == ABANDONED ||
	     guest.channels[id].state == REOPENING);
	guest.channels[id].state = OPENING;
}

static bool guest_send(void *context, const void *message, size_t size, uint32_t connection_id)
{
	union wire_message m;

	(void)context;
	must(connection_id > 0 && connection_id <= WIRE_CONNECTION_ID_MAX);
	must(!guest.refused);
	guest.refused = !guest.room;
	if (guest.refused)
		return false;
	guest.room -= guest.room != UINT32_MAX;
	must(size >= sizeof(struct wire_message_header) && size <= WIRE_MESSAGE_MAX);
	memcpy(&m, message, size);
	must(m.header.type > 0 && m.header.type < WIRE_MESSAGE_TYPES);
	if (m.header.type == WIRE_OPEN_CHANNEL)
		open_was_sent(m.open_channel.channel_id);
	return true;
}

static void guest_connected(void *context, uint32_t version, uint32_t features)
{
	(void)context;
	must(guest.connecting);
	must(version == 0 || wire_version_known(version));
	must(version >= WIRE_VERSION_6_0 || features == 0);
	guest.connecting = false;
	guest.connected = version != 0;
}

static void guest_offer(void *context, const struct bus_offer *offer, void **owner)
{
	uint32_t id = offer->channel_id;

	(void)context;
	must(guest.connected && id > 0 && id <= WIRE_CHANNEL_ID_MAX);
	must(!guest.channels[id].known);
	must(!offer->monitor_allocated || offer->monitor_id < WIRE_MONITOR_IDS);
	memset(&guest.channels[id], 0, sizeof(guest.channels[id]));
	guest.channels[id].known = true;
}

static void guest_offers_delivered(void *context)
{
	(void)context;
	must(guest.connected);
}

static void guest_rescind(void *context, void *owner, uint32_t id)
{
	(void)context;
	must(id <= WIRE_CHANNEL_ID_MAX);
	must(guest.channels[id].known && !guest.channels[id].rescinded);
	must(guest.channels[id].state != OPENING && guest.channels[id].state != REOPENING);
	must(!guest.channels[id].modifying);
	if (guest.channels[id].state == ABANDONED)
		guest.channels[id].state = CLOSED;
	for (uint32_t g = 0; g < GPADL_TOP; g++)
		must(guest.gpadls[g].channel != id || guest.gpadls[g].state == NONE ||
		     guest.gpadls[g].state == HELD);
	guest.channels[id].rescinded = true;
}

static void guest_opened(void *context, void *owner, uint32_t id, uint32_t open_id, uint32_t status)
{
	(void)context;
	(void)open_id;
	must(id <= WIRE_CHANNEL_ID_MAX && guest.channels[id].known);
	must(!guest.channels[id].rescinded);
	must(guest.channels[id].state == OPENING ||
	     (guest.channels[id].state == REOPENING && status));
	must(status == 0 || status & 0x80000000u);
	guest.channels[id].state = status ? CLOSED : OPEN;
}

static void guest_created(void *context, void *owner, uint32_t id, uint32_t gpadl, uint32_t status)
{
	(void)context;
	must(gpadl > 0 && gpadl < GPADL_TOP);
	must(guest.gpadls[gpadl].state == ASKED && guest.gpadls[gpadl].channel == id);
	guest.gpadls[gpadl].state = status ? NONE : HELD;
}

static void guest_torndown(void *context, void *owner, uint32_t id, uint32_t gpadl)
{
	(void)context;
	must(gpadl > 0 && gpadl < GPADL_TOP);
	must(guest.gpadls[gpadl].state == LEAVING && guest.gpadls[gpadl].channel == id);
	guest.gpadls[gpadl].state = NONE;
}

static void guest_modified(void *context, void *owner, uint32_t id, uint32_t status)
{
	(void)context;
	(void)status;
	must(id <= WIRE_CHANNEL_ID_MAX && guest.channels[id].modifying);
	guest.channels[id].modifying = false;
}

static void guest_tl_result(void *context, const struct bus_guid *endpoint,
                            const struct bus_guid *service, uint32_t status)
{
	(void)context;
	(void)endpoint;
	(void)service;
	(void)status;
}

static void forget_everything(void)
{
	memset(guest.channels, 0, sizeof(guest.channels));
	memset(guest.gpadls, 0, sizeof(guest.gpadls));
	guest.connected = false;
}

static void guest_unloaded(void *context)
{
	(void)context;
	must(guest.unloading);
	guest.unloading = false;
	guest.refused = false; /* with the connection */
	forget_everything();
}

static void guest_fault(void *context, const struct bus_fault *fault)
{
	(void)context;
	must(strlen(fault->message) && strlen(fault->what));
}

static const struct client_ops ops = {
	.memory = { guest_allocate, guest_free },
	.send = guest_send,
	.connected = guest_connected,
	.offer = guest_offer,
	.offers_delivered = guest_offers_delivered,
	.rescind = guest_rescind,
	.opened = guest_opened,
	.gpadl_created = guest_created,
	.gpadl_torndown = guest_torndown,
	.modified = guest_modified,
	.tl_result = guest_tl_result,
	.unloaded = guest_unloaded,
	.fault = guest_fault,
};

/* ---- what the guest does ---- */

static void connect_from(uint8_t which)
{
	struct client_contact contact = {
		.version_max = wire_versions[which % WIRE_VERSION_COUNT],
		.feature_flags = which & 0x80 ? 0 : 0xffffffff,
		.message_sint = 2,
	};

	if (guest.connecting || guest.connected || guest.unloading)
		return;
	guest.connecting = true;
	must(client_connect(guest.client, &contact) == 0);
}

static void open_channel(uint32_t id)
{
	struct client_open open = { .ring_gpadl = 1, .ring_offset = 1 };

	if (client_open(guest.client, id, &open))
		return;
	must(guest.channels[id].known && !guest.channels[id].rescinded);
	must(guest.channels[id].state == OPENING || guest.channels[id].state == ABANDONED ||
	     guest.refused);
	if (guest.channels[id].state != OPENING)
		guest.channels[id].state = REOPENING;
}

static void close_channel(uint32_t id)
{
	enum open_state before = guest.channels[id].state;
	bool open = before == OPEN, opening = before == OPENING || before == REOPENING;

	must((client_close(guest.client, id) == 0) == (open || opening));
	if (open)
		guest.channels[id].state = CLOSED;
	else if (opening)
		guest.channels[id].state = ABANDONED;
	must(!open || !guest.channels[id].modifying);
}

static void modify_channel(uint32_t id)
{
	bool before = guest.channels[id].modifying;

	guest.channels[id].modifying = true; /* the answer may come at once */
	if (client_modify(guest.client, id, 1))
		guest.channels[id].modifying = before;
	else
		must(!before && guest.channels[id].state == OPEN);
}

/* What a GPADL describes is the caller's while the host has not heard all of it. */
static const struct bus_gpa_range *ranges_of(uint8_t pages)
{
	static struct bus_gpa_range all[256][2];
	static const uint64_t pfns[257];

	all[pages][0] = (struct bus_gpa_range){ pages * 4096u + 1, 0, pfns };
	all[pages][1] = (struct bus_gpa_range){ 4096, pages, pfns };
	return all[pages];
}

static void create_gpadl(uint32_t id, uint8_t pages)
{
	uint32_t gpadl;

	if (client_gpadl_create(guest.client, id, ranges_of(pages), 1 + (pages & 1), &gpadl))
		return;
	must(guest.channels[id].known && !guest.channels[id].rescinded);
	must(gpadl > 0 && gpadl < GPADL_TOP && guest.gpadls[gpadl].state == NONE);
	must(client_gpadl_is_said(guest.client, gpadl) || guest.refused);
	guest.gpadls[gpadl].state = ASKED;
	guest.gpadls[gpadl].channel = id;
}

static void tear_down(uint32_t id, uint32_t gpadl)
{
	enum gpadl_state state = guest.gpadls[gpadl].state;
	bool may = (state == HELD || state == ASKED) && guest.gpadls[gpadl].channel == id;

	if (may)
		guest.gpadls[gpadl].state = LEAVING; /* the answer may come at once */
	must((client_gpadl_teardown(guest.client, id, gpadl) == 0) == may);
}

static void give_up(uint32_t id)
{
	client_modify_give_up(guest.client, id);
	guest.channels[id].modifying = false;
}

static void release(uint32_t id)
{
	bool may = guest.channels[id].rescinded && guest.channels[id].state == CLOSED;

	must((client_release(guest.client, id) == 0) == may);
	if (!may)
		return;
	memset(&guest.channels[id], 0, sizeof(guest.channels[id]));
	for (uint32_t g = 0; g < GPADL_TOP; g++)
		if (guest.gpadls[g].channel == id)
			guest.gpadls[g].state = NONE;
}

static void unload(void)
{
	if (guest.unloading)
		return;
	guest.unloading = true;
	client_unload(guest.client);
}

static void resume(void)
{
	guest.room = UINT32_MAX;
	guest.refused = false;
	must(client_resume(guest.client) == BUS_OK);
}

static void reset(void)
{
	guest.refused = false;
	client_reset(guest.client);
	must(!guest.connecting && !guest.unloading);
	forget_everything();
}

static void guest_does(uint8_t op, uint8_t first, uint8_t second)
{
	const struct bus_guid guid = { { second } };
	uint32_t id = (uint32_t)(first & 7) * 292; /* 0 to 2044 */

	if (first & 0x80)
		id = first & 7;
	switch (op) {
	case OP_CONNECT:
		connect_from(first);
		break;
	case OP_OPEN:
		open_channel(id);
		break;
	case OP_CLOSE:
		close_channel(id);
		break;
	case OP_MODIFY:
		modify_channel(id);
		break;
	case OP_GPADL_CREATE:
		create_gpadl(id, second);
		break;
	case OP_GPADL_TEARDOWN:
		tear_down(id, second % GPADLS);
		break;
	case OP_GIVE_UP:
		give_up(id);
		break;
	case OP_RELEASE:
		release(id);
		break;
	case OP_UNLOAD:
		unload();
		break;
	case OP_RESET:
		reset();
		break;
	case OP_REFUSED:
		client_contact_refused(guest.client);
		break;
	case OP_BUSY:
		guest.room = first & 15;
		break;
	case OP_RESUME:
		resume();
		break;
	case OP_TL_CONNECT:
		client_tl_connect(guest.client, &guid, &guid);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 4096)
		return 0; /* no more GPADLs than are counted here */
	memset(&guest, 0, sizeof(guest));
	guest.room = UINT32_MAX;
	must(client_create(&ops, NULL, &guest.client) == BUS_OK);
	while (size >= 2) {
		uint8_t op = data[0] % OPS;
		size_t length = data[1] <= size - 2 ? data[1] : size - 2;

		if (op == OP_MESSAGE)
			client_message(guest.client, data + 2, length);
		else
			guest_does(op, length > 0 ? data[2] : 0, length > 1 ? data[3] : 0);
		data += 2 + length;
		size -= 2 + length;
	}
	reset();
	must(guest.blocks == 1);
	client_destroy(guest.client);
	must(guest.blocks == 0);
	return 0;
}
