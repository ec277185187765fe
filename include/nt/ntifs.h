/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_NTIFS_H
#define NT_NTIFS_H

/* For drivers that include it for a lock or a type: what <ntddk.h> has, and nothing of file
 * systems. */
#include "ntddk.h"

#endif
