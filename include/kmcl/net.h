/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_NET_H
#define KMCL_NET_H

/*
 * A synthetic network adapter for a guest: what Hyper-V offers its guests and Linux's hv_netvsc and
 * Windows's netvsc drive. It is plugged into a back end, which moves frames between it and the
 * outside: one of those below, or one's own (kmcl/net_backend.h).
 *
 *     struct kmcl_net_options options = { .size = sizeof(options) };
 *
 *     kmcl_net_user_create(NULL, &options.backend, why, sizeof(why));
 *     kmcl_net_create(host, &options, &net);
 *
 * Any thread may call these functions, several at a time; none of them at a raised IRQL. Where
 * there is a `why`, it gets a sentence for people about what failed; it may be NULL with size 0.
 */

#include <kmcl/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what it is plugged into ---- */

struct kmcl_net_backend;

struct kmcl_net_user_options {
	uint32_t size;        /* sizeof(struct kmcl_net_user_options) */
	bool restricted;      /* the guest reaches the host's forwards and nothing else */
	const char *hostname; /* that DHCP gives the guest; NULL: "guest" */
};

/*
 * User networking, by libslirp: the guest is 10.0.2.15 behind a router that needs no privileges.
 * `options` may be NULL. -EINVAL, -E2BIG: the options; -ENOTSUP: the library was built without it;
 * -ENOMEM.
 */
KMCL_API int kmcl_net_user_create(const struct kmcl_net_user_options *options,
                                  struct kmcl_net_backend **backend, char *why, size_t why_size);
/* "tcp:[ADDRESS]:PORT-[ADDRESS]:PORT", or udp: from the host to the guest, as QEMU has it; an empty
 * address is any of the host's, or the guest's first. -EINVAL: not of that form; -EADDRINUSE: the
 * host's port is not to be had. */
KMCL_API int kmcl_net_user_forward(struct kmcl_net_backend *backend, const char *text, char *why,
                                   size_t why_size);

/* A TAP interface of that name; it is made if there is none, which takes privileges. -EINVAL: the
 * name; -ENOTSUP: the library was built without them; or why it cannot be had. */
KMCL_API int kmcl_net_tap_create(const char *name, struct kmcl_net_backend **backend, char *why,
                                 size_t why_size);

/* One that no adapter has taken over. NULL: nothing. */
KMCL_API void kmcl_net_backend_destroy(struct kmcl_net_backend *backend);

/* ---- the adapter ---- */

#define KMCL_NET_QUEUES 8u

/* An adapter that is offered to a guest. */
struct kmcl_net;

struct kmcl_net_options {
	uint32_t size; /* sizeof(struct kmcl_net_options) */
	const char
		*name; /* in logs and statistics, and the guest's alias; NULL: "Network Adapter" */
	/* What tells adapters of a guest apart; all 0: made from the name. */
	struct kmcl_guid instance;
	struct kmcl_net_backend *backend; /* the adapter's from now on, even if it is not made */
	uint64_t speed;                   /* what the guest is told, in bit/s; 0: 10 Gbit/s */
	uint32_t queue_depth;             /* packets of the guest in work per channel; 0: 512 */
	uint32_t version_max;             /* the newest NVSP version agreed to; 0: the latest */
	uint16_t queues;                  /* up to KMCL_NET_QUEUES; 0: 1 */
	uint8_t address[6];               /* not a group's; all 0: made from the instance */
	bool link_down;                   /* to begin with */
	bool monitored; /* its channels are offered with the monitor page: what guests' user space
	                   drivers and OpenBSD need, and slower */
};

/* Offers an adapter. -EINVAL: the options; -E2BIG; -EEXIST: the instance is offered already; -EIO:
 * the back end does not start; -ENOMEM. */
KMCL_API int kmcl_net_create(struct kmcl_host *host, const struct kmcl_net_options *options,
                             struct kmcl_net **net);
/* Withdraws it; what is in work is finished first. Frees the back end. NULL: nothing. */
KMCL_API void kmcl_net_destroy(struct kmcl_net *net);

/* Plugs the cable in, or out: frames are dropped then. A guest that is there is told. */
KMCL_API void kmcl_net_set_link(struct kmcl_net *net, bool up);
KMCL_API void kmcl_net_set_speed(struct kmcl_net *net, uint64_t speed);

struct kmcl_net_queue_statistics {
	uint64_t tx_frames, rx_frames;
};

struct kmcl_net_statistics {
	uint32_t size;                /* sizeof(struct kmcl_net_statistics) */
	uint32_t version;             /* of NVSP, agreed with the guest; 0: not yet */
	uint64_t tx_frames, tx_bytes; /* from the guest */
	uint64_t tx_dropped;          /* link down, or the back end had no room */
	uint64_t tx_errors;           /* frames that the offloads asked for do not fit */
	uint64_t tx_checksums, tx_large_sends, tx_segments;
	uint64_t rx_frames, rx_bytes; /* to the guest */
	uint64_t rx_packets;          /* the packets that they went in */
	uint64_t rx_filtered;         /* the guest does not want them, or is not there */
	uint64_t rx_too_long;
	uint64_t rx_waits;          /* the back end had to wait for the guest to give slots back */
	uint64_t refused;           /* packets that make no sense */
	uint32_t mtu;               /* with the Ethernet header */
	uint32_t slots, slots_free; /* of the receive buffer, but for one that is never used;
	                               slots_free is a moment's */
	uint16_t subchannels;
	bool link_up, ready; /* ready: the guest receives */
	uint8_t address[6];  /* as the guest has it now */
	struct kmcl_net_queue_statistics queue[KMCL_NET_QUEUES];
};

/* What it did so far. -EINVAL: the size. */
KMCL_API int kmcl_net_get_statistics(struct kmcl_net *net, struct kmcl_net_statistics *statistics);

#ifdef __cplusplus
}
#endif

#endif
