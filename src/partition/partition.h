/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PARTITION_PARTITION_H
#define PARTITION_PARTITION_H

/*
 * What VMBus needs from a hypervisor, and nothing else: messages, events, memory, presence. A
 * partition object is one guest seen from one end of it. It knows no channel and no message type.
 *
 * Every function may be called from any thread. Upcalls come from the partition's own thread, one
 * at a time, never from within a call; none comes after partition_close() has returned.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The payload of a synthetic interrupt message, and the event flags of a SINT (TLFS, HV_MESSAGE and
 * HV_SYNIC_EVENT_FLAGS). */
#define PARTITION_MESSAGE_MAX 240u
#define PARTITION_EVENT_FLAGS 2048u

struct partition;

enum partition_end {
	PARTITION_HOST,
	PARTITION_GUEST,
};

enum partition_presence {
	PARTITION_CAME, /* the other end is there; messages may go */
	PARTITION_GONE, /* it died, closed or was reset: nothing of it is in flight any more */
};

struct partition_upcalls {
	/* A message came; size <= PARTITION_MESSAGE_MAX. `id` is the connection it was posted to.
	 * The bytes are this end's own copy. */
	void (*message)(void *context, uint32_t id, const void *payload, size_t size);
	/* After partition_post() said -EAGAIN: try again. */
	void (*writable)(void *context);
	void (*presence)(void *context, enum partition_presence what);
	/* A sentence for the log; NULL: not wanted. */
	void (*log)(void *context, int level, const char *text); /* level: enum partition_log */
};

enum partition_log {
	PARTITION_LOG_ERROR,
	PARTITION_LOG_WARNING,
	PARTITION_LOG_INFO,
	/* An error that the other end has no part in: for the operator, and not to be lost among
	 * what the other end makes this one say. */
	PARTITION_LOG_OPERATOR,
};

/* Memory that can be seen from the other end: what a guest process shares with its host. */
struct partition_ram {
	int fd;        /* memfd, page-aligned, sealed against resizing by the partition */
	void *base;    /* where it is mapped in this process; guest page 0 is its first page */
	uint64_t size; /* bytes, a multiple of the page size */
	/* local: the host uses this very mapping, so it has to stay while pins on it do */
};

struct partition_settings {
	enum partition_end end;
	struct partition_upcalls upcalls;
	void *context;
	struct partition_ram ram; /* guest end only */
	/* Guest end: how long to wait for the answer of a host that is there, or for the next host
	 * where one hung up; 0: as the partition has it. */
	uint32_t patience_ms;
	/* Host end: messages to higher connection ids are refused where the hypervisor can say so.
	 */
	uint32_t message_id_max;
	/* Host end: how much memory a guest may bring; 0: PARTITION_MEMORY_MAX. */
	uint64_t memory_max;
};
#define PARTITION_MEMORY_MAX (4ull << 30)

/*
 * Opens this end of the guest that `uri` names: "local:NAME", "unix:PATH" or "kvm:NAME" (its host).
 * Upcalls begin with PARTITION_CAME once the other end is there, which may be before this returns:
 * `*partition` is set by then. 0, or -errno with a sentence for people in `why` (-EADDRINUSE: this
 * end is taken; -ENOENT, -ECONNREFUSED: the guest end found no host; -ENOTDIR: nor the directory of
 * PATH; -EINVAL: no such URI; -EPROTO, -ETIMEDOUT: the host does not answer as one).
 */
int partition_open(const char *uri, const struct partition_settings *settings,
                   struct partition **partition, char *why, size_t why_size);
/* The other end sees PARTITION_GONE after what was posted to it. Not from an upcall. Ports, links
 * and pins may still be released afterwards. */
void partition_close(struct partition *p);

/*
 * Where a message or an event goes. Guest to host: `id` is a connection id and nothing else
 * counts. Host to guest: messages go to a virtual processor's SINT, events to the flag `id` of it.
 */
struct partition_address {
	uint32_t id;
	uint32_t vp;
	uint8_t sint;
};

/*
 * Posts a message to the other end. Never blocks. 0; -EAGAIN: busy, `writable` will be called;
 * -ENOTCONN: nobody is there; -EMSGSIZE. Order is kept.
 *
 * Messages go from the PARTITION_CAME upcall to the PARTITION_GONE upcall, so an answer never
 * reaches a later guest. On the host end no message is delivered between -EAGAIN and `writable`: a
 * guest that does not read what it asked for cannot ask for more.
 */
int partition_post(struct partition *p, struct partition_address to, const void *payload,
                   size_t size);

/*
 * Events. A port is one id of this end (host: a connection id; guest: an event flag) on which
 * signals arrive; a link is the way to one id of the other end. Signals coalesce and are never
 * lost: one that comes before the port listens is kept for it.
 */
struct partition_port;
struct partition_link;

/* Listens on `id`: partition_port_fd() becomes readable when it is signalled.
 * 0, -EEXIST, -ENOMEM, -EMFILE. */
int partition_listen(struct partition *p, uint32_t id, struct partition_port **port);
/* A signal that was not cleared waits for who listens on the id next. */
void partition_unlisten(struct partition_port *port);
int partition_port_fd(const struct partition_port *port);
/* Consumes the signals so far. Never blocks. */
void partition_port_clear(struct partition_port *port);

