/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BUS_BUS_H
#define BUS_BUS_H

/*
 * The face of bus/: the channel protocol's two state machines, `server` for the host end and
 * `client` for the guest end. Pure: a call takes one input and returns after zero or more calls of
 * the ops it was made with; it does no I/O, takes no lock and starts no thread. The caller
 * serialises all calls on one machine. Memory comes from ops->allocate, within the limits below,
 * and is aligned as for a pointer or a uint64_t, whichever wants more. So are ranges and page
 * numbers; messages that are handed in may be anywhere, and those that are handed out are as
 * aligned as memory.
 *
 * No op calls back into the machine that called it: whatever op it is, memory and fault included,
 * each function that would change the machine returns BUS_REENTERED there and does nothing, destroy
 * too. What an op asks for is answered later with a ..._done() call; what it wants to ask for, such
 * as client_release() after a rescind, its owner notes down and asks for once the call is over.
 * From any op may be called what only looks: server_version, server_channel_state, client_version,
 * client_offer, client_uses_shared_interrupt, client_hears_shared_interrupt; and any function of
 * another machine.
 */

#include "wire/wire.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * NTSTATUS values as they travel in open results, GPADL, modify and TL connect answers. On the wire
 * success is 0 and nothing else, at both ends: so Linux takes each of these answers (vmbus_open,
 * vmbus_establish_gpadl, send_modifychannel_with_ack), and FreeBSD (vmbus_chan_open_br), whatever
 * the severity in the upper bits.
 */
#define BUS_STATUS_SUCCESS                0x00000000u
#define BUS_STATUS_UNSUCCESSFUL           0xc0000001u
#define BUS_STATUS_INVALID_PARAMETER      0xc000000du
#define BUS_STATUS_INSUFFICIENT_RESOURCES 0xc000009au
#define BUS_STATUS_CONNECTION_REFUSED     0xc0000236u
#define BUS_STATUS_DEVICE_REMOVED         0xc00002b6u /* the offer is being taken back */

/* A status from the wire for who asks NT_SUCCESS(): 0, or a failure by that measure, too. */
static inline uint32_t bus_status_from_wire(uint32_t status)
{
	return status && !(status & 0x80000000u) ? BUS_STATUS_UNSUCCESSFUL : status;
}

/* What a call of a machine returns. Functions whose comment names no failure return one only when
 * they are called from an op. */
enum bus_result {
	BUS_OK = 0,
	BUS_REFUSED = -1, /* no such channel, its state forbids it, a limit, or no memory */
	BUS_OFFERED =
		-2, /* server_offer(): that type, instance and subchannel is offered already */
	BUS_REENTERED = -3, /* called from one of the machine's own ops: nothing was done */
	BUS_NO_OP = -4,     /* ..._create(): an op that is not optional is missing */
	BUS_NO_MEMORY = -5, /* ..._create() */
	BUS_BUSY = -6,      /* the host has no room: again after client_resume() */
};

struct bus_guid {
	uint8_t bytes[16]; /* as on the wire */
};

/* What a machine needs of its surroundings besides its ops. */
struct bus_memory {
	void *(*allocate)(void *context, size_t size); /* zeroed, or NULL */
	void (*release)(void *context, void *memory, size_t size);
};

/* A fault of the other end, for the log: said once per message that was wrong. */
struct bus_fault {
	const char *message; /* "GPADL_BODY", ... */
	const char *what;    /* what about it, e.g. "page count past the header's" */
	uint64_t expected;
	uint64_t actual;
};

/* An offer with all its fields; the machine fills in ids that the server assigns. */
struct bus_offer {
	struct bus_guid type;
	struct bus_guid instance;
	uint16_t flags; /* WIRE_OFFER_FLAG_* */
	uint16_t mmio_megabytes;
	uint16_t mmio_megabytes_optional;
	uint16_t subchannel_index;
	uint8_t user_defined[120];
	uint8_t vtl; /* server: the guest in this virtual trust level sees it; not on the wire */
	bool monitor_allocated;
	uint8_t monitor_id;
	bool dedicated_interrupt;
	/* assigned by the server */
	uint32_t channel_id;
	uint32_t connection_id;
};

/* Guest memory as a GPADL or a GPA direct packet names it. */
struct bus_gpa_range {
	uint32_t byte_count;
	uint32_t byte_offset;
	const uint64_t *pfns; /* wire_pages_spanned(byte_offset, byte_count) of them */
};

/* ================= the host end ================= */

struct server;
struct server_channel; /* one offer */

