/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_GUESTS_SERVICES_H
#define TESTS_GUESTS_SERVICES_H

/* The host that personas meet: ours, with all of its services. */

#include "../temporary.h"

#include "ic/heartbeat.h"
#include "ic/ic_protocol.h"
#include "ic/kvp.h"
#include "net/netvsc_protocol.h"
#include "net/netvsp.h"
#include "net/rndis_protocol.h"
#include "scsi/scsi.h"
#include "ic/shutdown.h"
#include "scsi/storvsc_protocol.h"
#include <kmcl/disk.h>
#include "ic/timesync.h"

#include <kmcl/kmcl.h>

#define SERVICES_DISK_SIZE (4u << 20)

struct services_options {
	bool monitored;
	uint16_t subchannels;  /* of the disks */
	uint16_t queues;       /* of the network adapter; 0: 1 */
	uint16_t scsi_version; /* the newest; 0: the latest */
};

/* The other end of the network cable: what is sent comes back with its addresses exchanged. */
struct mirror;

struct services {
	HANDLE vmbus;
	char image[TEMPORARY_PATH_MAX];
	struct kmcl_scsi *scsi;
	struct netvsp *net;
	struct mirror *mirror;
	struct heartbeat *heartbeat;
	struct shutdown *shutdown;
	struct timesync *timesync;
	struct kvp *kvp;
};

extern const GUID services_scsi, services_net, services_heartbeat, services_shutdown,
	services_timesync, services_kvp;
extern const uint8_t services_address[6];

/* A disk at 0:0 whose every block begins with its number, 32 bits of it. */
void services_open(struct services *s, const char *uri, const struct services_options *options);
void services_close(struct services *s);

#endif
