/* SPDX-License-Identifier: BSD-2-Clause */
/* Back ends behind the adapter: the guest speaks ICMP, UDP and TCP to real sockets of this host, by
 * user networking and by a TAP interface, and DHCP to the first. The argument of this program is a
 * pattern for its URI. */
#include "net_guest.h"

#include "../temporary.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <kmcl/log.h>

struct fixture {
	char uri[128];
	HANDLE vmbus;
	PDEVICE_OBJECT bus;
	struct kmcl_net_backend *backend;
	bool tap;
	char why_not[256]; /* what this machine lacks */
	struct kmcl_net *host;
	struct net_guest *guest;
	uint8_t router[NET_ADDRESS];
	int sockets[4], socket_count;
};

static const char *uri_pattern = "local:net-user-%d-%u";
static const GUID instance = { 0x6e657431, 1, 2, { 3, 4, 5, 6, 7, 8, 9, 10 } };
static const uint8_t own[NET_ADDRESS] = { 0x00, 0x15, 0x5d, 0x0a, 0x0b, 0x0c };
static const uint8_t everybody[NET_ADDRESS] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

#define GUEST_IP  0x0a00020fu
#define ROUTER_IP 0x0a000202u

/* ---- frames ---- */

static void put_ethernet(uint8_t *frame, const uint8_t *to, uint16_t type)
{
	memcpy(frame, to, NET_ADDRESS);
	memcpy(frame + 6, own, NET_ADDRESS);
	net_put16(frame + 12, type);
}

/* Returns where the payload of IP goes; its length is right, its checksum too. */
static uint8_t *put_ip(uint8_t *frame, const uint8_t *to, uint8_t protocol, uint32_t source,
                       uint32_t destination, uint32_t payload)
{
	struct net_packet p = { .ip = 14 };
	uint8_t *ip = frame + 14;

	put_ethernet(frame, to, NET_ETHERTYPE_IP4);
	memset(ip, 0, 20);
	ip[0] = 0x45;
	net_put16(ip + 2, 20 + payload);
	ip[8] = 64;
	ip[9] = protocol;
	net_put32(ip + 12, source);
	net_put32(ip + 16, destination);
	net_ip4_checksum(&p, frame);
	return ip + 20;
}

/* The adapter computes the checksum. */
static void send_udp(struct fixture *f, const uint8_t *to, uint32_t source, uint32_t destination,
                     uint16_t source_port, uint16_t port, const void *data, uint32_t size)
{
	const struct net_guest_infos infos = { .has_checksum = true,
		                               .checksum = RNDIS_TX_IPV4 | RNDIS_TX_UDP_CHECKSUM };
	uint8_t frame[1514], *udp = put_ip(frame, to, 17, source, destination, 8 + size);

	net_put16(udp, source_port);
	net_put16(udp + 2, port);
	net_put16(udp + 4, 8 + size);
	net_put16(udp + 6, 0);
	memcpy(udp + 8, data, size);
	net_guest_send_frame(f->guest, 0, &infos, frame, 42 + size);
}

static void answer_arp(struct fixture *f, const uint8_t *request)
{
	uint8_t reply[42];

	memcpy(reply, request, sizeof(reply));
	put_ethernet(reply, request + 6, 0x0806);
	net_put16(reply + 20, 2);
	memcpy(reply + 22, own, NET_ADDRESS);
	net_put32(reply + 28, GUEST_IP);
	memcpy(reply + 32, request + 22, NET_ADDRESS + 4);
	net_guest_send_frame(f->guest, 0, NULL, reply, sizeof(reply));
}

/* The next frame of IPv4 with that protocol; ARP is answered, the rest passed over. */
static struct net_guest_frame *receive_ip(struct fixture *f, uint8_t protocol)
{
	struct net_guest_frame *frame;

	for (;;) {
		frame = net_guest_receive(f->guest);
		if (net_get16(frame->data + 12) == 0x0806 && net_get16(frame->data + 20) == 1)
			answer_arp(f, frame->data);
		else if (net_get16(frame->data + 12) == NET_ETHERTYPE_IP4 &&
		         frame->data[23] == protocol)
			return frame;
		free(frame);
	}
}

