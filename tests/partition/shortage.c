/* SPDX-License-Identifier: BSD-2-Clause */

/* A process that runs out of descriptors: calls say so, what could not be done is done later, and
 * nothing breaks in the meantime. */

#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LIMIT 128

static struct end host;
static char uri[128];
static int fillers[LIMIT];
static unsigned int filled;
static struct rlimit limit_before;

/* Takes all descriptors but `leave`. */
static void fill(unsigned int leave)
{
	int fd;

	while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		fillers[filled++] = fd;
	assert_int_equal(errno, EMFILE);
	while (leave--)
		close(fillers[--filled]);
}

static void drain(void)
{
	while (filled)
		close(fillers[--filled]);
}

static int setup(void **state)
{
	struct rlimit low;

	end_scheme = "unix";
	strcpy(uri, end_new_uri());
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
	low = limit_before;
	low.rlim_cur = LIMIT;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	end_open(&host, PARTITION_HOST, uri, 0);
	return 0;
}

static int teardown(void **state)
{
	drain();
	end_close(&host);
	return setrlimit(RLIMIT_NOFILE, &limit_before);
}

static void test_listen_says_so(void **state)
{
	unsigned int before = settled_descriptors();
	struct partition_port *ports[LIMIT], *port;
	uint32_t count = 0;
	int error;

	while (!(error = partition_listen(host.partition, count, &ports[count])))
		count++;
	assert_int_equal(error, -EMFILE);
	assert_in_range(count, 10, LIMIT);
	assert_int_equal(partition_listen(host.partition, 1000, &port), -EMFILE);
	while (count)
		partition_unlisten(ports[--count]);
	assert_int_equal(settled_descriptors(), before);
	assert_int_equal(partition_listen(host.partition, 1000, &port), 0);
	partition_unlisten(port);
}

static void test_open_says_so(void **state)
{
	static struct end other;
	const char *free_uri = end_new_uri();

	for (unsigned int leave = 0; leave < 4; leave++) {
		unsigned int before;

		fill(leave);
		before = leave ? count_descriptors() : 0; /* which takes one itself */
		assert_int_equal(end_try_open(&other, PARTITION_HOST, free_uri, 0), -EMFILE);
		assert_non_null(strstr(other.why, strerror(EMFILE)));
		if (leave)
			assert_int_equal(count_descriptors(), before);
		drain();
	}
	end_open(&other, PARTITION_HOST, free_uri, 0);
	end_close(&other);
}

/* A guest's connection, with `leave` descriptors left for the host's side of it. */
static int connect_short(unsigned int leave)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, raw_path(uri));
	fill(leave);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void test_guest_is_let_in_later(void **state)
{
	uint8_t bytes[64];
	int fd = connect_short(0);

	raw_send(fd, bytes, raw_hello(bytes, 1, 0), NULL, 0);
	end_await_log(&host, "no guest can be let in");
	assert_int_equal(end_read(&host, &host.came), 0);
	drain();
	assert_int_equal(raw_receive(fd).bytes[0], 2);
	end_await(&host, &host.came, 1);
	close(fd);
	end_await(&host, &host.gone, 1);
}

static void test_memory_that_cannot_be_taken(void **state)
{
	int memory = raw_memfd(4096, RAW_SEALS);
	uint8_t bytes[64];
	int fd = connect_short(1);

	raw_send(fd, bytes, raw_hello(bytes, 1, 4096), &memory, 1);
	raw_expect_refusal(fd, 5, "out of descriptors");
	close(memory);
}

static void test_port_is_announced_later(void **state)
{
	struct partition_port *port;
	struct raw_frame frame;
	uint8_t bytes[64];
	int fd;

	/* The socketpair it was opened with serves its first session. */
	assert_int_equal(partition_listen(host.partition, 9, &port), 0);
	close(raw_guest(uri));
	end_await(&host, &host.gone, 1);

	fd = connect_short(2); /* its connection and its relay */
	raw_send(fd, bytes, raw_hello(bytes, 1, 0), NULL, 0);
	assert_int_equal(raw_receive(fd).bytes[0], 2);
	end_await(&host, &host.came, 2);
	end_await_log(&host, "1 events cannot arrive");
	drain();
	frame = raw_receive(fd);
	assert_int_equal(frame.bytes[0], 5);
	assert_true(frame.fd >= 0);
	assert_false(port_readable(port, 0));
	assert_int_equal(send(frame.fd, "", 1, 0), 1);
	assert_true(port_readable(port, 5000));
	close(frame.fd);
	close(fd);
	end_await(&host, &host.gone, 2);
	partition_unlisten(port);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(test_listen_says_so),          TEST(test_open_says_so),
	TEST(test_guest_is_let_in_later),   TEST(test_memory_that_cannot_be_taken),
	TEST(test_port_is_announced_later),
};

int main(void)
{
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	end_forget_uris();
	return failed;
}
