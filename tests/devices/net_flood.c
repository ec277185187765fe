/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest that has user networking keep what it can, in every way there is: frames that wait,
 * segments and fragments whose beginning never comes, answers for who does not say where he is,
 * sockets; and visitors from outside. The adapter's port is this program's, so that floods are
 * quick; a new kind of input gets a test here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/net_packet.h"
#include <kmcl/net.h>
#include <kmcl/net_backend.h>

#define GUEST  0x0a00020fu
#define NOBODY 0x0a000263u /* does not say where he is */
#define ROUTER 0x0a000202u
#define FIN    0x01u
#define SYN    0x02u
#define RST    0x04u
#define ACK    0x10u
#define MIB    (1ull << 20)

static const uint8_t own[6] = { 0x00, 0x15, 0x5d, 1, 2, 3 },
		     router[6] = { 0x52, 0x55, 10, 0, 2, 2 };

struct fixture {
	struct kmcl_net_port port;
	struct kmcl_net_backend *backend;
	int listener;
	uint16_t listener_port;
	atomic_bool deaf; /* the guest has no room */
	_Atomic uint32_t kept, pongs, arps;
	/* Of the last segment that came. */
	_Atomic uint32_t segments, sequence, acknowledged;
	_Atomic uint8_t flags;
	_Atomic uint16_t from;
};

static struct fixture fixture;

/* ---- the port ---- */

static void look_at_tcp(struct fixture *f, const uint8_t *tcp)
{
	f->from = net_get16(tcp);
	f->sequence = net_get32(tcp + 4);
	f->acknowledged = net_get32(tcp + 8);
	f->flags = tcp[13];
	f->segments++;
}

static enum kmcl_net_result port_receive(struct kmcl_net_port *port,
                                         const struct kmcl_net_received *frame)
{
	struct fixture *f = (struct fixture *)port;

	if (f->deaf)
		return KMCL_NET_LATER;
	if (net_get16(frame->data + 12) == 0x0806)
		f->arps++;
	else if (frame->data[23] == 1)
		f->pongs++;
	else if (frame->data[23] == 6)
		look_at_tcp(f, frame->data + 34);
	return KMCL_NET_DONE;
}

static void port_flush(struct kmcl_net_port *port)
{
}

static void port_sent(struct kmcl_net_port *port, void *request)
{
	((struct fixture *)port)->kept--;
}

static const struct kmcl_net_port_ops port_ops = { port_receive, port_flush, port_sent };

static void await(const char *what, const _Atomic uint32_t *now, uint32_t least)
{
	const struct timespec moment = { .tv_nsec = 200000 };

	for (uint32_t i = 0; *now < least; i++) {
		if (i > 100000)
			fail_msg("%s: %u, expected %u", what, *now, least);
		nanosleep(&moment, NULL);
	}
}

/* ---- frames ---- */

static bool try_send(struct fixture *f, void *frame, uint32_t size)
{
	struct iovec iov = { frame, size };
	const struct kmcl_net_frame outgoing = { .iov = &iov, .count = 1, .length = size };

	f->kept++;
	if (f->backend->ops->send(f->backend, &outgoing, f) == KMCL_NET_LATER)
		return true;
	f->kept--;
	return false;
}

static void send_frame(struct fixture *f, void *frame, uint32_t size)
{
	while (!try_send(f, frame, size))
		usleep(100);
}

/* Of `size` bytes, the headers included, with the payload that is there; both checksums. */
static void put_ip(uint8_t *frame, uint8_t protocol, uint32_t source, uint32_t to, uint16_t offset,
                   uint32_t size)
{
	struct net_packet p = { .ip = 14 };

	memcpy(frame, router, 6);
	memcpy(frame + 6, own, 6);
	net_put16(frame + 12, NET_ETHERTYPE_IP4);
	memset(frame + 14, 0, 20);
	frame[14] = 0x45;
	net_put16(frame + 16, size - 14);
	net_put16(frame + 20, offset);
	frame[22] = 64;
	frame[23] = protocol;
	net_put32(frame + 26, source);
	net_put32(frame + 30, to);
	net_ip4_checksum(&p, frame);
	if (!offset && net_packet_parse(&p, frame, size, size, false) && p.payload)
		net_transport_checksum(&p, frame, size, NULL, 0);
}

