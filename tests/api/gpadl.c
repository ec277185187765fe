/* SPDX-License-Identifier: BSD-2-Clause */

/* GPADLs: memory that the guest describes once and the host maps. */

#include "pair.h"

#include <stdlib.h>

static struct pair *opened(void)
{
	struct pair *pair = pair_create();

	pair_open(pair);
	return pair;
}

/* covers: VmbChannelCreateGpadlFromBuffer, VmbChannelMapGpadl, VmbChannelUnmapGpadl,
 * VmbChannelDeleteGpadl */
static void host_maps_the_guests_buffer(void **state)
{
	struct pair *pair = opened();
	uint8_t *buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, 300000, 'tset'), *theirs;
	UINT32 handle = 0;
	PMDL mdl;

	assert_non_null(buffer);
	memset(buffer, 3, 300000);
	/* enough pages for several messages, and not page-aligned */
	assert_int_equal(VmbChannelCreateGpadlFromBuffer(pair->client.channel, 0, buffer + 10,
	                                                 299000, &handle),
	                 STATUS_SUCCESS);
	assert_int_not_equal(handle, 0);
	assert_int_equal(VmbChannelMapGpadl(pair->server.channel, 0, handle, &mdl), STATUS_SUCCESS);
	assert_int_equal(MmGetMdlByteCount(mdl), 299000);
	theirs = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
	assert_non_null(theirs);
	assert_int_equal(theirs[0], 3);
	theirs[0] = 9;
	theirs[298999] = 8;
	assert_int_equal(buffer[10], 9);
	assert_int_equal(buffer[10 + 298999], 8);
	VmbChannelUnmapGpadl(pair->server.channel, handle);
	VmbChannelDeleteGpadl(pair->client.channel, handle);
	/* it is gone */
	assert_int_equal(VmbChannelMapGpadl(pair->server.channel, 0, handle, &mdl),
	                 STATUS_INVALID_PARAMETER_3);
	ExFreePoolWithTag(buffer, 'tset');
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* As many pages as the wire has words for, less one for the range.
 * covers: VmbChannelCreateGpadlFromBuffer, VmbChannelCreateGpadlFromMdl */
/* covers: VmbChannelCreateGpadlFromMdl */
static void as_large_as_the_wire_can_say(void **state)
{
	enum { MOST = 8190 * PAGE_SIZE };
	const uint32_t sizes[] = { 16 << 20, 24 << 20, MOST };
	struct pair *pair = opened();
	uint8_t *buffer = ExAllocatePoolZero(NonPagedPoolNx, MOST + PAGE_SIZE, 'tset'), *theirs;
	UINT32 handle = 0;
	PMDL mdl, all;

	assert_non_null(buffer);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		assert_int_equal(VmbChannelCreateGpadlFromBuffer(pair->client.channel, 0, buffer,
		                                                 sizes[i], &handle),
		                 STATUS_SUCCESS);
		assert_int_equal(VmbChannelMapGpadl(pair->server.channel, 0, handle, &mdl),
		                 STATUS_SUCCESS);
		assert_int_equal(MmGetMdlByteCount(mdl), sizes[i]);
		theirs = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
		assert_non_null(theirs);
		theirs[sizes[i] - 1] = (uint8_t)(i + 1);
		assert_int_equal(buffer[sizes[i] - 1], i + 1);
		VmbChannelUnmapGpadl(pair->server.channel, handle);
		VmbChannelDeleteGpadl(pair->client.channel, handle);
	}
	/* more is refused, and that as what it is */
	assert_int_equal(
		VmbChannelCreateGpadlFromBuffer(pair->client.channel, 0, buffer, MOST + 1, &handle),
		STATUS_INVALID_BUFFER_SIZE);
	all = IoAllocateMdl(buffer, 0xfffff000u, FALSE, FALSE, NULL);
	assert_non_null(all);
	MmBuildMdlForNonPagedPool(all);
	assert_int_equal(VmbChannelCreateGpadlFromMdl(pair->client.channel, 0, all, 0, 0, &handle),
	                 STATUS_INVALID_BUFFER_SIZE);
	assert_int_equal(
		VmbChannelCreateGpadlFromMdl(pair->client.channel, 0, all, MOST, 10, &handle),
		STATUS_SUCCESS);
	VmbChannelDeleteGpadl(pair->client.channel, handle);
	assert_int_equal(
		VmbChannelCreateGpadlFromMdl(pair->client.channel, 0, all, 0xfffff000u, 1, &handle),
		STATUS_INVALID_PARAMETER_4);
	assert_int_equal(
		VmbChannelCreateGpadlFromMdl(pair->client.channel, 0, all, 0xffffefffu, 2, &handle),
		STATUS_INVALID_PARAMETER_5);
	IoFreeMdl(all);
	ExFreePoolWithTag(buffer, 'tset');
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: VmbChannelCreateGpadlFromMdl, VmbChannelMapGpadl */
static void chains_keep_their_pieces(void **state)
{
	struct pair *pair = opened();
	uint8_t *a = ExAllocatePool2(POOL_FLAG_NON_PAGED, 5000, 'tset');
	uint8_t *b = ExAllocatePool2(POOL_FLAG_NON_PAGED, 700, 'tset');
	PMDL mdl = IoAllocateMdl(a, 5000, FALSE, FALSE, NULL), theirs;
	UINT32 handle;

	MmBuildMdlForNonPagedPool(mdl);
	mdl->Next = IoAllocateMdl(b, 700, FALSE, FALSE, NULL);
	MmBuildMdlForNonPagedPool(mdl->Next);
	b[0] = 77;
	assert_int_equal(
		VmbChannelCreateGpadlFromMdl(pair->client.channel, 0, mdl, 1000, 4500, &handle),
		STATUS_SUCCESS);
	assert_int_equal(VmbChannelMapGpadl(pair->server.channel, 0, handle, &theirs),
	                 STATUS_SUCCESS);
	assert_int_equal(MmGetMdlByteCount(theirs), 4000);
	assert_int_equal(MmGetMdlByteCount(theirs->Next), 500);
	assert_int_equal(*(uint8_t *)MmGetSystemAddressForMdlSafe(theirs->Next, NormalPagePriority),
	                 77);
	VmbChannelUnmapGpadl(pair->server.channel, handle);
	VmbChannelDeleteGpadl(pair->client.channel, handle);
	IoFreeMdl(mdl->Next);
	IoFreeMdl(mdl);
	ExFreePoolWithTag(a, 'tset');
	ExFreePoolWithTag(b, 'tset');
	pair_destroy(pair);
}

