/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The host's echo driver, a WDM driver as it would be built for Windows. A control code brings the
 * VMBus handle of the guest that it shall serve, as the worker process of a virtual machine would.
 */

#include <ntddk.h>
#include <vmbuskernelmodeclientlibapi.h>

#include "echo_protocol.h"

typedef struct _ECHO_SERVER {
	VMBCHANNEL Channel; /* NULL: nothing is offered */
	BOOLEAN Negotiated;
} ECHO_SERVER, *PECHO_SERVER;

DRIVER_INITIALIZE DriverEntry;
static DRIVER_ADD_DEVICE EchoServerAddDevice;
static DRIVER_UNLOAD EchoServerUnload;
static DRIVER_DISPATCH EchoServerControl;
static DRIVER_DISPATCH EchoServerPnp;
static EVT_VMB_CHANNEL_OPENED EchoServerOpened;
static EVT_VMB_CHANNEL_PROCESS_PACKET EchoServerProcessPacket;

static NTSTATUS EchoServerOpened(VMBCHANNEL Channel)
{
	PECHO_SERVER Server = VmbChannelGetPointer(Channel);

	Server->Negotiated = FALSE;
	return STATUS_SUCCESS;
}

static BOOLEAN EchoServerAnswer(PECHO_SERVER Server, PECHO_MESSAGE Message, UINT32 Length)
{
	switch (Message->Type) {
	case EchoMessageVersion:
		Server->Negotiated = Message->Value == ECHO_VERSION;
		Message->Value = ECHO_VERSION;
		return TRUE;
	case EchoMessageText:
		if (!Server->Negotiated || Message->Value > Length - ECHO_HEADER_SIZE)
			return FALSE;
		for (ULONG i = 0; i < Message->Value; i++)
			if (Message->Text[i] >= 'a' && Message->Text[i] <= 'z')
				Message->Text[i] -= 'a' - 'A';
		return TRUE;
	default:
		return FALSE;
	}
}

/* The buffer is the driver's until the packet is completed, and out of the guest's reach. */
static VOID EchoServerProcessPacket(VMBCHANNEL Channel, VMBPACKETCOMPLETION Packet, PVOID Buffer,
                                    UINT32 BufferLength, UINT32 Flags)
{
	PECHO_SERVER Server = VmbChannelGetPointer(Channel);

	UNREFERENCED_PARAMETER(Flags);
	if (BufferLength < ECHO_HEADER_SIZE || BufferLength > sizeof(ECHO_MESSAGE) ||
	    !EchoServerAnswer(Server, Buffer, BufferLength)) {
		VmbChannelPacketFail(Packet);
		return;
	}
	VmbChannelPacketComplete(Packet, Buffer, BufferLength);
}

static NTSTATUS EchoServerConfigure(VMBCHANNEL Channel, HANDLE Vmbus)
{
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS Callbacks;
	HANDLE KernelHandle;
	NTSTATUS Status = VmbConvertVmbusHandleToKernelHandle(Vmbus, &KernelHandle);

	if (!NT_SUCCESS(Status))
		return Status;
	Status = VmbServerChannelInitSetVmbusHandle(Channel, KernelHandle);
	ZwClose(KernelHandle);
	if (!NT_SUCCESS(Status))
		return Status;
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&Callbacks);
	Callbacks.EvtChannelOpened = EchoServerOpened;
	Status = VmbChannelInitSetStateChangeCallbacks(Channel, &Callbacks);
	if (NT_SUCCESS(Status))
		Status = VmbChannelInitSetProcessPacketCallbacks(Channel, EchoServerProcessPacket,
		                                                 NULL);
	if (NT_SUCCESS(Status))
		Status = VmbChannelInitSetMaximumPacketSize(Channel, sizeof(ECHO_MESSAGE));
	if (NT_SUCCESS(Status))
		Status = VmbServerChannelInitSetTargetInterfaceId(Channel, GUID_ECHO_TYPE,
		                                                  GUID_ECHO_INSTANCE);
	return Status;
}

static NTSTATUS EchoServerOffer(PECHO_SERVER Server, HANDLE Vmbus)
{
	VMBCHANNEL Channel;
	NTSTATUS Status;

	if (Server->Channel)
		return STATUS_DEVICE_BUSY;
	Status = VmbChannelAllocate(NULL, TRUE, &Channel);
	if (!NT_SUCCESS(Status))
		return Status;
	VmbChannelSetPointer(Channel, Server);
	Status = EchoServerConfigure(Channel, Vmbus);
	if (NT_SUCCESS(Status))
		Status = VmbChannelEnable(Channel);
	if (!NT_SUCCESS(Status)) {
		VmbChannelCleanup(Channel);
		return Status;
	}
	VmbChannelStart(Channel);
	Server->Channel = Channel;
	return STATUS_SUCCESS;
}

static NTSTATUS EchoServerComplete(PIRP Irp, NTSTATUS Status)
{
	Irp->IoStatus.Status = Status;
	Irp->IoStatus.Information = 0;
	IoCompleteRequest(Irp, IO_NO_INCREMENT);
	return Status;
}

static NTSTATUS EchoServerControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
	PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
	PECHO_OFFER Offer = Irp->AssociatedIrp.SystemBuffer;

	PAGED_CODE();
	if (Stack->Parameters.DeviceIoControl.IoControlCode != IOCTL_ECHO_OFFER)
		return EchoServerComplete(Irp, STATUS_INVALID_DEVICE_REQUEST);
	if (Stack->Parameters.DeviceIoControl.InputBufferLength < sizeof(*Offer))
		return EchoServerComplete(Irp, STATUS_BUFFER_TOO_SMALL);
	return EchoServerComplete(Irp,
	                          EchoServerOffer(DeviceObject->DeviceExtension, Offer->Vmbus));
}

static NTSTATUS EchoServerPnp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
	PECHO_SERVER Server = DeviceObject->DeviceExtension;

	PAGED_CODE();
	if (IoGetCurrentIrpStackLocation(Irp)->MinorFunction != IRP_MN_REMOVE_DEVICE)
		return EchoServerComplete(Irp, STATUS_SUCCESS);
	if (Server->Channel) {
		VmbChannelDisable(Server->Channel);
		VmbChannelCleanup(Server->Channel);
	}
	IoDeleteDevice(DeviceObject);
	return EchoServerComplete(Irp, STATUS_SUCCESS);
}

static NTSTATUS EchoServerAddDevice(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT PhysicalDevice)
{
	PDEVICE_OBJECT Self;
	NTSTATUS Status;

	PAGED_CODE();
	UNREFERENCED_PARAMETER(PhysicalDevice);
	Status = IoCreateDevice(DriverObject, sizeof(ECHO_SERVER), NULL, FILE_DEVICE_UNKNOWN, 0,
	                        FALSE, &Self);
	if (!NT_SUCCESS(Status))
		return Status;
	Self->Flags &= ~DO_DEVICE_INITIALIZING;
	return STATUS_SUCCESS;
}

static VOID EchoServerUnload(PDRIVER_OBJECT DriverObject)
{
	UNREFERENCED_PARAMETER(DriverObject);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
	UNREFERENCED_PARAMETER(RegistryPath);
	DriverObject->DriverExtension->AddDevice = EchoServerAddDevice;
	DriverObject->DriverUnload = EchoServerUnload;
	DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = EchoServerControl;
	DriverObject->MajorFunction[IRP_MJ_PNP] = EchoServerPnp;
	return STATUS_SUCCESS;
}
