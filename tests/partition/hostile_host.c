/* SPDX-License-Identifier: BSD-2-Clause */

/* A guest whose host does not keep to the protocol: opening fails with a sentence that helps, and a
 * session ends and is looked for again. */

#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct end guest;
static char uri[128];
static int listener;

/* The guest opens on a thread, while the test plays its host. */
static pthread_t opener;
static int opened;

static void *open_guest(void *unused)
{
	opened = end_try_open(&guest, PARTITION_GUEST, uri, 1);
	return NULL;
}

static int accept_hello(void)
{
	struct raw_frame hello;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	assert_true(fd >= 0);
	hello = raw_receive(fd);
	assert_int_equal(hello.size, 32);
	assert_int_equal(hello.bytes[0], 1);
	assert_true(hello.fd >= 0);
	/* It has sealed its memory before it let go of it. */
	assert_int_equal(fcntl(hello.fd, F_GET_SEALS) & RAW_SEALS, RAW_SEALS);
	close(hello.fd);
	return fd;
}

static int begin(void)
{
	assert_int_equal(pthread_create(&opener, NULL, open_guest, NULL), 0);
	return accept_hello();
}

static void expect_open(int error, const char *part)
{
	pthread_join(opener, NULL);
	if (opened != error || (error && !strstr(guest.why, part)))
		fail_msg("%s \"%s\" was expected, and %s \"%s\" came", strerror(-error), part,
		         strerror(-opened), guest.why);
}

static int setup(void **state)
{
	end_scheme = "unix";
	strcpy(uri, end_new_uri());
	listener = raw_listen(uri);
	return 0;
}

static int teardown(void **state)
{
	if (listener >= 0)
		close(listener);
	return 0;
}

static void answer_is_refused(const void *bytes, size_t size, const char *part)
{
	int fd = begin();

	raw_send(fd, bytes, size, NULL, 0);
	expect_open(-EPROTO, part);
	close(fd);
}

static void test_answer_wrong(void **state)
{
	uint8_t bytes[64];
	size_t size;

	answer_is_refused("hi", 2, "least size of a frame");
	size = raw_welcome(bytes);
	bytes[9] = 'x';
	answer_is_refused(bytes, size, "magic");
	raw_welcome(bytes);
	bytes[16] = 2;
	answer_is_refused(bytes, size, "version in WELCOME");
	answer_is_refused(bytes, raw_hello(bytes, 1, 0), "type of frame");
	answer_is_refused(bytes, raw_message(bytes, 0, "x", 1), "type of frame");
}

static void test_refusals(void **state)
{
	uint8_t busy[] = { 3, 0, 12, 0, 1, 0, 0, 0, 'B', 'U', 'S', 'Y' };
	uint8_t escapes[] = { 3,    0,   17,  0,    2,   0,    0,    0,  'A',
		              0x1b, '[', 'B', 0x9b, 'C', 0xc2, 0x9b, 'D' };
	uint8_t version[] = { 3, 0, 11, 0, 2, 0, 0, 0, 'O', 'L', 'D' };
	int fd = begin();

	raw_send(fd, busy, sizeof(busy), NULL, 0);
	expect_open(-EADDRINUSE, "BUSY");
	close(fd);
	fd = begin();
	raw_send(fd, version, sizeof(version), NULL, 0);
	expect_open(-EPROTO, "OLD");
	close(fd);
	fd = begin(); /* CSI in C0, C1 and UTF-8 */
	raw_send(fd, escapes, sizeof(escapes), NULL, 0);
	expect_open(-EPROTO, "A?[B?C??D");
	close(fd);
}

