/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What a send costs: no allocation, no lock that the other end takes too, at most one system call a
 * batch, next to no signals while streaming. The linker puts the functions below in the library's
 * way (--wrap, see meson.build), so what it calls is counted; but for sched_yield(), which a thread
 * calls that finds a lock of its own end taken for long, as when the other thread at that end was
 * preempted.
 */

#include "../sanitized.h"
#include "pair.h"

#include "kmcl/channel.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT  VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION
#define LOCKS 32

/* Per thread; the locks that it has taken since it last began to count. */
struct counted {
	uint64_t allocations;
	uint64_t system_calls;
	const char *calls[4]; /* the last ones */
	uint32_t lock_count;
	const void *locks[LOCKS];
};
static _Thread_local struct counted counted;
static struct counted of_server; /* as the server's ProcessPacket last saw it */

/* Each pair's ends are counted anew: a lock's memory may have been another pair's. */
static _Atomic(unsigned int) pairs;
static _Thread_local unsigned int counted_pair;

static void count_lock(const void *lock)
{
	for (uint32_t i = 0; i < counted.lock_count; i++)
		if (counted.locks[i] == lock)
			return;
	if (counted.lock_count < LOCKS)
		counted.locks[counted.lock_count++] = lock;
}

static void count_call(const char *name)
{
	counted.calls[counted.system_calls++ % 4] = name;
}

#define COUNTED(type, name, parameters, arguments, what) \
	type __real_##name parameters;                   \
	type __wrap_##name parameters;                   \
	type __wrap_##name parameters                    \
	{                                                \
		what;                                    \
		return __real_##name arguments;          \
	}
#define ALLOCATES(type, name, parameters, arguments) \
	COUNTED(type, name, parameters, arguments, counted.allocations++)
#define SYSTEM_CALL(type, name, parameters, arguments) \
	COUNTED(type, name, parameters, arguments, count_call(#name))

ALLOCATES(void *, malloc, (size_t size), (size))
ALLOCATES(void *, calloc, (size_t n, size_t size), (n, size))
ALLOCATES(void *, realloc, (void *p, size_t size), (p, size))
ALLOCATES(void *, reallocarray, (void *p, size_t n, size_t size), (p, n, size))
ALLOCATES(int, posix_memalign, (void **p, size_t align, size_t size), (p, align, size))
ALLOCATES(PVOID, ExAllocatePoolWithTag, (POOL_TYPE type, SIZE_T size, ULONG tag), (type, size, tag))
SYSTEM_CALL(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
SYSTEM_CALL(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n))
SYSTEM_CALL(int, eventfd_write, (int fd, eventfd_t value), (fd, value))
SYSTEM_CALL(int, eventfd_read, (int fd, eventfd_t *value), (fd, value))
SYSTEM_CALL(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags))
SYSTEM_CALL(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
SYSTEM_CALL(int, poll, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout))
SYSTEM_CALL(int, epoll_wait, (int fd, struct epoll_event *e, int n, int timeout),
            (fd, e, n, timeout))
COUNTED(int, pthread_mutex_lock, (pthread_mutex_t * lock), (lock), count_lock(lock))
COUNTED(KIRQL, KeAcquireSpinLockRaiseToDpc, (PKSPIN_LOCK lock), (lock), count_lock(lock))

/* futexes are called for by number */
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	count_call("syscall");
	return __real_syscall(number, a, b, c, d, e, f);
}

static uint64_t received;

/* The `n`th processor that this process may use; -1: there are not so many. */
static int processor(int n)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return -1;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set) && n-- == 0)
			return cpu;
	return -1;
}

static int reader_processor = -1;

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static VOID take(VMBCHANNEL channel, VMBPACKETCOMPLETION packet, PVOID buffer, UINT32 size,
                 UINT32 flags)
{
	if (counted_pair != pairs) {
		memset(&counted, 0, sizeof(counted));
		counted_pair = pairs;
	}
	if (reader_processor >= 0) {
		stay_on(reader_processor);
		reader_processor = -1;
	}
	VmbChannelPacketComplete(packet, NULL, 0);
	of_server = counted;
	__atomic_store_n(&received, received + 1, __ATOMIC_RELEASE);
}

