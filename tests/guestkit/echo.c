/* SPDX-License-Identifier: BSD-2-Clause */
/* A driver for the echo service, made of the kit, against this library's host. */
#include "machine.h"

#include "kmcl/tsan.h"

#include <kmcl/echo.h>
#include <kmcl/host.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* devices/echo/echo.h */
static const uint8_t echo_type[16] = { 0x6c, 0x63, 0x6d, 0x6b, 0x10, 0x00, 0x00, 0x40,
	                               0x80, 0x65, 0x63, 0x68, 0x6f, 0x00, 0x00, 0x01 };
enum { ECHO_ECHO = 1, ECHO_INVERT = 3 };

#define RING_PAGES 17u
#define DEPTH      32u
#define PAYLOAD    1024u

static const char *scheme;
static const char *command; /* kmcl, whose host is a process then; NULL: it is in this one */

struct guest {
	struct machine m;
	struct kmcl_host *host;
	struct kmcl_echo *echo;
	pid_t process;
	char socket[128];
	struct vg_open how;
	struct vg_channel *channel; /* NULL: not offered */
	uint32_t connected, version, delivered, offered, removed, unloaded;
	uint32_t opened, closed, ended, shared, unshared;
	enum vg_status open_status, closed_why, share_status;
	uint32_t completed, lost, done;
	uint32_t want; /* completions until `done` */
	uint8_t answers[DEPTH][PAYLOAD];
	uint32_t answer_sizes[DEPTH];
	bool defer_close;
	uint8_t *rings;
};

/* The number of one of its rings' pages, by which kmcl/tsan.h knows the ring. */
static uint64_t ring_gpn(const struct guest *g, uint32_t page)
{
	return partition_gpn(g->m.partition, g->rings + page * VG_PAGE);
}

/* ---- what the kit says ---- */

static void on_connected(void *context, uint32_t version)
{
	struct guest *g = context;

	g->connected++;
	g->version = version;
}

static void on_offered(void *context, struct vg_channel *channel, const struct vg_offer *offer)
{
	struct guest *g = context;

	assert_ptr_equal(offer, vg_channel_offer(channel));
	if (memcmp(offer->type.bytes, echo_type, 16) != 0)
		return;
	g->channel = channel;
	g->offered++;
}

static void on_delivered(void *context)
{
	struct guest *g = context;

	g->delivered++;
}

static void on_removed(void *context, struct vg_channel *channel)
{
	struct guest *g = context;

	if (channel == g->channel)
		g->channel = NULL;
	g->removed++;
}

static void on_unloaded(void *context)
{
	struct guest *g = context;

	g->unloaded++;
}

static void on_opened(void *context, struct vg_channel *channel, enum vg_status status)
{
	struct guest *g = context;

	g->opened++;
	g->open_status = status;
}

static void on_packet(void *context, struct vg_channel *channel, const struct vg_packet *packet)
{
	fail_msg("the echo service sends nothing by itself");
}

static void on_completed(void *context, struct vg_channel *channel, void *cookie,
                         enum vg_status status, const void *answer, uint32_t size)
{
	struct guest *g = context;
	uint32_t i = (uint32_t)((uint8_t(*)[PAYLOAD])cookie - g->answers);

	assert_in_range(i, 0, DEPTH - 1);
	tsan_after_read(ring_gpn(g, RING_PAGES));
	if (status == VG_OK) {
		assert_in_range(size, 0, PAYLOAD);
		memcpy(cookie, answer, size);
		g->answer_sizes[i] = size;
		g->completed++;
	} else {
		g->lost++;
	}
	g->done = g->completed + g->lost >= g->want;
}

static void on_shared(void *context, struct vg_channel *channel, uint32_t gpadl,
                      enum vg_status status)
{
	struct guest *g = context;

	g->share_status = status;
	g->shared++;
}

static void on_unshared(void *context, struct vg_channel *channel, uint32_t gpadl)
{
	struct guest *g = context;

	g->unshared++;
}

static void on_ended(void *context, struct vg_channel *channel, enum vg_status why)
{
	struct guest *g = context;
	uint32_t payload[2] = { ECHO_ECHO, 0 };
	struct vg_send send = { .payload = payload, .size = sizeof(payload) };

	g->ended++;
	/* Nothing goes any more, whatever the channel is. */
	assert_int_equal(vg_send(channel, &send), why);
	if (!g->defer_close)
		assert_int_equal(vg_close(channel), VG_OK);
}

