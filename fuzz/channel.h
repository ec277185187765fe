/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FUZZ_CHANNEL_H
#define FUZZ_CHANNEL_H

/*
 * A channel with real ends on both sides, one of which an input plays: it writes into the ring that
 * the other end reads, as a hostile guest or host would. Deliveries run on the fuzzer's own thread.
 */

#include "kmcl/channel.h"

#define must(condition) ((condition) ? (void)0 : abort())

/* An input is a list of steps: a byte that says which, and what belongs to it. */
enum fuzz_step {
	FUZZ_PACKET,   /* writes a packet as the protocol has it: type, flags, header and payload */
	FUZZ_RAW,      /* writes bytes where the next packet would be, and claims them */
	FUZZ_POKE,     /* writes bytes anywhere in the data, without a claim */
	FUZZ_CONTROL,  /* sets a word of the control page, of either ring */
	FUZZ_RUN,      /* lets the reader have a look */
	FUZZ_COMPLETE, /* completes what the reader's driver holds */
	FUZZ_STEPS,
};

struct fuzz_input {
	const uint8_t *data;
	size_t left;
};
uint8_t fuzz_byte(struct fuzz_input *in);
uint32_t fuzz_u16(struct fuzz_input *in);
uint32_t fuzz_u32(struct fuzz_input *in);
const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t *count);

/* Makes both ends of the bus; once. `reader_is_server`: the host reads what the input wrote. */
void fuzz_channel_init(bool reader_is_server);
/* Opens the channel, plays the input, closes, and checks that nothing is left. */
void fuzz_channel_run(const uint8_t *data, size_t size);

#endif
