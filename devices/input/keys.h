/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_INPUT_KEYS_H
#define DEVICES_INPUT_KEYS_H

/* The keys of a US keyboard on which a text is typed. */

#include "input/keyboard_session.h"

#define KEYS_STROKES_MAX 4u /* of a character: with Shift, all down and up again */

/* The strokes of a character, as many as are returned; 0: no key has it. */
uint32_t keys_of_character(char character, struct keyboard_stroke strokes[KEYS_STROKES_MAX]);

#endif
