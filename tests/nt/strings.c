/* SPDX-License-Identifier: BSD-2-Clause */
#define INITGUID
#include "harness.h"

DEFINE_GUID(GUID_SCSI, 0xba6163d9, 0x04a1, 0x4d29, 0xb6, 0x05, 0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f);
DECLARE_GLOBAL_CONST_UNICODE_STRING(global_name, L"global");

static UNICODE_STRING wide(PCWSTR s)
{
	UNICODE_STRING string;

	RtlInitUnicodeString(&string, s);
	return string;
}

static bool is(PCUNICODE_STRING string, PCWSTR text)
{
	UNICODE_STRING other = wide(text);

	return RtlEqualUnicodeString(string, &other, FALSE);
}

static void a_string_is_pointed_at(void **state)
{
	UNICODE_STRING s, constant = RTL_CONSTANT_STRING(L"four");
	ANSI_STRING a, ansi = RTL_CONSTANT_STRING("four");
	DECLARE_CONST_UNICODE_STRING(local, L"abc");

	RtlInitUnicodeString(&s, L"hello");
	assert_int_equal(s.Length, 10);
	assert_int_equal(s.MaximumLength, 12);
	RtlInitUnicodeString(&s, NULL);
	assert_int_equal(s.Length + s.MaximumLength, 0);
	assert_int_equal(constant.Length, 8);
	assert_int_equal(constant.MaximumLength, 10);
	assert_int_equal(ansi.Length, 4);
	assert_int_equal(local.Length, 6);
	assert_int_equal(global_name.Length, 12);
	RtlInitAnsiString(&a, "four");
	assert_true(RtlEqualString(&a, &ansi, FALSE));
}

static void a_string_too_long_is_cut_or_refused(void **state)
{
	WCHAR *text = malloc(40001 * sizeof(WCHAR));
	UNICODE_STRING s;

	for (unsigned i = 0; i < 40000; i++)
		text[i] = 'x';
	text[40000] = 0;
	RtlInitUnicodeString(&s, text);
	assert_int_equal(s.Length, 65532);
	assert_int_equal(RtlInitUnicodeStringEx(&s, text), STATUS_NAME_TOO_LONG);
	free(text);
}

static void strings_are_compared(void **state)
{
	UNICODE_STRING a = wide(L"Abc"), b = wide(L"abD"), c = wide(L"ab"),
		       d = wide(L"\xe4\x3b1\x44f"), e = wide(L"\xc4\x391\x42f");

	assert_true(RtlCompareUnicodeString(&a, &b, TRUE) < 0);
	assert_true(RtlCompareUnicodeString(&b, &a, FALSE) > 0);
	assert_true(RtlCompareUnicodeString(&a, &c, TRUE) > 0);
	assert_false(RtlEqualUnicodeString(&d, &e, FALSE));
	assert_true(RtlEqualUnicodeString(&d, &e, TRUE));
	assert_true(RtlPrefixUnicodeString(&c, &a, TRUE));
	assert_false(RtlPrefixUnicodeString(&c, &a, FALSE));
	assert_false(RtlPrefixUnicodeString(&a, &c, TRUE));
	for (unsigned i = 0; i < 0x10000; i++) {
		WCHAR up = RtlUpcaseUnicodeChar((WCHAR)i);

		assert_int_equal(RtlUpcaseUnicodeChar(up), up);
		assert_int_equal(RtlUpcaseUnicodeChar(RtlDowncaseUnicodeChar(up)), up);
	}
}

static void strings_are_copied_and_appended(void **state)
{
	UNICODE_STRING from = wide(L"abcdef"), tail = wide(L"gh");
	WCHAR buffer[8] = { 0 };
	UNICODE_STRING to = { .MaximumLength = 7, .Buffer = buffer }; /* three and a half */

	RtlCopyUnicodeString(&to, &from);
	assert_true(is(&to, L"abc"));
	to.MaximumLength = 16;
	RtlCopyUnicodeString(&to, &from);
	assert_int_equal(buffer[6], 0);
	assert_int_equal(RtlAppendUnicodeStringToString(&to, &tail), STATUS_SUCCESS);
	assert_true(is(&to, L"abcdefgh"));
	assert_int_equal(RtlAppendUnicodeToString(&to, L"i"), STATUS_BUFFER_TOO_SMALL);
	assert_true(is(&to, L"abcdefgh"));
	assert_int_equal(RtlAppendUnicodeToString(&to, NULL), STATUS_SUCCESS);
	RtlCopyUnicodeString(&to, NULL);
	assert_int_equal(to.Length, 0);
}

