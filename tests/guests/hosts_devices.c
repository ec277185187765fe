/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Hosts of devices that say and write what they must not, as the guest kit's drivers meet them: of
 * integration components, and of a network adapter with NVSP and RNDIS. Each line of a table is one
 * word that is wrong, or a length, once; what has to come of it is beside it. Afterwards it is an
 * honest host, at which everything works, and all memory comes back.
 */

#include "ends.h"
#include "hosts.h"

#include "../guestkit/machine.h"

#include "ic/ic_protocol.h"
#include "net/netvsc_protocol.h"
#include "net/rndis_protocol.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- one host and one guest, for all lines of a device ---- */

struct guest {
	struct machine m;
	size_t used, mark; /* of the kit's memory, and of the machine's, before a line begins */
	struct vg_channel *channel;
	uint32_t offered, unloaded;
};

static struct {
	struct host *host;
	struct guest *guest;
	const GUID *type; /* of its channel */
	bool meets;       /* and has not come to a good end */
} the;

static void on_offered(void *context, struct vg_channel *channel, const struct vg_offer *offer)
{
	struct guest *g = context;

	g->channel = channel;
	g->offered++;
}

static void on_removed(void *context, struct vg_channel *channel)
{
	struct guest *g = context;

	g->offered = 0;
}

static void on_unloaded(void *context)
{
	struct guest *g = context;

	g->unloaded++;
}

static void meet_first(const GUID *type)
{
	const struct host_manner manner = { .version_max = WIRE_VERSION_5_3,
		                            .no_monitor = WIRE_MONITOR_ID_NONE,
		                            .type = type };
	struct vg_contact contact = { .message_sint = 2 };
	const char *uri = persona_uri();
	struct guest *g = calloc(1, sizeof(*g));

	the.type = type;
	the.guest = g;
	the.host = host_open(uri, &manner);
	g->m.events = (struct vg_events){
		.context = g, .offered = on_offered, .removed = on_removed, .unloaded = on_unloaded
	};
	machine_start(&g->m, uri);
	assert_int_equal(vg_connect(g->m.vg, &contact), VG_OK);
	machine_run(&g->m, &g->offered);
	g->used = vg_memory_used(g->m.vg, NULL);
	g->mark = g->m.used;
}

static void part(void)
{
	struct guest *g = the.guest;

	if (!g)
		return;
	assert_int_equal(vg_unload(g->m.vg), VG_OK);
	machine_run(&g->m, &g->unloaded);
	machine_stop(&g->m);
	host_close(the.host);
	free(g);
	memset(&the, 0, sizeof(the));
}

/* With a host of that device; a line that failed has left them as they are. */
static struct guest *meet(const GUID *type, const struct host_device *device)
{
	if (the.meets)
		memset(&the, 0, sizeof(the));
	if (!the.guest || memcmp(the.type, type, sizeof(*type)) != 0) {
		part();
		meet_first(type);
	}
	the.meets = true;
	host_set_device(the.host, device);
	machine_run(&the.guest->m, &the.guest->offered);
	the.guest->m.used = the.guest->mark;
	return the.guest;
}

/* Its channel is closed. */
static void met(void)
{
	struct guest *g = the.guest;

	host_set_device(the.host, NULL);
	machine_run(&g->m, &g->offered);
	assert_int_equal(vg_memory_used(g->m.vg, NULL), g->used);
	the.meets = false;
}

static int part_at_the_end(void **state)
{
	if (!the.meets)
		part();
	return 0;
}

/* What the host's threads count. */
static void run_until(struct guest *g, const uint32_t *count, uint32_t least)
{
	uint64_t until = machine_ms() + MACHINE_WAIT_MS;

	while (__atomic_load_n(count, __ATOMIC_ACQUIRE) < least) {
		machine_feed(&g->m);
		if (vg_poll(g->m.vg, 64) == 0)
			sched_yield();
		assert_true(machine_ms() < until);
	}
}

static void count(uint32_t *what)
{
	__atomic_add_fetch(what, 1, __ATOMIC_RELEASE);
}

/* A word of what is said that is not what it should be, and how long it is. */
struct odd {
	uint32_t at, value;
	uint32_t size; /* 0: as it should be */
};

static void make_odd(const struct odd *odd, uint8_t *bytes, uint32_t *size)
{
	memcpy(bytes + odd->at, &odd->value, sizeof(odd->value));
	if (odd->size)
		*size = odd->size;
}

/* ---- integration components ---- */

struct ic_host {
	const struct ic_line *line; /* NULL: it is honest */
	uint16_t type;
	/* counted by the host */
	uint32_t agreed, answered, refused;
};

enum ic_outcome { IC_ANSWERED, IC_REFUSED, IC_SILENT, IC_ENDS };

#define IC_BODY 20u /* where what follows the header begins */