static void test_closes_without_an_answer(void **state)
{
	struct pollfd more = { .fd = listener, .events = POLLIN };

	close(begin());
	/* It may be the next host that listens: until it has no more patience. */
	while (poll(&more, 1, 1000) == 1)
		close(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	expect_open(-ECONNREFUSED, "without an answer");
}

static void test_the_next_host_answers(void **state)
{
	uint8_t bytes[64];
	int fd;

	close(begin());
	close(accept_hello());
	fd = accept_hello();
	raw_send(fd, bytes, raw_welcome(bytes), NULL, 0);
	expect_open(0, "");
	end_await(&guest, &guest.came, 1);
	end_close(&guest);
	end_free_ram(&guest);
	close(fd);
}

/* More visitors than the host has room for, at the moment. */
static void test_the_hosts_queue_is_full(void **state)
{
	int waiting[16], fd, count = 0;
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(address.sun_path, raw_path(uri));
	for (;;) {
		fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
			break;
		assert_true(count < 16);
		waiting[count++] = fd;
	}
	assert_int_equal(errno, EAGAIN);
	close(fd);
	assert_int_equal(pthread_create(&opener, NULL, open_guest, NULL), 0);
	for (int i = 0; i < count; i++) {
		close(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
		close(waiting[i]);
	}
	fd = accept_hello();
	close(listener);
	listener = -1;
	close(fd);
	expect_open(-ECONNREFUSED, "nobody listens");
}

static void test_does_not_answer(void **state)
{
	int fd = begin();

	expect_open(-ETIMEDOUT, "does not answer");
	close(fd);
}

static void test_nobody_listens(void **state)
{
	close(listener);
	listener = -1;
	assert_int_equal(end_try_open(&guest, PARTITION_GUEST, uri, 0), -ECONNREFUSED);
	assert_non_null(strstr(guest.why, "nobody listens"));
	unlink(raw_path(uri));
	assert_int_equal(end_try_open(&guest, PARTITION_GUEST, uri, 0), -ENOENT);
	assert_non_null(strstr(guest.why, "no such socket"));
}

static void test_socket_of_another_kind(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	close(listener);
	unlink(raw_path(uri));
	strcpy(address.sun_path, raw_path(uri));
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(end_try_open(&guest, PARTITION_GUEST, uri, 0), -EPROTO);
	assert_non_null(strstr(guest.why, "no kmcl host"));
}

static void test_garbage_ends_session_and_guest_comes_again(void **state)
{
	uint8_t bytes[64];
	int fd = begin();
	int any = raw_memfd(4096, 0);

	raw_send(fd, bytes, raw_welcome(bytes), NULL, 0);
	expect_open(0, "");
	end_await(&guest, &guest.came, 1);
	raw_send(fd, bytes, raw_message(bytes, 0, "fine", 4), NULL, 0);
	raw_send(fd, bytes, raw_port(bytes, 1), &any, 1);
	raw_expect_refusal(fd, 3, "socketpair was expected");
	end_await(&guest, &guest.gone, 1);
	assert_int_equal(guest.messages, 1);
	end_await_log(&guest, "disconnected");

	/* A host that answers wrong does not end its search. */
	fd = accept_hello();
	raw_send(fd, "junk", 4, NULL, 0);
	close(fd);
	end_await_log(&guest, "cannot reconnect");
	fd = accept_hello();
	close(fd);
	fd = accept_hello();
	raw_send(fd, bytes, raw_welcome(bytes), NULL, 0);
	end_await(&guest, &guest.came, 2);
	raw_send(fd, bytes, raw_message(bytes, 0, "again", 5), NULL, 0);
	end_await(&guest, &guest.messages, 2);
	end_close(&guest);
	end_free_ram(&guest);
	close(fd);
	close(any);
}

static void memory_cannot_be_sealed(int fd, const char *part)
{
	struct partition_settings settings = { .end = PARTITION_GUEST };
	struct partition *p;
	char why[200];
	void *base = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	assert_true(base != MAP_FAILED);
	settings.ram = (struct partition_ram){ .fd = fd, .base = base, .size = 4096 };
	assert_true(partition_open(uri, &settings, &p, why, sizeof(why)) < 0);
	if (!strstr(why, part))
		fail_msg("\"%s\" was expected, and \"%s\" came", part, why);
	munmap(base, 4096);
	close(fd);
}

static void test_own_memory_unfit(void **state)
{
	int fd = memfd_create("kmcl-no-seals", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, 4096), 0);
	memory_cannot_be_sealed(fd, "MFD_ALLOW_SEALING");
	memory_cannot_be_sealed(raw_memfd(8192, 0), "4096 bytes were announced");
	memory_cannot_be_sealed(open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
	                        "a memfd was expected");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(test_answer_wrong),
	TEST(test_refusals),
	TEST(test_closes_without_an_answer),
	TEST(test_the_next_host_answers),
	TEST(test_the_hosts_queue_is_full),
	TEST(test_does_not_answer),
	TEST(test_nobody_listens),
	TEST(test_socket_of_another_kind),
	TEST(test_garbage_ends_session_and_guest_comes_again),
	TEST(test_own_memory_unfit),
};

int main(void)
{
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	end_forget_uris();
	return failed;
}
