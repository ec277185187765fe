/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * An other end that floods and reads nothing, in every way there is, at each end: what that takes
 * of this one's memory is on its account, within the limits of the README's table, and comes back.
 * A new kind of input gets a line in one of the two tables below. What the partition itself takes
 * is in tests/partition/flood.c.
 */

#include "../sanitized.h"
#include "pair.h"

#include "../temporary.h"

#include "kmcl/channel.h"
#include "kmcl/messages.h"
#include "ring/ring.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE        4096u
#define TIMES       ROUNDS(4000u)
#define RING_PAGES  4094u /* of one that is as large as can be described, with its control page */
#define READ_ONLY   0x6b6d63u /* the connection of read-only notices (docs/architecture.md) */
#define RINGS       0xe1e10u
#define DATA        4u  /* pages of a ring's */
#define CLIENT_DATA 16u /* ... that the library makes */

/* The limits, so that they are met soon; and what else may be allocated beside. */
#define PACKETS_MAX  (2u << 20)
#define GPADLS_MAX   (1u << 20)
#define MESSAGES_MAX (64u << 10)
#define ANSWERS_MAX  (1u << 20)
#define ITEM         6000u      /* more than an incoming packet takes */
#define BESIDE       (3u << 19) /* 2047 channels, above all */
#define MORE         300u       /* packets that are under way when the limit is met */

static char directory[80], uri[128];
static struct pair pair;

/* The one that floods: the bare partition. */
static struct {
	struct partition *partition;
	struct partition_ram ram; /* a guest's */
	struct partition_link *link;
	struct ring_writer ring;
	/* pair_lock() */
	bool here, deaf;
	uint32_t counts[WIRE_MESSAGE_TYPES];
	struct wire_offer_channel offer;
	struct wire_open_channel open; /* to a host */
	uint32_t gpadl;                /* of the guest's rings */
	uint64_t pages[64];
	uint32_t page_count;
} other;

/* ---- the measure ---- */

static size_t allocated(void)
{
	return mallinfo2().uordblks; /* 0 under a sanitizer */
}

static struct kmcl_bus_info info_now(void)
{
	struct kmcl_bus_info info = { 0 };

	assert_int_equal(pair.vmbus ? kmcl_host_info(pair.vmbus, &info)
	                            : kmcl_guest_info(pair.bus, &info),
	                 STATUS_SUCCESS);
	assert_int_equal(info.held, info.held_packets + info.held_gpadls + info.held_messages);
	return info;
}

/* ---- the one that floods ---- */

static void note_gpadl(const union wire_message *m, size_t size)
{
	bool first = m->header.type == WIRE_GPADL_HEADER;
	size_t at = first ? sizeof(m->gpadl_header) + 8 : sizeof(m->gpadl_body);

	other.gpadl = first ? m->gpadl_header.gpadl : m->gpadl_body.gpadl;
	if (first)
		other.page_count = 0;
	for (; at + 8 <= size && other.page_count < 64; at += 8)
		memcpy(&other.pages[other.page_count++], m->bytes + at, 8);
}

static bool say_version(void);
static bool header_only(uint32_t type);

static void on_message(void *context, uint32_t id, const void *payload, size_t size)
{
	union wire_message m = { 0 };

	memcpy(&m, payload, size);
	pair_wait_begin();
	if (m.header.type < WIRE_MESSAGE_TYPES)
		other.counts[m.header.type]++;
	if (m.header.type == WIRE_OFFER_CHANNEL)
		other.offer = m.offer_channel;
	if (m.header.type == WIRE_OPEN_CHANNEL)
		other.open = m.open_channel;
	if (m.header.type == WIRE_GPADL_HEADER || m.header.type == WIRE_GPADL_BODY)
		note_gpadl(&m, size);
	pair_wait_end();
	pair_changed();
	if (m.header.type == WIRE_INITIATE_CONTACT)
		say_version();
	if (m.header.type == WIRE_REQUEST_OFFERS)
		header_only(WIRE_ALL_OFFERS_DELIVERED);
	pair_wait_begin();
	while (other.deaf && pair_wait_more())
		;
	pair_wait_end();
}

static void on_writable(void *context)
{
}

