/* SPDX-License-Identifier: BSD-2-Clause */

/* The kernel's C library: its wide characters have 16 bits, and each function does what libc's
 * namesake for char does. */

#include "harness.h"

#define GUARD 0x5a5a

static void wide_strings(void **state)
{
	static const WCHAR text[] = L"C:\\dir\\file.txt";
	WCHAR buffer[32];

	memset(buffer, 0x5a, sizeof(buffer));
	assert_int_equal(wcslen(text), 15);
	assert_int_equal(wcslen(L""), 0);
	assert_int_equal(wcsnlen(text, 4), 4);
	assert_int_equal(wcsnlen(text, 40), 15);
	assert_ptr_equal(wcscpy(buffer, text), buffer);
	assert_memory_equal(buffer, text, sizeof(text));
	assert_int_equal(buffer[16], GUARD);
	assert_ptr_equal(wcscat(buffer, L"!"), buffer);
	assert_int_equal(wcscmp(buffer, L"C:\\dir\\file.txt!"), 0);
	assert_int_equal(buffer[17], GUARD);
	assert_ptr_equal(wcsncat(buffer, L"?abc", 1), buffer);
	assert_int_equal(wcscmp(buffer, L"C:\\dir\\file.txt!?"), 0);
	memset(buffer, 0x5a, sizeof(buffer));
	wcsncpy(buffer, L"ab", 4);
	assert_memory_equal(buffer, L"ab\0", 4 * sizeof(WCHAR));
	assert_int_equal(buffer[4], GUARD);
	wcsncpy(buffer, L"xyz", 2);
	assert_memory_equal(buffer, L"xy\0", 4 * sizeof(WCHAR));
}

static void wide_searches(void **state)
{
	static const WCHAR text[] = L"C:\\dir\\file.txt";

	assert_ptr_equal(wcschr(text, L'\\'), text + 2);
	assert_ptr_equal(wcsrchr(text, L'\\'), text + 6);
	assert_null(wcschr(text, L'?'));
	assert_null(wcsrchr(text, L'?'));
	assert_ptr_equal(wcschr(text, 0), text + 15);
	assert_ptr_equal(wcsrchr(text, 0), text + 15);
	assert_ptr_equal(wcsstr(text, L"file"), text + 7);
	assert_ptr_equal(wcsstr(text, L""), text);
	assert_ptr_equal(wcsstr(text, L"txt"), text + 12);
	assert_null(wcsstr(text, L"txtx"));
	assert_int_equal(wcsspn(text, L":C\\"), 3);
	assert_int_equal(wcscspn(text, L".\\"), 2);
	assert_int_equal(wcscspn(text, L"?"), 15);
	assert_ptr_equal(wcspbrk(text, L"rf"), text + 5);
	assert_null(wcspbrk(text, L"?"));
	assert_ptr_equal(wmemchr(text, L'f', 15), text + 7);
	assert_null(wmemchr(text, L'f', 7));
}

static void wide_comparisons(void **state)
{
	static const WCHAR high[] = { 0xffff, 0 }, low[] = { 0x7fff, 0 };

	assert_true(wcscmp(L"a", L"b") < 0 && wcscmp(L"b", L"a") > 0 && wcscmp(L"a", L"ab") < 0);
	assert_true(wcscmp(high, low) > 0);
	assert_int_equal(wcsncmp(L"abc", L"abd", 2), 0);
	assert_true(wcsncmp(L"abc", L"abd", 3) < 0);
	assert_int_equal(wcsncmp(L"ab", L"ab", 100), 0);
	assert_int_equal(_wcsicmp(L"Grüße", L"GRÜßE"), 0);
	assert_true(_wcsicmp(L"abc", L"ABD") < 0);
	assert_int_equal(_wcsnicmp(L"abcX", L"ABCy", 3), 0);
	assert_true(wmemcmp(high, low, 1) > 0);
	assert_int_equal(wmemcmp(high, low, 0), 0);
	assert_int_equal(_stricmp("Hello", "hELLO"), 0);
	assert_true(_stricmp("a", "B") < 0);
	assert_int_equal(_strnicmp("helloX", "HELLOy", 5), 0);
	assert_true(_strnicmp("", "x", 1) < 0);
}