struct server_limits {
	uint32_t channels;        /* at most 2047 */
	uint32_t gpadls;          /* of the whole guest, half-built ones included */
	uint32_t gpadl_pages;     /* of all of them together */
	uint32_t gpadls_building; /* headers whose bodies have not all come */
};
extern const struct server_limits server_limits_default;

/* What the guest said with INITIATE_CONTACT, checked. */
struct server_contact {
	uint32_t version;
	uint32_t feature_flags; /* those both ends have; version 6.0 and up */
	uint32_t message_vp;
	uint8_t message_sint;
	uint8_t vtl;
	uint64_t interrupt_page;   /* GPA, or 0: versions before 2.4 */
	uint64_t monitor_pages[2]; /* GPA: parent to child, child to parent; or 0 */
	struct bus_guid client_id; /* or zero */
};

struct server_open {
	uint32_t open_id;
	uint32_t ring_gpadl;
	uint32_t ring_offset; /* pages before the host-to-guest ring begins */
	uint32_t target_vp;   /* UINT32_MAX: no interrupts */
	uint32_t connection_id;
	uint16_t event_flag;
	uint8_t user_data[120];
};

/* All are there, but for those that say "optional". */
struct server_ops {
	struct bus_memory memory;
	/* Optional, as a pair: for GPADLs, of which the guest says how many and how large; without,
	 * `memory`. NULL for want of memory, or because it is enough: the GPADL is refused. */
	struct bus_memory gpadl_memory;
	/* To the guest, in order. Never fails: the caller queues; while its queue is long it feeds
	 * no further guest messages in. `vp`, `sint`: where the guest wants its messages. */
	void (*send)(void *context, const void *message, size_t size, uint32_t vp, uint8_t sint);
	/* The guest made contact and version and features are agreed: take over pages, then
	 * server_contact_done(). */
	void (*contact)(void *context, const struct server_contact *contact);
	/* The connection is over, all channels are closed: let go of its pages. No answer. */
	void (*disconnected)(void *context);
	/* Requests about a channel; `owner` is what server_offer() was given. Each is answered
	 * once, except that server_close_done() stands for the answer to a `modify` before it, too.
	 * A GPADL is not torn down while the channel's rings are in it, or while the channel is
	 * closing. */
	void (*open)(void *context, void *owner,
	             const struct server_open *open);                   /* server_open_done */
	void (*close)(void *context, void *owner);                      /* server_close_done */
	void (*modify)(void *context, void *owner, uint32_t target_vp); /* server_modify_done */
	void (*gpadl)(void *context, void *owner, uint32_t gpadl,
	              const struct bus_gpa_range *ranges,
	              uint32_t count); /* server_gpadl_done; ranges stay valid until torn down */
	void (*gpadl_teardown)(void *context, void *owner,
	                       uint32_t gpadl); /* server_gpadl_teardown_done */
	/* This end has let go of the revoked channel: it is closed and its GPADLs are torn down.
	 * `owner` is not named again and `channel` is not to be used again. The guest may go on
	 * holding the id; an offer of the same key waits until it releases it. No answer. */
	void (*revoked)(void *context, void *owner);
	/* Optional: a TL connect request; server_tl_result() with CONNECTION_REFUSED unless someone
	 * listens. Without it all are refused. */
	void (*tl_connect)(void *context, const struct bus_guid *endpoint,
	                   const struct bus_guid *service, const struct bus_guid *silo);
	/* Optional: other monitor pages, or none (0) from now on; server_monitor_pages_done().
	 * Without it guests are not told that they may ask (6.0, WIRE_FEATURE_MODIFY_CONNECTION).
	 */
	void (*monitor_pages)(void *context, const uint64_t pages[2]);
	void (*fault)(void *context, const struct bus_fault *fault); /* optional */
};

/* BUS_NO_OP, BUS_NO_MEMORY: *s is NULL. */
enum bus_result server_create(const struct server_ops *ops, void *context,
                              const struct server_limits *limits, uint32_t version_max,
                              struct server **s);
/* Frees everything, whatever its state; says nothing more. */
enum bus_result server_destroy(struct server *s);

/* Input: a message from the guest, `size` <= 240, the caller's own copy. */
enum bus_result server_message(struct server *s, const void *message, size_t size);
/* Input: the guest is gone without unload (its process died, its VM was reset): closes all
 * channels, tears down all GPADLs, then `disconnected` (always, maybe before this returns). */
enum bus_result server_reset(struct server *s);

