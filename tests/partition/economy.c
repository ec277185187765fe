/* SPDX-License-Identifier: BSD-2-Clause */

/* A connected partition with nothing to do does nothing; one that has come and gone hundreds of
 * times has left nothing. */

#include "../sanitized.h"
#include "end.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct end host, guest;

/* Times that a thread of the library was woken. They have names: a sanitizer's do not count. */
static unsigned long wakeups(unsigned int *threads)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned long sum = 0;
	struct dirent *task;

	assert_non_null(tasks);
	*threads = 0;
	while ((task = readdir(tasks))) {
		char path[300], line[200];
		unsigned long count;
		bool ours = false;
		FILE *status;

		snprintf(path, sizeof(path), "/proc/self/task/%s/status", task->d_name);
		status = fopen(path, "re");
		if (!status)
			continue;
		while (fgets(line, sizeof(line), status)) {
			if (!strncmp(line, "Name:\tkmcl-", 11))
				ours = true;
			if (ours && sscanf(line, "voluntary_ctxt_switches: %lu", &count) == 1)
				sum += count;
		}
		*threads += ours;
		fclose(status);
	}
	closedir(tasks);
	return sum;
}

static unsigned int mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int count = 0;
	char line[500];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "kmcl-test") != NULL;
	fclose(maps);
	return count;
}

static void pause_ms(long ms)
{
	struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

static void test_idle_is_idle(void **state)
{
	struct partition_address to = { .id = 4 };
	struct partition_port *port;
	struct partition_link *link;
	unsigned int threads;
	unsigned long before;
	long cpu;

	end_open_both(&host, &guest, 4);
	assert_int_equal(partition_listen(host.partition, 4, &port), 0);
	assert_int_equal(partition_connect(guest.partition, to, &link), 0);
	partition_signal(link); /* and is left there */
	assert_true(port_readable(port, 5000));
	assert_int_equal(partition_post(guest.partition, to, "x", 1), 0);
	end_await(&host, &host.messages, 1);
	pause_ms(100);
	before = wakeups(&threads);
	assert_true(before > 0); /* or nothing was counted */
	assert_int_equal(threads, 2);
	cpu = cpu_ms();
	pause_ms(1000);
	assert_int_equal(wakeups(&threads) - before, 0);
	assert_true(cpu_ms() - cpu < 200); /* nor does it poll without sleeping */
	partition_disconnect(link);
	partition_unlisten(port);

	end_close(&guest);
	end_free_ram(&guest);
	end_await(&host, &host.gone, 1);
	pause_ms(100);
	before = wakeups(&threads);
	assert_int_equal(threads, 1);
	cpu = cpu_ms();
	pause_ms(500);
	assert_true(cpu_ms() - cpu < 200);
	assert_int_equal(wakeups(&threads) - before, 0); /* a host without a guest, too */
	end_close(&host);
}

static void come_and_go(const char *uri, unsigned int round)
{
	struct partition_address to = { .id = 4 };
	struct partition_port *port;
	struct partition_link *link;
	struct partition_pin *pin;

	end_open(&guest, PARTITION_GUEST, uri, 4);
	end_await(&guest, &guest.came, 1);
	end_await(&host, &host.came, round);
	assert_int_equal(partition_listen(guest.partition, 4, &port), 0);
	assert_int_equal(partition_connect(host.partition, to, &link), 0);
	partition_signal(link);
	assert_true(port_readable(port, 5000));
	pin = partition_pin(host.partition);
	assert_non_null(pin);
	assert_int_equal(partition_post(guest.partition, to, "x", 1), 0);
	partition_unlisten(port);
	end_close(&guest);
	end_free_ram(&guest);
	end_await(&host, &host.gone, round);
	partition_disconnect(link);
	partition_unpin(pin);
}

static void test_guest_reconnects_leave_nothing(void **state)
{
	unsigned int descriptors_unopened = settled_descriptors(), descriptors, maps;
	const char *uri = end_new_uri();
	struct partition_port *port;

	end_open(&host, PARTITION_HOST, uri, 0);
	assert_int_equal(partition_listen(host.partition, 4, &port), 0);
	come_and_go(uri, 1);
	descriptors = settled_descriptors();
	maps = mappings();
	for (unsigned int round = 2; round <= ROUNDS(200); round++)
		come_and_go(uri, round);
	assert_int_equal(settled_descriptors(), descriptors);
	assert_int_equal(mappings(), maps);
	assert_int_equal(maps, 0);
	partition_unlisten(port);
	end_close(&host);
	assert_int_equal(settled_descriptors(), descriptors_unopened);
}

static void test_host_restarts_leave_nothing(void **state)
{
	unsigned int descriptors = settled_descriptors();
	struct partition_port *port;
	char uri[128];

	strcpy(uri, end_new_uri());
	end_open(&host, PARTITION_HOST, uri, 0);
	end_open(&guest, PARTITION_GUEST, uri, 4);
	assert_int_equal(partition_listen(guest.partition, 4, &port), 0);
	for (unsigned int round = 1; round <= ROUNDS(40); round++) {
		struct partition_address to = { .id = 4 };
		struct partition_link *link;

		end_await(&host, &host.came, 1);
		end_await(&guest, &guest.came, round);
		partition_port_clear(port);
		assert_int_equal(partition_connect(host.partition, to, &link), 0);
		partition_signal(link);
		assert_true(port_readable(port, 5000));
		end_close(&host);
		partition_disconnect(link);
		end_await(&guest, &guest.gone, round);
		end_open(&host, PARTITION_HOST, uri, 0);
	}
	end_close(&host);
	partition_unlisten(port);
	end_close(&guest);
	end_free_ram(&guest);
	assert_int_equal(settled_descriptors(), descriptors);
	assert_int_equal(mappings(), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_idle_is_idle),
	cmocka_unit_test(test_guest_reconnects_leave_nothing),
	cmocka_unit_test(test_host_restarts_leave_nothing),
};

END_MAIN(tests)
