/* SPDX-License-Identifier: BSD-2-Clause */

/* The kernel's C library over 16-bit characters, and what Microsoft's has beyond C. What the
 * functions promise is in their documentation (Microsoft C run-time library reference). */

#include "private.h"

/* ---- one set of functions for each kind of character ---- */

static int lower_char(char c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : (unsigned char)c;
}

static int upper_char(char c)
{
	return c >= 'a' && c <= 'z' ? c - ('a' - 'A') : (unsigned char)c;
}

#define lower_wide(c) RtlDowncaseUnicodeChar(c)
#define upper_wide(c) RtlUpcaseUnicodeChar(c)

#define CRT(P, CHARACTER, LOWER, UPPER)                                                        \
	static size_t length_##P(const CHARACTER *s, size_t max)                               \
	{                                                                                      \
		size_t n = 0;                                                                  \
                                                                                               \
		while (n < max && s[n])                                                        \
			n++;                                                                   \
		return n;                                                                      \
	}                                                                                      \
                                                                                               \
	int kmcl_##P##nicmp(const CHARACTER *a, const CHARACTER *b, size_t n)                  \
	{                                                                                      \
		size_t i;                                                                      \
                                                                                               \
		for (i = 0; i < n; i++) {                                                      \
			int x = LOWER(a[i]), y = LOWER(b[i]);                                  \
                                                                                               \
			if (x != y || !x)                                                      \
				return x - y;                                                  \
		}                                                                              \
		return 0;                                                                      \
	}                                                                                      \
                                                                                               \
	int kmcl_##P##icmp(const CHARACTER *a, const CHARACTER *b)                             \
	{                                                                                      \
		return kmcl_##P##nicmp(a, b, SIZE_MAX);                                        \
	}                                                                                      \
                                                                                               \
	CHARACTER *kmcl_##P##upr(CHARACTER *s)                                                 \
	{                                                                                      \
		for (CHARACTER *p = s; *p; p++)                                                \
			*p = (CHARACTER)UPPER(*p);                                             \
		return s;                                                                      \
	}                                                                                      \
                                                                                               \
	CHARACTER *kmcl_##P##lwr(CHARACTER *s)                                                 \
	{                                                                                      \
		for (CHARACTER *p = s; *p; p++)                                                \
			*p = (CHARACTER)LOWER(*p);                                             \
		return s;                                                                      \
	}                                                                                      \
                                                                                               \
	CHARACTER *kmcl_##P##rev(CHARACTER *s)                                                 \
	{                                                                                      \
		size_t i, n = length_##P(s, SIZE_MAX);                                         \
                                                                                               \
		for (i = 0; i < n / 2; i++) {                                                  \
			CHARACTER c = s[i];                                                    \
                                                                                               \
			s[i] = s[n - 1 - i];                                                   \
			s[n - 1 - i] = c;                                                      \
		}                                                                              \
		return s;                                                                      \
	}                                                                                      \
                                                                                               \
	/* Puts up to `n` of `from` at to[used]. */                                            \
	static errno_t put_##P(CHARACTER *to, size_t size, size_t used, const CHARACTER *from, \
	                       size_t n)                                                       \
	{                                                                                      \
		size_t room = size - used - 1;                                                 \
		size_t length = length_##P(from, n == _TRUNCATE || n > room ? room + 1 : n);   \
		bool cut = length > room;                                                      \
                                                                                               \
		if (cut && n != _TRUNCATE) {                                                   \
			to[0] = 0;                                                             \
			return ERANGE;                                                         \
		}                                                                              \
		length = cut ? room : length;                                                  \
		memmove(to + used, from, length * sizeof(CHARACTER));                          \
		to[used + length] = 0;                                                         \
		return cut ? STRUNCATE : 0;                                                    \
	}                                                                                      \
                                                                                               \
	errno_t kmcl_##P##ncpy_s(CHARACTER *to, size_t size, const CHARACTER *from, size_t n)  \
	{                                                                                      \
		if (!to && !size && !n)                                                        \
			return 0;                                                              \
		if (!to || !size)                                                              \
			return EINVAL;                                                         \
		if (from)                                                                      \
			return put_##P(to, size, 0, from, n);                                  \
		to[0] = 0;                                                                     \
		return n ? EINVAL : 0;                                                         \
	}                                                                                      \
                                                                                               \
	errno_t kmcl_##P##ncat_s(CHARACTER *to, size_t size, const CHARACTER *from, size_t n)  \
	{                                                                                      \
		size_t used;                                                                   \
                                                                                               \
		if (!to && !size && !n)                                                        \
			return 0;                                                              \
		if (!to || !size)                                                              \
			return EINVAL;                                                         \
		used = length_##P(to, size);                                                   \
		if (used < size && from)                                                       \
			return put_##P(to, size, used, from, n);                               \
		if (used < size && !n)                                                         \
			return 0;                                                              \
		to[0] = 0;                                                                     \
		return EINVAL;                                                                 \
	}                                                                                      \
                                                                                               \
	errno_t kmcl_##P##cpy_s(CHARACTER *to, size_t size, const CHARACTER *from)             \
	{                                                                                      \
		return kmcl_##P##ncpy_s(to, size, from, _TRUNCATE - 1);                        \
	}                                                                                      \
                                                                                               \
	errno_t kmcl_##P##cat_s(CHARACTER *to, size_t size, const CHARACTER *from)             \
	{                                                                                      \
		return kmcl_##P##ncat_s(to, size, from, _TRUNCATE - 1);                        \
	}