static const struct ic_line {
	const char *name;
	enum ic_message_type type; /* of the component; and of the message: */
	bool negotiates;
	struct odd odd;
	enum ic_outcome outcome;
} ic_lines[] = {
	{ "no frameworks", IC_SHUTDOWN, true, { IC_BODY, 1 << 16 }, IC_REFUSED },
	{ "no versions", IC_SHUTDOWN, true, { IC_BODY, 1 }, IC_REFUSED },
	{ "more versions than there are", IC_SHUTDOWN, true, { IC_BODY, 1 | 8 << 16 }, IC_REFUSED },
	{ "versions without end", IC_SHUTDOWN, true, { IC_BODY, UINT32_MAX }, IC_REFUSED },
	{ "a framework nobody knows", IC_SHUTDOWN, true, { IC_BODY + 8, 99 }, IC_ANSWERED },
	{ "a short negotiation",
	  IC_SHUTDOWN,
	  true,
	  { IC_BODY, 1 | 1 << 16, IC_BODY + 4 },
	  IC_REFUSED },
	{ "no more than a header", IC_TIMESYNC, true, { 0, 0, IC_BODY }, IC_REFUSED },
	{ "less than a header", IC_TIMESYNC, true, { 0, 0, IC_BODY - 1 }, IC_SILENT },
	{ "a byte", IC_HEARTBEAT, true, { 0, 0, 1 }, IC_SILENT },
	{ "a length without end", IC_HEARTBEAT, true, { 8, 0xffff0000 }, IC_ANSWERED },
	{ "a length of 0", IC_HEARTBEAT, true, { 8, 0 }, IC_REFUSED },
	{ "an answer to nothing", IC_HEARTBEAT, true, { 16, 1 | IC_RESPONSE << 8 }, IC_SILENT },
	{ "a request too early", IC_SHUTDOWN, false, { 16, 1 | 3 << 8 }, IC_REFUSED },
	{ "another's request", IC_SHUTDOWN, false, { 4, IC_TIMESYNC }, IC_REFUSED },
	{ "a type beyond", IC_TIMESYNC, false, { 4, 0xffff }, IC_REFUSED },
	{ "the longest", IC_SHUTDOWN, false, { 8, 0xffff0000, 3000 }, IC_REFUSED },
	{ "longer than that", IC_SHUTDOWN, false, { 8, 0, 3008 }, IC_ENDS },
};

static void ic_write(struct host *h, const uint8_t *message, uint32_t size)
{
	struct wire_pipe_header pipe = { WIRE_PIPE_DATA, size };
	struct wire_packet packet = { .type = WIRE_PACKET_DATA_INBAND, .offset8 = 2 };
	uint8_t bytes[4096];

	memcpy(bytes, &pipe, sizeof(pipe));
	memcpy(bytes + sizeof(pipe), message, size);
	host_write(h, packet, bytes, (uint32_t)sizeof(pipe) + size);
}

/* Versions that all components know; or a request of a body of zeros, but for a flag of a time. */
static uint32_t ic_message(const struct ic_host *ic, bool negotiates, uint8_t *message)
{
	static const struct ic_version versions[] = { { 3, 0 }, { 3, 0 } };
	struct ic_negotiation n = { 1, 1, 0 };
	struct ic_header header = {
		.framework = versions[0],
		.message = versions[1],
		.type = negotiates ? IC_NEGOTIATE : ic->type,
		.size = 40,
		.transaction = 1,
		.flags = IC_TRANSACTION | IC_REQUEST,
	};

	memset(message, 0, 4096);
	memcpy(message, &header, sizeof(header));
	if (negotiates) {
		memcpy(message + IC_BODY, &n, sizeof(n));
		memcpy(message + IC_BODY + sizeof(n), versions, sizeof(versions));
	} else if (ic->type == IC_TIMESYNC) {
		message[IC_BODY + offsetof(struct ic_timesync_old, flags)] = IC_TIME_SAMPLE;
	}
	return IC_BODY + header.size;
}

/* What is wrong, and then what is not: each is answered by itself. */
static void ic_opened(struct host *h, void *context)
{
	struct ic_host *ic = context;
	uint8_t message[4096];
	uint32_t size;

	if (ic->line) {
		size = ic_message(ic, ic->line->negotiates, message);
		make_odd(&ic->line->odd, message, &size);
		ic_write(h, message, size);
	}
	if (!ic->line || ic->line->outcome != IC_ENDS) {
		size = ic_message(ic, true, message);
		message[16] = 2; /* its transaction */
		ic_write(h, message, size);
	}
	ic->line = NULL;
	host_show(h);
}

static void ic_took(struct host *h, void *context, const struct ring_packet *packet)
{
	struct ic_host *ic = context;
	struct host_rings *r = host_rings(h);
	struct ic_header header;
	uint8_t message[4096];
	uint32_t size;

	ring_read_copy(&r->reader, packet, packet->payload_offset + 8, &header, sizeof(header));
	if (header.transaction == 1) {
		count(header.status == IC_S_OK ? &ic->answered : &ic->refused);
		return;
	}
	if (header.type != IC_NEGOTIATE) {
		count(&ic->agreed);
		return;
	}
	size = ic_message(ic, false, message); /* versions are agreed on: it takes requests */
	message[16] = 3;
	ic_write(h, message, size);
}

struct ic_guest {
	struct guest *g;
	struct vg_ic *ic;
	uint8_t *memory;
	uint32_t closed;
	enum vg_status why;
};

