/* SPDX-License-Identifier: BSD-2-Clause */

/* What the log says of channels: which one it is, which setting of the two ends' may differ, and
 * for what a call or a guest waits. */

#include "pair.h"

#include "kmcl/channel.h"

#include <stdio.h>
#include <stdlib.h>

#define LINES 32u

static struct {
	char channel[128], text[512];
} lines[LINES];
static uint32_t line_count; /* with the pair's lock */

static void hear(void *context, enum kmcl_log_level level, const char *channel, const char *text)
{
	pair_lock();
	if (level <= KMCL_LOG_WARNING && line_count < LINES) {
		snprintf(lines[line_count].channel, sizeof(lines[0].channel), "%s",
		         channel ? channel : "");
		snprintf(lines[line_count].text, sizeof(lines[0].text), "%s", text);
		line_count++;
	}
	pair_unlock();
	pair_changed();
}

/* Caller has the pair's lock. A line with `text` about `channel`, each NULL for any. */
static bool heard(const char *channel, const char *text)
{
	for (uint32_t i = 0; i < line_count; i++)
		if ((!channel || !strcmp(lines[i].channel, channel)) &&
		    (!text || strstr(lines[i].text, text)))
			return true;
	return false;
}

static bool not_heard(const char *channel, const char *text)
{
	bool yes;

	pair_lock();
	yes = heard(channel, text);
	pair_unlock();
	return !yes;
}

static int begin(void **state)
{
	kmcl_log_set(hear, NULL, KMCL_LOG_WARNING);
	channel_wait_notice_ms = 1000;
	channel_start_notice_ms = 10000;
	line_count = 0;
	*state = pair_create();
	return 0;
}

static int end(void **state)
{
	pair_destroy(*state);
	return 0;
}

#define TYPE     "{6b6d636c-7465-7374-0001-020304050607}"
#define INSTANCE "{6b6d636c-7465-7374-1011-121314151617}"

/* A server's end that has no name, and a driver that fails a packet. */
static void nameless_server(struct pair *pair, uint16_t subchannel)
{
	HANDLE kernel;

	VmbChannelCleanup(pair->server.channel);
	assert_int_equal(VmbChannelAllocate(NULL, TRUE, &pair->server.channel), 0);
	assert_int_equal(VmbConvertVmbusHandleToKernelHandle(pair->vmbus, &kernel), 0);
	assert_int_equal(VmbServerChannelInitSetVmbusHandle(pair->server.channel, kernel), 0);
	ZwClose(kernel);
	assert_int_equal(VmbServerChannelInitSetTargetInterfaceId(pair->server.channel, pair_type,
	                                                          pair_instance),
	                 0);
	assert_int_equal(kmcl_channel_init_set_subchannel(pair->server.channel, subchannel), 0);
}

/* covers: kmcl_channel_log, VmbServerChannelInitSetTargetInterfaceId */
static void a_channel_without_a_name_is_named_by_what_it_offers(void **state)
{
	struct pair *pair = *state;

	kmcl_channel_log(pair->server.channel, KMCL_LOG_WARNING, "one");
	pair_lock();
	assert_true(heard("test server", "one"));
	pair_unlock();
	nameless_server(pair, 0);
	kmcl_channel_log(pair->server.channel, KMCL_LOG_WARNING, "two");
	pair_lock();
	assert_true(heard(TYPE " " INSTANCE, "two"));
	pair_unlock();
	nameless_server(pair, 3);
	kmcl_channel_log(pair->server.channel, KMCL_LOG_WARNING, "three");
	pair_lock();
	assert_true(heard(TYPE " " INSTANCE ", subchannel 3", "three"));
	pair_unlock();
}

/* covers: VmbClientChannelInitSetTargetPnp */
static void and_a_client_that_takes_any_by_its_type(void **state)
{
	struct pair *pair = *state;
	VMBCHANNEL channel;

	assert_int_equal(VmbChannelAllocate(pair->bus, FALSE, &channel), 0);
	kmcl_channel_log(channel, KMCL_LOG_WARNING, "one");
	assert_int_equal(VmbClientChannelInitSetTargetPnp(channel, &pair_type, NULL, NULL), 0);
	kmcl_channel_log(channel, KMCL_LOG_WARNING, "two");
	pair_lock();
	assert_true(heard("a channel without a target", "one"));
	assert_true(heard(TYPE " of any instance", "two"));
	pair_unlock();
	VmbChannelCleanup(channel);
}

