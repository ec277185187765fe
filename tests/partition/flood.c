/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What somebody at the socket can have a process hold: other processes, descriptors, connections.
 * Each kind of input has a line in one of the tables below, one for either end. What messages and
 * rings can do is in tests/api/flood.c.
 */

#include "raw.h"

#include "partition/socket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define VISITORS    400u
#define PORTS       3000u
#define DESCRIPTORS 1024u /* of this process at most, so that a quarter is less than PORTS */
#define CHILDREN    24u   /* of the doorman's at most */
#define SPARE       16u   /* descriptors that come and go beside those counted */

static struct end host, guest;
static char uri[128];
static int visitors[VISITORS];
static unsigned int visitor_count;
/* The most there was, of the host's. */
static unsigned int processes, descriptors, connections;

/* The flooder's sides of ports that are not withdrawn. */
static int kept[DESCRIPTORS];
static unsigned int kept_count, ports_kept;

/* ---- the measure ---- */

static pid_t doorman(void)
{
	return socket_end_of(host.partition)->host.door.doorman;
}

static pid_t parent_of(pid_t pid)
{
	char path[64], line[512];
	const char *name_end;
	int parent = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	name_end = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	fclose(file);
	return name_end && sscanf(name_end, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* The doorman's. */
static unsigned int count_children(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	unsigned int count = 0;

	assert_non_null(proc);
	while ((entry = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid <= 0 || parent_of(pid) != doorman())
			continue;
		count++;
	}
	closedir(proc);
	return count;
}

static void measure(void)
{
	unsigned int children = host.partition ? count_children() : 0;
	unsigned int open = count_descriptors() - kept_count;

	if (children > processes)
		processes = children;
	if (open > descriptors)
		descriptors = open;
}

/* ---- visitors ---- */

/* False: there are too many that nobody has accepted. */
static bool visit(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	strcpy(address.sun_path, raw_path(uri));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		assert_int_equal(errno, EAGAIN);
		close(fd);
		return false;
	}
	visitors[visitor_count++] = fd;
	return true;
}

static void leave(void)
{
	while (visitor_count)
		close(visitors[--visitor_count]);
}

static void visitors_that_say_nothing(void)
{
	for (unsigned int i = 0; i < VISITORS; i++)
		if (!visit())
			i--, usleep(1000);
	measure();
}

/* Each has said HELLO, and the host, which is busy, has not heard of them. */
static void visitors_that_wait_for_the_host(void)
{
	uint64_t until = socket_now() + 10000;
	int session = raw_guest(uri);
	uint8_t bytes[64];

	end_set_stuck(&host, true);
	raw_send(session, bytes, raw_message(bytes, 1, "x", 1), NULL, 0);
	while (visitor_count < VISITORS && processes < CHILDREN && socket_now() < until) {
		if (visit())
			raw_send(visitors[visitor_count - 1], bytes, raw_hello(bytes, 1, 0), NULL,
			         0);
		else
			usleep(1000);
		measure();
	}
	assert_int_equal(processes, CHILDREN);
	while (visit()) /* until nobody is accepted any more, either */
		;
	measure();
	end_set_stuck(&host, false);
	close(session);
	end_await(&host, &host.gone, 1);
}

static void connections_that_nobody_accepts(void)
{
	kill(doorman(), SIGSTOP);
	while (visitor_count < VISITORS && visit())
		;
	connections = visitor_count;
	measure();
	kill(doorman(), SIGCONT);
}

/* ---- a guest ---- */

/* A frame that its receiver does not take now is not sent. */
static bool send_port(int session, uint32_t id)
{
	struct iovec part;
	uint8_t bytes[64];
	int pair[2], error;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	part = (struct iovec){ bytes, raw_port(bytes, id) };
	error = door_send(session, &part, 1, &pair[1], 1, MSG_DONTWAIT);
	close(pair[1]);
	if (kept_count < ports_kept)
		kept[kept_count++] = pair[0];
	else
		close(pair[0]); /* it is withdrawn at once */
	return !error;
}

static void send_ports(int session, uint32_t ids)
{
	ports_kept = ids < PORTS ? 0 : DESCRIPTORS / 2;
	for (unsigned int i = 0, tries = 0; i < PORTS && tries < 200; i++) {
		if (i % 32 == 0)
			measure();
		if (send_port(session, i % ids)) {
			tries = 0;
			continue;
		}
		tries++;
		usleep(1000);
		measure();
	}
	measure();
	while (kept_count)
		close(kept[--kept_count]);
}

static void ports_without_end(void)
{
	int session = raw_guest(uri);

	send_ports(session, PORTS);
	close(session);
}

/* Each takes the place of the one before, which has to be disposed of; and nobody does. */
static void ports_that_are_replaced(void)
{
	int session = raw_guest(uri);

	kill(doorman(), SIGSTOP);
	send_ports(session, 4);
	kill(doorman(), SIGCONT);
	close(session);
}

static void expect_service(void)
{
	unsigned int came = end_read(&host, &host.came);

	end_open(&guest, PARTITION_GUEST, uri, 1);
	end_await(&guest, &guest.came, 1);
	end_await(&host, &host.came, came + 1);
	end_close(&guest);
	end_free_ram(&guest);
	end_await(&host, &host.gone, came + 1);
}

static void test_at_a_host(void **state)
{
	static const struct {
		const char *name;
		void (*flood)(void);
		unsigned int processes, descriptors, connections;
	} inputs[] = {
		{ "visitors that say nothing", visitors_that_say_nothing, CHILDREN, 0, VISITORS },
		{ "visitors that wait for the host", visitors_that_wait_for_the_host, CHILDREN, 4,
		  VISITORS },
		/* the kernel lets in one more than it is told */
		{ "connections that nobody accepts", connections_that_nobody_accepts, CHILDREN, 0,
		  SOCKET_BACKLOG + 2 },
		{ "ports without end", ports_without_end, CHILDREN, DESCRIPTORS / 4, 0 },
		{ "ports that are replaced", ports_that_are_replaced, CHILDREN,
		  SOCKET_RUBBISH_MAX + 4, 0 },
	};

	end_scheme = "unix";
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		unsigned int before;

		strcpy(uri, end_new_uri());
		end_open(&host, PARTITION_HOST, uri, 0);
		before = settled_descriptors();
		processes = descriptors = connections = 0;
		inputs[i].flood();
		/* a visitor's side is this process's, too */
		before += visitor_count;
		descriptors = descriptors > before ? descriptors - before : 0;
		print_message("# %-33s %3u processes, %3u descriptors, %3u connections\n",
		              inputs[i].name, processes, descriptors, connections);
		assert_in_range(processes, 0, inputs[i].processes);
		assert_in_range(descriptors, 0, inputs[i].descriptors + SPARE);
		assert_in_range(connections, 0, inputs[i].connections);
		leave();
		expect_service();
		end_close(&host);
	}
}

