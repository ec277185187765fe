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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARTITION_MESSAGE_MAX 240u /* payload of a synthetic interrupt message (TLFS, HV_MESSAGE) */
#define PARTITION_EVENT_FLAGS 2048u

struct partition;

enum partition_end {
	PARTITION_HOST,
	PARTITION_GUEST,
};

enum partition_presence {
	PARTITION_CAME,	 /* the other end is there; messages may go */
	PARTITION_GONE,	 /* it died, closed or was reset: nothing of it is in flight any more */
};

struct partition_upcalls {
	/* A message came; size <= PARTITION_MESSAGE_MAX. `id` is the connection it was posted to.
	 * The bytes are this end's own copy. */
	void (*message)(void *context, uint32_t id, const void *payload, size_t size);
	/* After partition_post() said -EAGAIN: try again. */
	void (*writable)(void *context);
	void (*presence)(void *context, enum partition_presence what);
};

/* Memory that can be seen from the other end: what a guest process shares with its host. */
struct partition_ram {
	int fd;	       /* memfd, page-aligned, sealed against resizing by the partition */
	void *base;    /* where it is mapped in this process; guest page 0 is its first page */
	uint64_t size; /* bytes, a multiple of the page size */
};

struct partition_settings {
	enum partition_end end;
	struct partition_upcalls upcalls;
	void *context;
	struct partition_ram ram; /* guest end only */
};

/*
 * Opens this end of the guest that `uri` names: "local:NAME" or "unix:PATH". Upcalls begin with
 * PARTITION_CAME once the other end is there, which may be before this returns.
 * 0, or -errno with a sentence for people in `why` (-EADDRINUSE: this end is taken; -ENOENT,
 * -ECONNREFUSED: the guest end found no host; -EINVAL: no such URI).
 */
int partition_open(const char *uri, const struct partition_settings *settings,
		   struct partition **partition, char *why, size_t why_size);
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

/* Posts a message to the other end. Never blocks. 0; -EAGAIN: busy, `writable` will be called;
 * -ENOTCONN: nobody is there; -EMSGSIZE. Order is kept. */
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
void partition_unlisten(struct partition_port *port);
int partition_port_fd(const struct partition_port *port);
/* Consumes the signals so far. Never blocks. */
void partition_port_clear(struct partition_port *port);

/* Finds the way to an event of the other end; it need not be listening yet. 0, -ENOMEM. */
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

/* Memory, guest end: the guest page number of an address, or PARTITION_NO_PAGE where the host
 * could not see it. */
#define PARTITION_NO_PAGE UINT64_MAX
uint64_t partition_gpn(const struct partition *p, const void *address);

/* What partition_open() was given. */
const char *partition_uri(const struct partition *p);

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
	uint64_t (*gpn)(const struct partition *p, const void *address);
};

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

#endif
