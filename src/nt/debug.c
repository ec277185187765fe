/* SPDX-License-Identifier: BSD-2-Clause */

/* DbgPrint, assertions, bug checks. */

#include "private.h"

#include <stdarg.h>
#include <stdlib.h>

#define LINE_BYTES 512

ULONG vDbgPrintEx(ULONG component, ULONG level, PCSTR format, va_list arguments)
{
	static const enum nt_log_level levels[] = {
		[DPFLTR_ERROR_LEVEL] = NT_LOG_ERROR,
		[DPFLTR_WARNING_LEVEL] = NT_LOG_WARNING,
		[DPFLTR_TRACE_LEVEL] = NT_LOG_TRACE,
		[DPFLTR_INFO_LEVEL] = NT_LOG_INFO,
	};
	enum nt_log_level to = level <= DPFLTR_INFO_LEVEL ? levels[level] : NT_LOG_INFO;
	char line[LINE_BYTES];
	size_t used;

	if (!nt_log_enabled(to))
		return STATUS_SUCCESS;
	used = nt_format(line, sizeof(line), NULL, format, arguments);
	while (used && line[used - 1] == '\n')
		line[--used] = '\0';
	nt_log(to, NULL, "%s", line);
	return STATUS_SUCCESS;
}

ULONG DbgPrintEx(ULONG component, ULONG level, PCSTR format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vDbgPrintEx(component, level, format, arguments);
	va_end(arguments);
	return STATUS_SUCCESS;
}

ULONG DbgPrint(PCSTR format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vDbgPrintEx(DPFLTR_DEFAULT_ID, DPFLTR_INFO_LEVEL, format, arguments);
	va_end(arguments);
	return STATUS_SUCCESS;
}

/* ---- stops ---- */

void RtlAssert(const void *failed, const void *file, ULONG line, PCSTR message)
{
	nt_log(NT_LOG_ERROR, NULL, "%s:%u: assertion failed: %s%s%s", (const char *)file, line,
	       (const char *)failed, message ? ": " : "", message ? message : "");
	abort();
}

void KeBugCheckEx(ULONG code, ULONG_PTR p1, ULONG_PTR p2, ULONG_PTR p3, ULONG_PTR p4)
{
	nt_log(NT_LOG_ERROR, NULL, "bug check 0x%08X (0x%llx, 0x%llx, 0x%llx, 0x%llx)", code,
	       (unsigned long long)p1, (unsigned long long)p2, (unsigned long long)p3,
	       (unsigned long long)p4);
	abort();
}

void KeBugCheck(ULONG code)
{
	KeBugCheckEx(code, 0, 0, 0, 0);
}
