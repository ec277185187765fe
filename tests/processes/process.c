/* SPDX-License-Identifier: BSD-2-Clause */

#include "process.h"
#include "traffic.h"

#include "../temporary.h"

#include "nt/nt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* ---- being the other end ---- */

static void log_nothing(void *context, enum kmcl_log_level level, const char *channel,
                        const char *text)
{
	if (getenv("KMCL_TEST_LOG"))
		fprintf(stderr, "# %d %s: %s\n", (int)getpid(), channel, text);
}

static _Noreturn void other_end(const char *role, const char *uri)
{
	struct traffic *t = traffic_open(strcmp(role, "host") == 0, uri);
	struct pollfd orders = { .fd = STDIN_FILENO, .events = POLLIN };
	char order;

	while (poll(&orders, 1, 20) == 0)
		traffic_enable(t);
	if (read(STDIN_FILENO, &order, 1) != 1)
		_exit(0); /* the test is gone */
	switch (order) {
	case PROCESS_EXIT:
		exit(0);
	case PROCESS_QUIT:
		traffic_close(t);
		exit(0);
	}
	_exit(0);
}

void process_main(int argc, char **argv)
{
	kmcl_log_set(log_nothing, NULL, KMCL_LOG_WARNING);
	if (argc == 4 && strcmp(argv[1], "--role") == 0)
		other_end(argv[2], argv[3]);
}

/* ---- having one ---- */

struct process process_start(const char *role, const char *uri)
{
	char program[] = "/proc/self/exe", flag[] = "--role", its_role[16], at[128];
	char *argv[] = { program, flag, its_role, at, NULL };
	posix_spawn_file_actions_t actions;
	struct process p;
	int in[2];

	snprintf(its_role, sizeof(its_role), "%s", role);
	snprintf(at, sizeof(at), "%s", uri);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	assert_int_equal(posix_spawn(&p.pid, program, &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	p.orders = in[1];
	return p;
}

static int process_end(struct process *p)
{
	int status;

	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	close(p->orders);
	return status;
}

void process_kill(struct process *p)
{
	int status;

	assert_int_equal(kill(p->pid, SIGKILL), 0);
	status = process_end(p);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("the other end died of itself: wait status %#x", status);
}

void process_order(struct process *p, enum process_order order)
{
	char byte = (char)order;

	assert_int_equal(write(p->orders, &byte, 1), 1);
}

void process_wait(struct process *p)
{
	int status = process_end(p);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("the other end did not exit well: wait status %#x", status);
}

void process_stop(const struct process *p)
{
	int status;

	assert_int_equal(kill(p->pid, SIGSTOP), 0);
	assert_int_equal(waitpid(p->pid, &status, WUNTRACED), p->pid);
	assert_true(WIFSTOPPED(status));
}

void process_continue(const struct process *p)
{
	assert_int_equal(kill(p->pid, SIGCONT), 0);
}

/* ---- what a process has ---- */

static unsigned entries_of(const char *path)
{
	DIR *dir = opendir(path);
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static unsigned memfd_maps(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned count = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "/memfd:") != NULL;
	fclose(maps);
	return count;
}

static uint64_t resident_bytes(void)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	unsigned long size, resident;

	assert_non_null(statm);
	assert_int_equal(fscanf(statm, "%lu %lu", &size, &resident), 2);
	fclose(statm);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct process_usage process_usage(void)
{
	size_t tags;

	return (struct process_usage){
		.descriptors = entries_of("/proc/self/fd"),
		.threads = entries_of("/proc/self/task"),
		.maps = memfd_maps(),
		.pool = nt_pool_outstanding(NULL, 0, &tags),
		.resident = resident_bytes(),
	};
}

/* ---- time and chance ---- */

void process_list_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	char target[128];

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		if (n > 0)
			print_message("# %s: %.*s\n", entry->d_name, (int)n, target);
	}
	closedir(dir);
}

uint64_t process_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t random_state;

void process_seed(void)
{
	const char *given = getenv("KMCL_TEST_SEED");

	random_state =
		given ? strtoull(given, NULL, 0) : process_now_ms() * 1000003 + (uint64_t)getpid();
	print_message("# KMCL_TEST_SEED=%llu\n", (unsigned long long)random_state);
	random_state = random_state * 0x9e3779b97f4a7c15ull | 1;
}

uint32_t process_random(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16) % below;
}

unsigned process_rounds(unsigned standard)
{
	const char *given = getenv("KMCL_TEST_ROUNDS");
	unsigned long rounds = given ? strtoul(given, NULL, 0) : ROUNDS(standard);

	assert_true(rounds > 0 && rounds < 1000000);
	return (unsigned)rounds;
}

/* Whoever was killed last left a socket and a lock. */
static unsigned uris;

static void uri_at(char *uri, size_t size, unsigned serial)
{
	snprintf(uri, size, "unix:%s/kmcl-processes-%d-%u", temporary_directory(), (int)getpid(),
	         serial);
}

static void remove_uris(void)
{
	char uri[128], lock[140];

	for (unsigned i = 0; i < uris; i++) {
		uri_at(uri, sizeof(uri), i);
		snprintf(lock, sizeof(lock), "%s.lock", uri);
		unlink(uri + strlen("unix:"));
		unlink(lock + strlen("unix:"));
	}
}

const char *process_new_uri(void)
{
	static char uri[128];

	if (!uris)
		atexit(remove_uris);
	uri_at(uri, sizeof(uri), uris++);
	return uri;
}
