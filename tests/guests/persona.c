/* SPDX-License-Identifier: BSD-2-Clause */
#include "persona.h"

#include "kmcl/tsan.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define HEADER_PFNS 26u /* of a GPADL, in its first message and in each that follows */
#define BODY_PFNS   28u

const char *persona_pattern = "local:persona-%d-%u";

const char *persona_uri(void)
{
	static unsigned int number;
	static char uri[128];

	snprintf(uri, sizeof(uri), persona_pattern, getpid(), number++);
	return uri;
}

/* ---- being there ---- */

static void on_message(void *context, uint32_t id, const void *payload, size_t size)
{
	struct persona *p = context;

	pthread_mutex_lock(&p->lock);
	if (p->written - p->read < PERSONA_MESSAGES) {
		struct persona_message *m = &p->messages[p->written++ % PERSONA_MESSAGES];

		memcpy(m->bytes, payload, size);
		m->size = size;
	} else {
		fprintf(stderr, "more messages than a persona hears\n");
		abort();
	}
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static void on_presence(void *context, enum partition_presence what)
{
	struct persona *p = context;

	pthread_mutex_lock(&p->lock);
	p->came = what == PARTITION_CAME;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

/* Who posts tries again by the clock. */
static void on_writable(void *context)
{
}

static struct timespec deadline_of(int ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += ms / 1000;
	ts.tv_nsec += ms % 1000 * 1000000l;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	return ts;
}

static void init_waiting(struct persona *p)
{
	pthread_condattr_t attributes;

	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&p->changed, &attributes);
	pthread_condattr_destroy(&attributes);
}

static void make_ram(struct partition_ram *ram)
{
	ram->size = PERSONA_RAM;
	ram->fd = memfd_create("kmcl-persona", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(ram->fd >= 0);
	assert_int_equal(ftruncate(ram->fd, (off_t)ram->size), 0);
	ram->base = mmap(NULL, ram->size, PROT_READ | PROT_WRITE, MAP_SHARED, ram->fd, 0);
	assert_true(ram->base != MAP_FAILED);
}

void persona_begin(struct persona *p, const char *uri)
{
	struct partition_settings settings = {
		.end = PARTITION_GUEST,
		.upcalls = { .message = on_message,
		             .presence = on_presence,
		             .writable = on_writable },
		.context = p,
	};
	struct timespec until = deadline_of(PERSONA_WAIT_MS);
	char why[256] = "";

	memset(p, 0, sizeof(*p));
	init_waiting(p);
	make_ram(&p->ram);
	p->used = WIRE_PAGE_SIZE; /* the address 0 means no page in some messages */
	settings.ram = p->ram;
	p->next_gpadl = 1;
	p->connection = WIRE_CONNECTION_MESSAGE;
	if (partition_open(uri, &settings, &p->partition, why, sizeof(why)) != 0)
		fail_msg("%s: %s", uri, why);
	pthread_mutex_lock(&p->lock);
	while (!p->came && !pthread_cond_timedwait(&p->changed, &p->lock, &until))
		;
	pthread_mutex_unlock(&p->lock);
	assert_true(p->came);
}

void persona_leave(struct persona *p)
{
	if (p->shared)
		partition_unlisten(p->shared);
	p->shared = NULL;
	partition_close(p->partition);
}

void persona_end(struct persona *p)
{
	uint32_t unread = p->written - p->read, type = 0;

	if (unread)
		memcpy(&type, p->messages[p->read % PERSONA_MESSAGES].bytes, sizeof(type));
	munmap(p->ram.base, p->ram.size);
	close(p->ram.fd);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	if (unread)
		fail_msg("%u messages were not expected, the first a %s", unread,
		         wire_message_name(type));
}

void *persona_pages(struct persona *p, size_t count)
{
	uint8_t *pages = (uint8_t *)p->ram.base + p->used;

	p->used += count * WIRE_PAGE_SIZE;
	assert_true(p->used <= p->ram.size);
	memset(pages, 0, count * WIRE_PAGE_SIZE);
	return pages;
}

uint64_t persona_gpn(const struct persona *p, const void *address)
{
	uint64_t gpn = partition_gpn(p->partition, address);

	assert_true(gpn != PARTITION_NO_PAGE);
	return gpn;
}

/* ---- messages ---- */

void persona_post_to(struct persona *p, uint32_t connection, const void *message, size_t size)
{
	struct partition_address to = { .id = connection };
	int tries = PERSONA_WAIT_MS, error;

	while ((error = partition_post(p->partition, to, message, size)) == -EAGAIN && tries-- > 0)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	assert_int_equal(error, 0);
}

void persona_post(struct persona *p, const void *message, size_t size)
{
	persona_post_to(p, p->connection, message, size);
}

void persona_say(struct persona *p, uint32_t type)
{
	struct wire_message_header message = { .type = type };

	persona_post(p, &message, sizeof(message));
}

static void next_message(struct persona *p, struct persona_message *m, const char *wanted)
{
	struct timespec until = deadline_of(PERSONA_WAIT_MS);
	bool there;

	pthread_mutex_lock(&p->lock);
	while (p->written == p->read && !pthread_cond_timedwait(&p->changed, &p->lock, &until))
		;
	there = p->written != p->read;
	if (there)
		*m = p->messages[p->read++ % PERSONA_MESSAGES];
	pthread_mutex_unlock(&p->lock);
	if (!there)
		fail_msg("no %s came", wanted);
}

size_t persona_hear(struct persona *p, uint32_t type, void *message, size_t capacity)
{
	struct persona_message m;
	uint32_t came;

	next_message(p, &m, wire_message_name(type));
	assert_true(m.size >= sizeof(struct wire_message_header));
	memcpy(&came, m.bytes, sizeof(came));
	if (came != type)
		fail_msg("%s was expected, and %s came", wire_message_name(type),
		         wire_message_name(came));
	memset(message, 0, capacity);
	memcpy(message, m.bytes, m.size < capacity ? m.size : capacity);
	return m.size;
}

/* ---- the connection ---- */

static void name_pages(struct persona *p, const struct persona_contact *c,
                       struct wire_initiate_contact *message)
{
	if (!p->interrupt_page) {
		p->interrupt_page = persona_pages(p, 1);
		p->monitor_pages[0] = persona_pages(p, 1);
		p->monitor_pages[1] = persona_pages(p, 1);
	}
	if (c->interrupt_page) {
		message->interrupt_page = persona_gpn(p, p->interrupt_page) * WIRE_PAGE_SIZE;
	} else {
		message->target_sint = c->sint;
		message->target_vtl = c->vtl;
		message->feature_flags = c->features;
	}
	if (c->no_monitor_pages)
		return;
	message->monitor_page_to_guest = persona_gpn(p, p->monitor_pages[0]) * WIRE_PAGE_SIZE;
	message->monitor_page_to_host = persona_gpn(p, p->monitor_pages[1]) * WIRE_PAGE_SIZE;
}

static void agreed(struct persona *p, const struct persona_contact *c)
{
	p->version = c->version;
	p->connection = WIRE_CONNECTION_MESSAGE;
	if (c->version >= WIRE_VERSION_5_0)
		p->connection = p->response.message_connection_id;
	if (c->version < WIRE_VERSION_2_4 && !p->shared)
		assert_int_equal(partition_listen(p->partition, 0, &p->shared), 0);
}

bool persona_contact(struct persona *p, const struct persona_contact *c)
{
	struct wire_initiate_contact message = {
		.header.type = WIRE_INITIATE_CONTACT,
		.version = c->version,
		.target_vp = c->target_vp,
	};

	name_pages(p, c, &message);
	persona_post_to(p, c->connection ? c->connection : WIRE_CONNECTION_MESSAGE, &message,
	                c->size ? c->size : WIRE_INITIATE_CONTACT_SIZE_SHORT);
	p->response_size =
		persona_hear(p, WIRE_VERSION_RESPONSE, &p->response, sizeof(p->response));
	if (!p->response.version_supported)
		return false;
	agreed(p, c);
	return true;
}

void persona_unload(struct persona *p)
{
	struct wire_message_header answer;

	persona_say(p, WIRE_UNLOAD);
	assert_int_equal(persona_hear(p, WIRE_UNLOAD_COMPLETE, &answer, sizeof(answer)),
	                 sizeof(answer));
	if (p->shared)
		partition_unlisten(p->shared);
	p->shared = NULL;
	p->version = 0;
	p->offer_count = 0;
}

const struct wire_offer_channel *persona_hear_offer(struct persona *p)
{
	struct wire_offer_channel *offer = &p->offers[p->offer_count++];

	assert_true(p->offer_count <= PERSONA_OFFERS);
	persona_hear(p, WIRE_OFFER_CHANNEL, offer, sizeof(*offer));
	return offer;
}

void persona_request_offers(struct persona *p)
{
	struct persona_message m;
	uint32_t type;

	persona_say(p, WIRE_REQUEST_OFFERS);
	for (;;) {
		next_message(p, &m, "OFFER_CHANNEL or ALL_OFFERS_DELIVERED");
		memcpy(&type, m.bytes, sizeof(type));
		if (type == WIRE_ALL_OFFERS_DELIVERED)
			return;
		assert_int_equal(type, WIRE_OFFER_CHANNEL);
		assert_true(p->offer_count < PERSONA_OFFERS);
		memcpy(&p->offers[p->offer_count++], m.bytes, m.size);
	}
}

const struct wire_offer_channel *persona_find(const struct persona *p, const void *type,
                                              uint16_t subchannel)
{
	for (uint32_t i = 0; i < p->offer_count; i++)
		if (!memcmp(p->offers[i].interface_type, type, 16) &&
		    p->offers[i].subchannel_index == subchannel)
			return &p->offers[i];
	return NULL;
}

/* ---- GPADLs ---- */

static uint32_t post_gpadl_header(struct persona *p, uint32_t channel_id, uint32_t gpadl,
                                  uint64_t first, uint32_t pages)
{
	struct {
		struct wire_gpadl_header header;
		uint8_t rest[WIRE_MESSAGE_MAX];
	} __attribute__((packed)) message = { 0 };
	struct wire_gpa_range range = { .byte_count = pages * WIRE_PAGE_SIZE };
	uint32_t count = pages < HEADER_PFNS ? pages : HEADER_PFNS;
	uint8_t *at = (uint8_t *)&message + sizeof(message.header);

	message.header.header.type = WIRE_GPADL_HEADER;
	message.header.channel_id = channel_id;
	message.header.gpadl = gpadl;
	message.header.range_bytes = (uint16_t)(sizeof(range) + pages * sizeof(uint64_t));
	message.header.range_count = 1;
	memcpy(at, &range, sizeof(range));
	at += sizeof(range);
	for (uint32_t i = 0; i < count; i++, at += sizeof(uint64_t))
		memcpy(at, &(uint64_t){ first + i }, sizeof(uint64_t));
	persona_post(p, &message, (size_t)(at - (uint8_t *)&message));
	return count;
}

static uint32_t post_gpadl_body(struct persona *p, uint32_t gpadl, uint32_t number, uint64_t first,
                                uint32_t left)
{
	struct {
		struct wire_gpadl_body body;
		uint64_t pfns[BODY_PFNS];
	} message = { .body = { .header.type = WIRE_GPADL_BODY, .gpadl = gpadl } };
	uint32_t count = left < BODY_PFNS ? left : BODY_PFNS;

	message.body.message_number = number;
	for (uint32_t i = 0; i < count; i++)
		message.pfns[i] = first + i;
	persona_post(p, &message, sizeof(message.body) + count * sizeof(uint64_t));
	return count;
}

void persona_share(struct persona *p, uint32_t channel_id, uint32_t gpadl, const void *memory,
                   size_t size)
{
	uint32_t pages = (uint32_t)(size / WIRE_PAGE_SIZE), number = 0;
	uint64_t first = persona_gpn(p, memory);
	uint32_t done = post_gpadl_header(p, channel_id, gpadl, first, pages);
	struct wire_gpadl_created created;

	while (done < pages)
		done += post_gpadl_body(p, gpadl, ++number, first + done, pages - done);
	persona_hear(p, WIRE_GPADL_CREATED, &created, sizeof(created));
	assert_int_equal(created.channel_id, channel_id);
	assert_int_equal(created.gpadl, gpadl);
	assert_int_equal(created.status, 0);
}

void persona_unshare(struct persona *p, uint32_t channel_id, uint32_t gpadl)
{
	struct wire_gpadl_teardown message = {
		.header.type = WIRE_GPADL_TEARDOWN,
		.channel_id = channel_id,
		.gpadl = gpadl,
	};
	struct wire_gpadl_torndown answer;

	persona_post(p, &message, sizeof(message));
	persona_hear(p, WIRE_GPADL_TORNDOWN, &answer, sizeof(answer));
	assert_int_equal(answer.gpadl, gpadl);
}

/* ---- channels ---- */

static struct ring_memory ring_at(uint8_t *memory, uint32_t pages, uint8_t **table)
{
	struct ring_memory ring = {
		.control = (struct wire_ring_control *)memory,
		.pages = table,
		.size = (pages - 1) * WIRE_PAGE_SIZE,
	};

	for (uint32_t i = 0; i + 1 < pages; i++)
		table[i] = memory + (size_t)(i + 1) * WIRE_PAGE_SIZE;
	return ring;
}

static void make_rings(struct persona_channel *ch, uint8_t *memory)
{
	const struct persona_opening *o = &ch->opening;
	struct ring_memory out, in;

	ch->pages = calloc(o->out_pages + o->in_pages, sizeof(ch->pages[0]));
	out = ring_at(memory, o->out_pages, ch->pages);
	in = ring_at(memory + (size_t)o->out_pages * WIRE_PAGE_SIZE, o->in_pages,
	             ch->pages + o->out_pages);
	assert_int_equal(ring_writer_init(&ch->out, &out), RING_OK);
	assert_int_equal(ring_reader_init(&ch->in, &in), RING_OK);
}

/* Signals for the host go to a connection of the channel's own from 1.1 on. */
static void connect_events(struct persona_channel *ch)
{
	struct persona *p = ch->persona;
	struct partition_address to = { .id = ch->offer.connection_id };

	if (p->version < WIRE_VERSION_1_1)
		to.id = WIRE_CONNECTION_EVENT;
	assert_int_equal(partition_connect(p->partition, to, &ch->link), 0);
	if (p->version < WIRE_VERSION_2_4)
		ch->port = p->shared;
	else
		assert_int_equal(partition_listen(p->partition, ch->offer.channel_id, &ch->port),
		                 0);
}

static uint32_t features_of(const struct persona_channel *ch)
{
	return ch->persona->version >= WIRE_VERSION_6_0 ? ch->persona->response.feature_flags : 0;
}

static void post_open(struct persona_channel *ch)
{
	struct wire_open_channel message = {
		.header.type = WIRE_OPEN_CHANNEL,
		.channel_id = ch->offer.channel_id,
		.open_id = ch->opening.open_id,
		.ring_gpadl = ch->opening.gpadl,
		.target_vp = ch->opening.target_vp,
		.ring_offset = ch->opening.out_pages,
	};
	struct wire_open_channel_result result;

	if (features_of(ch) & WIRE_FEATURE_SIGNAL_PARAMETERS) {
		message.connection_id = ch->offer.connection_id;
		message.event_flag = (uint16_t)ch->offer.channel_id;
	}
	if (ch->opening.user_data)
		memcpy(message.user_data, ch->opening.user_data, ch->opening.user_data_size);
	persona_post(ch->persona, &message, wire_open_channel_size(features_of(ch)));
	persona_hear(ch->persona, WIRE_OPEN_CHANNEL_RESULT, &result, sizeof(result));
	assert_int_equal(result.channel_id, message.channel_id);
	assert_int_equal(result.open_id, message.open_id);
	assert_int_equal(result.status, 0);
}

void persona_open(struct persona *p, struct persona_channel *ch,
                  const struct wire_offer_channel *offer, const struct persona_opening *opening)
{
	uint32_t pages = opening->out_pages + opening->in_pages;
	uint8_t *memory = persona_pages(p, pages);

	assert_non_null(offer);
	memset(ch, 0, sizeof(*ch));
	ch->persona = p;
	ch->offer = *offer;
	ch->opening = *opening;
	if (!ch->opening.gpadl)
		ch->opening.gpadl = p->next_gpadl++;
	if (!ch->opening.open_id)
		ch->opening.open_id = offer->channel_id;
	persona_share(p, offer->channel_id, ch->opening.gpadl, memory,
	              (size_t)pages * WIRE_PAGE_SIZE);
	make_rings(ch, memory);
	connect_events(ch);
	post_open(ch);
}

void persona_forget(struct persona_channel *ch)
{
	partition_disconnect(ch->link);
	if (ch->port != ch->persona->shared)
		partition_unlisten(ch->port);
	free(ch->pages);
}

void persona_close(struct persona_channel *ch)
{
	struct wire_channel_message message = {
		.header.type = WIRE_CLOSE_CHANNEL,
		.channel_id = ch->offer.channel_id,
	};

	persona_post(ch->persona, &message, sizeof(message));
	persona_unshare(ch->persona, ch->offer.channel_id, ch->opening.gpadl);
	persona_forget(ch);
}

/* ---- signals ---- */

static void set_bit(uint8_t *page, size_t offset, uint32_t bit)
{
	_Atomic(uint32_t) *word = (_Atomic(uint32_t) *)(page + offset) + bit / 32;

	atomic_fetch_or(word, 1u << bit % 32);
}

static bool take_bit(uint8_t *page, uint32_t bit)
{
	_Atomic(uint32_t) *word = (_Atomic(uint32_t) *)page + bit / 32;
	uint32_t mask = 1u << bit % 32;

	return atomic_fetch_and(word, ~mask) & mask;
}

/* The bit of the interrupt page is for hosts before 2.4, and set at any version by Linux and by
 * OpenBSD (hv_channel_setevent) where the channel is monitored. */
static void signal_host(struct persona_channel *ch)
{
	struct persona *p = ch->persona;

	if (ch->monitored && ch->offer.monitor_allocated) {
		uint32_t group = ch->offer.monitor_id / 32;

		set_bit(p->interrupt_page, WIRE_PAGE_SIZE / 2, ch->offer.channel_id);
		set_bit(p->monitor_pages[1], 8 + group * 8, ch->offer.monitor_id % 32);
		ch->triggers++;
		return;
	}
	if (p->version < WIRE_VERSION_2_4)
		set_bit(p->interrupt_page, WIRE_PAGE_SIZE / 2, ch->offer.channel_id);
	partition_signal(ch->link);
	ch->signals++;
}

/* ---- packets ---- */

static bool write_packet(struct persona_channel *ch, struct wire_packet packet,
                         const struct ring_span *spans, unsigned count)
{
	enum ring_status status;

	tsan_before_write(persona_gpn(ch->persona, ch->out.memory.control));
	status = ring_write(&ch->out, packet, spans, count);
	if (status != RING_FULL)
		assert_int_equal(status, RING_OK);
	if (ring_write_publish(&ch->out))
		signal_host(ch);
	return status == RING_OK;
}

void persona_send(struct persona_channel *ch, uint16_t type, uint16_t flags, uint64_t transaction,
                  const void *headers, uint32_t header_size, const void *payload, uint32_t size)
{
	struct wire_packet packet = {
		.type = type,
		.offset8 = (uint16_t)((sizeof(packet) + header_size) / 8),
		.flags = flags,
		.transaction_id = transaction,
	};
	const struct ring_span spans[] = { { headers, header_size }, { payload, size } };
	int tries = PERSONA_WAIT_MS;

	while (!write_packet(ch, packet, header_size ? spans : spans + 1, header_size ? 2 : 1)) {
		assert_true(tries-- > 0);
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	}
}

void persona_request(struct persona_channel *ch, uint64_t transaction, const void *payload,
                     uint32_t size)
{
	persona_send(ch, WIRE_PACKET_DATA_INBAND, WIRE_PACKET_FLAG_COMPLETION_REQUESTED,
	             transaction, NULL, 0, payload, size);
}

void persona_complete(struct persona_channel *ch, uint64_t transaction, const void *payload,
                      uint32_t size)
{
	persona_send(ch, WIRE_PACKET_COMPLETION, 0, transaction, NULL, 0, payload, size);
}

void persona_request_with(struct persona_channel *ch, uint64_t transaction,
                          const struct persona_range *ranges, uint32_t count, const void *payload,
                          uint32_t size)
{
	uint64_t headers[512];
	struct wire_gpa_writer w;

	assert_true(wire_gpa_write_begin(&w, headers, sizeof(headers)));
	for (uint32_t i = 0; i < count; i++) {
		uint32_t offset = (uint32_t)((uintptr_t)ranges[i].address % WIRE_PAGE_SIZE);
		uint64_t *pfns = wire_gpa_write_range(&w, offset, ranges[i].size);
		uint64_t pages = wire_pages_spanned(offset, ranges[i].size);

		assert_non_null(pfns);
		for (uint64_t j = 0; j < pages; j++)
			pfns[j] = persona_gpn(ch->persona, ranges[i].address) + j;
	}
	persona_send(ch, WIRE_PACKET_DATA_GPA_DIRECT, WIRE_PACKET_FLAG_COMPLETION_REQUESTED,
	             transaction, headers, wire_gpa_write_end(&w), payload, size);
}

static bool take_packet(struct persona_channel *ch, struct persona_packet *packet)
{
	struct ring_packet ring = { 0 };
	enum ring_status status = ring_read_next(&ch->in, &ring);

	if (status == RING_EMPTY)
		return false;
	assert_int_equal(status, RING_OK);
	tsan_after_read(persona_gpn(ch->persona, ch->in.memory.control));
	assert_true(ring.size <= sizeof(packet->bytes));
	ring_read_copy(&ch->in, &ring, 0, packet->bytes, ring.size);
	ring_read_advance(&ch->in, &ring);
	if (ring_read_publish(&ch->in))
		signal_host(ch);
	packet->type = ring.type;
	packet->flags = ring.flags;
	packet->transaction = ring.transaction_id;
	packet->headers = packet->bytes + sizeof(struct wire_packet);
	packet->header_size = ring.payload_offset - (uint32_t)sizeof(struct wire_packet);
	packet->payload = packet->bytes + ring.payload_offset;
	packet->size = ring.size - ring.payload_offset;
	return true;
}

/* Before 2.4 the bits of the page say whom a signal is for. */
static void on_signal(struct persona_channel *ch)
{
	struct persona *p = ch->persona;
	uint32_t id = ch->offer.channel_id;

	partition_port_clear(ch->port);
	if (p->version < WIRE_VERSION_2_4 && p->interrupt_page)
		ch->bits += take_bit(p->interrupt_page, id);
}

static int ms_until(const struct timespec *until)
{
	struct timespec now;
	int64_t ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (until->tv_sec - now.tv_sec) * 1000 + (until->tv_nsec - now.tv_nsec) / 1000000;
	return ms > 0 ? (int)ms : 0;
}

bool persona_try_receive(struct persona_channel *ch, struct persona_packet *packet, int ms)
{
	struct timespec until = deadline_of(ms);
	struct pollfd fd = { .fd = partition_port_fd(ch->port), .events = POLLIN };
	bool signal, more;
	int left;

	while (!take_packet(ch, packet)) {
		more = ring_read_unmask(&ch->in, &signal);
		if (signal)
			signal_host(ch);
		if (more)
			continue;
		left = ms_until(&until);
		if (!left)
			return false;
		if (poll(&fd, 1, left) == 1)
			on_signal(ch);
	}
	return true;
}

void persona_receive(struct persona_channel *ch, struct persona_packet *packet)
{
	if (!persona_try_receive(ch, packet, PERSONA_WAIT_MS))
		fail_msg("no packet came on channel %u", ch->offer.channel_id);
}

uint32_t persona_completed(struct persona_channel *ch, uint64_t transaction, void *payload,
                           uint32_t capacity)
{
	struct persona_packet packet;

	persona_receive(ch, &packet);
	assert_int_equal(packet.type, WIRE_PACKET_COMPLETION);
	assert_int_equal(packet.transaction, transaction);
	if (capacity)
		memcpy(payload, packet.payload, packet.size < capacity ? packet.size : capacity);
	return packet.size;
}