CRT(str, char, lower_char, upper_char)
CRT(wcs, WCHAR, lower_wide, upper_wide)

/* ---- printing: CUT writes no NUL where there is no room for one, the others always ---- */

#define PRINT(NAME, CHARACTER, CUT, FORMAT)                                                     \
	int kmcl_v##NAME(CHARACTER *to, size_t n, const CHARACTER *format, va_list arguments)   \
	{                                                                                       \
		size_t needed;                                                                  \
                                                                                                \
		CUT(to, n, &needed, format, arguments);                                         \
		return needed > n || needed > INT_MAX ? -1 : (int)needed;                       \
	}                                                                                       \
                                                                                                \
	int kmcl_##NAME(CHARACTER *to, size_t n, const CHARACTER *format, ...)                  \
	{                                                                                       \
		va_list arguments;                                                              \
		int count;                                                                      \
                                                                                                \
		va_start(arguments, format);                                                    \
		count = kmcl_v##NAME(to, n, format, arguments);                                 \
		va_end(arguments);                                                              \
		return count;                                                                   \
	}                                                                                       \
                                                                                                \
	int kmcl_v##NAME##_s(CHARACTER *to, size_t size, size_t n, const CHARACTER *format,     \
	                     va_list arguments)                                                 \
	{                                                                                       \
		bool truncate = n == _TRUNCATE || n < size;                                     \
		size_t needed, room = n < size ? n + 1 : size;                                  \
                                                                                                \
		if (!to || !size || !format)                                                    \
			return -1;                                                              \
		FORMAT(to, room, &needed, format, arguments);                                   \
		if (needed < room && needed <= INT_MAX)                                         \
			return (int)needed;                                                     \
		if (!truncate)                                                                  \
			to[0] = 0;                                                              \
		return -1;                                                                      \
	}                                                                                       \
                                                                                                \
	int kmcl_##NAME##_s(CHARACTER *to, size_t size, size_t n, const CHARACTER *format, ...) \
	{                                                                                       \
		va_list arguments;                                                              \
		int count;                                                                      \
                                                                                                \
		va_start(arguments, format);                                                    \
		count = kmcl_v##NAME##_s(to, size, n, format, arguments);                       \
		va_end(arguments);                                                              \
		return count;                                                                   \
	}

PRINT(snprintf, char, nt_format_cut, nt_format)
PRINT(snwprintf, WCHAR, nt_format_wide_cut, nt_format_wide)

#define PRINT_ALL(NAME, CHARACTER, WITH)                                                         \
	int kmcl_v##NAME(CHARACTER *to, size_t size, const CHARACTER *format, va_list arguments) \
	{                                                                                        \
		return WITH(to, size, format, arguments);                                        \
	}                                                                                        \
                                                                                                 \
	int kmcl_##NAME(CHARACTER *to, size_t size, const CHARACTER *format, ...)                \
	{                                                                                        \
		va_list arguments;                                                               \
		int count;                                                                       \
                                                                                                 \
		va_start(arguments, format);                                                     \
		count = kmcl_v##NAME(to, size, format, arguments);                               \
		va_end(arguments);                                                               \
		return count;                                                                    \
	}
#define ALL_NARROW(to, size, format, arguments) \
	kmcl_vsnprintf_s(to, size, SIZE_MAX - 1, format, arguments)
#define ALL_WIDE(to, size, format, arguments) \
	kmcl_vsnwprintf_s(to, size, SIZE_MAX - 1, format, arguments)