static void on_ic_closed(void *context, struct vg_ic *ic, enum vg_status why)
{
	struct ic_guest *u = context;

	u->why = why;
	u->closed++;
}

static void on_shutdown(void *context, struct vg_ic *ic, bool restart, bool force)
{
}

static void on_time(void *context, struct vg_ic *ic, const struct vg_time *time)
{
}

static const GUID *ic_guid(enum ic_message_type type)
{
	static const GUID heartbeat = IC_HEARTBEAT_INTERFACE_TYPE,
			  shutdown = IC_SHUTDOWN_INTERFACE_TYPE, times = IC_TIMESYNC_INTERFACE_TYPE;

	return type == IC_HEARTBEAT ? &heartbeat : type == IC_SHUTDOWN ? &shutdown : &times;
}

static void ic_open(struct ic_guest *u)
{
	const struct vg_ic_events events = {
		.context = u, .shutdown = on_shutdown, .time = on_time, .closed = on_ic_closed
	};

	u->closed = 0;
	assert_int_equal(vg_ic_open(&u->ic, u->g->channel, &events, u->memory), VG_OK);
}

static void meet_component(void **state)
{
	const struct ic_line *line = *state;
	struct ic_host host = { .line = line, .type = (uint16_t)line->type };
	const struct host_device device = { &host, ic_opened, ic_took, NULL };
	struct ic_guest u = { 0 };

	u.g = meet(ic_guid(line->type), &device);
	u.memory = machine_pages(&u.g->m, VG_IC_PAGES);
	ic_open(&u);
	if (line->outcome == IC_ENDS) {
		run_until(u.g, &u.closed, 1);
		assert_int_equal(u.why, VG_MALFORMED);
		ic_open(&u);
	}
	run_until(u.g, &host.agreed, 1);
	assert_int_equal(host.answered, line->outcome == IC_ANSWERED);
	assert_int_equal(host.refused, line->outcome == IC_REFUSED);
	assert_int_equal(u.closed, 0);
	assert_int_equal(vg_ic_close(u.ic), VG_OK);
	run_until(u.g, &u.closed, 1);
	met();
}

/* Requests, as many as the ring has room for. */
static void ask_often(struct host *h, void *context)
{
	struct wire_pipe_header pipe = { WIRE_PIPE_DATA, 0 };
	struct wire_packet packet = { .type = WIRE_PACKET_DATA_INBAND, .offset8 = 2 };
	uint8_t message[4096];
	struct ring_span spans[2] = { { &pipe, sizeof(pipe) }, { message, 0 } };

	spans[1].size = pipe.data_size = ic_message(context, false, message);
	while (ring_write(&host_rings(h)->writer, packet, spans, 2) == RING_OK)
		;
	host_show(h);
}

struct look {
	bool all;
};

static void look(struct host *h, void *context)
{
	const struct wire_ring_control *c = host_rings(h)->to_guest;
	struct look *l = context;

	l->all = __atomic_load_n(&c->read_index, __ATOMIC_RELAXED) ==
	         __atomic_load_n(&c->write_index, __ATOMIC_RELAXED);
}

static void run_until_all_is_read(struct guest *g)
{
	uint64_t until = machine_ms() + MACHINE_WAIT_MS;
	struct look l = { false };

	while (!l.all) {
		machine_feed(&g->m);
		vg_poll(g->m.vg, 64);
		host_do(the.host, look, &l);
		assert_true(machine_ms() < until);
	}
}

/* Answers that find no room are not given; it goes on with the next that does. */
static void answers_to_a_host_that_reads_none(void **state)
{
	struct ic_host host = { .type = IC_HEARTBEAT };
	const struct host_device device = { &host, ic_opened, ic_took, NULL };
	struct ic_guest u = { 0 };
	uint32_t answered;

	u.g = meet(ic_guid(IC_HEARTBEAT), &device);
	u.memory = machine_pages(&u.g->m, VG_IC_PAGES);
	ic_open(&u);
	run_until(u.g, &host.agreed, 1);
	host_be_deaf(the.host, true);
	for (int i = 0; i < 10; i++) {
		host_do(the.host, ask_often, &host);
		run_until_all_is_read(u.g);
	}
	assert_int_equal(u.closed, 0);
	assert_int_equal(host.answered, 0);
	host_be_deaf(the.host, false);
	answered = __atomic_load_n(&host.answered, __ATOMIC_ACQUIRE);
	assert_in_range(answered, 1, 4096 / sizeof(struct ic_header)); /* what there is room for */
	host_do(the.host, ask_often, &host);
	run_until(u.g, &host.answered, answered + 1);
	assert_int_equal(u.closed, 0);
	assert_int_equal(vg_ic_close(u.ic), VG_OK);
	run_until(u.g, &u.closed, 1);
	met();
}

/* ---- a network adapter ---- */

enum net_outcome { NET_WORKS, NET_REFUSED, NET_ENDS };

/* Upon what the odd one comes: an NVSP message, an RNDIS message or OID, or with the first frame.
 */
#define UPON_RNDIS 0x10000u
#define UPON_FRAME 0x20000u
#define UPON_RANGE 0x30000u /* likewise, but it is in the packet's header of ranges */

