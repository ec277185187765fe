/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_NET_NETVSP_H
#define DEVICES_NET_NETVSP_H

/*
 * A synthetic network adapter, host side: what Hyper-V offers its guests and Linux's hv_netvsc and
 * Windows's netvsc drive. Where its frames go is a back end's business; see net_backend.h.
 *
 * All functions are P (PASSIVE_LEVEL) and may be called from any thread.
 */

#include "net/net_backend.h"

#include <kmcl/kmcl.h>

#define NETVSP_QUEUES 8u

struct netvsp;

struct netvsp_options {
	GUID instance;
	const char
		*name; /* in logs and statistics, and the guest's alias; NULL: "Network Adapter" */
	uint8_t address[6];   /* not a group's; all 0: made from the instance */
	uint16_t queues;      /* up to NETVSP_QUEUES; 0: 1 */
	uint32_t queue_depth; /* packets of the guest in work per channel; 0: 512 */
	uint64_t speed;       /* what the guest is told, in bit/s; 0: 10 Gbit/s */
	bool link_down;       /* to begin with */
	bool monitored; /* its channels are offered with the monitor page: what guests' user space
	                   drivers and OpenBSD need, and slower */
	uint32_t version_max;        /* the newest NVSP version agreed to; 0: the latest */
	struct net_backend *backend; /* the adapter's from now on, even if it is not made */
};

/* Offers the adapter to the guest behind `vmbus` (from kmcl_host_open).
 * STATUS_INVALID_PARAMETER_2: the options. */
NTSTATUS netvsp_create(HANDLE vmbus, const struct netvsp_options *options, struct netvsp **adapter);
/* Withdraws it; what is in work is finished first. Frees the back end. */
void netvsp_destroy(struct netvsp *adapter);

/* Plugs the cable in, or out: frames are dropped then. A guest that is there is told. */
void netvsp_set_link(struct netvsp *adapter, bool up);
void netvsp_set_speed(struct netvsp *adapter, uint64_t speed);

struct netvsp_queue_statistics {
	uint64_t tx_frames, rx_frames;
};

struct netvsp_statistics {
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
	uint32_t version;           /* of NVSP, agreed with the guest; 0: not yet */
	uint32_t mtu;               /* with the Ethernet header */
	uint32_t slots, slots_free; /* of the receive buffer, but for one that is never used;
	                               slots_free is a moment's */
	uint16_t subchannels;
	bool link_up, ready; /* ready: the guest receives */
	uint8_t address[6];  /* as the guest has it now */
	struct netvsp_queue_statistics queue[NETVSP_QUEUES];
};

void netvsp_statistics(struct netvsp *adapter, struct netvsp_statistics *statistics);

#endif
