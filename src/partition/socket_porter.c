/* SPDX-License-Identifier: BSD-2-Clause */

/* The porter of one connection: all that a stranger sends is received here, and what is not wanted
 * goes when this process does. If it waits, the stranger waits with it, and nobody else. */

#include "partition/socket_descriptor.h"
#include "partition/socket_door.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define DOOR       0 /* its descriptors */
#define CONNECTION 1
#define LEASH      2

struct porter {
	struct door_board *board;
	uint32_t child;
	int relay;
	uint8_t bytes[SOCKET_FRAME_MAX];
	size_t size; /* as sent */
	int descriptors[DOOR_RIGHTS_MAX];
	size_t descriptor_count;
	bool lost;
};

static void set_state(struct porter *p, enum door_state state)
{
	atomic_store(&p->board->children[p->child].since, door_now());
	atomic_store(&p->board->children[p->child].state, state);
}

static _Noreturn void leave(struct porter *p)
{
	set_state(p, DOOR_ENDING);
	door_exit();
}

static _Noreturn void refuse(struct porter *p, enum socket_reason reason, const char *text)
{
	door_refuse(p->board, DOOR, CONNECTION, reason, text);
	leave(p);
}

/* What comes next on the connection. False: it was the end. */
static bool receive(struct porter *p)
{
	ssize_t got = door_receive(CONNECTION, p->bytes, sizeof(p->bytes), p->descriptors,
	                           &p->descriptor_count, &p->lost, 0);

	p->size = got > 0 ? (size_t)got : 0;
	return got > 0;
}

static unsigned int descriptors_of(const struct porter *p)
{
	return p->descriptor_count + p->lost < 2 ? (unsigned int)(p->descriptor_count + p->lost)
	                                         : 2;
}

/* ---- until it has said HELLO ---- */

static void check_hello(struct porter *p, struct socket_frame *hello)
{
	struct socket_fault fault;
	char text[160];

	if (p->lost && !p->descriptor_count)
		refuse(p, SOCKET_REASON_LIMIT, "out of descriptors for the guest's memory");
	if (!socket_frame_decode(SOCKET_STAGE_HELLO, p->bytes, p->size, descriptors_of(p), hello,
	                         &fault)) {
		socket_describe_fault(&fault, text, sizeof(text));
		refuse(p, SOCKET_REASON_PROTOCOL, text);
	}
	if (hello->type == SOCKET_REFUSE)
		leave(p); /* it changed its mind */
	if (hello->version == SOCKET_PROTOCOL_VERSION)
		return;
	snprintf(text, sizeof(text), "version %u of the protocol was expected, and %u came",
	         SOCKET_PROTOCOL_VERSION, hello->version);
	refuse(p, SOCKET_REASON_VERSION, text);
}

static void check_memory(struct porter *p, const struct socket_frame *hello)
{
	uint64_t most = p->board->memory_max;
	char text[160];

	if (hello->ram_size > most) {
		snprintf(text, sizeof(text),
		         "memory: at most %llu bytes were expected, and %llu came",
		         (unsigned long long)most, (unsigned long long)hello->ram_size);
		refuse(p, SOCKET_REASON_MEMORY, text);
	}
	if (hello->ram_size &&
	    !socket_check_memory(p->descriptors[0], hello->ram_size, text, sizeof(text)))
		refuse(p, SOCKET_REASON_MEMORY, text);
}

/* Tells the host, and waits for it to take what comes with that. False: it could not. */
static bool announce(struct porter *p, const struct door_message *message)
{
	const struct iovec part = { (void *)(uintptr_t)message, sizeof(*message) };
	int pair[2], descriptors[3] = { CONNECTION };
	char byte;

	if (door_call(socketpair, (long)AF_UNIX, (long)SOCK_SEQPACKET, 0L, pair))
		return false;
	descriptors[1] = pair[0];
	if (p->descriptor_count)
		descriptors[2] = p->descriptors[0];
	if (door_send(DOOR, &part, 1, descriptors, p->descriptor_count ? 3 : 2, 0))
		leave(p);
	door_call(close, pair[0]);
	p->relay = pair[1];
	if (door_call(read, p->relay, &byte, 1L) == 1)
		return true;
	door_call(close, p->relay);
	return false;
}

