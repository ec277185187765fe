/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

#include <sched.h>
#include <unistd.h>

#define NS_PER_UNIT     100
#define TICK_100NS      156250 /* 1/64 s, as on a PC */
#define COUNTER_PER_SEC 10000000

void KeQuerySystemTimePrecise(PLARGE_INTEGER now)
{
	now->QuadPart = (LONGLONG)(nt_clock_now(NT_CLOCK_REALTIME) / NS_PER_UNIT) + NT_EPOCH_100NS;
}

ULONGLONG KeQueryInterruptTime(void)
{
	return nt_clock_now(NT_CLOCK_MONOTONIC) / NS_PER_UNIT;
}

ULONGLONG KeQueryInterruptTimePrecise(PULONG64 qpc)
{
	ULONGLONG now = KeQueryInterruptTime();

	if (qpc)
		*qpc = now; /* the counter has the same unit and origin */
	return now;
}

LARGE_INTEGER KeQueryPerformanceCounter(PLARGE_INTEGER frequency)
{
	LARGE_INTEGER now;

	if (frequency)
		frequency->QuadPart = COUNTER_PER_SEC;
	now.QuadPart = (LONGLONG)KeQueryInterruptTime();
	return now;
}

ULONG KeQueryTimeIncrement(void)
{
	return TICK_100NS;
}

void KeQueryTickCount(PLARGE_INTEGER ticks)
{
	ticks->QuadPart = (LONGLONG)(KeQueryInterruptTime() / TICK_100NS);
}

void KeStallExecutionProcessor(ULONG microseconds)
{
	uint64_t end = nt_clock_now(NT_CLOCK_MONOTONIC) + microseconds * UINT64_C(1000);

	while (nt_clock_now(NT_CLOCK_MONOTONIC) < end)
		YieldProcessor();
}

ULONG KeQueryActiveProcessorCount(PKAFFINITY mask)
{
	cpu_set_t cpus;
	unsigned i;

	CPU_ZERO(&cpus);
	if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
		CPU_SET(0, &cpus); /* more than 1024 processors: at least this one */
	if (mask) {
		*mask = 0;
		for (i = 0; i < 64; i++)
			if (CPU_ISSET(i, &cpus))
				*mask |= (KAFFINITY)1 << i;
	}
	return (ULONG)CPU_COUNT(&cpus);
}

static bool is_the_group(USHORT group)
{
	return group == 0 || group == ALL_PROCESSOR_GROUPS;
}

ULONG KeQueryActiveProcessorCountEx(USHORT group)
{
	return is_the_group(group) ? KeQueryActiveProcessorCount(NULL) : 0;
}

ULONG KeQueryMaximumProcessorCount(void)
{
	long n = sysconf(_SC_NPROCESSORS_CONF);

	return n > 0 ? (ULONG)n : 1;
}

ULONG KeQueryMaximumProcessorCountEx(USHORT group)
{
	return is_the_group(group) ? KeQueryMaximumProcessorCount() : 0;
}

ULONG KeGetCurrentProcessorNumberEx(PPROCESSOR_NUMBER number)
{
	int cpu = sched_getcpu();

	if (cpu < 0)
		cpu = 0;
	if (number)
		*number = (PROCESSOR_NUMBER){ .Number = (UCHAR)cpu };
	return (ULONG)cpu;
}
