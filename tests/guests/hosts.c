/* SPDX-License-Identifier: BSD-2-Clause */
#include "hosts.h"
#include "persona.h"

#include "echo/echo.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PAGES 1024u

struct host {
	struct partition *partition;
	struct host_manner manner;
	pthread_mutex_t lock;
	struct host_heard heard;
	bool honest;
	uint32_t tricked;
	bool there; /* a guest */
	bool open, rescinded, deaf;
	/* of the partition's thread */
	uint32_t version;
	struct wire_gpadl_header gpadl; /* that is being described */
	uint32_t words, words_left;
	uint64_t range[PAGES]; /* its words */
	/* the channel, while it is open */
	struct partition_pin *pin;
	struct partition_link *link;
	struct host_rings rings;
	uint8_t *pages[PAGES];
	/* who serves it */
	struct partition_port *port;
	pthread_t thread;
	int stop; /* an eventfd */
};

/* ---- what it says ---- */

void host_say(struct host *h, const void *message, size_t size)
{
	struct partition_address to = { .sint = WIRE_SINT_DEFAULT };
	uint8_t bytes[WIRE_MESSAGE_MAX] = { 0 };

	memcpy(bytes, message, size);
	if (h->manner.padding)
		size = (size + h->manner.padding - 1) / h->manner.padding * h->manner.padding;
	while (partition_post(h->partition, to, bytes, size) == -EAGAIN)
		usleep(100);
}

void host_say_offer(struct host *h, uint32_t channel_id)
{
	static const GUID echo = ECHO_INTERFACE_TYPE;
	GUID instance = { 0x01020300 + channel_id };
	struct wire_offer_channel m = {
		.header.type = WIRE_OFFER_CHANNEL,
		.channel_id = channel_id,
		.monitor_id = h->manner.no_monitor,
		.dedicated_interrupt = 1,
		.connection_id = HOSTS_CONNECTION - HOSTS_CHANNEL + channel_id,
	};

	memcpy(m.interface_type, h->manner.type ? h->manner.type : &echo, sizeof(m.interface_type));
	memcpy(m.interface_instance, &instance, sizeof(m.interface_instance));
	host_say(h, &m, sizeof(m));
}

/* The lock is held. */
static void stop_serving(struct host *h)
{
	if (!h->open)
		return;
	h->open = false;
	partition_disconnect(h->link);
	partition_unpin(h->pin);
}

void host_say_rescind(struct host *h, uint32_t channel_id)
{
	struct wire_channel_message m = { .header.type = WIRE_RESCIND_CHANNEL_OFFER,
		                          .channel_id = channel_id };

	if (channel_id == HOSTS_CHANNEL) {
		stop_serving(h);
		h->rescinded = true;
	}
	host_say(h, &m, sizeof(m));
}

/* ---- its trick ---- */

/* The lock is held. Whether the answer is to be given. */
static bool answers(struct host *h, uint32_t upon, const union wire_message *heard)
{
	const struct host_trick *trick = h->manner.trick;

	if (!trick || trick->upon != upon || h->honest)
		return true;
	h->honest = !trick->always;
	h->tricked++;
	return trick->act(h, trick, heard);
}

uint32_t host_tricked(struct host *h)
{
	uint32_t tricked;

	pthread_mutex_lock(&h->lock);
	tricked = h->tricked;
	pthread_mutex_unlock(&h->lock);
	return tricked;
}

void host_be_honest(struct host *h)
{
	pthread_mutex_lock(&h->lock);
	h->honest = true;
	pthread_mutex_unlock(&h->lock);
}

/* ---- its rings ---- */

struct host_rings *host_rings(struct host *h)
{
	return &h->rings;
}

void host_write(struct host *h, struct wire_packet packet, const void *bytes, uint32_t size)
{
	struct ring_span span = { bytes, size };

	ring_write(&h->rings.writer, packet, &span, 1);
}