#define WHAT_FITS(to, size, format, arguments) \
	kmcl_vsnwprintf_s(to, size, _TRUNCATE, format, arguments)

PRINT_ALL(sprintf_s, char, ALL_NARROW)
PRINT_ALL(swprintf_s, WCHAR, ALL_WIDE)
PRINT_ALL(swprintf, WCHAR, WHAT_FITS)

/* ---- memory ---- */

errno_t kmcl_memcpy_s(void *to, size_t size, const void *from, size_t n)
{
	if (!n)
		return 0;
	if (!to)
		return EINVAL;
	if (!from || size < n) {
		memset(to, 0, size);
		return from ? ERANGE : EINVAL;
	}
	memcpy(to, from, n);
	return 0;
}

errno_t kmcl_memmove_s(void *to, size_t size, const void *from, size_t n)
{
	if (!n)
		return 0;
	if (!to || !from)
		return EINVAL;
	if (size < n)
		return ERANGE;
	memmove(to, from, n);
	return 0;
}

/* ---- wide strings ---- */

size_t kmcl_wcslen(const WCHAR *s)
{
	return length_wcs(s, SIZE_MAX);
}

size_t kmcl_wcsnlen(const WCHAR *s, size_t max)
{
	return length_wcs(s, max);
}

WCHAR *kmcl_wmemcpy(WCHAR *to, const WCHAR *from, size_t n)
{
	return memcpy(to, from, n * sizeof(WCHAR));
}

WCHAR *kmcl_wmemmove(WCHAR *to, const WCHAR *from, size_t n)
{
	return memmove(to, from, n * sizeof(WCHAR));
}

WCHAR *kmcl_wmemset(WCHAR *to, WCHAR c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = c;
	return to;
}

int kmcl_wmemcmp(const WCHAR *a, const WCHAR *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i] != b[i])
			return a[i] < b[i] ? -1 : 1;
	return 0;
}

WCHAR *kmcl_wmemchr(const WCHAR *p, WCHAR c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] == c)
			return (WCHAR *)(uintptr_t)&p[i];
	return NULL;
}

WCHAR *kmcl_wcscpy(WCHAR *to, const WCHAR *from)
{
	return kmcl_wmemcpy(to, from, kmcl_wcslen(from) + 1);
}

WCHAR *kmcl_wcsncpy(WCHAR *to, const WCHAR *from, size_t n)
{
	size_t length = length_wcs(from, n);

	kmcl_wmemcpy(to, from, length);
	kmcl_wmemset(to + length, 0, n - length);
	return to;
}

WCHAR *kmcl_wcscat(WCHAR *to, const WCHAR *from)
{
	kmcl_wcscpy(to + kmcl_wcslen(to), from);
	return to;
}

WCHAR *kmcl_wcsncat(WCHAR *to, const WCHAR *from, size_t n)
{
	size_t used = kmcl_wcslen(to), length = length_wcs(from, n);

	kmcl_wmemcpy(to + used, from, length);
	to[used + length] = 0;
	return to;
}

int kmcl_wcsncmp(const WCHAR *a, const WCHAR *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i] != b[i] || !a[i])
			return a[i] < b[i] ? -1 : a[i] > b[i];
	return 0;
}

int kmcl_wcscmp(const WCHAR *a, const WCHAR *b)
{
	return kmcl_wcsncmp(a, b, SIZE_MAX);
}

WCHAR *kmcl_wcschr(const WCHAR *s, WCHAR c)
{
	return kmcl_wmemchr(s, c, kmcl_wcslen(s) + 1);
}

WCHAR *kmcl_wcsrchr(const WCHAR *s, WCHAR c)
{
	for (size_t i = kmcl_wcslen(s) + 1; i-- > 0;)
		if (s[i] == c)
			return (WCHAR *)(uintptr_t)&s[i];
	return NULL;
}

WCHAR *kmcl_wcsstr(const WCHAR *s, const WCHAR *part)
{
	size_t n = kmcl_wcslen(part);

	do {
		if (kmcl_wcsncmp(s, part, n) == 0)
			return (WCHAR *)(uintptr_t)s;
	} while (*s++);
	return NULL;
}

/* How many at its beginning are in the set (or are not). */
static size_t span(const WCHAR *s, const WCHAR *set, bool in)
{
	size_t n = 0, count = kmcl_wcslen(set);

	while (s[n] && !!kmcl_wmemchr(set, s[n], count) == in)
		n++;
	return n;
}

