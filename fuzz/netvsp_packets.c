/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that says to the network adapter what it likes, over a bus, and a back end that does what
 * it likes: each packet is answered exactly once, what goes to the guest lies in its buffer, and
 * the adapter is as new when the channel was closed.
 *
 * Input: steps, a byte that says which and what belongs to it; see step().
 */
#include "channel.h"
#include "net/netvsc_protocol.h"
#include <kmcl/net.h>
#include <kmcl/net_backend.h>
#include "net/rndis.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECEIVE_SIZE (32u << 10)
#define SEND_SIZE    (16u << 10)
#define EXTERNAL     4096u
#define HELD_MAX     64u
#define STEPS_MAX    48u
#define SLICES       100000u /* of 20 us at least */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const GUID type = NETVSC_INTERFACE_TYPE;
static const GUID instance = { 0x6e6574, 1, 2, { 3 } };

static struct {
	HANDLE vmbus;
	PDEVICE_OBJECT bus;
	struct kmcl_net *adapter;
	VMBCHANNEL client;
	uint8_t *receive, *send, *external;
	uint32_t receive_gpadl, send_gpadl;
	_Atomic uint32_t started, sent, answered;
	VMBPACKETCOMPLETION held[HELD_MAX]; /* what the guest has not completed */
	uint32_t held_count;
	bool hold;
	/* the back end */
	struct kmcl_net_port *port;
	enum kmcl_net_result result;
	void *kept[HELD_MAX];
	uint32_t kept_count;
	bool negotiated; /* once an input: it takes other threads a while */
} fuzz;

/* ---- the back end ---- */

static bool plug_start(struct kmcl_net_backend *backend, struct kmcl_net_port *port)
{
	fuzz.port = port;
	return true;
}

static enum kmcl_net_result plug_send(struct kmcl_net_backend *backend,
                                      const struct kmcl_net_frame *frame, void *request)
{
	uint32_t i, k, total = 0;

	must(frame->count > 0 && frame->count <= KMCL_NET_FRAME_PIECES + 1);
	for (i = 0; i < frame->count; i++) {
		total += (uint32_t)frame->iov[i].iov_len;
		for (k = 0; k < frame->iov[i].iov_len; k++)
			(void)((const volatile uint8_t *)frame->iov[i].iov_base)[k];
	}
	must(total == frame->length);
	must(!frame->checksum_start ||
	     frame->checksum_start + frame->checksum_offset + 2u <= frame->iov[0].iov_len);
	must(!frame->segment || frame->header_size <= frame->iov[0].iov_len);
	if (fuzz.result == KMCL_NET_LATER && fuzz.kept_count == HELD_MAX)
		return KMCL_NET_DROPPED;
	if (fuzz.result == KMCL_NET_LATER)
		fuzz.kept[fuzz.kept_count++] = request;
	return fuzz.result;
}

static void plug_resume(struct kmcl_net_backend *backend)
{
}

static void plug_destroy(struct kmcl_net_backend *backend)
{
}

static void give_back_kept(void)
{
	while (fuzz.kept_count)
		fuzz.port->ops->sent(fuzz.port, fuzz.kept[--fuzz.kept_count]);
}

static const struct kmcl_net_backend_ops plain = { "plain",   0,           plug_start,
	                                           plug_send, plug_resume, plug_destroy };
static struct kmcl_net_backend plug = { &plain };

/* ---- the guest ---- */

static void check_ranges(VMBPACKETCOMPLETION packet)
{
	const struct kmcl_transfer_range *ranges;
	uint32_t count, i;
	uint16_t set;

	if (!NT_SUCCESS(kmcl_packet_get_transfer_pages(packet, &set, &ranges, &count)))
		return;
	for (i = 0; i < count; i++)
		must((uint64_t)ranges[i].byte_offset + ranges[i].byte_count <= RECEIVE_SIZE);
}