static void on_closed(void *context, struct vg_channel *channel, enum vg_status why)
{
	struct guest *g = context;

	g->closed++;
	g->closed_why = why;
}

/* ---- a guest and its host ---- */

static const char *new_uri(void)
{
	static char uri[128];
	static unsigned int number;

	if (strcmp(scheme, "local") == 0)
		snprintf(uri, sizeof(uri), "local:guest-kit-%d-%u", getpid(), number++);
	else
		snprintf(uri, sizeof(uri), "unix:/tmp/kmcl-guest-kit-%d-%u", getpid(), number++);
	return uri;
}

static void serve(struct guest *g)
{
	struct kmcl_echo_options options = { .size = sizeof(options) };

	assert_int_equal(kmcl_echo_create(g->host, &options, &g->echo), 0);
}

static void stop_serving(struct guest *g)
{
	kmcl_echo_destroy(g->echo);
	g->echo = NULL;
}

static void host_start(struct guest *g, const char *uri)
{
	if (command) {
		snprintf(g->socket, sizeof(g->socket), "%s", uri + strlen("unix:"));
		g->process = fork();
		assert_true(g->process >= 0);
		if (g->process == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL); /* when a test fails */
			execl(command, command, "host", "--listen", uri, "--echo", "--quiet", NULL);
			_exit(127);
		}
		return;
	}
	assert_int_equal(kmcl_host_create(uri, NULL, &g->host), 0);
	serve(g);
}

/* Killed where it is a process: it leaves nothing behind that it could say. */
static void host_stop(struct guest *g)
{
	if (g->process) {
		kill(g->process, SIGKILL);
		assert_int_equal(waitpid(g->process, NULL, 0), g->process);
		g->process = 0;
		unlink(g->socket);
		strcat(g->socket, ".lock");
		unlink(g->socket);
		return;
	}
	if (g->echo)
		stop_serving(g);
	kmcl_host_destroy(g->host);
	g->host = NULL;
}

static void connect_to(struct guest *g, uint32_t version_max)
{
	struct vg_contact contact = { .version_max = version_max, .message_sint = 2 };

	g->connected = 0;
	g->delivered = 0;
	g->offered = 0;
	assert_int_equal(vg_connect(g->m.vg, &contact), VG_OK);
	machine_run(&g->m, &g->connected);
	assert_int_not_equal(g->version, 0);
	machine_run(&g->m, &g->delivered);
	/* A process listens before it offers. */
	machine_run(&g->m, &g->offered);
	assert_non_null(g->channel);
}

static struct guest *guest_start(bool maps_rings)
{
	struct guest *g = calloc(1, sizeof(*g));
	const char *uri = new_uri();

	host_start(g, uri);
	g->m.maps_rings = maps_rings;
	g->m.events = (struct vg_events){ g,          on_connected, on_offered, on_delivered,
		                          on_removed, on_unloaded };
	machine_start(&g->m, uri);
	g->rings = machine_pages(&g->m, 2 * RING_PAGES);
	g->how = (struct vg_open){
		.events = { g, on_opened, on_packet, on_completed, on_shared, on_unshared, on_ended,
		            on_closed },
		.rings = g->rings,
		.out_pages = RING_PAGES,
		.in_pages = RING_PAGES,
		.payload_max = PAYLOAD,
		.requests_max = DEPTH,
		.ranges_max = 1,
		.external_max = 65536,
	};
	return g;
}

static void guest_stop(struct guest *g)
{
	machine_stop(&g->m);
	host_stop(g);
	free(g);
}

static void open_channel(struct guest *g)
{
	g->opened = 0;
	assert_int_equal(vg_open(g->channel, &g->how), VG_OK);
	assert_int_equal(vg_open(g->channel, &g->how), VG_STATE);
	machine_run(&g->m, &g->opened);
	assert_int_equal(g->open_status, VG_OK);
}

static void close_channel(struct guest *g)
{
	g->closed = 0;
	assert_int_equal(vg_close(g->channel), VG_OK);
	assert_int_equal(vg_close(g->channel), VG_STATE);
	machine_run(&g->m, &g->closed);
	assert_int_equal(g->closed_why, VG_OK);
}

