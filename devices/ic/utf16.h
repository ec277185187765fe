/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_IC_UTF16_H
#define DEVICES_IC_UTF16_H

/*
 * Strings between the host's UTF-8 and the UTF-16 of the wire. Strict, unlike the conversions of
 * <wdm.h>: what is ill-formed on one side has no counterpart on the other.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes at most `capacity` units, with the NUL. Returns how many, with the NUL; 0: ill-formed or
 * too long. */
uint32_t utf16_from_utf8(const char *text, uint16_t *units, uint32_t capacity);

/* The `count` units up to the first NUL among them, which must be there. Writes at most `capacity`
 * bytes, with the NUL. false: ill-formed, without a NUL, or too long. */
bool utf16_to_utf8(const uint16_t *units, uint32_t count, char *text, size_t capacity);

/* Bytes that `units` units, with the NUL, become at most. */
#define UTF16_UTF8_MAX(units) (((units)-1u) * 3u + 1u)

#endif
