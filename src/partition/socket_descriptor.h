/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PARTITION_SOCKET_DESCRIPTOR_H
#define PARTITION_SOCKET_DESCRIPTOR_H

/* Frames with descriptors on a Unix socket, and what to think of descriptors that others send. */

#include "partition/socket_examiner.h"

struct socket_received {
	uint8_t bytes[SOCKET_FRAME_MAX];
	size_t size;              /* as sent; may be more than there is room for */
	unsigned int descriptors; /* how many came: 0, 1, or 2 for more than one */
	int fd;                   /* the one that was taken, since a PORT may come with it; or -1 */
	bool lost_descriptor;     /* this process could not take any more */
	bool bad_port;            /* the descriptor is not what a PORT comes with */
};

/* A guest: the next frame, never waiting. 1; 0: the other end closed; -EAGAIN; -errno. With wrong
 * descriptors it stays in the queue: the socket is of no use any more, and to be disposed of. */
int socket_receive(int fd, struct socket_examiners *examiners, struct socket_received *received);
/* Sends a frame, with a descriptor unless it is -1, never waiting. 0, -errno. */
int socket_send(int fd, const struct socket_frame *frame, int descriptor);
/* Says why this end is about to hang up. If it cannot be said, it is not. */
void socket_send_refusal(int fd, enum socket_reason reason, const char *text);

/*
 * Is it memory of `size` bytes that can never shrink under us? That is a memfd with the seals
 * SHRINK, GROW and SEAL. If not, the reason in `why`.
 */
bool socket_check_memory(int fd, uint64_t size, char *why, size_t why_size);
/* Is it one end of a socketpair() of SOCK_SEQPACKET, to which one byte can be sent unseen? */
#define SOCKET_BAD_PORT "port: one end of a Unix SOCK_SEQPACKET socketpair was expected"
bool socket_check_port(int fd);

/* Has the kernel refuse descriptors that the other end would send to `fd`. False: it is too old for
 * that (before 6.16). */
bool socket_take_no_rights(int fd);
/* For tests: as if it were. */
extern bool socket_without_passrights;
pid_t socket_peer_process(int fd);

#endif
