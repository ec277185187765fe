/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_BASETSD_H
#define NT_BASETSD_H

#include <stddef.h>
#include <stdint.h>

/* Integer types with their size in the name, and those as wide as a pointer. */

/*
 * MSVC's own words. As macros, so that `unsigned __int64` works; also where clang has them as
 * keywords (-fms-extensions), as its __int64 is another type than INT64.
 */
#define __int8 char
#define __int16 short
#define __int32 int
#define __int64 __INT64_TYPE__

typedef int8_t INT8, *PINT8;
typedef int16_t INT16, *PINT16;
typedef int32_t INT32, *PINT32;
typedef int64_t INT64, *PINT64;
typedef uint8_t UINT8, *PUINT8;
typedef uint16_t UINT16, *PUINT16;
typedef uint32_t UINT32, *PUINT32;
typedef uint64_t UINT64, *PUINT64;
typedef int32_t LONG32, *PLONG32;
typedef uint32_t ULONG32, *PULONG32;
typedef uint32_t DWORD32, *PDWORD32;
typedef int64_t LONG64, *PLONG64;
typedef uint64_t ULONG64, *PULONG64;
typedef uint64_t DWORD64, *PDWORD64;

typedef intptr_t INT_PTR, *PINT_PTR;
typedef uintptr_t UINT_PTR, *PUINT_PTR;
typedef intptr_t LONG_PTR, *PLONG_PTR;
typedef uintptr_t ULONG_PTR, *PULONG_PTR;
typedef uintptr_t DWORD_PTR, *PDWORD_PTR;
typedef size_t SIZE_T, *PSIZE_T;
typedef intptr_t SSIZE_T, *PSSIZE_T;
typedef ULONG_PTR KAFFINITY, *PKAFFINITY;

#define HandleToULong(h) ((uint32_t)(uintptr_t)(h))
#define HandleToLong(h)  ((int32_t)(intptr_t)(h))
#define ULongToHandle(u) ((HANDLE)(uintptr_t)(uint32_t)(u))
#define LongToHandle(l)  ((HANDLE)(intptr_t)(int32_t)(l))
#define PtrToUlong(p)    ((uint32_t)(uintptr_t)(p))
#define PtrToLong(p)     ((int32_t)(intptr_t)(p))
#define UlongToPtr(u)    ((void *)(uintptr_t)(uint32_t)(u))
#define ULongToPtr(u)    UlongToPtr(u)
#define PtrToULong(p)    PtrToUlong(p)

#endif
