/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BENCH_H
#define BENCH_H

/*
 * What every benchmark needs: two pinned threads, a clock, medians of interleaved runs, a table.
 *
 * A benchmark adds its rows to a suite; the suite runs all rows once, then all again, and so on, so
 * that what disturbs the machine disturbs all of them alike. A row may name another of the same
 * suite to be compared with: its ratio is the median of the runs' ratios, not of different moments.
 */

#include <stdbool.h>
#include <stdint.h>

#define BENCH_RUNS_MAX 64

/* One run: does `count` operations with `size` bytes each, returns how many seconds it took. */
typedef double bench_run(uint64_t count, uint32_t size);

enum bench_unit {
	BENCH_RATE, /* millions of operations a second; more is better */
	BENCH_TIME, /* microseconds an operation; less is better */
};

struct bench_row {
	const char *name;
	uint32_t size;
	enum bench_unit unit;
	bench_run *run;
	uint64_t count;   /* operations a run */
	const char *than; /* the row of that name and the same size to compare with; or NULL */
	double target;    /* what the ratio should be: at least, or at most for a time */
	double samples[BENCH_RUNS_MAX];
};

/* Runs the rows, prints them. Options: --json, --runs N, --only TEXT, --scale F (of the counts).
 * Returns main()'s status: a target missed is not an error. */
int bench_main(int argc, char **argv, struct bench_row *rows, unsigned count);

/* Seconds, monotonic. */
double bench_now(void);

/* Starts `a` and `b` at the same moment on two cores of this process's set; how long until both
 * are done. */
double bench_pair(void (*a)(void *), void (*b)(void *), void *arg);

static inline void bench_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* What the compiler must not leave out. */
static inline void bench_use(const void *memory)
{
	__asm__ volatile("" ::"r"(memory) : "memory");
}

#endif
