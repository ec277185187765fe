/* SPDX-License-Identifier: BSD-2-Clause */
#include "input/keys.h"

#define SHIFT     0x2au
#define FIRST_KEY 0x02u
#define LAST_KEY  0x35u

/* What the keys of set 1 from 0x02 to 0x35 say, alone and with Shift; a blank: it has no character.
 * Set 1: IBM's, as in Linux's atkbd.c and FreeBSD's sys/dev/kbd/kbdtables.h. */
static const char alone[] = "1234567890-=\b\tqwertyuiop[]\n asdfghjkl;'` \\zxcvbnm,./";
static const char shifted[] = "!@#$%^&*()_+  QWERTYUIOP{}  ASDFGHJKL:\"~ |ZXCVBNM<>?";

static_assert(sizeof(alone) - 1 == LAST_KEY - FIRST_KEY + 1, "a key each");
static_assert(sizeof(shifted) - 1 == sizeof(alone) - 1, "");

/* 0: none has it. */
static uint16_t key_in(const char *keys, char character)
{
	uint16_t i;

	for (i = 0; keys[i]; i++) {
		if (keys[i] == character && character != ' ')
			return (uint16_t)(FIRST_KEY + i);
	}
	return 0;
}

static uint16_t key_alone(char character)
{
	switch (character) {
	case ' ':
		return 0x39;
	case '\x1b':
		return 0x01;
	default:
		return key_in(alone, character);
	}
}

uint32_t keys_of_character(char character, struct keyboard_stroke strokes[KEYS_STROKES_MAX])
{
	uint16_t key = key_alone(character);

	if (key) {
		strokes[0] = (struct keyboard_stroke){ key, false };
		strokes[1] = (struct keyboard_stroke){ key, true };
		return 2;
	}
	key = key_in(shifted, character);
	if (!key)
		return 0;
	strokes[0] = (struct keyboard_stroke){ SHIFT, false };
	strokes[1] = (struct keyboard_stroke){ key, false };
	strokes[2] = (struct keyboard_stroke){ key, true };
	strokes[3] = (struct keyboard_stroke){ SHIFT, true };
	return 4;
}
