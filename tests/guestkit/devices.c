/* SPDX-License-Identifier: BSD-2-Clause */
/* The kit's drivers, as it is installed, at this library's services. */
#include "machine.h"

#include <kmcl/disk.h>
#include <kmcl/host.h>
#include <kmcl/ic.h>
#include <kmcl/input.h>
#include <kmcl/net.h>
#include <kmcl/net_backend.h>

#include "../devices/odd_answers.h"
#include "../devices/odd_host.h"
#include "scsi/scsi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../temporary.h"

#define IMAGE    (4u << 20)
#define DEPTH    32u
#define TRANSFER 65536u
#define FRAMES   8u

static const char *scheme;

/* ---- an outside that keeps what it gets ---- */

struct plug {
	struct kmcl_net_backend backend;
	struct kmcl_net_port *port;
	pthread_mutex_t lock;
	uint8_t last[VG_NET_FRAME];
	uint32_t length;
	_Atomic uint32_t count;
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
	uint32_t at = 0;

	if (frame->length > sizeof(p->last))
		abort();
	pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < frame->count; i++) {
		memcpy(p->last + at, frame->iov[i].iov_base, frame->iov[i].iov_len);
		at += (uint32_t)frame->iov[i].iov_len;
	}
	p->length = at;
	pthread_mutex_unlock(&p->lock);
	p->count++;
	return KMCL_NET_DONE;
}

static void plug_resume(struct kmcl_net_backend *backend)
{
}

static void plug_destroy(struct kmcl_net_backend *backend)
{
}

static const struct kmcl_net_backend_ops plug_ops = {
	.name = "plug",
	.start = plug_start,
	.send = plug_send,
	.resume = plug_resume,
	.destroy = plug_destroy,
};

/* ---- a guest and its host ---- */

struct guest {
	struct machine m;
	char uri[128];
	struct kmcl_host *host;
	struct kmcl_scsi *scsi;
	struct kmcl_net *net_service;
	struct kmcl_heartbeat *heartbeat;
	struct kmcl_shutdown *shutdown;
	struct kmcl_timesync *timesync;
	struct kmcl_keyboard *keyboard;
	struct plug plug;
	char image[TEMPORARY_PATH_MAX], second[TEMPORARY_PATH_MAX];

	struct vg_channel *channels[VG_DEVICE_TIME + 1];
	uint32_t offered, delivered, removed, unloaded;
	struct vg_disk *disk;
	uint32_t found, searched, done, want, over, disk_closed;
	enum vg_status status[DEPTH], search_status, disk_why;
	struct vg_disk_unit units[2];
	struct vg_net *net;
	uint32_t ready, came, came_size, sent, link_changes, net_closed;
	bool link_up;
	uint8_t address[6], frame[VG_NET_FRAME];
	enum vg_status sent_status;
	uint32_t power_off, restart, times, ic_closed;
	struct vg_time time;
	uint16_t keys[8];
	uint32_t key_count, typed, keyboard_closed;
	enum vg_status keyboard_why;
};

static void on_offered(void *context, struct vg_channel *channel, const struct vg_offer *offer)
{
	struct guest *g = context;

	g->channels[vg_device(offer)] = channel;
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

	g->removed++;
}

static void on_unloaded(void *context)
{
	struct guest *g = context;

	g->unloaded++;
}

static void guest_prepare(struct guest *g)
{
	static unsigned int number;

	snprintf(g->uri, sizeof(g->uri), "%s:%s-%d-%u", scheme,
	         strcmp(scheme, "unix") == 0 ? "/tmp/kmcl-kit-devices" : "kit-devices", getpid(),
	         number++);
	g->m.events = (struct vg_events){ .context = g,
		                          .offered = on_offered,
		                          .offers_delivered = on_delivered,
		                          .removed = on_removed,
		                          .unloaded = on_unloaded };
}

static struct guest *guest_start(void)
{
	struct guest *g = calloc(1, sizeof(*g));

	guest_prepare(g);
	assert_int_equal(kmcl_host_create(g->uri, NULL, &g->host), 0);
	return g;
}

/* With the services there. */
static void guest_connect(struct guest *g)
{
	struct vg_contact contact = { .message_sint = 2 };

	machine_start(&g->m, g->uri);
	assert_int_equal(vg_connect(g->m.vg, &contact), VG_OK);
	machine_run(&g->m, &g->delivered);
}

