/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VMBUS_GUEST_H
#define VMBUS_GUEST_H

/*
 * A VMBus guest for systems without anything: firmware, loaders, small kernels, programs that are
 * nothing but a driver. One C file, this header, a compiler; no C library but memcpy, memmove,
 * memset and memcmp, no threads, no memory beyond what the caller hands over, nothing that waits.
 * Little-endian machines only.
 *
 * The platform hands over a struct of calls (struct vg_platform), messages of the hypervisor as
 * they come (vg_message() or vg_message_slot()), and time (vg_poll()). It is told of offers
 * (struct vg_events), opens those it has a driver for, and sends and receives packets.
 *
 * Who may call what: everything that names a struct vg, and vg_open(), vg_close(), vg_share() and
 * vg_unshare(), one at a time. On an open channel vg_send(), vg_complete() and vg_flush() one at a
 * time, and vg_channel_poll() one at a time; these two beside each other, and, if the channel was
 * opened `apart`, beside all others: so it may be a processor's own. vg_channel_sleep() and
 * vg_close() with none of these on that channel.
 *
 * The platform's calls never call back: all that would change something says VG_REENTERED there.
 * From the events and the channel's own calls, which come from vg_poll() and vg_channel_poll(), may
 * be called everything but these two, vg_destroy(), and what feeds messages.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VG_PAGE    4096u
#define VG_NO_PAGE UINT64_MAX

struct vg;
struct vg_channel;

enum vg_status {
	VG_OK = 0,
	VG_FULL = -1,      /* no room in the ring, or too many requests under way: again later */
	VG_INVALID = -2,   /* the arguments */
	VG_NO_MEMORY = -3, /* of what was handed over */
	VG_STATE = -4,     /* not now: closed, open already, not connected */
	VG_GONE = -5,      /* the channel was closed, or the host is gone */
	VG_REFUSED = -6,   /* by the host */
	VG_TOO_BIG = -7,   /* for the channel's limits or its ring */
	VG_MALFORMED = -8, /* what the host wrote in a ring: the channel closes */
	VG_REENTERED = -9, /* called from one of the platform's calls */
	VG_UNSEEN = -10,   /* memory that the host cannot see */
	VG_UNKNOWN = -11,  /* a channel without a signal of its own, as before Windows 8.1 */
	VG_FAILED = -12,   /* by a device, which tried */
	/* vg_init(): what the platform has to have. */
	VG_NO_PAGE_NUMBER = -20,
	VG_NO_POST = -21,
	VG_NO_SIGNAL = -22,
	VG_NO_OFFERED = -23,
};

/* What the kit asks of the machine that it runs on. */
struct vg_platform {
	void *context;
	/* The guest physical address of a byte of memory, divided by VG_PAGE; VG_NO_PAGE: it has
	 * none. Of rings, and of what is sent and shared. */
	uint64_t (*page_number)(void *context, const void *address);
	/* HvPostMessage, of at most 240 bytes. False: no room now, vg_poll() tries again. */
	bool (*post)(void *context, uint32_t connection_id, const void *message, uint32_t size);
	/* HvSignalEvent with flag 0. */
	void (*signal)(void *context, uint32_t connection_id);
	/* Optional, as a pair: the pages in a row, and all but the first in a row once more; NULL:
	 * no. A ring that is mapped so is faster. */
	void *(*map_ring)(void *context, void *pages, uint32_t count);
	void (*unmap_ring)(void *context, void *mapping, uint32_t count);
	/* Optional. What was wrong with what the host said: "OFFER_CHANNEL: channel id". */
	void (*log)(void *context, const char *subject, const char *what, uint64_t expected,
	            uint64_t actual);
};

struct vg_guid {
	uint8_t bytes[16]; /* as on the wire */
};

struct vg_offer {
	struct vg_guid type, instance;
	uint32_t channel_id; /* and the event flag of its signals */
	uint32_t connection_id;
	uint16_t subchannel; /* 0: the primary one, of that type and instance */
	uint16_t flags;
	uint16_t mmio_megabytes, mmio_megabytes_optional;
	uint8_t user_defined[120];
};

