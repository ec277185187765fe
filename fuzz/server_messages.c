/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What a guest may say to a host, with the owners' answers in between.
 *
 * Input: records of an op byte, a size byte and that many bytes. Op 0 is a message; the others are
 * something the host does, of which the bytes say what. Owners here keep to their part; the server
 * must keep to its own, whatever the messages are: never ask out of turn, never more than once,
 * stay within its limits, and let go of everything in the end.
 */

#include "bus/bus.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(condition) ((condition) ? (void)0 : abort())

#define OWNERS 4u

enum op {
	OP_MESSAGE,
	OP_CONTACT_DONE,
	OP_OPEN_DONE,
	OP_CLOSE_DONE,
	OP_MODIFY_DONE,
	OP_GPADL_DONE,
	OP_TEARDOWN_DONE,
	OP_PAGES_DONE,
	OP_OFFER,
	OP_REVOKE,
	OP_RESET,
	OP_TL_RESULT,
	OPS
};

enum owner_state { CLOSED, OPENING, OPEN, CLOSING };
enum gpadl_state { NONE, ASKED, HELD, LEAVING };

static const struct server_limits limits = {
	.channels = OWNERS + 2,
	.gpadls = 8,
	.gpadl_pages = 200,
	.gpadls_building = 3,
};

struct owner {
	bool used, revoking, modifying;
	struct server_channel *channel;
	enum owner_state state;
	uint32_t ring;
	struct {
		uint32_t id;
		enum gpadl_state state;
	} gpadls[8];
};

static struct {
	struct server *server;
	size_t blocks;
	struct owner owners[OWNERS];
	bool contact_asked, pages_asked, contact;
} host;

static volatile uint64_t page_sum; /* so that every page number is read */

static void *host_allocate(void *context, size_t size)
{
	(void)context;
	host.blocks++;
	return calloc(1, size);
}

static void host_release(void *context, void *memory, size_t size)
{
	(void)context;
	host.blocks--;
	memset(memory, 0xa5, size);
	free(memory);
}

/* Reads all of it, so that a sanitizer sees what is not there. */
static void host_send(void *context, const void *message, size_t size, uint32_t vp, uint8_t sint)
{
	union wire_message m;

	(void)context;
	(void)vp;
	must(sint <= WIRE_SINT_MAX);
	must(size >= sizeof(struct wire_message_header) && size <= WIRE_MESSAGE_MAX);
	memcpy(&m, message, size);
	must(m.header.type > 0 && m.header.type < WIRE_MESSAGE_TYPES);
}

static void host_contact(void *context, const struct server_contact *contact)
{
	(void)context;
	must(!host.contact_asked && !host.contact);
	must(wire_version_known(contact->version));
	must(contact->vtl == 0 || (contact->vtl == 2 && contact->version >= WIRE_VERSION_5_1));
	must(contact->version < WIRE_VERSION_2_4 || !contact->interrupt_page);
	must(contact->version >= WIRE_VERSION_6_0 || !contact->feature_flags);
	must(!contact->monitor_pages[0] == !contact->monitor_pages[1]);
	host.contact_asked = true;
}

static void host_disconnected(void *context)
{
	(void)context;
	must(!host.pages_asked);
	host.contact = false;
	for (uint32_t i = 0; i < OWNERS; i++) {
		must(host.owners[i].state == CLOSED);
		for (uint32_t g = 0; g < 8; g++)
			must(host.owners[i].gpadls[g].state == NONE);
	}
}

static uint32_t find_gpadl(const struct owner *owner, uint32_t id)
{
	uint32_t g = 0;

	while (g < 8 && (owner->gpadls[g].state == NONE || owner->gpadls[g].id != id))
		g++;
	return g;
}

static void host_open(void *context, void *context_owner, const struct server_open *open)
{
	struct owner *owner = context_owner;
	uint32_t g = find_gpadl(owner, open->ring_gpadl);

	(void)context;
	must(owner->used && !owner->revoking && owner->state == CLOSED);
	must(g < 8 && owner->gpadls[g].state == HELD);
	must(open->ring_offset > 0 && open->ring_offset < limits.gpadl_pages);
	must(open->event_flag <= WIRE_EVENT_FLAG_MAX);
	must(open->connection_id > 0 && open->connection_id <= WIRE_CONNECTION_ID_MAX);
	owner->ring = open->ring_gpadl;
	owner->state = OPENING;
}

