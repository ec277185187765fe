/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

NTSTATUS RtlGetVersion(PRTL_OSVERSIONINFOW information)
{
	ULONG size = information->dwOSVersionInfoSize;
	RTL_OSVERSIONINFOEXW version = {
		.dwOSVersionInfoSize = size,
		.dwMajorVersion = 10,
		.dwBuildNumber = 20348,
		.dwPlatformId = VER_PLATFORM_WIN32_NT,
		.wProductType = VER_NT_SERVER,
	};

	C_ASSERT(sizeof(RTL_OSVERSIONINFOW) == 276 && sizeof(RTL_OSVERSIONINFOEXW) == 284);
	memcpy(information, &version,
	       size >= sizeof(version) ? sizeof(version) : sizeof(*information));
	return STATUS_SUCCESS;
}

BOOLEAN RtlIsNtDdiVersionAvailable(ULONG version)
{
	return version <= NTDDI_WIN10_FE;
}