static void on_presence(void *context, enum partition_presence what)
{
	pair_lock();
	other.here = what == PARTITION_CAME;
	pair_unlock();
	pair_changed();
}

static void set_deaf(bool deaf)
{
	pair_lock();
	other.deaf = deaf;
	pair_unlock();
	pair_changed();
}

/* False: this end takes no more, which is as good as any bound. */
static bool post_to(uint32_t connection, const void *message, size_t size)
{
	const struct partition_address to = { .id = connection, .sint = WIRE_SINT_DEFAULT };
	int error = -EAGAIN;

	for (int ms = 0; ms < 300 && error == -EAGAIN; ms++) {
		error = partition_post(other.partition, to, message, size);
		if (error == -EAGAIN)
			usleep(1000);
	}
	return error == 0;
}

static bool post(const void *message, size_t size)
{
	return post_to(pair.vmbus ? WIRE_CONNECTION_MULTICLIENT : 0, message, size);
}

static void hear(uint32_t type, uint32_t count)
{
	pair_wait(other.counts[type] >= count);
}

static void open_other(enum partition_end end, struct partition_ram ram)
{
	struct partition_settings settings = {
		.end = end,
		.upcalls = { on_message, on_writable, on_presence, NULL },
		.message_id_max = end == PARTITION_HOST ? WIRE_CONNECTION_ID_MAX : 0,
		.ram = ram,
	};
	char why[256];

	memset(&other, 0, sizeof(other));
	other.ram = ram;
	assert_int_equal(partition_open(uri, &settings, &other.partition, why, sizeof(why)), 0);
}

/* The most there was. */
static uint64_t peak;

/* Packets that want an answer, until nobody takes any. */
static void flood_ring(void)
{
	static const uint64_t payload[8];
	uint32_t idle = 0;

	for (uint64_t id = 1; idle < 300;) {
		struct wire_packet packet = { .type = WIRE_PACKET_DATA_INBAND,
			                      .offset8 = 2,
			                      .flags = WIRE_PACKET_FLAG_COMPLETION_REQUESTED,
			                      .transaction_id = id };
		struct ring_span span = { payload, sizeof(payload) };

		if (ring_write(&other.ring, packet, &span, 1) == RING_OK) {
			id++;
			idle = 0;
			continue;
		}
		ring_write_publish(&other.ring);
		partition_signal(other.link);
		peak = max(peak, info_now().held_packets);
		usleep(1000);
		idle++;
	}
}

static void expect_bounds(const char *name, size_t before, uint64_t packets_max)
{
	struct kmcl_bus_info info = info_now();
	size_t now = allocated(), grown = now > before ? now - before : 0;

	print_message("# %-44s held: %7llu of packets, %7llu of GPADLs, %5llu of messages; "
	              "allocated: %zu\n",
	              name, (unsigned long long)max(peak, info.held_packets),
	              (unsigned long long)info.held_gpadls, (unsigned long long)info.held_messages,
	              grown);
	assert_in_range(max(peak, info.held_packets), 0, packets_max);
	assert_in_range(info.held_gpadls, 0, GPADLS_MAX);
	assert_in_range(info.held_messages, 0, MESSAGES_MAX);
	assert_in_range(grown, 0, info.held + BESIDE);
	assert_in_range(nt_map_pieces(), 0, nt_map_pieces_max() / 2);
	peak = 0;
}

static void complete_kept(void);

static void expect_nothing_held(void)
{
	struct kmcl_bus_info info = info_now();

	for (int ms = 0; info.held && ms < 30000; ms++) {
		usleep(1000);
		complete_kept(); /* what was on its way to the driver */
		info = info_now();
	}
	assert_int_equal(info.held, 0);
}

static int set_limits(void **state)
{
	account_max[ACCOUNT_PACKETS] = PACKETS_MAX;
	account_max[ACCOUNT_GPADLS] = GPADLS_MAX;
	account_max[ACCOUNT_MESSAGES] = MESSAGES_MAX;
	account_max[ACCOUNT_ANSWERS] = ANSWERS_MAX;
	return 0;
}

/* ---- a guest floods its host ---- */

