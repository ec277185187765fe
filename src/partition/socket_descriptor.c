/* SPDX-License-Identifier: BSD-2-Clause */

#include "partition/socket_descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux include/uapi/asm-generic/socket.h */
#endif

bool socket_without_passrights;

/* Room for one descriptor and not a byte more: further ones the kernel drops without opening
 * them. CMSG_SPACE() would make room for a second. */
union one_descriptor {
	struct cmsghdr header;
	char bytes[CMSG_LEN(sizeof(int))];
};

/* What comes next, without its descriptors, which stay in the queue with it. The size as sent, 0:
 * the end, -errno. */
static ssize_t look(int fd, struct socket_received *received, bool *descriptors)
{
	struct iovec part = { received->bytes, sizeof(received->bytes) };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
	long size;

	do {
		size = door_call(recvmsg, fd, &msg, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
	} while (size < 0 && (errno == EINTR || errno == ECONNRESET));
	*descriptors = msg.msg_flags & MSG_CTRUNC;
	return size < 0 ? -errno : size;
}

static ssize_t take(int fd, struct socket_received *received)
{
	int descriptors[DOOR_RIGHTS_MAX];
	size_t count = 0;
	bool lost = false;
	ssize_t size = door_receive(fd, received->bytes, sizeof(received->bytes), descriptors,
	                            &count, &lost, MSG_DONTWAIT);

	if (count)
		received->fd = descriptors[0]; /* the only one: see socket_examiner.c */
	received->lost_descriptor = lost;
	return size;
}

int socket_receive(int fd, struct socket_examiners *examiners, struct socket_received *received)
{
	static const struct socket_verdict none;
	const struct socket_verdict *verdict = NULL;
	bool descriptors;
	ssize_t size = look(fd, received, &descriptors);

	if (size > 0)
		verdict = socket_examiner_verdict(fd, examiners, descriptors);
	received->fd = -1;
	received->lost_descriptor = descriptors && !verdict;
	if (!verdict)
		verdict = &none;
	received->descriptors = verdict->descriptors ? verdict->descriptors : descriptors;
	received->bad_port = verdict->descriptors == 1 && !verdict->port;
	if (size > 0 && (!descriptors || verdict->port))
		size = take(fd, received);
	if (size < 0)
		return (int)size;
	received->size = (size_t)size;
	return size ? 1 : 0;
}

int socket_send(int fd, const struct socket_frame *frame, int descriptor)
{
	uint8_t bytes[SOCKET_FRAME_MAX];
	union one_descriptor control = { 0 };
	struct iovec part = { bytes, socket_frame_encode(frame, bytes) };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t sent;

	if (descriptor >= 0) {
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&control.header), &descriptor, sizeof(descriptor));
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
	}
	do {
		sent = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

void socket_send_refusal(int fd, enum socket_reason reason, const char *text)
{
	struct socket_frame frame = { .type = SOCKET_REFUSE, .reason = reason };

	snprintf(frame.text, sizeof(frame.text), "%s", text);
	socket_send(fd, &frame, -1);
}

bool socket_check_memory(int fd, uint64_t size, char *why, size_t why_size)
{
	const int needed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	int seals, access;
	struct stat st;
	struct statfs fs;

	/* First of all this one: it answers for memfds and fails for everything else without asking
	 * a file system, which may be a FUSE server that never answers. */
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0) {
		snprintf(why, why_size, "memory: a memfd was expected, and this is none");
		return false;
	}
	if ((seals & needed) != needed) {
		snprintf(why, why_size,
		         "memory: seals SHRINK, GROW and SEAL (%#x) were expected, and it has %#x",
		         needed, seals);
		return false;
	}
	/* Not hugetlbfs: its holes are filled from a pool that others may have emptied, and then
	 * touching one is a SIGBUS. */
	if (fstatfs(fd, &fs) || fs.f_type != TMPFS_MAGIC) {
		snprintf(why, why_size, "memory: a memfd of ordinary pages was expected");
		return false;
	}
	access = fcntl(fd, F_GETFL);
	if (access < 0 || (access & O_ACCMODE) != O_RDWR) {
		snprintf(why, why_size, "memory: the memfd has to be open for reading and writing");
		return false;
	}
	/* The call itself, as in socket_door.h: a porter asks, in whose copy of a sanitizer's
	 * memory this number may be a descriptor of another thread's. */
	if (syscall(SYS_fstat, fd, &st) || st.st_size < 0 || (uint64_t)st.st_size != size) {
		snprintf(why, why_size, "memory: %llu bytes were announced, and the memfd has %lld",
		         (unsigned long long)size, (long long)st.st_size);
		return false;
	}
	return true;
}

DOOR_QUIET static int socket_option(int fd, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return door_call(getsockopt, fd, SOL_SOCKET, option, &value, &size) ? -1 : value;
}

/* socketpair() makes sockets without a name. Anything else leads to someone we do not know, who
 * would take what is sent as coming from this process. */
DOOR_QUIET static bool is_unnamed_pair(int fd)
{
	struct sockaddr_un address;
	socklen_t own = sizeof(address), peer = sizeof(address);

	return !door_call(getsockname, fd, &address, &own) && own == sizeof(sa_family_t) &&
	       !door_call(getpeername, fd, &address, &peer) && peer == sizeof(sa_family_t);
}

DOOR_QUIET bool socket_check_port(int fd)
{
	/* SEQPACKET, since a datagram socket could be connected to something else later. */
	return socket_option(fd, SO_DOMAIN) == AF_UNIX &&
	       socket_option(fd, SO_TYPE) == SOCK_SEQPACKET && is_unnamed_pair(fd);
}

bool socket_take_no_rights(int fd)
{
	const int no = 0;

	return !socket_without_passrights &&
	       !setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
}

pid_t socket_peer_process(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) ? 0 : peer.pid;
}