static void guest_end(struct guest *g)
{
	assert_int_equal(vg_unload(g->m.vg), VG_OK);
	machine_run(&g->m, &g->unloaded);
	machine_stop(&g->m);
	kmcl_scsi_destroy(g->scsi);
	kmcl_net_destroy(g->net_service);
	kmcl_heartbeat_destroy(g->heartbeat);
	kmcl_shutdown_destroy(g->shutdown);
	kmcl_timesync_destroy(g->timesync);
	kmcl_keyboard_destroy(g->keyboard);
	kmcl_host_destroy(g->host);
	if (*g->image)
		unlink(g->image);
	if (*g->second)
		unlink(g->second);
	free(g);
}

/* ---- a disk ---- */

static void on_found(void *context, struct vg_disk *disk, uint32_t number,
                     const struct vg_disk_unit *unit)
{
	struct guest *g = context;

	assert_in_range(number, 0, 1);
	g->units[number] = *unit;
	g->found++;
}

static void on_searched(void *context, struct vg_disk *disk, enum vg_status status)
{
	struct guest *g = context;

	g->search_status = status;
	g->searched++;
}

static void on_done(void *context, struct vg_disk *disk, void *cookie, enum vg_status status)
{
	struct guest *g = context;

	g->status[(uintptr_t)cookie] = status;
	g->over = ++g->done >= g->want;
}

static void on_disk_closed(void *context, struct vg_disk *disk, enum vg_status why)
{
	struct guest *g = context;

	g->disk_why = why;
	g->disk_closed++;
}

static void disk_open(struct guest *g)
{
	struct vg_disk_open open = {
		.events = { .context = g,
		            .found = on_found,
		            .searched = on_searched,
		            .done = on_done,
		            .closed = on_disk_closed },
		.requests_max = DEPTH,
		.transfer_max = TRANSFER,
	};
	uint32_t pages = vg_disk_pages(DEPTH, TRANSFER);

	open.memory = machine_pages(&g->m, pages);
	memset(open.memory, 0x5a, pages * (size_t)VG_PAGE); /* it need not be zeroed */
	g->searched = 0;
	assert_int_equal(vg_disk_open(&g->disk, g->channels[VG_DEVICE_DISK], &open), VG_OK);
	assert_int_equal(vg_disk_flush(g->disk, 0, NULL), VG_STATE);
	machine_run(&g->m, &g->searched);
	assert_int_equal(g->search_status, VG_OK);
}

static void run_requests(struct guest *g)
{
	machine_run(&g->m, &g->over);
	g->done = g->over = 0;
}

static struct guest *disk_start(void)
{
	struct guest *g = guest_start();
	char why[256];

	assert_int_equal(kmcl_scsi_create(g->host, NULL, &g->scsi), 0);
	assert_true(temporary_image(g->image, sizeof(g->image), "kit-XXXXXX", IMAGE));
	assert_int_equal(kmcl_scsi_add_disk(g->scsi, 0, 0, g->image,
	                                    &(struct kmcl_disk_options){
						    .size = sizeof(struct kmcl_disk_options),
						    .serial = "kit" },
	                                    why, sizeof(why)),
	                 0);
	return g;
}

static void fill(uint8_t *at, uint32_t size, uint32_t seed)
{
	for (uint32_t i = 0; i < size; i++)
		at[i] = (uint8_t)(i * 7 + seed + i / 251);
}

/* As many writes as can be under way, then all of it read back, in pieces that share no boundary
 * with pages; and what the image has is the same. */
