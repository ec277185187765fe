/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The same system as a process on Linux, for a debugger and sanitizers: a guest of `kmcl host
 * --listen unix:PATH`, whose protocol is in docs/socket-partition.md. What comes from the socket is
 * taken for a host's word: a host that breaks the protocol ends this.
 */

#define _GNU_SOURCE 1
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RAM_PAGES 2048u
#define PORTS     64u

enum { HELLO = 1, WELCOME, REFUSE, MESSAGE, PORT };

struct frame {
	uint16_t type, size;
	uint32_t id;
	uint8_t rest[248];
};

static int host = -1;
static uint8_t *ram;
static uint32_t pages_taken = 1; /* nothing is in page 0 */

/* Where to signal to, by connection id; -1: the host does not listen there. */
static struct {
	uint32_t id;
	int fd;
	bool kept; /* a signal that waits for it to listen */
} ports[PORTS];
static uint32_t port_count;

static void die(const char *what)
{
	fprintf(stderr, "hosted: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* False: there is no room now. */
static bool send_frame(struct frame *frame, uint16_t size, int fd, int flags)
{
	struct iovec iov = { frame, size };
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	frame->size = size;
	if (fd >= 0) {
		struct cmsghdr *header = (struct cmsghdr *)control;

		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	if (sendmsg(host, &message, flags | MSG_NOSIGNAL) == size)
		return true;
	if (errno != EAGAIN)
		die("the host has gone");
	return false;
}

/* False: nothing is there. *fd is what came with it, or -1. */
static bool receive_frame(struct frame *frame, int *fd, int flags)
{
	struct iovec iov = { frame, sizeof(*frame) };
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct msghdr message = { .msg_iov = &iov,
		                  .msg_iovlen = 1,
		                  .msg_control = control,
		                  .msg_controllen = sizeof(control) };
	ssize_t size = recvmsg(host, &message, flags | MSG_CMSG_CLOEXEC);
	struct cmsghdr *header;

	if (size < 0 && errno == EAGAIN)
		return false;
	if (size < 8 || frame->size != size)
		die("the host has gone");
	*fd = -1;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	if (frame->type != REFUSE)
		return true;
	fprintf(stderr, "hosted: refused: %.*s\n", (int)size - 8, (char *)frame->rest);
	exit(1);
}

static uint32_t port_of(uint32_t id)
{
	uint32_t i = 0;

	while (i < port_count && ports[i].id != id)
		i++;
	if (i == PORTS)
		die("more ports than there is room for");
	if (i == port_count) {
		ports[port_count].id = id;
		ports[port_count++].fd = -1;
	}
	return i;
}

/* One byte; where that would wait, a signal is there already. */
static void port_signal(uint32_t i)
{
	ports[i].kept =
		ports[i].fd < 0 ||
		(send(ports[i].fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN);
}

static void port_came(uint32_t id, int fd)
{
	uint32_t i = port_of(id);

	if (ports[i].fd >= 0)
		close(ports[i].fd);
	ports[i].fd = fd;
	if (ports[i].kept)
		port_signal(i);
}

static uint64_t page_number(void *context, const void *address)
{
	uintptr_t offset = (uintptr_t)address - (uintptr_t)ram;

	return offset < RAM_PAGES * (size_t)VG_PAGE ? offset / VG_PAGE : VG_NO_PAGE;
}

static bool post(void *context, uint32_t connection_id, const void *message, uint32_t size)
{
	struct frame frame = { .type = MESSAGE, .id = connection_id };

	memcpy(frame.rest + 8, message, size);
	return send_frame(&frame, (uint16_t)(16 + size), -1, MSG_DONTWAIT);
}

static void signal_host(void *context, uint32_t connection_id)
{
	port_signal(port_of(connection_id));
}

static void say(void *context, const char *subject, const char *what, uint64_t expected,
                uint64_t actual)
{
	fprintf(stderr, "hosted: %s: %s: expected %llu, came %llu\n", subject, what,
	        (unsigned long long)expected, (unsigned long long)actual);
}

const struct vg_platform machine_platform = {
	.page_number = page_number,
	.post = post,
	.signal = signal_host,
	.log = say,
};

void *machine_pages(uint32_t count)
{
	if (count > RAM_PAGES - pages_taken)
		return NULL;
	pages_taken += count;
	return ram + (pages_taken - count) * (size_t)VG_PAGE;
}

void machine_feed(struct vg *vg)
{
	struct frame frame;
	int fd;

	sched_yield();
	while (receive_frame(&frame, &fd, MSG_DONTWAIT)) {
		if (frame.type == PORT && fd >= 0)
			port_came(frame.id, fd);
		else if (frame.type == MESSAGE && frame.size >= 16)
			vg_message(vg, frame.rest + 8, frame.size - 16u);
		else
			die("a frame that makes no sense");
	}
}

void machine_print(const char *text)
{
	fputs(text, stdout);
	fflush(stdout);
}

void machine_end(void *context)
{
	exit(0);
}

static void say_hello(const char *path)
{
	static const char magic[] = "kmclpart";
	const uint64_t size = RAM_PAGES * (uint64_t)VG_PAGE;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct frame frame = { .type = HELLO };
	int fd = memfd_create("baremetal", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		die("memory");
	ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	host = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (ram == MAP_FAILED || connect(host, (struct sockaddr *)&address, sizeof(address)))
		die(path);
	memcpy(frame.rest, magic, 8);
	frame.rest[8] = 1;
	memcpy(frame.rest + 16, &size, sizeof(size));
	send_frame(&frame, 32, fd, 0);
	close(fd);
	if (!receive_frame(&frame, &fd, 0) || frame.type != WELCOME)
		die("no welcome");
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: hosted PATH\n");
		return 2;
	}
	say_hello(argv[1]);
	system_main();
	return 0;
}
