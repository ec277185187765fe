/* SPDX-License-Identifier: BSD-2-Clause */

/* wdm_driver.c, loaded, asked, unloaded. */

#include "harness.h"
#include "wdm_driver.h"

static DRIVER_OBJECT driver;
static UNICODE_STRING path = RTL_CONSTANT_STRING(L"\\Registry\\Sample");

struct request {
	IRP irp;
	IO_STACK_LOCATION stack;
	IO_STATUS_BLOCK result;
	KEVENT done;
	ULONG value;
};

static NTSTATUS ask(struct request *r, UCHAR function, ULONG code, ULONG size)
{
	memset(&r->irp, 0, sizeof(r->irp));
	KeInitializeEvent(&r->done, NotificationEvent, FALSE);
	r->stack = (IO_STACK_LOCATION){ .MajorFunction = function };
	r->stack.Parameters.DeviceIoControl.IoControlCode = code;
	r->stack.Parameters.DeviceIoControl.InputBufferLength = size;
	r->irp.AssociatedIrp.SystemBuffer = &r->value;
	r->irp.UserIosb = &r->result;
	r->irp.UserEvent = &r->done;
	r->irp.Tail.Overlay.CurrentStackLocation = &r->stack;
	return driver.MajorFunction[function](driver.DeviceObject, &r->irp);
}

static void load(void)
{
	assert_int_equal(DriverEntry(&driver, &path), STATUS_SUCCESS);
}

static void it_answers_requests(void **state)
{
	uint64_t before = nt_pool_outstanding(NULL, 0, NULL);
	struct request a = { .value = 21 }, b = { .value = 4 };

	load();
	assert_int_equal(ask(&a, IRP_MJ_DEVICE_CONTROL, IOCTL_DOUBLE, 4), STATUS_PENDING);
	assert_int_equal(ask(&b, IRP_MJ_DEVICE_CONTROL, IOCTL_DOUBLE, 4), STATUS_PENDING);
	wait_forever(&a.done);
	wait_forever(&b.done);
	assert_int_equal(a.value, 42);
	assert_int_equal(b.value, 8);
	assert_int_equal(a.result.Status, STATUS_SUCCESS);
	assert_int_equal(a.result.Information, 4);
	assert_int_equal(ask(&a, IRP_MJ_DEVICE_CONTROL, IOCTL_DOUBLE, 3), STATUS_BUFFER_TOO_SMALL);
	assert_int_equal(a.result.Status, STATUS_BUFFER_TOO_SMALL);
	assert_int_equal(ask(&a, IRP_MJ_READ, 0, 0), STATUS_INVALID_DEVICE_REQUEST);
	a.value = MAXULONG;
	assert_int_equal(ask(&a, IRP_MJ_DEVICE_CONTROL, IOCTL_DOUBLE, 4), STATUS_INTEGER_OVERFLOW);
	driver.DriverUnload(&driver);
	assert_null(driver.DeviceObject);
	assert_int_equal(nt_pool_outstanding(NULL, 0, NULL), before);
}

static void it_unloads_with_a_request_under_way(void **state)
{
	uint64_t before = nt_pool_outstanding(NULL, 0, NULL);
	struct request a = { .value = 21 };

	load();
	assert_int_equal(ask(&a, IRP_MJ_DEVICE_CONTROL, IOCTL_DOUBLE, 4), STATUS_PENDING);
	driver.DriverUnload(&driver);
	assert_int_equal(poll(&a.done), STATUS_SUCCESS);
	assert_int_equal(nt_pool_outstanding(NULL, 0, NULL), before);
}

static void a_name_is_taken_once(void **state)
{
	DRIVER_OBJECT other = { 0 };

	load();
	assert_int_equal(DriverEntry(&other, &path), STATUS_OBJECT_NAME_COLLISION);
	driver.DriverUnload(&driver);
	assert_int_equal(DriverEntry(&other, &path), STATUS_SUCCESS);
	other.DriverUnload(&other);
}

static void without_memory_it_does_not_load(void **state)
{
	uint64_t before = nt_pool_outstanding(NULL, 0, NULL);
	DRIVER_OBJECT other = { 0 };

	for (unsigned i = 1; i <= 2; i++) {
		nt_pool_fail_after(i);
		assert_int_equal(DriverEntry(&other, &path), STATUS_INSUFFICIENT_RESOURCES);
	}
	assert_int_equal(nt_pool_outstanding(NULL, 0, NULL), before);
}

static void a_referenced_device_stays(void **state)
{
	uint64_t before = nt_pool_outstanding(NULL, 0, NULL);
	PDEVICE_OBJECT a, b;
	DRIVER_OBJECT own = { 0 };

	assert_int_equal(IoCreateDevice(&own, 10, NULL, 0, 0, FALSE, &a), STATUS_SUCCESS);
	assert_int_equal(IoCreateDevice(&own, 0, NULL, 0, 0, FALSE, &b), STATUS_SUCCESS);
	assert_ptr_equal(own.DeviceObject, b);
	assert_ptr_equal(b->NextDevice, a);
	assert_null(b->DeviceExtension);
	assert_true(a->Flags & DO_DEVICE_INITIALIZING);
	ObReferenceObject(a);
	IoDeleteDevice(a);
	assert_null(b->NextDevice);
	memset(a->DeviceExtension, 1, 10);
	assert_int_equal(ObDereferenceObject(a), 0);
	IoDeleteDevice(b);
	assert_int_equal(nt_pool_outstanding(NULL, 0, NULL), before);
}

static void devices_stand_on_each_other(void **state)
{
	PDEVICE_OBJECT a, b, c;
	DRIVER_OBJECT own = { 0 };

	assert_int_equal(IoCreateDevice(&own, 0, NULL, 0, 0, FALSE, &a), STATUS_SUCCESS);
	assert_int_equal(IoCreateDevice(&own, 0, NULL, 0, 0, FALSE, &b), STATUS_SUCCESS);
	assert_int_equal(IoCreateDevice(&own, 0, NULL, 0, 0, FALSE, &c), STATUS_SUCCESS);
	assert_ptr_equal(IoAttachDeviceToDeviceStack(b, a), a);
	assert_ptr_equal(IoAttachDeviceToDeviceStack(c, a), b);
	assert_null(IoAttachDeviceToDeviceStack(c, a)); /* it is there already */
	assert_int_equal(c->StackSize, 3);
	assert_ptr_equal(nt_device_below(c), b);
	assert_ptr_equal(nt_device_below(b), a);
	assert_null(nt_device_below(a));
	IoDetachDevice(b);
	assert_null(nt_device_below(c));
	assert_null(b->AttachedDevice);
	assert_int_equal(c->StackSize, 1);
	assert_ptr_equal(IoAttachDeviceToDeviceStack(c, b), b);
	IoDeleteDevice(b); /* from the middle */
	assert_null(a->AttachedDevice);
	assert_null(nt_device_below(c));
	IoDeleteDevice(c);
	IoDeleteDevice(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_answers_requests),
		cmocka_unit_test(it_unloads_with_a_request_under_way),
		cmocka_unit_test(a_name_is_taken_once),
		cmocka_unit_test(without_memory_it_does_not_load),
		cmocka_unit_test(a_referenced_device_stays),
		cmocka_unit_test(devices_stand_on_each_other),
	};

	return RUN(tests);
}
