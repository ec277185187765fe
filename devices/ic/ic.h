/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_IC_IC_H
#define DEVICES_IC_IC_H

/*
 * What the host's ends of the integration components share: the offer, the negotiation, requests
 * and their answers. A component is a file that includes this: heartbeat.c, shutdown.c, timesync.c,
 * kvp.c.
 *
 * The offer is a pipe in message mode, as real hosts make it and Linux's hv_utils reads it: OpenVMM
 * vmbus_server channels.rs (flags enumerate-device-interface and named-pipe, the mode in the first
 * user-defined bytes). Requests are in-band packets for which VMBus is asked no completion; what
 * the guest answers is such a packet again (OpenVMM vmbus_async pipe.rs; Linux hv_util.c).
 *
 * P: at PASSIVE_LEVEL; D: at DISPATCH_LEVEL or lower. Any thread.
 */

#include "ic/ic_session.h"

#include <kmcl/ic.h>
#include <kmcl/kmcl.h>

#define IC_DEFAULT_TIMEOUT_MS 5000u

struct ic;

/* What a component is. */
struct ic_kind {
	const char *name; /* in logs and statistics */
	GUID type, instance;
	uint16_t message;                  /* enum ic_message_type */
	uint32_t packet_max;               /* of either direction, without the pipe header */
	const struct ic_version *versions; /* oldest first */
	uint32_t version_count;
	/* Each may be NULL; never two at a time. D: versions are agreed on; the answer to a request
	 * of ic_send(), of which `body` is valid during the call. P: the guest went away, and what
	 * it owed will not come. */
	void (*ready)(void *context, uint32_t version);
	void (*answer)(void *context, const struct ic_answer *answer);
	void (*closed)(void *context);
};

/* P. Offers it. 0 or -errno; -EINVAL: version_max is older than all versions. */
int ic_create(struct kmcl_host *host, const struct ic_kind *kind,
              const struct kmcl_ic_options *options, void *context, struct ic **ic);
/* P. No other call is running or follows. */
void ic_destroy(struct ic *ic);

/*
 * D. Sends a request that was made for `version`; its answer goes to `answer`, with the transaction
 * that is stored in *transaction before it can come. STATUS_DEVICE_NOT_READY: the guest is not
 * there, or has agreed on another version; STATUS_DEVICE_BUSY: it owes too many answers.
 */
NTSTATUS ic_send(struct ic *ic, uint32_t version, const void *body, uint32_t size,
                 uint8_t *transaction);

/* When a call gives up. */
struct ic_deadline {
	uint64_t due; /* of KeQueryInterruptTime() */
};

/* timeout_ms 0: IC_DEFAULT_TIMEOUT_MS. */
struct ic_deadline ic_deadline(uint32_t timeout_ms);

/* P. Waits until versions are agreed on. STATUS_DEVICE_NOT_READY: not in time;
 * STATUS_REVISION_MISMATCH: the guest shares none. */
NTSTATUS ic_wait_ready(struct ic *ic, struct ic_deadline deadline, uint32_t *version);

/*
 * P. Sends a request that was made for `version` and waits for its answer, of which up to
 * `capacity` bytes are stored and *size says how many. One call at a time; others wait their turn.
 * What ic_status() makes of the guest's status, also stored in *status; or
 * STATUS_DEVICE_NOT_READY, STATUS_DEVICE_BUSY as above, the latter also for another call that takes
 * too long; STATUS_IO_TIMEOUT: no answer; STATUS_DEVICE_REMOVED: the guest went away meanwhile.
 */
NTSTATUS ic_call(struct ic *ic, uint32_t version, struct ic_deadline deadline, const void *body,
                 uint32_t size, void *answer, uint32_t capacity, uint32_t *answer_size,
                 uint32_t *status);

/* What an HRESULT of the guest's is as an NTSTATUS; STATUS_UNSUCCESSFUL where there is no better.
 */
NTSTATUS ic_status(uint32_t hresult);

/* D. A line in the log about something wrong that the guest sent; the first of an opening only, as
 * the guest may send more. Counts it as wrong. */
void ic_complain(struct ic *ic, const char *what, uint64_t expected, uint64_t actual);

/* D. -EINVAL: the size. */
int ic_statistics(struct ic *ic, struct kmcl_ic_statistics *statistics);

#endif
