/* SPDX-License-Identifier: BSD-2-Clause */

/* A host that dies while a guest connects to it: the next one is found, and a refusal is only what
 * a host said. The dying one is played here, byte by byte. */

#include "pair.h"

#include "../temporary.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum dies {
	BEFORE_WELCOME,
	AFTER_WELCOME,
	AFTER_CONTACT,
	AFTER_VERSION, /* it agreed, and made no offers */
	STAGES,
};

static char directory[80];
static char path[100], uri[128];
static HANDLE next_host;

static int listen_there(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static void hear(int fd, uint16_t type)
{
	struct pollfd frame = { .fd = fd, .events = POLLIN };
	uint8_t bytes[512] = { 0 };

	do {
		if (poll(&frame, 1, 10000) != 1 || recv(fd, bytes, sizeof(bytes), 0) <= 0)
			abort();
	} while (bytes[0] != type); /* ports come as they like */
}

static void say(int fd, const void *bytes, size_t size)
{
	if (send(fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
		abort();
}

static void die(int listener, enum dies stage)
{
	static const uint8_t welcome[24] = { 2,   0,   24,  0,   0,   0,   0,   0, 'k',
		                             'm', 'c', 'l', 'p', 'a', 'r', 't', 1 };
	/* A VERSION_RESPONSE to the SINT that the library asks for: supported. */
	static const uint8_t agreed[32] = { 4,  0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0,
		                            15, 0, 0,  0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0 };
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	hear(fd, 1);
	if (stage >= AFTER_WELCOME)
		say(fd, welcome, sizeof(welcome));
	if (stage >= AFTER_CONTACT)
		hear(fd, 4);
	if (stage >= AFTER_VERSION) {
		say(fd, agreed, sizeof(agreed));
		hear(fd, 4); /* REQUEST_OFFERS */
	}
	close(fd);
}

struct play {
	int listener;
	enum dies stage;
	bool another;
	int pause_us; /* before that one listens */
};

static void *play(void *argument)
{
	const struct play *p = argument;

	die(p->listener, p->stage);
	unlink(path);
	usleep(p->pause_us);
	if (p->another && kmcl_host_open(uri, &next_host) != STATUS_SUCCESS)
		abort();
	close(p->listener);
	return NULL;
}

static NTSTATUS open_against(const struct play *p, uint32_t timeout_ms, PDEVICE_OBJECT *bus)
{
	struct kmcl_guest_options options = { .size = sizeof(options),
		                              .timeout_ms = timeout_ms,
		                              .version_max = KMCL_BUS_VERSION(5, 3) };
	pthread_t thread;
	NTSTATUS status;

	assert_int_equal(pthread_create(&thread, NULL, play, (void *)(uintptr_t)p), 0);
	status = kmcl_guest_open_ex(uri, &options, bus);
	pthread_join(thread, NULL);
	return status;
}

/* covers: kmcl_guest_open, kmcl_guest_open_ex */
static void the_next_host_is_found(void **state)
{
	for (unsigned int i = 0; i < 2 * STAGES; i++) {
		/* At once, and so late that the guest finds nobody in between. */
		struct play p = { .listener = listen_there(),
			          .stage = i / 2,
			          .another = true,
			          .pause_us = i % 2 ? 200000 : 0 };
		PDEVICE_OBJECT bus;

		assert_int_equal(open_against(&p, 20000, &bus), STATUS_SUCCESS);
		kmcl_guest_close(bus);
		ZwClose(next_host);
	}
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

/* covers: kmcl_guest_open_ex */
static void nobody_comes(void **state)
{
	for (enum dies stage = BEFORE_WELCOME; stage < STAGES; stage++) {
		struct play p = { .listener = listen_there(), .stage = stage };
		uint64_t begun = now_ms();
		PDEVICE_OBJECT bus;

		assert_int_equal(open_against(&p, 1500, &bus), STATUS_OBJECT_NAME_NOT_FOUND);
		assert_in_range(now_ms() - begun, 1400, 2900); /* its own time, not another's */
	}
}

/* covers: kmcl_guest_open, kmcl_host_open */
static void no_directory(void **state)
{
	PDEVICE_OBJECT bus;
	HANDLE vmbus;

	assert_int_equal(kmcl_guest_open("unix:/nowhere/at/all", &bus),
	                 STATUS_OBJECT_PATH_NOT_FOUND);
	assert_int_equal(kmcl_host_open("unix:/nowhere/at/all", &vmbus),
	                 STATUS_OBJECT_PATH_NOT_FOUND);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_host_is_found),
		cmocka_unit_test(nobody_comes),
		cmocka_unit_test(no_directory),
	};
	int failed;

	pair_main(argc, argv);
	if (!mkdtemp(temporary_path(directory, sizeof(directory), "kmcl-test-XXXXXX")))
		return 1;
	snprintf(path, sizeof(path), "%s/socket", directory);
	snprintf(uri, sizeof(uri), "unix:%s", path);
	failed = cmocka_run_group_tests_name("hang_up", tests, NULL, NULL);
	unlink(path);
	rmdir(directory);
	return failed;
}