static bool sum_is_right(const struct net_guest_frame *frame)
{
	struct net_packet p;

	assert_true(net_packet_parse(&p, frame->data, frame->length, frame->length, false));
	assert_int_not_equal(p.payload, 0);
	return net_sum_fold(net_sum(frame->data + p.transport, p.end - p.transport,
	                            net_pseudo_sum(&p, frame->data, p.end - p.transport))) ==
	       0xffff;
}

/* ---- both ends ---- */

static struct fixture *new_fixture(void **state)
{
	static unsigned int number;
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	snprintf(f->uri, sizeof(f->uri), uri_pattern, getpid(), number++);
	return f;
}

static int plug_in(struct fixture *f)
{
	struct kmcl_net_options options = { .size = sizeof(options),
		                            .instance = kmcl_guid_of_nt(instance),
		                            .queues = 2 };

	options.backend = f->backend;
	memcpy(options.address, own, sizeof(own));
	if (!NT_SUCCESS(kmcl_host_open(f->uri, &f->vmbus)) ||
	    kmcl_net_create(kmcl_host_of_handle(f->vmbus), &options, &f->host) ||
	    !NT_SUCCESS(kmcl_guest_open(f->uri, &f->bus)))
		return -1;
	f->guest = net_guest_open(f->bus, &instance, NULL);
	net_guest_start(f->guest);
	return 0;
}

static int setup_user(void **state)
{
	const struct kmcl_net_user_options slirp = { .size = sizeof(slirp), .hostname = "test" };
	struct fixture *f = new_fixture(state);

	if (!kmcl_net_user_create(&slirp, &f->backend, f->why_not, sizeof(f->why_not)))
		return plug_in(f);
	print_error("%s\n", f->why_not);
	return -1;
}

/* Names, addresses and routes of a network of its own: nothing of the machine's is touched. */
static bool leave_the_machines_network(struct fixture *f)
{
	static bool left;

	left = left || unshare(CLONE_NEWNET) == 0;
	if (!left)
		snprintf(f->why_not, sizeof(f->why_not), "a network namespace: %s",
		         strerror(errno));
	return left;
}

/* The interface is the router. */
static bool configure_interface(const char *name)
{
	struct ifreq address = { 0 }, flags = { .ifr_flags = IFF_UP | IFF_RUNNING };
	struct sockaddr_in *in = (struct sockaddr_in *)&address.ifr_addr;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	bool good;

	snprintf(address.ifr_name, IFNAMSIZ, "%s", name);
	snprintf(flags.ifr_name, IFNAMSIZ, "%s", name);
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(ROUTER_IP);
	good = ioctl(fd, SIOCSIFADDR, &address) == 0;
	in->sin_addr.s_addr = htonl(0xffffff00);
	good = good && ioctl(fd, SIOCSIFNETMASK, &address) == 0 &&
	       ioctl(fd, SIOCSIFFLAGS, &flags) == 0;
	close(fd);
	return good;
}

static int setup_tap(void **state)
{
	struct fixture *f = new_fixture(state);

	f->tap = true;
	if (!leave_the_machines_network(f) ||
	    kmcl_net_tap_create("kmcl0", &f->backend, f->why_not, sizeof(f->why_not)))
		return 0; /* the test says so */
	return configure_interface("kmcl0") ? plug_in(f) : -1;
}

#define skip_without_tap(f)                                                  \
	do {                                                                 \
		if (!(f)->backend) {                                         \
			print_message("# SKIP: no TAP: %s\n", (f)->why_not); \
			skip();                                              \
		}                                                            \
	} while (0)

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->guest)
		net_guest_close(f->guest);
	if (f->host)
		kmcl_net_destroy(f->host);
	if (f->bus)
		kmcl_guest_close(f->bus);
	if (f->vmbus)
		ZwClose(f->vmbus);
	while (f->socket_count)
		close(f->sockets[--f->socket_count]);
	free(f);
	return 0;
}

