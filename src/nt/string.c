/* SPDX-License-Identifier: BSD-2-Clause */

/* Counted strings, their case and their conversions. */

#include "private.h"

#include <stdlib.h>
#include <string.h>

#define STRING_MAX  0xfffe /* bytes that a counted string can hold */
#define REPLACEMENT 0xfffd
#define STRING_TAG  'grtS'

SIZE_T RtlCompareMemory(const void *a, const void *b, SIZE_T n)
{
	const uint8_t *x = a, *y = b;
	SIZE_T i = 0;

	while (i < n && x[i] == y[i])
		i++;
	return i;
}

BOOLEAN RtlIsZeroMemory(const void *p, SIZE_T n)
{
	const uint8_t *x = p;

	while (n && *x == 0) {
		x++;
		n--;
	}
	return n == 0;
}

/* ---- making and copying ---- */

static SIZE_T wide_length(PCWSTR s)
{
	SIZE_T n = 0;

	while (s[n])
		n++;
	return n;
}

static void unicode_set(PUNICODE_STRING string, PCWSTR source, SIZE_T bytes)
{
	string->Length = (USHORT)bytes;
	string->MaximumLength = (USHORT)(source ? bytes + sizeof(WCHAR) : 0);
	string->Buffer = (PWCH)(uintptr_t)source;
}

void RtlInitUnicodeString(PUNICODE_STRING string, PCWSTR source)
{
	SIZE_T bytes = source ? wide_length(source) * sizeof(WCHAR) : 0;

	unicode_set(string, source, bytes < STRING_MAX - 2 ? bytes : STRING_MAX - 2);
}

NTSTATUS RtlInitUnicodeStringEx(PUNICODE_STRING string, PCWSTR source)
{
	SIZE_T bytes = source ? wide_length(source) * sizeof(WCHAR) : 0;

	if (bytes > STRING_MAX - sizeof(WCHAR))
		return STATUS_NAME_TOO_LONG;
	unicode_set(string, source, bytes);
	return STATUS_SUCCESS;
}

void RtlInitAnsiString(PANSI_STRING string, PCSTR source)
{
	SIZE_T bytes = source ? strlen(source) : 0;

	if (bytes > STRING_MAX)
		bytes = STRING_MAX;
	string->Length = (USHORT)bytes;
	string->MaximumLength = (USHORT)(source ? bytes + 1 : 0);
	string->Buffer = (PCHAR)(uintptr_t)source;
}

void RtlCopyUnicodeString(PUNICODE_STRING to, PCUNICODE_STRING from)
{
	USHORT bytes = from ? from->Length : 0;

	if (bytes > to->MaximumLength)
		bytes = to->MaximumLength & ~1;
	if (bytes)
		memmove(to->Buffer, from->Buffer, bytes);
	to->Length = bytes;
	if (bytes + sizeof(WCHAR) <= to->MaximumLength)
		to->Buffer[bytes / sizeof(WCHAR)] = 0;
}

void RtlCopyString(PSTRING to, const STRING *from)
{
	USHORT bytes = from ? from->Length : 0;

	if (bytes > to->MaximumLength)
		bytes = to->MaximumLength;
	if (bytes)
		memmove(to->Buffer, from->Buffer, bytes);
	to->Length = bytes;
}

static NTSTATUS unicode_append(PUNICODE_STRING to, PCWCH from, SIZE_T bytes)
{
	if (bytes > (SIZE_T)(to->MaximumLength - to->Length))
		return STATUS_BUFFER_TOO_SMALL;
	memmove(to->Buffer + to->Length / sizeof(WCHAR), from, bytes);
	to->Length += (USHORT)bytes;
	if (to->Length + sizeof(WCHAR) <= to->MaximumLength)
		to->Buffer[to->Length / sizeof(WCHAR)] = 0;
	return STATUS_SUCCESS;
}

NTSTATUS RtlAppendUnicodeStringToString(PUNICODE_STRING to, PCUNICODE_STRING from)
{
	return from->Length ? unicode_append(to, from->Buffer, from->Length) : STATUS_SUCCESS;
}

NTSTATUS RtlAppendUnicodeToString(PUNICODE_STRING to, PCWSTR from)
{
	return from ? unicode_append(to, from, wide_length(from) * sizeof(WCHAR)) : STATUS_SUCCESS;
}

void RtlFreeUnicodeString(PUNICODE_STRING string)
{
	if (string->Buffer)
		ExFreePool(string->Buffer);
	memset(string, 0, sizeof(*string));
}

