/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KIT_DRIVERS_H
#define KIT_DRIVERS_H

/*
 * Drivers for the devices that each host offers, on top of the guest kit: part of vmbus_guest.h.
 * Each drives a channel that was offered, in whole pages of the caller's that the host can see:
 * they are the driver's own until it says `closed`. What a driver says comes from vg_poll(), or
 * vg_channel_poll() on its channel; that something cannot be sent, from the call that asked for it.
 * A driver's calls, and what polls its channel, are made one at a time.
 */

#include "guest/guest.h"

#ifdef __cplusplus
extern "C" {
#endif

enum vg_device {
	VG_DEVICE_OTHER, /* and each subchannel: see vg_disk_has() */
	VG_DEVICE_DISK,  /* a SCSI controller */
	VG_DEVICE_NET,
	VG_DEVICE_KEYBOARD,
	VG_DEVICE_HEARTBEAT, /* these three are for vg_ic_open() */
	VG_DEVICE_SHUTDOWN,
	VG_DEVICE_TIME,
};

/* Which of these drivers is for it. */
enum vg_device vg_device(const struct vg_offer *offer);

/* ---- disks ---- */

struct vg_disk; /* a controller, with what is at it */

#define VG_DISK_UNITS    8u /* that are found at a controller */
#define VG_DISK_LATER_MS 100u

struct vg_disk_unit {
	uint8_t target, lun;
	bool read_only;
	uint32_t block_size;
	uint64_t size; /* bytes */
	char vendor[9], product[17], serial[65];
};

struct vg_disk_events {
	void *context;
	/* A unit is there: it may be read and written. It keeps its number, and is told of again
	 * if there is another disk by now. Of one that goes all requests end with VG_GONE. */
	void (*found)(void *context, struct vg_disk *disk, uint32_t number,
	              const struct vg_disk_unit *unit);
	/* Optional: so far these are all; or what kept the driver from finding any. */
	void (*searched)(void *context, struct vg_disk *disk, enum vg_status status);
	/* A request is over. VG_REFUSED: it can only be read, or knows no such thing; VG_FAILED:
	 * the medium, a full disk, a unit that is never ready; VG_GONE. */
	void (*done)(void *context, struct vg_disk *disk, void *cookie, enum vg_status status);
	/* Optional. */
	void (*closed)(void *context, struct vg_disk *disk, enum vg_status why);
	/* Optional: its channel is open, and may be polled and sent on by its own processor. */
	void (*opened)(void *context, struct vg_disk *disk);
	/* With `apart`: it is of no use any more. When its own processor is in no call of it and
	 * makes no more, vg_disk_close(). From vg_poll(), as `opened` and `closed`. */
	void (*ended)(void *context, struct vg_disk *disk, enum vg_status why);
};

struct vg_disk_open {
	struct vg_disk_events events;
	void *memory; /* vg_disk_pages() of them */
	uint32_t requests_max;
	uint32_t transfer_max; /* bytes of a request: at least VG_PAGE; the host may take less */
	uint32_t target_vp;
	bool apart;           /* another processor's, as vg_open.apart */
	uint16_t subchannels; /* to ask the host for, for vg_disk_join(); it may offer fewer */
};

uint32_t vg_disk_pages(uint32_t requests_max, uint32_t transfer_max);
/* All requests to it have to wait for `found`. */
enum vg_status vg_disk_open(struct vg_disk **disk, struct vg_channel *channel,
                            const struct vg_disk_open *open);
/* VG_FULL: as many as can be are under way; VG_INVALID: not whole blocks of that unit; VG_TOO_BIG:
 * more than vg_disk_transfer(). The memory is the host's until `done`. */
enum vg_status vg_disk_read(struct vg_disk *disk, uint32_t number, uint64_t at, void *memory,
                            uint32_t size, void *cookie);
enum vg_status vg_disk_write(struct vg_disk *disk, uint32_t number, uint64_t at, const void *memory,
                             uint32_t size, void *cookie);
/* What was written and is done will outlive the host when this is done. */
enum vg_status vg_disk_flush(struct vg_disk *disk, uint32_t number, void *cookie);
/* The most bytes of a request; 0 before the first `found`. */
uint32_t vg_disk_transfer(const struct vg_disk *disk);
/* To be called each VG_DISK_LATER_MS, or so: a unit that is busy is given time, of which the kit
 * has none of its own. */
void vg_disk_later(struct vg_disk *disk);
/* Answer: `done` for each request, then `closed`. */
enum vg_status vg_disk_close(struct vg_disk *disk);

/* More channels of a controller, so that others can send requests beside it: a host that has them
 * offers them after `found` of the first unit or before, and takes them back when the controller is
 * closed. Is that one of its? */
bool vg_disk_has(const struct vg_disk *disk, const struct vg_offer *offer);
/* Opens it, in pages of its own: requests to the units that `disk` knows by now, under the same
 * numbers, from `opened` on; nothing is looked for there. For this call, and that which says what
 * units there are now, nobody is in a call of `disk`, nor for the latter in one of `lane`. */
enum vg_status vg_disk_join(struct vg_disk **lane, const struct vg_disk *disk,
                            struct vg_channel *channel, const struct vg_disk_open *open);
void vg_disk_update(struct vg_disk *lane, const struct vg_disk *disk);

/* ---- integration components ---- */

struct vg_ic;

#define VG_IC_PAGES 6u

/* A moment: the host's clock, and the reference counter when it was read. */
struct vg_time {
	uint64_t unix_ns;   /* since 1970-01-01 UTC */
	uint64_t reference; /* 100 ns */
	bool set;           /* the clock shall be set to it; else it is a sample */
};

struct vg_ic_events {
	void *context;
	/* Optional: without it the host is told that this system cannot. The host has its answer:
	 * power off, or restart. */
	void (*shutdown)(void *context, struct vg_ic *ic, bool restart, bool force);
	/* Optional. */
	void (*time)(void *context, struct vg_ic *ic, const struct vg_time *time);
	/* Optional: the reference counter (HV_X64_MSR_TIME_REF_COUNT), which times of hosts before
	 * Windows Server 2016 lack. */
	uint64_t (*reference)(void *context);
	/* Optional. */
	void (*closed)(void *context, struct vg_ic *ic, enum vg_status why);
};

/* Heartbeat, shutdown and time alike: which, the channel's offer says. */
enum vg_status vg_ic_open(struct vg_ic **ic, struct vg_channel *channel,
                          const struct vg_ic_events *events, void *memory);
enum vg_status vg_ic_close(struct vg_ic *ic);

/* ---- keyboard ---- */

#ifndef VG_WITHOUT_KEYBOARD

struct vg_keyboard;

#define VG_KEYBOARD_PAGES 5u

struct vg_keyboard_events {
	void *context;
	/* A key goes down, or up: its make code of scan code set 1, with a prefix of 0xe0 or 0xe1
	 * in the high byte. */
	void (*key)(void *context, struct vg_keyboard *keyboard, uint16_t code, bool up);
	/* Optional: a character, in UTF-16, that no key is said for: text that is pasted. */
	void (*character)(void *context, struct vg_keyboard *keyboard, uint16_t character, bool up);
	/* Optional. VG_REFUSED: the host has no keyboard that this is for. */
	void (*closed)(void *context, struct vg_keyboard *keyboard, enum vg_status why);
};

enum vg_status vg_keyboard_open(struct vg_keyboard **keyboard, struct vg_channel *channel,
                                const struct vg_keyboard_events *events, void *memory);
enum vg_status vg_keyboard_close(struct vg_keyboard *keyboard);

#endif

/* ---- network ---- */

#ifndef VG_WITHOUT_NET

struct vg_net;

#define VG_NET_FRAME 1514u /* bytes of the largest frame, with its Ethernet header */

struct vg_net_events {
	void *context;
	/* Frames go and come from now on. */
	void (*ready)(void *context, struct vg_net *net, const uint8_t address[6], uint32_t mtu);
	/* A frame came; its memory is the driver's again when this returns. */
	void (*frame)(void *context, struct vg_net *net, const void *frame, uint32_t size);
	/* Optional: a frame's memory is the caller's again. VG_OK, VG_FAILED, VG_GONE. */
	void (*sent)(void *context, struct vg_net *net, void *cookie, enum vg_status status);
	void (*link)(void *context, struct vg_net *net, bool up);              /* optional */
	void (*closed)(void *context, struct vg_net *net, enum vg_status why); /* optional */
	/* As a disk's. `ended` comes from vg_channel_poll(), too, where the driver closes by itself
	 * or vg_net_close() was called; then, or when it came from vg_poll(), vg_close() closes its
	 * channel. Twice, if both cross. */
	void (*opened)(void *context, struct vg_net *net);
	void (*ended)(void *context, struct vg_net *net, enum vg_status why);
};

struct vg_net_open {
	struct vg_net_events events;
	void *memory;           /* vg_net_pages() of them */
	uint32_t frames_max;    /* on their way out at a time */
	uint32_t receive_pages; /* for what comes in: at least 16; a host uses up to 4096 */
	uint32_t target_vp;
	bool apart; /* another processor's, as vg_open.apart */
};

uint32_t vg_net_pages(uint32_t frames_max, uint32_t receive_pages);
enum vg_status vg_net_open(struct vg_net **net, struct vg_channel *channel,
                           const struct vg_net_open *open);
/* VG_STATE: before `ready`; VG_FULL: frames_max are on their way; VG_TOO_BIG. */
enum vg_status vg_net_send(struct vg_net *net, const void *frame, uint32_t size, void *cookie);
/* Has the host let go in order. Answer: `sent` for each frame, then `closed`; with `apart`, `ended`
 * first. */
enum vg_status vg_net_close(struct vg_net *net);

#endif

#ifdef __cplusplus
}
#endif

#endif
