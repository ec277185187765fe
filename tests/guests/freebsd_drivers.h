/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_GUESTS_FREEBSD_DRIVERS_H
#define TESTS_GUESTS_FREEBSD_DRIVERS_H

/*
 * What FreeBSD's drivers do, and those of illumos, which are made of them. Sources: FreeBSD
 * sys/dev/hyperv/storvsc/hv_storvsc_drv_freebsd.c, netvsc/hn_nvs.c and hn_rndis.c; illumos
 * usr/src/uts/intel/io/hyperv/storvsc/hv_storvsc_drv_illumos.c, netvsc/hn_nvs.c.
 */

#include "persona_net.h"
#include "persona_scsi.h"

#define FREEBSD_GPADL_START 0xe1e10u

/* 48 bytes until a version is agreed, and then what that one has. */
void freebsd_disks_open(struct persona *p, struct persona_scsi *s, const void *type);
/* storvsc_send_multichannel_request: the answer, and then as many offers, none of which it asks
 * for; each channel is opened and used in turn. */
void freebsd_disks_use_subchannels(struct persona_scsi *s, const void *type, uint16_t count);

/* hn_nvs_init: `versions`; the configuration and the NDIS version are not answered, and the buffers
 * are the receive buffer and the "chimney" one. */
void hn_open(struct persona *p, struct persona_net *n, const void *type, const uint32_t *versions);
/* RNDIS and frames, and it goes. */
void hn_use(struct persona_net *n, const uint8_t *address);

#endif
