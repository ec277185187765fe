/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_LIFE_WALK_H
#define TESTS_LIFE_WALK_H

/*
 * Walks through everything that can happen to a world: a flat structure without pointers, whose
 * moves are tried one after another. A move is an input (somebody wants something; a walk has room
 * for so many of them) or an inner step (what follows by itself, and costs nothing). Each world is
 * visited once, with as many inputs left as it can have. The first violation is printed with the
 * moves that lead to it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct walk {
	size_t size;     /* of a world, at most WALK_WORLD_MAX */
	uint32_t inputs; /* of one walk */
	uint32_t moves;  /* how many there are; a world need not allow each of them */
	/* Makes a move; false: it cannot be made here. *input: it was an input. */
	bool (*move)(void *world, uint32_t move, bool *input);
	const char *(*name)(uint32_t move);
	/* Two worlds that differ in nothing that matters become the same. */
	void (*normalise)(void *world);
	/* No inner step is left: NULL, or what is wrong with that. */
	const char *(*rest)(const void *world);
};

#define WALK_WORLD_MAX 256u

struct walk_result {
	uint64_t worlds;
	uint64_t moves;
	uint64_t rests;
	uint32_t inputs; /* that the last world to be found took; fewer than allowed: these are all
	                  */
};

/* A move calls it where the world it makes must not be; the first word is what counts. */
void walk_wrong(const char *what);
/* False: a violation, which has been printed. */
bool walk_all(const struct walk *walk, const void *first, struct walk_result *result);

#endif