/* ---- a host floods its guest ---- */

static int greet(int listener)
{
	uint8_t bytes[64];
	int session = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct raw_frame hello;

	assert_true(session >= 0);
	hello = raw_receive(session);
	assert_int_equal(hello.bytes[0], 1);
	if (hello.fd >= 0)
		close(hello.fd);
	raw_send(session, bytes, raw_welcome(bytes), NULL, 0);
	return session;
}

static void *be_host(void *argument)
{
	int *session = argument;

	*session = greet(*session);
	return NULL;
}

static void host_sends_ports(int session)
{
	send_ports(session, PORTS);
}

static void host_replaces_ports(int session)
{
	send_ports(session, 4);
}

static void test_at_a_guest(void **state)
{
	static const struct {
		const char *name;
		void (*flood)(int session);
		unsigned int descriptors;
	} inputs[] = {
		{ "ports without end", host_sends_ports, DESCRIPTORS / 4 },
		{ "ports that are replaced", host_replaces_ports, SOCKET_RUBBISH_MAX + 4 },
	};

	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		unsigned int before;
		pthread_t thread;
		int listener, session;

		strcpy(uri, end_new_uri());
		listener = session = raw_listen(uri);
		assert_int_equal(pthread_create(&thread, NULL, be_host, &session), 0);
		end_open(&guest, PARTITION_GUEST, uri, 1);
		pthread_join(thread, NULL);
		before = count_descriptors();
		descriptors = 0;
		host.partition = NULL;
		inputs[i].flood(session);
		descriptors = descriptors > before ? descriptors - before : 0;
		print_message("# %-33s %3u descriptors\n", inputs[i].name, descriptors);
		assert_in_range(descriptors, 0, inputs[i].descriptors + SPARE);
		close(session);
		close(listener);
		end_close(&guest);
		end_free_ram(&guest);
	}
}

static int setup(void **state)
{
	const struct rlimit limit = { DESCRIPTORS, DESCRIPTORS };

	door_children_max = CHILDREN;
	return setrlimit(RLIMIT_NOFILE, &limit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_a_host),
		cmocka_unit_test(test_at_a_guest),
	};
	int failed = cmocka_run_group_tests_name("flood", tests, setup, NULL);

	end_forget_uris();
	return failed;
}