static bool gpadl_header(uint32_t channel, uint32_t id, uint16_t bytes, uint16_t ranges)
{
	struct {
		struct wire_gpadl_header header;
		uint32_t byte_count, byte_offset;
		uint64_t pfns[25];
	} __attribute__((packed)) m = {
		.header = { .header.type = WIRE_GPADL_HEADER,
		            .channel_id = channel,
		            .gpadl = id,
		            .range_bytes = bytes,
		            .range_count = ranges },
		.byte_count = (bytes / 8u - ranges) * PAGE,
	};
	size_t size = sizeof(m.header) + bytes;

	return post(&m, size < sizeof(m) ? size : sizeof(m));
}

static bool gpadl_rest(uint32_t id, uint32_t bytes)
{
	struct {
		struct wire_gpadl_body body;
		uint64_t pfns[28];
	} __attribute__((packed)) m = { .body = { .header.type = WIRE_GPADL_BODY, .gpadl = id } };

	for (uint32_t done = 208; done < bytes; done += sizeof(m.pfns))
		if (!post(&m, sizeof(m)))
			return false;
	return true;
}

static bool header_only(uint32_t type)
{
	const struct wire_message_header m = { .type = type };

	return post(&m, sizeof(m));
}

static bool about_channel(uint32_t type, uint32_t channel)
{
	const struct wire_channel_message m = { .header.type = type, .channel_id = channel };

	return post(&m, sizeof(m));
}

static bool offers_asked_for(uint32_t i)
{
	return header_only(WIRE_REQUEST_OFFERS);
}

static bool contacts(uint32_t i)
{
	const struct wire_initiate_contact m = { .header.type = WIRE_INITIATE_CONTACT,
		                                 .version = i % 2 ? WIRE_VERSION_5_3 : i,
		                                 .target_sint = WIRE_SINT_DEFAULT };

	return post(&m, WIRE_INITIATE_CONTACT_SIZE_SHORT);
}

static bool gpadls(uint32_t i)
{
	return gpadl_header(other.offer.channel_id, i + 1, 200, 1);
}

static bool large_gpadls(uint32_t i)
{
	return gpadl_header(other.offer.channel_id, i + 1, 8190 * 8, 1) &&
	       gpadl_rest(i + 1, 8190 * 8);
}

static bool gpadls_half_described(uint32_t i)
{
	return gpadl_header(other.offer.channel_id, i + 1, 8190 * 8, i % 2 ? 4095 : 1);
}

static bool gpadls_of_no_channel(uint32_t i)
{
	return gpadl_header(77, i + 1, 200, 1);
}

static bool gpadls_and_teardowns(uint32_t i)
{
	const struct wire_gpadl_teardown m = { .header.type = WIRE_GPADL_TEARDOWN,
		                               .channel_id = other.offer.channel_id,
		                               .gpadl = i + 1 };

	return gpadls(i) && post(&m, sizeof(m));
}

static bool openings_refused(uint32_t i)
{
	const struct wire_open_channel m = { .header.type = WIRE_OPEN_CHANNEL,
		                             .channel_id = i % 2 ? other.offer.channel_id : 77,
		                             .open_id = i,
		                             .ring_gpadl = 99 };

	return post(&m, WIRE_OPEN_CHANNEL_SIZE_SHORT);
}

static bool closes_of_no_channel(uint32_t i)
{
	return about_channel(i % 2 ? WIRE_CLOSE_CHANNEL : WIRE_RELID_RELEASED, 77);
}

static bool unloads(uint32_t i)
{
	return i % 2 ? contacts(1) : header_only(WIRE_UNLOAD);
}

static bool tl_connects(uint32_t i)
{
	struct wire_tl_connect_request m = { .header.type = WIRE_TL_CONNECT_REQUEST };

	memcpy(m.endpoint_id, &i, sizeof(i));
	return post(&m, sizeof(m));
}

static bool read_only_notices(uint32_t i)
{
	const struct message_read_only m = { i, i };

	return post_to(READ_ONLY, &m, sizeof(m));
}

static bool garbage(uint32_t i)
{
	uint8_t bytes[WIRE_MESSAGE_MAX];

	for (size_t n = 0; n < sizeof(bytes); n++)
		bytes[n] = (uint8_t)rand();
	bytes[0] = (uint8_t)(i % WIRE_MESSAGE_TYPES);
	bytes[1] = bytes[2] = bytes[3] = 0;
	return post(bytes, (size_t)rand() % sizeof(bytes));
}

