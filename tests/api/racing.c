/* SPDX-License-Identifier: BSD-2-Clause */

/* Calls that meet: each returns when what it says is so, and always returns. */

#include "../sanitized.h"
#include "pair.h"

#include <time.h>

static void sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static NTSTATUS say_and_sleep(struct pair_end *end)
{
	pair_trace(end, 's');
	sleep_ms(300);
	return STATUS_SUCCESS;
}

/* covers: VmbChannelPause, EVT_VMB_CHANNEL_STARTED, EVT_VMB_CHANNEL_SUSPEND */
static void pause_while_started_runs(void **state)
{
	struct pair *pair = pair_create();
	uint64_t before, word = 1;

	pair->server.on_started = say_and_sleep;
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "OSP"));
	VmbChannelStart(pair->server.channel);
	pair_wait(pair_traced(&pair->server, "s"));
	before = now_ms();
	VmbChannelPause(pair->server.channel);
	assert_true(now_ms() - before >= 200);
	assert_string_equal(pair->server.trace, "OsSPU");
	assert_int_equal(VmbChannelSaveBegin(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(pair_send(&pair->client, &word, sizeof(word), 0), STATUS_SUCCESS);
	sleep_ms(20);
	assert_int_equal(pair->server.packets, 0);
	VmbChannelSaveEnd(pair->server.channel);
	pair_destroy(pair);
}

/* A save must not begin where packets may be delivered. */
/* covers: VmbChannelSaveBegin */
static void save_while_started_runs(void **state)
{
	struct pair *pair = pair_create();

	pair->server.on_started = say_and_sleep;
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	VmbChannelStart(pair->server.channel);
	pair_wait(pair_traced(&pair->server, "s"));
	assert_int_equal(VmbChannelSaveBegin(pair->server.channel), STATUS_INVALID_DEVICE_STATE);
	pair_wait(pair_traced(&pair->server, "SP"));
	pair_destroy(pair);
}

static void *start(void *channel)
{
	VmbChannelStart(channel);
	return NULL;
}

/* Hooks are set before the ends are open, and act once. */
static _Atomic(bool) armed;

static NTSTATUS start_elsewhere(struct pair_end *end)
{
	pthread_t thread;

	if (!armed)
		return STATUS_SUCCESS;
	armed = false;
	assert_int_equal(pthread_create(&thread, NULL, start, end->channel), 0);
	pthread_join(thread, NULL);
	return STATUS_SUCCESS;
}

/* A Pause is a pause, also when somebody starts the channel before it has returned. */
/* covers: VmbChannelPause, VmbChannelStart */
static void start_while_pause_waits(void **state)
{
	struct pair *pair = pair_create();

	pair->server.on_suspend = start_elsewhere;
	armed = true;
	pair_open(pair);
	VmbChannelPause(pair->server.channel);
	assert_true(strncmp(pair->server.trace, "OSPU", 4) == 0);
	pair_wait(pair_traced(&pair->server, "OSPUSP"));
	pair_destroy(pair);
}

/* covers: VmbChannelPause, VmbChannelStart, VmbChannelEnable */
static void paused_is_one_state(void **state)
{
	struct pair *pair = pair_create();

	VmbChannelPause(pair->client.channel);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "O"));
	VmbChannelStart(pair->client.channel);
	pair_wait(pair_traced(&pair->client, "OSP"));
	VmbChannelDisable(pair->client.channel);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "OSPUCOSP"));
	/* and the other way round: paused while it was enabled, paused when it is again */
	VmbChannelPause(pair->client.channel);
	VmbChannelDisable(pair->client.channel);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "UCO"));
	sleep_ms(20);
	assert_true(pair_traced(&pair->client, "UCO"));
	VmbChannelStart(pair->client.channel);
	pair_wait(pair_traced(&pair->client, "UCOSP"));
	pair_destroy(pair);
}

static void *enable(void *context)
{
	struct pair_end *end = context;

	end->last_status = VmbChannelEnable(end->channel);
	pair_trace(end, 'e');
	return NULL;
}

static NTSTATUS enable_elsewhere(struct pair_end *end)
{
	if (!armed)
		return STATUS_SUCCESS;
	armed = false;
	assert_int_equal(pthread_create(end->context, NULL, enable, end), 0);
	sleep_ms(
		100); /* it waits by now; if it does not yet, nothing is proven but nothing fails */
	return STATUS_SUCCESS;
}

static void *disable(void *channel)
{
	VmbChannelDisable(channel);
	return NULL;
}

/* An Enable from a work item that Closed queued, and a Disable: both wait for the same thing. */
/* covers: VmbChannelEnable, VmbChannelDisable, EVT_VMB_CHANNEL_CLOSED */
static void enable_and_disable_wait_for_the_same(void **state)
{
	for (int i = 0; i < 8; i++) {
		struct pair *pair = pair_create();
		pthread_t enabler, disabler;

		pair->client.context = &enabler;
		pair->client.on_closed = enable_elsewhere;
		armed = true;
		pair_open(pair);
		VmbChannelDisable(pair->server.channel); /* the client closes by itself */
		pair_wait(pair->client.trace[3] == 'U');
		assert_int_equal(pthread_create(&disabler, NULL, disable, pair->client.channel), 0);
		pthread_join(disabler, NULL);
		pair_wait(strchr(pair->client.trace, 'e'));
		pthread_join(enabler, NULL);
		assert_int_equal(pair->client.last_status, STATUS_SUCCESS);
		pair_destroy(pair);
	}
}

