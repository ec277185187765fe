/* SPDX-License-Identifier: BSD-2-Clause */

#define INITGUID
#include "channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RING_PAGES     4u
#define RING_SIZE      (RING_PAGES * WIRE_PAGE_SIZE)
#define PACKET_MAX     512u
#define EXTERNAL       (64u << 10)
#define CHAIN          4u
#define HELD_MAX       16u
#define STEP_MAX       2048u
#define PAGE_MARK      0x9e9e9e9eu
#define EXTERNAL_PAGES 8u
#define FLIGHTS        8u
#define WAIT_SLICES    20000u /* of 50 us to some ms */

DEFINE_GUID(fuzz_type, 0x6b6d636c, 0x6675, 0x7a7a, 0, 1, 2, 3, 4, 5, 6, 7);
DEFINE_GUID(fuzz_instance, 0x6b6d636c, 0x6675, 0x7a7a, 8, 9, 10, 11, 12, 13, 14, 15);

struct fuzz_end {
	VMBCHANNEL channel;
	_Atomic(uint32_t) opened, active, closed;
};

static struct {
	HANDLE vmbus;
	PDEVICE_OBJECT bus;
	struct fuzz_end server, client;
	struct fuzz_end *reader;
	/* the rings' memory as the hostile end has it */
	struct wire_ring_control *control; /* of the ring that the reader reads */
	struct wire_ring_control *other_control;
	uint8_t *data;
	uint32_t next; /* where the next packet goes */
	VMBPACKETCOMPLETION held[HELD_MAX];
	uint32_t held_count;
	uint32_t sent, ended;
	uint8_t *pages; /* the guest's, for external data */
} fuzz;

/* ---- input ---- */

uint8_t fuzz_byte(struct fuzz_input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->data++;
}

uint32_t fuzz_u16(struct fuzz_input *in)
{
	uint32_t low = fuzz_byte(in);

	return low | (uint32_t)fuzz_byte(in) << 8;
}

uint32_t fuzz_u32(struct fuzz_input *in)
{
	uint32_t low = fuzz_u16(in);

	return low | fuzz_u16(in) << 16;
}

const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t *count)
{
	const uint8_t *bytes = in->data;

	if (*count > in->left)
		*count = in->left;
	in->data += *count;
	in->left -= *count;
	return bytes;
}

/* ---- the reader's driver ---- */

static void touch(const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		(void)((const volatile uint8_t *)bytes)[i];
}

static void touch_external(VMBPACKETCOMPLETION packet)
{
	struct iovec iov[64];
	uint32_t count;
	PMDL mdl;

	if (!NT_SUCCESS(VmbChannelPacketGetExternalData(packet, 0, &mdl)))
		return;
	count = kmcl_mdl_iovec(mdl, 0, 1, iov, 64);
	for (PMDL m = mdl; m; m = m->Next) {
		must(MmGetMdlByteCount(m) <= EXTERNAL);
		count = kmcl_mdl_iovec(m, 0, MmGetMdlByteCount(m), iov, 64);
		for (uint32_t i = 0; i < count && i < 64; i++)
			touch(iov[i].iov_base, iov[i].iov_len);
	}
	if (mdl && count % 2)
		MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
}

static void touch_transfer(VMBPACKETCOMPLETION packet)
{
	const struct kmcl_transfer_range *ranges;
	uint64_t end = 0;
	uint32_t count;
	uint16_t set;

	if (!NT_SUCCESS(kmcl_packet_get_transfer_pages(packet, &set, &ranges, &count)))
		return;
	must(count <= CHAIN);
	touch(ranges, count * sizeof(*ranges));
	for (uint32_t i = 0; i < count; i++)
		end = (uint64_t)ranges[i].byte_offset + ranges[i].byte_count;
	must(end <= UINT32_MAX);
}

