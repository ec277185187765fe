/* SPDX-License-Identifier: BSD-2-Clause */

/* only: msvc. What is MSVC's own, and works with the line that docs/drivers.md gives for it. */
#include <ntddk.h>

#pragma warning(push)
#pragma warning(disable : 4201 4127)
#pragma comment(lib, "wdmsec.lib")

typedef struct _HEAD {
	ULONG Type;
	ULONG Size;
} HEAD;

typedef struct _BODY {
#ifdef __cplusplus
	HEAD Head;
#else
	HEAD; /* the members of a named type, without a name */
#endif
	PVOID Data;
} BODY, *PBODY;

#pragma warning(pop)

#ifdef __cplusplus
#define TYPE(b) (b)->Head.Type
#else
#define TYPE(b) (b)->Type
#endif

__declspec(noinline) static ULONG __stdcall Old(PBODY body)
{
	return TYPE(body);
}

__declspec(align(16)) static LONG Aligned;
__declspec(selectany) ULONG Once = 1;

ULONG Msvc(PBODY body);
ULONG Msvc(PBODY body)
{
	unsigned __int64 wide = 0x100000000ui64;
	__int64 signed_wide = 5i64;

	NT_ASSERT(((ULONG_PTR)&Aligned & 15) == 0);
	return Old(body) + (ULONG)(wide >> 32) + (ULONG)signed_wide + Once;
}
