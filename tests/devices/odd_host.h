/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_DEVICES_ODD_HOST_H
#define TESTS_DEVICES_ODD_HOST_H

/*
 * A host of our drivers that answers as it is told to. It offers a SCSI controller with one disk,
 * at 0:0, of ODD_DISK_SIZE bytes that read as ODD_DISK_BYTE, and an echo service.
 */

#include "scsi/storvsc_protocol.h"

#include <kmcl/kmcl.h>

#define ODD_DISK_SIZE (1u << 20)
#define ODD_DISK_BYTE 0x5a

/* Makes of the answer that a good host would give, another one; D. False: it gives none, until the
 * channel closes. Data has been moved already. */
typedef bool odd_host_answer_fn(void *context, const struct storvsc_packet *request,
                                struct storvsc_packet *answer);

struct odd_host;

/* NULL: it cannot. `silent_echo`: packets of the echo service are not answered. */
struct odd_host *odd_host_open(const char *uri, odd_host_answer_fn *answer, void *context,
                               bool silent_echo);
void odd_host_close(struct odd_host *host);

/* CHECK CONDITION with fixed sense. */
void odd_host_fail(struct storvsc_packet *answer, uint8_t key, uint16_t asc);

#endif
