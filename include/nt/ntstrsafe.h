/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_NTSTRSAFE_H
#define NT_NTSTRSAFE_H

#include "wdm.h"

EXTERN_C_START

/*
 * Strings in buffers whose size is told: Cb functions count bytes, Cch functions characters, N
 * functions take at most so many of the source. The result is always ended by a NUL.
 * STATUS_SUCCESS; STATUS_BUFFER_OVERFLOW: cut to what fits; STATUS_INVALID_PARAMETER: a size of 0
 * or above NTSTRSAFE_MAX_CCH, or the destination of Cat, or the string of Length, does not end
 * within its size. Formats are those of DbgPrint; in a wide format %s is wide and %S narrow. Any
 * IRQL.
 */
#define NTSTRSAFE_MAX_CCH                2147483647
#define NTSTRSAFE_UNICODE_STRING_MAX_CCH (0xffff / sizeof(WCHAR))

NTSYSAPI NTSTATUS RtlStringCchLengthA(_In_ PCSTR s, _In_ size_t max, _Out_opt_ size_t *length);
NTSYSAPI NTSTATUS RtlStringCchCopyNA(_Out_writes_(size) CHAR *to, _In_ size_t size, _In_ PCSTR from,
                                     _In_ size_t max);
NTSYSAPI NTSTATUS RtlStringCchCatNA(_Inout_updates_z_(size) CHAR *to, _In_ size_t size,
                                    _In_ PCSTR from, _In_ size_t max);
NTSYSAPI NTSTATUS RtlStringCchVPrintfA(_Out_writes_(size) CHAR *to, _In_ size_t size,
                                       _In_ PCSTR format, _In_ va_list arguments);
NTSYSAPI NTSTATUS RtlStringCchPrintfA(_Out_writes_(size) CHAR *to, _In_ size_t size,
                                      _In_ PCSTR format, ...);
NTSYSAPI NTSTATUS RtlStringCbPrintfA(_Out_writes_bytes_(size) CHAR *to, _In_ size_t size,
                                     _In_ PCSTR format, ...);

NTSYSAPI NTSTATUS RtlStringCchLengthW(_In_ PCWSTR s, _In_ size_t max, _Out_opt_ size_t *length);
NTSYSAPI NTSTATUS RtlStringCchCopyNW(_Out_writes_(size) WCHAR *to, _In_ size_t size,
                                     _In_ PCWSTR from, _In_ size_t max);
NTSYSAPI NTSTATUS RtlStringCchCatNW(_Inout_updates_z_(size) WCHAR *to, _In_ size_t size,
                                    _In_ PCWSTR from, _In_ size_t max);
NTSYSAPI NTSTATUS RtlStringCchVPrintfW(_Out_writes_(size) WCHAR *to, _In_ size_t size,
                                       _In_ PCWSTR format, _In_ va_list arguments);
NTSYSAPI NTSTATUS RtlStringCchPrintfW(_Out_writes_(size) WCHAR *to, _In_ size_t size,
                                      _In_ PCWSTR format, ...);
NTSYSAPI NTSTATUS RtlStringCbPrintfW(_Out_writes_bytes_(size) WCHAR *to, _In_ size_t size,
                                     _In_ PCWSTR format, ...);

FORCEINLINE NTSTATUS RtlStringCchCopyA(CHAR *to, size_t size, PCSTR from)
{
	return RtlStringCchCopyNA(to, size, from, NTSTRSAFE_MAX_CCH);
}
FORCEINLINE NTSTATUS RtlStringCchCatA(CHAR *to, size_t size, PCSTR from)
{
	return RtlStringCchCatNA(to, size, from, NTSTRSAFE_MAX_CCH);
}
FORCEINLINE NTSTATUS RtlStringCbCopyA(CHAR *to, size_t size, PCSTR from)
{
	return RtlStringCchCopyNA(to, size, from, NTSTRSAFE_MAX_CCH);
}
FORCEINLINE NTSTATUS RtlStringCbCopyNA(CHAR *to, size_t size, PCSTR from, size_t max)
{
	return RtlStringCchCopyNA(to, size, from, max);
}
FORCEINLINE NTSTATUS RtlStringCbCatA(CHAR *to, size_t size, PCSTR from)
{
	return RtlStringCchCatNA(to, size, from, NTSTRSAFE_MAX_CCH);
}
FORCEINLINE NTSTATUS RtlStringCbCatNA(CHAR *to, size_t size, PCSTR from, size_t max)
{
	return RtlStringCchCatNA(to, size, from, max);
}
FORCEINLINE NTSTATUS RtlStringCbLengthA(PCSTR s, size_t max, size_t *length)
{
	NTSTATUS status = RtlStringCchLengthA(s, max, length);

	if (length)
		*length *= sizeof(CHAR);
	return status;
}
FORCEINLINE NTSTATUS RtlStringCbVPrintfA(CHAR *to, size_t size, PCSTR format, va_list arguments)
{
	return RtlStringCchVPrintfA(to, size, format, arguments);
}

