/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * An Enable is two halves, with the bus between them. Here the gap is as wide as a test wants: what
 * tells the bus is wrapped by the linker, and waits.
 */

#include "pair.h"

struct channel;
NTSTATUS __real_guest_wait_for_offer(struct channel *ch);
NTSTATUS __wrap_guest_wait_for_offer(struct channel *ch);
NTSTATUS __real_host_offer(struct channel *ch);
NTSTATUS __wrap_host_offer(struct channel *ch);

static void *_Atomic gap_of; /* the channel that is held up, on either side of the bus */
static _Atomic(bool) in_gap, leave_gap;

static void gap(const struct channel *ch)
{
	if (gap_of != ch)
		return;
	in_gap = true;
	pair_changed();
	while (!leave_gap)
		YieldProcessor();
}

NTSTATUS __wrap_guest_wait_for_offer(struct channel *ch)
{
	NTSTATUS status;

	gap(ch);
	status = __real_guest_wait_for_offer(ch);
	gap(ch);
	return status;
}

NTSTATUS __wrap_host_offer(struct channel *ch)
{
	NTSTATUS status;

	gap(ch);
	status = __real_host_offer(ch);
	gap(ch);
	return status;
}

static void *enable(void *channel)
{
	VmbChannelEnable(channel);
	return NULL;
}

static _Atomic(bool) disabled;

static void *disable(void *channel)
{
	VmbChannelDisable(channel);
	disabled = true;
	pair_changed();
	return NULL;
}

/* Disable comes in the gap of `end`: it waits, and afterwards the bus does not know the channel. */
static void disable_in_the_gap_of(struct pair *pair, struct pair_end *end)
{
	pthread_t enabler, disabler;

	in_gap = leave_gap = disabled = false;
	gap_of = end->channel;
	assert_int_equal(pthread_create(&enabler, NULL, enable, end->channel), 0);
	pair_wait(in_gap);
	assert_int_equal(pthread_create(&disabler, NULL, disable, end->channel), 0);
	KeStallExecutionProcessor(50000);
	assert_false(disabled);
	leave_gap = true;
	pair_wait(disabled);
	pthread_join(enabler, NULL);
	pthread_join(disabler, NULL);
	gap_of = NULL;
	VmbChannelCleanup(end->channel);
	end->channel = NULL;
}

/* covers: VmbChannelEnable, VmbChannelDisable, VmbChannelCleanup */
static void disable_while_a_client_is_enabled(void **state)
{
	struct pair *pair = pair_create();

	disable_in_the_gap_of(pair, &pair->client);
	/* an offer that would be the dead channel's */
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	pair_add_client(pair, &pair->client, &pair_instance);
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "OSP"));
	pair_destroy(pair);
}

/* covers: VmbChannelEnable, VmbChannelDisable, VmbChannelCleanup */
static void disable_while_a_server_is_enabled(void **state)
{
	struct pair *pair = pair_create();

	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	disable_in_the_gap_of(pair, &pair->server);
	if (pair_traced(&pair->server, "OC")) { /* the guest was quicker than Disable */
		pair_wait(pair_traced(&pair->client, "C"));
		assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	}
	pair_add_server(pair, &pair->server, &pair_instance);
	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "OSP"));
	pair_destroy(pair);
}

/* The offer comes, or the guest opens, before Enable has returned. */
/* covers: VmbChannelEnable */
static void the_other_end_is_quicker(void **state)
{
	struct pair *pair = pair_create();
	pthread_t enabler;

	in_gap = leave_gap = false;
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	gap_of = pair->server.channel;
	assert_int_equal(pthread_create(&enabler, NULL, enable, pair->server.channel), 0);
	pair_wait(in_gap);
	leave_gap = true;
	pthread_join(enabler, NULL);
	VmbChannelStart(pair->server.channel);
	pair_wait(pair_traced(&pair->server, "OSP"));
	gap_of = NULL;
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disable_while_a_client_is_enabled),
		cmocka_unit_test(disable_while_a_server_is_enabled),
		cmocka_unit_test(the_other_end_is_quicker),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("enable_gap", tests, NULL, NULL);
}
