/* SPDX-License-Identifier: BSD-2-Clause */

/* What the kit's compiler defines, and MSVC's names for the sizes of integers. */
#include <wdm.h>

#if !defined(_KERNEL_MODE) || _KERNEL_MODE != 1
#error "kernel mode"
#endif
#if defined(_AMD64_) + defined(_ARM64_) != 1
#error "no processor, or two"
#endif
/* these are for who asks for them: headers of other libraries look at them too */
#if defined(_WIN32) || defined(_WIN64) || defined(_MSC_VER)
#error "not Windows"
#endif

typedef unsigned __int8 BYTE8;
typedef unsigned __int16 WORD16;
typedef unsigned __int32 WORD32;
typedef unsigned __int64 WORD64;
C_ASSERT(sizeof(BYTE8) == 1 && sizeof(WORD16) == 2 && sizeof(WORD32) == 4 && sizeof(WORD64) == 8);
C_ASSERT(sizeof(__int8) == 1 && sizeof(__int16) == 2 && sizeof(signed __int32) == 4);

C_ASSERT(MAXUINT16 == 0xffff && MAXINT64 == MAXLONGLONG && MININT8 == -128);

VOID Words(unsigned __int64 *a, __int64 *b, unsigned __int32 *c, unsigned __int16 *d);
VOID Words(unsigned __int64 *a, __int64 *b, unsigned __int32 *c, unsigned __int16 *d)
{
	/* the same types, not only as large */
	PULONG64 a64 = a;
	PLONGLONG b64 = b;
	PULONG c32 = c;
	PUSHORT d16 = d;

	*a64 = (unsigned __int64)*b64 + *c32 + *d16;
}

/* no semicolon, as it is a block on Windows */
BOOLEAN Paged(VOID);
BOOLEAN Paged(VOID)
{
	PAGED_CODE()

	return KD_DEBUGGER_NOT_PRESENT && !KeAreAllApcsDisabled();
}
