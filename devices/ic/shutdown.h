/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_IC_SHUTDOWN_H
#define DEVICES_IC_SHUTDOWN_H

/*
 * Shutdown, host side: asks the guest to power off, restart or hibernate in an orderly way. What
 * Hyper-V offers and Linux's hv_utils does.
 *
 * All functions are P (PASSIVE_LEVEL) and may be called from any thread.
 */

#include "ic/ic.h"

struct shutdown;

/* Offers it to the guest behind `vmbus` (from kmcl_host_open). */
NTSTATUS shutdown_create(HANDLE vmbus, const struct ic_options *options,
                         struct shutdown **shutdown);
/* No request is running or follows. */
void shutdown_destroy(struct shutdown *shutdown);

enum shutdown_action {
	SHUTDOWN_POWER_OFF,
	SHUTDOWN_RESTART,   /* guests that agreed on 3.1 or newer */
	SHUTDOWN_HIBERNATE, /* 3.2 */
};

struct shutdown_request {
	enum shutdown_action action;
	bool force;               /* applications that object are ended; Linux always does */
	uint32_t reason;          /* SHTDN_REASON_*; 0: IC_SHUTDOWN_REASON_PLANNED */
	uint32_t timeout_seconds; /* that the guest may take for it */
	const char *text;         /* UTF-8, what the guest may show; NULL: none */
};

/*
 * Waits, up to timeout_ms (0: 5000), for the guest's driver to be there and to say that it will;
 * that it has is seen when it does. STATUS_SUCCESS; STATUS_UNSUCCESSFUL and other failures that
 * ic_status() makes of *guest_status (which may be NULL): the guest will not;
 * STATUS_NOT_SUPPORTED: its driver knows no such action; STATUS_INVALID_PARAMETER_2: the text is
 * not UTF-8 or longer than 1023 UTF-16 units, or there is no such action; STATUS_DEVICE_NOT_READY,
 * STATUS_REVISION_MISMATCH, STATUS_DEVICE_BUSY, STATUS_IO_TIMEOUT, STATUS_DEVICE_REMOVED: see
 * ic_call().
 */
NTSTATUS shutdown_request(struct shutdown *shutdown, const struct shutdown_request *request,
                          uint32_t timeout_ms, uint32_t *guest_status);

void shutdown_statistics(struct shutdown *shutdown, struct ic_statistics *statistics);

#endif
