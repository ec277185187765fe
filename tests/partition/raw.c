/* SPDX-License-Identifier: BSD-2-Clause */

#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

const char *raw_path(const char *uri)
{
	return uri + strlen("unix:");
}

static struct sockaddr_un address_of(const char *uri)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strncpy(address.sun_path, raw_path(uri), sizeof(address.sun_path) - 1);
	return address;
}

int raw_connect(const char *uri)
{
	struct sockaddr_un address = address_of(uri);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

int raw_listen(const char *uri)
{
	struct sockaddr_un address = address_of(uri);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

void raw_send(int fd, const void *bytes, size_t size, const int *descriptors, size_t count)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control = { 0 };
	uint8_t copy[512];
	struct iovec part = { copy, size };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };

	assert_true(size <= sizeof(copy) && count <= 8);
	memcpy(copy, bytes, size);
	if (count) {
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&control.header), descriptors, count * sizeof(int));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), size);
}

struct raw_frame raw_receive(int fd)
{
	struct raw_frame frame = { .fd = -1 };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec part = { frame.bytes, sizeof(frame.bytes) };
	struct msghdr msg = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	if (poll(&poll_fd, 1, 10000) != 1)
		fail_msg("no frame came");
	do {
		frame.size = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	} while (frame.size < 0 && errno == ECONNRESET);
	assert_true(frame.size >= 0);
	if (msg.msg_controllen)
		memcpy(&frame.fd, CMSG_DATA(&control.header), sizeof(int));
	return frame;
}

int raw_memfd(size_t size, int seals)
{
	int fd = memfd_create("kmcl-raw", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	if (seals)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static size_t header(uint8_t *bytes, uint16_t type, size_t size, uint32_t id)
{
	bytes[0] = (uint8_t)type;
	bytes[1] = (uint8_t)(type >> 8);
	bytes[2] = (uint8_t)size;
	bytes[3] = (uint8_t)(size >> 8);
	memcpy(bytes + 4, &id, 4);
	return size;
}

size_t raw_hello(uint8_t *bytes, uint32_t version, uint64_t ram_size)
{
	memset(bytes, 0, 32);
	memcpy(bytes + 8, "kmclpart", 8);
	memcpy(bytes + 16, &version, 4);
	memcpy(bytes + 24, &ram_size, 8);
	return header(bytes, 1, 32, 0);
}

size_t raw_welcome(uint8_t *bytes)
{
	raw_hello(bytes, 1, 0);
	return header(bytes, 2, 24, 0);
}

size_t raw_message(uint8_t *bytes, uint32_t id, const void *payload, size_t size)
{
	memset(bytes, 0, 16);
	memcpy(bytes + 16, payload, size);
	return header(bytes, 4, 16 + size, id);
}

size_t raw_port(uint8_t *bytes, uint32_t id)
{
	return header(bytes, 5, 8, id);
}

int raw_guest(const char *uri)
{
	uint8_t bytes[64], welcome[64];
	struct raw_frame answer;
	int fd = raw_connect(uri);

	raw_send(fd, bytes, raw_hello(bytes, 1, 0), NULL, 0);
	answer = raw_receive(fd);
	assert_int_equal(answer.size, raw_welcome(welcome));
	assert_memory_equal(answer.bytes, welcome, 24);
	return fd;
}

void raw_expect_refusal(int fd, uint32_t reason, const char *part)
{
	struct raw_frame frame = raw_receive(fd);
	uint32_t got;

	/* Frames that were under way before it. */
	while (frame.size > 0 && frame.bytes[0] != 3) {
		if (frame.fd >= 0)
			close(frame.fd);
		frame = raw_receive(fd);
	}
	if (!frame.size)
		fail_msg("closed without a refusal; \"%s\" was expected", part);
	memcpy(&got, frame.bytes + 4, 4);
	frame.bytes[frame.size] = 0;
	if (got != reason || !strstr((char *)frame.bytes + 8, part))
		fail_msg("refusal %u \"%s\" was expected, and %u \"%s\" came", reason, part, got,
		         (char *)frame.bytes + 8);
	assert_int_equal(raw_receive(fd).size, 0);
	close(fd);
}
