/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A guest whose host answers late, or not at all, or what it must not. The host is played by the
 * test, on the partition below: it knows messages and nothing else.
 */

#include "../temporary.h"
#include "pair.h"

#include "bus/bus.h"
#include "kmcl/channel.h"
#include "kmcl/messages.h"
#include "partition/partition.h"
#include "ring/ring.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SOON_MS 300u /* when the guest gives up */
#define HEARD   64u
#define PAGES   64u

static struct {
	struct partition *partition;
	struct pair *pair;
	/* pair_lock() */
	union wire_message heard[HEARD]; /* what is not answered by itself */
	uint32_t first, count;
	uint32_t came, gone;
	bool deaf;                /* reads nothing more */
	bool silent;              /* says no goodbye */
	_Atomic(bool) describing; /* GPADLs are only counted, and answered when they are whole */
	struct {
		uint32_t gpadl, words, said; /* of the one that is being described */
		uint64_t last;               /* page */
		_Atomic(uint32_t) headers, whole, torn_down, notices;
		_Atomic(bool) wrong;
	} described;
	bool released[WIRE_CHANNEL_ID_MAX + 1];
	uint32_t released_count; /* ids that were at least once */
	uint64_t pages[PAGES];   /* of the rings */
	uint32_t ring_offset;
} host;

/* ---- what the host says ---- */

/* False: the guest is gone. It reads always, so this ends. */
static bool say(const void *message, size_t size)
{
	struct partition_address to = { .sint = WIRE_SINT_DEFAULT };
	int error;

	while ((error = partition_post(host.partition, to, message, size)) == -EAGAIN)
		usleep(100);
	return error == 0;
}

static bool say_offer(uint32_t channel_id)
{
	struct wire_offer_channel m = {
		.header.type = WIRE_OFFER_CHANNEL,
		.channel_id = channel_id,
		.dedicated_interrupt = 1,
		.connection_id = 0x2000 + channel_id,
	};

	memcpy(m.interface_type, &pair_type, sizeof(m.interface_type));
	memcpy(m.interface_instance, &pair_instance, sizeof(m.interface_instance));
	return say(&m, sizeof(m));
}

static bool say_rescind(uint32_t channel_id)
{
	struct wire_channel_message m = { .header.type = WIRE_RESCIND_CHANNEL_OFFER,
		                          .channel_id = channel_id };

	return say(&m, sizeof(m));
}

static void say_created(const union wire_message *header, uint32_t status)
{
	struct wire_gpadl_created m = { .header.type = WIRE_GPADL_CREATED,
		                        .channel_id = header->gpadl_header.channel_id,
		                        .gpadl = header->gpadl_header.gpadl,
		                        .status = status };

	say(&m, sizeof(m));
}

static void say_torndown(const union wire_message *teardown)
{
	struct wire_gpadl_torndown m = { .header.type = WIRE_GPADL_TORNDOWN,
		                         .gpadl = teardown->gpadl_teardown.gpadl };

	say(&m, sizeof(m));
}

static void say_opened(const union wire_message *open, uint32_t status)
{
	struct wire_open_channel_result m = { .header.type = WIRE_OPEN_CHANNEL_RESULT,
		                              .channel_id = open->open_channel.channel_id,
		                              .open_id = open->open_channel.open_id,
		                              .status = status };

	say(&m, sizeof(m));
}

static void say_modified(uint32_t status)
{
	struct wire_modify_channel_response m = { .header.type = WIRE_MODIFY_CHANNEL_RESPONSE,
		                                  .channel_id = 1,
		                                  .status = status };

	say(&m, sizeof(m));
}

static void say_header(uint32_t type)
{
	struct wire_message_header m = { .type = type };

	say(&m, sizeof(m));
}

static void say_version(void)
{
	struct wire_version_response m = { .header.type = WIRE_VERSION_RESPONSE,
		                           .version_supported = 1,
		                           .selected_version = WIRE_CONNECTION_MULTICLIENT };

	say(&m, WIRE_VERSION_RESPONSE_SIZE);
}

/* ---- what it hears ---- */

