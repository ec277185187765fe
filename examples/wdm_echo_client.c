/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The guest's echo driver, a WDM driver as it would be built for Windows: what is written to its
 * device comes back from the host, in capitals. It negotiates in PostStarted; writes that came
 * earlier wait.
 */

#include <ntddk.h>
#include <vmbuskernelmodeclientlibapi.h>

#include "echo_protocol.h"

#define ECHO_TAG 'ohcE'

typedef struct _ECHO_DEVICE {
	PDEVICE_OBJECT Self;
	VMBCHANNEL Channel;
	KSPIN_LOCK Lock;
	BOOLEAN Negotiated;       /* Lock */
	LIST_ENTRY Waiting;       /* IRPs, before it is; Lock */
	PIO_WORKITEM SendWaiting; /* sends those */
	NPAGED_LOOKASIDE_LIST Requests;
} ECHO_DEVICE, *PECHO_DEVICE;

typedef struct _ECHO_REQUEST {
	PECHO_DEVICE Device;
	PIRP Irp;
	ECHO_MESSAGE Message;
} ECHO_REQUEST, *PECHO_REQUEST;

DRIVER_INITIALIZE DriverEntry;
static DRIVER_ADD_DEVICE EchoAddDevice;
static DRIVER_UNLOAD EchoUnload;
static DRIVER_DISPATCH EchoDispatchWrite;
static DRIVER_DISPATCH EchoDispatchPnp;
static EVT_VMB_CHANNEL_POST_STARTED EchoPostStarted;
static EVT_VMB_CHANNEL_SUSPEND EchoSuspend;
static EVT_VMB_CHANNEL_PROCESS_PACKET EchoProcessPacket;
static EVT_VMB_PACKET_COMPLETION_ROUTINE EchoAnswered;
static IO_WORKITEM_ROUTINE EchoSendWaiting;

static VOID EchoCompleteIrp(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
	Irp->IoStatus.Status = Status;
	Irp->IoStatus.Information = Information;
	IoCompleteRequest(Irp, IO_NO_INCREMENT);
}

/* ---- sending ---- */

static VOID EchoAnswered(VMBPACKET Packet, NTSTATUS Status, PVOID Buffer, UINT32 BufferLength)
{
	PECHO_REQUEST Request = VmbPacketGetPointer(Packet);
	PECHO_DEVICE Device = Request->Device;
	PECHO_MESSAGE Answer = Buffer;
	PIRP Irp = Request->Irp;
	ULONG Length = 0;

	if (NT_SUCCESS(Status)) {
		if (BufferLength < ECHO_HEADER_SIZE || Answer->Type != EchoMessageText ||
		    Answer->Value != Request->Message.Value ||
		    Answer->Value > BufferLength - ECHO_HEADER_SIZE) {
			Status = STATUS_DEVICE_PROTOCOL_ERROR;
		} else {
			Length = Answer->Value;
			RtlCopyMemory(Irp->AssociatedIrp.SystemBuffer, Answer->Text, Length);
		}
	}
	VmbPacketFree(Packet);
	ExFreeToNPagedLookasideList(&Device->Requests, Request);
	EchoCompleteIrp(Irp, Status, Length);
}

static NTSTATUS EchoSend(PECHO_DEVICE Device, PIRP Irp)
{
	ULONG Length = IoGetCurrentIrpStackLocation(Irp)->Parameters.Write.Length;
	PECHO_REQUEST Request = ExAllocateFromNPagedLookasideList(&Device->Requests);
	VMBPACKET Packet;
	NTSTATUS Status;

	if (!Request)
		return STATUS_INSUFFICIENT_RESOURCES;
	Packet = VmbPacketAllocate(Device->Channel);
	if (!Packet) {
		ExFreeToNPagedLookasideList(&Device->Requests, Request);
		return STATUS_INSUFFICIENT_RESOURCES;
	}
	Request->Device = Device;
	Request->Irp = Irp;
	Request->Message.Type = EchoMessageText;
	Request->Message.Value = Length;
	RtlCopyMemory(Request->Message.Text, Irp->AssociatedIrp.SystemBuffer, Length);
	VmbPacketSetPointer(Packet, Request);
	VmbPacketSetCompletionRoutine(Packet, EchoAnswered);
	Status = VmbPacketSend(Packet, &Request->Message, ECHO_HEADER_SIZE + Length, NULL,
	                       VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION);
	if (!NT_SUCCESS(Status)) {
		VmbPacketFree(Packet);
		ExFreeToNPagedLookasideList(&Device->Requests, Request);
	}
	return Status;
}

