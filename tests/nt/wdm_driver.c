/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A small driver as it would be written for Windows: nothing but the kit's headers and names. It is
 * compiled as C and, the same file, as C++.
 */
#include <initguid.h>
#include <ntddk.h>
#include <ntintsafe.h>
#include <ntstrsafe.h>

#include "wdm_driver.h"

#define DRIVER_TAG 'rvrD'

DEFINE_GUID(GUID_DEVINTERFACE_SAMPLE, 0x6f1b2c3d, 0x1122, 0x3344, 0x55, 0x66, 0x77, 0x88, 0x99,
            0xaa, 0xbb, 0xcc);

DECLARE_HANDLE(SAMPLEHANDLE);

typedef struct _DEVICE_CONTEXT {
	PDEVICE_OBJECT Self;
	KSPIN_LOCK Lock;
	_Guarded_by_(Lock) LIST_ENTRY Pending;
	KEVENT Idle;
	KTIMER Timer;
	KDPC Dpc;
	LONG Ticks;
	NPAGED_LOOKASIDE_LIST Lookaside;
	WCHAR Name[32];
	IO_REMOVE_LOCK RemoveLock;
} DEVICE_CONTEXT, *PDEVICE_CONTEXT;

typedef struct _REQUEST {
	LIST_ENTRY Entry;
	PIRP Irp;
} REQUEST, *PREQUEST;

EXTERN_C_START
DRIVER_UNLOAD SampleUnload;
_Dispatch_type_(IRP_MJ_DEVICE_CONTROL) DRIVER_DISPATCH SampleDeviceControl;
DRIVER_DISPATCH SampleRefuse;
KDEFERRED_ROUTINE SampleTick;
EXTERN_C_END

C_ASSERT(sizeof(ULONG) == 4);
C_ASSERT(sizeof(WCHAR) == 2);
C_ASSERT(FIELD_OFFSET(REQUEST, Irp) == 16);

_Use_decl_annotations_ VOID SampleTick(PKDPC Dpc, PVOID DeferredContext, PVOID SystemArgument1,
                                       PVOID SystemArgument2)
{
	PDEVICE_CONTEXT context = (PDEVICE_CONTEXT)DeferredContext;
	LIST_ENTRY done;

	UNREFERENCED_PARAMETER(Dpc);
	UNREFERENCED_PARAMETER(SystemArgument1);
	UNREFERENCED_PARAMETER(SystemArgument2);
	NT_ASSERT(KeGetCurrentIrql() == DISPATCH_LEVEL);

	InitializeListHead(&done);
	KeAcquireSpinLockAtDpcLevel(&context->Lock);
	while (!IsListEmpty(&context->Pending)) {
		PLIST_ENTRY entry = RemoveHeadList(&context->Pending);

		InsertTailList(&done, entry);
	}
	KeReleaseSpinLockFromDpcLevel(&context->Lock);

	while (!IsListEmpty(&done)) {
		PREQUEST request = CONTAINING_RECORD(RemoveHeadList(&done), REQUEST, Entry);
		PIRP irp = request->Irp;

		ExFreeToNPagedLookasideList(&context->Lookaside, request);
		irp->IoStatus.Status = STATUS_SUCCESS;
		irp->IoStatus.Information = sizeof(ULONG);
		IoCompleteRequest(irp, IO_NO_INCREMENT);
		IoReleaseRemoveLock(&context->RemoveLock, irp);
	}
	InterlockedIncrement(&context->Ticks);
	KeSetEvent(&context->Idle, IO_NO_INCREMENT, FALSE);
}

static NTSTATUS SampleComplete(PIRP Irp, NTSTATUS Status)
{
	Irp->IoStatus.Status = Status;
	Irp->IoStatus.Information = 0;
	IoCompleteRequest(Irp, IO_NO_INCREMENT);
	return Status;
}

_Use_decl_annotations_ NTSTATUS SampleRefuse(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
	UNREFERENCED_PARAMETER(DeviceObject);
	return SampleComplete(Irp, STATUS_INVALID_DEVICE_REQUEST);
}

