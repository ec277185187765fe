/* SPDX-License-Identifier: BSD-2-Clause */

/* The host's end: answers each packet of the guest with "hello, " in front of it. */

#include <kmcl/kmcl.h>

#include "hello.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static VOID answer(VMBCHANNEL channel, VMBPACKETCOMPLETION packet, PVOID buffer, UINT32 size,
                   UINT32 flags)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "hello, %.*s", (int)strnlen(buffer, size),
	                 (char *)buffer);

	VmbChannelPacketComplete(packet, text, (UINT32)(n < 127 ? n : 127) + 1);
}

int main(int argc, char **argv)
{
	HANDLE vmbus, kernel;
	VMBCHANNEL channel;
	char byte;

	if (kmcl_host_open(argc > 1 ? argv[1] : "unix:/tmp/hello", &vmbus) != STATUS_SUCCESS)
		return 1;
	VmbChannelAllocate(NULL, TRUE, &channel);
	VmbConvertVmbusHandleToKernelHandle(vmbus, &kernel);
	VmbServerChannelInitSetVmbusHandle(channel, kernel);
	ZwClose(kernel);
	VmbServerChannelInitSetTargetInterfaceId(channel, HELLO_TYPE, HELLO_INSTANCE);
	VmbChannelInitSetProcessPacketCallbacks(channel, answer, NULL);
	if (VmbChannelEnable(channel) != STATUS_SUCCESS)
		return 1;
	VmbChannelStart(channel);
	puts("serving; the end of input ends it");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	VmbChannelDisable(channel);
	VmbChannelCleanup(channel);
	ZwClose(vmbus);
	return 0;
}