#define SLOT 2048u

static const struct net_line {
	const char *name;
	uint32_t upon;
	struct odd odd;
	bool beside; /* what it should be follows */
	enum net_outcome outcome;
} net_lines[] = {
	{ "no version", NVSP_INIT, { 12, NVSP_STATUS_FAILURE }, true, NET_WORKS },
	{ "an answer of another type", NVSP_INIT, { 0, 99 }, false, NET_REFUSED },
	{ "a short answer", NVSP_INIT, { 0, NVSP_INIT_COMPLETE, 8 }, false, NET_REFUSED },
	{ "receive buffer refused", NVSP_SEND_RECEIVE_BUFFER, { 4, 2 }, false, NET_REFUSED },
	{ "no sections", NVSP_SEND_RECEIVE_BUFFER, { 8, 0 }, false, NET_REFUSED },
	{ "sections without end", NVSP_SEND_RECEIVE_BUFFER, { 8, UINT32_MAX }, false, NET_REFUSED },
	{ "a section further on", NVSP_SEND_RECEIVE_BUFFER, { 12, 8 }, false, NET_REFUSED },
	{ "slots of 0", NVSP_SEND_RECEIVE_BUFFER, { 16, 0 }, false, NET_REFUSED },
	{ "slots of 2^31", NVSP_SEND_RECEIVE_BUFFER, { 16, 1u << 31 }, false, NET_REFUSED },
	{ "no slots", NVSP_SEND_RECEIVE_BUFFER, { 20, 0 }, false, NET_REFUSED },
	{ "slots without end", NVSP_SEND_RECEIVE_BUFFER, { 20, UINT32_MAX }, false, NET_REFUSED },
	{ "a short answer", NVSP_SEND_RECEIVE_BUFFER, { 4, 1, 12 }, false, NET_REFUSED },
	{ "send buffer refused", NVSP_SEND_SEND_BUFFER, { 4, 0 }, false, NET_REFUSED },
	{ "sections of 0", NVSP_SEND_SEND_BUFFER, { 8, 0 }, false, NET_REFUSED },
	{ "sections of 2^32 - 1", NVSP_SEND_SEND_BUFFER, { 8, UINT32_MAX }, false, NET_REFUSED },

	{ "not its type",
	  UPON_RNDIS | RNDIS_INITIALIZE,
	  { 0, RNDIS_SET | RNDIS_COMPLETE },
	  true,
	  NET_WORKS },
	{ "type 0", UPON_RNDIS | RNDIS_INITIALIZE, { 0, 0 }, true, NET_WORKS },
	{ "a length of 0", UPON_RNDIS | RNDIS_INITIALIZE, { 4, 0 }, true, NET_WORKS },
	{ "a length without end",
	  UPON_RNDIS | RNDIS_INITIALIZE,
	  { 4, UINT32_MAX },
	  true,
	  NET_WORKS },
	{ "another id", UPON_RNDIS | RNDIS_INITIALIZE, { 8, 99 }, true, NET_WORKS },
	{ "a failure",
	  UPON_RNDIS | RNDIS_INITIALIZE,
	  { 12, RNDIS_STATUS_FAILURE },
	  false,
	  NET_REFUSED },
	{ "4 bytes", UPON_RNDIS | RNDIS_INITIALIZE, { 0, 0, 4 }, true, NET_WORKS },
	{ "data beyond", UPON_RNDIS | OID_802_3_CURRENT_ADDRESS, { 20, 4096 }, false, NET_REFUSED },
	{ "data at 2^32 - 1",
	  UPON_RNDIS | OID_802_3_CURRENT_ADDRESS,
	  { 20, UINT32_MAX },
	  false,
	  NET_REFUSED },
	{ "data without end",
	  UPON_RNDIS | OID_802_3_CURRENT_ADDRESS,
	  { 16, UINT32_MAX },
	  false,
	  NET_REFUSED },
	{ "5 bytes", UPON_RNDIS | OID_802_3_CURRENT_ADDRESS, { 16, 5 }, false, NET_REFUSED },
	{ "unknown",
	  UPON_RNDIS | OID_GEN_MAXIMUM_FRAME_SIZE,
	  { 12, RNDIS_STATUS_NOT_SUPPORTED },
	  false,
	  NET_WORKS },
	{ "0", UPON_RNDIS | OID_GEN_MAXIMUM_FRAME_SIZE, { 24, 0 }, false, NET_WORKS },
	{ "2^32 - 1",
	  UPON_RNDIS | OID_GEN_MAXIMUM_FRAME_SIZE,
	  { 24, UINT32_MAX },
	  false,
	  NET_WORKS },
	{ "refused",
	  UPON_RNDIS | OID_GEN_CURRENT_PACKET_FILTER,
	  { 12, RNDIS_STATUS_FAILURE },
	  false,
	  NET_REFUSED },

	{ "at 2^32 - 8", UPON_FRAME, { 8, UINT32_MAX - 7 }, true, NET_WORKS },
	{ "of 2^32 - 1", UPON_FRAME, { 12, UINT32_MAX }, true, NET_WORKS },
	{ "of more than its message", UPON_FRAME, { 12, SLOT }, true, NET_WORKS },
	{ "with information beyond", UPON_FRAME, { 32, 4 }, true, NET_WORKS },
	{ "with information of 1 byte", UPON_FRAME, { 32, 1 }, true, NET_WORKS },
	{ "in a short message", UPON_FRAME, { 4, 20 }, true, NET_WORKS },
	{ "of a type beyond", UPON_FRAME, { 0, UINT32_MAX }, true, NET_WORKS },
	{ "that indicates", UPON_FRAME, { 0, RNDIS_INDICATE_STATUS }, true, NET_WORKS },
	{ "that answers", UPON_FRAME, { 0, RNDIS_QUERY | RNDIS_COMPLETE }, true, NET_WORKS },
	{ "of another page set", UPON_RANGE, { 0, 0xbeef }, true, NET_WORKS },
	{ "without ranges", UPON_RANGE, { 4, 0 }, true, NET_ENDS },
	{ "of more ranges than there are", UPON_RANGE, { 4, 2 }, true, NET_ENDS },
	{ "of ranges without end", UPON_RANGE, { 4, UINT32_MAX }, true, NET_ENDS },
	{ "beyond the receive buffer", UPON_RANGE, { 12, 16 * VG_PAGE }, true, NET_ENDS },
	{ "of more than the receive buffer", UPON_RANGE, { 8, UINT32_MAX }, true, NET_ENDS },
	{ "of no bytes", UPON_RANGE, { 8, 0 }, true, NET_WORKS },
	{ "of 4 bytes", UPON_RANGE, { 8, 4 }, true, NET_WORKS },
};