void host_complete(struct host *h, uint64_t id)
{
	struct wire_packet packet = { .type = WIRE_PACKET_COMPLETION,
		                      .offset8 = sizeof(packet) / 8,
		                      .transaction_id = id };

	host_write(h, packet, h->rings.payload, h->rings.size);
}

void host_show(struct host *h)
{
	ring_write_publish(&h->rings.writer);
	partition_signal(h->link);
}

uint8_t *host_page(struct host *h, uint64_t number)
{
	return partition_page(h->pin, number);
}

static void take_request(struct host *h, const struct ring_packet *packet)
{
	const struct host_device *device = h->manner.device;
	struct host_rings *r = &h->rings;

	if (device) {
		device->took(h, device->context, packet);
		return;
	}
	if (packet->type != WIRE_PACKET_DATA_INBAND ||
	    packet->size - packet->payload_offset > sizeof(r->payload))
		return; /* a completion, of which some tricks ask for many */
	r->id = packet->transaction_id;
	r->size = packet->size - packet->payload_offset;
	ring_read_copy(&r->reader, packet, packet->payload_offset, r->payload, r->size);
	if (answers(h, HOSTS_REQUEST, NULL))
		host_complete(h, r->id);
}

/* What came, until a trick takes the channel away. */
static void serve_ring(struct host *h)
{
	struct ring_packet packet;

	while (h->open && !h->deaf && ring_read_next(&h->rings.reader, &packet) == RING_OK) {
		take_request(h, &packet);
		if (!h->open)
			return;
		ring_read_advance(&h->rings.reader, &packet);
		ring_read_publish(&h->rings.reader);
		ring_write_publish(&h->rings.writer);
		partition_signal(h->link); /* always: a trick leaves no trace that says so */
	}
}

void host_do(struct host *h, void (*what)(struct host *host, void *context), void *context)
{
	pthread_mutex_lock(&h->lock);
	what(h, context);
	pthread_mutex_unlock(&h->lock);
}

void host_set_device(struct host *h, const struct host_device *device)
{
	pthread_mutex_lock(&h->lock);
	h->manner.device = device;
	pthread_mutex_unlock(&h->lock);
}

static void hear(struct host *h, void *context)
{
	h->deaf = *(const bool *)context;
	serve_ring(h);
}

void host_be_deaf(struct host *h, bool deaf)
{
	host_do(h, hear, &deaf);
}

static void *serve(void *context)
{
	struct host *h = context;
	struct pollfd fds[2] = { { partition_port_fd(h->port), POLLIN, 0 },
		                 { h->stop, POLLIN, 0 } };

	while (poll(fds, 2, -1) >= 0 && !fds[1].revents) {
		partition_port_clear(h->port);
		pthread_mutex_lock(&h->lock);
		serve_ring(h);
		pthread_mutex_unlock(&h->lock);
	}
	return NULL;
}

/* `count` pages from the list's `first` on. */
static struct wire_ring_control *place_ring(struct host *h, struct ring_memory *memory,
                                            uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		h->pages[first + i] = partition_page(h->pin, h->range[1 + first + i]);
	*memory = (struct ring_memory){ .control = (void *)h->pages[first],
		                        .pages = h->pages + first + 1,
		                        .size = (count - 1) * WIRE_PAGE_SIZE };
	return memory->control;
}

static void start_serving(struct host *h, const struct wire_open_channel *open)
{
	struct partition_address flag = { .id = HOSTS_CHANNEL, .sint = WIRE_SINT_DEFAULT };
	uint32_t split = open->ring_offset, pages = h->words - 1;
	struct ring_memory memory;

	h->pin = partition_pin(h->partition);
	if (!h->pin || partition_connect(h->partition, flag, &h->link) != 0 || split < 2 ||
	    pages < split + 2)
		abort();
	h->rings.to_host = place_ring(h, &memory, 0, split);
	if (ring_reader_init(&h->rings.reader, &memory) != RING_OK)
		abort();
	h->rings.to_guest = place_ring(h, &memory, split, pages - split);
	if (ring_writer_init(&h->rings.writer, &memory) != RING_OK)
		abort();
	h->open = true;
}