/* Who has 10.0.2.2? libslirp learns who asks. */
static void meet_the_router(struct fixture *f)
{
	uint8_t request[42] = { 0 };
	struct net_guest_frame *reply;

	put_ethernet(request, everybody, 0x0806);
	memcpy(request + 14, "\0\x01\x08\0\x06\x04\0\x01", 8);
	memcpy(request + 22, own, NET_ADDRESS);
	net_put32(request + 28, GUEST_IP);
	net_put32(request + 38, ROUTER_IP);
	net_guest_send_frame(f->guest, 0, NULL, request, sizeof(request));
	for (;;) {
		reply = net_guest_receive(f->guest);
		if (net_get16(reply->data + 12) == 0x0806 && net_get16(reply->data + 20) == 2 &&
		    net_get32(reply->data + 28) == ROUTER_IP)
			break;
		free(reply);
	}
	memcpy(f->router, reply->data + 22, NET_ADDRESS);
	free(reply);
}

/* A socket of the host's, which the guest reaches as 10.0.2.2. */
static int host_socket(struct fixture *f, int type, uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		                 .sin_addr.s_addr = htonl(f->tap ? ROUTER_IP : INADDR_LOOPBACK) };
	const struct timeval limit = { .tv_sec = 10 };
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, type, 0);

	assert_true(fd >= 0);
	f->sockets[f->socket_count++] = fd;
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 4), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

/* ---- DHCP ---- */

static void send_dhcp(struct fixture *f, uint8_t type, uint32_t requested)
{
	uint8_t m[300] = { 1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78 };
	uint8_t options[] = { 0x63, 0x82, 0x53, 0x63, 53, 1, type, 50, 4, 0, 0, 0, 0, 255 };

	net_put32(options + 9, requested);
	if (!requested)
		options[7] = 255;
	memcpy(m + 28, own, NET_ADDRESS);
	memcpy(m + 236, options, sizeof(options));
	send_udp(f, everybody, 0, 0xffffffff, 68, 67, m, sizeof(m));
}

static uint8_t dhcp_answer(struct fixture *f, uint32_t *address)
{
	struct net_guest_frame *frame = receive_ip(f, 17);
	const uint8_t *m = frame->data + 42, *option;
	uint8_t type = 0;

	assert_int_equal(net_get16(frame->data + 36), 68);
	assert_int_equal(net_get32(m + 4), 0x12345678);
	assert_true(sum_is_right(frame));
	assert_true(frame->has_checksum);
	*address = net_get32(m + 16);
	for (option = m + 240; *option != 255 && option + 2 < frame->data + frame->length;
	     option += 2 + option[1]) {
		if (*option == 53)
			type = option[2];
	}
	free(frame);
	return type;
}

/* covers: kmcl_net_user_create */
static void an_address_by_dhcp(void **state)
{
	struct fixture *f = *state;
	uint32_t address;

	send_dhcp(f, 1, 0);
	assert_int_equal(dhcp_answer(f, &address), 2); /* an offer */
	assert_int_equal(address, GUEST_IP);
	send_dhcp(f, 3, address);
	assert_int_equal(dhcp_answer(f, &address), 5); /* an acknowledgement */
	assert_int_equal(address, GUEST_IP);
}

/* ---- ICMP ---- */

static void the_router_answers_a_ping(void **state)
{
	struct fixture *f = *state;
	struct net_guest_frame *reply;
	uint8_t frame[98], *icmp;
	uint32_t i;

	skip_without_tap(f);
	meet_the_router(f);
	icmp = put_ip(frame, f->router, 1, GUEST_IP, ROUTER_IP, 64);
	memset(icmp, 0, 8);
	icmp[0] = 8;
	for (i = 8; i < 64; i++)
		icmp[i] = (uint8_t)i;
	net_put16(icmp + 2, (uint16_t)~net_sum_fold(net_sum(icmp, 64, 0)));
	net_guest_send_frame(f->guest, 0, NULL, frame, sizeof(frame));
	reply = receive_ip(f, 1);
	assert_int_equal(reply->length, sizeof(frame));
	assert_int_equal(reply->data[34], 0);
	assert_int_equal(net_get32(reply->data + 26), ROUTER_IP);
	assert_memory_equal(reply->data + 42, frame + 42, 56);
	free(reply);
}