/* What happens to the bus. From vg_poll(). */
struct vg_events {
	void *context;
	/* Optional. `version` 0: the host would not have it, or is gone. */
	void (*connected)(void *context, uint32_t version);
	/* A channel is there; vg_open() opens it, now or later. It stays until `removed`. */
	void (*offered)(void *context, struct vg_channel *channel, const struct vg_offer *offer);
	/* Optional: so far these are all. */
	void (*offers_delivered)(void *context);
	/* Optional: the host took it back. One that was open is closed by now. The same device may
	 * be offered again, as another channel. */
	void (*removed)(void *context, struct vg_channel *channel);
	/* Optional: the answer to vg_unload(). */
	void (*unloaded)(void *context);
};

/* ---- the bus ---- */

/* Memory with which a bus of a few offers does, its channels not counted; vg_open() says what these
 * take. 16-aligned. */
#define VG_MEMORY_LEAST 8192u

/* Makes a guest in the memory handed over, which is its own until vg_destroy(). */
enum vg_status vg_init(struct vg **vg, const struct vg_platform *platform,
                       const struct vg_events *events, void *memory, size_t size);
/* Ends it without a word: the host has been told, or is gone. */
void vg_destroy(struct vg *vg);
/* Bytes of the memory that are in use, and the most that ever were. */
size_t vg_memory_used(const struct vg *vg, size_t *peak);

struct vg_contact {
	uint32_t version_max; /* 0: the newest; major << 16 | minor */
	uint32_t message_vp;  /* where the host's messages come to: processor and SINT */
	uint8_t message_sint;
};

/* Makes contact with the host, at the newest version that both know. Answer: `connected`, then
 * offers. VG_STATE: it is connected. */
enum vg_status vg_connect(struct vg *vg, const struct vg_contact *contact);
/* Says goodbye; all channels close. Answer: `unloaded`. */
enum vg_status vg_unload(struct vg *vg);
/* The host is gone: all channels are. */
enum vg_status vg_host_gone(struct vg *vg);
/* The hypervisor does not know the connection that the last contact was posted to. */
enum vg_status vg_contact_unknown(struct vg *vg);

/* Takes in a message of the host, at most 240 bytes. VG_NO_MEMORY: it was an offer of which nothing
 * could be kept, and which `log` is told of; it is not there until the host makes it again. An
 * offer of which only the kit's half found no room is there as soon as there is memory. */
enum vg_status vg_message(struct vg *vg, const void *message, uint32_t size);
/* Takes in what is in a SINT's slot of the message page, and frees it. True: another message waits,
 * so that the end of this one has to be said (HV_X64_MSR_EOM). */
bool vg_message_slot(struct vg *vg, void *slot);
/* Clears the 2048 event flags of a SINT. True: there was one, so poll. */
bool vg_event_flags(void *flags);

/* Does what there is to do: says what is due, tells what has happened, and gives each open channel
 * that is not apart up to `budget` packets. Returns how many these were. */
uint32_t vg_poll(struct vg *vg, uint32_t budget);
/* Before waiting for an interrupt: asks for signals, and looks once more. False: there is something
 * after all, poll. Who only polls has no need of it. */
bool vg_sleep(struct vg *vg);

/* ---- channels ---- */

struct vg_transfer_range {
	uint32_t size;
	uint32_t offset; /* into the memory that was shared as the page set */
};

/* A packet of the host's. Its memory is the channel's, until the call returns. */
struct vg_packet {
	uint64_t id;
	bool answer; /* vg_complete() is owed, now or later */
	const void *payload;
	uint32_t size;
	uint16_t page_set; /* of transfer ranges; with these */
	uint32_t range_count;
	const struct vg_transfer_range *ranges;
};

