/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A driver's thread that is slow about what it found out in one opening of its channel: nothing of
 * it reaches the next. The test has the dispatcher's loop to itself, so that such a thread does
 * what the dispatcher would have done; it is slow inside a callback.
 */

#include "pair.h"

#include "kmcl/channel.h"

#include <stdlib.h>
#include <time.h>

#define WAIT VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION

#define LARGER 6000u /* than the packets of the first opening */

/* ---- the loop ---- */

static pthread_t loop;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool over;

/* The processors are for those who connect. */
static void pause_briefly(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
}

static void *run_loop(void *context)
{
	while (!atomic_load(&over)) {
		pthread_mutex_lock(&turn);
		kmcl_dispatch(0);
		pthread_mutex_unlock(&turn);
		pause_briefly();
	}
	return NULL;
}

static int start_loop(void **state)
{
	struct kmcl_dispatch_settings settings = { .size = sizeof(settings), .embedded = 1 };

	if (kmcl_dispatch_configure(&settings) != STATUS_SUCCESS)
		return -1;
	return pthread_create(&loop, NULL, run_loop, NULL);
}

static int end_loop(void **state)
{
	atomic_store(&over, true);
	return pthread_join(loop, NULL);
}

/* ---- the slow thread ---- */

static _Thread_local bool is_slow;
static atomic_bool arrived, may_go;

/* Whoever is slow stays here. */
static void linger(void)
{
	if (!is_slow)
		return;
	atomic_store(&arrived, true);
	while (!atomic_load(&may_go))
		pause_briefly();
}

static void wait_for(atomic_bool *flag)
{
	for (int i = 0; !atomic_load(flag) && i < 30000; i++)
		KeStallExecutionProcessor(1000);
	assert_true(atomic_load(flag));
}

static void *send_slowly(void *context)
{
	uint64_t word = 7;

	is_slow = true;
	pair_send(context, &word, sizeof(word), 0);
	return NULL;
}

static pthread_t begin_slowly(struct pair_end *end)
{
	pthread_t thread;

	atomic_store(&arrived, false);
	atomic_store(&may_go, false);
	assert_int_equal(pthread_create(&thread, NULL, send_slowly, end), 0);
	wait_for(&arrived);
	return thread;
}

static void end_slowly(pthread_t thread)
{
	atomic_store(&may_go, true);
	pthread_join(thread, NULL);
}

/* ---- an answer that is given back late ---- */

static VMBPACKETCOMPLETION _Atomic held;

static void hold(struct pair_end *end, VMBPACKETCOMPLETION packet, void *buffer, uint32_t size,
                 uint32_t flags)
{
	held = packet;
	pair_changed();
}

static VOID done_slowly(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	linger();
	pair_completed(packet, status, buffer, size);
}

static uint64_t queued(struct pair_end *end)
{
	struct kmcl_channel_info info;

	kmcl_channel_info(end->channel, &info);
	return info.statistics.sends_queued;
}

/* Fills the ring; what did not go in any more is the first of the queue. */
static void fill(struct pair_end *end)
{
	uint8_t bytes[512] = { 0 };
	uint64_t before = queued(end);

	while (queued(end) == before) {
		VMBPACKET packet = VmbPacketAllocate(end->channel);

		VmbPacketSetCompletionRoutine(packet, done_slowly);
		assert_int_equal(VmbPacketSend(packet, bytes, sizeof(bytes), NULL, 0),
		                 STATUS_SUCCESS);
	}
}

/* In the dispatcher's place. */
static void receive(struct pair_end *end)
{
	KIRQL irql;

	KeRaiseIrql(DISPATCH_LEVEL, &irql);
	assert_true(incoming_help(channel_of(end->channel), 10000) > 0);
	KeLowerIrql(irql);
	incoming_help_end(channel_of(end->channel));
}

