/* SPDX-License-Identifier: BSD-2-Clause */

/* What exceptions.c runs, compiled as C and, the same file, as C++. Each block that runs puts a
 * letter into a text. */
#include <ntddk.h>

#include "seh_blocks.h"

static VOID Say(PCHAR *Text, CHAR Letter)
{
	*(*Text)++ = Letter;
	**Text = 0;
}

VOID SEH_NAME(Except)(PCHAR Text)
{
	__try {
		Say(&Text, 'a');
	} __except (Say(&Text, 'f'), EXCEPTION_EXECUTE_HANDLER) {
		Say(&Text, 'x');
	}
	Say(&Text, 'z');
}

VOID SEH_NAME(Finally)(PCHAR Text)
{
	__try {
		Say(&Text, 'a');
	} __finally {
		Say(&Text, AbnormalTermination() ? 'x' : 'b');
	}
	Say(&Text, 'z');
}

VOID SEH_NAME(Leave)(PCHAR Text)
{
	int i;

	__try {
		for (i = 0; i < 9; i++) {
			Say(&Text, 'a');
			__try {
				if (i == 1)
					__leave;
				Say(&Text, 'i');
			} __finally {
				Say(&Text, 'j');
			}
			if (i == 2)
				__leave;
		}
		Say(&Text, 'x');
	} __finally {
		Say(&Text, 'b');
	}
	Say(&Text, 'z');
}

/* Out of an __except's block any way will do, and it is one statement. */
VOID SEH_NAME(Ways)(PCHAR Text)
{
	int i;

	for (i = 0; i < 9; i++)
		__try {
			Say(&Text, 'a');
			if (i == 0)
				continue;
			if (i == 1)
				break;
			Say(&Text, 'x');
		} __except (EXCEPTION_EXECUTE_HANDLER) {
			Say(&Text, 'y');
		}
	if (i == 7)
		__try {
			Say(&Text, 'x');
		} __finally {
			Say(&Text, 'y');
		}
	else
		Say(&Text, 'e');
	__try {
		goto out;
	} __except (EXCEPTION_EXECUTE_HANDLER) {
		Say(&Text, 'x');
	}
	Say(&Text, 'x');
out:
	__try {
		Say(&Text, 'z');
		return;
	} __except (EXCEPTION_EXECUTE_HANDLER) {
		Say(&Text, 'x');
	}
	Say(&Text, 'x');
}

VOID SEH_NAME(Skips)(PCHAR Text)
{
	__try {
		Say(&Text, 'a');
		return;
	} __finally {
		Say(&Text, 'b');
	}
}
