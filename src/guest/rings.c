/* SPDX-License-Identifier: BSD-2-Clause */

/* An open channel: its rings, requests, sending and receiving. */

#include "guest/private.h"

#define PAYLOAD_MAX (256u << 10) /* a packet's length has 16 bits in units of 8 bytes: */
#define HEADERS_MAX (252u << 10) /* about half of that each */

static struct packet_limits limits_out(const struct vg_open *open)
{
	return (struct packet_limits){
		.payload_max = open->payload_max,
		.ranges_max = open->ranges_max,
		.external_max = open->ranges_max ? open->external_max : 0,
		.pipe = open->pipe,
	};
}

static struct packet_limits limits_in(const struct vg_open *open)
{
	return (struct packet_limits){
		.payload_max = open->payload_max,
		.ranges_max = open->transfers_max,
		.shared_size = open->transfer_size,
		.refers = WIRE_PACKET_DATA_TRANSFER_PAGES,
		.pipe = open->pipe,
	};
}

static KEEP_APART enum vg_status open_check(const struct vg_open *open)
{
	struct packet_limits out = limits_out(open), in = limits_in(open);

	if (open->rings == NULL || (uintptr_t)open->rings % VG_PAGE != 0 || open->out_pages < 2 ||
	    open->in_pages < 2)
		return VG_INVALID;
	if (!open->events.closed || !open->events.packet ||
	    (open->requests_max && !open->events.completed) || (open->apart && !open->events.ended))
		return VG_INVALID;
	if (open->out_pages >= WIRE_GPADL_WORDS_MAX || open->in_pages >= WIRE_GPADL_WORDS_MAX ||
	    open->out_pages + open->in_pages >= WIRE_GPADL_WORDS_MAX)
		return VG_TOO_BIG;
	if (open->payload_max == 0 || open->payload_max > PAYLOAD_MAX ||
	    open->requests_max > 65536 || packet_gpa_headers_max(&out) > HEADERS_MAX ||
	    packet_headers_max(&in) > HEADERS_MAX ||
	    packet_ring_least(&out) > (open->out_pages - 1) * (uint64_t)VG_PAGE)
		return VG_TOO_BIG;
	return VG_OK;
}

/* ---- memory ---- */

/* The rings' objects are aligned to cache lines, and the heap to less. */
#define OPENED_ALIGN _Alignof(struct opened)
#define OPENED_SIZE  (sizeof(struct opened) + OPENED_ALIGN - 16)

static struct opened *opened_new(struct heap *heap)
{
	uint8_t *memory = heap_allocate(heap, OPENED_SIZE);
	struct opened *o;

	if (memory == NULL)
		return NULL;
	o = (struct opened *)(void *)(memory + (-(uintptr_t)memory & (OPENED_ALIGN - 1)));
	o->memory = memory;
	return o;
}

static size_t pages_size(const struct opened *o)
{
	return (o->how.out_pages + o->how.in_pages) * sizeof(*o->pages);
}

static KEEP_APART bool opened_allocate(struct heap *heap, struct opened *o)
{
	const struct vg_open *how = &o->how;
	struct packet_limits out = limits_out(how);

	o->in_limits = limits_in(how);
	o->out_headers_max = (uint32_t)packet_gpa_headers_max(&out);
	o->in_headers_max = (uint32_t)packet_headers_max(&o->in_limits);
	o->out_headers = heap_allocate(heap, o->out_headers_max);
	o->in_headers = heap_allocate(heap, o->in_headers_max);
	o->payload = heap_allocate(heap, how->payload_max);
	o->chunk = heap_allocate(heap, how->requests_max * sizeof(*o->chunk));
	o->pages = heap_allocate(heap, pages_size(o));
	return o->out_headers && o->in_headers && o->payload && o->chunk && o->pages;
}

static void opened_free(struct heap *heap, struct opened *o)
{
	heap_release(heap, o->pages, pages_size(o));
	heap_release(heap, o->chunk, o->how.requests_max * sizeof(*o->chunk));
	heap_release(heap, o->payload, o->how.payload_max);
	heap_release(heap, o->in_headers, o->in_headers_max);
	heap_release(heap, o->out_headers, o->out_headers_max);
	heap_release(heap, o->memory, OPENED_SIZE);
}

