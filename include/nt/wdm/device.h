/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_DEVICE_H
#define NT_WDM_DEVICE_H

#include "dpc.h"
#include "mdl.h"
#include "rtl.h"

EXTERN_C_START

/*
 * Driver and device objects: what a DriverEntry fills in. There is no I/O manager: who loads a
 * driver calls its routines, and IRPs are only what callers and drivers make of them.
 */
struct _DEVICE_OBJECT;
struct _DRIVER_OBJECT;
struct _FILE_OBJECT;
struct _IRP;
typedef struct _IRP *PIRP;

#define IRP_MJ_CREATE                  0x00
#define IRP_MJ_CREATE_NAMED_PIPE       0x01
#define IRP_MJ_CLOSE                   0x02
#define IRP_MJ_READ                    0x03
#define IRP_MJ_WRITE                   0x04
#define IRP_MJ_QUERY_INFORMATION       0x05
#define IRP_MJ_SET_INFORMATION         0x06
#define IRP_MJ_FLUSH_BUFFERS           0x09
#define IRP_MJ_DEVICE_CONTROL          0x0e
#define IRP_MJ_INTERNAL_DEVICE_CONTROL 0x0f
#define IRP_MJ_SCSI                    0x0f
#define IRP_MJ_SHUTDOWN                0x10
#define IRP_MJ_CLEANUP                 0x12
#define IRP_MJ_POWER                   0x16
#define IRP_MJ_SYSTEM_CONTROL          0x17
#define IRP_MJ_PNP                     0x1b
#define IRP_MJ_MAXIMUM_FUNCTION        0x1b

#define IRP_MN_START_DEVICE           0x00
#define IRP_MN_QUERY_REMOVE_DEVICE    0x01
#define IRP_MN_REMOVE_DEVICE          0x02
#define IRP_MN_CANCEL_REMOVE_DEVICE   0x03
#define IRP_MN_STOP_DEVICE            0x04
#define IRP_MN_QUERY_STOP_DEVICE      0x05
#define IRP_MN_CANCEL_STOP_DEVICE     0x06
#define IRP_MN_QUERY_DEVICE_RELATIONS 0x07
#define IRP_MN_QUERY_INTERFACE        0x08
#define IRP_MN_QUERY_CAPABILITIES     0x09
#define IRP_MN_SURPRISE_REMOVAL       0x17

typedef NTSTATUS DRIVER_INITIALIZE(_In_ struct _DRIVER_OBJECT *driver,
                                   _In_ PUNICODE_STRING registry_path);
typedef DRIVER_INITIALIZE *PDRIVER_INITIALIZE;
typedef NTSTATUS DRIVER_DISPATCH(_In_ struct _DEVICE_OBJECT *device, _Inout_ PIRP irp);
typedef DRIVER_DISPATCH *PDRIVER_DISPATCH;
typedef void DRIVER_UNLOAD(_In_ struct _DRIVER_OBJECT *driver);
typedef DRIVER_UNLOAD *PDRIVER_UNLOAD;
typedef NTSTATUS DRIVER_ADD_DEVICE(_In_ struct _DRIVER_OBJECT *driver,
                                   _In_ struct _DEVICE_OBJECT *physical_device);
typedef DRIVER_ADD_DEVICE *PDRIVER_ADD_DEVICE;
typedef void DRIVER_STARTIO(_Inout_ struct _DEVICE_OBJECT *device, _Inout_ PIRP irp);
typedef DRIVER_STARTIO *PDRIVER_STARTIO;
typedef void DRIVER_CANCEL(_Inout_ struct _DEVICE_OBJECT *device, _Inout_ PIRP irp);
typedef DRIVER_CANCEL *PDRIVER_CANCEL;

typedef ULONG DEVICE_TYPE;
#define FILE_DEVICE_CONTROLLER       0x00000004
#define FILE_DEVICE_DISK             0x00000007
#define FILE_DEVICE_KEYBOARD         0x0000000b
#define FILE_DEVICE_MOUSE            0x0000000f
#define FILE_DEVICE_NULL             0x00000015
#define FILE_DEVICE_PHYSICAL_NETCARD 0x00000017
#define FILE_DEVICE_SERIAL_PORT      0x0000001b
#define FILE_DEVICE_UNKNOWN          0x00000022
#define FILE_DEVICE_VIDEO            0x00000023
#define FILE_DEVICE_BUS_EXTENDER     0x0000002a
#define FILE_DEVICE_MASS_STORAGE     0x0000002d
#define FILE_DEVICE_VMBUS            0x0000003e
#define FILE_REMOVABLE_MEDIA         0x00000001
#define FILE_READ_ONLY_DEVICE        0x00000002
#define FILE_DEVICE_SECURE_OPEN      0x00000100

