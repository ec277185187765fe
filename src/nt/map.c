/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/*
 * A process has so many mappings (vm.max_map_count): with none left, no thread starts and no memory
 * is to be had. What is mapped here takes one for each piece of pages that are in a row, and which
 * those are, the other end says. So all of it together takes half of them at most, and what is of
 * one region, which is one guest's memory, half of that.
 */
#define MAP_COUNT_USUAL 65530u /* Linux, Documentation/admin-guide/sysctl/vm.rst */

/* A region's, for as long as it or a mapping of its pages is there. */
struct share {
	uint32_t references;
	uint32_t pieces;
};

struct region {
	struct region *next;
	uint64_t first, end; /* page frame numbers */
	uint64_t offset;     /* of `first` in the file */
	int fd;
	struct share *share; /* NULL: nt_ram() */
};

struct mapping {
	struct mapping *next;
	void *address;
	uint32_t pieces;
	struct share *share; /* of the first page's region */
};

#define BUCKETS 1024u

/* Held while pages are mapped, so that a region's descriptor is not closed under it. */
static struct nt_lock lock;
static struct region *regions;
static struct mapping *mappings[BUCKETS];
static uint32_t all_pieces;

static uint32_t pieces_max;

static void learn_pieces_max(void)
{
	unsigned int count = 0;
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");

	if (!file || fscanf(file, "%u", &count) != 1 || !count)
		count = MAP_COUNT_USUAL;
	if (file)
		fclose(file);
	pieces_max = count / 2;
}

uint32_t nt_map_pieces_max(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, learn_pieces_max);
	return pieces_max;
}

uint32_t nt_map_pieces(void)
{
	uint32_t pieces;

	nt_lock_acquire(&lock);
	pieces = all_pieces;
	nt_lock_release(&lock);
	return pieces;
}

static void share_put(struct share *share)
{
	if (share && --share->references == 0)
		free(share);
}

int nt_region_add(void *base, uint64_t size, int fd, uint64_t offset)
{
	struct region *r;

	if (((uintptr_t)base | size | offset) & (PAGE_SIZE - 1) || size == 0 || fd < 0)
		return -EINVAL;
	r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->share = calloc(1, sizeof(*r->share));
	if (!r->share) {
		free(r);
		return -ENOMEM;
	}
	r->share->references = 1;
	r->first = (uintptr_t)base >> PAGE_SHIFT;
	r->end = r->first + (size >> PAGE_SHIFT);
	r->fd = fd;
	r->offset = offset;
	nt_lock_acquire(&lock);
	r->next = regions;
	regions = r;
	nt_lock_release(&lock);
	return 0;
}

void nt_region_remove(void *base)
{
	uint64_t first = (uintptr_t)base >> PAGE_SHIFT;
	struct region **link, *r;

	nt_lock_acquire(&lock);
	for (link = &regions; (r = *link) != NULL && r->first != first; link = &r->next)
		;
	if (r) {
		*link = r->next;
		share_put(r->share);
	}
	nt_lock_release(&lock);
	free(r);
}

/* ---- under the lock ---- */

static bool region_of(PFN_NUMBER pfn, struct region *found)
{
	const struct nt_ram *ram = nt_ram();
	const struct region *r;

	if (ram && pfn >= (uintptr_t)ram->base >> PAGE_SHIFT &&
	    pfn < ((uintptr_t)ram->base + ram->size) >> PAGE_SHIFT) {
		*found = (struct region){ .first = (uintptr_t)ram->base >> PAGE_SHIFT,
			                  .end = ((uintptr_t)ram->base + ram->size) >> PAGE_SHIFT,
			                  .fd = ram->fd };
		return true;
	}
	for (r = regions; r; r = r->next) {
		if (pfn >= r->first && pfn < r->end) {
			*found = *r;
			return true;
		}
	}
	return false;
}

/* How many of the pages from pfns[0] on are in a row in the region. */
static size_t run_length(const PFN_NUMBER *pfns, size_t count, const struct region *r)
{
	size_t n = 1;

	while (n < count && pfns[n] == pfns[0] + n && pfns[n] < r->end)
		n++;
	return n;
}

