/* SPDX-License-Identifier: BSD-2-Clause */
/* The network adapter over a bus, between a driver and a back end that are both the test's: the
 * argument of this program is a pattern for its URI, so that each test has one of its own. */
#include "net_guest.h"

#include "../temporary.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUES 4u

/* ---- a back end that keeps what it gets ---- */

struct sent {
	struct sent *next;
	struct kmcl_net_frame meta;
	uint8_t data[];
};

struct plug {
	struct kmcl_net_backend backend;
	struct kmcl_net_backend_ops ops;
	struct kmcl_net_port *port;
	pthread_mutex_t lock;
	struct sent *frames, **last;
	_Atomic uint32_t count;
	_Atomic enum kmcl_net_result result; /* of send() */
	void *kept[64];
	_Atomic uint32_t kept_count;
	_Atomic uint32_t resumed;
	bool destroyed;
};

static bool plug_start(struct kmcl_net_backend *backend, struct kmcl_net_port *port)
{
	((struct plug *)backend)->port = port;
	return true;
}

static enum kmcl_net_result plug_send(struct kmcl_net_backend *backend,
                                      const struct kmcl_net_frame *frame, void *request)
{
	struct plug *p = (struct plug *)backend;
	struct sent *s = calloc(1, sizeof(*s) + frame->length);
	uint8_t *at = s->data;
	enum kmcl_net_result result;
	uint32_t i;

	s->meta = *frame;
	for (i = 0; i < frame->count; i++) {
		memcpy(at, frame->iov[i].iov_base, frame->iov[i].iov_len);
		at += frame->iov[i].iov_len;
	}
	if (at != s->data + frame->length)
		abort();
	pthread_mutex_lock(&p->lock);
	result = p->result;
	if (result == KMCL_NET_LATER) {
		p->kept[p->kept_count] = request;
		p->kept_count++;
	}
	*p->last = s;
	p->last = &s->next;
	p->count++;
	pthread_mutex_unlock(&p->lock);
	return result;
}

static void plug_resume(struct kmcl_net_backend *backend)
{
	atomic_fetch_add(&((struct plug *)backend)->resumed, 1);
}

static void plug_destroy(struct kmcl_net_backend *backend)
{
	((struct plug *)backend)->destroyed = true;
}

static void plug_init(struct plug *p)
{
	memset(p, 0, sizeof(*p));
	p->ops = (struct kmcl_net_backend_ops){ "plug",    0,           plug_start,
		                                plug_send, plug_resume, plug_destroy };
	p->backend.ops = &p->ops;
	p->last = &p->frames;
	pthread_mutex_init(&p->lock, NULL);
}

static struct sent *plug_try_take(struct plug *p)
{
	struct sent *s;

	pthread_mutex_lock(&p->lock);
	s = p->frames;
	if (s) {
		p->frames = s->next;
		if (!p->frames)
			p->last = &p->frames;
	}
	pthread_mutex_unlock(&p->lock);
	return s;
}

static struct sent *plug_take(struct plug *p)
{
	struct sent *s = NULL;

	net_wait((s = s ? s : plug_try_take(p)) != NULL);
	return s;
}

static enum kmcl_net_result plug_offer(struct plug *p, const void *data, uint32_t length)
{
	const struct kmcl_net_received frame = { .data = data, .length = length };

	return p->port->ops->receive(p->port, &frame);
}

static void plug_deliver(struct plug *p, const void *data, uint32_t length)
{
	assert_int_equal(plug_offer(p, data, length), KMCL_NET_DONE);
	p->port->ops->flush(p->port);
}

/* ---- both ends ---- */

struct fixture {
	char uri[128];
	HANDLE vmbus;
	PDEVICE_OBJECT bus;
	struct plug plug;
	struct kmcl_net *host;
	struct net_guest *guest;
};

static const char *uri_pattern = "local:net-%d-%u";
static const GUID instance = { 0x6e657430, 1, 2, { 3, 4, 5, 6, 7, 8, 9, 10 } };
static const uint8_t own[NET_ADDRESS] = { 0x00, 0x15, 0x5d, 0x01, 0x02, 0x03 };

static int create(struct fixture *f, uint32_t version, uint16_t queues)
{
	struct kmcl_net_options options = { .size = sizeof(options),
		                            .instance = kmcl_guid_of_nt(instance),
		                            .queues = queues,
		                            .version_max = version,
		                            .name = "eth",
		                            .backend = &f->plug.backend };

	memcpy(options.address, own, sizeof(own));
	return kmcl_net_create(kmcl_host_of_handle(f->vmbus), &options, &f->host);
}

static void log_to_comment(void *context, enum kmcl_log_level level, const char *channel,
                           const char *text)
{
	if (getenv("KMCL_TEST_LOG"))
		fprintf(stderr, "# %s: %s\n", channel ? channel : "", text);
}

static int setup_bus(void **state)
{
	static unsigned int number;
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	kmcl_log_set(log_to_comment, NULL, KMCL_LOG_WARNING);
	plug_init(&f->plug);
	snprintf(f->uri, sizeof(f->uri), uri_pattern, getpid(), number++);
	return NT_SUCCESS(kmcl_host_open(f->uri, &f->vmbus)) &&
	                       NT_SUCCESS(kmcl_guest_open(f->uri, &f->bus))
	               ? 0
	               : -1;
}

static int setup_host(void **state)
{
	if (setup_bus(state))
		return -1;
	return NT_SUCCESS(create(*state, 0, QUEUES)) ? 0 : -1;
}

static int setup_open(void **state)
{
	struct fixture *f;

	if (setup_host(state))
		return -1;
	f = *state;
	f->guest = net_guest_open(f->bus, &instance, NULL);
	return 0;
}

static int setup(void **state)
{
	struct fixture *f;

	if (setup_open(state))
		return -1;
	f = *state;
	net_guest_start(f->guest);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct sent *s;

	if (f->guest)
		net_guest_close(f->guest);
	if (f->host) {
		kmcl_net_destroy(f->host);
		assert_true(f->plug.destroyed);
	}
	kmcl_guest_close(f->bus);
	ZwClose(f->vmbus);
	while ((s = plug_try_take(&f->plug)))
		free(s);
	pthread_mutex_destroy(&f->plug.lock);
	free(f);
	return 0;
}

static struct kmcl_net_statistics statistics(struct fixture *f)
{
	struct kmcl_net_statistics s = { .size = sizeof(s) };

	kmcl_net_get_statistics(f->host, &s);
	return s;
}

/* ---- frames ---- */

/* To the guest, filled with what `seed` says. */
static uint32_t fill_frame(uint8_t *frame, uint32_t length, uint32_t seed)
{
	uint32_t i;

	for (i = 0; i < length; i++)
		frame[i] = (uint8_t)(seed * 31 + i * 7 + i / 256);
	memcpy(frame, own, sizeof(own));
	memcpy(frame + 6, "\x02\0\0\0\0\x01\x88\xb5", 8); /* an ethertype for experiments */
	return length;
}

/* IPv4 or IPv6 with TCP or UDP, of `length` bytes in all; checksums are 0. */
static void fill_ip(uint8_t *frame, uint32_t length, bool ip6, bool udp, uint16_t port)
{
	uint32_t ip = 14, transport = ip6 ? 54 : 34, i;

	fill_frame(frame, length, port);
	net_put16(frame + 12, ip6 ? NET_ETHERTYPE_IP6 : NET_ETHERTYPE_IP4);
	memset(frame + ip, 0, transport - ip + 20);
	frame[ip] = ip6 ? 0x60 : 0x45;
	net_put16(frame + ip + (ip6 ? 4 : 2), length - (ip6 ? transport : ip));
	frame[ip + (ip6 ? 6 : 9)] = udp ? 17 : 6;
	for (i = 0; i < (ip6 ? 32u : 8u); i++)
		frame[ip + (ip6 ? 8 : 12) + i] = (uint8_t)(i + 10);
	net_put16(frame + transport, port);
	net_put16(frame + transport + 2, 80);
	if (udp)
		net_put16(frame + transport + 4, length - transport);
	else
		frame[transport + 12] = 0x50;
}

