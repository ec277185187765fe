/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_RTL_H
#define NT_WDM_RTL_H

#include "../ntstatus.h"
#include "irql.h"

EXTERN_C_START

/* ---- memory. Any IRQL ---- */

#define RtlCopyMemory(to, from, n)            memcpy((to), (from), (n))
#define RtlMoveMemory(to, from, n)            memmove((to), (from), (n))
#define RtlZeroMemory(p, n)                   memset((p), 0, (n))
#define RtlFillMemory(p, n, byte)             memset((p), (byte), (n))
#define RtlEqualMemory(a, b, n)               (memcmp((a), (b), (n)) == 0)
#define RtlCopyMemoryNonTemporal(to, from, n) RtlCopyMemory(to, from, n)
#define RtlCopyBytes(to, from, n)             RtlCopyMemory(to, from, n)
#define RtlZeroBytes(p, n)                    RtlZeroMemory(p, n)
#define RtlFillBytes(p, n, byte)              RtlFillMemory(p, n, byte)
/* Zeroes, even if nobody reads it any more. */
FORCEINLINE PVOID RtlSecureZeroMemory(_Out_writes_bytes_(n) PVOID p, _In_ SIZE_T n)
{
	memset(p, 0, n);
	__asm__ volatile("" : : "r"(p) : "memory");
	return p;
}
/* How many bytes are equal up to the first difference. */
NTSYSAPI SIZE_T RtlCompareMemory(_In_ const void *a, _In_ const void *b, _In_ SIZE_T n);
/* Is it all `byte`? */
NTSYSAPI BOOLEAN RtlIsZeroMemory(_In_ const void *p, _In_ SIZE_T n);

/* ---- strings. PASSIVE_LEVEL where case is ignored or the encoding changes, else any ---- */

#ifdef __cplusplus
EXTERN_C_END
static inline PCHAR nt_writable(const char *s)
{
	return const_cast<PCHAR>(s);
}
static inline PWCH nt_writable(const WCHAR *s)
{
	return const_cast<PWCH>(s);
}
EXTERN_C_START
#define RTL_CONSTANT_STRING(s)                                        \
	{                                                             \
		sizeof(s) - sizeof((s)[0]), sizeof(s), nt_writable(s) \
	}
#else
#define RTL_CONSTANT_STRING(s)                                                \
	{                                                                     \
		sizeof(s) - sizeof((s)[0]), sizeof(s), (void *)(uintptr_t)(s) \
	}
