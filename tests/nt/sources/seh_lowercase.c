/* SPDX-License-Identifier: BSD-2-Clause */

/* not: C++. Structured exception handling as old C sources write it. */
#define NT_LOWERCASE_SEH
#include <ntddk.h>

NTSTATUS SehOld(PVOID p, SIZE_T size);
NTSTATUS SehOld(PVOID p, SIZE_T size)
{
	NTSTATUS status = STATUS_UNSUCCESSFUL;

	try {
		ProbeForRead(p, size, sizeof(UCHAR));
		status = STATUS_SUCCESS;
	}
	except(EXCEPTION_EXECUTE_HANDLER)
	{
		status = GetExceptionCode();
	}
	try {
		if (!NT_SUCCESS(status))
			leave;
		status = STATUS_PENDING;
	} finally {
		KdPrint(("done\n"));
	}
	return status;
}
