/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_API_PAIR_H
#define TESTS_API_PAIR_H

/*
 * Both ends of a channel for the API's tests, on the kind of partition that the test's first
 * argument names ("local" or "unix"), with callbacks that record what happened. Waits have a limit,
 * so a test that waits for what does not come fails.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <ntddk.h>
#include <vmbuskernelmodeclientlibapi.h>
#include <kmcl/kmcl.h>

#include <pthread.h>

#define PAIR_WAIT_MS 30000u

struct pair_end;
typedef void pair_process(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer,
                          uint32_t size, uint32_t flags);
typedef NTSTATUS pair_hook(struct pair_end *end);

struct pair_end {
	VMBCHANNEL channel;
	bool server;
	/* what the test wants done; NULL: complete with the packet's own bytes, succeed, do nothing
	 */
	pair_process *_Atomic process; /* may change while packets come */
	pair_hook *on_opened;
	pair_hook *on_started;
	pair_hook *on_post_started;
	pair_hook *on_suspend;
	pair_hook *on_closed;
	void *context;
	/* what happened; `lock` */
	char trace[256]; /* a letter a callback: O(pened) S(tarted) P(ostStarted) U(suspend)
	                    C(losed) F */
	uint32_t packets;
	uint64_t bytes;
	uint32_t batches;
	uint32_t batched;
	bool batch_ended; /* ProcessingComplete came after the last ProcessPacket */
	uint32_t batches_at_dispatch;
	uint32_t completions;
	uint32_t cancelled;
	NTSTATUS last_status;
	NTSTATUS pnp_status;
	uint32_t passive_packets;
	_Alignas(8) uint8_t last[8192];
	uint32_t last_size;
	uint32_t last_flags;
	_Alignas(8) uint8_t answer[8192];
	uint32_t answer_size;
};

struct pair {
	char uri[128];
	HANDLE vmbus;
	PDEVICE_OBJECT bus;
	struct pair_end server;
	struct pair_end client;
};

extern const char *pair_scheme; /* "local" or "unix" */
extern const GUID pair_type;
extern const GUID pair_instance;

/* In main(): takes the scheme from the arguments, and silences or records the log. */
void pair_main(int argc, char **argv);
/* Removes what another process, which was killed, left of its first pair. */
void pair_forget(pid_t process);
/* Faults that were logged since the last call. */
uint32_t pair_logged_errors(void);

/* Both ends of the bus, and one channel allocated and configured at each; nothing enabled. */
struct pair *pair_create(void);
struct pair *pair_create_versions(uint32_t host_max, uint32_t guest_max);
/* Disables and frees all of it. */
void pair_destroy(struct pair *pair);
/* Allocates and configures one more end. */
void pair_add_server(struct pair *pair, struct pair_end *end, const GUID *instance);
void pair_add_client(struct pair *pair, struct pair_end *end, const GUID *instance);
void pair_remove(struct pair_end *end);
/* Enables both and starts the server; returns when both are active. */
void pair_open(struct pair *pair);

/* Waits until `condition` holds, at most PAIR_WAIT_MS; it is checked when something was recorded.
 */
#define pair_wait(condition) pair_wait_until(condition, #condition, __FILE__, __LINE__)
#define pair_wait_until(condition, text, file, line)                      \
	do {                                                              \
		pair_wait_begin();                                        \
		while (!(condition))                                      \
			if (!pair_wait_more())                            \
				break;                                    \
		if (!(condition)) {                                       \
			pair_wait_end();                                  \
			print_error("timed out waiting for: %s\n", text); \
			pair_tell();                                      \
			_fail(file, line);                                \
		}                                                         \
		pair_wait_end();                                          \
	} while (0)
void pair_wait_begin(void);
bool pair_wait_more(void);
void pair_wait_end(void);
void pair_tell(void); /* what the ends of the last pair have seen so far */
/* Something that a condition may depend on has changed. */
void pair_changed(void);
/* The recordings are guarded by this. */
void pair_lock(void);
void pair_unlock(void);
void pair_trace(struct pair_end *end, char what);
bool pair_traced(const struct pair_end *end, const char *trace); /* ends with it */

/* Sends and has the end of the packet recorded. */
NTSTATUS pair_send(struct pair_end *end, const void *buffer, uint32_t size, uint32_t flags);
EVT_VMB_PACKET_COMPLETION_ROUTINE pair_completed;

#endif
