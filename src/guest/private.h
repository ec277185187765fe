/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef GUEST_PRIVATE_H
#define GUEST_PRIVATE_H

/* What the files of the kit share. */

#include "bus/bus.h"
#include "packet/packet.h"

#include "guest/guest.h"

/* Functions whose frames would be too large in one: a small system has 256 bytes for each. */
#define KEEP_APART __attribute__((noinline))

/* Memory in pieces of 16 bytes. Who gives it back knows how much it was. */
struct heap {
	struct heap_piece *free; /* by address */
	size_t used, peak;
};
void heap_init(struct heap *heap, void *memory, size_t size);
/* Zeroed; or NULL. */
void *heap_allocate(struct heap *heap, size_t size);
void heap_release(struct heap *heap, void *memory, size_t size);

/* Memory that the host has, or is about to: rings, and what is shared. */
enum share_state {
	SHARE_ASKED,
	SHARE_CREATED, /* the host said so, and nobody was told yet */
	SHARE_REFUSED,
	SHARE_HELD,
	SHARE_LEAVING,
	SHARE_LEFT, /* the host has let go of it, and nobody was told yet */
};

struct share {
	struct share *next;
	enum share_state state;
	bool rings;
	uint32_t gpadl;
	uint32_t pages;
	struct bus_gpa_range range;
	uint64_t *pfns; /* until it is created */
};

/* What an open channel has. */
struct opened {
	void *memory; /* that this was aligned in */
	struct ring_writer writer;
	struct packet_reader reader;
	struct packet_in in; /* the last that came; off the stack */
	struct packet_table table;
	struct packet_slot *chunk; /* all of the table's */
	uint32_t next_slot;
	uint32_t wanted; /* bytes that found no room in the ring; 0: none waits */
	struct vg_open how;
	struct packet_limits in_limits;
	uint8_t *out_headers, *in_headers;
	uint32_t out_headers_max, in_headers_max;
	uint8_t *payload;
	uint8_t **pages; /* of rings that are not mapped */
	void *mapped[2];
};

enum channel_state {
	CHANNEL_OFFERED,
	CHANNEL_SHARING, /* its rings */
	CHANNEL_OPENING,
	CHANNEL_OPEN,
	CHANNEL_CLOSING, /* until the host has let go of all that is shared */
};

struct vg_channel {
	struct vg_channel *next;
	struct vg *vg;
	struct vg_offer offer;
	enum channel_state state;
	bool told;      /* of its offer */
	bool rescinded; /* the host's word; the bus says no more about it */
	bool dropped;   /* and the bus has forgotten it */
	bool ended;     /* told of `why` */
	bool dedicated;
	bool answered; /* the open; nobody was told yet */
	uint32_t answer;
	/* VG_OK, or what its end is due to. Sends and polls, which may be elsewhere, look at it. */
	uint32_t why;
	struct opened *opened;
	struct share *shares;
};

struct vg {
	struct vg_platform platform;
	struct vg_events events;
	struct heap heap;
	struct client *client;
	bool entered; /* the platform is being called */
	bool polling;
	struct vg_channel *channels, **last;
	bool connected, delivered, unloaded; /* nobody was told yet */
	uint32_t version;
	/* Channels that the bus has and that there was no memory for. */
	uint32_t orphans[(WIRE_CHANNEL_ID_MAX + 1) / 32];
	bool any_orphans;
};

/* Around what calls the platform. */
static inline bool vg_enter(struct vg *vg)
{
	bool entered = vg->entered;

	vg->entered = true;
	return !entered;
}

static inline enum vg_status vg_leave(struct vg *vg, enum vg_status status)
{
	vg->entered = false;
	return status;
}

/* channel.c */

static inline enum vg_status channel_why(const struct vg_channel *ch)
{
	return (enum vg_status)(int32_t)__atomic_load_n(&ch->why, __ATOMIC_RELAXED);
}

static inline void channel_set_why(struct vg_channel *ch, enum vg_status why)
{
	__atomic_store_n(&ch->why, (uint32_t)why, __ATOMIC_RELAXED);
}

/* Goes on with what has happened to it. False: it is over. */
bool channel_settle(struct vg_channel *ch);
/* What the bus says. */
void channel_gpadl_created(struct vg_channel *ch, uint32_t gpadl, uint32_t status);
void channel_gpadl_torndown(struct vg_channel *ch, uint32_t gpadl);

/* rings.c */

/* Its memory; and the rings, where the guest has them. */
enum vg_status opened_create(struct vg_channel *ch, const struct vg_open *open);
enum vg_status opened_rings(struct vg_channel *ch);
void opened_destroy(struct vg_channel *ch);
/* Each request that is under way is over. */
void opened_end_requests(struct vg_channel *ch);

#endif
