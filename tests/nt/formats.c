/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

#include <ntintsafe.h>
#include <ntstrsafe.h>

static char narrow[128];
static WCHAR wide[128];

#define assert_formats(expected, ...)                                                     \
	do {                                                                              \
		assert_int_equal(RtlStringCbPrintfA(narrow, sizeof(narrow), __VA_ARGS__), \
		                 STATUS_SUCCESS);                                         \
		assert_string_equal(narrow, expected);                                    \
	} while (0)

static void numbers_have_windows_sizes(void **state)
{
	assert_formats("-1 4294967295", "%ld %lu", (LONG)-1, (ULONG)-1);
	assert_formats("ffffffffffffffff", "%I64x", UINT64_MAX);
	assert_formats("-5000000000", "%lld", INT64_C(-5000000000));
	assert_formats("-128 200", "%hhd %hhu", (int)(int8_t)-128, 200);
	assert_formats("-9223372036854775808", "%I64d", INT64_MIN);
	assert_formats("18446744073709551615", "%zu", SIZE_MAX);
	assert_formats("0000000000001234", "%p", (void *)0x1234);
}

static void flags_are_those_of_c(void **state)
{
	assert_formats("[   42][42   ][00042]", "[%5d][%-5d][%05d]", 42, 42, 42);
	assert_formats("[+42][ 42][-0042][  042]", "[%+d][% d][%05d][%5.3d]", 42, 42, -42, 42);
	assert_formats("[0x1f][0X1F][017][0]", "[%#x][%#X][%#o][%#x]", 31, 31, 15, 0);
	assert_formats("[][0]", "[%.0d][%d]", 0, 0);
	assert_formats("[   ab][ab   ][a]", "[%*s][%-5s][%.1s]", 5, "ab", "ab", "ab");
	assert_formats("[ab   ]100%x", "[%*s]100%%%c", -5, "ab", 'x');
}

static void strings_of_both_widths(void **state)
{
	UNICODE_STRING u = RTL_CONSTANT_STRING(L"uni\xe4");
	ANSI_STRING a = RTL_CONSTANT_STRING("ansi");

	assert_formats("s: wide wide narrow", "%s: %S %ws %hs", "s", L"wide", L"wide", "narrow");
	assert_formats("uni\xc3\xa4 ansi (null) (null)", "%wZ %Z %wZ %s", &u, &a, NULL, NULL);
	assert_int_equal(RtlStringCchPrintfW(wide, 128, L"%s %S %hs %wZ %d \xe4", L"w", "n\xc3\xa4",
	                                     "h", &u, 5),
	                 STATUS_SUCCESS);
	assert_memory_equal(wide, L"w n\xe4 h uni\xe4 5 \xe4", sizeof(L"w n\xe4 h uni\xe4 5 \xe4"));
}

/* Behind what may be read there may be no memory: only so many characters are looked at. */
static void precision_limits_what_is_read(void **state)
{
	static const char text[3] = { 'a', 'b', 'c' };
	static const WCHAR wide_text[2] = { 'x', 'y' };

	assert_formats("abc xy", "%.3s %.2ws", text, wide_text);
}

static void what_does_not_fit_is_cut(void **state)
{
	char small[5];
	WCHAR w[4];

	assert_int_equal(RtlStringCbPrintfA(small, sizeof(small), "%s", "abcdef"),
	                 STATUS_BUFFER_OVERFLOW);
	assert_string_equal(small, "abcd");
	assert_int_equal(RtlStringCbPrintfA(small, sizeof(small), "abcd"), STATUS_SUCCESS);
	/* never half a character */
	assert_int_equal(RtlStringCbPrintfA(small, sizeof(small), "abc%ws", L"\x20ac"),
	                 STATUS_BUFFER_OVERFLOW);
	assert_string_equal(small, "abc");
	assert_int_equal(RtlStringCbPrintfA(small, 0, "x"), STATUS_INVALID_PARAMETER);
	assert_int_equal(RtlStringCbPrintfW(w, sizeof(w), L"%d", 12345), STATUS_BUFFER_OVERFLOW);
	assert_memory_equal(w, L"123", 8);
	assert_int_equal(RtlStringCbPrintfA(small, sizeof(small), "%60000d", 1),
	                 STATUS_BUFFER_OVERFLOW);
	assert_formats("%", "%%");
	assert_formats("x", "x%");
	assert_formats("x", "x%-08.3ll");
}

