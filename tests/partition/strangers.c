/* SPDX-License-Identifier: BSD-2-Clause */

/* Descriptors whose last close() waits, sent to a host in every way there is: TCP sockets that
 * linger, with data that nobody reads. The host serves its guest as if they were not there, and
 * ends when it is told to. */

#include "../sanitized.h"
#include "raw.h"

#include "partition/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE_MS (SANITIZED ? 5000 : 1000)
#define EACH       13 /* of 8 kinds: over 100 */
#define LINGER_S   60 /* what a host that waits for one takes at least */

static struct end host, guest;
static char uri[128];
static int unread[EACH * 16]; /* the other ends of the TCP sockets: nobody reads them */
static unsigned int unread_count;

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- what they send ---- */

static int lingering(void)
{
	const struct linger linger = { 1, LINGER_S };
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 4096;
	char bytes[4096] = { 0 };

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	unread[unread_count] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(unread[unread_count++] >= 0);
	close(listener);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	return fd;
}

static size_t hello(uint8_t *bytes)
{
	return raw_hello(bytes, 1, 4096);
}

/* As raw_guest(), in a process where no assertion of cmocka's has anywhere to jump. */
static int be_guest(void)
{
	uint8_t bytes[64];
	int fd = raw_connect(uri);

	raw_send(fd, bytes, raw_hello(bytes, 1, 0), NULL, 0);
	must(recv(fd, bytes, sizeof(bytes), 0) == 24);
	return fd;
}

static void in_a_silent_visitors_queue(int fd)
{
	uint8_t bytes[64];
	int visitor = raw_connect(uri);

	raw_send(visitor, bytes, hello(bytes) - 1, &fd, 1); /* refused */
}

/* Behind a frame that has it refused: nobody ever receives it. */
static void in_a_refused_visitors_queue(int fd)
{
	int visitor = raw_connect(uri);
	struct iovec part = { (void *)(uintptr_t) "xxxxxxxx", 8 };

	raw_send(visitor, "rubbish!", 8, NULL, 0);
	door_send(visitor, &part, 1, &fd, 1, 0); /* unless it has been shown out by now */
}

static void in_the_place_of_memory(int fd)
{
	uint8_t bytes[64];
	int visitor = raw_connect(uri);

	raw_send(visitor, bytes, hello(bytes), &fd, 1);
}

static void beside_the_memory(int fd)
{
	int both[] = { raw_memfd(4096, RAW_SEALS), fd };
	uint8_t bytes[64];
	int visitor = raw_connect(uri);

	raw_send(visitor, bytes, hello(bytes), both, 2);
}

static void with_a_message(int fd)
{
	uint8_t bytes[64];
	int session = be_guest();

	raw_send(session, bytes, raw_message(bytes, 1, "x", 1), &fd, 1);
}

