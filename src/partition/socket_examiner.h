/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PARTITION_SOCKET_EXAMINER_H
#define PARTITION_SOCKET_EXAMINER_H

/* Processes that look at the descriptors which a host sent, before a guest takes any of them. */

#include "partition/socket_door.h"

/* What came with a frame. */
struct socket_verdict {
	uint8_t descriptors; /* 0, 1, or 2 for more than one */
	bool port;           /* one, and a PORT may come with it */
};

#define SOCKET_EXAMINERS 16u
#define SOCKET_EXAMINED  64u
struct socket_examiners {
	pid_t pids[SOCKET_EXAMINERS]; /* that end, and are still to be reaped */
	unsigned int next;
	/* Of the next frames in the queue: so many are known, and of these so many received. */
	unsigned int known, used;
	struct socket_verdict verdicts[SOCKET_EXAMINED];
};

/* Of the next frame on `fd`, with or without descriptors as that was seen. NULL: nothing is known.
 */
const struct socket_verdict *socket_examiner_verdict(int fd, struct socket_examiners *examiners,
                                                     bool descriptors);
/* There is a new connection. */
void socket_examiner_forget(struct socket_examiners *examiners);
void socket_examiner_reap(struct socket_examiners *examiners);

#endif
