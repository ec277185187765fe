/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several processors: one has the bus, and each channel that is apart has one that polls it and one
 * that sends on it. ThreadSanitizer sees all of it but what the rings order, which the host reads
 * and writes through addresses of its own (kmcl/tsan.h).
 */
#include "machine.h"

#include <kmcl/echo.h>
#include <kmcl/host.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LANES      3u
#define RING_PAGES 5u
#define DEPTH      16u
#define PAYLOAD    200u
#define ROUNDS     3000u

static const uint8_t echo_type[16] = { 0x6c, 0x63, 0x6d, 0x6b, 0x10, 0x00, 0x00, 0x40,
	                               0x80, 0x65, 0x63, 0x68, 0x6f, 0x00, 0x00, 0x01 };
static const char *scheme = "local";

/* A request: the sender's while it is idle, and the poller's while it is not. */
struct slot {
	uint8_t payload[PAYLOAD];
	uint32_t size;
	_Atomic bool busy;
};

/* A channel with its two processors. */
struct lane {
	struct guest *guest;
	struct vg_channel *channel; /* NULL: not offered */
	uint8_t *rings;
	struct slot slots[DEPTH];
	pthread_t poller, sender;
	_Atomic bool stop;
	_Atomic uint32_t answered, lost, wrong;
	bool runs;
	/* of the bus's processor */
	uint32_t opened, ended, closed;
	enum vg_status open_status, why;
};

struct guest {
	struct machine m;
	struct kmcl_host *host;
	struct kmcl_echo *echoes[LANES];
	struct lane lanes[LANES];
	uint32_t offered, removed, unloaded, all_offered;
};

static void on_offered(void *context, struct vg_channel *channel, const struct vg_offer *offer)
{
	struct guest *g = context;
	uint32_t i = offer->instance.bytes[0] - 1u;

	if (memcmp(offer->type.bytes, echo_type, sizeof(echo_type)) != 0)
		return;
	assert_in_range(i, 0, LANES - 1);
	g->lanes[i].channel = channel;
	g->all_offered = ++g->offered >= LANES;
}

static void on_removed(void *context, struct vg_channel *channel)
{
	struct guest *g = context;

	g->removed++;
}

static void on_unloaded(void *context)
{
	struct guest *g = context;

	g->unloaded++;
}

static void on_opened(void *context, struct vg_channel *channel, enum vg_status status)
{
	struct lane *l = context;

	l->open_status = status;
	l->opened++;
}

static void on_packet(void *context, struct vg_channel *channel, const struct vg_packet *packet)
{
	struct lane *l = context;

	l->wrong++;
}

static void on_completed(void *context, struct vg_channel *channel, void *cookie,
                         enum vg_status status, const void *answer, uint32_t size)
{
	struct lane *l = context;
	struct slot *slot = cookie;

	if (!slot->busy || (status == VG_OK &&
	                    (size < slot->size || memcmp(answer, slot->payload, slot->size) != 0)))
		l->wrong++;
	if (status == VG_OK)
		l->answered++;
	else
		l->lost++;
	slot->busy = false;
}

static void on_ended(void *context, struct vg_channel *channel, enum vg_status why)
{
	struct lane *l = context;

	l->ended++;
}

static void on_closed(void *context, struct vg_channel *channel, enum vg_status why)
{
	struct lane *l = context;

	l->why = why;
	l->closed++;
}

/* ---- the processors ---- */

static void *poll_lane(void *context)
{
	struct lane *l = context;

	while (!l->stop)
		if (vg_channel_poll(l->channel, 8) == 0)
			sched_yield();
	return NULL;
}

static bool send_one(struct lane *l, struct slot *slot, uint32_t number)
{
	struct vg_send send = { .payload = slot->payload, .cookie = slot, .more = number % 3 };
	enum vg_status status;

	slot->size = 8 + number * 7 % (PAYLOAD - 7);
	memset(slot->payload, (int)number, sizeof(slot->payload));
	memcpy(slot->payload, &(uint32_t[]){ 1, number }, 8); /* ECHO_ECHO */
	send.size = slot->size;
	slot->busy = true;
	status = vg_send(l->channel, &send);
	if (status == VG_OK)
		return true;
	slot->busy = false;
	if (status != VG_FULL && status != VG_GONE)
		l->wrong++;
	return false;
}

static void *send_on_lane(void *context)
{
	struct lane *l = context;
	uint32_t number = 0;

	while (!l->stop) {
		struct slot *slot = &l->slots[number % DEPTH];

		if (!slot->busy && send_one(l, slot, number)) {
			number++;
			continue;
		}
		vg_flush(l->channel);
		sched_yield();
	}
	vg_flush(l->channel);
	return NULL;
}

static void lane_start(struct lane *l)
{
	l->stop = false;
	l->answered = l->lost = l->wrong = 0;
	l->runs = true;
	assert_int_equal(pthread_create(&l->poller, NULL, poll_lane, l), 0);
	assert_int_equal(pthread_create(&l->sender, NULL, send_on_lane, l), 0);
}

static void lane_stop(struct lane *l)
{
	l->stop = true;
	pthread_join(l->sender, NULL);
	pthread_join(l->poller, NULL);
	l->runs = false;
}

/* ---- a guest and its host ---- */

static void serve(struct guest *g, uint32_t i)
{
	struct kmcl_echo_options options = { .size = sizeof(options) };

	((uint8_t *)&options.instance)[0] = (uint8_t)(i + 1);
	assert_int_equal(kmcl_echo_create(g->host, &options, &g->echoes[i]), 0);
}

