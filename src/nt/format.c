/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

/*
 * The formats of Windows' kernel printf: %l is 32 bits, %ll and %I64 are 64, %I and %z a pointer's;
 * %s is of the format's own width, %S of the other, %hs narrow, %ls and %ws wide; %Z is an
 * ANSI_STRING, %wZ a UNICODE_STRING. No floating point, as in the kernel.
 */

/* Where the characters go: bytes of UTF-8 or units of UTF-16. */
struct sink {
	char *narrow;
	WCHAR *wide; /* one of them */
	size_t size;
	size_t room;   /* of that, for characters */
	size_t used;   /* written */
	size_t needed; /* to be written, if there were room */
	bool full;
};

static void put_unit(struct sink *s, uint32_t unit)
{
	if (s->wide)
		s->wide[s->used++] = (WCHAR)unit;
	else
		s->narrow[s->used++] = (char)unit;
}

/* The units of one character: all of them, or none and no more. */
static void put_units(struct sink *s, const uint8_t *bytes, const WCHAR *units, size_t n)
{
	size_t i;

	s->needed += n;
	if (s->full || n > s->room - s->used) {
		s->full = true;
		return;
	}
	for (i = 0; i < n; i++)
		put_unit(s, bytes ? bytes[i] : units[i]);
}

static void put_character(struct sink *s, uint32_t c)
{
	uint8_t bytes[4];
	WCHAR units[2];

	if (s->wide)
		put_units(s, NULL, units, nt_utf16_put(units, c));
	else
		put_units(s, bytes, NULL, nt_utf8_put(bytes, c));
}

static size_t width_of(const struct sink *s, uint32_t c)
{
	uint8_t bytes[4];
	WCHAR units[2];

	return s->wide ? nt_utf16_put(units, c) : nt_utf8_put(bytes, c);
}

/* ---- a text argument: counted, in either encoding ---- */

struct text {
	const uint8_t *bytes;
	const WCHAR *units; /* one of them */
	size_t count;
};

static const struct text null_text = { .bytes = (const uint8_t *)"(null)", .count = 6 };

static uint32_t text_next(struct text *t)
{
	const uint8_t *bytes = t->bytes;
	const WCHAR *units = t->units;
	uint32_t c;

	if (bytes) {
		c = nt_utf8_next(&bytes, bytes + t->count);
		t->count -= (size_t)(bytes - t->bytes);
		t->bytes = bytes;
	} else {
		c = nt_utf16_next(&units, units + t->count);
		t->count -= (size_t)(units - t->units);
		t->units = units;
	}
	return c;
}

/* Up to its NUL, or as many as there may be: behind those nothing is read. */
static struct text text_ending_in_nul(const void *p, bool wide, int limit)
{
	struct text t = { .bytes = wide ? NULL : p, .units = wide ? p : NULL };

	if (!p)
		return null_text;
	while ((limit < 0 || t.count < (size_t)limit) &&
	       (wide ? t.units[t.count] != 0 : t.bytes[t.count] != 0))
		t.count++;
	return t;
}

static struct text text_of_string(const void *p, bool wide)
{
	const UNICODE_STRING *unicode = p;
	const ANSI_STRING *ansi = p;

	if (!p || !ansi->Buffer)
		return null_text;
	if (wide)
		return (struct text){ .units = unicode->Buffer,
			              .count = unicode->Length / sizeof(WCHAR) };
	return (struct text){ .bytes = (const uint8_t *)ansi->Buffer, .count = ansi->Length };
}

/* ---- conversions ---- */

struct spec {
	bool left, plus, space, alternate, zero;
	int width;     /* 0: none */
	int precision; /* -1: none */
	unsigned size; /* of a number, in bytes */
	char prefix;   /* 'h', 'l' for strings; 0: none */
	char conversion;
};

static void put_padding(struct sink *s, const struct spec *spec, size_t length, bool here)
{
	size_t i;

	if (here && spec->width > 0)
		for (i = length; i < (size_t)spec->width; i++)
			put_character(s, ' ');
}

/* Width and precision count units of the output. */
static void put_text(struct sink *s, const struct spec *spec, struct text text)
{
	struct text measured = text;
	size_t limit = spec->precision >= 0 ? (size_t)spec->precision : SIZE_MAX;
	size_t length = 0, written = 0;

	while (measured.count) {
		size_t w = width_of(s, text_next(&measured));

		if (length + w > limit)
			break;
		length += w;
	}
	put_padding(s, spec, length, !spec->left);
	while (written < length) {
		uint32_t c = text_next(&text);

		written += width_of(s, c);
		put_character(s, c);
	}
	put_padding(s, spec, length, spec->left);
}

