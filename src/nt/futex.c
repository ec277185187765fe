/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPIN_PAUSES 64

unsigned nt_spin_limit;

__attribute__((constructor)) static void spin_limit_init(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) > 1)
		nt_spin_limit = SPIN_PAUSES;
}

static struct timespec to_timespec(uint64_t ns)
{
	struct timespec ts;

	ts.tv_sec = (time_t)(ns / NT_NSEC_PER_SEC);
	ts.tv_nsec = (long)(ns % NT_NSEC_PER_SEC);
	return ts;
}

bool nt_futex_wait(const uint32_t *word, uint32_t value, enum nt_clock clock, uint64_t deadline)
{
	int op = FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG;
	struct timespec ts = to_timespec(deadline);
	int saved = errno;
	bool passed;

	if (clock == NT_CLOCK_REALTIME)
		op |= FUTEX_CLOCK_REALTIME;
	passed = syscall(SYS_futex, word, op, value, deadline == NT_FOREVER ? NULL : &ts, NULL,
	                 FUTEX_BITSET_MATCH_ANY) < 0 &&
	         errno == ETIMEDOUT;
	errno = saved;
	return !passed;
}

void nt_futex_wake(const uint32_t *word, int count)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, NULL, NULL, 0);
	errno = saved;
}

uint64_t nt_clock_now(enum nt_clock clock)
{
	struct timespec ts;

	clock_gettime(clock == NT_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NT_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

void nt_lock_slow(struct nt_lock *lock)
{
	unsigned i;

	for (i = 0; i < nt_spin_limit; i++) {
		uint32_t free = 0;

		if (__atomic_load_n(&lock->word, __ATOMIC_RELAXED) == 0 &&
		    __atomic_compare_exchange_n(&lock->word, &free, 1, false, __ATOMIC_ACQUIRE,
		                                __ATOMIC_RELAXED))
			return;
		YieldProcessor();
	}
	while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0)
		nt_futex_wait(&lock->word, 2, NT_CLOCK_MONOTONIC, NT_FOREVER);
}

void nt_latch_wait(struct nt_latch *latch)
{
	while (__atomic_load_n(&latch->posted, __ATOMIC_ACQUIRE) == 0)
		nt_futex_wait(&latch->posted, 0, NT_CLOCK_MONOTONIC, NT_FOREVER);
}

void nt_latch_post(struct nt_latch *latch)
{
	__atomic_store_n(&latch->posted, 1, __ATOMIC_RELEASE);
	nt_futex_wake(&latch->posted, 1);
}
