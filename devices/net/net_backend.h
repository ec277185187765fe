/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_NET_NET_BACKEND_H
#define DEVICES_NET_NET_BACKEND_H

/*
 * What a network adapter is plugged into. A back end moves Ethernet frames between the adapter's
 * port and the outside; it knows nothing of the bus. Each has a thread of its own for what comes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct net_backend;
struct net_port;

#define NET_FRAME_PIECES 320u /* iovecs of one frame */

/* A frame from the guest. Valid during the call only; the memory may be the guest's, who may change
 * it at any time, but for the first iovec, which has all headers. */
struct net_frame {
	const struct iovec *iov;
	uint32_t count, length;
	/* The transport's checksum is still to be computed, over all from `start` on; its place has
	 * the sum of the pseudo header. 0: nothing is to be done. */
	uint16_t checksum_start, checksum_offset;
	/* TCP to be cut into pieces of that much payload; 0: it is not. */
	uint16_t segment;
	uint16_t header_size; /* of each piece */
	bool ip6;
};

/* A frame for the guest, in private memory. */
struct net_received {
	const uint8_t *data;
	uint32_t length;
	bool checksum_valid; /* TCP's and UDP's: somebody looked */
	/* The transport's checksum is still to be computed, as in struct net_frame; 0: nothing. */
	uint16_t checksum_start, checksum_offset;
};

enum net_result {
	NET_DONE,    /* taken, or not wanted: it is over */
	NET_DROPPED, /* no room or no way; counted by whoever says so */
	NET_LATER, /* from send(): `request` will be given to sent(); from receive(): resume() will
	              come */
};

/* What a back end can do itself. */
#define NET_OFFLOAD_CHECKSUM 0x1u
#define NET_OFFLOAD_SEGMENT  0x2u

struct net_backend_ops {
	const char *name;
	uint32_t offloads; /* NET_OFFLOAD_*; the adapter does the rest */
	/* Once, before anything else. False: why is in the log. */
	bool (*start)(struct net_backend *backend, struct net_port *port);
	/* From several threads at a time, at up to DISPATCH_LEVEL: waits for nothing. */
	enum net_result (*send)(struct net_backend *backend, const struct net_frame *frame,
	                        void *request);
	/* The port that said NET_LATER has room again. Any thread; waits for nothing. */
	void (*resume)(struct net_backend *backend);
	/* Stops and frees. Requests that were kept are given back first. The port is not used any
	 * more when it returns. */
	void (*destroy)(struct net_backend *backend);
};

struct net_backend {
	const struct net_backend_ops *ops;
};

struct net_port_ops {
	/* A frame for the guest. NET_LATER: it was not taken; to be offered again after resume().
	 */
	enum net_result (*receive)(struct net_port *port, const struct net_received *frame);
	/* Nothing more comes for now: what was received so far shall not wait. */
	void (*flush)(struct net_port *port);
	/* The back end is done with a frame that it kept. */
	void (*sent)(struct net_port *port, void *request);
};

struct net_port {
	const struct net_port_ops *ops;
};

/* ---- back ends ---- */

struct net_slirp_options {
	const char *hostname; /* that DHCP gives the guest; NULL: "guest" */
	bool restricted;      /* the guest reaches the host's forwards and nothing else */
};

/*
 * User networking, by libslirp: the guest is 10.0.2.15 behind a router that needs no privileges.
 * A sentence in `why` where it is not made.
 */
bool net_slirp_create(const struct net_slirp_options *options, struct net_backend **backend,
                      char *why, size_t why_size);
/* "tcp:[ADDRESS]:PORT-[ADDRESS]:PORT", or udp: from the host to the guest, as QEMU has it; an empty
 * address is any of the host's, or the guest's first. */
bool net_slirp_forward(struct net_backend *backend, const char *text, char *why, size_t why_size);

/* A TAP interface of that name; it is made if there is none, which takes privileges. */
bool net_tap_create(const char *name, struct net_backend **backend, char *why, size_t why_size);

#endif
