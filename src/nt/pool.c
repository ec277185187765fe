/* SPDX-License-Identifier: BSD-2-Clause */
#include "pages.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/*
 * The pool. Small blocks are cut from slabs, one page each of one size, so that none crosses a
 * page; larger ones are runs of pages. Tags, sizes and free lists are kept outside the blocks.
 *
 * What drivers ask for is in the shared heap, so that they can show it to the other end. What NT
 * itself follows, such as MDLs, is in the heap apart: the other end may write over all of the
 * shared one at any time.
 */

#define GRANULE       32 /* sizes are multiples of it */
#define PAGE_GRANULES (PAGE_SIZE / GRANULE)
#define NO_GRANULE    PAGE_GRANULES
#define SMALL_MAX     2048
/* With ASan, so many bytes behind a block cannot be touched. */
#define REDZONE     (NT_ASAN ? 32 : 0)
#define RUN_REDZONE (NT_ASAN ? PAGE_SIZE : 0)
#define PAGES_TAG   0x73676150 /* "Pags" */

static const uint16_t class_sizes[] = { 32,  64,  96,  128, 160, 192, 224,  256,  320,
	                                384, 448, 512, 576, 672, 800, 1024, 1344, 2048 };
#define CLASSES (sizeof(class_sizes) / sizeof(class_sizes[0]))

struct object {
	uint32_t tag; /* free: the granule of the next free one */
	uint16_t size;
	uint16_t allocated;
};

struct size_class {
	struct nt_lock lock;
	uint32_t partial; /* slabs with free objects */
} __attribute__((aligned(64)));

static struct size_class classes[NT_HEAPS][CLASSES];
static uint8_t class_of_granules[SMALL_MAX / GRANULE + 1];
static struct nt_page *table;
static struct object *objects; /* one for each granule of both heaps */
static uint8_t *base;
static uint64_t heap_size;
static int64_t fail_countdown;

static void pool_make(void)
{
	const struct nt_ram *ram = nt_ram();
	struct nt_page *page_table = nt_pages_table();
	unsigned class = 0, i;
	void *p;

	if (!ram || !page_table)
		return;
	p = mmap(NULL, NT_HEAPS * ram->size / GRANULE * sizeof(struct object),
	         PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) {
		nt_log(NT_LOG_ERROR, NULL, "no memory for the pool's tags");
		return;
	}
	for (i = 0; i <= SMALL_MAX / GRANULE; i++) {
		if (i * GRANULE > class_sizes[class])
			class ++;
		class_of_granules[i] = (uint8_t) class;
	}
	for (i = 0; i < NT_HEAPS * CLASSES; i++)
		classes[i / CLASSES][i % CLASSES].partial = NT_PAGE_NONE;
	objects = p;
	base = ram->base;
	heap_size = ram->size;
	table = page_table;
}

static bool pool_ready(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, pool_make);
	return table != NULL;
}

static void *page_address(uint32_t page)
{
	return base + (uint64_t)page * PAGE_SIZE;
}

/* ---- slabs; all under the class's lock ---- */

static void slab_link(struct size_class *c, uint32_t page)
{
	table[page].previous = NT_PAGE_NONE;
	table[page].next = c->partial;
	if (c->partial != NT_PAGE_NONE)
		table[c->partial].previous = page;
	c->partial = page;
}

static void slab_unlink(struct size_class *c, uint32_t page)
{
	struct nt_page *p = &table[page];

	if (p->next != NT_PAGE_NONE)
		table[p->next].previous = p->previous;
	if (p->previous != NT_PAGE_NONE)
		table[p->previous].next = p->next;
	else
		c->partial = p->next;
}

static bool slab_make(enum nt_heap heap, unsigned class)
{
	uint32_t page = nt_run_allocate(heap, 1, NT_PAGE_SLAB, 0, 0, false);
	uint32_t step = class_sizes[class] / GRANULE;
	struct object *o;
	uint32_t g;

	if (page == NT_PAGE_NONE)
		return false;
	o = &objects[(uint64_t)page * PAGE_GRANULES];
	for (g = 0; g + step <= PAGE_GRANULES; g += step) {
		o[g].allocated = 0;
		o[g].tag = g + 2 * step <= PAGE_GRANULES ? g + step : NO_GRANULE;
	}
	table[page].class = (uint8_t) class;
	table[page].first_free = 0;
	nt_poison(page_address(page), PAGE_SIZE);
	slab_link(&classes[heap][class], page);
	return true;
}

