/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_DEVICES_INPUT_GUEST_H
#define TESTS_DEVICES_INPUT_GUEST_H

/*
 * A guest's end of a keyboard or a mouse for tests: keeps what comes, says what it is told to, and
 * can be told to read nothing more.
 */

#include <kmcl/kmcl.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#define INPUT_GUEST_MESSAGE  512u
#define INPUT_GUEST_MESSAGES 4096u
#define INPUT_GUEST_PAGES    3u /* of each ring */

struct input_guest_message {
	uint32_t size;
	uint8_t bytes[INPUT_GUEST_MESSAGE];
};

struct input_guest {
	VMBCHANNEL vmb;
	/* What it is, before input_guest_open(). */
	GUID type;
	bool pipe;
	/* What came; the first ones are kept. */
	_Atomic uint32_t count;
	struct input_guest_message messages[INPUT_GUEST_MESSAGES];
	/* Nothing is read while set, but for one message. */
	_Atomic bool deaf;
	KSPIN_LOCK lock;
	VMBPACKETCOMPLETION held;
	KEVENT settled; /* it is open, or cannot be */
	_Atomic bool is_open;
};

/* Opens the channel of its type on `bus`; false: there is none. */
bool input_guest_open(struct input_guest *guest, PDEVICE_OBJECT bus);
void input_guest_close(struct input_guest *guest);
/* As bytes, whatever they are. */
void input_guest_send(struct input_guest *guest, const void *message, uint32_t size);
/* Reads on. */
void input_guest_hear(struct input_guest *guest);

/* ---- both ends ---- */

struct input_fixture {
	char uri[128];
	HANDLE vmbus;
	PDEVICE_OBJECT bus;
	struct input_guest guest;
};

bool input_fixture_open(struct input_fixture *f, const char *uri_pattern);
/* After the device is destroyed. */
void input_fixture_close(struct input_fixture *f);

/* Lines of the log that warn; those with `text`. */
void input_log_begin(void);
uint32_t input_log_count(const char *text);
void input_log_end(void);

/* Waits up to 20 s. */
#define WAIT_FOR(condition)                                                \
	do {                                                               \
		int wait_tries = 10000;                                    \
		bool wait_done;                                            \
		while (!(wait_done = (condition)) && wait_tries-- > 0)     \
			nanosleep(&(struct timespec){ 0, 2000000 }, NULL); \
		assert_true(wait_done);                                    \
	} while (0)

#endif