/* `count` requests, of which as many as go are under way; one answer is compared each. */
static void echo_many(struct guest *g, uint32_t count)
{
	static uint8_t payload[DEPTH][PAYLOAD];
	uint32_t sent = 0;

	while (sent < count) {
		uint32_t burst = 0;

		g->completed = g->lost = 0;
		for (uint32_t i = 0; i < DEPTH && sent < count; i++, sent++, burst++) {
			uint32_t size = 8 + sent * 7 % (PAYLOAD - 7);
			struct vg_send send = { .payload = payload[i],
				                .size = size,
				                .cookie = g->answers[i],
				                .more = i % 4 != 3 };

			memset(payload[i], (int)sent, size);
			memcpy(payload[i], &(uint32_t[]){ ECHO_ECHO, sent }, 8);
			assert_int_equal(vg_send(g->channel, &send), VG_OK);
		}
		vg_flush(g->channel);
		g->want = burst;
		g->done = 0;
		machine_run(&g->m, &g->done);
		assert_int_equal(g->completed, burst);
		for (uint32_t i = 0; i < burst; i++) {
			uint32_t size = 8 + (sent - burst + i) * 7 % (PAYLOAD - 7);

			assert_int_equal(g->answer_sizes[i], (size + 7) / 8 * 8);
			assert_memory_equal(g->answers[i], payload[i], size);
		}
	}
}

/* ---- the tests ---- */

static void echoes_come_back(void **state)
{
	for (int maps = 0; maps < 2; maps++) {
		struct guest *g = guest_start(maps);

		connect_to(g, 0);
		open_channel(g);
		echo_many(g, 3000);
		close_channel(g);
		/* and again, in the same memory */
		open_channel(g);
		echo_many(g, 100);
		close_channel(g);
		assert_int_equal(g->m.faults, 0);
		guest_stop(g);
	}
}

static void every_version(void **state)
{
	static const uint32_t versions[] = { 6u << 16, 5u << 16 | 3, 5u << 16,    4u << 16 | 1,
		                             4u << 16, 3u << 16,     2u << 16 | 4 };
	struct guest *g = guest_start(true);

	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
		connect_to(g, versions[i]);
		assert_int_equal(g->version, versions[i]);
		open_channel(g);
		echo_many(g, 40);
		g->unloaded = 0;
		g->closed = 0;
		assert_int_equal(vg_unload(g->m.vg), VG_OK);
		machine_run(&g->m, &g->unloaded);
		assert_int_equal(g->closed_why, VG_GONE);
		assert_null(g->channel);
	}
	assert_int_equal(g->m.faults, 0);
	guest_stop(g);
}

static void the_host_works_on_memory(void **state)
{
	static const uint32_t offsets[] = { 0, 1, 4095, 100 }, sizes[] = { 1, 4096, 8193, 65536 };
	struct guest *g = guest_start(false);
	uint8_t *memory = machine_pages(&g->m, 18);
	uint32_t payload[2] = { ECHO_INVERT, 0 };

	connect_to(g, 0);
	open_channel(g);
	for (uint32_t i = 0; i < 16; i++) {
		uint32_t offset = offsets[i % 4], size = sizes[i / 4];
		struct vg_range range = { memory + offset, size };
		struct vg_send send = { .payload = payload,
			                .size = sizeof(payload),
			                .ranges = &range,
			                .range_count = 1,
			                .cookie = g->answers[0] };

		memset(memory, 0x55, 18 * VG_PAGE);
		g->completed = g->lost = g->done = 0;
		g->want = 1;
		tsan_before_write(ring_gpn(g, 0));
		assert_int_equal(vg_send(g->channel, &send), VG_OK);
		machine_run(&g->m, &g->done);
		assert_int_equal(g->completed, 1);
		for (uint32_t n = 0; n < 18 * VG_PAGE; n++)
			assert_int_equal(memory[n], n >= offset && n < offset + size ? 0xaa : 0x55);
	}
	close_channel(g);
	guest_stop(g);
}

