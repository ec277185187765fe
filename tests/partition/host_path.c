/* SPDX-License-Identifier: BSD-2-Clause */

/* Who owns the path of unix:PATH: one living host, never a dead one, and never by removing what is
 * not its own. */

#include "../sanitized.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct end host, second;
static char uri[128], lock[160];

static int setup(void **state)
{
	end_scheme = "unix";
	strcpy(uri, end_new_uri());
	snprintf(lock, sizeof(lock), "%s.lock", raw_path(uri));
	return 0;
}

static void test_only_its_owner_may_connect(void **state)
{
	mode_t before = umask(0);
	struct stat st;

	end_open(&host, PARTITION_HOST, uri, 0);
	umask(before);
	assert_int_equal(lstat(raw_path(uri), &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(lstat(lock, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	end_close(&host);
}

static void test_nothing_is_left(void **state)
{
	struct stat st;

	end_open(&host, PARTITION_HOST, uri, 0);
	end_close(&host);
	assert_int_equal(lstat(raw_path(uri), &st), -1);
	assert_int_equal(lstat(lock, &st), -1);
}

static void test_dead_socket_is_replaced(void **state)
{
	int fd;

	close(raw_listen(uri)); /* its file stays */
	end_open(&host, PARTITION_HOST, uri, 0);
	close(raw_guest(uri));
	end_close(&host);

	/* Also with the lock file that a killed host left. */
	close(raw_listen(uri));
	fd = open(lock, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	end_open(&host, PARTITION_HOST, uri, 0);
	end_close(&host);
	close(fd);
}

static void test_living_socket_is_not(void **state)
{
	int fd = raw_listen(uri); /* of somebody who takes no lock */

	assert_int_equal(end_try_open(&host, PARTITION_HOST, uri, 0), -EADDRINUSE);
	close(raw_connect(uri));
	close(fd);
}

static void test_other_files_are_not(void **state)
{
	struct stat st;
	int fd = open(raw_path(uri), O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, "precious", 8), 8);
	close(fd);
	assert_int_equal(end_try_open(&host, PARTITION_HOST, uri, 0), -EEXIST);
	assert_non_null(strstr(host.why, "no socket"));
	assert_int_equal(lstat(raw_path(uri), &st), 0);
	assert_int_equal(st.st_size, 8);
	unlink(raw_path(uri));

	assert_int_equal(symlink("/nowhere", lock), 0); /* would be created there */
	assert_true(end_try_open(&host, PARTITION_HOST, uri, 0) < 0);
	unlink(lock);
}

static void test_replaced_socket_is_left_alone(void **state)
{
	struct stat st;
	int fd;

	end_open(&host, PARTITION_HOST, uri, 0);
	unlink(raw_path(uri));
	fd = raw_listen(uri);
	end_close(&host);
	assert_int_equal(lstat(raw_path(uri), &st), 0);
	close(fd);
}

static void test_paths_that_cannot_be(void **state)
{
	char deep[300];

	assert_int_equal(end_try_open(&host, PARTITION_HOST, "unix:/nowhere/at/all", 0), -ENOTDIR);
	assert_non_null(strstr(host.why, "/nowhere/at/all: there is no such directory"));
	assert_int_equal(end_try_open(&host, PARTITION_GUEST, "unix:/nowhere/at/all", 0), -ENOTDIR);
	assert_non_null(strstr(host.why, "/nowhere/at/all: there is no such directory"));
	memset(deep, 'x', sizeof(deep));
	memcpy(deep, "unix:/tmp/", 10);
	deep[sizeof(deep) - 1] = 0;
	assert_int_equal(end_try_open(&host, PARTITION_HOST, deep, 0), -ENAMETOOLONG);
	assert_int_equal(end_try_open(&host, PARTITION_GUEST, deep, 0), -ENAMETOOLONG);
}

/* Of several that find the same dead socket, one becomes the host, and it is the one that guests
 * reach. */
#define RACERS 4

static struct end racers[RACERS];
static int results[RACERS];
static pthread_barrier_t start;

static void *race(void *argument)
{
	size_t i = (size_t)argument;

	pthread_barrier_wait(&start);
	results[i] = end_try_open(&racers[i], PARTITION_HOST, uri, 0);
	return NULL;
}

static void test_race_for_a_dead_socket(void **state)
{
	for (int round = 0; round < ROUNDS(50); round++) {
		pthread_t threads[RACERS];
		struct end *winner = NULL;
		int fd;

		if (round % 2)
			close(raw_listen(uri));
		pthread_barrier_init(&start, NULL, RACERS);
		for (size_t i = 0; i < RACERS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, race, (void *)i), 0);
		for (size_t i = 0; i < RACERS; i++) {
			pthread_join(threads[i], NULL);
			if (results[i]) {
				assert_int_equal(results[i], -EADDRINUSE);
			} else {
				assert_null(winner);
				winner = &racers[i];
			}
		}
		pthread_barrier_destroy(&start);
		assert_non_null(winner);
		fd = raw_guest(uri);
		end_await(winner, &winner->came, 1);
		close(fd);
		end_close(winner);
	}
}

/* Opening and closing against each other: the name of the lock may go away between opening it and
 * locking it. */
static void *open_and_close(void *argument)
{
	struct end *end = argument;
	size_t times = 0;

	pthread_barrier_wait(&start);
	for (int i = 0; i < 100000 && times < ROUNDS(50); i++) {
		if (!end_try_open(end, PARTITION_HOST, uri, 0)) {
			times++;
			end_close(end);
		}
	}
	return (void *)times;
}

static void test_open_against_close(void **state)
{
	pthread_t one, two;
	void *times[2];
	struct stat st;

	pthread_barrier_init(&start, NULL, 2);
	assert_int_equal(pthread_create(&one, NULL, open_and_close, &host), 0);
	assert_int_equal(pthread_create(&two, NULL, open_and_close, &second), 0);
	pthread_join(one, &times[0]);
	pthread_join(two, &times[1]);
	pthread_barrier_destroy(&start);
	assert_int_equal(times[0], ROUNDS(50));
	assert_int_equal(times[1], ROUNDS(50));
	assert_int_equal(lstat(raw_path(uri), &st), -1);
	assert_int_equal(lstat(lock, &st), -1);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

static const struct CMUnitTest tests[] = {
	TEST(test_only_its_owner_may_connect), TEST(test_nothing_is_left),
	TEST(test_dead_socket_is_replaced),    TEST(test_living_socket_is_not),
	TEST(test_other_files_are_not),        TEST(test_replaced_socket_is_left_alone),
	TEST(test_paths_that_cannot_be),       TEST(test_race_for_a_dead_socket),
	TEST(test_open_against_close),
};

int main(void)
{
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	end_forget_uris();
	return failed;
}
