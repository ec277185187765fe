/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BUS_CLIENT_PRIVATE_H
#define BUS_CLIENT_PRIVATE_H

/* What the files of the client machine share. */

#include "bus/bus.h"
#include "bus/id_tree.h"

enum client_due_kind {
	CLIENT_DUE_NOTHING,
	CLIENT_DUE_CONTACT,
	CLIENT_DUE_REQUEST_OFFERS,
	CLIENT_DUE_UNLOAD,
	CLIENT_DUE_OPEN,
	CLIENT_DUE_CLOSE,
	CLIENT_DUE_RELEASE,
	CLIENT_DUE_GPADL,
	CLIENT_DUE_TEARDOWN,
	CLIENT_DUE_TL_CONNECT, /* the guest kit asks for neither of these */
	CLIENT_DUE_MODIFY,
};

/* Something that is to be said to the host; see client_due.c. */
struct client_due {
	struct client_due *next, *previous;
	enum client_due_kind kind;
};

enum client_channel_state {
	CLIENT_CHANNEL_OFFERED,
	CLIENT_CHANNEL_OPENING,
	CLIENT_CHANNEL_ABANDONED, /* closed before the open was answered */
	CLIENT_CHANNEL_OPEN,
};

struct client_channel {
	struct id_node node; /* in client.channels */
	struct bus_offer offer;
	void *owner;
	enum client_channel_state state;
	bool rescinded; /* all that was pending has been answered; the host hears only the release
	                 */
	bool released;  /* nobody has it; the host is still to be told so */
	bool modifying;
	uint32_t modifies_late; /* closed or given up when they had been said; an answer may come */
	uint32_t modify_vp;
	uint32_t open_id;
	uint32_t ring_gpadl;       /* of that open */
	bool reopen_wanted;        /* abandoned: open again when that is over */
	struct client_open wanted; /* that which is due, or wanted then */
	struct client_gpadl *gpadls;
	struct client_due modify_due, open_due, end_due; /* end: CLOSE or RELEASE */
};

enum client_gpadl_state {
	CLIENT_GPADL_ASKED,
	CLIENT_GPADL_UNWANTED, /* asked, and torn down before that was answered */
	CLIENT_GPADL_HELD,
	CLIENT_GPADL_KEPT, /* held, and torn down while the host may still open the rings in it */
	CLIENT_GPADL_LEAVING,
	CLIENT_GPADL_VOID, /* answered by the rescind; what the host still says of it is too late */
};

struct client_gpadl {
	struct id_node node; /* in client.gpadls */
	struct client_channel *channel;
	struct client_gpadl *next, *previous; /* of the channel */
	enum client_gpadl_state state;
	struct client_due due;
	/* What it describes, while that is due; the caller's. */
	const struct bus_gpa_range *ranges;
	uint32_t range_count;
	uint32_t words;     /* of all of them */
	uint32_t said;      /* words that the host has, and the next: */
	uint32_t put;       /* those with the message that is being said */
	uint32_t put_range; /* the range of the next one to be put, */
	uint32_t put_page;  /* and how many of that range's pages are */
};

enum client_state {
	CLIENT_DISCONNECTED,
	CLIENT_CONNECTING,
	CLIENT_CONNECTED,
	CLIENT_UNLOADING,
};

struct client {
	struct client_ops ops;
	void *context;
	bool entered; /* by a call that has not returned */
	enum client_state state;
	bool unload_wanted; /* while connecting: say goodbye as soon as there is somebody to */
	bool left;          /* with a goodbye, and has not come back */
	bool offers_delivered;
	struct client_contact contact;
	uint32_t version; /* asked or agreed */
	uint32_t features;
	uint32_t connection_id;
	bool busy; /* the host was, and nobody has said since that it is not */
	struct client_due *first_due, *last_due;
	struct client_due connection_due, tl_due;
	struct bus_guid tl_endpoint, tl_service; /* while that is due */
	union wire_message incoming, outgoing;   /* one at a time, and off the stack */
	uint32_t last_open_id;
	uint32_t last_gpadl;
	uint32_t gpadl_answers_late; /* that may come, of GPADLs whose channels are released */
	struct id_tree channels, gpadls;
};

/* Around each call that changes the machine. False: an op of it calls back. */
static inline bool client_enter(struct client *c)
{
	bool entered = c->entered;

	c->entered = true;
	return !entered;
}

static inline enum bus_result client_leave(struct client *c, enum bus_result result)
{
	c->entered = false;
	return result;
}

/* client.c */
void *client_allocate(struct client *c, size_t size);
void client_free(struct client *c, void *memory, size_t size);
/* What follows looks for an op that is optional, each for one. */
void client_fault(struct client *c, uint32_t type, const char *what, uint64_t expected,
                  uint64_t actual);
void client_say_modified(struct client *c, const struct client_channel *channel, uint32_t status);
void client_on_tl_result(struct client *c, const struct wire_tl_connect_result *message);

/* client_due.c */
static inline bool client_is_due(const struct client_due *due)
{
	return due->kind != CLIENT_DUE_NOTHING;
}
/* It is not due yet. Says it now, unless the host has no room; then client_resume() does. */
void client_due(struct client *c, struct client_due *due, enum client_due_kind kind);
void client_due_cancel(struct client *c, struct client_due *due);
void client_due_cancel_all(struct client *c);

/* Wherever what is due is about: into c->outgoing, how many bytes. And what follows once it is
 * said. */
size_t client_put_header(struct client *c, uint32_t type);
size_t client_put_contact(struct client *c);
size_t client_put_tl_connect(struct client *c);
size_t client_put_open(struct client *c, struct client_channel *channel);
size_t client_put_modify(struct client *c, struct client_channel *channel);
size_t client_put_channel(struct client *c, uint32_t type, const struct client_channel *channel);
size_t client_put_gpadl(struct client *c, struct client_gpadl *gpadl);
size_t client_put_teardown(struct client *c, const struct client_gpadl *gpadl);
void client_unload_said(struct client *c);
void client_modify_said(struct client *c, struct client_channel *channel);
void client_release_said(struct client *c, struct client_channel *channel);
/* The message that was put is said; whether there are more to say. */
bool client_gpadl_goes_on(struct client_gpadl *gpadl);

/* client_contact.c */
void client_on_version_response(struct client *c, const struct wire_version_response *message);
void client_on_unload_complete(struct client *c);

/* client_channel.c */
enum bus_result client_on_offer(struct client *c, const struct wire_offer_channel *message);
void client_on_rescind(struct client *c, const struct wire_channel_message *message);
void client_on_offers_delivered(struct client *c);
void client_on_open_result(struct client *c, const struct wire_open_channel_result *message);
void client_on_modify_response(struct client *c,
                               const struct wire_modify_channel_response *message);
struct client_channel *client_channel_at(const struct client *c, uint32_t id); /* or NULL */
/* NULL when there is none, or it is released; or when it is rescinded, and `alive`. */
struct client_channel *client_find_channel(struct client *c, uint32_t id, bool alive);
/* Answers what is pending, says the channel is rescinded (once), and forgets it. */
void client_drop_channels(struct client *c);
void client_free_channels(struct client *c);

/* client_gpadl.c */
void client_on_gpadl_created(struct client *c, const struct wire_gpadl_created *message);
void client_on_gpadl_torndown(struct client *c, const struct wire_gpadl_torndown *message);
/* The open that kept the rings' GPADL is over. */
void client_unkeep_gpadls(struct client *c, struct client_channel *channel);
void client_void_gpadls(struct client *c, struct client_channel *channel);
void client_free_gpadls(struct client *c, struct client_channel *channel);

#endif
