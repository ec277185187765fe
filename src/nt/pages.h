/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_PAGES_H
#define NT_PAGES_H

/* Runs of pages, between pages.c and pool.c. What is known of a page is kept outside the pages
 * themselves: whom the RAM is shown to must not be able to change it. */

#include "private.h"

#define NT_PAGE_NONE UINT32_MAX

/* Two halves of one stretch of addresses, and so of one table. */
enum nt_heap {
	NT_HEAP_SHARED, /* nt_ram(): the other end may map it, and write at any time */
	NT_HEAP_APART,  /* the addresses right after it: this process's alone */
	NT_HEAPS,
};

enum nt_page_kind {
	NT_PAGE_FREE,  /* at the ends of a free run; says nothing inside one */
	NT_PAGE_RUN,   /* the first page of an allocated run */
	NT_PAGE_INNER, /* the last page of one */
	NT_PAGE_SLAB,  /* cut into objects of one size */
};

struct nt_page {
	uint8_t kind;
	uint8_t class;           /* slab */
	uint16_t used;           /* slab: objects allocated */
	uint32_t length;         /* of the run, at both ends */
	uint32_t next, previous; /* in a list of free runs or of slabs */
	uint32_t tag;            /* run */
	uint32_t first_free;     /* slab: granule in the page */
	uint64_t size;           /* run: bytes asked for */
};

extern struct nt_lock nt_pages_lock;

/* NULL: there is no RAM. */
struct nt_page *nt_pages_table(void);
/* A heap's first page, and the end of those that were ever part of an allocated run: the ones from
 * there on are still zero. */
uint32_t nt_pages_first(enum nt_heap heap);
uint32_t nt_pages_touched(enum nt_heap heap);
enum nt_heap nt_page_heap(uint32_t page);
static inline enum nt_page_kind nt_page_kind(const struct nt_page *page)
{
	return (enum nt_page_kind)__atomic_load_n(&page->kind, __ATOMIC_RELAXED);
}

/* A run of `count` pages; its first page's number or NT_PAGE_NONE. */
uint32_t nt_run_allocate(enum nt_heap from, uint32_t count, enum nt_page_kind kind, uint32_t tag,
                         uint64_t size, bool zero);
void nt_run_free(uint32_t first);

#endif