/* Finds the way to an event of the other end; it need not be listening yet. The link is to the one
 * who is there now (or, with nobody there, to the next): after PARTITION_GONE it signals nothing.
 * 0, -ENOMEM. */
int partition_connect(struct partition *p, struct partition_address to,
                      struct partition_link **link);
void partition_disconnect(struct partition_link *link);
/* Signals it. Never blocks, never fails: with nobody there it does nothing. */
void partition_signal(struct partition_link *link);

/*
 * Memory, host end. A pin keeps guest memory accessible, also after the guest is gone, until it
 * is released. partition_pin() gives one on the memory as it is now (a guest that comes back
 * brings new memory), or NULL with nobody there.
 */
struct partition_pin;
struct partition_pin *partition_pin(struct partition *p);
void partition_unpin(struct partition_pin *pin);
/* The address of a guest page, or NULL where the guest has no memory. */
void *partition_page(const struct partition_pin *pin, uint64_t gpn);
/* The memory as a whole, for those who map parts of it once more. Valid as long as the pin. With no
 * memory its size is 0. */
struct partition_ram partition_pin_memory(const struct partition_pin *pin);

/*
 * A guard on a page of guest memory, host end: as long as it is armed, the first write there, by
 * whomever, waits for a moment; then the guard is no longer armed, the write goes on, and
 * partition_guard_fd() is readable until it is armed again. Made by one who then arms and disarms
 * it himself. Released before the pin.
 *
 * 0; -ENOTSUP: this kind of partition cannot; otherwise it is this page or this process that
 * cannot.
 */
struct partition_guard;
int partition_guard(const struct partition_pin *pin, void *page, struct partition_guard **guard);
/* Whoever waits goes on. */
void partition_unguard(struct partition_guard *guard);
int partition_guard_fd(const struct partition_guard *guard);
/* What was written before this returns may have gone unseen. 0, or -errno: not armed. */
int partition_guard_arm(struct partition_guard *guard);
void partition_guard_disarm(struct partition_guard *guard);
bool partition_guard_armed(struct partition_guard *guard);

/* Memory, guest end: the guest page number of an address, or PARTITION_NO_PAGE where the host
 * could not see it. */
#define PARTITION_NO_PAGE UINT64_MAX
uint64_t partition_gpn(const struct partition *p, const void *address);

/* What partition_open() was given. */
const char *partition_uri(const struct partition *p);
/* The process at the other end, or 0: nobody is there, or it cannot be known. */
pid_t partition_other_process(const struct partition *p);
/* Who came to the host end so far, where anybody can. */
struct partition_visitors {
	uint64_t came, refused;
	uint32_t stuck; /* processes that do not end for what visitors sent (socket_door.h) */
};
struct partition_visitors partition_visitors(struct partition *p);

/* ---- what a kind of partition implements; see local.c, socket.c ---- */

struct partition_ops {
	const char *scheme; /* "local", "unix" */
	int (*open)(const char *rest, const struct partition_settings *settings,
	            struct partition **partition, char *why, size_t why_size);
	void (*close)(struct partition *p);
	int (*post)(struct partition *p, struct partition_address to, const void *payload,
	            size_t size);
	int (*listen)(struct partition *p, uint32_t id, struct partition_port **port);
	void (*unlisten)(struct partition_port *port);
	void (*port_clear)(struct partition_port *port);
	int (*connect)(struct partition *p, struct partition_address to,
	               struct partition_link **link);
	void (*disconnect)(struct partition_link *link);
	void (*signal)(struct partition_link *link);
	struct partition_pin *(*pin)(struct partition *p);
	void (*unpin)(struct partition_pin *pin);
	void *(*page)(const struct partition_pin *pin, uint64_t gpn);
	struct partition_ram (*pin_memory)(const struct partition_pin *pin);
	/* or NULL; partition_guard_page() where the guest writes through this process's mapping */
	int (*guard)(void *page, struct partition_guard **guard);
	uint64_t (*gpn)(const struct partition *p, const void *address);
	pid_t (*other_process)(const struct partition *p);
	struct partition_visitors (*visitors)(struct partition *p); /* or NULL */
};
extern const struct partition_ops local_partition;
extern const struct partition_ops socket_partition;
#ifdef KMCL_KVM
extern const struct partition_ops kvm_partition;
#endif

/* The head of every kind's own structures. */
struct partition {
	const struct partition_ops *ops;
	struct partition_settings settings;
	char *uri;
};
struct partition_port {
	struct partition *partition;
	int fd;
	uint32_t id;
};
struct partition_link {
	struct partition *partition;
	struct partition_address to;
};
struct partition_pin {
	struct partition *partition;
};

/* Fills in the head of a partition of this kind. 0, -ENOMEM. */
int partition_init(struct partition *p, const struct partition_ops *ops, const char *rest,
                   const struct partition_settings *settings);
void partition_fini(struct partition *p);
/* guard.c: a guard on a page that is written through this process's mapping. */
int partition_guard_page(void *page, struct partition_guard **guard);
/* Starts the thread that makes a partition's upcalls. All signals are blocked in it: they are the
 * application's own threads' business. 0, -errno. */
int partition_start_thread(pthread_t *thread, const char *name, void *(*routine)(void *),
                           void *argument);

#endif