static void send_ping(struct fixture *f, uint32_t source)
{
	uint8_t frame[60] = { [34] = 8 };

	net_put16(frame + 36, (uint16_t)~0x0800u);
	put_ip(frame, 1, source, ROUTER, 0, sizeof(frame));
	send_frame(f, frame, sizeof(frame));
}

/* Says where the guest is. */
static void send_arp(struct fixture *f)
{
	uint8_t frame[42] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	memcpy(frame + 6, own, 6);
	memcpy(frame + 12, "\x08\x06\0\x01\x08\0\x06\x04\0\x01", 10);
	memcpy(frame + 22, own, 6);
	net_put32(frame + 28, GUEST);
	net_put32(frame + 38, ROUTER);
	send_frame(f, frame, sizeof(frame));
}

/* All that was sent before has been looked at. */
static void settle(struct fixture *f)
{
	const struct timespec moment = { .tv_nsec = 200000 };

	for (uint32_t i = 0; f->kept; i++) {
		if (i > 100000)
			fail_msg("%u frames are still kept", f->kept);
		nanosleep(&moment, NULL);
	}
}

static uint32_t put_tcp(uint8_t *frame, uint16_t port, uint16_t peer_port, uint32_t sequence,
                        uint32_t acknowledged, uint8_t flags, uint32_t payload)
{
	uint8_t *tcp = frame + 34;

	memset(tcp, 0, 20 + payload);
	net_put16(tcp, port);
	net_put16(tcp + 2, peer_port);
	net_put32(tcp + 4, sequence);
	net_put32(tcp + 8, acknowledged);
	tcp[12] = 0x50;
	tcp[13] = flags;
	net_put16(tcp + 14, 60000);
	put_ip(frame, 6, GUEST, ROUTER, 0, 54 + payload);
	return 54 + payload;
}

static void send_tcp(struct fixture *f, uint16_t port, uint32_t sequence, uint32_t acknowledged,
                     uint8_t flags, uint32_t payload)
{
	uint8_t frame[1514];

	send_frame(f, frame,
	           put_tcp(frame, port, f->listener_port, sequence, acknowledged, flags, payload));
}

/* The guest's first byte is 1001; returns the number of the host's first. */
static uint32_t connect_tcp(struct fixture *f, uint16_t port)
{
	uint32_t before = f->segments;

	send_tcp(f, port, 1000, 0, SYN, 0);
	await("segments", &f->segments, before + 1);
	assert_int_equal(f->flags, SYN | ACK);
	assert_int_equal(f->acknowledged, 1001);
	send_tcp(f, port, 1001, f->sequence + 1, ACK, 0);
	return f->sequence + 1;
}

/* ---- both ends ---- */