static bool transport_sum_is_right(const uint8_t *frame, uint32_t length)
{
	struct net_packet p;
	uint64_t sum;

	assert_true(net_packet_parse(&p, frame, length, length, false));
	assert_int_not_equal(p.payload, 0);
	sum = net_pseudo_sum(&p, frame, p.end - p.transport);
	return net_sum_fold(net_sum(frame + p.transport, p.end - p.transport, sum)) == 0xffff;
}

/* As the outside leaves a checksum: the sum of the pseudo header alone. */
static void plug_sum_pseudo(uint8_t *frame, uint32_t length)
{
	struct net_packet p;

	assert_true(net_packet_parse(&p, frame, length, length, false));
	net_put16(frame + net_checksum_at(&p),
	          net_sum_fold(net_pseudo_sum(&p, frame, p.end - p.transport)));
}

static void expect_frame(struct fixture *f, const uint8_t *frame, uint32_t length)
{
	struct net_guest_frame *got = net_guest_receive(f->guest);

	assert_int_equal(got->length, length);
	assert_memory_equal(got->data, frame, length);
	free(got);
}

static void expect_sent(struct fixture *f, const uint8_t *frame, uint32_t length)
{
	struct sent *s = plug_take(&f->plug);

	assert_int_equal(s->meta.length, length);
	assert_memory_equal(s->data, frame, length);
	assert_int_equal(s->meta.checksum_start, 0);
	free(s);
}

/* ---- negotiation ---- */

static void traffic_both_ways(struct fixture *f)
{
	uint8_t frame[1514];
	uint32_t length = fill_frame(frame, 700, f->guest->version);

	net_guest_send_frame(f->guest, 0, NULL, frame, length);
	expect_sent(f, frame, length);
	plug_deliver(&f->plug, frame, length);
	expect_frame(f, frame, length);
}

static void every_version_works(void **state)
{
	static const uint32_t versions[] = { NVSP_VERSION_1, NVSP_VERSION_2, NVSP_VERSION_4,
		                             NVSP_VERSION_5, NVSP_VERSION_6, NVSP_VERSION_61 };
	struct fixture *f = *state;
	struct net_guest_options options = { 0 };
	size_t i;

	/* first the guest is the older one, then the host */
	assert_int_equal(create(f, 0, QUEUES), 0);
	for (i = 0; i < 6; i++) {
		options.version = versions[i];
		if (f->guest)
			net_guest_reopen(f->guest, &options);
		else
			f->guest = net_guest_open(f->bus, &instance, &options);
		net_guest_start(f->guest);
		assert_int_equal(statistics(f).version, versions[i]);
		assert_int_equal(f->guest->section.slot_size, 1514 + 292);
		assert_int_equal(f->guest->section_size, 6144);
		traffic_both_ways(f);
	}
	for (i = 0; i < 6; i++) {
		net_guest_close(f->guest);
		f->guest = NULL;
		kmcl_net_destroy(f->host);
		assert_int_equal(create(f, versions[i], QUEUES), 0);
		f->guest = net_guest_open(f->bus, &instance, NULL);
		net_guest_start(f->guest);
		assert_int_equal(f->guest->version, versions[i]);
		traffic_both_ways(f);
	}
	assert_int_equal(statistics(f).refused, 0);
}

static void versions_nobody_has_are_not_agreed_to(void **state)
{
	static const uint32_t unknown[] = { 0, 1, 3, 0x30001, 0x30000, 0x50001, 0x60002, 0x70000 };
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		assert_int_not_equal(net_guest_init(f->guest, unknown[i]), NVSP_STATUS_SUCCESS);
	assert_int_equal(net_guest_init(f->guest, NVSP_VERSION_5), NVSP_STATUS_SUCCESS);
	/* it is agreed now */
	assert_int_equal(net_guest_init(f->guest, NVSP_VERSION_5), NVSP_STATUS_FAILURE);
	assert_int_equal(statistics(f).version, NVSP_VERSION_5);
}

static void expect_mtu(struct fixture *f, uint32_t asked, uint32_t given)
{
	struct net_guest_options options = { .mtu = asked };
	uint32_t frame_size, status;
	uint8_t *frame = malloc(given);

	net_guest_reopen(f->guest, &options);
	net_guest_start(f->guest);
	assert_int_equal(statistics(f).mtu, given);
	assert_int_equal(f->guest->section.slot_size, given + 292);
	net_guest_query(f->guest, OID_GEN_MAXIMUM_FRAME_SIZE, &frame_size, 4, &status);
	assert_int_equal(frame_size, given - 14);
	fill_frame(frame, given, asked);
	plug_deliver(&f->plug, frame, given);
	expect_frame(f, frame, given);
	free(frame);
}

static void the_mtu_is_the_guests_to_choose(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[1515];

	expect_mtu(f, 9014, 9014);
	expect_mtu(f, 9216, 9216);
	expect_mtu(f, 9217, 9216); /* the nearest: what `ip link set mtu 9203` asks for */
	expect_mtu(f, 0xffffffff, 9216);
	expect_mtu(f, 82, 1514);
	plug_deliver(&f->plug, frame, fill_frame(frame, 1515, 1));
	assert_int_equal(statistics(f).rx_too_long, 1);
	assert_int_equal(f->guest->frame_count, 0);
}

static void opened_and_closed_many_times(void **state)
{
	struct fixture *f = *state;
	uint32_t i;

	for (i = 0; i < 20; i++) {
		if (i % 2)
			net_guest_subchannels(f->guest, 1 + i % 3);
		traffic_both_ways(f);
		net_guest_reopen(f->guest, NULL);
		assert_int_equal(statistics(f).subchannels, 0);
		assert_int_equal(statistics(f).slots, 0);
		assert_false(statistics(f).ready);
		net_guest_start(f->guest);
	}
	assert_int_equal(statistics(f).refused, 0);
}

/* covers: kmcl_net_create, kmcl_guid_of_nt, kmcl_host_of_handle */
static void options_are_checked(void **state)
{
	struct fixture *f = *state;
	struct kmcl_net_options options = { .size = sizeof(options),
		                            .instance = kmcl_guid_of_nt(instance),
		                            .backend = &f->plug.backend };
	struct kmcl_net *host;

	options.queues = KMCL_NET_QUEUES + 1;
	assert_int_equal(kmcl_net_create(kmcl_host_of_handle(f->vmbus), &options, &host), -EINVAL);
	assert_true(f->plug.destroyed);
	f->plug.destroyed = false;
	options.queues = 1;
	options.address[0] = 1;
	assert_int_equal(kmcl_net_create(kmcl_host_of_handle(f->vmbus), &options, &host), -EINVAL);
	f->plug.destroyed = false;
	options.address[0] = 0;
	options.backend = NULL;
	assert_int_equal(kmcl_net_create(kmcl_host_of_handle(f->vmbus), &options, &host), -EINVAL);
	options.backend = &f->plug.backend;
	assert_int_equal(kmcl_net_create(kmcl_host_of_handle(f->vmbus), &options, &f->host), 0);
	/* an address of its own: Hyper-V's prefix */
	assert_memory_equal(statistics(f).address, own, 3);
	/* there is one already */
	options.backend = &f->plug.backend;
	assert_int_equal(kmcl_net_create(kmcl_host_of_handle(f->vmbus), &options, &host), -EEXIST);
	f->plug.destroyed = false;
}

/* ---- sending ---- */

static void by_the_send_buffer(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[1514];
	uint32_t length;

	for (length = 14; length <= 1514; length += 125) {
		fill_frame(frame, length, length);
		net_guest_send_frame(f->guest, 0, NULL, frame, length);
		expect_sent(f, frame, length);
	}
	assert_int_equal(statistics(f).tx_errors, 0);
}

