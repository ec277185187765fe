/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_NT_SEH_BLOCKS_H
#define TESTS_NT_SEH_BLOCKS_H

#ifndef SEH_NAME
#define SEH_NAME(name) Seh##name
#endif

EXTERN_C_START
VOID SEH_NAME(Except)(PCHAR Text);
VOID SEH_NAME(Finally)(PCHAR Text);
VOID SEH_NAME(Leave)(PCHAR Text);
VOID SEH_NAME(Ways)(PCHAR Text);
VOID SEH_NAME(Skips)(PCHAR Text);
EXTERN_C_END

#endif
