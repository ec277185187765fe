/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_NTINTSAFE_H
#define NT_NTINTSAFE_H

#include "ntstatus.h"

/* Arithmetic that says when it overflows: STATUS_SUCCESS, or STATUS_INTEGER_OVERFLOW and a result
 * of all ones. Any IRQL. */

#define NT_INTSAFE(name, type)               \
	NT_INTSAFE_ONE(name, type, Add, add) \
	NT_INTSAFE_ONE(name, type, Sub, sub) \
	NT_INTSAFE_ONE(name, type, Mult, mul)
#define NT_INTSAFE_ONE(name, type, Operation, operation)                        \
	FORCEINLINE NTSTATUS Rtl##name##Operation(type a, type b, type *result) \
	{                                                                       \
		if (!__builtin_##operation##_overflow(a, b, result))            \
			return STATUS_SUCCESS;                                  \
		*result = (type) ~(type)0;                                      \
		return STATUS_INTEGER_OVERFLOW;                                 \
	}
/* From one type to another that may be too small. */
#define NT_INTSAFE_TO(from, from_type, to, to_type)                              \
	FORCEINLINE NTSTATUS Rtl##from##To##to(from_type value, to_type *result) \
	{                                                                        \
		if (!__builtin_add_overflow(value, 0, result))                   \
			return STATUS_SUCCESS;                                   \
		*result = (to_type) ~(to_type)0;                                 \
		return STATUS_INTEGER_OVERFLOW;                                  \
	}

NT_INTSAFE(UInt8, UINT8)
NT_INTSAFE(UShort, USHORT)
NT_INTSAFE(UInt, UINT)
NT_INTSAFE(ULong, ULONG)
NT_INTSAFE(ULongLong, ULONGLONG)
NT_INTSAFE(ULongPtr, ULONG_PTR)
NT_INTSAFE(UIntPtr, UINT_PTR)
NT_INTSAFE(SizeT, SIZE_T)
NT_INTSAFE(SIZET, SIZE_T)
NT_INTSAFE(UInt32, UINT32)
NT_INTSAFE(UInt64, UINT64)
NT_INTSAFE(Long, LONG)
NT_INTSAFE(LongLong, LONGLONG)

NT_INTSAFE_TO(ULong, ULONG, UShort, USHORT)
NT_INTSAFE_TO(ULong, ULONG, UChar, UCHAR)
NT_INTSAFE_TO(ULong, ULONG, Long, LONG)
NT_INTSAFE_TO(Long, LONG, ULong, ULONG)
NT_INTSAFE_TO(ULongLong, ULONGLONG, ULong, ULONG)
NT_INTSAFE_TO(ULongLong, ULONGLONG, LongLong, LONGLONG)
NT_INTSAFE_TO(ULongLong, ULONGLONG, UShort, USHORT)
NT_INTSAFE_TO(LongLong, LONGLONG, ULong, ULONG)
NT_INTSAFE_TO(LongLong, LONGLONG, Long, LONG)
NT_INTSAFE_TO(SizeT, SIZE_T, ULong, ULONG)
NT_INTSAFE_TO(SIZET, SIZE_T, ULong, ULONG)
NT_INTSAFE_TO(SizeT, SIZE_T, UShort, USHORT)
NT_INTSAFE_TO(SizeT, SIZE_T, Long, LONG)
NT_INTSAFE_TO(SizeT, SIZE_T, UInt32, UINT32)
NT_INTSAFE_TO(ULongLong, ULONGLONG, SizeT, SIZE_T)
NT_INTSAFE_TO(Int, INT, UShort, USHORT)
NT_INTSAFE_TO(UInt, UINT, UShort, USHORT)
NT_INTSAFE_TO(ULongPtr, ULONG_PTR, ULong, ULONG)
NT_INTSAFE_TO(UShort, USHORT, UChar, UCHAR)

#undef NT_INTSAFE
#undef NT_INTSAFE_ONE
#undef NT_INTSAFE_TO

#endif
