/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_GUESTS_OPENBSD_DRIVERS_H
#define TESTS_GUESTS_OPENBSD_DRIVERS_H

/*
 * What OpenBSD's drivers do, and NetBSD's, which are made of them. Sources: OpenBSD 7.6
 * sys/dev/pv/hvs.c, if_hvn.c; NetBSD sys/dev/hyperv/hvs.c, if_hvn.c, if_hvnreg.h.
 */

#include "persona_net.h"
#include "persona_scsi.h"

void hvs_open(struct persona *p, struct persona_scsi *s, const void *type, bool monitored);

void hvn_open(struct persona *p, struct persona_net *n, const void *type, bool monitored);
/* RNDIS, the address, and frames there and back. */
void hvn_use(struct persona_net *n, const uint8_t *address, uint32_t filter);

#endif