/* What Linux does with a burst: several messages in one section. */
static void several_in_one_section(void **state)
{
	struct fixture *f = *state;
	uint8_t frames[8][600], *section = net_guest_section(f->guest, 3);
	uint32_t at = 0, i;

	for (i = 0; i < 8; i++) {
		fill_frame(frames[i], 60 + i * 70, i);
		at += net_guest_build(section + at, NULL, frames[i], 60 + i * 70);
	}
	net_guest_send(f->guest, 0, 3, at, NULL, 0);
	for (i = 0; i < 8; i++)
		expect_sent(f, frames[i], 60 + i * 70);
	net_wait(f->guest->completed == 3); /* two of the negotiation */
	assert_int_equal(f->guest->last_status, NVSP_STATUS_SUCCESS);
}

static void by_reference(void **state)
{
	struct fixture *f = *state;
	uint8_t *message = net_pool(4096), frame[1514];
	uint32_t size = net_guest_build(message + 100, NULL, frame, fill_frame(frame, 1514, 9));

	net_guest_send(f->guest, 0, NVSP_NO_SECTION, 0, message + 100, size);
	expect_sent(f, frame, 1514);
	net_wait(f->guest->completed == 3);
	ExFreePoolWithTag(message, NET_GUEST_TAG);
}

/* Whole messages and the next one's head in the section, the rest of it by reference (Linux's
 * cp_partial), cut at each place there is. */
static void begun_in_a_section_and_continued_elsewhere(void **state)
{
	struct fixture *f = *state;
	uint8_t first[300], second[900], *both = malloc(2048), *rest = net_pool(2048);
	uint32_t size, cut, done;

	size = net_guest_build(both, NULL, first, fill_frame(first, sizeof(first), 1));
	size += net_guest_build(both + size, NULL, second, fill_frame(second, sizeof(second), 2));
	for (cut = 1; cut < size; cut += cut < 500 ? 7 : 61) {
		done = f->guest->completed;
		memcpy(net_guest_section(f->guest, 0), both, cut);
		memcpy(rest, both + cut, size - cut);
		net_guest_send(f->guest, 0, 0, cut, rest, size - cut);
		expect_sent(f, first, sizeof(first));
		expect_sent(f, second, sizeof(second));
		net_wait(f->guest->completed == done + 1);
		assert_int_equal(f->guest->last_status, NVSP_STATUS_SUCCESS);
	}
	ExFreePoolWithTag(rest, NET_GUEST_TAG);
	free(both);
}

static void the_back_end_may_take_its_time(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[200], *section = net_guest_section(f->guest, 1);
	uint32_t at, i;

	fill_frame(frame, sizeof(frame), 1);
	f->plug.result = KMCL_NET_LATER;
	at = net_guest_build(section, NULL, frame, sizeof(frame));
	at += net_guest_build(section + at, NULL, frame, sizeof(frame));
	net_guest_send(f->guest, 0, 1, at, NULL, 0);
	net_wait(f->plug.kept_count == 2);
	KeStallExecutionProcessor(20000);
	assert_int_equal(f->guest->completed, 2);
	f->plug.port->ops->sent(f->plug.port, f->plug.kept[0]);
	KeStallExecutionProcessor(20000);
	assert_int_equal(f->guest->completed, 2);
	f->plug.port->ops->sent(f->plug.port, f->plug.kept[1]);
	net_wait(f->guest->completed == 3);
	assert_int_equal(f->guest->last_status, NVSP_STATUS_SUCCESS);
	/* no room is no error of the guest's */
	f->plug.result = KMCL_NET_DROPPED;
	net_guest_send_frame(f->guest, 0, NULL, frame, sizeof(frame));
	assert_int_equal(statistics(f).tx_dropped, 1);
	for (i = 0; i < 3; i++)
		free(plug_take(&f->plug));
}

static void checksums_are_computed(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[800];
	struct sent *s;
	uint32_t bits;

	for (bits = 0; bits < 8; bits++) {
		bool ip6 = bits & 1, udp = bits & 2;
		struct net_guest_infos infos = {
			.has_checksum = true,
			.checksum = (ip6 ? RNDIS_TX_IPV6 : RNDIS_TX_IPV4 | RNDIS_TX_IP_CHECKSUM) |
			            (udp ? RNDIS_TX_UDP_CHECKSUM : RNDIS_TX_TCP_CHECKSUM),
		};

		f->plug.ops.offloads = bits & 4 ? KMCL_NET_OFFLOAD_CHECKSUM : 0;
		fill_ip(frame, sizeof(frame), ip6, udp, 1000);
		net_guest_send_frame(f->guest, 0, &infos, frame, sizeof(frame));
		s = plug_take(&f->plug);
		if (bits & 4) {
			uint32_t start = ip6 ? 54 : 34;

			/* what a back end does with it */
			assert_int_equal(s->meta.checksum_start, start);
			assert_int_equal(s->meta.checksum_offset, udp ? 6 : 16);
			net_put16(s->data + start + s->meta.checksum_offset,
			          (uint16_t)~net_sum_fold(
					  net_sum(s->data + start, sizeof(frame) - start, 0)));
		} else {
			assert_int_equal(s->meta.checksum_start, 0);
		}
		assert_true(transport_sum_is_right(s->data, s->meta.length));
		if (!ip6)
			assert_int_equal(net_sum_fold(net_sum(s->data + 14, 20, 0)), 0xffff);
		free(s);
	}
	assert_int_equal(statistics(f).tx_checksums, 8);
}

/* Asked for what does not fit the frame: it is dropped, and the guest is not to blame. */
static void offloads_that_do_not_fit(void **state)
{
	struct fixture *f = *state;
	struct net_guest_infos infos = { .has_checksum = true,
		                         .checksum = RNDIS_TX_IPV4 | RNDIS_TX_TCP_CHECKSUM };
	uint8_t frame[200];

	fill_ip(frame, sizeof(frame), false, true, 1);
	net_guest_send_frame(f->guest, 0, &infos, frame, sizeof(frame)); /* it is UDP */
	fill_frame(frame, sizeof(frame), 1);
	net_guest_send_frame(f->guest, 0, &infos, frame, sizeof(frame)); /* it is no IP */
	fill_ip(frame, sizeof(frame), false, false, 1);
	net_put16(frame + 16, 0xffff); /* longer than it is */
	net_guest_send_frame(f->guest, 0, &infos, frame, sizeof(frame));
	infos = (struct net_guest_infos){ .has_large_send = true, .large_send = 1448 };
	fill_ip(frame, sizeof(frame), false, true, 1);
	net_guest_send_frame(f->guest, 0, &infos, frame, sizeof(frame));
	infos.large_send = 2000; /* pieces that are longer than the MTU */
	fill_ip(frame, sizeof(frame), false, false, 1);
	net_guest_send_frame(f->guest, 0, &infos, frame, sizeof(frame));
	net_guest_send_frame(f->guest, 0, NULL, frame, 13);
	assert_int_equal(statistics(f).tx_errors, 6);
	assert_int_equal(statistics(f).refused, 0);
	assert_int_equal(f->plug.count, 0);
}

static void send_large(struct fixture *f, uint8_t *frame, uint32_t length, bool ip6)
{
	struct net_guest_infos infos = {
		.has_large_send = true,
		.large_send = 1400 | RNDIS_LSO_V2 | (ip6 ? RNDIS_LSO_IPV6 : 0),
	};
	uint8_t *message = net_pool(length + 256);
	uint32_t done = f->guest->completed, size;

	fill_ip(frame, length, ip6, false, 77);
	net_put16(frame + (ip6 ? 18 : 16), 0); /* as Linux leaves it */
	size = net_guest_build(message, &infos, frame, length);
	net_guest_send(f->guest, 0, NVSP_NO_SECTION, 0, message, size);
	net_wait(f->guest->completed == done + 1);
	assert_int_equal(f->guest->last_status, NVSP_STATUS_SUCCESS);
	ExFreePoolWithTag(message, NET_GUEST_TAG);
}

