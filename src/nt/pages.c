/* SPDX-License-Identifier: BSD-2-Clause */
#include "pages.h"

#include <pthread.h>
#include <sys/mman.h>

/*
 * Free runs hang in bins by length: one bin for each length below 64, four for each power of two
 * above. A run is found by the first bin whose runs are all long enough, cut, and the rest put
 * back; a freed run is joined with its free neighbours. Each heap has bins of its own; all is under
 * one lock.
 */

#define EXACT_BINS 64
#define BINS       256

struct nt_lock nt_pages_lock;

struct heap {
	uint32_t first, end; /* its pages */
	uint32_t touched;
	uint32_t bins[BINS];
	uint64_t nonempty[BINS / 64];
};

static struct {
	struct nt_page *table;
	uint8_t *base;
	struct heap heaps[NT_HEAPS];
} pages;

static unsigned bin_of(uint32_t length)
{
	unsigned log;

	if (length < EXACT_BINS)
		return length;
	log = 31 - (unsigned)__builtin_clz(length);
	return EXACT_BINS + (log - 6) * 4 + (length >> (log - 2) & 3);
}

static void set_kind(uint32_t page, enum nt_page_kind kind)
{
	__atomic_store_n(&pages.table[page].kind, (uint8_t)kind, __ATOMIC_RELAXED);
}

static void bin_insert(struct heap *heap, uint32_t first, uint32_t length)
{
	unsigned bin = bin_of(length);
	struct nt_page *p = &pages.table[first];

	set_kind(first, NT_PAGE_FREE);
	set_kind(first + length - 1, NT_PAGE_FREE);
	pages.table[first + length - 1].length = length;
	p->length = length;
	p->previous = NT_PAGE_NONE;
	p->next = heap->bins[bin];
	if (p->next != NT_PAGE_NONE)
		pages.table[p->next].previous = first;
	heap->bins[bin] = first;
	heap->nonempty[bin / 64] |= UINT64_C(1) << bin % 64;
}

static void bin_remove(struct heap *heap, uint32_t first)
{
	struct nt_page *p = &pages.table[first];
	unsigned bin = bin_of(p->length);

	if (p->next != NT_PAGE_NONE)
		pages.table[p->next].previous = p->previous;
	if (p->previous != NT_PAGE_NONE)
		pages.table[p->previous].next = p->next;
	else
		heap->bins[bin] = p->next;
	if (heap->bins[bin] == NT_PAGE_NONE)
		heap->nonempty[bin / 64] &= ~(UINT64_C(1) << bin % 64);
}

static unsigned next_nonempty(const struct heap *heap, unsigned bin)
{
	unsigned word = bin / 64;
	uint64_t bits;

	if (bin >= BINS)
		return BINS;
	bits = heap->nonempty[word] & (~UINT64_C(0) << bin % 64);
	while (!bits) {
		if (++word == BINS / 64)
			return BINS;
		bits = heap->nonempty[word];
	}
	return word * 64 + (unsigned)__builtin_ctzll(bits);
}

/* A free run of at least `count` pages, off its bin. */
static uint32_t find_run(struct heap *heap, uint32_t count)
{
	unsigned bin = bin_of(count);
	uint32_t first;

	/* Runs in its own bin may be too short when the bin is not of one length. */
	for (first = heap->bins[bin]; first != NT_PAGE_NONE; first = pages.table[first].next)
		if (pages.table[first].length >= count)
			break;
	if (first == NT_PAGE_NONE) {
		bin = next_nonempty(heap, bin + 1);
		if (bin == BINS)
			return NT_PAGE_NONE;
		first = heap->bins[bin];
	}
	bin_remove(heap, first);
	return first;
}

static void heap_make(struct heap *heap, uint32_t first, uint32_t count)
{
	heap->first = first;
	heap->end = first + count;
	heap->touched = first;
	for (unsigned i = 0; i < BINS; i++)
		heap->bins[i] = NT_PAGE_NONE;
	bin_insert(heap, first, count);
}

