/* SPDX-License-Identifier: BSD-2-Clause */

/* A host whose guest does not keep to the protocol: it says what was wrong, hangs up, lets nothing
 * leak, and is there for the next guest. */

#include "raw.h"

#include "../temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct end host, guest;
static char uri[128];
static unsigned int descriptors_before;

static int setup(void **state)
{
	end_scheme = "unix";
	strcpy(uri, end_new_uri());
	descriptors_before = count_descriptors();
	end_open(&host, PARTITION_HOST, uri, 0);
	return 0;
}

/* Whatever went before: a well-behaved guest finds the host as ever, and nothing was leaked. */
static int teardown(void **state)
{
	unsigned int came = end_read(&host, &host.came);

	end_open(&guest, PARTITION_GUEST, uri, 1);
	end_await(&host, &host.came, came + 1);
	end_await(&guest, &guest.came, 1);
	assert_int_equal(
		partition_post(guest.partition, (struct partition_address){ .id = 1 }, "x", 1), 0);
	end_await(&host, &host.messages, 1);
	end_close_both(&host, &guest);
	for (int i = 0; i < 500 && count_descriptors() != descriptors_before; i++)
		usleep(20000); /* some are closed by processes of their own */
	assert_int_equal(count_descriptors(), descriptors_before);
	return 0;
}

/* ---- before WELCOME ---- */

static void first_frame_is_refused(const void *bytes, size_t size, uint32_t reason,
                                   const char *part)
{
	int fd = raw_connect(uri);

	raw_send(fd, bytes, size, NULL, 0);
	raw_expect_refusal(fd, reason, part);
}

static void test_first_frame_wrong(void **state)
{
	uint8_t bytes[512] = { 0 };
	size_t size;

	first_frame_is_refused("hello", 5, 3, "least size of a frame");
	first_frame_is_refused(bytes, 512, 3, "most size of a frame");
	first_frame_is_refused(bytes, 257, 3, "most size of a frame");
	first_frame_is_refused(bytes, 32, 3, "size in the header");
	size = raw_hello(bytes, 1, 0);
	first_frame_is_refused(bytes, size - 1, 3, "size in the header");
	bytes[2] = 31;
	first_frame_is_refused(bytes, size - 1, 3, "size of HELLO");
	raw_hello(bytes, 1, 0);
	bytes[8] = 'K';
	first_frame_is_refused(bytes, size, 3, "magic");
	raw_hello(bytes, 1, 0);
	bytes[20] = 1;
	first_frame_is_refused(bytes, size, 3, "reserved");
	raw_hello(bytes, 1, 0);
	bytes[4] = 1;
	first_frame_is_refused(bytes, size, 3, "id of HELLO");
	raw_hello(bytes, 2, 0);
	first_frame_is_refused(bytes, size, 2, "version 1 of the protocol was expected, and 2");
	raw_hello(bytes, 1, 4097);
	first_frame_is_refused(bytes, size, 3, "part of a page");
	raw_hello(bytes, 1, 1ull << 41);
	first_frame_is_refused(bytes, size, 3, "most memory");
	raw_hello(bytes, 1, 4096);
	first_frame_is_refused(bytes, size, 3, "descriptors with HELLO");
	first_frame_is_refused(bytes, raw_message(bytes, 1, "abc", 3), 3, "type of frame");
	first_frame_is_refused(bytes, raw_welcome(bytes), 3, "type of frame");
	end_await_log(&host, "magic: expected");
	assert_int_equal(host.came, 0);
}

static void test_leaves_before_welcome(void **state)
{
	for (int i = 0; i < 50; i++) {
		uint8_t bytes[64];
		int fd = raw_connect(uri);

		if (i % 2)
			raw_send(fd, bytes, raw_hello(bytes, 1, 0), NULL, 0);
		close(fd);
	}
}

static void memory_is_refused(int memory, uint64_t size, const char *part)
{
	uint8_t bytes[64];
	int fd = raw_connect(uri);

	raw_send(fd, bytes, raw_hello(bytes, 1, size), &memory, 1);
	raw_expect_refusal(fd, 4, part);
	close(memory);
}

static int read_only_memfd(void)
{
	int fd = raw_memfd(4096, RAW_SEALS);
	char name[64];
	int again;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	again = open(name, O_RDONLY | O_CLOEXEC);
	assert_true(again >= 0);
	close(fd);
	return again;
}