/* What is asked for and cannot be, each with its status; nothing of it reaches the host. */
static void limits_are_kept(void **state)
{
	struct guest *g = guest_start(true);
	static uint8_t payload[PAYLOAD + 1], elsewhere[8];
	struct vg_range range = { elsewhere, 8 };
	struct vg_send send = { .payload = payload, .size = 8, .cookie = g->answers[0] };
	uint32_t gpadl;
	int sent = 0;

	connect_to(g, 0);
	assert_int_equal(vg_send(g->channel, &send), VG_STATE);
	assert_int_equal(vg_close(g->channel), VG_STATE);
	g->how.payload_max = 70000;
	assert_int_equal(vg_open(g->channel, &g->how), VG_TOO_BIG);
	g->how.payload_max = PAYLOAD;
	g->how.rings = g->rings + 8;
	assert_int_equal(vg_open(g->channel, &g->how), VG_INVALID);
	g->how.rings = (void *)(((uintptr_t)g->m.memory + 4095) & ~4095ull);
	assert_int_equal(vg_open(g->channel, &g->how), VG_UNSEEN);
	g->how.rings = g->rings;
	open_channel(g);
	send.size = PAYLOAD + 1;
	assert_int_equal(vg_send(g->channel, &send), VG_TOO_BIG);
	send = (struct vg_send){ payload, 8, &range, 1, g->answers[0], false };
	assert_int_equal(vg_send(g->channel, &send), VG_UNSEEN);
	range = (struct vg_range){ g->rings, 65537 };
	assert_int_equal(vg_send(g->channel, &send), VG_TOO_BIG);
	send.range_count = 2;
	assert_int_equal(vg_send(g->channel, &send), VG_TOO_BIG);
	send = (struct vg_send){ payload, 8, &range, 1, NULL, false };
	assert_int_equal(vg_send(g->channel, &send), VG_INVALID);
	assert_int_equal(vg_share(g->channel, g->rings + 1, 1, &gpadl), VG_INVALID);
	assert_int_equal(vg_unshare(g->channel, 4711), VG_STATE);
	/* as many requests as there are slots, while nobody polls */
	memcpy(payload, &(uint32_t[]){ ECHO_ECHO, 0 }, 8);
	send = (struct vg_send){ payload, 8, NULL, 0, g->answers[0], false };
	while (vg_send(g->channel, &send) == VG_OK)
		sent++;
	assert_int_equal(sent, DEPTH);
	g->want = DEPTH;
	machine_run(&g->m, &g->done);
	close_channel(g);
	assert_int_equal(g->m.faults, 0);
	guest_stop(g);
}

/* One that only listens has no table of requests: its memory comes back all the same. */
static void a_channel_without_requests(void **state)
{
	struct guest *g = guest_start(false);
	size_t before;

	connect_to(g, 0);
	vg_poll(g->m.vg, 1);
	before = vg_memory_used(g->m.vg, NULL);
	g->how.requests_max = 0;
	for (int i = 0; i < 3; i++) {
		open_channel(g);
		close_channel(g);
		assert_int_equal(vg_memory_used(g->m.vg, NULL), before);
	}
	g->how.requests_max = DEPTH;
	open_channel(g);
	echo_many(g, 100);
	close_channel(g);
	guest_stop(g);
}

/* The service goes and comes with requests under way; each of them ends once. */
static void an_offer_is_taken_back(void **state)
{
	struct guest *g = guest_start(true);
	static uint8_t payload[64];
	uint32_t old;

	connect_to(g, 0);
	memcpy(payload, &(uint32_t[]){ ECHO_ECHO, 0 }, 8);
	for (int round = 0; round < 6; round++) {
		g->defer_close = round % 2;
		open_channel(g);
		old = vg_channel_offer(g->channel)->channel_id;
		assert_in_range(old, 1, 2047);
		g->completed = g->lost = g->done = g->ended = g->closed = g->removed = 0;
		g->want = DEPTH;
		for (uint32_t i = 0; i < DEPTH; i++) {
			struct vg_send send = { payload, 64, NULL, 0, g->answers[i], true };

			assert_int_equal(vg_send(g->channel, &send), VG_OK);
		}
		if (round < 3)
			vg_flush(g->channel);
		stop_serving(g);
		machine_run(&g->m, &g->ended);
		if (g->defer_close) {
			/* it stays until who opened it lets go of it */
			for (int i = 0; i < 100; i++)
				vg_poll(g->m.vg, 64);
			assert_int_equal(g->closed, 0);
			assert_int_equal(vg_close(g->channel), VG_OK);
		}
		machine_run(&g->m, &g->removed);
		assert_int_equal(g->closed, 1);
		assert_int_equal(g->closed_why, VG_GONE);
		assert_int_equal(g->completed + g->lost, DEPTH);
		assert_null(g->channel);
		g->offered = 0;
		serve(g);
		machine_run(&g->m, &g->offered);
	}
	assert_int_equal(g->m.faults, 0);
	guest_stop(g);
}

