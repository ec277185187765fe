/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_BUS_FIXTURE_H
#define TESTS_BUS_FIXTURE_H

/*
 * A server or a client with nothing around it: what it sends and asks is written down, a line each,
 * and a test says what it expects to read there.
 */

#include "bus/bus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct memory_count {
	size_t blocks;
	size_t bytes;
	size_t fail_in; /* the allocation that fails, counted from 1; 0: none */
};

struct fixture {
	struct memory_count memory; /* first: the ops find it through the context */
	struct server *server;
	struct client *client;
	char log[65536];
	size_t length;
};

/* Takes a printf format, a line without its end. */
void note(struct fixture *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Compares all that was written down with `lines` (each ends in \n), and starts afresh. */
void expect_(struct fixture *f, const char *lines, const char *file, int line);
#define expect(f, lines) expect_(f, lines, __FILE__, __LINE__)
/* Starts afresh without looking. */
void forget(struct fixture *f);

/* ---------------- a server ---------------- */

struct fixture *server_fixture(const struct server_limits *limits, uint32_t version_max);
/* As above, without the optional op. */
struct fixture *server_fixture_plain(uint32_t version_max);
/* What they are made with; their context begins with a struct memory_count. */
const struct server_ops *server_fixture_ops(void);
const struct client_ops *client_fixture_ops(void);
/* Destroys it and fails the test if anything was leaked. */
void fixture_end(struct fixture *f);

/* What a guest sends. */
void guest_contact(struct fixture *f, uint32_t version);
void guest_contact_with(struct fixture *f, const struct wire_initiate_contact *message,
                        size_t size);
void guest_header_only(struct fixture *f, uint32_t type);
void guest_channel_message(struct fixture *f, uint32_t type, uint32_t channel_id);
void guest_open(struct fixture *f, uint32_t channel_id, uint32_t open_id, uint32_t gpadl);
void guest_modify(struct fixture *f, uint32_t channel_id, uint32_t vp);
/* One range of `pages` pages numbered from 100 on, as many messages as it takes. */
void guest_gpadl(struct fixture *f, uint32_t channel_id, uint32_t gpadl, uint32_t pages);
void guest_gpadl_header(struct fixture *f, uint32_t channel_id, uint32_t gpadl, uint16_t bytes,
                        uint16_t ranges, const uint64_t *words, uint32_t count);
void guest_gpadl_body(struct fixture *f, uint32_t gpadl, const uint64_t *words, uint32_t count);
void guest_teardown(struct fixture *f, uint32_t channel_id, uint32_t gpadl);
uint64_t range_word(uint32_t byte_count, uint32_t byte_offset);

/* Connects at a version, asks for offers, and forgets what was written down. */
void connect_at(struct fixture *f, uint32_t version);
/* Offers a channel; its name is what the log calls it. Its GUIDs are made of the letter. */
struct server_channel *offer(struct fixture *f, const char *name);
/* The same with a GPADL 1 of 8 pages, or open with open id 5 as well; and forgets. */
struct server_channel *offer_with_gpadl(struct fixture *f, const char *name);
struct server_channel *offer_open(struct fixture *f, const char *name);
struct bus_offer offer_named(const char *name);

/* ---------------- a client ---------------- */

struct fixture *client_fixture(void);

/* What a host sends. */
void host_message(struct fixture *f, const void *message, size_t size);
void host_version(struct fixture *f, bool supported, uint32_t value);
void host_header_only(struct fixture *f, uint32_t type);
void host_channel_message(struct fixture *f, uint32_t type, uint32_t channel_id);
void host_offer(struct fixture *f, uint32_t channel_id);
void host_open_result(struct fixture *f, uint32_t channel_id, uint32_t open_id, uint32_t status);
void host_gpadl_created(struct fixture *f, uint32_t channel_id, uint32_t gpadl, uint32_t status);
void host_gpadl_torndown(struct fixture *f, uint32_t gpadl);
void host_modify_response(struct fixture *f, uint32_t channel_id, uint32_t status);

/* Connected at a version, message connection id 0x44 where there is one; and forgets. */
void client_connect_at(struct fixture *f, uint32_t version);
uint32_t client_gpadl_of(struct fixture *f, uint32_t channel_id, uint32_t pages);

#endif