#define METHOD_BUFFERED     0
#define METHOD_IN_DIRECT    1
#define METHOD_OUT_DIRECT   2
#define METHOD_NEITHER      3
#define FILE_ANY_ACCESS     0
#define FILE_SPECIAL_ACCESS FILE_ANY_ACCESS
#define FILE_READ_ACCESS    1
#define FILE_WRITE_ACCESS   2
#define CTL_CODE(device, function, method, access) \
	(((ULONG)(device) << 16) | ((access) << 14) | ((function) << 2) | (method))

#define IO_TYPE_DEVICE 3 /* DEVICE_OBJECT.Type */

/* DEVICE_OBJECT.Flags */
#define DO_BUFFERED_IO           0x00000004
#define DO_EXCLUSIVE             0x00000008
#define DO_DIRECT_IO             0x00000010
#define DO_DEVICE_HAS_NAME       0x00000040
#define DO_DEVICE_INITIALIZING   0x00000080
#define DO_POWER_PAGABLE         0x00002000
#define DO_BUS_ENUMERATED_DEVICE 0x00001000

typedef struct _DEVICE_OBJECT {
	CSHORT Type;
	USHORT Size;
	LONG ReferenceCount;
	struct _DRIVER_OBJECT *DriverObject;
	struct _DEVICE_OBJECT *NextDevice;
	struct _DEVICE_OBJECT *AttachedDevice;
	PIRP CurrentIrp;
	ULONG Flags;
	ULONG Characteristics;
	PVOID DeviceExtension;
	DEVICE_TYPE DeviceType;
	CCHAR StackSize;
	ULONG AlignmentRequirement;
	KDPC Dpc;
	PVOID Reserved; /* private: the device below it */
} DEVICE_OBJECT, *PDEVICE_OBJECT;

typedef struct _DRIVER_EXTENSION {
	struct _DRIVER_OBJECT *DriverObject;
	PDRIVER_ADD_DEVICE AddDevice;
	ULONG Count;
	UNICODE_STRING ServiceKeyName;
} DRIVER_EXTENSION, *PDRIVER_EXTENSION;

typedef struct _DRIVER_OBJECT {
	CSHORT Type;
	CSHORT Size;
	PDEVICE_OBJECT DeviceObject; /* the newest; on with NextDevice */
	ULONG Flags;
	PVOID DriverStart;
	ULONG DriverSize;
	PVOID DriverSection;
	PDRIVER_EXTENSION DriverExtension;
	UNICODE_STRING DriverName;
	PUNICODE_STRING HardwareDatabase;
	PVOID FastIoDispatch;
	PDRIVER_INITIALIZE DriverInit;
	PDRIVER_STARTIO DriverStartIo;
	PDRIVER_UNLOAD DriverUnload;
	PDRIVER_DISPATCH MajorFunction[IRP_MJ_MAXIMUM_FUNCTION + 1];
} DRIVER_OBJECT, *PDRIVER_OBJECT;

/*
 * A device of `driver` (whose memory is the caller's) with a zeroed extension of `extension` bytes.
 * DO_DEVICE_INITIALIZING is set. STATUS_SUCCESS, STATUS_INSUFFICIENT_RESOURCES,
 * STATUS_OBJECT_NAME_COLLISION: a device has that name. PASSIVE_LEVEL.
 */
NTKERNELAPI NTSTATUS IoCreateDevice(_In_ PDRIVER_OBJECT driver, _In_ ULONG extension,
                                    _In_opt_ PUNICODE_STRING name, _In_ DEVICE_TYPE type,
                                    _In_ ULONG characteristics, _In_ BOOLEAN exclusive,
                                    _Out_ PDEVICE_OBJECT *device);
/* Takes it off its driver's list, and off the stack that it is attached to; it is freed with its
 * last reference. PASSIVE_LEVEL. */
NTKERNELAPI void IoDeleteDevice(_In_ PDEVICE_OBJECT device);