static void host_close(void *context, void *context_owner)
{
	struct owner *owner = context_owner;

	(void)context;
	must(owner->used && owner->state == OPEN);
	owner->state = CLOSING;
}

static void host_modify(void *context, void *context_owner, uint32_t vp)
{
	struct owner *owner = context_owner;

	(void)context;
	must(owner->used && owner->state == OPEN && !owner->modifying);
	must(vp != WIRE_VP_NO_INTERRUPT);
	owner->modifying = true;
}

static void host_gpadl(void *context, void *context_owner, uint32_t id,
                       const struct bus_gpa_range *ranges, uint32_t count)
{
	struct owner *owner = context_owner;
	uint64_t total = 0, pages, sum = 0;
	uint32_t g = 0;

	(void)context;
	must(owner->used && !owner->revoking && find_gpadl(owner, id) == 8);
	while (g < 8 && owner->gpadls[g].state != NONE)
		g++;
	must(g < 8 && count > 0);
	for (uint32_t i = 0; i < count; i++) {
		must(ranges[i].byte_count > 0 && ranges[i].byte_offset < WIRE_PAGE_SIZE);
		pages = wire_pages_spanned(ranges[i].byte_offset, ranges[i].byte_count);
		total += pages;
		must(total <= limits.gpadl_pages);
		for (uint64_t p = 0; p < pages; p++)
			sum += ranges[i].pfns[p];
	}
	page_sum = sum;
	owner->gpadls[g].state = ASKED;
	owner->gpadls[g].id = id;
}

static void host_teardown(void *context, void *context_owner, uint32_t id)
{
	struct owner *owner = context_owner;
	uint32_t g = find_gpadl(owner, id);

	(void)context;
	must(owner->used && g < 8 && owner->gpadls[g].state == HELD);
	must(owner->state == CLOSED || (owner->state != CLOSING && owner->ring != id));
	owner->gpadls[g].state = LEAVING;
}

static void host_revoked(void *context, void *context_owner)
{
	struct owner *owner = context_owner;

	(void)context;
	must(owner->used && owner->revoking && owner->state == CLOSED);
	for (uint32_t g = 0; g < 8; g++)
		must(owner->gpadls[g].state == NONE);
	memset(owner, 0, sizeof(*owner));
}

static void host_tl_connect(void *context, const struct bus_guid *endpoint,
                            const struct bus_guid *service, const struct bus_guid *silo)
{
	(void)context;
	(void)endpoint;
	(void)service;
	(void)silo;
}

static void host_monitor_pages(void *context, const uint64_t pages[2])
{
	(void)context;
	must(host.contact && !host.pages_asked);
	must(!pages[0] == !pages[1]);
	host.pages_asked = true;
}

static void host_fault(void *context, const struct bus_fault *fault)
{
	(void)context;
	must(strlen(fault->message) && strlen(fault->what));
}

static const struct server_ops ops = {
	.memory = { host_allocate, host_release },
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
	.monitor_pages = host_monitor_pages,
	.fault = host_fault,
};

/* ---- what the host does ---- */

static void contact_done(bool accepted)
{
	if (!host.contact_asked)
		return;
	host.contact_asked = false;
	host.contact = accepted;
	server_contact_done(host.server, accepted);
}

static void open_done(struct owner *owner, uint32_t status)
{
	if (owner->state != OPENING)
		return;
	owner->state = status ? CLOSED : OPEN;
	server_open_done(host.server, owner->channel, status);
}

static void close_done(struct owner *owner)
{
	if (owner->state != CLOSING)
		return;
	owner->state = CLOSED;
	owner->modifying = false;
	server_close_done(host.server, owner->channel);
}

static void modify_done(struct owner *owner, uint32_t status)
{
	if (!owner->modifying)
		return;
	owner->modifying = false;
	server_modify_done(host.server, owner->channel, status);
}