static uint64_t received_so_far(void)
{
	return __atomic_load_n(&received, __ATOMIC_ACQUIRE);
}

static void wait_received(uint64_t n)
{
	uint32_t tries = PAIR_WAIT_MS * 10;

	while (received_so_far() < n && tries--)
		KeStallExecutionProcessor(100);
	assert_int_equal(received_so_far(), n);
}

/* One that does without the fixture's own locks. */
static struct pair *open_pair(void)
{
	struct pair *pair = pair_create();

	pairs++;
	assert_int_equal(VmbChannelInitSetProcessPacketCallbacks(pair->server.channel, take, NULL),
	                 0);
	assert_int_equal(VmbClientChannelInitSetRingBufferPageCount(pair->client.channel, 64, 64),
	                 0);
	pair_open(pair);
	KeStallExecutionProcessor(20000);
	received = 0;
	return pair;
}

static void send_batch(struct pair *pair, uint32_t count)
{
	uint8_t payload[64] = { 0 };
	KIRQL irql;

	KeRaiseIrql(DISPATCH_LEVEL, &irql);
	for (uint32_t i = 0; i < count; i++) {
		VMBPACKET packet = VmbPacketAllocate(pair->client.channel);

		if (!packet || VmbPacketSend(packet, payload, sizeof(payload), NULL, 0) != 0)
			abort();
	}
	KeLowerIrql(irql);
}

/* Only what the batches add, of what this thread has done so far. */
static struct counted since(const struct counted *before)
{
	struct counted d = counted;

	d.allocations -= before->allocations;
	d.system_calls -= before->system_calls;
	return d;
}

static void expect_one_call(const struct counted *before)
{
	uint64_t n = counted.system_calls - before->system_calls;

	if (n > 1)
		fail_msg("%llu system calls, %s after %s", (unsigned long long)n,
		         counted.calls[(counted.system_calls + 3) % 4],
		         counted.calls[(counted.system_calls + 2) % 4]);
}

/* covers: VmbPacketSend, VmbPacketAllocate */
static void no_allocation_and_one_system_call_a_batch(void **state)
{
	struct pair *pair = open_pair();
	void *(*volatile allocate)(size_t) = malloc;
	struct counted before;
	enum { BATCHES = 200, SIZE = 100 };

	send_batch(pair, SIZE); /* the packet objects come to be */
	wait_received(SIZE);
	for (uint32_t i = 0; i < BATCHES; i++) {
		if (i % 20 == 0)
			KeStallExecutionProcessor(5000); /* the reader sleeps: it has to be woken */
		before = counted;
		send_batch(pair, SIZE);
		assert_int_equal(since(&before).allocations, 0);
		expect_one_call(&before);
		wait_received((i + 2) * SIZE);
	}
	/* and the counting counts; the compiler thinks it knows what malloc() itself changes */
	before = counted;
	free(allocate(1));
	assert_int_equal(since(&before).allocations, 1);
	pair_destroy(pair);
}

/* A packet that waits for its completion has all it needs with it, too. */
/* covers: VmbPacketSend, VmbPacketSetCompletionRoutine */
static void no_allocation_with_completions(void **state)
{
	struct pair *pair = open_pair();
	struct counted before;
	uint64_t word = 1;

	for (uint32_t i = 0; i < 50; i++) {
		VMBPACKET packet = VmbPacketAllocate(pair->client.channel);

		VmbPacketSetCompletionRoutine(packet, pair_completed);
		before = counted;
		assert_int_equal(VmbPacketSend(packet, &word, sizeof(word), NULL, WAIT), 0);
		assert_int_equal(since(&before).allocations, 0);
		expect_one_call(&before);
		pair_wait(pair->client.completions == i + 1);
	}
	pair_destroy(pair);
}

