/* SPDX-License-Identifier: BSD-2-Clause */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void note(struct fixture *f, const char *format, ...)
{
	size_t space = sizeof(f->log) - f->length;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(f->log + f->length, space, format, args);
	va_end(args);
	assert_true(n >= 0 && (size_t)n + 1 < space);
	f->length += (size_t)n;
	f->log[f->length++] = '\n';
	f->log[f->length] = '\0';
}

void expect_(struct fixture *f, const char *lines, const char *file, int line)
{
	if (strcmp(f->log, lines) != 0) {
		print_error("%s:%d: expected\n%s----- came\n%s-----\n", file, line, lines, f->log);
		_fail(file, line);
	}
	forget(f);
}

void forget(struct fixture *f)
{
	f->length = 0;
	f->log[0] = '\0';
}

static void *count_allocate(void *context, size_t size)
{
	struct memory_count *count = context;
	void *memory;

	if (count->fail_in && --count->fail_in == 0)
		return NULL;
	memory = calloc(1, size);
	assert_non_null(memory);
	count->blocks++;
	count->bytes += size;
	return memory;
}

static void count_release(void *context, void *memory, size_t size)
{
	struct memory_count *count = context;

	assert_true(count->blocks > 0 && count->bytes >= size);
	count->blocks--;
	count->bytes -= size;
	memset(memory, 0xa5, size);
	free(memory);
}

static void note_fault(void *context, const struct bus_fault *fault)
{
	note(context, "fault %s: %s", fault->message, fault->what);
}

/* ---------------- a server ---------------- */

static void note_offer(struct fixture *f, const struct wire_offer_channel *m, size_t size)
{
	note(f, "> OFFER_CHANNEL %u '%c' conn=0x%x dedicated=%u monitor=%u/%u flags=0x%x size=%zu",
	     m->channel_id, m->interface_instance[0], size > 190 ? m->connection_id : 0,
	     size > 190 ? m->dedicated_interrupt : 0, m->monitor_allocated, m->monitor_id, m->flags,
	     size);
}

static void on_server_send(void *context, const void *bytes, size_t size, uint32_t vp, uint8_t sint)
{
	struct fixture *f = context;
	union wire_message m;

	assert_true(size <= WIRE_MESSAGE_MAX);
	memset(&m, 0, sizeof(m));
	memcpy(&m, bytes, size);
	switch (m.header.type) {
	case WIRE_VERSION_RESPONSE:
		note(f,
		     "> VERSION_RESPONSE %u state=%u value=0x%x features=0x%x size=%zu vp=%u "
		     "sint=%u",
		     m.version_response.version_supported, m.version_response.connection_state,
		     m.version_response.selected_version, m.version_response.feature_flags, size,
		     vp, sint);
		break;
	case WIRE_OFFER_CHANNEL:
		note_offer(f, &m.offer_channel, size);
		break;
	case WIRE_RESCIND_CHANNEL_OFFER:
		note(f, "> RESCIND %u", m.channel.channel_id);
		break;
	case WIRE_OPEN_CHANNEL_RESULT:
		note(f, "> OPEN_RESULT %u open=%u 0x%x", m.open_channel_result.channel_id,
		     m.open_channel_result.open_id, m.open_channel_result.status);
		break;
	case WIRE_GPADL_CREATED:
		note(f, "> CREATED %u gpadl=%u 0x%x", m.gpadl_created.channel_id,
		     m.gpadl_created.gpadl, m.gpadl_created.status);
		break;
	case WIRE_GPADL_TORNDOWN:
		note(f, "> TORNDOWN %u", m.gpadl_torndown.gpadl);
		break;
	case WIRE_MODIFY_CHANNEL_RESPONSE:
		note(f, "> MODIFY_RESPONSE %u 0x%x", m.modify_channel_response.channel_id,
		     m.modify_channel_response.status);
		break;
	case WIRE_MODIFY_CONNECTION_RESPONSE:
		note(f, "> MODIFY_CONNECTION_RESPONSE %u size=%zu",
		     m.modify_connection_response.connection_state, size);
		break;
	case WIRE_TL_CONNECT_RESULT:
		note(f, "> TL_RESULT %c %c 0x%x", m.tl_connect_result.endpoint_id[0],
		     m.tl_connect_result.service_id[0], m.tl_connect_result.status);
		break;
	default:
		note(f, "> %s size=%zu", wire_message_name(m.header.type), size);
		break;
	}
}

