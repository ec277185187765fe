/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_SANITIZED_H
#define TESTS_SANITIZED_H

/* What this was built with, for tests that measure, or count what a sanitizer's own code does; and
 * that do the same many times, where everything takes several times as long. gcc and clang say it
 * each in a way of its own. */

#if defined(__has_feature)
#define SANITIZED_BY(name) __has_feature(name)
#else
#define SANITIZED_BY(name) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || SANITIZED_BY(address_sanitizer)
#define SANITIZED_ADDRESS 1
#else
#define SANITIZED_ADDRESS 0
#endif
#if defined(__SANITIZE_THREAD__) || SANITIZED_BY(thread_sanitizer)
#define SANITIZED_THREAD 1
#else
#define SANITIZED_THREAD 0
#endif
#define SANITIZED (SANITIZED_ADDRESS || SANITIZED_THREAD)

/* How often. No test depends on how many there are, as long as none is left out. */
#define ROUNDS(count) (SANITIZED ? ((count) + 3) / 4 : (count))

#endif
