/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CLI_SERVICES_H
#define CLI_SERVICES_H

/* What a host offers its guest, as the command line says it. */

#include "cli.h"
#include "echo.h"
#include "storvsp.h"

#define SERVICES_DISKS_MAX 128u

struct disk_spec {
	char path[4096];
	char serial[37];
	uint64_t target, lun;
	bool lun_given;
	struct storvsp_disk_options options;
};

struct services {
	const char *command; /* whose command line it is, for its errors */
	struct disk_spec *disks;
	uint32_t disk_count;
	bool echo;
	uint64_t subchannels, queue_depth;

	HANDLE vmbus;
	struct storvsp *scsi;
	struct echo_service *echo_service;
};

/* Lines for a command's help about the options below. */
extern const char services_help[];

/* NULL in `disks` afterwards: no memory. */
void services_init(struct services *s, const char *command);
void services_fini(struct services *s);

/* Options of getopt_long(): SERVICES_OPTIONS goes into the table, SERVICES_SHORT into the short
 * ones; what comes is for services_option(), which returns an exit code, or -1 when it is none of
 * these. */
enum {
	SERVICES_SUBCHANNELS = 512,
	SERVICES_DEPTH,
};
#define SERVICES_SHORT "d:e"
#define SERVICES_OPTIONS                                                              \
	{ "disk", required_argument, NULL, 'd' }, { "echo", no_argument, NULL, 'e' }, \
		{ "subchannels", required_argument, NULL, SERVICES_SUBCHANNELS },     \
	{                                                                             \
		"queue-depth", required_argument, NULL, SERVICES_DEPTH                \
	}
int services_option(struct services *s, int option, const char *argument);
bool services_any(const struct services *s);

/* Becomes the host of `uri` and offers all of it. An exit code; errors are said. Closes whatever
 * was opened, also after a failure. */
int services_open(struct services *s, const char *uri);
void services_close(struct services *s);
void services_print_statistics(const struct services *s, bool as_json);

#endif