void RtlFreeAnsiString(PANSI_STRING string)
{
	if (string->Buffer)
		ExFreePool(string->Buffer);
	memset(string, 0, sizeof(*string));
}

/* ---- case: Latin with its supplement and extension, Greek, Cyrillic ---- */

WCHAR RtlUpcaseUnicodeChar(WCHAR c)
{
	if (c < 0x80)
		return c >= 'a' && c <= 'z' ? c - 32 : c;
	if (c == 0xff)
		return 0x178;
	if (c >= 0xe0 && c <= 0xfe && c != 0xf7)
		return c - 32;
	if ((c >= 0x100 && c <= 0x137 && c != 0x131) || (c >= 0x14a && c <= 0x177))
		return c & ~1;
	if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e))
		return c % 2 ? c : c - 1;
	if (c >= 0x3b1 && c <= 0x3cb && c != 0x3c2)
		return c - 32;
	if (c >= 0x430 && c <= 0x44f)
		return c - 32;
	if (c >= 0x450 && c <= 0x45f)
		return c - 80;
	if (c >= 0x460 && c <= 0x481)
		return c & ~1;
	return c;
}

WCHAR RtlDowncaseUnicodeChar(WCHAR c)
{
	static const int offsets[] = { 32, 80, 1 };

	if (RtlUpcaseUnicodeChar(c) != c)
		return c;
	if (c == 0x178)
		return 0xff;
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		WCHAR lower = (WCHAR)(c + offsets[i]);

		if (lower > c && RtlUpcaseUnicodeChar(lower) == c)
			return lower;
	}
	return c;
}

/* ---- comparing ---- */

LONG RtlCompareUnicodeString(PCUNICODE_STRING a, PCUNICODE_STRING b, BOOLEAN ignore_case)
{
	USHORT n = a->Length < b->Length ? a->Length : b->Length;

	for (USHORT i = 0; i < n / sizeof(WCHAR); i++) {
		WCHAR x = a->Buffer[i], y = b->Buffer[i];

		if (ignore_case) {
			x = RtlUpcaseUnicodeChar(x);
			y = RtlUpcaseUnicodeChar(y);
		}
		if (x != y)
			return (LONG)x - (LONG)y;
	}
	return (LONG)a->Length - (LONG)b->Length;
}

BOOLEAN RtlEqualUnicodeString(PCUNICODE_STRING a, PCUNICODE_STRING b, BOOLEAN ignore_case)
{
	return a->Length == b->Length && RtlCompareUnicodeString(a, b, ignore_case) == 0;
}

BOOLEAN RtlPrefixUnicodeString(PCUNICODE_STRING prefix, PCUNICODE_STRING string,
                               BOOLEAN ignore_case)
{
	UNICODE_STRING head = *string;

	if (string->Length < prefix->Length)
		return FALSE;
	head.Length = prefix->Length;
	return RtlEqualUnicodeString(prefix, &head, ignore_case);
}

static int ansi_fold(char c, BOOLEAN ignore_case)
{
	int x = (unsigned char)c;

	return ignore_case && x >= 'a' && x <= 'z' ? x - 32 : x;
}

LONG RtlCompareString(const STRING *a, const STRING *b, BOOLEAN ignore_case)
{
	USHORT n = a->Length < b->Length ? a->Length : b->Length;

	for (USHORT i = 0; i < n; i++) {
		int x = ansi_fold(a->Buffer[i], ignore_case),
		    y = ansi_fold(b->Buffer[i], ignore_case);

		if (x != y)
			return x - y;
	}
	return (LONG)a->Length - (LONG)b->Length;
}

BOOLEAN RtlEqualString(const STRING *a, const STRING *b, BOOLEAN ignore_case)
{
	return a->Length == b->Length && RtlCompareString(a, b, ignore_case) == 0;
}

/* ---- UTF-8 and UTF-16 ---- */

/* The next character of UTF-8; moves *p on. What is ill-formed becomes U+FFFD, a byte at a time. */
uint32_t nt_utf8_next(const uint8_t **p, const uint8_t *end)
{
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	uint32_t c = *(*p)++, more;

	if (c < 0x80)
		return c;
	more = c >= 0xf0 && c < 0xf8   ? 3
	       : c >= 0xe0 && c < 0xf0 ? 2
	       : c >= 0xc2 && c < 0xe0 ? 1
	                               : 0;
	if (!more || (size_t)(end - *p) < more)
		return REPLACEMENT;
	c &= 0x3f >> more;
	for (uint32_t i = 0; i < more; i++) {
		if (((*p)[i] & 0xc0) != 0x80)
			return REPLACEMENT;
		c = c << 6 | ((*p)[i] & 0x3f);
	}
	if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return REPLACEMENT;
	*p += more;
	return c;
}