/* Offers a channel; sent at once if the guest has asked for offers. BUS_REFUSED: out of memory or
 * at the limit; BUS_OFFERED. `offer` gets its ids. */
enum bus_result server_offer(struct server *s, struct bus_offer *offer, void *owner,
                             struct server_channel **channel);
/* Takes it back: closes and tears down; then, since the guest may reuse its memory once it knows,
 * rescinds; then `revoked`, maybe before this returns. */
enum bus_result server_revoke(struct server *s, struct server_channel *channel);

/* Answers to the ops. */
enum bus_result server_contact_done(struct server *s, bool accepted);
enum bus_result server_monitor_pages_done(struct server *s, bool accepted);
enum bus_result server_open_done(struct server *s, struct server_channel *channel, uint32_t status);
enum bus_result server_close_done(struct server *s, struct server_channel *channel);
enum bus_result server_modify_done(struct server *s, struct server_channel *channel,
                                   uint32_t status);
enum bus_result server_gpadl_done(struct server *s, struct server_channel *channel, uint32_t gpadl,
                                  uint32_t status);
enum bus_result server_gpadl_teardown_done(struct server *s, struct server_channel *channel,
                                           uint32_t gpadl);
enum bus_result server_tl_result(struct server *s, const struct bus_guid *endpoint,
                                 const struct bus_guid *service, uint32_t status);

/* The agreed version, or 0. */
uint32_t server_version(const struct server *s);
/* For people: "offered", "open", ... */
const char *server_channel_state(const struct server_channel *channel);

/* ================= the guest end ================= */

struct client;

/* How this guest makes contact. */
struct client_contact {
	uint32_t version_max;   /* first asked; the machine walks down from it */
	uint32_t feature_flags; /* asked from version 6.0 on */
	uint32_t message_vp;
	uint8_t message_sint;
	uint8_t vtl;               /* not 0: versions before 5.1 cannot say so, and are not asked */
	uint64_t interrupt_page;   /* GPA, for versions before 2.4 */
	uint64_t monitor_pages[2]; /* GPA: parent to child, child to parent */
	struct bus_guid client_id;
};

/* All are there, but for those that say "optional". */
struct client_ops {
	struct bus_memory memory;
	/* To the host, in order, to a connection id. False: the host has no room for it. Then the
	 * client remembers what it has to say, and says nothing before client_resume(). */
	bool (*send)(void *context, const void *message, size_t size, uint32_t connection_id);
	/* Contact made (version != 0), or refused at every version (0). */
	void (*connected)(void *context, uint32_t version, uint32_t feature_flags);
	/* An offer came. It stays until rescinded or until released after that. *owner is NULL:
	 * what is put there, or said with client_set_owner(), is what the ops about this channel
	 * name, until it is released or the connection is over. */
	void (*offer)(void *context, const struct bus_offer *offer, void **owner);
	void (*offers_delivered)(void *context); /* optional: all that were there have come */
	/* The host took it back: close down, then client_release(). */
	void (*rescind)(void *context, void *owner, uint32_t channel_id);
	void (*opened)(void *context, void *owner, uint32_t channel_id, uint32_t open_id,
	               uint32_t status);
	void (*gpadl_created)(void *context, void *owner, uint32_t channel_id, uint32_t gpadl,
	                      uint32_t status);
	void (*gpadl_torndown)(void *context, void *owner, uint32_t channel_id, uint32_t gpadl);
	/* Optional. */
	void (*modified)(void *context, void *owner, uint32_t channel_id, uint32_t status);
	/* Optional. */
	void (*tl_result)(void *context, const struct bus_guid *endpoint,
	                  const struct bus_guid *service, uint32_t status);
	void (*unloaded)(void *context);
	void (*fault)(void *context, const struct bus_fault *fault); /* optional */
};

/* BUS_NO_OP, BUS_NO_MEMORY: *c is NULL. */
enum bus_result client_create(const struct client_ops *ops, void *context, struct client **c);
enum bus_result client_destroy(struct client *c);

/* BUS_NO_MEMORY: for an offer, which is not there then until the host makes it again. */
enum bus_result client_message(struct client *c, const void *message, size_t size);
/*
 * The host may have room again: says what is due, until `send` says no. BUS_BUSY: it did.
 *
 * While it does, calls are taken as ever and what they have to say follows in their order. There is
 * no limit to that and no memory in it: it is kept where what it is about is. What is not wanted
 * any more meanwhile is not said: an open that is closed, a modify of what is closed, a GPADL that
 * is torn down (its gpadl_torndown comes during that call), all that is about a channel when it is
 * rescinded, and everything when the guest says goodbye.
 */
