/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_PARTITION_END_H
#define TESTS_PARTITION_END_H

/* One end of a partition under test: records its upcalls, and waits for them. */

#include "partition/partition.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define END_MESSAGES_MAX 4096u

/* For other threads than the test's, where cmocka's assertions cannot jump out. */
#define must(condition) ((condition) ? (void)0 : must_failed(__FILE__, __LINE__, #condition))
_Noreturn void must_failed(const char *file, int line, const char *condition);

struct end_message {
	uint32_t id;
	size_t size;
	uint8_t payload[PARTITION_MESSAGE_MAX];
};

struct end;
typedef void (*end_hook)(struct end *end, const struct end_message *message);

struct end {
	struct partition *partition;
	struct partition_settings settings;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int came, gone, writable;
	unsigned int messages;
	char log[4096]; /* sentences, each with a newline */
	/* Called at the end of these upcalls, on the partition's thread. */
	end_hook on_message;
	void (*on_writable)(struct end *end);
	/* While set, the message upcall does not return. */
	bool stuck;
	bool in_upcall;
	char why[256];
	/* The last: a megabyte, of which `messages` are there. Opening clears all but this. */
	struct end_message message[END_MESSAGES_MAX];
};

/* "local" or "unix": what the test was started with. */
extern const char *end_scheme;

/* What hosts are opened with from here on. */
extern uint64_t end_memory_max;

/* A URI that nobody used yet. */
const char *end_new_uri(void);
/* Removes what end_new_uri() made in the file system. */
void end_forget_uris(void);

/* Opens; `pages` of memory for a guest. The error of partition_open(), with end->why. */
int end_try_open(struct end *end, enum partition_end side, const char *uri, size_t pages);
/* Opens, or fails the test. */
void end_open(struct end *end, enum partition_end side, const char *uri, size_t pages);
/* With its message hook from the first message on. */
void end_open_hooked(struct end *end, enum partition_end side, const char *uri, size_t pages,
                     end_hook message_hook);
void end_close(struct end *end);
/* Gives back a guest's memory; apart from end_close() since pins may outlive that. */
void end_free_ram(struct end *end);

/* Waits until a counter of it is at least `count`; fails the test after some seconds. */
void end_await(struct end *end, const unsigned int *counter, unsigned int count);
void end_await_log(struct end *end, const char *part);
unsigned int end_read(struct end *end, const unsigned int *counter);
void end_set_stuck(struct end *end, bool stuck);
void end_set_hooks(struct end *end, end_hook on_message, void (*on_writable)(struct end *end));

/* Both ends of a new partition, each of which has seen the other come. */
void end_open_both(struct end *host, struct end *guest, size_t pages);
void end_close_both(struct end *host, struct end *guest);

/* Does the port become readable within `ms`? */
bool port_readable(const struct partition_port *port, int ms);
/* Processor time this process has used. */
long cpu_ms(void);
/* Open descriptors of this process. */
unsigned int count_descriptors(void);
/* Once it changes no more: some are closed by processes of their own, in their own time. */
unsigned int settled_descriptors(void);

struct partition_ram ram_new(size_t pages);
void ram_free(struct partition_ram *ram);

/* The main() of a test of both schemes. */
#define END_MAIN(tests)                                                              \
	int main(int argc, char **argv)                                              \
	{                                                                            \
		int failed;                                                          \
                                                                                     \
		end_scheme = argc > 1 ? argv[1] : "local";                           \
		failed = cmocka_run_group_tests_name(end_scheme, tests, NULL, NULL); \
		end_forget_uris();                                                   \
		return failed;                                                       \
	}

#endif