static int listen_somewhere(uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	assert_int_equal(listen(fd, 512), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static int setup(void **state)
{
	const struct kmcl_net_user_options options = { .size = sizeof(options) };
	struct fixture *f = &fixture;
	char why[256];

	memset(f, 0, sizeof(*f));
	*state = f;
	f->port.ops = &port_ops;
	f->listener = listen_somewhere(&f->listener_port);
	if (kmcl_net_user_create(&options, &f->backend, why, sizeof(why)) ||
	    !f->backend->ops->start(f->backend, &f->port))
		return -1;
	send_arp(f);
	await("answers to ARP", &f->arps, 1);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->backend)
		f->backend->ops->destroy(f->backend);
	close(f->listener);
	return f->kept ? -1 : 0;
}

static uint64_t allocated(void)
{
	struct mallinfo2 info = mallinfo2(); /* 0 under a sanitizer */

	return info.uordblks + info.hblkhd;
}

static void expect_growth(const char *of, uint64_t before, uint64_t least, uint64_t most)
{
	uint64_t now = allocated(), grown = now > before ? now - before : 0;

	print_message("# %llu KiB of %s\n", (unsigned long long)grown / 1024, of);
	if (now)
		assert_in_range(grown, least, most);
}

static uint32_t descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	uint32_t count = 0;

	assert_non_null(directory); /* there is none left */
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* ---- floods ---- */

static void frames_wait_up_to_a_limit(void **state)
{
	static const uint32_t sizes[] = { 60, 1514, 9014, 60 };
	struct fixture *f = *state;
	static uint8_t frame[9014];

	for (uint32_t i = 0; i < 4; i++) {
		uint64_t before;

		settle(f);
		before = allocated();
		f->deaf = true;
		send_ping(f, GUEST); /* its answer finds no room: from here on all waits */
		for (uint32_t tries = 0; tries < 5000; tries++) {
			memset(frame, 0, sizes[i]);
			put_ip(frame, 99, GUEST, ROUTER, 0, sizes[i]);
			while (try_send(f, frame, sizes[i]))
				tries = 0;
		}
		expect_growth("frames that wait", before, 14 * MIB, 18 * MIB);
		f->deaf = false;
		f->backend->ops->resume(f->backend);
		settle(f);
		expect_growth("frames after it", before, 0, MIB);
	}
}

static void flood_early(struct fixture *f, uint16_t port, uint32_t peer, uint32_t payload,
                        uint8_t flags)
{
	for (uint32_t i = 0; i < 20000; i++)
		send_tcp(f, port, 1001 + 1000 + (payload ? 2 * (i % 20000) : 0), peer, ACK | flags,
		         payload);
	settle(f);
}

/* Any number of empty ones with FIN find room in a window; bytes, with a gap behind each. */
static void segments_before_their_time_are_not_kept_without_end(void **state)
{
	struct fixture *f = *state;
	uint32_t peer;
	uint64_t before;

	peer = connect_tcp(f, 5000);
	settle(f);
	before = allocated();
	flood_early(f, 5000, peer, 0, FIN);
	expect_growth("empty segments", before, 0, MIB / 2);
	peer = connect_tcp(f, 5001);
	settle(f);
	before = allocated();
	flood_early(f, 5001, peer, 1, 0);
	expect_growth("segments of a byte", before, 0, MIB / 2);
	send_tcp(f, 5001, 1001, peer, ACK, 1000); /* and all that was kept is in order then */
	for (uint32_t i = 0; f->acknowledged != 2002 && i < 20000; i++)
		usleep(200);
	assert_int_equal(f->acknowledged, 2002);
}

static void all_connections_share_what_may_be_early(void **state)
{
	enum { CONNECTIONS = 300 };
	struct fixture *f = *state;
	uint32_t peers[CONNECTIONS];
	uint64_t before;

	for (uint16_t i = 0; i < CONNECTIONS; i++)
		peers[i] = connect_tcp(f, 5000 + i);
	settle(f);
	before = allocated();
	for (uint16_t i = 0; i < CONNECTIONS; i++)
		for (uint32_t k = 0; k < 100; k++)
			send_tcp(f, 5000 + i, 2001, peers[i], ACK | FIN, 0);
	settle(f);
	expect_growth("segments of all connections", before, 14 * MIB, 18 * MIB);
	for (uint16_t i = 0; i < CONNECTIONS; i++)
		send_tcp(f, 5000 + i, 1001, peers[i], RST | ACK, 0);
	settle(f);
	expect_growth("them after it", before, 0, 8 * MIB);
	peers[0] = connect_tcp(f, 6000);
	settle(f);
	before = allocated();
	for (uint32_t k = 0; k < 1000; k++)
		send_tcp(f, 6000, 2001, peers[0], ACK | FIN, 0);
	settle(f);
	expect_growth("a later one", before, MIB / 16, MIB / 2);
}

static void answers_for_who_is_not_there_are_not_kept_without_end(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	send_ping(f, GUEST);
	settle(f);
	before = allocated();
	for (uint32_t i = 0; i < 20000; i++)
		send_ping(f, NOBODY);
	settle(f);
	print_message("# asked %u times where he is\n", f->arps - 1);
	assert_in_range(f->arps, 2, 2048); /* a few seconds, on a slow machine */
	expect_growth("answers for nobody", before, 0, 4 * MIB);
}

/* The two halves of a connection's first segment. */
static void send_halves(struct fixture *f, uint16_t port)
{
	uint8_t whole[54], half[54];

	put_tcp(whole, port, f->listener_port, 1000, 0, SYN, 0);
	memcpy(half + 34, whole + 34, 8);
	put_ip(half, 6, GUEST, ROUTER, 0x2000, 42);
	send_frame(f, half, 42);
	memcpy(half + 34, whole + 42, 12);
	put_ip(half, 6, GUEST, ROUTER, 1, 46);
	send_frame(f, half, 46);
}

static void set_limit(rlim_t most)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void send_syns(struct fixture *f, uint16_t first, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++)
		send_tcp(f, first + i, 1000, 0, SYN, 0);
	settle(f);
}

