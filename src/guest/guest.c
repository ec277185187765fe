/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The bus: contact, offers and their end. The client machine's ops run inside it and only note what
 * there is; vg_poll() tells the caller of it, so that he may ask for whatever he wants then.
 */

#include "guest/private.h"

static void *bus_allocate(void *context, size_t size)
{
	struct vg *vg = context;

	return heap_allocate(&vg->heap, size);
}

static void bus_release(void *context, void *memory, size_t size)
{
	struct vg *vg = context;

	heap_release(&vg->heap, memory, size);
}

static bool bus_send(void *context, const void *message, size_t size, uint32_t connection_id)
{
	const struct vg *vg = context;

	return vg->platform.post(vg->platform.context, connection_id, message, (uint32_t)size);
}

static void bus_connected(void *context, uint32_t version, uint32_t feature_flags)
{
	struct vg *vg = context;

	vg->connected = true;
	vg->version = version;
}

static void guid_copy(struct vg_guid *to, const struct bus_guid *from)
{
	__builtin_memcpy(to->bytes, from->bytes, sizeof(to->bytes));
}

static void orphan(struct vg *vg, uint32_t channel_id)
{
	vg->orphans[channel_id / 32] |= 1u << channel_id % 32;
	vg->any_orphans = true;
}

/* NULL: there is no memory for it now. */
static struct vg_channel *channel_new(struct vg *vg, const struct bus_offer *offer)
{
	struct vg_channel *ch = heap_allocate(&vg->heap, sizeof(*ch));

	if (ch == NULL)
		return NULL;
	ch->vg = vg;
	guid_copy(&ch->offer.type, &offer->type);
	guid_copy(&ch->offer.instance, &offer->instance);
	ch->offer.channel_id = offer->channel_id;
	ch->offer.connection_id = offer->connection_id;
	ch->offer.subchannel = offer->subchannel_index;
	ch->offer.flags = offer->flags;
	ch->offer.mmio_megabytes = offer->mmio_megabytes;
	ch->offer.mmio_megabytes_optional = offer->mmio_megabytes_optional;
	__builtin_memcpy(ch->offer.user_defined, offer->user_defined,
	                 sizeof(ch->offer.user_defined));
	ch->dedicated = !client_uses_shared_interrupt(vg->client, offer) &&
	                !client_hears_shared_interrupt(vg->client);
	*vg->last = ch;
	vg->last = &ch->next;
	return ch;
}

static void bus_offer_came(void *context, const struct bus_offer *offer, void **owner)
{
	struct vg *vg = context;

	*owner = channel_new(vg, offer);
	if (*owner == NULL)
		orphan(vg, offer->channel_id);
}

static void bus_offers_delivered(void *context)
{
	struct vg *vg = context;

	vg->delivered = true;
}

/* `owner` is NULL where there was no memory for it. */
static void bus_rescind(void *context, void *owner, uint32_t channel_id)
{
	struct vg *vg = context;
	struct vg_channel *ch = owner;

	if (ch != NULL)
		ch->rescinded = true;
	else
		orphan(vg, channel_id);
}

static void bus_opened(void *context, void *owner, uint32_t channel_id, uint32_t open_id,
                       uint32_t status)
{
	struct vg_channel *ch = owner;

	ch->answered = true;
	ch->answer = status;
}

static void bus_gpadl_created(void *context, void *owner, uint32_t channel_id, uint32_t gpadl,
                              uint32_t status)
{
	channel_gpadl_created(owner, gpadl, status);
}

static void bus_gpadl_torndown(void *context, void *owner, uint32_t channel_id, uint32_t gpadl)
{
	channel_gpadl_torndown(owner, gpadl);
}

/* The connection is over: the bus knows none of them any more. */
static void drop_channels(struct vg *vg)
{
	for (struct vg_channel *ch = vg->channels; ch; ch = ch->next) {
		ch->rescinded = true;
		ch->dropped = true;
	}
	__builtin_memset(vg->orphans, 0, sizeof(vg->orphans));
	vg->any_orphans = false;
}

static void bus_unloaded(void *context)
{
	struct vg *vg = context;

	vg->unloaded = true;
	drop_channels(vg);
}

static void bus_say_fault(void *context, const struct bus_fault *fault)
{
	const struct vg *vg = context;

	if (vg->platform.log)
		vg->platform.log(vg->platform.context, fault->message, fault->what, fault->expected,
		                 fault->actual);
}