static void on_contact(void *context, const struct server_contact *contact)
{
	note(context,
	     "contact %u.%u features=0x%x vp=%u sint=%u vtl=%u int=0x%llx mon=0x%llx,0x%llx id=%u",
	     contact->version >> 16, contact->version & 0xffff, contact->feature_flags,
	     contact->message_vp, contact->message_sint, contact->vtl,
	     (unsigned long long)contact->interrupt_page,
	     (unsigned long long)contact->monitor_pages[0],
	     (unsigned long long)contact->monitor_pages[1], contact->client_id.bytes[0]);
}

static void on_disconnected(void *context)
{
	note(context, "disconnected");
}

static void on_open(void *context, void *owner, const struct server_open *open)
{
	note(context, "open %s open=%u gpadl=%u offset=%u vp=%u conn=0x%x flag=%u data=%u",
	     (const char *)owner, open->open_id, open->ring_gpadl, open->ring_offset,
	     open->target_vp, open->connection_id, open->event_flag, open->user_data[0]);
}

static void on_close(void *context, void *owner)
{
	note(context, "close %s", (const char *)owner);
}

static void on_modify(void *context, void *owner, uint32_t vp)
{
	note(context, "modify %s %u", (const char *)owner, vp);
}

static void on_gpadl(void *context, void *owner, uint32_t gpadl, const struct bus_gpa_range *ranges,
                     uint32_t count)
{
	char text[256] = "";
	size_t n = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t pages = wire_pages_spanned(ranges[i].byte_offset, ranges[i].byte_count);

		n += (size_t)snprintf(text + n, sizeof(text) - n, " %u@%u:%llu-%llu",
		                      ranges[i].byte_count, ranges[i].byte_offset,
		                      (unsigned long long)ranges[i].pfns[0],
		                      (unsigned long long)ranges[i].pfns[pages - 1]);
		assert_true(n < sizeof(text));
	}
	note(context, "gpadl %s %u%s", (const char *)owner, gpadl, text);
}

static void on_teardown(void *context, void *owner, uint32_t gpadl)
{
	note(context, "teardown %s %u", (const char *)owner, gpadl);
}

static void on_revoked(void *context, void *owner)
{
	note(context, "revoked %s", (const char *)owner);
}

static void on_tl_connect(void *context, const struct bus_guid *endpoint,
                          const struct bus_guid *service, const struct bus_guid *silo)
{
	note(context, "tl_connect %c %c %u", endpoint->bytes[0], service->bytes[0], silo->bytes[0]);
}

static void on_monitor_pages(void *context, const uint64_t pages[2])
{
	note(context, "monitor_pages 0x%llx 0x%llx", (unsigned long long)pages[0],
	     (unsigned long long)pages[1]);
}

static const struct server_ops server_ops = {
	.memory = { count_allocate, count_release },
	.send = on_server_send,
	.contact = on_contact,
	.disconnected = on_disconnected,
	.open = on_open,
	.close = on_close,
	.modify = on_modify,
	.gpadl = on_gpadl,
	.gpadl_teardown = on_teardown,
	.revoked = on_revoked,
	.tl_connect = on_tl_connect,
	.monitor_pages = on_monitor_pages,
	.fault = note_fault,
};

const struct server_ops *server_fixture_ops(void)
{
	return &server_ops;
}

static struct fixture *fixture_new(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	return f;
}

struct fixture *server_fixture(const struct server_limits *limits, uint32_t version_max)
{
	struct fixture *f = fixture_new();

	assert_int_equal(server_create(&server_ops, f, limits ? limits : &server_limits_default,
	                               version_max, &f->server),
	                 BUS_OK);
	return f;
}

struct fixture *server_fixture_plain(uint32_t version_max)
{
	struct server_ops ops = server_ops;
	struct fixture *f = fixture_new();

	ops.monitor_pages = NULL;
	assert_int_equal(server_create(&ops, f, &server_limits_default, version_max, &f->server),
	                 BUS_OK);
	return f;
}