/* Not the guest's words but the host's own, which nobody reads. */
static bool offers_by_the_service(uint32_t i)
{
	static struct pair_end more;
	const GUID instance = { .Data1 = i + 1 };

	if (i == 1500)
		return false;
	memset(&more, 0, sizeof(more));
	pair_add_server(&pair, &more, &instance);
	assert_int_equal(VmbChannelEnable(more.channel), STATUS_SUCCESS);
	pair_remove(&more);
	return true;
}

static void describe_and_open(void)
{
	struct wire_open_channel open = {
		.header.type = WIRE_OPEN_CHANNEL,
		.channel_id = other.offer.channel_id,
		.ring_gpadl = RINGS,
		.ring_offset = 1 + DATA,
		.target_vp = WIRE_VP_NO_INTERRUPT,
	};
	struct {
		struct wire_gpadl_header header;
		uint32_t byte_count, byte_offset;
		uint64_t pfns[2 * (1 + DATA)];
	} __attribute__((packed)) m = {
		.header = { .header.type = WIRE_GPADL_HEADER,
		            .channel_id = other.offer.channel_id,
		            .gpadl = RINGS,
		            .range_bytes = 8 + sizeof(m.pfns),
		            .range_count = 1 },
		.byte_count = 2 * (1 + DATA) * PAGE,
	};
	struct ring_memory memory = { .control = other.ram.base,
		                      .data = (uint8_t *)other.ram.base + PAGE,
		                      .size = DATA * PAGE };
	static uint8_t *pages[DATA];

	for (uint32_t i = 0; i < 2 * (1 + DATA); i++)
		m.pfns[i] = i;
	for (uint32_t i = 0; i < DATA; i++)
		pages[i] = (uint8_t *)other.ram.base + (1 + i) * PAGE;
	memory.data = NULL; /* it is mapped once */
	memory.pages = pages;
	assert_true(post(&m, sizeof(m)));
	hear(WIRE_GPADL_CREATED, 1);
	assert_true(post(&open, WIRE_OPEN_CHANNEL_SIZE_SHORT));
	hear(WIRE_OPEN_CHANNEL_RESULT, 1);
	assert_int_equal(ring_writer_init(&other.ring, &memory), RING_OK);
	assert_int_equal(
		partition_connect(other.partition,
	                          (struct partition_address){ .id = other.offer.connection_id },
	                          &other.link),
		0);
}

static bool answers_not_read(uint32_t i)
{
	set_deaf(false);
	describe_and_open();
	set_deaf(true);
	flood_ring();
	return false;
}

/* Two rings whose pages are in no row, so that each takes a mapping, and all but the control pages
 * another one. */
static bool describe_scattered(uint32_t channel)
{
	struct {
		struct wire_gpadl_header header;
		uint32_t byte_count, byte_offset;
		uint64_t pfns[25];
	} __attribute__((packed)) first = {
		.header = { .header.type = WIRE_GPADL_HEADER,
		            .channel_id = channel,
		            .gpadl = RINGS + channel,
		            .range_bytes = 8 + 2 * RING_PAGES * 8,
		            .range_count = 1 },
		.byte_count = 2 * RING_PAGES * PAGE,
	};
	struct {
		struct wire_gpadl_body body;
		uint64_t pfns[28];
	} __attribute__((packed))
	more = { .body = { .header.type = WIRE_GPADL_BODY, .gpadl = RINGS + channel } };
	uint32_t page = 0;

	while (page < 25)
		first.pfns[page] = 2 * page % 16, page++;
	if (!post(&first, sizeof(first)))
		return false;
	while (page < 2 * RING_PAGES) {
		uint32_t n = 0;

		for (; n < 28 && page < 2 * RING_PAGES; n++, page++)
			more.pfns[n] = 2 * page % 16;
		if (!post(&more, sizeof(more.body) + n * 8))
			return false;
	}
	return true;
}

static struct pair_end with_rings[12];

