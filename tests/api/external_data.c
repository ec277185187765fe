/* SPDX-License-Identifier: BSD-2-Clause */

/* Memory that a packet refers to: the host sees the guest's own pages, and what it writes is there.
 */

#include "pair.h"

#include <stdlib.h>
#include <sys/mman.h>

#define SIZE (64u << 10)

/* What the server found, and what it did with it. */
static struct seen {
	NTSTATUS status;
	uint32_t mdls;
	uint32_t length;
	uint32_t iovecs;
	uint64_t sum;
	bool mapped;
} seen;

static uint64_t sum_of(const uint8_t *p, size_t n)
{
	uint64_t sum = 0;

	while (n--)
		sum = sum * 31 + *p++;
	return sum;
}

/* Reads all of it, then adds 1 to each byte. */
static void use_data(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                     uint32_t flags)
{
	struct iovec iov[64];
	struct seen now = { 0 };
	PMDL mdl = NULL;

	now.status = VmbChannelPacketGetExternalData(packet, 0, &mdl);
	for (PMDL m = mdl; m; m = m->Next, now.mdls++)
		now.length += MmGetMdlByteCount(m);
	now.iovecs = mdl ? kmcl_mdl_iovec(mdl, 0, now.length, iov, 64) : 0;
	for (uint32_t i = 0; i < now.iovecs; i++)
		for (size_t k = 0; k < iov[i].iov_len; k++) {
			uint8_t *p = (uint8_t *)iov[i].iov_base + k;

			now.sum = now.sum * 31 + *p;
			(*p)++;
		}
	now.mapped = mdl && MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
	seen = now;
	VmbChannelPacketComplete(packet, NULL, 0);
}

static struct pair *open_pair(void)
{
	struct pair *pair = pair_create();

	pair->server.process = use_data;
	memset(&seen, 0, sizeof(seen));
	pair_open(pair);
	return pair;
}

static PMDL mdl_over(void *buffer, uint32_t size)
{
	PMDL mdl = IoAllocateMdl(buffer, size, FALSE, FALSE, NULL);

	assert_non_null(mdl);
	MmBuildMdlForNonPagedPool(mdl);
	return mdl;
}

static uint8_t *pool_buffer(size_t size)
{
	uint8_t *p = ExAllocatePool2(POOL_FLAG_NON_PAGED, size, 'tset');

	assert_non_null(p);
	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)(i * 7 + i / 4096);
	return p;
}

static void expect_added(const uint8_t *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		assert_int_equal(p[i], (uint8_t)(i * 7 + i / 4096 + 1));
}

static void send_mdl(struct pair *pair, PMDL mdl, uint32_t offset, uint32_t length, uint32_t flags)
{
	VMBPACKET packet = VmbPacketAllocate(pair->client.channel);
	uint64_t word = 1;
	uint32_t done = pair->client.completions;

	VmbPacketSetCompletionRoutine(packet, pair_completed);
	assert_int_equal(
		VmbPacketSendWithExternalMdl(packet, &word, sizeof(word), mdl, offset, length,
	                                     flags | VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION),
		STATUS_SUCCESS);
	pair_wait(pair->client.completions == done + 1);
	assert_int_equal(pair->client.last_status, STATUS_SUCCESS);
}

static uint64_t bounced(struct pair *pair)
{
	struct kmcl_channel_info info;

	kmcl_channel_info(pair->client.channel, &info);
	return info.statistics.bounced_bytes;
}

/* covers: VmbPacketSendWithExternalMdl, VmbChannelPacketGetExternalData, VmbChannelPacketComplete
 * */