void fixture_end(struct fixture *f)
{
	server_destroy(f->server);
	client_destroy(f->client);
	assert_int_equal(f->memory.blocks, 0);
	assert_int_equal(f->memory.bytes, 0);
	free(f);
}

/* Copied to a block of its own size, so that a sanitizer sees a read past it. */
static void server_hears(struct fixture *f, const void *message, size_t size)
{
	void *copy = malloc(size ? size : 1);

	assert_non_null(copy);
	memcpy(copy, message, size);
	server_message(f->server, copy, size);
	free(copy);
}

void guest_contact_with(struct fixture *f, const struct wire_initiate_contact *message, size_t size)
{
	server_hears(f, message, size);
}

void guest_contact(struct fixture *f, uint32_t version)
{
	struct wire_initiate_contact m = {
		.header.type = WIRE_INITIATE_CONTACT,
		.version = version,
		.monitor_page_to_guest = 0x1000,
		.monitor_page_to_host = 0x2000,
	};

	if (version < WIRE_VERSION_5_0)
		m.interrupt_page = 0x3000;
	else
		m.target_sint = 2;
	server_hears(f, &m, WIRE_INITIATE_CONTACT_SIZE_SHORT);
}

void guest_header_only(struct fixture *f, uint32_t type)
{
	struct wire_message_header m = { .type = type };

	server_hears(f, &m, sizeof(m));
}

void guest_channel_message(struct fixture *f, uint32_t type, uint32_t channel_id)
{
	struct wire_channel_message m = { .header.type = type, .channel_id = channel_id };

	server_hears(f, &m, sizeof(m));
}

void guest_open(struct fixture *f, uint32_t channel_id, uint32_t open_id, uint32_t gpadl)
{
	struct wire_open_channel m = {
		.header.type = WIRE_OPEN_CHANNEL,
		.channel_id = channel_id,
		.open_id = open_id,
		.ring_gpadl = gpadl,
		.target_vp = 3,
		.ring_offset = 4,
		.user_data = { 9 },
	};

	server_hears(f, &m, WIRE_OPEN_CHANNEL_SIZE_SHORT);
}

void guest_modify(struct fixture *f, uint32_t channel_id, uint32_t vp)
{
	struct wire_modify_channel m = {
		.header.type = WIRE_MODIFY_CHANNEL,
		.channel_id = channel_id,
		.target_vp = vp,
	};

	server_hears(f, &m, sizeof(m));
}

uint64_t range_word(uint32_t byte_count, uint32_t byte_offset)
{
	return (uint64_t)byte_offset << 32 | byte_count;
}

void guest_gpadl_header(struct fixture *f, uint32_t channel_id, uint32_t gpadl, uint16_t bytes,
                        uint16_t ranges, const uint64_t *words, uint32_t count)
{
	union wire_message m = {
		.gpadl_header = {
			.header.type = WIRE_GPADL_HEADER,
			.channel_id = channel_id,
			.gpadl = gpadl,
			.range_bytes = bytes,
			.range_count = ranges,
		},
	};

	assert_true(count <= WIRE_GPADL_HEADER_WORDS);
	if (count)
		memcpy(m.bytes + 20, words, count * 8);
	server_hears(f, &m, 20 + count * 8);
}

void guest_gpadl_body(struct fixture *f, uint32_t gpadl, const uint64_t *words, uint32_t count)
{
	union wire_message m = {
		.gpadl_body = { .header.type = WIRE_GPADL_BODY, .gpadl = gpadl },
	};

	assert_true(count <= WIRE_GPADL_BODY_WORDS);
	if (count)
		memcpy(m.bytes + 16, words, count * 8);
	server_hears(f, &m, 16 + count * 8);
}

void guest_gpadl(struct fixture *f, uint32_t channel_id, uint32_t gpadl, uint32_t pages)
{
	uint64_t words[WIRE_GPADL_WORDS_MAX];
	uint32_t total = pages + 1;
	uint32_t sent;

	assert_true(total <= WIRE_GPADL_WORDS_MAX);
	words[0] = range_word(pages * 4096, 0);
	for (uint32_t i = 0; i < pages; i++)
		words[i + 1] = 100 + i;
	sent = total < WIRE_GPADL_HEADER_WORDS ? total : WIRE_GPADL_HEADER_WORDS;
	guest_gpadl_header(f, channel_id, gpadl, (uint16_t)(total * 8), 1, words, sent);
	while (sent < total) {
		uint32_t more = total - sent;

		if (more > WIRE_GPADL_BODY_WORDS)
			more = WIRE_GPADL_BODY_WORDS;
		guest_gpadl_body(f, gpadl, words + sent, more);
		sent += more;
	}
}