FORCEINLINE NTSTATUS RtlStringCchCopyW(WCHAR *to, size_t size, PCWSTR from)
{
	return RtlStringCchCopyNW(to, size, from, NTSTRSAFE_MAX_CCH);
}
FORCEINLINE NTSTATUS RtlStringCchCatW(WCHAR *to, size_t size, PCWSTR from)
{
	return RtlStringCchCatNW(to, size, from, NTSTRSAFE_MAX_CCH);
}
FORCEINLINE NTSTATUS RtlStringCbCopyW(WCHAR *to, size_t size, PCWSTR from)
{
	return RtlStringCchCopyNW(to, size / sizeof(WCHAR), from, NTSTRSAFE_MAX_CCH);
}
FORCEINLINE NTSTATUS RtlStringCbCopyNW(WCHAR *to, size_t size, PCWSTR from, size_t max)
{
	return RtlStringCchCopyNW(to, size / sizeof(WCHAR), from, max / sizeof(WCHAR));
}
FORCEINLINE NTSTATUS RtlStringCbCatW(WCHAR *to, size_t size, PCWSTR from)
{
	return RtlStringCchCatNW(to, size / sizeof(WCHAR), from, NTSTRSAFE_MAX_CCH);
}
FORCEINLINE NTSTATUS RtlStringCbCatNW(WCHAR *to, size_t size, PCWSTR from, size_t max)
{
	return RtlStringCchCatNW(to, size / sizeof(WCHAR), from, max / sizeof(WCHAR));
}
FORCEINLINE NTSTATUS RtlStringCbLengthW(PCWSTR s, size_t max, size_t *length)
{
	NTSTATUS status = RtlStringCchLengthW(s, max / sizeof(WCHAR), length);

	if (length)
		*length *= sizeof(WCHAR);
	return status;
}
FORCEINLINE NTSTATUS RtlStringCbVPrintfW(WCHAR *to, size_t size, PCWSTR format, va_list arguments)
{
	return RtlStringCchVPrintfW(to, size / sizeof(WCHAR), format, arguments);
}

/* UNICODE_STRINGs: up to MaximumLength, no NUL. STATUS_SUCCESS; STATUS_BUFFER_OVERFLOW: cut. */

/* STATUS_INVALID_PARAMETER: longer than a string can be. */
NTSYSAPI NTSTATUS RtlUnicodeStringInit(_Out_ PUNICODE_STRING string, _In_opt_ PCWSTR source);
NTSYSAPI NTSTATUS RtlUnicodeStringCopy(_Inout_ PUNICODE_STRING to, _In_ PCUNICODE_STRING from);
NTSYSAPI NTSTATUS RtlUnicodeStringCat(_Inout_ PUNICODE_STRING to, _In_ PCUNICODE_STRING from);
NTSYSAPI NTSTATUS RtlUnicodeStringCopyString(_Inout_ PUNICODE_STRING to, _In_ PCWSTR from);
NTSYSAPI NTSTATUS RtlUnicodeStringCatString(_Inout_ PUNICODE_STRING to, _In_ PCWSTR from);
NTSYSAPI NTSTATUS RtlUnicodeStringPrintf(_Inout_ PUNICODE_STRING to, _In_ PCWSTR format, ...);
NTSYSAPI NTSTATUS RtlUnicodeStringVPrintf(_Inout_ PUNICODE_STRING to, _In_ PCWSTR format,
                                          _In_ va_list arguments);

EXTERN_C_END

#endif