static void keep(const union wire_message *message)
{
	pair_lock();
	if (host.count < HEARD)
		host.heard[(host.first + host.count++) % HEARD] = *message;
	pair_unlock();
	pair_changed();
}

/* All pages are in a row. */
static void take_words(const union wire_message *m, size_t at, size_t size)
{
	for (; at < size; at += 8, host.described.said++) {
		uint64_t page;

		memcpy(&page, m->bytes + at, sizeof(page));
		if (host.described.said > 1 && page != host.described.last + 1)
			host.described.wrong = true;
		host.described.last = page;
	}
	if (host.described.said != host.described.words)
		return;
	host.described.whole++;
	say_created(&(union wire_message){ .gpadl_header = { .channel_id = 1,
	                                                     .gpadl = host.described.gpadl } },
	            0);
}

/* The rest is kept. */
static bool take_description(const union wire_message *m, size_t size)
{
	if (m->header.type == WIRE_GPADL_HEADER) {
		if (host.described.said != host.described.words)
			host.described.wrong = true;
		host.described.gpadl = m->gpadl_header.gpadl;
		host.described.words = m->gpadl_header.range_bytes / 8;
		host.described.said = 0;
		host.described.headers++;
		take_words(m, sizeof(m->gpadl_header), size);
	} else if (m->header.type == WIRE_GPADL_BODY) {
		if (m->gpadl_body.gpadl != host.described.gpadl)
			host.described.wrong = true;
		take_words(m, sizeof(m->gpadl_body), size);
	} else if (m->header.type == WIRE_GPADL_TEARDOWN) {
		say_torndown(m);
		host.described.torn_down++;
	} else {
		return false;
	}
	pair_changed();
	return true;
}

static void note_release(uint32_t id)
{
	pair_lock();
	if (id <= WIRE_CHANNEL_ID_MAX && !host.released[id]) {
		host.released[id] = true;
		host.released_count++;
	}
	pair_unlock();
}

static void hear_message(uint32_t id, const void *payload, size_t size)
{
	union wire_message m = { 0 };

	memcpy(&m, payload, size);
	if (id == MESSAGES_KMCL_CONNECTION) {
		host.described.notices++;
		return;
	}
	if (host.describing && take_description(&m, size))
		return;
	switch (m.header.type) {
	case WIRE_INITIATE_CONTACT:
		say_version();
		break;
	case WIRE_REQUEST_OFFERS:
		say_offer(1);
		say_header(WIRE_ALL_OFFERS_DELIVERED);
		break;
	case WIRE_UNLOAD:
		if (!host.silent)
			say_header(WIRE_UNLOAD_COMPLETE);
		break;
	case WIRE_RELID_RELEASED:
		note_release(m.channel.channel_id);
		keep(&m);
		break;
	default:
		keep(&m);
		break;
	}
}

static void on_message(void *context, uint32_t id, const void *payload, size_t size)
{
	hear_message(id, payload, size);
	pair_wait_begin();
	while (host.deaf)
		pair_wait_more();
	pair_wait_end();
}

static void on_writable(void *context)
{
}

static void on_presence(void *context, enum partition_presence what)
{
	pair_lock();
	if (what == PARTITION_CAME)
		host.came++;
	else
		host.gone++;
	pair_unlock();
	pair_changed();
}

/* The next message, which must be of that type. */
static union wire_message hear(uint32_t type)
{
	union wire_message m;

	pair_wait(host.count > 0);
	pair_lock();
	m = host.heard[host.first];
	host.first = (host.first + 1) % HEARD;
	host.count--;
	pair_unlock();
	if (m.header.type != type)
		fail_msg("%s was expected, and %s came", wire_message_name(type),
		         wire_message_name(m.header.type));
	return m;
}

static void hear_nothing_more(void)
{
	/* Whatever the guest says was said before this is answered. */
	partition_close(host.partition);
	host.partition = NULL;
	assert_int_equal(host.count, 0);
}

/* ---- both ---- */