static void large_sends_are_segmented(void **state)
{
	struct fixture *f = *state;
	uint8_t *frame = malloc(65536);
	uint32_t length, at, headers, ip6;
	struct sent *s;

	for (ip6 = 0; ip6 < 2; ip6++) {
		length = 62000;
		headers = ip6 ? 74 : 54;
		send_large(f, frame, length, ip6);
		for (at = headers; at < length; at += s->meta.length - headers, free(s)) {
			s = plug_take(&f->plug);
			assert_true(s->meta.length <= 1514 && s->meta.length > headers);
			assert_true(transport_sum_is_right(s->data, s->meta.length));
			assert_memory_equal(s->data + headers, frame + at,
			                    s->meta.length - headers);
		}
		assert_int_equal(at, length);
	}
	assert_int_equal(statistics(f).tx_large_sends, 2);
	assert_int_equal(statistics(f).tx_segments,
	                 (62000 - 54 + 1399) / 1400 + (62000 - 74 + 1399) / 1400);
	free(frame);
}

static void large_sends_go_whole_to_who_can(void **state)
{
	struct fixture *f = *state;
	uint8_t *frame = malloc(65536);
	struct sent *s;
	uint64_t sum;

	f->plug.ops.offloads = KMCL_NET_OFFLOAD_CHECKSUM | KMCL_NET_OFFLOAD_SEGMENT;
	send_large(f, frame, 50000, false);
	s = plug_take(&f->plug);
	assert_int_equal(s->meta.length, 50000);
	assert_int_equal(s->meta.segment, 1400);
	assert_int_equal(s->meta.header_size, 54);
	assert_int_equal(s->meta.checksum_start, 34);
	assert_int_equal(s->meta.checksum_offset, 16);
	assert_false(s->meta.ip6);
	/* the kernel wants the lengths and the sum of the pseudo header to be there */
	assert_int_equal(net_get16(s->data + 16), 50000 - 14);
	assert_int_equal(net_sum_fold(net_sum(s->data + 14, 20, 0)), 0xffff);
	sum = net_sum(s->data + 26, 8, 0) + net_sum("\0\x06", 2, 0);
	net_put16(frame, 50000 - 34);
	assert_int_equal(net_get16(s->data + 50), net_sum_fold(sum + net_sum(frame, 2, 0)));
	free(s);
	free(frame);
}

static void tags_are_put_in(void **state)
{
	struct fixture *f = *state;
	struct net_guest_infos infos = { .has_vlan = true, .vlan = 5 | 100 << 4 };
	uint8_t frame[300];
	struct sent *s;

	fill_frame(frame, sizeof(frame), 3);
	net_guest_send_frame(f->guest, 0, &infos, frame, sizeof(frame));
	s = plug_take(&f->plug);
	assert_int_equal(s->meta.length, sizeof(frame) + 4);
	assert_memory_equal(s->data, frame, 12);
	assert_memory_equal(s->data + 12, "\x81\x00\xa0\x64", 4);
	assert_memory_equal(s->data + 16, frame + 12, sizeof(frame) - 12);
	free(s);
	/* the checksum of what is behind the tag */
	infos.has_checksum = true;
	infos.checksum = RNDIS_TX_IPV4 | RNDIS_TX_TCP_CHECKSUM;
	fill_ip(frame, sizeof(frame), false, false, 1);
	net_guest_send_frame(f->guest, 0, &infos, frame, sizeof(frame));
	s = plug_take(&f->plug);
	assert_true(transport_sum_is_right(s->data, s->meta.length));
	free(s);
}

/* ---- receiving ---- */

static void frames_arrive_in_order(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[1514];
	uint32_t i;

	/* more than there are slots, so that each is used more than once */
	for (i = 0; i < 1000; i++) {
		fill_frame(frame, 60 + i % 1455, i);
		while (plug_offer(&f->plug, frame, 60 + i % 1455) == KMCL_NET_LATER) {
			f->plug.port->ops->flush(f->plug.port);
			KeStallExecutionProcessor(100);
		}
		if (i % 10 == 9)
			f->plug.port->ops->flush(f->plug.port);
	}
	for (i = 0; i < 1000; i++) {
		fill_frame(frame, 60 + i % 1455, i);
		expect_frame(f, frame, 60 + i % 1455);
	}
	assert_int_equal(statistics(f).rx_frames, 1000);
	assert_true(statistics(f).rx_packets < 1000); /* several in a packet */
	net_wait(statistics(f).slots_free == statistics(f).slots);
}

/* There is a limit to what one packet refers to. */
static void long_frames_in_a_row(void **state)
{
	struct fixture *f = *state;
	struct net_guest_options options = { .mtu = 9216, .receive_size = 1 << 20 };
	uint8_t *frame = malloc(9216);
	uint32_t i;

	net_guest_reopen(f->guest, &options);
	net_guest_start(f->guest);
	for (i = 0; i < 60; i++)
		assert_int_equal(plug_offer(&f->plug, frame, fill_frame(frame, 9216, i)),
		                 KMCL_NET_DONE);
	f->plug.port->ops->flush(f->plug.port);
	for (i = 0; i < 60; i++) {
		fill_frame(frame, 9216, i);
		expect_frame(f, frame, 9216);
	}
	free(frame);
}

static void what_is_said_about_frames(void **state)
{
	struct fixture *f = *state;
	struct kmcl_net_received received = { .length = 500 };
	struct net_guest_frame *got;
	uint8_t frame[500], tagged[504];
	uint32_t bits;

	received.data = frame;
	for (bits = 0; bits < 8; bits++) {
		bool ip6 = bits & 1, udp = bits & 2;
		uint32_t start = ip6 ? 54 : 34;

		fill_ip(frame, sizeof(frame), ip6, udp, 5);
		received.checksum_valid = !(bits & 4);
		received.checksum_start = 0;
		if (bits & 4) { /* the outside left it to be done */
			plug_sum_pseudo(frame, sizeof(frame));
			received.checksum_start = (uint16_t)start;
			received.checksum_offset = udp ? 6 : 16;
		}
		f->plug.port->ops->receive(f->plug.port, &received);
		f->plug.port->ops->flush(f->plug.port);
		got = net_guest_receive(f->guest);
		assert_true(got->has_checksum);
		assert_int_equal(got->checksum, udp ? RNDIS_RX_UDP_GOOD : RNDIS_RX_TCP_GOOD);
		assert_int_equal(got->length, 500);
		if (bits & 4)
			assert_true(transport_sum_is_right(got->data, 500));
		free(got);
	}
	/* nobody looked at this one */
	plug_deliver(&f->plug, frame, sizeof(frame));
	got = net_guest_receive(f->guest);
	assert_false(got->has_checksum || got->has_vlan || got->has_hash);
	free(got);
	/* a tag travels beside the frame */
	memcpy(tagged, frame, 12);
	memcpy(tagged + 12, "\x81\x00\x60\x07", 4);
	memcpy(tagged + 16, frame + 12, sizeof(frame) - 12);
	plug_deliver(&f->plug, tagged, sizeof(tagged));
	got = net_guest_receive(f->guest);
	assert_true(got->has_vlan);
	assert_int_equal(got->vlan, 3 | 7 << 4);
	assert_int_equal(got->length, sizeof(frame));
	assert_memory_equal(got->data, frame, sizeof(frame));
	free(got);
	/* and a checksum left to be done moves with the rest */
	received = (struct kmcl_net_received){
		.data = tagged, .length = sizeof(tagged), .checksum_start = 58, .checksum_offset = 6
	};
	net_put16(tagged + 64, 0);
	plug_sum_pseudo(tagged, sizeof(tagged));
	f->plug.port->ops->receive(f->plug.port, &received);
	f->plug.port->ops->flush(f->plug.port);
	got = net_guest_receive(f->guest);
	assert_true(got->has_vlan && got->has_checksum);
	assert_true(transport_sum_is_right(got->data, got->length));
	free(got);
}

