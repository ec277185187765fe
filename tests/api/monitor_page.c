/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The monitor page as a guest writes it: no signal is lost, and as long as nothing moves nobody
 * looks. The guest is a thread here, its memory a mapping that may be guarded, or not.
 */

#include "kmcl/monitor.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define PAGE        4096u
#define PATIENCE_MS 30000u
#define LATENCY     1000u /* what our services ask for */
#define SIGNALS     500u

static struct monitor_page *page; /* what the host looks at */
static struct monitor_page *elsewhere;
static struct monitor *monitor;
static _Atomic(uint32_t) raised[128];
static _Atomic(uint32_t) losses;
static char why[200];
static bool scribbles; /* the host, where the guest has put a ring over the page */

static int guard_here(void *there, struct partition_guard **guard)
{
	return partition_guard_page(there, guard);
}

static int guard_elsewhere(void *there, struct partition_guard **guard)
{
	return partition_guard_page(elsewhere, guard);
}

static int refuse(void *there, struct partition_guard **guard)
{
	return -EPERM;
}

/* Signals that come between the host's last look and the guard. */
static _Atomic(uint32_t) late, arms;
int __real_partition_guard_arm(struct partition_guard *guard);
int __wrap_partition_guard_arm(struct partition_guard *guard);
int __wrap_partition_guard_arm(struct partition_guard *guard)
{
	if (atomic_load(&late)) {
		atomic_fetch_sub(&late, 1);
		atomic_fetch_or(&page->trigger[3].pending, 1);
	}
	atomic_fetch_add(&arms, 1);
	return __real_partition_guard_arm(guard);
}

static struct partition_ops ops;
static struct partition partition = { .ops = &ops };
static const struct partition_pin pin = { .partition = &partition };

static void on_raised(void *context, uint32_t id)
{
	assert_ptr_equal(context, &monitor);
	if (scribbles)
		__atomic_fetch_add(&page->parameter[0][0].connection_id, 1, __ATOMIC_RELAXED);
	atomic_fetch_add(&raised[id], 1);
}

static void on_unguarded(void *context, const char *reason)
{
	snprintf(why, sizeof(why), "%s", reason ? reason : "none");
	atomic_fetch_add(&losses, 1);
}

static void pause_us(uint32_t us)
{
	struct timespec ts = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000l };

	nanosleep(&ts, NULL);
}

#define wait_until(condition)                                                              \
	do {                                                                               \
		for (uint32_t ms_ = 0; !(condition); ms_++) {                              \
			if (ms_ == PATIENCE_MS)                                            \
				fail_msg("not within %u ms: %s", PATIENCE_MS, #condition); \
			pause_us(1000);                                                    \
		}                                                                          \
	} while (0)

static void open_monitor(int (*guard)(void *there, struct partition_guard **guard))
{
	static const struct monitor_calls calls = { on_raised, on_unguarded };
	int fd = memfd_create("kmcl-test monitor", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, PAGE), 0);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	elsewhere = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	assert_ptr_not_equal(elsewhere, MAP_FAILED);
	close(fd);
	memset(raised, 0, sizeof(raised));
	atomic_store(&losses, 0);
	why[0] = 0;
	scribbles = false;
	ops.guard = guard;
	monitor = monitor_open(page, &pin, &calls, &monitor);
	assert_non_null(monitor);
}

static void close_monitor(void)
{
	monitor_close(monitor);
	munmap(page, PAGE);
	munmap(elsewhere, PAGE);
}

static void set_bit(uint32_t id)
{
	atomic_fetch_or(&page->trigger[id / 32].pending, 1u << id % 32);
}

static bool seen(uint32_t id, uint32_t before)
{
	for (uint32_t ms = 0; ms < PATIENCE_MS; ms++) {
		if (atomic_load(&raised[id]) > before)
			return true;
		pause_us(1000);
	}
	return false;
}

