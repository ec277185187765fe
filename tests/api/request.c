/* SPDX-License-Identifier: BSD-2-Clause */

/* VmbChannelSendSynchronousRequest: a send that waits for its end. */

#include "pair.h"

#define WAIT VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION

static NTSTATUS ask(struct pair_end *end, uint64_t question, void *answer, uint32_t *size,
                    LARGE_INTEGER *timeout)
{
	return VmbChannelSendSynchronousRequest(end->channel, &question, sizeof(question), NULL,
	                                        WAIT, answer, size, timeout);
}

/* covers: VmbChannelSendSynchronousRequest */
static void the_answer_comes_back(void **state)
{
	struct pair *pair = pair_create();
	uint64_t answer[4] = { 0 };
	uint32_t size = sizeof(answer);

	pair_open(pair);
	assert_int_equal(ask(&pair->client, 0x1122334455667788, answer, &size, NULL),
	                 STATUS_SUCCESS);
	assert_int_equal(size, 8);
	assert_int_equal(answer[0], 0x1122334455667788);
	/* no interest in the answer */
	assert_int_equal(ask(&pair->client, 1, NULL, NULL, NULL), STATUS_SUCCESS);
	pair_destroy(pair);
}

static void answer_too_long(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer,
                            uint32_t size, uint32_t flags)
{
	uint64_t words[4] = { 1, 2, 3, 4 };

	VmbChannelPacketComplete(packet, words, sizeof(words));
}

/* covers: VmbChannelSendSynchronousRequest */
static void a_long_answer_is_cut(void **state)
{
	struct pair *pair = pair_create();
	uint64_t answer[3] = { 0, 0, 9 };
	uint32_t size = 16;

	pair->server.process = answer_too_long;
	pair_open(pair);
	assert_int_equal(ask(&pair->client, 1, answer, &size, NULL), STATUS_BUFFER_OVERFLOW);
	assert_int_equal(size, 16);
	assert_int_equal(answer[1], 2);
	assert_int_equal(answer[2], 9);
	pair_destroy(pair);
}

static VMBPACKETCOMPLETION held;

static void hold(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                 uint32_t flags)
{
	held = packet;
	pair_trace(end, 'h');
}