static void a_disk_is_written_and_read(void **state)
{
	struct guest *g = disk_start();
	const uint32_t size = 7 * 512, piece = 8192;
	uint8_t *memory, *expected = calloc(1, IMAGE), *image = calloc(1, IMAGE);
	int fd;

	guest_connect(g);
	disk_open(g);
	assert_int_equal(g->found, 1);
	assert_int_equal(g->units[0].size, IMAGE);
	assert_int_equal(g->units[0].block_size, 512);
	assert_string_equal(g->units[0].serial, "kit");
	assert_false(g->units[0].read_only);
	assert_int_equal(vg_disk_transfer(g->disk), TRANSFER);
	memory = machine_pages(&g->m, DEPTH * piece / VG_PAGE);
	for (uint32_t round = 0; round < 8; round++) {
		g->want = DEPTH;
		for (uint32_t i = 0; i < DEPTH; i++) {
			uint32_t at = (round * DEPTH + i) * size;
			uint8_t *from = memory + i * piece + i * 16;

			fill(expected + at, size, round * DEPTH + i);
			memcpy(from, expected + at, size);
			assert_int_equal(
				vg_disk_write(g->disk, 0, at, from, size, (void *)(uintptr_t)i),
				VG_OK);
		}
		assert_int_equal(vg_disk_read(g->disk, 0, 0, memory, 512, NULL), VG_FULL);
		run_requests(g);
		for (uint32_t i = 0; i < DEPTH; i++)
			assert_int_equal(g->status[i], VG_OK);
	}
	g->want = 1;
	assert_int_equal(vg_disk_flush(g->disk, 0, NULL), VG_OK);
	run_requests(g);
	assert_int_equal(g->status[0], VG_OK);
	for (uint32_t at = 0; at < 8 * DEPTH * size; at += TRANSFER / 2) {
		memset(memory, 0, TRANSFER);
		assert_int_equal(vg_disk_read(g->disk, 0, at, memory + 512, TRANSFER / 2, NULL),
		                 VG_OK);
		run_requests(g);
		assert_int_equal(g->status[0], VG_OK);
		assert_memory_equal(memory + 512, expected + at, TRANSFER / 2);
	}
	assert_int_equal(vg_disk_close(g->disk), VG_OK);
	machine_run(&g->m, &g->disk_closed);
	assert_int_equal(g->disk_why, VG_OK);
	fd = open(g->image, O_RDONLY);
	assert_int_equal(pread(fd, image, IMAGE, 0), IMAGE);
	close(fd);
	assert_memory_equal(image, expected, IMAGE);
	disk_open(g); /* and once more */
	assert_int_equal(g->found, 2);
	assert_int_equal(g->m.faults, 0);
	free(image);
	free(expected);
	guest_end(g);
}

static void what_a_disk_cannot_do_is_said(void **state)
{
	struct guest *g = disk_start();
	struct vg_disk_open nothing = { .requests_max = DEPTH, .transfer_max = TRANSFER };
	struct kmcl_scsi_fault fault = {
		.size = sizeof(fault), .lba = 0, .count = 1, .reads = true
	};
	static uint8_t elsewhere[512];
	uint8_t *memory;

	guest_connect(g);
	assert_int_equal(vg_disk_open(&g->disk, g->channels[VG_DEVICE_DISK], &nothing), VG_INVALID);
	assert_int_equal(vg_disk_pages(0, TRANSFER), 0);
	assert_int_equal(vg_disk_pages(DEPTH, 512), 0);
	disk_open(g);
	memory = machine_pages(&g->m, 17);
	assert_int_equal(vg_disk_read(g->disk, 1, 0, memory, 512, NULL), VG_INVALID);
	assert_int_equal(vg_disk_read(g->disk, 0, 1, memory, 512, NULL), VG_INVALID);
	assert_int_equal(vg_disk_read(g->disk, 0, 0, memory, 511, NULL), VG_INVALID);
	assert_int_equal(vg_disk_read(g->disk, 0, 0, memory, 0, NULL), VG_INVALID);
	assert_int_equal(vg_disk_read(g->disk, 0, IMAGE, memory, 512, NULL), VG_INVALID);
	assert_int_equal(vg_disk_read(g->disk, 0, 0, memory, TRANSFER + 512, NULL), VG_TOO_BIG);
	g->want = 1;
	assert_int_equal(vg_disk_read(g->disk, 0, 0, elsewhere, 512, NULL), VG_OK);
	run_requests(g);
	assert_int_equal(g->status[0], VG_UNSEEN);
	assert_int_equal(kmcl_scsi_inject(g->scsi, 0, 0, &fault), 0);
	assert_int_equal(vg_disk_read(g->disk, 0, 0, memory, 1024, NULL), VG_OK);
	run_requests(g);
	assert_int_equal(g->status[0], VG_FAILED);
	assert_int_equal(vg_disk_read(g->disk, 0, 512, memory, 1024, NULL), VG_OK);
	run_requests(g);
	assert_int_equal(g->status[0], VG_OK);
	assert_int_equal(kmcl_scsi_remove(g->scsi, 0, 0), 0);
	assert_int_equal(vg_disk_read(g->disk, 0, 0, memory, 512, NULL), VG_OK);
	run_requests(g);
	assert_int_equal(g->status[0], VG_GONE);
	guest_end(g);
}