/* Puts `source` on top of the stack that `target` is part of, and returns the device that was
 * there; the bus object of kmcl_guest_open() is such a target. NULL: the source is attached
 * already. At DISPATCH_LEVEL or lower. */
NTKERNELAPI PDEVICE_OBJECT IoAttachDeviceToDeviceStack(_In_ PDEVICE_OBJECT source,
                                                       _In_ PDEVICE_OBJECT target);
/* Takes off the device right above `target`: what IoAttachDeviceToDeviceStack() returned. */
NTKERNELAPI void IoDetachDevice(_Inout_ PDEVICE_OBJECT target);

/* ---- IRPs: the members a dispatch routine looks at ---- */

typedef struct _IO_STATUS_BLOCK {
	__extension__ union {
		NTSTATUS Status;
		PVOID Pointer;
	};
	ULONG_PTR Information;
} IO_STATUS_BLOCK, *PIO_STATUS_BLOCK;

typedef struct _IO_STACK_LOCATION {
	UCHAR MajorFunction;
	UCHAR MinorFunction;
	UCHAR Flags;
	UCHAR Control;
	union {
		struct {
			ULONG Length;
			ULONG Key;
			LARGE_INTEGER ByteOffset;
		} Read;
		struct {
			ULONG Length;
			ULONG Key;
			LARGE_INTEGER ByteOffset;
		} Write;
		struct {
			ULONG OutputBufferLength;
			ULONG InputBufferLength;
			ULONG IoControlCode;
			PVOID Type3InputBuffer;
		} DeviceIoControl;
		struct {
			PVOID Argument1;
			PVOID Argument2;
			PVOID Argument3;
			PVOID Argument4;
		} Others;
	} Parameters;
	PDEVICE_OBJECT DeviceObject;
	struct _FILE_OBJECT *FileObject;
} IO_STACK_LOCATION, *PIO_STACK_LOCATION;

typedef struct _IRP {
	CSHORT Type;
	USHORT Size;
	PMDL MdlAddress;
	ULONG Flags;
	union {
		PVOID SystemBuffer;
		struct _IRP *MasterIrp;
	} AssociatedIrp;
	LIST_ENTRY ThreadListEntry;
	IO_STATUS_BLOCK IoStatus;
	KPROCESSOR_MODE RequestorMode;
	BOOLEAN PendingReturned;
	BOOLEAN Cancel;
	KIRQL CancelIrql;
	PIO_STATUS_BLOCK UserIosb;
	PRKEVENT UserEvent;
	PDRIVER_CANCEL CancelRoutine;
	PVOID UserBuffer;
	union {
		struct {
			PVOID DriverContext[4];
			LIST_ENTRY ListEntry;
			PIO_STACK_LOCATION CurrentStackLocation;
		} Overlay;
	} Tail;
} IRP;

#define SL_PENDING_RETURNED 0x01

FORCEINLINE PIO_STACK_LOCATION IoGetCurrentIrpStackLocation(_In_ PIRP irp)
{
	return irp->Tail.Overlay.CurrentStackLocation;
}
FORCEINLINE void IoMarkIrpPending(_Inout_ PIRP irp)
{
	IoGetCurrentIrpStackLocation(irp)->Control |= SL_PENDING_RETURNED;
}
/* Tells who made the IRP: copies IoStatus to UserIosb and sets UserEvent, if given. The IRP may be
 * gone afterwards. `boost` is unused. IRQL <= DISPATCH_LEVEL. */
NTKERNELAPI void IofCompleteRequest(_In_ PIRP irp, _In_ CCHAR boost);
#define IoCompleteRequest(irp, boost) IofCompleteRequest(irp, boost)

/* ---- interfaces a driver asks another for ---- */

typedef void INTERFACE_REFERENCE_ROUTINE(_In_opt_ PVOID context);
typedef void INTERFACE_DEREFERENCE_ROUTINE(_In_opt_ PVOID context);
typedef INTERFACE_REFERENCE_ROUTINE *PINTERFACE_REFERENCE;
typedef INTERFACE_DEREFERENCE_ROUTINE *PINTERFACE_DEREFERENCE;
typedef struct _INTERFACE {
	USHORT Size;
	USHORT Version;
	PVOID Context;
	PINTERFACE_REFERENCE InterfaceReference;
	PINTERFACE_DEREFERENCE InterfaceDereference;
} INTERFACE, *PINTERFACE;

EXTERN_C_END

#endif
