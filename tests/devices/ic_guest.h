/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_DEVICES_IC_GUEST_H
#define TESTS_DEVICES_IC_GUEST_H

/*
 * A guest's end of an integration component for tests: does what Linux's hv_utils does, or, told
 * so, what it should not.
 */

#include "ic/ic_protocol.h"

#include <kmcl/kmcl.h>

#include <stdatomic.h>
#include <time.h>

#define IC_GUEST_MAX 8192u

/* A message without its pipe header. */
struct ic_guest_message {
	struct ic_header header;
	uint8_t body[IC_GUEST_MAX - sizeof(struct ic_header)];
	uint32_t size; /* of the body */
};

struct ic_guest;

/* What the component does with a request; the answer is the message as it leaves it. D. */
typedef void ic_guest_fn(struct ic_guest *guest, struct ic_guest_message *message);

struct ic_guest {
	VMBCHANNEL vmb;
	/* What it is, before ic_guest_open(). */
	GUID type;
	const struct ic_version *frameworks, *versions; /* newest first, ended by 0.0 */
	ic_guest_fn *request;
	ic_guest_fn *instead; /* of all that this guest does with a message; NULL: none */
	void *context;
	/* Not answered but kept while set. */
	_Atomic bool mute;
	_Atomic uint32_t requests, negotiations; /* that came */
	/* Called with each answer before it is sent; false: it is not. NULL: none. */
	bool (*spoil)(struct ic_guest *guest, struct ic_guest_message *answer);
	KSPIN_LOCK lock;
	struct ic_guest_message last; /* request */
	struct ic_guest_message held[16];
	_Atomic uint32_t held_count;
	KEVENT settled; /* it is open, or cannot be */
	_Atomic bool is_open;
};

/* What hv_utils of Linux 6.1 speaks. */
extern const struct ic_version ic_guest_frameworks[], ic_guest_old_frameworks[];

/* Opens the channel of `type` on `bus`; false: there is none. */
bool ic_guest_open(struct ic_guest *guest, PDEVICE_OBJECT bus);
void ic_guest_close(struct ic_guest *guest);
/* Answers what was kept, and no more is. */
void ic_guest_unmute(struct ic_guest *guest);
/* As bytes, whatever they are. */
void ic_guest_send(struct ic_guest *guest, const void *message, uint32_t size);
void ic_guest_answer(struct ic_guest *guest, const struct ic_guest_message *message);
/* The last request, copied out of the callbacks' way. */
void ic_guest_last(struct ic_guest *guest, struct ic_guest_message *message);

/* ---- both ends ---- */

struct ic_fixture {
	char uri[128];
	HANDLE vmbus;
	PDEVICE_OBJECT bus;
	struct ic_guest guest;
	void *component;
};

bool ic_fixture_open(struct ic_fixture *f, const char *uri_pattern);
/* After the component is destroyed. */
void ic_fixture_close(struct ic_fixture *f);

/* Lines of the log that warn; those with `text`. */
void ic_log_begin(void);
uint32_t ic_log_count(const char *text);
void ic_log_end(void);

/* Waits up to 20 s. */
#define WAIT_FOR(condition)                                                \
	do {                                                               \
		int wait_tries = 4000;                                     \
		bool wait_done;                                            \
		while (!(wait_done = (condition)) && wait_tries-- > 0)     \
			nanosleep(&(struct timespec){ 0, 5000000 }, NULL); \
		assert_true(wait_done);                                    \
	} while (0)

#endif
