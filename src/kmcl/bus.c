/* SPDX-License-Identifier: BSD-2-Clause */

/* What both ends of the bus do alike. */

#include "kmcl/channel.h"

#include <errno.h>

NTSTATUS bus_status(int error)
{
	switch (-error) {
	case 0:
		return STATUS_SUCCESS;
	case EINVAL:
		return STATUS_INVALID_PARAMETER_1;
	case EADDRINUSE:
		return STATUS_SHARING_VIOLATION;
	case EBUSY:
		return STATUS_DEVICE_BUSY;
	case ENOENT:
	case ECONNREFUSED:
		return STATUS_OBJECT_NAME_NOT_FOUND;
	case ENOTDIR:
		return STATUS_OBJECT_PATH_NOT_FOUND;
	case EACCES:
	case EPERM:
		return STATUS_ACCESS_DENIED;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return STATUS_INSUFFICIENT_RESOURCES;
	case ETIMEDOUT:
		return STATUS_IO_TIMEOUT;
	default:
		return STATUS_UNSUCCESSFUL;
	}
}

/* A malicious end can be at fault as often as it likes: only so many of its faults are shown. */
#define FAULTS_SHOWN  16u
#define FAULTS_WINDOW 10000000000ull /* ns */

static bool fault_shows(struct bus_faults *faults)
{
	uint64_t now = dispatcher_now();
	uint32_t count;

	if (now - atomic_load(&faults->since) >= FAULTS_WINDOW) {
		atomic_store(&faults->since, now);
		count = atomic_exchange(&faults->count, 0);
		if (count > FAULTS_SHOWN)
			nt_log(NT_LOG_WARNING, "bus", "%u more faults were not shown",
			       count - FAULTS_SHOWN);
	}
	return atomic_fetch_add(&faults->count, 1) < FAULTS_SHOWN;
}

void bus_log_fault(struct bus_faults *faults, const char *whose, const struct bus_fault *fault)
{
	if (fault_shows(faults))
		nt_log(NT_LOG_WARNING, "bus", "%s's %s: %s: expected %#llx, got %#llx", whose,
		       fault->message, fault->what, (unsigned long long)fault->expected,
		       (unsigned long long)fault->actual);
}

void bus_log(struct bus_faults *faults, int level, const char *text)
{
	static const enum nt_log_level levels[] = {
		[PARTITION_LOG_ERROR] = NT_LOG_ERROR,
		[PARTITION_LOG_WARNING] = NT_LOG_WARNING,
		[PARTITION_LOG_INFO] = NT_LOG_INFO,
	};

	if (level == PARTITION_LOG_INFO || fault_shows(faults))
		nt_log(levels[level], "partition", "%s", text);
}
