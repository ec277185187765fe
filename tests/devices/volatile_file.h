/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_DEVICES_VOLATILE_FILE_H
#define TESTS_DEVICES_VOLATILE_FILE_H

/*
 * A kernel that may lose its power. Takes liburing's place in the program that it is linked into:
 * what is submitted to any ring is done to one file, in memory. Its page cache and its medium are
 * kept apart; what is dirty reaches the medium with fsync and RWF_DSYNC, or now and then by itself.
 *
 * Write-back of blocks that are bad fails as in Linux: they are clean after it, the medium is as it
 * was, and one call that asks is told, once.
 */

#include <stdbool.h>
#include <stdint.h>

#define VOLATILE_BLOCK 512u

void volatile_file_make(uint32_t blocks, uint64_t seed);
void volatile_file_free(void);

/* Any of the dirty blocks reach the medium, the others do not; the cache then is what is there. */
void volatile_file_lose_power(void);
const uint8_t *volatile_file_medium(uint32_t block);
/* From now on; all of them with count 0 and bad false. */
void volatile_file_set_bad(uint32_t first, uint32_t count, bool bad);

/* The next `count` operations are done at once, but their results wait for their release, in any
 * order, counted from 0. */
void volatile_file_hold(unsigned int count);
void volatile_file_release(unsigned int index);
unsigned int volatile_file_held(void); /* how many are done and wait */

#endif
