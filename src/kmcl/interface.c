/* SPDX-License-Identifier: BSD-2-Clause */

/* The tables through which newer drivers reach the API. */

#define INITGUID
#include "kmcl/channel.h"

#include <string.h>

static VOID interface_reference(PVOID context)
{
}

static const KMCL_SERVER_INTERFACE_V1 server_interface = {
	.Size = sizeof(KMCL_SERVER_INTERFACE_V1),
	.Version = KMCL_SERVER_INTERFACE_VERSION_V1,
	/* The functions last as long as the process; there is nothing to count. */
	.InterfaceReference = interface_reference,
	.InterfaceDereference = interface_reference,
	.VmbChannelAllocate = VmbChannelAllocate,
	.VmbChannelCleanup = VmbChannelCleanup,
	.VmbChannelCreateGpadlFromBuffer = VmbChannelCreateGpadlFromBuffer,
	.VmbChannelCreateGpadlFromMdl = VmbChannelCreateGpadlFromMdl,
	.VmbChannelDeleteGpadl = VmbChannelDeleteGpadl,
	.VmbChannelDisable = VmbChannelDisable,
	.VmbChannelEnable = VmbChannelEnable,
	.VmbChannelGetInterfaceInstance = VmbChannelGetInterfaceInstance,
	.VmbChannelGetMmioSpace = VmbChannelGetMmioSpace,
	.VmbChannelGetPointer = VmbChannelGetPointer,
	.VmbChannelInitSetClientContextSize = VmbChannelInitSetClientContextSize,
	.VmbChannelInitSetFlags = VmbChannelInitSetFlags,
	.VmbChannelInitSetFriendlyName = VmbChannelInitSetFriendlyName,
	.VmbChannelInitSetMaximumExternalData = VmbChannelInitSetMaximumExternalData,
	.VmbChannelInitSetMaximumPacketSize = VmbChannelInitSetMaximumPacketSize,
	.VmbChannelInitSetProcessPacketCallbacks = VmbChannelInitSetProcessPacketCallbacks,
	.VmbChannelInitSetStateChangeCallbacks = VmbChannelInitSetStateChangeCallbacks,
	.VmbChannelPacketComplete = VmbChannelPacketComplete,
	.VmbChannelPacketDeferToPassive = VmbChannelPacketDeferToPassive,
	.VmbChannelPacketFail = VmbChannelPacketFail,
	.VmbChannelPacketGetExternalData = VmbChannelPacketGetExternalData,
	.VmbChannelPause = VmbChannelPause,
	.VmbChannelSendSynchronousRequest = VmbChannelSendSynchronousRequest,
	.VmbChannelSetIncomingProcessingAtPassive = VmbChannelSetIncomingProcessingAtPassive,
	.VmbChannelSetInterruptLatency = VmbChannelSetInterruptLatency,
	.VmbChannelSetPointer = VmbChannelSetPointer,
	.VmbChannelSetTransactionQuota = VmbChannelSetTransactionQuota,
	.VmbChannelSizeofPacket = VmbChannelSizeofPacket,
	.VmbChannelStart = VmbChannelStart,
	.VmbClientChannelInitSetRingBufferPageCount = VmbClientChannelInitSetRingBufferPageCount,
	.VmbClientChannelInitSetTargetPnp = VmbClientChannelInitSetTargetPnp,
	.VmbPacketAllocate = VmbPacketAllocate,
	.VmbPacketFree = VmbPacketFree,
	.VmbPacketGetChannel = VmbPacketGetChannel,
	.VmbPacketGetPointer = VmbPacketGetPointer,
	.VmbPacketInitialize = VmbPacketInitialize,
	.VmbPacketSend = VmbPacketSend,
	.VmbPacketSendWithExternalMdl = VmbPacketSendWithExternalMdl,
	.VmbPacketSendWithExternalPfns = VmbPacketSendWithExternalPfns,
	.VmbPacketSetCompletionRoutine = VmbPacketSetCompletionRoutine,
	.VmbPacketSetPointer = VmbPacketSetPointer,
	.VmbChannelMapGpadl = VmbChannelMapGpadl,
	.VmbChannelRestoreFromBuffer = VmbChannelRestoreFromBuffer,
	.VmbChannelSaveBegin = VmbChannelSaveBegin,
	.VmbChannelSaveContinue = VmbChannelSaveContinue,
	.VmbChannelSaveEnd = VmbChannelSaveEnd,
	.VmbChannelUnmapGpadl = VmbChannelUnmapGpadl,
	.VmbConvertVmbusHandleToKernelHandle = VmbConvertVmbusHandleToKernelHandle,
	.VmbPacketRestore = VmbPacketRestore,
	.VmbServerChannelInitSetFlags = VmbServerChannelInitSetFlags,
	.VmbServerChannelInitSetMmioMegabytes = VmbServerChannelInitSetMmioMegabytes,
	.VmbServerChannelInitSetSaveRestorePacketCallbacks =
		VmbServerChannelInitSetSaveRestorePacketCallbacks,
	.VmbServerChannelInitSetTargetInterfaceId = VmbServerChannelInitSetTargetInterfaceId,
	.VmbServerChannelInitSetTargetVtl = VmbServerChannelInitSetTargetVtl,
	.VmbServerChannelInitSetVmbusHandle = VmbServerChannelInitSetVmbusHandle,
};

/* The client's table is the beginning of the server's. */
C_ASSERT(sizeof(KMCL_CLIENT_INTERFACE_V1) ==
         FIELD_OFFSET(KMCL_SERVER_INTERFACE_V1, VmbChannelMapGpadl));

NTSTATUS kmcl_query_interface(LPCGUID type, USHORT size, USHORT version, void *interface_table)
{
	PINTERFACE head = interface_table;
	USHORT needed;

	if (!type || !interface_table)
		return STATUS_INVALID_PARAMETER;
	if (IsEqualGUID(type, &KMCL_CLIENT_INTERFACE_TYPE) &&
	    version == KMCL_CLIENT_INTERFACE_VERSION_V1)
		needed = sizeof(KMCL_CLIENT_INTERFACE_V1);
	else if (IsEqualGUID(type, &KMCL_SERVER_INTERFACE_TYPE) &&
	         version == KMCL_SERVER_INTERFACE_VERSION_V1)
		needed = sizeof(KMCL_SERVER_INTERFACE_V1);
	else
		return STATUS_NOT_SUPPORTED;
	if (size < needed)
		return STATUS_BUFFER_TOO_SMALL;
	memcpy(interface_table, &server_interface, needed);
	head->Size = needed;
	return STATUS_SUCCESS;
}
