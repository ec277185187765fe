/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Random reads of 4 KiB from an image in the page cache: through our disk from another process, by
 * io_uring on the same file in this process, and through nbdkit's file plugin over a Unix socket
 * with libnbd. Each at queue depth 1 and 32, interleaved; a ratio is the median of the runs'
 * ratios.
 */

#include "bench.h"

#include "scsi/storvsc.h"
#include <kmcl/disk.h>

#include <ntddk.h>
#include <kmcl/kmcl.h>

#include <fcntl.h>
#include <liburing.h>
#include <libnbd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define IMAGE_BYTES (256ull << 20)
#define BLOCK       4096u
#define DEPTH_MAX   32u

static const GUID instance = { 0x6b6d636c, 0xd15c, 1, { 0 } };
static char image[] = "/tmp/kmcl-bench-XXXXXX";

static void fail(const char *what)
{
	fprintf(stderr, "bench: %s\n", what);
	exit(1);
}

static void check(NTSTATUS status, const char *what)
{
	if (NT_SUCCESS(status))
		return;
	fprintf(stderr, "bench: %s: status %08x\n", what, (unsigned)status);
	exit(1);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* The same places in each run and for each row. */
static uint64_t random_place(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (*state >> 33) % (IMAGE_BYTES / BLOCK) * BLOCK;
}

static void make_image(void)
{
	static uint8_t block[1 << 20];
	int fd = mkstemp(image);

	if (fd < 0)
		fail("making an image");
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 2654435761u >> 13);
	for (uint64_t at = 0; at < IMAGE_BYTES; at += sizeof(block))
		if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
			fail("writing the image");
	close(fd);
}

static void remove_image(void)
{
	unlink(image);
}

static void poll_always(void)
{
	struct kmcl_dispatch_settings settings = { .size = sizeof(settings),
		                                   .dispatchers = 1,
		                                   .spin_us = 1000 };

	check(kmcl_dispatch_configure(&settings), "configuring the dispatcher");
}

/* ---- our disk ---- */

static void host_main(const char *uri, const char *path)
{
	struct kmcl_scsi_options options = { .size = sizeof(options),
		                             .instance = kmcl_guid_of_nt(instance) };
	struct kmcl_scsi *controller;
	char why[256] = "";
	HANDLE vmbus;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(1);
	poll_always();
	check(kmcl_host_open(uri, &vmbus), "becoming the host");
	check(kmcl_scsi_create(kmcl_host_of_handle(vmbus), &options, &controller),
	      "making a controller");
	check(kmcl_scsi_add_disk(
		      controller, 0, 0, path,
		      &(struct kmcl_disk_options){ .size = sizeof(struct kmcl_disk_options),
	                                           .read_only = true },
		      why, sizeof(why)),
	      why);
	if (write(STDOUT_FILENO, "", 1) != 1)
		exit(1);
	for (;;)
		pause();
}

static void start_host(const char *uri)
{
	int ready[2];
	char byte;

	if (pipe(ready) != 0)
		fail("a pipe");
	if (fork() == 0) {
		dup2(ready[1], STDOUT_FILENO);
		execl("/proc/self/exe", "bench-disk", "--host", uri, image, (char *)NULL);
		_exit(127);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		fail("the host's process did not start");
}

struct disk_run {
	struct storvsc *controller;
	struct storvsc_disk disk;
	struct storvsc_io ios[DEPTH_MAX];
	PMDL mdls[DEPTH_MAX];
	uint64_t left, flying, seed;
	KEVENT done;
};

static void disk_open(struct disk_run *r)
{
	static char uri[64];
	PDEVICE_OBJECT bus;

	snprintf(uri, sizeof(uri), "unix:/tmp/kmcl-bench-disk-%d", (int)getpid());
	start_host(uri);
	check(kmcl_guest_open(uri, &bus), "becoming the guest");
	check(storvsc_open(bus, NULL, &r->controller), "opening the controller");
	check(storvsc_identify(r->controller, (struct storvsc_address){ 0, 0 }, &r->disk),
	      "finding the disk");
	for (unsigned i = 0; i < DEPTH_MAX; i++) {
		void *buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, BLOCK, 'hcnb');

		r->mdls[i] = buffer ? IoAllocateMdl(buffer, BLOCK, FALSE, FALSE, NULL) : NULL;
		if (!r->mdls[i])
			fail("memory");
		MmBuildMdlForNonPagedPool(r->mdls[i]);
	}
}