static bool rings_of_scattered_pages(uint32_t i)
{
	const GUID instance = { .Data1 = i + 1 };
	struct wire_open_channel open = {
		.header.type = WIRE_OPEN_CHANNEL,
		.ring_offset = RING_PAGES,
		.target_vp = WIRE_VP_NO_INTERRUPT,
	};
	bool deaf = other.deaf;

	if (i == sizeof(with_rings) / sizeof(with_rings[0]))
		return false;
	set_deaf(false);
	pair_add_server(&pair, &with_rings[i], &instance);
	assert_int_equal(VmbChannelEnable(with_rings[i].channel), STATUS_SUCCESS);
	VmbChannelStart(with_rings[i].channel);
	hear(WIRE_OFFER_CHANNEL, i + 2);
	open.channel_id = other.offer.channel_id;
	open.ring_gpadl = RINGS + open.channel_id;
	assert_true(describe_scattered(open.channel_id));
	hear(WIRE_GPADL_CREATED, i + 1);
	assert_true(post(&open, WIRE_OPEN_CHANNEL_SIZE_SHORT));
	hear(WIRE_OPEN_CHANNEL_RESULT, i + 1);
	set_deaf(deaf);
	return true;
}

static void close_rings(void)
{
	for (size_t i = 0; i < sizeof(with_rings) / sizeof(with_rings[0]); i++)
		if (with_rings[i].channel)
			pair_remove(&with_rings[i]);
	memset(with_rings, 0, sizeof(with_rings));
}

static VMBPACKETCOMPLETION kept[100000];
static uint32_t kept_count;

static void keep(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                 uint32_t flags)
{
	pair_lock();
	assert_true(kept_count < sizeof(kept) / sizeof(kept[0]));
	kept[kept_count++] = packet;
	pair_unlock();
}

static void complete_kept(void)
{
	uint32_t count;

	pair_lock();
	count = kept_count;
	kept_count = 0;
	pair_unlock();
	for (uint32_t i = 0; i < count; i++)
		VmbChannelPacketComplete(kept[i], NULL, 0);
}

static bool packets_that_the_driver_keeps(uint32_t i)
{
	pair.server.process = keep;
	return answers_not_read(i);
}

static struct partition_ram make_ram(void)
{
	struct partition_ram ram = { .size = 16 * PAGE };

