/* SPDX-License-Identifier: BSD-2-Clause */

/* A guest that has its host complain as fast as it can, in every way there is: the log stays small,
 * says how much it left out, and has room for what the operator must know. The guest is the bare
 * partition: messages, memory and signals by hand. */

#include "../sanitized.h"
#include "pair.h"

#include "../temporary.h"

#include "partition/partition.h"
#include "wire/message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PAGE          4096u
#define TIMES         ROUNDS(400u)
#define LINES_MAX     17u         /* of one kind in ten seconds, with one that says how many more */
#define BYTES_PER_MIN (64u << 10) /* of one kind */
#define GPADL         0xe1e10u
#define READ_ONLY     0x6b6d63u /* the connection of read-only notices (docs/architecture.md) */

static struct {
	pthread_mutex_t lock;
	uint64_t lines, bytes;
} heard = { .lock = PTHREAD_MUTEX_INITIALIZER };

static char directory[80], uri[128];
static struct pair pair;

static struct {
	struct partition *partition;
	struct partition_ram ram;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool here;
	uint32_t counts[WIRE_MESSAGE_TYPES];
	struct wire_offer_channel offer;
	uint32_t status; /* of the last opening */
} guest = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void hear(void *context, enum kmcl_log_level level, const char *channel, const char *text)
{
	pthread_mutex_lock(&heard.lock);
	heard.lines++;
	heard.bytes += strlen(text) + 40; /* and what goes in front of it */
	pthread_mutex_unlock(&heard.lock);
}

/* ---- the guest ---- */

static void on_message(void *context, uint32_t id, const void *payload, size_t size)
{
	const struct wire_message_header *header = payload;
	const struct wire_open_channel_result *result = payload;

	pthread_mutex_lock(&guest.lock);
	if (header->type < WIRE_MESSAGE_TYPES)
		guest.counts[header->type]++;
	if (header->type == WIRE_OFFER_CHANNEL)
		memcpy(&guest.offer, payload, size);
	if (header->type == WIRE_OPEN_CHANNEL_RESULT)
		guest.status = result->status;
	pthread_cond_broadcast(&guest.changed);
	pthread_mutex_unlock(&guest.lock);
}

static void on_writable(void *context)
{
	pthread_mutex_lock(&guest.lock);
	pthread_cond_broadcast(&guest.changed);
	pthread_mutex_unlock(&guest.lock);
}

static void on_presence(void *context, enum partition_presence what)
{
	pthread_mutex_lock(&guest.lock);
	guest.here = what == PARTITION_CAME;
	pthread_cond_broadcast(&guest.changed);
	pthread_mutex_unlock(&guest.lock);
}

static void guest_wait(bool (*met)(uint32_t type, uint32_t count), uint32_t message, uint32_t count)
{
	struct timespec deadline;
	int error = 0;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += 30;
	pthread_mutex_lock(&guest.lock);
	while (!met(message, count) && !error)
		error = pthread_cond_timedwait(&guest.changed, &guest.lock, &deadline);
	pthread_mutex_unlock(&guest.lock);
	if (error)
		fail_msg("no message of type %u", message);
}

static bool is_here(uint32_t message, uint32_t count)
{
	return guest.here;
}

static bool has_come(uint32_t message, uint32_t count)
{
	return guest.counts[message] >= count;
}

static void post_to(uint32_t connection, const void *message, size_t size)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	int error;

	while ((error = partition_post(guest.partition,
	                               (struct partition_address){ .id = connection }, message,
	                               size)) == -EAGAIN)
		nanosleep(&moment, NULL);
	assert_int_equal(error, 0);
}

static void post(const void *message, size_t size)
{
	post_to(WIRE_CONNECTION_MULTICLIENT, message, size);
}

static void ask(const void *message, size_t size, uint32_t answer)
{
	uint32_t before;

	pthread_mutex_lock(&guest.lock);
	before = guest.counts[answer];
	pthread_mutex_unlock(&guest.lock);
	post(message, size);
	guest_wait(has_come, answer, before + 1);
}

