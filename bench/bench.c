/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct options {
	bool json;
	unsigned runs;
	const char *only;
	double scale;
};

struct bench_thread {
	void (*run)(void *);
	void *arg;
	int cpu;
	pthread_barrier_t *start;
};

double bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The n-th processor that this process may use, or the last. */
static int nth_cpu(int n)
{
	cpu_set_t set;
	int found = 0;

	sched_getaffinity(0, sizeof(set), &set);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set)) {
			found = cpu;
			if (n-- == 0)
				break;
		}
	return found;
}

static void *thread_main(void *arg)
{
	struct bench_thread *thread = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(thread->cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	pthread_barrier_wait(thread->start);
	thread->run(thread->arg);
	return NULL;
}

double bench_pair(void (*a)(void *), void (*b)(void *), void *arg)
{
	pthread_barrier_t start;
	struct bench_thread threads[2] = { { a, arg, nth_cpu(0), &start },
		                           { b, arg, nth_cpu(1), &start } };
	pthread_t ids[2];
	double began;

	pthread_barrier_init(&start, NULL, 3);
	for (int i = 0; i < 2; i++)
		if (pthread_create(&ids[i], NULL, thread_main, &threads[i]) != 0)
			abort();
	began = bench_now();
	pthread_barrier_wait(&start);
	for (int i = 0; i < 2; i++)
		pthread_join(ids[i], NULL);
	began = bench_now() - began;
	pthread_barrier_destroy(&start);
	return began;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double quantile(const double *samples, unsigned count, double q)
{
	double sorted[BENCH_RUNS_MAX];

	memcpy(sorted, samples, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare);
	return sorted[(unsigned)((count - 1) * q + 0.5)];
}

static const struct bench_row *row_than(const struct bench_row *rows, unsigned count,
                                        const struct bench_row *row)
{
	const struct bench_row *found = NULL;

	for (unsigned i = 0; i < count && row->than != NULL; i++)
		if (rows[i].size == row->size && strcmp(rows[i].name, row->than) == 0)
			found = &rows[i];
	return found;
}

static double ratio(const struct bench_row *row, const struct bench_row *than, unsigned runs)
{
	double ratios[BENCH_RUNS_MAX];

	for (unsigned i = 0; i < runs; i++)
		ratios[i] = row->samples[i] / than->samples[i];
	return quantile(ratios, runs, 0.5);
}

static void print_row(const struct bench_row *row, const struct bench_row *than,
                      const struct options *options, bool first)
{
	double median = quantile(row->samples, options->runs, 0.5);
	double low = quantile(row->samples, options->runs, 0.25);
	double high = quantile(row->samples, options->runs, 0.75);
	const char *unit = row->unit == BENCH_RATE ? "M/s" : "us";

	if (options->json) {
		printf("%s\n  {\"name\": \"%s\", \"size\": %u, \"unit\": \"%s\", "
		       "\"median\": %.6g, \"low\": %.6g, \"high\": %.6g",
		       first ? "" : ",", row->name, row->size, unit, median, low, high);
		if (than != NULL)
			printf(", \"than\": \"%s\", \"ratio\": %.4g, \"target\": %g", than->name,
			       ratio(row, than, options->runs), row->target);
		printf("}");
		return;
	}
	printf("%-34s %6u %9.3f %-4s %8.3f..%-8.3f", row->name, row->size, median, unit, low, high);
	if (than != NULL) {
		double r = ratio(row, than, options->runs);
		bool met = row->unit == BENCH_RATE ? r >= row->target : r <= row->target;

		printf(" %7.2f x %s", r, than->name);
		if (row->target > 0)
			printf(" (%s %.2f: %s)", row->unit == BENCH_RATE ? ">=" : "<=", row->target,
			       met ? "met" : "MISSED");
	}
	printf("\n");
}

static bool wanted(const struct bench_row *row, const struct options *options)
{
	return options->only == NULL || strstr(row->name, options->only) != NULL;
}

static void run_all(struct bench_row *rows, unsigned count, const struct options *options)
{
	for (unsigned run = 0; run < options->runs; run++)
		for (unsigned i = 0; i < count; i++) {
			struct bench_row *row = &rows[i];
			uint64_t n = (uint64_t)((double)row->count * options->scale) + 1;
			double seconds = row->run(n, row->size);

			row->samples[run] = row->unit == BENCH_RATE ? (double)n / seconds * 1e-6
			                                            : seconds / (double)n * 1e6;
		}
}

static bool parse(int argc, char **argv, struct options *options)
{
	for (int i = 1; i < argc; i++) {
		bool more = i + 1 < argc;

		if (strcmp(argv[i], "--json") == 0)
			options->json = true;
		else if (strcmp(argv[i], "--runs") == 0 && more)
			options->runs = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--only") == 0 && more)
			options->only = argv[++i];
		else if (strcmp(argv[i], "--scale") == 0 && more)
			options->scale = strtod(argv[++i], NULL);
		else
			return false;
	}
	return options->runs >= 1 && options->runs <= BENCH_RUNS_MAX && options->scale > 0;
}

int bench_main(int argc, char **argv, struct bench_row *rows, unsigned count)
{
	struct options options = { .runs = 31, .scale = 1 };
	unsigned kept = 0;

	if (!parse(argc, argv, &options)) {
		fprintf(stderr,
		        "usage: %s [--json] [--runs 1..%d] [--only TEXT] [--scale FACTOR]\n",
		        argv[0], BENCH_RUNS_MAX);
		return 2;
	}
	for (unsigned i = 0; i < count; i++)
		if (wanted(&rows[i], &options))
			rows[kept++] = rows[i];
	run_all(rows, kept, &options);
	printf(options.json ? "[" : "%-34s %6s %9s %-4s %18s  %s\n", "", "bytes", "median", "",
	       "quartiles", "ratio");
	for (unsigned i = 0; i < kept; i++)
		print_row(&rows[i], row_than(rows, kept, &rows[i]), &options, i == 0);
	if (options.json)
		printf("\n]\n");
	return 0;
}
