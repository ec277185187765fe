/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_GUESTS_HOSTS_H
#define TESTS_GUESTS_HOSTS_H

/*
 * A host by hand, which our guest's end meets: messages heard and answered in the form that some
 * other host gives them. It offers one channel, of the echo service's type, opens it and lets it
 * close; nobody is behind its rings.
 */

#include "partition/partition.h"
#include "wire/wire.h"

#include <kmcl/kmcl.h>

#define HOSTS_HEARD 64u

struct host_manner {
	uint32_t version_max;
	uint32_t features;
	size_t padding;     /* of each message it sends, to a multiple; 0: none */
	bool names_version; /* in its answer, where there is no connection id */
	uint8_t no_monitor; /* the monitor id of an offer without one */
	uint32_t open_status;
	/* Whether it can use what the guest sent; NULL: always. */
	bool (*takes)(const union wire_message *message, size_t size);
};

struct host;

/* NULL: it cannot. */
struct host *host_open(const char *uri, const struct host_manner *manner);
void host_close(struct host *host);

struct host_heard {
	uint32_t types[HOSTS_HEARD]; /* in their order */
	uint32_t count;
	uint32_t untaken;    /* that it could not use */
	uint32_t connection; /* of the last */
	uint32_t version;    /* agreed */
};
void host_heard(struct host *host, struct host_heard *heard);

#endif