size_t kmcl_wcsspn(const WCHAR *s, const WCHAR *set)
{
	return span(s, set, true);
}

size_t kmcl_wcscspn(const WCHAR *s, const WCHAR *set)
{
	return span(s, set, false);
}

WCHAR *kmcl_wcspbrk(const WCHAR *s, const WCHAR *set)
{
	s += span(s, set, false);
	return *s ? (WCHAR *)(uintptr_t)s : NULL;
}

wint_t kmcl_towupper(wint_t c)
{
	return c <= 0xffff ? RtlUpcaseUnicodeChar((WCHAR)c) : c;
}

wint_t kmcl_towlower(wint_t c)
{
	return c <= 0xffff ? RtlDowncaseUnicodeChar((WCHAR)c) : c;
}

/* ---- numbers ---- */

static unsigned digit_of(WCHAR c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c |= 0x20;
	return c >= 'a' && c <= 'z' ? (unsigned)(c - 'a') + 10 : UINT_MAX;
}

static bool is_space(WCHAR c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A number's sign and, with UINT64_MAX for what is larger, its amount; `*end` behind it. */
static uint64_t parse(const WCHAR *s, WCHAR **end, int base, bool *negative)
{
	const WCHAR *p = s, *digits;
	uint64_t value = 0;
	bool over = false;

	while (is_space(*p))
		p++;
	*negative = *p == '-';
	p += *p == '-' || *p == '+';
	if ((base == 0 || base == 16) && *p == '0' && (p[1] | 0x20) == 'x' && digit_of(p[2]) < 16) {
		base = 16;
		p += 2;
	}
	if (base == 0)
		base = *p == '0' ? 8 : 10;
	for (digits = p; digit_of(*p) < (unsigned)base; p++)
		over |= __builtin_mul_overflow(value, (unsigned)base, &value) ||
		        __builtin_add_overflow(value, digit_of(*p), &value);
	if (end)
		*end = (WCHAR *)(uintptr_t)(p == digits ? s : p);
	return over ? UINT64_MAX : value;
}

static int64_t parse_signed(const WCHAR *s, WCHAR **end, int base, int64_t most)
{
	bool negative;
	uint64_t value = parse(s, end, base, &negative);

	if (value > (uint64_t)most)
		return negative ? -most - 1 : most;
	return negative ? -(int64_t)value : (int64_t)value;
}

static uint64_t parse_unsigned(const WCHAR *s, WCHAR **end, int base, uint64_t most)
{
	bool negative;
	uint64_t value = parse(s, end, base, &negative);

	if (value > most)
		return most;
	return negative ? -value & most : value;
}

LONG kmcl_wcstol(const WCHAR *s, WCHAR **end, int base)
{
	return (LONG)parse_signed(s, end, base, INT32_MAX);
}

ULONG kmcl_wcstoul(const WCHAR *s, WCHAR **end, int base)
{
	return (ULONG)parse_unsigned(s, end, base, UINT32_MAX);
}

LONGLONG kmcl_wcstoll(const WCHAR *s, WCHAR **end, int base)
{
	return parse_signed(s, end, base, INT64_MAX);
}

ULONGLONG kmcl_wcstoull(const WCHAR *s, WCHAR **end, int base)
{
	return parse_unsigned(s, end, base, UINT64_MAX);
}

/* ---- between the encodings ---- */

size_t kmcl_mbstowcs(WCHAR *to, const char *from, size_t n)
{
	const uint8_t *p = (const uint8_t *)from, *end = p + strlen(from);
	size_t used = 0;

	while (p < end) {
		WCHAR units[2];
		size_t count = nt_utf16_put(units, nt_utf8_next(&p, end));

		if (to && used + count > n)
			return used;
		if (to)
			memcpy(to + used, units, count * sizeof(WCHAR));
		used += count;
	}
	if (to && used < n)
		to[used] = 0;
	return used;
}

size_t kmcl_wcstombs(char *to, const WCHAR *from, size_t n)
{
	const WCHAR *p = from, *end = from + kmcl_wcslen(from);
	size_t used = 0;

	while (p < end) {
		uint8_t bytes[4];
		size_t count = nt_utf8_put(bytes, nt_utf16_next(&p, end));

		if (to && used + count > n)
			return used;
		if (to)
			memcpy(to + used, bytes, count);
		used += count;
	}
	if (to && used < n)
		to[used] = '\0';
	return used;
}
