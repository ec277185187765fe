/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_GUESTS_PERSONA_SCSI_H
#define TESTS_GUESTS_PERSONA_SCSI_H

/* A storage driver's steps. */

#include "persona.h"
#include "scsi/scsi.h"
#include "scsi/storvsc_protocol.h"

struct persona_scsi {
	struct persona_channel channel;
	uint32_t packet_size; /* of its packets as they stand in the ring */
	uint32_t answer_size; /* that each answer has to have; 0: any */
	uint16_t version;
	uint8_t sense_size;
	uint16_t srb_length;  /* that its SRBs say; 0: the version's */
	uint32_t srb_flags;   /* added to each command's */
	uint64_t transaction; /* of the next packet */
	uint64_t transaction_step;
	struct storvsc_properties properties;
};

/* What drivers made since 2014 ask for, the newest first. */
extern const uint16_t persona_scsi_versions[];

/* A channel with `pages` for each ring, of the offer of `type`; all else is as it is of zeros. */
void persona_scsi_open(struct persona *p, struct persona_scsi *s, const void *type, uint32_t pages);

/* One packet in-band, and its answer in `packet`; the status. */
uint32_t persona_scsi_say(struct persona_scsi *s, struct storvsc_packet *packet);
/* BEGIN, each of `versions` (0 ends them) until one is taken, PROPERTIES, END. From the version on
 * packets have the size that is its, unless `packet_size` is kept. */
void persona_scsi_begin(struct persona_scsi *s, const uint16_t *versions, bool keep_size);

struct persona_command {
	uint8_t target, lun;
	uint8_t cdb[16];
	uint8_t cdb_length;
	uint8_t data_in; /* STORVSC_DATA_* */
	void *data;      /* in the persona's memory */
	uint32_t size;
};
/* The answer to it is checked as far as it must be right whatever the command. */
void persona_scsi_execute(struct persona_scsi *s, const struct persona_command *command,
                          struct storvsc_srb *answer);
/* Its status without the bits beside it; `size` bytes of data in. */
uint8_t persona_scsi_in(struct persona_scsi *s, uint8_t lun, const uint8_t *cdb, uint8_t cdb_length,
                        void *data, uint32_t size, struct storvsc_srb *answer);
uint8_t persona_scsi_out(struct persona_scsi *s, uint8_t lun, const uint8_t *cdb,
                         uint8_t cdb_length, void *data, uint32_t size, struct storvsc_srb *answer);
uint8_t persona_scsi_none(struct persona_scsi *s, uint8_t lun, const uint8_t *cdb,
                          uint8_t cdb_length, struct storvsc_srb *answer);

/* Reads with READ(10), writes something and reads it back: the disk of services.h. */
void persona_scsi_use_disk(struct persona_scsi *s);
/* START STOP UNIT: stopped, the disk does not read, and says why; started, it does. */
void persona_scsi_stop_disk(struct persona_scsi *s);

#endif
