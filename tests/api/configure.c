/* SPDX-License-Identifier: BSD-2-Clause */

/* Making a channel, configuring it, and what a configuration must not be. */

#include "pair.h"

#include <stdlib.h>

#define KIB 1024u
#define MIB (1024u * KIB)

static VOID ignore_packet(VMBCHANNEL channel, VMBPACKETCOMPLETION packet, PVOID buffer, UINT32 size,
                          UINT32 flags)
{
	VmbChannelPacketComplete(packet, NULL, 0);
}

/* covers: VmbChannelAllocate, VmbChannelCleanup */
static void allocate_and_clean_up(void **state)
{
	struct pair *pair = pair_create();
	DEVICE_OBJECT foreign = { 0 };
	VMBCHANNEL channel = (VMBCHANNEL)pair;

	assert_int_equal(VmbChannelAllocate(NULL, FALSE, &channel), STATUS_INVALID_PARAMETER_1);
	assert_null(channel);
	assert_int_equal(VmbChannelAllocate(&foreign, FALSE, &channel), STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbChannelAllocate(pair->bus, FALSE, NULL), STATUS_INVALID_PARAMETER_3);
	assert_int_equal(VmbChannelAllocate(NULL, TRUE, &channel), STATUS_SUCCESS);
	assert_non_null(channel);
	VmbChannelCleanup(channel);
	assert_int_equal(VmbChannelAllocate(pair->bus, FALSE, &channel), STATUS_SUCCESS);
	/* with packets of its own that were never sent, or only queued, or freed */
	for (int i = 0; i < 100; i++)
		VmbPacketFree(VmbPacketAllocate(channel));
	VmbChannelCleanup(channel);
	pair_destroy(pair);
}

/* ---- each Init function, with arguments it takes ---- */

enum ends { BOTH, SERVER, CLIENT };

static HANDLE some_vmbus;

static NTSTATUS set_packet(VMBCHANNEL ch)
{
	return VmbChannelInitSetMaximumPacketSize(ch, 1000);
}

static NTSTATUS set_external(VMBCHANNEL ch)
{
	return VmbChannelInitSetMaximumExternalData(ch, MIB, 16);
}

static NTSTATUS set_context(VMBCHANNEL ch)
{
	return VmbChannelInitSetClientContextSize(ch, 24);
}

static NTSTATUS set_process(VMBCHANNEL ch)
{
	return VmbChannelInitSetProcessPacketCallbacks(ch, ignore_packet, NULL);
}

static NTSTATUS set_state_callbacks(VMBCHANNEL ch)
{
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;

	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	return VmbChannelInitSetStateChangeCallbacks(ch, &callbacks);
}

static NTSTATUS set_name(VMBCHANNEL ch)
{
	UNICODE_STRING name = RTL_CONSTANT_STRING(L"configured");

	return VmbChannelInitSetFriendlyName(ch, &name);
}

static NTSTATUS set_flags(VMBCHANNEL ch)
{
	return VmbChannelInitSetFlags(ch, VMBUS_CHANNEL_INIT_FLAGS);
}

static NTSTATUS set_server_flags(VMBCHANNEL ch)
{
	return VmbServerChannelInitSetFlags(ch, VMBUS_SERVER_CHANNEL_INIT_FLAGS);
}

static NTSTATUS set_mmio(VMBCHANNEL ch)
{
	return VmbServerChannelInitSetMmioMegabytes(ch, 1, 0);
}

static NTSTATUS set_interface(VMBCHANNEL ch)
{
	return VmbServerChannelInitSetTargetInterfaceId(ch, pair_type, pair_instance);
}

static NTSTATUS set_vtl(VMBCHANNEL ch)
{
	return VmbServerChannelInitSetTargetVtl(ch, 0);
}

static NTSTATUS set_save_restore(VMBCHANNEL ch)
{
	return VmbServerChannelInitSetSaveRestorePacketCallbacks(ch, NULL, NULL);
}

static NTSTATUS set_vmbus(VMBCHANNEL ch)
{
	return VmbServerChannelInitSetVmbusHandle(ch, some_vmbus);
}

static NTSTATUS set_ring(VMBCHANNEL ch)
{
	return VmbClientChannelInitSetRingBufferPageCount(ch, 4, 4);
}

