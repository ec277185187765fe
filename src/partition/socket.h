/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PARTITION_SOCKET_H
#define PARTITION_SOCKET_H

/*
 * unix:PATH, private. One end has one thread, which waits in epoll for the other end, for those who
 * want to become it, and for deadlines while there are any. The parts:
 *
 *   socket.c             opening, closing, the thread
 *   socket_host.c        the path, and guests that come
 *   socket_door.c        who meets them first: processes of their own (socket_door.h)
 *   socket_guest.c       finding the host, again and again
 *   socket_session.c     while both are there: frames in and out
 *   socket_event.c       ports and links
 *   socket_ram.c         the guest's memory
 *   socket_descriptor.c  descriptors on sockets, and which to trust
 *   socket_examiner.c    processes that look at those which a host sent
 *   socket_frame.c       frames as bytes
 */

#include "partition/id_table.h"
#include "partition/partition.h"
#include "partition/socket_descriptor.h"
#include "partition/socket_door.h"
#include "partition/socket_frame.h"

#include <pthread.h>
#include <stdatomic.h>

#define SOCKET_BACKLOG           128u  /* connections that the doorman has not seen */
#define SOCKET_STALE_MS          500u  /* for a dead host's socket to be refused */
#define SOCKET_LEAVE_MS          1000u /* for the last words of a guest that hung up */
#define SOCKET_WELCOME_MS        3000u /* how long a guest waits for its answer */
#define SOCKET_RECONNECT_MIN_MS  20u
#define SOCKET_RECONNECT_MAX_MS  250u
#define SOCKET_RESOURCE_RETRY_MS 100u  /* after the process or the system ran out of something */
#define SOCKET_DISPOSE_RETRY_MS  5u    /* after the doorman had no room */
#define SOCKET_PORTS_MAX         2112u /* of the other end: all flags and some connection ids */
#define SOCKET_WAYS_MAX          8192u /* ids of the other end that links name, or it named */
#define SOCKET_RUBBISH_MAX       32u   /* closed and not disposed of: then a guest has to wait */
#define SOCKET_ROUND_MAX         64u   /* frames read before others get their turn */

/* What an epoll event is about. */
enum socket_source {
	SOCKET_WAKE,
	SOCKET_DOOR,
	SOCKET_RELAY,
	SOCKET_GREETING,
	SOCKET_PEER,
	SOCKET_WAY, /* and its id */
};

/* Guest memory as mapped by the host. The pin of every user of it is this one object. */
struct socket_ram {
	struct partition_pin head;
	atomic_uint refs;
	struct partition_ram ram;
};

/* A guest that its porter announced. */
struct socket_arrival {
	int fd;
	int relay;
	int memory; /* or -1 */
	uint64_t ram_size;
	uint32_t child; /* the porter */
	pid_t porter, process;
};

struct socket_host {
	uint64_t device, inode; /* of the socket in the file system */
	char *lock_path;
	int lock_fd;
	int listen_fd;
	struct socket_door door;
	bool short_of_descriptors;  /* which was logged */
	bool next_waits;            /* for the last guest's end */
	struct socket_arrival next; /* then */
	/* the session's */
	uint32_t child;
	pid_t porter;
	uint64_t leave;         /* when its end is taken for granted; 0: it is there */
	uint64_t dispose_again; /* 0: nothing waits for it */
};

enum socket_outcome {
	SOCKET_UNDECIDED,
	SOCKET_OPEN,
	SOCKET_FAILED,
};

struct socket_guest {
	int greeting_fd;         /* HELLO said on it, no answer yet; or -1 */
	uint64_t deadline;       /* of the answer, or of the next attempt; 0: connected */
	uint64_t patience;       /* when the first attempt's ends */
	bool expected;           /* a host was there, and is awaited until then */
	unsigned int backoff;    /* ms */
	char complaint[256];     /* last logged, to say it once */
	struct socket_door door; /* nobody's: what is to be disposed of; under the end's lock */
	bool bury_now;           /* likewise */
	struct socket_examiners examiners; /* the thread's */
	/* The first attempt, for partition_open(). Under the end's lock. */
	pthread_cond_t decided;
	enum socket_outcome outcome;
	int error;
	char why[256];
};

struct socket_end {
	struct partition head;
	atomic_uint refs; /* the opener, ports, links, the memory */
	char *path;
	pthread_t thread;
	int epoll_fd;
	int wake_fd;
	atomic_bool closing;
	union {
		struct socket_host host;
		struct socket_guest guest;
	};