static void a_guest_without_tags_gets_them_in_the_frame(void **state)
{
	struct fixture *f = *state;
	struct net_guest_options options = { .capabilities = NVSP_CAPABILITY_TEAMING };
	uint8_t frame[100];

	net_guest_reopen(f->guest, &options);
	net_guest_start(f->guest);
	fill_frame(frame, sizeof(frame), 1);
	memcpy(frame + 12, "\x81\x00\x60\x07", 4);
	plug_deliver(&f->plug, frame, sizeof(frame));
	expect_frame(f, frame, sizeof(frame));
}

static void only_what_the_filter_lets_in(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[100];

	fill_frame(frame, sizeof(frame), 1);
	frame[5] ^= 1;
	plug_deliver(&f->plug, frame, sizeof(frame));
	assert_int_equal(statistics(f).rx_filtered, 1);
	net_guest_filter(f->guest, NDIS_PACKET_TYPE_PROMISCUOUS);
	plug_deliver(&f->plug, frame, sizeof(frame));
	expect_frame(f, frame, sizeof(frame));
	net_guest_filter(f->guest, 0);
	assert_false(statistics(f).ready);
	frame[5] ^= 1;
	plug_deliver(&f->plug, frame, sizeof(frame));
	assert_int_equal(statistics(f).rx_filtered, 2);
	plug_deliver(&f->plug, frame, 13);
	assert_int_equal(statistics(f).rx_filtered, 3);
}

/* A slot is the guest's until it completes the packet: what is in it stays. */
static void slots_are_used_again_only_when_given_back(void **state)
{
	struct fixture *f = *state;
	uint32_t slots = statistics(f).slots, sent = 0, i, resumed;
	uint8_t frame[1000];

	net_wait(statistics(f).slots_free == slots);
	net_guest_hold(f->guest, true);
	while (plug_offer(&f->plug, frame, fill_frame(frame, sizeof(frame), sent)) ==
	       KMCL_NET_DONE) {
		sent++;
		assert_true(sent <= slots);
	}
	f->plug.port->ops->flush(f->plug.port);
	net_wait(f->guest->frame_count == sent);
	assert_true(sent >= slots - 16 && sent < slots); /* some are kept for answers */
	assert_int_equal(statistics(f).rx_waits, 1);
	assert_int_equal(statistics(f).slots_free, slots - sent);
	/* answers still come */
	net_guest_filter(f->guest, NDIS_PACKET_TYPE_DIRECTED);
	resumed = f->plug.resumed;
	KeStallExecutionProcessor(20000);
	assert_int_equal(f->plug.resumed, resumed);
	assert_int_equal(plug_offer(&f->plug, frame, sizeof(frame)), KMCL_NET_LATER);
	/* none of what the guest holds was written over */
	for (i = 0; i < sent; i++) {
		fill_frame(frame, sizeof(frame), i);
		expect_frame(f, frame, sizeof(frame));
	}
	net_guest_hold(f->guest, false);
	net_wait(f->plug.resumed > resumed);
	net_wait(statistics(f).slots_free == slots);
	plug_deliver(&f->plug, frame, sizeof(frame));
	expect_frame(f, frame, sizeof(frame));
}

/* With three slots, two for frames: answers wait until the guest has given one back. */
static void answers_wait_for_a_slot(void **state)
{
	struct fixture *f = *state;
	struct net_guest_options options = { .receive_size = 8192 };
	struct rndis_query request = { .oid = OID_GEN_LINK_SPEED, .offset = sizeof(request) };
	uint8_t *message = net_pool(64);
	uint32_t i, done, header[2] = { RNDIS_QUERY, 28 };

	net_guest_reopen(f->guest, &options);
	net_guest_start(f->guest);
	assert_int_equal(f->guest->section.slot_count, 4);
	net_wait(statistics(f).slots_free == 3);
	net_guest_hold(f->guest, true);
	done = f->guest->completed;
	for (i = 0; i < 10; i++) {
		request.request_id = 1000 + i;
		memcpy(message, header, 8);
		memcpy(message + 8, &request, sizeof(request));
		net_guest_send(f->guest, 0, NVSP_NO_SECTION, 0, message, 28);
		net_wait(f->guest->completed == done + i + 1);
	}
	net_wait(net_guest_held(f->guest) == 3);
	KeStallExecutionProcessor(20000);
	assert_int_equal(f->guest->message_count, 3);
	net_guest_hold(f->guest, false);
	net_wait(f->guest->message_count == 10);
	for (i = 0; i < 10; i++) {
		uint32_t id;

		memcpy(&id, f->guest->messages[i] + 8, 4);
		assert_int_equal(id, 1000 + i);
	}
	ExFreePoolWithTag(message, NET_GUEST_TAG);
}

/* ---- queues ---- */

static void flows_are_spread_over_queues(void **state)
{
	struct fixture *f = *state;
	uint32_t i, expected[QUEUES] = { 0 }, total = 0;
	uint8_t frame[100], key[NDIS_RSS_KEY_SIZE];
	struct net_guest_frame *got;
	struct net_packet p;

	net_guest_subchannels(f->guest, QUEUES - 1);
	net_wait(f->guest->table_count == 1);
	for (i = 0; i < NVSP_INDIRECTION_ENTRIES; i++)
		assert_int_equal(f->guest->table[i], i % QUEUES);
	net_guest_rss(f->guest, QUEUES, NDIS_HASH_IP4 | NDIS_HASH_TCP_IP4);
	for (i = 0; i < NDIS_RSS_KEY_SIZE; i++)
		key[i] = (uint8_t)(i * 37 + 11);
	for (i = 0; i < 400; i++) {
		uint32_t hash = 0;

		fill_ip(frame, sizeof(frame), false, false, (uint16_t)(i + 1));
		net_packet_parse(&p, frame, sizeof(frame), sizeof(frame), false);
		assert_true(net_packet_hash(&p, frame, NDIS_HASH_TCP_IP4, key, &hash));
		expected[net_guest_rss_queue(hash % 128, QUEUES)]++;
		plug_deliver(&f->plug, frame, sizeof(frame));
		got = net_guest_receive(f->guest);
		assert_int_equal(got->queue, net_guest_rss_queue(hash % 128, QUEUES));
		assert_true(got->has_hash);
		assert_int_equal(got->hash, hash);
		free(got);
	}
	for (i = 0; i < QUEUES; i++) {
		assert_int_equal(statistics(f).queue[i].rx_frames, expected[i]);
		assert_int_equal(f->guest->queues[i].frames, expected[i]);
		assert_in_range(expected[i], 40, 200);
		total += expected[i];
	}
	assert_int_equal(total, 400);
	/* what has no hash goes to the first */
	plug_deliver(&f->plug, frame, fill_frame(frame, sizeof(frame), 1));
	got = net_guest_receive(f->guest);
	assert_int_equal(got->queue, 0);
	assert_false(got->has_hash);
	free(got);
	/* and each queue sends */
	for (i = 0; i < QUEUES; i++) {
		fill_frame(frame, sizeof(frame), i);
		net_guest_send_frame(f->guest, i, NULL, frame, sizeof(frame));
		expect_sent(f, frame, sizeof(frame));
		assert_int_equal(statistics(f).queue[i].tx_frames, 1);
	}
	assert_int_equal(statistics(f).subchannels, QUEUES - 1);
}