static void cases_and_order(void **state)
{
	WCHAR wide[] = L"aBcÄ1";
	char narrow[] = "aBc1";

	assert_int_equal(wcscmp(_wcsupr(wide), L"ABCÄ1"), 0);
	assert_int_equal(wcscmp(_wcslwr(wide), L"abcä1"), 0);
	assert_int_equal(wcscmp(_wcsrev(wide), L"1äcba"), 0);
	assert_string_equal(_strupr(narrow), "ABC1");
	assert_string_equal(_strlwr(narrow), "abc1");
	assert_string_equal(_strrev(narrow), "1cba");
	assert_int_equal(towupper(L'ä'), L'Ä');
	assert_int_equal(towlower(0x12345), 0x12345);
}

static void numbers(void **state)
{
	static const WCHAR text[] = L" \t-12x";
	WCHAR *end;

	assert_int_equal(wcstol(text, &end, 10), -12);
	assert_ptr_equal(end, text + 5);
	assert_int_equal(wcstol(L"x", &end, 10), 0);
	assert_int_equal(*end, L'x');
	assert_int_equal(wcstoul(L"0xFfz", &end, 0), 255);
	assert_int_equal(*end, L'z');
	assert_int_equal(wcstoul(L"017", NULL, 0), 15);
	assert_int_equal(wcstoul(L"0x", &end, 16), 0);
	assert_int_equal(*end, L'x');
	assert_int_equal(wcstoul(L"zz", NULL, 36), 35 * 36 + 35);
	/* a long has 32 bits */
	assert_int_equal(wcstoul(L"4294967295", NULL, 10), MAXULONG);
	assert_int_equal(wcstoul(L"4294967296", NULL, 10), MAXULONG);
	assert_int_equal(wcstoul(L"-1", NULL, 10), MAXULONG);
	assert_int_equal(wcstol(L"2147483648", NULL, 10), MAXLONG);
	assert_int_equal(wcstol(L"-2147483649", NULL, 10), INT32_MIN);
	assert_true(_wcstoui64(L"18446744073709551616", NULL, 10) == MAXULONGLONG);
	assert_true(_wcstoui64(L"18446744073709551615", NULL, 10) == MAXULONGLONG);
	assert_true(_wcstoi64(L"-9223372036854775808", NULL, 10) == INT64_MIN);
	assert_int_equal(_wtoi(L"42 and more"), 42);
	assert_true(_wtoi64(L"99999999999") == 99999999999);
}

static void printing_without_a_nul(void **state)
{
	char narrow[8];
	WCHAR wide[8];

	memset(narrow, '#', sizeof(narrow));
	assert_int_equal(_snprintf(narrow, 4, "%d", 123), 3);
	assert_memory_equal(narrow, "123\0####", 8);
	assert_int_equal(_snprintf(narrow, 4, "%d", 1234),
	                 4); /* as many as there is room for: no NUL */
	assert_memory_equal(narrow, "1234####", 8);
	assert_int_equal(_snprintf(narrow, 4, "%d", 98765), -1);
	assert_memory_equal(narrow, "9876####", 8);
	assert_int_equal(_snprintf(narrow, 0, "%d", 1), -1);
	assert_int_equal(_snprintf(narrow, 0, ""), 0);
	assert_memory_equal(narrow, "9876####", 8);
	memset(wide, 0x5a, sizeof(wide));
	assert_int_equal(_snwprintf(wide, 4, L"%d", 1234), 4);
	assert_memory_equal(wide, L"1234", 8);
	assert_int_equal(wide[4], GUARD);
	assert_int_equal(_snwprintf(wide, 4, L"%ws", L"ab"), 2);
	assert_int_equal(wcscmp(wide, L"ab"), 0);
	/* as C has it */
	assert_int_equal(swprintf(wide, 4, L"%s", L"abc"), 3);
	assert_int_equal(swprintf(wide, 4, L"%s", L"abcd"), -1);
	assert_int_equal(wcscmp(wide, L"abc"), 0);
	assert_int_equal(wide[4], GUARD);
}

static void printing_all_or_nothing(void **state)
{
	char narrow[8];
	WCHAR wide[8];

	memset(narrow, '#', sizeof(narrow));
	assert_int_equal(sprintf_s(narrow, 4, "%d", 123), 3);
	assert_string_equal(narrow, "123");
	assert_int_equal(sprintf_s(narrow, 4, "%d", 1234), -1);
	assert_string_equal(narrow, "");
	assert_int_equal(narrow[4], '#');
	assert_int_equal(sprintf_s(narrow, 0, "x"), -1);
	assert_int_equal(swprintf_s(wide, 8, L"%wZ", &(UNICODE_STRING)RTL_CONSTANT_STRING(L"xy")),
	                 2);
	assert_int_equal(wcscmp(wide, L"xy"), 0);
	assert_int_equal(_snprintf_s(narrow, 8, 3, "%d", 12345), -1);
	assert_string_equal(narrow, "123");
	assert_int_equal(_snprintf_s(narrow, 4, _TRUNCATE, "%d", 12345), -1);
	assert_string_equal(narrow, "123");
	assert_int_equal(_snprintf_s(narrow, 4, 9, "%d", 12345), -1);
	assert_string_equal(narrow, "");
	assert_int_equal(_snwprintf_s(wide, 8, 3, L"%d", 12), 2);
	assert_int_equal(wcscmp(wide, L"12"), 0);
}

