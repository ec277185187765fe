/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_STORVSP_PRIVATE_H
#define DEVICES_SCSI_STORVSP_PRIVATE_H

/* Between storvsp.c (the controller), storvsp_unit.c (what is in it) and storvsp_srb.c (its
 * requests). */

#include "scsi/disk_image.h"
#include "scsi/scsi_cd.h"
#include "scsi/scsi_disk.h"
#include "scsi/storvsc_protocol.h"

#include <kmcl/disk.h>
#include <kmcl/kmcl.h>
#include <pthread.h>
#include <stdatomic.h>

/* An open image. Its unit has a reference; so has each request for a CD, which may be ejected. */
struct medium {
	atomic_uint references;
	struct disk_image image;
};

/* A disk or a CD drive in its place. The table of units has a reference, and each request in
 * flight one. */
struct unit {
	atomic_uint references;
	uint8_t target, lun; /* since it was put in */
	bool is_cd;
	struct scsi_disk disk;
	pthread_mutex_t resizing; /* of the image's size: held while the file is made larger */
	pthread_mutex_t lock;     /* of all that follows, except a disk's medium, which stays */
	struct scsi_cd cd;
	struct medium *medium; /* NULL: no disc is in */
	struct kmcl_scsi_fault faults[KMCL_SCSI_FAULTS];
	atomic_uint fault_count;
	bool lost_told; /* that its image lost data */
};

/* Where the guest is in the negotiation. */
enum storvsp_state {
	STORVSP_CLOSED,
	STORVSP_OPEN,       /* BEGIN_INITIALIZATION is next */
	STORVSP_BEGUN,      /* QUERY_PROTOCOL_VERSION */
	STORVSP_VERSIONED,  /* QUERY_PROPERTIES */
	STORVSP_PROPERTIES, /* END_INITIALIZATION, perhaps CREATE_SUB_CHANNELS before it */
	STORVSP_READY,
};

/* Written by one thread at a time, read by any. */
struct counter {
	_Atomic uint64_t value;
};

static inline void counter_add(struct counter *c, uint64_t n)
{
	uint64_t v = atomic_load_explicit(&c->value, memory_order_relaxed);

	atomic_store_explicit(&c->value, v + n, memory_order_relaxed);
}

/* One VMBus channel of the controller: the primary or a subchannel. */
struct storvsp_channel {
	struct kmcl_scsi *controller;
	VMBCHANNEL vmb;
	uint16_t index;
	struct disk_queue *queue;
	uint32_t unflushed; /* requests since the queue was last told to begin */
	struct counter requests, reads, writes, read_bytes, written_bytes, other;
	_Atomic uint64_t errors, refused; /* also counted by the queue's thread */
	/* For the packet being processed: one at a time. */
	struct scsi_outcome outcome;
	uint8_t parameters[SCSI_DATA_MAX];
};

struct kmcl_scsi {
	struct kmcl_scsi_options options;
	char name[64];
	HANDLE vmbus;
	_Atomic enum storvsp_state state;
	_Atomic uint16_t version;
	_Atomic bool looked;  /* the guest has begun to look for units */
	pthread_mutex_t lock; /* of the tables below, and of telling the guest */
	struct unit *units[KMCL_SCSI_TARGETS][KMCL_SCSI_LUNS];
	struct storvsp_channel *channels[1 + KMCL_SCSI_SUBCHANNELS];
	struct kmcl_scsi_statistics past; /* of subchannels that are gone */
	_Atomic uint64_t losses;
};

/* A packet from the guest, in its client context while the channel has it. */
struct storvsp_request {
	struct disk_op op; /* first */
	struct storvsp_channel *channel;
	VMBPACKETCOMPLETION completion;
	struct unit *unit;
	struct medium *medium; /* a CD's, for as long as it is read */
	PMDL mdl;              /* the guest's memory; NULL: none */
	enum scsi_outcome_kind kind;
	void *owned;   /* freed with the request: extents, a fill */
	uint32_t size; /* of the guest's packet, and of the answer */
	struct storvsc_packet packet;
};

/* ---- storvsp_unit.c ---- */

struct unit *storvsp_unit_get(struct kmcl_scsi *controller, uint8_t target, uint8_t lun);
void storvsp_unit_put(struct unit *unit);
void storvsp_medium_put(struct medium *medium);
/* The LUNs of a target, ascending; returns how many. */
uint32_t storvsp_luns(struct kmcl_scsi *controller, uint8_t target, uint8_t luns[KMCL_SCSI_LUNS]);
/* Has a CD drive do a command; *medium: a reference to what is to be read, or NULL. */
void storvsp_cd_execute(struct unit *unit, const struct scsi_command *command,
                        struct scsi_outcome *out, struct medium **medium);
/* Makes of an operation the failure that was injected into its blocks, if there is one. */
void storvsp_unit_fault(struct unit *unit, struct scsi_outcome *out);
/* A promise of stable storage was broken. */
void storvsp_unit_lost(struct kmcl_scsi *controller, struct unit *unit, int error);
/* The guest begins anew: what was stopped runs. */
void storvsp_units_start(struct kmcl_scsi *controller);
/* How many have images that lost data. */
uint16_t storvsp_units_failed(struct kmcl_scsi *controller);
/* A reset of the bus (`target` >= KMCL_SCSI_TARGETS) or of one unit. */
void storvsp_units_reset(struct kmcl_scsi *controller, uint8_t target, uint8_t lun);
void storvsp_units_free(struct kmcl_scsi *controller);

/* ---- storvsp.c ---- */

/* Units came or went: a guest that is there looks again. */
void storvsp_tell_guest(struct kmcl_scsi *controller);

/* ---- storvsp_srb.c ---- */

/* Answers a packet that is no SRB, with whatever is in its union. */
void storvsp_answer(struct storvsp_request *request, NTSTATUS status);
void storvsp_execute_srb(struct storvsp_request *request, UINT32 flags);
/* A disk_queue_done_fn. */
void storvsp_operations_done(void *context, struct disk_op *list);

#endif