static void opened_unmap(struct vg *vg, struct opened *o)
{
	const struct vg_platform *platform = &vg->platform;

	if (o->mapped[0])
		platform->unmap_ring(platform->context, o->mapped[0], o->how.out_pages);
	if (o->mapped[1])
		platform->unmap_ring(platform->context, o->mapped[1], o->how.in_pages);
}

/* One ring: mapped, or through a list of its pages. */
static void ring_place(struct vg *vg, uint8_t *at, uint32_t pages, uint8_t **list, void **mapped,
                       struct ring_memory *memory)
{
	const struct vg_platform *platform = &vg->platform;

	__builtin_memset(at, 0, VG_PAGE);
	*memory = (struct ring_memory){ .size = (pages - 1) * VG_PAGE };
	*mapped = platform->map_ring ? platform->map_ring(platform->context, at, pages) : NULL;
	if (*mapped != NULL) {
		memory->control = *mapped;
		memory->data = (uint8_t *)*mapped + VG_PAGE;
		return;
	}
	for (uint32_t i = 0; i < pages; i++)
		list[i] = at + i * (size_t)VG_PAGE;
	memory->control = (void *)at;
	memory->pages = list + 1;
}

static KEEP_APART enum ring_status opened_writer(struct vg *vg, struct opened *o)
{
	struct ring_memory memory;

	ring_place(vg, o->how.rings, o->how.out_pages, o->pages, &o->mapped[0], &memory);
	return ring_writer_init(&o->writer, &memory);
}

static KEEP_APART enum ring_status opened_reader(struct vg *vg, struct opened *o)
{
	const struct vg_open *how = &o->how;
	uint8_t *ring = (uint8_t *)how->rings + how->out_pages * (size_t)VG_PAGE;
	struct ring_memory memory;

	ring_place(vg, ring, how->in_pages, o->pages + how->out_pages, &o->mapped[1], &memory);
	return packet_reader_init(&o->reader, &memory, &o->in_limits);
}

enum vg_status opened_rings(struct vg_channel *ch)
{
	struct vg *vg = ch->vg;
	struct opened *o = ch->opened;

	if (opened_writer(vg, o) != RING_OK || opened_reader(vg, o) != RING_OK)
		return VG_MALFORMED;
	return VG_OK;
}

static void opened_table(struct opened *o)
{
	uint32_t shift = 0;

	while (1u << shift < o->how.requests_max)
		shift++;
	packet_table_init(&o->table, &o->chunk, 1, shift);
	if (o->how.requests_max)
		packet_table_add(&o->table, o->chunk, o->how.requests_max);
}

enum vg_status opened_create(struct vg_channel *ch, const struct vg_open *open)
{
	enum vg_status status = open_check(open);
	struct heap *heap = &ch->vg->heap;
	struct opened *o;

	if (status != VG_OK)
		return status;
	o = opened_new(heap);
	if (o == NULL)
		return VG_NO_MEMORY;
	o->how = *open;
	ch->opened = o;
	if (!opened_allocate(heap, o)) {
		opened_destroy(ch);
		return VG_NO_MEMORY;
	}
	opened_table(o);
	return VG_OK;
}

void opened_destroy(struct vg_channel *ch)
{
	opened_unmap(ch->vg, ch->opened);
	opened_free(&ch->vg->heap, ch->opened);
	ch->opened = NULL;
}

void opened_end_requests(struct vg_channel *ch)
{
	struct opened *o = ch->opened;
	const struct vg_channel_events *events = &o->how.events;
	void *cookie;

	for (uint32_t i = 0; i < packet_table_count(&o->table); i++)
		if (packet_table_claim_slot(&o->table, i, &cookie) == PACKET_CLAIM_OK)
			events->completed(events->context, ch, cookie, VG_GONE, NULL, 0);
}

/* ---- sending ---- */

static void channel_signal(const struct vg_channel *ch)
{
	const struct vg_platform *platform = &ch->vg->platform;

	platform->signal(platform->context, ch->offer.connection_id);
}

/* In this order, as a channel of another state has nothing opened. */
static enum vg_status channel_may_send(const struct vg_channel *ch)
{
	if (ch->state != CHANNEL_OPEN)
		return VG_STATE;
	return channel_why(ch);
}

struct page_walk {
	const struct vg_platform *platform;
	uintptr_t first;
};

static uint64_t page_walk_number(void *context, uint64_t index)
{
	const struct page_walk *walk = context;

	return walk->platform->page_number(
		walk->platform->context, (const void *)(walk->first + (uintptr_t)index * VG_PAGE));
}