/* ---- settings that differ ---- */

/* The client sends that; the server does not take it, and says why. */
static void refused(struct pair *pair, uint32_t size, const char *words)
{
	static uint8_t data[8192];

	pair_open(pair);
	pair_send(&pair->client, data, size, VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION);
	pair_wait(heard("test server", words));
}

/* covers: VmbChannelInitSetMaximumPacketSize */
static void larger_packets(void **state)
{
	struct pair *pair = *state;

	assert_int_equal(VmbChannelInitSetMaximumPacketSize(pair->client.channel, 8192), 0);
	refused(pair, 5000,
	        "VmbChannelInitSetMaximumPacketSize is 4096 here: is it more at the guest?");
}

/* covers: VmbChannelInitSetFlags */
static void a_pipe_at_one_end(void **state)
{
	struct pair *pair = *state;

	assert_int_equal(
		VmbChannelInitSetFlags(pair->server.channel, VMBUS_CHANNEL_INIT_FLAG_IS_PIPE), 0);
	refused(pair, 64, "VMBUS_CHANNEL_INIT_FLAG_IS_PIPE is set here: is it not at the guest?");
}

static void more_external_data(struct pair *pair, size_t size, uint32_t mdls)
{
	uint8_t *memory = ExAllocatePool2(POOL_FLAG_NON_PAGED, size, 'tset');
	VMBPACKET packet = VmbPacketAllocate(pair->client.channel);
	PMDL chain = NULL;
	char byte = 0;

	for (uint32_t i = 0; i < mdls; i++) {
		PMDL mdl = IoAllocateMdl(memory + i * (size / mdls), (ULONG)(size / mdls), FALSE,
		                         FALSE, NULL);

		MmBuildMdlForNonPagedPool(mdl);
		mdl->Next = chain;
		chain = mdl;
	}
	pair_open(pair);
	VmbPacketSetCompletionRoutine(packet, pair_completed);
	assert_int_equal(VmbPacketSend(packet, &byte, 1, chain,
	                               VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION),
	                 0);
	pair_wait(heard("test server", "VmbChannelInitSetMaximumExternalData is 1048576 bytes in "
	                               "32 MDLs here: is it more at the guest?"));
	VmbChannelDisable(pair->client.channel);
	pair_wait(pair->client.completions == 1);
	while (chain) {
		PMDL next = chain->Next;

		IoFreeMdl(chain);
		chain = next;
	}
	ExFreePoolWithTag(memory, 'tset');
}

/* covers: VmbChannelInitSetMaximumExternalData */
static void external_data_that_only_one_end_allows(void **state)
{
	struct pair *pair = *state;

	assert_int_equal(VmbChannelInitSetMaximumExternalData(pair->client.channel, 4u << 20, 32),
	                 0);
	more_external_data(pair, 2u << 20, 1);
}

/* covers: VmbChannelInitSetMaximumExternalData */
static void longer_chains(void **state)
{
	struct pair *pair = *state;

	assert_int_equal(VmbChannelInitSetMaximumExternalData(pair->client.channel, 1u << 20, 64),
	                 0);
	more_external_data(pair, 64 * 4096, 64);
}

/* ---- what is waited for ---- */

/* covers: VmbChannelEnable, VmbChannelStart */
static void enabled_and_never_started(void **state)
{
	struct pair *pair = *state;
	uint64_t word = 1;

	channel_start_notice_ms = 50;
	assert_int_equal(VmbChannelEnable(pair->server.channel), 0);
	assert_int_equal(VmbChannelEnable(pair->client.channel), 0);
	pair_wait(heard("test server", "VmbChannelStart was not called"));
	VmbChannelStart(pair->server.channel);
	assert_int_equal(pair_send(&pair->client, &word, sizeof(word),
	                           VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION),
	                 0);
	pair_wait(pair->client.completions == 1);
}