static void complete(VMBPACKETCOMPLETION packet)
{
	uint32_t answer[2] = { NVSP_RNDIS_PACKET_COMPLETE, NVSP_STATUS_SUCCESS };

	VmbChannelPacketComplete(packet, answer, sizeof(answer));
}

static void complete_held(void)
{
	while (fuzz.held_count)
		complete(fuzz.held[--fuzz.held_count]);
}

static VOID on_packet(VMBCHANNEL channel, VMBPACKETCOMPLETION packet, PVOID buffer, UINT32 size,
                      UINT32 flags)
{
	check_ranges(packet);
	if (fuzz.hold && fuzz.held_count < HELD_MAX)
		fuzz.held[fuzz.held_count++] = packet;
	else
		complete(packet);
}

static VOID on_post_started(VMBCHANNEL channel)
{
	atomic_fetch_add(&fuzz.started, 1);
}

static VOID on_closed(VMBCHANNEL channel)
{
	if (fuzz.receive_gpadl)
		VmbChannelDeleteGpadl(channel, fuzz.receive_gpadl);
	if (fuzz.send_gpadl)
		VmbChannelDeleteGpadl(channel, fuzz.send_gpadl);
	fuzz.receive_gpadl = 0;
	fuzz.send_gpadl = 0;
}

static void wait_for(const _Atomic uint32_t *count, uint32_t least)
{
	uint32_t i;

	for (i = 0; atomic_load(count) < least; i++) {
		must(i < SLICES);
		kmcl_dispatch(0);
		if (i > 10)
			usleep(20);
	}
}

static VOID on_answer(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	PMDL mdl = VmbPacketGetPointer(packet);

	VmbPacketFree(packet);
	if (mdl)
		IoFreeMdl(mdl);
	must(size <= 256);
	atomic_fetch_add(&fuzz.answered, 1);
}

static void say(const void *message, uint32_t size, uint32_t external)
{
	VMBPACKET packet = VmbPacketAllocate(fuzz.client);
	PMDL mdl = NULL;

	must(packet);
	if (external) {
		mdl = IoAllocateMdl(fuzz.external, external, FALSE, FALSE, NULL);
		MmBuildMdlForNonPagedPool(mdl);
	}
	VmbPacketSetPointer(packet, mdl);
	VmbPacketSetCompletionRoutine(packet, on_answer);
	must(NT_SUCCESS(VmbPacketSend(packet, (void *)(uintptr_t)message, size, mdl,
	                              VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION)));
	atomic_fetch_add(&fuzz.sent, 1);
	if (fuzz.result == KMCL_NET_LATER || fuzz.kept_count)
		kmcl_dispatch(0); /* it may be kept, and what comes after it with it */
	else
		wait_for(&fuzz.answered, fuzz.sent);
}

static void open_channel(void)
{
	uint32_t before = fuzz.started;

	must(NT_SUCCESS(VmbChannelEnable(fuzz.client)));
	wait_for(&fuzz.started, before + 1);
	must(NT_SUCCESS(VmbChannelCreateGpadlFromBuffer(fuzz.client, 0, fuzz.receive, RECEIVE_SIZE,
	                                                &fuzz.receive_gpadl)));
	must(NT_SUCCESS(VmbChannelCreateGpadlFromBuffer(fuzz.client, 0, fuzz.send, SEND_SIZE,
	                                                &fuzz.send_gpadl)));
}

static void close_channel(void)
{
	struct kmcl_net_statistics s = { .size = sizeof(s) };

	fuzz.result = KMCL_NET_DONE;
	fuzz.hold = false;
	give_back_kept();
	kmcl_dispatch(0);
	give_back_kept();
	complete_held();
	wait_for(&fuzz.answered, fuzz.sent);
	kmcl_dispatch(0);
	complete_held();
	VmbChannelDisable(fuzz.client);
	kmcl_net_get_statistics(fuzz.adapter, &s);
	must(!s.ready && !s.subchannels);
}

