/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BUS_SERVER_PRIVATE_H
#define BUS_SERVER_PRIVATE_H

/* What the files of the server machine share. */

#include "bus/bus.h"
#include "bus/id_tree.h"

/*
 * A channel is described by how far its owner is with it (enum channel_state) and by who knows of
 * it: `known`, the guest holds its id; `revoked`, the owner took it back. The states of design.md
 * are these together: released meanwhile is opening or closing and not known; revoked is revoked
 * and known; reoffered is an offer of the same key that waits in `successor` for the release.
 */
enum channel_state {
	CHANNEL_CLOSED,
	CHANNEL_OPENING, /* the owner was asked to open */
	CHANNEL_OPEN,
	CHANNEL_CLOSING, /* the owner was asked to close */
};

struct server_channel {
	struct server *server;
	struct server_channel *next, *previous; /* in the order of offering */
	struct bus_offer offer;
	void *owner;
	enum channel_state state;
	bool known;
	bool revoked;
	bool revoked_said;  /* the owner is gone; what is left is an id the guest holds */
	bool reopen_wanted; /* closing; the guest already asked to open again */
	bool modifying;
	bool modify_again; /* before 5.3: asked while another was under way */
	uint32_t modify_vp;
	struct server_open open;   /* while opening, open, closing */
	struct server_open reopen; /* while reopen_wanted */
	struct server_channel *successor;
	struct server_channel *predecessor;
	struct server_gpadl *gpadls;
	struct id_tree gpadls_of_owner; /* those the owner was told of */
	uint32_t gpadls_of_owner_count;
};

/* A GPADL has two ends, and each forgets it in its own time. */
enum gpadl_guest {
	GPADL_GUEST_GONE,     /* it does not know of it any more */
	GPADL_GUEST_BUILDING, /* bodies are to come */
	GPADL_GUEST_ASKED,    /* it waits for GPADL_CREATED */
	GPADL_GUEST_HELD,
	GPADL_GUEST_LEAVING, /* it waits for GPADL_TORNDOWN */
};

enum gpadl_owner {
	GPADL_OWNER_NONE, /* was not told, refused it or let go of it */
	GPADL_OWNER_ASKED,
	GPADL_OWNER_HELD,
	GPADL_OWNER_LEAVING,
};

struct server_gpadl {
	struct id_node guest_node; /* in server.gpadls unless the guest's end is gone */
	struct id_node owner_node; /* in channel.gpadls_of_owner unless the owner's is none */
	struct server_channel *channel;
	struct server_gpadl *next, *previous; /* of the channel */
	enum gpadl_guest guest;
	enum gpadl_owner owner;
	uint32_t range_count;
	uint32_t words_wanted;
	uint32_t words;
	uint64_t *buffer; /* words_wanted of them */
	struct bus_gpa_range *ranges;
};

enum connection_state {
	CONNECTION_DISCONNECTED,
	CONNECTION_CONNECTING, /* the caller was told of the contact */
	CONNECTION_CONNECTED,
	CONNECTION_DISCONNECTING, /* channels and GPADLs are being let go */
};

/* What comes after disconnecting, or instead of having connected. The last request wins. */
enum connection_next {
	NEXT_NOTHING,
	NEXT_RESET,
	NEXT_UNLOAD,
	NEXT_CONTACT,
};

/* INITIATE_CONTACT as it came, fields sorted out by version. */
struct contact_request {
	struct server_contact contact; /* feature_flags: those the guest asked for */
	bool monitor_pages_bad;
};

struct server {
	struct server_ops ops;
	void *context;
	bool entered; /* by a call that has not returned */
	struct server_limits limits;
	uint32_t version_max;

	enum connection_state state;
	enum connection_next next;
	struct contact_request next_contact;
	struct server_contact contact; /* agreed, or being agreed */
	bool offers_requested;
	bool modifying_connection;
	uint64_t monitor_pages_asked[2];
	uint32_t message_vp;
	uint8_t message_sint;
	union wire_message incoming, outgoing; /* one at a time, and off the stack */

	struct server_channel *first, *last;
	struct server_channel *by_id[WIRE_CHANNEL_ID_MAX + 1];
	uint32_t channel_count;
	uint32_t channels_not_closed;
	uint32_t monitors_used[WIRE_MONITOR_IDS / 32];

	struct id_tree gpadls; /* those the guest knows of */
	uint32_t gpadl_count;
	uint32_t gpadl_pages;
	uint32_t gpadls_building;
	uint32_t gpadls_of_owners;
};

/* Around each call that changes the machine. False: an op of it calls back. */
static inline bool server_enter(struct server *s)
{
	bool entered = s->entered;

	s->entered = true;
	return !entered;
}

static inline enum bus_result server_leave(struct server *s, enum bus_result result)
{
	s->entered = false;
	return result;
}

/* server.c */
void *server_allocate(struct server *s, size_t size);
void server_release(struct server *s, void *memory, size_t size);
void server_send(struct server *s, const void *message, size_t size);
void server_fault(struct server *s, uint32_t type, const char *what, uint64_t expected,
                  uint64_t actual);

/* server_contact.c */
void server_on_initiate_contact(struct server *s, const struct wire_initiate_contact *message,
                                size_t size);
void server_on_unload(struct server *s);
void server_on_modify_connection(struct server *s, const struct wire_modify_connection *message);
/* To be called whenever a channel or a GPADL went. */
void server_check_disconnected(struct server *s);

/* server_channel.c */
void server_on_request_offers(struct server *s);
void server_on_open(struct server *s, const struct wire_open_channel *message);
void server_on_close(struct server *s, const struct wire_channel_message *message);
void server_on_modify(struct server *s, const struct wire_modify_channel *message);
void server_on_released(struct server *s, const struct wire_channel_message *message);
/* The channel of that id, if the guest knows it; else NULL, and a fault. */
struct server_channel *server_find_channel(struct server *s, uint32_t type, uint32_t id);
/* The guest does not know the channel any more; it may be freed. */
void channel_forget(struct server *s, struct server_channel *channel);
/* Goes on with a channel that is closed, or a GPADL of which is gone; it may be freed. */
void channel_settle(struct server *s, struct server_channel *channel);

/* server_gpadl.c */
void server_on_gpadl_header(struct server *s, const union wire_message *message, size_t size);
void server_on_gpadl_body(struct server *s, const union wire_message *message, size_t size);
void server_on_gpadl_teardown(struct server *s, const struct wire_gpadl_teardown *message);
/* The channel's GPADL of that id, if both ends have it; or NULL. */
struct server_gpadl *gpadl_usable(struct server *s, struct server_channel *channel, uint32_t id);
uint32_t gpadl_pages(const struct server_gpadl *gpadl);
/* Tears down at the owner what may be by now. */
void gpadls_advance(struct server *s, struct server_channel *channel);
void gpadls_forget(struct server *s, struct server_channel *channel);
void gpadls_free(struct server *s, struct server_channel *channel);

#endif