/* covers: VmbChannelMapGpadl, VmbChannelUnmapGpadl */
static void one_mapping_at_a_time(void **state)
{
	struct pair *pair = opened();
	uint8_t *buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, PAGE_SIZE, 'tset');
	UINT32 handle;
	PMDL mdl, again;

	assert_int_equal(VmbChannelCreateGpadlFromBuffer(pair->client.channel, 0, buffer, PAGE_SIZE,
	                                                 &handle),
	                 STATUS_SUCCESS);
	assert_int_equal(VmbChannelMapGpadl(pair->server.channel, 0, handle, &mdl), STATUS_SUCCESS);
	assert_int_equal(VmbChannelMapGpadl(pair->server.channel, 0, handle, &again),
	                 STATUS_ALREADY_COMMITTED);
	VmbChannelUnmapGpadl(pair->server.channel, handle);
	assert_int_equal(VmbChannelMapGpadl(pair->server.channel, 0, handle, &mdl), STATUS_SUCCESS);
	VmbChannelUnmapGpadl(pair->server.channel, handle);
	VmbChannelDeleteGpadl(pair->client.channel, handle);
	ExFreePoolWithTag(buffer, 'tset');
	pair_destroy(pair);
}

/* covers: VmbChannelCreateGpadlFromBuffer, VmbChannelMapGpadl */
static void read_only_is_not_mapped_for_writing(void **state)
{
	struct pair *pair = opened();
	uint8_t *buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, PAGE_SIZE, 'tset');
	UINT32 handle;
	PMDL mdl;

	assert_int_equal(VmbChannelCreateGpadlFromBuffer(pair->client.channel,
	                                                 VMBUS_CHANNEL_GPADL_FLAG_READ_ONLY, buffer,
	                                                 PAGE_SIZE, &handle),
	                 STATUS_SUCCESS);
	assert_int_equal(VmbChannelMapGpadl(pair->server.channel, 0, handle, &mdl),
	                 STATUS_ACCESS_DENIED);
	assert_int_equal(VmbChannelMapGpadl(pair->server.channel,
	                                    VMBUS_CHANNEL_GPADL_FLAG_READ_ONLY, handle, &mdl),
	                 STATUS_SUCCESS);
	VmbChannelUnmapGpadl(pair->server.channel, handle);
	VmbChannelDeleteGpadl(pair->client.channel, handle);
	ExFreePoolWithTag(buffer, 'tset');
	pair_destroy(pair);
}

struct unmap_later {
	VMBCHANNEL channel;
	UINT32 handle;
};

static void *unmap_later(void *context)
{
	struct unmap_later *u = context;

	KeStallExecutionProcessor(40000);
	VmbChannelUnmapGpadl(u->channel, u->handle);
	return NULL;
}

