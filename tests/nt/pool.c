/* SPDX-License-Identifier: BSD-2-Clause */
#include "../sanitized.h"
#include "harness.h"

#define TAG 0x74736554 /* "Test" */

static uint64_t outstanding(uint32_t tag, uint64_t *blocks)
{
	struct nt_pool_tag tags[32];
	size_t n;

	nt_pool_outstanding(tags, 32, &n);
	for (size_t i = 0; i < n; i++) {
		if (tags[i].tag == tag) {
			*blocks = tags[i].blocks;
			return tags[i].bytes;
		}
	}
	*blocks = 0;
	return 0;
}

static bool all_bytes(const uint8_t *p, size_t n, uint8_t value)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != value)
			return false;
	return true;
}

static const size_t sizes[] = { 0,    1,    7,    16,   31,   32,   33,   100,  500,   1000,
	                        2015, 2016, 2017, 2048, 2049, 4095, 4096, 4097, 65536, 1000000 };
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void blocks_are_zeroed_aligned_and_apart(void **state)
{
	uint8_t *p[SIZES];

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < SIZES; i++) {
			p[i] = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizes[i], TAG);
			assert_non_null(p[i]);
			assert_int_equal((uintptr_t)p[i] % 16, 0);
			assert_true(all_bytes(p[i], sizes[i], 0));
			memset(p[i], (int)i + 1, sizes[i]);
			if (sizes[i] >= PAGE_SIZE)
				assert_int_equal(BYTE_OFFSET(p[i]), 0);
			else if (sizes[i])
				assert_ptr_equal(PAGE_ALIGN(p[i]), PAGE_ALIGN(p[i] + sizes[i] - 1));
		}
		for (unsigned i = 0; i < SIZES; i++) {
			assert_true(all_bytes(p[i], sizes[i], (uint8_t)(i + 1)));
			ExFreePoolWithTag(p[i], TAG);
		}
	}
}

static void what_is_not_freed_is_counted_by_tag(void **state)
{
	uint64_t before = nt_pool_outstanding(NULL, 0, NULL), blocks;
	void *small = ExAllocatePoolWithTag(NonPagedPoolNx, 100, TAG);
	void *large = ExAllocatePoolZero(PagedPool, 10000, TAG);
	void *other = ExAllocatePool2(POOL_FLAG_PAGED, 50, 0x31313131);
	void *pages = nt_pages_allocate(3);

	assert_int_equal(outstanding(TAG, &blocks), 10100);
	assert_int_equal(blocks, 2);
	assert_int_equal(outstanding(0x31313131, &blocks), 50);
	assert_int_equal(nt_pool_outstanding(NULL, 0, NULL) - before, 10150 + 3 * PAGE_SIZE);
	ExFreePool(small);
	ExFreePoolWithTag(large, 0);
	ExFreePoolWithTag(other, 0x31313131);
	nt_pages_free(pages, 3);
	assert_int_equal(nt_pool_outstanding(NULL, 0, NULL), before);
}

static void it_lives_in_the_ram(void **state)
{
	const struct nt_ram *ram = nt_ram();
	uint8_t *p = ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG), byte;

	assert_non_null(ram);
	assert_true(p >= (uint8_t *)ram->base && p + 64 <= (uint8_t *)ram->base + ram->size);
	p[5] = 0x5a;
	assert_int_equal(pread(ram->fd, &byte, 1, p + 5 - (uint8_t *)ram->base), 1);
	assert_int_equal(byte, 0x5a);
	assert_true(ftruncate(ram->fd, (off_t)ram->size / 2) < 0); /* sealed */
	ExFreePool(p);
}

static void flags_are_checked(void **state)
{
	void *p;

	assert_null(ExAllocatePool2(0, 16, TAG));
	assert_null(ExAllocatePool2(POOL_FLAG_PAGED | POOL_FLAG_NON_PAGED, 16, TAG));
	assert_null(ExAllocatePool2(POOL_FLAG_NON_PAGED | 0x80000000, 16, TAG));
	p = ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_CACHE_ALIGNED | UINT64_C(1) << 40, 100,
	                    TAG);
	assert_non_null(p);