_Use_decl_annotations_ NTSTATUS SampleDeviceControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
	PDEVICE_CONTEXT context = (PDEVICE_CONTEXT)DeviceObject->DeviceExtension;
	PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
	PULONG value = (PULONG)Irp->AssociatedIrp.SystemBuffer;
	LARGE_INTEGER due;
	PREQUEST request;
	NTSTATUS status;
	KIRQL irql;

	PAGED_CODE();
	if (stack->Parameters.DeviceIoControl.IoControlCode != IOCTL_DOUBLE)
		return SampleComplete(Irp, STATUS_INVALID_DEVICE_REQUEST);
	if (stack->Parameters.DeviceIoControl.InputBufferLength < sizeof(ULONG))
		return SampleComplete(Irp, STATUS_BUFFER_TOO_SMALL);
	status = RtlULongMult(*value, 2, value);
	if (!NT_SUCCESS(status))
		return SampleComplete(Irp, status);
	status = IoAcquireRemoveLock(&context->RemoveLock, Irp);
	if (!NT_SUCCESS(status))
		return SampleComplete(Irp, status);
	request = (PREQUEST)ExAllocateFromNPagedLookasideList(&context->Lookaside);
	if (request == NULL) {
		IoReleaseRemoveLock(&context->RemoveLock, Irp);
		return SampleComplete(Irp, STATUS_INSUFFICIENT_RESOURCES);
	}
	request->Irp = Irp;
	IoMarkIrpPending(Irp);
	KeAcquireSpinLock(&context->Lock, &irql);
	InsertTailList(&context->Pending, &request->Entry);
	KeReleaseSpinLock(&context->Lock, irql);
	due.QuadPart = -10LL * 1000;
	KeSetTimer(&context->Timer, due, &context->Dpc);
	return STATUS_PENDING;
}

_Use_decl_annotations_ VOID SampleUnload(PDRIVER_OBJECT DriverObject)
{
	PDEVICE_OBJECT device = DriverObject->DeviceObject;
	PDEVICE_CONTEXT context = (PDEVICE_CONTEXT)device->DeviceExtension;

	PAGED_CODE();
	if (NT_SUCCESS(IoAcquireRemoveLock(&context->RemoveLock, NULL)))
		IoReleaseRemoveLockAndWait(&context->RemoveLock, NULL);
	KeCancelTimer(&context->Timer);
	KeFlushQueuedDpcs();
	ExDeleteNPagedLookasideList(&context->Lookaside);
	IoDeleteDevice(device);
}

static VOID SampleInitialize(PDEVICE_CONTEXT Context, PDEVICE_OBJECT Device)
{
	Context->Self = Device;
	KeInitializeSpinLock(&Context->Lock);
	InitializeListHead(&Context->Pending);
	KeInitializeEvent(&Context->Idle, NotificationEvent, FALSE);
	KeInitializeTimer(&Context->Timer);
	KeInitializeDpc(&Context->Dpc, SampleTick, Context);
	IoInitializeRemoveLock(&Context->RemoveLock, DRIVER_TAG, 0, 0);
	ExInitializeNPagedLookasideList(&Context->Lookaside, NULL, NULL, POOL_NX_ALLOCATION,
	                                sizeof(REQUEST), DRIVER_TAG, 0);
}

EXTERN_C NTSTATUS DriverEntry(_In_ PDRIVER_OBJECT DriverObject, _In_ PUNICODE_STRING RegistryPath)
{
	DECLARE_CONST_UNICODE_STRING(name, L"\\Device\\Sample");
	UNICODE_STRING deviceName = name;
	PDEVICE_CONTEXT context;
	PDEVICE_OBJECT device;
	NTSTATUS status;
	ULONG i;

	UNREFERENCED_PARAMETER(RegistryPath);
	ExInitializeDriverRuntime(DrvRtPoolNxOptIn);
	KdPrint(("loading %wZ\n", RegistryPath));
	status = IoCreateDevice(DriverObject, sizeof(DEVICE_CONTEXT), &deviceName,
	                        FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE, &device);
	if (!NT_SUCCESS(status))
		return status;
	context = (PDEVICE_CONTEXT)device->DeviceExtension;
	SampleInitialize(context, device);
	status =
		RtlStringCbPrintfW(context->Name, sizeof(context->Name), L"%wZ %d", &deviceName, 1);
	if (!NT_SUCCESS(status)) {
		IoDeleteDevice(device);
		return status;
	}
	for (i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
		DriverObject->MajorFunction[i] = SampleRefuse;
	DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = SampleDeviceControl;
	DriverObject->DriverUnload = SampleUnload;
	device->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
	return STATUS_SUCCESS;
}
