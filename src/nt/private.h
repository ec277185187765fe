/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_PRIVATE_H
#define NT_PRIVATE_H

/* What the files of nt/ share with each other and with nobody else. */

#include "nt.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__)
#define NT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NT_ASAN 1
#endif
#endif
#ifndef NT_ASAN
#define NT_ASAN 0
#endif

#if NT_ASAN
#include <sanitizer/asan_interface.h>
#define nt_poison(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define nt_unpoison(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define nt_poison(p, n)   ((void)(p), (void)(n))
#define nt_unpoison(p, n) ((void)(p), (void)(n))
#endif

#define likely(e)   __builtin_expect(!!(e), 1)
#define unlikely(e) __builtin_expect(!!(e), 0)

/* ---- futex.c: sleeping, and the lock everything in here is made with ---- */

#define NT_NSEC_PER_SEC UINT64_C(1000000000)
#define NT_FOREVER      UINT64_MAX
#define NT_EPOCH_100NS  INT64_C(116444736000000000) /* 1601 to 1970 */
/* A spin of this many pauses, a few microseconds, is cheaper than sleeping. 0 on one processor. */
extern unsigned nt_spin_limit;

enum nt_clock { NT_CLOCK_MONOTONIC, NT_CLOCK_REALTIME };
/* Sleeps while *word == value, until `deadline` (ns of that clock, NT_FOREVER). False: it passed.
 */
bool nt_futex_wait(const uint32_t *word, uint32_t value, enum nt_clock clock, uint64_t deadline);
void nt_futex_wake(const uint32_t *word, int count);
uint64_t nt_clock_now(enum nt_clock clock);

/* Not for use across a wait. The memory may go once another thread has acquired it after us. */
struct nt_lock {
	uint32_t word; /* 0: free, 1: held, 2: held and somebody sleeps */
};
void nt_lock_slow(struct nt_lock *lock);

static inline void nt_lock_acquire(struct nt_lock *lock)
{
	uint32_t free = 0;

	if (unlikely(!__atomic_compare_exchange_n(&lock->word, &free, 1, false, __ATOMIC_ACQUIRE,
	                                          __ATOMIC_RELAXED)))
		nt_lock_slow(lock);
}

static inline void nt_lock_release(struct nt_lock *lock)
{
	if (unlikely(__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2))
		nt_futex_wake(&lock->word, 1);
}

/* One thread waits, one other posts once. The poster does not touch it after the post. */
struct nt_latch {
	uint32_t posted;
};
void nt_latch_wait(struct nt_latch *latch);
void nt_latch_post(struct nt_latch *latch);

/* ---- irql.c: what a thread is to us ---- */

struct nt_self {
	KIRQL irql;
	uint32_t id; /* never 0; ask nt_self_id() */
	bool draining;
	struct nt_deferred *deferred_first, **deferred_last;
	LIST_ENTRY dpcs; /* under the DPC lock; Flink NULL: never used */
	uint32_t dpc_count;
	KTHREAD *thread;
	const struct nt_strand *strand;
};
extern __thread struct nt_self nt_self __attribute__((tls_model("initial-exec")));

uint32_t nt_self_id_slow(void);
static inline uint32_t nt_self_id(void)
{
	return likely(nt_self.id != 0) ? nt_self.id : nt_self_id_slow();
}

/* dpc.c: runs the calling thread's DPCs; at DISPATCH_LEVEL. */
void nt_dpc_run(void);
bool nt_dpc_queue(PRKDPC dpc, PVOID arg1, PVOID arg2);

/* ---- thread.c ---- */

/* A detached thread with a name (15 bytes), no signals. False: the system has none left. */
bool nt_thread_start(const char *name, void (*routine)(void *context), void *context);

/* ---- wait.c: dispatcher objects ---- */