/* The channels' own spin locks are inlined; so this looks whether one end waits for the other's. */
/* covers: VmbPacketSend, EVT_VMB_CHANNEL_PROCESS_PACKET */
static void neither_end_waits_for_the_others_locks(void **state)
{
	struct pair *pair = open_pair();
	struct channel *server = (struct channel *)pair->server.channel;
	struct channel *client = (struct channel *)pair->client.channel;

	/* the sender goes on while the receiver's are taken */
	spin_lock(&server->out.lock);
	pthread_mutex_lock(&server->lock);
	send_batch(pair, 20);
	pthread_mutex_unlock(&server->lock);
	spin_unlock(&server->out.lock);
	wait_received(20);
	/* and the receiver while the sender's are */
	VmbChannelPause(pair->server.channel);
	send_batch(pair, 20);
	spin_lock(&client->out.lock);
	pthread_mutex_lock(&client->lock);
	VmbChannelStart(pair->server.channel);
	wait_received(40);
	pthread_mutex_unlock(&client->lock);
	spin_unlock(&client->out.lock);
	pair_destroy(pair);
}

/* covers: VmbPacketSend */
static void no_lock_of_both_ends(void **state)
{
	struct pair *pair = open_pair();
	pthread_mutex_t local = PTHREAD_MUTEX_INITIALIZER;
	struct counted mine;

	/* the counting counts */
	memset(&counted, 0, sizeof(counted));
	pthread_mutex_lock(&local);
	pthread_mutex_unlock(&local);
	assert_int_equal(counted.lock_count, 1);
	memset(&counted, 0, sizeof(counted));
	for (uint32_t i = 1; i <= 100; i++) {
		send_batch(pair, 20);
		mine = counted;
		wait_received(i * 20);
	}
	assert_in_range(mine.lock_count, 0, LOCKS - 1);
	assert_in_range(of_server.lock_count, 0, LOCKS - 1);
	for (uint32_t i = 0; i < mine.lock_count; i++)
		for (uint32_t k = 0; k < of_server.lock_count; k++)
			assert_ptr_not_equal(mine.locks[i], of_server.locks[k]);
	pair_destroy(pair);
}

#define STREAM (SANITIZED ? 50000u : 1000000u)

/* covers: VmbPacketSend, kmcl_channel_info */
static void streaming_needs_few_signals(void **state)
{
	struct pair *pair;
	struct kmcl_channel_info before, after;
	uint64_t signals;
	int mine = processor(0);

	reader_processor = processor(1);
	if (reader_processor < 0) {
		print_message("# one processor: both ends cannot run at a time\n");
		skip();
	}
	/* the scheduler of a busy machine likes to put who wakes and who is woken together */
	pair = open_pair();
	send_batch(pair, 250);
	wait_received(250);
	received = 0;
	stay_on(mine);
	kmcl_channel_info(pair->client.channel, &before);
	for (uint32_t sent = 0; sent < STREAM; sent += 250) {
		send_batch(pair, 250);
		while (sent + 250 - received_so_far() > 2000) /* what the ring has room for */
			YieldProcessor();
	}
	wait_received(STREAM);
	kmcl_channel_info(pair->client.channel, &after);
	signals = after.statistics.signals_out - before.statistics.signals_out;
	print_message("# %llu signals for %u packets of 64 bytes\n", (unsigned long long)signals,
	              STREAM);
	assert_in_range(signals, 0, 1000ull * STREAM / 1000000 + 50);
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_allocation_and_one_system_call_a_batch),
		cmocka_unit_test(no_allocation_with_completions),
		cmocka_unit_test(no_lock_of_both_ends),
		cmocka_unit_test(neither_end_waits_for_the_others_locks),
		cmocka_unit_test(streaming_needs_few_signals),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("send_path", tests, NULL, NULL);
}