#endif
#define DECLARE_CONST_UNICODE_STRING(name, s)   \
	static const WCHAR name##_buffer[] = s; \
	const UNICODE_STRING name = RTL_CONSTANT_STRING(name##_buffer)
#define DECLARE_GLOBAL_CONST_UNICODE_STRING(name, s) \
	extern const UNICODE_STRING name;            \
	static const WCHAR name##_buffer[] = s;      \
	const UNICODE_STRING name = RTL_CONSTANT_STRING(name##_buffer)
#define DECLARE_UNICODE_STRING_SIZE(name, size) \
	WCHAR name##_buffer[size];              \
	UNICODE_STRING name = { 0, (size) * sizeof(WCHAR), name##_buffer }
#define RtlInitEmptyUnicodeString(string, buffer, size)                         \
	((string)->Buffer = (buffer), (string)->MaximumLength = (USHORT)(size), \
	 (string)->Length = 0)
#define RtlInitEmptyAnsiString(string, buffer, size)                            \
	((string)->Buffer = (buffer), (string)->MaximumLength = (USHORT)(size), \
	 (string)->Length = 0)

/* Makes `string` point at `source`, which ends in a NUL and is not copied; NULL: the empty string.
 * Cut at 32766 characters; the Ex form fails instead: STATUS_NAME_TOO_LONG. */
NTSYSAPI void RtlInitUnicodeString(_Out_ PUNICODE_STRING string, _In_opt_ PCWSTR source);
NTSYSAPI NTSTATUS RtlInitUnicodeStringEx(_Out_ PUNICODE_STRING string, _In_opt_ PCWSTR source);
NTSYSAPI void RtlInitAnsiString(_Out_ PANSI_STRING string, _In_opt_ PCSTR source);
#define RtlInitString(string, source) RtlInitAnsiString(string, source)
/* < 0, 0, > 0. Without case: as upper case of Latin, Greek and Cyrillic letters. */
NTSYSAPI LONG RtlCompareUnicodeString(_In_ PCUNICODE_STRING a, _In_ PCUNICODE_STRING b,
                                      _In_ BOOLEAN ignore_case);
NTSYSAPI BOOLEAN RtlEqualUnicodeString(_In_ PCUNICODE_STRING a, _In_ PCUNICODE_STRING b,
                                       _In_ BOOLEAN ignore_case);
/* Does `string` begin with `prefix`? */
NTSYSAPI BOOLEAN RtlPrefixUnicodeString(_In_ PCUNICODE_STRING prefix, _In_ PCUNICODE_STRING string,
                                        _In_ BOOLEAN ignore_case);
NTSYSAPI LONG RtlCompareString(_In_ const STRING *a, _In_ const STRING *b,
                               _In_ BOOLEAN ignore_case);
NTSYSAPI BOOLEAN RtlEqualString(_In_ const STRING *a, _In_ const STRING *b,
                                _In_ BOOLEAN ignore_case);
/* Copies as much as fits; NULL: the empty string. */
NTSYSAPI void RtlCopyUnicodeString(_Inout_ PUNICODE_STRING to, _In_opt_ PCUNICODE_STRING from);
NTSYSAPI void RtlCopyString(_Inout_ PSTRING to, _In_opt_ const STRING *from);
/* STATUS_SUCCESS; STATUS_BUFFER_TOO_SMALL: nothing appended. */
NTSYSAPI NTSTATUS RtlAppendUnicodeStringToString(_Inout_ PUNICODE_STRING to,
                                                 _In_ PCUNICODE_STRING from);
NTSYSAPI NTSTATUS RtlAppendUnicodeToString(_Inout_ PUNICODE_STRING to, _In_opt_ PCWSTR from);
NTSYSAPI WCHAR RtlUpcaseUnicodeChar(_In_ WCHAR c);
NTSYSAPI WCHAR RtlDowncaseUnicodeChar(_In_ WCHAR c);
/* Frees what another call here allocated. */
NTSYSAPI void RtlFreeUnicodeString(_Inout_ PUNICODE_STRING string);
NTSYSAPI void RtlFreeAnsiString(_Inout_ PANSI_STRING string);
/*
 * The ANSI code page is UTF-8. With `allocate` the destination's buffer is made, with a NUL at its
 * end; else the result must fit. STATUS_SUCCESS, STATUS_BUFFER_OVERFLOW, STATUS_NO_MEMORY,
 * STATUS_INVALID_PARAMETER_2: longer than a string can be. Ill-formed input becomes U+FFFD.
 */
NTSYSAPI NTSTATUS RtlAnsiStringToUnicodeString(_Inout_ PUNICODE_STRING to, _In_ PCANSI_STRING from,
                                               _In_ BOOLEAN allocate);
NTSYSAPI NTSTATUS RtlUnicodeStringToAnsiString(_Inout_ PANSI_STRING to, _In_ PCUNICODE_STRING from,
                                               _In_ BOOLEAN allocate);
/* The number in base 2, 8, 10, 16; 0: 10, or as 0x, 0o, 0b says. STATUS_INVALID_PARAMETER: base. */
NTSYSAPI NTSTATUS RtlUnicodeStringToInteger(_In_ PCUNICODE_STRING string, _In_ ULONG base,
                                            _Out_ PULONG value);
/* Base 0 is 10. STATUS_SUCCESS, STATUS_BUFFER_OVERFLOW, STATUS_INVALID_PARAMETER. */
NTSYSAPI NTSTATUS RtlIntegerToUnicodeString(_In_ ULONG value, _In_ ULONG base,
                                            _Inout_ PUNICODE_STRING string);
/* {XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX}, allocated: RtlFreeUnicodeString. STATUS_SUCCESS,
 * STATUS_INSUFFICIENT_RESOURCES. */
NTSYSAPI NTSTATUS RtlStringFromGUID(_In_ REFGUID guid, _Out_ PUNICODE_STRING string);
/* STATUS_SUCCESS, STATUS_INVALID_PARAMETER. */
NTSYSAPI NTSTATUS RtlGUIDFromString(_In_ PCUNICODE_STRING string, _Out_ GUID *guid);

/* ---- bits ---- */

#define RtlUshortByteSwap(x)    __builtin_bswap16(x)
#define RtlUlongByteSwap(x)     __builtin_bswap32(x)
#define RtlUlonglongByteSwap(x) __builtin_bswap64(x)

/* ---- debug output ---- */

#define DPFLTR_ERROR_LEVEL   0
#define DPFLTR_WARNING_LEVEL 1
#define DPFLTR_TRACE_LEVEL   2
#define DPFLTR_INFO_LEVEL    3
#define DPFLTR_MASK          0x80000000
#define DPFLTR_DEFAULT_ID    101
#define DPFLTR_IHVDRIVER_ID  77
#define DPFLTR_IHVBUS_ID     78
#define DPFLTR_IHVNETWORK_ID 81

/*
 * Writes to the log; `level` says how loud, DbgPrint is DPFLTR_INFO_LEVEL. The format is Windows':
 * %l is 32 bits, %ll and %I64 are 64, %I and %z as wide as a pointer, %ws and %S wide, %wZ and %Z a
 * string structure; no floating point. At most 512 bytes. Any IRQL for what needs no wide string.
 */
NTSYSAPI ULONG DbgPrint(_In_ PCSTR format, ...);
NTSYSAPI ULONG DbgPrintEx(_In_ ULONG component, _In_ ULONG level, _In_ PCSTR format, ...);
NTSYSAPI ULONG vDbgPrintEx(_In_ ULONG component, _In_ ULONG level, _In_ PCSTR format,
                           _In_ va_list arguments);
#if DBG
#define KdPrint(arguments)   DbgPrint arguments
#define KdPrintEx(arguments) DbgPrintEx arguments
#else
#define KdPrint(arguments)   ((void)0)
#define KdPrintEx(arguments) ((void)0)
#endif
/* Stops in a debugger. */
#define DbgBreakPoint() __builtin_trap()
#define KdBreakPoint()  ((void)0)
/* The kernel's debugger. */
#define KD_DEBUGGER_ENABLED     FALSE
#define KD_DEBUGGER_NOT_PRESENT TRUE

EXTERN_C_END

#endif
