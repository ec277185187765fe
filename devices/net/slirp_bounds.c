/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/slirp_bounds.h"

#include "net/net_packet.h"

#include <assert.h>
#include <netinet/icmp6.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define ETHERTYPE_ARP 0x0806u
#define DHCP_SERVER   67u

#define BUFFER_COST 1700u /* of a packet in libslirp, up to its MTU of 1500; longer ones twice */
/* The most that a connection's window, and what is acknowledged later, is ahead (TCP_RCVSPACE). */
#define AHEAD_MAX (256u << 10)

/* ---- windows ---- */

/* At any time no more than this. */
static uint64_t window_most(const struct slirp_window *w)
{
	return w->before + w->now;
}

static uint64_t window_sum(struct slirp_window *w, int64_t now, int64_t length)
{
	if (now - w->since >= 2 * length) {
		*w = (struct slirp_window){ .since = now };
	} else if (now - w->since >= length) {
		w->before = w->now;
		w->now = 0;
		w->since += length;
	}
	return window_most(w);
}

/* ---- frames ---- */

static uint32_t cost_of(uint32_t length)
{
	return BUFFER_COST + (length > 1500 ? length + 100 : 0);
}

static struct in6_addr address_of_ip4(const void *bytes)
{
	struct in6_addr a = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	memcpy(a.s6_addr + 12, bytes, 4);
	return a;
}

static struct in6_addr address_at(const struct net_packet *p, const uint8_t *at)
{
	struct in6_addr a;

	if (!p->ip6)
		return address_of_ip4(at);
	memcpy(&a, at, sizeof(a));
	return a;
}

/* Of TCP. */
static struct slirp_pair pair_of(const struct net_packet *p, const uint8_t *frame, bool from_guest)
{
	const uint8_t *source = frame + p->ip + (p->ip6 ? 8 : 12), *tcp = frame + p->transport;
	struct in6_addr from = address_at(p, source),
			to = address_at(p, source + (p->ip6 ? 16 : 4));

	if (from_guest)
		return (struct slirp_pair){ from, to, net_get16(tcp), net_get16(tcp + 2) };
	return (struct slirp_pair){ to, from, net_get16(tcp + 2), net_get16(tcp) };
}