static void host_reads_and_writes_pool_memory(void **state)
{
	struct pair *pair = open_pair();
	uint8_t *buffer = pool_buffer(SIZE);
	uint64_t sum = sum_of(buffer, SIZE);
	PMDL mdl = mdl_over(buffer, SIZE);
	uint64_t word = 1;

	assert_int_equal(VmbPacketSend(VmbPacketAllocate(pair->client.channel), &word, 8, mdl,
	                               VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION),
	                 STATUS_SUCCESS);
	pair_wait(pair->server.packets == 1);
	send_mdl(pair, mdl, 0, 0, 0);
	assert_int_equal(seen.status, STATUS_SUCCESS);
	assert_int_equal(seen.length, SIZE);
	assert_true(seen.mapped);
	assert_int_equal(pair->server.last_flags, VMBUS_CHANNEL_PROCESS_PACKET_FLAG_EXTERNAL_DATA);
	for (size_t i = 0; i < SIZE; i++)
		assert_int_equal(buffer[i], (uint8_t)(i * 7 + i / 4096 + 2));
	(void)sum;
	assert_int_equal(bounced(pair), 0);
	IoFreeMdl(mdl);
	ExFreePoolWithTag(buffer, 'tset');
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: VmbPacketSendWithExternalMdl */
static void offset_and_length_choose_a_part(void **state)
{
	struct pair *pair = open_pair();
	uint8_t *buffer = pool_buffer(SIZE);
	PMDL mdl = mdl_over(buffer + 100, SIZE - 100);
	uint64_t sum = sum_of(buffer + 100 + 5000, 10000);

	send_mdl(pair, mdl, 5000, 10000, 0);
	assert_int_equal(seen.length, 10000);
	assert_int_equal(seen.sum, sum);
	assert_int_equal(buffer[5099], (uint8_t)(5099 * 7 + 1));
	assert_int_equal(buffer[5100], (uint8_t)(5100 * 7 + 1 + 1));
	assert_int_equal(buffer[15100], (uint8_t)(15100 * 7 + 3));
	IoFreeMdl(mdl);
	ExFreePoolWithTag(buffer, 'tset');
	pair_destroy(pair);
}

/* covers: VmbPacketSendWithExternalMdl, VmbChannelPacketGetExternalData */
static void chains_are_one_range_an_mdl(void **state)
{
	struct pair *pair = open_pair();
	uint8_t *a = pool_buffer(5000), *b = pool_buffer(300), *c = pool_buffer(9000);
	PMDL mdl = mdl_over(a, 5000);
	uint64_t sum = 0;

	mdl->Next = mdl_over(b, 300);
	mdl->Next->Next = mdl_over(c, 9000);
	for (size_t i = 0; i < 5000; i++)
		sum = sum * 31 + a[i];
	for (size_t i = 0; i < 300; i++)
		sum = sum * 31 + b[i];
	for (size_t i = 0; i < 9000; i++)
		sum = sum * 31 + c[i];
	send_mdl(pair, mdl, 0, 0, 0);
	assert_int_equal(seen.mdls, 3);
	assert_int_equal(seen.length, 14300);
	assert_int_equal(seen.sum, sum);
	expect_added(a, 5000);
	expect_added(b, 300);
	expect_added(c, 9000);
	/* a part that begins in the first and ends in the last */
	send_mdl(pair, mdl, 4000, 5000, 0);
	assert_int_equal(seen.length, 5000);
	assert_int_equal(seen.mdls, 3);
	IoFreeMdl(mdl->Next->Next);
	IoFreeMdl(mdl->Next);
	IoFreeMdl(mdl);
	ExFreePoolWithTag(a, 'tset');
	ExFreePoolWithTag(b, 'tset');
	ExFreePoolWithTag(c, 'tset');
	pair_destroy(pair);
}

/* covers: VmbPacketSendWithExternalMdl, VmbPacketSend, VmbChannelSendSynchronousRequest */
static void forced_length_is_of_the_first_mdl(void **state)
{
	const uint32_t force = VMBUS_CHANNEL_FORMAT_FLAG_FORCE_MDL_LENGTH;
	const uint32_t wait = VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION;
	struct pair *pair = open_pair();
	uint8_t *a = pool_buffer(PAGE_SIZE), *b = pool_buffer(PAGE_SIZE);
	PMDL mdl = mdl_over(a, 100);
	VMBPACKET packet = VmbPacketAllocate(pair->client.channel);
	uint64_t word = 1;

	mdl->Next = mdl_over(b, 100);
	send_mdl(pair, mdl, 0, 0, 0);
	assert_int_equal(seen.length, 200);
	send_mdl(pair, mdl, 0, 0, force);
	assert_int_equal(seen.length, 100);
	assert_int_equal(seen.mdls, 1);
	send_mdl(pair, mdl, 40, 0, force);
	assert_int_equal(seen.length, 60);
	send_mdl(pair, mdl, 40, 80, force); /* which is past the first, but in its page */
	assert_int_equal(seen.length, 80);
	assert_int_equal(seen.mdls, 1);
	VmbPacketSetCompletionRoutine(packet, pair_completed);
	assert_int_equal(VmbPacketSendWithExternalMdl(packet, &word, 8, mdl, 100, 0, wait | force),
	                 STATUS_INVALID_PARAMETER_5);
	/* the flag is the same where there is no length to give */
	assert_int_equal(VmbPacketSend(packet, &word, 8, mdl, wait | force), 0);
	pair_wait(pair->client.completions == 5);
	assert_int_equal(seen.length, 100);
	assert_int_equal(VmbChannelSendSynchronousRequest(pair->client.channel, &word, 8, mdl,
	                                                  force, NULL, NULL, NULL),
	                 0);
	assert_int_equal(seen.length, 100);
	assert_int_equal(b[99], (uint8_t)(99 * 7 + 1)); /* written by the first send alone */
	IoFreeMdl(mdl->Next);
	IoFreeMdl(mdl);
	ExFreePoolWithTag(a, 'tset');
	ExFreePoolWithTag(b, 'tset');
	pair_destroy(pair);
}

/* A part of an MDL of 4 GiB, most of which nobody has touched.
 * covers: VmbPacketSendWithExternalMdl */
/* covers: VmbPacketSendWithExternalMdl */
static void parts_of_a_huge_mdl(void **state)
{
	const size_t most = ((size_t)4 << 30) - PAGE_SIZE;
	const uint32_t offsets[] = { 0, 1u << 31, (uint32_t)most - 10000 };
	struct pair *pair = open_pair();
	uint8_t *p = mmap(NULL, most + PAGE_SIZE, PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	PMDL mdl;

	assert_ptr_not_equal(p, MAP_FAILED);
	mdl = mdl_over(p + PAGE_SIZE - 1, (uint32_t)most);
	for (unsigned i = 0; i < 3; i++) {
		uint8_t *at = p + PAGE_SIZE - 1 + offsets[i];

		memset(at, 5, 10000);
		send_mdl(pair, mdl, offsets[i], 10000, 0);
		assert_int_equal(seen.status, STATUS_SUCCESS);
		assert_int_equal(seen.length, 10000);
		for (unsigned k = 0; k < 10000; k++)
			assert_int_equal(at[k], 6);
	}
	IoFreeMdl(mdl);
	munmap(p, most + PAGE_SIZE);
	pair_destroy(pair);
}

/* covers: VmbPacketSendWithExternalMdl */
static void forced_length_passes_the_byte_count(void **state)
{
	struct pair *pair = open_pair();
	uint8_t *buffer = pool_buffer(8192);
	PMDL mdl = mdl_over(buffer, 1000);
	VMBPACKET packet = VmbPacketAllocate(pair->client.channel);
	const uint32_t flags = VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION |
	                       VMBUS_CHANNEL_FORMAT_FLAG_FORCE_MDL_LENGTH;
	uint64_t word = 1;

	send_mdl(pair, mdl, 0, 4096, VMBUS_CHANNEL_FORMAT_FLAG_FORCE_MDL_LENGTH);
	assert_int_equal(seen.length, 4096);
	expect_added(buffer, 4096);
	/* but not past the page */
	VmbPacketSetCompletionRoutine(packet, pair_completed);
	assert_int_equal(VmbPacketSendWithExternalMdl(packet, &word, 8, mdl, 0, 4097, flags),
	                 STATUS_INVALID_PARAMETER_6);
	/* and without the flag not past the count */
	assert_int_equal(
		VmbPacketSendWithExternalMdl(packet, &word, 8, mdl, 0, 1001,
	                                     VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION),
		STATUS_INVALID_PARAMETER_6);
	assert_int_equal(
		VmbPacketSendWithExternalMdl(packet, &word, 8, mdl, 1000, 0,
	                                     VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION),
		STATUS_INVALID_PARAMETER_5);
	VmbPacketFree(packet);
	IoFreeMdl(mdl);
	ExFreePoolWithTag(buffer, 'tset');
	pair_destroy(pair);
}

/* covers: VmbPacketSendWithExternalPfns */
static void page_numbers_in_any_order(void **state)
{
	struct pair *pair = open_pair();
	uint8_t *buffer = pool_buffer(4 * PAGE_SIZE);
	PMDL mdl = mdl_over(buffer, 4 * PAGE_SIZE);
	PPFN_NUMBER pfns = MmGetMdlPfnArray(mdl);
	PFN_NUMBER mixed[3] = { pfns[3], pfns[0], pfns[2] };
	VMBPACKET packet = VmbPacketAllocate(pair->client.channel);
	uint64_t word = 1, sum = 0;

	for (int i = 0; i < 3; i++)
		for (size_t k = 0; k < PAGE_SIZE; k++)
			sum = sum * 31 + ((uint8_t *)(uintptr_t)(mixed[i] << PAGE_SHIFT))[k];
	VmbPacketSetCompletionRoutine(packet, pair_completed);
	assert_int_equal(
		VmbPacketSendWithExternalPfns(packet, &word, 8, mixed, 3,
	                                      VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION),
		STATUS_SUCCESS);
	pair_wait(pair->client.completions == 1);
	assert_int_equal(seen.length, 3 * PAGE_SIZE);
	assert_int_equal(seen.sum, sum);
	assert_true(seen.mapped); /* pages that are not in a row, in a row */
	IoFreeMdl(mdl);
	ExFreePoolWithTag(buffer, 'tset');
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* Memory that the host cannot see is copied for the length of the transaction, and counted. */
/* covers: VmbPacketSendWithExternalMdl, kmcl_channel_info */
static void private_memory_is_bounced(void **state)
{
	struct pair *pair = open_pair();
	uint8_t *buffer = malloc(SIZE);
	PMDL mdl;
	uint64_t sum;

	for (size_t i = 0; i < SIZE; i++)
		buffer[i] = (uint8_t)(i * 7 + i / 4096);
	sum = sum_of(buffer + 3, SIZE - 3);
	mdl = mdl_over(buffer + 3, SIZE - 3);
	send_mdl(pair, mdl, 0, 0, 0);
	assert_int_equal(seen.sum, sum);
	expect_added(buffer + 3 - 3 + 3, 0);
	for (size_t i = 3; i < SIZE; i++)
		assert_int_equal(buffer[i], (uint8_t)(i * 7 + i / 4096 + 1));
	assert_int_equal(bounced(pair), SIZE - 3);
	IoFreeMdl(mdl);
	/* locked for reading only: the host's writes do not come back */
	mdl = IoAllocateMdl(buffer, SIZE, FALSE, FALSE, NULL);
	MmProbeAndLockPages(mdl, KernelMode, IoReadAccess);
	sum = sum_of(buffer, SIZE);
	send_mdl(pair, mdl, 0, 0, 0);
	assert_int_equal(sum_of(buffer, SIZE), sum);
	MmUnlockPages(mdl);
	IoFreeMdl(mdl);
	free(buffer);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: VmbPacketSend, VmbPacketSendWithExternalMdl, VmbPacketSendWithExternalPfns */
static void refusals(void **state)
{
	struct pair *pair = open_pair();
	uint8_t *buffer = pool_buffer(PAGE_SIZE);
	PMDL mdl = mdl_over(buffer, PAGE_SIZE), big;
	VMBPACKET packet = VmbPacketAllocate(pair->client.channel);
	VMBPACKET servers = VmbPacketAllocate(pair->server.channel);
	uint8_t *large = pool_buffer((1 << 20) + 1);
	uint64_t word = 1;

	VmbPacketSetCompletionRoutine(packet, pair_completed);
	VmbPacketSetCompletionRoutine(servers, pair_completed);
	/* external data starts in the guest */
	assert_int_equal(VmbPacketSend(servers, &word, 8, mdl, 1), STATUS_INVALID_PARAMETER);
	/* and has to be waited for */
	assert_int_equal(VmbPacketSend(packet, &word, 8, mdl, 0), STATUS_INVALID_PARAMETER_5);
	assert_int_equal(VmbPacketSendWithExternalMdl(packet, &word, 8, mdl, 0, 0, 0),
	                 STATUS_INVALID_PARAMETER_7);
	assert_int_equal(VmbPacketSendWithExternalMdl(packet, &word, 8, NULL, 0, 0, 1),
	                 STATUS_INVALID_PARAMETER_4);
	assert_int_equal(VmbPacketSendWithExternalPfns(packet, &word, 8, NULL, 1, 1),
	                 STATUS_INVALID_PARAMETER_4);
	assert_int_equal(
		VmbPacketSendWithExternalPfns(packet, &word, 8, MmGetMdlPfnArray(mdl), 0, 1),
		STATUS_INVALID_PARAMETER_5);
	/* more than the channel's maximum, 1 MiB by default */
	big = mdl_over(large, (1 << 20) + 1);
	assert_int_equal(VmbPacketSend(packet, &word, 8, big, 1), STATUS_INVALID_BUFFER_SIZE);
	IoFreeMdl(big);
	ExFreePoolWithTag(large, 'tset');
	VmbPacketFree(packet);
	VmbPacketFree(servers);
	IoFreeMdl(mdl);
	ExFreePoolWithTag(buffer, 'tset');
	pair_destroy(pair);
}

static NTSTATUS no_data_status;

static void look_for_data(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer,
                          uint32_t size, uint32_t flags)
{
	PMDL mdl;

	no_data_status = VmbChannelPacketGetExternalData(packet, 0, &mdl);
	if (no_data_status == STATUS_NOT_FOUND)
		no_data_status = VmbChannelPacketGetExternalData(packet, 2, &mdl);
	VmbChannelPacketComplete(packet, NULL, 0);
}

/* covers: VmbChannelPacketGetExternalData */
static void packet_without_external_data(void **state)
{
	struct pair *pair = open_pair();
	uint64_t word = 1;

	pair->server.process = look_for_data;
	assert_int_equal(pair_send(&pair->client, &word, 8, 1), STATUS_SUCCESS);
	pair_wait(pair->client.completions == 1);
	assert_int_equal(no_data_status, STATUS_INVALID_PARAMETER_2); /* an unknown flag */
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_reads_and_writes_pool_memory),
		cmocka_unit_test(offset_and_length_choose_a_part),
		cmocka_unit_test(chains_are_one_range_an_mdl),
		cmocka_unit_test(forced_length_is_of_the_first_mdl),
		cmocka_unit_test(parts_of_a_huge_mdl),
		cmocka_unit_test(forced_length_passes_the_byte_count),
		cmocka_unit_test(page_numbers_in_any_order),
		cmocka_unit_test(private_memory_is_bounced),
		cmocka_unit_test(refusals),
		cmocka_unit_test(packet_without_external_data),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("external data", tests, NULL, NULL);
}