/* A unit that comes while the controller is open; and the controller goes, with requests there. */
static void units_come_and_controllers_go(void **state)
{
	struct guest *g = disk_start();
	char why[256];
	uint8_t *memory;

	guest_connect(g);
	disk_open(g);
	memory = machine_pages(&g->m, DEPTH);
	assert_true(temporary_image(g->second, sizeof(g->second), "kit-XXXXXX", IMAGE / 2));
	g->searched = 0;
	assert_int_equal(kmcl_scsi_add_disk(g->scsi, 0, 5, g->second, NULL, why, sizeof(why)), 0);
	machine_run(&g->m, &g->searched);
	assert_int_equal(g->found, 2);
	assert_int_equal(g->units[1].lun, 5);
	assert_int_equal(g->units[1].size, IMAGE / 2);
	/* another one in its place has its number */
	assert_int_equal(kmcl_scsi_remove(g->scsi, 0, 5), 0);
	assert_int_equal(truncate(g->second, IMAGE / 4), 0);
	assert_int_equal(kmcl_scsi_add_disk(g->scsi, 0, 5, g->second, NULL, why, sizeof(why)), 0);
	g->found = 0;
	machine_run(&g->m, &g->found);
	assert_int_equal(g->units[1].size, IMAGE / 4);
	for (uint32_t i = 0; i < DEPTH; i++)
		assert_int_equal(vg_disk_read(g->disk, i % 2, 0, memory + i * VG_PAGE, VG_PAGE,
		                              (void *)(uintptr_t)i),
		                 VG_OK);
	g->want = DEPTH;
	kmcl_scsi_destroy(g->scsi);
	g->scsi = NULL;
	machine_run(&g->m, &g->removed);
	assert_int_equal(g->done, DEPTH);
	assert_int_equal(g->disk_closed, 1);
	assert_int_equal(g->disk_why, VG_GONE);
	guest_end(g);
}

/* What a host answers reads: so often that the unit is busy; or nothing. */
struct odd {
	_Atomic int busy;
	_Atomic bool silent;
};

static bool odd_answer(void *context, const struct storvsc_packet *request,
                       struct storvsc_packet *answer)
{
	struct odd *odd = context;

	if (request->operation != STORVSC_EXECUTE_SRB || request->srb.cdb[0] != SCSI_READ_16)
		return true;
	if (odd->busy > 0) {
		odd->busy--;
		answer->srb.scsi_status = SCSI_BUSY;
	}
	return !odd->silent;
}

static void poll_some(struct guest *g)
{
	for (int i = 0; i < 50; i++) {
		machine_feed(&g->m);
		vg_poll(g->m.vg, 16);
	}
}

/* A read that the host finds busy; the kit's clock is ours. */
static enum vg_status read_later(struct guest *g, uint8_t *memory, struct odd *odd, int busy)
{
	uint64_t until = machine_ms() + MACHINE_WAIT_MS;

	odd->busy = busy;
	g->want = 1;
	assert_int_equal(vg_disk_read(g->disk, 0, 0, memory, VG_PAGE, NULL), VG_OK);
	while (odd->busy == busy && machine_ms() < until)
		poll_some(g);
	poll_some(g);
	assert_int_equal(g->done, 0); /* not before time has passed */
	while (!g->over && machine_ms() < until) {
		vg_disk_later(g->disk);
		poll_some(g);
	}
	run_requests(g);
	return g->status[0];
}

static void a_host_is_busy_or_silent(void **state)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct odd odd = { 0 };
	struct odd_host *host;
	uint8_t *memory;

	guest_prepare(g);
	host = odd_host_open(g->uri, odd_answer, &odd, false);
	assert_non_null(host);
	guest_connect(g);
	disk_open(g);
	assert_int_equal(g->units[0].size, ODD_DISK_SIZE);
	memory = machine_pages(&g->m, DEPTH);
	assert_int_equal(read_later(g, memory, &odd, 3), VG_OK);
	assert_int_equal(memory[0], ODD_DISK_BYTE);
	assert_int_equal(odd.busy, 0);
	assert_int_equal(read_later(g, memory, &odd, 1000), VG_FAILED);
	odd.busy = 0;
	odd.silent = true;
	g->want = DEPTH;
	for (uint32_t i = 0; i < DEPTH; i++)
		assert_int_equal(vg_disk_read(g->disk, 0, 0, memory + i * VG_PAGE, VG_PAGE,
		                              (void *)(uintptr_t)i),
		                 VG_OK);
	poll_some(g);
	assert_int_equal(g->done, 0);
	assert_int_equal(vg_disk_close(g->disk), VG_OK);
	machine_run(&g->m, &g->disk_closed);
	assert_int_equal(g->done, DEPTH);
	for (uint32_t i = 0; i < DEPTH; i++)
		assert_int_equal(g->status[i], VG_GONE);
	vg_unload(g->m.vg);
	machine_run(&g->m, &g->unloaded);
	machine_stop(&g->m);
	odd_host_close(host);
	free(g);
}

