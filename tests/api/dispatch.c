/* SPDX-License-Identifier: BSD-2-Clause */

/* Callbacks driven from the program's own event loop: kmcl_dispatch_fd() and kmcl_dispatch(). */

#include "pair.h"

#include <poll.h>
#include <time.h>

#define WAIT VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION

static pthread_t loop;
static uint32_t elsewhere, wrong_irql;

static void on_the_loop(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer,
                        uint32_t size, uint32_t flags)
{
	elsewhere += !pthread_equal(pthread_self(), loop);
	wrong_irql += KeGetCurrentIrql() != DISPATCH_LEVEL;
	VmbChannelPacketComplete(packet, buffer, size);
}

static void configure_embedded(void)
{
	struct kmcl_dispatch_settings settings = { .size = sizeof(settings), .embedded = 1 };

	/* nothing to drive before it is said */
	assert_int_equal(kmcl_dispatch_fd(), -1);
	assert_int_equal(kmcl_dispatch(0), 0);
	assert_int_equal(kmcl_dispatch_configure(NULL), STATUS_INVALID_PARAMETER);
	settings.size--;
	assert_int_equal(kmcl_dispatch_configure(&settings), STATUS_INVALID_PARAMETER);
	settings.size++;
	settings.dispatchers = 65;
	assert_int_equal(kmcl_dispatch_configure(&settings), STATUS_INVALID_PARAMETER);
	settings.dispatchers = 0;
	assert_int_equal(kmcl_dispatch_configure(&settings), STATUS_SUCCESS);
	/* it may be said again until the first channel is enabled */
	assert_int_equal(kmcl_dispatch_configure(&settings), STATUS_SUCCESS);
	assert_true(kmcl_dispatch_fd() >= 0);
	assert_int_equal(kmcl_dispatch_configure(&settings), STATUS_INVALID_DEVICE_STATE);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The program's loop. */
static uint32_t run_until(const uint32_t *counter, uint32_t value)
{
	struct pollfd fd = { .fd = kmcl_dispatch_fd(), .events = POLLIN };
	int64_t deadline = now_ms() + PAIR_WAIT_MS;
	uint32_t delivered = 0;

	while (__atomic_load_n(counter, __ATOMIC_RELAXED) != value) {
		assert_true(now_ms() < deadline);
		assert_int_equal(poll(&fd, 1, PAIR_WAIT_MS), 1);
		assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
		delivered += kmcl_dispatch(0);
	}
	return delivered;
}

/* covers: kmcl_dispatch_configure, kmcl_dispatch_fd, kmcl_dispatch */
static void the_programs_loop_drives_the_callbacks(void **state)
{
	struct pair *pair;
	struct pollfd fd = { .events = POLLIN };
	uint64_t word = 1;
	enum { COUNT = 1000 };

	configure_embedded();
	loop = pthread_self();
	pair = pair_create();
	pair->server.process = on_the_loop;
	pair->client.process = on_the_loop;
	pair_open(pair);
	while (kmcl_dispatch(0))
		;
	assert_int_equal(pair_send(&pair->client, &word, sizeof(word), WAIT), STATUS_SUCCESS);
	/* nobody else does it */
	KeStallExecutionProcessor(50000);
	assert_int_equal(pair->server.packets, 0);
	fd.fd = kmcl_dispatch_fd();
	assert_int_equal(poll(&fd, 1, 0), 1);
	/* the packet at one end, its completion at the other */
	assert_int_equal(run_until(&pair->client.completions, 1), 2);
	assert_int_equal(pair->server.packets, 1);
	for (uint32_t i = 0; i < COUNT; i++) {
		assert_int_equal(pair_send(&pair->client, &word, sizeof(word), WAIT), 0);
		assert_int_equal(pair_send(&pair->server, &word, sizeof(word), 0), 0);
	}
	run_until(&pair->client.completions, COUNT + 1);
	run_until(&pair->client.packets, COUNT);
	assert_int_equal(elsewhere, 0);
	assert_int_equal(wrong_irql, 0);
	/* with nothing to do the descriptor is quiet, and the call returns at once or after spin_us
	 */
	while (kmcl_dispatch(100))
		;
	assert_int_equal(poll(&fd, 1, 100), 0);
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_programs_loop_drives_the_callbacks),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("dispatch", tests, NULL, NULL);
}
