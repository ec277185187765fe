/* SPDX-License-Identifier: BSD-2-Clause */

/* Hosts and guests go and come back; and what opening them answers. */

#include "pair.h"

#include <stdio.h>

#define WAIT VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION

static void exchange(struct pair *pair, uint32_t completions)
{
	uint64_t word = 1;

	assert_int_equal(pair_send(&pair->client, &word, sizeof(word), WAIT), STATUS_SUCCESS);
	pair_wait(pair->client.completions == completions);
	assert_int_equal(pair->client.last_status, STATUS_SUCCESS);
}

static void close_host(struct pair *pair)
{
	pair_remove(&pair->server);
	assert_int_equal(ZwClose(pair->vmbus), STATUS_SUCCESS);
	pair->vmbus = NULL;
}

static void open_host(struct pair *pair)
{
	memset(&pair->server, 0, sizeof(pair->server));
	assert_int_equal(kmcl_host_open(pair->uri, &pair->vmbus), STATUS_SUCCESS);
	pair_add_server(pair, &pair->server, &pair_instance);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	VmbChannelStart(pair->server.channel);
}

static void wait_connected(struct pair *pair, bool connected)
{
	struct kmcl_bus_info info = { 0 };
	uint32_t tries = PAIR_WAIT_MS;

	do {
		KeStallExecutionProcessor(1000);
		assert_int_equal(kmcl_guest_info(pair->bus, &info), STATUS_SUCCESS);
	} while (!!info.version != connected && tries--);
	assert_int_equal(!!info.version, connected);
}

/* covers: kmcl_host_open, kmcl_guest_open, VmbChannelEnable, EVT_VMB_CHANNEL_CLOSED */
static void the_host_goes_and_comes_back(void **state)
{
	struct pair *pair = pair_create();

	pair_open(pair);
	exchange(pair, 1);
	for (uint32_t i = 0; i < 3; i++) {
		close_host(pair);
		pair_wait(pair_traced(&pair->client, "OSPUC"));
		wait_connected(pair, false);
		assert_int_equal(kmcl_guest_channels(pair->bus, NULL, 0), 0);
		/* it may be enabled while there is no host, or when there is one again */
		memset(pair->client.trace, 0, sizeof(pair->client.trace));
		if (i % 2 == 0)
			assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
		open_host(pair);
		wait_connected(pair, true);
		if (i % 2 == 1)
			assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
		pair_wait(pair_traced(&pair->client, "OSP"));
		pair_wait(pair_traced(&pair->server, "OSP"));
		exchange(pair, i + 2);
	}
	pair_destroy(pair);
}

/* Packets that nobody will answer any more are cancelled, and the guest can be closed without a
 * host. */
/* covers: kmcl_guest_close, EVT_VMB_PACKET_COMPLETION_ROUTINE */
static void the_host_goes_for_good(void **state)
{
	struct pair *pair = pair_create();
	uint64_t word = 1;

	pair_open(pair);
	VmbChannelPause(pair->server.channel);
	for (int i = 0; i < 10; i++)
		assert_int_equal(pair_send(&pair->client, &word, sizeof(word), WAIT),
		                 STATUS_SUCCESS);
	close_host(pair);
	pair_wait(pair->client.completions == 10);
	assert_int_equal(pair->client.cancelled, 10);
	pair_wait(pair_traced(&pair->client, "OSPUC"));
	pair_remove(&pair->client);
	kmcl_guest_close(pair->bus);
	pair->bus = NULL;
	pair_destroy(pair);
}

