/* SPDX-License-Identifier: BSD-2-Clause */
#include "ic/utf16.h"

#define NONE UINT32_MAX

static bool is_surrogate(uint32_t c)
{
	return c >= 0xd800 && c < 0xe000;
}

/* The character at *text, of which *text is moved to the end; NONE: ill-formed. */
static uint32_t utf8_next(const uint8_t **text)
{
	static const struct {
		uint8_t mask, lead;
		uint32_t least;
	} forms[] = { { 0x80, 0x00, 0 },
		      { 0xe0, 0xc0, 0x80 },
		      { 0xf0, 0xe0, 0x800 },
		      { 0xf8, 0xf0, 0x10000 } };
	const uint8_t *p = *text;
	uint32_t c, length, i;

	for (length = 0; length < 4 && (*p & forms[length].mask) != forms[length].lead; length++)
		;
	if (length == 4)
		return NONE;
	c = *p++ & (uint8_t)~forms[length].mask;
	for (i = 0; i < length; i++, p++) {
		if ((*p & 0xc0) != 0x80) /* the end of the string, too */
			return NONE;
		c = c << 6 | (*p & 0x3f);
	}
	*text = p;
	return c < forms[length].least || c > 0x10ffff || is_surrogate(c) ? NONE : c;
}

uint32_t utf16_from_utf8(const char *text, uint16_t *units, uint32_t capacity)
{
	const uint8_t *p = (const uint8_t *)text;
	uint32_t n = 0;

	while (*p) {
		uint32_t c = utf8_next(&p);

		if (c == NONE || n + (c > 0xffff) + 1 >= capacity)
			return 0;
		if (c > 0xffff) {
			units[n++] = (uint16_t)(0xd800 | (c - 0x10000) >> 10);
			c = 0xdc00 | (c & 0x3ff);
		}
		units[n++] = (uint16_t)c;
	}
	if (n >= capacity)
		return 0;
	units[n++] = 0;
	return n;
}

/* Likewise, with `end` the end of what is there. */
static uint32_t utf16_next(const uint16_t **units, const uint16_t *end)
{
	uint32_t c = *(*units)++, low;

	if (!is_surrogate(c))
		return c;
	if (c >= 0xdc00 || *units == end)
		return NONE;
	low = *(*units)++;
	if (low < 0xdc00 || low >= 0xe000)
		return NONE;
	return 0x10000 + ((c & 0x3ff) << 10 | (low & 0x3ff));
}

static uint32_t utf8_length(uint32_t c)
{
	return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

static void utf8_put(uint32_t c, uint32_t length, char *text)
{
	static const uint8_t leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	uint32_t i;

	for (i = length; i-- > 1;) {
		text[i] = (char)(0x80 | (c & 0x3f));
		c >>= 6;
	}
	text[0] = (char)(leads[length] | c);
}

bool utf16_to_utf8(const uint16_t *units, uint32_t count, char *text, size_t capacity)
{
	const uint16_t *end = units + count;
	size_t n = 0;

	while (units < end) {
		uint32_t c = utf16_next(&units, end), length = utf8_length(c);

		if (c == NONE || n + length > capacity)
			return false;
		utf8_put(c, length, text + n);
		if (!c)
			return true;
		n += length;
	}
	return false;
}