static void beside_a_port(int fd)
{
	uint8_t bytes[64];
	int session = be_guest(), pair[2], both[2];

	must(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	both[0] = pair[1];
	both[1] = fd;
	raw_send(session, bytes, raw_port(bytes, 5), both, 2);
}

/* The port itself is good. Its session goes on for a while, so that it is taken. */
static void in_a_ports_queue(int fd)
{
	uint8_t bytes[64];
	int session = be_guest(), pair[2];

	must(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	raw_send(pair[0], "x", 1, &fd, 1);
	raw_send(session, bytes, raw_port(bytes, 5), &pair[1], 1);
	raw_send(session, bytes, raw_message(bytes, 7, "x", 1), NULL, 0);
	raw_receive(session); /* the answer to that */
}

/* Where the kernel refuses it, that is as good. */
static void with_a_signal(int fd)
{
	const struct iovec part = { (void *)(uintptr_t) "x", 1 };
	struct raw_frame port;
	int session = be_guest(), error;

	port = raw_receive(session);
	must(port.bytes[0] == 5 && port.fd >= 0);
	error = door_send(port.fd, &part, 1, &fd, 1, 0);
	if (error)
		return;
	while (raw_receive(session).size) /* until it is sent away for it */
		;
}

static unsigned int door_living(const struct door_board *board)
{
	unsigned int count = 0;

	for (uint32_t i = 0; i < DOOR_CHILDREN_MAX; i++)
		count += atomic_load(&board->children[i].state) != DOOR_FREE;
	return count;
}

/* ---- having it done ---- */

static pid_t attack(void (*how)(int fd))
{
	int fd = lingering(), go[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(go[1]);
		must(read(go[0], &byte, 1) == 0);
		how(fd);
		_exit(0); /* without waiting: the host has the last of it */
	}
	close(fd); /* nor is this one */
	close(go[0]);
	close(go[1]);
	return pid;
}

static void await_exit(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void be_visited(void (*how)(int fd))
{
	pid_t pids[EACH];

	for (int i = 0; i < EACH; i++)
		pids[i] = attack(how);
	for (int i = 0; i < EACH; i++)
		await_exit(pids[i]);
}

static void answer(struct end *end, const struct end_message *message)
{
	if (message->id == 7)
		partition_post(end->partition, (struct partition_address){ 0 }, "y", 1);
}

static atomic_bool done;

static void *clear_all(void *argument)
{
	struct partition_port *port = argument;

	while (!atomic_load(&done)) {
		port_readable(port, 100);
		partition_port_clear(port);
	}
	return NULL;
}

static void have_guests(void (*how)(int fd))
{
	for (int i = 0; i < EACH; i++) {
		unsigned int gone = end_read(&host, &host.gone);

		await_exit(attack(how));
		end_await(&host, &host.gone, gone + 1);
	}
}

static void expect_service(unsigned int ms)
{
	unsigned int came = end_read(&host, &host.came), messages = end_read(&host, &host.messages);
	uint64_t start = now_ms();

	end_open(&guest, PARTITION_GUEST, uri, 1);
	end_await(&guest, &guest.came, 1);
	end_await(&host, &host.came, came + 1);
	assert_int_equal(
		partition_post(guest.partition, (struct partition_address){ .id = 1 }, "x", 1), 0);
	end_await(&host, &host.messages, messages + 1);
	assert_in_range(now_ms() - start, 0, ms);
	end_close(&guest);
	end_free_ram(&guest);
	end_await(&host, &host.gone, came + 1);
}

static void the_host_serves(bool passrights)
{
	unsigned int descriptors = settled_descriptors();
	struct partition_visitors visitors;
	struct partition_port *port;
	pthread_t dispatcher;
	uint64_t start;

	socket_without_passrights = !passrights;
	end_scheme = "unix";
	strcpy(uri, end_new_uri());
	end_open_hooked(&host, PARTITION_HOST, uri, 0, answer);
	assert_int_equal(partition_listen(host.partition, 33, &port), 0);
	atomic_store(&done, false);
	assert_int_equal(pthread_create(&dispatcher, NULL, clear_all, port), 0);

	be_visited(in_a_silent_visitors_queue);
	expect_service(AT_ONCE_MS);
	be_visited(in_a_refused_visitors_queue);
	be_visited(in_the_place_of_memory);
	be_visited(beside_the_memory);
	expect_service(AT_ONCE_MS);
	have_guests(with_a_message);
	have_guests(beside_a_port);
	have_guests(in_a_ports_queue);
	have_guests(with_a_signal);
	expect_service(AT_ONCE_MS);
	assert_true(unread_count > 100);
	visitors = partition_visitors(host.partition);
	assert_in_range(visitors.came, 8 * EACH + 3, 8 * EACH + 3);
	assert_in_range(visitors.refused, 4 * EACH, 4 * EACH);

	atomic_store(&done, true);
	pthread_join(dispatcher, NULL);
	start = now_ms();
	partition_unlisten(port);
	end_close(&host);
	assert_in_range(now_ms() - start, 0, AT_ONCE_MS);
	while (unread_count)
		close(unread[--unread_count]);
	assert_int_equal(settled_descriptors(), descriptors);
}

static void test_descriptors_that_wait(void **state)
{
	the_host_serves(true);
}

/* As on kernels that cannot be asked to refuse descriptors. */
static void test_where_no_socket_refuses_them(void **state)
{
	the_host_serves(false);
}

/* Visitors of which there are more than a host listens to at a time, and who go on coming. */
static void test_a_crowd(void **state)
{
	int crowd[100];

	end_scheme = "unix";
	strcpy(uri, end_new_uri());
	end_open(&host, PARTITION_HOST, uri, 0);
	for (int i = 0; i < 100; i++)
		crowd[i] = raw_connect(uri);
	expect_service(AT_ONCE_MS);
	for (int i = 0; i < 100; i++)
		close(crowd[i]);
	expect_service(AT_ONCE_MS);
	end_close(&host);
}

/* ---- a host that does so to its guest ---- */

static void hosts_port(int session, int fd)
{
	uint8_t bytes[64];

	raw_send(session, bytes, raw_port(bytes, 5), &fd, 1);
}

static void hosts_message(int session, int fd)
{
	uint8_t bytes[64];

	raw_send(session, bytes, raw_message(bytes, 0, "x", 1), &fd, 1);
}

static void beside_a_hosts_port(int session, int fd)
{
	uint8_t bytes[64];
	int pair[2], both[2];

	must(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	both[0] = pair[1];
	both[1] = fd;
	raw_send(session, bytes, raw_port(bytes, 5), both, 2);
}

static void in_a_hosts_ports_queue(int session, int fd)
{
	uint8_t bytes[64];
	int pair[2];

	must(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	raw_send(pair[0], "x", 1, &fd, 1);
	raw_send(session, bytes, raw_port(bytes, 5), &pair[1], 1);
}

/* Behind what ends the session: nobody receives it. */
static void after_the_end(int session, int fd)
{
	struct iovec part = { (void *)(uintptr_t) "xxxxxxxx", 8 };

	raw_send(session, "rubbish!", 8, NULL, 0);
	door_send(session, &part, 1, &fd, 1, 0);
}

static void with_the_welcome(int session, int fd)
{
	uint8_t bytes[64];

	raw_send(session, bytes, raw_welcome(bytes), &fd, 1);
}

/* Lets a guest in, and has the last of the descriptor nowhere but with it. */
static _Noreturn void be_such_a_host(int listener, void (*how)(int session, int fd), int fd)
{
	uint8_t bytes[64];
	int session = accept(listener, NULL, NULL);

	must(session >= 0 && recv(session, bytes, sizeof(bytes), 0) == 32);
	if (how != with_the_welcome)
		raw_send(session, bytes, raw_welcome(bytes), NULL, 0);
	how(session, fd);
	while (recv(session, bytes, sizeof(bytes), 0) > 0 && how != in_a_hosts_ports_queue)
		;
	_exit(0);
}

static void test_a_guest_of_such_a_host(void **state)
{
	static void (*const ways[])(int session, int fd) = {
		hosts_port,    hosts_message,    beside_a_hosts_port, in_a_hosts_ports_queue,
		after_the_end, with_the_welcome,
	};

	end_scheme = "unix";
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct partition_port *port;
		int listener, fd = lingering();
		uint64_t start;
		pid_t pid;

		strcpy(uri, end_new_uri());
		listener = raw_listen(uri);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid)
			be_such_a_host(listener, ways[i], fd);
		close(fd);
		close(listener);
		if (ways[i] == with_the_welcome) {
			assert_int_not_equal(end_try_open(&guest, PARTITION_GUEST, uri, 1), 0);
			await_exit(pid);
			continue;
		}
		end_open(&guest, PARTITION_GUEST, uri, 1);
		assert_int_equal(partition_listen(guest.partition, 3, &port), 0);
		await_exit(pid);
		end_await(&guest, &guest.gone, 1);
		start = now_ms();
		partition_unlisten(port);
		end_close(&guest);
		assert_in_range(now_ms() - start, 0, AT_ONCE_MS);
		end_free_ram(&guest);
	}
	while (unread_count)
		close(unread[--unread_count]);
}

/* A porter that does nothing any more, as one whose guest's descriptors hold it up; and a doorman
 * whom nobody can tell. */
static void test_a_stuck_porter_is_killed(void **state)
{
	struct door_message nothing = { .kind = DOOR_NOTE };
	const struct iovec part = { &nothing, sizeof(nothing) };
	struct socket_end *end;
	int session;

	end_scheme = "unix";
	strcpy(uri, end_new_uri());
	end_open(&host, PARTITION_HOST, uri, 0);
	session = raw_guest(uri);
	end_await(&host, &host.came, 1);
	end = socket_end_of(host.partition);
	assert_int_equal(kill(end->host.porter, SIGSTOP), 0);
	assert_int_equal(kill(end->host.door.doorman, SIGSTOP), 0);
	while (!door_send(end->host.door.fd, &part, 1, NULL, 0, MSG_DONTWAIT))
		;
	close(session);
	end_await(&host, &host.gone, 1); /* its last words did not come */
	assert_int_equal(kill(end->host.door.doorman, SIGCONT), 0);
	for (int ms = 0; ms < 20000 && door_living(end->host.door.board); ms += 10)
		usleep(10000);
	assert_int_equal(door_living(end->host.door.board), 0);
	end_close(&host);
}

static void test_what_does_not_end_is_counted(void **state)
{
	static struct door_board board;

	assert_int_equal(door_stuck(&board), 0);
	board.children[3].state = DOOR_ENDING;
	board.children[3].since = door_now();
	board.children[4].state = DOOR_GUEST;
	assert_int_equal(door_stuck(&board), 0);
	board.children[3].since -= DOOR_GRACE_MS + 1;
	assert_int_equal(door_stuck(&board), 1);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_descriptors_that_wait),
	cmocka_unit_test(test_where_no_socket_refuses_them),
	cmocka_unit_test(test_a_crowd),
	cmocka_unit_test(test_a_guest_of_such_a_host),
	cmocka_unit_test(test_a_stuck_porter_is_killed),
	cmocka_unit_test(test_what_does_not_end_is_counted),
};

int main(void)
{
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	end_forget_uris();
	return failed;
}