/* The other channel's time is over later than this one's. */
/* covers: VmbChannelStart */
static void one_that_is_started_is_not_said_to_be_missed(void **state)
{
	static const GUID other = { 0x6b6d636c, 0x7465, 0x7374, { 0x20 } };
	struct pair *pair = *state;
	struct pair_end server = { 0 }, client = { 0 };
	UNICODE_STRING name;

	channel_start_notice_ms = 300;
	pair_add_server(pair, &server, &other);
	RtlInitUnicodeString(&name, L"the other");
	assert_int_equal(VmbChannelInitSetFriendlyName(server.channel, &name), 0);
	pair_add_client(pair, &client, &other);
	assert_int_equal(VmbChannelEnable(pair->server.channel), 0);
	VmbChannelStart(pair->server.channel); /* before the guest opens it */
	assert_int_equal(VmbChannelEnable(pair->client.channel), 0);
	pair_wait(pair_traced(&pair->client, "OSP"));
	assert_int_equal(VmbChannelEnable(server.channel), 0);
	assert_int_equal(VmbChannelEnable(client.channel), 0);
	pair_wait(heard("the other", "VmbChannelStart was not called"));
	assert_true(not_heard("test server", NULL));
	pair_remove(&client);
	pair_remove(&server);
}

static VMBPACKETCOMPLETION kept[3];
static uint32_t kept_count;

static void keep(struct pair_end *at, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                 uint32_t flags)
{
	pair_lock();
	kept[kept_count++] = packet;
	pair_unlock();
	pair_changed();
}

static void *disable(void *channel)
{
	VmbChannelDisable(channel);
	return NULL;
}

static void *pause_it(void *channel)
{
	VmbChannelPause(channel);
	return NULL;
}

static void waits_for(struct pair *pair, void *(*call)(void *channel), uint32_t count,
                      const char *words)
{
	pthread_t thread;
	uint64_t word = 1;

	kept_count = 0;
	channel_wait_notice_ms = 50;
	pair->server.process = keep;
	pair_open(pair);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(pair_send(&pair->client, &word, sizeof(word),
		                           VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION),
		                 0);
	pair_wait(kept_count == count);
	assert_true(not_heard(NULL, NULL));
	assert_int_equal(pthread_create(&thread, NULL, call, pair->server.channel), 0);
	pair_wait(heard("test server", words));
	for (uint32_t i = 0; i < count; i++)
		VmbChannelPacketComplete(kept[i], NULL, 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(line_count, 1);
}

/* covers: VmbChannelDisable */
static void disable_says_for_how_many_packets_it_waits(void **state)
{
	waits_for(*state, disable, 3,
	          "VmbChannelDisable waits for the driver to complete 3 packets");
}

/* covers: VmbChannelPause */
static void and_pause_for_one(void **state)
{
	waits_for(*state, pause_it, 1, "VmbChannelPause waits for the driver to complete 1 packet");
}

static NTSTATUS hold(struct pair_end *at)
{
	pair_wait(heard("test server",
	                "VmbChannelDisable waits for EvtChannelPostStarted to return"));
	return STATUS_SUCCESS;
}

/* covers: VmbChannelDisable */
static void and_for_post_started(void **state)
{
	struct pair *pair = *state;

	channel_wait_notice_ms = 50;
	pair->server.on_post_started = hold;
	assert_int_equal(VmbChannelEnable(pair->server.channel), 0);
	VmbChannelStart(pair->server.channel);
	assert_int_equal(VmbChannelEnable(pair->client.channel), 0);
	pair_wait(pair_traced(&pair->server, "OS"));
	VmbChannelDisable(pair->server.channel);
	assert_int_equal(line_count, 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_channel_without_a_name_is_named_by_what_it_offers,
		                                begin, end),
		cmocka_unit_test_setup_teardown(and_a_client_that_takes_any_by_its_type, begin,
		                                end),
		cmocka_unit_test_setup_teardown(larger_packets, begin, end),
		cmocka_unit_test_setup_teardown(a_pipe_at_one_end, begin, end),
		cmocka_unit_test_setup_teardown(external_data_that_only_one_end_allows, begin, end),
		cmocka_unit_test_setup_teardown(longer_chains, begin, end),
		cmocka_unit_test_setup_teardown(enabled_and_never_started, begin, end),
		cmocka_unit_test_setup_teardown(one_that_is_started_is_not_said_to_be_missed, begin,
		                                end),
		cmocka_unit_test_setup_teardown(disable_says_for_how_many_packets_it_waits, begin,
		                                end),
		cmocka_unit_test_setup_teardown(and_pause_for_one, begin, end),
		cmocka_unit_test_setup_teardown(and_for_post_started, begin, end),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("log_words", tests, NULL, NULL);
}
