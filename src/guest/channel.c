/* SPDX-License-Identifier: BSD-2-Clause */

/* The life of a channel: opened, shared, closed, taken back. */

#include "guest/private.h"

/* ---- memory that the host has ---- */

static void share_free(struct vg *vg, struct share *share)
{
	heap_release(&vg->heap, share->pfns, share->pages * sizeof(*share->pfns));
	heap_release(&vg->heap, share, sizeof(*share));
}

static enum vg_status share_number_pages(struct vg *vg, struct share *share, uint8_t *memory)
{
	const struct vg_platform *platform = &vg->platform;

	for (uint32_t i = 0; i < share->pages; i++) {
		share->pfns[i] =
			platform->page_number(platform->context, memory + i * (size_t)VG_PAGE);
		if (share->pfns[i] == VG_NO_PAGE)
			return VG_UNSEEN;
	}
	return VG_OK;
}

/* The memory is not touched, as long as nobody knows that it is the guest's. */
static enum vg_status share_new(struct vg *vg, void *memory, uint32_t pages, struct share **out)
{
	struct share *share = heap_allocate(&vg->heap, sizeof(*share));
	enum vg_status status;

	if (share == NULL)
		return VG_NO_MEMORY;
	share->pages = pages;
	share->pfns = heap_allocate(&vg->heap, pages * sizeof(*share->pfns));
	status = share->pfns == NULL ? VG_NO_MEMORY : share_number_pages(vg, share, memory);
	if (status == VG_OK)
		*out = share;
	else
		share_free(vg, share);
	return status;
}

/* Or it is freed. */
static enum vg_status share_ask(struct vg_channel *ch, struct share *share)
{
	struct vg *vg = ch->vg;

	share->range.byte_count = share->pages * VG_PAGE;
	share->range.pfns = share->pfns;
	share->next = ch->shares;
	ch->shares = share;
	if (client_gpadl_create(vg->client, ch->offer.channel_id, &share->range, 1,
	                        &share->gpadl) == BUS_OK)
		return VG_OK;
	ch->shares = share->next;
	share_free(vg, share);
	return VG_NO_MEMORY;
}

static void share_leave(struct vg_channel *ch, struct share *share)
{
	if (share->state == SHARE_REFUSED || share->state == SHARE_LEAVING ||
	    share->state == SHARE_LEFT)
		return;
	share->state = SHARE_LEAVING;
	if (ch->dropped ||
	    client_gpadl_teardown(ch->vg->client, ch->offer.channel_id, share->gpadl) != BUS_OK)
		share->state = SHARE_LEFT;
}

static struct share *share_find(const struct vg_channel *ch, uint32_t gpadl)
{
	struct share *share = ch->shares;

	while (share && share->gpadl != gpadl)
		share = share->next;
	return share;
}

void channel_gpadl_created(struct vg_channel *ch, uint32_t gpadl, uint32_t status)
{
	struct share *share = share_find(ch, gpadl);

	if (share && share->state == SHARE_ASKED)
		share->state = status ? SHARE_REFUSED : SHARE_CREATED;
}

void channel_gpadl_torndown(struct vg_channel *ch, uint32_t gpadl)
{
	struct share *share = share_find(ch, gpadl);

	if (share)
		share->state = SHARE_LEFT;
}

static void share_remove(struct vg_channel *ch, struct share *share)
{
	struct share **p = &ch->shares;

	while (*p != share)
		p = &(*p)->next;
	*p = share->next;
	share_free(ch->vg, share);
}

/* ---- closing ---- */

static void channel_shut(struct vg_channel *ch, enum vg_status why)
{
	channel_set_why(ch, why);
	vg_enter(ch->vg);
	if (!ch->dropped && ch->state != CHANNEL_SHARING)
		client_close(ch->vg->client, ch->offer.channel_id);
	ch->state = CHANNEL_CLOSING;
	for (struct share *share = ch->shares; share; share = share->next)
		share_leave(ch, share);
	vg_leave(ch->vg, VG_OK);
}