enum bus_result client_resume(struct client *c);
/* The host is gone: everything pending is answered with UNSUCCESSFUL (`connected` with 0), then
 * `rescind` for each channel not rescinded yet; all count as released when this returns, and
 * client_connect() may be called again. */
enum bus_result client_reset(struct client *c);

/* Makes contact, negotiates down, then asks for offers. Answer: `connected`, then offers.
 * BUS_REFUSED: not disconnected, or no version that will do. */
enum bus_result client_connect(struct client *c, const struct client_contact *contact);
/* The host does not know the connection id that contact was asked on (hosts before 5.0 do not know
 * 4): as if it had refused that version. */
enum bus_result client_contact_refused(struct client *c);
/* Says goodbye: UNLOAD. Answer: `unloaded`; before it, what is pending is answered with
 * UNSUCCESSFUL and channels not rescinded yet are, and then none is left. While connecting,
 * `connected` says no at once. */
enum bus_result client_unload(struct client *c);

/* The offer that stays; NULL: there is none of that id, or the host took it back. */
const struct bus_offer *client_offer(const struct client *c, uint32_t channel_id);
/* From now on the ops about this channel name that owner. BUS_REFUSED: no such channel. */
enum bus_result client_set_owner(struct client *c, uint32_t channel_id, void *owner);

struct client_open {
	uint32_t ring_gpadl;
	uint32_t ring_offset;
	uint32_t target_vp;
	uint8_t user_data[120];
};
/* BUS_OK, or BUS_REFUSED: no such channel, or its state forbids it. Answers: the op of the same
 * name, with 0 or a failure by NT_SUCCESS()'s measure. When a channel is rescinded, what is pending
 * is answered before `rescind`: opened, modified and gpadl_created with UNSUCCESSFUL.
 *
 * After a close that came before the open was answered, the next open is said to the host when it
 * has answered the first. */
enum bus_result client_open(struct client *c, uint32_t channel_id, const struct client_open *open);
/* No answer; but a modify that is pending is answered, with UNSUCCESSFUL. Before an open was
 * answered it means that nobody wants it any more: `opened` does not come, and should the host open
 * late, it is told to close. */
enum bus_result client_close(struct client *c, uint32_t channel_id);
/* Since 4.1. Before 5.3 the host does not answer, and `modified` comes when it is said: during the
 * call, or client_resume(). One at a time: BUS_REFUSED. */
enum bus_result client_modify(struct client *c, uint32_t channel_id, uint32_t target_vp);
/* Nobody waits for `modified` any more, and it does not come. */
enum bus_result client_modify_give_up(struct client *c, uint32_t channel_id);
/* The ranges and their page numbers are the caller's, and stay valid until gpadl_created or
 * gpadl_torndown, or client_destroy(); if `send` said yes, they are read during the call alone. */
enum bus_result client_gpadl_create(struct client *c, uint32_t channel_id,
                                    const struct bus_gpa_range *ranges, uint32_t count,
                                    uint32_t *gpadl);
/* Whether the host has all of the description, or is to have no more of it: its ranges are not read
 * again. */
bool client_gpadl_is_said(const struct client *c, uint32_t gpadl);
/* On a rescinded channel `gpadl_torndown` comes during the call: the host is done with it. Of a
 * GPADL whose creation was not answered it means that nobody wants it any more: `gpadl_created`
 * does not come, and `gpadl_torndown` does when the host has refused it, or created it and torn it
 * down. That of a closed channel's rings waits for the answer to their open. */
enum bus_result client_gpadl_teardown(struct client *c, uint32_t channel_id, uint32_t gpadl);
/* After a rescind, when nothing of this end uses the channel any more: the id may be reused. */
enum bus_result client_release(struct client *c, uint32_t channel_id);
/* BUS_BUSY: the last one has not been said yet. */
enum bus_result client_tl_connect(struct client *c, const struct bus_guid *endpoint,
                                  const struct bus_guid *service);

/* The agreed version, or 0. */
uint32_t client_version(const struct client *c);
/* Whether a signal for an offer goes to the host by way of the interrupt page: its bit there, then
 * a signal to the offer's connection id. Else that signal alone. */
bool client_uses_shared_interrupt(const struct client *c, const struct bus_offer *offer);
/* Whether the host's signals come by way of the interrupt page, whatever an offer says. */
bool client_hears_shared_interrupt(const struct client *c);

#ifdef __cplusplus
}
#endif

#endif
