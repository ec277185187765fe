/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_NET_BACKEND_H
#define KMCL_NET_BACKEND_H

/*
 * What a network adapter (kmcl/net.h) is plugged into, for who writes such a thing. A back end
 * moves Ethernet frames between the adapter's port and the outside; it knows nothing of the bus.
 * Each has a thread of its own for what comes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct kmcl_net_backend;
struct kmcl_net_port;

#define KMCL_NET_FRAME_PIECES 320u /* iovecs of one frame */

/* A frame from the guest. Valid during the call only; the memory may be the guest's, who may change
 * it at any time, but for the first iovec, which has all headers. */
struct kmcl_net_frame {
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
struct kmcl_net_received {
	const uint8_t *data;
	uint32_t length;
	bool checksum_valid; /* TCP's and UDP's: somebody looked */
	/* The transport's checksum is still to be computed, as in struct kmcl_net_frame; 0:
	 * nothing. */
	uint16_t checksum_start, checksum_offset;
};

enum kmcl_net_result {
	KMCL_NET_DONE,    /* taken, or not wanted: it is over */
	KMCL_NET_DROPPED, /* no room or no way; counted by whoever says so */
	KMCL_NET_LATER, /* from send(): `request` will be given to sent(); from receive(): resume()
	              will come */
};

/* What a back end can do itself. */
#define KMCL_NET_OFFLOAD_CHECKSUM 0x1u
#define KMCL_NET_OFFLOAD_SEGMENT  0x2u

struct kmcl_net_backend_ops {
	const char *name;
	uint32_t offloads; /* NET_OFFLOAD_*; the adapter does the rest */
	/* Once, before anything else. False: why is in the log. */
	bool (*start)(struct kmcl_net_backend *backend, struct kmcl_net_port *port);
	/* From several threads at a time, at up to DISPATCH_LEVEL: waits for nothing. */
	enum kmcl_net_result (*send)(struct kmcl_net_backend *backend,
	                             const struct kmcl_net_frame *frame, void *request);
	/* The port that said KMCL_NET_LATER has room again. Any thread; waits for nothing. */
	void (*resume)(struct kmcl_net_backend *backend);
	/* Stops and frees. Requests that were kept are given back first. The port is not used any
	 * more when it returns. */
	void (*destroy)(struct kmcl_net_backend *backend);
};

struct kmcl_net_backend {
	const struct kmcl_net_backend_ops *ops;
};

struct kmcl_net_port_ops {
	/* A frame for the guest. KMCL_NET_LATER: it was not taken; to be offered again after
	 * resume().
	 */
	enum kmcl_net_result (*receive)(struct kmcl_net_port *port,
	                                const struct kmcl_net_received *frame);
	/* Nothing more comes for now: what was received so far shall not wait. */
	void (*flush)(struct kmcl_net_port *port);
	/* The back end is done with a frame that it kept. */
	void (*sent)(struct kmcl_net_port *port, void *request);
};

struct kmcl_net_port {
	const struct kmcl_net_port_ops *ops;
};

#endif
