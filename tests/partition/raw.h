/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_PARTITION_RAW_H
#define TESTS_PARTITION_RAW_H

/* The other end of unix:PATH by hand: sockets, bytes and descriptors, right or wrong. Written from
 * docs/socket-partition.md, without the library's own encoder. */

#include "end.h"

struct raw_frame {
	uint8_t bytes[512];
	ssize_t size; /* 0: the end */
	int fd;       /* or -1 */
};

/* The path of a unix: URI. */
const char *raw_path(const char *uri);
int raw_connect(const char *uri);
int raw_listen(const char *uri);
void raw_send(int fd, const void *bytes, size_t size, const int *descriptors, size_t count);
/* Waits for the next frame; fails the test if none comes within seconds. */
struct raw_frame raw_receive(int fd);
/* A memfd of a page with these seals. */
int raw_memfd(size_t size, int seals);
#define RAW_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* Frames as the document says. The bytes are the caller's. */
size_t raw_hello(uint8_t *bytes, uint32_t version, uint64_t ram_size);
size_t raw_welcome(uint8_t *bytes);
size_t raw_message(uint8_t *bytes, uint32_t id, const void *payload, size_t size);
size_t raw_port(uint8_t *bytes, uint32_t id);

/* Says HELLO without memory and hears WELCOME. */
int raw_guest(const char *uri);
/* Expects REFUSE with this reason, then the end; closes. */
void raw_expect_refusal(int fd, uint32_t reason, const char *part);

#endif