static void test_memory_that_could_shrink(void **state)
{
	memory_is_refused(raw_memfd(4096, 0), 4096, "seals SHRINK, GROW and SEAL");
	memory_is_refused(raw_memfd(4096, F_SEAL_SHRINK), 4096, "seals");
	memory_is_refused(raw_memfd(4096, F_SEAL_SHRINK | F_SEAL_GROW), 4096, "seals");
	memory_is_refused(raw_memfd(4096, F_SEAL_GROW | F_SEAL_SEAL), 4096, "seals");
	memory_is_refused(raw_memfd(4096, RAW_SEALS), 8192, "8192 bytes were announced");
	memory_is_refused(raw_memfd(8192, RAW_SEALS), 4096, "memfd has 8192");
	memory_is_refused(raw_memfd(0, RAW_SEALS), 4096, "memfd has 0");
}

static void test_memory_that_is_none(void **state)
{
	char name[128];
	int pipe_fds[2];
	int file = mkostemp(temporary_path(name, sizeof(name), "kmcl-test-file-XXXXXX"), O_CLOEXEC);

	assert_int_equal(ftruncate(file, 4096), 0);
	unlink(name);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	memory_is_refused(pipe_fds[0], 4096, "a memfd was expected");
	close(pipe_fds[1]);
	memory_is_refused(file, 4096, "memfd");
	memory_is_refused(open("/dev/zero", O_RDWR | O_CLOEXEC), 4096, "a memfd was expected");
	memory_is_refused(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), 4096,
	                  "a memfd was expected");
	memory_is_refused(read_only_memfd(), 4096, "reading and writing");
	memory_is_refused(raw_memfd(4096, RAW_SEALS | F_SEAL_WRITE), 4096, "cannot be mapped");
}

/* A host may come to touch all that it has mapped, and that is then its own. */
static int setup_low(void **state)
{
	int error;

	end_memory_max = 8192;
	error = setup(state);
	end_memory_max = 0;
	return error;
}

static void test_memory_beyond_the_limit(void **state)
{
	memory_is_refused(raw_memfd(12288, RAW_SEALS), 12288,
	                  "at most 8192 bytes were expected, and 12288 came");
	memory_is_refused(raw_memfd(1ull << 40, RAW_SEALS), 1ull << 40, "at most 8192 bytes");
}

static void test_memory_beyond_the_default(void **state)
{
	memory_is_refused(raw_memfd(PARTITION_MEMORY_MAX + 4096, RAW_SEALS),
	                  PARTITION_MEMORY_MAX + 4096, "at most 4294967296 bytes were expected");
}

