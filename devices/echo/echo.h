/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_ECHO_ECHO_H
#define DEVICES_ECHO_ECHO_H

/*
 * The protocol of the echo service (kmcl/echo.h), and the driver that measures what a channel does
 * with it.
 *
 * All functions are P (PASSIVE_LEVEL).
 */

#include <kmcl/kmcl.h>

/* 6b6d636c-0010-4000-8065-63686f000001 */
#define ECHO_INTERFACE_TYPE                                            \
	{                                                              \
		0x6b6d636c, 0x0010, 0x4000,                            \
		{                                                      \
			0x80, 0x65, 0x63, 0x68, 0x6f, 0x00, 0x00, 0x01 \
		}                                                      \
	}

#define ECHO_MAX_PAYLOAD 65536u
#define ECHO_MAX_DATA    (1u << 20) /* external, for ECHO_INVERT */

/* The first bytes of each packet's payload, little-endian. */
struct echo_header {
	uint32_t operation;
	uint32_t reserved;
};

enum echo_operation {
	ECHO_ECHO = 1,   /* answered with the whole payload */
	ECHO_SINK = 2,   /* answered, if at all, with nothing */
	ECHO_INVERT = 3, /* each bit of the external data is inverted in place; answered with the
	                    header */
};

/* ---- guest ---- */

struct echo;

/* timeout_ms 0: 5000. `instance` may be NULL: the first. STATUS_IO_TIMEOUT: there is none. */
NTSTATUS echo_open(PDEVICE_OBJECT bus, LPCGUID instance, uint32_t timeout_ms, struct echo **echo);
void echo_close(struct echo *echo);
VMBCHANNEL echo_channel(struct echo *echo);

/* Sends `n` bytes of payload (a header is put before it) and compares what comes back.
 * STATUS_DATA_ERROR: something else did. */
NTSTATUS echo_check(struct echo *echo, const void *payload, uint32_t n);
/* Has the host invert `n` bytes of `memory`, which is from the pool. */
NTSTATUS echo_invert(struct echo *echo, void *memory, uint32_t n);

struct echo_run {
	enum echo_operation operation; /* ECHO_ECHO: round trips; ECHO_SINK: one way */
	uint32_t size;                 /* of the payload, with the header: 8 to ECHO_MAX_PAYLOAD */
	uint32_t depth;                /* packets in flight; up to 1024 */
	uint64_t count;                /* packets in all */
	uint32_t *latencies_ns;        /* count entries, or NULL: of each packet, as they finish */
	/* P, from time to time while it runs; NULL: none. */
	void (*progress)(void *context, uint64_t done);
	void *context;
	/* out */
	uint64_t elapsed_ns;
	uint64_t mismatches; /* answers that were not what was sent */
};

/* STATUS_DEVICE_REMOVED: the channel closed meanwhile. */
NTSTATUS echo_run(struct echo *echo, struct echo_run *run);

#endif
