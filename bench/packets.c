/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Packets: the raw ring and the API, next to the machine's limits and to what one would use
 * instead. A row's ratio is the median over the runs of its ratio to another row in the same run.
 */

#include "rows.h"

#include <stdio.h>
#include <string.h>

uint8_t bench_source[BENCH_PAYLOAD] __attribute__((aligned(64)));
uint8_t bench_target[BENCH_PAYLOAD] __attribute__((aligned(64)));

/* Short runs, many of them: one that was disturbed is then an outlier and not all there is. */
#define SMALL 1000000ull   /* packets of a run of 64 B */
#define BYTES 100000000ull /* that a run of a larger size moves */

#define LINES    "cache lines, round trip"
#define SLOTS    "bare slots"
#define RING     "ring, batched"
#define API_ECHO "API, two processes, round trip"

/* clang-format off */
static struct bench_row rows[] = {
	/* there and back */
	{ LINES, 64, BENCH_TIME, lines_echo, 20000, NULL, 0 },
	{ "ring, round trip", 64, BENCH_TIME, ring_echo, 20000, LINES, 1.3 },
	{ "API, one process, round trip", 64, BENCH_TIME, channel_local_echo, 20000, LINES, 0 },
	{ API_ECHO, 64, BENCH_TIME, channel_unix_echo, 20000, LINES, 4 },
	{ "guest kit, two processes, round trip", 64, BENCH_TIME, kit_unix_echo, 20000, API_ECHO, 0.9 },
	{ "API, two processes, request", 64, BENCH_TIME, channel_unix_request, 20000, LINES, 0 },
	{ "pipe, round trip", 64, BENCH_TIME, pipe_echo, 2000, LINES, 0 },
	{ "seqpacket, round trip", 64, BENCH_TIME, seqpacket_echo, 2000, LINES, 0 },
	{ "API, two processes, round trip", 16, BENCH_TIME, channel_unix_echo, 20000, NULL, 0 },
	{ "API, two processes, round trip", 1024, BENCH_TIME, channel_unix_echo, 20000, NULL, 0 },
	{ "API, two processes, round trip", 4096, BENCH_TIME, channel_unix_echo, 20000, NULL, 0 },
	{ "API, two processes, round trip", 16384, BENCH_TIME, channel_unix_echo, 10000, NULL, 0 },
	/* one way */
	{ "memcpy", 64, BENCH_RATE, copy_stream, SMALL, NULL, 0 },
	{ SLOTS, 64, BENCH_RATE, slots_stream, SMALL, NULL, 0 },
	{ RING, 64, BENCH_RATE, ring_batched, SMALL, SLOTS, 0.65 },
	{ "ring, each shown", 64, BENCH_RATE, ring_commit_each, SMALL / 2, SLOTS, 0.25 },
	{ "ring, each shown, signal tested", 64, BENCH_RATE, ring_publish_each, SMALL / 2, SLOTS, 0 },
	{ "API, one process, batched", 64, BENCH_RATE, channel_local_stream, SMALL / 2, RING, 0 },
	{ "API, two processes, batched", 64, BENCH_RATE, channel_unix_stream, SMALL / 2, RING, 0.25 },
	{ "API, two processes, batched", 16, BENCH_RATE, channel_unix_stream, SMALL / 2, NULL, 0 },
	{ "memcpy", 1024, BENCH_RATE, copy_stream, BYTES / 1024, NULL, 0 },
	{ SLOTS, 1024, BENCH_RATE, slots_stream, BYTES / 1024, NULL, 0 },
	{ RING, 1024, BENCH_RATE, ring_batched, BYTES / 1024, SLOTS, 0.9 },
	{ "ring, each shown", 1024, BENCH_RATE, ring_commit_each, BYTES / 1024, SLOTS, 0 },
	{ "API, two processes, batched", 1024, BENCH_RATE, channel_unix_stream, BYTES / 1024, RING, 0 },
	{ "memcpy", 4096, BENCH_RATE, copy_stream, BYTES / 4096, NULL, 0 },
	{ SLOTS, 4096, BENCH_RATE, slots_stream, BYTES / 4096, NULL, 0 },
	{ RING, 4096, BENCH_RATE, ring_batched, BYTES / 4096, SLOTS, 0.9 },
	{ "API, two processes, batched", 4096, BENCH_RATE, channel_unix_stream, BYTES / 4096, RING, 0 },
	{ "memcpy", 16384, BENCH_RATE, copy_stream, BYTES / 16384, NULL, 0 },
	{ SLOTS, 16384, BENCH_RATE, slots_stream, BYTES / 16384, NULL, 0 },
	{ RING, 16384, BENCH_RATE, ring_batched, BYTES / 16384, SLOTS, 0.85 },
	{ "API, two processes, batched", 16384, BENCH_RATE, channel_unix_stream, BYTES / 16384, RING, 0 },
	/* what one would use instead */
	{ "pipe", 64, BENCH_RATE, pipe_stream, 20000, NULL, 0 },
	{ "seqpacket socket", 64, BENCH_RATE, seqpacket_stream, 20000, NULL, 0 },
	{ "ZeroMQ ipc", 64, BENCH_RATE, zmq_stream, 20000, NULL, 0 },
	{ "ring against the pipe", 64, BENCH_RATE, ring_batched, SMALL, "pipe", 20 },
	{ "ring against the socket", 64, BENCH_RATE, ring_batched, SMALL, "seqpacket socket", 20 },
	{ "ring against ZeroMQ", 64, BENCH_RATE, ring_batched, SMALL, "ZeroMQ ipc", 20 },
};
/* clang-format on */

int main(int argc, char **argv)
{
	int status;

	channel_other_end(argc, argv);
	memset(bench_source, 0x5a, sizeof(bench_source));
	status = bench_main(argc, argv, rows, sizeof(rows) / sizeof(rows[0]));
	if (channel_signals_per_million() >= 0)
		fprintf(stderr,
		        "signals a million packets, streaming across processes: %.0f (<= 1000)\n",
		        channel_signals_per_million());
	return status;
}