/* Nor those whose connection comes in fragments, nor after some could not be opened. */
static void there_are_never_more_sockets(void **state)
{
	enum { LIMIT = 400 };
	struct fixture *f = *state;
	uint32_t at_first = descriptors();
	struct rlimit before;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	set_limit(LIMIT);
	send_syns(f, 10000, 100);
	assert_in_range(descriptors() - at_first, 90, 102);
	set_limit(descriptors() - 1); /* not one more can be opened, and that is below the bound */
	send_syns(f, 20000, 300);
	set_limit(LIMIT);
	send_syns(f, 30000, 300);
	print_message("# %u sockets\n", descriptors() - at_first);
	assert_in_range(descriptors() - at_first, 100, LIMIT / 2 - LIMIT / 8 + 4);
	for (uint16_t i = 0; i < 300; i++)
		send_halves(f, 40000 + i);
	settle(f);
	print_message("# %u sockets, after those in fragments\n", descriptors() - at_first);
	assert_in_range(descriptors() - at_first, 100, LIMIT / 2 - LIMIT / 8 + 4);
	set_limit(before.rlim_cur);
}

/* One from outside comes; its descriptor, -1: it is not let in within two seconds. */
static int visit(const struct sockaddr_in *to, uint32_t expected)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	connect(fd, (const struct sockaddr *)to, sizeof(*to));
	for (uint32_t i = 0; i < 4000; i++) {
		if (descriptors() >= expected)
			return fd;
		usleep(500);
	}
	close(fd);
	return -1;
}

/* The guest answers none of them, and has room for connections of its own. */
static void visitors_are_let_in_up_to_a_limit(void **state)
{
	enum { LIMIT = 400, VISITORS = 150 };
	struct fixture *f = *state;
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint32_t at_first, count = 0;
	int visitors[VISITORS];
	char text[64], why[128];
	struct rlimit before;
	uint16_t port;

	close(listen_somewhere(&port));
	snprintf(text, sizeof(text), "tcp:127.0.0.1:%u-:22", port);
	assert_int_equal(kmcl_net_user_forward(f->backend, text, why, sizeof(why)), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	to.sin_port = htons(port);
	set_limit(LIMIT);
	send_ping(f, GUEST); /* which looks at the limit */
	settle(f);
	at_first = descriptors();
	while (count < VISITORS && (visitors[count] = visit(&to, at_first + 2 * count + 2)) >= 0)
		count++;
	print_message("# %u let in\n", count);
	send_syns(f, 10000, 20);
	assert_in_range(descriptors(), at_first + 2 * count + 20, at_first + 2 * count + 22);
	for (uint32_t i = 0; i < count; i++)
		close(visitors[i]);
	set_limit(before.rlim_cur);
	assert_in_range(count, LIMIT / 8, LIMIT / 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_wait_up_to_a_limit),
		TEST(segments_before_their_time_are_not_kept_without_end),
		TEST(all_connections_share_what_may_be_early),
		TEST(answers_for_who_is_not_there_are_not_kept_without_end),
		TEST(there_are_never_more_sockets),
		TEST(visitors_are_let_in_up_to_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
