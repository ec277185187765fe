/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_NET_SLIRP_BOUNDS_H
#define DEVICES_NET_SLIRP_BOUNDS_H

/*
 * What a guest may have libslirp hold, which itself asks for as much as it is asked for: sockets,
 * each with buffers; fragments of datagrams and segments of streams whose beginning never comes;
 * answers for addresses that nobody has. It sees every frame before libslirp does, and every one
 * that libslirp makes; a frame that would go beyond is lost, as on any wire.
 *
 * Facts: libslirp 4.7.0, src/slirp.c, mbuf.c, ip_input.c, tcp_input.c, tcp_subr.c, udp.c, if.c.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLIRP_SOCKETS_MAX    1024u         /* or half of the descriptors */
#define SLIRP_FRAGMENTS_MAX  (28u << 20)   /* bytes of them, with what libslirp needs for each */
#define SLIRP_FRAGMENTS_NS   31000000000ll /* it keeps them for 30 s */
#define SLIRP_EARLY_MAX      (16u << 20)   /* likewise, of segments that came too early */
#define SLIRP_EARLY_FLOW     (128u << 10)  /* ... of one connection: its window, and some */
#define SLIRP_UNRESOLVED_MAX 256u          /* frames for who does not say where he is */
#define SLIRP_UNRESOLVED_NS  1100000000ll  /* it keeps them for 1 s */
#define SLIRP_BUCKETS        256u

/* A TCP connection's two ends; IPv4 as in IPv6. */
struct slirp_pair {
	struct in6_addr guest, peer;
	uint16_t guest_port, peer_port;
};

/* A TCP connection of libslirp's. */
struct slirp_flow {
	struct slirp_flow *next; /* in its bucket, or of those that are free */
	struct slirp_pair pair;
	int fd;
	bool known;         /* wanted */
	uint32_t wanted;    /* the byte that libslirp acknowledged last */
	uint32_t early;     /* bytes that it may hold of what came too early */
	uint32_t early_end; /* which is all in order when it wants this byte */
};

/* Sums of this window and of the one before it: no less than what came in the last one. */
struct slirp_window {
	int64_t since;
	uint64_t now, before;
};

/* A port of the host's that leads to the guest. */
struct slirp_forward {
	struct slirp_forward *next;
	struct in_addr host; /* 0: any of its addresses */
	struct in6_addr guest;
	uint16_t host_port, guest_port;
};

struct slirp_bounds {
	int64_t (*clock)(void);        /* ns; asked when a limit may be near, not for each frame */
	uint32_t sockets, tcp;         /* that are open; of these, of TCP's connections */
	uint32_t sockets_max;          /* now */
	uint64_t early;                /* of all connections */
	struct slirp_window fragments; /* bytes */
	struct slirp_window unresolved;
	int64_t asked_last, asked[SLIRP_BUCKETS]; /* when libslirp asked where an address is */
	struct slirp_forward *forwards;
	struct in6_addr host;
	bool opening; /* the frame that libslirp is at begins a connection: this one */
	struct slirp_pair opened;
	struct slirp_flow *buckets[SLIRP_BUCKETS], *free;
	struct slirp_flow flows[SLIRP_SOCKETS_MAX];
};

/* `host` is what the guest knows this host as. */
void slirp_bounds_init(struct slirp_bounds *bounds, struct in_addr host, int64_t (*clock)(void));
void slirp_bounds_destroy(struct slirp_bounds *bounds);
/* Looks how many descriptors there may be; before each number of frames. */
void slirp_bounds_look(struct slirp_bounds *bounds);

/* A frame of the guest's, for libslirp. False: it is lost. */
bool slirp_bounds_take(struct slirp_bounds *bounds, const uint8_t *frame, uint32_t length);
/* ... has been used. */
void slirp_bounds_used(struct slirp_bounds *bounds);
/* One for the guest, by libslirp. */
void slirp_bounds_sent(struct slirp_bounds *bounds, const uint8_t *frame, uint32_t length);

/* libslirp's sockets; some that never were opened are closed. */
void slirp_bounds_opened(struct slirp_bounds *bounds, int fd);
void slirp_bounds_closed(struct slirp_bounds *bounds, int fd);

/* `forward` is the bounds', and freed by them. */
void slirp_bounds_forward(struct slirp_bounds *bounds, struct slirp_forward *forward);
struct in6_addr slirp_bounds_ip4(struct in_addr address);
/* Somebody at this socket, if one listens there, may be let in now. */
bool slirp_bounds_lets_in(struct slirp_bounds *bounds, int fd);

#endif