/* The digits, least first; returns how many. */
static size_t digits_of(uint64_t value, unsigned base, const char *alphabet, char *digits)
{
	size_t n = 0;

	for (; value; value /= base)
		digits[n++] = alphabet[value % base];
	return n;
}

static const char *sign_of(const struct spec *spec, bool negative)
{
	return negative ? "-" : spec->plus ? "+" : spec->space ? " " : "";
}

static void put_number(struct sink *s, const struct spec *spec, uint64_t value)
{
	const bool is_signed = spec->conversion == 'd' || spec->conversion == 'i';
	const bool hex = spec->conversion == 'x' || spec->conversion == 'X';
	const bool negative = is_signed && (int64_t)value < 0;
	const unsigned base = hex ? 16 : spec->conversion == 'o' ? 8 : 10;
	const char *head = is_signed ? sign_of(spec, negative) : "";
	char digits[24];
	size_t n, zeros, length;

	if (hex && spec->alternate && value)
		head = spec->conversion == 'x' ? "0x" : "0X";
	n = digits_of(negative ? 0 - value : value, base,
	              spec->conversion == 'x' ? "0123456789abcdef" : "0123456789ABCDEF", digits);
	zeros = spec->precision < 0           ? n == 0
	        : (size_t)spec->precision > n ? (size_t)spec->precision - n
	                                      : 0;
	if (base == 8 && spec->alternate && zeros == 0)
		zeros = 1;
	length = strlen(head) + zeros + n;
	if (spec->zero && !spec->left && spec->precision < 0 && (size_t)spec->width > length) {
		zeros += (size_t)spec->width - length;
		length = (size_t)spec->width;
	}
	put_padding(s, spec, length, !spec->left);
	for (; *head; head++)
		put_character(s, (uint32_t)*head);
	for (; zeros; zeros--)
		put_character(s, '0');
	while (n)
		put_character(s, (uint32_t)digits[--n]);
	put_padding(s, spec, length, spec->left);
}

/* As wide as the size says, the sign spread. */
static uint64_t number_argument(const struct spec *spec, va_list *arguments)
{
	const bool is_signed = spec->conversion == 'd' || spec->conversion == 'i';
	uint32_t value;

	if (spec->size == 8)
		return va_arg(*arguments, uint64_t);
	value = va_arg(*arguments, uint32_t);
	switch (spec->size) {
	case 1:
		return is_signed ? (uint64_t)(int64_t)(int8_t)value : (uint8_t)value;
	case 2:
		return is_signed ? (uint64_t)(int64_t)(int16_t)value : (uint16_t)value;
	default:
		return is_signed ? (uint64_t)(int64_t)(int32_t)value : value;
	}
}

/* Is a string or character of that conversion wide? */
static bool is_wide(const struct sink *s, const struct spec *spec)
{
	if (spec->prefix)
		return spec->prefix == 'l';
	return (s->wide != NULL) != (spec->conversion == 'S' || spec->conversion == 'C');
}

static void put_char_argument(struct sink *s, const struct spec *spec, int value)
{
	uint8_t byte = (uint8_t)value;
	WCHAR unit = (WCHAR)value;

	if (is_wide(s, spec))
		put_text(s, spec, (struct text){ .units = &unit, .count = 1 });
	else
		put_text(s, spec, (struct text){ .bytes = &byte, .count = 1 });
}

static void put_pointer(struct sink *s, const struct spec *spec, const void *p)
{
	struct spec hex = *spec;

	hex.conversion = 'X';
	hex.precision = 2 * sizeof(void *);
	put_number(s, &hex, (uintptr_t)p);
}

static void put_argument(struct sink *s, const struct spec *spec, va_list *arguments)
{
	switch (spec->conversion) {
	case 'd':
	case 'i':
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		put_number(s, spec, number_argument(spec, arguments));
		break;
	case 'p':
		put_pointer(s, spec, va_arg(*arguments, const void *));
		break;
	case 'c':
	case 'C':
		put_char_argument(s, spec, va_arg(*arguments, int));
		break;
	case 's':
	case 'S':
		put_text(s, spec,
		         text_ending_in_nul(va_arg(*arguments, const void *), is_wide(s, spec),
		                            spec->precision));
		break;
	case 'Z':
		put_text(s, spec,
		         text_of_string(va_arg(*arguments, const void *), spec->prefix == 'l'));
		break;
	case '\0':
		break;
	default: /* '%' and what nobody knows */
		put_character(s, (uint8_t)spec->conversion);
		break;
	}
}

/* ---- the format, in either encoding ---- */

/* What is not ASCII is no part of a conversion. */
static char peek(const struct text *f, size_t ahead)
{
	uint32_t c;

	if (ahead >= f->count)
		return '\0';
	c = f->bytes ? f->bytes[ahead] : f->units[ahead];
	return c < 0x80 ? (char)c : '?';
}

