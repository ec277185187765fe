/* SPDX-License-Identifier: BSD-2-Clause */

/* An integration component: ic/ic_client on a channel of the kit. */

#include "ic/ic_client.h"
#include "kit/drivers.h"

#define IC_RING_PAGES  2u
#define IC_MESSAGE_MAX 3000u /* the rings have room for one; key-value pairs are not here */

struct vg_ic {
	struct vg_ic_events events;
	struct vg_channel *channel;
	struct ic_client client;
	struct ic_client_request request;
	struct vg_open how; /* off the stack, as all of this */
	uint8_t message[IC_MESSAGE_MAX];
};
static_assert(sizeof(struct vg_ic) <= (VG_IC_PAGES - 2 * IC_RING_PAGES) * VG_PAGE, "its pages");

static void ic_opened(void *context, struct vg_channel *channel, enum vg_status status)
{
	struct vg_ic *ic = context;

	if (status == VG_OK)
		ic_client_open(&ic->client);
}

static void ic_tell_time(struct vg_ic *ic)
{
	const struct ic_client_time *said = &ic->request.time;
	struct vg_time time = { .reference = said->reference, .set = said->set };

	if (ic->events.time && ic_client_unix_time(said->host, &time.unix_ns))
		ic->events.time(ic->events.context, ic, &time);
}

static void ic_tell(struct vg_ic *ic)
{
	const struct ic_client_shutdown *shutdown = &ic->request.shutdown;

	if (ic->request.event == IC_CLIENT_TIME)
		ic_tell_time(ic);
	else if (ic->request.event == IC_CLIENT_SHUTDOWN)
		ic->events.shutdown(ic->events.context, ic,
		                    shutdown->action == IC_CLIENT_CAN_RESTART, shutdown->force);
}

/* An answer that finds no room is not given, as Linux does it (hv_util.c): the ring has room for
 * many, and a host that reads none of them waits for none. */
static void ic_packet(void *context, struct vg_channel *channel, const struct vg_packet *packet)
{
	struct vg_ic *ic = context;
	uint64_t now = ic->events.reference ? ic->events.reference(ic->events.context) : 0;
	struct vg_send send = { .payload = ic->message };

	__builtin_memcpy(ic->message, packet->payload, packet->size);
	ic_client_receive(&ic->client, ic->message, packet->size, now, &ic->request);
	send.size = ic->request.answer_size;
	if (send.size)
		vg_send(channel, &send);
	ic_tell(ic);
}

static void ic_closed(void *context, struct vg_channel *channel, enum vg_status why)
{
	struct vg_ic *ic = context;
	struct vg_ic_events events = ic->events;

	if (events.closed)
		events.closed(events.context, ic, why);
}

static enum ic_message_type ic_type(const struct vg_offer *offer)
{
	switch (vg_device(offer)) {
	case VG_DEVICE_HEARTBEAT:
		return IC_HEARTBEAT;
	case VG_DEVICE_SHUTDOWN:
		return IC_SHUTDOWN;
	case VG_DEVICE_TIME:
		return IC_TIMESYNC;
	default:
		return IC_NEGOTIATE; /* none */
	}
}

static enum vg_status ic_open_channel(struct vg_ic *ic, uint8_t *rings)
{
	struct vg_open *how = &ic->how;

	how->events.context = ic;
	how->events.opened = ic_opened;
	how->events.packet = ic_packet;
	how->events.closed = ic_closed;
	how->rings = rings;
	how->out_pages = how->in_pages = IC_RING_PAGES;
	how->payload_max = IC_MESSAGE_MAX;
	how->pipe = true;
	return vg_open(ic->channel, how);
}

enum vg_status vg_ic_open(struct vg_ic **out, struct vg_channel *channel,
                          const struct vg_ic_events *events, void *memory)
{
	enum ic_message_type type = ic_type(vg_channel_offer(channel));
	struct vg_ic *ic = memory;

	if (type == IC_NEGOTIATE || !memory || (uintptr_t)memory % VG_PAGE)
		return VG_INVALID;
	__builtin_memset(memory, 0, VG_IC_PAGES * VG_PAGE);
	ic->events = *events;
	ic->channel = channel;
	ic_client_init(&ic->client, type);
	if (events->shutdown)
		ic->client.can = IC_CLIENT_CAN_POWER_OFF | IC_CLIENT_CAN_RESTART;
	*out = ic;
	return ic_open_channel(ic, (uint8_t *)memory + (VG_IC_PAGES - 2 * IC_RING_PAGES) * VG_PAGE);
}

enum vg_status vg_ic_close(struct vg_ic *ic)
{
	return vg_close(ic->channel);
}
