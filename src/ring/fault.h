/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING_FAULT_H
#define RING_FAULT_H

#include "ring/ring.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Is this memory a ring can be in? Comes from our own end, but a size may be the guest's word. */
static inline bool ring_memory_check(const struct ring_memory *memory, struct ring_fault *fault)
{
	if (memory->size == 0 || memory->size > RING_SIZE_MAX ||
	    memory->size % WIRE_PAGE_SIZE != 0) {
		*fault = (struct ring_fault){ "ring size", RING_SIZE_MAX, memory->size };
		return false;
	}
	return true;
}

#ifdef __cplusplus
}
#endif

#endif
