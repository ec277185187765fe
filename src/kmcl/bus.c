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

void bus_log(int level, const char *text)
{
	static const enum nt_log_level levels[] = {
		[PARTITION_LOG_ERROR] = NT_LOG_ERROR,
		[PARTITION_LOG_WARNING] = NT_LOG_WARNING,
		[PARTITION_LOG_INFO] = NT_LOG_INFO,
	};

	nt_log(levels[level], "partition", "%s", text);
}