static void subchannels_are_limited(void **state)
{
	struct fixture *f = *state;
	struct nvsp_message m = { .type = NVSP_SUBCHANNEL }, answer;
	static const uint32_t bad[][2] = {
		{ 1, 0 }, { 1, QUEUES }, { 1, 0xffffffff }, { 0, 1 }, { 2, 1 }
	};
	size_t i;

	for (i = 0; i < 5; i++) {
		m.subchannel_request.operation = bad[i][0];
		m.subchannel_request.count = bad[i][1];
		net_guest_say(f->guest, 0, &m, sizeof(m), &answer);
		assert_int_equal(answer.subchannel_complete.status, NVSP_STATUS_FAILURE);
	}
	net_guest_subchannels(f->guest, 1);
	m.subchannel_request.operation = 1;
	m.subchannel_request.count = 1;
	net_guest_say(f->guest, 0, &m, sizeof(m), &answer);
	assert_int_equal(answer.subchannel_complete.status, NVSP_STATUS_FAILURE);
	assert_int_equal(statistics(f).refused, 6);
	/* a subchannel is for data */
	net_guest_say(f->guest, 1, &m, sizeof(m), &answer);
	assert_int_equal(statistics(f).refused, 7);
	assert_int_equal(statistics(f).subchannels, 1);
}

/* ---- link ---- */

/* covers: kmcl_net_set_link, kmcl_net_set_speed */
static void the_link_goes_down_and_up(void **state)
{
	struct fixture *f = *state;
	uint32_t value = 0, status;
	uint8_t frame[100];

	fill_frame(frame, sizeof(frame), 1);
	kmcl_net_set_link(f->host, false);
	assert_int_equal(net_guest_indicated(f->guest, NULL), RNDIS_STATUS_MEDIA_DISCONNECT);
	net_guest_query(f->guest, OID_GEN_MEDIA_CONNECT_STATUS, &value, 4, &status);
	assert_int_equal(value, 1);
	net_guest_send_frame(f->guest, 0, NULL, frame, sizeof(frame));
	assert_int_equal(statistics(f).tx_dropped, 1);
	plug_deliver(&f->plug, frame, sizeof(frame));
	assert_int_equal(statistics(f).rx_filtered, 1);
	assert_false(statistics(f).link_up);
	kmcl_net_set_link(f->host, false); /* nothing changes */
	kmcl_net_set_link(f->host, true);
	assert_int_equal(net_guest_indicated(f->guest, NULL), RNDIS_STATUS_MEDIA_CONNECT);
	traffic_both_ways(f);
	kmcl_net_set_speed(f->host, 2500000000u);
	assert_int_equal(net_guest_indicated(f->guest, &value), RNDIS_STATUS_LINK_SPEED);
	assert_int_equal(value / 10000, 2500); /* as Linux makes Mbit/s of it */
	assert_int_equal(f->guest->message_count, 0);
	/* a guest that comes later finds it down */
	kmcl_net_set_link(f->host, false);
	net_guest_reopen(f->guest, NULL);
	net_guest_start(f->guest);
	net_guest_query(f->guest, OID_GEN_MEDIA_CONNECT_STATUS, &value, 4, &status);
	assert_int_equal(value, 1);
}

static void offloads_that_changed_are_told(void **state)
{
	struct fixture *f = *state;
	struct ndis_offload_parameters p = { .header = { NDIS_OBJECT_DEFAULT, 3, sizeof(p) },
		                             .tcp4_checksum = NDIS_CHECKSUM_OFF };
	struct kmcl_net_received received = { .length = 100, .checksum_valid = true };
	struct net_guest_frame *got;
	uint8_t frame[100];

	assert_int_equal(net_guest_set(f->guest, OID_TCP_OFFLOAD_PARAMETERS, &p, sizeof(p)), 0);
	assert_int_equal(net_guest_indicated(f->guest, NULL), RNDIS_STATUS_OFFLOAD_CONFIG);
	fill_ip(frame, sizeof(frame), false, false, 9);
	received.data = frame;
	f->plug.port->ops->receive(f->plug.port, &received);
	f->plug.port->ops->flush(f->plug.port);
	got = net_guest_receive(f->guest);
	assert_false(got->has_checksum);
	free(got);
}

/* ---- a guest that means harm, or has lost its way ---- */

static uint32_t transmit_status(struct fixture *f, uint32_t section, uint32_t bytes)
{
	uint32_t done = f->guest->completed;

	net_guest_send(f->guest, 0, section, bytes, NULL, 0);
	net_wait(f->guest->completed == done + 1);
	return f->guest->last_status;
}

static void sections_out_of_range(void **state)
{
	struct fixture *f = *state;
	uint32_t last = f->guest->options.send_size / 6144;

	assert_int_equal(transmit_status(f, last, 100), NVSP_STATUS_FAILURE);
	assert_int_equal(transmit_status(f, 0xfffffffe, 100), NVSP_STATUS_FAILURE);
	assert_int_equal(transmit_status(f, 0x80000000, 100), NVSP_STATUS_FAILURE);
	assert_int_equal(transmit_status(f, 0, 6145), NVSP_STATUS_FAILURE);
	assert_int_equal(transmit_status(f, last - 1, 0xffffffff), NVSP_STATUS_FAILURE);
	assert_int_equal(transmit_status(f, 0, 0), NVSP_STATUS_INVALID_RNDIS_PACKET);
	assert_int_equal(transmit_status(f, NVSP_NO_SECTION, 100),
	                 NVSP_STATUS_INVALID_RNDIS_PACKET);
	assert_int_equal(statistics(f).refused, 7);
	traffic_both_ways(f);
}

/* A good message with one word of it wrong. */
static void words_that_lie(void **state)
{
	static const uint32_t values[] = { 0,          1,          7,          43,        45,
		                           0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff };
	struct fixture *f = *state;
	uint8_t frame[200], *section = net_guest_section(f->guest, 2);
	struct net_guest_infos infos = { .has_checksum = true,
		                         .checksum = RNDIS_TX_IPV4 | RNDIS_TX_UDP_CHECKSUM,
		                         .has_vlan = true,
		                         .has_large_send = true,
		                         .large_send = 100 };
	uint32_t word, size, refused;
	struct sent *s;
	size_t i;

	fill_ip(frame, sizeof(frame), false, true, 1);
	for (word = 0; word < 25; word++) {
		for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
			size = net_guest_build(section, &infos, frame, sizeof(frame));
			memcpy(section + 4 * word, &values[i], 4);
			transmit_status(f, 2, size);
		}
	}
	/* some made sense after all */
	while ((s = plug_try_take(&f->plug)))
		free(s);
	refused = (uint32_t)statistics(f).refused;
	assert_true(refused > 50);
	net_guest_reopen(f->guest, NULL);
	net_guest_start(f->guest);
	traffic_both_ways(f);
}

static void a_message_behind_data_must_be_data(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[100], *section = net_guest_section(f->guest, 2);
	uint32_t size = net_guest_build(section, NULL, frame, fill_frame(frame, 100, 1)), refused;
	const uint32_t halt[3] = { RNDIS_HALT, 12, 1 };

	memcpy(section + size, halt, sizeof(halt));
	assert_int_equal(transmit_status(f, 2, size + 12), NVSP_STATUS_INVALID_RNDIS_PACKET);
	free(plug_take(&f->plug));
	refused = (uint32_t)statistics(f).refused;
	assert_int_equal(refused, 1);
	/* one that says it goes on behind the section */
	section[4] += 8;
	assert_int_equal(transmit_status(f, 2, size), NVSP_STATUS_INVALID_RNDIS_PACKET);
	section[4] -= 8;
	/* a tail that is too short to be anything */
	assert_int_equal(transmit_status(f, 2, size + 4), NVSP_STATUS_INVALID_RNDIS_PACKET);
	free(plug_take(&f->plug));
	traffic_both_ways(f);
}