static void memory_is_shared(void **state)
{
	struct guest *g = guest_start(false);
	uint8_t *memory = machine_pages(&g->m, 600);
	size_t before;

	connect_to(g, 0);
	open_channel(g);
	vg_poll(g->m.vg, 1);
	before = vg_memory_used(g->m.vg, NULL);
	for (uint32_t pages = 1; pages <= 600; pages = pages * 5 / 2 + 1) {
		uint32_t gpadl;

		g->shared = g->unshared = 0;
		assert_int_equal(vg_share(g->channel, memory, pages, &gpadl), VG_OK);
		machine_run(&g->m, &g->shared);
		assert_int_equal(g->share_status, VG_OK);
		assert_int_equal(vg_unshare(g->channel, gpadl), VG_OK);
		machine_run(&g->m, &g->unshared);
	}
	assert_int_equal(vg_memory_used(g->m.vg, NULL), before);
	/* what is shared as the channel closes goes with it */
	assert_int_equal(vg_share(g->channel, memory, 100, &(uint32_t){ 0 }), VG_OK);
	close_channel(g);
	guest_stop(g);
}

/* With interrupts: it sleeps on what the host signals, and nothing is lost. */
static void it_sleeps_and_is_woken(void **state)
{
	struct guest *g = guest_start(true);
	static uint8_t payload[PAYLOAD];
	struct partition_port *port;
	uint32_t slept = 0;

	connect_to(g, 0);
	assert_int_equal(
		partition_listen(g->m.partition, vg_channel_offer(g->channel)->channel_id, &port),
		0);
	open_channel(g);
	memcpy(payload, &(uint32_t[]){ ECHO_ECHO, 0 }, 8);
	for (int i = 0; i < 500; i++) {
		struct vg_send send = { payload, PAYLOAD, NULL, 0, g->answers[0], false };
		struct pollfd fds[] = { { partition_port_fd(port), POLLIN, 0 },
			                { g->m.wake, POLLIN, 0 } };

		g->completed = g->lost = g->done = 0;
		g->want = 1;
		assert_int_equal(vg_send(g->channel, &send), VG_OK);
		while (!g->done) {
			uint64_t n;

			machine_feed(&g->m);
			vg_poll(g->m.vg, 4);
			if (g->done || !vg_sleep(g->m.vg))
				continue;
			slept++;
			assert_in_range(poll(fds, 2, MACHINE_WAIT_MS), 1, 2);
			partition_port_clear(port);
			if (read(g->m.wake, &n, sizeof(n)) != sizeof(n))
				n = 0;
		}
		assert_int_equal(g->completed, 1);
	}
	assert_in_range(slept, 1, UINT32_MAX);
	close_channel(g);
	partition_unlisten(port);
	guest_stop(g);
}

/* The host writes nonsense into the ring; the channel is of no use, and may be opened again. */
static void a_ring_is_malformed(void **state)
{
	struct guest *g = guest_start(false);
	uint32_t *control;

	connect_to(g, 0);
	for (int i = 0; i < 3; i++) {
		g->closed = g->ended = 0;
		open_channel(g);
		control = (uint32_t *)(void *)(g->rings + RING_PAGES * VG_PAGE);
		__atomic_store_n(control, 0x12345677, __ATOMIC_RELAXED);
		machine_run(&g->m, &g->closed);
		assert_int_equal(g->closed_why, VG_MALFORMED);
		assert_string_equal(g->m.last_fault, "ring: write index");
	}
	guest_stop(g);
}

