/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What this process offers itself: a server's channel with LOOPBACK_OFFER and no VMBus handle. Both
 * ends of a partition of its own, made with the first such channel and kept; clients of every bus
 * look at its offers, too.
 */

#include "kmcl/channel.h"

#define LOOPBACK_PARTITION "local:kmcl's loopback"

static struct loopback {
	pthread_mutex_t lock;
	HANDLE host;
	_Atomic(struct guest *) guest;
} loopback = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct guest *loopback_guest(void)
{
	return atomic_load(&loopback.guest);
}

static NTSTATUS loopback_open(void)
{
	struct guest *guest;
	HANDLE vmbus;
	NTSTATUS status = kmcl_host_open(LOOPBACK_PARTITION, &vmbus);

	if (!NT_SUCCESS(status))
		return status;
	status = VmbConvertVmbusHandleToKernelHandle(vmbus, &loopback.host);
	ZwClose(vmbus);
	if (!NT_SUCCESS(status))
		return status;
	status = guest_open_loopback(LOOPBACK_PARTITION, &guest);
	if (NT_SUCCESS(status))
		atomic_store(&loopback.guest, guest);
	else
		ZwClose(loopback.host);
	return status;
}

NTSTATUS loopback_join(struct channel *ch)
{
	NTSTATUS status = STATUS_SUCCESS;

	pthread_mutex_lock(&loopback.lock);
	if (!loopback_guest())
		status = loopback_open();
	if (NT_SUCCESS(status))
		status = host_reference(loopback.host, &ch->vmbus, &ch->host);
	pthread_mutex_unlock(&loopback.lock);
	return status;
}