static NTSTATUS set_pnp(VMBCHANNEL ch)
{
	return VmbClientChannelInitSetTargetPnp(ch, &pair_type, &pair_instance, NULL);
}

static NTSTATUS set_offer_data(VMBCHANNEL ch)
{
	return kmcl_server_channel_init_set_offer_data(ch, "x", 1);
}

static NTSTATUS set_subchannel(VMBCHANNEL ch)
{
	return kmcl_channel_init_set_subchannel(ch, 0);
}

static NTSTATUS set_monitored(VMBCHANNEL ch)
{
	return kmcl_server_channel_init_set_monitored(ch, 1000);
}

static NTSTATUS set_dedicated(VMBCHANNEL ch)
{
	return kmcl_server_channel_init_set_dedicated_interrupt(ch, TRUE);
}

static NTSTATUS set_open_data(VMBCHANNEL ch)
{
	return kmcl_client_channel_init_set_open_data(ch, "x", 1);
}

static const struct setter {
	const char *name;
	enum ends ends;
	NTSTATUS (*set)(VMBCHANNEL ch);
} setters[] = {
	{ "MaximumPacketSize", BOTH, set_packet },
	{ "MaximumExternalData", BOTH, set_external },
	{ "ClientContextSize", BOTH, set_context },
	{ "ProcessPacketCallbacks", BOTH, set_process },
	{ "StateChangeCallbacks", BOTH, set_state_callbacks },
	{ "FriendlyName", BOTH, set_name },
	{ "Flags", BOTH, set_flags },
	{ "ServerFlags", SERVER, set_server_flags },
	{ "MmioMegabytes", SERVER, set_mmio },
	{ "TargetInterfaceId", SERVER, set_interface },
	{ "TargetVtl", SERVER, set_vtl },
	{ "SaveRestorePacketCallbacks", SERVER, set_save_restore },
	{ "VmbusHandle", SERVER, set_vmbus },
	{ "RingBufferPageCount", CLIENT, set_ring },
	{ "TargetPnp", CLIENT, set_pnp },
	{ "offer data", SERVER, set_offer_data },
	{ "subchannel", BOTH, set_subchannel },
	{ "monitored", SERVER, set_monitored },
	{ "dedicated interrupt", SERVER, set_dedicated },
	{ "open data", CLIENT, set_open_data },
};

static void expect_setters(VMBCHANNEL channel, bool server, bool may)
{
	for (size_t i = 0; i < sizeof(setters) / sizeof(setters[0]); i++) {
		const struct setter *s = &setters[i];
		bool its = s->ends == BOTH || (s->ends == SERVER) == server;
		NTSTATUS status = s->set(channel);

		if (status != (its && may ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER_1))
			fail_msg("%s on a %s: %#x", s->name, server ? "server" : "client", status);
	}
}

/* covers: VmbChannelInitSetMaximumPacketSize, VmbChannelInitSetMaximumExternalData,
 * VmbChannelInitSetClientContextSize, VmbChannelInitSetProcessPacketCallbacks,
 * VmbChannelInitSetStateChangeCallbacks, VmbChannelInitSetFriendlyName, VmbChannelInitSetFlags,
 * VmbServerChannelInitSetFlags, VmbServerChannelInitSetMmioMegabytes,
 * VmbServerChannelInitSetTargetInterfaceId, VmbServerChannelInitSetTargetVtl,
 * VmbServerChannelInitSetSaveRestorePacketCallbacks, VmbServerChannelInitSetVmbusHandle,
 * VmbClientChannelInitSetRingBufferPageCount, VmbClientChannelInitSetTargetPnp,
 * kmcl_server_channel_init_set_offer_data, kmcl_channel_init_set_subchannel,
 * kmcl_server_channel_init_set_monitored, kmcl_server_channel_init_set_dedicated_interrupt,
 * kmcl_client_channel_init_set_open_data */