struct net_host {
	const struct net_line *line; /* NULL: it is honest */
	uint64_t pages[16];          /* of the receive buffer */
	uint32_t page_count, slot;
	/* counted by the host */
	uint32_t tricked, frames, taken_back;
};

static bool net_is_odd(struct net_host *n, uint32_t upon)
{
	return n->line && n->line->upon == upon;
}

/* Where it is one: makes what is said the odd one. True: what it should be follows. */
static bool net_trick(struct net_host *n, uint32_t upon, uint8_t *bytes, uint32_t *size)
{
	const struct net_line *line = n->line;

	if (!net_is_odd(n, upon))
		return false;
	make_odd(&line->odd, bytes, size);
	n->line = NULL;
	count(&n->tricked);
	return line->beside;
}

static void net_opened(struct host *h, void *context)
{
	struct net_host *n = context;

	n->page_count = 0;
}

/* The receive buffer is shared first. */
static void net_shared(struct host *h, void *context, const uint64_t *pages, uint32_t count)
{
	struct net_host *n = context;

	if (n->page_count)
		return;
	assert_int_equal(count, 16);
	n->page_count = count;
	memcpy(n->pages, pages, sizeof(n->pages));
}

static void net_complete(struct host *h, uint64_t id, const void *bytes, uint32_t size)
{
	struct wire_packet packet = { .type = WIRE_PACKET_COMPLETION,
		                      .offset8 = 2,
		                      .transaction_id = id };

	host_write(h, packet, bytes, size);
}

/* What says where in the receive buffer a message is. */
struct net_body {
	uint16_t page_set;
	uint16_t reserved;
	uint32_t count, bytes, offset;
	struct nvsp_message nvsp;
};

static void net_say_where(struct host *h, uint32_t at, const struct net_body *body)
{
	struct wire_packet packet = { .type = WIRE_PACKET_DATA_TRANSFER_PAGES,
		                      .offset8 = (16 + 16) / 8,
		                      .flags = WIRE_PACKET_FLAG_COMPLETION_REQUESTED,
		                      .transaction_id = at };

	host_write(h, packet, body, sizeof(*body));
}

/* A message in the receive buffer, in the next slot: two of them are in a page. */
static void net_say(struct host *h, struct net_host *n, const uint8_t *message, uint32_t size)
{
	uint32_t at = n->slot++ % (16 * VG_PAGE / SLOT) * SLOT, length = 16;
	struct net_body body = { 0xcafe, 0, 1, size, at, { .type = NVSP_RNDIS_PACKET } };

	memcpy(host_page(h, n->pages[at / VG_PAGE]) + at % VG_PAGE, message, size);
	if (message[0] == RNDIS_PACKET && net_trick(n, UPON_RANGE, (uint8_t *)&body, &length))
		net_say(h, n, message, size);
	net_say_where(h, at, &body);
}

static void net_say_frame(struct host *h, struct net_host *n)
{
	uint32_t message[(44 + 60) / 4] = { RNDIS_PACKET, sizeof(message), 36, 60 };
	uint32_t size = sizeof(message);
	uint32_t good[sizeof(message) / 4];

	memset(&message[11], 0x5a, 60);
	memcpy(good, message, sizeof(good));
	if (net_trick(n, UPON_FRAME, (uint8_t *)message, &size))
		net_say(h, n, (uint8_t *)message, size);
	net_say(h, n, (uint8_t *)good, sizeof(good));
}