/* ---- UDP ---- */

static void datagrams_there_and_back(void **state)
{
	struct fixture *f = *state;
	struct net_guest_frame *frame;
	struct sockaddr_in peer;
	socklen_t size;
	char data[1400], got[1500];
	uint16_t port;
	int fd, i;

	skip_without_tap(f);
	fd = host_socket(f, SOCK_DGRAM, &port);
	meet_the_router(f);
	for (i = 0; i < 50; i++) {
		memset(data, 'a' + i % 26, sizeof(data));
		send_udp(f, f->router, GUEST_IP, ROUTER_IP, 4000, port, data, 1 + i * 28);
		size = sizeof(peer);
		assert_int_equal(recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&peer, &size),
		                 1 + i * 28);
		assert_memory_equal(got, data, 1 + i * 28);
		assert_int_equal(sendto(fd, data, 1 + i, 0, (struct sockaddr *)&peer, size), 1 + i);
		frame = receive_ip(f, 17);
		assert_int_equal(net_get16(frame->data + 34), port);
		assert_int_equal(net_get16(frame->data + 36), 4000);
		assert_int_equal(net_get16(frame->data + 38), 8 + 1 + i);
		assert_memory_equal(frame->data + 42, data, 1 + i);
		assert_true(sum_is_right(frame));
		free(frame);
	}
}

/* ---- TCP ---- */

#define FIN 0x01u
#define SYN 0x02u
#define RST 0x04u
#define PSH 0x08u
#define ACK 0x10u
#define MSS 1400u

struct tcp {
	struct fixture *f;
	uint16_t port, peer_port;
	uint32_t sequence, acknowledged;
};

/* More than the MTU takes goes as one large send. */
static void tcp_send(struct tcp *t, uint8_t flags, const void *data, uint32_t size)
{
	struct net_guest_infos infos = { .has_checksum = true,
		                         .checksum = RNDIS_TX_IPV4 | RNDIS_TX_TCP_CHECKSUM };
	uint8_t *frame = malloc(54 + size), *message = net_pool(54 + size + 200), *tcp;
	uint32_t done = t->f->guest->completed;

	tcp = put_ip(frame, t->f->router, 6, GUEST_IP, ROUTER_IP, 20 + size);
	memset(tcp, 0, 20);
	net_put16(tcp, t->port);
	net_put16(tcp + 2, t->peer_port);
	net_put32(tcp + 4, t->sequence);
	net_put32(tcp + 8, t->acknowledged);
	tcp[12] = 0x50;
	tcp[13] = flags;
	net_put16(tcp + 14, 60000);
	if (size)
		memcpy(tcp + 20, data, size);
	if (size > MSS) {
		infos = (struct net_guest_infos){ .has_large_send = true,
			                          .large_send = MSS | RNDIS_LSO_V2 };
		net_put32(frame + 16, 0);
	}
	net_guest_send(t->f->guest, 0, NVSP_NO_SECTION, 0, message,
	               net_guest_build(message, &infos, frame, 54 + size));
	net_wait(t->f->guest->completed == done + 1);
	assert_int_equal(t->f->guest->last_status, NVSP_STATUS_SUCCESS);
	t->sequence += size + (flags & (SYN | FIN) ? 1 : 0);
	ExFreePoolWithTag(message, NET_GUEST_TAG);
	free(frame);
}

/* The next segment to us; what it has beside headers is at *data. */
static struct net_guest_frame *tcp_receive(struct tcp *t, uint8_t *flags, const uint8_t **data,
                                           uint32_t *size)
{
	struct net_guest_frame *frame;
	struct net_packet p;

	for (;;) {
		frame = receive_ip(t->f, 6);
		if (net_get16(frame->data + 36) == t->port)
			break;
		free(frame);
	}
	assert_true(sum_is_right(frame));
	net_packet_parse(&p, frame->data, frame->length, frame->length, false);
	*flags = frame->data[47];
	*data = frame->data + p.payload;
	*size = p.end - p.payload;
	return frame;
}

