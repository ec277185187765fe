/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A network adapter: net/netvsc_machine on a channel of the kit. The ring to the host has room for
 * all that can be on its way at a time, so that nothing has to wait for room: frames, a message of
 * control, and a completion for each slot of the receive buffer.
 */

#include "kit/drivers.h"
#include "net/netvsc_machine.h"

#define NET_IN_PAGES      9u
#define NET_RANGES        256u  /* of a packet that came: frames in it */
#define NET_RECEIVE_LEAST 16u   /* pages */
#define NET_RECEIVE_MOST  4096u /* Linux's: 16 MiB */
#define NET_FRAMES        4096u /* at most */
#define NET_SECTION       6144u /* bytes: Hyper-V's, of the send buffer */
#define NET_SLOT_LEAST    512u  /* bytes: smaller than any host's, of the receive buffer */
#define NET_MESSAGE_MAX   256u  /* bytes that a host says in-band: the longest has a table in it */
#define NET_PACKET        128u  /* bytes in the ring of a message, at most */
#define NET_COMPLETION    32u   /* likewise */

struct net_frame {
	struct netvsc_frame frame; /* first, so that it is found by it */
	void *cookie;
	struct net_frame *next; /* while it is free */
};

/* Where what is in the pages, by number; the last is how many they are. */
struct net_pages {
	uint32_t rings, out, control, receive, send, end;
};

struct vg_net {
	struct vg_net_events events;
	struct vg_channel *channel;
	struct netvsc_machine machine;
	struct netvsc_output output; /* off the stack, as the next */
	struct vg_open how;
	struct net_pages pages;
	struct net_frame *frames, *free;
	uint32_t receive_gpadl, send_gpadl, shared;
	bool pumping, ready, link_up, closing;
	enum vg_status failed; /* why it closes by itself */
	uint8_t came[VG_NET_FRAME + NETVSC_VLAN_TAG];
};

static enum vg_status net_failure(enum netvsc_result result)
{
	switch (result) {
	case NETVSC_DONE:
		return VG_OK;
	case NETVSC_REFUSED:
	case NETVSC_NO_VERSION:
		return VG_REFUSED;
	case NETVSC_NONSENSE:
		return VG_MALFORMED;
	default:
		return VG_FAILED;
	}
}

static enum vg_status net_status(enum netvsc_result result)
{
	return result == NETVSC_DONE ? VG_OK : result == NETVSC_REMOVED ? VG_GONE : VG_FAILED;
}

/* ---- frames out, and what goes with them ---- */

static __attribute__((noinline)) enum vg_status net_send_one(struct vg_net *n)
{
	const struct netvsc_output *out = &n->output;
	struct vg_range range = { out->data, out->data_length };
	struct vg_send send = {
		.payload = &out->message,
		.size = out->size,
		.ranges = &range,
		.range_count = out->data != NULL,
		.cookie = out->completion ? (void *)((uintptr_t)out->id + 1) : NULL,
		.more = true,
	};

	return vg_send(n->channel, &send);
}

static void net_send_all(struct vg_net *n)
{
	while (netvsc_machine_next(&n->machine, &n->output))
		if (net_send_one(n) != VG_OK)
			netvsc_machine_not_sent(&n->machine, n->output.id);
	vg_flush(n->channel);
}

/* True: there was one. */
static bool net_end_all(struct vg_net *n)
{
	struct netvsc_frame *frame;
	bool any = false;

	while ((frame = netvsc_machine_sent(&n->machine)) != NULL) {
		struct net_frame *f = (struct net_frame *)(void *)frame;
		void *cookie = f->cookie;

		any = true;
		f->next = n->free;
		n->free = f;
		if (n->events.sent)
			n->events.sent(n->events.context, n, cookie, net_status(frame->result));
	}
	return any;
}

static void net_tell(struct vg_net *n)
{
	const struct netvsc_machine *m = &n->machine;

	if (m->state != NETVSC_READY)
		return;
	if (!n->ready) {
		n->ready = n->link_up = true;
		n->events.ready(n->events.context, n, m->address, m->mtu);
	}
	if (m->link_up == n->link_up)
		return;
	n->link_up = m->link_up;
	if (n->events.link)
		n->events.link(n->events.context, n, n->link_up);
}

static void net_give_up(struct vg_net *n, enum vg_status why)
{
	if (n->closing)
		return;
	n->failed = why;
	n->closing = true;
	if (n->how.apart)
		n->events.ended(n->events.context, n, why);
	else
		vg_close(n->channel);
}