void guest_teardown(struct fixture *f, uint32_t channel_id, uint32_t gpadl)
{
	struct wire_gpadl_teardown m = {
		.header.type = WIRE_GPADL_TEARDOWN,
		.channel_id = channel_id,
		.gpadl = gpadl,
	};

	server_hears(f, &m, sizeof(m));
}

void connect_at(struct fixture *f, uint32_t version)
{
	guest_contact(f, version);
	server_contact_done(f->server, true);
	assert_int_equal(server_version(f->server), version);
	guest_header_only(f, WIRE_REQUEST_OFFERS);
	forget(f);
}

struct bus_offer offer_named(const char *name)
{
	struct bus_offer o = { .dedicated_interrupt = true };

	memset(&o.type, 't', sizeof(o.type));
	memset(&o.instance, name[0], sizeof(o.instance));
	return o;
}

struct server_channel *offer(struct fixture *f, const char *name)
{
	struct bus_offer o = offer_named(name);
	struct server_channel *channel = NULL;
	char *owner;

	memcpy(&owner, &name, sizeof(owner));
	assert_int_equal(server_offer(f->server, &o, owner, &channel), 0);
	assert_non_null(channel);
	return channel;
}

struct server_channel *offer_with_gpadl(struct fixture *f, const char *name)
{
	struct server_channel *channel = offer(f, name);

	guest_gpadl(f, 1, 1, 8);
	server_gpadl_done(f->server, channel, 1, BUS_STATUS_SUCCESS);
	forget(f);
	return channel;
}

struct server_channel *offer_open(struct fixture *f, const char *name)
{
	struct server_channel *channel = offer_with_gpadl(f, name);

	guest_open(f, 1, 5, 1);
	server_open_done(f->server, channel, BUS_STATUS_SUCCESS);
	assert_string_equal(server_channel_state(channel), "open");
	forget(f);
	return channel;
}

/* ---------------- a client ---------------- */

static void note_contact(struct fixture *f, const struct wire_initiate_contact *m, size_t size,
                         uint32_t connection)
{
	if (m->version < WIRE_VERSION_5_0)
		note(f,
		     "< INITIATE_CONTACT %u.%u vp=%u int=0x%llx mon=0x%llx,0x%llx size=%zu to=%u",
		     m->version >> 16, m->version & 0xffff, m->target_vp,
		     (unsigned long long)m->interrupt_page,
		     (unsigned long long)m->monitor_page_to_guest,
		     (unsigned long long)m->monitor_page_to_host, size, connection);
	else
		note(f,
		     "< INITIATE_CONTACT %u.%u vp=%u sint=%u vtl=%u features=0x%x id=%u size=%zu "
		     "to=%u",
		     m->version >> 16, m->version & 0xffff, m->target_vp, m->target_sint,
		     m->target_vtl, m->feature_flags, size > 40 ? m->client_id[0] : 0, size,
		     connection);
}

