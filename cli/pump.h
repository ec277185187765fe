/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CLI_PUMP_H
#define CLI_PUMP_H

/* Moves a range of a disk with several requests in flight, handing out the data in order. */

#include "scsi/storvsc.h"

struct progress;

enum pump_kind {
	PUMP_READ,
	PUMP_WRITE,
	PUMP_COPY, /* each piece is read, then written to `to` at the same place */
};

struct pump {
	enum pump_kind kind;
	const char *what; /* it waits for, when it does: "reads of the disk" */
	struct storvsc *controller;
	const struct storvsc_disk *disk, *to;
	uint64_t at, length; /* whole blocks */
	uint32_t chunk; /* bytes of a request: whole blocks, at most what the controller moves */
	uint32_t depth;
	/* READ: takes the data; WRITE: supplies it; NULL: nobody wants it. In order, on the
	 * caller's thread. False: stop, without an error of the disk's. */
	bool (*data)(void *context, uint8_t *buffer, uint32_t n);
	void *context;
	struct progress *progress; /* NULL: none */
	uint32_t *latencies_ns;    /* pump_requests() entries, or NULL; COPY: of both together */

	/* out */
	uint64_t elapsed_ns;
	bool stopped; /* by `data` */
};

uint64_t pump_requests(const struct pump *p);
NTSTATUS pump_run(struct pump *p);

/* Reads of `size` bytes at random places, for some time. */
struct pump_bench {
	struct storvsc *controller;
	const struct storvsc_disk *disk;
	uint32_t size, depth;
	uint64_t duration_ns;
	uint32_t *latencies_ns; /* of the first `capacity` of them */
	uint64_t capacity;
	struct progress *progress;

	/* out */
	uint64_t operations, elapsed_ns;
};

NTSTATUS pump_bench(struct pump_bench *b);

#endif
