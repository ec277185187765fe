/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_NTDEF_H
#define NT_NTDEF_H

/*
 * The basic types of NT code. ULONG is 32 bits and WCHAR 16 whatever the C compiler thinks of long
 * and wchar_t; the latter needs -fshort-wchar, which `pkg-config --cflags kmcl` gives.
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "basetsd.h"
#include "guiddef.h"
#include "sal.h"

/*
 * What the driver kit's build defines. Not _WIN32, _WIN64 or _M_X64: other libraries' headers take
 * the first two for Windows; who wants _WIN64 says so to the compiler.
 */
#ifndef _KERNEL_MODE
#define _KERNEL_MODE 1
#endif
#if defined(__x86_64__) && !defined(_AMD64_)
#define _AMD64_
#elif defined(__aarch64__) && !defined(_ARM64_)
#define _ARM64_
#endif

#ifdef __cplusplus
#define EXTERN_C       extern "C"
#define EXTERN_C_START extern "C" {
#define EXTERN_C_END   }
#define C_ASSERT(e)    static_assert(e, #e)
#else
#define EXTERN_C extern
#define EXTERN_C_START
#define EXTERN_C_END
#define C_ASSERT(e) _Static_assert(e, #e)
#endif

/* A function this library exports. */
#define NTKERNELAPI __attribute__((visibility("default")))
#define NTSYSAPI    NTKERNELAPI
#define NTHALAPI    NTKERNELAPI
#define DECLSPEC_IMPORT
#define DECLSPEC_NORETURN   __attribute__((noreturn))
#define DECLSPEC_NOINLINE   __attribute__((noinline))
#define DECLSPEC_ALIGN(n)   __attribute__((aligned(n)))
#define DECLSPEC_SELECTANY  __attribute__((weak))
#define DECLSPEC_CACHEALIGN DECLSPEC_ALIGN(64)
#define DECLSPEC_DEPRECATED __attribute__((deprecated))

/* There is one calling convention. */
#define NTAPI
#define FASTCALL
#define NTAPI_INLINE
#define __cdecl
#define __stdcall
#define __fastcall
#define APIENTRY
#define CALLBACK

/*
 * Without `static`, as drivers write that themselves where they want it. It has no other place to
 * go in C: clang keeps such a function to its file; with gcc it is C's own inline, so where its
 * address is taken there must be a definition, which the library has for the functions of these
 * headers.
 */
#ifndef FORCEINLINE
#if defined(__clang__) && !defined(__cplusplus)
#define FORCEINLINE inline __attribute__((always_inline, internal_linkage, unused))
#else
#define FORCEINLINE inline __attribute__((always_inline))
#endif
#endif
#define CFORCEINLINE FORCEINLINE
#undef __forceinline
#define __forceinline FORCEINLINE

#define IN
#define OUT
#define OPTIONAL
#define CONST              const
#define UNALIGNED          __attribute__((aligned(1)))
#define RESTRICTED_POINTER __restrict
#define POINTER_64
#define POINTER_32

#ifndef VOID
#define VOID void
#endif
typedef void *PVOID, **PPVOID;
typedef void *HANDLE, **PHANDLE;
typedef const void *LPCVOID, *PCVOID;

typedef char CHAR, *PCHAR, *PCH, *PSTR, *PSZ, *LPSTR;
typedef const char *PCSTR, *PCCH, *PCSZ, *LPCSTR;
typedef signed char SCHAR, *PSCHAR;
typedef uint8_t UCHAR, *PUCHAR;
typedef const uint8_t *PCUCHAR;
typedef uint8_t BYTE, *PBYTE;
typedef uint8_t BOOLEAN, *PBOOLEAN;
typedef int16_t SHORT, *PSHORT, CSHORT;
typedef uint16_t USHORT, *PUSHORT;
typedef uint16_t WORD, *PWORD;
typedef int INT, *PINT;
typedef unsigned int UINT, *PUINT;
typedef int32_t LONG, *PLONG;
typedef uint32_t ULONG, *PULONG;
typedef const uint32_t *PCULONG;
typedef uint32_t DWORD, *PDWORD;
typedef int64_t LONGLONG, *PLONGLONG;
typedef uint64_t ULONGLONG, *PULONGLONG;
typedef uint64_t DWORDLONG, *PDWORDLONG;
typedef LONGLONG USN;
typedef int32_t BOOL, *PBOOL;
typedef int32_t HRESULT;
typedef LONG NTSTATUS, *PNTSTATUS;
typedef CHAR CCHAR, *PCCHAR;
typedef ULONG LOGICAL, *PLOGICAL;

