/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_CRT_H
#define NT_WDM_CRT_H

#include "../ntdef.h"

#include <errno.h>
/* First, so that neither can come later and take a name back. */
#ifdef __cplusplus
#include <cstdlib>
#include <cwchar>
#include <cwctype>
#else
#include <stdlib.h>
#include <wchar.h>
#include <wctype.h>
#endif

EXTERN_C_START

/*
 * The C library of the kernel, where libc has none of it or means something else: libc's wide
 * characters have 32 bits. The names below are macros for functions of the library; what is not
 * among them (wcstok, wprintf) is libc's and must not see a WCHAR. Any IRQL, but PASSIVE_LEVEL
 * where case is ignored or changed beyond ASCII. Formats are those of DbgPrint.
 */

/* ---- wide strings, as their namesakes for char ---- */

NTSYSAPI size_t kmcl_wcslen(const WCHAR *s);
NTSYSAPI size_t kmcl_wcsnlen(const WCHAR *s, size_t max);
NTSYSAPI WCHAR *kmcl_wcscpy(WCHAR *to, const WCHAR *from);
NTSYSAPI WCHAR *kmcl_wcsncpy(WCHAR *to, const WCHAR *from, size_t n);
NTSYSAPI WCHAR *kmcl_wcscat(WCHAR *to, const WCHAR *from);
NTSYSAPI WCHAR *kmcl_wcsncat(WCHAR *to, const WCHAR *from, size_t n);
NTSYSAPI int kmcl_wcscmp(const WCHAR *a, const WCHAR *b);
NTSYSAPI int kmcl_wcsncmp(const WCHAR *a, const WCHAR *b, size_t n);
NTSYSAPI WCHAR *kmcl_wcschr(const WCHAR *s, WCHAR c);
NTSYSAPI WCHAR *kmcl_wcsrchr(const WCHAR *s, WCHAR c);
NTSYSAPI WCHAR *kmcl_wcsstr(const WCHAR *s, const WCHAR *part);
NTSYSAPI WCHAR *kmcl_wcspbrk(const WCHAR *s, const WCHAR *set);
NTSYSAPI size_t kmcl_wcsspn(const WCHAR *s, const WCHAR *set);
NTSYSAPI size_t kmcl_wcscspn(const WCHAR *s, const WCHAR *set);
NTSYSAPI WCHAR *kmcl_wmemchr(const WCHAR *p, WCHAR c, size_t n);
NTSYSAPI int kmcl_wmemcmp(const WCHAR *a, const WCHAR *b, size_t n);
NTSYSAPI WCHAR *kmcl_wmemcpy(WCHAR *to, const WCHAR *from, size_t n);
NTSYSAPI WCHAR *kmcl_wmemmove(WCHAR *to, const WCHAR *from, size_t n);
NTSYSAPI WCHAR *kmcl_wmemset(WCHAR *to, WCHAR c, size_t n);
/* As RtlUpcaseUnicodeChar() and RtlDowncaseUnicodeChar() have it. */
NTSYSAPI wint_t kmcl_towupper(wint_t c);
NTSYSAPI wint_t kmcl_towlower(wint_t c);
NTSYSAPI int kmcl_wcsicmp(const WCHAR *a, const WCHAR *b);
NTSYSAPI int kmcl_wcsnicmp(const WCHAR *a, const WCHAR *b, size_t n);
NTSYSAPI WCHAR *kmcl_wcsupr(WCHAR *s);
NTSYSAPI WCHAR *kmcl_wcslwr(WCHAR *s);
NTSYSAPI WCHAR *kmcl_wcsrev(WCHAR *s);
/* Base 2 to 36, or 0: 10, or 16 behind 0x, or 8 behind 0. What is too large becomes the largest or
 * smallest. A long has 32 bits. */
NTSYSAPI LONG kmcl_wcstol(const WCHAR *s, WCHAR **end, int base);
NTSYSAPI ULONG kmcl_wcstoul(const WCHAR *s, WCHAR **end, int base);
NTSYSAPI LONGLONG kmcl_wcstoll(const WCHAR *s, WCHAR **end, int base);
NTSYSAPI ULONGLONG kmcl_wcstoull(const WCHAR *s, WCHAR **end, int base);
/* The multibyte encoding is UTF-8. How many were written without the NUL, which is only where there
 * is room; `to` NULL: how many there would be. Ill-formed input becomes U+FFFD. */
NTSYSAPI size_t kmcl_mbstowcs(WCHAR *to, const char *from, size_t n);
NTSYSAPI size_t kmcl_wcstombs(char *to, const WCHAR *from, size_t n);

/* ---- narrow strings that libc has not ---- */

NTSYSAPI int kmcl_stricmp(const char *a, const char *b);
NTSYSAPI int kmcl_strnicmp(const char *a, const char *b, size_t n);
NTSYSAPI char *kmcl_strupr(char *s);
NTSYSAPI char *kmcl_strlwr(char *s);
NTSYSAPI char *kmcl_strrev(char *s);

