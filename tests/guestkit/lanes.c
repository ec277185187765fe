/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A controller's channels, of which each is a processor's own: it polls the channel and has
 * requests done there, while another one has the bus. And the same with one processor for all.
 */
#include "machine.h"

#include <kmcl/disk.h>
#include <kmcl/host.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../temporary.h"

#define LANES    3u /* the controller, and its subchannels */
#define ROUNDS   60u
#define REQUESTS 4u
#define TRANSFER 8192u
#define IMAGE    (1u << 20)

static const char *scheme = "local";

struct lane {
	struct guest *guest;
	struct vg_disk *disk;
	struct vg_channel *channel;
	uint32_t index;
	uint8_t *pages, *buffer;
	pthread_t thread;
	bool runs;
	_Atomic bool stop;
	/* of the processor that has it */
	bool ready, busy, reads;
	_Atomic uint32_t found, rounds, lost, wrong;
	/* of the bus's */
	uint32_t opened, ended, closed;
	enum vg_status why;
};

struct guest {
	struct machine m;
	char uri[128], image[TEMPORARY_PATH_MAX];
	struct kmcl_host *host;
	struct kmcl_scsi *scsi;
	bool apart;
	struct lane lanes[LANES];
	_Atomic uint32_t subchannels;
	uint32_t offered, removed, unloaded;
};