static void *small_allocate(enum nt_heap heap, size_t size, uint32_t tag)
{
	unsigned class = class_of_granules[(size + REDZONE + GRANULE - 1) / GRANULE];
	struct size_class *c = &classes[heap][class];
	struct nt_page *p;
	struct object *o;
	uint32_t page, granule;
	void *block;

	nt_lock_acquire(&c->lock);
	if (c->partial == NT_PAGE_NONE && !slab_make(heap, class)) {
		nt_lock_release(&c->lock);
		return NULL;
	}
	page = c->partial;
	p = &table[page];
	granule = p->first_free;
	o = &objects[(uint64_t)page * PAGE_GRANULES + granule];
	p->first_free = o->tag;
	p->used++;
	if (p->first_free == NO_GRANULE)
		slab_unlink(c, page);
	o->tag = tag;
	o->size = (uint16_t)size;
	o->allocated = 1;
	nt_lock_release(&c->lock);
	block = (uint8_t *)page_address(page) + granule * GRANULE;
	nt_unpoison(block, size);
	return block;
}

static void small_release(struct size_class *c, uint32_t page, uint32_t granule, struct object *o)
{
	struct nt_page *p = &table[page];

	nt_poison((uint8_t *)page_address(page) + granule * GRANULE, class_sizes[p->class]);
	o->allocated = 0;
	o->tag = p->first_free;
	if (p->first_free == NO_GRANULE)
		slab_link(c, page);
	p->first_free = granule;
	p->used--;
	/* The last slab stays, or a block that comes and goes would make and free one each time. */
	if (p->used == 0 && (p->next != NT_PAGE_NONE || p->previous != NT_PAGE_NONE)) {
		slab_unlink(c, page);
		nt_run_free(page);
	}
}

/* ---- complaints ---- */

static const char *tag_text(uint32_t tag, char text[5])
{
	unsigned i;

	for (i = 0; i < 4; i++) {
		char ch = (char)(tag >> 8 * i);

		text[i] = ch >= ' ' && ch <= '~' ? ch : '.';
	}
	text[4] = '\0';
	return text;
}

static void complain_tag(const char *function, const void *p, uint32_t have, uint32_t came)
{
	char rule[128], a[5], b[5];

	snprintf(rule, sizeof(rule), "block %p has tag '%s', it is being freed with tag '%s'", p,
	         tag_text(have, a), tag_text(came, b));
	nt_misuse(function, NULL, rule);
}

static void complain_block(const char *function, const void *p, const char *what)
{
	char rule[128];

	snprintf(rule, sizeof(rule), "%p is %s", p, what);
	nt_misuse(function, NULL, rule);
}

static bool tags_match(uint32_t have, uint32_t came)
{
	return came == 0 || ((have ^ came) & ~PROTECTED_POOL) == 0;
}

/* ---- blocks ---- */

static bool injected_failure(void)
{
	return unlikely(__atomic_load_n(&fail_countdown, __ATOMIC_RELAXED) > 0) &&
	       __atomic_fetch_sub(&fail_countdown, 1, __ATOMIC_RELAXED) == 1;
}

static void *large_allocate(enum nt_heap heap, size_t size, uint32_t tag, bool zero)
{
	uint64_t whole = (uint64_t)size + RUN_REDZONE + PAGE_SIZE - 1;
	uint8_t *block;
	uint32_t page;

	if (size > heap_size)
		return NULL;
	page = nt_run_allocate(heap, (uint32_t)(whole / PAGE_SIZE), NT_PAGE_RUN, tag, size, zero);
	if (page == NT_PAGE_NONE)
		return NULL;
	block = page_address(page);
	nt_poison(block + size, (size_t)table[page].length * PAGE_SIZE - size);
	return block;
}

static void *allocate(enum nt_heap heap, size_t size, uint32_t tag, bool zero)
{
	void *p;

	if (unlikely(!pool_ready()) || injected_failure())
		return NULL;
	if (size == 0)
		size = 1;
	if (size > SMALL_MAX - REDZONE)
		return large_allocate(heap, size, tag, zero);
	p = small_allocate(heap, size, tag);
	if (p && zero)
		memset(p, 0, size);
	return p;
}

static void (*_Atomic on_free)(void *p, size_t size);

void nt_pool_on_free(void (*freed)(void *p, size_t size))
{
	atomic_store(&on_free, freed);
}

static void tell_of_free(void *p, size_t size)
{
	void (*freed)(void *p, size_t size) = atomic_load_explicit(&on_free, memory_order_acquire);

	if (freed && nt_is_shared(p))
		freed(p, size);
}