static bool signal_is_seen(uint32_t id)
{
	uint32_t before = atomic_load(&raised[id]);

	set_bit(id);
	return seen(id, before);
}

/* How often the threads that this is about have been switched to. */
static unsigned long wakeups(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned long sum = 0;
	struct dirent *task;

	assert_non_null(tasks);
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
			if (ours && (sscanf(line, "voluntary_ctxt_switches: %lu", &count) == 1 ||
			             sscanf(line, "nonvoluntary_ctxt_switches: %lu", &count) == 1))
				sum += count;
		}
		fclose(status);
	}
	closedir(tasks);
	return sum;
}

static unsigned long wakeups_in(uint32_t ms)
{
	unsigned long before = wakeups();

	pause_us(ms * 1000);
	return wakeups() - before;
}

/* False: this process may have no guards. */
static bool open_guarded(void)
{
	struct partition_guard *guard;
	int error;

	open_monitor(guard_here);
	error = partition_guard_page(page, &guard);
	if (!error) {
		partition_unguard(guard);
		return true;
	}
	print_message("# no guards for this process: %s\n", strerror(-error));
	close_monitor();
	return false;
}

/* A signal that comes while it rests shows that the guard sees the guest; then nobody looks. */
static bool rests_after_signal(uint32_t id)
{
	uint32_t before = atomic_load(&arms);

	assert_true(signal_is_seen(id));
	wait_until(atomic_load(&arms) > before);
	return wakeups_in(1000) == 0;
}

static void test_nobody_looks_while_nothing_moves(void **state)
{
	uint32_t before;

	if (!open_guarded())
		return;
	wait_until(wakeups_in(300) == 0); /* it has begun, and nothing is watched */
	monitor_watch(monitor, 37, LATENCY);
	assert_int_equal(page->latency[1][5], LATENCY);
	wait_until(rests_after_signal(37));
	wait_until(rests_after_signal(37)); /* again */
	/* nor with an id more or fewer */
	monitor_watch(monitor, 38, LATENCY);
	wait_until(rests_after_signal(37));
	monitor_unwatch(monitor, 37);
	wait_until(rests_after_signal(38));
	before = atomic_load(&raised[37]);
	set_bit(37);
	pause_us(100000);
	assert_int_equal(atomic_load(&raised[37]), before);
	assert_int_equal(atomic_load(&losses), 0);
	close_monitor();
}

static void *guest(void *argument)
{
	uint32_t id = (uint32_t)(uintptr_t)argument;
	uint32_t random = id + 1;

	for (uint32_t i = 0; i < SIGNALS; i++) {
		random = random * 1664525 + 1013904223;
		pause_us((random >> 16) % 9000); /* it rests after some 3 to 5 ms */
		if (!signal_is_seen(id))
			return &partition;
	}
	return NULL;
}

/* Signals of several channels, whatever the host is about when they come. */
static void none_is_lost(void)
{
	pthread_t threads[3];

	for (uint32_t i = 0; i < 3; i++)
		monitor_watch(monitor, i * 40, LATENCY);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, guest, (void *)(uintptr_t)(i * 40)), 0);
	for (uint32_t i = 0; i < 3; i++) {
		void *lost;

		pthread_join(threads[i], &lost);
		assert_null(lost);
	}
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(atomic_load(&raised[i * 40]), SIGNALS);
}

static void test_no_signal_is_lost(void **state)
{
	if (!open_guarded())
		return;
	none_is_lost();
	assert_int_equal(atomic_load(&losses), 0);
	close_monitor();
}

static void test_a_signal_just_before_it_rests(void **state)
{
	uint32_t before;

	if (!open_guarded())
		return;
	monitor_watch(monitor, 96, LATENCY);
	wait_until(rests_after_signal(96));
	before = atomic_load(&raised[96]);
	atomic_store(&late, 20);
	assert_true(signal_is_seen(96));
	wait_until(atomic_load(&raised[96]) == before + 21);
	assert_int_equal(atomic_load(&late), 0);
	assert_int_equal(atomic_load(&losses), 0);
	close_monitor();
}