static void channel_open_done(struct vg_channel *ch, enum vg_status status)
{
	const struct vg_channel_events *events = &ch->opened->how.events;

	if (status == VG_OK)
		ch->state = CHANNEL_OPEN;
	if (events->opened)
		events->opened(events->context, ch, status);
	if (status != VG_OK)
		channel_shut(ch, status);
}

/* ---- what has happened ---- */

static KEEP_APART void settle_rings_shared(struct vg_channel *ch, const struct share *share)
{
	const struct vg_open *how = &ch->opened->how;
	struct client_open open = {
		.ring_gpadl = share->gpadl,
		.ring_offset = how->out_pages,
		.target_vp = how->target_vp,
	};
	enum bus_result result;

	__builtin_memcpy(open.user_data, how->user_data, sizeof(open.user_data));
	ch->state = CHANNEL_OPENING;
	vg_enter(ch->vg);
	result = client_open(ch->vg->client, ch->offer.channel_id, &open);
	vg_leave(ch->vg, VG_OK);
	if (result != BUS_OK)
		channel_open_done(ch, ch->rescinded ? VG_GONE : VG_REFUSED);
}

static void settle_created(struct vg_channel *ch, struct share *share)
{
	const struct vg_channel_events *events = &ch->opened->how.events;

	share->state = SHARE_HELD;
	heap_release(&ch->vg->heap, share->pfns, share->pages * sizeof(*share->pfns));
	share->pfns = NULL;
	if (share->rings)
		settle_rings_shared(ch, share);
	else if (events->shared)
		events->shared(events->context, ch, share->gpadl, VG_OK);
}

static void settle_refused(struct vg_channel *ch, struct share *share)
{
	const struct vg_channel_events *events = &ch->opened->how.events;
	bool rings = share->rings;
	uint32_t gpadl = share->gpadl;
	enum vg_status status = ch->rescinded ? VG_GONE : VG_REFUSED;

	share_remove(ch, share);
	if (ch->state == CHANNEL_CLOSING)
		return;
	if (rings)
		channel_open_done(ch, status);
	else if (events->shared)
		events->shared(events->context, ch, gpadl, status);
}

static void settle_left(struct vg_channel *ch, struct share *share)
{
	const struct vg_channel_events *events = &ch->opened->how.events;
	uint32_t gpadl = share->gpadl;

	share_remove(ch, share);
	if (ch->state == CHANNEL_OPEN && events->unshared)
		events->unshared(events->context, ch, gpadl);
}

/* True: there may be more. What is told of may ask for more, so it begins anew each time. */
static bool settle_a_share(struct vg_channel *ch)
{
	for (struct share *share = ch->shares; share; share = share->next) {
		if (share->state == SHARE_CREATED)
			settle_created(ch, share);
		else if (share->state == SHARE_REFUSED)
			settle_refused(ch, share);
		else if (share->state == SHARE_LEFT)
			settle_left(ch, share);
		else
			continue;
		return true;
	}
	return false;
}

static void settle_open(struct vg_channel *ch)
{
	if (!ch->answered)
		return;
	ch->answered = false;
	if (ch->state == CHANNEL_OPENING)
		channel_open_done(ch, ch->rescinded ? VG_GONE : ch->answer ? VG_REFUSED : VG_OK);
}

/* Of no use any more: who opened it closes it, or this does. */
static void settle_end(struct vg_channel *ch)
{
	const struct vg_channel_events *events;
	enum vg_status why;

	if (ch->state != CHANNEL_OPEN)
		return;
	if (ch->rescinded && channel_why(ch) == VG_OK)
		channel_set_why(ch, VG_GONE);
	why = channel_why(ch);
	if (why == VG_OK || ch->ended)
		return;
	ch->ended = true;
	events = &ch->opened->how.events;
	if (events->ended)
		events->ended(events->context, ch, why);
	else
		channel_shut(ch, why);
}

