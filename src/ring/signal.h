/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING_SIGNAL_H
#define RING_SIGNAL_H

/*
 * When one end has to wake the other, as pure functions of what the control page said. Each is
 * asked after the own index was stored and a full fence was passed; the other end stores that it
 * sleeps, passes a full fence and looks at the index once more. So one of the two sees the other.
 *
 * Sources, which agree: Linux drivers/hv/ring_buffer.c (hv_signal_on_write, hv_pkt_iter_close);
 * OpenVMM vmbus_ring/src/lib.rs (commit_write, commit_read); mu_msvm EmclDxe/RingBuffer.c
 * (PkCompleteInsertion, PkCompleteRemoval).
 */

#include "wire/bare.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The writer's decision: the reader may sleep with this writer's packets unread, and has not
 * masked. unread  bytes from the reader's index to the published write index fresh   bytes
 * published since this was last decided last    bytes of them in the last single publish
 *
 * A reader sleeps only where the ring looked empty to it: at the index where a publish began. With
 * one publish since the last decision (fresh == last) this is the rule of the sources, "the old
 * write index is the read index"; with several it is any of their beginnings.
 */
static inline bool ring_signal_reader(uint32_t mask, uint32_t unread, uint32_t fresh, uint32_t last)
{
	return mask == 0 && last != 0 && unread >= last && unread <= fresh;
}

/*
 * The reader's decision: the writer waits for more than `pending` bytes, did not have them and now
 * does.
 *   before, after  free bytes as the reader's old and new index make them
 *
 * Free is size - used, and a packet of `pending` bytes (footer included) needs more than that, for
 * a ring filled to the brim would look empty. Linux counts so. OpenVMM subtracts 8 and mu_msvm 1
 * from what is free and asks for at least `pending`, which is the same for multiples of 8; mu_msvm
 * also uses size - 1 for "all of it", and so it is here.
 *
 * Neither OpenVMM nor mu_msvm looks at the writer's feature bit, and Linux does: a writer without
 * it leaves `pending` 0, so there is nothing to look at.
 */
static inline bool ring_signal_writer(uint32_t pending, uint32_t before, uint32_t after)
{
	return pending != 0 && before <= pending && after > pending;
}

#ifdef __cplusplus
}
#endif

#endif
