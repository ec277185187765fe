/* SPDX-License-Identifier: BSD-2-Clause */

/* Structured exception handling, as drivers write it. */
#include <ntddk.h>

static LONG SehFilter(NTSTATUS code, PEXCEPTION_POINTERS pointers)
{
	return code == STATUS_ACCESS_VIOLATION && pointers && pointers->ExceptionRecord
	               ? EXCEPTION_EXECUTE_HANDLER
	               : EXCEPTION_CONTINUE_SEARCH;
}

NTSTATUS SehReturns(PVOID p, SIZE_T size);
NTSTATUS SehReturns(PVOID p, SIZE_T size)
{
	__try {
		ProbeForRead(p, size, sizeof(UCHAR));
		return STATUS_SUCCESS;
	} __except (EXCEPTION_EXECUTE_HANDLER) {
		return GetExceptionCode();
	}
}

NTSTATUS SehNests(PVOID p, SIZE_T size, PULONG count);
NTSTATUS SehNests(PVOID p, SIZE_T size, PULONG count)
{
	NTSTATUS status = STATUS_UNSUCCESSFUL;

	for (ULONG i = 0; i < 10; i++) {
		if (i == 7)
			__try {
				break;
			} __except (SehFilter(GetExceptionCode(), GetExceptionInformation())) {
				return STATUS_ACCESS_VIOLATION;
			}
		else
			++*count;
	}
	__try {
		__try {
			ProbeForWrite(p, size, sizeof(ULONG));
			if (!*count)
				__leave;
			status = STATUS_SUCCESS;
		} __finally {
			if (AbnormalTermination())
				*count = 0;
		}
	} __except (EXCEPTION_EXECUTE_HANDLER) {
		status = GetExceptionCode();
		KdPrint(("exception %08X\n", status));
	}
	__try {
		__try {
			++*count;
		} __finally {
			++*count;
		}
	} __finally {
		++*count;
	}
	return status;
}