static void only_while_disabled_and_at_the_right_end(void **state)
{
	struct pair *pair = pair_create();
	VMBCHANNEL server = pair->server.channel, client = pair->client.channel;

	assert_int_equal(VmbConvertVmbusHandleToKernelHandle(pair->vmbus, &some_vmbus), 0);
	expect_setters(server, true, true);
	expect_setters(client, false, true);
	for (size_t i = 0; i < sizeof(setters) / sizeof(setters[0]); i++)
		assert_int_equal(setters[i].set(NULL), STATUS_INVALID_PARAMETER_1);

	assert_int_equal(VmbChannelEnable(server), STATUS_SUCCESS);
	expect_setters(server, true, false);
	VmbChannelDisable(server);
	expect_setters(server, true, true);

	assert_int_equal(VmbChannelEnable(client), STATUS_SUCCESS); /* waits for an offer */
	expect_setters(client, false, false);
	VmbChannelDisable(client);
	expect_setters(client, false, true);
	ZwClose(some_vmbus);
	pair_destroy(pair);
}

/* covers: VmbChannelInitSetMaximumPacketSize, VmbChannelInitSetMaximumExternalData,
 * VmbChannelInitSetClientContextSize */
static void sizes_have_limits(void **state)
{
	struct pair *pair = pair_create();
	VMBCHANNEL ch = pair->client.channel;

	assert_int_equal(VmbChannelInitSetMaximumPacketSize(ch, 0), STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbChannelInitSetMaximumPacketSize(ch, 256 * KIB + 1),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbChannelInitSetMaximumPacketSize(ch, UINT32_MAX),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbChannelInitSetMaximumPacketSize(ch, 256 * KIB), STATUS_SUCCESS);
	assert_int_equal(VmbChannelInitSetMaximumPacketSize(ch, 1), STATUS_SUCCESS);

	assert_int_equal(VmbChannelInitSetMaximumExternalData(ch, 0, 1),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbChannelInitSetMaximumExternalData(ch, UINT32_MAX, 1),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbChannelInitSetMaximumExternalData(ch, MIB, 0),
	                 STATUS_INVALID_PARAMETER_3);
	assert_int_equal(VmbChannelInitSetMaximumExternalData(ch, MIB, UINT32_MAX),
	                 STATUS_INVALID_PARAMETER_3);
	assert_int_equal(VmbChannelInitSetMaximumExternalData(ch, 64 * MIB + 1, 1),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbChannelInitSetMaximumExternalData(ch, MIB, 4097),
	                 STATUS_INVALID_PARAMETER_3);
	assert_int_equal(VmbChannelInitSetMaximumExternalData(ch, 64 * MIB, 4096), STATUS_SUCCESS);
	assert_int_equal(VmbChannelInitSetMaximumExternalData(ch, 1, 1), STATUS_SUCCESS);

	assert_int_equal(VmbChannelInitSetClientContextSize(ch, MIB + 1),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbChannelInitSetClientContextSize(ch, MIB), STATUS_SUCCESS);
	assert_int_equal(VmbChannelInitSetClientContextSize(ch, 0), STATUS_SUCCESS);
	pair_destroy(pair);
}

/* covers: VmbChannelInitSetProcessPacketCallbacks, VmbChannelInitSetStateChangeCallbacks,
 * VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT */
static void callbacks_are_checked(void **state)
{
	struct pair *pair = pair_create();
	VMBCHANNEL ch = pair->client.channel;
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;

	assert_int_equal(VmbChannelInitSetProcessPacketCallbacks(ch, NULL, NULL),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbChannelInitSetProcessPacketCallbacks(ch, ignore_packet, NULL),
	                 STATUS_SUCCESS);

	memset(&callbacks, 0xff, sizeof(callbacks));
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	assert_int_equal(callbacks.Version, 1);
	assert_int_equal(callbacks.Size, sizeof(callbacks));
	assert_null(callbacks.EvtChannelOpened);
	assert_null(callbacks.EvtChannelClosed);
	assert_null(callbacks.EvtChannelSuspend);
	assert_null(callbacks.EvtChannelStarted);
	assert_null(callbacks.EvtChannelPostStarted);
	assert_int_equal(VmbChannelInitSetStateChangeCallbacks(ch, &callbacks), STATUS_SUCCESS);
	assert_int_equal(VmbChannelInitSetStateChangeCallbacks(ch, NULL),
	                 STATUS_INVALID_PARAMETER_2);
	callbacks.Version = 2;
	assert_int_equal(VmbChannelInitSetStateChangeCallbacks(ch, &callbacks),
	                 STATUS_INVALID_PARAMETER_2);
	callbacks.Version = 1;
	callbacks.Size--;
	assert_int_equal(VmbChannelInitSetStateChangeCallbacks(ch, &callbacks),
	                 STATUS_INVALID_PARAMETER_2);
	pair_destroy(pair);
}

