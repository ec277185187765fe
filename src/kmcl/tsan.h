/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_TSAN_H
#define KMCL_TSAN_H

/*
 * What a ring orders ThreadSanitizer cannot see: its two ends look at the same memory through
 * different addresses, or sit in different processes. These tell it. They do nothing in other
 * builds.
 */

#include <stdint.h>

#if defined(__SANITIZE_THREAD__)
#define KMCL_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KMCL_TSAN 1
#endif
#endif

#ifdef KMCL_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
extern char tsan_rings[256];

/* A ring is known by the guest page number of its control page: both ends agree on that. */
static inline void tsan_before_write(uint64_t ring)
{
	__tsan_release(&tsan_rings[ring % sizeof(tsan_rings)]);
}

static inline void tsan_after_read(uint64_t ring)
{
	__tsan_acquire(&tsan_rings[ring % sizeof(tsan_rings)]);
}
#else
static inline void tsan_before_write(uint64_t ring)
{
}

static inline void tsan_after_read(uint64_t ring)
{
}
#endif

#endif