static bool loses_its_guard(void)
{
	assert_true(signal_is_seen(5));
	pause_us(20000);
	return atomic_load(&losses);
}

/* A look every 4 ms, where a wake-up may count twice. */
static bool looks_at_times(void)
{
	unsigned long looks = wakeups_in(1000);

	return looks >= 10 && looks <= 600;
}

static void rests_without(int (*guard)(void *there, struct partition_guard **guard),
                          const char *reason)
{
	open_monitor(guard);
	monitor_watch(monitor, 5, LATENCY);
	wait_until(loses_its_guard());
	assert_string_equal(why, reason);
	wait_until(looks_at_times());
	none_is_lost();
	assert_int_equal(atomic_load(&losses), 1);
	close_monitor();
}

static void test_without_a_guard(void **state)
{
	rests_without(NULL, "none");
	rests_without(refuse, "userfaultfd: Operation not permitted");
}

/* The monitor named memory that is the guest's, but not where its guest's writes go through. */
static void test_with_a_guard_that_sees_nothing(void **state)
{
	if (!open_guarded())
		return;
	close_monitor();
	rests_without(guard_elsewhere,
	              "the guest's writes do not go through the monitor's mapping");
}

/* What was set before anybody looked waits. */
static void test_set_before_it_is_watched(void **state)
{
	open_monitor(guard_here);
	for (uint32_t id = 0; id < 128; id++) {
		set_bit(id);
		monitor_watch(monitor, id, LATENCY);
		wait_until(atomic_load(&raised[id]) == 1);
		monitor_unwatch(monitor, id);
		if (id % 16 == 0)
			pause_us(8000);
	}
	close_monitor();
}

static _Atomic(bool) enough;

static void *malice(void *argument)
{
	uint32_t *words = argument;
	uint32_t random = 1;

	while (!atomic_load(&enough)) {
		random = random * 1664525 + 1013904223;
		__atomic_store_n(&words[(random >> 8) % (PAGE / 4)], random >> 28 ? random : 0,
		                 __ATOMIC_RELAXED);
		if (random >> 28 == 3)
			pause_us((random >> 12) % 8000);
	}
	return NULL;
}

/* Any words at any time, on a page where the host's own writes go as well. */
static void test_a_guest_that_writes_anything(void **state)
{
	pthread_t thread;
	struct timespec cpu;

	open_monitor(guard_here);
	scribbles = true;
	atomic_store(&enough, false);
	monitor_watch(monitor, 64, 0);
	monitor_watch(monitor, 127, 0xffff);
	assert_int_equal(pthread_create(&thread, NULL, malice, page), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		pause_us(1000);
		__atomic_store_n(&page->reserved2[0], i, __ATOMIC_RELAXED);
		if (i % 100 == 50) {
			monitor_unwatch(monitor, 64);
			monitor_watch(monitor, 64, (uint16_t)i);
		}
	}
	atomic_store(&enough, true);
	pthread_join(thread, NULL);
	for (uint32_t id = 0; id < 128; id++)
		if (id != 64 && id != 127)
			assert_int_equal(atomic_load(&raised[id]), 0);
	assert_true(signal_is_seen(64));
	assert_true(signal_is_seen(127));
	close_monitor();
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	print_message("# %ld.%03ld s of processor time in all\n", (long)cpu.tv_sec,
	              cpu.tv_nsec / 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_looks_while_nothing_moves),
		cmocka_unit_test(test_no_signal_is_lost),
		cmocka_unit_test(test_a_signal_just_before_it_rests),
		cmocka_unit_test(test_without_a_guard),
		cmocka_unit_test(test_with_a_guard_that_sees_nothing),
		cmocka_unit_test(test_set_before_it_is_watched),
		cmocka_unit_test(test_a_guest_that_writes_anything),
	};

	return cmocka_run_group_tests_name("monitor_page", tests, NULL, NULL);
}
