/* SPDX-License-Identifier: BSD-2-Clause */

/* docs/socket-partition.md is enough to write either end from: a guest in Python talks to this
 * host, and a host in Python to this guest. And its example is what is sent: it is read from the
 * page. */

#include "raw.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static struct end host;
static char uri[128];
static const char *guest_py, *host_py, *document;

static int setup(void **state)
{
	end_scheme = "unix";
	strcpy(uri, end_new_uri());
	end_open(&host, PARTITION_HOST, uri, 0);
	return 0;
}

static int teardown(void **state)
{
	end_close(&host);
	return 0;
}

/* Starts guest.py or host.py; skips, and says so, where there is no Python. */
static pid_t start(const char *which)
{
	char python[] = "python3", script[512], path[128];
	char *argv[] = { python, script, path, NULL };
	pid_t pid;
	int error;

	snprintf(script, sizeof(script), "%s", which);
	snprintf(path, sizeof(path), "%s", raw_path(uri));
	error = posix_spawnp(&pid, python, NULL, NULL, argv, environ);
	if (error) {
		print_message("# SKIPPED: python3 cannot be run (%s), so nothing was shown about "
		              "the document\n",
		              strerror(error));
		skip();
	}
	return pid;
}

static void answer_guest(void)
{
	static const uint8_t version_response[] = {
		15, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0
	};
	struct partition_address to = { .vp = 7, .sint = 2 }, flag = { .id = 3 };
	struct partition_pin *pin = partition_pin(host.partition);
	struct partition_link *link;

	assert_int_equal(partition_pin_memory(pin).size, 4 * 4096);
	strcpy(partition_page(pin, 2), "written by the host");
	partition_unpin(pin);
	assert_int_equal(
		partition_post(host.partition, to, version_response, sizeof(version_response)), 0);
	assert_int_equal(partition_connect(host.partition, flag, &link), 0);
	partition_signal(link);
	partition_disconnect(link);
}

static void test_guest_written_from_the_document(void **state)
{
	static const uint8_t initiate_contact[40] = { 14, 0, 0, 0, 0, 0, 0, 0, 3, 0, 5, 0 };
	struct partition_port *port;
	struct partition_pin *pin;
	int status;
	pid_t pid;

	pid = start(guest_py);
	assert_int_equal(partition_listen(host.partition, 0x2001, &port), 0);
	end_await(&host, &host.messages, 1);
	assert_int_equal(partition_other_process(host.partition), pid);
	assert_int_equal(host.message[0].id, 4);
	assert_int_equal(host.message[0].size, sizeof(initiate_contact));
	assert_memory_equal(host.message[0].payload, initiate_contact, sizeof(initiate_contact));
	pin = partition_pin(host.partition);
	answer_guest();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	end_await(&host, &host.gone, 1);
	assert_int_equal(host.messages, 2);
	assert_memory_equal(host.message[1].payload, "done", 4);
	assert_string_equal(partition_page(pin, 3), "written by the guest.py");
	partition_unpin(pin);
	partition_unlisten(port);
}

/* ---- the other way round ---- */