static void disk_done(struct storvsc_io *io)
{
	struct disk_run *r = io->context;

	check(io->status, "a read");
	if (io->transferred != BLOCK)
		fail("a read moved less than was asked for");
	if (r->left) {
		r->left--;
		storvsc_prepare_read(io, &r->disk, random_place(&r->seed), BLOCK);
		storvsc_submit(r->controller, io);
		return;
	}
	if (--r->flying == 0)
		KeSetEvent(&r->done, 0, FALSE);
}

static double disk_run(uint64_t count, unsigned depth)
{
	static struct disk_run r;
	double began;
	KIRQL irql;

	if (!r.controller)
		disk_open(&r);
	began = bench_now();
	KeInitializeEvent(&r.done, NotificationEvent, FALSE);
	r.seed = 1;
	r.left = count;
	r.flying = depth;
	KeRaiseIrql(DISPATCH_LEVEL, &irql);
	for (unsigned i = 0; i < depth; i++) {
		struct storvsc_io *io = &r.ios[i];

		*io = (struct storvsc_io){ .mdl = r.mdls[i], .done = disk_done, .context = &r };
		storvsc_prepare_read(io, &r.disk, random_place(&r.seed), BLOCK);
		storvsc_submit(r.controller, io);
	}
	KeLowerIrql(irql);
	KeWaitForSingleObject(&r.done, Executive, KernelMode, FALSE, NULL);
	return bench_now() - began;
}

static double disk_1(uint64_t count, uint32_t size)
{
	return disk_run(count, 1);
}

static double disk_32(uint64_t count, uint32_t size)
{
	return disk_run(count, 32);
}

/* ---- io_uring on the file ---- */

struct uring_run {
	struct io_uring ring;
	int fd;
	uint8_t *buffers;
};

static void uring_queue(struct uring_run *u, unsigned slot, uint64_t at)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	io_uring_prep_read(sqe, u->fd, u->buffers + slot * BLOCK, BLOCK, at);
	io_uring_sqe_set_data64(sqe, slot);
}

static double uring_run(uint64_t count, unsigned depth)
{
	static struct uring_run u = { .fd = -1 };
	uint64_t queued = 0, finished = 0, seed = 1;
	double began;

	if (u.fd < 0) {
		u.fd = open(image, O_RDONLY | O_CLOEXEC);
		u.buffers = aligned_alloc(BLOCK, DEPTH_MAX * BLOCK);
		if (u.fd < 0 || !u.buffers || io_uring_queue_init(DEPTH_MAX, &u.ring, 0) != 0)
			fail("io_uring");
	}
	began = bench_now();
	while (queued < depth)
		uring_queue(&u, (unsigned)queued++, random_place(&seed));
	while (finished < count) {
		struct io_uring_cqe *cqe;
		unsigned head, n = 0;

		if (io_uring_submit_and_wait(&u.ring, 1) < 0)
			fail("submitting");
		io_uring_for_each_cqe(&u.ring, head, cqe)
		{
			if (cqe->res != (int)BLOCK)
				fail("a read by io_uring");
			n++;
			if (queued < count) {
				uring_queue(&u, (unsigned)cqe->user_data, random_place(&seed));
				queued++;
			}
		}
		io_uring_cq_advance(&u.ring, n);
		finished += n;
	}
	return bench_now() - began;
}

static double uring_1(uint64_t count, uint32_t size)
{
	return uring_run(count, 1);
}