static void settle_closed(struct vg_channel *ch)
{
	struct vg_channel_events events;
	enum vg_status why = channel_why(ch);

	if (ch->state != CHANNEL_CLOSING || ch->shares)
		return;
	opened_end_requests(ch);
	events = ch->opened->how.events;
	opened_destroy(ch);
	ch->state = CHANNEL_OFFERED;
	events.closed(events.context, ch, why);
}

bool channel_settle(struct vg_channel *ch)
{
	const struct vg_events *events = &ch->vg->events;

	if (!ch->told && !ch->rescinded) {
		ch->told = true;
		events->offered(events->context, ch, &ch->offer);
	}
	while (settle_a_share(ch))
		;
	settle_open(ch);
	settle_end(ch);
	while (settle_a_share(ch))
		;
	settle_closed(ch);
	if (!ch->rescinded || ch->state != CHANNEL_OFFERED)
		return true;
	vg_enter(ch->vg);
	if (!ch->dropped)
		client_release(ch->vg->client, ch->offer.channel_id);
	vg_leave(ch->vg, VG_OK);
	if (ch->told && events->removed)
		events->removed(events->context, ch);
	return false;
}

/* ---- the caller's ---- */

const struct vg_offer *vg_channel_offer(const struct vg_channel *ch)
{
	return &ch->offer;
}

static enum vg_status open_locked(struct vg_channel *ch, const struct vg_open *open)
{
	enum vg_status status = opened_create(ch, open);
	struct share *share = NULL;

	if (status != VG_OK)
		return status;
	status = share_new(ch->vg, open->rings, open->out_pages + open->in_pages, &share);
	if (status == VG_OK) {
		share->rings = true;
		status = opened_rings(ch);
		if (status == VG_OK)
			status = share_ask(ch, share);
		else
			share_free(ch->vg, share);
	}
	if (status == VG_OK)
		ch->state = CHANNEL_SHARING;
	else
		opened_destroy(ch);
	return status;
}

enum vg_status vg_open(struct vg_channel *ch, const struct vg_open *open)
{
	if (ch->state != CHANNEL_OFFERED || ch->rescinded)
		return VG_STATE;
	if (!ch->dedicated)
		return VG_UNKNOWN;
	if (!vg_enter(ch->vg))
		return VG_REENTERED;
	ch->answered = false;
	ch->ended = false;
	channel_set_why(ch, VG_OK);
	return vg_leave(ch->vg, open_locked(ch, open));
}

enum vg_status vg_close(struct vg_channel *ch)
{
	if (ch->state == CHANNEL_OFFERED || ch->state == CHANNEL_CLOSING)
		return VG_STATE;
	if (ch->vg->entered)
		return VG_REENTERED;
	channel_shut(ch, channel_why(ch));
	return VG_OK;
}

static enum vg_status share_memory(struct vg_channel *ch, void *memory, uint32_t pages,
                                   uint32_t *gpadl)
{
	struct share *share;
	enum vg_status status = share_new(ch->vg, memory, pages, &share);

	if (status == VG_OK)
		status = share_ask(ch, share);
	if (status == VG_OK)
		*gpadl = share->gpadl;
	return status;
}

enum vg_status vg_share(struct vg_channel *ch, void *memory, uint32_t pages, uint32_t *gpadl)
{
	if (ch->state != CHANNEL_OPEN || channel_why(ch) != VG_OK)
		return VG_STATE;
	if (pages == 0 || pages >= WIRE_GPADL_WORDS_MAX || (uintptr_t)memory % VG_PAGE != 0)
		return VG_INVALID;
	if (!vg_enter(ch->vg))
		return VG_REENTERED;
	return vg_leave(ch->vg, share_memory(ch, memory, pages, gpadl));
}

enum vg_status vg_unshare(struct vg_channel *ch, uint32_t gpadl)
{
	struct share *share = share_find(ch, gpadl);

	if (!share || share->rings || ch->state != CHANNEL_OPEN)
		return VG_STATE;
	if (!vg_enter(ch->vg))
		return VG_REENTERED;
	share_leave(ch, share);
	return vg_leave(ch->vg, VG_OK);
}
