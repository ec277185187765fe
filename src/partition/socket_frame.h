/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PARTITION_SOCKET_FRAME_H
#define PARTITION_SOCKET_FRAME_H

/*
 * The frames of unix:PATH as bytes: encode, decode, check. No I/O, no state. The protocol is
 * described in docs/socket-partition.md.
 */

#include "partition/partition.h"

#define SOCKET_PROTOCOL_VERSION 1u
#define SOCKET_TEXT_MAX         200u
#define SOCKET_FRAME_MAX        (16u + PARTITION_MESSAGE_MAX)
#define SOCKET_RAM_MAX          (1ull << 40)

enum socket_frame_type {
	SOCKET_HELLO = 1,   /* guest: who I am, and my memory */
	SOCKET_WELCOME = 2, /* host: go on */
	SOCKET_REFUSE = 3,  /* either: I hang up now, and why */
	SOCKET_MESSAGE = 4,
	SOCKET_PORT = 5, /* I listen on this id: signal here */
};

enum socket_reason {
	SOCKET_REASON_BUSY = 1,     /* there is a guest already */
	SOCKET_REASON_VERSION = 2,  /* of this protocol */
	SOCKET_REASON_PROTOCOL = 3, /* a frame was wrong */
	SOCKET_REASON_MEMORY = 4,   /* the guest's memory was not taken */
	SOCKET_REASON_LIMIT = 5,    /* too much of something */
};

struct socket_frame {
	enum socket_frame_type type;
	uint32_t id;                    /* MESSAGE, PORT */
	uint32_t version;               /* HELLO, WELCOME */
	uint64_t ram_size;              /* HELLO */
	uint32_t reason;                /* REFUSE */
	char text[SOCKET_TEXT_MAX + 1]; /* REFUSE; printable when decoded */
	uint32_t vp;                    /* MESSAGE */
	uint8_t sint;                   /* MESSAGE */
	const uint8_t *payload;         /* MESSAGE: within the bytes it was decoded from */
	size_t size;                    /* MESSAGE */
};

/* What was wrong with a frame. */
struct socket_fault {
	const char *what;
	uint64_t expected;
	uint64_t actual;
};

/* "expected 8, came 9" after what it was */
void socket_describe_fault(const struct socket_fault *fault, char *text, size_t size);

/* What the receiver is waiting for. */
enum socket_stage {
	SOCKET_STAGE_HELLO,   /* host: the first frame of a guest */
	SOCKET_STAGE_WELCOME, /* guest: the answer to it */
	SOCKET_STAGE_SESSION, /* both: what comes after */
};

/*
 * `size` is what the sender sent, which may be more than SOCKET_FRAME_MAX; `bytes` holds at most
 * that. `descriptors` came with it. A HELLO of another version is decoded up to its version.
 */
bool socket_frame_decode(enum socket_stage stage, const uint8_t *bytes, size_t size,
                         unsigned int descriptors, struct socket_frame *frame,
                         struct socket_fault *fault);

/* The frame's bytes in `bytes`, and how many. */
size_t socket_frame_encode(const struct socket_frame *frame, uint8_t bytes[SOCKET_FRAME_MAX]);

#endif