typedef wchar_t WCHAR, *PWCHAR, *PWCH, *PWSTR, *LPWSTR, *NWPSTR;
typedef const wchar_t *PCWCH, *PCWSTR, *LPCWSTR, *LPCWCH;
typedef PWSTR *PZPWSTR;
C_ASSERT(sizeof(WCHAR) == 2); /* compile with -fshort-wchar: pkg-config --cflags kmcl */
C_ASSERT(sizeof(PVOID) == 8); /* 64-bit only: a PFN or a handle does not fit otherwise */

typedef UCHAR KIRQL, *PKIRQL;
typedef LONG KPRIORITY;
typedef CCHAR KPROCESSOR_MODE;
typedef ULONGLONG REGHANDLE, *PREGHANDLE;
typedef ULONG ACCESS_MASK, *PACCESS_MASK;

#ifndef TRUE
#define TRUE 1
#endif
#ifndef FALSE
#define FALSE 0
#endif
#ifndef NULL64
#define NULL64 0
#endif

#define MINCHAR                  0x80
#define MAXCHAR                  0x7f
#define MINSHORT                 0x8000
#define MAXSHORT                 0x7fff
#define MINLONG                  0x80000000
#define MAXLONG                  0x7fffffff
#define MAXUINT8                 UINT8_MAX
#define MAXINT8                  INT8_MAX
#define MININT8                  INT8_MIN
#define MAXUINT16                UINT16_MAX
#define MAXINT16                 INT16_MAX
#define MININT16                 INT16_MIN
#define MAXUINT32                UINT32_MAX
#define MAXINT32                 INT32_MAX
#define MININT32                 INT32_MIN
#define MAXUINT64                UINT64_MAX
#define MAXINT64                 INT64_MAX
#define MININT64                 INT64_MIN
#define MAXUCHAR                 0xff
#define MAXUSHORT                0xffff
#define MAXULONG                 0xffffffffU
#define MAXLONGLONG              INT64_C(0x7fffffffffffffff)
#define MAXULONGLONG             UINT64_C(0xffffffffffffffff)
#define MAXULONG_PTR             UINTPTR_MAX
#define MAXSIZE_T                SIZE_MAX
#define UNICODE_NULL             ((WCHAR)0)
#define ANSI_NULL                ((CHAR)0)
#define UNICODE_STRING_MAX_BYTES ((USHORT)65534)
#define UNICODE_STRING_MAX_CHARS (32767)

