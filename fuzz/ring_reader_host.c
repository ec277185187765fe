/* SPDX-License-Identifier: BSD-2-Clause */

/* What a guest may write into the ring that the host reads; see channel.h for what an input is. */

#include "channel.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_channel_init(true);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_channel_run(data, size);
	return 0;
}