static void gpadl_done(struct owner *owner, uint32_t g, uint32_t status)
{
	if (owner->gpadls[g].state != ASKED)
		return;
	owner->gpadls[g].state = status ? NONE : HELD;
	server_gpadl_done(host.server, owner->channel, owner->gpadls[g].id, status);
}

static void teardown_done(struct owner *owner, uint32_t g)
{
	if (owner->gpadls[g].state != LEAVING)
		return;
	owner->gpadls[g].state = NONE;
	server_gpadl_teardown_done(host.server, owner->channel, owner->gpadls[g].id);
}

static void pages_done(bool accepted)
{
	if (!host.pages_asked)
		return;
	host.pages_asked = false;
	server_monitor_pages_done(host.server, accepted);
}

/* Owners 0 and 1 have the same key, and so may be reoffered. */
static void offer(struct owner *owner, bool monitored)
{
	struct bus_offer o = { .dedicated_interrupt = true, .monitor_allocated = monitored };

	if (owner->used)
		return;
	o.instance.bytes[0] = owner - host.owners > 1 ? (uint8_t)(owner - host.owners) : 0;
	if (server_offer(host.server, &o, owner, &owner->channel) != 0)
		return;
	must(o.channel_id > 0 && o.channel_id <= limits.channels);
	owner->used = true;
}

static void revoke(struct owner *owner)
{
	if (!owner->used || owner->revoking)
		return;
	owner->revoking = true;
	server_revoke(host.server, owner->channel);
}

static void host_does(uint8_t op, uint8_t which)
{
	struct owner *owner = &host.owners[which % OWNERS];
	uint32_t status = which & 0x80 ? BUS_STATUS_UNSUCCESSFUL : BUS_STATUS_SUCCESS;
	const struct bus_guid guid = { { which } };

	switch (op) {
	case OP_CONTACT_DONE:
		contact_done(!status);
		break;
	case OP_OPEN_DONE:
		open_done(owner, status);
		break;
	case OP_CLOSE_DONE:
		close_done(owner);
		break;
	case OP_MODIFY_DONE:
		modify_done(owner, status);
		break;
	case OP_GPADL_DONE:
		gpadl_done(owner, which >> 2 & 7, status);
		break;
	case OP_TEARDOWN_DONE:
		teardown_done(owner, which >> 2 & 7);
		break;
	case OP_PAGES_DONE:
		pages_done(!status);
		break;
	case OP_OFFER:
		offer(owner, !status);
		break;
	case OP_REVOKE:
		revoke(owner);
		break;
	case OP_RESET:
		server_reset(host.server);
		break;
	case OP_TL_RESULT:
		server_tl_result(host.server, &guid, &guid, status);
		break;
	}
}

/* Everything asked is answered; with the guest gone that must come to an end. */
static void wind_up(void)
{
	server_reset(host.server);
	for (int round = 0; round < 4; round++) {
		contact_done(false);
		pages_done(true);
		for (uint32_t i = 0; i < OWNERS; i++) {
			struct owner *owner = &host.owners[i];

			for (uint32_t g = 0; g < 8; g++) {
				gpadl_done(owner, g, BUS_STATUS_SUCCESS);
				teardown_done(owner, g);
			}
			open_done(owner, BUS_STATUS_SUCCESS);
			modify_done(owner, BUS_STATUS_SUCCESS);
			close_done(owner);
		}
	}
	must(server_version(host.server) == 0);
	for (uint32_t i = 0; i < OWNERS; i++) {
		revoke(&host.owners[i]);
		must(!host.owners[i].used);
	}
	must(host.blocks == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	memset(&host, 0, sizeof(host));
	must(server_create(&ops, NULL, &limits, WIRE_VERSION_6_0, &host.server) == BUS_OK);
	while (size >= 2) {
		uint8_t op = data[0] % OPS;
		size_t length = data[1] <= size - 2 ? data[1] : size - 2;

		if (op == OP_MESSAGE)
			server_message(host.server, data + 2, length);
		else
			host_does(op, length ? data[2] : 0);
		data += 2 + length;
		size -= 2 + length;
	}
	wind_up();
	server_destroy(host.server);
	must(host.blocks == 0);
	return 0;
}
