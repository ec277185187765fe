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

/* What a process that looks at descriptors tells. */
struct examined {
	uint8_t descriptors; /* 0, 1, or 2 for more than one */
	bool port;           /* one, and a PORT may come with it */
};

/* It gets copies of them, and lets go of those by exiting: if that waits, nobody else's descriptors
 * wait with it. */
static _Noreturn void examiner_run(int connection, int pipe)
{
	enum { CONNECTION, ANSWER };
	uint8_t bytes[SOCKET_FRAME_MAX];
	int descriptors[DOOR_RIGHTS_MAX];
	size_t count = 0;
	bool lost = false;
	struct examined examined;
	ssize_t size;

	if (!door_keep(connection, pipe))
		door_exit();
	size = door_receive(CONNECTION, bytes, sizeof(bytes), descriptors, &count, &lost,
	                    MSG_PEEK | MSG_DONTWAIT);
	examined.descriptors = (uint8_t)(count + lost < 2 ? count + lost : 2);
	examined.port = size > 0 && count == 1 && !lost && socket_check_port(descriptors[0]);
	if (count || !lost)
		door_call(write, ANSWER, &examined, sizeof(examined));
	door_exit();
}

/*
 * Even to close a copy of a descriptor may wait: a file of FUSE or NFS is asked for what it has to
 * write. So this process has none of its own until another one has looked. False: that cannot be
 * had.
 */
static bool examine(int fd, struct examined *examined)
{
	int answer[2];
	bool good;
	pid_t pid;

	if (pipe2(answer, O_CLOEXEC))
		return false;
	pid = door_fork(0);
	if (!pid)
		examiner_run(fd, answer[1]);
	close(answer[1]);
	good = pid > 0 &&
	       door_call(read, answer[0], examined, sizeof(*examined)) == (long)sizeof(*examined);
	close(answer[0]);
	if (pid > 0)
		door_reap(pid);
	return good;
}

static ssize_t take(int fd, struct socket_received *received)
{
	int descriptors[DOOR_RIGHTS_MAX];
	size_t count = 0;
	bool lost = false;
	ssize_t size = door_receive(fd, received->bytes, sizeof(received->bytes), descriptors,
	                            &count, &lost, MSG_DONTWAIT);

	if (count)
		received->fd = descriptors[0]; /* the only one: see examine() */
	received->lost_descriptor = lost;
	return size;
}

int socket_receive(int fd, struct socket_received *received)
{
	struct examined examined = { 0 };
	bool descriptors;
	ssize_t size = look(fd, received, &descriptors);

	examined.descriptors = descriptors; /* unless it is known better */
	received->fd = -1;
	received->lost_descriptor = size > 0 && descriptors && !examine(fd, &examined);
	received->descriptors = examined.descriptors;
	received->bad_port = examined.descriptors == 1 && !examined.port;
	if (size > 0 && (!descriptors || examined.port))
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

static int socket_option(int fd, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) ? -1 : value;
}

/* socketpair() makes sockets without a name. Anything else leads to someone we do not know, who
 * would take what is sent as coming from this process. */
static bool is_unnamed_pair(int fd)
{
	struct sockaddr_un address;
	socklen_t own = sizeof(address), peer = sizeof(address);

	return !getsockname(fd, (struct sockaddr *)&address, &own) && own == sizeof(sa_family_t) &&
	       !getpeername(fd, (struct sockaddr *)&address, &peer) && peer == sizeof(sa_family_t);
}

bool socket_check_port(int fd)
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
