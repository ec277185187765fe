/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

#include <stdlib.h>
#include <sys/mman.h>

struct region {
	struct region *next;
	uint64_t first, end; /* page frame numbers */
	uint64_t offset;     /* of `first` in the file */
	int fd;
};

/* Held while pages are mapped, so that a region's descriptor is not closed under it. */
static struct nt_lock lock;
static struct region *regions;

int nt_region_add(void *base, uint64_t size, int fd, uint64_t offset)
{
	struct region *r;

	if (((uintptr_t)base | size | offset) & (PAGE_SIZE - 1) || size == 0 || fd < 0)
		return -EINVAL;
	r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
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
	if (r)
		*link = r->next;
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

static size_t mirrored(size_t count, size_t mirror_from)
{
	return mirror_from < count ? count - mirror_from : 0;
}

void *nt_map_pages(const PFN_NUMBER *pfns, size_t count, size_t mirror_from)
{
	size_t twice = mirrored(count, mirror_from);
	uint8_t *at;
	bool done;

	if (count == 0 || count > (size_t)INT64_MAX / PAGE_SIZE / 2)
		return NULL;
	at = mmap(NULL, (count + twice) * PAGE_SIZE, PROT_NONE,
	          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	nt_lock_acquire(&lock);
	done = map_over(at, pfns, count) &&
	       (!twice || map_over(at + count * PAGE_SIZE, pfns + mirror_from, twice));
	nt_lock_release(&lock);
	if (!done) {
		nt_unmap_pages(at, count, mirror_from);
		return NULL;
	}
	/* A child that lives longer must not keep memory of a guest that is gone. */
	madvise(at, (count + twice) * PAGE_SIZE, MADV_DONTFORK);
	return at;
}

void nt_unmap_pages(void *address, size_t count, size_t mirror_from)
{
	munmap(address, (count + mirrored(count, mirror_from)) * PAGE_SIZE);
}
