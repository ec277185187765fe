/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PARTITION_SOCKET_DOOR_H
#define PARTITION_SOCKET_DOOR_H

/*
 * Who meets strangers for a host of unix:PATH. A descriptor that came from elsewhere may wait in
 * its last close for as long as its sender likes: a TCP socket that lingers, a file of FUSE or NFS.
 * So no thread of the host receives, drops or closes one. Processes of their own do, and they let
 * go of them by exiting, where TCP does not linger; if a file system makes even that wait, only
 * that process waits.
 *
 * The doorman, one a host, accepts connections and makes the others; it never touches what they
 * sent. Of those that say nothing it keeps a few, which costs a descriptor each.
 *
 * A porter, one a connection that has said something, hears its HELLO, checks what comes with it,
 * announces it to the host, and from then on passes on what the guest says, each frame checked.
 *
 * An undertaker exits with descriptors that the host has done with.
 *
 * The host talks to the doorman, and porters announce guests, on one socketpair, the door. A porter
 * and the host have another one, the relay. All of these processes are forks that never exec: they
 * call nothing but system calls, since another thread of the host's may have had any lock.
 */

#include "partition/socket_frame.h"

#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DOOR_CHILDREN_MAX 256u  /* porters and undertakers at a time */
#define DOOR_VISITORS_MAX 16u   /* connections that have said nothing */
#define DOOR_HELLO_MS     2000u /* how long it may take */
#define DOOR_AGAIN_MS     100u  /* to the next try, after a lack of something */
#define DOOR_GRACE_MS     1000u /* for what should end at once */
#define DOOR_TEXT_MAX     240u
#define DOOR_RIGHTS_MAX   253u /* descriptors in one message, as the kernel has it (SCM_MAX_FD) */

extern uint32_t door_children_max; /* DOOR_CHILDREN_MAX, or less in tests */

enum door_state {
	DOOR_FREE,
	DOOR_STARTING, /* a porter that has copies of all the doorman's descriptors */
	DOOR_VISITING, /* a porter: HELLO is being looked at */
	DOOR_GUEST,    /* a porter: its visitor was announced */
	DOOR_ENDING,   /* it exits, or was told to */
};

/* What all of them see of each other: memory that is shared. */
struct door_board {
	_Atomic uint64_t visitors; /* connections accepted */
	_Atomic uint64_t refused;  /* of them, by a porter */
	struct door_child {
		_Atomic uint32_t state;
		_Atomic uint64_t since;   /* ms */
		_Atomic int32_t sent_off; /* the pid of the porter that has no more to do */
	} children[DOOR_CHILDREN_MAX];
	uint64_t memory_max; /* of a guest */
};

enum door_kind {
	/* to the host */
	DOOR_COMES,   /* a guest: its connection, its relay, its memory */
	DOOR_NOTE,    /* about a visitor, for the log */
	DOOR_TROUBLE, /* for the operator */
	/* to the doorman */
	DOOR_TAKE,    /* the descriptors with it, to dispose of them */
	DOOR_DISPOSE, /* of what was taken: the host has closed its own */
	DOOR_LOOK,    /* at the board: a porter was sent off */
};

struct door_message {
	uint32_t kind;
	uint32_t child;
	int32_t porter, process; /* pids: its own, the visitor's */
	uint64_t ram_size;
	char text[DOOR_TEXT_MAX];
};

/* On the relay from the porter: this, the frame, and with a good PORT its descriptor. The host says
 * one byte when it has the descriptor: until then the porter keeps its own, so that whatever
 * becomes of that one is not the last of it. */
struct relay_head {
	uint32_t size; /* as sent */
	uint8_t descriptors;
	bool lost; /* there were some that the porter could not take */
	bool bad_port;
};

/* ---- system calls and nothing else: libc's wrappers may be those of a sanitizer ---- */

#define door_call(name, ...) syscall(SYS_##name, __VA_ARGS__)
/* Of a function that such a process runs: nothing of a sanitizer's in it either. */
#define DOOR_QUIET __attribute__((no_sanitize("address", "thread", "undefined")))

union door_rights {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(DOOR_RIGHTS_MAX * sizeof(int))];
};

/* Sends with descriptors. Waits unless flags say otherwise. 0, -errno. */
int door_send(int fd, const struct iovec *parts, size_t count, const int *descriptors,
              size_t descriptor_count, int flags);
/* Receives all descriptors that come. The size as sent, 0: the end, -errno. */
ssize_t door_receive(int fd, void *bytes, size_t size, int *descriptors, size_t *descriptor_count,
                     bool *lost, int flags);
/* Tells the visitor and, over `door`, the host why it is not let in. */
void door_refuse(struct door_board *board, int door, int connection, enum socket_reason reason,
                 const char *text);
int door_visitor(int connection); /* its process, or 0 */
uint64_t door_now(void);          /* ms */
/* How long it has been in its state. */
uint64_t door_age(const struct door_board *board, uint32_t child);

/* A process like this one, which has all of its descriptors and one thread. Signals are blocked in
 * it. As fork(). `signal` is what its parent gets when it ends; 0: nothing, and only a wait with
 * __WALL sees it. */
pid_t door_fork(int signal);
_Noreturn void door_exit(void);
/* From now on it ends when its parent does, also without a word: a pipe to wait at may have no end,
 * as others' forks have it too. */
void door_follow(pid_t parent);
void door_follow_no_more(void);
/* Of that process's descriptors two stay, as 0 and 1. False: there is no room. */
bool door_keep(int first, int second);
/* Waits a little for one that is about to end. */
void door_reap(pid_t pid);

/* The processes. Neither returns. `door` and the others are descriptors of the caller's. */
_Noreturn void doorman_run(struct door_board *board, int door, int listener);
/* `leash`: 'g' on it: nobody else has the connection any more, go. Until its visitor is a guest it
 * ends with the doorman. */
_Noreturn void porter_run(struct door_board *board, uint32_t child, int connection, int leash,
                          pid_t doorman);

/* ---- the host's side of it ---- */

struct socket_door {
	int fd; /* or -1 */
	pid_t doorman;
	struct door_board *board;
	uint64_t again; /* when to make another doorman; 0: there is one */
	/* What waits to be disposed of. */
	int rubbish[DOOR_RIGHTS_MAX];
	unsigned int rubbish_count;
	bool taken; /* what was before; DOOR_DISPOSE is still to be sent */
};

int door_open(struct socket_door *door, uint64_t memory_max);
/* Makes the doorman. 0, -errno. */
int door_man(struct socket_door *door, int listener);
/* It is gone. */
void door_unman(struct socket_door *door);
void door_close(struct socket_door *door);
/* Closes a descriptor that a stranger sent, or a socket that one could send descriptors to; some
 * time after door_flush(). */
void door_dispose(struct socket_door *door, int fd);
/* Without a doorman: has a process of its own, that this one makes, exit with what waits. False:
 * there is none to be had. */
bool door_undertake(struct socket_door *door);
/* False: there is more, and later is another time. */
bool door_flush(struct socket_door *door);
/* The porter has no more to do: it is not waited for longer than anything that ends. */
void door_send_off(struct socket_door *door, uint32_t child, pid_t porter);
/* Processes that should have ended a while ago. */
unsigned int door_stuck(const struct door_board *board);

#endif
