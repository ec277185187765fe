/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Runs the two echo drivers, whose sources know nothing of kmcl: opens the ends of the partition,
 * then loads the drivers as an I/O manager would. With unix:PATH each has a process of its own.
 *
 *     wdm_echo [local:NAME | unix:PATH] [TEXT...]
 */

#include <kmcl/kmcl.h>

#include "echo_protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* DriverEntry of the two, renamed by the compiler's -D: a program has room for one of a name. */
DRIVER_INITIALIZE EchoServerDriverEntry, EchoClientDriverEntry;

struct driver {
	DRIVER_OBJECT object;
	DRIVER_EXTENSION extension;
};

static void check(NTSTATUS status, const char *what)
{
	if (NT_SUCCESS(status))
		return;
	fprintf(stderr, "wdm_echo: %s: status %#x\n", what, (unsigned)status);
	exit(1);
}

static void load(struct driver *driver, PDRIVER_INITIALIZE entry, PDEVICE_OBJECT bus)
{
	UNICODE_STRING path = RTL_CONSTANT_STRING(L"\\Registry\\Machine\\...\\Services\\Echo");

	memset(driver, 0, sizeof(*driver));
	driver->object.DriverExtension = &driver->extension;
	driver->extension.DriverObject = &driver->object;
	check(entry(&driver->object, &path), "DriverEntry");
	check(driver->extension.AddDevice(&driver->object, bus), "AddDevice");
}

/* Gives the driver's device an IRP and waits until it is completed. */
static NTSTATUS call(struct driver *driver, IO_STACK_LOCATION *stack, void *buffer,
                     ULONG_PTR *information)
{
	PDEVICE_OBJECT device = driver->object.DeviceObject;
	IO_STATUS_BLOCK result = { 0 };
	KEVENT event;
	IRP irp = { .UserIosb = &result, .UserEvent = &event };

	KeInitializeEvent(&event, NotificationEvent, FALSE);
	irp.AssociatedIrp.SystemBuffer = buffer;
	irp.Tail.Overlay.CurrentStackLocation = stack;
	stack->DeviceObject = device;
	driver->object.MajorFunction[stack->MajorFunction](device, &irp);
	KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
	if (information)
		*information = result.Information;
	return result.Status;
}

static void pnp(struct driver *driver, UCHAR minor)
{
	IO_STACK_LOCATION stack = { .MajorFunction = IRP_MJ_PNP, .MinorFunction = minor };

	check(call(driver, &stack, NULL, NULL), "IRP_MJ_PNP");
}

static void unload(struct driver *driver)
{
	pnp(driver, IRP_MN_REMOVE_DEVICE);
	driver->object.DriverUnload(&driver->object);
}

static void serve(struct driver *server, HANDLE vmbus)
{
	ECHO_OFFER offer = { vmbus };
	IO_STACK_LOCATION stack = { .MajorFunction = IRP_MJ_DEVICE_CONTROL };

	stack.Parameters.DeviceIoControl.IoControlCode = IOCTL_ECHO_OFFER;
	stack.Parameters.DeviceIoControl.InputBufferLength = sizeof(offer);
	load(server, EchoServerDriverEntry, NULL);
	pnp(server, IRP_MN_START_DEVICE);
	check(call(server, &stack, &offer, NULL), "offering");
}

static void be_guest(const char *uri, const char *const *texts)
{
	struct driver client;
	PDEVICE_OBJECT bus;

	check(kmcl_guest_open(uri, &bus), uri);
	load(&client, EchoClientDriverEntry, bus);
	pnp(&client, IRP_MN_START_DEVICE);
	for (; *texts; texts++) {
		char buffer[ECHO_TEXT_MAX];
		size_t length = strnlen(*texts, sizeof(buffer));
		IO_STACK_LOCATION stack = { .MajorFunction = IRP_MJ_WRITE };
		ULONG_PTR answered;

		memcpy(buffer, *texts, length);
		stack.Parameters.Write.Length = (ULONG)length;
		check(call(&client, &stack, buffer, &answered), "writing");
		printf("%.*s\n", (int)answered, buffer);
	}
	fflush(stdout);
	unload(&client);
	kmcl_guest_close(bus);
}

int main(int argc, char **argv)
{
	static const char *const hello[] = { "hello", "world", NULL };
	const char *const *texts = argc > 2 ? (const char *const *)argv + 2 : hello;
	const char *uri = argc > 1 ? argv[1] : "local:wdm_echo";
	struct driver server;
	HANDLE vmbus;
	int status = 0, ready[2];
	pid_t guest = 0;

	/* before there are any threads */
	if (strncmp(uri, "unix:", 5) == 0) {
		char byte;

		if (pipe(ready) != 0 || (guest = fork()) < 0)
			return 1;
		if (guest == 0) {
			close(ready[1]);
			if (read(ready[0], &byte, 1) == 1)
				be_guest(uri, texts);
			return 0;
		}
	}
	check(kmcl_host_open(uri, &vmbus), uri);
	serve(&server, vmbus);
	if (!guest)
		be_guest(uri, texts);
	else if (write(ready[1], "", 1) != 1 || waitpid(guest, &status, 0) != guest)
		status = 1;
	unload(&server);
	ZwClose(vmbus);
	return status ? 1 : 0;
}