static VOID on_packet(VMBCHANNEL channel, VMBPACKETCOMPLETION packet, PVOID buffer, UINT32 size,
                      UINT32 flags)
{
	must(size <= PACKET_MAX);
	touch(buffer, size);
	if (flags & VMBUS_CHANNEL_PROCESS_PACKET_FLAG_EXTERNAL_DATA)
		touch_external(packet);
	touch_transfer(packet);
	if (KeGetCurrentIrql() == PASSIVE_LEVEL) /* on a thread of the library's */
		VmbChannelPacketComplete(packet, buffer, size);
	else if (size && *(uint8_t *)buffer % 4 == 2)
		VmbChannelPacketDeferToPassive(packet);
	else if (size && *(uint8_t *)buffer % 4 == 1 && fuzz.held_count < HELD_MAX)
		fuzz.held[fuzz.held_count++] = packet;
	else
		VmbChannelPacketComplete(packet, buffer, size);
}

static void complete_held(void)
{
	while (fuzz.held_count)
		VmbChannelPacketComplete(fuzz.held[--fuzz.held_count], NULL, 0);
}

static VOID on_sent(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	VmbPacketFree(packet);
	must(NT_SUCCESS(status) || status == STATUS_CANCELLED);
	must(size <= PACKET_MAX);
	touch(buffer, size);
	__atomic_fetch_add(&fuzz.ended, 1, __ATOMIC_RELAXED);
}

/* What the hostile end may complete, or pretend to. */
static void send_transactions(void)
{
	uint64_t word = 5;

	for (uint32_t i = 0; i < FLIGHTS; i++) {
		VMBPACKET packet = VmbPacketAllocate(fuzz.reader->channel);

		must(packet);
		VmbPacketSetCompletionRoutine(packet, on_sent);
		fuzz.sent++;
		must(NT_SUCCESS(VmbPacketSend(packet, &word, sizeof(word), NULL,
		                              VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION)));
	}
}

static uint64_t transaction_id(uint8_t which)
{
	const struct channel *ch = (struct channel *)fuzz.reader->channel;
	const struct packet_table *table = &ch->out.table;
	uint32_t slot = which % (2 * FLIGHTS);

	if (slot >= packet_table_count(table))
		return which;
	return (uint64_t)__atomic_load_n(&packet_table_slot(table, slot)->number, __ATOMIC_RELAXED)
	               << 32 |
	       (slot + 1);
}

/* ---- life cycle ---- */

static struct fuzz_end *end_of(VMBCHANNEL channel)
{
	return VmbChannelGetPointer(channel);
}

static NTSTATUS on_opened(VMBCHANNEL channel)
{
	atomic_fetch_add(&end_of(channel)->opened, 1);
	return STATUS_SUCCESS;
}

static VOID on_post_started(VMBCHANNEL channel)
{
	atomic_fetch_add(&end_of(channel)->active, 1);
}

static VOID on_closed(VMBCHANNEL channel)
{
	atomic_fetch_add(&end_of(channel)->closed, 1);
}

static void wait_for(const _Atomic(uint32_t) *count, uint32_t least)
{
	for (unsigned i = 0; atomic_load(count) < least; i++) {
		if (i == WAIT_SLICES) {
			fprintf(stderr, "a callback does not come\n");
			abort();
		}
		kmcl_dispatch(0);
		usleep(20);
	}
}

static void configure(struct fuzz_end *end)
{
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;

	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelOpened = on_opened;
	callbacks.EvtChannelPostStarted = on_post_started;
	callbacks.EvtChannelClosed = on_closed;
	VmbChannelSetPointer(end->channel, end);
	must(NT_SUCCESS(VmbChannelInitSetStateChangeCallbacks(end->channel, &callbacks)));
	must(NT_SUCCESS(VmbChannelInitSetProcessPacketCallbacks(end->channel, on_packet, NULL)));
	must(NT_SUCCESS(VmbChannelInitSetMaximumPacketSize(end->channel, PACKET_MAX)));
	must(NT_SUCCESS(VmbChannelInitSetMaximumExternalData(end->channel, EXTERNAL, CHAIN)));
}

static void log_nothing(void *context, enum kmcl_log_level level, const char *channel,
                        const char *text)
{
}