static int setup(void **state)
{
	struct kmcl_guest_options guest = { .size = sizeof(guest),
		                            .version_max = KMCL_BUS_VERSION(5, 3) };
	struct partition_settings settings = {
		.end = PARTITION_HOST,
		.upcalls = { .message = on_message,
		             .writable = on_writable,
		             .presence = on_presence },
		.message_id_max = WIRE_CONNECTION_ID_MAX,
	};
	struct pair *pair = calloc(1, sizeof(*pair));
	static int serial;
	char why[200];

	memset(&host, 0, sizeof(host));
	host.pair = pair;
	guest_answer_timeout_ms = 10000;
	snprintf(pair->uri, sizeof(pair->uri), "%s:%s%skmcl-hostile-%d-%d", pair_scheme,
	         strcmp(pair_scheme, "unix") == 0 ? temporary_directory() : "",
	         strcmp(pair_scheme, "unix") == 0 ? "/" : "", (int)getpid(), serial++);
	assert_int_equal(partition_open(pair->uri, &settings, &host.partition, why, sizeof(why)),
	                 0);
	assert_int_equal(kmcl_guest_open_ex(pair->uri, &guest, &pair->bus), 0);
	pair_add_client(pair, &pair->client, &pair_instance);
	pair_logged_errors();
	*state = (void *)nt_pool_outstanding(NULL, 0, NULL);
	return 0;
}

static void be_deaf(bool deaf)
{
	pair_lock();
	host.deaf = deaf;
	pair_unlock();
	pair_changed();
}

static int teardown(void **state)
{
	be_deaf(false);
	pair_remove(&host.pair->client);
	if (host.pair->bus)
		kmcl_guest_close(host.pair->bus);
	if (host.partition)
		partition_close(host.partition);
	free(host.pair);
	return 0;
}

static void pool_is_back(void **state)
{
	for (int i = 0; i < 1000 && nt_pool_outstanding(NULL, 0, NULL) != (uint64_t)*state; i++)
		usleep(10000);
	assert_int_equal(nt_pool_outstanding(NULL, 0, NULL), (uint64_t)*state);
}

static void enable(void)
{
	assert_int_equal(VmbChannelEnable(host.pair->client.channel), STATUS_SUCCESS);
}

static void expect_failure(NTSTATUS status)
{
	pair_wait(pair_traced(&host.pair->client, "F"));
	assert_int_equal(host.pair->client.pnp_status, status);
}

#define HEADER_PAGES (WIRE_GPADL_HEADER_WORDS - 1u)

/* The page numbers that a GPADL of a header and a body names. */
static void keep_pages(const union wire_message *header, const union wire_message *body)
{
	memcpy(host.pages, header->bytes + sizeof(header->gpadl_header) + 8, HEADER_PAGES * 8);
	memcpy(host.pages + HEADER_PAGES, body->bytes + sizeof(body->gpadl_body),
	       WIRE_GPADL_BODY_WORDS * 8);
}

static void open_it(void)
{
	union wire_message m, body;

	enable();
	m = hear(WIRE_GPADL_HEADER);
	body = hear(WIRE_GPADL_BODY);
	keep_pages(&m, &body);
	say_created(&m, 0);
	m = hear(WIRE_OPEN_CHANNEL);
	host.ring_offset = m.open_channel.ring_offset;
	say_opened(&m, 0);
	pair_wait(pair_traced(&host.pair->client, "OSP"));
}

static void close_it(void)
{
	union wire_message m;
	pthread_t closer;

	assert_int_equal(pthread_create(&closer, NULL,
	                                (void *(*)(void *))(uintptr_t)VmbChannelDisable,
	                                host.pair->client.channel),
	                 0);
	hear(WIRE_CLOSE_CHANNEL);
	m = hear(WIRE_GPADL_TEARDOWN);
	say_torndown(&m);
	pthread_join(closer, NULL);
}

/* ---- answers that come late ---- */

static void an_open_answered_late(void **state)
{
	union wire_message gpadl, open;

	guest_answer_timeout_ms = SOON_MS;
	enable();
	gpadl = hear(WIRE_GPADL_HEADER);
	hear(WIRE_GPADL_BODY);
	say_created(&gpadl, 0);
	open = hear(WIRE_OPEN_CHANNEL);
	expect_failure(STATUS_IO_TIMEOUT);
	assert_true(nt_pool_outstanding(NULL, 0, NULL) > (uint64_t)*state); /* the host's yet */
	say_opened(&open, 0);
	hear(WIRE_CLOSE_CHANNEL);
	gpadl = hear(WIRE_GPADL_TEARDOWN);
	say_torndown(&gpadl);
	pool_is_back(state);
	/* And then it works. */
	guest_answer_timeout_ms = 10000;
	open_it();
	close_it();
	pool_is_back(state);
}