/* ---- answers that are no success ---- */

struct lie {
	void (*make)(struct storvsc_packet *answer); /* NULL: the truth */
};

static bool lie_answer(void *context, const struct storvsc_packet *request,
                       struct storvsc_packet *answer)
{
	struct lie *lie = context;
	void (*make)(struct storvsc_packet *) = __atomic_load_n(&lie->make, __ATOMIC_ACQUIRE);

	if (make && request->operation == STORVSC_EXECUTE_SRB)
		make(answer);
	return true;
}

static enum vg_status status_of(NTSTATUS status)
{
	switch (status) {
	case STATUS_SHARING_VIOLATION:
	case STATUS_MEDIA_WRITE_PROTECTED:
		return VG_REFUSED;
	case STATUS_NO_SUCH_DEVICE:
		return VG_GONE;
	case STATUS_DEVICE_PROTOCOL_ERROR:
		return VG_MALFORMED;
	default:
		return VG_FAILED;
	}
}

static void all_of_a_disk_is(struct guest *g, uint8_t *memory, enum vg_status status)
{
	g->want = 3;
	assert_int_equal(vg_disk_read(g->disk, 0, 0, memory, VG_PAGE, (void *)0), VG_OK);
	assert_int_equal(vg_disk_write(g->disk, 0, 0, memory, VG_PAGE, (void *)1), VG_OK);
	assert_int_equal(vg_disk_flush(g->disk, 0, (void *)2), VG_OK);
	run_requests(g);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(g->status[i], status);
}

static void what_is_no_success_is_none(void **state)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct lie lie = { NULL };
	struct odd_host *host;
	uint8_t *memory;

	guest_prepare(g);
	host = odd_host_open(g->uri, lie_answer, &lie, false);
	assert_non_null(host);
	guest_connect(g);
	disk_open(g);
	memory = machine_pages(&g->m, 1);
	for (uint32_t i = 0; i < ODD_ANSWERS; i++) {
		__atomic_store_n(&lie.make, odd_answers[i].make, __ATOMIC_RELEASE);
		all_of_a_disk_is(g, memory, status_of(odd_answers[i].status));
	}
	__atomic_store_n(&lie.make, odd_no_data, __ATOMIC_RELEASE);
	g->want = 1; /* a read that moved nothing has read nothing */
	assert_int_equal(vg_disk_read(g->disk, 0, 0, memory, VG_PAGE, NULL), VG_OK);
	run_requests(g);
	assert_int_equal(g->status[0], VG_FAILED);
	__atomic_store_n(&lie.make, NULL, __ATOMIC_RELEASE);
	all_of_a_disk_is(g, memory, VG_OK);
	assert_int_equal(g->m.faults, 0);
	vg_unload(g->m.vg);
	machine_run(&g->m, &g->unloaded);
	machine_stop(&g->m);
	odd_host_close(host);
	free(g);
}

/* ---- integration components ---- */

static void on_shutdown(void *context, struct vg_ic *ic, bool restart, bool force)
{
	struct guest *g = context;

	if (restart)
		g->restart++;
	else
		g->power_off++;
}

static void on_time(void *context, struct vg_ic *ic, const struct vg_time *time)
{
	struct guest *g = context;

	g->time = *time;
	g->times++;
}

static void on_ic_closed(void *context, struct vg_ic *ic, enum vg_status why)
{
	struct guest *g = context;

	g->ic_closed++;
}

static uint64_t told_time(void *context)
{
	return 11644473600ull * 10000000 + 12345; /* 1970, and some */
}

struct ask {
	struct guest *g;
	enum kmcl_shutdown_action action;
	int result;
	uint32_t status;
	_Atomic uint32_t over;
};