void fuzz_channel_init(bool reader_is_server)
{
	struct kmcl_dispatch_settings settings = { .size = sizeof(settings), .embedded = 1 };
	HANDLE kernel;

	setenv("KMCL_RAM_MB", "16", 1);
	kmcl_log_set(log_nothing, NULL, KMCL_LOG_WARNING);
	must(NT_SUCCESS(kmcl_dispatch_configure(&settings)));
	must(NT_SUCCESS(kmcl_host_open("local:fuzz", &fuzz.vmbus)));
	must(NT_SUCCESS(kmcl_guest_open("local:fuzz", &fuzz.bus)));
	must(NT_SUCCESS(VmbChannelAllocate(NULL, TRUE, &fuzz.server.channel)));
	must(NT_SUCCESS(VmbChannelAllocate(fuzz.bus, FALSE, &fuzz.client.channel)));
	configure(&fuzz.server);
	configure(&fuzz.client);
	must(NT_SUCCESS(VmbConvertVmbusHandleToKernelHandle(fuzz.vmbus, &kernel)));
	must(NT_SUCCESS(VmbServerChannelInitSetVmbusHandle(fuzz.server.channel, kernel)));
	ZwClose(kernel);
	must(NT_SUCCESS(VmbServerChannelInitSetTargetInterfaceId(fuzz.server.channel, fuzz_type,
	                                                         fuzz_instance)));
	must(NT_SUCCESS(VmbClientChannelInitSetTargetPnp(fuzz.client.channel, &fuzz_type,
	                                                 &fuzz_instance, NULL)));
	must(NT_SUCCESS(VmbClientChannelInitSetRingBufferPageCount(fuzz.client.channel, RING_PAGES,
	                                                           RING_PAGES)));
	fuzz.pages = nt_pages_allocate(EXTERNAL_PAGES);
	must(fuzz.pages);
	fuzz.reader = reader_is_server ? &fuzz.server : &fuzz.client;
	if (reader_is_server) /* the hostile end reads nothing by itself */
		VmbChannelPause(fuzz.client.channel);
	must(NT_SUCCESS(VmbChannelEnable(fuzz.server.channel)));
	if (reader_is_server)
		VmbChannelStart(fuzz.server.channel);
}

static void open_channel(void)
{
	struct channel *client = (struct channel *)fuzz.client.channel;
	uint32_t opened = atomic_load(&fuzz.server.opened),
		 ready = atomic_load(&fuzz.reader->active);
	uint8_t *out, *in;

	must(NT_SUCCESS(VmbChannelEnable(fuzz.client.channel)));
	wait_for(&fuzz.server.opened, opened + 1);
	wait_for(&fuzz.reader->active, ready + 1);
	out = client->rings.memory;
	in = out + client->rings.out_pages * WIRE_PAGE_SIZE;
	if (fuzz.reader == &fuzz.client) {
		uint8_t *swap = out;

		out = in;
		in = swap;
	}
	fuzz.control = (struct wire_ring_control *)out;
	fuzz.data = out + WIRE_PAGE_SIZE;
	fuzz.other_control = (struct wire_ring_control *)in;
	fuzz.next = 0;
}

static void close_channel(void)
{
	uint32_t closed = atomic_load(&fuzz.server.opened);

	kmcl_dispatch(0);
	complete_held();
	VmbChannelDisable(fuzz.client.channel);
	wait_for(&fuzz.server.closed, closed);
	must(atomic_load(&fuzz.client.opened) == atomic_load(&fuzz.client.closed));
	must(__atomic_load_n(&fuzz.ended, __ATOMIC_RELAXED) == fuzz.sent);
}

/* ---- steps ---- */

static void put(uint32_t offset, const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		fuzz.data[(offset + i) % RING_SIZE] = ((const uint8_t *)bytes)[i];
}

static void claim(uint32_t size)
{
	fuzz.next = (fuzz.next + size) % RING_SIZE;
	__atomic_store_n(&fuzz.control->write_index, fuzz.next, __ATOMIC_RELEASE);
}

/* An input cannot know the guest's page numbers: a word whose high half is PAGE_MARK names one of
 * its pages. */
