/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

#include <sys/mman.h>

static PFN_NUMBER pfn_of(void *p)
{
	return (uintptr_t)p >> 12;
}

static bool is_mapped(void *p)
{
	return msync(p, PAGE_SIZE, MS_ASYNC) == 0;
}

static void a_ring_is_mapped_with_its_mirror(void **state)
{
	uint8_t *pages = nt_pages_allocate(4), *ring;
	PFN_NUMBER pfns[4];

	for (unsigned i = 0; i < 4; i++) {
		pfns[i] = pfn_of(pages + i * PAGE_SIZE);
		memset(pages + i * PAGE_SIZE, (int)i, PAGE_SIZE);
	}
	ring = nt_map_pages(pfns, 4, 1);
	assert_non_null(ring);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(ring[i * PAGE_SIZE], i);
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(ring[(3 + i) * PAGE_SIZE], i);
	/* a word across the seam is a word at the end and the beginning */
	memcpy(ring + 4 * PAGE_SIZE - 2, "abcd", 4);
	assert_memory_equal(pages + 4 * PAGE_SIZE - 2, "ab", 2);
	assert_memory_equal(pages + PAGE_SIZE, "cd", 2);
	nt_unmap_pages(ring, 4, 1);
	for (unsigned i = 0; i < 7; i++)
		assert_false(is_mapped(ring + i * PAGE_SIZE));
	nt_pages_free(pages, 4);
}

struct foreign {
	int fd;
	uint8_t *base;
};

/* Memory of another, 4 pages of it from the file's page 2 on. */
static struct foreign foreign_make(void)
{
	struct foreign f = { .fd = memfd_create("foreign", MFD_CLOEXEC) };