/* On a thread of its own: it waits for the guest. Asked again until the versions are agreed on. */
static void *ask(void *context)
{
	struct ask *a = context;
	struct kmcl_shutdown_request request = { .size = sizeof(request), .action = a->action };

	a->result = kmcl_shutdown_ask(a->g->shutdown, &request, MACHINE_WAIT_MS, &a->status);
	a->over = 1;
	return NULL;
}

static uint32_t shut_down(struct guest *g, enum kmcl_shutdown_action action)
{
	struct ask a = { .g = g, .action = action };
	uint64_t until = machine_ms() + MACHINE_WAIT_MS;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, ask, &a), 0);
	while (!a.over && machine_ms() < until) {
		machine_feed(&g->m);
		vg_poll(g->m.vg, 16);
	}
	assert_true(a.over);
	pthread_join(thread, NULL);
	assert_int_equal(a.result, a.status ? -EIO : 0);
	return a.status;
}

static bool heart_beats(struct guest *g)
{
	struct kmcl_heartbeat_info info = { .size = sizeof(info) };

	assert_int_equal(kmcl_heartbeat_query(g->heartbeat, &info), 0);
	return info.state == KMCL_HEARTBEAT_OK && info.health == KMCL_HEARTBEAT_HEALTHY;
}

static void components_answer(void **state)
{
	struct guest *g = guest_start();
	struct kmcl_heartbeat_options beats = { .ic.size = sizeof(beats), .interval_ms = 10 };
	struct kmcl_timesync_options times = { .ic.size = sizeof(times),
		                               .period_ms = 10,
		                               .system_time = told_time };
	struct vg_ic_events events = {
		.context = g, .shutdown = on_shutdown, .time = on_time, .closed = on_ic_closed
	};
	uint64_t until = machine_ms() + MACHINE_WAIT_MS;
	struct vg_ic *ic[3];

	assert_int_equal(kmcl_heartbeat_create(g->host, &beats, &g->heartbeat), 0);
	assert_int_equal(kmcl_shutdown_create(g->host, NULL, &g->shutdown), 0);
	assert_int_equal(kmcl_timesync_create(g->host, &times, &g->timesync), 0);
	guest_connect(g);
	for (int i = 0; i < 3; i++)
		assert_int_equal(vg_ic_open(&ic[i], g->channels[VG_DEVICE_HEARTBEAT + i], &events,
		                            machine_pages(&g->m, VG_IC_PAGES)),
		                 VG_OK);
	machine_run(&g->m, &g->times);
	assert_int_equal(g->time.unix_ns, 1234500);
	while (!heart_beats(g) && machine_ms() < until) {
		machine_feed(&g->m);
		vg_poll(g->m.vg, 16);
	}
	assert_true(heart_beats(g));
	assert_int_equal(shut_down(g, KMCL_SHUTDOWN_RESTART), 0);
	machine_run(&g->m, &g->restart);
	assert_int_equal(shut_down(g, KMCL_SHUTDOWN_POWER_OFF), 0);
	machine_run(&g->m, &g->power_off);
	assert_int_not_equal(shut_down(g, KMCL_SHUTDOWN_HIBERNATE), 0);
	assert_int_equal(g->power_off + g->restart, 2);
	/* one that cannot says so */
	assert_int_equal(vg_ic_close(ic[1]), VG_OK);
	machine_run(&g->m, &g->ic_closed);
	events.shutdown = NULL;
	assert_int_equal(vg_ic_open(&ic[1], g->channels[VG_DEVICE_SHUTDOWN], &events,
	                            machine_pages(&g->m, VG_IC_PAGES)),
	                 VG_OK);
	assert_int_not_equal(shut_down(g, KMCL_SHUTDOWN_POWER_OFF), 0);
	assert_int_equal(g->power_off, 1);
	assert_int_equal(g->m.faults, 0);
	guest_end(g);
}

/* ---- keyboard ---- */

#define KEY_UP 0x80u

static void on_key(void *context, struct vg_keyboard *keyboard, uint16_t code, bool up)
{
	struct guest *g = context;

	assert_in_range(g->key_count, 0, 7);
	g->keys[g->key_count++] = up ? code | KEY_UP : code;
	g->typed = g->key_count == 4;
}

static void on_keyboard_closed(void *context, struct vg_keyboard *keyboard, enum vg_status why)
{
	struct guest *g = context;

	g->keyboard_why = why;
	g->keyboard_closed++;
}

