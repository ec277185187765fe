/* SPDX-License-Identifier: BSD-2-Clause */

/* __try without exceptions: which blocks run, and what stops the process instead. */

#include "harness.h"
#include "seh_blocks.h"

#include <sys/mman.h>

static const char *run(VOID (*blocks)(PCHAR))
{
	static char text[64];

	text[0] = '\0';
	blocks(text);
	return text;
}

static void blocks_run_in_their_order(void **state)
{
	assert_string_equal(run(SehExcept), "az");
	assert_string_equal(run(SehFinally), "abz");
	assert_string_equal(run(SehLeave), "aijajaijbz");
	assert_string_equal(run(SehWays), "aaez");
}

static void skip_a_finally(void)
{
	run(SehSkips);
}

static void a_finally_is_not_skipped_in_silence(void **state)
{
	expect_death(skip_a_finally, "use __leave");
}

static void raise_status(void)
{
	ExRaiseStatus(STATUS_NO_MEMORY);
}

static void raise_access_violation(void)
{
	ExRaiseAccessViolation();
}

static void raise_misalignment(void)
{
	ExRaiseDatatypeMisalignment();
}

static void what_is_raised_stops_the_process(void **state)
{
	expect_death(raise_status, "0xC0000017");
	expect_death(raise_access_violation, "0xC0000005");
	expect_death(raise_misalignment, "0x80000002");
}

static uint64_t word;

static void probe_misaligned(void)
{
	ProbeForRead((char *)&word + 2, 4, 4);
}

static void probe_beyond(void)
{
	ProbeForRead((PVOID)(MmUserProbeAddress - 4), 5, 4);
}

static void probe_around(void)
{
	ProbeForWrite(&word, SIZE_MAX - 8, 8);
}

static void probe_by_threes(void)
{
	ProbeForRead(&word, 4, 3);
}

static void probe_at_dispatch(void)
{
	KIRQL irql = KeRaiseIrqlToDpcLevel();

	ProbeForRead(&word, 8, 8);
	KeLowerIrql(irql);
}

static void probes_refuse_what_no_program_has(void **state)
{
	word = 0x0123456789abcdef;
	ProbeForRead(&word, sizeof(word), 8);
	ProbeForWrite(&word, sizeof(word), 8);
	ProbeForRead((char *)&word + 1, 2, 1);
	ProbeForRead((PVOID)(uintptr_t)3, 0, 16);            /* nothing is anywhere */
	ProbeForRead((PVOID)(MmUserProbeAddress - 4), 4, 4); /* reads nothing: no such memory */
	assert_true(word == 0x0123456789abcdef);
	expect_death(probe_misaligned, "ProbeForRead raises 0x80000002");
	expect_death(probe_beyond, "ProbeForRead raises 0xC0000005");
	expect_death(probe_around, "ProbeForWrite raises 0xC0000005");
	expect_misuse(probe_by_threes, "1, 2, 4, 8 or 16");
	expect_misuse(probe_at_dispatch, "ProbeForRead");
}

static volatile sig_atomic_t faults;
static sigjmp_buf after;

static void on_fault(int signal)
{
	faults++;
	siglongjmp(after, 1);
}

/* Each page is written, with what it holds: the last of three is read-only. */
static void a_probe_for_write_tries_each_page(void **state)
{
	const struct sigaction action = { .sa_handler = on_fault };
	struct sigaction before[2];
	char *pages = mmap(NULL, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                   -1, 0);

	assert_true(pages != MAP_FAILED);
	memset(pages, 0x5a, 3 * PAGE_SIZE);
	assert_int_equal(mprotect(pages + 2 * PAGE_SIZE, PAGE_SIZE, PROT_READ), 0);
	sigaction(SIGSEGV, &action, &before[0]);
	sigaction(SIGBUS, &action, &before[1]);
	if (!sigsetjmp(after, 1))
		ProbeForWrite(pages + 100, 2 * PAGE_SIZE - 100, 4);
	assert_int_equal(faults, 0);
	if (!sigsetjmp(after, 1))
		ProbeForWrite(pages + 100, 2 * PAGE_SIZE - 99, 4);
	sigaction(SIGSEGV, &before[0], NULL);
	sigaction(SIGBUS, &before[1], NULL);
	assert_int_equal(faults, 1);
	for (size_t i = 0; i < 3 * PAGE_SIZE; i++)
		assert_int_equal(pages[i], 0x5a);
	munmap(pages, 3 * PAGE_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_run_in_their_order),
		cmocka_unit_test(a_finally_is_not_skipped_in_silence),
		cmocka_unit_test(what_is_raised_stops_the_process),
		cmocka_unit_test(probes_refuse_what_no_program_has),
		cmocka_unit_test(a_probe_for_write_tries_each_page),
	};

	return RUN(tests);
}
