/* SPDX-License-Identifier: BSD-2-Clause */

/* DbgPrint and its formats, assertions, bug checks. */

#include "private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEBUG_LINE_MAX 512

/* ---- Windows' formats ---- */

struct debug_line {
	char text[DEBUG_LINE_MAX];
	size_t used;
};

static void line_add(struct debug_line *line, const char *text, size_t n)
{
	size_t room = sizeof(line->text) - 1 - line->used;

	n = n < room ? n : room;
	memcpy(line->text + line->used, text, n);
	line->used += n;
	line->text[line->used] = '\0';
}

/* A conversion as it stands in the format. */
struct debug_spec {
	char flags[8];
	int width;     /* -1: none */
	int precision; /* -1: none */
	unsigned size; /* bytes of the argument */
	bool wide;
	char conversion;
};

static const char *spec_number(const char *f, int *number, va_list *arguments)
{
	if (*f == '*') {
		*number = va_arg(*arguments, int);
		return f + 1;
	}
	if (*f < '0' || *f > '9')
		return f;
	for (*number = 0; *f >= '0' && *f <= '9'; f++)
		if (*number < DEBUG_LINE_MAX)
			*number = *number * 10 + (*f - '0');
	return f;
}

/* Sizes: hh h l (32 bits) ll I64 (64) I z p (a pointer's) w (wide). */
static const char *spec_size(const char *f, struct debug_spec *spec)
{
	static const struct {
		const char *prefix;
		unsigned size;
		bool wide;
	} sizes[] = {
		{ "hh", 4, false },
		{ "h", 4, false },
		{ "ll", 8, false },
		{ "l", 4, true },
		{ "I64", 8, false },
		{ "I32", 4, false },
		{ "I", sizeof(void *), false },
		{ "z", sizeof(void *), false },
		{ "w", 4, true },
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = strlen(sizes[i].prefix);

		if (strncmp(f, sizes[i].prefix, n) == 0) {
			spec->size = sizes[i].size;
			spec->wide = sizes[i].wide;
			return f + n;
		}
	}
	return f;
}

static const char *spec_parse(const char *f, struct debug_spec *spec, va_list *arguments)
{
	size_t n = 0;

	*spec = (struct debug_spec){ .width = -1, .precision = -1, .size = 4 };
	while (*f && strchr("-+ #0", *f)) {
		if (n + 1 < sizeof(spec->flags))
			spec->flags[n++] = *f;
		f++;
	}
	f = spec_number(f, &spec->width, arguments);
	if (*f == '.') {
		spec->precision = 0;
		f = spec_number(f + 1, &spec->precision, arguments);
	}
	f = spec_size(f, spec);
	spec->conversion = *f;
	return *f ? f + 1 : f;
}

static void line_add_padded(struct debug_line *line, const struct debug_spec *spec,
                            const char *text, size_t n)
{
	bool left = strchr(spec->flags, '-') != NULL;
	size_t pad;

	if (spec->precision >= 0 && n > (size_t)spec->precision)
		n = (size_t)spec->precision;
	pad = spec->width > 0 && (size_t)spec->width > n ? (size_t)spec->width - n : 0;
	for (size_t i = 0; !left && i < pad; i++)
		line_add(line, " ", 1);
	line_add(line, text, n);
	for (size_t i = 0; left && i < pad; i++)
		line_add(line, " ", 1);
}

/* Through a bounded buffer: what does not fit in a line is not printed anyway. */
static void line_add_wide(struct debug_line *line, const struct debug_spec *spec, const WCHAR *text,
                          size_t count)
{
	char bytes[DEBUG_LINE_MAX];
	UNICODE_STRING wide = { .Buffer = (PWCH)(uintptr_t)text };
	ANSI_STRING narrow = { .Buffer = bytes, .MaximumLength = sizeof(bytes) };

	if (count > DEBUG_LINE_MAX / 4)
		count = DEBUG_LINE_MAX / 4;
	wide.Length = wide.MaximumLength = (USHORT)(count * sizeof(WCHAR));
	if (NT_SUCCESS(RtlUnicodeStringToAnsiString(&narrow, &wide, FALSE)))
		line_add_padded(line, spec, bytes, narrow.Length);
}

static size_t wide_count(const WCHAR *text, int precision)
{
	size_t n = 0;

	while ((precision < 0 || n < (size_t)precision) && text[n])
		n++;
	return n;
}

static void line_add_string(struct debug_line *line, const struct debug_spec *spec,
                            const void *text)
{
	bool wide = spec->wide != (spec->conversion == 'S');

	if (!text)
		line_add_padded(line, spec, "(null)", 6);
	else if (wide)
		line_add_wide(line, spec, text, wide_count(text, spec->precision));
	else
		line_add_padded(line, spec, text,
		                spec->precision >= 0 ? strnlen(text, (size_t)spec->precision)
		                                     : strlen(text));
}