static enum vg_status headers_add(struct wire_gpa_writer *w, const struct vg_platform *platform,
                                  const struct vg_range *range)
{
	uintptr_t at = (uintptr_t)range->address;
	struct page_walk walk = { platform, at & ~(uintptr_t)(VG_PAGE - 1) };

	if (range->size == 0)
		return VG_INVALID;
	switch (packet_gpa_add(w, (uint32_t)(at % VG_PAGE), range->size, page_walk_number, &walk)) {
	case PACKET_GPA_NO_PAGE:
		return VG_UNSEEN;
	case PACKET_GPA_NO_ROOM:
		return VG_TOO_BIG;
	case PACKET_GPA_OK:
		break;
	}
	return VG_OK;
}

static KEEP_APART enum vg_status send_headers(struct vg_channel *ch, const struct vg_send *send,
                                              struct packet_out *out)
{
	struct opened *o = ch->opened;
	struct wire_gpa_writer w;
	enum vg_status status = VG_OK;
	uint64_t bytes = 0;

	if (send->cookie == NULL)
		return VG_INVALID; /* the memory is the host's until somebody says that it is not */
	if (send->range_count > o->how.ranges_max)
		return VG_TOO_BIG;
	if (!wire_gpa_write_begin(&w, o->out_headers, o->out_headers_max))
		return VG_TOO_BIG;
	for (uint32_t i = 0; i < send->range_count && status == VG_OK; i++) {
		status = headers_add(&w, &ch->vg->platform, &send->ranges[i]);
		bytes += send->ranges[i].size;
	}
	if (status == VG_OK && bytes > o->how.external_max)
		status = VG_TOO_BIG;
	if (status == VG_OK)
		packet_out_headers(out, o->out_headers, wire_gpa_write_end(&w));
	return status;
}

static enum vg_status ring_status_of(struct vg_channel *ch, enum ring_status ring,
                                     const struct packet_out *out)
{
	struct opened *o = ch->opened;

	switch (ring) {
	case RING_OK:
		if (o->wanted)
			ring_write_wait_end(&o->writer);
		o->wanted = 0;
		return VG_OK;
	case RING_FULL:
		o->wanted = packet_out_size(out);
		return VG_FULL;
	case RING_TOO_BIG:
		return VG_TOO_BIG;
	case RING_MALFORMED:
	case RING_EMPTY:
		break;
	}
	channel_set_why(ch, VG_MALFORMED);
	return VG_MALFORMED;
}

static enum vg_status send_write(struct vg_channel *ch, void *cookie, struct packet_out *out)
{
	struct opened *o = ch->opened;
	uint32_t slot;

	if (cookie == NULL)
		return ring_status_of(ch, packet_out_write(&o->writer, out), out);
	slot = packet_table_take_idle(&o->table, &o->next_slot, cookie);
	if (slot == PACKET_NO_SLOT)
		return VG_FULL;
	return ring_status_of(
		ch, packet_out_write_transaction(&o->writer, &o->table, slot, o->how.bare_ids, out),
		out);
}

void vg_flush(struct vg_channel *ch)
{
	struct ring_writer *w;

	if (ch->state != CHANNEL_OPEN)
		return;
	w = &ch->opened->writer;
	if (ring_write_publish(w))
		channel_signal(ch);
	if (w->fault.what != NULL) /* nobody was signalled, and there may be no next packet */
		channel_set_why(ch, VG_MALFORMED);
}

enum vg_status vg_send(struct vg_channel *ch, const struct vg_send *send)
{
	enum vg_status status = channel_may_send(ch);
	struct packet_out out;

	if (status != VG_OK)
		return status;
	if (send->size > ch->opened->how.payload_max)
		return VG_TOO_BIG;
	packet_out_begin(&out,
	                 send->range_count ? WIRE_PACKET_DATA_GPA_DIRECT : WIRE_PACKET_DATA_INBAND,
	                 send->cookie != NULL);
	if (send->range_count)
		status = send_headers(ch, send, &out);
	if (status != VG_OK)
		return status;
	packet_out_payload(&out, ch->opened->how.pipe, send->payload, send->size);
	status = send_write(ch, send->cookie, &out);
	if (!send->more)
		vg_flush(ch);
	return status;
}

enum vg_status vg_complete(struct vg_channel *ch, uint64_t id, const void *payload, uint32_t size)
{
	enum vg_status status = channel_may_send(ch);
	struct packet_out out;