/* covers: VmbChannelDeleteGpadl, VmbChannelUnmapGpadl */
static void delete_waits_while_mapped(void **state)
{
	struct pair *pair = opened();
	uint8_t *buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, PAGE_SIZE, 'tset');
	LARGE_INTEGER before, after, frequency;
	struct unmap_later u = { .channel = pair->server.channel };
	pthread_t thread;
	PMDL mdl;

	assert_int_equal(VmbChannelCreateGpadlFromBuffer(pair->client.channel, 0, buffer, PAGE_SIZE,
	                                                 &u.handle),
	                 STATUS_SUCCESS);
	assert_int_equal(VmbChannelMapGpadl(pair->server.channel, 0, u.handle, &mdl),
	                 STATUS_SUCCESS);
	before = KeQueryPerformanceCounter(&frequency);
	assert_int_equal(pthread_create(&thread, NULL, unmap_later, &u), 0);
	VmbChannelDeleteGpadl(pair->client.channel, u.handle);
	after = KeQueryPerformanceCounter(NULL);
	assert_true((after.QuadPart - before.QuadPart) * 1000 / frequency.QuadPart >= 35);
	pthread_join(thread, NULL);
	ExFreePoolWithTag(buffer, 'tset');
	pair_destroy(pair);
}

static uint8_t *lasting;
static UINT32 lasting_handle;

static NTSTATUS make_one(struct pair_end *end)
{
	return VmbChannelCreateGpadlFromBuffer(end->channel, 0, lasting, PAGE_SIZE,
	                                       &lasting_handle);
}

static NTSTATUS delete_it(struct pair_end *end)
{
	VmbChannelDeleteGpadl(end->channel, lasting_handle);
	return STATUS_SUCCESS;
}

static NTSTATUS unmap_it(struct pair_end *end)
{
	VmbChannelUnmapGpadl(end->channel, lasting_handle);
	return STATUS_SUCCESS;
}

/* From Opened to Closed, as drivers do it; whoever closes. */
/* covers: VmbChannelCreateGpadlFromBuffer, VmbChannelDeleteGpadl, EVT_VMB_CHANNEL_CLOSED */
static void from_opened_to_closed(void **state)
{
	for (int who = 0; who < 2; who++) {
		struct pair *pair = pair_create();
		PMDL mdl;

		lasting = ExAllocatePool2(POOL_FLAG_NON_PAGED, PAGE_SIZE, 'tset');
		pair->client.on_opened = make_one;
		pair->client.on_closed = delete_it;
		pair->server.on_closed = unmap_it;
		pair_open(pair);
		assert_int_equal(VmbChannelMapGpadl(pair->server.channel, 0, lasting_handle, &mdl),
		                 STATUS_SUCCESS);
		VmbChannelDisable(who ? pair->server.channel : pair->client.channel);
		pair_wait(pair_traced(&pair->client, "UC") && pair_traced(&pair->server, "UC"));
		pair_destroy(pair);
		ExFreePoolWithTag(lasting, 'tset');
	}
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: VmbChannelCreateGpadlFromMdl, VmbChannelCreateGpadlFromBuffer, VmbChannelMapGpadl */
static void refusals(void **state)
{
	struct pair *pair = pair_create();
	uint8_t *buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, PAGE_SIZE, 'tset');
	uint8_t *private_memory = malloc(PAGE_SIZE);
	UINT32 handle;
	PMDL mdl;

	/* not open yet */
	assert_int_equal(
		VmbChannelCreateGpadlFromBuffer(pair->client.channel, 0, buffer, 1, &handle),
		STATUS_INVALID_DEVICE_STATE);
	pair_open(pair);
	assert_int_equal(
		VmbChannelCreateGpadlFromBuffer(pair->server.channel, 0, buffer, 1, &handle),
		STATUS_INVALID_PARAMETER_1);
	assert_int_equal(
		VmbChannelCreateGpadlFromBuffer(pair->client.channel, 4, buffer, 1, &handle),
		STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbChannelCreateGpadlFromBuffer(pair->client.channel, 0, NULL, 1, &handle),
	                 STATUS_INVALID_PARAMETER_3);
	assert_int_equal(
		VmbChannelCreateGpadlFromBuffer(pair->client.channel, 0, buffer, 0, &handle),
		STATUS_INVALID_PARAMETER_4);
	/* memory that the host cannot see */
	assert_int_equal(VmbChannelCreateGpadlFromBuffer(pair->client.channel, 0, private_memory,
	                                                 100, &handle),
	                 STATUS_INVALID_USER_BUFFER);
	assert_int_equal(VmbChannelMapGpadl(pair->client.channel, 0, 1, &mdl),
	                 STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbChannelMapGpadl(pair->server.channel, 8, 1, &mdl),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(VmbChannelMapGpadl(pair->server.channel, 0, 0x12345, &mdl),
	                 STATUS_INVALID_PARAMETER_3);
	free(private_memory);
	ExFreePoolWithTag(buffer, 'tset');
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_maps_the_guests_buffer),
		cmocka_unit_test(as_large_as_the_wire_can_say),
		cmocka_unit_test(chains_keep_their_pieces),
		cmocka_unit_test(one_mapping_at_a_time),
		cmocka_unit_test(read_only_is_not_mapped_for_writing),
		cmocka_unit_test(delete_waits_while_mapped),
		cmocka_unit_test(from_opened_to_closed),
		cmocka_unit_test(refusals),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("gpadl", tests, NULL, NULL);
}