static void an_open_never_answered(void **state)
{
	union wire_message m;

	guest_answer_timeout_ms = SOON_MS;
	enable();
	m = hear(WIRE_GPADL_HEADER);
	hear(WIRE_GPADL_BODY);
	say_created(&m, 0);
	hear(WIRE_OPEN_CHANNEL);
	expect_failure(STATUS_IO_TIMEOUT);
	say_rescind(1);
	hear(WIRE_RELID_RELEASED);
	pool_is_back(state);
}

static void a_gpadl_created_late(void **state)
{
	union wire_message m;

	guest_answer_timeout_ms = SOON_MS;
	enable();
	m = hear(WIRE_GPADL_HEADER);
	hear(WIRE_GPADL_BODY);
	expect_failure(STATUS_IO_TIMEOUT);
	assert_true(nt_pool_outstanding(NULL, 0, NULL) > (uint64_t)*state);
	say_created(&m, 0);
	m = hear(WIRE_GPADL_TEARDOWN);
	say_torndown(&m);
	pool_is_back(state);
}

/* What was given up comes back when the host is gone, at the latest. */
static void never_answered_and_gone(void **state)
{
	guest_answer_timeout_ms = SOON_MS;
	enable();
	hear(WIRE_GPADL_HEADER);
	hear(WIRE_GPADL_BODY);
	expect_failure(STATUS_IO_TIMEOUT);
	partition_close(host.partition);
	host.partition = NULL;
	pool_is_back(state);
}

/* A driver's own GPADL that the host creates late is torn down, too. */
static void a_drivers_gpadl_created_late(void **state)
{
	void *buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, 4096, 'tset');
	union wire_message m;
	uint32_t gpadl;

	open_it();
	guest_answer_timeout_ms = SOON_MS;
	assert_int_equal(
		VmbChannelCreateGpadlFromBuffer(host.pair->client.channel, 0, buffer, 4096, &gpadl),
		STATUS_IO_TIMEOUT);
	guest_answer_timeout_ms = 10000;
	m = hear(WIRE_GPADL_HEADER);
	say_created(&m, 0);
	m = hear(WIRE_GPADL_TEARDOWN);
	say_torndown(&m);
	ExFreePool(buffer);
	close_it();
	pool_is_back(state);
}

/* Memory that a host never lets go of has a limit. */
static void lost_memory_is_bounded(void **state)
{
	struct pair_end *client = &host.pair->client;
	uint64_t most = 0;

	guest_answer_timeout_ms = 1;
	for (int i = 0; i < 100; i++) {
		uint64_t now;

		pair_lock();
		memset(client->trace, 0, sizeof(client->trace));
		pair_unlock();
		enable();
		pair_wait(pair_traced(client, "F"));
		now = nt_pool_outstanding(NULL, 0, NULL) - (uint64_t)*state;
		most = now > most ? now : most;
		pair_lock();
		host.count = 0;
		pair_unlock();
	}
	assert_int_equal(client->pnp_status, STATUS_INSUFFICIENT_RESOURCES);
	assert_true(most > 0 && most <= UINT64_C(65) * 36 * 4096);
}

/* ---- statuses ---- */

static const uint32_t refusals[] = { 0x1, 0x103, 0x40000000, 0x80000005, 0xc00000b5 };

#define REFUSALS (sizeof(refusals) / sizeof(refusals[0]))

