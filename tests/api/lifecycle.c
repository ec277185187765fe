/* SPDX-License-Identifier: BSD-2-Clause */

/* Opened, Started, PostStarted, Suspend, Closed: in that order, whichever end asks. */

#include "pair.h"

/* covers: VmbChannelEnable, VmbChannelStart, EVT_VMB_CHANNEL_OPENED, EVT_VMB_CHANNEL_STARTED,
 * EVT_VMB_CHANNEL_POST_STARTED */
static void server_waits_for_start(void **state)
{
	struct pair *pair = pair_create();

	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "OSP"));
	pair_wait(pair_traced(&pair->server, "O"));
	KeStallExecutionProcessor(20000);
	assert_string_equal(pair->server.trace, "O");
	VmbChannelStart(pair->server.channel);
	pair_wait(pair_traced(&pair->server, "OSP"));
	pair_destroy(pair);
}

/* covers: VmbChannelEnable, EVT_VMB_CHANNEL_OPENED */
static void client_waits_for_the_offer(void **state)
{
	struct pair *pair = pair_create();

	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	KeStallExecutionProcessor(20000);
	assert_string_equal(pair->client.trace, "");
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "OSP"));
	pair_destroy(pair);
}

/* covers: VmbChannelDisable, EVT_VMB_CHANNEL_SUSPEND, EVT_VMB_CHANNEL_CLOSED */
static void client_closes(void **state)
{
	struct pair *pair = pair_create();

	pair_open(pair);
	VmbChannelDisable(pair->client.channel);
	assert_string_equal(pair->client.trace, "OSPUC");
	pair_wait(pair_traced(&pair->server, "OSPUC"));
	/* the offer stands: the guest may open again */
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "OSPUCOSP"));
	pair_wait(pair_traced(&pair->server, "OSPUCOSP"));
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: VmbChannelDisable, EVT_VMB_CHANNEL_SUSPEND, EVT_VMB_CHANNEL_CLOSED */
static void server_revokes(void **state)
{
	struct pair *pair = pair_create();

	pair_open(pair);
	VmbChannelDisable(pair->server.channel);
	assert_string_equal(pair->server.trace, "OSPUC");
	pair_wait(pair_traced(&pair->client, "OSPUC"));
	/* the client is disabled now, and can wait for the next offer */
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	VmbChannelStart(pair->server.channel);
	pair_wait(pair_traced(&pair->client, "OSPUCOSP"));
	pair_wait(pair_traced(&pair->server, "OSPUCOSP"));
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

/* covers: VmbChannelPause, VmbChannelStart, EVT_VMB_CHANNEL_SUSPEND */
static void pause_and_start(void **state)
{
	struct pair *pair = pair_create();
	uint64_t word = 7;

	pair_open(pair);
	VmbChannelPause(pair->server.channel);
	assert_string_equal(pair->server.trace, "OSPU");
	assert_int_equal(pair_send(&pair->client, &word, sizeof(word), 0), STATUS_SUCCESS);
	KeStallExecutionProcessor(20000);
	assert_int_equal(pair->server.packets, 0);
	VmbChannelStart(pair->server.channel);
	pair_wait(pair->server.packets == 1);
	pair_wait(pair_traced(&pair->server, "OSPUSP"));
	pair_destroy(pair);
}

/* covers: VmbChannelPause, VmbChannelStart */
static void paused_before_enabled(void **state)
{
	struct pair *pair = pair_create();

	VmbChannelPause(pair->client.channel);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "O"));
	KeStallExecutionProcessor(20000);
	assert_string_equal(pair->client.trace, "O");
	VmbChannelStart(pair->client.channel);
	pair_wait(pair_traced(&pair->client, "OSP"));
	pair_destroy(pair);
}

static VMBPACKETCOMPLETION held;

static void hold(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                 uint32_t flags)
{
	held = packet;
	pair_trace(end, 'h');
}

static void *complete_later(void *packet)
{
	KeStallExecutionProcessor(50000);
	VmbChannelPacketComplete(packet, NULL, 0);
	return NULL;
}

/* Pause returns when the last packet is completed, wherever that happens. */
/* covers: VmbChannelPause */
static void pause_waits_for_packets(void **state)
{
	struct pair *pair = pair_create();
	uint64_t word = 7;
	LARGE_INTEGER before, after, frequency;
	pthread_t thread;

	pair->server.process = hold;
	pair_open(pair);
	assert_int_equal(pair_send(&pair->client, &word, sizeof(word), 0), STATUS_SUCCESS);
	pair_wait(strchr(pair->server.trace, 'h'));
	before = KeQueryPerformanceCounter(&frequency);
	assert_int_equal(pthread_create(&thread, NULL, complete_later, held), 0);
	VmbChannelPause(pair->server.channel);
	after = KeQueryPerformanceCounter(NULL);
	assert_true((after.QuadPart - before.QuadPart) * 1000 / frequency.QuadPart >= 40);
	pthread_join(thread, NULL);
	pair_destroy(pair);
}