static const struct client_ops bus_ops = {
	.memory = { bus_allocate, bus_release },
	.send = bus_send,
	.connected = bus_connected,
	.offer = bus_offer_came,
	.offers_delivered = bus_offers_delivered,
	.rescind = bus_rescind,
	.opened = bus_opened,
	.gpadl_created = bus_gpadl_created,
	.gpadl_torndown = bus_gpadl_torndown,
	.unloaded = bus_unloaded,
	.fault = bus_say_fault,
};

static enum vg_status vg_check(const struct vg_platform *platform, const struct vg_events *events)
{
	if (!platform->page_number)
		return VG_NO_PAGE_NUMBER;
	if (!platform->post)
		return VG_NO_POST;
	if (!platform->signal)
		return VG_NO_SIGNAL;
	if (!events->offered)
		return VG_NO_OFFERED;
	return !platform->map_ring == !platform->unmap_ring ? VG_OK : VG_INVALID;
}

enum vg_status vg_init(struct vg **out, const struct vg_platform *platform,
                       const struct vg_events *events, void *memory, size_t size)
{
	enum vg_status status = vg_check(platform, events);
	struct heap heap;
	struct vg *vg;

	*out = NULL;
	if (status != VG_OK)
		return status;
	if (memory == NULL || (uintptr_t)memory % 16 != 0 || size < VG_MEMORY_LEAST)
		return VG_INVALID;
	heap_init(&heap, memory, size);
	vg = heap_allocate(&heap, sizeof(*vg));
	vg->platform = *platform;
	vg->events = *events;
	vg->heap = heap;
	vg->last = &vg->channels;
	if (client_create(&bus_ops, vg, &vg->client) != BUS_OK)
		return VG_NO_MEMORY;
	*out = vg;
	return VG_OK;
}

void vg_destroy(struct vg *vg)
{
	for (struct vg_channel *ch = vg->channels; ch; ch = ch->next)
		if (ch->opened)
			opened_destroy(ch);
	vg->channels = NULL;
}

size_t vg_memory_used(const struct vg *vg, size_t *peak)
{
	if (peak)
		*peak = vg->heap.peak;
	return vg->heap.used;
}

static enum vg_status vg_of_bus(enum bus_result result)
{
	return result == BUS_OK || result == BUS_BUSY ? VG_OK
	       : result == BUS_NO_MEMORY              ? VG_NO_MEMORY
	                                              : VG_STATE;
}

enum vg_status vg_connect(struct vg *vg, const struct vg_contact *contact)
{
	struct client_contact how = {
		.version_max = contact->version_max ? contact->version_max : WIRE_VERSION_6_0,
		.message_vp = contact->message_vp,
		.message_sint = contact->message_sint,
	};

	if (vg->channels) /* of an earlier connection, until vg_poll() has told of their end */
		return VG_STATE;
	if (!vg_enter(vg))
		return VG_REENTERED;
	return vg_leave(vg, vg_of_bus(client_connect(vg->client, &how)));
}

enum vg_status vg_unload(struct vg *vg)
{
	if (!vg_enter(vg))
		return VG_REENTERED;
	return vg_leave(vg, vg_of_bus(client_unload(vg->client)));
}

enum vg_status vg_host_gone(struct vg *vg)
{
	if (!vg_enter(vg))
		return VG_REENTERED;
	client_reset(vg->client);
	drop_channels(vg);
	return vg_leave(vg, VG_OK);
}

enum vg_status vg_contact_unknown(struct vg *vg)
{
	if (!vg_enter(vg))
		return VG_REENTERED;
	return vg_leave(vg, vg_of_bus(client_contact_refused(vg->client)));
}

enum vg_status vg_message(struct vg *vg, const void *message, uint32_t size)
{
	if (size > WIRE_MESSAGE_MAX)
		return VG_INVALID;
	if (!vg_enter(vg))
		return VG_REENTERED;
	return vg_leave(vg, vg_of_bus(client_message(vg->client, message, size)));
}

/*
 * A slot of the message page and a SINT's event flags: the hypervisor's specification (TLFS 6.0b,
 * "Inter-Partition Communication": HV_MESSAGE, HV_SYNIC_EVENT_FLAGS). The message's type is cleared
 * before the flag is read, or one that comes between the two would wait for ever.
 */