static void contact(uint64_t monitor)
{
	const struct wire_initiate_contact message = {
		.header.type = WIRE_INITIATE_CONTACT,
		.version = WIRE_VERSION_5_3,
		.target_sint = WIRE_SINT_DEFAULT,
		.monitor_page_to_guest = monitor,
		.monitor_page_to_host = monitor,
	};

	ask(&message, WIRE_INITIATE_CONTACT_SIZE_SHORT, WIRE_VERSION_RESPONSE);
}

static void connect_bus(void)
{
	const struct wire_message_header request = { .type = WIRE_REQUEST_OFFERS };

	contact(0);
	ask(&request, sizeof(request), WIRE_ALL_OFFERS_DELIVERED);
	assert_int_equal(guest.offer.header.type, WIRE_OFFER_CHANNEL);
}

static void make_ram(void)
{
	guest.ram.size = 16 * PAGE;
	guest.ram.fd = memfd_create("kmcl-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(guest.ram.fd, (off_t)guest.ram.size), 0);
	guest.ram.base =
		mmap(NULL, guest.ram.size, PROT_READ | PROT_WRITE, MAP_SHARED, guest.ram.fd, 0);
	assert_true(guest.ram.base != MAP_FAILED);
}

static void guest_open(void)
{
	struct partition_settings settings = {
		.end = PARTITION_GUEST,
		.upcalls = { on_message, on_writable, on_presence, NULL },
	};
	char why[256];

	make_ram();
	settings.ram = guest.ram;
	assert_int_equal(partition_open(uri, &settings, &guest.partition, why, sizeof(why)), 0);
	guest_wait(is_here, 0, 0);
	connect_bus();
}

/* Pages 4 to 7: a ring of two pages for each direction. */
static void describe_rings(void)
{
	struct {
		struct wire_gpadl_header header;
		uint32_t byte_count, byte_offset;
		uint64_t pfns[4];
	} __attribute__((packed)) message = {
		.header = { .header.type = WIRE_GPADL_HEADER,
		            .channel_id = guest.offer.channel_id,
		            .gpadl = GPADL,
		            .range_bytes = 40,
		            .range_count = 1 },
		.byte_count = 4 * PAGE,
		.pfns = { 4, 5, 6, 7 },
	};

	ask(&message, sizeof(message), WIRE_GPADL_CREATED);
}

static uint32_t *ring(unsigned int page)
{
	return (uint32_t *)((char *)guest.ram.base + (4 + page) * PAGE);
}

static void open_channel(void)
{
	const struct wire_open_channel message = {
		.header.type = WIRE_OPEN_CHANNEL,
		.channel_id = guest.offer.channel_id,
		.ring_gpadl = GPADL,
		.ring_offset = 2,
		.target_vp = WIRE_VP_NO_INTERRUPT,
	};

	ask(&message, WIRE_OPEN_CHANNEL_SIZE_SHORT, WIRE_OPEN_CHANNEL_RESULT);
}

/* ---- what it does ---- */

static void read_only_notice_of_a_wrong_size(void)
{
	post_to(READ_ONLY, "x", 1);
}

static void bad_monitor_page(void)
{
	contact(1);
}

static void close_of_an_unknown_channel(void)
{
	const struct wire_channel_message message = { .header.type = WIRE_CLOSE_CHANNEL,
		                                      .channel_id = 77 };

	post(&message, sizeof(message));
}

static void malformed_ring(void)
{
	memset(ring(0), 0, 4 * PAGE);
	ring(0)[0] = 0x7fffffff;
	open_channel();
	assert_int_not_equal(guest.status, 0);
}

static void malformed_packet(void)
{
	const struct wire_channel_message message = { .header.type = WIRE_CLOSE_CHANNEL,
		                                      .channel_id = guest.offer.channel_id };
	struct partition_link *link;
	struct kmcl_channel_info info = { 0 };
	uint64_t faults;

	kmcl_channel_info(pair.server.channel, &info);
	faults = info.statistics.faults;
	memset(ring(0), 0, 4 * PAGE);
	memset(ring(1), 0xff, PAGE);
	open_channel();
	assert_int_equal(guest.status, 0);
	ring(0)[0] = 64;
	assert_int_equal(
		partition_connect(guest.partition,
	                          (struct partition_address){ .id = guest.offer.connection_id },
	                          &link),
		0);
	partition_signal(link);
	do {
		kmcl_channel_info(pair.server.channel, &info);
	} while (info.statistics.faults == faults);
	partition_disconnect(link);
	post(&message, sizeof(message));
}

static void visitor_that_is_none(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	char bytes[256];

	strcpy(address.sun_path, uri + strlen("unix:"));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(fd, "rubbish!", 8, MSG_NOSIGNAL), 8);
	while (recv(fd, bytes, sizeof(bytes), 0) > 0)
		;
	close(fd);
}