	ram.fd = memfd_create("kmcl-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(ram.fd, (off_t)ram.size), 0);
	ram.base = mmap(NULL, ram.size, PROT_READ | PROT_WRITE, MAP_SHARED, ram.fd, 0);
	assert_true(ram.base != MAP_FAILED);
	return ram;
}

static void guest_comes(void)
{
	open_other(PARTITION_GUEST, make_ram());
	pair_wait(other.here);
	assert_true(contacts(1));
	hear(WIRE_VERSION_RESPONSE, 1);
	assert_true(offers_asked_for(0));
	hear(WIRE_ALL_OFFERS_DELIVERED, 1);
}

static void guest_goes(void)
{
	set_deaf(false);
	if (other.link)
		partition_disconnect(other.link);
	partition_close(other.partition);
	munmap(other.ram.base, other.ram.size);
	close(other.ram.fd);
	pair.server.process = NULL;
	complete_kept();
}

/* covers: kmcl_host_info, VmbChannelPacketComplete, EVT_VMB_CHANNEL_PROCESS_PACKET */
static void a_host_bears_any_guest(void **state)
{
	static const struct {
		const char *name;
		bool (*once)(uint32_t i);
	} inputs[] = {
		{ "offers asked for", offers_asked_for },
		{ "contacts", contacts },
		{ "GPADLs", gpadls },
		{ "GPADLs of 8189 pages", large_gpadls },
		{ "GPADLs half described", gpadls_half_described },
		{ "GPADLs of no channel", gpadls_of_no_channel },
		{ "GPADLs created and torn down", gpadls_and_teardowns },
		{ "openings that are refused", openings_refused },
		{ "closes and releases of no channel", closes_of_no_channel },
		{ "unloads", unloads },
		{ "TL connects", tl_connects },
		{ "read-only notices", read_only_notices },
		{ "garbage", garbage },
		{ "offers and revocations by the service", offers_by_the_service },
		{ "rings of scattered pages", rings_of_scattered_pages },
		{ "packets whose answers are not read", answers_not_read },
		{ "packets that the driver keeps", packets_that_the_driver_keeps },
	};

	for (int deaf = 0; deaf < 2; deaf++)
		for (size_t n = 0; n < sizeof(inputs) / sizeof(inputs[0]); n++) {
			size_t before;

			memset(&pair, 0, sizeof(pair));
			assert_int_equal(kmcl_host_open(uri, &pair.vmbus), STATUS_SUCCESS);
			pair_add_server(&pair, &pair.server, &pair_instance);
			assert_int_equal(VmbChannelEnable(pair.server.channel), STATUS_SUCCESS);
			VmbChannelStart(pair.server.channel);
			guest_comes();
			before = allocated();
			set_deaf(deaf);
			for (uint32_t i = 0; i < TIMES && inputs[n].once(i); i++)
				;
			expect_bounds(inputs[n].name, before,
			              PACKETS_MAX + (INCOMING_ITEMS_LEAST + 1) * ITEM);
			guest_goes();
			close_rings();
			expect_nothing_held();
			assert_int_equal(nt_map_pieces(), 0);
			guest_comes(); /* it serves the next */
			guest_goes();
			pair_remove(&pair.server);
			ZwClose(pair.vmbus);
		}
}

/* ---- a host floods its guest ---- */

static bool offer_of(uint32_t channel)
{
	struct wire_offer_channel m = { .header.type = WIRE_OFFER_CHANNEL,
		                        .channel_id = channel,
		                        .dedicated_interrupt = 1,
		                        .connection_id = 0x2000 + channel };

	memcpy(m.interface_type, &pair_type, sizeof(m.interface_type));
	memcpy(m.interface_instance, &pair_instance, sizeof(m.interface_instance));
	m.interface_instance[0] ^= (uint8_t)(channel - 1); /* that of channel 1 is wanted */
	m.interface_instance[1] ^= (uint8_t)((channel - 1) >> 8);
	return post(&m, sizeof(m));
}

static bool offers(uint32_t i)
{
	return offer_of(i + 2);
}

static bool offers_and_rescinds(uint32_t i)
{
	return offer_of(2) && about_channel(WIRE_RESCIND_CHANNEL_OFFER, 2);
}

static bool rescinds_of_nothing(uint32_t i)
{
	return about_channel(WIRE_RESCIND_CHANNEL_OFFER, i + 2);
}

static bool open_results(uint32_t i)
{
	const struct wire_open_channel_result m = { .header.type = WIRE_OPEN_CHANNEL_RESULT,
		                                    .channel_id = i % 4,
		                                    .open_id = i };

	return post(&m, sizeof(m));
}

static bool gpadls_created(uint32_t i)
{
	const struct wire_gpadl_created m = { .header.type = WIRE_GPADL_CREATED,
		                              .channel_id = i % 4,
		                              .gpadl = i };

	return post(&m, sizeof(m));
}

static bool gpadls_torndown(uint32_t i)
{
	const struct wire_gpadl_torndown m = { .header.type = WIRE_GPADL_TORNDOWN, .gpadl = i };

	return post(&m, sizeof(m));
}

static bool say_version(void)
{
	const struct wire_version_response m = { .header.type = WIRE_VERSION_RESPONSE,
		                                 .version_supported = 1,
		                                 .selected_version = WIRE_CONNECTION_MULTICLIENT };

	return post(&m, WIRE_VERSION_RESPONSE_SIZE);
}

static bool version_responses(uint32_t i)
{
	return say_version();
}

static bool tl_results(uint32_t i)
{
	struct wire_tl_connect_result m = { .header.type = WIRE_TL_CONNECT_RESULT };

	memcpy(m.endpoint_id, &i, sizeof(i));
	return post(&m, sizeof(m));
}

static bool answer_gpadl(void)
{
	const struct wire_gpadl_created m = { .header.type = WIRE_GPADL_CREATED,
		                              .channel_id = 1,
		                              .gpadl = other.gpadl };

	return post(&m, sizeof(m));
}

static bool answer_open(void)
{
	const struct wire_open_channel_result m = { .header.type = WIRE_OPEN_CHANNEL_RESULT,
		                                    .channel_id = 1,
		                                    .open_id = other.open.open_id };

	return post(&m, sizeof(m));
}

/* The guest's incoming ring, in the pages that it named. */
static void find_ring(struct partition_pin *pin)
{
	static uint8_t *pages[CLIENT_DATA];
	uint32_t offset = other.open.ring_offset;
	struct ring_memory memory = { .control = partition_page(pin, other.pages[offset]),
		                      .pages = pages,
		                      .size = CLIENT_DATA * PAGE };

	for (uint32_t n = 0; n < CLIENT_DATA; n++)
		pages[n] = partition_page(pin, other.pages[offset + 1 + n]);
	assert_int_equal(ring_writer_init(&other.ring, &memory), RING_OK);
}

static bool requests_whose_answers_are_not_read(uint32_t i)
{
	const struct partition_address flag = { .id = 1, .sint = WIRE_SINT_DEFAULT };
	struct partition_pin *pin;

	set_deaf(false);
	assert_true(offer_of(1));
	pair_wait(other.page_count == 2 * (1 + CLIENT_DATA));
	assert_true(answer_gpadl());
	hear(WIRE_OPEN_CHANNEL, 1);
	assert_true(answer_open());
	pair_wait(pair_traced(&pair.client, "OSP"));
	set_deaf(true);
	pin = partition_pin(other.partition);
	find_ring(pin);
	assert_int_equal(partition_connect(other.partition, flag, &other.link), 0);
	flood_ring();
	partition_unpin(pin);
	return false;
}

static void both_come(void)
{
	const struct kmcl_guest_options options = { .size = sizeof(options),
		                                    .version_max = KMCL_BUS_VERSION(5, 3) };

	memset(&pair, 0, sizeof(pair));
	open_other(PARTITION_HOST, (struct partition_ram){ 0 });
	assert_int_equal(kmcl_guest_open_ex(uri, &options, &pair.bus), STATUS_SUCCESS);
	pair_add_client(&pair, &pair.client, &pair_instance);
	assert_int_equal(VmbChannelEnable(pair.client.channel), STATUS_SUCCESS);
}

static void host_goes(void)
{
	set_deaf(false);
	if (other.link)
		partition_disconnect(other.link);
	partition_close(other.partition);
}

/* covers: kmcl_guest_info, VmbChannelPacketComplete */
static void a_guest_bears_any_host(void **state)
{
	static const struct {
		const char *name;
		bool (*once)(uint32_t i);
	} inputs[] = {
		{ "offers", offers },
		{ "offers and rescinds", offers_and_rescinds },
		{ "rescinds of nothing", rescinds_of_nothing },
		{ "results of openings", open_results },
		{ "GPADLs created", gpadls_created },
		{ "GPADLs torn down", gpadls_torndown },
		{ "version responses", version_responses },
		{ "TL results", tl_results },
		{ "garbage", garbage },
		{ "requests whose answers are not read", requests_whose_answers_are_not_read },
	};

	guest_answer_timeout_ms = 300;
	for (int deaf = 0; deaf < 2; deaf++)
		for (size_t n = 0; n < sizeof(inputs) / sizeof(inputs[0]); n++) {
			size_t before;

			both_come();
			before = allocated();
			set_deaf(deaf);
			for (uint32_t i = 0; i < TIMES && inputs[n].once(i); i++)
				;
			expect_bounds(inputs[n].name, before, ANSWERS_MAX + ITEM * MORE);
			host_goes();
			VmbChannelDisable(pair.client.channel);
			expect_nothing_held();
			VmbChannelCleanup(pair.client.channel);
			kmcl_guest_close(pair.bus);
		}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_bears_any_guest),
		cmocka_unit_test(a_guest_bears_any_host),
	};
	int failed;

	pair_main(argc, argv);
	if (!mkdtemp(temporary_path(directory, sizeof(directory), "kmcl-test-XXXXXX")))
		return 1;
	snprintf(uri, sizeof(uri), "unix:%s/socket", directory);
	failed = cmocka_run_group_tests_name("flood", tests, set_limits, NULL);
	rmdir(directory);
	return failed;
}
