/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_H
#define NT_WDM_H

/* The kernel services of NT a VMBus driver commonly uses, as a library on POSIX. */

#include "ntdef.h"
#include "ntstatus.h"
#include "wdm/irql.h"
#include "wdm/interlocked.h"
#include "wdm/lock.h"
#include "wdm/list.h"
#include "wdm/time.h"
#include "wdm/wait.h"
#include "wdm/dpc.h"
#include "wdm/pool.h"
#include "wdm/mdl.h"
#include "wdm/rtl.h"
#include "wdm/crt.h"
#include "wdm/object.h"
#include "wdm/rundown.h"
#include "wdm/device.h"
#include "wdm/raise.h"
#include "wdm/resource.h"
#include "wdm/version.h"
#include "wdm/work.h"
#include "evntprov.h"

#endif
