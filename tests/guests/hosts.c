/* SPDX-License-Identifier: BSD-2-Clause */
#include "hosts.h"

#include "echo/echo.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHANNEL    7u
#define CONNECTION 0x2007u

struct host {
	struct partition *partition;
	struct host_manner manner;
	pthread_mutex_t lock;
	struct host_heard heard;
	/* of the partition's thread */
	uint32_t version;
	struct wire_gpadl_header gpadl; /* that is being described */
	uint32_t words_left;
};

static void say(struct host *h, const void *message, size_t size)
{
	struct partition_address to = { .sint = WIRE_SINT_DEFAULT };
	uint8_t bytes[WIRE_MESSAGE_MAX] = { 0 };

	memcpy(bytes, message, size);
	if (h->manner.padding)
		size = (size + h->manner.padding - 1) / h->manner.padding * h->manner.padding;
	while (partition_post(h->partition, to, bytes, size) == -EAGAIN)
		usleep(100);
}

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
	say(h, &m, wire_version_response_size(h->version));
}

static void offer(struct host *h)
{
	static const GUID type = ECHO_INTERFACE_TYPE, instance = { 0x01020304 };
	struct wire_offer_channel m = {
		.header.type = WIRE_OFFER_CHANNEL,
		.channel_id = CHANNEL,
		.monitor_id = h->manner.no_monitor,
		.dedicated_interrupt = 1,
		.connection_id = CONNECTION,
	};
	struct wire_message_header end = { .type = WIRE_ALL_OFFERS_DELIVERED };

	memcpy(m.interface_type, &type, sizeof(m.interface_type));
	memcpy(m.interface_instance, &instance, sizeof(m.interface_instance));
	say(h, &m, sizeof(m));
	say(h, &end, sizeof(end));
}

/* Created once all of its page numbers have come. */
static void take_words(struct host *h, size_t bytes)
{
	struct wire_gpadl_created m = { .header.type = WIRE_GPADL_CREATED,
		                        .channel_id = h->gpadl.channel_id,
		                        .gpadl = h->gpadl.gpadl };
	uint32_t words = (uint32_t)(bytes / sizeof(uint64_t));

	h->words_left -= words < h->words_left ? words : h->words_left;
	if (!h->words_left)
		say(h, &m, sizeof(m));
}

static void take_gpadl(struct host *h, const struct wire_gpadl_header *header, size_t size)
{
	h->gpadl = *header;
	h->words_left = header->range_bytes / sizeof(uint64_t);
	take_words(h, size - sizeof(*header));
}

static void answer_teardown(struct host *h, const struct wire_gpadl_teardown *teardown)
{
	struct wire_gpadl_torndown m = { .header.type = WIRE_GPADL_TORNDOWN,
		                         .gpadl = teardown->gpadl };

	say(h, &m, sizeof(m));
}

static void answer_open(struct host *h, const struct wire_open_channel *open)
{
	struct wire_open_channel_result m = { .header.type = WIRE_OPEN_CHANNEL_RESULT,
		                              .channel_id = open->channel_id,
		                              .open_id = open->open_id,
		                              .status = h->manner.open_status };

	say(h, &m, sizeof(m));
}

static void answer_unload(struct host *h)
{
	struct wire_message_header m = { .type = WIRE_UNLOAD_COMPLETE };

	say(h, &m, sizeof(m));
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
		take_gpadl(h, &m->gpadl_header, size);
		break;
	case WIRE_GPADL_BODY:
		take_words(h, size - sizeof(m->gpadl_body));
		break;
	case WIRE_GPADL_TEARDOWN:
		answer_teardown(h, &m->gpadl_teardown);
		break;
	case WIRE_OPEN_CHANNEL:
		answer_open(h, &m->open_channel);
		break;
	case WIRE_UNLOAD:
		answer_unload(h);
		break;
	default:
		break;
	}
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
	pthread_mutex_unlock(&h->lock);
	if (taken)
		answer(h, &m, size);
	pthread_mutex_lock(&h->lock);
	h->heard.version = h->version;
	pthread_mutex_unlock(&h->lock);
}

static void on_presence(void *context, enum partition_presence what)
{
}

struct host *host_open(const char *uri, const struct host_manner *manner)
{
	struct host *h = calloc(1, sizeof(*h));
	struct partition_settings settings = {
		.end = PARTITION_HOST,
		.upcalls = { .message = on_message, .presence = on_presence },
		.context = h,
		.message_id_max = WIRE_CONNECTION_MULTICLIENT,
	};
	char why[256];

	h->manner = *manner;
	pthread_mutex_init(&h->lock, NULL);
	if (partition_open(uri, &settings, &h->partition, why, sizeof(why)) == 0)
		return h;
	free(h);
	return NULL;
}

void host_heard(struct host *h, struct host_heard *heard)
{
	pthread_mutex_lock(&h->lock);
	*heard = h->heard;
	pthread_mutex_unlock(&h->lock);
}

void host_close(struct host *h)
{
	partition_close(h->partition);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