static void on_offered(void *context, struct vg_channel *channel, const struct vg_offer *offer)
{
	struct guest *g = context;

	if (vg_device(offer) == VG_DEVICE_DISK)
		g->lanes[0].channel = channel;
	else if (g->lanes[0].disk && vg_disk_has(g->lanes[0].disk, offer))
		g->lanes[1 + g->subchannels++].channel = channel;
	g->offered++;
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

static void on_found(void *context, struct vg_disk *disk, uint32_t number,
                     const struct vg_disk_unit *unit)
{
	struct lane *l = context;

	l->wrong += unit->size != IMAGE || number != 0;
	l->ready = true;
	l->found++;
}

/* A page of its own, written and read in turns. */
static void ask(struct lane *l)
{
	uint64_t at = l->index * (uint64_t)TRANSFER;
	enum vg_status status;

	memset(l->buffer, l->reads ? 0 : (int)(l->rounds + 1), TRANSFER);
	l->busy = true;
	status = l->reads ? vg_disk_read(l->disk, 0, at, l->buffer, TRANSFER, l)
	                  : vg_disk_write(l->disk, 0, at, l->buffer, TRANSFER, l);
	if (status == VG_OK)
		return;
	l->wrong++;
	l->busy = false;
}

static void on_done(void *context, struct vg_disk *disk, void *cookie, enum vg_status status)
{
	struct lane *l = context;

	l->busy = false;
	if (status != VG_OK) { /* its channel goes: nothing more is asked */
		l->lost++;
		l->ready = false;
		return;
	}
	if (l->reads &&
	    (l->buffer[0] != (uint8_t)(l->rounds + 1) || l->buffer[TRANSFER - 1] != l->buffer[0]))
		l->wrong++;
	l->rounds += l->reads;
	l->reads = !l->reads;
}

static void on_opened(void *context, struct vg_disk *disk)
{
	struct lane *l = context;

	l->opened++;
}

static void on_ended(void *context, struct vg_disk *disk, enum vg_status why)
{
	struct lane *l = context;

	l->ended++;
}

static void on_closed(void *context, struct vg_disk *disk, enum vg_status why)
{
	struct lane *l = context;

	l->why = why;
	l->closed++;
}

/* ---- the processors ---- */

static void *work(void *context)
{
	struct lane *l = context;

	while (!l->stop) {
		if (l->ready && !l->busy)
			ask(l);
		if (vg_channel_poll(l->channel, 8) == 0)
			sched_yield();
	}
	return NULL;
}

static void lane_start(struct lane *l)
{
	if (!l->guest->apart)
		return;
	l->stop = false;
	assert_int_equal(pthread_create(&l->thread, NULL, work, l), 0);
	l->runs = true;
}

static void lane_stop(struct lane *l)
{
	if (!l->runs)
		return;
	l->stop = true;
	pthread_join(l->thread, NULL);
	l->runs = false;
}

static void step(struct guest *g)
{
	for (uint32_t i = 0; i < LANES && !g->apart; i++)
		if (g->lanes[i].ready && !g->lanes[i].busy)
			ask(&g->lanes[i]);
	machine_feed(&g->m);
	vg_poll(g->m.vg, 16);
	sched_yield();
}

static void run_until(struct guest *g, _Atomic uint32_t *count, uint32_t least)
{
	uint64_t until = machine_ms() + MACHINE_WAIT_MS;

	while (*count < least) {
		step(g);
		assert_true(machine_ms() < until);
	}
}

/* ---- a guest and its host ---- */

static void serve(struct guest *g)
{
	struct kmcl_scsi_options options = { .size = sizeof(options), .subchannels = LANES - 1 };
	char why[256];

	assert_int_equal(kmcl_host_create(g->uri, NULL, &g->host), 0);
	assert_int_equal(kmcl_scsi_create(g->host, &options, &g->scsi), 0);
	assert_true(temporary_image(g->image, sizeof(g->image), "lanes-XXXXXX", IMAGE));
	assert_int_equal(kmcl_scsi_add_disk(g->scsi, 0, 0, g->image, NULL, why, sizeof(why)), 0);
}

static struct vg_disk_open how(struct lane *l)
{
	return (struct vg_disk_open){
		.events = { .context = l,
		            .found = l->index ? NULL : on_found,
		            .done = on_done,
		            .closed = on_closed,
		            .opened = on_opened,
		            .ended = l->guest->apart ? on_ended : NULL },
		.memory = l->pages,
		.requests_max = REQUESTS,
		.transfer_max = TRANSFER,
		.apart = l->guest->apart,
		.subchannels = l->index ? 0 : LANES - 1,
	};
}

static void lane_prepare(struct guest *g, uint32_t i)
{
	struct lane *l = &g->lanes[i];

	l->guest = g;
	l->index = i;
	l->pages = machine_pages(&g->m, vg_disk_pages(REQUESTS, TRANSFER));
	l->buffer = machine_pages(&g->m, TRANSFER / VG_PAGE);
}

static void open_controller(struct guest *g)
{
	struct lane *l = &g->lanes[0];
	struct vg_disk_open open = how(l);

	open.events.ended = NULL;
	if (g->apart)
		assert_int_equal(vg_disk_open(&l->disk, l->channel, &open), VG_INVALID);
	open = how(l);
	assert_int_equal(vg_disk_open(&l->disk, l->channel, &open), VG_OK);
	machine_run(&g->m, &l->opened);
	lane_start(l);
	run_until(g, &l->found, 1);
	run_until(g, &g->subchannels, LANES - 1);
}

/* Nobody is in a call of the controller's meanwhile. */
static void open_subchannel(struct guest *g, uint32_t i)
{
	struct lane *l = &g->lanes[i], *first = &g->lanes[0];
	struct vg_disk_open open = how(l);

	lane_stop(first);
	assert_int_equal(vg_disk_join(&l->disk, first->disk, first->channel, &open), VG_INVALID);
	assert_int_equal(vg_disk_join(&l->disk, first->disk, l->channel, &open), VG_OK);
	vg_disk_update(l->disk, first->disk);
	lane_start(first);
	assert_int_equal(vg_disk_read(l->disk, 0, 0, l->buffer, TRANSFER, l), VG_STATE);
	machine_run(&g->m, &l->opened);
	assert_int_equal(vg_disk_transfer(l->disk), TRANSFER);
	l->ready = true;
	lane_start(l);
}

static struct guest *guest_start(bool apart)
{
	struct vg_contact contact = { .message_sint = 2 };
	struct guest *g = calloc(1, sizeof(*g));
	static unsigned int number;

	snprintf(g->uri, sizeof(g->uri), "%s:%skit-lanes-%d-%u", scheme,
	         strcmp(scheme, "unix") == 0 ? "/tmp/kmcl-" : "", getpid(), number++);
	g->apart = apart;
	g->m.events = (struct vg_events){
		.context = g, .offered = on_offered, .removed = on_removed, .unloaded = on_unloaded
	};
	serve(g);
	machine_start(&g->m, g->uri);
	assert_int_equal(vg_connect(g->m.vg, &contact), VG_OK);
	machine_run(&g->m, &g->offered);
	for (uint32_t i = 0; i < LANES; i++)
		lane_prepare(g, i);
	open_controller(g);
	for (uint32_t i = 1; i < LANES; i++)
		open_subchannel(g, i);
	return g;
}

static void guest_end(struct guest *g)
{
	assert_int_equal(g->m.faults, 0);
	assert_int_equal(vg_unload(g->m.vg), VG_OK);
	machine_run(&g->m, &g->unloaded);
	machine_stop(&g->m);
	kmcl_scsi_destroy(g->scsi);
	kmcl_host_destroy(g->host);
	unlink(g->image);
	free(g);
}

static void lane_close(struct guest *g, uint32_t i, enum vg_status why)
{
	struct lane *l = &g->lanes[i];

	lane_stop(l);
	l->ready = false;
	if (!l->closed)
		assert_int_equal(vg_disk_close(l->disk), VG_OK);
	machine_run(&g->m, &l->closed);
	assert_int_equal(l->why, why);
	assert_int_equal(l->wrong, 0);
	assert_false(l->busy);
}

static void each_does_its_requests(bool apart)
{
	struct guest *g = guest_start(apart);

	for (uint32_t i = 0; i < LANES; i++)
		run_until(g, &g->lanes[i].rounds, ROUNDS);
	for (uint32_t i = LANES; i--;)
		lane_close(g, i, VG_OK);
	guest_end(g);
}

static void each_on_its_processor(void **state)
{
	each_does_its_requests(true);
}

static void all_on_one(void **state)
{
	each_does_its_requests(false);
}

/* The host takes the controller back while they are at it: who has them is told. */
static void the_controller_goes(void **state)
{
	struct guest *g = guest_start(true);

	for (uint32_t i = 0; i < LANES; i++)
		run_until(g, &g->lanes[i].rounds, 3);
	kmcl_scsi_destroy(g->scsi);
	g->scsi = NULL;
	for (uint32_t i = 0; i < LANES; i++)
		machine_run(&g->m, &g->lanes[i].ended);
	for (uint32_t i = 0; i < LANES; i++) {
		assert_int_equal(g->lanes[i].closed, 0);
		lane_close(g, i, VG_GONE);
		assert_in_range(g->lanes[i].lost, 0, 1);
	}
	guest_end(g);
}

/* Likewise with one processor for all: the kit closes them. */
static void the_controller_goes_from_one(void **state)
{
	struct guest *g = guest_start(false);

	for (uint32_t i = 0; i < LANES; i++)
		run_until(g, &g->lanes[i].rounds, 3);
	kmcl_scsi_destroy(g->scsi);
	g->scsi = NULL;
	for (uint32_t i = 0; i < LANES; i++) {
		machine_run(&g->m, &g->lanes[i].closed);
		lane_close(g, i, VG_GONE);
	}
	guest_end(g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_on_its_processor),
		cmocka_unit_test(all_on_one),
		cmocka_unit_test(the_controller_goes),
		cmocka_unit_test(the_controller_goes_from_one),
	};

	if (argc > 1)
		scheme = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