/* Whoever is told of an end may send more: that is done here, not there. */
static void net_pump(struct vg_net *n)
{
	if (n->pumping)
		return;
	n->pumping = true;
	do {
		net_send_all(n);
		net_tell(n);
	} while (net_end_all(n));
	n->pumping = false;
	if (n->machine.state <= NETVSC_REVOKES_SEND)
		return;
	net_give_up(n, net_failure(n->machine.failure));
}

/* ---- frames in ---- */

static void net_take_frames(struct vg_net *n, struct netvsc_incoming *in)
{
	struct rndis_client_frame frame;

	while (netvsc_machine_frame(&n->machine, in, &frame)) {
		if (frame.length > sizeof(n->came) || !n->ready)
			continue;
		machine_copy(n->came, frame.data, frame.length);
		n->events.frame(n->events.context, n, n->came, frame.length);
	}
}

static void net_receive(struct vg_net *n, const struct vg_packet *packet)
{
	uint8_t completion[NETVSC_COMPLETION_BYTES];
	struct netvsc_incoming in;

	if (netvsc_machine_received(&n->machine, &in, packet->page_set, packet->ranges,
	                            packet->range_count, packet->payload, packet->size))
		net_take_frames(n, &in);
	netvsc_machine_completion(completion);
	if (packet->answer &&
	    vg_complete(n->channel, packet->id, completion, sizeof(completion)) == VG_FULL)
		net_give_up(n, VG_MALFORMED); /* no host has so many slots: see above */
}

static void net_packet(void *context, struct vg_channel *channel, const struct vg_packet *packet)
{
	struct vg_net *n = context;

	if (packet->range_count)
		net_receive(n, packet);
	else
		netvsc_machine_said(&n->machine, packet->payload, packet->size);
	net_pump(n);
}

/* ---- what else the channel says ---- */

static uint8_t *net_page(struct vg_net *n, uint32_t number)
{
	return (uint8_t *)n + number * (size_t)VG_PAGE;
}

static void net_opened(void *context, struct vg_channel *channel, enum vg_status status)
{
	struct vg_net *n = context;
	const struct net_pages *p = &n->pages;

	if (status != VG_OK)
		return;
	if (vg_share(channel, net_page(n, p->receive), p->send - p->receive, &n->receive_gpadl) !=
	            VG_OK ||
	    vg_share(channel, net_page(n, p->send), p->end - p->send, &n->send_gpadl) != VG_OK)
		net_give_up(n, VG_NO_MEMORY);
}

/* From now on another processor may have it: nothing follows. */
static void net_tell_opened(struct vg_net *n)
{
	if (n->events.opened)
		n->events.opened(n->events.context, n);
}

static void net_shared(void *context, struct vg_channel *channel, uint32_t gpadl,
                       enum vg_status status)
{
	struct vg_net *n = context;

	if (status != VG_OK) {
		net_give_up(n, status);
	} else if (++n->shared == 2) {
		netvsc_machine_open(&n->machine, n->receive_gpadl, n->send_gpadl);
		net_pump(n);
		net_tell_opened(n);
	}
}

static void net_ended(void *context, struct vg_channel *channel, enum vg_status why)
{
	struct vg_net *n = context;

	n->events.ended(n->events.context, n, why);
}

static void net_completed(void *context, struct vg_channel *channel, void *cookie,
                          enum vg_status status, const void *answer, uint32_t size)
{
	struct vg_net *n = context;
	uint64_t id = (uintptr_t)cookie - 1;

	if (status == VG_OK) {
		netvsc_machine_completed(&n->machine, id, answer, size);
	} else {
		netvsc_machine_close(&n->machine);
		netvsc_machine_lost(&n->machine, id);
	}
	net_pump(n);
}

static void net_closed(void *context, struct vg_channel *channel, enum vg_status why)
{
	struct vg_net *n = context;

	netvsc_machine_close(&n->machine);
	net_end_all(n);
	if (n->events.closed)
		n->events.closed(n->events.context, n, why == VG_OK ? n->failed : why);
}

/* ---- the caller's ---- */

static uint32_t net_whole_pages(uint64_t bytes)
{
	return (uint32_t)((bytes + VG_PAGE - 1) / VG_PAGE);
}