static void copies_that_know_the_size(void **state)
{
	char narrow[6];
	WCHAR wide[4];

	assert_int_equal(strcpy_s(narrow, sizeof(narrow), "abcde"), 0);
	assert_string_equal(narrow, "abcde");
	assert_int_equal(strcpy_s(narrow, 5, "abcde"), ERANGE);
	assert_string_equal(narrow, "");
	assert_int_equal(strcpy_s(narrow, 5, NULL), EINVAL);
	assert_int_equal(strcpy_s(narrow, 0, "a"), EINVAL);
	assert_int_equal(strcpy_s(NULL, 5, "a"), EINVAL);
	assert_int_equal(strncpy_s(narrow, 6, "abcdef", 3), 0);
	assert_string_equal(narrow, "abc");
	assert_int_equal(strcat_s(narrow, 6, "de"), 0);
	assert_int_equal(strcat_s(narrow, 6, ""), 0);
	assert_string_equal(narrow, "abcde");
	assert_int_equal(strcat_s(narrow, 6, "f"), ERANGE);
	assert_string_equal(narrow, "");
	memcpy(narrow, "abcdef", 6);
	assert_int_equal(strcat_s(narrow, 6, "f"), EINVAL); /* it does not end */
	assert_string_equal(narrow, "");
	assert_int_equal(strncpy_s(narrow, 4, "abcdef", _TRUNCATE), STRUNCATE);
	assert_string_equal(narrow, "abc");
	assert_int_equal(strncat_s(narrow, 5, "xyz", _TRUNCATE), STRUNCATE);
	assert_string_equal(narrow, "abcx");
	assert_int_equal(wcscpy_s(wide, 4, L"abc"), 0);
	assert_int_equal(wcscat_s(wide, 4, L"d"), ERANGE);
	assert_int_equal(wide[0], 0);
	assert_int_equal(wcsncpy_s(wide, 4, L"abcdef", _TRUNCATE), STRUNCATE);
	assert_int_equal(wcscmp(wide, L"abc"), 0);
	assert_int_equal(memcpy_s(narrow, 6, "123456", 6), 0);
	assert_memory_equal(narrow, "123456", 6);
	assert_int_equal(memcpy_s(narrow, 4, "xxxxx", 5), ERANGE);
	assert_memory_equal(narrow, "\0\0\0\00056", 6);
	assert_int_equal(memmove_s(narrow, 6, narrow + 4, 2), 0);
	assert_memory_equal(narrow, "56", 2);
	assert_int_equal(memmove_s(narrow, 1, narrow + 4, 2), ERANGE);
	assert_int_equal(memmove_s(narrow, 1, NULL, 1), EINVAL);
}

static void encodings(void **state)
{
	static const WCHAR wide[] = { 'a', 0xe4, 0xd83d, 0xde00, 0 };
	WCHAR units[8];
	char bytes[16];

	assert_int_equal(wcstombs(NULL, wide, 0), 7);
	assert_int_equal(wcstombs(bytes, wide, sizeof(bytes)), 7);
	assert_string_equal(bytes, "a\xc3\xa4\xf0\x9f\x98\x80");
	memset(bytes, '#', sizeof(bytes));
	assert_int_equal(wcstombs(bytes, wide, 6), 3); /* the last one does not fit whole */
	assert_int_equal(bytes[3], '#');
	assert_int_equal(mbstowcs(units, "a\xc3\xa4\xf0\x9f\x98\x80", 8), 4);
	assert_memory_equal(units, wide, sizeof(wide));
	assert_int_equal(mbstowcs(NULL, "a\xff", 0), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wide_strings),
		cmocka_unit_test(wide_searches),
		cmocka_unit_test(wide_comparisons),
		cmocka_unit_test(cases_and_order),
		cmocka_unit_test(numbers),
		cmocka_unit_test(printing_without_a_nul),
		cmocka_unit_test(printing_all_or_nothing),
		cmocka_unit_test(copies_that_know_the_size),
		cmocka_unit_test(encodings),
	};

	return RUN(tests);
}