/* By words, as it is asked for with each frame. */
static uint32_t hash_of(const void *bytes, size_t size)
{
	uint64_t hash = size;
	uint32_t word;

	static_assert(sizeof(struct slirp_pair) % sizeof(word) == 0, "whole words");
	static_assert(sizeof(struct in6_addr) % sizeof(word) == 0, "whole words");
	for (size_t i = 0; i < size; i += sizeof(word)) {
		memcpy(&word, (const uint8_t *)bytes + i, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u; /* Fibonacci hashing */
		hash ^= hash >> 32;
	}
	return (uint32_t)hash % SLIRP_BUCKETS;
}

/* ---- connections ---- */

static struct slirp_flow *find(const struct slirp_bounds *b, const struct slirp_pair *pair)
{
	struct slirp_flow *f = b->buckets[hash_of(pair, sizeof(*pair))];

	while (f && memcmp(&f->pair, pair, sizeof(*pair)) != 0)
		f = f->next;
	return f;
}

static void add(struct slirp_bounds *b, const struct slirp_pair *pair, int fd)
{
	struct slirp_flow *f = b->free, **bucket = &b->buckets[hash_of(pair, sizeof(*pair))];

	if (!f) {
		shutdown(fd, SHUT_RDWR); /* of which libslirp hears */
		return;
	}
	b->free = f->next;
	*f = (struct slirp_flow){ .next = *bucket, .pair = *pair, .fd = fd };
	*bucket = f;
	b->tcp++;
}

static void let_go_of_early(struct slirp_bounds *b, struct slirp_flow *f)
{
	b->early -= f->early;
	f->early = 0;
}

static bool remove_from(struct slirp_bounds *b, struct slirp_flow **bucket, int fd)
{
	struct slirp_flow **p = bucket, *f;

	while (*p && (*p)->fd != fd)
		p = &(*p)->next;
	f = *p;
	if (!f)
		return false;
	*p = f->next;
	let_go_of_early(b, f);
	f->next = b->free;
	b->free = f;
	b->tcp--;
	return true;
}

/* Whose answers may wait in libslirp until somebody says where it is. */
static bool is_asked_for(const struct slirp_bounds *b, const struct in6_addr *address)
{
	int64_t asked = b->asked[hash_of(address, sizeof(*address))];

	return asked && b->clock() - asked < SLIRP_UNRESOLVED_NS;
}

/*
 * Begins a connection, with no data. While frames of one between the same two may still wait in
 * libslirp there is no other one: what those acknowledge would be taken for this one's.
 */
static bool take_first(struct slirp_bounds *b, const struct slirp_pair *pair)
{
	const struct slirp_flow *f = find(b, pair);

	if (is_asked_for(b, &pair->guest))
		return false;
	if (!f && (b->sockets >= b->sockets_max - b->sockets_max / 4 || !b->free))
		return false;
	b->opening = true;
	b->opened = *pair;
	return true;
}

/* libslirp holds each segment that does not begin with the byte that it wants or before that, also
 * empty ones with FIN, of which any number fit into a window. */
static bool take_data(struct slirp_bounds *b, struct slirp_flow *f, uint32_t sequence,
                      uint32_t count, uint32_t cost)
{
	uint32_t ahead = sequence - f->wanted, end = sequence + count;

	if (!f->known)
		return false;
	if ((int32_t)ahead <= 0)
		return true;
	if (ahead > AHEAD_MAX || f->early + cost > SLIRP_EARLY_FLOW ||
	    b->early + cost > SLIRP_EARLY_MAX)
		return false;
	if (!f->early || (int32_t)(end - f->early_end) > 0)
		f->early_end = end;
	f->early += cost;
	b->early += cost;
	return true;
}

static bool take_tcp(struct slirp_bounds *b, const struct net_packet *p, const uint8_t *frame,
                     uint32_t length)
{
	const uint8_t *tcp = frame + p->transport;
	struct slirp_pair pair;
	struct slirp_flow *f;
	uint32_t count;

	if (!p->payload) /* fragments too: the streams of libslirp's peers need none */
		return false;
	pair = pair_of(p, frame, true);
	count = p->end - p->payload + (tcp[13] & TH_FIN ? 1 : 0);
	if (tcp[13] & TH_SYN && count)
		return false;
	if ((tcp[13] & (TH_SYN | TH_ACK)) == TH_SYN)
		return take_first(b, &pair);
	f = find(b, &pair);
	/* What is of none libslirp answers with a reset. */
	return !f || !count || take_data(b, f, net_get32(tcp + 4), count, cost_of(length));
}

static void note_acknowledged(struct slirp_bounds *b, const struct net_packet *p,
                              const uint8_t *frame)
{
	const uint8_t *tcp = frame + p->transport;
	struct slirp_pair pair = pair_of(p, frame, false);
	struct slirp_flow *f = find(b, &pair);
	uint32_t wanted = net_get32(tcp + 8);

	/* A reset's is what the guest said. */
	if (!f || (tcp[13] & (TH_ACK | TH_RST)) != TH_ACK)
		return;
	if (!f->known || (int32_t)(wanted - f->wanted) > 0)
		f->wanted = wanted;
	f->known = true;
	if ((int32_t)(f->wanted - f->early_end) >= 0)
		let_go_of_early(b, f);
}

/* ---- addresses ---- */

static void note_asked(struct slirp_bounds *b, struct in6_addr address)
{
	int64_t now = b->clock();

	window_sum(&b->unresolved, now, SLIRP_UNRESOLVED_NS);
	b->unresolved.now++;
	b->asked[hash_of(&address, sizeof(address))] = b->asked_last = now;
}

/* Where somebody is, or what address to take: nothing in answer waits for that. */
static bool is_of_addresses(const struct net_packet *p, const uint8_t *frame)
{
	const uint8_t *transport = frame + p->transport;

	if (!p->transport)
		return false;
	if (p->protocol == NET_PROTOCOL_UDP)
		return p->payload && net_get16(transport + 2) == DHCP_SERVER;
	return p->ip6 && p->protocol == IPPROTO_ICMPV6 && p->transport < p->end &&
	       *transport >= ND_ROUTER_SOLICIT && *transport <= ND_NEIGHBOR_ADVERT;
}

/* ---- the guest's frames ---- */

static bool take_fragment(struct slirp_bounds *b, uint32_t length)
{
	uint64_t cost = BUFFER_COST + cost_of(length); /* the first one of a datagram takes two */

	if (window_sum(&b->fragments, b->clock(), SLIRP_FRAGMENTS_NS) + cost > SLIRP_FRAGMENTS_MAX)
		return false;
	b->fragments.now += cost;
	return true;
}

/* Only who is at the limit has to know how late it is. */
static bool is_unresolved_full(struct slirp_bounds *b)
{
	return window_most(&b->unresolved) >= SLIRP_UNRESOLVED_MAX &&
	       window_sum(&b->unresolved, b->clock(), SLIRP_UNRESOLVED_NS) >= SLIRP_UNRESOLVED_MAX;
}

bool slirp_bounds_take(struct slirp_bounds *b, const uint8_t *frame, uint32_t length)
{
	struct net_packet p;

	if (!net_packet_parse(&p, frame, length, length, false) ||
	    (p.ethertype != NET_ETHERTYPE_IP4 && p.ethertype != NET_ETHERTYPE_IP6))
		return true;
	if (!p.ip)
		return false;
	if (is_unresolved_full(b) && !is_of_addresses(&p, frame))
		return false;
	if (p.protocol == NET_PROTOCOL_TCP)
		return take_tcp(b, &p, frame, length);
	if (b->sockets >= b->sockets_max)
		return false;
	return !p.fragment || take_fragment(b, length);
}

void slirp_bounds_used(struct slirp_bounds *b)
{
	b->opening = false;
}

void slirp_bounds_sent(struct slirp_bounds *b, const uint8_t *frame, uint32_t length)
{
	struct net_packet p;

	if (!net_packet_parse(&p, frame, length, length, false))
		return;
	if (p.ethertype == ETHERTYPE_ARP && length >= 42 && net_get16(frame + 20) == 1)
		note_asked(b, address_of_ip4(frame + 38));
	else if (p.ip6 && p.protocol == IPPROTO_ICMPV6 && p.transport + 24u <= p.end &&
	         frame[p.transport] == ND_NEIGHBOR_SOLICIT)
		note_asked(b, address_at(&p, frame + p.transport + 8));
	else if (p.protocol == NET_PROTOCOL_TCP && p.payload)
		note_acknowledged(b, &p, frame);
}

/* ---- sockets ---- */

static const struct slirp_forward *forward_at(const struct slirp_bounds *b, int fd)
{
	const struct slirp_forward *f = b->forwards;
	struct sockaddr_in at = { 0 };
	socklen_t size = sizeof(at);

	if (getsockname(fd, (struct sockaddr *)&at, &size) || at.sin_family != AF_INET)
		return NULL;
	while (f && (f->host_port != ntohs(at.sin_port) ||
	             (f->host.s_addr && f->host.s_addr != at.sin_addr.s_addr)))
		f = f->next;
	return f;
}

static bool is_of_stream(int fd, int option, int value)
{
	int is = 0;
	socklen_t size = sizeof(is);

	return getsockopt(fd, SOL_SOCKET, option, &is, &size) == 0 && is == value;
}

/* Somebody from outside was let in: the guest knows this host as the network's. */
static void add_visitor(struct slirp_bounds *b, int fd)
{
	const struct slirp_forward *f = forward_at(b, fd);
	struct sockaddr_in from = { 0 };
	socklen_t size = sizeof(from);
	struct slirp_pair pair;

	if (!f || getpeername(fd, (struct sockaddr *)&from, &size)) {
		shutdown(fd, SHUT_RDWR);
		return;
	}
	pair = (struct slirp_pair){ .guest = f->guest,
		                    .peer = address_of_ip4(&from.sin_addr),
		                    .guest_port = f->guest_port,
		                    .peer_port = ntohs(from.sin_port) };
	if (!from.sin_addr.s_addr || ntohl(from.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET)
		pair.peer = b->host;
	add(b, &pair, fd);
}

void slirp_bounds_opened(struct slirp_bounds *b, int fd)
{
	if (fd < 0)
		return;
	b->sockets++;
	if (b->opening)
		add(b, &b->opened, fd);
	else if (is_of_stream(fd, SO_TYPE, SOCK_STREAM))
		add_visitor(b, fd);
	b->opening = false;
}

void slirp_bounds_closed(struct slirp_bounds *b, int fd)
{
	if (fd < 0)
		return;
	if (b->sockets)
		b->sockets--;
	for (uint32_t i = 0; b->tcp && i < SLIRP_BUCKETS; i++)
		if (remove_from(b, &b->buckets[i], fd))
			return;
}

/* As take_first(), for who comes from outside; the guest has as many again for itself. */
bool slirp_bounds_lets_in(struct slirp_bounds *b, int fd)
{
	bool full = b->sockets >= b->sockets_max / 2 || !b->free;
	const struct slirp_forward *f;

	if (!full && (!b->asked_last || b->clock() - b->asked_last >= SLIRP_UNRESOLVED_NS))
		return true;
	if (!is_of_stream(fd, SO_ACCEPTCONN, 1))
		return true;
	f = forward_at(b, fd);
	return !full && f && !is_asked_for(b, &f->guest);
}

/* ---- the rest ---- */

void slirp_bounds_forward(struct slirp_bounds *b, struct slirp_forward *forward)
{
	forward->next = b->forwards;
	b->forwards = forward;
}

struct in6_addr slirp_bounds_ip4(struct in_addr address)
{
	return address_of_ip4(&address);
}

void slirp_bounds_look(struct slirp_bounds *b)
{
	struct rlimit limit;

	b->sockets_max = SLIRP_SOCKETS_MAX;
	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur / 2 < SLIRP_SOCKETS_MAX)
		b->sockets_max = (uint32_t)limit.rlim_cur / 2;
}

void slirp_bounds_init(struct slirp_bounds *b, struct in_addr host, int64_t (*clock)(void))
{
	memset(b, 0, sizeof(*b));
	b->clock = clock;
	b->host = address_of_ip4(&host);
	for (uint32_t i = 0; i < SLIRP_SOCKETS_MAX; i++) {
		b->flows[i].next = b->free;
		b->free = &b->flows[i];
	}
	slirp_bounds_look(b);
}

void slirp_bounds_destroy(struct slirp_bounds *b)
{
	struct slirp_forward *f;

	while ((f = b->forwards)) {
		b->forwards = f->next;
		free(f);
	}
}