static void tcp_connect(struct tcp *t)
{
	const uint8_t *data;
	struct net_guest_frame *frame;
	uint32_t size;
	uint8_t flags;

	tcp_send(t, SYN, NULL, 0);
	frame = tcp_receive(t, &flags, &data, &size);
	assert_int_equal(flags, SYN | ACK);
	assert_int_equal(net_get32(frame->data + 42), t->sequence);
	t->acknowledged = net_get32(frame->data + 38) + 1;
	free(frame);
	tcp_send(t, ACK, NULL, 0);
}

static void read_all(int fd, uint8_t *data, size_t size)
{
	ssize_t n;

	for (; size; size -= (size_t)n, data += n) {
		n = read(fd, data, size);
		assert_true(n > 0);
	}
}

/* covers: kmcl_net_get_statistics */
static void a_stream_there_and_back(void **state)
{
	enum { UP = 30000, DOWN = 40000 };
	struct fixture *f = *state;
	struct tcp t = { .f = f, .port = 5000, .sequence = 0xfffff000 };
	uint8_t *up, *down, *got, flags;
	struct kmcl_net_statistics statistics = { .size = sizeof(statistics) };
	struct net_guest_frame *frame;
	const uint8_t *data;
	uint32_t size, total = 0, i;
	int listener, fd;

	skip_without_tap(f);
	up = malloc(UP);
	down = malloc(DOWN);
	got = malloc(DOWN);
	for (i = 0; i < DOWN; i++) {
		up[i % UP] = (uint8_t)(i * 13 + i / 253);
		down[i] = (uint8_t)(i * 7 + i / 251);
	}
	listener = host_socket(f, SOCK_STREAM, &t.peer_port);
	meet_the_router(f);
	tcp_connect(&t);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	f->sockets[f->socket_count++] = fd;
	/* as Linux sends it: one frame far longer than the wire takes */
	tcp_send(&t, ACK | PSH, up, UP);
	read_all(fd, got, UP);
	assert_memory_equal(got, up, UP);
	kmcl_net_get_statistics(f->host, &statistics);
	assert_int_equal(statistics.tx_large_sends, 1);
	assert_int_equal(statistics.tx_segments, f->tap ? 0 : (UP + MSS - 1) / MSS);
	/* and back, acknowledged piece by piece */
	assert_int_equal(write(fd, down, DOWN), DOWN);
	while (total < DOWN) {
		frame = tcp_receive(&t, &flags, &data, &size);
		assert_false(flags & RST);
		if (size && net_get32(frame->data + 38) == t.acknowledged) {
			assert_true(total + size <= DOWN);
			memcpy(got + total, data, size);
			total += size;
			t.acknowledged += size;
		}
		free(frame);
		if (size)
			tcp_send(&t, ACK, NULL, 0);
	}
	assert_memory_equal(got, down, DOWN);
	/* the host hangs up */
	shutdown(fd, SHUT_WR);
	do {
		frame = tcp_receive(&t, &flags, &data, &size);
		free(frame);
	} while (!(flags & FIN));
	tcp_send(&t, RST, NULL, 0);
	free(got);
	free(down);
	free(up);
}

/* ---- forwards ---- */

static uint16_t free_port(struct fixture *f, int type)
{
	uint16_t port;

	close(host_socket(f, type, &port));
	f->socket_count--;
	return port;
}

