/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * An idle open channel wakes nobody: no thread of the process runs. KMCL_TEST_IDLE_MS says for how
 * long that is watched; a sanitizer's own thread is none of ours.
 */

#include "pair.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IDLE_MS    2000u
#define THREADS_OF "kmcl"
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IDLE_MS    2000u
#define THREADS_OF "kmcl"
#endif
#endif
#ifndef IDLE_MS
#define IDLE_MS    10000u
#define THREADS_OF "" /* all */
#endif

#define THREADS 64

struct wakeups {
	uint32_t threads;
	struct {
		char name[32];
		long tid;
		unsigned long switches;
	} of[THREADS];
};

static void read_thread(struct wakeups *w, const char *tid)
{
	char path[300], line[256], name[32] = "";
	unsigned long n = 0, voluntary = 0, involuntary = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%s/status", tid);
	file = fopen(path, "r");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		sscanf(line, "Name: %31[^\n]", name);
		if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1)
			voluntary = n;
		if (sscanf(line, "nonvoluntary_ctxt_switches: %lu", &n) == 1)
			involuntary = n;
	}
	fclose(file);
	if (atol(tid) == syscall(SYS_gettid) || !strstr(name, THREADS_OF) || w->threads == THREADS)
		return;
	snprintf(w->of[w->threads].name, sizeof(w->of[0].name), "%s", name);
	w->of[w->threads].tid = atol(tid);
	w->of[w->threads++].switches = voluntary + involuntary;
}

static void read_all(struct wakeups *w)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;

	assert_non_null(tasks);
	memset(w, 0, sizeof(*w));
	while ((entry = readdir(tasks)))
		if (entry->d_name[0] != '.')
			read_thread(w, entry->d_name);
	closedir(tasks);
}

/* covers: VmbChannelEnable, kmcl_dispatch_configure */
static void an_idle_channel_wakes_nobody(void **state)
{
	const char *ms = getenv("KMCL_TEST_IDLE_MS");
	struct kmcl_dispatch_settings settings = { .size = sizeof(settings), .spin_us = 50 };
	struct pair *pair;
	struct wakeups before, after;
	uint64_t word = 1;

	assert_int_equal(kmcl_dispatch_configure(&settings), STATUS_SUCCESS);
	pair = pair_create();
	pair_open(pair);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(pair_send(&pair->client, &word, sizeof(word), 1), STATUS_SUCCESS);
	pair_wait(pair->client.completions == 1000);
	usleep(1000000); /* until free worker threads have gone to sleep */
	read_all(&before);
	assert_in_range(before.threads, 2, THREADS - 1);
	usleep((ms ? (uint32_t)atoi(ms) : IDLE_MS) * 1000);
	read_all(&after);
	for (uint32_t i = 0; i < before.threads; i++)
		for (uint32_t k = 0; k < after.threads; k++)
			if (before.of[i].tid == after.of[k].tid &&
			    before.of[i].switches != after.of[k].switches)
				fail_msg("thread %s was switched to %lu times", before.of[i].name,
				         after.of[k].switches - before.of[i].switches);
	/* and it is not dead */
	assert_int_equal(pair_send(&pair->client, &word, sizeof(word), 1), STATUS_SUCCESS);
	pair_wait(pair->client.completions == 1001);
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_channel_wakes_nobody),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("idle", tests, NULL, NULL);
}