/* Of the last packet that is sent, too: there is no next one to hear of it. */
static void a_reader_lies(void **state)
{
	struct guest *g = guest_start(false);
	uint32_t payload[2] = { ECHO_ECHO, 0 };
	struct vg_send send = { .payload = payload, .size = sizeof(payload), .more = true };
	uint32_t *control;

	connect_to(g, 0);
	open_channel(g);
	control = (uint32_t *)(void *)g->rings;
	/* Again, where the host has written its own meanwhile, as it may when it has just begun. */
	for (int i = 0; i < 200 && !g->ended; i++) {
		__atomic_store_n(control + 1, 0x12345677, __ATOMIC_RELAXED); /* its read index */
		assert_int_equal(vg_send(g->channel, &send), VG_OK);
		vg_flush(g->channel);
		machine_feed(&g->m);
		vg_poll(g->m.vg, 16);
		usleep(1000);
	}
	machine_run(&g->m, &g->closed);
	assert_int_equal(g->closed_why, VG_MALFORMED);
	guest_stop(g);
}

/* The host goes; and one that comes to the same place is another one. */
static void the_host_goes(void **state)
{
	struct guest *g = guest_start(true);
	static uint8_t payload[8];

	connect_to(g, 0);
	open_channel(g);
	memcpy(payload, &(uint32_t[]){ ECHO_ECHO, 0 }, 8);
	for (uint32_t i = 0; i < DEPTH; i++) {
		struct vg_send send = { payload, 8, NULL, 0, g->answers[i], true };

		assert_int_equal(vg_send(g->channel, &send), VG_OK);
	}
	g->want = DEPTH;
	g->removed = 0;
	host_stop(g);
	machine_run(&g->m, &g->removed);
	assert_int_equal(g->closed_why, VG_GONE);
	assert_int_equal(g->completed + g->lost, DEPTH);
	machine_stop(&g->m);
	free(g);
}

/* Whatever there is too little memory for says so, and all of it is given back. */
static void memory_runs_out(void **state)
{
	uint32_t refused = 0, worked = 0;

	for (size_t size = 8192; size <= 12288; size += 512) {
		struct guest *g = calloc(1, sizeof(*g));
		const char *uri = new_uri();
		struct vg_contact contact = { .message_sint = 2 };

		assert_int_equal(kmcl_host_create(uri, NULL, &g->host), 0);
		serve(g);
		g->m.memory_size = size;
		g->m.events =
			(struct vg_events){ g,          on_connected, on_offered, on_delivered,
			                    on_removed, on_unloaded };
		machine_start(&g->m, uri);
		g->rings = machine_pages(&g->m, 2 * RING_PAGES);
		g->how = (struct vg_open){
			.events = { g, on_opened, on_packet, on_completed, NULL, NULL, NULL,
			            on_closed },
			.rings = g->rings,
			.out_pages = RING_PAGES,
			.in_pages = RING_PAGES,
			.payload_max = PAYLOAD,
			.requests_max = 200,
		};
		assert_int_equal(vg_connect(g->m.vg, &contact), VG_OK);
		machine_run(&g->m, &g->delivered);
		if (g->channel && vg_open(g->channel, &g->how) == VG_OK) {
			machine_run(&g->m, &g->opened);
			echo_many(g, 64);
			worked++;
		} else {
			refused++;
		}
		guest_stop(g);
	}
	assert_in_range(refused, 1, 8);
	assert_in_range(worked, 1, 8);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echoes_come_back),
		cmocka_unit_test(every_version),
		cmocka_unit_test(the_host_works_on_memory),
		cmocka_unit_test(limits_are_kept),
		cmocka_unit_test(a_channel_without_requests),
		cmocka_unit_test(an_offer_is_taken_back),
		cmocka_unit_test(memory_is_shared),
		cmocka_unit_test(it_sleeps_and_is_woken),
		cmocka_unit_test(a_ring_is_malformed),
		cmocka_unit_test(a_reader_lies),
		cmocka_unit_test(the_host_goes),
		cmocka_unit_test(memory_runs_out),
	};

	const struct CMUnitTest with_a_process[] = {
		cmocka_unit_test(echoes_come_back),
		cmocka_unit_test(every_version),
		cmocka_unit_test(the_host_works_on_memory),
		cmocka_unit_test(limits_are_kept),
		cmocka_unit_test(a_channel_without_requests),
		cmocka_unit_test(memory_is_shared),
		cmocka_unit_test(it_sleeps_and_is_woken),
		cmocka_unit_test(a_ring_is_malformed),
		cmocka_unit_test(a_reader_lies),
		cmocka_unit_test(the_host_goes),
	};

	scheme = argc > 1 ? argv[1] : "local";
	if (argc > 2) {
		command = argv[2];
		return cmocka_run_group_tests(with_a_process, NULL, NULL);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