static void make_table(void)
{
	const struct nt_ram *ram = nt_ram();
	struct nt_page *table;
	uint32_t count;

	if (!ram)
		return;
	count = (uint32_t)(ram->size / PAGE_SIZE);
	table = mmap(NULL, NT_HEAPS * count * sizeof(*table), PROT_READ | PROT_WRITE,
	             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table == MAP_FAILED) {
		nt_log(NT_LOG_ERROR, NULL, "no memory for the table of %u pages", count);
		return;
	}
	pages.base = ram->base;
	pages.table = table;
	for (uint32_t i = 0; i < NT_HEAPS; i++)
		heap_make(&pages.heaps[i], i * count, count);
}

struct nt_page *nt_pages_table(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_table);
	return pages.table;
}

uint32_t nt_pages_first(enum nt_heap heap)
{
	return pages.heaps[heap].first;
}

uint32_t nt_pages_touched(enum nt_heap heap)
{
	return pages.heaps[heap].touched;
}

enum nt_heap nt_page_heap(uint32_t page)
{
	return page < pages.heaps[NT_HEAP_SHARED].end ? NT_HEAP_SHARED : NT_HEAP_APART;
}

static void *address_of(uint32_t page)
{
	return pages.base + (uint64_t)page * PAGE_SIZE;
}

static uint32_t take_run(struct heap *heap, uint32_t count, enum nt_page_kind kind, uint32_t tag,
                         uint64_t size)
{
	uint32_t first = find_run(heap, count);
	uint32_t length;
	struct nt_page *p;

	if (first == NT_PAGE_NONE)
		return first;
	length = pages.table[first].length;
	if (length > count)
		bin_insert(heap, first + count, length - count);
	p = &pages.table[first];
	p->length = count;
	p->tag = tag;
	p->size = size;
	p->used = 0;
	pages.table[first + count - 1].length = count;
	set_kind(first + count - 1, NT_PAGE_INNER);
	set_kind(first, kind);
	return first;
}

uint32_t nt_run_allocate(enum nt_heap from, uint32_t count, enum nt_page_kind kind, uint32_t tag,
                         uint64_t size, bool zero)
{
	struct heap *heap = &pages.heaps[from];
	uint32_t first, used, touched;

	if (!nt_pages_table())
		return NT_PAGE_NONE;
	nt_lock_acquire(&nt_pages_lock);
	first = take_run(heap, count, kind, tag, size);
	touched = heap->touched;
	if (first != NT_PAGE_NONE && first + count > touched)
		heap->touched = first + count;
	nt_lock_release(&nt_pages_lock);
	if (first == NT_PAGE_NONE)
		return first;
	nt_unpoison(address_of(first), (size_t)count * PAGE_SIZE);
	used = touched > first ? touched - first : 0;
	if (zero && used)
		memset(address_of(first), 0, (size_t)(used < count ? used : count) * PAGE_SIZE);
	return first;
}

void nt_run_free(uint32_t first)
{
	struct heap *heap = &pages.heaps[nt_page_heap(first)];
	uint32_t length = pages.table[first].length;
	uint32_t end = first + length;

	nt_poison(address_of(first), (size_t)length * PAGE_SIZE);
	nt_lock_acquire(&nt_pages_lock);
	set_kind(first, NT_PAGE_FREE);
	if (end < heap->end && nt_page_kind(&pages.table[end]) == NT_PAGE_FREE) {
		bin_remove(heap, end);
		length += pages.table[end].length;
	}
	if (first > heap->first && nt_page_kind(&pages.table[first - 1]) == NT_PAGE_FREE) {
		uint32_t before = pages.table[first - 1].length;

		first -= before;
		bin_remove(heap, first);
		length += before;
	}
	bin_insert(heap, first, length);
	nt_lock_release(&nt_pages_lock);
}
