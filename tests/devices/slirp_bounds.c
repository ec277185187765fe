/* SPDX-License-Identifier: BSD-2-Clause */
/* What a guest may have libslirp hold is looked at with each frame, and the clock is not. What it
 * bounds is in net_flood.c and net_outside.c, with libslirp. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/net_packet.h"
#include "net/slirp_bounds.h"

#include <netinet/tcp.h>
#include <string.h>

#define GUEST   0x0a00020fu
#define PEER    0xc0000201u
#define HEADERS 54u
#define FULL    1514u
#define FRAMES  100u

static struct slirp_bounds bounds;
static int64_t now, asked; /* what the clock says, and how often it was asked */
static uint8_t frame[FULL];

static int64_t look_at_clock(void)
{
	asked++;
	return now;
}

/* TCP over IPv4, of the guest's first connection or for it. */
static void make_frame(bool from_guest, uint32_t sequence, uint32_t acknowledged, uint8_t flags,
                       uint32_t length)
{
	memset(frame, 0, sizeof(frame));
	net_put16(frame + 12, NET_ETHERTYPE_IP4);
	frame[14] = 0x45;
	net_put16(frame + 16, length - NET_ETHERNET_HEADER);
	frame[23] = NET_PROTOCOL_TCP;
	net_put32(frame + 26, from_guest ? GUEST : PEER);
	net_put32(frame + 30, from_guest ? PEER : GUEST);
	net_put16(frame + 34, from_guest ? 1024 : 80);
	net_put16(frame + 36, from_guest ? 80 : 1024);
	net_put32(frame + 38, sequence);
	net_put32(frame + 42, acknowledged);
	frame[46] = 5 << 4;
	frame[47] = flags;
}

static bool guest_sends(uint32_t sequence, uint8_t flags, uint32_t length)
{
	make_frame(true, sequence, 1, flags, length);
	return slirp_bounds_take(&bounds, frame, length);
}

static void libslirp_sends(uint32_t acknowledged, uint8_t flags)
{
	make_frame(false, 1, acknowledged, flags, HEADERS);
	slirp_bounds_sent(&bounds, frame, HEADERS);
}

static void libslirp_asks_for(uint32_t address)
{
	memset(frame, 0, 42);
	net_put16(frame + 12, 0x0806); /* ARP: who has it? */
	net_put16(frame + 20, 1);
	net_put32(frame + 38, address);
	slirp_bounds_sent(&bounds, frame, 42);
}

static int begin(void **state)
{
	now = 1;
	asked = 0;
	slirp_bounds_init(&bounds, (struct in_addr){ 0 }, look_at_clock);
	return 0;
}

static int end(void **state)
{
	slirp_bounds_destroy(&bounds);
	return 0;
}

static void open_connection(void)
{
	assert_true(guest_sends(0, TH_SYN, HEADERS));
	slirp_bounds_opened(&bounds, 5);
	slirp_bounds_used(&bounds);
	libslirp_sends(1, TH_SYN | TH_ACK);
}

static void what_is_in_order_takes_no_look_at_the_clock(void **state)
{
	uint32_t sequence = 1;

	open_connection();
	for (unsigned int i = 0; i < FRAMES; i++) {
		assert_true(guest_sends(sequence, TH_ACK, FULL));
		sequence += FULL - HEADERS;
		libslirp_sends(sequence, TH_ACK);
	}
	assert_true(slirp_bounds_lets_in(&bounds, 5));
	assert_int_equal(asked, 0);
}

static void what_is_early_is_counted_without_one(void **state)
{
	unsigned int taken = 0;

	open_connection();
	while (guest_sends(2 + taken, TH_ACK, HEADERS + 1))
		taken++;
	assert_in_range(taken, 1, SLIRP_EARLY_FLOW / HEADERS);
	assert_int_equal(bounds.early, bounds.flows[SLIRP_SOCKETS_MAX - 1].early);
	libslirp_sends(2 + taken, TH_ACK); /* all of it was in order then */
	assert_int_equal(bounds.early, 0);
	assert_int_equal(asked, 0);
}

static void who_is_at_a_limit_is_free_again_in_time(void **state)
{
	open_connection();
	for (unsigned int i = 0; i < SLIRP_UNRESOLVED_MAX; i++)
		libslirp_asks_for(0x0a000300u + i);
	assert_false(guest_sends(1, TH_ACK, FULL));
	now += 2 * SLIRP_UNRESOLVED_NS;
	assert_true(guest_sends(1, TH_ACK, FULL));
}

static void who_was_asked_for_may_not_begin_until_then(void **state)
{
	libslirp_asks_for(GUEST);
	assert_false(guest_sends(0, TH_SYN, HEADERS));
	now += SLIRP_UNRESOLVED_NS;
	assert_true(guest_sends(0, TH_SYN, HEADERS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_in_order_takes_no_look_at_the_clock, begin,
		                                end),
		cmocka_unit_test_setup_teardown(what_is_early_is_counted_without_one, begin, end),
		cmocka_unit_test_setup_teardown(who_is_at_a_limit_is_free_again_in_time, begin,
		                                end),
		cmocka_unit_test_setup_teardown(who_was_asked_for_may_not_begin_until_then, begin,
		                                end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
