/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

#define DEVICE_TAG 0x69766544 /* "Devi" */

struct device {
	struct nt_object object;
	DEVICE_OBJECT device; /* the object's body: right after its header */
	struct device *next_named;
	UNICODE_STRING name;
};

_Static_assert(offsetof(struct device, device) == sizeof(struct nt_object),
               "ObDereferenceObject finds the header there");

static struct nt_lock lock; /* drivers' lists of devices, stacks, and names */
static struct device *named;

static size_t extension_offset(void)
{
	return ROUND_TO_SIZE(sizeof(struct device), 16);
}

static void device_free(void *body)
{
	struct device *d = CONTAINING_RECORD(body, struct device, device);

	if (d->name.Buffer)
		ExFreePoolWithTag(d->name.Buffer, DEVICE_TAG);
	ExFreePoolWithTag(d, DEVICE_TAG);
}

static bool copy_name(struct device *d, PCUNICODE_STRING name)
{
	if (!name || name->Length == 0)
		return true;
	d->name.Buffer = nt_apart_allocate(name->Length, DEVICE_TAG);
	if (!d->name.Buffer)
		return false;
	d->name.MaximumLength = name->Length;
	RtlCopyUnicodeString(&d->name, name);
	d->device.Flags |= DO_DEVICE_HAS_NAME;
	return true;
}

static struct device *device_new(ULONG extension, PCUNICODE_STRING name)
{
	size_t size = extension_offset() + extension;
	struct device *d = nt_apart_allocate(size, DEVICE_TAG);

	if (!d)
		return NULL;
	if (!copy_name(d, name)) {
		ExFreePoolWithTag(d, DEVICE_TAG);
		return NULL;
	}
	nt_object_init(&d->object, "device", &d->device, device_free);
	d->device.DeviceExtension = extension ? (PUCHAR)d + extension_offset() : NULL;
	return d;
}

/* With the lock held. */
static bool name_is_taken(const struct device *d)
{
	const struct device *other;

	if (d->name.Length == 0)
		return false;
	for (other = named; other; other = other->next_named)
		if (RtlEqualUnicodeString(&other->name, &d->name, TRUE))
			return true;
	return false;
}

static bool device_publish(struct device *d, PDRIVER_OBJECT driver)
{
	bool taken;

	nt_lock_acquire(&lock);
	taken = name_is_taken(d);
	if (!taken) {
		d->device.NextDevice = driver->DeviceObject;
		driver->DeviceObject = &d->device;
		if (d->name.Length) {
			d->next_named = named;
			named = d;
		}
	}
	nt_lock_release(&lock);
	return !taken;
}

NTSTATUS IoCreateDevice(PDRIVER_OBJECT driver, ULONG extension, PUNICODE_STRING name,
                        DEVICE_TYPE type, ULONG characteristics, BOOLEAN exclusive,
                        PDEVICE_OBJECT *device)
{
	struct device *d;

	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, NULL))
		return STATUS_UNSUCCESSFUL;
	d = device_new(extension, name);
	if (!d)
		return STATUS_INSUFFICIENT_RESOURCES;
	d->device.Type = IO_TYPE_DEVICE;
	d->device.Size = (USHORT)(sizeof(DEVICE_OBJECT) + extension);
	d->device.DriverObject = driver;
	d->device.Flags |= DO_DEVICE_INITIALIZING | (exclusive ? DO_EXCLUSIVE : 0);
	d->device.Characteristics = characteristics;
	d->device.DeviceType = type;
	d->device.StackSize = 1;
	if (!device_publish(d, driver)) {
		device_free(&d->device);
		return STATUS_OBJECT_NAME_COLLISION;
	}
	*device = &d->device;
	return STATUS_SUCCESS;
}

/* ---- stacks, with the lock held; DEVICE_OBJECT.Reserved is the device below ---- */

static void stack_detach(PDEVICE_OBJECT below)
{
	PDEVICE_OBJECT above = below->AttachedDevice;

	if (!above)
		return;
	above->Reserved = NULL;
	above->StackSize = 1;
	below->AttachedDevice = NULL;
}

PDEVICE_OBJECT IoAttachDeviceToDeviceStack(PDEVICE_OBJECT source, PDEVICE_OBJECT target)
{
	PDEVICE_OBJECT top = NULL;

	if (!nt_irql_at_most(DISPATCH_LEVEL, __func__, NULL))
		return NULL;
	nt_lock_acquire(&lock);
	if (!source->Reserved) {
		for (top = target; top->AttachedDevice; top = top->AttachedDevice)
			;
		top->AttachedDevice = source;
		source->Reserved = top;
		source->StackSize = (CCHAR)(top->StackSize + 1);
		source->AlignmentRequirement = top->AlignmentRequirement;
	}
	nt_lock_release(&lock);
	return top;
}

void IoDetachDevice(PDEVICE_OBJECT target)
{
	if (!nt_irql_at_most(DISPATCH_LEVEL, __func__, NULL))
		return;
	nt_lock_acquire(&lock);
	stack_detach(target);
	nt_lock_release(&lock);
}

PDEVICE_OBJECT nt_device_below(PDEVICE_OBJECT device)
{
	PDEVICE_OBJECT below;

	nt_lock_acquire(&lock);
	below = device->Reserved;
	nt_lock_release(&lock);
	return below;
}

void IoDeleteDevice(PDEVICE_OBJECT device)
{
	struct device *d = CONTAINING_RECORD(device, struct device, device);
	PDEVICE_OBJECT *link;
	struct device **name_link;

	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, NULL))
		return;
	nt_lock_acquire(&lock);
	if (device->Reserved)
		stack_detach(device->Reserved);
	stack_detach(device);
	for (link = &device->DriverObject->DeviceObject; *link; link = &(*link)->NextDevice) {
		if (*link == device) {
			*link = device->NextDevice;
			break;
		}
	}
	for (name_link = &named; *name_link; name_link = &(*name_link)->next_named) {
		if (*name_link == d) {
			*name_link = d->next_named;
			break;
		}
	}
	nt_lock_release(&lock);
	ObDereferenceObject(device);
}

void IofCompleteRequest(PIRP irp, CCHAR boost)
{
	PRKEVENT event = irp->UserEvent;

	if (!nt_irql_at_most(DISPATCH_LEVEL, __func__, NULL))
		return;
	if (irp->UserIosb)
		*irp->UserIosb = irp->IoStatus;
	if (event)
		KeSetEvent(event, boost, FALSE);
}