static void test_memory_of_huge_pages(void **state)
{
	int fd = memfd_create("kmcl-huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

	if (fd < 0 || ftruncate(fd, 2 << 20) || fcntl(fd, F_ADD_SEALS, RAW_SEALS)) {
		print_message("# SKIP: no huge page memfd on this system: %s\n", strerror(errno));
		if (fd >= 0)
			close(fd);
		skip();
	}
	memory_is_refused(fd, 2 << 20, "ordinary pages");
}

static void test_descriptors_out_of_number(void **state)
{
	int two[8] = { raw_memfd(4096, RAW_SEALS), raw_memfd(4096, RAW_SEALS), 0, 1, 2, 0, 1, 2 };
	uint8_t bytes[64];
	int fd = raw_connect(uri);

	raw_send(fd, bytes, raw_hello(bytes, 1, 4096), two, 2);
	raw_expect_refusal(fd, 3, "descriptors with HELLO");
	fd = raw_connect(uri);
	raw_send(fd, bytes, raw_hello(bytes, 1, 4096), two, 8);
	raw_expect_refusal(fd, 3, "descriptors with HELLO");
	fd = raw_connect(uri);
	raw_send(fd, bytes, raw_hello(bytes, 1, 0), two, 1);
	raw_expect_refusal(fd, 3, "descriptors with HELLO");
	close(two[0]);
	close(two[1]);
}

static void test_silent_visitors_hold_nobody_up(void **state)
{
	struct timespec start, now;
	int silent[20];

	for (int i = 0; i < 20; i++)
		silent[i] = raw_connect(uri);
	clock_gettime(CLOCK_MONOTONIC, &start);
	close(raw_guest(uri)); /* at once, past all of them */
	clock_gettime(CLOCK_MONOTONIC, &now);
	assert_true(now.tv_sec - start.tv_sec < 2);
	/* Those over the limit have to go at once, the others when their time is up. */
	raw_expect_refusal(silent[0], 5, "too many connections");
	raw_expect_refusal(silent[19], 3, "no HELLO within 2 seconds");
	for (int i = 1; i < 19; i++)
		close(silent[i]);
}

/* ---- after WELCOME ---- */

static void frame_ends_session(const void *bytes, size_t size, const int *descriptors, size_t count,
                               uint32_t reason, const char *part)
{
	unsigned int gone = end_read(&host, &host.gone);
	int fd = raw_guest(uri);

	raw_send(fd, bytes, size, descriptors, count);
	raw_expect_refusal(fd, reason, part);
	end_await(&host, &host.gone, gone + 1);
	assert_int_equal(host.came, gone + 1);
}

static void test_frame_wrong(void **state)
{
	uint8_t bytes[512] = { 0 };
	uint8_t payload[256] = { 0 };
	int one = raw_memfd(4096, 0);
	size_t size;

	frame_ends_session("\1\2\3", 3, NULL, 0, 3, "least size of a frame");
	frame_ends_session(bytes, raw_message(bytes, 1, payload, 241), NULL, 0, 3,
	                   "most size of a frame");
	frame_ends_session(bytes, raw_hello(bytes, 1, 0), NULL, 0, 3, "type of frame");
	frame_ends_session(bytes, raw_welcome(bytes), NULL, 0, 3, "type of frame");
	size = raw_port(bytes, 1);
	bytes[0] = 0x77;
	frame_ends_session(bytes, size, NULL, 0, 3, "type of frame: expected 0x4, came 0x77");
	size = raw_message(bytes, 1, payload, 8);
	bytes[13] = 1;
	frame_ends_session(bytes, size, NULL, 0, 3, "reserved field of MESSAGE");
	raw_message(bytes, 1, payload, 8);
	frame_ends_session(bytes, size, &one, 1, 3, "descriptors with MESSAGE");
	bytes[2] = 15;
	frame_ends_session(bytes, 15, NULL, 0, 3, "least size of MESSAGE");
	close(one);
	end_await_log(&host, "reserved field of MESSAGE");
	end_await_log(&host, "disconnected");
	assert_int_equal(host.messages, 0);
}

static void test_guest_hangs_up_with_a_reason(void **state)
{
	uint8_t bytes[64] = { 3, 0, 21, 0, 9, 0, 0, 0 };
	int fd = raw_guest(uri);

	memcpy(bytes + 8, "I\x1b[31m am off", 13);
	raw_send(fd, bytes, 21, NULL, 0);
	end_await(&host, &host.gone, 1);
	end_await_log(&host, "hung up: I?[31m am off"); /* no escape sequence in a log */
	close(fd);
}

static void test_empty_frame_is_the_end(void **state)
{
	int fd = raw_guest(uri);

	raw_send(fd, "", 0, NULL, 0);
	end_await(&host, &host.gone, 1);
	close(fd);
}

static void port_ends_session(int descriptor)
{
	uint8_t bytes[64];

	frame_ends_session(bytes, raw_port(bytes, 7), &descriptor, 1, 3,
	                   "a Unix SOCK_SEQPACKET socketpair was expected");
	close(descriptor);
}

static int half_of_pair(int type)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
	close(pair[0]);
	return pair[1];
}