static PIRP EchoTakeWaiting(PECHO_DEVICE Device)
{
	PIRP Irp = NULL;
	KIRQL OldIrql;

	KeAcquireSpinLock(&Device->Lock, &OldIrql);
	if (!IsListEmpty(&Device->Waiting))
		Irp = CONTAINING_RECORD(RemoveHeadList(&Device->Waiting), IRP,
		                        Tail.Overlay.ListEntry);
	KeReleaseSpinLock(&Device->Lock, OldIrql);
	return Irp;
}

static VOID EchoSendWaiting(PDEVICE_OBJECT DeviceObject, PVOID Context)
{
	PECHO_DEVICE Device = DeviceObject->DeviceExtension;
	PIRP Irp;

	UNREFERENCED_PARAMETER(Context);
	while ((Irp = EchoTakeWaiting(Device)) != NULL) {
		NTSTATUS Status = EchoSend(Device, Irp);

		if (!NT_SUCCESS(Status))
			EchoCompleteIrp(Irp, Status, 0);
	}
}

static NTSTATUS EchoDispatchWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
	PECHO_DEVICE Device = DeviceObject->DeviceExtension;
	NTSTATUS Status = STATUS_SUCCESS;
	BOOLEAN Ready;
	KIRQL OldIrql;

	if (IoGetCurrentIrpStackLocation(Irp)->Parameters.Write.Length > ECHO_TEXT_MAX) {
		EchoCompleteIrp(Irp, STATUS_INVALID_BUFFER_SIZE, 0);
		return STATUS_INVALID_BUFFER_SIZE;
	}
	IoMarkIrpPending(Irp);
	KeAcquireSpinLock(&Device->Lock, &OldIrql);
	Ready = Device->Negotiated;
	if (!Ready)
		InsertTailList(&Device->Waiting, &Irp->Tail.Overlay.ListEntry);
	KeReleaseSpinLock(&Device->Lock, OldIrql);
	if (Ready)
		Status = EchoSend(Device, Irp);
	if (!NT_SUCCESS(Status))
		EchoCompleteIrp(Irp, Status, 0);
	return STATUS_PENDING;
}

/* ---- the channel ---- */

static VOID EchoPostStarted(VMBCHANNEL Channel)
{
	PECHO_DEVICE Device = VmbChannelGetPointer(Channel);
	ECHO_MESSAGE Ask = { EchoMessageVersion, ECHO_VERSION, { 0 } };
	ECHO_MESSAGE Answer = { 0 };
	UINT32 AnswerSize = sizeof(Answer);
	LARGE_INTEGER Timeout;
	NTSTATUS Status;
	KIRQL OldIrql;

	C_ASSERT(sizeof(Answer) % 8 == 0);
	PAGED_CODE();
	Timeout.QuadPart = -10 * 1000 * 1000 * 5LL; /* 5 s */
	Status = VmbChannelSendSynchronousRequest(Channel, &Ask, ECHO_HEADER_SIZE, NULL,
	                                          VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION,
	                                          &Answer, &AnswerSize, &Timeout);
	if (!NT_SUCCESS(Status) || AnswerSize < ECHO_HEADER_SIZE ||
	    Answer.Type != EchoMessageVersion || Answer.Value != ECHO_VERSION) {
		DbgPrintEx(DPFLTR_IHVDRIVER_ID, DPFLTR_ERROR_LEVEL,
		           "echo: no agreement with the host: 0x%08x\n", Status);
		return;
	}
	KeAcquireSpinLock(&Device->Lock, &OldIrql);
	Device->Negotiated = TRUE;
	KeReleaseSpinLock(&Device->Lock, OldIrql);
	IoQueueWorkItem(Device->SendWaiting, EchoSendWaiting, DelayedWorkQueue, NULL);
}

static VOID EchoSuspend(VMBCHANNEL Channel)
{
	PECHO_DEVICE Device = VmbChannelGetPointer(Channel);
	KIRQL OldIrql;

	KeAcquireSpinLock(&Device->Lock, &OldIrql);
	Device->Negotiated = FALSE;
	KeReleaseSpinLock(&Device->Lock, OldIrql);
}

/* The host has nothing to say of its own accord. */
static VOID EchoProcessPacket(VMBCHANNEL Channel, VMBPACKETCOMPLETION Packet, PVOID Buffer,
                              UINT32 BufferLength, UINT32 Flags)
{
	UNREFERENCED_PARAMETER(Channel);
	UNREFERENCED_PARAMETER(Buffer);
	UNREFERENCED_PARAMETER(BufferLength);
	UNREFERENCED_PARAMETER(Flags);
	VmbChannelPacketComplete(Packet, NULL, 0);
}