static struct vg_keyboard *keyboard_open(struct guest *g)
{
	struct vg_keyboard_events events = { .context = g,
		                             .key = on_key,
		                             .closed = on_keyboard_closed };
	struct vg_keyboard *keyboard;

	assert_int_equal(vg_keyboard_open(&keyboard, g->channels[VG_DEVICE_KEYBOARD], &events,
	                                  machine_pages(&g->m, VG_KEYBOARD_PAGES)),
	                 VG_OK);
	return keyboard;
}

/* Until its driver is there the host says so. */
static void press(struct guest *g, uint16_t code, bool down)
{
	uint64_t until = machine_ms() + MACHINE_WAIT_MS;
	int error;

	while ((error = kmcl_keyboard_key(g->keyboard, code, down)) == -ENOTCONN &&
	       machine_ms() < until) {
		machine_feed(&g->m);
		vg_poll(g->m.vg, 16);
	}
	assert_int_equal(error, 0);
}

static void keys_arrive(void **state)
{
	static const uint16_t expected[] = { 0x1e, 0x1e | KEY_UP, 0xe04b, 0xe04b | KEY_UP };
	static const struct vg_keyboard_events none;
	struct guest *g = guest_start();
	struct vg_keyboard *keyboard;

	assert_int_equal(kmcl_keyboard_create(g->host, NULL, &g->keyboard), 0);
	guest_connect(g);
	assert_int_equal(vg_keyboard_open(&keyboard, g->channels[VG_DEVICE_KEYBOARD], &none,
	                                  machine_pages(&g->m, VG_KEYBOARD_PAGES)),
	                 VG_INVALID);             /* who would hear of a key? */
	for (int round = 0; round < 2; round++) { /* opened again it asks again */
		g->key_count = g->typed = g->keyboard_closed = 0;
		keyboard = keyboard_open(g);
		for (int i = 0; i < 4; i++)
			press(g, (uint16_t)(expected[i] & ~KEY_UP), !(expected[i] & KEY_UP));
		machine_run(&g->m, &g->typed);
		assert_memory_equal(g->keys, expected, sizeof(expected));
		if (round)
			break;
		assert_int_equal(vg_keyboard_close(keyboard), VG_OK);
		machine_run(&g->m, &g->keyboard_closed);
		assert_int_equal(g->keyboard_why, VG_OK);
	}
	kmcl_keyboard_destroy(g->keyboard);
	g->keyboard = NULL;
	machine_run(&g->m, &g->keyboard_closed);
	assert_int_equal(g->keyboard_why, VG_GONE);
	assert_int_equal(g->m.faults, 0);
	guest_end(g);
}

/* ---- network ---- */

static void on_ready(void *context, struct vg_net *net, const uint8_t address[6], uint32_t mtu)
{
	struct guest *g = context;

	memcpy(g->address, address, 6);
	assert_int_equal(mtu, 1500);
	g->link_up = true;
	g->ready++;
}

static void on_frame(void *context, struct vg_net *net, const void *frame, uint32_t size)
{
	struct guest *g = context;

	assert_in_range(size, 1, VG_NET_FRAME);
	memcpy(g->frame, frame, size);
	g->came_size = size;
	g->came++;
}

static void on_sent(void *context, struct vg_net *net, void *cookie, enum vg_status status)
{
	struct guest *g = context;

	g->sent_status = status;
	g->sent++;
}

static void on_link(void *context, struct vg_net *net, bool up)
{
	struct guest *g = context;

	g->link_up = up;
	g->link_changes++;
}

static void on_net_closed(void *context, struct vg_net *net, enum vg_status why)
{
	struct guest *g = context;

	g->net_closed++;
}

static void net_open(struct guest *g)
{
	struct vg_net_open open = {
		.events = { .context = g,
		            .ready = on_ready,
		            .frame = on_frame,
		            .sent = on_sent,
		            .link = on_link,
		            .closed = on_net_closed },
		.frames_max = FRAMES,
		.receive_pages = 64,
		.memory = machine_pages(&g->m, vg_net_pages(FRAMES, 64)),
	};

	g->ready = 0;
	assert_int_equal(vg_net_open(&g->net, g->channels[VG_DEVICE_NET], &open), VG_OK);
	assert_int_equal(vg_net_send(g->net, open.memory, 64, NULL), VG_STATE);
	machine_run(&g->m, &g->ready);
}

