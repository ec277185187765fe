/* SPDX-License-Identifier: BSD-2-Clause */

/* Headers as they are spelled where a file's name has no case. */
#include <Ntifs.h>
#include <NTDDK.h>
#include <Ntddk.h>
#include <WDM.h>
#include <Wdm.h>
#include <Ntdef.h>
#include <Ntstatus.h>
#include <NtStrSafe.h>
#include <Ntstrsafe.h>
#include <NtIntSafe.h>
#include <Ntintsafe.h>
#include <DriverSpecs.h>
#include <SpecStrings.h>
#include <Sal.h>
#include <BaseTsd.h>
#include <Vmbuskernelmodeclientlibapi.h>
#include <VmbusKernelModeClientLibApi.h>

/* the one that is not guarded: it is to take effect again */
DEFINE_GUID(GUID_DECLARED, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
#include <InitGuid.h>
DEFINE_GUID(GUID_DEFINED_HERE, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);

C_ASSERT(sizeof(GUID_DECLARED) == 16 && sizeof(GUID_DEFINED_HERE) == 16);
VMBCHANNEL Channel;