/* What happens to a channel. From vg_poll() or vg_channel_poll(). */
struct vg_channel_events {
	void *context;
	/* Optional. VG_OK; or VG_REFUSED, and then `closed`. */
	void (*opened)(void *context, struct vg_channel *channel, enum vg_status status);
	void (*packet)(void *context, struct vg_channel *channel, const struct vg_packet *packet);
	/* A request is over: answered (VG_OK), or its channel closes (VG_GONE). */
	void (*completed)(void *context, struct vg_channel *channel, void *cookie,
	                  enum vg_status status, const void *answer, uint32_t size);
	/* Optional. Answer to vg_share(), and to vg_unshare(). */
	void (*shared)(void *context, struct vg_channel *channel, uint32_t gpadl,
	               enum vg_status status);
	void (*unshared)(void *context, struct vg_channel *channel, uint32_t gpadl);
	/* Optional: it is of no use any more, VG_GONE or VG_MALFORMED; when nobody is in a call of
	 * it, vg_close(). Without this op the kit does that at once. */
	void (*ended)(void *context, struct vg_channel *channel, enum vg_status why);
	/* Its rings and shared memory are the caller's again. VG_OK: vg_close(); VG_GONE: the host
	 * took it back; VG_REFUSED; VG_MALFORMED. */
	void (*closed)(void *context, struct vg_channel *channel, enum vg_status why);
};

struct vg_open {
	struct vg_channel_events events;
	/* Whole pages of the caller's, zeroed: the ring to the host, the ring from it. The first of
	 * each is not for data. */
	void *rings;
	uint32_t out_pages, in_pages;
	uint32_t target_vp; /* whom the host's signals interrupt */
	uint8_t user_data[120];
	/* Limits. The largest packet has to fit in the ring. */
	uint32_t payload_max;
	uint32_t requests_max;  /* under way at a time */
	uint32_t ranges_max;    /* of a packet that names memory; 0: none does */
	uint32_t external_max;  /* bytes of all of them */
	uint32_t transfers_max; /* ranges of a packet from the host; 0: none come */
	uint32_t transfer_size; /* bytes of the memory that they lie in */
	bool pipe;              /* payloads have a pipe header: the services for people's data */
	bool bare_ids;          /* ids are 1 to requests_max, and the same again and again */
	bool apart; /* another processor's: vg_poll() and vg_sleep() leave its packets to
	             * vg_channel_poll(); with `ended`, as nobody else may close it */
};

/* Opens a channel. Of memory that takes 40 bytes a request, 16 a page of the rings, payload_max, 8
 * for each page and 16 for each range that a packet may name, and 1 KiB. Answer: `opened`. */
enum vg_status vg_open(struct vg_channel *channel, const struct vg_open *open);
/* Closes it. Answer: `completed` for each request, then `closed`. */
enum vg_status vg_close(struct vg_channel *channel);
const struct vg_offer *vg_channel_offer(const struct vg_channel *channel);
/* As vg_poll(), and vg_sleep(), for one open channel. */
uint32_t vg_channel_poll(struct vg_channel *channel, uint32_t budget);
bool vg_channel_sleep(struct vg_channel *channel);

/* Gives the host whole pages, until they are taken back or the channel is closed. Answer: `shared`
 * with the same *gpadl. */
enum vg_status vg_share(struct vg_channel *channel, void *memory, uint32_t pages, uint32_t *gpadl);
enum vg_status vg_unshare(struct vg_channel *channel, uint32_t gpadl);

struct vg_range {
	const void *address;
	uint32_t size; /* > 0 */
};

struct vg_send {
	const void *payload;
	uint32_t size;
	/* Memory that the host may read and write until the request is completed. Each of them is
	 * one range, whose pages are asked for one by one. */
	const struct vg_range *ranges;
	uint32_t range_count;
	/* Not NULL: it is a request, and `completed` will say so with this. */
	void *cookie;
	bool more; /* vg_flush(), or a send without this, comes soon: the signal waits for it */
};

/* Sends a packet. Its memory is the caller's again when this returns, but for the ranges. */
enum vg_status vg_send(struct vg_channel *channel, const struct vg_send *send);
/* Answers a packet of the host's. */
enum vg_status vg_complete(struct vg_channel *channel, uint64_t id, const void *payload,
                           uint32_t size);
/* Shows the host what was sent with `more`. */
void vg_flush(struct vg_channel *channel);

#ifdef __cplusplus
}
#endif

#endif
