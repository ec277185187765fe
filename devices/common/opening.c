/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/opening.h"

void opening_init(struct opening *o)
{
	KeInitializeEvent(&o->started, NotificationEvent, FALSE);
	KeInitializeEvent(&o->closed, NotificationEvent, FALSE);
}

void opening_started(struct opening *o, NTSTATUS status)
{
	o->status = status;
	KeSetEvent(&o->started, 0, FALSE);
}

void opening_closed(struct opening *o)
{
	KeSetEvent(&o->closed, 0, FALSE);
}

NTSTATUS opening_wait(struct opening *o, uint32_t timeout_ms)
{
	LARGE_INTEGER timeout = { .QuadPart = -10000ll * timeout_ms };
	PVOID events[] = { &o->started, &o->closed };

	switch (KeWaitForMultipleObjects(2, events, WaitAny, Executive, KernelMode, FALSE, &timeout,
	                                 NULL)) {
	case STATUS_WAIT_0:
		return o->status;
	case STATUS_WAIT_1:
		return STATUS_DEVICE_REMOVED;
	default:
		return STATUS_IO_TIMEOUT;
	}
}
