/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_COMMON_OPENING_H
#define DEVICES_COMMON_OPENING_H

#include <kmcl/kmcl.h>

/*
 * A guest's driver waits until its channel can be used, or never will: an offer that does not come,
 * one that fails, and one that is taken back after it was opened and before it was started, when
 * nobody calls EvtChannelPostStarted any more.
 */
struct opening {
	KEVENT started, closed;
	NTSTATUS status;
};

/* P. */
void opening_init(struct opening *opening);
/* From EvtChannelPostStarted and from the callback of VmbClientChannelInitSetTargetPnp(). */
void opening_started(struct opening *opening, NTSTATUS status);
/* From EvtChannelClosed. */
void opening_closed(struct opening *opening);
/* P. What opening_started() was told; STATUS_DEVICE_REMOVED; STATUS_IO_TIMEOUT. */
NTSTATUS opening_wait(struct opening *opening, uint32_t timeout_ms);

#endif
