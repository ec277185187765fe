/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_NT_H
#define NT_NT_H

/*
 * The face of nt/ towards kmcl/: what the NT services need beyond the documented ones in
 * include/nt/. Not installed.
 */

#include <ntddk.h>

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- the pool's memory ---- */

/* The process's RAM: one memfd in which all pool memory lives that drivers ask for, so that an MDL
 * over it can be shown to another process. That one may write it at any time, so nothing that this
 * process follows, sizes or calls is in it: NT's own objects are in a heap apart. Made at first
 * use, 1 GiB or KMCL_RAM_MB from the environment, sealed against resizing; never shrinks, never
 * moves. NULL: the system refused it. */
struct nt_ram {
	int fd;
	void *base;
	uint64_t size;
};
const struct nt_ram *nt_ram(void);
/* Opens what is closed of descriptors 0 to 2, on /dev/null, before something of this library takes
 * their place: what is written to standard error then would go there. */
void nt_fill_descriptors(void);

/* Page-aligned, zeroed memory from it; NULL: none left. Freed with the same count. */
void *nt_pages_allocate(size_t pages);
void nt_pages_free(void *address, size_t pages);
/* In the heap apart, as MDLs and device objects are? */
bool nt_is_apart(const void *p);
/* Or in the RAM that can be shown? Asked for each packet: hidden, so that it is read where it is
 * and not looked up in a table as what another library might have. */
struct nt_shared {
	_Atomic(uintptr_t) base; /* both are 0 until there is such memory */
	_Atomic(uint64_t) size;
};
extern struct nt_shared nt_shared __attribute__((visibility("hidden")));
static inline bool nt_is_shared(const void *p)
{
	return (uintptr_t)p - atomic_load_explicit(&nt_shared.base, memory_order_relaxed) <
	       atomic_load_explicit(&nt_shared.size, memory_order_relaxed);
}
/* From now on it is told of each block of that RAM before it is free for others. It may not
 * allocate from the pool. */
void nt_pool_on_free(void (*freed)(void *p, size_t size));

/* What is allocated from the pool and not freed, in bytes; by tag into `tags` (*count of them, at
 * most `capacity`). For tests and diagnosis: it walks all of the pool. */
struct nt_pool_tag {
	uint32_t tag;
	uint64_t bytes;
	uint64_t blocks;
};
uint64_t nt_pool_outstanding(struct nt_pool_tag *tags, size_t capacity, size_t *count);
/* Makes the nth pool allocation from now fail (1: the next one; 0: none). For tests. */
void nt_pool_fail_after(uint64_t n);

/* ---- mapping pages ----
 * A PFN in an MDL is an address in this process >> 12. A region tells nt how pages of foreign
 * memory (a guest's RAM mapped by the host) can be mapped a second time. nt_ram() is one. */
int nt_region_add(void *base, uint64_t size, int fd, uint64_t offset);
void nt_region_remove(void *base);

/* Maps `count` pages in a row at a new address; with mirror_from < count, pages mirror_from.. are
 * mapped a second time right after the last (a ring: control page, data, data again).
 * NULL: a page is in no region, there is no address space, or there would be too many mappings. */
#define NT_NO_MIRROR     SIZE_MAX
#define NT_MAP_PAGES_MAX (1u << 30)
void *nt_map_pages(const PFN_NUMBER *pfns, size_t count, size_t mirror_from);
void nt_unmap_pages(void *address, size_t count, size_t mirror_from);
/* Pieces of pages in a row that are mapped so, each of which takes a mapping of the process's; and
 * how many may be: a region's pages half of that. */
uint32_t nt_map_pieces(void);
uint32_t nt_map_pieces_max(void);

/* ---- IRQL ---- */

/* Raises to / lowers from DISPATCH_LEVEL on a dispatcher thread, like KeRaiseIrql. */

/*
 * Deferral: run `routine` on this thread just before its IRQL drops below DISPATCH_LEVEL (at once
 * when it is below). Each object is queued at most once; the queue is this thread's own, no lock.
 */
struct nt_deferred {
	struct nt_deferred *next;
	void (*routine)(struct nt_deferred *self);
	bool queued;
};
void nt_defer(struct nt_deferred *d);
/* Runs what is deferred now, without lowering. A dispatcher calls it before it polls again. */
void nt_run_deferred(void);

