/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_PROCESSES_TRAFFIC_H
#define TESTS_PROCESSES_TRAFFIC_H

/*
 * One end of a channel with all kinds of traffic on it at a time: transactions and one-way streams
 * both ways; from the guest also external data, GPADLs and synchronous requests. It checks what it
 * gets, and aborts on anything that may not happen whatever becomes of the other end: a packet
 * completed twice, bytes changed on their way, a stream out of order, a status that means something
 * else.
 */

#include <ntddk.h>
#include <vmbuskernelmodeclientlibapi.h>
#include <kmcl/kmcl.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TRAFFIC_PAYLOAD_MAX 2048u

struct traffic;

/* Opens the end, with its threads, and enables (and, of a host, starts) its channel. */
struct traffic *traffic_open(bool server, const char *uri);
/* A guest's channel that has closed, or could not be opened, is enabled again; else nothing. */
void traffic_enable(struct traffic *t);
/* Stops its threads, disables and frees all of it. */
void traffic_close(struct traffic *t);
VMBCHANNEL traffic_channel(struct traffic *t);

/* A letter a callback: O(pened) S(tarted) P(ostStarted) U (suspend) C(losed) F(ailed to open).
 * Copied to `trace`, of 64 bytes, and begun anew. */
void traffic_take_trace(struct traffic *t, char *trace);
bool traffic_has_come_to(struct traffic *t, char what);
/* Some kinds of traffic rest, but for streams that are queued already; 0: none does. */
enum traffic_kind { TRAFFIC_STREAMS = 1, TRAFFIC_DATA = 2 };
void traffic_hold(struct traffic *t, unsigned kinds);
bool traffic_is_active(struct traffic *t);
/* Its channel has closed, or never opened, and none of its threads is in the middle of something.
 */
bool traffic_is_idle(struct traffic *t);
/* Nothing is open, in flight, held or waited for, and no bus is connected. */
bool traffic_is_settled(struct traffic *t);
/* Says on stderr what it waits for. */
void traffic_describe(struct traffic *t);

struct traffic_counts {
	uint64_t sent;      /* packets given to the library */
	uint64_t ended;     /* packets it gave back */
	uint64_t answered;  /* of these: transactions with an answer */
	uint64_t cancelled; /* and packets that were cancelled */
	uint64_t received;
	uint64_t external; /* transactions with external data that came back right */
	uint64_t gpadls;   /* that were created, used by the host and deleted */
	uint64_t requests; /* synchronous ones, answered */
};
struct traffic_counts traffic_counts(struct traffic *t);

#endif
