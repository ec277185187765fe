/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING_ATOMIC_H
#define RING_ATOMIC_H

/* Stands in for src/ring/atomic.h: every access is a step of the checker. */

#include "checker.h"

#define ring_load(word)                 checker_load(word, false, __func__)
#define ring_load_acquire(word)         checker_load(word, true, __func__)
#define ring_store(word, value)         checker_store(word, value, false, __func__)
#define ring_store_release(word, value) checker_store(word, value, true, __func__)
#define ring_fence()                    checker_fence(__func__)

#endif