/* ---- what it answers ---- */

static void answer_contact(struct host *h, const struct wire_initiate_contact *contact)
{
	struct wire_version_response m = { .header.type = WIRE_VERSION_RESPONSE };

	m.version_supported = contact->version <= h->manner.version_max;
	h->version = m.version_supported ? contact->version : 0;
	if (m.version_supported && h->manner.names_version)
		m.selected_version = contact->version;
	if (h->version >= WIRE_VERSION_5_0)
		m.message_connection_id = WIRE_CONNECTION_MULTICLIENT;
	if (h->version >= WIRE_VERSION_6_0)
		m.feature_flags = contact->feature_flags & h->manner.features;
	host_say(h, &m, wire_version_response_size(h->version));
}

static void offer(struct host *h)
{
	struct wire_message_header end = { .type = WIRE_ALL_OFFERS_DELIVERED };

	host_say_offer(h, HOSTS_CHANNEL);
	host_say(h, &end, sizeof(end));
}

/* Created once all of its page numbers have come. */
static void take_words(struct host *h, const uint8_t *bytes, size_t size)
{
	struct wire_gpadl_created m = { .header.type = WIRE_GPADL_CREATED,
		                        .channel_id = h->gpadl.channel_id,
		                        .gpadl = h->gpadl.gpadl };
	uint32_t words = (uint32_t)(size / sizeof(uint64_t));

	if (!h->words_left)
		return; /* of one that a trick has answered */
	if (words > h->words_left)
		words = h->words_left;
	if (h->words <= PAGES)
		memcpy(h->range + h->words - h->words_left, bytes, words * sizeof(uint64_t));
	h->words_left -= words;
	if (h->words_left)
		return;
	if (h->open && h->words <= PAGES && h->manner.device && h->manner.device->shared)
		h->manner.device->shared(h, h->manner.device->context, h->range + 1, h->words - 1);
	host_say(h, &m, sizeof(m));
}

static void take_gpadl(struct host *h, const union wire_message *m, size_t size)
{
	h->gpadl = m->gpadl_header;
	h->words = h->words_left = m->gpadl_header.range_bytes / sizeof(uint64_t);
	take_words(h, m->bytes + sizeof(m->gpadl_header), size - sizeof(m->gpadl_header));
}

static void answer_teardown(struct host *h, const struct wire_gpadl_teardown *teardown)
{
	struct wire_gpadl_torndown m = { .header.type = WIRE_GPADL_TORNDOWN,
		                         .gpadl = teardown->gpadl };

	host_say(h, &m, sizeof(m));
}

static void answer_open(struct host *h, const struct wire_open_channel *open)
{
	struct wire_open_channel_result m = { .header.type = WIRE_OPEN_CHANNEL_RESULT,
		                              .channel_id = open->channel_id,
		                              .open_id = open->open_id,
		                              .status = h->manner.open_status };

	if (h->manner.open_status == 0)
		start_serving(h, open);
	host_say(h, &m, sizeof(m));
	if (h->open && h->manner.device)
		h->manner.device->opened(h, h->manner.device->context);
}

static void answer_unload(struct host *h)
{
	struct wire_message_header m = { .type = WIRE_UNLOAD_COMPLETE };

	host_say(h, &m, sizeof(m));
}

static void answer(struct host *h, const union wire_message *m, size_t size)
{
	switch (m->header.type) {
	case WIRE_INITIATE_CONTACT:
		answer_contact(h, &m->initiate_contact);
		break;
	case WIRE_REQUEST_OFFERS:
		offer(h);
		break;
	case WIRE_GPADL_HEADER:
		take_gpadl(h, m, size);
		break;
	case WIRE_GPADL_BODY:
		take_words(h, m->bytes + sizeof(m->gpadl_body), size - sizeof(m->gpadl_body));
		break;
	case WIRE_GPADL_TEARDOWN:
		answer_teardown(h, &m->gpadl_teardown);
		break;
	case WIRE_OPEN_CHANNEL:
		answer_open(h, &m->open_channel);
		break;
	case WIRE_RELID_RELEASED:
		if (h->rescinded && m->channel.channel_id == HOSTS_CHANNEL)
			host_say_offer(h, HOSTS_CHANNEL);
		h->rescinded = h->rescinded && m->channel.channel_id != HOSTS_CHANNEL;
		break;
	case WIRE_UNLOAD:
		answer_unload(h);
		break;
	default:
		break;
	}
}