uint32_t nt_utf16_next(const WCHAR **p, const WCHAR *end)
{
	uint32_t c = *(*p)++;

	if (c >= 0xd800 && c < 0xdc00 && *p < end && **p >= 0xdc00 && **p < 0xe000)
		return 0x10000 + ((c - 0xd800) << 10) + (*(*p)++ - 0xdc00u);
	return c >= 0xd800 && c < 0xe000 ? REPLACEMENT : c;
}

size_t nt_utf8_put(uint8_t *to, uint32_t c)
{
	if (c < 0x80) {
		to[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (uint8_t)(0xc0 | c >> 6);
		to[1] = 0x80 | (c & 0x3f);
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (uint8_t)(0xe0 | c >> 12);
		to[1] = 0x80 | (c >> 6 & 0x3f);
		to[2] = 0x80 | (c & 0x3f);
		return 3;
	}
	to[0] = (uint8_t)(0xf0 | c >> 18);
	to[1] = 0x80 | (c >> 12 & 0x3f);
	to[2] = 0x80 | (c >> 6 & 0x3f);
	to[3] = 0x80 | (c & 0x3f);
	return 4;
}

size_t nt_utf16_put(WCHAR *to, uint32_t c)
{
	if (c < 0x10000) {
		to[0] = (WCHAR)c;
		return 1;
	}
	to[0] = (WCHAR)(0xd800 + ((c - 0x10000) >> 10));
	to[1] = (WCHAR)(0xdc00 + ((c - 0x10000) & 0x3ff));
	return 2;
}

/* How many bytes the other encoding takes. */
static size_t ansi_as_unicode(PCANSI_STRING from, WCHAR *to)
{
	const uint8_t *p = (const uint8_t *)from->Buffer, *end = p + from->Length;
	WCHAR pair[2];
	size_t n = 0;

	while (p < end)
		n += nt_utf16_put(to ? to + n : pair, nt_utf8_next(&p, end));
	return n * sizeof(WCHAR);
}

static size_t unicode_as_ansi(PCUNICODE_STRING from, uint8_t *to)
{
	const WCHAR *p = from->Buffer, *end = p + from->Length / sizeof(WCHAR);
	uint8_t bytes[4];
	size_t n = 0;

	while (p < end)
		n += nt_utf8_put(to ? to + n : bytes, nt_utf16_next(&p, end));
	return n;
}

/* The destination's buffer for `bytes` and a NUL of `nul` bytes. */
static NTSTATUS conversion_room(USHORT *maximum, void **buffer, size_t bytes, size_t nul,
                                BOOLEAN allocate)
{
	if (bytes + nul > STRING_MAX)
		return STATUS_INVALID_PARAMETER_2;
	if (!allocate)
		return bytes <= *maximum ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
	*buffer = nt_apart_allocate_typed(__func__, PagedPool, bytes + nul, STRING_TAG);
	if (!*buffer)
		return STATUS_NO_MEMORY;
	*maximum = (USHORT)(bytes + nul);
	return STATUS_SUCCESS;
}

NTSTATUS RtlAnsiStringToUnicodeString(PUNICODE_STRING to, PCANSI_STRING from, BOOLEAN allocate)
{
	size_t bytes = ansi_as_unicode(from, NULL);
	void *buffer = to->Buffer;
	NTSTATUS status =
		conversion_room(&to->MaximumLength, &buffer, bytes, sizeof(WCHAR), allocate);

	if (!NT_SUCCESS(status))
		return status;
	to->Buffer = buffer;
	to->Length = (USHORT)ansi_as_unicode(from, buffer);
	if (to->Length + sizeof(WCHAR) <= to->MaximumLength)
		to->Buffer[to->Length / sizeof(WCHAR)] = 0;
	return STATUS_SUCCESS;
}

NTSTATUS RtlUnicodeStringToAnsiString(PANSI_STRING to, PCUNICODE_STRING from, BOOLEAN allocate)
{
	size_t bytes = unicode_as_ansi(from, NULL);
	void *buffer = to->Buffer;
	NTSTATUS status = conversion_room(&to->MaximumLength, &buffer, bytes, 1, allocate);

	if (!NT_SUCCESS(status))
		return status;
	to->Buffer = buffer;
	to->Length = (USHORT)unicode_as_ansi(from, buffer);
	if (to->Length < to->MaximumLength)
		to->Buffer[to->Length] = '\0';
	return STATUS_SUCCESS;
}

/* ---- numbers ---- */

static int digit_value(WCHAR c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

static bool base_known(ULONG base)
{
	return base == 2 || base == 8 || base == 10 || base == 16;
}

static ULONG base_from_prefix(const WCHAR **p, const WCHAR *end)
{
	if (end - *p < 2 || **p != '0')
		return 10;
	*p += 2;
	switch ((*p)[-1]) {
	case 'x':
		return 16;
	case 'o':
		return 8;
	case 'b':
		return 2;
	}
	*p -= 2;
	return 10;
}

NTSTATUS RtlUnicodeStringToInteger(PCUNICODE_STRING string, ULONG base, PULONG value)
{
	const WCHAR *p = string->Buffer, *end = p + string->Length / sizeof(WCHAR);
	bool negative;
	ULONG result = 0;

	if (base && !base_known(base))
		return STATUS_INVALID_PARAMETER;
	while (p < end && *p <= ' ')
		p++;
	negative = p < end && *p == '-';
	if (p < end && (*p == '-' || *p == '+'))
		p++;
	if (!base)
		base = base_from_prefix(&p, end);
	for (; p < end && (ULONG)digit_value(*p) < base; p++)
		result = result * base + (ULONG)digit_value(*p);
	*value = negative ? 0 - result : result;
	return STATUS_SUCCESS;
}

NTSTATUS RtlIntegerToUnicodeString(ULONG value, ULONG base, PUNICODE_STRING string)
{
	WCHAR digits[33];
	size_t n = 33;

	if (!base)
		base = 10;
	if (!base_known(base))
		return STATUS_INVALID_PARAMETER;
	do {
		digits[--n] = (WCHAR) "0123456789ABCDEF"[value % base];
		value /= base;
	} while (value);
	if ((33 - n) * sizeof(WCHAR) > string->MaximumLength)
		return STATUS_BUFFER_OVERFLOW;
	string->Length = 0;
	return unicode_append(string, digits + n, (33 - n) * sizeof(WCHAR));
}

/* ---- GUIDs ---- */

#define GUID_CHARACTERS 38

/* Where the bytes of a GUID stand in its text, two digits each; Data1 to Data3 are little-endian.
 */
static const uint8_t guid_text[16] = { 7, 5, 3, 1, 12, 10, 17, 15, 20, 22, 25, 27, 29, 31, 33, 35 };

NTSTATUS RtlStringFromGUID(REFGUID guid, PUNICODE_STRING string)
{
	static const char hex[] = "0123456789ABCDEF";
	const uint8_t *bytes = (const uint8_t *)guid;
	WCHAR *text = nt_apart_allocate_typed(__func__, PagedPool,
	                                      (GUID_CHARACTERS + 1) * sizeof(WCHAR), STRING_TAG);

	if (!text)
		return STATUS_INSUFFICIENT_RESOURCES;
	for (size_t i = 0; i < GUID_CHARACTERS; i++)
		text[i] = '-';
	text[0] = '{';
	text[GUID_CHARACTERS - 1] = '}';
	text[GUID_CHARACTERS] = 0;
	for (size_t i = 0; i < 16; i++) {
		text[guid_text[i]] = (WCHAR)hex[bytes[i] >> 4];
		text[guid_text[i] + 1] = (WCHAR)hex[bytes[i] & 15];
	}
	unicode_set(string, text, GUID_CHARACTERS * sizeof(WCHAR));
	return STATUS_SUCCESS;
}

static bool guid_punctuation_good(const WCHAR *t)
{
	return t[0] == '{' && t[9] == '-' && t[14] == '-' && t[19] == '-' && t[24] == '-' &&
	       t[GUID_CHARACTERS - 1] == '}';
}

NTSTATUS RtlGUIDFromString(PCUNICODE_STRING string, GUID *guid)
{
	uint8_t bytes[16];

	if (string->Length != GUID_CHARACTERS * sizeof(WCHAR) ||
	    !guid_punctuation_good(string->Buffer))
		return STATUS_INVALID_PARAMETER;
	for (size_t i = 0; i < 16; i++) {
		int high = digit_value(string->Buffer[guid_text[i]]);
		int low = digit_value(string->Buffer[guid_text[i] + 1]);

		if (high > 15 || low > 15)
			return STATUS_INVALID_PARAMETER;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(guid, bytes, sizeof(bytes));
	return STATUS_SUCCESS;
}
