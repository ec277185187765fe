/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The API: transactions there and back, and packets one way, between two ends in one process or
 * across two. All of it runs on dispatchers that poll: one in each process, each pinned to a core
 * of its own; in one process both.
 */

#include "rows.h"

#include <ntddk.h>
#include <vmbuskernelmodeclientlibapi.h>
#include <kmcl/kmcl.h>

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT         VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION
#define STREAM_DEPTH 64

static const GUID echo_type = { 0x6b6d636c, 0xbe, 1, { 0 } };
static const GUID sink_type = { 0x6b6d636c, 0xbe, 2, { 0 } };

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void check(NTSTATUS status, const char *what)
{
	if (NT_SUCCESS(status))
		return;
	fprintf(stderr, "bench: %s: status %08x\n", what, (unsigned)status);
	exit(1);
}

static void poll_always(uint32_t dispatchers)
{
	struct kmcl_dispatch_settings settings = { .size = sizeof(settings),
		                                   .dispatchers = dispatchers,
		                                   .spin_us = 1000 };

	check(kmcl_dispatch_configure(&settings), "configuring the dispatchers");
}

/* ---- the server's end ---- */

static VOID echo_packet(VMBCHANNEL channel, VMBPACKETCOMPLETION packet, PVOID buffer, UINT32 size,
                        UINT32 flags)
{
	VmbChannelPacketComplete(packet, buffer, size);
}

static VOID sink_packet(VMBCHANNEL channel, VMBPACKETCOMPLETION packet, PVOID buffer, UINT32 size,
                        UINT32 flags)
{
	VmbChannelPacketComplete(packet, NULL, 0);
}

static void serve(HANDLE vmbus, const GUID *type, PFN_VMB_CHANNEL_PROCESS_PACKET process)
{
	VMBCHANNEL channel;
	HANDLE kernel;

	check(VmbChannelAllocate(NULL, TRUE, &channel), "allocating a server's channel");
	check(VmbConvertVmbusHandleToKernelHandle(vmbus, &kernel), "converting the handle");
	check(VmbServerChannelInitSetVmbusHandle(channel, kernel), "setting the handle");
	check(VmbServerChannelInitSetTargetInterfaceId(channel, *type, *type),
	      "naming the channel");
	check(VmbChannelInitSetProcessPacketCallbacks(channel, process, NULL), "setting callbacks");
	check(VmbChannelInitSetMaximumPacketSize(channel, BENCH_PAYLOAD), "setting the size");
	check(VmbChannelEnable(channel), "offering");
	VmbChannelStart(channel);
}

static HANDLE open_host(const char *uri)
{
	HANDLE vmbus;

	check(kmcl_host_open(uri, &vmbus), "becoming the host");
	serve(vmbus, &echo_type, echo_packet);
	serve(vmbus, &sink_type, sink_packet);
	return vmbus;
}