/* ---- printing. How many characters; -1: they did not all fit ---- */

/* At most `n` characters; a NUL only where there is room. */
NTSYSAPI int kmcl_snprintf(char *to, size_t n, const char *format, ...);
NTSYSAPI int kmcl_vsnprintf(char *to, size_t n, const char *format, va_list arguments);
NTSYSAPI int kmcl_snwprintf(WCHAR *to, size_t n, const WCHAR *format, ...);
NTSYSAPI int kmcl_vsnwprintf(WCHAR *to, size_t n, const WCHAR *format, va_list arguments);
/* With a NUL in any case, as C has swprintf(). */
NTSYSAPI int kmcl_swprintf(WCHAR *to, size_t size, const WCHAR *format, ...);
NTSYSAPI int kmcl_vswprintf(WCHAR *to, size_t size, const WCHAR *format, va_list arguments);
/* What would not fit leaves an empty string. */
NTSYSAPI int kmcl_sprintf_s(char *to, size_t size, const char *format, ...);
NTSYSAPI int kmcl_vsprintf_s(char *to, size_t size, const char *format, va_list arguments);
NTSYSAPI int kmcl_swprintf_s(WCHAR *to, size_t size, const WCHAR *format, ...);
NTSYSAPI int kmcl_vswprintf_s(WCHAR *to, size_t size, const WCHAR *format, va_list arguments);
/* At most `n` of them and a NUL; with _TRUNCATE what fits, else an empty string. */
NTSYSAPI int kmcl_snprintf_s(char *to, size_t size, size_t n, const char *format, ...);
NTSYSAPI int kmcl_vsnprintf_s(char *to, size_t size, size_t n, const char *format,
                              va_list arguments);
NTSYSAPI int kmcl_snwprintf_s(WCHAR *to, size_t size, size_t n, const WCHAR *format, ...);
NTSYSAPI int kmcl_vsnwprintf_s(WCHAR *to, size_t size, size_t n, const WCHAR *format,
                               va_list arguments);

/* ---- copies into buffers whose size is told ----
 * 0; EINVAL: no buffer, no source, or one that does not end in its size; ERANGE: it does not fit.
 * What fails leaves an empty string. With _TRUNCATE for `n`: what fits, and STRUNCATE if that is
 * not all. */

typedef int errno_t;
#define _TRUNCATE ((size_t)-1)
#define STRUNCATE 80

NTSYSAPI errno_t kmcl_strcpy_s(char *to, size_t size, const char *from);
NTSYSAPI errno_t kmcl_strncpy_s(char *to, size_t size, const char *from, size_t n);
NTSYSAPI errno_t kmcl_strcat_s(char *to, size_t size, const char *from);
NTSYSAPI errno_t kmcl_strncat_s(char *to, size_t size, const char *from, size_t n);
NTSYSAPI errno_t kmcl_wcscpy_s(WCHAR *to, size_t size, const WCHAR *from);
NTSYSAPI errno_t kmcl_wcsncpy_s(WCHAR *to, size_t size, const WCHAR *from, size_t n);
NTSYSAPI errno_t kmcl_wcscat_s(WCHAR *to, size_t size, const WCHAR *from);
NTSYSAPI errno_t kmcl_wcsncat_s(WCHAR *to, size_t size, const WCHAR *from, size_t n);
/* Where it fails memcpy_s zeroes what it was to fill. */
NTSYSAPI errno_t kmcl_memcpy_s(void *to, size_t size, const void *from, size_t n);
NTSYSAPI errno_t kmcl_memmove_s(void *to, size_t size, const void *from, size_t n);

EXTERN_C_END

