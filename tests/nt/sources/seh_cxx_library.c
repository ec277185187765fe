/* SPDX-License-Identifier: BSD-2-Clause */

/* Beside the C++ library, which has a __try too, its headers first: an __except. */
#ifdef __cplusplus
#include <vector>
#endif
#include <ntddk.h>
#ifdef __cplusplus
#include <map>
#include <string>
#endif

NTSTATUS SehBeside(PVOID p, SIZE_T size);
NTSTATUS SehBeside(PVOID p, SIZE_T size)
{
	__try {
		ProbeForRead(p, size, sizeof(UCHAR));
	} __except (EXCEPTION_EXECUTE_HANDLER) {
		return GetExceptionCode();
	}
	return STATUS_SUCCESS;
}