static bool map_over(uint8_t *at, const PFN_NUMBER *pfns, size_t count)
{
	size_t done = 0;

	while (done < count) {
		struct region r;
		size_t n;
		uint64_t offset;

		if (!region_of(pfns[done], &r))
			return false;
		n = run_length(pfns + done, count - done, &r);
		offset = r.offset + ((pfns[done] - r.first) << PAGE_SHIFT);
		if (mmap(at + done * PAGE_SIZE, n * PAGE_SIZE, PROT_READ | PROT_WRITE,
		         MAP_SHARED | MAP_FIXED, r.fd, (off_t)offset) == MAP_FAILED)
			return false;
		done += n;
	}
	return true;
}

/* How many pieces of pages in a row there are. */
static uint32_t count_pieces(const PFN_NUMBER *pfns, size_t count)
{
	uint32_t pieces = count > 0;

	for (size_t i = 1; i < count; i++)
		pieces += pfns[i] != pfns[i - 1] + 1;
	return pieces;
}

static struct mapping **bucket_of(const void *address)
{
	return &mappings[((uintptr_t)address >> PAGE_SHIFT) * 0x9e3779b1u % BUCKETS];
}

/* False: there would be too many. */
static bool charge(struct mapping *m, PFN_NUMBER first)
{
	struct region r;

	if (m->pieces > pieces_max - all_pieces || !region_of(first, &r))
		return false;
	m->share = r.share;
	if (m->share && m->pieces > pieces_max / 2 - m->share->pieces)
		return false;
	if (m->share) {
		m->share->pieces += m->pieces;
		m->share->references++;
	}
	all_pieces += m->pieces;
	return true;
}

static void uncharge(struct mapping *m)
{
	all_pieces -= m->pieces;
	if (m->share)
		m->share->pieces -= m->pieces;
	share_put(m->share);
}

/* ---- */

static size_t mirrored(size_t count, size_t mirror_from)
{
	return mirror_from < count ? count - mirror_from : 0;
}

static bool map_all(struct mapping *m, const PFN_NUMBER *pfns, size_t count, size_t twice)
{
	uint8_t *at = mmap(NULL, (count + twice) * PAGE_SIZE, PROT_NONE,
	                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return false;
	if (!map_over(at, pfns, count) ||
	    !map_over(at + count * PAGE_SIZE, pfns + (count - twice), twice)) {
		munmap(at, (count + twice) * PAGE_SIZE);
		return false;
	}
	/* A child that lives longer must not keep memory of a guest that is gone. */
	madvise(at, (count + twice) * PAGE_SIZE, MADV_DONTFORK);
	m->address = at;
	m->next = *bucket_of(at);
	*bucket_of(at) = m;
	return true;
}

void *nt_map_pages(const PFN_NUMBER *pfns, size_t count, size_t mirror_from)
{
	size_t twice = mirrored(count, mirror_from);
	struct mapping *m;
	void *at = NULL;

	if (count == 0 || count > NT_MAP_PAGES_MAX || !nt_map_pieces_max())
		return NULL;
	m = malloc(sizeof(*m));
	if (!m)
		return NULL;
	m->pieces = count_pieces(pfns, count) + count_pieces(pfns + (count - twice), twice);
	nt_lock_acquire(&lock);
	if (charge(m, pfns[0])) {
		if (map_all(m, pfns, count, twice))
			at = m->address;
		else
			uncharge(m);
	}
	nt_lock_release(&lock);
	if (!at)
		free(m);
	return at;
}

void nt_unmap_pages(void *address, size_t count, size_t mirror_from)
{
	struct mapping **link, *m;

	nt_lock_acquire(&lock);
	for (link = bucket_of(address); (*link)->address != address; link = &(*link)->next)
		;
	m = *link;
	*link = m->next;
	munmap(address, (count + mirrored(count, mirror_from)) * PAGE_SIZE);
	uncharge(m);
	nt_lock_release(&lock);
	free(m);
}
