/* SPDX-License-Identifier: BSD-2-Clause */

/* FORCEINLINE where drivers put it. */
#include <ntddk.h>

FORCEINLINE ULONG Plain(ULONG n)
{
	return n + 1;
}

static FORCEINLINE ULONG Static(ULONG n)
{
	return Plain(n) + 1;
}

FORCEINLINE static ULONG StaticBehind(ULONG n)
{
	return Static(n) + 1;
}

static __forceinline ULONG Word(ULONG n)
{
	return StaticBehind(n) + 1;
}

__forceinline ULONG WordAlone(ULONG n)
{
	return Plain(n) + 1;
}

EXTERN_C_START
FORCEINLINE VOID Declared(PLIST_ENTRY head, PLIST_ENTRY entry, PLONG count);
EXTERN_C_END

/* one that uses those of the headers: as it is not static itself, theirs may not be either */
FORCEINLINE VOID Declared(PLIST_ENTRY head, PLIST_ENTRY entry, PLONG count)
{
	InsertTailList(head, entry);
	InterlockedIncrement(count);
}

ULONG Uses(PLIST_ENTRY head, PLIST_ENTRY entry, PLONG count);
ULONG Uses(PLIST_ENTRY head, PLIST_ENTRY entry, PLONG count)
{
	Declared(head, entry, count);
	return Word(1) + WordAlone(2);
}