static void one_to_the_guest(struct guest *g, uint32_t length, uint32_t seed)
{
	uint8_t bytes[VG_NET_FRAME];
	struct kmcl_net_received frame = { .data = bytes, .length = length };

	fill(bytes, length, seed);
	memcpy(bytes, g->address, 6);
	bytes[12] = 0x88; /* a type that no adapter looks into */
	bytes[13] = 0xb5;
	g->came = 0;
	assert_int_equal(g->plug.port->ops->receive(g->plug.port, &frame), KMCL_NET_DONE);
	g->plug.port->ops->flush(g->plug.port);
	machine_run(&g->m, &g->came);
	assert_int_equal(g->came_size, length);
	assert_memory_equal(g->frame, bytes, length);
}

static void one_from_the_guest(struct guest *g, uint32_t length, uint32_t seed)
{
	static uint8_t bytes[VG_NET_FRAME];

	fill(bytes, length, seed);
	bytes[0] = 0;
	memcpy(bytes + 6, g->address, 6);
	bytes[12] = 0x88;
	bytes[13] = 0xb5;
	g->sent = 0;
	assert_int_equal(vg_net_send(g->net, bytes, length, g), VG_OK);
	machine_run(&g->m, &g->sent);
	assert_int_equal(g->sent_status, VG_OK);
	pthread_mutex_lock(&g->plug.lock);
	assert_int_equal(g->plug.length, length);
	assert_memory_equal(g->plug.last, bytes, length);
	pthread_mutex_unlock(&g->plug.lock);
}

static void frames_come_and_go(void **state)
{
	struct guest *g = guest_start();
	static const uint8_t own[6] = { 0x00, 0x15, 0x5d, 0x01, 0x02, 0x04 };
	struct kmcl_net_options options = { .size = sizeof(options), .backend = &g->plug.backend };

	g->plug.backend.ops = &plug_ops;
	pthread_mutex_init(&g->plug.lock, NULL);
	memcpy(options.address, own, 6);
	assert_int_equal(kmcl_net_create(g->host, &options, &g->net_service), 0);
	guest_connect(g);
	for (int round = 0; round < 2; round++) {
		net_open(g);
		assert_memory_equal(g->address, own, 6);
		assert_int_equal(vg_net_send(g->net, own, VG_NET_FRAME + 1, NULL), VG_TOO_BIG);
		for (uint32_t i = 0; i < 300; i++) {
			one_from_the_guest(g, 60 + i * 97 % (VG_NET_FRAME - 59), i);
			one_to_the_guest(g, 60 + i * 89 % (VG_NET_FRAME - 59), i);
		}
		g->link_changes = 0;
		kmcl_net_set_link(g->net_service, false);
		machine_run(&g->m, &g->link_changes);
		assert_false(g->link_up);
		g->link_changes = 0;
		kmcl_net_set_link(g->net_service, true);
		machine_run(&g->m, &g->link_changes);
		assert_true(g->link_up);
		g->net_closed = 0;
		assert_int_equal(vg_net_close(g->net), VG_OK);
		machine_run(&g->m, &g->net_closed);
	}
	assert_int_equal(g->m.faults, 0);
	guest_end(g);
}

/* The adapter goes; it was open. */
static void an_adapter_goes(void **state)
{
	struct guest *g = guest_start();
	struct kmcl_net_options options = { .size = sizeof(options), .backend = &g->plug.backend };

	g->plug.backend.ops = &plug_ops;
	pthread_mutex_init(&g->plug.lock, NULL);
	assert_int_equal(kmcl_net_create(g->host, &options, &g->net_service), 0);
	guest_connect(g);
	net_open(g);
	kmcl_net_destroy(g->net_service);
	g->net_service = NULL;
	machine_run(&g->m, &g->removed);
	assert_int_equal(g->net_closed, 1);
	guest_end(g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_disk_is_written_and_read),
		cmocka_unit_test(what_a_disk_cannot_do_is_said),
		cmocka_unit_test(units_come_and_controllers_go),
		cmocka_unit_test(a_host_is_busy_or_silent),
		cmocka_unit_test(what_is_no_success_is_none),
		cmocka_unit_test(components_answer),
		cmocka_unit_test(keys_arrive),
		cmocka_unit_test(frames_come_and_go),
		cmocka_unit_test(an_adapter_goes),
	};

	scheme = argc > 1 ? argv[1] : "local";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
