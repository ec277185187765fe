/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_VERSION_H
#define NT_WDM_VERSION_H

#include "../ntdef.h"

EXTERN_C_START

/*
 * Which Windows this is: 10.0.20348, Windows Server 2022, whose kernel has all that these headers
 * declare. Values are those of the published sdkddkver.h and winnt.h.
 */
#define NTDDI_WIN2K      0x05000000
#define NTDDI_WINXP      0x05010000
#define NTDDI_WS03       0x05020000
#define NTDDI_VISTA      0x06000000
#define NTDDI_LONGHORN   NTDDI_VISTA
#define NTDDI_WIN7       0x06010000
#define NTDDI_WIN8       0x06020000
#define NTDDI_WINBLUE    0x06030000
#define NTDDI_WIN10      0x0A000000
#define NTDDI_WIN10_TH2  0x0A000001
#define NTDDI_WIN10_RS1  0x0A000002
#define NTDDI_WIN10_RS2  0x0A000003
#define NTDDI_WIN10_RS3  0x0A000004
#define NTDDI_WIN10_RS4  0x0A000005
#define NTDDI_WIN10_RS5  0x0A000006
#define NTDDI_WIN10_19H1 0x0A000007
#define NTDDI_WIN10_VB   0x0A000008
#define NTDDI_WIN10_MN   0x0A000009
#define NTDDI_WIN10_FE   0x0A00000A
#ifndef NTDDI_VERSION
#define NTDDI_VERSION NTDDI_WIN10_FE
#endif
#define _WIN32_WINNT_WINXP   0x0501
#define _WIN32_WINNT_VISTA   0x0600
#define _WIN32_WINNT_WIN7    0x0601
#define _WIN32_WINNT_WIN8    0x0602
#define _WIN32_WINNT_WINBLUE 0x0603
#define _WIN32_WINNT_WIN10   0x0A00
#ifndef _WIN32_WINNT
#define _WIN32_WINNT _WIN32_WINNT_WIN10
#endif

#define VER_PLATFORM_WIN32_NT    2
#define VER_NT_WORKSTATION       1
#define VER_NT_DOMAIN_CONTROLLER 2
#define VER_NT_SERVER            3

typedef struct _OSVERSIONINFOW {
	ULONG dwOSVersionInfoSize;
	ULONG dwMajorVersion;
	ULONG dwMinorVersion;
	ULONG dwBuildNumber;
	ULONG dwPlatformId;
	WCHAR szCSDVersion[128];
} OSVERSIONINFOW, *POSVERSIONINFOW, RTL_OSVERSIONINFOW, *PRTL_OSVERSIONINFOW;

typedef struct _OSVERSIONINFOEXW {
	ULONG dwOSVersionInfoSize;
	ULONG dwMajorVersion;
	ULONG dwMinorVersion;
	ULONG dwBuildNumber;
	ULONG dwPlatformId;
	WCHAR szCSDVersion[128];
	USHORT wServicePackMajor;
	USHORT wServicePackMinor;
	USHORT wSuiteMask;
	UCHAR wProductType;
	UCHAR wReserved;
} OSVERSIONINFOEXW, *POSVERSIONINFOEXW, RTL_OSVERSIONINFOEXW, *PRTL_OSVERSIONINFOEXW;

/* The longer structure where dwOSVersionInfoSize says it is one. STATUS_SUCCESS. Any IRQL. */
NTSYSAPI NTSTATUS RtlGetVersion(_Inout_ PRTL_OSVERSIONINFOW information);
/* Is it that version of Windows (NTDDI_...), or a later one? Any IRQL. */
NTSYSAPI BOOLEAN RtlIsNtDdiVersionAvailable(_In_ ULONG version);

EXTERN_C_END

#endif