static struct guest *guest_start(void)
{
	struct vg_contact contact = { .message_sint = 2 };
	struct guest *g = calloc(1, sizeof(*g));
	static unsigned int number;
	char uri[128];

	snprintf(uri, sizeof(uri), "%s:%skit-processors-%d-%u", scheme,
	         strcmp(scheme, "unix") == 0 ? "/tmp/kmcl-" : "", getpid(), number++);
	assert_int_equal(kmcl_host_create(uri, NULL, &g->host), 0);
	for (uint32_t i = 0; i < LANES; i++)
		serve(g, i);
	g->m.events = (struct vg_events){
		.context = g, .offered = on_offered, .removed = on_removed, .unloaded = on_unloaded
	};
	machine_start(&g->m, uri);
	assert_int_equal(vg_connect(g->m.vg, &contact), VG_OK);
	machine_run(&g->m, &g->all_offered);
	return g;
}

static void guest_stop(struct guest *g)
{
	assert_int_equal(vg_unload(g->m.vg), VG_OK);
	machine_run(&g->m, &g->unloaded);
	machine_stop(&g->m);
	for (uint32_t i = 0; i < LANES; i++)
		kmcl_echo_destroy(g->echoes[i]);
	kmcl_host_destroy(g->host);
	free(g);
}

static struct vg_open lane_how(struct lane *l)
{
	return (struct vg_open){
		.events = { .context = l,
		            .opened = on_opened,
		            .packet = on_packet,
		            .completed = on_completed,
		            .ended = on_ended,
		            .closed = on_closed },
		.rings = l->rings,
		.out_pages = RING_PAGES,
		.in_pages = RING_PAGES,
		.payload_max = PAYLOAD,
		.requests_max = DEPTH,
		.apart = true,
	};
}

static void lane_open(struct guest *g, uint32_t i)
{
	struct lane *l = &g->lanes[i];
	struct vg_open how;

	l->guest = g;
	if (!l->rings)
		l->rings = machine_pages(&g->m, 2 * RING_PAGES);
	how = lane_how(l);
	l->opened = l->ended = l->closed = 0;
	assert_int_equal(vg_open(l->channel, &how), VG_OK);
	machine_run(&g->m, &l->opened);
	assert_int_equal(l->open_status, VG_OK);
	lane_start(l);
}

static void lane_close(struct guest *g, struct lane *l, enum vg_status why)
{
	lane_stop(l);
	assert_int_equal(vg_close(l->channel), VG_OK);
	machine_run(&g->m, &l->closed);
	assert_int_equal(l->why, why);
	assert_int_equal(l->wrong, 0);
	for (uint32_t i = 0; i < DEPTH; i++)
		assert_false(l->slots[i].busy);
}

/* Until so many more are answered, with the bus polled beside. */
static void run_lane(struct guest *g, struct lane *l, uint32_t more)
{
	uint32_t from = l->answered;
	uint64_t until = machine_ms() + MACHINE_WAIT_MS;

	while (l->answered - from < more) {
		machine_feed(&g->m);
		assert_int_equal(vg_poll(g->m.vg, 64), 0); /* nobody's but their own processors' */
		assert_true(vg_sleep(g->m.vg));
		sched_yield();
		assert_true(machine_ms() < until);
	}
}

static void each_channel_has_its_own(void **state)
{
	struct guest *g = guest_start();

	for (uint32_t i = 0; i < LANES; i++)
		lane_open(g, i);
	for (uint32_t i = 0; i < LANES; i++)
		run_lane(g, &g->lanes[i], ROUNDS);
	for (uint32_t i = 0; i < LANES; i++)
		lane_close(g, &g->lanes[i], VG_OK);
	assert_int_equal(g->m.faults, 0);
	guest_stop(g);
}

/* One goes while its processors are at it, and comes again; the others never notice. */
static void one_goes_and_the_others_stay(void **state)
{
	struct guest *g = guest_start();
	struct lane *l = &g->lanes[0];

	for (uint32_t i = 0; i < LANES; i++)
		lane_open(g, i);
	for (int round = 0; round < 5; round++) {
		run_lane(g, l, 100);
		g->removed = 0;
		kmcl_echo_destroy(g->echoes[0]);
		machine_run(&g->m, &l->ended);
		assert_int_equal(l->closed, 0); /* it waits for who has the channel */
		lane_close(g, l, VG_GONE);
		machine_run(&g->m, &g->removed);
		for (uint32_t i = 1; i < LANES; i++)
			run_lane(g, &g->lanes[i], 100);
		g->offered = LANES - 1;
		g->all_offered = 0;
		serve(g, 0);
		machine_run(&g->m, &g->all_offered);
		lane_open(g, 0);
	}
	for (uint32_t i = 0; i < LANES; i++)
		lane_close(g, &g->lanes[i], VG_OK);
	assert_int_equal(g->m.faults, 0);
	guest_stop(g);
}

/* Nobody but who has the channel may close it, so he has to hear that it came to its end. */
static void one_that_is_apart_hears_of_its_end(void **state)
{
	struct guest *g = guest_start();
	struct lane *l = &g->lanes[0];
	struct vg_open how;

	l->rings = machine_pages(&g->m, 2 * RING_PAGES);
	how = lane_how(l);
	how.events.ended = NULL;
	assert_int_equal(vg_open(l->channel, &how), VG_INVALID);
	guest_stop(g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_channel_has_its_own),
		cmocka_unit_test(one_goes_and_the_others_stay),
		cmocka_unit_test(one_that_is_apart_hears_of_its_end),
	};

	scheme = argc > 1 ? argv[1] : "local";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
