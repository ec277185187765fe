/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What a guest may send over unix:PATH, at the decoder and at a living host.
 *
 * Input: a byte of flags, then frames: a byte that says which descriptors come with it, two bytes
 * of size (little-endian), and the bytes.
 *
 * Every frame goes through the decoder in all its stages; with FLAG_LIVE they are also sent, in
 * order, to a host, after a proper HELLO with FLAG_HELLO. Whatever comes, the host must close the
 * connection once the guest has said its last.
 */

#include "partition/partition.h"
#include "partition/socket_frame.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FLAG_LIVE   1u
#define FLAG_HELLO  2u
#define FLAG_LISTEN 4u /* the host signals what the guest listens on */
#define FRAMES_MAX  64u
#define SIZE_MAX_   600u /* more than a frame may have */

#define must(condition) ((condition) ? (void)0 : abort())

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct partition *host;
static char path[64];

/* ---- the decoder ---- */

static void check_refusal(const struct socket_frame *frame)
{
	must(strlen(frame->text) <= SOCKET_TEXT_MAX);
	for (const char *c = frame->text; *c; c++)
		must((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void check_frame(const struct socket_frame *frame, const uint8_t *bytes, size_t size)
{
	uint8_t again[SOCKET_FRAME_MAX];

	must(size >= 8 && size <= SOCKET_FRAME_MAX);
	if (frame->type == SOCKET_HELLO && frame->version != SOCKET_PROTOCOL_VERSION)
		return;
	must(frame->size <= PARTITION_MESSAGE_MAX);
	must(frame->ram_size <= SOCKET_RAM_MAX && frame->ram_size % 4096 == 0);
	if (frame->type == SOCKET_MESSAGE)
		must(frame->payload >= bytes && frame->payload + frame->size == bytes + size);
	if (frame->type == SOCKET_REFUSE) {
		check_refusal(frame);
		return;
	}
	/* What is right comes out as it went in: nothing in a frame is without meaning. */
	must(socket_frame_encode(frame, again) == size);
	must(!memcmp(again, bytes, size));
}

static void decode(const uint8_t *bytes, size_t size, unsigned int descriptors)
{
	for (enum socket_stage stage = SOCKET_STAGE_HELLO; stage <= SOCKET_STAGE_SESSION; stage++) {
		struct socket_frame frame;
		struct socket_fault fault = { 0 };

		if (socket_frame_decode(stage, bytes, size, descriptors, &frame, &fault))
			check_frame(&frame, bytes, size);
		else
			must(fault.what && fault.what[0]);
	}
}

/* ---- the host ---- */

static void on_message(void *context, uint32_t id, const void *payload, size_t size)
{
	struct partition_pin *pin = partition_pin(host);
	volatile uint8_t sum = 0;

	must(size <= PARTITION_MESSAGE_MAX);
	for (size_t i = 0; i < size; i++)
		sum ^= ((const uint8_t *)payload)[i];
	if (pin) {
		volatile uint8_t *page = partition_page(pin, sum);

		if (page)
			page[size] ^= 1;
		partition_unpin(pin);
	}
	partition_post(host, (struct partition_address){ .vp = id }, payload, size);
}

static void on_writable(void *context)
{
}

static void on_presence(void *context, enum partition_presence what)
{
}

static void on_log(void *context, int level, const char *text)
{
	must(strlen(text) < 600);
}

static void forget_directory(void)
{
	partition_close(host);
	*strrchr(path, '/') = 0;
	rmdir(path);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct partition_settings settings = {
		.end = PARTITION_HOST,
		.upcalls = { on_message, on_writable, on_presence, on_log },
	};
	char uri[80], why[256];

	strcpy(path, "/tmp/kmcl-fuzz-XXXXXX");
	must(mkdtemp(path));
	strcat(path, "/host");
	snprintf(uri, sizeof(uri), "unix:%s", path);
	if (partition_open(uri, &settings, &host, why, sizeof(why))) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
	atexit(forget_directory);
	return 0;
}

static int new_memfd(size_t size, int seals)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	must(fd >= 0 && !ftruncate(fd, (off_t)size) && !fcntl(fd, F_ADD_SEALS, seals));
	return fd;
}

static int half_of_pair(int type)
{
	int pair[2];

	must(!socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair));
	close(pair[0]);
	return pair[1];
}

/* How many descriptors of which kind a number stands for. */
static size_t make_descriptors(uint8_t kind, int fds[2])
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

	switch (kind % 8) {
	case 1:
		fds[0] = new_memfd(16384, seals);
		return 1;
	case 2:
		fds[0] = new_memfd(16384, F_SEAL_SHRINK);
		return 1;
	case 3:
		fds[0] = half_of_pair(SOCK_SEQPACKET);
		return 1;
	case 4:
		fds[0] = half_of_pair(SOCK_DGRAM);
		return 1;
	case 5:
		fds[0] = new_memfd(16384, seals);
		fds[1] = half_of_pair(SOCK_SEQPACKET);
		return 2;
	case 6:
		fds[0] = half_of_pair(SOCK_SEQPACKET);
		fds[1] = half_of_pair(SOCK_SEQPACKET);
		return 2;
	default:
		return 0;
	}
}

