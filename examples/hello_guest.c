/* SPDX-License-Identifier: BSD-2-Clause */

/* The guest's end: sends a name and prints what the host answers. */

#include <kmcl/kmcl.h>

#include "hello.h"

#include <stdio.h>

static VOID ignore(VMBCHANNEL channel, VMBPACKETCOMPLETION packet, PVOID buffer, UINT32 size,
                   UINT32 flags)
{
	VmbChannelPacketComplete(packet, NULL, 0);
}

int main(int argc, char **argv)
{
	char name[32] = "guest", text[128] = "";
	UINT32 size = sizeof(text);
	LARGE_INTEGER timeout = { .QuadPart = -50000000 }; /* 5 s */
	PDEVICE_OBJECT bus;
	VMBCHANNEL channel;
	NTSTATUS status;

	if (kmcl_guest_open(argc > 1 ? argv[1] : "unix:/tmp/hello", &bus) != STATUS_SUCCESS)
		return 1;
	VmbChannelAllocate(bus, FALSE, &channel);
	VmbClientChannelInitSetTargetPnp(channel, &HELLO_TYPE, &HELLO_INSTANCE, NULL);
	VmbChannelInitSetProcessPacketCallbacks(channel, ignore, NULL);
	VmbChannelEnable(channel);
	status = VmbChannelSendSynchronousRequest(channel, name, sizeof(name), NULL,
	                                          VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION,
	                                          text, &size, &timeout);
	printf("%.*s\n", (int)size, NT_SUCCESS(status) ? text : "no answer");
	VmbChannelDisable(channel);
	VmbChannelCleanup(channel);
	kmcl_guest_close(bus);
	return NT_SUCCESS(status) ? 0 : 1;
}