static void test_port_of_the_wrong_kind(void **state)
{
	int pipe_fds[2];
	int two[2] = { half_of_pair(SOCK_SEQPACKET), half_of_pair(SOCK_SEQPACKET) };
	uint8_t bytes[64];

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	port_ends_session(pipe_fds[1]);
	close(pipe_fds[0]);
	port_ends_session(raw_memfd(4096, 0));
	port_ends_session(half_of_pair(SOCK_STREAM));
	port_ends_session(half_of_pair(SOCK_DGRAM));
	port_ends_session(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	port_ends_session(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	port_ends_session(raw_connect(uri)); /* leads to whoever listens there, in our name */
	frame_ends_session(bytes, raw_port(bytes, 7), NULL, 0, 3, "descriptors with PORT");
	frame_ends_session(bytes, raw_port(bytes, 7), two, 2, 3, "descriptors with PORT");
	close(two[0]);
	close(two[1]);
}

static void test_too_many_ports(void **state)
{
	struct rlimit before, low;
	uint8_t bytes[64];
	int fd;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = 256;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	fd = raw_guest(uri);
	for (uint32_t i = 0; i < 65; i++) {
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		raw_send(fd, bytes, raw_port(bytes, i), &pair[1], 1);
		close(pair[1]);
		/* Half of them stay, so that they do not count as withdrawn. */
		if (i < 64)
			assert_true(fcntl(pair[0], F_DUPFD_CLOEXEC, 100) >= 100);
		close(pair[0]);
	}
	raw_expect_refusal(fd, 5, "more ports than");
	for (int i = 100; i < 164; i++)
		close(i);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* Ports that the guest withdraws count no more. */
static void test_ports_come_and_go(void **state)
{
	struct rlimit before, low;
	uint8_t bytes[64];
	int fd;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = 128;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	fd = raw_guest(uri);
	for (uint32_t i = 0; i < 500; i++) {
		int descriptor = half_of_pair(SOCK_SEQPACKET); /* its other half is closed */

		raw_send(fd, bytes, raw_port(bytes, i), &descriptor, 1);
		close(descriptor);
		raw_send(fd, bytes, raw_message(bytes, 1, &i, 4), NULL, 0);
		end_await(&host, &host.messages, i + 1);
	}
	assert_int_equal(end_read(&host, &host.gone), 0);
	close(fd);
	end_await(&host, &host.gone, 1);
	host.messages = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static bool quiet(struct partition_port *port)
{
	for (int i = 0; i < 200; i++) {
		if (!port_readable(port, 0))
			return true;
		partition_port_clear(port);
	}
	return false;
}

static int receive_port(int fd)
{
	struct raw_frame frame = raw_receive(fd);

	assert_int_equal(frame.bytes[0], 5);
	assert_true(frame.fd >= 0);
	return frame.fd;
}

static void test_guest_misuses_a_port(void **state)
{
	struct partition_port *port;
	char junk[1000] = { 0 };
	int fd, signal_fd;

	assert_int_equal(partition_listen(host.partition, 33, &port), 0);
	fd = raw_guest(uri);
	signal_fd = receive_port(fd);
	/* As much as it takes, in any size. */
	raw_send(signal_fd, junk, 300, NULL, 0);
	while (send(signal_fd, junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	assert_true(port_readable(port, 5000));
	assert_true(quiet(port));
	assert_int_equal(send(signal_fd, "", 1, 0), 1);
	assert_true(port_readable(port, 5000));
	assert_true(quiet(port));
	/* Hung up: it must not keep whoever polls the port busy. */
	shutdown(signal_fd, SHUT_RDWR);
	assert_true(quiet(port));
	assert_false(port_readable(port, 20));
	close(signal_fd);
	close(fd);
	end_await(&host, &host.gone, 1);

	/* And it works again for the next guest. */
	fd = raw_guest(uri);
	signal_fd = receive_port(fd);
	assert_int_equal(send(signal_fd, "", 0, 0), 0);
	assert_true(quiet(port));
	close(signal_fd);
	close(fd);
	end_await(&host, &host.gone, 2);
	partition_unlisten(port);
}

static void test_guest_does_not_take_signals(void **state)
{
	struct partition_link *link;
	uint8_t bytes[64];
	struct pollfd poll_fd;
	int pair[2];
	int fd = raw_guest(uri);
	int taken = 0;

	end_await(&host, &host.came, 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(
		partition_connect(host.partition, (struct partition_address){ .id = 3 }, &link), 0);
	raw_send(fd, bytes, raw_port(bytes, 3), &pair[1], 1);
	raw_send(fd, bytes, raw_message(bytes, 1, "", 0), NULL, 0);
	end_await(&host, &host.messages, 1);
	for (int i = 0; i < 10000; i++)
		partition_signal(link);
	poll_fd = (struct pollfd){ .fd = pair[0], .events = POLLIN };
	while (poll(&poll_fd, 1, 0) == 1) {
		assert_int_equal(recv(pair[0], bytes, sizeof(bytes), 0), 1);
		taken++;
	}
	assert_in_range(taken, 1, 64); /* of the host's memory */
	shutdown(pair[1], SHUT_RDWR);
	partition_signal(link);
	close(pair[0]);
	close(pair[1]);
	partition_signal(link);
	close(fd);
	end_await(&host, &host.gone, 1);
	partition_signal(link);
	partition_disconnect(link);
	host.messages = 0;
}

static void test_guest_does_not_read(void **state)
{
	struct partition_address to = { 0 };
	uint8_t bytes[64];
	int fd = raw_guest(uri);
	long before;
	int error;

	end_await(&host, &host.came, 1);
	do {
		error = partition_post(host.partition, to, bytes, 64);
	} while (!error);
	assert_int_equal(error, -EAGAIN);
	/* It can go on talking, but is not heard, and keeps nobody busy. */
	for (int i = 0; i < 100; i++)
		raw_send(fd, bytes, raw_message(bytes, 1, "x", 1), NULL, 0);
	before = cpu_ms();
	usleep(200000);
	assert_true(cpu_ms() - before < 100);
	assert_int_equal(end_read(&host, &host.messages), 0);
	/* Its last words are, when it leaves. */
	close(fd);
	end_await(&host, &host.gone, 1);
	assert_int_equal(host.messages, 100);
	assert_int_equal(host.writable, 0);
	host.messages = 0;
}

static atomic_uint deaf_answers;
static atomic_bool refused;

/* Answers with more than it was asked, and must not be asked again when that cannot be sent. */
static void answer_much(struct end *end, const struct end_message *message)
{
	must(!atomic_load(&refused));
	for (int i = 0; i < 20 && !atomic_load(&refused); i++) {
		int error = partition_post(end->partition, (struct partition_address){ 0 },
		                           message->payload, message->size);

		must(!error || error == -EAGAIN);
		atomic_store(&refused, error == -EAGAIN);
	}
	atomic_fetch_add(&deaf_answers, 1);
}

static void test_guest_asks_and_does_not_read(void **state)
{
	uint8_t bytes[64];
	int fd;

	end_set_stuck(&host, true); /* until all is asked, so that it is read in one go */
	end_set_hooks(&host, answer_much, NULL);
	fd = raw_guest(uri);
	for (int i = 0; i < 150; i++)
		raw_send(fd, bytes, raw_message(bytes, 1, "x", 1), NULL, 0);
	end_set_stuck(&host, false);
	while (!atomic_load(&refused))
		usleep(1000);
	usleep(50000);
	assert_in_range(atomic_load(&deaf_answers), 2, 100);
	end_set_hooks(&host, NULL, NULL); /* its last words come anyway */
	close(fd);
	end_await(&host, &host.gone, 1);
	host.messages = 0;
}

/* A guest dies with more unread than is read in one go, and the next is there already. */
static void test_dead_guest_keeps_nobody_out(void **state)
{
	uint8_t bytes[64];
	int fd = raw_guest(uri);

	end_set_stuck(&host, true);
	for (int i = 0; i < 200; i++)
		raw_send(fd, bytes, raw_message(bytes, 1, "x", 1), NULL, 0);
	end_await(&host, &host.messages, 1);
	close(fd);
	fd = raw_connect(uri);
	raw_send(fd, bytes, raw_hello(bytes, 1, 0), NULL, 0);
	end_set_stuck(&host, false);
	assert_int_equal(raw_receive(fd).bytes[0], 2);
	assert_int_equal(end_read(&host, &host.messages), 200);
	assert_int_equal(end_read(&host, &host.gone), 1);
	host.messages = 0;
	close(fd);
	end_await(&host, &host.gone, 2);
}

static void test_half_closed(void **state)
{
	int fd = raw_guest(uri);

	shutdown(fd, SHUT_WR);
	end_await(&host, &host.gone, 1);
	assert_int_equal(raw_receive(fd).size, 0);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(test_first_frame_wrong),
	TEST(test_leaves_before_welcome),
	TEST(test_memory_that_could_shrink),
	TEST(test_memory_that_is_none),
	cmocka_unit_test_setup_teardown(test_memory_beyond_the_limit, setup_low, teardown),
	TEST(test_memory_beyond_the_default),
	TEST(test_memory_of_huge_pages),
	TEST(test_descriptors_out_of_number),
	TEST(test_silent_visitors_hold_nobody_up),
	TEST(test_frame_wrong),
	TEST(test_guest_hangs_up_with_a_reason),
	TEST(test_empty_frame_is_the_end),
	TEST(test_port_of_the_wrong_kind),
	TEST(test_too_many_ports),
	TEST(test_ports_come_and_go),
	TEST(test_guest_misuses_a_port),
	TEST(test_guest_does_not_take_signals),
	TEST(test_guest_does_not_read),
	TEST(test_guest_asks_and_does_not_read),
	TEST(test_dead_guest_keeps_nobody_out),
	TEST(test_half_closed),
};

int main(void)
{
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	end_forget_uris();
	return failed;
}
