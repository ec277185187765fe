/* SPDX-License-Identifier: BSD-2-Clause */

/* What both ends of the bus do alike. */

#include "kmcl/channel.h"

#include <errno.h>

bool bus_prepare(const char *uri)
{
	nt_fill_descriptors();
	if (nt_work_prepare())
		return true;
	nt_log(NT_LOG_ERROR, uri, "the system has no thread for work items");
	return false;
}

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
	case EAGAIN: /* no thread or process is to be had */
	case EMFILE:
	case ENFILE:
		return STATUS_INSUFFICIENT_RESOURCES;
	case ETIMEDOUT:
		return STATUS_IO_TIMEOUT;
	default:
		return STATUS_UNSUCCESSFUL;
	}
}

void bus_log_fault(struct nt_log_account *account, const char *whose, const struct bus_fault *fault)
{
	nt_log_limited(account, NT_LOG_MESSAGES, NT_LOG_WARNING, "bus",
	               "%s's %s: %s: expected %#llx, got %#llx", whose, fault->message, fault->what,
	               (unsigned long long)fault->expected, (unsigned long long)fault->actual);
}

void bus_log(struct nt_log_account *account, int level, const char *text)
{
	static const enum nt_log_level levels[] = {
		[PARTITION_LOG_ERROR] = NT_LOG_ERROR,
		[PARTITION_LOG_WARNING] = NT_LOG_WARNING,
		[PARTITION_LOG_INFO] = NT_LOG_INFO,
		[PARTITION_LOG_OPERATOR] = NT_LOG_ERROR,
	};

	nt_log_limited(account, level == PARTITION_LOG_OPERATOR ? NT_LOG_OPERATOR : NT_LOG_VISITORS,
	               levels[level], "partition", "%s", text);
}

struct nt_log_account *bus_log_account(struct channel *ch)
{
	return ch->server ? host_log_account(ch->host) : guest_log_account(ch->guest);
}

void kmcl_channel_log(VMBCHANNEL channel, enum kmcl_log_level level, const char *format, ...)
{
	struct channel *ch = channel_of(channel);
	va_list ap;

	if (!ch)
		return;
	va_start(ap, format);
	nt_log_limited_v(bus_log_account(ch), NT_LOG_DRIVERS, (enum nt_log_level)level,
	                 channel_name(ch), format, ap);
	va_end(ap);
}
