/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_OPTIONS_H
#define KMCL_OPTIONS_H

/* For who writes a service with a face like those of kmcl/api.h: structures that begin with their
 * size, and grow at their end. */

#include <errno.h>
#include <stdint.h>
#include <string.h>

/* Not inlined: where the compiler sees which structure it is given, gcc 12 with sanitizers warns of
 * the bytes behind it, which the size says are not there. */
#define KMCL_OPTIONS_FUNCTION static __attribute__((noinline, unused))

/*
 * A copy of a caller's options in `own`, which is `own_size` bytes and gets 0 where the caller
 * knows nothing of a field; `theirs` NULL: all of it. -EINVAL: no size; -E2BIG: the caller has set
 * a field that is not known here.
 */
KMCL_OPTIONS_FUNCTION int kmcl_options_take(void *own, uint32_t own_size, const void *theirs)
{
	uint32_t size = 0, i;

	memset(own, 0, own_size);
	if (!theirs)
		return 0;
	memcpy(&size, theirs, sizeof(size));
	if (size < sizeof(size))
		return -EINVAL;
	for (i = own_size; i < size; i++) {
		if (((const uint8_t *)theirs)[i])
			return -E2BIG;
	}
	memcpy(own, theirs, size < own_size ? size : own_size);
	memcpy(own, &own_size, sizeof(own_size));
	return 0;
}

/* Fills in as much of a caller's structure as it has, where kmcl_options_take() reads one. -EINVAL:
 * no size. */
KMCL_OPTIONS_FUNCTION int kmcl_options_give(void *theirs, const void *own, uint32_t own_size)
{
	uint32_t size;

	memcpy(&size, theirs, sizeof(size));
	if (size < sizeof(size))
		return -EINVAL;
	memcpy(theirs, own, size < own_size ? size : own_size);
	memcpy(theirs, &size, sizeof(size));
	return 0;
}

#endif