/* What an honest adapter answers. */
static uint32_t net_answer(const uint32_t *question, uint32_t *answer)
{
	static const uint32_t address[] = { 0x005d1500, 0x0201 };
	uint32_t oid = question[3], words = 4;

	memset(answer, 0, 128);
	answer[0] = question[0] | RNDIS_COMPLETE;
	answer[2] = question[2];
	if (question[0] == RNDIS_INITIALIZE) {
		answer[4] = RNDIS_MAJOR_VERSION;
		answer[8] = 8;
		answer[9] = 0x4000;
		words = 13;
	} else if (question[0] == RNDIS_QUERY) {
		answer[4] = oid == OID_802_3_CURRENT_ADDRESS ? 6 : 4;
		answer[5] = 16;
		memcpy(&answer[6], address, sizeof(address));
		if (oid == OID_GEN_MAXIMUM_FRAME_SIZE)
			answer[6] = 1500;
		if (oid == OID_GEN_MEDIA_CONNECT_STATUS)
			answer[6] = 0;
		words = 8;
	}
	answer[1] = words * 4;
	return words * 4;
}

static void net_control(struct host *h, struct net_host *n, const uint32_t *question)
{
	uint32_t answer[32], good[32], size = net_answer(question, answer), good_size = size;
	uint32_t upon = UPON_RNDIS | (question[0] == RNDIS_INITIALIZE ? question[0] : question[3]);

	if (question[0] == RNDIS_HALT)
		return;
	memcpy(good, answer, sizeof(good));
	if (net_trick(n, upon, (uint8_t *)answer, &size))
		net_say(h, n, (uint8_t *)good, good_size);
	net_say(h, n, (uint8_t *)answer, size);
	if (question[0] == RNDIS_SET)
		net_say_frame(h, n);
}

/* Memory that went along: one range, in one page. */
static void net_read_control(struct host *h, struct net_host *n, const struct ring_packet *packet)
{
	struct {
		uint32_t reserved, count, bytes, offset;
		uint64_t page;
	} header;
	uint32_t question[64] = { 0 };

	ring_read_copy(&host_rings(h)->reader, packet, 16, &header, sizeof(header));
	assert_int_equal(header.count, 1);
	assert_in_range(header.bytes, 12, sizeof(question));
	memcpy(question, host_page(h, header.page) + header.offset, header.bytes);
	net_control(h, n, question);
}

static void net_rndis(struct host *h, struct net_host *n, const struct ring_packet *packet)
{
	static const uint32_t done[] = { NVSP_RNDIS_PACKET_COMPLETE, NVSP_STATUS_SUCCESS };

	net_complete(h, packet->transaction_id, done, sizeof(done));
	if (packet->type == WIRE_PACKET_DATA_GPA_DIRECT)
		net_read_control(h, n, packet);
	else
		count(&n->frames);
}

static bool net_nvsp_answer(const struct nvsp_message *m, struct nvsp_message *a)
{
	switch (m->type) {
	case NVSP_INIT:
		a->type = NVSP_INIT_COMPLETE;
		a->init_complete.status = NVSP_STATUS_SUCCESS;
		return true;
	case NVSP_SEND_RECEIVE_BUFFER:
		a->type = NVSP_SEND_RECEIVE_BUFFER_COMPLETE;
		a->receive_buffer_complete = (struct nvsp_receive_buffer_complete){
			NVSP_STATUS_SUCCESS, 1, { 0, SLOT, 16 * VG_PAGE / SLOT, 16 * VG_PAGE }
		};
		return true;
	case NVSP_SEND_SEND_BUFFER:
		a->type = NVSP_SEND_SEND_BUFFER_COMPLETE;
		a->send_buffer_complete.status = NVSP_STATUS_SUCCESS;
		a->send_buffer_complete.section_size = 6144;
		return true;
	default:
		return false;
	}
}

static void net_took(struct host *h, void *context, const struct ring_packet *packet)
{
	struct net_host *n = context;
	struct nvsp_message m = { 0 }, a = { 0 };
	uint32_t size = sizeof(a);

	if (packet->type == WIRE_PACKET_COMPLETION) {
		count(&n->taken_back);
		return;
	}
	ring_read_copy(&host_rings(h)->reader, packet, packet->payload_offset, &m, sizeof(m));
	if (m.type == NVSP_RNDIS_PACKET) {
		net_rndis(h, n, packet);
	} else if (net_nvsp_answer(&m, &a)) {
		net_trick(n, m.type, (uint8_t *)&a, &size);
		net_complete(h, packet->transaction_id, &a, size);
	}
}

struct net_guest {
	struct guest *g;
	struct vg_net *net;
	uint8_t *memory;
	uint32_t ready, frames, good, sent, closed;
	enum vg_status why;
};

static void on_ready(void *context, struct vg_net *net, const uint8_t address[6], uint32_t mtu)
{
	struct net_guest *u = context;

	assert_in_range(mtu, 1, 1500);
	u->ready++;
}

static void on_frame(void *context, struct vg_net *net, const void *frame, uint32_t size)
{
	struct net_guest *u = context;
	const uint8_t *bytes = frame;

	u->frames++;
	u->good += size == 60 && bytes[0] == 0x5a && bytes[59] == 0x5a;
}