static void an_open_refused_with(uint32_t status)
{
	struct pair_end *client = &host.pair->client;
	union wire_message m;

	pair_lock();
	memset(client->trace, 0, sizeof(client->trace));
	pair_unlock();
	enable();
	m = hear(WIRE_GPADL_HEADER);
	hear(WIRE_GPADL_BODY);
	say_created(&m, 0);
	m = hear(WIRE_OPEN_CHANNEL);
	say_opened(&m, status);
	m = hear(WIRE_GPADL_TEARDOWN); /* and no CLOSE before it */
	say_torndown(&m);
	pair_wait(pair_traced(client, "F"));
	assert_false(NT_SUCCESS(client->pnp_status));
	assert_int_not_equal(client->pnp_status, STATUS_IO_TIMEOUT);
}

static void opens_refused(void **state)
{
	for (size_t i = 0; i < REFUSALS; i++)
		an_open_refused_with(refusals[i]);
	pool_is_back(state);
}

static void gpadls_refused(void **state)
{
	struct pair_end *client = &host.pair->client;
	union wire_message m;

	for (size_t i = 0; i < REFUSALS; i++) {
		pair_lock();
		memset(client->trace, 0, sizeof(client->trace));
		pair_unlock();
		enable();
		m = hear(WIRE_GPADL_HEADER);
		hear(WIRE_GPADL_BODY);
		say_created(&m, refusals[i]);
		pair_wait(pair_traced(client, "F"));
		assert_false(NT_SUCCESS(client->pnp_status));
		assert_int_not_equal(client->pnp_status, STATUS_IO_TIMEOUT);
	}
	pool_is_back(state);
	hear_nothing_more(); /* no OPEN, and no TEARDOWN of what is not there */
}

/* ---- modify ---- */

static void a_modify_not_answered(void **state)
{
	VMBCHANNEL channel = host.pair->client.channel;

	open_it();
	guest_answer_timeout_ms = SOON_MS;
	assert_int_equal(kmcl_client_channel_set_target_vp(channel, 1), STATUS_IO_TIMEOUT);
	hear(WIRE_MODIFY_CHANNEL);
	assert_int_equal(kmcl_client_channel_set_target_vp(channel, 2), STATUS_IO_TIMEOUT);
	hear(WIRE_MODIFY_CHANNEL);
	guest_answer_timeout_ms = 10000;
	close_it();
}

static void *modify(void *status)
{
	*(NTSTATUS *)status = kmcl_client_channel_set_target_vp(host.pair->client.channel, 1);
	return NULL;
}

static void modifies_after_one_that_was_not_answered(void **state)
{
	VMBCHANNEL channel = host.pair->client.channel;
	NTSTATUS status[2] = { 1, 1 };
	pthread_t threads[2];

	open_it();
	guest_answer_timeout_ms = SOON_MS;
	assert_int_equal(kmcl_client_channel_set_target_vp(channel, 1), STATUS_IO_TIMEOUT);
	guest_answer_timeout_ms = 10000;
	hear(WIRE_MODIFY_CHANNEL);
	/* Two at once: one after the other. */
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, modify, &status[i]);
	hear(WIRE_MODIFY_CHANNEL);
	say_modified(0);
	hear(WIRE_MODIFY_CHANNEL);
	say_modified(0x103);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_true(NT_SUCCESS(status[0]) != NT_SUCCESS(status[1]));
	close_it();
}

/* ---- TL connect ---- */

struct tl {
	GUID endpoint, service;
	NTSTATUS status;
	pthread_t thread;
};

static void *tl_connect(void *context)
{
	struct tl *tl = context;

	tl->status = kmcl_guest_tl_connect(host.pair->bus, &tl->endpoint, &tl->service);
	return NULL;
}

static void tl_begin(struct tl *tl, uint32_t endpoint, uint32_t service)
{
	tl->endpoint = (GUID){ endpoint };
	tl->service = (GUID){ service };
	pthread_create(&tl->thread, NULL, tl_connect, tl);
	hear(WIRE_TL_CONNECT_REQUEST);
}

static NTSTATUS tl_end(struct tl *tl)
{
	pthread_join(tl->thread, NULL);
	return tl->status;
}

static void say_tl_result(uint32_t endpoint, uint32_t service, uint32_t status)
{
	struct wire_tl_connect_result m = { .header.type = WIRE_TL_CONNECT_RESULT,
		                            .status = status };
	GUID e = { endpoint }, s = { service };

	memcpy(m.endpoint_id, &e, sizeof(e));
	memcpy(m.service_id, &s, sizeof(s));
	say(&m, sizeof(m));
}

