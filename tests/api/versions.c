/* SPDX-License-Identifier: BSD-2-Clause */

/* The same driver works at every version of the channel protocol, old interrupts included. */

#include "pair.h"

static const uint32_t versions[] = {
	KMCL_BUS_VERSION(0, 13), KMCL_BUS_VERSION(1, 1), KMCL_BUS_VERSION(2, 4),
	KMCL_BUS_VERSION(3, 0),  KMCL_BUS_VERSION(4, 0), KMCL_BUS_VERSION(4, 1),
	KMCL_BUS_VERSION(5, 0),  KMCL_BUS_VERSION(5, 1), KMCL_BUS_VERSION(5, 2),
	KMCL_BUS_VERSION(5, 3),  KMCL_BUS_VERSION(6, 0),
};
#define VERSIONS (sizeof(versions) / sizeof(versions[0]))

static void talk(struct pair *pair, uint32_t version)
{
	struct kmcl_bus_info info;
	uint64_t word = version;

	assert_int_equal(kmcl_guest_info(pair->bus, &info), STATUS_SUCCESS);
	assert_int_equal(info.version, version);
	assert_int_equal(kmcl_host_info(pair->vmbus, &info), STATUS_SUCCESS);
	assert_int_equal(info.version, version);
	pair_open(pair);
	for (uint32_t i = 1; i <= 3; i++) {
		assert_int_equal(pair_send(&pair->client, &word, sizeof(word),
		                           VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION),
		                 STATUS_SUCCESS);
		pair_wait(pair->client.completions == i);
		KeStallExecutionProcessor(2000); /* both ends fall asleep: signals are needed */
		assert_int_equal(pair_send(&pair->server, &word, sizeof(word),
		                           VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION),
		                 STATUS_SUCCESS);
		pair_wait(pair->server.completions == i);
	}
	assert_memory_equal(pair->client.answer, &word, sizeof(word));
}

/* covers: kmcl_host_open_ex */
static void host_is_older(void **state)
{
	for (size_t i = 0; i < VERSIONS; i++) {
		struct pair *pair = pair_create_versions(versions[i], 0);

		talk(pair, versions[i]);
		pair_destroy(pair);
	}
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: kmcl_guest_open_ex */
static void guest_is_older(void **state)
{
	for (size_t i = 0; i < VERSIONS; i++) {
		struct pair *pair = pair_create_versions(0, versions[i]);

		talk(pair, versions[i]);
		pair_destroy(pair);
	}
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: kmcl_host_open_ex, kmcl_bus_version_known */
static void others_are_not_known(void **state)
{
	static const uint32_t others[] = {
		0,
		KMCL_BUS_VERSION(0, 12),
		KMCL_BUS_VERSION(3, 1),
		KMCL_BUS_VERSION(5, 4),
		KMCL_BUS_VERSION(6, 1),
		KMCL_BUS_VERSION(9, 9),
		UINT32_MAX,
	};

	for (size_t i = 0; i < VERSIONS; i++)
		assert_true(kmcl_bus_version_known(versions[i]));
	assert_true(kmcl_bus_version_known(KMCL_BUS_VERSION_LATEST));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct kmcl_host_options options = { .size = sizeof(options),
			                             .version_max = others[i] };
		HANDLE host;

		assert_false(kmcl_bus_version_known(others[i]));
		if (others[i]) /* 0: the latest */
			assert_false(
				NT_SUCCESS(kmcl_host_open_ex("local:versions", &options, &host)));
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_is_older),
		cmocka_unit_test(guest_is_older),
		cmocka_unit_test(others_are_not_known),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("versions", tests, NULL, NULL);
}