static bool net_lay_out(struct net_pages *p, uint32_t frames, uint32_t receive)
{
	if (!frames || frames > NET_FRAMES || receive < NET_RECEIVE_LEAST ||
	    receive > NET_RECEIVE_MOST)
		return false;
	p->rings = net_whole_pages(sizeof(struct vg_net) +
	                           (uint64_t)frames *
	                                   (sizeof(struct net_frame) + sizeof(struct netvsc_slot)));
	p->out = 1 + net_whole_pages((uint64_t)NET_PACKET * (frames + 2) +
	                             receive * (VG_PAGE / NET_SLOT_LEAST) * NET_COMPLETION);
	p->control = p->rings + p->out + NET_IN_PAGES;
	p->receive = p->control + 1;
	p->send = p->receive + receive;
	p->end = p->send + net_whole_pages((uint64_t)NET_SECTION * frames);
	return true;
}

uint32_t vg_net_pages(uint32_t frames, uint32_t receive)
{
	struct net_pages p;

	return net_lay_out(&p, frames, receive) ? p.end : 0;
}

static void net_init(struct vg_net *n, const struct vg_net_open *open)
{
	const struct net_pages *p = &n->pages;
	struct netvsc_machine_options options = {
		.receive = net_page(n, p->receive),
		.send = net_page(n, p->send),
		.receive_size = (p->send - p->receive) * VG_PAGE,
		.send_size = (p->end - p->send) * VG_PAGE,
		.control = net_page(n, p->control),
		.frame_max = VG_NET_FRAME,
	};
	struct netvsc_slot *slots;

	n->events = open->events;
	n->frames = (struct net_frame *)(void *)(n + 1);
	slots = (struct netvsc_slot *)(void *)(n->frames + open->frames_max);
	for (uint32_t i = open->frames_max; i--;) {
		n->frames[i].next = n->free;
		n->free = &n->frames[i];
	}
	netvsc_machine_init(&n->machine, &options, slots, open->frames_max);
}

static enum vg_status net_open_channel(struct vg_net *n, const struct vg_net_open *open)
{
	struct vg_open *how = &n->how;

	how->events.context = n;
	how->events.opened = net_opened;
	how->events.packet = net_packet;
	how->events.completed = net_completed;
	how->events.shared = net_shared;
	how->events.ended = open->apart ? net_ended : NULL;
	how->events.closed = net_closed;
	how->apart = open->apart;
	how->rings = net_page(n, n->pages.rings);
	how->out_pages = n->pages.out;
	how->in_pages = NET_IN_PAGES;
	how->target_vp = open->target_vp;
	how->payload_max = NET_MESSAGE_MAX;
	how->requests_max = open->frames_max + 2; /* a step, and a message of control */
	how->ranges_max = 1;
	how->external_max = VG_PAGE;
	how->transfers_max = NET_RANGES;
	how->transfer_size = open->receive_pages * VG_PAGE;
	return vg_open(n->channel, how);
}

enum vg_status vg_net_open(struct vg_net **out, struct vg_channel *channel,
                           const struct vg_net_open *open)
{
	const struct vg_net_events *events = &open->events;
	struct vg_net *n = open->memory;
	struct net_pages pages;

	if (!n || (uintptr_t)n % VG_PAGE || !events->ready || !events->frame ||
	    (open->apart && !events->ended) ||
	    !net_lay_out(&pages, open->frames_max, open->receive_pages))
		return VG_INVALID;
	__builtin_memset(n, 0, pages.end * (size_t)VG_PAGE);
	n->channel = channel;
	n->pages = pages;
	net_init(n, open);
	*out = n;
	return net_open_channel(n, open);
}

enum vg_status vg_net_send(struct vg_net *n, const void *frame, uint32_t size, void *cookie)
{
	struct net_frame *f = n->free;

	if (n->machine.state != NETVSC_READY)
		return VG_STATE;
	if (size == 0 || size > n->machine.mtu + NETVSC_ETHERNET)
		return VG_TOO_BIG;
	if (!f)
		return VG_FULL;
	n->free = f->next;
	__builtin_memset(f, 0, sizeof(*f));
	f->frame.data = frame;
	f->frame.length = size;
	f->cookie = cookie;
	netvsc_machine_send(&n->machine, &f->frame);
	net_pump(n);
	return VG_OK;
}

enum vg_status vg_net_close(struct vg_net *n)
{
	if (n->machine.state == NETVSC_CLOSED)
		return vg_close(n->channel);
	if (n->machine.state > NETVSC_READY)
		return VG_STATE;
	netvsc_machine_stop(&n->machine);
	net_pump(n);
	return VG_OK;
}