static void expect_exit(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* It has to begin to listen first. */
static void open_guest(struct end *guest)
{
	int error = -ENOENT;

	for (int i = 0; i < 2000 && (error == -ENOENT || error == -ECONNREFUSED); i++) {
		error = end_try_open(guest, PARTITION_GUEST, uri, 4);
		if (error)
			usleep(10000);
	}
	assert_int_equal(error, 0);
}

static void talk_to_host(struct end *guest, struct partition_port *port)
{
	static const uint8_t contact[40] = { 14, 0, 0, 0, 0, 0, 0, 0, 3, 0, 5, 0 };
	static const uint8_t response[16] = { 15, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4 };
	struct partition_address to = { .id = 4 }, event = { .id = 0x2001 };
	uint8_t *ram = guest->settings.ram.base;
	struct partition_link *link;

	assert_int_equal(partition_post(guest->partition, to, contact, sizeof(contact)), 0);
	end_await(guest, &guest->messages, 1);
	assert_int_equal(guest->message[0].size, sizeof(response));
	assert_memory_equal(guest->message[0].payload, response, sizeof(response));
	assert_true(port_readable(port, 20000));
	partition_port_clear(port);
	assert_string_equal((char *)ram + 2 * 4096, "written by the host");
	strcpy((char *)ram + 3 * 4096, "written by the guest");
	assert_int_equal(partition_connect(guest->partition, event, &link), 0);
	partition_signal(link);
	assert_int_equal(partition_post(guest->partition, to, "done", 4), 0);
	partition_disconnect(link);
}

static void test_host_written_from_the_document(void **state)
{
	struct partition_port *port;
	struct end guest;
	pid_t pid;

	end_close(&host);
	pid = start(host_py);
	open_guest(&guest);
	end_await(&guest, &guest.came, 1); /* open, a moment before it knows with whom */
	assert_int_equal(partition_other_process(guest.partition), pid);
	assert_int_equal(partition_listen(guest.partition, 3, &port), 0);
	talk_to_host(&guest, port);
	partition_unlisten(port);
	end_close(&guest);
	end_free_ram(&guest);
	expect_exit(pid);
	end_open(&host, PARTITION_HOST, uri, 0); /* for the teardown */
}

/* ---- the example ---- */

/* Reads the hex bytes that follow the line containing `title`. */
static size_t example(const char *title, uint8_t *bytes, size_t room)
{
	FILE *page = fopen(document, "re");
	bool found = false;
	size_t count = 0;
	char line[300];

	assert_non_null(page);
	while (fgets(line, sizeof(line), page)) {
		char *at = line;
		unsigned int byte;
		int length;

		if (!found) {
			found = !strncmp(line, "    ", 4) && strstr(line, title);
			continue;
		}
		if (strncmp(line, "           ", 11))
			break;
		while (sscanf(at, " %2x%n", &byte, &length) == 1) {
			assert_true(count < room);
			bytes[count++] = (uint8_t)byte;
			at += length;
		}
	}
	fclose(page);
	if (!count)
		fail_msg("no example \"%s\" in %s", title, document);
	return count;
}

static void expect_frame(int fd, const char *title, bool with_descriptor)
{
	struct raw_frame frame = raw_receive(fd);
	uint8_t bytes[256];
	size_t size = example(title, bytes, sizeof(bytes));

	if (frame.size != (ssize_t)size || memcmp(frame.bytes, bytes, size))
		fail_msg("what came is not the example \"%s\"", title);
	assert_int_equal(frame.fd >= 0, with_descriptor);
	if (frame.fd >= 0)
		close(frame.fd);
}

static void send_example(int fd, const char *title, int descriptor)
{
	uint8_t bytes[256];
	size_t size = example(title, bytes, sizeof(bytes));

	raw_send(fd, bytes, size, &descriptor, descriptor >= 0);
}

/* The number of the process is all that may differ. */
static void expect_busy(int memory)
{
	int fd = raw_connect(uri);
	uint8_t bytes[256];
	struct raw_frame frame;
	char text[64];

	send_example(fd, "guest  HELLO", memory);
	frame = raw_receive(fd);
	frame.bytes[frame.size] = 0;
	snprintf(text, sizeof(text), "busy: process %d is the guest", getpid());
	assert_string_equal((char *)frame.bytes + 8, text);
	bytes[example("host   REFUSE", bytes, sizeof(bytes))] = 0;
	assert_string_equal((char *)bytes + 8, "busy: process 42 is the guest");
	assert_int_equal(bytes[2], 8 + strlen((char *)bytes + 8));
	assert_memory_equal(bytes + 3, frame.bytes + 3, 5);
	close(fd);
}

static void test_example_in_the_document(void **state)
{
	struct partition_address to = { .sint = 2 };
	static const uint8_t response[] = { 15, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0 };
	int memory = raw_memfd(16384, RAW_SEALS);
	struct partition_port *port;
	int pair[2];
	int fd;

	assert_int_equal(partition_listen(host.partition, 0x2001, &port), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fd = raw_connect(uri);
	send_example(fd, "guest  HELLO", memory);
	expect_frame(fd, "host   WELCOME", false);
	expect_frame(fd, "host   PORT 0x2001", true);
	send_example(fd, "guest  PORT 3", pair[1]);
	send_example(fd, "guest  MESSAGE", -1);
	end_await(&host, &host.messages, 1);
	assert_int_equal(host.message[0].id, 4);
	assert_int_equal(host.message[0].size, 40);
	assert_int_equal(host.message[0].payload[0], 14);
	assert_int_equal(partition_post(host.partition, to, response, sizeof(response)), 0);
	expect_frame(fd, "host   MESSAGE", false);
	expect_busy(memory);
	close(fd);
	end_await(&host, &host.gone, 1);
	close(pair[0]);
	close(pair[1]);
	close(memory);
	partition_unlisten(port);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(test_guest_written_from_the_document),
	TEST(test_host_written_from_the_document),
	TEST(test_example_in_the_document),
};

int main(int argc, char **argv)
{
	int failed;

	if (argc != 4) {
		fprintf(stderr, "usage: %s guest.py host.py socket-partition.md\n", argv[0]);
		return 2;
	}
	guest_py = argv[1];
	host_py = argv[2];
	document = argv[3];
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	end_forget_uris();
	return failed;
}