static void free_small(const char *function, void *p, uint32_t page, uint32_t tag)
{
	unsigned class = table[page].class;
	struct size_class *c = &classes[nt_page_heap(page)][class];
	uint32_t offset = BYTE_OFFSET(p);
	struct object *o = &objects[(uint64_t)page * PAGE_GRANULES + offset / GRANULE];
	bool allocated;
	uint32_t have;

	if (offset % class_sizes[class] != 0) {
		complain_block(function, p, "not the start of a block");
		return;
	}
	nt_lock_acquire(&c->lock);
	allocated = o->allocated;
	have = o->tag;
	if (allocated && tags_match(have, tag)) {
		tell_of_free(p, o->size);
		small_release(c, page, offset / GRANULE, o);
	}
	nt_lock_release(&c->lock);
	if (!allocated)
		complain_block(function, p, "freed already");
	else if (!tags_match(have, tag))
		complain_tag(function, p, have, tag);
}

static void free_large(const char *function, void *p, uint32_t page, uint32_t tag)
{
	uint32_t have = table[page].tag;

	if (BYTE_OFFSET(p) != 0) {
		complain_block(function, p, "not the start of a block");
	} else if (!tags_match(have, tag)) {
		complain_tag(function, p, have, tag);
	} else {
		tell_of_free(p, table[page].size);
		nt_run_free(page);
	}
}

static void free_block(const char *function, void *p, uint32_t tag)
{
	uint64_t offset = (uint64_t)((uintptr_t)p - (uintptr_t)base);
	uint32_t page;

	if (!pool_ready() || (uintptr_t)p < (uintptr_t)base || offset >= NT_HEAPS * heap_size) {
		complain_block(function, p, "not in the pool");
		return;
	}
	page = (uint32_t)(offset / PAGE_SIZE);
	switch (nt_page_kind(&table[page])) {
	case NT_PAGE_SLAB:
		free_small(function, p, page, tag);
		break;
	case NT_PAGE_RUN:
		free_large(function, p, page, tag);
		break;
	default:
		complain_block(function, p, "not a block of the pool, or freed already");
		break;
	}
}

/* ---- the face to the rest of nt ---- */

void *nt_apart_allocate(size_t size, uint32_t tag)
{
	return allocate(NT_HEAP_APART, size, tag, true);
}

bool nt_is_apart(const void *p)
{
	return pool_ready() && (const uint8_t *)p >= base + heap_size &&
	       (const uint8_t *)p < base + NT_HEAPS * heap_size;
}

/* ---- the face to kmcl ---- */

void *nt_pages_allocate(size_t count)
{
	return count ? allocate(NT_HEAP_SHARED, count * PAGE_SIZE, PAGES_TAG, true) : NULL;
}

void nt_pages_free(void *address, size_t count)
{
	uint64_t page = (uint64_t)((uint8_t *)address - base) / PAGE_SIZE;

	if (pool_ready() && (uint8_t *)address >= base && page < heap_size / PAGE_SIZE &&
	    nt_page_kind(&table[page]) == NT_PAGE_RUN &&
	    table[page].size != (uint64_t)count * PAGE_SIZE) {
		complain_block(__func__, address, "a run of another length");
		return;
	}
	free_block(__func__, address, PAGES_TAG);
}

void nt_pool_fail_after(uint64_t n)
{
	__atomic_store_n(&fail_countdown, (int64_t)n, __ATOMIC_RELAXED);
}

struct tally {
	struct nt_pool_tag *tags;
	size_t capacity, used;
	uint64_t bytes;
};

static void tally_add(struct tally *t, uint32_t tag, uint64_t size)
{
	size_t i;

	t->bytes += size;
	for (i = 0; i < t->used && t->tags[i].tag != tag; i++)
		;
	if (i == t->used) {
		if (i == t->capacity)
			return;
		t->tags[t->used++] = (struct nt_pool_tag){ .tag = tag };
	}
	t->tags[i].bytes += size;
	t->tags[i].blocks++;
}

static void tally_slab(struct tally *t, uint32_t page)
{
	uint32_t step = class_sizes[table[page].class] / GRANULE;
	const struct object *o = &objects[(uint64_t)page * PAGE_GRANULES];
	uint32_t g;

	for (g = 0; g + step <= PAGE_GRANULES; g += step)
		if (o[g].allocated)
			tally_add(t, o[g].tag, o[g].size);
}

static void tally_pages(struct tally *t, enum nt_heap heap)
{
	uint32_t page, end = nt_pages_touched(heap);

	for (page = nt_pages_first(heap); page < end; page += table[page].length) {
		if (nt_page_kind(&table[page]) == NT_PAGE_SLAB)
			tally_slab(t, page);
		else if (nt_page_kind(&table[page]) == NT_PAGE_RUN)
			tally_add(t, table[page].tag, table[page].size);
	}
}

