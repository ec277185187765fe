/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_SCSI_CD_H
#define DEVICES_SCSI_SCSI_CD_H

/*
 * A SCSI DVD-ROM drive without the disc: a command goes in; out comes what to answer, or what is to
 * be read before the answer. No I/O, no allocation; the caller serialises. Everything in a command
 * is the guest's word and is checked here.
 *
 * Sources, besides the standards in scsi.h: OpenVMM scsidisk/src/scsidvd (what Hyper-V's drive
 * says), Linux 6.1 drivers/scsi/sr.c and drivers/cdrom (what is asked).
 */

#include "scsi/scsi_answer.h"

#define SCSI_CD_BLOCK 2048u

#define SCSI_CD_VENDOR   "Msft"
#define SCSI_CD_PRODUCT  "Virtual DVD-ROM"
#define SCSI_CD_REVISION "1.0"

/* What GET EVENT STATUS NOTIFICATION tells next of the medium. */
enum scsi_cd_event {
	SCSI_CD_NO_EVENT = 0,
	SCSI_CD_EJECT_REQUEST = 1,
	SCSI_CD_NEW_MEDIUM = 2,
	SCSI_CD_MEDIUM_REMOVED = 3,
};

struct scsi_cd {
	uint32_t max_transfer; /* bytes of one READ */
	uint8_t id[16];
	char serial[37];
	uint64_t blocks; /* of the disc; 0: none is in */
	bool tray_open;
	bool locked;    /* by the guest: it does not want the disc out */
	bool attention; /* the guest is still to hear that the disc changed */
	enum scsi_cd_event event;
};

/* A disc of `blocks` goes in, and the tray closes. */
void scsi_cd_insert(struct scsi_cd *cd, uint64_t blocks);
/* The tray opens, and what is in is out. */
void scsi_cd_eject(struct scsi_cd *cd);

/* SCSI_DONE or SCSI_DO_READ. A disc that the guest ejects is gone: `blocks` is 0. */
void scsi_cd_execute(struct scsi_cd *cd, const struct scsi_command *command,
                     struct scsi_outcome *out);

#endif