static void utf8_becomes_utf16_and_back(void **state)
{
	static const char text[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80!";
	ANSI_STRING ansi, back;
	UNICODE_STRING unicode;

	RtlInitAnsiString(&ansi, text);
	assert_int_equal(RtlAnsiStringToUnicodeString(&unicode, &ansi, TRUE), STATUS_SUCCESS);
	assert_true(is(&unicode, L"a\xe4\x20ac\xd83d\xde00!"));
	assert_int_equal(RtlUnicodeStringToAnsiString(&back, &unicode, TRUE), STATUS_SUCCESS);
	assert_string_equal(back.Buffer, text);
	RtlFreeAnsiString(&back);
	back = (ANSI_STRING){ .MaximumLength = 3, .Buffer = (char[3]){ 0 } };
	assert_int_equal(RtlUnicodeStringToAnsiString(&back, &unicode, FALSE),
	                 STATUS_BUFFER_OVERFLOW);
	RtlFreeUnicodeString(&unicode);
}

/* Cut short, overlong, a surrogate, past the end of Unicode, a lone continuation. */
static void ill_formed_text_is_replaced(void **state)
{
	static const char *const texts[] = { "\xe2\x82",     "\xc0\x80",
		                             "\xed\xa0\x80", "\xf5\x80\x80\x80",
		                             "\x80",         "\xf4\x90\x80\x80",
		                             "\xff",         "\xf8\x88\x80\x80" };
	WCHAR lone[] = { 0xdc00, 0xd800, 'x' };
	UNICODE_STRING unicode = { .Length = 6, .MaximumLength = 6, .Buffer = lone };
	ANSI_STRING ansi;

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		UNICODE_STRING out;

		RtlInitAnsiString(&ansi, texts[i]);
		assert_int_equal(RtlAnsiStringToUnicodeString(&out, &ansi, TRUE), STATUS_SUCCESS);
		assert_int_equal(out.Buffer[0], 0xfffd);
		RtlFreeUnicodeString(&out);
	}
	assert_int_equal(RtlUnicodeStringToAnsiString(&ansi, &unicode, TRUE), STATUS_SUCCESS);
	assert_string_equal(ansi.Buffer, "\xef\xbf\xbd\xef\xbf\xbdx");
	RtlFreeAnsiString(&ansi);
}

static void numbers_are_read_and_written(void **state)
{
	static const struct {
		PCWSTR text;
		ULONG base, value;
	} numbers[] = { { L"123", 0, 123 },  { L" -1", 10, 0xffffffff },
		        { L"0x1F", 0, 31 },  { L"0b101", 0, 5 },
		        { L"0o17", 0, 15 },  { L"ff", 16, 255 },
		        { L"12z9", 10, 12 }, { L"", 10, 0 },
		        { L"+7", 8, 7 } };
	WCHAR buffer[10];
	UNICODE_STRING s = { .MaximumLength = sizeof(buffer), .Buffer = buffer };
	ULONG value;

	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		UNICODE_STRING text = wide(numbers[i].text);

		assert_int_equal(RtlUnicodeStringToInteger(&text, numbers[i].base, &value),
		                 STATUS_SUCCESS);
		assert_int_equal(value, numbers[i].value);
	}
	assert_int_equal(RtlUnicodeStringToInteger(&s, 7, &value), STATUS_INVALID_PARAMETER);
	assert_int_equal(RtlIntegerToUnicodeString(0xbeef, 16, &s), STATUS_SUCCESS);
	assert_true(is(&s, L"BEEF"));
	assert_int_equal(RtlIntegerToUnicodeString(0, 0, &s), STATUS_SUCCESS);
	assert_true(is(&s, L"0"));
	assert_int_equal(RtlIntegerToUnicodeString(0xffffffff, 2, &s), STATUS_BUFFER_OVERFLOW);
}

static void a_guid_has_a_text(void **state)
{
	UNICODE_STRING text, bad = wide(L"{ba6163d9-04a1-4d29-b605-72e2ffb1dc7g}");
	GUID guid;

	assert_int_equal(RtlStringFromGUID(&GUID_SCSI, &text), STATUS_SUCCESS);
	assert_true(is(&text, L"{BA6163D9-04A1-4D29-B605-72E2FFB1DC7F}"));
	assert_int_equal(RtlGUIDFromString(&text, &guid), STATUS_SUCCESS);
	assert_true(IsEqualGUID(&guid, &GUID_SCSI));
	assert_int_equal(RtlGUIDFromString(&bad, &guid), STATUS_INVALID_PARAMETER);
	text.Length -= 2;
	assert_int_equal(RtlGUIDFromString(&text, &guid), STATUS_INVALID_PARAMETER);
	RtlFreeUnicodeString(&text);
}

static void memory_is_compared(void **state)
{
	assert_int_equal(RtlCompareMemory("abcd", "abxd", 4), 2);
	assert_int_equal(RtlCompareMemory("abcd", "abcd", 4), 4);
	assert_true(RtlEqualMemory("abcd", "abcd", 4));
	assert_true(RtlIsZeroMemory("\0\0\0", 3));
	assert_false(RtlIsZeroMemory("\0\0\1", 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_string_is_pointed_at),
		cmocka_unit_test(a_string_too_long_is_cut_or_refused),
		cmocka_unit_test(strings_are_compared),
		cmocka_unit_test(strings_are_copied_and_appended),
		cmocka_unit_test(utf8_becomes_utf16_and_back),
		cmocka_unit_test(ill_formed_text_is_replaced),
		cmocka_unit_test(numbers_are_read_and_written),
		cmocka_unit_test(a_guid_has_a_text),
		cmocka_unit_test(memory_is_compared),
	};

	return RUN(tests);
}