static void tl_results_are_for_one_pair(void **state)
{
	struct tl first, second, third;

	tl_begin(&first, 1, 1);
	tl_begin(&second, 1, 2);
	tl_begin(&third, 2, 1);
	say_tl_result(2, 2, 0xc0000022); /* nobody's */
	say_tl_result(0, 0, 0xc0000022);
	say_tl_result(2, 1, 0x103);
	assert_int_equal(tl_end(&third), STATUS_UNSUCCESSFUL);
	say_tl_result(1, 2, 0xc0000022);
	assert_int_equal(tl_end(&second), STATUS_ACCESS_DENIED);
	say_tl_result(1, 1, 0xc0000236);
	assert_int_equal(tl_end(&first), STATUS_CONNECTION_REFUSED);
	assert_int_equal(pair_logged_errors(), 2);
}

static void tl_result_of_a_host_that_goes(void **state)
{
	struct tl tl;

	tl_begin(&tl, 1, 1);
	partition_close(host.partition);
	host.partition = NULL;
	assert_int_equal(tl_end(&tl), STATUS_UNSUCCESSFUL);
}

/* ---- a host that reads nothing ---- */

#define ROUNDS  5u
#define FIRST   2u
#define FLOODED (FIRST + ROUNDS) /* the first channel of them; those before are for catch_up() */

/* The guest has heard all that was said. */
static void catch_up(uint32_t id)
{
	struct kmcl_bus_info info = { 0 };

	say_offer(id);
	for (int ms = 0; info.channels != 2 && ms < 30000; ms++) {
		usleep(1000);
		assert_int_equal(kmcl_guest_info(host.pair->bus, &info), STATUS_SUCCESS);
	}
	assert_int_equal(info.channels, 2);
	say_rescind(id);
}

static void expect_nothing_held(void)
{
	struct kmcl_bus_info info;

	assert_int_equal(kmcl_guest_info(host.pair->bus, &info), STATUS_SUCCESS);
	assert_int_equal(info.held_messages, 0);
}

/* Offers each and takes it back. What that has allocated. */
static size_t flood_with_rescinds(uint32_t round)
{
	size_t before = mallinfo2().uordblks; /* 0 under a sanitizer */

	for (uint32_t id = FLOODED; id <= WIRE_CHANNEL_ID_MAX; id++)
		assert_true(say_offer(id) && say_rescind(id));
	catch_up(FIRST + round);
	expect_nothing_held();
	return mallinfo2().uordblks - before;
}

/* What is to be said of a channel waits in the channel, and of those there are so many. */
static void releases_to_a_host_that_reads_nothing(void **state)
{
	be_deaf(true);
	flood_with_rescinds(0);
	flood_with_rescinds(1); /* those of which the release was on its way */
	for (uint32_t round = 2; round < ROUNDS; round++)
		assert_true((intptr_t)flood_with_rescinds(round) < 64 << 10);
	be_deaf(false);
	pair_wait(host.released_count == WIRE_CHANNEL_ID_MAX + 1 - FIRST);
	assert_int_equal(host.gone, 0); /* it is the same host still */
	pair_logged_errors();
	pair_lock();
	host.count = 0;
	pair_unlock();
	open_it();
	close_it();
}