static NTSTATUS EchoCreateChannel(PECHO_DEVICE Device, PDEVICE_OBJECT PhysicalDevice)
{
	DECLARE_CONST_UNICODE_STRING(Name, L"echo client");
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS Callbacks;
	NTSTATUS Status = VmbChannelAllocate(PhysicalDevice, FALSE, &Device->Channel);

	if (!NT_SUCCESS(Status))
		return Status;
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&Callbacks);
	Callbacks.EvtChannelPostStarted = EchoPostStarted;
	Callbacks.EvtChannelSuspend = EchoSuspend;
	VmbChannelSetPointer(Device->Channel, Device);
	Status = VmbChannelInitSetStateChangeCallbacks(Device->Channel, &Callbacks);
	if (NT_SUCCESS(Status))
		Status = VmbChannelInitSetProcessPacketCallbacks(Device->Channel, EchoProcessPacket,
		                                                 NULL);
	if (NT_SUCCESS(Status))
		Status = VmbChannelInitSetFriendlyName(Device->Channel, &Name);
	if (NT_SUCCESS(Status))
		Status = VmbChannelInitSetMaximumPacketSize(Device->Channel, sizeof(ECHO_MESSAGE));
	if (NT_SUCCESS(Status))
		Status = VmbClientChannelInitSetTargetPnp(Device->Channel, &GUID_ECHO_TYPE,
		                                          &GUID_ECHO_INSTANCE, NULL);
	if (!NT_SUCCESS(Status))
		VmbChannelCleanup(Device->Channel);
	return Status;
}

/* ---- the device ---- */

static VOID EchoDeleteDevice(PECHO_DEVICE Device)
{
	PDEVICE_OBJECT Self = Device->Self;

	if (Device->SendWaiting)
		IoFreeWorkItem(Device->SendWaiting);
	ExDeleteNPagedLookasideList(&Device->Requests);
	IoDeleteDevice(Self);
}

static NTSTATUS EchoAddDevice(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT PhysicalDevice)
{
	PDEVICE_OBJECT Self;
	PECHO_DEVICE Device;
	NTSTATUS Status;

	PAGED_CODE();
	Status = IoCreateDevice(DriverObject, sizeof(ECHO_DEVICE), NULL, FILE_DEVICE_UNKNOWN, 0,
	                        FALSE, &Self);
	if (!NT_SUCCESS(Status))
		return Status;
	Device = Self->DeviceExtension;
	Device->Self = Self;
	KeInitializeSpinLock(&Device->Lock);
	InitializeListHead(&Device->Waiting);
	ExInitializeNPagedLookasideList(&Device->Requests, NULL, NULL, POOL_NX_ALLOCATION,
	                                sizeof(ECHO_REQUEST), ECHO_TAG, 0);
	Device->SendWaiting = IoAllocateWorkItem(Self);
	Status = Device->SendWaiting ? EchoCreateChannel(Device, PhysicalDevice)
	                             : STATUS_INSUFFICIENT_RESOURCES;
	if (!NT_SUCCESS(Status)) {
		EchoDeleteDevice(Device);
		return Status;
	}
	Self->Flags |= DO_BUFFERED_IO;
	Self->Flags &= ~DO_DEVICE_INITIALIZING;
	return STATUS_SUCCESS;
}

static VOID EchoRemove(PECHO_DEVICE Device)
{
	PIRP Irp;

	VmbChannelDisable(Device->Channel); /* cancels what is under way */
	while ((Irp = EchoTakeWaiting(Device)) != NULL)
		EchoCompleteIrp(Irp, STATUS_CANCELLED, 0);
	VmbChannelCleanup(Device->Channel);
	EchoDeleteDevice(Device);
}

static NTSTATUS EchoDispatchPnp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
	PECHO_DEVICE Device = DeviceObject->DeviceExtension;
	NTSTATUS Status = STATUS_SUCCESS;

	PAGED_CODE();
	switch (IoGetCurrentIrpStackLocation(Irp)->MinorFunction) {
	case IRP_MN_START_DEVICE:
		Status = VmbChannelEnable(Device->Channel);
		break;
	case IRP_MN_REMOVE_DEVICE:
		EchoRemove(Device);
		break;
	default:
		Status = STATUS_NOT_SUPPORTED;
		break;
	}
	EchoCompleteIrp(Irp, Status, 0);
	return Status;
}

static VOID EchoUnload(PDRIVER_OBJECT DriverObject)
{
	ASSERT(DriverObject->DeviceObject == NULL);
	UNREFERENCED_PARAMETER(DriverObject);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
	UNREFERENCED_PARAMETER(RegistryPath);
	DriverObject->DriverExtension->AddDevice = EchoAddDevice;
	DriverObject->DriverUnload = EchoUnload;
	DriverObject->MajorFunction[IRP_MJ_WRITE] = EchoDispatchWrite;
	DriverObject->MajorFunction[IRP_MJ_PNP] = EchoDispatchPnp;
	return STATUS_SUCCESS;
}