/* What it sent is answered, and it hears of that when it is started again. */
/* covers: VmbChannelPause, VmbChannelStart, EVT_VMB_PACKET_COMPLETION_ROUTINE */
static void a_paused_end_gets_no_completions(void **state)
{
	struct pair *pair = pair_create();
	uint64_t word = 7;

	pair_open(pair);
	VmbChannelPause(pair->client.channel);
	assert_int_equal(pair_send(&pair->client, &word, sizeof(word),
	                           VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION),
	                 STATUS_SUCCESS);
	pair_wait(pair->server.packets == 1);
	KeStallExecutionProcessor(20000);
	assert_int_equal(pair->client.completions, 0);
	VmbChannelStart(pair->client.channel);
	pair_wait(pair->client.completions == 1);
	assert_int_equal(pair->client.last_status, STATUS_SUCCESS);
	pair_destroy(pair);
}

static NTSTATUS enable_inside(struct pair_end *end)
{
	end->last_status = VmbChannelEnable(end->channel);
	return STATUS_SUCCESS;
}

/* Closed has not returned, so the channel is not disabled yet. */
/* covers: VmbChannelEnable, EVT_VMB_CHANNEL_CLOSED */
static void enable_inside_closed_is_refused(void **state)
{
	struct pair *pair = pair_create();

	pair->client.on_closed = pair->server.on_closed = enable_inside;
	pair_open(pair);
	VmbChannelDisable(pair->client.channel);
	pair_wait(pair_traced(&pair->server, "C"));
	assert_int_equal(pair->client.last_status, STATUS_INVALID_PARAMETER_1);
	assert_int_equal(pair->server.last_status, STATUS_INVALID_PARAMETER_1);
	pair_destroy(pair);
}

static NTSTATUS refuse(struct pair_end *end)
{
	return STATUS_DEVICE_NOT_READY;
}

/* covers: EVT_VMB_CHANNEL_OPENED, EVT_VMB_CHANNEL_PNP_FAILURE */
static void server_refuses_to_open(void **state)
{
	struct pair *pair = pair_create();

	pair->server.on_opened = refuse;
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	VmbChannelStart(pair->server.channel);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "F"));
	assert_int_equal(pair->client.pnp_status, STATUS_DEVICE_NOT_READY);
	assert_string_equal(pair->server.trace, "O");
	/* it may try again */
	pair->server.on_opened = NULL;
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "FOSP"));
	pair_destroy(pair);
}

/* covers: EVT_VMB_CHANNEL_OPENED, EVT_VMB_CHANNEL_PNP_FAILURE */
static void client_refuses_to_open(void **state)
{
	struct pair *pair = pair_create();

	pair->client.on_opened = refuse;
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	VmbChannelStart(pair->server.channel);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "OF"));
	pair_wait(pair_traced(&pair->server, "C"));
	pair_destroy(pair);
}

static NTSTATUS queue_one(struct pair_end *end)
{
	uint64_t word = 42;

	return pair_send(end, &word, sizeof(word), 0);
}

/* Started may queue sends; they arrive. */
/* covers: EVT_VMB_CHANNEL_STARTED */
static void started_may_send(void **state)
{
	struct pair *pair = pair_create();

	pair->client.on_started = queue_one;
	pair->server.on_started = queue_one;
	pair_open(pair);
	pair_wait(pair->server.packets == 1 && pair->client.packets == 1);
	pair_destroy(pair);
}

static NTSTATUS negotiate(struct pair_end *end)
{
	uint64_t ask = 1, answer = 0;
	uint32_t size = sizeof(answer);
	NTSTATUS status = VmbChannelSendSynchronousRequest(
		end->channel, &ask, sizeof(ask), NULL,
		VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION, &answer, &size, NULL);

	end->context = NT_SUCCESS(status) && answer == ask ? end : NULL;
	return status;
}

/* PostStarted is where protocols negotiate: it may wait for the other end. */
/* covers: EVT_VMB_CHANNEL_POST_STARTED */
static void post_started_may_wait(void **state)
{
	struct pair *pair = pair_create();

	pair->client.on_post_started = negotiate;
	pair_open(pair);
	assert_ptr_equal(pair->client.context, &pair->client);
	pair_destroy(pair);
}