static void skip(struct text *f, size_t n)
{
	f->count -= n;
	if (f->bytes)
		f->bytes += n;
	else
		f->units += n;
}

static bool accept(struct text *f, const char *word)
{
	size_t i;

	for (i = 0; word[i]; i++)
		if (peek(f, i) != word[i])
			return false;
	skip(f, i);
	return true;
}

static void parse_flags(struct text *f, struct spec *spec)
{
	for (;; skip(f, 1)) {
		switch (peek(f, 0)) {
		case '-':
			spec->left = true;
			break;
		case '+':
			spec->plus = true;
			break;
		case ' ':
			spec->space = true;
			break;
		case '#':
			spec->alternate = true;
			break;
		case '0':
			spec->zero = true;
			break;
		default:
			return;
		}
	}
}

#define NUMBER_MAX 65535

static int parse_number(struct text *f, va_list *arguments)
{
	int n = 0;

	if (accept(f, "*")) {
		n = va_arg(*arguments, int);
		return n > NUMBER_MAX ? NUMBER_MAX : n < -NUMBER_MAX ? -NUMBER_MAX : n;
	}
	for (; peek(f, 0) >= '0' && peek(f, 0) <= '9'; skip(f, 1))
		if (n <= NUMBER_MAX)
			n = n * 10 + (peek(f, 0) - '0');
	return n > NUMBER_MAX ? NUMBER_MAX : n;
}

static void parse_size(struct text *f, struct spec *spec)
{
	static const struct {
		char word[4];
		uint8_t size;
		char prefix;
	} sizes[] = {
		{ "hh", 1, 'h' }, { "h", 2, 'h' }, { "ll", 8, 0 },  { "l", 4, 'l' },
		{ "w", 4, 'l' },  { "I64", 8, 0 }, { "I32", 4, 0 }, { "I", 8, 0 },
		{ "z", 8, 0 },    { "j", 8, 0 },   { "t", 8, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (accept(f, sizes[i].word)) {
			spec->size = sizes[i].size;
			spec->prefix = sizes[i].prefix;
			return;
		}
	}
}

static struct spec parse_spec(struct text *f, va_list *arguments)
{
	struct spec spec = { .precision = -1, .size = 4 };

	parse_flags(f, &spec);
	spec.width = parse_number(f, arguments);
	if (spec.width < 0) {
		spec.left = true;
		spec.width = -spec.width;
	}
	if (accept(f, "."))
		spec.precision = parse_number(f, arguments);
	parse_size(f, &spec);
	spec.conversion = peek(f, 0);
	if (f->count)
		skip(f, 1);
	return spec;
}

static void run(struct sink *s, struct text f, va_list *arguments)
{
	while (f.count) {
		struct spec spec;

		if (!accept(&f, "%")) {
			put_character(s, text_next(&f));
			continue;
		}
		spec = parse_spec(&f, arguments);
		put_argument(s, &spec, arguments);
	}
}

static size_t finish(struct sink *s, size_t *needed)
{
	if (s->used < s->size && s->wide)
		s->wide[s->used] = 0;
	else if (s->used < s->size)
		s->narrow[s->used] = '\0';
	if (needed)
		*needed = s->needed;
	return s->used;
}

static size_t format_into(struct sink *s, struct text format, size_t *needed, va_list arguments)
{
	va_list copy;

	va_copy(copy, arguments);
	run(s, format, &copy);
	va_end(copy);
	return finish(s, needed);
}

size_t nt_format(char *to, size_t size, size_t *needed, const char *format, va_list arguments)
{
	struct sink s = { .narrow = to, .size = size, .room = size ? size - 1 : 0 };

	return format_into(&s, text_ending_in_nul(format, false, -1), needed, arguments);
}

size_t nt_format_cut(char *to, size_t size, size_t *needed, const char *format, va_list arguments)
{
	struct sink s = { .narrow = to, .size = size, .room = size };

	return format_into(&s, text_ending_in_nul(format, false, -1), needed, arguments);
}

size_t nt_format_wide(WCHAR *to, size_t size, size_t *needed, const WCHAR *format,
                      va_list arguments)
{
	struct sink s = { .wide = to, .size = size, .room = size ? size - 1 : 0 };

	return format_into(&s, text_ending_in_nul(format, true, -1), needed, arguments);
}

size_t nt_format_wide_cut(WCHAR *to, size_t size, size_t *needed, const WCHAR *format,
                          va_list arguments)
{
	struct sink s = { .wide = to, .size = size, .room = size };

	return format_into(&s, text_ending_in_nul(format, true, -1), needed, arguments);
}
