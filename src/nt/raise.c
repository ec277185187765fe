/* SPDX-License-Identifier: BSD-2-Clause */

/* What raises an exception where there are exceptions. Statuses and their order as documented for
 * ProbeForRead and ProbeForWrite in windows-driver-docs-ddi, wdm. */

#include "private.h"

void kmcl_finally_skipped(void)
{
	nt_die("a __try with a __finally was left by return, goto, break or continue, which would "
	       "skip the second block: use __leave");
}

static DECLSPEC_NORETURN void raise_in(const char *function, const volatile void *address,
                                       NTSTATUS status)
{
	nt_die("%s raises 0x%08X for %p, and there are no exceptions", function, (unsigned)status,
	       (void *)(uintptr_t)address);
}

void ExRaiseStatus(NTSTATUS status)
{
	nt_die("ExRaiseStatus raises 0x%08X, and there are no exceptions", (unsigned)status);
}

void ExRaiseAccessViolation(void)
{
	ExRaiseStatus(STATUS_ACCESS_VIOLATION);
}

void ExRaiseDatatypeMisalignment(void)
{
	ExRaiseStatus(STATUS_DATATYPE_MISALIGNMENT);
}

static bool probe(const char *function, const volatile void *address, SIZE_T length,
                  ULONG alignment)
{
	uintptr_t start = (uintptr_t)address, end;

	if (!nt_irql_at_most(APC_LEVEL, function, NULL))
		return false;
	if (alignment > 16 || !alignment || (alignment & (alignment - 1))) {
		nt_misuse(function, NULL, "the alignment is 1, 2, 4, 8 or 16");
		return false;
	}
	if (!length)
		return false;
	if (start & (alignment - 1))
		raise_in(function, address, STATUS_DATATYPE_MISALIGNMENT);
	if (__builtin_add_overflow(start, length, &end) || end > MmUserProbeAddress)
		raise_in(function, address, STATUS_ACCESS_VIOLATION);
	return true;
}

void ProbeForRead(const volatile void *address, SIZE_T length, ULONG alignment)
{
	probe(__func__, address, length, alignment);
}

/*
 * Writes what is there: atomically, as another thread may be writing too, and not with an "or" of
 * 0, which clang makes a load.
 */
static void touch(volatile uint8_t *byte)
{
	uint8_t value = __atomic_load_n(byte, __ATOMIC_RELAXED);

	__atomic_compare_exchange_n(byte, &value, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

void ProbeForWrite(volatile void *address, SIZE_T length, ULONG alignment)
{
	uintptr_t start = (uintptr_t)address, page;

	if (!probe(__func__, address, length, alignment))
		return;
	for (page = start; page - start < length; page = (page | (PAGE_SIZE - 1)) + 1)
		touch((volatile uint8_t *)page);
}
