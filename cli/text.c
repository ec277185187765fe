/* SPDX-License-Identifier: BSD-2-Clause */
/* Text that comes from elsewhere, for a terminal or for JSON. */
#include "cli.h"

#include <string.h>

size_t cli_character(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t n = *p < 0xc2 || *p > 0xf4 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4, i;
	/* Of the second byte: not C1, and no longer form of something shorter. */
	unsigned int least = *p == 0xc2 || *p == 0xe0 ? 0xa0 : *p == 0xf0 ? 0x90 : 0x80;

	if (*p < 0x7f)
		return *p >= 0x20;
	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80 || p[1] < least)
			return 0;
	}
	return n;
}

void cli_clean(char *text, const char *keep)
{
	while (*text) {
		size_t n = cli_character(text);

		if (!n && !strchr(keep, *text))
			*text = '?';
		text += n ? n : 1;
	}
}