#if !SANITIZED_ADDRESS
	assert_int_equal((uintptr_t)p % 64, 0);
#endif
	ExFreePool(p);
}

static void what_cannot_be_had_is_null(void **state)
{
	uint64_t before = nt_pool_outstanding(NULL, 0, NULL);

	assert_null(ExAllocatePool2(POOL_FLAG_NON_PAGED, nt_ram()->size, TAG));
	assert_null(ExAllocatePool2(POOL_FLAG_NON_PAGED, SIZE_MAX, TAG));
	assert_null(ExAllocatePool2(POOL_FLAG_NON_PAGED, SIZE_MAX - 31, TAG));
	assert_null(nt_pages_allocate(SIZE_MAX / PAGE_SIZE));
	nt_pool_fail_after(2);
	ExFreePool(ExAllocatePool2(POOL_FLAG_NON_PAGED, 8, TAG));
	assert_null(ExAllocatePool2(POOL_FLAG_NON_PAGED, 8, TAG));
	ExFreePool(ExAllocatePool2(POOL_FLAG_NON_PAGED, 8, TAG));
	assert_int_equal(nt_pool_outstanding(NULL, 0, NULL), before);
}

/* All the RAM in pieces of many sizes, given back in another order, is one piece again. */
static void free_runs_join(void **state)
{
	enum { N = 400 };
	static void *p[N];
	size_t most = nt_ram()->size - (8 << 20);
	void *whole = ExAllocatePoolWithTag(NonPagedPoolNx, most, TAG);
	unsigned n = 0;

	assert_non_null(whole);
	ExFreePool(whole);
	while (n < N &&
	       (p[n] = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE + n * 7919 % 300000, TAG)))
		n++;
	for (unsigned i = 0; i < n; i++)
		ExFreePool(p[i * 77 % n]);
	assert_int_equal(N % 77 != 0 && n == N, 1);
	whole = ExAllocatePoolWithTag(NonPagedPoolNx, most, TAG);
	assert_non_null(whole);
	ExFreePool(whole);
}

static void *churn(void *argument)
{
	unsigned seed = (unsigned)(uintptr_t)argument;
	uint8_t *held[32] = { NULL };
	size_t held_size[32] = { 0 };

	for (unsigned i = 0; i < 20000; i++) {
		unsigned k, r = seed = seed * 1103515245 + 12345;

		k = r >> 8 & 31;
		if (held[k]) {
			assert_int_equal(held[k][0], k);
			assert_int_equal(held[k][held_size[k] - 1], k);
			ExFreePoolWithTag(held[k], TAG);
			held[k] = NULL;
			continue;
		}
		held_size[k] = 1 + (r >> 16) % (r & 1 ? 100 : 6000);
		held[k] = ExAllocatePoolWithTag(NonPagedPoolNx, held_size[k], TAG);
		held[k][0] = (uint8_t)k;
		held[k][held_size[k] - 1] = (uint8_t)k;
	}
	for (unsigned k = 0; k < 32; k++)
		if (held[k])
			ExFreePoolWithTag(held[k], TAG);
	return NULL;
}

static void many_threads_share_it(void **state)
{
	uint64_t before = nt_pool_outstanding(NULL, 0, NULL);
	pthread_t threads[4];

	for (uintptr_t i = 0; i < 4; i++)
		threads[i] = start(churn, (void *)(i + 1));
	for (unsigned i = 0; i < 10; i++)
		nt_pool_outstanding(NULL, 0, NULL);
	for (unsigned i = 0; i < 4; i++)
		finish(threads[i]);
	assert_int_equal(nt_pool_outstanding(NULL, 0, NULL), before);
}

static void free_twice(void)
{
	void *p = ExAllocatePool2(POOL_FLAG_NON_PAGED, 40, TAG);

	ExFreePoolWithTag(p, TAG);
	ExFreePoolWithTag(p, TAG);
}