/* covers: VmbChannelEnable, VmbChannelDisable, EVT_VMB_CHANNEL_PNP_FAILURE */
static void an_offer_that_is_being_revoked(void **state)
{
	struct pair *pair = pair_create();

	for (int i = 0; i < ROUNDS(300); i++) {
		pthread_t disabler;

		memset(pair->client.trace, 0, sizeof(pair->client.trace));
		memset(pair->server.trace, 0, sizeof(pair->server.trace));
		pair_open(pair);
		assert_int_equal(pthread_create(&disabler, NULL, disable, pair->server.channel), 0);
		VmbChannelDisable(pair->client.channel);
		memset(pair->client.trace, 0, sizeof(pair->client.trace));
		/* the offer may still be there, or again, or not yet */
		assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
		pthread_join(disabler, NULL);
		assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
		VmbChannelStart(pair->server.channel);
		/* It is open; or it was, on the old offer, closed as it should and has to be
		 * enabled again. It never failed. */
		pair_wait(pair_traced(&pair->client, "OSP") || pair_traced(&pair->client, "C") ||
		          pair_traced(&pair->client, "F"));
		assert_null(strchr(pair->client.trace, 'F'));
		VmbChannelDisable(pair->client.channel);
		VmbChannelDisable(pair->server.channel);
	}
	pair_destroy(pair);
}

/* covers: VmbChannelStart, VmbChannelSaveBegin, VmbChannelSaveEnd */
static void start_while_saving(void **state)
{
	struct pair *pair = pair_create();

	pair_open(pair);
	VmbChannelPause(pair->server.channel);
	assert_int_equal(VmbChannelSaveBegin(pair->server.channel), STATUS_SUCCESS);
	VmbChannelStart(pair->server.channel);
	sleep_ms(20);
	assert_string_equal(pair->server.trace, "OSPU");
	VmbChannelSaveEnd(pair->server.channel);
	pair_wait(pair_traced(&pair->server, "OSPUSP"));
	pair_destroy(pair);
}

/* What is being saved stays; the guest's close waits for the end of it. */
/* covers: VmbChannelSaveBegin, VmbChannelSaveContinue, VmbChannelSaveEnd */
static void close_while_saving(void **state)
{
	struct pair *pair = pair_create();
	uint8_t chunks[4096];
	ULONG filled, required;
	uint64_t word = 1;
	pthread_t disabler;

	pair->client.on_started = NULL;
	pair_open(pair);
	VmbChannelPause(pair->client.channel);
	VmbChannelPause(pair->server.channel);
	assert_int_equal(pair_send(&pair->server, &word, sizeof(word), 1), STATUS_SUCCESS);
	assert_int_equal(VmbChannelSaveBegin(pair->server.channel), STATUS_SUCCESS);
	assert_int_equal(pthread_create(&disabler, NULL, disable, pair->client.channel), 0);
	sleep_ms(50);
	assert_int_equal(pair->server.completions, 0);
	assert_int_equal(VmbChannelSaveContinue(pair->server.channel, chunks, sizeof(chunks),
	                                        &filled, &required),
	                 STATUS_SUCCESS);
	VmbChannelSaveEnd(pair->server.channel);
	pair_wait(pair_traced(&pair->server, "C"));
	pthread_join(disabler, NULL);
	pair_wait(pair->server.completions == 1);
	assert_int_equal(pair->server.last_status, STATUS_CANCELLED);
	pair_destroy(pair);
}

/* Disable always returns: it ends the save. */
/* covers: VmbChannelDisable, VmbChannelSaveContinue, VmbChannelSaveEnd */
static void disable_while_saving(void **state)
{
	struct pair *pair = pair_create();
	uint8_t chunks[4096];
	ULONG filled, required;
	uint64_t word = 1;

	pair_open(pair);
	VmbChannelPause(pair->server.channel);
	assert_int_equal(VmbChannelSaveBegin(pair->server.channel), STATUS_SUCCESS);
	VmbChannelDisable(pair->server.channel);
	assert_int_equal(VmbChannelSaveContinue(pair->server.channel, chunks, sizeof(chunks),
	                                        &filled, &required),
	                 STATUS_INVALID_DEVICE_STATE);
	VmbChannelSaveEnd(pair->server.channel); /* nothing to end any more */
	pair_wait(pair_traced(&pair->client, "C"));
	/* and what is sent afterwards is not frozen */
	memset(pair->client.trace, 0, sizeof(pair->client.trace));
	pair_open(pair);
	assert_int_equal(pair_send(&pair->server, &word, sizeof(word), 0), STATUS_SUCCESS);
	pair_wait(pair->client.packets == 1);
	pair_destroy(pair);
}

/* Several that wait, and the last of them returns before the channel is gone. */
/* covers: VmbChannelDisable, VmbChannelCleanup */
static void cleanup_after_several_disables(void **state)
{
	for (int i = 0; i < ROUNDS(50); i++) {
		struct pair *pair = pair_create();
		pthread_t disablers[3];

		pair_open(pair);
		for (int d = 0; d < 3; d++)
			assert_int_equal(
				pthread_create(&disablers[d], NULL, disable, pair->server.channel),
				0);
		sleep_ms(1);
		VmbChannelDisable(pair->server.channel);
		VmbChannelDisable(pair->client.channel);
		for (int d = 0; d < 3; d++)
			pthread_join(disablers[d], NULL);
		pair_destroy(pair);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pause_while_started_runs),
		cmocka_unit_test(save_while_started_runs),
		cmocka_unit_test(start_while_pause_waits),
		cmocka_unit_test(paused_is_one_state),
		cmocka_unit_test(enable_and_disable_wait_for_the_same),
		cmocka_unit_test(an_offer_that_is_being_revoked),
		cmocka_unit_test(start_while_saving),
		cmocka_unit_test(close_while_saving),
		cmocka_unit_test(disable_while_saving),
		cmocka_unit_test(cleanup_after_several_disables),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("racing", tests, NULL, NULL);
}