static void configure(void)
{
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;

	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelPostStarted = on_post_started;
	callbacks.EvtChannelClosed = on_closed;
	must(NT_SUCCESS(VmbChannelAllocate(fuzz.bus, FALSE, &fuzz.client)));
	must(NT_SUCCESS(VmbChannelInitSetStateChangeCallbacks(fuzz.client, &callbacks)));
	must(NT_SUCCESS(VmbChannelInitSetProcessPacketCallbacks(fuzz.client, on_packet, NULL)));
	must(NT_SUCCESS(VmbChannelInitSetMaximumPacketSize(fuzz.client, 256)));
	must(NT_SUCCESS(VmbChannelInitSetMaximumExternalData(fuzz.client, 128 << 10, 64)));
	must(NT_SUCCESS(VmbClientChannelInitSetTargetPnp(fuzz.client, &type, &instance, NULL)));
}

static void log_nothing(void *context, enum kmcl_log_level level, const char *channel,
                        const char *text)
{
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct kmcl_dispatch_settings settings = { .size = sizeof(settings), .embedded = 1 };
	const struct kmcl_net_options options = { .size = sizeof(options),
		                                  .instance = kmcl_guid_of_nt(instance),
		                                  .queues = 2,
		                                  .backend = &plug };

	setenv("KMCL_RAM_MB", "16", 1);
	kmcl_log_set(log_nothing, NULL, KMCL_LOG_WARNING);
	must(NT_SUCCESS(kmcl_dispatch_configure(&settings)));
	must(NT_SUCCESS(kmcl_host_open("local:fuzz", &fuzz.vmbus)));
	must(NT_SUCCESS(kmcl_guest_open("local:fuzz", &fuzz.bus)));
	must(!kmcl_net_create(kmcl_host_of_handle(fuzz.vmbus), &options, &fuzz.adapter));
	fuzz.receive = ExAllocatePoolWithTag(NonPagedPoolNx, RECEIVE_SIZE, 'zzuf');
	fuzz.send = ExAllocatePoolWithTag(NonPagedPoolNx, SEND_SIZE, 'zzuf');
	fuzz.external = ExAllocatePoolWithTag(NonPagedPoolNx, EXTERNAL, 'zzuf');
	must(fuzz.receive && fuzz.send && fuzz.external);
	configure();
	return 0;
}

/* ---- steps ---- */

/* What every driver says first, up to and with the filter. */
static void negotiate(struct fuzz_input *in)
{
	static const uint32_t versions[] = { NVSP_VERSION_1, NVSP_VERSION_2, NVSP_VERSION_4,
		                             NVSP_VERSION_5, NVSP_VERSION_6, NVSP_VERSION_61 };
	const uint32_t initialize[6] = { RNDIS_INITIALIZE, 24, 1, 1, 0, 0x4000 };
	const uint32_t filter[8] = { RNDIS_SET, 32, 2, OID_GEN_CURRENT_PACKET_FILTER,
		                     4,         20, 0, NDIS_PACKET_TYPE_PROMISCUOUS };
	uint32_t version = versions[fuzz_byte(in) % 6];
	struct nvsp_message m = { .type = NVSP_INIT, .init = { version, version } };

	say(&m, sizeof(m), 0);
	m = (struct nvsp_message){ .type = NVSP_SEND_NDIS_CONFIG };
	m.ndis_config.mtu = 1514 + fuzz_byte(in) * 16;
	m.ndis_config.capabilities = NVSP_CAPABILITY_VLAN;
	say(&m, sizeof(m), 0);
	m = (struct nvsp_message){ .type = NVSP_SEND_RECEIVE_BUFFER };
	m.buffer.gpadl = fuzz.receive_gpadl;
	say(&m, sizeof(m), 0);
	m = (struct nvsp_message){ .type = NVSP_SEND_SEND_BUFFER };
	m.buffer.gpadl = fuzz.send_gpadl;
	say(&m, sizeof(m), 0);
	m = (struct nvsp_message){ .type = NVSP_RNDIS_PACKET,
		                   .rndis_packet = { 1, NVSP_NO_SECTION, 0 } };
	memcpy(fuzz.external, initialize, sizeof(initialize));
	say(&m, sizeof(m), sizeof(initialize));
	memcpy(fuzz.external, filter, sizeof(filter));
	say(&m, sizeof(m), sizeof(filter));
}