/* covers: kmcl_guest_open, kmcl_guest_close */
static void the_guest_goes_and_comes_back(void **state)
{
	struct pair *pair = pair_create();

	pair_open(pair);
	exchange(pair, 1);
	for (uint32_t i = 0; i < 3; i++) {
		pair_remove(&pair->client);
		kmcl_guest_close(pair->bus);
		pair_wait(pair_traced(&pair->server, "OSPUC"));
		memset(&pair->client, 0, sizeof(pair->client));
		memset(pair->server.trace, 0, sizeof(pair->server.trace));
		assert_int_equal(kmcl_guest_open(pair->uri, &pair->bus), STATUS_SUCCESS);
		/* what was offered before it came is known when the call returns */
		assert_int_equal(kmcl_guest_channels(pair->bus, NULL, 0), 1);
		pair_add_client(pair, &pair->client, &pair_instance);
		assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
		pair_wait(pair_traced(&pair->client, "OSP"));
		pair_wait(pair_traced(&pair->server, "OSP"));
		exchange(pair, 1);
	}
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: kmcl_host_open, kmcl_host_open_ex, kmcl_guest_open, kmcl_guest_open_ex */
static void opening_refused(void **state)
{
	struct kmcl_host_options host = { .size = sizeof(host) };
	struct kmcl_guest_options guest = { .size = sizeof(guest), .timeout_ms = 200 };
	struct pair *pair = pair_create();
	char nobody[160];
	PDEVICE_OBJECT bus;
	HANDLE vmbus;

	snprintf(nobody, sizeof(nobody), "%s-nobody", pair->uri);
	assert_int_equal(kmcl_host_open(NULL, &vmbus), STATUS_INVALID_PARAMETER_1);
	assert_int_equal(kmcl_host_open("tape:0", &vmbus), STATUS_INVALID_PARAMETER_1);
	assert_int_equal(kmcl_host_open("", &vmbus), STATUS_INVALID_PARAMETER_1);
	assert_int_equal(kmcl_host_open(pair->uri, &vmbus), STATUS_SHARING_VIOLATION);
	host.size = 0;
	assert_int_equal(kmcl_host_open_ex(nobody, &host, &vmbus), STATUS_INVALID_PARAMETER_2);
	host.size = sizeof(host);
	host.version_max = KMCL_BUS_VERSION(7, 7);
	assert_int_equal(kmcl_host_open_ex(nobody, &host, &vmbus), STATUS_INVALID_PARAMETER_2);
	assert_int_equal(kmcl_host_open(nobody, NULL), STATUS_INVALID_PARAMETER_3);

	assert_int_equal(kmcl_guest_open(NULL, &bus), STATUS_INVALID_PARAMETER_1);
	assert_int_equal(kmcl_guest_open("tape:0", &bus), STATUS_INVALID_PARAMETER_1);
	assert_int_equal(kmcl_guest_open(nobody, &bus), STATUS_OBJECT_NAME_NOT_FOUND);
	assert_int_equal(kmcl_guest_open(pair->uri, NULL), STATUS_INVALID_PARAMETER_3);
	guest.size = 3;
	assert_int_equal(kmcl_guest_open_ex(nobody, &guest, &bus), STATUS_INVALID_PARAMETER_2);
	guest.size = sizeof(guest);
	guest.vtl = 3;
	assert_int_equal(kmcl_guest_open_ex(nobody, &guest, &bus), STATUS_INVALID_PARAMETER_2);
	guest.vtl = 2;
	guest.version_max = KMCL_BUS_VERSION(5, 0);
	assert_int_equal(kmcl_guest_open_ex(nobody, &guest, &bus), STATUS_INVALID_PARAMETER_2);
	/* a guest in VTL 1 finds no host that would have it; nor does one below the host's levels
	 */
	VmbChannelCleanup(pair->client.channel);
	pair->client.channel = NULL;
	kmcl_guest_close(pair->bus);
	pair->bus = NULL;
	guest.vtl = 1;
	guest.version_max = 0;
	assert_int_equal(kmcl_guest_open_ex(pair->uri, &guest, &bus), STATUS_CONNECTION_REFUSED);
	pair_destroy(pair);
	pair_logged_errors();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_host_goes_and_comes_back),
		cmocka_unit_test(the_host_goes_for_good),
		cmocka_unit_test(the_guest_goes_and_comes_back),
		cmocka_unit_test(opening_refused),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("reconnect", tests, NULL, NULL);
}