static NTSTATUS wait_in_vain(struct pair_end *end)
{
	uint64_t ask = 1;

	end->last_status = VmbChannelSendSynchronousRequest(
		end->channel, &ask, sizeof(ask), NULL,
		VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION, NULL, NULL, NULL);
	return STATUS_SUCCESS;
}

/* A PostStarted that waits for an answer that never comes holds up neither close nor Disable. */
/* covers: VmbChannelDisable, EVT_VMB_CHANNEL_POST_STARTED */
static void disable_ends_a_waiting_post_started(void **state)
{
	struct pair *pair = pair_create();

	pair->server.process = hold;
	pair->client.on_post_started = wait_in_vain;
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	VmbChannelStart(pair->server.channel);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(strchr(pair->server.trace, 'h'));
	{
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, complete_later, held), 0);
		VmbChannelDisable(pair->server.channel);
		pthread_join(thread, NULL);
	}
	pair_wait(pair_traced(&pair->client, "OSPUC"));
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0); /* an answer that came too late is no fault */
}

/* covers: VmbPacketSend */
static void queued_before_open_arrives_after(void **state)
{
	struct pair *pair = pair_create();
	uint64_t words[3] = { 1, 2, 3 };

	for (int i = 0; i < 3; i++)
		assert_int_equal(pair_send(&pair->client, &words[i], 8, 0), STATUS_SUCCESS);
	assert_int_equal(pair->client.completions, 0);
	pair_open(pair);
	pair_wait(pair->server.packets == 3 && pair->client.completions == 3);
	assert_memory_equal(pair->server.last, &words[2], 8);
	pair_destroy(pair);
}

/* covers: VmbChannelDisable, EVT_VMB_PACKET_COMPLETION_ROUTINE */
static void close_cancels_what_is_unanswered(void **state)
{
	struct pair *pair = pair_create();
	uint64_t word = 1;

	pair->client.process = hold;
	pair_open(pair);
	assert_int_equal(pair_send(&pair->server, &word, sizeof(word),
	                           VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION),
	                 STATUS_SUCCESS);
	pair_wait(strchr(pair->client.trace, 'h'));
	{
		pthread_t thread;

		VmbChannelPause(pair->server.channel);
		assert_int_equal(pthread_create(&thread, NULL, complete_later, held), 0);
		VmbChannelDisable(pair->client.channel);
		pthread_join(thread, NULL);
	}
	pair_wait(pair->server.completions == 1);
	assert_int_equal(pair->server.last_status, STATUS_CANCELLED);
	pair_destroy(pair);
}

/* covers: VmbChannelEnable, VmbChannelDisable */
static void opens_and_closes_many_times(void **state)
{
	struct pair *pair = pair_create();
	uint64_t word = 1;

	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	VmbChannelStart(pair->server.channel);
	for (uint32_t i = 0; i < 30; i++) {
		memset(pair->client.trace, 0, sizeof(pair->client.trace));
		memset(pair->server.trace, 0, sizeof(pair->server.trace));
		assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
		pair_wait(pair_traced(&pair->client, "OSP"));
		assert_int_equal(pair_send(&pair->client, &word, sizeof(word), 1), STATUS_SUCCESS);
		pair_wait(pair->client.completions == i + 1);
		assert_int_equal(pair->client.last_status, STATUS_SUCCESS);
		VmbChannelDisable(pair->client.channel);
	}
	pair_destroy(pair);
	assert_int_equal(pair_logged_errors(), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(server_waits_for_start),
		cmocka_unit_test(client_waits_for_the_offer),
		cmocka_unit_test(client_closes),
		cmocka_unit_test(server_revokes),
		cmocka_unit_test(pause_and_start),
		cmocka_unit_test(paused_before_enabled),
		cmocka_unit_test(pause_waits_for_packets),
		cmocka_unit_test(a_paused_end_gets_no_completions),
		cmocka_unit_test(enable_inside_closed_is_refused),
		cmocka_unit_test(server_refuses_to_open),
		cmocka_unit_test(client_refuses_to_open),
		cmocka_unit_test(started_may_send),
		cmocka_unit_test(post_started_may_wait),
		cmocka_unit_test(disable_ends_a_waiting_post_started),
		cmocka_unit_test(queued_before_open_arrives_after),
		cmocka_unit_test(close_cancels_what_is_unanswered),
		cmocka_unit_test(opens_and_closes_many_times),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("lifecycle", tests, NULL, NULL);
}