	pthread_mutex_t lock; /* for all that follows */
	atomic_bool present;  /* a session is on; read without the lock by signals */
	int fd;               /* its socket, or -1. Only the thread changes it */
	int relay;            /* host: what it says comes here; guest: the same as fd */
	uint32_t armed;       /* what epoll watches its socket for */
	uint32_t relay_armed; /* host: and the relay */
	atomic_bool misused;  /* host: descriptors came with a signal */
	bool wants_writable;
	struct socket_ram *ram; /* host */
	atomic_int other;       /* pid */
	struct id_table ports;
	unsigned int unannounced; /* of them */
	uint64_t announce_again;  /* 0: not waiting for resources to announce them */
	bool short_of_resources;  /* which was logged */
	struct id_table ways;
	unsigned int way_descriptors; /* how many of them the other end has opened */
};

/* ---- socket.c ---- */

struct socket_end *socket_end_of(const struct partition *p);
static inline bool socket_is_host(const struct socket_end *end)
{
	return end->head.settings.end == PARTITION_HOST;
}
void socket_end_release(struct socket_end *end);
uint64_t socket_now(void); /* ms */
int socket_watch(struct socket_end *end, int operation, int fd, uint32_t events,
                 enum socket_source source, uint32_t which);
void socket_wake(struct socket_end *end);
void socket_log(struct socket_end *end, enum partition_log level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Closes what the other end sent, or could send descriptors to. Under the lock. */
void socket_discard(struct socket_end *end, int fd);
/* Likewise, with what follows: a guest makes no process for one alone. */
void socket_discard_later(struct socket_end *end, int fd);
/* What came with a frame, and nobody took. */
void socket_discard_received(struct socket_end *end, struct socket_received *received);

/* ---- socket_session.c ---- */

/* From here on `fd`, which epoll watches already as it does `relay`, is the other end. `ram`
 * becomes the session's. */
void socket_session_begin(struct socket_end *end, int fd, int relay, struct socket_ram *ram);
void socket_session_end(struct socket_end *end);
void socket_session_events(struct socket_end *end, uint32_t events);
void socket_session_relayed(struct socket_end *end, uint32_t events);
/* Says REFUSE and ends it. */
void socket_session_hang_up(struct socket_end *end, enum socket_reason reason, const char *text);
/* Reads everything that came and finds the end if there is one. Is the session over? */
bool socket_session_is_over(struct socket_end *end);
/* Has epoll watch for what there is to wait for. Under the lock. */
void socket_session_arm(struct socket_end *end);
int socket_post(struct partition *p, struct partition_address to, const void *payload, size_t size);

/* ---- socket_event.c ---- */

int socket_listen(struct partition *p, uint32_t id, struct partition_port **port);
void socket_unlisten(struct partition_port *port);
void socket_port_clear(struct partition_port *port);
int socket_connect(struct partition *p, struct partition_address to, struct partition_link **link);
void socket_disconnect(struct partition_link *link);
void socket_signal(struct partition_link *link);
/* All under the lock: */
void socket_ports_announce(struct socket_end *end);
void socket_ports_retire(struct socket_end *end);
void socket_ways_retire(struct socket_end *end);
/* The other end listens on `id`; takes `fd`, which was checked. 0, -ENOMEM, -E2BIG. */
int socket_way_open(struct socket_end *end, uint32_t id, int fd);
/* epoll saw its other side close. */
void socket_way_hangup(struct socket_end *end, uint32_t id);

/* ---- socket_ram.c ---- */

/* Maps a guest's memory, which was checked; takes `fd` (-1: no memory) also when it fails. */
struct socket_ram *socket_ram_new(struct socket_end *end, int fd, uint64_t size, char *why,
                                  size_t why_size);
void socket_ram_release(struct socket_ram *ram);
/* Seals this guest's own memory. 0, -errno and the reason. */
int socket_ram_seal(const struct partition_ram *ram, char *why, size_t why_size);
struct partition_pin *socket_pin(struct partition *p);
void socket_unpin(struct partition_pin *pin);
struct partition_ram socket_pin_memory(const struct partition_pin *pin);
void *socket_page(const struct partition_pin *pin, uint64_t gpn);
uint64_t socket_gpn(const struct partition *p, const void *address);

/* ---- socket_host.c ---- */

int socket_host_open(struct socket_end *end, char *why, size_t why_size);
void socket_host_close(struct socket_end *end);
void socket_host_door(struct socket_end *end);
uint64_t socket_host_deadline(const struct socket_end *end);
void socket_host_tick(struct socket_end *end, uint64_t now);

/* ---- socket_guest.c ---- */

int socket_guest_open(struct socket_end *end, char *why, size_t why_size);
void socket_guest_close(struct socket_end *end);
/* Waits for the first attempt. 0, or its error. */
int socket_guest_outcome(struct socket_end *end, char *why, size_t why_size);
void socket_guest_answer(struct socket_end *end);
void socket_guest_lost(struct socket_end *end);
void socket_guest_tick(struct socket_end *end, uint64_t now);

#endif