static bool on_client_send(void *context, const void *bytes, size_t size, uint32_t connection)
{
	struct fixture *f = context;
	union wire_message m;

	assert_true(size <= WIRE_MESSAGE_MAX);
	memset(&m, 0, sizeof(m));
	memcpy(&m, bytes, size);
	switch (m.header.type) {
	case WIRE_INITIATE_CONTACT:
		note_contact(f, &m.initiate_contact, size, connection);
		break;
	case WIRE_OPEN_CHANNEL:
		note(f,
		     "< OPEN_CHANNEL %u open=%u gpadl=%u vp=%u offset=%u data=%u conn=0x%x flag=%u "
		     "size=%zu",
		     m.open_channel.channel_id, m.open_channel.open_id, m.open_channel.ring_gpadl,
		     m.open_channel.target_vp, m.open_channel.ring_offset,
		     m.open_channel.user_data[0], size > 148 ? m.open_channel.connection_id : 0,
		     size > 148 ? m.open_channel.event_flag : 0, size);
		break;
	case WIRE_CLOSE_CHANNEL:
	case WIRE_RELID_RELEASED:
		note(f, "< %s %u", wire_message_name(m.header.type), m.channel.channel_id);
		break;
	case WIRE_GPADL_HEADER:
		note(f, "< GPADL_HEADER %u gpadl=%u ranges=%u bytes=%u size=%zu",
		     m.gpadl_header.channel_id, m.gpadl_header.gpadl, m.gpadl_header.range_count,
		     m.gpadl_header.range_bytes, size);
		break;
	case WIRE_GPADL_BODY:
		note(f, "< GPADL_BODY gpadl=%u size=%zu", m.gpadl_body.gpadl, size);
		break;
	case WIRE_GPADL_TEARDOWN:
		note(f, "< GPADL_TEARDOWN %u gpadl=%u", m.gpadl_teardown.channel_id,
		     m.gpadl_teardown.gpadl);
		break;
	case WIRE_MODIFY_CHANNEL:
		note(f, "< MODIFY_CHANNEL %u vp=%u", m.modify_channel.channel_id,
		     m.modify_channel.target_vp);
		break;
	default:
		note(f, "< %s size=%zu to=%u", wire_message_name(m.header.type), size, connection);
		break;
	}
	return true;
}

static void on_connected(void *context, uint32_t version, uint32_t features)
{
	note(context, "connected %u.%u features=0x%x", version >> 16, version & 0xffff, features);
}

/* Of a channel: no two have the same. */
static void *owner_of(struct fixture *f, uint32_t channel_id)
{
	return f->log + channel_id;
}

static void on_offer(void *context, const struct bus_offer *o, void **owner)
{
	assert_null(*owner);
	*owner = owner_of(context, o->channel_id);
	note(context,
	     "offer %u '%c' conn=0x%x dedicated=%u monitor=%u/%u sub=%u mmio=%u+%u flags=0x%x",
	     o->channel_id, o->instance.bytes[0], o->connection_id, o->dedicated_interrupt,
	     o->monitor_allocated, o->monitor_id, o->subchannel_index, o->mmio_megabytes,
	     o->mmio_megabytes_optional, o->flags);
}

static void on_offers_delivered(void *context)
{
	note(context, "offers_delivered");
}

static void on_rescind(void *context, void *owner, uint32_t channel_id)
{
	assert_ptr_equal(owner, owner_of(context, channel_id));
	note(context, "rescind %u", channel_id);
}

static void on_opened(void *context, void *owner, uint32_t channel_id, uint32_t open_id,
                      uint32_t status)
{
	assert_ptr_equal(owner, owner_of(context, channel_id));
	note(context, "opened %u open=%u 0x%x", channel_id, open_id, status);
}

static void on_gpadl_created(void *context, void *owner, uint32_t channel_id, uint32_t gpadl,
                             uint32_t status)
{
	assert_ptr_equal(owner, owner_of(context, channel_id));
	note(context, "gpadl_created %u gpadl=%u 0x%x", channel_id, gpadl, status);
}

static void on_gpadl_torndown(void *context, void *owner, uint32_t channel_id, uint32_t gpadl)
{
	assert_ptr_equal(owner, owner_of(context, channel_id));
	note(context, "gpadl_torndown %u gpadl=%u", channel_id, gpadl);
}

static void on_modified(void *context, void *owner, uint32_t channel_id, uint32_t status)
{
	assert_ptr_equal(owner, owner_of(context, channel_id));
	note(context, "modified %u 0x%x", channel_id, status);
}

static void on_tl_result(void *context, const struct bus_guid *endpoint,
                         const struct bus_guid *service, uint32_t status)
{
	note(context, "tl_result %c %c 0x%x", endpoint->bytes[0], service->bytes[0], status);
}

static void on_unloaded(void *context)
{
	note(context, "unloaded");
}