/* Stops the process with a message that names function, channel and rule: for API misuse. In a
 * release build (NDEBUG) it logs and returns, and the caller refuses the call. */
void nt_misuse(const char *function, const char *object, const char *rule);
/* nt_misuse() if the IRQL is above `max`; returns whether the call may go on. */
bool nt_irql_at_most(KIRQL max, const char *function, const char *object);

/* ---- threads ---- */

/*
 * Runs `routine` at PASSIVE_LEVEL on a pool thread that is free or made for it: a routine may wait
 * without holding up others. The item is the caller's memory and may be reused in the routine.
 */
struct nt_work {
	struct nt_work *next;
	void (*routine)(void *context);
	void *context;
};
void nt_work_queue(struct nt_work *work);
/* Sees to it that there is a thread for them, which then never ends: who cannot have any later has
 * its work done by that one. False: the system has none. */
bool nt_work_prepare(void);

/* Work done one after the other, in order, each at PASSIVE_LEVEL. */
struct nt_strand {
	struct nt_work work;
	void *lock_and_list[6]; /* private to nt/ */
};
struct nt_strand_item {
	struct nt_strand_item *next;
	void (*routine)(void *context);
	void *context;
};
void nt_strand_init(struct nt_strand *s);
void nt_strand_queue(struct nt_strand *s, struct nt_strand_item *item);
/* Is the caller running on it? */
bool nt_strand_is_current(const struct nt_strand *s);
/* Waits until all that was queued has run. Not from the strand itself. */
void nt_strand_drain(struct nt_strand *s);

/* ---- devices ---- */

/* The device that it is attached to; NULL: none. */
PDEVICE_OBJECT nt_device_below(PDEVICE_OBJECT device);

/* ---- objects behind HANDLEs ---- */

/* A handle to a counted object; ZwClose() drops it, and the last one calls `close`. */
NTSTATUS nt_handle_create(const char *kind, void *object, void (*close)(void *object),
                          HANDLE *handle);
/* Another handle to the same object. STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH. */
NTSTATUS nt_handle_duplicate(HANDLE handle, const char *kind, HANDLE *copy);
/* The object behind it with a reference; nt_object_release(). */
NTSTATUS nt_handle_reference(HANDLE handle, const char *kind, void **object, void **reference);
void nt_object_release(void *reference);

/* ---- log ---- */
enum nt_log_level { NT_LOG_ERROR, NT_LOG_WARNING, NT_LOG_INFO, NT_LOG_TRACE };
void nt_log(enum nt_log_level level, const char *channel, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool nt_log_enabled(enum nt_log_level level);

/*
 * Lines that the other end can have written as often as it likes. Each other end has an account,
 * and in it each kind so many lines in so much time; further ones are counted, and how many there
 * were is said when there is room again. What is for the operator has an allowance of its own:
 * nothing from outside can use that up. All zeros: an account that is full.
 */
enum nt_log_kind {
	NT_LOG_OPERATOR, /* trouble that is not the other end's */
	NT_LOG_VISITORS, /* who came and was not let in, or hung up */
	NT_LOG_MESSAGES, /* messages of the bus */
	NT_LOG_RINGS,    /* rings and shared pages that make no sense */
	NT_LOG_PACKETS,  /* what lies in the rings */
	NT_LOG_DRIVERS,  /* what drivers find wrong in that */
	NT_LOG_KINDS,
};
#define NT_LOG_LINES     16u
#define NT_LOG_WINDOW_NS 10000000000ull
struct nt_log_account {
	struct {
		uint64_t since; /* ns */
		uint32_t lines;
	} kinds[NT_LOG_KINDS];
};
void nt_log_limited(struct nt_log_account *account, enum nt_log_kind kind, enum nt_log_level level,
                    const char *channel, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
void nt_log_limited_v(struct nt_log_account *account, enum nt_log_kind kind,
                      enum nt_log_level level, const char *channel, const char *format, va_list ap);
/* Messages up to `max` go to `fn`, one at a time, on the thread that has something to say, which
 * may be at DISPATCH_LEVEL; NULL: to stderr. The default is stderr and NT_LOG_WARNING. */
void nt_log_set(void (*fn)(int level, const char *channel, const char *text, void *context),
                void *context, enum nt_log_level max);

#endif