static void control_messages_that_lie(void **state)
{
	struct fixture *f = *state;
	uint32_t type, length, words[16] = { 0 }, count = 0;
	uint8_t *section = net_guest_section(f->guest, 4);

	for (type = 0; type < 12; type++) {
		for (length = 0; length < 68; length += 4) {
			words[0] = type;
			words[1] = length;
			memcpy(section, words, sizeof(words));
			transmit_status(f, 4, sizeof(words));
			count++;
			net_guest_hold(f->guest, false);
			pthread_mutex_lock(&f->guest->lock);
			while (f->guest->message_count)
				free(f->guest->messages[--f->guest->message_count]);
			pthread_mutex_unlock(&f->guest->lock);
		}
	}
	assert_true(statistics(f).refused > count / 2);
	net_guest_reopen(f->guest, NULL);
	net_guest_start(f->guest);
	traffic_both_ways(f);
}

static void short_and_unknown_messages(void **state)
{
	struct fixture *f = *state;
	struct nvsp_message m = { 0 }, answer;
	uint32_t type, size, before = (uint32_t)statistics(f).refused, said = 0;

	/* Lengths that are too short for each type there is; a ring makes 8 of both, which is
	 * enough for three of them. */
	for (type = 1; type <= 140; type++) {
		uint8_t bytes[8] = { 0 };

		memcpy(bytes, &type, 4);
		if (type == NVSP_REVOKE_RECEIVE_BUFFER || type == NVSP_REVOKE_SEND_BUFFER ||
		    type == NVSP_SWITCH_DATA_PATH)
			continue;
		for (size = 4; size < 6; size++, said++)
			net_guest_say(f->guest, 0, bytes, size, &answer);
	}
	assert_int_equal(statistics(f).refused, before + said);
	for (type = 135; type < 150; type++, said++) {
		m.type = type;
		assert_int_equal(net_guest_say(f->guest, 0, &m, sizeof(m), &answer), 0);
	}
	assert_int_equal(statistics(f).refused, before + said);
	traffic_both_ways(f);
}

static void newer_messages_in_an_older_version(void **state)
{
	struct fixture *f = *state;
	static const uint32_t types[] = { NVSP_SEND_NDIS_CONFIG, NVSP_SWITCH_DATA_PATH,
		                          NVSP_OID_QUERY_EX, NVSP_SUBCHANNEL };
	struct net_guest_options options = { .version = NVSP_VERSION_1 };
	struct nvsp_message m = { 0 }, answer;
	size_t i;

	net_guest_reopen(f->guest, &options);
	net_guest_start(f->guest);
	for (i = 0; i < 4; i++) {
		m.type = types[i];
		assert_int_equal(net_guest_say(f->guest, 0, &m, sizeof(m), &answer), 0);
	}
	assert_int_equal(statistics(f).refused, 4);
}

static void questions_with_other_answers(void **state)
{
	struct fixture *f = *state;
	struct nvsp_message m = { .type = NVSP_OID_QUERY_EX }, answer;

	net_guest_say(f->guest, 0, &m, sizeof(m), &answer);
	assert_int_equal(answer.type, NVSP_OID_QUERY_EX_COMPLETE);
	assert_int_equal(answer.oid_query_ex_complete.status, RNDIS_STATUS_NOT_SUPPORTED);
	/* Linux wants an empty answer to this, and has no other */
	m = (struct nvsp_message){ .type = NVSP_SWITCH_DATA_PATH };
	assert_int_equal(net_guest_say(f->guest, 0, &m, sizeof(m), &answer), 0);
	assert_int_equal(statistics(f).refused, 0);
}

static void buffers_in_the_wrong_order(void **state)
{
	struct fixture *f = *state;
	struct nvsp_message m = { .type = NVSP_SEND_RECEIVE_BUFFER }, answer;

	/* nothing is known before INIT */
	assert_int_equal(net_guest_say(f->guest, 0, &m, sizeof(m), &answer), 0);
	assert_int_equal(net_guest_init(f->guest, NVSP_VERSION_61), NVSP_STATUS_SUCCESS);
	/* without the MTU nobody knows how large a slot is */
	net_guest_say(f->guest, 0, &m, sizeof(m), &answer);
	assert_int_equal(answer.receive_buffer_complete.status, NVSP_STATUS_FAILURE);
	net_guest_config(f->guest);
	/* RNDIS without a place for its answers */
	assert_int_equal(transmit_status(f, NVSP_NO_SECTION, 0), NVSP_STATUS_FAILURE);
	assert_int_equal(transmit_status(f, 0, 100), NVSP_STATUS_FAILURE);
	/* GPADLs that there are not */
	m.buffer.gpadl = 0x12345;
	net_guest_say(f->guest, 0, &m, sizeof(m), &answer);
	assert_int_equal(answer.receive_buffer_complete.status, NVSP_STATUS_FAILURE);
	m.type = NVSP_SEND_SEND_BUFFER;
	net_guest_say(f->guest, 0, &m, sizeof(m), &answer);
	assert_int_equal(answer.send_buffer_complete.status, NVSP_STATUS_FAILURE);
	assert_int_equal(net_guest_give_buffers(f->guest), NVSP_STATUS_SUCCESS);
	/* a second time */
	assert_int_equal(net_guest_give_buffers(f->guest), NVSP_STATUS_FAILURE);
	m.buffer.gpadl = f->guest->send_gpadl;
	net_guest_say(f->guest, 0, &m, sizeof(m), &answer);
	assert_int_equal(answer.send_buffer_complete.status, NVSP_STATUS_FAILURE);
	/* the configuration comes before them */
	m = (struct nvsp_message){ .type = NVSP_SEND_NDIS_CONFIG };
	m.ndis_config.mtu = 9014;
	net_guest_say(f->guest, 0, &m, sizeof(m), &answer);
	assert_int_equal(statistics(f).mtu, 1514);
	net_guest_rndis_init(f->guest);
	net_guest_filter(f->guest, NDIS_PACKET_TYPE_DIRECTED);
	traffic_both_ways(f);
}

static void buffers_of_odd_sizes(void **state)
{
	struct fixture *f = *state;
	/* more than 32 MiB do not fit into a GPADL */
	static const uint32_t bad[] = { 2048, 5000, 4096 + 2048 };
	struct net_guest_options options = { 0 };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		options.receive_size = bad[i];
		net_guest_reopen(f->guest, &options);
		assert_int_equal(net_guest_init(f->guest, NVSP_VERSION_61), NVSP_STATUS_SUCCESS);
		net_guest_config(f->guest);
		assert_int_equal(net_guest_give_buffers(f->guest), NVSP_STATUS_FAILURE);
	}
	options.receive_size = 16 << 20; /* Linux's */
	options.send_size = 1 << 20;
	net_guest_reopen(f->guest, &options);
	net_guest_start(f->guest);
	assert_int_equal(f->guest->section.slot_count, (16 << 20) / 1806);
	traffic_both_ways(f);
}

static void buffers_are_taken_back(void **state)
{
	struct fixture *f = *state;
	struct nvsp_message revoke = { .type = NVSP_REVOKE_RECEIVE_BUFFER }, answer;
	uint8_t frame[100];

	net_guest_hold(f->guest, true);
	plug_deliver(&f->plug, frame, fill_frame(frame, sizeof(frame), 1));
	net_wait(net_guest_held(f->guest) == 1);
	revoke.revoke.id = NET_GUEST_SET;
	net_guest_say(f->guest, 0, &revoke, sizeof(revoke), &answer);
	/* it is the guest's alone: the GPADL can go while the channel is open */
	VmbChannelDeleteGpadl(f->guest->queues[0].vmb, f->guest->receive_gpadl);
	f->guest->receive_gpadl = 0;
	memset(f->guest->receive, 0xab, f->guest->options.receive_size);
	assert_int_equal(plug_offer(&f->plug, frame, sizeof(frame)), KMCL_NET_DONE);
	f->plug.port->ops->flush(f->plug.port);
	net_guest_hold(f->guest, false);
	assert_int_equal(f->guest->receive[256], 0xab);
	/* no other is taken before the channel was closed */
	assert_int_equal(net_guest_give_receive_buffer(f->guest), NVSP_STATUS_FAILURE);
	revoke.type = NVSP_REVOKE_SEND_BUFFER;
	net_guest_say(f->guest, 0, &revoke, sizeof(revoke), &answer);
	VmbChannelDeleteGpadl(f->guest->queues[0].vmb, f->guest->send_gpadl);
	f->guest->send_gpadl = 0;
	assert_int_equal(transmit_status(f, 0, 100), NVSP_STATUS_FAILURE);
	net_guest_say(f->guest, 0, &revoke, sizeof(revoke), &answer); /* once more does no harm */
	net_guest_reopen(f->guest, NULL);
	net_guest_start(f->guest);
	traffic_both_ways(f);
}