void channel_other_end(int argc, char **argv)
{
	if (argc != 3 || strcmp(argv[1], "--other-end") != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(1);
	poll_always(1);
	open_host(argv[2]);
	if (write(STDOUT_FILENO, "", 1) != 1)
		exit(1);
	for (;;)
		pause();
}

/* ---- the client's end ---- */

struct client {
	PDEVICE_OBJECT bus;
	VMBCHANNEL echo;
	VMBCHANNEL sink;
	KEVENT started;
	int starts;
};

static VOID client_started(VMBCHANNEL channel)
{
	struct client *c = VmbChannelGetPointer(channel);

	if (__atomic_add_fetch(&c->starts, 1, __ATOMIC_RELAXED) == 2)
		KeSetEvent(&c->started, 0, FALSE);
}

static VMBCHANNEL client_open(struct client *c, const GUID *type)
{
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;
	VMBCHANNEL channel;

	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelPostStarted = client_started;
	check(VmbChannelAllocate(c->bus, FALSE, &channel), "allocating a client's channel");
	VmbChannelSetPointer(channel, c);
	check(VmbClientChannelInitSetTargetPnp(channel, type, NULL, NULL), "naming the channel");
	check(VmbChannelInitSetProcessPacketCallbacks(channel, sink_packet, NULL),
	      "setting callbacks");
	check(VmbChannelInitSetStateChangeCallbacks(channel, &callbacks), "setting callbacks");
	check(VmbChannelInitSetMaximumPacketSize(channel, BENCH_PAYLOAD), "setting the size");
	check(VmbChannelEnable(channel), "opening");
	return channel;
}

static void client_connect(struct client *c, const char *uri)
{
	KeInitializeEvent(&c->started, NotificationEvent, FALSE);
	check(kmcl_guest_open(uri, &c->bus), "becoming the guest");
	c->echo = client_open(c, &echo_type);
	c->sink = client_open(c, &sink_type);
	KeWaitForSingleObject(&c->started, Executive, KernelMode, FALSE, NULL);
}

/* ---- one run: packets that send themselves again until enough were sent ---- */

struct run {
	VMBCHANNEL channel;
	uint64_t left; /* to be sent */
	uint64_t flying;
	uint32_t depth;
	uint32_t size;
	uint32_t flags;
	KEVENT done;
};

static VOID run_again(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	struct run *r = VmbPacketGetPointer(packet);

	check(status, "a packet");
	if (r->left) {
		r->left--;
		check(VmbPacketSend(packet, bench_source, r->size, NULL, r->flags), "sending");
		return;
	}
	VmbPacketFree(packet);
	if (--r->flying == 0)
		KeSetEvent(&r->done, 0, FALSE);
}

static void run_begin(struct run *r)
{
	for (uint32_t i = 0; i < r->depth; i++) {
		VMBPACKET packet = VmbPacketAllocate(r->channel);

		VmbPacketSetPointer(packet, r);
		VmbPacketSetCompletionRoutine(packet, run_again);
		check(VmbPacketSend(packet, bench_source, r->size, NULL, r->flags), "sending");
	}
}

static VOID run_started(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	struct run *r = VmbPacketGetPointer(packet);

	check(status, "the first packet");
	VmbPacketFree(packet);
	run_begin(r);
}

/* Begins in a completion routine, and so stays on the dispatcher: this thread only waits. */
static double run_packets(struct client *c, VMBCHANNEL channel, uint64_t count, uint32_t size,
                          uint32_t depth, uint32_t flags)
{
	struct run r = {
		.channel = channel,
		.left = count,
		.flying = depth,
		.depth = depth,
		.size = size,
		.flags = flags,
	};
	VMBPACKET first = VmbPacketAllocate(c->echo);
	double began = bench_now();

	KeInitializeEvent(&r.done, NotificationEvent, FALSE);
	VmbPacketSetPointer(first, &r);
	VmbPacketSetCompletionRoutine(first, run_started);
	check(VmbPacketSend(first, bench_source, 64, NULL, WAIT), "sending");
	KeWaitForSingleObject(&r.done, Executive, KernelMode, FALSE, NULL);
	return bench_now() - began;
}

/* ---- the rows ---- */

static struct client *client_local(void)
{
	static struct client c;

	if (!c.bus) {
		open_host("local:bench");
		client_connect(&c, "local:bench");
	}
	return &c;
}

void channel_start_other_end(const char *uri)
{
	int ready[2];
	char byte;

	if (pipe(ready) != 0)
		abort();
	if (fork() == 0) {
		dup2(ready[1], STDOUT_FILENO);
		execl("/proc/self/exe", "bench-kmcl", "--other-end", uri, (char *)NULL);
		_exit(127);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		fprintf(stderr, "bench: the other process did not start\n");
		exit(1);
	}
}

static struct client *client_unix(void)
{
	static struct client c;
	static char uri[64];

	if (!c.bus) {
		snprintf(uri, sizeof(uri), "unix:/tmp/kmcl-bench-%d", (int)getpid());
		channel_start_other_end(uri);
		client_connect(&c, uri);
	}
	return &c;
}

double channel_local_echo(uint64_t count, uint32_t size)
{
	return run_packets(client_local(), client_local()->echo, count, size, 1, WAIT);
}

double channel_local_stream(uint64_t count, uint32_t size)
{
	return run_packets(client_local(), client_local()->sink, count, size, STREAM_DEPTH, 0);
}

double channel_unix_echo(uint64_t count, uint32_t size)
{
	return run_packets(client_unix(), client_unix()->echo, count, size, 1, WAIT);
}

static uint64_t streamed, streamed_signals;

double channel_unix_stream(uint64_t count, uint32_t size)
{
	struct client *c = client_unix();
	struct kmcl_channel_info before, after;
	double seconds;

	kmcl_channel_info(c->sink, &before);
	seconds = run_packets(c, c->sink, count, size, STREAM_DEPTH, 0);
	kmcl_channel_info(c->sink, &after);
	if (size <= 64) {
		streamed += count;
		streamed_signals += after.statistics.signals_out - before.statistics.signals_out;
	}
	return seconds;
}

double channel_signals_per_million(void)
{
	return streamed ? (double)streamed_signals * 1e6 / (double)streamed : -1;
}

double channel_unix_request(uint64_t count, uint32_t size)
{
	VMBCHANNEL channel = client_unix()->echo;
	double began = bench_now();

	for (uint64_t i = 0; i < count; i++) {
		uint32_t answer = BENCH_PAYLOAD;

		check(VmbChannelSendSynchronousRequest(channel, bench_source, size, NULL, WAIT,
		                                       bench_target, &answer, NULL),
		      "a request");
	}
	return bench_now() - began;
}