/* A byte of 0xf0 and up where a GPADL would be names one of the two there are. */
static void raw(struct fuzz_input *in)
{
	size_t size = fuzz_byte(in) % 64;
	struct nvsp_message m = { 0 };
	uint8_t bytes[64] = { 0 };

	memcpy(bytes, fuzz_bytes(in, &size), size);
	memcpy(&m, bytes, sizeof(m));
	if (m.type == NVSP_SEND_RECEIVE_BUFFER || m.type == NVSP_SEND_SEND_BUFFER) {
		if (m.buffer.gpadl >= 0xf0)
			m.buffer.gpadl = m.buffer.gpadl & 1 ? fuzz.receive_gpadl : fuzz.send_gpadl;
		memcpy(bytes, &m, sizeof(m));
	}
	say(bytes, (uint32_t)size, 0);
}

static void fill(struct fuzz_input *in, uint8_t *memory, uint32_t room)
{
	uint32_t offset = fuzz_u16(in) % room;
	size_t size = fuzz_u16(in);

	if (size > room - offset)
		size = room - offset;
	memcpy(memory + offset, fuzz_bytes(in, &size), size);
}

static void transmit(struct fuzz_input *in)
{
	struct nvsp_message m = { .type = NVSP_RNDIS_PACKET };
	uint8_t section = fuzz_byte(in);
	uint32_t external;

	m.rndis_packet.section_index = section < 0xf0 ? section : NVSP_NO_SECTION;
	m.rndis_packet.section_bytes = fuzz_u16(in);
	external = fuzz_u16(in) % (EXTERNAL + 1);
	say(&m, sizeof(m), external);
}

static void deliver(struct fuzz_input *in)
{
	struct kmcl_net_received frame = { 0 };
	uint8_t what = fuzz_byte(in), *copy;
	size_t size = fuzz_u16(in);
	const uint8_t *bytes;

	frame.checksum_valid = what & 1;
	if (what & 2) {
		frame.checksum_start = fuzz_byte(in);
		frame.checksum_offset = fuzz_byte(in);
	}
	bytes = fuzz_bytes(in, &size);
	copy = malloc(size ? size : 1);
	memcpy(copy, bytes, size);
	frame.data = copy;
	frame.length = (uint32_t)size;
	fuzz.port->ops->receive(fuzz.port, &frame);
	if (what & 4)
		fuzz.port->ops->flush(fuzz.port);
	kmcl_dispatch(0);
	free(copy);
}

static void step(struct fuzz_input *in)
{
	uint8_t which = fuzz_byte(in);

	switch (which % 10) {
	case 0:
		if (!fuzz.negotiated)
			negotiate(in);
		fuzz.negotiated = true;
		break;
	case 1:
		raw(in);
		break;
	case 2:
		fill(in, fuzz.send, SEND_SIZE);
		break;
	case 3:
		fill(in, fuzz.external, EXTERNAL);
		break;
	case 4:
		transmit(in);
		break;
	case 5:
		deliver(in);
		break;
	case 6:
		fuzz.hold = which & 0x80;
		if (!fuzz.hold)
			complete_held();
		break;
	case 7:
		fuzz.result = (enum kmcl_net_result)(which / 10 % 3);
		break;
	case 8:
		give_back_kept();
		break;
	case 9:
		kmcl_net_set_link(fuzz.adapter, which & 0x80);
		kmcl_dispatch(0);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint32_t steps;

	fuzz.negotiated = false;
	kmcl_net_set_link(fuzz.adapter, true);
	open_channel();
	for (steps = 0; in.left && steps < STEPS_MAX; steps++)
		step(&in);
	close_channel();
	return 0;
}