static void free_large_twice(void)
{
	void *p = ExAllocatePool2(POOL_FLAG_NON_PAGED, 40000, TAG);

	ExFreePool(p);
	ExFreePool(p);
}

static void free_with_wrong_tag(void)
{
	ExFreePoolWithTag(ExAllocatePool2(POOL_FLAG_NON_PAGED, 40, TAG), 0x64616241);
}

static void free_large_with_wrong_tag(void)
{
	ExFreePoolWithTag(ExAllocatePool2(POOL_FLAG_NON_PAGED, 40000, TAG), 0x64616241);
}

static void free_inside(void)
{
	char *p = ExAllocatePool2(POOL_FLAG_NON_PAGED, 40, TAG);

	ExFreePool(p + 16);
}

static void free_inside_large(void)
{
	char *p = ExAllocatePool2(POOL_FLAG_NON_PAGED, 40000, TAG);

	ExFreePool(p + PAGE_SIZE);
}

static void free_stack(void)
{
	int local;

	ExFreePool(&local);
}

static void free_null(void)
{
	ExFreePool(NULL);
}

static void paged_at_dispatch(void)
{
	KIRQL irql = KeRaiseIrqlToDpcLevel();

	assert_null(ExAllocatePool2(POOL_FLAG_PAGED, 40, TAG));
	KeLowerIrql(irql);
}

static void tag_zero(void)
{
	assert_null(ExAllocatePool2(POOL_FLAG_NON_PAGED, 40, 0));
}

static void wrong_count(void)
{
	nt_pages_free(nt_pages_allocate(3), 2);
}

static void misuse_is_told(void **state)
{
	/* so that the slab does not go with its last block */
	void *keep = ExAllocatePool2(POOL_FLAG_NON_PAGED, 40, TAG);

	expect_misuse(free_twice, "freed already");
	expect_misuse(free_large_twice, "freed already");
	expect_misuse(free_with_wrong_tag, "has tag 'Test', it is being freed with tag 'Abad'");
	expect_misuse(free_large_with_wrong_tag, "has tag 'Test'");
	expect_misuse(free_inside, "not the start of a block");
	expect_misuse(free_inside_large, "not a block of the pool");
	expect_misuse(free_stack, "not in the pool");
	expect_misuse(free_null, "not in the pool");
	expect_misuse(paged_at_dispatch, "paged pool");
	expect_misuse(tag_zero, "a tag must not be 0");
	expect_misuse(wrong_count, "a run of another length");
	ExFreePool(keep);
}

#if SANITIZED_ADDRESS
static volatile uint8_t sink;

static void read_past(void)
{
	volatile uint8_t *p = ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG);

	sink = p[64];
}

static void read_freed(void)
{
	volatile uint8_t *p = ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG);

	ExFreePool((void *)(uintptr_t)p);
	sink = p[0];
}

static void read_past_large(void)
{
	volatile uint8_t *p = ExAllocatePool2(POOL_FLAG_NON_PAGED, 2 * PAGE_SIZE, TAG);

	sink = p[2 * PAGE_SIZE];
}

/* ASan exits by itself; its word is on stderr. */
static void expect_poison(void (*body)(void))
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		freopen("/dev/null", "w", stderr);
		body();
		_exit(0);
	}
	waitpid(child, &status, 0);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void asan_sees_what_is_not_allocated(void **state)
{
	expect_poison(read_past);
	expect_poison(read_freed);
	expect_poison(read_past_large);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_are_zeroed_aligned_and_apart),
		cmocka_unit_test(what_is_not_freed_is_counted_by_tag),
		cmocka_unit_test(it_lives_in_the_ram),
		cmocka_unit_test(flags_are_checked),
		cmocka_unit_test(what_cannot_be_had_is_null),
		cmocka_unit_test(free_runs_join),
		cmocka_unit_test(many_threads_share_it),
		cmocka_unit_test(misuse_is_told),
#if SANITIZED_ADDRESS
		cmocka_unit_test(asan_sees_what_is_not_allocated),
#endif
	};

	return RUN(tests);
}