/* covers: kmcl_net_user_forward */
static void the_hosts_ports_lead_to_the_guest(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint16_t udp_port = free_port(f, SOCK_DGRAM), tcp_port = free_port(f, SOCK_STREAM),
		 own_port;
	struct tcp t = { .f = f, .port = 22, .sequence = 1 };
	char text[64], why[128], got[16];
	struct net_guest_frame *frame;
	const uint8_t *data;
	uint32_t size;
	uint8_t flags;
	int fd;

	meet_the_router(f);
	snprintf(text, sizeof(text), "udp:127.0.0.1:%u-10.0.2.15:53", udp_port);
	assert_int_equal(kmcl_net_user_forward(f->backend, text, why, sizeof(why)), 0);
	snprintf(text, sizeof(text), "tcp::%u-:22", tcp_port);
	assert_int_equal(kmcl_net_user_forward(f->backend, text, why, sizeof(why)), 0);
	/* the port is taken now */
	assert_int_equal(kmcl_net_user_forward(f->backend, text, why, sizeof(why)), -EADDRINUSE);

	fd = host_socket(f, SOCK_DGRAM, &own_port);
	to.sin_port = htons(udp_port);
	assert_int_equal(sendto(fd, "question", 8, 0, (struct sockaddr *)&to, sizeof(to)), 8);
	frame = receive_ip(f, 17);
	assert_int_equal(net_get16(frame->data + 36), 53);
	assert_memory_equal(frame->data + 42, "question", 8);
	send_udp(f, f->router, GUEST_IP, net_get32(frame->data + 26), 53,
	         net_get16(frame->data + 34), "answer", 6);
	free(frame);
	assert_int_equal(recv(fd, got, sizeof(got), 0), 6);
	assert_memory_equal(got, "answer", 6);

	fd = socket(AF_INET, SOCK_STREAM, 0);
	f->sockets[f->socket_count++] = fd;
	to.sin_port = htons(tcp_port);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	frame = tcp_receive(&t, &flags, &data, &size);
	assert_int_equal(flags, SYN);
	t.peer_port = net_get16(frame->data + 34);
	t.acknowledged = net_get32(frame->data + 38) + 1;
	free(frame);
	tcp_send(&t, SYN | ACK, NULL, 0);
	assert_int_equal(write(fd, "hello", 5), 5);
	do {
		frame = tcp_receive(&t, &flags, &data, &size);
		if (size)
			assert_memory_equal(data, "hello", 5);
		free(frame);
	} while (!size);
}

/* covers: kmcl_net_user_forward */
static void forwards_that_are_none(void **state)
{
	static const char *const bad[] = { "",
		                           "tcp",
		                           "tcp:",
		                           "tcp::80",
		                           "tcp::80-",
		                           "tcp::80-:",
		                           "tcp::0-:80",
		                           "tcp::65536-:80",
		                           "tcp::-1-:80",
		                           "tcp::80x-:80",
		                           "tcp:1.2.3:80-:80",
		                           "tcp::80-1.2.3.4.5:80",
		                           "tcp:80-80",
		                           "sctp::80-:80",
		                           "udp::80-:99999999999999999999",
		                           "tcp:111111111111111111111111111111111111:80-:80" };
	struct fixture *f = *state;
	char why[256];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why[0] = 0;
		assert_int_equal(kmcl_net_user_forward(f->backend, bad[i], why, sizeof(why)),
		                 -EINVAL);
		assert_int_not_equal(why[0], 0);
	}
}

/* More than it can take, and nonsense; then the adapter goes while the thread is at it. */
static void a_flood_of_nonsense(void **state)
{
	struct fixture *f = *state;
	uint8_t *section, frame[1400];
	uint32_t i, n, at, seed = 1, done = 0;

	skip_without_tap(f);
	meet_the_router(f);
	for (i = 0; i < 400; i++) {
		uint32_t slot = i % 10;

		if (!slot)
			done = f->guest->completed;
		section = net_guest_section(f->guest, slot);
		for (n = 0; n < sizeof(frame); n++) {
			seed = seed * 1664525 + 1013904223;
			frame[n] = (uint8_t)(seed >> 24);
		}
		put_ethernet(frame, f->router,
		             i % 3 ? (i % 2 ? NET_ETHERTYPE_IP4 : NET_ETHERTYPE_IP6) : 0x0806);
		if (i % 3 && i % 2)
			put_ip(frame, f->router, (uint8_t)(i % 7 ? 17 : 6), GUEST_IP, ROUTER_IP,
			       sizeof(frame) - 34);
		at = 0;
		for (n = 0; n < 4; n++)
			at += net_guest_build(section + at, NULL, frame, 14 + seed % 1386);
		net_guest_send(f->guest, 0, slot, at, NULL, 0);
		if (i % 10 == 9)
			net_wait(f->guest->completed == done + 10);
	}
	kmcl_net_destroy(f->host);
	f->host = NULL;
}