/* The packet is cancelled; the late answer harms nobody, and the channel works on. */
/* covers: VmbChannelSendSynchronousRequest */
static void a_timeout_cancels(void **state)
{
	struct pair *pair = pair_create();
	LARGE_INTEGER timeout = { .QuadPart = -300000 }, before, after, frequency;
	uint64_t answer = 0;
	uint32_t size = sizeof(answer);

	pair->server.process = hold;
	pair_open(pair);
	before = KeQueryPerformanceCounter(&frequency);
	assert_int_equal(ask(&pair->client, 1, &answer, &size, &timeout), STATUS_CANCELLED);
	after = KeQueryPerformanceCounter(NULL);
	assert_in_range((after.QuadPart - before.QuadPart) * 1000 / frequency.QuadPart, 25, 5000);
	pair_wait(strchr(pair->server.trace, 'h'));
	pair->server.process = NULL;
	VmbChannelPacketComplete(held, NULL, 0);
	assert_int_equal(ask(&pair->client, 77, &answer, &size, NULL), STATUS_SUCCESS);
	assert_int_equal(answer, 77);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: VmbChannelSendSynchronousRequest */
static void a_timeout_leaves_external_data_alone(void **state)
{
	struct pair *pair = pair_create();
	LARGE_INTEGER timeout = { .QuadPart = -200000 };
	uint8_t buffer[PAGE_SIZE];
	PMDL mdl = IoAllocateMdl(buffer, sizeof(buffer), FALSE, FALSE, NULL), theirs;
	uint64_t word = 1;
	uint8_t *p;

	MmBuildMdlForNonPagedPool(mdl); /* private memory: bounced */
	memset(buffer, 1, sizeof(buffer));
	pair->server.process = hold;
	pair_open(pair);
	assert_int_equal(VmbChannelSendSynchronousRequest(pair->client.channel, &word, 8, mdl, WAIT,
	                                                  NULL, NULL, &timeout),
	                 STATUS_CANCELLED);
	pair_wait(strchr(pair->server.trace, 'h'));
	/* the host still has the memory, but the caller has its own back */
	assert_int_equal(VmbChannelPacketGetExternalData(held, 0, &theirs), STATUS_SUCCESS);
	p = MmGetSystemAddressForMdlSafe(theirs, NormalPagePriority);
	assert_int_equal(p[5], 1);
	memset(p, 2, sizeof(buffer));
	VmbChannelPacketComplete(held, NULL, 0);
	KeStallExecutionProcessor(20000);
	assert_int_equal(buffer[5], 1);
	IoFreeMdl(mdl);
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: VmbChannelSendSynchronousRequest */
static void zero_timeout_does_not_queue(void **state)
{
	struct pair *pair = pair_create();
	LARGE_INTEGER none = { .QuadPart = 0 };
	uint8_t block[4096] = { 0 };
	NTSTATUS status = STATUS_SUCCESS;
	uint32_t sent = 0;

	pair_open(pair);
	VmbChannelPause(pair->client.channel); /* it reads nothing: the ring fills */
	while (NT_SUCCESS(status) && sent < 1000) {
		status = VmbChannelSendSynchronousRequest(
			pair->server.channel, block, sizeof(block), NULL, 0, NULL, NULL, &none);
		sent += NT_SUCCESS(status);
	}
	assert_int_equal(status, STATUS_BUFFER_OVERFLOW);
	assert_in_range(sent, 10, 999);
	VmbChannelStart(pair->client.channel);
	pair_wait(pair->client.packets == sent);
	pair_destroy(pair);
}

/* covers: VmbChannelSendSynchronousRequest */
static void zero_timeout_works_at_dispatch_level(void **state)
{
	struct pair *pair = pair_create();
	LARGE_INTEGER none = { .QuadPart = 0 };
	uint64_t word = 5;
	NTSTATUS status;
	KIRQL irql;

	pair_open(pair);
	KeRaiseIrql(DISPATCH_LEVEL, &irql);
	status = VmbChannelSendSynchronousRequest(pair->client.channel, &word, 8, NULL, 0, NULL,
	                                          NULL, &none);
	KeLowerIrql(irql);
	assert_int_equal(status, STATUS_SUCCESS);
	pair_wait(pair->server.packets == 1);
	pair_destroy(pair);
}

/* covers: VmbChannelSendSynchronousRequest */
static void refusals(void **state)
{
	struct pair *pair = pair_create();
	uint64_t word = 1, answer[2];
	uint32_t odd = 12, large = 100000;
	LARGE_INTEGER none = { .QuadPart = 0 }, some = { .QuadPart = -1 };
	VMBCHANNEL c = pair->client.channel, s = pair->server.channel;

	pair_open(pair);
	/* a server may not wait */
	assert_int_equal(
		VmbChannelSendSynchronousRequest(s, &word, 8, NULL, WAIT, NULL, NULL, &none),
		STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbChannelSendSynchronousRequest(s, &word, 8, NULL, 0, NULL, NULL, &some),
	                 STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbChannelSendSynchronousRequest(s, &word, 8, NULL, 0, NULL, NULL, NULL),
	                 STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbChannelSendSynchronousRequest(c, NULL, 8, NULL, WAIT, NULL, NULL, NULL),
	                 STATUS_INVALID_PARAMETER_2);
	assert_int_equal(
		VmbChannelSendSynchronousRequest(c, &word, large, NULL, WAIT, NULL, NULL, NULL),
		STATUS_INVALID_PARAMETER_3);
	assert_int_equal(
		VmbChannelSendSynchronousRequest(c, &word, 8, NULL, 0x10, NULL, NULL, NULL),
		STATUS_INVALID_PARAMETER_5);
	assert_int_equal(
		VmbChannelSendSynchronousRequest(c, &word, 8, NULL, WAIT, answer, &odd, NULL),
		STATUS_INVALID_PARAMETER_7);
	assert_int_equal(
		VmbChannelSendSynchronousRequest(c, &word, 8, NULL, WAIT, answer, NULL, NULL),
		STATUS_INVALID_PARAMETER_7);
	/* its size is checked where there is no buffer, too */
	for (odd = 1; odd < 8; odd++)
		assert_int_equal(
			VmbChannelSendSynchronousRequest(c, &word, 8, NULL, WAIT, NULL, &odd, NULL),
			STATUS_INVALID_PARAMETER_7);
	odd = 12;
	assert_int_equal(VmbChannelSendSynchronousRequest(c, &word, 8, NULL, 0, NULL, &odd, &none),
	                 STATUS_INVALID_PARAMETER_7);
	assert_int_equal(odd, 12);
	pair_destroy(pair);
}

static NTSTATUS send_now(struct pair_end *end, uint32_t flags)
{
	LARGE_INTEGER none = { .QuadPart = 0 };
	uint64_t word = 5;

	return VmbChannelSendSynchronousRequest(end->channel, &word, sizeof(word), NULL, flags,
	                                        NULL, NULL, &none);
}

/* covers: VmbChannelSendSynchronousRequest */
static void nothing_goes_now_while_it_is_closed(void **state)
{
	struct pair *pair = pair_create();

	/* disabled, and never enabled */
	assert_int_equal(send_now(&pair->client, 0), STATUS_DEVICE_REMOVED);
	assert_int_equal(send_now(&pair->client, WAIT), STATUS_DEVICE_REMOVED);
	assert_int_equal(send_now(&pair->server, 0), STATUS_DEVICE_REMOVED);
	/* enabled, with nobody at the other end */
	assert_int_equal(VmbChannelEnable(pair->server.channel), 0);
	assert_int_equal(send_now(&pair->server, 0), STATUS_DEVICE_REMOVED);
	VmbChannelDisable(pair->server.channel);
	assert_int_equal(VmbChannelEnable(pair->client.channel), 0);
	assert_int_equal(send_now(&pair->client, 0), STATUS_DEVICE_REMOVED);
	assert_int_equal(send_now(&pair->client, WAIT), STATUS_DEVICE_REMOVED);
	VmbChannelDisable(pair->client.channel);
	/* open, and closed again */
	pair_open(pair);
	assert_int_equal(send_now(&pair->client, 0), STATUS_SUCCESS);
	assert_int_equal(send_now(&pair->server, 0), STATUS_SUCCESS);
	VmbChannelDisable(pair->client.channel);
	pair_wait(pair_traced(&pair->server, "C"));
	assert_int_equal(send_now(&pair->client, 0), STATUS_DEVICE_REMOVED);
	assert_int_equal(send_now(&pair->client, WAIT), STATUS_DEVICE_REMOVED);
	assert_int_equal(send_now(&pair->server, 0), STATUS_DEVICE_REMOVED);
	pair_destroy(pair);
}

/* covers: VmbChannelSendSynchronousRequest */
static void the_size_says_what_was_written(void **state)
{
	struct pair *pair = pair_create();
	LARGE_INTEGER none = { .QuadPart = 0 }, some = { .QuadPart = -100000000 };
	LARGE_INTEGER *timeouts[] = { NULL, &some };
	uint64_t word = 1, answer[8];
	VMBCHANNEL c = pair->client.channel;

	pair_open(pair);
	for (int i = 0; i < 2; i++) {
		for (uint32_t capacity = 8; capacity <= sizeof(answer); capacity += 8) {
			uint32_t size = capacity;

			assert_int_equal(VmbChannelSendSynchronousRequest(c, &word, 8, NULL, WAIT,
			                                                  answer, &size,
			                                                  timeouts[i]),
			                 0);
			assert_int_equal(size, 8);
			size = capacity;
			assert_int_equal(VmbChannelSendSynchronousRequest(c, &word, 8, NULL, WAIT,
			                                                  NULL, &size, timeouts[i]),
			                 0);
			assert_int_equal(size, 0);
			size = capacity;
			assert_int_equal(VmbChannelSendSynchronousRequest(
						 c, &word, 8, NULL, 0, answer, &size, timeouts[i]),
			                 0);
			assert_int_equal(size, 0);
			size = capacity;
			assert_int_equal(VmbChannelSendSynchronousRequest(c, &word, 8, NULL, 0,
			                                                  answer, &size, &none),
			                 0);
			assert_int_equal(size, 0);
		}
	}
	pair_destroy(pair);
}

static void write_external(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer,
                           uint32_t size, uint32_t flags)
{
	PMDL mdl;

	if (!(flags & VMBUS_CHANNEL_PROCESS_PACKET_FLAG_EXTERNAL_DATA) ||
	    VmbChannelPacketGetExternalData(packet, 0, &mdl) != STATUS_SUCCESS)
		pair_trace(end, '!');
	else
		memset(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority), 7,
		       MmGetMdlByteCount(mdl));
	VmbChannelPacketComplete(packet, buffer, size);
}

/* covers: VmbChannelSendSynchronousRequest */
static void external_data_needs_no_flag(void **state)
{
	struct pair *pair = pair_create();
	LARGE_INTEGER none = { .QuadPart = 0 };
	uint8_t here[PAGE_SIZE] = { 0 }; /* bounced where the host is another process's memory */
	uint8_t *pool = ExAllocatePoolZero(NonPagedPoolNx, PAGE_SIZE, 'tset');
	uint8_t *buffers[] = { here, pool };
	uint64_t word = 3, answer[1];
	uint32_t size;
	KIRQL irql;

	pair->server.process = write_external;
	pair_open(pair);
	for (int i = 0; i < 2; i++) {
		PMDL mdl = IoAllocateMdl(buffers[i], PAGE_SIZE, FALSE, FALSE, NULL);

		MmBuildMdlForNonPagedPool(mdl);
		size = sizeof(answer);
		assert_int_equal(VmbChannelSendSynchronousRequest(pair->client.channel, &word, 8,
		                                                  mdl, 0, answer, &size, NULL),
		                 0);
		assert_int_equal(size, 8);
		assert_int_equal(answer[0], 3);
		for (int k = 0; k < (int)PAGE_SIZE; k++)
			assert_int_equal(buffers[i][k], 7);
		/* and one that nobody waits for */
		KeRaiseIrql(DISPATCH_LEVEL, &irql);
		assert_int_equal(VmbChannelSendSynchronousRequest(pair->client.channel, &word, 8,
		                                                  mdl, 0, NULL, NULL, &none),
		                 0);
		KeLowerIrql(irql);
		pair_wait(pair->server.packets == 2 * (uint32_t)i + 2);
		assert_int_equal(VmbChannelSendSynchronousRequest(pair->server.channel, &word, 8,
		                                                  mdl, 0, NULL, NULL, &none),
		                 STATUS_INVALID_PARAMETER);
		/* which has been answered when the next one has */
		pair->server.process = NULL;
		assert_int_equal(ask(&pair->client, 1, NULL, NULL, NULL), 0);
		pair->server.process = write_external;
		pair_lock();
		pair->server.packets--;
		assert_null(strchr(pair->server.trace, '!'));
		pair_unlock();
		IoFreeMdl(mdl);
	}
	pair_destroy(pair);
	ExFreePoolWithTag(pool, 'tset');
}

static NTSTATUS release_held(struct pair_end *end)
{
	if (held)
		VmbChannelPacketComplete(held, NULL, 0);
	return STATUS_SUCCESS;
}

/* The channel closes while a request waits. */
/* covers: VmbChannelSendSynchronousRequest */
static void closing_ends_the_wait(void **state)
{
	struct pair *pair = pair_create();
	pthread_t thread;
	NTSTATUS status;

	held = NULL;
	pair->server.process = hold;
	pair->server.on_suspend = release_held;
	pair_open(pair);
	assert_int_equal(pthread_create(&thread, NULL,
	                                (void *(*)(void *))(uintptr_t)VmbChannelDisable,
	                                pair->client.channel),
	                 0);
	status = ask(&pair->client, 1, NULL, NULL, NULL);
	if (status != STATUS_SUCCESS) /* the server answered in time, as it let go */
		assert_int_equal(status, STATUS_DEVICE_REMOVED);
	pthread_join(thread, NULL);
	/* and a disabled channel does not make anybody wait */
	assert_int_equal(ask(&pair->client, 1, NULL, NULL, NULL), STATUS_DEVICE_REMOVED);
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_answer_comes_back),
		cmocka_unit_test(a_long_answer_is_cut),
		cmocka_unit_test(a_timeout_cancels),
		cmocka_unit_test(a_timeout_leaves_external_data_alone),
		cmocka_unit_test(zero_timeout_does_not_queue),
		cmocka_unit_test(zero_timeout_works_at_dispatch_level),
		cmocka_unit_test(refusals),
		cmocka_unit_test(nothing_goes_now_while_it_is_closed),
		cmocka_unit_test(the_size_says_what_was_written),
		cmocka_unit_test(external_data_needs_no_flag),
		cmocka_unit_test(closing_ends_the_wait),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