#undef swprintf /* a macro of glibc's where clang compiles with _FORTIFY_SOURCE */
#define wcslen        kmcl_wcslen
#define wcsnlen       kmcl_wcsnlen
#define wcscpy        kmcl_wcscpy
#define wcsncpy       kmcl_wcsncpy
#define wcscat        kmcl_wcscat
#define wcsncat       kmcl_wcsncat
#define wcscmp        kmcl_wcscmp
#define wcsncmp       kmcl_wcsncmp
#define wcschr        kmcl_wcschr
#define wcsrchr       kmcl_wcsrchr
#define wcsstr        kmcl_wcsstr
#define wcspbrk       kmcl_wcspbrk
#define wcsspn        kmcl_wcsspn
#define wcscspn       kmcl_wcscspn
#define wmemchr       kmcl_wmemchr
#define wmemcmp       kmcl_wmemcmp
#define wmemcpy       kmcl_wmemcpy
#define wmemmove      kmcl_wmemmove
#define wmemset       kmcl_wmemset
#define towupper      kmcl_towupper
#define towlower      kmcl_towlower
#define _wcsicmp      kmcl_wcsicmp
#define _wcsnicmp     kmcl_wcsnicmp
#define wcsicmp       kmcl_wcsicmp
#define wcsnicmp      kmcl_wcsnicmp
#define _wcsupr       kmcl_wcsupr
#define _wcslwr       kmcl_wcslwr
#define _wcsrev       kmcl_wcsrev
#define wcstol        kmcl_wcstol
#define wcstoul       kmcl_wcstoul
#define wcstoll       kmcl_wcstoll
#define wcstoull      kmcl_wcstoull
#define _wcstoi64     kmcl_wcstoll
#define _wcstoui64    kmcl_wcstoull
#define _wtoi(s)      ((int)kmcl_wcstol((s), NULL, 10))
#define _wtol(s)      kmcl_wcstol((s), NULL, 10)
#define _wtoi64(s)    kmcl_wcstoll((s), NULL, 10)
#define mbstowcs      kmcl_mbstowcs
#define wcstombs      kmcl_wcstombs
#define _stricmp      kmcl_stricmp
#define _strnicmp     kmcl_strnicmp
#define stricmp       kmcl_stricmp
#define strnicmp      kmcl_strnicmp
#define _strupr       kmcl_strupr
#define _strlwr       kmcl_strlwr
#define _strrev       kmcl_strrev
#define _snprintf     kmcl_snprintf
#define _vsnprintf    kmcl_vsnprintf
#define _snwprintf    kmcl_snwprintf
#define _vsnwprintf   kmcl_vsnwprintf
#define swprintf      kmcl_swprintf
#define vswprintf     kmcl_vswprintf
#define sprintf_s     kmcl_sprintf_s
#define vsprintf_s    kmcl_vsprintf_s
#define swprintf_s    kmcl_swprintf_s
#define vswprintf_s   kmcl_vswprintf_s
#define _snprintf_s   kmcl_snprintf_s
#define _vsnprintf_s  kmcl_vsnprintf_s
#define _snwprintf_s  kmcl_snwprintf_s
#define _vsnwprintf_s kmcl_vsnwprintf_s
#define strcpy_s      kmcl_strcpy_s
#define strncpy_s     kmcl_strncpy_s
#define strcat_s      kmcl_strcat_s
#define strncat_s     kmcl_strncat_s
#define wcscpy_s      kmcl_wcscpy_s
#define wcsncpy_s     kmcl_wcsncpy_s
#define wcscat_s      kmcl_wcscat_s
#define wcsncat_s     kmcl_wcsncat_s
#define memcpy_s      kmcl_memcpy_s
#define memmove_s     kmcl_memmove_s

#ifdef __cplusplus
/* std::wcslen is written with the macro's name too. */
namespace std
{
using ::kmcl_mbstowcs;
using ::kmcl_swprintf;
using ::kmcl_towlower;
using ::kmcl_towupper;
using ::kmcl_vswprintf;
using ::kmcl_wcscat;
using ::kmcl_wcschr;
using ::kmcl_wcscmp;
using ::kmcl_wcscpy;
using ::kmcl_wcscspn;
using ::kmcl_wcslen;
using ::kmcl_wcsncat;
using ::kmcl_wcsncmp;
using ::kmcl_wcsncpy;
using ::kmcl_wcspbrk;
using ::kmcl_wcsrchr;
using ::kmcl_wcsspn;
using ::kmcl_wcsstr;
using ::kmcl_wcstoll;
using ::kmcl_wcstombs;
using ::kmcl_wcstoull;
using ::kmcl_wmemchr;
using ::kmcl_wmemcmp;
using ::kmcl_wmemcpy;
using ::kmcl_wmemmove;
using ::kmcl_wmemset;
/* its own code needs the type long as it is on Linux */
inline long kmcl_wcstol(const wchar_t *s, wchar_t **end, int base)
{
	return ::kmcl_wcstoll(s, end, base);
}
inline unsigned long kmcl_wcstoul(const wchar_t *s, wchar_t **end, int base)
{
	return ::kmcl_wcstoull(s, end, base);
}
} // namespace std

/* The forms that take an array's size from its type. */
template <size_t N> inline errno_t kmcl_strcpy_s(char (&to)[N], const char *from)
{
	return kmcl_strcpy_s(to, N, from);
}
template <size_t N> inline errno_t kmcl_strcat_s(char (&to)[N], const char *from)
{
	return kmcl_strcat_s(to, N, from);
}
template <size_t N> inline errno_t kmcl_wcscpy_s(WCHAR (&to)[N], const WCHAR *from)
{
	return kmcl_wcscpy_s(to, N, from);
}
template <size_t N> inline errno_t kmcl_wcscat_s(WCHAR (&to)[N], const WCHAR *from)
{
	return kmcl_wcscat_s(to, N, from);
}
#endif

#endif
