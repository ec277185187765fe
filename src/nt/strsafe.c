/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

#include <ntstrsafe.h>

/* Strings in buffers of a known size: always ended by a NUL, never past the end. */

static bool size_is_valid(size_t size)
{
	return size > 0 && size <= NTSTRSAFE_MAX_CCH;
}

/* One set of functions for each kind of character. */
#define STRSAFE(SUFFIX, CHARACTER, STRING, FORMAT)                                              \
	static size_t length_in##SUFFIX(const CHARACTER *s, size_t max)                         \
	{                                                                                       \
		size_t n = 0;                                                                   \
                                                                                                \
		while (n < max && s[n])                                                         \
			n++;                                                                    \
		return n;                                                                       \
	}                                                                                       \
                                                                                                \
	NTSTATUS RtlStringCchLength##SUFFIX(STRING s, size_t max, size_t *length)               \
	{                                                                                       \
		size_t n = s && max <= NTSTRSAFE_MAX_CCH ? length_in##SUFFIX(s, max) : max;     \
		bool ended = n < max;                                                           \
                                                                                                \
		if (length)                                                                     \
			*length = ended ? n : 0;                                                \
		return ended ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;                       \
	}                                                                                       \
                                                                                                \
	NTSTATUS RtlStringCchCopyN##SUFFIX(CHARACTER *to, size_t size, STRING from, size_t max) \
	{                                                                                       \
		size_t n, fits;                                                                 \
                                                                                                \
		if (!size_is_valid(size))                                                       \
			return STATUS_INVALID_PARAMETER;                                        \
		if (max > NTSTRSAFE_MAX_CCH) {                                                  \
			to[0] = 0;                                                              \
			return STATUS_INVALID_PARAMETER;                                        \
		}                                                                               \
		n = from ? length_in##SUFFIX(from, max < size ? max : size) : 0;                \
		fits = n < size ? n : size - 1;                                                 \
		if (fits)                                                                       \
			memmove(to, from, fits * sizeof(CHARACTER));                            \
		to[fits] = 0;                                                                   \
		return fits == n ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;                     \
	}                                                                                       \
                                                                                                \
	NTSTATUS RtlStringCchCatN##SUFFIX(CHARACTER *to, size_t size, STRING from, size_t max)  \
	{                                                                                       \
		size_t used;                                                                    \
                                                                                                \
		if (!size_is_valid(size) || max > NTSTRSAFE_MAX_CCH)                            \
			return STATUS_INVALID_PARAMETER;                                        \
		used = length_in##SUFFIX(to, size);                                             \
		if (used == size)                                                               \
			return STATUS_INVALID_PARAMETER;                                        \
		return RtlStringCchCopyN##SUFFIX(to + used, size - used, from, max);            \
	}                                                                                       \
                                                                                                \
	NTSTATUS RtlStringCchVPrintf##SUFFIX(CHARACTER *to, size_t size, STRING format,         \
	                                     va_list arguments)                                 \
	{                                                                                       \
		size_t needed;                                                                  \
                                                                                                \
		if (!size_is_valid(size))                                                       \
			return STATUS_INVALID_PARAMETER;                                        \
		FORMAT(to, size, &needed, format, arguments);                                   \
		return needed < size ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;                 \
	}                                                                                       \
                                                                                                \
	NTSTATUS RtlStringCchPrintf##SUFFIX(CHARACTER *to, size_t size, STRING format, ...)     \
	{                                                                                       \
		NTSTATUS status;                                                                \
		va_list arguments;                                                              \
                                                                                                \
		va_start(arguments, format);                                                    \
		status = RtlStringCchVPrintf##SUFFIX(to, size, format, arguments);              \
		va_end(arguments);                                                              \
		return status;                                                                  \
	}                                                                                       \
                                                                                                \
	NTSTATUS RtlStringCbPrintf##SUFFIX(CHARACTER *to, size_t size, STRING format, ...)      \
	{                                                                                       \
		NTSTATUS status;                                                                \
		va_list arguments;                                                              \
                                                                                                \
		va_start(arguments, format);                                                    \
		status = RtlStringCchVPrintf##SUFFIX(to, size / sizeof(CHARACTER), format,      \
		                                     arguments);                                \
		va_end(arguments);                                                              \
		return status;                                                                  \
	}

STRSAFE(A, CHAR, PCSTR, nt_format)
STRSAFE(W, WCHAR, PCWSTR, nt_format_wide)

/* ---- UNICODE_STRINGs: no NUL needed, so as much as MaximumLength ---- */

static NTSTATUS append_cut(PUNICODE_STRING to, size_t at, const WCHAR *from, size_t characters)
{
	size_t room = to->MaximumLength / sizeof(WCHAR) - at;
	size_t fits = characters < room ? characters : room;

	if (fits)
		memmove(to->Buffer + at, from, fits * sizeof(WCHAR));
	to->Length = (USHORT)((at + fits) * sizeof(WCHAR));
	return fits == characters ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
}

NTSTATUS RtlUnicodeStringInit(PUNICODE_STRING string, PCWSTR source)
{
	return RtlInitUnicodeStringEx(string, source) == STATUS_SUCCESS ? STATUS_SUCCESS
	                                                                : STATUS_INVALID_PARAMETER;
}

NTSTATUS RtlUnicodeStringCopy(PUNICODE_STRING to, PCUNICODE_STRING from)
{
	return append_cut(to, 0, from->Buffer, from->Length / sizeof(WCHAR));
}

NTSTATUS RtlUnicodeStringCat(PUNICODE_STRING to, PCUNICODE_STRING from)
{
	return append_cut(to, to->Length / sizeof(WCHAR), from->Buffer,
	                  from->Length / sizeof(WCHAR));
}

NTSTATUS RtlUnicodeStringCopyString(PUNICODE_STRING to, PCWSTR from)
{
	return append_cut(to, 0, from, length_inW(from, UNICODE_STRING_MAX_CHARS));
}

NTSTATUS RtlUnicodeStringCatString(PUNICODE_STRING to, PCWSTR from)
{
	return append_cut(to, to->Length / sizeof(WCHAR), from,
	                  length_inW(from, UNICODE_STRING_MAX_CHARS));
}

/* The formatter ends with a NUL, which the string may have no room for: its last character is then
 * written by a second run over a copy that has. */
NTSTATUS RtlUnicodeStringVPrintf(PUNICODE_STRING to, PCWSTR format, va_list arguments)
{
	size_t room = to->MaximumLength / sizeof(WCHAR), needed;
	NTSTATUS status;
	WCHAR *copy;

	if (room == 0)
		return STATUS_BUFFER_OVERFLOW;
	to->Length = (USHORT)(nt_format_wide(to->Buffer, room, &needed, format, arguments) *
	                      sizeof(WCHAR));
	if (needed < room)
		return STATUS_SUCCESS;
	copy = nt_apart_allocate((room + 1) * sizeof(WCHAR), 'tmrF');
	if (!copy)
		return STATUS_BUFFER_OVERFLOW;
	room = nt_format_wide(copy, room + 1, &needed, format, arguments);
	status = append_cut(to, 0, copy, room);
	ExFreePool(copy);
	return needed == room ? status : STATUS_BUFFER_OVERFLOW;
}

NTSTATUS RtlUnicodeStringPrintf(PUNICODE_STRING to, PCWSTR format, ...)
{
	NTSTATUS status;
	va_list arguments;

	va_start(arguments, format);
	status = RtlUnicodeStringVPrintf(to, format, arguments);
	va_end(arguments);
	return status;
}