enum nt_object_type {
	NT_NOTIFICATION_EVENT = 0xa0,
	NT_SYNCHRONIZATION_EVENT,
	NT_MUTEX,
	NT_SEMAPHORE,
	NT_THREAD,
	NT_NOTIFICATION_TIMER,
	NT_SYNCHRONIZATION_TIMER,
};

struct nt_waiter;
/* Guards wait lists, timers, and the state of every object somebody waits on. */
extern struct nt_lock nt_dispatcher_lock;

void nt_header_init(DISPATCHER_HEADER *h, enum nt_object_type type, LONG state);
LONG nt_header_state(const DISPATCHER_HEADER *h);
/* Sets the state and returns the old one, with the lock held: waiters it satisfies go to `*woken`,
 * to be passed to nt_waiters_wake() without the lock. */
LONG nt_header_signal(DISPATCHER_HEADER *h, LONG state, struct nt_waiter **woken);
/* The same with the state plus `n`; false, and nothing done: n < 1, or past the limit. */
bool nt_header_add(DISPATCHER_HEADER *h, LONG n, LONG limit, LONG *old, struct nt_waiter **woken);
void nt_waiters_wake(struct nt_waiter *woken);
/* Adds to / sets the state if nobody waits. False: somebody does. */
bool nt_header_set_quick(DISPATCHER_HEADER *h, LONG state, LONG *old);
/* The same without caring whether anybody waits. */
LONG nt_header_set(DISPATCHER_HEADER *h, LONG state);
/* A timeout of the API as a clock and a deadline. */
uint64_t nt_deadline(const LARGE_INTEGER *timeout, enum nt_clock *clock);

/* ---- object.c: what lies before every object ObReferenceObject knows ---- */

#define NT_OBJECT_MAGIC UINT64_C(0x4e544f424a454354)
struct nt_object {
	uint64_t magic;
	int64_t references;
	const char *kind;
	void *body;
	void (*close)(void *body);
} __attribute__((aligned(16)));

void nt_object_init(struct nt_object *o, const char *kind, void *body, void (*close)(void *body));
void nt_object_reference(struct nt_object *o);
/* A handle to it; takes a reference of its own. */
NTSTATUS nt_object_open(struct nt_object *o, HANDLE *handle);

/* ---- pool.c ---- */

/*
 * Zeroed memory of the pool's that the other end cannot map; NULL: none. For whatever this end
 * follows, sizes or calls. ExFreePoolWithTag() frees it; IRQL <= DISPATCH_LEVEL.
 */
void *nt_apart_allocate(size_t size, uint32_t tag);
/* The same, not zeroed, and with the rules of a pool type, in the name of `function`. */
PVOID nt_apart_allocate_typed(const char *function, POOL_TYPE type, SIZE_T size, ULONG tag);

/* ---- string.c ---- */

/* The next character; moves *p on. What is ill-formed becomes U+FFFD. */
uint32_t nt_utf8_next(const uint8_t **p, const uint8_t *end);
uint32_t nt_utf16_next(const WCHAR **p, const WCHAR *end);
/* Writes a character, at most 4 bytes or 2 units, and returns how many. */
size_t nt_utf8_put(uint8_t *to, uint32_t c);
size_t nt_utf16_put(WCHAR *to, uint32_t c);

/* ---- format.c: printf with Windows' meaning ---- */

/*
 * Writes at most `size` characters with the NUL, which is always there if size > 0, and returns how
 * many without it. *needed, if given, is how many there would have been. A character that does not
 * fit whole is left out, and what follows it.
 */
size_t nt_format(char *to, size_t size, size_t *needed, const char *format, va_list arguments);
size_t nt_format_wide(WCHAR *to, size_t size, size_t *needed, const WCHAR *format,
                      va_list arguments);
/* The same, but what fills all of it has no NUL. */
size_t nt_format_cut(char *to, size_t size, size_t *needed, const char *format, va_list arguments);
size_t nt_format_wide_cut(WCHAR *to, size_t size, size_t *needed, const WCHAR *format,
                          va_list arguments);

/* Logs one line and aborts. */
void nt_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