static double uring_32(uint64_t count, uint32_t size)
{
	return uring_run(count, 32);
}

/* ---- nbdkit ---- */

struct nbd_run {
	struct nbd_handle *nbd;
	uint8_t *buffers;
	uint64_t left, finished, seed;
};

static void nbd_start(struct nbd_run *n)
{
	static char command[] = "nbdkit", parent[] = "--exit-with-parent", read_only[] = "-r",
		    plugin[] = "file";
	char *argv[] = { command, parent, read_only, plugin, image, NULL };

	n->nbd = nbd_create();
	n->buffers = aligned_alloc(BLOCK, DEPTH_MAX * BLOCK);
	if (!n->nbd || !n->buffers || nbd_connect_systemd_socket_activation(n->nbd, argv) < 0) {
		fprintf(stderr, "bench: nbdkit: %s\n", nbd_get_error());
		exit(1);
	}
}

struct nbd_slot {
	struct nbd_run *run;
	unsigned index;
};

static int nbd_done(void *context, int *error)
{
	struct nbd_slot *slot = context;

	if (*error)
		fail("a read by nbdkit");
	slot->run->finished++;
	return 1;
}

static void nbd_queue(struct nbd_run *n, struct nbd_slot *slot)
{
	nbd_completion_callback done = { .callback = nbd_done, .user_data = slot };

	if (nbd_aio_pread(n->nbd, n->buffers + slot->index * BLOCK, BLOCK, random_place(&n->seed),
	                  done, 0) < 0)
		fail("reading by nbdkit");
}

/* As many in flight as `depth`; libnbd's poll moves them on. */
static double nbd_run(uint64_t count, unsigned depth)
{
	static struct nbd_run n;
	static struct nbd_slot slots[DEPTH_MAX];
	uint64_t queued = 0;
	double began;

	if (!n.nbd)
		nbd_start(&n);
	began = bench_now();
	n.seed = 1;
	n.finished = 0;
	while (n.finished < count) {
		while (queued < count && queued - n.finished < depth) {
			struct nbd_slot *slot = &slots[queued++ % depth];

			*slot = (struct nbd_slot){ &n, (unsigned)(slot - slots) };
			nbd_queue(&n, slot);
		}
		if (n.finished < count && nbd_poll(n.nbd, -1) < 0)
			fail("polling nbdkit");
	}
	return bench_now() - began;
}

static double nbd_1(uint64_t count, uint32_t size)
{
	return nbd_run(count, 1);
}

static double nbd_32(uint64_t count, uint32_t size)
{
	return nbd_run(count, 32);
}

/* clang-format off */
static struct bench_row rows[] = {
	{ "io_uring, depth 1", BLOCK, BENCH_RATE, uring_1, 20000, NULL, 0 },
	{ "kmcl disk, depth 1", BLOCK, BENCH_RATE, disk_1, 20000, "io_uring, depth 1", 0.45 },
	{ "nbdkit, depth 1", BLOCK, BENCH_RATE, nbd_1, 2000, "io_uring, depth 1", 0 },
	{ "io_uring, depth 32", BLOCK, BENCH_RATE, uring_32, 100000, NULL, 0 },
	{ "kmcl disk, depth 32", BLOCK, BENCH_RATE, disk_32, 100000, "io_uring, depth 32", 0.7 },
	{ "nbdkit, depth 32", BLOCK, BENCH_RATE, nbd_32, 10000, "io_uring, depth 32", 0 },
	{ "kmcl against nbdkit, depth 32", BLOCK, BENCH_RATE, disk_32, 100000, "nbdkit, depth 32", 6 },
};
/* clang-format on */

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "--host") == 0)
		host_main(argv[2], argv[3]);
	pin(0);
	poll_always();
	make_image();
	atexit(remove_image);
	return bench_main(argc, argv, rows, sizeof(rows) / sizeof(rows[0]));
}