uint64_t nt_pool_outstanding(struct nt_pool_tag *tags, size_t capacity, size_t *count)
{
	struct tally t = { .tags = tags, .capacity = capacity };
	unsigned i;

	if (pool_ready()) {
		for (i = 0; i < NT_HEAPS * CLASSES; i++)
			nt_lock_acquire(&classes[i / CLASSES][i % CLASSES].lock);
		nt_lock_acquire(&nt_pages_lock);
		tally_pages(&t, NT_HEAP_SHARED);
		tally_pages(&t, NT_HEAP_APART);
		nt_lock_release(&nt_pages_lock);
		for (i = 0; i < NT_HEAPS * CLASSES; i++)
			nt_lock_release(&classes[i / CLASSES][i % CLASSES].lock);
	}
	if (count)
		*count = t.used;
	return t.bytes;
}

/* ---- the documented face ---- */

static bool irql_suits(bool paged, const char *function)
{
	return nt_irql_at_most(paged ? APC_LEVEL : DISPATCH_LEVEL, function,
	                       paged ? "paged pool" : "nonpaged pool");
}

static bool flags_are_valid(POOL_FLAGS flags)
{
	/* The upper half is of optional flags: unknown ones there are ignored. */
	const POOL_FLAGS kinds =
		POOL_FLAG_NON_PAGED | POOL_FLAG_NON_PAGED_EXECUTE | POOL_FLAG_PAGED;
	const POOL_FLAGS known = kinds | POOL_FLAG_USE_QUOTA | POOL_FLAG_UNINITIALIZED |
	                         POOL_FLAG_SESSION | POOL_FLAG_CACHE_ALIGNED |
	                         POOL_FLAG_RAISE_ON_FAILURE;

	return (flags & UINT32_MAX & ~known) == 0 && __builtin_popcountll(flags & kinds) == 1;
}

/* Blocks of a power of two are aligned to it. */
static size_t cache_aligned_size(size_t size)
{
	size_t whole = size + REDZONE;

	if (whole > SMALL_MAX)
		return size;
	return (whole <= 64 ? 64 : (size_t)1 << (64 - __builtin_clzll(whole - 1))) - REDZONE;
}

PVOID ExAllocatePool2(POOL_FLAGS flags, SIZE_T size, ULONG tag)
{
	void *p;

	if (!irql_suits((flags & POOL_FLAG_PAGED) != 0, __func__))
		return NULL;
	if (tag == 0) {
		nt_misuse(__func__, NULL, "a tag must not be 0");
		return NULL;
	}
	if (!flags_are_valid(flags))
		return NULL;
	if (flags & POOL_FLAG_CACHE_ALIGNED)
		size = cache_aligned_size(size);
	p = allocate(NT_HEAP_SHARED, size, tag, !(flags & POOL_FLAG_UNINITIALIZED));
	if (!p && (flags & POOL_FLAG_RAISE_ON_FAILURE))
		nt_die("ExAllocatePool2: no memory for %zu bytes, and the caller asked to raise",
		       size);
	return p;
}

static PVOID allocate_typed(const char *function, enum nt_heap heap, POOL_TYPE type, SIZE_T size,
                            ULONG tag, bool zero)
{
	void *p;

	if (!irql_suits((type & PagedPool) != 0, function))
		return NULL;
	if (type & NonPagedPoolCacheAligned)
		size = cache_aligned_size(size);
	p = allocate(heap, size, tag, zero || (type & POOL_ZERO_ALLOCATION));
	if (!p && (type & (POOL_RAISE_IF_ALLOCATION_FAILURE | NonPagedPoolMustSucceed)))
		nt_die("%s: no memory for %zu bytes, and the caller asked to raise", function,
		       size);
	return p;
}

PVOID ExAllocatePoolWithTag(POOL_TYPE type, SIZE_T size, ULONG tag)
{
	return allocate_typed(__func__, NT_HEAP_SHARED, type, size, tag, false);
}

PVOID ExAllocatePoolZero(POOL_TYPE type, SIZE_T size, ULONG tag)
{
	return allocate_typed(__func__, NT_HEAP_SHARED, type, size, tag, true);
}

PVOID nt_apart_allocate_typed(const char *function, POOL_TYPE type, SIZE_T size, ULONG tag)
{
	return allocate_typed(function, NT_HEAP_APART, type, size, tag, false);
}

void ExFreePool(PVOID p)
{
	if (nt_irql_at_most(DISPATCH_LEVEL, __func__, NULL))
		free_block(__func__, p, 0);
}

void ExFreePoolWithTag(PVOID p, ULONG tag)
{
	if (nt_irql_at_most(DISPATCH_LEVEL, __func__, NULL))
		free_block(__func__, p, tag);
}
