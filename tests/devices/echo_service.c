/* SPDX-License-Identifier: BSD-2-Clause */
/* The echo service and its driver: the argument of this program is a pattern for the URI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "echo/echo.h"

#include <kmcl/echo.h>

#include "../temporary.h"

#define TAG 0x74736574u

struct fixture {
	char uri[128];
	HANDLE vmbus;
	PDEVICE_OBJECT bus;
	struct kmcl_echo *host;
	struct echo *guest;
};

static const char *uri_pattern = "local:echo-%d-%u";

static int setup(void **state)
{
	static unsigned int number;
	static const struct kmcl_echo_options options = { .size = sizeof(options),
		                                          .instance = { 0x55667788 } };
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	snprintf(f->uri, sizeof(f->uri), uri_pattern, getpid(), number++);
	if (!NT_SUCCESS(kmcl_host_open(f->uri, &f->vmbus)) ||
	    kmcl_echo_create(kmcl_host_of_handle(f->vmbus), &options, &f->host) ||
	    !NT_SUCCESS(kmcl_guest_open(f->uri, &f->bus)) ||
	    !NT_SUCCESS(echo_open(f->bus, NULL, 20000, &f->guest)))
		return -1;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	echo_close(f->guest);
	if (f->host)
		kmcl_echo_destroy(f->host);
	kmcl_guest_close(f->bus);
	ZwClose(f->vmbus);
	free(f);
	return 0;
}

static void payloads_of_all_sizes_come_back(void **state)
{
	struct fixture *f = *state;
	static const uint32_t sizes[] = { 0, 1, 7, 8, 100, 4096, 65528 };
	uint8_t *payload = malloc(65536);
	size_t i;

	for (i = 0; i < 65536; i++)
		payload[i] = (uint8_t)(i * 31);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_int_equal(echo_check(f->guest, payload, sizes[i]), STATUS_SUCCESS);
	assert_int_equal(echo_check(f->guest, payload, 65529), STATUS_INVALID_PARAMETER_3);
	free(payload);
}

/* The host changes the guest's memory in place, and only what it was shown. */
static void external_data_is_inverted_in_place(void **state)
{
	struct fixture *f = *state;
	uint8_t *memory = ExAllocatePoolWithTag(NonPagedPoolNx, 65536, TAG);
	size_t i;

	assert_non_null(memory);
	memset(memory, 0x5a, 65536);
	assert_int_equal(echo_invert(f->guest, memory + 100, 60000), STATUS_SUCCESS);
	for (i = 0; i < 65536; i++)
		assert_int_equal(memory[i], i < 100 || i >= 60100 ? 0x5a : 0xa5);
	ExFreePoolWithTag(memory, TAG);
}

static void runs_count_every_packet(void **state)
{
	struct fixture *f = *state;
	struct echo_run run = { .operation = ECHO_ECHO, .size = 64, .depth = 16, .count = 5000 };
	struct kmcl_channel_info before, after;
	uint64_t i;

	run.latencies_ns = calloc(run.count, sizeof(*run.latencies_ns));
	kmcl_channel_info(echo_channel(f->guest), &before);
	assert_int_equal(echo_run(f->guest, &run), STATUS_SUCCESS);
	kmcl_channel_info(echo_channel(f->guest), &after);
	assert_int_equal(run.mismatches, 0);
	assert_int_equal(after.statistics.packets_out - before.statistics.packets_out, 5000);
	assert_int_equal(after.statistics.completions_in - before.statistics.completions_in, 5000);
	for (i = 0; i < run.count; i++)
		assert_true(run.latencies_ns[i] > 0);
	run.operation = ECHO_SINK;
	assert_int_equal(echo_run(f->guest, &run), STATUS_SUCCESS);
	free(run.latencies_ns);
}

static void runs_that_cannot_be_are_refused(void **state)
{
	struct fixture *f = *state;
	struct echo_run run = { .operation = ECHO_ECHO, .size = 7, .depth = 1, .count = 1 };

	assert_int_equal(echo_run(f->guest, &run), STATUS_INVALID_PARAMETER_2);
	run.size = 8;
	assert_int_equal(echo_run(f->guest, &run), STATUS_SUCCESS);
}

static void *end_service(void *context)
{
	kmcl_echo_destroy(context);
	return NULL;
}

/* The channel ends as the run begins: the run ends too. */
static void a_run_ends_with_its_channel(void **state)
{
	struct fixture *f = *state;
	struct echo_run run = {
		.operation = ECHO_ECHO, .size = 64, .depth = 16, .count = 1u << 30
	};
	static const struct kmcl_echo_options options = { .size = sizeof(options),
		                                          .instance = { 0x55667788 } };

	for (int round = 0; round < 24; round++) {
		pthread_t thread;
		NTSTATUS status;

		assert_int_equal(pthread_create(&thread, NULL, end_service, f->host), 0);
		status = echo_run(f->guest, &run);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(status, STATUS_DEVICE_REMOVED);
		assert_int_equal(echo_run(f->guest, &run), STATUS_DEVICE_REMOVED);
		echo_close(f->guest);
		assert_int_equal(
			kmcl_echo_create(kmcl_host_of_handle(f->vmbus), &options, &f->host), 0);
		assert_int_equal(echo_open(f->bus, NULL, 20000, &f->guest), 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(payloads_of_all_sizes_come_back), TEST(external_data_is_inverted_in_place),
		TEST(runs_count_every_packet),         TEST(runs_that_cannot_be_are_refused),
		TEST(a_run_ends_with_its_channel),
	};

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