/* Before a trick: the guest has its memory back by what it said, or it will. */
static void let_go(struct host *h, uint32_t type)
{
	if (type == WIRE_CLOSE_CHANNEL || type == WIRE_UNLOAD || type == WIRE_INITIATE_CONTACT)
		stop_serving(h);
	if (type == WIRE_INITIATE_CONTACT)
		h->rescinded = false;
}

static void on_message(void *context, uint32_t id, const void *payload, size_t size)
{
	struct host *h = context;
	union wire_message m = { 0 };
	bool taken;

	memcpy(&m, payload, size);
	taken = !h->manner.takes || h->manner.takes(&m, size);
	pthread_mutex_lock(&h->lock);
	if (h->heard.count < HOSTS_HEARD)
		h->heard.types[h->heard.count++] = m.header.type;
	h->heard.untaken += !taken;
	h->heard.connection = id;
	let_go(h, m.header.type);
	if (taken && answers(h, m.header.type, &m))
		answer(h, &m, size);
	h->heard.version = h->version;
	pthread_mutex_unlock(&h->lock);
}

/* It reads nothing more; what of it is there is the library's, which lives on. */
static void on_presence(void *context, enum partition_presence what)
{
	struct host *h = context;

	pthread_mutex_lock(&h->lock);
	h->there = what == PARTITION_CAME;
	if (what == PARTITION_GONE)
		stop_serving(h);
	pthread_mutex_unlock(&h->lock);
}

static void on_writable(void *context)
{
}

struct host *host_open(const char *uri, const struct host_manner *manner)
{
	struct host *h;
	struct partition_settings settings = {
		.end = PARTITION_HOST,
		.upcalls = { .message = on_message,
		             .presence = on_presence,
		             .writable = on_writable },
		.message_id_max = WIRE_CONNECTION_MULTICLIENT,
	};
	char why[256];

	if (posix_memalign((void **)&h, 64, sizeof(*h)) != 0)
		return NULL;
	memset(h, 0, sizeof(*h));
	settings.context = h;
	h->manner = *manner;
	pthread_mutex_init(&h->lock, NULL);
	h->stop = eventfd(0, EFD_CLOEXEC);
	if (partition_open(uri, &settings, &h->partition, why, sizeof(why)) != 0 ||
	    partition_listen(h->partition, HOSTS_CONNECTION, &h->port) != 0 ||
	    pthread_create(&h->thread, NULL, serve, h) != 0)
		abort();
	return h;
}

static bool host_is_alone(struct host *h)
{
	bool there;

	pthread_mutex_lock(&h->lock);
	there = h->there;
	pthread_mutex_unlock(&h->lock);
	return !there;
}

void host_begin_anew(struct host *h, const struct host_manner *manner)
{
	for (int ms = 0; !host_is_alone(h); ms++) {
		if (ms == PERSONA_WAIT_MS)
			abort();
		usleep(1000);
	}
	pthread_mutex_lock(&h->lock);
	h->manner = *manner;
	memset(&h->heard, 0, sizeof(h->heard));
	h->honest = h->rescinded = h->deaf = false;
	h->tricked = h->version = h->words_left = 0;
	pthread_mutex_unlock(&h->lock);
}

void host_heard(struct host *h, struct host_heard *heard)
{
	pthread_mutex_lock(&h->lock);
	*heard = h->heard;
	pthread_mutex_unlock(&h->lock);
}

void host_close(struct host *h)
{
	eventfd_write(h->stop, 1);
	pthread_join(h->thread, NULL);
	partition_unlisten(h->port);
	partition_close(h->partition);
	stop_serving(h);
	close(h->stop);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