static void line_add_counted(struct debug_line *line, const struct debug_spec *spec,
                             const void *string)
{
	const UNICODE_STRING *wide = string;
	const ANSI_STRING *narrow = string;

	if (!string || !narrow->Buffer)
		line_add_padded(line, spec, "(null)", 6);
	else if (spec->wide)
		line_add_wide(line, spec, wide->Buffer, wide->Length / sizeof(WCHAR));
	else
		line_add_padded(line, spec, narrow->Buffer, narrow->Length);
}

static void line_add_number(struct debug_line *line, const struct debug_spec *spec, uint64_t value)
{
	char format[32], text[DEBUG_LINE_MAX];
	bool is_signed = spec->conversion == 'd' || spec->conversion == 'i';
	int n;

	if (is_signed && spec->size == 4)
		value = (uint64_t)(int64_t)(int32_t)value;
	else if (spec->size == 4)
		value = (uint32_t)value;
	snprintf(format, sizeof(format), "%%%s*.*ll%c", spec->flags,
	         spec->conversion == 'p' ? 'X' : spec->conversion);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	n = snprintf(text, sizeof(text), format, spec->width < 0 ? 0 : spec->width, spec->precision,
	             (unsigned long long)value);
#pragma GCC diagnostic pop
	if (n > 0)
		line_add(line, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static void line_add_argument(struct debug_line *line, struct debug_spec *spec, va_list *arguments)
{
	char c;

	switch (spec->conversion) {
	case 'd':
	case 'i':
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		line_add_number(line, spec,
		                spec->size == 8 ? va_arg(*arguments, uint64_t)
		                                : va_arg(*arguments, uint32_t));
		break;
	case 'p':
		spec->size = 8;
		spec->precision = 2 * (int)sizeof(void *);
		line_add_number(line, spec, (uintptr_t)va_arg(*arguments, void *));
		break;
	case 'c':
	case 'C':
		c = (char)va_arg(*arguments, int);
		line_add_padded(line, spec, &c, 1);
		break;
	case 's':
	case 'S':
		line_add_string(line, spec, va_arg(*arguments, const void *));
		break;
	case 'Z':
		line_add_counted(line, spec, va_arg(*arguments, const void *));
		break;
	default: /* '%' and what nobody knows */
		line_add(line, &spec->conversion, spec->conversion != '\0');
	}
}

static void line_format(struct debug_line *line, const char *format, va_list *arguments)
{
	while (*format) {
		size_t plain = strcspn(format, "%");
		struct debug_spec spec;

		line_add(line, format, plain);
		format += plain;
		if (*format != '%')
			break;
		format = spec_parse(format + 1, &spec, arguments);
		line_add_argument(line, &spec, arguments);
	}
	while (line->used && line->text[line->used - 1] == '\n')
		line->text[--line->used] = '\0';
}

ULONG vDbgPrintEx(ULONG component, ULONG level, PCSTR format, va_list arguments)
{
	static const enum nt_log_level levels[] = {
		[DPFLTR_ERROR_LEVEL] = NT_LOG_ERROR,
		[DPFLTR_WARNING_LEVEL] = NT_LOG_WARNING,
		[DPFLTR_TRACE_LEVEL] = NT_LOG_TRACE,
		[DPFLTR_INFO_LEVEL] = NT_LOG_INFO,
	};
	enum nt_log_level to = level <= DPFLTR_INFO_LEVEL ? levels[level] : NT_LOG_INFO;
	struct debug_line line = { .used = 0 };
	va_list copy;

	if (!nt_log_enabled(to))
		return STATUS_SUCCESS;
	va_copy(copy, arguments);
	line_format(&line, format, &copy);
	va_end(copy);
	nt_log(to, NULL, "%s", line.text);
	return STATUS_SUCCESS;
}

ULONG DbgPrintEx(ULONG component, ULONG level, PCSTR format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vDbgPrintEx(component, level, format, arguments);
	va_end(arguments);
	return STATUS_SUCCESS;
}

ULONG DbgPrint(PCSTR format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vDbgPrintEx(DPFLTR_DEFAULT_ID, DPFLTR_INFO_LEVEL, format, arguments);
	va_end(arguments);
	return STATUS_SUCCESS;
}

/* ---- stops ---- */

void RtlAssert(const void *failed, const void *file, ULONG line, PCSTR message)
{
	nt_log(NT_LOG_ERROR, NULL, "%s:%u: assertion failed: %s%s%s", (const char *)file, line,
	       (const char *)failed, message ? ": " : "", message ? message : "");
	abort();
}

void KeBugCheckEx(ULONG code, ULONG_PTR p1, ULONG_PTR p2, ULONG_PTR p3, ULONG_PTR p4)
{
	nt_log(NT_LOG_ERROR, NULL, "bug check 0x%08X (0x%llx, 0x%llx, 0x%llx, 0x%llx)", code,
	       (unsigned long long)p1, (unsigned long long)p2, (unsigned long long)p3,
	       (unsigned long long)p4);
	abort();
}

void KeBugCheck(ULONG code)
{
	KeBugCheckEx(code, 0, 0, 0, 0);
}