static void what_a_driver_says(void)
{
	kmcl_channel_log(pair.server.channel, KMCL_LOG_WARNING, "expected %d, got %d", 1, 2);
}

/* A host that has said nothing yet, and its guest. */
static void both_open(void)
{
	assert_int_equal(kmcl_host_open(uri, &pair.vmbus), STATUS_SUCCESS);
	pair_add_server(&pair, &pair.server, &pair_instance);
	assert_int_equal(VmbChannelEnable(pair.server.channel), STATUS_SUCCESS);
	VmbChannelStart(pair.server.channel);
	guest_open();
}

static void both_close(void)
{
	partition_close(guest.partition);
	munmap(guest.ram.base, guest.ram.size);
	close(guest.ram.fd);
	pair_remove(&pair.server);
	ZwClose(pair.vmbus);
	guest.here = false;
}

/* covers: kmcl_channel_log */
static void each_kind_is_limited(void **state)
{
	static const struct {
		const char *name;
		void (*once)(void);
	} inputs[] = {
		{ "read-only notice of a wrong size", read_only_notice_of_a_wrong_size },
		{ "contact with a bad monitor page", bad_monitor_page },
		{ "CLOSE of an unknown channel", close_of_an_unknown_channel },
		{ "open on a malformed ring", malformed_ring },
		{ "open, malformed packet, close", malformed_packet },
		{ "a visitor that is none", visitor_that_is_none },
		{ "a driver's complaint", what_a_driver_says },
	};

	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		uint64_t start = KeQueryInterruptTime(), lines, bytes, ms;

		both_open();
		pthread_mutex_lock(&heard.lock);
		heard.lines = heard.bytes = 0;
		pthread_mutex_unlock(&heard.lock);
		describe_rings();
		for (unsigned int n = 0; n < TIMES; n++)
			inputs[i].once();
		contact(0); /* the host has read what came before */
		ms = (KeQueryInterruptTime() - start) / 10000;
		pthread_mutex_lock(&heard.lock);
		lines = heard.lines;
		bytes = heard.bytes;
		pthread_mutex_unlock(&heard.lock);
		print_message("# %-34s %4u times in %5llu ms: %3llu lines, %5llu bytes\n",
		              inputs[i].name, TIMES, (unsigned long long)ms,
		              (unsigned long long)lines, (unsigned long long)bytes);
		/* Two kinds at most, and as many windows as it took. */
		assert_in_range(lines, 1, 2 * LINES_MAX * (ms / 10000 + 2));
		assert_in_range(bytes, 1, 2 * BYTES_PER_MIN * (ms / 60000 + 1));
		both_close();
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_is_limited),
	};
	int failed;

	pair_main(argc, argv);
	if (!mkdtemp(temporary_path(directory, sizeof(directory), "kmcl-test-XXXXXX")))
		return 1;
	snprintf(uri, sizeof(uri), "unix:%s/socket", directory);
	kmcl_log_set(hear, NULL, KMCL_LOG_WARNING);
	failed = cmocka_run_group_tests_name("log_flood", tests, NULL, NULL);
	rmdir(directory);
	return failed;
}
