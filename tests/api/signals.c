/* SPDX-License-Identifier: BSD-2-Clause */

/* The process's signals are the application's: every thread of the library blocks all of them. */

#include "pair.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What a thread blocks, and whether it is one of ours: sanitizers have theirs. */
static bool read_thread(const char *tid, char *name, unsigned long long *blocked)
{
	char path[300], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%s/status", tid);
	file = fopen(path, "re");
	name[0] = 0;
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		sscanf(line, "Name: %31[^\n]", name);
		sscanf(line, "SigBlk: %llx", blocked);
	}
	fclose(file);
	return !strncmp(name, "kmcl-", 5) || !strncmp(name, "nt-", 3);
}

static void must_block_all(const char *name, unsigned long long blocked)
{
	for (int signal = 1; signal <= SIGRTMAX; signal++) {
		/* those that nobody can block, and those that are the C library's own */
		if (signal == SIGKILL || signal == SIGSTOP || (signal >= 32 && signal < SIGRTMIN))
			continue;
		if (!(blocked & 1ull << (signal - 1)))
			fail_msg("thread %s takes signal %d", name, signal);
	}
}

static uint32_t look_at_all(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	uint32_t count = 0;

	assert_non_null(tasks);
	while ((entry = readdir(tasks))) {
		unsigned long long blocked = 0;
		char name[32];

		if (entry->d_name[0] == '.' || !read_thread(entry->d_name, name, &blocked))
			continue;
		must_block_all(name, blocked);
		count++;
	}
	closedir(tasks);
	return count;
}

static VOID tick(PKDPC dpc, PVOID context, PVOID argument1, PVOID argument2)
{
	KeSetEvent(context, 0, FALSE);
}

static VOID own_thread(PVOID context)
{
	KeWaitForSingleObject(context, Executive, KernelMode, FALSE, NULL);
	PsTerminateSystemThread(STATUS_SUCCESS);
}

/* covers: VmbChannelEnable, kmcl_server_channel_init_set_monitored */
static void no_thread_takes_them(void **state)
{
	struct pair *pair = pair_create_versions(KMCL_BUS_VERSION(1, 1), 0);
	LARGE_INTEGER soon = { .QuadPart = -10000 };
	uint64_t word = 1;
	HANDLE thread;
	KEVENT event;
	KTIMER timer;
	KDPC dpc;

	assert_int_equal(kmcl_server_channel_init_set_monitored(pair->server.channel, 1000),
	                 STATUS_SUCCESS);
	pair_open(pair);
	KeInitializeEvent(&event, NotificationEvent, FALSE);
	KeInitializeTimer(&timer);
	KeInitializeDpc(&dpc, tick, &event);
	assert_int_equal(PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL,
	                                      own_thread, &event),
	                 STATUS_SUCCESS);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(pair_send(&pair->client, &word, sizeof(word), 1), STATUS_SUCCESS);
		pair_wait(pair->client.completions == (uint32_t)i + 1);
		KeStallExecutionProcessor(20000); /* a monitor page comes to rest */
	}
	assert_in_range(look_at_all(), 5, 1000);
	KeSetTimer(&timer, soon, &dpc);
	KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
	assert_in_range(look_at_all(), 5, 1000);
	ZwClose(thread);
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_thread_takes_them),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("signals", tests, NULL, NULL);
}
