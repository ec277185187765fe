/* SPDX-License-Identifier: BSD-2-Clause */

/* All calls from many threads at once, while the other end comes and goes: for the sanitizers, and
 * for what must hold even then. */

#include "../sanitized.h"
#include "end.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define STORMS ROUNDS(25u)

static struct end host, guest;
static atomic_bool stop;

static void *post_all_the_time(void *unused)
{
	struct partition_address to = { .id = 1 };
	uint64_t number = 0;

	while (!atomic_load(&stop)) {
		int error = partition_post(host.partition, to, &number, sizeof(number));

		must(!error || error == -EAGAIN || error == -ENOTCONN);
		number++;
		if (error)
			sched_yield();
	}
	return NULL;
}

static void *listen_all_the_time(void *unused)
{
	while (!atomic_load(&stop)) {
		struct partition_port *ports[4];

		for (uint32_t i = 0; i < 4; i++)
			must(!partition_listen(host.partition, i, &ports[i]));
		for (uint32_t i = 0; i < 4; i++) {
			port_readable(ports[i], 0);
			partition_port_clear(ports[i]);
			partition_unlisten(ports[i]);
		}
	}
	return NULL;
}

static void *signal_all_the_time(void *unused)
{
	while (!atomic_load(&stop)) {
		struct partition_address to = { .id = 5 };
		struct partition_link *link;

		must(!partition_connect(host.partition, to, &link));
		for (int i = 0; i < 10; i++)
			partition_signal(link);
		partition_disconnect(link);
	}
	return NULL;
}

static void *pin_all_the_time(void *unused)
{
	while (!atomic_load(&stop)) {
		struct partition_pin *pin = partition_pin(host.partition);
		struct partition_ram ram;

		if (!pin) {
			sched_yield();
			continue;
		}
		ram = partition_pin_memory(pin);
		must(ram.size == 2 * 4096);
		/* In one process the memory goes with the guest's mapping of it. */
		if (!strcmp(end_scheme, "unix"))
			((volatile char *)ram.base)[4096]++;
		partition_unpin(pin);
	}
	return NULL;
}

static void echo(struct end *end, const struct end_message *message)
{
	struct partition_address to = { .id = 2 };
	static uint64_t next; /* all guests' threads, one after the other */
	uint64_t number;

	/* In order, though some were said while no guest was there. */
	must(message->size == sizeof(number));
	memcpy(&number, message->payload, sizeof(number));
	must(number >= next);
	next = number + 1;
	pthread_mutex_lock(&end->lock);
	end->messages = 0;
	pthread_mutex_unlock(&end->lock);
	partition_post(end->partition, to, message->payload, message->size);
}

static void forget(struct end *end, const struct end_message *message)
{
	pthread_mutex_lock(&end->lock);
	end->messages = 0;
	pthread_mutex_unlock(&end->lock);
}

static void test_storm(void **state)
{
	void *(*const storms[])(void *) = { post_all_the_time, listen_all_the_time,
		                            signal_all_the_time, pin_all_the_time };
	const struct timespec a_while = { .tv_nsec = 4 * 1000 * 1000 };
	const char *uri = end_new_uri();
	pthread_t threads[4];

	end_open_hooked(&host, PARTITION_HOST, uri, 0, forget);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, storms[i], NULL), 0);
	for (unsigned int round = 1; round <= STORMS; round++) {
		struct partition_port *port;
		struct partition_link *links[4];

		end_open_hooked(&guest, PARTITION_GUEST, uri, 2, echo);
		end_await(&guest, &guest.came, 1);
		assert_int_equal(partition_listen(guest.partition, 5, &port), 0);
		for (uint32_t i = 0; i < 4; i++) {
			struct partition_address to = { .id = i };

			assert_int_equal(partition_connect(guest.partition, to, &links[i]), 0);
			partition_signal(links[i]);
		}
		assert_true(port_readable(port, 10000));
		partition_port_clear(port);
		nanosleep(&a_while, NULL);
		end_await(&host, &host.came, round); /* or it might miss this one */
		for (uint32_t i = 0; i < 4; i++)
			partition_disconnect(links[i]);
		partition_unlisten(port);
		end_close(&guest);
		end_free_ram(&guest);
		end_await(&host, &host.gone, round);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	end_close(&host);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_storm),
};

END_MAIN(tests)