/* A channel without any state callback lives as well. */
/* covers: VmbChannelInitSetStateChangeCallbacks */
static void callbacks_may_be_absent(void **state)
{
	struct pair *pair = pair_create();
	uint64_t word = 3;

	assert_int_equal(set_state_callbacks(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(set_state_callbacks(pair->client.channel), STATUS_SUCCESS);
	assert_int_equal(pair_send(&pair->client, &word, sizeof(word), 1), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	VmbChannelStart(pair->server.channel);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair->client.completions == 1);
	assert_int_equal(pair->client.last_status, STATUS_SUCCESS);
	pair_destroy(pair);
}

/* covers: VmbChannelInitSetFlags, VmbServerChannelInitSetFlags */
static void unknown_flags_are_refused(void **state)
{
	struct pair *pair = pair_create();

	for (uint32_t bit = 1; bit; bit <<= 1) {
		bool known = bit & VMBUS_CHANNEL_INIT_FLAGS;
		bool known_of_servers = bit & VMBUS_SERVER_CHANNEL_INIT_FLAGS;

		assert_int_equal(VmbChannelInitSetFlags(pair->client.channel, bit),
		                 known ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER_2);
		assert_int_equal(VmbServerChannelInitSetFlags(pair->server.channel, bit),
		                 known_of_servers ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER_2);
	}
	pair_destroy(pair);
}

static void expect_name(struct pair *pair, const WCHAR *name, size_t units, const char *utf8)
{
	UNICODE_STRING string = { .Length = (USHORT)(units * sizeof(WCHAR)),
		                  .MaximumLength = (USHORT)(units * sizeof(WCHAR)),
		                  .Buffer = (WCHAR *)(uintptr_t)name };
	struct kmcl_channel_info info;

	assert_int_equal(VmbChannelInitSetFriendlyName(pair->client.channel, &string),
	                 STATUS_SUCCESS);
	kmcl_channel_info(pair->client.channel, &info);
	assert_string_equal(info.name, utf8);
}

/* covers: VmbChannelInitSetFriendlyName */
static void names_become_utf8(void **state)
{
	struct pair *pair = pair_create();
	UNICODE_STRING none = { 0 }, empty = RTL_CONSTANT_STRING(L"");
	const WCHAR lone[] = { 'a', 0xd800, 'b' }, pair_of[] = { 0xd83d, 0xde00 };
	WCHAR many[70];
	char cut[64];

	assert_int_equal(VmbChannelInitSetFriendlyName(pair->client.channel, NULL),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbChannelInitSetFriendlyName(pair->client.channel, &none),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbChannelInitSetFriendlyName(pair->client.channel, &empty),
	                 STATUS_INVALID_PARAMETER_2);
	expect_name(pair, L"disk 0", 6, "disk 0");
	expect_name(pair, L"caf\x00e9 \x4e2d", 6, "caf\xc3\xa9 \xe4\xb8\xad");
	expect_name(pair, lone, 3,
	            "a\xef\xbf\xbd"
	            "b");
	expect_name(pair, pair_of, 2, "\xf0\x9f\x98\x80");
	/* cut at a whole character: 31 of two bytes fit in 63 */
	for (size_t i = 0; i < 70; i++)
		many[i] = 0xe9;
	for (size_t i = 0; i < 31; i++)
		memcpy(cut + 2 * i, "\xc3\xa9", 3);
	expect_name(pair, many, 70, cut);
	pair_destroy(pair);
}

/* covers: VmbServerChannelInitSetMmioMegabytes, VmbServerChannelInitSetTargetVtl */
static void mmio_and_vtl_have_limits(void **state)
{
	struct pair *pair = pair_create();
	VMBCHANNEL ch = pair->server.channel;

	assert_int_equal(VmbServerChannelInitSetMmioMegabytes(ch, 0, 0), STATUS_INVALID_PARAMETER);
	assert_int_equal(VmbServerChannelInitSetMmioMegabytes(ch, 0, 8), STATUS_SUCCESS);
	assert_int_equal(VmbServerChannelInitSetMmioMegabytes(ch, 8, 0), STATUS_SUCCESS);
	for (UINT8 vtl = 0; vtl <= 2; vtl++)
		assert_int_equal(VmbServerChannelInitSetTargetVtl(ch, vtl), STATUS_SUCCESS);
	assert_int_equal(VmbServerChannelInitSetTargetVtl(ch, 3), STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbServerChannelInitSetTargetVtl(ch, 255), STATUS_INVALID_PARAMETER_2);
	pair_destroy(pair);
}

static VOID NTAPI do_nothing(PVOID context)
{
	PsTerminateSystemThread(STATUS_SUCCESS);
}

/* covers: VmbConvertVmbusHandleToKernelHandle, VmbServerChannelInitSetVmbusHandle */
static void handles_are_counted_references(void **state)
{
	struct pair *pair = pair_create();
	HANDLE one, two, thread;
	struct kmcl_bus_info info;

	assert_int_equal(VmbConvertVmbusHandleToKernelHandle(pair->vmbus, NULL),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbConvertVmbusHandleToKernelHandle(NULL, &one), STATUS_INVALID_HANDLE);
	assert_int_equal(VmbConvertVmbusHandleToKernelHandle((HANDLE)0x7ffffff0, &one),
	                 STATUS_INVALID_HANDLE);
	assert_int_equal(PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL,
	                                      do_nothing, NULL),
	                 STATUS_SUCCESS);
	assert_int_equal(VmbConvertVmbusHandleToKernelHandle(thread, &one),
	                 STATUS_OBJECT_TYPE_MISMATCH);
	assert_int_equal(VmbServerChannelInitSetVmbusHandle(pair->server.channel, thread),
	                 STATUS_INVALID_PARAMETER_2);
	ZwClose(thread);
	assert_int_equal(VmbServerChannelInitSetVmbusHandle(pair->server.channel, NULL),
	                 STATUS_INVALID_PARAMETER_2);

	/* one that was not converted, though it is of the right host */
	assert_int_equal(VmbServerChannelInitSetVmbusHandle(pair->server.channel, pair->vmbus),
	                 STATUS_INVALID_PARAMETER_2);

	assert_int_equal(VmbConvertVmbusHandleToKernelHandle(pair->vmbus, &one), STATUS_SUCCESS);
	assert_int_equal(VmbConvertVmbusHandleToKernelHandle(one, &two), STATUS_SUCCESS);
	assert_int_equal(kmcl_host_info(one, &info), STATUS_SUCCESS);
	assert_int_equal(kmcl_host_info(pair->vmbus, &info), STATUS_SUCCESS);
	assert_int_equal(ZwClose(one), STATUS_SUCCESS);
	assert_int_equal(ZwClose(one), STATUS_INVALID_HANDLE);
	assert_int_equal(VmbServerChannelInitSetVmbusHandle(pair->server.channel, one),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbServerChannelInitSetVmbusHandle(pair->server.channel, two),
	                 STATUS_SUCCESS);
	/* the channel keeps the host by itself: it opens with every handle closed */
	assert_int_equal(ZwClose(two), STATUS_SUCCESS);
	assert_int_equal(ZwClose(pair->vmbus), STATUS_SUCCESS);
	pair->vmbus = NULL;
	pair_open(pair);
	pair_destroy(pair);
}

static void expect_rings(struct pair *pair, uint32_t in_pages, uint32_t out_pages)
{
	struct kmcl_channel_info info;

	kmcl_channel_info(pair->client.channel, &info);
	assert_int_equal(info.ring_in_bytes, in_pages * 4096);
	assert_int_equal(info.ring_out_bytes, out_pages * 4096);
	kmcl_channel_info(pair->server.channel, &info);
	assert_int_equal(info.ring_in_bytes, out_pages * 4096);
	assert_int_equal(info.ring_out_bytes, in_pages * 4096);
}

/* What may be NULL may be NULL.
 * covers: kmcl_server_channel_init_set_offer_data, kmcl_client_channel_init_set_open_data,
 * kmcl_server_channel_get_open_data, VmbClientChannelInitSetTargetPnp,
 * VmbServerChannelInitSetSaveRestorePacketCallbacks, VmbChannelInitSetProcessPacketCallbacks,
 * VmbChannelSetPointer, VmbPacketSetPointer, VmbPacketSend, VmbChannelSetInterruptLatency */
/* covers: VmbChannelInitSetProcessPacketCallbacks */
static void optional_pointers(void **state)
{
	struct pair *pair = pair_create();
	VMBCHANNEL client = pair->client.channel, server = pair->server.channel;
	uint8_t byte;
	VMBPACKET packet;

	assert_int_equal(kmcl_server_channel_init_set_offer_data(server, NULL, 0), 0);
	assert_int_equal(kmcl_server_channel_init_set_offer_data(server, NULL, 1),
	                 STATUS_INVALID_PARAMETER_3);
	assert_int_equal(kmcl_client_channel_init_set_open_data(client, NULL, 0), 0);
	assert_int_equal(kmcl_client_channel_init_set_open_data(client, NULL, 1),
	                 STATUS_INVALID_PARAMETER_3);
	assert_int_equal(VmbServerChannelInitSetSaveRestorePacketCallbacks(server, NULL, NULL), 0);
	assert_int_equal(VmbClientChannelInitSetTargetPnp(client, &pair_type, NULL, NULL), 0);
	pair_open(pair);
	assert_int_equal(kmcl_server_channel_get_open_data(server, NULL, 0), 0);
	assert_int_equal(kmcl_server_channel_get_open_data(server, NULL, 1),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(kmcl_server_channel_get_open_data(server, &byte, 1), 0);
	assert_int_equal(VmbChannelSetInterruptLatency(client, 5, NULL), STATUS_NOT_SUPPORTED);
	packet = VmbPacketAllocate(client);
	VmbPacketSetPointer(packet, NULL);
	assert_null(VmbPacketGetPointer(packet));
	VmbPacketSetCompletionRoutine(packet, pair_completed);
	assert_int_equal(VmbPacketSend(packet, NULL, 0, NULL,
	                               VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION |
	                                       VMBUS_CHANNEL_FORMAT_FLAG_PAGED_BUFFER),
	                 0);
	pair_wait(pair->client.completions == 1);
	pair_destroy(pair);
}

/* What the limits allow, the most of it at once, must go through; and back. */
static void expect_largest(struct pair *pair, uint32_t packet, uint32_t external, uint32_t chain)
{
	uint8_t *bytes = calloc(1, packet);
	uint8_t *memory = ExAllocatePoolZero(NonPagedPoolNx, external + PAGE_SIZE, 'tset');
	PMDL first = NULL, *last = &first;
	uint32_t count = pair->client.completions, used = 0;
	VMBPACKET p = VmbPacketAllocate(pair->client.channel);

	assert_non_null(memory);
	/* each piece begins and ends inside a page */
	for (uint32_t i = 0; i < chain; i++) {
		uint32_t size = i + 1 < chain ? external / chain : external - used;

		*last = IoAllocateMdl(memory + 1 + used, size, FALSE, FALSE, NULL);
		MmBuildMdlForNonPagedPool(*last);
		last = &(*last)->Next;
		used += size;
	}
	VmbPacketSetCompletionRoutine(p, pair_completed);
	assert_int_equal(VmbPacketSend(p, bytes, packet, first,
	                               VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION),
	                 STATUS_SUCCESS);
	pair_wait(pair->client.completions == count + 1);
	assert_int_equal(pair->client.last_status, STATUS_SUCCESS);
	count = pair->client.packets;
	assert_int_equal(pair_send(&pair->server, bytes, packet, 0), STATUS_SUCCESS);
	pair_wait(pair->client.packets == count + 1);
	while (first) {
		PMDL next = first->Next;

		IoFreeMdl(first);
		first = next;
	}
	ExFreePoolWithTag(memory, 'tset');
	free(bytes);
}

static NTSTATUS set_limit(VMBCHANNEL ch, int what, const uint32_t *limits)
{
	if (what == 0)
		return VmbClientChannelInitSetRingBufferPageCount(ch, limits[0], limits[0]);
	if (what == 1)
		return VmbChannelInitSetMaximumPacketSize(ch, limits[1]);
	return VmbChannelInitSetMaximumExternalData(ch, limits[2], limits[3]);
}

/* covers: VmbClientChannelInitSetRingBufferPageCount, VmbChannelInitSetMaximumPacketSize,
 * VmbChannelInitSetMaximumExternalData */
static void rings_hold_what_the_limits_allow(void **state)
{
	static const int orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
		                         { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	static const uint32_t limits[][4] = {
		{ 1, 65536, 4096, 1 },      { 2, 4096, 8u << 20, 32 }, { 1, 4096, 1u << 20, 32 },
		{ 1, 262144, 1u << 20, 4 }, { 2, 8, 1u << 20, 512 },   { 60, 8, 4096, 1 },
	};

	for (size_t l = 0; l < sizeof(limits) / sizeof(*limits); l++) {
		for (size_t o = 0; o < sizeof(orders) / sizeof(*orders); o++) {
			struct pair *pair = pair_create();
			struct kmcl_channel_info info;

			for (int i = 0; i < 3; i++)
				assert_int_equal(
					set_limit(pair->client.channel, orders[o][i], limits[l]),
					STATUS_SUCCESS);
			set_limit(pair->server.channel, 1, limits[l]);
			set_limit(pair->server.channel, 2, limits[l]);
			pair_open(pair);
			expect_largest(pair, limits[l][1], limits[l][2], limits[l][3]);
			kmcl_channel_info(pair->client.channel, &info);
			assert_true(info.ring_out_bytes >= limits[l][0] * PAGE_SIZE);
			assert_true(info.ring_in_bytes >= limits[l][0] * PAGE_SIZE);
			if (limits[l][0] == 60)
				assert_int_equal(info.ring_out_bytes, 60 * PAGE_SIZE);
			pair_destroy(pair);
		}
	}
}

/* covers: VmbClientChannelInitSetRingBufferPageCount, kmcl_channel_info */
static void ring_sizes(void **state)
{
	struct pair *pair = pair_create();
	VMBCHANNEL ch = pair->client.channel;

	assert_int_equal(VmbClientChannelInitSetRingBufferPageCount(ch, 0, 8),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbClientChannelInitSetRingBufferPageCount(ch, 8, 0),
	                 STATUS_INVALID_PARAMETER_3);
	assert_int_equal(VmbClientChannelInitSetRingBufferPageCount(ch, 4095, 8),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbClientChannelInitSetRingBufferPageCount(ch, 8, 4095),
	                 STATUS_INVALID_PARAMETER_3);
	assert_int_equal(VmbChannelInitSetMaximumPacketSize(ch, 64), STATUS_SUCCESS);
	assert_int_equal(VmbClientChannelInitSetRingBufferPageCount(ch, 1, 1), STATUS_SUCCESS);
	assert_int_equal(VmbClientChannelInitSetRingBufferPageCount(ch, 5, 9), STATUS_SUCCESS);
	pair_open(pair);
	expect_rings(pair, 5, 9);
	VmbChannelDisable(ch);
	kmcl_channel_info(ch, &(struct kmcl_channel_info){ 0 });
	assert_int_equal(VmbClientChannelInitSetRingBufferPageCount(ch, 4094, 4094),
	                 STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(ch), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "UCOSP"));
	expect_rings(pair, 4094, 4094);
	pair_destroy(pair);
}

/* Both ends agree on a maximum that is larger than the default ring: it has to follow. */
/* covers: VmbChannelInitSetMaximumPacketSize */
static void rings_follow_the_packet_size(void **state)
{
	struct pair *pair = pair_create();
	struct kmcl_channel_info info;

	assert_int_equal(VmbChannelInitSetMaximumPacketSize(pair->client.channel, 256 * KIB), 0);
	assert_int_equal(VmbChannelInitSetMaximumPacketSize(pair->server.channel, 256 * KIB), 0);
	pair_open(pair);
	kmcl_channel_info(pair->client.channel, &info);
	assert_in_range(info.ring_out_bytes, 2 * 256 * KIB, 16 * MIB);
	assert_int_equal(info.ring_out_bytes, info.ring_in_bytes);
	pair_destroy(pair);
}

/* covers: VmbChannelEnable */
static void enable_wants_a_configuration(void **state)
{
	struct pair *pair = pair_create();
	HANDLE kernel;
	VMBCHANNEL ch;

	assert_int_equal(VmbChannelEnable(NULL), STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbChannelAllocate(NULL, TRUE, &ch), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(ch), STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(set_process(ch), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(ch), STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(set_interface(ch), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(ch), STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(VmbConvertVmbusHandleToKernelHandle(pair->vmbus, &kernel), 0);
	assert_int_equal(VmbServerChannelInitSetVmbusHandle(ch, kernel), STATUS_SUCCESS);
	ZwClose(kernel);
	assert_int_equal(VmbChannelEnable(ch), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(ch), STATUS_INVALID_PARAMETER_1);
	/* the pair's server has the same type and instance */
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_OBJECT_NAME_COLLISION);
	VmbChannelDisable(ch);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	VmbChannelCleanup(ch);

	assert_int_equal(VmbChannelAllocate(pair->bus, FALSE, &ch), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(ch), STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(VmbClientChannelInitSetTargetPnp(ch, NULL, NULL, NULL),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(set_pnp(ch), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(ch), STATUS_INVALID_DEVICE_STATE);
	VmbChannelCleanup(ch);
	pair_destroy(pair);
}

/* covers: VmbChannelSetPointer, VmbChannelGetPointer */
static void a_pointer_of_the_drivers(void **state)
{
	struct pair *pair = pair_create();
	int mine;
	KIRQL irql;

	KeRaiseIrql(DISPATCH_LEVEL, &irql);
	VmbChannelSetPointer(pair->client.channel, &mine);
	assert_ptr_equal(VmbChannelGetPointer(pair->client.channel), &mine);
	KeLowerIrql(irql);
	VmbChannelSetPointer(pair->client.channel, NULL);
	assert_null(VmbChannelGetPointer(pair->client.channel));
	assert_ptr_equal(VmbChannelGetPointer(pair->server.channel), &pair->server);
	pair_destroy(pair);
}

/* covers: VmbChannelGetInterfaceInstance, VmbClientChannelInitSetTargetPnp */
static void the_active_instance(void **state)
{
	struct pair *pair = pair_create();
	GUID guid, none = { 0 };

	VmbChannelGetInterfaceInstance(pair->server.channel, &guid);
	assert_memory_equal(&guid, &pair_instance, sizeof(guid));
	VmbChannelGetInterfaceInstance(pair->client.channel, &guid);
	assert_memory_equal(&guid, &pair_instance, sizeof(guid));
	assert_int_equal(
		VmbClientChannelInitSetTargetPnp(pair->client.channel, &pair_type, NULL, NULL),
		STATUS_SUCCESS);
	VmbChannelGetInterfaceInstance(pair->client.channel, &guid);
	assert_memory_equal(&guid, &none, sizeof(guid));
	pair_open(pair);
	VmbChannelGetInterfaceInstance(pair->client.channel, &guid);
	assert_memory_equal(&guid, &pair_instance, sizeof(guid));
	pair_destroy(pair);
}

/* covers: VmbChannelSizeofPacket */
static void packets_grow_with_the_configuration(void **state)
{
	struct pair *pair = pair_create();
	VMBCHANNEL ch = pair->client.channel;
	uint32_t small, large;

	assert_int_equal(VmbChannelSizeofPacket(NULL), 0);
	assert_int_equal(VmbChannelInitSetMaximumPacketSize(ch, 64), STATUS_SUCCESS);
	small = VmbChannelSizeofPacket(ch);
	assert_in_range(small, 64, 64 * KIB);
	assert_int_equal(VmbChannelInitSetMaximumPacketSize(ch, 64 * KIB), STATUS_SUCCESS);
	large = VmbChannelSizeofPacket(ch);
	assert_in_range(large, small + 63 * KIB, small + 65 * KIB);
	pair_open(pair);
	assert_int_equal(VmbChannelSizeofPacket(ch), large);
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocate_and_clean_up),
		cmocka_unit_test(only_while_disabled_and_at_the_right_end),
		cmocka_unit_test(sizes_have_limits),
		cmocka_unit_test(callbacks_are_checked),
		cmocka_unit_test(callbacks_may_be_absent),
		cmocka_unit_test(unknown_flags_are_refused),
		cmocka_unit_test(names_become_utf8),
		cmocka_unit_test(mmio_and_vtl_have_limits),
		cmocka_unit_test(handles_are_counted_references),
		cmocka_unit_test(optional_pointers),
		cmocka_unit_test(rings_hold_what_the_limits_allow),
		cmocka_unit_test(ring_sizes),
		cmocka_unit_test(rings_follow_the_packet_size),
		cmocka_unit_test(enable_wants_a_configuration),
		cmocka_unit_test(a_pointer_of_the_drivers),
		cmocka_unit_test(the_active_instance),
		cmocka_unit_test(packets_grow_with_the_configuration),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("configure", tests, NULL, NULL);
}