	if (status != VG_OK)
		return status;
	if (size > ch->opened->how.payload_max)
		return VG_TOO_BIG;
	packet_out_completion(&out, id, payload, size);
	status = ring_status_of(ch, packet_out_write(&ch->opened->writer, &out), &out);
	vg_flush(ch);
	return status;
}

/* ---- receiving ---- */

static bool receive_fault(struct vg_channel *ch, const char *what, uint64_t expected,
                          uint64_t actual)
{
	const struct vg_platform *platform = &ch->vg->platform;

	channel_set_why(ch, VG_MALFORMED);
	if (platform->log)
		platform->log(platform->context, "ring", what, expected, actual);
	return false;
}

static bool receive_malformed(struct vg_channel *ch)
{
	const struct wire_packet_fault *fault = &ch->opened->reader.fault;

	return receive_fault(ch, fault->what, fault->expected, fault->actual);
}

static KEEP_APART bool receive_data(struct vg_channel *ch, const struct ring_packet *ring)
{
	struct opened *o = ch->opened;
	const struct vg_channel_events *events = &o->how.events;
	const struct packet_in *in = &o->in;
	struct vg_packet packet;

	if (!packet_read_take(&o->reader, ring, o->in_headers, o->payload, &o->in))
		return receive_malformed(ch);
	packet = (struct vg_packet){
		.id = in->id,
		.answer = in->answer,
		.payload = o->payload,
		.size = in->payload_size,
		.range_count = in->transfer.range_count,
	};
	if (packet.range_count) {
		packet.page_set = in->transfer.pageset_id;
		packet.ranges = (const struct vg_transfer_range *)(const void *)in->transfer.ranges;
	}
	events->packet(events->context, ch, &packet);
	return true;
}

static_assert(sizeof(struct vg_transfer_range) == sizeof(struct wire_transfer_range), "the same");

static KEEP_APART bool receive_completion(struct vg_channel *ch, const struct ring_packet *ring)
{
	struct opened *o = ch->opened;
	const struct vg_channel_events *events = &o->how.events;
	uint32_t size = packet_read_answer_size(ring);
	void *cookie = NULL;

	switch (packet_table_claim(&o->table, ring->transaction_id, &cookie)) {
	case PACKET_CLAIM_WRITING:
		return false; /* it stays in the ring until the next round */
	case PACKET_CLAIM_NONE:
		return receive_fault(ch, "transaction id of a completion",
		                     packet_table_count(&o->table), ring->transaction_id);
	case PACKET_CLAIM_OK:
		break;
	}
	if (size > o->how.payload_max)
		size = o->how.payload_max;
	packet_read_take_answer(&o->reader, ring, o->payload, size);
	events->completed(events->context, ch, cookie, VG_OK, o->payload, size);
	return true;
}

static bool receive_one(void *context)
{
	struct vg_channel *ch = context;
	struct ring_packet ring;

	if (channel_may_send(ch) != VG_OK)
		return false;
	switch (packet_read_next(&ch->opened->reader, &ring)) {
	case PACKET_DATA:
		return receive_data(ch, &ring);
	case PACKET_COMPLETION:
		return receive_completion(ch, &ring);
	case PACKET_MALFORMED:
		return receive_malformed(ch);
	case PACKET_NOTHING:
		break;
	}
	return false;
}

uint32_t vg_channel_poll(struct vg_channel *ch, uint32_t budget)
{
	struct opened *o = ch->opened;
	uint32_t count;
	bool pause;

	if (channel_may_send(ch) != VG_OK)
		return 0;
	packet_read_poll(&o->reader);
	count = packet_read_drain(&o->reader, budget, receive_one, ch, &pause);
	if (pause && packet_read_pause(&o->reader))
		channel_signal(ch);
	return count;
}

/* Somebody found no room: the host is asked for a signal when there is. True: there is. */
static bool sleep_for_room(struct vg_channel *ch, bool *signal)
{
	struct opened *o = ch->opened;

	if (o->wanted == 0)
		return false;
	return ring_write_wait(&o->writer, o->wanted, signal);
}

bool vg_channel_sleep(struct vg_channel *ch)
{
	bool room, something, sent = false, read = false;

	if (channel_may_send(ch) != VG_OK)
		return channel_why(ch) == VG_OK;
	room = sleep_for_room(ch, &sent);
	something = packet_read_sleep(&ch->opened->reader, &read);
	if (sent || read)
		channel_signal(ch);
	return !room && !something;
}