/* Subchannels go on sending from the send buffer while it is taken back. */
static void taken_back_under_load(void **state)
{
	struct fixture *f = *state;
	struct nvsp_message revoke = { .type = NVSP_REVOKE_SEND_BUFFER }, answer;
	uint8_t frame[400];
	uint32_t round, i;
	struct sent *s;

	for (round = 0; round < 5; round++) {
		uint32_t size, done;

		net_guest_subchannels(f->guest, QUEUES - 1);
		fill_frame(frame, sizeof(frame), round);
		size = net_guest_build(net_guest_section(f->guest, 0), NULL, frame, sizeof(frame));
		done = f->guest->completed;
		for (i = 0; i < 300; i++) {
			net_guest_send(f->guest, i % QUEUES, 0, size, NULL, 0);
			if (i == 150)
				net_guest_say(f->guest, 0, &revoke, sizeof(revoke), &answer);
		}
		net_wait(f->guest->completed == done + 300);
		while ((s = plug_try_take(&f->plug))) {
			assert_memory_equal(s->data, frame, sizeof(frame));
			free(s);
		}
		net_guest_reopen(f->guest, NULL);
		net_guest_start(f->guest);
	}
}

static void completions_that_are_none(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[100], nonsense[64] = { 0 };
	VMBPACKETCOMPLETION held;

	net_guest_hold(f->guest, true);
	plug_deliver(&f->plug, frame, fill_frame(frame, sizeof(frame), 1));
	net_wait(net_guest_held(f->guest) == 1);
	held = f->guest->held[0];
	f->guest->held_count = 0;
	VmbChannelPacketComplete(held, nonsense, sizeof(nonsense));
	net_wait(statistics(f).refused == 1);
	plug_deliver(&f->plug, frame, sizeof(frame));
	net_wait(net_guest_held(f->guest) == 1);
	held = f->guest->held[0];
	f->guest->held_count = 0;
	VmbChannelPacketComplete(held, NULL, 0);
	net_wait(statistics(f).refused == 2);
	net_guest_hold(f->guest, false);
	/* the slots came back all the same */
	net_wait(statistics(f).slots_free == statistics(f).slots);
}

/* The channel goes while frames are on their way in both directions. */
static void closed_with_everything_in_flight(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[300], *section = net_guest_section(f->guest, 1);
	uint32_t i, size;

	f->plug.result = KMCL_NET_LATER;
	fill_frame(frame, sizeof(frame), 1);
	size = net_guest_build(section, NULL, frame, sizeof(frame));
	net_guest_hold(f->guest, true);
	for (i = 0; i < 20; i++)
		net_guest_send(f->guest, 0, 1, size, NULL, 0);
	while (plug_offer(&f->plug, frame, sizeof(frame)) == KMCL_NET_DONE)
		;
	net_wait(f->plug.kept_count == 20);
	/* the back end is done with them some time later */
	for (i = 0; i < 20; i++)
		f->plug.port->ops->sent(f->plug.port, f->plug.kept[i]);
	f->plug.kept_count = 0;
	f->plug.result = KMCL_NET_DONE;
	i = f->plug.resumed;
	net_guest_reopen(f->guest, NULL);
	assert_true(f->plug.resumed > i); /* what it offered is not wanted any more */
	assert_int_equal(plug_offer(&f->plug, frame, sizeof(frame)), KMCL_NET_DONE);
	net_guest_start(f->guest);
	for (i = 0; i < 20; i++)
		free(plug_take(&f->plug));
	traffic_both_ways(f);
}

/* The adapter is unplugged from the machine while the guest uses it. */
static void withdrawn_while_in_use(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[300];
	uint32_t i;

	net_guest_subchannels(f->guest, 2);
	fill_frame(frame, sizeof(frame), 1);
	for (i = 0; i < 50; i++)
		plug_deliver(&f->plug, frame, sizeof(frame));
	kmcl_net_destroy(f->host);
	f->host = NULL;
	assert_true(f->plug.destroyed);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_version_works, setup_bus, teardown),
		cmocka_unit_test_setup_teardown(versions_nobody_has_are_not_agreed_to, setup_open,
		                                teardown),
		cmocka_unit_test_setup_teardown(the_mtu_is_the_guests_to_choose, setup, teardown),
		cmocka_unit_test_setup_teardown(opened_and_closed_many_times, setup, teardown),
		cmocka_unit_test_setup_teardown(options_are_checked, setup_bus, teardown),
		cmocka_unit_test_setup_teardown(by_the_send_buffer, setup, teardown),
		cmocka_unit_test_setup_teardown(several_in_one_section, setup, teardown),
		cmocka_unit_test_setup_teardown(by_reference, setup, teardown),
		cmocka_unit_test_setup_teardown(begun_in_a_section_and_continued_elsewhere, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(the_back_end_may_take_its_time, setup, teardown),
		cmocka_unit_test_setup_teardown(checksums_are_computed, setup, teardown),
		cmocka_unit_test_setup_teardown(offloads_that_do_not_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(large_sends_are_segmented, setup, teardown),
		cmocka_unit_test_setup_teardown(large_sends_go_whole_to_who_can, setup, teardown),
		cmocka_unit_test_setup_teardown(tags_are_put_in, setup, teardown),
		cmocka_unit_test_setup_teardown(frames_arrive_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(long_frames_in_a_row, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_said_about_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(a_guest_without_tags_gets_them_in_the_frame, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(only_what_the_filter_lets_in, setup, teardown),
		cmocka_unit_test_setup_teardown(slots_are_used_again_only_when_given_back, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(answers_wait_for_a_slot, setup, teardown),
		cmocka_unit_test_setup_teardown(flows_are_spread_over_queues, setup, teardown),
		cmocka_unit_test_setup_teardown(subchannels_are_limited, setup, teardown),
		cmocka_unit_test_setup_teardown(the_link_goes_down_and_up, setup, teardown),
		cmocka_unit_test_setup_teardown(offloads_that_changed_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(sections_out_of_range, setup, teardown),
		cmocka_unit_test_setup_teardown(words_that_lie, setup, teardown),
		cmocka_unit_test_setup_teardown(a_message_behind_data_must_be_data, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(control_messages_that_lie, setup, teardown),
		cmocka_unit_test_setup_teardown(short_and_unknown_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(newer_messages_in_an_older_version, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(questions_with_other_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(buffers_in_the_wrong_order, setup_open, teardown),
		cmocka_unit_test_setup_teardown(buffers_of_odd_sizes, setup_open, teardown),
		cmocka_unit_test_setup_teardown(buffers_are_taken_back, setup, teardown),
		cmocka_unit_test_setup_teardown(taken_back_under_load, setup, teardown),
		cmocka_unit_test_setup_teardown(completions_that_are_none, setup, teardown),
		cmocka_unit_test_setup_teardown(closed_with_everything_in_flight, setup, teardown),
		cmocka_unit_test_setup_teardown(withdrawn_while_in_use, setup, teardown),
	};

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