static void announce_until_heard(struct porter *p, const struct socket_frame *hello)
{
	const struct timespec moment = { .tv_nsec = DOOR_AGAIN_MS * 1000000 };
	struct door_message message = {
		.kind = DOOR_COMES,
		.child = p->child,
		.porter = (int32_t)door_call(getpid, 0L),
		.process = door_visitor(CONNECTION),
		.ram_size = hello->ram_size,
	};

	set_state(p, DOOR_GUEST);
	door_follow_no_more();
	for (unsigned int ms = 0; ms < DOOR_HELLO_MS; ms += DOOR_AGAIN_MS) {
		if (announce(p, &message))
			return;
		door_call(nanosleep, &moment, 0L);
	}
	refuse(p, SOCKET_REASON_LIMIT, "out of descriptors for the guest");
}

/* ---- while it is the guest ---- */

/* The host is through with it; until then it has a share in the connection. */
static _Noreturn void wait_for_the_host(struct porter *p)
{
	char byte;

	door_call(shutdown, p->relay, (long)SHUT_WR);
	while (door_call(read, p->relay, &byte, 1L) == 1)
		;
	leave(p);
}

static bool is_good_port(struct porter *p, struct relay_head *head)
{
	struct socket_frame frame;
	struct socket_fault fault;

	if (!socket_frame_decode(SOCKET_STAGE_SESSION, p->bytes, p->size, descriptors_of(p), &frame,
	                         &fault) ||
	    frame.type != SOCKET_PORT)
		return false;
	head->bad_port = !socket_check_port(p->descriptors[0]);
	return !head->bad_port;
}

static void pass_on(struct porter *p)
{
	struct relay_head head = {
		.size = (uint32_t)p->size,
		.descriptors = (uint8_t)descriptors_of(p),
		.lost = p->lost && !p->descriptor_count,
	};
	bool port = p->descriptor_count == 1 && !p->lost && is_good_port(p, &head);
	const struct iovec parts[] = {
		{ &head, sizeof(head) },
		{ p->bytes, p->size < sizeof(p->bytes) ? p->size : sizeof(p->bytes) },
	};
	char byte;

	if (door_send(p->relay, parts, 2, p->descriptors, port, 0))
		leave(p);
	if (!port)
		return;
	if (door_call(read, p->relay, &byte, 1L) != 1)
		leave(p);
	door_call(close, p->descriptors[0]); /* not the last of it, unless the host was quick */
}

static bool await_frame(struct porter *p)
{
	struct pollfd fds[] = {
		{ .fd = CONNECTION, .events = POLLIN },
		{ .fd = p->relay, .events = POLLIN },
	};

	while (!fds[0].revents && !fds[1].revents)
		door_call(ppoll, fds, 2L, 0L, 0L, 0L);
	if (fds[1].revents) /* there is nothing it could say but the end */
		leave(p);
	return receive(p);
}

static void arrange(int connection, int leash)
{
	/* It is neither of the others' places: those are the doorman's own. */
	if (door_call(dup3, connection, (long)CONNECTION, 0L) < 0 ||
	    door_call(dup3, leash, (long)LEASH, 0L) < 0)
		door_exit();
	door_call(close_range, 3L, ~0u, 0L);
}

void porter_run(struct door_board *board, uint32_t child, int connection, int leash, pid_t doorman)
{
	struct porter p = { .board = board, .child = child };
	struct socket_frame hello;
	char byte;

	prctl(PR_SET_NAME, "kmcl-porter");
	door_follow(doorman);
	arrange(connection, leash);
	set_state(&p, DOOR_VISITING);
	door_call(read, LEASH, &byte, 1L); /* nobody else has the connection now */
	if (!receive(&p))                  /* which has something to be received */
		leave(&p);
	check_hello(&p, &hello);
	check_memory(&p, &hello);
	announce_until_heard(&p, &hello);
	while (await_frame(&p))
		pass_on(&p);
	wait_for_the_host(&p);
}
