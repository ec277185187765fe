/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

#define TAG 0x74736554 /* "Test" */

/* The RAM is made once, so each wish for a size has a process of its own. */
static void in_child(const char *megabytes, void (*body)(void))
{
	pid_t child;
	int status;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		setenv("KMCL_RAM_MB", megabytes, 1);
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void check(bool good)
{
	if (!good)
		_exit(1);
}

static void is_32(void)
{
	check(nt_ram()->size == 32 << 20);
}

static char said[1024];

static void is_default_and_told(void)
{
	nt_log_set(harness_keep, said, NT_LOG_WARNING);
	check(nt_ram()->size == 1 << 30);
	check(strstr(said, "KMCL_RAM_MB: expected 16 to 1048576") != NULL);
}

static void the_environment_sets_its_size(void **state)
{
	in_child("32", is_32);
	in_child("15", is_default_and_told);
	in_child("32x", is_default_and_told);
	in_child("", is_default_and_told);
	in_child("99999999999999999999", is_default_and_told);
}

/* Takes all there is in blocks of one size; returns how many. */
static size_t take_all(void **blocks, size_t max, size_t size)
{
	size_t n = 0;

	while (n < max && (blocks[n] = ExAllocatePoolWithTag(NonPagedPoolNx, size, TAG)) != NULL)
		n++;
	return n;
}

static void use_up(void)
{
	static const size_t sizes[] = { 2048, 5000, 100, 100000, PAGE_SIZE };
	static void *blocks[200000];
	size_t counts[5], again;

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 5; i++) {
			size_t n = take_all(blocks, 200000, sizes[i]);

			check(n > 0 && n < 200000);
			check(nt_pages_allocate(1000) == NULL);
			while (n--)
				ExFreePoolWithTag(blocks[n], TAG);
			check(nt_pool_outstanding(NULL, 0, NULL) == 0);
		}
	}
	for (unsigned i = 0; i < 5; i++) {
		counts[i] = take_all(blocks, 200000, sizes[i]);
		for (size_t k = 0; k < counts[i]; k++)
			ExFreePool(blocks[k]);
		again = take_all(blocks, 200000, sizes[i]);
		check(again == counts[i]); /* nothing was lost */
		for (size_t k = 0; k < again; k++)
			ExFreePool(blocks[k]);
	}
}

static void it_can_be_used_up_and_given_back(void **state)
{
	in_child("16", use_up);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_environment_sets_its_size),
		cmocka_unit_test(it_can_be_used_up_and_given_back),
	};

	return RUN(tests);
}
