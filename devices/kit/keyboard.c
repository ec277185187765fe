/* SPDX-License-Identifier: BSD-2-Clause */

/* A keyboard: input/keyboard_client on a channel of the kit. */

#include "input/keyboard_client.h"
#include "kit/drivers.h"

#define KEYBOARD_RING_PAGES 2u

struct vg_keyboard {
	struct vg_keyboard_events events;
	struct vg_channel *channel;
	struct keyboard_client client;
	struct vg_open how; /* off the stack */
};
static_assert(sizeof(struct vg_keyboard) <= (VG_KEYBOARD_PAGES - 2 * KEYBOARD_RING_PAGES) * VG_PAGE,
              "its pages");

static void keyboard_opened(void *context, struct vg_channel *channel, enum vg_status status)
{
	struct vg_keyboard *k = context;
	struct keyboard_request request;
	struct vg_send send = { .payload = &request, .size = sizeof(request), .cookie = k };

	if (status != VG_OK)
		return;
	keyboard_client_open(&k->client, &request);
	vg_send(channel, &send); /* the first packet of an empty ring */
}

/* That a host has taken the request says nothing: its answer is a packet. */
static void keyboard_completed(void *context, struct vg_channel *channel, void *cookie,
                               enum vg_status status, const void *answer, uint32_t size)
{
}

static void keyboard_packet(void *context, struct vg_channel *channel,
                            const struct vg_packet *packet)
{
	struct vg_keyboard *k = context;
	struct keyboard_client_key key;
	enum keyboard_client_event event;

	event = keyboard_client_receive(&k->client, packet->payload, packet->size, &key);
	if (event == KEYBOARD_CLIENT_KEY)
		k->events.key(k->events.context, k, key.code, key.up);
	else if (event == KEYBOARD_CLIENT_CHARACTER && k->events.character)
		k->events.character(k->events.context, k, key.code, key.up);
	else if (event == KEYBOARD_CLIENT_NO)
		vg_close(channel);
}

static void keyboard_closed(void *context, struct vg_channel *channel, enum vg_status why)
{
	struct vg_keyboard *k = context;
	struct vg_keyboard_events events = k->events;

	if (why == VG_OK && k->client.state == KEYBOARD_CLIENT_REFUSED)
		why = VG_REFUSED;
	if (events.closed)
		events.closed(events.context, k, why);
}

enum vg_status vg_keyboard_open(struct vg_keyboard **out, struct vg_channel *channel,
                                const struct vg_keyboard_events *events, void *memory)
{
	struct vg_keyboard *k = memory;

	if (vg_device(vg_channel_offer(channel)) != VG_DEVICE_KEYBOARD || !memory ||
	    (uintptr_t)memory % VG_PAGE || !events->key)
		return VG_INVALID;
	__builtin_memset(memory, 0, VG_KEYBOARD_PAGES * VG_PAGE);
	k->events = *events;
	k->channel = channel;
	k->how.events.context = k;
	k->how.events.opened = keyboard_opened;
	k->how.events.completed = keyboard_completed;
	k->how.events.packet = keyboard_packet;
	k->how.events.closed = keyboard_closed;
	k->how.rings = (uint8_t *)memory + (VG_KEYBOARD_PAGES - 2 * KEYBOARD_RING_PAGES) * VG_PAGE;
	k->how.out_pages = k->how.in_pages = KEYBOARD_RING_PAGES;
	k->how.payload_max = KEYBOARD_MESSAGE_MAX;
	k->how.requests_max = 1;
	*out = k;
	return vg_open(channel, &k->how);
}

enum vg_status vg_keyboard_close(struct vg_keyboard *k)
{
	return vg_close(k->channel);
}