struct hypervisor_message {
	uint32_t type;
	uint8_t size;
	uint8_t flags; /* bit 0: another one waits */
	uint16_t reserved;
	uint64_t sender;
	uint8_t payload[WIRE_MESSAGE_MAX];
};
#define HYPERVISOR_MESSAGE_NONE    0u
#define HYPERVISOR_MESSAGE_CHANNEL 1u /* posted by HvPostMessage */
static_assert(sizeof(struct hypervisor_message) == 256, "ABI");

bool vg_message_slot(struct vg *vg, void *slot)
{
	struct hypervisor_message *message = slot;
	uint32_t type = __atomic_load_n(&message->type, __ATOMIC_ACQUIRE);

	if (type == HYPERVISOR_MESSAGE_NONE)
		return false;
	if (type == HYPERVISOR_MESSAGE_CHANNEL)
		vg_message(vg, message->payload, message->size);
	__atomic_store_n(&message->type, HYPERVISOR_MESSAGE_NONE, __ATOMIC_RELEASE);
	ring_fence();
	return __atomic_load_n(&message->flags, __ATOMIC_RELAXED) & 1;
}

bool vg_event_flags(void *flags)
{
	uint32_t *word = flags, any = 0;

	for (unsigned i = 0; i < 2048 / 32; i++)
		if (__atomic_load_n(&word[i], __ATOMIC_RELAXED) != 0)
			any |= __atomic_exchange_n(&word[i], 0, __ATOMIC_ACQUIRE);
	return any != 0;
}

/* One that is there gets memory, one that was taken back is released. False: it has to wait. */
static bool settle_orphan(struct vg *vg, uint32_t id)
{
	const struct bus_offer *offer = client_offer(vg->client, id);
	struct vg_channel *ch;

	if (offer == NULL) {
		client_release(vg->client, id);
		return true;
	}
	ch = channel_new(vg, offer);
	if (ch == NULL)
		return false;
	client_set_owner(vg->client, id, ch);
	return true;
}

static void settle_orphans(struct vg *vg)
{
	bool any = false;

	if (!vg->any_orphans)
		return;
	vg_enter(vg);
	for (uint32_t id = 1; id <= WIRE_CHANNEL_ID_MAX; id++) {
		if (!(vg->orphans[id / 32] & 1u << id % 32))
			continue;
		if (settle_orphan(vg, id))
			vg->orphans[id / 32] &= ~(1u << id % 32);
		else
			any = true;
	}
	vg->any_orphans = any;
	vg_leave(vg, VG_OK);
}

static void settle_channels(struct vg *vg)
{
	for (struct vg_channel **p = &vg->channels; *p;) {
		struct vg_channel *ch = *p;

		if (channel_settle(ch)) {
			p = &ch->next;
			continue;
		}
		*p = ch->next;
		if (!*p)
			vg->last = p;
		heap_release(&vg->heap, ch, sizeof(*ch));
	}
}

static void settle_bus(struct vg *vg)
{
	struct vg_events *events = &vg->events;

	if (vg->connected) {
		vg->connected = false;
		if (events->connected)
			events->connected(events->context, vg->version);
	}
	settle_orphans(vg);
	settle_channels(vg);
	if (vg->delivered) {
		vg->delivered = false;
		if (events->offers_delivered)
			events->offers_delivered(events->context);
	}
	if (vg->unloaded) {
		vg->unloaded = false;
		if (events->unloaded)
			events->unloaded(events->context);
	}
}

static bool is_apart(const struct vg_channel *ch)
{
	return ch->opened && ch->opened->how.apart;
}

uint32_t vg_poll(struct vg *vg, uint32_t budget)
{
	uint32_t count = 0;

	if (vg->polling || !vg_enter(vg))
		return 0;
	client_resume(vg->client);
	vg_leave(vg, VG_OK);
	vg->polling = true;
	for (struct vg_channel *ch = vg->channels; ch; ch = ch->next)
		if (!is_apart(ch))
			count += vg_channel_poll(ch, budget);
	settle_bus(vg);
	vg->polling = false;
	return count;
}

bool vg_sleep(struct vg *vg)
{
	bool sleep = true;

	for (struct vg_channel *ch = vg->channels; ch; ch = ch->next)
		if (!is_apart(ch))
			sleep = vg_channel_sleep(ch) && sleep;
	return sleep;
}
