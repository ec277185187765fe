/* SPDX-License-Identifier: BSD-2-Clause */

/* Guards on pages: who writes is let through and told of, whoever it is and wherever the page. */

#include "end.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE        4096u
#define WRITERS     4u
#define ROUNDS      2000u
#define PATIENCE_MS 20000

static uint8_t *memory;
static struct partition_guard *guard;

static uint8_t *anonymous(void)
{
	return mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static uint8_t *shared(void)
{
	int fd = memfd_create("kmcl-test guard", MFD_CLOEXEC);
	uint8_t *there;

	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	there = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return there;
}

/* On the second page of it. False: this process may not. */
static bool guarded(uint8_t *there)
{
	int error;

	assert_ptr_not_equal(there, MAP_FAILED);
	memory = there;
	error = partition_guard_page(memory + PAGE, &guard);
	if (error == -EPERM || error == -ENOSYS || error == -EINVAL) {
		print_message("# no userfaultfd for this process: %s\n", strerror(-error));
		munmap(memory, 4 * PAGE);
		return false;
	}
	assert_int_equal(error, 0);
	return true;
}

static void unguarded(void)
{
	partition_unguard(guard);
	munmap(memory, 4 * PAGE);
}

static bool tripped(int ms)
{
	struct pollfd fd = { .fd = partition_guard_fd(guard), .events = POLLIN };

	return poll(&fd, 1, ms) > 0;
}

static void trips_at_writes_alone(uint8_t *there)
{
	if (!guarded(there))
		return;
	for (uint8_t round = 1; round < 100; round++) {
		assert_int_equal(partition_guard_arm(guard), 0);
		assert_true(partition_guard_armed(guard));
		assert_int_equal(memory[PAGE], round - 1);
		memory[0] = memory[2 * PAGE] = round; /* its neighbours are nobody's business */
		assert_false(tripped(0));
		memory[PAGE] = round;
		assert_true(tripped(PATIENCE_MS));
		assert_false(partition_guard_armed(guard));
		assert_int_equal(memory[PAGE], round);
		memory[PAGE + 8] = round; /* and is left alone */
	}
	assert_int_equal(partition_guard_arm(guard), 0);
	assert_false(tripped(0));
	partition_guard_disarm(guard);
	memory[PAGE]++;
	assert_false(tripped(10));
	unguarded();
}

static void test_anonymous_memory(void **state)
{
	trips_at_writes_alone(anonymous());
}

static void test_shared_memory(void **state)
{
	trips_at_writes_alone(shared());
}

/* As KVM writes there, and as a disk is read into it. */
static void test_writes_of_the_kernel(void **state)
{
	int pipes[2];
	char word[8];

	if (!guarded(shared()))
		return;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(partition_guard_arm(guard), 0);
	assert_int_equal(write(pipes[1], "written", 8), 8);
	assert_int_equal(read(pipes[0], memory + PAGE, 8), 8);
	assert_string_equal((char *)memory + PAGE, "written");
	assert_true(tripped(PATIENCE_MS));
	assert_int_equal(partition_guard_arm(guard), 0);
	assert_int_equal(write(pipes[1], memory + PAGE, 8), 8);
	assert_int_equal(read(pipes[0], word, 8), 8);
	assert_false(tripped(0));
	close(pipes[0]);
	close(pipes[1]);
	unguarded();
}

static _Atomic(bool) enough;

static void *writer(void *argument)
{
	uint64_t *count = argument;

	while (!atomic_load(&enough))
		__atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
	return NULL;
}

/* Nobody who writes waits for more than the guard's thread, whatever the one who arms it does. */
static void test_many_write(void **state)
{
	pthread_t threads[WRITERS];
	uint64_t *counts;

	if (!guarded(shared()))
		return;
	counts = (uint64_t *)(memory + PAGE);
	atomic_store(&enough, false);
	for (uint32_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, writer, &counts[i]), 0);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		assert_int_equal(partition_guard_arm(guard), 0);
		if (round % 3)
			assert_true(tripped(PATIENCE_MS));
		else
			partition_guard_disarm(guard);
	}
	assert_int_equal(partition_guard_arm(guard), 0);
	partition_unguard(guard); /* who waits goes on then as well */
	atomic_store(&enough, true);
	for (uint32_t i = 0; i < WRITERS; i++) {
		pthread_join(threads[i], NULL);
		assert_true(counts[i] > 0);
	}
	munmap(memory, 4 * PAGE);
}

static void test_what_cannot_be_guarded(void **state)
{
	struct partition_guard *other = NULL;
	char path[] = "/proc/self/exe";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *file = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	assert_ptr_not_equal(file, MAP_FAILED);
	close(fd);
	assert_true(partition_guard_page(file, &other) < 0);
	munmap(file, PAGE);
	assert_true(partition_guard_page(file, &other) < 0); /* nothing is there */
	if (!guarded(anonymous()))
		return;
	assert_int_equal(partition_guard_page(memory + PAGE, &other), -EBUSY);
	/* its page is taken away: an error, or nothing, but nobody hangs */
	assert_int_equal(partition_guard_arm(guard), 0);
	assert_ptr_equal(mmap(memory + PAGE, PAGE, PROT_READ | PROT_WRITE,
	                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
	                 memory + PAGE);
	memory[PAGE] = 1;
	assert_true(partition_guard_arm(guard) < 0);
	assert_false(partition_guard_armed(guard));
	memory[PAGE] = 2;
	unguarded();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_anonymous_memory),       cmocka_unit_test(test_shared_memory),
		cmocka_unit_test(test_writes_of_the_kernel),   cmocka_unit_test(test_many_write),
		cmocka_unit_test(test_what_cannot_be_guarded),
	};

	return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
