/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * An idle open channel wakes nobody: no thread of the process runs. KMCL_TEST_IDLE_MS says for how
 * long that is watched; a sanitizer's own thread is none of ours.
 */

#include "../sanitized.h"
#include "pair.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IDLE_MS    (SANITIZED ? 2000u : 10000u)
#define THREADS_OF (SANITIZED ? "kmcl" : "") /* "": all */

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

static void send_words(struct pair *pair, uint32_t count)
{
	uint32_t wanted = pair->client.completions + count;
	uint64_t word = 1;

	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(pair_send(&pair->client, &word, sizeof(word), 1), STATUS_SUCCESS);
	pair_wait(pair->client.completions == wanted);
}

static void nobody_is_woken(void)
{
	const char *ms = getenv("KMCL_TEST_IDLE_MS");
	struct wakeups before, after;

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
}

/* covers: VmbChannelEnable, kmcl_dispatch_configure */
static void an_idle_channel_wakes_nobody(void **state)
{
	struct kmcl_dispatch_settings settings = { .size = sizeof(settings), .spin_us = 50 };
	struct pair *pair;

	assert_int_equal(kmcl_dispatch_configure(&settings), STATUS_SUCCESS);
	pair = pair_create();
	pair_open(pair);
	send_words(pair, 1000);
	nobody_is_woken();
	send_words(pair, 1); /* and it is not dead */
	pair_destroy(pair);
}

static bool may_guard_pages(void)
{
	long fd = syscall(SYS_userfaultfd, 0);

	if (fd >= 0)
		close((int)fd);
	return fd >= 0 || access("/dev/userfaultfd", R_OK | W_OK) == 0;
}

/* Nor does a monitored one, where the host sees what the guest writes.
 * covers: kmcl_server_channel_init_set_monitored */
static void an_idle_monitored_channel_wakes_nobody(void **state)
{
	bool is_local = !strcmp(pair_scheme, "local");
	struct pair *pair;

	if (!is_local || !may_guard_pages()) {
		print_message("# the page cannot be guarded: %s\n",
		              is_local ? "no userfaultfd for this process"
		                       : "the guest is another process");
		return; /* the reason is said; cmocka's skip() is a failure to meson */
	}
	pair = pair_create();
	assert_int_equal(kmcl_server_channel_init_set_monitored(pair->server.channel, 1000),
	                 STATUS_SUCCESS);
	pair_open(pair);
	send_words(pair, 1000);
	/* One that comes while the host rests shows that the guard sees it. */
	for (int i = 0; i < 10; i++) {
		usleep(100000);
		send_words(pair, 1);
	}
	nobody_is_woken();
	send_words(pair, 1);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_channel_wakes_nobody),
		cmocka_unit_test(an_idle_monitored_channel_wakes_nobody),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("idle", tests, NULL, NULL);
}