static const struct client_ops client_ops = {
	.memory = { count_allocate, count_release },
	.send = on_client_send,
	.connected = on_connected,
	.offer = on_offer,
	.offers_delivered = on_offers_delivered,
	.rescind = on_rescind,
	.opened = on_opened,
	.gpadl_created = on_gpadl_created,
	.gpadl_torndown = on_gpadl_torndown,
	.modified = on_modified,
	.tl_result = on_tl_result,
	.unloaded = on_unloaded,
	.fault = note_fault,
};

const struct client_ops *client_fixture_ops(void)
{
	return &client_ops;
}

struct fixture *client_fixture(void)
{
	struct fixture *f = fixture_new();

	assert_int_equal(client_create(&client_ops, f, &f->client), BUS_OK);
	return f;
}

void host_message(struct fixture *f, const void *message, size_t size)
{
	void *copy = malloc(size ? size : 1);

	assert_non_null(copy);
	memcpy(copy, message, size);
	client_message(f->client, copy, size);
	free(copy);
}

void host_version(struct fixture *f, bool supported, uint32_t value)
{
	struct wire_version_response m = {
		.header.type = WIRE_VERSION_RESPONSE,
		.version_supported = supported,
		.selected_version = value,
	};

	host_message(f, &m, WIRE_VERSION_RESPONSE_SIZE);
}

void host_header_only(struct fixture *f, uint32_t type)
{
	struct wire_message_header m = { .type = type };

	host_message(f, &m, sizeof(m));
}

void host_channel_message(struct fixture *f, uint32_t type, uint32_t channel_id)
{
	struct wire_channel_message m = { .header.type = type, .channel_id = channel_id };

	host_message(f, &m, sizeof(m));
}

void host_offer(struct fixture *f, uint32_t channel_id)
{
	struct wire_offer_channel m = {
		.header.type = WIRE_OFFER_CHANNEL,
		.channel_id = channel_id,
		.dedicated_interrupt = 1,
		.connection_id = 0x2000 + channel_id,
	};

	memset(m.interface_type, 't', sizeof(m.interface_type));
	memset(m.interface_instance, 'A', sizeof(m.interface_instance));
	host_message(f, &m, sizeof(m));
}

void host_open_result(struct fixture *f, uint32_t channel_id, uint32_t open_id, uint32_t status)
{
	struct wire_open_channel_result m = {
		.header.type = WIRE_OPEN_CHANNEL_RESULT,
		.channel_id = channel_id,
		.open_id = open_id,
		.status = status,
	};

	host_message(f, &m, sizeof(m));
}

void host_gpadl_created(struct fixture *f, uint32_t channel_id, uint32_t gpadl, uint32_t status)
{
	struct wire_gpadl_created m = {
		.header.type = WIRE_GPADL_CREATED,
		.channel_id = channel_id,
		.gpadl = gpadl,
		.status = status,
	};

	host_message(f, &m, sizeof(m));
}

void host_gpadl_torndown(struct fixture *f, uint32_t gpadl)
{
	struct wire_gpadl_torndown m = { .header.type = WIRE_GPADL_TORNDOWN, .gpadl = gpadl };

	host_message(f, &m, sizeof(m));
}

void host_modify_response(struct fixture *f, uint32_t channel_id, uint32_t status)
{
	struct wire_modify_channel_response m = {
		.header.type = WIRE_MODIFY_CHANNEL_RESPONSE,
		.channel_id = channel_id,
		.status = status,
	};

	host_message(f, &m, sizeof(m));
}

void client_connect_at(struct fixture *f, uint32_t version)
{
	struct client_contact contact = { .version_max = version, .message_sint = 2 };

	assert_int_equal(client_connect(f->client, &contact), 0);
	host_version(f, true, version >= WIRE_VERSION_5_0 ? 0x44 : version);
	assert_int_equal(client_version(f->client), version);
	forget(f);
}

uint32_t client_gpadl_of(struct fixture *f, uint32_t channel_id, uint32_t pages)
{
	static const uint64_t pfns[WIRE_GPADL_WORDS_MAX];
	struct bus_gpa_range range = { pages * 4096, 0, pfns };
	uint32_t gpadl = 0;

	assert_int_equal(client_gpadl_create(f->client, channel_id, &range, 1, &gpadl), 0);
	host_gpadl_created(f, channel_id, gpadl, BUS_STATUS_SUCCESS);
	forget(f);
	return gpadl;
}