/* More than the host's queue has room for: it stands still in the middle of one. */
static void descriptions_to_a_host_that_reads_nothing(void **state)
{
	const uint32_t size = 8000 * WIRE_PAGE_SIZE, rounds = 4;
	void *buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, size, 'tset');
	uint32_t gpadl;

	open_it();
	be_deaf(true);
	host.describing = true;
	guest_answer_timeout_ms = SOON_MS;
	for (uint32_t i = 0; i < rounds; i++)
		assert_int_equal(VmbChannelCreateGpadlFromBuffer(host.pair->client.channel,
		                                                 VMBUS_CHANNEL_GPADL_FLAG_READ_ONLY,
		                                                 buffer, size, &gpadl),
		                 STATUS_IO_TIMEOUT);
	expect_nothing_held();
	guest_answer_timeout_ms = 10000;
	be_deaf(false);
	/* This one is begun after all the others. */
	assert_int_equal(VmbChannelCreateGpadlFromBuffer(host.pair->client.channel,
	                                                 VMBUS_CHANNEL_GPADL_FLAG_READ_ONLY, buffer,
	                                                 WIRE_PAGE_SIZE, &gpadl),
	                 STATUS_SUCCESS);
	VmbChannelDeleteGpadl(host.pair->client.channel, gpadl);
	pair_wait(host.described.torn_down == host.described.headers);
	assert_false(host.described.wrong);
	assert_int_equal(host.described.whole, host.described.headers);
	assert_int_equal(host.described.notices, host.described.headers);
	/* Those of which it had not begun to hear it never does. */
	assert_in_range(host.described.headers, 2, rounds);
	host.describing = false;
	ExFreePool(buffer);
	close_it();
	pool_is_back(state);
}

/* The ring from the host to the guest, as the guest has described it. */
static void write_to_guest(struct ring_writer *ring, void **list, struct partition_pin *pin)
{
	struct ring_memory memory = { .pages = (uint8_t **)list };

	for (uint32_t i = 0; i < 16; i++)
		list[i] = partition_page(pin, host.pages[host.ring_offset + 1 + i]);
	memory.control = partition_page(pin, host.pages[host.ring_offset]);
	memory.size = 16 * WIRE_PAGE_SIZE;
	assert_int_equal(ring_writer_init(ring, &memory), RING_OK);
}

/* Requests, as many as go into the ring; how many. */
static uint32_t send_requests(struct ring_writer *ring)
{
	static const uint64_t payload[8];
	uint32_t count = 0;

	for (;;) {
		struct wire_packet packet = { .type = WIRE_PACKET_DATA_INBAND,
			                      .offset8 = 2,
			                      .flags = WIRE_PACKET_FLAG_COMPLETION_REQUESTED,
			                      .transaction_id = count };
		struct ring_span span = { payload, sizeof(payload) };

		if (ring_write(ring, packet, &span, 1) != RING_OK)
			break;
		count++;
	}
	ring_write_publish(ring);
	return count;
}

static void answers_to_a_host_that_reads_none(void **state)
{
	struct pair_end *client = &host.pair->client;
	struct partition_address flag = { .id = 1, .sint = WIRE_SINT_DEFAULT };
	struct kmcl_channel_info info;
	struct partition_link *link;
	struct partition_pin *pin;
	struct ring_writer ring;
	uint32_t requests = 0;
	union wire_message m;
	void *list[16];

	open_it();
	pin = partition_pin(host.partition);
	write_to_guest(&ring, list, pin);
	assert_int_equal(partition_connect(host.partition, flag, &link), 0);
	while (requests < 500000 && !pair_logged_errors()) {
		requests += send_requests(&ring);
		partition_signal(link);
	}
	assert_true(requests < 500000);
	hear(WIRE_CLOSE_CHANNEL);
	m = hear(WIRE_GPADL_TEARDOWN);
	say_torndown(&m);
	pair_wait(pair_traced(client, "C"));
	kmcl_channel_info(client->channel, &info);
	assert_int_equal(info.statistics.faults, 1);
	partition_disconnect(link);
	partition_unpin(pin);
	VmbChannelDisable(client->channel);
	pool_is_back(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(an_open_answered_late),
		TEST(an_open_never_answered),
		TEST(a_gpadl_created_late),
		TEST(never_answered_and_gone),
		TEST(a_drivers_gpadl_created_late),
		TEST(lost_memory_is_bounded),
		TEST(opens_refused),
		TEST(gpadls_refused),
		TEST(a_modify_not_answered),
		TEST(modifies_after_one_that_was_not_answered),
		TEST(tl_results_are_for_one_pair),
		TEST(tl_result_of_a_host_that_goes),
		TEST(releases_to_a_host_that_reads_nothing),
		TEST(descriptions_to_a_host_that_reads_nothing),
		TEST(answers_to_a_host_that_reads_none),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("hostile_host", tests, NULL, NULL);
}