/* ---- more than there is ---- */

static void send_ping(struct fixture *f, uint8_t *frame, uint32_t size)
{
	uint8_t *icmp = put_ip(frame, f->router, 1, GUEST_IP, ROUTER_IP, size - 34);

	memset(icmp, 0, size - 34);
	icmp[0] = 8;
	net_put16(icmp + 2, (uint16_t)~net_sum_fold(net_sum(icmp, size - 34, 0)));
	net_guest_send_frame(f->guest, 0, NULL, frame, size);
}

/* Until all that was sent before has been looked at. */
static void await_a_ping(struct fixture *f)
{
	uint8_t frame[98];

	send_ping(f, frame, sizeof(frame));
	free(receive_ip(f, 1));
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

static void send_syn(struct fixture *f, uint16_t port, uint16_t peer_port)
{
	uint8_t frame[54], *tcp = put_ip(frame, f->router, 6, GUEST_IP, ROUTER_IP, 20);
	const struct net_guest_infos infos = { .has_checksum = true,
		                               .checksum = RNDIS_TX_IPV4 | RNDIS_TX_TCP_CHECKSUM };

	memset(tcp, 0, 20);
	net_put16(tcp, port);
	net_put16(tcp + 2, peer_port);
	tcp[12] = 0x50;
	tcp[13] = SYN;
	net_put16(tcp + 14, 60000);
	net_guest_send_frame(f->guest, 0, &infos, frame, sizeof(frame));
}

/* Of TCP's and of UDP's: what would have it open more is lost, and nobody else lacks descriptors.
 */
static void a_guest_cannot_have_all_descriptors(void **state)
{
	enum { LIMIT = 400, FRAMES = 450 };
	struct rlimit before, limit;
	struct fixture *f = *state;
	uint32_t at_first;
	uint16_t port, udp_port;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = LIMIT;
	host_socket(f, SOCK_STREAM, &port);
	host_socket(f, SOCK_DGRAM, &udp_port);
	meet_the_router(f);
	at_first = descriptors();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (uint32_t i = 0; i < FRAMES; i++)
		send_syn(f, (uint16_t)(10000 + i), port);
	await_a_ping(f); /* there is room for that */
	print_message("# %u sockets of TCP\n", descriptors() - at_first);
	assert_in_range(descriptors() - at_first, 100, LIMIT / 2 - LIMIT / 8 + 4);
	for (uint32_t i = 0; i < FRAMES; i++)
		send_udp(f, f->router, GUEST_IP, ROUTER_IP, (uint16_t)(10000 + i), udp_port, "x",
		         1);
	while (f->guest->frame_count)
		free(net_guest_receive(f->guest));
	meet_the_router(f); /* after all that was sent before */
	print_message("# %u sockets of both\n", descriptors() - at_first);
	assert_in_range(descriptors() - at_first, 100, LIMIT / 2 + 4);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static uint64_t private_memory(void)
{
	struct mallinfo2 info = mallinfo2(); /* 0 under a sanitizer */

	return info.uordblks + info.hblkhd;
}

/* First fragments of datagrams whose rest never comes. */
static void fragments_are_not_kept_without_end(void **state)
{
	enum { FRAMES = 40000, SECTION = 6144 };
	struct fixture *f = *state;
	uint64_t before;
	uint8_t frame[60];

	meet_the_router(f);
	await_a_ping(f);
	before = private_memory();
	memset(put_ip(frame, f->router, 17, GUEST_IP, ROUTER_IP, 24), 0, 24);
	for (uint32_t i = 0; i < FRAMES; i += 60) {
		uint8_t *section = net_guest_section(f->guest, 0);
		uint32_t done = f->guest->completed, at = 0;

		for (uint32_t k = 0; k < 60; k++) {
			struct net_packet p = { .ip = 14 };

			net_put16(frame + 18, (uint16_t)(i + k));
			net_put16(frame + 20, 0x2000); /* more fragments */
			net_put32(frame + 26, GUEST_IP);
			net_ip4_checksum(&p, frame);
			if (at + 128 > SECTION)
				break;
			at += net_guest_build(section + at, NULL, frame, 14 + 20 + 24);
		}
		net_guest_send(f->guest, 0, 0, at, NULL, 0);
		net_wait(f->guest->completed == done + 1);
	}
	await_a_ping(f);
	print_message("# %llu KiB of fragments\n",
	              (unsigned long long)(private_memory() - before) / 1024);
	assert_in_range(private_memory() - before, 0, 32u << 20);
}

/* ---- what the guest has it say ---- */

#define LINES_MAX    16u
#define LINES_WINDOW 10u /* s */

static atomic_uint lines;

static void hear(void *context, enum kmcl_log_level level, const char *channel, const char *text)
{
	if (strstr(text, "slirp: "))
		lines++;
}

/* Which only routers send: libslirp says that the guest should not. */
static void send_router_advertisement(struct fixture *f)
{
	struct net_packet p = { .ip = 14, .transport = 54, .ip6 = true, .protocol = 58 };
	uint8_t frame[70] = { 0 }, *ip = frame + 14, *icmp = frame + 54;

	put_ethernet(frame, f->router, NET_ETHERTYPE_IP6);
	ip[0] = 0x60;
	net_put16(ip + 4, 16);
	ip[6] = 58;
	ip[7] = 255;
	ip[8] = 0xfe;
	ip[9] = 0x80;
	ip[23] = 1;
	ip[24] = 0xff;
	ip[25] = 0x02;
	ip[39] = 1;
	icmp[0] = 134;
	net_put16(icmp + 2,
	          (uint16_t)~net_sum_fold(net_sum(icmp, 16, net_pseudo_sum(&p, frame, 16))));
	net_guest_send_frame(f->guest, 0, NULL, frame, sizeof(frame));
}

static void what_a_guest_has_it_say_is_limited(void **state)
{
	struct fixture *f = *state;
	time_t begin = time(NULL);
	unsigned int windows;

	meet_the_router(f);
	lines = 0;
	kmcl_log_set(hear, NULL, KMCL_LOG_INFO);
	for (uint32_t i = 0; i < 500; i++)
		send_router_advertisement(f);
	await_a_ping(f);
	kmcl_log_set(NULL, NULL, KMCL_LOG_WARNING);
	windows = 1 + (unsigned int)(time(NULL) + 1 - begin) / LINES_WINDOW;
	print_message("# %u lines\n", lines);
	assert_in_range(lines, LINES_MAX, windows * (LINES_MAX + 1));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_address_by_dhcp, setup_user, teardown),
		cmocka_unit_test_setup_teardown(the_router_answers_a_ping, setup_user, teardown),
		cmocka_unit_test_setup_teardown(datagrams_there_and_back, setup_user, teardown),
		cmocka_unit_test_setup_teardown(a_stream_there_and_back, setup_user, teardown),
		cmocka_unit_test_setup_teardown(the_hosts_ports_lead_to_the_guest, setup_user,
		                                teardown),
		cmocka_unit_test_setup_teardown(forwards_that_are_none, setup_user, teardown),
		cmocka_unit_test_setup_teardown(a_flood_of_nonsense, setup_user, teardown),
		cmocka_unit_test_setup_teardown(a_guest_cannot_have_all_descriptors, setup_user,
		                                teardown),
		cmocka_unit_test_setup_teardown(fragments_are_not_kept_without_end, setup_user,
		                                teardown),
		cmocka_unit_test_setup_teardown(what_a_guest_has_it_say_is_limited, setup_user,
		                                teardown),
		/* from here on in a network namespace of their own */
		{ "the_router_answers_a_ping, tap", the_router_answers_a_ping, setup_tap, teardown,
		  NULL },
		{ "datagrams_there_and_back, tap", datagrams_there_and_back, setup_tap, teardown,
		  NULL },
		{ "a_stream_there_and_back, tap", a_stream_there_and_back, setup_tap, teardown,
		  NULL },
		{ "a_flood_of_nonsense, tap", a_flood_of_nonsense, setup_tap, teardown, NULL },
	};

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