	assert_int_equal(ftruncate(f.fd, 6 * PAGE_SIZE), 0);
	/* a page more, so that nothing else, another region perhaps, follows right behind it */
	f.base = mmap(NULL, 5 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	f.base = mmap(f.base, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, f.fd,
	              2 * PAGE_SIZE);
	for (unsigned i = 0; i < 4; i++)
		memset(f.base + i * PAGE_SIZE, 0x10 + (int)i, PAGE_SIZE);
	return f;
}

static void foreign_free(struct foreign *f)
{
	munmap(f->base, 5 * PAGE_SIZE);
	close(f->fd);
}

static void pages_of_regions_are_mapped_in_any_order(void **state)
{
	struct foreign f = foreign_make();
	uint8_t *own = nt_pages_allocate(1), *at;
	PFN_NUMBER pfns[] = { pfn_of(f.base + 3 * PAGE_SIZE), pfn_of(f.base + PAGE_SIZE),
		              pfn_of(f.base + 2 * PAGE_SIZE), pfn_of(own), pfn_of(f.base) };

	assert_int_equal(nt_region_add(f.base, 4 * PAGE_SIZE, f.fd, 2 * PAGE_SIZE), 0);
	own[0] = 0x55;
	at = nt_map_pages(pfns, 5, NT_NO_MIRROR);
	assert_non_null(at);
	assert_int_equal(at[0], 0x13);
	assert_int_equal(at[PAGE_SIZE], 0x11);
	assert_int_equal(at[2 * PAGE_SIZE], 0x12);
	assert_int_equal(at[3 * PAGE_SIZE], 0x55);
	assert_int_equal(at[4 * PAGE_SIZE], 0x10);
	/* the region may go while its pages are mapped */
	nt_region_remove(f.base);
	foreign_free(&f);
	assert_int_equal(at[0], 0x13);
	nt_unmap_pages(at, 5, NT_NO_MIRROR);
	nt_pages_free(own, 1);
}

static void a_page_of_no_region_fails_all(void **state)
{
	struct foreign f = foreign_make();
	PFN_NUMBER pfns[] = { pfn_of(f.base), pfn_of(f.base) + 1, pfn_of(f.base) + 4 };

	assert_null(nt_map_pages(pfns, 3, NT_NO_MIRROR));
	assert_int_equal(nt_region_add(f.base, 4 * PAGE_SIZE, f.fd, 2 * PAGE_SIZE), 0);
	assert_null(nt_map_pages(pfns, 3, NT_NO_MIRROR)); /* one past its end */
	pfns[1] = pfn_of(f.base) + 3;
	assert_null(nt_map_pages(pfns + 1, 2, NT_NO_MIRROR)); /* even in a row */
	pfns[1] = pfn_of(f.base) + 1;
	pfns[2] = UINT64_MAX;
	assert_null(nt_map_pages(pfns, 3, NT_NO_MIRROR));
	pfns[2] = UINT64_MAX >> 12;
	assert_null(nt_map_pages(pfns, 3, NT_NO_MIRROR));
	assert_null(nt_map_pages(pfns, 0, NT_NO_MIRROR));
	nt_region_remove(f.base);
	assert_null(nt_map_pages(pfns, 2, NT_NO_MIRROR));
	foreign_free(&f);
}

static void a_region_must_be_of_pages(void **state)
{
	struct foreign f = foreign_make();

	assert_true(nt_region_add(f.base + 1, PAGE_SIZE, f.fd, 0) < 0);
	assert_true(nt_region_add(f.base, PAGE_SIZE + 1, f.fd, 0) < 0);
	assert_true(nt_region_add(f.base, 0, f.fd, 0) < 0);
	assert_true(nt_region_add(f.base, PAGE_SIZE, -1, 0) < 0);
	foreign_free(&f);
}

static struct foreign shared;
static LONG stop;

static void *come_and_go(void *argument)
{
	while (!ReadAcquire(&stop)) {
		assert_int_equal(
			nt_region_add(shared.base, 4 * PAGE_SIZE, shared.fd, 2 * PAGE_SIZE), 0);
		nt_region_remove(shared.base);
	}
	return NULL;
}

static void regions_come_and_go_while_pages_are_mapped(void **state)
{
	pthread_t thread;

	shared = foreign_make();
	thread = start(come_and_go, NULL);
	for (unsigned i = 0; i < 2000; i++) {
		PFN_NUMBER pfns[] = { pfn_of(shared.base) + 2, pfn_of(shared.base) };
		uint8_t *at = nt_map_pages(pfns, 2, NT_NO_MIRROR);

		if (!at)
			continue;
		assert_int_equal(at[0], 0x12);
		assert_int_equal(at[PAGE_SIZE], 0x10);
		nt_unmap_pages(at, 2, NT_NO_MIRROR);
	}
	WriteRelease(&stop, 1);
	finish(thread);
	foreign_free(&shared);
}

/* `count` pieces: every other one of three pages. */
static uint8_t *map_pieces(uint8_t *base, uint32_t count)
{
	PFN_NUMBER *pfns = malloc(count * sizeof(*pfns));
	uint8_t *at;

	for (uint32_t i = 0; i < count; i++)
		pfns[i] = pfn_of(base) + 2 * (i % 2);
	at = nt_map_pages(pfns, count, NT_NO_MIRROR);
	free(pfns);
	return at;
}

static uint32_t mappings_of_this_process(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	char line[512];
	uint32_t count = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		count++;
	fclose(file);
	return count;
}

static void *do_nothing(void *argument)
{
	return argument;
}

static void as_many_mappings_are_left_for_others(void **state)
{
	uint32_t all = nt_map_pieces_max(), half = all / 2, before = mappings_of_this_process();
	struct foreign a = foreign_make(), b = foreign_make();
	uint8_t *own = nt_pages_allocate(3), *of_a, *of_b;

	assert_int_equal(nt_map_pieces(), 0);
	assert_int_equal(nt_region_add(a.base, 4 * PAGE_SIZE, a.fd, 2 * PAGE_SIZE), 0);
	assert_int_equal(nt_region_add(b.base, 4 * PAGE_SIZE, b.fd, 2 * PAGE_SIZE), 0);
	assert_null(map_pieces(a.base, half + 1));
	of_a = map_pieces(a.base, half);
	assert_non_null(of_a);
	assert_null(map_pieces(a.base, 1)); /* as the other region's are others' */
	of_b = map_pieces(b.base, half - 10);
	assert_non_null(of_b);
	assert_int_equal(nt_map_pieces(), 2 * half - 10);
	assert_null(map_pieces(own, all - nt_map_pieces() + 1));
	assert_in_range(mappings_of_this_process(), 2 * half - 10, all + before + 64);
	finish(start(do_nothing, NULL));

	nt_region_remove(a.base);
	nt_unmap_pages(of_a, half, NT_NO_MIRROR);
	of_a = map_pieces(own, half); /* this process's own memory may take all that there are */
	assert_non_null(of_a);
	nt_unmap_pages(of_b, half - 10, NT_NO_MIRROR);
	of_b = map_pieces(own, all - half);
	assert_non_null(of_b);
	nt_unmap_pages(of_b, all - half, NT_NO_MIRROR);
	nt_unmap_pages(of_a, half, NT_NO_MIRROR);
	assert_int_equal(nt_map_pieces(), 0);
	nt_region_remove(b.base);
	foreign_free(&a);
	foreign_free(&b);
	nt_pages_free(own, 3);
}

static void what_is_in_a_row_is_one_piece(void **state)
{
	uint8_t *pages = nt_pages_allocate(9), *at;
	PFN_NUMBER pfns[9];

	for (unsigned i = 0; i < 9; i++)
		pfns[i] = pfn_of(pages + i * PAGE_SIZE);
	at = nt_map_pages(pfns, 9, 1);
	assert_int_equal(nt_map_pieces(), 2); /* and once more for the mirror */
	nt_unmap_pages(at, 9, 1);
	pfns[8] = pfns[0];
	at = nt_map_pages(pfns, 9, NT_NO_MIRROR);
	assert_int_equal(nt_map_pieces(), 2);
	nt_unmap_pages(at, 9, NT_NO_MIRROR);
	assert_int_equal(nt_map_pieces(), 0);
	nt_pages_free(pages, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ring_is_mapped_with_its_mirror),
		cmocka_unit_test(pages_of_regions_are_mapped_in_any_order),
		cmocka_unit_test(a_page_of_no_region_fails_all),
		cmocka_unit_test(a_region_must_be_of_pages),
		cmocka_unit_test(regions_come_and_go_while_pages_are_mapped),
		cmocka_unit_test(as_many_mappings_are_left_for_others),
		cmocka_unit_test(what_is_in_a_row_is_one_piece),
	};

	return RUN(tests);
}