static void strings_are_copied_and_joined(void **state)
{
	char a[6];
	WCHAR w[6];
	size_t n;

	assert_int_equal(RtlStringCbCopyA(a, sizeof(a), "abc"), STATUS_SUCCESS);
	assert_int_equal(RtlStringCbCatA(a, sizeof(a), "de"), STATUS_SUCCESS);
	assert_string_equal(a, "abcde");
	assert_int_equal(RtlStringCbCatA(a, sizeof(a), "f"), STATUS_BUFFER_OVERFLOW);
	assert_string_equal(a, "abcde");
	assert_int_equal(RtlStringCchCopyNA(a, 6, "xyz", 2), STATUS_SUCCESS);
	assert_string_equal(a, "xy");
	assert_int_equal(RtlStringCchCopyA(a, 3, "xyz"), STATUS_BUFFER_OVERFLOW);
	assert_int_equal(RtlStringCbLengthA(a, 6, &n), STATUS_SUCCESS);
	assert_int_equal(n, 2);
	assert_int_equal(RtlStringCbLengthA("abc", 3, &n), STATUS_INVALID_PARAMETER);
	memset(a, 'x', sizeof(a));
	assert_int_equal(RtlStringCbCatA(a, sizeof(a), ""), STATUS_INVALID_PARAMETER);
	assert_int_equal(RtlStringCbCopyW(w, sizeof(w), L"abc"), STATUS_SUCCESS);
	assert_int_equal(RtlStringCbCatNW(w, sizeof(w), L"defg", 4), STATUS_SUCCESS);
	assert_memory_equal(w, L"abcde", sizeof(w));
	assert_int_equal(RtlStringCbLengthW(w, sizeof(w), &n), STATUS_SUCCESS);
	assert_int_equal(n, 10);
}

static void counted_strings_take_all_their_room(void **state)
{
	WCHAR buffer[4];
	UNICODE_STRING s = { .MaximumLength = 8, .Buffer = buffer };

	assert_int_equal(RtlUnicodeStringPrintf(&s, L"%d", 123), STATUS_SUCCESS);
	assert_int_equal(s.Length, 6);
	assert_int_equal(RtlUnicodeStringPrintf(&s, L"%d", 1234), STATUS_SUCCESS);
	assert_int_equal(s.Length, 8);
	assert_memory_equal(buffer, L"1234", 8);
	assert_int_equal(RtlUnicodeStringPrintf(&s, L"%d", 56789), STATUS_BUFFER_OVERFLOW);
	assert_memory_equal(buffer, L"5678", 8);
	assert_int_equal(RtlUnicodeStringCopyString(&s, L"ab"), STATUS_SUCCESS);
	assert_int_equal(RtlUnicodeStringCatString(&s, L"cde"), STATUS_BUFFER_OVERFLOW);
	assert_memory_equal(buffer, L"abcd", 8);
}

static char said[1024];
static int said_level;

static void keep(int level, const char *channel, const char *text, void *context)
{
	said_level = level;
	snprintf(said, sizeof(said), "%s", text);
}

static void dbgprint_goes_to_the_log(void **state)
{
	UNICODE_STRING name = RTL_CONSTANT_STRING(L"disk");

	nt_log_set(keep, NULL, NT_LOG_INFO);
	DbgPrint("%wZ has %lu blocks\n", &name, 7);
	assert_string_equal(said, "disk has 7 blocks");
	assert_int_equal(said_level, NT_LOG_INFO);
	DbgPrintEx(DPFLTR_IHVDRIVER_ID, DPFLTR_ERROR_LEVEL, "broken\n");
	assert_int_equal(said_level, NT_LOG_ERROR);
	said[0] = '\0';
	DbgPrintEx(DPFLTR_IHVDRIVER_ID, DPFLTR_TRACE_LEVEL, "too quiet");
	assert_string_equal(said, "");
	nt_log_set(NULL, NULL, NT_LOG_WARNING);
}

static void overflow_is_told(void **state)
{
	ULONG u;
	USHORT s;
	SIZE_T z;

	assert_int_equal(RtlULongAdd(1, 2, &u), STATUS_SUCCESS);
	assert_int_equal(u, 3);
	assert_int_equal(RtlULongAdd(MAXULONG, 1, &u), STATUS_INTEGER_OVERFLOW);
	assert_int_equal(RtlULongSub(1, 2, &u), STATUS_INTEGER_OVERFLOW);
	assert_int_equal(RtlSizeTMult(SIZE_MAX / 2, 3, &z), STATUS_INTEGER_OVERFLOW);
	assert_int_equal(RtlULongToUShort(65535, &s), STATUS_SUCCESS);
	assert_int_equal(RtlULongToUShort(65536, &s), STATUS_INTEGER_OVERFLOW);
	assert_int_equal(RtlLongLongToULong(-1, &u), STATUS_INTEGER_OVERFLOW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_have_windows_sizes),
		cmocka_unit_test(flags_are_those_of_c),
		cmocka_unit_test(strings_of_both_widths),
		cmocka_unit_test(precision_limits_what_is_read),
		cmocka_unit_test(what_does_not_fit_is_cut),
		cmocka_unit_test(strings_are_copied_and_joined),
		cmocka_unit_test(counted_strings_take_all_their_room),
		cmocka_unit_test(dbgprint_goes_to_the_log),
		cmocka_unit_test(overflow_is_told),
	};

	return RUN(tests);
}
