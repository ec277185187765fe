/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What a packet costs in instructions, which unlike time do not depend on who else is on the
 * machine: for scripts/check-instructions, which runs this under callgrind. Both ends are in this
 * process, their callbacks are driven from here, so each part is one end's work and nothing else.
 */

#include <ntddk.h>
#include <vmbuskernelmodeclientlibapi.h>
#include <kmcl/kmcl.h>

#include <stdio.h>
#include <stdlib.h>
#include <valgrind/callgrind.h>

#define WAIT    VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION
#define PAYLOAD 64
#define COUNT   100u /* fit into a ring */
#define WARM_UP 3u

static const GUID type = { 0x6b6d636c, 0xbe, 3, { 0 } };

static uint8_t payload[PAYLOAD];
static VMBPACKET packets[COUNT];
static uint32_t arrived, completed;
static bool started;

static void check(NTSTATUS status, const char *what)
{
	if (NT_SUCCESS(status))
		return;
	fprintf(stderr, "bench-instructions: %s: status %08x\n", what, (unsigned)status);
	exit(1);
}

static VOID on_packet(VMBCHANNEL channel, VMBPACKETCOMPLETION packet, PVOID buffer, UINT32 size,
                      UINT32 flags)
{
	arrived++;
	VmbChannelPacketComplete(packet, buffer, size);
}

static VOID on_completion(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	check(status, "a packet");
	completed++;
}

static VOID on_started(VMBCHANNEL channel)
{
	started = true;
}

static void settle(VMBCHANNEL channel)
{
	check(VmbChannelInitSetProcessPacketCallbacks(channel, on_packet, NULL),
	      "setting callbacks");
	check(VmbChannelInitSetMaximumPacketSize(channel, PAYLOAD), "setting the size");
}

static void serve(const char *uri)
{
	HANDLE vmbus, kernel;
	VMBCHANNEL channel;

	check(kmcl_host_open(uri, &vmbus), "becoming the host");
	check(VmbChannelAllocate(NULL, TRUE, &channel), "allocating the server's channel");
	check(VmbConvertVmbusHandleToKernelHandle(vmbus, &kernel), "converting the handle");
	check(VmbServerChannelInitSetVmbusHandle(channel, kernel), "setting the handle");
	check(VmbServerChannelInitSetTargetInterfaceId(channel, type, type), "naming the channel");
	settle(channel);
	check(VmbChannelEnable(channel), "offering");
	VmbChannelStart(channel);
}

static VMBCHANNEL open_client(const char *uri)
{
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;
	PDEVICE_OBJECT bus;
	VMBCHANNEL channel;

	check(kmcl_guest_open(uri, &bus), "becoming the guest");
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelPostStarted = on_started;
	check(VmbChannelAllocate(bus, FALSE, &channel), "allocating the client's channel");
	check(VmbClientChannelInitSetTargetPnp(channel, &type, NULL, NULL), "naming the channel");
	check(VmbChannelInitSetStateChangeCallbacks(channel, &callbacks), "setting callbacks");
	settle(channel);
	check(VmbChannelEnable(channel), "opening");
	return channel;
}

static void dispatch_until(const uint32_t *counter)
{
	while (*counter < COUNT)
		kmcl_dispatch(0);
}

/* ---- the parts ---- */

/* As a driver sends that has many: the other end is told when the IRQL drops. */
static void send_all(uint32_t flags)
{
	KIRQL irql;

	arrived = completed = 0;
	KeRaiseIrql(DISPATCH_LEVEL, &irql);
	for (uint32_t i = 0; i < COUNT; i++)
		check(VmbPacketSend(packets[i], payload, PAYLOAD, NULL, flags), "sending");
	KeLowerIrql(irql);
}

static void send(void)
{
	send_all(0);
}

static void receive(void)
{
	dispatch_until(&arrived);
}

static void transact(void)
{
	send_all(WAIT);
	dispatch_until(&completed);
}

static void count(const char *part, void (*work)(void))
{
	CALLGRIND_TOGGLE_COLLECT;
	work();
	CALLGRIND_TOGGLE_COLLECT;
	CALLGRIND_DUMP_STATS_AT(part);
}

int main(void)
{
	struct kmcl_dispatch_settings settings = { .size = sizeof(settings), .embedded = 1 };
	VMBCHANNEL channel;

	check(kmcl_dispatch_configure(&settings), "configuring the dispatchers");
	serve("local:instructions");
	channel = open_client("local:instructions");
	while (!started)
		kmcl_dispatch(0);
	for (uint32_t i = 0; i < COUNT; i++) {
		packets[i] = VmbPacketAllocate(channel);
		VmbPacketSetCompletionRoutine(packets[i], on_completion);
	}
	for (uint32_t i = 0; i < WARM_UP; i++) { /* what a first time costs is none of it */
		send();
		receive();
		transact();
	}
	count("send", send);
	count("receive", receive);
	count("transaction", transact);
	printf("%u packets of %u bytes\n", COUNT, PAYLOAD);
	exit(0);
}
