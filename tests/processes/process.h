/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_PROCESSES_PROCESS_H
#define TESTS_PROCESSES_PROCESS_H

/*
 * The other end as a process of its own: this program again, with a role in its arguments. And what
 * a process has of its own, to see that nothing of it is lost.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/types.h>

#include "../sanitized.h"

/* An end hears of the other's death within a second. */
#define PROCESS_SOON_MS (SANITIZED ? 5000u : 1000u)
#define PROCESS_WAIT_MS 20000u

/* First of all in main(): is, and never returns as, the other end, if the arguments say so.
 * Silences warnings, which a death gives cause for. */
void process_main(int argc, char **argv);

struct process {
	pid_t pid;
	int orders;
};

/* Starts the other end; does not wait for it. */
struct process process_start(const char *role, const char *uri);
/* Kills it and checks that it was alive until then. */
void process_kill(struct process *p);
/* What it is told: each ends it with status 0. */
enum process_order {
	PROCESS_QUIT = 'q',  /* closes everything */
	PROCESS_EXIT = 'e',  /* exit() in the middle of everything */
	PROCESS_LEAVE = 'l', /* _exit() */
};
void process_order(struct process *p, enum process_order order);
/* Waits for its end, which must be a good one. */
void process_wait(struct process *p);
void process_stop(const struct process *p);
void process_continue(const struct process *p);

/* What this process has: of the pool that is what nt_pool_outstanding says. */
struct process_usage {
	unsigned descriptors;
	unsigned threads;
	unsigned maps; /* mappings of memfds: the pool's own, rings, a guest's memory */
	uint64_t pool;
	uint64_t resident; /* bytes */
};
struct process_usage process_usage(void);
void process_list_descriptors(void);

uint64_t process_now_ms(void);
/* Numbers that KMCL_TEST_SEED, or else the clock, decides; the seed is printed when it is drawn. */
void process_seed(void);
uint32_t process_random(uint32_t below);
/* How many rounds a test has: KMCL_TEST_ROUNDS, or else this many. */
unsigned process_rounds(unsigned standard);
/* unix:PATH that nobody else has. */
const char *process_new_uri(void);

#endif