static void name_pages(uint8_t *header, size_t size)
{
	for (size_t i = 8; i + 8 <= size; i += 8) {
		uint32_t words[2];
		uint64_t gpn;

		memcpy(words, header + i, sizeof(words));
		if (words[1] != PAGE_MARK)
			continue;
		gpn = guest_page((struct channel *)fuzz.client.channel,
		                 fuzz.pages + words[0] % EXTERNAL_PAGES * WIRE_PAGE_SIZE);
		memcpy(header + i, &gpn, sizeof(gpn));
	}
}

static void step_packet(struct fuzz_input *in)
{
	uint8_t bytes[STEP_MAX];
	static const uint8_t types[] = { WIRE_PACKET_DATA_INBAND, WIRE_PACKET_DATA_GPA_DIRECT,
		                         WIRE_PACKET_COMPLETION };
	uint8_t what = fuzz_byte(in), which = fuzz_byte(in);
	size_t header = fuzz_byte(in) % 32 * 8u, size = fuzz_u16(in) % 1024, padded;
	struct wire_packet packet = {
		.type = what % 4 < 3 ? types[what % 4] : which,
		.flags = what >> 2 & 1,
	};

	if (packet.type != WIRE_PACKET_DATA_GPA_DIRECT &&
	    packet.type != WIRE_PACKET_DATA_TRANSFER_PAGES)
		header = 0;
	size += header;
	memcpy(bytes, fuzz_bytes(in, &size), size);
	if (header > size)
		header = size / 8 * 8;
	name_pages(bytes, header);
	padded = (size + 7) / 8 * 8;
	packet.offset8 = (uint16_t)((sizeof(packet) + header) / 8);
	packet.length8 = (uint16_t)((sizeof(packet) + padded) / 8);
	packet.transaction_id = what & 8 ? which : transaction_id(which);
	put(fuzz.next, &packet, sizeof(packet));
	put(fuzz.next + sizeof(packet), bytes, size);
	claim((uint32_t)(sizeof(packet) + padded + WIRE_PACKET_FOOTER_SIZE));
}

static void step_raw(struct fuzz_input *in)
{
	size_t size = fuzz_u16(in) % STEP_MAX;
	const uint8_t *bytes = fuzz_bytes(in, &size);

	put(fuzz.next, bytes, size);
	claim((uint32_t)(size + 7) / 8 * 8);
}

static void step_poke(struct fuzz_input *in)
{
	uint32_t offset = fuzz_u16(in);
	size_t size = fuzz_byte(in);
	const uint8_t *bytes = fuzz_bytes(in, &size);

	put(offset, bytes, size);
}

static void step_control(struct fuzz_input *in)
{
	uint8_t which = fuzz_byte(in);
	struct wire_ring_control *control = which & 4 ? fuzz.other_control : fuzz.control;
	uint32_t *words[] = { &control->write_index, &control->read_index, &control->interrupt_mask,
		              &control->pending_send_size };

	__atomic_store_n(words[which % 4], fuzz_u32(in), __ATOMIC_RELEASE);
}

static void run_reader(void)
{
	dispatcher_kick((struct channel *)fuzz.reader->channel);
	kmcl_dispatch(0);
}

static void step(struct fuzz_input *in)
{
	switch (fuzz_byte(in) % FUZZ_STEPS) {
	case FUZZ_PACKET:
		step_packet(in);
		break;
	case FUZZ_RAW:
		step_raw(in);
		break;
	case FUZZ_POKE:
		step_poke(in);
		break;
	case FUZZ_CONTROL:
		step_control(in);
		break;
	case FUZZ_RUN:
		run_reader();
		break;
	case FUZZ_COMPLETE:
		complete_held();
		break;
	}
}

/* A guest that found a fault closes by itself, and the rings' memory is something else then. */
static bool rings_are_there(uint64_t faults)
{
	const struct channel *ch = (const struct channel *)fuzz.reader->channel;

	return ch->server || atomic_load(&ch->faults) == faults;
}

void fuzz_channel_run(const uint8_t *data, size_t size)
{
	const struct channel *ch = (const struct channel *)fuzz.reader->channel;
	uint64_t faults = atomic_load(&ch->faults);
	struct fuzz_input in = { data, size };

	open_channel();
	send_transactions();
	run_reader();
	while (in.left && rings_are_there(faults))
		step(&in);
	run_reader();
	close_channel();
}