static void on_sent(void *context, struct vg_net *net, void *cookie, enum vg_status status)
{
	struct net_guest *u = context;

	assert_int_equal(status, VG_OK);
	u->sent++;
}

static void on_net_closed(void *context, struct vg_net *net, enum vg_status why)
{
	struct net_guest *u = context;

	u->why = why;
	u->closed++;
}

static void net_open(struct net_guest *u)
{
	const struct vg_net_open open = {
		.events = { .context = u,
		            .ready = on_ready,
		            .frame = on_frame,
		            .sent = on_sent,
		            .closed = on_net_closed },
		.memory = u->memory,
		.frames_max = 4,
		.receive_pages = 16,
	};

	u->ready = u->closed = 0;
	assert_int_equal(vg_net_open(&u->net, u->g->channel, &open), VG_OK);
}

static void use_adapter(struct net_guest *u, struct net_host *host)
{
	static const uint8_t frame[60] = { 1, 2, 3 };

	run_until(u->g, &u->ready, 1);
	run_until(u->g, &u->good, 1);
	assert_int_equal(vg_net_send(u->net, frame, sizeof(frame), NULL), VG_OK);
	run_until(u->g, &u->sent, 1);
	run_until(u->g, &host->frames, 1);
	assert_int_equal(u->closed, 0);
	assert_int_equal(vg_net_close(u->net), VG_OK);
	run_until(u->g, &u->closed, 1);
	assert_int_equal(u->why, VG_OK);
}

static void meet_adapter(void **state)
{
	static const GUID type = NETVSC_INTERFACE_TYPE;
	struct net_host host = { .line = *state };
	const struct net_line *line = *state;
	const struct host_device device = { &host, net_opened, net_took, net_shared };
	struct net_guest u = { 0 };

	u.g = meet(&type, &device);
	u.memory = machine_pages(&u.g->m, vg_net_pages(4, 16));
	net_open(&u);
	if (line->outcome != NET_WORKS) {
		run_until(u.g, &u.closed, 1);
		assert_true(u.why == VG_MALFORMED ||
		            (u.why == VG_REFUSED && line->outcome == NET_REFUSED));
		assert_int_equal(u.ready, line->outcome == NET_ENDS);
		net_open(&u);
	}
	use_adapter(&u, &host);
	assert_int_equal(host.tricked, 1);
	met();
}

/* ---- an adapter on a processor of its own ---- */

struct net_lane {
	struct net_guest u;
	pthread_t thread;
	_Atomic bool stop, sends;
	_Atomic uint32_t sent, came, ended;
	uint32_t opened;
};

static void lane_ready(void *context, struct vg_net *net, const uint8_t address[6], uint32_t mtu)
{
	struct net_lane *l = context;

	l->u.ready++;
}

static void lane_frame(void *context, struct vg_net *net, const void *frame, uint32_t size)
{
	struct net_lane *l = context;

	l->came += size == 60;
}

static void lane_sent(void *context, struct vg_net *net, void *cookie, enum vg_status status)
{
	struct net_lane *l = context;

	l->sent += status == VG_OK;
}

static void lane_opened(void *context, struct vg_net *net)
{
	struct net_lane *l = context;

	l->opened++;
}

static void lane_ended(void *context, struct vg_net *net, enum vg_status why)
{
	struct net_lane *l = context;

	l->ended++;
}

static void lane_closed(void *context, struct vg_net *net, enum vg_status why)
{
	struct net_lane *l = context;

	l->u.why = why;
	l->u.closed++;
}

/* Polls, and sends while it may; the last that it does is to say farewell. */
static void *lane_work(void *context)
{
	static const uint8_t frame[60] = { 1, 2, 3 };
	struct net_lane *l = context;

	while (!l->stop) {
		if (l->u.ready && l->sends)
			vg_net_send(l->u.net, frame, sizeof(frame), NULL);
		if (vg_channel_poll(l->u.g->channel, 8) == 0)
			sched_yield();
	}
	return NULL;
}

static void *lane_farewell(void *context)
{
	struct net_lane *l = context;

	assert_int_equal(vg_net_close(l->u.net), VG_OK);
	return lane_work(l);
}

static void lane_start(struct net_lane *l, void *(*work)(void *context))
{
	l->stop = false;
	assert_int_equal(pthread_create(&l->thread, NULL, work, l), 0);
}

static void lane_stop(struct net_lane *l)
{
	l->stop = true;
	pthread_join(l->thread, NULL);
}

static void lane_until(struct net_lane *l, _Atomic uint32_t *what, uint32_t least)
{
	uint64_t until = machine_ms() + MACHINE_WAIT_MS;

	while (*what < least) {
		machine_feed(&l->u.g->m);
		assert_int_equal(vg_poll(l->u.g->m.vg, 64), 0); /* nobody's but its processor's */
		sched_yield();
		assert_true(machine_ms() < until);
	}
}