static void reopen_larger(struct pair *pair)
{
	VmbChannelDisable(pair->client.channel);
	VmbChannelDisable(pair->server.channel);
	assert_int_equal(VmbChannelInitSetMaximumPacketSize(pair->client.channel, LARGER),
	                 STATUS_SUCCESS);
	assert_int_equal(VmbChannelInitSetMaximumPacketSize(pair->server.channel, LARGER),
	                 STATUS_SUCCESS);
	pair_open(pair);
}

static void exchange(struct pair_end *from, struct pair_end *to, uint32_t size)
{
	static uint8_t bytes[LARGER];
	uint32_t done = from->completions;

	for (int i = 0; i < 10; i++)
		assert_int_equal(pair_send(from, bytes, size, WAIT), STATUS_SUCCESS);
	pair_wait(from->completions == done + 10);
	assert_int_equal(from->last_status, STATUS_SUCCESS);
	assert_int_equal(to->last_size, size);
}

/* `slow` holds a packet of `other`'s, and what it sends before its answer does not fit in. */
static void answer_late(struct pair *pair, struct pair_end *slow, struct pair_end *other)
{
	uint64_t word = 1;
	pthread_t thread;

	pair_open(pair);
	slow->process = hold;
	held = NULL;
	assert_int_equal(pair_send(other, &word, sizeof(word), WAIT), STATUS_SUCCESS);
	pair_wait(held);
	slow->process = NULL;
	pthread_mutex_lock(&turn);
	fill(slow);
	VmbChannelPacketComplete(held, &word, sizeof(word));
	receive(other);
	thread = begin_slowly(slow);
	pthread_mutex_unlock(&turn);
	reopen_larger(pair);
	end_slowly(thread);
	exchange(other, slow, LARGER);
	exchange(slow, other, LARGER);
}

/* covers: VmbPacketSend, VmbChannelPacketComplete, VmbChannelDisable, VmbChannelEnable */
static void answers_are_given_back_before_a_close(void **state)
{
	struct pair *pair = pair_create();

	answer_late(pair, &pair->server, &pair->client);
	pair_destroy(pair);
	pair = pair_create();
	answer_late(pair, &pair->client, &pair->server);
	pair_destroy(pair);
}

/* ---- a fault that is reported late ---- */

static void log_slowly(void *context, enum kmcl_log_level level, const char *channel,
                       const char *text)
{
	linger();
}

static atomic_bool reopened;

static void *reopen(void *context)
{
	struct pair *pair = context;

	VmbChannelDisable(pair->client.channel);
	if (VmbChannelEnable(pair->client.channel) != STATUS_SUCCESS)
		abort();
	pair_wait_begin();
	while (!pair_traced(&pair->client, "COSP") && pair_wait_more())
		;
	pair_wait_end();
	atomic_store(&reopened, true);
	return NULL;
}

/* covers: VmbPacketSend, VmbChannelDisable, VmbChannelEnable */
static void faults_are_about_the_opening_they_were_found_in(void **state)
{
	struct pair *pair = pair_create();
	pthread_t slow, other;
	struct channel *ch;

	pair_open(pair);
	ch = channel_of(pair->client.channel);
	pthread_mutex_lock(&turn);
	fill(&pair->client);
	__atomic_store_n(&ch->out.ring.memory.control->read_index, 0x12345677, __ATOMIC_RELAXED);
	kmcl_log_set(log_slowly, NULL, KMCL_LOG_ERROR);
	slow = begin_slowly(&pair->client);
	pthread_mutex_unlock(&turn);
	atomic_store(&reopened, false);
	assert_int_equal(pthread_create(&other, NULL, reopen, pair), 0);
	for (int i = 0; i < 200 && !atomic_load(&reopened); i++) /* it has to wait */
		KeStallExecutionProcessor(1000);
	end_slowly(slow);
	pthread_join(other, NULL);
	assert_true(atomic_load(&reopened));
	exchange(&pair->client, &pair->server, 8);
	assert_true(pair_traced(&pair->client, "COSP"));
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_given_back_before_a_close),
		cmocka_unit_test(faults_are_about_the_opening_they_were_found_in),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("slow_threads", tests, start_loop, end_loop);
}
