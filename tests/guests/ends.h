/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_GUESTS_ENDS_H
#define TESTS_GUESTS_ENDS_H

/*
 * A guest's end as a host meets it: that of libkmcl, and the guest kit. What a host does is written
 * once (hosts.h), and both ends get it. Each of these calls takes what time it takes, and fails the
 * test where that is more than PERSONA_WAIT_MS.
 */

#include "persona.h"

struct end;

struct end_ops {
	const char *name;
	/* Makes contact with the newest version up to that; NULL: the host would not have it. */
	struct end *(*connect)(const char *uri, uint32_t version_max);
	/* Opens the echo service's channel, once it is offered. False: it could not. */
	bool (*open)(struct end *end);
	/* A request, whose answer is the same. False: the channel has come to its end. */
	bool (*echo)(struct end *end);
	void (*close)(struct end *end);
	/* Says goodbye. All memory has to be back. */
	void (*disconnect)(struct end *end);

	/* All of it: finds the disk of an odd_host.h, reads a page, which is as it should be, and
	 * writes it. */
	void (*use_disk)(const char *uri);
};

#define ENDS_COUNT 2u
extern const struct end_ops *const ends[ENDS_COUNT];
extern const struct end_ops end_kmcl, end_kit;

#endif