typedef union _LARGE_INTEGER {
	__extension__ struct {
		ULONG LowPart;
		LONG HighPart;
	};
	struct {
		ULONG LowPart;
		LONG HighPart;
	} u;
	LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;

typedef union _ULARGE_INTEGER {
	__extension__ struct {
		ULONG LowPart;
		ULONG HighPart;
	};
	struct {
		ULONG LowPart;
		ULONG HighPart;
	} u;
	ULONGLONG QuadPart;
} ULARGE_INTEGER, *PULARGE_INTEGER;

typedef LARGE_INTEGER PHYSICAL_ADDRESS, *PPHYSICAL_ADDRESS;
typedef struct _LUID {
	ULONG LowPart;
	LONG HighPart;
} LUID, *PLUID;

/* Lengths in bytes; the buffer need not end in a NUL. */
typedef struct _UNICODE_STRING {
	USHORT Length;
	USHORT MaximumLength;
	PWCH Buffer;
} UNICODE_STRING, *PUNICODE_STRING;
typedef const UNICODE_STRING *PCUNICODE_STRING;

typedef struct _STRING {
	USHORT Length;
	USHORT MaximumLength;
	PCHAR Buffer;
} STRING, *PSTRING, ANSI_STRING, *PANSI_STRING, OEM_STRING, *POEM_STRING;
typedef const STRING *PCSTRING, *PCANSI_STRING, *PCOEM_STRING;
typedef STRING UTF8_STRING, *PUTF8_STRING;
typedef const STRING *PCUTF8_STRING;

typedef struct _LIST_ENTRY {
	struct _LIST_ENTRY *Flink;
	struct _LIST_ENTRY *Blink;
} LIST_ENTRY, *PLIST_ENTRY;

typedef struct _SINGLE_LIST_ENTRY {
	struct _SINGLE_LIST_ENTRY *Next;
} SINGLE_LIST_ENTRY, *PSINGLE_LIST_ENTRY;

typedef struct _OBJECT_ATTRIBUTES {
	ULONG Length;
	HANDLE RootDirectory;
	PUNICODE_STRING ObjectName;
	ULONG Attributes;
	PVOID SecurityDescriptor;
	PVOID SecurityQualityOfService;
} OBJECT_ATTRIBUTES, *POBJECT_ATTRIBUTES;
typedef const OBJECT_ATTRIBUTES *PCOBJECT_ATTRIBUTES;

#define OBJ_INHERIT          0x00000002
#define OBJ_PERMANENT        0x00000010
#define OBJ_EXCLUSIVE        0x00000020
#define OBJ_CASE_INSENSITIVE 0x00000040
#define OBJ_OPENIF           0x00000080
#define OBJ_KERNEL_HANDLE    0x00000200

#define InitializeObjectAttributes(p, name, attributes, root, descriptor) \
	do {                                                              \
		(p)->Length = sizeof(OBJECT_ATTRIBUTES);                  \
		(p)->RootDirectory = (root);                              \
		(p)->ObjectName = (name);                                 \
		(p)->Attributes = (attributes);                           \
		(p)->SecurityDescriptor = (descriptor);                   \
		(p)->SecurityQualityOfService = NULL;                     \
	} while (0)

typedef struct _CLIENT_ID {
	HANDLE UniqueProcess;
	HANDLE UniqueThread;
} CLIENT_ID, *PCLIENT_ID;

typedef enum _EVENT_TYPE { NotificationEvent, SynchronizationEvent } EVENT_TYPE;
typedef enum _TIMER_TYPE { NotificationTimer, SynchronizationTimer } TIMER_TYPE;
typedef enum _WAIT_TYPE { WaitAll, WaitAny } WAIT_TYPE;

/* Success and information are not negative; the two top bits are the severity. */
#define NT_SUCCESS(status)     (((NTSTATUS)(status)) >= 0)
#define NT_INFORMATION(status) ((((ULONG)(status)) >> 30) == 1)
#define NT_WARNING(status)     ((((ULONG)(status)) >> 30) == 2)
#define NT_ERROR(status)       ((((ULONG)(status)) >> 30) == 3)

#define FIELD_OFFSET(type, field)             ((LONG)offsetof(type, field))
#define UFIELD_OFFSET(type, field)            ((ULONG)offsetof(type, field))
#define RTL_FIELD_SIZE(type, field)           (sizeof(((type *)0)->field))
#define RTL_SIZEOF_THROUGH_FIELD(type, field) (offsetof(type, field) + RTL_FIELD_SIZE(type, field))
#define RTL_CONTAINS_FIELD(p, size, field) \
	((((PCHAR)(&(p)->field)) + sizeof((p)->field)) <= (((PCHAR)(p)) + (size)))
#define CONTAINING_RECORD(address, type, field) \
	((type *)((uintptr_t)(address) - (uintptr_t)offsetof(type, field)))

#define RTL_NUMBER_OF(a) (sizeof(a) / sizeof((a)[0]))
#ifndef ARRAYSIZE
#define ARRAYSIZE(a) RTL_NUMBER_OF(a)
#endif
#define _countof(a) RTL_NUMBER_OF(a)

#define UNREFERENCED_PARAMETER(p)          ((void)(p))
#define DBG_UNREFERENCED_PARAMETER(p)      ((void)(p))
#define DBG_UNREFERENCED_LOCAL_VARIABLE(v) ((void)(v))
#define DEFAULT_UNREACHABLE \
	default:            \
		__builtin_unreachable()

#define DECLARE_HANDLE(name) \
	struct name##__ {    \
		int unused;  \
	};                   \
	typedef struct name##__ *name

#define MAKELONG(low, high) ((LONG)(((ULONG)(USHORT)(high) << 16) | (USHORT)(low)))
#define LOWORD(l)           ((USHORT)((ULONG_PTR)(l)))
#define HIWORD(l)           ((USHORT)(((ULONG_PTR)(l)) >> 16))
#define LOBYTE(w)           ((UCHAR)((ULONG_PTR)(w)))
#define HIBYTE(w)           ((UCHAR)(((ULONG_PTR)(w)) >> 8))

#ifndef __cplusplus
#ifndef min
#define min(a, b) (((a) < (b)) ? (a) : (b))
#endif
#ifndef max
#define max(a, b) (((a) > (b)) ? (a) : (b))
#endif
#endif

#define ANYSIZE_ARRAY                1
#define ALIGN_DOWN_BY(length, to)    ((ULONG_PTR)(length) & ~((ULONG_PTR)(to)-1))
#define ALIGN_UP_BY(length, to)      (ALIGN_DOWN_BY(((ULONG_PTR)(length) + (to)-1), (to)))
#define ALIGN_DOWN(length, type)     ALIGN_DOWN_BY(length, sizeof(type))
#define ALIGN_UP(length, type)       ALIGN_UP_BY(length, sizeof(type))
#define ALIGN_DOWN_POINTER_BY(p, to) ((PVOID)ALIGN_DOWN_BY(p, to))
#define ALIGN_UP_POINTER_BY(p, to)   ((PVOID)ALIGN_UP_BY(p, to))

/* #pragma alloc_text and friends mean nothing here; code that asks first sees that. */

#endif
