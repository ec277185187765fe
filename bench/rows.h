/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

/* What the rows of the table run, file by file, and what they share. */

#include "bench.h"
#include "ring/ring.h"

#define BENCH_RING_BYTES 65536u
#define BENCH_LINE       64u
#define BENCH_PAYLOAD    16384u

/* What is sent, and where it is copied to. */
extern uint8_t bench_source[BENCH_PAYLOAD];
extern uint8_t bench_target[BENCH_PAYLOAD];

/* A ring's control page and data, which is mapped twice in a row. */
struct ring_memory bench_ring_map(void);
void bench_ring_unmap(const struct ring_memory *memory);

/* limits.c: what no ring can beat */
bench_run lines_echo, slots_stream, copy_stream;

/* peers.c: what one would use instead */
bench_run pipe_stream, seqpacket_stream, zmq_stream, pipe_echo, seqpacket_echo;

/* ring.c */
bench_run ring_batched, ring_commit_each, ring_publish_each, ring_echo;

/* channel.c: the API, in one process and across two */
bench_run channel_local_echo, channel_local_stream;
bench_run channel_unix_echo, channel_unix_stream, channel_unix_request;
/* Signals sent a million packets in the streams across processes so far. */
double channel_signals_per_million(void);
/* On core 1, and serving when this returns. */
void channel_start_other_end(const char *uri);
/* If this process was started as the other end: runs as that and does not return. */
void channel_other_end(int argc, char **argv);

/* kit.c: the guest kit, with an other end of its own */
bench_run kit_unix_echo;

#endif
