/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CHECKER_H
#define CHECKER_H

/*
 * Runs two threads of real code in every order of their steps, under a weak memory model, and finds
 * deadlocks (a lost wake-up is one), data races and failed checks.
 *
 * Why one of our own and not Spin: what is checked is the source that ships, not a model of it that
 * someone has to keep true. The threads are fibers; before each access to a shared word one stops,
 * and the checker decides who goes on and what a load sees. A state is saved and put back by
 * copying the fibers' stacks, and states seen before are not entered again, so the search is
 * exhaustive.
 *
 * The memory model is that of C11 without out-of-thin-air: each word has a history of stores, each
 * thread a view of how much of each it must have seen, and a load may return any store not older
 * than its thread's view. Release stores carry the storer's view, acquire loads take it over, a
 * sequentially consistent fence exchanges it with a global one (as in Kang et al., "A Promising
 * Semantics", POPL 2017, without promises; every word here has one writer, so stores to one word
 * are in program order). Both x86 and ARM allow no more than that for what compilers make of C11
 * atomics, save that a load may not be delayed past a later store; a reader's late load of ring
 * data is caught instead as a race: touching a cell that the other end touched requires having
 * synchronised with it since.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- called by the code under test ---- */

uint32_t checker_load(const uint32_t *word, bool acquire, const char *where);
void checker_store(uint32_t *word, uint32_t value, bool release, const char *where);
void checker_fence(const char *where);

/* Ring data, mirrored. Of each cell the first 16 bytes are kept. */
bool checker_is_data(const uint8_t *at);
uint64_t *checker_data_write(const uint8_t *at);
const uint64_t *checker_data_read(const uint8_t *at);

/* ---- called by the threads' programs ---- */

/* An eventfd: waiting sleeps until it was set, and clears it. */
void checker_event_set(unsigned event);
void checker_event_wait(unsigned event);

/* All that this thread will do from here on depends on these bytes: forget how it came here. */
void checker_here(const void *state, size_t size, uint32_t step);

/* The threads' private memory: the same for both. */
void *checker_private(void);

/* It is wrong, and this is what. */
void checker_fail(const char *what);

/* ---- called by the test ---- */

#define CHECKER_THREADS 2
#define CHECKER_EVENTS  2

struct checker_setup {
	uint32_t *words;            /* the control page, initialised */
	const uint8_t *data;        /* stands for the ring's data; its content does not matter */
	uint32_t data_size;         /* without the mirror */
	uint32_t cell_size;         /* the data is touched in cells of this many bytes */
	const uint64_t (*cells)[2]; /* the first 16 bytes of each cell, initialised */
	const void *state;          /* private memory of the threads, initialised; copied */
	size_t state_size;
	void (*threads[CHECKER_THREADS])(void);
	/* Steps to spoil, to see that they are needed: the function they are in, or NULL. */
	const char *without_fence;
	const char *without_order; /* acquire and release there become relaxed */
};

struct checker_result {
	const char *failure; /* NULL: all orders are right */
	uint64_t states;
	char trace[4096]; /* the last steps that led to the failure */
};

struct checker_result checker_run(const struct checker_setup *setup);

#endif
