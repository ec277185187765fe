/* SPDX-License-Identifier: BSD-2-Clause */

/* What there is on a bus, as seen from either end; counters; iovecs; the log. */

#include "pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WAIT VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION

/* covers: kmcl_host_info, kmcl_guest_info */
static void the_bus(void **state)
{
	struct pair *pair = pair_create_versions(KMCL_BUS_VERSION(5, 2), 0);
	struct kmcl_bus_info host, guest;

	assert_int_equal(kmcl_host_info(NULL, &host), STATUS_INVALID_HANDLE);
	assert_int_equal(kmcl_guest_info(NULL, &guest), STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(kmcl_host_info(pair->vmbus, &host), STATUS_SUCCESS);
	assert_int_equal(kmcl_guest_info(pair->bus, &guest), STATUS_SUCCESS);
	assert_int_equal(host.version, KMCL_BUS_VERSION(5, 2));
	assert_int_equal(guest.version, KMCL_BUS_VERSION(5, 2));
	assert_int_equal(host.features, 0);
	assert_int_equal(host.channels, 1);
	/* this process is not another one; where the partition says who it is, it is us */
	assert_true(host.other_process == 0 || host.other_process == (int)getpid());
	assert_true(guest.other_process == 0 || guest.other_process == (int)getpid());
	VmbChannelCleanup(pair->client.channel);
	pair->client.channel = NULL;
	kmcl_guest_close(pair->bus);
	pair->bus = NULL;
	assert_int_equal(kmcl_host_info(pair->vmbus, &host), STATUS_SUCCESS);
	assert_int_equal(host.version, 0);
	pair_destroy(pair);
}

static enum kmcl_channel_state state_of(const struct pair_end *end)
{
	struct kmcl_channel_info info;

	kmcl_channel_info(end->channel, &info);
	return info.state;
}

static void wait_for_state(const struct pair_end *end, enum kmcl_channel_state state)
{
	uint32_t tries = PAIR_WAIT_MS;

	while (state_of(end) != state && tries--)
		KeStallExecutionProcessor(1000);
	assert_int_equal(state_of(end), state);
}

/* covers: kmcl_channel_info, kmcl_host_channels, kmcl_guest_channels */
static void the_channels(void **state)
{
	struct pair *pair = pair_create();
	struct kmcl_channel_info host[2], guest[2];

	assert_int_equal(kmcl_host_channels(NULL, host, 2), 0);
	assert_int_equal(kmcl_guest_channels(NULL, guest, 2), 0);
	assert_int_equal(kmcl_host_channels(pair->vmbus, host, 2), 0);
	wait_for_state(&pair->server, KMCL_CHANNEL_DISABLED);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	wait_for_state(&pair->server, KMCL_CHANNEL_ENABLED);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	wait_for_state(&pair->client, KMCL_CHANNEL_ACTIVE);
	wait_for_state(&pair->server, KMCL_CHANNEL_PAUSED);
	VmbChannelStart(pair->server.channel);
	wait_for_state(&pair->server, KMCL_CHANNEL_ACTIVE);

	memset(host, 0x5a, sizeof(host));
	assert_int_equal(kmcl_host_channels(pair->vmbus, host, 1), 1);
	assert_int_equal(*(uint8_t *)&host[1], 0x5a); /* past the capacity */
	assert_int_equal(kmcl_guest_channels(pair->bus, guest, 2), 1);
	assert_memory_equal(&host[0].type, &pair_type, sizeof(GUID));
	assert_memory_equal(&host[0].instance, &pair_instance, sizeof(GUID));
	assert_int_equal(host[0].channel_id, guest[0].channel_id);
	assert_int_equal(host[0].connection_id, guest[0].connection_id);
	assert_int_equal(host[0].ring_in_bytes, guest[0].ring_out_bytes);
	assert_true(host[0].ring_in_bytes >= 4096);
	assert_string_equal(host[0].name, "test server");
	assert_string_equal(guest[0].name, "test client");
	assert_int_equal(host[0].state, KMCL_CHANNEL_ACTIVE);
	assert_int_equal(host[0].statistics.opens, 1);
	VmbChannelPause(pair->client.channel);
	wait_for_state(&pair->client, KMCL_CHANNEL_PAUSED);
	VmbChannelDisable(pair->client.channel);
	wait_for_state(&pair->client, KMCL_CHANNEL_DISABLED);
	assert_int_equal(kmcl_guest_channels(pair->bus, guest, 2), 1);
	assert_int_equal(guest[0].state, KMCL_CHANNEL_OFFERED);
	assert_string_equal(guest[0].name, "");
	pair_destroy(pair);
}

static VMBPACKETCOMPLETION held;

static void hold(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                 uint32_t flags)
{
	held = packet;
	pair_trace(end, 'h');
}

/* covers: kmcl_channel_info */
static void the_counters(void **state)
{
	struct pair *pair = pair_create();
	struct kmcl_channel_info s, c;
	uint8_t bytes[100] = { 0 };
	enum { COUNT = 50 };

	pair_open(pair);
	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal(pair_send(&pair->client, bytes, 96, i % 2 ? WAIT : 0), 0);
	pair_wait(pair->client.completions == COUNT && pair->server.packets == COUNT);
	kmcl_channel_info(pair->server.channel, &s);
	kmcl_channel_info(pair->client.channel, &c);
	assert_int_equal(c.statistics.packets_out, COUNT);
	assert_int_equal(c.statistics.bytes_out, COUNT * 96);
	assert_int_equal(c.statistics.completions_in, COUNT / 2);
	assert_int_equal(c.statistics.packets_in, 0);
	assert_int_equal(s.statistics.packets_in, COUNT);
	assert_int_equal(s.statistics.bytes_in, COUNT * 96);
	assert_int_equal(s.statistics.completions_out, COUNT / 2);
	assert_int_equal(s.statistics.packets_out, 0);
	assert_int_equal(s.statistics.faults, 0);
	assert_int_equal(c.statistics.external_bytes, 0);
	assert_in_range(c.statistics.signals_out, 0, COUNT + 1); /* none, if it never slept */
	assert_true(s.statistics.signals_in <= c.statistics.signals_out);

	pair->server.process = hold;
	assert_int_equal(pair_send(&pair->client, bytes, 8, WAIT), STATUS_SUCCESS);
	pair_wait(strchr(pair->server.trace, 'h'));
	kmcl_channel_info(pair->server.channel, &s);
	kmcl_channel_info(pair->client.channel, &c);
	assert_int_equal(s.outstanding_in, 1);
	assert_int_equal(c.outstanding_out, 1);
	VmbChannelPacketComplete(held, NULL, 0);
	pair_wait(pair->client.completions == COUNT + 1);
	kmcl_channel_info(pair->server.channel, &s);
	kmcl_channel_info(pair->client.channel, &c);
	assert_int_equal(s.outstanding_in, 0);
	assert_int_equal(c.outstanding_out, 0);
	pair_destroy(pair);
}

/* covers: kmcl_mdl_iovec */
static void mdls_as_iovecs(void **state)
{
	uint8_t *pool = ExAllocatePoolWithTag(NonPagedPoolNx, 5 * PAGE_SIZE, 'tset');
	PMDL first = IoAllocateMdl(pool + 100, 3 * PAGE_SIZE, FALSE, FALSE, NULL);
	PMDL second = IoAllocateMdl(pool + 4 * PAGE_SIZE + 8, 50, FALSE, FALSE, NULL);
	struct iovec iov[8];

	MmBuildMdlForNonPagedPool(first);
	MmBuildMdlForNonPagedPool(second);
	first->Next = second;
	assert_int_equal(kmcl_mdl_iovec(first, 0, 3 * PAGE_SIZE + 50, iov, 8), 2);
	assert_ptr_equal(iov[0].iov_base, pool + 100);
	assert_int_equal(iov[0].iov_len, 3 * PAGE_SIZE); /* neighbouring pages are one entry */
	assert_ptr_equal(iov[1].iov_base, pool + 4 * PAGE_SIZE + 8);
	assert_int_equal(iov[1].iov_len, 50);
	assert_int_equal(kmcl_mdl_iovec(first, 3 * PAGE_SIZE - 10, 20, iov, 8), 2);
	assert_ptr_equal(iov[0].iov_base, pool + 90 + 3 * PAGE_SIZE);
	assert_int_equal(iov[0].iov_len, 10);
	assert_int_equal(iov[1].iov_len, 10);
	assert_int_equal(kmcl_mdl_iovec(first, 3 * PAGE_SIZE + 1, 2, iov, 8), 1);
	assert_ptr_equal(iov[0].iov_base, pool + 4 * PAGE_SIZE + 9);
	/* too few entries: as many as there are, and how many there should be */
	memset(iov, 0, sizeof(iov));
	assert_int_equal(kmcl_mdl_iovec(first, 0, 3 * PAGE_SIZE + 50, iov, 1), 2);
	assert_int_equal(iov[0].iov_len, 3 * PAGE_SIZE);
	assert_null(iov[1].iov_base);
	/* out of range */
	assert_int_equal(kmcl_mdl_iovec(first, 0, 3 * PAGE_SIZE + 51, iov, 8), 0);
	assert_int_equal(kmcl_mdl_iovec(first, 3 * PAGE_SIZE + 50, 1, iov, 8), 0);
	assert_int_equal(kmcl_mdl_iovec(first, UINT32_MAX, 2, iov, 8), 0);
	IoFreeMdl(second);
	IoFreeMdl(first);
	ExFreePoolWithTag(pool, 'tset');
}

static struct heard {
	uint32_t count;
	enum kmcl_log_level worst;
	char channel[64];
	char text[256];
} heard;

static void hear(void *context, enum kmcl_log_level level, const char *channel, const char *text)
{
	assert_ptr_equal(context, &heard);
	pair_lock();
	heard.count++;
	if (level <= heard.worst) {
		heard.worst = level;
		snprintf(heard.channel, sizeof(heard.channel), "%s", channel ? channel : "");
		snprintf(heard.text, sizeof(heard.text), "%s", text);
	}
	pair_unlock();
	pair_changed();
}

static void fail_it(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                    uint32_t flags)
{
	VmbChannelPacketFail(packet);
}

/* covers: kmcl_log_set, VmbChannelPacketFail */
static void the_log(void **state)
{
	struct pair *pair = pair_create();
	uint64_t word = 1;

	heard = (struct heard){ .worst = KMCL_LOG_TRACE };
	kmcl_log_set(hear, &heard, KMCL_LOG_ERROR);
	pair->server.process = fail_it;
	pair_open(pair);
	assert_int_equal(heard.count, 0);
	assert_int_equal(pair_send(&pair->client, &word, sizeof(word), 0), STATUS_SUCCESS);
	pair_wait(heard.count);
	assert_int_equal(heard.worst, KMCL_LOG_ERROR);
	assert_string_equal(heard.channel, "test server");
	assert_null(strchr(heard.text, '\n'));
	assert_non_null(strstr(heard.text, "failed a packet"));
	pair_destroy(pair);
	pair_main(0, NULL); /* the fixture's again */
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bus),      cmocka_unit_test(the_channels),
		cmocka_unit_test(the_counters), cmocka_unit_test(mdls_as_iovecs),
		cmocka_unit_test(the_log),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("info", tests, NULL, NULL);
}