/* It goes, with a frame each way and more. */
static void lane_open(struct net_lane *l, const struct host_device *device)
{
	static const GUID type = NETVSC_INTERFACE_TYPE;
	struct vg_net_open open = { .events = { .context = l,
		                                .ready = lane_ready,
		                                .frame = lane_frame,
		                                .sent = lane_sent,
		                                .closed = lane_closed,
		                                .opened = lane_opened },
		                    .frames_max = 4,
		                    .receive_pages = 16,
		                    .apart = true };

	l->u.g = meet(&type, device);
	open.memory = machine_pages(&l->u.g->m, vg_net_pages(4, 16));
	assert_int_equal(vg_net_open(&l->u.net, l->u.g->channel, &open), VG_INVALID);
	open.events.ended = lane_ended;
	assert_int_equal(vg_net_open(&l->u.net, l->u.g->channel, &open), VG_OK);
	machine_run(&l->u.g->m, &l->opened);
	l->sends = true;
	lane_start(l, lane_work);
	lane_until(l, &l->came, 1);
	lane_until(l, &l->sent, 100);
}

static void lane_close(struct net_lane *l, enum vg_status why)
{
	assert_int_equal(l->u.closed, 0);
	assert_int_equal(vg_close(l->u.g->channel), VG_OK);
	machine_run(&l->u.g->m, &l->u.closed);
	assert_int_equal(l->u.why, why);
	met();
}

static void lane_end(struct net_lane *l, enum vg_status why)
{
	lane_until(l, &l->ended, 1);
	lane_stop(l);
	lane_close(l, why);
}

static void an_adapter_on_its_own_processor(void **state)
{
	struct net_host host = { NULL };
	const struct host_device device = { &host, net_opened, net_took, net_shared };
	struct net_lane l = { 0 };

	lane_open(&l, &device);
	lane_stop(&l);
	l.sends = false;
	lane_start(&l, lane_farewell);
	lane_end(&l, VG_OK);
}

static void take_back(struct host *h, void *context)
{
	host_say_rescind(h, HOSTS_CHANNEL);
}

static void it_is_taken_back_there(void **state)
{
	struct net_host host = { NULL };
	const struct host_device device = { &host, net_opened, net_took, net_shared };
	struct net_lane l = { 0 };

	lane_open(&l, &device);
	host_do(the.host, take_back, NULL);
	lane_end(&l, VG_GONE);
}

/* The first message again, oftener than the ring to it has room for answers: it reads none. */
static void say_too_much(struct host *h, void *context)
{
	struct net_body body = { 0xcafe, 0, 1, 16, 0, { .type = NVSP_RNDIS_PACKET } };

	for (int i = 0; i < 400; i++)
		net_say_where(h, 0, &body);
	host_show(h);
}

/* Whatever follows: twice is what the kit and the driver may say beside each other. */
static void it_is_told_of_one_end(void **state)
{
	struct net_host host = { NULL };
	const struct host_device device = { &host, net_opened, net_took, net_shared };
	struct net_lane l = { 0 };
	struct look all = { false };

	lane_open(&l, &device);
	host_be_deaf(the.host, true);
	host_do(the.host, say_too_much, NULL);
	lane_until(&l, &l.ended, 1);
	for (uint64_t until = machine_ms() + MACHINE_WAIT_MS; !all.all; sched_yield()) {
		host_do(the.host, look, &all);
		assert_true(machine_ms() < until);
	}
	lane_stop(&l);
	assert_in_range(l.ended, 1, 2);
	host_be_deaf(the.host, false);
	lane_close(&l, VG_MALFORMED);
}

#define IC_LINES  (sizeof(ic_lines) / sizeof(ic_lines[0]))
#define NET_LINES (sizeof(net_lines) / sizeof(net_lines[0]))

static struct CMUnitTest tests[IC_LINES + NET_LINES + 4] = {
	[IC_LINES + NET_LINES] = cmocka_unit_test(answers_to_a_host_that_reads_none),
	cmocka_unit_test(an_adapter_on_its_own_processor),
	cmocka_unit_test(it_is_taken_back_there),
	cmocka_unit_test(it_is_told_of_one_end),
};
static char names[IC_LINES + NET_LINES][100];

static void add_test(uint32_t i, CMUnitTestFunction function, const void *line)
{
	tests[i] = (struct CMUnitTest){ .name = names[i],
		                        .test_func = function,
		                        .initial_state = (void *)(uintptr_t)line };
}

static const char *upon_name(uint32_t upon)
{
	return upon >= UPON_FRAME ? "a frame" : upon >= UPON_RNDIS ? "RNDIS" : "NVSP";
}

int main(int argc, char **argv)
{
	for (uint32_t i = 0; i < IC_LINES; i++) {
		snprintf(names[i], sizeof(names[i]), "component: %s", ic_lines[i].name);
		add_test(i, meet_component, &ic_lines[i]);
	}
	for (uint32_t i = 0; i < NET_LINES; i++) {
		uint32_t upon = net_lines[i].upon;

		snprintf(names[IC_LINES + i], sizeof(names[0]), "adapter: %s %x: %s",
		         upon_name(upon), upon & (upon < UPON_FRAME ? ~UPON_RNDIS : 0u),
		         net_lines[i].name);
		add_test(IC_LINES + i, meet_adapter, &net_lines[i]);
	}
	if (argc > 1)
		persona_pattern = temporary_uri(argv[1]);
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests(tests, NULL, part_at_the_end);
}
