/* SPDX-License-Identifier: BSD-2-Clause */
#include "pages.h"

#include <pthread.h>
#include <sys/mman.h>

/*
 * Free runs hang in bins by length: one bin for each length below 64, four for each power of two
 * above. A run is found by the first bin whose runs are all long enough, cut, and the rest put
 * back; a freed run is joined with its free neighbours. All under one lock.
 */

#define EXACT_BINS 64
#define BINS       256

struct nt_lock nt_pages_lock;

static struct {
	struct nt_page *table;
	uint8_t *base;
	uint32_t touched;
	uint32_t bins[BINS];
	uint64_t nonempty[BINS / 64];
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

static void bin_insert(uint32_t first, uint32_t length)
{
	unsigned bin = bin_of(length);
	struct nt_page *p = &pages.table[first];

	set_kind(first, NT_PAGE_FREE);
	set_kind(first + length - 1, NT_PAGE_FREE);
	pages.table[first + length - 1].length = length;
	p->length = length;
	p->previous = NT_PAGE_NONE;
	p->next = pages.bins[bin];
	if (p->next != NT_PAGE_NONE)
		pages.table[p->next].previous = first;
	pages.bins[bin] = first;
	pages.nonempty[bin / 64] |= UINT64_C(1) << bin % 64;
}

static void bin_remove(uint32_t first)
{
	struct nt_page *p = &pages.table[first];
	unsigned bin = bin_of(p->length);

	if (p->next != NT_PAGE_NONE)
		pages.table[p->next].previous = p->previous;
	if (p->previous != NT_PAGE_NONE)
		pages.table[p->previous].next = p->next;
	else
		pages.bins[bin] = p->next;
	if (pages.bins[bin] == NT_PAGE_NONE)
		pages.nonempty[bin / 64] &= ~(UINT64_C(1) << bin % 64);
}

static unsigned next_nonempty(unsigned bin)
{
	unsigned word = bin / 64;
	uint64_t bits;

	if (bin >= BINS)
		return BINS;
	bits = pages.nonempty[word] & (~UINT64_C(0) << bin % 64);
	while (!bits) {
		if (++word == BINS / 64)
			return BINS;
		bits = pages.nonempty[word];
	}
	return word * 64 + (unsigned)__builtin_ctzll(bits);
}

/* A free run of at least `count` pages, off its bin. */
static uint32_t find_run(uint32_t count)
{
	unsigned bin = bin_of(count);
	uint32_t first;

	/* Runs in its own bin may be too short when the bin is not of one length. */
	for (first = pages.bins[bin]; first != NT_PAGE_NONE; first = pages.table[first].next)
		if (pages.table[first].length >= count)
			break;
	if (first == NT_PAGE_NONE) {
		bin = next_nonempty(bin + 1);
		if (bin == BINS)
			return NT_PAGE_NONE;
		first = pages.bins[bin];
	}
	bin_remove(first);
	return first;
}

static void make_table(void)
{
	const struct nt_ram *ram = nt_ram();
	struct nt_page *table;
	uint32_t count, i;

	if (!ram)
		return;
	count = (uint32_t)(ram->size / PAGE_SIZE);
	table = mmap(NULL, count * sizeof(*table), PROT_READ | PROT_WRITE,
	             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table == MAP_FAILED) {
		nt_log(NT_LOG_ERROR, NULL, "no memory for the table of %u pages", count);
		return;
	}
	pages.base = ram->base;
	pages.table = table;
	for (i = 0; i < BINS; i++)
		pages.bins[i] = NT_PAGE_NONE;
	bin_insert(0, count);
}

struct nt_page *nt_pages_table(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_table);
	return pages.table;
}

uint32_t nt_pages_touched(void)
{
	return pages.touched;
}

static void *address_of(uint32_t page)
{
	return pages.base + (uint64_t)page * PAGE_SIZE;
}

static uint32_t take_run(uint32_t count, enum nt_page_kind kind, uint32_t tag, uint64_t size)
{
	uint32_t first = find_run(count);
	uint32_t length;
	struct nt_page *p;

	if (first == NT_PAGE_NONE)
		return first;
	length = pages.table[first].length;
	if (length > count)
		bin_insert(first + count, length - count);
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

uint32_t nt_run_allocate(uint32_t count, enum nt_page_kind kind, uint32_t tag, uint64_t size,
                         bool zero)
{
	uint32_t first, used, touched;

	if (!nt_pages_table())
		return NT_PAGE_NONE;
	nt_lock_acquire(&nt_pages_lock);
	first = take_run(count, kind, tag, size);
	touched = pages.touched;
	if (first != NT_PAGE_NONE && first + count > touched)
		pages.touched = first + count;
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
	uint32_t length = pages.table[first].length;
	uint32_t end = first + length;
	uint32_t count = (uint32_t)(nt_ram()->size / PAGE_SIZE);

	nt_poison(address_of(first), (size_t)length * PAGE_SIZE);
	nt_lock_acquire(&nt_pages_lock);
	set_kind(first, NT_PAGE_FREE);
	if (end < count && nt_page_kind(&pages.table[end]) == NT_PAGE_FREE) {
		bin_remove(end);
		length += pages.table[end].length;
	}
	if (first > 0 && nt_page_kind(&pages.table[first - 1]) == NT_PAGE_FREE) {
		uint32_t before = pages.table[first - 1].length;

		first -= before;
		bin_remove(first);
		length += before;
	}
	bin_insert(first, length);
	nt_lock_release(&nt_pages_lock);
}
