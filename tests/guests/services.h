/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_GUESTS_SERVICES_H
#define TESTS_GUESTS_SERVICES_H

/* The host that personas meet: ours, with all of its services. */

#include "../temporary.h"

#include "ic/ic_protocol.h"
#include "net/netvsc_protocol.h"
#include "net/rndis_protocol.h"
#include "scsi/scsi.h"
#include "scsi/storvsc_protocol.h"

#include <kmcl/disk.h>
#include <kmcl/ic.h>
#include <kmcl/kmcl.h>
#include <kmcl/net.h>
#include <kmcl/net_backend.h>

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
	struct kmcl_net *net;
	struct mirror *mirror;
	struct kmcl_heartbeat *heartbeat;
	struct kmcl_shutdown *shutdown;
	struct kmcl_timesync *timesync;
	struct kmcl_kvp *kvp;
};

extern const GUID services_scsi, services_net, services_heartbeat, services_shutdown,
	services_timesync, services_kvp;
extern const uint8_t services_address[6];

/* A disk at 0:0 whose every block begins with its number, 32 bits of it. */
void services_open(struct services *s, const char *uri, const struct services_options *options);
void services_close(struct services *s);
/* The guest is alive, and has sent nothing wrong for it. */
void services_assert_heartbeat(struct services *s);

#endif
