/* SPDX-License-Identifier: BSD-2-Clause */

/* The buses of this process, each the guest's end of one, and which of them a device belongs to. */

#include "kmcl/channel.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct bus *buses;

void buses_add(struct bus *bus)
{
	pthread_mutex_lock(&lock);
	bus->next = buses;
	buses = bus;
	pthread_mutex_unlock(&lock);
}

void buses_remove(struct bus *bus)
{
	struct bus **p = &buses;

	pthread_mutex_lock(&lock);
	while (*p && *p != bus)
		p = &(*p)->next;
	if (*p)
		*p = bus->next;
	pthread_mutex_unlock(&lock);
}

static struct guest *buses_find_locked(PDEVICE_OBJECT device)
{
	struct bus *bus = buses;

	while (bus && &bus->device != device)
		bus = bus->next;
	return bus ? bus->guest : NULL;
}

struct guest *guest_of(PDEVICE_OBJECT device)
{
	struct guest *guest;

	pthread_mutex_lock(&lock);
	guest = buses_find_locked(device);
	pthread_mutex_unlock(&lock);
	return guest;
}

/* The bus at the bottom of the device's stack. */
static struct guest *buses_find_below(PDEVICE_OBJECT device)
{
	struct guest *guest = NULL;

	for (; device && !guest; device = nt_device_below(device))
		guest = buses_find_locked(device);
	return guest;
}

NTSTATUS buses_find(PDEVICE_OBJECT device, struct guest **guest)
{
	NTSTATUS status = STATUS_SUCCESS;

	*guest = NULL;
	if (!device || device->Type != IO_TYPE_DEVICE)
		return STATUS_INVALID_PARAMETER_1;
	pthread_mutex_lock(&lock);
	*guest = buses_find_below(device);
	if (!*guest && !buses)
		status = STATUS_NO_SUCH_DEVICE;
	else if (!*guest && buses->next)
		status = STATUS_AMBIGUOUS_SYSTEM_DEVICE;
	else if (!*guest)
		*guest = buses->guest;
	pthread_mutex_unlock(&lock);
	return status;
}

struct channel *buses_take_waiting(void)
{
	struct channel *list = NULL;

	pthread_mutex_lock(&lock);
	for (struct bus *bus = buses; bus; bus = bus->next)
		list = guest_take_waiting(bus->guest, list);
	pthread_mutex_unlock(&lock);
	return list;
}