static bool send_frame(int fd, const uint8_t *bytes, size_t size, uint8_t kind)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	uint8_t copy[SIZE_MAX_];
	struct iovec part = { copy, size };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
	int fds[2];
	size_t count = make_descriptors(kind, fds);
	bool sent;

	memcpy(copy, bytes, size);
	if (count) {
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
	}
	sent = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
	while (count)
		close(fds[--count]);
	return sent;
}

static int connect_to_host(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int error;

	strcpy(address.sun_path, path);
	do {
		error = connect(fd, (struct sockaddr *)&address, sizeof(address));
	} while (error && errno == EINTR);
	must(fd >= 0 && !error);
	return fd;
}

static void send_hello(int fd)
{
	const struct socket_frame hello = {
		.type = SOCKET_HELLO,
		.version = SOCKET_PROTOCOL_VERSION,
		.ram_size = 16384,
	};
	uint8_t bytes[SOCKET_FRAME_MAX];

	send_frame(fd, bytes, socket_frame_encode(&hello, bytes), 1);
}

/* libFuzzer looks at the time by an alarm, which interrupts this. */
static bool readable_soon(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	int n;

	do {
		n = poll(&poll_fd, 1, 10000);
	} while (n < 0 && errno == EINTR);
	return n == 1;
}

/* The guest has said its last: the host has to close, soon. */
static void await_end(int fd)
{
	uint8_t bytes[SOCKET_FRAME_MAX];
	ssize_t size;

	shutdown(fd, SHUT_WR);
	do {
		if (!readable_soon(fd)) {
			fprintf(stderr, "the host does not close the connection\n");
			abort();
		}
		size = recv(fd, bytes, sizeof(bytes), 0); /* descriptors are dropped */
	} while (size);
	close(fd);
}

/* ---- input ---- */

static size_t next_frame(const uint8_t **data, size_t *left, uint8_t *kind, const uint8_t **bytes)
{
	size_t size = (*data)[1] | (size_t)(*data)[2] << 8;

	*kind = (*data)[0];
	*bytes = *data + 3;
	if (size > *left - 3)
		size = *left - 3;
	if (size > SIZE_MAX_)
		size = SIZE_MAX_;
	*data += 3 + size;
	*left -= 3 + size;
	return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t left)
{
	struct partition_port *port = NULL;
	struct partition_link *link = NULL;
	uint8_t flags;
	int fd = -1;

	if (!left)
		return 0;
	flags = *data++;
	left--;
	if (flags & FLAG_LIVE) {
		fd = connect_to_host();
		if (flags & FLAG_HELLO)
			send_hello(fd);
		if (flags & FLAG_LISTEN) {
			must(!partition_listen(host, 1, &port));
			must(!partition_connect(host, (struct partition_address){ .id = 1 },
			                        &link));
		}
	}
	for (unsigned int i = 0; i < FRAMES_MAX && left >= 3; i++) {
		const uint8_t *bytes;
		uint8_t kind;
		size_t size = next_frame(&data, &left, &kind, &bytes);

		decode(bytes, size, kind % 3);
		if (fd >= 0)
			send_frame(fd, bytes, size, kind);
		if (link)
			partition_signal(link);
	}
	if (fd >= 0)
		await_end(fd);
	if (port) {
		partition_disconnect(link);
		partition_unlisten(port);
	}
	return 0;
}
